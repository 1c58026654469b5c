//! Handlers around handlers: some events only, some operations only, or later and elsewhere.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};

use super::{CacheEventHandler, CacheOperationEvent, CacheTierEvent, Interest, RequestId};

/// Hands on only the events that a predicate lets through.
///
/// ```
/// use cachet::telemetry::{Filtered, Stats, TierOutcome};
///
/// let failures = Stats::new();
/// let handler = Filtered::new(failures.clone())
///     .tiers(|event| event.outcome() == TierOutcome::Error)
///     .operations(|event| event.error().is_some());
/// # let _ = handler;
/// ```
pub struct Filtered<H> {
    handler: H,
    tiers: Option<Box<TierPredicate>>,
    operations: Option<Box<OperationPredicate>>,
}

type TierPredicate = dyn Fn(&CacheTierEvent<'_>) -> bool + Send + Sync;
type OperationPredicate = dyn Fn(&CacheOperationEvent<'_>) -> bool + Send + Sync;

impl<H> Filtered<H> {
    /// Lets everything through, until [`tiers`](Self::tiers) or [`operations`](Self::operations) say otherwise.
    pub fn new(handler: H) -> Self {
        Self { handler, tiers: None, operations: None }
    }

    /// Which events of tiers are handed on.
    #[must_use]
    pub fn tiers(mut self, accept: impl Fn(&CacheTierEvent<'_>) -> bool + Send + Sync + 'static) -> Self {
        self.tiers = Some(Box::new(accept));
        self
    }

    /// Which events of operations are handed on.
    #[must_use]
    pub fn operations(mut self, accept: impl Fn(&CacheOperationEvent<'_>) -> bool + Send + Sync + 'static) -> Self {
        self.operations = Some(Box::new(accept));
        self
    }
}

impl<H: CacheEventHandler> CacheEventHandler for Filtered<H> {
    fn interest(&self) -> Interest {
        self.handler.interest()
    }

    fn on_tier_event(&self, event: &CacheTierEvent<'_>) {
        if self.tiers.as_ref().is_none_or(|accept| accept(event)) {
            self.handler.on_tier_event(event);
        }
    }

    fn on_operation_event(&self, event: &CacheOperationEvent<'_>) {
        if self.operations.as_ref().is_none_or(|accept| accept(event)) {
            self.handler.on_operation_event(event);
        }
    }
}

impl<H: fmt::Debug> fmt::Debug for Filtered<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Filtered").field("handler", &self.handler).finish_non_exhaustive()
    }
}

/// Hands on one operation in so many, with all its tier events.
///
/// Which ones is decided by the request id, so an operation is handed on as a whole or not at all. Evictions outside of
/// operations are sampled one by one.
///
/// ```
/// use cachet::telemetry::{Sampled, Stats};
///
/// let one_percent = Sampled::one_in(100, Stats::new());
/// # let _ = one_percent;
/// ```
#[derive(Debug)]
pub struct Sampled<H> {
    handler: H,
    one_in: u64,
    without_id: AtomicU64,
}

impl<H> Sampled<H> {
    /// One in `one_in`; zero and one mean all.
    pub fn one_in(one_in: u32, handler: H) -> Self {
        Self { handler, one_in: u64::from(one_in.max(1)), without_id: AtomicU64::new(0) }
    }

    fn takes(&self, id: Option<RequestId>) -> bool {
        let number = id.map_or_else(|| self.without_id.fetch_add(1, Ordering::Relaxed), RequestId::get);
        // Ids are handed out in blocks; spread over all numbers (Fibonacci hashing), any share of them is a fair sample.
        (number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32).is_multiple_of(self.one_in)
    }
}

impl<H: CacheEventHandler> CacheEventHandler for Sampled<H> {
    fn interest(&self) -> Interest {
        self.handler.interest()
    }

    fn on_tier_event(&self, event: &CacheTierEvent<'_>) {
        if self.takes(event.request_id()) {
            self.handler.on_tier_event(event);
        }
    }

    fn on_operation_event(&self, event: &CacheOperationEvent<'_>) {
        if self.takes(Some(event.request_id())) {
            self.handler.on_operation_event(event);
        }
    }
}

/// Puts events into a bounded queue, for handlers that are too slow to run inside an operation.
///
/// The other end of the queue, [`BufferedEvents`], is emptied wherever that does no harm: on a thread of its own, or in a
/// task. When the queue is full, events are dropped and counted.
///
/// ```
/// use cachet::telemetry::{Buffered, CacheEventHandler, Stats};
///
/// let slow = Stats::new();
/// let (buffered, events) = Buffered::new(1024, slow.interest());
/// let deliver = std::thread::spawn({
///     let slow = slow.clone();
///     move || events.deliver_to(&slow)
/// });
/// // … .event_handler(buffered) …
/// assert_eq!(buffered.dropped(), 0);
/// # drop(buffered);
/// # deliver.join().unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct Buffered {
    queue: SyncSender<Event>,
    interest: Interest,
    dropped: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Event {
    Tier(CacheTierEvent<'static>),
    Operation(CacheOperationEvent<'static>),
}

impl Buffered {
    /// A queue for so many events, and for events of this interest: that of the handler at the other end.
    ///
    /// A capacity of zero counts as one.
    pub fn new(capacity: usize, interest: Interest) -> (Self, BufferedEvents) {
        let (queue, events) = sync_channel(capacity.max(1));
        (Self { queue, interest, dropped: Arc::default() }, BufferedEvents(events))
    }

    /// How many events have been dropped, because the queue was full or its other end is gone.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    fn push(&self, event: Event) {
        if self.queue.try_send(event).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl CacheEventHandler for Buffered {
    fn interest(&self) -> Interest {
        self.interest
    }

    fn on_tier_event(&self, event: &CacheTierEvent<'_>) {
        self.push(Event::Tier(event.clone().into_owned()));
    }

    fn on_operation_event(&self, event: &CacheOperationEvent<'_>) {
        self.push(Event::Operation(event.clone().into_owned()));
    }
}

/// The end of a [`Buffered`] queue where events come out.
#[derive(Debug)]
pub struct BufferedEvents(Receiver<Event>);

impl BufferedEvents {
    /// Tells the handler every event, waiting for more, until every [`Buffered`] of the queue is gone: until the caches
    /// that it was registered with are. Blocks the thread.
    pub fn deliver_to(&self, handler: &impl CacheEventHandler) {
        for event in &self.0 {
            event.tell(handler);
        }
    }

    /// Tells the handler what is in the queue now, without waiting; `false` once there will never be more.
    pub fn deliver_queued_to(&self, handler: &impl CacheEventHandler) -> bool {
        loop {
            match self.0.try_recv() {
                Ok(event) => event.tell(handler),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
    }
}

impl Event {
    fn tell(&self, handler: &impl CacheEventHandler) {
        match self {
            Self::Tier(event) => handler.on_tier_event(event),
            Self::Operation(event) => handler.on_operation_event(event),
        }
    }
}
