//! What limits: two memory roofs, the look-up cores' peaks, and the ridge points where they meet.

use plotters::style::{BLACK, Color, RGBColor};

use crate::axes::Axes;
use crate::canvas::{Anchor, At, Canvas, Rect, Shape, Style, width};
use crate::plot::{GREY, PLOT, PlotError, bold, plain};
use crate::quantity::{digits, si};
use crate::roofline::{Ceiling, Roofline};

const SCRATCHPAD: RGBColor = RGBColor(110, 110, 110);

/// A label that waits until every line and marker is drawn, with the places that would do.
pub(crate) struct Waiting {
    text: String,
    places: Vec<(At, Anchor)>,
    style: Style,
    /// The line that it may stand on.
    line: Option<Rect>,
}

/// Draws roofs and peaks; their labels come when the markers stand.
pub(crate) fn draw(
    canvas: &mut Canvas<'_>,
    axes: &Axes,
    roofline: &Roofline,
) -> Result<Vec<Waiting>, PlotError> {
    let mut labels = Vec::new();
    peaks(canvas, axes, roofline, &mut labels)?;
    roofs(canvas, axes, roofline, &mut labels)?;
    Ok(labels)
}

/// Puts labels where no line runs but their own and no marker stands; the tables at the side hold all of them.
pub(crate) fn label(canvas: &mut Canvas<'_>, labels: Vec<Waiting>) -> Result<(), PlotError> {
    for label in labels {
        let found = canvas.place_on(&label.text, label.places, PLOT, label.style, label.line)?;
        if let (Some(rect), Some(line)) = (found, label.line) {
            let (x, y) = ((rect.0 + rect.2) / 2.0, (line.1 + line.3) / 2.0);
            let near = y.clamp(rect.1, rect.3);
            if (near - y).abs() > 8.0 {
                canvas.line((x, near), (x, y), GREY, 1)?;
            }
        }
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
            line: None,
        });
    }
    Ok(())
}

/// Peaks whose lines are one, and the names of all of them.
struct Level {
    ceiling: Ceiling,
    y: f64,
}

/// From the highest to the lowest.
fn levels(axes: &Axes, roofline: &Roofline) -> Vec<Level> {
    let mut peaks: Vec<&Ceiling> = roofline.compute.iter().collect();
    peaks.sort_by(|a, b| b.ops_per_s.total_cmp(&a.ops_per_s));
    let mut levels: Vec<Level> = Vec::new();
    for peak in peaks {
        let (_, y) = axes.at(1.0, peak.ops_per_s);
        match levels.last_mut().filter(|level| level.ceiling.ops_per_s == peak.ops_per_s) {
            Some(level) => level.ceiling.label += &format!(", {}", peak.label),
            None => levels.push(Level { ceiling: peak.clone(), y }),
        }
    }
    levels
}

/// A label stands on its line, as far to the right as there is room, and so does a ridge's on the dashes that lead to it: lines that
/// are close leave room for nothing between them.
fn peaks(
    canvas: &mut Canvas<'_>,
    axes: &Axes,
    roofline: &Roofline,
    labels: &mut Vec<Waiting>,
) -> Result<(), PlotError> {
    let (dram, scratchpad) = (roofline.dram_bytes_per_s, roofline.scratchpad_bytes_per_s);
    let mut ridges = Vec::new();
    for Level { ceiling, y } in levels(axes, roofline) {
        let peak = ceiling.ops_per_s;
        let end = axes.at(10f64.powf(axes.x.1), peak);
        let ridge = (dram > 0.0).then(|| Roofline::ridge(&ceiling, dram));
        let start = ridge.map_or((PLOT.0, end.1), |ridge| axes.at(ridge, peak));
        let mut dashes = None;
        if scratchpad > dram {
            let inner = axes.at(Roofline::ridge(&ceiling, scratchpad), peak);
            canvas.dashed(inner, start, SCRATCHPAD, 1)?;
            dashes = Some(Rect(inner.0, y - 1.0, start.0, y + 1.0));
        }
        canvas.line(start, end, BLACK, 2)?;
        let line = Rect(start.0 - 4.0, y - 2.0, end.0, y + 2.0);
        [Some(line), dashes].into_iter().flatten().for_each(|rect| canvas.keep_free(rect));
        let text = format!("{}: {}", ceiling.label, si(peak, "OPS"));
        // The line should be seen on both sides of its label; where that cannot be, a thin line leads to it.
        let w = width(&text, plain(12.0));
        let steps = ((PLOT.2 - start.0 - w - 36.0).max(0.0) / 12.0) as u32;
        let row = |dy: f64| {
            let steps = (0..=steps).map(|i| PLOT.2 - w / 2.0 - 12.0 - 12.0 * f64::from(i));
            steps.map(move |x| ((x, y + dy), Anchor::Middle))
        };
        let places = [0.0, -10.0, 10.0, -24.0, 24.0, -38.0].into_iter().flat_map(row).collect();
        labels.push(Waiting { text, places, style: plain(12.0), line: Some(line) });
        if let Some(ridge) = ridge {
            canvas.marker(Shape::Circle, start, 4.0, BLACK.to_rgba(), BLACK)?;
            ridges.push(Waiting {
                text: format!("ridge {}", digits(ridge)),
                places: vec![
                    ((start.0 - 16.0, y), Anchor::End),
                    ((start.0 - 8.0, y - 10.0), Anchor::End),
                    ((start.0 - 30.0, y), Anchor::End),
                ],
                style: plain(11.0),
                line: dashes,
            });
        }
    }
    labels.extend(ridges);
    Ok(())
}
