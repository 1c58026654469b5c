//! The contract, line by line: what callers get, and what handlers receive.

mod adapters;
mod bad_input;
mod breaker;
mod cancellation;
mod clocks;
mod coherence;
mod computing;
mod concurrency;
mod defaults;
mod entries;
mod limits;
mod listeners;
mod many;
mod memory;
mod model;
mod names;
mod panics;
mod refresh;
mod sources;
mod stampede;
mod stats;
mod telemetry;
mod tiers;
mod time;
mod write_errors;

use std::time::Duration;

use cachet::telemetry::TierOperation;
use cachet::testing::{Behavior, MockTier, Recorded, RecordingHandler};
use cachet::typestate::HasTier;
use cachet::{Cache, CacheBuilder, CacheEntry, InsertOutcome, ManualClock, Tier};
use cachet_tests::invariants::Invariants;
use cachet_tests::{events, ready};

type Mock = MockTier<str, u32>;
type Ages = Cache<str, u32>;

const fn mins(mins: u64) -> Duration {
    Duration::from_mins(mins)
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// The mock as a tier that reads at once, and is slow to answer: its answer may be outdated by then.
fn slow(mock: &Mock) -> Tier<str, u32> {
    mock.always(TierOperation::Get, Behavior::WorkThenPend(1));
    Tier::new(mock.clone()).name("slow")
}

/// A newer write, and what it leaves behind.
#[derive(Clone, Copy, Debug)]
enum Newer {
    Insert,
    Invalidate,
    Clear,
}

impl Newer {
    const ALL: [Self; 3] = [Self::Insert, Self::Invalidate, Self::Clear];

    async fn write(self, cache: &Ages) {
        match self {
            Self::Insert => assert_eq!(cache.insert("ada", 2).await.unwrap(), InsertOutcome::Accepted),
            Self::Invalidate => cache.invalidate("ada").await.unwrap(),
            Self::Clear => cache.clear().await.unwrap(),
        }
    }

    fn leaves(self) -> Option<u32> {
        matches!(self, Self::Insert).then_some(2)
    }
}

const NANO: Duration = Duration::from_nanos(1);

/// An observed cache, in a time that stands still. When it is dropped, all its events are checked against the invariants.
struct TestCache {
    cache: Ages,
    seen: RecordingHandler,
    clock: ManualClock,
    invariants: Invariants,
}

impl TestCache {
    fn new(builder: CacheBuilder<str, u32, HasTier>) -> Self {
        let (seen, clock) = (RecordingHandler::new(), ManualClock::new());
        let invariants = Invariants::new();
        let cache =
            builder.event_handler(seen.clone()).event_handler(invariants.handler()).clock(clock.clone()).build();
        Self { cache, seen, clock, invariants }
    }

    /// What the handler received since the last time.
    fn lines(&self) -> Vec<String> {
        events::lines(&self.seen.take())
    }

    /// The same, not yet turned into text.
    fn events(&self) -> Vec<Recorded> {
        self.seen.take()
    }
}

/// An observed cache of two scripted tiers, `l1` and `l2`.
struct TwoTiers {
    cache: Ages,
    l1: Mock,
    l2: Mock,
    seen: RecordingHandler,
    clock: ManualClock,
    #[expect(dead_code, reason = "checks its events when it is dropped")]
    invariants: Invariants,
}

impl TwoTiers {
    fn new() -> Self {
        Self::with(|l1| l1, |l2| l2)
    }

    fn with(
        first: impl FnOnce(Tier<str, u32>) -> Tier<str, u32>,
        second: impl FnOnce(Tier<str, u32>) -> Tier<str, u32>,
    ) -> Self {
        let (l1, l2) = (Mock::new(), Mock::new());
        let TestCache { cache, seen, clock, invariants } = TestCache::new(
            Ages::builder("ages")
                .tier(first(Tier::new(l1.clone()).name("l1")))
                .tier(second(Tier::new(l2.clone()).name("l2"))),
        );
        Self { cache, l1, l2, seen, clock, invariants }
    }

    /// What the handler received since the last time.
    fn lines(&self) -> Vec<String> {
        events::lines(&self.seen.take())
    }

    /// The same, not yet turned into text.
    fn events(&self) -> Vec<Recorded> {
        self.seen.take()
    }
}

/// The value of a key; nothing may have to be waited for.
#[track_caller]
fn value(cache: &Ages, key: &str) -> Option<u32> {
    ready(cache.get(key)).unwrap().map(CacheEntry::into_value)
}

/// The value that a tier holds, whatever its age.
fn stored(tier: &Mock, key: &str) -> Option<u32> {
    tier.stored(key).map(CacheEntry::into_value)
}

/// For closures that must not run.
#[track_caller]
fn must_not_run<T>() -> T {
    panic!("the closure ran")
}
