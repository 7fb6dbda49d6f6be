//! The MLP: tiles of it as they come from the cores, activated into the hidden rows, and the way back.
//!
//! ```text
//! with a gate      lut   gate0 up0  gate1 up1  ...                  without     lut   up0  up1  ...
//!                  vec              f(gate) * up0  ...                          vec        f(up0 + bias)  ...
//! ```

use lutsim_isa::Inst;
use lutsim_isa::field::{Dim, DrainMode, Queue, Signal, Wait};
use lutsim_isa::format::Elem;

use super::asm::{At, FREE, at, dim};
use super::gemm::{Operand, Output};
use super::vector::{Rows, T_D, T_S, T_W, T_X, T_Y};
use super::{Lower, reg, sem};
use crate::mapping::Hidden;

impl Lower<'_> {
    /// From the residual to the residual.
    pub(super) fn mlp(&mut self) {
        let (m, buf, rows) = (self.model, self.buf, self.phase.rows);
        self.op("mlp_norm", 0, 0);
        self.b.sync(Queue::Vector, FREE.wait(sem::OUT));
        let first: &[&str] = match (m.experts, m.gated_mlp) {
            (Some(_), _) => &["w_router", "w_gate", "w_up"],
            (None, true) => &["w_gate", "w_up"],
            (None, false) => &["w_up"],
        };
        self.normalise(self.x(), first);

        let elem = if self.mapping.hidden == Hidden::F16 { Elem::F16 } else { Elem::F32 };
        let hidden = Rows { base: buf.h, rows, cols: m.intermediate, elem };
        if let Some(experts) = m.experts {
            return self.experts(experts, hidden);
        }
        if m.gated_mlp {
            self.op("gate_up", 2 * self.macs("w_gate"), 0);
            self.lut_waits(sem::OPERAND);
            self.gate_up(hidden);
        } else {
            self.up(hidden);
        }

        self.op("down_proj", self.macs("w_down"), 0);
        if m.sub_norms {
            self.norm_with(hidden, hidden, FREE);
        }
        let tables = self.hidden_operand(hidden);
        match self.floats("w_down") {
            true => self.b.sync(Queue::Vector, FREE.signal(sem::OPERAND)),
            false => self.quant(FREE, self.operand(), tables),
        }
        let stride = tables.3;
        self.lut_waits(sem::OPERAND);
        let h = Operand {
            base: at(buf.ht),
            stride,
            rows,
            scale: at(buf.hs),
            scale_stride: 4,
            floats: (buf.h, elem),
        };
        self.residual("w_down", h, m.mlp_bias, buf.y);
    }

    /// Describes the hidden rows in T_X, their codes in T_D and scales in T_S; returns where the product finds them, or their tables.
    pub(super) fn hidden_operand(&mut self, hidden: Rows) -> (At, Dim, Dim, u64) {
        // Each row takes the place of what it was made of.
        let (rows, cols) = (dim(hidden.rows), dim(hidden.cols));
        let stride = u64::from(hidden.cols) * u64::from(hidden.elem.bytes());
        self.tile(T_X, hidden);
        self.b.plain(T_D, at(self.buf.h), rows, cols, stride, self.plain());
        self.tile(T_S, Rows { base: self.buf.hs, cols: 1, elem: Elem::F32, ..hidden });
        let operand = self.operand();
        let stride = if operand.is_table() { operand.row_bytes(hidden.cols) } else { stride };
        (at(self.buf.ht), rows, cols, stride)
    }

    pub(super) fn gate_up(&mut self, hidden: Rows) {
        let (m, buf) = (self.model, self.buf);
        let Rows { rows, elem, .. } = hidden;
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
    }

    fn up(&mut self, hidden: Rows) {
        let (m, buf) = (self.model, self.buf);
        let Rows { rows, elem, .. } = hidden;
        self.op("up_proj", self.macs("w_up"), 0);
        self.lut_waits(sem::OPERAND);
        let up = self.tensor("w_up");
        let x = self.quantised(m.hidden, rows);
        self.stream(reg::W, &up);
        self.b.set(reg::H, buf.h);
        if m.mlp_bias {
            // One transfer for all tiles.
            self.b.sync(Queue::Vector, FREE.wait(sem::PARAM_LOADED));
            self.b.add(reg::BIAS, reg::PARAM, 0);
        }
        let stride = 4 * u64::from(up.n_tile);
        self.n_tiles(&up, false, |lower, n, _| {
            let out = Output { base: At(reg::GATE, 0), stride, mode: DrainMode::Store };
            lower.n_tile(&up, n, reg::W, x, out, FREE.wait(sem::GATE_FREE).signal(sem::OUT));
            lower.b.plain(T_X, At(reg::GATE, 0), dim(rows), dim(n), stride, Elem::F32);
            let mut wait = Wait(Some(sem::OUT));
            if m.mlp_bias {
                lower.b.plain(T_W, At(reg::BIAS, 0), dim(1), dim(n), 0, Elem::F16);
                lower.b.vadd(T_X, T_X, T_W, FREE.wait(sem::OUT));
                lower.b.add(reg::BIAS, reg::BIAS, 2 * u64::from(n));
                wait = Wait(None);
            }
            let row = u64::from(hidden.cols) * u64::from(elem.bytes());
            lower.b.plain(T_D, At(reg::H, 0), dim(rows), dim(n), row, elem);
            let (f, signal) = (m.activation, Signal(Some(sem::GATE_FREE)));
            lower.b.push(Inst::VAct { f, d: T_D, x: T_X, wait, signal });
            lower.b.add(reg::H, reg::H, u64::from(n) * u64::from(elem.bytes()));
            lower.b.ring(reg::GATE, buf.gate_bytes, buf.gate, buf.gate + 2 * buf.gate_bytes);
        });
        if m.mlp_bias {
            self.b.sync(Queue::Vector, FREE.signal(sem::PARAM_FREE));
            self.next_param(reg::PARAM);
        }
    }
}
