//! Evictions: reported by tiers, and deferred while a lock is held.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use super::event::{CacheTierEvent, Name};
use super::outcome::{TierOperation, TierOutcome};
use super::request_id::RequestId;
use super::span::{Span, TierDescriptor};
use super::{CacheTelemetry, TierIdentity};
use crate::entry::CacheEntry;

/// Given to a tier when it is stacked into a cache ([`CacheTier::attach`](crate::CacheTier::attach)), so that it can
/// report what it does of its own accord.
///
/// An eviction that happens while the tier is working for an operation is reported with that operation's id.
#[derive(Clone, Debug)]
pub struct EvictionReporter {
    telemetry: Arc<CacheTelemetry>,
    tier: Arc<str>,
    descriptor: &'static TierDescriptor,
}

impl EvictionReporter {
    pub(crate) fn new(telemetry: &Arc<CacheTelemetry>, tier: &TierIdentity) -> Self {
        Self { telemetry: Arc::clone(telemetry), tier: Arc::clone(&tier.name), descriptor: tier.descriptor }
    }

    /// Whether anybody wants to know. A tier that has to do work to find out what it evicted can skip it.
    pub fn is_listening(&self) -> bool {
        self.telemetry.wants_tiers()
    }

    /// The tier dropped an entry for want of room.
    pub fn evicted(&self, entry: &CacheEntry<()>) {
        self.report(TierOutcome::Evicted, entry);
    }

    /// The tier dropped an entry because its time was over.
    pub fn expired(&self, entry: &CacheEntry<()>) {
        self.report(TierOutcome::Expired, entry);
    }

    fn report(&self, outcome: TierOutcome, entry: &CacheEntry<()>) {
        if !self.is_listening() {
            return;
        }
        let request_id = RequestId::current();
        if DEFER_DEPTH.get() == 0 {
            self.send(outcome, entry, request_id);
        } else {
            let held = DeferredEviction { reporter: self.clone(), outcome, entry: entry.clone(), request_id };
            DEFERRED.with_borrow_mut(|evictions| evictions.push(held));
        }
    }

    fn send(&self, outcome: TierOutcome, entry: &CacheEntry<()>, request_id: Option<RequestId>) {
        let event = CacheTierEvent {
            cache: Name::Borrowed(&self.telemetry.name),
            tier: Name::Borrowed(&self.tier),
            operation: TierOperation::Evict,
            outcome,
            request_id,
            fallback: false,
            batch: None,
            duration: None,
            age: entry.age(&self.telemetry.clock, None).known(),
            error: None,
            key: None,
        };
        let none = Span::none();
        self.telemetry.report_tier(&event, self.descriptor, &none, &none);
    }
}

thread_local! {
    /// How many locks are held, by those who call from within each other.
    static DEFER_DEPTH: Cell<usize> = const { Cell::new(0) };
    /// Evictions that are not told yet.
    static DEFERRED: RefCell<Vec<DeferredEviction>> = const { RefCell::new(Vec::new()) };
}

struct DeferredEviction {
    reporter: EvictionReporter,
    outcome: TierOutcome,
    entry: CacheEntry<()>,
    request_id: Option<RequestId>,
}

/// Runs something that holds a lock, and tells of evictions only afterwards: a handler may well use the cache.
pub(crate) fn defer_evictions<T>(work: impl FnOnce() -> T) -> T {
    struct Tell;

    impl Drop for Tell {
        fn drop(&mut self) {
            let held = DEFER_DEPTH.get() - 1;
            DEFER_DEPTH.set(held);
            if held == 0 && DEFERRED.with_borrow(|evictions| !evictions.is_empty()) {
                tell();
            }
        }
    }

    #[cold]
    fn tell() {
        let mut evictions = DEFERRED.take();
        for DeferredEviction { reporter, outcome, entry, request_id } in evictions.drain(..) {
            reporter.send(outcome, &entry, request_id);
        }
        // Its memory serves the next time.
        DEFERRED.with_borrow_mut(|held| {
            if held.capacity() == 0 {
                *held = evictions;
            }
        });
    }

    DEFER_DEPTH.set(DEFER_DEPTH.get() + 1);
    let _tell = Tell;
    work()
}
