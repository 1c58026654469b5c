//! Tiers of any type behind one interface: the one place where futures are boxed, and where they need not be.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::coherence::Ticket;
use crate::telemetry::{Operation, TierIdentity};
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

    pub(crate) fn after(self, earlier: usize) -> Self {
        Self { fallback: earlier > 0, ..self }
    }
}

/// What a tier said to a lookup; expired entries count as a miss.
pub(crate) enum Read<U> {
    Hit(CacheEntry<U>, Option<Duration>),
    Miss,
    Failed(Error),
}

/// What a tier did with an insert.
pub(crate) type Written = Result<InsertOutcome, Error>;

/// What a lookup comes to, in the form in which `Cache::get` returns it.
pub(crate) type Answer<V> = Poll<Result<Option<CacheEntry<V>>, Error>>;

/// What becomes of a lookup that is not a plain hit.
pub(crate) type Otherwise<'o, V> = &'o mut dyn FnMut(Answer<V>) -> Answer<V>;

/// How an insert came about.
#[derive(Clone, Copy)]
pub(crate) enum Origin<'t> {
    /// The user inserted it.
    Direct,
    /// A closure computed it; a newer write since then wins.
    Computed(&'t Ticket<'t>),
    /// Another tier had it; a newer write since then wins.
    Promoted(&'t Ticket<'t>),
}

impl<'t> Origin<'t> {
    pub(crate) fn ticket(self) -> Option<&'t Ticket<'t>> {
        match self {
            Self::Direct => None,
            Self::Computed(ticket) | Self::Promoted(ticket) => Some(ticket),
        }
    }
}

/// A tier with everything that belongs to it. `'a` is the life of the cache, `'f` that of one operation.
pub(crate) trait ErasedTier<K: Key + ?Sized, V: Value>: Send + Sync {
    fn identity(&self) -> &TierIdentity;

    /// Whether every call is answered at once, with [`Step::Ready`].
    fn immediate(&self) -> bool;

    /// A lookup for which nobody listens and nothing has to be judged, undone or waited for; in the form in which
    /// `Cache::get` returns it, since that is what a hit consists of.
    ///
    /// Anything but a plain hit goes through `otherwise`, and its result is returned: so a hit is written right where the
    /// caller wants it, and not copied there. It is pending where there is more to it: then nothing was changed, and
    /// [`get`](Self::get) has to be asked.
    fn hit(&self, key: &K, otherwise: Otherwise<'_, V>) -> Answer<V>;

    fn get<'f, 'a: 'f>(&'a self, key: &'f K, call: Call<'f, 'a>) -> Step<'f, Read<V>>;

    fn contains<'f, 'a: 'f>(&'a self, key: &'f K, call: Call<'f, 'a>) -> Step<'f, Read<()>>;

    fn insert<'f, 'a: 'f>(
        &'a self,
        key: K::Owned,
        entry: CacheEntry<V>,
        origin: Origin<'f>,
        call: Call<'f, 'a>,
    ) -> Step<'f, Written>
    where
        K::Owned: 'f;

    fn invalidate<'f, 'a: 'f>(&'a self, key: &'f K, call: Call<'f, 'a>) -> Step<'f, Result<(), Error>>;

    fn clear<'f, 'a: 'f>(&'a self, call: Call<'f, 'a>) -> Step<'f, Result<(), Error>>;

    fn len<'f, 'a: 'f>(&'a self, call: Call<'f, 'a>) -> Step<'f, Result<Option<u64>, Error>>;
}
