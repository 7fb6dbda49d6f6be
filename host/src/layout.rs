//! Where everything lies in DRAM.
//!
//! ```text
//! 0      embedding | positions | norms | head | results | logits      once
//! layer_base + l * layer_stride:   norms, biases | weight tensors | keys: scales and codes of each item | values likewise
//! programs                                                                  last
//! ```
//! Every tensor starts at a multiple of the chip's bank span, so that no two streams share a DRAM row. A weight tensor
//! is an array of records in the order of consumption: for each N tile, for each K block, `[scales | zeros | codes]`.
//! Layers of several kinds ([`crate::mix`]) have the same stride, that of the largest.

use lutsim_isa::format::{Elem, Group, WeightFormat, WeightKind};

use crate::error::HostError;
use crate::lower::LEAST_RUN;
use crate::mapping::Mapping;
use crate::model::{Model, Positions};
use crate::target::Target;
use crate::workload::{KV_TILE, Workload};

/// A weight matrix, `n` outputs x `k` inputs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tensor {
    /// Name: `wq`, `wk`, `wv`, `wo`, `w_router` (if there are experts), `w_gate` (if the MLP has a gate), `w_up`, `w_down` or `head`.
    pub name: &'static str,
    /// Outputs.
    pub n: u32,
    /// Inputs.
    pub k: u32,
    /// Type.
    pub format: WeightFormat,
    /// Outputs of one record.
    pub n_tile: u32,
    /// Inputs of one record.
    pub k_block: u32,
    /// Address; in layer 0 if it is `per_layer`.
    pub addr: u64,
    /// Whether each layer has one, a layer stride apart: each of its kind, where there are several kinds.
    pub per_layer: bool,
    /// The kind of layers that has it.
    pub kind: usize,
    /// N tiles begin at multiples of so many bytes from the first.
    pub tile_align: u64,
    /// How many experts have one each; 1 if it is not theirs.
    pub experts: u32,
    /// Bytes from expert to expert.
    pub expert_stride: u64,
}

/// One record of a tensor: outputs `n0..n0 + n` x inputs `k0..k0 + k`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Record {
    /// First output.
    pub n0: u32,
    /// Outputs.
    pub n: u32,
    /// First input.
    pub k0: u32,
    /// Inputs.
    pub k: u32,
    /// From the tensor's address, bytes.
    pub offset: u64,
    /// Length, padding included, bytes.
    pub bytes: u64,
}

impl Tensor {
    /// Bytes of the records of one N tile of `n` outputs.
    pub fn tile_bytes(&self, n: u32) -> u64 {
        let whole = u64::from(self.k / self.k_block) * self.format.record_bytes(n, self.k_block);
        match self.k % self.k_block {
            0 => whole,
            tail => whole + self.format.record_bytes(n, tail),
        }
    }
    /// Bytes from an N tile of `n` outputs to the next.
    pub fn tile_stride(&self, n: u32) -> u64 {
        self.tile_bytes(n).next_multiple_of(self.tile_align)
    }
    /// Bytes from the first record to the end of the last.
    pub fn extent(&self) -> u64 {
        let tiles = u64::from(self.n.div_ceil(self.n_tile));
        let last = self.n - (tiles as u32 - 1) * self.n_tile;
        (tiles - 1) * self.tile_stride(self.n_tile) + self.tile_bytes(last)
    }
    /// Bytes of all records, of one expert.
    pub fn bytes(&self) -> u64 {
        let whole = u64::from(self.n / self.n_tile) * self.tile_bytes(self.n_tile);
        match self.n % self.n_tile {
            0 => whole,
            tail => whole + self.tile_bytes(tail),
        }
    }
    /// K blocks of an N tile: first input, inputs, offset in the N tile's records of `n` outputs.
    pub fn blocks(&self, n: u32) -> impl Iterator<Item = (u32, u32, u64)> + '_ {
        (0..self.k.div_ceil(self.k_block)).map(move |i| {
            let k0 = i * self.k_block;
            let offset = u64::from(i) * self.format.record_bytes(n, self.k_block);
            (k0, self.k_block.min(self.k - k0), offset)
        })
    }
    /// Every record, in address order.
    pub fn records(&self) -> impl Iterator<Item = Record> + '_ {
        (0..self.n.div_ceil(self.n_tile)).flat_map(move |i| {
            let n0 = i * self.n_tile;
            let n = self.n_tile.min(self.n - n0);
            let tile = u64::from(i) * self.tile_stride(self.n_tile);
            self.blocks(n).map(move |(k0, k, offset)| Record {
                n0,
                n,
                k0,
                k,
                offset: tile + offset,
                bytes: self.format.record_bytes(n, k),
            })
        })
    }
}

