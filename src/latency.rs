//! What each instruction costs in time, in words and formulas, for docs/isa.md: a restatement of what `sim` does.

/// Time of the instruction with this mnemonic: occupancy of its unit, then latency to its signal.
pub(crate) fn latency(mnemonic: &str) -> String {
    let name = mnemonic.trim_end_matches('.');
    match name {
        "halt" | "fence" => "one cycle of the sequencer, and the wait until every unit has retired its last operation.".into(),
        "loop" | "}" | "set" | "add" | "sub" | "mad" | "min" | "ceildiv" | "ring" | "tile" => {
            "one cycle of the sequencer, once the word is in its buffer.".into()
        }
        "sync" => "one cycle of the sequencer; in its queue it retires when everything before it has.".into(),
        "refresh" => "in the load queue, after the last load before it: at the next common edge of the two clocks (for simple \
             ratios; else one cycle); under `refresh.policy = \"aligned\"` the controllers then refresh once more than is owed \
             and count `refresh.interval_cycles` from there."
            .into(),
        "load" | "gather" => "the sequencer hands it on in one cycle. The DMA engine asks for its bursts without a gap to the \
             transfer before, `dma.outstanding_bursts` at most in flight; bytes enter the unpacker in order, leave it at up \
             to `dma.unpacker_bytes` a cycle (a plain load: `dma.port_bytes`) and are written to the scratchpad; it retires \
             after its last write."
            .into(),
        "store" => "the DMA engine reads `dma.port_bytes` a cycle and sends bursts as they fill; it retires when the \
             controllers have taken the last one. One transfer at a time."
            .into(),
        "lmma" => "per group of g weights along K, `planes * ceil(g / k)` cycles of the select array (int1 1 plane, int1.58 \
             and int2 2, int3 3, int4 4, int8 8). Cores without tables take `ceil(planes / b) * ceil(g / lut.k)`, b the bits of a weight that \
             their kind multiplies with at once (`add` 1, `mac-int2` 2, `mac-int4` 4, `mac-int8` 8); `mac-fp16` has one group, all of K, takes \
             `ceil(K / lut.k)`, longer if `columns * K / lut.dequantisers` is more. With tables and k = 1, `ceil(rows * columns * g / attention.mac.lanes)` cycles of the \
             multiply-accumulate lanes. Longer if the builders (`rows * ceil(g / k) / lut.builders`; none for stored \
             tables), the links (`columns * planes * g / 8` bytes at `lut.weight_link_bytes`, a row's activations or tables at \
             `lut.activation_link_bytes`) or the scratchpad deliver less. Entries of 8 bits (`k4t8`) are built after a pass for their scale, \
             beside the group before, at the builders' rate; the first group's is added where the array is idle. Then `ceil(rows * columns / \
             lut.drain_lanes)` cycles of the drain, rows and columns those of one core, beside the next group's selects: \
             the array waits when both accumulators are full. It retires `lut.pipeline_cycles` after its last group's drain."
            .into(),
        "drain" => "`1 + ceil(rows * columns / lut.drain_lanes)` cycles of the drain behind the groups before it, longer if \
             the scratchpad is in use; `add` reads what it adds to. It retires `lut.pipeline_cycles` later."
            .into(),
        _ => vector(name),
    }
}

/// A vector instruction: sweeps over its rows, the special ones on fewer lanes.
fn vector(name: &str) -> String {
    let (sweeps, special, reductions) = match name {
        "vnorm" | "vquant" | "vfold" => (2, 0, 1),
        "vsoftmax" | "valibi" | "vwindow" => (2, 1, 2),
        "vdot" => {
            return format!(
                "for each row of `x` one sweep of `N * ceil(K / vector.lanes)` cycles over `w`, a multiply-add per lane \
                 and cycle; {FILL}"
            );
        }
        "vtable" => {
            return format!("one sweep of `rows * ceil(3 * columns / vector.lanes)` cycles; {FILL}");
        }
        "vroute" => {
            return format!(
                "a sweep of `rows * ceil(used * columns / vector.lanes)` cycles, one of `rows * ceil(columns / \
                 vector.special_lanes)`, one of `rows * ceil(columns / vector.lanes)`, each waiting for the pipeline \
                 behind the one before; {FILL}"
            );
        }
        "vcap" => {
            return format!("one sweep of `rows * ceil(columns / vector.special_lanes)` cycles; {FILL}");
        }
        "vact" | "vglu" => {
            return format!(
                "one sweep of `rows * ceil(columns / L)` cycles, L = `vector.lanes` for ReLU and its square, \
                 `vector.special_lanes` for SiLU and GELU; {FILL}"
            );
        }
        _ => (1, 0, 0),
    };
    let mut text = match sweeps {
        _ if name == "vnorm" => "2 sweeps (4 for `layer`)".to_owned(),
        1 => "one sweep".to_owned(),
        n => format!("{n} sweeps"),
    };
    text += " of `rows * ceil(columns / vector.lanes)` cycles";
    if special > 0 {
        text += ", and between them one of `rows * ceil(columns / vector.special_lanes)`";
    }
    if reductions > 0 {
        text += ", each waiting for the pipeline behind the one before";
    }
    format!("{text}; {FILL}")
}

const FILL: &str =
    "`vector.pipeline_cycles` to fill and again to empty; longer if the scratchpad delivers less.";
