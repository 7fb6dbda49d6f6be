//! What a memory alone did, as the reference data's columns and as text.

use std::fmt::Write;

use lutsim_dram::{Energy, Error, Estimate, Latency, Policy, Report, Scheduler, Standard, energy};
use lutsim_reports::quantity::{count, digits, percent, share, si, size};
use serde_json::{Map, Value, json};

/// A finished run.
#[derive(Debug)]
pub struct DramRun {
    config: String,
    trace: String,
    standard: Standard,
    policy: Policy,
    report: Report,
    energy: Option<Energy>,
}

impl DramRun {
    /// `config` and `trace` are what the outputs call them.
    ///
    /// # Errors
    /// Something happened that the standard has no energy for; one that has none at all is fine.
    pub fn new(
        config: &str,
        trace: &str,
        standard: Standard,
        policy: Policy,
        report: Report,
    ) -> Result<Self, Error> {
        let priced = standard.power.is_some() || standard.event_energy.is_some();
        let energy = priced.then(|| energy(&standard, &report.counters)).transpose()?;
        Ok(Self { config: config.into(), trace: trace.into(), standard, policy, report, energy })
    }

    /// Clock period, ns.
    fn clock_ns(&self) -> f64 {
        let (hz, per) = self.standard.clock_hz;
        per as f64 * 1e9 / hz as f64
    }

    /// The columns of `tests/data/dram/results.csv`, in their order; null is what does not apply or is not known.
    /// Times in clocks where no unit is named, energies the mid estimate in pJ.
    pub fn json(&self) -> Value {
        let (s, r, c) = (&self.standard, &self.report, &self.report.counters);
        let bytes = r.requests as f64 * f64::from(s.request_bytes);
        let early = if self.policy.scheduler == Scheduler::Dramsim3 { 1.0 } else { 0.0 };
        let reads = |value: Value| if r.read_latency.count == 0 { Value::Null } else { value };
        let pj = |part: fn(&Energy) -> Estimate| self.energy.as_ref().map(|e| part(e).mid);
        let total = pj(Energy::total);
        let idle: Vec<String> = r.latencies.iter().map(u64::to_string).collect();
        let columns = [
            ("sim", json!(concat!("lutsim@", env!("CARGO_PKG_VERSION")))),
            ("config", json!(self.config)),
            ("trace", json!(self.trace)),
            ("n_requests", json!(r.requests)),
            ("request_bytes", json!(s.request_bytes)),
            ("max_injected_per_tick", json!(s.max_injected_per_tick)),
            ("mapping_msb_to_lsb", json!(self.mapping())),
            ("total_cycles", json!(r.total_cycles)),
            ("tCK_ns", json!(self.clock_ns())),
            ("time_ns", json!(r.total_cycles as f64 * self.clock_ns())),
            ("bandwidth_GBps", json!(r.bytes_per_second(s) / 1e9)),
            ("peak_pin_GBps", json!(self.peak() / 1e9)),
            ("frac_of_pin_peak", json!(r.share_of_peak(s))),
            ("frac_of_column_peak", json!(r.share_of_column_peak(s))),
            // DRAMsim3 counts from the clock after the insertion.
            ("avg_read_latency_reported", reads(json!(r.read_latency.mean() - early))),
            ("avg_read_latency_driver_ticks", reads(json!(r.read_latency.mean()))),
            ("min_read_latency_ticks", reads(json!(r.read_latency.min))),
            ("max_read_latency_ticks", reads(json!(r.read_latency.max))),
            ("latencies_idle", if idle.is_empty() { Value::Null } else { json!(idle.join(" ")) }),
            ("num_RD_cmds", json!(c.reads)),
            ("num_WR_cmds", json!(c.writes)),
            ("num_ACT", json!(c.activates)),
            ("num_PRE", json!(c.precharges)),
            ("num_REF", json!(c.refreshes + c.bank_refreshes)),
            ("read_row_hits", json!(c.read_row_hits)),
            ("write_row_hits", json!(c.write_row_hits)),
            ("row_misses", json!(self.tells_misses().then_some(c.row_misses))),
            ("row_conflicts", json!(self.tells_misses().then_some(c.row_conflicts))),
            ("E_act_pJ", json!(pj(|e| e.activate))),
            ("E_read_pJ", json!(pj(|e| e.read))),
            ("E_write_pJ", json!(pj(|e| e.write))),
            ("E_refresh_pJ", json!(pj(|e| e.refresh))),
            ("E_act_standby_pJ", json!(pj(|e| e.active_standby))),
            ("E_pre_standby_pJ", json!(pj(|e| e.precharged_standby))),
            ("E_total_pJ", json!(total)),
            // DRAMsim3's own sum: volts x milliamperes x clocks, for what is priced by currents.
            ("E_total_raw_VmAcycles", json!(s.power.as_ref().and(total).map(|t| t / self.clock_ns()))),
            ("pJ_per_bit", json!(total.map(|t| t / (8.0 * bytes)))),
        ];
        Value::Object(columns.into_iter().map(|(k, v)| (k.to_owned(), v)).collect::<Map<_, _>>())
    }

    /// DRAMsim3 counts row hits only.
    fn tells_misses(&self) -> bool {
        self.policy.scheduler != Scheduler::Dramsim3
    }

    /// Bytes per second of all data pins.
    fn peak(&self) -> f64 {
        self.standard.peak_bytes_per_second() * f64::from(self.standard.channels)
    }

