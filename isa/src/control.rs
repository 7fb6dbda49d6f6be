//! The sequencer's meaning: registers, loops, tile descriptors. It turns the next word into something to do.

use std::sync::Arc;

use crate::field::*;
use crate::format::Format;
pub use crate::op::{Dispatch, Op, TileRef, VectorOp};
use crate::program::Program;
use crate::table::Inst;

/// Loops that may nest.
pub const MAX_LOOPS: usize = 6;

/// What one word asked for.
#[derive(Clone, Copy, PartialEq, Debug)]
#[allow(clippy::large_enum_variant)] // a step is made and consumed in place, never stored in bulk
pub enum Step {
    /// Done within the sequencer.
    Control,
    /// Goes to a queue.
    Dispatch(Dispatch),
    /// Everything must drain first.
    Fence,
    /// The program is over.
    Halt,
}

/// What the next word is, its operands not looked at.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Word<'p> {
    /// Done within the sequencer.
    Control,
    /// Done, too: this tile has been described.
    Tile(TileId),
    /// Goes to a queue: [`Control::dispatch`].
    Dispatch(&'p Inst),
    /// Everything must drain first.
    Fence,
    /// The program is over.
    Halt,
}

/// What a word that goes to a queue reads of the sequencer's state: all that its operation depends on.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Reads {
    /// Tiles, in the order of the operands.
    pub tiles: Vec<TileId>,
    /// Sizes.
    pub sizes: Vec<Dim>,
    /// The address in DRAM: a register and how far from there.
    pub address: Option<(Reg, Imm32)>,
}

/// A program that cannot be executed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("instruction {pc}: {kind}")]
pub struct Fault {
    /// The word.
    pub pc: u32,
    /// What is wrong.
    pub kind: FaultKind,
}

/// What is wrong with a word.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum FaultKind {
    #[error("the program runs past its end; close it with `halt`")]
    PastEnd,
    #[error("loops nest deeper than {MAX_LOOPS}")]
    Loops,
    #[error("`}}` without a loop")]
    End,
    #[error("{tile} is used before `tile` describes it")]
    Undescribed { tile: TileId },
    #[error("{sem} belongs to the {} queue, and this is a {queue} instruction", sem.producer())]
    Signal { sem: Sem, queue: Queue },
    #[error("a size of {value} does not fit; sizes go up to 1048575")]
    Size { value: u64 },
    #[error("address {value:#x} is beyond 48 bits")]
    Address { value: u64 },
    #[error("{what}")]
    Operands { what: String },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Frame {
    start: u32,
    left: u64,
}

/// Architectural state of the sequencer.
#[derive(PartialEq, Debug)]
pub struct Control {
    /// Next word.
    pub pc: u32,
    /// r0 to r31.
    pub regs: [u64; 32],
    tiles: [Option<TileRef>; 64],
    loops: Vec<Frame>,
    mailbox: Arc<[u32]>,
}

impl Clone for Control {
    fn clone(&self) -> Self {
        Self { loops: self.loops.clone(), mailbox: self.mailbox.clone(), ..*self }
    }
    /// Without allocating.
    fn clone_from(&mut self, other: &Self) {
        let Self { pc, regs, tiles, loops, mailbox } = self;
        (*pc, *regs, *tiles) = (other.pc, other.regs, other.tiles);
        loops.clone_from(&other.loops);
        mailbox.clone_from(&other.mailbox);
    }
}

const ADDRESS_LIMIT: u64 = 1 << 48;
const SIZE_LIMIT: u64 = 1 << 20;

impl Control {
    /// At the first word, with the runtime registers that the doorbell carries; the others are zero.
    pub fn new(runtime: &[(Reg, u64)]) -> Self {
        let mut regs = [0; 32];
        for &(r, value) in runtime {
            regs[r.index()] = value;
        }
        let loops = Vec::with_capacity(MAX_LOOPS);
        Self { pc: 0, regs, tiles: [None; 64], loops, mailbox: Arc::default() }
    }
    /// The same, with a mailbox.
    pub fn with_mailbox(runtime: &[(Reg, u64)], mailbox: &[u32]) -> Self {
        Self { mailbox: mailbox.into(), ..Self::new(runtime) }
    }

