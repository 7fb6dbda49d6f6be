//! Choosing a mapping without measuring: what fits, and what is then sane.

use lutsim_isa::field::Act;
use lutsim_isa::format::{Group, WeightFormat, WeightKind};

use super::{Hidden, KBlock, Mapping, Operand};
use crate::error::HostError;
use crate::layout::largest_block;
use crate::lower::buffers::Buffers;
use crate::lower::{MOST_RESIDENT, Phase, resident_slots, values_columns};
use crate::model::Model;
use crate::target::Target;
use crate::workload::{KV_TILE, Sort, Workload};

/// Slots beyond this do not help: a queue holds no more transfers.
const MOST_SLOTS: u64 = 64;

/// Outputs of a record of floats that a slot has room for.
const FLOAT_ROWS: u32 = 4;

/// Scratchpad that instructions can name: addresses have 24 bits.
const REACH: u64 = (1 << 24) - 64;

/// Scratchpad of a chip that programs use.
pub(super) fn usable(target: &Target) -> u64 {
    target.scratchpad_bytes.min(REACH)
}

impl Mapping {
    /// A sane choice without a search: as near a square grid as the chip allows, records of about 1024 inputs, the largest chunk up to
    /// 256 rows that leaves the weight ring room to work.
    ///
    /// # Errors
    /// A scratchpad in which nothing fits.
    pub fn default_for(target: &Target, model: &Model, workload: &Workload) -> Result<Mapping, HostError> {
        let columns = 1 << (target.cores.max(1).ilog2() / 2);
        let mut n_tile = columns * target.n;
        loop {
            let mut k_block = 1024;
            while k_block >= 64 {
                if let Some(mapping) = Mapping::with(target, model, workload, target.cores, n_tile, k_block) {
                    return Ok(mapping);
                }
                k_block /= 2;
            }
            if n_tile <= 16 {
                return Err(least(target, model, workload));
            }
            n_tile /= 2;
        }
    }

    /// The mapping for a number of cores, an N tile and a K block: largest chunk, as many slots as fit. `None` if it does not fit.
    pub fn with(
        target: &Target,
        model: &Model,
        workload: &Workload,
        cores: u32,
        n_tile: u32,
        k_block: u32,
    ) -> Option<Mapping> {
        let cut = Mapping::cut(target, model, workload, (cores, n_tile, k_block))?;
        let pass = cut.pass(target);
        let most = workload.prompt.clamp(1, MOST_CHUNK.max(pass)).next_multiple_of(pass);
        let mut best: Option<Mapping> = None;
        // Chunks that fill the passes of attention too come first; of long contexts, a large chunk whose rows attend in small blocks.
        let chunks = |least: u32| (1..=most / pass).rev().map(move |i| (i * pass, least));
        let tries: Vec<(u32, u32)> = chunks(pass).chain(chunks(1)).chain([(1, 1)]).collect();
        for hidden in hidden_types(model) {
            let mut next = Mapping { hidden, ..cut };
            let found = tries.iter().find(|&&(chunk, rows)| {
                next.chunk = chunk;
                next.fit(target, model, workload, rows).is_some()
            });
            let Some(&(_, rows)) = found else { continue };
            // The same number of chunks, of more equal sizes: each reads all weights, however many rows it has.
            let chunks = workload.prompt.div_ceil(next.chunk).max(1);
            next.chunk = workload.prompt.div_ceil(chunks).next_multiple_of(pass).clamp(1, next.chunk);
            let fits = next.fit(target, model, workload, rows).is_some();
            let fewer = |b: Mapping| chunks < workload.prompt.div_ceil(b.chunk).max(1);
            if fits && best.is_none_or(fewer) {
                best = Some(next);
            }
        }
        best
    }

    /// The mapping for `(cores, n_tile, k_block)`, `(chunk, slots)`, a hidden type, and whether few query rows meet a tile of keys. `None` if
    /// it does not fit.
    pub(crate) fn sized(
        target: &Target,
        model: &Model,
        workload: &Workload,
        grid: (u32, u32, u32),
        (chunk, slots): (u32, u32),
        (hidden, few_rows): (Hidden, bool),
    ) -> Option<Mapping> {
        let mut next = Mapping { chunk, hidden, ..Mapping::cut(target, model, workload, grid)? };
        next.fit_keys(target);
        (next.decode_rows, next.prefill_rows) =
            if few_rows { (1, chunk.min(next.pass(target))) } else { (model.group(), chunk) };
        next.decode_slots = next.room(target, model, workload, Phase::decode(workload))?;
        next.prefill_slots = next.room(target, model, workload, Phase::prefill(workload, chunk, true))?;
        let fits = next.decode_slots >= slots && next.prefill_slots >= slots;
        let sized = Mapping { decode_slots: slots, prefill_slots: slots, ..next };
        (fits && sized.check(target, model, workload).is_ok()).then_some(sized)
    }

