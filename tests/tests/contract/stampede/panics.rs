//! S27: closures, keys and values that panic.

use std::cell::Cell;
use std::future::Ready;
use std::hash::{Hash, Hasher};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};

use cachet::telemetry::OperationOutcome;
use cachet::{Cache, CacheEntry, Error, Tier};
use cachet_tests::task::pend;
use cachet_tests::{ManualTask, events, ready};

use super::{COMPUTED, after, ask, computes_nothing, never, pend_all, protected, protected_memory};
use crate::{Ages, TestCache, TwoTiers, value};

const PANICKED: [&str; 3] = ["l1 get: miss", "l2 get: miss (fallback)", "get_or_insert: panicked"];

#[track_caller]
fn check(error: &Error, text: &str) {
    assert_eq!((error.is_panic(), error.is_load(), error.is_tier(), error.tier_name()), (true, false, false, None));
    assert_eq!(error.error_type(), "panic");
    assert_eq!(format!("{error:#}"), format!("the loader panicked: {text}"));
}

// S27
#[test]
fn a_panic_of_the_closure_is_an_error_for_leader_and_followers() {
    let two = protected();
    let mut leader = ask(&two.cache, "ada", async {
        pend(1).await;
        panic!("boom {}", 7)
    });
    leader.pend(1);
    let mut followers = [(); 2].map(|()| ask(&two.cache, "ada", never()));
    pend_all(&mut followers);
    check(&leader.ready().unwrap_err(), "boom 7");
    for follower in followers {
        assert_eq!(follower.wakes(), 1);
        check(&follower.ready().unwrap_err(), "boom 7");
    }
    let recorded = two.events();
    let followed = ["l1 get: miss", "l2 get: miss (fallback)", "get_or_insert: panicked (coalesced)"];
    assert_eq!(events::by_operation(&recorded), [PANICKED, followed, followed]);
    for end in events::completions(&recorded) {
        assert_eq!(end.outcome(), OperationOutcome::Panicked);
        check(end.error().unwrap(), "boom 7");
    }
    assert_eq!(ask(&two.cache, "ada", after(1, 1)).finish().unwrap(), Some(1));
    assert_eq!(events::by_operation(&two.events()), [COMPUTED]);
}

// S27: before there is a future, at its first poll, in every method, with every payload, heard or not.
#[test]
fn a_panic_is_caught_wherever_it_comes_from() {
    fn early(text: &'static str) -> Ready<u32> {
        panic_any(text)
    }

    async fn late<T: std::any::Any + Send>(payload: T) -> u32 {
        pend(0).await;
        panic_any(payload)
    }

    for listened in [true, false] {
        let (test, silent) =
            (protected_memory(), Ages::builder("ages").tier(Tier::memory(10)).stampede_protection().build());
        let cache = if listened { &test.cache } else { &silent };
        check(&ready(cache.get_or_insert("ada", || early("early"))).unwrap_err(), "early");
        check(&ready(cache.get_or_insert("ada", || async { early("first").await })).unwrap_err(), "first");
        let fails = cache.try_get_or_insert("ada", || async { io::Result::Ok(late("x".to_owned()).await) });
        check(&ready(fails).unwrap_err(), "x");
        let gives = cache.optionally_get_or_insert("ada", || async { Some(late("y").await) });
        check(&ready(gives).unwrap_err(), "y");
        let odd = cache.get_or_insert("ada", || late(7_u8));
        check(&ready(odd).unwrap_err(), "a payload that is not a string");
        assert_eq!(value(cache, "ada"), None);
        // Nothing of it is left on this thread either: the key can be computed, and asked for in other closures.
        let outer = ask(cache, "bob", async { *cache.get_or_insert("ada", || after(0, 1)).await.unwrap() });
        assert_eq!(outer.ready().unwrap(), Some(1));
    }
}

// S27
#[test]
fn without_protection_a_panic_unwinds() {
    let two = TwoTiers::new();
    let work = AssertUnwindSafe(|| ask(&two.cache, "ada", async { panic!("boom") }).poll());
    assert!(catch_unwind(work).is_err());
    assert_eq!(events::by_operation(&two.events()), [PANICKED]);
}

// S27: the closure of one that had to compute for itself, after a leader that gave nothing.
#[test]
fn a_panic_of_a_disappointed_follower_is_an_error_too() {
    let two = protected();
    let mut leader = computes_nothing(&two.cache);
    let mut follower = ask(&two.cache, "ada", async { panic!("boom") });
    leader.pend(1);
    follower.pend(1);
    leader.ready().unwrap();
    let polled = catch_unwind(AssertUnwindSafe(|| follower.poll()));
    let std::task::Poll::Ready(result) = polled.expect("the panic unwound") else { panic!("pending") };
    check(&result.unwrap_err(), "boom");
}

