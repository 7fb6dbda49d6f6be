//! docs/isa.md, written from the table: what is documented is what is decoded.

use std::fmt::Write;

use crate::define::{InstDoc, OperandDoc};
use crate::field::*;
use crate::format::{ByteClass, Elem, RECORD_ALIGN, WeightKind};
use crate::table::{Inst, table_hash};

/// Encoding, name, meaning.
type Members = &'static [(u64, &'static str, &'static str)];

/// The page. `latency` says, of a row, what it costs in time; this crate knows no cycle.
pub fn isa_markdown(latency: impl Fn(&InstDoc) -> String) -> String {
    let mut out = String::from(HEAD);
    let _ = writeln!(out, "Hash of this table: `{}`.\n", hex(&table_hash()));
    overview(&mut out);
    for (first, title, text) in CHAPTERS {
        let _ = write!(out, "## {title}\n\n{text}\n\n");
        for row in Inst::TABLE.iter().filter(|row| chapter(row) == *first) {
            instruction(&mut out, row, &latency(row));
        }
    }
    operands(&mut out);
    formats(&mut out);
    out.push_str(TAIL);
    out
}

const HEAD: &str = "\
# Instruction set

Generated from the instruction table in `isa/src/table.rs`; do not edit.

An instruction is one 128-bit word, little-endian in memory. Bits 0 to 7 hold the opcode (0x80 and above are free), the
operands follow from bit 8 upwards in the order of their table row, and the bits above the last operand are zero: a word
that sets them is refused. In text, one instruction takes a line, `;` starts a comment, and the first operand of a mnemonic
that ends in a dot is glued to it: `drain.store t3, t4, 1x16, ?s0, !s16`.

";

/// First opcode, title, text.
const CHAPTERS: &[(u8, &str, &str)] = &[
    (
        0x00,
        "Control",
        "Executed by the sequencer, one per cycle, in order; `sync` goes to the queue that it names.",
    ),
    (
        0x10,
        "Transfer",
        "`load` and `gather` go to the load queue (DMA in, through the unpacker), `store` to the store queue (DMA out).",
    ),
    (0x20, "LUT", "Executed by the gang of LUT cores, one at a time, in order."),
    (
        0x40,
        "Vector",
        "Executed by the vector unit, tile to tile, row by row, one at a time, in order. Each row is read whole before its \
result is written, so that `d` may be one of the operands. Elements are `f32` or `f16`; everything is computed in `f32` and \
rounded to nearest even on the way out. Sums along a row are taken in order in double precision and rounded once.",
    ),
];

