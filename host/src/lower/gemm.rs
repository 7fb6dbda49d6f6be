//! Matrix products: N tiles, K blocks through the weight ring, passes over the rows.

use lutsim_isa::field::{DrainMode, Queue, Reg, TileId, Unpack};
use lutsim_isa::format::{ByteClass, Elem};

use super::asm::{At, FREE, Tokens, at, dim, t};
use super::{Lower, reg, sem};
use crate::layout::Tensor;

/// The rows of activations of a product and their scales.
#[derive(Clone, Copy)]
pub(super) struct Operand {
    /// First byte.
    pub(super) base: At,
    /// Bytes from row to row.
    pub(super) stride: u64,
    /// Rows.
    pub(super) rows: u32,
    /// First scale.
    pub(super) scale: At,
    /// Bytes from scale to scale.
    pub(super) scale_stride: u64,
    /// What it was made of, without gaps: first byte and element.
    pub(super) floats: (u64, Elem),
}

/// Where an N tile's results go.
#[derive(Clone, Copy)]
pub(super) struct Output {
    /// First byte.
    pub(super) base: At,
    /// Bytes from row to row.
    pub(super) stride: u64,
    /// Whether what is there is added to.
    pub(super) mode: DrainMode,
}

const T_A: TileId = t(0);
const T_O: TileId = t(1);
const T_S: TileId = t(2);
/// K blocks of an N tile that stays for several passes.
const T_W: u64 = 8;
/// Most K blocks that stay: the tile registers behind `T_W`.
pub(crate) const MOST_RESIDENT: u32 = 64 - T_W as u32;
/// Bytes between pauses for a refresh within a tensor: one costs some 0.4 us, as much as 30 KB of a phone's DRAM.
pub(crate) const LEAST_RUN: u64 = 8 << 20;
/// N tiles between them, at most.
const MOST_TILES: u64 = 64;
/// K blocks up to which the loop over them is written out.
const UNROLL: u32 = 4;

/// A pass over some rows.
#[derive(Clone, Copy)]
pub(super) struct Pass {
    pub(super) rows: u32,
    /// The first pass waits for what it needs.
    pub(super) first: bool,
    /// The last one gives back what it used.
    pub(super) last: bool,
}

