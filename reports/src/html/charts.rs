//! Bars, layers, stalls, bandwidth over time, memory maps.

use lutsim_record::{Ordered, Record, UnitCycles, UnitKind};

use super::{Colours, esc, px};
use crate::details::{Region, Series};
use crate::quantity::{bytes, percent, share, si, size};

/// A part of a bar.
pub(super) struct Segment {
    pub(super) name: String,
    /// Colour class.
    pub(super) class: String,
    pub(super) value: f64,
    /// What is shown when it is pointed at.
    pub(super) tip: String,
    /// Whether it is an operator, which can be chosen.
    pub(super) operator: bool,
}

/// A labelled bar of segments, as long as the page is wide.
pub(super) fn bar(label: &str, segments: &[Segment], whole: f64) -> String {
    let mut out = format!("<div class=\"row\"><span>{}</span><div class=\"bar\">", esc(label));
    for s in segments.iter().filter(|s| s.value > 0.0) {
        let width = 100.0 * share(s.value, whole);
        let tip = esc(&s.tip);
        // What cannot be seen is still in the table, and is no stop of the tab key.
        let reach = match (s.operator, width >= 0.3) {
            (true, true) => " tabindex=\"0\" role=\"button\" aria-pressed=\"false\"",
            (false, true) => " tabindex=\"0\" role=\"img\"",
            (_, false) => "",
        };
        let op = if s.operator { format!(" data-op=\"{}\"", esc(&s.name)) } else { String::new() };
        out.push_str(&format!(
            "<span class=\"{}\" style=\"width:{}%\"{op} data-tip=\"{tip}\" aria-label=\"{tip}\"{reach}></span>",
            s.class,
            format_args!("{width:.3}"),
        ));
    }
    out + "</div></div>\n"
}

/// Chips that name colours and choose operators.
pub(super) fn legend(colours: &Colours, shown: impl Fn(&str) -> bool) -> String {
    let mut out = String::from("<div class=\"legend\">");
    for (name, class) in colours.names().filter(|(name, _)| shown(name)) {
        let name = esc(name);
        out.push_str(&format!(
            "<button class=\"chip\" data-op=\"{name}\" aria-pressed=\"false\"><i class=\"{class}\"></i>{name}</button>"
        ));
    }
    out + "</div>\n"
}

/// Names with the colours of parts that are no operators.
pub(super) fn key<'a>(parts: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let items = parts
        .into_iter()
        .map(|(name, class)| format!("<span class=\"key\"><i class=\"{class}\"></i>{}</span>", esc(name)));
    format!("<p>{}</p>\n", items.collect::<String>())
}

/// Parts of a whole as one bar with its key: components, regions.
pub(super) fn parts(label: &str, unit: &str, values: &Ordered<f64>) -> String {
    let whole: f64 = values.iter().map(|(_, v)| *v).sum();
    let segments: Vec<Segment> = values
        .iter()
        .filter(|(_, v)| **v > 0.0)
        .enumerate()
        .map(|(i, (name, v))| Segment {
            name: name.to_owned(),
            class: class(i),
            value: *v,
            tip: format!("{name}\n{}, {}", amount(*v, unit), percent(share(*v, whole))),
            operator: false,
        })
        .collect();
    bar(label, &segments, whole)
}

/// The key of [`parts`].
pub(super) fn parts_key(values: &Ordered<f64>) -> String {
    let shown = values.iter().filter(|(_, v)| **v > 0.0).enumerate();
    key(shown.map(|(i, (name, _))| (name, class(i))))
}

fn amount(value: f64, unit: &str) -> String {
    match unit {
        "mm2" => format!("{} mm²", crate::quantity::digits(value)),
        unit => si(value, unit),
    }
}

/// The colour of part `i`: ten, then the same ones striped.
pub(super) fn class(i: usize) -> String {
    format!("c{}{}", i % 10, if i >= 10 { " s1" } else { "" })
}

