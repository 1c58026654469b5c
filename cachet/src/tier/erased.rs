//! Tiers of any type behind one interface: the one place where futures are boxed, and where they need not be.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::bounds::{Key, Value};
use crate::entry::CacheEntry;
use crate::error::Error;
use crate::inflight::{Lease, Origin, Permit};
use crate::telemetry::span::FieldRecorder;
use crate::telemetry::{FirstAnswer, Operation, TierIdentity};
use crate::tier::InsertOutcome;
use crate::tier::status::TierStatus;

pub(crate) type BoxFuture<'f, T> = Pin<Box<dyn Future<Output = T> + Send + 'f>>;

/// Something that is done already, or has to be waited for.
#[must_use]
pub(crate) enum MaybeReady<'f, T> {
    Ready(T),
    Boxed(BoxFuture<'f, T>),
}

impl<T> MaybeReady<'_, T> {
    pub(crate) async fn resolve(self) -> T {
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

/// For what a tier is called.
pub(crate) struct Call<'f, 'a, K: Key + ?Sized, V> {
    /// The operation, if it is an observed one.
    pub(crate) operation: Option<&'f Operation<'a>>,
    /// Whether an earlier tier did not answer.
    pub(crate) fallback: bool,
    /// What a read holds in order to know whether its key has been written since.
    pub(crate) lease: Option<&'f Lease<'f, K, V>>,
}

impl<K: Key + ?Sized, V> Clone for Call<'_, '_, K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K: Key + ?Sized, V> Copy for Call<'_, '_, K, V> {}

impl<'f, 'a, K: Key + ?Sized, V> Call<'f, 'a, K, V> {
    pub(crate) fn of(operation: Option<&'f Operation<'a>>) -> Self {
        Self { operation, fallback: false, lease: None }
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
    /// Expired, and left where it is: it may be served if no other tier answers.
    Stale(CacheEntry<U>, Option<Duration>),
    Failed(Error),
}

/// What a tier did with an insert.
pub(crate) type InsertResult = Result<InsertOutcome, Error>;

/// What a lookup comes to, in the form in which `Cache::get` returns it.
pub(crate) type GetResult<V> = Result<Option<CacheEntry<V>>, Error>;

/// The same where there always is an entry, as `Cache::get_or_insert` returns it.
pub(crate) type EntryResult<V> = Result<CacheEntry<V>, Error>;

/// Why a lookup is not a plain hit.
pub(crate) enum NotAHit {
    Miss,
    Failed(Error),
    /// There is more to it: the entry's age has to be judged, or the tier has to be waited for. Nothing was changed, and
    /// [`ErasedTier::get`] is to be called.
    AskAgain,
}

impl NotAHit {
    pub(crate) fn as_answer(&self) -> FirstAnswer<'_> {
        match self {
            Self::Miss => FirstAnswer::Miss,
            Self::Failed(error) => FirstAnswer::Failed(error),
            Self::AskAgain => FirstAnswer::Open,
        }
    }
}

/// What follows when a lookup is not a plain hit.
pub(crate) type OnMiss<'o, R> = &'o mut dyn FnMut(NotAHit) -> Poll<R>;

/// What is removed from a tier.
pub(crate) enum Removal<'f, K: Key + ?Sized, V> {
    Key(&'f K),
    /// The entry of a key if it is still this one, which was found expired under the lease.
    Expired(&'f Lease<'f, K, V>, CacheEntry<()>),
    All,
}

impl<K: Key + ?Sized, V> Clone for Removal<'_, K, V> {
    fn clone(&self) -> Self {
        match self {
            Self::Key(key) => Self::Key(key),
            Self::Expired(lease, expired) => Self::Expired(lease, expired.clone()),
            Self::All => Self::All,
        }
    }
}

