//! `CacheEventHandler`: receives the events of caches without a tracing subscriber.

use std::ops::{BitOr, BitOrAssign};
use std::sync::Arc;

use super::{CacheOperationEvent, CacheTierEvent};

/// Receives the events of the caches it is registered with.
///
/// [`CacheBuilder::event_handler`](crate::CacheBuilder::event_handler) registers a handler; several caches can share it. Handlers
/// run inline, in the task of the operation, so a slow one slows down the operation; see [`Buffered`](crate::telemetry::Buffered). A
/// panic in a handler is caught and does not affect the operation.
///
/// A handler may use any cache, its own included. What it does there is not observed, since it would be called again without end; it
/// is counted by [`Cache::reentrant_operations`](crate::Cache::reentrant_operations). An operation that would have to wait for the one
/// that the handler is called from fails with an error for which [`is_reentrant`](crate::Error::is_reentrant) is true. This is
/// detected on the same thread only.
///
/// Both event methods have empty defaults. Override [`interest`](Self::interest) to reduce the cost: a handler that counts
/// operations needs neither tier events nor durations.
///
/// ```
/// # #[cfg(feature = "memory")]
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), cachet::Error> {
/// use cachet::telemetry::{CacheOperationEvent, EventMask, OperationOutcome};
/// use cachet::{Cache, CacheEventHandler, Tier};
/// use std::sync::{Arc, atomic::{AtomicU64, Ordering}};
///
/// #[derive(Default)]
/// struct Hits(AtomicU64);
///
/// impl CacheEventHandler for Hits {
///     fn interest(&self) -> EventMask {
///         EventMask::OPERATIONS
///     }
///
///     fn on_operation_event(&self, event: &CacheOperationEvent<'_>) {
///         if event.outcome() == OperationOutcome::Hit {
///             self.0.fetch_add(1, Ordering::Relaxed);
///         }
///     }
/// }
///
/// let hits = Arc::new(Hits::default());
/// let cache = Cache::<str, u32>::builder("ages").tier(Tier::memory(100)).event_handler(hits.clone()).build();
/// cache.insert("ada", 36).await?;
/// cache.get("ada").await?;
/// cache.get("bob").await?;
/// assert_eq!(hits.0.load(Ordering::Relaxed), 1);
/// # Ok(()) }
/// # #[cfg(not(feature = "memory"))]
/// # fn main() {}
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not handle cache events",
    note = "implement `CacheEventHandler` for it, or derive it: `#[derive(CacheEventHandler)]`"
)]
pub trait CacheEventHandler: Send + Sync + 'static {
    /// Returns the data that the handler requests. Called once per cache, when the cache is built.
    fn interest(&self) -> EventMask {
        EventMask::ALL
    }

    /// Handles the end of a tier call, or an eviction.
    fn on_tier_event(&self, event: &CacheTierEvent<'_>) {
        let _ = event;
    }

    /// Handles the end of an operation.
    fn on_operation_event(&self, event: &CacheOperationEvent<'_>) {
        let _ = event;
    }
}

/// The data that a [`CacheEventHandler`] requests. A cache collects only requested data.
///
/// ```
/// use cachet::telemetry::EventMask;
/// let timed = EventMask::OPERATIONS | EventMask::TIMING;
/// assert!(timed.contains(EventMask::TIMING));
/// assert!(!timed.contains(EventMask::TIERS));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EventMask(u8);

impl EventMask {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// The end of every operation.
    pub const OPERATIONS: Self = Self(1);
    /// Every call of a tier, when it ends, and every eviction.
    pub const TIERS: Self = Self(1 << 1);
    /// Durations in events. Costs two clock readings for an operation that the first tier answers.
    pub const TIMING: Self = Self(1 << 2);
    /// The tier events of an operation in [`CacheOperationEvent::tiers`].
    pub const TRAIL: Self = Self(1 << 3);
    /// Everything; the default.
    pub const ALL: Self = Self(0b1111);

    /// Returns the union of both masks.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns whether the mask contains all of `other`.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Returns whether the mask contains any of `other`.
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl BitOr for EventMask {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.union(other)
    }
}

impl BitOrAssign for EventMask {
    fn bitor_assign(&mut self, other: Self) {
        *self = self.union(other);
    }
}

impl FromIterator<Self> for EventMask {
    fn from_iter<I: IntoIterator<Item = Self>>(interests: I) -> Self {
        interests.into_iter().fold(Self::NONE, Self::union)
    }
}

/// Collections of handlers forward every event to each handler.
macro_rules! forward_to_each {
    ($([$($generics:tt)*] $type:ty),* $(,)?) => {$(
        impl<$($generics)*> CacheEventHandler for $type {
            fn interest(&self) -> EventMask {
                self.iter().map(CacheEventHandler::interest).collect()
            }

            fn on_tier_event(&self, event: &CacheTierEvent<'_>) {
                for handler in self.as_slice() {
                    handler.on_tier_event(event);
                }
            }

            fn on_operation_event(&self, event: &CacheOperationEvent<'_>) {
                for handler in self.as_slice() {
                    handler.on_operation_event(event);
                }
            }
        }
    )*};
}

forward_to_each!([H: CacheEventHandler] Option<H>, [H: CacheEventHandler] Vec<H>, [H: CacheEventHandler, const N: usize] [H; N]);

/// Pointers forward to their handler.
macro_rules! forward_to_target {
    ($($type:ty),*) => {$(
        impl<H: CacheEventHandler + ?Sized> CacheEventHandler for $type {
            fn interest(&self) -> EventMask {
                (**self).interest()
            }

            fn on_tier_event(&self, event: &CacheTierEvent<'_>) {
                (**self).on_tier_event(event);
            }

            fn on_operation_event(&self, event: &CacheOperationEvent<'_>) {
                (**self).on_operation_event(event);
            }
        }
    )*};
}

forward_to_target!(Arc<H>, Box<H>);

/// Tuples forward every event to each handler.
macro_rules! forward_to_members {
    ($($member:ident)*) => {
        #[diagnostic::do_not_recommend]
        impl<$($member: CacheEventHandler),*> CacheEventHandler for ($($member,)*) {
            fn interest(&self) -> EventMask {
                #[allow(non_snake_case, reason = "members are named like their types")]
                let ($($member,)*) = self;
                [$($member.interest()),*].into_iter().collect()
            }

            fn on_tier_event(&self, event: &CacheTierEvent<'_>) {
                #[allow(non_snake_case, reason = "members are named like their types")]
                let ($($member,)*) = self;
                $($member.on_tier_event(event);)*
            }

            fn on_operation_event(&self, event: &CacheOperationEvent<'_>) {
                #[allow(non_snake_case, reason = "members are named like their types")]
                let ($($member,)*) = self;
                $($member.on_operation_event(event);)*
            }
        }
    };
}

forward_to_members!(A B);
forward_to_members!(A B C);
forward_to_members!(A B C D);
