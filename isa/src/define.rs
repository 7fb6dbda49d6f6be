//! The one macro: rows of `table.rs` -> enum, encoder, decoder, parser, printer, documentation.

/// Appends bit-fields to a word.
pub(crate) struct Writer {
    pub(crate) word: u128,
    pub(crate) at: u32,
}
impl Writer {
    pub(crate) fn put<F: crate::field::Field>(&mut self, field: F) {
        let bits = field.to_bits();
        assert!(F::BITS == 64 || bits < 1 << F::BITS, "{}: {bits:#x} does not fit {} bits", F::KIND, F::BITS);
        self.word |= u128::from(bits) << self.at;
        self.at += F::BITS;
    }
}

/// Takes bit-fields off a word.
pub(crate) struct Reader {
    pub(crate) rest: u128,
}
impl Reader {
    pub(crate) fn take<F: crate::field::Field>(&mut self, mnemonic: &str, name: &str) -> Result<F, String> {
        let bits = (self.rest & ((1u128 << F::BITS) - 1)) as u64;
        self.rest >>= F::BITS;
        F::from_bits(bits)
            .ok_or_else(|| format!("{mnemonic}: operand `{name}` holds the reserved pattern {bits:#x}"))
    }
}

/// Takes operands off a line of text.
pub(crate) struct Operands<'a> {
    pub(crate) rest: std::collections::VecDeque<&'a str>,
}
impl Operands<'_> {
    pub(crate) fn take<F: crate::field::Field>(&mut self, mnemonic: &str, name: &str) -> Result<F, String> {
        let text = self
            .rest
            .pop_front()
            .ok_or_else(|| format!("{mnemonic}: operand `{name}` ({}) is missing", F::KIND))?;
        text.parse().map_err(|e| format!("{mnemonic}: operand `{name}`: {e}"))
    }
}

/// Writes `mnemonic a, b, c`; the first operand of a mnemonic that ends in a dot is glued to it.
pub(crate) fn join(
    f: &mut std::fmt::Formatter<'_>,
    mnemonic: &str,
    operands: &[&dyn std::fmt::Display],
) -> std::fmt::Result {
    f.write_str(mnemonic)?;
    let glued = mnemonic.ends_with('.');
    for (i, operand) in operands.iter().enumerate() {
        let separator = match (i, glued) {
            (0, true) => "",
            (0, false) | (1, true) => " ",
            _ => ", ",
        };
        write!(f, "{separator}{operand}")?;
    }
    Ok(())
}

/// One operand of a row.
#[derive(Clone, Copy, Debug)]
pub struct OperandDoc {
    /// Its name in the table.
    pub name: &'static str,
    /// What kind it is.
    pub kind: &'static str,
    /// Width in bits.
    pub bits: u32,
}

/// One row of the table, for documentation and for the hash in a program's header.
#[derive(Clone, Copy, Debug)]
pub struct InstDoc {
    /// Opcode.
    pub opcode: u8,
    /// Mnemonic; one that ends in a dot takes its first operand as a suffix.
    pub mnemonic: &'static str,
    /// Doc comment.
    pub doc: &'static str,
    /// Operands in encoding order.
    pub operands: &'static [OperandDoc],
}

macro_rules! define_isa {
    ($(
        $(#[doc = $doc:literal])*
        $op:literal $mnemonic:literal $Name:ident { $($field:ident : $Type:ty),* $(,)? }
    )*) => {
        /// An instruction; one 128-bit word.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[allow(missing_docs)]
        pub enum Inst { $( $(#[doc = $doc])* $Name { $($field: $Type),* } ),* }

        $( const _: () = assert!(8 $( + <$Type as $crate::field::Field>::BITS )* <= 128, "an instruction's operands do not fit its word");
           const _: () = assert!($op < 128, "half of the opcode space stays free"); )*

        // A duplicate opcode is a duplicate discriminant: a compile error.
        #[repr(u8)]
        #[allow(dead_code)]
        enum Opcode { $( $Name = $op ),* }

        impl Inst {
            /// Every row.
            pub const TABLE: &'static [$crate::define::InstDoc] = &[$(
                $crate::define::InstDoc {
                    opcode: $op, mnemonic: $mnemonic, doc: concat!($($doc, "\n"),*),
                    operands: &[$( $crate::define::OperandDoc {
                        name: stringify!($field),
                        kind: <$Type as $crate::field::Field>::KIND,
                        bits: <$Type as $crate::field::Field>::BITS,
                    } ),*],
                } ),*];
            /// The word.
            pub fn encode(self) -> u128 {
                match self { $( Self::$Name { $($field),* } => {
                    #[allow(unused_mut)]
                    let mut w = $crate::define::Writer { word: $op, at: 8 };
                    $( w.put($field); )*
                    w.word
                } ),* }
            }
            /// The instruction of a word.
            ///
            /// # Errors
            /// Unknown opcode, reserved pattern, or bits set beyond the operands.
            pub fn decode(word: u128) -> Result<Self, String> {
                #[allow(unused_mut)]
                let mut r = $crate::define::Reader { rest: word >> 8 };
                let inst = match word as u8 {
                    $( $op => Self::$Name { $( $field: r.take($mnemonic, stringify!($field))? ),* }, )*
                    op => return Err(format!("unknown opcode {op:#04x}")),
                };
                if r.rest == 0 { Ok(inst) } else { Err(format!("{}: reserved bits are set", inst.mnemonic())) }
            }
            /// The row's mnemonic.
            pub const fn mnemonic(&self) -> &'static str {
                match self { $( Self::$Name { .. } => $mnemonic ),* }
            }
            /// Kind and bits of each operand.
            pub(crate) fn each_operand(&self, mut f: impl FnMut(&'static str, u64)) {
                let _ = &mut f; // there may be none
                match self { $( Self::$Name { $($field),* } => {
                    $( f(<$Type as $crate::field::Field>::KIND, $crate::field::Field::to_bits(*$field)); )*
                } ),* }
            }
            pub(crate) fn parse_operands(mnemonic: &str, operands: &mut $crate::define::Operands<'_>) -> Result<Self, String> {
                let inst = match mnemonic {
                    $( $mnemonic => Self::$Name { $( $field: operands.take($mnemonic, stringify!($field))? ),* }, )*
                    _ => return Err($crate::asm::unknown_mnemonic(mnemonic)),
                };
                match operands.rest.front() {
                    None => Ok(inst),
                    Some(extra) => Err(format!("{mnemonic}: `{extra}` is one operand too many")),
                }
            }
        }
        impl std::fmt::Display for Inst {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self { $( Self::$Name { $($field),* } => $crate::define::join(f, $mnemonic, &[$($field),*]) ),* }
            }
        }
        /// Random legal words, for property tests and fuzzing.
        #[cfg(test)]
        pub(crate) fn arbitrary_words() -> impl proptest::strategy::Strategy<Value = u128> {
            use proptest::prelude::*;
            prop_oneof![$( any::<u128>().prop_map(|w| {
                let bits = 0 $( + <$Type as $crate::field::Field>::BITS )*;
                (w & ((1u128 << bits) - 1)) << 8 | $op
            }) ),*]
        }
    };
}
pub(crate) use define_isa;
