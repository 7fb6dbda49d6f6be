//! Results on disk: one journal per process, one line per point, each with a checksum.
//!
//! ```text
//! DIR/shards/0-of-1.0000.jsonl     KEY\n  then per point  CHECKSUM {"id": ..., "status": ...}\n
//! ```
//!
//! A process never writes another's journal, so two of them on one shard are safe; a line is written with one call and counts
//! once it is whole, so nothing that was finished is lost when a process is killed. There is no time and no host in it.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::plan::id_of;
use crate::value::Value;

/// What became of a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It was run.
    Done,
    /// It cannot be: chip, model and workload do not go together.
    Infeasible,
    /// It should have been, and something went wrong.
    Failed,
}

impl Status {
    /// Its word.
    pub fn name(self) -> &'static str {
        match self {
            Status::Done => "done",
            Status::Infeasible => "infeasible",
            Status::Failed => "failed",
        }
    }
}

/// A point's result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Which point.
    pub id: String,
    /// What became of it.
    pub status: Status,
    /// A value per measured column, if it was run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cells: Vec<Value>,
    /// Why it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A journal that is being written.
#[derive(Debug)]
pub struct Journal<W: Write = File> {
    out: W,
    /// The last line may be half there.
    torn: bool,
    synced: Instant,
    sync: fn(&W) -> io::Result<()>,
}

/// How long a result may be in the system's memory only.
const SYNC: Duration = Duration::from_secs(1);

impl Journal<File> {
    /// A new journal in `DIR/shards`, for results that compare with `key`; its path too.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn create(dir: &Path, (shard, of): (usize, usize), key: &str) -> io::Result<(Self, PathBuf)> {
        let folder = dir.join("shards");
        std::fs::create_dir_all(&folder)?;
        for number in 0..1_000_000 {
            let path = folder.join(format!("{shard}-of-{of}.{number:04}.jsonl"));
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(e),
                Ok(out) => return Ok((Self::over(out, key, File::sync_data)?, path)),
            }
        }
        Err(io::Error::other("a million journals are there already"))
    }
}

impl<W: Write> Journal<W> {
    fn over(out: W, key: &str, sync: fn(&W) -> io::Result<()>) -> io::Result<Self> {
        let mut journal = Self { out, torn: false, synced: Instant::now(), sync };
        journal.line(&format!("{key}\n"))?;
        Ok(journal)
    }
    fn line(&mut self, line: &str) -> io::Result<()> {
        let torn = std::mem::replace(&mut self.torn, true);
        // What was cut off before is a line of its own, which its checksum refuses.
        let whole = if torn { format!("\n{line}") } else { line.to_owned() };
        self.out.write_all(whole.as_bytes())?;
        self.out.flush()?;
        self.torn = false;
        Ok(())
    }
    /// Writes a result.
    ///
    /// # Errors
    /// The disk is full, or gone; what follows can be written all the same once it is there again.
    ///
    /// # Panics
    /// On a number that is not finite: a fault of whoever computed it.
    pub fn write(&mut self, entry: &Entry) -> io::Result<()> {
        let json = serde_json::to_string(entry).expect("a result is words and numbers");
        self.line(&format!("{} {json}\n", id_of(&json)))?;
        if self.synced.elapsed() > SYNC {
            self.sync()?;
        }
        Ok(())
    }
    /// Waits until everything is on the disk.
    ///
    /// # Errors
    /// It is not.
    pub fn sync(&mut self) -> io::Result<()> {
        self.synced = Instant::now();
        (self.sync)(&self.out)
    }
}

/// Everything that journals hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Results {
    /// By id: what was done wins over what cannot be, and that over what failed.
    pub entries: HashMap<String, Entry>,
    /// What is wrong with journals, in words, one line each.
    pub damage: Vec<String>,
}

impl Results {
    /// Reads every journal of `DIR/shards` that compares with `key`.
    ///
    /// # Errors
    /// The folder cannot be read; one that is not there is empty.
    pub fn read(dir: &Path, key: &str) -> io::Result<Self> {
        let mut results = Self::default();
        let folder = dir.join("shards");
        if !folder.is_dir() {
            return Ok(results);
        }
        let mut paths: Vec<PathBuf> =
            std::fs::read_dir(folder)?.map(|e| e.map(|e| e.path())).collect::<Result<_, _>>()?;
        paths.retain(|p| p.extension().is_some_and(|e| e == "jsonl"));
        paths.sort();
        for path in paths {
            let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            match std::fs::read(&path) {
                Ok(bytes) => results.add(&name, &bytes, key),
                Err(e) => results.damage.push(format!("{name} cannot be read: {e}")),
            }
        }
        Ok(results)
    }

    /// Adds what a journal holds.
    pub fn add(&mut self, name: &str, bytes: &[u8], key: &str) {
        let mut lines = bytes.split_inclusive(|&b| b == b'\n').enumerate();
        match lines.next() {
            Some((_, first)) if first == format!("{key}\n").as_bytes() => {}
            // Killed before it began.
            None => return,
            Some((_, first)) if !first.ends_with(b"\n") && key.as_bytes().starts_with(first) => return,
            Some(_) => {
                self.damage
                    .push(format!("{name}: its first line is not that of this plan's results; left out"));
                return;
            }
        }
        for (i, line) in lines {
            match entry(line) {
                Some(entry) => self.insert(entry),
                // A process was stopped in the middle of its last line.
                None if !line.ends_with(b"\n") => {}
                None if line == b"\n" => {}
                None => self.damage.push(format!("{name}, line {}: damaged; left out", i + 1)),
            }
        }
    }

