//! The structural model against what it was fitted to, what came before it, and its own laws.

use lutsim_record::{Band, Ordered, Tech};
use lutsim_tech::*;
use proptest::prelude::*;

fn total(parts: &Ordered<Band>) -> Band {
    parts.iter().fold(Band::default(), |sum, (_, b)| sum + *b)
}

fn at(nm: u32) -> Silicon {
    Silicon::at(Node::find(nm).unwrap())
}

/// Components as they were measured: no node, no activity.
fn bare(bill: &Bill, aspect: &'static str) -> f64 {
    let library = Library::builtin();
    let each = |line: &Line| {
        let has = line.component.aspects().iter().any(|(a, _)| *a == aspect);
        let amount = if aspect == "energy" { line.uses } else { line.count };
        if has { amount * library.get(line.component, aspect).value } else { 0.0 }
    };
    bill.0.iter().map(each).sum()
}

/// A row of the synthesis table: its name, a core of one element, area, energy and leakage, and what these are divided by.
type Measured = (String, Option<Bill>, [Option<f64>; 3], f64);

/// The synthesis table.
fn measured() -> Vec<Measured> {
    let mut reader = csv::Reader::from_path("tests/synthesis.csv").unwrap();
    let rows = reader.records().map(Result::unwrap);
    rows.map(|row| {
        let int = |i: usize| row[i].parse::<u32>().unwrap_or(0);
        let shape = Shape {
            m: 1,
            n: 1,
            k: int(2).max(int(6)),
            groups: int(4).max(1),
            entry_bits: int(1).max(1),
            accumulator_bits: int(9).max(1),
            planes: 1 << int(3),
            activation: Activation::Int8,
        };
        let array =
            |kind: Kind, shape: Shape| Core { kind, shape, builders: 1 }.bill(&at(45), 1, Charged::ARRAY);
        let scaled = |bill: Bill, n: f64| {
            Bill(bill.0.iter().map(|l| Line { count: n * l.count, uses: n * l.uses, ..*l }).collect())
        };
        let table =
            |bits: f64| Line { part: "table", component: Component::EnabledFlipFlop, count: bits, uses: 0.0 };
        let mut product = 1.0;
        let bill = match &row[0] {
            "lut" => {
                let mut bill = array(Kind::Lut, shape);
                bill.0.push(table(f64::from(int(5) * int(1) * 8)));
                Some(bill)
            }
            "array" => {
                let mut bill = scaled(array(Kind::Lut, shape), 128.0);
                bill.0.push(table(128.0));
                Some(bill)
            }
            "add" => Some(array(Kind::Add, shape)),
            "table" => Some(Bill(vec![table(64.0)])),
            // Products of other widths than a kind has: of two bits, scaled.
            "mac" => {
                product = f64::from(int(7) * int(8)) / 16.0;
                Some(array(Kind::MacInt2, shape))
            }
            _ => None,
        };
        let number = |i: usize| row[i].parse::<f64>().ok();
        (row.iter().collect::<Vec<_>>().join(","), bill, [number(10), number(11), number(12)], product)
    })
    .collect()
}

#[test]
fn components_add_up_to_what_was_synthesised() {
    let mut worst = [0.0_f64; 3];
    for (name, bill, numbers, product) in measured() {
        let Some(mut bill) = bill else { continue };
        for line in &mut bill.0 {
            if line.component == Component::ProductBit {
                (line.count, line.uses) = (line.count * product, line.uses * product);
            }
        }
        for (i, aspect) in ["area", "energy", "leakage"].into_iter().enumerate() {
            let Some(found) = numbers[i] else { continue };
            let residual = bare(&bill, aspect) / found - 1.0;
            assert!(residual.abs() < 0.1, "{aspect} of {name}: {:+.1} %", 100.0 * residual);
            worst[i] = worst[i].max(residual.abs());
        }
    }
    // The bands of components.toml name these.
    let rounded = worst.map(|w| (w * 1000.0).round() / 10.0);
    assert_eq!(rounded, [8.3, 9.4, 9.0]);
}

/// The two factors of 28 nm are fitted on the INT8 tensor core and on nothing else.
#[test]
fn the_int8_tensor_core_is_met_at_28_nm() {
    let core = Core::usual(Kind::MacInt8, Shape { planes: 4, ..Shape::lut(2, 64, 4, 32) });
    let (silicon, macs) = (at(28), 512.0);
    let um2 = total(&core.area(&silicon, Charged::ARRAY)).mid / macs;
    // 0.312 mm2 for 2048 multiply-accumulates; two operations each at 19.94 TOPS/W.
    assert!((um2 / (0.312e6 / 2048.0) - 1.0).abs() < 2e-3, "{um2}");
    let joules = total(&core.energy_per_mac(&silicon, 8, Charged::ARRAY)).mid;
    assert!((joules / (2.0 / 19.94e12) - 1.0).abs() < 2e-3, "{joules}");
}

