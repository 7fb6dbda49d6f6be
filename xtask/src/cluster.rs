//! A Slurm of two nodes on this machine: munge, one controller, two node daemons, all of them ours and ended with us.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::process::{ANSWER, Daemons, Done, Limit};

/// A cluster that runs.
pub(crate) struct Cluster {
    folder: PathBuf,
    conf: PathBuf,
    limit: Limit,
    daemons: Daemons,
}

/// A TCP port that nobody listens on, by number.
fn free_ports<const N: usize>() -> Done<[u16; N]> {
    let no = |e: std::io::Error| format!("no TCP port is free: {e}");
    // All are held until the last one is known, so that no two are the same.
    let held = [(); N].map(|()| TcpListener::bind("127.0.0.1:0"));
    let mut ports = [0; N];
    for (port, held) in ports.iter_mut().zip(held) {
        *port = held.and_then(|h| h.local_addr()).map_err(no)?.port();
    }
    Ok(ports)
}

/// `slurm.conf`. It schedules at once, finds a dead node in ten seconds and lets its jobs begin again as soon.
fn configuration(host: &str, dir: &Path, [controller, n1, n2]: [u16; 3]) -> String {
    let dir = dir.display();
    format!(
        "ClusterName=test\nSlurmctldHost={host}(127.0.0.1)\nSlurmctldPort={controller}\nSlurmUser=root\nSlurmdUser=root\n\
         AuthType=auth/munge\nAuthInfo=cred_expire=10\nProctrackType=proctrack/linuxproc\nTaskPlugin=task/none\n\
         SelectType=select/cons_tres\nSelectTypeParameters=CR_CPU\nJobAcctGatherType=jobacct_gather/none\n\
         AccountingStorageType=accounting_storage/none\nReturnToService=2\nMpiDefault=none\nSlurmdTimeout=10\n\
         SchedulerParameters=sched_interval=2,bf_interval=2\n\
         StateSaveLocation={dir}/state\nSlurmdSpoolDir={dir}/spool/%n\n\
         SlurmctldPidFile={dir}/slurmctld.pid\nSlurmdPidFile={dir}/slurmd-%n.pid\n\
         NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={n1} CPUs=1 RealMemory=1000\n\
         NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={n2} CPUs=1 RealMemory=1000\n\
         PartitionName=sim Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP\n"
    )
}

/// Where a cluster of `folder` has its configuration: in the environment of all that it runs.
pub(crate) fn conf(folder: &Path) -> PathBuf {
    folder.join("slurm.conf")
}

impl Cluster {
    /// A cluster with its files in `folder`, both nodes idle.
    pub(crate) fn start(folder: &Path, limit: Limit) -> Done<Self> {
        let host = limit.ask(Command::new("hostname").arg("-s"), ANSWER)?;
        for part in ["state", "spool/n1", "spool/n2"] {
            fs::create_dir_all(folder.join(part)).map_err(|e| format!("{}: {e}", folder.display()))?;
        }
        let conf = conf(folder);
        fs::write(&conf, configuration(host.trim(), folder, free_ports()?))
            .map_err(|e| format!("{}: {e}", conf.display()))?;
        let mut cluster = Self { folder: folder.into(), conf, limit, daemons: Daemons::default() };
        cluster.start_munge()?;
        let (folder, conf) = (cluster.folder.clone(), cluster.conf.clone());
        let mut start = |name: &str, args: &[&str]| {
            let mut command = Command::new(args[0]);
            command.args(&args[1..]).arg("-f").arg(&conf).env("SLURM_CONF", &conf);
            cluster.daemons.start(name, &[], &mut command, &folder.join(format!("{name}.log")))
        };
        start("slurmctld", &["slurmctld", "-D"])?;
        start("n1", &["slurmd", "-D", "-N", "n1"])?;
        start("n2", &["slurmd", "-D", "-N", "n2"])?;
        cluster.wait_for("two idle nodes", 90, |cluster| {
            let states = cluster.ask("sinfo", &["-h", "-N", "-o", "%T"]).unwrap_or_default();
            Ok(states.split_whitespace().filter(|s| *s == "idle").count() == 2)
        })?;
        Ok(cluster)
    }

    /// Munge, unless this machine runs one.
    fn start_munge(&mut self) -> Done {
        let limit = self.limit;
        let mint = move || limit.ask(Command::new("munge").arg("-n"), 10).is_ok();
        if mint() {
            return Ok(());
        }
        limit.ask(
            Command::new("sh").args(["-c", "mkdir -p /run/munge && chown munge:munge /run/munge"]),
            ANSWER,
        )?;
        let user = ["--reuid=munge", "--regid=munge", "--clear-groups"];
        let mut munged = Command::new("/usr/sbin/munged");
        munged.arg("--foreground");
        self.daemons.start("munged", &user, &mut munged, &self.folder.join("munged.log"))?;
        self.wait_for("munge", 30, |_| Ok(mint()))
    }

    /// What a command of Slurm says.
    pub(crate) fn ask(&self, name: &str, args: &[&str]) -> Done<String> {
        self.limit.ask(Command::new(name).args(args).env("SLURM_CONF", &self.conf), ANSWER)
    }

