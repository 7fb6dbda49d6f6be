//! Finds a mapping by measuring: the first layer of each candidate's programs is run, and the fastest is kept.
//!
//! What a program asks of the units is known without running it, and bounds its time from below: a candidate that cannot
//! win by much is not measured, and one that falls behind is given up.
//!
//! [`candidates`] is nested: whatever a chip can use, a chip with more cores or scratchpad can use too, so more of either
//! never slows the best mapping. It is large; [`shortlist`] is what a run affords to measure. Of a small model a run affords more:
//! the short lists of all chips with halves of the cores and of the scratchpad too, their whole steps, and nothing is skipped; that
//! is nested as well ([`nested`]).

use crate::error::HostError;
use crate::lower::Lowered;
use crate::mapping::{Mapping, hidden_types};
use crate::model::Model;
use crate::plan::{Plan, plan};
use crate::runtime::{DeviceError, Doorbell};
use crate::target::Target;
use crate::workload::Workload;

/// Measures candidates, one after the other: by a simulation, in practice.
pub trait Meter {
    /// Core cycles that the first layer of a program takes at least.
    ///
    /// # Errors
    /// A program that cannot be run.
    fn least(&mut self, step: &Lowered, doorbell: &Doorbell) -> Result<u64, DeviceError>;
    /// The steps of the next candidate come.
    fn begin(&mut self) {}
    /// Core cycles of the first layer of a program; `None` if that is more than `most`.
    ///
    /// # Errors
    /// A program that cannot be run.
    fn cycles(&mut self, step: &Lowered, doorbell: &Doorbell, most: u64) -> Result<Option<u64>, DeviceError>;
    /// The candidate was the fastest so far.
    fn keep(&mut self) {}
}

/// Of this, 100 have to be left to be gained by a candidate, else it is not measured; candidates whose bounds are as close are
/// alike.
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

/// 1/1, 1/2, 1/4, ... of `most`, down to `least`.
fn halvings(most: u64, least: u64) -> impl Iterator<Item = u64> {
    std::iter::successors(Some(most), |n| Some(n / 2)).take_while(move |&n| n >= least)
}

/// The short lists of a chip and of all chips with halves of its cores and of its scratchpad, the chip's own first.
///
/// # Errors
/// A scratchpad in which nothing fits.
pub fn nested(model: &Model, workload: &Workload, target: &Target) -> Result<Vec<Mapping>, HostError> {
    let mut found = shortlist(model, workload, target)?;
    for cores in halvings(target.cores.into(), 1) {
        for scratchpad_bytes in halvings(target.scratchpad_bytes, LEAST_SCRATCHPAD) {
            let smaller = Target { cores: cores as u32, scratchpad_bytes, ..*target };
            for mapping in shortlist(model, workload, &smaller).unwrap_or_default() {
                if !found.contains(&mapping) && mapping.check(target, model, workload).is_ok() {
                    found.push(mapping);
                }
            }
        }
    }
    Ok(found)
}

/// The short lists of a chip and of chips with halves of its cores: where the scratchpad is what is short, wide tiles take it from
/// the rows of a chunk.
fn few(model: &Model, workload: &Workload, target: &Target) -> Result<Vec<Mapping>, HostError> {
    let mut found = shortlist(model, workload, target)?;
    for cores in halvings(u64::from(target.cores) / 2, 1) {
        let smaller = Target { cores: cores as u32, ..*target };
        for mapping in shortlist(model, workload, &smaller).unwrap_or_default() {
            if !found.contains(&mapping) {
                found.push(mapping);
            }
        }
    }
    Ok(found)
}

/// How much of a search is done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effort {
    /// First layers, and of candidates only those that may win by much.
    Quick,
    /// Whole steps of all candidates.
    Thorough,
}

impl Effort {
    /// What a run can afford: steps of a small model take milliseconds.
    pub fn for_model(model: &Model) -> Self {
        if model.parameters() <= SMALL { Effort::Thorough } else { Effort::Quick }
    }
}

