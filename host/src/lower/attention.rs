//! Attention: scores, softmax, weighted sum, item by item.
//!
//! An item is what meets a tile of keys at once: in decode the query heads of one (sequence, KV head), in prefill the chunk's rows of
//! one query head; or part of these, when their scores would not fit. Item i + 1's scores go to the cores before item i's values, so that softmax costs them no time:
//!
//! ```text
//! lut     S0  S1     V0      S2     V1     ...
//! vector      soft0  fold0   soft1  fold1  ...
//! ```
//! How many keys there are is known at run time only: blocks and tiles are loops over registers, the last one shorter.

use lutsim_isa::field::{Dim, DrainMode, Mask, Queue, Reg, TileId, Unpack, Wait};
use lutsim_isa::format::{ByteClass, Elem, Group, WeightFormat};
use lutsim_isa::{Inst, field::F32, field::Signal};

use super::asm::{At, FREE, ZERO, dim, t};
use super::{Lower, SEQUENCE, reg, sem};
use crate::mapping::Mapping;
use crate::model::Positions;
use crate::target::Target;
use crate::workload::KV_TILE;

const T_A: TileId = t(0);
const T_O: TileId = t(1);
const T_S: TileId = t(2);
const T_W: TileId = t(3);
const T_F: TileId = t(4);
const T_X: TileId = t(5);
const T_P: TileId = t(6);
const T_PS: TileId = t(7);

/// Where an item's rows lie.
struct Items {
    /// How many.
    count: u32,
    /// Rows of one.
    rows: u32,
    /// First row of the last block of rows, if the items are blocks of a chunk's rows: they then go block by block, head by head.
    last: Option<u32>,
    /// Heads of one block, or items in all.
    heads: u32,
    /// Of these, how many share a KV head.
    sharing: u32,
    /// Queries: elements from head to head and from row to row.
    item: u64,
    row: u64,
    /// The same of their scales.
    item_scale: u64,
    row_scale: u64,
}

