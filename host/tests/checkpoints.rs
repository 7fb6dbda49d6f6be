//! Hugging Face checkpoints through the reference, against llama.cpp's logits of the same weights (tests/data/checkpoints); packed
//! codes to the bit; and what cannot be held is said.

use std::path::PathBuf;

use lutsim_formats::checkpoint::{Checkpoint, Index};
use lutsim_formats::config::Config;
use lutsim_formats::gguf::Gguf;
use lutsim_formats::roles::{Place, Role};
use lutsim_formats::safetensors::SafeTensors;
use lutsim_host::blocks::Matrix;
use lutsim_host::files::{FileModel, Importance, Request};
use lutsim_host::quantize::QuantisedTensor;
use lutsim_host::reference::{Machine, Numerics, Reference, argmax};
use lutsim_host::weights::WeightSource;
use lutsim_isa::{Group, WeightFormat, WeightKind};

const PROMPT: [u32; 24] = [
    41, 78, 259, 266, 78, 291, 287, 12, 268, 33, 120, 299, 17, 280, 64, 271, 205, 98, 262, 285, 44, 150, 276,
    293,
];

fn data(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/data").join(name);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn config(folder: &str) -> Config {
    Config::parse(&data(&format!("checkpoints/{folder}/config.json"))).unwrap()
}

/// Largest logits agree on nine in ten positions, the others' leads are small; squared error over squared size.
fn compare(file: &FileModel<'_>, numerics: Numerics, expected: &str) -> f64 {
    let bytes = data(expected);
    let header = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let expected: Vec<f32> = bytes[header..].as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect();
    let reference = Reference::new(file.model.clone(), file, numerics).unwrap();
    let found = reference.prefill(&mut reference.cache(0), &PROMPT).unwrap();
    let (mut error, mut size, mut flips) = (0.0, 0.0, Vec::new());
    assert_eq!(found.len() * 300, expected.len());
    for (found, expected) in found.iter().zip(expected.chunks(300)) {
        error += found.iter().zip(expected).map(|(x, y)| f64::from(x - y).powi(2)).sum::<f64>();
        size += expected.iter().map(|y| f64::from(*y).powi(2)).sum::<f64>();
        let (a, b) = (argmax(found) as usize, argmax(expected) as usize);
        flips.extend((a != b).then(|| expected[b] - expected[a]));
    }
    assert!(flips.len() <= 2 && flips.iter().all(|lead| *lead < 0.5), "{}: {flips:?}", file.model.name);
    error / size
}

#[test]
fn checkpoints_say_what_llama_cpp_says() {
    for (folder, types) in [("gptq", "int4"), ("awq", "int4"), ("bf16", "int8")] {
        let files: Vec<String> = match folder {
            "bf16" => {
                let index = Index::parse(&data("checkpoints/bf16/model.safetensors.index.json")).unwrap();
                index.files().into_iter().map(String::from).collect()
            }
            _ => vec!["model.safetensors".into()],
        };
        let bytes: Vec<_> = files.iter().map(|file| data(&format!("checkpoints/{folder}/{file}"))).collect();
        let files: Vec<_> = bytes.iter().map(|bytes| SafeTensors::parse(bytes).unwrap()).collect();
        let file = FileModel::of_checkpoint(folder, &config(folder), &files).unwrap();
        assert_eq!(file.model.weight_names(file.weights), types);
        let logits = format!("checkpoints/{folder}/logits.npy");
        // In floats nothing but what is rounded on load differs: the head, or all matrices.
        let most = if folder == "bf16" { 5e-4 } else { 1e-4 };
        let nmse = compare(&file, Numerics::Float, &logits);
        assert!(nmse < most, "{folder}: {nmse:.2e}");
        let nmse = compare(&file, Numerics::Machine(Machine::default()), &logits);
        assert!(nmse < 2e-3, "{folder}: {nmse:.2e}");
        // What is not exact is said: the head, and of floats all matrices.
        let rounded = file.roundings().unwrap();
        assert_eq!(rounded.len(), if folder == "bf16" { 15 } else { 1 });
        assert!(rounded.iter().all(|r| 0.0 < r.nmse && r.nmse < 1e-4), "{rounded:?}");
        assert_eq!(rounded.iter().find(|r| r.tensor == "lm_head.weight").unwrap().from, "F16");
    }
}

