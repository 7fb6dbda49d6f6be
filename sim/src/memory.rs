//! Builds the channels that a chip asks for.

use lutsim_dram::{Channel as Controller, Policy, Standard};

use crate::background::{Background, Place};
use crate::channel::Channel;
use crate::clock::Timebase;
use crate::config::{Chip, DramKind, RefreshPolicy};
use crate::stop::BuildError;

pub(crate) struct Memory {
    pub(crate) timebase: Timebase,
    pub(crate) channels: Vec<Channel>,
    pub(crate) burst_bytes: u32,
}

pub(crate) fn build(chip: &Chip) -> Result<Memory, BuildError> {
    let timebase = |memory: (u64, u64)| {
        Timebase::new(chip.clock_hz, memory)
            .ok_or(BuildError::Timebase { core: chip.clock_hz, memory: memory.0 as f64 / memory.1 as f64 })
    };
    let others = |channel: u32, burst_bytes: u32, held: u64, clock: (u64, u64)| {
        let channels = chip.dram.channels;
        let bursts = (chip.dram.bytes / u64::from(channels) / u64::from(burst_bytes)).min(held);
        Background::new(&chip.background, Place { channel, channels, bursts, burst_bytes, clock })
    };
    match &chip.dram.kind {
        DramKind::Standard(name) => {
            let standard = Standard::builtin(name)?;
            let mut policy = Policy::users();
            policy.refresh.policy = match chip.refresh.policy {
                RefreshPolicy::Timer => lutsim_dram::RefreshPolicy::Timer,
                RefreshPolicy::Aligned => lutsim_dram::RefreshPolicy::Aligned,
            };
            policy.refresh.interval = Some(chip.refresh.interval_cycles.into());
            let timebase = timebase(standard.clock_hz)?;
            // Clones share the compiled constraints.
            let controller = Controller::new(&standard, &policy)?;
            let channel = |i: u32| {
                let others = others(i, standard.request_bytes, standard.channel_bursts(), standard.clock_hz);
                Channel::new(i as usize, timebase.memory_period, controller.clone()).shared_with(others)
            };
            let channels = (0..chip.dram.channels).map(channel).collect();
            Ok(Memory { timebase, channels, burst_bytes: standard.request_bytes })
        }
        &DramKind::Ideal { latency_ns, bytes_per_second, burst_bytes } => {
            // One burst per clock is the bandwidth.
            let clock = (bytes_per_second, u64::from(burst_bytes));
            let timebase = timebase(clock)?;
            let latency =
                u128::from(latency_ns) * u128::from(clock.0) / (u128::from(clock.1) * 1_000_000_000);
            let channel = |i: u32| {
                let others = others(i, burst_bytes, u64::MAX, clock);
                Channel::ideal(i as usize, timebase.memory_period, (latency as u64).max(1))
                    .shared_with(others)
            };
            let channels = (0..chip.dram.channels).map(channel).collect();
            Ok(Memory { timebase, channels, burst_bytes })
        }
    }
}