/// A column per layer, stacked by operator: `values` of each operator record of a phase, in their order.
pub(super) fn layers(record: &Record, phase: &str, values: &[f64], unit: &str, colours: &Colours) -> String {
    let rows: Vec<_> = record.operators.iter().filter(|o| o.phase == phase).zip(values).collect();
    let count = rows.iter().filter_map(|(o, _)| o.layer).max().map_or(0, |last| last as usize + 1);
    // What belongs to no layer stands in a column of its own at the right.
    let columns = count + 1;
    let mut heights = vec![0.0; columns];
    for (o, value) in &rows {
        heights[o.layer.map_or(count, |l| l as usize)] += **value;
    }
    // What is in no layer may be more than any of them: its column is then cut off, and says how high it is.
    let of_layers = heights[..count].iter().copied().fold(0.0, f64::max);
    let most = if of_layers > 0.0 { of_layers } else { heights[count] };
    if most <= 0.0 {
        return String::new();
    }
    let (width, high, left) = (900.0, 190.0, 70.0);
    let step = (width - left - 10.0) / columns as f64;
    let mut out = format!(
        "<div class=\"wide\"><svg viewBox=\"0 -8 {width} 248\" role=\"group\" aria-label=\"{} by layer, {phase}\">\n\
         <path class=\"grid\" d=\"M{left} {high}H{width}M{left} 10H{width}\"/>\
         <text class=\"t\" x=\"{1}\" y=\"16\" text-anchor=\"end\">{2}</text><text class=\"t\" x=\"{1}\" y=\"{high}\" text-anchor=\"end\">0</text>\n",
        if unit == "s" { "time" } else { "energy" },
        left - 6.0,
        si(most, unit)
    );
    let mut base = vec![0.0; columns];
    for (name, class) in colours.names() {
        let (mut path, mut sum, mut times) = (String::new(), 0.0, 0);
        for (o, value) in rows.iter().filter(|(o, _)| o.name == name) {
            let column = o.layer.map_or(count, |l| l as usize);
            let (from, to) = (base[column], base[column] + **value);
            base[column] = to;
            sum += **value;
            times += 1;
            let y = |v: f64| high - (high - 10.0) * (v / most).min(1.0);
            if y(from) - y(to) >= 0.05 {
                let x = left + step * column as f64;
                let wide = px(step * 0.86);
                path.push_str(&format!("M{} {}h{wide}V{}h-{wide}z", px(x), px(y(from)), px(y(to))));
            }
        }
        if !path.is_empty() {
            let tip = esc(&format!(
                "{name}, {phase}\n{} in {times} layer{}, {} of the phase",
                si(sum, unit),
                if times == 1 { "" } else { "s" },
                percent(share(sum, values.iter().sum()))
            ));
            let name = esc(name);
            out.push_str(&format!(
                "<path class=\"{class}\" data-op=\"{name}\" data-tip=\"{tip}\" aria-label=\"{tip}\" d=\"{path}\"/>\n"
            ));
        }
    }
    let every = (count / 16).max(1);
    for layer in (0..count).step_by(every) {
        let x = left + step * (layer as f64 + 0.43);
        out.push_str(&format!(
            "<text class=\"t\" x=\"{}\" y=\"{}\" text-anchor=\"middle\">{layer}</text>\n",
            px(x),
            high + 16.0
        ));
    }
    let (x, y) = (px(left + step * (count as f64 + 0.43)), high + 16.0);
    out.push_str(&format!("<text class=\"t\" x=\"{x}\" y=\"{y}\" text-anchor=\"middle\">none</text>\n"));
    if heights[count] > most {
        let text = si(heights[count], unit);
        out.push_str(&format!("<text x=\"{x}\" y=\"8\" text-anchor=\"end\">\u{2191} {text}</text>\n"));
    }
    out.push_str(&format!(
        "<text class=\"t\" x=\"{}\" y=\"{}\" text-anchor=\"middle\">layer</text>\n</svg></div>\n",
        px((left + width) / 2.0),
        high + 36.0
    ));
    out
}

