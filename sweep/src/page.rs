//! Results as one HTML page that asks nothing of a network, and as an SVG of the front.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::json;

use crate::file::Goal;
use crate::table::Collected;
use crate::value::Value;

/// Rows that a page holds: what is left out is said.
pub const ROWS: usize = 5000;

/// What a page shows beside the table.
pub struct Page<'a> {
    /// Its title.
    pub title: &'a str,
    /// What it is, in a line.
    pub about: &'a str,
    /// The command that runs a row's point alone, by row number.
    pub command: &'a dyn Fn(usize) -> String,
    /// Reports by id.
    pub reports: BTreeMap<String, String>,
}

/// Rows of a page: the front, and the others evenly.
fn rows(collected: &Collected) -> Vec<usize> {
    let all = collected.table.rows.len();
    let front = |i: usize| collected.table.rows[i][4] == Value::Flag(true);
    let on = (0..all).filter(|&i| front(i)).take(ROWS).count();
    let room = ROWS - on;
    let others = all - (0..all).filter(|&i| front(i)).count();
    let (mut seen, mut kept, mut found) = (0, 0, Vec::with_capacity(all.min(ROWS)));
    for i in 0..all {
        if front(i) {
            if found.len() < ROWS {
                found.push(i);
            }
            continue;
        }
        seen += 1;
        // As many of the others as their share so far.
        if kept * others.max(1) < seen * room.min(others) {
            kept += 1;
            found.push(i);
        }
    }
    found
}

/// The page.
///
/// # Panics
/// Never: words and numbers are JSON.
pub fn html(collected: &Collected, page: &Page<'_>) -> String {
    let those = rows(collected);
    let mut about = page.about.to_owned();
    if those.len() < collected.table.rows.len() {
        let _ = write!(
            about,
            " {} of {} points are in this page, the front among them.",
            those.len(),
            collected.table.rows.len()
        );
    }
    let goal = |g: Option<Goal>| g.map(|g| if g == Goal::Maximize { "maximize" } else { "minimize" });
    let metrics: Vec<_> = collected
        .metrics
        .iter()
        .map(|(m, at)| json!({ "name": m.name, "column": at, "goal": goal(m.goal) }))
        .collect();
    let data = json!({
        "about": about,
        "columns": collected.table.columns,
        "parameters": collected.parameters,
        "metrics": metrics,
        "rows": those.iter().map(|&i| &collected.table.rows[i]).collect::<Vec<_>>(),
        "commands": those.iter().map(|&i| (page.command)(i)).collect::<Vec<_>>(),
        "reports": page.reports,
    });
    // What ends a script, or begins a comment in it, is no text of it.
    let data = serde_json::to_string(&data).expect("words and numbers").replace('<', "\\u003c");
    let title = escape(page.title);
    let (before, after) =
        include_str!("page.html").split_once("__DATA__").expect("the page has a place for it");
    format!("{}{data}{after}", before.replace("__TITLE__", &title))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 480.0;

/// The first two metrics against each other, the front marked, of as many points as a page holds; none where there are not two.
pub fn svg(collected: &Collected, title: &str) -> Option<String> {
    let goals = collected.metrics.iter().filter(|(m, _)| m.goal.is_some());
    let others = collected.metrics.iter().filter(|(m, _)| m.goal.is_none());
    let mut axes = goals.chain(others).map(|(m, at)| (m.name.as_str(), *at));
    let ((y_name, y), (x_name, x)) = (axes.next()?, axes.next()?);
    let those = rows(collected);
    let points: Vec<(f64, f64, bool)> = those
        .iter()
        .map(|&i| &collected.table.rows[i])
        .filter(|row| row[3] == Value::Flag(true))
        .filter_map(|row| Some((row[x].number()?, row[y].number()?, row[4] == Value::Flag(true))))
        .collect();
    let range = |f: &dyn Fn(&(f64, f64, bool)) -> f64| {
        let low = points.iter().map(f).fold(f64::INFINITY, f64::min);
        let high = points.iter().map(f).fold(f64::NEG_INFINITY, f64::max);
        if high > low { (low, high) } else { (low - 0.5, low + 0.5) }
    };
    if points.is_empty() {
        return None;
    }
    let (xs, ys) = (range(&|p| p.0), range(&|p| p.1));
    let (left, right, top, bottom) = (90.0, WIDTH - 20.0, 50.0, HEIGHT - 60.0);
    let at_x = |v: f64| left + 10.0 + (right - left - 20.0) * (v - xs.0) / (xs.1 - xs.0);
    let at_y = |v: f64| bottom - 10.0 - (bottom - top - 20.0) * (v - ys.0) / (ys.1 - ys.0);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>\n\
         <text x=\"{left}\" y=\"22\" font-size=\"15\">{}</text>\n\
         <path d=\"M{left} {top}V{bottom}H{right}\" fill=\"none\" stroke=\"#889\"/>\n",
        escape(title)
    );
    for t in ticks(xs) {
        let _ = writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#445\">{}</text>",
            at_x(t),
            bottom + 18.0,
            label(t)
        );
        let _ = writeln!(out, "<path d=\"M{:.1} {bottom}v5\" stroke=\"#889\"/>", at_x(t));
    }
    for t in ticks(ys) {
        let _ = writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#445\">{}</text>",
            left - 8.0,
            at_y(t) + 4.0,
            label(t)
        );
        let _ = writeln!(out, "<path d=\"M{left} {:.1}h-5\" stroke=\"#889\"/>", at_y(t));
    }
    let middle = (left + right) / 2.0;
    let _ = writeln!(
        out,
        "<text x=\"{middle:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
        HEIGHT - 18.0,
        escape(x_name)
    );
    let _ = writeln!(out, "<text x=\"{left}\" y=\"{:.1}\">{}</text>", top - 8.0, escape(y_name));
    let mut sorted = points.clone();
    sorted.sort_by_key(|p| p.2);
    for (px, py, front) in &sorted {
        let (radius, colour) = if *front { (5, "#c2410c") } else { (3, "#4b73b0") };
        let _ = writeln!(
            out,
            "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"{radius}\" fill=\"{colour}\" fill-opacity=\"0.8\"/>",
            at_x(*px),
            at_y(*py)
        );
    }
    let on = points.iter().filter(|p| p.2).count();
    let left_out = collected.table.rows.len() - those.len();
    let more = if left_out > 0 { format!(", {left_out} not drawn") } else { String::new() };
    let legend = format!("{on} on the Pareto front, {} others{more}", points.len() - on);
    let _ = writeln!(
        out,
        "<text x=\"{right}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#c2410c\">{legend}</text>",
        top - 8.0
    );
    out += "</svg>\n";
    Some(out)
}

