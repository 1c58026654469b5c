//! S24–S30, S47, S48, S59: stampede protection.

mod landing;
mod lookups;
mod overtaken;
mod panics;
mod random;
mod reentrance;
mod table;
mod takeover;
mod threads;
mod waits;
mod wakers;

use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};

use cachet::telemetry::TierOperation::{Get, Insert};
use cachet::telemetry::{CacheOperation, OperationOutcome, Stats};
use cachet::testing::Behavior::{Fail, Hang, Pend};
use cachet::testing::RecordingHandler;
use cachet::typestate::HasTier;
use cachet::{CacheBuilder, CacheEntry, Error, Tier};
use cachet_tests::task::pend;
use cachet_tests::{ManualTask, events, ready};

use crate::{Ages, Mock, TestCache, TwoTiers, must_not_run, secs, stored, value};

/// Two scripted tiers, with protection.
fn protected() -> TwoTiers {
    protected_with(|builder| builder)
}

fn protected_with(
    configure: impl FnOnce(CacheBuilder<str, u32, HasTier>) -> CacheBuilder<str, u32, HasTier>,
) -> TwoTiers {
    let (l1, l2) = (Mock::new(), Mock::new());
    let builder = Ages::builder("ages").tier(Tier::new(l1.clone()).name("l1")).tier(Tier::new(l2.clone()).name("l2"));
    let TestCache { cache, seen, clock, invariants } = TestCache::new(configure(builder.stampede_protection()));
    TwoTiers { cache, l1, l2, seen, clock, invariants }
}

/// One tier, memory, with protection.
fn protected_memory() -> TestCache {
    TestCache::new(Ages::builder("ages").tier(Tier::memory(100).name("l1")).stampede_protection())
}

type Asking<'c> = ManualTask<Pin<Box<dyn Future<Output = Result<Option<u32>, Error>> + Send + 'c>>>;

/// The three compute methods as one.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Method {
    Plain,
    Try,
    Optionally,
}

impl Method {
    const ALL: [Self; 3] = [Self::Plain, Self::Try, Self::Optionally];

    fn name(self) -> &'static str {
        match self {
            Self::Plain => "get_or_insert",
            Self::Try => "try_get_or_insert",
            Self::Optionally => "optionally_get_or_insert",
        }
    }

    fn ask<'c>(self, cache: &'c Ages, key: &'c str, load: impl Future<Output = u32> + Send + 'c) -> Asking<'c> {
        ManualTask::new(Box::pin(async move {
            let entry = match self {
                Self::Plain => cache.get_or_insert(key, || load).await.map(Some),
                Self::Try => cache.try_get_or_insert(key, || async { io::Result::Ok(load.await) }).await.map(Some),
                Self::Optionally => cache.optionally_get_or_insert(key, || async { Some(load.await) }).await,
            };
            Ok(entry?.map(CacheEntry::into_value))
        }))
    }
}

fn ask<'c>(cache: &'c Ages, key: &'c str, load: impl Future<Output = u32> + Send + 'c) -> Asking<'c> {
    Method::Plain.ask(cache, key, load)
}

/// Polls each once, and finds it pending.
#[track_caller]
fn pend_all<'s, F: Future + 's>(asking: impl IntoIterator<Item = &'s mut ManualTask<F>>) {
    for asking in asking {
        asking.pend(1);
    }
}

/// A closure that gives this after so many polls.
async fn after(polls: u32, value: u32) -> u32 {
    pend(polls).await;
    value
}

/// A closure that must not run.
async fn never() -> u32 {
    must_not_run()
}

const COMPUTED: [&str; 5] = [
    "l1 get: miss",
    "l2 get: miss (fallback)",
    "l1 insert: inserted",
    "l2 insert: inserted",
    "get_or_insert: computed",
];

const FOLLOWED: [&str; 3] = ["l1 get: miss", "l2 get: miss (fallback)", "get_or_insert: computed (coalesced)"];

