//! How much each metric depends on each parameter.
//!
//! Rows are put together by the parameter's value; what the means of these groups vary by, as a share of what all rows vary by, is
//! the parameter's share (the correlation ratio; of a full grid the first-order Sobol index). Shares of a full grid sum to 1 at most;
//! what is missing is interaction.

use std::collections::BTreeMap;

use crate::table::{Collected, Table};
use crate::value::Value;

/// What a metric owes to a parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct Effect {
    /// The metric's column.
    pub metric: String,
    /// The parameter's column.
    pub parameter: String,
    /// Values of the parameter, or intervals of them.
    pub groups: usize,
    /// Share of the metric's variance, 0 to 1.
    pub share: f64,
    /// Spearman's rank correlation, if the parameter is a number.
    pub correlation: Option<f64>,
    /// The value with the least mean of the metric, and that mean.
    pub least: (String, f64),
    /// The value with the largest mean of the metric, and that mean.
    pub most: (String, f64),
}

/// Values of a parameter that are groups of their own; of more, intervals of equally many rows.
const GROUPS: usize = 24;

/// Of every metric and parameter that has more than one value, rows that were run.
pub fn effects(collected: &Collected) -> Vec<Effect> {
    let table = &collected.table;
    let mut found = Vec::new();
    for (metric, at) in &collected.metrics {
        for &parameter in &collected.parameters {
            let rows: Vec<(&Value, f64)> =
                table.rows.iter().filter_map(|row| Some((&row[parameter], row[*at].number()?))).collect();
            if let Some(effect) = effect(&rows) {
                found.push(Effect {
                    metric: metric.name.clone(),
                    parameter: table.columns[parameter].clone(),
                    ..effect
                });
            }
        }
    }
    found
}

fn effect(rows: &[(&Value, f64)]) -> Option<Effect> {
    let mut distinct: BTreeMap<String, usize> = BTreeMap::new();
    rows.iter().for_each(|(value, _)| *distinct.entry(value.to_string()).or_default() += 1);
    if distinct.len() < 2 {
        return None;
    }
    let numbers: Option<Vec<f64>> = rows.iter().map(|(value, _)| value.number()).collect();
    let groups: BTreeMap<String, Vec<f64>> = match &numbers {
        Some(numbers) if distinct.len() > GROUPS => intervals(numbers, rows),
        _ => rows.iter().fold(BTreeMap::new(), |mut groups, (value, y)| {
            groups.entry(value.to_string()).or_insert_with(Vec::new).push(*y);
            groups
        }),
    };
    let mean = |ys: &[f64]| ys.iter().sum::<f64>() / ys.len() as f64;
    let ys: Vec<f64> = rows.iter().map(|(_, y)| *y).collect();
    let all = mean(&ys);
    let total: f64 = ys.iter().map(|y| (y - all).powi(2)).sum();
    let between: f64 = groups.values().map(|g| g.len() as f64 * (mean(g) - all).powi(2)).sum();
    let means = || groups.iter().map(|(name, g)| (name.clone(), mean(g)));
    let least = means().min_by(|a, b| a.1.total_cmp(&b.1))?;
    let most = means().max_by(|a, b| a.1.total_cmp(&b.1))?;
    Some(Effect {
        metric: String::new(),
        parameter: String::new(),
        groups: groups.len(),
        share: if total > 0.0 { (between / total).min(1.0) } else { 0.0 },
        correlation: numbers.and_then(|xs| correlation(&ranks(&xs), &ranks(&ys))),
        least,
        most,
    })
}

fn intervals(numbers: &[f64], rows: &[(&Value, f64)]) -> BTreeMap<String, Vec<f64>> {
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by(|&a, &b| numbers[a].total_cmp(&numbers[b]));
    let mut groups = BTreeMap::new();
    for chunk in order.chunks(rows.len().div_ceil(10)) {
        let (first, last) = (numbers[chunk[0]], numbers[chunk[chunk.len() - 1]]);
        let ys: &mut Vec<f64> = groups.entry(format!("{first} to {last}")).or_default();
        ys.extend(chunk.iter().map(|&i| rows[i].1));
    }
    groups
}

