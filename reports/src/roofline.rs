//! The roofline of a record: ceilings of memory and of the look-up cores, a point per operator and phase.

use lutsim_record::Record;

use crate::operators::by_operator;
use crate::quantity::{digits, share};

/// A limit on operations per second that does not depend on the intensity.
#[derive(Clone, Debug, PartialEq)]
pub struct Ceiling {
    /// What it is, for instance `2-bit weights`.
    pub label: String,
    /// Peak operations per second, two per multiply-accumulate.
    pub ops_per_s: f64,
}

/// What a point stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PointKind {
    /// A whole phase.
    Phase,
    /// An operator that multiplies and accumulates.
    Operator,
    /// An operator of the vector unit alone: its lane operations are counted.
    Vector,
}

/// An operator or a phase.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// The operator's or the phase's name.
    pub name: String,
    /// The phase it belongs to.
    pub phase: String,
    /// What it stands for.
    pub kind: PointKind,
    /// Operations, two per multiply-accumulate.
    pub ops: f64,
    /// Bytes that the DRAM pins moved meanwhile.
    pub dram_bytes: f64,
    /// Time that it took.
    pub seconds: f64,
    /// Part of its phase's time.
    pub share: f64,
}

impl Point {
    /// Operations per DRAM byte; none without traffic.
    pub fn intensity(&self) -> Option<f64> {
        (self.dram_bytes > 0.0).then(|| self.ops / self.dram_bytes)
    }

    /// Operations per second; none if it took no time.
    pub fn ops_per_s(&self) -> Option<f64> {
        (self.seconds > 0.0 && self.ops > 0.0).then(|| self.ops / self.seconds)
    }
}

/// Everything that a roofline picture shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Roofline {
    /// What ran on what.
    pub title: String,
    /// The workload in a line.
    pub subtitle: String,
    /// Peak of the DRAM pins.
    pub dram_bytes_per_s: f64,
    /// Peak of all scratchpad banks; 0 where it is no roof.
    pub scratchpad_bytes_per_s: f64,
    /// Peaks of the look-up cores by weight width.
    pub compute: Vec<Ceiling>,
    /// Phases first, then operators in order of execution.
    pub points: Vec<Point>,
    /// What the points' numbers are, in lines of about 70 characters.
    pub notes: Vec<&'static str>,
}

/// What the numbers of a run are.
const MEASURED: [&str; 4] = [
    "Size of a marker: its part of the phase's time. Operators are summed",
    "over layers; their bytes are those that moved during their interval,",
    "prefetch included. Grey: vector operators, counted in lane operations.",
    "Without DRAM bytes (-) a marker stands at the right edge.",
];

impl Roofline {
    /// The roofline of a saved record.
    pub fn from_record(record: &Record) -> Roofline {
        let (w, m) = (&record.workload, &record.machine);
        let ideal = if m.dram_model == "ideal" { ", IDEAL DRAM" } else { "" };
        let mut points: Vec<Point> = Vec::new();
        for (name, phase) in record.phases() {
            points.push(Point {
                name: name.to_owned(),
                phase: name.to_owned(),
                kind: PointKind::Phase,
                ops: 2.0 * phase.macs as f64,
                dram_bytes: (phase.dram_read_bytes + phase.dram_write_bytes) as f64,
                seconds: phase.seconds,
                share: 1.0,
            });
        }
        for (phase, _) in record.phases() {
            points.extend(by_operator(record, phase).into_iter().map(|op| Point {
                phase: phase.to_owned(),
                kind: if op.macs > 0 { PointKind::Operator } else { PointKind::Vector },
                ops: if op.macs > 0 { 2.0 * op.macs as f64 } else { op.vector_ops as f64 },
                dram_bytes: op.dram_bytes_transferred as f64,
                seconds: share(op.cycles as f64, m.core_clock_hz as f64),
                share: op.share,
                name: op.name,
            }));
        }
        Roofline {
            title: format!("{} on {}", w.model, m.chip),
            subtitle: format!(
                "weights {} ({} bits stored), activations {}, KV {}; batch {}, context {}, prompt {}, {} steps{ideal}",
                w.weights,
                digits(w.stored_bits_per_weight),
                w.activations,
                w.kv,
                w.batch,
                w.context,
                w.prompt,
                w.generate
            ),
            dram_bytes_per_s: m.dram_peak_bytes_per_second,
            scratchpad_bytes_per_s: m.scratchpad_peak_bytes_per_second,
            compute: m
                .lut_peak_ops_per_second
                .iter()
                .map(|(bits, peak)| Ceiling { label: format!("{bits}-bit weights"), ops_per_s: *peak })
                .collect(),
            points,
            notes: MEASURED.to_vec(),
        }
    }

    /// The intensity at which a ceiling meets a memory roof, operations per byte.
    pub fn ridge(ceiling: &Ceiling, bytes_per_s: f64) -> f64 {
        share(ceiling.ops_per_s, bytes_per_s)
    }
}
