//! The shape of a core, and which shapes can be built.

use std::fmt;

use crate::SiliconError;

/// Activation format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// Integers in +-127.
    Int8,
    /// IEEE half precision.
    Fp16,
}

impl Activation {
    /// Bits of one.
    pub const fn bits(self) -> u32 {
        match self {
            Activation::Int8 => 8,
            Activation::Fp16 => 16,
        }
    }
}

/// A core's shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Activation rows.
    pub m: u32,
    /// Weight columns.
    pub n: u32,
    /// Activations of one table; of a core without tables, products that share an accumulator.
    pub k: u32,
    /// Tables whose look-ups share an accumulator (K-groups).
    pub groups: u32,
    /// Bits of a table entry.
    pub entry_bits: u32,
    /// Bits of an accumulator.
    pub accumulator_bits: u32,
    /// Bit-planes that the shifter reaches: the widest weight.
    pub planes: u32,
    /// What is multiplied.
    pub activation: Activation,
}

/// Widest table that can be built: 2^5 stored entries, each reaching all N columns.
const MOST_K: u32 = 6;

impl Shape {
    /// A core with tables of exact entries, INT8 activations, weights of up to eight planes.
    pub fn lut(m: u32, n: u32, k: u32, accumulator_bits: u32) -> Shape {
        let entry_bits = exact_entry_bits(k);
        Shape { m, n, k, groups: 1, entry_bits, accumulator_bits, planes: 8, activation: Activation::Int8 }
    }

    /// One-bit products per cycle.
    pub fn positions(self) -> f64 {
        f64::from(self.m) * f64::from(self.n) * f64::from(self.k) * f64::from(self.groups)
    }

    /// Bits that adding up the groups' look-ups takes more.
    pub(crate) fn group_bits(self) -> u32 {
        self.groups.max(1).next_power_of_two().trailing_zeros()
    }

    /// Stages of the shifter.
    pub(crate) fn stages(self) -> u32 {
        self.planes.max(1).next_power_of_two().trailing_zeros()
    }

    /// Whether a core with tables of this shape can be built.
    ///
    /// # Errors
    /// Why not.
    pub fn check_tables(self) -> Result<(), SiliconError> {
        self.check()?;
        let fault = |why: String| Err(SiliconError::Shape { shape: self.to_string(), why });
        if self.k > MOST_K {
            let entries = 1u64 << (self.k.min(40) - 1);
            return fault(format!(
                "tables of {} activations have {entries} entries, each a wire of {} bits to all {} columns; K is at most {MOST_K}",
                self.k, self.entry_bits, self.n
            ));
        }
        let sum = self.entry_bits + self.group_bits();
        if self.activation == Activation::Int8 && sum > self.accumulator_bits {
            let of = match self.groups {
                1 => "a table entry".to_owned(),
                groups => format!("the sum of {groups} table entries"),
            };
            return fault(format!("{of} has {sum} bits, its accumulator {}", self.accumulator_bits));
        }
        Ok(())
    }

    /// What holds of every shape.
    pub(crate) fn check(self) -> Result<(), SiliconError> {
        let fault = |why: String| Err(SiliconError::Shape { shape: self.to_string(), why });
        for (name, value, most) in [
            ("M", self.m, 255),
            ("N", self.n, 4095),
            ("K", self.k, 64),
            ("K-groups", self.groups, 64),
            ("entry bits", self.entry_bits, 64),
            ("accumulator bits", self.accumulator_bits, 64),
            ("bit-planes", self.planes, 16),
        ] {
            if value == 0 || value > most {
                return fault(format!("{name} must be 1 to {most}, found {value}"));
            }
        }
        Ok(())
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "M{} N{} K{}", self.m, self.n, self.k)?;
        if self.groups > 1 {
            write!(f, " x {} groups", self.groups)?;
        }
        Ok(())
    }
}

/// Bits of an exact entry: the signed sum of `k` activations in +-127.
pub(crate) fn exact_entry_bits(k: u32) -> u32 {
    let most = 127 * u64::from(k);
    1 + (u64::BITS - most.leading_zeros())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exact_entry_holds_the_largest_sum() {
        assert_eq!([1, 2, 3, 4, 5, 6].map(exact_entry_bits), [8, 9, 10, 10, 11, 11]);
    }

    #[test]
    fn what_cannot_be_built_says_why() {
        let message = |shape: Shape| shape.check_tables().unwrap_err().to_string();
        assert_eq!(
            message(Shape::lut(2, 64, 7, 24)),
            "a core of M2 N64 K7 cannot be built: tables of 7 activations have 64 entries, each a wire of 11 \
             bits to all 64 columns; K is at most 6"
        );
        assert_eq!(
            message(Shape::lut(2, 64, 4, 9)),
            "a core of M2 N64 K4 cannot be built: a table entry has 10 bits, its accumulator 9"
        );
        assert_eq!(
            message(Shape { groups: 4, ..Shape::lut(2, 16, 4, 11) }),
            "a core of M2 N16 K4 x 4 groups cannot be built: the sum of 4 table entries has 12 bits, its \
             accumulator 11"
        );
        assert_eq!(
            message(Shape::lut(0, 64, 4, 24)),
            "a core of M0 N64 K4 cannot be built: M must be 1 to 255, found 0"
        );
        assert!(Shape::lut(2, 64, 4, 10).check_tables().is_ok());
        assert!(Shape::lut(2, 64, 6, 24).check_tables().is_ok());
    }
}
