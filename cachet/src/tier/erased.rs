//! Tiers of any type behind one interface: the one place where futures are boxed, and where they need not be.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::bounds::{Key, Value};
use crate::entry::CacheEntry;
use crate::error::Error;
use crate::inflight::Lease;
use crate::telemetry::span::FieldRecorder;
use crate::telemetry::{Operation, TierIdentity};
use crate::tier::InsertOutcome;

pub(crate) type BoxFuture<'f, T> = Pin<Box<dyn Future<Output = T> + Send + 'f>>;

/// Something that is done already, or has to be waited for.
#[must_use]
pub(crate) enum MaybeReady<'f, T> {
    Ready(T),
    Boxed(BoxFuture<'f, T>),
}

impl<T> MaybeReady<'_, T> {
    pub(crate) async fn finish(self) -> T {
        match self {
            Self::Ready(done) => done,
            Self::Boxed(future) => future.await,
        }
    }
}

/// Awaits a [`MaybeReady`] in place. A function would move what is ready once more, and that is what a hit consists of.
macro_rules! ready_or_await {
    ($step:expr) => {
        match $step {
            $crate::tier::erased::MaybeReady::Ready(done) => done,
            $crate::tier::erased::MaybeReady::Boxed(future) => future.await,
        }
    };
}

pub(crate) use ready_or_await;

/// Polls a future once, for those that promise to be ready.
#[inline]
pub(crate) fn poll_once<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => Some(done),
        Poll::Pending => None,
    }
}

/// For whom a tier is called.
#[derive(Clone, Copy)]
pub(crate) struct Call<'f, 'a> {
    /// The operation, if it is an observed one.
    pub(crate) operation: Option<&'f Operation<'a>>,
    /// Whether an earlier tier did not answer.
    pub(crate) fallback: bool,
}

impl<'f, 'a> Call<'f, 'a> {
    pub(crate) fn of(operation: Option<&'f Operation<'a>>) -> Self {
        Self { operation, fallback: false }
    }
}

/// What a tier said to a lookup; expired entries count as a miss.
pub(crate) enum Read<U> {
    Hit {
        entry: CacheEntry<U>,
        age: Option<Duration>,
        /// Old enough to be refreshed.
        refresh_due: bool,
    },
    Miss,
    /// Expired, and left where it is: it may be served if nobody else answers.
    Stale(CacheEntry<U>, Option<Duration>),
    Failed(Error),
}

/// What a tier did with an insert.
pub(crate) type InsertResult = Result<InsertOutcome, Error>;

/// What a lookup comes to, in the form in which `Cache::get` returns it.
pub(crate) type GetResult<V> = Result<Option<CacheEntry<V>>, Error>;

/// The same where there always is an entry, as `Cache::get_or_insert` returns it.
pub(crate) type EntryResult<V> = Result<CacheEntry<V>, Error>;

/// A form in which a hit is returned.
pub(crate) trait FromHit<V> {
    fn from_hit(entry: CacheEntry<V>) -> Self;
}

impl<V> FromHit<V> for GetResult<V> {
    #[inline]
    fn from_hit(entry: CacheEntry<V>) -> Self {
        Ok(Some(entry))
    }
}

impl<V> FromHit<V> for EntryResult<V> {
    #[inline]
    fn from_hit(entry: CacheEntry<V>) -> Self {
        Ok(entry)
    }
}

/// What becomes of a lookup that is not a plain hit. It is pending where there is more to it than a miss or a failure.
pub(crate) type OnMiss<'o, V, R> = &'o mut dyn FnMut(Poll<GetResult<V>>) -> Poll<R>;

/// How an insert came about.
pub(crate) enum Origin<'t, K: Key + ?Sized, V> {
    /// The user inserted it.
    Direct,
    /// A closure computed it; a newer write since then wins.
    Computed(&'t Lease<'t, K, V>),
    /// Another tier had it; a newer write since then wins.
    Promoted(&'t Lease<'t, K, V>),
    /// Another tier had it, newer than what this one has; a newer write since then wins.
    Refreshed(&'t Lease<'t, K, V>),
}

impl<K: Key + ?Sized, V> Clone for Origin<'_, K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K: Key + ?Sized, V> Copy for Origin<'_, K, V> {}

