//! Measuring mappings: the first layer of each program, on chips that remember what the ones before them did.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use lutsim_host::lower::Lowered;
use lutsim_host::runtime::{DeviceError, Doorbell};
use lutsim_host::search::{Effort, Meter};
use lutsim_sim::config::Chip;
use lutsim_sim::{Engine, Memory};

use super::Progress;
use crate::device::{self, SimDevice};
use crate::pace::Pace;

/// Whether a program decodes, and whether it has a head.
type Kind = (bool, bool);

/// Measurements on a chip; what `leap` remembers of the best mapping is kept for the run.
pub(super) struct Trial<'a> {
    chip: &'a Chip,
    effort: Effort,
    interrupt: Option<&'a Arc<AtomicBool>>,
    progress: &'a dyn Progress,
    measured: u64,
    /// The chip that the candidate's steps run on, one after the other, in a thorough search.
    device: Option<SimDevice>,
    /// What is remembered of the candidate being measured, and of the best one.
    memory: Option<Memory>,
    best: Option<Memory>,
    /// How the programs of the candidate got on, and those of the best one; each by whether it decodes and has a head.
    paces: Vec<(Kind, Pace)>,
    best_paces: Vec<(Kind, Pace)>,
    /// Core cycles that were executed for those that lost.
    lost: u64,
}

impl<'a> Trial<'a> {
    pub(super) fn new(
        chip: &'a Chip,
        effort: Effort,
        interrupt: Option<&'a Arc<AtomicBool>>,
        progress: &'a dyn Progress,
    ) -> Self {
        Self {
            chip,
            effort,
            interrupt,
            progress,
            measured: 0,
            device: None,
            memory: None,
            best: None,
            paces: Vec::new(),
            best_paces: Vec::new(),
            lost: 0,
        }
    }
    /// What is remembered of the best one, which counts the cycles of all.
    pub(super) fn finish(mut self) -> Option<Memory> {
        self.begin();
        let mut best = self.best?;
        best.count(self.lost);
        Some(best)
    }
}

impl Trial<'_> {
    fn new_device(&self) -> Result<SimDevice, DeviceError> {
        let mut device = SimDevice::new(self.chip, Engine::Leap).map_err(|e| DeviceError(e.to_string()))?;
        device.interrupt(self.interrupt);
        Ok(device)
    }
    /// What the candidate's chip remembers is the candidate's.
    fn retire(&mut self) {
        if let Some(device) = self.device.take() {
            self.memory = device.memory();
        }
    }
}

impl Meter for Trial<'_> {
    fn least(&mut self, step: &Lowered, doorbell: &Doorbell) -> Result<u64, DeviceError> {
        device::least_cycles(self.chip, step, doorbell).map_err(|e| DeviceError(e.to_string()))
    }
    fn begin(&mut self) {
        self.retire();
        self.paces.clear();
        self.lost += self.memory.take().map_or(0, |memory| memory.searched_cycles());
    }
    fn cycles(&mut self, step: &Lowered, doorbell: &Doorbell, most: u64) -> Result<Option<u64>, DeviceError> {
        self.progress.step("mapping", self.measured, None);
        self.measured += 1;
        if self.effort == Effort::Thorough {
            let device = match &mut self.device {
                Some(device) => device,
                None => self.device.insert(self.new_device()?),
            };
            let report = device.step(step, doorbell, None).map_err(|e| DeviceError(e.to_string()))?;
            return Ok(Some(report.totals.cycles).filter(|&cycles| cycles <= most));
        }
        let mut device = self.new_device()?;
        if let Some(memory) = self.memory.take() {
            device.recall(memory);
        }
        let kind = (step.phase.decode, step.phase.head);
        let rival = self.best_paces.iter().find(|(of, _)| *of == kind).map(|(_, pace)| pace);
        let measured = device.measure(step, doorbell, most, rival).map_err(|e| DeviceError(e.to_string()))?;
        self.memory = device.memory();
        Ok(measured.map(|(cycles, pace)| {
            self.paces.push((kind, pace));
            cycles
        }))
    }
    fn keep(&mut self) {
        self.retire();
        self.best_paces = std::mem::take(&mut self.paces);
        let before = std::mem::replace(&mut self.best, self.memory.take());
        self.lost += before.map_or(0, |memory| memory.searched_cycles());
    }
}
