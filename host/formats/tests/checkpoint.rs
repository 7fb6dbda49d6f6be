//! Checkpoints: names are those of the families, every tensor is in its place, and what is missing or wrong is said.

mod common;

use common::safetensors::{Tensors, counted, write};
use lutsim_formats::checkpoint::{Checkpoint, Index, Weights};
use lutsim_formats::config::Config;
use lutsim_formats::roles::{Place, Role};
use lutsim_formats::safetensors::SafeTensors;
use serde_json::{Value, json};

/// Width 12, MLP 10, 3 heads of 4 (1 for keys), 7 tokens, context 9, 2 experts, 2 layers.
fn config(family: &str) -> Value {
    let mut config = json!({"model_type": family, "hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 3,
        "vocab_size": 7, "max_position_embeddings": 9, "tie_word_embeddings": false});
    let more = match family {
        "gpt2" => json!({"n_inner": 10, "activation_function": "gelu_new", "layer_norm_epsilon": 1e-5}),
        "bloom" => json!({"intermediate_size": 10, "layer_norm_epsilon": 1e-5}),
        "opt" => json!({"ffn_dim": 10, "activation_function": "relu"}),
        "mixtral" => json!({"intermediate_size": 10, "num_key_value_heads": 1, "rms_norm_eps": 1e-5,
            "hidden_act": "silu", "num_local_experts": 2, "num_experts_per_tok": 1}),
        _ => {
            json!({"intermediate_size": 10, "num_key_value_heads": 1, "rms_norm_eps": 1e-5, "hidden_act": "silu"})
        }
    };
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    config
}

fn parse(config: &Value) -> Config {
    Config::parse(config.to_string().as_bytes()).unwrap()
}

/// Hugging Face's shape of a GGUF name's tensor.
fn shape(family: &str, gguf: &str) -> Vec<u64> {
    let kv = if ["opt", "gpt2", "bloom"].contains(&family) { 12 } else { 4 };
    let name = gguf.rsplit('.').next().unwrap();
    let shape = match name {
        "token_embd" | "output" => vec![7, 12],
        "position_embd" => vec![if family == "opt" { 11 } else { 9 }, 12],
        "attn_q" | "attn_output" => vec![12, 12],
        "attn_k" | "attn_v" => vec![kv, 12],
        "attn_qkv" => vec![12 + 2 * kv, 12],
        "ffn_up" if family == "phi3" => vec![20, 12],
        "ffn_gate" | "ffn_up" | "ffn_gate_exps" | "ffn_up_exps" => vec![10, 12],
        "ffn_down" | "ffn_down_exps" => vec![12, 10],
        "ffn_gate_inp" => vec![2, 12],
        "ffn_sub_norm" => vec![10],
        _ => vec![12],
    };
    let transposed = family == "gpt2" && ["attn_qkv", "attn_output", "ffn_up", "ffn_down"].contains(&name);
    if transposed { shape.into_iter().rev().collect() } else { shape }
}

/// What the package does not know: OPT, and BitNet's names of today.
const OTHERS: &[(&str, &str, &str)] = &[
    ("bitnet", "lm_head", "output"),
    ("bitnet", "model.layers.1.self_attn.attn_sub_norm", "blk.1.attn_sub_norm"),
    ("bitnet", "model.layers.1.mlp.ffn_sub_norm", "blk.1.ffn_sub_norm"),
    ("gemma", "lm_head", "output"),
    ("gemma2", "lm_head", "output"),
    ("opt", "lm_head", "output"),
    ("opt", "model.decoder.embed_tokens", "token_embd"),
    ("opt", "model.decoder.embed_positions", "position_embd"),
    ("opt", "model.decoder.final_layer_norm", "output_norm"),
    ("opt", "model.decoder.layers.1.self_attn_layer_norm", "blk.1.attn_norm"),
    ("opt", "model.decoder.layers.1.self_attn.q_proj", "blk.1.attn_q"),
    ("opt", "model.decoder.layers.1.self_attn.k_proj", "blk.1.attn_k"),
    ("opt", "model.decoder.layers.1.self_attn.v_proj", "blk.1.attn_v"),
    ("opt", "model.decoder.layers.1.self_attn.out_proj", "blk.1.attn_output"),
    ("opt", "model.decoder.layers.1.final_layer_norm", "blk.1.ffn_norm"),
    ("opt", "model.decoder.layers.1.fc1", "blk.1.ffn_up"),
    ("opt", "model.decoder.layers.1.fc2", "blk.1.ffn_down"),
];