/// Parameters up to which a search is thorough unasked.
const SMALL: u64 = 1 << 20;
/// Scratchpads below this are not thought of.
const LEAST_SCRATCHPAD: u64 = 16 << 10;
/// Steps up to which a thorough search measures each.
const EACH_STEP: u64 = 16;

/// The fastest of a chip's [`shortlist`], or in a thorough search of its [`nested`] ones.
///
/// # Errors
/// A scratchpad in which nothing fits; a measurement that failed.
pub fn search(
    model: &Model,
    workload: &Workload,
    target: &Target,
    effort: Effort,
    meter: &mut dyn Meter,
) -> Result<Mapping, HostError> {
    let candidates = match effort {
        Effort::Quick => few(model, workload, target)?,
        Effort::Thorough => nested(model, workload, target)?,
    };
    fastest(model, workload, target, &candidates, effort, meter)
}

/// A step and how often it comes.
type Step = (u64, Lowered, Doorbell);

/// A candidate: the least cycles of all its steps, and of each.
type Bounded = (u64, Mapping, Vec<(u64, Step)>);

/// The steps that stand for a workload: decode in the middle of the generated tokens; of prefill the first sequence's
/// first chunk for all but the last one.
fn steps(plan: &Plan, effort: Effort) -> Vec<Step> {
    let workload = &plan.workload;
    let before = u64::from(workload.context) + u64::from(workload.prompt);
    let ids = vec![0; workload.batch as usize];
    let decode = |times: u64, after: u64| {
        let (step, doorbell) = plan.decode_step(before + after, &ids);
        (times, step.clone(), doorbell)
    };
    let chunks = plan.prefill_steps(&vec![0; workload.prompt as usize]);
    let (others, batch) = (chunks.len().saturating_sub(1), u64::from(workload.batch));
    let mut prefill: Vec<Step> =
        chunks.into_iter().map(|(step, doorbell)| (batch, step.clone(), doorbell)).collect();
    let generate = u64::from(workload.generate);
    if effort == Effort::Thorough && prefill.len() as u64 + generate <= EACH_STEP {
        // As they are run.
        return prefill.into_iter().chain((0..generate).map(|after| decode(1, after))).collect();
    }
    if others > 1 {
        prefill.drain(1..others);
        prefill[0].0 *= others as u64;
    }
    let middle = (generate > 0).then(|| decode(generate, generate / 2));
    middle.into_iter().chain(prefill).collect()
}

