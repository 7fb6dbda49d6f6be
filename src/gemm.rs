//! One matrix product as a program: activations, weights and results in DRAM.
//!
//! ```text
//! for each chunk of rows that fits:   load activations, scales; if tables are stored, make them
//!   for each tile of columns:         load its weights (ring of slots)
//!     for each pass of R m rows:      lmma over all K, drain
//!     store the tile of results (two buffers)
//! ```

use std::fmt::Write;

use lutsim_isa::format::{Elem, Group, WeightFormat};
use lutsim_isa::{Program, asm};
use lutsim_sim::config::{Build, Chip};

use crate::failure::UserError;

/// A product: M rows of activations, N output columns, K the reduction length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gemm {
    /// Rows of activations.
    pub m: u32,
    /// Output columns.
    pub n: u32,
    /// Reduction length.
    pub k: u32,
    /// Weights; activations are 8-bit integers with an FP32 scale per row.
    pub format: WeightFormat,
}

/// A product lowered to a chip.
#[derive(Debug, Clone, PartialEq)]
pub struct Lowered {
    /// The program's text.
    pub text: String,
    /// The program.
    pub program: Program,
    /// DRAM address of M x K bytes of activations.
    pub activations: u64,
    /// DRAM address of M FP32 scales.
    pub scales: u64,
    /// DRAM address of the weight records, one per tile of columns.
    pub weights: u64,
    /// DRAM address of M x N FP32 results.
    pub results: u64,
    /// DRAM address of the program.
    pub address: u64,
    /// Columns of a tile.
    pub n_tile: u32,
}

/// How the product is cut.
#[derive(Debug, Clone, Copy)]
struct Cut {
    rows: u32,
    columns: u32,
    n_tile: u32,
    chunk: u32,
    slots: u64,
    slot: u64,
}

const ALIGN: u64 = 1 << 16;

/// Scratchpad that a program of constants can address: the ring's end is a 24-bit constant.
const REACH: u64 = (1 << 24) - 64;

impl Gemm {
    /// Scratchpad that a cut takes.
    fn bytes(&self, chip: &Chip, chunk: u32, n_tile: u32, slots: u64) -> u64 {
        let (chunk, n_tile) = (u64::from(chunk), u64::from(n_tile));
        let activations = (chunk * u64::from(self.k)).next_multiple_of(64) + (4 * chunk).next_multiple_of(64);
        let tables = match chip.lut.build {
            Build::Vector => (chunk * Elem::T8.row_bytes(self.k)).next_multiple_of(64),
            Build::Ingress { .. } | Build::Nobody => 0,
        };
        activations
            + tables
            + slots * self.slot(n_tile as u32)
            + 2 * (4 * chunk * n_tile).next_multiple_of(64)
    }
    fn slot(&self, n_tile: u32) -> u64 {
        self.format.scratchpad_bytes(n_tile, self.k)
    }

    /// Rows are split over R cores as far as there are rows and the square allows, columns over the rest.
    fn cut(&self, chip: &Chip) -> Result<Cut, UserError> {
        let lut = chip.lut;
        let square = 1 << (lut.cores.ilog2() / 2);
        let rows = self.m.div_ceil(lut.m).next_power_of_two().min(square);
        let room = chip.scratchpad.bytes.min(REACH);
        let mut columns = (lut.cores / rows).min(255).min(self.n.div_ceil(lut.n));
        let mut n_tile = columns * lut.n;
        while self.bytes(chip, 1, n_tile, 2) > room && n_tile > 16 {
            n_tile = (n_tile / 2).max(16);
            columns = n_tile.div_ceil(lut.n);
        }
        let least = self.bytes(chip, 1, n_tile, 2);
        if least > room {
            return Err(UserError::Refused {
                what: format!("a scratchpad of {room} bytes is too small for any tile of this product"),
                help: format!("the least that works is {}", least.next_multiple_of(1024)),
            });
        }
        let pass = rows * lut.m;
        let mut chunk = self.m;
        while self.bytes(chip, chunk, n_tile, 2) > room {
            chunk = if chunk > pass { (chunk / 2).next_multiple_of(pass).min(chunk - 1) } else { chunk - 1 };
        }
        let mut slots = 2;
        while slots < 16 && self.bytes(chip, chunk, n_tile, slots + 1) <= room {
            slots += 1;
        }
        Ok(Cut { rows, columns, n_tile, chunk, slots, slot: self.slot(n_tile) })
    }

