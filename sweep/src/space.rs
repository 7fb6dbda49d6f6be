//! A space of parameters, and points in it.
//!
//! ```text
//! 0..1 per parameter --Domain::at--> values          grid: every combination, the last parameter fastest
//! ```

use std::ops::Range;

use crate::file::{Method, SweepFile};
use crate::random::{Random, primes, radical_inverse};
use crate::value::Value;

/// What one parameter sets when it has one of its values: a key, or several that belong together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Choice(pub Vec<(String, Value)>);

/// A parameter: what differs from point to point.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// Its name: the path of a key, or a word for several keys that belong together.
    pub name: String,
    /// Its values.
    pub domain: Domain,
    /// Where its name stands in the file.
    pub span: Range<usize>,
}

/// The values of a parameter.
#[derive(Clone, Debug, PartialEq)]
pub enum Domain {
    /// One of these.
    Choices(Vec<Choice>),
    /// A number from an interval.
    Interval(Interval),
}

/// What numbers of an interval are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grain {
    /// Any.
    None,
    /// Whole multiples of this.
    Multiple(i64),
    /// Powers of two.
    PowerOfTwo,
}

/// Numbers from `min` to `max`, both included.
#[derive(Clone, Debug, PartialEq)]
pub struct Interval {
    /// The least.
    pub min: f64,
    /// The most.
    pub max: f64,
    /// Even in the logarithm.
    pub log: bool,
    /// What they are.
    pub grain: Grain,
    /// Written behind the number.
    pub unit: Option<String>,
    /// How many a grid takes.
    pub points: Option<usize>,
}

/// Values of one parameter that a grid takes at most.
const GRID: usize = 1_000_000;

impl Interval {
    /// Whether there is anything in it: otherwise what is wrong, and what to do.
    ///
    /// # Errors
    /// It is empty.
    pub fn check(&self) -> Result<(), (String, String)> {
        if self.min > self.max {
            return Err((
                format!("the range from {} to {} is empty", self.min, self.max),
                "`min` is the smaller".into(),
            ));
        }
        if self.log && self.min <= 0.0 {
            return Err((
                format!("`log` and `min = {}` do not go together", self.min),
                "begin above 0".into(),
            ));
        }
        let (low, high) = self.steps();
        if self.grain != Grain::None && low > high {
            let what = match self.grain {
                Grain::PowerOfTwo => "power of two".to_owned(),
                Grain::Multiple(n) => format!("multiple of {n}"),
                Grain::None => "number".to_owned(),
            };
            return Err((
                format!("the range from {} to {} holds no {what}", self.min, self.max),
                "widen it".into(),
            ));
        }
        Ok(())
    }
    /// First and last step of a grain: exponents, or multiples.
    fn steps(&self) -> (i64, i64) {
        match self.grain {
            Grain::PowerOfTwo => {
                (self.min.max(1.0).log2().ceil() as i64, self.max.max(0.5).log2().floor() as i64)
            }
            Grain::Multiple(n) => ((self.min / n as f64).ceil() as i64, (self.max / n as f64).floor() as i64),
            Grain::None => (0, 0),
        }
    }
    fn value(&self, number: Value) -> Value {
        match &self.unit {
            Some(unit) => Value::text(format!("{number} {unit}")),
            None => number,
        }
    }
    /// The number at `u` of 0..=1.
    fn at(&self, u: f64) -> Value {
        let (low, high) = self.steps();
        let index = |n: i64| low + ((u * (n as f64)) as i64).clamp(0, n - 1);
        self.value(match self.grain {
            Grain::PowerOfTwo => Value::Int(1i64 << index(high - low + 1).min(62)),
            Grain::Multiple(n) if !self.log => Value::Int(n * index(high - low + 1)),
            Grain::Multiple(n) => {
                // A step more at the end, so that the last one is as likely as its share of the logarithm.
                let x = lerp(low.max(1) as f64, (high + 1) as f64, u, true);
                Value::Int(n * (x as i64).clamp(low.max(1), high))
            }
            Grain::None => Value::Float(short(lerp(self.min, self.max, u, self.log))),
        })
    }
    /// What a grid takes of it.
    fn grid(&self) -> Result<Vec<Value>, String> {
        let (low, high) = self.steps();
        let all = (high - low + 1) as usize;
        if let Some(points) = self.points {
            let over = |i: usize| if points == 1 { 0.5 } else { i as f64 / (points - 1) as f64 };
            let mut found: Vec<Value> = (0..points).map(|i| self.at(over(i))).collect();
            found.dedup();
            return Ok(found);
        }
        match self.grain {
            Grain::None => Err("a grid needs `points` to take numbers from a range".into()),
            Grain::PowerOfTwo => {
                Ok((low..=high).map(|e| self.value(Value::Int(1i64 << e.min(62)))).collect())
            }
            Grain::Multiple(n) if self.log => {
                let doubled =
                    std::iter::successors(Some(low.max(1)), |k| k.checked_mul(2)).take_while(|&k| k <= high);
                Ok(doubled.map(|k| self.value(Value::Int(n * k))).collect())
            }
            Grain::Multiple(_) if all > GRID => Err(format!("a grid of {all} values: give `points`")),
            Grain::Multiple(n) => Ok((low..=high).map(|k| self.value(Value::Int(n * k))).collect()),
        }
    }
}

fn lerp(a: f64, b: f64, u: f64, log: bool) -> f64 {
    match log {
        true => (a.ln() + (b.ln() - a.ln()) * u).exp().clamp(a, b),
        false => a + (b - a) * u,
    }
}

/// Six digits, so that what is written is what is run.
fn short(x: f64) -> f64 {
    format!("{x:.5e}").parse().unwrap_or(x)
}

