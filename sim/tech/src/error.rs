//! What can be wrong with a node, a component file, a macro or a shape.

/// Why something cannot be priced.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SiliconError {
    /// No such node.
    #[error("no node of {nm} nm has a source; there are {known}")]
    Node {
        /// What was asked for.
        nm: String,
        /// What there is.
        known: String,
    },
    /// A supply too far from the node's own.
    #[error("{voltage} V is too far from the {own} V of {nm} nm: the factors hold within {percent} %")]
    Voltage {
        /// What was asked for.
        voltage: String,
        /// The node's.
        own: String,
        /// The node.
        nm: u32,
        /// How far it may be.
        percent: u32,
    },
    /// A technology file that does not make sense.
    #[error("technology `{file}`{place}: {message}")]
    File {
        /// The file.
        file: String,
        /// Which entry, as `, entry ...`, or nothing.
        place: String,
        /// What is wrong.
        message: String,
    },
    /// A size outside the table of macros: it is not extrapolated.
    #[error("no SRAM macro of {bytes} bytes x {bits} bits at {nm} nm: {why}")]
    Sram {
        /// Capacity.
        bytes: u64,
        /// Width.
        bits: u32,
        /// Node of the table.
        nm: u32,
        /// What the table reaches.
        why: String,
    },
    /// A core that cannot be built.
    #[error("a core of {shape} cannot be built: {why}")]
    Shape {
        /// The shape in words.
        shape: String,
        /// Why.
        why: String,
    },
    /// No number for a memory or a node.
    #[error("{what} has no {entry} in {file}: a missing entry is never counted as zero")]
    Missing {
        /// What is to be priced.
        what: String,
        /// What is missing.
        entry: String,
        /// Where it belongs.
        file: String,
    },
}