const FAMILIES: [&str; 11] =
    ["llama", "mistral", "mixtral", "qwen2", "phi3", "gemma", "gemma2", "bitnet", "opt", "gpt2", "bloom"];

/// Names of a family's tensors without their last part, and what GGUF calls them.
fn names(family: &str) -> Vec<(String, String)> {
    let csv = std::fs::read_to_string(common::data("formats/names.csv")).unwrap();
    let rows = csv.lines().skip(1).map(|line| line.split(',').collect::<Vec<_>>());
    let others = OTHERS.iter().map(|(f, name, gguf)| vec![*f, *name, *gguf]);
    let mut all = Vec::new();
    for row in rows.chain(others).filter(|row| row[0] == family) {
        let layers = if row[2].starts_with("blk.1.") { 2 } else { 1 };
        for layer in 0..layers {
            let at = |name: &str| name.replace(".1.", &format!(".{layer}."));
            let experts = if row[1].contains(".experts.") { 2 } else { 1 };
            for expert in 0..experts {
                let name = at(row[1]).replace(".experts.", &format!(".experts.{expert}."));
                // BLOOM's published names have no prefix: `h.1` begins.
                let name = name.strip_prefix("h.1.").map_or(name.clone(), |rest| format!("h.{layer}.{rest}"));
                all.push((name, at(row[2])));
            }
        }
    }
    all
}

fn tensors(family: &str) -> Tensors {
    let mut all = Vec::new();
    for (name, gguf) in names(family) {
        let shape = shape(family, &gguf);
        all.push(counted(&format!("{name}.weight"), &shape));
        let last = gguf.rsplit('.').next().unwrap();
        let bias = match family {
            "opt" | "gpt2" | "bloom" => !["token_embd", "position_embd", "output"].contains(&last),
            "qwen2" => ["attn_q", "attn_k", "attn_v"].contains(&last),
            _ => false,
        };
        let transposed = family == "gpt2" && shape.len() == 2;
        if bias {
            all.push(counted(&format!("{name}.bias"), &[if transposed { shape[1] } else { shape[0] }]));
        }
    }
    all
}

fn read(config: &Value, tensors: &Tensors) -> Result<usize, String> {
    let bytes = write(tensors);
    let files = [SafeTensors::parse(&bytes).unwrap()];
    Checkpoint::of(&parse(config), &files).map(|c| c.all().count()).map_err(|e| e.to_string())
}

#[test]
fn every_family() {
    for family in FAMILIES {
        let (config, tensors) = (config(family), tensors(family));
        assert_eq!(read(&config, &tensors), Ok(tensors.len()), "{family}");

        // Each is where GGUF's name of it says, in one file or in two.
        let (a, b) = tensors.split_at(tensors.len() / 2);
        let bytes = [a.to_vec(), b.to_vec()].map(|tensors| write(&tensors));
        let files = bytes.each_ref().map(|bytes| SafeTensors::parse(bytes).unwrap());
        let checkpoint = Checkpoint::of(&parse(&config), &files).unwrap();
        for (name, gguf) in names(family) {
            let mut place = Place::of(&format!("{gguf}.weight")).unwrap();
            if let Some((_, rest)) = name.split_once(".experts.") {
                place.expert = rest[..1].parse().unwrap();
            }
            assert_eq!(checkpoint.weights(place).unwrap().name(), format!("{name}.weight"), "{family}");
        }

        for i in 0..tensors.len() {
            let mut less = tensors.clone();
            let (name, ..) = less.remove(i);
            let error = read(&config, &less).unwrap_err();
            let three = name.replace("c_attn", "q").replace("query_key_value", "q").replace("qkv_proj", "q");
            let known = error.contains(name.trim_start_matches("h.").trim_start_matches("transformer."))
                || three != name && error.contains("AttnQ");
            assert!(known, "{family} without {name}: {error}");
            let mut other = tensors.clone();
            other[i].2[0] += 1;
            let n = other[i].2.iter().product::<u64>() as usize;
            other[i].3 = vec![0; 4 * n];
            let error = read(&config, &other).unwrap_err();
            assert!(error.starts_with(&format!("tensor `{name}`: [")), "{family}, {name}: {error}");
        }
    }
}

