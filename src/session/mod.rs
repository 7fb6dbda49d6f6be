//! A run: what was asked, from resolved input to the record.
//!
//! ```text
//! chip, model, workload --> target, mapping --> plan --> steps on the simulator --> counts --> energy --> record
//! ```

mod counts;
mod executed;
mod ids;
mod record;
mod routing;
mod sample;
mod trial;

pub use counts::{Counts, OperatorCounts};
pub use executed::Executed;
pub use ids::prompt as prompt_ids;
pub(crate) use record::model as model_echo;
pub use sample::Sampler;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use lutsim_host::error::HostError;
use lutsim_host::image::ImageError;
use lutsim_host::mapping::Mapping;
use lutsim_host::model::Model;
use lutsim_host::plan::{Plan, plan};
use lutsim_host::search::{Effort, search};
use lutsim_host::weights::{Synthetic, WeightSource};
use lutsim_host::workload::Workload;
use lutsim_isa::format::WeightFormat;
use lutsim_record::Record;
use lutsim_sim::chip_file::ChipFile;
use lutsim_sim::{BuildError, Engine, EngineStats, LeapStats, Memory, Moment, Stop, Trace, Window};

use crate::device::{self, SimDevice};
use crate::trace::Step;
use routing::Router;
use trial::Trial;

/// Which phases run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The prompt only.
    Prefill,
    /// Token by token only, with the prompt taken as done.
    Decode,
    /// Both.
    All,
}

/// What is to be run, everything resolved.
pub struct Session {
    /// Chip and workload.
    pub chip: ChipFile,
    /// Model.
    pub model: Model,
    /// Which phases.
    pub phase: Phase,
    /// Whether values are executed.
    pub values: bool,
    /// Whether experts are those that the router chooses, without values too; otherwise those of a seed.
    pub routed: bool,
    /// How time passes.
    pub engine: Engine,
    /// Whether every decode step is simulated.
    pub every_step: bool,
    /// Of 100 times that `leap` recognises a state, how many are executed all the same, and compared.
    pub audit: u32,
    /// Core cycles after which the run is given up.
    pub max_cycles: Option<u64>,
    /// How much of a search for a mapping is done.
    pub effort: Effort,
    /// A mapping to use in place of a search.
    pub mapping: Option<Mapping>,
    /// The ids that decode steps are fed, step by step and sequence by sequence, in place of what came out or of made-up ones.
    pub decode_ids: Option<Vec<u32>>,
    /// The prompt of all sequences, in place of a made-up one.
    pub prompt_ids: Option<Vec<u32>>,
    /// How many moments of each phase its counts over time have at most; 0 keeps none.
    pub moments: usize,
    /// The window of the run that is traced, if one is.
    pub trace: Option<Window>,
    /// How the host chooses tokens from logits, if it samples (`workload.sampling`): the largest logit unless told otherwise.
    pub sampler: Sampler,
    /// Raised from outside to stop the run, with [`Error::Interrupted`].
    pub interrupt: Option<Arc<AtomicBool>>,
}

/// A model as the record's configuration has it.
pub fn describe(model: &Model) -> serde_json::Value {
    record::model(model)
}

/// What a run gave.
pub struct Finished {
    /// The record.
    pub record: Record,
    /// What was planned.
    pub plan: Plan,
    /// How the engine fared: no part of the record.
    pub stats: EngineStats,
    /// How the memo of `leap` fared, if that was the engine.
    pub leap: Option<LeapStats>,
    /// Tokens that came out, if values were executed: of prefill one per sequence, then one per step and sequence.
    pub tokens: Vec<u32>,
    /// Their logits, if the host sampled.
    pub logits: Vec<Vec<f32>>,
    /// Counts over time of each phase, if they were wanted.
    pub timelines: Vec<Timeline>,
    /// What was traced, if the window was reached.
    pub trace: Option<Trace>,
    /// The simulated steps, if the run was traced.
    pub steps: Vec<Step>,
}

/// Counts over time of the simulated steps of a phase, one behind the other.
#[derive(Clone, Debug, PartialEq)]
pub struct Timeline {
    /// `prefill` or `decode`.
    pub phase: &'static str,
    /// Number of each simulated step or chunk, and the core cycle at which it began.
    pub steps: Vec<(u64, u64)>,
    /// The counts; cycles and counts go on from phase to phase.
    pub moments: Vec<Moment>,
}

/// Hears how far a run is.
pub trait Progress {
    /// A step of a stage begins: `done` lie behind it, of `all` if that is known.
    fn step(&self, stage: &str, done: u64, all: Option<u64>);
}

