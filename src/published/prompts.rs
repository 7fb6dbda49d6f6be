//! Rates of prompts.

use std::fmt::Write;

use lutsim_baselines::engine::{self, Machine};
use lutsim_baselines::published::{self, Metric};
use lutsim_reports::quantity::{digits, percent};

use super::{Pair, Spread, paces};

/// What prefill follows from, and how well other rows are predicted.
pub(super) fn section(out: &mut String, pairs: &[Pair]) {
    out.push_str(
        "\n## Prefill\n\nThe tokens of a prompt share the weights that are read, so products count, unless reading the weights once takes longer: `work / (rate x threads)` on CPUs, \
         `operations / (peak share x peak)` on GPUs, each factor from one row. Other numbers of threads, other types and other GPUs are \
         predictions. The cores of the i7 get slower the more of them run, which no factor here says; a GPU with other matrix units reaches \
         another share of its peak (H100), and FP16 on the A100 SXM was published at an eleventh of the PCIe card's rate, which is kept as it \
         is. What is not in the table has no published rate of prompts with a source for its peak, and `lutsim compare` says nothing of its \
         prefill; vLLM and Ladder have that of their layers.\n\n| engine | machine | of | peak, TOPS | peak share | rate, G/s | from | predicted | median | largest |\n\
         |---|---|---|---|---|---|---|---|---|---|\n",
    );
    let (engines, rows) = (engine::engines(), published::rows());
    for ((_, e), paces) in engines.iter().zip(paces(&engines, &rows)) {
        for (m, pace) in e.machines.iter().zip(paces) {
            let (Some(prefill), Some(pace)) = (&m.prefill, pace) else { continue };
            let here = |p: &&Pair| {
                p.row.kind() == Metric::Prefill && p.engine == e.name && e.machine(&p.row) == Some(m)
            };
            let spread = Spread::of(pairs.iter().filter(here));
            let of = |f: &dyn Fn(&Spread) -> String| spread.as_ref().map_or("-".to_owned(), f);
            let (share, rate) = match prefill.peak {
                Some(_) => (percent(pace.0), "-".to_owned()),
                None => ("-".to_owned(), digits(pace.0 / 1e9)),
            };
            let _ = writeln!(
                out,
                "| {} | {} | {} | {} | {share} | {rate} | {} | {} | {} | {} |",
                e.name,
                m.devices[0],
                m.when.as_deref().unwrap_or("all"),
                prefill.peak.as_ref().map_or("-".to_owned(), |peak| digits(peak.value / 1e12)),
                from(m),
                of(&|s| s.rows.to_string()),
                of(&|s| percent(s.median)),
                of(&|s| percent(s.worst)),
            );
        }
    }
}

/// The row, or the machine, that a pace is of.
fn from(m: &Machine) -> String {
    let prefill = m.prefill.as_ref();
    let like = prefill.and_then(|prefill| prefill.like.as_ref()).map(|like| format!("as {like}"));
    let row = prefill.and_then(|prefill| prefill.fitted_on.as_ref()).map(|row| {
        let threads =
            if row.threads.is_empty() { String::new() } else { format!(", {} threads", row.threads) };
        format!("{} {} bits{threads}", row.model, row.bits)
    });
    like.or(row).unwrap_or_default()
}
