//! The laws of telemetry in `CONTRACT.md`, checked on what a handler has recorded.

use std::collections::{HashMap, HashSet};

use cachet::RequestId;
use cachet::telemetry::{CacheOperation, OperationOutcome, TierOperation, TierOutcome};
use cachet::telemetry::{CacheOperationEvent, CacheTierEvent};
use cachet::testing::{Recorded, RecordingHandler};

use crate::events::completions;

/// Returns the text as an error unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($text:tt)*) => {
        if !$condition {
            return Err(format!($($text)*));
        }
    };
}

mod reads;
#[cfg(test)]
mod tests;

/// Checks everything that a handler of interest [`ALL`](cachet::telemetry::EventMask::ALL) has recorded of operations that all have
/// ended.
///
/// # Panics
///
/// When one is broken.
#[track_caller]
pub fn check(recorded: &[Recorded]) {
    if let Err(broken) = verdict(recorded) {
        let lines: Vec<String> = recorded.iter().map(ToString::to_string).collect();
        panic!("{broken}\n{}", lines.join("\n"));
    }
}

/// Checks, when it is dropped, everything that its handler received.
#[derive(Debug, Default)]
pub struct Invariants(RecordingHandler);

impl Invariants {
    /// Has received nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The handler to register.
    pub fn handler(&self) -> RecordingHandler {
        self.0.clone()
    }
}

impl Drop for Invariants {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            check(&self.0.take());
        }
    }
}

/// What [`check`] panics with, if it does.
///
/// # Errors
///
/// The first law found broken.
pub fn verdict(recorded: &[Recorded]) -> Result<(), String> {
    let mut open: HashMap<RequestId, Vec<&CacheTierEvent<'static>>> = HashMap::new();
    let mut ended = HashSet::new();
    for event in recorded {
        match event {
            Recorded::Tier(event) => {
                tier_alone(event)?;
                match event.request_id() {
                    Some(id) => {
                        ensure!(!ended.contains(&id), "law 1: an event of a tier after its operation's completion");
                        open.entry(id).or_default().push(event);
                    }
                    None => ensure!(event.operation() == TierOperation::Evict, "law 2: the call of a tier has no id"),
                }
            }
            Recorded::Operation(event) => {
                ensure!(ended.insert(event.request_id()), "law 1 and 2: two completions of one id");
                operation(event, &open.remove(&event.request_id()).unwrap_or_default())?;
            }
        }
    }
    ensure!(open.is_empty(), "law 1: an operation without completion");
    followers(&completions(recorded))
}

