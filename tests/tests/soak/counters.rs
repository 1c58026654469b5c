//! Three ways to count the same.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use cachet::CacheEventHandler;
use cachet::telemetry::{CacheOperation, Histogram, OperationOutcome, Stats, TierOperation, TierOutcome};
use cachet::telemetry::{CacheOperationEvent, CacheTierEvent};

/// Written by hand: how often each event was reported.
#[derive(Default)]
pub(crate) struct HandWritten(Mutex<BTreeMap<String, u64>>);

impl HandWritten {
    fn count(&self, what: String) {
        *self.0.lock().unwrap().entry(what).or_default() += 1;
    }
}

impl CacheEventHandler for HandWritten {
    fn on_tier_event(&self, event: &CacheTierEvent<'_>) {
        self.count(format!("{} {}: {}", event.tier(), event.operation(), event.outcome()));
    }

    fn on_operation_event(&self, event: &CacheOperationEvent<'_>) {
        if event.coalesced() {
            self.count("coalesced".to_owned());
        }
        if event.load_duration().is_some() {
            self.count("loads".to_owned());
        }
        self.count(format!("{}: {}", event.operation(), event.outcome()));
    }
}

#[derive(CacheEventHandler, Default)]
pub(crate) struct Derived {
    #[cache_event(count(operation, coalesced = true))]
    coalesced: AtomicU64,
    #[cache_event(count(operation, operation = "refresh"))]
    refreshes: AtomicU64,
    #[cache_event(count(operation, outcome = "stale"))]
    stale: AtomicU64,
    #[cache_event(count(operation, outcome = any("cancelled", "panicked")))]
    unfinished: AtomicU64,
    #[cache_event(count(tier, tier = "l1", operation = "get", outcome = "hit"))]
    first_hits: AtomicU64,
    #[cache_event(count(tier, operation = any("insert", "insert_many"), outcome = "superseded"))]
    superseded: AtomicU64,
    #[cache_event(count(tier, tier = any("l2", "l3")))]
    below: AtomicU64,
    #[cache_event(record(operation))]
    durations: Histogram,
}

/// How often each line was reported, as `Stats` has it.
fn counted(stats: &Stats) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for operation in CacheOperation::ALL {
        for outcome in OperationOutcome::ALL {
            counts.insert(format!("{operation}: {outcome}"), stats.operations(*operation, *outcome));
        }
    }
    for tier in stats.tiers() {
        for operation in TierOperation::ALL {
            for outcome in TierOutcome::ALL {
                counts.insert(format!("{} {operation}: {outcome}", tier.name()), tier.count(*operation, *outcome));
            }
        }
    }
    counts.insert("coalesced".to_owned(), stats.coalesced());
    counts.insert("loads".to_owned(), stats.loads().count());
    counts.retain(|_, count| *count > 0);
    counts
}

/// Law 5.
pub(crate) fn agree(stats: &Stats, hand_written: &HandWritten, derived: &Derived) {
    let counts = counted(stats);
    assert_eq!(counts, *hand_written.0.lock().unwrap());

    let sum = |wanted: &dyn Fn(&str) -> bool| -> u64 {
        counts.iter().filter(|(what, _)| wanted(what)).map(|(_, count)| count).sum()
    };
    let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let is_tier = |what: &str| ["l1 ", "l2 ", "l3 "].iter().any(|tier| what.starts_with(tier));
    assert_eq!(of(&derived.coalesced), stats.coalesced());
    assert_eq!(of(&derived.refreshes), stats.operations_of(CacheOperation::Refresh));
    assert_eq!(of(&derived.stale), sum(&|what| what.ends_with(": stale")));
    let unfinished = sum(&|what| !is_tier(what) && (what.ends_with(": cancelled") || what.ends_with(": panicked")));
    assert_eq!(of(&derived.unfinished), unfinished);
    assert_eq!(of(&derived.first_hits), sum(&|what| what == "l1 get: hit"));
    assert_eq!(of(&derived.superseded), sum(&|what| is_tier(what) && what.ends_with(": superseded")));
    assert_eq!(of(&derived.below), sum(&|what| what.starts_with("l2 ") || what.starts_with("l3 ")));
    assert_eq!(derived.durations.count(), sum(&|what| !is_tier(what) && what.contains(": ")));
    assert_eq!(derived.durations.count(), stats.durations().count());
}
