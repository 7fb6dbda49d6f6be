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
    /// How the candidate's decode step got on, and that of the best one. Prefill is not compared: there the cores bind, and bursts
    /// come in lumps, the larger the ring.
    pace: Option<Pace>,
    best_pace: Option<Pace>,
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
            pace: None,
            best_pace: None,
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
        self.pace = None;
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
        let decode = step.phase.decode;
        let rival = self.best_pace.as_ref().filter(|_| decode);
        let measured = device.measure(step, doorbell, most, rival).map_err(|e| DeviceError(e.to_string()))?;
        self.memory = device.memory();
        Ok(measured.map(|(cycles, pace)| {
            if decode {
                self.pace = Some(pace);
            }
            cycles
        }))
    }
    fn keep(&mut self) {
        self.retire();
        self.best_pace = self.pace.take();
        let before = std::mem::replace(&mut self.best, self.memory.take());
        self.lost += before.map_or(0, |memory| memory.searched_cycles());
    }
}
