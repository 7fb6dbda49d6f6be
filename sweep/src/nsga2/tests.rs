use super::*;
use crate::front::front;

/// Runs `generations` of `population` on a function of the unit cube.
fn run(
    f: &dyn Fn(&[f64]) -> Vec<f64>,
    dimensions: usize,
    population: usize,
    generations: usize,
    seed: u64,
) -> Vec<Individual> {
    let individual = |genes: Vec<f64>| Individual { wanted: f(&genes), genes, violation: 0.0 };
    let mut parents: Vec<_> = first(population, dimensions, seed).into_iter().map(individual).collect();
    parents = select(parents, population);
    for generation in 1..generations {
        let mut random = Random::new(seed.wrapping_add(generation as u64));
        let new = children(&parents, population, &mut random).into_iter().map(individual);
        let all = parents.iter().cloned().chain(new).collect();
        parents = select(all, population);
    }
    parents
}

/// Area that a front of two dominates, up to (1.1, 1.1).
fn volume(points: &[Vec<f64>]) -> f64 {
    let mut points: Vec<&Vec<f64>> = front(points).into_iter().map(|i| &points[i]).collect();
    points.sort_by(|a, b| a[0].total_cmp(&b[0]));
    let (mut sum, mut y) = (0.0, 1.1);
    for p in points.iter().filter(|p| p[0] < 1.1 && p[1] < 1.1) {
        sum += (1.1 - p[0]) * (y - p[1]).max(0.0);
        y = y.min(p[1]);
    }
    sum
}

/// Zitzler, Deb, Thiele, Evolutionary Computation 8, 2000: 30 variables, the front at g = 1.
fn zdt(number: u32, x: &[f64]) -> Vec<f64> {
    let g = 1.0 + 9.0 * x[1..].iter().sum::<f64>() / (x.len() - 1) as f64;
    let h = match number {
        1 => 1.0 - (x[0] / g).sqrt(),
        2 => 1.0 - (x[0] / g).powi(2),
        _ => 1.0 - (x[0] / g).sqrt() - x[0] / g * (10.0 * std::f64::consts::PI * x[0]).sin(),
    };
    vec![x[0], g * h]
}

#[test]
fn zdt_1_2_and_3_are_met() {
    for number in [1, 2, 3] {
        let found = run(&|x| zdt(number, x), 30, 100, 200, 7);
        // The exact front, finely.
        let exact: Vec<Vec<f64>> = (0..=20_000)
            .map(|i| {
                let mut x = vec![0.0; 30];
                x[0] = f64::from(i) / 20_000.0;
                zdt(number, &x)
            })
            .collect();
        let exact: Vec<Vec<f64>> = front(&exact).into_iter().map(|i| exact[i].clone()).collect();
        let points: Vec<Vec<f64>> = found.into_iter().map(|p| p.wanted).collect();
        let distance = |p: &Vec<f64>| {
            exact.iter().map(|e| (e[0] - p[0]).hypot(e[1] - p[1])).fold(f64::INFINITY, f64::min)
        };
        let mean = points.iter().map(distance).sum::<f64>() / points.len() as f64;
        let share = volume(&points) / volume(&exact);
        assert!(mean < 0.01, "ZDT{number}: {mean} from the front");
        assert!(share > 0.98, "ZDT{number}: {share} of its volume");
    }
}

/// A space of 4096 points, all of them tried by hand: with 600 runs nearly all of the front is found.
#[test]
fn a_small_space_gives_what_trying_everything_gives() {
    let at = |genes: &[f64]| -> Vec<f64> { genes.iter().map(|g| (g * 8.0).floor().min(7.0)).collect() };
    let f = |genes: &[f64]| {
        let v = at(genes);
        let cost = v[0] * 3.0 + v[1] * v[1] + v[2] + v[3] * 0.5;
        let gain = v[0].sqrt() * 4.0 + v[1] * 2.0 + (v[2] * v[3]).sqrt() * 3.0;
        vec![cost, -gain]
    };
    let all: Vec<Vec<f64>> = (0..4096)
        .map(|i| f(&[i / 512, i / 64 % 8, i / 8 % 8, i % 8].map(|n| (f64::from(n) + 0.5) / 8.0)))
        .collect();
    let exact: Vec<&Vec<f64>> = front(&all).into_iter().map(|i| &all[i]).collect();
    let found = run(&f, 4, 40, 15, 3);
    let points: Vec<Vec<f64>> = found.into_iter().map(|p| p.wanted).collect();
    let scale = |p: &Vec<f64>| vec![p[0] / 77.5, 1.0 + p[1] / 45.6];
    let share = volume(&points.iter().map(scale).collect::<Vec<_>>())
        / volume(&exact.iter().map(|p| scale(p)).collect::<Vec<_>>());
    assert!(share > 0.97, "{share} of the volume of {} points", exact.len());
}

#[test]
fn constraints_come_first_and_edges_stay() {
    let of = |x: f64, y: f64, violation: f64| Individual { genes: vec![], wanted: vec![x, y], violation };
    let all = vec![
        of(0.0, 0.0, 2.0),
        of(0.0, 0.0, 1.0),
        of(5.0, 5.0, 0.0),
        of(1.0, 4.0, 0.0),
        of(4.0, 1.0, 0.0),
        of(2.0, 2.0, 0.0),
        of(2.1, 1.9, 0.0),
    ];
    let order = order(&all);
    // Edges of the front, what lies between, what is dominated, and what misses least before what misses more.
    assert_eq!((&order[..2], &order[4..]), (&[3, 4][..], &[2, 1, 0][..]));
}

#[test]
fn the_seed_is_the_run() {
    let f = |x: &[f64]| zdt(1, x);
    assert_eq!(run(&f, 5, 12, 5, 1), run(&f, 5, 12, 5, 1));
    assert_ne!(run(&f, 5, 12, 5, 1), run(&f, 5, 12, 5, 2));
    let genes = |p: Individual| p.genes.into_iter().all(|g| (0.0..=1.0).contains(&g));
    assert!(run(&f, 5, 12, 40, 1).into_iter().all(genes));
}
