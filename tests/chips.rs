//! The chip files in `configs/chips`: each is read, runs a product and a small model, and its energies agree.

use std::path::{Path, PathBuf};

use lutsim_dram::Standard;
use lutsim_record::Tech;
use lutsim_sim::chip_file::ChipFile;
use lutsim_sim::config::DramKind;

use crate::cli_cases::lutsim;

fn chips() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/chips");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() >= 5);
    paths
}

/// Whether a chip's cores multiply floats alone.
fn takes_halves(path: &Path) -> bool {
    let name = path.file_name().unwrap().to_str().unwrap();
    let file = ChipFile::parse(name, &std::fs::read_to_string(path).unwrap(), &[]).unwrap();
    file.chip.lut.kind.traits().dequantises
}

#[test]
fn every_chip_runs_a_product_and_a_small_model() {
    for path in chips() {
        let chip = path.to_str().unwrap();
        let halves = takes_halves(&path);
        for args in [
            "gemm 1,512,512 --weights int2",
            "gemm 20,300,256 --weights int4",
            "run --model tiny-2l --prompt 4 --generate 1 --weights int2 --group 32 --set workload.head_group=32",
        ] {
            // A lone product is of integers.
            if halves && args.starts_with("gemm") {
                continue;
            }
            let args: Vec<&str> = args.split(' ').chain(["--config", chip]).collect();
            let (code, _, stderr) = lutsim(Path::new("."), &args);
            assert_eq!(code, 0, "{chip}: {args:?}\n{stderr}");
        }
    }
}

/// A standard's own `[energy]` and the technology that a chip prices it with are two files about one device.
#[test]
fn a_chips_dram_technology_agrees_with_its_standard() {
    for path in chips() {
        let name = path.file_name().unwrap().to_str().unwrap();
        let file = ChipFile::parse(name, &std::fs::read_to_string(&path).unwrap(), &[]).unwrap();
        let DramKind::Standard(standard) = &file.chip.dram.kind else { continue };
        let energy = Standard::builtin(standard).unwrap().event_energy.unwrap();
        let tech = Tech::builtin(&file.dram_technology).unwrap();
        for (entry, unit, ours) in [
            ("dram_activate", "nJ", energy.activate_pj.map(|pj| pj / 1000.0)),
            ("dram_read", "pJ/bit", energy.read_pj_per_bit),
            ("dram_write", "pJ/bit", energy.write_pj_per_bit),
            ("dram_background_active", "mW", energy.active_mw),
            ("dram_background_idle", "mW", energy.precharged_mw),
            ("interface_read", "pJ/bit", energy.interface_pj_per_bit),
            ("interface_write", "pJ/bit", energy.interface_pj_per_bit),
        ] {
            let e = tech.entry(entry).unwrap();
            assert_eq!((e.unit.as_str(), [e.low, e.value, e.high]), (unit, ours), "{name}: {entry}");
        }
        // A technology serves channels of several sizes; a refresh costs by the pages.
        let refresh = tech.entry("dram_refresh").unwrap().value * 1000.0;
        let ratio = refresh / energy.refresh_pj[1];
        assert!((0.7..1.4).contains(&ratio), "{name}: {ratio}");
    }
}

/// Also where pseudo-channels have a data bus each.
#[test]
fn a_channel_is_as_busy_as_its_share_of_the_peak() {
    for path in chips().into_iter().filter(|path| !takes_halves(path)) {
        let chip = path.to_str().unwrap();
        let (_, stdout, _) = lutsim(Path::new("."), &["gemm", "1,4096,1024", "--json", "--config", chip]);
        let found: serde_json::Value = serde_json::from_str(&stdout).unwrap();
        let number = |v: &serde_json::Value| v.as_f64().unwrap();
        let file = ChipFile::parse(chip, &std::fs::read_to_string(&path).unwrap(), &[]).unwrap();
        let bytes = number(&found["dram_read_bytes"]) + number(&found["dram_write_bytes"]);
        let share = bytes / (lutsim::device::dram_peak(&file.chip) * number(&found["seconds"]));
        let channels: Vec<_> = found["units"].as_array().unwrap().iter().collect();
        let channels: Vec<_> =
            channels.into_iter().filter(|u| u["name"].as_str().unwrap().starts_with("dram.")).collect();
        let clocks = |u: &serde_json::Value| {
            number(&u["busy_cycles"])
                + u["stall_cycles"].as_object().unwrap().values().map(number).sum::<f64>()
        };
        let busy: f64 = channels.iter().map(|u| number(&u["busy_cycles"])).sum();
        let all: f64 = channels.iter().map(|u| clocks(u)).sum();
        assert!((busy / all - share).abs() < 0.005, "{chip}: {} {share}", busy / all);
    }
}
