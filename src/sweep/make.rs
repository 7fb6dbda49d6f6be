//! Setup to plan: all points of a grid or a sample, or of a search as far as its results go.

use lutsim_sweep::evolve::{Judge, grow};
use lutsim_sweep::file::{FileError, Goal, Method, Metric};
use lutsim_sweep::journal::Results;
use lutsim_sweep::plan::{Plan, Point, keep_shared};
use lutsim_sweep::value::Value;
use rayon::prelude::*;

use super::bound::Bounds;
use super::setup::Setup;
use crate::failure::{Failure, SweepFault};

/// A plan that was made of a sweep file.
pub struct Made {
    /// The plan.
    pub plan: Plan,
    /// Points that constraints on what is set left out.
    pub left_out: usize,
    /// Of a search: how far it is.
    pub search: Option<Search>,
}

/// How far a search is.
pub struct Search {
    /// Generations so far.
    pub generations: usize,
    /// It is over: no point is to be run.
    pub complete: bool,
    /// Candidates that were not run, because they cannot be better than what there is.
    pub cut: usize,
}

/// What the search asks of points.
struct Judged<'a> {
    setup: &'a Setup,
    empty: &'a Plan,
    goals: Vec<(&'a Metric, Goal)>,
}

impl Judge for Judged<'_> {
    type Error = Failure;
    fn points(&self, rows: Vec<Vec<Value>>) -> Result<Vec<Option<Point>>, Failure> {
        rows.into_par_iter().map(|row| self.setup.point(row, self.empty)).collect()
    }
    fn bound(&self, point: &Point) -> Vec<f64> {
        let nothing = || vec![f64::NEG_INFINITY; self.goals.len()];
        let Ok(resolved) = self.setup.resolve(&point.set) else { return nothing() };
        let bounds = Bounds::of(&resolved.chip, &resolved.model);
        let place = |name: &str| {
            self.empty.header.given.iter().position(|(path, column)| path == name || column == name)
        };
        let given = |name: &str| point.given.get(place(name)?)?.number();
        self.goals.iter().map(|(metric, goal)| bounds.best(metric, *goal, &given)).collect()
    }
}

/// A plan of a sweep file; of a search as far as `results` go, which are read for the plan's key.
///
/// # Errors
/// What is wrong with the file; a space without a point; results that cannot be read.
pub fn make(setup: &Setup, results: &dyn Fn(&str) -> Result<Results, Failure>) -> Result<Made, Failure> {
    let header = setup.header();
    let fault = |message: String, help: &str| {
        let error = FileError { message, span: None, help: Some(help.into()) };
        Failure::from(SweepFault::of_file(error, &setup.name, &setup.text))
    };
    let empty = Plan { header, points: Vec::new() };
    let (mut points, left_out, search) = if setup.file.method == Method::Nsga2 {
        let goals = setup.file.metrics.iter().filter_map(|m| Some((m, m.goal?))).collect();
        let judge = Judged { setup, empty: &empty, goals };
        let grown = grow(&setup.file, &setup.space, &empty, &results(&empty.key())?, &judge)?;
        let search = Search { generations: grown.generations, complete: grown.complete, cut: grown.cut };
        (grown.points, grown.left_out, Some(search))
    } else {
        let rows = setup.space.points(&setup.file);
        let rows = rows.map_err(|why| fault(why, "a sweep is counted before it is planned"))?;
        let tried = rows.len();
        let points: Result<Vec<Option<Point>>, Failure> =
            rows.into_par_iter().map(|row| setup.point(row, &empty)).collect();
        let points: Vec<Point> = points?.into_iter().flatten().collect();
        let left_out = tried - points.len();
        (points, left_out, None)
    };
    if points.is_empty() {
        return Err(fault(
            "constraints contradict the parameters: no point is left".into(),
            "these constraints ask for nothing that is measured, so they are judged before anything is run",
        ));
    }
    if let Some(first) = points.iter().all(|p| p.refused.is_some()).then(|| points.first()).flatten() {
        let why = first.refused.clone().unwrap_or_default();
        return Err(fault(
            format!("no point can be built: {why}"),
            &format!("try one: {}", setup.command(&first.set)),
        ));
    }
    keep_shared(&mut points);
    Ok(Made { plan: Plan { points, ..empty }, left_out, search })
}
