//! The units of the machine and the causes that their cycles can have, declared once.
//!
//! Every cycle of every unit is either busy or has exactly one cause, by the priority order in which the
//! causes are listed for the unit; there is no `other`, and idle is a cause like the rest.

use serde::{Deserialize, Serialize};

use crate::ordered::Ordered;

macro_rules! causes {
    ($($variant:ident $name:literal $doc:literal;)*) => {
        /// Why a unit did nothing useful in a cycle.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Cause { $(#[doc = $doc] $variant,)* }

        impl Cause {
            /// All causes, in declared order.
            pub const ALL: &'static [Cause] = &[$(Cause::$variant,)*];
            /// How many causes there are: the length of a tally.
            pub const COUNT: usize = Cause::ALL.len();

            /// The key in the record.
            pub const fn name(self) -> &'static str {
                match self { $(Cause::$variant => $name,)* }
            }

            /// What the cause means, one sentence.
            pub const fn doc(self) -> &'static str {
                match self { $(Cause::$variant => $doc,)* }
            }
        }
    };
}

causes! {
    Host       "host"        "The chip waits for the host: doorbell, read-back or sampling time.";
    Fetch      "fetch"       "The next instruction has not arrived from DRAM yet.";
    QueueFull  "queue_full"  "The target unit's instruction queue is full.";
    Fence      "fence"       "A fence waits for every unit to finish.";
    WaitLoad   "wait_load"   "The instruction at the head waits for a token that dma_load posts.";
    WaitStore  "wait_store"  "The instruction at the head waits for a token that dma_store posts.";
    WaitLut    "wait_lut"    "The instruction at the head waits for a token that lut posts.";
    WaitVector "wait_vector" "The instruction at the head waits for a token that vector posts.";
    Refresh    "refresh"     "A refresh occupies the channel.";
    Turnaround "turnaround"  "The data bus turns from reading to writing or back.";
    Timing     "timing"      "Requests wait for a timing constraint of the standard: activate, precharge, column spacing.";
    Dram       "dram"        "Requests are out at the memory controllers and no data has arrived, or they take no more.";
    Input      "input"       "A transfer is under way and the producer has delivered nothing this cycle.";
    Unpack     "unpack"      "The unpacker takes no more data.";
    Scratchpad "scratchpad"  "A scratchpad bank or port was taken by another, or has no free slot.";
    Builder    "builder"     "Table builders have not finished the next tables.";
    Broadcast  "broadcast"   "The weight or activation broadcast delivers less than the cores consume.";
    Drain      "drain"       "Both accumulator buffers are full: the drain lanes are behind.";
    Pipeline   "pipeline"    "Results are in flight in the unit's own pipeline and nothing more can start.";
    Idle       "idle"        "The unit has no work.";
}

/// One row of the unit table.
#[derive(Clone, Copy, Debug)]
pub struct UnitRow {
    /// The name in the record; channels add their number: `dram.0`.
    pub name: &'static str,
    /// The clock that its cycles are counted in.
    pub clock: &'static str,
    /// What a busy cycle is.
    pub busy: &'static str,
    /// The causes that it can have, highest priority first.
    pub causes: &'static [Cause],
}

macro_rules! units {
    ($($variant:ident $name:literal $clock:literal $busy:literal [$($cause:ident)*];)*) => {
        /// A unit whose cycles are accounted for.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum UnitKind { $(#[doc = $busy] $variant,)* }

        impl UnitKind {
            /// All units, in declared order.
            pub const ALL: &'static [UnitKind] = &[$(UnitKind::$variant,)*];

            /// The unit's row of the table.
            pub const fn row(self) -> UnitRow {
                match self {
                    $(UnitKind::$variant => UnitRow {
                        name: $name, clock: $clock, busy: $busy, causes: &[$(Cause::$cause,)*],
                    },)*
                }
            }
        }
    };
}