// S24
#[test]
fn a_hit_does_not_wait_for_a_flight_of_its_key() {
    for two in [true, false] {
        let TwoTiers { cache, seen, l1, l2, .. } = &protected();
        let memory = protected_memory();
        let (cache, seen) = if two { (cache, seen) } else { (&memory.cache, &memory.seen) };
        let mut leader = ask(cache, "ada", after(1, 1));
        leader.pend(1);
        ready(cache.insert("ada", 2)).unwrap();
        seen.take();
        for method in Method::ALL {
            assert_eq!(method.ask(cache, "ada", never()).ready().unwrap(), Some(2));
            assert_eq!(events::lines(&seen.take()), ["l1 get: hit".to_owned(), format!("{}: hit", method.name())]);
        }
        assert_eq!(value(cache, "ada"), Some(2));
        assert!(ready(cache.contains("ada")).unwrap());
        assert_eq!(leader.ready().unwrap(), Some(1));
        assert!(two || (l1.calls().is_empty() && l2.calls().is_empty()));
    }
}

// S24: only computing is coalesced.
#[test]
fn reads_and_writes_do_not_wait_for_a_flight() {
    let two = protected();
    let mut leader = ask(&two.cache, "ada", after(1, 1));
    leader.pend(1);
    assert_eq!(value(&two.cache, "ada"), None);
    assert!(!ready(two.cache.contains("ada")).unwrap());
    ready(two.cache.invalidate("ada")).unwrap();
    ready(two.cache.clear()).unwrap();
    assert_eq!(ready(two.cache.len()).unwrap(), Some(0));
    leader.ready().unwrap();
    assert_eq!(
        events::lines(&two.events()),
        [
            "l1 get: miss",
            "l2 get: miss (fallback)",
            "l1 get: miss",
            "l2 get: miss (fallback)",
            "get: miss",
            "l1 contains: miss",
            "l2 contains: miss (fallback)",
            "contains: miss",
            "l1 invalidate: invalidated",
            "l2 invalidate: invalidated",
            "invalidate: invalidated",
            "l1 clear: cleared",
            "l2 clear: cleared",
            "clear: cleared",
            "l1 len: counted",
            "len: counted",
            "l1 insert: superseded",
            "l2 insert: superseded",
            "get_or_insert: computed",
        ]
    );
}

// S24
#[test]
fn whoever_is_alone_sees_no_difference() {
    let run = |two: &TwoTiers| {
        let cache = &two.cache;
        two.l2.put("bob", 2);
        for method in Method::ALL {
            for key in ["ada", "bob", "eve"] {
                assert!(method.ask(cache, key, after(0, 1)).ready().is_ok());
                ready(cache.invalidate("eve")).unwrap();
            }
        }
        two.l2.always(Get, Fail("unplugged"));
        assert!(ready(cache.try_get_or_insert("eve", || async { Err::<u32, _>("no") })).unwrap_err().is_load());
        assert!(ready(cache.optionally_get_or_insert("eve", || async { None::<u32> })).unwrap().is_none());
        two.lines()
    };
    assert_eq!(run(&protected()), run(&TwoTiers::new()));
}

// S24, S6
#[test]
fn a_hit_allocates_nothing_whether_or_not_its_key_is_in_flight() {
    let cache = Ages::builder("ages").tier(Tier::memory(10)).stampede_protection().build();
    let mut leader = ask(&cache, "ada", after(1, 1));
    leader.pend(1);
    ready(cache.insert("ada", 2)).unwrap();
    // Polled by hand, since a box would be counted.
    let hit = || {
        let mut hit = pin!(cache.get_or_insert("ada", never));
        let Poll::Ready(entry) = hit.as_mut().poll(&mut Context::from_waker(Waker::noop())) else { must_not_run() };
        assert_eq!(*entry.unwrap(), 2);
    };
    hit();
    assert_eq!(allocation_counter::measure(hit).count_total, 0);
    leader.ready().unwrap();
    assert_eq!(allocation_counter::measure(hit).count_total, 0);
}

