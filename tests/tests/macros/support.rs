//! A storage that the tiers here are made of, and ways to see that they are tiers.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

use cachet::{Cache, CacheEntry, InsertOutcome, Tier, TierError};
use cachet_tests::ready;
use cachet_tests::trace::{Recorder, SpanSeen, Value};

pub(super) struct Shelf<Q = String, V = u32>(Mutex<HashMap<Q, CacheEntry<V>>>);

impl<Q, V> Default for Shelf<Q, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

#[allow(clippy::unnecessary_wraps, reason = "they stand for methods that can fail")]
impl<Q: Hash + Eq, V: Clone> Shelf<Q, V> {
    fn entries(&self) -> MutexGuard<'_, HashMap<Q, CacheEntry<V>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get<K: Hash + Eq + ?Sized>(&self, key: &K) -> Result<Option<CacheEntry<V>>, TierError>
    where
        Q: std::borrow::Borrow<K>,
    {
        Ok(self.entries().get(key).cloned())
    }

    pub(super) fn insert(&self, key: Q, entry: CacheEntry<V>) -> Result<InsertOutcome, TierError> {
        self.entries().insert(key, entry);
        Ok(InsertOutcome::Accepted)
    }

    pub(super) fn invalidate<K: Hash + Eq + ?Sized>(&self, key: &K) -> Result<(), TierError>
    where
        Q: std::borrow::Borrow<K>,
    {
        self.entries().remove(key);
        Ok(())
    }

    pub(super) fn clear(&self) -> Result<(), TierError> {
        self.entries().clear();
        Ok(())
    }
}

/// The methods of a tier that keeps its entries in a field, where they are not what a case is about.
macro_rules! methods {
    ($field:tt: $key:ty => $value:ty) => {
        async fn get(
            &self,
            key: &$key,
        ) -> ::std::result::Result<::std::option::Option<::cachet::CacheEntry<$value>>, ::cachet::TierError> {
            self.$field.get(key)
        }

        async fn insert(
            &self,
            key: <$key as ::std::borrow::ToOwned>::Owned,
            entry: ::cachet::CacheEntry<$value>,
        ) -> ::std::result::Result<::cachet::InsertOutcome, ::cachet::TierError> {
            self.$field.insert(key, entry)
        }

        async fn invalidate(&self, key: &$key) -> ::std::result::Result<(), ::cachet::TierError> {
            self.$field.invalidate(key)
        }

        async fn clear(&self) -> ::std::result::Result<(), ::cachet::TierError> {
            self.$field.clear()
        }
    };
}

/// Uses a tier; returns its name.
#[track_caller]
pub(super) fn used(tier: Tier<str, u32>) -> String {
    used_for(tier, "ada")
}

/// Uses a tier with a key; returns its name.
#[track_caller]
pub(super) fn used_for<K: cachet::Key + ?Sized + 'static>(tier: Tier<K, u32>, key: &K) -> String {
    let cache = Cache::builder("cases").tier(tier).build();
    assert!(ready(cache.get(key)).unwrap().is_none());
    ready(cache.insert(key.to_owned(), 36)).unwrap();
    assert_eq!(ready(cache.get(key)).unwrap().map(CacheEntry::into_value), Some(36));
    assert!(ready(cache.contains(key)).unwrap());
    ready(cache.invalidate(key)).unwrap();
    assert!(ready(cache.get(key)).unwrap().is_none());
    ready(cache.clear()).unwrap();
    cache.tier_names().next().unwrap().to_owned()
}

/// The span of one lookup in a tier, with logs enabled.
pub(super) fn span_of(tier: Tier<str, u32>) -> SpanSeen {
    let cache = Cache::builder("cases").tier(tier).enable_logs().build();
    let seen = Recorder::listen(|| drop(ready(cache.get("ada"))));
    seen.spans.into_iter().find(|span| span.name == "cache.tier").unwrap()
}

/// A field that a span was opened with, as text.
pub(super) fn field(span: &SpanSeen, name: &str) -> Option<String> {
    let (_, value) = span.fields.iter().find(|(field, _)| *field == name)?;
    Some(match value {
        Value::I64(value) => value.to_string(),
        Value::Bool(value) => value.to_string(),
        Value::F64(value) => value.to_string(),
        Value::Str(text) | Value::Other(_, text) => text.clone(),
    })
}
