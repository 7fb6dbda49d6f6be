//! Stacked bars: a panel per quantity, a bar per design, a segment per part, a whisker from low to high.
//!
//! Colours are Okabe and Ito's and some more; parts stand in the same order in every bar, and the legend names them.

use lutsim_record::{Band, Ordered};
use plotters::style::RGBColor;

use crate::canvas::{Anchor, Canvas, Rect};
use crate::plot::{DARK, GRID, PlotError, bold, plain};
use crate::quantity::digits;

/// A panel.
#[derive(Clone, Debug, PartialEq)]
pub struct Panel {
    /// What is drawn, with its unit.
    pub title: String,
    /// Bars from left to right: label, and parts from the bottom up.
    pub bars: Vec<(String, Ordered<Band>)>,
}

const PALETTE: [RGBColor; 14] = [
    RGBColor(0, 114, 178),
    RGBColor(230, 159, 0),
    RGBColor(0, 158, 115),
    RGBColor(213, 94, 0),
    RGBColor(86, 180, 233),
    RGBColor(204, 121, 167),
    RGBColor(240, 228, 66),
    RGBColor(110, 110, 110),
    RGBColor(140, 86, 75),
    RGBColor(190, 190, 190),
    RGBColor(80, 50, 130),
    RGBColor(160, 215, 150),
    RGBColor(250, 190, 170),
    RGBColor(30, 30, 30),
];

const WIDTH: f64 = 1400.0;
const TOP: f64 = 110.0;
const BOTTOM: f64 = 560.0;

fn total(parts: &Ordered<Band>) -> Band {
    parts.iter().fold(Band::default(), |sum, (_, band)| sum + *band)
}

/// Panels side by side as SVG text; the same panels give the same bytes.
pub fn bars_svg(title: &str, subtitle: &str, panels: &[Panel]) -> Result<String, PlotError> {
    let mut parts: Vec<&str> = Vec::new();
    for (_, bar) in panels.iter().flat_map(|p| &p.bars) {
        for (name, band) in bar.iter() {
            if band.mid > 0.0 && !parts.contains(&name) {
                parts.push(name);
            }
        }
    }
    let rows = parts.len().div_ceil(5) as f64;
    let height = BOTTOM + 70.0 + 24.0 * rows;
    let mut out = String::new();
    let canvas = Canvas::new(&mut out, (WIDTH as u32, height as u32))?;
    canvas.text(title, (60.0, 30.0), Anchor::Start, bold(18.0))?;
    canvas.text(subtitle, (60.0, 56.0), Anchor::Start, plain(12.0))?;
    let wide = (WIDTH - 60.0) / panels.len().max(1) as f64;
    for (i, panel) in panels.iter().enumerate() {
        let left = 60.0 + wide * i as f64;
        draw(&canvas, panel, &parts, Rect(left + 44.0, TOP, left + wide - 24.0, BOTTOM))?;
    }
    for (i, name) in parts.iter().enumerate() {
        let (x, y) = (104.0 + 250.0 * (i % 5) as f64, BOTTOM + 62.0 + 24.0 * (i / 5) as f64);
        canvas.fill(Rect(x, y - 7.0, x + 14.0, y + 7.0), colour(i))?;
        canvas.text(name, (x + 22.0, y), Anchor::Start, plain(12.0))?;
    }
    canvas.finish()?;
    Ok(out)
}

fn colour(part: usize) -> RGBColor {
    PALETTE[part % PALETTE.len()]
}

fn draw(canvas: &Canvas<'_>, panel: &Panel, parts: &[&str], frame: Rect) -> Result<(), PlotError> {
    let most = panel.bars.iter().map(|(_, bar)| total(bar).high).fold(0.0, f64::max);
    let step = step(most);
    let top = (most / step).ceil().max(1.0) * step;
    let y = |value: f64| frame.3 - (frame.3 - frame.1) * value / top;
    canvas.text(&panel.title, (frame.0, frame.1 - 22.0), Anchor::Start, bold(13.0))?;
    let mut tick = 0.0;
    while tick <= top * 1.0001 {
        canvas.line((frame.0, y(tick)), (frame.2, y(tick)), GRID, 1)?;
        canvas.text(&digits(tick), (frame.0 - 6.0, y(tick)), Anchor::End, plain(11.0))?;
        tick += step;
    }
    let slot = (frame.2 - frame.0) / panel.bars.len().max(1) as f64;
    for (i, (label, bar)) in panel.bars.iter().enumerate() {
        let middle = frame.0 + slot * (i as f64 + 0.5);
        let half = (0.3 * slot).min(34.0);
        let mut base = 0.0;
        for (k, name) in parts.iter().enumerate() {
            let Some(band) = bar.get(name).filter(|b| b.mid > 0.0) else { continue };
            let next = base + band.mid;
            canvas.fill(Rect(middle - half, y(next), middle + half, y(base)), colour(k))?;
            base = next;
        }
        let whole = total(bar);
        canvas.frame(Rect(middle - half, y(whole.mid), middle + half, frame.3), DARK)?;
        canvas.line((middle, y(whole.low)), (middle, y(whole.high)), DARK, 2)?;
        for end in [whole.low, whole.high] {
            canvas.line((middle - 7.0, y(end)), (middle + 7.0, y(end)), DARK, 2)?;
        }
        canvas.text(&digits(whole.mid), (middle + 10.0, y(whole.high) - 9.0), Anchor::Middle, plain(11.0))?;
        // Two rows, so that neighbours do not meet.
        let below = frame.3 + if i % 2 == 0 { 14.0 } else { 30.0 };
        canvas.text(label, (middle, below), Anchor::Middle, plain(11.0))?;
    }
    canvas.line((frame.0, frame.3), (frame.2, frame.3), DARK, 1)
}

/// A step of 1, 2 or 5 times a power of ten that divides `most` into four to ten.
fn step(most: f64) -> f64 {
    if most <= 0.0 {
        return 1.0;
    }
    let power = 10.0_f64.powf((most / 4.0).log10().floor());
    let ratio = most / 4.0 / power;
    power
        * if ratio >= 5.0 {
            5.0
        } else if ratio >= 2.0 {
            2.0
        } else {
            1.0
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_round() {
        for (most, expected) in [(1.0, 0.2), (3.9, 0.5), (12.0, 2.0), (0.0, 1.0), (95.0, 20.0)] {
            assert!((step(most) - expected).abs() < 1e-12, "{most}: {}", step(most));
        }
    }

    #[test]
    fn a_bar_is_as_high_as_its_parts_and_its_labels_are_there() {
        let band = |mid: f64| Band { mid, low: 0.5 * mid, high: 1.5 * mid };
        let bar: Ordered<Band> = [("select", band(1.0)), ("shift", band(3.0))].into_iter().collect();
        let panel = Panel { title: "area, mm2".into(), bars: vec![("lut".into(), bar)] };
        let svg = bars_svg("cores", "at 28 nm", &[panel]).unwrap();
        for text in ["area, mm2", "select", "shift", "lut", "4.00"] {
            assert!(svg.contains(text), "{text}");
        }
        // Highest is 6: the scale ends there, 450 px high; the segments are 75 and 225 px.
        let heights: Vec<i32> = svg
            .split("<rect ")
            .filter(|e| e.contains("#0072B2") || e.contains("#E69F00"))
            .filter_map(|e| e.split("height=\"").nth(1)?.split('"').next()?.parse().ok())
            .collect();
        assert_eq!(&heights[..2], [75, 225]);
    }
}
