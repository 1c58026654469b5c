//! Fixed rows that the printers are tested with.

use super::Report;
use crate::figure::{Figures, Id, Quantiles, Row};
use crate::machine::Machine;

const ENGINE: Id = Id { operation: "hit", keys: "u64", library: "quick_cache" };
const OURS: Id = Id { operation: "hit", keys: "u64", library: "cachet" };
const OTHER: Id = Id { operation: "hit", keys: "u64", library: "other \"<&>\"" };
const ABSENT: Id = Id { operation: "hit, ttl", keys: "u64", library: "quick_cache" };
const ALONE: Id = Id { operation: "hit, ttl", keys: "u64", library: "cachet" };

pub(super) fn report() -> Report {
    let around = |median: f64| Quantiles { median, p10: median * 0.9, p90: median * 1.5 };
    let figures = |nanos, reference: Option<Id>, ratio: f64| Figures {
        nanos: around(nanos),
        reference,
        ratio: reference.map(|_| around(ratio)),
        difference: reference.map(|_| around(nanos - nanos / ratio)),
        allocations: 0.0,
        future: None,
        loads: None,
    };
    let row = |id, figures| Row { id, figures: Ok(figures) };
    Report {
        machine: Machine {
            cpu: "A \"fast\" one\\".to_owned(),
            cores: 2,
            system: "linux".to_owned(),
            rustc: "rustc 1".to_owned(),
        },
        versions: [("quick_cache", "0.7.0"), ("cachet", "0.1.0")].map(|(a, b)| (a.to_owned(), b.to_owned())).to_vec(),
        rounds: 3,
        noise: Quantiles { median: 100.0, p10: 100.0, p90: 105.0 },
        rows: vec![
            row(ENGINE, figures(20.0, None, 1.0)),
            row(OURS, Figures { future: Some(24), ..figures(30.0, Some(ENGINE), 1.5) }),
            row(OTHER, Figures { allocations: 2.0, loads: Some(1.0), ..figures(600.0, Some(OURS), 20.0) }),
            Row { id: ABSENT, figures: Err("no time to live".to_owned()) },
            row(ALONE, figures(60.0, Some(OURS), 2.0)),
        ],
    }
}
