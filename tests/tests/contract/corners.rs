//! Code of the user's that panics, or does more than one expects, in places where one does not expect it.

use std::cell::Cell;
use std::future::Future;
use std::hash::Hash;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use cachet::testing::RecordingHandler;
use cachet::{Cache, CacheEntry, CacheTier, InsertOutcome, InsertPolicy, ManualClock, RecordKeys, Tier, TierError, cache_tier};
use cachet_tests::trace::Recorder;
use cachet_tests::{ByHand, ready, collected};

use crate::{Ages, Mock, secs, stored, value};

/// Fails instead of hanging.
fn within(what: &str, work: impl FnOnce() + Send + 'static) {
    let (done, wait) = mpsc::channel();
    std::thread::spawn(move || {
        work();
        let _ = done.send(());
    });
    wait.recv_timeout(Duration::from_secs(5)).unwrap_or_else(|e| panic!("{what}: {e}"));
}

// S16, S17
#[test]
fn insert_many_keeps_the_later_of_a_key_where_the_policy_rejects_the_earlier() {
    let cache = Ages::builder("ages")
        .tier(Tier::memory(10).insert_policy(InsertPolicy::when(|_: &str, e: &CacheEntry<u32>| **e > 1)))
        .build();
    let outcomes = collected(ready(cache.insert_many([("a", 1), ("a", 2)]))).unwrap();
    assert_eq!(outcomes, [InsertOutcome::Rejected, InsertOutcome::Accepted]);
    assert_eq!(value(&cache, "a"), Some(2));
}

// S33
#[test]
fn a_panic_of_record_keys_leaves_no_refresh_running() {
    let (l1, l2, clock, tasks) = (Mock::new(), Mock::new(), ManualClock::new(), ByHand::new());
    let curse = Arc::new(AtomicBool::new(false));
    let cursed = curse.clone();
    let cache = Ages::builder("ages")
        .tier(Tier::new(l1).name("l1").refresh_after(secs(60)))
        .tier(Tier::new(l2).name("l2"))
        .runtime(tasks.clone())
        .clock(clock.clone())
        .event_handler(RecordingHandler::new())
        .record_keys(RecordKeys::with(move |key: &str| {
            assert!(!cursed.load(Ordering::SeqCst), "boom");
            key.to_owned()
        }))
        .build();
    ready(cache.insert("a", 1)).unwrap();
    clock.advance(secs(60));
    curse.store(true, Ordering::SeqCst);
    let _ = catch_unwind(AssertUnwindSafe(|| ready(cache.get_many(["a"]))));
    curse.store(false, Ordering::SeqCst);
    assert_eq!((cache.refreshes().running, tasks.tasks()), (0, 0));
}

thread_local! { static BURN: Cell<bool> = const { Cell::new(false) }; }

#[derive(PartialEq, Eq, Hash, Debug)]
struct Fragile(u32);

impl Clone for Fragile {
    fn clone(&self) -> Self {
        assert!(!BURN.get(), "burnt");
        Self(self.0)
    }
}

// S33
#[test]
fn a_panic_of_a_keys_clone_leaves_no_refresh_running() {
    let (clock, tasks) = (ManualClock::new(), ByHand::new());
    let cache = Cache::<Fragile, u32>::builder("ages")
        .tier(Tier::memory(10).name("l1").refresh_after(secs(60)))
        .tier(Tier::memory(10).name("l2"))
        .runtime(tasks.clone())
        .clock(clock.clone())
        .max_concurrent_refreshes(1)
        .build();
    ready(cache.insert(Fragile(1), 1)).unwrap();
    ready(cache.insert(Fragile(2), 1)).unwrap();
    clock.advance(secs(60));
    BURN.set(true);
    assert!(catch_unwind(AssertUnwindSafe(|| ready(cache.get(&Fragile(1))))).is_err());
    BURN.set(false);
    assert_eq!((cache.refreshes().running, tasks.tasks()), (0, 0));
}

