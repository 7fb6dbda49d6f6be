//! A Hugging Face checkpoint: config.json and safetensors files, every tensor in its place.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::coded::{CodedMatrix, CodedRow};
use crate::config::Config;
use crate::dimensions::{Dimensions, Family};
use crate::error::FormatError;
use crate::packed::{PackedLinear, Packing};
use crate::roles::{Part, Place, Role, check_places, used};
use crate::safetensors::{Dtype, FLOATS, SafeTensors, View};

/// What a family calls its tensors.
struct Names {
    family: Family,
    /// Before every name, or not there: files saved without the head lack it.
    prefix: &'static str,
    outside: &'static [(Role, &'static str)],
    /// Before a layer's number.
    layers: &'static str,
    layer: &'static [(Role, &'static str)],
}

const OUTSIDE: &[(Role, &str)] = &[(Role::TokenEmbd, "embed_tokens"), (Role::OutputNorm, "norm")];

/// What most families call their layers' tensors.
const LAYER: &[(Role, &str)] = &[
    (Role::AttnNorm, "input_layernorm"),
    (Role::AttnQ, "self_attn.q_proj"),
    (Role::AttnK, "self_attn.k_proj"),
    (Role::AttnV, "self_attn.v_proj"),
    (Role::AttnOutput, "self_attn.o_proj"),
    (Role::AttnSubNorm, "self_attn.attn_sub_norm"),
    (Role::FfnNorm, "post_attention_layernorm"),
    (Role::FfnGate, "mlp.gate_proj"),
    (Role::FfnUp, "mlp.up_proj"),
    (Role::FfnDown, "mlp.down_proj"),
    (Role::FfnSubNorm, "mlp.ffn_sub_norm"),
    (Role::FfnGateInp, "block_sparse_moe.gate"),
    (Role::FfnGateExps, "block_sparse_moe.experts.{}.w1"),
    (Role::FfnDownExps, "block_sparse_moe.experts.{}.w2"),
    (Role::FfnUpExps, "block_sparse_moe.experts.{}.w3"),
];

/// As [`LAYER`], with gate and up in one.
const PHI3: &[(Role, &str)] = &[
    (Role::AttnNorm, "input_layernorm"),
    (Role::AttnQkv, "self_attn.qkv_proj"),
    (Role::AttnOutput, "self_attn.o_proj"),
    (Role::FfnNorm, "post_attention_layernorm"),
    (Role::FfnUp, "mlp.gate_up_proj"),
    (Role::FfnDown, "mlp.down_proj"),
];

/// As [`LAYER`], with norms behind attention and MLP too.
const GEMMA2: &[(Role, &str)] = &[
    (Role::AttnNorm, "input_layernorm"),
    (Role::AttnQ, "self_attn.q_proj"),
    (Role::AttnK, "self_attn.k_proj"),
    (Role::AttnV, "self_attn.v_proj"),
    (Role::AttnOutput, "self_attn.o_proj"),
    (Role::AttnPostNorm, "post_attention_layernorm"),
    (Role::FfnNorm, "pre_feedforward_layernorm"),
    (Role::FfnGate, "mlp.gate_proj"),
    (Role::FfnUp, "mlp.up_proj"),
    (Role::FfnDown, "mlp.down_proj"),
    (Role::FfnPostNorm, "post_feedforward_layernorm"),
];

const PLAIN: Names =
    Names { family: Family::Llama, prefix: "model.", outside: OUTSIDE, layers: "layers.", layer: LAYER };

/// Families whose names are not [`PLAIN`]; compared with the name table of the Python package `gguf`.
static NAMES: [Names; 5] = [
    Names { family: Family::Phi3, layer: PHI3, ..PLAIN },
    Names { family: Family::Gemma2, layer: GEMMA2, ..PLAIN },
    Names {
        family: Family::Opt,
        outside: &[
            (Role::TokenEmbd, "decoder.embed_tokens"),
            (Role::PositionEmbd, "decoder.embed_positions"),
            (Role::OutputNorm, "decoder.final_layer_norm"),
        ],
        layers: "decoder.layers.",
        layer: &[
            (Role::AttnNorm, "self_attn_layer_norm"),
            (Role::AttnQ, "self_attn.q_proj"),
            (Role::AttnK, "self_attn.k_proj"),
            (Role::AttnV, "self_attn.v_proj"),
            (Role::AttnOutput, "self_attn.out_proj"),
            (Role::FfnNorm, "final_layer_norm"),
            (Role::FfnUp, "fc1"),
            (Role::FfnDown, "fc2"),
        ],
        ..PLAIN
    },
    Names {
        family: Family::Gpt2,
        prefix: "transformer.",
        outside: &[(Role::TokenEmbd, "wte"), (Role::PositionEmbd, "wpe"), (Role::OutputNorm, "ln_f")],
        layers: "h.",
        layer: &[
            (Role::AttnNorm, "ln_1"),
            (Role::AttnQkv, "attn.c_attn"),
            (Role::AttnOutput, "attn.c_proj"),
            (Role::FfnNorm, "ln_2"),
            (Role::FfnUp, "mlp.c_fc"),
            (Role::FfnDown, "mlp.c_proj"),
        ],
    },
    Names {
        family: Family::Bloom,
        prefix: "transformer.",
        outside: &[
            (Role::TokenEmbd, "word_embeddings"),
            (Role::TokenEmbdNorm, "word_embeddings_layernorm"),
            (Role::OutputNorm, "ln_f"),
        ],
        layers: "h.",
        layer: &[
            (Role::AttnNorm, "input_layernorm"),
            (Role::AttnQkv, "self_attention.query_key_value"),
            (Role::AttnOutput, "self_attention.dense"),
            (Role::FfnNorm, "post_attention_layernorm"),
            (Role::FfnUp, "mlp.dense_h_to_4h"),
            (Role::FfnDown, "mlp.dense_4h_to_h"),
        ],
    },
];

