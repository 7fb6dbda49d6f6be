//! `load`, `gather`, `store`: DRAM to scratchpad through the unpacker, and back.

use half::f16;

use super::planes::{self, Layout};
use super::{State, quantise, refuse, to_half};
use crate::blocks::Blocks;
use crate::control::{FaultKind, TileRef};
use crate::field::Unpack;
use crate::format::{Elem, Group, WeightFormat, WeightKind};

impl State {
    pub(super) fn load(
        &mut self,
        unpack: Unpack,
        tile: &TileRef,
        addr: u64,
        stride: u64,
    ) -> Result<(), FaultKind> {
        match unpack {
            Unpack::Plain => {
                let v = self.plain(&"load: the tile", tile, Elem::ALL)?;
                for row in 0..v.rows {
                    let start = v.base + row * v.stride;
                    let to = &mut self.scratchpad[start..start + v.row_bytes];
                    self.dram.read(row_address(addr, row, stride)?, to)?;
                }
                Ok(())
            }
            Unpack::Weights => self.load_weights(tile, addr),
            Unpack::Keys => self.load_keys(tile, addr, stride),
            Unpack::Values => self.load_values(tile, addr, stride),
        }
    }

    pub(super) fn gather(
        &mut self,
        tile: &TileRef,
        addr: u64,
        stride: u64,
        first: u32,
    ) -> Result<(), FaultKind> {
        let v = self.plain(&"gather: the tile", tile, Elem::ALL)?;
        for row in 0..v.rows {
            let entry = first as usize + row;
            let Some(&id) = self.mailbox.get(entry) else {
                let held = self.mailbox.len();
                return refuse(format!("gather: entry {entry} of the mailbox, which holds {held} token ids"));
            };
            let start = v.base + row * v.stride;
            let to = &mut self.scratchpad[start..start + v.row_bytes];
            self.dram.read(row_address(addr, id as usize, stride)?, to)?;
        }
        Ok(())
    }

    pub(super) fn store(&mut self, tile: &TileRef, addr: u64, stride: u64) -> Result<(), FaultKind> {
        let v = self.plain(&"store: the tile", tile, Elem::ALL)?;
        for row in 0..v.rows {
            let start = v.base + row * v.stride;
            let from = &self.scratchpad[start..start + v.row_bytes];
            self.dram.write(row_address(addr, row, stride)?, from)?;
        }
        Ok(())
    }

    /// A record `[scales | zeros | codes]` becomes `[scales | zeros | planes]`; codes run along K, then N, in one
    /// stream, LSB first. A base-3 byte beyond 242 reads as its digits modulo 3.
    fn load_weights(&mut self, tile: &TileRef, addr: u64) -> Result<(), FaultKind> {
        let (base, format) = self.weights(&"load.weights: the tile", tile)?;
        if format.kind.is_kv() {
            return refuse(format!(
                "load.weights: {format} is a KV cache; load.keys and load.values unpack it"
            ));
        }
        let (n, k) = (tile.rows, tile.cols);
        let layout = Layout::new(format, n, k);
        if let Some(blocks) = format.kind.blocks() {
            return self.load_blocks(tile, addr, base, (format, blocks));
        }
        self.record.resize(layout.planes + format.code_bytes(n, k) as usize, 0);
        self.dram.read(addr, &mut self.record)?;
        let (head, codes) = self.record.split_at(layout.planes);
        let out = &mut self.scratchpad[base..base + layout.end];
        out[..layout.planes].copy_from_slice(head);
        for n in 0..n as usize {
            planes::unpack_row(format.kind, codes, n * k as usize, &mut out[layout.planes..], n, &layout);
        }
        Ok(())
    }

    /// A record of blocks, `for n { for k }`, becomes `[scales | offsets | planes]`.
    fn load_blocks(
        &mut self,
        tile: &TileRef,
        addr: u64,
        base: usize,
        (format, blocks): (WeightFormat, &Blocks),
    ) -> Result<(), FaultKind> {
        let (n, k) = (tile.rows, tile.cols);
        if !format.divides(k) {
            return refuse(format!("load.weights: {k} weights are no whole blocks of {}", blocks.weights));
        }
        let layout = Layout::new(format, n, k);
        let (head, row) = (blocks.head as usize, (k / blocks.weights * blocks.bytes) as usize);
        self.record.resize(head + n as usize * row, 0);
        self.dram.read(addr, &mut self.record)?;
        let (head, rows) = self.record.split_at(head);
        let tensor_scale = head.first_chunk().map_or(0.0, |&bytes| f32::from_le_bytes(bytes));
        let out = &mut self.scratchpad[base..base + layout.end];
        let (head, planes) = out.split_at_mut(layout.planes);
        let (scales, offsets) = head.split_at_mut(layout.zeros);
        for (column, row) in rows.chunks_exact(row.max(1)).enumerate() {
            let (kind, to) = ((format.kind, blocks), (&mut *planes, column, &layout));
            let (level, codes) = (self.level, &mut self.codes);
            planes::unpack_blocks(level, kind, (row, tensor_scale), codes, to, |g, scale, offset| {
                let at = 4 * (g * n as usize + column);
                scales[at..at + 4].copy_from_slice(&scale.to_le_bytes());
                if blocks.offset {
                    offsets[at..at + 4].copy_from_slice(&offset.to_le_bytes());
                }
            });
        }
        Ok(())
    }

