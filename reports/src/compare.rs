//! Machines side by side: runs that were simulated, and roofs that no implementation can pass.
//!
//! A number that one of them does not have is a dash, never a zero; a ratio always names what it is against.

use lutsim_record::{Band, PhaseTotals, Record};
use serde_json::{Value, json};

use crate::quantity::{count, digits, share, si};
use crate::roofline::Ceiling;
use crate::table::{Align, Table};

/// Where a machine's numbers come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// A run of the simulator.
    Simulated,
    /// A roofline: at most this fast, at most this efficient at its rated power.
    Roof,
    /// A rate that follows from published ones.
    Published,
}

impl Basis {
    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            Basis::Simulated => "simulated",
            Basis::Roof => "roof",
            Basis::Published => "published",
        }
    }
}

/// Prefill or decode on a machine.
#[derive(Clone, Debug, PartialEq)]
pub struct PhaseFigures {
    /// Tokens, all sequences together.
    pub tokens: u64,
    /// Seconds of the phase.
    pub seconds: f64,
    /// Joules per token; none without a rated power.
    pub joules_per_token: Option<Band>,
    /// Operations, two per multiply-accumulate.
    pub ops: f64,
    /// Bytes to and from DRAM.
    pub dram_bytes: f64,
}

impl PhaseFigures {
    /// All sequences together.
    pub fn tokens_per_second(&self) -> f64 {
        share(self.tokens as f64, self.seconds)
    }
    /// Average power, W.
    pub fn watts(&self) -> Option<Band> {
        let rate = self.tokens_per_second();
        self.joules_per_token.map(|j| Band { mid: j.mid * rate, low: j.low * rate, high: j.high * rate })
    }
}

/// A machine with what ran on it.
#[derive(Clone, Debug, PartialEq)]
pub struct Subject {
    /// What it is called in every table.
    pub name: String,
    /// Where its numbers come from.
    pub basis: Basis,
    /// The machine in words.
    pub machine: String,
    /// What ran: name and value; subjects that differ in one are told so.
    pub work: Vec<(&'static str, String)>,
    /// Bytes of the weights in DRAM, and parameters, if known.
    pub size: Option<(u64, u64)>,
    /// Prompt tokens of a sequence, decode steps, and tokens in the cache before the first of them.
    pub lengths: (u64, u64, u64),
    /// Prefill.
    pub prefill: Option<PhaseFigures>,
    /// Seconds to the first token.
    pub first_token: Option<f64>,
    /// Decode.
    pub decode: Option<PhaseFigures>,
    /// Area, mm2.
    pub area: Option<Band>,
    /// DRAM pins, bytes per second.
    pub bandwidth: f64,
    /// Peaks that this work meets, operations per second.
    pub peaks: Vec<Ceiling>,
    /// What its numbers rest on, a line each.
    pub notes: Vec<String>,
}

fn figures(p: &PhaseTotals) -> PhaseFigures {
    let joules =
        Band { mid: p.energy_per_token_j, low: p.energy_per_token_j_low, high: p.energy_per_token_j_high };
    PhaseFigures {
        tokens: p.tokens,
        seconds: p.seconds,
        joules_per_token: Some(joules),
        ops: 2.0 * p.macs as f64,
        dram_bytes: (p.dram_read_bytes + p.dram_write_bytes) as f64,
    }
}

impl Subject {
    /// A run.
    pub fn of_record(name: &str, record: &Record) -> Subject {
        let (w, m) = (&record.workload, &record.machine);
        let mut work = vec![
            ("model", w.model.clone()),
            ("weights", format!("{} ({} bits stored)", w.weights, digits(w.stored_bits_per_weight))),
            ("activations", w.activations.clone()),
            ("KV cache", w.kv.clone()),
            ("batch", w.batch.to_string()),
            ("prompt", w.prompt.to_string()),
            ("context", w.context.to_string()),
            ("decode steps", w.generate.to_string()),
        ];
        if let Some(tables) = &w.tables {
            work.push(("tables", tables.clone()));
        }
        let mut notes = Vec::new();
        if m.dram_model == "ideal" {
            notes.push(format!("{name}: IDEAL DRAM, without banks and refresh"));
        }
        let decode = record.phases.decode.as_ref();
        if let Some(residual) = decode.and_then(|d| d.interpolation_residual) {
            let simulated = decode.map_or(0, |d| d.simulated_steps);
            notes.push(format!(
                "{name}: {simulated} of {} decode steps simulated, residual of the fit {}",
                w.generate,
                crate::quantity::percent(residual)
            ));
        }
        Subject {
            name: name.to_owned(),
            basis: Basis::Simulated,
            machine: format!(
                "{}: LUT cores {} at {}, {} x {}, {}",
                m.chip,
                m.lut_cores.trim_end_matches(','),
                si(m.core_clock_hz as f64, "Hz"),
                m.dram_standard,
                m.dram_channels,
                si(m.dram_peak_bytes_per_second, "B/s")
            ),
            work,
            size: Some((w.weight_bytes, w.parameters)),
            lengths: (w.prompt, w.generate, w.context + w.prompt),
            prefill: record.phases.prefill.as_ref().map(|p| figures(&p.totals)),
            first_token: record.phases.prefill.as_ref().map(|p| p.time_to_first_token_seconds),
            decode: decode.map(|d| figures(&d.totals)),
            area: record.area.band(),
            bandwidth: m.dram_peak_bytes_per_second,
            peaks: m
                .lut_peak_ops_per_second
                .iter()
                .map(|(bits, peak)| Ceiling { label: format!("{bits}-bit weights"), ops_per_s: *peak })
                .collect(),
            notes,
        }
    }