    /// Waits while all daemons run.
    pub(crate) fn wait_for(
        &mut self,
        what: &str,
        seconds: u64,
        mut come: impl FnMut(&mut Self) -> Done<bool>,
    ) -> Done {
        let limit = self.limit;
        limit.wait_for(what, seconds, || match self.daemons.fallen() {
            Some(name) => Err(format!("`{name}` has ended")),
            None => come(self),
        })
    }

    /// Jobs in the queue: number, state, node and why they wait, a line each.
    pub(crate) fn queue(&self) -> Done<String> {
        self.ask("squeue", &["-h", "-r", "-o", "%i %T %N %r"])
    }

    /// Ends everything that node `name` runs, as a power cut does: its daemon, its step daemons, what they had started.
    pub(crate) fn cut(&mut self, name: &str) -> Done {
        self.daemons.kill(name)?;
        match end_all(&self.conf, Some(name))? {
            0 => Err(format!("nothing ran on {name}")),
            _ => Ok(()),
        }
    }

    /// How it is, for whom it failed.
    pub(crate) fn state(&self) -> String {
        let mut text = String::new();
        for (name, args) in
            [("sinfo", ["-h", "-N", "-o", "%N %T"]), ("squeue", ["-h", "-r", "-o", "%i %T %N %r"])]
        {
            let said = Limit::new(10).ask(Command::new(name).args(args).env("SLURM_CONF", &self.conf), 10);
            text += &format!("{name}:\n{}\n", said.unwrap_or_else(|why| why).trim_end());
        }
        for name in ["munged", "slurmctld", "n1", "n2"] {
            let log = fs::read_to_string(self.folder.join(format!("{name}.log"))).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            text += &format!("{name}.log ends:\n{}\n", lines[lines.len().saturating_sub(8)..].join("\n"));
        }
        text
    }
}

impl Drop for Cluster {
    /// What jobs had started ends too.
    fn drop(&mut self) {
        let _ = end_all(&self.conf, None);
    }
}

/// What a process was started with. Empty for one that is just being replaced by its program, or has ended.
fn environment(pid: u32) -> Vec<u8> {
    fs::read(format!("/proc/{pid}/environ")).unwrap_or_default()
}

/// Ends all processes of the cluster with this configuration, or of one node of it; how many there were.
pub(crate) fn end_all(conf: &Path, node: Option<&str>) -> Done<usize> {
    let mut ended = BTreeSet::new();
    // Again while there are new ones: what was being started in the first pass.
    loop {
        let doomed = of_cluster(conf, node)?;
        let new: Vec<u32> = doomed.difference(&ended).copied().collect();
        if new.is_empty() {
            return Ok(ended.len());
        }
        for pid in &new {
            let _ = Command::new("kill").args(["-9", &pid.to_string()]).stderr(Stdio::null()).status();
        }
        ended.extend(new);
    }
}

/// The processes of the cluster with this configuration, or of one node of it.
fn of_cluster(conf: &Path, node: Option<&str>) -> Done<BTreeSet<u32>> {
    let own = format!("SLURM_CONF={}", conf.display());
    let mark = node.map(|node| format!("SLURMD_NODENAME={node}"));
    let line = |pid: u32| fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let mut found = BTreeSet::new();
    for entry in fs::read_dir("/proc").map_err(|e| format!("/proc: {e}"))?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse::<u32>().ok()) else { continue };
        let environment = environment(pid);
        let has = |what: &str| environment.split(|&b| b == 0).any(|v| v == what.as_bytes());
        if !has(&own) || mark.as_ref().is_some_and(|mark| !has(mark)) {
            continue;
        }
        found.insert(pid);
        // The step's daemon, above it, has another environment.
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse().ok());
        found.extend(parent.filter(|&pid| line(pid).contains("slurmstepd")));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_has_ports_that_differ() {
        let ports = free_ports().unwrap();
        assert!(ports[0] != ports[1] && ports[1] != ports[2] && ports[0] != ports[2] && !ports.contains(&0));
        let text = configuration("here", Path::new("/x"), ports);
        assert!(text.contains(&format!("SlurmctldPort={}\n", ports[0])), "{text}");
        assert!(text.lines().all(|line| line.trim() == line && line.contains('=')), "{text}");
    }

    #[test]
    fn only_what_is_of_this_cluster_is_ended() {
        let conf = std::env::temp_dir().join(format!("lutsim-xtask-{}.conf", std::process::id()));
        let sleep = |conf: &Path, node: &str| {
            let mut command = Command::new("sleep");
            let child =
                command.arg("1000").env("SLURM_CONF", conf).env("SLURMD_NODENAME", node).spawn().unwrap();
            // `spawn` returns before the kernel has noted down what the program was started with.
            let noted = || Ok(!environment(child.id()).is_empty());
            Limit::new(30).wait_for("a process with an environment", 30, noted).unwrap();
            child
        };
        let (mut n1, mut n2, mut other) =
            (sleep(&conf, "n1"), sleep(&conf, "n2"), sleep(Path::new("/x"), "n1"));
        assert_eq!(end_all(&conf, Some("n1")), Ok(1));
        assert!(!n1.wait().unwrap().success());
        assert_eq!(end_all(&conf, None), Ok(1));
        assert!(!n2.wait().unwrap().success());
        assert!(other.try_wait().unwrap().is_none());
        other.kill().unwrap();
        other.wait().unwrap();
    }
}
