//! Evictions: reported by tiers, deferred while a lock is held.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use super::event::{CacheTierEvent, Name};
use super::outcome::{TierOperation, TierOutcome};
use super::request_id::RequestId;
use super::span::{Span, TierDescriptor};
use super::{CacheTelemetry, TierIdentity, callback};
use crate::entry::CacheEntry;

/// Reports the entries that one tier evicts or expires.
#[derive(Clone)]
pub(crate) struct EvictionReporter {
    telemetry: Arc<CacheTelemetry>,
    tier: Arc<str>,
    descriptor: &'static TierDescriptor,
}

impl EvictionReporter {
    pub(crate) fn new(telemetry: &Arc<CacheTelemetry>, tier: &TierIdentity) -> Self {
        Self { telemetry: Arc::clone(telemetry), tier: Arc::clone(&tier.name), descriptor: tier.descriptor }
    }

    pub(crate) fn tier(&self) -> &str {
        &self.tier
    }

    pub(crate) fn is_observed(&self) -> bool {
        self.telemetry.wants_tiers() && !callback::is_inside()
    }

    /// Reports immediately, or when the outermost [`defer_evictions`] on this thread ends.
    pub(crate) fn report(&self, outcome: TierOutcome, entry: &CacheEntry<()>, key: Option<Arc<str>>) {
        if callback::is_inside() {
            return;
        }
        let request_id = RequestId::current();
        let eviction = Eviction { reporter: self.clone(), outcome, entry: entry.clone(), key, request_id };
        if DEFER_DEPTH.get() == 0 {
            return eviction.send();
        }
        let mut eviction = Some(eviction);
        let defer = |evictions: &RefCell<Vec<Eviction>>| evictions.borrow_mut().extend(eviction.take());
        if DEFERRED.try_with(defer).is_err() {
            // The thread is ending: there is no place left to keep it in.
            eviction.as_ref().inspect(|eviction| eviction.send());
        }
    }
}

struct Eviction {
    reporter: EvictionReporter,
    outcome: TierOutcome,
    entry: CacheEntry<()>,
    key: Option<Arc<str>>,
    request_id: Option<RequestId>,
}

impl Eviction {
    fn send(&self) {
        let EvictionReporter { telemetry, tier, descriptor } = &self.reporter;
        let event = CacheTierEvent {
            cache: Name::Borrowed(&telemetry.name),
            tier: Name::Borrowed(tier),
            operation: TierOperation::Evict,
            outcome: self.outcome,
            request_id: self.request_id,
            fallback: false,
            batch: None,
            duration: None,
            age: self.entry.age(&telemetry.clock, None).known(),
            error: None,
            key: self.key.as_ref().map(Name::Borrowed),
        };
        let none = Span::none();
        telemetry.report_tier(&event, descriptor, &none, &none);
    }
}

thread_local! {
    /// The number of open [`defer_evictions`] scopes on this thread.
    static DEFER_DEPTH: Cell<usize> = const { Cell::new(0) };
    /// Deferred evictions.
    static DEFERRED: RefCell<Vec<Eviction>> = const { RefCell::new(Vec::new()) };
}

/// Runs a function that holds a lock, and reports evictions after it: a handler may use the cache.
pub(crate) fn defer_evictions<T>(work: impl FnOnce() -> T) -> T {
    struct Deferral;

    impl Drop for Deferral {
        fn drop(&mut self) {
            let depth = DEFER_DEPTH.get() - 1;
            DEFER_DEPTH.set(depth);
            if depth == 0 && DEFERRED.try_with(|evictions| !evictions.borrow().is_empty()) == Ok(true) {
                flush();
            }
        }
    }

    #[cold]
    fn flush() {
        let mut evictions = DEFERRED.try_with(RefCell::take).unwrap_or_default();
        evictions.drain(..).for_each(|eviction| eviction.send());
        // Keeps the allocation for the next use.
        let _ = DEFERRED.try_with(|deferred| {
            let mut deferred = deferred.borrow_mut();
            if deferred.capacity() == 0 {
                *deferred = evictions;
            }
        });
    }

    DEFER_DEPTH.set(DEFER_DEPTH.get() + 1);
    let _deferral = Deferral;
    work()
}
