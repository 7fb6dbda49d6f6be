//! A real Slurm on this machine: one controller, two nodes; a sweep is submitted, a node dies in the middle of it, and what is
//! collected equals what was run locally, byte for byte.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

type Done<T = ()> = Result<T, String>;

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
/// Seconds that the jobs may take in all.
const PATIENCE: u64 = 400;

/// What was started, and is ended whatever happens.
#[derive(Default)]
struct Started(Vec<Child>);

impl Started {
    fn run(&mut self, command: &mut Command, log: &Path) -> Done {
        let out = fs::File::create(log).map_err(|e| format!("{}: {e}", log.display()))?;
        let err = out.try_clone().map_err(|e| e.to_string())?;
        let child = command.stdout(out).stderr(err).stdin(Stdio::null()).spawn();
        self.0.push(child.map_err(|e| format!("{command:?}: {e}"))?);
        Ok(())
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        for child in self.0.iter_mut().rev() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// What a command says; an error if it fails.
fn ask(command: &mut Command) -> Done<String> {
    let output = command.output().map_err(|e| format!("{command:?}: {e}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    match output.status.success() {
        true => Ok(text),
        false => Err(format!("{command:?}: {}{}", text, String::from_utf8_lossy(&output.stderr))),
    }
}

fn wait_for(what: &str, seconds: u64, mut come: impl FnMut() -> Done<bool>) -> Done {
    let begin = Instant::now();
    while begin.elapsed().as_secs() < seconds {
        if come()? {
            return Ok(());
        }
        sleep(Duration::from_millis(200));
    }
    Err(format!("{what}: not within {seconds} s"))
}

struct Cluster {
    folder: PathBuf,
    conf: PathBuf,
    started: Started,
}

impl Cluster {
    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(name);
        command.env("SLURM_CONF", &self.conf);
        command
    }

    fn start(folder: &Path) -> Done<Self> {
        let host = ask(Command::new("hostname").arg("-s"))?;
        let (host, dir) = (host.trim(), folder.display());
        let text = format!(
            "ClusterName=test\nSlurmctldHost={host}(127.0.0.1)\nSlurmctldPort=16817\nSlurmUser=root\nSlurmdUser=root\n\
             AuthType=auth/munge\nAuthInfo=cred_expire=10\nProctrackType=proctrack/linuxproc\nTaskPlugin=task/none\n\
             SelectType=select/cons_tres\nSelectTypeParameters=CR_CPU\nJobAcctGatherType=jobacct_gather/none\n\
             AccountingStorageType=accounting_storage/none\nReturnToService=2\nMpiDefault=none\nSlurmdTimeout=10\n\
             StateSaveLocation={dir}/state\nSlurmdSpoolDir={dir}/spool/%n\n\
             SlurmctldPidFile={dir}/slurmctld.pid\nSlurmdPidFile={dir}/slurmd-%n.pid\n\
             NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port=17001 CPUs=1 RealMemory=1000\n\
             NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port=17002 CPUs=1 RealMemory=1000\n\
             PartitionName=sim Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP\n"
        );
        for part in ["state", "spool/n1", "spool/n2"] {
            fs::create_dir_all(folder.join(part)).map_err(|e| e.to_string())?;
        }
        let conf = folder.join("slurm.conf");
        fs::write(&conf, text).map_err(|e| e.to_string())?;
        let mut cluster = Self { folder: folder.into(), conf, started: Started::default() };
        if ask(Command::new("munge").arg("-n")).is_err() {
            ask(Command::new("sh").args(["-c", "mkdir -p /run/munge && chown munge:munge /run/munge"]))?;
            // In place of itself, so that it ends with us.
            let mut munged = Command::new("setpriv");
            munged.args([
                "--reuid=munge",
                "--regid=munge",
                "--clear-groups",
                "/usr/sbin/munged",
                "--foreground",
            ]);
            cluster.started.run(&mut munged, &folder.join("munged.log"))?;
            wait_for("munge", 20, || Ok(ask(Command::new("munge").arg("-n")).is_ok()))?;
        }
        let mut controller = cluster.command("slurmctld");
        controller.args(["-D", "-f"]).arg(&cluster.conf);
        cluster.started.run(&mut controller, &folder.join("slurmctld.log"))?;
        for node in ["n1", "n2"] {
            let mut slurmd = cluster.command("slurmd");
            slurmd.args(["-D", "-N", node, "-f"]).arg(&cluster.conf);
            cluster.started.run(&mut slurmd, &folder.join(format!("{node}.log")))?;
        }
        wait_for("two idle nodes", 60, || {
            let states = ask(cluster.command("sinfo").args(["-h", "-N", "-o", "%T"])).unwrap_or_default();
            Ok(states.split_whitespace().filter(|s| *s == "idle").count() == 2)
        })?;
        Ok(cluster)
    }

    /// Jobs in the queue: number, state and node, a line each.
    fn queue(&self) -> Done<String> {
        ask(self.command("squeue").args(["-h", "-r", "-o", "%i %T %N"]))
    }

    /// Ends everything that node `name` runs, as a power cut does: its daemon, its step daemons, what they had started.
    fn cut(&mut self, name: &str) -> Done {
        let port = format!("-N {name} ");
        for child in &mut self.started.0 {
            let line = fs::read_to_string(format!("/proc/{}/cmdline", child.id()))
                .unwrap_or_default()
                .replace('\0', " ");
            if line.contains("slurmd") && line.contains(&port) {
                child.kill().map_err(|e| e.to_string())?;
                child.wait().map_err(|e| e.to_string())?;
            }
        }
        let (mark, own) = (format!("SLURMD_NODENAME={name}"), format!("SLURM_CONF={}", self.conf.display()));
        let mut doomed = Vec::new();
        for entry in fs::read_dir("/proc").map_err(|e| e.to_string())?.flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse::<u32>().ok()) else { continue };
            let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
            let has = |what: &str| environment.split(|&b| b == 0).any(|v| v == what.as_bytes());
            // Only of this cluster's node.
            if has(&mark) && has(&own) {
                doomed.push(pid);
                let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
                let parent =
                    stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse().ok());
                let step = |pid: &u32| {
                    fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|c| c.contains("slurmstepd"))
                };
                doomed.extend(parent.filter(step));
            }
        }
        doomed.sort_unstable();
        doomed.dedup();
        if doomed.is_empty() {
            return Err(format!("nothing ran on {name}"));
        }
        for pid in doomed {
            let _ = Command::new("kill").args(["-9", &pid.to_string()]).stderr(Stdio::null()).status();
        }
        Ok(())
    }
}

