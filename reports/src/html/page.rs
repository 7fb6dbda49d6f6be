//! The page: sections in the order in which they are asked.

use lutsim_record::{Band, Ordered, PhaseTotals, Record};

use super::charts::{self, Segment};
use super::{Colours, energy, esc, roofline, why};
use crate::details::Details;
use crate::operators::by_operator;
use crate::quantity::{bytes, count, digits, percent, share, si};
use crate::roofline::Roofline;

/// The page of a record and, if there are, its details; the same ones give the same bytes.
pub fn report_html(record: &Record, details: Option<&Details>) -> String {
    let colours = Colours::of(record);
    let title = format!("{} on {}", record.workload.model, record.machine.chip);
    let roof = Roofline::from_record(record);
    let mut sections: Vec<(&str, &str, String)> = vec![
        (
            "why",
            "Why it is this fast and not faster",
            why::html(record, details.and_then(|d| d.doublings.as_deref())),
        ),
        ("roofline", "Roofline", roofline_section(record, &roof, &colours)),
        ("time", "Time by operator and layer", time(record, &colours)),
        ("energy", "Energy by component, operator and layer", energy_section(record, &colours)),
        ("stalls", "Where the cycles went", stalls(record)),
    ];
    if let Some(d) = details {
        let hz = record.machine.core_clock_hz as f64;
        let pictures = d.timelines.iter().map(|s| {
            format!(
                "<h3>{}</h3>\n{}",
                s.phase,
                charts::bandwidth(s, hz, record.machine.dram_peak_bytes_per_second)
            )
        });
        sections.push(("bandwidth", "DRAM bandwidth over time", pictures.collect()));
        let mut map = charts::memory("DRAM", &d.dram, d.dram_bytes);
        for phase in ["prefill", "decode"] {
            let own: Vec<_> = d.scratchpad.iter().filter(|r| r.name.starts_with(phase)).cloned().collect();
            if !own.is_empty() {
                map.push_str(&charts::memory(&format!("scratchpad, {phase}"), &own, d.scratchpad_bytes));
            }
        }
        sections.push(("memory", "Memory map", map));
    }
    sections.push(("area", "Area and price", area(record)));
    sections.push(("config", "Configuration and sources", config(record, details)));

    let nav: String =
        sections.iter().map(|(id, name, _)| format!("<a href=\"#{id}\">{}</a>", esc(name))).collect();
    let body: String = sections
        .iter()
        .map(|(id, name, html)| format!("<section id=\"{id}\"><h2>{}</h2>\n{html}</section>\n", esc(name)))
        .collect();
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<link rel=\"icon\" href=\"data:,\">\n\
         <title>{0}</title>\n<style>\n{1}</style>\n</head>\n<body>\n<header><h1>{0}</h1>\n<p class=\"dim\">{2}</p>\n{3}</header>\n\
         <nav aria-label=\"sections\">{nav}</nav>\n\
         <div id=\"filter\" role=\"status\" aria-live=\"polite\"><span id=\"said\">All operators. Point at one to see its numbers, \
         choose one to see it alone.</span><button id=\"clear\" hidden>show all</button></div>\n\
         <main>\n{body}</main>\n\
         <footer class=\"small dim\"><p>lutsim {4}, record schema {5}, configuration {6}. Made from record.json{7} alone; no network.</p></footer>\n\
         <div id=\"tip\" role=\"tooltip\"></div>\n<script>\n{8}</script>\n</body>\n</html>\n",
        esc(&title),
        include_str!("page.css"),
        esc(&roof.subtitle),
        cards(record),
        esc(&record.provenance.version),
        esc(&record.schema_version),
        esc(&record.provenance.config_hash),
        if details.is_some() { " and details.json" } else { "" },
        include_str!("page.js"),
    )
}

fn card(value: &str, what: &str, band: Option<String>) -> String {
    let band = band.map_or(String::new(), |b| format!("<span>{}</span>", esc(&b)));
    format!("<div class=\"card\"><span>{}</span><b>{}</b>{band}</div>\n", esc(what), esc(value))
}

