//! S35, S36: what handlers receive.

use std::sync::{Arc, Mutex};

use cachet::telemetry::TierOperation::{Get, Insert, Invalidate};
use cachet::telemetry::{CacheOperation, OperationOutcome, TierOperation, TierOutcome};
use cachet::telemetry::{CacheOperationEvent, CacheTierEvent, EventMask, RecordKeys};
use cachet::testing::{Behavior, Recorded, RecordingHandler};
use cachet::{CacheEntry, CacheEventHandler, RequestId, Tier};
use cachet_tests::task::pend;
use cachet_tests::{ManualTask, events, ready};

use crate::{Ages, Mock, TestCache, TwoTiers, millis};

// S35
#[test]
fn every_fact_of_a_two_tier_read_is_told() {
    let two = TwoTiers::new();
    two.l2.put("ada", CacheEntry::restore(1, None, two.clock.wall()));
    two.clock.advance(millis(7));
    ready(two.cache.get("ada")).unwrap();
    let recorded = two.events();
    let end = events::completion(&recorded);
    assert_eq!((end.cache(), end.operation(), end.outcome()), ("ages", CacheOperation::Get, OperationOutcome::Hit));
    assert_eq!((end.hit_tier(), end.age(), end.fallback()), (Some("l2"), Some(millis(7)), true));
    assert_eq!((end.parent_request_id(), end.leader_request_id(), end.coalesced()), (None, None, false));
    assert_eq!((end.load_duration(), end.key()), (None, None));
    assert!(end.error().is_none());

    let calls = events::tiers(&recorded);
    let reported: Vec<_> =
        calls.iter().map(|call| (call.tier(), call.operation(), call.outcome(), call.fallback(), call.age())).collect();
    assert_eq!(
        reported,
        [
            ("l1", Get, TierOutcome::Miss, false, None),
            ("l2", Get, TierOutcome::Hit, true, Some(millis(7))),
            ("l1", Insert, TierOutcome::Inserted, false, None),
        ]
    );
    for call in calls {
        assert_eq!((call.cache(), call.request_id(), call.key()), ("ages", Some(end.request_id()), None));
        assert!(call.error().is_none());
    }
}

// S35
#[test]
fn errors_are_told_where_they_happened_and_where_they_were_returned() {
    let two = TwoTiers::new();
    two.l1.next(Get, Behavior::Fail("one"));
    two.l2.next(Get, Behavior::Fail("two"));
    ready(two.cache.get("ada")).unwrap_err();
    let recorded = two.events();
    let texts: Vec<_> = recorded
        .iter()
        .map(|event| match event {
            Recorded::Tier(event) => event.error(),
            Recorded::Operation(event) => event.error(),
        })
        .map(|error| format!("{:#}", error.unwrap()))
        .collect();
    assert_eq!(texts, ["cache tier `l1` failed: one", "cache tier `l2` failed: two", "cache tier `l1` failed: one"]);
}

// S35, S8
#[test]
fn durations_follow_the_injected_clock() {
    let two = TwoTiers::new();
    two.l1.next(Get, Behavior::Pend(1));
    two.l2.next(Get, Behavior::Pend(1));
    let mut get = ManualTask::new(two.cache.try_get_or_insert("ada", || async {
        pend(1).await;
        std::io::Result::Ok(1)
    }));
    two.l1.next(Insert, Behavior::Pend(2));
    two.l2.next(Insert, Behavior::Pend(1));
    for millis_passed in [3, 5, 7, 11] {
        get.pend(1);
        two.clock.advance(millis(millis_passed));
    }
    get.pend(1);
    two.clock.advance(millis(13));
    get.ready().unwrap();

    let recorded = two.events();
    let calls: Vec<_> = events::tiers(&recorded)
        .iter()
        .map(|call| format!("{} {} {:?}", call.tier(), call.operation(), call.duration().unwrap()))
        .collect();
    assert_eq!(calls, ["l1 get 3ms", "l2 get 5ms", "l2 insert 11ms", "l1 insert 24ms"]);
    let end = events::completion(&recorded);
    assert_eq!((end.duration(), end.load_duration()), (Some(millis(39)), Some(millis(7))));
}

// S35
#[test]
fn the_duration_of_a_cancelled_operation_lasts_until_it_was_dropped() {
    let two = TwoTiers::new();
    two.l2.next(Get, Behavior::Hang);
    let mut get = ManualTask::new(two.cache.get("ada"));
    get.pend(1);
    two.clock.advance(millis(9));
    drop(get);
    let recorded = two.events();
    let durations: Vec<_> = events::tiers(&recorded).iter().map(|call| call.duration().unwrap()).collect();
    assert_eq!(durations, [millis(0), millis(9)]);
    assert_eq!(events::completion(&recorded).duration(), Some(millis(9)));
}

