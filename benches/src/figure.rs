//! The figures of a scenario, and its name.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

/// A part of a name. Names are read from a file once, and then used until the program ends. (An alias, since `serde` borrows
/// a field of type `&str` from its input.)
type Text = &'static str;

/// The name of a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Id {
    /// The operation.
    #[serde(deserialize_with = "leak")]
    pub operation: Text,
    /// The form of the keys; `-` if there are none.
    #[serde(deserialize_with = "leak")]
    pub keys: Text,
    /// The library.
    #[serde(deserialize_with = "leak")]
    pub library: Text,
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} / {} / {}", self.operation, self.keys, self.library)
    }
}

fn leak<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Text, D::Error> {
    String::deserialize(deserializer).map(|text| &*text.leak())
}

/// One scenario.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    /// Its name.
    pub id: Id,
    /// Its figures, or the reason why the library has none.
    pub figures: Result<Figures, String>,
}

/// The figures of one scenario.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Figures {
    /// Nanoseconds per operation.
    pub nanos: Quantiles,
    /// The scenario that it is compared with.
    pub reference: Option<Id>,
    /// Times the reference, computed round by round.
    pub ratio: Option<Quantiles>,
    /// Nanoseconds in addition to the reference, computed round by round.
    pub difference: Option<Quantiles>,
    /// Heap allocations per operation.
    pub allocations: f64,
    /// The size of the operation's future in bytes, before it is polled; `None` for a call.
    pub future: Option<usize>,
    /// Computations of missing values per operation.
    pub loads: Option<f64>,
}

/// Median, 10th and 90th percentile.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quantiles {
    /// The median.
    pub median: f64,
    /// The 10th percentile.
    pub p10: f64,
    /// The 90th percentile.
    pub p90: f64,
}

impl Quantiles {
    /// Computes the quantiles of some values, with four decimals. Infinite ones, ratios to nothing, do not count.
    pub fn of(mut values: Vec<f64>) -> Self {
        values.retain(|value| value.is_finite());
        values.sort_by(f64::total_cmp);
        let at = |tenths: usize| values.get(values.len().saturating_sub(1) * tenths / 10).copied().unwrap_or_default();
        let at = |tenths| (at(tenths) * 1e4).round() / 1e4;
        Self { median: at(5), p10: at(1), p90: at(9) }
    }

    /// Returns the ratio of the 90th to the 10th percentile.
    pub fn width(self) -> f64 {
        self.p90 / self.p10
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_the_sorted_finite_values() {
        let values = (0..=100).rev().map(f64::from).chain([f64::INFINITY, f64::NAN]);
        let quantiles = Quantiles::of(values.collect());
        assert_eq!(quantiles, Quantiles { median: 50.0, p10: 10.0, p90: 90.0 });
        assert!((quantiles.width() - 9.0).abs() < 1e-9);
    }
}
