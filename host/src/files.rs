//! A model file as a model and its numbers: what [`lutsim_formats`] reads, in the host's words.
//!
//! Matrices in codes keep the file's own bits. Those of floats are rounded to INT8 in groups of 128, or kept in FP16
//! ([`FileModel::exact_float`]), and it is said how far that took them.

mod request;
mod stored;

use half::f16;
use lutsim_formats::checkpoint::Checkpoint;
use lutsim_formats::config::Config;
use lutsim_formats::dimensions::{self, Activation, Dimensions, Family, Pairing, Scaling};
use lutsim_formats::error::FormatError;
use lutsim_formats::gguf::{Gguf, GgufModel};
use lutsim_formats::roles::{Part, Place, Role};
use lutsim_formats::safetensors::SafeTensors;
use lutsim_isa::field::{Act, Norm, Rope};
use lutsim_isa::{Group, WeightFormat, WeightKind};

use crate::blocks::Matrix;
use crate::layout::shapes;
use crate::mix::{Formats, Mix};
use crate::model::rotary::{long_attention, yarn_attention};
use crate::model::{
    Bands, Experts, LearnedPositions, Model, Positions, Published, RopeConfig, RopeScaling, Window,
    WindowLayers,
};
use crate::weights::{WeightError, WeightSource};
use request::Input;
pub use request::{Importance, Request};
use stored::{Source, Stored};

/// What float matrices are rounded to.
pub const ROUNDED: WeightFormat = WeightFormat { kind: WeightKind::Int8, group: Group::Of(128) };

/// Why a file's model cannot be run.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum FileError {
    /// The file is not what it should be.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The machine has no instruction for it, or the lowering no words.
    #[error("this {family} model has {what}, which is not lowered yet")]
    Unsupported {
        /// Family.
        family: String,
        /// What.
        what: String,
    },
    /// Dimensions that the machine does not take.
    #[error("`{key}`: {why}")]
    Dimension {
        /// Which.
        key: &'static str,
        /// Why.
        why: String,
    },
    /// Weights that no format holds.
    #[error("`{tensor}`: {why}")]
    Weights {
        /// Which.
        tensor: String,
        /// Why.
        why: String,
    },
}

/// How far a matrix of the machine is from the file's: of floats that were rounded to [`ROUNDED`], or scales to FP16.
#[derive(Debug, Clone, PartialEq)]
pub struct Rounding {
    /// Its name in the file.
    pub tensor: String,
    /// Its type there.
    pub from: String,
    /// Its type in the machine.
    pub to: WeightFormat,
    /// Squared error over squared size.
    pub nmse: f64,
}

/// A model in a GGUF file, or in safetensors files.
#[derive(Debug, Clone)]
pub struct FileModel<'a> {
    /// Its dimensions, and its types where the layers have several.
    pub model: Model,
    /// Type of most of the layers' weights, in the machine.
    pub weights: WeightFormat,
    /// Type of the head.
    pub head: WeightFormat,
    file: Source<'a>,
    /// Of the layers' matrices, if they are not to be as in the file.
    request: Option<Request>,
    /// Float matrices stay floats: FP16 on the vector unit.
    exact: bool,
}

impl<'a> FileModel<'a> {
    /// The model of a file; `name` is what it is called from now on.
    ///
    /// # Errors
    /// A file that is not a whole model, or one that cannot be lowered.
    pub fn of(name: &str, gguf: &Gguf<'a>) -> Result<Self, FileError> {
        Self::new(name, Source::Gguf(GgufModel::of(gguf)?))
    }

