//! Tiers of any type behind one interface: the one place where futures are boxed, and where they need not be.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::telemetry::span::FieldRecorder;
use crate::telemetry::{Operation, TierIdentity};
use crate::inflight::Lease;
use crate::{CacheEntry, Error, InsertOutcome, Key, Value};

pub(crate) type BoxFuture<'f, T> = Pin<Box<dyn Future<Output = T> + Send + 'f>>;

/// Something that is done already, or has to be waited for.
#[must_use]
pub(crate) enum Step<'f, T> {
    Ready(T),
    Wait(BoxFuture<'f, T>),
}

impl<T> Step<'_, T> {
    pub(crate) async fn finish(self) -> T {
        match self {
            Self::Ready(done) => done,
            Self::Wait(future) => future.await,
        }
    }
}

/// Awaits a [`Step`] in place. A function would move what is ready once more, and that is what a hit consists of.
macro_rules! settle {
    ($step:expr) => {
        match $step {
            $crate::tier::erased::Step::Ready(done) => done,
            $crate::tier::erased::Step::Wait(future) => future.await,
        }
    };
}

pub(crate) use settle;

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
        due: bool,
    },
    Miss,
    /// Expired, and left where it is: it may be served if nobody else answers.
    Spare(CacheEntry<U>, Option<Duration>),
    Failed(Error),
}

/// What a tier did with an insert.
pub(crate) type Written = Result<InsertOutcome, Error>;

/// What a lookup comes to, in the form in which `Cache::get` returns it.
pub(crate) type Looked<V> = Result<Option<CacheEntry<V>>, Error>;

/// The same where there always is an entry, as `Cache::get_or_insert` returns it.
pub(crate) type Got<V> = Result<CacheEntry<V>, Error>;

/// A form in which a hit is returned.
pub(crate) trait FromHit<V> {
    fn from_hit(entry: CacheEntry<V>) -> Self;
}

impl<V> FromHit<V> for Looked<V> {
    #[inline]
    fn from_hit(entry: CacheEntry<V>) -> Self {
        Ok(Some(entry))
    }
}

impl<V> FromHit<V> for Got<V> {
    #[inline]
    fn from_hit(entry: CacheEntry<V>) -> Self {
        Ok(entry)
    }
}

/// What becomes of a lookup that is not a plain hit. It is pending where there is more to it than a miss or a failure.
pub(crate) type Otherwise<'o, V, R> = &'o mut dyn FnMut(Poll<Looked<V>>) -> Poll<R>;

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

    /// Whether every call is answered at once, with [`Step::Ready`].
    fn immediate(&self) -> bool;

    /// Whether an insert that nobody listens to is no more than the tier's own: no policy, nothing to undo.
    fn plain(&self) -> bool;

    /// Whether the tier itself does not care how old its entries are.
    fn ageless(&self) -> bool;

    /// A lookup for which nobody listens and nothing has to be judged, undone or waited for; in the form in which
    /// `Cache::get` returns it, since that is what a hit consists of.
    ///
    /// Anything but a plain hit goes through `otherwise`, and its result is returned: so a hit is written right where the
    /// caller wants it, and not copied there. Where there is more to it, `otherwise` is told that it is pending: then
    /// nothing was changed, and [`get`](Self::get) has to be asked.
    fn hit(&self, key: &K, otherwise: Otherwise<'_, V, Looked<V>>) -> Poll<Looked<V>>;

    /// The same in the form in which `Cache::get_or_insert` returns it.
    fn hit_entry(&self, key: &K, otherwise: Otherwise<'_, V, Got<V>>) -> Poll<Got<V>>;

    fn get<'f, 'a: 'f>(&'a self, key: &'f K, call: Call<'f, 'a>) -> Step<'f, Read<V>>;

    fn contains<'f, 'a: 'f>(&'a self, key: &'f K, call: Call<'f, 'a>) -> Step<'f, Read<()>>;

    /// An insert into a tier that is [plain](Self::plain), of which nobody is told.
    fn put(&self, key: K::Owned, entry: CacheEntry<V>) -> Written;

    fn insert<'f, 'a: 'f>(
        &'a self,
        key: K::Owned,
        entry: CacheEntry<V>,
        origin: Origin<'f, K, V>,
        call: Call<'f, 'a>,
    ) -> Step<'f, Written>
    where
        K::Owned: 'f;

    fn invalidate<'f, 'a: 'f>(&'a self, key: &'f K, call: Call<'f, 'a>) -> Step<'f, Result<(), Error>>;

    /// Removes what was left as [`Read::Spare`].
    fn remove_expired<'f, 'a: 'f>(
        &'a self,
        key: &'f K,
        expired: CacheEntry<()>,
        call: Call<'f, 'a>,
    ) -> Step<'f, Result<(), Error>>;

    fn clear<'f, 'a: 'f>(&'a self, call: Call<'f, 'a>) -> Step<'f, Result<(), Error>>;

    fn len<'f, 'a: 'f>(&'a self, call: Call<'f, 'a>) -> Step<'f, Result<Option<u64>, Error>>;

    /// One answer for each key, in their order.
    fn get_many<'f, 'a: 'f>(&'a self, keys: &'f [&'f K], call: Call<'f, 'a>) -> Step<'f, Vec<Read<V>>>;

    /// One outcome for each entry, in their order. Promotions have a lease for each.
    fn insert_many<'f, 'a: 'f>(
        &'a self,
        entries: Vec<(K::Owned, CacheEntry<V>)>,
        leases: Option<&'f [&'f Lease<'f, K, V>]>,
        call: Call<'f, 'a>,
    ) -> Step<'f, Result<Vec<InsertOutcome>, Error>>
    where
        K::Owned: 'f;

    fn invalidate_many<'f, 'a: 'f>(&'a self, keys: &'f [&'f K], call: Call<'f, 'a>) -> Step<'f, Result<(), Error>>;
}
