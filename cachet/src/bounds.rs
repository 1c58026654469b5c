//! The bounds on keys and values, written once.

use std::hash::Hash;

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