    /// The model of a configuration and its files, likewise.
    ///
    /// # Errors
    /// As [`Self::of`].
    pub fn of_checkpoint(
        name: &str,
        config: &Config,
        files: &'a [SafeTensors<'_>],
    ) -> Result<Self, FileError> {
        Self::new(name, Source::Checkpoint(Checkpoint::of(config, files)?))
    }

    fn new(name: &str, file: Source<'a>) -> Result<Self, FileError> {
        let model = model(name, file.dimensions())?;
        let mut found = Self { model, weights: ROUNDED, head: ROUNDED, file, request: None, exact: false };
        found.choose_types()?;
        Ok(found)
    }

    /// The types of the machine's matrices.
    fn choose_types(&mut self) -> Result<(), FileError> {
        let found = self;
        found.head = found.format_of(&found.file.tensor(head_place(found.file.dimensions()))?)?;
        let mut layers = Vec::new();
        for layer in 0..found.model.layers {
            let mut formats = Formats::new();
            for (name, ..) in shapes(&found.model) {
                let Some((tensor, ..)) = found.matrix(name, layer, 0) else { continue };
                if matches!((found.file.dimensions().family, tensor), (Family::Bitnet, Stored::Floats(_))) {
                    let what = "float weights that are rounded to ternary ones when they are loaded".into();
                    return Err(FileError::Unsupported { family: found.model.family.clone(), what });
                }
                formats.insert(name, found.format_of(&tensor)?);
            }
            layers.push(formats);
        }
        found.model.mix = Some(Mix::new(layers));
        let types = found.model.weight_types(ROUNDED);
        found.weights = types.first().map_or(ROUNDED, |(format, _)| *format);
        if types.len() == 1 {
            found.model.mix = None;
        }
        Ok(())
    }

    /// The same with float matrices kept as floats, FP16, which the vector unit multiplies with; to be asked before [`Self::requested`].
    ///
    /// # Errors
    /// A tensor without a type.
    pub fn exact_float(mut self) -> Result<Self, FileError> {
        self.exact = true;
        self.choose_types()?;
        Ok(self)
    }
    fn format_of(&self, tensor: &Stored<'_>) -> Result<WeightFormat, FileError> {
        if self.exact && tensor.is_float() { Ok(WeightFormat::FLOAT) } else { tensor.format() }
    }
    fn matrix_of(&self, tensor: &Stored<'_>, first: usize, rows: usize) -> Result<Matrix, FileError> {
        match self.exact && tensor.is_float() {
            true => tensor.halves(first, rows).map(Matrix::Floats),
            false => tensor.matrix(first, rows),
        }
    }

    /// The same with the layers' matrices in another type.
    ///
    /// # Errors
    /// A type that weights are not made in.
    pub fn requested(mut self, request: Request) -> Result<Self, FileError> {
        request.check()?;
        (self.weights, self.model.mix) = (request.format, None);
        self.request = Some(request);
        Ok(self)
    }
    /// That every matrix is one that the machine takes: as in the file, or as was asked.
    ///
    /// # Errors
    /// A matrix whose groups are no neighbours (GPTQ's `desc_act`), neither [`Self::requested`] in another type nor in
    /// [`Self::exact_float`]; its numbers are refused too.
    pub fn check(&self) -> Result<(), FileError> {
        let left = |place: &Place| !self.exact && (self.request.is_none() || !place.role.per_layer());
        self.file.tensors().iter().filter(|(place, _)| left(place)).try_for_each(|(_, t)| t.check_order())
    }
    /// What was asked of the layers' matrices, if they are not as in the file.
    pub fn request(&self) -> Option<&Request> {
        self.request.as_ref()
    }
    /// Some rows of a layer's matrix as was asked.
    fn made(
        &self,
        request: &Request,
        (tensor, first, rows): (Stored<'_>, usize, usize),
        place: (u32, Input),
    ) -> Result<(Vec<f32>, Matrix), FileError> {
        let values = tensor.values_of(first, rows)?;
        let made = request.quantise(&values, (rows as u32, tensor.cols() as u32), place);
        let refuse = |why: String| FileError::Weights { tensor: tensor.name().into(), why };
        Ok((values, Matrix::Codes(made.map_err(|e| refuse(e.to_string()))?)))
    }

    /// How far each matrix that is not exact was rounded; the head's among them.
    ///
    /// # Errors
    /// A tensor that cannot be read.
    pub fn roundings(&self) -> Result<Vec<Rounding>, FileError> {
        let mut out = Vec::new();
        let head = head_place(self.file.dimensions());
        for (place, tensor) in self.file.tensors() {
            let layers = place.role.per_layer() && place.part == Part::Weight && tensor.rows() > 1;
            let request = self.request.as_ref().filter(|_| layers);
            if tensor.exact() && request.is_none() || !(layers || place == head) {
                continue;
            }
            let (values, made) = match request {
                Some(request) => {
                    let input = Input::of_role(place.role);
                    self.made(request, (tensor, 0, tensor.rows()), (place.layer, input))?
                }
                None => (tensor.values()?, self.matrix_of(&tensor, 0, tensor.rows())?),
            };
            if matches!(made, Matrix::Floats(_)) && made.dequantise() == values {
                continue;
            }
            let (from, to, nmse) = (tensor.kind(), made.format(), nmse(&values, &made.dequantise()));
            out.push(Rounding { tensor: tensor.name().into(), from, to, nmse });
        }
        Ok(out)
    }

    /// Which tensor a matrix of the machine is in, that of an expert if experts have it, and its rows there.
    fn matrix(&self, name: &str, layer: u32, expert: u32) -> Option<(Stored<'_>, usize, usize)> {
        let m = &self.model;
        let [q, kv, ffn] = [m.q_width(), m.kv_width(), m.intermediate].map(|rows| rows as usize);
        let fused = self.file.get(Place::weight(layer, Role::AttnQkv)).is_some();
        // Phi-3 keeps gate and up in one matrix.
        let double = m.gated_mlp && self.file.get(Place::weight(layer, Role::FfnGate)).is_none();
        let (role, first, rows) = match name {
            "wq" if fused => (Role::AttnQkv, 0, q),
            "wk" if fused => (Role::AttnQkv, q, kv),
            "wv" if fused => (Role::AttnQkv, q + kv, kv),
            "wq" => (Role::AttnQ, 0, q),
            "wk" => (Role::AttnK, 0, kv),
            "wv" => (Role::AttnV, 0, kv),
            "wo" => (Role::AttnOutput, 0, m.hidden as usize),
            "w_router" => (Role::FfnGateInp, 0, m.experts.map_or(0, |experts| experts.count as usize)),
            "w_gate" if m.experts.is_some() => (Role::FfnGateExps, 0, ffn),
            "w_up" if m.experts.is_some() => (Role::FfnUpExps, 0, ffn),
            "w_down" if m.experts.is_some() => (Role::FfnDownExps, 0, m.hidden as usize),
            "w_gate" if double => (Role::FfnUp, 0, ffn),
            "w_up" if double => (Role::FfnUp, ffn, ffn),
            "w_gate" => (Role::FfnGate, 0, ffn),
            "w_up" => (Role::FfnUp, 0, ffn),
            "w_down" => (Role::FfnDown, 0, m.hidden as usize),
            "head" => (head_place(self.file.dimensions()).role, 0, m.vocab as usize),
            _ => return None,
        };
        let place = Place::weight(layer, role);
        let own = self.file.get(Place { expert, ..place }).map(|tensor| (tensor, first, rows));
        // A GGUF file has all experts' rows in one tensor.
        let first = first + expert as usize * rows;
        own.or_else(|| Some((self.file.get(place)?, first, rows)))
            .filter(|(tensor, first, rows)| first + rows <= tensor.rows())
    }

    /// Norm weights or a bias: where they are, and where what follows them is.
    fn numbers(&self, name: &str, layer: u32) -> Option<Vec<(Stored<'_>, usize, usize)>> {
        let m = &self.model;
        let [q, kv] = [m.q_width(), m.kv_width()].map(|n| n as usize);
        let part = |role, part| {
            let tensor = self.file.get(Place { part, ..Place::weight(layer, role) })?;
            Some((tensor, 0, tensor.cols()))
        };
        let norm = |role| {
            let weights = part(role, Part::Weight)?;
            Some(match m.norm {
                Norm::Layer => vec![weights, part(role, Part::Bias)?],
                _ => vec![weights],
            })
        };
        let bias = |role| Some(vec![part(role, Part::Bias)?]);
        let of_qkv = |role, first, len| match part(Role::AttnQkv, Part::Bias) {
            Some((tensor, ..)) => Some(vec![(tensor, first, len)]),
            None => bias(role),
        };
        match name {
            "embedding_norm" => norm(Role::TokenEmbdNorm),
            "attn_norm" => norm(Role::AttnNorm),
            "attn_sub_norm" => norm(Role::AttnSubNorm),
            "attn_post_norm" => norm(Role::AttnPostNorm),
            "mlp_post_norm" => norm(Role::FfnPostNorm),
            "mlp_norm" => norm(Role::FfnNorm),
            "ffn_sub_norm" => norm(Role::FfnSubNorm),
            "final_norm" => norm(Role::OutputNorm),
            "bq" => of_qkv(Role::AttnQ, 0, q),
            "bk" => of_qkv(Role::AttnK, q, kv),
            "bv" => of_qkv(Role::AttnV, q + kv, kv),
            "bo" => bias(Role::AttnOutput),
            "b_up" => bias(Role::FfnUp),
            "b_down" => bias(Role::FfnDown),
            _ => None,
        }
    }
}

