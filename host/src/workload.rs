//! What is to be run: lengths and number types.

use lutsim_isa::field::{AType, Entries};
use lutsim_isa::format::{Elem, Group, WeightFormat, WeightKind};

use crate::error::HostError;
use crate::layout::shapes;
use crate::model::Model;
use crate::target::Target;

/// Tokens and types of one run.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Workload {
    /// Sequences decoded together; all have the same lengths.
    pub batch: u32,
    /// Prompt tokens of each sequence; 0 skips prefill.
    pub prompt: u32,
    /// Tokens already in the KV cache before the prompt.
    pub context: u32,
    /// Decode steps.
    pub generate: u32,
    /// Weights of the layers.
    pub weights: WeightFormat,
    /// Weights of the output head.
    pub head: WeightFormat,
    /// Activations of every matrix product.
    pub activations: AType,
    /// Entries of the tables that they are looked up in.
    pub tables: Entries,
    /// KV cache.
    pub kv: WeightKind,
    /// Whether the host samples: logits go to DRAM in place of the arg-max.
    pub sampling: bool,
}

impl Default for Workload {
    fn default() -> Self {
        let g128 = Group::Of(128);
        Self {
            batch: 1,
            prompt: 128,
            context: 0,
            generate: 32,
            weights: WeightFormat { kind: WeightKind::Int2, group: g128 },
            head: WeightFormat { kind: WeightKind::Int8, group: g128 },
            activations: AType::Int8,
            tables: Entries::Exact,
            kv: WeightKind::Kv8,
            sampling: false,
        }
    }
}

/// The KV cache type of a `--kv` argument: `int8`, `int4` or `fp16`.
pub fn parse_kv(text: &str) -> Result<WeightKind, HostError> {
    match text {
        "int8" => Ok(WeightKind::Kv8),
        "int4" => Ok(WeightKind::Kv4),
        "fp16" => Ok(WeightKind::KvF16),
        _ => Err(types(format!("the KV cache cannot be kept as `{text}`"), "int8 (others: int4, fp16)")),
    }
}

/// The weight type of a `--weights` argument.
pub fn parse_weights(text: &str) -> Result<WeightKind, HostError> {
    let kinds = || WeightKind::ALL.iter().copied().filter(|k| !k.is_kv());
    kinds().find(|k| k.name() == text).ok_or_else(|| {
        // By bits if there is a number, else by spelling.
        let bits = |t: &str| t.trim_start_matches(|c: char| !c.is_ascii_digit()).parse::<f64>().ok();
        let distance = |name: &str| match (bits(name), bits(text)) {
            (Some(a), Some(b)) => (a - b).abs(),
            _ => strsim::levenshtein(name, text) as f64,
        };
        let near = kinds().map(WeightKind::name).min_by(|a, b| distance(a).total_cmp(&distance(b)));
        let near = near.unwrap_or("int2");
        let all: Vec<&str> = kinds().map(WeightKind::name).collect();
        types(format!("weights cannot be kept as `{text}`"), &format!("{near} (of {})", all.join(", ")))
    })
}

pub(crate) fn types(what: String, nearest: &str) -> HostError {
    HostError::Types { what, nearest: nearest.into() }
}

