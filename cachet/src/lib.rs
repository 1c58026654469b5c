//! An async multi-tier cache with single flight, stale-if-error, refresh-ahead and built-in telemetry.
//!
//! A [`Cache`] is a list of tiers: usually memory first, then a slower storage such as a directory or Redis. A custom tier
//! implements [`CacheTier`] and carries the attribute [`#[cache_tier]`](macro@cache_tier). For every operation the cache
//! reports which tier answered, how long each tier took, and why a call failed:
//!
//! ```text
//! cache.get{cache.name="pages" cache.request_id=42 cache.outcome="hit" cache.hit_tier="disk"}
//!   cache.tier{cache.tier="l1"   cache.operation="get"    cache.outcome="miss"}
//!   cache.tier{cache.tier="disk" cache.operation="get"    cache.outcome="hit" cache.fallback=true}
//!   cache.tier{cache.tier="l1"   cache.operation="insert" cache.outcome="inserted"}
//! ```
//!
//! A [`CacheEventHandler`] receives the same data as typed events, with or without a tracing subscriber. Without a handler and
//! without logs, no telemetry is collected.
//!
//! The cache runs on any executor. Only refreshes and timeouts need a [`Runtime`]: by default the current Tokio runtime.
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
//! The key type is the borrowed form, `str` rather than `String`, so that a lookup does not allocate ([`Key`]). Reads return a
//! [`CacheEntry`], which dereferences to the value. On a miss, a compute method runs a closure, the *loader*, and stores its
//! value. The three methods differ in the return type of the loader: [`get_or_insert`](Cache::get_or_insert) takes a value,
//! [`try_get_or_insert`](Cache::try_get_or_insert) a `Result`,
//! [`optionally_get_or_insert`](Cache::optionally_get_or_insert) an `Option`.
//!
//! # A custom tier
//!
//! A tier needs four `async fn`s and one attribute. Store the whole entry, not only its value: the entry contains the time of
//! insertion, from which the cache computes its age.
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
//! A read asks the tiers in the order in which they were added. A hit in a lower tier is promoted into the tiers above it. A write
//! goes to all tiers concurrently.
//!
//! A failing tier is always reported. A read skips it and returns its error only if no other tier has the entry; a failed promotion
//! never fails the read. A write tries every tier, then returns the error of a tier that failed. A promoted or computed value never
//! overwrites a newer one ([guarantees](#guarantees)).
//!
//! # Spans, events and statistics
//!
//! [`enable_logs`](CacheBuilder::enable_logs) opens a `tracing` span for each operation, with a child span for each call of a tier,
//! and sends events. Every event is complete without its span. The target of a tier's spans and events is the module of its
//! `#[cache_tier]`: `RUST_LOG=my_app::shelf=debug` selects the tier in that module. [`telemetry`] describes levels, targets and
//! filters; [`SpanPolicy`](telemetry::SpanPolicy) selects the operations that get a span.
//!
//! [`Stats`](telemetry::Stats) needs no subscriber. It counts every outcome and prints a table with the hit ratio of each tier:
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
//! # Custom handlers
//!
//! `#[derive(CacheEventHandler)]` makes a handler of a struct. An attribute on each field selects the events that it counts or
//! records:
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
//! Alternatively, implement [`CacheEventHandler`]: one method receives every call of a tier, the other every completed operation.
//! The event of an operation contains the events of its tiers, so a summary per operation needs no state.
//!
//! # Performance
//!
//! A hit in a memory tier allocates nothing, also with handlers (unless [keys are recorded](telemetry::RecordKeys)). With no
//! handlers and no logs, a hit is one lookup in [`quick_cache`](https://docs.rs/quick_cache) and one virtual call; the clock is
//! read only if the entry has a time to live. The cost of a handler depends on its [`EventMask`](telemetry::EventMask).
//! [`docs::performance`] has benchmarks against other libraries and advice on settings.
//!
//! # Slow or failing sources
//!
//! | method | pattern | effect |
//! |---|---|---|
//! | [`stampede_protection`](CacheBuilder::stampede_protection) | single flight | concurrent misses of a key share one computation; [`follower_timeout`](CacheBuilder::follower_timeout) limits the wait of a follower |
//! | [`refresh_after`](Tier::refresh_after) | refresh-ahead | serves an aging entry immediately and refreshes it from the lower tiers in the background |
//! | [`serve_stale_on_error`](CacheBuilder::serve_stale_on_error) | stale-if-error | serves an expired entry if all other sources fail |
//! | [`timeout`](Tier::timeout) | timeout | limits the calls of one tier |
//! | [`breaker`](Tier::breaker) | circuit breaker | stops calling a tier after repeated failures, except for a probe now and then |
//! | [`load_timeout`](CacheBuilder::load_timeout) | timeout | limits the loader of a compute method |
//! | [`time_limit`](CacheBuilder::time_limit) | timeout | limits each operation as a whole |
//! | [`fail_closed`](CacheBuilder::fail_closed) | fail closed | returns the error of a failing tier instead of running the loader |
//! | [`ttl_jitter`](Tier::ttl_jitter) | TTL jitter | spreads the expiry of entries that were inserted together |
//!
//! For negative caching, see [`optionally_get_or_insert`](Cache::optionally_get_or_insert).
//!
//! # Guarantees
//!
//! * **Newer beats older.** If an insert, invalidate or clear begins during a promotion, refresh or computation of the same key, the
//!   older value is discarded and reported as `superseded`.
//! * **Tiers agree.** Writes of a key take turns in each tier. A tier in which a write failed, or was cancelled, may hold an older
//!   value: reads of the key skip it until the key has been invalidated there. Between processes, only times to live limit the age
//!   of a value.
//! * **Exactly one completion.** Every observed operation sends exactly one completion event, also if it fails, panics or is
//!   cancelled.
//! * **Handlers are isolated.** A panic in a handler is caught and counted.
//!
//! # Features
//!
//! | feature | default | what it adds |
//! |---|---|---|
//! | `logs` | yes | spans and events through `tracing` |
//! | `memory` | yes | [`Tier::memory`](Tier), on `quick_cache` |
//! | `tokio` | yes | refreshes and timeouts use the current Tokio runtime; for other runtimes see [`Runtime`] |
//! | `tsc` | no | `Clock::tsc`, a faster clock, on `quanta` |
//! | `test-util` | no | `testing`: scripted tiers and a recording handler for your tests |
#![deny(missing_docs)]
#![cfg_attr(docsrs, feature(doc_cfg))]

