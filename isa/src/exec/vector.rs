//! The vector unit: tile to tile, row by row. Each row is read whole before its result is written, so that a result
//! may take the place of an operand.
//!
//! Elements are `f32` or `f16`, computed in `f32`, rounded to nearest even on the way out. Sums along a row are taken in
//! order in double precision and rounded to `f32` once: the rounding of the hardware's adder tree is not modelled.

use super::activations::sum_of;
use super::math;
use super::tables::{Cut, Tables, pack};
use super::{State, View, quantise, refuse, to_half};
use crate::control::{FaultKind, TileRef, VectorOp};
use crate::field::{Act, Mask, Norm, Rope};
use crate::format::{Elem, Format, STORED_TABLE};

const FLOATS: &[Elem] = &[Elem::F32, Elem::F16];

impl State {
    pub(super) fn vector(&mut self, op: &VectorOp) -> Result<(), FaultKind> {
        match *op {
            VectorOp::Norm { norm, d, x, w, eps } => self.norm(norm, &d, &x, &w, eps),
            VectorOp::Rope { pairing, d, x, tab, head, dims } => self.rope(pairing, &d, &x, &tab, head, dims),
            VectorOp::Softmax { mask, d, x, valid, scale } => {
                self.map("vsoftmax", &d, &x, |r, row| softmax(row, seen(mask, valid, r), scale, None))
            }
            VectorOp::Window { mask, d, x, valid, window, scale } => self.map("vwindow", &d, &x, |r, row| {
                let seen = seen(mask, valid, r);
                let first = seen.saturating_sub(window as usize).min(row.len());
                row[..first].fill(0.0);
                softmax(&mut row[first..], seen - first, scale, None);
            }),
            VectorOp::Route { d, x, used } => self.map("vroute", &d, &x, |_, row| route(row, used as usize)),
            VectorOp::Cap { d, x, scale, cap } => self.map("vcap", &d, &x, |_, row| {
                row.iter_mut().for_each(|x| *x = cap * math::tanh(*x * scale));
            }),
            VectorOp::Alibi { mask, d, x, slope, valid, scale } => {
                let slopes = self.slopes(&slope, &x)?;
                self.map("valibi", &d, &x, |r, row| {
                    softmax(row, seen(mask, valid, r), scale, Some(slopes[r % slopes.len()]));
                })
            }
            VectorOp::Act { f, d, x } => {
                self.map("vact", &d, &x, |_, row| row.iter_mut().for_each(|x| *x = act(f, *x)))
            }
            VectorOp::Glu { f, d, x, y } => self.zip("vglu", &d, &x, &y, |x, y| act(f, x) * y),
            VectorOp::Add { d, x, y } => self.zip("vadd", &d, &x, &y, |x, y| x + y),
            VectorOp::Mul { d, x, y } => self.zip("vmul", &d, &x, &y, |x, y| x * y),
            VectorOp::Dot { d, x, w } => self.dot(&d, &x, &w),
            VectorOp::Copy { d, x } => self.copy(&d, &x),
            VectorOp::Table { d, x } => self.table(&d, &x),
            VectorOp::Quant { d, s, x, bits } => self.quant("vquant", &d, &s, &x, None, bits),
            VectorOp::Fold { d, s, x, f } => {
                let bits = if d.format == Format::Plain(Elem::F16) { 16 } else { 8 };
                self.quant("vfold", &d, &s, &x, Some(&f), bits)
            }
            VectorOp::ArgMax { d, x, base, first } => self.argmax(&d, &x, base, first),
        }
    }

    /// d = f(row) with the row's number.
    fn map(
        &mut self,
        name: &str,
        d: &TileRef,
        x: &TileRef,
        mut f: impl FnMut(usize, &mut [f32]),
    ) -> Result<(), FaultKind> {
        let d = self.operand(name, "d", d)?;
        let x = self.operand(name, "x", x)?;
        same_shape(name, "d", d, "x", x)?;
        let mut row = Vec::new();
        for r in 0..x.rows {
            self.floats(x, r, &mut row);
            f(r, &mut row);
            self.put_floats(d, r, &row);
        }
        Ok(())
    }

