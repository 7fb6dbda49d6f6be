//! SRAM macros: a table of CACTI 7, interpolated in log-log over capacity and width, within its range only.
//!
//! Read and write energy: mid from low-standby cells, low from low-operating-power cells, high from Horowitz's memories, which hold
//! wires that an array optimised for energy leaves out; where he has none, twice the mid. Area and leakage from low-standby cells.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use lutsim_record::Band;
use serde::Deserialize;

use crate::SiliconError;
use crate::node::Node;

#[derive(Debug, Deserialize)]
struct Record {
    node_nm: u32,
    cell: String,
    size_bytes: u64,
    width_bits: u32,
    read_pj: f64,
    write_pj: f64,
    leak_mw: f64,
    area_mm2: f64,
}

/// Read energy pJ, write energy pJ, leakage mW, area mm2.
type Figures = [f64; 4];
type Table = BTreeMap<(u32, String), BTreeMap<(u32, u64), Figures>>;

fn table() -> &'static Table {
    static TABLE: OnceLock<Table> = OnceLock::new();
    TABLE.get_or_init(|| {
        let mut reader =
            csv::Reader::from_reader(include_str!("../../../configs/tech/sram_cacti.csv").as_bytes());
        let mut table = Table::new();
        for row in reader.deserialize() {
            let r: Record = row.unwrap_or_else(|e| panic!("built-in sram_cacti.csv: {e}"));
            let cells = table.entry((r.node_nm, r.cell)).or_default();
            cells.insert((r.width_bits, r.size_bytes), [r.read_pj, r.write_pj, r.leak_mw, r.area_mm2]);
        }
        table
    })
}

/// What a macro or a bank costs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sram {
    /// Joules of reading one word.
    pub read: Band,
    /// Joules of writing one word.
    pub write: Band,
    /// Watts.
    pub leakage: Band,
    /// mm2.
    pub area: Band,
}

/// The macros of a node.
#[derive(Clone, Copy, Debug)]
pub struct Macros {
    node: &'static Node,
    supply: Band,
}

/// Widest macro of the table, bits.
const WIDEST: u32 = 512;
/// Narrowest.
const NARROWEST: u32 = 32;
/// Largest, bytes.
const LARGEST: u64 = 2 << 20;
/// Horowitz's energies stand at 45 nm 0.9 V; this takes them to 45 nm 1.1 V.
const HOROWITZ_TO_LIBRARY: f64 = 1.0 / 0.696;

impl Macros {
    pub(crate) fn at(node: &'static Node, supply: Band) -> Macros {
        Macros { node, supply }
    }

    /// One macro of so many bytes and bits per word.
    ///
    /// # Errors
    /// It lies outside the table.
    pub fn one(&self, bytes: u64, bits: u32) -> Result<Sram, SiliconError> {
        let from = self.node.sram;
        let mid = self.figures("itrs-lstp", bytes, bits)?;
        let low = self.figures("itrs-lop", bytes, bits)?;
        let horowitz = horowitz(bytes).map(|pj| {
            pj * f64::from(bits) / 64.0 * HOROWITZ_TO_LIBRARY * self.node.energy.band().mid / from.energy
        });
        let energy = |at: usize| {
            let high = horowitz.map_or(2.0 * mid[at], |h| h.max(mid[at]));
            let band = Band { mid: mid[at], low: low[at].min(mid[at]), high };
            let band = band.times(1e-12 * from.energy);
            let node = self.node.energy.band();
            // The node's own band: of its factor, not of the table.
            Band {
                mid: band.mid * self.supply.mid,
                low: band.low * node.low / node.mid * self.supply.low,
                high: band.high * node.high / node.mid * self.supply.high,
            }
        };
        let (leak, spread) = (mid[2] * 1e-3 * from.leakage, self.node.leakage.band());
        let area = mid[3] * from.area;
        Ok(Sram {
            read: energy(0),
            write: energy(1),
            leakage: Band { mid: leak, low: leak / 3.0, high: leak * (spread.high / spread.mid).max(10.0) },
            // CACTI's arrays come within a quarter of published macros.
            area: Band { mid: area, low: area * 0.8, high: area * 1.25 },
        })
    }

