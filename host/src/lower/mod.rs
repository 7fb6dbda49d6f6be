//! From a model to programs: one looped program per phase.
//!
//! ```text
//! step      embedding . loop layers { norm k v q attention output norm MLP } . norm . head . arg-max
//!                       of several kinds (mix): a loop for each stretch of layers that come again in one order
//!  |- gemm       N tiles x (K blocks through the weight ring) x row passes, drained to a tile
//!  |- attention  items x (key blocks, softmax, value tiles), the next item's scores ahead of this one's values
//!  |- mlp        with a gate or without; experts: a router, and the MLPs it chose
//!  |- vector     norms, biases, quantisation, rope, KV write
//!  '- asm        words, loops, tokens          buffers: the map of the scratchpad
//! ```
//!
//! **Order.** The four queues run ahead of each other; only semaphores hold them. Every semaphore is a first-in
//! first-out count between two queues. Every wait has its signal earlier in the program, so nothing can deadlock however short
//! the queues are, and a program leaves no token behind.
//!
//! **Weight ring.** All records, keys and values pass through one ring of equal slots in program order, so the load queue
//! streams the next operator's weights while others compute; it stops only for a full ring or for its own KV write.

pub(crate) mod asm;
mod attention;
pub(crate) mod buffers;
mod experts;
mod gemm;
mod mlp;
mod step;
#[cfg(test)]
mod tests;
mod vector;

use lutsim_isa::field::{AccType, Grid, LmmaType, OType};
use lutsim_isa::format::{Elem, WeightKind};
use lutsim_isa::{Program, Reg, Sem};

use crate::error::HostError;
use crate::layout::{Layout, Tensor, shapes};
use crate::mapping::Mapping;
use crate::mix::Layers;
use crate::model::Model;
use crate::target::Target;
use crate::workload::{KV_TILE, Workload};
use asm::{Asm, r, s};
pub(crate) use attention::values_columns;
use buffers::Buffers;
pub(crate) use gemm::{LEAST_RUN, MOST_RESIDENT};

/// One program's share of a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Phase {
    /// Rows of the residual stream: sequences in decode, tokens of the chunk in prefill.
    pub rows: u32,
    /// One token of each sequence; otherwise `rows` tokens of one.
    pub decode: bool,
    /// Whether it ends with the output head.
    pub head: bool,
}

impl Phase {
    /// One token of each sequence.
    pub fn decode(workload: &Workload) -> Phase {
        Phase { rows: workload.batch, decode: true, head: true }
    }
    /// A chunk of a prompt; only the last one needs the head.
    pub fn prefill(workload: &Workload, rows: u32, head: bool) -> Phase {
        Phase { rows: rows.min(workload.prompt.max(1)), decode: false, head }
    }
    /// Rows that the head sees.
    pub fn head_rows(&self) -> u32 {
        if self.decode { self.rows } else { 1 }
    }
    /// Copies of the heads' slopes: the query heads of all sequences follow each other in decode.
    pub(crate) fn slope_rows(&self) -> u64 {
        if self.decode { u64::from(self.rows) } else { 1 }
    }
    /// Query rows that meet one key tile.
    pub(crate) fn query_rows(&self, mapping: &Mapping) -> u32 {
        if self.decode { mapping.decode_rows } else { mapping.prefill_rows.min(self.rows) }
    }
    /// Most tokens that a query sees.
    pub(crate) fn most_tokens(&self, workload: &Workload) -> u64 {
        let before = u64::from(workload.context) + u64::from(workload.prompt);
        if self.decode { workload.tokens() } else { before }
    }
}

/// A run of instructions that belong to one operator: from `first_pc` to the next span's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OperatorSpan {
    /// Operator.
    pub name: &'static str,
    /// First instruction.
    pub first_pc: u32,
    /// The layers that it is repeated for; none outside the layers.
    pub layers: Option<Layers>,
    /// Multiply-accumulates of one execution of all spans of this name for these layers (counted on the first of them).
    pub macs: u64,
    /// Of these, per token that was in the KV cache before the step and is looked back on.
    pub macs_per_token: u64,
    /// The tokens that its layers look back on, if that is not all.
    pub window: Option<u32>,
}

