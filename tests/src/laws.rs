//! The laws of telemetry, checked on what a handler has recorded.

use std::collections::{HashMap, HashSet};

use cachet::RequestId;
use cachet::telemetry::{CacheOperation, OperationOutcome, TierOperation, TierOutcome};
use cachet::telemetry::{CacheOperationEvent, CacheTierEvent};
use cachet::testing::{Recorded, RecordingHandler};

/// Checks everything that a handler of interest [`ALL`](cachet::telemetry::EventMask::ALL) has recorded of operations that all have
/// ended.
///
/// # Panics
///
/// When a law is broken.
#[track_caller]
pub fn check(recorded: &[Recorded]) {
    if let Err(broken) = verdict(recorded) {
        let lines: Vec<String> = recorded.iter().map(ToString::to_string).collect();
        panic!("{broken}\n{}", lines.join("\n"));
    }
}

/// Checks, when it is dropped, everything that its handler received.
#[derive(Debug, Default)]
pub struct Lawful(RecordingHandler);

impl Lawful {
    /// Has received nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The handler to register.
    pub fn handler(&self) -> RecordingHandler {
        self.0.clone()
    }
}

impl Drop for Lawful {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            check(&self.0.take());
        }
    }
}

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

macro_rules! ensure {
    ($condition:expr, $($text:tt)*) => {
        if !$condition {
            return Err(format!($($text)*));
        }
    };
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
        follower(event, &calls)?;
    } else if event.operation() == CacheOperation::Refresh {
        refresh(event, &calls)?;
    } else if event.operation() == CacheOperation::GetMany {
        read_of_several(event, &calls)?;
    } else if event.operation().is_read() {
        read(event, &calls)?;
    }
    Ok(())
}

/// A follower has looked for the entry, perhaps not in all tiers (S59), and then done nothing of its own. What it gave up may
/// have been work of its own after all.
fn follower(event: &CacheOperationEvent<'_>, calls: &[&&CacheTierEvent<'_>]) -> Result<(), String> {
    // What was found expired is removed once every source has answered that there is nothing, which the leader's answer says.
    let may_remove = event.outcome() == OperationOutcome::None;
    let is_allowed = |call: &CacheTierEvent<'_>| match call.operation() {
        TierOperation::Get => call.outcome() != TierOutcome::Hit,
        TierOperation::Invalidate => may_remove,
        _ => false,
    };
    ensure!(
        calls.iter().all(|call| is_allowed(call)),
        "law 3: a follower of {} has done more than to look and not to find: {calls:#?}",
        event.operation()
    );
    ensure!(event.load_duration().is_none(), "law 3: a follower has run its closure");
    Ok(())
}

/// A refresh asks the tiers below the one whose entry is due, and attempts to store what one has in all above that one.
fn refresh(event: &CacheOperationEvent<'_>, calls: &[&&CacheTierEvent<'_>]) -> Result<(), String> {
    use OperationOutcome as O;
    ensure!(event.parent_request_id().is_some(), "a refresh without a trigger");
    let lookups: Vec<_> = calls.iter().filter(|call| call.operation() == TierOperation::Get).collect();
    let inserts = calls.iter().filter(|call| call.operation() == TierOperation::Insert).count();
    for (index, call) in lookups.iter().enumerate() {
        ensure!(call.fallback() == (index > 0), "the order of the tiers");
        ensure!(index + 1 == lookups.len() || call.outcome() != TierOutcome::Hit, "a tier was asked after a hit");
    }
    let hit = lookups.iter().find(|call| call.outcome() == TierOutcome::Hit);
    if matches!(event.outcome(), O::Refreshed | O::Rejected | O::Superseded) {
        let hit = hit.ok_or("a refresh with something that no tier had")?;
        ensure!((event.hit_tier(), event.age()) == (Some(hit.tier()), hit.age()), "`hit_tier` or `age` of a refresh");
        ensure!(inserts >= lookups.len(), "law 4: a refresh was not stored in every tier above");
    } else {
        ensure!(event.hit_tier().is_none(), "`hit_tier` of a refresh that brought nothing");
    }
    ensure!(event.outcome() != O::Suppressed || calls.is_empty(), "a suppressed refresh has asked a tier");
    ensure!(
        event.outcome() != O::Miss || hit.is_none() && inserts == 0,
        "a refresh has found something, and misses it"
    );
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

/// Every tier is asked at most once, for what the ones before did not have; and what was found was counted.
fn read_of_several(event: &CacheOperationEvent<'_>, calls: &[&&CacheTierEvent<'_>]) -> Result<(), String> {
    let lookups: Vec<_> = calls.iter().filter(|call| call.operation() == TierOperation::GetMany).collect();
    let mut open = event.keys().ok_or("several keys, but their number is missing")?;
    for (index, call) in lookups.iter().enumerate() {
        ensure!(call.fallback() == (index > 0), "the order of the tiers");
        // Keys that the tier owes are not asked for there (S44).
        ensure!(call.keys().is_some() == (call.outcome() != TierOutcome::Skipped), "the number of keys of a call");
        let keys = call.keys().unwrap_or(0);
        ensure!(keys <= open, "{:?} keys were asked for, and {open} were open", call.keys());
        let hits = call.hits().unwrap_or(0);
        let all_hit = call.outcome() == TierOutcome::Hit;
        ensure!(all_hit == (call.hits() == Some(keys)), "{hits} hits of {keys}, yet {}", call.outcome());
        open = open.saturating_sub(hits);
    }
    if let Some(hits) = event.hits() {
        let found = event.keys().unwrap_or(0) - open;
        // Where a tier has failed, expired entries may have been served.
        let failed = lookups.iter().any(|call| has_failed(call));
        ensure!(hits == found || failed && hits > found, "{hits} hits, but the tiers had {found}");
        let all_hit = matches!(event.outcome(), OperationOutcome::Hit | OperationOutcome::Stale);
        ensure!(
            !all_hit || Some(hits) == event.keys(),
            "not all keys were hits, yet the outcome is {}",
            event.outcome()
        );
    }
    Ok(())
}