// S28: the same for reentrance.
#[test]
fn a_disappointed_follower_that_asks_for_its_own_key_gets_an_error() {
    let two = protected();
    let cache = &two.cache;
    let mut leader = computes_nothing(cache);
    let mut follower =
        ManualTask::new(cache.try_get_or_insert("ada", || async { cache.get_or_insert("ada", || after(0, 5)).await }));
    leader.pend(1);
    follower.pend(1);
    leader.ready().unwrap();
    let error = follower.finish().expect_err("it was computed within itself");
    assert!(error.source_as::<Error>().unwrap().is_reentrant());
}

thread_local! {
    /// How many hashes or clones until one panics.
    static FUSE: Cell<u32> = const { Cell::new(0) };
}

fn burn() {
    let left = FUSE.get();
    FUSE.set(left.saturating_sub(1));
    assert!(left != 1, "burnt");
}

#[derive(PartialEq, Eq, Debug)]
struct Fragile(u32);

impl Clone for Fragile {
    fn clone(&self) -> Self {
        burn();
        Self(self.0)
    }
}

impl Hash for Fragile {
    fn hash<H: Hasher>(&self, state: &mut H) {
        burn();
        self.0.hash(state);
    }
}

/// Runs a flight of one leader and two followers in which the fuse burns at some point; whatever happens, all three get a
/// result, and the key can be computed afterwards. Returns whether the fuse burnt.
fn survives<K: cachet::Key + ?Sized, V: cachet::Value>(
    cache: &Cache<K, V>,
    key: &K,
    load: impl Fn() -> V + Copy + Send + Sync,
    fuse: u32,
) -> bool {
    let ask = || {
        ManualTask::new(async move {
            let compute = cache.get_or_insert(key, || async move {
                pend(1).await;
                load()
            });
            drop(compute.await);
        })
    };
    let mut asking: Vec<_> = std::iter::repeat_with(ask).take(3).map(Some).collect();
    FUSE.set(fuse);
    for _ in 0..6 {
        for asking in &mut asking {
            let polled = catch_unwind(AssertUnwindSafe(|| asking.as_mut().map(ManualTask::poll)));
            if !matches!(polled, Ok(Some(std::task::Poll::Pending))) {
                *asking = None;
            }
        }
    }
    let burnt = FUSE.replace(0) == 0;
    assert!(asking.iter().all(Option::is_none), "an operation waits forever after a panic at {fuse}");
    ready(cache.invalidate(key)).unwrap();
    assert!(ManualTask::new(cache.get_or_insert(key, || async move { load() })).finish().is_ok(), "at {fuse}");
    ready(cache.invalidate(key)).unwrap();
    burnt
}

// S27: "a panic of a type's own `Hash`, `Eq` or `Clone` unwinds to the caller, and the cache stays usable".
#[test]
fn nobody_waits_forever_after_a_panic_of_a_values_clone() {
    let cache = Cache::<str, Fragile>::builder("fragile").tier(Tier::memory(10)).stampede_protection().build();
    let burnt = (1..100).take_while(|fuse| survives(&cache, "ada", || Fragile(1), *fuse)).count();
    assert!((2..99).contains(&burnt), "{burnt}");
}

// S27
#[test]
fn nobody_waits_forever_after_a_panic_of_a_keys_hash_or_clone() {
    let cache = Cache::<Fragile, u32>::builder("fragile").tier(Tier::memory(10)).stampede_protection().build();
    let key = Fragile(1);
    let burnt = (1..100).take_while(|fuse| survives(&cache, &key, || 1, *fuse)).count();
    assert!((2..99).contains(&burnt), "{burnt}");
}

// S27, S26: the followers of one that took over hear of its panic.
#[test]
fn a_panic_of_whoever_took_over_reaches_its_followers() {
    let TestCache { cache, .. } = &protected_memory();
    let mut leader = ask(cache, "ada", after(1, 1));
    let mut heir = ask(cache, "ada", async {
        pend(1).await;
        panic!("boom")
    });
    let mut follower = ManualTask::new(cache.get_or_insert("ada", || async { CacheEntry::new(never().await) }));
    leader.pend(1);
    heir.pend(1);
    follower.pend(1);
    drop(leader);
    heir.pend(1);
    follower.pend(1);
    check(&heir.ready().unwrap_err(), "boom");
    check(&follower.ready().unwrap_err(), "boom");
}
