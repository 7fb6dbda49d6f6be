//! A point of a sweep, run: its record, and the columns of the table.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lutsim_record::Record;
use lutsim_sweep::exec::{Evaluate, Outcome};
use lutsim_sweep::plan::{Point, id_of};
use lutsim_sweep::value::Value;

use super::memo::Memo;
use super::names;
use super::setup::{Setup, Wrong};
use crate::failure::{Failure, UserError};
use crate::output::OutFile;
use crate::resolve::why;
use crate::session::{self, Session};

/// Where whole records go.
#[derive(Clone, Debug)]
pub struct Records(pub PathBuf);

/// The version of a cache's records, in this file of it.
const MARK: &str = "lutsim-version";

impl Records {
    /// A folder of records that sweeps share, made if it is not there.
    ///
    /// # Errors
    /// It is another version's, or cannot be written.
    pub fn cache(dir: &Path) -> Result<Self, Failure> {
        let (mark, own) = (dir.join(MARK), env!("CARGO_PKG_VERSION"));
        let found = match std::fs::read_to_string(&mark) {
            Ok(version) => version.trim().to_owned(),
            Err(_) => {
                std::fs::create_dir_all(dir)
                    .map_err(|e| UserError::Write { path: dir.display().to_string(), why: why(&e) })?;
                OutFile::prepare(&mark)?.commit(format!("{own}\n").as_bytes())?;
                own.to_owned()
            }
        };
        if found != own {
            return Err(UserError::Refused {
                what: format!("the cache `{}` is of lutsim {found}, this is {own}", dir.display()),
                help:
                    "results of another version are not comparable: name another folder, or remove this one"
                        .into(),
            }
            .into());
        }
        Ok(Self(dir.to_owned()))
    }
    /// A point's record, if it is there and whole.
    fn read(&self, id: &str) -> Option<Record> {
        Record::from_json(&std::fs::read_to_string(self.path(id)).ok()?).ok()
    }
    /// The path of a point's record.
    pub fn path(&self, id: &str) -> PathBuf {
        self.0.join(format!("{id}.json"))
    }
    /// Writes a record through a temporary sibling, which no other process writes.
    fn write(&self, id: &str, record: &Record) -> std::io::Result<()> {
        std::fs::create_dir_all(&self.0)?;
        let work = self.0.join(format!(".{id}.{}.unfinished", std::process::id()));
        let written =
            std::fs::write(&work, record.to_json()).and_then(|()| std::fs::rename(&work, self.path(id)));
        written.inspect_err(|_| {
            let _ = std::fs::remove_file(&work);
        })
    }
}

/// Runs points.
pub struct Runner {
    /// What points mean.
    pub setup: Setup,
    /// The columns that are wanted.
    pub measured: Vec<String>,
    /// Where whole records go, if they are kept.
    pub records: Option<Records>,
    /// Records of points of any sweep of this version, if there is such a folder.
    pub cache: Option<Records>,
    /// Runs of machines that points share.
    pub memo: Memo,
}

impl Evaluate for Runner {
    fn evaluate(&self, point: &Point, stop: &Arc<AtomicBool>) -> Outcome {
        let resolved = match self.setup.resolve(&point.set) {
            Ok(resolved) => resolved,
            Err(Wrong::Infeasible(why)) => return Outcome::Infeasible(why),
            Err(Wrong::User(failure)) => return Outcome::Failed(format!("{failure:?}")),
        };
        let id = self.setup.id(&resolved);
        if id != point.id {
            return Outcome::Failed(format!(
                "it is not what was planned: a model's file has changed since (now {id})"
            ));
        }
        if let Some(record) = self.cache.as_ref().and_then(|cache| cache.read(&point.id)) {
            return self.keep(point, &record);
        }
        let session = Session { interrupt: Some(stop.clone()), ..self.setup.session(resolved) };
        // What one point alone asks for is not remembered.
        let record = match &point.run {
            None => session.run(&()).map(|finished| finished.record),
            Some(_) => self.shared(&session, stop),
        };
        match record {
            Ok(record) => self.keep(point, &record),
            Err(_) if stop.load(Ordering::Relaxed) => Outcome::Stopped,
            Err(session::Error::TooLong(cycles)) => {
                Outcome::Failed(format!("given up after {cycles} core cycles"))
            }
            Err(other) => Outcome::Infeasible(other.to_string()),
        }
    }
}

impl Runner {
    /// The record of a session whose run other points ask for too.
    fn shared(&self, session: &Session, stop: &AtomicBool) -> Result<Record, session::Error> {
        let executed = self.memo.of(&id_of(&session.execution()), stop, || session.execute(&()))?;
        session.record_of(executed.as_deref().ok_or(session::Error::Interrupted)?)
    }

    fn keep(&self, point: &Point, record: &Record) -> Outcome {
        for records in self.records.iter().chain(&self.cache) {
            let path = records.path(&point.id);
            if path.is_file() && records.read(&point.id).is_some() {
                continue;
            }
            if let Err(e) = records.write(&point.id, record) {
                return Outcome::Failed(format!("cannot write `{}`: {}", path.display(), why(&e)));
            }
        }
        let json = serde_json::to_value(record).expect("string keys only");
        let cell = |column: &String| Value::of_json(names::cell(&json, column));
        Outcome::Done(self.measured.iter().map(cell).collect())
    }
}
