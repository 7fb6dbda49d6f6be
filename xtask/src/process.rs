//! Processes that end: every wait has a limit and says what it waited for.

use std::fmt::Display;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::thread::sleep;
use std::time::{Duration, Instant};

pub(crate) type Done<T = ()> = Result<T, String>;

/// Seconds that a question to a daemon may take; Slurm's own commands try for several times ten seconds to reach one.
pub(crate) const ANSWER: u64 = 45;

/// Since when this runs, and how long all of it may take.
#[derive(Clone, Copy)]
pub(crate) struct Limit {
    begin: Instant,
    seconds: u64,
}

impl Limit {
    pub(crate) fn new(seconds: u64) -> Self {
        Self { begin: Instant::now(), seconds }
    }
    /// Says what has come to pass, and when.
    pub(crate) fn say(&self, what: impl Display) {
        println!("{:>4} s: {what}", self.begin.elapsed().as_secs());
    }
    /// What is left of `seconds` within the whole.
    fn end(&self, seconds: u64) -> Instant {
        let end = |from: Instant, seconds: u64| from + Duration::from_secs(seconds);
        end(self.begin, self.seconds).min(end(Instant::now(), seconds))
    }
    fn missed(&self, what: &str, since: Instant) -> String {
        let (waited, all) = (since.elapsed().as_secs_f64(), self.begin.elapsed().as_secs());
        format!("{what}: not within {waited:.1} s ({all} s of {} s for all have passed)", self.seconds)
    }

    /// Waits until something has come, `seconds` at most.
    pub(crate) fn wait_for(&self, what: &str, seconds: u64, mut come: impl FnMut() -> Done<bool>) -> Done {
        let (since, end) = (Instant::now(), self.end(seconds));
        loop {
            if come().map_err(|why| format!("waiting for {what}: {why}"))? {
                return Ok(());
            }
            if Instant::now() >= end {
                return Err(self.missed(what, since));
            }
            sleep(Duration::from_millis(200));
        }
    }

    /// What a command says; an error if it fails, or does not end within `seconds`.
    pub(crate) fn ask(&self, command: &mut Command, seconds: u64) -> Done<String> {
        let (since, end) = (Instant::now(), self.end(seconds));
        let name = words(command);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|e| format!("`{name}` cannot be run: {e}"))?;
        // Read beside, so that no pipe is ever full; what another process keeps open is not waited for beyond the limit.
        let reader = |from: Option<Box<dyn Read + Send>>| {
            let (to, said) = channel();
            std::thread::spawn(move || {
                let mut bytes = Vec::new();
                let _ = from.map(|mut from| from.read_to_end(&mut bytes));
                let _ = to.send(bytes);
            });
            said
        };
        let out = reader(child.stdout.take().map(|s| Box::new(s) as _));
        let err = reader(child.stderr.take().map(|s| Box::new(s) as _));
        let status = loop {
            if let Some(status) = child.try_wait().map_err(|e| format!("`{name}`: {e}"))? {
                break status;
            }
            if Instant::now() >= end {
                stop(&mut child);
                return Err(self.missed(&format!("the end of `{name}`"), since));
            }
            sleep(Duration::from_millis(10));
        };
        let text = |said: std::sync::mpsc::Receiver<Vec<u8>>| {
            let left = end.saturating_duration_since(Instant::now()) + Duration::from_secs(1);
            String::from_utf8_lossy(&said.recv_timeout(left).unwrap_or_default()).into_owned()
        };
        let (out, err) = (text(out), text(err));
        if status.success() { Ok(out) } else { Err(format!("`{name}` ended with {status}: {out}{err}")) }
    }
}

