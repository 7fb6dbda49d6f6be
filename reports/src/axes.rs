//! The log-log axes of the roofline.

use crate::canvas::{Anchor, At, Canvas};
use crate::plot::{GREY, GRID, PLOT, PlotError, plain};
use crate::quantity::si;
use crate::roofline::{Point, Roofline};

/// Both axes: base-ten logarithms at the plot's edges.
pub(crate) struct Axes {
    pub(crate) x: (f64, f64),
    pub(crate) y: (f64, f64),
}

impl Axes {
    /// Room around everything, seven decades at most: what lies farther out stands at the edge.
    pub(crate) fn of(roofline: &Roofline) -> Axes {
        let memory = [roofline.dram_bytes_per_s, roofline.scratchpad_bytes_per_s];
        let peaks = || roofline.compute.iter().map(|c| c.ops_per_s).filter(|x| *x > 0.0);
        let ridges = peaks().flat_map(|p| memory.map(|m| p / m)).filter(|x| x.is_finite());
        // the peaks' labels stand to the right of the last ridge
        let ridges = ridges.flat_map(|ridge| [ridge, 4.0 * ridge]);
        let xs = roofline.points.iter().filter(|p| p.ops > 0.0).filter_map(Point::intensity).chain(ridges);
        let ys = roofline.points.iter().filter_map(Point::ops_per_s).chain(peaks());
        Axes::around(xs, ys)
    }

    /// Room around these intensities and rates.
    pub(crate) fn around(xs: impl Iterator<Item = f64>, ys: impl Iterator<Item = f64>) -> Axes {
        Axes { x: decades(xs, 0.4), y: decades(ys, 0.35) }
    }

    /// Where an intensity and a rate stand; beyond the axes, at their edge.
    pub(crate) fn at(&self, intensity: f64, rate: f64) -> At {
        let part =
            |value: f64, (low, high): (f64, f64)| ((value.log10() - low) / (high - low)).clamp(0.0, 1.0);
        let (fx, fy) = (part(intensity, self.x), part(rate, self.y));
        (PLOT.0 + fx * (PLOT.2 - PLOT.0), PLOT.3 - fy * (PLOT.3 - PLOT.1))
    }

    pub(crate) fn grid(&self, canvas: &Canvas<'_>) -> Result<(), PlotError> {
        let (bottom, left) = (10f64.powf(self.y.0), 10f64.powf(self.x.0));
        for (value, major) in ticks(self.x) {
            let (x, _) = self.at(value, bottom);
            if major {
                canvas.line((x, PLOT.1), (x, PLOT.3 + 6.0), GRID, 1)?;
                canvas.text(&axis_number(value), (x, PLOT.3 + 18.0), Anchor::Middle, plain(12.0))?;
            } else {
                canvas.line((x, PLOT.3), (x, PLOT.3 + 3.0), GREY, 1)?;
            }
        }
        for (value, major) in ticks(self.y) {
            let (_, y) = self.at(left, value);
            if major {
                canvas.line((PLOT.0 - 6.0, y), (PLOT.2, y), GRID, 1)?;
                canvas.text(&axis_number(value), (PLOT.0 - 12.0, y), Anchor::End, plain(12.0))?;
            } else {
                canvas.line((PLOT.0 - 3.0, y), (PLOT.0, y), GREY, 1)?;
            }
        }
        let middle = ((PLOT.0 + PLOT.2) / 2.0, (PLOT.1 + PLOT.3) / 2.0);
        let x_title = "arithmetic intensity: operations per DRAM byte transferred";
        canvas.text(x_title, (middle.0, PLOT.3 + 44.0), Anchor::Middle, plain(13.0))?;
        canvas.text_up("operations per second (2 per multiply-accumulate)", (24.0, middle.1), plain(13.0))
    }
}

/// One to nine of every decade that lies on an axis, powers of ten marked.
fn ticks((low, high): (f64, f64)) -> impl Iterator<Item = (f64, bool)> {
    let all = (low.floor() as i32..=high.floor() as i32)
        .flat_map(|decade| (1..10).map(move |i| (f64::from(i) * 10f64.powi(decade), i == 1)));
    all.filter(move |(value, _)| (low - 1e-9..=high + 1e-9).contains(&value.log10()))
}

fn decades(values: impl Iterator<Item = f64>, room: f64) -> (f64, f64) {
    let logs: Vec<f64> = values.filter(|v| *v > 0.0 && v.is_finite()).map(f64::log10).collect();
    let high = logs.iter().copied().fold(f64::MIN, f64::max);
    let low = logs.iter().copied().fold(f64::MAX, f64::min);
    if logs.is_empty() {
        return (0.0, 1.0);
    }
    let high = high + room;
    (low.min(high - 1.0).floor().max((high - 7.0).ceil()), high)
}

/// `0.01`, `1`, `100`, `10 k`, `1 T`: a power of ten on an axis.
fn axis_number(value: f64) -> String {
    if value < 1.0 { format!("{value:.6}").trim_end_matches('0').to_owned() } else { whole(&si(value, "")) }
}

/// Without the digits after the point that a round number does not need.
fn whole(text: &str) -> String {
    text.trim_end().replacen(".00", "", 1).replacen(".0", "", 1)
}
