//! Components: area, energy and leakage of each, from `configs/tech/components.toml`.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use lutsim_record::technology::check_band;
use lutsim_record::{Band, Kind};
use serde::Deserialize;

use crate::SiliconError;

macro_rules! components {
    ($($id:ident $name:literal [$($aspect:literal $unit:literal),*];)*) => {
        /// What cores and chips are made of.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Component {
            $(#[doc = concat!("`", $name, "` of components.toml.")] $id,)*
        }

        impl Component {
            /// Every component.
            pub const ALL: &'static [Component] = &[$(Component::$id),*];

            /// The name in the file.
            pub const fn name(self) -> &'static str {
                match self { $(Component::$id => $name,)* }
            }

            /// What the file must say of it: aspect and unit.
            pub const fn aspects(self) -> &'static [(&'static str, &'static str)] {
                match self { $(Component::$id => &[$(($aspect, $unit)),*],)* }
            }
        }
    };
}

components! {
    MuxBit "mux_bit" ["area" "um2", "energy" "fJ", "leakage" "uW"];
    FlipBit "flip_bit" ["area" "um2", "energy" "fJ", "leakage" "uW"];
    ShiftBit "shift_bit" ["area" "um2", "energy" "fJ", "leakage" "uW"];
    AdderBit "adder_bit" ["area" "um2", "energy" "fJ", "leakage" "uW"];
    ProductBit "product_bit" ["area" "um2", "energy" "fJ", "leakage" "uW"];
    InputBit "input_bit" ["energy" "fJ"];
    AccumulateBit "accumulate_bit" ["area" "um2", "energy" "fJ", "leakage" "uW"];
    FlipFlop "flip_flop" ["area" "um2", "energy" "fJ", "leakage" "uW"];
    EnabledFlipFlop "enabled_flip_flop" ["area" "um2", "energy" "fJ", "leakage" "uW"];
    Fp16Add "fp16_add" ["area" "um2", "energy" "fJ", "leakage" "uW"];
    Fp16Mul "fp16_mul" ["area" "um2", "energy" "fJ", "leakage" "uW"];
    Fp32Add "fp32_add" ["area" "um2", "energy" "fJ", "leakage" "uW"];
    Fp32Mul "fp32_mul" ["area" "um2", "energy" "fJ", "leakage" "uW"];
    Wire "wire" ["energy" "fJ/bit/mm", "pitch" "um", "layers" "layers", "repeaters" "factor"];
    Layout "layout" ["factor" "factor"];
    Instruction "instruction" ["energy" "fJ"];
    Sequencer "sequencer" ["area" "um2"];
    Controller "controller" ["area" "um2"];
    Uncore "uncore" ["power" "mW"];
}

/// A number of components.toml.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quantity {
    /// Mid value.
    pub value: f64,
    /// Low end.
    pub low: f64,
    /// High end.
    pub high: f64,
    /// Unit.
    pub unit: String,
    /// Node that it holds for, nm: 45 throughout.
    pub node_nm: u32,
    /// Supply that it holds for, V.
    pub voltage_v: f64,
    /// How it was obtained.
    pub kind: Kind,
    /// Energy of our own gate-level simulation: the node's activity factor corrects it.
    #[serde(default)]
    pub netlist: bool,
    /// Where from.
    pub source: String,
    /// How it was derived, what it includes.
    pub note: String,
}

impl Quantity {
    /// Value, low and high.
    pub fn band(&self) -> Band {
        Band { mid: self.value, low: self.low, high: self.high }
    }
}

/// Components with their numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Library {
    entries: BTreeMap<(Component, &'static str), Quantity>,
}

/// Node of the library, nm.
pub(crate) const LIBRARY_NM: u32 = 45;
/// Supply that its energies are turned to, V.
pub(crate) const LIBRARY_V: f64 = 1.1;

const FILE: &str = "components.toml";

impl Library {
    /// The library that comes with lutsim.
    pub fn builtin() -> &'static Library {
        static LIBRARY: OnceLock<Library> = OnceLock::new();
        LIBRARY.get_or_init(|| {
            let text = include_str!("../../../configs/tech/components.toml");
            Library::parse(FILE, text).unwrap_or_else(|e| panic!("built-in {e}"))
        })
    }

    /// Reads a library; `file` names it in errors.
    ///
    /// # Errors
    /// Not TOML, an unknown or missing entry, a band or a unit that does not hold.
    pub fn parse(file: &str, text: &str) -> Result<Library, SiliconError> {
        let fault =
            |place: String, message: String| SiliconError::File { file: file.to_owned(), place, message };
        let found: BTreeMap<String, BTreeMap<String, Quantity>> =
            toml::from_str(text).map_err(|e| fault(String::new(), e.to_string()))?;
        let mut entries = BTreeMap::new();
        for (name, aspects) in &found {
            let known = Component::ALL.iter().find(|c| c.name() == name);
            let component = known.ok_or_else(|| {
                let all: Vec<_> = Component::ALL.iter().map(|c| c.name()).collect();
                fault(format!(", entry `{name}`"), format!("no such component; there are {}", all.join(", ")))
            })?;
            for (aspect, quantity) in aspects {
                let place = format!(", entry `{name}.{aspect}`");
                let row = component.aspects().iter().find(|(a, _)| a == aspect);
                let (aspect, unit) = row.ok_or_else(|| fault(place.clone(), "nothing uses it".to_owned()))?;
                check(quantity, unit).map_err(|message| fault(place, message))?;
                entries.insert((*component, *aspect), quantity.clone());
            }
        }
        let needed = Component::ALL.iter().flat_map(|c| c.aspects().iter().map(move |a| (*c, a.0)));
        for (component, aspect) in needed {
            if !entries.contains_key(&(component, aspect)) {
                return Err(SiliconError::Missing {
                    what: format!("component `{}`", component.name()),
                    entry: format!("entry `{aspect}`"),
                    file: file.to_owned(),
                });
            }
        }
        Ok(Library { entries })
    }

    /// A number of a component.
    ///
    /// # Panics
    /// On an aspect that the component has not: a fault of ours.
    pub fn get(&self, component: Component, aspect: &'static str) -> &Quantity {
        self.entries
            .get(&(component, aspect))
            .unwrap_or_else(|| panic!("component `{}` has no `{aspect}`", component.name()))
    }

    /// Every number, by component and aspect.
    pub fn iter(&self) -> impl Iterator<Item = (Component, &'static str, &Quantity)> {
        self.entries.iter().map(|((component, aspect), quantity)| (*component, *aspect, quantity))
    }

    /// The library with all of a component's numbers times `factor`: to see what depends on it.
    #[must_use]
    pub fn scaled(&self, component: Component, factor: f64) -> Library {
        let mut changed = self.clone();
        for ((c, _), quantity) in &mut changed.entries {
            if *c == component {
                (quantity.value, quantity.low, quantity.high) =
                    (quantity.value * factor, quantity.low * factor, quantity.high * factor);
            }
        }
        changed
    }
}

fn check(q: &Quantity, unit: &str) -> Result<(), String> {
    check_band(q.value, q.low, q.high)?;
    if q.unit != unit {
        return Err(format!("the unit is `{}`, and must be `{unit}`", q.unit));
    }
    if q.node_nm != LIBRARY_NM {
        return Err(format!("the node is {} nm; components are given at {LIBRARY_NM} nm", q.node_nm));
    }
    if q.voltage_v <= 0.0 {
        return Err("voltage_v must be positive".to_owned());
    }
    if q.source.trim().is_empty() || q.note.trim().is_empty() {
        return Err("source and note must not be empty".to_owned());
    }
    Ok(())
}
