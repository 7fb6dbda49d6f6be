//! What a run leaves behind, read off the machine: totals, and a line per execution of an operator.

use super::Machine;
use crate::channel::Channel;
use crate::report::{OperatorRun, Totals};
use crate::shared::{Instance, Snapshot};

impl Machine {
    pub(crate) fn snapshot(&self) -> Snapshot {
        let cycle = self.now / self.timebase.core_period + 1;
        let leapt = &self.leapt;
        Snapshot {
            time: self.now,
            dram_bursts: self.shared.bursts.wrapping_add(leapt.bursts),
            lut: self.lut.activity.up_to(cycle).plus(&leapt.lut),
            load: self.load.cycles(cycle).plus(&leapt.load),
            vector: self.vector.activity.up_to(cycle).plus(&leapt.vector),
        }
    }

    /// Where it is worth to look whether the state has been seen before.
    pub(super) fn milestones(&self) -> (u64, u64) {
        (self.load.milestones, self.sequencer.hints)
    }

    /// Notes the state of the machine at the last retirement of each operator.
    pub(super) fn book_retirements(&mut self) {
        let snapshot = self.snapshot();
        for &instance in &self.shared.retirements {
            self.shared.instances[instance as usize].last = snapshot;
        }
        self.shared.retirements.clear();
    }

    pub(super) fn operators(&self, begin: Snapshot) -> Vec<OperatorRun> {
        let mut order: Vec<&Instance> = self.shared.instances.iter().collect();
        order.sort_by_key(|i| i.last.time);
        let mut previous = begin;
        let run = |instance: &Instance| {
            let last = instance.last;
            let run = OperatorRun {
                operator: instance.operator,
                pass: instance.pass,
                cycles: (last.time - previous.time) / self.timebase.core_period,
                macs: instance.macs,
                vector_ops: instance.vector_ops,
                bytes_transferred: (last.dram_bursts - previous.dram_bursts)
                    * self.shared.interleave.burst_bytes,
                bytes_owned: instance.owned_bytes,
                lut: last.lut.since(&previous.lut),
                load: last.load.since(&previous.load),
                vector: last.vector.since(&previous.vector),
            };
            previous = last;
            run
        };
        order.into_iter().map(run).collect()
    }

    /// Everything counted up to now.
    pub(crate) fn totals(&self) -> Totals {
        let mut totals = self.executed();
        totals.plus(&self.leapt);
        totals
    }

    /// Everything that the components counted up to now.
    pub(crate) fn executed(&self) -> Totals {
        let cycle = self.now / self.timebase.core_period + 1;
        let s = &self.shared;
        Totals {
            cycles: cycle,
            sequencer: self.sequencer.activity.up_to(cycle),
            load: self.load.cycles(cycle),
            store: self.store.activity.up_to(cycle),
            lut: self.lut.activity.up_to(cycle),
            drain: self.lut.drain_activity.up_to(cycle),
            vector: self.vector.activity.up_to(cycle),
            unpacker: self.load.unpacker.up_to(cycle),
            scratchpad_busy: s.scratchpad.busy_cycles,
            scratchpad_conflicts: s.scratchpad.conflicts,
            scratchpad_words_read: s.scratchpad.words_read,
            scratchpad_words_written: s.scratchpad.words_written,
            work: s.work,
            bytes_read: s.bytes_read,
            bytes_written: s.bytes_written,
            bursts: s.bursts,
            channels: self.channels.iter().map(|c| c.counters(self.now)).collect(),
            memory_clocks: self.now / self.timebase.memory_period,
            channels_waited: self.channels.iter().map(|c| c.waited(self.now)).collect(),
            others: self.channels.iter().map(Channel::others).fold([0; 2], |a, b| [a[0] + b[0], a[1] + b[1]]),
        }
    }
}
