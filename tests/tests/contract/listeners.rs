//! S51, S62: what a handler may do, and what panics where it should not.

use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;

use cachet::telemetry::TierOperation::Get;
use cachet::telemetry::{Buffered, CacheOperationEvent, CacheTierEvent, EventMask};
use cachet::testing::Behavior::Hang;
use cachet::testing::{MockTier, RecordingHandler};
use cachet::{Cache, CacheEventHandler, InsertOutcome, Tier};
use cachet_tests::{ManualTask, ready};

use crate::{Ages, Mock, millis, secs, value};

/// Uses a cache, which is mostly the one that it belongs to, at every event.
#[derive(Clone)]
struct Uses {
    cache: Arc<OnceLock<Ages>>,
    with: fn(&Ages, &str),
    calls: Arc<AtomicU64>,
}

impl Uses {
    fn new(with: fn(&Ages, &str)) -> Self {
        Self { cache: Arc::default(), with, calls: Arc::default() }
    }

    fn called(&self, event: &str) {
        if let Some(cache) = self.cache.get() {
            self.calls.fetch_add(1, Ordering::Relaxed);
            (self.with)(cache, event);
        }
    }

    fn calls(&self) -> u64 {
        self.calls.swap(0, Ordering::Relaxed)
    }
}

impl CacheEventHandler for Uses {
    fn on_tier_event(&self, event: &CacheTierEvent<'_>) {
        self.called(event.outcome().as_str());
    }

    fn on_operation_event(&self, event: &CacheOperationEvent<'_>) {
        self.called(event.outcome().as_str());
    }
}

/// A cache of two tiers whose handler uses it like this.
fn used(with: fn(&Ages, &str), l1: Tier<str, u32>) -> (Ages, Uses, RecordingHandler) {
    let (uses, seen) = (Uses::new(with), RecordingHandler::new());
    let below = MockTier::new();
    let cache = Ages::builder("ages")
        .tier(l1.name("l1"))
        .tier(Tier::new(below).name("l2"))
        .stampede_protection()
        .event_handler(uses.clone())
        .event_handler(seen.clone())
        .build();
    let _ = uses.cache.set(cache.clone());
    (cache, uses, seen)
}

/// Everything that a cache can do, to the end.
fn everything(cache: &Ages, key: &str) {
    let _ = ready(cache.get(key));
    let _ = ready(cache.insert(key, 1));
    let _ = ready(cache.get_or_insert(key, || async { 2 }));
    let _ = ready(cache.contains(key));
    let _ = ready(cache.invalidate(key));
    let _ = ready(cache.get_many([key, "zoe"]));
    let _ = ready(cache.insert_many([(key, 3)]));
    let _ = ready(cache.invalidate_many([key]));
    let _ = ready(cache.len());
}

// S51, law 1: each operation is reported as if the handler did nothing, and what the handler does is counted.
#[test]
fn a_handler_that_uses_its_cache_at_every_event_is_not_called_for_that() {
    let (cache, uses, seen) = used(|cache, _| drop(ready(cache.get("other"))), Tier::memory(10));
    ready(cache.insert("ada", 1)).unwrap();
    assert_eq!(value(&cache, "ada"), Some(1));
    assert_eq!(*ready(cache.get_or_insert("bob", || async { 2 })).unwrap(), 2);
    let lines = seen.take_lines();
    assert_eq!(
        lines,
        [
            "l1 insert: inserted",
            "l2 insert: inserted",
            "insert: inserted",
            "l1 get: hit",
            "get: hit",
            "l1 get: miss",
            "l2 get: miss (fallback)",
            "l1 insert: inserted",
            "l2 insert: inserted",
            "get_or_insert: computed",
        ]
    );
    assert_eq!(cache.reentrant_operations(), lines.len() as u64);
    assert_eq!((uses.calls(), cache.handler_panics()), (lines.len() as u64, 0));
}

// S51: also the key that the operation is about, and all keys.
#[test]
fn a_handler_may_do_everything_with_any_key_and_nothing_hangs() {
    for l1 in [|| Tier::memory(1), || Tier::new(Mock::new())] {
        let (cache, uses, seen) = used(
            |cache, _| {
                everything(cache, "ada");
                everything(cache, "other");
            },
            l1(),
        );
        for _ in 0..3 {
            everything(&cache, "ada");
            let _ = ready(cache.clear());
        }
        assert!(uses.calls() > 0 && cache.reentrant_operations() > 0);
        assert_eq!(
            seen.take_lines().iter().filter(|line| !line.starts_with("l1 ") && !line.starts_with("l2 ")).count(),
            3 * 10
        );
    }
}

