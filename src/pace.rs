//! How a program got on, to tell early whether another one for the same work does better.

/// Core cycles over bursts, at moments of one program.
#[derive(Clone, Debug, Default)]
pub struct Pace {
    /// Bursts of the whole.
    bursts: u64,
    /// Core cycles and bursts, both growing.
    moments: Vec<(u64, u64)>,
}

/// Shares of the whole between two moments that are kept.
const MOMENTS: u64 = 256;
/// Shares of the whole up to which a program is given time to show what it can.
const BEGINNING: u64 = 32;

impl Pace {
    /// Of a program with so many bursts.
    pub fn new(bursts: u64) -> Self {
        Self { bursts: bursts.max(1), moments: vec![(0, 0)] }
    }
    /// After so many core cycles there have been so many bursts.
    pub fn note(&mut self, cycles: u64, bursts: u64) {
        let &(_, last) = self.moments.last().unwrap_or(&(0, 0));
        if bursts.saturating_sub(last) * MOMENTS >= self.bursts {
            self.moments.push((cycles, bursts));
        }
    }
    /// The program ended.
    pub fn end(&mut self, cycles: u64) {
        self.moments.push((cycles, self.bursts.max(self.moments.last().map_or(0, |m| m.1))));
    }
    /// Core cycles that a program will take which has done so many of `of` bursts in `cycles`, if it goes on as this one did;
    /// `None` at its beginning.
    pub fn predict(&self, cycles: u64, bursts: u64, of: u64) -> Option<f64> {
        let share = bursts as f64 / of.max(1) as f64;
        let here = share * self.bursts as f64;
        let next = self.moments.iter().position(|&(_, b)| b as f64 > here).filter(|&i| i > 0)?;
        let ((from, low), (to, high)) = (self.moments[next - 1], self.moments[next]);
        let mine = from as f64 + (to - from) as f64 * (here - low as f64) / (high - low) as f64;
        let total = self.moments.last()?.0 as f64;
        (bursts * BEGINNING >= of).then(|| total * cycles as f64 / mine)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fast, then slow: 10 cycles for the first half of 1000 bursts, 90 for the second.
    fn pace() -> Pace {
        let mut pace = Pace::new(1000);
        for i in 1..=4 {
            pace.note(if i <= 2 { 5 * i } else { 10 + 45 * (i - 2) }, 250 * i);
        }
        pace.end(101);
        pace
    }

    #[test]
    fn who_is_as_fast_takes_as_long() {
        for (cycles, bursts) in [(5, 250), (10, 500), (55, 750)] {
            assert_eq!(pace().predict(cycles, bursts, 1000), Some(101.0), "{bursts}");
        }
    }

    #[test]
    fn work_of_another_size_is_compared_by_its_share() {
        assert_eq!(pace().predict(20, 500, 2000), Some(404.0));
    }

    #[test]
    fn of_a_beginning_nothing_is_said() {
        assert_eq!(pace().predict(1, 31, 1000), None);
    }

    #[test]
    fn between_two_moments_it_went_evenly() {
        assert_eq!(pace().predict(3, 150, 1000), Some(101.0));
    }
}