impl Lower<'_> {
    fn items(&self) -> Items {
        let m = self.model;
        let rows = self.phase.query_rows(self.mapping);
        let [dim, heads, taken] = [m.head_dim, m.heads, rows].map(u64::from);
        if self.phase.decode {
            // The query heads of a KV head, in parts; they follow each other, and so do the sequences.
            let parts = m.group() / rows;
            let count = self.phase.rows * m.kv_heads * parts;
            let (item, item_scale) = (taken * dim, taken);
            return Items {
                count,
                rows,
                last: None,
                heads: count,
                sharing: parts,
                item,
                row: dim,
                item_scale,
                row_scale: 1,
            };
        }
        // A query head and rows of the chunk; the last block of rows overlaps the one before it if it must.
        let blocks = self.phase.rows.div_ceil(rows);
        Items {
            count: m.heads * blocks,
            rows,
            last: (blocks > 1).then_some(self.phase.rows - rows),
            heads: m.heads,
            sharing: m.group(),
            item: dim,
            row: heads * dim,
            item_scale: 1,
            row_scale: heads,
        }
    }

    /// Keys of one tile.
    fn keys(&self) -> u32 {
        if self.phase.decode { self.mapping.decode_keys } else { self.mapping.prefill_keys }
    }

    /// Positions of a sequence that the step is for.
    fn steps(&self) -> u64 {
        if self.phase.decode { 1 } else { self.phase.rows.into() }
    }

    /// The tokens that the layer looks back on, if there can be more of them.
    fn window(&self) -> Option<u32> {
        self.window.filter(|&window| u64::from(window) < self.phase.most_tokens(self.workload))
    }

    /// Whether layers of the step do so.
    pub(super) fn windowed(&self) -> bool {
        let window = self.model.window.map(|window| u64::from(window.tokens));
        window.is_some_and(|window| window < self.phase.most_tokens(self.workload))
    }

    /// How many tokens are looked back on: for the whole step, or for a layer. With a window they begin with the tile of keys and
    /// values in which the first row's window begins.
    pub(super) fn attention_lengths(&mut self) {
        self.b.add(reg::LEN, super::POSITION, self.steps());
        self.b.add(reg::VALID, super::POSITION, 1);
        if let Some(window) = self.window() {
            self.b.set(reg::TEMP, window.into());
            self.b.sub(reg::TEMP, reg::VALID, reg::TEMP);
            self.quotient(reg::TEMP, reg::TEMP, KV_TILE);
            self.b.mad(reg::TEMP, ZERO, reg::TEMP, KV_TILE.into());
            self.b.sub(reg::LEN, reg::LEN, reg::TEMP);
            self.b.sub(reg::VALID, reg::VALID, reg::TEMP);
        }
        self.b.ceildiv(reg::BLOCKS, reg::LEN, u64::from(self.keys()));
        self.b.ceildiv(reg::TILES, reg::LEN, u64::from(KV_TILE));
    }

    /// Registers that hold for the whole step.
    pub(super) fn attention_buffers(&mut self) {
        self.b.set(reg::SCORE_S, self.buf.score);
        self.b.set(reg::SCORE_V, self.buf.score);
        self.b.set(reg::P, self.buf.p);
    }

    /// From quantised queries in XQ to the weighted sums in T1.
    pub(super) fn attention(&mut self) {
        let items = self.items();
        let seen = u64::from(self.phase.rows) * u64::from(self.model.q_width());
        // The chunk's own rows count as seen by each other, as the machine computes them.
        let own = if self.phase.decode { 1 } else { u64::from(self.phase.rows) };
        self.op("scores", seen * own, seen);
        if self.windowed() {
            self.attention_lengths();
        }
        // The new keys and values must be in DRAM before they are read back.
        self.b.sync(Queue::Load, FREE.wait(sem::KV_STORED));
        self.b.sync(Queue::Load, FREE.wait(sem::KV_STORED));
        // Keys and values have been stored: where they were, sums and residuals go.
        self.lut_waits(sem::KV_FREE);
        self.lut_waits(sem::OPERAND);
        self.b.set(reg::ITEM_S, 0);
        self.b.set(reg::ITEM_V, 0);
        self.b.set(reg::RUN_S, 1);
        self.b.set(reg::RUN_V, 0);
        let outer = self.b.begin(dim(items.count + 1));
        let inner = self.b.begin(Dim::Reg(reg::RUN_S));
        self.scores(&items);
        self.b.end(inner);
        self.op("softmax", 0, 0);
        let inner = self.b.begin(Dim::Reg(reg::RUN_V));
        self.softmax(&items);
        self.op("weighted_sum", seen * own, seen);
        self.weighted_sum(&items);
        self.b.end(inner);
        self.op("scores", 0, 0);
        self.b.set(reg::TEMP, u64::from(items.count));
        self.b.sub(reg::TEMP, reg::TEMP, reg::ITEM_S);
        self.minimum(reg::RUN_S, reg::TEMP, 1);
        self.b.set(reg::RUN_V, 1);
        self.b.end(outer);
        self.lut_done();
    }

    fn minimum(&mut self, rd: Reg, ra: Reg, value: u32) {
        let value = lutsim_isa::field::Imm32::new(u64::from(value)).unwrap_or_default();
        self.b.push(Inst::Min { rd, ra, value });
    }

    /// rd = ra / divisor, rounded down.
    fn quotient(&mut self, rd: Reg, ra: Reg, divisor: u32) {
        self.b.add(rd, ra, 1);
        self.b.ceildiv(rd, rd, u64::from(divisor));
        self.b.sub(rd, rd, reg::ONE);
    }

    /// HEAD and ROW of an item, and the streams at its keys or values.
    fn locate(&mut self, items: &Items, item: Reg, codes: u64, scales: u64) {
        let kv = self.layout.kv;
        self.b.add(reg::HEAD, item, 0);
        if let Some(last) = items.last {
            self.quotient(reg::ROW, item, items.heads);
            self.b.mad(reg::TEMP, ZERO, reg::ROW, u64::from(items.heads));
            self.b.sub(reg::HEAD, item, reg::TEMP);
            self.b.mad(reg::ROW, ZERO, reg::ROW, u64::from(items.rows));
            self.minimum(reg::ROW, reg::ROW, last);
        }
        let mut index = reg::HEAD;
        if items.sharing > 1 {
            self.quotient(reg::TEMP, reg::HEAD, items.sharing);
            index = reg::TEMP;
        }
        if !self.phase.decode && self.workload.batch > 1 {
            self.b.mad(reg::TEMP, index, SEQUENCE, u64::from(self.model.kv_heads));
            index = reg::TEMP;
        }
        self.b.add(reg::CODES, reg::LAYER, codes);
        self.b.mad(reg::CODES, reg::CODES, index, kv.stride);
        if self.workload.kv_scaled() {
            self.b.add(reg::SCALES, reg::LAYER, scales);
            self.b.mad(reg::SCALES, reg::SCALES, index, kv.stride);
        }
        if self.window().is_some() {
            // Tokens before those that are looked back on.
            self.b.add(reg::TEMP, super::POSITION, self.steps());
            self.b.sub(reg::TEMP, reg::TEMP, reg::LEN);
            self.b.mad(reg::CODES, reg::CODES, reg::TEMP, kv.row_bytes);
            if self.workload.kv_scaled() {
                self.b.mad(reg::SCALES, reg::SCALES, reg::TEMP, 2);
            }
        }
    }

    /// rd = base + where the located item is, by the bytes from head to head and from row to row.
    fn place(&mut self, items: &Items, rd: Reg, base: u64, head: u64, row: u64) {
        self.b.set(rd, base);
        self.b.mad(rd, rd, reg::HEAD, head);
        if items.last.is_some() {
            self.b.mad(rd, rd, reg::ROW, row);
        }
    }

    /// Moves on by a block of `tokens`, whose columns are `reg::NOW`.
    fn kv_next(&mut self, tokens: u32) {
        let tokens = u64::from(tokens);
        self.b.add(reg::CODES, reg::CODES, tokens * self.layout.kv.row_bytes);
        if self.workload.kv_scaled() {
            self.b.add(reg::SCALES, reg::SCALES, 2 * tokens);
        }
        self.b.add(reg::COLUMN, reg::COLUMN, 4 * tokens);
        self.b.sub(reg::LEFT, reg::LEFT, reg::NOW);
    }

    fn scores(&mut self, items: &Items) {
        let (buf, kv, head) = (self.buf, self.layout.kv, self.model.head_dim);
        let elem = self.attention_operand();
        // From elements to bytes, in whole heads.
        let bytes = |elements: u64| elements / u64::from(head) * elem.row_bytes(head);
        let (item, row) = (bytes(items.item), bytes(items.row));
        let query = if elem.is_table() { buf.xt } else { buf.xq };
        let block = self.keys();
        let format = WeightFormat { kind: kv.kind, group: Group::Row };
        self.locate(items, reg::ITEM_S, kv.k_codes, kv.k_scales);
        self.place(items, reg::QUERY, query, item, row);
        self.place(items, reg::QUERY_SCALE, buf.xs, items.item_scale * 4, items.row_scale * 4);
        self.b.add(reg::COLUMN, reg::SCORE_S, 0);
        self.b.add(reg::LEFT, reg::LEN, 0);
        self.lut_waits(sem::SCORE_FREE);

        let blocks = self.b.begin(Dim::Reg(reg::BLOCKS));
        self.minimum(reg::NOW, reg::LEFT, block);
        let now = Dim::Reg(reg::NOW);
        self.b.weights(T_W, At(reg::RING, 0), now, dim(head), format);
        let mut tokens = FREE.signal(sem::LOADED);
        if self.workload.kv_scaled() {
            self.b.plain(T_F, At(reg::RING, 0), dim(1), now, 0, Elem::F16);
            let wait = FREE.wait(sem::SLOT_FREE);
            self.b.load(Unpack::Plain, T_F, At(reg::SCALES, 0), 0, ByteClass::Kv, wait);
        } else {
            tokens = tokens.wait(sem::SLOT_FREE);
        }
        self.b.load(Unpack::Keys, T_W, At(reg::CODES, 0), kv.row_bytes, ByteClass::Kv, tokens);
        let (ty, grid) = (self.ty(kv.kind), self.grid(items.rows, block));
        let most = u32::from(grid.r) * self.target.m;
        let step = u64::from(most);
        let cursors = [
            (reg::ROW_A, At(reg::QUERY, 0), step * row),
            (reg::ROW_O, At(reg::COLUMN, 0), step * buf.score_stride),
            (reg::ROW_S, At(reg::QUERY_SCALE, 0), step * items.row_scale * 4),
        ];
        self.passes(items.rows, most, &cursors, |lower, pass| {
            let b = &mut lower.b;
            b.plain(T_A, At(reg::ROW_A, 0), dim(pass.rows), dim(head), row, elem);
            let tokens = FREE.wait_if(pass.first, sem::LOADED).signal_if(pass.last, sem::SLOT_FREE);
            b.lmma(ty, T_A, T_W, grid, true, tokens);
            b.plain(T_O, At(reg::ROW_O, 0), dim(pass.rows), now, buf.score_stride, Elem::F32);
            b.plain(T_S, At(reg::ROW_S, 0), dim(pass.rows), dim(1), items.row_scale * 4, Elem::F32);
            b.drain(DrainMode::Store, T_O, T_S, grid, FREE);
        });
        self.next_slot();
        self.kv_next(block);
        self.b.end(blocks);

        self.lut_done();
        self.b.add(reg::ITEM_S, reg::ITEM_S, 1);
        self.b.ring(reg::SCORE_S, buf.score_bytes, buf.score, buf.score + 2 * buf.score_bytes);
    }

    fn softmax(&mut self, items: &Items) {
        let kv = self.layout.kv;
        self.locate(items, reg::ITEM_V, kv.v_codes, kv.v_scales);
        let mut valid = reg::VALID;
        if items.last.is_some() {
            valid = reg::TEMP;
            self.b.mad(valid, reg::VALID, reg::ROW, 1);
        }
        let mut scale = self.model.score_scale();
        let mask = if self.phase.decode { Mask::Full } else { Mask::Causal };
        let (rows, columns) = (dim(items.rows), Dim::Reg(reg::LEN));
        self.b.plain(T_X, At(reg::SCORE_V, 0), rows, columns, self.buf.score_stride, Elem::F32);
        let (mut wait, signal) = (Wait(Some(sem::OUT)), Signal(None));
        if let Some(cap) = self.model.score_cap {
            self.b.cap(T_X, scale / cap, cap, FREE.wait(sem::OUT));
            (scale, wait) = (1.0, Wait(None));
        }
        let (d, x, valid, scale) = (T_X, T_X, Dim::Reg(valid), F32::new(scale));
        if let Some(window) = self.window() {
            let window = dim(window);
            return self.b.push(Inst::VWindow { mask, d, x, valid, window, scale, wait, signal });
        }
        if self.model.positions != Positions::Alibi {
            return self.b.push(Inst::VSoftmax { mask, d, x, valid, scale, wait, signal });
        }
        // In decode the rows are heads, in prefill they are one head's.
        self.b.set(reg::SLOPE, self.buf.positions);
        self.b.mad(reg::SLOPE, reg::SLOPE, reg::HEAD, items.item_scale * 4);
        let rows = dim(if self.phase.decode { items.rows } else { 1 });
        self.b.plain(T_S, At(reg::SLOPE, 0), rows, dim(1), 4, Elem::F32);
        self.b.push(Inst::VAlibi { mask, d, x, slope: T_S, valid, scale, wait, signal });
    }

    fn weighted_sum(&mut self, items: &Items) {
        let (buf, head) = (self.buf, self.model.head_dim);
        let format = WeightFormat { kind: self.layout.kv.kind, group: Group::Of(KV_TILE) };
        self.place(items, reg::RESULT, buf.t1, items.item * 4, items.row * 4);
        if self.workload.kv_scaled() {
            // The scales of all tokens in one transfer; from here on SCALES is where they are in scratchpad.
            let fold = At(reg::SCORE_V, buf.fold);
            self.b.plain(T_F, fold, dim(1), Dim::Reg(reg::LEN), 0, Elem::F16);
            let tokens = FREE.wait(sem::FOLD_FREE);
            self.b.load(Unpack::Plain, T_F, At(reg::SCALES, 0), 0, ByteClass::Kv, tokens);
            self.b.point(reg::SCALES, fold);
        }
        self.b.add(reg::COLUMN, reg::SCORE_V, 0);
        self.b.add(reg::LEFT, reg::LEN, 0);
        self.b.set(reg::FIRST, 1);
        self.b.set(reg::OTHER, 0);

        let tiles = self.b.begin(Dim::Reg(reg::TILES));
        self.minimum(reg::NOW, reg::LEFT, KV_TILE);
        let now = Dim::Reg(reg::NOW);
        // A head that is wider than the gang comes in parts; the first one's scales fold into P for all.
        let widest = values_columns(self.target, self.mapping, head);
        for first in (0..head).step_by(widest as usize) {
            let columns = widest.min(head - first);
            self.values(items, first, columns, now, format);
            self.weigh(items, first, columns, now);
            self.next_slot();
        }
        self.b.set(reg::FIRST, 0);
        self.b.set(reg::OTHER, 1);
        self.b.ring(reg::P, buf.p_bytes, buf.p, buf.p + 2 * buf.p_bytes);
        self.kv_next(KV_TILE);
        self.b.end(tiles);

        self.b.sync(Queue::Vector, FREE.signal(sem::SCORE_FREE));
        if self.workload.kv_scaled() {
            self.b.sync(Queue::Vector, FREE.signal(sem::FOLD_FREE));
        }
        self.b.add(reg::ITEM_V, reg::ITEM_V, 1);
        self.b.ring(reg::SCORE_V, buf.score_bytes, buf.score, buf.score + 2 * buf.score_bytes);
    }

    /// A tile of values, some columns of it, into the next slot; with the first ones, their scales folded into P.
    fn values(&mut self, items: &Items, first: u32, columns: u32, now: Dim, format: WeightFormat) {
        let (buf, kv) = (self.buf, self.layout.kv);
        let (plain, operand) = (self.plain(), self.attention_operand());
        let from = At(reg::CODES, kv.kind.code_bytes(u64::from(first)));
        self.b.weights(T_W, At(reg::RING, 0), dim(columns), now, format);
        if first > 0 {
            let tokens = FREE.wait(sem::SLOT_FREE).signal(sem::LOADED);
            return self.b.load(Unpack::Values, T_W, from, kv.row_bytes, ByteClass::Kv, tokens);
        }
        // The unpacker leaves the scales that it makes before the planes.
        let scales = if self.workload.kv_scaled() { reg::SCALES } else { reg::RING };
        self.b.plain(T_F, At(scales, 0), dim(1), now, 0, Elem::F16);
        let tokens = FREE.wait(sem::SLOT_FREE).signal(sem::FOLD_LOADED);
        self.b.load(Unpack::Values, T_W, from, kv.row_bytes, ByteClass::Kv, tokens);
        let (rows, p_stride) = (dim(items.rows), plain.row_bytes(KV_TILE));
        self.b.plain(T_X, At(reg::COLUMN, 0), rows, now, buf.score_stride, Elem::F32);
        self.b.plain(T_P, At(reg::P, 0), rows, now, p_stride, plain);
        self.b.plain(T_PS, At(reg::P, buf.p_scale), rows, dim(1), 4, Elem::F32);
        self.b.sync(Queue::Vector, FREE.wait(sem::P_FREE));
        self.b.push(Inst::VFold {
            d: T_P,
            s: T_PS,
            x: T_X,
            f: T_F,
            wait: Wait(Some(sem::FOLD_LOADED)),
            signal: Signal((!operand.is_table()).then_some(sem::OPERAND)),
        });
        let tables = (At(reg::P, buf.p_operand), rows, now, operand.row_bytes(KV_TILE));
        self.tabulate(T_X, T_P, operand, tables);
    }

    /// P times some columns of a tile of values, added to those of the item's result.
    fn weigh(&mut self, items: &Items, first: u32, columns: u32, now: Dim) {
        let (buf, head) = (self.buf, self.model.head_dim);
        let (ty, grid) = (self.ty(self.layout.kv.kind), self.grid(items.rows, columns));
        let elem = self.attention_operand();
        let p_stride = elem.row_bytes(KV_TILE);
        let most = u32::from(grid.r) * self.target.m;
        let step = u64::from(most);
        let cursors = [
            (reg::ROW_A, At(reg::P, buf.p_operand), step * p_stride),
            (reg::ROW_O, At(reg::RESULT, 4 * u64::from(first)), step * items.row * 4),
            (reg::ROW_S, At(reg::P, buf.p_scale), step * 4),
        ];
        // The vector unit waited for the first columns on behalf of the cores.
        let ready = if first == 0 { sem::OPERAND } else { sem::LOADED };
        let last = first + columns == head;
        self.passes(items.rows, most, &cursors, |lower, pass| {
            let b = &mut lower.b;
            b.plain(T_A, At(reg::ROW_A, 0), dim(pass.rows), now, p_stride, elem);
            let tokens = FREE.wait_if(pass.first, ready).signal_if(pass.last, sem::SLOT_FREE);
            b.lmma(ty, T_A, T_W, grid, true, tokens);
            b.plain(T_O, At(reg::ROW_O, 0), dim(pass.rows), dim(columns), items.row * 4, Elem::F32);
            b.plain(T_S, At(reg::ROW_S, 0), dim(pass.rows), dim(1), 4, Elem::F32);
            let tokens = FREE.signal_if(last && pass.last, sem::P_FREE);
            for (run, mode) in [(reg::FIRST, DrainMode::Store), (reg::OTHER, DrainMode::Add)] {
                let inner = b.begin(Dim::Reg(run));
                b.drain(mode, T_O, T_S, grid, tokens);
                b.end(inner);
            }
        });
    }
}

/// Columns of a tile of values: those of a head, or of the gang if it is narrower.
pub(crate) fn values_columns(target: &Target, mapping: &Mapping, head_dim: u32) -> u32 {
    head_dim.min(mapping.cores.min(255) * target.n)
}
