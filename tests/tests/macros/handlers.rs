//! `#[derive(CacheEventHandler)]`: all roles, all filters, all shapes of types.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cachet::telemetry::{CacheOperation, Histogram, OperationOutcome, Stats};
use cachet::telemetry::{CacheOperationEvent, CacheTierEvent, EventCounter, EventHistogram, EventMask};
use cachet::testing::{MockTier, RecordingHandler};
use cachet::{Cache, CacheEventHandler, ManualClock, Tier};
use cachet_tests::ready;

/// A miss and a hit in `pages`, whose tiers are `l1` and `l2`.
fn observe(handler: impl CacheEventHandler) {
    observe_as("pages", handler);
}

fn observe_as(name: &str, handler: impl CacheEventHandler) {
    let l2 = MockTier::<str, u32>::new();
    let cache = Cache::builder(name)
        .tier(Tier::new(MockTier::new()).name("l1"))
        .tier(Tier::new(l2.clone()).name("l2"))
        .clock(ManualClock::new())
        .event_handler(handler)
        .build();
    ready(cache.get("bob")).unwrap();
    l2.put("ada", 36);
    ready(cache.get("ada")).unwrap();
    ready(cache.get("ada")).unwrap();
}

fn count(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

#[derive(CacheEventHandler, Default)]
struct Counts {
    #[cache_event(count(tier))]
    calls: AtomicU64,
    #[cache_event(count(operation))]
    operations: AtomicU64,
    #[cache_event(count(tier, outcome = "hit"))]
    hits: AtomicU64,
    #[cache_event(count(tier, outcome = any("hit", "miss")))]
    lookups: AtomicU64,
    #[cache_event(count(tier, operation = "insert"))]
    inserts: AtomicU64,
    #[cache_event(count(tier, operation = any("get", "insert"), outcome = any("hit", "inserted")))]
    good: AtomicU64,
    #[cache_event(count(tier, tier = "l1"))]
    first: AtomicU64,
    #[cache_event(count(tier, tier = any("l1", "l2")))]
    both: AtomicU64,
    #[cache_event(count(tier, cache = "pages"))]
    pages: AtomicU64,
    #[cache_event(count(operation, cache = any("users", "images")))]
    others: AtomicU64,
    #[cache_event(count(tier, fallback = true))]
    fallbacks: AtomicU64,
    #[cache_event(count(tier, fallback = false, operation = "get"))]
    direct: AtomicU64,
    #[cache_event(count(operation, coalesced = true))]
    coalesced: AtomicU64,
    #[cache_event(count(operation, coalesced = false, fallback = true,))]
    alone: AtomicU64,
    label: &'static str,
}

#[test]
fn counters_and_all_filters() {
    let counts = Arc::new(Counts { label: "x", ..Counts::default() });
    observe(Arc::clone(&counts));
    let Counts {
        calls,
        operations,
        hits,
        lookups,
        inserts,
        good,
        first,
        both,
        pages,
        others,
        fallbacks,
        direct,
        coalesced,
        alone,
        label,
    } = &*counts;
    let counted = [
        calls, operations, hits, lookups, inserts, good, first, both, pages, others, fallbacks, direct, coalesced,
        alone,
    ];
    assert_eq!(counted.map(count), [6, 3, 2, 5, 1, 3, 4, 6, 6, 0, 2, 3, 0, 2]);
    assert_eq!((*label, counts.interest()), ("x", EventMask::TIERS | EventMask::OPERATIONS));
    observe_as("users", Arc::clone(&counts));
    assert_eq!([&counts.pages, &counts.others].map(count), [6, 3]);
}

#[derive(CacheEventHandler, Default)]
struct Durations {
    #[cache_event(record(tier))]
    calls: Histogram,
    #[cache_event(record(operation, operation = "get", outcome = "hit"))]
    hits: Histogram,
}

#[test]
fn histograms() {
    let durations = Arc::new(Durations::default());
    observe(Arc::clone(&durations));
    assert_eq!((durations.calls.count(), durations.hits.count()), (6, 2));
    assert_eq!(durations.interest(), EventMask::TIERS | EventMask::OPERATIONS | EventMask::TIMING);
}

struct OwnCounter(AtomicU64);

impl EventCounter for OwnCounter {
    fn increment(&self) {
        self.0.fetch_add(2, Ordering::Relaxed);
    }
}

#[derive(Default)]
struct OwnHistogram(AtomicU64);

impl EventHistogram for OwnHistogram {
    fn record(&self, duration: Duration) {
        assert_eq!(duration, Duration::ZERO);
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[derive(CacheEventHandler)]
struct Own {
    #[cache_event(count(operation))]
    counter: OwnCounter,
    #[cache_event(record(operation))]
    histogram: Arc<OwnHistogram>,
    #[cache_event(count(operation))]
    shared: Arc<AtomicU64>,
}

#[test]
fn own_counters_and_histograms() {
    let own =
        Arc::new(Own { counter: OwnCounter(AtomicU64::new(0)), histogram: Arc::default(), shared: Arc::default() });
    observe(Arc::clone(&own));
    assert_eq!([&own.counter.0, &own.histogram.0, &own.shared].map(count), [6, 3, 3]);
}

#[derive(CacheEventHandler)]
struct Forwarding {
    #[cache_event(forward)]
    plain: RecordingHandler,
    #[cache_event(forward)]
    some: Option<RecordingHandler>,
    #[cache_event(forward)]
    none: Option<RecordingHandler>,
    #[cache_event(forward)]
    shared: Arc<RecordingHandler>,
    #[cache_event(forward)]
    boxed: Box<dyn CacheEventHandler>,
    #[cache_event(forward)]
    list: Vec<RecordingHandler>,
    #[cache_event(forward)]
    array: [RecordingHandler; 2],
    #[cache_event(forward)]
    pair: (RecordingHandler, Option<Box<RecordingHandler>>),
}

#[test]
fn forwarding_to_everything_that_handles_events() {
    let all: [RecordingHandler; 8] = Default::default();
    let [plain, some, shared, boxed, list, first, second, pair] = all.clone();
    observe(Forwarding {
        plain,
        some: Some(some),
        none: None,
        shared: Arc::new(shared),
        boxed: Box::new(boxed),
        list: vec![list],
        array: [first, second],
        pair: (pair, None),
    });
    for seen in all {
        assert_eq!(seen.take().len(), 9);
    }
}

#[derive(CacheEventHandler)]
#[cache_event(on_tier = log_tier, on_operation = Self::log_operation)]
struct Functions(AtomicU64, AtomicU64);

impl Functions {
    fn log_tier(&self, event: &CacheTierEvent<'_>) {
        assert!(event.duration().is_some());
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn log_operation(&self, event: &CacheOperationEvent<'_>) {
        self.1.fetch_add(event.tiers().len() as u64, Ordering::Relaxed);
    }
}

#[test]
fn methods_of_the_type() {
    let functions = Arc::new(Functions(AtomicU64::new(0), AtomicU64::new(0)));
    observe(Arc::clone(&functions));
    assert_eq!([&functions.0, &functions.1].map(count), [6, 6]);
    assert_eq!(functions.interest(), EventMask::ALL);
}

mod sinks {
    pub(super) fn note<T: AsRef<std::sync::atomic::AtomicU64>>(to: &T, event: &super::CacheOperationEvent<'_>) {
        assert_eq!(event.operation(), super::CacheOperation::Get);
        to.as_ref().fetch_add(1, super::Ordering::Relaxed);
    }
}

#[derive(CacheEventHandler)]
#[allow(unused_qualifications, reason = "that is the case")]
#[cache_event(on_operation = crate::handlers::sinks::note)]
struct ByPath(AtomicU64);

impl AsRef<AtomicU64> for ByPath {
    fn as_ref(&self) -> &AtomicU64 {
        &self.0
    }
}

#[test]
fn function_by_its_path() {
    let by_path = Arc::new(ByPath(AtomicU64::new(0)));
    observe(Arc::clone(&by_path));
    assert_eq!(count(&by_path.0), 3);
}

#[derive(CacheEventHandler)]
#[cache_event(on_tier = note)]
struct Unit;

impl Unit {
    fn note(&self, event: &CacheTierEvent<'_>) {
        assert_eq!(event.cache(), "pages");
        assert!(std::ptr::eq(self, std::ptr::from_ref(self)));
    }
}

#[test]
fn unit_struct() {
    observe(Unit);
    assert_eq!(Unit.interest(), EventMask::TIERS | EventMask::TIMING);
}

#[derive(CacheEventHandler)]
#[allow(clippy::large_enum_variant, reason = "there is one of it")]
enum Sink {
    Off,
    Counting(&'static str, #[cache_event(count(operation))] AtomicU64),
    Recording {
        #[cache_event(forward)]
        handler: RecordingHandler,
        #[cache_event(record(tier))]
        latency: Histogram,
    },
    Nested(#[cache_event(forward)] Box<Self>),
}

#[test]
fn enum_with_all_kinds_of_variants() {
    observe(Sink::Off);
    let counting = Arc::new(Sink::Counting("a", AtomicU64::new(0)));
    observe(Arc::clone(&counting));
    assert!(matches!(&*counting, Sink::Counting("a", counter) if count(counter) == 3));
    let handler = RecordingHandler::new();
    let recording = Sink::Recording { handler: handler.clone(), latency: Histogram::new() };
    let nested = Arc::new(Sink::Nested(Box::new(recording)));
    observe(Arc::clone(&nested));
    assert_eq!(handler.take().len(), 9);
    let Sink::Nested(inner) = &*nested else { unreachable!() };
    assert!(matches!(&**inner, Sink::Recording { latency, .. } if latency.count() == 6));
}

#[derive(CacheEventHandler)]
struct Tee<A, B: ?Sized = dyn CacheEventHandler> {
    #[cache_event(forward)]
    first: A,
    #[cache_event(forward)]
    second: Arc<B>,
}

#[test]
fn generic_handlers() {
    let (stats, seen) = (Stats::new(), RecordingHandler::new());
    let tee = Tee::<_> { first: stats.clone(), second: Arc::new(seen.clone()) as Arc<dyn CacheEventHandler> };
    observe(tee);
    assert_eq!(stats.operations(CacheOperation::Get, OperationOutcome::Hit), 2);
    assert_eq!(seen.take().len(), 9);
}

struct PerShard<const N: usize>([AtomicU64; N]);

impl<const N: usize> EventCounter for PerShard<N> {
    fn increment(&self) {
        self.0.iter().for_each(EventCounter::increment);
    }
}

#[derive(CacheEventHandler)]
struct Labelled<'a, T, const N: usize>
where
    T: AsRef<str>,
{
    #[cache_event(count(operation))]
    counter: PerShard<N>,
    label: &'a T,
}

#[test]
fn lifetimes_constants_and_clauses() {
    static LABEL: &str = "x";
    let labelled = Arc::new(Labelled { counter: PerShard::<2>([AtomicU64::new(0), AtomicU64::new(0)]), label: &LABEL });
    observe(Arc::clone(&labelled));
    assert_eq!(labelled.counter.0.each_ref().map(count), [3, 3]);
    assert_eq!(*labelled.label, "x");
}

#[derive(CacheEventHandler)]
struct Outer {
    #[cache_event(forward)]
    inner: Inner,
}

#[derive(CacheEventHandler)]
struct Inner {
    #[cache_event(forward)]
    innermost: Innermost,
}

#[derive(CacheEventHandler)]
struct Innermost(#[cache_event(count(operation, operation = "get"))] AtomicU64);

#[test]
fn nested_handlers() {
    let outer = Arc::new(Outer { inner: Inner { innermost: Innermost(AtomicU64::new(0)) } });
    observe(Arc::clone(&outer));
    assert_eq!(count(&outer.inner.innermost.0), 3);
    assert_eq!(outer.interest(), EventMask::OPERATIONS);
}

#[derive(CacheEventHandler)]
struct Recursive {
    #[cache_event(count(operation))]
    here: AtomicU64,
    #[cache_event(forward)]
    next: Option<Box<Self>>,
}

#[test]
fn recursive_handler() {
    let end = Recursive { here: AtomicU64::new(0), next: None };
    let list = Arc::new(Recursive { here: AtomicU64::new(0), next: Some(Box::new(end)) });
    observe(Arc::clone(&list));
    assert_eq!((count(&list.here), list.next.as_ref().map(|next| count(&next.here))), (3, Some(3)));
}

#[derive(CacheEventHandler)]
#[allow(clippy::use_self, reason = "written out is the case")]
struct RecursiveGeneric<T> {
    #[cache_event(forward)]
    here: T,
    #[cache_event(forward)]
    next: Option<Box<RecursiveGeneric<T>>>,
}

#[test]
fn recursive_generic_handler() {
    let seen = RecordingHandler::new();
    let end = RecursiveGeneric { here: seen.clone(), next: None };
    observe(RecursiveGeneric { here: seen.clone(), next: Some(Box::new(end)) });
    assert_eq!(seen.take().len(), 18);
}

#[derive(CacheEventHandler)]
#[allow(non_snake_case, reason = "raw and odd names")]
struct r#Raw {
    #[cache_event(count(operation))]
    r#type: AtomicU64,
    #[cache_event(count(tier))]
    event: AtomicU64,
    #[cache_event(count(tier))]
    Field0: AtomicU64,
    #[cache_event(record(tier))]
    duration: Histogram,
}

#[test]
fn raw_and_odd_names_of_fields() {
    let raw = Arc::new(r#Raw {
        r#type: AtomicU64::new(0),
        event: AtomicU64::new(0),
        Field0: AtomicU64::new(0),
        duration: Histogram::new(),
    });
    observe(Arc::clone(&raw));
    assert_eq!([&raw.r#type, &raw.event, &raw.Field0].map(count), [3, 6, 6]);
    assert_eq!(raw.duration.count(), 6);
}

#[derive(CacheEventHandler)]
enum RawVariants {
    #[allow(non_camel_case_types, dead_code, reason = "a raw name")]
    r#loop {
        #[cache_event(count(operation))]
        r#in: AtomicU64,
    },
    Self_(#[cache_event(count(operation))] AtomicU64),
}

#[test]
fn raw_and_odd_names_of_variants() {
    let handler = Arc::new(RawVariants::Self_(AtomicU64::new(0)));
    observe(Arc::clone(&handler));
    assert!(matches!(&*handler, RawVariants::Self_(counter) if count(counter) == 3));
}

#[derive(CacheEventHandler)]
struct Conditional {
    #[cfg(test)]
    #[cache_event(count(operation))]
    there: AtomicU64,
    #[cfg(not(test))]
    #[cache_event(count(operation))]
    not_there: Nonsense,
    #[cfg_attr(test, cache_event(count(tier)))]
    by_attribute: AtomicU64,
    #[cfg_attr(not(test), cache_event(count(tier)))]
    without: u8,
}

#[test]
fn cfg_on_fields() {
    let handler = Arc::new(Conditional { there: AtomicU64::new(0), by_attribute: AtomicU64::new(0), without: 0 });
    observe(Arc::clone(&handler));
    assert_eq!([&handler.there, &handler.by_attribute].map(count), [3, 6]);
    assert_eq!(handler.without, 0);
}

mod old {
    #[deprecated]
    #[derive(Default)]
    pub(super) struct OldCounter(pub(super) std::sync::atomic::AtomicU64);

    #[allow(deprecated, reason = "its own impl")]
    impl cachet::telemetry::EventCounter for OldCounter {
        fn increment(&self) {
            self.0.increment();
        }
    }
}

#[derive(CacheEventHandler, Default)]
struct Deprecated {
    #[allow(deprecated, reason = "the type is")]
    #[cache_event(count(operation))]
    counter: old::OldCounter,
    #[deprecated]
    #[cache_event(count(operation))]
    old_field: AtomicU64,
}

#[test]
#[allow(deprecated, reason = "that is the case")]
fn deprecated_types_and_fields() {
    let handler = Arc::new(Deprecated::default());
    observe(Arc::clone(&handler));
    assert_eq!([&handler.counter.0, &handler.old_field].map(count), [3, 3]);
}

#[derive(CacheEventHandler, Default)]
#[cache_event(on_tier = Self::tier)]
#[cache_event(on_operation = Self::operation, crate = ::cachet)]
struct SeveralAttributes {
    #[cache_event(count(operation))]
    all: AtomicU64,
}

impl SeveralAttributes {
    fn tier(&self, event: &CacheTierEvent<'_>) {
        assert_eq!((event.cache(), count(&self.all) < 3), ("pages", true));
    }

    fn operation(&self, _: &CacheOperationEvent<'_>) {
        // The fields have had the event.
        assert!(count(&self.all) > 0);
    }
}

#[test]
fn several_attributes_on_the_type() {
    let handler = Arc::new(SeveralAttributes::default());
    observe(Arc::clone(&handler));
    assert_eq!(count(&handler.all), 3);
}

/// A public handler.
#[allow(unreachable_pub, reason = "public is the case")]
pub mod public {
    /// Public.
    #[derive(cachet::CacheEventHandler, Debug, Default)]
    pub struct Public {
        /// Public, too.
        #[cache_event(count(tier))]
        pub calls: std::sync::atomic::AtomicU64,
        #[cache_event(forward)]
        private: Option<super::Stats>,
    }
}

#[test]
fn public_handler() {
    let handler = Arc::new(public::Public::default());
    observe(Arc::clone(&handler));
    assert_eq!(count(&handler.calls), 6);
}

#[derive(CacheEventHandler)]
struct OnlyTiers(#[cache_event(count(tier))] AtomicU64);

#[derive(CacheEventHandler)]
struct OnlyTimedOperations(#[cache_event(record(operation))] Histogram);

#[derive(CacheEventHandler)]
struct Silent(#[cache_event(forward)] Option<Stats>);

#[test]
fn interest_is_what_is_used() {
    assert_eq!(OnlyTiers(AtomicU64::new(0)).interest(), EventMask::TIERS);
    assert_eq!(OnlyTimedOperations(Histogram::new()).interest(), EventMask::OPERATIONS | EventMask::TIMING);
    assert_eq!(Silent(None).interest(), EventMask::NONE);
    assert_eq!(Silent(Some(Stats::new())).interest(), Stats::new().interest());
    assert_eq!(Sink::Off.interest(), EventMask::OPERATIONS | EventMask::TIERS | EventMask::TIMING);
}
