//! The roofline of the page: as `roofline.svg`, with operators that can be pointed at and chosen.

use super::{Colours, esc, px};
use crate::quantity::{digits, percent, si};
use crate::roofline::{Point, PointKind, Roofline};

const SIZE: (f64, f64) = (900.0, 500.0);
const LEFT: f64 = 76.0;
const RIGHT: f64 = 884.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 448.0;

struct Scale {
    x: (f64, f64),
    y: (f64, f64),
}

fn decades(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let logs: Vec<f64> = values.filter(|v| *v > 0.0 && v.is_finite()).map(f64::log10).collect();
    let high = logs.iter().copied().fold(f64::MIN, f64::max);
    let low = logs.iter().copied().fold(f64::MAX, f64::min);
    if logs.is_empty() {
        return (0.0, 1.0);
    }
    let high = high + 0.35;
    (low.min(high - 1.0).floor().max((high - 7.0).ceil()), high)
}

impl Scale {
    fn of(r: &Roofline) -> Scale {
        let peaks = || r.compute.iter().map(|c| c.ops_per_s);
        let memory = [r.dram_bytes_per_s, r.scratchpad_bytes_per_s];
        let ridges = peaks().flat_map(|p| memory.map(|m| if m > 0.0 { p / m } else { 0.0 }));
        let ridges = ridges.flat_map(|ridge| [ridge, 3.0 * ridge]);
        let xs = r.points.iter().filter(|p| p.ops > 0.0).filter_map(Point::intensity).chain(ridges);
        Scale { x: decades(xs), y: decades(r.points.iter().filter_map(Point::ops_per_s).chain(peaks())) }
    }
    fn x(&self, value: f64) -> f64 {
        LEFT + ((value.log10() - self.x.0) / (self.x.1 - self.x.0)).clamp(0.0, 1.0) * (RIGHT - LEFT)
    }
    fn y(&self, value: f64) -> f64 {
        BOTTOM - ((value.log10() - self.y.0) / (self.y.1 - self.y.0)).clamp(0.0, 1.0) * (BOTTOM - TOP)
    }
}

fn power(value: f64) -> String {
    match value < 1.0 {
        true => format!("{value:.6}").trim_end_matches('0').to_owned(),
        false => si(value, "").trim_end().replacen(".00", "", 1).replacen(".0", "", 1),
    }
}

/// The picture as SVG.
pub(super) fn svg(r: &Roofline, colours: &Colours) -> String {
    let scale = Scale::of(r);
    let mut out = format!(
        "<svg viewBox=\"0 0 {} {}\" role=\"group\" aria-label=\"Roofline: operations per second over operations per DRAM byte\">\n",
        SIZE.0, SIZE.1
    );
    grid(&mut out, &scale);
    roofs(&mut out, &scale, r);
    // Large markers first, so that small ones can be reached.
    let mut points: Vec<&Point> = r.points.iter().filter(|p| p.kind != PointKind::Phase).collect();
    points.sort_by(|a, b| b.share.total_cmp(&a.share));
    let phases = r.points.iter().filter(|p| p.kind == PointKind::Phase);
    for p in points.into_iter().chain(phases) {
        point(&mut out, &scale, p, colours);
    }
    out + "</svg>\n"
}

fn grid(out: &mut String, scale: &Scale) {
    for decade in scale.x.0.ceil() as i32..=scale.x.1.floor() as i32 {
        let (value, x) = (10f64.powi(decade), px(scale.x(10f64.powi(decade))));
        out.push_str(&format!(
            "<path class=\"grid\" d=\"M{x} {TOP}V{BOTTOM}\"/><text class=\"t\" x=\"{x}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n",
            BOTTOM + 18.0,
            power(value)
        ));
    }
    for decade in scale.y.0.ceil() as i32..=scale.y.1.floor() as i32 {
        let (value, y) = (10f64.powi(decade), scale.y(10f64.powi(decade)));
        out.push_str(&format!(
            "<path class=\"grid\" d=\"M{LEFT} {0}H{RIGHT}\"/><text class=\"t\" x=\"{1}\" y=\"{2}\" text-anchor=\"end\">{3}</text>\n",
            px(y),
            LEFT - 8.0,
            px(y + 4.0),
            power(value)
        ));
    }
    out.push_str(&format!(
        "<text class=\"t\" x=\"{}\" y=\"{}\" text-anchor=\"middle\">operations per DRAM byte transferred</text>\n\
         <text class=\"t\" transform=\"translate(16 {}) rotate(-90)\" text-anchor=\"middle\">operations per second</text>\n",
        px((LEFT + RIGHT) / 2.0),
        BOTTOM + 40.0,
        px((TOP + BOTTOM) / 2.0)
    ));
}