/// A program and what its words are for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lowered {
    /// `decode`, `prefill` or `prefill_last`.
    pub name: &'static str,
    /// What it does.
    pub phase: Phase,
    /// The instructions.
    pub program: Program,
    /// Where it lies in DRAM.
    pub address: u64,
    /// Operators, by first instruction.
    pub operators: Vec<OperatorSpan>,
}

impl Lowered {
    /// The operator of an instruction.
    pub fn operator(&self, pc: u32) -> Option<&OperatorSpan> {
        let after = self.operators.partition_point(|o| o.first_pc <= pc);
        after.checked_sub(1).and_then(|i| self.operators.get(i))
    }
    /// Multiply-accumulates of the whole program when `position` tokens are in the KV cache.
    pub fn macs(&self, position: u64) -> u64 {
        // Whole tiles of keys and values before the first row's window are not read.
        let before = |window: u32| {
            let tile = u64::from(KV_TILE);
            (position + 1).saturating_sub(window.into()) / tile * tile
        };
        let one = |o: &OperatorSpan| o.macs + o.macs_per_token * (position - o.window.map_or(0, before));
        let times = |o: &OperatorSpan| o.layers.map_or(1, |layers| u64::from(layers.times));
        self.operators.iter().map(|o| times(o) * one(o)).sum()
    }
    /// The program as text, with operators as comments.
    pub fn listing(&self) -> String {
        let text = lutsim_isa::asm::disassemble(&self.program);
        let mut spans = self.operators.iter().peekable();
        let mut out = String::new();
        for (pc, line) in text.lines().enumerate() {
            while let Some(span) = spans.next_if(|o| o.first_pc as usize <= pc) {
                out.push_str(&format!("; == {}\n", span.name));
            }
            out.push_str(line);
            out.push('\n');
        }
        out
    }
}

// Runtime registers, set by the doorbell.
/// Tokens in the KV cache before the step: position of the first new one.
pub const POSITION: Reg = r(0);
/// Sequence that a prefill works on.
pub const SEQUENCE: Reg = r(1);

/// Registers of the generated programs.
mod reg {
    use super::{Reg, r};
    /// DRAM address of the layer's block, less layer 0's.
    pub(super) const LAYER: Reg = r(2);
    /// Weight ring: next slot.
    pub(super) const RING: Reg = r(3);
    /// Parameter ring: next slot to load, next slot to use.
    pub(super) const PARAM_IN: Reg = r(4);
    pub(super) const PARAM: Reg = r(5);
    /// Weight streams in DRAM.
    pub(super) const W: Reg = r(6);
    pub(super) const W2: Reg = r(7);
    /// Output column of an N tile.
    pub(super) const OUT: Reg = r(8);
    /// Row passes: operand, output and scale of the next rows.
    pub(super) const ROW_A: Reg = r(9);
    pub(super) const ROW_O: Reg = r(10);
    pub(super) const ROW_S: Reg = r(11);
    /// K loop: operand, weight stream.
    pub(super) const K_A: Reg = r(12);
    pub(super) const K_W: Reg = r(13);
    /// Double buffers: gate, up; or logits.
    pub(super) const GATE: Reg = r(14);
    pub(super) const UP: Reg = r(15);
    pub(super) const H: Reg = r(16);
    /// Biases of a tile of an MLP without a gate.
    pub(super) const BIAS: Reg = r(15);
    /// Tokens that the step's last row sees, and its first row.
    pub(super) const LEN: Reg = r(17);
    pub(super) const VALID: Reg = r(18);
    /// Key blocks and value tiles of that length.
    pub(super) const BLOCKS: Reg = r(19);
    pub(super) const TILES: Reg = r(20);
    /// Tokens left, and in the current block.
    pub(super) const LEFT: Reg = r(21);
    pub(super) const NOW: Reg = r(22);
    /// Item of the scores, item of the weighted sum; whether there is one.
    pub(super) const ITEM_S: Reg = r(23);
    pub(super) const ITEM_V: Reg = r(24);
    pub(super) const RUN_S: Reg = r(25);
    pub(super) const RUN_V: Reg = r(26);
    /// Score buffers of the two, probabilities buffer.
    pub(super) const SCORE_S: Reg = r(27);
    pub(super) const SCORE_V: Reg = r(28);
    pub(super) const P: Reg = r(29);
    pub(super) const ONE: Reg = r(30);
    // Within attention, where no weights stream.
    /// Streams of codes and scales in DRAM.
    pub(super) const CODES: Reg = r(6);
    pub(super) const SCALES: Reg = r(7);
    /// Column of the scores.
    pub(super) const COLUMN: Reg = r(8);
    /// Query rows and their scales.
    pub(super) const QUERY: Reg = r(12);
    pub(super) const QUERY_SCALE: Reg = r(13);
    /// Whether a tile is the first, or another.
    pub(super) const FIRST: Reg = r(12);
    pub(super) const OTHER: Reg = r(13);
    /// Slopes of the item's heads.
    pub(super) const SLOPE: Reg = r(16);
    /// Rows of the weighted sum.
    pub(super) const RESULT: Reg = r(16);
    pub(super) const TEMP: Reg = r(11);
    // Within an MLP of experts: the next entry of the layer's list, the expert, its column of the router's result.
    pub(super) const LIST: Reg = r(21);
    pub(super) const EXPERT: Reg = r(22);
    pub(super) const COLUMN_P: Reg = r(23);
    /// Where an item is: its head, its first row.
    pub(super) const HEAD: Reg = r(9);
    pub(super) const ROW: Reg = r(10);
}

