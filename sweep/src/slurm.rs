//! A sweep as a Slurm job: an array of shards, each a process that runs many points.
//!
//! One element per point would cost seconds each (1.3 to 2.1 s of Slurm 22.05 on one machine, for points of half a second), so
//! points are packed into elements of some minutes. An element that is requeued or preempted goes on where it was; one that runs
//! twice, as after a node was taken for dead, writes to a journal of its own and gives the same results.

use std::fmt::Write;
use std::path::Path;

/// What is asked of the cluster.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The job's name.
    pub name: String,
    /// Points to run.
    pub points: usize,
    /// Seconds of a point on one core.
    pub point_seconds: f64,
    /// Seconds that an element is to take.
    pub chunk_seconds: f64,
    /// Cores of an element.
    pub cores: usize,
    /// Elements of an array at most.
    pub array_limit: usize,
    /// Elements at a time, if not all.
    pub at_once: Option<usize>,
    /// More options of `sbatch`, as they are: `--partition=long`.
    pub options: Vec<String>,
}

/// Seconds before a job's end at which it is told.
const NOTICE: u32 = 60;

impl Request {
    /// Elements of the array.
    pub fn elements(&self) -> usize {
        let seconds = self.points as f64 * self.point_seconds / self.cores.max(1) as f64;
        let wanted = (seconds / self.chunk_seconds).ceil() as usize;
        wanted.clamp(1, self.points.max(1)).min(self.array_limit.max(1))
    }

    /// The job's script; `program` runs `sweep exec` and `more` are options of it.
    pub fn script(&self, program: &Path, dir: &Path, more: &[String]) -> String {
        let elements = self.elements();
        let at_once = self.at_once.map_or(String::new(), |n| format!("%{n}"));
        let mut text = String::from("#!/bin/sh\n");
        let mut option = |o: &str| {
            let _ = writeln!(text, "#SBATCH {o}");
        };
        option(&format!("--job-name={}", self.name));
        option(&format!("--array=0-{}{at_once}", elements - 1));
        option(&format!("--cpus-per-task={}", self.cores));
        option("--ntasks=1");
        option(&format!("--output={}", dir.join("slurm/%A_%a.log").display()));
        option("--open-mode=append");
        option("--requeue");
        option(&format!("--signal=B:TERM@{NOTICE}"));
        self.options.iter().for_each(|o| option(o));
        let words: Vec<String> = [
            program.display().to_string(),
            "sweep".into(),
            "exec".into(),
            dir.display().to_string(),
            "--threads".into(),
            self.cores.to_string(),
        ]
        .into_iter()
        .chain(more.iter().cloned())
        .map(|w| quoted(&w))
        .collect();
        let _ = write!(
            text,
            "# {} points of about {:.2} s: {elements} elements of about {:.0} s on {} cores.\n\
             # Preempted, or out of time: what is finished is kept, and the rest is queued again.\n\
             again() {{\n    kill -TERM \"$child\" 2>/dev/null\n    wait \"$child\"\n    \
             scontrol requeue \"${{SLURM_ARRAY_JOB_ID}}_${{SLURM_ARRAY_TASK_ID}}\"\n    exit 0\n}}\n\
             trap again TERM\n\
             {} --shard \"$SLURM_ARRAY_TASK_ID/{elements}\" &\n\
             child=$!\n\
             wait \"$child\"\n",
            self.points,
            self.point_seconds,
            self.points as f64 * self.point_seconds / self.cores.max(1) as f64 / elements as f64,
            self.cores,
            words.join(" "),
        );
        text
    }
}

/// A word of a shell's command line.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=,:+%@".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(points: usize, point_seconds: f64) -> Request {
        Request {
            name: "a".into(),
            points,
            point_seconds,
            chunk_seconds: 600.0,
            cores: 4,
            array_limit: 1000,
            at_once: Some(50),
            options: vec!["--partition=long".into(), "--account=x".into()],
        }
    }

    #[test]
    fn points_are_packed() {
        assert_eq!(request(10_000, 0.5).elements(), 3);
        assert_eq!(request(3, 0.001).elements(), 1);
        assert_eq!(request(3, 1e9).elements(), 3);
        assert_eq!(request(100_000_000, 100.0).elements(), 1000);
        assert_eq!(request(0, 1.0).elements(), 1);
    }

    #[test]
    fn the_script_is_what_a_cluster_takes() {
        let text = request(10_000, 0.5).script(
            Path::new("/opt/my tools/lutsim"),
            Path::new("/data/a.sweep"),
            &["--point-timeout".into(), "60".into()],
        );
        for line in [
            "#SBATCH --array=0-2%50",
            "#SBATCH --cpus-per-task=4",
            "#SBATCH --requeue",
            "#SBATCH --signal=B:TERM@60",
            "#SBATCH --partition=long",
            "#SBATCH --account=x",
            "# 10000 points of about 0.50 s: 3 elements of about 417 s on 4 cores.",
            "'/opt/my tools/lutsim' sweep exec /data/a.sweep --threads 4 --point-timeout 60 --shard \"$SLURM_ARRAY_TASK_ID/3\" &",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
        assert!(text.starts_with("#!/bin/sh\n#SBATCH"));
    }
}