    /// Executes the next word.
    ///
    /// # Errors
    /// A word that has no meaning here; the state is then of no use.
    pub fn step(&mut self, program: &Program) -> Result<Step, Fault> {
        let pc = self.pc;
        match self.advance(program)? {
            Word::Control | Word::Tile(_) => Ok(Step::Control),
            Word::Dispatch(inst) => self.dispatch(inst, pc).map(Step::Dispatch),
            Word::Fence => Ok(Step::Fence),
            Word::Halt => Ok(Step::Halt),
        }
    }

    /// The same, without the operands of a word that goes to a queue.
    ///
    /// # Errors
    /// A word that has no meaning here; the state is then of no use.
    #[inline]
    pub fn advance<'p>(&mut self, program: &'p Program) -> Result<Word<'p>, Fault> {
        let pc = self.pc;
        let inst = program.code.get(pc as usize).ok_or(Fault { pc, kind: FaultKind::PastEnd })?;
        self.pc += 1;
        self.execute(inst).map_err(|kind| Fault { pc, kind })
    }

    /// The operation of a word at `pc` that goes to a queue.
    ///
    /// # Errors
    /// Operands that have no meaning here.
    pub fn dispatch(&self, inst: &Inst, pc: u32) -> Result<Dispatch, Fault> {
        let fault = |kind| Fault { pc, kind };
        let queue = inst.queue().ok_or(fault(FaultKind::PastEnd))?;
        let op = self.resolve(*inst).map_err(fault)?;
        match inst.signal() {
            Some(sem) if sem.producer() != queue => Err(fault(FaultKind::Signal { sem, queue })),
            signal => Ok(Dispatch { queue, wait: inst.wait(), signal, op, pc }),
        }
    }

    /// Turns of the outermost loop that are left, the one under way among them.
    pub fn turns(&self) -> Option<u64> {
        self.loops.first().map(|frame| frame.left)
    }

    fn reg(&self, r: Reg) -> u64 {
        self.regs[r.index()]
    }
    /// What a size is.
    ///
    /// # Errors
    /// A register beyond 20 bits.
    pub fn size(&self, dim: Dim) -> Result<u32, FaultKind> {
        match dim {
            Dim::Imm(n) => Ok(n),
            Dim::Reg(r) => match self.reg(r) {
                value if value < SIZE_LIMIT => Ok(value as u32),
                value => Err(FaultKind::Size { value }),
            },
        }
    }
    /// What a tile is.
    ///
    /// # Errors
    /// One that was not described.
    pub fn tile(&self, tile: TileId) -> Result<TileRef, FaultKind> {
        self.tiles[tile.index()].ok_or(FaultKind::Undescribed { tile })
    }
    /// An address in DRAM.
    ///
    /// # Errors
    /// One beyond 48 bits.
    pub fn address(&self, base: Reg, offset: Imm32) -> Result<u64, FaultKind> {
        match self.reg(base) + u64::from(offset.get()) {
            value if value < ADDRESS_LIMIT => Ok(value),
            value => Err(FaultKind::Address { value }),
        }
    }
    fn set(&mut self, rd: Reg, value: u64) -> Result<Word<'static>, FaultKind> {
        if value >= ADDRESS_LIMIT {
            return Err(FaultKind::Address { value });
        }
        self.regs[rd.index()] = value;
        Ok(Word::Control)
    }

    #[inline]
    fn execute<'p>(&mut self, inst: &'p Inst) -> Result<Word<'p>, FaultKind> {
        match *inst {
            Inst::Halt {} => Ok(Word::Halt),
            Inst::Fence {} => Ok(Word::Fence),
            Inst::Loop { count, body } => {
                let left = match count {
                    Dim::Imm(n) => u64::from(n),
                    Dim::Reg(r) => self.reg(r),
                };
                if left == 0 {
                    self.pc += body.0;
                } else if self.loops.len() == MAX_LOOPS {
                    return Err(FaultKind::Loops);
                } else {
                    self.loops.push(Frame { start: self.pc, left });
                }
                Ok(Word::Control)
            }
            Inst::End {} => {
                let frame = self.loops.last_mut().ok_or(FaultKind::End)?;
                frame.left -= 1;
                if frame.left > 0 {
                    self.pc = frame.start;
                } else {
                    self.loops.pop();
                }
                Ok(Word::Control)
            }
            Inst::Set { rd, value } => self.set(rd, value.get()),
            Inst::Add { rd, ra, value } => self.set(rd, self.reg(ra) + value.get()),
            Inst::Sub { rd, ra, rb } => self.set(rd, self.reg(ra).saturating_sub(self.reg(rb))),
            Inst::Mad { rd, ra, rb, factor } => {
                let product = self.reg(rb).saturating_mul(u64::from(factor.get()));
                self.set(rd, self.reg(ra).saturating_add(product))
            }
            Inst::Min { rd, ra, value } => self.set(rd, self.reg(ra).min(u64::from(value.get()))),
            Inst::CeilDiv { rd, ra, value } => match value.get() {
                0 => Err(FaultKind::Operands { what: "ceildiv by zero".into() }),
                v => self.set(rd, self.reg(ra).div_ceil(u64::from(v))),
            },
            Inst::Ring { rd, step, base, end } => {
                let next = self.reg(rd) + u64::from(step.get());
                self.set(rd, if next >= u64::from(end.get()) { u64::from(base.get()) } else { next })
            }
            Inst::Mail { rd, ra, offset } => {
                let entry = self.reg(ra) + u64::from(offset.get());
                let held = self.mailbox.len();
                match usize::try_from(entry).ok().and_then(|entry| self.mailbox.get(entry)) {
                    Some(&value) => self.set(rd, value.into()),
                    None => {
                        let what = format!("mail: entry {entry} of the mailbox, which holds {held}");
                        Err(FaultKind::Operands { what })
                    }
                }
            }
            Inst::Tile { td, base, offset, rows, cols, stride, format } => {
                let base = self.reg(base) + u64::from(offset.get());
                let tile = TileRef {
                    base: u32::try_from(base).map_err(|_| FaultKind::Address { value: base })?,
                    rows: self.size(rows)?,
                    cols: self.size(cols)?,
                    stride: stride.get(),
                    format,
                };
                self.tiles[td.index()] = Some(tile);
                Ok(Word::Tile(td))
            }
            _ => Ok(Word::Dispatch(inst)),
        }
    }

    fn resolve(&self, inst: Inst) -> Result<Op, FaultKind> {
        let t = |id| self.tile(id);
        let vector = |op| Ok(Op::Vector(op));
        match inst {
            Inst::Sync { .. } => Ok(Op::Sync),
            Inst::Refresh { .. } => Ok(Op::Refresh),
            Inst::Load { unpack, td, base, offset, stride, class, .. } => {
                let (addr, stride) = (self.address(base, offset)?, u64::from(stride.get()));
                Ok(Op::Load { unpack, tile: t(td)?, addr, stride, class })
            }
            Inst::Gather { td, base, offset, stride, first, class, .. } => {
                let (addr, stride) = (self.address(base, offset)?, u64::from(stride.get()));
                Ok(Op::Gather { tile: t(td)?, addr, stride, first: self.size(first)?, class })
            }
            Inst::Store { ts, base, offset, stride, class, .. } => {
                let (addr, stride) = (self.address(base, offset)?, u64::from(stride.get()));
                Ok(Op::Store { tile: t(ts)?, addr, stride, class })
            }
            Inst::Lmma { ty, a, w, grid, first, .. } => {
                let (a, w) = (t(a)?, t(w)?);
                let first = first == First::Yes;
                check_lmma(ty, &a, &w, grid)?;
                Ok(Op::Lmma { ty, a, w, grid, first })
            }
            Inst::Drain { mode, o, scale, grid, .. } => {
                Ok(Op::Drain { mode, o: t(o)?, scale: t(scale)?, grid })
            }
            Inst::VNorm { norm, d, x, w, eps, .. } => {
                vector(VectorOp::Norm { norm, d: t(d)?, x: t(x)?, w: t(w)?, eps: eps.get() })
            }
            Inst::VRope { pairing, d, x, tab, head, dims, .. } => {
                let (head, dims) = (head.get(), dims.get());
                vector(VectorOp::Rope { pairing, d: t(d)?, x: t(x)?, tab: t(tab)?, head, dims })
            }
            Inst::VSoftmax { mask, d, x, valid, scale, .. } => vector(VectorOp::Softmax {
                mask,
                d: t(d)?,
                x: t(x)?,
                valid: self.size(valid)?,
                scale: scale.get(),
            }),
            Inst::VAlibi { mask, d, x, slope, valid, scale, .. } => vector(VectorOp::Alibi {
                mask,
                d: t(d)?,
                x: t(x)?,
                slope: t(slope)?,
                valid: self.size(valid)?,
                scale: scale.get(),
            }),
            Inst::VWindow { mask, d, x, valid, window, scale, .. } => vector(VectorOp::Window {
                mask,
                d: t(d)?,
                x: t(x)?,
                valid: self.size(valid)?,
                window: self.size(window)?,
                scale: scale.get(),
            }),
            Inst::VRoute { d, x, used, .. } => {
                vector(VectorOp::Route { d: t(d)?, x: t(x)?, used: used.get() })
            }
            Inst::VCap { d, x, scale, cap, .. } => {
                vector(VectorOp::Cap { d: t(d)?, x: t(x)?, scale: scale.get(), cap: cap.get() })
            }
            Inst::VAct { f, d, x, .. } => vector(VectorOp::Act { f, d: t(d)?, x: t(x)? }),
            Inst::VGlu { f, d, x, y, .. } => vector(VectorOp::Glu { f, d: t(d)?, x: t(x)?, y: t(y)? }),
            Inst::VAdd { d, x, y, .. } => vector(VectorOp::Add { d: t(d)?, x: t(x)?, y: t(y)? }),
            Inst::VMul { d, x, y, .. } => vector(VectorOp::Mul { d: t(d)?, x: t(x)?, y: t(y)? }),
            Inst::VDot { d, x, w, .. } => vector(VectorOp::Dot { d: t(d)?, x: t(x)?, w: t(w)? }),
            Inst::VCopy { d, x, .. } => vector(VectorOp::Copy { d: t(d)?, x: t(x)? }),
            Inst::VQuant { d, s, x, bits, .. } => {
                vector(VectorOp::Quant { d: t(d)?, s: t(s)?, x: t(x)?, bits: bits.get() })
            }
            Inst::VFold { d, s, x, f, .. } => {
                vector(VectorOp::Fold { d: t(d)?, s: t(s)?, x: t(x)?, f: t(f)? })
            }
            Inst::VTable { d, x, .. } => vector(VectorOp::Table { d: t(d)?, x: t(x)? }),
            Inst::VArgMax { d, x, base, first, .. } => {
                let (base, first) = (self.size(base)?, first == First::Yes);
                vector(VectorOp::ArgMax { d: t(d)?, x: t(x)?, base, first })
            }
            _ => Err(FaultKind::Operands { what: format!("`{inst}` goes to no queue") }),
        }
    }
}

