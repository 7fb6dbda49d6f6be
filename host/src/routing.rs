//! Which experts tokens take: workload input, as token ids are.
//!
//! The experts' matrices are chosen by the router's numbers, and timing never reads numbers. So each step's doorbell says which
//! experts every layer runs, and the program finds their matrices by that ([`crate::lower`]): with values, as the router will
//! choose; without, by a seed. Equal lists take equal cycles, values or not.
//!
//! A step of several rows runs as many experts as they could choose between them, each for all its rows; a row's weight of an expert
//! that it did not choose is 0. Where rows agree, the list is filled up with the first experts that nobody chose.

use crate::model::Experts;
use crate::weights::Stream;

/// The experts of one token, of each layer: `used` different ones.
pub type Chosen = Vec<Vec<u32>>;

/// Says which experts a token takes: sequence, position, token.
pub type Router<'r> = dyn FnMut(u32, u64, u32) -> Chosen + 'r;

/// Seed of choices without values.
pub const SEED: u64 = 240_104_088;

/// `used` of `count` experts for each layer, all equally likely; the same for the same sequence and position.
pub fn seeded(experts: Experts, layers: u32, sequence: u32, position: u64) -> Chosen {
    let choose = |layer| {
        let stream = Stream::new(SEED ^ u64::from(sequence), "experts", Some(layer));
        let mut left: Vec<u32> = (0..experts.count).collect();
        let draw = |i: u32| {
            let number = stream.at(position * u64::from(experts.count) + u64::from(i));
            left.remove((number % left.len() as u64) as usize)
        };
        (0..experts.used).map(draw).collect()
    };
    (0..layers).map(choose).collect()
}

impl Experts {
    /// Experts that a step of so many rows runs in each layer.
    pub fn of_rows(&self, rows: u32) -> u32 {
        rows.saturating_mul(self.used).min(self.count)
    }
    /// What a doorbell says for rows: of each layer, the experts it runs, in ascending order.
    pub fn lists(&self, layers: u32, rows: &[Chosen]) -> Vec<u32> {
        let most = self.of_rows(rows.len() as u32) as usize;
        let list = |layer: usize| {
            let mut list: Vec<u32> = rows.iter().flat_map(|row| row[layer].iter().copied()).collect();
            list.sort_unstable();
            list.dedup();
            let others: Vec<u32> = (0..self.count).filter(|expert| !list.contains(expert)).collect();
            list.extend(others.into_iter().take(most.saturating_sub(list.len())));
            list.sort_unstable();
            list
        };
        (0..layers as usize).flat_map(list).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EIGHT: Experts = Experts { count: 8, used: 2 };

    #[test]
    fn choices_are_even_and_distinct() {
        let mut counts = [0; 8];
        for position in 0..1000 {
            for list in seeded(EIGHT, 4, 1, position) {
                assert!(list.len() == 2 && list[0] != list[1]);
                list.iter().for_each(|&expert| counts[expert as usize] += 1);
            }
        }
        assert!(counts.iter().all(|&count| (900..1100).contains(&count)), "{counts:?}");
        assert_eq!(seeded(EIGHT, 4, 1, 7), seeded(EIGHT, 4, 1, 7));
        assert_ne!(seeded(EIGHT, 4, 1, 7), seeded(EIGHT, 4, 2, 7));
    }

    #[test]
    fn lists_are_as_long_as_rows_could_choose() {
        let rows = [vec![vec![5, 1]], vec![vec![1, 7]], vec![vec![5, 7]]];
        assert_eq!(EIGHT.lists(1, &rows[..1]), [1, 5]);
        assert_eq!(EIGHT.lists(1, &rows[..2]), [0, 1, 5, 7]);
        assert_eq!(EIGHT.lists(1, &rows), [0, 1, 2, 3, 5, 7]);
        assert_eq!(EIGHT.lists(1, &vec![rows[0].clone(); 9]), [0, 1, 2, 3, 4, 5, 6, 7]);
    }
}
