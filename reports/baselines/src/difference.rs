//! Where LLM-Viewer's accounting and the physical one part, line by line, with the reason.

use crate::analysis::{Analysis, Bound, Bytes, Operator, StageKind};
use crate::shape::{Experts, Setting, Shape};

/// Why a line differs.
#[derive(Clone, Debug, PartialEq)]
pub struct Reason {
    /// Whether it changes operations.
    pub ops: bool,
    /// Whether it changes bytes.
    pub bytes: bool,
    /// In words.
    pub text: String,
}

/// An operator under both accountings.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Stage.
    pub stage: StageKind,
    /// Operator.
    pub name: &'static str,
    /// What LLM-Viewer has.
    pub tool: Option<Operator>,
    /// What it takes.
    pub physical: Option<Operator>,
    /// Why they differ; none where they do not.
    pub reasons: Vec<Reason>,
}

/// Two stages, operator by operator, in the order of the physical one; what only the tool has comes last.
pub fn between(
    shape: &Shape,
    setting: &Setting,
    bandwidths: [f64; 2],
    tool: &Analysis,
    physical: &Analysis,
) -> Vec<Line> {
    let mut lines = Vec::new();
    for (ours, theirs) in physical.stages.iter().zip(&tool.stages) {
        let find = |list: &[Operator], name: &str| list.iter().find(|o| o.name == name).cloned();
        let names = ours.operators.iter().map(|o| o.name);
        let met = |name: &str| ours.operators.iter().any(|o| tools_name(o.name) == name);
        let only_theirs = theirs.operators.iter().map(|o| o.name);
        let names = names.chain(only_theirs.filter(|n| !met(n)));
        for name in names {
            let (tool, physical) = (find(&theirs.operators, tools_name(name)), find(&ours.operators, name));
            let reasons = match (&tool, &physical) {
                (Some(t), Some(p)) => {
                    let place = Place { shape, setting, stage: ours.kind, bandwidths };
                    place.reasons(t, p)
                }
                (None, _) => vec![Reason { ops: true, bytes: true, text: "LLM-Viewer leaves it out".into() }],
                (Some(_), None) => {
                    vec![Reason { ops: true, bytes: true, text: "the model has no such operator".into() }]
                }
            };
            lines.push(Line { stage: ours.kind, name, tool, physical, reasons });
        }
    }
    lines
}

/// LLM-Viewer's name of an operator; it has one for layers with a window and without.
fn tools_name(name: &str) -> &str {
    name.strip_suffix("_window").unwrap_or(name)
}

/// Whether bytes differ in any kind.
pub fn bytes_differ(a: &Bytes, b: &Bytes) -> bool {
    // Products in another order may differ in the last digit.
    let close = |x: f64, y: f64| (x - y).abs() <= 1e-12 * x.abs().max(y.abs());
    let list = |b: &Bytes| [b.weight, b.act_read, b.act_write, b.kv_read, b.kv_write];
    list(a).into_iter().zip(list(b)).any(|(x, y)| !close(x, y))
}

struct Place<'a> {
    shape: &'a Shape,
    setting: &'a Setting,
    stage: StageKind,
    bandwidths: [f64; 2],
}

