//! A module in which every name of the prelude, and every crate, means something else.

#![allow(dead_code, unused_macros, non_camel_case_types, reason = "what is shadowed is not there to be used")]

use ::cachet::{CacheEventHandler, CacheTier, Tier, cache_tier};

use crate::support::{Shelf, used};

struct Result;
struct Option;
struct Some;
struct None;
struct Ok;
struct Err;
struct Box;
struct Vec;
struct String;
struct bool;
struct u64;
struct usize;
trait Send {}
trait Sync {}
trait Future {}
trait Sized {}
trait ToOwned {}
trait InstrumentedTier {}
trait EventCounter {}
mod core {}
mod std {}
mod alloc {}
mod cachet {}
mod tracing {}
mod __private {}

macro_rules! matches {
    () => {};
}
macro_rules! module_path {
    () => {};
}
macro_rules! tier_descriptor {
    () => {};
}

#[derive(::std::default::Default)]
struct Tough(Shelf);

#[cache_tier(level = "info", remote(system = "x", address = 1), fields(one = 1, two = %2, three = ?3), immediate)]
impl CacheTier<str, u32> for Tough {
    methods!(0: str => u32);
}

#[test]
fn tier_among_shadowed_names() {
    assert_eq!(used(Tier::new(Tough::default())), "tough");
}

#[derive(CacheEventHandler, ::std::default::Default)]
#[cache_event(on_operation = log)]
struct Counts {
    #[cache_event(count(operation, outcome = any("hit", "miss"), operation = "get", fallback = false, coalesced = false))]
    lookups: ::std::sync::atomic::AtomicU64,
    #[cache_event(record(tier, tier = any("l1", "l2")))]
    latency: ::cachet::telemetry::Histogram,
    #[cache_event(forward)]
    inner: ::std::option::Option<::cachet::telemetry::Stats>,
}

impl Counts {
    fn log(&self, event: &::cachet::telemetry::CacheOperationEvent<'_>) {
        assert_eq!(event.cache(), "shadowed");
        assert!(self.latency.count() < 2);
    }
}

#[test]
fn handler_among_shadowed_names() {
    let counts = ::std::sync::Arc::new(Counts::default());
    let cache = ::cachet::Cache::<str, u32>::builder("shadowed")
        .tier(Tier::new(Tough::default()).name("l1"))
        .event_handler(::std::sync::Arc::clone(&counts))
        .build();
    cachet_tests::ready(cache.get("ada")).unwrap();
    assert_eq!(counts.lookups.load(::std::sync::atomic::Ordering::Relaxed), 1);
    assert_eq!(counts.latency.count(), 1);
}