/// Ranks, those of equal numbers their mean.
fn ranks(numbers: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..numbers.len()).collect();
    order.sort_by(|&a, &b| numbers[a].total_cmp(&numbers[b]));
    let mut ranks = vec![0.0; numbers.len()];
    let mut begin = 0;
    while begin < order.len() {
        let same = order[begin..].iter().take_while(|&&i| numbers[i] == numbers[order[begin]]).count();
        let rank = begin as f64 + (same as f64 - 1.0) / 2.0;
        order[begin..begin + same].iter().for_each(|&i| ranks[i] = rank);
        begin += same;
    }
    ranks
}

fn correlation(xs: &[f64], ys: &[f64]) -> Option<f64> {
    let n = xs.len() as f64;
    let (x, y) = (xs.iter().sum::<f64>() / n, ys.iter().sum::<f64>() / n);
    let sum = |f: &dyn Fn(f64, f64) -> f64| xs.iter().zip(ys).map(|(&a, &b)| f(a - x, b - y)).sum::<f64>();
    let (xy, xx, yy) = (sum(&|a, b| a * b), sum(&|a, _| a * a), sum(&|_, b| b * b));
    (xx > 0.0 && yy > 0.0).then(|| xy / (xx * yy).sqrt())
}

/// Effects as a table.
pub fn table(effects: &[Effect]) -> Table {
    let columns = [
        "metric",
        "parameter",
        "groups",
        "share_of_variance",
        "rank_correlation",
        "least_at",
        "least_mean",
        "most_at",
        "most_mean",
    ];
    let row = |e: &Effect| {
        vec![
            Value::text(e.metric.as_str()),
            Value::text(e.parameter.as_str()),
            Value::Int(e.groups as i64),
            Value::Float(e.share),
            e.correlation.map_or(Value::Null, Value::Float),
            Value::text(e.least.0.as_str()),
            Value::Float(e.least.1),
            Value::text(e.most.0.as_str()),
            Value::Float(e.most.1),
        ]
    };
    Table { columns: columns.map(str::to_owned).into(), rows: effects.iter().map(row).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(rows: &[(f64, f64)]) -> Effect {
        let values: Vec<(Value, f64)> = rows.iter().map(|&(x, y)| (Value::Float(x), y)).collect();
        effect(&values.iter().map(|(x, y)| (x, *y)).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn shares_of_a_grid_are_those_of_its_sum() {
        // y = 3 a + b on a grid: variances 9 var(a) and var(b), both of 0, 1, 2: shares 0.9 and 0.1.
        let grid: Vec<(f64, f64)> = (0..9).map(|i| (f64::from(i / 3), f64::from(i % 3))).collect();
        let a = of(&grid.iter().map(|&(a, b)| (a, 3.0 * a + b)).collect::<Vec<_>>());
        let b = of(&grid.iter().map(|&(a, b)| (b, 3.0 * a + b)).collect::<Vec<_>>());
        assert!((a.share - 0.9).abs() < 1e-12 && (b.share - 0.1).abs() < 1e-12);
        assert_eq!((a.least, a.most), (("0.0".into(), 1.0), ("2.0".into(), 7.0)));
    }

    #[test]
    fn many_values_are_put_together_and_correlation_has_a_sign() {
        let falling: Vec<(f64, f64)> =
            (0..1000).map(|i| (f64::from(i), 1.0 / (1.0 + f64::from(i)))).collect();
        let effect = of(&falling);
        assert_eq!((effect.groups, effect.correlation.unwrap().round()), (10, -1.0));
        let constant = of(&[(0.0, 5.0), (1.0, 5.0)]);
        assert_eq!((constant.share, constant.correlation), (0.0, None));
    }
}
