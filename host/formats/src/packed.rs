//! Quantised linear layers of safetensors files: GPTQ, AWQ, and BitNet's packed ternary.

use crate::coded::{CodedMatrix, CodedRow};
use crate::error::FormatError;
use crate::safetensors::{Dtype, FLOATS, SafeTensors, View};
use crate::types::{Coding, Group, Levels};

/// How the layers of a model are packed: `quantization_config` of its config.json.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// GPTQ: words of the inputs of one output.
    Gptq {
        /// Bits of a code: 2, 4 or 8.
        bits: u32,
        /// Inputs that share a scale; none if all do.
        group: Option<usize>,
        /// What is added to a stored zero point: 1 in `checkpoint_format` "gptq", 0 in "gptq_v2". Nothing wraps: a stored 15 is
        /// 16, as in the kernels of AutoGPTQ and ExLlama.
        zero_add: u16,
    },
    /// AWQ, `version` "gemm": words of the outputs of one input, interleaved; 4 bits.
    Awq {
        /// Inputs that share a scale; none if all do.
        group: Option<usize>,
    },
    /// BitNet: four rows in each byte.
    Bitnet {
        /// Whether weights are divided by the scale (`linear_class` "bitlinear") and not multiplied ("autobitlinear").
        divide: bool,
    },
}

/// A packed layer of a safetensors file.
#[derive(Debug, Clone)]
pub struct PackedLinear<'f> {
    name: String,
    rows: usize,
    cols: usize,
    coding: Coding,
    words: View<'f>,
    layout: Layout<'f>,
}

#[derive(Debug, Clone)]
enum Layout<'f> {
    /// A word holds codes of neighbouring inputs.
    Gptq { per_group: PerGroup<'f>, zero_add: u16, groups: Vec<u32> },
    /// A word holds codes of neighbouring outputs.
    Awq { per_group: PerGroup<'f> },
    /// A byte holds codes of four outputs, a quarter of all of them apart.
    Bitnet { scale: f32 },
}

/// What each group of inputs has for each output.
#[derive(Debug, Clone)]
struct PerGroup<'f> {
    groups: usize,
    zeros: View<'f>,
    scales: Vec<f32>,
}

/// Which place of a word has each of eight neighbouring outputs in AWQ's "gemm" layout.
const AWQ_PLACE: [usize; 8] = [0, 4, 1, 5, 2, 6, 3, 7];

impl<'f> PackedLinear<'f> {
    /// The layer `name`, e.g. `model.layers.0.mlp.up_proj`.
    ///
    /// # Errors
    /// A part of it that is missing, or whose type or dimensions do not fit the others; a group that does not exist.
    pub fn open(
        file: &'f SafeTensors<'_>,
        name: &str,
        packing: Packing,
    ) -> Result<PackedLinear<'f>, FormatError> {
        let part = |what: &str| file.tensor(&format!("{name}.{what}"));
        if let Packing::Gptq { group: Some(0), .. } | Packing::Awq { group: Some(0) } = packing {
            return Err(FormatError::key("quantization_config.group_size", "0", "-1, or 1 and more"));
        }
        let (words, layout, [rows, cols], coding) = match packing {
            Packing::Gptq { bits, group, zero_add } => {
                if ![2, 4, 8].contains(&bits) {
                    let expected = "2, 4 or 8: others straddle words";
                    return Err(FormatError::key("quantization_config.bits", bits.to_string(), expected));
                }
                let per_word = 32 / u64::from(bits);
                let words = part("qweight")?;
                let [down, rows] = words.matrix()?;
                let cols = times(words, down, per_word)?;
                words.expect(&[Dtype::I32], &[down, rows])?;
                let per_group = PerGroup::open(file, name, [rows, cols], group, per_word)?;
                let groups = match file.get(&format!("{name}.g_idx")) {
                    Some(index) => order(index, cols, group, per_group.groups)?,
                    None => Vec::new(),
                };
                let coding = grouped(((1u32 << bits) - 1) as u8, group);
                (words, Layout::Gptq { per_group, zero_add, groups }, [rows, cols], coding)
            }
            Packing::Awq { group } => {
                let words = part("qweight")?;
                let [cols, across] = words.matrix()?;
                let rows = times(words, across, 8)?;
                words.expect(&[Dtype::I32], &[cols, across])?;
                let per_group = PerGroup::open(file, name, [rows, cols], group, 8)?;
                (words, Layout::Awq { per_group }, [rows, cols], grouped(15, group))
            }
            Packing::Bitnet { divide } => {
                let words = part("weight")?;
                let [quarter, cols] = words.matrix()?;
                words.expect(&[Dtype::U8], &[quarter, cols])?;
                let stored = part("weight_scale")?;
                let scale = stored.expect(FLOATS, &[1])?.floats()?[0];
                if divide && scale == 0.0 {
                    return Err(FormatError::tensor(stored.name, "0", "a number to divide by"));
                }
                let scale = if divide { 1.0 / scale } else { scale };
                let rows = times(words, quarter, 4)?;
                (words, Layout::Bitnet { scale }, [rows, cols], Coding::ternary(Group::Tensor))
            }
        };
        if rows == 0 || cols == 0 {
            return Err(FormatError::tensor(words.name, format!("{:?} elements", words.shape), "some"));
        }
        // Each code has at least two bits in memory.
        Ok(PackedLinear {
            name: name.into(),
            rows: rows as usize,
            cols: cols as usize,
            coding,
            words,
            layout,
        })
    }
}

