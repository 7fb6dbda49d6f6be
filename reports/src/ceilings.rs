//! What limits: two memory roofs, the look-up cores' peaks, and the ridge points where they meet.

use plotters::style::{BLACK, Color, RGBColor};

use crate::axes::Axes;
use crate::canvas::{Anchor, At, Canvas, Rect, Shape, Style};
use crate::plot::{PLOT, PlotError, bold, plain};
use crate::quantity::{digits, si};
use crate::roofline::Roofline;

const SCRATCHPAD: RGBColor = RGBColor(110, 110, 110);

/// A label that waits until every line is drawn, with the places that would do.
struct Waiting {
    text: String,
    places: Vec<(At, Anchor)>,
    style: Style,
}

/// Draws roofs and peaks first, then labels where no line runs; the tables at the side hold all of them.
pub(crate) fn draw(canvas: &mut Canvas<'_>, axes: &Axes, roofline: &Roofline) -> Result<(), PlotError> {
    let mut labels = Vec::new();
    roofs(canvas, axes, roofline, &mut labels)?;
    peaks(canvas, axes, roofline, &mut labels)?;
    for label in labels {
        canvas.place(&label.text, label.places, PLOT, label.style)?;
    }
    Ok(())
}

fn roofs(
    canvas: &mut Canvas<'_>,
    axes: &Axes,
    roofline: &Roofline,
    labels: &mut Vec<Waiting>,
) -> Result<(), PlotError> {
    let (left, low) = (10f64.powf(axes.x.0), 10f64.powf(axes.y.0));
    let top = roofline.compute.iter().map(|c| c.ops_per_s).fold(0.0, f64::max);
    let top = if top > 0.0 { top } else { 10f64.powf(axes.y.1) };
    for (name, rate, colour) in [
        ("scratchpad", roofline.scratchpad_bytes_per_s, SCRATCHPAD),
        ("DRAM", roofline.dram_bytes_per_s, BLACK),
    ] {
        if rate <= 0.0 {
            continue;
        }
        let start = left.max(low / rate);
        let (from, to) = (axes.at(start, start * rate), axes.at(top / rate, top));
        if name == "DRAM" {
            canvas.line(from, to, colour, 3)?;
        } else {
            canvas.dashed(from, to, colour, 2)?;
        }
        let along = |s: f64| (from.0 + s * (to.0 - from.0), from.1 + s * (to.1 - from.1));
        for step in 0..=120 {
            let (x, y) = along(f64::from(step) / 120.0);
            canvas.keep_free(Rect(x - 3.0, y - 3.0, x + 3.0, y + 3.0));
        }
        let beside = |s: f64| {
            let (x, y) = along(s);
            ((x - 12.0, y - 4.0), Anchor::End)
        };
        labels.push(Waiting {
            text: format!("{name} {}", si(rate, "B/s")),
            places: [0.62, 0.56, 0.5, 0.45, 0.4, 0.35, 0.3, 0.25, 0.2, 0.7, 0.8].map(beside).to_vec(),
            style: Style { colour, ..bold(12.0) },
        });
    }
    Ok(())
}

fn peaks(
    canvas: &mut Canvas<'_>,
    axes: &Axes,
    roofline: &Roofline,
    labels: &mut Vec<Waiting>,
) -> Result<(), PlotError> {
    let (dram, scratchpad) = (roofline.dram_bytes_per_s, roofline.scratchpad_bytes_per_s);
    for ceiling in &roofline.compute {
        let peak = ceiling.ops_per_s;
        let end = axes.at(10f64.powf(axes.x.1), peak);
        let ridge = (dram > 0.0).then(|| Roofline::ridge(ceiling, dram));
        let start = ridge.map_or((PLOT.0, end.1), |ridge| axes.at(ridge, peak));
        if scratchpad > dram {
            let inner = axes.at(Roofline::ridge(ceiling, scratchpad), peak);
            canvas.dashed(inner, start, SCRATCHPAD, 1)?;
            canvas.keep_free(Rect(inner.0, end.1 - 1.0, start.0, end.1 + 1.0));
        }
        canvas.line(start, end, BLACK, 2)?;
        canvas.keep_free(Rect(start.0 - 4.0, end.1 - 2.0, end.0, end.1 + 2.0));
        labels.push(Waiting {
            text: format!("{}: {}", ceiling.label, si(peak, "OPS")),
            places: vec![((PLOT.2 - 8.0, end.1 - 10.0), Anchor::End)],
            style: plain(12.0),
        });
        if let Some(ridge) = ridge {
            canvas.marker(Shape::Circle, start, 4.0, BLACK.to_rgba(), BLACK)?;
            labels.push(Waiting {
                text: format!("ridge {}", digits(ridge)),
                places: vec![
                    ((start.0 - 8.0, start.1 - 10.0), Anchor::End),
                    ((start.0 + 8.0, start.1 + 10.0), Anchor::Start),
                ],
                style: plain(11.0),
            });
        }
    }
    Ok(())
}
