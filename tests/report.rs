//! The page of a run: what it is made of adds up, it comes out the same again, and a browser shows it.

use std::path::{Path, PathBuf};
use std::process::Command;

use lutsim_record::Record;
use lutsim_reports::Details;
use serde_json::Value;

use crate::cli_cases::lutsim;

fn run(folder: &Path, name: &str, flags: &[&str]) {
    let args: Vec<&str> = ["run", "--config", "tiny", "--out", name].iter().chain(flags).copied().collect();
    let (code, _, stderr) = lutsim(folder, &args);
    assert_eq!((code, stderr.as_str()), (0, ""), "{args:?}");
}

fn text(folder: &Path, name: &str) -> String {
    std::fs::read_to_string(folder.join(name)).unwrap()
}

fn record(folder: &Path, name: &str) -> Record {
    Record::from_json(&text(folder, &format!("{name}/record.json"))).unwrap()
}

fn details(folder: &Path, name: &str) -> Details {
    let hash = record(folder, name).provenance.config_hash;
    Details::from_json(&text(folder, &format!("{name}/details.json")), &hash).unwrap()
}

#[test]
fn every_engine_leaves_the_same_details_and_page() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for engine in ["tick", "skip", "leap"] {
        run(folder, engine, &["--engine", engine, "--prompt", "20", "--context", "5"]);
    }
    for file in ["details.json", "report.html", "roofline.png"] {
        let of = |engine: &str| std::fs::read(folder.join(engine).join(file)).unwrap();
        assert!(of("tick") == of("skip") && of("skip") == of("leap"), "{file}");
    }
}

#[test]
fn counts_over_time_end_in_the_records_counts() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    run(folder, "a", &["--prompt", "300"]);
    let (record, details) = (record(folder, "a"), details(folder, "a"));
    assert_eq!(details.timelines.len(), 2);
    for (series, (phase, totals)) in details.timelines.iter().zip(record.phases()) {
        assert_eq!(series.phase, phase);
        assert!(
            series.core_cycles.len() > 20 && series.core_cycles.len() <= 513,
            "{}",
            series.core_cycles.len()
        );
        assert!(series.core_cycles.is_sorted_by(|a, b| a < b) && series.dram_bytes.is_sorted());
        assert_eq!(*series.core_cycles.last().unwrap(), totals.cycles);
        assert_eq!(*series.dram_bytes.last().unwrap(), totals.dram_read_bytes + totals.dram_write_bytes);
        for (name, busy) in &series.busy_cycles {
            let unit = totals.units.iter().find(|u| u.name == *name).unwrap();
            assert_eq!(*busy.last().unwrap(), unit.busy_cycles, "{name}");
        }
    }
    // Regions lie behind one another and inside the memory; the weights are those of the record.
    for pair in details.dram.windows(2) {
        assert!(pair[0].address + pair[0].bytes / pair[0].copies <= pair[1].address, "{pair:?}");
    }
    let weights = |r: &&lutsim_reports::details::Region| r.name.starts_with('w') || r.name == "head";
    let bytes: u64 = details.dram.iter().filter(weights).map(|r| r.bytes).sum();
    assert_eq!(bytes, record.workload.weight_bytes);
    let room: u64 = details.scratchpad.iter().filter(|r| r.name.starts_with("decode")).map(|r| r.bytes).sum();
    assert!(room <= details.scratchpad_bytes, "{room}");
    for (phase, totals) in record.phases() {
        let sum: f64 = lutsim_reports::energy_by_operator(&record, phase, totals).iter().sum();
        assert!((sum / totals.energy_j - 1.0).abs() < 1e-9, "{phase}: {sum}");
    }
}

#[test]
fn doublings_are_runs_of_their_own_and_a_page_comes_out_the_same_again() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let small = ["--prompt", "4", "--generate", "1"];
    run(folder, "a", &small);
    let first = text(folder, "a/report.html");
    assert!(first.contains("was not simulated yet"));
    for outside in ["http://", "https://", "src=", "@import", "url("] {
        assert!(!first.contains(outside), "{outside}");
    }
    let before = text(folder, "a/record.json");
    assert_eq!(lutsim(folder, &["report", "a", "--no-doublings"]).0, 0);
    assert_eq!(text(folder, "a/report.html"), first, "the saved record gives the same bytes");
    let (code, stdout, stderr) = lutsim(folder, &["report", "a"]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert!(stdout.contains("DRAM bandwidth") && stdout.ends_with("report.html\n"), "{stdout}");
    let (page, saved) = (text(folder, "a/report.html"), text(folder, "a/details.json"));
    assert!(!page.contains("was not simulated yet"));
    assert_eq!(lutsim(folder, &["report", "a/"]).0, 0);
    assert_eq!((text(folder, "a/report.html"), text(folder, "a/details.json")), (page, saved));
    assert_eq!(text(folder, "a/record.json"), before);
    let doublings = details(folder, "a").doublings.unwrap();
    let dram = doublings.iter().find(|d| d.resource == "DRAM bandwidth").unwrap();
    run(folder, "b", &[&small[..], &["--set", "dram.channels=2"]].concat());
    let decode = record(folder, "b").phases.decode.unwrap().totals;
    assert_eq!(dram.decode_tokens_per_second, Some(decode.tokens_per_second));
    assert_eq!(dram.decode_energy_per_token_j, Some(decode.energy_per_token_j));
    // A resource that cannot be doubled is said to be one, and why.
    run(folder, "c", &["--set", "lut.cores=200", "--prompt", "0", "--generate", "1"]);
    assert_eq!(lutsim(folder, &["report", "c"]).0, 0);
    let refused = details(folder, "c").doublings.unwrap();
    let cores = refused.iter().find(|d| d.resource == "LUT cores").unwrap();
    assert!(cores.refused.as_ref().unwrap().contains("lut.cores"), "{cores:?}");
    assert!(text(folder, "c/report.html").contains("not possible: "));
}

