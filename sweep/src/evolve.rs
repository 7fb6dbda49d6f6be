//! A plan that grows: generations of NSGA-II, each made of what came of the one before.
//!
//! ```text
//! candidates --bounds--> those that cannot win are cut --estimates--> the better half --run--> results --select--> parents
//! ```
//!
//! Everything follows from the seed and the results, so a search that was stopped is made again up to where it was, and goes on.

use std::collections::HashSet;

use crate::file::{Goal, SweepFile};
use crate::front::{dominates, front, ranks};
use crate::journal::{Results, Status};
use crate::nsga2::{Individual, children, first, select};
use crate::plan::{Plan, Point};
use crate::random::Random;
use crate::space::Space;
use crate::table::Formulas;
use crate::value::Value;

/// What a search needs to know of points.
pub trait Judge {
    /// What can go wrong.
    type Error;
    /// Each row of values as a point; none where it is left out.
    ///
    /// # Errors
    /// A value that makes no sense.
    fn points(&self, rows: Vec<Vec<Value>>) -> Result<Vec<Option<Point>>, Self::Error>;
    /// What a point can at best come to, the less the better, a number per goal in order; minus infinity where that is not known.
    fn bound(&self, point: &Point) -> Vec<f64>;
}

/// How far a search is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Grown {
    /// All points so far, the last generation's behind.
    pub points: Vec<Point>,
    /// Generations, the last one included.
    pub generations: usize,
    /// The last generation has been run, and there is no other.
    pub complete: bool,
    /// Candidates that were not run, because what they can at best come to is worse than what there is.
    pub cut: usize,
    /// Candidates that constraints on what is set left out.
    pub left_out: usize,
}

/// Candidates per point that is run.
const CANDIDATES: usize = 2;
/// Times that a generation looks for points that were not there yet.
const TRIES: usize = 12;

/// The plan of a search, as far as `results` go; `empty` has its header.
///
/// # Errors
/// What [`Judge::points`] says.
pub fn grow<J: Judge>(
    file: &SweepFile,
    space: &Space,
    empty: &Plan,
    results: &Results,
    judge: &J,
) -> Result<Grown, J::Error> {
    let formulas = Formulas::of(empty, file);
    let cap = file.run_cap.unwrap_or(0);
    let mut grown = Grown::default();
    let mut seen: HashSet<String> = HashSet::new();
    let mut parents: Vec<Individual> = Vec::new();
    let mut known: Vec<Vec<f64>> = Vec::new();
    while grown.points.len() < cap {
        let wanted = file.population.min(cap - grown.points.len());
        let mut random = Random::new(file.seed ^ (grown.generations as u64 + 1).wrapping_mul(0x9e37_79b9));
        let mut batch: Vec<(Vec<f64>, Point)> = Vec::new();
        for turn in 0..TRIES {
            if batch.len() >= wanted {
                break;
            }
            let genes = match parents.is_empty() {
                true => first(wanted, space.parameters.len(), file.seed + turn as u64 * 7919),
                // Where crossing gives nothing new, anything goes.
                false if turn > TRIES / 2 => first(wanted, space.parameters.len(), random.bits()),
                false => children(&parents, CANDIDATES * file.population, &mut random),
            };
            let new = |genes: &Vec<f64>| seen.insert(format!("{:?}", space.at(genes)));
            let genes: Vec<Vec<f64>> = genes.into_iter().filter(new).collect();
            let points = judge.points(genes.iter().map(|g| space.at(g)).collect())?;
            let mut candidates: Vec<(Vec<f64>, Point, Vec<f64>)> = Vec::new();
            for (genes, point) in genes.into_iter().zip(points) {
                let Some(point) = point else {
                    grown.left_out += 1;
                    continue;
                };
                let bound = judge.bound(&point);
                match known.iter().any(|k| dominates(k, &bound)) {
                    true => grown.cut += 1,
                    false => candidates.push((genes, point, bound)),
                }
            }
            let bounds: Vec<&[f64]> = candidates.iter().map(|c| c.2.as_slice()).collect();
            let rank = ranks(&bounds);
            let mut order: Vec<usize> = (0..candidates.len()).collect();
            order.sort_by_key(|&i| rank[i]);
            let mut candidates: Vec<Option<_>> = candidates.into_iter().map(Some).collect();
            let room = wanted - batch.len();
            let best = order.into_iter().filter_map(|i| candidates[i].take()).take(room);
            batch.extend(best.map(|(genes, point, _)| (genes, point)));
        }
        if batch.is_empty() {
            break;
        }
        grown.generations += 1;
        let judged = |(genes, point): &(Vec<f64>, Point)| {
            outcome(file, &formulas, results, point).map(|(wanted, violation)| Individual {
                genes: genes.clone(),
                wanted,
                violation,
            })
        };
        let individuals: Vec<Option<Individual>> = batch.iter().map(judged).collect();
        grown.points.extend(batch.into_iter().map(|b| b.1));
        let Some(individuals) = individuals.into_iter().collect::<Option<Vec<_>>>() else { return Ok(grown) };
        known.extend(individuals.iter().filter(|i| i.violation <= 0.0).map(|i| i.wanted.clone()));
        known = front(&known).into_iter().map(|i| known[i].clone()).collect();
        parents = select(parents.into_iter().chain(individuals).collect(), file.population);
    }
    grown.complete = true;
    Ok(grown)
}

