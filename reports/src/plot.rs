//! `roofline.svg`: log-log, ceilings and ridge points to the left, what the points are to the right.
//!
//! Colours are Okabe and Ito's, and nothing is told by colour alone: every operator has a number, every phase
//! a shape. Labels are placed where nothing is; what finds no place is still in the tables at the side.

use plotters::style::{BLACK, Color, RGBColor, WHITE};

use crate::axes::Axes;
use crate::canvas::{Anchor, At, Canvas, Rect, Shape, Style};
use crate::ceilings::Waiting;
use crate::quantity::si;
use crate::roofline::{Point, PointKind, Roofline};
use crate::{ceilings, side};

/// The picture could not be drawn.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the roofline could not be drawn: {0}")]
pub struct PlotError(pub(crate) String);

/// Okabe and Ito's colours for operators that multiply, black and grey apart.
pub(crate) const PALETTE: [RGBColor; 7] = [
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(0, 158, 115),
    RGBColor(213, 94, 0),
    RGBColor(204, 121, 167),
    RGBColor(240, 228, 66),
    RGBColor(0, 114, 178),
];
pub(crate) const GREY: RGBColor = RGBColor(150, 150, 150);
pub(crate) const DARK: RGBColor = RGBColor(60, 60, 60);
pub(crate) const GRID: RGBColor = RGBColor(226, 226, 226);

const WIDTH: f64 = 1400.0;
/// The plot's frame.
pub(crate) const PLOT: Rect = Rect(96.0, 84.0, 890.0, 700.0);
const SIDE: f64 = 922.0;

/// One operator of the picture: its number, colour and points by phase.
pub(crate) struct Item<'a> {
    pub(crate) number: usize,
    pub(crate) name: &'a str,
    pub(crate) vector: bool,
    pub(crate) colour: RGBColor,
    pub(crate) points: Vec<(&'a str, &'a Point)>,
}

/// The text style of `size`.
pub(crate) fn plain(size: f64) -> Style {
    Style { size, bold: false, colour: DARK }
}

/// The bold text style of `size`.
pub(crate) fn bold(size: f64) -> Style {
    Style { size, bold: true, colour: BLACK }
}

/// The marker of a phase.
pub(crate) fn shape(phase: &str) -> Shape {
    if phase == "prefill" { Shape::Circle } else { Shape::Triangle }
}

/// The roofline as SVG text; the same roofline gives the same bytes.
pub fn roofline_svg(roofline: &Roofline) -> Result<String, PlotError> {
    let items = items(roofline);
    let phases: Vec<&Point> = roofline.points.iter().filter(|p| p.kind == PointKind::Phase).collect();
    let height = (PLOT.3 + 70.0).max(side::height(roofline, &items));
    let mut out = String::new();
    let mut canvas = Canvas::new(&mut out, (WIDTH as u32, height as u32))?;
    canvas.text(&roofline.title, (PLOT.0, 28.0), Anchor::Start, bold(18.0))?;
    canvas.text(&roofline.subtitle, (PLOT.0, 52.0), Anchor::Start, plain(12.0))?;
    let axes = Axes::of(roofline);
    axes.grid(&canvas)?;
    let waiting = ceilings::draw(&mut canvas, &axes, roofline)?;
    points(&mut canvas, &axes, (&items, &phases), waiting)?;
    canvas.frame(PLOT, DARK)?;
    side::draw(&canvas, SIDE, PLOT.1, roofline, &items)?;
    canvas.finish()?;
    Ok(out)
}

fn items(roofline: &Roofline) -> Vec<Item<'_>> {
    let mut items: Vec<Item<'_>> = Vec::new();
    for point in roofline.points.iter().filter(|p| p.kind != PointKind::Phase) {
        match items.iter_mut().find(|item| item.name == point.name) {
            Some(item) => item.points.push((&point.phase, point)),
            None => {
                let vector = point.kind == PointKind::Vector;
                let coloured = items.iter().filter(|item| !item.vector).count();
                let colour = if vector { GREY } else { PALETTE[coloured % PALETTE.len()] };
                let points = vec![(point.phase.as_str(), point)];
                items.push(Item { number: items.len() + 1, name: &point.name, vector, colour, points });
            }
        }
    }
    items
}

/// A marker's radius from its part of the phase's time.
fn radius(point: &Point) -> f64 {
    4.0 + 11.0 * point.share.clamp(0.0, 1.0).sqrt()
}

/// Where a point stands; without DRAM bytes just inside the right edge.
fn spot(axes: &Axes, point: &Point) -> Option<At> {
    let (x, y) = axes.at(point.intensity().unwrap_or(f64::MAX), point.ops_per_s()?);
    Some((x.min(PLOT.2 - 16.0), y.min(PLOT.3 - 8.0)))
}

