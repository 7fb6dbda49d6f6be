//! What a point can at best come to, without running it: area and price as they will be, rates by what the pins can bring.
//!
//! A decode step reads every weight that it multiplies with, once, whatever the mapping. Their codes alone over the peak of the pins are a
//! time that no run can pass; scales, keys, values and everything else come on top. What is not known is minus infinity.

use lutsim_host::model::Model;
use lutsim_isa::WeightFormat;
use lutsim_record::Tech;
use lutsim_sim::chip_file::ChipFile;
use lutsim_sweep::file::{Goal, Metric};

use crate::device::dram_peak;
use crate::silicon;

/// What can be said of a chip with a model before it is run.
pub(super) struct Bounds {
    /// Area in mm2 and price in USD: mid, low, high of each.
    silicon: [Option<f64>; 6],
    /// Bytes from DRAM of a decode step, at least.
    step_bytes: f64,
    /// Seconds of a decode step, at least.
    step_seconds: f64,
    /// Joules of DRAM and pins for a byte, mid.
    joules_per_byte: f64,
    batch: f64,
    steps: f64,
}

/// Bytes of the codes of all weights that one decode step multiplies with.
fn code_bytes(chip: &ChipFile, model: &Model) -> f64 {
    let w = &chip.workload;
    let [d, f, q, kv] =
        [model.hidden, model.intermediate, model.heads * model.head_dim, model.kv_heads * model.head_dim]
            .map(f64::from);
    let experts = model.experts.map_or(1.0, |e| f64::from(e.used));
    let mlp = experts * if model.gated_mlp { 3.0 } else { 2.0 } * d * f;
    let layers = f64::from(model.layers) * (d * (2.0 * q + 2.0 * kv) + mlp);
    // Of a column long enough that scales and padding count for nothing in it, the codes alone.
    let bits = |format: WeightFormat| format.code_bytes(64, 4096) as f64 * 8.0 / (64.0 * 4096.0);
    let head = f64::from(model.vocab) * d;
    (layers * bits(WeightFormat::new(w.weights, w.group))
        + head * bits(WeightFormat::new(w.head, w.head_group)))
        / 8.0
}

impl Bounds {
    pub(super) fn of(chip: &ChipFile, model: &Model) -> Self {
        let silicon = silicon::area_and_price(chip).ok().map(|(area, price)| {
            [
                area.area_mm2,
                area.area_mm2_low,
                area.area_mm2_high,
                price.cost_usd,
                price.cost_usd_low,
                price.cost_usd_high,
            ]
        });
        let bytes = code_bytes(chip, model);
        let bits = |name: &str| {
            let memory = Tech::builtin(&chip.dram_technology).ok()?;
            Some(memory.band(name, "pJ/bit")?.mid)
        };
        let picojoules = bits("dram_read").unwrap_or(0.0) + bits("interface_read").unwrap_or(0.0);
        Self {
            silicon: silicon.unwrap_or_default(),
            step_bytes: bytes,
            step_seconds: bytes / dram_peak(&chip.chip),
            joules_per_byte: picojoules * 8.0 * 1e-12,
            batch: f64::from(chip.workload.batch),
            steps: f64::from(chip.workload.generate),
        }
    }

    /// A column's value, if it is known exactly.
    fn exact(&self, column: &str) -> Option<f64> {
        let names =
            ["area_mm2", "area_mm2_low", "area_mm2_high", "cost_usd", "cost_usd_low", "cost_usd_high"];
        self.silicon[names.iter().position(|n| *n == column)?]
    }

    /// The least that a column of decode can be.
    fn least(&self, column: &str) -> Option<f64> {
        Some(match column {
            "decode.seconds" => self.steps * self.step_seconds,
            "decode.dram_read_bytes" => self.steps * self.step_bytes,
            "decode.energy_j" => self.steps * self.step_bytes * self.joules_per_byte,
            "decode.energy_per_token_j" => self.step_bytes * self.joules_per_byte / self.batch,
            _ => return None,
        })
    }

    /// What a metric can at best come to, the less the better.
    pub(super) fn best(&self, metric: &Metric, goal: Goal, given: &dyn Fn(&str) -> Option<f64>) -> f64 {
        let known = |name: &str| self.exact(name).or_else(|| given(name));
        let value = match &metric.formula {
            Some(formula) => formula.value(&known),
            None => known(&metric.name),
        };
        let sign = if goal == Goal::Maximize { -1.0 } else { 1.0 };
        if let Some(value) = value {
            return sign * value;
        }
        let fastest = self.batch / self.step_seconds;
        match (metric.formula.is_none(), goal, metric.name.as_str()) {
            (true, Goal::Maximize, "decode.tokens_per_second") => -fastest,
            (true, Goal::Minimize, name) => self.least(name).unwrap_or(f64::NEG_INFINITY),
            _ => f64::NEG_INFINITY,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resolve;
    use crate::session::{Phase, Session};
    use lutsim_host::search::Effort;
    use lutsim_sim::chip_file::Override;

    /// Exact runs never pass their bounds, of every weight type and of chips that are bound by their pins or not.
    #[test]
    fn no_run_is_better_than_its_bound() {
        for (i, weights) in ["int1", "int1.58", "int2", "int3", "int4", "int8"].into_iter().enumerate() {
            let sets = [
                format!("workload.weights={weights}"),
                "workload.prompt=0".into(),
                format!("workload.generate={}", 1 + i % 2),
                format!("workload.batch={}", 1 + i % 3),
                format!("lut.cores={}", [1, 2, 8][i % 3]),
            ];
            let overrides: Vec<_> = sets.iter().map(|s| Override::set(s).unwrap()).collect();
            let chip = resolve::chip("tiny", &overrides).unwrap();
            let model = resolve::model("tiny-2l").unwrap();
            let bounds = Bounds::of(&chip, &model);
            let session =
                Session { phase: Phase::Decode, effort: Effort::Quick, ..Session::new(chip, model) };
            let record = session.run(&()).unwrap().record;
            let decode = record.phases.decode.unwrap().totals;
            let metric = |name: &str| Metric { name: name.into(), formula: None, goal: None, span: 0..0 };
            let best = |name: &str, goal| bounds.best(&metric(name), goal, &|_| None);
            assert!(
                -best("decode.tokens_per_second", Goal::Maximize) >= decode.tokens_per_second,
                "{weights}"
            );
            for (name, value) in [
                ("decode.seconds", decode.seconds),
                ("decode.dram_read_bytes", decode.dram_read_bytes as f64),
                ("decode.energy_j", decode.energy_j),
                ("decode.energy_per_token_j", decode.energy_per_token_j),
            ] {
                let bound = best(name, Goal::Minimize);
                assert!(bound <= value && bound > 0.05 * value, "{weights} {name}: {bound} of {value}");
            }
            assert_eq!(best("area_mm2", Goal::Minimize), record.area.area_mm2.unwrap());
            assert_eq!(best("prefill.seconds", Goal::Minimize), f64::NEG_INFINITY);
        }
    }
}
