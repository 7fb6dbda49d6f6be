//! A chip file as silicon: the structure that its area, its energy per event and its price follow from.

use lutsim_record::{Area, Band, Ordered, Price, Tech};
use lutsim_sim::chip_file::ChipFile;
use lutsim_sim::config::Build;
use lutsim_tech::{
    Core, Cores, Dma, Dram, Node, Plan, Scratchpad, Sequencer, Silicon, SiliconError, Vector, cost,
};

use crate::device;

/// The chip's logic at its node.
///
/// # Errors
/// A node without a source.
pub fn silicon(chip: &ChipFile) -> Result<Silicon, SiliconError> {
    Ok(Silicon::at(Node::named(&chip.chip.technology)?))
}

/// The chip's parts.
///
/// # Errors
/// A DRAM technology without interface or price.
pub fn plan(file: &ChipFile) -> Result<Plan, SiliconError> {
    let chip = &file.chip;
    let name = &file.dram_technology;
    let memory = Tech::builtin(name).unwrap_or_else(|e| panic!("the chip file named the technology {e}"));
    let band = |entry: &str, unit: &str| {
        memory.band(entry, unit).ok_or_else(|| SiliconError::Missing {
            what: format!("technology `{name}`"),
            entry: format!("entry `{entry}` in {unit}"),
            file: format!("{name}.toml"),
        })
    };
    let lut = chip.lut;
    let builders = match lut.build {
        Build::Ingress { builders } => builders,
        Build::Vector => 0,
        Build::Nobody => lut.dequantisers,
    };
    let core = Core::on_chip(lut.kind, (lut.m, lut.n, lut.k), lut.accumulator_bits, builders);
    Ok(Plan {
        cores: Cores { count: lut.cores, core, drain_lanes: lut.drain_lanes, mac_lanes: lut.mac_lanes },
        scratchpad: Scratchpad {
            bytes: chip.scratchpad.bytes,
            banks: chip.scratchpad.banks,
            bank_bytes: chip.scratchpad.bank_bytes,
        },
        vector: Vector { lanes: chip.vector.lanes, special_lanes: chip.vector.special_lanes },
        dma: Dma {
            buffer_bytes: u64::from(chip.dma.outstanding_bursts) * u64::from(device::burst_bytes(chip)),
            port_bytes: chip.dma.port_bytes,
            unpacker_bytes: chip.dma.unpacker_bytes,
        },
        sequencer: Sequencer {
            queue_depth: chip.sequencer.queue_depth,
            buffer_bytes: chip.sequencer.buffer_bytes,
        },
        dram: Dram {
            channels: chip.dram.channels,
            bytes: chip.dram.bytes,
            technology: name.clone(),
            phy_mm2: band("phy_area", "mm2")?,
            usd_per_gb: band("price", "USD/GB")?,
        },
    })
}

/// What every event of the chip and its memory costs.
///
/// # Errors
/// A chip that cannot be built or priced.
pub fn technology(file: &ChipFile) -> Result<Tech, SiliconError> {
    let logic = plan(file)?.events(&silicon(file)?)?;
    let memory = Tech::builtin(&file.dram_technology)
        .unwrap_or_else(|e| panic!("the chip file named the technology {e}"));
    Ok(logic.with(memory).unwrap_or_else(|e| panic!("{e}")))
}

/// All parts together.
pub fn total(parts: &Ordered<Band>) -> Band {
    parts.iter().fold(Band::default(), |sum, (_, band)| sum + *band)
}

/// Area of a chip and price of chip and memory, as the record has them.
///
/// # Errors
/// A chip that cannot be built or priced.
pub fn area_and_price(file: &ChipFile) -> Result<(Area, Price), SiliconError> {
    let (plan, silicon) = (plan(file)?, silicon(file)?);
    let parts = plan.area(&silicon)?;
    let die = cost(total(&parts), silicon.node)?;
    let memory = plan.dram.usd_per_gb.times(plan.dram.bytes as f64 / 1e9);
    Ok((Area::of(&parts), Price::of(&[("die", die.die), ("dram", memory)])))
}