/// Operators of a phase that stand on one another and share a label.
struct Cluster<'a> {
    phase: &'a str,
    vector: bool,
    at: At,
    r: f64,
    numbers: Vec<usize>,
}

fn points(
    canvas: &mut Canvas<'_>,
    axes: &Axes,
    (items, phases): (&[Item<'_>], &[&Point]),
    ceilings: Vec<Waiting>,
) -> Result<(), PlotError> {
    let mut marks: Vec<(&Item<'_>, &str, f64, At)> = Vec::new();
    for item in items {
        marks.extend(
            item.points.iter().filter_map(|(phase, p)| Some((item, *phase, radius(p), spot(axes, p)?))),
        );
    }
    marks.sort_by(|a, b| b.2.total_cmp(&a.2).then(a.0.number.cmp(&b.0.number)));
    let mut clusters: Vec<Cluster<'_>> = Vec::new();
    for (item, phase, r, at) in &marks {
        let edge = if item.vector { DARK } else { BLACK };
        canvas.marker(shape(phase), *at, *r, item.colour.mix(0.75), edge)?;
        canvas.keep_free(Rect(at.0 - r * 0.8, at.1 - r * 0.8, at.0 + r * 0.8, at.1 + r * 0.8));
        let near = |c: &Cluster<'_>| (c.at.0 - at.0).hypot(c.at.1 - at.1) < 9.0;
        match clusters.iter_mut().find(|c| c.phase == *phase && c.vector == item.vector && near(c)) {
            Some(cluster) => cluster.numbers.push(item.number),
            None => {
                let numbers = vec![item.number];
                clusters.push(Cluster { phase, vector: item.vector, at: *at, r: *r, numbers });
            }
        }
    }
    let whole: Vec<(&Point, At)> = phases.iter().filter_map(|p| Some((*p, spot(axes, p)?))).collect();
    for (_, at) in &whole {
        canvas.marker(Shape::Diamond, *at, 6.0, BLACK.to_rgba(), WHITE)?;
        canvas.keep_free(Rect(at.0 - 7.0, at.1 - 7.0, at.0 + 7.0, at.1 + 7.0));
    }
    ceilings::label(canvas, ceilings)?;
    for (point, at) in &whole {
        let text = format!("{} {}", point.name, si(point.ops_per_s().unwrap_or(0.0), "OPS"));
        label(canvas, &text, *at, 8.0, bold(12.0))?;
    }
    for mut cluster in clusters {
        cluster.numbers.sort_unstable();
        let numbers: Vec<String> = cluster.numbers.iter().map(usize::to_string).collect();
        let colour = if cluster.vector { RGBColor(110, 110, 110) } else { BLACK };
        label(canvas, &numbers.join(", "), cluster.at, cluster.r, Style { colour, ..bold(11.0) })?;
    }
    Ok(())
}

/// Writes `text` beside a marker, as near as there is room; a thin line leads to it if it is not close by.
fn label(canvas: &mut Canvas<'_>, text: &str, at: At, r: f64, style: Style) -> Result<(), PlotError> {
    let rings = [4.0, 12.0, 24.0, 38.0, 54.0, 72.0, 92.0];
    let turns = [2, 6, 1, 7, 3, 5, 0, 4, 10, 14, 9, 15, 11, 13, 8, 12];
    let mut places = Vec::new();
    for ring in rings {
        for turn in turns {
            let angle = f64::from(turn % 8) * std::f64::consts::FRAC_PI_4
                + if turn >= 8 { std::f64::consts::FRAC_PI_8 } else { 0.0 };
            // turn 0 is upwards, clockwise from there
            let (dx, dy) = (angle.sin(), -angle.cos());
            let end = (at.0 + dx * (r + ring), at.1 + dy * (r + ring + 3.0));
            let anchor = match dx {
                dx if dx > 0.3 => Anchor::Start,
                dx if dx < -0.3 => Anchor::End,
                _ => Anchor::Middle,
            };
            places.push((end, anchor));
        }
    }
    if let Some(rect) = canvas.place(text, places, PLOT, style)? {
        let near = (at.0.clamp(rect.0, rect.2), at.1.clamp(rect.1, rect.3));
        let (dx, dy) = (near.0 - at.0, near.1 - at.1);
        let distance = dx.hypot(dy);
        if distance > r + 9.0 {
            let from = (at.0 + dx / distance * r, at.1 + dy / distance * r);
            canvas.line(from, near, GREY, 1)?;
        }
    }
    Ok(())
}