/// Rows in the order that all families share.
#[test]
fn gpt2_lies_in_columns_and_bloom_by_heads() {
    let row = |family: &str, role, row: usize| {
        let bytes = write(&tensors(family));
        let files = [SafeTensors::parse(&bytes).unwrap()];
        let checkpoint = Checkpoint::of(&parse(&config(family)), &files).unwrap();
        let Weights::Floats(floats) = checkpoint.weights(Place::weight(1, role)).unwrap() else {
            unreachable!()
        };
        let mut values = vec![0.0; floats.cols()];
        floats.row(row, &mut values).unwrap();
        (floats.rows(), values)
    };
    // Element [input, output] is input * outputs + output.
    let (rows, values) = row("gpt2", Role::FfnUp, 3);
    assert_eq!((rows, values), (10, (0..12).map(|i| (i * 10 + 3) as f32).collect()));
    // Value 1 of head 2 is row (2 * 3 + 2) * 4 + 1 of the file.
    let (rows, values) = row("bloom", Role::AttnQkv, 24 + 2 * 4 + 1);
    assert_eq!((rows, values), (36, (0..12).map(|i| (33 * 12 + i) as f32).collect()));
    let bytes = write(&tensors("bloom"));
    let files = [SafeTensors::parse(&bytes).unwrap()];
    let checkpoint = Checkpoint::of(&parse(&config("bloom")), &files).unwrap();
    let bias = Place { part: lutsim_formats::roles::Part::Bias, ..Place::weight(0, Role::AttnQkv) };
    let mut values = [0.0; 36];
    checkpoint.weights(bias).unwrap().row(0, &mut values).unwrap();
    assert_eq!((values[0], values[4], values[12], values[24 + 9]), (0.0, 12.0, 4.0, 33.0));
}

#[test]
fn packed_layers() {
    let mut tensors = tensors("bitnet");
    // Rows a quarter apart in a byte: 3 bytes for 12 rows.
    for (name, dtype, shape, data) in &mut tensors {
        if name.ends_with("proj.weight") && shape[0] % 4 == 0 {
            *dtype = "U8";
            shape[0] /= 4;
            *data = vec![0b10_01_00_10; (shape[0] * shape[1]) as usize];
        }
    }
    let scales: Vec<_> = tensors
        .iter()
        .filter(|t| t.1 == "U8")
        .map(|t| (format!("{}_scale", t.0), "F32", vec![1], 2.5f32.to_le_bytes().to_vec()))
        .collect();
    tensors.extend(scales);
    let mut config = config("bitnet");
    config["quantization_config"] = json!({"quant_method": "bitnet", "linear_class": "autobitlinear"});
    let bytes = write(&tensors);
    let files = [SafeTensors::parse(&bytes).unwrap()];
    let checkpoint = Checkpoint::of(&parse(&config), &files).unwrap();
    let q = checkpoint.weights(Place::weight(1, Role::AttnQ)).unwrap();
    assert!(matches!(q, Weights::Packed(_)));
    for (row, expected) in [(0, 2.5), (3, -2.5), (6, 0.0), (9, 2.5)] {
        let mut values = [1.0; 12];
        q.row(row, &mut values).unwrap();
        assert_eq!(values, [expected; 12], "row {row}");
    }
    assert_eq!(
        read(&self::config("bitnet"), &tensors).unwrap_err(),
        "tensor `model.layers.0.mlp.down_proj.weight`: [3, 10] elements of U8, expected [12, 10] of F32 or F16 or BF16"
    );
}

