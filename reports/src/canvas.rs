//! A few drawing primitives in pixels over the SVG backend: lines, markers, text, and free places for labels.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::plot::PlotError;

/// A point on the canvas.
pub(crate) type At = (f64, f64);

/// An axis-parallel rectangle on the canvas: left, top, right, bottom.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rect(pub(crate) f64, pub(crate) f64, pub(crate) f64, pub(crate) f64);

impl Rect {
    fn meets(self, other: Rect) -> bool {
        self.0 < other.2 && other.0 < self.2 && self.1 < other.3 && other.1 < self.3
    }

    fn within(self, other: Rect) -> bool {
        self.0 >= other.0 && self.1 >= other.1 && self.2 <= other.2 && self.3 <= other.3
    }
}

/// Which end of a text stands at its place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

/// How a text looks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    pub(crate) size: f64,
    pub(crate) bold: bool,
    pub(crate) colour: RGBColor,
}

/// The shape of a marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Circle,
    Triangle,
    Diamond,
}

/// The width of `text` in pixels, on the generous side: no font is at hand to measure it.
pub(crate) fn width(text: &str, style: Style) -> f64 {
    text.chars().count() as f64 * style.size * if style.bold { 0.68 } else { 0.62 }
}

/// The box that `text` fills when it stands at `at`, vertically centred.
pub(crate) fn text_box(text: &str, (x, y): At, anchor: Anchor, style: Style) -> Rect {
    let w = width(text, style);
    let left = match anchor {
        Anchor::Start => x,
        Anchor::Middle => x - w / 2.0,
        Anchor::End => x - w,
    };
    Rect(left, y - style.size * 0.62, left + w, y + style.size * 0.62)
}

/// An SVG under construction.
pub(crate) struct Canvas<'a> {
    area: DrawingArea<SVGBackend<'a>, Shift>,
    taken: Vec<Rect>,
}

fn px((x, y): At) -> (i32, i32) {
    (x.round() as i32, y.round() as i32)
}

fn fault<E: std::fmt::Display>(error: E) -> PlotError {
    PlotError(error.to_string())
}

impl<'a> Canvas<'a> {
    /// A white canvas that ends up in `out`.
    pub(crate) fn new(out: &'a mut String, size: (u32, u32)) -> Result<Self, PlotError> {
        let area = SVGBackend::with_string(out, size).into_drawing_area();
        area.fill(&WHITE).map_err(fault)?;
        Ok(Canvas { area, taken: Vec::new() })
    }

    /// Completes the SVG.
    pub(crate) fn finish(self) -> Result<(), PlotError> {
        self.area.present().map_err(fault)
    }

    /// A straight line.
    pub(crate) fn line(&self, from: At, to: At, colour: RGBColor, stroke: u32) -> Result<(), PlotError> {
        let style = ShapeStyle::from(colour).stroke_width(stroke);
        self.area.draw(&PathElement::new(vec![px(from), px(to)], style)).map_err(fault)
    }

    /// A dashed line.
    pub(crate) fn dashed(&self, from: At, to: At, colour: RGBColor, stroke: u32) -> Result<(), PlotError> {
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let length = dx.hypot(dy);
        let at = |s: f64| (from.0 + dx * s / length, from.1 + dy * s / length);
        let mut s = 0.0;
        while s < length {
            self.line(at(s), at((s + 8.0).min(length)), colour, stroke)?;
            s += 13.0;
        }
        Ok(())
    }

    /// A rectangle's outline.
    pub(crate) fn frame(&self, Rect(x0, y0, x1, y1): Rect, colour: RGBColor) -> Result<(), PlotError> {
        let style = ShapeStyle::from(colour).stroke_width(1);
        self.area.draw(&Rectangle::new([px((x0, y0)), px((x1, y1))], style)).map_err(fault)
    }

    /// A filled rectangle.
    pub(crate) fn fill(&self, Rect(x0, y0, x1, y1): Rect, colour: RGBColor) -> Result<(), PlotError> {
        self.area.draw(&Rectangle::new([px((x0, y0)), px((x1, y1))], colour.filled())).map_err(fault)
    }

