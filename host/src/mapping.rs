//! How a model is cut to fit a chip: written by `--dump-mapping`, read by `--mapping FILE`.

use lutsim_isa::field::{AType, Act};
use lutsim_isa::format::{Group, WeightFormat, WeightKind};
use serde::{Deserialize, Serialize};

use crate::error::HostError;
use crate::layout::{largest_block, shapes};
use crate::lower::buffers::Buffers;
use crate::lower::{MOST_RESIDENT, Phase, resident_slots, values_columns};
use crate::model::Model;
use crate::target::Target;
use crate::workload::{KV_TILE, Workload};

/// Element type of the MLP's hidden activations in scratchpad.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Hidden {
    /// Single precision.
    F32,
    /// Half precision: half the scratchpad, so more rows in a prefill chunk.
    F16,
}

/// Inputs of one weight record, by the width of the operand they multiply.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KBlock {
    /// Query, key, value, gate and up projections (K = hidden).
    pub hidden: u32,
    /// Output projection (K = heads x head_dim).
    pub attention: u32,
    /// Down projection (K = intermediate).
    pub mlp: u32,
    /// Output head (K = hidden).
    pub head: u32,
}
impl KBlock {
    /// That of a tensor.
    pub fn of(&self, tensor: &str) -> u32 {
        match tensor {
            "wo" => self.attention,
            "w_down" => self.mlp,
            "head" => self.head,
            _ => self.hidden,
        }
    }
}

/// How a model is cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mapping {
    /// LUT cores in use. A pass over `n` columns takes `ceil(n / core columns)` of them as C, the rest as R.
    pub cores: u32,
    /// Outputs of one weight record.
    pub n_tile: u32,
    /// Rows of a prefill chunk: each weight is read once per chunk.
    pub chunk: u32,
    /// Keys of one tile of Q K^T in decode.
    pub decode_keys: u32,
    /// Keys of one tile of Q K^T in prefill.
    pub prefill_keys: u32,
    /// Bytes of one slot of the weight ring.
    pub slot_bytes: u32,
    /// Slots of the weight ring in decode.
    pub decode_slots: u32,
    /// Slots of the weight ring in prefill.
    pub prefill_slots: u32,
    /// Type of the MLP's hidden activations.
    pub hidden: Hidden,
    /// Inputs of one weight record.
    pub k_block: KBlock,
}

/// Slots beyond this do not help: a queue holds no more transfers.
const MOST_SLOTS: u64 = 64;

