use super::*;
use crate::plan::Header;

fn plan(count: usize) -> Arc<Plan> {
    let header = Header {
        sweep_plan: 1,
        version: "0".into(),
        file: String::new(),
        name: String::new(),
        chips: Vec::new(),
        paths: vec!["x".into()],
        given: Vec::new(),
        measured: vec!["y".into()],
    };
    let point = |i: usize| Point {
        id: format!("{i:016}"),
        set: vec![Value::Int(i as i64)],
        given: Vec::new(),
        run: None,
        refused: None,
    };
    Arc::new(Plan { header, points: (0..count).map(point).collect() })
}

struct By<F>(F);

impl<F: Fn(i64, &AtomicBool) -> Outcome + Send + Sync + 'static> Evaluate for By<F> {
    fn evaluate(&self, point: &Point, stop: &Arc<AtomicBool>) -> Outcome {
        let Value::Int(x) = point.set[0] else { panic!("the plan has whole numbers") };
        (self.0)(x, stop)
    }
}

struct Nobody;

impl Watch for Nobody {
    fn over(&mut self, _: &Point, _: &Entry) {}
}

fn run(
    count: usize,
    threads: usize,
    point: Option<Duration>,
    f: impl Fn(i64, &AtomicBool) -> Outcome + Send + Sync + 'static,
) -> Vec<Entry> {
    let limits = Limits { threads, point, grace: Duration::from_millis(200) };
    let mut found = Vec::new();
    let mut keep = |_: &Point, entry: Entry| {
        found.push(entry.clone());
        entry
    };
    exec(&plan(count), (0..count).collect(), limits, &Arc::new(By(f)), &mut Nobody, &mut keep).unwrap();
    found.sort_by(|a, b| a.id.cmp(&b.id));
    found
}

#[test]
fn any_number_of_threads_gives_every_point_once() {
    let square = |x: i64, _: &AtomicBool| Outcome::Done(vec![Value::Int(x * x)]);
    let one = run(100, 1, None, square);
    assert_eq!(one.len(), 100);
    assert_eq!(one[9].cells, [Value::Int(81)]);
    for threads in [2, 7, 1000] {
        assert_eq!(run(100, threads, None, square), one);
    }
    assert!(run(0, 4, None, square).is_empty());
}

#[test]
fn a_point_that_panics_costs_itself_only() {
    let found = run(5, 2, None, |x, _| {
        assert!(is_at_point());
        assert!(x != 3, "three it is");
        Outcome::Done(vec![Value::Int(x)])
    });
    let failed: Vec<_> = found.iter().filter(|e| e.status == Status::Failed).collect();
    assert_eq!((found.len(), failed.len()), (5, 1));
    assert_eq!(failed[0].reason.as_deref(), Some("internal fault: three it is"));
    assert!(!is_at_point());
}

#[test]
fn a_point_that_never_ends_is_stopped_or_left_behind() {
    let wait = |_: &AtomicBool| loop {
        std::thread::sleep(Duration::from_secs(3600));
    };
    let ask = |stop: &AtomicBool| {
        while !stop.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(5));
        }
        Outcome::Stopped
    };
    let found = run(6, 2, Some(Duration::from_millis(1500)), move |x, stop| match x {
        1 | 2 => wait(stop),
        3 => ask(stop),
        _ => Outcome::Done(Vec::new()),
    });
    let statuses: Vec<_> = found.iter().map(|e| e.status).collect();
    use Status::{Done, Failed};
    assert_eq!(statuses, [Done, Failed, Failed, Failed, Done, Done]);
    for entry in &found[1..4] {
        assert_eq!(entry.reason.as_deref(), Some("ran past --point-timeout 1.5 s"));
    }
}

/// One that was left behind and comes back takes no point with it.
#[test]
fn who_comes_back_late_is_not_needed() {
    let found = run(60, 2, Some(Duration::from_secs(1)), move |x, _| {
        std::thread::sleep(Duration::from_millis(if x < 2 { 2000 } else { 60 }));
        Outcome::Done(vec![Value::Int(x)])
    });
    let ids: Vec<_> = found.iter().map(|e| e.id.clone()).collect();
    assert_eq!(ids, (0..60).map(|i| format!("{i:016}")).collect::<Vec<_>>());
    assert!(found[..2].iter().all(|e| e.status == Status::Failed));
}
