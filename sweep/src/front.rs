//! What nothing else is better than in everything.

/// Whether `a` is as good as `b` in everything and better in something; the less the better.
pub fn dominates(a: &[f64], b: &[f64]) -> bool {
    a.iter().zip(b).all(|(x, y)| x <= y) && a.iter().zip(b).any(|(x, y)| x < y)
}

/// The points that none dominates, in order; the less the better in every dimension.
pub fn front<P: AsRef<[f64]>>(points: &[P]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..points.len()).collect();
    let compare = |a: &[f64], b: &[f64]| {
        let mut pairs = a.iter().zip(b).map(|(x, y)| x.total_cmp(y));
        pairs.find(|c| c.is_ne()).unwrap_or(std::cmp::Ordering::Equal)
    };
    order.sort_by(|&a, &b| compare(points[a].as_ref(), points[b].as_ref()));
    // What comes later in this order dominates nothing that came before.
    let mut found: Vec<usize> = Vec::new();
    for i in order {
        // A recent one is the likeliest to dominate.
        if !found.iter().rev().any(|&f| dominates(points[f].as_ref(), points[i].as_ref())) {
            found.push(i);
        }
    }
    found.sort_unstable();
    found
}

/// Every point's rank: 0 is the front, 1 what is the front without it, and so on.
pub fn ranks<P: AsRef<[f64]>>(points: &[P]) -> Vec<usize> {
    let mut ranks = vec![0; points.len()];
    let mut rest: Vec<usize> = (0..points.len()).collect();
    let mut rank = 0;
    while !rest.is_empty() {
        let those: Vec<&[f64]> = rest.iter().map(|&i| points[i].as_ref()).collect();
        let on = front(&those);
        on.iter().for_each(|&n| ranks[rest[n]] = rank);
        let mut on = on.into_iter().peekable();
        let mut n = 0;
        rest.retain(|_| {
            let keep = on.next_if_eq(&n).is_none();
            n += 1;
            keep
        });
        rank += 1;
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn equal_points_share_the_front() {
        let points = [[1.0, 2.0], [2.0, 1.0], [1.0, 2.0], [2.0, 2.0], [3.0, 3.0]];
        assert_eq!(front(&points), [0, 1, 2]);
        assert_eq!(ranks(&points), [0, 0, 0, 1, 2]);
        assert_eq!(front::<[f64; 2]>(&[]), Vec::<usize>::new());
    }

    proptest! {
        #[test]
        fn the_front_is_what_no_pair_says_otherwise(points in prop::collection::vec(prop::collection::vec(0u8..6, 3), 0..60)) {
            let points: Vec<Vec<f64>> = points.into_iter().map(|p| p.into_iter().map(f64::from).collect()).collect();
            let by_pairs: Vec<usize> = (0..points.len())
                .filter(|&i| !points.iter().any(|p| dominates(p, &points[i])))
                .collect();
            prop_assert_eq!(front(&points), by_pairs);
            let ranks = ranks(&points);
            for (i, p) in points.iter().enumerate() {
                // Of the rank before, something dominates it; of its own, nothing.
                let best = (0..points.len()).filter(|&j| dominates(&points[j], p)).map(|j| ranks[j]).max();
                prop_assert_eq!(ranks[i], best.map_or(0, |r| r + 1));
            }
        }
    }
}
