//! The constraint table, compiled: per command a flat list of updates, per node and command the earliest clock.
//!
//! A node is a bank, a bank group, ... up to the channel; levels with one member per parent are merged into it. A
//! command may issue when `now` has reached the entry of every node on its bank's path.

use std::sync::Arc;

use crate::canon::Canon;
use crate::command::{COMMANDS, Command};
use crate::first::First;
use crate::standard::Standard;

/// Channel plus at most four levels below it.
pub(crate) const MAX_LEVELS: usize = 8;
const MAX_BANKS: usize = crate::standard::MAX_BANKS as usize;
/// Banks, and at most as many nodes above them: as many as a `u8` can name, so that such an index needs no check.
const NODES: usize = 1 << u8::BITS;
const STRIDE: usize = COMMANDS.next_power_of_two();

type Ready = [u64; NODES * STRIDE];

/// What a scheduler chooses between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// Reads and writes.
    Column,
    /// Activates.
    Activate,
    /// Precharges of one bank.
    Precharge,
}

impl Class {
    fn of(command: Command) -> Option<Class> {
        match command {
            Command::Activate | Command::Activate2 => Some(Class::Activate),
            Command::Precharge => Some(Class::Precharge),
            c if c.is_column() => Some(Class::Column),
            _ => None,
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Update {
    following: u8,
    level: u8,
    clocks: u32,
}

/// One entry of `ready` that a command to a certain bank delays.
#[derive(Debug, Clone, Copy)]
struct Target {
    slot: u32,
    clocks: u32,
}

#[derive(Debug, Clone)]
struct Window {
    update: Update,
    size: u32,
    /// First entry in `history`, `size` times per node.
    base: usize,
    /// First cursor, one per node.
    cursor: usize,
}

/// Where the waits of a window at one node are kept.
#[derive(Debug, Clone, Copy)]
struct Ring {
    base: usize,
    size: usize,
    cursor: usize,
}

/// The state of compiled constraints.
#[derive(Debug, Clone)]
pub(crate) struct Timing {
    /// The same for all channels of a kind, and one copy of it: of many channels the copies would not fit the host's caches.
    tables: Arc<Tables>,
    /// Earliest clock of each command at each node; fixed sizes so that indices need no check.
    ready: Box<Ready>,
    /// Rings by window and node: when what each of the last commands makes wait may come, if it is the oldest counted.
    history: Vec<u64>,
    cursor: Vec<u8>,
}

/// Compiled constraints.
#[derive(Debug, Clone)]
struct Tables {
    scope_level: usize,
    /// Node on each level of each bank.
    path: [[u8; MAX_LEVELS]; MAX_BANKS],
    /// First node and number of siblings per parent, by level.
    first: [u8; MAX_LEVELS],
    siblings: [u8; MAX_LEVELS],
    scope_banks: Vec<u64>,
    /// Banks below each of the two members of the first level below the channel, if there are two.
    halves: Option<[u64; 2]>,
    /// Levels below the channel at which a command can be made to wait.
    waits: [([u8; MAX_LEVELS], u8); COMMANDS],
    /// The same resolved for each command and bank.
    wait_nodes: [[[u8; 4]; MAX_BANKS]; STRIDE],
    /// `plain` resolved for each bank: first entry and entries per bank, by command.
    targets: Vec<Target>,
    target_start: [(u32, u32); COMMANDS],
    plain: [Vec<Update>; COMMANDS],
    windows: [Vec<Window>; COMMANDS],
    sibling: [Vec<Update>; COMMANDS],
    /// Commands (a bit each) with any of these two.
    special: u16,
    /// Entries of `ready` that any command can delay, and the rings of `history` that are in use.
    live: Vec<u16>,
    rings: Vec<Ring>,
    /// Commands that some row below the refresh scope makes wait.
    deep: u16,
    /// Classes (a bit each) that a command of one class delays in some other banks too, and in all of them.
    crosses: [u8; 3],
    raises: [u8; 3],
}

impl Timing {
    /// Compiles the rows that concern the commands in `used` (a bit each).
    pub(crate) fn new(s: &Standard, used: u16) -> Timing {
        // merge levels with one member into their parent
        let mut merged = vec![0usize; s.levels.len() + 1];
        let mut counts = vec![1u32];
        for (i, level) in s.levels.iter().enumerate() {
            if level.count > 1 {
                counts.push(level.count);
            }
            merged[i + 1] = counts.len() - 1;
        }
        let levels = counts.len();
        let banks = s.banks();
        let (mut first, mut siblings) = ([0u8; MAX_LEVELS], [1u8; MAX_LEVELS]);
        let mut nodes = 1u32;
        let mut total = 1u32;
        for l in 1..levels {
            nodes *= counts[l];
            first[l] = total as u8;
            siblings[l] = counts[l] as u8;
            total += nodes;
        }
        let mut path = [[0u8; MAX_LEVELS]; MAX_BANKS];
        for (bank, p) in path.iter_mut().enumerate().take(banks as usize) {
            let mut below = banks;
            for l in 1..levels {
                below /= counts[l];
                p[l] = first[l] + (bank as u32 / below) as u8;
            }
        }
        let scope_level = merged[s.refresh_level];
        let scopes = s.nodes(s.refresh_level) as usize;
        let per_scope = banks as usize / scopes;
        let scope_banks = (0..scopes).map(|i| mask(per_scope) << (i * per_scope)).collect();
        let (mut history, mut cursors) = (Vec::new(), Vec::<u8>::new());
        let mut out = Tables {
            scope_level,
            path,
            first,
            siblings,
            scope_banks,
            halves: (levels > 2 && counts[1] == 2).then(|| {
                let half = banks as usize / 2;
                [mask(half), mask(half) << half]
            }),
            waits: [([0; MAX_LEVELS], 0); COMMANDS],
            wait_nodes: [[[0; 4]; MAX_BANKS]; STRIDE],
            targets: Vec::new(),
            target_start: [(0, 0); COMMANDS],
            plain: Default::default(),
            windows: Default::default(),
            sibling: Default::default(),
            special: 0,
            live: Vec::new(),
            rings: Vec::new(),
            deep: 0,
            crosses: [0; 3],
            raises: [0; 3],
        };
        for c in s.constraints.iter().filter(|c| c.clocks > 0) {
            let level = merged[c.level];
            if c.sibling && s.levels[c.level - 1].count == 1 {
                continue;
            }
            for p in c.preceding.iter().filter(|p| used & p.bit() != 0) {
                for f in c.following.iter().filter(|f| used & f.bit() != 0) {
                    let update = Update { following: *f as u8, level: level as u8, clocks: c.clocks as u32 };
                    if level > scope_level && f.is_scope() {
                        out.deep |= f.bit();
                    }
                    if level + 1 < levels
                        && let (Some(p), Some(f)) = (Class::of(*p), Class::of(*f))
                    {
                        let spread = if level == 0 { &mut out.raises } else { &mut out.crosses };
                        spread[p as usize] |= 1 << f as u8;
                    }
                    if c.sibling || c.window > 1 {
                        out.special |= p.bit();
                    }
                    if c.sibling {
                        out.sibling[*p as usize].push(update);
                    } else if c.window == 1 {
                        let list = &mut out.plain[*p as usize];
                        match list
                            .iter_mut()
                            .find(|u| (u.level, u.following) == (update.level, update.following))
                        {
                            Some(u) => u.clocks = u.clocks.max(update.clocks),
                            None => list.push(update),
                        }
                    } else {
                        let base = history.len();
                        history.resize(base + total as usize * c.window as usize, 0);
                        let cursor = cursors.len();
                        cursors.resize(cursor + total as usize, 0);
                        let window = Window { update, size: c.window, base, cursor };
                        out.windows[*p as usize].push(window);
                    }
                }
            }
        }
        for list in &mut out.plain {
            // a row is redundant if a level above waits at least as long for the same pair of commands
            let all = list.clone();
            let covers = |v: &Update, u: &Update| {
                v.following == u.following && v.level < u.level && v.clocks >= u.clocks
            };
            list.retain(|u| !all.iter().any(|v| covers(v, u)));
        }
        out.resolve(banks as usize);
        out.list_live(banks as usize);
        Timing { tables: Arc::new(out), ready: Box::new([0; NODES * STRIDE]), history, cursor: cursors }
    }

    /// Walks the earliest clocks, and the last times as far as they still make anything wait.
    pub(crate) fn walk(&mut self, c: &mut Canon) {
        for &slot in &self.tables.live {
            c.clock(&mut self.ready[slot as usize]);
        }
        for ring in &self.tables.rings {
            let times = &mut self.history[ring.base..][..ring.size];
            let cursor = &mut self.cursor[ring.cursor];
            if c.reading() {
                *cursor = 0;
            }
            for i in 0..ring.size {
                c.clock(&mut times[(*cursor as usize + i) % ring.size]);
            }
        }
    }

    /// First clock at which `command` may issue to `bank`.
    #[inline(always)]
    pub(crate) fn earliest(&self, bank: usize, command: Command) -> u64 {
        let c = command as usize;
        let nodes = &self.tables.wait_nodes[c & (STRIDE - 1)][bank & (MAX_BANKS - 1)];
        // no loop: what is left over names the channel
        let ready = |i: usize| self.ready[slot(c, nodes[i])];
        let below = ready(0).max(ready(1)).max(ready(2)).max(ready(3));
        below.max(self.channel_earliest(command))
    }

    /// The first of `banks` to which `command` may issue, none before `floor`, which is what the channel allows or later.
    /// Where several may at once, the lowest `position` wins.
    #[inline]
    pub(crate) fn first(
        &self,
        banks: u64,
        command: Command,
        floor: u64,
        position: impl Fn(usize) -> u32,
    ) -> First {
        let c = command as usize & (STRIDE - 1);
        let mut first = First::NOTHING;
        match (self.tables.waits[c].1, self.tables.halves) {
            (3, Some(halves)) if self.tables.waits[c].0[0] == 1 => {
                self.first_of_halves(banks, c, floor, position, halves, &mut first);
            }
            (0 | 1, _) => self.first_of::<0, 1>(banks, c, floor, position, &mut first),
            (2, _) => self.first_of::<0, 2>(banks, c, floor, position, &mut first),
            (3, _) => self.first_of::<0, 3>(banks, c, floor, position, &mut first),
            _ => self.first_of::<0, 4>(banks, c, floor, position, &mut first),
        }
        first
    }

    /// The same for three waits, the first of them a half's: one half may be behind the first of the other.
    #[inline(always)]
    fn first_of_halves(
        &self,
        banks: u64,
        c: usize,
        floor: u64,
        position: impl Fn(usize) -> u32,
        halves: [u64; 2],
        first: &mut First,
    ) {
        let floors = [0, 1].map(|half| floor.max(self.ready[slot(c, self.tables.first[1] + half)]));
        let sooner = usize::from(floors[1] < floors[0]);
        for half in [sooner, 1 - sooner] {
            let (banks, floor) = (banks & halves[half], floors[half]);
            if banks == 0 || floor > first.clock() {
                continue;
            }
            self.first_of::<1, 3>(banks, c, floor, &position, first);
        }
    }

    /// The same for a command that waits on at most `N` levels below the channel, of which `floor` knows the first `M`;
    /// without branches, for who is first cannot be foretold.
    #[inline(always)]
    fn first_of<const M: usize, const N: usize>(
        &self,
        mut banks: u64,
        c: usize,
        floor: u64,
        position: impl Fn(usize) -> u32,
        first: &mut First,
    ) {
        while banks != 0 {
            let bank = banks.trailing_zeros() as usize;
            let mut clock = floor;
            for node in &self.tables.wait_nodes[c][bank][M..N] {
                clock = clock.max(self.ready[slot(c, *node)]);
            }
            first.offer(First::new(clock, position(bank), bank));
            banks &= banks - 1;
        }
    }

    /// First clock at which the channel as a whole allows `command`: a lower bound for every bank.
    #[inline]
    pub(crate) fn channel_earliest(&self, command: Command) -> u64 {
        self.ready[slot(command as usize, 0)]
    }

    /// First clock at which `command` may issue to a whole refresh scope.
    pub(crate) fn earliest_scope(&self, scope: usize, command: Command) -> u64 {
        let mut banks = self.tables.scope_banks[scope];
        let path = &self.tables.path[banks.trailing_zeros() as usize];
        let ready = |node: &u8| self.ready[slot(command as usize, *node)];
        let mut at = path[..=self.tables.scope_level].iter().map(ready).max().unwrap_or(0);
        if self.tables.deep & command.bit() != 0 {
            while banks != 0 {
                at = at.max(self.earliest(banks.trailing_zeros() as usize, command));
                banks &= banks - 1;
            }
        }
        at
    }

    #[inline]
    fn delay(ready: &mut Ready, node: u8, update: &Update, since: u64) {
        let entry = &mut ready[slot(update.following as usize, node)];
        *entry = (*entry).max(since + update.clocks as u64);
    }

    /// Records that `command` issues to `bank` at `now`.
    #[inline(always)]
    pub(crate) fn issue(&mut self, bank: usize, command: Command, now: u64) {
        let c = command as usize;
        let (start, n) = self.tables.target_start[c];
        let start = start as usize + bank * n as usize;
        for t in &self.tables.targets[start..start + n as usize] {
            let entry = &mut self.ready[t.slot as usize & (NODES * STRIDE - 1)];
            *entry = (*entry).max(now + t.clocks as u64);
        }
        if self.tables.special & command.bit() != 0 {
            let path = self.tables.path[bank & (MAX_BANKS - 1)];
            self.issue_windows(&path, c, now);
            self.issue_siblings(&path, c, now);
        }
    }

    #[inline(always)]
    fn issue_windows(&mut self, path: &[u8; MAX_LEVELS], c: usize, now: u64) {
        for w in &self.tables.windows[c] {
            let node = path[w.update.level as usize & (MAX_LEVELS - 1)] as usize;
            let size = w.size as usize;
            // a ring: the entry about to be overwritten next is the oldest of the last `size`
            let times = &mut self.history[w.base + node * size..][..size];
            let cursor = &mut self.cursor[w.cursor + node];
            let next = if *cursor as usize + 1 == size { 0 } else { *cursor + 1 };
            times[*cursor as usize] = now + u64::from(w.update.clocks);
            *cursor = next;
            let entry = &mut self.ready[slot(w.update.following as usize, node as u8)];
            *entry = (*entry).max(times[next as usize]);
        }
    }

    fn issue_siblings(&mut self, path: &[u8; MAX_LEVELS], c: usize, now: u64) {
        for u in &self.tables.sibling[c] {
            let l = u.level as usize;
            let (own, count) = (path[l], self.tables.siblings[l]);
            let parent_first = own - (own - self.tables.first[l]) % count;
            for node in (parent_first..parent_first + count).filter(|n| *n != own) {
                Self::delay(&mut self.ready, node, u, now);
            }
        }
    }

    /// No command before `clock`.
    pub(crate) fn hold(&mut self, clock: u64) {
        for command in 0..COMMANDS {
            let entry = &mut self.ready[slot(command, 0)];
            *entry = (*entry).max(clock);
        }
    }

    /// Records that `command` issues to a whole refresh scope at `now`.
    pub(crate) fn issue_scope(&mut self, scope: usize, command: Command, now: u64) {
        let c = command as usize;
        let mut banks = self.tables.scope_banks[scope];
        let path = self.tables.path[banks.trailing_zeros() as usize];
        for u in &self.tables.plain[c] {
            let l = u.level as usize;
            if l <= self.tables.scope_level {
                Self::delay(&mut self.ready, path[l], u, now);
            }
        }
        while banks != 0 {
            let path = &self.tables.path[banks.trailing_zeros() as usize];
            for u in self.tables.plain[c].iter().filter(|u| u.level as usize > self.tables.scope_level) {
                Self::delay(&mut self.ready, path[u.level as usize], u, now);
            }
            banks &= banks - 1;
        }
        self.issue_windows(&path, c, now);
        self.issue_siblings(&path, c, now);
    }

    /// Classes (a bit each) that a command of one class delays in some other banks too, by class.
    pub(crate) fn crosses(&self) -> [u8; 3] {
        self.tables.crosses
    }

    /// The same in all banks.
    pub(crate) fn raises(&self) -> [u8; 3] {
        self.tables.raises
    }

    /// Banks of each refresh scope, a bit each.
    pub(crate) fn scope_banks(&self) -> &[u64] {
        &self.tables.scope_banks
    }
}

impl Tables {
    /// Lists the state that can ever change.
    fn list_live(&mut self, banks: usize) {
        let nodes = |level: u8| {
            let of = |bank: usize| self.path[bank][level as usize];
            let mut nodes: Vec<u8> = (0..banks).map(of).collect();
            nodes.dedup();
            nodes
        };
        let mut live: Vec<u16> = (0..COMMANDS).map(|c| slot(c, 0) as u16).collect();
        let mut rings = Vec::new();
        for u in self.plain.iter().chain(&self.sibling).flatten() {
            live.extend(nodes(u.level).into_iter().map(|n| slot(u.following as usize, n) as u16));
        }
        for w in self.windows.iter().flatten() {
            for node in nodes(w.update.level) {
                live.push(slot(w.update.following as usize, node) as u16);
                let (size, node) = (w.size as usize, node as usize);
                let (base, cursor) = (w.base + node * size, w.cursor + node);
                rings.push(Ring { base, size, cursor });
            }
        }
        live.sort_unstable();
        live.dedup();
        (self.live, self.rings) = (live, rings);
    }

    /// Fills the tables by bank.
    fn resolve(&mut self, banks: usize) {
        let plain = self.plain.iter().chain(&self.sibling).flatten();
        for u in plain.chain(self.windows.iter().flatten().map(|w| &w.update)) {
            let (levels, n) = &mut self.waits[u.following as usize];
            if u.level > 0 && !levels[..*n as usize].contains(&u.level) {
                levels[*n as usize] = u.level;
                *n += 1;
            }
        }
        for (levels, n) in &mut self.waits {
            levels[..*n as usize].sort_unstable();
        }
        for c in 0..COMMANDS {
            self.target_start[c] = (self.targets.len() as u32, self.plain[c].len() as u32);
            for bank in 0..banks {
                let path = &self.path[bank];
                for u in &self.plain[c] {
                    let slot = slot(u.following as usize, path[u.level as usize]) as u32;
                    self.targets.push(Target { slot, clocks: u.clocks });
                }
                let (levels, n) = &self.waits[c];
                // what is left over names the channel, which every bank waits for
                self.wait_nodes[c][bank] = [0; 4];
                for (i, level) in levels[..*n as usize].iter().enumerate() {
                    self.wait_nodes[c][bank][i] = path[*level as usize];
                }
            }
        }
    }
}

/// Index in `ready`.
#[inline]
fn slot(command: usize, node: u8) -> usize {
    (command & (STRIDE - 1)) * NODES + node as usize
}

/// The lowest `n` bits.
pub(crate) fn mask(n: usize) -> u64 {
    if n >= 64 { u64::MAX } else { (1 << n) - 1 }
}