// S25
#[test]
fn many_concurrent_computes_run_one_closure() {
    let stats = Stats::new();
    let two = protected_with(|builder| builder.event_handler(stats.clone()));
    let mut leader = ask(&two.cache, "ada", after(2, 1));
    leader.pend(1);
    let mut followers: Vec<_> = (0..5).map(|_| ask(&two.cache, "ada", never())).collect();
    pend_all(&mut followers);
    leader.pend(1);
    // A follower that is polled without being woken goes on waiting.
    pend_all(&mut followers);
    assert!(followers.iter().all(|follower| follower.wakes() == 0));
    assert_eq!(leader.ready().unwrap(), Some(1));
    for follower in followers {
        assert_eq!(follower.wakes(), 1);
        assert_eq!(follower.ready().unwrap(), Some(1));
    }
    let recorded = two.events();
    let mut expected = vec![&COMPUTED[..]];
    expected.extend([&FOLLOWED[..]; 5]);
    assert_eq!(events::by_operation(&recorded), expected);
    let ends = events::completions(&recorded);
    assert!(ends[1..].iter().all(|end| end.leader_request_id() == Some(ends[0].request_id())));
    assert_eq!(stats.coalesced(), 5);
    assert_eq!(stats.operations(CacheOperation::GetOrInsert, OperationOutcome::Computed), 6);
    assert_eq!(stats.loads().count(), 1);
    assert_eq!((stored(&two.l1, "ada"), stored(&two.l2, "ada")), (Some(1), Some(1)));
}

// S25: the same with one immediate tier.
#[test]
fn many_concurrent_computes_over_memory_run_one_closure() {
    let test = protected_memory();
    let mut leader = ask(&test.cache, "ada", after(1, 1));
    leader.pend(1);
    let mut followers: Vec<_> = (0..3).map(|_| ask(&test.cache, "ada", never())).collect();
    pend_all(&mut followers);
    leader.ready().unwrap();
    for follower in followers {
        assert_eq!(follower.finish().unwrap(), Some(1));
    }
    let followed = ["l1 get: miss", "get_or_insert: computed (coalesced)"];
    assert_eq!(
        events::by_operation(&test.events()),
        [&["l1 get: miss", "l1 insert: inserted", "get_or_insert: computed"][..], &followed, &followed, &followed]
    );
}

// S25: the value is there when the closure is done, before it is stored.
#[test]
fn followers_do_not_wait_until_the_leader_has_stored_its_value() {
    let two = protected();
    two.l1.next(Insert, Pend(2));
    two.l2.next(Insert, Pend(3));
    let mut leader = ask(&two.cache, "ada", after(0, 1));
    leader.pend(1);
    assert_eq!(ask(&two.cache, "ada", never()).ready().unwrap(), Some(1));
    leader.pend(1);
    // The first tier has it by now.
    assert_eq!(ask(&two.cache, "ada", never()).ready().unwrap(), Some(1));
    assert_eq!(leader.finish().unwrap(), Some(1));
    assert_eq!(stored(&two.l2, "ada"), Some(1));
}

// S25
#[test]
fn an_error_reaches_all_with_its_type_and_is_not_kept() {
    let two = protected();
    let compute = || {
        two.cache.try_get_or_insert("ada", || async {
            pend(1).await;
            Err::<u32, _>(io::Error::new(io::ErrorKind::TimedOut, "renderer is down"))
        })
    };
    let mut leader = ManualTask::new(compute());
    leader.pend(1);
    let mut followers = [ManualTask::new(compute()), ManualTask::new(compute())];
    pend_all(&mut followers);
    // One that cannot fail by itself fails with its leader.
    let mut plain = ask(&two.cache, "ada", never());
    plain.pend(1);
    let mut errors = vec![leader.ready().unwrap_err(), plain.finish().unwrap_err()];
    errors.extend(followers.map(|follower| follower.finish().unwrap_err()));
    for error in &errors {
        assert!(error.is_load() && !error.is_panic());
        assert_eq!(error.source_as::<io::Error>().unwrap().kind(), io::ErrorKind::TimedOut);
        assert!(std::ptr::eq(error.source_as::<io::Error>().unwrap(), errors[0].source_as().unwrap()));
    }
    let failed = ["l1 get: miss", "l2 get: miss (fallback)", "try_get_or_insert: error (coalesced)"];
    assert_eq!(
        events::by_operation(&two.events()),
        [
            &["l1 get: miss", "l2 get: miss (fallback)", "try_get_or_insert: error"][..],
            &["l1 get: miss", "l2 get: miss (fallback)", "get_or_insert: error (coalesced)"],
            &failed,
            &failed,
        ]
    );
    assert_eq!(ask(&two.cache, "ada", after(0, 1)).ready().unwrap(), Some(1));
    assert_eq!(events::by_operation(&two.events()), [COMPUTED]);
}

