//! WriteGuard and counting: `insert`, `invalidate`, `clear`, `len`.

use std::borrow::Borrow;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::{Cache, Finish, Inner, finish};
use crate::bounds::{IntoEntry, IntoKey, Key, Value};
use crate::entry::CacheEntry;
use crate::error::Error;
use crate::telemetry::{CacheOperation, Completion, OperationOutcome};
use crate::tier::InsertOutcome;
use crate::tier::erased::{BoxFuture, Call, ErasedTier, InsertResult, MaybeReady, Origin, ready_or_await};

impl<K: Key + ?Sized, V: Value> Cache<K, V> {
    /// Stores an entry in all tiers, at once, in place of whatever was there.
    ///
    /// `key` is anything that converts into the owned key: a `&str` for a `Cache<str, V>`. A number needs its type, as in
    /// `insert(7_u64, …)`. `entry` is a value, or a [`CacheEntry`] with a time to live of its own. A promotion or a computed insert of the
    /// same key that is under way at this moment does not overwrite it: what has not been stored yet is dropped, and what
    /// is just being stored in a tier is waited for.
    ///
    /// Accepted if any tier accepted the entry. A tier that turns it away, or fails, drops the older value that it may
    /// hold for the key.
    ///
    /// # Errors
    ///
    /// If some tier failed, its error, which names it; every tier has been tried.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "memory")]
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), cachet::Error> {
    /// use cachet::{Cache, CacheEntry, InsertOutcome, Tier};
    /// use std::time::Duration;
    ///
    /// let ages = Cache::<str, u32>::builder("ages").tier(Tier::memory(1000)).build();
    /// assert_eq!(ages.insert("ada", 36).await?, InsertOutcome::Accepted);
    /// ages.insert("bob", CacheEntry::expires_after(41, Duration::from_secs(60))).await?;
    /// # Ok(()) }
    /// # #[cfg(not(feature = "memory"))]
    /// # fn main() {}
    /// ```
    #[doc(alias = "put")]
    #[doc(alias = "set")]
    pub fn insert<Q, E>(&self, key: Q, entry: E) -> impl Future<Output = Result<InsertOutcome, Error>> + Send
    where
        Q: IntoKey<K>,
        E: IntoEntry<V>,
    {
        Insert { cache: &self.0, entry: Some((key.into_key(), entry.into_entry())), waiting: None }
    }

    /// Removes the entry of a key from all tiers; that there is none is not an error.
    ///
    /// # Errors
    ///
    /// If some tier failed, its error, which names it; every tier has been tried.
    #[doc(alias = "remove")]
    #[doc(alias = "delete")]
    pub async fn invalidate(&self, key: &K) -> Result<(), Error> {
        ready_or_await!(self.start_invalidate(key))
    }

    fn start_invalidate<'a>(&'a self, key: &'a K) -> MaybeReady<'a, Result<(), Error>> {
        let inner = &*self.0;
        let atomic = inner.tiers.is_single_sync();
        if atomic && !inner.observed() && inner.in_flight.is_quiet() {
            // Nobody listens, nobody can be overtaken, nothing to wait for.
            return inner.tiers.first().0.invalidate(key, Call::of(None));
        }
        let mut operation = inner.observe(CacheOperation::Invalidate, Some(key));
        inner.run(async move {
            let writing = inner.in_flight.write(key, atomic).await;
            let removed = inner.tiers.remove(operation.as_ref(), |tier, call| tier.invalidate(key, call)).await;
            drop(writing);
            finish(operation.as_mut(), removed.map(|()| Removed(OperationOutcome::Invalidated)))
        })
    }

    /// Removes all entries from all tiers.
    ///
    /// # Errors
    ///
    /// If some tier failed, its error, which names it; every tier has been tried.
    #[doc(alias = "flush")]
    #[doc(alias = "invalidate_all")]
    pub async fn clear(&self) -> Result<(), Error> {
        ready_or_await!(self.start_clear())
    }

    fn start_clear(&self) -> MaybeReady<'_, Result<(), Error>> {
        let inner = &*self.0;
        let mut operation = inner.observe(CacheOperation::Clear, None);
        inner.run(async move {
            let clearing = inner.in_flight.clear().await;
            let removed = inner.tiers.remove(operation.as_ref(), ErasedTier::clear).await;
            drop(clearing);
            finish(operation.as_mut(), removed.map(|()| Removed(OperationOutcome::Cleared)))
        })
    }

    /// Tells about how many entries the first tier holds, expired ones included; `Ok(None)` where it cannot tell.
    ///
    /// # Errors
    ///
    /// If the first tier failed.
    pub async fn len(&self) -> Result<Option<u64>, Error> {
        ready_or_await!(self.start_len())
    }

    fn start_len(&self) -> MaybeReady<'_, Result<Option<u64>, Error>> {
        let inner = &*self.0;
        let mut operation = inner.observe(CacheOperation::Len, None);
        inner.run(async move {
            let counted = inner.tiers.len(operation.as_ref()).await;
            finish(operation.as_mut(), counted.map(Counted))
        })
    }
}

