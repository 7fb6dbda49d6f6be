//! `lutsim compare`: records and baselines side by side.

use std::path::{Path, PathBuf};

use clap::Args;
use lutsim_baselines::Hardware;
use lutsim_baselines::engine::{self, Engine};
use lutsim_record::Record;
use lutsim_reports::compare::{Comparison, Subject};
use lutsim_reports::{machines_svg, png};
use lutsim_sim::chip_file::near_miss;

use crate::failure::{Failure, UserError};
use crate::output::{self, OutFile};
use crate::{baseline, records, resolve};

/// Compare runs with each other and with the roofs of GPUs and CPUs: speed, energy, area, and what each is against.
#[derive(Debug, Args)]
pub struct Compare {
    /// Runs (record.json, or the folder of a run); machines by name or file (`configs/baselines`), for their roofs; and ENGINE@MACHINE
    /// (`t-mac@x-elite`), for what is published. The work of the first run is given to those that are no runs
    #[arg(value_name = "RUN|MACHINE|ENGINE@MACHINE", required = true)]
    names: Vec<String>,
    /// What ratios are against: one of the names [default: the first]
    #[arg(long, value_name = "NAME")]
    against: Option<String>,
    /// Print a table like that of llama-bench: pp512, tg128
    #[arg(long, conflicts_with = "json")]
    llama_bench: bool,
    /// Write every number to this CSV file
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Draw one roofline with all of them to this SVG file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Draw the same to this PNG file
    #[arg(long, value_name = "FILE")]
    png: Option<PathBuf>,
    /// Write over files that exist
    #[arg(long)]
    force: bool,
    /// Print everything as JSON and nothing else
    #[arg(long)]
    json: bool,
}

/// What a name means.
enum Named {
    Run(Box<Record>),
    Machine(Box<Hardware>),
    Engine(Box<Engine>, String),
}

impl Compare {
    pub(crate) fn execute(&self) -> Result<(), Failure> {
        let found: Vec<Named> = self.names.iter().map(|name| named(name)).collect::<Result<_, _>>()?;
        let first = found.iter().find_map(|f| match f {
            Named::Run(record) => Some(record),
            Named::Machine(_) | Named::Engine(..) => None,
        });
        let Some(first) = first else {
            return Err(UserError::Refused {
                what: "machines alone have no work to compare".into(),
                help: "name a run too, or see `lutsim roofline --hardware NAME --model NAME --seq N`".into(),
            }
            .into());
        };
        let labels = labels(&self.names);
        let subjects = found.iter().zip(&labels).map(|(found, label)| match found {
            Named::Run(record) => Ok(Subject::of_record(label, record)),
            Named::Machine(hardware) => baseline::subject(label, hardware, first),
            Named::Engine(engine, machine) => baseline::engine_subject(label, engine, machine, first),
        });
        let subjects: Vec<Subject> = subjects.collect::<Result<_, Failure>>()?;
        let comparison = Comparison { against: self.reference(&labels)?, subjects };
        let outputs = [&self.csv, &self.svg, &self.png];
        let same = |i: usize| outputs[..i].iter().any(|o| o.is_some() && *o == outputs[i]);
        if (1..outputs.len()).any(same) {
            let what = "two outputs name the same file";
            return Err(UserError::Refused { what: what.into(), help: "give each its own".into() }.into());
        }
        let fresh =
            |path: &Option<PathBuf>| path.as_deref().map(|p| OutFile::fresh(p, self.force)).transpose();
        let [csv, svg, picture] = [fresh(&self.csv)?, fresh(&self.svg)?, fresh(&self.png)?];
        if let Some(file) = csv {
            file.commit(comparison.csv().unwrap_or_else(|e| panic!("compare: {e}")).as_bytes())?;
        }
        if svg.is_some() || picture.is_some() {
            let text = machines_svg(&comparison).unwrap_or_else(|e| panic!("{e}"));
            if let Some(file) = svg {
                file.commit(text.as_bytes())?;
            }
            if let Some(file) = picture {
                file.commit(&png(&text, 2.0).unwrap_or_else(|e| panic!("{e}")))?;
            }
        }
        match (self.json, self.llama_bench) {
            (true, _) => output::print(&format!("{:#}\n", comparison.json())),
            (false, true) => output::print(&comparison.llama_bench()),
            (false, false) => output::print(&comparison.text()),
        }
    }