/// The head, in every family.
const HEAD: &str = "lm_head";

/// Buffers that some files hold beside weights: frequencies, and GPT-2's causal mask.
const BUFFERS: &[&str] = &[".rotary_emb.inv_freq", ".attn.bias", ".attn.masked_bias"];

impl Names {
    fn of(family: Family) -> &'static Names {
        NAMES.iter().find(|names| names.family == family).unwrap_or(&PLAIN)
    }
    /// Layer, role and expert of a name without its last part.
    fn place(&self, stem: &str) -> Option<Place> {
        if stem == HEAD {
            return Some(Place::weight(0, Role::Output));
        }
        let stem = stem.strip_prefix(self.prefix).unwrap_or(stem);
        let Some(rest) = stem.strip_prefix(self.layers) else {
            let (role, _) = self.outside.iter().find(|(_, name)| *name == stem)?;
            return Some(Place::weight(0, *role));
        };
        let (layer, stem) = rest.split_once('.')?;
        let layer = number(layer)?;
        self.layer.iter().find_map(|&(role, name)| match name.split_once("{}") {
            None => (name == stem).then(|| Place::weight(layer, role)),
            Some((before, behind)) => {
                let expert = number(stem.strip_prefix(before)?.strip_suffix(behind)?)?;
                Some(Place { expert, ..Place::weight(layer, role) })
            }
        })
    }
    /// The name of a place, without its last part.
    fn stem(&self, place: &Place) -> Option<String> {
        if place.role == Role::Output {
            return Some(HEAD.into());
        }
        let of =
            |names: &[(Role, &'static str)]| names.iter().find(|(r, _)| *r == place.role).map(|(_, n)| *n);
        let (layer, name) = if place.role.per_layer() {
            (format!("{}{}.", self.layers, place.layer), of(self.layer)?)
        } else {
            (String::new(), of(self.outside)?)
        };
        Some(format!("{}{layer}{}", self.prefix, name.replace("{}", &place.expert.to_string())))
    }
}

/// A number without a sign or zeros before it.
fn number(text: &str) -> Option<u32> {
    text.parse().ok().filter(|n: &u32| n.to_string() == text)
}

/// The name of a place in a family's files.
fn name_of(family: Family, place: &Place) -> String {
    let part = if place.part == Part::Bias { "bias" } else { "weight" };
    let stem = Names::of(family).stem(place).unwrap_or_else(|| format!("{:?}", place.role));
    format!("{stem}.{part}")
}

/// How a matrix of floats lies in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// Row behind row.
    Rows,
    /// Column behind column (GPT-2's `Conv1D`).
    Columns,
    /// Row behind row, but query, key and value of each head together, and not those of all heads (BLOOM).
    Heads {
        /// Width of a head.
        head_dim: usize,
    },
}

/// A matrix or a vector of floats.
#[derive(Debug, Clone, Copy)]
pub struct Floats<'f> {
    view: View<'f>,
    rows: usize,
    cols: usize,
    order: Order,
}

/// Where row `row` of all queries, then all keys, then all values is, among `rows` in which each head has its own three.
fn by_heads(row: usize, rows: usize, head_dim: usize) -> usize {
    let (which, row) = (row / (rows / 3), row % (rows / 3));
    (row / head_dim * 3 + which) * head_dim + row % head_dim
}

