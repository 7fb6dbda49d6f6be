//! One roofline with several machines: a roof, a peak and a point per phase of each.
//!
//! Machines are told apart by colour and by a letter at everything that belongs to one.

use plotters::style::{BLACK, Color, RGBColor, WHITE};

use crate::axes::Axes;
use crate::canvas::{Anchor, Canvas, Rect, Style};
use crate::compare::{Basis, Comparison, Subject};
use crate::plot::{DARK, PALETTE, PLOT, PlotError, bold, plain, shape};
use crate::quantity::{digits, share, si};
use crate::roofline::Ceiling;

const WIDTH: f64 = 1400.0;
const SIDE: f64 = 922.0;
/// Palette entries that can be read as lines on white: yellow is left out.
const LINES: [usize; 6] = [6, 3, 2, 0, 4, 1];

pub(crate) fn colour(i: usize) -> RGBColor {
    match i {
        0 => BLACK,
        i => PALETTE[LINES[(i - 1) % LINES.len()]],
    }
}

fn letter(i: usize) -> String {
    char::from_u32('A' as u32 + (i % 26) as u32).map_or(String::new(), String::from)
}

/// Where a subject's phases stand: phase, operations per byte, operations per second.
fn spots(s: &Subject) -> Vec<(&'static str, f64, f64)> {
    let phases = [("prefill", &s.prefill), ("decode", &s.decode)];
    phases
        .into_iter()
        .filter_map(|(name, p)| {
            let p = p.as_ref()?;
            let (x, y) = (share(p.ops, p.dram_bytes), share(p.ops, p.seconds));
            (x > 0.0 && y > 0.0).then_some((name, x, y))
        })
        .collect()
}

/// The peak that is drawn: the highest that a phase's point is under, of those that belong to this work.
fn peak(s: &Subject) -> Option<&Ceiling> {
    let top = spots(s).iter().map(|p| p.2).fold(0.0, f64::max);
    let above = s.peaks.iter().filter(|c| c.ops_per_s >= top * 0.999);
    above.min_by(|a, b| a.ops_per_s.total_cmp(&b.ops_per_s))
}

/// The chart; the same comparison gives the same bytes.
pub fn machines_svg(comparison: &Comparison) -> Result<String, PlotError> {
    let subjects = &comparison.subjects;
    let axes = axes(subjects);
    let height = (PLOT.3 + 70.0).max(150.0 + 92.0 * subjects.len() as f64);
    let mut out = String::new();
    let mut owned = Canvas::new(&mut out, (WIDTH as u32, height as u32))?;
    let canvas = &mut owned;
    let work = &subjects[0].work;
    let title = work.iter().find(|w| w.0 == "model").map_or("", |w| w.1.as_str());
    canvas.text(
        &format!("{title}: {} machines", subjects.len()),
        (PLOT.0, 28.0),
        Anchor::Start,
        bold(18.0),
    )?;
    let subtitle = "circles: prefill, triangles: decode; filled: simulated, pale: follows from published rates, hollow: a roof";
    canvas.text(subtitle, (PLOT.0, 52.0), Anchor::Start, plain(12.0))?;
    axes.grid(canvas)?;
    for (i, s) in subjects.iter().enumerate() {
        roof(canvas, &axes, i, s)?;
    }
    for (i, s) in subjects.iter().enumerate() {
        for (phase, x, y) in spots(s) {
            let at = axes.at(x, y);
            let (fill, edge) = match s.basis {
                Basis::Simulated => (colour(i).mix(0.8), BLACK),
                Basis::Published => (colour(i).mix(0.35), colour(i)),
                Basis::Roof => (WHITE.to_rgba(), colour(i)),
            };
            canvas.marker(shape(phase), at, 8.0, fill, edge)?;
            canvas.keep_free(Rect(at.0 - 7.0, at.1 - 7.0, at.0 + 7.0, at.1 + 7.0));
        }
    }
    for (i, s) in subjects.iter().enumerate() {
        for (_, x, y) in spots(s) {
            let at = axes.at(x, y);
            let near = [
                (14.0, 12.0),
                (0.0, 21.0),
                (13.0, -9.0),
                (-13.0, -9.0),
                (13.0, 11.0),
                (-13.0, 11.0),
                (0.0, -18.0),
                (0.0, 20.0),
                (24.0, 0.0),
                (-24.0, 0.0),
            ];
            let places = near.map(|(dx, dy)| ((at.0 + dx, at.1 + dy), Anchor::Middle));
            canvas.place(&letter(i), places, PLOT, Style { colour: colour(i), ..bold(13.0) })?;
        }
    }
    canvas.frame(PLOT, DARK)?;
    let mut y = PLOT.1 + 10.0;
    for (i, s) in subjects.iter().enumerate() {
        side(canvas, comparison, (i, s), y)?;
        y += 92.0;
    }
    owned.finish()?;
    Ok(out)
}

