//! Numbers with their unit, the same way everywhere: SI prefixes, three significant digits.

const PREFIXES: [(f64, &str); 10] = [
    (1e15, "P"),
    (1e12, "T"),
    (1e9, "G"),
    (1e6, "M"),
    (1e3, "k"),
    (1.0, ""),
    (1e-3, "m"),
    (1e-6, "u"),
    (1e-9, "n"),
    (1e-12, "p"),
];

/// `value` with three significant digits and no exponent: `76.8`, `0.0123`, `1230`.
pub fn digits(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return format!("{value}");
    }
    // the exponent after rounding to three digits, so that 9.996 becomes 10.0 and not 10.00
    let exponent: i32 =
        format!("{:.2e}", value.abs()).split_once('e').and_then(|(_, e)| e.parse().ok()).unwrap_or(0);
    let decimals = usize::try_from(2 - exponent).unwrap_or(0);
    format!("{value:.decimals$}")
}

/// `value` with an SI prefix on `unit`: `76.8 GB/s`. 1 GB is 1e9 bytes.
pub fn si(value: f64, unit: &str) -> String {
    if value == 0.0 {
        return format!("0 {unit}");
    }
    let rounded = format!("{:.2e}", value.abs()).parse::<f64>().unwrap_or(value.abs());
    let (scale, prefix) = PREFIXES.iter().find(|(scale, _)| rounded >= *scale).unwrap_or(&PREFIXES[9]);
    format!("{} {prefix}{unit}", digits(value / scale))
}

/// Bytes: exact below 1000, three digits above.
pub fn bytes(n: u64) -> String {
    if n < 1000 { format!("{n} B") } else { si(n as f64, "B") }
}

/// The size of a memory: whole KiB, MiB and GiB as such.
pub fn size(n: u64) -> String {
    match [(30, "GiB"), (20, "MiB"), (10, "KiB")]
        .iter()
        .find(|(shift, _)| n > 0 && n.is_multiple_of(1 << shift))
    {
        Some((shift, unit)) => format!("{} {unit}", n >> shift),
        None => bytes(n),
    }
}

/// An integer with thousands separated.
pub fn count(n: u64) -> String {
    let text = n.to_string();
    let mut out = String::with_capacity(text.len() + text.len() / 3);
    for (i, digit) in text.chars().enumerate() {
        if i > 0 && (text.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A share of one in percent with one decimal: `88.8 %`; what is there but would round away is `<0.1 %`.
pub fn percent(share: f64) -> String {
    match share {
        s if s > 0.0 && s < 0.0005 => "<0.1 %".to_owned(),
        s => format!("{:.1} %", s * 100.0),
    }
}

/// `part / whole`, 0 of nothing.
pub fn share(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        let cases = [
            (76.8e9, "76.8 GB/s"),
            (999.6, "1.00 kB/s"),
            (999.4, "999 B/s"),
            (0.0, "0 B/s"),
            (0.01234, "12.3 mB/s"),
            (2.5e-13, "0.250 pB/s"),
            (4.2e17, "420 PB/s"),
        ];
        for (value, text) in cases {
            assert_eq!(si(value, "B/s"), text);
        }
        assert_eq!([digits(9.996), digits(0.01), digits(12345.0)], ["10.0", "0.0100", "12345"]);
        assert_eq!([count(0), count(999), count(1000), count(1234567)], ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([bytes(4), bytes(999), bytes(2_148_000_000)], ["4 B", "999 B", "2.15 GB"]);
        assert_eq!(
            [percent(0.0), percent(1e-5), percent(0.8884), percent(1.0)],
            ["0.0 %", "<0.1 %", "88.8 %", "100.0 %"]
        );
        assert_eq!(
            [size(4 << 20), size(96 << 10), size(1500), size(0)],
            ["4 MiB", "96 KiB", "1.50 kB", "0 B"]
        );
        assert_eq!(share(1.0, 0.0), 0.0);
    }
}
