//! A roofline with operating lines: a point that moves as batch, context or prompt grow.

use plotters::style::{BLACK, Color};

use crate::axes::Axes;
use crate::canvas::{Anchor, Canvas, Rect, Shape, Style};
use crate::machines::colour;
use crate::plot::{DARK, PLOT, PlotError, bold, plain};
use crate::quantity::si;
use crate::roofline::Ceiling;

/// A line: points with what moved them there.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// What moves.
    pub name: String,
    /// Label, operations per DRAM byte, operations per second.
    pub points: Vec<(String, f64, f64)>,
}

const SHAPES: [Shape; 3] = [Shape::Triangle, Shape::Diamond, Shape::Circle];

/// The picture as SVG; the same lines give the same bytes.
pub fn lines_svg(
    (title, subtitle): (&str, &str),
    bandwidth: f64,
    peak: &Ceiling,
    lines: &[Line],
) -> Result<String, PlotError> {
    let ridge = peak.ops_per_s / bandwidth;
    let all = || lines.iter().flat_map(|l| &l.points);
    let axes = Axes::around(
        all().map(|p| p.1).chain([ridge, 4.0 * ridge]),
        all().map(|p| p.2).chain([peak.ops_per_s]),
    );
    let mut out = String::new();
    let mut canvas =
        Canvas::new(&mut out, (PLOT.2 as u32 + 60, PLOT.3 as u32 + 100 + 22 * lines.len() as u32))?;
    canvas.text(title, (PLOT.0, 28.0), Anchor::Start, bold(18.0))?;
    canvas.text(subtitle, (PLOT.0, 52.0), Anchor::Start, plain(12.0))?;
    axes.grid(&canvas)?;
    let (left, low) = (10f64.powf(axes.x.0), 10f64.powf(axes.y.0));
    let start = left.max(low / bandwidth);
    let (from, to) = (axes.at(start, start * bandwidth), axes.at(ridge, peak.ops_per_s));
    let end = axes.at(10f64.powf(axes.x.1), peak.ops_per_s);
    canvas.line(from, to, BLACK, 3)?;
    canvas.line(to, end, BLACK, 2)?;
    let dram = (from.0 + 0.3 * (to.0 - from.0) - 10.0, from.1 + 0.3 * (to.1 - from.1) - 8.0);
    let dram_text = format!("DRAM {}", si(bandwidth, "B/s"));
    canvas.place(
        &dram_text,
        [(dram, Anchor::End), ((dram.0.max(PLOT.0 + 170.0), dram.1), Anchor::End)],
        PLOT,
        bold(12.0),
    )?;
    let text = format!("{}: {}", peak.label, si(peak.ops_per_s, "OP/s"));
    canvas.place(&text, [((PLOT.2 - 8.0, end.1 - 11.0), Anchor::End)], PLOT, plain(12.0))?;
    for (i, line) in lines.iter().enumerate() {
        let spots: Vec<_> = line.points.iter().map(|p| axes.at(p.1, p.2)).collect();
        for pair in spots.windows(2) {
            canvas.line(pair[0], pair[1], colour(i + 1), 2)?;
        }
        for at in &spots {
            canvas.marker(SHAPES[i % 3], *at, 5.0, colour(i + 1).mix(0.9), DARK)?;
            canvas.keep_free(Rect(at.0 - 5.0, at.1 - 5.0, at.0 + 5.0, at.1 + 5.0));
        }
    }
    // Labels of all lines come last, where there is room.
    for (i, line) in lines.iter().enumerate() {
        for (label, x, y) in &line.points {
            let at = axes.at(*x, *y);
            let near = [
                (9.0, 12.0),
                (9.0, -11.0),
                (-9.0, -11.0),
                (-9.0, 12.0),
                (0.0, 17.0),
                (0.0, -17.0),
                (18.0, 0.0),
            ];
            let places = near.map(|(dx, dy)| {
                let anchor = if dx > 0.0 {
                    Anchor::Start
                } else if dx < 0.0 {
                    Anchor::End
                } else {
                    Anchor::Middle
                };
                ((at.0 + dx, at.1 + dy), anchor)
            });
            canvas.place(label, places, PLOT, Style { colour: colour(i + 1), ..plain(10.5) })?;
        }
    }
    canvas.frame(PLOT, DARK)?;
    for (i, line) in lines.iter().enumerate() {
        let y = PLOT.3 + 74.0 + 22.0 * i as f64;
        canvas.line((PLOT.0, y), (PLOT.0 + 34.0, y), colour(i + 1), 2)?;
        canvas.marker(SHAPES[i % 3], (PLOT.0 + 17.0, y), 5.0, colour(i + 1).mix(0.9), DARK)?;
        canvas.text(&line.name, (PLOT.0 + 44.0, y), Anchor::Start, plain(12.0))?;
    }
    canvas.finish()?;
    Ok(out)
}