impl WeightSource for FileModel<'_> {
    fn tensor(&self, name: &str, layer: Option<u32>) -> Result<Matrix, WeightError> {
        self.expert(name, layer, 0)
    }
    fn expert(&self, name: &str, layer: Option<u32>, expert: u32) -> Result<Matrix, WeightError> {
        let Some((tensor, first, rows)) = self.matrix(name, layer.unwrap_or(0), expert) else {
            let name = if expert == 0 { name.into() } else { format!("{name} of expert {expert}") };
            return Err(WeightError::Missing { what: "matrix", name, layer });
        };
        if let (Some(request), Some(layer)) = (&self.request, layer) {
            let made = self.made(request, (tensor, first, rows), (layer, Input::of(name)));
            return made.map(|(_, matrix)| matrix).map_err(read);
        }
        self.matrix_of(&tensor, first, rows).map_err(read)
    }
    fn vector(&self, name: &str, layer: Option<u32>) -> Result<Vec<f16>, WeightError> {
        let missing = || WeightError::Missing { what: "vector", name: name.into(), layer };
        let mut out = Vec::new();
        for (tensor, first, len) in self.numbers(name, layer.unwrap_or(0)).ok_or_else(missing)? {
            let values = tensor.values().map_err(|e| WeightError::Read(e.to_string()))?;
            out.extend(values[first..first + len].iter().map(|&x| f16::from_f32(x)));
        }
        Ok(out)
    }
    fn embedding_row(&self, token: u32) -> Result<Vec<f16>, WeightError> {
        if token >= self.model.vocab {
            return Err(WeightError::Token { token, vocab: self.model.vocab });
        }
        // Gemma multiplies what it reads: the image's rows are that already. (The head, if it is the same tensor, is not.)
        let scale = match self.file.dimensions().family.row().scaled_embedding {
            true => (self.model.hidden as f32).sqrt(),
            false => 1.0,
        };
        self.table(Role::TokenEmbd, token, scale)
    }
    fn position_row(&self, row: u32) -> Result<Vec<f16>, WeightError> {
        self.table(Role::PositionEmbd, row, 1.0)
    }
}