    /// The number of the one that ratios are against.
    fn reference(&self, labels: &[String]) -> Result<usize, UserError> {
        let Some(name) = &self.against else { return Ok(0) };
        let is = |i: &usize| &self.names[*i] == name || &labels[*i] == name;
        (0..labels.len()).find(is).ok_or_else(|| UserError::Flag {
            flag: "--against".into(),
            value: name.clone(),
            why: "it is none of those compared".into(),
            help: format!("they are {}", labels.join(", ")),
        })
    }
}

/// A run's folder or record, a machine's file or name.
fn named(name: &str) -> Result<Named, Failure> {
    let path = Path::new(name);
    if path.is_dir() || path.extension().is_some_and(|e| e == "json") {
        return Ok(Named::Run(Box::new(records::read(path)?)));
    }
    if path.is_file() || Hardware::builtin(name).is_ok() {
        return Ok(Named::Machine(Box::new(resolve::hardware(name)?)));
    }
    if let Some((engine, machine)) = name.split_once('@') {
        let engines = engine::engines();
        let names: Vec<&str> = engines.iter().map(|(name, _)| *name).collect();
        let Some(found) = names.iter().position(|n| *n == engine) else {
            let near = near_miss(engine, names.iter().copied());
            let near = near.map_or(String::new(), |near| format!("did you mean `{near}`? "));
            let help = format!("{near}there are {}", names.join(", "));
            return Err(UserError::Unknown { what: "engine".into(), name: engine.into(), help }.into());
        };
        let (_, engine) = engines.into_iter().nth(found).unwrap_or_else(|| panic!("{found}"));
        known_on(&engine, machine)?;
        return Ok(Named::Engine(Box::new(engine), machine.to_owned()));
    }
    let machines: Vec<&str> = Hardware::names().collect();
    let near = near_miss(name, machines.iter().copied());
    let near = near.map_or(String::new(), |near| format!("did you mean `{near}`? "));
    let help =
        format!("{near}give a run's folder, a record.json, or one of the machines {}", machines.join(", "));
    Err(UserError::Unknown { what: "run or machine".into(), name: name.into(), help }.into())
}

/// Refuses a machine that nothing is published of.
fn known_on(engine: &Engine, machine: &str) -> Result<(), UserError> {
    let mut names: Vec<&str> = engine.machines.iter().map(|m| m.name.as_str()).collect();
    if names.contains(&machine) {
        return Ok(());
    }
    names.sort_unstable();
    names.dedup();
    let near = near_miss(machine, names.iter().copied());
    let near = near.map_or(String::new(), |near| format!("did you mean `{near}`? "));
    Err(UserError::Refused {
        what: format!("nothing is published of {} on `{machine}`", engine.name),
        help: format!("{near}it is known on {}", names.join(", ")),
    })
}

/// The last parts of paths, as many of them as tell them apart.
fn labels(names: &[String]) -> Vec<String> {
    let parts = |name: &String| -> Vec<String> {
        let name = name.trim_end_matches('/').trim_end_matches("/record.json");
        let parts = name.split('/').filter(|p| !p.is_empty() && *p != ".").map(str::to_owned);
        parts.collect()
    };
    let all: Vec<Vec<String>> = names.iter().map(parts).collect();
    let last = |parts: &[String], n: usize| parts[parts.len().saturating_sub(n)..].join("/");
    let most = all.iter().map(Vec::len).max().unwrap_or(1);
    for n in 1..=most {
        let labels: Vec<String> = all.iter().map(|p| last(p, n)).collect();
        if (1..labels.len()).all(|i| !labels[..i].contains(&labels[i])) {
            return labels;
        }
    }
    (0..).zip(&all).map(|(i, p)| format!("{} ({})", last(p, 1), i + 1)).collect()
}

#[cfg(test)]
mod tests {
    use super::labels;

    #[test]
    fn labels_are_as_short_as_tells_them_apart() {
        let of = |names: &[&str]| labels(&names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>());
        assert_eq!(of(&["runs/a", "runs/b/record.json", "a6000"]), ["a", "b", "a6000"]);
        assert_eq!(of(&["x/a/", "y/a"]), ["x/a", "y/a"]);
        assert_eq!(of(&["a", "a"]), ["a (1)", "a (2)"]);
    }
}
