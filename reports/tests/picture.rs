//! `roofline.svg`, from a saved record alone.

mod common;

use lutsim_record::{Ordered, Record};
use lutsim_reports::{Roofline, roofline_svg};

/// A text of the picture and the box that it fills, a little smaller than a wide sans-serif draws it.
#[derive(Debug)]
struct Text {
    text: String,
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

fn attribute<'a>(element: &'a str, name: &str) -> &'a str {
    let start = element.find(&format!(" {name}=\"")).unwrap() + name.len() + 3;
    element[start..].split('"').next().unwrap()
}

fn texts(svg: &str) -> Vec<Text> {
    let mut out = Vec::new();
    for element in svg.split("<text ").skip(1).filter(|e| !e.contains("rotate(")) {
        let element = format!(" {}", element.split("</text>").next().unwrap());
        let escaped = element.split('>').nth(1).unwrap().trim();
        let plain = [("&lt;", "<"), ("&gt;", ">"), ("&apos;", "'"), ("&quot;", "\""), ("&amp;", "&")];
        let text = plain.iter().fold(escaped.to_owned(), |text, (code, c)| text.replace(code, c));
        let number = |name: &str| attribute(&element, name).parse::<f64>().unwrap();
        let (x, y, size) = (number("x"), number("y"), number("font-size"));
        let width = text.chars().count() as f64 * size * 0.55;
        let left = match attribute(&element, "text-anchor") {
            "start" => x,
            "middle" => x - width / 2.0,
            _ => x - width,
        };
        out.push(Text { text, left, right: left + width, top: y - size * 0.45, bottom: y + size * 0.45 });
    }
    out
}

/// No two texts meet, none leaves the picture.
fn legible(svg: &str) {
    let size = |name| attribute(&svg[svg.find("<svg").unwrap() + 4..], name).parse::<f64>().unwrap();
    let all = texts(svg);
    for (i, a) in all.iter().enumerate() {
        assert!(a.left > 0.0 && a.right < size("width") && a.bottom < size("height"), "outside: {a:?}");
        for b in &all[..i] {
            let apart = a.right <= b.left || b.right <= a.left || a.bottom <= b.top || b.bottom <= a.top;
            assert!(apart, "overlap: {a:?} {b:?}");
        }
    }
}

fn draw(record: &Record, name: &str) -> String {
    let svg = roofline_svg(&Roofline::from_record(record)).unwrap();
    std::fs::write(format!("{}/{name}.svg", env!("CARGO_TARGET_TMPDIR")), &svg).unwrap();
    legible(&svg);
    svg
}

#[test]
fn the_same_record_gives_the_same_picture() {
    let record = common::llama();
    let saved = Record::from_json(&record.to_json()).unwrap();
    let svg = draw(&record, "roofline");
    assert_eq!(svg, draw(&saved, "roofline"));
    for said in
        ["DRAM 76.8 GB/s", "scratchpad 1.02 TB/s", "2-bit weights: 8.19 TOPS", "ridge 107", "mlp.gate_up"]
    {
        assert!(texts(&svg).iter().any(|t| t.text == said), "no `{said}`");
    }
    assert!(texts(&svg).iter().any(|t| t.text.starts_with("decode 492 GOPS")));
}

#[test]
fn one_phase_many_widths_long_and_odd_names() {
    let mut record = common::llama();
    record.phases.prefill = None;
    record.operators.retain(|o| o.phase == "decode");
    record.workload.model = "A <model> & \"its\" name".to_owned();
    record.machine.lut_peak_ops_per_second =
        (1..=8).map(|bits| (bits.to_string(), 16.384e12 / f64::from(bits))).collect();
    for op in &mut record.operators {
        op.name = format!("{}.with_a_very_long_name", op.name);
    }
    let svg = draw(&record, "decode_only");
    assert!(svg.contains("A &lt;model&gt; &amp;"));
}

/// Every ceiling has its label, however close they are and wherever markers stand, and no marker hides one.
#[test]
fn ceilings_that_are_close_have_labels_of_their_own() {
    for widths in [vec![1.0, 2.0, 3.0, 4.0, 8.0], vec![2.0, 3.0, 4.0], (1..=8).map(f64::from).collect()] {
        let mut record = common::llama();
        record.machine.lut_peak_ops_per_second =
            widths.iter().map(|bits| (bits.to_string(), 16.384e12 / bits)).collect();
        let svg = draw(&record, "ceilings");
        let all = texts(&svg);
        for bits in &widths {
            let label = format!("{bits}-bit weights: ");
            let text = all.iter().find(|t| t.text.starts_with(&label));
            let text = text.unwrap_or_else(|| panic!("no `{label}` of {widths:?}"));
            for circle in svg.split("<circle ").skip(1) {
                let element = format!(" {}", circle.split("/>").next().unwrap());
                let number = |name: &str| attribute(&element, name).parse::<f64>().unwrap();
                let (x, y, r) = (number("cx"), number("cy"), number("r") * 0.8);
                let apart =
                    x + r <= text.left || x - r >= text.right || y + r <= text.top || y - r >= text.bottom;
                assert!(apart, "{label} is under a marker");
            }
        }
    }
    // Peaks that are one line have one label.
    let mut roofline = Roofline::from_record(&common::llama());
    roofline.compute.truncate(2);
    roofline.compute[1].ops_per_s = roofline.compute[0].ops_per_s;
    let svg = roofline_svg(&roofline).unwrap();
    legible(&svg);
    assert!(texts(&svg).iter().any(|t| t.text.starts_with("1-bit weights, 2-bit weights: ")));
}

#[test]
fn a_picture_of_many_operators_grows() {
    let mut record = common::llama();
    let more = record.operators.clone();
    for copy in 0..3 {
        record.operators.extend(more.iter().filter(|o| o.layer.unwrap_or(0) == 0).map(|o| {
            let mut o = o.clone();
            o.name = format!("{}.{copy}", o.name);
            o.dram_bytes_transferred = o.dram_bytes_transferred * (copy + 2) / 3;
            o
        }));
    }
    draw(&record, "many");
}

#[test]
fn nothing_to_draw_is_an_empty_frame_and_no_panic() {
    let mut record = common::llama();
    record.operators.clear();
    record.phases.prefill = None;
    record.phases.decode = None;
    draw(&record, "empty");
    record.machine.lut_peak_ops_per_second = Ordered::new();
    record.machine.dram_peak_bytes_per_second = 0.0;
    record.machine.scratchpad_peak_bytes_per_second = 0.0;
    draw(&record, "nothing");
}