/// Packed layers are the file's numbers exactly, as the formats crate reads them.
#[test]
fn packed_layers_are_exact() {
    for (folder, types) in [("gptq", "int4"), ("awq", "int4"), ("bitnet", "i2_s+int1.58")] {
        let bytes = data(&format!("checkpoints/{folder}/model.safetensors"));
        let files = [SafeTensors::parse(&bytes).unwrap()];
        let file = FileModel::of_checkpoint(folder, &config(folder), &files).unwrap();
        assert_eq!(file.model.weight_names(file.weights), types);
        let plain = Checkpoint::of(&config(folder), &files).unwrap();
        for layer in 0..file.model.layers {
            for (name, role) in [
                ("wq", Role::AttnQ),
                ("wk", Role::AttnK),
                ("wv", Role::AttnV),
                ("wo", Role::AttnOutput),
                ("w_gate", Role::FfnGate),
                ("w_up", Role::FfnUp),
                ("w_down", Role::FfnDown),
            ] {
                let found = file.tensor(name, Some(layer)).unwrap();
                let (n, k) = found.shape();
                let weights = plain.weights(Place::weight(layer, role)).unwrap();
                let mut row = vec![0.0; k as usize];
                for (n, found) in (0..n as usize).zip(found.dequantise().chunks(k as usize)) {
                    weights.row(n, &mut row).unwrap();
                    assert_eq!(found, row, "{folder}: {name} of layer {layer}, row {n}");
                }
            }
        }
    }
}

/// Where a tensor's bytes begin.
fn begin(file: &[u8], tensor: &str) -> usize {
    let header = 8 + u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    let json: serde_json::Value = serde_json::from_slice(&file[8..header]).unwrap();
    header + json[tensor]["data_offsets"][0].as_u64().unwrap() as usize
}

#[test]
fn what_records_cannot_hold() {
    let whole = data("checkpoints/gptq/model.safetensors");
    let say = |tensor: &str, at: usize, new: &[u8]| {
        let mut bytes = whole.clone();
        let begin = begin(&bytes, tensor) + at;
        bytes[begin..begin + new.len()].copy_from_slice(new);
        let files = [SafeTensors::parse(&bytes).unwrap()];
        let file = match FileModel::of_checkpoint("m", &config("gptq"), &files) {
            Ok(file) => file,
            Err(error) => return error.to_string(),
        };
        file.tensor("wq", Some(0)).unwrap_err().to_string()
    };
    let layer = "model.layers.0.self_attn.q_proj";
    assert_eq!(
        say(&format!("{layer}.g_idx"), 0, &[1, 0, 0, 0]),
        "`model.layers.0.self_attn.q_proj`: its groups are no neighbours (`desc_act`), which records cannot hold: --weights int4 \
         --group 32 rounds it anew, --exact-float keeps it in FP16"
    );
    assert_eq!(
        say(&format!("{layer}.qzeros"), 0, &[0xff]),
        "`model.layers.0.self_attn.q_proj`: row 0, group 0: a zero point of 16, records hold 0 to 15"
    );
    // Groups that are no power of two.
    let mut json: serde_json::Value = serde_json::from_slice(&data("checkpoints/gptq/config.json")).unwrap();
    json["quantization_config"]["group_size"] = 24.into();
    let config = Config::parse(json.to_string().as_bytes()).unwrap();
    let files = [SafeTensors::parse(&whole).unwrap()];
    assert!(FileModel::of_checkpoint("m", &config, &files).is_err());
}

