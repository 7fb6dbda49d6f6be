//! A real Slurm on this machine: one controller, two nodes; a sweep is submitted, a node dies in the middle of it, and what is
//! collected equals what was run locally, byte for byte.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cluster::{self, Cluster};
use crate::process::{Done, Limit};

/// 36 points of some tenths of a second.
const SWEEP: &str = r#"
method = "grid"
chip = "tiny"
phases = ["prefill", "decode"]
[parameters."lut.cores"]
values = [1, 2, 3]
[parameters.context]
values = [0, 16, 32, 64]
[parameters.weights]
values = ["int1", "int2", "int4"]
[[metric]]
name = "decode.tokens_per_second"
goal = "maximize"
[[metric]]
name = "area_mm2"
goal = "minimize"
"#;

/// Results that must be the same.
const FILES: [&str; 5] = ["results.csv", "results.parquet", "pareto.csv", "sensitivity.csv", "index.html"];
/// Seconds that a try may take: one takes about 60 on two idle cores.
const TRY: u64 = 240;
/// Seconds that installing Slurm may take.
const INSTALL: u64 = 600;
/// What `.ci/slurm.sh` ends with where Slurm is not and cannot be.
const CANNOT: i32 = 77;

/// The whole test of a program that was built, twice if it must; in words if there can be no Slurm here.
pub(crate) fn test(program: Option<PathBuf>) -> Done {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("no workspace")?;
    let lutsim = program.map_or_else(beside, Ok)?;
    let lutsim = fs::canonicalize(&lutsim)
        .map_err(|e| format!("{}: {e}; build it first, with `cargo build --release`", lutsim.display()))?;
    if !install(&root.join(".ci/slurm.sh"))? {
        return Ok(());
    }
    // Short, since a node's sockets lie in it, and known, so that what an earlier test left behind is found.
    let mut hasher = DefaultHasher::new();
    root.hash(&mut hasher);
    let folder = std::env::temp_dir().join(format!("lutsim-slurm-{:016x}", hasher.finish()));
    let one = || {
        cluster::end_all(&cluster::conf(&folder), None)?;
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        run(&lutsim, &folder)
    };
    let done = one().or_else(|why| {
        println!("this failed: {why}\nonce more:");
        one()
    });
    match done {
        Ok(()) => fs::remove_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display())),
        Err(why) => Err(format!("{why}\nwhat it left is in {}", folder.display())),
    }
}

/// The program that was built beside this one.
fn beside() -> Done<PathBuf> {
    let own = std::env::current_exe().map_err(|e| e.to_string())?;
    Ok(own.with_file_name("lutsim"))
}

/// Whether Slurm is here, after trying to install it; if it cannot be, that is said.
fn install(script: &Path) -> Done<bool> {
    let mut command = Command::new("timeout");
    let status = command.args(["--kill-after=10", &INSTALL.to_string(), "sh"]).arg(script).status();
    let status = status.map_err(|e| format!("`timeout` cannot be run: {e}"))?;
    match status.code() {
        Some(0) => Ok(true),
        Some(CANNOT) => {
            println!(
                "SKIPPED: the test with a real Slurm was not run: there is none here, and none can be installed (see above)"
            );
            Ok(false)
        }
        _ => Err(format!("`{}` ended with {status}", script.display())),
    }
}

/// One try, in an empty folder.
fn run(lutsim: &Path, folder: &Path) -> Done {
    let limit = Limit::new(TRY);
    let file = folder.join("sweep.toml");
    fs::write(&file, SWEEP).map_err(|e| format!("{}: {e}", file.display()))?;
    let sweep = |args: &[&str]| -> Done<String> {
        let mut command = Command::new(lutsim);
        command.current_dir(folder).env("SLURM_CONF", cluster::conf(folder)).arg("sweep").args(args);
        limit.ask(&mut command, 120)
    };
    limit.say(format!("local: {}", first(&sweep(&["sweep.toml", "--out", "local"])?)));
    let mut cluster = Cluster::start(folder, limit)?;
    limit.say("the cluster is up");
    on_cluster(&mut cluster, limit, folder, &sweep).map_err(|why| format!("{why}\n{}", cluster.state()))?;
    for name in FILES {
        let of = |dir: &str| fs::read(folder.join(dir).join(name)).map_err(|e| format!("{dir}/{name}: {e}"));
        if of("local")? != of("cluster")? {
            return Err(format!("{name} of the cluster differs from the local one"));
        }
    }
    limit.say(format!("the same bytes: {}", FILES.join(", ")));
    Ok(())
}

/// The same sweep on the cluster, which loses a node.
fn on_cluster(
    cluster: &mut Cluster,
    limit: Limit,
    folder: &Path,
    sweep: &dyn Fn(&[&str]) -> Done<String>,
) -> Done {
    let status = || sweep(&["status", "cluster"]).map(|text| first(&text).to_owned());
    sweep(&["plan", "sweep.toml", "--out", "cluster"])?;
    let submit = ["submit", "cluster", "--slurm", "--point-seconds", "1", "--chunk-seconds", "4"];
    limit.say(first(&sweep(&submit)?));
    cluster.wait_for("a first result with both nodes at work", 90, |cluster| {
        let queue = cluster.queue()?;
        let journals = fs::read_dir(folder.join("cluster/shards")).map_or(0, |d| d.count());
        let at_work = queue.contains("RUNNING n1") && queue.contains("RUNNING n2") && journals >= 2;
        Ok(at_work && !status()?.contains(" 0 done"))
    })?;
    let before = status()?;
    if !before.contains("not run yet") {
        return Err("everything was run before the node died".into());
    }
    cluster.cut("n1")?;
    limit.say(format!("n1 was cut off: {before}"));
    cluster.wait_for("n1 found dead", 90, |cluster| {
        Ok(cluster.ask("sinfo", &["-h", "-n", "n1", "-o", "%T"])?.contains("down"))
    })?;
    limit.say(format!("n1 is found down: {}", status()?));
    cluster.wait_for("an empty queue", 180, |cluster| Ok(cluster.queue()?.trim().is_empty()))?;
    limit.say(format!("queue empty: {}", status()?));
    sweep(&["collect", "cluster"]).map(drop)
}

fn first(text: &str) -> &str {
    text.lines().next().unwrap_or("")
}
