//! S24–S29: stampede protection.

mod landing;
mod panics;
mod random;
mod takeover;
mod threads;

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};

use cachet::telemetry::TierOperation::{Get, Insert};
use cachet::telemetry::{CacheOperation, OperationOutcome, Stats};
use cachet::testing::Behaviour::{Fail, Hang, Pend};
use cachet::testing::{Recorded, RecordingHandler};
use cachet::{Cache, CacheBuilder, CacheEntry, Error, HasTier, InsertPolicy, RequestId, Tier};
use cachet_tests::step::pend;
use cachet_tests::{Stepped, laws, ready};

use crate::{Ages, Mock, Two, Watched, secs, stored, unasked, value};

/// Two scripted tiers, with protection.
fn protected() -> Two {
    protected_with(|builder| builder)
}

fn protected_with(configure: impl FnOnce(CacheBuilder<str, u32, HasTier>) -> CacheBuilder<str, u32, HasTier>) -> Two {
    let (l1, l2) = (Mock::new(), Mock::new());
    let builder = Ages::builder("ages").tier(Tier::new(l1.clone()).name("l1")).tier(Tier::new(l2.clone()).name("l2"));
    let Watched { cache, seen, clock, lawful } = Watched::new(configure(builder.stampede_protection()));
    Two { cache, l1, l2, seen, clock, lawful }
}

/// One tier, memory, with protection.
fn protected_memory() -> Watched {
    Watched::new(Ages::builder("ages").tier(Tier::memory(100).name("l1")).stampede_protection())
}