impl Lower<'_> {
    /// Calls `body` for each pass of at most `most` rows, the middle ones in a loop. The registers start at their addresses and step
    /// by the given bytes for each pass.
    pub(super) fn passes(
        &mut self,
        rows: u32,
        most: u32,
        cursors: &[(Reg, At, u64)],
        mut body: impl FnMut(&mut Self, Pass),
    ) {
        for &(reg, base, _) in cursors {
            self.b.point(reg, base);
        }
        let count = rows.div_ceil(most.max(1));
        if count <= 1 {
            return body(self, Pass { rows, first: true, last: true });
        }
        let step = |lower: &mut Self| {
            for &(reg, _, bytes) in cursors {
                lower.b.add(reg, reg, bytes);
            }
        };
        body(self, Pass { rows: most, first: true, last: false });
        step(self);
        if count > 2 {
            let start = (count > 3).then(|| self.b.begin(dim(count - 2)));
            body(self, Pass { rows: most, first: false, last: false });
            step(self);
            if let Some(start) = start {
                self.b.end(start);
            }
        }
        body(self, Pass { rows: rows - (count - 1) * most, first: false, last: true });
    }

    /// Points a weight stream at a tensor.
    pub(super) fn stream(&mut self, stream: Reg, tensor: &Tensor) {
        if tensor.per_layer {
            self.b.add(stream, reg::LAYER, tensor.addr)
        } else {
            self.b.set(stream, tensor.addr)
        }
        if tensor.experts > 1 {
            self.b.mad(stream, stream, reg::EXPERT, tensor.expert_stride);
        }
    }

    /// All N tiles of a tensor, one after the other: `body` has each one's columns and whether it is the first; the weight stream
    /// has moved on after it.
    pub(super) fn n_tiles(
        &mut self,
        tensor: &Tensor,
        peel_first: bool,
        mut body: impl FnMut(&mut Self, u32, bool),
    ) {
        let mut whole = tensor.n / tensor.n_tile;
        let tail = tensor.n % tensor.n_tile;
        let mut first = true;
        if peel_first && whole > 0 {
            body(self, tensor.n_tile, true);
            whole -= 1;
            first = false;
        }
        let run = self.alike(tensor);
        if whole >= 2 * run {
            let runs = self.b.begin(dim(whole / run));
            self.b.refresh();
            let start = self.b.begin(dim(run));
            body(self, tensor.n_tile, first && peel_first);
            self.b.end(start);
            self.b.end(runs);
            (whole, first) = (whole % run, false);
        }
        if whole > 0 {
            let start = (whole > 1).then(|| self.b.begin(dim(whole)));
            body(self, tensor.n_tile, first && peel_first);
            if let Some(start) = start {
                self.b.end(start);
            }
            first = false;
        }
        if tail > 0 {
            body(self, tail, first);
        }
    }

    /// N tiles after which a long tensor's records lie in the same banks again: a good moment to refresh, and what follows is
    /// alike. `u32::MAX` if that is too often to be worth a pause, or too seldom.
    fn alike(&self, tensor: &Tensor) -> u32 {
        let (span, bytes) = (self.target.row_span_bytes, tensor.tile_stride(tensor.n_tile));
        // Both count in 64 bytes: the largest power of two that divides the tile, up to the span.
        let shared = 1u64 << bytes.trailing_zeros();
        let run = span.div_ceil(shared).max(1);
        let run = if span.is_power_of_two() { run * LEAST_RUN.div_ceil(run * bytes) } else { u64::MAX };
        if run <= MOST_TILES { run as u32 } else { u32::MAX / 2 }
    }

    /// A whole product into full-width rows of FP32.
    pub(super) fn gemm(&mut self, tensor: &Tensor, a: Operand, out: Output) {
        self.stream(reg::W, tensor);
        self.b.point(reg::OUT, out.base);
        self.n_tiles(tensor, false, |lower, n, _| {
            let out = Output { base: At(reg::OUT, 0), ..out };
            lower.n_tile(tensor, n, reg::W, a, out, FREE);
            lower.b.add(reg::OUT, reg::OUT, 4 * u64::from(n));
        });
    }

    /// One N tile of `n` columns whose records begin at `stream`, which then points at the next one. `tokens` are the drain's: it waits
    /// in the first pass and signals in the last.
    pub(super) fn n_tile(
        &mut self,
        tensor: &Tensor,
        n: u32,
        stream: Reg,
        a: Operand,
        out: Output,
        tokens: Tokens,
    ) {
        let grid = self.grid(a.rows, n);
        let most = u32::from(grid.r) * self.target.m;
        if tensor.format.kind.is_float() {
            self.dot(tensor, n, stream, a, out, tokens);
        } else if a.rows <= most {
            self.k_stream(tensor, n, stream, a);
            self.b.plain(T_O, out.base, dim(a.rows), dim(n), out.stride, Elem::F32);
            self.b.plain(T_S, a.scale, dim(a.rows), dim(1), a.scale_stride, Elem::F32);
            self.b.drain(out.mode, T_O, T_S, grid, tokens);
        } else {
            self.k_resident(tensor, n, stream, a, out, tokens);
        }
        self.b.add(stream, stream, tensor.tile_stride(n));
    }

    /// An N tile of floats: the vector unit multiplies. The LUT queue hands it the slot and takes it back, so that the ring has one
    /// user, and results come in one order.
    fn dot(&mut self, tensor: &Tensor, n: u32, stream: Reg, a: Operand, out: Output, tokens: Tokens) {
        let (w, k) = (t(T_W), tensor.k);
        let row = Elem::F16.row_bytes(k);
        self.b.plain(w, At(reg::RING, 0), dim(n), dim(k), row, Elem::F16);
        let free = FREE.wait(sem::SLOT_FREE).signal(sem::LOADED);
        self.b.load(Unpack::Plain, w, At(stream, 0), row, ByteClass::Weights, free);
        self.next_slot();
        if tokens.wait.is_some() {
            self.b.sync(Queue::Lut, Tokens { signal: None, ..tokens });
        }
        self.b.sync(Queue::Lut, FREE.wait(sem::LOADED).signal(sem::HANDED));
        let (base, elem) = a.floats;
        self.b.plain(T_A, at(base), dim(a.rows), dim(k), elem.row_bytes(k), elem);
        self.b.plain(T_O, out.base, dim(a.rows), dim(n), out.stride, Elem::F32);
        self.b.vdot(T_O, T_A, w, FREE.wait(sem::HANDED).signal(sem::OPERAND));
        self.b.sync(Queue::Lut, FREE.wait(sem::OPERAND).signal(sem::SLOT_FREE));
        if tokens.signal.is_some() {
            self.b.sync(Queue::Lut, Tokens { wait: None, ..tokens });
        }
    }

    /// Loads one record into the next slot of the ring.
    pub(super) fn fetch(&mut self, tensor: &Tensor, w: TileId, n: u32, k: u32, from: At) {
        self.b.weights(w, At(reg::RING, 0), dim(n), dim(k), tensor.format);
        let tokens = FREE.wait(sem::SLOT_FREE).signal(sem::LOADED);
        self.b.load(Unpack::Weights, w, from, 0, ByteClass::Weights, tokens);
        self.next_slot();
    }
    pub(super) fn next_slot(&mut self) {
        let step = u64::from(self.mapping.slot_bytes);
        self.b.ring(reg::RING, step, self.buf.end, self.ring_end);
    }

    /// One pass over all rows: each record is used as it comes.
    fn k_stream(&mut self, tensor: &Tensor, n: u32, stream: Reg, a: Operand) {
        let ty = self.ty(tensor.format.kind);
        let grid = self.grid(a.rows, n);
        let elem = self.operand();
        let tokens = FREE.wait(sem::LOADED).signal(sem::SLOT_FREE);
        let w = t(T_W);
        let block = |lower: &mut Self, k: u32, from: At, activations: At, first: bool| {
            lower.fetch(tensor, w, n, k, from);
            lower.b.plain(T_A, activations, dim(a.rows), dim(k), a.stride, elem);
            lower.b.lmma(ty, T_A, w, grid, first, tokens);
        };
        let blocks: Vec<_> = tensor.blocks(n).collect();
        if blocks.len() as u32 <= UNROLL {
            for &(k0, k, offset) in &blocks {
                block(self, k, At(stream, offset), a.base.plus(elem.row_bytes(k0)), k0 == 0);
            }
            return;
        }
        let step = tensor.k_block;
        let whole = tensor.k / step;
        block(self, step, At(stream, 0), a.base, true);
        self.b.point(reg::K_A, a.base.plus(elem.row_bytes(step)));
        self.b.add(reg::K_W, stream, tensor.format.record_bytes(n, step));
        let start = self.b.begin(dim(whole - 1));
        block(self, step, At(reg::K_W, 0), At(reg::K_A, 0), false);
        self.b.add(reg::K_A, reg::K_A, elem.row_bytes(step));
        self.b.add(reg::K_W, reg::K_W, tensor.format.record_bytes(n, step));
        self.b.end(start);
        if !tensor.k.is_multiple_of(step) {
            block(self, tensor.k % step, At(reg::K_W, 0), At(reg::K_A, 0), false);
        }
    }

    /// Several passes: all records of the N tile stay until the last pass has used them.
    fn k_resident(&mut self, tensor: &Tensor, n: u32, stream: Reg, a: Operand, out: Output, tokens: Tokens) {
        let ty = self.ty(tensor.format.kind);
        let grid = self.grid(a.rows, n);
        let most = u32::from(grid.r) * self.target.m;
        let elem = self.operand();
        let blocks: Vec<_> = tensor.blocks(n).collect();
        for (i, &(_, k, offset)) in blocks.iter().enumerate() {
            self.fetch(tensor, t(T_W + i as u64), n, k, At(stream, offset));
        }
        let step = u64::from(most);
        let cursors = [
            (reg::ROW_A, a.base, step * a.stride),
            (reg::ROW_O, out.base, step * out.stride),
            (reg::ROW_S, a.scale, step * a.scale_stride),
        ];
        self.passes(a.rows, most, &cursors, |lower, pass| {
            for (i, &(k0, k, _)) in blocks.iter().enumerate() {
                let from = At(reg::ROW_A, elem.row_bytes(k0));
                lower.b.plain(T_A, from, dim(pass.rows), dim(k), a.stride, elem);
                let tokens = FREE.wait_if(pass.first, sem::LOADED).signal_if(pass.last, sem::SLOT_FREE);
                lower.b.lmma(ty, T_A, t(T_W + i as u64), grid, i == 0, tokens);
            }
            lower.b.plain(T_O, At(reg::ROW_O, 0), dim(pass.rows), dim(n), out.stride, Elem::F32);
            lower.b.plain(T_S, At(reg::ROW_S, 0), dim(pass.rows), dim(1), a.scale_stride, Elem::F32);
            let tokens = Tokens {
                wait: tokens.wait.filter(|_| pass.first),
                signal: tokens.signal.filter(|_| pass.last),
            };
            lower.b.drain(out.mode, T_O, T_S, grid, tokens);
        });
    }

    /// Waits in the LUT queue.
    pub(super) fn lut_waits(&mut self, semaphore: lutsim_isa::Sem) {
        self.b.sync(Queue::Lut, FREE.wait(semaphore));
    }
    /// Tells the vector unit that results are there.
    pub(super) fn lut_done(&mut self) {
        self.b.sync(Queue::Lut, FREE.signal(sem::OUT));
    }
}
