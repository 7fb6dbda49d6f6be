//! States that have been met, and what happened from each.

use indexmap::IndexMap;
use lutsim_dram::{Clusters, Margin};

use super::relate;
use crate::activity::Cycles;
use crate::feed::{Feed, Met};
use crate::link::Tick;
use crate::machine::Job;
use crate::shared::{Instance, Snapshot};

/// Why nothing known could be applied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Miss {
    /// The state is new.
    State,
    /// Other words follow.
    Words,
    /// The words fit, the next refresh does not.
    Refresh,
}

/// A word that was executed, as the condition that it comes again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Guard {
    pub(super) prototype: u32,
    places: Box<[Place]>,
}

/// An address: how far into its row unit, and which ranges of rows it overlaps.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Place {
    phase: u64,
    overlaps: Box<[(u32, i64)]>,
}

impl Guard {
    pub(super) fn new(word: &Met, ranges: &mut Clusters) -> Self {
        let places = word.places.iter().map(|&(phase, rows)| {
            let mut overlaps = Vec::new();
            relate(rows, ranges, |i, distance| overlaps.push((i, distance)));
            Place { phase, overlaps: overlaps.into() }
        });
        Self { prototype: word.prototype, places: places.collect() }
    }
    fn holds(&self, word: &Met, ranges: &mut Clusters) -> bool {
        if self.prototype != word.prototype || self.places.len() != word.places.len() {
            return false;
        }
        self.places.iter().zip(word.places.iter()).all(|(place, &(phase, rows))| {
            let (mut n, mut same) = (0, place.phase == phase);
            relate(rows, ranges, |i, distance| {
                same &= place.overlaps.get(n) == Some(&(i, distance));
                n += 1;
            });
            same && n == place.overlaps.len()
        })
    }
}

/// When the next refresh of a channel may fall due, in clocks from the beginning, and when the one after the end does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Due {
    from: u64,
    to: u64,
    then: Then,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Then {
    /// Later by that much.
    Later(u64),
    /// So many clocks after the end.
    After(u64),
    Never,
}

impl Due {
    pub(super) fn new(due: u64, then: u64, begin: u64, end: u64, margin: Margin) -> Self {
        let relative = due.saturating_sub(begin);
        let range = if due == u64::MAX {
            (u64::MAX, u64::MAX)
        } else {
            (relative.saturating_sub(margin.earlier), relative.saturating_add(margin.later).min(u64::MAX - 1))
        };
        let then = match (due, then) {
            (_, u64::MAX) => Then::Never,
            (_, then) if margin.is_restarted() => Then::After(then - end),
            (u64::MAX, then) => Then::After(then - end),
            (due, then) if then >= due => Then::Later(then - due),
            (_, then) => Then::After(then.saturating_sub(end)),
        };
        Self { from: range.0, to: range.1, then }
    }
    fn holds(&self, due: u64, clock: u64) -> bool {
        let relative = if due == u64::MAX { due } else { due.saturating_sub(clock) };
        self.from <= relative && relative <= self.to
    }
    pub(super) fn apply(&self, due: u64, _begin: u64, end: u64) -> u64 {
        match self.then {
            Then::Later(clocks) => due + clocks,
            Then::After(clocks) => end + clocks,
            Then::Never => u64::MAX,
        }
    }
}

/// What was added to one execution of an operator.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Execution {
    /// Which one: from the number of those that there were, back or forth.
    pub(super) back: i64,
    pub(super) operator: u32,
    owned_bytes: u64,
    macs: u64,
    vector_ops: u64,
    /// Its last retirement, if one was meanwhile.
    last: Option<Box<Moment>>,
}

#[derive(Clone, PartialEq, Debug)]
struct Moment {
    ticks: Tick,
    dram_bursts: u64,
    lut: Cycles,
    load: Cycles,
    vector: Cycles,
}

