//! Running points: on several threads, each point apart from the others.
//!
//! ```text
//! workers --outcome--> this thread --> journal
//!    ^                     |
//!    +---- stop flag ------+  a point past its time is asked to stop, and if it does not, is left behind with its thread
//! ```

use std::cell::Cell;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::journal::{Entry, Status};
use crate::plan::{Plan, Point};
use crate::value::Value;

/// What a point came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// A value per measured column.
    Done(Vec<Value>),
    /// It cannot be run, and why.
    Infeasible(String),
    /// It was run and went wrong, and why.
    Failed(String),
    /// It was asked to stop.
    Stopped,
}

/// Runs a point.
pub trait Evaluate: Send + Sync + 'static {
    /// What the point comes to; looks at `stop` now and then.
    fn evaluate(&self, point: &Point, stop: &Arc<AtomicBool>) -> Outcome;
}

/// Hears of results.
pub trait Watch {
    /// A point is over.
    fn over(&mut self, point: &Point, entry: &Entry);
    /// Some time has passed, 100 ms at most.
    fn tick(&mut self) {}
}

/// How points are run.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Threads.
    pub threads: usize,
    /// Time of a point.
    pub point: Option<Duration>,
    /// Time that it has to stop once it was asked to.
    pub grace: Duration,
}

thread_local! {
    static AT_POINT: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread works at a point: then a panic is the point's result and not the process's end.
pub fn is_at_point() -> bool {
    AT_POINT.with(Cell::get)
}

/// Points that wait, taken one by one.
struct Queue {
    plan: Arc<Plan>,
    wanted: Vec<usize>,
    next: AtomicUsize,
}

/// What a worker is at.
#[derive(Default)]
struct Desk {
    /// The point, since when, and its stop flag.
    point: Option<(usize, Instant, Arc<AtomicBool>)>,
    /// It was left behind: nobody listens to it, so it must take no other point.
    left: bool,
}

/// What workers say: which worker, which point, what came of it; no point: it has nothing more to do.
type Message = (usize, Option<(usize, Outcome)>);

struct Worker {
    desk: Arc<Mutex<Desk>>,
    /// When it was asked to stop.
    asked: Option<Instant>,
}

fn spawn<E: Evaluate>(
    number: usize,
    queue: Arc<Queue>,
    evaluate: Arc<E>,
    to: Sender<Message>,
) -> std::io::Result<Worker> {
    let desk: Arc<Mutex<Desk>> = Arc::default();
    let own = desk.clone();
    let work = move || {
        AT_POINT.with(|at| at.set(true));
        loop {
            let next = queue.next.fetch_add(1, Ordering::Relaxed);
            let Some(&index) = queue.wanted.get(next) else { break };
            let stop = Arc::new(AtomicBool::new(false));
            let desk = || own.lock().unwrap_or_else(PoisonError::into_inner);
            desk().point = Some((index, Instant::now(), stop.clone()));
            let run = || evaluate.evaluate(&queue.plan.points[index], &stop);
            let outcome = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|payload| {
                let text = payload.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("no message");
                Outcome::Failed(format!("internal fault: {text}"))
            });
            let mut desk = desk();
            desk.point = None;
            if desk.left {
                return;
            }
            drop(desk);
            if to.send((number, Some((index, outcome)))).is_err() {
                return;
            }
        }
        // Nobody listens any more if the run is over.
        let _ = to.send((number, None));
    };
    // As large a stack as a process's first thread has.
    std::thread::Builder::new().name(format!("point-{number}")).stack_size(8 << 20).spawn(work)?;
    Ok(Worker { desk, asked: None })
}

/// Runs the points `wanted` of `plan` and hands every result to `keep`, in whatever order they come.
///
/// # Errors
/// No thread can be made.
pub fn exec<E: Evaluate>(
    plan: &Arc<Plan>,
    wanted: Vec<usize>,
    limits: Limits,
    evaluate: &Arc<E>,
    watch: &mut dyn Watch,
    keep: &mut dyn FnMut(&Point, Entry) -> Entry,
) -> std::io::Result<()> {
    let threads = limits.threads.clamp(1, wanted.len().max(1));
    let queue = Arc::new(Queue { plan: plan.clone(), wanted, next: AtomicUsize::new(0) });
    let (to, from) = channel::<Message>();
    let mut workers: HashMap<usize, Worker> = HashMap::new();
    let mut made = 0;
    let hire = |workers: &mut HashMap<usize, Worker>, made: &mut usize| -> std::io::Result<()> {
        workers.insert(*made, spawn(*made, queue.clone(), evaluate.clone(), to.clone())?);
        *made += 1;
        Ok(())
    };
    for _ in 0..threads {
        hire(&mut workers, &mut made)?;
    }
    let late = || format!("ran past --point-timeout {}", seconds(limits.point.unwrap_or_default()));
    let mut over = |index: usize, outcome: Outcome, watch: &mut dyn Watch| {
        let point = &plan.points[index];
        let (status, cells, reason) = match outcome {
            Outcome::Done(cells) => (Status::Done, cells, None),
            Outcome::Infeasible(why) => (Status::Infeasible, Vec::new(), Some(why)),
            Outcome::Failed(why) => (Status::Failed, Vec::new(), Some(why)),
            Outcome::Stopped => (Status::Failed, Vec::new(), Some(late())),
        };
        let entry = keep(point, Entry { id: point.id.clone(), status, cells, reason });
        watch.over(point, &entry);
    };
    while !workers.is_empty() {
        match from.recv_timeout(Duration::from_millis(100)) {
            // A worker that was left behind is not listened to.
            Ok((number, _)) if !workers.contains_key(&number) => {}
            Ok((number, None)) => {
                workers.remove(&number);
            }
            Ok((number, Some((index, outcome)))) => {
                if let Some(worker) = workers.get_mut(&number) {
                    worker.asked = None;
                }
                over(index, outcome, watch);
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
        watch.tick();
        let Some(most) = limits.point else { continue };
        let mut left = Vec::new();
        for (&number, worker) in &mut workers {
            let mut desk = worker.desk.lock().unwrap_or_else(PoisonError::into_inner);
            let Some((index, since, stop)) = &desk.point else { continue };
            if since.elapsed() < most {
                continue;
            }
            stop.store(true, Ordering::Relaxed);
            if worker.asked.get_or_insert_with(Instant::now).elapsed() > limits.grace {
                left.push((number, *index));
                desk.left = true;
            }
        }
        for (number, index) in left {
            workers.remove(&number);
            hire(&mut workers, &mut made)?;
            over(index, Outcome::Stopped, watch);
        }
    }
    Ok(())
}

/// A time in words: whole seconds, or with what is behind the point.
pub fn seconds(time: Duration) -> String {
    format!("{} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests;
