//! Cores of several kinds beside each other: area, power, TOPS/mm2 and TOPS/W per weight width, and which constants they rest on.

use lutsim_record::{Band, Ordered};
use lutsim_tech::{Charged, Component, Core, Kind, Plan, Silicon, SiliconError};

use crate::silicon::total;

/// What all kinds have alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Equal {
    /// Square millimetres of all cores.
    Area,
    /// Operations per second, at each weight width.
    Throughput,
    /// Watts at full use, at each weight width.
    Power,
}

/// A kind at a weight width, as many of its cores as are alike with the chip's own.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The core.
    pub core: Core,
    /// Bits of the weights.
    pub weight_bits: u32,
    /// How many cores: a fraction, so that the comparison is exact.
    pub cores: f64,
    /// Operations per second, two per multiply-accumulate.
    pub ops: f64,
    /// Area by part, mm2.
    pub area: Ordered<Band>,
    /// Power at full use by part, W, leakage as a part of its own.
    pub power: Ordered<Band>,
}

impl Entry {
    /// TOPS/mm2.
    pub fn density(&self) -> Band {
        per(self.ops * 1e-12, total(&self.area))
    }
    /// TOPS/W.
    pub fn efficiency(&self) -> Band {
        per(self.ops * 1e-12, total(&self.power))
    }
}

/// The quotient: low where what it is divided by is high.
fn per(value: f64, by: Band) -> Band {
    Band { mid: value / by.mid, low: value / by.high, high: value / by.low }
}

/// Weight widths that are compared.
pub const WIDTHS: [u32; 4] = [1, 2, 4, 8];

/// A comparison.
#[derive(Clone, Debug)]
pub struct Comparison<'a> {
    /// The chip: its cores are what the others are compared with.
    pub plan: &'a Plan,
    /// Where they are made.
    pub silicon: &'a Silicon,
    /// Clock, Hz.
    pub clock_hz: u64,
    /// What is charged.
    pub charged: Charged,
    /// What is alike.
    pub equal: Equal,
}

impl Comparison<'_> {
    /// All kinds at all weight widths, kinds in the order given.
    ///
    /// # Errors
    /// A core that cannot be built.
    pub fn entries(&self, kinds: &[Kind]) -> Result<Vec<Entry>, SiliconError> {
        let widths = WIDTHS.into_iter().map(|bits| self.entries_at(kinds, bits));
        Ok(widths.collect::<Result<Vec<_>, _>>()?.concat())
    }

    /// All kinds at one weight width.
    ///
    /// # Errors
    /// A core that cannot be built.
    pub fn entries_at(&self, kinds: &[Kind], weight_bits: u32) -> Result<Vec<Entry>, SiliconError> {
        let own = self.plan.cores.core;
        own.check()?;
        let reference = self.of(own, weight_bits, f64::from(self.plan.cores.count));
        let entry = |&kind: &Kind| {
            let core = match kind {
                Kind::Lut => own,
                kind => Core::usual(kind, own.shape),
            };
            core.check()?;
            let one = self.of(core, weight_bits, 1.0);
            let cores = match self.equal {
                Equal::Area => total(&reference.area).mid / total(&one.area).mid,
                Equal::Throughput => reference.ops / one.ops,
                Equal::Power => total(&reference.power).mid / total(&one.power).mid,
            };
            Ok(self.of(core, weight_bits, cores))
        };
        kinds.iter().map(entry).collect()
    }

    fn of(&self, core: Core, weight_bits: u32, cores: f64) -> Entry {
        let rate = core.macs_per_cycle(weight_bits) * self.clock_hz as f64;
        let scale = |parts: Ordered<Band>, by: f64| -> Ordered<Band> {
            parts.iter().map(|(name, band)| (name, band.times(by))).collect()
        };
        let energy = core.energy_per_mac(self.silicon, weight_bits, self.charged);
        let mut power = scale(energy, rate * cores);
        power.add("leakage", core.leakage(self.silicon, self.charged).times(cores));
        Entry {
            core,
            weight_bits,
            cores,
            ops: 2.0 * rate * cores,
            area: scale(core.area(self.silicon, self.charged), 1e-6 * cores),
            power,
        }
    }

    /// How much of a core's area and power at a weight width each component carries: per cent that it moves by when the component's
    /// numbers are 1 % larger. Largest first.
    pub fn dominating(&self, core: Core, weight_bits: u32) -> [Vec<(Component, f64)>; 2] {
        let step = 1e-3;
        let figures = |silicon: &Silicon| {
            let entry = Comparison { silicon, ..self.clone() }.of(core, weight_bits, 1.0);
            [total(&entry.area).mid, total(&entry.power).mid]
        };
        let before = figures(self.silicon);
        let mut shares: [Vec<(Component, f64)>; 2] = Default::default();
        for &component in Component::ALL {
            let library = self.silicon.library().scaled(component, 1.0 + step);
            let after = figures(&self.silicon.clone().with_library(library));
            for (i, list) in shares.iter_mut().enumerate() {
                list.push((component, (after[i] / before[i] - 1.0) / step));
            }
        }
        for list in &mut shares {
            list.retain(|(_, share)| share.abs() > 0.005);
            list.sort_by(|a, b| b.1.abs().total_cmp(&a.1.abs()));
        }
        shares
    }
}
