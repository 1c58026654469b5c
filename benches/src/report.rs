//! The result of a run, and how it is shown: as a table, as JSON, as a picture.

use std::io;

use serde::{Deserialize, Serialize};

use crate::figure::{Quantiles, Row};
use crate::machine::Machine;
use crate::operation::Operation;

pub mod svg;
pub mod table;

#[cfg(test)]
mod fixture;

/// The scenarios of the overview, for one form of keys.
const OVERVIEW: [Operation; 8] = [
    Operation::Hit,
    Operation::Miss,
    Operation::InsertOver,
    Operation::HitTtl,
    Operation::HitCounted,
    Operation::HitAccepted,
    Operation::GetOrInsertMissProtected,
    Operation::SecondTierHit,
];

/// The result of one run.
#[derive(Debug, Serialize, Deserialize)]
pub struct Report {
    /// The machine.
    pub machine: Machine,
    /// The libraries and their versions.
    pub versions: Vec<(String, String)>,
    /// Rounds of every scenario.
    pub rounds: usize,
    /// Nanoseconds that a loop of fixed work took.
    pub noise: Quantiles,
    /// The figures.
    pub rows: Vec<Row>,
}

impl Report {
    /// Keeps the eight scenarios of the overview.
    #[must_use]
    pub fn overview(mut self) -> Self {
        let is_in = |row: &Row| OVERVIEW.iter().any(|operation| operation.name() == row.id.operation);
        self.rows.retain(|row| row.id.keys == "u64" && is_in(row));
        self
    }

    /// Writes the report as JSON, with a line per scenario, so that two reports can be compared.
    ///
    /// # Errors
    ///
    /// Never, in practice: a report consists of texts and numbers.
    pub fn to_json(&self) -> io::Result<String> {
        Ok(serde_json::to_string(self)?.replace("{\"id\":", "\n{\"id\":") + "\n")
    }

    /// Reads a report that [`to_json`](Self::to_json) has written.
    ///
    /// # Errors
    ///
    /// Fails if the text is not such a report.
    pub fn from_json(json: &str) -> io::Result<Self> {
        Ok(serde_json::from_str(json)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figure::Id;

    #[test]
    fn json_has_a_line_per_scenario_and_is_read_back() {
        let report = fixture::report();
        let json = report.to_json().expect("numbers");
        assert_eq!(json.lines().count(), 1 + report.rows.len());
        let read = Report::from_json(&json).expect("a report");
        assert_eq!(format!("{read:?}"), format!("{report:?}"));
    }

    #[test]
    fn the_overview_has_one_form_of_keys_and_few_scenarios() {
        let mut report = fixture::report();
        let ids = |report: &Report| -> Vec<_> { report.rows.iter().map(|row| row.id).collect() };
        let all = ids(&report);
        for (operation, keys) in [("hit", "str"), ("contains", "u64")] {
            let mut row = report.rows[0].clone();
            row.id = Id { operation, keys, ..row.id };
            report.rows.push(row);
        }
        assert_eq!(ids(&report.overview()), all);
    }
}
