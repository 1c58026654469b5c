//! Tiers that have to be waited for, of any type, as one type: what a cache does around them is then compiled once for the
//! same keys and values, and not once for each tier.

use super::erased::BoxFuture;
use super::{InstrumentedTier, ObservableTier};
use crate::bounds::{Key, Value};
use crate::entry::CacheEntry;
use crate::error::Error;
use crate::telemetry::EvictionReporter;
use crate::telemetry::span::FieldRecorder;
use crate::tier::{CacheTier, InsertOutcome};

/// A tier whose futures are boxed.
pub(crate) struct BoxedTier<K: Key + ?Sized, V: Value>(Box<dyn BoxingTier<K, V>>);

impl<K: Key + ?Sized + 'static, V: Value + 'static> BoxedTier<K, V> {
    pub(crate) fn new(tier: impl ObservableTier<K, V> + 'static) -> Self {
        Self(Box::new(tier))
    }

    pub(crate) fn record_fields(&self, recorder: &mut FieldRecorder<'_>) {
        self.0.record_fields(recorder);
    }
}

/// What comes of a call of a tier, in a box.
type Answer<'f, T> = BoxFuture<'f, Result<T, Error>>;

/// A trait that is [`CacheTier`] with boxes, and its impl for every tier.
macro_rules! boxing_tier {
    ($f:lifetime; $(fn $name:ident($($argument:ident: $type:ty),*) -> $answer:ty;)*) => {
        trait BoxingTier<K: Key + ?Sized, V: Value>: Send + Sync {
            $(fn $name<$f>(&$f self, $($argument: $type),*) -> Answer<$f, $answer> where K: $f, V: $f;)*

            fn drops_rejected(&self) -> bool;

            fn attach(&mut self, reporter: EvictionReporter);

            fn record_fields(&self, recorder: &mut FieldRecorder<'_>);
        }

        impl<K: Key + ?Sized, V: Value, T: ObservableTier<K, V>> BoxingTier<K, V> for T {
            $(
                fn $name<$f>(&$f self, $($argument: $type),*) -> Answer<$f, $answer> where K: $f, V: $f {
                    Box::pin(CacheTier::$name(self, $($argument),*))
                }
            )*

            fn drops_rejected(&self) -> bool {
                CacheTier::drops_rejected(self)
            }

            fn attach(&mut self, reporter: EvictionReporter) {
                CacheTier::attach(self, reporter);
            }

            fn record_fields(&self, recorder: &mut FieldRecorder<'_>) {
                InstrumentedTier::record_fields(self, recorder);
            }
        }
    };
}

boxing_tier! {
    'f;
    fn get(key: &'f K) -> Option<CacheEntry<V>>;
    fn insert(key: K::Owned, entry: CacheEntry<V>) -> InsertOutcome;
    fn invalidate(key: &'f K) -> ();
    fn clear() -> ();
    fn peek(key: &'f K) -> Option<CacheEntry<()>>;
    fn get_many(keys: &'f [&'f K]) -> Vec<Option<CacheEntry<V>>>;
    fn insert_many(entries: Vec<(K::Owned, CacheEntry<V>)>) -> Vec<InsertOutcome>;
    fn invalidate_many(keys: &'f [&'f K]) -> ();
    fn len() -> Option<u64>;
    fn invalidate_expired(key: &'f K, expired: &'f CacheEntry<()>) -> ();
}

impl<K: Key + ?Sized + 'static, V: Value + 'static> CacheTier<K, V> for BoxedTier<K, V> {
    async fn get(&self, key: &K) -> Result<Option<CacheEntry<V>>, Error> {
        self.0.get(key).await
    }

    async fn insert(&self, key: K::Owned, entry: CacheEntry<V>) -> Result<InsertOutcome, Error> {
        self.0.insert(key, entry).await
    }

    async fn invalidate(&self, key: &K) -> Result<(), Error> {
        self.0.invalidate(key).await
    }

    async fn clear(&self) -> Result<(), Error> {
        self.0.clear().await
    }

    async fn peek(&self, key: &K) -> Result<Option<CacheEntry<()>>, Error> {
        self.0.peek(key).await
    }

    async fn get_many(&self, keys: &[&K]) -> Result<Vec<Option<CacheEntry<V>>>, Error> {
        self.0.get_many(keys).await
    }

    async fn insert_many(&self, entries: Vec<(K::Owned, CacheEntry<V>)>) -> Result<Vec<InsertOutcome>, Error> {
        self.0.insert_many(entries).await
    }

    async fn invalidate_many(&self, keys: &[&K]) -> Result<(), Error> {
        self.0.invalidate_many(keys).await
    }

    async fn len(&self) -> Result<Option<u64>, Error> {
        self.0.len().await
    }

    async fn invalidate_expired(&self, key: &K, expired: &CacheEntry<()>) -> Result<(), Error> {
        self.0.invalidate_expired(key, expired).await
    }

    fn drops_rejected(&self) -> bool {
        self.0.drops_rejected()
    }

    fn attach(&mut self, reporter: EvictionReporter) {
        self.0.attach(reporter);
    }
}
