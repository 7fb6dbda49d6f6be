//! Wires of a broadcast inside a core: one bit to many elements.

/// Length of the tree that joins n points spread over an area is some 0.75 sqrt(n x area): the mean of rectilinear Steiner trees.
const TREE: f64 = 0.75;

/// Length in mm of the tree from one bit to `sinks` elements of `um2` each.
pub(crate) fn tree_mm(sinks: u32, um2: f64) -> f64 {
    match sinks {
        0 | 1 => 0.0,
        n => TREE * f64::from(n) * um2.sqrt() * 1e-3,
    }
}
