//! `Buffered`: sends events to another thread or task through a bounded queue.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};

use crate::error::discard;
use crate::telemetry::callback;
use crate::telemetry::event::{CacheOperationEvent, CacheTierEvent};
use crate::telemetry::handler::{CacheEventHandler, EventMask};

/// Puts events into a bounded queue, for a handler that is too slow to run inline.
///
/// A separate thread or task empties the other end, [`BufferedEvents`]. If the queue is full, events are dropped and counted. A
/// panic of the handler at the other end is caught and counted.
///
/// ```
/// use cachet::CacheEventHandler;
/// use cachet::telemetry::{Buffered, Stats};
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
    interest: EventMask,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    dropped: AtomicU64,
    panics: AtomicU64,
}

#[derive(Debug)]
enum Event {
    Tier(CacheTierEvent<'static>),
    Operation(CacheOperationEvent<'static>),
}

impl Buffered {
    /// Creates a queue for `capacity` events. `interest` is the interest of the handler at the other end.
    ///
    /// A capacity of zero counts as one.
    pub fn new(capacity: usize, interest: EventMask) -> (Self, BufferedEvents) {
        let (queue, events) = sync_channel(capacity.max(1));
        let counts = Arc::<Counts>::default();
        (Self { queue, interest, counts: Arc::clone(&counts) }, BufferedEvents { events, counts })
    }

    /// Returns the number of events dropped because the queue was full or its other end was dropped.
    pub fn dropped(&self) -> u64 {
        self.counts.dropped.load(Ordering::Relaxed)
    }

    /// Returns how often the handler at the other end has panicked. The event counts as delivered.
    pub fn handler_panics(&self) -> u64 {
        self.counts.panics.load(Ordering::Relaxed)
    }

    fn push(&self, event: Event) {
        if self.queue.try_send(event).is_err() {
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl CacheEventHandler for Buffered {
    fn interest(&self) -> EventMask {
        self.interest
    }

    fn on_tier_event(&self, event: &CacheTierEvent<'_>) {
        self.push(Event::Tier(event.clone().into_owned()));
    }

    fn on_operation_event(&self, event: &CacheOperationEvent<'_>) {
        self.push(Event::Operation(event.clone().into_owned()));
    }
}

/// The receiving end of a [`Buffered`] queue.
#[derive(Debug)]
pub struct BufferedEvents {
    events: Receiver<Event>,
    counts: Arc<Counts>,
}

impl BufferedEvents {
    /// Delivers events to the handler until every [`Buffered`] of the queue has been dropped, with the caches that it is registered
    /// with. Blocks the thread. A panic of the handler is caught and [counted](Buffered::handler_panics).
    pub fn deliver_to(&self, handler: &impl CacheEventHandler) {
        for event in &self.events {
            self.deliver(&event, handler);
        }
    }

    /// Delivers the queued events without waiting; returns `false` once every [`Buffered`] of the queue has been dropped. A panic of
    /// the handler is caught and [counted](Buffered::handler_panics).
    pub fn deliver_queued_to(&self, handler: &impl CacheEventHandler) -> bool {
        loop {
            match self.events.try_recv() {
                Ok(event) => self.deliver(&event, handler),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
    }
}

impl BufferedEvents {
    fn deliver(&self, event: &Event, handler: &impl CacheEventHandler) {
        let deliver = || match event {
            Event::Tier(event) => handler.on_tier_event(event),
            Event::Operation(event) => handler.on_operation_event(event),
        };
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| callback::call(deliver))) {
            discard(payload);
            self.counts.panics.fetch_add(1, Ordering::Relaxed);
        }
    }
}
