//! The gang of LUT cores, in lock step: operand runs, the select array, and the drain.
//!
//! ```text
//! queue -> staged group -> array (planes x K/k cycles) -> integer accumulators (two) -> drain -> FP32 partial sums
//!             |            ^ builders, links                                              |
//!             |  runs: weights, scales, activations                                       |
//!             +------------------------- scratchpad <----------------- write-out ---------+
//! ```
//! Tables and operands come in while the array works, so that a group lasts as long as the slowest of them; cycles
//! beyond the array's own are `builder` or `broadcast`. What an array does in a cycle is its kind's row in `lutsim_tech::Kind`: a plane of
//! K weights, or as many bits of them as it multiplies at once. An `lmma` with K = 1 has no tables: it is for cores of such kinds, and in
//! attention for multiply-accumulate lanes that take the array's place, all planes of a weight at once. Cores that dequantise have one
//! group per `lmma`, as no scale is left for the drain. Entries that are rounded to 8 bits need the largest of their group first: a pass
//! of its activations through the builders, beside the group before; in front of an idle array it is waited for.
//!
//! An `lmma` is a row of groups: g activations against R m rows and C n columns, every bit-plane in turn. The operands
//! of the next group are asked for while the array works on this one. The drain adds a finished group into the partial
//! sums while the array fills the other accumulators; if both are full, the array waits (`drain`).

mod walk;

use std::collections::VecDeque;

use lutsim_isa::control::TileRef;
use lutsim_isa::field::{AType, DrainMode, Entries};
use lutsim_isa::{Dispatch, Format, Grid, LmmaType, Op, Queue};

use crate::activity::{Activity, Cause};
use crate::config::{self, Build};
use crate::link::Tick;
use crate::scratchpad::{Port, Run};
use crate::shared::{Job, Shared};

/// Scratchpad runs that something waits for, as counts of the three operand ports.
type Runs = [u64; 3];
const OPERANDS: [Port; 3] = [Port::LutWeights, Port::LutScales, Port::LutActivations];
const DRAIN_PORTS: [Port; 2] = [Port::DrainWrite, Port::DrainRead];

/// An `lmma` whose groups are being staged.
#[derive(Clone, Copy, Debug)]
struct Pass {
    job: Job,
    ty: LmmaType,
    a: TileRef,
    w: TileRef,
    grid: Grid,
    planes: u32,
    /// Reduction length of a group, and how many there are.
    group: u32,
    groups: u32,
    next: u32,
}

/// One group, its operands asked for.
#[derive(Clone, Copy, Debug, Default)]
struct Group {
    cycles: u64,
    /// Cycles beyond them that its tables (0) and its links (1) take.
    late: [u64; 2],
    runs: Runs,
    drain_cycles: u64,
    /// The `lmma` that this is the last group of.
    ends: Option<Job>,
}

#[derive(Clone, Copy, Debug)]
enum DrainTask {
    /// Adds a group into the partial sums.
    Group { cycles: u64, ends: Option<Job> },
    /// Tokens only, in order.
    Token { job: Job },
    /// Writes partial sums to the scratchpad.
    WriteOut { job: Job, o: TileRef, grid: Grid, mode: DrainMode },
}

#[derive(Clone, Copy, Debug)]
struct Draining {
    until: Tick,
    /// Write-out runs (write, read) that must have finished.
    runs: [u64; 2],
    /// Retires when done, `pipeline` later.
    ends: Option<Job>,
    group: bool,
}

/// The gang.
#[derive(Clone, Debug)]
pub(crate) struct Lut {
    config: config::Lut,
    word: u64,
    pass: Option<Pass>,
    staged: Option<Group>,
    /// What the array works on, and when it can end: the array itself, or what it waits for.
    active: Option<(Group, Tick)>,
    drain: VecDeque<DrainTask>,
    draining: Option<Draining>,
    /// Group accumulators that are full or being drained.
    full: u32,
    retiring: VecDeque<(Tick, Job)>,
    posted: Runs,
    drain_posted: [u64; 2],
    pub(crate) activity: Activity,
    pub(crate) drain_activity: Activity,
}

impl Lut {
    pub(crate) fn new(config: config::Lut, word: u32) -> Self {
        Self {
            config,
            word: word.into(),
            pass: None,
            staged: None,
            active: None,
            drain: VecDeque::with_capacity(8),
            draining: None,
            full: 0,
            retiring: VecDeque::with_capacity(8),
            posted: [0; 3],
            drain_posted: [0; 2],
            activity: Activity::new(Cause::Idle),
            drain_activity: Activity::new(Cause::Idle),
        }
    }

