//! Sweep file to plan: what is the same in all points, and each point's chip and model.

use std::collections::HashMap;
use std::sync::Arc;

use lutsim_host::model::Model;
use lutsim_host::search::Effort;
use lutsim_sim::chip_file::{ChipFile, Fault, Override, Template, builtin_text};
use lutsim_sweep::file::{FileError, Span, SweepFile};
use lutsim_sweep::plan::{FORMAT, Header, Plan, Point, id_of};
use lutsim_sweep::space::{Domain, Grain, Space};
use lutsim_sweep::table::Formulas;
use lutsim_sweep::value::Value;
use serde_json::{Value as Json, json};

use super::models::Loaded;
use super::names::{self, Named};
use crate::failure::{Failure, SweepFault};
use crate::resolve;
use crate::session::{Phase, Session};
use crate::shell::command_line;

/// A sweep, ready to make points of.
pub struct Setup {
    /// The file.
    pub file: SweepFile,
    /// Its parameters.
    pub space: Space,
    chips: HashMap<String, (Template, ChipFile)>,
    models: HashMap<String, Arc<Loaded>>,
    /// What ids begin with: all that is the same in every point and not in its chip.
    common: String,
    fixed: Vec<(Named, Value)>,
    paths: Vec<Named>,
    given: Vec<Named>,
    pub(super) name: String,
    pub(super) text: String,
}

/// What a point's values mean.
pub(super) struct Resolved {
    /// Chip and workload.
    pub(super) chip: ChipFile,
    /// Model.
    pub(super) model: Arc<Model>,
    canonical: Json,
    /// The model by the name it was asked for.
    loaded: Arc<Loaded>,
}

/// Why values mean nothing.
pub(super) enum Wrong {
    /// These keys do not go together: other values may.
    Infeasible(String),
    /// No chip can have such a value.
    User(Failure),
}