impl Progress for () {
    fn step(&self, _: &str, _: u64, _: Option<u64>) {}
}

/// What a user can get wrong here.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Model, workload, chip and mapping do not go together.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The chip cannot be built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The model's numbers cannot be put into the memory.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// More cycles than were allowed.
    #[error("the run was given up after {0} core cycles")]
    TooLong(u64),
    /// Sums that no float holds.
    #[error("the logits of token {token} are not finite: {logit}")]
    NotFinite {
        /// Tokens that came out before it.
        token: usize,
        /// The logit.
        logit: f32,
    },
    /// Somebody asked it to stop.
    #[error("the run was interrupted")]
    Interrupted,
    /// The technologies do not go together.
    #[error("{0}")]
    Technology(String),
}

impl Session {
    /// A session with nothing special about it.
    pub fn new(chip: ChipFile, model: Model) -> Self {
        Self {
            effort: Effort::for_model(&model),
            chip,
            model,
            phase: Phase::All,
            values: false,
            routed: false,
            engine: Engine::Leap,
            every_step: false,
            audit: 0,
            max_cycles: None,
            mapping: None,
            decode_ids: None,
            prompt_ids: None,
            moments: 0,
            trace: None,
            sampler: Sampler::default(),
            interrupt: None,
        }
    }

    /// The workload in the host's words: a phase that is not wanted has no steps.
    pub fn workload(&self) -> Workload {
        let w = &self.chip.workload;
        let (context, prompt) = match self.phase {
            Phase::Decode => (w.context + w.prompt, 0),
            _ => (w.context, w.prompt),
        };
        Workload {
            batch: w.batch,
            prompt,
            context,
            generate: if self.phase == Phase::Prefill { 0 } else { w.generate },
            weights: WeightFormat::new(w.weights, w.group),
            head: WeightFormat::new(w.head, w.head_group),
            activations: w.activations,
            tables: w.tables,
            kv: w.kv,
            sampling: w.sampling,
        }
    }

    /// Chooses a mapping, or checks the one that was given, and plans the run.
    ///
    /// # Errors
    /// Model, workload, chip and mapping that do not go together.
    pub fn plan(&self, progress: &dyn Progress) -> Result<Plan, Error> {
        Ok(self.prepare(progress)?.0)
    }

    /// Checks that chip, model and workload go together, without running or measuring anything.
    ///
    /// # Errors
    /// What does not.
    pub fn check(&self) -> Result<(), Error> {
        record::technology(&self.chip)?;
        let (target, workload) = (device::target(&self.chip.chip), self.workload());
        workload.check(&self.model, &target)?;
        let mapping = Mapping::default_for(&target, &self.model, &workload)?;
        plan(&self.model, &workload, &target, &mapping)?;
        SimDevice::new(&self.chip.chip, self.engine)?;
        Ok(())
    }

    /// The same, with what was learned of the chip on the way.
    fn prepare(&self, progress: &dyn Progress) -> Result<(Plan, Option<Memory>), Error> {
        let (target, workload) = (device::target(&self.chip.chip), self.workload());
        workload.check(&self.model, &target)?;
        let (mapping, memory) = match self.mapping {
            Some(mapping) => (mapping, None),
            None => self.search(&workload, progress)?,
        };
        Ok((plan(&self.model, &workload, &target, &mapping)?, memory))
    }

    /// The fastest mapping of the host's short list, each measured on a chip of its own.
    fn search(
        &self,
        workload: &Workload,
        progress: &dyn Progress,
    ) -> Result<(Mapping, Option<Memory>), Error> {
        let target = device::target(&self.chip.chip);
        // What does not fit is found before anything is measured.
        let default = Mapping::default_for(&target, &self.model, workload)?;
        plan(&self.model, workload, &target, &default)?;
        // All engines measure the same; this one is fast.
        SimDevice::new(&self.chip.chip, Engine::Leap)?;
        let mut trial = Trial::new(&self.chip.chip, self.effort, self.interrupt.as_ref(), progress);
        let mapping = search(&self.model, workload, &target, self.effort, &mut trial)?;
        Ok((mapping, trial.finish()))
    }

    /// Runs it.
    ///
    /// # Errors
    /// What a user can get wrong.
    ///
    /// # Panics
    /// On a fault of ours: a program of the host that the machine refuses, a record that does not add up.
    pub fn run(&self, progress: &dyn Progress) -> Result<Finished, Error> {
        self.run_on(None, progress)
    }

