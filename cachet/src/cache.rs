//! `Cache`: the public handle, and the frame that every operation runs in.

use std::borrow::Borrow;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use crate::builder::CacheBuilder;
use crate::builder::keys::RecordKeys;
use crate::fallback::{First, Found, Tiers};
use crate::telemetry::{CacheOperation, CacheTelemetry, Completion, Operation, OperationOutcome};
use crate::tier::erased::{ErasedTier, Origin, Step, poll_once};
use crate::{CacheEntry, Error, InsertOutcome, Key, Value};

mod compute;

/// A cache of values `V` by keys `K`, made of one or more tiers.
///
/// Cheap to clone: clones are handles to the same cache. Make one with [`Cache::builder`].
///
/// `K` is the key as it is looked up: prefer `Cache<str, V>` to `Cache<String, V>` (see [`Key`]).
///
/// # Cancel safety
///
/// The future of every method may be dropped at any point. Nothing is lost or left half-done in memory; what a tier has
/// begun to write by then is that tier's business. An observed operation then reports `cancelled`.
///
/// # Panics
///
/// No method panics of its own accord. A panic of a tier, of a closure or of a type's own `Hash`, `Eq` or `Clone` unwinds
/// to the caller, and the cache stays usable.
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "memory")]
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), cachet::Error> {
/// use cachet::{Cache, Tier};
///
/// let squares = Cache::<u64, u64>::builder("squares").tier(Tier::memory(1000)).build();
/// let nine = squares.get_or_insert(&3, || async { 3 * 3 }).await?;
/// assert_eq!(*nine, 9);
/// assert_eq!(squares.get(&3).await?.map(|entry| entry.into_value()), Some(9));
/// # Ok(()) }
/// # #[cfg(not(feature = "memory"))]
/// # fn main() {}
/// ```
pub struct Cache<K: Key + ?Sized, V: Value>(Arc<Inner<K, V>>);

struct Inner<K: Key + ?Sized, V: Value> {
    telemetry: Arc<CacheTelemetry>,
    tiers: Tiers<K, V>,
    record_keys: RecordKeys<K>,
    fail_closed: bool,
}

impl<K: Key + ?Sized, V: Value> Cache<K, V> {
    pub(crate) fn new(
        telemetry: Arc<CacheTelemetry>,
        tiers: Tiers<K, V>,
        record_keys: RecordKeys<K>,
        fail_closed: bool,
    ) -> Self {
        Self(Arc::new(Inner { telemetry, tiers, record_keys, fail_closed }))
    }
}

impl<K: Key + ?Sized + 'static, V: Value + 'static> Cache<K, V> {
    /// Begins to build a cache. Every span, event and metric of it carries the name; an empty one becomes `unnamed`.
    pub fn builder(name: impl Into<Arc<str>>) -> CacheBuilder<K, V> {
        CacheBuilder::new(name.into())
    }
}

impl<K: Key + ?Sized, V: Value> Cache<K, V> {
    /// The name of the cache.
    pub fn name(&self) -> &str {
        &self.0.telemetry.name
    }

    /// The names of the tiers, in the order in which they are asked.
    pub fn tier_names(&self) -> impl Iterator<Item = &str> {
        self.0.tiers.names()
    }

    /// How often an event handler of this cache has panicked. Such a panic is caught; the first one is logged.
    pub fn handler_panics(&self) -> u64 {
        self.0.telemetry.handler_panics()
    }

    /// Looks an entry up: in the first tier, then in the next, until one has it. What a later tier had is promoted into the
    /// earlier ones.
    ///
    /// Expired entries are not found, and are removed. A hit in a memory tier that comes first allocates nothing.
    ///
    /// # Errors
    ///
    /// When no tier has the entry and some tier failed: the error of the first that did. A failing tier is otherwise
    /// passed over, and reported.
    #[must_use = "futures do nothing unless awaited"]
    pub async fn get(&self, key: &K) -> Result<Option<CacheEntry<V>>, Error> {
        self.start_get(key).finish().await
    }

    fn start_get<'a>(&'a self, key: &'a K) -> Step<'a, Result<Option<CacheEntry<V>>, Error>> {
        let inner = &*self.0;
        let mut operation = inner.observe(CacheOperation::Get, Some(key));
        match inner.tiers.ask_first(operation.as_ref(), |tier, call| tier.get(key, call)) {
            First::Answered(answer) => Step::Ready(conclude(operation, answer)),
            First::Open { next, failure } => inner.run(async move {
                let answer = {
                    let operation = turns_slow(&mut operation);
                    let ticket = inner.tiers.coherence.ticket(key);
                    let answer = inner.tiers.ask_from(next, failure, operation, |tier, call| tier.get(key, call)).await;
                    if let Ok(Some(found)) = &answer {
                        inner.tiers.promote(key, found, &ticket, operation).await;
                    }
                    answer
                };
                conclude(operation, answer)
            }),
        }
    }

    /// Tells whether [`get`](Self::get) would return an entry, without cloning its value or promoting it.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    #[must_use = "futures do nothing unless awaited"]
    pub async fn contains(&self, key: &K) -> Result<bool, Error> {
        let found = self.start_contains(key).finish().await;
        found.map(|entry| entry.is_some())
    }

    fn start_contains<'a>(&'a self, key: &'a K) -> Step<'a, Result<Option<CacheEntry<()>>, Error>> {
        let inner = &*self.0;
        let mut operation = inner.observe(CacheOperation::Contains, Some(key));
        match inner.tiers.ask_first(operation.as_ref(), |tier, call| tier.contains(key, call)) {
            First::Answered(answer) => Step::Ready(conclude(operation, answer)),
            First::Open { next, failure } => inner.run(async move {
                let slow = turns_slow(&mut operation);
                let answer = inner.tiers.ask_from(next, failure, slow, |tier, call| tier.contains(key, call)).await;
                conclude(operation, answer)
            }),
        }
    }

    /// Stores an entry in all tiers, at once, in place of whatever was there.
    ///
    /// `entry` is a value, or a [`CacheEntry`] with a time to live of its own. A promotion or a computed insert of the
    /// same key that is under way at this moment does not overwrite it.
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
    #[must_use = "futures do nothing unless awaited"]
    pub fn insert<Q, E>(&self, key: Q, entry: E) -> impl Future<Output = Result<InsertOutcome, Error>> + Send
    where
        Q: Into<K::Owned>,
        E: Into<CacheEntry<V>>,
    {
        let (key, entry) = (key.into(), entry.into());
        async move { self.start_insert(key, entry).finish().await }
    }

    fn start_insert<'a>(&'a self, key: K::Owned, mut entry: CacheEntry<V>) -> Step<'a, Result<InsertOutcome, Error>>
    where
        K::Owned: 'a,
    {
        let inner = &*self.0;
        inner.fix_deadline(&mut entry);
        let operation = inner.observe(CacheOperation::Insert, Some(key.borrow()));
        let atomic = inner.tiers.is_one_immediate();
        inner.run(async move {
            let writing = inner.tiers.coherence.write::<K>(key.borrow(), atomic);
            let written = inner.tiers.insert(key, entry, Origin::Direct, operation.as_ref()).await;
            drop(writing);
            conclude(operation, written)
        })
    }

    /// Removes the entry of a key from all tiers; that there is none is not an error.
    ///
    /// # Errors
    ///
    /// If some tier failed, its error, which names it; every tier has been tried.
    #[must_use = "futures do nothing unless awaited"]
    pub async fn invalidate(&self, key: &K) -> Result<(), Error> {
        self.start_invalidate(key).finish().await
    }

    fn start_invalidate<'a>(&'a self, key: &'a K) -> Step<'a, Result<(), Error>> {
        let inner = &*self.0;
        let operation = inner.observe(CacheOperation::Invalidate, Some(key));
        let atomic = inner.tiers.is_one_immediate();
        inner.run(async move {
            let writing = inner.tiers.coherence.write(key, atomic);
            let removed = inner.tiers.remove(operation.as_ref(), |tier, call| tier.invalidate(key, call)).await;
            drop(writing);
            conclude(operation, removed.map(|()| Removed(OperationOutcome::Invalidated)))
        })
    }

    /// Removes all entries from all tiers.
    ///
    /// # Errors
    ///
    /// If some tier failed, its error, which names it; every tier has been tried.
    #[must_use = "futures do nothing unless awaited"]
    pub async fn clear(&self) -> Result<(), Error> {
        self.start_clear().finish().await
    }

    fn start_clear(&self) -> Step<'_, Result<(), Error>> {
        let inner = &*self.0;
        let operation = inner.observe(CacheOperation::Clear, None);
        inner.run(async move {
            let clearing = inner.tiers.coherence.clear();
            let removed = inner.tiers.remove(operation.as_ref(), ErasedTier::clear).await;
            drop(clearing);
            conclude(operation, removed.map(|()| Removed(OperationOutcome::Cleared)))
        })
    }

    /// Tells about how many entries the first tier holds, expired ones included; `Ok(None)` where it cannot tell.
    ///
    /// # Errors
    ///
    /// If the first tier failed.
    #[must_use = "futures do nothing unless awaited"]
    pub async fn len(&self) -> Result<Option<u64>, Error> {
        self.start_len().finish().await
    }

    fn start_len(&self) -> Step<'_, Result<Option<u64>, Error>> {
        let inner = &*self.0;
        let operation = inner.observe(CacheOperation::Len, None);
        inner.run(async move {
            let counted = inner.tiers.len(operation.as_ref()).await;
            conclude(operation, counted.map(Counted))
        })
    }
}