impl Setup {
    /// From a sweep file's text; `chips` are texts that a plan carries, in place of files.
    ///
    /// # Errors
    /// What is wrong with it, underlined.
    pub fn of(name: &str, text: &str, chips: &[(String, String)]) -> Result<Self, Failure> {
        let fault = |e: FileError| Failure::from(SweepFault::of_file(e, name, text));
        let mut file = SweepFile::parse(text).map_err(fault)?;
        for parameter in &mut file.parameters {
            if let (Domain::Interval(interval), Some(named)) =
                (&mut parameter.domain, names::key(&parameter.name))
            {
                if named.power_of_two && interval.grain == Grain::Multiple(1) {
                    interval.grain = Grain::PowerOfTwo;
                }
                let empty = |(why, help): (String, String)| {
                    FileError::at(&parameter.span, format!("`{}`: {why}", parameter.name), help)
                };
                interval.check().map_err(|e| fault(empty(e)))?;
            }
        }
        let space = Space::of(&file.parameters);
        let find = |path: &str, span: &Span| {
            names::key(path).ok_or_else(|| {
                let help = match names::near_key(path) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => {
                        "paths are keys of the chip file (docs/config.md), or bare keys of its [workload]"
                            .into()
                    }
                };
                fault(FileError::at(span, format!("unknown parameter `{path}`"), help))
            })
        };
        let mut fixed: Vec<(Named, Value)> = Vec::new();
        for f in &file.fixed {
            fixed.push((find(&f.path, &f.span)?, f.value.clone()));
        }
        let span_of = |path: &str| {
            let owner = file.parameters.iter().find(|p| p.paths().any(|own| own == path));
            owner.map_or(0..0, |p| p.span.clone())
        };
        let paths = space.paths.iter().map(|p| find(p, &span_of(p))).collect::<Result<Vec<_>, _>>()?;
        let mut setup = Self {
            common: String::new(),
            chips: HashMap::new(),
            models: HashMap::new(),
            given: paths.clone(),
            fixed,
            paths,
            space,
            name: name.into(),
            text: text.into(),
            file,
        };
        setup.judge_names().map_err(fault)?;
        setup.load(chips)?;
        setup.common = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "phase": format!("{:?}", setup.phase()),
            "every_step": setup.file.every_step,
            "search": setup.file.search,
        })
        .to_string();
        Ok(setup)
    }

    /// Every value that `path` can have, as text; with where it is given.
    fn values_of(&self, path: &str) -> Vec<String> {
        let mut found: Vec<String> =
            self.fixed.iter().filter(|f| f.0.path == path).map(|f| f.1.to_string()).collect();
        for parameter in &self.file.parameters {
            let Domain::Choices(choices) = &parameter.domain else { continue };
            for (own, value) in choices.iter().flat_map(|c| &c.0) {
                if names::key(own).is_some_and(|n| n.path == path) && !found.contains(&value.to_string()) {
                    found.push(value.to_string());
                }
            }
        }
        found
    }

    fn load(&mut self, carried: &[(String, String)]) -> Result<(), Failure> {
        let mut chips = self.values_of("chip");
        if chips.is_empty() {
            chips.push("snapdragon_like".into());
        }
        for name in chips {
            let text = match carried.iter().find(|c| c.0 == name) {
                Some((_, text)) => text.clone(),
                None if std::path::Path::new(&name).is_file() => resolve::read_text(name.as_ref())?,
                None => builtin_text(&name)?.to_owned(),
            };
            let template = Template::parse(&name, &text)?;
            let base = template.with(&[])?;
            self.chips.insert(name, (template, base));
        }
        let mut models = self.values_of("workload.model");
        if models.is_empty() {
            models = self.chips.values().map(|(_, base)| base.workload.model.clone()).collect();
        }
        for name in models {
            let loaded = Arc::new(Loaded::of(&name)?);
            self.models.insert(name, loaded);
        }
        Ok(())
    }

    /// Finds what metrics and constraints name.
    fn judge_names(&mut self) -> Result<(), FileError> {
        let file = &self.file;
        let mut wanted: Vec<(&str, &Span)> =
            file.columns.iter().map(|(name, span)| (name.as_str(), span)).collect();
        for metric in &file.metrics {
            match &metric.formula {
                None => wanted.push((&metric.name, &metric.span)),
                Some(formula) => wanted.extend(formula.names().into_iter().map(|n| (n, &metric.span))),
            }
        }
        for constraint in &file.constraints {
            wanted.extend(constraint.formula.names().into_iter().map(|n| (n, &constraint.span)));
        }
        let mut more = Vec::new();
        for (name, span) in wanted {
            let made = file.metrics.iter().any(|m| m.formula.is_some() && m.name == name);
            if made || names::columns().contains(name) {
                let phase = name.split('.').next().unwrap_or("");
                let left_out = [("prefill", file.prefill), ("decode", file.decode)].contains(&(phase, false));
                if left_out {
                    let message = format!("`{name}` is of a phase that is not run");
                    return Err(FileError::at(span, message, format!("add \"{phase}\" to `phases`")));
                }
                continue;
            }
            match names::key(name) {
                Some(named) if named.path != "chip" => more.push(named),
                _ => {
                    let near = names::near_column(name).or_else(|| names::near_key(name));
                    let help = match near {
                        Some(near) => format!("did you mean `{near}`?"),
                        None => "`decode.x` and `prefill.x` are of the record's phases, other names of the record itself or of the chip file".into(),
                    };
                    return Err(FileError::at(span, format!("there is no metric `{name}`"), help));
                }
            }
        }
        for named in more {
            if !self.given.contains(&named) {
                self.given.push(named);
            }
        }
        Ok(())
    }

    /// What all points have in common.
    pub(super) fn header(&self) -> Header {
        let mut chips: Vec<_> = self
            .chips
            .keys()
            .filter(|name| std::path::Path::new(name.as_str()).is_file())
            .map(|name| (name.clone(), resolve::read_text(name.as_ref()).unwrap_or_default()))
            .collect();
        chips.sort();
        let mut measured = names::usual(self.file.prefill, self.file.decode);
        let named = self
            .file
            .metrics
            .iter()
            .flat_map(|m| m.formula.as_ref().map_or(vec![m.name.as_str()], |f| f.names()));
        let named = named.chain(self.file.constraints.iter().flat_map(|c| c.formula.names()));
        for column in named.chain(self.file.columns.iter().map(|c| c.0.as_str())) {
            if names::columns().contains(column) && !measured.iter().any(|m| m == column) {
                measured.push(column.to_owned());
            }
        }
        let path =
            |(i, n): (usize, &Named)| (self.space.paths.get(i).unwrap_or(&n.path).clone(), n.column.clone());
        Header {
            sweep_plan: FORMAT,
            version: env!("CARGO_PKG_VERSION").into(),
            file: self.text.clone(),
            name: self.name.clone(),
            chips,
            paths: self.space.paths.clone(),
            given: self.given.iter().enumerate().map(path).collect(),
            measured,
        }
    }

    /// Every key of a point that differs from its chip file, in order; the last one counts.
    fn settings(&self, set: &[Value]) -> (String, Vec<(String, String)>) {
        let mut chip = "snapdragon_like".to_owned();
        let mut found: Vec<(String, String)> = Vec::new();
        let mut put = |path: &str, value: String| match found.iter_mut().find(|f| f.0 == path) {
            Some(known) => known.1 = value,
            None => found.push((path.to_owned(), value)),
        };
        // One exact step at the context, unless more is asked for.
        if !self.file.prefill {
            put("workload.prompt", "0".into());
            put("workload.generate", "1".into());
        }
        let all = self.fixed.iter().map(|f| (&f.0, &f.1)).chain(self.paths.iter().zip(set));
        for (named, value) in all.filter(|(_, value)| **value != Value::Null) {
            match named.path.as_str() {
                "chip" => chip = value.to_string(),
                path => put(path, value.to_string()),
            }
        }
        // Memory of as many channels as there are: what one holds stays.
        let channels = found.iter().find(|f| f.0 == "dram.channels").and_then(|f| f.1.parse::<u64>().ok());
        if let (Some(channels), Some((_, base))) = (channels, self.chips.get(&chip))
            && !found.iter().any(|f| f.0 == "dram.bytes")
        {
            let each = base.chip.dram.bytes / u64::from(base.chip.dram.channels);
            found.push(("dram.bytes".into(), (each * channels).to_string()));
        }
        (chip, found)
    }

    /// A point's chip and model.
    pub(super) fn resolve(&self, set: &[Value]) -> Result<Resolved, Wrong> {
        let (chip, settings) = self.settings(set);
        let user = |e: Failure| Wrong::User(e);
        let overrides = settings.iter().map(|(path, value)| Override::set(&format!("{path}={value}")));
        let overrides = overrides.collect::<Result<Vec<_>, _>>().map_err(|e| user(e.into()))?;
        let (template, _) = &self.chips[&chip];
        let chip_of = |overrides: &[Override]| {
            template.with(overrides).map_err(|e| match &e.fault {
                Fault::Rule { .. } => Wrong::Infeasible(e.to_string()),
                // The one range that depends on another key: the standard's.
                Fault::Range { path, .. } if path == "refresh.interval_cycles" => {
                    Wrong::Infeasible(e.to_string())
                }
                _ => user(e.into()),
            })
        };
        let mut chip = chip_of(&overrides)?;
        let loaded = match self.models.get(&chip.workload.model) {
            Some(loaded) => loaded.clone(),
            None => Arc::new(Loaded::of(&chip.workload.model).map_err(user)?),
        };
        let name = loaded.name();
        if chip.workload.model != name || !loaded.types().is_empty() {
            let name = Override::set(&format!("workload.model=\"{name}\"")).map_err(|e| user(e.into()))?;
            chip = chip_of(&[loaded.types(), &overrides, &[name]].concat())?;
        }
        let (model, canonical) = (loaded.model(&chip.workload), chip.canonical());
        Ok(Resolved { chip, model, canonical, loaded })
    }

    /// Which phases run.
    pub fn phase(&self) -> Phase {
        match (self.file.prefill, self.file.decode) {
            (true, true) => Phase::All,
            (true, false) => Phase::Prefill,
            _ => Phase::Decode,
        }
    }

    /// What runs.
    pub(super) fn session(&self, resolved: Resolved) -> Session {
        let new = Session::new(resolved.chip, (*resolved.model).clone());
        let effort = match self.file.search.as_deref() {
            Some("quick") => Effort::Quick,
            Some(_) => Effort::Thorough,
            None => new.effort,
        };
        Session { phase: self.phase(), every_step: self.file.every_step, effort, ..new }
    }

    /// Whether points may differ in what their machines' time does not depend on.
    fn may_share(&self) -> bool {
        let costs = |named: &Named| {
            let path = named.path.as_str();
            ["chip", "name", "technology", "dram.technology"].contains(&path) || path.starts_with("about.")
        };
        self.paths.iter().any(costs)
    }

    /// A hash of everything that the point's record depends on.
    pub(super) fn id(&self, resolved: &Resolved) -> String {
        id_of(&format!("{}{}{}", self.common, resolved.canonical, resolved.loaded.echo))
    }

    /// The command that runs a point alone.
    pub fn command(&self, set: &[Value]) -> String {
        let (chip, settings) = self.settings(set);
        let phase = match self.phase() {
            Phase::All => "all",
            Phase::Prefill => "prefill",
            Phase::Decode => "decode",
        };
        let mut words = vec!["run".to_owned(), "--config".into(), chip, "--phase".into(), phase.into()];
        for (path, value) in settings {
            words.extend(["--set".to_owned(), format!("{path}={value}")]);
        }
        if self.file.every_step {
            words.push("--every-step".into());
        }
        if let Some(search) = &self.file.search {
            words.extend(["--search".to_owned(), search.clone()]);
        }
        command_line(words.into_iter())
    }

    /// A point of the plan; none if constraints on what is given leave it out.
    ///
    /// # Errors
    /// A value that no chip can have.
    pub(super) fn point(&self, set: Vec<Value>, plan: &Plan) -> Result<Option<Point>, Failure> {
        match self.resolve(&set) {
            Ok(resolved) => {
                let cell = |named: &Named| match named.path.as_str() {
                    "chip" => Value::text(self.settings(&set).0),
                    _ => Value::of_json(names::value(&resolved.canonical, named)),
                };
                let given: Vec<Value> = self.given.iter().map(cell).collect();
                if !self.meets_early(&given, plan) {
                    return Ok(None);
                }
                let id = self.id(&resolved);
                let run = self.may_share().then(|| id_of(&self.session(resolved).execution()));
                Ok(Some(Point { id, set, given, run, refused: None }))
            }
            Err(Wrong::Infeasible(why)) => {
                let id = id_of(&format!("{set:?}"));
                let mut given: Vec<Value> = set.clone();
                given.resize(self.given.len(), Value::Null);
                Ok(Some(Point { id, set, given, run: None, refused: Some(why) }))
            }
            Err(Wrong::User(failure)) => Err(failure),
        }
    }

    /// Whether the constraints that ask for nothing measured hold.
    fn meets_early(&self, given: &[Value], plan: &Plan) -> bool {
        if self.file.constraints.is_empty() {
            return true;
        }
        let formulas = Formulas::of(plan, &self.file);
        let known = |name: &str| formulas.place(name).is_some_and(|at| at < given.len());
        let of = |name: &str| formulas.place(name).and_then(|at| given.get(at)?.number());
        let early = self.file.constraints.iter().filter(|c| c.formula.names().iter().all(|n| known(n)));
        early.into_iter().all(|c| c.holds(c.formula.value(&of)))
    }
}
