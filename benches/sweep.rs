//! What a sweep costs beside its points, and how many points a core runs in a second. `cargo bench --bench sweep`; a minute or two.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use lutsim::sweep::{Setup, make};
use lutsim_sweep::journal::{Entry, Journal, Results, Status};
use lutsim_sweep::random::Random;
use lutsim_sweep::value::Value;

/// 100,000 chips.
const LARGE: &str = r#"
method = "halton"
run_cap = 100000
chip = "snapdragon_like"
model = "llama-2-7b"
context = 512
phases = ["decode"]
[parameters."lut.cores"]
min = 1
max = 64
[parameters."dram.channels"]
min = 1
max = 16
[parameters."vector.lanes"]
min = 16
max = 512
[parameters."sequencer.queue_depth"]
min = 8
max = 128
[[metric]]
name = "decode.tokens_per_second"
goal = "maximize"
[[metric]]
name = "area_mm2"
goal = "minimize"
"#;

/// Chips of the class of `snapdragon_like`, a token of Llama-2-7B each; no two are alike, so nothing is remembered between them.
const CHIPS: &str = r#"
method = "grid"
chip = "snapdragon_like"
model = "llama-2-7b"
context = 512
phases = ["decode"]
[parameters."lut.cores"]
values = [4, 8, 12, 16]
[parameters."scratchpad.bytes"]
values = ["3 MiB", "4 MiB"]
[parameters."dma.outstanding_bursts"]
values = [384, 512]
[[metric]]
name = "decode.tokens_per_second"
goal = "maximize"
"#;

/// What [`CHIPS`] has for each of four machines, on four nodes each.
const NODES: &str = "[parameters.technology]\nvalues = [\"7nm\", \"16nm\", \"28nm\", \"45nm\"]\n";

const LUTSIM: &str = env!("CARGO_BIN_EXE_lutsim");

/// Wall and CPU seconds of a command.
fn timed(dir: &Path, args: &[&str]) -> (f64, f64) {
    let before = children();
    let begin = Instant::now();
    let output =
        Command::new(LUTSIM).args(args).current_dir(dir).output().expect("lutsim was built for this bench");
    let wall = begin.elapsed().as_secs_f64();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    (wall, children() - before)
}

/// CPU seconds of processes that ended (Linux).
fn children() -> f64 {
    cpu(13)
}

/// CPU seconds of this process itself.
fn own() -> f64 {
    cpu(11)
}

/// Two fields of `/proc/self/stat` behind the name, which are hundredths of seconds.
fn cpu(first: usize) -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit_once(')').map_or("", |s| s.1).split_whitespace().skip(first).take(2);
    fields.filter_map(|f| f.parse::<f64>().ok()).sum::<f64>() / 100.0
}

fn main() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    let setup = Setup::of("large.toml", LARGE, &[]).unwrap_or_else(|e| panic!("{e:?}"));
    let (begin, before) = (Instant::now(), own());
    let made = make(&setup, &|_| Ok(Results::default())).unwrap_or_else(|e| panic!("{e:?}"));
    let text = made.plan.to_text();
    println!(
        "plan of {} points: {:.2} s, {:.2} s of CPU time, {:.1} MB",
        made.plan.points.len(),
        begin.elapsed().as_secs_f64(),
        own() - before,
        text.len() as f64 / 1e6
    );
    std::fs::create_dir_all(dir.join("large.sweep")).expect("a folder");
    std::fs::write(dir.join("large.sweep/plan.jsonl"), text).expect("room for the plan");

    let mut random = Random::new(1);
    let (mut journal, _) =
        Journal::create(&dir.join("large.sweep"), (0, 1), &made.plan.key()).expect("room for results");
    for point in &made.plan.points {
        let cells = made.plan.header.measured.iter().map(|_| Value::Float(random.unit() * 1e9)).collect();
        let entry = Entry { id: point.id.clone(), status: Status::Done, cells, reason: None };
        journal.write(&entry).expect("room for results");
    }
    let (begin, before) = (Instant::now(), children());
    let output = Command::new("/usr/bin/time")
        .args(["-f", "%M"])
        .arg(LUTSIM)
        .args(["sweep", "collect", "large.sweep"])
        .current_dir(dir)
        .output();
    let wall = begin.elapsed().as_secs_f64();
    let kib =
        output.ok().and_then(|o| String::from_utf8_lossy(&o.stderr).lines().last()?.parse::<f64>().ok());
    match kib {
        Some(kib) => {
            let cpu = children() - before;
            println!("collecting them: {wall:.2} s, {cpu:.2} s of CPU time, {:.0} MiB at most", kib / 1024.0);
        }
        None => {
            let (wall, cpu) = timed(dir, &["sweep", "collect", "large.sweep"]);
            println!("collecting them: {wall:.2} s, {cpu:.2} s of CPU time");
        }
    }

    std::fs::write(dir.join("chips.toml"), CHIPS).expect("room for a file");
    for threads in ["1", "2"] {
        let out = format!("chips{threads}");
        let (wall, cpu) =
            timed(dir, &["sweep", "chips.toml", "--out", &out, "--threads", threads, "--records", "none"]);
        println!(
            "16 chips, a token of Llama-2-7B each, {threads} threads: {wall:.2} s, {cpu:.2} s of CPU time, {:.2} points per CPU second",
            16.0 / cpu
        );
    }
    let four = CHIPS.replace("[\"3 MiB\", \"4 MiB\"]", "[\"4 MiB\"]").replace("[384, 512]", "[512]");
    std::fs::write(dir.join("nodes.toml"), format!("{four}{NODES}")).expect("room for a file");
    let (wall, cpu) = timed(dir, &["sweep", "nodes.toml", "--threads", "1", "--records", "none"]);
    println!("16 chips that are 4 machines, 1 thread: {wall:.2} s, {cpu:.2} s of CPU time");
}