pub(crate) fn check_lmma(ty: LmmaType, a: &TileRef, w: &TileRef, grid: Grid) -> Result<(), FaultKind> {
    let refuse = |what: String| Err(FaultKind::Operands { what });
    let Format::Weights(format) = w.format else {
        return refuse(format!("lmma: the weight tile is of {}, not of a weight format", w.format));
    };
    if format.kind != ty.w {
        return refuse(format!("lmma: the type says {} weights, the tile holds {}", ty.w, format.kind));
    }
    if a.rows > u32::from(ty.m) * u32::from(grid.r) || w.rows > u32::from(ty.n) * u32::from(grid.c) {
        return refuse(format!(
            "lmma: {} rows x {} columns do not fit a {grid} gang of {} x {} cores",
            a.rows, w.rows, ty.m, ty.n
        ));
    }
    if a.cols != w.cols {
        return refuse(format!("lmma: K is {} in the activations and {} in the weights", a.cols, w.cols));
    }
    if ty.halves && (ty.k, ty.entries, ty.a) != (1, Entries::Exact, AType::Fp16) {
        return refuse(format!("lmma: {ty}: weights that become FP16 meet FP16 activations, without tables"));
    }
    if ty.entries == Entries::Int8 {
        if ty.k == 1 {
            return refuse("lmma: a table of one activation is that activation: no entry to round".into());
        }
        if matches!(a.format, Format::Plain(elem) if elem.is_table()) {
            return refuse(format!("lmma: {ty} from tables of {}, whose entries stay as they are", a.format));
        }
    }
    Ok(())
}