fn phone() -> Plan {
    let shape = Shape::lut(2, 64, 4, 24);
    Plan {
        cores: Cores {
            count: 16,
            core: Core { kind: Kind::Lut, shape, builders: 2 },
            drain_lanes: 4,
            mac_lanes: 0,
        },
        scratchpad: Scratchpad { bytes: 4 << 20, banks: 32, bank_bytes: 32 },
        vector: Vector { lanes: 64, special_lanes: 16 },
        dma: Dma { buffer_bytes: 512 * 32, port_bytes: 128, unpacker_bytes: 128 },
        sequencer: Sequencer { queue_depth: 16, buffer_bytes: 16 << 10 },
        dram: Dram {
            channels: 4,
            bytes: 12 << 30,
            technology: "lpddr5x".into(),
            phy_mm2: Band { mid: 1.2, low: 0.6, high: 2.5 },
            usd_per_gb: Band { mid: 5.0, low: 2.5, high: 10.0 },
        },
    }
}

/// The table that it replaces was measured for this shape.
#[test]
fn events_lie_within_the_bands_of_the_former_table() {
    let former = [
        (28, include_str!("../../record/tests/data/28nm.toml")),
        (7, include_str!("../../record/tests/data/7nm.toml")),
    ];
    for (nm, text) in former {
        let events = phone().events(&at(nm)).unwrap();
        for (name, old) in Tech::parse("former", text).unwrap().iter() {
            // The two were one line: only their sum was measured.
            if name.starts_with("lut_select") || name.starts_with("lut_accumulate") {
                continue;
            }
            let new = events.entry(name).unwrap_or_else(|| panic!("{nm} nm: no {name}"));
            let scale = if new.unit == old.unit { 1.0 } else { 1e-3 };
            let value = new.value * scale;
            assert!(
                (old.low..=old.high).contains(&value),
                "{nm} nm, {name}: {value:.4} is outside {} to {} (was {})",
                old.low,
                old.high,
                old.value
            );
        }
        let of = |table: &Tech| {
            let band = |name: &str| table.band(name, "fJ").unwrap();
            band("lut_select") + band("lut_accumulate")
        };
        let (old, new) = (of(&Tech::parse("former", text).unwrap()), of(&events));
        assert!((old.low..=old.high).contains(&new.mid), "{nm} nm: {new:?} is outside {old:?}");
    }
}

#[test]
fn a_change_of_shape_changes_area_and_energy() {
    let silicon = at(7);
    let select = |plan: &Plan| {
        let events = plan.events(&silicon).unwrap();
        let value = |name: &str| events.entry(name).unwrap().value;
        value("lut_select") + value("lut_accumulate")
    };
    let area = |plan: &Plan| total(&plan.area(&silicon).unwrap()).mid;
    let with = |m, n, k, bits| {
        let mut plan = phone();
        plan.cores.core.shape = Shape::lut(m, n, k, bits);
        plan
    };
    assert!(select(&with(2, 64, 4, 20)) < select(&phone()));
    assert!(select(&with(2, 64, 5, 24)) > select(&phone()));
    assert!(area(&with(2, 64, 4, 32)) > area(&phone()) && area(&with(4, 64, 4, 24)) > area(&phone()));
    let mut banks = phone();
    banks.scratchpad.bytes *= 2;
    assert!(area(&banks) > area(&phone()));
    let wires = |plan: &Plan| plan.events(&silicon).unwrap().entry("wire_tables").unwrap().value;
    assert!(wires(&with(2, 128, 4, 24)) > 1.9 * wires(&phone()));
}

#[test]
fn a_smaller_node_is_smaller_and_cheaper_per_event() {
    for pair in nodes().windows(2).filter(|p| p[0].nm != 16) {
        let (old, new) = (Silicon::at(&pair[0]), Silicon::at(&pair[1]));
        let logic = Component::AccumulateBit;
        assert!(new.area(logic).mid < old.area(logic).mid && new.energy(logic).mid < old.energy(logic).mid);
        assert!(total(&phone().area(&new).unwrap()).mid < total(&phone().area(&old).unwrap()).mid);
    }
    assert!(Node::find(5).unwrap().extrapolated && !Node::find(7).unwrap().extrapolated);
}

