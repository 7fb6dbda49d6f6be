//! A model file: what its text says, checked on the way in.

use lutsim_isa::field::{Norm, Rope};
use serde::Deserialize;

use super::{
    Bands, Experts, LearnedPositions, Model, Positions, Published, RopeConfig, RopeScaling, Window,
    WindowLayers,
};
use crate::error::HostError;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    family: String,
    layers: u32,
    hidden: u32,
    intermediate: u32,
    heads: u32,
    kv_heads: u32,
    head_dim: u32,
    vocab: u32,
    context: u32,
    tied_embeddings: bool,
    qkv_bias: bool,
    sub_norms: bool,
    #[serde(default)]
    post_norms: bool,
    query_scalar: Option<f32>,
    score_cap: Option<f32>,
    logit_cap: Option<f32>,
    window: Option<RawWindow>,
    experts: Option<Experts>,
    // What Llama has not got may be left out.
    #[serde(default)]
    output_bias: bool,
    #[serde(default)]
    mlp_bias: bool,
    #[serde(default)]
    embedding_norm: bool,
    gated_mlp: Option<bool>,
    activation: String,
    norm: Option<String>,
    norm_eps: f32,
    norm_before: Option<bool>,
    embedding_width: Option<u32>,
    rope: Option<RawRope>,
    learned_positions: Option<LearnedPositions>,
    alibi: Option<RawAlibi>,
    published: Published,
}

/// Tokens that layers look back on: all layers, or those with even numbers, or those from a number on.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawWindow {
    tokens: u32,
    #[serde(default)]
    even: bool,
    from: Option<u32>,
}

/// ALiBi has no numbers of its own: its slopes follow from the heads.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAlibi {}

