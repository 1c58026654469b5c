//! S39, S51, S62: a handler and a subscriber that do everything wrong in every callback, under load. Nothing hangs, aborts or is
//! lost, and what was cut off is counted.
//!
//! A process of its own, since the subscriber is the global one: `tracing` itself guards those of a scope against recursion.

use std::cell::Cell;
use std::panic::panic_any;
use std::process::abort;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use cachet::telemetry::{CacheOperation, CacheOperationEvent, CacheTierEvent, EventMask, subscriber_panics};
use cachet::testing::{Behavior, MockTier};
use cachet::{Cache, CacheEventHandler, Tier};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::layer::{Context as LayerContext, Layer, SubscriberExt};
use tracing_subscriber::registry::Registry;

type Numbers = Cache<u64, u64>;

/// The cache that the listeners use: their own, or, while several threads run, another one. Waiting for each other's operations on
/// several threads is not covered (S51).
static USED: Mutex<Option<Numbers>> = Mutex::new(None);
/// What goes wrong next.
static TURN: AtomicU64 = AtomicU64::new(0);
static LAYER_PANICS: AtomicU64 = AtomicU64::new(0);
static HANDLER_PANICS: AtomicU64 = AtomicU64::new(0);

/// One call of [`block_on`]: a thread may be in several, one inside the other.
struct Blocked {
    thread: Thread,
    woken: AtomicBool,
}

impl Wake for Blocked {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, Ordering::SeqCst);
        self.thread.unpark();
    }
}

/// Blocks the thread.
fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = Box::pin(future);
    let blocked = Arc::new(Blocked { thread: thread::current(), woken: AtomicBool::new(false) });
    let waker = Waker::from(Arc::clone(&blocked));
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        while !blocked.woken.swap(false, Ordering::SeqCst) {
            thread::park();
        }
    }
}

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(thread::panicking(), "a second panic");
    }
}

fn misbehave(panics: &AtomicU64) {
    let Some(cache) = USED.lock().unwrap().clone() else { return };
    let turn = TURN.fetch_add(1, Ordering::Relaxed);
    let key = turn % 7;
    match turn % 11 {
        0 => drop(block_on(cache.get(&key))),
        1 => drop(block_on(cache.insert(key, turn))),
        2 => drop(block_on(cache.get_or_insert(&key, || async { turn }))),
        3 => drop(block_on(cache.invalidate(&key))),
        4 => drop(block_on(cache.insert_many([(key, turn), (key + 1, turn)]))),
        5 => drop(block_on(cache.get_many([&key, &8]))),
        6 if turn.is_multiple_of(5) => drop(block_on(cache.clear())),
        7 => {
            panics.fetch_add(1, Ordering::Relaxed);
            panic!("at every eleventh call");
        }
        8 => {
            panics.fetch_add(1, Ordering::Relaxed);
            panic_any(Bomb);
        }
        9 if turn.is_multiple_of(9) => thread::sleep(Duration::from_millis(1)),
        _ => {}
    }
}

struct Evil;

impl CacheEventHandler for Evil {
    fn interest(&self) -> EventMask {
        EventMask::ALL
    }

    fn on_tier_event(&self, _event: &CacheTierEvent<'_>) {
        misbehave(&HANDLER_PANICS);
    }

    fn on_operation_event(&self, _event: &CacheOperationEvent<'_>) {
        misbehave(&HANDLER_PANICS);
    }
}

