//! Numbers with a unit: `"1.2 GHz"` is exactly 1,200,000,000 Hz, or it is refused.

/// A dimension, with its units and how many base units each is.
pub(crate) struct Dimension {
    pub(crate) name: &'static str,
    pub(crate) units: &'static [(&'static str, u64, u64)],
}

/// Base unit: hertz.
pub(crate) const FREQUENCY: Dimension = Dimension {
    name: "a frequency",
    units: &[("Hz", 1, 1), ("kHz", 1_000, 1), ("MHz", 1_000_000, 1), ("GHz", 1_000_000_000, 1)],
};
/// Base unit: nanosecond.
pub(crate) const TIME: Dimension = Dimension {
    name: "a time",
    units: &[("ps", 1, 1_000), ("ns", 1, 1), ("us", 1_000, 1), ("ms", 1_000_000, 1), ("s", 1_000_000_000, 1)],
};
/// Base unit: byte. SI and binary prefixes are different things.
pub(crate) const SIZE: Dimension = Dimension {
    name: "a size",
    units: &[
        ("B", 1, 1),
        ("kB", 1_000, 1),
        ("MB", 1_000_000, 1),
        ("GB", 1_000_000_000, 1),
        ("KiB", 1 << 10, 1),
        ("MiB", 1 << 20, 1),
        ("GiB", 1 << 30, 1),
    ],
};
/// Base unit: byte per second.
pub(crate) const RATE: Dimension = Dimension {
    name: "a rate",
    units: &[("B/s", 1, 1), ("kB/s", 1_000, 1), ("MB/s", 1_000_000, 1), ("GB/s", 1_000_000_000, 1)],
};
const ALL: [&Dimension; 4] = [&FREQUENCY, &TIME, &SIZE, &RATE];

/// Why a text is no quantity of a dimension.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// Not a number and a unit at all.
    Form,
    /// Below zero.
    Negative,
    /// No unit.
    Bare,
    /// A unit of something else, named.
    Other(&'static str, String),
    /// No unit that we know.
    Unit(String),
    /// Not a whole number of base units, or too large.
    Inexact,
}

impl Dimension {
    /// The units, for messages.
    pub(crate) fn list(&self) -> String {
        self.units.iter().map(|u| u.0).collect::<Vec<_>>().join(", ")
    }

    /// Parses a decimal number and a unit to base units, exactly.
    pub(crate) fn parse(&self, text: &str) -> Result<u64, Wrong> {
        let text = text.trim();
        let (text, negative) = match text.strip_prefix('-') {
            Some(rest) => (rest.trim_start(), true),
            None => (text, false),
        };
        let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '_')).unwrap_or(text.len());
        let (number, unit) = (text[..end].replace('_', ""), text[end..].trim());
        let (whole, fraction) = number.split_once('.').unwrap_or((&number, ""));
        let digits = format!("{whole}{fraction}");
        if whole.is_empty() || fraction.contains('.') {
            return Err(Wrong::Form);
        }
        if unit.is_empty() {
            return Err(Wrong::Bare);
        }
        let Some(&(_, up, down)) = self.units.iter().find(|u| u.0 == unit) else {
            let other = ALL.iter().find(|d| d.units.iter().any(|u| u.0 == unit));
            return Err(match other {
                Some(d) => Wrong::Other(d.name, unit.to_owned()),
                None => Wrong::Unit(unit.to_owned()),
            });
        };
        if negative {
            return Err(Wrong::Negative);
        }
        let scaled =
            digits.parse::<u128>().ok().and_then(|d| d.checked_mul(u128::from(up))).ok_or(Wrong::Inexact)?;
        let down = 10u128
            .checked_pow(fraction.len() as u32)
            .and_then(|d| d.checked_mul(u128::from(down)))
            .ok_or(Wrong::Inexact)?;
        if scaled % down != 0 {
            return Err(Wrong::Inexact);
        }
        u64::try_from(scaled / down).map_err(|_| Wrong::Inexact)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_exact() {
        assert_eq!(FREQUENCY.parse("1.0 GHz"), Ok(1_000_000_000));
        assert_eq!(FREQUENCY.parse("1.2GHz"), Ok(1_200_000_000));
        assert_eq!(TIME.parse("1 us"), Ok(1000));
        assert_eq!(TIME.parse("500 ps"), Err(Wrong::Inexact));
        assert_eq!(TIME.parse("2000 ps"), Ok(2));
        assert_eq!(SIZE.parse("4 MiB"), Ok(4 << 20));
        assert_eq!(SIZE.parse("1.5 KiB"), Ok(1536));
        assert_eq!(SIZE.parse("4 MB"), Ok(4_000_000));
        assert_eq!(RATE.parse("19.2 GB/s"), Ok(19_200_000_000));
    }

    #[test]
    fn wrong_quantities_say_what_is_wrong() {
        assert_eq!(FREQUENCY.parse("1.0"), Err(Wrong::Bare));
        assert_eq!(FREQUENCY.parse("1.0 ns"), Err(Wrong::Other("a time", "ns".into())));
        assert_eq!(SIZE.parse("4 mib"), Err(Wrong::Unit("mib".into())));
        assert_eq!(SIZE.parse("-4 MiB"), Err(Wrong::Negative));
        assert_eq!(SIZE.parse("lots"), Err(Wrong::Form));
        assert_eq!(SIZE.parse("1.2.3 B"), Err(Wrong::Form));
        assert_eq!(SIZE.parse("99999999999999999999999999999999999999999 GiB"), Err(Wrong::Inexact));
    }
}