    /// d = f(x, y), element by element; one row of y serves every row.
    fn zip(
        &mut self,
        name: &str,
        d: &TileRef,
        x: &TileRef,
        y: &TileRef,
        f: impl Fn(f32, f32) -> f32,
    ) -> Result<(), FaultKind> {
        let d = self.operand(name, "d", d)?;
        let x = self.operand(name, "x", x)?;
        let y = self.operand(name, "y", y)?;
        same_shape(name, "d", d, "x", x)?;
        if y.rows != 1 || y.cols != x.cols {
            same_shape(name, "y", y, "x", x)?;
        }
        let (mut a, mut b) = (Vec::new(), Vec::new());
        for r in 0..x.rows {
            self.floats(x, r, &mut a);
            if r == 0 || y.rows > 1 {
                self.floats(y, r, &mut b);
            }
            a.iter_mut().zip(&b).for_each(|(a, &b)| *a = f(*a, b));
            self.put_floats(d, r, &a);
        }
        Ok(())
    }

    /// d = x times w transposed. A product of a single and a half is exact in double precision.
    fn dot(&mut self, d: &TileRef, x: &TileRef, w: &TileRef) -> Result<(), FaultKind> {
        let d = self.operand("vdot", "d", d)?;
        let x = self.operand("vdot", "x", x)?;
        let w = self.operand("vdot", "w", w)?;
        if (d.rows, d.cols, w.cols) != (x.rows, w.rows, x.cols) {
            return refuse(format!(
                "vdot: {} x {} times {} x {} transposed is not {} x {}",
                x.rows, x.cols, w.rows, w.cols, d.rows, d.cols
            ));
        }
        let mut weights = Vec::new();
        let mut rows = vec![Vec::new(); x.rows];
        for (r, row) in rows.iter_mut().enumerate() {
            self.floats(x, r, row);
        }
        let mut out = vec![vec![0.0; w.rows]; x.rows];
        for n in 0..w.rows {
            self.floats(w, n, &mut weights);
            for (x, out) in rows.iter().zip(&mut out) {
                let products = x.iter().zip(&weights).map(|(&x, &w)| f64::from(x) * f64::from(w));
                out[n] = products.fold(0.0, |sum, product| sum + product) as f32;
            }
        }
        out.iter().enumerate().for_each(|(r, row)| self.put_floats(d, r, row));
        Ok(())
    }

    /// Half-tables of the rows of x.
    fn table(&mut self, d: &TileRef, x: &TileRef) -> Result<(), FaultKind> {
        let x = self.plain(&"vtable: x", x, &[Elem::I8, Elem::F16])?;
        let wanted = if x.elem == Elem::I8 { Elem::T8 } else { Elem::T16 };
        let d = self.plain(&"vtable: d", d, &[wanted])?;
        same_shape("vtable", "d", d, "x", x)?;
        let tables = x.cols.div_ceil(STORED_TABLE as usize);
        let cut = Cut::new(x.cols, x.cols, STORED_TABLE as usize);
        let mut out = Vec::new();
        for r in 0..x.rows {
            out.clear();
            if x.elem == Elem::I8 {
                let row: Vec<i16> = self.row(x, r).iter().map(|&b| i16::from(b as i8)).collect();
                if let Some(k) = row.iter().position(|&a| a == -128) {
                    return refuse(format!(
                        "vtable: element {k} of row {r} is -128; activations keep to +-127"
                    ));
                }
                let mut made = Tables::default();
                made.push_row(&row, &cut, |entry| entry);
                (0..tables).for_each(|table| out.extend(pack(made.stored(table))));
            } else {
                let mut row = Vec::new();
                self.floats(x, r, &mut row);
                let mut made = Tables::default();
                made.push_row(&row, &cut, to_half);
                for (table, activations) in row.chunks(STORED_TABLE as usize).enumerate() {
                    made.stored(table).iter().for_each(|&e| out.extend(half::f16::from_f32(e).to_le_bytes()));
                    out.extend(sum_of(activations).to_le_bytes());
                }
            }
            self.row_mut(d, r).copy_from_slice(&out);
        }
        Ok(())
    }

