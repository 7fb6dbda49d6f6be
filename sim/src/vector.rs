//! Vector unit: one operation at a time, as passes over its rows through the scratchpad's vector ports.

use lutsim_isa::control::VectorOp;
use lutsim_isa::field::{Act, Norm};
use lutsim_isa::{Elem, Format, Op, Queue, TileRef};

use crate::activity::{Activity, Cause};
use crate::config;
use crate::leap::Walk;
use crate::link::Tick;
use crate::scratchpad::{Port, Run};
use crate::shared::{Job, Shared};

/// One sweep over the rows of an operation.
#[derive(Clone, Copy, Debug, Default)]
struct Pass {
    reads: [Option<TileRef>; 2],
    write: Option<TileRef>,
    /// Special functions per element; they have lanes of their own.
    special: bool,
    /// Lane operations per element, less one.
    more: u32,
    /// The next pass needs this one's result (a maximum, a sum): it waits for the pipeline to empty.
    reduces: bool,
    /// What is written is one element per row that is read.
    gathers: bool,
}

const MAX_PASSES: usize = 4;

/// What an operation does, sweep by sweep. The rows and columns are those of the first tile it reads.
fn passes(op: &VectorOp) -> ([Pass; MAX_PASSES], usize) {
    let read = |a| Pass { reads: [Some(a), None], ..Pass::default() };
    let map = |x, y: Option<TileRef>, d, special| Pass {
        reads: [Some(x), y],
        write: Some(d),
        special,
        ..Pass::default()
    };
    let reduce = |p: Pass| Pass { reduces: true, ..p };
    let list = |p: &[Pass]| {
        let mut out = [Pass::default(); MAX_PASSES];
        out[..p.len()].copy_from_slice(p);
        (out, p.len())
    };
    // Maximum; exponentials and their sum; scale. Scores are scaled, and biased by their slope, on the way in.
    let softmax = |x, slope, d| {
        list(&[
            reduce(Pass { reads: [Some(x), slope], ..Pass::default() }),
            reduce(map(x, slope, d, true)),
            map(d, None, d, false),
        ])
    };
    match *op {
        // Mean; mean square of what is left; scale; bias: the second port reads one row of `w` at a time.
        VectorOp::Norm { norm: Norm::Layer, d, x, w, .. } => {
            let weights = TileRef { rows: 1, ..w };
            let biases = TileRef { base: w.base.saturating_add(w.stride), ..weights };
            list(&[
                reduce(read(x)),
                reduce(read(x)),
                reduce(map(x, Some(weights), d, false)),
                map(d, Some(biases), d, false),
            ])
        }
        // Mean square, then scale.
        VectorOp::Norm { d, x, w, .. } => list(&[reduce(read(x)), map(x, Some(w), d, false)]),
        VectorOp::Rope { d, x, tab, .. } => list(&[map(x, Some(tab), d, false)]),
        VectorOp::Softmax { d, x, .. } | VectorOp::Window { d, x, .. } => softmax(x, None, d),
        // The largest are found one by one on the way in.
        VectorOp::Route { d, x, used } => {
            let (mut passes, count) = softmax(x, None, d);
            passes[0].more = used.max(1) - 1;
            (passes, count)
        }
        VectorOp::Cap { d, x, .. } => list(&[map(x, None, d, true)]),
        VectorOp::Alibi { d, x, slope, .. } => softmax(x, Some(slope), d),
        VectorOp::Act { d, x, f } => list(&[map(x, None, d, is_special(f))]),
        VectorOp::Glu { d, x, y, f } => list(&[map(x, Some(y), d, is_special(f))]),
        VectorOp::Add { d, x, y } | VectorOp::Mul { d, x, y } => list(&[map(x, Some(y), d, false)]),
        // Each row of `x` beside all rows of `w`: a pass for every row, of which this is the first.
        VectorOp::Dot { d, x, w } => {
            let one = |t: TileRef| TileRef { rows: 1, ..t };
            let pass = Pass { gathers: true, ..map(w, Some(one(x)), one(d), false) };
            (list(&[pass]).0, x.rows as usize)
        }
        VectorOp::Copy { d, x } => list(&[map(x, None, d, false)]),
        // 12 additions for the 8 entries of four activations (LUT Tensor Core, arXiv 2408.06003, section 3.1.1).
        VectorOp::Table { d, x } => list(&[Pass { more: 2, ..map(x, None, d, false) }]),
        // Absolute maximum, then round.
        VectorOp::Quant { d, x, .. } => list(&[reduce(read(x)), map(x, None, d, false)]),
        VectorOp::Fold { d, x, f, .. } => {
            list(&[reduce(Pass { reads: [Some(x), Some(f)], ..Pass::default() }), map(x, Some(f), d, false)])
        }
        VectorOp::ArgMax { x, .. } => list(&[reduce(read(x))]),
    }
}

