//! A DRAM standard as data: TOML in, validated organisation, clock, timings and constraint table out.
//!
//! ```text
//! Channel > [Rank | PseudoChannel > Sid] > BankGroup > Bank      levels, each with a count per parent
//! constraint row: [level, preceding, following, clocks, window, sibling]
//! ```

use crate::command::Command;
use crate::error::Error;
use crate::mapping::Mapping;
use crate::presets;
use crate::raw::{self, Number};

/// Most banks a channel may have (the scheduler keeps one bit each).
pub const MAX_BANKS: u32 = 64;

/// One level of the bank hierarchy below the channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Level {
    /// Name as used in the constraint table.
    pub name: String,
    /// Members per parent.
    pub count: u32,
}

/// At a node of `level`, `following` may issue at the earliest `clocks` after the `window`-th latest `preceding`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Constraint {
    /// 0 is the channel, `i` is `Standard::levels[i - 1]`.
    pub level: usize,
    /// Commands that start the wait.
    pub preceding: Vec<Command>,
    /// Commands that wait.
    pub following: Vec<Command>,
    /// Clocks from one to the other; zero and negative rows bind nothing.
    pub clocks: i64,
    /// 1: the latest preceding command; n: the n-th latest.
    pub window: u32,
    /// Holds between a node and its siblings instead of within a node.
    pub sibling: bool,
}

/// A named timing value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timing {
    /// Name used in expressions.
    pub name: String,
    /// Value in command clocks.
    pub clocks: i64,
    /// Where it comes from.
    pub source: String,
}

/// Supply voltage and currents in the manner of data sheets, for energy by formula.
#[derive(Debug, Clone, PartialEq)]
pub struct Power {
    /// Devices that work together in a rank.
    pub devices: f64,
    /// Supply voltage, V.
    pub vdd: f64,
    /// Activate-precharge current, mA; likewise the following, all per device.
    pub idd0: f64,
    /// Precharged standby current.
    pub idd2n: f64,
    /// Active standby current.
    pub idd3n: f64,
    /// Read burst current.
    pub idd4r: f64,
    /// Write burst current.
    pub idd4w: f64,
    /// All-bank refresh current.
    pub idd5ab: f64,
    /// Per-bank refresh current.
    pub idd5pb: Option<f64>,
    /// Precharged power-down current.
    pub idd2p: Option<f64>,
    /// Active power-down current.
    pub idd3p: Option<f64>,
    /// Self-refresh current.
    pub idd6: Option<f64>,
    /// Burst length in clocks that the currents are integrated over.
    pub burst_clocks: f64,
    /// Row active time in clocks.
    pub tras: f64,
    /// Precharge time in clocks.
    pub trp: f64,
    /// Refresh time in clocks.
    pub trfc: f64,
    /// Per-bank refresh time in clocks.
    pub trfcpb: f64,
    /// Where the numbers come from.
    pub source: String,
}

/// Energies by event, low, mid and high, where no currents are public.
#[derive(Debug, Clone, PartialEq)]
pub struct EventEnergy {
    /// One activate with its precharge, pJ.
    pub activate_pj: [f64; 3],
    /// Reading a bit of an open row, without the pins.
    pub read_pj_per_bit: [f64; 3],
    /// Writing a bit of an open row, without the pins.
    pub write_pj_per_bit: [f64; 3],
    /// One all-bank refresh of a scope, pJ.
    pub refresh_pj: [f64; 3],
    /// One per-bank refresh, pJ.
    pub bank_refresh_pj: Option<[f64; 3]>,
    /// A scope with a row open, mW.
    pub active_mw: [f64; 3],
    /// A scope with all rows closed, mW.
    pub precharged_mw: [f64; 3],
    /// A scope in power-down, mW.
    pub power_down_mw: Option<[f64; 3]>,
    /// A scope in self-refresh, mW.
    pub self_refresh_mw: Option<[f64; 3]>,
    /// Drivers, receivers, termination and PHY, per bit moved.
    pub interface_pj_per_bit: [f64; 3],
    /// Where the numbers come from.
    pub source: String,
}

