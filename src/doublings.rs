//! What twice of each resource gives: a run of its own for each, of the same work on a changed chip.

use lutsim_host::model::Model;
use lutsim_record::Record;
use lutsim_reports::details::Doubling;
use lutsim_sim::chip_file::{ChipFile, Override};
use rayon::prelude::*;
use serde_json::Value;

use crate::failure::{Failure, UserError};
use crate::session::{self, Phase, Session};

/// Resources, and the keys of a chip file that are doubled together; keys that a chip does not have are left out.
const RESOURCES: &[(&str, &[&str])] = &[
    ("DRAM bandwidth", &["dram.channels"]),
    ("the port to memory", &["dram.port_bytes_per_cycle"]),
    ("LUT cores", &["lut.cores"]),
    (lutsim_reports::CLOCK, &["clock"]),
    ("scratchpad capacity", &["scratchpad.bytes"]),
    ("scratchpad bandwidth", &["scratchpad.banks"]),
    ("DMA and unpacker", &["dma.outstanding_bursts", "dma.port_bytes", "dma.unpacker_bytes"]),
    ("the vector unit", &["vector.lanes", "vector.special_lanes"]),
    (
        "core links and builders",
        &["lut.weight_link_bytes", "lut.activation_link_bytes", "lut.builders", "lut.dequantisers"],
    ),
    ("drain lanes", &["lut.drain_lanes"]),
];

/// How many runs [`simulate`] makes.
pub(crate) const RUNS: u64 = RESOURCES.len() as u64;

/// The run that a record describes, to be done again on other chips.
pub(crate) struct Again {
    chip: ChipFile,
    model: Model,
    phase: Phase,
    every_step: bool,
}

impl Again {
    /// From a record, and the model that it ran.
    ///
    /// # Errors
    /// It does not say what a chip file says, or ran another model.
    pub(crate) fn of(record: &Record, model: Model) -> Result<Again, Failure> {
        let config = &record.provenance.config;
        let chip = ChipFile::from_canonical(&config["chip"])?;
        let model = match model.weight_names(chip.workload.format()) == record.workload.weights {
            true => model,
            false => Model { mix: None, ..model },
        };
        if session::describe(&model) != config["model"] {
            return Err(UserError::Refused {
                what: format!(
                    "the record ran `{}`, which is not the model that was given",
                    record.workload.model
                ),
                help: "give the model of the run with --model, or --no-doublings".into(),
            }
            .into());
        }
        let phase = match config["phase"].as_str() {
            Some("prefill") => Phase::Prefill,
            Some("decode") => Phase::Decode,
            _ => Phase::All,
        };
        Ok(Again { chip, model, phase, every_step: config["every_step"] == Value::Bool(true) })
    }

    fn session(&self, chip: ChipFile) -> Session {
        let new = Session::new(chip, self.model.clone());
        Session { phase: self.phase, every_step: self.every_step, ..new }
    }

    /// Twice of one resource; none if the chip has none of its keys.
    fn double(&self, resource: &str, keys: &[&str]) -> Option<Doubling> {
        let canonical = self.chip.canonical();
        let doubled: Vec<(String, u64, &str)> = keys
            .iter()
            .filter_map(|key| {
                // The clock is the one that has a unit.
                let (path, unit) =
                    if *key == "clock" { ("clock_hz".to_owned(), " Hz") } else { ((*key).to_owned(), "") };
                let value = path.split('.').try_fold(&canonical, |at, part| at.get(part))?.as_u64()?;
                Some(((*key).to_owned(), value, unit))
            })
            .collect();
        if doubled.is_empty() {
            return None;
        }
        let keys = doubled
            .iter()
            .map(|(key, n, unit)| (key.clone(), format!("{n}{unit}"), format!("{}{unit}", 2 * n)));
        let mut out = Doubling {
            resource: resource.into(),
            keys: keys.collect(),
            prefill_tokens_per_second: None,
            decode_tokens_per_second: None,
            decode_energy_per_token_j: None,
            area_mm2: None,
            refused: None,
        };
        match self.run(&out.keys) {
            Ok(record) => {
                let phases = &record.phases;
                out.prefill_tokens_per_second = phases.prefill.as_ref().map(|p| p.totals.tokens_per_second);
                let decode = phases.decode.as_ref().map(|d| &d.totals);
                out.decode_tokens_per_second = decode.map(|d| d.tokens_per_second);
                out.decode_energy_per_token_j = decode.map(|d| d.energy_per_token_j);
                out.area_mm2 = record.area.area_mm2;
            }
            Err(why) => out.refused = Some(why),
        }
        Some(out)
    }

    fn run(&self, keys: &[(String, String, String)]) -> Result<Record, String> {
        let sets = keys.iter().map(|(key, _, value)| Override::set(&format!("{key}={value}")));
        let sets: Vec<Override> = sets.collect::<Result<_, _>>().map_err(|e| e.to_string())?;
        let chip = self.chip.with(&sets).map_err(|e| e.to_string())?;
        self.session(chip).run(&()).map(|finished| finished.record).map_err(|e| e.to_string())
    }
}

/// Simulates them, side by side; `done` hears of each that is over.
pub(crate) fn simulate(again: &Again, done: impl Fn() + Sync) -> Vec<Doubling> {
    let each = |(resource, keys): &(&str, &[&str])| {
        let doubling = again.double(resource, keys);
        done();
        doubling
    };
    RESOURCES.par_iter().map(each).collect::<Vec<_>>().into_iter().flatten().collect()
}