impl<K: Key + ?Sized, V: Value> Inner<K, V> {
    /// Begins an operation that somebody listens to; with nobody listening there is nothing to begin.
    #[inline]
    fn observe(&self, kind: CacheOperation, key: Option<&K>) -> Option<Operation<'_>> {
        self.telemetry.observed().then(|| {
            let key = key.and_then(|key| self.record_keys.text(key));
            Operation::start(&self.telemetry, kind, key)
        })
    }

    /// An operation that only immediate tiers take part in is done at once; any other has to be waited for.
    fn run<'a, R: 'a>(&self, work: impl Future<Output = Result<R, Error>> + Send + 'a) -> Step<'a, Result<R, Error>> {
        if self.tiers.immediate() {
            Step::Ready(poll_once(work).unwrap_or_else(|| Err(Error::not_immediate())))
        } else {
            Step::Wait(Box::pin(work))
        }
    }

    /// An entry's own deadline counts from here, whatever its way through the tiers.
    fn fix_deadline(&self, entry: &mut CacheEntry<V>) {
        if entry.ttl().is_some() {
            entry.stamp(&self.telemetry.clock, true);
        }
    }
}

/// The first tier did not answer: an operation that is traced only when it is slow becomes visible now.
fn turns_slow<'f, 'a>(operation: &'f mut Option<Operation<'a>>) -> Option<&'f Operation<'a>> {
    if let Some(operation) = operation {
        operation.turns_slow();
    }
    operation.as_ref()
}

