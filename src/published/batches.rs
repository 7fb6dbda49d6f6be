//! Layers of 32 sequences.

use std::fmt::Write;

use lutsim_baselines::published::Metric;
use lutsim_reports::quantity::percent;

use super::{Pair, Spread};

/// Batches of 32: what they are held back by, and how well it predicts.
pub(super) fn section(out: &mut String, pairs: &[Pair]) {
    out.push_str(
        "\n## Batches of 32\n\nThe published time is that of the whole batch at a context of one token: keys and values are less than 0.1 % of the bytes, \
         and vLLM's layers are met without a term of their own, so it is neither these nor the units. Kernels of matrix units multiply tiles of \
         rows, and 32 rows leave a tile in part empty: on the A100, 4-bit weights of a 14336 x 57344 matrix take 0.998 ms (the artefact's figure \
         12) where their bytes take 0.23; that is 53 of 312 TFLOPS, and with 128 rows 211, the share of the peak that prefill reaches. So a \
         batch takes the operations of a least number of rows, which for each GPU follows from one row (Llama-2-70B, 4 bits); the others are \
         predictions.\n\nWhat is left: one number stands for the tiles of all matrices, and those of BLOOM-176B, which are larger, lose less: on \
         the A6000, which was near without tiles, it makes them worse. Types that a GPU has no instructions for are converted at a rate of \
         their own (MXFP8 takes five times as long as INT4 on the V100, NF4 twice as long on the MI250). INT8 products have another peak, \
         which prefill does not reach either. One more number for each would meet those rows and predict none.\n\n| engine | device | predicted | median | median without tiles | largest |\n\
         |---|---|---|---|---|---|\n",
    );
    let of = |p: &&Pair| p.row.batch == "32" && p.row.kind() == Metric::Layer && !p.fitted;
    let mut places: Vec<(&str, &str)> =
        pairs.iter().filter(of).map(|p| (&*p.engine, &*p.row.device)).collect();
    places.sort_unstable();
    places.dedup();
    for place in places {
        let here = || pairs.iter().filter(of).filter(|p| (&*p.engine, &*p.row.device) == place);
        let mut without: Vec<f64> = here().map(|p| (p.published / p.unpadded - 1.0).abs()).collect();
        without.sort_by(f64::total_cmp);
        let Some(s) = Spread::of(here()) else { continue };
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} |",
            place.0,
            place.1,
            s.rows,
            percent(s.median),
            percent(without[((without.len() - 1) as f64 * 0.5).round() as usize]),
            percent(s.worst),
        );
    }
}