/// What the calls of a read say must be what its completion says, and law 4.
fn read(event: &CacheOperationEvent<'_>, calls: &[&&CacheTierEvent<'_>]) -> Result<(), String> {
    let lookup =
        if event.operation() == CacheOperation::Contains { TierOperation::Contains } else { TierOperation::Get };
    let lookups: Vec<_> = calls.iter().filter(|call| call.operation() == lookup).collect();
    // A compute looks once more, from the first tier on, if another one may have stored the entry meanwhile; and so does each
    // that would serve an expired entry in place of an error, if the key has been written meanwhile (S46).
    let rounds: Vec<_> = lookups.chunk_by(|_, next| next.fallback()).collect();
    let may_look_again = !matches!(event.operation(), CacheOperation::Get | CacheOperation::Contains);
    // It may have been found by the leader of a shared lookup, who asked all tiers but the first (S59).
    let is_stale = lookups.iter().any(|call| call.outcome() == TierOutcome::Expired)
        || rounds.first().is_some_and(|first| first.len() == 1);
    let most = 1 + usize::from(may_look_again) + usize::from(is_stale);
    ensure!(rounds.len() <= most, "the tiers were asked {} times over", rounds.len());
    for (index, call) in lookups.iter().enumerate() {
        ensure!(index > 0 || !call.fallback(), "the first lookup is a fallback");
        let last = index + 1 == lookups.len();
        ensure!(last || call.outcome() != TierOutcome::Hit, "another tier was asked after a hit");
    }
    let hit = lookups.iter().find(|call| call.outcome() == TierOutcome::Hit);
    if served_expired(event) {
        ensure!(hit.is_none(), "an expired entry was served, though a tier had a fresh one");
        let kept = lookups.iter().any(|call| {
            call.outcome() == TierOutcome::Expired && (Some(call.tier()), call.age()) == (event.hit_tier(), event.age())
        });
        // Or the leader of a shared lookup asked that tier (S59).
        let shared = lookups.iter().all(|call| Some(call.tier()) != event.hit_tier());
        ensure!(kept || shared, "no tier had the expired entry that was served");
    } else if matches!(event.outcome(), OperationOutcome::Hit | OperationOutcome::Stale) {
        let hit = hit.ok_or("a hit without a tier that had it")?;
        ensure!(event.hit_tier() == Some(hit.tier()), "`hit_tier` is {:?}", event.hit_tier());
        ensure!(event.age() == hit.age(), "`age` is {:?}, but {:?} in the tier", event.age(), hit.age());
    } else {
        ensure!(event.hit_tier().is_none(), "`hit_tier` of what was no hit");
        let cut_short = matches!(event.outcome(), OperationOutcome::Cancelled | OperationOutcome::Panicked);
        ensure!(hit.is_none() || cut_short, "a tier had it, yet the outcome is {}", event.outcome());
    }
    if matches!(event.outcome(), OperationOutcome::Miss) {
        let failed = lookups.iter().any(|call| has_failed(call));
        ensure!(!failed, "a tier failed, yet the outcome is a miss");
    }

    let inserts = calls.iter().filter(|call| call.operation() == TierOperation::Insert).count();
    match (hit, event.outcome(), event.operation()) {
        // A promotion is attempted into every tier before the one that answered.
        (Some(_), OperationOutcome::Hit | OperationOutcome::Stale, operation)
            if operation != CacheOperation::Contains =>
        {
            let before = rounds.last().map_or(0, |round| round.len() - 1);
            ensure!(inserts == before, "law 4: {inserts} promotions from tier {before}");
        }
        (_, _, CacheOperation::Contains) | (None, OperationOutcome::Miss | OperationOutcome::None, _) => {
            ensure!(inserts == 0, "law 4: an insert with nothing to insert");
        }
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests;