impl Parameter {
    /// The keys that it sets.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        let of_choices = match &self.domain {
            Domain::Choices(choices) => choices.as_slice(),
            Domain::Interval(_) => &[],
        };
        let own = matches!(self.domain, Domain::Interval(_)).then_some(self.name.as_str());
        own.into_iter().chain(of_choices.iter().flat_map(|c| c.0.iter().map(|(path, _)| path.as_str())))
    }
    /// How many values it has, if that is known.
    pub fn count(&self) -> Option<usize> {
        match &self.domain {
            Domain::Choices(choices) => Some(choices.len()),
            Domain::Interval(interval) => match interval.grain {
                Grain::None => None,
                _ => interval.steps().1.checked_sub(interval.steps().0).map(|n| n as usize + 1),
            },
        }
    }
    /// What it sets at `u` of 0..1.
    fn at(&self, u: f64, set: &mut dyn FnMut(&str, Value)) {
        match &self.domain {
            Domain::Interval(interval) => set(&self.name, interval.at(u)),
            Domain::Choices(choices) => {
                let at = ((u * choices.len() as f64) as usize).min(choices.len() - 1);
                choices[at].0.iter().for_each(|(path, value)| set(path, value.clone()));
            }
        }
    }
}

/// A space of parameters; a point is a value per path, or nothing where a choice does not set it.
#[derive(Clone, Debug)]
pub struct Space {
    /// The parameters.
    pub parameters: Vec<Parameter>,
    /// Every key that is set, in order of appearance.
    pub paths: Vec<String>,
}

/// Points that a plan holds at most.
pub const MOST: usize = 10_000_000;

impl Space {
    /// Of a file's parameters.
    pub fn of(parameters: &[Parameter]) -> Self {
        let mut paths: Vec<String> = Vec::new();
        for path in parameters.iter().flat_map(Parameter::paths) {
            if !paths.iter().any(|p| p == path) {
                paths.push(path.to_owned());
            }
        }
        Self { parameters: parameters.to_vec(), paths }
    }
    /// The point at these coordinates, each in 0..1.
    pub fn at(&self, genes: &[f64]) -> Vec<Value> {
        let mut row = vec![Value::Null; self.paths.len()];
        for (parameter, &u) in self.parameters.iter().zip(genes) {
            parameter.at(u, &mut |path, value| self.set(&mut row, path, value));
        }
        row
    }
    fn set(&self, row: &mut [Value], path: &str, value: Value) {
        if let Some(at) = self.paths.iter().position(|p| p == path) {
            row[at] = value;
        }
    }

    /// The points that a method takes; of `nsga2` none, because they depend on results.
    ///
    /// # Errors
    /// A space that cannot be taken so, in words.
    pub fn points(&self, file: &SweepFile) -> Result<Vec<Vec<Value>>, String> {
        match file.method {
            Method::Grid => self.grid(file.run_cap),
            Method::Nsga2 => Ok(Vec::new()),
            Method::Random => {
                let mut random = Random::new(file.seed);
                self.distinct(file, &mut |genes, _| genes.iter_mut().for_each(|g| *g = random.unit()))
            }
            Method::Halton => {
                let bases = primes(self.parameters.len());
                self.distinct(file, &mut |genes, i| {
                    let index = i as u64 + 1 + file.seed;
                    genes.iter_mut().zip(&bases).for_each(|(g, &base)| *g = radical_inverse(index, base));
                })
            }
        }
    }

    /// Points one after the other, those that were there already left out.
    fn distinct(
        &self,
        file: &SweepFile,
        next: &mut dyn FnMut(&mut [f64], usize),
    ) -> Result<Vec<Vec<Value>>, String> {
        let wanted = file.run_cap.unwrap_or(0).min(MOST);
        let mut seen = std::collections::HashSet::with_capacity(wanted);
        let (mut found, mut genes) = (Vec::with_capacity(wanted), vec![0.0; self.parameters.len()]);
        // A small space is exhausted before it is full.
        for i in 0..wanted.saturating_mul(20) {
            if found.len() == wanted {
                break;
            }
            next(&mut genes, i);
            let row = self.at(&genes);
            if seen.insert(format!("{row:?}")) {
                found.push(row);
            }
        }
        Ok(found)
    }

    /// Every combination, or `cap` of them evenly over their order.
    fn grid(&self, cap: Option<usize>) -> Result<Vec<Vec<Value>>, String> {
        let axes = self.parameters.iter().map(|parameter| match &parameter.domain {
            Domain::Choices(choices) => Ok(choices.clone()),
            Domain::Interval(interval) => {
                let values = interval.grid().map_err(|why| format!("`{}`: {why}", parameter.name))?;
                Ok(values.into_iter().map(|v| Choice(vec![(parameter.name.clone(), v)])).collect())
            }
        });
        let axes = axes.collect::<Result<Vec<Vec<Choice>>, String>>()?;
        let all = axes.iter().try_fold(1usize, |n, axis| n.checked_mul(axis.len()));
        let count = match (all, cap) {
            (Some(all), cap) => all.min(cap.unwrap_or(all)),
            (None, Some(cap)) => cap,
            (None, None) => usize::MAX,
        };
        if count > MOST {
            return Err(format!("the grid has more than {MOST} points: give `run_cap`, or fewer values"));
        }
        let all = all.unwrap_or(usize::MAX);
        let point = |i: usize| {
            let mut rest = (i as u128 * all as u128 / count as u128) as usize;
            let mut row = vec![Value::Null; self.paths.len()];
            for axis in axes.iter().rev() {
                for (path, value) in &axis[rest % axis.len()].0 {
                    self.set(&mut row, path, value.clone());
                }
                rest /= axis.len();
            }
            row
        };
        Ok((0..count).map(point).collect())
    }
}

#[cfg(test)]
mod tests;