impl Floats<'_> {
    /// Its name in the file.
    pub fn name(&self) -> &str {
        self.view.name
    }
    /// Its type in the file.
    pub fn dtype(&self) -> Dtype {
        self.view.dtype
    }
    /// Rows; 1 for a vector.
    pub fn rows(&self) -> usize {
        self.rows
    }
    /// Numbers of a row.
    pub fn cols(&self) -> usize {
        self.cols
    }
    /// The values of row `row`: rows of a matrix for queries, keys and values are those of all queries first.
    ///
    /// # Errors
    /// A value that is not finite.
    ///
    /// # Panics
    /// If `row` is not below [`Floats::rows`], or `out` is not [`Floats::cols`] long.
    pub fn row(&self, row: usize, out: &mut [f32]) -> Result<(), FormatError> {
        assert!(
            row < self.rows && out.len() == self.cols,
            "row {row} of {} into {}",
            self.view.name,
            out.len()
        );
        for (i, out) in out.iter_mut().enumerate() {
            *out = self.view.float(match self.order {
                Order::Rows => row * self.cols + i,
                Order::Columns => i * self.rows + row,
                // A bias has one row, of which the numbers are in that order.
                Order::Heads { head_dim } if self.rows == 1 => by_heads(i, self.cols, head_dim),
                Order::Heads { head_dim } => by_heads(row, self.rows, head_dim) * self.cols + i,
            });
        }
        match out.iter().position(|v| !v.is_finite()) {
            None => Ok(()),
            Some(col) => {
                let found = format!("row {row}, column {col} is {}", out[col]);
                Err(FormatError::tensor(self.view.name, found, "finite weights"))
            }
        }
    }
}

/// The weights of a place.
#[derive(Debug, Clone)]
pub enum Weights<'f> {
    /// Floats.
    Floats(Floats<'f>),
    /// Packed codes.
    Packed(PackedLinear<'f>),
}

impl Weights<'_> {
    /// The name in the file: a layer's, without its parts, if it is packed.
    pub fn name(&self) -> &str {
        match self {
            Weights::Floats(floats) => floats.name(),
            Weights::Packed(packed) => packed.name(),
        }
    }
    /// The values of row `row`.
    ///
    /// # Errors
    /// As [`Floats::row`] and [`CodedMatrix::row`].
    ///
    /// # Panics
    /// As they do.
    pub fn row(&self, row: usize, out: &mut [f32]) -> Result<(), FormatError> {
        match self {
            Weights::Floats(floats) => floats.row(row, out),
            Weights::Packed(packed) => {
                let mut codes = CodedRow::default();
                packed.row(row, &mut codes)?;
                codes.values(&packed.coding(), packed.cols(), out);
                Ok(())
            }
        }
    }
}

/// A model in safetensors files.
#[derive(Debug, Clone)]
pub struct Checkpoint<'f> {
    /// Its dimensions.
    pub dimensions: Dimensions,
    weights: BTreeMap<Place, Weights<'f>>,
}

impl<'f> Checkpoint<'f> {
    /// The model of a configuration and its files.
    ///
    /// # Errors
    /// A tensor that has no role, other dimensions than the model's, is there twice, or is missing.
    pub fn of(config: &Config, files: &'f [SafeTensors<'_>]) -> Result<Checkpoint<'f>, FormatError> {
        let d = config.dimensions.clone();
        let names = Names::of(d.family);
        let mut weights = BTreeMap::new();
        for file in files {
            for view in file.tensors() {
                let wrong =
                    |found: &str, expected: &str| Err(FormatError::tensor(view.name, found, expected));
                if BUFFERS.iter().any(|buffer| view.name.ends_with(buffer)) {
                    continue;
                }
                let (stem, part) = view.name.rsplit_once('.').unwrap_or((view.name, ""));
                let packed = match (config.packing, part) {
                    (Some(Packing::Gptq { .. } | Packing::Awq { .. }), "qweight") => config.packing,
                    // They belong to a `qweight` or a `weight`, which reads them.
                    (Some(Packing::Gptq { .. } | Packing::Awq { .. }), "qzeros" | "scales" | "g_idx")
                    | (Some(Packing::Bitnet { .. }), "weight_scale") => continue,
                    (Some(Packing::Bitnet { .. }), "weight") if view.dtype == Dtype::U8 => config.packing,
                    (_, "weight" | "bias") => None,
                    _ => return wrong("a name that has no role", "those of the model's family"),
                };
                let Some(place) = names.place(stem) else {
                    return wrong("a name that has no role", "those of the model's family");
                };
                let part = if part == "bias" { Part::Bias } else { Part::Weight };
                let place = Place { part, ..place };
                let experts = d.experts.map_or(1, |experts| experts.count);
                if place.layer >= d.layers || place.expert >= experts {
                    let expected = format!("{} layers, {experts} experts", d.layers);
                    return wrong("of a layer or an expert too many", &expected);
                }
                if d.tied && place.role == Role::Output {
                    // The embedding is the head, whatever else was saved.
                    continue;
                }
                // GPTQ's packers write a bias of zeros for every layer.
                let fused = place.role == Role::AttnQkv;
                if part == Part::Bias
                    && config.packing.is_some()
                    && !used(&d, &place, fused)
                    && view.floats()?.iter().all(|&v| v == 0.0)
                {
                    continue;
                }
                let one = match packed {
                    Some(packing) => Weights::Packed(packed_layer(file, stem, packing, &d, place)?),
                    None => Weights::Floats(floats(view, &d, place)?),
                };
                if weights.insert(place, one).is_some() {
                    return wrong("there twice", "once");
                }
            }
        }
        let checkpoint = Checkpoint { dimensions: d, weights };
        checkpoint.check()?;
        Ok(checkpoint)
    }
    fn check(&self) -> Result<(), FormatError> {
        let d = &self.dimensions;
        let name = |place: &Place| name_of(d.family, place);
        check_places(d, self.weights.keys(), |place| self.weights.contains_key(&place), name)?;
        let Some(experts) = d.experts else { return Ok(()) };
        for layer in 0..d.layers {
            for role in [Role::FfnGateExps, Role::FfnUpExps, Role::FfnDownExps] {
                for expert in 0..experts.count {
                    self.weights(Place { expert, ..Place::weight(layer, role) })?;
                }
            }
        }
        Ok(())
    }
    /// The weights of a place, if they are there.
    pub fn get(&self, place: Place) -> Option<&Weights<'f>> {
        self.weights.get(&place)
    }
    /// The weights of a place.
    ///
    /// # Errors
    /// If they are not there.
    pub fn weights(&self, place: Place) -> Result<&Weights<'f>, FormatError> {
        self.get(place).ok_or_else(|| {
            FormatError::tensor(name_of(self.dimensions.family, &place), "not there", "this tensor")
        })
    }
    /// Every place and its weights.
    pub fn all(&self) -> impl Iterator<Item = (Place, &Weights<'f>)> {
        self.weights.iter().map(|(place, weights)| (*place, weights))
    }
}

