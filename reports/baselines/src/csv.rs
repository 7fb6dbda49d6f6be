//! The columns of LLM-Viewer in full precision, and numbers as Python writes them.

use crate::analysis::{Analysis, Count};

/// The columns' names.
pub const HEADER: &str = "stage,layer_name,OPs,memory_access,arithmetic_intensity,performance,bound,load_weight,load_act,store_act,load_kv_cache,store_kv_cache,inference_time";

/// A double as Python's `repr` writes it: the shortest digits that read back, of those the nearest, and of two as near the even
/// one; an exponent below 1e-4 and from 1e16.
pub fn python(x: f64) -> String {
    let shortest = format!("{x:e}");
    let Some((digits, _)) = shortest.split_once('e') else { return shortest };
    // Rust's shortest digits round a tie up; as many digits of the exact value round it to even.
    let places = digits.chars().filter(char::is_ascii_digit).count() - 1;
    let exact = format!("{x:.places$e}");
    let text = if exact.parse() == Ok(x) { exact } else { shortest };
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if x != 0.0 && !(-4..16).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.abs());
    }
    let decimals = usize::try_from(places as i32 - exponent).unwrap_or(0).max(1);
    format!("{x:.decimals$}")
}

/// A count likewise: whole numbers have no point.
pub fn count(c: Count) -> String {
    match c {
        Count::Whole(n) => n.to_string(),
        Count::Real(x) => python(x),
    }
}

/// Bytes likewise; a kind that an operator does not have is a whole 0.
fn bytes(x: f64) -> String {
    if x == 0.0 { "0".into() } else { python(x) }
}

/// Every operator of both stages, then the totals of the whole model.
pub fn rows(analysis: &Analysis) -> Vec<String> {
    let kinds =
        |b: &crate::Bytes| [b.weight, b.act_read, b.act_write, b.kv_read, b.kv_write].map(bytes).join(",");
    let mut rows = Vec::new();
    for stage in &analysis.stages {
        for o in &stage.operators {
            rows.push(format!(
                "{},{},{},{},{},{},{},{},{}",
                stage.kind.name(),
                o.name,
                count(o.ops),
                bytes(o.bytes.total()),
                python(o.intensity),
                python(o.performance),
                o.bound.name(),
                kinds(&o.bytes),
                python(o.seconds)
            ));
        }
    }
    for stage in &analysis.stages {
        rows.push(format!(
            "{},TOTAL,{},{},,,,{},{}",
            stage.kind.name(),
            count(stage.ops),
            bytes(stage.access),
            kinds(&stage.bytes),
            python(stage.seconds)
        ));
    }
    rows
}

/// Header and rows.
pub fn text(analysis: &Analysis) -> String {
    let mut out = format!("{HEADER}\n");
    for row in rows(analysis) {
        out += &row;
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_pythons() {
        for (x, text) in [
            (0.0, "0.0"),
            (1.0, "1.0"),
            (4.3690666666666665e-05, "4.3690666666666665e-05"),
            (0.0001, "0.0001"),
            (1e16, "1e+16"),
            (154838500000000.0, "154838500000000.0"),
            (1e-7, "1e-07"),
            (2.5e100, "2.5e+100"),
            (24848800334401.0 + 0.5625, "24848800334401.562"),
            (5e-324, "5e-324"),
            (123.0, "123.0"),
            (-0.5, "-0.5"),
        ] {
            assert_eq!(python(x), text);
        }
        assert_eq!(count(Count::Whole(12)), "12");
        assert_eq!(count(Count::Real(12.0)), "12.0");
    }
}
