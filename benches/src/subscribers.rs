//! Subscribers of `tracing`, each of which exists only while a scenario runs under it.
//!
//! Whether anybody wants a span is remembered in every place that makes one, and in a level that holds for the process. So a
//! subscriber that still existed would be paid for by the scenarios that are meant to run without: here it is made for a
//! pass and gone after it, and what was remembered is forgotten. All of that is outside the time that is measured.
//!
//! A subscriber in scope, as here, is found through a thread-local; the one of a program that installs it for good is found
//! a few nanoseconds sooner.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tracing::dispatcher::with_default;
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::{Interest, Subscriber};
use tracing::{Dispatch, Event, Metadata};
use tracing_subscriber::fmt::MakeWriter;

use crate::measure::{Loop, Pass};

/// Who is subscribed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subscribed {
    /// No subscriber in the whole process.
    NoOne,
    /// One that wants warnings and errors, of caches as of anything else.
    Warnings,
    /// One that wants everything but what concerns caches: a filter by target, where the former is one by level.
    Elsewhere,
    /// One that accepts every span and event, and discards it.
    Accepting,
    /// One that accepts every span, and of events those from INFO on, as a tracing backend does.
    Spans,
    /// `tracing-subscriber`'s `fmt`, which writes to nowhere.
    Fmt,
}

/// What a subscriber received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Spans opened.
    pub spans: u64,
    /// Events sent, or lines written.
    pub events: u64,
}

impl Received {
    /// Whether nothing was.
    pub fn is_nothing(self) -> bool {
        self.spans == 0 && self.events == 0
    }
}

/// Runs a loop under a subscriber. A pass in which the subscriber does not receive what it should has failed: it would have
/// measured something else than it says.
pub fn under(subscribed: Subscribed, body: Loop, is_meant: impl Fn(Received, u64) -> bool + 'static) -> Loop {
    body.within(move |run, operations| {
        let counts = Arc::new(Counts::default());
        let pass = match subscribed.dispatch(&counts) {
            Some(dispatch) => with_default(&dispatch, || run(operations)),
            None => run(operations),
        };
        forget();
        if is_meant(counts.received(), operations) { pass } else { Pass { as_meant: 0, ..pass } }
    })
}

/// Forgets that there ever was a subscriber. Merely asking anew does not do it: if there is none, `tracing` leaves every level
/// on. One that wants nothing turns them off, and they stay off when it goes.
fn forget() {
    drop(Dispatch::new(Discarding { counts: Arc::default(), wants: Wants::UpTo(LevelFilter::OFF) }));
    assert_eq!(LevelFilter::current(), LevelFilter::OFF, "a subscriber has outlived its scenario");
}

impl Subscribed {
    fn dispatch(self, counts: &Arc<Counts>) -> Option<Dispatch> {
        let wants = match self {
            Self::NoOne => return None,
            Self::Fmt => {
                let writer = Nowhere(Arc::clone(counts));
                return Some(tracing_subscriber::fmt().with_max_level(LevelFilter::TRACE).with_writer(writer).into());
            }
            Self::Warnings => Wants::UpTo(LevelFilter::WARN),
            Self::Elsewhere => Wants::AllButCaches,
            Self::Accepting => Wants::UpTo(LevelFilter::TRACE),
            Self::Spans => Wants::SpansAndInfo,
        };
        Some(Dispatch::new(Discarding { counts: Arc::clone(counts), wants }))
    }
}

/// How often a subscriber was called. Only one thread counts at a time, so it need not be done in one piece: the
/// cost of counting should not be part of the cost of telling.
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
enum Wants {
    UpTo(LevelFilter),
    AllButCaches,
    SpansAndInfo,
}

/// The least that a subscriber can do.
struct Discarding {
    counts: Arc<Counts>,
    wants: Wants,
}

impl Subscriber for Discarding {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.enabled(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        match self.wants {
            Wants::UpTo(level) => *metadata.level() <= level,
            Wants::AllButCaches => !metadata.target().starts_with("cachet"),
            Wants::SpansAndInfo => metadata.is_span() || *metadata.level() <= LevelFilter::INFO,
        }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(match self.wants {
            Wants::UpTo(level) => level,
            Wants::AllButCaches | Wants::SpansAndInfo => LevelFilter::TRACE,
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

/// Counts lines and throws them away.
struct Nowhere(Arc<Counts>);

impl<'w> MakeWriter<'w> for Nowhere {
    type Writer = io::Sink;

    fn make_writer(&'w self) -> io::Sink {
        Counts::count(&self.0.events);
        io::sink()
    }
}
