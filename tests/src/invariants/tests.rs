//! Every violation is noticed.

use std::time::Duration;

use cachet::testing::{Behavior, MockTier};
use cachet::{Cache, ManualClock, Tier};

use super::*;
use crate::{ManualRuntime, ready};

/// `l1 get: miss`, `l2 get: hit (fallback)`, `l1 insert: inserted`, `get: hit`, and once more `l1 get: hit`, `get: hit`.
fn recorded() -> Vec<Recorded> {
    let (l2, seen) = (MockTier::new(), RecordingHandler::new());
    l2.put("a", 1);
    let cache = Cache::<str, u32>::builder("ages")
        .tier(Tier::new(MockTier::new()).name("l1"))
        .tier(Tier::new(l2).name("l2"))
        .event_handler(seen.clone())
        .build();
    for _ in 0..2 {
        assert!(ready(cache.get("a")).unwrap().is_some());
    }
    seen.take()
}

#[test]
fn what_is_lawful_passes() {
    assert_eq!(recorded().len(), 6);
    assert_eq!(verdict(&recorded()), Ok(()));
}

#[test]
fn whatever_is_left_out_is_noticed() {
    for missing in 0..recorded().len() {
        let mut recorded = recorded();
        let left_out = recorded.remove(missing).to_string();
        assert!(verdict(&recorded).is_err(), "no law missed `{left_out}`");
    }
}

#[test]
fn whatever_is_sent_twice_is_noticed() {
    for again in 0..recorded().len() {
        let mut recorded = recorded();
        recorded.insert(again, recorded[again].clone());
        assert!(verdict(&recorded).is_err(), "no law noticed a second `{}`", recorded[again]);
    }
}

#[test]
fn a_wrong_order_is_noticed() {
    for first in 0..5 {
        let mut recorded = recorded();
        recorded.swap(first, first + 1);
        // An operation's end and the next one's beginning are the only ones that may change places.
        assert_eq!(verdict(&recorded).is_err(), first != 3, "{first}");
    }
}

/// One leads and one follows, once both have missed: two lookups, what came of the leader's value, two completions.
fn flight() -> Vec<Recorded> {
    let seen = RecordingHandler::new();
    let cache = Cache::<str, u32>::builder("ages")
        .tier(Tier::memory(10).name("l1"))
        .event_handler(seen.clone())
        .stampede_protection()
        .build();
    let ask = || {
        crate::ManualTask::new(cache.get_or_insert("a", || async {
            crate::task::pend(1).await;
            1
        }))
    };
    let (mut leader, mut follower) = (ask(), ask());
    leader.pend(1);
    follower.pend(1);
    leader.ready().unwrap();
    follower.ready().unwrap();
    seen.take()
}

#[test]
fn a_follower_passes_and_is_not_one_without_its_leader() {
    let mut recorded = flight();
    assert_eq!(recorded.len(), 5);
    assert_eq!(verdict(&recorded), Ok(()));
    let leader = completions(&recorded).iter().find_map(|event| event.leader_request_id());
    recorded.retain(|event| match event {
        Recorded::Tier(event) => event.request_id() != leader,
        Recorded::Operation(event) => Some(event.request_id()) != leader,
    });
    assert_eq!(recorded.len(), 2);
    assert!(verdict(&recorded).is_err());
}

#[test]
fn a_tier_event_of_another_operation_is_noticed() {
    let mut mixed = recorded();
    mixed[1] = recorded()[1].clone();
    assert!(verdict(&mixed).is_err());
}

/// An entry that is due, served and refreshed: `l1 get: hit`, `get: stale`, `l2 get: hit`, `l1 insert: inserted`,
/// `refresh: refreshed`.
fn refreshed() -> Vec<Recorded> {
    let (seen, clock, tasks) = (RecordingHandler::new(), ManualClock::new(), ManualRuntime::new());
    let cache = Cache::<str, u32>::builder("ages")
        .tier(Tier::new(MockTier::new()).name("l1").refresh_after(Duration::from_secs(1)))
        .tier(Tier::new(MockTier::new()).name("l2"))
        .event_handler(seen.clone())
        .clock(clock.clone())
        .runtime(tasks.clone())
        .build();
    ready(cache.insert("a", 1)).unwrap();
    clock.advance(Duration::from_secs(1));
    seen.take();
    assert!(ready(cache.get("a")).unwrap().is_some());
    tasks.run();
    seen.take()
}

#[test]
fn a_refresh_passes_and_whatever_of_it_is_left_out_is_noticed() {
    assert_eq!(refreshed().len(), 5);
    assert_eq!(verdict(&refreshed()), Ok(()));
    for missing in 0..5 {
        let mut recorded = refreshed();
        let left_out = recorded.remove(missing).to_string();
        assert!(verdict(&recorded).is_err(), "no law missed `{left_out}`");
    }
}

/// An expired entry, served since all else failed: `l1 get: expired`, `l2 get: error (fallback)`, `get: stale`.
fn served_stale() -> Vec<Recorded> {
    let (seen, clock, l2) = (RecordingHandler::new(), ManualClock::new(), MockTier::new());
    let cache = Cache::<str, u32>::builder("ages")
        .tier(Tier::new(MockTier::new()).name("l1").ttl(Duration::from_secs(1)))
        .tier(Tier::new(l2.clone()).name("l2"))
        .serve_stale_on_error(Duration::from_secs(9))
        .event_handler(seen.clone())
        .clock(clock.clone())
        .build();
    ready(cache.insert("a", 1)).unwrap();
    clock.advance(Duration::from_secs(2));
    l2.next(TierOperation::Get, Behavior::Fail("down"));
    seen.take();
    assert!(ready(cache.get("a")).unwrap().is_some());
    seen.take()
}

#[test]
fn an_expired_entry_that_is_served_passes_and_has_to_come_from_a_tier() {
    assert_eq!(served_stale().len(), 3);
    assert_eq!(verdict(&served_stale()), Ok(()));
    for missing in 0..3 {
        let mut recorded = served_stale();
        let left_out = recorded.remove(missing).to_string();
        assert!(verdict(&recorded).is_err(), "no law missed `{left_out}`");
    }
}
