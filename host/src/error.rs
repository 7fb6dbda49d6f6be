//! What a user can get wrong, and what to do about it.

/// Why a model cannot be planned onto a chip.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum HostError {
    /// No such built-in model.
    #[error("there is no model `{name}`{}", near.as_ref().map(|n| format!("; did you mean `{n}`?")).unwrap_or_default())]
    UnknownModel {
        /// What was asked for.
        name: String,
        /// The closest name, when there is one.
        near: Option<String>,
        /// Every built-in name.
        known: Vec<String>,
    },
    /// A file that does not say what it should.
    #[error("{file}: {message}")]
    File {
        /// Which file.
        file: String,
        /// What is wrong.
        message: String,
        /// Byte range in the file, when known.
        span: Option<(usize, usize)>,
        /// What to do.
        help: Option<String>,
    },
    /// More tokens than the model was trained for.
    #[error(
        "{model} sees at most {limit} tokens; context {context} + prompt {prompt} + generate {generate} is {total}"
    )]
    Context {
        /// Model.
        model: String,
        /// Its limit.
        limit: u64,
        /// Tokens already there.
        context: u32,
        /// Tokens of the prompt.
        prompt: u32,
        /// Tokens to generate.
        generate: u32,
        /// Sum.
        total: u64,
    },
    /// A number of the workload that makes no sense.
    #[error("{what}")]
    Workload {
        /// What is wrong.
        what: String,
        /// What to do.
        help: String,
    },
    /// The image does not fit into DRAM.
    #[error("{model} needs {needed} bytes of DRAM ({short} more than the chip's {available})")]
    Dram {
        /// Model.
        model: String,
        /// Bytes of the whole image.
        needed: u64,
        /// Bytes there are.
        available: u64,
        /// Bytes too few.
        short: u64,
    },
    /// No tile fits into scratchpad.
    #[error(
        "a scratchpad of {available} bytes is too small for {what}: the least that works is {least} bytes"
    )]
    Scratchpad {
        /// What had to fit.
        what: String,
        /// The least that works.
        least: u64,
        /// Bytes there are.
        available: u64,
    },
    /// A pair of number types that the machine cannot multiply exactly.
    #[error("{what}")]
    Types {
        /// Which, and why not.
        what: String,
        /// The nearest legal choice.
        nearest: String,
    },
    /// A mapping that cannot be used for this model, workload and chip.
    #[error("the mapping cannot be used: {what}")]
    Mapping {
        /// What is wrong.
        what: String,
        /// What to do.
        help: String,
    },
    /// The measurement behind a search failed.
    #[error("the search for a mapping failed: {message}")]
    Measure {
        /// What the device said.
        message: String,
    },
}

