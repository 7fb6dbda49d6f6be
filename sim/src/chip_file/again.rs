//! A chip from its canonical echo: what a record says is what its chip file said.

use std::fmt::Write;

use serde_json::Value as Json;

use super::document::Override;
use super::error::{ChipError, Fault};
use super::keys::{KEYS, Kind};
use super::{ChipFile, Workload};

impl ChipFile {
    /// The chip of a canonical echo ([`Self::canonical`]), such as a record has; it was checked as a file is.
    ///
    /// # Errors
    /// It is no echo of a chip that this version knows.
    pub fn from_canonical(echo: &Json) -> Result<ChipFile, Box<ChipError>> {
        ChipFile::parse("record", &text(echo)?, &[])
    }

    /// The same chip with overrides.
    ///
    /// # Errors
    /// What is wrong with one, or with what they make of the chip.
    pub fn with(&self, overrides: &[Override]) -> Result<ChipFile, Box<ChipError>> {
        ChipFile::parse("chip", &text(&self.canonical())?, overrides)
    }
}

/// A chip file's text with every value in base units.
fn text(echo: &Json) -> Result<String, Box<ChipError>> {
    let mut out = String::new();
    for key in KEYS {
        let path = key.canonical();
        let Some(value) = path.split('.').try_fold(echo, |at, part| at.get(part)) else { continue };
        let wrong = || {
            let message = format!("`{path}` is {value}, which is not what a record says of a chip");
            ChipError::new(Fault::Syntax { message })
        };
        let value = match (key.row().kind, value) {
            (Kind::Frequency, Json::Number(n)) => format!("\"{n} Hz\""),
            (Kind::Time, Json::Number(n)) => format!("\"{n} ns\""),
            (Kind::Rate(_), Json::Number(n)) => format!("\"{n} B/s\""),
            (Kind::Share, Json::Number(n)) => {
                let n = n.as_u64().ok_or_else(wrong)?;
                format!("{}.{:03}", n / 1000, n % 1000)
            }
            (_, Json::Number(_) | Json::Bool(_) | Json::String(_)) => value.to_string(),
            _ => return Err(wrong()),
        };
        let _ = writeln!(out, "{} = {value}", key.path());
    }
    Ok(out)
}

impl Workload {
    /// The weights' format.
    pub fn format(&self) -> lutsim_isa::WeightFormat {
        lutsim_isa::WeightFormat::new(self.weights, self.group)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{BUILTIN, load_builtin};
    use super::*;

    #[test]
    fn a_chip_comes_back_from_its_echo() {
        let sets: [(&str, &[&str]); 3] = [
            (
                "tiny",
                &[
                    "background.rate=1 GB/s",
                    "background.read_share=0.705",
                    "background.locality=1",
                    "background.seed=3",
                ],
            ),
            (
                "tiny",
                &["dram.ideal.latency=100 ns", "dram.ideal.bandwidth=8 GB/s", "dram.ideal.burst_bytes=64"],
            ),
            ("snapdragon_like", &["attention.mac.lanes=64", "lut.build=vector"]),
        ];
        let more = sets.iter().map(|(chip, sets)| {
            let sets: Vec<_> = sets.iter().map(|s| Override::set(s).unwrap()).collect();
            load_builtin(chip).unwrap().with(&sets).unwrap()
        });
        for chip in BUILTIN.iter().map(|(name, _)| load_builtin(name).unwrap()).chain(more) {
            let again = ChipFile::from_canonical(&chip.canonical()).unwrap();
            assert_eq!(again.canonical(), chip.canonical());
            assert_eq!((again.chip, again.workload), (chip.chip, chip.workload));
        }
        assert!(ChipFile::from_canonical(&serde_json::json!({})).is_err());
        assert!(ChipFile::from_canonical(&serde_json::json!({ "name": [1] })).is_err());
    }
}