    /// Record sizes for `(cores, n_tile, k_block)`; chunk and slots are still to be chosen.
    fn cut(
        target: &Target,
        model: &Model,
        workload: &Workload,
        (cores, n_tile, k_block): (u32, u32, u32),
    ) -> Option<Mapping> {
        let longest = |kind: WeightKind| workload.longest_sum(kind, target);
        let columns = n_tile.div_ceil(target.n);
        if columns > cores || columns > 255 {
            return None;
        }
        // A slot holds a record of the K block, one group of any tensor, a tile of values.
        let values = WeightFormat { kind: workload.kv, group: Group::Of(KV_TILE) };
        let group = |f: WeightFormat, k: u32| f.scratchpad_bytes(n_tile, f.unit().min(k));
        let matrices = workload.matrices(model);
        let (floats, codes): (Vec<&Sort>, Vec<&Sort>) =
            matrices.iter().partition(|m| m.format.kind.is_float());
        let of_layers = || codes.iter().filter(|m| m.name != "head").map(|m| m.format);
        let slot_bytes = of_layers()
            .map(|format| format.scratchpad_bytes(n_tile, k_block).max(group(format, u32::MAX)))
            .chain([values.scratchpad_bytes(model.head_dim.min(cores.min(255) * target.n), KV_TILE)])
            .chain(codes.iter().filter(|m| m.name == "head").map(|head| group(head.format, head.k)))
            .chain(floats.iter().map(|m| m.format.scratchpad_bytes(FLOAT_ROWS.min(m.n), m.k)))
            .max()?
            .next_multiple_of(u64::from(target.scratchpad_row_bytes.max(64)));
        // Of all matrices that share it.
        let block = |operand: Operand| {
            let sharing = matrices.iter().filter(|m| Operand::of(m.name) == operand);
            let sharing: Vec<&Sort> = sharing.collect();
            let k = sharing.first()?.k;
            let most = |m: &&Sort| largest_block(m.format, n_tile, k, slot_bytes, longest(m.format.kind));
            let unit = sharing.iter().map(|m| m.format.unit()).max()?;
            let most = sharing.iter().map(most).collect::<Option<Vec<u32>>>()?.into_iter().min()?;
            let most = if most < k { most / unit * unit } else { k };
            if most == 0 {
                return None;
            }
            // The same number of records, of more equal sizes.
            let even = k.div_ceil(k.div_ceil(most)).next_multiple_of(unit).min(k);
            Some(if even <= most { even } else { most })
        };
        let k_block = KBlock {
            hidden: block(Operand::Hidden)?,
            attention: block(Operand::Attention)?,
            mlp: block(Operand::Mlp)?,
            head: block(Operand::Head)?,
        };
        let mapping = Mapping {
            cores,
            n_tile,
            chunk: 1,
            decode_keys: 0,
            prefill_keys: 0,
            decode_rows: 1,
            prefill_rows: 1,
            slot_bytes: slot_bytes.try_into().ok()?,
            decode_slots: 0,
            prefill_slots: 0,
            hidden: Hidden::F32,
            k_block,
        };
        Some(Mapping { decode_keys: keys_of_slot(target, model, workload, &mapping)?, ..mapping })
    }

    /// Tiles of keys for the chunk: as many columns as leave the rows one pass, and no less than a tile of values.
    fn fit_keys(&mut self, target: &Target) {
        let columns = (self.cores * target.m / self.chunk.max(1)).max(1) * target.n;
        let whole = columns.max(KV_TILE) / KV_TILE * KV_TILE;
        self.prefill_keys = whole.min(self.decode_keys);
    }

    /// Rows that a pass over an N tile takes.
    fn pass(&self, target: &Target) -> u32 {
        target.m * (self.cores / self.n_tile.div_ceil(target.n)).clamp(1, 255)
    }

    /// Slots that the buffers leave to the ring. `None` if they are too few to work with.
    fn room(&self, target: &Target, model: &Model, workload: &Workload, phase: Phase) -> Option<u32> {
        let buffers = Buffers::new(model, workload, target, self, phase);
        let slots = usable(target).checked_sub(buffers.end)? / u64::from(self.slot_bytes);
        let mut need = resident_slots(model, target, self, phase).max(2);
        if need > MOST_RESIDENT {
            return None;
        }
        // Half as much again, so that the next tile streams in while this one is used.
        if phase.rows > 1 && !phase.decode {
            need = need * 3 / 2;
        }
        (slots >= u64::from(need)).then_some(slots.min(MOST_SLOTS) as u32)
    }