/// Takes out what only values depend on.
pub(crate) fn forget_values(op: &mut Op) {
    match op {
        Op::Vector(VectorOp::Softmax { valid, .. } | VectorOp::Alibi { valid, .. }) => *valid = 0,
        Op::Vector(VectorOp::Window { valid, window, .. }) => (*valid, *window) = (0, 0),
        Op::Vector(VectorOp::ArgMax { base, .. }) => *base = 0,
        _ => {}
    }
}

fn is_special(f: Act) -> bool {
    matches!(f, Act::Silu | Act::Gelu)
}

#[derive(Clone, Debug)]
struct Running {
    job: Job,
    passes: [Pass; MAX_PASSES],
    count: usize,
    at: usize,
    /// The pass cannot end before.
    until: Tick,
    /// Runs of each port at which the pass has all its bytes.
    runs: [u64; 3],
    /// The last pass is through: retires then.
    retire: Option<Tick>,
}

impl Running {
    /// The pass under way.
    fn pass(&self) -> Pass {
        match self.job.dispatch.op {
            Op::Vector(VectorOp::Dot { d, x, .. }) => {
                let row = self.at as u32;
                let moved = |t: &mut TileRef, by: TileRef| {
                    t.base = t.base.saturating_add(row.saturating_mul(by.stride))
                };
                let mut pass = self.passes[0];
                pass.reads[1].iter_mut().for_each(|t| moved(t, x));
                pass.write.iter_mut().for_each(|t| moved(t, d));
                pass
            }
            _ => self.passes[self.at],
        }
    }
    fn new(job: Job) -> Self {
        let (passes, count) = match &job.dispatch.op {
            Op::Vector(op) => passes(op),
            _ => ([Pass::default(); MAX_PASSES], 0),
        };
        Self { job, passes, count, at: 0, until: 0, runs: [0; 3], retire: None }
    }
}

const PORTS: [Port; 3] = [Port::VectorRead, Port::VectorRead2, Port::VectorWrite];

/// Vector unit.
#[derive(Clone, Debug)]
pub(crate) struct Vector {
    config: config::Vector,
    word: u64,
    running: Option<Running>,
    posted: [u64; 3],
    pub(crate) activity: Activity,
}

impl Vector {
    pub(crate) fn new(config: config::Vector, word: u32) -> Self {
        Self {
            config,
            word: word.into(),
            running: None,
            posted: [0; 3],
            activity: Activity::new(Cause::Idle),
        }
    }

    pub(crate) fn tick(&mut self, now: Tick, shared: &mut Shared) -> Tick {
        if let Some(running) = &mut self.running {
            if running.retire.is_none() && self.pass_done(now, shared) {
                self.next_pass(now, shared);
            }
            if let Some(running) = self.running.take_if(|r| r.retire.is_some_and(|at| at <= now)) {
                shared.retire(now, &running.job);
            }
        }
        if self.running.is_none()
            && let Some(job) = shared.accept(now, Queue::Vector)
        {
            self.start(now, job, shared);
        }
        let (cause, wake) = match (&self.running, shared.queues[Queue::Vector as usize].front(now)) {
            (Some(r), _) => match r.retire {
                Some(at) => (Cause::Busy, at),
                None if now < r.until => (Cause::Busy, r.until),
                None => (Cause::Scratchpad, Tick::MAX),
            },
            (None, Some(job)) => match job.dispatch.wait {
                // Not taken: its semaphore is missing; or it came up in this very cycle and is taken in the next.
                Some(sem) if !shared.semaphores.available(now, sem) => (Cause::waiting_for(sem), Tick::MAX),
                _ => (Cause::Busy, now + shared.core_period),
            },
            (None, None) => (Cause::Idle, Tick::MAX),
        };
        self.activity.mark(shared.cycle, cause, cause);
        wake
    }

    fn start(&mut self, now: Tick, job: Job, shared: &mut Shared) {
        if let Op::Vector(op) = &job.dispatch.op {
            count_work(op, job.instance, shared);
        }
        self.running = Some(Running { until: now, ..Running::new(job) });
        self.begin_pass(now, shared);
    }

    fn next_pass(&mut self, now: Tick, shared: &mut Shared) {
        if let Some(r) = &mut self.running {
            r.at += 1;
        }
        self.begin_pass(now, shared);
    }

