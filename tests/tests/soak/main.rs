//! Many tasks, and everything that can go wrong, at once: nothing is lost, left behind, or counted wrong.
//!
//! What happens in which order is up to the threads; what is done, and what goes wrong, follows from a seed.

mod counters;
mod faulty;
mod tasks;

use std::alloc::System;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cachet::telemetry::{CacheOperation, OperationOutcome, Stats};
use cachet::testing::RecordingHandler;
use cachet::{Cache, CacheEventHandler, ManualClock, Tier};
use cachet_tests::{invariants, ready};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tokio::runtime::{Builder, Runtime};

use self::counters::{Derived, HandWritten};
use self::faulty::FaultyTier;
use self::tasks::{Done, work};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

pub(crate) type Numbers = Cache<u64, u64>;

pub(crate) const KEYS: u64 = 128;
const TASKS: u64 = 64;

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Says which seed it was, should the test fail.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("the seed was {}", self.0);
        }
    }
}

/// The tests of this file measure the whole process.
static ALONE: Mutex<()> = Mutex::new(());

fn two_workers() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).build().unwrap()
}

/// A small and impatient cache over a tier that fails, hangs and panics, over a healthy one.
struct Soaked {
    cache: Numbers,
    faulty: FaultyTier,
    clock: ManualClock,
}

impl Soaked {
    fn new(seed: u64, runtime: &Runtime, handlers: Vec<Box<dyn CacheEventHandler>>) -> Self {
        let (faulty, clock) = (FaultyTier::new(seed), ManualClock::new());
        let first = Tier::memory(64)
            .name("l1")
            .ttl(millis(2000))
            .ttl_jitter(millis(500))
            .ttl_jitter_seed(seed)
            .refresh_after(millis(50))
            .refresh_cool_down(millis(500));
        let mut builder = Numbers::builder("numbers")
            .tier(first)
            .tier(Tier::new(faulty.clone()).name("l2").ttl(millis(5000)).timeout(millis(100)))
            .tier(Tier::memory(256).name("l3").ttl(millis(20_000)))
            .follower_timeout(millis(150))
            .serve_stale_on_error(millis(10_000))
            .max_concurrent_refreshes(8)
            .runtime(runtime.handle().clone())
            .clock(clock.clone());
        for handler in handlers {
            builder = builder.event_handler(handler);
        }
        Self { cache: builder.build(), faulty, clock }
    }

    /// Lets all tasks do so many operations each, while time goes by, until the last refresh has ended.
    fn round(&self, runtime: &Runtime, seed: u64, operations: u32) -> Done {
        runtime.block_on(async {
            let tasks: Vec<_> = (0..TASKS)
                .map(|task| tokio::spawn(work(self.cache.clone(), self.clock.clone(), seed ^ (task << 32), operations)))
                .collect();
            let running = || tasks.iter().any(|task| !task.is_finished()) || self.cache.refreshes().running > 0;
            let mut turns = 0;
            while running() {
                // For those who have nothing but time to wait for.
                self.clock.advance(Duration::from_micros(10));
                tokio::task::yield_now().await;
                turns += 1;
                assert!(turns < 10_000_000, "an operation waits forever");
            }
            let mut done = Done::default();
            for task in tasks {
                done.add(&task.await.unwrap());
            }
            done
        })
    }

    /// No operation is computing, storing or writing anything any more: the next one can begin at once.
    fn nothing_is_under_way(&self) {
        self.faulty.set_faulty(false);
        for key in 0..KEYS {
            ready(self.cache.invalidate(&key)).unwrap();
            assert_eq!(*ready(self.cache.get_or_insert(&key, || async { 7 })).unwrap(), 7, "{key}");
            ready(self.cache.insert(key, 8)).unwrap();
        }
        ready(self.cache.clear()).unwrap();
        self.faulty.set_faulty(true);
    }
}

#[test]
fn counters_agree_and_laws_hold_and_nothing_is_left_whatever_goes_wrong() {
    let _alone = ALONE.lock();
    let mut never = OperationOutcome::ALL.to_vec();
    for seed in [1, 0xADA, 0x5EED] {
        let _seed = Seed(seed);
        let runtime = two_workers();
        let (stats, seen) = (Stats::new(), RecordingHandler::new());
        let (hand_written, derived) = (Arc::new(HandWritten::default()), Arc::new(Derived::default()));
        let handlers: Vec<Box<dyn CacheEventHandler>> = vec![
            Box::new(stats.clone()),
            Box::new(Arc::clone(&hand_written)),
            Box::new(Arc::clone(&derived)),
            Box::new(seen.clone()),
        ];
        let it = Soaked::new(seed, &runtime, handlers);
        let done = it.round(&runtime, seed, 50);

        // Every operation that was begun has ended once.
        for (operation, count) in &done.begun {
            assert_eq!(stats.operations_of(*operation), *count, "{operation}");
        }
        let of = |operation, outcome| stats.operations(operation, outcome);
        for read in CacheOperation::ALL.iter().filter(|operation| operation.is_read()) {
            use OperationOutcome as O;
            let ends = [O::Hit, O::Stale, O::Miss, O::Computed, O::None, O::Error, O::Panicked, O::Cancelled];
            assert_eq!(ends.map(|end| of(*read, end)).iter().sum::<u64>(), done.begun[read], "law 3: {read}");
        }
        counters::agree(&stats, &hand_written, &derived);
        invariants::check(&seen.take());
        never.retain(|outcome| CacheOperation::ALL.iter().all(|operation| of(*operation, *outcome) == 0));
        assert!(stats.coalesced() > 0);

        it.nothing_is_under_way();
        assert_eq!(it.cache.handler_panics(), 0);
        drop(it);
        runtime.block_on(async {
            // A task ends a moment after it has said so.
            let mut turns = 0;
            while runtime.metrics().num_alive_tasks() > 0 {
                tokio::task::yield_now().await;
                turns += 1;
                assert!(turns < 1_000_000, "{} tasks are left", runtime.metrics().num_alive_tasks());
            }
        });
    }
    // Nothing is proved of what has not happened. The last tier rejects nothing, but a clear may void an insert (S43).
    never.retain(|outcome| *outcome != OperationOutcome::Rejected);
    assert_eq!(never, []);
}

/// How many bytes are allocated.
fn allocated() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

#[test]
fn memory_stays_flat() {
    let _alone = ALONE.lock();
    let seed = 0xF1A7;
    let _seed = Seed(seed);
    let runtime = two_workers();
    let it = Soaked::new(seed, &runtime, vec![Box::new(Stats::new())]);
    let mut number = 0;
    let mut rounds = |count: u64| {
        for _ in 0..count {
            number += 1;
            it.round(&runtime, seed + number, 20);
        }
        it.nothing_is_under_way();
        allocated()
    };
    // Tables grow to the size that they need.
    rounds(2);
    let (before, after) = (rounds(6), rounds(6));
    // 7,680 operations: a word that each leaves behind would be sixty kilobytes.
    assert!(after < before + 16 * 1024, "{before} bytes were allocated, and now {after} are");
}