#[test]
fn wrong_folders_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    run(folder, "a", &[]);
    let refused = |args: &[&str], why: &str| {
        let (code, _, stderr) = lutsim(folder, args);
        assert!(code == 2 && stderr.contains(why), "{args:?}: {stderr}");
    };
    refused(&["report", "nowhere"], "cannot read `nowhere`");
    refused(&["report", "a/record.json"], "is a file, not the folder of a run");
    refused(&["report", "a", "--model", "llama-2-7b"], "is not the model that was given");
    let good = text(folder, "a/details.json");
    for (bad, why) in [
        (good.replacen("\"1.0\"", "\"2.0\"", 1), "schema version 2.0"),
        (good[..good.len() / 2].to_owned(), "not the details of a run"),
        (good.replacen("\"config_hash\": \"", "\"config_hash\": \"0", 1), "belong to another record"),
    ] {
        std::fs::write(folder.join("a/details.json"), bad).unwrap();
        refused(&["report", "a"], why);
    }
}

/// The first of the usual browsers that there is.
fn browser() -> Option<PathBuf> {
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let path = std::env::var_os("PATH")?;
    let places: Vec<PathBuf> = std::env::split_paths(&path).collect();
    names.iter().flat_map(|name| places.iter().map(move |p| p.join(name))).find(|p| p.is_file())
}

/// What a page says of itself in a browser of this width: the result of its script, and what the console was told.
fn in_browser(browser: &Path, folder: &Path, page: &str, width: u32) -> (Value, Vec<String>) {
    const BEFORE: &str =
        "<script>window.faults=[];addEventListener('error',e=>faults.push(e.message));</script>";
    let page = page.replacen("<style>", &format!("{BEFORE}<style>"), 1);
    let page = page.replacen(
        "</body>",
        &format!("<script>{}</script></body>", include_str!("data/report/probe.js")),
        1,
    );
    let path = folder.join(format!("probe-{width}.html"));
    std::fs::write(&path, page).unwrap();
    let output = Command::new(browser)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--enable-logging=stderr",
        ])
        .args(["--virtual-time-budget=4000", "--dump-dom"])
        .arg(format!("--user-data-dir={}", folder.join("profile").display()))
        .arg(format!("--window-size={width},900"))
        .arg(format!("file://{}", path.display()))
        .output()
        .expect("the browser runs");
    let dom = String::from_utf8_lossy(&output.stdout).into_owned();
    let result = dom.split("data-result=\"").nth(1).and_then(|s| s.split('"').next());
    let result = result
        .unwrap_or_else(|| panic!("no result in the page: {}", String::from_utf8_lossy(&output.stderr)));
    let result = result.replace("&quot;", "\"").replace("&amp;", "&");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let console = said.lines().filter(|l| l.contains("CONSOLE")).map(str::to_owned).collect();
    (serde_json::from_str(&result).unwrap(), console)
}

#[test]
fn a_browser_shows_it_and_pointing_choosing_and_the_keyboard_work() {
    let Some(browser) = browser() else {
        eprintln!(
            "SKIPPED: no Chromium on this machine, report.html was not looked at (.ci/install.sh installs it)"
        );
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    run(folder, "a", &["--prompt", "40"]);
    let page = text(folder, "a/report.html");
    for width in [1200, 500] {
        let (found, console) = in_browser(&browser, folder, &page, width);
        assert_eq!(console, [""; 0], "the console is silent at {width}");
        assert_eq!(found["faults"], serde_json::json!([]), "{found}");
        for check in [
            "tip_hidden",
            "tip_names_operator",
            "marker_is_on_top",
            "others_light_up",
            "filter_dims_others",
            "filter_hides_rows",
            "filter_is_said",
            "escape_clears",
            "enter_filters",
            "enter_again_clears",
            "button_clears",
            "legend_filters",
            "search_hides_rows",
            "focus_shows_tip",
            "no_sideways_scroll",
            "sections",
        ] {
            assert_eq!(found[check], true, "{check} at {width}: {found}");
        }
    }
}