/// Columns and rows of one matrix: an expert's own where there are several.
fn shape(d: &Dimensions, place: Place) -> [u64; 2] {
    let [cols, rows, ..] = place.dims(d);
    [cols, rows]
}

fn packed_layer<'f>(
    file: &'f SafeTensors<'_>,
    stem: &str,
    packing: Packing,
    d: &Dimensions,
    place: Place,
) -> Result<PackedLinear<'f>, FormatError> {
    let layer = PackedLinear::open(file, stem, packing)?;
    let [cols, rows] = shape(d, place);
    let found = [layer.cols() as u64, layer.rows() as u64];
    if found != [cols, rows] {
        let found = format!("{} outputs of {} inputs", found[1], found[0]);
        return Err(FormatError::tensor(stem, found, format!("{rows} of {cols}")));
    }
    Ok(layer)
}

fn floats<'f>(view: View<'f>, d: &Dimensions, place: Place) -> Result<Floats<'f>, FormatError> {
    let [cols, rows] = shape(d, place);
    let order = match (d.family, place.role) {
        (Family::Gpt2, Role::AttnQkv | Role::AttnOutput | Role::FfnUp | Role::FfnDown)
            if place.part == Part::Weight =>
        {
            Order::Columns
        }
        (Family::Bloom, Role::AttnQkv) => Order::Heads { head_dim: d.head_dim as usize },
        _ => Order::Rows,
    };
    let vector = place.part == Part::Bias || rows == 1 && view.shape.len() == 1;
    let expected = match order {
        Order::Columns => vec![cols, rows],
        _ if vector => vec![cols],
        _ => vec![rows, cols],
    };
    let view = view.expect(FLOATS, &expected)?;
    Ok(Floats { view, rows: rows as usize, cols: cols as usize, order })
}

/// Which file has which tensor: `model.safetensors.index.json`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Index {
    /// Tensor to file name.
    pub weight_map: BTreeMap<String, String>,
}

impl Index {
    /// Reads an index.
    ///
    /// # Errors
    /// If it is not one, or names a file outside of its own folder.
    pub fn parse(bytes: &[u8]) -> Result<Index, FormatError> {
        let what = "the index of safetensors files";
        let index: Index = serde_json::from_slice(bytes)
            .map_err(|e| FormatError::Json { what: what.into(), message: e.to_string() })?;
        for (tensor, file) in &index.weight_map {
            if !file.ends_with(".safetensors") || file.contains(['/', '\\']) {
                let found = format!("in the file `{}`", file.escape_debug());
                return Err(FormatError::tensor(tensor, found, "a name.safetensors in the index's folder"));
            }
        }
        Ok(index)
    }
    /// The files, each once.
    pub fn files(&self) -> Vec<&str> {
        let mut files: Vec<_> = self.weight_map.values().map(String::as_str).collect();
        files.sort_unstable();
        files.dedup();
        files
    }
}