/// Round numbers within a range, some five.
fn ticks((low, high): (f64, f64)) -> Vec<f64> {
    let raw = (high - low) / 5.0;
    let power = 10f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|k| k * power).into_iter().find(|s| *s >= raw).unwrap_or(raw);
    let first = (low / step).ceil() as i64;
    (first..first + 12).map(|k| k as f64 * step).take_while(|t| *t <= high).collect()
}

/// A tick's number, without the dust of its computation.
fn label(t: f64) -> String {
    let rounded: f64 = format!("{t:.6e}").parse().unwrap_or(t);
    match rounded.abs() {
        0.0 => "0".into(),
        a if !(1e-4..1e7).contains(&a) => format!("{rounded:e}"),
        _ => rounded.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::Metric;
    use crate::table::{Counts, LEADING, Table};

    fn collected(count: usize) -> Collected {
        let mut columns: Vec<String> = LEADING.map(str::to_owned).into();
        columns.extend(["lut.cores", "speed", "area"].map(str::to_owned));
        let row = |i: usize| {
            let flag = Value::Flag(i % 1000 == 7);
            vec![
                Value::Int(i as i64),
                Value::text(format!("{i:016x}")),
                Value::text("done"),
                Value::Flag(true),
                flag,
                Value::Int(i as i64),
                Value::Float(i as f64 * 0.1),
                Value::Float(1.0),
            ]
        };
        let metric = |name: &str, at| {
            (Metric { name: name.into(), formula: None, goal: Some(Goal::Maximize), span: 0..0 }, at)
        };
        Collected {
            table: Table { columns, rows: (0..count).map(row).collect() },
            parameters: vec![5],
            metrics: vec![metric("speed", 6), metric("area", 7)],
            counts: Counts { done: count, ..Counts::default() },
        }
    }

    #[test]
    fn a_page_is_whole_and_asks_nobody() {
        let mut reports = BTreeMap::new();
        reports.insert("0".repeat(16), "</script><b>".to_owned());
        let page = Page { title: "a <b> & c", about: "what", command: &|i| format!("run {i}"), reports };
        let text = html(&collected(10), &page);
        assert!(text.contains("<title>a &lt;b&gt; &amp; c</title>"));
        assert_eq!(text.matches("</script>").count(), 2);
        for outside in ["http:", "https:", "src=", "@import", "url("] {
            let allowed = usize::from(outside == "http:");
            assert_eq!(text.matches(outside).count(), allowed, "{outside}: only the name of SVG's namespace");
        }
        let data = text.split_once("application/json\">").unwrap().1.split_once("</script>").unwrap().0;
        let data: serde_json::Value = serde_json::from_str(data).unwrap();
        assert_eq!((data["rows"].as_array().unwrap().len(), &data["commands"][3]), (10, &"run 3".into()));
    }

    #[test]
    fn of_many_points_the_front_and_others_evenly_are_shown() {
        let collected = collected(40_000);
        let shown = rows(&collected);
        assert_eq!(shown.len(), ROWS);
        assert!(shown.windows(2).all(|w| w[0] < w[1]));
        assert_eq!(shown.iter().filter(|&&i| i % 1000 == 7).count(), 40);
        assert!((4000..6000).contains(&shown.iter().filter(|&&i| i < 20_000).count().saturating_mul(2)));
        assert_eq!(rows(&self::collected(ROWS)).len(), ROWS);
    }

    #[test]
    fn the_front_is_drawn() {
        let text = svg(&collected(3000), "title").unwrap();
        assert_eq!(text.matches("<circle").count(), 3000);
        assert!(text.contains("3 on the Pareto front, 2997 others"));
        assert!(svg(&collected(0), "title").is_none());
        assert_eq!(ticks((0.0, 1.0)).len(), 6);
        assert_eq!(ticks((1.41, 2.67)), [1.5, 2.0, 2.5]);
    }
}