impl Execution {
    /// `None` if nothing happened to it.
    pub(super) fn new(
        back: i64,
        before: Option<&Instance>,
        now: &Instance,
        begin: &Snapshot,
    ) -> Option<Self> {
        let new = Instance::new(now.operator, now.pass);
        let was = before.unwrap_or(&new);
        let last = (now.last.time > begin.time).then(|| {
            Box::new(Moment {
                ticks: now.last.time - begin.time,
                dram_bursts: now.last.dram_bursts - begin.dram_bursts,
                lut: now.last.lut.since(&begin.lut),
                load: now.last.load.since(&begin.load),
                vector: now.last.vector.since(&begin.vector),
            })
        });
        let execution = Self {
            back,
            operator: now.operator,
            owned_bytes: now.owned_bytes - was.owned_bytes,
            macs: now.macs - was.macs,
            vector_ops: now.vector_ops - was.vector_ops,
            last,
        };
        let idle = (execution.owned_bytes, execution.macs, execution.vector_ops) == (0, 0, 0);
        (before.is_none() || !idle || execution.last.is_some()).then_some(execution)
    }
    pub(super) fn apply(&self, instance: &mut Instance, begin: &Snapshot) {
        instance.owned_bytes += self.owned_bytes;
        instance.macs += self.macs;
        instance.vector_ops += self.vector_ops;
        if let Some(last) = &self.last {
            instance.last = Snapshot {
                time: begin.time + last.ticks,
                dram_bursts: begin.dram_bursts + last.dram_bursts,
                lut: begin.lut.plus(&last.lut),
                load: begin.load.plus(&last.load),
                vector: begin.vector.plus(&last.vector),
            };
        }
    }
}

/// What happened from a state to the next milestone, and on what conditions.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Entry {
    pub(super) words: Box<[Guard]>,
    /// The number of the word behind them, if it was looked at.
    pub(super) looked: Option<u32>,
    pub(super) due: Box<[Due]>,
    pub(super) ticks: Tick,
    pub(super) counts: Box<[u32]>,
    pub(super) executions: Box<[Execution]>,
    pub(super) next: u32,
    /// Where the next state's clusters are: in which range, and how far from its beginning.
    pub(super) bases: Box<[(u32, u64)]>,
}

impl Entry {
    /// Whether executing it again came to the same.
    pub(super) fn same_effect(&self, other: &Entry, next: u32, other_next: u32) -> bool {
        let effect =
            |e: &Entry| (e.ticks, e.counts.clone(), e.executions.clone(), e.bases.clone(), e.words.clone());
        effect(self) == effect(other) && next == other_next
    }
    fn bytes(&self) -> usize {
        let places: usize = self
            .words
            .iter()
            .flat_map(|w| &w.places)
            .map(|p| size_of::<Place>() + p.overlaps.len() * 16)
            .sum();
        size_of::<Entry>()
            + self.words.len() * size_of::<Guard>()
            + places
            + self.due.len() * size_of::<Due>()
            + self.counts.len() * 4
            + self.executions.len() * (size_of::<Execution>() + size_of::<Moment>())
            + self.bases.len() * 16
    }
}

/// A state that was met.
#[derive(Debug)]
struct State {
    /// Bytes of its fields; relations of rows follow them.
    fields: usize,
    /// Row units of each cluster, less one.
    lengths: Box<[u64]>,
    entries: Vec<Entry>,
}

/// What is remembered.
#[derive(Debug)]
pub(super) struct Memo {
    states: IndexMap<Box<[u8]>, State>,
    entries: u64,
    bytes: usize,
    pub(super) limit: usize,
    /// There is no more room.
    full: Option<Use>,
}

/// How often what is held was met since there is no more room, and how often something else was.
#[derive(Debug, Default)]
struct Use {
    hits: u64,
    misses: u64,
}

impl Default for Memo {
    fn default() -> Self {
        Self { states: IndexMap::new(), entries: 0, bytes: 0, limit: 192 << 20, full: None }
    }
}