/// A validated standard.
#[derive(Debug, Clone, PartialEq)]
pub struct Standard {
    /// The name under which users select it.
    pub name: String,
    /// Family, e.g. `LPDDR5`.
    pub family: String,
    /// One sentence about it.
    pub summary: String,
    /// Exact command clock in Hz: numerator, denominator.
    pub clock_hz: (u64, u64),
    /// Bytes of one burst.
    pub request_bytes: u32,
    /// Hierarchy below the channel, bank last.
    pub levels: Vec<Level>,
    /// Rows per bank.
    pub rows: u32,
    /// Bursts per row.
    pub bursts_per_row: u32,
    /// Channels behind one address space in the trace driver; a [`crate::Channel`] is one of them.
    pub channels: u32,
    /// A row and a column command may issue in the same clock (HBM).
    pub dual_command: bool,
    /// Column commands only on odd clocks; on even ones only precharges (HBM3's two command edges).
    pub half_rate_columns: bool,
    /// Level that an all-bank refresh covers, in the numbering of [`Constraint::level`].
    pub refresh_level: usize,
    /// Clocks from a read command to its data callback.
    pub read_latency: u64,
    /// Clocks from a write command to the end of its data.
    pub write_latency: u64,
    /// Clocks a burst occupies the data bus.
    pub burst: u64,
    /// Clocks between all-bank refreshes of one scope (tREFI).
    pub refresh_interval: u64,
    /// Split activate: ACT2 follows ACT at most this many clocks later.
    pub act2_deadline: Option<u64>,
    /// Clocks from leaving power-down to the next command (tXP).
    pub power_down_exit: Option<u64>,
    /// Clocks from leaving self-refresh to the next command (tXS).
    pub self_refresh_exit: Option<u64>,
    /// Data clock stays synchronised this many clocks after a read and after a write; beyond, a CAS is needed.
    pub data_clock_hold: Option<(u64, u64)>,
    /// Named timings.
    pub timings: Vec<Timing>,
    /// The constraint table.
    pub constraints: Vec<Constraint>,
    /// Default address mapping.
    pub mapping: Vec<String>,
    /// Exclusive-or rules of the default mapping.
    pub mapping_xor: Vec<String>,
    /// Policy this configuration is meant to run under.
    pub policy: String,
    /// Requests the trace driver may insert per clock.
    pub max_injected_per_tick: u32,
    /// Peak of the data pins in bytes per second, if it differs from burst bytes over burst clocks.
    pub pin_peak: Option<f64>,
    /// Clocks between column commands at best, for the column peak.
    pub column_clocks: u64,
    /// Currents and voltages.
    pub power: Option<Power>,
    /// Energies by event.
    pub event_energy: Option<EventEnergy>,
    /// Where the description comes from.
    pub sources: Vec<String>,
}

impl Standard {
    /// A standard that ships with the crate.
    pub fn builtin(name: &str) -> Result<Standard, Error> {
        match presets::TEXTS.iter().find(|(n, _)| *n == name) {
            Some((n, text)) => Standard::parse(&format!("{n}.toml"), text),
            None => Err(Error::unknown("DRAM standard", name, presets::NAMES)),
        }
    }