// S25
#[test]
fn a_waker_may_poll_what_it_wakes() {
    type Task = Pin<Box<dyn Future<Output = ()> + Send>>;
    struct Inline {
        task: Mutex<Option<Task>>,
        polled: AtomicUsize,
    }
    impl Inline {
        fn poll(self: &Arc<Self>) {
            let Some(mut task) = self.task.lock().unwrap().take() else { return };
            self.polled.fetch_add(1, Ordering::SeqCst);
            if task.as_mut().poll(&mut Context::from_waker(&Waker::from(self.clone()))).is_pending() {
                *self.task.lock().unwrap() = Some(task);
            }
        }
    }
    impl Wake for Inline {
        fn wake(self: Arc<Self>) {
            self.poll();
        }
    }
    within("a waker that polls", || {
        let cache = Ages::builder("ages").tier(Tier::memory(10)).stampede_protection().build();
        let mut leader = cachet_tests::Stepped::new(cache.get_or_insert("a", || async {
            cachet_tests::step::pend(1).await;
            1
        }));
        leader.pend(1);
        let other = cache.clone();
        let task = Arc::new(Inline {
            task: Mutex::new(Some(Box::pin(async move {
                assert_eq!(**other.get_or_insert("a", || async { 2 }).await.as_ref().unwrap(), 1);
            }))),
            polled: AtomicUsize::new(0),
        });
        task.poll();
        assert_eq!(*leader.ready().unwrap(), 1);
        assert_eq!(task.polled.load(Ordering::SeqCst), 2);
    });
}

// S8
#[test]
fn a_manual_clock_that_is_advanced_beyond_its_end_does_not_go_back() {
    let clock = ManualClock::new();
    let cache = Ages::builder("ages").tier(Tier::memory(10).ttl(secs(60))).clock(clock.clone()).build();
    clock.advance(secs(1));
    ready(cache.insert("a", 1)).unwrap();
    let before = clock.wall();
    clock.advance(Duration::MAX);
    assert!(clock.wall() >= before, "the wall clock went back");
    assert_eq!(value(&cache, "a"), None);
}

