//! Request traces: their text form, and the patterns that validation uses, generated.

use crate::error::Error;
use crate::standard::Standard;

/// One request of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// First tick at which it may enter the memory system.
    pub earliest: u64,
    /// A write, else a read.
    pub write: bool,
    /// Byte address in the device.
    pub address: u64,
}

/// Reads `<earliest tick> <R|W> 0x<byte address>` per line; `#` starts a comment.
pub fn parse_trace(text: &str, standard: &Standard) -> Result<Vec<Request>, Error> {
    let mut out: Vec<Request> = Vec::new();
    for (i, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or("").trim();
        if line.is_empty() {
            continue;
        }
        let bad = |message: String| Error::Trace { line: i + 1, message };
        let words: Vec<&str> = line.split_whitespace().collect();
        let [tick, kind, address] = words[..] else {
            return Err(bad(format!("`{line}` is not `<tick> <R|W> 0x<address>`")));
        };
        let earliest = tick.parse().map_err(|_| bad(format!("`{tick}` is not a tick")))?;
        let write = match kind {
            "R" => false,
            "W" => true,
            _ => return Err(bad(format!("`{kind}` is neither R nor W"))),
        };
        let digits =
            address.strip_prefix("0x").ok_or_else(|| bad(format!("`{address}` does not start with 0x")))?;
        // A sign would be read too.
        let address = u64::from_str_radix(if digits.starts_with('+') { "" } else { digits }, 16)
            .map_err(|_| bad(format!("`{address}` is not a hexadecimal address")))?;
        out.push(Request { earliest, write, address });
        check_request(out.len() - 1, &out, standard).map_err(bad)?;
    }
    Ok(out)
}

/// Ticks beyond these 78 hours at 1 GHz are taken for a mistake, and leave room for a run to end.
const LAST_TICK: u64 = 1 << 48;

/// Checks every request; the error comes with the index of the one to blame.
pub(crate) fn check_requests(trace: &[Request], standard: &Standard) -> Result<(), (usize, String)> {
    let bytes = standard.channel_bytes() * standard.channels as u64;
    (0..trace.len()).try_for_each(|i| check_within(i, trace, bytes).map_err(|message| (i, message)))
}

/// Checks the request at `index` against the device and its predecessor.
fn check_request(index: usize, trace: &[Request], standard: &Standard) -> Result<(), String> {
    check_within(index, trace, standard.channel_bytes() * standard.channels as u64)
}

fn check_within(index: usize, trace: &[Request], bytes: u64) -> Result<(), String> {
    let request = &trace[index];
    if request.address >= bytes {
        return Err(format!("address {:#x} lies outside the device of {bytes:#x} bytes", request.address));
    }
    if request.earliest > LAST_TICK {
        return Err(format!("tick {} is later than {LAST_TICK}", request.earliest));
    }
    if index > 0 && request.earliest < trace[index - 1].earliest {
        return Err(format!(
            "time goes backwards, from {} to {}",
            trace[index - 1].earliest,
            request.earliest
        ));
    }
    Ok(())
}

/// A generated trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pattern {
    /// Consecutive bursts, reads.
    SeqRead,
    /// The same bank, another row each time, reads.
    RowConflict,
    /// Distinct random bursts, reads.
    RandomRead,
    /// Consecutive bursts, reads and writes in turn.
    MixedSeq,
    /// 32 reads from one stream, 32 writes to another half the device away.
    Copy32,
    /// Distinct random bursts, read or write by coin.
    MixedRandom,
    /// Four isolated reads: closed row, hit, conflict, another bank.
    Idle,
}

impl Pattern {
    /// Every pattern.
    pub const ALL: [Pattern; 7] = [
        Pattern::SeqRead,
        Pattern::RowConflict,
        Pattern::RandomRead,
        Pattern::MixedSeq,
        Pattern::Copy32,
        Pattern::MixedRandom,
        Pattern::Idle,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Pattern::SeqRead => "seq_read",
            Pattern::RowConflict => "row_conflict",
            Pattern::RandomRead => "random_read",
            Pattern::MixedSeq => "mixed_seq",
            Pattern::Copy32 => "copy_32",
            Pattern::MixedRandom => "mixed_random",
            Pattern::Idle => "idle",
        }
    }

    /// A pattern by name.
    pub fn by_name(name: &str) -> Result<Pattern, Error> {
        Pattern::ALL
            .into_iter()
            .find(|p| p.name() == name)
            .ok_or_else(|| Error::unknown("pattern", name, &Pattern::ALL.map(Pattern::name)))
    }

    /// `n` requests of the pattern for this standard and its default mapping (`idle` always has 4).
    pub fn generate(self, s: &Standard, n: usize) -> Vec<Request> {
        let bytes = s.request_bytes as u64;
        let blocks = s.channel_bursts() * s.channels as u64;
        let at = |burst: u64| burst % blocks * bytes;
        let read = |burst: u64| Request { earliest: 0, write: false, address: at(burst) };
        let row = 1u64 << field(s, "Row");
        let n64 = n as u64;
        match self {
            Pattern::SeqRead => (0..n64).map(read).collect(),
            Pattern::RowConflict => (0..n64).map(|i| read(i % s.rows as u64 * row)).collect(),
            Pattern::RandomRead => random_bursts(blocks, n).into_iter().map(read).collect(),
            Pattern::MixedSeq => (0..n64).map(|i| Request { write: i & 1 != 0, ..read(i) }).collect(),
            Pattern::Copy32 => (0..n64)
                .map(|i| {
                    let (write, burst) = (i & 32 != 0, i / 64 * 32 + i % 32);
                    Request { write, ..read(if write { blocks / 2 + burst } else { burst }) }
                })
                .collect(),
            Pattern::MixedRandom => {
                let mut coin = SplitMix64(SEED ^ 0xFFFF);
                random_bursts(blocks, n)
                    .into_iter()
                    .map(|b| Request { write: coin.next() & 1 != 0, ..read(b) })
                    .collect()
            }
            Pattern::Idle => {
                [(100, 0), (600, 1 << field(s, "Column")), (1100, row), (1600, 1 << field(s, "Bank"))]
                    .into_iter()
                    .map(|(earliest, burst)| Request { earliest, ..read(burst) })
                    .collect()
            }
        }
    }
}

/// Lowest bit of a mapping field in the device-wide burst index.
fn field(s: &Standard, name: &str) -> u32 {
    let mut bit = 0;
    for field in &s.mapping {
        let (n, bits) = field.split_once(':').unwrap_or((field, "0"));
        if n == name {
            break;
        }
        bit += bits.parse::<u32>().unwrap_or(0);
    }
    bit
}

const SEED: u64 = 0x5_EED0_DA7A;

struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ z >> 31
    }
}

/// `n` different bursts of `blocks`, or all of them. A bit each says which were drawn: a set would take longer than the simulation.
fn random_bursts(blocks: u64, n: usize) -> Vec<u64> {
    let n = n.min(blocks as usize);
    let (mut rng, mut out) = (SplitMix64(SEED), Vec::with_capacity(n));
    let mut seen = vec![0u64; blocks.div_ceil(64) as usize];
    while out.len() < n {
        let burst = rng.next() % blocks;
        let (word, bit) = (&mut seen[(burst / 64) as usize], 1 << (burst % 64));
        if *word & bit == 0 {
            *word |= bit;
            out.push(burst);
        }
    }
    out
}
