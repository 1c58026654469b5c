//! The two macros, re-exported with examples for each of their arguments.

/// Makes a tier observable: goes on its `impl CacheTier`, or on an inherent `impl` with the same methods.
///
/// # Examples
///
/// The examples leave the methods of `DiskTier` out; [`CacheTier`](crate::CacheTier) shows a tier in full.
///
/// ## `name`
///
/// The name of the tier in spans, events and metrics. [`Tier::name`](crate::Tier::name) overrides it per cache.
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
/// The level of the tier's spans, and the target of its spans and events. Default: the level of the operations' spans, and
/// the module that contains the impl.
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
/// Adds fields to the tier's spans. Expressions may use `self`, and are evaluated only while the span is enabled.
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
/// Declares that the tier's futures are ready when first polled. The cache then calls the tier without boxing its futures,
/// and a hit allocates nothing. If such a future is pending after all, the call fails with an error that says so.
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
/// For a store with its own methods. The impl is kept unchanged, and an `impl CacheTier<u64, Vec<u8>>` that calls its methods
/// is added: any error type, async or not, values or entries. All other arguments work here too.
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
/// // A method that the store does not have fails with `unsupported`.
/// assert_eq!(pages.clear().await.unwrap_err().error_type(), "unsupported");
/// # let _ = fs::remove_dir_all(remove);
/// # Ok(()) }
/// ```
///
/// Plain values lose the time of insertion and the time to live. This `Disk` therefore never stores an entry with its own
/// time to live (the insert is `rejected`), and cannot be used with [`Tier::ttl`](crate::Tier::ttl), with which all of its
/// entries would count as expired. A store whose entries may expire takes and returns
/// [`CacheEntry<V>`](crate::CacheEntry) and keeps it whole.
///
/// ## `crate`
///
/// The path of this crate, if it is renamed in `Cargo.toml` or re-exported by another crate.
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

/// Derives a handler for a struct or an enum, whose fields count, record or forward events.
///
/// # Examples
///
/// ## `count` and `record`
///
/// All cache metrics of a service in one struct. It costs its atomics, and a clock read only where durations are recorded.
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
///     // Without a role: ignored.
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
/// Combines handlers, and calls methods with the whole event:
///
/// ```
/// use cachet::telemetry::Stats;
/// use cachet::telemetry::CacheOperationEvent;
/// use cachet::CacheEventHandler;
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
/// The fields of the active variant are used; a variant without fields ignores events.
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
