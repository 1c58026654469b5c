//! `Buffered`: sends events to another thread or task through a bounded queue.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};

use crate::telemetry::event::{CacheOperationEvent, CacheTierEvent};
use crate::telemetry::handler::{CacheEventHandler, EventMask};

/// Puts events into a bounded queue, for a handler that is too slow to run inline.
///
/// A separate thread or task empties the other end, [`BufferedEvents`]. If the queue is full, events are dropped and counted.
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
    dropped: Arc<AtomicU64>,
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
        (Self { queue, interest, dropped: Arc::default() }, BufferedEvents(events))
    }

    /// Returns the number of events dropped because the queue was full or its other end was dropped.
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
pub struct BufferedEvents(Receiver<Event>);

impl BufferedEvents {
    /// Delivers events to the handler until every [`Buffered`] of the queue has been dropped, with the caches that it is registered
    /// with. Blocks the thread.
    pub fn deliver_to(&self, handler: &impl CacheEventHandler) {
        for event in &self.0 {
            event.deliver(handler);
        }
    }

    /// Delivers the queued events without waiting; returns `false` once every [`Buffered`] of the queue has been dropped.
    pub fn deliver_queued_to(&self, handler: &impl CacheEventHandler) -> bool {
        loop {
            match self.0.try_recv() {
                Ok(event) => event.deliver(handler),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
    }
}

impl Event {
    fn deliver(&self, handler: &impl CacheEventHandler) {
        match self {
            Self::Tier(event) => handler.on_tier_event(event),
            Self::Operation(event) => handler.on_operation_event(event),
        }
    }
}