impl FileModel<'_> {
    fn table(&self, role: Role, row: u32, scale: f32) -> Result<Vec<f16>, WeightError> {
        let failed = |e: FormatError| WeightError::Read(e.to_string());
        let tensor = self.file.tensor(Place::weight(0, role)).map_err(failed)?;
        if row as usize >= tensor.rows() {
            return Err(WeightError::Position { row, rows: tensor.rows() as u32 });
        }
        let mut values = vec![0.0; tensor.cols()];
        tensor.row(row as usize, &mut values).map_err(failed)?;
        Ok(values.iter().map(|&x| f16::from_f32(scale * x)).collect())
    }
}

fn read(error: FileError) -> WeightError {
    WeightError::Read(error.to_string())
}

/// Squared error over squared size.
pub(crate) fn nmse(values: &[f32], rounded: &[f32]) -> f64 {
    let (mut error, mut size) = (0.0, 0.0);
    for (x, y) in values.iter().zip(rounded) {
        error += f64::from(x - y).powi(2);
        size += f64::from(*x).powi(2);
    }
    if size > 0.0 { error / size } else { 0.0 }
}

/// Where the head is: the embedding, if they are one.
fn head_place(d: &Dimensions) -> Place {
    Place::weight(0, if d.tied { Role::TokenEmbd } else { Role::Output })
}

