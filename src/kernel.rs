//! One program on a chip, without a model: what `exec` and `gemm` run.

use lutsim_isa::Program;
use lutsim_isa::exec::State;
use lutsim_record::UnitCycles;
use lutsim_sim::config::Chip;
use lutsim_sim::{Engine, Job, Machine, Stop};
use serde_json::{Value, json};

use crate::device;
use crate::failure::{Failure, UserError};
use crate::session::Counts;

/// What a program left behind.
pub struct KernelRun {
    /// What it counted.
    pub counts: Counts,
    /// Where each unit's cycles went.
    pub units: Vec<UnitCycles>,
    /// The memories after it.
    pub state: Box<State>,
    clock_hz: u64,
}

/// Runs `program`, which lies at `address`, on memories that hold `state`.
///
/// # Errors
/// A program that cannot go on.
pub fn run(
    name: &str,
    program: &Program,
    address: u64,
    chip: &Chip,
    state: State,
) -> Result<KernelRun, Failure> {
    let stopped = |stop: Stop| UserError::stopped(name, program, &stop);
    let mut machine = Machine::new(chip, Engine::Skip).map_err(|e| UserError::Refused {
        what: e.to_string(),
        help: "change the chip file, or give another value with `--set`".into(),
    })?;
    machine.attach_values(Box::new(state));
    let marks = vec![0; program.code.len()];
    let job =
        Job { program, address, marks: &marks, operators: 1, registers: &[], mailbox: &[], result_bytes: 4 };
    let report = machine.run(&job).map_err(stopped)?;
    let counts = Counts::of_totals(&report.totals, chip);
    let unit = |u: &(lutsim_record::UnitKind, Option<u32>, lutsim_record::Tally)| {
        u.2.unit(u.0, u.1).unwrap_or_else(|e| panic!("{e}"))
    };
    let units = counts.units.iter().map(unit).collect();
    let state =
        machine.values().map(|s| Box::new(s.clone())).unwrap_or_else(|| panic!("values were attached"));
    Ok(KernelRun { counts, units, state, clock_hz: chip.clock_hz })
}

impl KernelRun {
    /// Seconds from doorbell to read-back.
    pub fn seconds(&self) -> f64 {
        self.counts.cycles as f64 / self.clock_hz as f64
    }
    /// The result as JSON.
    pub fn json(&self) -> Value {
        json!({
            "cycles": self.counts.cycles,
            "seconds": self.seconds(),
            "macs": self.counts.events.macs,
            "dram_read_bytes": self.counts.events.dram_read_bytes,
            "dram_write_bytes": self.counts.events.dram_write_bytes,
            "events": self.counts.events,
            "units": self.units,
        })
    }
    /// The result as text.
    pub fn text(&self, chip: &Chip) -> String {
        let e = &self.counts.events;
        let bytes = e.dram_read_bytes + e.dram_write_bytes;
        let share = bytes as f64 / (device::dram_peak(chip) * self.seconds());
        let mut out = format!(
            "cycles            {}\ntime              {:.3} us\nMACs              {}\nDRAM read         {} bytes\n\
             DRAM written      {} bytes\nDRAM bandwidth    {:.1} % of the peak\n\n",
            self.counts.cycles,
            self.seconds() * 1e6,
            e.macs,
            e.dram_read_bytes,
            e.dram_write_bytes,
            100.0 * share,
        );
        let others = e.dram_others_read_bytes + e.dram_others_write_bytes;
        if others > 0 {
            out.insert_str(out.len() - 1, &format!("other masters     {others} bytes\n"));
        }
        for unit in &self.units {
            let percent = |cycles: u64| 100.0 * cycles as f64 / unit.total().max(1) as f64;
            let mut stalls: Vec<_> = unit.stall_cycles.iter().filter(|(_, n)| **n > 0).collect();
            stalls.sort_by_key(|(_, n)| std::cmp::Reverse(**n));
            let stalls: Vec<_> =
                stalls.iter().map(|(name, n)| format!("{name} {:.1} %", percent(**n))).collect();
            out += &format!(
                "{:<12}busy {:>5.1} %   {}\n",
                unit.name,
                percent(unit.busy_cycles),
                stalls.join(", ")
            );
        }
        out
    }
}