impl<'t, K: Key + ?Sized, V> Origin<'t, K, V> {
    pub(crate) fn lease(self) -> Option<&'t Lease<'t, K, V>> {
        match self {
            Self::Direct => None,
            Self::Computed(lease) | Self::Promoted(lease) | Self::Refreshed(lease) => Some(lease),
        }
    }
}

/// A tier with everything that belongs to it. `'a` is the life of the cache, `'f` that of one operation.
pub(crate) trait ErasedTier<K: Key + ?Sized, V: Value>: Send + Sync {
    fn identity(&self) -> &TierIdentity;

    /// Tells the fields that the tier declares for its spans.
    fn record_fields(&self, recorder: &mut FieldRecorder<'_>);

    /// Whether every call is answered at once, with [`MaybeReady::Ready`].
    fn immediate(&self) -> bool;

    /// Whether an insert that nobody listens to is no more than the tier's own: no policy, nothing to undo.
    fn inserts_directly(&self) -> bool;

    /// Whether the tier itself does not care how old its entries are.
    fn untimed(&self) -> bool;

    /// A lookup for which nobody listens and nothing has to be judged, undone or waited for; in the form in which
    /// `Cache::get` returns it, since that is what a hit consists of.
    ///
    /// Anything but a plain hit goes through `on_miss`, and its result is returned: so a hit is written right where the
    /// caller wants it, and not copied there. Where there is more to it, `on_miss` is told that it is pending: then
    /// nothing was changed, and [`get`](Self::get) has to be asked.
    fn hit(&self, key: &K, on_miss: OnMiss<'_, V, GetResult<V>>) -> Poll<GetResult<V>>;

    /// The same in the form in which `Cache::get_or_insert` returns it.
    fn hit_entry(&self, key: &K, on_miss: OnMiss<'_, V, EntryResult<V>>) -> Poll<EntryResult<V>>;

    fn get<'f, 'a: 'f>(&'a self, key: &'f K, call: Call<'f, 'a>) -> MaybeReady<'f, Read<V>>;

    fn contains<'f, 'a: 'f>(&'a self, key: &'f K, call: Call<'f, 'a>) -> MaybeReady<'f, Read<()>>;

    /// An insert into a tier that is [inserts_directly](Self::inserts_directly), of which nobody is told.
    fn put(&self, key: K::Owned, entry: CacheEntry<V>) -> InsertResult;

    fn insert<'f, 'a: 'f>(
        &'a self,
        key: K::Owned,
        entry: CacheEntry<V>,
        origin: Origin<'f, K, V>,
        call: Call<'f, 'a>,
    ) -> MaybeReady<'f, InsertResult>
    where
        K::Owned: 'f;

    fn invalidate<'f, 'a: 'f>(&'a self, key: &'f K, call: Call<'f, 'a>) -> MaybeReady<'f, Result<(), Error>>;

    /// Removes what was left as [`Read::Stale`].
    fn remove_expired<'f, 'a: 'f>(
        &'a self,
        key: &'f K,
        expired: CacheEntry<()>,
        call: Call<'f, 'a>,
    ) -> MaybeReady<'f, Result<(), Error>>;

    fn clear<'f, 'a: 'f>(&'a self, call: Call<'f, 'a>) -> MaybeReady<'f, Result<(), Error>>;

    fn len<'f, 'a: 'f>(&'a self, call: Call<'f, 'a>) -> MaybeReady<'f, Result<Option<u64>, Error>>;

    /// One answer for each key, in their order.
    fn get_many<'f, 'a: 'f>(&'a self, keys: &'f [&'f K], call: Call<'f, 'a>) -> MaybeReady<'f, Vec<Read<V>>>;

    /// One outcome for each entry, in their order. Promotions have a lease for each.
    fn insert_many<'f, 'a: 'f>(
        &'a self,
        entries: Vec<(K::Owned, CacheEntry<V>)>,
        leases: Option<&'f [&'f Lease<'f, K, V>]>,
        call: Call<'f, 'a>,
    ) -> MaybeReady<'f, Result<Vec<InsertOutcome>, Error>>
    where
        K::Owned: 'f;

    fn invalidate_many<'f, 'a: 'f>(
        &'a self,
        keys: &'f [&'f K],
        call: Call<'f, 'a>,
    ) -> MaybeReady<'f, Result<(), Error>>;
}
