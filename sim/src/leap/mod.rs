//! The engine that does not do the same thing twice.
//!
//! At milestones (a transfer is over, a fence is passed) the machine's state is written down relative to now, and
//! recognised if it has been met before. What happened from such a state to the next milestone is remembered, under
//! what it depended on; if that holds again, the counts are added and time moves on, and no cycle is executed.
//!
//! ```text
//! milestone --> state number (memo) --> an entry whose guards hold?  --yes--> add its counts, go to its next state
//!                                            |                                        |
//!                                            no                                       +--> and so on; then put the
//!                                            v                                             last state into the machine
//!                                       execute to the next milestone, remember it
//! ```
//!
//! # Why this is exact
//! The machine is deterministic: what happens next is a function of its state, the words to come, the host's mailbox,
//! and nothing else. Of time it knows differences only (`walk.rs` writes those, and the phase of the two clocks). Of
//! DRAM addresses it knows channel, bank and which rows are equal: phases within a row unit are written exactly; rows
//! are ranges of which only the overlaps are written ([`lutsim_dram::Canon`]). Words to come are compared one by one
//! with those that were executed: the same operation on the same tiles, its addresses at the same phase, its rows
//! overlapping the same ranges; of one that was not executed yet, but fetched for, the number. A refresh that falls due changes nothing until a hint or the postponement limit; how
//! far its time could have moved without that is measured while executing ([`lutsim_dram::Margin`]). All that is
//! counted is counted by addition.

mod machine;
mod memo;
mod turn;
mod walk;

use std::collections::{HashMap, VecDeque};
use std::hash::Hasher;

use lutsim_dram::{Canon, Clusters, Rows};
use lutsim_isa::Fault;

pub(crate) use walk::{Walk, addresses};

use self::memo::{Due, Entry, Execution, Guard, Memo, Miss};
use self::turn::Turn;
use crate::channel::Channel;
use crate::config;
use crate::feed::Prototypes;
use crate::link::Tick;
use crate::machine::{Job, Machine};
use crate::report::snapshot;
use crate::shared::{Instance, Interleave, Snapshot};
use crate::stop::Stop;

/// Parts of the state, as they are walked.
pub const PARTS: [&str; 11] = [
    "clock_phase",
    "scratchpad",
    "sequencer",
    "queues",
    "store",
    "lut",
    "vector",
    "load",
    "lanes",
    "channels",
    "rows",
];

/// How the memo fared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeapStats {
    /// Core cycles that were executed, and those that were leapt over.
    pub executed_cycles: u64,
    /// Core cycles that were executed to choose a mapping, before the run.
    pub searched_cycles: u64,
    /// Core cycles leapt over.
    pub leapt_cycles: u64,
    /// Entries applied, those of turns left out among them.
    pub hits: u64,
    /// Turns of loops that came as the one before did, and were passed as a whole.
    pub turns: u64,
    /// Milestones in a state never met.
    pub new_states: u64,
    /// Milestones in a known state from which other words, addresses or rows were to come.
    pub other_words: u64,
    /// Milestones in a known state, the same words to come, with the next refresh too near or too far.
    pub other_refresh: u64,
    /// Entries thrown away because the memo was full.
    pub evictions: u64,
    /// States and bytes held.
    pub states: u64,
    /// Bytes held.
    pub bytes: u64,
    /// Hits that were executed all the same, and compared.
    pub audited: u64,
    /// Of the milestones in a new state, those in which each of [`PARTS`] was not as it was when the same word was next for
    /// the last time.
    pub new_parts: [u64; PARTS.len()],
    /// Milestones that were no hit, by the operator whose words come next.
    pub misses_by_operator: Vec<u64>,
}

/// What the engine remembers of a chip, whatever it ran: states and what happened from them.
pub struct Memory {
    chip: config::Chip,
    leap: Box<Leap>,
    prototypes: Prototypes,
}