// S25
#[test]
fn different_keys_never_wait_for_each_other() {
    let test = protected_memory();
    let mut leader = ask(&test.cache, "ada", after(u32::MAX, 1));
    leader.pend(1);
    let keys: Vec<String> = (0..100).map(|key| key.to_string()).collect();
    let mut flights: Vec<_> = keys.iter().zip(0..).map(|(key, n)| ask(&test.cache, key, after(1, n))).collect();
    pend_all(&mut flights);
    for (flight, n) in flights.into_iter().zip(0..) {
        assert_eq!(flight.ready().unwrap(), Some(n));
    }
    leader.pend(1);
}

// S25
#[test]
fn all_three_methods_share_one_table() {
    for leading in Method::ALL {
        let two = protected();
        let mut leader = leading.ask(&two.cache, "ada", after(1, 1));
        leader.pend(1);
        let mut followers = Method::ALL.map(|method| method.ask(&two.cache, "ada", never()));
        pend_all(&mut followers);
        assert_eq!(leader.ready().unwrap(), Some(1));
        for follower in followers {
            assert_eq!(follower.finish().unwrap(), Some(1), "{leading:?}");
        }
        let ends: Vec<_> =
            events::by_operation(&two.events()).into_iter().map(|mut lines| lines.pop().unwrap()).collect();
        let mut expected = vec![format!("{}: computed", leading.name())];
        expected.extend(Method::ALL.map(|method| format!("{}: computed (coalesced)", method.name())));
        assert_eq!(ends, expected);
    }
}

/// A leader that will give nothing.
fn computes_nothing(cache: &Ages) -> ManualTask<impl Future<Output = Result<Option<CacheEntry<u32>>, Error>> + '_> {
    ManualTask::new(cache.optionally_get_or_insert("ada", || async {
        pend(1).await;
        None::<u32>
    }))
}

// S25, S21
#[test]
fn nothing_is_enough_for_who_may_do_with_nothing_and_the_others_compute_for_themselves() {
    for method in [Method::Plain, Method::Try] {
        let two = protected();
        let mut leader = computes_nothing(&two.cache);
        leader.pend(1);
        let mut content = Method::Optionally.ask(&two.cache, "ada", never());
        let mut discontent = method.ask(&two.cache, "ada", after(0, 2));
        content.pend(1);
        discontent.pend(1);
        assert!(leader.ready().unwrap().is_none());
        assert_eq!(content.finish().unwrap(), None);
        assert_eq!(discontent.finish().unwrap(), Some(2));
        let mut own = COMPUTED.map(str::to_owned);
        own[4] = format!("{}: computed", method.name());
        assert_eq!(
            events::by_operation(&two.events()),
            [
                ["l1 get: miss", "l2 get: miss (fallback)", "optionally_get_or_insert: none"]
                    .map(str::to_owned)
                    .to_vec(),
                ["l1 get: miss", "l2 get: miss (fallback)", "optionally_get_or_insert: none (coalesced)"]
                    .map(str::to_owned)
                    .to_vec(),
                own.to_vec(),
            ]
        );
        assert_eq!(value(&two.cache, "ada"), Some(2));
    }
}

// S25: one closure at a time, also after a leader that gave nothing.
#[test]
fn those_for_whom_nothing_is_not_enough_run_one_closure() {
    let two = protected();
    let mut leader = computes_nothing(&two.cache);
    leader.pend(1);
    let runs = AtomicU32::new(0);
    let mut followers: Vec<_> = (0..4)
        .map(|_| {
            ask(&two.cache, "ada", async {
                let run = runs.fetch_add(1, Ordering::SeqCst) + 1;
                after(1, run).await
            })
        })
        .collect();
    pend_all(&mut followers);
    leader.ready().unwrap();
    pend_all(&mut followers);
    for follower in followers {
        assert_eq!(follower.finish().unwrap(), Some(1));
    }
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}

