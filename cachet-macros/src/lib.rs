//! The macros of `cachet`: [`macro@cache_tier`] and [`derive@CacheEventHandler`].
//!
//! `cachet` re-exports both, with examples; depend on `cachet`, not on this crate.

#![deny(missing_docs)]
#![forbid(unsafe_code)]

#[cfg(test)]
mod fuzz;
mod handler;
mod syntax;
mod tier;

use proc_macro::TokenStream;

/// Makes an `impl CacheTier<K, V> for …` observable, or makes a tier of an inherent impl.
///
/// Keeps the impl unchanged, token for token, and adds one small impl of a hidden trait with the tier's name, tracing
/// target, level and fields. `Tier::new` accepts only types that implement it.
///
/// # Arguments
///
/// All are optional and separated by commas; only an inherent impl needs `key` and `value`.
///
/// | argument | meaning | default |
/// |---|---|---|
/// | `key = str`, `value = Vec<u8>` | On an inherent impl only: the `K` and `V` of the [`CacheTier<K, V>`](#inherent-impls) that is written for it. | |
/// | `name = "disk"` | The name in spans, events and metrics, unless the cache gives the tier another. | the type's name in snake case |
/// | `level = "trace"` | The level of the tier's spans: `"trace"`, `"debug"`, `"info"`, `"warn"` or `"error"`. | `"debug"` |
/// | `target = "app::disk"` | The tracing target of the tier's spans and events. | the module of the impl |
/// | `remote(system = "redis", address = self.address())` | The tier is a client of another system: `otel.kind` becomes `client`, and the spans get `db.system.name`, and `server.address` and `server.port` from the address, which is anything with `Display`: `host:port`, or a URL, of which nothing else is kept. `address` is optional. | an in-process tier |
/// | `fields(shard = self.shard(), a.b = %self.x, "any name" = ?self.y)` | Up to 16 fields of your own on the tier's spans, recorded as a value, with `%` by `Display`, or with `?` by `Debug`. | none |
/// | `immediate` | The futures of the tier are never pending, so it can be asked without boxing them. | may wait |
/// | `crate = ::cachet` | Where to find the runtime, if it was renamed or comes through another crate: a path that starts with `::`, `crate` or `$crate`. | `::cachet` |
///
/// The expressions in `fields` and `address` may use `self`, and are evaluated only while the span is enabled. Keys and
/// values are never recorded by this attribute.
///
/// # Inherent impls
///
/// `#[cache_tier(key = str, value = Vec<u8>)] impl Disk { … }` writes an `impl CacheTier<str, Vec<u8>> for Disk` that calls
/// the methods of that impl block, which is kept unchanged. Other methods are ignored; the other methods of `CacheTier`
/// keep their defaults.
///
/// | method | takes beside `&self` | returns | if there is none |
/// |---|---|---|---|
/// | `get` | `&K` | `Result<Option<V>, E>`, `Option<V>` | an error |
/// | `insert` | the key as `&K` or `K::Owned`, and a `V` or a `CacheEntry<V>` | `Result<(), E>`, nothing | an error |
/// | `invalidate` | `&K` | `Result<(), E>`, nothing | an error |
/// | `clear` | | `Result<(), E>`, nothing | clearing the tier fails, with the error type `unsupported` |
/// | `len` | | `Result<u64, E>`, `u64`, also of `usize` or of an `Option` | the number of entries is unknown |
///
/// * **Errors:** `E` is any type that is `Into<Box<dyn Error + Send + Sync>>`: any error, a `String`, a `cachet::Error`.
/// * **Waiting:** a method is awaited if it is an `async fn` or returns `impl Future`. Any other is called in place and
///   blocks the calling task until it returns.
/// * **Rejecting entries:** `insert` may return an `InsertOutcome` in place of `()`.
/// * **Values and entries:** `get` may return `CacheEntry<V>` in place of `V`. Only an entry knows when it was inserted and
///   its time to live; a tier of plain values loses both. An `insert` that takes a `V` is therefore not
///   called for an entry with its own time to live: the write is reported as `rejected`. And a `get` that returns a `V` cannot be
///   used with a time to live of the tier, in which an entry of unknown age counts as expired. Where entries may expire, take and
///   return `CacheEntry<V>`.
///
/// # Errors
///
/// All faults are reported in one compile, each at the token that has to change. The attribute is refused on everything
/// but an impl, when it is given twice, and together with `#[async_trait]`.
#[proc_macro_attribute]
pub fn cache_tier(args: TokenStream, item: TokenStream) -> TokenStream {
    tier::expand(args.into(), item.into()).into()
}

/// Derives `CacheEventHandler` from the roles of a type's fields.
///
/// `#[cache_event(…)]` gives a field its role; fields without a role are ignored. In an enum, the fields of the
/// active variant are used. The derived `interest()` requests only what the roles need: a handler that only counts
/// never causes a clock read.
///
/// # Roles of a field
///
/// One per field.
///
/// | role | meaning | the field's type |
/// |---|---|---|
/// | `forward` | Forwards every event to the field. | implements `CacheEventHandler` |
/// | `count(tier, …)`, `count(operation, …)` | Counts the calls of tiers, or the operations of the cache, that pass all filters. | implements `EventCounter`, as `AtomicU64` does |
/// | `record(tier, …)`, `record(operation, …)` | Records how long they took. | implements `EventHistogram` |
///
/// # Filters
///
/// Without filters everything passes. A text may also be a list, `any("hit", "stale")`, of which one has to match.
///
/// | filter | passes | in |
/// |---|---|---|
/// | `outcome = "hit"` | calls with this outcome | both |
/// | `operation = "get"` | calls of this operation | both |
/// | `cache = "pages"` | events of the cache of this name | both |
/// | `fallback = true` | tier calls made because an earlier tier had no answer, and operations with such calls | both |
/// | `tier = "l1"` | calls of the tier of this name | `tier` |
/// | `coalesced = true` | operations that shared the result of another (single flight) | `operation` |
///
/// An outcome that none of the operations reports is an error that lists those they do report.
///
/// # Arguments of the type
///
/// | argument | meaning | default |
/// |---|---|---|
/// | `on_tier = Self::log` | A function called with the handler and every tier event, after the fields; a bare name is a method of the type. | none |
/// | `on_operation = Self::log` | The same for operation events, which then include their tier events. | none |
/// | `crate = ::cachet` | Where to find the runtime: a path that starts with `::`, `crate` or `$crate`. | `::cachet` |
///
/// # Generics
///
/// Fields whose types mention a parameter of the type are bounded by what their roles need, and the type itself by
/// `Send + Sync + 'static`; no bounds have to be written by hand.
#[proc_macro_derive(CacheEventHandler, attributes(cache_event))]
pub fn derive_cache_event_handler(item: TokenStream) -> TokenStream {
    handler::expand(item.into()).into()
}