/// The candidate with the least cycles for a layer, over the whole workload; of equals, the first one that is measured. They
/// are measured in the order given, those last whose bound alone is far above the least bound. What is not measured,
/// or given up, cannot win by much; in a thorough search, not at all.
///
/// # Errors
/// No candidate, none that can be lowered, or a measurement that failed.
pub fn fastest(
    model: &Model,
    workload: &Workload,
    target: &Target,
    candidates: &[Mapping],
    effort: Effort,
    meter: &mut dyn Meter,
) -> Result<Mapping, HostError> {
    let failed = |e: DeviceError| HostError::Measure { message: e.to_string() };
    let mut planned: Vec<Bounded> = Vec::new();
    let mut refused = None;
    for mapping in candidates {
        let plan = match plan(model, workload, target, mapping) {
            Ok(plan) => plan,
            Err(error) => {
                refused.get_or_insert(error);
                continue;
            }
        };
        let bound = |step: Step| -> Result<(u64, Step), HostError> {
            Ok((meter.least(&step.1, &step.2).map_err(failed)?, step))
        };
        let steps = steps(&plan, effort).into_iter().map(bound).collect::<Result<Vec<_>, _>>()?;
        planned.push((steps.iter().map(|(least, step)| step.0 * least).sum(), *mapping, steps));
    }
    let close = if effort == Effort::Quick { CLOSE_PERCENT } else { 100 };
    let far = planned.iter().map(|p| p.0).min().unwrap_or(0) * CLOSE_PERCENT / 100;
    planned.sort_by_key(|&(bound, ..)| if bound <= far { 0 } else { bound });

    let mut measured: Vec<(Step, u64)> = Vec::new();
    let mut best: Option<(u64, Mapping)> = None;
    for (bound, mapping, steps) in planned {
        let most = best.map_or(u64::MAX, |(cycles, _)| cycles - 1);
        if most.saturating_mul(100) < bound * close {
            continue;
        }
        meter.begin();
        // What is known of the total: steps not measured yet count what they take at least.
        let mut total = Some(bound);
        for (least, step) in steps {
            let Some(sum) = total else { break };
            let (times, program, doorbell) = &step;
            // Mappings that differ elsewhere give the same program for a phase.
            let alike = |m: &&(Step, u64)| m.0.2 == *doorbell && m.0.1.program == program.program;
            let known = measured.iter().find(|m| effort == Effort::Quick && alike(m));
            let cycles = match known {
                Some(known) => Some(known.1),
                None => {
                    let room = most.saturating_sub(sum) / times + least;
                    meter.cycles(program, doorbell, room).map_err(failed)?
                }
            };
            total = cycles.map(|cycles| sum + times * cycles - times * least).filter(|&sum| sum <= most);
            measured.extend(cycles.filter(|_| known.is_none()).map(|cycles| (step, cycles)));
        }
        if let Some(cycles) = total {
            best = Some((cycles, mapping));
            meter.keep();
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

    /// Programs take as long as they are.
    struct Words {
        each: u64,
        base: u64,
        kept: u32,
    }
    impl Meter for Words {
        fn least(&mut self, _: &Lowered, _: &Doorbell) -> Result<u64, DeviceError> {
            Ok(0)
        }
        fn cycles(&mut self, step: &Lowered, _: &Doorbell, most: u64) -> Result<Option<u64>, DeviceError> {
            let cycles = self.each * step.program.code.len() as u64 + self.base;
            Ok((cycles <= most).then_some(cycles))
        }
        fn keep(&mut self) {
            self.kept += 1;
        }
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
    fn short_lists_of_smaller_chips_are_in_those_of_larger_ones() {
        let model = Model::builtin("tiny-2l").unwrap();
        let small = nested(&model, &workload(), &Target::TINY).unwrap();
        for large in [
            Target { cores: 4, ..Target::TINY },
            Target { scratchpad_bytes: 1 << 20, ..Target::TINY },
            Target { cores: 8, scratchpad_bytes: 4 << 20, ..Target::TINY },
        ] {
            let large = nested(&model, &workload(), &large).unwrap();
            let missing: Vec<_> = small.iter().filter(|m| !large.contains(m)).collect();
            assert!(missing.is_empty(), "{missing:?}");
            assert!(large.len() < 200, "{}", large.len());
        }
    }

    #[test]
    fn the_fastest_is_kept_and_the_first_of_equals() {
        let (model, workload) = (Model::builtin("tiny-2l").unwrap(), workload());
        let all = candidates(&model, &workload, &Target::TINY);
        let mut words = Words { each: 1, base: 0, kept: 0 };
        let best = fastest(&model, &workload, &Target::TINY, &all, Effort::Quick, &mut words).unwrap();
        let size = |m: &Mapping| {
            let plan = plan(&model, &workload, &Target::TINY, m).unwrap();
            let steps = plan.prefill_steps(&[0; 8]);
            let prefill: usize = steps.iter().map(|s| s.0.program.code.len()).sum();
            4 * plan.decode.program.code.len() + prefill // all chunks but the last have the same program
        };
        let first = all.iter().min_by_key(|m| size(m)).unwrap();
        assert_eq!(best, *first);
        let mut constant = Words { each: 0, base: 1, kept: 0 };
        let constant = fastest(&model, &workload, &Target::TINY, &all, Effort::Quick, &mut constant).unwrap();
        assert_eq!(constant.chunk, 8, "fewest chunks");
    }

    #[test]
    fn a_phone_has_a_short_list() {
        let model = Model::builtin("llama-2-7b").unwrap();
        let list = shortlist(&model, &Workload::default(), &Target::PHONE).unwrap();
        assert!((3..=8).contains(&list.len()), "{list:#?}");
    }
}
