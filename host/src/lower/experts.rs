//! An MLP of experts: the router, and the experts of the doorbell's list one after the other, each for all rows.
//!
//! ```text
//! lut      router               gate up   down        gate up   down
//! vector           top-k . softmax     glu   scale by p        glu   scale by p
//! load                     | the weights of the first expert, of the second, ...
//! ```
//! A row's weight p is multiplied into the scale of its hidden activations, so the drain adds p times the expert's result to the
//! residual. The weights' addresses are known when the router's result is: the load queue waits for it.

use lutsim_isa::Inst;
use lutsim_isa::field::{DrainMode, Imm16, Queue, Signal, Wait};
use lutsim_isa::format::Elem;

use super::asm::{At, FREE, ZERO, at, dim};
use super::gemm::Operand;
use super::vector::{Rows, T_D, T_S, T_X, T_Y};
use super::{Lower, reg, sem};
use crate::model::Experts;

impl Lower<'_> {
    /// From the normalised rows in XQ to the residual.
    pub(super) fn experts(&mut self, experts: Experts, hidden: Rows) {
        let (m, buf, rows) = (self.model, self.buf, self.phase.rows);
        let run = experts.of_rows(rows);
        self.op("router", self.macs("w_router"), 0);
        self.lut_waits(sem::OPERAND);
        let x = self.quantised(m.hidden, rows);
        self.product("w_router", x, buf.route, experts.count, DrainMode::Store);
        self.lut_done();
        self.tile(T_X, Rows { base: buf.route, rows, cols: experts.count, elem: Elem::F32 });
        let used = self.b.imm16(experts.used);
        self.route(used);
        self.b.sync(Queue::Load, FREE.wait(sem::ROUTED));
        // The layer's list.
        self.b.ceildiv(reg::LIST, reg::LAYER, self.layout.layer_stride);
        self.b.mad(reg::LIST, ZERO, reg::LIST, run.into());

        let start = self.b.begin(dim(run));
        self.b.mail(reg::EXPERT, reg::LIST, rows.into());
        self.b.add(reg::LIST, reg::LIST, 1);
        self.op("gate_up", u64::from(run) * 2 * self.macs("w_gate"), 0);
        self.gate_up(hidden);
        self.op("down_proj", u64::from(run) * self.macs("w_down"), 0);
        let h = self.weighed(hidden, experts);
        self.lut_waits(sem::OPERAND);
        self.product("w_down", h, buf.x, m.hidden, DrainMode::Add);
        self.b.end(start);
        self.lut_done();
    }

    /// The rows' weights of the experts they take.
    fn route(&mut self, used: Imm16) {
        let (wait, signal) = (Wait(Some(sem::OUT)), Signal(Some(sem::ROUTED)));
        self.b.push(Inst::VRoute { d: T_X, x: T_X, used, wait, signal });
    }

    /// The hidden rows as the operand of the down projection, each with its scale times its weight of the expert.
    fn weighed(&mut self, hidden: Rows, experts: Experts) -> Operand {
        let (buf, operand) = (self.buf, self.operand());
        let tables = self.hidden_operand(hidden);
        let bits = 8 * u64::from(self.plain().bytes());
        self.b.quant(T_D, T_S, T_X, bits, FREE);
        self.b.mad(reg::COLUMN_P, ZERO, reg::EXPERT, 4);
        let p = At(reg::COLUMN_P, buf.route);
        self.b.plain(T_Y, p, dim(hidden.rows), dim(1), 4 * u64::from(experts.count), Elem::F32);
        let signal = Signal((!operand.is_table()).then_some(sem::OPERAND));
        self.b.push(Inst::VMul { d: T_S, x: T_S, y: T_Y, wait: Wait(None), signal });
        self.tabulate(T_X, T_D, operand, tables);
        let stride = tables.3;
        Operand {
            base: at(buf.ht),
            stride,
            rows: hidden.rows,
            scale: at(buf.hs),
            scale_stride: 4,
            floats: (buf.h, hidden.elem),
        }
    }
}