    fn phase(&self, phase: &str) -> Option<&PhaseFigures> {
        if phase == "prefill" { self.prefill.as_ref() } else { self.decode.as_ref() }
    }
}

/// Subjects beside a reference, one of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// All of them, in the order given.
    pub subjects: Vec<Subject>,
    /// Which one ratios are against.
    pub against: usize,
}

const PHASES: [&str; 2] = ["prefill", "decode"];

fn dash(text: Option<String>) -> String {
    text.unwrap_or_else(|| "-".to_owned())
}

impl Comparison {
    fn reference(&self) -> &Subject {
        &self.subjects[self.against]
    }

    /// How many times as fast as the reference; none where one of both has no such phase.
    pub fn speedup(&self, subject: &Subject, phase: &str) -> Option<f64> {
        let (own, base) = (subject.phase(phase)?, self.reference().phase(phase)?);
        let base = base.tokens_per_second();
        (base > 0.0).then(|| own.tokens_per_second() / base)
    }

    /// What the subjects' work differs in: what it is, and each one's.
    pub fn differences(&self) -> Vec<String> {
        let mut names: Vec<&str> = Vec::new();
        for (name, _) in self.subjects.iter().flat_map(|s| &s.work) {
            if !names.contains(name) {
                names.push(name);
            }
        }
        let value = |s: &Subject, name: &str| {
            s.work.iter().find(|(n, _)| *n == name).map_or("-".to_owned(), |(_, v)| v.clone())
        };
        names
            .into_iter()
            .filter(|name| self.subjects.iter().any(|s| value(s, name) != value(&self.subjects[0], name)))
            .map(|name| {
                let each: Vec<_> =
                    self.subjects.iter().map(|s| format!("{} {}", s.name, value(s, name))).collect();
                format!("{name}: {}", each.join(", "))
            })
            .collect()
    }

    /// Tables of both phases, ratios, notes.
    pub fn text(&self) -> String {
        let mut out = String::new();
        for s in &self.subjects {
            out.push_str(&format!("{} ({}): {}\n", s.name, s.basis.name(), s.machine));
        }
        let differences = self.differences();
        let same = &self.subjects[0].work;
        let line: Vec<String> = same
            .iter()
            .filter(|(name, _)| !differences.iter().any(|d| d.starts_with(&format!("{name}:"))))
            .map(|(name, value)| format!("{name} {value}"))
            .collect();
        out.push_str(&format!("  {}\n", line.join(", ")));
        for difference in &differences {
            out.push_str(&format!("  NOT THE SAME WORK, {difference}\n"));
        }
        for phase in PHASES {
            if self.subjects.iter().any(|s| s.phase(phase).is_some()) {
                out.push_str(&format!("\n{}\n{}", capital(phase), self.table(phase)));
            }
        }
        let notes: Vec<&String> = self.subjects.iter().flat_map(|s| &s.notes).collect();
        if !notes.is_empty() {
            out.push('\n');
        }
        for note in notes {
            out.push_str(&format!("  {note}\n"));
        }
        out
    }

