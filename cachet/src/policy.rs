//! `InsertPolicy`: which entries a tier accepts.

use std::fmt;
use std::sync::Arc;

use crate::bounds::Key;
use crate::entry::CacheEntry;

/// Decides which entries a tier accepts. Applies to every insert: direct, computed, promoted or refreshed.
///
/// An entry that the policy does not accept is reported as `rejected`. The tier then drops an older value of the key, so that it
/// cannot hide a newer value in another tier.
///
/// ```
/// use cachet::{CacheEntry, InsertPolicy};
///
/// let small_only = InsertPolicy::when(|_key: &str, entry: &CacheEntry<Vec<u8>>| entry.len() <= 1024);
/// assert!(small_only.accepts("logo", &vec![0; 1024].into()));
/// assert!(!small_only.accepts("video", &vec![0; 1025].into()));
/// ```
pub struct InsertPolicy<K: Key + ?Sized, V>(Rule<K, V>);

enum Rule<K: Key + ?Sized, V> {
    Always,
    Never,
    When(Arc<Predicate<K, V>>),
}

type Predicate<K, V> = dyn Fn(&K, &CacheEntry<V>) -> bool + Send + Sync;

impl<K: Key + ?Sized, V> InsertPolicy<K, V> {
    /// Accepts every entry; the default.
    pub const fn always() -> Self {
        Self(Rule::Always)
    }

    /// Accepts no entry. The cache then reads the tier and stores nothing in it, so a rejected insert removes nothing from it either;
    /// `invalidate` and `clear` do. For data that the cache must not change at all, see [`Tier::source`](crate::Tier::source).
    pub const fn never() -> Self {
        Self(Rule::Never)
    }

    /// Accepts the entries for which `accept` returns `true`. It runs on every insert and should be cheap.
    pub fn when(accept: impl Fn(&K, &CacheEntry<V>) -> bool + Send + Sync + 'static) -> Self {
        Self(Rule::When(Arc::new(accept)))
    }

    pub(crate) const fn is_never(&self) -> bool {
        matches!(self.0, Rule::Never)
    }

    pub(crate) const fn is_always(&self) -> bool {
        matches!(self.0, Rule::Always)
    }

    /// Returns whether the policy accepts this entry.
    pub fn accepts(&self, key: &K, entry: &CacheEntry<V>) -> bool {
        match &self.0 {
            Rule::Always => true,
            Rule::Never => false,
            Rule::When(accept) => accept(key, entry),
        }
    }
}

impl<K: Key + ?Sized, V> Default for InsertPolicy<K, V> {
    fn default() -> Self {
        Self::always()
    }
}

impl<K: Key + ?Sized, V> Clone for InsertPolicy<K, V> {
    fn clone(&self) -> Self {
        Self(match &self.0 {
            Rule::Always => Rule::Always,
            Rule::Never => Rule::Never,
            Rule::When(accept) => Rule::When(Arc::clone(accept)),
        })
    }
}

impl<K: Key + ?Sized, V> fmt::Debug for InsertPolicy<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Rule::Always => "InsertPolicy::always()",
            Rule::Never => "InsertPolicy::never()",
            Rule::When(_) => "InsertPolicy::when(..)",
        })
    }
}