units! {
    Sequencer  "sequencer"  "core" "An instruction is decoded and issued."
        [Host Fence QueueFull Fetch Idle];
    DmaLoad    "dma_load"   "core" "Bytes arrive from DRAM or requests leave for it."
        [WaitLoad WaitStore WaitLut WaitVector Unpack Scratchpad Dram Pipeline Idle];
    DmaStore   "dma_store"  "core" "Bytes leave for DRAM."
        [WaitLoad WaitStore WaitLut WaitVector Scratchpad Dram Pipeline Idle];
    Unpacker   "unpacker"   "core" "A word of planes, scales or plain data leaves for the scratchpad."
        [Scratchpad Input Pipeline Idle];
    Lut        "lut"        "core" "The gang of LUT cores selects and accumulates."
        [WaitLoad WaitStore WaitLut WaitVector Drain Scratchpad Builder Broadcast Pipeline Idle];
    Drain      "drain"      "core" "Drain lanes apply scales and zero points."
        [Scratchpad Input Pipeline Idle];
    Vector     "vector"     "core" "Vector lanes work."
        [WaitLoad WaitStore WaitLut WaitVector Scratchpad Pipeline Idle];
    Scratchpad "scratchpad" "core" "At least one bank is accessed."
        [Pipeline Idle];
    Dram       "dram"       "dram" "The channel's data bus moves a burst."
        [Refresh Turnaround Timing Idle];
}

impl UnitKind {
    /// The unit's name; `index` numbers the channels.
    pub fn name(self, index: Option<u32>) -> String {
        match index {
            None => self.row().name.to_owned(),
            Some(i) => format!("{}.{i}", self.row().name),
        }
    }

    /// The kind that a unit's name in a record belongs to.
    pub fn from_name(name: &str) -> Option<UnitKind> {
        let stem = name.split('.').next().unwrap_or(name);
        UnitKind::ALL.iter().copied().find(|kind| kind.row().name == stem)
    }
}

/// What the simulator adds to: busy cycles and cycles by cause, a fixed array and no map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally {
    /// Cycles in which the unit did work.
    pub busy: u64,
    /// Cycles by cause, indexed by `Cause as usize`.
    pub stalls: [u64; Cause::COUNT],
}

impl Default for Tally {
    fn default() -> Self {
        Tally { busy: 0, stalls: [0; Cause::COUNT] }
    }
}

impl Tally {
    /// Charges `cycles` to `cause`.
    pub fn charge(&mut self, cause: Cause, cycles: u64) {
        self.stalls[cause as usize] += cycles;
    }

    /// Busy plus every cause.
    pub fn total(&self) -> u64 {
        self.busy + self.stalls.iter().sum::<u64>()
    }

    /// What was added since `before`.
    #[must_use]
    pub fn since(&self, before: &Tally) -> Tally {
        let mut out = Tally { busy: self.busy - before.busy, ..Tally::default() };
        for (i, slot) in out.stalls.iter_mut().enumerate() {
            *slot = self.stalls[i] - before.stalls[i];
        }
        out
    }

    /// The sum of both.
    #[must_use]
    pub fn plus(&self, other: &Tally) -> Tally {
        let mut out = *self;
        out.busy += other.busy;
        for (slot, more) in out.stalls.iter_mut().zip(&other.stalls) {
            *slot += more;
        }
        out
    }

    /// The record's entry for a unit: all declared causes in declared order, zeros included, and it is an
    /// error if a cycle was charged to a cause that the unit cannot have.
    pub fn unit(&self, kind: UnitKind, index: Option<u32>) -> Result<UnitCycles, UnitError> {
        let row = kind.row();
        for cause in Cause::ALL {
            let cycles = self.stalls[*cause as usize];
            if cycles > 0 && !row.causes.contains(cause) {
                return Err(UnitError::Undeclared { unit: kind.name(index), cause: cause.name(), cycles });
            }
        }
        Ok(UnitCycles {
            name: kind.name(index),
            clock: row.clock.to_owned(),
            busy_cycles: self.busy,
            stall_cycles: row.causes.iter().map(|c| (c.name(), self.stalls[*c as usize])).collect(),
        })
    }
}

/// Where one unit's cycles went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitCycles {
    /// The unit, for instance `lut` or `dram.0`.
    pub name: String,
    /// The clock that these cycles are edges of, a key of the record's `machine.clocks_hz`.
    pub clock: String,
    /// Cycles in which it worked.
    pub busy_cycles: u64,
    /// Cycles by cause, idle among them.
    pub stall_cycles: Ordered<u64>,
}

