//! Published results: `reports/published/results.csv`, embedded, one row per measurement.

use serde::Deserialize;

/// What was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// Tokens per second of decode, or milliseconds of a token.
    Decode,
    /// Milliseconds of one layer: decode of a batch, or prefill.
    Layer,
    /// Tokens per second of a prompt.
    Prefill,
    /// Something else.
    Other,
}

/// A measurement that somebody published.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Row {
    /// What ran.
    pub system: String,
    /// On what.
    pub device: String,
    /// Model, as its source calls it.
    pub model: String,
    /// Bits of a weight.
    pub weight_bits: String,
    /// Bits of an activation.
    pub act_bits: String,
    /// Sequences.
    pub batch: String,
    /// Tokens of context.
    pub context: String,
    /// Threads.
    pub threads: String,
    /// What was measured, as its source calls it.
    pub metric: String,
    /// Value, in `unit`.
    pub value: String,
    /// Unit.
    pub unit: String,
    /// Where it was published.
    pub source: String,
}

/// What is computed at once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tokens {
    /// Tokens whose rows are multiplied.
    pub rows: u32,
    /// Sequences that have a cache of their own.
    pub sequences: u32,
    /// Tokens that each of them sees, on average.
    pub cached: f64,
}

/// All rows, in the order of the file.
pub fn rows() -> Vec<Row> {
    parse(include_str!("../../published/results.csv"))
}

/// The rows of a table with the columns of `reports/published/results.csv`.
fn parse(text: &str) -> Vec<Row> {
    csv::Reader::from_reader(text.as_bytes())
        .deserialize()
        .map(|row| row.unwrap_or_else(|e| panic!("reports/published/results.csv: {e}")))
        .collect()
}

impl Row {
    /// What was measured.
    pub fn kind(&self) -> Metric {
        match self.metric.as_str() {
            "decode_throughput" | "decode_latency" => Metric::Decode,
            "prefill_throughput" => Metric::Prefill,
            "latency" if self.model.ends_with("single layer") => Metric::Layer,
            _ => Metric::Other,
        }
    }

    /// Seconds of a token or of a layer; not a number where the row has none.
    pub fn seconds(&self) -> f64 {
        let value: f64 = self.value.parse().unwrap_or(f64::NAN);
        if self.unit.starts_with("tokens/s") { 1.0 / value } else { value / 1000.0 }
    }

    /// What was computed at once. A layer at a context of thousands is prefill. A decode rate is the mean over the tokens generated: half
    /// of them are seen, or the prompt and half of them.
    pub fn tokens(&self) -> Tokens {
        let batch = self.batch.parse().unwrap_or(1);
        if let Some((prompt, generated)) = self.context.split_once('+') {
            let count = |s: &str| s.trim_end_matches(char::is_alphabetic).parse().unwrap_or(0.0);
            return Tokens { rows: batch, sequences: batch, cached: count(prompt) + count(generated) / 2.0 };
        }
        let context = self.context.parse().unwrap_or(0.0);
        match self.kind() {
            Metric::Layer if context > 1.0 => {
                Tokens { rows: batch * context as u32, sequences: batch, cached: context / 2.0 }
            }
            _ => Tokens { rows: batch, sequences: batch, cached: context / 2.0 },
        }
    }
}