// The expansion of `#[cache_tier]` names `::cachet`, also in this crate.
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
mod limit;
mod macros;
mod policy;
mod runtime;
mod stack;
mod stores;
mod sync;
pub mod telemetry;
mod tier;

pub use self::macros::{CacheEventHandler, cache_tier};

/// Chapters that belong to no item.
#[cfg(doc)]
pub mod docs {
    #[doc = include_str!("../PERFORMANCE.md")]
    pub mod performance {}
}

/// What methods take keys and entries from.
pub mod convert {
    pub use crate::bounds::{IntoEntry, IntoKey};
}

/// Futures that have a name.
pub mod future {
    pub use crate::cache::Get;
    pub use crate::runtime::RuntimeFuture;
}

/// What a cache is doing at the moment.
pub mod status {
    pub use crate::cache::RefreshStatus;
    pub use crate::error::WriteState;
    pub use crate::tier::status::TierStatus;
}

/// What a [`CacheBuilder`] lacks, as its type parameter.
pub mod typestate {
    pub use crate::builder::{Complete, HasTier, NoTier};
}

/// The examples of the README are tests.
#[cfg(all(doctest, feature = "memory"))]
#[doc = include_str!("../../README.md")]
struct Readme;

pub use self::bounds::{Key, Value};
pub use self::builder::CacheBuilder;
pub use self::cache::Cache;
pub use self::clock::{Clock, ManualClock};
pub use self::entry::CacheEntry;
pub use self::error::{Error, TierError};
#[cfg(feature = "test-util")]
pub use self::integrate::testing;
pub use self::policy::InsertPolicy;
pub use self::runtime::Runtime;
pub use self::telemetry::handler::CacheEventHandler;
pub use self::telemetry::request_id::RequestId;
pub use self::tier::config::Tier;
pub use self::tier::context::TierContext;
pub use self::tier::source::Source;
pub use self::tier::{CacheTier, InsertOutcome};

// Also exported outside of `__private`: rustc does not shorten a path through a hidden module, and its messages name these
// traits.
#[doc(hidden)]
pub use self::tier::adapt as __adapt;

#[doc(hidden)]
pub use self::tier::source::ObservableSource;
pub use self::tier::{InstrumentedTier, ObservableTier};

/// Items for the expansions of the macros; not part of the public interface.
#[doc(hidden)]
pub mod __private {
    pub use crate::__tier_descriptor as tier_descriptor;
    pub use crate::telemetry::handler::CacheEventHandler;
    #[cfg(feature = "logs")]
    pub use crate::telemetry::span::Place;
    pub use crate::telemetry::span::{
        AddressField, DebugField, DisplayField, FieldRecorder, FieldValue, TierDescriptor,
    };
    pub use crate::telemetry::{
        CacheOperation, CacheOperationEvent, CacheTierEvent, EventCounter, EventHistogram, EventMask, OperationOutcome,
        TierOperation, TierOutcome,
    };
    pub use crate::tier::{InstrumentedTier, adapt};
    #[cfg(feature = "logs")]
    pub use tracing;
}