    /// Names of the standards that ship with the crate.
    pub fn builtin_names() -> &'static [&'static str] {
        presets::NAMES
    }

    /// Reads and validates a description; `file_name` only labels errors.
    pub fn parse(file_name: &str, text: &str) -> Result<Standard, Error> {
        let raw: raw::Standard = toml::from_str(text).map_err(|e| Error::Toml {
            file: file_name.into(),
            message: e.message().to_string(),
            span: e.span(),
        })?;
        Builder { file: file_name, raw }.build()
    }

    /// Peak bandwidth of one channel's data pins.
    pub fn peak_bytes_per_second(&self) -> f64 {
        self.pin_peak.unwrap_or_else(|| {
            self.request_bytes as f64 * self.clock() / self.burst as f64 * self.data_buses() as f64
        })
    }

    /// Bandwidth that back-to-back column commands reach.
    pub fn column_peak_bytes_per_second(&self) -> f64 {
        self.request_bytes as f64 * self.clock() / self.column_clocks as f64 * self.data_buses() as f64
    }

    /// Pseudo-channels have a data bus each; everything else shares one.
    fn data_buses(&self) -> u32 {
        self.levels.iter().filter(|l| l.name == "PseudoChannel").map(|l| l.count).product()
    }

    /// Command clock in Hz.
    pub fn clock(&self) -> f64 {
        self.clock_hz.0 as f64 / self.clock_hz.1 as f64
    }

    /// Capacity of one channel.
    pub fn channel_bytes(&self) -> u64 {
        self.channel_bursts() * self.request_bytes as u64
    }

    /// Bursts of one channel.
    pub fn channel_bursts(&self) -> u64 {
        self.banks() as u64 * self.rows as u64 * self.bursts_per_row as u64
    }

    /// Clocks a burst occupies the data bus.
    pub fn burst_clocks(&self) -> u64 {
        self.burst
    }

    /// Banks of one channel.
    pub fn banks(&self) -> u32 {
        self.levels.iter().map(|l| l.count).product()
    }

    /// Nodes of a level (0 is the channel).
    pub fn nodes(&self, level: usize) -> u32 {
        self.levels[..level].iter().map(|l| l.count).product()
    }

    /// Value of a named timing.
    pub fn timing(&self, name: &str) -> Option<i64> {
        self.timings.iter().find(|t| t.name == name).map(|t| t.clocks)
    }

    /// Clocks between per-bank refreshes of a scope, such that each bank gets as many as with all-bank refreshes. (Where
    /// a device's REFpb covers a pair of banks, ours come twice as often and cover one.)
    pub fn refresh_bank_interval(&self) -> u64 {
        self.refresh_interval * self.nodes(self.refresh_level) as u64 / self.banks() as u64
    }

    /// Whether the constraint table speaks of this command.
    pub fn has(&self, command: Command) -> bool {
        self.constraints.iter().any(|c| c.preceding.contains(&command) || c.following.contains(&command))
    }

    /// Coordinates of a flat bank number, one per level.
    pub fn bank_coordinates(&self, bank: u32) -> Vec<u32> {
        let mut rest = bank;
        let mut out: Vec<u32> = self
            .levels
            .iter()
            .rev()
            .map(|l| {
                let c = rest % l.count;
                rest /= l.count;
                c
            })
            .collect();
        out.reverse();
        out
    }

    /// The default mapping, compiled.
    pub fn default_mapping(&self) -> Result<Mapping, Error> {
        Mapping::new(self, &self.mapping, &self.mapping_xor)
    }
}

struct Builder<'a> {
    file: &'a str,
    raw: raw::Standard,
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

    fn build(self) -> Result<Standard, Error> {
        let raw = &self.raw;
        let clock_hz = (raw.clock.hz, raw.clock.per);
        if clock_hz.0 == 0 || clock_hz.1 == 0 || clock_hz.0 / clock_hz.1 > 100_000_000_000 {
            return self.bad("clock", None, "the clock must lie between 0 and 100 GHz");
        }
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
        let longest = |level: usize, a: Command, b: Command, window: u32| {
            s.constraints
                .iter()
                .filter(|c| c.level == level && c.window == window && !c.sibling)
                .filter(|c| c.preceding.contains(&a) && c.following.contains(&b))
                .map(|c| c.clocks)
                .max()
        };
        use Command::{Activate, Precharge, Read, RefreshAll, Write};
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
        let trc = longest(bank, Activate, Activate, 1).unwrap_or(0);
        let tras = longest(bank, Activate, Precharge, 1).unwrap_or(0);
        if trc < tras {
            return self.bad(
                "constraints",
                None,
                format!("tRC ({trc} clocks) is shorter than tRAS ({tras} clocks)"),
            );
        }
        for level in 0..=bank {
            let trrd = longest(level, Activate, Activate, 1).unwrap_or(0);
            for c in s.constraints.iter().filter(|c| c.level == level && c.window > 1) {
                if c.preceding.contains(&Activate) && c.following.contains(&Activate) && c.clocks < trrd {
                    let message = format!("tFAW ({} clocks) is shorter than tRRD ({trrd} clocks)", c.clocks);
                    return self.bad("constraints", None, message);
                }
            }
        }
        let trfc = longest(s.refresh_level, RefreshAll, Activate, 1).unwrap_or(0);
        if trfc < 1 {
            return self.bad("constraints", None, "the refresh level needs tRFC (REFab -> ACT)");
        }
        if s.refresh_interval as i64 <= trfc {
            let message =
                format!("tREFI ({}) is not longer than tRFC ({trfc}), no time remains", s.refresh_interval);
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