/// Semaphores, named by who gives them for what.
mod sem {
    use super::{Sem, s};
    /// A ring slot is loaded.
    pub(super) const LOADED: Sem = s(0);
    /// A norm, bias, rope or embedding row is loaded.
    pub(super) const PARAM_LOADED: Sem = s(1);
    /// A tile of values and its scales are loaded.
    pub(super) const FOLD_LOADED: Sem = s(2);
    /// The new keys or values are in DRAM: they may be loaded.
    pub(super) const KV_STORED: Sem = s(8);
    /// The same, for the cores: T0 or T1 is free.
    pub(super) const KV_FREE: Sem = s(9);
    /// A tile of logits is in DRAM: its buffer is free.
    pub(super) const LOGIT_STORED: Sem = s(10);
    /// A ring slot is free.
    pub(super) const SLOT_FREE: Sem = s(16);
    /// Results are ready for the vector unit.
    pub(super) const OUT: Sem = s(17);
    /// A buffer of probabilities is free.
    pub(super) const P_FREE: Sem = s(18);
    /// A tile of logits is ready for the store queue.
    pub(super) const LOGIT_OUT: Sem = s(19);
    /// A ring slot of floats is the vector unit's.
    pub(super) const HANDED: Sem = s(20);
    /// An operand is ready for the LUT cores, or a slot of floats is used.
    pub(super) const OPERAND: Sem = s(24);
    /// Something is ready for the store queue.
    pub(super) const TO_STORE: Sem = s(25);
    /// A parameter slot is free.
    pub(super) const PARAM_FREE: Sem = s(26);
    /// The scales of values behind a score buffer are used.
    pub(super) const FOLD_FREE: Sem = s(27);
    /// A score buffer is free.
    pub(super) const SCORE_FREE: Sem = s(28);
    /// A gate, up or logit buffer is free.
    pub(super) const GATE_FREE: Sem = s(29);
    /// An operand is there, and nothing before it is under way.
    pub(super) const SETTLED: Sem = s(30);
    /// It is known which experts come: their weights may be loaded.
    pub(super) const ROUTED: Sem = s(31);
}

/// Writes one program.
pub(crate) struct Lower<'a> {
    model: &'a Model,
    workload: &'a Workload,
    target: &'a Target,
    mapping: &'a Mapping,
    layout: &'a Layout,
    phase: Phase,
    buf: Buffers,
    ring_end: u64,
    b: Asm,
    operators: Vec<OperatorSpan>,
    /// The layers that are being written, their kind, and the tokens that they look back on.
    layers: Option<Layers>,
    kind: usize,
    window: Option<u32>,
}