/// Every matrix as GPTQ packs it, with the bias of zeros that its packers write.
#[test]
fn gptq_layers() {
    let mut config = config("llama");
    for (key, value) in [("hidden_size", 16), ("intermediate_size", 24), ("num_attention_heads", 2)] {
        config[key] = json!(value);
    }
    config["quantization_config"] = json!({"quant_method": "gptq", "bits": 4, "group_size": -1});
    // The same at multiples of 8, which words need.
    let grow = |n: u64| match n {
        12 => 16,
        10 => 24,
        4 => 8,
        n => n,
    };
    let grown: Tensors = tensors("llama")
        .into_iter()
        .map(|(name, _, shape, _)| counted(&name, &shape.into_iter().map(grow).collect::<Vec<_>>()))
        .collect();
    let mut packed = Tensors::new();
    for (name, dtype, shape, data) in grown {
        let Some(stem) = name.strip_suffix("_proj.weight") else {
            packed.push((name, dtype, shape, data));
            continue;
        };
        let (rows, cols) = (shape[0], shape[1]);
        let words = |n: u64, word: u32| (0..n).flat_map(|_| word.to_le_bytes()).collect::<Vec<u8>>();
        let mut add = |part: &str, dtype, shape: &[u64], bytes| {
            packed.push((format!("{stem}_proj.{part}"), dtype, shape.to_vec(), bytes));
        };
        add("qweight", "I32", &[cols / 8, rows], words(cols / 8 * rows, 0x5555_5555));
        add("qzeros", "I32", &[1, rows / 8], words(rows / 8, 0x1111_1111));
        add("scales", "F32", &[1, rows], words(rows, 0.5f32.to_bits()));
        add("bias", "F16", &[rows], vec![0; 2 * rows as usize]);
    }
    let bytes = write(&packed);
    let files = [SafeTensors::parse(&bytes).unwrap()];
    let checkpoint = Checkpoint::of(&parse(&config), &files).unwrap();
    let down = checkpoint.weights(Place::weight(1, Role::FfnDown)).unwrap();
    let mut values = [0.0; 24];
    down.row(15, &mut values).unwrap();
    // (5 - (1 + 1)) * 0.5.
    assert_eq!(values, [1.5; 24]);
    let bias = packed.iter().position(|t| t.0.ends_with("1.mlp.up_proj.bias")).unwrap();
    packed[bias].3[1] = 0x3c;
    assert_eq!(
        read(&config, &packed).unwrap_err(),
        "tensor `model.layers.1.mlp.up_proj.bias`: there, expected none: this Llama has no use for it"
    );
}

#[test]
fn what_is_wrong_is_said() {
    let with = |name: &str, shape: &[u64]| {
        let mut tensors = tensors("llama");
        tensors.push(counted(name, shape));
        read(&config("llama"), &tensors)
    };
    assert_eq!(
        with("model.layers.0.mlp.gate.weight", &[1]).unwrap_err(),
        "tensor `model.layers.0.mlp.gate.weight`: a name that has no role, expected those of the model's family"
    );
    assert_eq!(
        with("model.layers.2.mlp.up_proj.weight", &[10, 12]).unwrap_err(),
        "tensor `model.layers.2.mlp.up_proj.weight`: of a layer or an expert too many, expected 2 layers, 1 experts"
    );
    assert_eq!(
        with("model.layers.0.self_attn.q_proj.bias", &[12]).unwrap_err(),
        "tensor `model.layers.0.self_attn.q_proj.bias`: there, expected none: this Llama has no use for it"
    );
    assert_eq!(
        with("layers.0.mlp.up_proj.weight", &[10, 12]).unwrap_err(),
        "tensor `model.layers.0.mlp.up_proj.weight`: there twice, expected once"
    );
    assert!(with("model.layers.0.self_attn.rotary_emb.inv_freq", &[2]).is_ok());
    let mut tied = config("llama");
    tied["tie_word_embeddings"] = json!(true);
    let tensors = tensors("llama");
    assert_eq!(read(&tied, &tensors), Ok(tensors.len() - 1), "the head is the embedding");

    let index = |map: Value| {
        Index::parse(json!({"metadata": {"total_size": 1}, "weight_map": map}).to_string().as_bytes())
    };
    let two = index(json!({"a": "m-2.safetensors", "b": "m-1.safetensors", "c": "m-1.safetensors"})).unwrap();
    assert_eq!(two.files(), ["m-1.safetensors", "m-2.safetensors"]);
    assert_eq!(
        index(json!({"a": "../secret.safetensors"})).unwrap_err().to_string(),
        "tensor `a`: in the file `../secret.safetensors`, expected a name.safetensors in the index's folder"
    );
    assert!(Index::parse(b"{}").unwrap_err().to_string().contains("missing field `weight_map`"));
}