    /// Runs it on the numbers of `source`, or on made-up ones.
    ///
    /// # Errors
    /// What a user can get wrong; a source that cannot be read.
    ///
    /// # Panics
    /// As [`Self::run`].
    pub fn run_on(
        &self,
        source: Option<&dyn WeightSource>,
        progress: &dyn Progress,
    ) -> Result<Finished, Error> {
        // What cannot be priced is found before anything is simulated.
        let technology = record::technology(&self.chip)?;
        let ran = self.ran(source, progress)?;
        let said = self.values.then(|| ran.tokens.clone());
        let (plan, prefill, decode) = (&ran.plan, ran.prefill.as_ref(), ran.decode.as_ref());
        let record = record::assemble(self, plan, &technology, prefill, decode, said)?;
        let Ran { plan, stats, leap, tokens, logits, timelines, trace, steps, .. } = ran;
        Ok(Finished { record, plan, stats, leap, tokens, logits, timelines, trace, steps })
    }

    /// Everything but the record.
    fn ran(&self, source: Option<&dyn WeightSource>, progress: &dyn Progress) -> Result<Ran, Error> {
        let (plan, memory) = self.prepare(progress)?;
        let mut device = SimDevice::new(&self.chip.chip, self.engine)?;
        if let Some(memory) = memory {
            device.recall(memory);
        }
        device.limit(self.audit, self.max_cycles);
        device.interrupt(self.interrupt.as_ref());
        let (weights, head) = (plan.workload.weights, plan.workload.head);
        let made_up = Synthetic { model: self.model.clone(), weights, head, seed: ids::SEED };
        let source = source.unwrap_or(&made_up);
        if self.values {
            device.load_values(&plan, source)?;
        }
        let router = Router::new(self, &plan, source)?;
        let (tokens, logits) = (Vec::new(), Vec::new());
        if let Some(window) = self.trace {
            device.begin_trace(window);
        }
        let (timelines, steps) = (Vec::new(), Vec::new());
        let mut run =
            Run { session: self, plan: &plan, device, router, progress, tokens, logits, timelines, steps };
        let mut prefill = (plan.workload.prompt > 0).then(|| run.prefill()).transpose()?;
        let mut decode = (plan.workload.generate > 0).then(|| run.decode()).transpose()?;
        let counts =
            prefill.iter_mut().map(|p| &mut p.counts).chain(decode.iter_mut().map(|d| &mut d.counts));
        for counts in counts {
            counts.settle_memory_clocks(self.chip.chip.clock_hz, device::dram_clock(&self.chip.chip));
        }
        let (stats, leap) = (run.device.stats(), run.device.leap_stats());
        let trace = run.device.end_trace();
        let (tokens, logits, timelines, steps) = (run.tokens, run.logits, run.timelines, run.steps);
        Ok(Ran { plan, prefill, decode, stats, leap, tokens, logits, timelines, trace, steps })
    }
}

/// What came of a run on the machine.
struct Ran {
    plan: Plan,
    prefill: Option<Prefill>,
    decode: Option<Decode>,
    stats: EngineStats,
    leap: Option<LeapStats>,
    tokens: Vec<u32>,
    logits: Vec<Vec<f32>>,
    timelines: Vec<Timeline>,
    trace: Option<Trace>,
    steps: Vec<Step>,
}

/// Totals of the prompt.
struct Prefill {
    counts: Counts,
    /// Core cycles to the first sequence's first token.
    first_token: u64,
}

/// Totals of the decode steps.
struct Decode {
    counts: Counts,
    simulated: u64,
    residual: Option<f64>,
}

/// A run under way.
struct Run<'a> {
    session: &'a Session,
    plan: &'a Plan,
    device: SimDevice,
    router: Router<'a>,
    progress: &'a dyn Progress,
    /// Tokens that came out: of prefill one per sequence, then one per step and sequence.
    tokens: Vec<u32>,
    /// Logits that the host read.
    logits: Vec<Vec<f32>>,
    /// Counts over time of each phase.
    timelines: Vec<Timeline>,
    /// Steps so far, if the run is traced.
    steps: Vec<Step>,
}

