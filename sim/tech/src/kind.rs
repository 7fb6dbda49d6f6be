//! Kinds of cores, as a table: what each passes at once, what it holds, what it takes. Timing, values, energy and area follow from a row.

use crate::Activation;

/// A kind of core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Half tables, made outside the array, bit-serial weights.
    Lut,
    /// Full tables, made in each core, which is narrow: four columns.
    LutConventional,
    /// Bit-serial additions without tables.
    Add,
    /// INT8 by INT8 products.
    MacInt8,
    /// INT8 by INT4 products.
    MacInt4,
    /// INT8 by INT2 products.
    MacInt2,
    /// FP16 products behind a dequantiser.
    MacFp16,
    /// As FIGLUT: half tables in registers of the core, 32 readers each, activations aligned to 16-bit integers.
    Figlut,
    /// As UNPU with the shape of `lut`: full tables, made in the core.
    Unpu,
}

/// How much of a table is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tables {
    /// The entries whose last bit is set; the others are their negatives.
    Half,
    /// All.
    Full,
}

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traits {
    /// The name in chip files and on the command line.
    pub name: &'static str,
    /// Bits of a weight that a step multiplies with: 1 is bit by bit.
    pub step_bits: u32,
    /// What is looked up, if anything is.
    pub tables: Option<Tables>,
    /// Whether weights become FP16 on their way in, so that a sum goes on over all scales.
    pub dequantises: bool,
    /// Activations that it takes on a machine.
    pub activations: &'static [Activation],
}

const INT8: &[Activation] = &[Activation::Int8];
const FP16: &[Activation] = &[Activation::Fp16];
const BOTH: &[Activation] = &[Activation::Int8, Activation::Fp16];

macro_rules! rows {
    ($($kind:ident $name:literal $bits:literal $tables:expr, $dequantises:literal, $activations:expr;)*) => {
        impl Kind {
            /// Every kind.
            pub const ALL: [Kind; 9] = [$(Kind::$kind),*];
            /// Their names.
            pub const NAMES: &'static [&'static str] = &[$($name),*];

            /// Its row of the table.
            pub const fn traits(self) -> Traits {
                match self {
                    $(Kind::$kind => Traits {
                        name: $name,
                        step_bits: $bits,
                        tables: $tables,
                        dequantises: $dequantises,
                        activations: $activations,
                    },)*
                }
            }
        }
    };
}

rows! {
    // kind          name               step  tables               dequantises  activations
    Lut             "lut"               1     Some(Tables::Half),  false,       BOTH;
    LutConventional "lut-conventional"  1     Some(Tables::Full),  false,       INT8;
    Add             "add"               1     None,                false,       INT8;
    MacInt8         "mac-int8"          8     None,                false,       INT8;
    MacInt4         "mac-int4"          4     None,                false,       INT8;
    MacInt2         "mac-int2"          2     None,                false,       INT8;
    MacFp16         "mac-fp16"          16    None,                true,        FP16;
    Figlut          "figlut"            1     Some(Tables::Half),  false,       INT8;
    Unpu            "unpu"              1     Some(Tables::Full),  false,       INT8;
}

impl Kind {
    /// The name in chip files and on the command line.
    pub const fn name(self) -> &'static str {
        self.traits().name
    }

    /// The kind of that name.
    pub fn named(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|k| k.name() == name)
    }

    /// Bits of the weights that it multiplies in one pass; none if bit by bit.
    pub const fn native_bits(self) -> Option<u32> {
        match self.traits().step_bits {
            1 => None,
            bits => Some(bits),
        }
    }

    /// Steps that a weight of so many bits takes.
    pub const fn steps(self, weight_bits: u32) -> u32 {
        let steps = weight_bits.div_ceil(self.traits().step_bits);
        if steps == 0 { 1 } else { steps }
    }

    /// Whether it looks up.
    pub const fn has_tables(self) -> bool {
        self.traits().tables.is_some()
    }

    pub(crate) const fn full_tables(self) -> bool {
        matches!(self.traits().tables, Some(Tables::Full))
    }

    /// Additions that make one of its tables, of `k` activations.
    pub const fn table_additions(self, k: u32) -> u32 {
        // The other half is the first one's negative.
        half_table_additions(k) + if self.full_tables() { 1 << (k - 1) } else { 0 }
    }
}

/// Additions that make the half table of `k` activations: of four, pair sums and differences and eight combinations (LUT Tensor Core,
/// section 3.1.1); of others, each of the 2^(k-1) entries from one before.
const fn half_table_additions(k: u32) -> u32 {
    match k {
        4 => 12,
        k => (1 << (k - 1)) + k - 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_shrink_with_the_weight_only_where_planes_come_one_by_one() {
        let steps = |kind: Kind| [1, 2, 4, 8].map(|bits| kind.steps(bits));
        for kind in [Kind::Lut, Kind::LutConventional, Kind::Add, Kind::Figlut, Kind::Unpu] {
            assert_eq!(steps(kind), [1, 2, 4, 8], "{}", kind.name());
        }
        assert_eq!(steps(Kind::MacInt8), [1, 1, 1, 1]);
        assert_eq!(steps(Kind::MacInt4), [1, 1, 1, 2]);
        assert_eq!(steps(Kind::MacInt2), [1, 1, 2, 4]);
        assert_eq!(steps(Kind::MacFp16), [1, 1, 1, 1]);
        for (kind, name) in Kind::ALL.into_iter().zip(Kind::NAMES) {
            assert_eq!((kind.name(), Kind::named(name)), (*name, Some(kind)));
        }
    }

    #[test]
    fn a_full_table_takes_its_other_half_more() {
        assert_eq!([2, 3, 4, 5, 6].map(|k| Kind::Lut.table_additions(k)), [2, 5, 12, 19, 36]);
        assert_eq!([2, 3, 4, 5, 6].map(|k| Kind::Unpu.table_additions(k)), [4, 9, 20, 35, 68]);
    }
}