/// What an operation ended with: what is reported, and what the caller gets.
trait Ending<'a> {
    type Returned;

    fn completion(&self) -> Completion<'a, '_>;

    fn returned(self) -> Self::Returned;
}

/// Ends an operation: reports it, if somebody listens, and unpacks what the caller gets.
fn conclude<'a, E: Ending<'a>>(
    operation: Option<Operation<'a>>,
    result: Result<E, Error>,
) -> Result<E::Returned, Error> {
    if let Some(operation) = operation {
        match &result {
            Ok(ending) => operation.complete(ending.completion()),
            Err(error) => operation.complete(error),
        }
    }
    result.map(Ending::returned)
}

impl<'a, U> Found<'a, U> {
    fn completion<'e>(&self) -> Completion<'a, 'e> {
        Completion { outcome: OperationOutcome::Hit, hit_tier: Some(self.tier), age: self.age, error: None }
    }
}

impl<'a, U> Ending<'a> for Option<Found<'a, U>> {
    type Returned = Option<CacheEntry<U>>;

    fn completion(&self) -> Completion<'a, '_> {
        self.as_ref().map_or_else(|| OperationOutcome::Miss.into(), Found::completion)
    }

    fn returned(self) -> Self::Returned {
        self.map(|found| found.entry)
    }
}

impl<'a> Ending<'a> for InsertOutcome {
    type Returned = Self;

    fn completion(&self) -> Completion<'a, '_> {
        match self {
            Self::Accepted => OperationOutcome::Inserted.into(),
            Self::Rejected => OperationOutcome::Rejected.into(),
        }
    }

    fn returned(self) -> Self {
        self
    }
}

struct Removed(OperationOutcome);

impl<'a> Ending<'a> for Removed {
    type Returned = ();

    fn completion(&self) -> Completion<'a, '_> {
        self.0.into()
    }

    fn returned(self) {}
}

struct Counted(Option<u64>);

impl<'a> Ending<'a> for Counted {
    type Returned = Option<u64>;

    fn completion(&self) -> Completion<'a, '_> {
        OperationOutcome::Counted.into()
    }

    fn returned(self) -> Option<u64> {
        self.0
    }
}

impl<K: Key + ?Sized, V: Value> Clone for Cache<K, V> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K: Key + ?Sized, V: Value> fmt::Debug for Cache<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("name", &self.name())
            .field("tiers", &self.tier_names().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}