/// Where a token is, in the host's words.
fn positions(d: &Dimensions) -> Positions {
    let r = match &d.positions {
        dimensions::Positions::Learned { offset } => {
            return Positions::Learned(LearnedPositions { offset: *offset });
        }
        dimensions::Positions::Alibi => return Positions::Alibi,
        dimensions::Positions::Rotary(r) => r,
    };
    let scaling = r.scaling.as_ref().map(|scaling| match scaling.clone() {
        Scaling::Linear { factor } => RopeScaling::Even { factor },
        Scaling::Llama3 { factor, low, high, original } => {
            RopeScaling::Bands(Bands { factor, low, high, original_context: original })
        }
        Scaling::Dynamic { factor, original } => RopeScaling::Dynamic { factor, original_context: original },
        Scaling::Yarn { factor, original, beta_fast, beta_slow, attention } => RopeScaling::Yarn {
            factor,
            original_context: original,
            fast: beta_fast,
            slow: beta_slow,
            attention: attention.unwrap_or_else(|| yarn_attention(factor)),
        },
        Scaling::LongRope { short, long, original, attention } => RopeScaling::Long {
            short,
            long,
            original_context: original,
            attention: attention.unwrap_or_else(|| long_attention(d.context, original)),
        },
        Scaling::Divisors(divisors) => RopeScaling::Divisors(divisors),
    });
    let pairing = match r.pairing {
        Pairing::Neighbours => Rope::Pair,
        Pairing::Halves => Rope::Half,
    };
    Positions::Rotary(RopeConfig { theta: r.theta, dims: r.dims, pairing, scaling })
}

/// The host's model of a file's dimensions.
///
/// # Errors
/// What is beyond what instructions hold.
pub fn model(name: &str, d: &Dimensions) -> Result<Model, FileError> {
    let row = d.family.row();
    let model = Model {
        name: name.into(),
        family: row.model_type.into(),
        layers: d.layers,
        hidden: d.hidden,
        intermediate: d.intermediate,
        heads: d.heads,
        kv_heads: d.kv_heads,
        head_dim: d.head_dim,
        vocab: d.vocab,
        context: d.context,
        tied_embeddings: d.tied,
        qkv_bias: d.qkv_bias,
        sub_norms: row.sub_norms,
        post_norms: row.post_norms,
        query_scalar: (d.query_scalar != f64::from(d.head_dim)).then_some(d.query_scalar as f32),
        experts: d.experts.map(|dimensions::Experts { count, used }| Experts { count, used }),
        score_cap: d.score_cap.map(|cap| cap as f32),
        logit_cap: d.logit_cap.map(|cap| cap as f32),
        // One that is as long as the context changes nothing.
        window: d.window.filter(|window| window.tokens < d.context).map(|window| Window {
            tokens: window.tokens,
            layers: match window.layers {
                dimensions::WindowLayers::All => WindowLayers::All,
                dimensions::WindowLayers::Even => WindowLayers::Even,
                dimensions::WindowLayers::From(first) => WindowLayers::From(first),
            },
        }),
        output_bias: d.output_bias,
        mlp_bias: d.mlp_bias,
        embedding_norm: row.embedding_norm,
        gated_mlp: row.gated,
        activation: match d.activation {
            Activation::Silu => Act::Silu,
            Activation::Gelu | Activation::GeluTanh => Act::Gelu,
            Activation::Relu => Act::Relu,
            Activation::Relu2 => Act::Relu2,
        },
        norm: match d.norm {
            dimensions::Norm::Rms => Norm::Rms,
            dimensions::Norm::RmsPlusOne => Norm::RmsPlusOne,
            dimensions::Norm::Layer => Norm::Layer,
        },
        norm_eps: d.norm_eps as f32,
        positions: positions(d),
        mix: None,
        published: Published { parameters_billion: 0.0, source: "the file".into() },
    };
    model.check().map_err(|(key, why)| FileError::Dimension { key, why })?;
    Ok(model)
}
