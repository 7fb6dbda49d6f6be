//! Shapes of look-up cores: area and energy per useful multiply-accumulate, and the front on which neither can be had for less of
//! the other.

use lutsim_record::{Band, Ordered};
use lutsim_tech::{Charged, Core, Kind, Plan, Shape, Silicon, SiliconError};

use crate::silicon::total;

/// What is swept.
#[derive(Clone, Debug, PartialEq)]
pub struct Sweep {
    /// Activation rows.
    pub m: Vec<u32>,
    /// Weight columns.
    pub n: Vec<u32>,
    /// Activations per table.
    pub k: Vec<u32>,
    /// Tables per accumulator.
    pub groups: Vec<u32>,
    /// Bits of accumulators; those that cannot hold a group's sum are left out.
    pub accumulator_bits: Vec<u32>,
    /// Bits of table entries; none is exact, whatever that takes.
    pub entry_bits: Vec<Option<u32>>,
    /// One-bit products per cycle, give or take a quarter, so that cores of like size are compared; none compares all.
    pub positions: Option<u32>,
}

/// What the cores work on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work {
    /// Bits of the weights.
    pub weight_bits: u32,
    /// Rows of activations.
    pub rows: u32,
    /// Weights along the reduction that share a scale: sums of so many products are exact.
    pub group: u32,
}

/// A shape and what a useful multiply-accumulate costs on it.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// The shape.
    pub shape: Shape,
    /// Whether its entries hold every sum.
    pub exact: bool,
    /// Area by part per useful multiply-accumulate and cycle, um2.
    pub area: Ordered<Band>,
    /// Energy by part of a useful multiply-accumulate, joules; `operands` is reading and bringing them.
    pub energy: Ordered<Band>,
}

impl Point {
    /// um2 and joules, mid.
    pub fn at(&self) -> (f64, f64) {
        (total(&self.area).mid, total(&self.energy).mid)
    }

    /// As good in both and better in one.
    pub fn dominates(&self, other: &Point) -> bool {
        let ((a, e), (b, f)) = (self.at(), other.at());
        a <= b && e <= f && (a < b || e < f)
    }
}

/// Shapes of one chip's cores.
pub struct Explorer<'a> {
    silicon: &'a Silicon,
    own: Shape,
    work: Work,
    charged: Charged,
    cores: u32,
    /// Joules of reading a bit of an operand from the scratchpad, once for all cores that take it.
    read: Band,
    /// Joules of bringing it to one core.
    bring: Band,
}

impl<'a> Explorer<'a> {
    /// For the cores of a chip; operands come as far as on it.
    ///
    /// # Errors
    /// A chip that cannot be built.
    pub fn new(
        plan: &Plan,
        silicon: &'a Silicon,
        work: Work,
        charged: Charged,
    ) -> Result<Self, SiliconError> {
        let events = plan.events(silicon)?;
        let bit = |name: &str| match charged.wires {
            true => events.band(name, "pJ/byte").unwrap_or_default().times(1e-12 / 8.0),
            false => Band::default(),
        };
        let (read, bring) = (bit("scratchpad_read"), bit("wire_weights"));
        let (own, cores) = (plan.cores.core.shape, plan.cores.count);
        Ok(Self { silicon, own, work, charged, cores, read, bring })
    }

    /// Bits that hold the sum of a group's products in every case.
    fn sum_bits(&self, shape: Shape, exact: bool) -> u32 {
        let largest = match exact {
            true => 127 * u64::from(self.work.group),
            // A rounded entry is at most as large as its bits hold.
            false => {
                let tables = u64::from(self.work.group.div_ceil(shape.k));
                tables * ((1 << (shape.entry_bits - 1)) - 1)
            }
        };
        let sum = largest * ((1 << self.work.weight_bits) - 1);
        1 + (u64::BITS - sum.leading_zeros())
    }

    /// What a shape costs.
    ///
    /// # Errors
    /// It cannot be built, or its accumulator does not hold a group's sum.
    pub fn point(&self, shape: Shape) -> Result<Point, SiliconError> {
        let core = Core { kind: Kind::Lut, shape, builders: shape.m * shape.groups };
        core.check()?;
        let exact = shape.entry_bits >= Shape::lut(1, 1, shape.k, 32).entry_bits;
        let needed = self.sum_bits(shape, exact);
        if shape.accumulator_bits < needed {
            let why = format!(
                "sums of groups of {} with weights of {} bits take {needed} bits, its accumulator has {}",
                self.work.group, self.work.weight_bits, shape.accumulator_bits
            );
            return Err(SiliconError::Shape { shape: shape.to_string(), why });
        }
        let filled = |all: u32, step: u32| f64::from(all) / f64::from(all.div_ceil(step) * step);
        let useful = filled(self.work.rows, shape.m) * filled(self.work.group, shape.k * shape.groups);
        let w = self.work.weight_bits;
        let macs = core.macs_per_cycle(w) * useful;
        let per = |parts: Ordered<Band>, by: f64| -> Ordered<Band> {
            parts.iter().map(|(name, band)| (name, band.times(1.0 / by))).collect()
        };
        let mut energy = per(core.energy_per_mac(self.silicon, w, self.charged), useful);
        energy.add("operands", self.operands(shape).times(1.0 / macs));
        Ok(Point { shape, exact, area: per(core.area(self.silicon, self.charged), macs), energy })
    }

