//! Layers whose matrices are of several types: what each layer's are, and in which order layers of each kind come.
//!
//! Model files mix types: llama.cpp's `Q4_K_M` keeps half of the value and down projections in 6 bits. Layers with the
//! same types are of one *kind*. A program has a loop for neighbours of one kind, or over layers that come again and again
//! in one order, as they do in such files:
//!
//! ```text
//! layers   A A A A B B A B B A B B A B B A A      A has more bits than B
//! program  4 x (A) . 4 x (B B A) . 1 x (A)
//! ```

use std::collections::BTreeMap;

use lutsim_isa::WeightFormat;

/// The type of each matrix of a layer, by its name in the [layout](crate::layout).
pub type Formats = BTreeMap<&'static str, WeightFormat>;

/// Which kind of layers each layer is of, and the types of each kind.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mix {
    kinds: Vec<Formats>,
    layers: Vec<usize>,
}

impl Mix {
    /// Of each layer's types, from the first.
    pub fn new(layers: impl IntoIterator<Item = Formats>) -> Mix {
        let mut mix = Mix { kinds: Vec::new(), layers: Vec::new() };
        for formats in layers {
            let kind = mix.kinds.iter().position(|known| *known == formats).unwrap_or_else(|| {
                mix.kinds.push(formats);
                mix.kinds.len() - 1
            });
            mix.layers.push(kind);
        }
        mix
    }
    /// The kinds of layers, in the order of their first coming.
    pub fn kinds(&self) -> &[Formats] {
        &self.kinds
    }
    /// The kind of each layer.
    pub fn layers(&self) -> &[usize] {
        &self.layers
    }
    /// The type of a matrix of a layer, if it is known.
    pub fn format(&self, name: &str, layer: u32) -> Option<WeightFormat> {
        let kind = *self.layers.get(layer as usize)?;
        self.kinds[kind].get(name).copied()
    }
}

/// Layers that come `times` times in one order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Repeat {
    /// How often.
    pub times: u32,
    /// The kind of each: every one of them is written once.
    pub kinds: Vec<usize>,
}

/// Some layers' kinds in as few layers as can be written.
pub fn fold(layers: &[usize]) -> Vec<Repeat> {
    // From each layer on: how many must be written, and the loop that begins there.
    let mut best: Vec<(usize, usize, usize)> = vec![(0, 0, 0); layers.len() + 1];
    for first in (0..layers.len()).rev() {
        let left = &layers[first..];
        let alike = |period: usize| left.chunks(period).take_while(|c| **c == left[..period]).count();
        let loops = (1..=left.len()).flat_map(|p| (1..=alike(p)).rev().map(move |times| (p, times)));
        let written = loops.map(|(p, times)| (p + best[first + p * times].0, p, times));
        best[first] = written.min_by_key(|&(written, ..)| written).unwrap_or_default();
    }
    let (mut out, mut first) = (Vec::new(), 0);
    while first < layers.len() {
        let (_, period, times) = best[first];
        out.push(Repeat { times: times as u32, kinds: layers[first..first + period].to_vec() });
        first += period * times;
    }
    out
}

/// The layers that a piece of a program is executed for: `times`, `period` apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layers {
    /// The first one.
    pub first: u32,
    /// How many.
    pub times: u32,
    /// From one to the next.
    pub period: u32,
}

impl Layers {
    /// The layer of execution `i`.
    pub fn nth(&self, i: u32) -> u32 {
        self.first + i * self.period
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kinds(layers: &str) -> Vec<usize> {
        layers.bytes().map(|b| usize::from(b - b'A')).collect()
    }
    /// As the module's head draws it.
    fn said(layers: &str) -> String {
        let letter = |&kind: &usize| (b'A' + kind as u8) as char;
        let repeat = |r: &Repeat| format!("{} {}", r.times, r.kinds.iter().map(letter).collect::<String>());
        fold(&kinds(layers)).iter().map(repeat).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn what_comes_again_is_written_once() {
        assert_eq!(said("A"), "1 A");
        assert_eq!(said("AAAA"), "4 A");
        assert_eq!(said("AAABB"), "3 A, 2 B");
        assert_eq!(said("AAAABBABBABBABBAA"), "4 A, 4 BBA, 1 A");
        assert_eq!(said("ABABAB"), "3 AB");
        assert_eq!(said("ABCABC"), "2 ABC");
        assert_eq!(said("AAAABAAAAB"), "4 A, 1 B, 4 A, 1 B");
        // 32 layers of Q4_K_M: more bits in the first and last eighth, and in every third between (llama-quant.cpp).
        let more = |i: usize| !(4..28).contains(&i) || (i - 4) % 3 == 2;
        let layers: String = (0..32).map(|i| if more(i) { 'A' } else { 'B' }).collect();
        assert_eq!(said(&layers), "4 A, 8 BBA, 4 A");
    }

    proptest! {
        /// Whatever the order, the loops come by every layer once, in order, and write no more than there are runs.
        #[test]
        fn every_layer_once(layers in prop::collection::vec(0usize..3, 1..40)) {
            let folded = fold(&layers);
            let walked: Vec<usize> = folded.iter().flat_map(|r| r.kinds.repeat(r.times as usize)).collect();
            prop_assert_eq!(&walked, &layers);
            let written: usize = folded.iter().map(|r| r.kinds.len()).sum();
            prop_assert!(written <= layers.chunk_by(|a, b| a == b).count());
        }
    }

    #[test]
    fn layers_of_a_loop() {
        let layers = Layers { first: 4, times: 3, period: 5 };
        assert_eq!((0..3).map(|i| layers.nth(i)).collect::<Vec<_>>(), [4, 9, 14]);
    }
}
