//! The operations, and which outcomes each of them reports.

use super::model::Scope;

/// One operation, by the string that telemetry reports.
pub(super) struct Operation {
    pub(super) name: &'static str,
    pub(super) outcomes: &'static [&'static str],
}

const STORE: &[&str] = &["inserted", "rejected", "superseded", "skipped", "error", "panicked", "cancelled"];

const TIER: [Operation; 11] = [
    Operation { name: "get", outcomes: &["hit", "miss", "expired", "skipped", "error", "panicked", "cancelled"] },
    Operation { name: "contains", outcomes: &["hit", "miss", "expired", "skipped", "error", "panicked", "cancelled"] },
    Operation { name: "insert", outcomes: STORE },
    Operation { name: "invalidate", outcomes: &["invalidated", "skipped", "error", "panicked", "cancelled"] },
    Operation { name: "clear", outcomes: &["cleared", "skipped", "error", "panicked", "cancelled"] },
    Operation { name: "len", outcomes: &["counted", "skipped", "error", "panicked", "cancelled"] },
    Operation { name: "get_many", outcomes: &["hit", "miss", "skipped", "error", "panicked", "cancelled"] },
    Operation { name: "insert_many", outcomes: STORE },
    Operation { name: "invalidate_many", outcomes: &["invalidated", "skipped", "error", "panicked", "cancelled"] },
    Operation { name: "evict", outcomes: &["evicted", "expired"] },
    Operation { name: "breaker", outcomes: &["opened", "closed"] },
];

const COMPUTE: &[&str] = &["hit", "stale", "computed", "error", "panicked", "cancelled"];

const OPERATION: [Operation; 14] = [
    Operation { name: "get", outcomes: &["hit", "stale", "miss", "error", "panicked", "cancelled"] },
    Operation { name: "contains", outcomes: &["hit", "stale", "miss", "error", "panicked", "cancelled"] },
    Operation { name: "insert", outcomes: &["inserted", "rejected", "error", "panicked", "cancelled"] },
    Operation { name: "invalidate", outcomes: &["invalidated", "error", "panicked", "cancelled"] },
    Operation { name: "clear", outcomes: &["cleared", "error", "panicked", "cancelled"] },
    Operation { name: "len", outcomes: &["counted", "error", "panicked", "cancelled"] },
    Operation { name: "get_or_insert", outcomes: COMPUTE },
    Operation { name: "try_get_or_insert", outcomes: COMPUTE },
    Operation {
        name: "optionally_get_or_insert",
        outcomes: &["hit", "stale", "computed", "none", "error", "panicked", "cancelled"],
    },
    Operation { name: "get_many", outcomes: &["hit", "stale", "miss", "error", "panicked", "cancelled"] },
    Operation { name: "insert_many", outcomes: &["inserted", "rejected", "error", "panicked", "cancelled"] },
    Operation { name: "invalidate_many", outcomes: &["invalidated", "error", "panicked", "cancelled"] },
    Operation {
        name: "refresh",
        outcomes: &["refreshed", "rejected", "miss", "error", "suppressed", "superseded", "panicked", "cancelled"],
    },
    Operation { name: "repay", outcomes: &["invalidated", "error", "panicked", "cancelled"] },
];

/// All operations of a kind of event.
pub(super) const fn operations(scope: Scope) -> &'static [Operation] {
    match scope {
        Scope::Tier => &TIER,
        Scope::Operation => &OPERATION,
    }
}

pub(super) fn operation_names(scope: Scope) -> Vec<&'static str> {
    operations(scope).iter().map(|operation| operation.name).collect()
}

/// The outcomes of one operation; none for a name that is not an operation.
pub(super) fn outcomes_of(scope: Scope, name: &str) -> &'static [&'static str] {
    operations(scope).iter().find(|operation| operation.name == name).map_or(&[], |operation| operation.outcomes)
}

/// All outcomes of a kind of event.
pub(super) fn outcome_names(scope: Scope) -> Vec<&'static str> {
    let mut names = Vec::new();
    for outcome in operations(scope).iter().flat_map(|operation| operation.outcomes) {
        if !names.contains(outcome) {
            names.push(outcome);
        }
    }
    names
}

/// The enum variant behind a reported string: `get_or_insert` is `GetOrInsert`.
pub(super) fn variant(name: &str) -> String {
    let words = name.split('_').map(|word| {
        let mut chars = word.chars();
        let first = chars.next().map(|first| first.to_ascii_uppercase());
        first.into_iter().chain(chars).collect::<String>()
    });
    words.collect()
}