    /// Chooses what depends on the chunk: tiles of keys, query rows, slots. As many query rows as leave the ring room, in prefill
    /// `least` of the chunk's or more.
    fn fit(&mut self, target: &Target, model: &Model, workload: &Workload, least: u32) -> Option<()> {
        self.fit_keys(target);
        let group = model.group();
        (self.decode_rows, self.decode_slots) =
            (1..=group).rev().filter(|r| group.is_multiple_of(*r)).find_map(|rows| {
                let next = Mapping { decode_rows: rows, ..*self };
                Some((rows, next.room(target, model, workload, Phase::decode(workload))?))
            })?;
        let least = self.chunk.min(least);
        let halves = std::iter::successors(Some(self.chunk), |rows| Some(rows.div_ceil(2)));
        (self.prefill_rows, self.prefill_slots) =
            halves.take(8).filter(|&rows| rows >= least).find_map(|rows| {
                let next = Mapping { prefill_rows: rows, ..*self };
                let phase = Phase::prefill(workload, self.chunk, true);
                if workload.prompt == 0 {
                    return Some((rows, self.decode_slots));
                }
                Some((rows, next.room(target, model, workload, phase)?))
            })?;
        Some(())
    }
}

/// Types of the MLP's hidden activations that may be chosen: squares do not fit half precision.
pub(crate) fn hidden_types(model: &Model) -> impl Iterator<Item = Hidden> {
    let half = model.activation != Act::Relu2;
    [Hidden::F32, Hidden::F16].into_iter().filter(move |&h| half || h == Hidden::F32)
}

/// Rows of a prefill chunk beyond which little is left to save: each weight is then used 256 times per read.
const MOST_CHUNK: u32 = 256;

/// Keys that a slot and the grid hold. `None` if not even one tile of keys or values fits.
pub(super) fn keys_of_slot(
    target: &Target,
    model: &Model,
    workload: &Workload,
    mapping: &Mapping,
) -> Option<u32> {
    let slot = u64::from(mapping.slot_bytes);
    let keys = WeightFormat { kind: workload.kv, group: Group::Row };
    let values = WeightFormat { kind: workload.kv, group: Group::Of(KV_TILE) };
    let columns = mapping.cores.min(255) * target.n;
    let widest = values_columns(target, mapping, model.head_dim);
    // Parts of an FP16 row would each be rounded with a scale of their own.
    let parts = widest < model.head_dim && !workload.kv_scaled();
    if parts || values.scratchpad_bytes(widest, KV_TILE) > slot {
        return None;
    }
    let sizes = (1..=8).rev().map(|i| i * KV_TILE).chain([64, 32, 16]);
    sizes.into_iter().find(|&n| n <= columns && keys.scratchpad_bytes(n, model.head_dim) <= slot)
}

/// The error of a scratchpad in which nothing fits, with the least that works.
fn least(target: &Target, model: &Model, workload: &Workload) -> HostError {
    // Doubling finds a size that works, halving the steps finds the least to 1 KiB.
    let works = |bytes: u64| {
        let target = Target { scratchpad_bytes: bytes, ..*target };
        let widest = 1 << (target.cores.max(1).ilog2() / 2);
        std::iter::successors(Some(widest * target.n), |n| (*n > 16).then_some(n / 2)).any(|n| {
            [1024, 512, 256, 128, 64]
                .iter()
                .any(|&k| Mapping::with(&target, model, workload, target.cores, n, k).is_some())
        })
    };
    let mut high = target.scratchpad_bytes.max(1024).next_multiple_of(1024);
    while !works(high) {
        if high > REACH {
            return HostError::Workload {
                what: format!(
                    "{} at batch {} and {} tokens needs more than the {REACH} bytes of scratchpad that instructions reach",
                    model.name,
                    workload.batch,
                    workload.tokens()
                ),
                help: "lower --batch, --context or --prompt".into(),
            };
        }
        high *= 2;
    }
    let mut low = high / 2;
    while high - low > 1024 {
        let middle = (low + (high - low) / 2).next_multiple_of(1024);
        if middle >= high {
            break;
        }
        if works(middle) { high = middle } else { low = middle }
    }
    HostError::Scratchpad {
        what: format!("any tile of {}", model.name),
        least: high,
        available: target.scratchpad_bytes,
    }
}
