//! The bounds on keys and values, written once.

use std::hash::Hash;

use crate::entry::CacheEntry;

/// What a cache can be keyed by, in the form in which keys are *looked up*.
///
/// `K` is `str` rather than `String`, `[u8]` rather than `Vec<u8>`: a lookup then borrows, and allocates nothing.
/// The owned form, [`ToOwned::Owned`], is what [`Cache::insert`](crate::Cache::insert) takes and what tiers store.
/// Types that are cheap to copy (`u64`, a `UserKey` that is `Clone`) are their own owned form.
///
/// `Cache<String, V>` is legal as well; every lookup then needs a `&String`, and a caller who has only a `&str` must
/// allocate one. That is why `Cache<str, V>` is the better type.
///
/// Implemented for everything that meets the bounds; never implemented by hand.
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

/// What a cache can hold: anything that is `Clone + Send + Sync`.
///
/// A hit clones the value, so large values belong in an [`Arc`](std::sync::Arc) or in a type that shares its bytes.
///
/// Implemented for everything that meets the bounds; never implemented by hand.
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

/// What can be stored in a cache of `V`: a `V`, or a [`CacheEntry<V>`](CacheEntry) that has a time to live of its own.
///
/// Implemented for everything that is `Into<CacheEntry<V>>`; never implemented by hand.
///
/// ```
/// use cachet::{CacheEntry, IntoEntry};
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
    /// The entry.
    fn into_entry(self) -> CacheEntry<V>;
}

#[diagnostic::do_not_recommend]
impl<V, T: Into<CacheEntry<V>>> IntoEntry<V> for T {
    fn into_entry(self) -> CacheEntry<V> {
        self.into()
    }
}

/// What an entry can be inserted under in a cache with keys `K`: anything that converts into the owned form of `K`, as
/// `&str` does for `str`.
///
/// Implemented for everything that is `Into<K::Owned>`; never implemented by hand.
///
/// ```
/// use cachet::IntoKey;
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
    /// The key in its owned form.
    fn into_key(self) -> K::Owned;
}

#[diagnostic::do_not_recommend]
impl<K: ToOwned + ?Sized, T: Into<K::Owned>> IntoKey<K> for T {
    fn into_key(self) -> K::Owned {
        self.into()
    }
}
