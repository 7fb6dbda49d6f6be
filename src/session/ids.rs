//! Token ids, where no text is at hand: seeded, the same on every machine. They choose the embedding row, and so a little
//! of the timing.

/// Seed of ids and of made-up weights.
pub(crate) const SEED: u64 = 2408_06003;

/// SplitMix64's finaliser.
fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

fn id(vocab: u32, sequence: u32, index: u64) -> u32 {
    (mix(mix(SEED ^ u64::from(sequence)) ^ index) % u64::from(vocab)) as u32
}

/// Ids of a prompt: sequence 0's, then sequence 1's, and so on.
pub fn prompt(vocab: u32, batch: u32, length: u32) -> Vec<u32> {
    (0..batch).flat_map(|s| (0..u64::from(length)).map(move |i| id(vocab, s, i))).collect()
}

/// Ids that decode step `step` is fed, one per sequence.
pub(crate) fn decode(vocab: u32, batch: u32, step: u64) -> Vec<u32> {
    (0..batch).map(|s| id(vocab, s, (1 << 32) + step)).collect()
}
