//! What was measured, and how it is shown: as a table, as JSON, as a picture.

use crate::machine::Machine;
use crate::scenarios::Id;

pub mod json;
pub mod svg;
pub mod table;

#[cfg(test)]
mod fixture;

/// Everything about one run.
#[derive(Debug)]
pub struct Report {
    /// Where it ran.
    pub machine: Machine,
    /// The libraries and their versions.
    pub versions: Vec<(&'static str, String)>,
    /// Rounds of every scenario.
    pub rounds: usize,
    /// What a loop of fixed work took, in nanoseconds.
    pub noise: Spread,
    /// The figures.
    pub rows: Vec<Row>,
}

/// One scenario.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its name.
    pub id: Id,
    /// Its figures, or why the library has none.
    pub figures: Result<Figures, &'static str>,
}

/// The figures of one scenario.
#[derive(Clone, Debug)]
pub struct Figures {
    /// Nanoseconds per operation.
    pub nanos: Spread,
    /// What it is compared with.
    pub reference: Option<Id>,
    /// Times the reference, round by round.
    pub ratio: Option<Spread>,
    /// Nanoseconds more than the reference, round by round.
    pub difference: Option<Spread>,
    /// Heap allocations per operation.
    pub allocations: f64,
    /// The size of the operation's future in bytes, before it is polled; `None` for a call.
    pub future: Option<usize>,
    /// How often a missing value was computed, per operation.
    pub loads: Option<f64>,
}

/// Median, 10th and 90th percentile.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The value in the middle.
    pub median: f64,
    /// A tenth of all values is below.
    pub p10: f64,
    /// A tenth of all values is above.
    pub p90: f64,
}

impl Spread {
    /// The spread of some values.
    pub fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |tenths: usize| values.get((values.len().saturating_sub(1)) * tenths / 10).copied();
        let at = |tenths| at(tenths).unwrap_or(f64::NAN);
        Self { median: at(5), p10: at(1), p90: at(9) }
    }

    /// How many times the low values the high ones are.
    pub fn width(self) -> f64 {
        self.p90 / self.p10
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_taken_of_sorted_values() {
        let spread = Spread::of((0..=100).rev().map(f64::from).collect());
        assert_eq!(spread, Spread { median: 50.0, p10: 10.0, p90: 90.0 });
        assert!((spread.width() - 9.0).abs() < 1e-9);
    }
}