/// Axes that hold all of them.
fn axes(subjects: &[Subject]) -> Axes {
    let ridges = subjects.iter().filter_map(|s| Some(peak(s)?.ops_per_s / s.bandwidth));
    let xs = subjects.iter().flat_map(spots).map(|spot| spot.1).chain(ridges.flat_map(|r| [r, 4.0 * r]));
    let peaks = subjects.iter().filter_map(peak).map(|p| p.ops_per_s);
    Axes::around(xs, subjects.iter().flat_map(spots).map(|spot| spot.2).chain(peaks))
}

fn roof(canvas: &mut Canvas<'_>, axes: &Axes, i: usize, s: &Subject) -> Result<(), PlotError> {
    let (left, low) = (10f64.powf(axes.x.0), 10f64.powf(axes.y.0));
    let top = peak(s).map_or(10f64.powf(axes.y.1), |p| p.ops_per_s);
    let start = left.max(low / s.bandwidth);
    let ridge = (top / s.bandwidth).min(10f64.powf(axes.x.1));
    let (from, to) = (axes.at(start, start * s.bandwidth), axes.at(ridge, ridge * s.bandwidth));
    let end = axes.at(10f64.powf(axes.x.1), top);
    let dashed = s.basis == Basis::Roof;
    // Without a peak that was published the slope alone is known.
    let flat = peak(s).map(|_| (to, end));
    for (from, to) in std::iter::once((from, to)).chain(flat) {
        match dashed {
            true => canvas.dashed(from, to, colour(i), 2)?,
            false => canvas.line(from, to, colour(i), 3)?,
        }
    }
    let style = Style { colour: colour(i), ..bold(13.0) };
    let along = [0.12, 0.2, 0.28, 0.36, 0.45, 0.55, 0.65]
        .map(|s| ((from.0 + s * (to.0 - from.0) - 10.0, from.1 + s * (to.1 - from.1) - 8.0), Anchor::Middle));
    canvas.place(&letter(i), along, PLOT, style)?;
    let right = [0.0, 30.0, 60.0, 90.0].map(|d| ((end.0 - 14.0 - d, end.1 - 11.0), Anchor::Middle));
    if flat.is_some() {
        canvas.place(&letter(i), right, PLOT, style)?;
    }
    Ok(())
}

fn side(
    canvas: &Canvas<'_>,
    comparison: &Comparison,
    (i, s): (usize, &Subject),
    y: f64,
) -> Result<(), PlotError> {
    let head = format!("{}  {} ({})", letter(i), s.name, s.basis.name());
    canvas.text(&head, (SIDE, y), Anchor::Start, Style { colour: colour(i), ..bold(13.0) })?;
    let peak = peak(s).map_or(String::new(), |p| format!(", {} {}", p.label, si(p.ops_per_s, "OP/s")));
    let roofs = format!("DRAM {}{peak}", si(s.bandwidth, "B/s"));
    canvas.text(&roofs, (SIDE + 18.0, y + 19.0), Anchor::Start, plain(11.5))?;
    let most = if s.basis == Basis::Roof { "at most " } else { "" };
    let mut below = y + 37.0;
    for (phase, p) in [("prefill", &s.prefill), ("decode", &s.decode)] {
        let Some(p) = p else { continue };
        let against = match comparison.speedup(s, phase) {
            Some(x) if comparison.against != i => {
                format!(", {} x {}", digits(x), comparison.subjects[comparison.against].name)
            }
            _ => String::new(),
        };
        let text = format!("{phase} {most}{} tokens/s{against}", digits(p.tokens_per_second()));
        let at = (SIDE + 24.0, below);
        canvas.marker(
            shape(phase),
            at,
            5.0,
            colour(i).mix(if s.basis == Basis::Roof { 0.0 } else { 0.8 }),
            colour(i),
        )?;
        canvas.text(&text, (SIDE + 36.0, below), Anchor::Start, plain(11.5))?;
        below += 18.0;
    }
    Ok(())
}