/// A unit's cycles do not add up: a fault of the simulator, not of its user.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// Busy plus causes is not the number of cycles that passed.
    #[error("unit `{unit}`: busy and causes sum to {sum} cycles, {total} passed")]
    Sum {
        /// The unit.
        unit: String,
        /// Busy plus causes.
        sum: u64,
        /// What passed.
        total: u64,
    },
    /// Cycles were charged to a cause that the unit does not declare.
    #[error("unit `{unit}`: {cycles} cycles charged to `{cause}`, which it does not declare")]
    Undeclared {
        /// The unit.
        unit: String,
        /// The cause.
        cause: &'static str,
        /// How many.
        cycles: u64,
    },
}

impl UnitCycles {
    /// Busy plus every cause.
    pub fn total(&self) -> u64 {
        self.busy_cycles + self.stall_cycles.iter().map(|(_, n)| *n).sum::<u64>()
    }

    /// Checks that every one of `total` cycles has exactly one cause.
    pub fn check_sum(&self, total: u64) -> Result<(), UnitError> {
        match self.total() {
            sum if sum == total => Ok(()),
            sum => Err(UnitError::Sum { unit: self.name.clone(), sum, total }),
        }
    }

    /// The cycles of both; causes that only `other` has are appended.
    #[must_use]
    pub fn plus(&self, other: &UnitCycles) -> UnitCycles {
        let mut out = self.clone();
        out.busy_cycles += other.busy_cycles;
        for (cause, cycles) in other.stall_cycles.iter() {
            out.stall_cycles.add(cause, *cycles);
        }
        out
    }

    /// The largest cause other than idle, with its cycles; none if the unit never stalled.
    pub fn largest_stall(&self) -> Option<(&str, u64)> {
        let stalls = self.stall_cycles.iter().filter(|(name, n)| *name != Cause::Idle.name() && **n > 0);
        stalls.map(|(name, n)| (name, *n)).reduce(|best, x| if x.1 > best.1 { x } else { best })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_ends_in_idle_and_repeats_no_cause() {
        for kind in UnitKind::ALL {
            let row = kind.row();
            assert_eq!(row.causes.last(), Some(&Cause::Idle), "{}", row.name);
            for (i, cause) in row.causes.iter().enumerate() {
                assert!(!row.causes[..i].contains(cause), "{}: {cause:?} twice", row.name);
            }
        }
        for (i, cause) in Cause::ALL.iter().enumerate() {
            assert_eq!(*cause as usize, i);
            assert!(UnitKind::ALL.iter().any(|k| k.row().causes.contains(cause)), "{cause:?} unused");
        }
        assert_eq!(UnitKind::from_name("dram.3"), Some(UnitKind::Dram));
        assert_eq!(UnitKind::from_name("dma_load"), Some(UnitKind::DmaLoad));
        assert_eq!(UnitKind::from_name("gpu"), None);
    }

    #[test]
    fn a_tally_becomes_a_unit_that_adds_up() {
        let mut tally = Tally { busy: 10, ..Tally::default() };
        tally.charge(Cause::Drain, 4);
        let before = tally;
        tally.charge(Cause::Idle, 6);
        let unit = tally.unit(UnitKind::Lut, None).unwrap();
        assert_eq!(unit.check_sum(20), Ok(()));
        assert_eq!(
            unit.check_sum(21).unwrap_err().to_string(),
            "unit `lut`: busy and causes sum to 20 cycles, 21 passed"
        );
        assert_eq!(unit.largest_stall(), Some(("drain", 4)));
        assert_eq!(tally.since(&before).total(), 6);
        assert_eq!(before.plus(&tally.since(&before)), tally);
    }

    #[test]
    fn an_undeclared_cause_is_refused() {
        let mut tally = Tally::default();
        tally.charge(Cause::Drain, 4);
        assert_eq!(
            tally.unit(UnitKind::Dram, Some(1)).unwrap_err().to_string(),
            "unit `dram.1`: 4 cycles charged to `drain`, which it does not declare"
        );
    }
}
