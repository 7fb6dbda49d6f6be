//! Rules of the cores: a shape that can be built, keys that belong to their kind, types that they multiply.

use lutsim_isa::field::{AType, Entries};
use lutsim_isa::format::STORED_TABLE;
use lutsim_tech::{Activation, Core, Kind, SiliconError};

use super::ChipFile;
use super::document::Document;
use super::error::{ChipError, Fault};
use super::keys::Key;
use crate::config::Build;

/// What must hold between keys of the cores, and of what runs on them.
pub(super) fn check(doc: &Document, file: &ChipFile) -> Result<(), Box<ChipError>> {
    let rule = |key, message: String, help: String| Err(doc.fault(key, Fault::Rule { message, help }));
    let lut = &file.chip.lut;
    let (kind, name) = (lut.kind, lut.kind.name());
    let core = Core::on_chip(kind, (lut.m, lut.n, lut.k), lut.accumulator_bits, lut.dequantisers);
    if let Err(SiliconError::Shape { shape, why }) = core.check() {
        return rule(Key::LutK, format!("cores of {shape} cannot be built: {why}"), "K = 4 is usual".into());
    }
    if lut.build == Build::Vector && lut.k != STORED_TABLE {
        return rule(
            Key::LutK,
            format!("stored tables are of {STORED_TABLE} activations, and `lut.k` is {}", lut.k),
            "`lut.build = \"ingress\"` makes tables of any size".into(),
        );
    }
    if lut.build == Build::Vector && kind != Kind::Lut {
        return rule(
            Key::LutBuild,
            format!("tables that the vector unit makes are those of `lut`, and the cores are `{name}`"),
            "`lut.build = \"ingress\"` makes them in the cores".into(),
        );
    }
    if lut.mac_lanes > 0 && !kind.has_tables() {
        return rule(
            Key::AttentionMacLanes,
            format!("`attention.mac.lanes` is for cores with tables, and those of `{name}` have none"),
            "leave it out: the cores themselves run attention".into(),
        );
    }
    let activation = match file.workload.activations {
        AType::Int8 => Activation::Int8,
        AType::Fp16 => Activation::Fp16,
    };
    let takes = kind.traits().activations;
    if !takes.contains(&activation) {
        let nearest = if takes.contains(&Activation::Int8) { "int8" } else { "fp16" };
        return rule(
            Key::WorkloadActivations,
            format!("cores of `{name}` do not multiply {} activations", file.workload.activations),
            format!("the nearest legal choice is `--set workload.activations={nearest}`"),
        );
    }
    if file.workload.tables == Entries::Int8 && !kind.has_tables() {
        return rule(
            Key::WorkloadTables,
            format!("`workload.tables = \"int8\"` rounds tables, and cores of `{name}` have none"),
            "the nearest legal choice is `--set workload.tables=exact`".into(),
        );
    }
    Ok(())
}
