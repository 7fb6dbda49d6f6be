//! From a description as written to a validated standard: names resolved, timings in clocks, contradictions refused.

use crate::command::Command;
use crate::error::Error;
use crate::policy::Policy;
use crate::raw::{self, Number};
use crate::standard::{Constraint, EventEnergy, Level, MAX_BANKS, Power, Standard, Timing};

/// Most channels behind one address space.
const MAX_CHANNELS: u32 = 64;

/// A clock of up to 8 GHz times this fits 64 bits, which the timebase of two clocks needs.
const LARGEST_DENOMINATOR: u64 = 1 << 31;

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

pub(crate) struct Builder<'a> {
    pub(crate) file: &'a str,
    pub(crate) raw: raw::Standard,
}

impl Builder<'_> {
    fn bad<T>(
        &self,
        key: &str,
        span: Option<std::ops::Range<usize>>,
        message: impl Into<String>,
    ) -> Result<T, Error> {
        Err(Error::Invalid { file: self.file.into(), key: key.into(), message: message.into(), span })
    }

    pub(crate) fn build(self) -> Result<Standard, Error> {
        let raw = &self.raw;
        let clock_hz = (raw.clock.hz, raw.clock.per);
        if clock_hz.0 == 0 || clock_hz.1 == 0 || clock_hz.0 / clock_hz.1 > 100_000_000_000 {
            return self.bad("clock", None, "the clock must lie between 0 and 100 GHz");
        }
        if clock_hz.1 / gcd(clock_hz.0, clock_hz.1) > LARGEST_DENOMINATOR {
            let message = format!(
                "{} / {} Hz has no timebase with another clock that fits 64 bits; choose rounder numbers, such as \
                 6_400_000_000 / 3",
                clock_hz.0, clock_hz.1
            );
            return self.bad("clock", None, message);
        }
        Policy::by_name(&raw.policy).or_else(|e| self.bad("policy", None, e.to_string()))?;
        let o = &raw.organization;
        let levels: Vec<Level> =
            o.levels.iter().map(|(name, count)| Level { name: name.clone(), count: *count }).collect();
        if levels.last().is_none_or(|l| l.name != "Bank") || levels.iter().any(|l| l.count == 0) {
            return self.bad(
                "organization.levels",
                None,
                "every level needs a count of at least 1, and Bank comes last",
            );
        }
        let banks = levels.iter().try_fold(1u32, |a, l| a.checked_mul(l.count));
        if banks.is_none_or(|b| b > MAX_BANKS) {
            return self.bad(
                "organization.levels",
                None,
                format!("a channel may have at most {MAX_BANKS} banks"),
            );
        }
        for (key, value) in [
            ("rows", o.rows),
            ("bursts_per_row", o.bursts_per_row),
            ("request_bytes", o.request_bytes),
            ("channels", o.channels),
            ("max_injected_per_tick", o.max_injected_per_tick),
        ] {
            if value == 0 {
                return self.bad(&format!("organization.{key}"), None, "must be at least 1");
            }
        }
        if !o.request_bytes.is_power_of_two()
            || !o.bursts_per_row.is_power_of_two()
            || !o.channels.is_power_of_two()
        {
            return self.bad(
                "organization",
                None,
                "request_bytes, bursts_per_row and channels must be powers of two",
            );
        }
        if o.pin_peak_bytes_per_second.is_some_and(|b| !(b > 0.0 && b.is_finite())) {
            return self.bad("organization.pin_peak_bytes_per_second", None, "must be above 0");
        }
        if o.channels > MAX_CHANNELS {
            return self.bad("organization.channels", None, format!("at most {MAX_CHANNELS}"));
        }
        let factors = [banks.unwrap_or(0), o.rows, o.bursts_per_row, o.request_bytes, o.channels];
        if factors.iter().try_fold(1u64, |a, n| a.checked_mul(u64::from(*n))).is_none_or(|b| b > 1 << 48) {
            return self.bad("organization", None, "more than 2^48 bytes in all");
        }
        let timings = self.timings(clock_hz)?;
        let value = |n: &Number, key: &str| -> Result<i64, Error> {
            match n {
                Number::Clocks(c) => Ok(*c),
                Number::Expression(e) => crate::expr::evaluate(e, &|name| {
                    timings.iter().find(|t| t.name == name).map(|t| t.clocks)
                })
                .or_else(|m| self.bad(key, None, m)),
            }
        };
        let positive = |n: &Number, key: &str| -> Result<u64, Error> {
            match value(n, key)? {
                v if (1..=1 << 40).contains(&v) => Ok(v as u64),
                v => self.bad(key, None, format!("{v} clocks is out of range, it must be at least 1")),
            }
        };
        let optional = |n: &Option<Number>, key: &str| n.as_ref().map(|n| positive(n, key)).transpose();
        let d = &raw.device;
        let level_index = |name: &str| match name {
            "Channel" => Some(0),
            _ => levels.iter().position(|l| l.name == name).map(|i| i + 1),
        };
        let Some(refresh_level) = level_index(&d.refresh_level) else {
            return self.bad(
                "device.refresh_level",
                None,
                format!("there is no level `{}`", d.refresh_level),
            );
        };
        if refresh_level == levels.len() {
            return self.bad("device.refresh_level", None, "an all-bank refresh covers more than one bank");
        }
        let mut constraints = Vec::new();
        for row in &raw.constraints.list {
            let span = row.span();
            let (level, before, after, clocks, window, sibling) = row.get_ref();
            let key = format!("constraints.list {level} {before:?} -> {after:?}");
            let Some(level) = level_index(level) else {
                return self.bad(&key, Some(span), format!("there is no level `{level}`"));
            };
            let mut names = [Vec::new(), Vec::new()];
            for (out, list) in names.iter_mut().zip([before, after]) {
                for name in list {
                    match Command::from_name(name) {
                        Some(c) => out.push(c),
                        None => return self.bad(&key, Some(span), format!("there is no command `{name}`")),
                    }
                }
            }
            let clocks = value(clocks, &key)?;
            if clocks > 1 << 24 || *window == 0 || *window > 64 {
                return self.bad(
                    &key,
                    Some(span),
                    "clocks must be below 2^24 and the window between 1 and 64",
                );
            }
            if *sibling && (level == 0 || *window != 1) {
                return self.bad(
                    &key,
                    Some(span),
                    "a sibling row needs a level below the channel and a window of 1",
                );
            }
            let [preceding, following] = names;
            constraints.push(Constraint {
                level,
                preceding,
                following,
                clocks,
                window: *window,
                sibling: *sibling,
            });
        }
        let mut s = Standard {
            name: raw.name.clone(),
            family: raw.family.clone(),
            summary: raw.summary.clone(),
            clock_hz,
            request_bytes: o.request_bytes,
            rows: o.rows,
            bursts_per_row: o.bursts_per_row,
            channels: o.channels,
            dual_command: d.dual_command,
            half_rate_columns: d.half_rate_columns,
            refresh_level,
            read_latency: positive(&d.read_latency, "device.read_latency")?,
            write_latency: positive(&d.write_latency, "device.write_latency")?,
            burst: positive(&d.burst, "device.burst")?,
            refresh_interval: positive(&d.refresh_interval, "device.refresh_interval")?,
            act2_deadline: optional(&d.act2_deadline, "device.act2_deadline")?,
            power_down_exit: optional(&d.power_down_exit, "device.power_down_exit")?,
            self_refresh_exit: optional(&d.self_refresh_exit, "device.self_refresh_exit")?,
            data_clock_hold: match (
                optional(&d.data_clock_hold_read, "device.data_clock_hold_read")?,
                optional(&d.data_clock_hold_write, "device.data_clock_hold_write")?,
            ) {
                (Some(r), Some(w)) => Some((r, w)),
                (None, None) => None,
                _ => return self.bad("device.data_clock_hold_read", None, "give both holds or none"),
            },
            column_clocks: 0,
            mapping: o.mapping.clone(),
            mapping_xor: o.mapping_xor.clone(),
            policy: raw.policy.clone(),
            max_injected_per_tick: o.max_injected_per_tick,
            pin_peak: o.pin_peak_bytes_per_second,
            power: None,
            event_energy: self.event_energy()?,
            sources: raw.sources.clone(),
            constraints,
            timings,
            levels,
        };
        s.column_clocks = s
            .constraints
            .iter()
            .filter(|c| !c.sibling && c.window == 1 && s.nodes(c.level) <= s.data_buses())
            .filter(|c| c.preceding.contains(&Command::Read) && c.following.contains(&Command::Read))
            .map(|c| c.clocks.max(1) as u64)
            .fold(s.burst, u64::max);
        s.power = self.power(&s)?;
        self.check(&s)?;
        s.default_mapping().or_else(|e| self.bad("organization.mapping", None, e.to_string()))?;
        Ok(s)
    }

    fn timings(&self, clock: (u64, u64)) -> Result<Vec<Timing>, Error> {
        let mut out: Vec<Timing> = Vec::new();
        for (name, value) in &self.raw.timing {
            let span = Some(value.span());
            let key = format!("timing.{name}");
            let (clocks, source) = match value.get_ref() {
                raw::Timing::Clocks(c) => (*c, String::new()),
                raw::Timing::Table(t) => {
                    let clocks = match (&t.clocks, t.ns) {
                        (Some(Number::Clocks(c)), None) => *c,
                        (Some(Number::Expression(e)), None) => {
                            crate::expr::evaluate(e, &|n| out.iter().find(|t| t.name == n).map(|t| t.clocks))
                                .or_else(|m| self.bad(&key, span.clone(), m))?
                        }
                        (None, Some(ns)) if (0.0..1e9).contains(&ns) => to_clocks(ns, clock, t.round_down),
                        _ => return self.bad(&key, span, "give either `clocks` or `ns` (below one second)"),
                    };
                    (clocks.max(t.min_clocks), t.source.clone())
                }
            };
            if !(0..1 << 40).contains(&clocks) {
                return self.bad(&key, span, format!("{clocks} clocks is out of range"));
            }
            out.push(Timing { name: name.clone(), clocks, source });
        }
        Ok(out)
    }

    fn power(&self, s: &Standard) -> Result<Option<Power>, Error> {
        let Some(p) = &self.raw.power else { return Ok(None) };
        let time = |n: &Option<Number>, key: &str, names: &[&str]| -> Result<f64, Error> {
            match n {
                Some(Number::Clocks(c)) => Ok(*c as f64),
                Some(Number::Expression(e)) => crate::expr::evaluate(e, &|n| s.timing(n))
                    .map(|v| v as f64)
                    .or_else(|m| self.bad(key, None, m)),
                None => match names.iter().find_map(|n| s.timing(n)) {
                    Some(v) => Ok(v as f64),
                    None => self.bad(
                        key,
                        None,
                        format!("not given, and no timing is called {}", names.join(" or ")),
                    ),
                },
            }
        };
        Ok(Some(Power {
            devices: p.devices,
            vdd: p.vdd,
            idd0: p.idd0,
            idd2n: p.idd2n,
            idd3n: p.idd3n,
            idd4r: p.idd4r,
            idd4w: p.idd4w,
            idd5ab: p.idd5ab,
            idd5pb: p.idd5pb,
            idd2p: p.idd2p,
            idd3p: p.idd3p,
            idd6: p.idd6,
            burst_clocks: s.burst as f64,
            tras: time(&p.tras, "power.tras", &["tRAS", "nRAS"])?,
            trp: time(&p.trp, "power.trp", &["tRP", "nRP"])?,
            trfc: time(&p.trfc, "power.trfc", &["tRFC", "nRFC", "nRFCab"])?,
            trfcpb: time(&p.trfcpb, "power.trfcpb", &["tRFCpb", "nRFCpb", "tRFCb"]).unwrap_or(0.0),
            source: p.source.clone(),
        }))
    }

    fn event_energy(&self) -> Result<Option<EventEnergy>, Error> {
        let Some(e) = &self.raw.energy else { return Ok(None) };
        let none = [0.0; 3];
        for (key, value) in [
            ("activate_pj", e.activate_pj),
            ("read_pj_per_bit", e.read_pj_per_bit),
            ("write_pj_per_bit", e.write_pj_per_bit),
            ("refresh_pj", e.refresh_pj),
            ("bank_refresh_pj", e.bank_refresh_pj.unwrap_or(none)),
            ("active_mw", e.active_mw),
            ("precharged_mw", e.precharged_mw),
            ("power_down_mw", e.power_down_mw.unwrap_or(none)),
            ("self_refresh_mw", e.self_refresh_mw.unwrap_or(none)),
            ("interface_pj_per_bit", e.interface_pj_per_bit),
        ] {
            if !(0.0 <= value[0] && value[0] <= value[1] && value[1] <= value[2] && value[2].is_finite()) {
                return self.bad(&format!("energy.{key}"), None, "low <= mid <= high does not hold");
            }
        }
        Ok(Some(EventEnergy {
            activate_pj: e.activate_pj,
            read_pj_per_bit: e.read_pj_per_bit,
            write_pj_per_bit: e.write_pj_per_bit,
            refresh_pj: e.refresh_pj,
            bank_refresh_pj: e.bank_refresh_pj,
            active_mw: e.active_mw,
            precharged_mw: e.precharged_mw,
            power_down_mw: e.power_down_mw,
            self_refresh_mw: e.self_refresh_mw,
            interface_pj_per_bit: e.interface_pj_per_bit,
            source: e.source.clone(),
        }))
    }

    /// Rules between timings: a table that contradicts itself describes no device.
    fn check(&self, s: &Standard) -> Result<(), Error> {
        let bank = s.levels.len();
        // The longest wait and the row that says so; constraints are in the order of the file's rows.
        let longest_row = |level: usize, a: Command, b: Command, window: u32| {
            s.constraints
                .iter()
                .enumerate()
                .filter(|(_, c)| c.level == level && c.window == window && !c.sibling)
                .filter(|(_, c)| c.preceding.contains(&a) && c.following.contains(&b))
                .map(|(row, c)| (c.clocks, row))
                .max()
        };
        let longest = |level, a, b, window| longest_row(level, a, b, window).map(|(clocks, _)| clocks);
        let span = |row: usize| self.raw.constraints.list.get(row).map(|r| r.span());
        use Command::{Activate, CasRead, CasWrite, Precharge, Read, RefreshAll, Write};
        for (a, b, what) in [
            (Activate, Read, "tRCD"),
            (Activate, Write, "tRCD"),
            (Activate, Precharge, "tRAS"),
            (Activate, Activate, "tRC"),
            (Precharge, Activate, "tRP"),
        ] {
            if longest(bank, a, b, 1).is_none_or(|c| c < 1) {
                return self.bad(
                    "constraints",
                    None,
                    format!("a bank needs {what} ({} -> {})", a.name(), b.name()),
                );
            }
        }
        let (trc, row) = longest_row(bank, Activate, Activate, 1).unwrap_or((0, usize::MAX));
        let tras = longest(bank, Activate, Precharge, 1).unwrap_or(0);
        if trc < tras {
            return self.bad(
                "constraints",
                span(row),
                format!("tRC ({trc} clocks) is shorter than tRAS ({tras} clocks)"),
            );
        }
        for level in 0..=bank {
            let trrd = longest(level, Activate, Activate, 1).unwrap_or(0);
            for (row, c) in s.constraints.iter().enumerate().filter(|(_, c)| c.level == level && c.window > 1)
            {
                if c.preceding.contains(&Activate) && c.following.contains(&Activate) && c.clocks < trrd {
                    let message = format!("tFAW ({} clocks) is shorter than tRRD ({trrd} clocks)", c.clocks);
                    return self.bad("constraints", span(row), message);
                }
            }
        }
        let trfc = longest(s.refresh_level, RefreshAll, Activate, 1).unwrap_or(0);
        if trfc < 1 {
            return self.bad("constraints", None, "the refresh level needs tRFC (REFab -> ACT)");
        }
        let trfc = trfc.max(longest(s.refresh_level, RefreshAll, RefreshAll, 1).unwrap_or(0));
        for (cas, column) in [(CasRead, Read), (CasWrite, Write)] {
            let wait = (0..=bank).filter_map(|level| longest_row(level, cas, column, 1)).max();
            if let Some((clocks, row)) = wait.filter(|(clocks, _)| *clocks > 1) {
                let (cas, column) = (cas.name(), column.name());
                let message = format!("{column} follows {cas} in the next clock, not {clocks} later");
                return self.bad("constraints", span(row), message);
            }
        }
        // A refresh closes the rows: one that cannot be opened and read before the next is never read.
        let opening = |a, b| (0..=bank).filter_map(|level| longest(level, a, b, 1)).max().unwrap_or(0);
        let row = opening(Precharge, Activate) + opening(Activate, Read).max(opening(Activate, Write));
        if s.refresh_interval as i64 <= trfc + row {
            let message = format!(
                "tREFI ({}) is not longer than tRFC ({trfc}) and opening a row ({row}), no time remains",
                s.refresh_interval
            );
            return self.bad("device.refresh_interval", None, message);
        }
        if s.read_latency < s.burst || s.write_latency < s.burst {
            return self.bad(
                "device",
                None,
                "latencies count to the end of the burst, they cannot be shorter than it",
            );
        }
        Ok(())
    }
}

/// Nanoseconds to clocks, exactly: picoseconds times a rational clock.
fn to_clocks(ns: f64, clock: (u64, u64), round_down: bool) -> i64 {
    let ps = (ns * 1000.0).round() as u128;
    let (num, den) = (ps * clock.0 as u128, clock.1 as u128 * 1_000_000_000_000);
    if round_down { (num / den) as i64 } else { num.div_ceil(den) as i64 }
}