/// A number of bits without needless digits.
fn bits(x: f64) -> String {
    let text = format!("{x:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

impl Place<'_> {
    fn reasons(&self, tool: &Operator, physical: &Operator) -> Vec<Reason> {
        let mut list = Vec::new();
        match tool.name {
            "qk_matmul" | "sv_matmul" | "softmax" | "fused_attention" => {
                self.attention(tool, physical, &mut list);
            }
            "attn_norm" | "mlp_norm" => self.norm(&mut list),
            "attn_add" | "mlp_add" => {
                list.push(only_bytes("both operands are read, not one".into()));
            }
            "mlp_act" => self.activation(&mut list),
            "lm_head" => self.head(&mut list),
            name => self.linear(name, &mut list),
        }
        self.rates(tool, physical, &mut list);
        list
    }

    fn linear(&self, name: &str, list: &mut Vec<Reason>) {
        let (s, stored) = (self.shape, &self.setting.stored);
        let [qkv, out, mlp] = s.biases;
        if let ("gate_proj" | "up_proj" | "down_proj", Some(experts)) = (name, s.experts) {
            self.experts(experts, list);
        }
        let (weight, bias, heads) = match name {
            "q_proj" => (stored.q, qkv, true),
            "k_proj" => (stored.k, qkv, true),
            "v_proj" => (stored.v, qkv, true),
            "out_proj" => (stored.o, out, true),
            "gate_proj" => (stored.gate, mlp, false),
            "up_proj" => (stored.up, mlp, false),
            _ => (stored.down, mlp, false),
        };
        self.stored_weights(weight, list);
        if heads && s.heads * s.head_dim != s.hidden {
            let text = format!(
                "heads are {} wide, not hidden / heads = {}",
                s.head_dim,
                bits(f64::from(s.hidden) / f64::from(s.heads))
            );
            list.push(both(text));
        }
        if bias {
            list.push(both("its bias is read and added".into()));
        }
        if name == "k_proj" && s.rotated > 0 {
            list.push(only_bytes(
                "written as an activation; `rope` puts the rotated key into the cache".into(),
            ));
        } else if matches!(name, "k_proj" | "v_proj") {
            self.stored_cache(list);
        }
    }

    fn experts(&self, experts: Experts, list: &mut Vec<Reason>) {
        let tokens = if self.stage == StageKind::Prefill { self.setting.length } else { 1 };
        let read = experts.read_by(u128::from(self.setting.batch) * u128::from(tokens));
        if experts.used != 1 || read != 1.0 {
            let text = format!(
                "{} of {} experts multiply each token, {} of them are read; LLM-Viewer has one MLP",
                experts.used,
                experts.count,
                bits(read)
            );
            list.push(Reason { ops: experts.used != 1, bytes: true, text });
        }
    }

    fn stored_weights(&self, stored: f64, list: &mut Vec<Reason>) {
        let nominal = self.setting.weight_bits;
        if stored != nominal {
            let text = format!(
                "{} bits per weight are stored, scales included, not {}",
                bits(stored),
                bits(nominal)
            );
            list.push(only_bytes(text));
        }
    }

    fn stored_cache(&self, list: &mut Vec<Reason>) {
        let (stored, nominal) = (self.setting.stored.kv, self.setting.kv_bits);
        if stored != nominal {
            let text = format!(
                "{} bits per cached element are stored, scales included, not {}",
                bits(stored),
                bits(nominal)
            );
            list.push(only_bytes(text));
        }
    }

    fn attention(&self, tool: &Operator, physical: &Operator, list: &mut Vec<Reason>) {
        let (s, name) = (self.shape, tool.name);
        let prefill = self.stage == StageKind::Prefill;
        if let Some(window) = s.window.filter(|_| physical.name != name) {
            let bytes = name != "fused_attention" || !prefill;
            let text = format!(
                "these {} layers look back on {} tokens; LLM-Viewer knows no window",
                window.layers, window.tokens
            );
            list.push(Reason { ops: true, bytes, text });
        }
        if prefill && self.setting.length > 1 {
            let text = "causal: a token sees those before it, S (S + 1) / 2 pairs and not S x S";
            list.push(Reason { ops: true, bytes: name != "fused_attention", text: text.into() });
        }
        if s.score_cap && matches!(name, "softmax" | "fused_attention") {
            let text = "scores are capped: three operations more each";
            list.push(Reason { ops: true, bytes: false, text: text.into() });
        }
        if name == "softmax" {
            return;
        }
        if s.head_dim != s.hidden / s.heads {
            list.push(both(format!("heads are {} wide, not hidden / heads", s.head_dim)));
        }
        if name == "fused_attention" {
            if tool.bytes.act_write != physical.bytes.act_write {
                let text =
                    "writes its output once, a head's width per token; LLM-Viewer writes S per token, twice";
                list.push(only_bytes(text.into()));
            }
            if tool.bytes.kv_read != physical.bytes.kv_read {
                let text = "reads the cache of the key and value heads, as stored, once per block of queries that fits, up to \
                            the block's end; LLM-Viewer reads all of it for every query head, in blocks of a head's width";
                list.push(only_bytes(text.into()));
            }
            return;
        }
        if name == "qk_matmul" && prefill && s.kv_heads != s.heads {
            let text = format!("queries of {} heads are read, not of {}", s.heads, s.kv_heads);
            list.push(only_bytes(text));
        }
        self.stored_cache(list);
    }

    fn norm(&self, list: &mut Vec<Reason>) {
        if !self.shape.centred_norms {
            list.push(Reason {
                ops: true,
                bytes: false,
                text: "four operations per element: it does not centre".into(),
            });
        }
        list.push(only_bytes("its weights are read".into()));
    }

    fn activation(&self, list: &mut Vec<Reason>) {
        let s = self.shape;
        let gate = u32::from(s.gated);
        let ops = s.activation.ops() + gate;
        let mlps = s.experts.map_or(1, |experts| experts.used);
        if u64::from(mlps) * u64::from(s.intermediate) != u64::from(s.hidden) {
            let times = if mlps == 1 { String::new() } else { format!("{mlps} x ") };
            list.push(both(format!("the MLP is {times}{} wide, not {}", s.intermediate, s.hidden)));
        }
        if ops != 2 {
            let text = format!("{ops} operations per element, not 2");
            list.push(Reason { ops: true, bytes: false, text });
        }
        if !s.gated {
            list.push(only_bytes("one operand: there is no gate".into()));
        }
    }

    fn head(&self, list: &mut Vec<Reason>) {
        let text = "two operations per weight and sequence, not one";
        list.push(Reason { ops: true, bytes: false, text: text.into() });
        self.stored_weights(self.setting.stored.head, list);
        if self.setting.batch > 1 {
            list.push(only_bytes(format!("activations of {} sequences, not of one", self.setting.batch)));
        }
    }

    /// What changes the time alone.
    fn rates(&self, tool: &Operator, physical: &Operator, list: &mut Vec<Reason>) {
        let mut only_time = |text: String| list.push(Reason { ops: false, bytes: false, text });
        let matters = tool.bound == Bound::Compute || physical.bound == Bound::Compute;
        if matters && tool.peak != physical.peak {
            let why = match physical.matrix {
                true => "the fastest type that holds both operands",
                false => "no matrices: the FP32 units",
            };
            only_time(format!("peak {:.4} TOPS, not {:.4}: {why}", physical.peak * 1e-12, tool.peak * 1e-12));
        }
        let [ours, theirs] = self.bandwidths;
        if ours != theirs {
            only_time(format!("{:.1} GB/s, where LLM-Viewer has {:.1}", ours * 1e-9, theirs * 1e-9));
        }
    }
}

fn both(text: String) -> Reason {
    Reason { ops: true, bytes: true, text }
}

fn only_bytes(text: String) -> Reason {
    Reason { ops: false, bytes: true, text }
}