/// Channels as one unit, others as they are.
pub(super) fn merged(units: &[UnitCycles]) -> Vec<UnitCycles> {
    let (channels, mut out): (Vec<_>, Vec<_>) =
        units.iter().cloned().partition(|u| u.name.starts_with("dram."));
    if let Some(first) = channels.first() {
        let whole = channels[1..].iter().fold(first.clone(), |sum, channel| sum.plus(channel));
        out.push(UnitCycles { name: format!("dram x{}", channels.len()), ..whole });
    }
    out
}

/// The colour of a stall cause; busy and idle have their own.
fn cause_class(cause: &str) -> String {
    let at = lutsim_record::Cause::ALL.iter().position(|c| c.name() == cause).unwrap_or(0);
    if cause == "idle" { "idle".into() } else { class(at) }
}

/// A bar per unit: busy, and each cause.
pub(super) fn stalls(units: &[UnitCycles]) -> String {
    let units = merged(units);
    let mut out = String::new();
    let mut seen: Vec<&str> = Vec::new();
    for unit in &units {
        let total = unit.total() as f64;
        let kind = UnitKind::from_name(unit.name.split(' ').next().unwrap_or_default());
        let busy = kind.map_or("", |k| k.row().busy);
        let mut segments = vec![Segment {
            name: "busy".into(),
            class: "busy".into(),
            value: unit.busy_cycles as f64,
            tip: format!("{}: busy {}\n{busy}", unit.name, percent(share(unit.busy_cycles as f64, total))),
            operator: false,
        }];
        for (cause, n) in unit.stall_cycles.iter().filter(|(_, n)| **n > 0) {
            let known = lutsim_record::Cause::ALL.iter().find(|c| c.name() == cause);
            if *n as f64 >= 0.001 * total {
                seen.push(known.map_or("idle", |c| c.name()));
            }
            segments.push(Segment {
                name: cause.to_owned(),
                class: cause_class(cause),
                value: *n as f64,
                tip: format!(
                    "{}: {cause} {}\n{}",
                    unit.name,
                    percent(share(*n as f64, total)),
                    known.map_or("", |c| c.doc())
                ),
                operator: false,
            });
        }
        out.push_str(&bar(&unit.name, &segments, total));
    }
    let causes = lutsim_record::Cause::ALL.iter().map(|c| c.name()).filter(|name| seen.contains(name));
    key(std::iter::once(("busy", "busy".to_owned())).chain(causes.map(|c| (c, cause_class(c))))) + &out
}