impl Memory {
    pub(crate) fn new(chip: config::Chip, mut leap: Box<Leap>, prototypes: Prototypes) -> Self {
        leap.stats = LeapStats {
            searched_cycles: leap.stats.searched_cycles + leap.stats.executed_cycles,
            ..LeapStats::default()
        };
        Self { chip, leap, prototypes }
    }
    /// Core cycles that were executed so far.
    pub fn searched_cycles(&self) -> u64 {
        self.leap.stats.searched_cycles
    }
    /// Counts core cycles that were executed beside it.
    pub fn count(&mut self, cycles: u64) {
        self.leap.stats.searched_cycles += cycles;
    }
    /// Its parts, if it is of this chip.
    pub(crate) fn of(self, chip: &config::Chip) -> Option<(Box<Leap>, Prototypes)> {
        (self.chip == *chip).then_some((self.leap, self.prototypes))
    }
}

/// What is being executed, to be remembered.
struct Recording {
    state: u32,
    now: Tick,
    clusters: Clusters,
    /// [`Totals::numbers`](crate::Totals).
    totals: Vec<u64>,
    begin: Snapshot,
    due: Vec<u64>,
    /// The executions of operators that jobs under way belong to, from number `first` on, and how many there were.
    first: u32,
    open: Vec<Instance>,
    instances: u32,
    /// What it must come to, if this is an audit.
    expected: Option<(Entry, u32)>,
}

/// The engine's memory.
pub(crate) struct Leap {
    canon: Canon,
    row_bit: u32,
    span: u64,
    memo: Memo,
    recording: Option<Recording>,
    /// Where the last turns of the outermost loop began that were leapt over, and how many were left behind the last hop.
    turns: VecDeque<Turn>,
    turns_left: Option<u64>,
    /// Since when the machine has been executed.
    since: Option<Tick>,
    /// The parts of the last new state before each word, hashed.
    last: HashMap<u32, [u64; PARTS.len()]>,
    /// Of 100 hits, how many are executed all the same.
    pub(crate) audit: u32,
    pub(crate) stats: LeapStats,
}

/// Rows of an interleave that does not repeat: everything is one.
const NO_ROWS: u32 = 40;

impl Leap {
    /// For these channels; `None` if they cannot be walked.
    pub(crate) fn new(interleave: &Interleave, channels: &[Channel]) -> Option<Self> {
        if !channels.iter().all(Channel::can_walk) {
            return None;
        }
        let turn = interleave.turn();
        let (row_bit, row_unit) = match channels.first()?.row_bits() {
            Some(bits) => bits,
            // Without rows, one turn of the channels after the other.
            None => (turn.trailing_zeros(), 0),
        };
        let whole = (1u64 << (row_bit + row_unit).min(NO_ROWS)).is_multiple_of(turn);
        let (row_bit, row_unit) = if whole { (row_bit, row_unit) } else { (NO_ROWS, 0) };
        let span = (channels.len() as u64 * interleave.burst_bytes) << (row_bit + row_unit);
        Some(Self {
            canon: Canon::new(row_unit, span),
            row_bit,
            span,
            memo: Memo::default(),
            recording: None,
            turns: VecDeque::new(),
            turns_left: None,
            since: None,
            last: HashMap::new(),
            audit: 0,
            stats: LeapStats::default(),
        })
    }
    pub(crate) fn prototypes(&self, scratchpad: &config::Scratchpad) -> Prototypes {
        Prototypes::new(self.span, scratchpad.banks * scratchpad.bank_bytes)
    }