impl Mapping {
    /// A sane choice without a search: as near a square grid as the chip allows, records of about 1024 inputs, the largest chunk up to
    /// 64 rows that leaves the weight ring room to work.
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
        let pass = target.m * (cores / n_tile.div_ceil(target.n)).min(255);
        let most = workload.prompt.clamp(1, MOST_CHUNK.max(pass)).next_multiple_of(pass);
        let mut best: Option<Mapping> = None;
        for hidden in hidden_types(model) {
            let mut next = Mapping { hidden, chunk: most, ..cut };
            while next.chunk > 1 && next.fill_slots(target, model, workload).is_none() {
                next.chunk = if next.chunk > pass { next.chunk - pass } else { 1 };
            }
            // The same number of chunks, of more equal sizes: each reads all weights, however many rows it has.
            let chunks = workload.prompt.div_ceil(next.chunk).max(1);
            next.chunk = workload.prompt.div_ceil(chunks).next_multiple_of(pass).clamp(1, next.chunk);
            let fits = next.fill_slots(target, model, workload).is_some();
            let fewer = |b: Mapping| chunks < workload.prompt.div_ceil(b.chunk).max(1);
            if fits && best.is_none_or(fewer) {
                best = Some(next);
            }
        }
        best
    }

    /// The mapping for `(cores, n_tile, k_block)`, `(chunk, slots)` and a hidden type. `None` if it does not fit.
    pub(crate) fn sized(
        target: &Target,
        model: &Model,
        workload: &Workload,
        grid: (u32, u32, u32),
        (chunk, slots): (u32, u32),
        hidden: Hidden,
    ) -> Option<Mapping> {
        let mut next = Mapping { chunk, hidden, ..Mapping::cut(target, model, workload, grid)? };
        next.fill_slots(target, model, workload)?;
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
        let longest = |kind: WeightKind| match workload.activations {
            AType::Int8 => target.longest_sum(kind.max_odd()),
            AType::Fp16 => u64::MAX,
        };
        let columns = n_tile.div_ceil(target.n);
        if columns > cores || columns > 255 {
            return None;
        }
        // A slot holds a record of the K block, one group of any tensor, a tile of values.
        let values = WeightFormat { kind: workload.kv, group: Group::Of(KV_TILE) };
        let group = |f: WeightFormat, k: u32| f.scratchpad_bytes(n_tile, f.group.size(16).min(k));
        let slot_bytes = workload
            .weights
            .scratchpad_bytes(n_tile, k_block)
            .max(values.scratchpad_bytes(model.head_dim.min(cores.min(255) * target.n), KV_TILE))
            .max(group(workload.weights, u32::MAX))
            .max(group(workload.head, model.hidden));
        let block = |name: &str, k: u32| {
            let format = if name == "head" { workload.head } else { workload.weights };
            let most = largest_block(format, n_tile, k, slot_bytes, longest(format.kind))?;
            // The same number of records, of more equal sizes.
            let unit = format.group.size(16);
            let even = k.div_ceil(k.div_ceil(most)).next_multiple_of(unit).min(k);
            Some(if even <= most { even } else { most })
        };
        let k = |name: &str| shapes(model).iter().find(|s| s.0 == name).map_or(model.hidden, |s| s.2);
        let k_block = KBlock {
            hidden: block("wq", k("wq"))?,
            attention: block("wo", k("wo"))?,
            mlp: block("w_down", k("w_down"))?,
            head: block("head", k("head"))?,
        };
        let mapping = Mapping {
            cores,
            n_tile,
            chunk: 1,
            decode_keys: 0,
            prefill_keys: 0,
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

    /// Gives the ring what the buffers leave. `None` if that is too little to work with.
    fn fill_slots(&mut self, target: &Target, model: &Model, workload: &Workload) -> Option<()> {
        self.fit_keys(target);
        let room = |phase: Phase| {
            let buffers = Buffers::new(model, workload, self, phase);
            Some(target.scratchpad_bytes.checked_sub(buffers.end)? / u64::from(self.slot_bytes))
        };
        let decode = room(Phase::decode(workload))?.min(MOST_SLOTS);
        let prefill = room(Phase::prefill(workload, self.chunk, true))?.min(MOST_SLOTS);
        let need = |phase| u64::from(resident_slots(model, target, self, phase)).max(2);
        let most = u64::from(MOST_RESIDENT);
        if need(Phase::decode(workload)) > most || need(Phase::prefill(workload, self.chunk, true)) > most {
            return None;
        }
        if decode < need(Phase::decode(workload)) {
            return None;
        }
        // Half as much again, so that the next tile streams in while this one is used.
        let chunk_need = need(Phase::prefill(workload, self.chunk, true));
        if workload.prompt > 0 && prefill < if self.chunk > 1 { chunk_need * 3 / 2 } else { chunk_need } {
            return None;
        }
        self.decode_slots = decode as u32;
        self.prefill_slots = prefill as u32;
        Some(())
    }

    /// Reads a mapping file.
    ///
    /// # Errors
    /// Text that is no mapping.
    pub fn parse(file: &str, text: &str) -> Result<Mapping, HostError> {
        toml::from_str(text).map_err(|e| HostError::File {
            file: file.into(),
            message: e.message().to_string(),
            span: e.span().map(|s| (s.start, s.end)),
            help: Some("`--dump-mapping` writes a mapping that works; change that one".into()),
        })
    }
    /// The mapping file's text.
    pub fn dump(&self) -> String {
        toml::to_string(self).unwrap_or_default()
    }

    /// Whether a mapping that a user wrote can be used.
    pub(crate) fn check(&self, target: &Target, model: &Model, workload: &Workload) -> Result<(), HostError> {
        let refuse = |what: String, help: String| Err(HostError::Mapping { what, help });
        if self.cores == 0 || self.cores > target.cores {
            return refuse(format!("it uses {} cores", self.cores), format!("the chip has {}", target.cores));
        }
        let widest = (self.cores.min(255)) * target.n;
        if self.n_tile == 0 || self.n_tile > widest {
            return refuse(
                format!("n_tile = {} is not between 1 and {widest}", self.n_tile),
                format!("{} cores have {} columns each", self.cores, target.n),
            );
        }
        if self.chunk == 0 {
            return refuse("chunk = 0".into(), "a prefill chunk has at least one row".into());
        }
        if self.slot_bytes == 0 || !self.slot_bytes.is_multiple_of(64) {
            return refuse(format!("slot_bytes = {}", self.slot_bytes), "give a multiple of 64".into());
        }
        for (name, _, k) in shapes(model).into_iter().chain([("head", model.vocab, model.hidden)]) {
            let format = if name == "head" { workload.head } else { workload.weights };
            let block = self.k_block.of(name);
            let most = match workload.activations {
                AType::Int8 => target.longest_sum(format.kind.max_odd()),
                AType::Fp16 => u64::MAX,
            };
            let legal = largest_block(format, self.n_tile, k, u64::from(self.slot_bytes), most);
            let unit = format.group.size(16);
            let aligned = block >= k || block.is_multiple_of(unit);
            match legal {
                Some(legal) if block > 0 && block.min(k) <= legal && aligned => {}
                Some(legal) => {
                    return refuse(
                        format!("a K block of {block} for `{name}`"),
                        format!("give a multiple of {unit}, at most {legal}"),
                    );
                }
                None => {
                    return refuse(
                        format!("no K block of `{name}` fits a slot of {} bytes", self.slot_bytes),
                        "raise slot_bytes or lower n_tile".into(),
                    );
                }
            }
        }
        let Some(most) = keys_of_slot(target, model, workload, self) else {
            let slot = self.slot_bytes;
            return refuse(
                format!(
                    "a tile of {KV_TILE} values does not fit a slot of {slot} bytes and {} cores",
                    self.cores
                ),
                "raise slot_bytes or cores".into(),
            );
        };
        for (key, keys) in [("decode_keys", self.decode_keys), ("prefill_keys", self.prefill_keys)] {
            if keys == 0 || keys > most || !keys.is_multiple_of(16) {
                return refuse(format!("{key} = {keys}"), format!("give a multiple of 16, at most {most}"));
            }
        }
        let phases = [
            (workload.generate > 0, Phase::decode(workload), self.decode_slots, "decode_slots"),
            (
                workload.prompt > 0,
                Phase::prefill(workload, self.chunk, true),
                self.prefill_slots,
                "prefill_slots",
            ),
        ];
        for (wanted, phase, slots, key) in phases {
            if !wanted {
                continue;
            }
            let need = resident_slots(model, target, self, phase).max(2);
            if need > MOST_RESIDENT {
                return refuse(
                    format!("{need} records of one N tile must be resident at once"),
                    format!("raise k_block: tile registers hold {MOST_RESIDENT}"),
                );
            }
            if slots < need {
                return refuse(
                    format!("{key} = {slots}"),
                    format!("{need} records must be resident at once"),
                );
            }
            let buffers = Buffers::new(model, workload, self, phase);
            let least = buffers.end + u64::from(slots) * u64::from(self.slot_bytes);
            if least > target.scratchpad_bytes {
                return Err(HostError::Scratchpad {
                    what: format!("{key} = {slots} next to {} bytes of activations", buffers.end),
                    least,
                    available: target.scratchpad_bytes,
                });
            }
        }
        Ok(())
    }
}

/// Types of the MLP's hidden activations that may be chosen: squares do not fit half precision.
pub(crate) fn hidden_types(model: &Model) -> impl Iterator<Item = Hidden> {
    let half = model.activation != Act::Relu2;
    [Hidden::F32, Hidden::F16].into_iter().filter(move |&h| half || h == Hidden::F32)
}

/// Rows of a prefill chunk beyond which weights no longer bind.
const MOST_CHUNK: u32 = 64;

/// Keys that a slot and the grid hold. `None` if not even one tile of keys or values fits.
fn keys_of_slot(target: &Target, model: &Model, workload: &Workload, mapping: &Mapping) -> Option<u32> {
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
    while !works(high) && high < 1 << 40 {
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
