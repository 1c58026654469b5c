//! Picking events out of what a handler has recorded.

use std::collections::HashMap;

use cachet::RequestId;
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

/// One line per event, as it is displayed, with `(coalesced)` behind an operation that shared another one's work.
pub fn lines(recorded: &[Recorded]) -> Vec<String> {
    recorded.iter().map(line).collect()
}

fn line(event: &Recorded) -> String {
    let coalesced = matches!(event, Recorded::Operation(event) if event.coalesced());
    format!("{event}{}", if coalesced { " (coalesced)" } else { "" })
}

/// The lines of each operation, in the order of their completion.
///
/// # Panics
///
/// When an event belongs to no operation.
#[track_caller]
pub fn by_operation(recorded: &[Recorded]) -> Vec<Vec<String>> {
    let mut lines: HashMap<RequestId, Vec<String>> = HashMap::new();
    let mut ended = Vec::new();
    for event in recorded {
        let id = match event {
            Recorded::Tier(event) => event.request_id().expect("an event within an operation"),
            Recorded::Operation(event) => event.request_id(),
        };
        lines.entry(id).or_default().push(line(event));
        if matches!(event, Recorded::Operation(_)) {
            ended.extend(lines.remove(&id));
        }
    }
    ended
}