    pub(crate) fn tick(&mut self, now: Tick, shared: &mut Shared) -> Tick {
        while self.retiring.front().is_some_and(|(at, _)| *at <= now) {
            if let Some((_, job)) = self.retiring.pop_front() {
                shared.retire(now, &job);
            }
        }
        self.end_drain(now, shared);
        if let Some((group, until)) = self.active
            && until <= now
            && finished(shared, now, group.runs)
        {
            self.active = None;
            self.drain.push_back(DrainTask::Group { cycles: group.drain_cycles, ends: group.ends });
        }
        self.begin_drain(now, shared);
        if self.active.is_none()
            && self.full < 2
            && let Some(group) = self.staged.take()
        {
            self.full += 1;
            self.active = Some((group, now + (group.cycles + late(&group)) * shared.core_period));
        }
        if self.staged.is_none() {
            self.stage(now, shared);
        }
        // What was staged in this cycle may start in the next.
        let (cause, wake) = self.state(now, shared);
        self.activity.mark(shared.cycle, cause, cause);
        let (drain_cause, drain_wake) = self.drain_state(now);
        self.drain_activity.mark(shared.cycle, drain_cause, drain_cause);
        let retire = self.retiring.front().map_or(Tick::MAX, |(at, _)| *at);
        wake.min(drain_wake).min(retire)
    }

    fn state(&self, now: Tick, shared: &Shared) -> (Cause, Tick) {
        let next = now + shared.core_period;
        if let Some((group, until)) = self.active {
            let array = until - late(&group) * shared.core_period;
            return match now {
                _ if now < array => (Cause::Busy, array),
                _ if now < until => (cause_of(&group), until),
                _ => (Cause::Scratchpad, Tick::MAX),
            };
        }
        if self.staged.is_some() {
            return if self.full < 2 { (Cause::Busy, next) } else { (Cause::Drain, Tick::MAX) };
        }
        match shared.queues[Queue::Lut as usize].front(now) {
            _ if self.pass.is_some() => (Cause::Busy, next),
            Some(job) => match job.dispatch.wait {
                Some(sem) if !shared.semaphores.available(now, sem) => (Cause::waiting_for(sem), Tick::MAX),
                // Only a product may be staged before the drain has room again.
                _ if self.drain.len() >= DRAIN_TASKS && !matches!(job.dispatch.op, Op::Lmma { .. }) => {
                    (Cause::Drain, Tick::MAX)
                }
                _ => (Cause::Busy, next),
            },
            None if self.draining.is_some() => (Cause::Drain, Tick::MAX),
            None => (Cause::Idle, Tick::MAX),
        }
    }

    fn drain_state(&self, now: Tick) -> (Cause, Tick) {
        match &self.draining {
            Some(d) if now < d.until => (Cause::Busy, d.until),
            Some(_) => (Cause::Scratchpad, Tick::MAX),
            None => (Cause::Idle, Tick::MAX),
        }
    }

    /// Asks for the operands of the next group: of this `lmma`, or of the next if its semaphore is there.
    fn stage(&mut self, now: Tick, shared: &mut Shared) {
        while self.pass.is_none() {
            let Some(front) = shared.queues[Queue::Lut as usize].front(now) else { return };
            // A write-out goes to the drain behind the groups before it; it may wait there, within reason.
            if self.drain.len() >= DRAIN_TASKS && !matches!(front.dispatch.op, Op::Lmma { .. }) {
                return;
            }
            if !matches!(front.dispatch.op, Op::Lmma { .. }) && self.active.is_some() {
                return;
            }
            let Some(job) = shared.accept(now, Queue::Lut) else { return };
            match job.dispatch.op {
                Op::Lmma { ty, a, w, grid, .. } => self.pass = Pass::new(job, ty, a, w, grid, &self.config),
                Op::Drain { mode, o, grid, .. } => {
                    self.drain.push_back(DrainTask::WriteOut { job, o, grid, mode });
                    self.begin_drain(now, shared);
                    return;
                }
                _ => {
                    // Tokens only: after everything before it.
                    self.drain.push_back(DrainTask::Token { job });
                    self.begin_drain(now, shared);
                    return;
                }
            }
        }
        let Some(pass) = &mut self.pass else { return };
        let earliest = self.active.map_or(now + shared.core_period, |(_, until)| until);
        let mut group = pass.group(&self.config);
        if pass.next == 0 && self.active.is_none() {
            group.late[0] += group.scale_cycles;
        }
        let mut runs = [0; 3];
        for (i, run) in pass.runs(&group, self.word).into_iter().enumerate() {
            shared.scratchpad.post(now, OPERANDS[i], Run { earliest, ..run }, &mut shared.wakes);
            self.posted[i] += 1;
            runs[i] = self.posted[i];
        }
        pass.count(&group, &self.config, shared);
        pass.next += 1;
        let ends = (pass.next == pass.groups).then_some(pass.job);
        let GroupShape { cycles, late, drain_cycles, .. } = group;
        self.staged = Some(Group { cycles, late, runs, drain_cycles, ends });
        if ends.is_some() {
            self.pass = None;
        }
    }