/// What a point came to, a number per goal, and by how much it misses its constraints; none if it was not run yet.
fn outcome(
    file: &SweepFile,
    formulas: &Formulas<'_>,
    results: &Results,
    point: &Point,
) -> Option<(Vec<f64>, f64)> {
    let goals = || file.metrics.iter().filter_map(|m| Some((m, m.goal?)));
    let nothing = || Some((vec![f64::INFINITY; goals().count()], f64::INFINITY));
    if point.refused.is_some() {
        return nothing();
    }
    let entry = results.entries.get(&point.id)?;
    if entry.status != Status::Done {
        return nothing();
    }
    let mut row: Vec<Value> = [point.given.as_slice(), entry.cells.as_slice()].concat();
    formulas.extend(&mut row);
    let of = |name: &str| formulas.place(name).and_then(|at| row.get(at)?.number());
    let wanted: Option<Vec<f64>> = goals()
        .map(|(metric, goal)| of(&metric.name).map(|x| if goal == Goal::Maximize { -x } else { x }))
        .collect();
    let miss = |c: &crate::file::Constraint| {
        let Some(x) = c.formula.value(&of) else { return f64::INFINITY };
        let by = |bound: f64, miss: f64| if miss > 0.0 { miss / bound.abs().max(1e-300) } else { 0.0 };
        c.min.map_or(0.0, |min| by(min, min - x)) + c.max.map_or(0.0, |max| by(max, x - max))
    };
    let violation = file.constraints.iter().map(miss).sum();
    wanted.map(|wanted| (wanted, violation)).or_else(nothing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Entry;
    use crate::plan::{FORMAT, Header, id_of};

    const TEXT: &str = "method = \"nsga2\"\nrun_cap = 120\npopulation = 16\nseed = 5\n\
        [parameters.a]\nmin = 0\nmax = 31\n[parameters.b]\nmin = 0\nmax = 31\n\
        [[metric]]\nname = \"cost\"\ngoal = \"minimize\"\n[[metric]]\nname = \"gain\"\ngoal = \"maximize\"\n";

    /// Cost and gain; bounds that are true and say something of costs only.
    struct Known {
        bounds: bool,
    }

    fn value(point: &Point) -> [f64; 2] {
        let [a, b] = [&point.set[0], &point.set[1]].map(|v| v.number().unwrap());
        [a * 1.5 + b, (a + 1.0).sqrt() * 3.0 + (b + 1.0).ln() * 2.0 - (a - b).abs() * 0.1]
    }

    impl Judge for Known {
        type Error = ();
        fn points(&self, rows: Vec<Vec<Value>>) -> Result<Vec<Option<Point>>, ()> {
            let one = |set: Vec<Value>| Point {
                id: id_of(&format!("{set:?}")),
                set,
                given: Vec::new(),
                run: None,
                refused: None,
            };
            Ok(rows.into_iter().map(one).map(Some).collect())
        }
        fn bound(&self, point: &Point) -> Vec<f64> {
            let [cost, gain] = value(point);
            if self.bounds { vec![cost, -(gain * 1.05)] } else { vec![f64::NEG_INFINITY; 2] }
        }
    }

    fn search(judge: &Known, text: &str) -> (Grown, Results) {
        let file = SweepFile::parse(text).unwrap();
        let space = Space::of(&file.parameters);
        let header = Header {
            sweep_plan: FORMAT,
            version: "0".into(),
            file: String::new(),
            name: String::new(),
            chips: Vec::new(),
            paths: space.paths.clone(),
            given: Vec::new(),
            measured: vec!["cost".into(), "gain".into()],
        };
        let empty = Plan { header, points: Vec::new() };
        let mut results = Results::default();
        loop {
            let grown = grow(&file, &space, &empty, &results, judge).unwrap();
            if grown.complete {
                return (grown, results);
            }
            for point in &grown.points {
                let cells = value(point).map(Value::Float).into();
                let entry = Entry { id: point.id.clone(), status: Status::Done, cells, reason: None };
                results.entries.insert(point.id.clone(), entry);
            }
        }
    }

    /// Of 1024 points 120 are run: the share of the exact front's volume.
    fn share(grown: &Grown) -> f64 {
        let wanted = |p: &Point| {
            let [cost, gain] = value(p);
            vec![cost, -gain]
        };
        let all: Vec<Vec<f64>> = (0..1024)
            .map(|i| {
                wanted(&Point {
                    id: String::new(),
                    set: vec![Value::Int(i / 32), Value::Int(i % 32)],
                    given: Vec::new(),
                    run: None,
                    refused: None,
                })
            })
            .collect();
        let volume = |points: &[Vec<f64>]| {
            let mut on: Vec<&Vec<f64>> = front(points).into_iter().map(|i| &points[i]).collect();
            on.sort_by(|a, b| a[0].total_cmp(&b[0]));
            let (mut sum, mut y) = (0.0, 0.0);
            for p in on {
                sum += (80.0 - p[0]) * f64::max(0.0, y - p[1]);
                y = f64::min(y, p[1]);
            }
            sum
        };
        volume(&grown.points.iter().map(wanted).collect::<Vec<_>>()) / volume(&all)
    }

    #[test]
    fn a_search_finds_nearly_all_of_what_trying_everything_finds() {
        let (grown, _) = search(&Known { bounds: false }, TEXT);
        assert_eq!((grown.points.len(), grown.cut), (120, 0));
        assert!(share(&grown) > 0.97, "{}", share(&grown));
    }

    #[test]
    fn bounds_cut_what_cannot_win_and_nothing_else() {
        let (grown, results) = search(&Known { bounds: true }, TEXT);
        assert!(grown.cut > 20, "{} were cut", grown.cut);
        assert!(share(&grown) > 0.98, "{}", share(&grown));
        // The same search again, with all that is known, is the same plan at once.
        let (again, _) = search(&Known { bounds: true }, TEXT);
        assert_eq!(again, grown);
        assert_eq!(results.entries.len(), 120);
    }

    #[test]
    fn a_small_space_ends_before_its_cap() {
        let small = TEXT.replace("max = 31", "max = 3");
        let (grown, _) = search(&Known { bounds: false }, &small);
        assert!(
            grown.complete && grown.points.len() <= 16 && grown.points.len() >= 14,
            "{}",
            grown.points.len()
        );
    }

    #[test]
    fn constraints_are_met() {
        let text = format!("{TEXT}[[constraint]]\nname = \"gain\"\nmin = 15\n");
        let (grown, _) = search(&Known { bounds: false }, &text);
        let meets = |p: &&Point| value(p)[1] >= 15.0;
        let least = grown.points.iter().filter(meets).map(|p| value(p)[0]).fold(f64::INFINITY, f64::min);
        // By hand: the cheapest of all 1024 with a gain of 15 costs 17.
        let all = (0..1024).map(|i| {
            value(&Point {
                id: String::new(),
                set: vec![Value::Int(i / 32), Value::Int(i % 32)],
                given: Vec::new(),
                run: None,
                refused: None,
            })
        });
        let exact = all.filter(|v| v[1] >= 15.0).map(|v| v[0]).fold(f64::INFINITY, f64::min);
        assert!(least <= exact + 1.5, "{least} against {exact}");
    }
}