    /// A milestone: remembers what led here, goes on from here as far as is known, and begins to record.
    pub(crate) fn here(&mut self, machine: &mut Machine, job: &Job<'_>) -> Result<(), Stop> {
        self.stop(machine);
        let mut written = self.write(machine, job);
        if written.is_none() && self.memo.is_stale() {
            self.stats.evictions += self.memo.clear();
            self.recording = None;
            written = self.write(machine, job);
        }
        let Some((mut state, mut clusters, mut oldest)) = written else {
            self.recording = None;
            self.stats.count(Miss::State, machine.feed.pc(), job);
            self.since = Some(machine.now);
            return Ok(());
        };
        let mut totals = machine.totals().numbers();
        if let Some(recording) = self.recording.take() {
            self.remember(machine, recording, &Arrived { state, clusters: &clusters, totals: &totals })?;
        }
        let mut due: Vec<u64> = machine.channels.iter().map(Channel::due).collect();
        let begin = machine.now;
        let mut expected = None;
        let mut known = Clusters::default();
        let mut hops = 0u32;
        self.turns.clear();
        self.turns_left = None;
        while !machine.pauses() {
            let clocks = machine.now / machine.timebase.memory_period;
            let feed = &mut machine.feed;
            let found = self.memo.find(state, &clusters, &mut known, &due, clocks, feed, job);
            let entry = match found {
                Ok(found) => found,
                Err(miss) => {
                    machine.feed.forget();
                    self.stats.count(miss, machine.feed.pc(), job);
                    break;
                }
            };
            if !machine.may_leap(self.memo.entry(state, entry).ticks) {
                machine.feed.forget();
                break;
            }
            if self.audit > 0 && self.stats.hits % 100 < u64::from(self.audit) {
                machine.feed.forget();
                self.stats.hits += 1;
                expected = Some((self.memo.entry(state, entry).clone(), self.memo.entry(state, entry).next));
                break;
            }
            self.stats.hits += 1;
            hops += 1;
            machine.check_limit()?;
            let entry = self.memo.entry(state, entry);
            let touched = entry.touches(machine.shared.instances.len());
            self.turns.iter_mut().for_each(|turn| turn.touched = turn.touched.min(touched));
            entry.apply(machine, job, &mut totals, &mut due)?;
            machine.note(&totals);
            let bases = entry.bases.iter().map(|&(i, off)| known.0[i as usize].0 + off);
            self.memo.clusters(entry.next, bases, &mut clusters);
            state = entry.next;
            self.leave_out_turns(machine, job, state, &mut clusters, &mut due, &mut totals);
            if hops & 0xfff == 0 && machine.is_interrupted() {
                return Err(Stop::Interrupted);
            }
        }
        if hops > 0 || self.audit > 0 {
            oldest = self.restore(machine, job, state, &clusters, &due, &totals);
        }
        if self.audit > 0 && self.write(machine, job).is_none_or(|written| written.0 != state) {
            return Err(Stop::Audit { cycle: machine.now / machine.timebase.core_period });
        }
        self.stats.leapt_cycles += (machine.now - begin) / machine.timebase.core_period;
        self.begin(machine, state, clusters, totals, due, oldest, expected);
        Ok(())
    }

    /// The run goes on without the memo.
    pub(crate) fn leave(&mut self, machine: &mut Machine) {
        self.stop(machine);
        self.recording = None;
        machine.feed.taken.clear();
        (self.stats.states, self.stats.bytes) = self.memo.size();
    }

    /// What was executed was executed up to here.
    fn stop(&mut self, machine: &mut Machine) {
        if let Some(since) = self.since.take() {
            self.stats.executed_cycles += (machine.now - since) / machine.timebase.core_period;
        }
        machine.feed.watched = false;
    }

    /// The number of the machine's state, where its rows are, and how many executions of operators are open; `None` if it is
    /// new and there is no room for it.
    fn write(&mut self, machine: &mut Machine, job: &Job<'_>) -> Option<(u32, Clusters, u32)> {
        self.canon.write();
        let oldest = machine.walk(&mut self.canon, self.row_bit, job.program.bytes());
        let (bytes, fields, clusters) = self.canon.written();
        let (number, new) = self.memo.number(bytes, fields, &clusters)?;
        if new {
            self.compare(machine.feed.pc());
        }
        Some((number, clusters, oldest))
    }