    /// Log-log in capacity and width, each between its neighbours.
    fn figures(&self, cell: &str, bytes: u64, bits: u32) -> Result<Figures, SiliconError> {
        let nm = self.node.sram.table_nm;
        let outside = |why: String| SiliconError::Sram { bytes, bits, nm, why };
        let cells = table()
            .get(&(nm, cell.to_owned()))
            .ok_or_else(|| outside(format!("the table has no {cell} cells of that node")))?;
        let mut widths: Vec<u32> = cells.keys().map(|(w, _)| *w).collect();
        widths.dedup();
        let ends = format!("the table has widths of {NARROWEST} to {WIDEST} bits");
        let (w0, w1) = neighbours(&widths, bits).ok_or_else(|| outside(ends))?;
        let along = |w: u32| -> Result<Figures, SiliconError> {
            let sizes: Vec<u64> = cells.keys().filter(|(x, _)| *x == w).map(|(_, s)| *s).collect();
            let ends = format!("of {w} bits the table has {} to {} bytes", sizes[0], sizes[sizes.len() - 1]);
            let (s0, s1) = neighbours(&sizes, bytes).ok_or_else(|| outside(ends))?;
            Ok(between((s0 as f64, cells[&(w, s0)]), (s1 as f64, cells[&(w, s1)]), bytes as f64))
        };
        Ok(between((f64::from(w0), along(w0)?), (f64::from(w1), along(w1)?), f64::from(bits)))
    }
}

/// The entries of an ascending list on both sides of `x`.
fn neighbours<T: Copy + PartialOrd>(list: &[T], x: T) -> Option<(T, T)> {
    let below = list.iter().rev().find(|v| **v <= x)?;
    let above = list.iter().find(|v| **v >= x)?;
    Some((*below, *above))
}

fn between((x0, a): (f64, Figures), (x1, b): (f64, Figures), x: f64) -> Figures {
    let share = if x1 > x0 { (x / x0).ln() / (x1 / x0).ln() } else { 0.0 };
    std::array::from_fn(|i| if a[i] > 0.0 && b[i] > 0.0 { a[i] * (b[i] / a[i]).powf(share) } else { 0.0 })
}

/// Horowitz's energy of 64 bits, pJ at 45 nm 0.9 V, within his range.
fn horowitz(bytes: u64) -> Option<f64> {
    let cells = &table()[&(45, "horowitz".to_owned())];
    let sizes: Vec<u64> = cells.keys().map(|(_, s)| *s).collect();
    let (s0, s1) = neighbours(&sizes, bytes)?;
    Some(between((s0 as f64, cells[&(64, s0)]), (s1 as f64, cells[&(64, s1)]), bytes as f64)[0])
}

/// A memory of any size, built from macros: side by side for width, one behind the other for capacity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bank {
    /// Macros side by side: an access reads them all.
    pub wide: u64,
    /// Macros behind each other: an access reads one.
    pub deep: u64,
    /// Bytes of a macro.
    pub bytes: u64,
    /// Bits of a macro.
    pub bits: u32,
}

impl Bank {
    /// The fewest macros that hold `bytes` in words of `bits`; what is smaller than the smallest macro takes that one.
    pub fn of(bytes: u64, bits: u64) -> Bank {
        let wide = bits.div_ceil(u64::from(WIDEST)).max(1);
        let each = u32::try_from(bits.div_ceil(wide)).unwrap_or(WIDEST).clamp(NARROWEST, WIDEST);
        // 1 KiB of 512 bits has no organisation.
        let least = if each > 256 { 2048 } else { 1024 };
        let share = bytes.div_ceil(wide);
        let deep = share.div_ceil(LARGEST).max(1);
        Bank { wide, deep, bytes: share.div_ceil(deep).max(least), bits: each }
    }

    /// What it costs: energies of one access of its whole word.
    ///
    /// # Errors
    /// As [`Macros::one`].
    pub fn cost(self, macros: &Macros) -> Result<Sram, SiliconError> {
        let one = macros.one(self.bytes, self.bits)?;
        let (wide, all) = (self.wide as f64, (self.wide * self.deep) as f64);
        Ok(Sram {
            read: one.read.times(wide),
            write: one.write.times(wide),
            leakage: one.leakage.times(all),
            area: one.area.times(all),
        })
    }
}
