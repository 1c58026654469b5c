//! The bounds on keys and values.

use std::hash::Hash;

use crate::entry::CacheEntry;

/// The key of a cache, in its borrowed form.
///
/// `K` is `str` rather than `String`, and `[u8]` rather than `Vec<u8>`, so that a lookup does not allocate.
/// [`Cache::insert`](crate::Cache::insert) takes the owned form, [`ToOwned::Owned`], and tiers store it. The owned form of a
/// `Clone` type (`u64`, a `UserKey`) is the type itself.
///
/// `Cache<String, V>` also compiles, but every lookup then needs a `&String`: a caller with a `&str` has to allocate. Prefer
/// `Cache<str, V>`.
///
/// Implemented for all types that meet the bounds; do not implement it by hand.
///
/// ```
/// fn takes_key<K: cachet::Key + ?Sized>() {}
/// takes_key::<str>();
/// takes_key::<[u8]>();
/// takes_key::<u64>();
/// takes_key::<std::path::Path>();
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the key of a cache",
    note = "a key needs `Hash + Eq + ToOwned + Send + Sync`; for a type of your own, derive `Hash`, `PartialEq`, `Eq` and `Clone`"
)]
pub trait Key: Hash + Eq + Send + Sync + ToOwned<Owned: Clone + Hash + Eq + Send + Sync> {}

#[diagnostic::do_not_recommend]
impl<K> Key for K where K: Hash + Eq + Send + Sync + ToOwned<Owned: Clone + Hash + Eq + Send + Sync> + ?Sized {}

/// The value of a cache: any type that is `Clone + Send + Sync`.
///
/// A hit clones the value. Put a large value into an [`Arc`](std::sync::Arc), or use a type that shares its bytes.
///
/// Implemented for all types that meet the bounds; do not implement it by hand.
///
/// ```
/// fn takes_value<V: cachet::Value>() {}
/// takes_value::<u64>();
/// takes_value::<std::sync::Arc<[u8]>>();
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the value of a cache",
    note = "a value needs `Clone + Send + Sync`; a value that cannot be cloned can be shared as `Arc<{Self}>`"
)]
pub trait Value: Clone + Send + Sync {}

#[diagnostic::do_not_recommend]
impl<V: Clone + Send + Sync> Value for V {}

/// Converts into an entry of a cache with values `V`: a `V`, or a [`CacheEntry<V>`](CacheEntry) with its own time to live.
///
/// Implemented for all types that are `Into<CacheEntry<V>>`; do not implement it by hand.
///
/// ```
/// use cachet::convert::IntoEntry;
/// use cachet::CacheEntry;
/// use std::time::Duration;
///
/// fn takes<E: IntoEntry<u32>>(entry: E) -> CacheEntry<u32> {
///     entry.into_entry()
/// }
/// takes(36);
/// takes(CacheEntry::expires_after(36, Duration::from_secs(5)));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a value of this cache, which holds `{V}`",
    label = "expected `{V}` or `CacheEntry<{V}>`",
    note = "a value is passed owned, as in `\"…\".to_owned()`; of the compute methods, `try_get_or_insert` takes a closure that returns a `Result`, and `optionally_get_or_insert` one that returns an `Option`"
)]
pub trait IntoEntry<V> {
    /// Converts the value into an entry.
    fn into_entry(self) -> CacheEntry<V>;
}

#[diagnostic::do_not_recommend]
impl<V, T: Into<CacheEntry<V>>> IntoEntry<V> for T {
    fn into_entry(self) -> CacheEntry<V> {
        self.into()
    }
}

/// Converts into the owned form of a key `K`, as `&str` does for `str`.
///
/// Implemented for all types that are `Into<K::Owned>`; do not implement it by hand.
///
/// ```
/// use cachet::convert::IntoKey;
///
/// fn takes<Q: IntoKey<str>>(key: Q) -> String {
///     key.into_key()
/// }
/// takes("ada");
/// takes(String::from("ada"));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a key of this cache: its keys are `{K}`",
    label = "expected something that converts into an owned `{K}`",
    note = "a number needs its type, as in `insert(7_u64, …)`; of other keys, pass an owned or a cloned one"
)]
pub trait IntoKey<K: ToOwned + ?Sized> {
    /// Converts the value into an owned key.
    fn into_key(self) -> K::Owned;
}

#[diagnostic::do_not_recommend]
impl<K: ToOwned + ?Sized, T: Into<K::Owned>> IntoKey<K> for T {
    fn into_key(self) -> K::Owned {
        self.into()
    }
}