impl Inst {
    /// The queue that executes it; `None` for control.
    pub fn queue(&self) -> Option<Queue> {
        match self {
            Inst::Sync { queue, .. } => Some(*queue),
            Inst::Load { .. } | Inst::Gather { .. } | Inst::Refresh { .. } => Some(Queue::Load),
            Inst::Store { .. } => Some(Queue::Store),
            Inst::Lmma { .. } | Inst::Drain { .. } => Some(Queue::Lut),
            i if i.mnemonic().starts_with('v') => Some(Queue::Vector),
            _ => None,
        }
    }
    /// The semaphore it waits for.
    pub fn wait(&self) -> Option<Sem> {
        self.tokens().0.0
    }
    /// The semaphore it signals.
    pub fn signal(&self) -> Option<Sem> {
        self.tokens().1.0
    }
    /// What it reads of the sequencer's state, if it goes to a queue.
    pub fn reads(&self) -> Reads {
        let mut reads = Reads::default();
        self.each_operand(|kind, bits| {
            let operand = (TileId::new(bits).filter(|_| kind == TileId::KIND), Dim::from_bits(bits));
            match operand {
                (Some(tile), _) => reads.tiles.push(tile),
                (_, Some(dim)) if kind == Dim::KIND => reads.sizes.push(dim),
                _ => {}
            }
        });
        if let Inst::Load { base, offset, .. }
        | Inst::Gather { base, offset, .. }
        | Inst::Store { base, offset, .. } = *self
        {
            reads.address = Some((base, offset));
        }
        reads
    }
    fn tokens(&self) -> (Wait, Signal) {
        match *self {
            Inst::Sync { wait, signal, .. }
            | Inst::Refresh { wait, signal }
            | Inst::Load { wait, signal, .. }
            | Inst::Gather { wait, signal, .. }
            | Inst::Store { wait, signal, .. }
            | Inst::Lmma { wait, signal, .. }
            | Inst::Drain { wait, signal, .. }
            | Inst::VNorm { wait, signal, .. }
            | Inst::VRope { wait, signal, .. }
            | Inst::VSoftmax { wait, signal, .. }
            | Inst::VAlibi { wait, signal, .. }
            | Inst::VWindow { wait, signal, .. }
            | Inst::VCap { wait, signal, .. }
            | Inst::VRoute { wait, signal, .. }
            | Inst::VAct { wait, signal, .. }
            | Inst::VGlu { wait, signal, .. }
            | Inst::VAdd { wait, signal, .. }
            | Inst::VMul { wait, signal, .. }
            | Inst::VDot { wait, signal, .. }
            | Inst::VCopy { wait, signal, .. }
            | Inst::VQuant { wait, signal, .. }
            | Inst::VFold { wait, signal, .. }
            | Inst::VTable { wait, signal, .. }
            | Inst::VArgMax { wait, signal, .. } => (wait, signal),
            _ => (Wait(None), Signal(None)),
        }
    }
}