    /// Row n of DRAM is token n: K codes become column n.
    fn load_keys(&mut self, tile: &TileRef, addr: u64, stride: u64) -> Result<(), FaultKind> {
        let (base, format) = self.kv("load.keys", tile)?;
        if format.group != Group::Row {
            return refuse(format!("load.keys: {format}: keys have one scale per token, group `row`"));
        }
        if tile.cols == 0 {
            return Ok(());
        }
        let layout = Layout::new(format, tile.rows, tile.cols);
        for n in 0..tile.rows as usize {
            let (codes, scale) = self.token(format.kind, tile.cols, row_address(addr, n, stride)?)?;
            let out = &mut self.scratchpad[base..base + layout.end];
            if let Some(scale) = scale {
                out[2 * n..2 * n + 2].copy_from_slice(&scale.to_le_bytes());
            }
            planes::unpack_row(format.kind, &codes, 0, &mut out[layout.planes..], n, &layout);
        }
        Ok(())
    }

    /// Row k of DRAM is token k: code n of it is bit k of column n.
    fn load_values(&mut self, tile: &TileRef, addr: u64, stride: u64) -> Result<(), FaultKind> {
        let (base, format) = self.kv("load.values", tile)?;
        if format.group == Group::Row {
            return refuse(format!("load.values: {format}: the scale of values varies along K, in groups"));
        }
        let layout = Layout::new(format, tile.rows, tile.cols);
        for eight in 0..layout.row {
            // Up to eight tokens; the codes of those beyond K are zero bits.
            let mut tokens: [Vec<u64>; 8] = Default::default();
            for (j, token) in tokens.iter_mut().enumerate() {
                let k = 8 * eight + j;
                if k >= tile.cols as usize {
                    break;
                }
                let (codes, scale) = self.token(format.kind, tile.rows, row_address(addr, k, stride)?)?;
                if let Some(scale) = scale {
                    self.scratchpad[base + 2 * k..base + 2 * k + 2].copy_from_slice(&scale.to_le_bytes());
                }
                let words = (tile.rows as usize).div_ceil(8);
                token.extend((0..words).map(|i| planes::eight_codes(format.kind, &codes, 8 * i)));
            }
            let out = &mut self.scratchpad[base + layout.planes..base + layout.end];
            for n in 0..tile.rows as usize {
                let code = |token: &Vec<u64>| token.get(n / 8).map_or(0, |w| w >> (8 * (n % 8)) & 0xff);
                let codes = (0..8).fold(0, |x, j| x | code(&tokens[j]) << (8 * j));
                let bits = planes::transpose(codes).to_le_bytes();
                planes::put(format.kind, out, n * layout.row + eight, layout.plane, bits);
            }
        }
        Ok(())
    }

    fn kv(&self, name: &str, tile: &TileRef) -> Result<(usize, WeightFormat), FaultKind> {
        let (base, format) = self.weights(&format_args!("{name}: the tile"), tile)?;
        if !format.kind.is_kv() {
            return refuse(format!("{name}: {format} is no KV cache; load.weights unpacks it"));
        }
        Ok((base, format))
    }

    /// The codes of one token's row, and its scale if the unpacker makes it: FP16 is rounded to 8 bits as by `vquant`.
    fn token(&self, kind: WeightKind, len: u32, addr: u64) -> Result<(Vec<u8>, Option<f16>), FaultKind> {
        let mut bytes = vec![0; kind.code_bytes(u64::from(len)) as usize];
        self.dram.read(addr, &mut bytes)?;
        if kind != WeightKind::KvF16 {
            return Ok((bytes, None));
        }
        let x: Vec<f32> = bytes.as_chunks().0.iter().map(|&b| f16::from_le_bytes(b).to_f32()).collect();
        let mut codes = Vec::with_capacity(x.len());
        let scale = quantise(&x, 127, to_half, &mut codes);
        Ok((codes.iter().map(|&c| c as u8).collect(), Some(f16::from_f32(scale))))
    }
}

/// Address of row `row`, kept within 64 bits.
fn row_address(addr: u64, row: usize, stride: u64) -> Result<u64, FaultKind> {
    let address = (row as u64).checked_mul(stride).and_then(|offset| addr.checked_add(offset));
    address.map_or_else(|| refuse(format!("address beyond DRAM: row {row} at a stride of {stride}")), Ok)
}
