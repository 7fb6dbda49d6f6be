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
    fn executed(&self) -> f64 {
        self.engine["leap"]["executed_cycles"].as_f64().map_or(100.0, |executed| {
            100.0 * executed / (executed + self.engine["leap"]["leapt_cycles"].as_f64().unwrap_or(0.0))
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

const HEAD: &str = "| work | million core cycles | CPU s | million cycles per CPU s | 10^9 instructions | MiB | executed % |\n\
                    |---|--:|--:|--:|--:|--:|--:|\n";

/// A built-in model with other numbers of layers and outputs.
fn cut(dir: &Path, model: &str, layers: u32, vocab: u32) -> PathBuf {
    let text = std::fs::read_to_string(format!("configs/models/{model}.toml")).expect("a built-in model");
    let line = |line: &str| match line.split_once(" = ") {
        Some(("layers", _)) => format!("layers = {layers}\n"),
        Some(("vocab", _)) => format!("vocab = {vocab}\n"),
        _ => format!("{line}\n"),
    };
    let path = dir.join(format!("{model}-{layers}.toml"));
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
    let layer = cut(dir, "llama-2-7b", 1, 512);
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

    text += "\n## CPU time over size: a token on `server_like`\n\nMore layers cost nothing but leaping over them.\n\n";
    text += HEAD;
    for name in ["llama-2-7b", "llama-2-13b", "llama-2-70b", "opt-175b"] {
        for context in ["128", "2000"] {
            let args = ["--phase", "decode", "--prompt", "0", "--generate", "1", "--context", context];
            let run = run(dir, &[&server[..], &model(name), &args].concat());
            text += &run.row(&format!("{name}, context {context}"));
        }
    }
    let _ = write!(text, "\n{}", include_str!("performance/tail.md"));
    std::fs::write("docs/performance.md", text).expect("docs can be written");
}
