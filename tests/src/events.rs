//! Picking events out of what a handler has recorded.

use cachet::telemetry::{CacheOperationEvent, CacheTierEvent};
use cachet::testing::Recorded;

/// The events of tiers among what was recorded.
pub fn tiers(recorded: &[Recorded]) -> Vec<&CacheTierEvent<'static>> {
    recorded
        .iter()
        .filter_map(|event| match event {
            Recorded::Tier(event) => Some(event),
            Recorded::Operation(_) => None,
        })
        .collect()
}

/// The completions among what was recorded.
pub fn completions(recorded: &[Recorded]) -> Vec<&CacheOperationEvent<'static>> {
    recorded
        .iter()
        .filter_map(|event| match event {
            Recorded::Operation(event) => Some(event),
            Recorded::Tier(_) => None,
        })
        .collect()
}

/// The only completion.
///
/// # Panics
///
/// When there is none, or more than one.
#[track_caller]
pub fn completion(recorded: &[Recorded]) -> &CacheOperationEvent<'static> {
    match completions(recorded)[..] {
        [completion] => completion,
        ref other => panic!("expected one completion, found {}", other.len()),
    }
}
