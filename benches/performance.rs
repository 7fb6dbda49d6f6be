//! Writes docs/performance.md: what the engines cost on whole models, each run a process of its own.
//!
//! `cargo bench --bench performance`; some ten minutes. CPU time and peak memory are what `engine.json` says (Linux),
//! instructions what `perf stat` counts, where it may.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// One process.
struct Run {
    record: Value,
    engine: Value,
    instructions: Option<f64>,
}

fn run(dir: &Path, args: &[&str]) -> Run {
    eprintln!("lutsim run {}", args.join(" "));
    let out = dir.join("out");
    let perf = ["stat", "-x,", "-e", "instructions:u", "--"];
    let lutsim = env!("CARGO_BIN_EXE_lutsim");
    let command = |program: &str, before: &[&str]| {
        let mut command = Command::new(program);
        command.args(before).arg("run").args(args).args(["--json", "--out"]).arg(&out);
        command.output()
    };
    let counted =
        command("perf", &[&perf[..], &[lutsim]].concat()).ok().filter(|output| output.status.success());
    let (output, counts) = match counted {
        Some(output) => {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            let line = said.lines().find(|line| line.contains("instructions"));
            (output, line.and_then(|line| line.split(',').next()?.parse().ok()))
        }
        None => (command(lutsim, &[]).expect("lutsim was built for this bench"), None),
    };
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    let read = |name: &str| -> Value {
        let text = std::fs::read_to_string(out.join(name)).expect("the run left it");
        serde_json::from_str(&text).expect("lutsim writes JSON")
    };
    Run { record: read("record.json"), engine: read("engine.json"), instructions: counts }
}

impl Run {
    fn cycles(&self) -> f64 {
        ["prefill", "decode"].iter().filter_map(|p| self.record["phases"][p]["cycles"].as_f64()).sum()
    }
    fn seconds(&self) -> f64 {
        self.engine["cpu_seconds"].as_f64().unwrap_or(f64::NAN)
    }
    fn mebibytes(&self) -> f64 {
        self.engine["peak_memory_bytes"].as_f64().unwrap_or(f64::NAN) / f64::from(1 << 20)
    }
    /// Of the record's cycles, what was executed, with those that a search of the mapping took.
    fn executed(&self) -> f64 {
        let of = |key: &str| self.engine["leap"][key].as_f64();
        of("executed_cycles").map_or(100.0, |executed| {
            let all = executed + of("leapt_cycles").unwrap_or(0.0);
            100.0 * (executed + of("searched_cycles").unwrap_or(0.0)) / all
        })
    }
    fn row(&self, name: &str) -> String {
        let instructions = self.instructions.map_or("-".into(), |n| format!("{:.2}", n / 1e9));
        format!(
            "| {name} | {:.2} | {:.3} | {:.1} | {instructions} | {:.0} | {:.1} |\n",
            self.cycles() / 1e6,
            self.seconds(),
            self.cycles() / 1e6 / self.seconds(),
            self.mebibytes(),
            self.executed()
        )
    }
}

/// Tokens in the KV cache, for the curve.
const CONTEXTS: [u32; 5] = [128, 512, 2048, 8192, 32768];

const HEAD: &str = "| work | million core cycles | CPU s | million cycles per CPU s | 10^9 instructions | MiB | executed % |\n\
                    |---|--:|--:|--:|--:|--:|--:|\n";

/// A built-in model with other numbers: of layers, outputs, tokens at most.
fn changed(dir: &Path, model: &str, numbers: &[(&str, u32)]) -> PathBuf {
    let text = std::fs::read_to_string(format!("configs/models/{model}.toml")).expect("a built-in model");
    let line = |line: &str| {
        let number = numbers.iter().find(|n| line.split_once(" = ").is_some_and(|(key, _)| key == n.0));
        number.map_or_else(|| format!("{line}\n"), |(key, number)| format!("{key} = {number}\n"))
    };
    let path = dir.join(format!("{model}.toml"));
    std::fs::write(&path, text.lines().map(line).collect::<String>())
        .expect("a temporary folder can be written");
    path
}

fn main() {
    // `cargo test --benches` runs every bench once; this one has nothing to test.
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    let dir = tempfile::tempdir().expect("a temporary folder");
    let dir = dir.path();
    let mut text = include_str!("performance/head.md").to_owned();

    text += "\n## One decoder layer of Llama-2-7B, one token, context 511\n\n";
    text += HEAD;
    let layer = changed(dir, "llama-2-7b", &[("layers", 1), ("vocab", 512)]);
    let layer = layer.to_string_lossy();
    let token = ["--phase", "decode", "--prompt", "0", "--generate", "1", "--context", "511"];
    for engine in ["tick", "skip", "leap"] {
        let args = ["--config", "snapdragon_like", "--model", &layer, "--engine", engine];
        text += &run(dir, &[&args[..], &token].concat()).row(&format!("`{engine}`"));
    }

    text += "\n## Whole models, `leap`, nothing remembered at first, search of the mapping included\n\n";
    text += HEAD;
    let phone = ["--config", "snapdragon_like"];
    let server = ["--config", "server_like"];
    let model = |name| ["--model", name];
    let works: [(&str, Vec<&str>); 6] = [
        ("a token of Llama-2-7B, context 511, `snapdragon_like`", [&phone[..], &token].concat()),
        (
            "the same, `refresh.policy=timer`",
            [&phone[..], &token, &["--set", "refresh.policy=timer"]].concat(),
        ),
        (
            "prefill of 512 tokens, the same",
            [&phone[..], &["--phase", "prefill", "--prompt", "512"]].concat(),
        ),
        ("the main job, every step", [&phone[..], &["--every-step"]].concat()),
        (
            "a token of Llama-2-70B, context 511, `server_like`",
            [&server[..], &model("llama-2-70b"), &token].concat(),
        ),
        (
            "a token of OPT-175B, context 511, `server_like`",
            [&server[..], &model("opt-175b"), &token].concat(),
        ),
    ];
    for (name, args) in works {
        text += &run(dir, &args).row(name);
    }

    text += include_str!("performance/curve.md");
    text += "| model | GB of weights |";
    CONTEXTS.iter().for_each(|context| text += &format!(" {context} |"));
    text += &format!("\n|---|--:|{}\n", "--:|".repeat(CONTEXTS.len()));
    for (name, gigabytes) in [("llama-2-7b", 2), ("llama-2-13b", 4), ("llama-2-70b", 19), ("opt-175b", 47)] {
        text += &format!("| {name} | {gigabytes} |");
        // A model as trained takes fewer tokens; here it is only a size.
        let long = changed(dir, name, &[("context", 1 << 16)]);
        let long = long.to_string_lossy();
        for context in CONTEXTS {
            let cached = context.to_string();
            let args = ["--phase", "decode", "--prompt", "0", "--generate", "1", "--context", &cached];
            // 8192 tokens of OPT-175B are 20 GB, beside 49 GB of weights and tables.
            if name == "opt-175b" && context > 2048 {
                text += " does not fit |";
                continue;
            }
            let run = run(dir, &[&server[..], &["--model", &long], &args].concat());
            text +=
                &format!(" {:.1} s, {:.2} M, {:.1} % |", run.seconds(), run.cycles() / 1e6, run.executed());
        }
        text += "\n";
    }
    let _ = write!(text, "\n{}", include_str!("performance/tail.md"));
    std::fs::write("docs/performance.md", text).expect("docs can be written");
}