impl Workload {
    /// Tokens of one sequence at the end of the run.
    pub fn tokens(&self) -> u64 {
        u64::from(self.context) + u64::from(self.prompt) + u64::from(self.generate)
    }
    /// Whether the model and the chip can do it, lengths and types.
    pub fn check(&self, model: &Model, target: &Target) -> Result<(), HostError> {
        if self.batch == 0 {
            return Err(HostError::Workload {
                what: "a batch of 0 sequences does nothing".into(),
                help: "give --batch 1 or more".into(),
            });
        }
        if self.prompt == 0 && self.generate == 0 {
            return Err(HostError::Workload {
                what: "prompt 0 and generate 0 leave nothing to run".into(),
                help: "give --prompt or --generate at least 1".into(),
            });
        }
        let total = self.tokens();
        if total > u64::from(model.context) {
            return Err(HostError::Context {
                model: model.name.clone(),
                limit: u64::from(model.context),
                context: self.context,
                prompt: self.prompt,
                generate: self.generate,
                total,
            });
        }
        if self.tables == Entries::Int8 && target.stored_tables {
            let what = "tables that the vector unit makes (lut.build = \"vector\") have exact entries";
            return Err(types(what.into(), "--tables exact"));
        }
        let formats = self.matrices(model);
        let mixed = formats.iter().filter(|m| m.name != "head" && m.format != self.weights);
        let of_layers = mixed.map(|m| (m.format, m.name));
        for (format, flag) in
            [(self.weights, "--group"), (self.head, "the head's group")].into_iter().chain(of_layers)
        {
            if format.kind.is_kv() {
                return Err(types(format!("{} is a KV cache type, not a weight type", format.kind), "int2"));
            }
            self.check_sum(format, flag, target)?;
        }
        for Sort { name, k, format, .. } in formats {
            if !format.divides(k) {
                return Err(types(
                    format!("the {k} inputs of {name} are no whole blocks of {}", format.kind),
                    if k.is_multiple_of(32) { "q4_0" } else { "int4" },
                ));
            }
        }
        let float = |m: &Sort| m.name == "w_down" && m.format.kind.is_float();
        if model.experts.is_some() && self.matrices(model).iter().any(float) {
            let what = "the down projections of experts, which are weighed in the cores, cannot be floats";
            return Err(types(what.into(), "int8 (leave --exact-float out)"));
        }
        let kv = WeightFormat { kind: self.kv, group: Group::Of(KV_TILE) };
        if !self.kv.is_kv() {
            return Err(types(format!("the KV cache cannot be kept as {}", self.kv), "int8"));
        }
        self.check_sum(kv, "a KV tile", target)?;
        let columns = target.cores.min(255) * target.n;
        if !self.kv_scaled() && model.head_dim > columns {
            return Err(types(
                format!(
                    "an fp16 KV cache needs a gang as wide as a head: {} columns, not {columns}",
                    model.head_dim
                ),
                "--kv int8",
            ));
        }
        let keys = self.longest_sum(self.kv, target);
        if u64::from(model.head_dim) > keys {
            return Err(types(
                format!(
                    "{}-bit accumulators hold {keys} products, a head has {}",
                    target.accumulator_bits, model.head_dim
                ),
                "lut.accumulator_bits = 32",
            ));
        }
        Ok(())
    }
    /// The type of a matrix: a layer's of some [kind](Mix), or the head.
    pub fn format(&self, model: &Model, kind: usize, name: &str) -> WeightFormat {
        let mixed = model.mix.as_ref().and_then(|mix| mix.kinds()[kind].get(name));
        match name {
            "head" => self.head,
            _ => mixed.copied().unwrap_or(self.weights),
        }
    }
    /// Whether the vector unit multiplies with some matrix.
    pub(crate) fn any_floats(&self, model: &Model) -> bool {
        self.matrices(model).iter().any(|m| m.format.kind.is_float())
    }
    /// What sorts of matrices the model has: of each kind of layers, those that no kind before it has; the head last.
    pub(crate) fn matrices(&self, model: &Model) -> Vec<Sort> {
        let mut out = Vec::new();
        for kind in 0..model.mix.as_ref().map_or(1, |mix| mix.kinds().len()) {
            for (name, n, k) in shapes(model) {
                let sort = Sort { name, n, k, format: self.format(model, kind, name) };
                if !out.contains(&sort) {
                    out.push(sort);
                }
            }
        }
        out.push(Sort { name: "head", n: model.vocab, k: model.hidden, format: self.head });
        out
    }
    /// Proves that an accumulator holds a group's sum.
    fn check_sum(&self, format: WeightFormat, what: &str, target: &Target) -> Result<(), HostError> {
        let most = self.longest_sum(format.kind, target);
        let group = match format.group {
            Group::Of(g) => u64::from(g),
            Group::Row => 16, // the K block is chosen below the limit
        };
        if group <= most {
            return Ok(());
        }
        // Blocks cannot be cut.
        let cuts = format.kind.blocks().is_none();
        let nearest = (4..=10).rev().map(|p| 1u64 << p).find(|&g| cuts && g <= most);
        let nearest = nearest.map_or("lut.accumulator_bits = 32".into(), |g| format!("{what} {g}"));
        Err(types(
            format!(
                "{what} of {group} {} weights does not fit {}-bit accumulators: they provably hold {most} products",
                format.kind, target.accumulator_bits
            ),
            &nearest,
        ))
    }
    /// What becomes of the entries of tables of `k` activations: of one there is nothing to round.
    pub fn entries(&self, k: u32) -> Entries {
        if k == 1 { Entries::Exact } else { self.tables }
    }
    /// Most products with weights of a kind that an accumulator provably holds; no limit in floating point. A rounded entry is no larger
    /// than one activation, so there it is tables that count.
    pub fn longest_sum(&self, kind: WeightKind, target: &Target) -> u64 {
        let table = if kind.is_kv() && target.mac_attention { 1 } else { target.k };
        let most = target.longest_sum(kind.max_odd());
        match (self.entries(table), self.activations) {
            (Entries::Int8, _) => most * u64::from(table),
            (Entries::Exact, AType::Int8) => most,
            (Entries::Exact, AType::Fp16) => u64::MAX,
        }
    }
    /// The type of an activation.
    pub fn activation_elem(&self) -> Elem {
        match self.activations {
            AType::Int8 => Elem::I8,
            AType::Fp16 => Elem::F16,
        }
    }
    /// Bytes of one token's codes of one head in the KV cache.
    pub fn kv_row_bytes(&self, head_dim: u32) -> u64 {
        self.kv.code_bytes(u64::from(head_dim))
    }
    /// Whether the KV cache has a stored scale per (token, head).
    pub fn kv_scaled(&self) -> bool {
        self.kv != WeightKind::KvF16
    }
}

/// Matrices of a name and a type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Sort {
    pub(crate) name: &'static str,
    /// Outputs.
    pub(crate) n: u32,
    /// Inputs.
    pub(crate) k: u32,
    pub(crate) format: WeightFormat,
}

/// Tokens that share a quantisation scale of P in the product P V.
pub const KV_TILE: u32 = 128;