/// Norm weights or a bias: FP16.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Vector {
    /// Name: `embedding_norm`, `attn_norm`, `bk`, `bv`, `bq`, `attn_sub_norm`, `bo`, `attn_post_norm`, `mlp_norm`, `b_up`,
    /// `ffn_sub_norm`, `b_down`, `mlp_post_norm` or `final_norm`.
    pub name: &'static str,
    /// Elements. Of a norm that centres, the weights and then as many biases.
    pub len: u32,
    /// Address; in layer 0 if it is `per_layer`.
    pub addr: u64,
    /// Whether each layer has one, a layer stride apart.
    pub per_layer: bool,
}

/// Rows of equal length.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Table {
    /// Address of row 0.
    pub addr: u64,
    /// Rows.
    pub rows: u32,
    /// Elements of a row.
    pub cols: u32,
    /// Type of an element.
    pub elem: Elem,
}
impl Table {
    /// Bytes from row to row.
    pub fn row_bytes(&self) -> u64 {
        u64::from(self.cols) * u64::from(self.elem.bytes())
    }
    /// Bytes of all rows.
    pub fn bytes(&self) -> u64 {
        u64::from(self.rows) * self.row_bytes()
    }
}

/// The KV cache. An item is a (sequence, KV head): number `sequence * kv_heads + head`. Its scales lie before the codes that they belong
/// to. Addresses are layer 0's, item 0's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KvLayout {
    /// Type of the codes.
    pub kind: WeightKind,
    /// Items in a layer.
    pub items: u32,
    /// Tokens that there is room for.
    pub capacity: u32,
    /// Bytes of one token's codes.
    pub row_bytes: u64,
    /// FP16 scales of K: `capacity` of them (none if the cache is FP16).
    pub k_scales: u64,
    /// Codes of K: `capacity` rows.
    pub k_codes: u64,
    /// FP16 scales of V.
    pub v_scales: u64,
    /// Codes of V.
    pub v_codes: u64,
    /// Bytes from item to item: of K, and of V.
    pub stride: u64,
}

/// The whole image.
#[derive(Clone, PartialEq, Debug)]
pub struct Layout {
    /// The kind of each layer: 0, unless the model [mixes](crate::mix) types.
    pub layers: Vec<usize>,
    /// First byte of layer 0's block.
    pub layer_base: u64,
    /// Bytes from layer to layer.
    pub layer_stride: u64,
    /// Weights, in the order of consumption, kind behind kind; the head last.
    pub tensors: Vec<Tensor>,
    /// Norms and biases, in the order of consumption.
    pub vectors: Vec<Vector>,
    /// KV cache.
    pub kv: KvLayout,
    /// FP16 embedding rows.
    pub embedding: Table,
    /// Where tokens are. Rotary: row p has `dims / 2` cosines, then `dims / 2` sines of position p, FP32. Learned: the model's FP16 rows,
    /// position p's is row p + offset. ALiBi: one row, each head's slope, FP32.
    pub positions: Table,
    /// One row of (largest logit FP32, its token u32) per sequence.
    pub result: Table,
    /// One row of FP32 logits per sequence; no rows unless the host samples.
    pub logits: Table,
    /// Where programs begin.
    pub programs: u64,
    /// One past the last byte of data (programs follow).
    pub bytes: u64,
}

/// Hands out addresses.
struct Cursor {
    at: u64,
    align: u64,
}
impl Cursor {
    fn take(&mut self, bytes: u64) -> u64 {
        let at = self.at;
        self.at = (at + bytes).next_multiple_of(self.align);
        at
    }
}

/// Names of a layer's tensors with their outputs and inputs, in the order of consumption.
pub(crate) fn shapes(model: &Model) -> Vec<(&'static str, u32, u32)> {
    let (d, f) = (model.hidden, model.intermediate);
    let gate = model.gated_mlp.then_some(("w_gate", f, d));
    let router = model.experts.map(|experts| ("w_router", experts.count, d));
    let attention = [
        ("wk", model.kv_width(), d),
        ("wv", model.kv_width(), d),
        ("wq", model.q_width(), d),
        ("wo", d, model.q_width()),
    ];
    attention.into_iter().chain(router).chain(gate).chain([("w_up", f, d), ("w_down", d, f)]).collect()
}

