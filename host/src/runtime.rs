//! Between host and chip: what a doorbell carries, what comes back.

use lutsim_isa::Reg;

use crate::lower::Lowered;

/// What the host writes to start a step.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Doorbell {
    /// Runtime registers.
    pub registers: Vec<(Reg, u64)>,
    /// Token ids, one per row.
    pub mailbox: Vec<u32>,
}

/// What a step gave.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Outcome {
    /// Core clock cycles from doorbell to the last result.
    pub cycles: u64,
    /// Token of each row, when the device computes values.
    pub tokens: Vec<u32>,
}

/// Why a device could not run a step.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct DeviceError(pub String);

/// Something that runs programs.
pub trait Device {
    /// Runs a step to its end.
    ///
    /// # Errors
    /// A program that the device cannot execute, or one that never ends.
    fn run(&mut self, step: &Lowered, doorbell: &Doorbell) -> Result<Outcome, DeviceError>;
}
