//! What a model loses on the machine: perplexity of a text and the error of each operator, against plain floats.
//!
//! The machine's numbers are those of the host's integer reference, which the instructions equal bit for bit
//! (`host/tests/values.rs`); so a text is judged at the reference's speed.

use std::path::Path;

use lutsim_host::model::Model;
use lutsim_host::reference::{Numerics, Reference};
use lutsim_host::weights::{WeightError, WeightSource};
use rayon::prelude::*;

use crate::failure::UserError;

/// A text in windows, each read from an empty cache.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// Of each whole window, the mean negative log-likelihood of its tokens but the first, with each arithmetic.
    pub windows: Vec<Vec<f64>>,
    /// Tokens scored in each.
    pub scored: usize,
    /// Squared error over squared size (NMSE) of what comes out of each operator with each arithmetic but the last, against that one, in
    /// the order of their first coming; errors of those before it are in it.
    pub operators: Vec<(&'static str, Vec<f64>)>,
}

impl Judged {
    /// exp of the mean negative log-likelihood, with each arithmetic.
    pub fn perplexity(&self) -> Vec<f64> {
        let columns = self.windows.first().map_or(0, Vec::len);
        let mean = |i: usize| self.windows.iter().map(|w| w[i]).sum::<f64>() / self.windows.len() as f64;
        (0..columns).map(|i| mean(i).exp()).collect()
    }
}

/// The tokens of a text that are read: whole windows.
///
/// # Errors
/// A window that the model does not see, a text shorter than one.
pub fn cut<'t>(
    model: &Model,
    ids: &'t [u32],
    (window, windows): (u32, Option<u32>),
    text: &Path,
) -> Result<&'t [u32], UserError> {
    let refuse = |flag: &str, value, why, help| Err(UserError::Flag { flag: flag.into(), value, why, help });
    if window > model.context {
        let why = format!("{} sees at most {} tokens", model.name, model.context);
        let help = format!("give --window {} or less", model.context);
        return refuse("--window", window.to_string(), why, help);
    }
    let whole = ids.len() / window as usize;
    if whole == 0 {
        let why = format!("it has {} tokens, fewer than a window of {window}", ids.len());
        let help = "give a longer text, or a smaller --window".into();
        return refuse("--text", text.display().to_string(), why, help);
    }
    let wanted = windows.map_or(whole, |n| whole.min(n as usize));
    Ok(&ids[..wanted * window as usize])
}

/// By operator: squared errors of the machines, and squared size.
type Errors = Vec<(&'static str, Vec<f64>, f64)>;

fn add(errors: &mut Errors, name: &'static str, error: &[f64], size: f64) {
    match errors.iter_mut().find(|e| e.0 == name) {
        Some((_, errors, sum)) => {
            errors.iter_mut().zip(error).for_each(|(sum, error)| *sum += error);
            *sum += size;
        }
        None => errors.push((name, error.to_vec(), size)),
    }
}

/// -ln of the probability of a token.
fn loss(logits: &[f32], token: u32) -> f64 {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|&x| f64::from(x - largest).exp()).sum();
    sum.ln() - f64::from(logits[token as usize] - largest)
}

/// Tokens whose outputs are held together.
const PIECE: usize = 32;

/// Reads `ids` in whole windows of `window` tokens with every arithmetic; operators are held against the last. Calls `done` after each
/// window.
///
/// # Errors
/// Weights that cannot be read; a token beyond the vocabulary.
pub fn judge(
    model: &Model,
    source: &dyn WeightSource,
    numerics: &[Numerics],
    ids: &[u32],
    window: usize,
    done: &(dyn Fn() + Sync),
) -> Result<Judged, WeightError> {
    let new = |numerics: &Numerics| Reference::new(model.clone(), source, numerics.clone());
    let references = numerics.iter().map(new).collect::<Result<Vec<_>, _>>()?;
    let one = |ids: &[u32]| -> Result<(Vec<f64>, Errors), WeightError> {
        let mut caches: Vec<_> = references.iter().map(|r| r.cache(0)).collect();
        let (mut sums, mut errors) = (vec![0.0; references.len()], Errors::new());
        for (tokens, next) in ids[..ids.len() - 1].chunks(PIECE).zip(ids[1..].chunks(PIECE)) {
            let mut outputs: Vec<Vec<(&'static str, Vec<f32>)>> = Vec::new();
            for ((reference, cache), sum) in references.iter().zip(&mut caches).zip(&mut sums) {
                let mut heard = Vec::new();
                // Norms add no error of their own.
                let watch = &mut |name: &'static str, y: &[Vec<f32>]| {
                    if !name.ends_with("norm") {
                        heard.push((name, y.concat()));
                    }
                };
                let logits = reference.watched(cache, tokens, watch)?;
                *sum += logits.iter().zip(next).map(|(logits, &next)| loss(logits, next)).sum::<f64>();
                outputs.push(heard);
            }
            let exact = outputs.pop().unwrap_or_default();
            for (i, (name, exact)) in exact.iter().enumerate() {
                let error = |found: &Vec<(&str, Vec<f32>)>| -> f64 {
                    found[i].1.iter().zip(exact).map(|(x, y)| f64::from(x - y).powi(2)).sum()
                };
                let error: Vec<f64> = outputs.iter().map(error).collect();
                add(&mut errors, name, &error, exact.iter().map(|y| f64::from(*y).powi(2)).sum());
            }
        }
        done();
        Ok((sums.iter().map(|sum| sum / (ids.len() - 1) as f64).collect(), errors))
    };
    // Threads run windows; their sums are added in the windows' order.
    let all = ids.par_chunks_exact(window).map(one).collect::<Result<Vec<_>, _>>()?;
    let mut errors = Errors::new();
    let each = all.iter().flat_map(|(_, errors)| errors);
    each.for_each(|(name, error, size)| add(&mut errors, name, error, *size));
    let nmse = |(name, errors, size): &(&'static str, Vec<f64>, f64)| {
        (*name, errors.iter().map(|error| if *size > 0.0 { error / size } else { 0.0 }).collect())
    };
    Ok(Judged {
        operators: errors.iter().map(nmse).collect(),
        windows: all.into_iter().map(|(means, _)| means).collect(),
        scored: window - 1,
    })
}