impl Memo {
    /// The number of a state, and whether it is new; `None` for a new one that there is no room for.
    ///
    /// What is held stays as long as it is of use: a layer that is larger than the room is known in part in the next one, and
    /// would not be at all if what is oldest had to go.
    pub(super) fn number(&mut self, bytes: &[u8], fields: usize, clusters: &Clusters) -> Option<(u32, bool)> {
        if let Some(number) = self.states.get_index_of(bytes) {
            return Some((number as u32, false));
        }
        if let Some(used) = &mut self.full {
            used.misses += 1;
            return None;
        }
        let lengths: Box<[u64]> = clusters.0.iter().map(|rows| rows.1 - rows.0).collect();
        self.bytes += bytes.len() + lengths.len() * 8 + size_of::<State>() + 32;
        let state = State { fields, lengths, entries: Vec::new() };
        Some((self.states.insert_full(bytes.into(), state).0 as u32, true))
    }
    /// Whether as much as is held was new since there is no more room, and more than was met again.
    pub(super) fn is_stale(&self) -> bool {
        self.full.as_ref().is_some_and(|used| used.misses >= self.entries && used.misses > used.hits)
    }
    /// Throws everything away; how many entries that were.
    pub(super) fn clear(&mut self) -> u64 {
        self.states.clear();
        (self.bytes, self.full) = (0, None);
        std::mem::take(&mut self.entries)
    }
    /// A state's bytes, and how many of them are fields.
    pub(super) fn state(&self, number: u32) -> (&[u8], usize) {
        self.states.get_index(number as usize).map_or((&[], 0), |(bytes, state)| (bytes, state.fields))
    }
    /// A state's clusters, beginning at `bases`.
    pub(super) fn clusters(&self, number: u32, bases: impl Iterator<Item = u64>, clusters: &mut Clusters) {
        let lengths = &self.states[number as usize].lengths;
        clusters.0.clear();
        clusters.0.extend(bases.zip(lengths).map(|(base, length)| (base, base + length)));
    }
    pub(super) fn entry(&self, state: u32, entry: usize) -> &Entry {
        &self.states[state as usize].entries[entry]
    }
    /// An entry of a state that holds; `ranges` are then all ranges of rows that it knows.
    #[allow(clippy::too_many_arguments)] // what the state does not say
    pub(super) fn find(
        &mut self,
        number: u32,
        clusters: &Clusters,
        ranges: &mut Clusters,
        due: &[u64],
        clock: u64,
        feed: &mut Feed,
        job: &Job<'_>,
    ) -> Result<usize, Miss> {
        let entries = &self.states[number as usize].entries;
        let mut miss = if entries.is_empty() { Miss::State } else { Miss::Words };
        for (i, entry) in entries.iter().enumerate() {
            let in_time = entry.due.iter().zip(due).all(|(guard, &due)| guard.holds(due, clock));
            if !in_time && miss == Miss::Refresh {
                continue;
            }
            ranges.0.clone_from(&clusters.0);
            let mut words = entry.words.iter().enumerate();
            if words.all(|(i, guard)| feed.peek(i, job).is_some_and(|word| guard.holds(word, ranges)))
                && entry.looked.is_none_or(|pc| feed.pc_behind(entry.words.len()) == pc)
            {
                if in_time {
                    if let Some(used) = &mut self.full {
                        used.hits += 1;
                    }
                    return Ok(i);
                }
                miss = Miss::Refresh;
            }
        }
        Err(miss)
    }
    /// Keeps an entry, if there is room.
    pub(super) fn insert(&mut self, state: u32, entry: Entry) {
        if self.full.is_some() {
            return;
        }
        self.bytes += entry.bytes();
        self.entries += 1;
        self.states[state as usize].entries.push(entry);
        self.full = (self.bytes > self.limit).then(Use::default);
    }
    /// States and bytes held.
    pub(super) fn size(&self) -> (u64, u64) {
        (self.states.len() as u64, self.bytes as u64)
    }
}