fn times(view: View<'_>, dim: u64, factor: u64) -> Result<u64, FormatError> {
    dim.checked_mul(factor).ok_or_else(|| {
        FormatError::tensor(view.name, format!("{:?} elements", view.shape), "fewer than 2^64 weights")
    })
}

fn grouped(most: u8, group: Option<usize>) -> Coding {
    let group = group.map_or(Group::Tensor, Group::Of);
    Coding { most, levels: Levels::MinusOfGroup, group, offset: false }
}

/// The group of each input, if they are not simply neighbours.
fn order(index: View<'_>, cols: u64, group: Option<usize>, groups: usize) -> Result<Vec<u32>, FormatError> {
    let index = index.expect(&[Dtype::I32], &[cols])?;
    let of = (0..cols as usize).map(|i| word(index.data, i));
    if let Some((i, g)) = of.clone().enumerate().find(|(_, g)| *g as usize >= groups) {
        let found = format!("input {i} is in group {}", g as i32);
        return Err(FormatError::tensor(index.name, found, format!("groups 0 to {}", groups - 1)));
    }
    let size = group.unwrap_or(cols as usize);
    if of.clone().enumerate().all(|(i, g)| i / size == g as usize) {
        return Ok(Vec::new());
    }
    Ok(of.collect())
}

impl<'f> PerGroup<'f> {
    fn open(
        file: &'f SafeTensors<'_>,
        name: &str,
        [rows, cols]: [u64; 2],
        group: Option<usize>,
        per_word: u64,
    ) -> Result<PerGroup<'f>, FormatError> {
        let groups = cols.div_ceil(group.map_or(cols, |g| g as u64).max(1));
        let zeros = file.tensor(&format!("{name}.qzeros"))?;
        if !rows.is_multiple_of(per_word) {
            let expected = format!("a multiple of {per_word} outputs");
            return Err(FormatError::tensor(zeros.name, format!("{rows} outputs"), expected));
        }
        let zeros = zeros.expect(&[Dtype::I32], &[groups, rows / per_word])?;
        let scales = file.tensor(&format!("{name}.scales"))?.expect(FLOATS, &[groups, rows])?.floats()?;
        Ok(PerGroup { groups: groups as usize, zeros, scales })
    }
    /// Appends scale and zero of every group for output `row`; `place` is where its zero is.
    fn push(&self, row: usize, rows: usize, most: u8, place: usize, zero_add: u16, out: &mut CodedRow) {
        let bits = 8 - most.leading_zeros() as usize;
        let per_word = 32 / bits;
        for g in 0..self.groups {
            let stored = word(self.zeros.data, g * (rows / per_word) + row / per_word);
            out.zeros.push((stored >> (bits * place)) as u16 & u16::from(most));
            *out.zeros.last_mut().expect("just pushed") += zero_add;
            out.scales.push(self.scales[g * rows + row]);
        }
    }
}

/// Little-endian word `i`.
fn word(bytes: &[u8], i: usize) -> u32 {
    u32::from_le_bytes([bytes[4 * i], bytes[4 * i + 1], bytes[4 * i + 2], bytes[4 * i + 3]])
}

impl PackedLinear<'_> {
    /// Whether the inputs that share a scale are no neighbours (GPTQ's `desc_act`).
    pub fn is_reordered(&self) -> bool {
        matches!(&self.layout, Layout::Gptq { groups, .. } if !groups.is_empty())
    }
    /// All its scales: of each group those of each output, or the tensor's one.
    pub fn scales(&self) -> &[f32] {
        match &self.layout {
            Layout::Gptq { per_group, .. } | Layout::Awq { per_group } => &per_group.scales,
            Layout::Bitnet { scale } => std::slice::from_ref(scale),
        }
    }
}

impl CodedMatrix for PackedLinear<'_> {
    fn name(&self) -> &str {
        &self.name
    }
    fn rows(&self) -> usize {
        self.rows
    }
    fn cols(&self) -> usize {
        self.cols
    }
    fn coding(&self) -> Coding {
        self.coding
    }
    fn unpack(&self, row: usize, out: &mut CodedRow) {
        let most = self.coding.most;
        match &self.layout {
            Layout::Gptq { per_group, zero_add, groups } => {
                let bits = self.coding.bits() as usize;
                let per_word = 32 / bits;
                out.codes.extend((0..self.cols).map(|i| {
                    let word = word(self.words.data, i / per_word * self.rows + row);
                    (word >> (bits * (i % per_word))) as u8 & most
                }));
                per_group.push(row, self.rows, most, row % per_word, *zero_add, out);
                out.groups.extend_from_slice(groups);
            }
            Layout::Awq { per_group } => {
                let place = AWQ_PLACE[row % 8];
                out.codes.extend((0..self.cols).map(|i| {
                    let word = word(self.words.data, i * (self.rows / 8) + row / 8);
                    (word >> (4 * place)) as u8 & most
                }));
                per_group.push(row, self.rows, most, place, 0, out);
            }
            Layout::Bitnet { scale } => {
                let quarter = self.rows / 4;
                let bytes = &self.words.data[row % quarter * self.cols..][..self.cols];
                out.codes.extend(bytes.iter().map(|byte| byte >> (2 * (row / quarter)) & 3));
                out.scales.push(*scale);
            }
        }
    }
}