/// A command as it is typed.
fn words(command: &Command) -> String {
    let all = std::iter::once(command.get_program()).chain(command.get_args());
    all.map(|w| w.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

fn stop(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// Daemons, which end whatever happens: with this, or, if this process is killed, with it.
#[derive(Default)]
pub(crate) struct Daemons(pub(crate) Vec<(String, Child)>);

impl Daemons {
    /// Starts `program` with what `setpriv` is told; what it says goes to `log`.
    pub(crate) fn start(&mut self, name: &str, setpriv: &[&str], program: &mut Command, log: &Path) -> Done {
        let out = fs::File::create(log).map_err(|e| format!("{}: {e}", log.display()))?;
        let err = out.try_clone().map_err(|e| e.to_string())?;
        // In place of itself, so that it is our child.
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL"])
            .args(setpriv)
            .arg(program.get_program())
            .args(program.get_args());
        for (key, value) in program.get_envs() {
            if let Some(value) = value {
                command.env(key, value);
            }
        }
        let child = command.stdout(out).stderr(err).stdin(Stdio::null()).spawn();
        let child = child.map_err(|e| format!("`{name}` cannot be started: {e}"))?;
        self.0.push((name.into(), child));
        Ok(())
    }
    /// The first that has ended although nobody ended it.
    pub(crate) fn fallen(&mut self) -> Option<&str> {
        let ended = |child: &mut Child| !matches!(child.try_wait(), Ok(None));
        self.0.iter_mut().find_map(|(name, child)| ended(child).then_some(name.as_str()))
    }
    /// Ends one at once.
    pub(crate) fn kill(&mut self, name: &str) -> Done {
        let at = self.0.iter().position(|d| d.0 == name).ok_or_else(|| format!("no `{name}` was started"))?;
        stop(&mut self.0.remove(at).1);
        Ok(())
    }
}

impl Drop for Daemons {
    fn drop(&mut self) {
        for (_, child) in self.0.iter_mut().rev() {
            stop(child);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_ends_and_says_for_what_it_was() {
        let limit = Limit::new(100);
        let error = limit.wait_for("rain", 0, || Ok(false)).unwrap_err();
        assert!(error.starts_with("rain: not within 0.0 s ("), "{error}");
        assert!(error.ends_with(" s of 100 s for all have passed)"), "{error}");
        let error = limit.wait_for("rain", 0, || Err("no sky".into())).unwrap_err();
        assert_eq!(error, "waiting for rain: no sky");
        let mut times = 0;
        let come = || {
            times += 1;
            Ok(times == 2)
        };
        assert_eq!(limit.wait_for("rain", 60, come), Ok(()));
    }

    #[test]
    fn a_command_ends_and_says_what_it_was() {
        let limit = Limit::new(100);
        let shell = |line: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", line]);
            command
        };
        assert_eq!(limit.ask(&mut shell("echo a; echo b >&2"), 60), Ok("a\n".into()));
        let error = limit.ask(&mut shell("echo a; echo b >&2; exit 3"), 60).unwrap_err();
        assert_eq!(error, "`sh -c echo a; echo b >&2; exit 3` ended with exit status: 3: a\nb\n");
        let error = limit.ask(&mut shell("exec sleep 1000"), 0).unwrap_err();
        assert!(error.starts_with("the end of `sh -c exec sleep 1000`: not within "), "{error}");
        let error = limit.ask(&mut Command::new("no-such-program"), 60).unwrap_err();
        assert!(error.starts_with("`no-such-program` cannot be run: "), "{error}");
        // All of it has a limit too.
        let error = Limit::new(0).ask(&mut shell("exec sleep 1000"), 1000).unwrap_err();
        assert!(error.contains("of 0 s for all"), "{error}");
    }

    #[test]
    fn what_was_started_ends() {
        let folder = std::env::temp_dir();
        let log = folder.join(format!("lutsim-xtask-{}.log", std::process::id()));
        let mut daemons = Daemons::default();
        daemons.start("a", &[], Command::new("sleep").arg("1000"), &log).unwrap();
        daemons.start("b", &[], Command::new("sleep").arg("1000"), &log).unwrap();
        let ids: Vec<u32> = daemons.0.iter().map(|d| d.1.id()).collect();
        assert_eq!(daemons.fallen(), None);
        assert_eq!(daemons.kill("a"), Ok(()));
        assert!(daemons.kill("a").unwrap_err().contains("no `a`"));
        drop(daemons);
        assert!(ids.iter().all(|id| !Path::new(&format!("/proc/{id}")).exists()));
        fs::remove_file(log).unwrap();
    }
}