fn range(band: Band, unit: &str) -> Option<String> {
    (band.low < band.high).then(|| format!("{} to {} {unit}", digits(band.low), digits(band.high)))
}

/// Headline figures, with low and high where the record has them.
fn cards(record: &Record) -> String {
    let mut out = String::from("<div class=\"cards\">\n");
    if let Some(d) = &record.phases.decode {
        let note = d.interpolation_residual.map(|r| {
            format!(
                "{} of {} steps simulated, residual {}",
                d.simulated_steps,
                record.workload.generate,
                percent(r)
            )
        });
        out.push_str(&card(&format!("{} tokens/s", digits(d.totals.tokens_per_second)), "decode", note));
    }
    if let Some(p) = &record.phases.prefill {
        out.push_str(&card(&si(p.time_to_first_token_seconds, "s"), "time to first token", None));
        let note = Some(format!("{} tokens", count(p.totals.tokens)));
        out.push_str(&card(&format!("{} tokens/s", digits(p.totals.tokens_per_second)), "prefill", note));
    }
    for (name, p) in record.phases() {
        let band = Band {
            mid: p.energy_per_token_j,
            low: p.energy_per_token_j_low,
            high: p.energy_per_token_j_high,
        };
        out.push_str(&card(
            &format!("{} J", digits(band.mid)),
            &format!("energy per token, {name}"),
            range(band, "J"),
        ));
        let watts = |j: f64| share(j, p.seconds);
        let band = Band { mid: watts(p.energy_j), low: watts(p.energy_j_low), high: watts(p.energy_j_high) };
        out.push_str(&card(
            &format!("{} W", digits(band.mid)),
            &format!("average power, {name}"),
            range(band, "W"),
        ));
        out.push_str(&card(
            &percent(p.dram_bandwidth_share),
            &format!("of the DRAM's peak, {name}"),
            Some(format!("of {}", si(record.machine.dram_peak_bytes_per_second, "B/s"))),
        ));
    }
    if let Some(area) = record.area.band() {
        out.push_str(&card(&format!("{} mm²", digits(area.mid)), "area", range(area, "mm²")));
    }
    if let Some(usd) = record.price.band() {
        out.push_str(&card(&format!("{} USD", digits(usd.mid)), "die and memory", range(usd, "USD")));
    }
    out + "</div>\n"
}

fn roofline_section(record: &Record, roof: &Roofline, colours: &Colours) -> String {
    let mut out = format!(
        "<p class=\"small dim\">Circles: prefill, triangles: decode, diamonds: a whole phase; the larger, the longer it took. \
         Bytes are those that moved during an operator, prefetch for others included; grey operators multiply no matrices and are \
         counted in lane operations. One without DRAM bytes stands at the right edge.</p>\n\
         <div class=\"wide\">{}</div>\n{}",
        roofline::svg(roof, colours),
        charts::legend(colours, |_| true)
    );
    out.push_str(
        "<details><summary class=\"small\">Operators as a table</summary><div class=\"wide\"><table><thead><tr><th>operator</th><th class=\"l\">phase</th>\
         <th>layers</th><th>core cycles</th><th>share</th><th>DRAM moved</th><th>DRAM own</th><th>ops/byte</th><th class=\"l\">busiest</th></tr></thead><tbody>\n",
    );
    for (phase, _) in record.phases() {
        for o in by_operator(record, phase) {
            out.push_str(&format!(
                "<tr data-op=\"{0}\"><td>{0}</td><td class=\"l\">{phase}</td><td>{1}</td><td>{2}</td><td>{3}</td><td>{4}</td><td>{5}</td><td>{6}</td><td class=\"l\">{7}</td></tr>\n",
                esc(&o.name),
                o.layers,
                count(o.cycles),
                percent(o.share),
                bytes(o.dram_bytes_transferred),
                bytes(o.dram_bytes_owned),
                crate::operators::intensity(o.macs, o.dram_bytes_transferred).map_or("-".into(), digits),
                esc(&o.busiest)
            ));
        }
    }
    out + "</tbody></table></div></details>\n"
}