    fn table(&self, phase: &str) -> String {
        let against = format!("vs {}", self.reference().name);
        let mut columns =
            vec![("machine", Align::Left), ("tokens/s", Align::Right), (&against, Align::Right)];
        if phase == "prefill" {
            columns.push(("first token", Align::Right));
        }
        columns.extend([
            ("J/token", Align::Right),
            ("low to high", Align::Right),
            ("W", Align::Right),
            ("tokens/s per W", Align::Right),
            ("tokens/s per mm2", Align::Right),
        ]);
        let mut table = Table::new(&columns);
        for s in &self.subjects {
            let Some(p) = s.phase(phase) else { continue };
            let most = if s.basis == Basis::Roof { "<= " } else { "" };
            let least = if s.basis == Basis::Roof { ">= " } else { "" };
            let rate = p.tokens_per_second();
            let mut cells = vec![
                s.name.clone(),
                format!("{most}{}", digits(rate)),
                dash(self.speedup(s, phase).map(|x| format!("{most}{} x", digits(x)))),
            ];
            if phase == "prefill" {
                cells.push(dash(s.first_token.map(|t| format!("{least}{}", si(t, "s")))));
            }
            let range = p.joules_per_token.filter(|j| j.low < j.high);
            let watts = p.watts();
            cells.extend([
                dash(p.joules_per_token.map(|j| format!("{least}{}", digits(j.mid)))),
                dash(range.map(|j| format!("{} to {}", digits(j.low), digits(j.high)))),
                dash(watts.map(|w| digits(w.mid))),
                dash(watts.map(|w| format!("{most}{}", digits(share(rate, w.mid))))),
                dash(s.area.map(|a| digits(share(rate, a.mid)))),
            ]);
            table.row(cells);
        }
        table.render()
    }

    /// A row per subject and phase as `llama-bench` prints them: `pp512` is a prompt of 512 tokens, `tg128 @ d512` 128 tokens
    /// after 512.
    pub fn llama_bench(&self) -> String {
        let mut rows = vec![
            ["model", "size", "params", "backend", "test", "t/s"].map(str::to_owned),
            ["---", "---:", "---:", "---", "---:", "---:"].map(str::to_owned),
        ];
        for s in &self.subjects {
            let (prompt, steps, depth) = s.lengths;
            let work = |name: &str| s.work.iter().find(|w| w.0 == name).map_or("", |w| w.1.as_str());
            let format = work("weights").split(" (").next().unwrap_or_default();
            let before = depth.saturating_sub(prompt);
            let at = |depth: u64| if depth > 0 { format!(" @ d{depth}") } else { String::new() };
            let tests = [
                ("prefill", format!("pp{prompt}{}", at(before))),
                ("decode", format!("tg{steps}{}", at(depth))),
            ];
            for (phase, test) in tests {
                let Some(p) = s.phase(phase) else { continue };
                let most = if s.basis == Basis::Roof { "<= " } else { "" };
                rows.push([
                    format!("{} {format}", work("model")),
                    dash(s.size.map(|(bytes, _)| format!("{:.2} GiB", bytes as f64 / (1u64 << 30) as f64))),
                    dash(s.size.map(|(_, parameters)| format!("{:.2} B", parameters as f64 / 1e9))),
                    s.name.clone(),
                    test,
                    format!("{most}{:.2}", p.tokens_per_second()),
                ]);
            }
        }
        let width = |i: usize| rows.iter().map(|r| r[i].chars().count()).max().unwrap_or(0);
        let widths: [usize; 6] = std::array::from_fn(width);
        let mut out = String::new();
        for (n, row) in rows.iter().enumerate() {
            let right = |i: usize| rows[1][i].ends_with(':');
            let cells: Vec<String> = row
                .iter()
                .enumerate()
                .map(|(i, cell)| match (n == 1, right(i)) {
                    (true, true) => format!("{}:", "-".repeat(widths[i] - 1)),
                    (true, false) => "-".repeat(widths[i]),
                    (false, true) => format!("{cell:>0$}", widths[i]),
                    (false, false) => format!("{cell:<0$}", widths[i]),
                })
                .collect();
            out.push_str(&format!("| {} |\n", cells.join(" | ")));
        }
        out
    }

