use lutsim_isa::{Group, WeightFormat};

use super::*;
use crate::quantize::{KINDS, QuantisedTensor, format};
use crate::rotary::Scaling;
use crate::weights::Synthetic;

fn tiny() -> Decoder {
    Decoder {
        layers: 2,
        hidden: 64,
        ffn: 176,
        heads: 4,
        kv_heads: 2,
        head_dim: 16,
        vocab: 320,
        act: Act::Silu,
        eps: 1e-5,
        qkv_bias: false,
        sub_norms: false,
        rotary: Rotary { pairing: Rope::Half, dims: 16, theta: 10000.0, scaling: Scaling::None },
    }
}

fn source(decoder: &Decoder, weights: WeightFormat) -> Synthetic {
    let head = format(WeightKind::Int8, Group::Of(128));
    Synthetic { decoder: decoder.clone(), weights, head, seed: 1 }
}

fn run(s: &Synthetic, numerics: Numerics, tokens: &[u32]) -> Vec<Vec<f32>> {
    let r = Reference::new(s.decoder.clone(), s, numerics).unwrap();
    r.prefill(&mut r.cache(0), tokens).unwrap()
}

/// Squared error over squared size.
fn nmse(a: &[Vec<f32>], b: &[Vec<f32>]) -> f64 {
    let pairs = || a.iter().flatten().zip(b.iter().flatten());
    let error: f64 = pairs().map(|(a, b)| f64::from(a - b).powi(2)).sum();
    error / pairs().map(|(_, b)| f64::from(*b).powi(2)).sum::<f64>()
}

fn tokens(n: u32) -> Vec<u32> {
    (0..n).map(|i| (i * 97 + 13) % 320).collect()
}

/// Rounding activations and the cache to 8 bits is all that separates the machine from the floats.
#[test]
fn the_machine_is_close_to_the_floats() {
    for kind in KINDS {
        let families = [
            tiny(),
            Decoder { qkv_bias: true, ..tiny() },
            Decoder { sub_norms: true, act: Act::Relu2, ..tiny() },
            Decoder { rotary: Rotary { pairing: Rope::Pair, ..tiny().rotary }, ..tiny() },
        ];
        for (i, decoder) in families.iter().enumerate() {
            let s = source(decoder, format(kind, Group::Of(32)));
            let float = run(&s, Numerics::Float, &tokens(140));
            let error = nmse(&run(&s, Numerics::Machine(Machine::default()), &tokens(140)), &float);
            assert!(error > 1e-6 && error < 2e-3, "{kind}, family {i}: {error}");
            assert!(float.iter().flatten().all(|x| x.is_finite() && x.abs() < 30.0));
        }
    }
}

#[test]
fn the_cache_kinds_differ_as_their_bits_do() {
    let s = source(&tiny(), format(WeightKind::Int2, Group::Of(64)));
    let float = run(&s, Numerics::Float, &tokens(40));
    let error =
        |kv| nmse(&run(&s, Numerics::Machine(Machine { kv, ..Machine::default() }), &tokens(40)), &float);
    let (four, eight, half) = (error(WeightKind::Kv4), error(WeightKind::Kv8), error(WeightKind::KvF16));
    assert!(four > 2.0 * eight && four < 5e-2, "{four} {eight}");
    assert!(half < 1.5 * eight && half != eight, "{half} {eight}");
}

#[test]
fn once_more_is_the_same_and_another_seed_is_not() {
    let s = source(&tiny(), format(WeightKind::Int8, Group::Row));
    let machine = |k_block: u32| {
        let k_blocks = [("ffn_down".to_string(), k_block)].into();
        Numerics::Machine(Machine { k_blocks, ..Machine::default() })
    };
    let first = run(&s, machine(176), &tokens(9));
    assert!(first == run(&s, machine(176), &tokens(9)));
    assert!(first == run(&s, Numerics::Machine(Machine::default()), &tokens(9)));
    // Another cut of K is another order of roundings, if the sums are wide enough to be rounded.
    assert!(first != run(&s, machine(64), &tokens(9)));
    assert!(nmse(&first, &run(&s, machine(64), &tokens(9))) < 1e-6);
    assert!(first != run(&Synthetic { seed: 2, ..s.clone() }, machine(176), &tokens(9)));
}

/// A row of a product worked by hand: K of 20 in groups of 16, INT2.
#[test]
fn a_product_by_hand() {
    let mut t = QuantisedTensor {
        n: 1,
        k: 20,
        format: format(WeightKind::Int2, Group::Of(16)),
        codes: vec![3; 20],
        scales: [0.5, 0.25].map(f16::from_f32).to_vec(),
        zeros: vec![1, 3],
    };
    t.codes[16] = 0;
    // 127 quantises to itself: the scale is 1.
    let mut x = vec![1.0; 20];
    x[0] = 127.0;
    // Group 1: q - z = 2, 142 in all, s = 0.5: 142. Group 2: q - z = -3 for the first, 0 for the others: -0.75.
    assert_eq!(Linear::machine(&t, 20).apply(&x), [141.25]);
    assert_eq!(Linear::float(&t).apply(&x), [141.25]);
}

#[test]
fn greedy() {
    let s = source(&tiny(), format(WeightKind::Int4, Group::Of(16)));
    let r = Reference::new(tiny(), &s, Numerics::Machine(Machine::default())).unwrap();
    let mut cache = r.cache(3);
    let out = r.generate(&mut cache, &tokens(4), 5).unwrap();
    assert_eq!((out.tokens.len(), out.logits.len(), cache.tokens()), (6, 9, 12));
    let mut again = r.cache(3);
    let all: Vec<u32> = tokens(4).into_iter().chain(out.tokens[..5].iter().copied()).collect();
    assert!(r.prefill(&mut again, &all).unwrap() == out.logits && again == cache);
    assert_eq!(argmax(&[1.0, 3.0, 3.0, f32::NAN]), 1);
    let say = r.step(&mut cache, 320).unwrap_err().to_string();
    assert_eq!(say, "token 320 is beyond the vocabulary of 320");
    let wide = Decoder { ffn: 192, ..tiny() };
    let say = Reference::new(wide, &s, Numerics::Float).err().unwrap().to_string();
    assert_eq!(say, "`ffn_gate` of layer 0 is 176 x 64, but the model's dimensions say 192 x 64");
}