/// Sums over layers by operator of values that stand for the operator records of a phase.
fn summed(record: &Record, phase: &str, values: &[f64], colours: &Colours) -> Vec<(String, String, f64)> {
    let rows = record.operators.iter().filter(|o| o.phase == phase).zip(values);
    let rows: Vec<_> = rows.collect();
    let names = colours.names().map(|(name, class)| {
        let sum = rows.iter().filter(|(o, _)| o.name == name).map(|(_, v)| **v).sum();
        (name.to_owned(), class.to_owned(), sum)
    });
    names.filter(|n| n.2 > 0.0).collect()
}

fn operator_bar(label: &str, phase: &str, unit: &str, sums: &[(String, String, f64)]) -> String {
    let whole: f64 = sums.iter().map(|s| s.2).sum();
    let segments: Vec<Segment> = sums
        .iter()
        .map(|(name, class, value)| Segment {
            name: name.clone(),
            class: class.clone(),
            value: *value,
            tip: format!("{name}, {phase}\n{}, {}", si(*value, unit), percent(share(*value, whole))),
            operator: true,
        })
        .collect();
    charts::bar(&format!("{label} {}", si(whole, unit)), &segments, whole)
}

fn time(record: &Record, colours: &Colours) -> String {
    let hz = record.machine.core_clock_hz as f64;
    let values = |phase: &str| -> Vec<f64> {
        record.operators.iter().filter(|o| o.phase == phase).map(|o| o.cycles as f64 / hz).collect()
    };
    let mut out = charts::legend(colours, |_| true);
    for (phase, _) in record.phases() {
        let values = values(phase);
        out.push_str(&operator_bar(phase, phase, "s", &summed(record, phase, &values, colours)));
        out.push_str(&charts::layers(record, phase, &values, "s", colours));
    }
    out
}

fn energy_section(record: &Record, colours: &Colours) -> String {
    let mut out = String::from("<h3>By component</h3>\n");
    for (phase, p) in record.phases() {
        out.push_str(&charts::parts(
            &format!("{phase} {}", si(p.energy_j, "J")),
            "J",
            &p.energy_by_component_j,
        ));
    }
    out.push_str(&charts::parts_key(&record.energy_by_component_j));
    if !record.energy_by_purpose_j.is_empty() {
        out.push_str("<h3>By what it is spent on</h3>\n");
        for (phase, p) in record.phases() {
            out.push_str(&charts::parts(
                &format!("{phase} {}", si(p.energy_j, "J")),
                "J",
                &p.energy_by_purpose_j,
            ));
        }
        out.push_str(&charts::parts_key(&record.energy_by_purpose_j));
    }
    out.push_str(&bands(record));
    out.push_str("<h3>By operator and layer</h3>\n");
    out.push_str(&format!("<p class=\"small dim\">{}</p>\n", energy::HOW));
    out.push_str(&charts::legend(colours, |_| true));
    for (phase, p) in record.phases() {
        let values = energy::by_operator(record, phase, p);
        out.push_str(&operator_bar(phase, phase, "J", &summed(record, phase, &values, colours)));
        out.push_str(&charts::layers(record, phase, &values, "J", colours));
    }
    out
}

/// Energy of the whole run by component, with its band.
fn bands(record: &Record) -> String {
    let (mids, lows, highs) = (
        &record.energy_by_component_j,
        &record.energy_by_component_j_low,
        &record.energy_by_component_j_high,
    );
    band_table("component", "J", (mids, lows, highs), |x| si(x, "J"))
}