/// The future of [`Cache::insert`]: a type of its own, so that what is inserted is not moved more often than it has to be.
struct Insert<'a, K: Key + ?Sized, V: Value> {
    cache: &'a Inner<K, V>,
    entry: Option<(K::Owned, CacheEntry<V>)>,
    waiting: Option<BoxFuture<'a, InsertResult>>,
}

/// Nothing in it is ever pinned in place.
impl<K: Key + ?Sized, V: Value> Unpin for Insert<'_, K, V> {}

impl<K: Key + ?Sized, V: Value> Future for Insert<'_, K, V> {
    type Output = InsertResult;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<InsertResult> {
        let cache = self.cache;
        let Some((key, entry)) = self.entry.take() else { return self.go_on(cx) };
        if cache.tiers.inserts_directly() && !entry.has_ttl() && !cache.observed() && cache.in_flight.is_quiet() {
            // Nobody listens, nobody can be overtaken, nothing to wait for.
            return Poll::Ready(cache.tiers.put(key, entry));
        }
        self.start(key, entry, cx)
    }
}

impl<K: Key + ?Sized, V: Value> Insert<'_, K, V> {
    #[cold]
    #[inline(never)]
    fn start(
        mut self: Pin<&mut Self>,
        key: K::Owned,
        mut entry: CacheEntry<V>,
        cx: &mut Context<'_>,
    ) -> Poll<InsertResult> {
        let cache = self.cache;
        cache.fix_deadline(&mut entry);
        match cache.go_on_inserting(key, entry) {
            MaybeReady::Ready(written) => Poll::Ready(written),
            MaybeReady::Boxed(future) => {
                self.waiting = Some(future);
                self.go_on(cx)
            }
        }
    }

    #[cold]
    fn go_on(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<InsertResult> {
        // Polled again after it was done: there is nothing to wake for.
        let Some(future) = &mut self.waiting else { return Poll::Pending };
        let written = ready!(future.as_mut().poll(cx));
        self.waiting = None;
        Poll::Ready(written)
    }
}

impl<K: Key + ?Sized, V: Value> Inner<K, V> {
    /// An insert that somebody listens to, that may be overtaken, or that has to wait.
    fn go_on_inserting<'a>(&'a self, key: K::Owned, entry: CacheEntry<V>) -> MaybeReady<'a, InsertResult>
    where
        K::Owned: 'a,
    {
        let atomic = self.tiers.is_single_sync();
        let mut operation = self.observe(CacheOperation::Insert, Some(key.borrow()));
        self.run(async move {
            let writing = self.in_flight.write::<K>(key.borrow(), atomic).await;
            let written = self.tiers.insert(key, entry, Origin::Direct, operation.as_ref()).await;
            drop(writing);
            finish(operation.as_mut(), written)
        })
    }
}

impl<'a> Finish<'a> for InsertOutcome {
    type Output = Self;

    fn completion(&self) -> Completion<'a, '_> {
        match self {
            Self::Accepted => OperationOutcome::Inserted.into(),
            Self::Rejected => OperationOutcome::Rejected.into(),
        }
    }

    fn into_output(self) -> Self {
        self
    }
}

pub(super) struct Removed(pub(super) OperationOutcome);

impl<'a> Finish<'a> for Removed {
    type Output = ();

    fn completion(&self) -> Completion<'a, '_> {
        self.0.into()
    }

    fn into_output(self) {}
}

struct Counted(Option<u64>);

impl<'a> Finish<'a> for Counted {
    type Output = Option<u64>;

    fn completion(&self) -> Completion<'a, '_> {
        OperationOutcome::Counted.into()
    }

    fn into_output(self) -> Option<u64> {
        self.0
    }
}
