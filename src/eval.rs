//! What a model file loses on the machine: perplexity of a text and the error of each operator, against plain floats.
//!
//! The machine's numbers are those of the host's integer reference, which the instructions equal bit for bit
//! (`host/tests/values.rs`); so a text is judged at the reference's speed.

use lutsim_host::files::FileModel;
use lutsim_host::reference::{Machine, Numerics, Reference};
use lutsim_host::weights::WeightError;
use rayon::prelude::*;

/// A text in windows, each read from an empty cache.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// Of each whole window, the mean negative log-likelihood of its tokens but the first: on the machine, in floats.
    pub windows: Vec<[f64; 2]>,
    /// Tokens scored in each.
    pub scored: usize,
    /// Squared error over squared size of what comes out of each operator, in the order of their first coming; errors of those before
    /// it are in it.
    pub operators: Vec<(&'static str, f64)>,
}

impl Judged {
    /// exp of the mean negative log-likelihood: on the machine, in floats.
    pub fn perplexity(&self) -> [f64; 2] {
        let mean = |i: usize| self.windows.iter().map(|w| w[i]).sum::<f64>() / self.windows.len() as f64;
        [mean(0).exp(), mean(1).exp()]
    }
}

/// Squared error and size by operator.
type Errors = Vec<(&'static str, [f64; 2])>;

fn add(errors: &mut Errors, name: &'static str, [error, size]: [f64; 2]) {
    match errors.iter_mut().find(|e| e.0 == name) {
        Some((_, sums)) => *sums = [sums[0] + error, sums[1] + size],
        None => errors.push((name, [error, size])),
    }
}

/// -ln of the probability of a token.
fn loss(logits: &[f32], token: u32) -> f64 {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|&x| f64::from(x - largest).exp()).sum();
    sum.ln() - f64::from(logits[token as usize] - largest)
}

/// Reads `ids` in whole windows of `window` tokens; calls `done` after each.
///
/// # Errors
/// Weights that cannot be read; a token beyond the vocabulary.
pub fn judge(
    file: &FileModel<'_>,
    machine: &Machine,
    ids: &[u32],
    window: usize,
    done: &(dyn Fn() + Sync),
) -> Result<Judged, WeightError> {
    let new = |numerics| Reference::new(file.model.clone(), file, numerics);
    let references = [new(Numerics::Machine(machine.clone()))?, new(Numerics::Float)?];
    let one = |ids: &[u32]| -> Result<([f64; 2], Errors), WeightError> {
        let mut caches = references.each_ref().map(|r| r.cache(0));
        let (mut sums, mut errors) = ([0.0; 2], Errors::new());
        for pair in ids.windows(2) {
            let mut outputs: [Vec<(&'static str, Vec<f32>)>; 2] = Default::default();
            for (i, reference) in references.iter().enumerate() {
                // Norms add no error of their own.
                let watch = &mut |name: &'static str, y: &[f32]| {
                    if !name.ends_with("norm") {
                        outputs[i].push((name, y.to_vec()));
                    }
                };
                let logits = reference.watched_step(&mut caches[i], pair[0], watch)?;
                sums[i] += loss(&logits, pair[1]);
            }
            let [found, exact] = outputs;
            for ((name, found), (_, exact)) in found.into_iter().zip(exact) {
                let error = found.iter().zip(&exact).map(|(x, y)| f64::from(x - y).powi(2)).sum();
                add(&mut errors, name, [error, exact.iter().map(|y| f64::from(*y).powi(2)).sum()]);
            }
        }
        done();
        Ok((sums.map(|sum| sum / (ids.len() - 1) as f64), errors))
    };
    // Threads run windows; their sums are added in the windows' order.
    let all = ids.par_chunks_exact(window).map(one).collect::<Result<Vec<_>, _>>()?;
    let mut errors = Errors::new();
    all.iter().flat_map(|(_, errors)| errors).for_each(|&(name, sums)| add(&mut errors, name, sums));
    let nmse = |&(name, [error, size]): &(&'static str, [f64; 2])| {
        (name, if size > 0.0 { error / size } else { 0.0 })
    };
    Ok(Judged {
        windows: all.iter().map(|(means, _)| *means).collect(),
        scored: window - 1,
        operators: errors.iter().map(nmse).collect(),
    })
}