// S51: an insert in a handler that evicts is no event.
#[test]
fn a_handler_that_writes_on_an_eviction_does_not_go_on_for_ever() {
    let evicting = |cache: &Ages, event: &str| {
        if event == "evicted" {
            ready(cache.insert("other", 1)).unwrap();
        }
    };
    let (cache, _uses, seen) = used(evicting, Tier::memory(1));
    for key in ["ada", "bob", "eve"] {
        ready(cache.insert(key, 1)).unwrap();
    }
    let evictions = seen.take().iter().filter(|event| event.to_string().contains("evict")).count();
    assert!((1..=3).contains(&evictions), "{evictions}");
    assert_eq!(cache.reentrant_operations(), evictions as u64);
}

// S23, S51: a loader is no callback.
#[test]
fn what_a_loader_does_is_observed() {
    let (cache, _uses, seen) = used(|_, _| {}, Tier::memory(10));
    let nested = || async { ready(cache.get("bob")).unwrap().map_or(1, |entry| *entry) };
    ready(cache.get_or_insert("ada", nested)).unwrap();
    assert!(seen.take_lines().contains(&"get: miss".to_owned()));
    assert_eq!(cache.reentrant_operations(), 0);
}

// S51: waiting for the operation that it is called from is an error, and not a deadlock.
#[test]
fn a_handler_that_would_wait_for_the_operation_it_is_called_from_gets_an_error() {
    // The event of the first tier, while the second one is still being written.
    let writes = |cache: &Ages, event: &str| {
        if event == "inserted" && cache.reentrant_operations() == 0 {
            assert!(ready(cache.insert("ada", 2)).unwrap_err().is_reentrant());
            ready(cache.insert("bob", 2)).unwrap();
        }
    };
    let (cache, _uses, seen) = used(writes, Tier::memory(10));
    assert_eq!(ready(cache.insert("ada", 1)).unwrap(), InsertOutcome::Accepted);
    assert_eq!(seen.take_lines(), ["l1 insert: inserted", "l2 insert: inserted", "insert: inserted"]);
    assert_eq!((cache.handler_panics(), cache.reentrant_operations()), (0, 2));
    assert_eq!(value(&cache, "bob"), Some(2));
}

/// Uses a cache when its thread ends.
struct AtTheEnd(Ages);

impl Drop for AtTheEnd {
    fn drop(&mut self) {
        everything(&self.0, "ada");
        everything(&self.0, "last");
    }
}

// S62
#[test]
fn a_cache_can_be_used_while_a_thread_ends() {
    thread_local! {
        static FIRST: OnceLock<AtTheEnd> = const { OnceLock::new() };
        static LAST: OnceLock<AtTheEnd> = const { OnceLock::new() };
    }
    for observed in [false, true] {
        let seen = RecordingHandler::new();
        let mut builder = Ages::builder("ages").tier(Tier::memory(1)).tier(Tier::memory(1)).enable_logs();
        if observed {
            builder = builder.event_handler(seen.clone()).stampede_protection();
        }
        let cache = builder.build();
        let end = |cache: Ages| {
            FIRST.with(|slot| slot.set(AtTheEnd(cache.clone())).is_ok());
            // Makes all that the library keeps for a thread, so that some of it ends first, and some last.
            everything(&cache, "bob");
            LAST.with(|slot| slot.set(AtTheEnd(cache)).is_ok());
        };
        let of_thread = cache.clone();
        thread::spawn(move || end(of_thread)).join().unwrap();
        assert_eq!(seen.take().is_empty(), !observed);
        assert_eq!(value(&cache, "last"), None);
    }
}

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(thread::panicking(), "a second panic");
    }
}

async fn load_a_bomb() -> u32 {
    panic_any(Bomb)
}

struct Panics;

impl CacheEventHandler for Panics {
    fn on_operation_event(&self, _event: &CacheOperationEvent<'_>) {
        panic_any(Bomb);
    }
}