fn chapter(row: &InstDoc) -> u8 {
    CHAPTERS.iter().map(|(first, ..)| *first).rfind(|&first| first <= row.opcode).unwrap_or(0)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// The doc comment as one paragraph.
fn paragraph(doc: &str) -> String {
    doc.lines().map(str::trim).collect::<Vec<_>>().join(" ").trim().to_owned()
}

fn anchor(mnemonic: &str) -> String {
    mnemonic.chars().filter(char::is_ascii_alphanumeric).collect()
}

fn overview(out: &mut String) {
    out.push_str("| Opcode | Instruction | Bits used |\n|---|---|---|\n");
    for row in Inst::TABLE {
        let bits: u32 = row.operands.iter().map(|o| o.bits).sum();
        let name = row.mnemonic.trim_end_matches('.');
        let link = if name == "}" { "end" } else { name };
        let _ =
            writeln!(out, "| {:#04x} | [`{name}`](#{}) | {} of 128 |", row.opcode, anchor(link), 8 + bits);
    }
    out.push('\n');
}

fn instruction(out: &mut String, row: &InstDoc, latency: &str) {
    let name = row.mnemonic.trim_end_matches('.');
    let title = if name == "}" { "end" } else { name };
    let _ = write!(out, "### {title}\n\n```\n{}\n```\n\n{}\n\n", syntax(row), paragraph(row.doc));
    let _ = write!(out, "| Bits | Operand | Kind |\n|---|---|---|\n| 0-7 | opcode | {:#04x} |\n", row.opcode);
    let mut at = 8;
    for OperandDoc { name, kind, bits } in row.operands {
        let last = at + bits - 1;
        let span = if *bits == 1 { at.to_string() } else { format!("{at}-{last}") };
        let _ = writeln!(out, "| {span} | `{name}` | {kind} |");
        at += bits;
    }
    let latency = latency.trim();
    if !latency.is_empty() {
        let _ = write!(out, "\nTime: {latency}\n");
    }
    out.push('\n');
}

/// `lmma.ty a, w, ...`
fn syntax(row: &InstDoc) -> String {
    let mut names = row.operands.iter().map(|o| o.name);
    let mut text = row.mnemonic.to_owned();
    if text.ends_with('.') {
        text.push_str(names.next().unwrap_or(""));
    }
    let rest: Vec<_> = names.map(|name| if name == "body" { "{" } else { name }).collect();
    if !rest.is_empty() {
        text.push(' ');
        text.push_str(&rest.join(", ").replace(", {", " {"));
    }
    text
}

/// What each kind of operand is; closed sets list their members.
const KINDS: &[(&str, &str, Members)] = &[
    (
        Reg::KIND,
        "`r0` to `r31`: 48-bit sequencer registers. Some carry runtime values (positions, context length) at the start.",
        &[],
    ),
    (TileId::KIND, "`t0` to `t63`: tile descriptors, set by `tile`.", &[]),
    (Imm16::KIND, "`#7` or `#0x7`, unsigned.", &[]),
    (Imm24::KIND, "`#7` or `#0x7`, unsigned.", &[]),
    (Imm32::KIND, "`#7` or `#0x7`, unsigned.", &[]),
    (Imm48::KIND, "`#7` or `#0x7`, unsigned.", &[]),
    (
        Dim::KIND,
        "`#64` (bit 20 clear, below 2^20) or `r3` (bit 20 set): a register is read when the instruction is dispatched.",
        &[],
    ),
    (Body::KIND, "`{`: words up to and with the matching `}`; the assembler counts them.", &[]),
    (F32::KIND, "`1e-5`, IEEE single.", &[]),
    (Grid::KIND, "`RxC`, R in the upper byte: rows and columns of cores. R splits M, C splits N.", &[]),
    (
        Wait::KIND,
        "`?s3` (bit 5 set) takes one from a semaphore before the instruction starts; `-` takes none.",
        &[],
    ),
    (Signal::KIND, "`!s3` (bit 5 set) gives one when the instruction is done; `-` gives none.", &[]),
    (
        LmmaType::KIND,
        "`m{M}n{N}k{K}.{activations}.{weights}.{accumulator}.{output}` of one core: M in bits 0-7, N in 8-19, K \
(activations per table, up to 6) in 20-23, activation type in 24-25, weight type in 26-32, accumulator in 33-34, output in 35, \
table entries in 36 (`k{K}t8` if they are rounded to 8 bits), FP16 weights in 37 (`k1h`).",
        &[],
    ),
    (
        <crate::format::Format as Field>::KIND,
        "An element type (bits 0-2), or, with bit 11 set, a weight type (bits 0-6) and its group \
(bits 7-10: 0 is `row`, i is 2^(i+3)): `f32`, `int2g128`, `kv8grow`.",
        &[],
    ),
    (Queue::KIND, "", Queue::DOCS),
    (Unpack::KIND, "", Unpack::DOCS),
    (DrainMode::KIND, "", DrainMode::DOCS),
    (Norm::KIND, "", Norm::DOCS),
    (Rope::KIND, "", Rope::DOCS),
    (Act::KIND, "", Act::DOCS),
    (First::KIND, "", First::DOCS),
    (Mask::KIND, "", Mask::DOCS),
    (ByteClass::KIND, "", ByteClass::DOCS),
];

/// Parts of a type, which are operands of their own nowhere.
const PARTS: &[(&str, Members)] = &[
    (AType::KIND, AType::DOCS),
    (AccType::KIND, AccType::DOCS),
    (OType::KIND, OType::DOCS),
    (Entries::KIND, Entries::DOCS),
];

fn operands(out: &mut String) {
    out.push_str("## Operands\n\n| Kind | Bits | Meaning |\n|---|---|---|\n");
    let mut seen = Vec::new();
    for operand in Inst::TABLE.iter().flat_map(|row| row.operands) {
        if seen.contains(&operand.kind) {
            continue;
        }
        seen.push(operand.kind);
        let Some((_, text, members)) = KINDS.iter().find(|(kind, ..)| *kind == operand.kind) else {
            continue;
        };
        let text = if members.is_empty() { (*text).to_owned() } else { list(members) };
        let _ = writeln!(out, "| {} | {} | {text} |", operand.kind, operand.bits);
    }
    for (kind, members) in PARTS {
        let _ = writeln!(out, "| {kind} | | {} |", list(members));
    }
    out.push('\n');
}

fn list(members: Members) -> String {
    let each = members.iter().map(|(code, name, doc)| format!("{code} `{name}`: {}", paragraph(doc)));
    each.collect::<Vec<_>>().join("<br>").replace('|', "\\|")
}

fn formats(out: &mut String) {
    out.push_str("## Formats\n\n| Element | Code | Bytes | |\n|---|---|---|---|\n");
    for (elem, (code, name, doc)) in Elem::ALL.iter().zip(Elem::DOCS) {
        let _ = writeln!(out, "| `{name}` | {code} | {} | {} |", elem.bytes(), paragraph(doc));
    }
    out.push_str(
        "\nA weight is `r = s (q - z)` with an unsigned b-bit code q. The machine works on the odd number \
         `q' = 2q - (2^b - 1)`, a sum of `2^shift * p` over its bit-planes with p = +-1, with the scale `s' = s * factor` \
         and `z' = 2z + 1 - 2^b`: the same number exactly. `int1.58` holds t = -1, 0, +1 as q' = 2t. \
         Types without a zero point have z' = 0 (`int1`, `int1.58`) or 1 (the signed codes).\n\n\
         | Weight type | Code | Plane shifts | Bits in DRAM | Zero point bits | Factor | Largest \\|q'\\| | |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for (kind, (code, name, doc)) in WeightKind::ALL.iter().zip(WeightKind::DOCS) {
        let shifts: Vec<_> = kind.planes().iter().map(u32::to_string).collect();
        let bits = match kind.blocks() {
            Some(b) => f64::from(b.bytes) * 8.0 / f64::from(b.weights),
            None => kind.code_bytes(40) as f64 / 5.0,
        };
        let _ = writeln!(
            out,
            "| `{name}` | {code} | {} | {bits} | {} | {} | {} | {} |",
            shifts.join(" "),
            kind.zero_bits(),
            kind.scale_factor(),
            kind.max_odd(),
            paragraph(doc)
        );
    }
    let _ = write!(out, "{}", RECORDS.replace("ALIGN", &RECORD_ALIGN.to_string()));
}

const RECORDS: &str = "
**A weight record in DRAM** (N columns x K weights, aligned to ALIGN bytes) is `[scales | zeros | codes]`:

- scales: FP16, `for group { for n }`; zeros: packed LSB first, `for group { for n }`;
- codes: `for n { for k }` in one stream, packed LSB first. `int1` to `int4` are unsigned; `int8` is two's complement;
  `int1.58` has five trits to a byte, base 3, the first the least significant, digits 0, 1, 2 for -1, 0, +1.

The types of model files lie in DRAM as in the file: whole blocks, `for n { for k }`, each with its scales (`i2_s`: behind one
FP32 for the record). Their bits include those.

**In scratchpad** it is `[scales | zeros | planes]`, the planes `for plane { for n { ceil(K/8) bytes } }`; bit k of a row, LSB
first, is 1 for p = +1. Bits beyond K are anything: there are no activations there. Of blocks, scales are multiplied out to one FP32
per group, and in place of zeros there is an FP32 offset per group for the types that have one.

**A KV cache** lies in DRAM token after token, each a row of head_dim codes: bytes (`kv8`), nibbles low first (`kv4`) or FP16
(`kvf16`), rounded by the unpacker to 8 bits with scale = FP16(absolute maximum / 127). `load.keys` makes token n column n
(N = tokens, K = head_dim, group `row`); `load.values` transposes (N = head_dim, K = tokens, in groups). The scale area of a
tile has one FP16 per token: `kvf16` fills it while loading, for `kv8` and `kv4` a `load.plain` does. Scales of keys are scales of
columns, and `lmma` applies them; scales of values vary along K: `vfold` multiplies them into the activations, and `lmma`
multiplies with 1.
";

const TAIL: &str = "
## Partial sums

Per row m, column n and group of K, in order:

```
acc         = sum over planes of 2^shift * sum over tables of T[bits of the plane]     integer, exact; refused if it overflows
t           = acc - z' * (sum of the group's activations)                              integer, exact
psum[m][n] += round(s' * round(t))                                                     FP32, each rounded
psum[m][n] += round(offset * round(sum of the group's activations))                    of a type that has offsets
```

With FP16 activations a table entry is `(((+-a0) +- a1) +- a2) +- a3` in FP32, rounded to FP16; acc adds `2^shift * entry` in
FP32, table after table and the planes of each in order; t is FP32. The partial sum of (m, n) lies in core (m div M, n div N) of
the grid and stays there until an `lmma` with `first` clears it.

**Cores without tables** have K = 1, whatever they take at once: the table of one activation is that activation, so sums are the same
integers, exactly. Cores that dequantise (`k1h`, FP16 activations) make FP16 of every weight first,
`w = fp16(scale * (q' - z') + offset)` with the product rounded to single precision, and add the exact products `a * w` to the partial
sum one after the other in the order of K, each sum rounded to single precision; no scale is left for a group's end.

**Entries of 8 bits** (`k4t8`): the entries above, whatever the activations, are rounded once more, with one scale per row and group of
weights:

```
largest     = largest magnitude of the group's entries in this row
scale       = largest / 127                                                            FP32
T8[index]   = T[index] / scale, rounded half to even                                   in +-127; 0 if the scale is 0
acc         = sum over planes of 2^shift * sum over tables of T8[bits of the plane]    integer, exact; refused if it overflows
t           = round(scale * round(acc)) - z' * round(sum of the group's activations)   FP32, each rounded; the sum is of the activations
```

A table of one activation has no such entries, and stored tables keep theirs.

## Semaphores

32 counting semaphores order the queues; each queue executes in order. Who gives is fixed by the number: `s0` to `s7` are given by
the load queue, `s8` to `s15` by store, `s16` to `s23` by lut, `s24` to `s31` by vector. A `wait` takes one before the instruction
starts and holds up its queue until it can; a `signal` gives one when the instruction, and all before it in its queue, are done.
Instructions of different queues that touch a common byte, at least one writing, must be ordered by tokens or by a `fence`; a
checker proves it for every program that the tests run.

## Program file

| Bytes | Field |
|---|---|
| 0-7 | `LUTSIMP` and a zero byte |
| 8-11 | version, 1 (u32, little-endian, as all that follows) |
| 12-15 | number of words |
| 16-47 | SHA-256 of the instruction table: a program built for another table is refused |
| 48- | words of 16 bytes |
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_and_every_kind_is_explained() {
        let page = isa_markdown(|row| if row.opcode == 0 { "one cycle".into() } else { String::new() });
        for row in Inst::TABLE {
            assert!(page.contains(&format!("```\n{}\n```", syntax(row))), "{}", row.mnemonic);
            for operand in row.operands {
                assert!(KINDS.iter().any(|(kind, ..)| *kind == operand.kind), "{}", operand.kind);
            }
        }
        assert!(page.contains("\nTime: one cycle\n"));
        assert!(page.contains("| 8-45 | `ty` | an lmma type |"));
        assert!(page.contains("### lmma\n\n```\nlmma.ty a, w, grid, first, wait, signal\n```\n"));
        assert!(page.contains("loop count {"));
        assert!(!page.contains("\n\n\n"));
    }
}
