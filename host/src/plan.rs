//! Model, workload and chip to programs and doorbells.

use lutsim_isa::program::WORD_BYTES;

use crate::error::HostError;
use crate::layout::Layout;
use crate::lower::buffers::Buffers;
use crate::lower::{Lower, Lowered, POSITION, Phase, SEQUENCE};
use crate::mapping::Mapping;
use crate::model::Model;
use crate::routing::{Chosen, Router, seeded};
use crate::runtime::Doorbell;
use crate::target::Target;
use crate::workload::Workload;

/// Everything that a run needs.
#[derive(Clone, PartialEq, Debug)]
pub struct Plan {
    /// Model.
    pub model: Model,
    /// Workload.
    pub workload: Workload,
    /// Chip.
    pub target: Target,
    /// How the model is cut.
    pub mapping: Mapping,
    /// Where everything lies in DRAM.
    pub layout: Layout,
    /// One token of each sequence, at any position.
    pub decode: Lowered,
    /// A prefill chunk that others follow, if the prompt has several.
    pub prefill: Option<Lowered>,
    /// The last chunk of a prompt.
    pub prefill_last: Option<Lowered>,
}

/// Plans a run.
///
/// # Errors
/// A model, workload, chip and mapping that do not go together.
pub fn plan(
    model: &Model,
    workload: &Workload,
    target: &Target,
    mapping: &Mapping,
) -> Result<Plan, HostError> {
    workload.check(model, target)?;
    mapping.check(target, model, workload)?;
    let mut layout = Layout::new(model, workload, target, mapping)?;
    let align = target.bank_span_bytes.max(64);
    let mut programs = layout.programs;
    let mut lower = |phase| -> Result<Lowered, HostError> {
        let mut lowered = Lower::program(model, workload, target, mapping, &layout, phase)?;
        lowered.address = programs;
        programs = (programs + lowered.program.code.len() as u64 * WORD_BYTES).next_multiple_of(align);
        Ok(lowered)
    };
    let decode = lower(Phase::decode(workload))?;
    let chunk = mapping.chunk.min(workload.prompt).max(1);
    let last = workload.prompt - chunk * (workload.prompt.div_ceil(chunk).max(1) - 1);
    let prefill = match workload.prompt > chunk {
        true => Some(lower(Phase::prefill(workload, chunk, false))?),
        false => None,
    };
    let prefill_last = match workload.prompt > 0 {
        true => Some(lower(Phase::prefill(workload, last, true))?),
        false => None,
    };
    layout.bytes = programs;
    layout.check(model, programs, target)?;
    Ok(Plan {
        model: model.clone(),
        workload: *workload,
        target: *target,
        mapping: *mapping,
        layout,
        decode,
        prefill,
        prefill_last,
    })
}

impl Plan {
    /// Bytes of scratchpad before the weight ring in a step: activations, scores, probabilities and results of its rows.
    pub fn buffer_bytes(&self, step: &Lowered) -> u64 {
        Buffers::new(&self.model, &self.workload, &self.target, &self.mapping, step.phase).end
    }
    /// Every program, in address order.
    pub fn programs(&self) -> impl Iterator<Item = &Lowered> {
        [Some(&self.decode), self.prefill.as_ref(), self.prefill_last.as_ref()].into_iter().flatten()
    }
    /// Rows of a prefill chunk.
    pub fn chunk(&self) -> u32 {
        self.prefill.as_ref().or(self.prefill_last.as_ref()).map_or(0, |l| l.phase.rows)
    }
    /// One more token of each sequence: `ids` are the last ones, `position` tokens came before them. Experts, if the model has some, are
    /// those of a seed.
    ///
    /// # Panics
    /// A position that the workload did not ask for: the KV cache has no room for it.
    pub fn decode_step(&self, position: u64, ids: &[u32]) -> (&Lowered, Doorbell) {
        self.decode_step_by(position, ids, &mut self.seeded())
    }
    /// The same, with the experts that `router` says.
    ///
    /// # Panics
    /// As [`Self::decode_step`].
    pub fn decode_step_by(
        &self,
        position: u64,
        ids: &[u32],
        router: &mut Router<'_>,
    ) -> (&Lowered, Doorbell) {
        let capacity = u64::from(self.layout.kv.capacity);
        assert!(position < capacity, "token {position} of a KV cache for {capacity}");
        let rows = (0..).zip(ids).map(|(sequence, &id)| (sequence, position, id));
        let mailbox = self.mailbox(rows, router);
        (&self.decode, Doorbell { registers: vec![(POSITION, position), (SEQUENCE, 0)], mailbox })
    }
    /// The whole prompt: `ids` of sequence 0, then of sequence 1, and so on. The last step of each sequence gives its first token.
    /// Experts, if the model has some, are those of a seed.
    pub fn prefill_steps(&self, ids: &[u32]) -> Vec<(&Lowered, Doorbell)> {
        self.prefill_steps_by(ids, &mut self.seeded())
    }
    /// The same, with the experts that `router` says.
    pub fn prefill_steps_by(&self, ids: &[u32], router: &mut Router<'_>) -> Vec<(&Lowered, Doorbell)> {
        let mut steps = Vec::new();
        let prompt = self.workload.prompt.max(1) as usize;
        for (sequence, ids) in (0..self.workload.batch).zip(ids.chunks(prompt)) {
            let chunk = self.chunk().max(1) as usize;
            let count = ids.len().div_ceil(chunk);
            for (i, ids) in ids.chunks(chunk).enumerate() {
                let program = if i + 1 == count { &self.prefill_last } else { &self.prefill };
                let position = u64::from(self.workload.context) + (i * chunk) as u64;
                if let Some(program) = program {
                    let registers = vec![(POSITION, position), (SEQUENCE, u64::from(sequence))];
                    let rows = (position..).zip(ids).map(|(position, &id)| (sequence, position, id));
                    steps.push((program, Doorbell { registers, mailbox: self.mailbox(rows, router) }));
                }
            }
        }
        steps
    }
    /// The tokens of a step's rows (of some sequence, at some position), and the experts of each layer behind them.
    fn mailbox(&self, rows: impl Iterator<Item = (u32, u64, u32)>, router: &mut Router<'_>) -> Vec<u32> {
        let rows: Vec<_> = rows.collect();
        let mut mailbox: Vec<u32> = rows.iter().map(|&(.., id)| id).collect();
        if let Some(experts) = self.model.experts {
            let chosen: Vec<_> =
                rows.into_iter().map(|(sequence, position, id)| router(sequence, position, id)).collect();
            mailbox.extend(experts.lists(self.model.layers, &chosen));
        }
        mailbox
    }
    fn seeded(&self) -> impl FnMut(u32, u64, u32) -> Chosen + use<> {
        let (experts, layers) = (self.model.experts, self.model.layers);
        move |sequence, position, _| {
            experts.map_or(Vec::new(), |experts| seeded(experts, layers, sequence, position))
        }
    }
}