/// Law 3: those who waited for another's work ended as that one did, unless they gave up, panicked as they looked again, or waited too long (S30), or that one gave up, or panicked, after that:
/// a value is published before it is stored (S25).
fn followers(completions: &[&CacheOperationEvent<'_>]) -> Result<(), String> {
    let by_id: HashMap<RequestId, _> = completions.iter().map(|event| (event.request_id(), event)).collect();
    for follower in completions {
        ensure!(
            follower.coalesced() == follower.leader_request_id().is_some(),
            "law 3: `coalesced` and the leader contradict each other"
        );
        let Some(leader) = follower.leader_request_id() else { continue };
        let leader = by_id.get(&leader).ok_or("law 3: the leader of a follower was never heard of")?;
        // One that gave up may have shared a lookup, whose leader went on to follow another one's load.
        let gave_up = follower.outcome() == OperationOutcome::Cancelled;
        ensure!(!leader.coalesced() || gave_up, "law 3: a leader that has followed another one");
        // An expired entry, served in place of the leader's error, is something that each looks up for itself.
        let spared = [*leader, follower].iter().any(|event| served_expired(event));
        let failed = [*leader, follower].iter().all(|event| served_expired(event) || is_failure(event));
        // Where the key had been written meanwhile, each looks again in place of serving it (S46).
        let looked_again = matches!(leader.outcome(), OperationOutcome::Hit | OperationOutcome::Stale);
        ensure!(
            [leader.outcome(), OperationOutcome::Cancelled, OperationOutcome::Panicked].contains(&follower.outcome())
                || [OperationOutcome::Cancelled, OperationOutcome::Panicked].contains(&leader.outcome())
                || follower.error().is_some_and(|error| error.error_type() == "timeout")
                || spared && failed
                || is_failure(follower) && looked_again,
            "law 3: a follower ended `{}`, its leader `{}`: {follower:#?} {leader:#?}",
            follower.outcome(),
            leader.outcome()
        );
    }
    Ok(())
}

fn is_failure(event: &CacheOperationEvent<'_>) -> bool {
    matches!(event.outcome(), OperationOutcome::Error | OperationOutcome::Panicked)
}

/// Whether all else had failed.
fn served_expired(event: &CacheOperationEvent<'_>) -> bool {
    event.outcome() == OperationOutcome::Stale && event.error().is_some()
}

fn tier_alone(event: &CacheTierEvent<'_>) -> Result<(), String> {
    use TierOutcome as O;
    let possible: &[O] = match event.operation() {
        // A tier that owes the key is skipped (S44), as is one whose breaker is open.
        TierOperation::Get | TierOperation::Contains => {
            &[O::Hit, O::Miss, O::Expired, O::Skipped, O::Error, O::Panicked, O::Cancelled]
        }
        TierOperation::GetMany => &[O::Hit, O::Miss, O::Skipped, O::Error, O::Panicked, O::Cancelled],
        TierOperation::Insert | TierOperation::InsertMany => {
            &[O::Inserted, O::Rejected, O::Superseded, O::Skipped, O::Error, O::Panicked, O::Cancelled]
        }
        TierOperation::Invalidate | TierOperation::InvalidateMany => {
            &[O::Invalidated, O::Skipped, O::Error, O::Panicked, O::Cancelled]
        }
        TierOperation::Clear => &[O::Cleared, O::Skipped, O::Error, O::Panicked, O::Cancelled],
        TierOperation::Len => &[O::Counted, O::Skipped, O::Error, O::Panicked, O::Cancelled],
        TierOperation::Breaker => &[O::Opened, O::Closed],
        _ => &[O::Evicted, O::Expired],
    };
    ensure!(possible.contains(&event.outcome()), "`{}` never ends `{}`", event.operation(), event.outcome());
    let failed = matches!(event.outcome(), O::Error | O::Panicked);
    // The removal of an expired entry may fail; the lookup has not.
    ensure!(
        failed == event.error().is_some() || [O::Expired, O::Miss, O::Skipped, O::Opened].contains(&event.outcome()),
        "{} of {} and its error contradict each other",
        event.outcome(),
        event.tier()
    );
    Ok(())
}

fn operation(event: &CacheOperationEvent<'_>, tiers: &[&CacheTierEvent<'_>]) -> Result<(), String> {
    possible(event)?;
    let is_call =
        |tier: &&&CacheTierEvent<'_>| !matches!(tier.operation(), TierOperation::Evict | TierOperation::Breaker);
    let calls: Vec<_> = tiers.iter().filter(is_call).collect();

    // Law 1 and 2, seen from the completion: its trail is what was sent.
    let sent: Vec<String> = calls.iter().map(|call| format!("{call:?}")).collect();
    let trail: Vec<String> = event.tiers().iter().map(|call| format!("{call:?}")).collect();
    ensure!(sent == trail, "law 1: the trail {trail:#?} differs from what was sent {sent:#?}");

    for call in &calls {
        ensure!(call.cache() == event.cache(), "a tier of cache `{}` in `{}`", call.cache(), event.cache());
        ensure!(call.key() == event.key(), "the key of a call is not its operation's");
        ensure!(call.duration() <= event.duration(), "a call took longer than its operation");
    }
    ensure!(event.parent_request_id() != Some(event.request_id()), "an operation is its own parent");
    ensure!(
        event.fallback() == calls.iter().any(|call| call.fallback()),
        "`fallback` of the operation is not that of its calls"
    );
    // A panic is an error where it was caught, and none where it unwinds.
    ensure!(
        (event.outcome() == OperationOutcome::Error) == event.error().is_some_and(|error| !error.is_panic())
            || event.outcome() == OperationOutcome::Stale,
        "the outcome {} and the error contradict each other",
        event.outcome()
    );
    if event.coalesced() {
        reads::follower(event, &calls)?;
    } else if event.operation() == CacheOperation::Refresh {
        reads::refresh(event, &calls)?;
    } else if event.operation() == CacheOperation::GetMany {
        reads::several(event, &calls)?;
    } else if event.operation().is_read() {
        reads::one(event, &calls)?;
    }
    Ok(())
}

/// Law 3. A panic is an end of a read too, since a tier may panic.
fn possible(event: &CacheOperationEvent<'_>) -> Result<(), String> {
    use CacheOperation as C;
    use OperationOutcome as O;
    let own: &[O] = match event.operation() {
        C::Get | C::Contains | C::GetMany => &[O::Hit, O::Stale, O::Miss],
        C::Insert | C::InsertMany => &[O::Inserted, O::Rejected],
        C::Invalidate | C::InvalidateMany | C::Repay => &[O::Invalidated],
        C::Clear => &[O::Cleared],
        C::Len => &[O::Counted],
        C::GetOrInsert | C::TryGetOrInsert => &[O::Hit, O::Stale, O::Computed],
        C::OptionallyGetOrInsert => &[O::Hit, O::Stale, O::Computed, O::None],
        _ => &[O::Refreshed, O::Rejected, O::Miss, O::Suppressed, O::Superseded],
    };
    let always = [O::Error, O::Panicked, O::Cancelled];
    ensure!(
        own.contains(&event.outcome()) || always.contains(&event.outcome()),
        "law 3: `{}` never ends `{}`",
        event.operation(),
        event.outcome()
    );
    Ok(())
}

/// Whether a lookup had no answer: the tier failed, or its breaker was open.
fn has_failed(call: &CacheTierEvent<'_>) -> bool {
    call.outcome() == TierOutcome::Error || call.outcome() == TierOutcome::Skipped && call.error().is_some()
}
