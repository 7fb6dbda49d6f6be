//! Sweep files and plans by name.

use std::path::{Path, PathBuf};

use lutsim_sim::chip_file::near_miss;
use lutsim_sweep::plan::{Plan, PlanError};

use crate::failure::{Failure, UserError};
use crate::resolve;

/// The sweep files that come with lutsim: name and text.
const BUILTIN: &[(&str, &str)] = &[
    ("battery_life", include_str!("../../configs/sweeps/battery_life.toml")),
    ("channels_cores", include_str!("../../configs/sweeps/channels_cores.toml")),
    ("energy_area", include_str!("../../configs/sweeps/energy_area.toml")),
    ("example", include_str!("../../configs/sweeps/example.toml")),
    ("lut_vs_mac", include_str!("../../configs/sweeps/lut_vs_mac.toml")),
    ("paper_mnk", include_str!("../../configs/sweeps/paper_mnk.toml")),
    ("sram_ski_slope", include_str!("../../configs/sweeps/sram_ski_slope.toml")),
    ("weights_accumulator", include_str!("../../configs/sweeps/weights_accumulator.toml")),
];

/// Their names.
pub fn builtin_names() -> impl Iterator<Item = &'static str> {
    BUILTIN.iter().map(|(name, _)| *name)
}

/// The text of a sweep file, by path or by name, and what it is called.
///
/// # Errors
/// There is none.
pub fn open(name: &str) -> Result<(String, String), Failure> {
    let path = Path::new(name);
    if path.is_file() {
        return Ok((name.to_owned(), resolve::read_text(path)?));
    }
    let stem = name.strip_suffix(".toml").unwrap_or(name);
    if let Some((_, text)) = BUILTIN.iter().find(|(known, _)| *known == stem) {
        return Ok((format!("{stem}.toml"), (*text).to_owned()));
    }
    let all = format!(
        "no file has this path; built in, there are {}",
        builtin_names().collect::<Vec<_>>().join(", ")
    );
    let help = match near_miss(stem, builtin_names()) {
        Some(near) => format!("did you mean `{near}`? ({all})"),
        None => all,
    };
    Err(UserError::Refused { what: format!("unknown sweep `{name}`"), help }.into())
}

/// The plan of a folder; its path in messages.
///
/// # Errors
/// There is none, or it is damaged or another version's.
pub fn read_plan(dir: &Path) -> Result<(Plan, PathBuf), Failure> {
    let path = dir.join("plan.jsonl");
    if !path.is_file() {
        return Err(UserError::Refused {
            what: format!("`{}` holds no plan", dir.display()),
            help: "make one with `lutsim sweep plan FILE --out DIR`".into(),
        }
        .into());
    }
    let plan = Plan::parse(&resolve::read_text(&path)?, env!("CARGO_PKG_VERSION")).map_err(|e| {
        let help = match &e {
            PlanError::Version { .. } => {
                "results of another version are not comparable: plan again into another folder"
            }
            PlanError::Malformed { .. } => {
                "make it again with `lutsim sweep plan FILE --out DIR`: the same file gives the same plan"
            }
        };
        UserError::Refused { what: format!("`{}`: {e}", path.display()), help: help.into() }
    })?;
    Ok((plan, path))
}
