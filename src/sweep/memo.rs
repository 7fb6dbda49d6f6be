//! Runs of a machine that several points ask for: each is executed once in a process, and the others take what it came to.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::session::Executed;

/// Bytes that are kept, unless told otherwise: some 400 runs of Llama-2-7B.
const KEPT: usize = 128 << 20;

/// What was executed, by what it depended on. The oldest is forgotten first.
pub struct Memo {
    runs: Mutex<Runs>,
    /// A run is over.
    over: Condvar,
    limit: usize,
}

#[derive(Default)]
struct Runs {
    /// None is under way.
    known: HashMap<String, Option<Arc<Executed>>>,
    order: VecDeque<String>,
    bytes: usize,
    shared: usize,
}

/// Takes a run that came to nothing out again, so that nobody waits for it.
struct UnderWay<'a> {
    memo: &'a Memo,
    key: &'a str,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut runs = self.memo.runs();
        if let Some(None) = runs.known.get(self.key) {
            runs.known.remove(self.key);
        }
        drop(runs);
        self.memo.over.notify_all();
    }
}

impl Default for Memo {
    fn default() -> Self {
        Self::with_limit(KEPT)
    }
}

impl Memo {
    /// One that keeps `limit` bytes at most.
    pub fn with_limit(limit: usize) -> Self {
        Self { runs: Mutex::default(), over: Condvar::new(), limit }
    }

    fn runs(&self) -> MutexGuard<'_, Runs> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Points that took what another had executed.
    pub fn shared(&self) -> usize {
        self.runs().shared
    }

    /// What `key` came to: known, or soon from who is at it, or by `execute`. None if `stop` was raised while waiting.
    ///
    /// # Errors
    /// Those of `execute`: whoever asks next executes again.
    pub fn of<E>(
        &self,
        key: &str,
        stop: &AtomicBool,
        execute: impl FnOnce() -> Result<Executed, E>,
    ) -> Result<Option<Arc<Executed>>, E> {
        let mut runs = self.runs();
        loop {
            match runs.known.get(key) {
                Some(Some(known)) => {
                    let known = known.clone();
                    runs.shared += 1;
                    return Ok(Some(known));
                }
                Some(None) if stop.load(Ordering::Relaxed) => return Ok(None),
                Some(None) => {
                    let wait = self.over.wait_timeout(runs, Duration::from_millis(100));
                    runs = wait.unwrap_or_else(PoisonError::into_inner).0;
                }
                None => break,
            }
        }
        runs.known.insert(key.to_owned(), None);
        drop(runs);
        // Whatever happens, others go on.
        let _under_way = UnderWay { memo: self, key };
        let executed = Arc::new(execute()?);
        let mut runs = self.runs();
        runs.bytes += executed.bytes();
        runs.known.insert(key.to_owned(), Some(executed.clone()));
        runs.order.push_back(key.to_owned());
        while runs.bytes > self.limit
            && let Some(oldest) = runs.order.pop_front()
        {
            if let Some(Some(gone)) = runs.known.remove(&oldest) {
                runs.bytes -= gone.bytes();
            }
        }
        drop(runs);
        Ok(Some(executed))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use lutsim_sim::chip_file::Override;

    use super::*;
    use crate::resolve;
    use crate::session::{Error, Phase, Session};

    /// A step of the smallest model on the smallest chip, otherwise as `sets` say.
    fn session(sets: &[&str]) -> Session {
        let all = ["workload.prompt=3", "workload.generate=2"].iter().chain(sets);
        let overrides: Vec<_> = all.map(|s| Override::set(s).unwrap()).collect();
        let chip = resolve::chip("tiny", &overrides).unwrap();
        let model = resolve::model("tiny-2l").unwrap();
        Session { phase: Phase::All, ..Session::new(chip, model) }
    }

    /// Energy, area and price are made anew for what was executed on another node, with another memory of the same speed: the record is
    /// that of the session run alone, byte for byte.
    #[test]
    fn what_another_executed_gives_the_same_record() {
        let base = session(&[]);
        let executed = base.execute(&()).unwrap();
        assert!(executed.bytes() > 1000);
        for sets in [&[][..], &["technology=28nm"], &["name=\"other\"", "dram.technology=hbm2e"]] {
            let other = session(sets);
            assert_eq!(other.execution(), base.execution(), "{sets:?}");
            let (own, made) = (other.run(&()).unwrap().record, other.record_of(&executed).unwrap());
            assert_eq!(made.to_json(), own.to_json(), "{sets:?}");
        }
        let energies =
            [&[][..], &["technology=28nm"]].map(|sets| session(sets).record_of(&executed).unwrap());
        assert_ne!(energies[0].to_json(), energies[1].to_json());
        for sets in ["lut.cores=1", "workload.context=5", "clock=\"0.9 GHz\"", "workload.weights=int4"] {
            assert_ne!(session(&[sets]).execution(), base.execution(), "{sets}");
        }
        assert_ne!(Session { phase: Phase::Decode, ..session(&[]) }.execution(), base.execution());
        assert_ne!(Session { every_step: true, ..session(&[]) }.execution(), base.execution());
    }

    #[test]
    fn threads_that_ask_at_once_execute_once() {
        let (memo, times) = (Memo::default(), AtomicUsize::new(0));
        let stop = AtomicBool::new(false);
        std::thread::scope(|threads| {
            for _ in 0..8 {
                threads.spawn(|| {
                    let execute = || {
                        times.fetch_add(1, Ordering::Relaxed);
                        std::thread::sleep(Duration::from_millis(50));
                        session(&[]).execute(&())
                    };
                    assert!(memo.of("a", &stop, execute).unwrap().is_some());
                });
            }
        });
        assert_eq!((times.into_inner(), memo.shared()), (1, 7));
    }

    #[test]
    fn what_failed_or_was_forgotten_is_executed_again() {
        let go = AtomicBool::new(false);
        let memo = Memo::default();
        assert!(matches!(memo.of("a", &go, || Err(Error::Interrupted)), Err(Error::Interrupted)));
        let panics = || memo.of::<Error>("a", &go, || panic!("a fault"));
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(panics)).is_err());
        // Who waits can be stopped.
        memo.runs().known.insert("a".into(), None);
        let stop = AtomicBool::new(true);
        assert!(memo.of::<Error>("a", &stop, || panic!("it waits")).unwrap().is_none());
        memo.runs().known.clear();
        // Too small for two.
        let executed = || session(&[]).execute(&());
        let memo = Memo::with_limit(executed().unwrap().bytes() * 3 / 2);
        for key in ["a", "b", "b", "a"] {
            memo.of(key, &go, executed).unwrap();
        }
        assert_eq!(memo.shared(), 1);
        assert!(memo.runs().bytes <= memo.limit);
        // Nothing fits: it works all the same.
        let none = Memo::with_limit(0);
        assert!(none.of("a", &go, executed).unwrap().is_some());
        let runs = none.runs();
        assert_eq!((runs.bytes, runs.known.len()), (0, 0));
    }
}