impl Raw {
    /// Architectures that look like others and are not.
    fn refuse(&self) -> Result<(), (&'static str, String)> {
        if self.norm_before == Some(false) {
            let why = "norms behind the residual (OPT-350M, the first Transformers) are not lowered; \
                       a model must have them before attention and MLP";
            return Err(("norm_before", why.into()));
        }
        if self.window.as_ref().is_some_and(|window| window.even && window.from.is_some()) {
            return Err(("window", "give one of even and from".into()));
        }
        match self.embedding_width {
            Some(width) if width != self.hidden => Err((
                "embedding_width",
                format!(
                    "a projection from embeddings of {width} to a residual of {} (OPT-350M) is not lowered; \
                     they must have one width",
                    self.hidden
                ),
            )),
            _ => Ok(()),
        }
    }
    fn positions(&self) -> Result<Positions, (&'static str, String)> {
        match (&self.rope, self.learned_positions, &self.alibi) {
            (Some(rope), None, None) => Ok(Positions::Rotary(RopeConfig {
                theta: rope.theta,
                dims: rope.dims.unwrap_or(self.head_dim),
                pairing: Rope::Half,
                scaling: rope.scaling.map(RopeScaling::Bands),
            })),
            (None, Some(learned), None) => Ok(Positions::Learned(learned)),
            (None, None, Some(RawAlibi {})) => Ok(Positions::Alibi),
            _ => {
                let key = if self.alibi.is_some() { "alibi" } else { "learned_positions" };
                Err((key, "give one of [rope], [learned_positions] and [alibi]".into()))
            }
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRope {
    theta: f64,
    dims: Option<u32>,
    scaling: Option<Bands>,
}

impl Model {
    /// The model of a file; the file's name without its ending is the model's.
    pub fn parse(file: &str, text: &str) -> Result<Model, HostError> {
        let error = |message: String, span| HostError::File { file: file.into(), message, span, help: None };
        let raw: Raw = toml::from_str(text)
            .map_err(|e| error(e.message().to_string(), e.span().map(|s| (s.start, s.end))))?;
        let stem = file.rsplit(['/', '\\']).next().unwrap_or(file);
        // Where a line or a table begins with the key.
        let at = |key: &str| {
            let begins = |i: usize| i == 0 || text[..i].ends_with(['\n', '[']);
            let ends = |i: usize| text[i..].starts_with([' ', '=', ']']);
            let mut found = text.match_indices(key).map(|(i, _)| (i, i + key.len()));
            found.find(|&(start, end)| begins(start) && ends(end))
        };
        let named = |(key, message): (&'static str, String)| error(format!("{key}: {message}"), at(key));
        let activation = raw.activation.parse().map_err(|message| named(("activation", message)))?;
        let norm = match raw.norm.as_deref() {
            None => Norm::Rms,
            Some(name) => name.parse().map_err(|message| named(("norm", message)))?,
        };
        raw.refuse().map_err(named)?;
        let positions = raw.positions().map_err(named)?;
        let model = Model {
            name: stem.strip_suffix(".toml").unwrap_or(stem).into(),
            family: raw.family,
            layers: raw.layers,
            hidden: raw.hidden,
            intermediate: raw.intermediate,
            heads: raw.heads,
            kv_heads: raw.kv_heads,
            head_dim: raw.head_dim,
            vocab: raw.vocab,
            context: raw.context,
            tied_embeddings: raw.tied_embeddings,
            qkv_bias: raw.qkv_bias,
            sub_norms: raw.sub_norms,
            post_norms: raw.post_norms,
            experts: raw.experts,
            query_scalar: raw.query_scalar,
            score_cap: raw.score_cap,
            logit_cap: raw.logit_cap,
            window: raw.window.map(|RawWindow { tokens, even, from }| Window {
                tokens,
                layers: match from {
                    _ if even => WindowLayers::Even,
                    Some(first) => WindowLayers::From(first),
                    None => WindowLayers::All,
                },
            }),
            output_bias: raw.output_bias,
            mlp_bias: raw.mlp_bias,
            embedding_norm: raw.embedding_norm,
            gated_mlp: raw.gated_mlp.unwrap_or(true),
            activation,
            norm,
            norm_eps: raw.norm_eps,
            positions,
            mix: None,
            published: raw.published,
        };
        model.check().map_err(named)?;
        Ok(model)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `tiny-2l` with other lines and another table of positions.
    fn changed(lines: &str, positions: &str) -> Result<Model, HostError> {
        let text = include_str!("../../../configs/models/tiny-2l.toml");
        let text = text.replace("norm_eps = 1e-5\n", &format!("norm_eps = 1e-5\n{lines}\n"));
        Model::parse("changed.toml", &text.replace("[rope]\ntheta = 10000.0\n", positions))
    }

    #[test]
    fn other_families_are_described() {
        let lines =
            "norm = \"layer\"\noutput_bias = true\nmlp_bias = true\ngated_mlp = false\nnorm_before = true";
        let opt = changed(lines, "[learned_positions]\noffset = 2\n").unwrap();
        assert_eq!(opt.positions, Positions::Learned(LearnedPositions { offset: 2 }));
        assert_eq!((opt.norm, opt.norm_len(64), opt.gated_mlp), (Norm::Layer, 128, false));
        // Embedding, head and positions; two layers of attention with GQA, MLP, two norms and two biases; the last norm.
        let layer = 64 * (2 * 64 + 2 * 32) + 2 * 64 * 176 + 2 * 128 + 64 + 176 + 64;
        assert_eq!(opt.parameters(), (2 * 320 + 514) * 64 + 2 * layer + 128);
        let bloom = changed("embedding_norm = true\nembedding_width = 64", "[alibi]\n").unwrap();
        assert_eq!((&bloom.positions, bloom.embedding_norm, bloom.rope()), (&Positions::Alibi, true, None));
        assert_eq!(bloom.parameters(), Model::builtin("tiny-2l").unwrap().parameters() + 64);
    }

    #[test]
    fn what_is_not_lowered_is_refused() {
        let say = |lines: &str, positions: &str| changed(lines, positions).unwrap_err().to_string();
        let rope = "[rope]\ntheta = 10000.0\n";
        assert_eq!(
            say("norm_before = false", rope),
            "changed.toml: norm_before: norms behind the residual (OPT-350M, the first Transformers) are not lowered; \
             a model must have them before attention and MLP"
        );
        assert_eq!(
            say("embedding_width = 32", rope),
            "changed.toml: embedding_width: a projection from embeddings of 32 to a residual of 64 (OPT-350M) is not \
             lowered; they must have one width"
        );
        assert_eq!(
            say("mlp_bias = true", rope),
            "changed.toml: mlp_bias: an MLP with a gate cannot have biases"
        );
        assert_eq!(
            say("window = { tokens = 8, even = true, from = 2 }", rope),
            "changed.toml: window: give one of even and from"
        );
        assert_eq!(
            say("window = { tokens = 8 }", "[alibi]\n"),
            "changed.toml: window: there is no softmax with linear biases and a window"
        );
        assert_eq!(
            say("experts = { count = 2, used = 3 }", rope),
            "changed.toml: experts: a token cannot take 3 of 2 (1024 at most)"
        );
        assert_eq!(say("score_cap = 0.0", rope), "changed.toml: score_cap: 0 is not a positive number");
        let one = "give one of [rope], [learned_positions] and [alibi]";
        assert_eq!(say("", ""), format!("changed.toml: learned_positions: {one}"));
        assert_eq!(say("", "[alibi]\n[rope]\ntheta = 1e4\n"), format!("changed.toml: alibi: {one}"));
        assert!(say("", "[alibi]\nslope = 1\n").contains("unknown field `slope`"));
        assert!(say("", "[learned_positions]\noffset = 9999999\n").contains("offset: 9999999 is not below"));
        let HostError::File { message, span: Some((start, _)), .. } =
            changed("norm = \"batch\"", rope).unwrap_err()
        else {
            panic!("not a file error")
        };
        assert!(message.starts_with("norm: "), "{message}");
        let text = include_str!("../../../configs/models/tiny-2l.toml");
        assert_eq!(start, text.find("norm_eps").unwrap() + "norm_eps = 1e-5\n".len());
    }

    /// No instruction names a row of more than 1048575 elements, and a norm that centres is twice as long as its rows.
    #[test]
    fn rows_are_of_a_length_that_instructions_have() {
        let text = include_str!("../../../configs/models/tiny-2l.toml");
        let layer = text.replace("norm_eps", "norm = \"layer\"\nnorm_eps");
        for (text, changes, said) in [
            (
                text,
                &[("heads = 4", "heads = 4096"), ("head_dim = 16", "head_dim = 256")][..],
                "heads: 4096 of 256",
            ),
            (
                text,
                &[("heads = 4", "heads = 1048572"), ("head_dim = 16", "head_dim = 1048572")],
                "heads: 1048572",
            ),
            (layer.as_str(), &[("hidden = 64", "hidden = 524288")], "hidden: a norm of rows of 524288"),
            (layer.as_str(), &[("intermediate = 176", "intermediate = 524288")], ""),
        ] {
            let text = changes.iter().fold(text.to_string(), |t, (from, to)| t.replace(from, to));
            let message = Model::parse("long.toml", &text).map_or_else(|e| e.to_string(), |_| String::new());
            assert!(message.trim_start_matches("long.toml: ").starts_with(said), "{message}");
            assert_eq!(message.is_empty(), said.is_empty(), "{message}");
        }
    }

    #[test]
    fn a_bad_file_is_underlined() {
        let text = include_str!("../../../configs/models/tiny-2l.toml");
        let odd = text.replace("kv_heads = 2", "kv_heads = 3");
        let HostError::File { message, span: Some((start, end)), .. } =
            Model::parse("x.toml", &odd).unwrap_err()
        else {
            panic!("not a file error")
        };
        assert_eq!(message, "kv_heads: 4 heads cannot share 3 evenly");
        assert_eq!(&odd[start..end], "kv_heads");
        let unknown = text.replace("vocab", "vocabulary");
        let message = Model::parse("x.toml", &unknown).unwrap_err().to_string();
        assert!(message.starts_with("x.toml: unknown field `vocabulary`"), "{message}");
    }
}
