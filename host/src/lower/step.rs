//! A whole step: embedding, layers, head.

use lutsim_isa::Inst;
use lutsim_isa::field::{Dim, DrainMode, First, Imm24, Queue, Reg, Signal, TileId, Unpack, Wait};
use lutsim_isa::format::{ByteClass, Elem, WeightKind};

use super::asm::{At, FREE, Tokens, at, dim, t};
use super::gemm::{Operand, Output};
use super::{Lower, POSITION, SEQUENCE, reg, sem};
use crate::layout::Vector;
use crate::mapping::Hidden;

const T_X: TileId = t(3);
const T_Y: TileId = t(4);
const T_D: TileId = t(5);
const T_W: TileId = t(6);
const T_S: TileId = t(7);

/// A tile of FP32 or FP16 rows without gaps.
#[derive(Clone, Copy)]
struct Rows {
    base: u64,
    rows: u32,
    cols: u32,
    elem: Elem,
}

impl Lower<'_> {
    /// The whole program.
    pub(super) fn step(&mut self, slots: u32) {
        self.op("start", 0, 0);
        // What is free at first: (given by, semaphore, count, taken by).
        let params = self.buf.param_slots as u32;
        let free = [
            (Queue::Lut, sem::SLOT_FREE, slots, Queue::Load),
            (Queue::Lut, sem::P_FREE, 2, Queue::Vector),
            (Queue::Vector, sem::PARAM_FREE, params, Queue::Load),
            (Queue::Vector, sem::SCORE_FREE, 2, Queue::Lut),
            (Queue::Vector, sem::GATE_FREE, 2, Queue::Lut),
        ];
        free.iter()
            .for_each(|&(queue, semaphore, count, _)| self.tokens(queue, FREE.signal(semaphore), count));
        self.b.sync(Queue::Lut, FREE.signal(sem::OUT));
        self.b.set(reg::ONE, 1);
        self.b.set(reg::RING, self.buf.end);
        self.b.set(reg::PARAM_IN, self.buf.param);
        self.b.set(reg::PARAM, self.buf.param);
        self.b.set(reg::GATE, self.buf.gate);
        self.b.set(reg::UP, self.buf.up);
        self.attention_lengths();
        self.embedding();
        self.b.set(reg::LAYER, 0);
        let layers = self.b.begin(dim(self.layout.layers));
        self.in_layer = true;
        self.layer();
        self.b.add(reg::LAYER, reg::LAYER, self.layout.layer_stride);
        self.b.end(layers);
        self.in_layer = false;
        if self.phase.head {
            self.head();
        } else {
            self.b.sync(Queue::Vector, FREE.wait(sem::OUT));
        }
        // No token is left to the next program.
        self.op("end", 0, 0);
        free.iter().for_each(|&(_, semaphore, count, queue)| self.tokens(queue, FREE.wait(semaphore), count));
        self.b.push(Inst::Halt {});
    }

    /// Gives or takes a number of tokens.
    fn tokens(&mut self, queue: Queue, tokens: Tokens, count: u32) {
        if count > 2 {
            let start = self.b.begin(dim(count));
            self.b.sync(queue, tokens);
            self.b.end(start);
        } else {
            (0..count).for_each(|_| self.b.sync(queue, tokens));
        }
    }

    fn embedding(&mut self) {
        let (rows, buf, layout) = (self.phase.rows, self.buf, self.layout);
        let hidden = self.model.hidden;
        self.op("embedding", 0, 0);
        let table = layout.embedding;
        self.b.set(reg::W, table.addr);
        let half = Rows { base: buf.t1, rows, cols: hidden, elem: Elem::F16 };
        self.tile(T_X, half);
        let tokens = FREE.signal(sem::PARAM_LOADED);
        self.b.gather(T_X, At(reg::W, 0), table.row_bytes(), 0, ByteClass::Embedding, tokens);
        self.tile(T_D, self.x());
        self.b.copy(T_D, T_X, FREE.wait(sem::PARAM_LOADED));
        // Rotary rows of the step's positions; all sequences of a batch are at the same one.
        let table = layout.rope;
        self.b.set(reg::W, table.addr);
        self.b.mad(reg::W, reg::W, POSITION, table.row_bytes());
        self.tile(T_Y, self.rope_rows());
        let stride = if self.phase.decode { 0 } else { table.row_bytes() };
        self.b.load(Unpack::Plain, T_Y, At(reg::W, 0), stride, ByteClass::Rope, tokens);
        self.b.sync(Queue::Vector, FREE.wait(sem::PARAM_LOADED));
    }

    fn layer(&mut self) {
        let (m, buf, rows) = (self.model, self.buf, self.phase.rows);
        let (q, kv) = (m.q_width(), m.kv_width());
        self.op("attn_norm", 0, 0);
        let params: Vec<Vector> = self.layout.vectors.iter().filter(|v| v.per_layer).copied().collect();
        params.iter().for_each(|p| self.load_param(p));
        self.b.sync(Queue::Vector, FREE.wait(sem::OUT));
        self.normalise(self.x());

        let x = self.quantised(m.hidden, rows);
        self.op("k_proj", self.macs("wk"), 0);
        self.lut_waits(sem::OPERAND);
        self.product("wk", x, buf.t0, kv, DrainMode::Store);
        self.lut_done();
        let keys = Rows { base: buf.t0, rows, cols: kv, elem: Elem::F32 };
        let wait = self.bias(keys);
        self.op("rope", 0, 0);
        self.rotate(keys, wait);
        self.op("kv_write", 0, 0);
        self.quantise_kv(keys, buf.ks, FREE);
        self.store_kv(keys, buf.ks, self.layout.kv.k_codes, self.layout.kv.k_scales);

        self.op("v_proj", self.macs("wv"), 0);
        self.product("wv", x, buf.t1, kv, DrainMode::Store);
        self.lut_done();
        let values = Rows { base: buf.t1, rows, cols: kv, elem: Elem::F32 };
        let wait = self.bias(values);
        self.op("kv_write", 0, 0);
        self.quantise_kv(values, buf.vs, wait);
        self.store_kv(values, buf.vs, self.layout.kv.v_codes, self.layout.kv.v_scales);

        self.op("q_proj", self.macs("wq"), 0);
        // The keys have left T0, where the queries go.
        self.lut_waits(sem::KV_FREE);
        self.product("wq", x, buf.t0, q, DrainMode::Store);
        self.lut_done();
        let queries = Rows { base: buf.t0, rows, cols: q, elem: Elem::F32 };
        let wait = self.bias(queries);
        self.op("rope", 0, 0);
        self.rotate(queries, wait);
        let heads = Rows { rows: rows * m.heads, cols: m.head_dim, ..queries };
        self.quantise(heads, buf.xq, buf.xs, FREE);

        self.attention();

        self.op("o_proj", self.macs("wo"), 0);
        let sums = Rows { base: buf.t1, rows, cols: q, elem: Elem::F32 };
        let wait = self.sub_norm(sums);
        self.quantise(sums, buf.xq, buf.xs, wait);
        self.lut_waits(sem::OPERAND);
        self.product("wo", self.quantised(q, rows), buf.x, m.hidden, DrainMode::Add);
        self.lut_done();

        self.mlp();
    }

    fn mlp(&mut self) {
        let (m, buf, rows) = (self.model, self.buf, self.phase.rows);
        self.op("mlp_norm", 0, 0);
        self.b.sync(Queue::Vector, FREE.wait(sem::OUT));
        self.normalise(self.x());

        self.op("gate_up", 2 * self.macs("w_gate"), 0);
        self.lut_waits(sem::OPERAND);
        let elem = if self.mapping.hidden == Hidden::F16 { Elem::F16 } else { Elem::F32 };
        let hidden = Rows { base: buf.h, rows, cols: m.intermediate, elem };
        let (gate, up) = (self.tensor("w_gate"), self.tensor("w_up"));
        let x = self.quantised(m.hidden, rows);
        self.stream(reg::W, &gate);
        self.stream(reg::W2, &up);
        self.b.set(reg::H, buf.h);
        let stride = 4 * u64::from(gate.n_tile);
        self.n_tiles(&gate, false, |lower, n, _| {
            let out = |base| Output { base: At(base, 0), stride, mode: DrainMode::Store };
            lower.n_tile(&gate, n, reg::W, x, out(reg::GATE), FREE.wait(sem::GATE_FREE));
            lower.n_tile(&up, n, reg::W2, x, out(reg::UP), FREE.signal(sem::OUT));
            let row = u64::from(hidden.cols) * u64::from(elem.bytes());
            lower.b.plain(T_X, At(reg::GATE, 0), dim(rows), dim(n), stride, Elem::F32);
            lower.b.plain(T_Y, At(reg::UP, 0), dim(rows), dim(n), stride, Elem::F32);
            lower.b.plain(T_D, At(reg::H, 0), dim(rows), dim(n), row, elem);
            lower.b.push(Inst::VGlu {
                f: m.activation,
                d: T_D,
                x: T_X,
                y: T_Y,
                wait: Wait(Some(sem::OUT)),
                signal: Signal(Some(sem::GATE_FREE)),
            });
            lower.b.add(reg::H, reg::H, u64::from(n) * u64::from(elem.bytes()));
            for (ring, base) in [(reg::GATE, buf.gate), (reg::UP, buf.up)] {
                lower.b.ring(ring, buf.gate_bytes, base, base + 2 * buf.gate_bytes);
            }
        });

        self.op("down_proj", self.macs("w_down"), 0);
        if m.sub_norms {
            self.norm_with(hidden, hidden, FREE);
        }
        // Each row takes the place of what it was made of.
        let stride = u64::from(hidden.cols) * u64::from(elem.bytes());
        self.tile(T_X, hidden);
        self.b.plain(T_D, at(buf.h), dim(rows), dim(hidden.cols), stride, self.operand());
        self.tile(T_S, Rows { base: buf.hs, cols: 1, elem: Elem::F32, ..hidden });
        self.b.quant(T_D, T_S, T_X, self.operand_bits(), FREE.signal(sem::OPERAND));
        self.lut_waits(sem::OPERAND);
        let h = Operand { base: at(buf.h), stride, rows, scale: at(buf.hs), scale_stride: 4 };
        self.product("w_down", h, buf.x, m.hidden, DrainMode::Add);
        self.lut_done();
    }

    fn head(&mut self) {
        let (m, buf, rows) = (self.model, self.buf, self.phase.head_rows());
        self.op("final_norm", 0, 0);
        let vector = self.layout.vector("final_norm").copied();
        vector.iter().for_each(|v| self.load_param(v));
        self.b.sync(Queue::Vector, FREE.wait(sem::OUT));
        let skipped = u64::from(self.phase.rows - rows) * 4 * u64::from(m.hidden);
        self.normalise(Rows { base: buf.x + skipped, rows, ..self.x() });

        let tensor = self.tensor("head");
        self.op("head", u64::from(rows) * u64::from(tensor.n) * u64::from(tensor.k), 0);
        self.lut_waits(sem::OPERAND);
        let x = self.quantised(m.hidden, rows);
        let sampling = self.workload.sampling;
        let (free, ready) =
            if sampling { (sem::LOGIT_STORED, sem::LOGIT_OUT) } else { (sem::GATE_FREE, sem::OUT) };
        if sampling {
            self.tokens(Queue::Store, FREE.signal(sem::LOGIT_STORED), 2);
            self.b.set(reg::H, self.layout.logits.addr);
            self.b.mad(reg::H, reg::H, SEQUENCE, self.layout.logits.row_bytes());
        } else {
            self.b.set(reg::H, 0);
        }
        self.stream(reg::W, &tensor);
        self.b.set(reg::GATE, buf.logit);
        let stride = 4 * u64::from(tensor.n_tile);
        let result = |lower: &mut Self| {
            lower.b.plain(T_D, at(buf.result), dim(rows), dim(2), 8, Elem::U32);
        };
        self.n_tiles(&tensor, !sampling, |lower, n, first| {
            let out = Output { base: At(reg::GATE, 0), stride, mode: DrainMode::Store };
            lower.n_tile(&tensor, n, reg::W, x, out, FREE.wait(free).signal(ready));
            lower.b.plain(T_X, At(reg::GATE, 0), dim(rows), dim(n), stride, Elem::F32);
            if sampling {
                let tokens = FREE.wait(ready).signal(free);
                let row = lower.layout.logits.row_bytes();
                lower.b.store(T_X, At(reg::H, 0), row, ByteClass::Result, tokens);
                lower.b.add(reg::H, reg::H, 4 * u64::from(n));
            } else {
                result(lower);
                lower.b.push(Inst::VArgMax {
                    d: T_D,
                    x: T_X,
                    base: Dim::Reg(reg::H),
                    first: if first { First::Yes } else { First::No },
                    wait: Wait(Some(ready)),
                    signal: Signal(Some(free)),
                });
                lower.b.add(reg::H, reg::H, u64::from(n));
            }
            lower.b.ring(reg::GATE, buf.logit_bytes, buf.logit, buf.logit + 2 * buf.logit_bytes);
        });
        if sampling {
            self.tokens(Queue::Lut, FREE.wait(sem::LOGIT_STORED), 2);
        } else {
            self.op("result", 0, 0);
            self.b.sync(Queue::Vector, FREE.signal(sem::TO_STORE));
            result(self);
            let table = self.layout.result;
            self.b.set(reg::W, table.addr);
            self.b.mad(reg::W, reg::W, SEQUENCE, table.row_bytes());
            self.b.store(T_D, At(reg::W, 0), table.row_bytes(), ByteClass::Result, FREE.wait(sem::TO_STORE));
        }
    }

    /// Multiply-accumulates of a tensor with the step's rows.
    fn macs(&self, name: &str) -> u64 {
        let tensor = self.tensor(name);
        u64::from(self.phase.rows) * u64::from(tensor.n) * u64::from(tensor.k)
    }
    fn x(&self) -> Rows {
        Rows { base: self.buf.x, rows: self.phase.rows, cols: self.model.hidden, elem: Elem::F32 }
    }
    fn rope_rows(&self) -> Rows {
        Rows { base: self.buf.rope, rows: self.phase.rows, cols: self.model.rope.dims, elem: Elem::F32 }
    }
    /// Quantised rows in XQ.
    fn quantised(&self, cols: u32, rows: u32) -> Operand {
        let stride = u64::from(cols) * u64::from(self.workload.activation_bytes());
        Operand { base: at(self.buf.xq), stride, rows, scale: at(self.buf.xs), scale_stride: 4 }
    }
    fn tile(&mut self, id: TileId, rows: Rows) {
        let stride = u64::from(rows.cols) * u64::from(rows.elem.bytes());
        self.b.plain(id, at(rows.base), dim(rows.rows), dim(rows.cols), stride, rows.elem);
    }

    /// A product into rows of `cols` FP32 at `to`.
    fn product(&mut self, name: &str, a: Operand, to: u64, cols: u32, mode: DrainMode) {
        let tensor = self.tensor(name);
        self.gemm(&tensor, a, Output { base: at(to), stride: 4 * u64::from(cols), mode });
    }

    /// Fetches a norm or bias into the next parameter slot.
    fn load_param(&mut self, vector: &Vector) {
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
    fn next_param(&mut self, ring: Reg) {
        let buf = self.buf;
        self.b.ring(ring, buf.param_slot, buf.param, buf.param + buf.param_slots * buf.param_slot);
    }

    /// The next parameter's norm of `x` into `d`.
    fn norm_with(&mut self, d: Rows, x: Rows, tokens: Tokens) {
        if tokens.wait.is_some() {
            self.b.sync(Queue::Vector, tokens);
        }
        self.tile(T_D, d);
        self.tile(T_X, x);
        self.b.plain(T_W, At(reg::PARAM, 0), dim(1), dim(x.cols), 0, Elem::F16);
        let tokens = FREE.wait(sem::PARAM_LOADED).signal(sem::PARAM_FREE);
        self.b.norm(T_D, T_X, T_W, self.model.norm_eps, tokens);
        self.next_param(reg::PARAM);
    }
    /// Norm and quantisation of residual rows into XQ.
    fn normalise(&mut self, x: Rows) {
        let normed = Rows { base: self.buf.xn, ..x };
        self.norm_with(normed, x, FREE);
        self.quantise(normed, self.buf.xq, self.buf.xs, FREE);
    }
    /// The norm before the output projection, if the model has it; returns what the next one must wait for.
    fn sub_norm(&mut self, x: Rows) -> Tokens {
        let wait = FREE.wait(sem::OUT);
        if !self.model.sub_norms {
            return wait;
        }
        self.norm_with(x, x, wait);
        FREE
    }
    /// The bias of a projection, if the model has it; returns what the next one must wait for.
    fn bias(&mut self, x: Rows) -> Tokens {
        let wait = FREE.wait(sem::OUT);
        if !self.model.qkv_bias {
            return wait;
        }
        self.b.sync(Queue::Vector, wait);
        self.tile(T_D, x);
        self.b.plain(T_W, At(reg::PARAM, 0), dim(1), dim(x.cols), 0, Elem::F16);
        self.b.vadd(T_D, T_D, T_W, FREE.wait(sem::PARAM_LOADED).signal(sem::PARAM_FREE));
        self.next_param(reg::PARAM);
        FREE
    }
    fn rotate(&mut self, x: Rows, tokens: Tokens) {
        self.tile(T_D, x);
        self.tile(T_Y, self.rope_rows());
        let (head, dims) = (self.b.imm16(self.model.head_dim), self.b.imm16(self.model.rope.dims));
        self.b.push(Inst::VRope {
            pairing: self.model.rope.pairing,
            d: T_D,
            x: T_D,
            tab: T_Y,
            head,
            dims,
            wait: Wait(tokens.wait),
            signal: Signal(tokens.signal),
        });
    }
    /// Rows to the operand of a product, each with its scale.
    fn quantise(&mut self, x: Rows, to: u64, scales: u64, tokens: Tokens) {
        self.tile(T_X, x);
        self.tile(T_D, Rows { base: to, elem: self.operand(), ..x });
        self.tile(T_S, Rows { base: scales, cols: 1, elem: Elem::F32, ..x });
        let bits = self.operand_bits();
        self.b.quant(T_D, T_S, T_X, bits, tokens.signal(sem::OPERAND));
    }

    /// Rows of keys or values to what the KV cache holds, in place.
    fn quantise_kv(&mut self, x: Rows, scales: u64, tokens: Tokens) {
        let m = self.model;
        let heads = Rows { rows: x.rows * m.kv_heads, cols: m.head_dim, ..x };
        let tokens = tokens.signal(sem::TO_STORE);
        let (cols, elem) = self.kv_codes();
        self.tile(T_X, heads);
        self.b.plain(T_D, at(x.base), dim(heads.rows), dim(cols), 4 * u64::from(m.head_dim), elem);
        match self.workload.kv {
            WeightKind::KvF16 => self.b.copy(T_D, T_X, tokens),
            kind => {
                self.tile(T_S, Rows { base: scales, cols: 1, elem: Elem::F16, ..heads });
                self.b.quant(T_D, T_S, T_X, if kind == WeightKind::Kv4 { 4 } else { 8 }, tokens);
            }
        }
    }
    /// Elements of a new token's codes of one head.
    fn kv_codes(&self) -> (u32, Elem) {
        match self.workload.kv {
            WeightKind::KvF16 => (self.model.head_dim, Elem::F16),
            WeightKind::Kv4 => (self.model.head_dim.div_ceil(2), Elem::U8),
            _ => (self.model.head_dim, Elem::I8),
        }
    }
    /// New tokens to the KV cache.
    fn store_kv(&mut self, x: Rows, scales: u64, to_codes: u64, to_scales: u64) {
        let kv = self.layout.kv;
        let (cols, elem) = self.kv_codes();
        let rows = x.rows * self.model.kv_heads;
        self.b.sync(Queue::Store, FREE.wait(sem::TO_STORE));
        let row = 4 * u64::from(self.model.head_dim);
        let (decode, heads) = (self.phase.decode, u64::from(self.model.kv_heads));
        // From item to item, and from token to token.
        let streams = [
            (Some(x.base), to_codes, cols, elem, row, kv.code_stride, kv.row_bytes),
            (self.workload.kv_scaled().then_some(scales), to_scales, 1, Elem::F16, 2, kv.scale_stride, 2),
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
        self.b.sync(Queue::Store, FREE.signal(sem::KV_FREE));
    }
}
