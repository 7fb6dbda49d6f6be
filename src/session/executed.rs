//! What the machine did, apart from what silicon costs: sessions that differ in energy, area and price only share it.

use lutsim_host::mapping::Mapping;
use lutsim_host::plan::plan;
use lutsim_record::Record;
use lutsim_sim::Engine;
use lutsim_sim::config::Chip;

use super::{Decode, Error, OperatorCounts, Prefill, Progress, Session, record};
use crate::device;

/// What a run came to on the machine: how the model was cut, and what was counted.
pub struct Executed {
    mapping: Mapping,
    prefill: Option<Prefill>,
    decode: Option<Decode>,
}

impl Executed {
    /// Bytes that it takes.
    pub fn bytes(&self) -> usize {
        let operator = |o: &OperatorCounts| size_of::<OperatorCounts>() + o.name.len();
        let counts = self.prefill.iter().map(|p| &p.counts).chain(self.decode.iter().map(|d| &d.counts));
        let each = counts.map(|c| {
            let operators: usize = c.operators.iter().map(operator).sum();
            operators + size_of_val(c.units.as_slice())
        });
        size_of::<Self>() + each.sum::<usize>()
    }
}

impl Session {
    /// Everything that [`Self::execute`] depends on, as text: equal texts, equal counts. Every field of the machine, the model and
    /// the workload is in it, so that a new one is never forgotten; names and nodes, which only cost and energy know, are not.
    pub fn execution(&self) -> String {
        let chip = Chip { name: String::new(), technology: String::new(), ..self.chip.chip.clone() };
        format!(
            "{chip:?} {:?} {:?} {:?} {} {:?} {:?}",
            self.model,
            self.workload(),
            self.phase,
            self.every_step,
            self.effort,
            self.mapping
        )
    }

    /// Runs it on the machine, without values; [`Self::record_of`] makes the record.
    ///
    /// # Errors
    /// As [`Self::run`], what silicon costs included.
    ///
    /// # Panics
    /// As [`Self::run`], and on a session that asks for more than counts.
    pub fn execute(&self, progress: &dyn Progress) -> Result<Executed, Error> {
        let plain = !(self.values || self.routed) && self.decode_ids.is_none() && self.prompt_ids.is_none();
        let unseen =
            self.moments == 0 && self.trace.is_none() && self.engine == Engine::Leap && self.audit == 0;
        assert!(plain && unseen, "what was executed is counts and nothing else");
        // What cannot be priced is found before anything is simulated.
        record::technology(&self.chip)?;
        let ran = self.ran(None, progress)?;
        Ok(Executed { mapping: ran.plan.mapping, prefill: ran.prefill, decode: ran.decode })
    }

    /// The record of what this session's machine did: the same, byte for byte, as [`Self::run`] makes.
    ///
    /// # Errors
    /// Technologies that do not go together.
    pub fn record_of(&self, executed: &Executed) -> Result<Record, Error> {
        let technology = record::technology(&self.chip)?;
        let (target, workload) = (device::target(&self.chip.chip), self.workload());
        let plan = plan(&self.model, &workload, &target, &executed.mapping)?;
        let (prefill, decode) = (executed.prefill.as_ref(), executed.decode.as_ref());
        record::assemble(self, &plan, &technology, prefill, decode, None)
    }
}