/// The whole test, with a program that is there or a release build.
pub(crate) fn test(program: Option<PathBuf>) -> Done {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("no workspace")?;
    ask(Command::new("sh").arg(root.join(".ci/slurm.sh")))?;
    let lutsim = match program {
        Some(program) => fs::canonicalize(&program).map_err(|e| format!("{}: {e}", program.display()))?,
        None => {
            ask(Command::new(env!("CARGO")).current_dir(root).args([
                "build",
                "--release",
                "--locked",
                "--quiet",
            ]))?;
            root.join("target/release/lutsim")
        }
    };
    let folder = root.join("target/slurm-test");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).map_err(|e| e.to_string())?;
    let file = folder.join("sweep.toml");
    fs::write(&file, SWEEP).map_err(|e| e.to_string())?;
    let sweep = || {
        let mut command = Command::new(&lutsim);
        command.current_dir(&folder).env("SLURM_CONF", folder.join("slurm.conf")).arg("sweep");
        command
    };
    println!("local: {}", first(&ask(sweep().args(["sweep.toml", "--out", "local"]))?));

    let mut cluster = Cluster::start(&folder)?;
    ask(sweep().args(["plan", "sweep.toml", "--out", "cluster"]))?;
    let submit = ["submit", "cluster", "--slurm", "--point-seconds", "1", "--chunk-seconds", "4"];
    println!("{}", first(&ask(sweep().args(submit))?));
    let status = || ask(sweep().args(["status", "cluster"])).map(|text| first(&text).to_owned());
    wait_for("a first result with both nodes at work", 120, || {
        let queue = cluster.queue()?;
        let journals = fs::read_dir(folder.join("cluster/shards")).map_or(0, |d| d.count());
        let at_work = queue.contains("RUNNING n1") && queue.contains("RUNNING n2") && journals >= 2;
        Ok(at_work && !status()?.contains(" 0 done"))
    })?;
    let before = status()?;
    println!("n1 dies: {before}");
    if !before.contains("not run yet") {
        return Err("everything was run before the node died".into());
    }
    cluster.cut("n1")?;
    wait_for("n1 found dead", 120, || {
        Ok(ask(cluster.command("sinfo").args(["-h", "-n", "n1", "-o", "%T"]))?.contains("down"))
    })?;
    println!("n1 is down: {}", status()?);
    wait_for("an empty queue", PATIENCE, || Ok(cluster.queue()?.trim().is_empty()))?;
    println!("queue empty: {}", status()?);
    ask(sweep().args(["collect", "cluster"]))?;
    for name in FILES {
        let of = |dir: &str| {
            fs::read(cluster.folder.join(dir).join(name)).map_err(|e| format!("{dir}/{name}: {e}"))
        };
        if of("local")? != of("cluster")? {
            return Err(format!(
                "{name} of the cluster differs from the local one, see {}",
                folder.display()
            ));
        }
    }
    println!("the same bytes: {}", FILES.join(", "));
    Ok(())
}

fn first(text: &str) -> &str {
    text.lines().next().unwrap_or("")
}