    fn begin_drain(&mut self, now: Tick, shared: &mut Shared) {
        if self.draining.is_some() {
            return;
        }
        let Some(task) = self.drain.pop_front() else { return };
        let draining = match task {
            DrainTask::Group { cycles, ends } => {
                Draining { until: now + cycles * shared.core_period, runs: [0; 2], ends, group: true }
            }
            DrainTask::Token { job } => Draining { until: now, runs: [0; 2], ends: Some(job), group: false },
            DrainTask::WriteOut { job, o, grid, mode } => {
                let (cycles, run) = write_out(&self.config, &o, grid, self.word);
                let ports = [Some(Port::DrainWrite), (mode == DrainMode::Add).then_some(Port::DrainRead)];
                let mut runs = [0; 2];
                for (i, port) in ports.into_iter().enumerate() {
                    let Some(port) = port else { continue };
                    let earliest = now + shared.core_period;
                    shared.scratchpad.post(now, port, Run { earliest, ..run }, &mut shared.wakes);
                    self.drain_posted[i] += 1;
                    runs[i] = self.drain_posted[i];
                }
                shared.work.psum_accesses += u64::from(o.rows) * u64::from(o.cols);
                let until = now + (cycles + 1) * shared.core_period;
                Draining { until, runs, ends: Some(job), group: false }
            }
        };
        self.draining = Some(draining);
        if draining.until <= now {
            self.end_drain(now, shared);
        }
    }

    fn end_drain(&mut self, now: Tick, shared: &mut Shared) {
        let Some(d) = self.draining else { return };
        let through = shared.scratchpad.finished(Port::DrainWrite, now) >= d.runs[0]
            && shared.scratchpad.finished(Port::DrainRead, now) >= d.runs[1];
        if d.until > now || !through {
            return;
        }
        self.draining = None;
        if d.group {
            self.full -= 1;
        }
        if let Some(job) = d.ends {
            let pipeline =
                if matches!(job.dispatch.op, Op::Sync) { 1 } else { u64::from(self.config.pipeline_cycles) };
            self.retiring.push_back((now + pipeline * shared.core_period, job));
        }
        self.begin_drain(now, shared);
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.pass.is_none()
            && self.staged.is_none()
            && self.active.is_none()
            && self.drain.is_empty()
            && self.draining.is_none()
            && self.retiring.is_empty()
    }
}

/// Tasks that may wait for the drain.
const DRAIN_TASKS: usize = 4;

fn finished(shared: &Shared, now: Tick, runs: Runs) -> bool {
    OPERANDS.iter().zip(runs).all(|(&port, runs)| shared.scratchpad.finished(port, now) >= runs)
}

/// Cycles of a group beyond the array's.
fn late(group: &Group) -> u64 {
    group.late[0].max(group.late[1])
}

/// What the array waits for in those cycles.
fn cause_of(group: &Group) -> Cause {
    if group.late[0] >= group.late[1] { Cause::Builder } else { Cause::Broadcast }
}

/// The size of one group.
struct GroupShape {
    k0: u32,
    k: u32,
    cycles: u64,
    late: [u64; 2],
    drain_cycles: u64,
    /// What the builders take to find the largest entry; none if entries stay as they are.
    scale_cycles: u64,
}