impl HostError {
    /// What the user can do about it.
    pub fn help(&self) -> Option<String> {
        match self {
            HostError::UnknownModel { known, .. } => {
                Some(format!("built-in models: {}; a path to a model file works too", known.join(", ")))
            }
            HostError::File { help, .. } => help.clone(),
            HostError::Context { .. } => Some("lower --context, --prompt or --generate".into()),
            HostError::Workload { help, .. } | HostError::Mapping { help, .. } => Some(help.clone()),
            HostError::Dram { .. } => {
                Some("choose fewer --weights bits, a smaller model or context, or raise dram.bytes".into())
            }
            HostError::Scratchpad { least, .. } => {
                Some(format!("raise scratchpad.bytes to at least {least}, or lower --context or --batch"))
            }
            HostError::Types { nearest, .. } => Some(format!("the nearest legal choice is {nearest}")),
            HostError::Measure { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use lutsim_isa::field::Entries;
    use lutsim_isa::format::{Group, WeightFormat, WeightKind};

    use super::HostError;
    use crate::mapping::Mapping;
    use crate::model::Model;
    use crate::plan::plan;
    use crate::target::Target;
    use crate::workload::{Workload, parse_kv, parse_weights};

    /// Message and help of planning a workload without a mapping of its own.
    fn said(model: &str, workload: Workload, target: Target) -> String {
        let model = Model::builtin(model).unwrap();
        let planned = workload
            .check(&model, &target)
            .and_then(|()| Mapping::default_for(&target, &model, &workload))
            .and_then(|mapping| plan(&model, &workload, &target, &mapping));
        say(planned.unwrap_err())
    }
    fn say(error: HostError) -> String {
        format!("{error}\n{}", error.help().unwrap_or_default())
    }
    fn base() -> Workload {
        Workload::default()
    }

    #[test]
    fn too_little_memory_says_how_much() {
        let int8 = WeightFormat { kind: WeightKind::Int8, group: Group::Of(128) };
        assert_eq!(
            said("llama-2-13b", Workload { weights: int8, ..base() }, Target::PHONE),
            "llama-2-13b needs 13521485824 bytes of DRAM (636583936 more than the chip's 12884901888)\n\
             choose fewer --weights bits, a smaller model or context, or raise dram.bytes"
        );
        let small = Target { scratchpad_bytes: 64 << 10, ..Target::PHONE };
        assert_eq!(
            said("llama-2-7b", base(), small),
            "a scratchpad of 65536 bytes is too small for any tile of llama-2-7b: the least that works is 132096 bytes\n\
             raise scratchpad.bytes to at least 132096, or lower --context or --batch"
        );
    }

    #[test]
    fn no_scratchpad_is_enough_for_any_batch() {
        let large = Target { scratchpad_bytes: 64 << 20, ..Target::PHONE };
        assert_eq!(
            said("llama-2-7b", Workload { batch: 400, generate: 1, prompt: 0, ..base() }, large),
            "llama-2-7b at batch 400 and 1 tokens needs more than the 16777152 bytes of scratchpad that instructions reach\n\
             lower --batch, --context or --prompt"
        );
        said("llama-2-7b", Workload { batch: 400, generate: 1, prompt: 0, ..base() }, Target::PHONE);
        // What a larger scratchpad adds beyond that is not used, and does no harm.
        let model = Model::builtin("llama-2-7b").unwrap();
        let mapping = Mapping::default_for(&large, &model, &base()).unwrap();
        assert!(plan(&model, &base(), &large, &mapping).is_ok());
    }

    #[test]
    fn the_least_scratchpad_works_and_less_does_not() {
        for name in ["llama-2-7b", "tiny-2l", "bitnet-b1.58-3b"] {
            let model = Model::builtin(name).unwrap();
            let of = |bytes| Target { scratchpad_bytes: bytes, ..Target::PHONE };
            let Err(HostError::Scratchpad { least, .. }) = Mapping::default_for(&of(1024), &model, &base())
            else {
                panic!("{name} fits a kilobyte")
            };
            let works = |bytes| {
                Mapping::default_for(&of(bytes), &model, &base())
                    .and_then(|mapping| plan(&model, &base(), &of(bytes), &mapping))
            };
            assert!(works(least).is_ok(), "{name}: {least}");
            assert!(works(least - 1024).is_err(), "{name}: {least}");
        }
    }

    #[test]
    fn lengths_are_checked() {
        assert_eq!(
            said("llama-2-7b", Workload { context: 4000, ..base() }, Target::PHONE),
            "llama-2-7b sees at most 4096 tokens; context 4000 + prompt 128 + generate 32 is 4160\n\
             lower --context, --prompt or --generate"
        );
        assert_eq!(
            said("llama-2-7b", Workload { batch: 0, ..base() }, Target::PHONE),
            "a batch of 0 sequences does nothing\ngive --batch 1 or more"
        );
        assert_eq!(
            said("llama-2-7b", Workload { prompt: 0, generate: 0, ..base() }, Target::PHONE),
            "prompt 0 and generate 0 leave nothing to run\ngive --prompt or --generate at least 1"
        );
    }

    #[test]
    fn types_name_the_nearest_legal_one() {
        let int8 = WeightFormat { kind: WeightKind::Int8, group: Group::Of(1024) };
        assert_eq!(
            said("llama-2-7b", Workload { weights: int8, ..base() }, Target::PHONE),
            "--group of 1024 int8 weights does not fit 24-bit accumulators: they provably hold 259 products\n\
             the nearest legal choice is --group 256"
        );
        assert_eq!(
            said("llama-2-7b", base(), Target { accumulator_bits: 20, ..Target::PHONE }),
            "the head's group of 128 int8 weights does not fit 20-bit accumulators: they provably hold 16 products\n\
             the nearest legal choice is the head's group 16"
        );
        let stored = Target { stored_tables: true, ..Target::PHONE };
        assert_eq!(
            said("llama-2-7b", Workload { tables: Entries::Int8, ..base() }, stored),
            "tables that the vector unit makes (lut.build = \"vector\") have exact entries\n\
             the nearest legal choice is --tables exact"
        );
        // An entry of 8 bits is no larger than one activation: four times as many fit, 1036.
        let rounded = Workload { weights: int8, tables: Entries::Int8, ..base() };
        let model = Model::builtin("llama-2-7b").unwrap();
        assert_eq!(rounded.longest_sum(WeightKind::Int8, &Target::PHONE), 4 * 259);
        assert_eq!(rounded.check(&model, &Target::PHONE), Ok(()));
        assert_eq!(
            say(parse_weights("int5").unwrap_err()),
            "weights cannot be kept as `int5`\n\
             the nearest legal choice is int4 (of int1, int1.58, int2, int3, int4, int8, \
             q4_0, q4_1, q5_0, q5_1, q8_0, q2_k, q3_k, q4_k, q5_k, q6_k, tq1_0, tq2_0, i2_s, iq4_nl, mxfp4, f16)"
        );
        assert_eq!(
            say(parse_kv("fp8").unwrap_err()),
            "the KV cache cannot be kept as `fp8`\nthe nearest legal choice is int8 (others: int4, fp16)"
        );
    }

    #[test]
    fn mapping_files_are_checked() {
        let model = Model::builtin("llama-2-7b").unwrap();
        let good = Mapping::default_for(&Target::PHONE, &model, &base()).unwrap();
        assert_eq!(Mapping::parse("m.toml", &good.dump()), Ok(good));
        let refused = |from: &str, to: &str| {
            let text = good.dump();
            assert!(text.contains(from), "{text}");
            let mapping = Mapping::parse("m.toml", &text.replace(from, to));
            say(mapping.and_then(|m| plan(&model, &base(), &Target::PHONE, &m)).unwrap_err())
        };
        assert_eq!(
            refused("n_tile = 256", "n_tiles = 256"),
            "m.toml: unknown field `n_tiles`, expected one of `cores`, `n_tile`, `chunk`, `decode_keys`, `prefill_keys`, \
             `decode_rows`, `prefill_rows`, `slot_bytes`, `decode_slots`, `prefill_slots`, `hidden`, `k_block`\n\
             `--dump-mapping` writes a mapping that works; change that one"
        );
        assert_eq!(
            refused("n_tile = 256", "n_tile = 2048"),
            "the mapping cannot be used: n_tile = 2048 is not between 1 and 1024\n16 cores have 64 columns each"
        );
        assert_eq!(
            refused("hidden = 1024", "hidden = 2048"),
            "the mapping cannot be used: a K block of 2048 for `wk`\ngive a multiple of 128, at most 1024"
        );
        assert_eq!(
            refused("cores = 16", "cores = 17"),
            "the mapping cannot be used: it uses 17 cores\nthe chip has 16"
        );
    }
}