    /// Fields of an address from the highest bit down, with the reference data's short names.
    fn mapping(&self) -> String {
        let (fields, xor) = match &self.policy.mapping {
            Some(fields) => (fields, &self.policy.mapping_xor),
            None => (&self.standard.mapping, &self.standard.mapping_xor),
        };
        let short = |name: &str| match name {
            "PseudoChannel" => "pc".to_owned(),
            "Sid" => "sid".to_owned(),
            "BankGroup" => "bg".to_owned(),
            _ => name.to_lowercase().chars().take(2).collect(),
        };
        let names = fields.iter().rev().map(|f| short(f.split_once(':').map_or(f, |(name, _)| name)));
        let mut out = names.collect::<Vec<_>>().join(" ");
        if !xor.is_empty() {
            let _ = write!(out, " (xor {})", xor.join(" "));
        }
        out
    }

    /// The result as text.
    pub fn text(&self) -> String {
        let (s, r, c) = (&self.standard, &self.report, &self.report.counters);
        let mut out = format!("{} on {}\n", self.trace, self.config);
        let mut line = |label: &str, text: String| {
            let _ = writeln!(out, "  {label:<20}{text}");
        };
        line("standard", s.summary.clone());
        let channels = match s.channels {
            1 => "one channel".to_owned(),
            n => format!("{n} channels"),
        };
        let capacity = size(s.channel_bytes() * u64::from(s.channels));
        let clock = si(s.clock(), "Hz");
        line("memory", format!("{channels}, {capacity}, {} peak, clock {clock}", si(self.peak(), "B/s")));
        let name = format!("{:?}", self.policy.scheduler).to_lowercase();
        line("controller", format!("{name}, takes {} per clock at most", s.max_injected_per_tick));
        let bytes = r.requests * u64::from(s.request_bytes);
        line(
            "requests",
            format!("{} of {} bytes, {}", count(r.requests), s.request_bytes, si(bytes as f64, "B")),
        );
        line("", String::new());
        let seconds = r.total_cycles as f64 * self.clock_ns() * 1e-9;
        line("cycles", format!("{}, {}", count(r.total_cycles), si(seconds, "s")));
        line("bandwidth", si(r.bytes_per_second(s), "B/s"));
        line("  of the peak", percent(r.share_of_peak(s)));
        line("  of column peak", percent(r.share_of_column_peak(s)));
        for (label, latency) in [("read latency", &r.read_latency), ("write latency", &r.write_latency)] {
            if latency.count > 0 {
                line(label, self.latency(latency));
                histogram(latency).into_iter().for_each(|(range, text)| line(&range, text));
            }
        }
        let commands = [
            ("RD", c.reads),
            ("WR", c.writes),
            ("ACT", c.activates),
            ("PRE", c.precharges),
            ("REFab", c.refreshes),
            ("REFpb", c.bank_refreshes),
            ("CAS", c.cas_sync),
            ("SRE", c.self_refreshes),
        ];
        let commands = commands.iter().filter(|(_, n)| *n > 0).map(|(k, n)| format!("{k} {}", count(*n)));
        line("commands", commands.collect::<Vec<_>>().join(", "));
        let hits = count(c.row_hits());
        line(
            "rows",
            match self.tells_misses() {
                true => {
                    let (misses, conflicts) = (count(c.row_misses), count(c.row_conflicts));
                    format!("hits {hits}, misses {misses}, conflicts {conflicts}")
                }
                false => format!("hits {hits}; this controller does not tell misses from conflicts"),
            },
        );
        match &self.energy {
            Some(energy) => out += &self.energy_text(energy, bytes),
            None => line("energy", "the standard gives neither currents nor energies".into()),
        }
        out.lines().map(|l| format!("{}\n", l.trim_end())).collect()
    }

    fn latency(&self, l: &Latency) -> String {
        let mean = si(l.mean() * self.clock_ns() * 1e-9, "s");
        format!("mean {} clocks ({mean}), min {}, max {}", digits(l.mean()), count(l.min), count(l.max))
    }

    fn energy_text(&self, e: &Energy, bytes: u64) -> String {
        let estimate = |e: Estimate| [e.low, e.mid, e.high].map(|pj| si(pj * 1e-12, "J"));
        let per_bit = |pj: f64| format!("{} pJ", digits(pj / (8 * bytes) as f64));
        let total = e.total();
        let banded = total.low < total.high;
        let mut out = String::new();
        let mut row = |label: &str, cells: [String; 3]| {
            let _ = match banded {
                true => writeln!(out, "  {label:<18}{:>10}{:>10}{:>10}", cells[0], cells[1], cells[2]),
                false => writeln!(out, "  {label:<18}{:>10}", cells[1]),
            };
        };
        let head = if banded { ["low", "mid", "high"] } else { [""; 3] };
        row("energy", head.map(str::to_owned));
        let parts = [
            ("  activate", Some(e.activate)),
            ("  read", Some(e.read)),
            ("  write", Some(e.write)),
            ("  refresh", Some(e.refresh)),
            ("  rows open", Some(e.active_standby)),
            ("  rows closed", Some(e.precharged_standby)),
            ("  powered down", Some(e.idle)),
            ("  interface", e.interface),
        ];
        for (label, part) in parts {
            let absent = ["not in it"; 3].map(str::to_owned);
            row(label, part.map_or(absent, estimate));
        }
        row("  total", estimate(total));
        row("  per bit", [total.low, total.mid, total.high].map(per_bit));
        out
    }
}

/// A line per power of two that has latencies.
fn histogram(l: &Latency) -> Vec<(String, String)> {
    let line = |(i, n): (usize, &u64)| {
        let part = percent(share(*n as f64, l.count as f64));
        (format!("  {}-{}", 1u64 << i, (2u64 << i) - 1), format!("{}, {part}", count(*n)))
    };
    l.histogram.iter().enumerate().filter(|(_, n)| **n > 0).map(line).collect()
}