impl Pass {
    fn new(job: Job, ty: LmmaType, a: TileRef, w: TileRef, grid: Grid, lut: &config::Lut) -> Option<Self> {
        let Format::Weights(format) = w.format else { return None };
        let group = if lut.kind.traits().dequantises { w.cols } else { format.group.size(w.cols) };
        let group = group.min(w.cols).max(1);
        let groups = w.cols.div_ceil(group).max(1);
        let planes = format.kind.planes().len() as u32;
        Some(Self { job, ty, a, w, grid, planes, group, groups, next: 0 })
    }
    fn group(&self, lut: &config::Lut) -> GroupShape {
        let k0 = self.next * self.group;
        let k = self.group.min(self.w.cols - k0);
        let rows = self.a.rows.div_ceil(self.grid.r.into()).min(lut.m);
        let columns = self.w.rows.div_ceil(self.grid.c.into()).min(lut.n);
        let drain_cycles = u64::from((rows * columns).div_ceil(lut.drain_lanes));
        let on_lanes = self.on_lanes(lut);
        let tables = u64::from(k.div_ceil(self.at_once(lut)));
        let cycles = match on_lanes {
            true => {
                (u64::from(rows) * u64::from(columns) * u64::from(k)).div_ceil(lut.mac_lanes.max(1).into())
            }
            false => self.steps(lut) * tables,
        };
        let cycles = cycles.max(1);
        let build = match lut.build {
            Build::Ingress { builders } if !on_lanes => (u64::from(rows) * tables).div_ceil(builders.into()),
            Build::Nobody if lut.dequantisers > 0 => {
                (u64::from(columns) * u64::from(k)).div_ceil(lut.dequantisers.into())
            }
            _ => 0,
        };
        // The bits that the cores take, a table's worth of each column at a time.
        let bits = u64::from(columns) * u64::from(self.planes) * tables * u64::from(self.at_once(lut));
        let activations = u64::from(rows) * self.activation_bytes(k);
        let links = bits
            .div_ceil(8 * u64::from(lut.weight_link_bytes))
            .max(activations.div_ceil(lut.activation_link_bytes.into()));
        let late = [build, links].map(|needed| needed.saturating_sub(cycles));
        let scale_cycles = if self.rounds() { build } else { 0 };
        GroupShape { k0, k, cycles, late, drain_cycles, scale_cycles }
    }
    /// Whether table entries are rounded to 8 bits.
    fn rounds(&self) -> bool {
        self.ty.entries == Entries::Int8
    }
    /// Whether lanes take the array's place.
    fn on_lanes(&self, lut: &config::Lut) -> bool {
        self.ty.k == 1 && lut.kind.has_tables()
    }
    /// Activations of K that a step of the array takes.
    fn at_once(&self, lut: &config::Lut) -> u32 {
        if lut.kind.has_tables() { self.ty.k.into() } else { lut.k }
    }
    /// Steps of the array for K weights of a column: a plane each, or what the kind multiplies at once.
    fn steps(&self, lut: &config::Lut) -> u64 {
        lut.kind.steps(self.planes).into()
    }
    /// Whether the tables come from the scratchpad.
    fn stored(&self) -> bool {
        matches!(self.a.format, Format::Plain(elem) if elem.is_table())
    }
    /// Bytes of `k` activations of a row, or of their tables.
    fn activation_bytes(&self, k: u32) -> u64 {
        match self.a.format {
            Format::Plain(elem) => elem.row_bytes(k),
            Format::Weights(_) => u64::from(k),
        }
    }
    /// Reads of weights (planes), scales and activations, each spread over the group's cycles.
    fn runs(&self, g: &GroupShape, word: u64) -> [Run; 3] {
        let Format::Weights(format) = self.w.format else { unreachable!("a pass has a weight tile") };
        let (n, rows) = (u64::from(self.w.rows), u64::from(self.a.rows));
        let cycles = g.cycles + g.late[0].max(g.late[1]);
        let spread = |base: u64, bytes: u64| {
            let words = bytes.div_ceil(word).max(1);
            let width = words.div_ceil(cycles);
            let inner = words.div_ceil(width);
            Run {
                word: base / word,
                width: width as u32,
                inner: inner as u32,
                inner_step: width,
                outer: 1,
                outer_step: 0,
                period: (cycles / inner).max(1) as u32,
                earliest: 0,
            }
        };
        let (columns, weights) = (self.w.rows, self.w.cols);
        let meta =
            format.unpacked_scale_bytes(columns, weights) + format.unpacked_zero_bytes(columns, weights);
        let plane_bytes = n * u64::from(self.planes) * u64::from(g.k.div_ceil(8));
        let planes_at = u64::from(self.w.base) + meta + n * u64::from(self.planes) * u64::from(g.k0 / 8);
        let groups = u64::from(self.groups);
        let scales =
            spread(u64::from(self.w.base) + meta * u64::from(self.next) / groups, meta.div_ceil(groups));
        // One word of every row in turn, then the next word.
        let row_words = self.activation_bytes(g.k).div_ceil(word).max(1);
        let activations = Run {
            word: (u64::from(self.a.base) + self.activation_bytes(g.k0)) / word,
            width: 1,
            inner: rows.max(1) as u32,
            inner_step: u64::from(self.a.stride) / word,
            outer: row_words as u32,
            outer_step: 1,
            period: (cycles / (rows.max(1) * row_words)).max(1) as u32,
            earliest: 0,
        };
        let activations = if rows * row_words > cycles { widen(activations, cycles) } else { activations };
        [spread(planes_at, plane_bytes), scales, activations]
    }
    fn count(&self, g: &GroupShape, lut: &config::Lut, shared: &mut Shared) {
        let (rows, n, k) = (u64::from(self.a.rows), u64::from(self.w.rows), u64::from(g.k));
        let tables = k.div_ceil(self.at_once(lut).into());
        let work = &mut shared.work;
        let columns = n.div_ceil(self.ty.n.into()).min(self.grid.c.into());
        let macs = rows * n * k;
        match (self.on_lanes(lut), self.ty.a) {
            (true, AType::Int8) => work.mac_int8 += macs,
            (true, AType::Fp16) => work.mac_fp16 += macs,
            (false, _) if !lut.kind.has_tables() => {
                let steps = self.steps(lut);
                work.array_products += macs * steps;
                work.array_accumulates += rows * n * tables * steps;
                work.array_operand_bytes += rows * columns * self.activation_bytes(g.k);
                if lut.kind.native_bits().is_some() {
                    // A column's weights are put together in each of its cores.
                    let cores = rows.div_ceil(self.ty.m.into()).min(self.grid.r.into());
                    work.dequantised += n * k * cores * steps;
                }
            }
            _ => {
                work.lut_selects += rows * n * tables * u64::from(self.planes);
                if self.stored() {
                    work.table_reads += rows * columns * self.activation_bytes(g.k);
                } else {
                    // Each core's builders make the tables of its own rows: of a half table of four, 12 additions for 8 entries.
                    let built = rows * tables * columns;
                    work.table_adds += built * u64::from(lut.kind.table_additions(self.ty.k.into()));
                    if self.rounds() {
                        // The largest entry is the sum of magnitudes: k - 1 additions and a comparison. The stored half is rounded.
                        work.table_adds += built * u64::from(self.ty.k);
                        work.table_roundings += built << (self.ty.k - 1);
                    }
                }
            }
        }
        work.activation_broadcast_bytes += rows * columns * self.activation_bytes(g.k);
        work.group_drains += rows * n;
        work.psum_accesses += 2 * rows * n;
        work.weight_broadcast_bytes += n * u64::from(self.planes) * k.div_ceil(8);
        work.macs += macs;
        shared.instances[self.job.instance as usize].macs += macs;
    }
}

