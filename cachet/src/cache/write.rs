//! Writing: `insert`, `invalidate`, `clear`, and the frame of every write.

use std::borrow::Borrow;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::{Cache, Finish, Inner, finish};
use crate::bounds::{IntoEntry, IntoKey, Key, Value};
use crate::entry::CacheEntry;
use crate::error::Error;
use crate::inflight::reentrance::Inside;
use crate::inflight::{Origin, TierSet, Write as InFlightWrite, Written};
use crate::stack::TierStack;
use crate::telemetry::{Batch, CacheOperation, Completion, Operation, OperationOutcome};
use crate::tier::InsertOutcome;
use crate::tier::erased::{BoxFuture, InsertResult, MaybeReady, Removal, ready_or_await};

impl<K: Key + ?Sized, V: Value> Cache<K, V> {
    /// Stores an entry in all tiers concurrently and replaces an existing one.
    ///
    /// `key` is a value that converts into the owned key, for example a `&str` for a `Cache<str, V>`. An integer literal needs its
    /// type: `insert(7_u64, …)`. `entry` is a value, or a [`CacheEntry`] with its own time to live.
    ///
    /// A concurrent promotion or computation of the same key does not overwrite the entry: its value is discarded. Concurrent writes
    /// of a key take turns in each tier, in the order of their first poll.
    ///
    /// Returns `Accepted` if at least one tier accepted the entry. A tier that rejects the entry drops its older value of the key.
    ///
    /// # Errors
    ///
    /// If a tier failed, returns its error, which names the tier. All tiers have been tried;
    /// [`write_states`](Error::write_states) returns which of them have stored the entry. Reads of the key skip the failed tier until the
    /// key has been written or invalidated there.
    ///
    /// # Cancel safety
    ///
    /// Dropped before its turn has come in any tier, the insert has not happened. Dropped later, it may have been stored in some
    /// tiers; reads of the key skip the others until the key has been written or invalidated there.
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

    /// Removes the entry of a key from all tiers. A missing entry is not an error.
    ///
    /// # Errors
    ///
    /// If a tier failed, returns its error, which names the tier. All tiers have been tried.
    #[doc(alias = "remove")]
    #[doc(alias = "delete")]
    pub async fn invalidate(&self, key: &K) -> Result<(), Error> {
        ready_or_await!(self.start_invalidate(key))
    }

    fn start_invalidate<'a>(&'a self, key: &'a K) -> MaybeReady<'a, Result<(), Error>> {
        let inner = &*self.0;
        if inner.tiers.is_single_sync() && inner.is_undisturbed() {
            return MaybeReady::Ready(inner.tiers.remove_now(key));
        }
        inner.write(Invalidate(key))
    }

    /// Removes all entries from all tiers.
    ///
    /// # Errors
    ///
    /// If a tier failed, returns its error, which names the tier. All tiers have been tried.
    #[doc(alias = "flush")]
    #[doc(alias = "invalidate_all")]
    pub async fn clear(&self) -> Result<(), Error> {
        ready_or_await!(self.0.write(Clear))
    }
}

/// One kind of write, as data: what the frame has to know of it, and what it does.
pub(super) trait Write<'a, K: Key + ?Sized, V: Value>: Send + Sized {
    const KIND: CacheOperation;
    type Done: Finish<'a, Output: Send> + Send;

    /// The key, if the write is about one.
    fn key(&self) -> Option<&K> {
        None
    }

    /// The number of keys, if the write is about several.
    fn keys(&self) -> Option<usize> {
        None
    }

    /// What is written, for those who are reading or computing it.
    fn written(&self) -> Written<'_, K>;

    fn run<'f>(
        self,
        tiers: &'a TierStack<K, V>,
        write: Option<&'f InFlightWrite<'f, K, V>>,
        operation: Option<&'f Operation<'a>>,
    ) -> impl Future<Output = Result<Self::Done, Error>> + Send
    where
        'a: 'f,
        Self: 'f;
}

impl<K: Key + ?Sized, V: Value> Inner<K, V> {
    /// Whether an operation of an immediate tier is unobserved, and overtakes nothing.
    #[inline]
    fn is_undisturbed(&self) -> bool {
        !self.in_flight.has_leases() && !self.observed()
    }

