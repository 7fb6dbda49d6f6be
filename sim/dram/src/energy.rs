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
    /// Pins and PHY; absent where the standard's numbers are of the core only.
    pub interface: Option<Estimate>,
}

impl Energy {
    /// Sum of the parts there are.
    pub fn total(&self) -> Estimate {
        [self.read, self.write, self.refresh, self.active_standby, self.precharged_standby]
            .into_iter()
            .chain(self.interface)
            .fold(self.activate, Estimate::plus)
    }
}

/// Energy of the events counted. Background clocks must be complete ([`crate::Channel::counters_at`]).
pub fn energy(s: &Standard, c: &Counters) -> Result<Energy, Error> {
    match (&s.power, &s.event_energy) {
        (Some(p), _) => Ok(by_currents(s, p, c)),
        (None, Some(e)) => by_events(s, e, c),
        (None, None) => Err(Error::policy(format!("{} describes neither currents nor energies", s.name))),
    }
}

fn by_currents(s: &Standard, p: &Power, c: &Counters) -> Energy {
    // V x mA x ns = pJ
    let unit = p.vdd * p.devices * 1e9 / s.clock();
    let part = |count: u64, ma_clocks: f64| Estimate::exactly(count as f64 * ma_clocks * unit);
    let refresh = part(c.refreshes, (p.idd5ab - p.idd3n) * p.trfc);
    let bank_refresh = part(c.bank_refreshes, (p.idd5pb.unwrap_or(p.idd5ab) - p.idd3n) * p.trfcpb);
    Energy {
        activate: part(c.activates, p.idd0 * (p.tras + p.trp) - p.idd3n * p.tras - p.idd2n * p.trp),
        read: part(c.reads, (p.idd4r - p.idd3n) * p.burst_clocks),
        write: part(c.writes, (p.idd4w - p.idd3n) * p.burst_clocks),
        refresh: refresh.plus(bank_refresh),
        active_standby: part(c.active_clocks, p.idd3n),
        precharged_standby: part(c.precharged_clocks, p.idd2n),
        interface: None,
    }
}

fn by_events(s: &Standard, e: &EventEnergy, c: &Counters) -> Result<Energy, Error> {
    let bits = 8.0 * s.request_bytes as f64;
    let (read_bits, write_bits) = (c.reads as f64 * bits, c.writes as f64 * bits);
    let bank_refresh = match e.bank_refresh_pj {
        Some(pj) => Estimate::times(pj, c.bank_refreshes as f64),
        None if c.bank_refreshes == 0 => Estimate::default(),
        None => return Err(Error::policy(format!("{} has no energy for per-bank refreshes", s.name))),
    };
    // mW x ns = pJ
    let ns = 1e9 / s.clock();
    Ok(Energy {
        activate: Estimate::times(e.activate_pj, c.activates as f64),
        read: Estimate::times(e.read_pj_per_bit, read_bits),
        write: Estimate::times(e.write_pj_per_bit, write_bits),
        refresh: Estimate::times(e.refresh_pj, c.refreshes as f64).plus(bank_refresh),
        active_standby: Estimate::times(e.active_mw, c.active_clocks as f64 * ns),
        precharged_standby: Estimate::times(e.precharged_mw, c.precharged_clocks as f64 * ns),
        interface: Some(Estimate::times(e.interface_pj_per_bit, read_bits + write_bits)),
    })
}
