//! How fast an engine takes a prompt: its products, since the tokens of a prompt share every weight that is read; but no prompt is so
//! short that its weights are not read once.
//!
//! ```text
//!   CPU:  t = work / (rate * threads)                 rate follows from a published row of prefill
//!   GPU:  t = operations / (peak_share * peak)        so does peak_share
//! ```
//! Engines whose decode was fitted on a layer's prefill (vLLM, Ladder) have that share of the peak, and their bytes beside it.

use serde::Deserialize;

use crate::engine::{Engine, Factors, Fitted, Machine, Size, Sourced};
use crate::published::{Metric, Row};

/// What a machine's prefill follows from.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prefill {
    /// OP/s of the type that is multiplied; without one, cores count.
    pub peak: Option<Sourced>,
    /// Another machine of this engine, by the first name of its devices, whose share of the peak holds here too.
    pub like: Option<String>,
    /// The row.
    pub fitted_on: Option<Fitted>,
}

/// What follows from the row: a core's work per second, or the share of the peak.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace(pub f64);

impl Engine {
    /// Whether a machine's prefill follows from this row.
    pub fn is_prompt_fitted(&self, machine: &Machine, row: &Row) -> bool {
        let fitted = machine.prefill.as_ref().and_then(|prefill| prefill.fitted_on.as_ref());
        fitted.is_some_and(|fitted| {
            let device = fitted.device.as_ref().unwrap_or(&machine.devices[0]);
            row.kind() == Metric::Prefill
                && self.machine(row) == Some(machine)
                && fitted.system.as_ref().is_none_or(|s| *s == row.system)
                && row.device == *device
                && row.model == fitted.model
                && row.weight_bits == fitted.bits
                && row.threads == fitted.threads
                && fitted.context.as_ref().is_none_or(|c| *c == row.context)
        })
    }

    /// The pace of a machine's prefill; `None` where nothing is published of it. `size` knows the models.
    ///
    /// # Errors
    /// A row that is not there, or that no pace gives.
    pub fn pace(
        &self,
        machine: &Machine,
        rows: &[Row],
        size: &dyn Fn(&Row) -> Option<Size>,
    ) -> Result<Option<Pace>, String> {
        let Some(prefill) = &machine.prefill else { return Ok(None) };
        let wrong = |why: &str| format!("{} on {}: {why}", self.name, machine.devices[0]);
        if let Some(like) = &prefill.like {
            let other = self.machines.iter().find(|m| m.devices[0] == *like && m.when == machine.when);
            let own = |m: &&Machine| m.prefill.as_ref().is_some_and(|prefill| prefill.like.is_none());
            let other =
                other.filter(own).ok_or_else(|| wrong("no machine with a pace of its own to be like"))?;
            return self.pace(other, rows, size);
        }
        let row = rows.iter().find(|row| self.is_prompt_fitted(machine, row));
        let row = row.ok_or_else(|| wrong("there is no row of its prefill"))?;
        let size = size(row).ok_or_else(|| wrong("no dimensions of the model of its prefill"))?;
        let full = self.full(machine, row, &size).ok_or_else(|| wrong("no format of its prefill"))?;
        let pace = full / row.seconds();
        let share = prefill.peak.is_some();
        (pace > 0.0 && pace.is_finite() && !(share && pace > 1.0))
            .then_some(Some(Pace(pace)))
            .ok_or_else(|| wrong("no pace gives its prefill"))
    }

    /// What a token of a prompt takes at pace 1: seconds of the peak, or work of a core over the threads that help.
    fn full(&self, machine: &Machine, row: &Row, size: &Size) -> Option<f64> {
        // A token sees half of the prompt on average; of the head only the last one is asked.
        let length: f64 = row.context.parse().ok()?;
        let prefill = machine.prefill.as_ref()?;
        Some(match &prefill.peak {
            Some(peak) => 2.0 * (size.linear + size.attention * length / 2.0) / peak.value,
            None => size.linear * self.work.per_weight(self.format(row)?.code) / machine.helping(row),
        })
    }

    /// Seconds per token of a prompt whose length is the row's context; `None` where nothing is published of it.
    pub fn prompt_seconds(
        &self,
        machine: &Machine,
        (factors, pace): (&Factors, Option<Pace>),
        row: &Row,
        size: &Size,
    ) -> Option<f64> {
        let format = self.format(row)?;
        let length: f64 = row.context.parse().ok()?;
        let bytes = (size.linear * format.stored + size.head * format.head) / 8.0 + size.kv_bytes * length;
        if let Some(Pace(pace)) = pace {
            let read = bytes / (machine.bandwidth.value * factors.share) / length;
            return Some((self.full(machine, row, size)? / pace).max(read));
        }
        let peak = machine.peak.as_ref()?;
        let products = 2.0 * length * (size.linear + size.attention * length / 2.0);
        let parts =
            [products / (peak.value * factors.peak_share), bytes / (machine.bandwidth.value * factors.share)];
        let seconds = parts[0].hypot(parts[1]) + factors.launch * size.layers;
        factors.peak_share.is_finite().then_some(seconds / length)
    }
}
