//! A library at a node and a supply: what a component costs there.

use lutsim_record::Band;

use crate::library::LIBRARY_V;
use crate::node::{self, Node};
use crate::{Component, Library, Macros, SiliconError};

/// A library at a node.
#[derive(Clone, Debug)]
pub struct Silicon {
    library: Library,
    /// The node.
    pub node: &'static Node,
    /// Supply, V.
    pub voltage_v: f64,
    /// Factor on energy for a supply that is not the node's own.
    supply: Band,
}

/// The product of two bands of positive numbers.
pub(crate) fn product(a: Band, b: Band) -> Band {
    Band { mid: a.mid * b.mid, low: a.low * b.low, high: a.high * b.high }
}

impl Silicon {
    /// The built-in library at a node, at its own supply.
    pub fn at(node: &'static Node) -> Silicon {
        let one = Band { mid: 1.0, low: 1.0, high: 1.0 };
        Silicon { library: Library::builtin().clone(), node, voltage_v: node.voltage_v, supply: one }
    }

    /// The same at another supply.
    ///
    /// # Errors
    /// It is too far from the node's own.
    pub fn at_voltage(self, volts: f64) -> Result<Silicon, SiliconError> {
        let (rule, own) = (&node::file().voltage, self.node.voltage_v);
        let ratio = volts / own;
        if !(ratio.is_finite() && (ratio - 1.0).abs() <= rule.span + 1e-9) {
            return Err(SiliconError::Voltage {
                voltage: volts.to_string(),
                own: own.to_string(),
                nm: self.node.nm,
                percent: (rule.span * 100.0).round() as u32,
            });
        }
        let e = rule.exponent.band();
        let (a, b) = (ratio.powf(e.low), ratio.powf(e.high));
        let supply = Band { mid: ratio.powf(e.mid), low: a.min(b), high: a.max(b) };
        Ok(Silicon { voltage_v: volts, supply, ..self })
    }

    /// The same with another library.
    #[must_use]
    pub fn with_library(self, library: Library) -> Silicon {
        Silicon { library, ..self }
    }

    /// The library.
    pub fn library(&self) -> &Library {
        &self.library
    }

    /// Area of one, um2.
    pub fn area(&self, component: Component) -> Band {
        match component.aspects().iter().any(|(a, _)| *a == "area") {
            true => product(self.library.get(component, "area").band(), self.node.area.band()),
            false => Band::default(),
        }
    }

    /// Energy of one use, joules.
    pub fn energy(&self, component: Component) -> Band {
        let q = self.library.get(component, "energy");
        let to_library = (q.voltage_v / LIBRARY_V).powf(-node::file().voltage.exponent.band().mid);
        let at_node = product(q.band().times(1e-15 * to_library), self.node.energy.band());
        let corrected = if q.netlist { product(at_node, self.node.activity.band()) } else { at_node };
        product(corrected, self.supply)
    }

    /// Leakage of one, watts.
    pub fn leakage(&self, component: Component) -> Band {
        match component.aspects().iter().any(|(a, _)| *a == "leakage") {
            true => {
                product(self.library.get(component, "leakage").band().times(1e-6), self.node.leakage.band())
            }
            false => Band::default(),
        }
    }

    /// Energy of one bit over one mm of wire, joules: it goes with the square of the supply, not with the node.
    pub fn wire(&self) -> Band {
        let q = self.library.get(Component::Wire, "energy");
        q.band().times(1e-15 * (self.voltage_v / q.voltage_v).powi(2))
    }

    /// What repeaters and pipeline registers of long wires add.
    pub fn repeaters(&self) -> Band {
        self.library.get(Component::Wire, "repeaters").band()
    }

    /// Area that one mm of a broadcast wire takes from the cells below, um2.
    pub fn wire_area(&self) -> Band {
        let (pitch, layers) = (
            self.library.get(Component::Wire, "pitch").band(),
            self.library.get(Component::Wire, "layers").band(),
        );
        let shrink = self.node.area.band().mid.sqrt() * 1e3;
        Band {
            mid: pitch.mid * shrink / layers.mid,
            low: pitch.low * shrink / layers.high,
            high: pitch.high * shrink / layers.low,
        }
    }

    /// Chip area of logic over that of its cells.
    pub fn layout(&self) -> Band {
        self.library.get(Component::Layout, "factor").band()
    }

    /// What is always on at 1 GHz, watts.
    pub fn uncore(&self) -> Band {
        let q = self.library.get(Component::Uncore, "power");
        product(product(q.band().times(1e-3), self.node.energy.band()), self.supply)
    }

    /// SRAM macros at this node.
    pub fn macros(&self) -> Macros {
        Macros::at(self.node, self.supply)
    }
}
