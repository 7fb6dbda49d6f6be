//! Vector operations of a layer: norms, biases, rotation, quantisation; and the KV write.

use lutsim_isa::Inst;
use lutsim_isa::field::{Dim, DrainMode, Imm24, Queue, Reg, Signal, TileId, Unpack, Wait};
use lutsim_isa::format::{ByteClass, Elem, WeightKind};

use super::asm::{At, FREE, Tokens, at, dim, t};
use super::gemm::{Operand, Output};
use super::{Lower, POSITION, SEQUENCE, reg, sem};
use crate::layout::Vector;
use crate::model::Model;
use crate::workload::Workload;

pub(super) const T_X: TileId = t(3);
pub(super) const T_Y: TileId = t(4);
pub(super) const T_D: TileId = t(5);
pub(super) const T_W: TileId = t(6);
pub(super) const T_S: TileId = t(7);

/// A tile of FP32 or FP16 rows without gaps.
#[derive(Clone, Copy)]
pub(super) struct Rows {
    pub(super) base: u64,
    pub(super) rows: u32,
    pub(super) cols: u32,
    pub(super) elem: Elem,
}

impl Lower<'_> {
    /// Multiply-accumulates of a tensor with the step's rows.
    pub(super) fn macs(&self, name: &str) -> u64 {
        let tensor = self.tensor(name);
        u64::from(self.phase.rows) * u64::from(tensor.n) * u64::from(tensor.k)
    }
    pub(super) fn x(&self) -> Rows {
        Rows { base: self.buf.x, rows: self.phase.rows, cols: self.model.hidden, elem: Elem::F32 }
    }
    pub(super) fn rope_rows(&self) -> Rows {
        let cols = self.model.rope().map_or(0, |rope| rope.dims);
        Rows { base: self.buf.positions, rows: self.phase.rows, cols, elem: Elem::F32 }
    }
    /// The operand that [`Self::quantise`] made of normalised rows.
    pub(super) fn quantised(&self, cols: u32, rows: u32) -> Operand {
        let stride = self.operand().row_bytes(cols);
        Operand {
            base: at(self.buf.xt),
            stride,
            rows,
            scale: at(self.buf.xs),
            scale_stride: 4,
            floats: (self.buf.xn, Elem::F32),
        }
    }
    pub(super) fn tile(&mut self, id: TileId, rows: Rows) {
        let stride = u64::from(rows.cols) * u64::from(rows.elem.bytes());
        self.b.plain(id, at(rows.base), dim(rows.rows), dim(rows.cols), stride, rows.elem);
    }

    /// A product into rows of `cols` FP32 at `to`.
    pub(super) fn product(&mut self, name: &str, a: Operand, to: u64, cols: u32, mode: DrainMode) {
        let tensor = self.tensor(name);
        self.gemm(&tensor, a, Output { base: at(to), stride: 4 * u64::from(cols), mode });
    }

    /// Fetches a norm or bias into the next parameter slot.
    pub(super) fn load_param(&mut self, vector: &Vector) {
        if vector.per_layer {
            self.b.add(reg::W, reg::LAYER, vector.addr);
        } else {
            self.b.set(reg::W, vector.addr);
        }
        self.b.plain(T_W, At(reg::PARAM_IN, 0), dim(1), dim(vector.len), 0, Elem::F16);
        let tokens = FREE.wait(sem::PARAM_FREE).signal(sem::PARAM_LOADED);
        self.b.load(Unpack::Plain, T_W, At(reg::W, 0), 0, ByteClass::Norm, tokens);
        self.next_param(reg::PARAM_IN);
    }
    pub(super) fn next_param(&mut self, ring: Reg) {
        let buf = self.buf;
        self.b.ring(ring, buf.param_slot, buf.param, buf.param + buf.param_slots * buf.param_slot);
    }

    /// The next parameter's norm of `x` into `d`.
    pub(super) fn norm_with(&mut self, d: Rows, x: Rows, tokens: Tokens) {
        if tokens.wait.is_some() {
            self.b.sync(Queue::Vector, tokens);
        }
        self.tile(T_D, d);
        self.tile(T_X, x);
        // The biases lie behind the weights.
        let rows = self.model.norm_len(x.cols) / x.cols;
        self.b.plain(T_W, At(reg::PARAM, 0), dim(rows), dim(x.cols), 2 * u64::from(x.cols), Elem::F16);
        let tokens = FREE.wait(sem::PARAM_LOADED).signal(sem::PARAM_FREE);
        self.b.norm(self.model.norm, T_D, T_X, T_W, self.model.norm_eps, tokens);
        self.next_param(reg::PARAM);
    }
    /// Norm and quantisation of residual rows into XQ, as what multiplies some tensors.
    pub(super) fn normalise(&mut self, x: Rows, tensors: &[&str]) {
        let normed = Rows { base: self.buf.xn, ..x };
        self.norm_with(normed, x, FREE);
        self.quantise_for(tensors, normed, FREE);
    }
    /// Quantises what multiplies some tensors, if not all of them are floats.
    pub(super) fn quantise_for(&mut self, tensors: &[&str], x: Rows, tokens: Tokens) {
        if tensors.iter().all(|name| self.floats(name)) {
            self.b.sync(Queue::Vector, tokens.signal(sem::OPERAND));
        } else {
            self.quantise(x, self.operand(), tokens);
        }
    }
    /// The norm before the output projection, if the model has it; returns what the next one must wait for.
    pub(super) fn sub_norm(&mut self, x: Rows) -> Tokens {
        let wait = FREE.wait(sem::OUT);
        if !self.model.sub_norms {
            return wait;
        }
        self.norm_with(x, x, wait);
        FREE
    }
    /// The bias of a projection, if it is given one; returns what the next one must wait for.
    pub(super) fn bias(&mut self, given: bool, x: Rows) -> Tokens {
        let wait = FREE.wait(sem::OUT);
        if !given {
            return wait;
        }
        self.b.sync(Queue::Vector, wait);
        self.tile(T_D, x);
        self.b.plain(T_W, At(reg::PARAM, 0), dim(1), dim(x.cols), 0, Elem::F16);
        self.b.vadd(T_D, T_D, T_W, FREE.wait(sem::PARAM_LOADED).signal(sem::PARAM_FREE));
        self.next_param(reg::PARAM);
        FREE
    }
    /// A projection into the residual: in place, and then its bias, if it is given one; or by way of rows at `aside`, bias and norm. What
    /// comes next waits for the cores in any case.
    pub(super) fn residual(&mut self, name: &str, a: Operand, bias: bool, aside: u64) {
        let x = self.x();
        if self.floats(name) && !self.model.post_norms {
            let y = Rows { base: aside, ..x };
            self.product(name, a, y.base, y.cols, DrainMode::Store);
            self.lut_done();
            self.tile(T_D, x);
            self.tile(T_X, y);
            self.b.vadd(T_D, T_D, T_X, FREE.wait(sem::OUT));
            self.lut_done();
            if bias {
                self.bias(true, x);
                self.lut_done();
            }
            return;
        }
        if self.model.post_norms {
            let y = Rows { base: aside, ..x };
            self.product(name, a, y.base, y.cols, DrainMode::Store);
            self.lut_done();
            let wait = self.bias(bias, y);
            self.norm_with(y, y, wait);
            self.tile(T_D, x);
            self.b.vadd(T_D, T_D, T_X, FREE);
            self.lut_done();
            return;
        }
        self.product(name, a, x.base, x.cols, DrainMode::Add);
        self.lut_done();
        if bias {
            self.bias(true, x);
            self.lut_done();
        }
    }
    /// The rotation of keys or queries, if the model has it; returns what the next one must wait for.
    pub(super) fn rotate(&mut self, x: Rows, tokens: Tokens) -> Tokens {
        let Some(rope) = self.model.rope() else { return tokens };
        self.op("rope", 0, 0);
        self.tile(T_D, x);
        self.tile(T_Y, self.rope_rows());
        let (head, dims) = (self.b.imm16(self.model.head_dim), self.b.imm16(rope.dims));
        self.b.push(Inst::VRope {
            pairing: rope.pairing,
            d: T_D,
            x: T_D,
            tab: T_Y,
            head,
            dims,
            wait: Wait(tokens.wait),
            signal: Signal(tokens.signal),
        });
        FREE
    }
    /// Rows to the operand of a product, each with its scale.
    pub(super) fn quantise(&mut self, x: Rows, operand: Elem, tokens: Tokens) {
        let buf = self.buf;
        self.tile(T_X, x);
        self.tile(T_D, Rows { base: buf.xq, elem: self.plain(), ..x });
        self.tile(T_S, Rows { base: buf.xs, cols: 1, elem: Elem::F32, ..x });
        self.quant(tokens, operand, (at(buf.xt), dim(x.rows), dim(x.cols), operand.row_bytes(x.cols)));
    }
    /// Quantises T_X to T_D, and makes tables of that if they are the operand: at a place, of rows and columns, so many bytes from row
    /// to row.
    pub(super) fn quant(&mut self, tokens: Tokens, operand: Elem, tables: (At, Dim, Dim, u64)) {
        let bits = 8 * u64::from(self.plain().bytes());
        let tokens = tokens.signal_if(!operand.is_table(), sem::OPERAND);
        self.b.quant(T_D, T_S, T_X, bits, tokens);
        self.tabulate(T_X, T_D, operand, tables);
    }
    /// Tables of the activations in `x`, described by `d`, if they are the operand.
    pub(super) fn tabulate(
        &mut self,
        d: TileId,
        x: TileId,
        operand: Elem,
        (to, rows, cols, stride): (At, Dim, Dim, u64),
    ) {
        if operand.is_table() {
            self.b.plain(d, to, rows, cols, stride, operand);
            self.b.push(Inst::VTable { d, x, wait: Wait(None), signal: Signal(Some(sem::OPERAND)) });
        }
    }

    /// Rows of keys or values to what the KV cache holds: codes and scales.
    pub(super) fn quantise_kv(&mut self, x: Rows, codes: u64, scales: u64, tokens: Tokens) {
        let m = self.model;
        let heads = Rows { rows: x.rows * m.kv_heads, cols: m.head_dim, ..x };
        let tokens = tokens.signal(sem::TO_STORE);
        let (cols, elem) = kv_codes(m, self.workload);
        self.tile(T_X, heads);
        self.b.plain(T_D, at(codes), dim(heads.rows), dim(cols), self.buf.code_row, elem);
        match self.workload.kv {
            WeightKind::KvF16 => self.b.copy(T_D, T_X, tokens),
            kind => {
                self.tile(T_S, Rows { base: scales, cols: 1, elem: Elem::F16, ..heads });
                self.b.quant(T_D, T_S, T_X, if kind == WeightKind::Kv4 { 4 } else { 8 }, tokens);
            }
        }
    }
    /// New tokens to the KV cache: the store queue's part.
    pub(super) fn store_kv(&mut self, codes: u64, scales: u64, to_codes: u64, to_scales: u64) {
        let kv = self.layout.kv;
        let (cols, elem) = kv_codes(self.model, self.workload);
        let rows = self.phase.rows * self.model.kv_heads;
        let (decode, heads) = (self.phase.decode, u64::from(self.model.kv_heads));
        // From item to item, and from token to token.
        let streams = [
            (Some(codes), to_codes, cols, elem, self.buf.code_row, kv.stride, kv.row_bytes),
            (self.workload.kv_scaled().then_some(scales), to_scales, 1, Elem::F16, 2, kv.stride, 2),
        ];
        for (from, to, cols, elem, bytes, item, token) in streams {
            let Some(from) = from else { continue };
            self.b.add(reg::K_W, reg::LAYER, to);
            self.b.mad(reg::K_W, reg::K_W, POSITION, token);
            if decode && Imm24::new(item).is_some() {
                self.b.plain(T_D, at(from), dim(rows), dim(cols), bytes, elem);
                self.b.store(T_D, At(reg::K_W, 0), item, ByteClass::Kv, FREE);
                continue;
            }
            // An item at a time: one row of it, or all of the chunk's.
            let (count, rows, stride) = match decode {
                true => (rows, 1, 0),
                false => (self.model.kv_heads, self.phase.rows, heads * bytes),
            };
            if !decode && self.workload.batch > 1 {
                self.b.mad(reg::K_W, reg::K_W, SEQUENCE, heads * item);
            }
            self.b.set(reg::K_A, from);
            let start = self.b.begin(dim(count));
            self.b.plain(T_D, At(reg::K_A, 0), dim(rows), dim(cols), stride, elem);
            self.b.store(T_D, At(reg::K_W, 0), token, ByteClass::Kv, FREE);
            self.b.add(reg::K_A, reg::K_A, bytes);
            self.b.add(reg::K_W, reg::K_W, item);
            self.b.end(start);
        }
        self.b.sync(Queue::Store, FREE.signal(sem::KV_STORED));
    }
}

/// Elements of a new token's codes of one head.
pub(super) fn kv_codes(model: &Model, workload: &Workload) -> (u32, Elem) {
    match workload.kv {
        WeightKind::KvF16 => (model.head_dim, Elem::F16),
        WeightKind::Kv4 => (model.head_dim.div_ceil(2), Elem::U8),
        _ => (model.head_dim, Elem::I8),
    }
}