/// The model of `gptq`, its groups numbered from the last: the same numbers, and nothing that a record holds.
fn reordered() -> Vec<u8> {
    let mut bytes = data("checkpoints/gptq/model.safetensors");
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let json: serde_json::Value = serde_json::from_slice(&bytes[8..header]).unwrap();
    for (name, tensor) in json.as_object().unwrap() {
        let at = |i: usize| header + tensor["data_offsets"][i].as_u64().unwrap() as usize;
        let (data, rows) = (&mut bytes[at(0)..at(1)], tensor["shape"][0].as_u64().unwrap() as usize);
        if name.ends_with("g_idx") {
            let groups = rows as u32 / 32;
            for group in data.as_chunks_mut().0 {
                *group = (groups - 1 - u32::from_le_bytes(*group)).to_le_bytes();
            }
        } else if name.ends_with("qzeros") || name.ends_with("scales") {
            let rows: Vec<Vec<u8>> = data.chunks(data.len() / rows).rev().map(<[u8]>::to_vec).collect();
            data.copy_from_slice(&rows.concat());
        }
    }
    bytes
}

#[test]
fn reordered_groups_are_rounded_on_request() {
    let (bytes, plain) = (reordered(), data("checkpoints/gptq/model.safetensors"));
    let (files, plain) = ([SafeTensors::parse(&bytes).unwrap()], [SafeTensors::parse(&plain).unwrap()]);
    let model = |files| FileModel::of_checkpoint("gptq", &config("gptq"), files).unwrap();
    let (file, plain) = (model(&files), model(&plain));
    plain.check().unwrap();
    let said = file.check().unwrap_err().to_string();
    assert!(said.contains("`desc_act`") && said.contains("--weights int4 --group 32"), "{said}");
    assert!(said.contains(&file.tensor("wq", Some(0)).unwrap_err().to_string()[..40]), "{said}");

    // The same numbers in FP16, and rounded: what is asked is made of the values, and every matrix is accounted for.
    let exact = file.clone().exact_float().unwrap();
    exact.check().unwrap();
    let format = WeightFormat::new(WeightKind::Int8, Group::Of(32));
    let made = file.clone().requested(Request { format, importance: None }).unwrap();
    made.check().unwrap();
    for (file, most) in [(&exact, 1e-4), (&made, 1e-3)] {
        for numerics in [Numerics::Float, Numerics::Machine(Machine::default())] {
            let most = if numerics == Numerics::Float { most } else { 3e-3 };
            let nmse = compare(file, numerics, "checkpoints/gptq/logits.npy");
            assert!(nmse < most, "{nmse:.2e}");
        }
    }
    let down = plain.tensor("w_down", Some(1)).unwrap();
    let (n, k) = down.shape();
    let rounded = QuantisedTensor::quantise(&down.dequantise(), n, k, format).unwrap();
    assert!(made.tensor("w_down", Some(1)).unwrap() == Matrix::Codes(rounded));
    let roundings = made.roundings().unwrap();
    assert_eq!(roundings.len(), 15);
    assert!(roundings.iter().all(|r| 0.0 < r.nmse && r.nmse < 1e-4), "{roundings:?}");

    // A text is read in the file's numbers, whatever is asked.
    assert!(Importance::of(&file, &PROMPT).is_err());
    assert_eq!(Importance::of(&exact, &PROMPT).unwrap().tokens(), 24);
}

#[test]
fn files_of_one_model_are_one() {
    let names = [1, 2, 3].map(|i| format!("checkpoints/split/phi3-q4_0-{i:05}-of-00003.gguf"));
    let bytes = names.map(|name| data(&name));
    let files = bytes.iter().map(|bytes| Gguf::parse(bytes).unwrap()).collect();
    let file = FileModel::of("phi3", &Gguf::join(files).unwrap()).unwrap();
    let nmse = compare(&file, Numerics::Machine(Machine::default()), "architectures/phi3-q4_0.logits.npy");
    assert!(nmse < 2e-3, "{nmse:.2e}");
}
