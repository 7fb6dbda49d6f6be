//! Neighbours become one until none can: what both kinds of tokenisers do, each with its own order.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A piece of a text on the way to a token.
#[derive(Debug, Clone, Copy)]
pub(super) struct Symbol {
    /// First byte.
    pub(super) at: usize,
    /// Bytes; 0 once it has become a part of the one before.
    pub(super) len: usize,
    /// The token of these bytes, if there is one.
    pub(super) id: Option<u32>,
    prev: usize,
    next: usize,
}

const NONE: usize = usize::MAX;

/// The symbols of pieces of `(length, token)` that lie behind each other.
pub(super) fn symbols(pieces: impl Iterator<Item = (usize, Option<u32>)>) -> Vec<Symbol> {
    let mut all: Vec<Symbol> = Vec::new();
    for (len, id) in pieces {
        let (i, at) = (all.len(), all.last().map_or(0, |s| s.at + s.len));
        if let Some(last) = all.last_mut() {
            last.next = i;
        }
        all.push(Symbol { at, len, id, prev: i.wrapping_sub(1), next: NONE });
    }
    all
}

/// Merges neighbours, always those with the lowest key, of equal ones the leftmost; `join` gives the key and the token of
/// two neighbours, if they can be merged. O(n log n). Symbols that are left have a length.
pub(super) fn merge(symbols: &mut [Symbol], join: impl Fn(&Symbol, &Symbol) -> Option<(u32, u32)>) {
    let mut heap = BinaryHeap::new();
    let offer = |heap: &mut BinaryHeap<_>, symbols: &[Symbol], left: usize, right: usize| {
        if left != NONE
            && right != NONE
            && let Some((key, id)) = join(&symbols[left], &symbols[right])
        {
            heap.push(Reverse((key, left, right, symbols[left].len + symbols[right].len, id)));
        }
    };
    for i in 1..symbols.len() {
        offer(&mut heap, symbols, i - 1, i);
    }
    while let Some(Reverse((_, left, right, len, id))) = heap.pop() {
        // What has been merged since is longer, or gone.
        if symbols[left].len == 0 || symbols[right].len == 0 || symbols[left].len + symbols[right].len != len
        {
            continue;
        }
        let next = symbols[right].next;
        symbols[right].len = 0;
        symbols[left] = Symbol { len, id: Some(id), next, ..symbols[left] };
        if next != NONE {
            symbols[next].prev = left;
        }
        offer(&mut heap, symbols, symbols[left].prev, left);
        offer(&mut heap, symbols, left, next);
    }
}
