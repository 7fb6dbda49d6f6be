//! A file's matrices in another type: rounded as the quantiser rounds them, and with scales that a text chose.

use std::path::PathBuf;

use lutsim_formats::gguf::Gguf;
use lutsim_formats::tokenizer::{Special, Tokenizer};
use lutsim_host::blocks::Matrix;
use lutsim_host::files::{FileModel, Importance, Request};
use lutsim_host::quantize::{KINDS, QuantisedTensor};
use lutsim_host::reference::{Numerics, Reference};
use lutsim_host::weights::WeightSource;
use lutsim_isa::{Group, WeightFormat, WeightKind};

fn data(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/data/models").join(name);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Mean negative log-likelihood of a text's tokens behind the first.
fn loss(file: &FileModel<'_>, ids: &[u32]) -> f64 {
    let reference = Reference::new(file.model.clone(), file, Numerics::Float).unwrap();
    let logits = reference.prefill(&mut reference.cache(0), &ids[..ids.len() - 1]).unwrap();
    let one = |(logits, &id): (&Vec<f32>, &u32)| {
        let sum: f64 = logits.iter().map(|&x| f64::from(x).exp()).sum();
        sum.ln() - f64::from(logits[id as usize])
    };
    logits.iter().zip(&ids[1..]).map(one).sum::<f64>() / (ids.len() - 1) as f64
}

#[test]
fn rounded_to_nearest() {
    let bytes = data("tiny-llama-f16.gguf");
    let gguf = Gguf::parse(&bytes).unwrap();
    let file = FileModel::of("llama", &gguf).unwrap();
    let values = gguf.tensor("blk.1.ffn_down.weight").unwrap();
    let (n, k) = (values.rows() as u32, values.cols() as u32);
    let values = values.values().unwrap();
    for kind in KINDS {
        let format = WeightFormat::new(kind, Group::Of(32));
        let made = file.clone().requested(Request { format, importance: None }).unwrap();
        assert_eq!((made.weights, made.model.mix.is_none()), (format, true));
        let expected = QuantisedTensor::quantise(&values, n, k, format).unwrap();
        assert!(made.tensor("w_down", Some(1)).unwrap() == Matrix::Codes(expected));
        // The head is as it was, and each tensor is accounted for.
        assert!(made.tensor("head", None).unwrap() == file.tensor("head", None).unwrap());
        let (before, after) = (file.roundings().unwrap(), made.roundings().unwrap());
        assert_eq!(before.len(), after.len());
        let worse = before.iter().zip(&after).filter(|(b, a)| a.nmse > b.nmse).count();
        assert_eq!(worse, if kind == WeightKind::Int8 { 0 } else { after.len() - 1 }, "{kind}");
    }
    let blocks = Request { format: WeightFormat::new(WeightKind::Q4K, Group::Row), importance: None };
    let said = file.requested(blocks).unwrap_err().to_string();
    assert_eq!(said, "`--weights`: `q4_k` is not made from values here: a KV cache, or a file's blocks");
}

/// Scales that a text chose make the model better on another part of that text's kind, for every type of few bits.
#[test]
fn a_text_chooses_better_scales() {
    let bytes = data("tiny-llama-f16.gguf");
    let gguf = Gguf::parse(&bytes).unwrap();
    let file = FileModel::of("llama", &gguf).unwrap();
    let text = String::from_utf8(data("validation.txt")).unwrap();
    let ids = Tokenizer::of(&gguf).unwrap().encode(&text, Special::Text);
    let importance = Importance::of(&file, &ids[..256]).unwrap();
    assert_eq!(importance.tokens(), 256);
    for kind in [WeightKind::Int2, WeightKind::Int3, WeightKind::Int158] {
        let format = WeightFormat::new(kind, Group::Of(32));
        let [nearest, chosen] = [None, Some(importance.clone())].map(|importance| {
            let made = file.clone().requested(Request { format, importance }).unwrap();
            loss(&made, &ids[1000..1200])
        });
        println!("{kind}: {nearest:.3} to nearest, {chosen:.3} chosen");
        assert!(chosen < nearest, "{kind}: {chosen} is no better than {nearest}");
    }
}
