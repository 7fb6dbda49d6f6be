//! What the readers take from the trained models is what their files mean: a forward pass of it gives the expected logits
//! (`tests/data/models/scripts/reference.py`, float32; tolerance as its README says, 1e-3).

mod common;

use lutsim_formats::dimensions::{Activation, Dimensions, Norm, Pairing, Positions};
use lutsim_formats::gguf::{Gguf, GgufModel};
use lutsim_formats::map::Mapped;
use lutsim_formats::roles::{Place, Role};
use lutsim_formats::tokenizer::{Special, Tokenizer};

struct Forward<'m> {
    model: GgufModel<'m>,
}

impl Forward<'_> {
    fn weights(&self, layer: usize, role: Role) -> Option<Vec<f32>> {
        self.model.get(Place::weight(layer as u32, role)).map(|tensor| tensor.values().unwrap())
    }
    /// Each row of `x` times each row of the matrix.
    fn times(&self, x: &[Vec<f32>], layer: usize, role: Role) -> Vec<Vec<f32>> {
        let w = self.weights(layer, role).unwrap();
        let dot = |x: &[f32], w: &[f32]| x.iter().zip(w).map(|(x, w)| x * w).sum::<f32>();
        x.iter().map(|x| w.chunks(x.len()).map(|w| dot(x, w)).collect()).collect()
    }
    /// A norm, where the model has it.
    fn norm(&self, x: &[Vec<f32>], layer: usize, role: Role) -> Vec<Vec<f32>> {
        assert_eq!(self.model.dimensions.norm, Norm::Rms);
        let Some(w) = self.weights(layer, role) else { return x.to_vec() };
        let norm = |x: &Vec<f32>| {
            let mean = x.iter().map(|x| x * x).sum::<f32>() / x.len() as f32;
            let root = (mean + self.model.dimensions.norm_eps as f32).sqrt();
            x.iter().zip(&w).map(|(x, w)| x / root * w).collect()
        };
        x.iter().map(norm).collect()
    }
    fn rotate(&self, x: &mut [Vec<f32>]) {
        let Dimensions { head_dim, positions: Positions::Rotary(rotary), .. } = &self.model.dimensions else {
            panic!("not rotary")
        };
        let half = rotary.dims as usize / 2;
        for (t, row) in x.iter_mut().enumerate() {
            for head in row.chunks_mut(*head_dim as usize) {
                for i in 0..half {
                    let angle = t as f64 * rotary.theta.powf(-(i as f64) / half as f64);
                    let (s, c) = (angle.sin() as f32, angle.cos() as f32);
                    let (a, b) = match rotary.pairing {
                        Pairing::Neighbours => (2 * i, 2 * i + 1),
                        Pairing::Halves => (i, i + half),
                    };
                    (head[a], head[b]) = (head[a] * c - head[b] * s, head[a] * s + head[b] * c);
                }
            }
        }
    }
    fn attention(&self, q: &[Vec<f32>], k: &[Vec<f32>], v: &[Vec<f32>]) -> Vec<Vec<f32>> {
        let d = &self.model.dimensions;
        let (width, group) = (d.head_dim as usize, (d.heads / d.kv_heads) as usize);
        let root = d.query_scalar.sqrt() as f32;
        let mut out = vec![vec![0.0; q[0].len()]; q.len()];
        for (t, out) in out.iter_mut().enumerate() {
            for (h, out) in out.chunks_mut(width).enumerate() {
                let (own, shared) = (h * width..(h + 1) * width, h / group * width..(h / group + 1) * width);
                let dot = |k: &Vec<f32>| -> f32 {
                    q[t][own.clone()].iter().zip(&k[shared.clone()]).map(|(q, k)| q * k).sum()
                };
                let scores: Vec<f32> = k[..=t].iter().map(|k| dot(k) / root).collect();
                let most = scores.iter().copied().fold(f32::MIN, f32::max);
                let sum: f32 = scores.iter().map(|s| (s - most).exp()).sum();
                for (s, v) in scores.iter().zip(v) {
                    let weight = (s - most).exp() / sum;
                    out.iter_mut().zip(&v[shared.clone()]).for_each(|(o, v)| *o += weight * v);
                }
            }
        }
        out
    }
    fn logits(&self, ids: &[u32]) -> Vec<Vec<f32>> {
        let d = &self.model.dimensions;
        assert_eq!(d.activation, Activation::Silu);
        let embedding = self.weights(0, Role::TokenEmbd).unwrap();
        let row = |&id: &u32| embedding[id as usize * d.hidden as usize..][..d.hidden as usize].to_vec();
        let mut x: Vec<Vec<f32>> = ids.iter().map(row).collect();
        let add = |x: &mut [Vec<f32>], y: Vec<Vec<f32>>| {
            x.iter_mut().flatten().zip(y.iter().flatten()).for_each(|(x, y)| *x += y);
        };
        for l in 0..d.layers as usize {
            let a = self.norm(&x, l, Role::AttnNorm);
            let [mut q, mut k, v] =
                [Role::AttnQ, Role::AttnK, Role::AttnV].map(|role| self.times(&a, l, role));
            self.rotate(&mut q);
            self.rotate(&mut k);
            let o = self.norm(&self.attention(&q, &k, &v), l, Role::AttnSubNorm);
            add(&mut x, self.times(&o, l, Role::AttnOutput));
            let a = self.norm(&x, l, Role::FfnNorm);
            let [mut f, up] = [Role::FfnGate, Role::FfnUp].map(|role| self.times(&a, l, role));
            f.iter_mut()
                .flatten()
                .zip(up.iter().flatten())
                .for_each(|(g, up)| *g = *g / (1.0 + (-*g).exp()) * up);
            let f = self.norm(&f, l, Role::FfnSubNorm);
            add(&mut x, self.times(&f, l, Role::FfnDown));
        }
        let x = self.norm(&x, 0, Role::OutputNorm);
        self.times(&x, 0, if d.tied { Role::TokenEmbd } else { Role::Output })
    }
}

/// The floats of a NumPy file of version 1.
fn npy(name: &str) -> Vec<f32> {
    let bytes = std::fs::read(common::data(name)).unwrap();
    assert_eq!(bytes[..8], *b"\x93NUMPY\x01\x00");
    let header = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let text = std::str::from_utf8(&bytes[10..10 + header]).unwrap();
    assert!(text.contains("'<f4'") && text.contains("False") && text.contains("(16, 1024)"), "{text}");
    bytes[10 + header..].chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

#[test]
fn logits_of_the_trained_models() {
    for name in common::MODELS {
        let map = Mapped::open(&common::data(&format!("models/{name}.gguf"))).unwrap();
        let file = Gguf::parse(&map).unwrap();
        let text =
            "Now it came to pass in the days when the judges ruled, that there was a famine in the land.";
        let ids = Tokenizer::of(&file).unwrap().prompt(text, Special::Text);
        let forward = Forward { model: GgufModel::of(&file).unwrap() };
        let found = forward.logits(&ids[..16]).concat();
        let expected = npy(&format!("models/expected/{name}.logits.f32.npy"));
        assert_eq!(found.len(), expected.len());
        let worst = found.iter().zip(&expected).map(|(f, e)| (f - e).abs()).fold(0.0, f32::max);
        println!("{name}: largest difference {worst:e}");
        assert!(worst <= 1e-3, "{name}: largest difference {worst}");
    }
}
