//! A point in microseconds: what DRAM, the LUT cores and the vector unit take at least, and the overheads that the chip file names.
//!
//! ```text
//! step = max(bytes / (peak of the pins less refreshes), look-up cycles + vector cycles that nothing hides + pipelines)
//!      + doorbell + read-back
//! ```
//! Look-up cycles are passes over whole tiles, as the cores run them; the vector unit's are sweeps over rows between products; every
//! product and sweep fills and empties its pipeline once per layer. Rows are cut into chunks as the host's default mapping does,
//! columns into the tiles that are fastest by this estimate. Row conflicts, turnarounds, scratchpad conflicts and waits between units
//! are left out: that is what the simulator is for.
//! docs/estimate.md holds it against exact runs.

use lutsim_host::error::HostError;
use lutsim_host::mapping::Mapping;
use lutsim_host::model::Model;
use lutsim_host::target::Target;
use lutsim_host::workload::Workload;
use lutsim_isa::WeightFormat;
use lutsim_sim::chip_file::ChipFile;

use crate::device;
use crate::session::Session;

/// What a step takes, seconds but for the counts.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Step {
    /// Bytes at the peak, less the time of refreshes.
    pub dram: f64,
    /// Passes of the LUT cores.
    pub lut: f64,
    /// Sweeps of the vector unit between products.
    pub vector: f64,
    /// Pipelines that fill and empty.
    pub pipelines: f64,
    /// Doorbell and read-back.
    pub host: f64,
    /// Bytes from and to DRAM.
    pub bytes: f64,
    /// Multiply-accumulates.
    pub macs: f64,
}

impl Step {
    /// What it takes in all.
    pub fn seconds(&self) -> f64 {
        self.dram.max(self.lut + self.vector + self.pipelines) + self.host
    }
    /// What limits it.
    pub fn bound(&self) -> &'static str {
        let (units, cores) = (self.lut + self.vector + self.pipelines, self.lut);
        match (self.dram >= units, cores >= self.vector.max(self.pipelines), self.vector >= self.pipelines) {
            (true, ..) => "DRAM",
            (_, true, _) => "LUT cores",
            (_, _, true) => "vector unit",
            _ => "pipelines",
        }
    }
    fn add(&mut self, other: &Step, times: f64) {
        self.dram += other.dram * times;
        self.lut += other.lut * times;
        self.vector += other.vector * times;
        self.pipelines += other.pipelines * times;
        self.host += other.host * times;
        self.bytes += other.bytes * times;
        self.macs += other.macs * times;
    }
}

/// A phase: its steps together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Phase {
    /// Sums over the steps.
    pub sum: Step,
    /// Seconds of all steps.
    pub seconds: f64,
    /// Tokens, all sequences together.
    pub tokens: u64,
    /// What limits its longest step.
    pub bound: &'static str,
}

impl Phase {
    /// All sequences together.
    pub fn tokens_per_second(&self) -> f64 {
        self.tokens as f64 / self.seconds
    }
}

/// Both phases; one that is not run is none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The prompt.
    pub prefill: Option<Phase>,
    /// To the first token, seconds.
    pub first_token: Option<f64>,
    /// Token by token.
    pub decode: Option<Phase>,
}

/// One point.
struct Point<'a> {
    chip: &'a ChipFile,
    model: &'a Model,
    work: Workload,
    target: Target,
    bandwidth: f64,
    mapping: Mapping,
}

/// The estimate of what `session` would run.
///
/// # Errors
/// Model, workload and chip that do not go together.
pub fn estimate(session: &Session) -> Result<Estimate, HostError> {
    let (known, work) = (Known::of(&session.chip), session.workload());
    work.check(&session.model, &known.target)?;
    let mapping = match session.mapping {
        Some(mapping) => mapping,
        None => Mapping::default_for(&known.target, &session.model, &work)?,
    };
    Ok(of_mapping(session, &known, &mapping))
}

/// What is known of a chip, its DRAM standard read: once for all points on it.
pub struct Known {
    /// The chip as lowering sees it.
    pub target: Target,
    /// Bytes per second of the pins, less the time of refreshes.
    bandwidth: f64,
}

impl Known {
    /// Of a chip.
    pub fn of(chip: &ChipFile) -> Known {
        let chip = &chip.chip;
        let bandwidth = device::dram_peak(chip) * (1.0 - device::refresh_share(chip));
        Known { target: device::target(chip), bandwidth }
    }
}

/// The same for a mapping that is known: microseconds. Tiles are its own only if the session says so.
pub fn of_mapping(session: &Session, known: &Known, mapping: &Mapping) -> Estimate {
    let (target, work) = (known.target, session.workload());
    let tiles = (0..=target.cores.max(1).ilog2()).map(|i| target.n << i);
    let tiles: Vec<u32> = if session.mapping.is_some() { vec![mapping.n_tile] } else { tiles.collect() };
    let all = tiles.into_iter().map(|n_tile| {
        let mapping = Mapping { n_tile, ..*mapping };
        let bandwidth = known.bandwidth;
        let point = Point { chip: &session.chip, model: &session.model, work, target, bandwidth, mapping };
        let prefill = (work.prompt > 0).then(|| point.prefill());
        let decode = (work.generate > 0).then(|| point.decode());
        Estimate { first_token: prefill.map(|p| p.seconds / f64::from(work.batch)), prefill, decode }
    });
    all.min_by(|a, b| a.seconds().total_cmp(&b.seconds())).expect("there is a tile")
}

