//! The tables at the roofline's side: ceilings with their ridge points, phases, operators by number.

use plotters::style::{BLACK, Color, WHITE};

use crate::canvas::{Anchor, Canvas, Shape};
use crate::plot::{DARK, GREY, Item, PlotError, bold, plain, shape};
use crate::quantity::{digits, percent, si};
use crate::roofline::{Point, PointKind, Roofline};

const ROW: f64 = 19.0;
const SIZE: f64 = 11.5;
const WIDE: f64 = 462.0;

/// Where the columns of a phase end: intensity, rate, share of time.
const COLUMNS: [f64; 3] = [50.0, 104.0, 156.0];

fn phases(roofline: &Roofline) -> impl Iterator<Item = &Point> {
    roofline.points.iter().filter(|p| p.kind == PointKind::Phase)
}

/// How high a picture must be for its tables.
pub(crate) fn height(roofline: &Roofline, items: &[Item<'_>]) -> f64 {
    let rows = roofline.compute.len() + 2 + items.len() + 12;
    84.0 + rows as f64 * ROW + 30.0
}

/// Draws the tables with their upper left corner at `x`, `y`.
pub(crate) fn draw(
    canvas: &Canvas<'_>,
    x: f64,
    y: f64,
    roofline: &Roofline,
    items: &[Item<'_>],
) -> Result<(), PlotError> {
    let y = ceilings(canvas, x, y + 6.0, roofline)?;
    let y = operators(canvas, x, y + 1.2 * ROW, roofline, items)?;
    notes(canvas, x, y + 0.8 * ROW, roofline)
}

fn heading(canvas: &Canvas<'_>, x: f64, y: f64, text: &str) -> Result<(), PlotError> {
    canvas.text(text, (x, y), Anchor::Start, bold(12.5))?;
    canvas.line((x, y + 12.0), (x + WIDE, y + 12.0), DARK, 1)
}

fn ceilings(canvas: &Canvas<'_>, x: f64, mut y: f64, roofline: &Roofline) -> Result<f64, PlotError> {
    heading(canvas, x, y, "Ceilings and ridge points")?;
    let end = if roofline.scratchpad_bytes_per_s > 0.0 { WIDE } else { 380.0 };
    canvas.text("ridge, ops/byte of", (x + end, y - 8.0), Anchor::End, plain(10.5))?;
    canvas.text("DRAM", (x + 380.0, y + 4.0), Anchor::End, plain(10.5))?;
    if roofline.scratchpad_bytes_per_s > 0.0 {
        canvas.text("scratchpad", (x + WIDE, y + 4.0), Anchor::End, plain(10.5))?;
    }
    for (name, rate) in
        [("DRAM pins", roofline.dram_bytes_per_s), ("scratchpad, all banks", roofline.scratchpad_bytes_per_s)]
    {
        if rate <= 0.0 {
            continue;
        }
        y += ROW;
        let (from, to) = ((x, y + 5.0), (x + 30.0, y + 5.0));
        if name == "DRAM pins" {
            canvas.line(from, to, BLACK, 3)?;
        } else {
            canvas.dashed(from, to, GREY, 2)?;
        }
        canvas.text(name, (x + 42.0, y + 5.0), Anchor::Start, plain(SIZE))?;
        canvas.text(&si(rate, "B/s"), (x + 290.0, y + 5.0), Anchor::End, plain(SIZE))?;
    }
    for ceiling in &roofline.compute {
        y += ROW;
        canvas.line((x, y + 5.0), (x + 30.0, y + 5.0), BLACK, 2)?;
        canvas.text(&ceiling.label, (x + 42.0, y + 5.0), Anchor::Start, plain(SIZE))?;
        canvas.text(&si(ceiling.ops_per_s, "OPS"), (x + 290.0, y + 5.0), Anchor::End, plain(SIZE))?;
        let memory = [(380.0, roofline.dram_bytes_per_s), (WIDE, roofline.scratchpad_bytes_per_s)];
        for (at, rate) in memory.into_iter().filter(|(_, rate)| *rate > 0.0) {
            let ridge = digits(Roofline::ridge(ceiling, rate));
            canvas.text(&ridge, (x + at, y + 5.0), Anchor::End, plain(SIZE))?;
        }
    }
    Ok(y + ROW)
}

fn operators(
    canvas: &Canvas<'_>,
    x: f64,
    mut y: f64,
    roofline: &Roofline,
    items: &[Item<'_>],
) -> Result<f64, PlotError> {
    heading(canvas, x, y + 14.0, "Operators")?;
    let phases: Vec<&Point> = phases(roofline).collect();
    let column = |i: usize| x + 148.0 + i as f64 * (COLUMNS[2] + 2.0);
    for (i, phase) in phases.iter().enumerate() {
        let (left, right) = (column(i) + 10.0, column(i) + COLUMNS[2]);
        canvas.marker(shape(&phase.phase), (left + 4.0, y - 2.0), 5.0, WHITE.to_rgba(), BLACK)?;
        canvas.text(&phase.name, (left + 16.0, y - 2.0), Anchor::Start, bold(SIZE))?;
        canvas.line((left, y + 7.0), (right, y + 7.0), GREY, 1)?;
        for (name, end) in ["ops/byte", "OPS", "time"].iter().zip(COLUMNS) {
            canvas.text(name, (column(i) + end, y + 16.0), Anchor::End, plain(10.5))?;
        }
    }
    y += ROW + 16.0;
    canvas.marker(Shape::Diamond, (x + 30.0, y), 5.0, BLACK.to_rgba(), WHITE)?;
    canvas.text("whole phase", (x + 42.0, y), Anchor::Start, bold(SIZE))?;
    for (i, phase) in phases.iter().enumerate() {
        numbers(canvas, column(i), y, phase)?;
    }
    for item in items {
        y += ROW;
        let style = if item.vector { plain(SIZE) } else { bold(SIZE) };
        canvas.text(&item.number.to_string(), (x + 17.0, y), Anchor::End, style)?;
        let edge = if item.vector { DARK } else { BLACK };
        canvas.marker(Shape::Circle, (x + 30.0, y), 5.0, item.colour.mix(0.75), edge)?;
        canvas.text(&shortened(item.name), (x + 42.0, y), Anchor::Start, plain(SIZE))?;
        for (i, phase) in phases.iter().enumerate() {
            if let Some((_, point)) = item.points.iter().find(|(name, _)| *name == phase.phase) {
                numbers(canvas, column(i), y, point)?;
            }
        }
    }
    Ok(y + ROW)
}

fn numbers(canvas: &Canvas<'_>, x: f64, y: f64, point: &Point) -> Result<(), PlotError> {
    let short = |v: f64| if v < 10_000.0 { digits(v) } else { si(v, "").trim_end().to_owned() };
    let intensity = if point.ops > 0.0 { point.intensity() } else { None };
    let whole = point.kind == PointKind::Phase;
    let cells = [
        intensity.map_or_else(|| "-".to_owned(), short),
        point.ops_per_s().map_or_else(|| "-".to_owned(), |v| si(v, "").trim_end().to_owned()),
        if whole { si(point.seconds, "s") } else { percent(point.share) },
    ];
    for (text, end) in cells.iter().zip(COLUMNS) {
        canvas.text(text, (x + end, y), Anchor::End, plain(SIZE))?;
    }
    Ok(())
}

/// At most 16 characters, so that a name stays in its column.
fn shortened(name: &str) -> String {
    if name.chars().count() <= 16 {
        return name.to_owned();
    }
    name.chars().take(15).chain(['~']).collect()
}

fn notes(canvas: &Canvas<'_>, x: f64, mut y: f64, roofline: &Roofline) -> Result<(), PlotError> {
    for line in &roofline.notes {
        canvas.text(line, (x, y), Anchor::Start, plain(10.5))?;
        y += 15.0;
    }
    Ok(())
}
