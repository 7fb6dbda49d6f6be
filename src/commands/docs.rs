//! `lutsim docs`: the documents that come from tables in the code and from runs of the memory model.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::failure::{Failure, UserError};
use crate::latency::latency;
use crate::{output, paper, published, validation};

/// Write the generated documents.
#[derive(Debug, Args)]
pub struct Docs {
    /// Folder to write them to
    #[arg(default_value = "docs")]
    folder: PathBuf,
    /// Write nothing; fail if one is not fresh
    #[arg(long)]
    check: bool,
}

/// Name and text of every generated document.
pub fn generated() -> Vec<(&'static str, String)> {
    vec![
        ("config.md", lutsim_sim::chip_file::config_markdown()),
        ("counters.md", lutsim_record::counters_markdown()),
        ("isa.md", lutsim_isa::docs::isa_markdown(|row| latency(row.mnemonic))),
        ("validation-dram.md", validation::dram_markdown()),
        ("validation-paper.md", paper::paper_markdown()),
        ("validation-published.md", published::published_markdown()),
        ("validation-published.csv", published::published_csv()),
    ]
}

impl Docs {
    pub(crate) fn execute(&self) -> Result<(), Failure> {
        for (name, text) in generated() {
            let path = self.folder.join(name);
            match self.check {
                false => output::write_file(&path, text.as_bytes())?,
                true => check(&path, &text)?,
            }
        }
        Ok(())
    }
}

fn check(path: &Path, text: &str) -> Result<(), Failure> {
    match std::fs::read_to_string(path) {
        Ok(found) if found == text => Ok(()),
        _ => Err(UserError::Refused {
            what: format!("{} is not what the code says", path.display()),
            help: "run `cargo run -- docs`, look at the difference, commit it".into(),
        }
        .into()),
    }
}
