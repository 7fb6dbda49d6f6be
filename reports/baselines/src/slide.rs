//! Numbers as a slide prints them: one SI suffix, no decimals; intensities below 100 with two at most.
//!
//! One layer without the activation of its MLP and without the head; its two norms and its two additions are alike and stand
//! once. The table of an AMLC 2024 talk, which LLM-Viewer's own output prints with other roundings.

use crate::analysis::{Analysis, Operator};

/// Names in the slide's order, and what they are here.
const ROWS: [(&str, &str); 13] = [
    ("q_proj", "q_proj"),
    ("k_proj", "k_proj"),
    ("v_proj", "v_proj"),
    ("o_proj", "out_proj"),
    ("gate_proj", "gate_proj"),
    ("up_proj", "up_proj"),
    ("down_proj", "down_proj"),
    ("qk_matmul", "qk_matmul"),
    ("sv_matmul", "sv_matmul"),
    ("softmax", "softmax"),
    ("fused_attention", "fused_attention"),
    ("norm", "attn_norm"),
    ("add", "attn_add"),
];

/// `69G`, `1T`, `16K`.
fn suffixed(x: f64) -> String {
    let units = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "K")];
    match units.iter().find(|(scale, _)| x >= *scale) {
        Some((scale, unit)) => format!("{:.0}{unit}", x / scale),
        None => format!("{x:.0}"),
    }
}

/// `1024`, `114`, `1.25`, `1`.
fn intensity(x: f64) -> String {
    if x >= 100.0 {
        return format!("{x:.0}");
    }
    let text = format!("{x:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn row(stage: &str, name: &str, o: &Operator) -> String {
    format!(
        "{stage},{name},{},{},{},{},{}\n",
        suffixed(o.ops.real()),
        suffixed(o.bytes.total()),
        intensity(o.intensity),
        suffixed(o.performance),
        o.bound.name()
    )
}

/// The slide's table as CSV.
pub fn text(analysis: &Analysis) -> String {
    let mut out = String::from("stage,layer,ops,memory_access,arithmetic_intensity,max_performance,bound\n");
    for stage in &analysis.stages {
        for (shown, name) in ROWS {
            for o in &stage.operators {
                // Layers with a window have rows of their own.
                match o.name.strip_prefix(name) {
                    Some("") => out += &row(stage.kind.name(), shown, o),
                    Some("_window") => out += &row(stage.kind.name(), &format!("{shown}_window"), o),
                    _ => {}
                }
            }
        }
    }
    out
}