impl Run<'_> {
    fn step(
        &mut self,
        step: &lutsim_host::lower::Lowered,
        doorbell: &lutsim_host::runtime::Doorbell,
    ) -> Result<Counts, Error> {
        let vocab = self.plan.workload.sampling.then_some(self.plan.model.vocab);
        let report = match self.device.step(step, doorbell, vocab) {
            Ok(report) => report,
            Err(Stop::TooLong { cycles }) => return Err(Error::TooLong(cycles)),
            Err(Stop::Interrupted) => return Err(Error::Interrupted),
            Err(stop) => panic!("the program `{}` of {}: {stop}", step.name, self.plan.model.name),
        };
        if !self.plan.workload.sampling {
            for (token, logit) in self.device.tokens(step, doorbell).into_iter().flatten() {
                finite(logit, self.tokens.len())?;
                self.tokens.push(token);
            }
        } else if let Some(logits) = self.device.logits(step, doorbell) {
            for row in logits {
                let number = self.logits.len() as u64;
                row.iter().try_for_each(|&logit| finite(logit, self.logits.len()))?;
                self.tokens.push(self.session.sampler.choose(&row, number));
                self.logits.push(row);
            }
        }
        Ok(Counts::of(&report, step, &self.session.chip.chip, vocab))
    }

    /// Notes a step for the trace, if there is one.
    fn note_step(&mut self, name: String, begin: u64, counts: &Counts) {
        if self.session.trace.is_some() {
            let operators = counts.operators.iter().map(|o| (o.name.clone(), o.layer, o.cycles)).collect();
            self.steps.push(Step { name, cycles: (begin, self.device.cycle()), operators });
        }
    }

    fn begin_timeline(&mut self, phase: &'static str) -> Timeline {
        if self.session.moments > 0 {
            self.device.begin_timeline(self.session.moments);
        }
        Timeline { phase, steps: Vec::new(), moments: Vec::new() }
    }

    fn end_timeline(&mut self, begun: Timeline) {
        if self.session.moments > 0 {
            let moments = self.device.end_timeline();
            self.timelines.push(Timeline { moments, ..begun });
        }
    }

    fn prefill(&mut self) -> Result<Prefill, Error> {
        let w = self.plan.workload;
        let made_up = || ids::prompt(self.plan.model.vocab, w.batch, w.prompt);
        let ids = self.session.prompt_ids.clone().unwrap_or_else(made_up);
        let steps = self.router.prefill(self.plan, &ids);
        let (all, mut counts, mut first_token) = (steps.len() as u64, Counts::default(), None);
        let mut begun = self.begin_timeline("prefill");
        for (i, (step, doorbell)) in steps.into_iter().enumerate() {
            self.progress.step("prefill", i as u64, Some(all));
            begun.steps.push((i as u64, self.device.cycle()));
            let begin = self.device.cycle();
            let one = self.step(step, &doorbell)?;
            self.note_step(format!("prefill chunk {i}"), begin, &one);
            counts.add(&one, 1);
            if step.phase.head {
                first_token.get_or_insert(counts.cycles);
            }
        }
        self.end_timeline(begun);
        Ok(Prefill { first_token: first_token.unwrap_or(counts.cycles), counts })
    }

    fn decode(&mut self) -> Result<Decode, Error> {
        let w = self.plan.workload;
        let steps = u64::from(w.generate);
        let every = self.session.every_step || self.session.values || steps <= 4;
        let chosen = if every { (0..steps).collect() } else { samples(steps) };
        let mut simulated: Vec<(u64, Counts)> = Vec::with_capacity(chosen.len());
        let mut begun = self.begin_timeline("decode");
        for (i, &index) in chosen.iter().enumerate() {
            self.progress.step("decode", i as u64, Some(chosen.len() as u64));
            begun.steps.push((index, self.device.cycle()));
            let ids = self.decode_ids(index);
            let position = u64::from(w.context) + u64::from(w.prompt) + index;
            let (step, doorbell) = self.router.decode(self.plan, position, &ids);
            let begin = self.device.cycle();
            let one = self.step(step, &doorbell)?;
            self.note_step(format!("decode step {index}"), begin, &one);
            simulated.push((index, one));
        }
        self.end_timeline(begun);
        let residual = (!every).then(|| counts::residual(&simulated));
        Ok(Decode { counts: counts::total(&simulated), simulated: simulated.len() as u64, residual })
    }

    /// What step `index` is fed.
    fn decode_ids(&self, index: u64) -> Vec<u32> {
        let batch = self.plan.workload.batch as usize;
        if let Some(ids) = &self.session.decode_ids {
            return ids.iter().copied().skip(index as usize * batch).take(batch).collect();
        }
        if self.session.values && self.tokens.len() >= batch {
            return self.tokens[self.tokens.len() - batch..].to_vec();
        }
        ids::decode(self.plan.model.vocab, self.plan.workload.batch, index)
    }
}

/// Refuses a logit that says nothing of its token.
fn finite(logit: f32, token: usize) -> Result<(), Error> {
    if logit.is_finite() { Ok(()) } else { Err(Error::NotFinite { token, logit }) }
}

/// First, middle and last of `steps`, which are more than four.
fn samples(steps: u64) -> Vec<u64> {
    vec![0, (steps - 1) / 2, steps - 1]
}