    fn norm(&mut self, norm: Norm, d: &TileRef, x: &TileRef, w: &TileRef, eps: f32) -> Result<(), FaultKind> {
        let weights = self.operand("vnorm", "w", w)?;
        let rows = if norm == Norm::Layer { 2 } else { 1 };
        if (weights.rows, w.cols) != (rows, x.cols) {
            return refuse(format!(
                "vnorm.{norm}: w is {} x {}, and {rows} x {} are wanted",
                w.rows, w.cols, x.cols
            ));
        }
        let (mut w, mut b) = (Vec::new(), Vec::new());
        self.floats(weights, 0, &mut w);
        if norm == Norm::Layer {
            self.floats(weights, 1, &mut b);
        }
        self.map("vnorm", d, x, |_, row| match norm {
            Norm::Layer => {
                let mean = mean(row, f64::from);
                row.iter_mut().for_each(|x| *x -= mean);
                let inv = math::rsqrt(self::mean(row, square) + eps);
                row.iter_mut().zip(w.iter().zip(&b)).for_each(|(x, (&w, &b))| *x = (*x * inv) * w + b);
            }
            Norm::Rms | Norm::RmsPlusOne => {
                let one = if norm == Norm::Rms { 0.0 } else { 1.0 };
                let inv = math::rsqrt(mean(row, square) + eps);
                row.iter_mut().zip(&w).for_each(|(x, &w)| *x = (*x * inv) * (one + w));
            }
        })
    }

    /// The slope of each row of `x`, or the one of all.
    fn slopes(&self, slope: &TileRef, x: &TileRef) -> Result<Vec<f32>, FaultKind> {
        let s = self.operand("valibi", "slope", slope)?;
        if s.cols != 1 || s.rows == 0 || (s.rows != 1 && s.rows != x.rows as usize) {
            return refuse(format!(
                "valibi: slope is {} x {}, and {} x 1 or 1 x 1 are wanted",
                s.rows, s.cols, x.rows
            ));
        }
        let (mut all, mut row) = (Vec::new(), Vec::new());
        for r in 0..s.rows {
            self.floats(s, r, &mut row);
            all.extend_from_slice(&row);
        }
        Ok(all)
    }

    /// Row r of `tab`: cosines, then sines.
    fn rope(
        &mut self,
        pairing: Rope,
        d: &TileRef,
        x: &TileRef,
        tab: &TileRef,
        head: u32,
        dims: u32,
    ) -> Result<(), FaultKind> {
        if head == 0 || !x.cols.is_multiple_of(head) || dims > head || !dims.is_multiple_of(2) {
            return refuse(format!("vrope: {dims} of {head} elements of each head in rows of {}", x.cols));
        }
        if (tab.rows, tab.cols) != (x.rows, dims) {
            return refuse(format!(
                "vrope: tab is {} x {}, and {} x {dims} are wanted",
                tab.rows, tab.cols, x.rows
            ));
        }
        // The table may share its place with the result: all of it is read first.
        let tab = self.operand("vrope", "tab", tab)?;
        let mut angles = vec![Vec::new(); tab.rows];
        for (r, angles) in angles.iter_mut().enumerate() {
            self.floats(tab, r, angles);
        }
        let half = dims as usize / 2;
        self.map("vrope", d, x, |r, row| {
            let (cos, sin) = angles[r].split_at(half);
            for head in row.chunks_exact_mut(head as usize) {
                for i in 0..half {
                    let (p, q) = match pairing {
                        Rope::Half => (i, i + half),
                        Rope::Pair => (2 * i, 2 * i + 1),
                    };
                    let (a, b) = (head[p], head[q]);
                    head[p] = a * cos[i] - b * sin[i];
                    head[q] = b * cos[i] + a * sin[i];
                }
            }
        })
    }