type Asking<'c> = Stepped<Pin<Box<dyn Future<Output = Result<Option<u32>, Error>> + Send + 'c>>>;

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
        Stepped::new(Box::pin(async move {
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
fn pend_all<'s, F: Future + 's>(asking: impl IntoIterator<Item = &'s mut Stepped<F>>) {
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
    unasked()
}

/// What has been told, with what waited for another's work marked.
fn told(recorded: &[Recorded]) -> Vec<String> {
    recorded.iter().map(line).collect()
}

fn line(event: &Recorded) -> String {
    let coalesced = matches!(event, Recorded::Operation(event) if event.coalesced());
    format!("{event}{}", if coalesced { " (coalesced)" } else { "" })
}

/// The same for each operation, in the order of their completion.
fn by_operation(recorded: &[Recorded]) -> Vec<Vec<String>> {
    let mut lines: HashMap<RequestId, Vec<String>> = HashMap::new();
    let mut ended = Vec::new();
    for event in recorded {
        match event {
            Recorded::Tier(tier) => lines.entry(tier.request_id().unwrap()).or_default().push(line(event)),
            Recorded::Operation(operation) => {
                let mut lines = lines.remove(&operation.request_id()).unwrap_or_default();
                lines.push(line(event));
                ended.push(lines);
            }
        }
    }
    ended
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
        let Two { cache, seen, l1, l2, .. } = &protected();
        let memory = protected_memory();
        let (cache, seen) = if two { (cache, seen) } else { (&memory.cache, &memory.seen) };
        let mut leader = ask(cache, "ada", after(1, 1));
        leader.pend(1);
        ready(cache.insert("ada", 2)).unwrap();
        seen.take();
        for method in Method::ALL {
            assert_eq!(method.ask(cache, "ada", never()).ready().unwrap(), Some(2));
            assert_eq!(told(&seen.take()), ["l1 get: hit".to_owned(), format!("{}: hit", method.name())]);
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
        told(&two.events()),
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
    let run = |two: &Two| {
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
    assert_eq!(run(&protected()), run(&Two::new()));
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
        let Poll::Ready(entry) = hit.as_mut().poll(&mut Context::from_waker(Waker::noop())) else { unasked() };
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
    // Whoever is polled without being woken goes on waiting.
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
    assert_eq!(by_operation(&recorded), expected);
    let ends = laws::completions(&recorded);
    assert!(ends[1..].iter().all(|end| end.leader_request_id() == Some(ends[0].request_id())));
    assert_eq!(stats.coalesced(), 5);
    assert_eq!(stats.operations(CacheOperation::GetOrInsert, OperationOutcome::Computed), 6);
    assert_eq!(stats.loads().count(), 1);
    assert_eq!((stored(&two.l1, "ada"), stored(&two.l2, "ada")), (Some(1), Some(1)));
}

// S25: the same with one immediate tier.
#[test]
fn many_concurrent_computes_over_memory_run_one_closure() {
    let watched = protected_memory();
    let mut leader = ask(&watched.cache, "ada", after(1, 1));
    leader.pend(1);
    let mut followers: Vec<_> = (0..3).map(|_| ask(&watched.cache, "ada", never())).collect();
    pend_all(&mut followers);
    leader.ready().unwrap();
    for follower in followers {
        assert_eq!(follower.finish().unwrap(), Some(1));
    }
    let followed = ["l1 get: miss", "get_or_insert: computed (coalesced)"];
    assert_eq!(
        by_operation(&watched.events()),
        [&["l1 get: miss", "l1 insert: inserted", "get_or_insert: computed"][..], &followed, &followed, &followed]
    );
}

// S25: until the leader has stored its value, there is something to wait for.
#[test]
fn whoever_comes_while_the_leader_stores_waits_as_well() {
    let two = protected();
    two.l1.next(Insert, Pend(1));
    two.l2.next(Insert, Pend(2));
    let mut leader = ask(&two.cache, "ada", after(0, 1));
    leader.pend(1);
    let mut follower = ask(&two.cache, "ada", never());
    follower.pend(1);
    leader.pend(1);
    // The first tier has it by now.
    assert_eq!(ask(&two.cache, "ada", never()).ready().unwrap(), Some(1));
    assert_eq!(leader.ready().unwrap(), Some(1));
    assert_eq!(follower.finish().unwrap(), Some(1));
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
    let mut leader = Stepped::new(compute());
    leader.pend(1);
    let mut followers = [Stepped::new(compute()), Stepped::new(compute())];
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
        by_operation(&two.events()),
        [
            &["l1 get: miss", "l2 get: miss (fallback)", "try_get_or_insert: error"][..],
            &["l1 get: miss", "l2 get: miss (fallback)", "get_or_insert: error (coalesced)"],
            &failed,
            &failed,
        ]
    );
    assert_eq!(ask(&two.cache, "ada", after(0, 1)).ready().unwrap(), Some(1));
    assert_eq!(by_operation(&two.events()), [COMPUTED]);
}

// S25
#[test]
fn different_keys_never_wait_for_each_other() {
    let watched = protected_memory();
    let mut leader = ask(&watched.cache, "ada", after(u32::MAX, 1));
    leader.pend(1);
    let keys: Vec<String> = (0..100).map(|key| key.to_string()).collect();
    let mut flights: Vec<_> = keys.iter().zip(0..).map(|(key, n)| ask(&watched.cache, key, after(1, n))).collect();
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
        let ends: Vec<_> = by_operation(&two.events()).into_iter().map(|mut lines| lines.pop().unwrap()).collect();
        let mut expected = vec![format!("{}: computed", leading.name())];
        expected.extend(Method::ALL.map(|method| format!("{}: computed (coalesced)", method.name())));
        assert_eq!(ends, expected);
    }
}

/// A leader that will give nothing.
fn nobody(cache: &Ages) -> Stepped<impl Future<Output = Result<Option<CacheEntry<u32>>, Error>> + '_> {
    Stepped::new(cache.optionally_get_or_insert("ada", || async {
        pend(1).await;
        None::<u32>
    }))
}

// S25, S21
#[test]
fn nothing_is_enough_for_who_may_do_with_nothing_and_the_others_compute_for_themselves() {
    for method in [Method::Plain, Method::Try] {
        let two = protected();
        let mut leader = nobody(&two.cache);
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
            by_operation(&two.events()),
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
    let mut leader = nobody(&two.cache);
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
    let watched = protected_memory();
    let compute = || {
        Stepped::new(watched.cache.get_or_insert("ada", || async {
            pend(1).await;
            CacheEntry::expires_after(1, secs(10))
        }))
    };
    let (mut leader, mut follower) = (compute(), compute());
    leader.pend(1);
    follower.pend(1);
    let led = leader.ready().unwrap();
    watched.clock.advance(secs(5));
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
        by_operation(&two.events()),
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
        by_operation(&two.events())[1],
        ["l1 get: error", "l2 get: error (fallback)", "get_or_insert: computed (coalesced)"]
    );
}

// S28
#[test]
fn a_closure_that_asks_for_its_own_key_gets_an_error() {
    for method in Method::ALL {
        for polls in [0, 1] {
            let two = protected();
            let (cache, l1) = (&two.cache, &two.l1);
            let outer = ask(cache, "ada", async {
                pend(polls).await;
                l1.next(Get, Pend(polls));
                let error = match method {
                    Method::Plain => cache.get_or_insert("ada", never).await.unwrap_err(),
                    Method::Try => {
                        let inner = cache.try_get_or_insert("ada", || async { io::Result::Ok(never().await) });
                        inner.await.unwrap_err()
                    }
                    Method::Optionally => {
                        let inner = cache.optionally_get_or_insert("ada", || async { Some(never().await) });
                        inner.await.unwrap_err()
                    }
                };
                assert_eq!((error.is_reentrant(), error.is_load(), error.error_type()), (true, false, "reentrant"));
                assert_eq!(cache.get("ada").await.unwrap(), None);
                1
            });
            assert_eq!(outer.finish().unwrap(), Some(1), "{method:?}");
            let nested = format!("{}: error", method.name());
            assert_eq!(
                by_operation(&two.events()),
                [
                    &["l1 get: miss", "l2 get: miss (fallback)", &nested][..],
                    &["l1 get: miss", "l2 get: miss (fallback)", "get: miss"],
                    &COMPUTED,
                ]
            );
        }
    }
}

// S28
#[test]
fn an_error_of_reentrance_that_is_passed_on_reaches_the_followers_too() {
    let two = protected();
    let cache = &two.cache;
    let compute = || {
        Stepped::new(cache.try_get_or_insert("ada", || async {
            pend(1).await;
            cache.get_or_insert("ada", never).await.map(CacheEntry::into_value)
        }))
    };
    let (mut leader, mut follower) = (compute(), compute());
    leader.pend(1);
    follower.pend(1);
    for asking in [leader, follower] {
        let error = asking.ready().unwrap_err();
        assert!(error.is_load());
        assert!(error.source_as::<Error>().unwrap().is_reentrant());
    }
}

// S28
#[test]
fn a_closure_is_recognized_behind_the_closures_of_other_keys() {
    let two = protected();
    let cache = &two.cache;
    for tier in [&two.l1, &two.l2] {
        tier.always(Get, Pend(1));
        tier.always(Insert, Pend(1));
    }
    let error = Stepped::new(cache.try_get_or_insert("a", || async {
        cache
            .try_get_or_insert("b", || async {
                cache.try_get_or_insert("c", || async { cache.get_or_insert("a", never).await }).await
            })
            .await
    }))
    .finish()
    .unwrap_err();
    let mut cause = &error;
    for _ in 0..3 {
        assert!(cause.is_load());
        cause = std::error::Error::source(cause).unwrap().downcast_ref().unwrap();
    }
    assert!(cause.is_reentrant());
    assert_eq!(two.lines().last().unwrap(), "try_get_or_insert: error");
}

// S28, S23
#[test]
fn a_closure_may_compute_other_keys() {
    let two = protected();
    let cache = &two.cache;
    for tier in [&two.l1, &two.l2] {
        tier.always(Get, Pend(1));
        tier.always(Insert, Pend(1));
    }
    let outer = ask(cache, "a", async {
        let b = cache.get_or_insert("b", || async { *cache.get_or_insert("c", || after(1, 3)).await.unwrap() + 1 });
        // The other key is looked up anew once it is there.
        *b.await.unwrap() + *cache.get_or_insert("c", never).await.unwrap()
    });
    assert_eq!(outer.finish().unwrap(), Some(7));
    assert_eq!(["a", "b", "c"].map(|key| stored(&two.l1, key)), [Some(7), Some(4), Some(3)]);
}

// S28: what another task computes is waited for, also inside a closure.
#[test]
fn a_closure_may_follow_the_flight_of_another_key() {
    let two = protected();
    let cache = &two.cache;
    let mut other = ask(cache, "b", after(1, 2));
    other.pend(1);
    let mut outer = ask(cache, "a", async { *cache.get_or_insert("b", never).await.unwrap() + 1 });
    outer.pend(1);
    assert_eq!(other.ready().unwrap(), Some(2));
    assert_eq!(outer.finish().unwrap(), Some(3));
}

// S28: two caches have nothing to do with each other.
#[test]
fn a_closure_may_ask_another_cache_for_the_same_key() {
    let (outer, inner) = (protected(), protected());
    let asking =
        ask(&outer.cache, "ada", async { *inner.cache.get_or_insert("ada", || after(1, 1)).await.unwrap() + 1 });
    assert_eq!(asking.finish().unwrap(), Some(2));
}

// S28, S19
#[test]
fn a_closure_may_write_its_own_key() {
    let two = protected();
    let cache = &two.cache;
    let outer = ask(cache, "ada", async {
        cache.insert("ada", 2).await.unwrap();
        // There is no need to compute what is there.
        assert_eq!(*cache.get_or_insert("ada", never).await.unwrap(), 2);
        1
    });
    assert_eq!(outer.ready().unwrap(), Some(1));
    assert_eq!(value(cache, "ada"), Some(2));
}

/// Polls both until both are ready.
async fn join<A: Future, B: Future>(a: A, b: B) -> (A::Output, B::Output) {
    let (mut a, mut b) = (pin!(a), pin!(b));
    let (mut of_a, mut of_b) = (None, None);
    std::future::poll_fn(move |cx| {
        if of_a.is_none()
            && let Poll::Ready(output) = a.as_mut().poll(cx)
        {
            of_a = Some(output);
        }
        if of_b.is_none()
            && let Poll::Ready(output) = b.as_mut().poll(cx)
        {
            of_b = Some(output);
        }
        match (of_a.take(), of_b.take()) {
            (Some(a), Some(b)) => Poll::Ready((a, b)),
            pending => {
                (of_a, of_b) = pending;
                Poll::Pending
            }
        }
    })
    .await
}

// S25, S28: one task may lead and follow at the same time, since the one does not need the other.
#[test]
fn one_task_may_ask_twice_at_the_same_time() {
    let two = protected();
    let cache = &two.cache;
    let both = || join(cache.get_or_insert("ada", || after(1, 1)), cache.get_or_insert("ada", never));
    let (led, followed) = Stepped::new(both()).finish();
    assert_eq!((*led.unwrap(), *followed.unwrap()), (1, 1));
    ready(cache.invalidate("ada")).unwrap();
    let outer = ask(cache, "outer", async {
        let (led, followed) = both().await;
        *led.unwrap() + *followed.unwrap()
    });
    assert_eq!(outer.finish().unwrap(), Some(2));
}

// S28: also where two threads poll in turns.
#[test]
fn reentrance_is_noticed_on_whatever_thread() {
    let two = protected();
    let cache = &two.cache;
    let mut outer = Box::pin(cache.try_get_or_insert("ada", || async {
        pend(1).await;
        two.l1.next(Get, Pend(1));
        cache.get_or_insert("ada", never).await
    }));
    let mut result = None;
    for _ in 0..3 {
        std::thread::scope(|scope| {
            let outer = outer.as_mut();
            let poll = scope.spawn(move || Stepped::new(outer).poll());
            if let Poll::Ready(ended) = poll.join().unwrap() {
                result = Some(ended);
            }
        });
    }
    drop(outer);
    assert!(result.unwrap().unwrap_err().source_as::<Error>().unwrap().is_reentrant());
}

/// A key and a value that can be counted.
#[derive(Clone)]
struct Counted(u32, #[expect(dead_code, reason = "counted by its clones")] Arc<()>);

impl PartialEq for Counted {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Counted {}

impl Hash for Counted {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

// S29
#[test]
fn no_key_and_no_value_is_kept_when_nobody_waits() {
    let keep_nothing = Tier::memory(10).insert_policy(InsertPolicy::never());
    let cache = Cache::<Counted, Counted>::builder("counted").tier(keep_nothing).stampede_protection().build();
    let (keys, values) = (Arc::new(()), Arc::new(()));
    let key = Counted(1, Arc::clone(&keys));
    for dropped in 0..16_u32 {
        let ask = || {
            Some(Stepped::new(cache.get_or_insert(&key, || async {
                let value = Counted(1, Arc::clone(&values));
                pend(1).await;
                value
            })))
        };
        // Any of them may be given up, in the order in which they came or in the other.
        for backwards in [true, false] {
            let mut asking: Vec<_> = std::iter::repeat_with(ask).take(4).collect();
            pend_all(asking.iter_mut().flatten());
            assert_eq!(Arc::strong_count(&keys), 3, "the table has one key");
            assert_eq!(Arc::strong_count(&values), 2, "and one closure is running");
            let mut order: Vec<_> = (0..4).collect();
            if backwards {
                order.reverse();
            }
            for index in &order {
                if dropped & (1 << index) != 0 {
                    asking[*index] = None;
                }
            }
            // The closures of those who are left: each is pending once.
            for _ in 0..3 {
                for asking in &mut asking {
                    *asking = asking.take().and_then(|mut asking| asking.poll().is_pending().then_some(asking));
                }
            }
            assert!(asking.iter().all(Option::is_none));
            assert_eq!((Arc::strong_count(&keys), Arc::strong_count(&values)), (2, 1), "{dropped:b}");
        }
    }
}

// S29: also of those who gave up while the flight goes on.
#[test]
fn those_who_gave_up_leave_nothing_behind_in_a_long_flight() {
    let cache = Ages::builder("ages").tier(Tier::memory(10)).stampede_protection().build();
    let mut leader = ask(&cache, "ada", after(u32::MAX, 1));
    leader.pend(1);
    let give_up = |times| {
        for _ in 0..times {
            ask(&cache, "ada", never()).pend(1);
        }
    };
    give_up(100);
    let left = allocation_counter::measure(|| give_up(1000)).bytes_current;
    assert_eq!(left, 0, "bytes for a thousand that gave up");
}

// S29: a flight that has landed is over.
#[test]
fn later_calls_compute_afresh() {
    let two = protected();
    for round in 0..5 {
        let mut leader = ask(&two.cache, "ada", after(1, round));
        let mut follower = ask(&two.cache, "ada", never());
        leader.pend(1);
        follower.pend(1);
        assert_eq!(leader.ready().unwrap(), Some(round));
        assert_eq!(follower.ready().unwrap(), Some(round));
        ready(two.cache.invalidate("ada")).unwrap();
    }
}

// S29, S25: whoever comes back late from a flight does not disturb the next one.
#[test]
fn a_follower_may_come_back_during_the_next_flight() {
    let two = protected();
    let mut first = ask(&two.cache, "ada", after(1, 1));
    let mut late = ask(&two.cache, "ada", never());
    let mut lost = ask(&two.cache, "ada", never());
    for asking in [&mut first, &mut late, &mut lost] {
        asking.pend(1);
    }
    first.ready().unwrap();
    ready(two.cache.invalidate("ada")).unwrap();
    let mut second = ask(&two.cache, "ada", after(1, 2));
    let mut follower = ask(&two.cache, "ada", never());
    second.pend(1);
    follower.pend(1);
    drop(lost);
    assert_eq!(late.ready().unwrap(), Some(1));
    follower.pend(1);
    assert_eq!(second.ready().unwrap(), Some(2));
    assert_eq!(follower.ready().unwrap(), Some(2));
}

// S36: with nobody listening, all of it works the same.
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
        let nested = Stepped::new(cache.try_get_or_insert("ada", || async { cache.get_or_insert("ada", never).await }));
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