// S62
#[test]
fn what_is_thrown_may_panic_when_it_is_dropped() {
    let cache = Ages::builder("ages").tier(Tier::memory(10)).stampede_protection().event_handler(Panics).build();
    for _ in 0..2 {
        assert_eq!(value(&cache, "ada"), None);
    }
    assert_eq!(cache.handler_panics(), 2);
    assert!(ready(cache.get_or_insert("ada", load_a_bomb)).unwrap_err().is_panic());
    let below = Ages::builder("ages").tier(Tier::new(Mock::new())).stampede_protection().build();
    assert!(ready(below.get_or_insert("ada", load_a_bomb)).unwrap_err().is_panic());
}

/// A value whose clone panics.
struct Fragile(Arc<AtomicBool>);

impl Clone for Fragile {
    fn clone(&self) -> Self {
        assert!(!self.0.load(Ordering::Relaxed), "no copies");
        Self(Arc::clone(&self.0))
    }
}

// S62
#[test]
fn a_value_whose_clone_panics_is_reported_as_a_panic() {
    let (seen, armed) = (RecordingHandler::new(), Arc::new(AtomicBool::new(false)));
    let cache = Cache::<str, Fragile>::builder("ages")
        .tier(Tier::memory(10).name("l1"))
        .tier(Tier::memory(10).name("l2"))
        .event_handler(seen.clone())
        .build();
    let panics = |call: &dyn Fn()| {
        armed.store(true, Ordering::Relaxed);
        assert!(catch_unwind(AssertUnwindSafe(call)).is_err());
        armed.store(false, Ordering::Relaxed);
        seen.take_lines().pop().unwrap()
    };
    assert_eq!(panics(&|| drop(ready(cache.insert("ada", Fragile(Arc::clone(&armed)))))), "insert: panicked");
    let load = || async { Fragile(Arc::clone(&armed)) };
    assert_eq!(panics(&|| drop(ready(cache.get_or_insert("ada", load)))), "get_or_insert: panicked");
    ready(cache.insert("ada", Fragile(Arc::clone(&armed)))).unwrap();
    seen.take();
    assert_eq!(panics(&|| drop(ready(cache.get("ada")))), "get: panicked");
    assert!(ready(cache.get("ada")).unwrap().is_some());
}

// S62
#[test]
fn a_runtime_that_has_ended_is_an_error_and_no_panic() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let below = Mock::new();
    let cache = Ages::builder("ages")
        .tier(Tier::memory(10).name("l1").refresh_after(millis(0)))
        .tier(Tier::new(below.clone()).timeout(secs(5)))
        .time_limit(secs(5))
        .load_timeout(secs(5))
        .runtime(runtime.handle().clone())
        .build();
    // Its timer was made while the runtime was there.
    below.next(Get, Hang);
    let mut reading = ManualTask::new(cache.get("ada"));
    reading.pend(1);
    drop(runtime);
    assert!(reading.ready().unwrap_err().is_no_runtime());
    below.next(Get, Hang);
    assert!(ready(cache.get("ada")).unwrap_err().is_no_runtime());
    assert!(ready(cache.get_or_insert("bob", std::future::pending::<u32>)).unwrap_err().is_no_runtime());
    // A refresh that cannot be spawned.
    ready(cache.insert("ada", 1)).unwrap();
    assert_eq!(value(&cache, "ada"), Some(1));
    assert_eq!(cache.refreshes().running, 0);
}

/// Panics at every second event.
#[derive(Default)]
struct EverySecond(AtomicU64);

impl CacheEventHandler for EverySecond {
    fn on_operation_event(&self, _event: &CacheOperationEvent<'_>) {
        assert!(self.0.fetch_add(1, Ordering::Relaxed) % 2 == 1, "an even one");
    }
}

// S39
#[test]
fn a_handler_behind_a_queue_lives_on_after_a_panic() {
    let (buffered, events) = Buffered::new(100, EventMask::OPERATIONS);
    let cache = Ages::builder("ages").tier(Tier::memory(10)).event_handler(buffered.clone()).build();
    let handler = Arc::new(EverySecond::default());
    let of_thread = Arc::clone(&handler);
    let delivering = thread::spawn(move || events.deliver_to(&of_thread));
    for _ in 0..10 {
        ready(cache.get("ada")).unwrap();
    }
    while handler.0.load(Ordering::Relaxed) < 10 {
        thread::yield_now();
    }
    while buffered.handler_panics() < 5 {
        thread::yield_now();
    }
    assert_eq!(buffered.dropped(), 0);
    // It ends when no queue is left.
    drop((cache, buffered));
    delivering.join().unwrap();
    assert_eq!(handler.0.load(Ordering::Relaxed), 10);
}