/// What never changes about a tier.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(crate) struct TierFacts {
    pub(crate) identity: TierIdentity,
    /// Every call is answered at once, with [`MaybeReady::Ready`].
    pub(crate) immediate: bool,
    /// It is never written, and nothing is removed from it.
    pub(crate) read_only: bool,
    /// Its policy accepts no entry, so the cache has stored none that could be older than another one.
    pub(crate) never_inserts: bool,
    /// An unobserved insert is no more than the tier's own: no policy, nothing to undo.
    pub(crate) inserts_directly: bool,
    /// The tier itself has no use for the age of its entries.
    pub(crate) untimed: bool,
}

/// What orders the inserts of a batch.
pub(crate) enum BatchPermit<'f, K: Key + ?Sized, V> {
    Write(Permit<'f, K, V>),
    /// Promotions have a lease for each entry.
    Promotion(&'f [&'f Lease<'f, K, V>]),
}

/// A tier with everything that belongs to it. `'a` is the life of the cache, `'f` that of one operation.
pub(crate) trait ErasedTier<K: Key + ?Sized, V: Value>: Send + Sync {
    fn facts(&self) -> &TierFacts;

    /// What is to be known of it from outside.
    fn status(&self) -> TierStatus;

    /// Records the fields that the tier declares for its spans.
    fn record_fields(&self, recorder: &mut FieldRecorder<'_>);

    /// An unobserved lookup for which nothing has to be judged, undone or awaited; in the form in which `Cache::get` returns
    /// it, since that is what a hit consists of.
    ///
    /// Anything but a plain hit goes through `on_miss`, whose result is returned. So a hit is written right where the caller
    /// wants it, and not copied there.
    fn hit(&self, key: &K, on_miss: OnMiss<'_, GetResult<V>>) -> Poll<GetResult<V>>;

    /// The same in the form in which `Cache::get_or_insert` returns it.
    fn hit_entry(&self, key: &K, on_miss: OnMiss<'_, EntryResult<V>>) -> Poll<EntryResult<V>>;

    fn get<'f, 'a: 'f>(&'a self, key: &'f K, call: Call<'f, 'a, K, V>) -> MaybeReady<'f, Read<V>>;

    fn contains<'f, 'a: 'f>(&'a self, key: &'f K, call: Call<'f, 'a, K, V>) -> MaybeReady<'f, Read<()>>;

    /// An unobserved insert that overtakes nothing, into a tier that [inserts directly](TierFacts::inserts_directly).
    fn insert_now(&self, key: K::Owned, entry: CacheEntry<V>) -> InsertResult;

    fn insert<'f, 'a: 'f>(
        &'a self,
        key: K::Owned,
        entry: CacheEntry<V>,
        origin: Origin<'f, K, V>,
        permit: Permit<'f, K, V>,
        call: Call<'f, 'a, K, V>,
    ) -> MaybeReady<'f, InsertResult>
    where
        K::Owned: 'f;

    fn remove<'f, 'a: 'f>(
        &'a self,
        removal: Removal<'f, K, V>,
        permit: Permit<'f, K, V>,
        call: Call<'f, 'a, K, V>,
    ) -> MaybeReady<'f, Result<(), Error>>;

    fn len<'f, 'a: 'f>(&'a self, call: Call<'f, 'a, K, V>) -> MaybeReady<'f, Result<Option<u64>, Error>>;

    /// One answer for each key, in their order.
    fn get_many<'f, 'a: 'f>(&'a self, keys: &'f [&'f K], call: Call<'f, 'a, K, V>) -> MaybeReady<'f, Vec<Read<V>>>;

    /// One result for each entry, in their order.
    fn insert_many<'f, 'a: 'f>(
        &'a self,
        entries: Vec<(K::Owned, CacheEntry<V>)>,
        permit: BatchPermit<'f, K, V>,
        call: Call<'f, 'a, K, V>,
    ) -> MaybeReady<'f, Vec<InsertResult>>
    where
        K::Owned: 'f;

    /// One result for each key, in their order.
    fn invalidate_many<'f, 'a: 'f>(
        &'a self,
        keys: &'f [&'f K],
        permit: Permit<'f, K, V>,
        call: Call<'f, 'a, K, V>,
    ) -> MaybeReady<'f, Vec<Result<(), Error>>>;
}
