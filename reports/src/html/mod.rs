//! `report.html`: one file, no network; everything is in it, and the same record gives the same bytes.
//!
//! Pictures are drawn here as SVG and HTML with words for what is hovered; a page of script shows them and filters. Colours are
//! Okabe and Ito's and some more; nothing is told by colour alone, each picture has its table.

mod charts;
mod energy;
mod page;
mod roofline;
mod why;

pub use energy::by_operator as energy_by_operator;
pub use page::report_html;
pub use why::CLOCK;

use lutsim_record::Record;

/// Text as it may stand between tags and in attributes.
pub(crate) fn esc(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#10;"),
            c => out.push(c),
        }
    }
    out
}

/// The operators of a run, each with the colour that it has in every picture.
pub(crate) struct Colours(Vec<(String, String)>);

impl Colours {
    pub(crate) fn of(record: &Record) -> Colours {
        let mut out: Vec<(String, String)> = Vec::new();
        // Operators that multiply have colours of their own as long as there are some; all others share grey.
        let macs = |name: &str| record.operators.iter().any(|o| o.name == name && o.macs > 0);
        let mut next = 0;
        for o in &record.operators {
            if out.iter().any(|(name, _)| *name == o.name) {
                continue;
            }
            let class = match macs(&o.name) {
                true => {
                    next += 1;
                    // Beyond ten the same colours come again, striped.
                    format!("c{}{}", (next - 1) % 10, if next > 10 { " s1" } else { "" })
                }
                false => "g".to_owned(),
            };
            out.push((o.name.clone(), class));
        }
        Colours(out)
    }
    pub(crate) fn class(&self, name: &str) -> &str {
        self.0.iter().find(|(n, _)| n == name).map_or("g", |(_, class)| class)
    }
    pub(crate) fn names(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(n, c)| (n.as_str(), c.as_str()))
    }
}

/// A number in a path or an attribute: two decimals, no more digits than needed.
pub(crate) fn px(x: f64) -> String {
    let text = format!("{x:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
