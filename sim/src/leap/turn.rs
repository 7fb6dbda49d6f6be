//! Turns of a loop that come again, passed without a look at what happened within.
//!
//! ```text
//! turn n       A ----------- hops -----------> B       the same state and refreshes as at A, the rows so much further up
//! turn n + 1   B -- the words of A to B come again, so much further up in DRAM? --> C
//! ```
//! A turn here is one of the outermost loop, or as many as it takes until the state comes again.
//!
//! # Why this is exact
//! What happens from a state on depends on the state, the words to come, the times of the next refreshes, and of rows on which are
//! the same (`mod.rs`). At B the state is that of A, and so are the times, relative to now. If the words from there on are those
//! from A on, word by word the same operation on tiles alike in the banks, every address in DRAM further up by as much as the rows
//! of the state are, whole row units, then what overlapped overlaps, and what happens is what happened: the machine comes to C in
//! that state, by as many counts. So it goes on for each turn whose words come again. Rows of the state may stay where they are,
//! as the program's do, as long as what moves is on one side of them.
//!
//! What an operator's execution has come to is no part of the state. One that was under way at B goes on as that of the turn before did
//! at A, and ends as far behind it.

use lutsim_dram::{Clusters, Rows};
use lutsim_isa::control::{Control, Word};
use lutsim_isa::field::{Dim, Imm32, Reg, TileId};
use lutsim_isa::{Inst, Program, TileRef};

use super::{Leap, addresses};
use crate::channel::Channel;
use crate::link::Tick;
use crate::machine::{Job, Machine};
use crate::report::{program_bytes, snapshot};
use crate::shared::{Instance, Snapshot};

/// Executions of operators that are looked back on, at most.
const MOST_EXECUTIONS: usize = 1024;

/// Turns that are looked back on, at most.
const MOST_TURNS: usize = 8;

/// Where the machine was when a turn of the outermost loop began.
pub(super) struct Turn {
    state: u32,
    control: Control,
    clusters: Clusters,
    /// Clocks to each channel's next refresh.
    due: Vec<u64>,
    totals: Vec<u64>,
    now: Tick,
    /// The last executions of operators, from this number on, and how many have begun of each.
    first: usize,
    instances: Vec<Instance>,
    passes: Vec<u32>,
    hits: u64,
    /// The least number of an execution that was touched since.
    pub(super) touched: usize,
}

impl Turn {
    fn new(
        machine: &Machine,
        state: u32,
        clusters: &Clusters,
        due: &[u64],
        totals: &[u64],
        hits: u64,
    ) -> Self {
        let instances = &machine.shared.instances;
        let first = instances.len().saturating_sub(MOST_EXECUTIONS);
        Self {
            state,
            control: machine.feed.control().clone(),
            clusters: clusters.clone(),
            due: clocks_left(machine, due),
            totals: totals.to_vec(),
            now: machine.now,
            first,
            instances: instances[first..].to_vec(),
            passes: machine.sequencer.passes().to_vec(),
            hits,
            touched: usize::MAX,
        }
    }
}

fn clocks_left(machine: &Machine, due: &[u64]) -> Vec<u64> {
    let clock = machine.now / machine.timebase.memory_period;
    due.iter().map(|&due| if due == u64::MAX { due } else { due.wrapping_sub(clock) }).collect()
}

/// The words of a turn: their numbers, and what must be the same again; and in between which row units they ask for something.
struct Words {
    words: Vec<(u32, What)>,
    rows: Rows,
}

enum What {
    /// Nothing.
    Any,
    /// A tile, its base within the banks.
    Tile(TileId, TileRef),
    /// An address in DRAM.
    Address(Reg, Imm32, u64),
    /// Sizes.
    Sizes(Vec<(Dim, u32)>),
}

