//! NSGA-II (Deb, Pratap, Agarwal, Meyarivan, IEEE Transactions on Evolutionary Computation 6, 2002): a front by generations.
//!
//! ```text
//! parents --tournament, crossover, mutation--> children --run--> both together --rank, crowding--> parents
//! ```
//!
//! Every coordinate is in 0..1, what it means is the space's. Crossover is simulated binary, mutation polynomial, constraints are
//! met before anything else counts, all as in the paper; indices of both distributions are 20 and 20 there, 15 and 20 here.

use crate::front::ranks;
use crate::random::{Random, primes, radical_inverse};

/// A point that was run.
#[derive(Clone, Debug, PartialEq)]
pub struct Individual {
    /// Its coordinates, each in 0..1.
    pub genes: Vec<f64>,
    /// What it came to, the less the better.
    pub wanted: Vec<f64>,
    /// By how much it misses its constraints; 0 misses none.
    pub violation: f64,
}

/// Index of the crossover's distribution: the larger, the nearer are children to their parents.
const CROSSOVER: f64 = 15.0;
/// Index of the mutation's distribution.
const MUTATION: f64 = 20.0;
/// Share of pairs that are crossed.
const CROSSED: f64 = 0.9;

/// The first generation: `count` points evenly over `dimensions`.
pub fn first(count: usize, dimensions: usize, seed: u64) -> Vec<Vec<f64>> {
    let bases = primes(dimensions);
    let mut random = Random::new(seed);
    let shift: Vec<f64> = (0..dimensions).map(|_| random.unit()).collect();
    let point =
        |i: u64| bases.iter().zip(&shift).map(|(&b, s)| (radical_inverse(i + 1, b) + s).fract()).collect();
    (0..count as u64).map(point).collect()
}

/// The best `count` of these: those that miss least, then by rank, then those with the most room about them.
pub fn select(all: Vec<Individual>, count: usize) -> Vec<Individual> {
    let order = order(&all);
    let mut all: Vec<Option<Individual>> = all.into_iter().map(Some).collect();
    order.into_iter().take(count).filter_map(|i| all[i].take()).collect()
}

/// The best first.
fn order(all: &[Individual]) -> Vec<usize> {
    let mut classes: Vec<Vec<usize>> = Vec::new();
    let meet: Vec<usize> = (0..all.len()).filter(|&i| all[i].violation <= 0.0).collect();
    let points: Vec<&[f64]> = meet.iter().map(|&i| all[i].wanted.as_slice()).collect();
    for (n, rank) in ranks(&points).into_iter().enumerate() {
        if classes.len() <= rank {
            classes.resize(rank + 1, Vec::new());
        }
        classes[rank].push(meet[n]);
    }
    let mut found = Vec::with_capacity(all.len());
    for class in classes {
        let room = crowding(all, &class);
        let mut class: Vec<(usize, f64)> = class.into_iter().zip(room).collect();
        class.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        found.extend(class.into_iter().map(|c| c.0));
    }
    let mut miss: Vec<usize> = (0..all.len()).filter(|&i| all[i].violation > 0.0).collect();
    miss.sort_by(|&a, &b| all[a].violation.total_cmp(&all[b].violation).then(a.cmp(&b)));
    found.extend(miss);
    found
}

/// The room about each point of a front: how far its neighbours are from each other, over all that is wanted.
fn crowding(all: &[Individual], class: &[usize]) -> Vec<f64> {
    let mut room = vec![0.0; class.len()];
    let wanted = class.first().map_or(0, |&i| all[i].wanted.len());
    for dimension in 0..wanted {
        let at = |n: usize| all[class[n]].wanted[dimension];
        let mut by: Vec<usize> = (0..class.len()).collect();
        by.sort_by(|&a, &b| at(a).total_cmp(&at(b)).then(a.cmp(&b)));
        let (Some(&least), Some(&most)) = (by.first(), by.last()) else { continue };
        let span = at(most) - at(least);
        room[least] = f64::INFINITY;
        room[most] = f64::INFINITY;
        if span > 0.0 && span.is_finite() {
            for three in by.windows(3) {
                room[three[1]] += (at(three[2]) - at(three[0])) / span;
            }
        }
    }
    room
}

/// Children of `parents`, which are the best first: as many as `count`.
///
/// # Panics
/// There is no parent.
pub fn children(parents: &[Individual], count: usize, random: &mut Random) -> Vec<Vec<f64>> {
    assert!(!parents.is_empty(), "children have parents");
    // Parents come in order, so the earlier of two is the better.
    let mut pick = || random.below(parents.len()).min(random.below(parents.len()));
    let pairs: Vec<(usize, usize)> = (0..count.div_ceil(2)).map(|_| (pick(), pick())).collect();
    let mut found = Vec::with_capacity(count + 1);
    for (a, b) in pairs {
        let (mut a, mut b) = (parents[a].genes.clone(), parents[b].genes.clone());
        cross(&mut a, &mut b, random);
        mutate(&mut a, random);
        mutate(&mut b, random);
        found.push(a);
        found.push(b);
    }
    found.truncate(count);
    found
}

/// Simulated binary crossover within 0..1.
fn cross(a: &mut [f64], b: &mut [f64], random: &mut Random) {
    if random.unit() > CROSSED {
        return;
    }
    for (x, y) in a.iter_mut().zip(b) {
        if random.unit() > 0.5 || (*x - *y).abs() < 1e-14 {
            continue;
        }
        let (low, high) = (x.min(*y), x.max(*y));
        let u = random.unit();
        let spread = |edge: f64| {
            let beta = 1.0 + 2.0 * edge / (high - low);
            let alpha = 2.0 - beta.powf(-(CROSSOVER + 1.0));
            match u <= 1.0 / alpha {
                true => (u * alpha).powf(1.0 / (CROSSOVER + 1.0)),
                false => (1.0 / (2.0 - u * alpha)).powf(1.0 / (CROSSOVER + 1.0)),
            }
        };
        let first = 0.5 * ((low + high) - spread(low) * (high - low));
        let second = 0.5 * ((low + high) + spread(1.0 - high) * (high - low));
        let (first, second) = (first.clamp(0.0, 1.0), second.clamp(0.0, 1.0));
        (*x, *y) = if random.unit() < 0.5 { (first, second) } else { (second, first) };
    }
}

/// Polynomial mutation within 0..1, of one coordinate in the mean.
fn mutate(genes: &mut [f64], random: &mut Random) {
    let share = 1.0 / genes.len().max(1) as f64;
    for x in genes {
        if random.unit() >= share {
            continue;
        }
        let u = random.unit();
        let power = 1.0 / (MUTATION + 1.0);
        let step = match u < 0.5 {
            true => (2.0 * u + (1.0 - 2.0 * u) * (1.0 - *x).powf(MUTATION + 1.0)).powf(power) - 1.0,
            false => 1.0 - (2.0 * (1.0 - u) + 2.0 * (u - 0.5) * x.powf(MUTATION + 1.0)).powf(power),
        };
        *x = (*x + step).clamp(0.0, 1.0);
    }
}

#[cfg(test)]
mod tests;