/// DRAM bytes per second over time, against the pins' peak.
pub(super) fn bandwidth(series: &Series, hz: f64, peak: f64) -> String {
    let (width, high, left, top) = (900.0, 170.0, 70.0, 12.0);
    let end = series.core_cycles.last().copied().unwrap_or(0) as f64;
    if end <= 0.0 {
        return String::new();
    }
    let x = |cycle: f64| left + (width - left - 8.0) * cycle / end;
    let y = |rate: f64| high - (high - top) * (rate / (1.06 * peak)).clamp(0.0, 1.0);
    let mut path = format!("M{left} {high}");
    let cycles = series.core_cycles.windows(2).zip(series.dram_bytes.windows(2));
    let mut largest: f64 = 0.0;
    for (at, moved) in cycles {
        let rate = share((moved[1] - moved[0]) as f64 * hz, (at[1] - at[0]) as f64);
        largest = largest.max(rate);
        path.push_str(&format!("V{}H{}", px(y(rate)), px(x(at[1] as f64))));
    }
    let moved =
        series.dram_bytes.last().copied().unwrap_or(0) - series.dram_bytes.first().copied().unwrap_or(0);
    let mean = moved as f64 * hz / end;
    let mut out = format!(
        "<div class=\"wide\"><svg viewBox=\"0 0 {width} 218\" role=\"img\" aria-label=\"DRAM bandwidth over time, {}: mean {}, most {} of {6}\">\n\
         <path class=\"c1\" fill-opacity=\".75\" d=\"{path}V{high}z\"/>\n\
         <path class=\"peak\" stroke-dasharray=\"6 4\" d=\"M{left} {3}H{width}\"/><text class=\"t\" x=\"{4}\" y=\"{5}\" text-anchor=\"end\">{6}</text>\
         <text class=\"t\" x=\"{4}\" y=\"{high}\" text-anchor=\"end\">0</text>\n",
        series.phase,
        si(mean, "B/s"),
        si(largest, "B/s"),
        px(y(peak)),
        left - 6.0,
        px(y(peak) + 4.0),
        si(peak, "B/s")
    );
    for &(number, begin) in &series.steps {
        let at = x(begin as f64);
        out.push_str(&format!("<path class=\"grid\" d=\"M{0} {top}V{1}\"/>", px(at), high + 4.0));
        if series.steps.len() <= 12 {
            let what = if series.phase == "prefill" { "chunk" } else { "step" };
            out.push_str(&format!(
                "<text class=\"t\" x=\"{}\" y=\"{}\">{what} {number}</text>\n",
                px(at + 3.0),
                high + 16.0
            ));
        }
    }
    out.push_str(&format!(
        "<text class=\"t\" x=\"{width}\" y=\"{0}\" text-anchor=\"end\">{1}</text>\n</svg></div>\n\
         <p class=\"small dim\">{2} intervals with exact counts each, over {1} of simulated {3}; mean {4}, most {5}.</p>\n",
        high + 34.0,
        si(end / hz, "s"),
        series.core_cycles.len().saturating_sub(1),
        series.phase,
        si(mean, "B/s"),
        si(largest, "B/s")
    ));
    out
}

/// A memory as a bar with a table of its regions.
pub(super) fn memory(label: &str, regions: &[Region], capacity: u64) -> String {
    let used: u64 = regions.iter().map(|r| r.bytes).sum();
    let mut sizes: Ordered<f64> = Ordered::new();
    // Small regions are one in the bar, and apart in the table.
    let small = |r: &Region| (r.bytes as f64) < 0.004 * capacity as f64;
    for r in regions.iter().filter(|r| !small(r)) {
        sizes.insert(r.name.clone(), r.bytes as f64);
    }
    let rest: u64 = regions.iter().filter(|r| small(r)).map(|r| r.bytes).sum();
    if rest > 0 {
        sizes.insert("others".to_owned(), rest as f64);
    }
    let mut segments: Vec<Segment> = sizes
        .iter()
        .enumerate()
        .map(|(i, (name, n))| Segment {
            name: name.to_owned(),
            class: class(i),
            value: *n,
            tip: format!(
                "{name}\n{}, {} of {}",
                bytes(*n as u64),
                percent(share(*n, capacity as f64)),
                size(capacity)
            ),
            operator: false,
        })
        .collect();
    let names: Vec<(String, String)> = segments.iter().map(|s| (s.name.clone(), s.class.clone())).collect();
    let free = capacity.saturating_sub(used);
    segments.push(Segment {
        name: "free".into(),
        class: "idle".into(),
        value: free as f64,
        tip: format!("free or between regions\n{}", bytes(free)),
        operator: false,
    });
    let mut out = bar(label, &segments, capacity as f64);
    out.push_str(&key(names.iter().map(|(n, c)| (n.as_str(), c.clone()))));
    out.push_str("<details><summary class=\"small\">Regions</summary><div class=\"wide\"><table><thead><tr><th>region</th><th>first byte</th><th>copies</th><th>bytes</th><th>share</th></tr></thead><tbody>\n");
    for r in regions {
        out.push_str(&format!(
            "<tr><td>{}</td><td>{:#x}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
            esc(&r.name),
            r.address,
            r.copies,
            crate::quantity::count(r.bytes),
            percent(share(r.bytes as f64, capacity as f64))
        ));
    }
    out + "</tbody></table></div></details>\n"
}