impl Words {
    /// Those from one state of the sequencer to another; `None` if a word's addresses are the host's to say.
    fn between(from: &Control, to: &Control, program: &Program, banks: u32, span: u64) -> Option<Self> {
        let mut control = from.clone();
        let (mut words, mut rows) = (Vec::new(), (u64::MAX, 0));
        while control != *to {
            let pc = control.pc;
            let what = match control.advance(program).ok()? {
                Word::Control | Word::Fence => What::Any,
                Word::Halt | Word::Dispatch(Inst::Gather { .. }) => return None,
                Word::Tile(id) => What::Tile(id, within(control.tile(id).ok()?, banks)),
                Word::Dispatch(inst) => {
                    let reads = inst.reads();
                    let sizes = reads.sizes.iter().map(|&dim| Some((dim, control.size(dim).ok()?)));
                    match (reads.address, reads.sizes.is_empty()) {
                        (None, true) => What::Any,
                        (None, false) => What::Sizes(sizes.collect::<Option<_>>()?),
                        (Some((base, offset)), true) => {
                            let mut op = control.dispatch(inst, pc).ok()?.op;
                            addresses(&mut op, &[], |&mut at, bytes| {
                                rows = hull(rows, (at / span, (at + bytes.max(1) - 1) / span));
                            });
                            What::Address(base, offset, control.address(base, offset).ok()?)
                        }
                        (Some(_), false) => return None,
                    }
                }
            };
            words.push((pc, what));
        }
        Some(Self { words, rows })
    }

    /// The first address in DRAM, and what it is when they come again.
    fn first_address(&self, control: &Control, program: &Program) -> Option<(u64, u64)> {
        let mut control = control.clone();
        self.words.iter().find_map(|(_, what)| {
            let known = control.advance(program).is_ok();
            match *what {
                What::Address(base, offset, at) if known => Some((at, control.address(base, offset).ok()?)),
                _ => None,
            }
        })
    }

    /// Whether they come again, so many bytes further up in DRAM; the sequencer is behind them then.
    fn come(&self, control: &mut Control, program: &Program, banks: u32, further: u64) -> bool {
        self.words.iter().all(|(pc, what)| {
            if control.pc != *pc || control.advance(program).is_err() {
                return false;
            }
            match what {
                What::Any => true,
                What::Tile(id, tile) => control.tile(*id).is_ok_and(|now| within(now, banks) == *tile),
                What::Address(base, offset, at) => control.address(*base, *offset) == Ok(at + further),
                What::Sizes(sizes) => sizes.iter().all(|&(dim, size)| control.size(dim) == Ok(size)),
            }
        })
    }
}

fn hull(a: Rows, b: Rows) -> Rows {
    (a.0.min(b.0), a.1.max(b.1))
}

/// How often what lies from `a` to `b` on further up than it did can move on by as many row units, and still overlap nothing that
/// stays where it is. `None` if something moves otherwise.
fn most_moves(words: &Words, a: &Clusters, b: &Clusters, step: u64) -> Option<u64> {
    let (mut moving, mut staying) = (words.rows, Vec::new());
    for (&then, &now) in a.0.iter().zip(&b.0) {
        match now.0.checked_sub(then.0)? {
            moved if moved == step => moving = hull(moving, hull(then, now)),
            0 => staying.push(now),
            _ => return None,
        }
    }
    staying.into_iter().try_fold(u64::MAX, |most, rows| match rows {
        (_, last) if last < moving.0 => Some(most),
        (first, _) if moving.1 < first => Some(most.min((first - 1 - moving.1) / step)),
        _ => None,
    })
}

fn within(tile: TileRef, banks: u32) -> TileRef {
    TileRef { base: tile.base % banks, ..tile }
}

/// Whether all tiles are alike in the banks.
fn tiles_are_alike(a: &Control, b: &Control, banks: u32) -> bool {
    let tile = |control: &Control, id| control.tile(id).ok().map(|tile| within(tile, banks));
    (0..64).filter_map(TileId::new).all(|id| tile(a, id) == tile(b, id))
}

impl Leap {
    /// Whether turns may be left out: nobody wants to see what happens in each, and nobody else uses the memory.
    fn may_leave_out(&self, machine: &Machine) -> bool {
        self.audit == 0 && machine.is_alone() && machine.channels.iter().all(Channel::is_alone)
    }

