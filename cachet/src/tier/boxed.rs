//! Tiers that have to be waited for, of any type, as one type: what a cache does around them is then compiled once for the
//! same keys and values, and not once for each tier.

use super::context::TierContext;
use super::erased::BoxFuture;
use super::{InstrumentedTier, ObservableTier};
use crate::bounds::{Key, Value};
use crate::entry::CacheEntry;
use crate::error::TierError;
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

/// A trait that is [`CacheTier`] with boxes, its impl for every tier, and that of [`CacheTier`] for the box.
macro_rules! boxing_tier {
    ($f:lifetime; $(fn $name:ident($($argument:ident: $type:ty => $short:ty),*) -> $answer:ty;)*) => {
        trait BoxingTier<K: Key + ?Sized, V: Value>: Send + Sync {
            $(fn $name<$f>(&$f self, $($argument: $type),*) -> BoxFuture<$f, $answer> where K: $f, V: $f;)*

            fn drops_rejected(&self) -> bool;

            fn attach(&self, context: TierContext<K>);

            fn record_fields(&self, recorder: &mut FieldRecorder<'_>);
        }

        impl<K: Key + ?Sized, V: Value, T: ObservableTier<K, V>> BoxingTier<K, V> for T {
            $(
                fn $name<$f>(&$f self, $($argument: $type),*) -> BoxFuture<$f, $answer> where K: $f, V: $f {
                    Box::pin(CacheTier::$name(self, $($argument),*))
                }
            )*

            fn drops_rejected(&self) -> bool {
                CacheTier::drops_rejected(self)
            }

            fn attach(&self, context: TierContext<K>) {
                CacheTier::attach(self, context);
            }

            fn record_fields(&self, recorder: &mut FieldRecorder<'_>) {
                InstrumentedTier::record_fields(self, recorder);
            }
        }

        impl<K: Key + ?Sized + 'static, V: Value + 'static> CacheTier<K, V> for BoxedTier<K, V> {
            $(
                async fn $name(&self, $($argument: $short),*) -> $answer {
                    self.0.$name($($argument),*).await
                }
            )*

            fn drops_rejected(&self) -> bool {
                self.0.drops_rejected()
            }

            fn attach(&self, context: TierContext<K>) {
                self.0.attach(context);
            }
        }
    };
}

boxing_tier! {
    'f;
    fn get(key: &'f K => &K) -> Result<Option<CacheEntry<V>>, TierError>;
    fn insert(key: K::Owned => K::Owned, entry: CacheEntry<V> => CacheEntry<V>) -> Result<InsertOutcome, TierError>;
    fn invalidate(key: &'f K => &K) -> Result<(), TierError>;
    fn clear() -> Result<(), TierError>;
    fn metadata(key: &'f K => &K) -> Result<Option<CacheEntry<()>>, TierError>;
    fn get_many(keys: &'f [&'f K] => &[&K]) -> Vec<Result<Option<CacheEntry<V>>, TierError>>;
    fn insert_many(entries: Vec<(K::Owned, CacheEntry<V>)> => Vec<(K::Owned, CacheEntry<V>)>) -> Vec<Result<InsertOutcome, TierError>>;
    fn invalidate_many(keys: &'f [&'f K] => &[&K]) -> Vec<Result<(), TierError>>;
    fn len() -> Result<Option<u64>, TierError>;
    fn invalidate_expired(key: &'f K => &K, expired: &'f CacheEntry<()> => &CacheEntry<()>) -> Result<(), TierError>;
}
