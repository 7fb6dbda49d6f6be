//! Energy of a run: counts times coefficients, evaluated once, low, mid and high.
//!
//! Currents give (per device group, after the data sheets' definitions)
//! `activate = VDD (IDD0 tRC - IDD3N tRAS - IDD2N tRP)`, `read = VDD (IDD4R - IDD3N) burst`, writes alike,
//! `refresh = VDD (IDD5 - IDD3N) tRFC`, background `VDD IDD3N` with a row open and `VDD IDD2N` with all closed. Where no
//! currents are public, a standard lists energies by event instead, each with its range.

use crate::counters::Counters;
use crate::error::Error;
use crate::standard::{EventEnergy, Power, Standard};

/// Low, mid and high, in pJ.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Estimate {
    /// Low estimate.
    pub low: f64,
    /// The headline.
    pub mid: f64,
    /// High estimate.
    pub high: f64,
}

impl Estimate {
    fn times([low, mid, high]: [f64; 3], n: f64) -> Estimate {
        Estimate { low: low * n, mid: mid * n, high: high * n }
    }

    fn exactly(pj: f64) -> Estimate {
        Estimate { low: pj, mid: pj, high: pj }
    }

    fn plus(self, other: Estimate) -> Estimate {
        Estimate { low: self.low + other.low, mid: self.mid + other.mid, high: self.high + other.high }
    }
}

/// Energy by part, in pJ.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Energy {
    /// Activates with their precharges.
    pub activate: Estimate,
    /// Reads, without the pins.
    pub read: Estimate,
    /// Writes, without the pins.
    pub write: Estimate,
    /// All-bank and per-bank refreshes.
    pub refresh: Estimate,
    /// Standby with rows open.
    pub active_standby: Estimate,
    /// Standby with all rows closed.
    pub precharged_standby: Estimate,
    /// Power-down and self-refresh.
    pub idle: Estimate,
    /// Pins and PHY; absent where the standard's numbers are of the core only.
    pub interface: Option<Estimate>,
}

impl Energy {
    /// Sum of the parts there are.
    pub fn total(&self) -> Estimate {
        [self.read, self.write, self.refresh, self.active_standby, self.precharged_standby, self.idle]
            .into_iter()
            .chain(self.interface)
            .fold(self.activate, Estimate::plus)
    }
}

/// Energy of the events counted. Background clocks must be complete ([`crate::Channel::counters_at`]).
pub fn energy(s: &Standard, c: &Counters) -> Result<Energy, Error> {
    match (&s.power, &s.event_energy) {
        (Some(p), _) => by_currents(s, p, c),
        (None, Some(e)) => by_events(s, e, c),
        (None, None) => Err(Error::policy(format!("{} describes neither currents nor energies", s.name))),
    }
}

/// A coefficient that only some runs need.
fn needed<T: Default>(s: &Standard, value: Option<T>, count: u64, what: &str) -> Result<T, Error> {
    match value {
        Some(v) => Ok(v),
        None if count == 0 => Ok(T::default()),
        None => Err(Error::policy(format!("{} describes no energy for {what}", s.name))),
    }
}

/// Standby clocks outside power-down and self-refresh: with rows open, with all closed.
fn awake(c: &Counters) -> (u64, u64) {
    let asleep = c.precharged_power_down_clocks + c.self_refresh_clocks;
    (c.active_clocks - c.active_power_down_clocks, c.precharged_clocks - asleep)
}

fn by_currents(s: &Standard, p: &Power, c: &Counters) -> Result<Energy, Error> {
    // V x mA x ns = pJ
    let unit = p.vdd * p.devices * 1e9 / s.clock();
    let part = |count: u64, ma_clocks: f64| Estimate::exactly(count as f64 * ma_clocks * unit);
    let refresh = part(c.refreshes, (p.idd5ab - p.idd3n) * p.trfc);
    let idd5pb = needed(s, p.idd5pb, c.bank_refreshes, "per-bank refreshes")?;
    let bank_refresh = part(c.bank_refreshes, (idd5pb - p.idd3n) * p.trfcpb);
    let (active, precharged) = awake(c);
    let idd3p = needed(s, p.idd3p, c.active_power_down_clocks, "active power-down")?;
    let idd2p = needed(s, p.idd2p, c.precharged_power_down_clocks, "precharged power-down")?;
    let idd6 = needed(s, p.idd6, c.self_refresh_clocks, "self-refresh")?;
    Ok(Energy {
        activate: part(c.activates, p.idd0 * (p.tras + p.trp) - p.idd3n * p.tras - p.idd2n * p.trp),
        read: part(c.reads, (p.idd4r - p.idd3n) * p.burst_clocks),
        write: part(c.writes, (p.idd4w - p.idd3n) * p.burst_clocks),
        refresh: refresh.plus(bank_refresh),
        active_standby: part(active, p.idd3n),
        precharged_standby: part(precharged, p.idd2n),
        idle: part(c.active_power_down_clocks, idd3p)
            .plus(part(c.precharged_power_down_clocks, idd2p))
            .plus(part(c.self_refresh_clocks, idd6)),
        interface: None,
    })
}

fn by_events(s: &Standard, e: &EventEnergy, c: &Counters) -> Result<Energy, Error> {
    let bits = 8.0 * s.request_bytes as f64;
    let (read_bits, write_bits) = (c.reads as f64 * bits, c.writes as f64 * bits);
    let bank_refresh = needed(s, e.bank_refresh_pj, c.bank_refreshes, "per-bank refreshes")?;
    let bank_refresh = Estimate::times(bank_refresh, c.bank_refreshes as f64);
    let down = c.active_power_down_clocks + c.precharged_power_down_clocks;
    let power_down = needed(s, e.power_down_mw, down, "power-down")?;
    let self_refresh = needed(s, e.self_refresh_mw, c.self_refresh_clocks, "self-refresh")?;
    let (active, precharged) = awake(c);
    // mW x ns = pJ
    let ns = 1e9 / s.clock();
    Ok(Energy {
        activate: Estimate::times(e.activate_pj, c.activates as f64),
        read: Estimate::times(e.read_pj_per_bit, read_bits),
        write: Estimate::times(e.write_pj_per_bit, write_bits),
        refresh: Estimate::times(e.refresh_pj, c.refreshes as f64).plus(bank_refresh),
        active_standby: Estimate::times(e.active_mw, active as f64 * ns),
        precharged_standby: Estimate::times(e.precharged_mw, precharged as f64 * ns),
        idle: Estimate::times(power_down, down as f64 * ns)
            .plus(Estimate::times(self_refresh, c.self_refresh_clocks as f64 * ns)),
        interface: Some(Estimate::times(e.interface_pj_per_bit, read_bits + write_bits)),
    })
}