    /// What is new about a state: for the statistics only.
    fn compare(&mut self, pc: u32) {
        let mut parts = [0; PARTS.len()];
        for (hash, part) in parts.iter_mut().zip(self.canon.parts()) {
            let mut hasher = std::hash::DefaultHasher::new();
            hasher.write(part);
            *hash = hasher.finish();
        }
        if let Some(before) = self.last.insert(pc, parts) {
            for ((count, now), before) in self.stats.new_parts.iter_mut().zip(parts).zip(before) {
                *count += u64::from(now != before);
            }
        }
    }

    /// Puts a state into the machine, which has counted `totals`.
    fn restore(
        &mut self,
        machine: &mut Machine,
        job: &Job<'_>,
        state: u32,
        clusters: &Clusters,
        due: &[u64],
        totals: &[u64],
    ) -> u32 {
        let (bytes, fields) = self.memo.state(state);
        let bases: Vec<u64> = clusters.0.iter().map(|rows| rows.0).collect();
        self.canon.read(bytes, fields, &bases);
        let oldest = machine.walk(&mut self.canon, self.row_bit, job.program.bytes());
        for (channel, due) in machine.channels.iter_mut().zip(due) {
            channel.set_due(*due);
        }
        machine.shared.wakes.all_after(machine.now);
        let mut executed = machine.executed().numbers().into_iter();
        machine.leapt.set(totals);
        machine.leapt.each(|x| *x = x.wrapping_sub(executed.next().unwrap_or(0)));
        oldest
    }

    #[allow(clippy::too_many_arguments)] // what a recording begins with
    fn begin(
        &mut self,
        machine: &mut Machine,
        state: u32,
        clusters: Clusters,
        totals: Vec<u64>,
        due: Vec<u64>,
        oldest: u32,
        expected: Option<(Entry, u32)>,
    ) {
        machine.channels.iter_mut().for_each(Channel::watch_due);
        machine.feed.watched = true;
        machine.feed.taken.clear();
        machine.feed.looked = false;
        let instances = machine.shared.instances.len() as u32;
        let first = instances - oldest;
        self.since = Some(machine.now);
        self.recording = Some(Recording {
            state,
            now: machine.now,
            clusters,
            begin: snapshot(&totals, machine.now),
            totals,
            due,
            first,
            open: machine.shared.instances[first as usize..].to_vec(),
            instances,
            expected,
        });
    }

    /// Keeps what was recorded, if there is room.
    fn remember(&mut self, machine: &mut Machine, r: Recording, to: &Arrived<'_>) -> Result<(), Stop> {
        let Some(entry) = entry(machine, &r, to) else { return Ok(()) };
        if let Some((expected, next)) = r.expected {
            self.stats.audited += 1;
            let same = expected.same_effect(&entry, next, to.state);
            return match same {
                true => Ok(()),
                false => Err(Stop::Audit { cycle: machine.now / machine.timebase.core_period }),
            };
        }
        self.memo.insert(r.state, entry);
        Ok(())
    }
    /// Holds at most so many bytes from now on, and what it holds already.
    pub(crate) fn set_room(&mut self, bytes: usize) {
        self.memo.limit = bytes;
    }
}

/// Where a recording ended.
struct Arrived<'a> {
    state: u32,
    clusters: &'a Clusters,
    totals: &'a [u64],
}