    /// The program and where its data lie.
    ///
    /// # Errors
    /// A chip on which the product does not fit.
    pub fn lower(&self, chip: &Chip) -> Result<Lowered, UserError> {
        if chip.lut.kind.traits().dequantises {
            return Err(UserError::Refused {
                what: format!(
                    "this product is of INT8 activations, which cores of `{}` do not take",
                    chip.lut.kind.name()
                ),
                help:
                    "the nearest legal choice is `--set lut.kind=mac-int8`; `lutsim run` runs models on them"
                        .into(),
            });
        }
        self.check_accumulator(chip)?;
        if !self.format.divides(self.k) {
            return Err(UserError::Refused {
                what: format!("a K of {} is no whole blocks of {}", self.k, self.format.kind),
                help: format!("take a multiple of {}", self.format.unit()),
            });
        }
        let cut = self.cut(chip)?;
        let (m, n, k) = (u64::from(self.m), u64::from(self.n), u64::from(self.k));
        let record = |columns: u32| self.format.record_bytes(columns, self.k);
        let (whole, tail) = (self.n / cut.n_tile, self.n % cut.n_tile);
        let weights_bytes = u64::from(whole) * record(cut.n_tile) + if tail > 0 { record(tail) } else { 0 };
        let mut at = 0;
        let mut take = |bytes: u64| {
            let here = at;
            at = (at + bytes).next_multiple_of(ALIGN);
            here
        };
        let [activations, scales, weights, results, address] =
            [m * k, 4 * m, weights_bytes, 4 * m * n, 1 << 16].map(&mut take);
        if at > chip.dram.bytes {
            return Err(UserError::Refused {
                what: format!(
                    "the product needs {at} bytes of DRAM, {} more than there are",
                    at - chip.dram.bytes
                ),
                help: "choose smaller sizes, or raise `dram.bytes`".into(),
            });
        }
        let text = self.text(chip, &cut, [activations, scales, weights, results], record(cut.n_tile));
        let program = asm::assemble(&text).unwrap_or_else(|e| panic!("{e}\n{text}"));
        Ok(Lowered { text, program, activations, scales, weights, results, address, n_tile: cut.n_tile })
    }

    /// Proves that no accumulator overflows.
    fn check_accumulator(&self, chip: &Chip) -> Result<(), UserError> {
        let most = ((1u64 << (chip.lut.accumulator_bits - 1)) - 1) / (127 * self.format.kind.max_odd());
        let group = u64::from(self.format.group.size(self.k)).min(u64::from(self.k));
        if group <= most {
            return Ok(());
        }
        let nearest = (4..=10).rev().map(|p| 1u64 << p).find(|&g| g <= most);
        Err(UserError::Refused {
            what: format!(
                "{}-bit accumulators provably hold {most} products of {} weights, a group has {group}",
                chip.lut.accumulator_bits, self.format.kind
            ),
            help: match nearest {
                Some(g) => format!("the nearest legal choice is `--group {g}`"),
                None => "the nearest legal choice is `--set lut.accumulator_bits=32`".into(),
            },
        })
    }