thread_local! {
    /// What the operations inside a callback do with spans is no callback of this test.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

fn in_layer() {
    struct Leave;

    impl Drop for Leave {
        fn drop(&mut self) {
            INSIDE.set(false);
        }
    }

    if !INSIDE.replace(true) {
        let _leave = Leave;
        misbehave(&LAYER_PANICS);
    }
}

impl<S: Subscriber> Layer<S> for Evil {
    /// Called once for each callsite, under locks of `tracing`.
    fn register_callsite(&self, _metadata: &'static Metadata<'static>) -> Interest {
        Interest::sometimes()
    }

    fn enabled(&self, _metadata: &Metadata<'_>, _ctx: LayerContext<'_, S>) -> bool {
        in_layer();
        true
    }

    fn on_new_span(&self, _attrs: &Attributes<'_>, _id: &Id, _ctx: LayerContext<'_, S>) {
        in_layer();
    }

    fn on_record(&self, _id: &Id, _values: &Record<'_>, _ctx: LayerContext<'_, S>) {
        in_layer();
    }

    fn on_event(&self, _event: &Event<'_>, _ctx: LayerContext<'_, S>) {
        in_layer();
    }

    fn on_enter(&self, _id: &Id, _ctx: LayerContext<'_, S>) {
        in_layer();
    }

    fn on_exit(&self, _id: &Id, _ctx: LayerContext<'_, S>) {
        in_layer();
    }

    fn on_close(&self, _id: Id, _ctx: LayerContext<'_, S>) {
        in_layer();
    }
}

/// Counts the completions that reach it, next to a handler that does everything wrong.
#[derive(Clone, Default)]
struct Completions(Arc<AtomicU64>);

impl CacheEventHandler for Completions {
    fn interest(&self) -> EventMask {
        EventMask::OPERATIONS
    }

    fn on_operation_event(&self, event: &CacheOperationEvent<'_>) {
        // Payments of debts are operations of their own.
        self.0.fetch_add(u64::from(event.operation() != CacheOperation::Repay), Ordering::Relaxed);
    }
}

static COMPLETIONS: LazyLock<Completions> = LazyLock::new(Completions::default);

/// One operation, which ends.
fn operate(cache: &Numbers, turn: u64) {
    let key = turn % 7;
    match turn % 6 {
        0 => drop(block_on(cache.get(&key))),
        1 => drop(block_on(cache.insert(key, turn))),
        2 => drop(block_on(cache.get_or_insert(&key, || async { turn }))),
        3 => drop(block_on(cache.try_get_or_insert(&key, || async { Err::<u64, _>("no") }))),
        4 => drop(block_on(cache.invalidate(&key))),
        _ => drop(block_on(cache.get_many([&key, &(key + 1)]))),
    }
}

#[test]
fn listeners_that_do_everything_wrong_harm_nothing() {
    // The panics are many, and expected.
    std::panic::set_hook(Box::new(|_| {}));
    let done = Arc::new(AtomicBool::new(false));
    let watched = Arc::clone(&done);
    thread::spawn(move || {
        thread::sleep(Duration::from_mins(2));
        if !watched.load(Ordering::Relaxed) {
            eprintln!("the listeners hang");
            abort();
        }
    });
    let below = MockTier::<u64, u64>::new();
    for operation in cachet::telemetry::TierOperation::ALL {
        below.always(*operation, Behavior::Pend(1));
    }
    let cache = Numbers::builder("numbers")
        .tier(Tier::memory(4).name("l1"))
        .tier(Tier::new(below).name("l2"))
        .stampede_protection()
        .enable_logs()
        .event_handler(Evil)
        .event_handler(COMPLETIONS.clone())
        .build();
    tracing::subscriber::set_global_default(Registry::default().with(Evil)).unwrap();
    *USED.lock().unwrap() = Some(cache.clone());

    for turn in 0..2_000 {
        operate(&cache, turn);
    }
    assert_eq!(COMPLETIONS.0.load(Ordering::Relaxed), 2_000, "each operation ends once");

    *USED.lock().unwrap() = Some(Numbers::builder("other").tier(Tier::memory(4)).tier(Tier::memory(9)).build());
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let cache = cache.clone();
            thread::spawn(move || (0..2_000).for_each(|turn| operate(&cache, turn * 13 + thread)))
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(COMPLETIONS.0.load(Ordering::Relaxed), 10_000, "each operation ends once");
    assert!(cache.reentrant_operations() > 1_000, "{}", cache.reentrant_operations());
    assert_eq!(cache.handler_panics(), HANDLER_PANICS.load(Ordering::Relaxed));
    assert_eq!(subscriber_panics(), LAYER_PANICS.load(Ordering::Relaxed));
    assert!(subscriber_panics() > 100 && cache.handler_panics() > 100);
    done.store(true, Ordering::Relaxed);
}