    fn begin_pass(&mut self, now: Tick, shared: &mut Shared) {
        let Some(r) = &mut self.running else { return };
        let pipeline = Tick::from(self.config.pipeline_cycles) * shared.core_period;
        if r.at == r.count {
            // The pipeline empties once more behind the last element; an operation without passes is over at once.
            r.retire = Some(if r.count == 0 { now + shared.core_period } else { now + pipeline });
            return;
        }
        let pass = r.pass();
        // The scratchpad sees a run in the cycle after it was posted.
        let fill = if r.at == 0 || r.passes.get(r.at - 1).is_some_and(|p| p.reduces) { pipeline } else { 0 };
        let start = now + fill.max(shared.core_period);
        let Some(x) = pass.reads[0] else { return };
        let lanes = if pass.special { self.config.special_lanes } else { self.config.lanes };
        let sweeps = (x.cols * (1 + pass.more)).div_ceil(lanes).max(1);
        let cycles = u64::from(x.rows) * u64::from(sweeps);
        r.until = start + cycles * shared.core_period;
        let tiles = [pass.reads[0], pass.reads[1], pass.write];
        for ((tile, port), (posted, runs)) in
            tiles.into_iter().zip(PORTS).zip(self.posted.iter_mut().zip(&mut r.runs))
        {
            if let Some(run) = tile.filter(|_| x.rows > 0 && x.cols > 0).map(|t| match port {
                Port::VectorWrite if pass.gathers => gather(t, sweeps, self.word),
                _ => sweep(t, x, lanes, sweeps, self.word),
            }) {
                shared.scratchpad.post(now, port, Run { earliest: start, ..run }, &mut shared.wakes);
                *posted += 1;
            }
            *runs = *posted;
        }
        if cycles == 0 {
            r.until = now + shared.core_period;
        }
    }

    fn pass_done(&self, now: Tick, shared: &Shared) -> bool {
        self.running.as_ref().is_some_and(|r| {
            r.until <= now
                && PORTS.iter().zip(r.runs).all(|(&p, runs)| shared.scratchpad.finished(p, now) >= runs)
        })
    }
    /// Walks the operation under way; counts of scratchpad runs begin at 0 when it is read.
    pub(crate) fn walk(&mut self, w: &mut Walk<'_>, shared: &Shared) {
        let base = PORTS.map(|port| shared.scratchpad.finished_by_now(port));
        w.option(
            &mut self.running,
            |w, r| {
                w.job(&mut r.job);
                if w.reading() {
                    *r = Running::new(r.job);
                }
                w.size(&mut r.at);
                w.clock(&mut r.until);
                r.runs.iter_mut().zip(base).for_each(|(runs, base)| w.since(runs, base));
                w.optional_clock(&mut r.retire);
            },
            || Running::new(Walk::blank_job()),
        );
        if w.reading() {
            self.posted = PORTS.map(|port| shared.scratchpad.posted(port));
        }
        w.activity(&mut self.activity);
    }
    pub(crate) fn is_idle(&self) -> bool {
        self.running.is_none()
    }
}

/// The accesses to `tile` of a pass over the rows and columns of `x`.
fn sweep(tile: TileRef, x: TileRef, lanes: u32, sweeps: u32, word: u64) -> Run {
    let elem = match tile.format {
        Format::Plain(elem) => elem,
        Format::Weights(_) => Elem::U8,
    };
    // Whole words: slow lanes read a word once and work on it for several cycles.
    let words = elem.row_bytes(tile.cols.min(x.cols).max(1)).div_ceil(word);
    let width = match elem.is_table() {
        true => words.div_ceil(sweeps.into()),
        false => (u64::from(lanes) * u64::from(elem.bytes())).div_ceil(word).min(words),
    };
    let inner = words.div_ceil(width);
    Run {
        word: u64::from(tile.base) / word,
        width: width as u32,
        inner: inner as u32,
        inner_step: width,
        // A tile of one row (weights of a norm, a bias) is read again for each row.
        outer: x.rows,
        outer_step: if tile.rows == 1 { 0 } else { u64::from(tile.stride).div_ceil(word) },
        period: (sweeps / inner as u32).max(1),
        earliest: 0,
    }
}

/// Writes a row of `tile`, an element every so many cycles, a word when it is full.
fn gather(tile: TileRef, sweeps: u32, word: u64) -> Run {
    let words = u64::from(tile.row_bytes()).div_ceil(word).max(1);
    let elements = u64::from(tile.cols).div_ceil(words);
    Run {
        word: u64::from(tile.base) / word,
        width: 1,
        inner: words as u32,
        inner_step: 1,
        outer: 1,
        outer_step: 0,
        period: u32::try_from(elements * u64::from(sweeps)).unwrap_or(u32::MAX).max(1),
        earliest: 0,
    }
}

fn count_work(op: &VectorOp, instance: u32, shared: &mut Shared) {
    let (passes, count) = passes(op);
    if let VectorOp::Dot { w, .. } = op {
        // A multiplication and an addition.
        let elements = 2 * count as u64 * u64::from(w.rows) * u64::from(w.cols);
        shared.work.vector_lane_ops += elements;
        shared.instances[instance as usize].vector_ops += elements;
        return;
    }
    for pass in &passes[..count] {
        let Some(x) = pass.reads[0] else { continue };
        let elements = u64::from(x.rows) * u64::from(x.cols) * u64::from(1 + pass.more);
        shared.work.vector_lane_ops += elements;
        shared.instances[instance as usize].vector_ops += elements;
        if pass.special {
            shared.work.special_ops += elements;
        }
    }
}