    /// A marker of radius `r`: filled in `colour`, outlined in `edge`.
    pub(crate) fn marker(
        &self,
        shape: Shape,
        at: At,
        r: f64,
        colour: RGBAColor,
        edge: RGBColor,
    ) -> Result<(), PlotError> {
        let outline = ShapeStyle::from(edge).stroke_width(1);
        let corners: Vec<At> = match shape {
            Shape::Circle => {
                self.area.draw(&Circle::new(px(at), r.round() as i32, colour.filled())).map_err(fault)?;
                return self.area.draw(&Circle::new(px(at), r.round() as i32, outline)).map_err(fault);
            }
            Shape::Triangle => {
                vec![(at.0, at.1 - 1.15 * r), (at.0 + r, at.1 + 0.75 * r), (at.0 - r, at.1 + 0.75 * r)]
            }
            Shape::Diamond => {
                vec![
                    (at.0, at.1 - 1.2 * r),
                    (at.0 + 1.2 * r, at.1),
                    (at.0, at.1 + 1.2 * r),
                    (at.0 - 1.2 * r, at.1),
                ]
            }
        };
        let mut path: Vec<(i32, i32)> = corners.into_iter().map(px).collect();
        self.area.draw(&Polygon::new(path.clone(), colour.filled())).map_err(fault)?;
        path.push(path[0]);
        self.area.draw(&PathElement::new(path, outline)).map_err(fault)
    }

    /// Text, vertically centred at `at`.
    pub(crate) fn text(&self, text: &str, at: At, anchor: Anchor, style: Style) -> Result<(), PlotError> {
        let h = match anchor {
            Anchor::Start => HPos::Left,
            Anchor::Middle => HPos::Center,
            Anchor::End => HPos::Right,
        };
        // the SVG backend divides by 1.24
        let weight = if style.bold { FontStyle::Bold } else { FontStyle::Normal };
        let font = FontDesc::new(FontFamily::SansSerif, style.size * 1.24, weight);
        let look = TextStyle::from(font).color(&style.colour).pos(Pos::new(h, VPos::Center));
        self.area.draw_text(text, &look, px(at)).map_err(fault)
    }

    /// Text that reads upwards, centred at `at`.
    pub(crate) fn text_up(&self, text: &str, at: At, style: Style) -> Result<(), PlotError> {
        let font = FontDesc::new(FontFamily::SansSerif, style.size * 1.24, FontStyle::Normal);
        let look = TextStyle::from(font.transform(FontTransform::Rotate270))
            .color(&style.colour)
            .pos(Pos::new(HPos::Center, VPos::Center));
        self.area.draw_text(text, &look, px(at)).map_err(fault)
    }

    /// Keeps labels away from `rect`.
    pub(crate) fn keep_free(&mut self, rect: Rect) {
        self.taken.push(rect);
    }

    /// Puts `text` at the first of `places` that lies within `bounds` and meets nothing; none if there is none.
    pub(crate) fn place(
        &mut self,
        text: &str,
        places: impl IntoIterator<Item = (At, Anchor)>,
        bounds: Rect,
        style: Style,
    ) -> Result<Option<Rect>, PlotError> {
        self.place_on(text, places, bounds, style, None)
    }

    /// Likewise, but `line`, which is kept free of others, may run behind the text: it is interrupted there.
    pub(crate) fn place_on(
        &mut self,
        text: &str,
        places: impl IntoIterator<Item = (At, Anchor)>,
        bounds: Rect,
        style: Style,
        line: Option<Rect>,
    ) -> Result<Option<Rect>, PlotError> {
        for (at, anchor) in places {
            let rect = text_box(text, at, anchor, style);
            let free = |r: &Rect| Some(*r) == line || !r.meets(rect);
            if rect.within(bounds) && self.taken.iter().all(free) {
                if line.is_some_and(|line| line.meets(rect)) {
                    // The box is on the generous side; the gap is not.
                    let spare = 0.05 * (rect.2 - rect.0);
                    self.fill(Rect(rect.0 + spare, rect.1, rect.2 - spare, rect.3), WHITE)?;
                }
                self.text(text, at, anchor, style)?;
                self.taken.push(rect);
                return Ok(Some(rect));
            }
        }
        Ok(None)
    }
}
