//! Which experts a run's tokens take: with values those that the router chooses, otherwise those of a seed.
//!
//! A doorbell says them before the step, so with values the host computes them in advance, by the integer reference: the machine's
//! router gives the same numbers, bit for bit.

use std::iter::repeat_with;

use lutsim_host::image::ImageError;
use lutsim_host::lower::Lowered;
use lutsim_host::plan::Plan;
use lutsim_host::reference::{Cache, Machine, Numerics, Reference};
use lutsim_host::runtime::Doorbell;
use lutsim_host::weights::WeightSource;

use super::Session;

/// Makes doorbells.
pub(super) struct Router<'a>(Option<(Reference<'a>, Vec<Cache>)>);

impl<'a> Router<'a> {
    /// # Errors
    /// A source that cannot be read.
    pub(super) fn new(
        session: &Session,
        plan: &Plan,
        source: &'a dyn WeightSource,
    ) -> Result<Self, ImageError> {
        if !(session.values || session.routed) || plan.model.experts.is_none() {
            return Ok(Self(None));
        }
        let numerics = Numerics::Machine(Machine::of(plan));
        let reference = Reference::new(plan.model.clone(), source, numerics)?;
        let cache = || reference.cache(plan.workload.context);
        let caches = repeat_with(cache).take(plan.workload.batch as usize).collect();
        Ok(Self(Some((reference, caches))))
    }

    /// As [`Plan::prefill_steps`].
    pub(super) fn prefill<'p>(&mut self, plan: &'p Plan, ids: &[u32]) -> Vec<(&'p Lowered, Doorbell)> {
        match &mut self.0 {
            None => plan.prefill_steps(ids),
            Some((reference, caches)) => plan.prefill_steps_by(ids, &mut router(reference, caches)),
        }
    }

    /// As [`Plan::decode_step`].
    pub(super) fn decode<'p>(
        &mut self,
        plan: &'p Plan,
        position: u64,
        ids: &[u32],
    ) -> (&'p Lowered, Doorbell) {
        match &mut self.0 {
            None => plan.decode_step(position, ids),
            Some((reference, caches)) => plan.decode_step_by(position, ids, &mut router(reference, caches)),
        }
    }
}

/// Reads one more token of a sequence.
fn router<'r, 's>(
    reference: &'r Reference<'s>,
    caches: &'r mut [Cache],
) -> impl FnMut(u32, u64, u32) -> Vec<Vec<u32>> + use<'r, 's> {
    |sequence, _, id| {
        let chosen = reference.chosen(&mut caches[sequence as usize], id);
        // The image was made of the same source, and the ids were checked against the vocabulary.
        chosen.unwrap_or_else(|e| panic!("a token of the reference: {e}"))
    }
}