fn band_table(
    what: &str,
    unit: &str,
    (mids, lows, highs): (&Ordered<f64>, &Ordered<f64>, &Ordered<f64>),
    show: impl Fn(f64) -> String,
) -> String {
    let whole: f64 = mids.iter().map(|(_, x)| *x).sum();
    let mut out = format!(
        "<details><summary class=\"small\">As a table, low to high, {unit}</summary><div class=\"wide\"><table><thead><tr><th>{what}</th><th>mid</th><th>low</th><th>high</th><th>share</th></tr></thead><tbody>\n"
    );
    let mut row = |name: &str, mid: f64, low: f64, high: f64| {
        out.push_str(&format!(
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
            esc(name),
            show(mid),
            show(low),
            show(high),
            percent(share(mid, whole))
        ));
    };
    let get = |map: &Ordered<f64>, name: &str| map.get(name).copied().unwrap_or(0.0);
    for (name, mid) in mids.iter().filter(|(_, mid)| **mid > 0.0) {
        row(name, *mid, get(lows, name), get(highs, name));
    }
    let sum = |map: &Ordered<f64>| map.iter().map(|(_, x)| *x).sum::<f64>();
    row("total", whole, sum(lows), sum(highs));
    out + "</tbody></table></div></details>\n"
}

fn stalls(record: &Record) -> String {
    let mut out = String::from(
        "<p class=\"small dim\">Every cycle of every unit is busy or has one cause. <code>lutsim explain NAME</code> says what a name means; so does pointing at a bar.</p>\n",
    );
    let of = |(phase, p): (&str, &PhaseTotals)| format!("<h3>{phase}</h3>\n{}", charts::stalls(&p.units));
    out.extend(record.phases().map(of));
    out
}

fn area(record: &Record) -> String {
    let a = &record.area;
    let (Some(mids), Some(lows), Some(highs)) =
        (&a.area_by_component_mm2, &a.area_by_component_mm2_low, &a.area_by_component_mm2_high)
    else {
        let why = a.area_reason.as_deref().unwrap_or("it was not computed");
        return format!("<p>No area: {}</p>\n", esc(why));
    };
    let label = a.band().map_or("area".into(), |b| format!("{} mm²", digits(b.mid)));
    let mut out = charts::parts(&label, "mm2", mids) + &charts::parts_key(mids);
    out.push_str(&band_table("component", "mm²", (mids, lows, highs), digits));
    if let (Some(usd), Some(parts)) = (record.price.band(), &record.price.cost_by_part_usd) {
        let parts: Vec<String> = parts.iter().map(|(part, usd)| format!("{part} {}", digits(*usd))).collect();
        out.push_str(&format!(
            "<p>Price: {} USD ({} to {}): {}; without design, masks, package and test.</p>\n",
            digits(usd.mid),
            digits(usd.low),
            digits(usd.high),
            esc(&parts.join(", "))
        ));
    }
    out
}

fn config(record: &Record, details: Option<&Details>) -> String {
    let Some(details) = details else {
        let json = serde_json::to_string_pretty(&record.provenance.config).unwrap_or_default();
        return format!("<pre class=\"small wide\">{}</pre>\n", esc(&json));
    };
    let mut out = String::from(
        "<p><label class=\"small\">Search <input type=\"search\" id=\"search\" placeholder=\"dram\"></label></p>\n\
         <div class=\"wide\"><table id=\"settings\"><thead><tr><th>key</th><th class=\"l\">value</th><th class=\"l\">from</th>\
         <th class=\"l\">source given for it</th><th class=\"l\">meaning</th></tr></thead><tbody>\n",
    );
    for s in &details.settings {
        out.push_str(&format!(
            "<tr><td>{}</td><td class=\"w\">{}</td><td class=\"l\">{}</td><td class=\"w\">{}</td><td class=\"w\">{}</td></tr>\n",
            esc(&s.key),
            esc(&s.value),
            esc(&s.from),
            esc(&s.source),
            esc(&s.meaning)
        ));
    }
    out.push_str("</tbody></table></div>\n");
    let rest: serde_json::Map<String, serde_json::Value> = match record.provenance.config.as_object() {
        Some(map) => map.iter().filter(|(k, _)| *k != "chip").map(|(k, v)| (k.clone(), v.clone())).collect(),
        None => serde_json::Map::new(),
    };
    let json = serde_json::to_string_pretty(&rest).unwrap_or_default();
    out + &format!(
        "<details><summary class=\"small\">Model and mapping</summary><pre class=\"small wide\">{}</pre></details>\n",
        esc(&json)
    )
}