// S25, S10
#[test]
fn followers_get_the_entry_with_its_time_to_live() {
    let test = protected_memory();
    let compute = || {
        ManualTask::new(test.cache.get_or_insert("ada", || async {
            pend(1).await;
            CacheEntry::expires_after(1, secs(10))
        }))
    };
    let (mut leader, mut follower) = (compute(), compute());
    leader.pend(1);
    follower.pend(1);
    let led = leader.ready().unwrap();
    test.clock.advance(secs(5));
    let followed = follower.ready().unwrap();
    assert_eq!((followed.ttl(), followed.inserted_at()), (led.ttl(), led.inserted_at()));
    assert_eq!(followed.ttl(), Some(secs(10)));
}

// S25, S22
#[test]
fn when_storing_fails_all_get_the_value() {
    let two = protected();
    two.l1.always(Insert, Fail("full"));
    two.l2.always(Insert, Fail("full"));
    let mut leader = ask(&two.cache, "ada", after(1, 1));
    let mut follower = ask(&two.cache, "ada", never());
    leader.pend(1);
    follower.pend(1);
    assert_eq!(leader.ready().unwrap(), Some(1));
    assert_eq!(follower.ready().unwrap(), Some(1));
}

// S14
#[test]
fn who_fails_closed_does_not_wait_for_a_flight() {
    let two = protected_with(CacheBuilder::fail_closed);
    let mut leader = ask(&two.cache, "ada", after(1, 1));
    leader.pend(1);
    two.l2.next(Get, Fail("unplugged"));
    let error = ask(&two.cache, "ada", never()).ready().unwrap_err();
    assert_eq!(error.tier_name(), Some("l2"));
    let mut follower = ask(&two.cache, "ada", never());
    follower.pend(1);
    assert_eq!(leader.ready().unwrap(), Some(1));
    assert_eq!(follower.ready().unwrap(), Some(1));
    assert_eq!(
        events::by_operation(&two.events()),
        [&["l1 get: miss", "l2 get: error (fallback)", "get_or_insert: error"][..], &COMPUTED, &FOLLOWED]
    );
}

// S14, S25
#[test]
fn failing_tiers_do_not_let_a_stampede_through() {
    let two = protected();
    for tier in [&two.l1, &two.l2] {
        tier.always(Get, Fail("unplugged"));
    }
    let mut leader = ask(&two.cache, "ada", after(1, 1));
    let mut follower = ask(&two.cache, "ada", never());
    leader.pend(1);
    follower.pend(1);
    assert_eq!(leader.ready().unwrap(), Some(1));
    assert_eq!(follower.ready().unwrap(), Some(1));
    assert_eq!(
        events::by_operation(&two.events())[1],
        ["l1 get: error", "l2 get: error (fallback)", "get_or_insert: computed (coalesced)"]
    );
}

// S36: without a listener, all of it works the same.
#[test]
fn flights_work_when_nobody_listens() {
    let seen = RecordingHandler::new();
    for listened in [false, true] {
        let mut builder = Ages::builder("ages").tier(Tier::memory(10)).stampede_protection();
        if listened {
            builder = builder.event_handler(seen.clone());
        }
        let cache = builder.build();
        let mut leader = ask(&cache, "ada", after(1, 1));
        let mut follower = ask(&cache, "ada", never());
        let mut heir = ask(&cache, "ada", after(1, 2));
        leader.pend(1);
        heir.pend(1);
        drop(leader);
        heir.pend(1);
        follower.pend(1);
        assert_eq!(heir.ready().unwrap(), Some(2));
        assert_eq!(follower.ready().unwrap(), Some(2));
        ready(cache.invalidate("ada")).unwrap();
        let nested =
            ManualTask::new(cache.try_get_or_insert("ada", || async { cache.get_or_insert("ada", never).await }));
        assert!(nested.ready().unwrap_err().source_as::<Error>().unwrap().is_reentrant());
    }
    assert!(!seen.take().is_empty());
}

// S7
#[test]
fn the_futures_are_send() {
    fn send<T: Send>(future: T) -> T {
        future
    }

    let two = protected();
    two.l1.always(Get, Hang);
    drop(send(two.cache.get_or_insert("ada", || async { 1 })));
    drop(send(two.cache.try_get_or_insert("ada", || async { io::Result::Ok(1) })));
    drop(send(two.cache.optionally_get_or_insert("ada", || async { Some(1) })));
}