/// What happened since the recording began, relative to its beginning.
fn entry(machine: &Machine, r: &Recording, to: &Arrived<'_>) -> Option<Entry> {
    let period = machine.timebase.memory_period;
    let (from, until) = (r.now / period, machine.now / period);
    let due = machine.channels.iter().zip(&r.due).map(|(channel, &due)| {
        let margin = channel.due_margin(machine.now);
        Due::new(due, channel.due(), from, until, margin)
    });
    let mut ranges = r.clusters.clone();
    let words = machine.feed.taken.iter().map(|word| Guard::new(word, &mut ranges)).collect();
    let bases = to.clusters.0.iter().map(|&(lo, _)| {
        let i = ranges.0.iter().position(|range| range.0 <= lo && lo <= range.1)?;
        Some((i as u32, lo - ranges.0[i].0))
    });
    let counts = to.totals.iter().zip(&r.totals).map(|(now, before)| u32::try_from(now - before).ok());
    let executions =
        machine.shared.instances[r.first as usize..].iter().enumerate().filter_map(|(i, now)| {
            Execution::new(i as i64 - (r.instances - r.first) as i64, r.open.get(i), now, &r.begin)
        });
    Some(Entry {
        words,
        looked: machine.feed.looked.then(|| machine.feed.pc()),
        due: due.collect(),
        ticks: machine.now - r.now,
        counts: counts.collect::<Option<_>>()?,
        executions: executions.collect(),
        next: to.state,
        bases: bases.collect::<Option<_>>()?,
    })
}

impl Entry {
    /// The least number of an execution that is touched, where there are so many.
    fn touches(&self, count: usize) -> usize {
        let touched = self.executions.iter().map(|execution| (count as i64 + execution.back) as usize);
        touched.min().unwrap_or(usize::MAX)
    }
    /// Moves the machine on by what is remembered; its components stay behind.
    fn apply(
        &self,
        machine: &mut Machine,
        job: &Job<'_>,
        totals: &mut [u64],
        due: &mut [u64],
    ) -> Result<(), Stop> {
        let begin = snapshot(totals, machine.now);
        let before = machine.now / machine.timebase.memory_period;
        machine.now += self.ticks;
        let after = machine.now / machine.timebase.memory_period;
        for (due, change) in due.iter_mut().zip(&self.due) {
            *due = change.apply(*due, before, after);
        }
        totals.iter_mut().zip(&self.counts).for_each(|(x, &more)| *x += u64::from(more));
        let instances = &mut machine.shared.instances;
        let count = instances.len() as i64;
        for execution in &self.executions {
            let i = (count + execution.back) as usize;
            if i == instances.len() {
                let pass = machine.sequencer.count_pass(execution.operator);
                instances.push(Instance::new(execution.operator, pass));
            }
            execution.apply(&mut instances[i], &begin);
        }
        let Machine { feed, values, shared, .. } = machine;
        if let Some(prototypes) = &feed.prototypes {
            let mut dispatches = self.words.iter().filter_map(|word| prototypes.dispatch(word.prototype));
            dispatches.try_for_each(|dispatch| shared.waits(dispatch))?;
        }
        match values.state {
            None => feed.pass(self.words.len(), job).map_err(Stop::Fault),
            Some(_) => feed.execute(self.words.len(), job, |dispatch| {
                let fault = |kind| Stop::Fault(Fault { pc: dispatch.pc, kind });
                values.execute(dispatch).map_err(fault)
            }),
        }
    }
}

impl LeapStats {
    fn count(&mut self, miss: Miss, pc: u32, job: &Job<'_>) {
        match miss {
            Miss::State => self.new_states += 1,
            Miss::Words => self.other_words += 1,
            Miss::Refresh => self.other_refresh += 1,
        }
        if let Some(operator) = job.marks.get(pc as usize) {
            let operator = *operator as usize;
            if self.misses_by_operator.len() <= operator {
                self.misses_by_operator.resize(operator + 1, 0);
            }
            self.misses_by_operator[operator] += 1;
        }
    }
}

/// Range `rows`' place among `ranges`: those that it overlaps, and by how much further up it begins. A range that is not
/// inside another joins them.
fn relate(rows: Rows, ranges: &mut Clusters, mut each: impl FnMut(u32, i64)) {
    let mut inside = false;
    for (i, &(lo, hi)) in ranges.0.iter().enumerate() {
        if lo <= rows.1 && rows.0 <= hi {
            each(i as u32, rows.0 as i64 - lo as i64);
            inside |= lo <= rows.0 && rows.1 <= hi;
        }
    }
    if !inside {
        ranges.0.push(rows);
    }
}
