//! An async multi-tier cache whose every operation can be seen.
//!
//! A [`Cache`] is a list of tiers: memory first, then whatever lies behind it, a directory, Redis, a database. A tier of your
//! own is an `impl` of [`CacheTier`] with [`#[cache_tier]`](macro@cache_tier) on it. From then on the cache tells, for every
//! single operation, which tier answered, how long each one took, and why anything failed:
//!
//! ```text
//! cache.get{cache.name="pages" cache.request_id=42 cache.outcome="hit" cache.hit_tier="disk"}
//!   cache.tier{cache.tier="l1"   cache.operation="get"    cache.outcome="miss"}
//!   cache.tier{cache.tier="disk" cache.operation="get"    cache.outcome="hit" cache.fallback=true}
//!   cache.tier{cache.tier="l1"   cache.operation="insert" cache.outcome="inserted"}
//! ```
//!
//! The same facts arrive as typed events at a [`CacheEventHandler`], with or without a tracing subscriber. When nobody
//! listens, they are not even gathered.
//!
//! It runs on any executor. Only refreshes and time limits need a [`Runtime`], which is Tokio's unless another one is given.
//!
//! # A first cache
//!
//! ```
//! # #[cfg(feature = "memory")]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), cachet::Error> {
//! use cachet::{Cache, Tier};
//! use std::time::Duration;
//!
//! let pages = Cache::<str, String>::builder("pages")
//!     .tier(Tier::memory(10_000).name("l1").ttl(Duration::from_secs(60)))
//!     .build();
//!
//! let page = pages.get_or_insert("index.html", || async { "<h1>Hello</h1>".to_owned() }).await?;
//! assert_eq!(page.len(), 14);
//! assert!(pages.contains("index.html").await?);
//! # Ok(()) }
//! # #[cfg(not(feature = "memory"))]
//! # fn main() {}
//! ```
//!
//! Keys are named in the form in which they are looked up, `str` rather than `String`, so that a lookup borrows and
//! allocates nothing ([`Key`]). Values come back as a [`CacheEntry`], which dereferences to the value. The three compute
//! methods differ in what their closure gives: [`get_or_insert`](Cache::get_or_insert) a value,
//! [`try_get_or_insert`](Cache::try_get_or_insert) a result,
//! [`optionally_get_or_insert`](Cache::optionally_get_or_insert) an option.
//!
//! # A first tier of your own
//!
//! Four methods, native `async fn`s, and one attribute. Keep the whole entry, not only its value: its stamp is what a
//! time to live is judged by.
//!
//! ```
//! use cachet::{Cache, CacheEntry, CacheTier, Error, InsertOutcome, Tier, TierError, cache_tier};
//! use std::collections::HashMap;
//! use std::sync::Mutex;
//!
//! #[derive(Default)]
//! struct Shelf(Mutex<HashMap<String, CacheEntry<u32>>>);
//!
//! #[cache_tier(name = "shelf")]
//! impl CacheTier<str, u32> for Shelf {
//!     async fn get(&self, key: &str) -> Result<Option<CacheEntry<u32>>, TierError> {
//!         Ok(self.0.lock().unwrap().get(key).cloned())
//!     }
//!
//!     async fn insert(&self, key: String, entry: CacheEntry<u32>) -> Result<InsertOutcome, TierError> {
//!         self.0.lock().unwrap().insert(key, entry);
//!         Ok(InsertOutcome::Accepted)
//!     }
//!
//!     async fn invalidate(&self, key: &str) -> Result<(), TierError> {
//!         self.0.lock().unwrap().remove(key);
//!         Ok(())
//!     }
//!
//!     async fn clear(&self) -> Result<(), TierError> {
//!         self.0.lock().unwrap().clear();
//!         Ok(())
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Error> {
//! let ages = Cache::<str, u32>::builder("ages").tier(Tier::new(Shelf::default())).build();
//! ages.insert("ada", 36).await?;
//! assert_eq!(ages.get("ada").await?.as_deref(), Some(&36));
//! # Ok(()) }
//! ```
//!
//! # Several tiers
//!
//! Reads ask the tiers in the order in which they were added; what a later one has is promoted into the earlier ones.
//! Writes go to all at once. A tier that fails is passed over and reported: its error is returned only when nobody else
//! could answer. A value that is on its way into a tier never overwrites a newer one ([more](#guarantees)).
//!
//! # Reading the telemetry
//!
//! With [`enable_logs`](CacheBuilder::enable_logs) a cache opens a span per operation, with a child span per tier, and
//! sends events through `tracing`; every event is complete in itself. Spans and events of a tier have the module of its
//! `#[cache_tier]` as their target, so with a subscriber that reads `RUST_LOG`, `RUST_LOG=my_app::shelf=debug` picks out
//! the tier in that module. [`telemetry`] tells how to see the logs, what their levels mean and how they are called; how much
//! is traced is set by [`SpanPolicy`].
//!
//! Without any subscriber, [`Stats`](telemetry::Stats) counts everything and prints a table:
//!
//! ```
//! # #[cfg(feature = "memory")]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), cachet::Error> {
//! use cachet::telemetry::Stats;
//! use cachet::{Cache, Tier};
//!
//! let stats = Stats::new();
//! let ages = Cache::<str, u32>::builder("ages").tier(Tier::memory(100)).event_handler(stats.clone()).build();
//! ages.insert("ada", 36).await?;
//! ages.get("ada").await?;
//! assert_eq!(stats.tiers()[0].hit_ratio(), Some(1.0));
//! print!("{stats}");
//! # Ok(()) }
//! # #[cfg(not(feature = "memory"))]
//! # fn main() {}
//! ```
//!
//! # Writing a handler
//!
//! Derive it, and name what each field is for:
//!
//! ```
//! # #[cfg(feature = "memory")]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), cachet::Error> {
//! use cachet::telemetry::Histogram;
//! use cachet::{Cache, CacheEventHandler, Tier};
//! use std::sync::{Arc, atomic::{AtomicU64, Ordering}};
//!
//! #[derive(Default, CacheEventHandler)]
//! struct Metrics {
//!     #[cache_event(count(operation, operation = "get", outcome = "hit"))]
//!     hits: AtomicU64,
//!     #[cache_event(count(tier, tier = "l1", outcome = any("miss", "expired")))]
//!     l1_misses: AtomicU64,
//!     #[cache_event(record(operation, operation = "get"))]
//!     latency: Histogram,
//! }
//!
//! let metrics = Arc::new(Metrics::default());
//! let ages = Cache::<str, u32>::builder("ages")
//!     .tier(Tier::memory(100).name("l1"))
//!     .event_handler(metrics.clone())
//!     .build();
//! ages.get("ada").await?;
//! ages.insert("ada", 36).await?;
//! ages.get("ada").await?;
//! assert_eq!(metrics.hits.load(Ordering::Relaxed), 1);
//! assert_eq!(metrics.l1_misses.load(Ordering::Relaxed), 1);
//! assert_eq!(metrics.latency.count(), 2);
//! # Ok(()) }
//! # #[cfg(not(feature = "memory"))]
//! # fn main() {}
//! ```
//!
//! or implement the trait [`CacheEventHandler`], whose two methods get every tier call and every finished operation. The
//! event of an operation carries those of its tiers, so a summary per request needs no accumulator.
//!
//! # What it costs
//!
//! A hit of a memory tier allocates nothing, whichever handler listens (unless [keys are recorded](RecordKeys)). With nobody
//! listening it is a lookup in [`quick_cache`](https://docs.rs/quick_cache), one virtual call, and a check that nobody
//! listens: no id is taken, no span opened, and no clock read unless a time to live has to be judged. A handler pays for
//! what its [`EventMask`] names. [`_performance`] has the figures, next to other libraries, and how to choose.
//!
//! # When a source is slow, or gone
//!
//! | what | what it does |
//! |---|---|
//! | [`stampede_protection`](CacheBuilder::stampede_protection) | one closure computes a key for everybody who misses it; [`follower_timeout`](CacheBuilder::follower_timeout) bounds the wait, after which everybody computes |
//! | [`refresh_after`](Tier::refresh_after) | serves an entry that is getting old at once, and brings it up to date from the tiers below, in the background |
//! | [`timeout`](Tier::timeout) | bounds every call of a tier |
//! | [`serve_stale_on_error`](CacheBuilder::serve_stale_on_error) | serves an expired entry when every other source has failed |
//! | [`fail_closed`](CacheBuilder::fail_closed) | keeps the compute methods from computing while a tier fails |
//! | [`ttl_jitter`](Tier::ttl_jitter) | lets entries that were inserted together expire at different times |
//!
//! A failing tier is passed over and reported in any case. How to remember that there is nothing is told at
//! [`optionally_get_or_insert`](Cache::optionally_get_or_insert).
//!
//! # Guarantees
//!
//! * **Newer beats older.** An insert, invalidate or clear that happens while a promotion, a refresh or a computed insert of
//!   the same key is under way wins: the late value is not stored, and is reported as `superseded`. If the late value is being
//!   stored at that very moment, in a tier that has to be waited for, the newer write waits for the end of that and then
//!   follows. So a task must not hold on to a half-finished future of a cache without polling it while it awaits a write of
//!   the same key: as with any lock, that would wait for itself. Across processes, times to live are the only rule.
//! * **Every operation that somebody listens to is reported exactly once**, whether it was answered, failed, panicked, or
//!   was dropped half-way.
//! * **A handler cannot hurt a cache**: its panics are caught and counted.
//!
//! # Features
//!
//! | feature | default | what it adds |
//! |---|---|---|
//! | `logs` | yes | spans and events through `tracing` (a dependency without its default features) |
//! | `memory` | yes | [`Tier::memory`](Tier), on `quick_cache` |
//! | `tokio` | yes | refreshes and time limits run in the Tokio runtime that a cache is used in; see [`Runtime`] for others |
//! | `tsc` | no | `Clock::tsc`, which is cheaper to read (a dependency on `quanta`) |
//! | `test-util` | no | `testing`: scripted tiers and a recording handler for your tests |
#![deny(missing_docs)]
#![cfg_attr(docsrs, feature(doc_cfg))]

// Lets the expansion of `#[cache_tier]` say `::cachet` in this crate too.
extern crate self as cachet;

mod bounds;
mod builder;
mod cache;
mod clock;
mod entry;
mod error;
mod expiry;
mod inflight;
mod integrate;
mod macros;
mod policy;
mod runtime;
mod stack;
mod stores;
mod sync;
pub mod telemetry;
mod tier;

pub use self::macros::{CacheEventHandler, cache_tier};

#[cfg(doc)]
#[doc = include_str!("../PERFORMANCE.md")]
pub mod _performance {}

/// The examples of the README are tests.
#[cfg(all(doctest, feature = "memory"))]
#[doc = include_str!("../../README.md")]
struct Readme;

pub use self::bounds::{IntoEntry, IntoKey, Key, Value};
pub use self::builder::{CacheBuilder, Complete, HasTier, NoTier};
pub use self::cache::{Cache, Get, RefreshStatus};
pub use self::clock::{Clock, ManualClock};
pub use self::entry::CacheEntry;
pub use self::error::{Error, TierError};
#[cfg(feature = "test-util")]
pub use self::integrate::testing;
pub use self::policy::InsertPolicy;
pub use self::runtime::{Runtime, RuntimeFuture};
pub use self::telemetry::span::SpanLevel;
#[doc(inline)]
pub use self::telemetry::{
    CacheEventHandler, CacheOperation, CacheOperationEvent, CacheTierEvent, EventCounter, EventHistogram, EventMask,
    OperationOutcome, RecordKeys, RequestId, RequestIdExt, SpanPolicy, TierOperation, TierOutcome, WithRequestId,
};
pub use self::tier::config::Tier;
pub use self::tier::context::TierContext;
pub use self::tier::{CacheTier, InsertOutcome};

// Beside `__private`, in which it also is: rustc shortens no path that leads through a hidden module, and these traits
// are there to be read in its messages.
#[doc(hidden)]
pub use self::tier::adapt as __adapt;

#[doc(hidden)]
pub use self::tier::{InstrumentedTier, ObservableTier};

/// What the macros' expansions name; not part of the public interface.
#[doc(hidden)]
pub mod __private {
    pub use crate::__tier_descriptor as tier_descriptor;
    #[cfg(feature = "logs")]
    pub use crate::telemetry::span::Place;
    pub use crate::telemetry::span::{
        AddressField, DebugField, DisplayField, FieldRecorder, FieldValue, TierDescriptor,
    };
    pub use crate::telemetry::{
        CacheEventHandler, CacheOperation, CacheOperationEvent, CacheTierEvent, EventCounter, EventHistogram,
        EventMask, OperationOutcome, TierOperation, TierOutcome,
    };
    pub use crate::tier::{InstrumentedTier, adapt};
    #[cfg(feature = "logs")]
    pub use tracing;
}