    /// Bytes as they are between tiles of one format; otherwise through `f32`.
    fn copy(&mut self, d: &TileRef, x: &TileRef) -> Result<(), FaultKind> {
        if d.format != x.format {
            let d = self.operand("vcopy", "d", d)?;
            let x = self.plain(&"vcopy: x", x, &[Elem::F32, Elem::F16, Elem::I8])?;
            same_shape("vcopy", "d", d, "x", x)?;
            let mut row = Vec::new();
            for r in 0..x.rows {
                self.floats(x, r, &mut row);
                self.put_floats(d, r, &row);
            }
            return Ok(());
        }
        let d = self.plain(&"vcopy: d", d, Elem::ALL)?;
        let x = self.plain(&"vcopy: x", x, Elem::ALL)?;
        same_shape("vcopy", "d", d, "x", x)?;
        for r in 0..x.rows {
            let start = x.base + r * x.stride;
            self.scratchpad.copy_within(start..start + x.row_bytes, d.base + r * d.stride);
        }
        Ok(())
    }

    /// Codes to d and a scale per row to s; 16 bits are half precision with a scale of 1.
    fn quant(
        &mut self,
        name: &str,
        d: &TileRef,
        s: &TileRef,
        x: &TileRef,
        f: Option<&TileRef>,
        bits: u32,
    ) -> Result<(), FaultKind> {
        let elems: &[Elem] = match bits {
            16 => &[Elem::F16],
            8 => &[Elem::I8],
            4 => &[Elem::I8, Elem::U8],
            _ => return refuse(format!("{name}: {bits} bits; 4, 8 and 16 are possible")),
        };
        let d = self.plain(&format_args!("{name}: d"), d, elems)?;
        let s = self.operand(name, "s", s)?;
        let x = self.operand(name, "x", x)?;
        let cols = if bits == 4 { x.cols.div_ceil(2) } else { x.cols };
        if (d.rows, d.cols) != (x.rows, cols) || (s.rows, s.cols) != (x.rows, 1) {
            return refuse(format!(
                "{name}: {} x {} elements give {} x {cols} codes and {} x 1 scales, not {} x {} and {} x {}",
                x.rows, x.cols, x.rows, x.rows, d.rows, d.cols, s.rows, s.cols
            ));
        }
        let mut factors = Vec::new();
        if let Some(f) = f {
            let f = self.operand(name, "f", f)?;
            if (f.rows, f.cols) != (1, x.cols) {
                return refuse(format!(
                    "{name}: f is {} x {}, and 1 x {} are wanted",
                    f.rows, f.cols, x.cols
                ));
            }
            self.floats(f, 0, &mut factors);
        }
        let (mut row, mut codes) = (Vec::new(), Vec::new());
        for r in 0..x.rows {
            self.floats(x, r, &mut row);
            row.iter_mut().zip(&factors).for_each(|(x, &f)| *x *= f);
            if bits == 16 {
                self.put_floats(d, r, &row);
                self.put_floats(s, r, &[1.0]);
                continue;
            }
            let rounded = |scale| if s.elem == Elem::F16 { to_half(scale) } else { scale };
            let scale = quantise(&row, (1 << (bits - 1)) - 1, rounded, &mut codes);
            let bytes = self.row_mut(d, r);
            if bits == 4 {
                for (byte, pair) in bytes.iter_mut().zip(codes.chunks(2)) {
                    *byte = pair[0] as u8 & 15 | pair.get(1).map_or(0, |&high| (high as u8) << 4);
                }
            } else {
                bytes.iter_mut().zip(&codes).for_each(|(byte, &code)| *byte = code as u8);
            }
            self.put_floats(s, r, &[scale]);
        }
        Ok(())
    }

