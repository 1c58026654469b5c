//! The state of a tier, as a program can ask for it.

use std::sync::Arc;

/// The state of one tier of a cache, from [`Cache::tier_status`](crate::Cache::tier_status).
///
/// ```
/// # #[cfg(all(feature = "memory", feature = "test-util"))]
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), cachet::Error> {
/// use cachet::telemetry::TierOperation;
/// use cachet::testing::{Behavior, MockTier};
/// use cachet::{Cache, Tier};
///
/// let disk = MockTier::<str, u32>::new();
/// let cache = Cache::<str, u32>::builder("ages").tier(Tier::memory(100)).tier(Tier::new(disk.clone()).name("disk")).build();
///
/// disk.next(TierOperation::Insert, Behavior::Fail("disk full"));
/// disk.next(TierOperation::Invalidate, Behavior::Fail("disk full"));
/// assert!(cache.insert("ada", 36).await.is_err());
/// let [_memory, disk] = &cache.tier_status()[..] else { unreachable!() };
/// assert_eq!((&*disk.name, disk.owed_keys, disk.breaker_open), ("disk", 1, false));
/// # Ok(()) }
/// # #[cfg(not(all(feature = "memory", feature = "test-util")))]
/// # fn main() {}
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TierStatus {
    /// The name of the tier.
    pub name: Arc<str>,
    /// The number of keys for which reads skip the tier, since it may hold an outdated entry: a write failed there, or was
    /// cancelled. The keys are invalidated there after a later call that succeeds.
    pub owed_keys: usize,
    /// Whether entries that were stored before some moment count as misses, because a `clear` failed there or too many keys were
    /// owed.
    pub distrusts_older: bool,
    /// Whether the tier is not called, because too many of its calls have failed; see [`Tier::breaker`](crate::Tier::breaker).
    pub breaker_open: bool,
}
