//! Why it is this fast and not faster, in sentences made of the numbers.

use lutsim_record::{PhaseTotals, Record};

use super::charts::merged;
use super::esc;
use crate::details::Doubling;
use crate::quantity::{digits, percent, share, si};

/// What a phase's rate was, and what twice of each resource makes of it: resource and how many times as fast, best first.
struct Gains<'a> {
    phase: &'static str,
    rate: f64,
    gains: Vec<(&'a str, f64)>,
    /// Of the resource that is all of the chip at once, the core clock: no answer to what binds.
    clock: Option<f64>,
}

/// The resource that makes everything on the chip faster.
pub const CLOCK: &str = "the core clock";

fn rate(d: &Doubling, phase: &str) -> Option<f64> {
    if phase == "prefill" { d.prefill_tokens_per_second } else { d.decode_tokens_per_second }
}

fn gains<'a>(phase: &'static str, totals: &PhaseTotals, doublings: &'a [Doubling]) -> Gains<'a> {
    let rate_now = totals.tokens_per_second;
    let mut gains: Vec<(&str, f64)> =
        doublings.iter().filter_map(|d| Some((d.resource.as_str(), rate(d, phase)? / rate_now))).collect();
    let clock = gains.iter().position(|g| g.0 == CLOCK).map(|i| gains.remove(i).1);
    gains.sort_by(|a, b| b.1.total_cmp(&a.1));
    Gains { phase, rate: rate_now, gains, clock }
}

/// `1.8 times`, `no more`: how much is gained.
fn gained(times: f64) -> String {
    match times {
        t if t >= 1.005 => format!("{} times as fast", digits(t)),
        t if t > 0.995 => "as fast as now".into(),
        t => format!("slower, {} times", digits(t)),
    }
}

impl Gains<'_> {
    fn sentence(&self) -> String {
        let mut all = self.gains.iter();
        let Some(&(bound, times)) = all.next() else { return String::new() };
        if times < 1.01 {
            return format!(
                "No single resource binds {}: with twice of any one of them it is {} ({} tokens/s).{}",
                self.phase,
                gained(times),
                digits(self.rate),
                self.clock_sentence()
            );
        }
        let capital = if self.phase == "prefill" { "Prefill" } else { "Decode" };
        let mut out = format!(
            "{capital} is bound by <b>{}</b>: with twice of it, {} tokens/s would be {} ({}).",
            esc(bound),
            digits(self.rate),
            digits(self.rate * times),
            gained(times)
        );
        if let Some(&(next, times)) = all.next() {
            out.push_str(&match times >= 1.01 {
                true => format!(" The runner-up is <b>{}</b>: {}.", esc(next), gained(times)),
                false => format!(
                    " Nothing else binds: twice of {}, the runner-up, makes it {}.",
                    esc(next),
                    gained(times)
                ),
            });
        }
        let rest: Vec<String> = self
            .gains
            .iter()
            .skip(2)
            .map(|(name, times)| format!("{} {}", esc(name), digits(*times)))
            .collect();
        if !rest.is_empty() {
            out.push_str(&format!(" Twice of the others, each alone: {} times.", rest.join(", ")));
        }
        out + &self.clock_sentence()
    }

    fn clock_sentence(&self) -> String {
        self.clock.map_or(String::new(), |times| {
            format!(
                " Twice the core clock, which is everything on the chip at once, makes it {}.",
                gained(times)
            )
        })
    }
}