impl Estimate {
    /// Both phases together.
    pub fn seconds(&self) -> f64 {
        self.prefill.map_or(0.0, |p| p.seconds) + self.decode.map_or(0.0, |p| p.seconds)
    }
}

impl Point<'_> {
    fn prefill(&self) -> Phase {
        let (mut sum, mut seconds, mut longest) = (Step::default(), 0.0, Step::default());
        let mut done = 0;
        while done < self.work.prompt {
            let rows = self.mapping.chunk.max(1).min(self.work.prompt - done);
            let last = done + rows == self.work.prompt;
            // The tokens that a row of the chunk sees: those before the chunk, and half of the chunk.
            let seen = f64::from(self.work.context + done) + (f64::from(rows) + 1.0) / 2.0;
            let step = self.step(rows, 1, seen, last);
            sum.add(&step, f64::from(self.work.batch));
            seconds += step.seconds() * f64::from(self.work.batch);
            longest = if step.seconds() > longest.seconds() { step } else { longest };
            done += rows;
        }
        let tokens = u64::from(self.work.batch) * u64::from(self.work.prompt);
        Phase { sum, seconds, tokens, bound: longest.bound() }
    }

    /// Every part is linear in the context, so the step in the middle is the mean.
    fn decode(&self) -> Phase {
        let steps = f64::from(self.work.generate);
        let seen = f64::from(self.work.context) + f64::from(self.work.prompt) + (steps + 1.0) / 2.0;
        let step = self.step(self.work.batch, self.work.batch, seen, true);
        let mut sum = Step::default();
        sum.add(&step, steps);
        let tokens = u64::from(self.work.batch) * u64::from(self.work.generate);
        Phase { sum, seconds: step.seconds() * steps, tokens, bound: step.bound() }
    }

    /// A step of so many rows of so many sequences, each seeing `seen` tokens, with or without the head.
    fn step(&self, rows: u32, sequences: u32, seen: f64, head: bool) -> Step {
        let (m, chip) = (self.model, &self.chip.chip);
        let (layers, r) = (f64::from(m.layers), f64::from(rows));
        let (mut bytes, mut cycles, mut macs) = (0.0, 0.0, 0.0);
        let mut product = |name: &str, n: u32, k: u32, times: f64| {
            for (kind, share) in self.kinds() {
                let format = self.work.format(m, kind, name);
                bytes += times * share * f64::from(n) * f64::from(k) * format.bits_per_weight(n, k) / 8.0;
                cycles += times * share * self.passes(rows, n, k, format);
                macs += times * share * r * f64::from(n) * f64::from(k);
            }
        };
        let experts = m.experts.map_or(1.0, |e| f64::from(e.used * rows).min(f64::from(e.count)));
        for (name, n, k) in [
            ("wq", m.q_width(), m.hidden),
            ("wk", m.kv_width(), m.hidden),
            ("wv", m.kv_width(), m.hidden),
            ("wo", m.hidden, m.q_width()),
        ] {
            product(name, n, k, layers);
        }
        if m.gated_mlp {
            product("w_gate", m.intermediate, m.hidden, layers * experts);
        }
        product("w_up", m.intermediate, m.hidden, layers * experts);
        product("w_down", m.hidden, m.intermediate, layers * experts);
        if head {
            let format = self.work.head;
            let (n, k) = (m.vocab, m.hidden);
            bytes += f64::from(n) * f64::from(k) * format.bits_per_weight(n, k) / 8.0;
            // Of a prompt only the last row goes through the head.
            let rows = if sequences == rows { rows } else { 1 };
            cycles += self.passes(rows, n, k, format);
            macs += f64::from(rows) * f64::from(n) * f64::from(k);
        }
        // Attention: the cache of each sequence is read once, of a chunk too, and the new rows are written.
        let (kv_heads, heads) = (f64::from(m.kv_heads), f64::from(m.heads));
        let row = self.work.kv_row_bytes(m.head_dim) as f64 + if self.work.kv_scaled() { 2.0 } else { 0.0 };
        let all_seen = seen + (r / f64::from(sequences) - 1.0) / 2.0;
        bytes += layers * 2.0 * kv_heads * row * (f64::from(sequences) * all_seen + r);
        let pairs = heads * r * seen;
        macs += layers * 2.0 * pairs * f64::from(m.head_dim);
        cycles += layers * self.attention(rows, sequences, all_seen);
        let hz = chip.clock_hz as f64;
        let runtime = &chip.runtime;
        Step {
            dram: bytes / self.bandwidth,
            lut: cycles / hz,
            vector: self.sweeps(r, pairs) / hz,
            pipelines: self.pipelines() / hz,
            host: (runtime.doorbell_ns + runtime.readback_ns) as f64 * 1e-9,
            bytes,
            macs,
        }
    }

    /// Kinds of layers, each with its part of them.
    fn kinds(&self) -> Vec<(usize, f64)> {
        let Some(mix) = &self.model.mix else { return vec![(0, 1.0)] };
        let layers = mix.layers();
        let kinds = 1 + layers.iter().copied().max().unwrap_or(0);
        let share = |kind| layers.iter().filter(|k| **k == kind).count() as f64 / layers.len().max(1) as f64;
        (0..kinds).map(|kind| (kind, share(kind))).collect()
    }

    /// Cycles of a product of `rows` with n x k weights on the grid of cores: columns side by side, the rest of the cores take rows.
    fn passes(&self, rows: u32, n: u32, k: u32, format: WeightFormat) -> f64 {
        if format.kind.is_float() {
            // On the vector unit: a multiply and an add per lane.
            return f64::from(rows) * f64::from(n) * f64::from(k) / f64::from(self.target.vector_lanes);
        }
        let tile = self.mapping.n_tile.min(n);
        self.grid(rows, n, tile)
            * f64::from(k.div_ceil(self.target.k))
            * self.steps(format.kind.planes().len())
    }

    /// Steps of the cores for weights of so many planes: what their kind takes.
    fn steps(&self, planes: usize) -> f64 {
        f64::from(self.chip.chip.lut.kind.steps(planes as u32))
    }

    /// Passes over rows times passes over columns.
    fn grid(&self, rows: u32, n: u32, tile: u32) -> f64 {
        let t = &self.target;
        let cores = self.mapping.cores.max(1);
        let across = tile.div_ceil(t.n).clamp(1, cores);
        let down = (cores / across).max(1);
        f64::from(rows.div_ceil(t.m * down))
            * f64::from(n.div_ceil(tile))
            * f64::from(tile.div_ceil(t.n * across))
    }

    /// Cycles of scores and weighted sums of a layer.
    fn attention(&self, rows: u32, sequences: u32, seen: f64) -> f64 {
        let m = self.model;
        let items = f64::from(sequences * m.kv_heads);
        // Query rows that meet a head's keys together.
        let together = (rows / sequences.max(1)).max(1) * (m.heads / m.kv_heads.max(1)).max(1);
        let (seen, d) = (seen.ceil().max(1.0) as u32, m.head_dim);
        if self.chip.chip.lut.mac_lanes > 0 {
            let lanes = f64::from(self.mapping.cores) * f64::from(self.chip.chip.lut.mac_lanes);
            return items * 2.0 * f64::from(together) * f64::from(seen) * f64::from(d) / lanes;
        }
        let steps = self.steps(self.work.kv.planes().len());
        let k = self.target.k;
        let keys = if rows == sequences { self.mapping.decode_keys } else { self.mapping.prefill_keys };
        let scores = self.grid(together, seen, keys.min(seen).max(1)) * f64::from(d.div_ceil(k));
        let sums = self.grid(together, d, d) * f64::from(seen.div_ceil(k));
        items * steps * (scores + sums)
    }

    /// Cycles in which pipelines fill and empty: two ends of each sweep of the vector unit, of each product the array's and its last
    /// drain.
    fn pipelines(&self) -> f64 {
        let chip = &self.chip.chip;
        let (lut, vector) = (chip.lut, chip.vector);
        let drain = f64::from(lut.m * lut.n) / f64::from(lut.drain_lanes.max(1));
        // q, k, v, scores, sums, output, up and down; norm and rounding twice, rotation, the cache's rounding, softmax.
        let products = 8.0 * (f64::from(lut.pipeline_cycles) + drain);
        let sweeps = 10.0 * 2.0 * f64::from(vector.pipeline_cycles);
        f64::from(self.model.layers) * (products + sweeps)
    }

    /// Cycles of the vector unit that no product hides: norms, rotation, the cache's rounding, softmax; sweeps of two over each row.
    fn sweeps(&self, rows: f64, pairs: f64) -> f64 {
        let m = self.model;
        let lanes = f64::from(self.target.vector_lanes);
        let special = f64::from(self.chip.chip.vector.special_lanes);
        let (hidden, q, kv) = (f64::from(m.hidden), f64::from(m.q_width()), f64::from(m.kv_width()));
        // Square and scale, then find the largest and round.
        let norms = 2.0 * 4.0 * hidden * rows;
        let rotation = if m.rope().is_some() { 2.0 * (q + kv) * rows } else { 0.0 };
        let cache = 2.0 * 2.0 * kv * rows;
        // Largest, subtract and sum, divide and round; an exponential each.
        let softmax = 4.0 * pairs;
        f64::from(m.layers) * ((norms + rotation + cache + softmax) / lanes + pairs / special)
    }
}