    /// d: rows of two words, the value's `f32` bits and its column. The first NaN beats all numbers, so that it is seen.
    fn argmax(&mut self, d: &TileRef, x: &TileRef, base: u32, first: bool) -> Result<(), FaultKind> {
        let d = self.plain(&"vargmax: d", d, &[Elem::U32, Elem::F32])?;
        let x = self.operand("vargmax", "x", x)?;
        if (d.rows, d.cols) != (x.rows, 2) {
            return refuse(format!("vargmax: d is {} x {}, and {} x 2 are wanted", d.rows, d.cols, x.rows));
        }
        let mut row = Vec::new();
        for r in 0..x.rows {
            self.floats(x, r, &mut row);
            let words = self.row_mut(d, r).as_chunks_mut::<4>().0;
            let (mut best, mut column) = (f32::NEG_INFINITY, base);
            if !first {
                (best, column) = (f32::from_le_bytes(words[0]), u32::from_le_bytes(words[1]));
            }
            for (c, &x) in row.iter().enumerate() {
                if x > best || x.is_nan() && !best.is_nan() {
                    (best, column) = (x, base.saturating_add(c as u32));
                }
            }
            words[0] = best.to_le_bytes();
            words[1] = column.to_le_bytes();
        }
        Ok(())
    }

    fn operand(&self, name: &str, operand: &str, t: &TileRef) -> Result<View, FaultKind> {
        self.plain(&format_args!("{name}: {operand}"), t, FLOATS)
    }
}

fn same_shape(name: &str, a: &str, va: View, b: &str, vb: View) -> Result<(), FaultKind> {
    if (va.rows, va.cols) == (vb.rows, vb.cols) {
        return Ok(());
    }
    refuse(format!("{name}: {a} is {} x {} and {b} is {} x {}", va.rows, va.cols, vb.rows, vb.cols))
}

fn square(x: f32) -> f64 {
    f64::from(x) * f64::from(x)
}

/// The mean of f over a row: in order, in double precision, rounded once.
fn mean(row: &[f32], f: impl Fn(f32) -> f64) -> f32 {
    (row.iter().fold(0.0, |sum, &x| sum + f(x)) / row.len().max(1) as f64) as f32
}

fn act(f: Act, x: f32) -> f32 {
    match f {
        Act::Silu => math::silu(x),
        Act::Gelu => math::gelu(x),
        Act::Relu => relu(x),
        Act::Relu2 => relu(x) * relu(x),
    }
}

fn relu(x: f32) -> f32 {
    if x < 0.0 { 0.0 } else { x }
}

/// Columns that row r may see.
fn seen(mask: Mask, valid: u32, r: usize) -> usize {
    let more = if mask == Mask::Causal { r } else { 0 };
    (valid as usize).saturating_add(more)
}

/// The `used` largest are weighed by a softmax among them; numbers that are none are not taken.
fn route(row: &mut [f32], used: usize) {
    let mut chosen = vec![f32::NEG_INFINITY; row.len()];
    for _ in 0..used.min(row.len()) {
        let mut best: Option<usize> = None;
        for (column, &x) in row.iter().enumerate() {
            if chosen[column] == f32::NEG_INFINITY && x > best.map_or(f32::NEG_INFINITY, |b| row[b]) {
                best = Some(column);
            }
        }
        let Some(best) = best else { break };
        chosen[best] = row[best];
    }
    row.copy_from_slice(&chosen);
    softmax(row, row.len(), 1.0, None);
}

/// Two passes: the largest, then the exponentials and their sum; a row that sees nothing is all zero.
fn softmax(row: &mut [f32], seen: usize, scale: f32, slope: Option<f32>) {
    let (seen, rest) = row.split_at_mut(seen.min(row.len()));
    rest.fill(0.0);
    let mut largest = f32::NEG_INFINITY;
    for (column, x) in seen.iter_mut().enumerate() {
        *x *= scale;
        if let Some(slope) = slope {
            *x += slope * column as f32;
        }
        if *x > largest {
            largest = *x;
        }
    }
    if largest == f32::NEG_INFINITY {
        return seen.fill(0.0);
    }
    let mut sum = 0.0f64;
    for x in seen.iter_mut() {
        *x = math::exp(*x - largest);
        sum += f64::from(*x);
    }
    let inv = 1.0 / sum as f32;
    seen.iter_mut().for_each(|x| *x *= inv);
}
