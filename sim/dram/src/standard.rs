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
use crate::raw;
use crate::validate;

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
        validate::Builder { file: file_name, raw }.build()
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
    pub fn data_buses(&self) -> u32 {
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

    /// Clocks of an all-bank refresh (the references' configurations call it by their own names); 0 if there is none.
    pub fn refresh_clocks(&self) -> u64 {
        let named = ["tRFCab", "nRFC", "tRFC"].iter().find_map(|name| self.timing(name));
        named.map_or(0, i64::unsigned_abs)
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