/// Several rows a cycle, when one row a cycle would be too slow.
fn widen(run: Run, cycles: u64) -> Run {
    let width = (u64::from(run.inner) * u64::from(run.outer)).div_ceil(cycles.max(1));
    let accesses = (u64::from(run.inner) * u64::from(run.outer)).div_ceil(width);
    Run {
        width: width as u32,
        inner: accesses as u32,
        inner_step: width,
        outer: 1,
        outer_step: 0,
        period: 1,
        ..run
    }
}

/// Core cycles of the array for an operation.
pub(crate) fn array_cycles(dispatch: &Dispatch, lut: &config::Lut) -> u64 {
    let Op::Lmma { ty, a, w, grid, .. } = dispatch.op else { return 0 };
    let job = Job { dispatch: *dispatch, instance: 0, prototype: 0 };
    let Some(pass) = Pass::new(job, ty, a, w, grid, lut) else { return 0 };
    // All groups but the last are as long as the first.
    let last = pass.groups - 1;
    let cycles = |next| Pass { next, ..pass }.group(lut).cycles;
    u64::from(last) * cycles(0) + cycles(last)
}

/// Cycles of a write-out, and its run.
fn write_out(lut: &config::Lut, o: &TileRef, grid: Grid, word: u64) -> (u64, Run) {
    let rows = o.rows.div_ceil(grid.r.into()).min(lut.m).max(1);
    let columns = o.cols.div_ceil(grid.c.into()).min(lut.n);
    let cycles = u64::from((rows * columns).div_ceil(lut.drain_lanes)).max(1);
    let row_words = (u64::from(o.row_bytes())).div_ceil(word).max(1);
    let width = (u64::from(o.rows) * row_words).div_ceil(cycles).min(row_words).max(1);
    let inner = row_words.div_ceil(width);
    let run = Run {
        word: u64::from(o.base) / word,
        width: width as u32,
        inner: inner as u32,
        inner_step: width,
        outer: o.rows.max(1),
        outer_step: u64::from(o.stride).div_ceil(word),
        period: (cycles / (inner * u64::from(o.rows.max(1)))).max(1) as u32,
        earliest: 0,
    };
    (cycles, run)
}