/// Names of a layer's vectors with their lengths, in the order of consumption.
pub(crate) fn vectors(model: &Model) -> Vec<(&'static str, u32)> {
    let (d, f, q, kv) = (model.hidden, model.intermediate, model.q_width(), model.kv_width());
    let norm = |name, cols| (name, model.norm_len(cols));
    let list = [
        (true, norm("attn_norm", d)),
        (model.qkv_bias, ("bk", kv)),
        (model.qkv_bias, ("bv", kv)),
        (model.qkv_bias, ("bq", q)),
        (model.sub_norms, norm("attn_sub_norm", q)),
        (model.output_bias, ("bo", d)),
        (model.post_norms, norm("attn_post_norm", d)),
        (true, norm("mlp_norm", d)),
        (model.mlp_bias, ("b_up", f)),
        (model.sub_norms, norm("ffn_sub_norm", f)),
        (model.mlp_bias, ("b_down", d)),
        (model.post_norms, norm("mlp_post_norm", d)),
    ];
    list.into_iter().filter_map(|(given, vector)| given.then_some(vector)).collect()
}

impl Layout {
    /// Lays a model out.
    ///
    /// # Errors
    /// A chip with too little DRAM.
    pub fn new(
        model: &Model,
        workload: &Workload,
        target: &Target,
        mapping: &Mapping,
    ) -> Result<Layout, HostError> {
        let align = target.bank_span_bytes.max(64).next_multiple_of(64);
        let mut cursor = Cursor { at: 0, align };
        let mut table = |rows: u32, cols: u32, elem: Elem| {
            let mut table = Table { addr: 0, rows, cols, elem };
            table.addr = cursor.take(table.bytes());
            table
        };
        let capacity = (workload.tokens() as u32).next_multiple_of(KV_TILE);
        let embedding = table(model.vocab, model.hidden, Elem::F16);
        let positions = match &model.positions {
            Positions::Rotary(rope) => table(capacity, rope.dims, Elem::F32),
            Positions::Learned(learned) => table(model.context + learned.offset, model.hidden, Elem::F16),
            Positions::Alibi => table(1, model.heads, Elem::F32),
        };
        let result = table(workload.batch, 2, Elem::U32);
        let logits = table(if workload.sampling { workload.batch } else { 0 }, model.vocab, Elem::F32);
        let mut norm = |name| {
            let len = model.norm_len(model.hidden);
            Vector { name, len, addr: cursor.take(2 * u64::from(len)), per_layer: false }
        };
        let final_norm = norm("final_norm");
        let embedding_norm = model.embedding_norm.then(|| norm("embedding_norm"));
        let (n_tile, k_block) = mapping.record("head", workload.head, (model.vocab, model.hidden));
        let mut head = Tensor {
            name: "head",
            n: model.vocab,
            k: model.hidden,
            format: workload.head,
            n_tile,
            k_block,
            addr: 0,
            per_layer: false,
            kind: 0,
            tile_align: 1,
            experts: 1,
            expert_stride: 0,
        };
        // Long tiles of the head lie alike in the banks, with a pause for a refresh before each; that costs a ninth of the
        // head's room at most.
        if head.tile_bytes(head.n_tile) >= LEAST_RUN.max(8 * target.row_span_bytes) {
            head.tile_align = target.row_span_bytes.max(1);
        }
        head.addr = cursor.take(head.extent());
        let layer_base = cursor.at;
        let mut all: Vec<Vector> = embedding_norm.into_iter().collect();
        for (name, len) in vectors(model) {
            all.push(Vector { name, len, addr: cursor.take(2 * u64::from(len)), per_layer: true });
        }
        let mut tensors: Vec<Tensor> = Vec::new();
        let layers = match &model.mix {
            Some(mix) => mix.layers().to_vec(),
            None => vec![0; model.layers as usize],
        };
        let kinds = 1 + layers.iter().copied().max().unwrap_or(0);
        // A layer has room for the largest kind, and what follows the weights lies alike in all.
        let (first, mut end) = (cursor.at, cursor.at);
        for kind in 0..kinds {
            cursor.at = first;
            for (name, n, k) in shapes(model) {
                let format = workload.format(model, kind, name);
                let (mut n_tile, k_block) = mapping.record(name, format, (n, k));
                // Gate and up go tile by tile.
                for with in ["w_gate", "w_up"].into_iter().filter(|_| matches!(name, "w_gate" | "w_up")) {
                    let format = workload.format(model, kind, with);
                    n_tile = n_tile.min(mapping.record(with, format, (n, k)).0);
                }
                let mut tensor = Tensor {
                    name,
                    n,
                    k,
                    format,
                    n_tile,
                    k_block,
                    addr: 0,
                    per_layer: true,
                    kind,
                    tile_align: 1,
                    experts: model.experts_of(name),
                    expert_stride: 0,
                };
                // Tiles begin alike in a row of each bank group where that takes little room: `leap` meets some again.
                let tile = tensor.tile_bytes(tensor.n_tile);
                if tile.next_multiple_of(align) - tile <= tile / 16 {
                    tensor.tile_align = align;
                }
                // Experts lie alike in the banks.
                let extent = tensor.extent();
                tensor.expert_stride = extent.next_multiple_of(target.row_span_bytes.max(align));
                tensor.addr = cursor.take(u64::from(tensor.experts - 1) * tensor.expert_stride + extent);
                tensors.push(tensor);
            }
            end = end.max(cursor.at);
        }
        cursor.at = end;
        let items = workload.batch * model.kv_heads;
        let row_bytes = workload.kv_row_bytes(model.head_dim);
        let codes = (u64::from(capacity) * row_bytes).next_multiple_of(64);
        let scales = if workload.kv_scaled() { (2 * u64::from(capacity)).next_multiple_of(64) } else { 0 };
        let stride = codes + scales;
        let [k, v] = [(); 2].map(|()| cursor.take(u64::from(items) * stride));
        let kv = KvLayout {
            kind: workload.kv,
            items,
            capacity,
            row_bytes,
            k_scales: k,
            k_codes: k + scales,
            v_scales: v,
            v_codes: v + scales,
            stride,
        };
        let layer_stride = (cursor.at - layer_base).next_multiple_of(target.row_span_bytes.max(1));
        let end = layer_base + u64::from(model.layers) * layer_stride;
        tensors.push(head);
        all.push(final_norm);
        let layout = Layout {
            layers,
            layer_base,
            layer_stride,
            tensors,
            vectors: all,
            kv,
            embedding,
            positions,
            result,
            logits,
            programs: end,
            bytes: end,
        };
        layout.check(model, end, target)?;
        Ok(layout)
    }
    pub(crate) fn check(&self, model: &Model, needed: u64, target: &Target) -> Result<(), HostError> {
        if needed <= target.dram_bytes {
            return Ok(());
        }
        Err(HostError::Dram {
            model: model.name.clone(),
            needed,
            available: target.dram_bytes,
            short: needed - target.dram_bytes,
        })
    }
    /// A tensor by name, of a kind of layers.
    pub fn tensor(&self, name: &str, kind: usize) -> Option<&Tensor> {
        self.tensors.iter().find(|t| t.name == name && (t.kind == kind || !t.per_layer))
    }
    /// The layers that have a tensor; of one outside the layers, none.
    pub fn layers_of<'l>(&'l self, tensor: &Tensor) -> impl Iterator<Item = u32> + use<'l> {
        let kind = tensor.per_layer.then_some(tensor.kind);
        (0..).zip(&self.layers).filter(move |(_, k)| kind == Some(**k)).map(|(layer, _)| layer)
    }
    /// How many of a tensor there are.
    pub fn copies(&self, tensor: &Tensor) -> u64 {
        if tensor.per_layer { self.layers_of(tensor).count() as u64 } else { 1 }
    }
    /// A norm or bias by name.
    pub fn vector(&self, name: &str) -> Option<&Vector> {
        self.vectors.iter().find(|v| v.name == name)
    }
    /// Address of something `per_layer` in a layer.
    pub fn in_layer(&self, addr: u64, layer: u32) -> u64 {
        addr + u64::from(layer) * self.layer_stride
    }
    /// Bytes of weight records, those of all experts.
    pub fn record_bytes(&self) -> u64 {
        self.tensors.iter().map(|t| self.copies(t) * u64::from(t.experts) * t.bytes()).sum()
    }
}

/// Inputs of one record at most: all, of floats, whose records have as few outputs as it takes; else whole groups, provably without overflow, within `slot` bytes of scratchpad.
pub(crate) fn largest_block(
    format: WeightFormat,
    n: u32,
    k: u32,
    slot: u64,
    longest_sum: u64,
) -> Option<u32> {
    if format.kind.is_float() {
        return (format.scratchpad_bytes(1, k) <= slot).then_some(k);
    }
    let unit = format.unit();
    let limit = match format.group {
        Group::Of(_) => u64::from(k),
        Group::Row => u64::from(k).min(longest_sum),
    };
    let fits = |block: u32| format.scratchpad_bytes(n, block) <= slot;
    // A whole K needs no multiple.
    if limit >= u64::from(k) && fits(k) {
        return Some(k);
    }
    let mut units = (limit.min(u64::from(k)) as u32) / unit;
    while units > 0 && !fits(units * unit) {
        units -= 1;
    }
    (units > 0).then_some(units * unit)
}
