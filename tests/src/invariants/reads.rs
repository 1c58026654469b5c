//! What the calls of a read or of a refresh must be, given its completion.

use cachet::telemetry::{CacheOperation, OperationOutcome, TierOperation, TierOutcome};
use cachet::telemetry::{CacheOperationEvent, CacheTierEvent};

use super::{has_failed, served_expired};

/// A follower has looked for the entry, perhaps not in all tiers (S59), and then done nothing of its own. What it gave up may
/// have been work of its own after all.
pub(super) fn follower(event: &CacheOperationEvent<'_>, calls: &[&&CacheTierEvent<'_>]) -> Result<(), String> {
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
pub(super) fn refresh(event: &CacheOperationEvent<'_>, calls: &[&&CacheTierEvent<'_>]) -> Result<(), String> {
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

/// Every tier is asked at most once, for what the ones before did not have; and what was found was counted.
pub(super) fn several(event: &CacheOperationEvent<'_>, calls: &[&&CacheTierEvent<'_>]) -> Result<(), String> {
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
pub(super) fn one(event: &CacheOperationEvent<'_>, calls: &[&&CacheTierEvent<'_>]) -> Result<(), String> {
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
