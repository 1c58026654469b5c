//! S35: what `tracing` receives: spans as whole trees, and events.

mod events;
mod filters;
mod hits;
mod policies;
mod refresh;
mod silent_tiers;
mod spans;
mod stampede;
mod users;

use std::time::Duration;

use cachet::testing::MockTier;
use cachet::typestate::HasTier;
use cachet::{Cache, CacheBuilder, CacheEntry, ManualClock, Tier};

type Mock = MockTier<str, u32>;
type Ages = Cache<str, u32>;

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A cache with logs enabled, of two scripted tiers, in a time that stands still.
struct Logged {
    cache: Ages,
    l1: Mock,
    l2: Mock,
    clock: ManualClock,
}

impl Logged {
    fn new() -> Self {
        Self::with(|builder| builder)
    }

    fn with(configure: impl FnOnce(CacheBuilder<str, u32, HasTier>) -> CacheBuilder<str, u32, HasTier>) -> Self {
        let (l1, l2, clock) = (Mock::new(), Mock::new(), ManualClock::new());
        let builder = Ages::builder("ages")
            .clock(clock.clone())
            .tier(Tier::new(l1.clone()).name("l1").clock_tolerance(millis(0)))
            .tier(Tier::new(l2.clone()).name("l2"))
            .enable_logs();
        Self { cache: configure(builder).build(), l1, l2, clock }
    }

    /// Puts an entry into the second tier that was inserted this long ago.
    fn put_below(&self, key: &str, value: u32, age: Duration) {
        self.l2.put(key, CacheEntry::restore(value, None, self.clock.wall() - age));
    }
}
