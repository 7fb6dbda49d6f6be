use lutsim_isa::{Group, WeightFormat};

use super::*;
use crate::blocks::Matrix;
use crate::model::LearnedPositions;
use crate::quantize::{KINDS, QuantisedTensor, format};
use crate::weights::{Stream, Synthetic, synthetic_tensor};

fn tiny() -> Model {
    Model::builtin("tiny-2l").unwrap()
}

fn source(model: &Model, weights: WeightFormat) -> Synthetic {
    let head = format(WeightKind::Int8, Group::Of(128));
    Synthetic { model: model.clone(), weights, head, seed: 1 }
}

fn run(s: &Synthetic, numerics: Numerics, tokens: &[u32]) -> Vec<Vec<f32>> {
    let r = Reference::new(s.model.clone(), s, numerics).unwrap();
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
    let pairs = RopeConfig { pairing: Rope::Pair, ..tiny().rope().unwrap().clone() };
    for kind in KINDS {
        let families = [
            tiny(),
            Model { qkv_bias: true, ..tiny() },
            Model { sub_norms: true, activation: Act::Relu2, ..tiny() },
            Model { positions: Positions::Rotary(pairs.clone()), ..tiny() },
            Model {
                positions: Positions::Learned(LearnedPositions { offset: 2 }),
                norm: Norm::Layer,
                gated_mlp: false,
                mlp_bias: true,
                ..tiny()
            },
            Model { positions: Positions::Alibi, embedding_norm: true, output_bias: true, ..tiny() },
        ];
        for (i, model) in families.iter().enumerate() {
            let s = source(model, format(kind, Group::Of(32)));
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

/// With FP16 activations only their rounding, and that of the tables' entries, is left.
#[test]
fn half_precision_is_closer() {
    for kind in KINDS {
        let s = source(&tiny(), format(kind, Group::Of(16)));
        let float = run(&s, Numerics::Float, &tokens(10));
        let error = |activations| {
            let machine = Machine { activations, kv: WeightKind::Kv8, ..Machine::default() };
            nmse(&run(&s, Numerics::Machine(machine), &tokens(10)), &float)
        };
        let (half, int) = (error(AType::Fp16), error(AType::Int8));
        assert!(half < int / 2.0 && half > 1e-8, "{kind}: {half} {int}");
    }
}

#[test]
fn once_more_is_the_same_and_another_seed_is_not() {
    let s = source(&tiny(), format(WeightKind::Int8, Group::Row));
    let first = run(&s, Numerics::Machine(Machine::default()), &tokens(9));
    assert!(first == run(&s, Numerics::Machine(Machine::default()), &tokens(9)));
    assert!(
        first != run(&Synthetic { seed: 2, ..s.clone() }, Numerics::Machine(Machine::default()), &tokens(9))
    );
}

/// Another cut of K is another order of roundings, if the sums are wide enough to be rounded.
#[test]
fn blocks_of_k_are_added_one_by_one() {
    let made = |kind| synthetic_tensor(Stream::new(1, "w", None), 64, 200, format(kind, Group::Row), 1.0);
    let w = |kind| Matrix::Codes(made(kind));
    let x: Vec<f32> = (0..200).map(|i| Stream::new(2, "x", None).normal(i)).collect();
    let y = |kind, k_block| product(&w(kind), k_block, &Machine::default(), &x);
    assert!(y(WeightKind::Int8, 200) != y(WeightKind::Int8, 64));
    assert!(nmse(&[y(WeightKind::Int8, 200)], &[y(WeightKind::Int8, 64)]) < 1e-12);
    assert!(y(WeightKind::Int2, 200) == y(WeightKind::Int2, 64));
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
    let t = Matrix::Codes(t);
    // 127 quantises to itself: the scale is 1.
    let mut x = vec![1.0; 20];
    x[0] = 127.0;
    // Group 1: q - z = 2, 142 in all, s = 0.5: 142. Group 2: q - z = -3 for the first, 0 for the others: -0.75.
    assert_eq!(product(&t, 20, &Machine::default(), &x), [141.25]);
    assert_eq!(Linear::float(&t).apply(&[x]), [[141.25]]);
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
    assert_eq!(argmax(&[1.0, 3.0, 3.0]), 1);
    assert_eq!(
        argmax(&[1.0, f32::NAN, f32::INFINITY, f32::NAN]),
        1,
        "the first that is no number, so that it is seen"
    );
    let say = r.step(&mut cache, 320).unwrap_err().to_string();
    assert_eq!(say, "token 320 is beyond the vocabulary of 320");
    let wide = Model { intermediate: 192, ..tiny() };
    let say = Reference::new(wide, &s, Numerics::Float).err().unwrap().to_string();
    assert_eq!(say, "`w_gate` of layer 0 is 176 x 64, but the model's dimensions say 192 x 64");
}