impl<'a> Lower<'a> {
    /// The program of a phase.
    ///
    /// # Errors
    /// Sizes that no instruction can hold.
    pub(crate) fn program(
        model: &'a Model,
        workload: &'a Workload,
        target: &'a Target,
        mapping: &'a Mapping,
        layout: &'a Layout,
        phase: Phase,
    ) -> Result<Lowered, HostError> {
        let buf = Buffers::new(model, workload, target, mapping, phase);
        let slots = if phase.decode { mapping.decode_slots } else { mapping.prefill_slots };
        let ring_end = buf.end + u64::from(slots) * u64::from(mapping.slot_bytes);
        let mut lower = Lower {
            model,
            workload,
            target,
            mapping,
            layout,
            phase,
            buf,
            ring_end,
            b: Asm::default(),
            operators: Vec::new(),
            layers: None,
            kind: 0,
            window: None,
        };
        lower.step(slots);
        if let Some(what) = lower.b.overflow {
            return Err(HostError::Mapping {
                what: format!("{} is too large to lower: {what}", model.name),
                help: "lower --context, --batch or the model's size".into(),
            });
        }
        let program = lower.b.finish();
        let name = match (phase.decode, phase.head) {
            (true, _) => "decode",
            (false, false) => "prefill",
            (false, true) => "prefill_last",
        };
        Ok(Lowered { name, phase, program, address: 0, operators: lower.operators })
    }

    /// What follows belongs to an operator.
    fn op(&mut self, name: &'static str, macs: u64, macs_per_token: u64) {
        let first_pc = self.b.pc();
        let layers = self.layers;
        let counted = self.operators.iter().any(|o| o.name == name && o.layers == layers);
        let (macs, macs_per_token) = if counted { (0, 0) } else { (macs, macs_per_token) };
        let window = self.window;
        self.operators.push(OperatorSpan { name, first_pc, layers, macs, macs_per_token, window });
    }
    /// The type of an `lmma` with some weights: without tables if attention has lanes of its own.
    fn ty(&self, w: WeightKind) -> LmmaType {
        let a = self.workload.activations;
        let table = if w.is_kv() && self.target.mac_attention { 1 } else { self.target.k };
        let entries = self.workload.entries(table);
        let [m, n, k] = [self.target.m, self.target.n, table].map(|x| x as u16);
        let halves = self.target.dequantises;
        let ty = LmmaType { m, n, k, entries, halves, a, w, acc: AccType::F32, o: OType::F32 };
        LmmaType { acc: if ty.is_integer() { self.target.accumulator() } else { AccType::F32 }, ..ty }
    }
    /// The gang for `rows` x `cols`.
    fn grid(&self, rows: u32, cols: u32) -> Grid {
        grid(self.target, self.mapping, rows, cols)
    }
    /// What quantisation makes.
    fn plain(&self) -> Elem {
        self.workload.activation_elem()
    }
    /// What products take: that, or its tables.
    fn operand(&self) -> Elem {
        self.target.operand(self.plain())
    }
    /// What the products of attention take.
    fn attention_operand(&self) -> Elem {
        self.target.attention_operand(self.plain())
    }
    /// Whether the vector unit multiplies with a tensor.
    fn floats(&self, name: &str) -> bool {
        self.tensor(name).format.kind.is_float()
    }
    /// A tensor of the layout; lowering names only those that are there.
    fn tensor(&self, name: &str) -> Tensor {
        *self.layout.tensor(name, self.kind).unwrap_or(&self.layout.tensors[0])
    }
}

/// The gang for `rows` x `cols`: as few columns as hold `cols`, the other cores split the rows.
pub(crate) fn grid(target: &Target, mapping: &Mapping, rows: u32, cols: u32) -> Grid {
    let c = cols.div_ceil(target.n).clamp(1, 255);
    let r = (mapping.cores / c).clamp(1, 255).min(rows.div_ceil(target.m).max(1));
    Grid { r: r as u8, c: c as u8 }
}

/// Most records that must be resident at once: all of a K when the rows take more than one pass.
pub(crate) fn resident_slots(model: &Model, target: &Target, mapping: &Mapping, phase: Phase) -> u32 {
    let of = |name: &str, n: u32, k: u32, rows: u32| {
        let grid = grid(target, mapping, rows, mapping.n_tile.min(n));
        let passes = rows.div_ceil(u32::from(grid.r) * target.m);
        if passes > 1 { k.div_ceil(mapping.k_block.of(name).max(1)) } else { 1 }
    };
    let layer = shapes(model).into_iter().map(|(name, n, k)| of(name, n, k, phase.rows)).max().unwrap_or(1);
    let head = if phase.head { of("head", model.vocab, model.hidden, phase.head_rows()) } else { 1 };
    layer.max(head)
}
