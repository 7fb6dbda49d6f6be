//! From a burst's index in the channel to bank, row and column: a list of bit fields from the lowest bit up, with
//! optional exclusive-or of level bits with row or column bits.
//!
//! ```text
//! burst index   | row ............ | Bank:2 | Column:6 | BankGroup:2 |   <- lowest bit
//! ```

use crate::error::Error;
use crate::standard::Standard;

/// Where a burst lives inside its channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Bank, numbered through all levels above it (rank or pseudo-channel first).
    pub bank: u16,
    /// Row of that bank.
    pub row: u32,
    /// Burst within the row.
    pub column: u32,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Piece {
    from: u8,
    mask: u32,
    to: u8,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Xor {
    /// The row is changed, else bank bits.
    to_row: bool,
    /// By the row, else by the column.
    row: bool,
    from: u8,
    mask: u32,
    to: u8,
}

/// A compiled address mapping.
#[derive(Debug, Clone, PartialEq)]
pub struct Mapping {
    bank: Vec<Piece>,
    column: Vec<Piece>,
    xor: Vec<Xor>,
    row_from: u8,
    channel_from: u8,
    channel_bits: u8,
}

impl Mapping {
    /// Compiles `fields` (lowest bit first, e.g. `["BankGroup:2", "Column:6", "Bank:2", "Row"]`; `Row` last) and `xor`
    /// rules (`"Bank^Row:0"`: the bank bits are exclusive-ored with the row from its bit 0 up), applied in order.
    pub fn new(standard: &Standard, fields: &[String], xor: &[String]) -> Result<Mapping, Error> {
        let bad = |m: String| Err(Error::policy(format!("mapping: {m}")));
        // level name -> (bits, position in the flat bank number)
        let mut place = Vec::new();
        let mut at = 0;
        for level in standard.levels.iter().rev() {
            if !level.count.is_power_of_two() {
                return bad(format!("{} has {} members, not a power of two", level.name, level.count));
            }
            let bits = level.count.trailing_zeros() as u8;
            place.push((level.name.clone(), bits, at));
            at += bits;
        }
        if !standard.bursts_per_row.is_power_of_two() {
            return bad(format!("a row has {} bursts, not a power of two", standard.bursts_per_row));
        }
        let column_bits = standard.bursts_per_row.trailing_zeros() as u8;
        let channel_bits = standard.channels.trailing_zeros() as u8;
        let mut out = Mapping {
            bank: Vec::new(),
            column: Vec::new(),
            xor: Vec::new(),
            row_from: 0,
            channel_from: 0,
            channel_bits: 0,
        };
        let mut used = vec![0u8; place.len()];
        let (mut used_column, mut bit, mut row_seen) = (0u8, 0u8, false);
        for field in fields {
            if row_seen {
                return bad(format!("`{field}` comes after Row, which takes all remaining bits"));
            }
            if field == "Row" {
                out.row_from = bit;
                row_seen = true;
                continue;
            }
            let Some((name, bits)) =
                field.split_once(':').and_then(|(n, b)| Some((n, b.parse::<u8>().ok()?)))
            else {
                return bad(format!("`{field}` is neither `Row` nor `Name:bits`"));
            };
            if bits > 31 || bit + bits > 63 {
                return bad(format!("`{field}` has more bits than an address"));
            }
            let mask = (1u64 << bits) as u32 - 1;
            if name == "Column" {
                if bits > 0 {
                    out.column.push(Piece { from: bit, mask, to: used_column });
                }
                used_column += bits;
            } else if name == "Channel" {
                if bits != channel_bits {
                    return bad(format!(
                        "`{field}`: {} channels need {channel_bits} bits",
                        standard.channels
                    ));
                }
                (out.channel_from, out.channel_bits) = (bit, bits);
                continue; // pieces above see the channel-local index
            } else {
                let Some(i) = place.iter().position(|p| p.0 == name) else {
                    return bad(format!("`{field}`: the standard has no level `{name}`"));
                };
                if bits > 0 {
                    out.bank.push(Piece { from: bit, mask, to: place[i].2 + used[i] });
                }
                used[i] += bits;
            }
            bit += bits;
        }
        if !row_seen {
            return bad("the last field must be `Row`".into());
        }
        if out.channel_bits != channel_bits {
            return bad(format!("{} channels need `Channel:{channel_bits}`", standard.channels));
        }
        if used_column != column_bits {
            return bad(format!(
                "Column gets {used_column} bits, a row of {} bursts has {column_bits}",
                standard.bursts_per_row
            ));
        }
        for (p, u) in place.iter().zip(&used) {
            if p.1 != *u {
                return bad(format!("{} gets {u} bits and has {}", p.0, p.1));
            }
        }
        for rule in xor {
            let parsed = rule.split_once('^').and_then(|(to, rest)| {
                let (from, shift) = rest.split_once(':')?;
                let row = match from {
                    "Row" => true,
                    "Column" => false,
                    _ => return None,
                };
                let from = shift.parse::<u8>().ok().filter(|s| *s < 32)?;
                if to == "Row" && !row {
                    return Some(Xor { to_row: true, row, from, mask: u32::MAX, to: 0 });
                }
                let target = place.iter().find(|p| p.0 == to)?;
                Some(Xor { to_row: false, row, from, mask: (1u32 << target.1) - 1, to: target.2 })
            });
            match parsed {
                Some(x) => out.xor.push(x),
                None => {
                    return bad(format!(
                        "`{rule}` is not `Level^Row:bit`, `Level^Column:bit` or `Row^Column:bit`"
                    ));
                }
            }
        }
        Ok(out)
    }

    /// First bit of the row in a burst's index.
    pub(crate) fn row_bit(&self) -> u32 {
        self.row_from.into()
    }

    /// Low bits of the row that the exclusive-or rules read or write: adding a multiple of that many rows to an address
    /// changes its row by as much and nothing else.
    pub(crate) fn row_unit(&self) -> u32 {
        let column_bits: u32 = self.column.iter().map(|p| p.mask.count_ones()).sum();
        let bits = |x: &Xor| match (x.to_row, x.row) {
            (true, _) => column_bits.saturating_sub(x.from.into()),
            (false, true) => u32::from(x.from) + x.mask.count_ones(),
            (false, false) => 0,
        };
        self.xor.iter().map(bits).max().unwrap_or(0)
    }

    /// Splits a device-wide burst index into channel and channel-local burst index.
    pub fn split(&self, burst: u64) -> (u32, u64) {
        let low = burst & ((1 << self.channel_from) - 1);
        let rest = burst >> self.channel_from;
        let channel = rest & ((1 << self.channel_bits) - 1);
        (channel as u32, low | (rest >> self.channel_bits) << self.channel_from)
    }

    /// Where the burst with this channel-local index lives.
    #[inline]
    pub fn place(&self, burst: u64) -> Place {
        let (mut bank, mut column) = (0u32, 0u32);
        for p in &self.bank {
            bank |= ((burst >> p.from) as u32 & p.mask) << p.to;
        }
        for p in &self.column {
            column |= ((burst >> p.from) as u32 & p.mask) << p.to;
        }
        let mut row = (burst >> self.row_from) as u32;
        for x in &self.xor {
            let bits = (if x.row { row } else { column }) >> x.from & x.mask;
            if x.to_row {
                row ^= bits;
            } else {
                bank ^= bits << x.to;
            }
        }
        Place { bank: bank as u16, row, column }
    }
}