// S35: removing what has expired is part of the operation.
#[test]
fn the_duration_of_an_operation_covers_the_removal_of_an_expired_entry() {
    let two = TwoTiers::with(|l1| l1, |l2| l2.ttl(millis(1)).clock_tolerance(millis(0)));
    two.l2.put("ada", CacheEntry::restore(1, None, two.clock.wall()));
    two.clock.advance(millis(2));
    two.l2.next(Invalidate, Behavior::Pend(1));
    let mut get = ManualTask::new(two.cache.get("ada"));
    get.pend(1);
    two.clock.advance(millis(9));
    assert!(get.ready().unwrap().is_none());
    let recorded = two.events();
    assert_eq!(events::completion(&recorded).duration(), Some(millis(9)));
}

// S35
#[test]
fn the_completion_carries_the_calls_of_its_tiers_in_order() {
    let two = TwoTiers::new();
    two.l2.put("ada", 1);
    ready(two.cache.get("ada")).unwrap();
    let recorded = two.events();
    let trail: Vec<_> = events::completion(&recorded)
        .tiers()
        .iter()
        .map(|call| Recorded::Tier(call.clone().into_owned()).to_string())
        .collect();
    assert_eq!(trail, ["l1 get: miss", "l2 get: hit (fallback)", "l1 insert: inserted"]);
}

// S35
#[test]
fn every_method_ends_with_one_completion_of_its_own() {
    let two = TwoTiers::new();
    let cache = &two.cache;
    ready(cache.get("a")).unwrap();
    ready(cache.contains("a")).unwrap();
    ready(cache.insert("a", 1)).unwrap();
    ready(cache.invalidate("a")).unwrap();
    ready(cache.clear()).unwrap();
    ready(cache.len()).unwrap();
    ready(cache.get_or_insert("b", || async { 1 })).unwrap();
    ready(cache.try_get_or_insert("c", || async { std::io::Result::Ok(1) })).unwrap();
    ready(cache.optionally_get_or_insert("d", || async { Some(1) })).unwrap();
    let recorded = two.events();
    let ends: Vec<_> =
        events::completions(&recorded).iter().map(|end| format!("{}: {}", end.operation(), end.outcome())).collect();
    assert_eq!(
        ends,
        [
            "get: miss",
            "contains: miss",
            "insert: inserted",
            "invalidate: invalidated",
            "clear: cleared",
            "len: counted",
            "get_or_insert: computed",
            "try_get_or_insert: computed",
            "optionally_get_or_insert: computed",
        ]
    );
}

// S35
#[test]
fn keys_are_told_only_on_request_and_in_the_form_asked_for() {
    let reported = |record_keys| {
        let test =
            TestCache::new(Ages::builder("ages").tier(Tier::new(Mock::new()).name("l1")).record_keys(record_keys));
        ready(test.cache.get("ada@example.org")).unwrap();
        ready(test.cache.insert("ada@example.org", 1)).unwrap();
        ready(test.cache.clear()).unwrap();
        let recorded = test.events();
        let keys: Vec<_> = recorded
            .iter()
            .map(|event| match event {
                Recorded::Tier(event) => event.key().map(str::to_owned),
                Recorded::Operation(event) => event.key().map(str::to_owned),
            })
            .collect();
        assert_eq!(keys[4..], [None, None]);
        assert!(keys[..4].iter().all(|key| *key == keys[0]), "{keys:?}");
        keys[0].clone()
    };
    assert_eq!(reported(RecordKeys::omitted()), None);
    assert_eq!(reported(RecordKeys::full()).as_deref(), Some("ada@example.org"));
    assert_eq!(reported(RecordKeys::with(|key: &str| key[..3].to_owned())).as_deref(), Some("ada"));
    let hashed = reported(RecordKeys::hashed()).unwrap();
    assert_eq!((hashed.len(), hashed.contains("ada")), (16, false));
    assert_eq!(reported(RecordKeys::hashed()), Some(hashed));
}

/// Remembers, and wants only what it was made with.
#[derive(Clone)]
struct Wanting(EventMask, RecordingHandler);

impl CacheEventHandler for Wanting {
    fn interest(&self) -> EventMask {
        self.0
    }

    fn on_tier_event(&self, event: &CacheTierEvent<'_>) {
        self.1.on_tier_event(event);
    }

    fn on_operation_event(&self, event: &CacheOperationEvent<'_>) {
        self.1.on_operation_event(event);
    }
}

// S36
#[test]
fn a_handler_is_told_what_it_wants_and_no_more() {
    let reported = |interest| {
        let handler = Wanting(interest, RecordingHandler::new());
        let cache = Ages::builder("ages").tier(Tier::memory(10).name("l1")).event_handler(handler.clone()).build();
        ready(cache.get("ada")).unwrap();
        handler.1.take()
    };
    let lines = |interest| reported(interest).iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(lines(EventMask::NONE), [""; 0]);
    assert_eq!(lines(EventMask::TIMING), [""; 0]);
    assert_eq!(lines(EventMask::TRAIL), [""; 0]);
    assert_eq!(lines(EventMask::OPERATIONS), ["get: miss"]);
    assert_eq!(lines(EventMask::TIERS), ["l1 get: miss"]);
    assert_eq!(lines(EventMask::ALL), ["l1 get: miss", "get: miss"]);

    let untimed = reported(EventMask::OPERATIONS | EventMask::TIERS);
    assert!(events::completion(&untimed).duration().is_none() && events::tiers(&untimed)[0].duration().is_none());
    assert_eq!(events::completion(&untimed).tiers().len(), 0);
    let timed = reported(EventMask::OPERATIONS | EventMask::TIERS | EventMask::TIMING);
    assert!(events::completion(&timed).duration().is_some() && events::tiers(&timed)[0].duration().is_some());
    let trail = reported(EventMask::OPERATIONS | EventMask::TRAIL);
    assert_eq!(events::completion(&trail).tiers().len(), 1);
}