// S8
#[test]
fn whoever_sleeps_is_woken_by_the_end_of_time() {
    let clock = ManualClock::new();
    clock.advance(secs(1));
    let mut nap = Box::pin(clock.sleep(secs(8)));
    assert!(nap.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    clock.advance(Duration::MAX);
    assert!(nap.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
}

#[derive(Default)]
struct Quiet(Mock);

#[cache_tier(name = "quiet", immediate, level = "trace")]
impl CacheTier<str, u32> for Quiet {
    async fn get(&self, key: &str) -> Result<Option<CacheEntry<u32>>, TierError> {
        tracing::info!("inside");
        Ok(stored(&self.0, key).map(CacheEntry::new))
    }
    async fn insert(&self, key: String, entry: CacheEntry<u32>) -> Result<InsertOutcome, TierError> {
        self.0.put(key, entry);
        Ok(InsertOutcome::Accepted)
    }
    async fn invalidate(&self, _: &str) -> Result<(), TierError> {
        Ok(())
    }
    async fn clear(&self) -> Result<(), TierError> {
        Ok(())
    }
}

// S35
#[test]
fn what_a_tier_without_a_span_says_is_in_the_operations_span() {
    use tracing_subscriber::layer::SubscriberExt;
    let parent = |record_keys| {
        let recorder = Recorder::new();
        let subscriber = tracing_subscriber::Registry::default()
            .with(tracing::level_filters::LevelFilter::DEBUG)
            .with(recorder.clone());
        tracing::subscriber::with_default(subscriber, || {
            let cache =
                Ages::builder("ages").tier(Tier::new(Quiet::default())).enable_logs().record_keys(record_keys).build();
            ready(cache.insert("a", 1)).unwrap();
            ready(cache.get("a")).unwrap();
        });
        let seen = recorder.take();
        let event = seen.events.iter().find(|event| event.text("message") == Some("inside")).unwrap();
        event.parent.map(|parent| seen.spans[parent].name)
    };
    assert_eq!(parent(RecordKeys::with(|_: &str| String::new())), Some("cache.get"), "slow");
    assert_eq!(parent(RecordKeys::omitted()), Some("cache.get"), "brief");
}

struct Fields(Mock, Option<u32>);
impl Fields {
    fn shard(&self) -> u32 {
        self.1.expect("the shard is known")
    }
}

#[cache_tier(name = "fields", immediate, fields(shard = self.shard()))]
impl CacheTier<str, u32> for Fields {
    async fn get(&self, key: &str) -> Result<Option<CacheEntry<u32>>, TierError> {
        Ok(stored(&self.0, key).map(CacheEntry::new))
    }
    async fn insert(&self, key: String, entry: CacheEntry<u32>) -> Result<InsertOutcome, TierError> {
        self.0.put(key, entry);
        Ok(InsertOutcome::Accepted)
    }
    async fn invalidate(&self, _: &str) -> Result<(), TierError> {
        Ok(())
    }
    async fn clear(&self) -> Result<(), TierError> {
        Ok(())
    }
}

// S35
#[test]
fn a_panic_of_a_declared_field_ends_the_operation_once() {
    let told = |record_keys| {
        let seen = RecordingHandler::new();
        Recorder::listen(|| {
            let mock = Mock::new();
            let cache = Ages::builder("ages")
                .tier(Tier::new(Fields(mock, None)))
                .enable_logs()
                .event_handler(seen.clone())
                .record_keys(record_keys)
                .build();
            assert!(catch_unwind(AssertUnwindSafe(|| ready(cache.get("a")))).is_err());
        });
        seen.take_lines()
    };
    // Who has keys recorded takes another way; only a call that has begun is told of.
    assert_eq!(told(RecordKeys::with(|_: &str| String::new())), ["get: panicked"]);
    assert_eq!(told(RecordKeys::omitted()), ["fields get: error", "get: panicked"]);
}

struct Eager;

#[cache_tier(name = "eager", immediate)]
impl CacheTier<str, u32> for Eager {
    fn get(&self, _: &str) -> impl Future<Output = Result<Option<CacheEntry<u32>>, TierError>> + Send {
        assert!(std::hint::black_box(false), "boom");
        std::future::ready(Ok(None))
    }
    fn insert(&self, _: String, _: CacheEntry<u32>) -> impl Future<Output = Result<InsertOutcome, TierError>> + Send {
        assert!(std::hint::black_box(false), "boom");
        std::future::ready(Ok(InsertOutcome::Accepted))
    }
    async fn invalidate(&self, _: &str) -> Result<(), TierError> {
        Ok(())
    }
    async fn clear(&self) -> Result<(), TierError> {
        Ok(())
    }
}

// S35
#[test]
fn a_panic_before_the_first_await_of_a_method_is_the_tiers() {
    let seen = RecordingHandler::new();
    let cache = Ages::builder("ages")
        .tier(Tier::new(Eager))
        .event_handler(seen.clone())
        .record_keys(RecordKeys::full())
        .build();
    assert!(catch_unwind(AssertUnwindSafe(|| ready(cache.get("a")))).is_err());
    let get = seen.take_lines();
    assert!(catch_unwind(AssertUnwindSafe(|| ready(cache.insert("a", 1)))).is_err());
    let insert = seen.take_lines();
    assert_eq!(get, ["eager get: error", "get: panicked"]);
    assert_eq!(insert, ["eager insert: error", "insert: panicked"]);
}

// S37
#[test]
fn handlers_are_told_outside_of_the_operation() {
    use cachet::{CacheEventHandler, CacheOperationEvent, RequestId};
    #[derive(Clone, Default)]
    struct Current(Arc<Mutex<Vec<Option<bool>>>>);
    impl CacheEventHandler for Current {
        fn on_operation_event(&self, event: &CacheOperationEvent<'_>) {
            self.0.lock().unwrap().push(RequestId::current().map(|id| id == event.request_id()));
        }
    }
    let told = |keys| {
        let current = Current::default();
        let cache =
            Ages::builder("ages").tier(Tier::memory(10)).event_handler(current.clone()).record_keys(keys).build();
        ready(cache.insert("a", 1)).unwrap();
        ready(cache.get("a")).unwrap();
        ready(cache.get("b")).unwrap();
        current.0.lock().unwrap().clone()
    };
    assert_eq!(told(RecordKeys::omitted()), told(RecordKeys::full()));
}

// S7
#[test]
fn a_get_that_is_polled_once_more_after_its_end_does_not_panic() {
    let cache = Ages::builder("ages").tier(Tier::new(Mock::new())).build();
    let mut get = Box::pin(cache.get("a"));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(get.as_mut().poll(&mut cx).is_ready());
    assert!(get.as_mut().poll(&mut cx).is_pending());
}
