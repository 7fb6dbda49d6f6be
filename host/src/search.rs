//! Finds a mapping by measuring: candidates are lowered with one layer, run, and the fastest is kept.
//!
//! [`candidates`] is nested: whatever a chip can use, a chip with more cores or scratchpad can use too, so more of either
//! never slows the best mapping. It is large; [`shortlist`] is what a run affords to measure.

use crate::error::HostError;
use crate::lower::Lowered;
use crate::mapping::{Mapping, hidden_types};
use crate::model::Model;
use crate::plan::plan;
use crate::runtime::{DeviceError, Doorbell};
use crate::target::Target;
use crate::workload::Workload;

/// What a program takes: by a simulation, in practice.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Measured {
    /// Core cycles.
    pub cycles: u64,
    /// Core cycles that the same work takes at least, however it is cut; 0 if that is not known.
    pub least: u64,
}

impl From<u64> for Measured {
    fn from(cycles: u64) -> Self {
        Self { cycles, least: 0 }
    }
}

/// Measures a program.
pub type Measure<'a> = dyn FnMut(&Lowered, &Doorbell) -> Result<Measured, DeviceError> + 'a;

/// A mapping that takes less than this times the least cycles is taken as it is: at most that much is left to be found.
const CLOSE_PERCENT: u64 = 112;

/// Inputs of one weight record that are tried.
const K_BLOCKS: [u32; 5] = [256, 512, 1024, 2048, 4096];
/// Ring slots that are tried.
const SLOTS: [u32; 6] = [2, 4, 8, 16, 32, 64];
/// Chunk rows that are tried.
const CHUNKS: [u32; 9] = [1, 8, 16, 32, 48, 64, 96, 128, 256];

/// 1, 2, 4, ... and `most` itself.
fn doublings(most: u32) -> impl Iterator<Item = u32> {
    let powers = std::iter::successors(Some(1u32), |p| p.checked_mul(2)).take_while(move |&p| p < most);
    powers.chain([most])
}

/// Every mapping of the search space that fits the chip, the smallest first.
pub fn candidates(model: &Model, workload: &Workload, target: &Target) -> Vec<Mapping> {
    let mut found = Vec::new();
    for cores in doublings(target.cores) {
        for columns in doublings(cores.min(255)) {
            for k_block in K_BLOCKS {
                for (chunk, slots) in CHUNKS.iter().flat_map(|&c| SLOTS.map(|s| (c, s))) {
                    if chunk > 1 && chunk / 2 >= workload.prompt {
                        continue;
                    }
                    for (hidden, few_rows) in hidden_types(model).flat_map(|h| [(h, false), (h, true)]) {
                        let (grid, sizes) = ((cores, columns * target.n, k_block), (chunk, slots));
                        let rest = (hidden, few_rows);
                        let mapping = Mapping::sized(target, model, workload, grid, sizes, rest);
                        found.extend(mapping.filter(|m| !found.contains(m)));
                    }
                }
            }
        }
    }
    found
}

/// A few mappings that are worth measuring, all cores, the largest chunk and ring: first the one that is used without a search, then
/// larger records, then wider grids (whose decode feeds on more DRAM bandwidth).
///
/// # Errors
/// A scratchpad in which nothing fits.
pub fn shortlist(model: &Model, workload: &Workload, target: &Target) -> Result<Vec<Mapping>, HostError> {
    let first = Mapping::default_for(target, model, workload)?;
    let square = 1 << (target.cores.max(1).ilog2() / 2);
    let mut found = vec![first];
    for (columns, k_block) in [(square, 2048), (2 * square, 1024), (target.cores, 512)] {
        if columns <= target.cores {
            let n_tile = columns * target.n;
            let mapping = Mapping::with(target, model, workload, target.cores, n_tile, k_block);
            found.extend(mapping.filter(|m| !found.contains(m)));
        }
    }
    Ok(found)
}

/// The fastest of a chip's [`shortlist`].
///
/// # Errors
/// A scratchpad in which nothing fits; a measurement that failed.
pub fn search(
    model: &Model,
    workload: &Workload,
    target: &Target,
    measure: &mut Measure<'_>,
) -> Result<Mapping, HostError> {
    fastest(model, workload, target, &shortlist(model, workload, target)?, measure)
}

