//! Emits instructions: loops that close themselves, operands checked for width.

use lutsim_isa::field::*;
use lutsim_isa::format::{ByteClass, Elem, Format, WeightFormat};
use lutsim_isa::{Inst, Program};

/// A register by number.
pub(crate) const fn r(n: u64) -> Reg {
    match Reg::new(n) {
        Some(reg) => reg,
        None => panic!("registers go up to r31"),
    }
}
/// A tile by number.
pub(crate) const fn t(n: u64) -> TileId {
    match TileId::new(n) {
        Some(tile) => tile,
        None => panic!("tiles go up to t63"),
    }
}
/// A semaphore by number.
pub(crate) const fn s(n: u64) -> Sem {
    match Sem::new(n) {
        Some(sem) => sem,
        None => panic!("semaphores go up to s31"),
    }
}

/// What an instruction waits for and what it signals.
#[derive(Clone, Copy, Default)]
pub(crate) struct Tokens {
    pub(crate) wait: Option<Sem>,
    pub(crate) signal: Option<Sem>,
}
/// Neither.
pub(crate) const FREE: Tokens = Tokens { wait: None, signal: None };
impl Tokens {
    pub(crate) const fn wait(self, sem: Sem) -> Self {
        Self { wait: Some(sem), ..self }
    }
    pub(crate) const fn signal(self, sem: Sem) -> Self {
        Self { signal: Some(sem), ..self }
    }
    pub(crate) fn wait_if(self, yes: bool, sem: Sem) -> Self {
        if yes { self.wait(sem) } else { self }
    }
    pub(crate) fn signal_if(self, yes: bool, sem: Sem) -> Self {
        if yes { self.signal(sem) } else { self }
    }
    fn w(self) -> Wait {
        Wait(self.wait)
    }
    fn s(self) -> Signal {
        Signal(self.signal)
    }
}

/// A scratchpad address: a register plus a constant.
#[derive(Clone, Copy)]
pub(crate) struct At(pub(crate) Reg, pub(crate) u64);

/// Always 0.
pub(crate) const ZERO: Reg = r(31);

/// A constant scratchpad address.
pub(crate) const fn at(address: u64) -> At {
    At(ZERO, address)
}
impl At {
    pub(crate) fn plus(self, bytes: u64) -> At {
        At(self.0, self.1 + bytes)
    }
}

/// A program being written.
#[derive(Default)]
pub(crate) struct Asm {
    pub(crate) code: Vec<Inst>,
    /// The first operand that did not fit its field.
    pub(crate) overflow: Option<String>,
}

impl Asm {
    pub(crate) fn pc(&self) -> u32 {
        self.code.len() as u32
    }
    fn fit<T>(&mut self, field: Option<T>, zero: T, value: u64, what: &str) -> T {
        field.unwrap_or_else(|| {
            self.overflow.get_or_insert_with(|| format!("{what} of {value} does not fit an instruction"));
            zero
        })
    }
    fn imm24(&mut self, value: u64, what: &str) -> Imm24 {
        self.fit(Imm24::new(value), Imm24::default(), value, what)
    }
    fn imm32(&mut self, value: u64, what: &str) -> Imm32 {
        self.fit(Imm32::new(value), Imm32::default(), value, what)
    }
    fn imm48(&mut self, value: u64) -> Imm48 {
        self.fit(Imm48::new(value), Imm48::default(), value, "an address")
    }
    pub(crate) fn push(&mut self, inst: Inst) {
        self.code.push(inst);
    }

    pub(crate) fn set(&mut self, rd: Reg, value: u64) {
        let value = self.imm48(value);
        self.push(Inst::Set { rd, value });
    }
    pub(crate) fn add(&mut self, rd: Reg, ra: Reg, value: u64) {
        let value = self.imm48(value);
        self.push(Inst::Add { rd, ra, value });
    }
    /// rd = where an address points.
    pub(crate) fn point(&mut self, rd: Reg, to: At) {
        if to.0 == ZERO { self.set(rd, to.1) } else { self.add(rd, to.0, to.1) }
    }
    pub(crate) fn sub(&mut self, rd: Reg, ra: Reg, rb: Reg) {
        self.push(Inst::Sub { rd, ra, rb });
    }
    pub(crate) fn mad(&mut self, rd: Reg, ra: Reg, rb: Reg, factor: u64) {
        let factor = self.imm32(factor, "a stride");
        self.push(Inst::Mad { rd, ra, rb, factor });
    }
    pub(crate) fn ceildiv(&mut self, rd: Reg, ra: Reg, value: u64) {
        let value = self.imm32(value, "a divisor");
        self.push(Inst::CeilDiv { rd, ra, value });
    }
    pub(crate) fn ring(&mut self, rd: Reg, step: u64, base: u64, end: u64) {
        let step = self.imm24(step, "a ring's step");
        let base = self.imm24(base, "a scratchpad address");
        let end = self.imm24(end, "a scratchpad address");
        self.push(Inst::Ring { rd, step, base, end });
    }
    /// Opens a loop for [`Self::end`] to close.
    pub(crate) fn begin(&mut self, count: Dim) -> usize {
        self.push(Inst::Loop { count, body: Body(0) });
        self.code.len() - 1
    }
    pub(crate) fn end(&mut self, start: usize) {
        self.push(Inst::End {});
        let length = (self.code.len() - start - 1) as u32;
        if let Inst::Loop { body, .. } = &mut self.code[start] {
            *body = Body(length);
        }
    }