    /// The frame of every write: the operation, its turn, the tiers, the completion.
    pub(super) fn write<'a, W: Write<'a, K, V> + 'a>(
        &'a self,
        write: W,
    ) -> MaybeReady<'a, Result<<W::Done as Finish<'a>>::Output, Error>> {
        let mut operation = self.observe(W::KIND, write.key());
        if let (Some(operation), Some(keys)) = (&mut operation, write.keys()) {
            operation.batch = Some(Batch { keys, hits: None });
        }
        // Ordered by its first poll, which this is.
        let begun = match self.begin_write(&write.written()) {
            Ok(begun) => begun,
            Err(error) => return MaybeReady::Ready(finish(operation.as_mut(), Err::<W::Done, _>(error))),
        };
        let may_wait = begun.as_ref().is_some_and(InFlightWrite::is_contended);
        let in_progress = begun.as_ref().map(InFlightWrite::in_progress);
        let work = async move {
            let done = self.limited(write.run(&self.tiers, begun.as_ref(), operation.as_ref())).await;
            drop(begun);
            finish(operation.as_mut(), done)
        };
        match in_progress {
            Some(in_progress) => self.run(may_wait, Inside::new(in_progress, work)),
            None => self.run(may_wait, work),
        }
    }

    /// Begins a write, unless it is the only step in the only tier, and overtakes nothing.
    fn begin_write(&self, written: &Written<'_, K>) -> Result<Option<InFlightWrite<'_, K, V>>, Error> {
        let is_single = self.tiers.is_single_sync();
        if is_single && !self.in_flight.has_leases() && !matches!(written, Written::All) {
            return Ok(None);
        }
        let tiers = if is_single { TierSet::default() } else { TierSet::first(self.tiers.count()) };
        self.in_flight.begin_write(written, tiers).map(Some)
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
        let Some((key, entry)) = self.entry.take() else { return self.poll_rest(cx) };
        if cache.tiers.inserts_directly() && !entry.has_ttl() && cache.is_undisturbed() {
            return Poll::Ready(cache.tiers.insert_now(key, entry));
        }
        self.start(key, entry, cx)
    }
}

impl<'a, K: Key + ?Sized, V: Value> Insert<'a, K, V> {
    #[cold]
    #[inline(never)]
    fn start(
        self: Pin<&mut Self>,
        key: K::Owned,
        mut entry: CacheEntry<V>,
        cx: &mut Context<'_>,
    ) -> Poll<InsertResult> {
        let cache = self.cache;
        cache.fix_deadline(&mut entry);
        match cache.write(InsertOne { key, entry }) {
            MaybeReady::Ready(inserted) => Poll::Ready(inserted),
            MaybeReady::Boxed(waiting) => self.wait(waiting, cx),
        }
    }

    #[cold]
    fn wait(
        mut self: Pin<&mut Self>,
        waiting: BoxFuture<'a, InsertResult>,
        cx: &mut Context<'_>,
    ) -> Poll<InsertResult> {
        self.waiting = Some(waiting);
        self.poll_rest(cx)
    }

    #[cold]
    fn poll_rest(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<InsertResult> {
        // Polled again after it was done: there is nothing to wake for.
        let Some(waiting) = &mut self.waiting else { return Poll::Pending };
        let inserted = ready!(waiting.as_mut().poll(cx));
        self.waiting = None;
        Poll::Ready(inserted)
    }
}

struct InsertOne<K: Key + ?Sized, V> {
    key: K::Owned,
    entry: CacheEntry<V>,
}

impl<'a, K: Key + ?Sized, V: Value> Write<'a, K, V> for InsertOne<K, V> {
    const KIND: CacheOperation = CacheOperation::Insert;
    type Done = InsertOutcome;

    fn key(&self) -> Option<&K> {
        Some(self.key.borrow())
    }

    fn written(&self) -> Written<'_, K> {
        Written::Key(self.key.borrow())
    }

    async fn run<'f>(
        self,
        tiers: &'a TierStack<K, V>,
        write: Option<&'f InFlightWrite<'f, K, V>>,
        operation: Option<&'f Operation<'a>>,
    ) -> InsertResult
    where
        'a: 'f,
        Self: 'f,
    {
        tiers.insert(self.key, self.entry, Origin::Written(write), operation).await
    }
}

struct Invalidate<'k, K: ?Sized>(&'k K);

impl<'a, K: Key + ?Sized, V: Value> Write<'a, K, V> for Invalidate<'a, K> {
    const KIND: CacheOperation = CacheOperation::Invalidate;
    type Done = Removed;

    fn key(&self) -> Option<&K> {
        Some(self.0)
    }

    fn written(&self) -> Written<'_, K> {
        Written::Key(self.0)
    }

    async fn run<'f>(
        self,
        tiers: &'a TierStack<K, V>,
        write: Option<&'f InFlightWrite<'f, K, V>>,
        operation: Option<&'f Operation<'a>>,
    ) -> Result<Removed, Error>
    where
        'a: 'f,
        Self: 'f,
    {
        tiers.remove(Removal::Key(self.0), write, operation).await.map(|()| Removed(OperationOutcome::Invalidated))
    }
}

struct Clear;

impl<'a, K: Key + ?Sized, V: Value> Write<'a, K, V> for Clear {
    const KIND: CacheOperation = CacheOperation::Clear;
    type Done = Removed;

    fn written(&self) -> Written<'_, K> {
        Written::All
    }

    async fn run<'f>(
        self,
        tiers: &'a TierStack<K, V>,
        write: Option<&'f InFlightWrite<'f, K, V>>,
        operation: Option<&'f Operation<'a>>,
    ) -> Result<Removed, Error>
    where
        'a: 'f,
        Self: 'f,
    {
        tiers.remove(Removal::All, write, operation).await.map(|()| Removed(OperationOutcome::Cleared))
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

/// What was to be removed is removed.
struct Removed(OperationOutcome);

impl<'a> Finish<'a> for Removed {
    type Output = ();

    fn completion(&self) -> Completion<'a, '_> {
        self.0.into()
    }

    fn into_output(self) {}
}