/// The candidate with the least cycles over the whole workload; of equals, the first. One that is close to what any must
/// take ends the search. One layer and one N tile of the head stand for
/// the model, decode in the middle of the generated tokens for all of decode.
///
/// # Errors
/// No candidate, none that can be lowered, or a measurement that failed.
pub fn fastest(
    model: &Model,
    workload: &Workload,
    target: &Target,
    candidates: &[Mapping],
    measure: &mut Measure<'_>,
) -> Result<Mapping, HostError> {
    let mut measured: Vec<(Lowered, Doorbell, Measured)> = Vec::new();
    let mut cycles = |step: &Lowered, doorbell: Doorbell| -> Result<Measured, HostError> {
        // Mappings that differ elsewhere give the same program for a phase.
        if let Some(known) = measured.iter().find(|m| m.1 == doorbell && m.0.program == step.program) {
            return Ok(known.2);
        }
        let cycles = measure(step, &doorbell).map_err(|e| HostError::Measure { message: e.to_string() })?;
        measured.push((step.clone(), doorbell, cycles));
        Ok(cycles)
    };
    let mut best: Option<(u64, Mapping)> = None;
    let mut refused = None;
    for mapping in candidates {
        let vocab = model.vocab.min(mapping.n_tile);
        let probe = match plan(&Model { layers: 1, vocab, ..model.clone() }, workload, target, mapping) {
            Ok(probe) => probe,
            Err(error) => {
                refused.get_or_insert(error);
                continue;
            }
        };
        let mut total = Measured::default();
        let mut add = |times: u64, step: Measured| {
            total.cycles += times * step.cycles;
            total.least += times * step.least;
        };
        if workload.generate > 0 {
            let before = u64::from(workload.context) + u64::from(workload.prompt);
            let middle = before + u64::from(workload.generate) / 2;
            let (step, doorbell) = probe.decode_step(middle, &vec![0; workload.batch as usize]);
            add(u64::from(workload.generate), cycles(step, doorbell)?);
        }
        // The first sequence stands for all, its first chunk for all but the last one.
        let chunks = probe.prefill_steps(&vec![0; workload.prompt as usize]);
        let others = chunks.len().saturating_sub(1) as u64;
        for (i, (step, doorbell)) in chunks.into_iter().enumerate() {
            let times = match i as u64 {
                i if i == others => 1,
                0 => others,
                _ => continue,
            };
            add(times * u64::from(workload.batch), cycles(step, doorbell)?);
        }
        if best.is_none_or(|(least, _)| total.cycles < least) {
            best = Some((total.cycles, *mapping));
        }
        if total.cycles * 100 < total.least * CLOSE_PERCENT {
            break;
        }
    }
    let none = || HostError::Measure { message: "there is no candidate".into() };
    best.map(|(_, mapping)| mapping).ok_or_else(|| refused.unwrap_or_else(none))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::Workload;

    fn workload() -> Workload {
        Workload { prompt: 8, generate: 4, ..Workload::default() }
    }

    #[test]
    fn a_larger_chip_can_use_what_a_smaller_one_can() {
        let model = Model::builtin("tiny-2l").unwrap();
        let small = candidates(&model, &workload(), &Target::TINY);
        assert!(small.len() > 50, "{}", small.len());
        for large in [
            Target { cores: 4, ..Target::TINY },
            Target { scratchpad_bytes: 1 << 20, ..Target::TINY },
            Target { cores: 3, scratchpad_bytes: 2 << 20, ..Target::TINY },
        ] {
            let large = candidates(&model, &workload(), &large);
            let missing: Vec<_> = small.iter().filter(|m| !large.contains(m)).collect();
            assert!(missing.is_empty(), "{missing:?}");
        }
    }

    #[test]
    fn the_fastest_is_kept_and_the_first_of_equals() {
        let (model, workload) = (Model::builtin("tiny-2l").unwrap(), workload());
        let all = candidates(&model, &workload, &Target::TINY);
        let mut words = |step: &Lowered, _: &Doorbell| Ok((step.program.code.len() as u64).into());
        let best = fastest(&model, &workload, &Target::TINY, &all, &mut words).unwrap();
        let size = |m: &Mapping| {
            let plan =
                plan(&Model { layers: 1, vocab: 64, ..model.clone() }, &workload, &Target::TINY, m).unwrap();
            let steps = plan.prefill_steps(&[0; 8]);
            let prefill: usize = steps.iter().map(|s| s.0.program.code.len()).sum();
            4 * plan.decode.program.code.len() + prefill // all chunks but the last have the same program
        };
        let first = all.iter().min_by_key(|m| size(m)).unwrap();
        assert_eq!(best, *first);
        let constant = fastest(&model, &workload, &Target::TINY, &all, &mut |_, _| Ok(1.into())).unwrap();
        assert_eq!(constant.chunk, 8, "fewest chunks");
    }

    #[test]
    fn a_phone_has_a_short_list() {
        let model = Model::builtin("llama-2-7b").unwrap();
        let list = shortlist(&model, &Workload::default(), &Target::PHONE).unwrap();
        assert!((3..=8).contains(&list.len()), "{list:#?}");
    }
}
