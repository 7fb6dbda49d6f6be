//! What a program asks of the machine, word by word, without running it: less time than that it cannot take.

use lutsim_isa::{Control, Fault, Step};

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

impl Demand {
    /// Of a program up to where operator `again` begins for the second time, or to its end; bursts are `burst_bytes` long.
    ///
    /// # Errors
    /// A word without a meaning.
    pub fn of(chip: &Chip, burst_bytes: u32, job: &Job<'_>, again: u32) -> Result<Self, Fault> {
        let mut control = Control::with_mailbox(job.registers, job.mailbox);
        let (mut demand, mut current, mut begun) = (Self::default(), None, 0);
        loop {
            let pc = control.pc as usize;
            let dispatch = match control.step(job.program)? {
                Step::Halt => return Ok(demand),
                Step::Control | Step::Fence => continue,
                Step::Dispatch(dispatch) => dispatch,
            };
            let operator = job.marks[pc];
            if current.replace(operator) != Some(operator) && operator == again {
                begun += 1;
                if begun == 2 {
                    return Ok(demand);
                }
            }
            demand.lut_cycles += lut::array_cycles(&dispatch, &chip.lut);
            let rows = dram_rows(&dispatch.op);
            demand.bursts += (rows.bytes * rows.rows).div_ceil(burst_bytes.into());
        }
    }
}