    pub(crate) fn plain(&mut self, td: TileId, base: At, rows: Dim, cols: Dim, stride: u64, elem: Elem) {
        let offset = self.imm24(base.1, "a scratchpad address");
        let stride = self.imm24(stride, "a tile's stride");
        self.push(Inst::Tile { td, base: base.0, offset, rows, cols, stride, format: Format::Plain(elem) });
    }
    pub(crate) fn weights(&mut self, td: TileId, base: At, n: Dim, k: Dim, format: WeightFormat) {
        let offset = self.imm24(base.1, "a scratchpad address");
        let stride = Imm24::default();
        self.push(Inst::Tile {
            td,
            base: base.0,
            offset,
            rows: n,
            cols: k,
            stride,
            format: Format::Weights(format),
        });
    }
    /// A good moment for the memory to refresh: what follows does not depend on when the last one was.
    pub(crate) fn refresh(&mut self) {
        self.push(Inst::Refresh { wait: FREE.w(), signal: FREE.s() });
    }
    pub(crate) fn sync(&mut self, queue: Queue, tokens: Tokens) {
        self.push(Inst::Sync { queue, wait: tokens.w(), signal: tokens.s() });
    }
    #[allow(clippy::too_many_arguments)] // the operands of one instruction
    pub(crate) fn load(
        &mut self,
        unpack: Unpack,
        td: TileId,
        from: At,
        stride: u64,
        class: ByteClass,
        tokens: Tokens,
    ) {
        let offset = self.imm32(from.1, "an offset in DRAM");
        let stride = self.imm24(stride, "a stride in DRAM");
        self.push(Inst::Load {
            unpack,
            td,
            base: from.0,
            offset,
            stride,
            class,
            wait: tokens.w(),
            signal: tokens.s(),
        });
    }
    pub(crate) fn gather(
        &mut self,
        td: TileId,
        from: At,
        stride: u64,
        first: u32,
        class: ByteClass,
        tokens: Tokens,
    ) {
        let offset = self.imm32(from.1, "an offset in DRAM");
        let stride = self.imm24(stride, "a stride in DRAM");
        let first = Dim::Imm(first);
        self.push(Inst::Gather {
            td,
            base: from.0,
            offset,
            stride,
            first,
            class,
            wait: tokens.w(),
            signal: tokens.s(),
        });
    }
    pub(crate) fn store(&mut self, ts: TileId, to: At, stride: u64, class: ByteClass, tokens: Tokens) {
        let offset = self.imm32(to.1, "an offset in DRAM");
        let stride = self.imm24(stride, "a stride in DRAM");
        self.push(Inst::Store {
            ts,
            base: to.0,
            offset,
            stride,
            class,
            wait: tokens.w(),
            signal: tokens.s(),
        });
    }
    pub(crate) fn lmma(
        &mut self,
        ty: LmmaType,
        a: TileId,
        w: TileId,
        grid: Grid,
        first: bool,
        tokens: Tokens,
    ) {
        let first = if first { First::Yes } else { First::No };
        self.push(Inst::Lmma { ty, a, w, grid, first, wait: tokens.w(), signal: tokens.s() });
    }
    pub(crate) fn drain(&mut self, mode: DrainMode, o: TileId, scale: TileId, grid: Grid, tokens: Tokens) {
        self.push(Inst::Drain { mode, o, scale, grid, wait: tokens.w(), signal: tokens.s() });
    }
    pub(crate) fn norm(&mut self, norm: Norm, d: TileId, x: TileId, w: TileId, eps: f32, tokens: Tokens) {
        let (wait, signal) = (tokens.w(), tokens.s());
        self.push(Inst::VNorm { norm, d, x, w, eps: F32::new(eps), wait, signal });
    }
    pub(crate) fn quant(&mut self, d: TileId, s: TileId, x: TileId, bits: u64, tokens: Tokens) {
        let bits = self.fit(Imm16::new(bits), Imm16::default(), bits, "a number of bits");
        self.push(Inst::VQuant { d, s, x, bits, wait: tokens.w(), signal: tokens.s() });
    }
    pub(crate) fn vdot(&mut self, d: TileId, x: TileId, w: TileId, tokens: Tokens) {
        self.push(Inst::VDot { d, x, w, wait: tokens.w(), signal: tokens.s() });
    }
    pub(crate) fn vadd(&mut self, d: TileId, x: TileId, y: TileId, tokens: Tokens) {
        self.push(Inst::VAdd { d, x, y, wait: tokens.w(), signal: tokens.s() });
    }
    /// rd = an entry of the mailbox, `first` behind the one in a register.
    pub(crate) fn mail(&mut self, rd: Reg, ra: Reg, first: u64) {
        let offset = self.imm32(first, "a mailbox");
        self.push(Inst::Mail { rd, ra, offset });
    }
    /// x to cap * tanh(x * scale), in place.
    pub(crate) fn cap(&mut self, x: TileId, scale: f32, cap: f32, tokens: Tokens) {
        let (wait, signal) = (tokens.w(), tokens.s());
        self.push(Inst::VCap { d: x, x, scale: F32::new(scale), cap: F32::new(cap), wait, signal });
    }
    pub(crate) fn copy(&mut self, d: TileId, x: TileId, tokens: Tokens) {
        self.push(Inst::VCopy { d, x, wait: tokens.w(), signal: tokens.s() });
    }
    pub(crate) fn imm16(&mut self, value: u32) -> Imm16 {
        self.fit(Imm16::new(u64::from(value)), Imm16::default(), u64::from(value), "a head")
    }
    pub(crate) fn finish(self) -> Program {
        Program { code: self.code }
    }
}

/// A constant size.
pub(crate) fn dim(n: u32) -> Dim {
    Dim::Imm(n)
}
