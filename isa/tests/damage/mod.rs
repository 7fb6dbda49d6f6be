//! Texts and files with bits flipped, pieces cut out and numbers at their extremes; and what reading them takes of the heap. The
//! numbers are the same in every run. The tests of several crates share this file.

use peak_alloc::PeakAlloc;

/// The heap is everyone's, so a program has one test of it.
#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ x >> 31
    }
    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
}

/// What numbers of a text are replaced with.
const EXTREMES: [&str; 14] = [
    "0",
    "-1",
    "1e999",
    "nan",
    "4294967295",
    "4294967296",
    "9223372036854775807",
    "18446744073709551615",
    "18446744073709551616",
    "1000000000",
    "0.0000000001",
    "\u{fc}",
    "\"\"",
    "99999999999999999999999999",
];

fn damage(good: &[u8], text: bool, random: &mut Random) -> Vec<u8> {
    let mut bad = good.to_vec();
    for _ in 0..1 + random.below(3) {
        if bad.is_empty() {
            break;
        }
        let at = random.below(bad.len());
        match random.below(9) {
            0..=1 => bad[at] ^= 1 << random.below(8),
            2 => bad[at] = random.next() as u8,
            3 => bad.truncate(at),
            4 => {
                let n = random.below(40).min(bad.len() - at);
                bad.drain(at..at + n);
            }
            5 => {
                // A piece a second time.
                let n = random.below(60).min(bad.len() - at);
                let piece = bad[at..at + n].to_vec();
                bad.splice(at..at, piece);
            }
            _ if text => {
                // The next number.
                let Some(start) = bad[at..].iter().position(u8::is_ascii_digit).map(|i| at + i) else {
                    continue;
                };
                let len = bad[start..].iter().take_while(|b| b.is_ascii_alphanumeric()).count();
                let value = EXTREMES[random.below(EXTREMES.len())];
                bad.splice(start..start + len, value.bytes());
            }
            _ => {
                let extremes = [0, 1, 1 << 31, u64::from(u32::MAX), 1 << 62, 1 << 63, u64::MAX];
                let value = extremes[random.below(extremes.len())];
                let n = [4, 8][random.below(2)].min(bad.len() - at);
                bad[at..at + n].copy_from_slice(&value.to_le_bytes()[..n]);
            }
        }
    }
    bad
}

/// Reads `cases` damaged copies with `read`, which says whether it accepted one, on at most `per_byte` bytes of heap for each of the
/// copy's and `least` more. Returns how many were accepted.
#[allow(dead_code, reason = "some crates read texts only, some files only")]
pub(crate) fn files(
    good: &[u8],
    cases: usize,
    (per_byte, least): (usize, usize),
    read: impl Fn(&[u8]) -> bool,
) -> usize {
    run(good, false, cases, (per_byte, least), read)
}

/// The same of texts; what is no UTF-8 is replaced.
#[allow(dead_code, reason = "some crates read texts only, some files only")]
pub(crate) fn texts(
    good: &str,
    cases: usize,
    (per_byte, least): (usize, usize),
    read: impl Fn(&str) -> bool,
) -> usize {
    run(good.as_bytes(), true, cases, (per_byte, least), |bytes| read(&String::from_utf8_lossy(bytes)))
}

fn run(
    good: &[u8],
    text: bool,
    cases: usize,
    (per_byte, least): (usize, usize),
    read: impl Fn(&[u8]) -> bool,
) -> usize {
    assert!(read(good), "what is undamaged is not accepted");
    let (mut random, mut accepted) = (Random(0x6c75_7473_696d), 0);
    for case in 0..cases {
        let bad = damage(good, text, &mut random);
        HEAP.reset_peak_usage();
        let before = HEAP.current_usage();
        accepted += usize::from(read(&bad));
        let taken = HEAP.peak_usage().saturating_sub(before);
        let most = per_byte * bad.len() + least;
        assert!(
            taken <= most,
            "case {case}: {taken} bytes of heap for {}:\n{}",
            bad.len(),
            String::from_utf8_lossy(&bad)
        );
    }
    accepted
}