// S36: a cache whose handlers want nothing of tiers still knows of fallbacks.
#[test]
fn what_a_completion_tells_does_not_depend_on_who_else_listens() {
    for interest in [EventMask::OPERATIONS, EventMask::OPERATIONS | EventMask::TIERS, EventMask::ALL] {
        let handler = Wanting(interest, RecordingHandler::new());
        let below = Mock::new();
        below.put("ada", 1);
        let cache = Ages::builder("ages")
            .tier(Tier::memory(10).name("l1"))
            .tier(Tier::new(below).name("l2"))
            .event_handler(handler.clone())
            .build();
        ready(cache.get("ada")).unwrap();
        let recorded = handler.1.take();
        let end = events::completion(&recorded);
        assert_eq!((end.outcome(), end.hit_tier(), end.fallback()), (OperationOutcome::Hit, Some("l2"), true));
    }
}

/// Records its name, and what it received.
struct Named(&'static str, Arc<Mutex<Vec<String>>>);

impl CacheEventHandler for Named {
    fn on_operation_event(&self, event: &CacheOperationEvent<'_>) {
        self.1.lock().unwrap().push(format!("{} {}", self.0, event.outcome()));
    }
}

// S36
#[test]
fn every_handler_is_told_in_the_order_of_registration() {
    let reported = Arc::new(Mutex::new(Vec::new()));
    let named = |name| Named(name, Arc::clone(&reported));
    let cache = Ages::builder("ages")
        .event_handler(named("before"))
        .tier(Tier::memory(10))
        .event_handler(Arc::new(named("arc")))
        .event_handler(vec![named("vec 1"), named("vec 2")])
        .event_handler([named("array")])
        .event_handler(Some(named("some")))
        .event_handler(None::<Named>)
        .event_handler(Box::new(named("box")) as Box<dyn CacheEventHandler>)
        .build();
    ready(cache.get("ada")).unwrap();
    assert_eq!(
        *reported.lock().unwrap(),
        ["before miss", "arc miss", "vec 1 miss", "vec 2 miss", "array miss", "some miss", "box miss"]
    );
}

/// The request ids that are current at the calls of a tier.
type CurrentIds = Arc<Mutex<Vec<Option<RequestId>>>>;

/// Notes the current request id at every call of this kind.
fn note_ids(mock: &Mock, operations: &[TierOperation]) -> CurrentIds {
    let ids = CurrentIds::default();
    for operation in operations {
        let ids = Arc::clone(&ids);
        mock.before(*operation, move || ids.lock().unwrap().push(RequestId::current()));
    }
    ids
}

// S36
#[test]
fn with_nobody_listening_there_is_not_even_an_id() {
    let tier = Mock::new();
    let ids = note_ids(&tier, &[Get, Insert]);
    let cache = Ages::builder("ages").tier(Tier::new(tier)).build();
    let mut inside = None;
    ready(cache.get_or_insert("ada", || {
        inside = Some(RequestId::current());
        async { 1 }
    }))
    .unwrap();
    assert_eq!(inside, Some(None));
    assert_eq!(*ids.lock().unwrap(), [None, None]);
}

// S36
#[test]
fn with_somebody_listening_the_tiers_and_the_closure_know_the_id() {
    let tier = Mock::new();
    let ids = note_ids(&tier, &[Get, Insert]);
    let test = TestCache::new(Ages::builder("ages").tier(Tier::new(tier)));
    let mut inside = None;
    ready(test.cache.get_or_insert("ada", || {
        inside = RequestId::current();
        async { 1 }
    }))
    .unwrap();
    let recorded = test.events();
    let id = Some(events::completion(&recorded).request_id());
    assert_eq!((inside, RequestId::current()), (id, None));
    assert_eq!(*ids.lock().unwrap(), [id, id]);
}

// S36, S40: the removal of what has expired belongs to the operation that found it.
#[test]
fn the_removal_of_an_expired_entry_knows_the_id() {
    let tier = Mock::new();
    tier.put("ada", 1);
    let ids = note_ids(&tier, &[Invalidate]);
    let test = TestCache::new(Ages::builder("ages").tier(Tier::new(tier).ttl(millis(1))));
    assert!(ready(test.cache.get("ada")).unwrap().is_none());
    let recorded = test.events();
    assert_eq!(*ids.lock().unwrap(), [Some(events::completion(&recorded).request_id())]);
}
