//! How a model is cut to fit a chip: written by `--dump-mapping`, read by `--mapping FILE`.

mod choose;

use lutsim_isa::WeightFormat;
use serde::{Deserialize, Serialize};

use crate::error::HostError;
use crate::layout::largest_block;
use crate::lower::buffers::Buffers;
use crate::lower::{MOST_RESIDENT, Phase, resident_slots};
use crate::model::Model;
use crate::target::Target;
use crate::workload::{KV_TILE, Sort, Workload};
pub(crate) use choose::hidden_types;
use choose::{keys_of_slot, usable};

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
    /// Query, key, value, gate (if there is one) and up projections (K = hidden).
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
        match Operand::of(tensor) {
            Operand::Attention => self.attention,
            Operand::Mlp => self.mlp,
            Operand::Head => self.head,
            Operand::Hidden => self.hidden,
        }
    }
}

/// What a tensor multiplies: its K and its K block are those of all that multiply the same.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operand {
    Hidden,
    Attention,
    Mlp,
    Head,
}

impl Operand {
    pub(crate) fn of(tensor: &str) -> Operand {
        match tensor {
            "wo" => Operand::Attention,
            "w_down" => Operand::Mlp,
            "head" => Operand::Head,
            _ => Operand::Hidden,
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
    /// Query rows that meet a tile of keys in decode: a divisor of the heads that share a KV head. Fewer than all read the keys
    /// again for each, and need less room for scores.
    pub decode_rows: u32,
    /// The same in prefill, at most the chunk.
    pub prefill_rows: u32,
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

impl Mapping {
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

    /// Outputs and inputs of a record of a tensor of `n` outputs and `k` inputs. Those of floats have all inputs, so that a sum is
    /// taken in one instruction, and as many outputs as a slot holds.
    pub(crate) fn record(&self, name: &str, format: WeightFormat, (n, k): (u32, u32)) -> (u32, u32) {
        if format.kind.is_float() {
            let fit = u64::from(self.slot_bytes) / format.scratchpad_bytes(1, k).max(1);
            return ((fit as u32).min(self.n_tile).min(n).max(1), k);
        }
        (self.n_tile.min(n), self.k_block.of(name).min(k))
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
        for Sort { name, k, format, .. } in workload.matrices(model) {
            let block = self.k_block.of(name);
            let most = workload.longest_sum(format.kind, target);
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
        if self.decode_rows == 0 || !model.group().is_multiple_of(self.decode_rows) {
            return refuse(
                format!("decode_rows = {}", self.decode_rows),
                format!("give a divisor of {}, the heads that share a KV head", model.group()),
            );
        }
        if self.prefill_rows == 0 {
            return refuse("prefill_rows = 0".into(), "give at least 1".into());
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
            let buffers = Buffers::new(model, workload, target, self, phase);
            let least = buffers.end + u64::from(slots) * u64::from(self.slot_bytes);
            if least > usable(target) {
                return Err(HostError::Scratchpad {
                    what: format!("{key} = {slots} next to {} bytes of activations", buffers.end),
                    least,
                    available: usable(target),
                });
            }
        }
        Ok(())
    }
}