    /// A row per subject and phase, units in the column names.
    pub fn csv(&self) -> Result<String, csv::Error> {
        let mut out = csv::WriterBuilder::new().from_writer(Vec::new());
        let against = &self.reference().name;
        out.write_record([
            "name",
            "basis",
            "phase",
            "tokens",
            "seconds",
            "tokens_per_second",
            &format!("times_{against}"),
            "first_token_seconds",
            "joules_per_token",
            "joules_per_token_low",
            "joules_per_token_high",
            "watts",
            "tokens_per_second_per_watt",
            "area_mm2",
            "tokens_per_second_per_mm2",
            "ops",
            "dram_bytes",
        ])?;
        let number = |x: Option<f64>| x.map_or_else(String::new, |x| x.to_string());
        for s in &self.subjects {
            for phase in PHASES {
                let Some(p) = s.phase(phase) else { continue };
                let rate = p.tokens_per_second();
                let (joules, watts) = (p.joules_per_token, p.watts());
                out.write_record([
                    s.name.clone(),
                    s.basis.name().to_owned(),
                    phase.to_owned(),
                    p.tokens.to_string(),
                    p.seconds.to_string(),
                    rate.to_string(),
                    number(self.speedup(s, phase)),
                    number(s.first_token.filter(|_| phase == "prefill")),
                    number(joules.map(|j| j.mid)),
                    number(joules.map(|j| j.low)),
                    number(joules.map(|j| j.high)),
                    number(watts.map(|w| w.mid)),
                    number(watts.map(|w| share(rate, w.mid))),
                    number(s.area.map(|a| a.mid)),
                    number(s.area.map(|a| share(rate, a.mid))),
                    p.ops.to_string(),
                    p.dram_bytes.to_string(),
                ])?;
            }
        }
        let bytes = out.into_inner().map_err(|e| csv::Error::from(std::io::Error::other(e.to_string())))?;
        Ok(String::from_utf8(bytes).expect("a CSV of strings is UTF-8"))
    }

    /// The same as JSON.
    pub fn json(&self) -> Value {
        let band = |b: &Band| json!({ "mid": b.mid, "low": b.low, "high": b.high });
        let subjects = self.subjects.iter().map(|s| {
            let phase = |phase: &str| {
                s.phase(phase).map(|p| {
                    json!({
                        "tokens": p.tokens,
                        "seconds": p.seconds,
                        "tokens_per_second": p.tokens_per_second(),
                        "times_reference": self.speedup(s, phase),
                        "joules_per_token": p.joules_per_token.as_ref().map(band),
                        "watts": p.watts().as_ref().map(band),
                        "tokens_per_second_per_watt": p.watts().map(|w| share(p.tokens_per_second(), w.mid)),
                        "tokens_per_second_per_mm2": s.area.map(|a| share(p.tokens_per_second(), a.mid)),
                        "ops": p.ops,
                        "dram_bytes": p.dram_bytes,
                    })
                })
            };
            json!({
                "name": s.name,
                "basis": s.basis.name(),
                "machine": s.machine,
                "work": s.work.iter().map(|(n, v)| ((*n).to_owned(), Value::from(v.as_str()))).collect::<serde_json::Map<_, _>>(),
                "first_token_seconds": s.first_token,
                "prefill": phase("prefill"),
                "decode": phase("decode"),
                "area_mm2": s.area.as_ref().map(band),
                "notes": s.notes,
            })
        });
        json!({
            "reference": self.reference().name,
            "not_the_same_work": self.differences(),
            "subjects": subjects.collect::<Vec<_>>(),
        })
    }
}

fn capital(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map_or(String::new(), |c| c.to_uppercase().collect::<String>() + chars.as_str())
}

/// Tokens of a workload in words: `512 tokens`, `1 token`.
pub fn tokens(n: u64) -> String {
    format!("{} token{}", count(n), if n == 1 { "" } else { "s" })
}