    fn insert(&mut self, entry: Entry) {
        let rank = |e: &Entry| match e.status {
            Status::Done => 0,
            Status::Infeasible => 1,
            Status::Failed => 2,
        };
        match self.entries.get_mut(&entry.id) {
            Some(known) if known.status == Status::Done && entry.status == Status::Done => {
                if *known != entry {
                    self.damage
                        .push(format!("point {} has two results that differ; the first is kept", entry.id));
                }
            }
            Some(known) if rank(known) < rank(&entry) => {}
            Some(known) => *known = entry,
            None => {
                self.entries.insert(entry.id.clone(), entry);
            }
        }
    }

    /// Whether a point needs no more work.
    pub fn finished(&self, id: &str) -> bool {
        self.entries.get(id).is_some_and(|e| e.status != Status::Failed)
    }
}

fn entry(line: &[u8]) -> Option<Entry> {
    let line = std::str::from_utf8(line).ok()?.strip_suffix('\n')?;
    let (checksum, json) = line.split_once(' ')?;
    if checksum != id_of(json) {
        return None;
    }
    serde_json::from_str(json).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "0123456789abcdef";

    fn done(id: &str, x: f64) -> Entry {
        Entry { id: id.into(), status: Status::Done, cells: vec![Value::Float(x), Value::Null], reason: None }
    }
    fn failed(id: &str) -> Entry {
        Entry { id: id.into(), status: Status::Failed, cells: vec![], reason: Some("why".into()) }
    }
    fn text(entries: &[Entry]) -> Vec<u8> {
        let mut journal = Journal::over(Vec::new(), KEY, |_| Ok(())).unwrap();
        entries.iter().for_each(|e| journal.write(e).unwrap());
        journal.out
    }
    fn read(bytes: &[u8]) -> Results {
        let mut results = Results::default();
        results.add("a", bytes, KEY);
        results
    }

    #[test]
    fn whole_lines_survive_a_cut_anywhere() {
        let entries = [done("a", 0.1), done("b", 1e300), failed("c")];
        let whole = text(&entries);
        for cut in 0..=whole.len() {
            let results = read(&whole[..cut]);
            let complete = whole[..cut].iter().filter(|&&b| b == b'\n').count().saturating_sub(1);
            assert_eq!(results.entries.len(), complete, "cut at {cut}");
            assert_eq!(results.damage, Vec::<String>::new(), "cut at {cut}");
            assert!(entries[..complete].iter().all(|e| results.entries[&e.id] == *e));
        }
    }

    #[test]
    fn a_changed_byte_is_found() {
        let whole = text(&[done("a", 0.1), done("b", 2.0)]);
        let first = whole.iter().position(|&b| b == b'\n').unwrap() + 1;
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            let results = read(&bytes);
            assert!(results.entries.len() < 2, "byte {at}");
            assert!(
                results.entries.values().all(|e| *e == done("a", 0.1) || *e == done("b", 2.0)),
                "byte {at}"
            );
            // The very last newline tells a cut from damage.
            assert!(!results.damage.is_empty() || at + 1 == whole.len(), "byte {at}");
            // Without its newline a line takes the next one with it.
            assert!(at >= first || results.entries.is_empty(), "byte {at}");
        }
    }

    #[test]
    fn what_was_done_wins() {
        for order in [[done("a", 1.0), failed("a")], [failed("a"), done("a", 1.0)]] {
            assert_eq!(read(&text(&order)).entries["a"], done("a", 1.0));
        }
        assert!(!read(&text(&[failed("a")])).finished("a"));
        let twice = read(&text(&[done("a", 1.0), done("a", 2.0)]));
        assert_eq!(twice.damage, ["point a has two results that differ; the first is kept"]);
        assert_eq!(twice.entries["a"], done("a", 1.0));
        assert!(read(&text(&[done("a", 1.0), done("a", 1.0)])).damage.is_empty());
    }

    /// A disk that is full for a while.
    struct Full {
        bytes: Vec<u8>,
        room: usize,
    }

    impl Write for Full {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            let n = buf.len().min(self.room);
            if n == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.room -= n;
            self.bytes.extend_from_slice(&buf[..n]);
            Ok(n)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_costs_the_points_that_met_it() {
        for room in 0..200 {
            let out = Full { bytes: Vec::new(), room: 17 + room };
            let mut journal = Journal::over(out, KEY, |_| Ok(())).unwrap();
            let first = journal.write(&done("a", 1.0)).is_ok();
            let second = journal.write(&done("b", 2.0)).is_ok();
            journal.out.room = 1000;
            journal.write(&done("c", 3.0)).unwrap();
            let found = read(&journal.out.bytes).entries;
            // What was said to be written is there; of the rest what came out whole.
            assert!(found.contains_key("a") || !first, "{room}");
            assert!(found.contains_key("b") || !second, "{room}");
            assert!(
                found.values().all(|e| [done("a", 1.0), done("b", 2.0), done("c", 3.0)].contains(e)),
                "{room}"
            );
            assert_eq!(found["c"], done("c", 3.0), "{room}");
        }
    }

    #[test]
    fn another_plans_results_are_left_out() {
        let mut results = Results::default();
        results.add("a", &text(&[done("a", 1.0)]), "fedcba9876543210");
        assert!(results.entries.is_empty());
        assert_eq!(results.damage.len(), 1);
    }
}
