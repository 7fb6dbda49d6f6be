//! A whole step: embedding, layers, head.

use lutsim_isa::Inst;
use lutsim_isa::field::{Dim, DrainMode, First, Queue, Signal, Unpack, Wait};
use lutsim_isa::format::{ByteClass, Elem};

use super::asm::{At, FREE, Tokens, at, dim};
use super::gemm::{Operand, Output};
use super::vector::{Rows, T_D, T_X, T_Y};
use super::{Lower, POSITION, SEQUENCE, reg, sem};
use crate::layout::{Tensor, Vector};
use crate::mix::Layers;
use crate::model::Positions;

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
            (Queue::Vector, sem::FOLD_FREE, 2, Queue::Load),
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
        if !self.windowed() {
            self.attention_lengths();
        }
        self.attention_buffers();
        self.embedding();
        self.b.set(reg::LAYER, 0);
        self.layers();
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
        let wait = FREE.wait(sem::PARAM_LOADED);
        let norm = layout.vector("embedding_norm").copied();
        match self.model.positions {
            Positions::Learned(learned) => {
                // All sequences of a batch are at the same position.
                let rows = if self.phase.decode { 1 } else { rows };
                self.position_rows(u64::from(learned.offset));
                self.tile(T_Y, Rows { base: buf.t0, rows, ..half });
                let stride = layout.positions.row_bytes();
                self.b.load(Unpack::Plain, T_Y, At(reg::W, 0), stride, ByteClass::Embedding, tokens);
                self.b.sync(Queue::Vector, wait);
                self.tile(T_D, self.x());
                self.b.vadd(T_D, T_X, T_Y, wait);
                norm.iter().for_each(|norm| {
                    self.load_param(norm);
                    self.norm_with(self.x(), self.x(), FREE);
                });
            }
            Positions::Rotary(_) | Positions::Alibi => match norm {
                Some(norm) => {
                    self.load_param(&norm);
                    self.norm_with(self.x(), half, wait);
                }
                None => {
                    self.tile(T_D, self.x());
                    self.b.copy(T_D, T_X, wait);
                }
            },
        }
        match self.model.positions {
            Positions::Rotary(_) => {
                // Those of the step's positions, the same for all sequences of a batch.
                self.position_rows(0);
                self.tile(T_Y, self.rope_rows());
                let stride = if self.phase.decode { 0 } else { layout.positions.row_bytes() };
                self.b.load(Unpack::Plain, T_Y, At(reg::W, 0), stride, ByteClass::Rope, tokens);
                self.b.sync(Queue::Vector, wait);
            }
            Positions::Alibi => {
                let rows = self.phase.slope_rows() as u32;
                let slopes = Rows { base: buf.positions, rows, cols: self.model.heads, elem: Elem::F32 };
                self.b.set(reg::W, layout.positions.addr);
                self.tile(T_Y, slopes);
                self.b.load(Unpack::Plain, T_Y, At(reg::W, 0), 0, ByteClass::Rope, tokens);
                self.b.sync(Queue::Vector, wait);
            }
            Positions::Learned(_) => {}
        }
    }

    /// Points W at the row of the step's first position, `first` rows into the table.
    fn position_rows(&mut self, first: u64) {
        let table = self.layout.positions;
        self.b.set(reg::W, table.addr + first * table.row_bytes());
        self.b.mad(reg::W, reg::W, POSITION, table.row_bytes());
    }

    fn layers(&mut self) {
        let mut first = 0;
        for repeat in self.model.repeats() {
            let (times, period) = (repeat.times, repeat.kinds.len() as u32);
            let start = self.b.begin(dim(times));
            for (layer, &kind) in (first..).zip(&repeat.kinds) {
                (self.layers, self.kind) = (Some(Layers { first: layer, times, period }), kind);
                self.window = self.model.window(layer);
                self.layer();
                self.b.add(reg::LAYER, reg::LAYER, self.layout.layer_stride);
            }
            self.b.end(start);
            first += times * period;
        }
        (self.layers, self.window) = (None, None);
    }

    /// A layer. The new keys and values go to DRAM when all three projections are done: the place that they are written to is another
    /// in every step, and weights that come meanwhile would come otherwise.
    fn layer(&mut self) {
        let (m, buf, rows, decode) = (self.model, self.buf, self.phase.rows, self.phase.decode);
        let (q, kv) = (m.q_width(), m.kv_width());
        self.op("attn_norm", 0, 0);
        if !self.settles() {
            self.b.refresh();
        }
        let params: Vec<Vector> = self.layout.vectors.iter().filter(|v| v.per_layer).copied().collect();
        params.iter().for_each(|p| self.load_param(p));
        self.settle(FREE.wait(sem::OUT));
        self.normalise(self.x(), &["wk", "wv", "wq"]);
        self.settle(FREE);

        let x = self.quantised(m.hidden, rows);
        self.op("k_proj", self.macs("wk"), 0);
        self.lut_waits(sem::OPERAND);
        self.product("wk", x, buf.t0, kv, DrainMode::Store);
        self.lut_done();
        let keys = Rows { base: buf.t0, rows, cols: kv, elem: Elem::F32 };
        let wait = self.bias(m.qkv_bias, keys);
        let wait = self.rotate(keys, wait);
        self.op("kv_write", 0, 0);
        self.quantise_kv(keys, buf.kc, buf.ks, wait);

        self.op("v_proj", self.macs("wv"), 0);
        self.product("wv", x, buf.t1, kv, DrainMode::Store);
        self.lut_done();
        let values = Rows { base: buf.t1, rows, cols: kv, elem: Elem::F32 };
        let wait = self.bias(m.qkv_bias, values);
        self.op("kv_write", 0, 0);
        self.quantise_kv(values, buf.vc, buf.vs, wait);

        self.op("q_proj", self.macs("wq"), 0);
        if !decode {
            // The values have left T1, where the queries go.
            self.b.sync(Queue::Vector, FREE.signal(sem::OPERAND));
            self.lut_waits(sem::OPERAND);
        }
        self.product("wq", x, buf.tq, q, DrainMode::Store);
        self.op("kv_write", 0, 0);
        self.lut_done();
        self.b.sync(Queue::Vector, FREE.wait(sem::OUT).signal(sem::TO_STORE));
        // Keys, values and this.
        (0..3).for_each(|_| self.b.sync(Queue::Store, FREE.wait(sem::TO_STORE)));
        self.store_kv(buf.kc, buf.ks, self.layout.kv.k_codes, self.layout.kv.k_scales);
        self.store_kv(buf.vc, buf.vs, self.layout.kv.v_codes, self.layout.kv.v_scales);
        self.b.sync(Queue::Store, FREE.signal(sem::KV_FREE));
        self.op("q_proj", 0, 0);
        self.lut_done();
        let queries = Rows { base: buf.tq, rows, cols: q, elem: Elem::F32 };
        let wait = self.bias(m.qkv_bias, queries);
        let wait = self.rotate(queries, wait);
        let heads = Rows { rows: rows * m.heads, cols: m.head_dim, ..queries };
        self.quantise(heads, self.attention_operand(), wait);

        self.attention();
        // However long that took.
        self.b.refresh();

        self.op("o_proj", self.macs("wo"), 0);
        let sums = Rows { base: buf.t1, rows, cols: q, elem: Elem::F32 };
        let wait = self.sub_norm(sums);
        self.quantise_for(&["wo"], sums, wait);
        self.settle(FREE);
        self.lut_waits(sem::OPERAND);
        // The keys and values have left T0.
        let sums = Operand { floats: (sums.base, sums.elem), ..self.quantised(q, rows) };
        self.residual("wo", sums, m.output_bias, buf.t0);

        self.mlp();
    }

    /// The vector unit waits for `tokens`. A refresh waits for it, where the step [settles](Self::settles).
    fn settle(&mut self, tokens: Tokens) {
        if self.settles() {
            self.b.sync(Queue::Vector, tokens.signal(sem::SETTLED));
            self.b.sync(Queue::Load, FREE.wait(sem::SETTLED));
            self.b.refresh();
        } else if tokens.wait.is_some() {
            self.b.sync(Queue::Vector, tokens);
        }
    }

    /// In prefill the cores are what everything waits for: weights that came before them would find them at another point in every
    /// chunk. So the cores wait for the first tile of weights there, behind a refresh when the norm begins, so that as many are owed in every
    /// layer when it is over, and another one then; what follows is the same for every layer and chunk. Where these two tiles are more
    /// than a 64th of a layer, it does without.
    fn settles(&self) -> bool {
        let tile = |name| {
            let tensor = self.tensor(name);
            tensor.tile_bytes(tensor.n_tile)
        };
        let mine = |t: &&Tensor| t.per_layer && t.kind == self.kind;
        let layer: u64 = self.layout.tensors.iter().filter(mine).map(Tensor::bytes).sum();
        !self.phase.decode && 64 * (tile("wk") + tile("wo")) <= layer
    }

    fn head(&mut self) {
        let (m, buf, rows) = (self.model, self.buf, self.phase.head_rows());
        self.op("final_norm", 0, 0);
        let vector = self.layout.vector("final_norm").copied();
        vector.iter().for_each(|v| self.load_param(v));
        self.b.sync(Queue::Vector, FREE.wait(sem::OUT));
        let skipped = u64::from(self.phase.rows - rows) * 4 * u64::from(m.hidden);
        self.normalise(Rows { base: buf.x + skipped, rows, ..self.x() }, &["head"]);

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
        // Where the cores' results go next; capped logits pass through the vector unit on the way to DRAM.
        let cap = m.logit_cap;
        let (drained, taken) =
            if sampling && cap.is_some() { (sem::OUT, sem::TO_STORE) } else { (ready, ready) };
        self.b.refresh();
        self.stream(reg::W, &tensor);
        self.b.set(reg::GATE, buf.logit);
        let stride = 4 * u64::from(tensor.n_tile);
        let result = |lower: &mut Self| {
            lower.b.plain(T_D, at(buf.result), dim(rows), dim(2), 8, Elem::U32);
        };
        self.n_tiles(&tensor, !sampling, |lower, n, first| {
            let out = Output { base: At(reg::GATE, 0), stride, mode: DrainMode::Store };
            lower.n_tile(&tensor, n, reg::W, x, out, FREE.wait(free).signal(drained));
            lower.b.plain(T_X, At(reg::GATE, 0), dim(rows), dim(n), stride, Elem::F32);
            if let Some(cap) = cap {
                let tokens = FREE.wait(drained).signal_if(sampling, taken);
                lower.b.cap(T_X, 1.0 / cap, cap, tokens);
            }
            if sampling {
                let tokens = FREE.wait(taken).signal(free);
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
                    wait: Wait(cap.is_none().then_some(ready)),
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
}
