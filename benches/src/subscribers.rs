//! Subscribers of `tracing`, each of which exists only while a scenario runs under it.
//!
//! `tracing` caches at every callsite whether it is enabled, and the most verbose level of the process. A subscriber that
//! outlived its scenario would make the others slower. Therefore a subscriber is created for each sample and dropped after it,
//! and the caches are reset, outside of the measured time.
//!
//! A scoped subscriber, as here, is found through a thread-local; a global one is found a few nanoseconds faster.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tracing::dispatcher::with_default;
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Dispatch, Event, Metadata};
use tracing_subscriber::fmt::MakeWriter;

use crate::bench::{Bench, Sample};

/// The subscriber of a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subscriber {
    /// No subscriber in the whole process.
    None,
    /// One that filters by level: warnings and errors only.
    Warnings,
    /// One that filters by target: everything but caches.
    OtherTargets,
    /// One that accepts every span and event, and discards it.
    All,
    /// One that accepts every span, and of events those from INFO on, as a tracing backend does.
    Spans,
    /// `tracing-subscriber`'s `fmt`, with a writer that discards.
    Fmt,
}

/// The number of spans and events that a subscriber received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Spans opened.
    pub spans: u64,
    /// Events sent, or lines written.
    pub events: u64,
}

impl Received {
    /// Returns whether there were none.
    pub fn is_empty(self) -> bool {
        self.spans == 0 && self.events == 0
    }
}

/// Runs a bench under a subscriber. A sample fails if the subscriber does not receive what is expected of the given number of
/// operations.
pub fn with_subscriber(
    subscriber: Subscriber,
    bench: Bench,
    is_expected: impl Fn(Received, u64) -> bool + 'static,
) -> Bench {
    bench.wrapped(move |run, operations| {
        let counts = Arc::new(Counts::default());
        let sample = match subscriber.dispatch(&counts) {
            Some(dispatch) => with_default(&dispatch, || run(operations)),
            None => run(operations),
        };
        reset_callsites();
        if is_expected(counts.received(), operations) { sample } else { Sample { expected: 0, ..sample } }
    })
}

/// Disables all callsites. Without a subscriber, `tracing` does not update them; one that enables nothing turns them off, and
/// they stay off when it is dropped.
fn reset_callsites() {
    drop(Dispatch::new(Discarding { counts: Arc::default(), filter: Filter::UpTo(LevelFilter::OFF) }));
    assert_eq!(LevelFilter::current(), LevelFilter::OFF, "a subscriber has outlived its scenario");
}

impl Subscriber {
    fn dispatch(self, counts: &Arc<Counts>) -> Option<Dispatch> {
        let filter = match self {
            Self::None => return None,
            Self::Fmt => {
                let writer = CountingSink(Arc::clone(counts));
                return Some(tracing_subscriber::fmt().with_max_level(LevelFilter::TRACE).with_writer(writer).into());
            }
            Self::Warnings => Filter::UpTo(LevelFilter::WARN),
            Self::OtherTargets => Filter::OtherTargets,
            Self::All => Filter::UpTo(LevelFilter::TRACE),
            Self::Spans => Filter::SpansAndInfo,
        };
        Some(Dispatch::new(Discarding { counts: Arc::clone(counts), filter }))
    }
}

/// How often a subscriber was called. Only one thread counts at a time, so that a load and a store suffice, which cost less than
/// an atomic addition.
#[derive(Debug, Default)]
struct Counts {
    spans: AtomicU64,
    events: AtomicU64,
}

impl Counts {
    fn received(&self) -> Received {
        Received { spans: self.spans.load(Ordering::Relaxed), events: self.events.load(Ordering::Relaxed) }
    }

    fn count(counter: &AtomicU64) -> u64 {
        let count = counter.load(Ordering::Relaxed) + 1;
        counter.store(count, Ordering::Relaxed);
        count
    }
}

#[derive(Clone, Copy)]
enum Filter {
    UpTo(LevelFilter),
    OtherTargets,
    SpansAndInfo,
}

/// A subscriber that counts and discards.
struct Discarding {
    counts: Arc<Counts>,
    filter: Filter,
}

impl tracing::Subscriber for Discarding {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.enabled(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        match self.filter {
            Filter::UpTo(level) => *metadata.level() <= level,
            Filter::OtherTargets => !metadata.target().starts_with("cachet"),
            Filter::SpansAndInfo => metadata.is_span() || *metadata.level() <= LevelFilter::INFO,
        }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(match self.filter {
            Filter::UpTo(level) => level,
            Filter::OtherTargets | Filter::SpansAndInfo => LevelFilter::TRACE,
        })
    }

    fn new_span(&self, _span: &Attributes<'_>) -> Id {
        Id::from_u64(Counts::count(&self.counts.spans))
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event(&self, _event: &Event<'_>) {
        Counts::count(&self.counts.events);
    }

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}

/// Counts lines and discards them.
struct CountingSink(Arc<Counts>);

impl<'w> MakeWriter<'w> for CountingSink {
    type Writer = io::Sink;

    fn make_writer(&'w self) -> io::Sink {
        Counts::count(&self.0.events);
        io::sink()
    }
}