/// What the units did meanwhile.
fn units(phase: &'static str, totals: &PhaseTotals) -> String {
    let units = merged(&totals.units);
    let part = |name: &str| units.iter().find(|u| u.name.starts_with(name));
    let mut out = String::new();
    if let Some(dram) = part("dram x") {
        let all = dram.total() as f64;
        out.push_str(&format!(
            "The DRAM pins carried data for {} of {phase}",
            percent(share(dram.busy_cycles as f64, all))
        ));
        let of = |cause: &str| share(dram.stall_cycles.get(cause).copied().unwrap_or(0) as f64, all);
        let causes: Vec<String> = ["refresh", "turnaround", "timing"]
            .iter()
            .filter(|c| of(c) >= 0.001)
            .map(|c| format!("{} for {c}", percent(of(c))))
            .collect();
        if !causes.is_empty() {
            out.push_str(&format!(" and stood {}", causes.join(", ")));
        }
        out.push_str(". ");
    }
    if let Some(lut) = part("lut") {
        let all = lut.total() as f64;
        out.push_str(&format!(
            "The LUT cores selected in {} of the cycles",
            percent(share(lut.busy_cycles as f64, all))
        ));
        if let Some((cause, n)) = lut.largest_stall() {
            let doc = lutsim_record::Cause::ALL.iter().find(|c| c.name() == cause).map_or("", |c| c.doc());
            out.push_str(&format!(
                "; what stopped them most is <code>{cause}</code>, {} ({})",
                percent(share(n as f64, all)),
                esc(doc.trim_end_matches('.'))
            ));
        }
        out.push_str(". ");
    }
    out
}

/// Paragraphs and the table of doublings.
pub(super) fn html(record: &Record, doublings: Option<&[Doubling]>) -> String {
    let mut out = String::from("<div class=\"why\">\n");
    for (phase, totals) in record.phases() {
        let sentence = doublings.map_or(String::new(), |d| gains(phase, totals, d).sentence());
        out.push_str(&format!("<p>{sentence} {}</p>\n", units(phase, totals)));
    }
    if doublings.is_none() {
        out.push_str(
            "<p>What twice of each resource would give was not simulated yet: <code>lutsim report</code> on this folder does it \
             and completes this paragraph.</p>\n",
        );
    }
    out.push_str("</div>\n");
    if let Some(doublings) = doublings {
        out.push_str(&table(record, doublings));
    }
    out
}

fn table(record: &Record, doublings: &[Doubling]) -> String {
    let mut out = String::from(
        "<div class=\"wide\"><table><thead><tr><th>twice of</th><th class=\"l\">keys</th><th>prefill tokens/s</th><th></th>\
         <th>decode tokens/s</th><th></th><th>J/token</th><th>mm²</th></tr></thead><tbody>\n",
    );
    let now = |phase: &str| record.phases().find(|p| p.0 == phase).map(|p| p.1.tokens_per_second);
    let dash = |x: Option<String>| x.unwrap_or_else(|| "-".into());
    let times = |x: Option<f64>, phase: &str| {
        dash(x.zip(now(phase)).map(|(x, now)| format!("{} x", digits(x / now))))
    };
    let decode = record.phases.decode.as_ref();
    out.push_str(&format!(
        "<tr><td>nothing</td><td class=\"l\"></td><td>{}</td><td></td><td>{}</td><td></td><td>{}</td><td>{}</td></tr>\n",
        dash(now("prefill").map(digits)),
        dash(now("decode").map(digits)),
        dash(decode.map(|d| si(d.totals.energy_per_token_j, "J"))),
        dash(record.area.area_mm2.map(digits)),
    ));
    for d in doublings {
        let keys: Vec<String> = d.keys.iter().map(|(k, a, b)| format!("{k} {a} → {b}")).collect();
        let keys = esc(&keys.join(", "));
        if let Some(why) = &d.refused {
            out.push_str(&format!(
                "<tr><td>{}</td><td class=\"w\">{keys}</td><td class=\"w\" colspan=\"6\">not possible: {}</td></tr>\n",
                esc(&d.resource),
                esc(why)
            ));
            continue;
        }
        out.push_str(&format!(
            "<tr><td>{}</td><td class=\"w\">{keys}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
            esc(&d.resource),
            dash(d.prefill_tokens_per_second.map(digits)),
            times(d.prefill_tokens_per_second, "prefill"),
            dash(d.decode_tokens_per_second.map(digits)),
            times(d.decode_tokens_per_second, "decode"),
            dash(d.decode_energy_per_token_j.map(|j| si(j, "J"))),
            dash(d.area_mm2.map(digits)),
        ));
    }
    out + "</tbody></table></div>\n<p class=\"small dim\">Each row is a whole run of its own, its mapping searched for anew; nothing is extrapolated. \
           A band of the energy is in the headline figures.</p>\n"
}