fn roofs(out: &mut String, scale: &Scale, r: &Roofline) {
    let top = r.compute.iter().map(|c| c.ops_per_s).fold(0.0, f64::max);
    let (left, low) = (10f64.powf(scale.x.0), 10f64.powf(scale.y.0));
    for (name, class, rate) in
        [("scratchpad", "pad", r.scratchpad_bytes_per_s), ("DRAM", "roof", r.dram_bytes_per_s)]
    {
        if rate <= 0.0 || top <= 0.0 {
            continue;
        }
        let start = left.max(low / rate);
        let (x0, y0) = (scale.x(start), scale.y(start * rate));
        let (x1, y1) = (scale.x(top / rate), scale.y(top));
        let middle = ((x0 + 0.42 * (x1 - x0) - 8.0).max(LEFT + 140.0), y0 + 0.42 * (y1 - y0) - 8.0);
        out.push_str(&format!(
            "<path class=\"{class}\" d=\"M{} {}L{} {}\"/><text x=\"{}\" y=\"{}\" text-anchor=\"end\">{name} {}</text>\n",
            px(x0),
            px(y0),
            px(x1),
            px(y1),
            px(middle.0),
            px(middle.1),
            si(rate, "B/s")
        ));
    }
    let mut labels: Vec<(f64, u32)> = Vec::new();
    for c in &r.compute {
        let ridge = if r.dram_bytes_per_s > 0.0 { c.ops_per_s / r.dram_bytes_per_s } else { left };
        let y = scale.y(c.ops_per_s);
        out.push_str(&format!("<path class=\"peak\" d=\"M{} {}H{RIGHT}\"/>\n", px(scale.x(ridge)), px(y)));
        // A label stands on its line, since lines may be close; one that would stand on another goes to its left.
        let met = |column: u32| labels.iter().any(|(other, at)| *at == column && (other - y).abs() < 17.0);
        let column = (0..).find(|column| !met(*column)).unwrap_or(0);
        labels.push((y, column));
        out.push_str(&format!(
            "<text class=\"t halo\" x=\"{}\" y=\"{}\" text-anchor=\"end\">{}: {}</text>\n",
            px(RIGHT - 24.0 - 170.0 * f64::from(column)),
            px(y + 4.0),
            esc(&c.label),
            si(c.ops_per_s, "OP/s")
        ));
    }
}

fn point(out: &mut String, scale: &Scale, p: &Point, colours: &Colours) {
    let Some(rate) = p.ops_per_s() else { return };
    // Without DRAM bytes a marker stands at the right edge.
    let x = p.intensity().map_or(RIGHT - 12.0, |i| scale.x(i).min(RIGHT - 12.0));
    let y = scale.y(rate).min(BOTTOM - 8.0);
    let whole = p.kind == PointKind::Phase;
    let r = if whole { 7.0 } else { 5.0 + 12.0 * p.share.clamp(0.0, 1.0).sqrt() };
    let shape = match (whole, p.phase.as_str()) {
        (true, _) => format!("M{} {}l{r} {r}l-{r} {r}l-{r} -{r}z", px(x), px(y - r), r = px(r)),
        (false, "prefill") => {
            format!(
                "M{} {}a{r} {r} 0 1 0 {d} 0a{r} {r} 0 1 0 -{d} 0z",
                px(x - r),
                px(y),
                r = px(r),
                d = px(2.0 * r)
            )
        }
        (false, _) => {
            format!("M{} {}L{} {}H{}z", px(x), px(y - 1.15 * r), px(x + r), px(y + 0.75 * r), px(x - r))
        }
    };
    let what = if p.kind == PointKind::Vector { "lane operations" } else { "operations" };
    let tip = format!(
        "{}{}\n{}/s of {what}, {} per byte\n{} of DRAM, {}, {} of the phase",
        p.name,
        if whole { String::new() } else { format!(", {}", p.phase) },
        si(rate, "OP"),
        p.intensity().map_or("-".into(), digits),
        si(p.dram_bytes, "B"),
        si(p.seconds, "s"),
        percent(p.share)
    );
    let tip = esc(&tip);
    if whole {
        // Where peaks have no labels, and where the DRAM's roof does not run.
        let (dx, anchor) = if p.phase == "prefill" { (-18.0, "end") } else { (13.0, "start") };
        out.push_str(&format!(
            "<g data-tip=\"{tip}\" tabindex=\"0\" role=\"img\" aria-label=\"{tip}\"><path class=\"pt\" d=\"{shape}\"/>\
             <text x=\"{}\" y=\"{}\" text-anchor=\"{anchor}\" font-weight=\"600\">{}</text></g>\n",
            px(x + dx),
            px(y + 20.0),
            esc(&p.name)
        ));
        return;
    }
    let name = esc(&p.name);
    out.push_str(&format!(
        "<g data-op=\"{name}\" data-tip=\"{tip}\" tabindex=\"0\" role=\"button\" aria-pressed=\"false\" aria-label=\"{tip}\">\
         <path class=\"pt {}\" fill-opacity=\".8\" d=\"{shape}\"/></g>\n",
        colours.class(&p.name)
    ));
}
