//! One file per subcommand.

pub mod asm;
pub mod check;
pub mod compare;
pub mod config;
pub mod diff;
pub mod disasm;
pub mod docs;
pub mod dram;
pub mod estimate;
pub mod eval;
pub mod exec;
pub mod explain;
pub mod explore;
pub mod gemm;
pub mod generate;
pub mod ppa;
pub mod quality;
pub mod report;
pub mod roofline;
pub mod run;
pub mod shell;
pub mod sweep;
pub mod types;
pub mod validate;

use lutsim_isa::{Inst, Program, WeightFormat};
use lutsim_sim::chip_file::ChipFile;

use crate::failure::UserError;

/// Refuses a `--group` that is not that of the blocks which a weight format comes in.
fn check_group(flag: Option<&str>, format: WeightFormat) -> Result<(), UserError> {
    match flag {
        Some(group) if format.kind.blocks().is_some() && format.group.to_string() != group => {
            Err(UserError::Flag {
                flag: "--group".into(),
                value: group.into(),
                why: format!(
                    "blocks of {} have scales of their own, one per {} weights",
                    format.kind, format.group
                ),
                help: "leave --group out".into(),
            })
        }
        _ => Ok(()),
    }
}

/// Refuses a program whose `lmma` is not the chip's.
fn check_fits(path: &str, program: &Program, chip: &ChipFile) -> Result<(), UserError> {
    let lut = chip.chip.lut;
    for (pc, inst) in program.code.iter().enumerate() {
        let misfit = |why: String, help: String| {
            Err(UserError::Misfit { path: path.into(), pc, inst: inst.to_string(), why, help })
        };
        let grid = match inst {
            Inst::Lmma { ty, grid, .. } => {
                if !lut.kind.has_tables() && (ty.k != 1 || ty.halves != lut.kind.traits().dequantises) {
                    let why = format!("is `{ty}`");
                    let wanted = if lut.kind.traits().dequantises { "k1h" } else { "k1" };
                    let help = format!("the cores of {} are `{}`: {wanted}", chip.chip.name, lut.kind.name());
                    return misfit(why, help);
                }
                if ty.halves && lut.kind.has_tables() {
                    let why = "makes FP16 of weights (k1h)".into();
                    let help = format!(
                        "the cores of {} have tables; `lut.kind = \"mac-fp16\"` does",
                        chip.chip.name
                    );
                    return misfit(why, help);
                }
                if ty.k == 1 && lut.mac_lanes == 0 && lut.kind.has_tables() {
                    let why = "is without tables (k1)".into();
                    let help = format!("{} has no `attention.mac.lanes`", chip.chip.name);
                    return misfit(why, help);
                }
                let k = if ty.k == 1 { 1 } else { lut.k as u16 };
                let (shape, has) = ((ty.m, ty.n, ty.k), (lut.m as u16, lut.n as u16, k));
                if shape != has {
                    let why = format!("is for cores m{}n{}k{}", ty.m, ty.n, ty.k);
                    let help = format!("the cores of {} are m{}n{}k{}", chip.chip.name, lut.m, lut.n, lut.k);
                    return misfit(why, help);
                }
                grid
            }
            Inst::Drain { grid, .. } => grid,
            _ => continue,
        };
        if grid.cores() > lut.cores {
            return misfit(
                format!("takes {} cores", grid.cores()),
                format!("{} has {}", chip.chip.name, lut.cores),
            );
        }
    }
    Ok(())
}
