//! A bill of materials: how many of which component, how often each is used, summed by part.

use lutsim_record::{Band, Ordered};

use crate::{Component, Silicon};

/// One line: components of a part.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Line {
    /// The part, for instance `select`.
    pub part: &'static str,
    /// The component.
    pub component: Component,
    /// How many there are; of wires, bits times mm.
    pub count: f64,
    /// How many are used per cycle.
    pub uses: f64,
}

/// Lines of components.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bill(pub Vec<Line>);

impl Bill {
    /// Adds a line.
    pub(crate) fn line(&mut self, part: &'static str, component: Component, count: f64, uses: f64) {
        self.0.push(Line { part, component, count, uses });
    }

    /// Area by part, um2.
    pub fn area(&self, silicon: &Silicon) -> Ordered<Band> {
        self.sum(|line| match line.component {
            Component::Wire => silicon.wire_area().times(line.count),
            component => silicon.area(component).times(line.count),
        })
    }

    /// Energy by part of one cycle, joules.
    pub fn energy(&self, silicon: &Silicon) -> Ordered<Band> {
        self.sum(|line| match line.component {
            Component::Wire => silicon.wire().times(line.uses),
            component => silicon.energy(component).times(line.uses),
        })
    }

    /// Leakage by part, watts.
    pub fn leakage(&self, silicon: &Silicon) -> Ordered<Band> {
        self.sum(|line| silicon.leakage(line.component).times(line.count))
    }

    fn sum(&self, each: impl Fn(&Line) -> Band) -> Ordered<Band> {
        let mut sum = Ordered::new();
        for line in &self.0 {
            sum.add(line.part, each(line));
        }
        sum
    }
}

/// All parts together.
pub(crate) fn total(parts: &Ordered<Band>) -> Band {
    parts.iter().fold(Band::default(), |sum, (_, band)| sum + *band)
}
