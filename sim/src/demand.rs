//! What a program asks of the machine, word by word, without running it: less time than that it cannot take.

use lutsim_isa::control::{Reads, Word};
use lutsim_isa::{Control, Dispatch, Fault, TileRef};

use crate::config::Chip;
use crate::lut;
use crate::machine::Job;
use crate::rows::dram_rows;

/// What a stretch of a program asks for.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Demand {
    /// DRAM bursts, both ways, those of the program itself not among them.
    pub bursts: u64,
    /// Core cycles of the select arrays.
    pub lut_cycles: u64,
}

/// A word that came before: the tiles that it named, wherever they lay, and what it asked for.
struct Met {
    reads: Reads,
    tiles: Vec<TileRef>,
    demand: Demand,
}

impl Demand {
    /// Of a program up to where operator `again` begins for the second time, or to its end; bursts are `burst_bytes` long.
    ///
    /// # Errors
    /// A word without a meaning.
    pub fn of(chip: &Chip, burst_bytes: u32, job: &Job<'_>, again: u32) -> Result<Self, Fault> {
        let mut control = Control::with_mailbox(job.registers, job.mailbox);
        let (mut demand, mut current, mut begun) = (Self::default(), None, 0);
        let mut met: Vec<Option<Met>> = Vec::new();
        met.resize_with(job.program.code.len(), || None);
        loop {
            let at = control.pc;
            let inst = match control.advance(job.program)? {
                Word::Halt => return Ok(demand),
                Word::Control | Word::Tile(_) | Word::Fence => continue,
                Word::Dispatch(inst) => inst,
            };
            let operator = job.marks[at as usize];
            if current.replace(operator) != Some(operator) && operator == again {
                begun += 1;
                if begun == 2 {
                    return Ok(demand);
                }
            }
            let met = &mut met[at as usize];
            if !met.as_ref().is_some_and(|met| met.comes_again(&control)) {
                let demand = Self::of_word(chip, burst_bytes, &control.dispatch(inst, at)?);
                let reads = inst.reads();
                let tiles = reads.tiles.iter().flat_map(|&tile| control.tile(tile)).collect();
                *met = Some(Met { reads, tiles, demand });
            }
            let more = met.as_ref().map_or(Self::default(), |met| met.demand);
            demand.lut_cycles += more.lut_cycles;
            demand.bursts += more.bursts;
        }
    }
    fn of_word(chip: &Chip, burst_bytes: u32, dispatch: &Dispatch) -> Self {
        let rows = dram_rows(&dispatch.op);
        Self {
            bursts: (rows.bytes * rows.rows).div_ceil(burst_bytes.into()),
            lut_cycles: lut::array_cycles(dispatch, &chip.lut),
        }
    }
}

impl Met {
    /// Whether the tiles are alike but for their places: those and addresses change nothing.
    fn comes_again(&self, control: &Control) -> bool {
        let alike = |tile: TileRef, was: &TileRef| TileRef { base: was.base, ..tile } == *was;
        let mut tiles = self.reads.tiles.iter().zip(&self.tiles);
        tiles.all(|(&tile, was)| control.tile(tile).is_ok_and(|tile| alike(tile, was)))
    }
}