    fn text(&self, chip: &Chip, cut: &Cut, dram: [u64; 4], record: u64) -> String {
        let Gemm { m, n, k, format } = *self;
        let Cut { rows, columns, n_tile, chunk, slots, slot } = *cut;
        let lut = chip.lut;
        let [activations, scales, weights, results] = dram;
        let pad = |bytes: u64| bytes.next_multiple_of(64);
        let scale_base = pad(u64::from(chunk) * u64::from(k));
        // What the cores read, from where: the activations, or tables that the vector unit makes of them.
        let tables = scale_base + pad(4 * u64::from(chunk));
        let (elem, operand, out) = match lut.build {
            Build::Vector => (Elem::T8, tables, tables + pad(u64::from(chunk) * Elem::T8.row_bytes(k))),
            Build::Ingress { .. } | Build::Nobody => (Elem::I8, 0, tables),
        };
        let row = elem.row_bytes(k);
        let make = match elem {
            Elem::T8 => format!(
                "tile t7, r0, #{tables}, r9, #{k}, #{row}, t8\nvtable t7, t0, ?s2, !s24\nsync.lut ?s24, -\n"
            ),
            _ => String::new(),
        };
        let loaded = if elem == Elem::T8 { "!s2" } else { "-" };
        let out_bytes = pad(4 * u64::from(chunk) * u64::from(n_tile));
        let ring = out + 2 * out_bytes;
        let (ring_end, out_end) = (ring + slots * slot, out + 2 * out_bytes);
        let pass = rows * lut.m;
        let (tiles, chunks) = (n.div_ceil(n_tile), m.div_ceil(chunk));
        let table = if lut.kind.has_tables() { lut.k } else { 1 };
        let ty = format!("m{}n{}k{table}.int8.{}.i{}.f32", lut.m, lut.n, format.kind, lut.accumulator_bits);
        let grid = format!("{rows}x{columns}");
        let mut t =
            format!("; {m} x {n} x {k}, {format}; chunks of {chunk} rows, tiles of {n_tile} columns\n");
        let _ = write!(
            t,
            "set r0, #0\nset r2, #{ring}        ; weights: next slot\nset r3, #{out}        ; results: next buffer\n\
             set r6, #{activations}        ; DRAM: activations, scales, results\nset r7, #{scales}\nset r5, #{results}\n\
             set r8, #{m}        ; rows left\n\
             loop #{slots} {{\n  sync.lut -, !s16        ; a slot is free\n}}\n\
             sync.lut -, !s17        ; the activations' place is free\n\
             sync.store -, !s8        ; two buffers of results are free\nsync.store -, !s8\n\
             loop #{chunks} {{\n\
             min r9, r8, #{chunk}        ; rows of this chunk\n\
             tile t0, r0, #0, r9, #{k}, #{k}, i8\n\
             load.plain t0, r6, #0, #{k}, spill, ?s17, {loaded}\n\
             tile t1, r0, #{scale_base}, r9, #1, #4, f32\n\
             load.plain t1, r7, #0, #4, spill, -, !s1\n\
             {make}sync.lut ?s1, -\n\
             set r4, #{weights}        ; DRAM: weights\n\
             add r10, r5, #0        ; DRAM: this chunk's results\n\
             set r11, #{n}        ; columns left\n\
             ceildiv r16, r9, #{pass}        ; passes\n\
             loop #{tiles} {{\n\
             min r12, r11, #{n_tile}        ; columns of this tile\n\
             tile t2, r2, #0, r12, #{k}, #0, {format}\n\
             load.weights t2, r4, #0, #0, weights, ?s16, !s0\n\
             sync.lut ?s0, -\nsync.lut ?s8, -\n\
             set r13, #{operand}        ; activations, scales, results of the next pass\n\
             set r14, #{scale_base}\nadd r15, r3, #0\nadd r17, r9, #0\n\
             loop r16 {{\n\
             min r18, r17, #{pass}        ; rows of this pass\n\
             tile t3, r13, #0, r18, #{k}, #{row}, {elem}\n\
             lmma.{ty} t3, t2, {grid}, first, -, -\n\
             tile t4, r15, #0, r18, r12, #{}, f32\n\
             tile t5, r14, #0, r18, #1, #4, f32\n\
             drain.store t4, t5, {grid}, -, -\n\
             add r13, r13, #{}\nadd r14, r14, #{}\nadd r15, r15, #{}\nsub r17, r17, r18\n\
             }}\n\
             sync.lut -, !s16\nsync.lut -, !s18\n\
             tile t6, r3, #0, r9, r12, #{}, f32\n\
             store t6, r10, #0, #{}, result, ?s18, !s8\n\
             add r4, r4, #{record}\nadd r10, r10, #{}\nsub r11, r11, r12\n\
             ring r2, #{slot}, #{ring}, #{ring_end}\nring r3, #{out_bytes}, #{out}, #{out_end}\n\
             }}\n\
             sync.lut -, !s17\n\
             add r6, r6, #{}\nadd r7, r7, #{}\nadd r5, r5, #{}\nsub r8, r8, r9\n\
             }}\nhalt\n",
            4 * n_tile,
            u64::from(pass) * row,
            4 * pass,
            4 * u64::from(pass) * u64::from(n_tile),
            4 * n_tile,
            4 * u64::from(n),
            4 * n_tile,
            u64::from(chunk) * u64::from(k),
            4 * u64::from(chunk),
            4 * u64::from(chunk) * u64::from(n),
        );
        t
    }
}

/// The group of a product: smaller than the usual one where the reduction is.
pub fn group(k: u32) -> Group {
    match k {
        0..128 => Group::Row,
        _ => Group::Of(128),
    }
}