#[test]
fn what_has_no_source_is_refused() {
    let message = |e: SiliconError| e.to_string();
    assert_eq!(
        message(Node::named("65").unwrap_err()),
        "no node of 65 nm has a source; there are 45, 32, 28, 22, 20, 16, 14, 10, 7, 5"
    );
    assert_eq!(
        message(at(28).at_voltage(0.6).unwrap_err()),
        "0.6 V is too far from the 0.9 V of 28 nm: the factors hold within 20 %"
    );
    let macros = at(28).macros();
    assert_eq!(
        message(macros.one(4 << 20, 256).unwrap_err()),
        "no SRAM macro of 4194304 bytes x 256 bits at 28 nm: of 256 bits the table has 1024 to 2097152 bytes"
    );
    assert_eq!(
        message(macros.one(4096, 16).unwrap_err()),
        "no SRAM macro of 4096 bytes x 16 bits at 28 nm: the table has widths of 32 to 512 bits"
    );
    let text = include_str!("../../../configs/tech/components.toml");
    let file = |text: &str| message(Library::parse("mine.toml", text).unwrap_err());
    let start = text.find("[wire.pitch]").unwrap();
    let end = text.find("[wire.layers]").unwrap();
    assert_eq!(
        file(&format!("{}{}", &text[..start], &text[end..])),
        "component `wire` has no entry `pitch` in mine.toml: a missing entry is never counted as zero"
    );
    assert_eq!(
        file(&text.replacen("value = 9.68", "value = -9.68", 1)),
        "technology `mine.toml`, entry `mux_bit.energy`: value, low and high must be finite and not negative"
    );
    assert_eq!(
        file(&text.replacen("low = 8.94", "low = 10.2", 1)),
        "technology `mine.toml`, entry `mux_bit.energy`: low 10.2 <= value 9.68 <= high 10.6 does not hold"
    );
    assert_eq!(
        file(&text.replacen("unit = \"fJ\"", "unit = \"pJ\"", 1)),
        "technology `mine.toml`, entry `mux_bit.energy`: the unit is `pJ`, and must be `fJ`"
    );
}

#[test]
fn macros_are_interpolated_between_their_neighbours() {
    let macros = at(28).macros();
    // CACTI's own point: 128 KiB x 256 bits reads at 28.1882 pJ, 0.168155 mm2.
    let point = macros.one(128 << 10, 256).unwrap();
    assert!((point.read.mid - 28.1882e-12).abs() < 1e-15 && (point.area.mid - 0.168155).abs() < 1e-9);
    let (below, above) = (macros.one(128 << 10, 256).unwrap(), macros.one(256 << 10, 256).unwrap());
    let between = macros.one(185_364, 256).unwrap();
    let middle = (below.read.mid * above.read.mid).sqrt();
    assert!((between.read.mid / middle - 1.0).abs() < 1e-4);
    // Wider and larger than any macro: several.
    assert_eq!(Bank::of(128 << 10, 1024), Bank { wide: 2, deep: 1, bytes: 64 << 10, bits: 512 });
    assert_eq!(Bank::of(8 << 20, 32), Bank { wide: 1, deep: 4, bytes: 2 << 20, bits: 32 });
    assert_eq!(Bank::of(100, 8), Bank { wide: 1, deep: 1, bytes: 1024, bits: 32 });
}

#[test]
fn a_die_costs_more_than_its_share_of_a_wafer() {
    let node = Node::find(7).unwrap();
    let mm2 = Band { mid: 100.0, low: 80.0, high: 130.0 };
    let c = cost(mm2, node).unwrap();
    // pi 294^2 / 4 / 10.1^2 - pi 294 / sqrt(2 x 102.01) = 600.9; yield exp(-0.1)
    assert!((c.dies_per_wafer.mid - 600.9).abs() < 0.1, "{}", c.dies_per_wafer.mid);
    assert!((c.yielded.mid - (-0.1_f64).exp()).abs() < 1e-12);
    assert!((c.die.mid - 9346.0 / 600.9 / 0.904837).abs() < 0.01, "{}", c.die.mid);
    assert!(c.die.low < c.die.mid && c.die.mid < c.die.high);
    let huge = Band { mid: 60000.0, low: 60000.0, high: 60000.0 };
    assert!(cost(huge, node).unwrap_err().to_string().contains("no wafer for a die of 60000 mm2"));
}

proptest! {
    #[test]
    fn every_shape_has_a_band_or_a_reason(
        m in 0u32..5, n in 0u32..200, k in 0u32..9, groups in 0u32..5, bits in 0u32..40,
        kind in proptest::sample::select(Kind::ALL.to_vec()), nm in proptest::sample::select(vec![45u32, 28, 7, 5]),
    ) {
        let silicon = at(nm);
        let shape = Shape { groups, ..Shape::lut(m, n, k.max(1), bits) };
        let core = Core { kind, shape: Shape { k, ..shape }, builders: m };
        if core.check().is_ok() {
            for w in [1, 2, 4, 8] {
                let (area, energy) =
                    (core.area(&silicon, Charged::ALL), core.energy_per_mac(&silicon, w, Charged::ALL));
                for (_, b) in area.iter().chain(energy.iter()) {
                    prop_assert!(b.low.is_finite() && b.low >= 0.0 && b.low <= b.mid && b.mid <= b.high);
                }
                let cells = total(&core.area(&silicon, Charged::ARRAY)).mid;
                prop_assert!(cells > 0.0 && cells < total(&area).mid);
            }
        }
    }
}
