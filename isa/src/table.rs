//! The instruction table: one row per instruction, and nothing else.

use crate::define::define_isa;
use crate::field::*;
use crate::format::{ByteClass, Format};

define_isa! {
    // Control: executed by the sequencer, one per cycle, in order.
    /// End of the program. The step is over when every queue has drained.
    0x00 "halt" Halt {}
    /// Waits until every queue is empty and every unit has finished.
    0x01 "fence" Fence {}
    /// Repeats the words up to the matching `}` `count` times (zero skips them). At most six loops nest.
    0x02 "loop" Loop { count: Dim, body: Body }
    /// Closes the innermost loop.
    0x03 "}" End {}
    /// rd = value.
    0x04 "set" Set { rd: Reg, value: Imm48 }
    /// rd = ra + value.
    0x05 "add" Add { rd: Reg, ra: Reg, value: Imm48 }
    /// rd = ra - rb, not below zero.
    0x06 "sub" Sub { rd: Reg, ra: Reg, rb: Reg }
    /// rd = ra + rb * factor.
    0x07 "mad" Mad { rd: Reg, ra: Reg, rb: Reg, factor: Imm32 }
    /// rd = the smaller of ra and value.
    0x08 "min" Min { rd: Reg, ra: Reg, value: Imm32 }
    /// rd = ra / value, rounded up.
    0x09 "ceildiv" CeilDiv { rd: Reg, ra: Reg, value: Imm32 }
    /// rd = rd + step, back to `base` when that reaches `end`: the next slot of a ring buffer in scratchpad.
    0x0a "ring" Ring { rd: Reg, step: Imm24, base: Imm24, end: Imm24 }
    /// Describes a tile in scratchpad: `rows` x `cols` elements of `format` at `base` + `offset`, rows `stride` bytes apart.
    /// Of a weight tile, rows are N and cols are K, and the stride is not used.
    0x0b "tile" Tile { td: TileId, base: Reg, offset: Imm24, rows: Dim, cols: Dim, stride: Imm24, format: Format }
    /// Takes and gives semaphores in a queue, and does nothing else there.
    0x0c "sync." Sync { queue: Queue, wait: Wait, signal: Signal }
    /// rd = mailbox[ra + offset]: what the host's doorbell carries, such as the experts of a layer.
    0x0d "mail" Mail { rd: Reg, ra: Reg, offset: Imm32 }

    // Transfer: executed by the two DMA engines.
    /// DRAM at `base` + `offset`, rows `stride` bytes apart, through the unpacker into a tile.
    0x10 "load." Load { unpack: Unpack, td: TileId, base: Reg, offset: Imm32, stride: Imm24, class: ByteClass, wait: Wait, signal: Signal }
    /// Row i of the tile from DRAM row `mailbox[first + i]`, rows `stride` bytes apart: embedding look-up by token id.
    0x11 "gather" Gather { td: TileId, base: Reg, offset: Imm32, stride: Imm24, first: Dim, class: ByteClass, wait: Wait, signal: Signal }
    /// A tile to DRAM at `base` + `offset`, rows `stride` bytes apart.
    0x12 "store" Store { ts: TileId, base: Reg, offset: Imm32, stride: Imm24, class: ByteClass, wait: Wait, signal: Signal }
    /// In the load queue, once the loads before it are over: tells the memory controllers that this is a good moment to refresh,
    /// and to count the interval from here. Over at the next common edge of the core's and the memory's clock.
    0x13 "refresh" Refresh { wait: Wait, signal: Signal }

    // LUT: executed by the gang of cores.
    /// Partial sums += A (M x K) x W (N x K) transposed, M <= R m rows, N <= C n columns; `first` clears the partial sums before.
    /// The partial sums stay in the cores; activation scales are applied by `drain`.
    0x20 "lmma." Lmma { ty: LmmaType, a: TileId, w: TileId, grid: Grid, first: First, wait: Wait, signal: Signal }
    /// O (M x N) = (or +=) partial sums x the activation scale of each row (`scale`: M x 1 FP32).
    0x21 "drain." Drain { mode: DrainMode, o: TileId, scale: TileId, grid: Grid, wait: Wait, signal: Signal }

    // Vector: executed by the vector unit, tile to tile, row by row.
    /// Normalises each row of `x` with the weights in `w`.
    0x40 "vnorm." VNorm { norm: Norm, d: TileId, x: TileId, w: TileId, eps: F32, wait: Wait, signal: Signal }
    /// Rotates the first `dims` elements of each head (`head` elements) by the row's cosines and sines in `tab` (dims/2 of each).
    0x41 "vrope." VRope { pairing: Rope, d: TileId, x: TileId, tab: TileId, head: Imm16, dims: Imm16, wait: Wait, signal: Signal }
    /// Row-wise softmax of x * scale over the first `valid` columns (plus the row's number if causal); the rest becomes 0.
    0x42 "vsoftmax." VSoftmax { mask: Mask, d: TileId, x: TileId, valid: Dim, scale: F32, wait: Wait, signal: Signal }
    /// d = f(x).
    0x43 "vact." VAct { f: Act, d: TileId, x: TileId, wait: Wait, signal: Signal }
    /// d = f(x) * y: the gate of a gated MLP.
    0x44 "vglu." VGlu { f: Act, d: TileId, x: TileId, y: TileId, wait: Wait, signal: Signal }
    /// d = x + y; a `y` of one row is added to every row.
    0x45 "vadd" VAdd { d: TileId, x: TileId, y: TileId, wait: Wait, signal: Signal }
    /// d = x * y; a `y` of one row multiplies every row.
    0x46 "vmul" VMul { d: TileId, x: TileId, y: TileId, wait: Wait, signal: Signal }
    /// d = x in d's element type, rounded to nearest even.
    0x47 "vcopy" VCopy { d: TileId, x: TileId, wait: Wait, signal: Signal }
    /// Rounds each row to +-(2^(b-1) - 1), b the bits of d (8, or 4 packed two to a byte), scale = absolute maximum / that,
    /// written to `s` (FP32 or FP16, in which case the rounded scale is the one divided by).
    0x48 "vquant" VQuant { d: TileId, s: TileId, x: TileId, bits: Imm16, wait: Wait, signal: Signal }
    /// As `vquant` to 8 bits, of each row of `x` times the row `f`: folds a scale that varies along K into the activation.
    0x49 "vfold" VFold { d: TileId, s: TileId, x: TileId, f: TileId, wait: Wait, signal: Signal }
    /// Per row, d = (largest value, its column + base), the first of equals; a NaN is larger than all numbers; goes on from d unless `first`.
    0x4a "vargmax" VArgMax { d: TileId, x: TileId, base: Dim, first: First, wait: Wait, signal: Signal }
    /// As `vsoftmax`, of x * scale + slope * column: attention with linear biases. `slope` holds one FP32 per row, or one for all.
    0x4b "valibi." VAlibi { mask: Mask, d: TileId, x: TileId, slope: TileId, valid: Dim, scale: F32, wait: Wait, signal: Signal }
    /// Half-tables of each row's activations, four to a table: INT8 to `t8`, FP16 to `t16`. `lmma` takes them in place of activations.
    0x4c "vtable" VTable { d: TileId, x: TileId, wait: Wait, signal: Signal }
    /// d = cap * tanh(x * scale): scores or logits kept within +-cap (Gemma 2).
    0x4d "vcap" VCap { d: TileId, x: TileId, scale: F32, cap: F32, wait: Wait, signal: Signal }
    /// As `vsoftmax`, but a row sees the last `window` of those columns only.
    0x4e "vwindow." VWindow { mask: Mask, d: TileId, x: TileId, valid: Dim, window: Dim, scale: F32, wait: Wait, signal: Signal }
    /// Row-wise softmax over the `used` largest elements, the first of equals; the rest becomes 0: a token's weights of its experts.
    0x4f "vroute" VRoute { d: TileId, x: TileId, used: Imm16, wait: Wait, signal: Signal }
    /// D (M x N) = X (M x K) x W (N x K) transposed, `w` in FP16 or FP32: matrices that are kept as floats.
    0x50 "vdot" VDot { d: TileId, x: TileId, w: TileId, wait: Wait, signal: Signal }
}

/// SHA-256 of the table's text: two programs with the same hash were built for the same instructions.
pub fn table_hash() -> [u8; 32] {
    use sha2::Digest;
    let mut hash = sha2::Sha256::new();
    for row in Inst::TABLE {
        hash.update(format!("{:02x} {}", row.opcode, row.mnemonic));
        for operand in row.operands {
            hash.update(format!(" {}:{}:{}", operand.name, operand.kind, operand.bits));
        }
        hash.update("\n");
    }
    hash.finalize().into()
}