    /// Behind a hop: leaves out the turns that are to come as the last one was, if one has just begun.
    pub(super) fn leave_out_turns(
        &mut self,
        machine: &mut Machine,
        job: &Job<'_>,
        state: u32,
        clusters: &mut Clusters,
        due: &mut [u64],
        totals: &mut [u64],
    ) {
        let left = machine.feed.control().turns();
        let begun = self.turns_left.zip(left).is_some_and(|(before, now)| now + 1 == before);
        self.turns_left = left;
        if !begun || !self.may_leave_out(machine) {
            return;
        }
        let here = Turn::new(machine, state, clusters, due, totals, self.stats.hits);
        let like = self.turns.iter().rev().find(|turn| turn.state == state && turn.due == here.due);
        let turns = like.and_then(|before| self.left_out(before, &here, machine, job));
        if let (Some(before), Some(turns)) = (like, turns) {
            let ticks = here.now - before.now;
            machine.now += turns * ticks;
            let clocks = turns * ticks / machine.timebase.memory_period;
            due.iter_mut().filter(|due| **due != u64::MAX).for_each(|due| *due += clocks);
            for (rows, then) in clusters.0.iter_mut().zip(&before.clusters.0) {
                let further = turns * (rows.0 - then.0);
                *rows = (rows.0 + further, rows.1 + further);
            }
            for (x, then) in totals.iter_mut().zip(&before.totals) {
                *x += turns * (*x - then);
            }
            let period = before
                .control
                .turns()
                .zip(here.control.turns())
                .map_or(1, |(then, now)| then.saturating_sub(now));
            self.stats.turns += turns * period;
            self.stats.hits += turns * (here.hits - before.hits);
            self.turns_left = machine.feed.control().turns();
            self.turns.clear();
            return;
        }
        if self.turns.len() == MOST_TURNS {
            self.turns.pop_front();
        }
        self.turns.push_back(here);
    }

    /// Has the sequencer and the executions of operators pass the turns that come as the one from `a` to `b`, in the same state, did; how
    /// many.
    fn left_out(&self, a: &Turn, b: &Turn, machine: &mut Machine, job: &Job<'_>) -> Option<u64> {
        let banks = machine.feed.prototypes.as_ref()?.banks();
        let end = a.first + a.instances.len();
        // Executions from this number on were touched.
        let touched = a.touched.min(end);
        let same = a.control.pc == b.control.pc
            && program_bytes(&a.totals) == program_bytes(&b.totals)
            && touched >= a.first.max(b.first)
            && tiles_are_alike(&a.control, &b.control, banks);
        if !same {
            return None;
        }
        let words = Words::between(&a.control, &b.control, job.program, banks, self.span)?;
        let (at, again) = words.first_address(&b.control, job.program)?;
        let further = again.checked_sub(at).filter(|further| further.is_multiple_of(self.span))?;
        let most = most_moves(&words, &a.clusters, &b.clusters, further / self.span)?;
        let most = most.min(machine.most_turns(b.now - a.now));
        let (mut turns, mut control) = (0, b.control.clone());
        let mut next = control.clone();
        while turns < most
            && words.come(&mut next, job.program, banks, (turns + 1) * further)
            && next.pc == b.control.pc
        {
            turns += 1;
            control.clone_from(&next);
        }
        if turns == 0 {
            return None;
        }
        machine.feed.go_on_from(control);
        let gained = Gained {
            of: snapshot(&a.totals, a.now),
            to: snapshot(&b.totals, b.now),
            passes: a.passes.iter().zip(&b.passes).map(|(a, b)| b - a).collect(),
        };
        let (before, after) = (&a.instances[touched - a.first..], &b.instances[touched - b.first..]);
        let instances = &mut machine.shared.instances;
        for turn in 1..=turns {
            let under_way = instances.len() - before.len();
            for (instance, (before, after)) in instances[under_way..].iter_mut().zip(before.iter().zip(after))
            {
                instance.owned_bytes += after.owned_bytes - before.owned_bytes;
                instance.macs += after.macs - before.macs;
                instance.vector_ops += after.vector_ops - before.vector_ops;
                instance.last = gained.last(instance, after, turn);
            }
            instances.extend(after[before.len()..].iter().map(|after| Instance {
                pass: after.pass + turn as u32 * gained.passes[after.operator as usize],
                last: gained.last(after, after, turn),
                ..after.clone()
            }));
        }
        machine.sequencer.pass(&gained.passes, turns as u32);
        Some(turns)
    }
}

/// What a turn adds.
struct Gained {
    of: Snapshot,
    to: Snapshot,
    /// Executions of each operator.
    passes: Vec<u32>,
}

impl Gained {
    /// The last retirement of an execution, after which the one in its place in the turn before had come to `like`.
    fn last(&self, instance: &Instance, like: &Instance, turns: u64) -> Snapshot {
        let (Self { of, to, .. }, like) = (self, &like.last);
        if like.time <= of.time {
            return instance.last;
        }
        Snapshot {
            time: like.time + turns * (to.time - of.time),
            dram_bursts: like.dram_bursts + turns * (to.dram_bursts - of.dram_bursts),
            lut: like.lut.plus(&to.lut.since(&of.lut).times(turns)),
            load: like.load.plus(&to.load.since(&of.load).times(turns)),
            vector: like.vector.plus(&to.vector.since(&of.vector).times(turns)),
        }
    }
}