    /// Joules of one core's operands in a cycle: a bit-plane of weights, and activations once for all planes. Cores stand in a grid near
    /// to square, of no more rows than there is work for: a row shares its activations' reads, a column its weights'.
    fn operands(&self, shape: Shape) -> Band {
        let reach = f64::from(shape.k * shape.groups);
        let square = f64::from(self.cores).sqrt().floor() as u32;
        let down = square.clamp(1, self.work.rows.div_ceil(shape.m));
        let across = (self.cores / down).max(1);
        let weights = f64::from(shape.n) * reach;
        let activations = f64::from(shape.m) * reach * 8.0 / f64::from(self.work.weight_bits);
        let reads = weights / f64::from(down) + activations / f64::from(across);
        self.read.times(reads) + self.bring.times(weights + activations)
    }

    /// Every shape of a sweep that can be built and holds its sums; how many do not.
    ///
    /// # Errors
    /// A table that cannot be built; none of the shapes can.
    pub fn sweep(&self, sweep: &Sweep) -> Result<(Vec<Point>, usize), SiliconError> {
        for &k in &sweep.k {
            Shape::lut(1, 1, k, 64).check_tables()?;
        }
        let (mut points, mut refused, mut first) = (Vec::new(), 0, None);
        let like = |shape: &Shape| {
            sweep.positions.is_none_or(|p| (0.75..=1.25).contains(&(shape.positions() / f64::from(p))))
        };
        for shape in self.shapes(sweep).into_iter().filter(like) {
            match self.point(shape) {
                Ok(point) => points.push(point),
                Err(error) => {
                    refused += 1;
                    first.get_or_insert(error);
                }
            }
        }
        match (points.is_empty(), first) {
            (true, Some(error)) => Err(error),
            (true, None) => Err(SiliconError::Shape {
                shape: format!("{} one-bit products per cycle", sweep.positions.unwrap_or(0)),
                why: "no shape of the sweep has so many, give or take a quarter".into(),
            }),
            _ => Ok((points, refused)),
        }
    }

    fn shapes(&self, sweep: &Sweep) -> Vec<Shape> {
        let mut shapes = Vec::new();
        for (&m, &n) in sweep.m.iter().flat_map(|m| sweep.n.iter().map(move |n| (m, n))) {
            for (&k, &groups) in sweep.k.iter().flat_map(|k| sweep.groups.iter().map(move |g| (k, g))) {
                for (&bits, entry) in
                    sweep.accumulator_bits.iter().flat_map(|b| sweep.entry_bits.iter().map(move |e| (b, e)))
                {
                    let exact = Shape::lut(m, n, k, bits);
                    let entry_bits = entry.unwrap_or(exact.entry_bits);
                    shapes.push(Shape { groups, entry_bits, planes: self.own.planes, ..exact });
                }
            }
        }
        shapes
    }

    /// The chip's own shape.
    ///
    /// # Errors
    /// It does not hold its sums.
    pub fn own(&self) -> Result<Point, SiliconError> {
        self.point(self.own)
    }
}

/// Those that none dominates, smallest first.
pub fn front<'a>(points: impl IntoIterator<Item = &'a Point>) -> Vec<&'a Point> {
    let mut sorted: Vec<&Point> = points.into_iter().collect();
    sorted.sort_by(|a, b| a.at().0.total_cmp(&b.at().0).then(a.at().1.total_cmp(&b.at().1)));
    let mut best = f64::INFINITY;
    sorted.retain(|p| {
        let better = p.at().1 < best;
        best = best.min(p.at().1);
        better
    });
    sorted
}

/// The point of the front that dominates `own` and is least in the product of both; none if none does.
pub fn better<'a>(front: &[&'a Point], own: &Point) -> Option<&'a Point> {
    let product = |p: &Point| p.at().0 * p.at().1;
    let those = front.iter().copied().filter(|p| p.dominates(own));
    those.min_by(|a, b| product(a).total_cmp(&product(b)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(area: f64, energy: f64) -> Point {
        let parts = |x: f64| [("all", Band { mid: x, low: x, high: x })].into_iter().collect();
        Point { shape: Shape::lut(2, 64, 4, 24), exact: true, area: parts(area), energy: parts(energy) }
    }

    #[test]
    fn a_front_holds_what_nothing_dominates() {
        let points = [point(1.0, 5.0), point(2.0, 3.0), point(2.0, 4.0), point(3.0, 3.0), point(4.0, 1.0)];
        let at: Vec<_> = front(&points).iter().map(|p| p.at()).collect();
        assert_eq!(at, [(1.0, 5.0), (2.0, 3.0), (4.0, 1.0)]);
        let whole = front(&points);
        assert_eq!(better(&whole, &point(3.0, 3.0)).unwrap().at(), (2.0, 3.0));
        assert!(better(&whole, &point(2.0, 3.0)).is_none());
    }
}
