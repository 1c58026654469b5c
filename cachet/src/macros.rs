//! The two macros, re-exported with examples for each of their arguments.

/// Makes a tier observable: goes on its `impl CacheTier`, or on an inherent `impl` with the same methods.
///
/// # Examples
///
/// Every example below uses this shelf, whose methods are left out; [`CacheTier`](crate::CacheTier) shows one in full.
///
/// ## `name`
///
/// What spans, events and metrics call the tier, unless the cache gives it another name with
/// [`Tier::name`](crate::Tier::name).
///
/// ```
/// # use cachet::{CacheEntry, CacheTier, InsertOutcome, Tier, TierError, cache_tier};
/// struct DiskTier;
///
/// // Without `name` it would be `disk_tier`.
/// #[cache_tier(name = "disk")]
/// impl CacheTier<str, u32> for DiskTier {
///     // …
/// #   async fn get(&self, _key: &str) -> Result<Option<CacheEntry<u32>>, TierError> { Ok(None) }
/// #   async fn insert(&self, _key: String, _entry: CacheEntry<u32>) -> Result<InsertOutcome, TierError> { Ok(InsertOutcome::Rejected) }
/// #   async fn invalidate(&self, _key: &str) -> Result<(), TierError> { Ok(()) }
/// #   async fn clear(&self) -> Result<(), TierError> { Ok(()) }
/// }
///
/// let cache = cachet::Cache::<str, u32>::builder("ages").tier(Tier::new(DiskTier)).build();
/// assert!(cache.tier_names().eq(["disk"]));
/// ```
///
/// ## `level` and `target`
///
/// At which level the tier's spans are, and under which target its spans and events can be filtered. By default a tier is
/// as visible as the operations are, under the module that it is written in.
///
/// ```
/// # use cachet::{CacheEntry, CacheTier, InsertOutcome, TierError, cache_tier};
/// # struct DiskTier;
/// // Shown with RUST_LOG=storage::disk=trace.
/// #[cache_tier(level = "trace", target = "storage::disk")]
/// impl CacheTier<str, u32> for DiskTier {
///     // …
/// #   async fn get(&self, _key: &str) -> Result<Option<CacheEntry<u32>>, TierError> { Ok(None) }
/// #   async fn insert(&self, _key: String, _entry: CacheEntry<u32>) -> Result<InsertOutcome, TierError> { Ok(InsertOutcome::Rejected) }
/// #   async fn invalidate(&self, _key: &str) -> Result<(), TierError> { Ok(()) }
/// #   async fn clear(&self) -> Result<(), TierError> { Ok(()) }
/// }
/// ```
///
/// ## `remote` and `fields`
///
/// What else the tier's spans say. Expressions may use `self`, and are evaluated only while the span is enabled.
///
/// ```
/// # use cachet::{CacheEntry, CacheTier, InsertOutcome, TierError, cache_tier};
/// struct RedisTier {
///     address: std::net::SocketAddr,
///     shard: u16,
/// }
///
/// #[cache_tier(
///     name = "redis",
///     remote(system = "redis", address = self.address),
///     fields(shard = self.shard, pool.name = %"main"),
/// )]
/// impl CacheTier<str, u32> for RedisTier {
///     // …
/// #   async fn get(&self, _key: &str) -> Result<Option<CacheEntry<u32>>, TierError> { Ok(None) }
/// #   async fn insert(&self, _key: String, _entry: CacheEntry<u32>) -> Result<InsertOutcome, TierError> { Ok(InsertOutcome::Rejected) }
/// #   async fn invalidate(&self, _key: &str) -> Result<(), TierError> { Ok(()) }
/// #   async fn clear(&self) -> Result<(), TierError> { Ok(()) }
/// }
/// ```
///
/// ## `immediate`
///
/// The tier lives in this process and its futures are ready when they are first polled. Such a tier is asked without a
/// box for its future, and a hit in it allocates nothing. A tier that says so and then waits gets an error that tells it.
///
/// ```
/// use cachet::{Cache, CacheEntry, CacheTier, InsertOutcome, Tier, TierError, cache_tier};
/// use std::collections::HashMap;
/// use std::sync::Mutex;
///
/// #[derive(Default)]
/// struct Shelf(Mutex<HashMap<u64, CacheEntry<u32>>>);
///
/// #[cache_tier(immediate)]
/// impl CacheTier<u64, u32> for Shelf {
///     async fn get(&self, key: &u64) -> Result<Option<CacheEntry<u32>>, TierError> {
///         Ok(self.0.lock().unwrap().get(key).cloned())
///     }
///     // …
/// #   async fn insert(&self, key: u64, entry: CacheEntry<u32>) -> Result<InsertOutcome, TierError> {
/// #       self.0.lock().unwrap().insert(key, entry);
/// #       Ok(InsertOutcome::Accepted)
/// #   }
/// #   async fn invalidate(&self, _key: &u64) -> Result<(), TierError> { Ok(()) }
/// #   async fn clear(&self) -> Result<(), TierError> { Ok(()) }
/// }
/// # let _ = Cache::<u64, u32>::builder("ages").tier(Tier::new(Shelf::default())).build();
/// ```
///
/// ## `key` and `value`: on an inherent impl
///
/// For a store that has methods of its own. The impl stays as it is, and an `impl CacheTier<u64, Vec<u8>>` is written
/// beside it that calls them: any error type, async or not, values or entries. All other arguments work here too.
///
/// ```
/// use cachet::{Cache, Tier, cache_tier};
/// use std::path::PathBuf;
/// use std::{fs, io};
///
/// struct Disk {
///     root: PathBuf,
/// }
///
/// impl Disk {
///     // A number makes a harmless file name. A text would not: `../` leads out of the directory.
///     fn path(&self, key: u64) -> PathBuf {
///         self.root.join(format!("{key:016x}"))
///     }
/// }
///
/// #[cache_tier(key = u64, value = Vec<u8>, fields(root = %self.root.display()))]
/// impl Disk {
///     // Small local files only: a method that blocks for long holds up everything else on its thread.
///     fn get(&self, key: &u64) -> io::Result<Option<Vec<u8>>> {
///         match fs::read(self.path(*key)) {
///             Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
///             read => read.map(Some),
///         }
///     }
///
///     fn insert(&self, key: u64, value: Vec<u8>) -> io::Result<()> {
///         fs::create_dir_all(&self.root)?;
///         let (path, half) = (self.path(key), self.path(key).with_extension("half"));
///         // All of it or nothing, whatever happens in between.
///         fs::write(&half, value)?;
///         fs::rename(half, path)
///     }
///
///     fn invalidate(&self, key: &u64) -> io::Result<()> {
///         match fs::remove_file(self.path(*key)) {
///             Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
///             _ => Ok(()),
///         }
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), cachet::Error> {
/// # let root = std::env::temp_dir().join(format!("cachet-inherent-{}", std::process::id()));
/// # let remove = root.clone();
/// let pages = Cache::<u64, Vec<u8>>::builder("pages").tier(Tier::new(Disk { root })).build();
/// pages.insert(7_u64, b"<html>".to_vec()).await?;
/// assert_eq!(pages.get(&7).await?.unwrap().value(), b"<html>");
///
/// // What the store has no method for is an error that says so.
/// assert_eq!(pages.clear().await.unwrap_err().error_type(), "unsupported");
/// # let _ = fs::remove_dir_all(remove);
/// # Ok(()) }
/// ```
///
/// Plain values forget when they were inserted and how long they may live. So this `Disk` is given no entry that has a
/// time to live of its own (such an insert is `rejected`), and cannot be used with [`Tier::ttl`](crate::Tier::ttl), where
/// everything it has would count as expired. A store whose entries may expire takes and returns
/// [`CacheEntry<V>`](crate::CacheEntry), and keeps the whole of it.
///
/// ## `crate`
///
/// Where to find this crate, if it was renamed in `Cargo.toml`, or comes through another crate that re-exports it.
///
/// ```
/// mod prelude {
///     pub extern crate cachet;
/// }
/// # use cachet::{CacheEntry, CacheTier, InsertOutcome, TierError, cache_tier};
/// # struct DiskTier;
///
/// #[cache_tier(crate = crate::prelude::cachet)]
/// impl CacheTier<str, u32> for DiskTier {
///     // …
/// #   async fn get(&self, _key: &str) -> Result<Option<CacheEntry<u32>>, TierError> { Ok(None) }
/// #   async fn insert(&self, _key: String, _entry: CacheEntry<u32>) -> Result<InsertOutcome, TierError> { Ok(InsertOutcome::Rejected) }
/// #   async fn invalidate(&self, _key: &str) -> Result<(), TierError> { Ok(()) }
/// #   async fn clear(&self) -> Result<(), TierError> { Ok(()) }
/// }
/// # fn main() {}
/// ```
pub use cachet_macros::cache_tier;

/// Makes a handler of a struct or an enum, from what each of its fields counts, records or hands on.
///
/// # Examples
///
/// ## `count` and `record`
///
/// A team's cache metrics in one struct. It costs the atomics that it names, and a reading of the clock only where
/// something is recorded.
///
/// ```
/// # #[cfg(feature = "memory")]
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), cachet::Error> {
/// use cachet::telemetry::Histogram;
/// use cachet::{Cache, CacheEventHandler, Tier};
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// #[derive(Default, CacheEventHandler)]
/// struct Metrics {
///     #[cache_event(count(operation, outcome = "hit"))]
///     hits: AtomicU64,
///     #[cache_event(count(operation, cache = "pages", operation = "get", outcome = "miss"))]
///     misses: AtomicU64,
///     #[cache_event(count(tier, operation = "evict"))]
///     evictions: AtomicU64,
///     #[cache_event(record(tier, tier = "l1", operation = "get"))]
///     l1_latency: Histogram,
///     // Without a role: left alone.
///     version: u32,
/// }
///
/// let metrics = Arc::new(Metrics::default());
/// let pages = Cache::<str, u32>::builder("pages")
///     .tier(Tier::memory(100).name("l1"))
///     .event_handler(metrics.clone())
///     .build();
/// pages.get("index").await?;
/// assert_eq!(metrics.misses.load(Ordering::Relaxed), 1);
/// assert_eq!(metrics.l1_latency.count(), 1);
/// # let _ = metrics.version;
/// # Ok(()) }
/// # #[cfg(not(feature = "memory"))]
/// # fn main() {}
/// ```
///
/// ## `forward`, `on_tier` and `on_operation`
///
/// Handlers are made of handlers, and of methods that get the whole event:
///
/// ```
/// use cachet::telemetry::Stats;
/// use cachet::{CacheEventHandler, CacheOperationEvent};
///
/// #[derive(CacheEventHandler)]
/// #[cache_event(on_operation = log_failure)]
/// struct Observability<H> {
///     #[cache_event(forward)]
///     stats: Stats,
///     #[cache_event(forward)]
///     extra: Option<H>,
/// }
///
/// impl<H> Observability<H> {
///     fn log_failure(&self, event: &CacheOperationEvent<'_>) {
///         if let Some(error) = event.error() {
///             eprintln!("{} {}: {error:#}", event.cache(), event.operation());
///         }
///     }
/// }
/// # let _ = Observability::<Stats> { stats: Stats::new(), extra: None };
/// ```
///
/// ## Enums
///
/// The fields of the active variant have their roles; a variant without fields is silent.
///
/// ```
/// use cachet::CacheEventHandler;
/// use cachet::telemetry::Stats;
///
/// #[derive(CacheEventHandler)]
/// enum Telemetry {
///     On(#[cache_event(forward)] Stats),
///     Off,
/// }
/// # let _ = (Telemetry::On(Stats::new()), Telemetry::Off);
/// ```
pub use cachet_macros::CacheEventHandler;
