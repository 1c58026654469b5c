//! Several keys in one operation: `get_many`, `insert_many`, `invalidate_many`.

use std::borrow::Borrow;
use std::future::Future;

use super::write::Write;
use super::{Cache, Finish, Inner};
use crate::bounds::{IntoEntry, IntoKey, Key, Value};
use crate::entry::CacheEntry;
use crate::error::Error;
use crate::inflight::{Write as InFlightWrite, Written};
use crate::stack::{Answer, Found, TierStack};
use crate::telemetry::{Batch, CacheOperation, Completion, Operation, OperationOutcome};
use crate::tier::InsertOutcome;
use crate::tier::erased::{GetResult, MaybeReady, ready_or_await};

impl<K: Key + ?Sized, V: Value> Cache<K, V> {
    /// Looks up several entries, with one call of each tier for the keys that the tiers above do not have. Hits in lower tiers are
    /// promoted.
    ///
    /// Returns one result per key, in the same order: the result that [`get`](Self::get) would return. A key may occur twice, and
    /// `keys` may be empty.
    ///
    /// Telemetry reports one operation, a `hit` if all keys had an entry and otherwise a `miss`, with the numbers of
    /// [keys](crate::telemetry::CacheOperationEvent::keys) and [hits](crate::telemetry::CacheOperationEvent::hits).
    ///
    /// # Errors
    ///
    /// If a tier failed for a key and no tier has its entry, the result of the key is the error of the first tier that failed.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "memory")]
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), cachet::Error> {
    /// use cachet::{Cache, Tier};
    ///
    /// let ages = Cache::<str, u32>::builder("ages").tier(Tier::memory(1000)).build();
    /// ages.insert_many([("ada", 36), ("bob", 41)]).await;
    ///
    /// let keys = ["ada", "eve", "bob"];
    /// for (key, age) in keys.into_iter().zip(ages.get_many(keys).await) {
    ///     match age? {
    ///         Some(age) => println!("{key} is {}", *age),
    ///         None => println!("the age of {key} is unknown"),
    ///     }
    /// }
    /// # Ok(()) }
    /// # #[cfg(not(feature = "memory"))]
    /// # fn main() {}
    /// ```
    #[doc(alias = "get_all")]
    #[doc(alias = "mget")]
    pub fn get_many<'k, Q>(
        &self,
        keys: impl IntoIterator<Item = &'k Q>,
    ) -> impl Future<Output = Vec<Result<Option<CacheEntry<V>>, Error>>> + Send
    where
        Q: Borrow<K> + ?Sized + 'k,
        K: 'k,
    {
        let keys: Vec<&K> = keys.into_iter().map(Borrow::borrow).collect();
        async move {
            let number = keys.len();
            let answers = ready_or_await!(self.0.start_get_many(keys));
            answers.unwrap_or_else(|error| vec![Err(error); number])
        }
    }

    /// Stores several entries in all tiers, with one call of each tier, and replaces existing ones.
    ///
    /// Returns one result per entry, in the same order: the result that [`insert`](Self::insert) would return. If a key occurs twice,
    /// the last entry wins.
    ///
    /// # Errors
    ///
    /// If a tier failed for an entry, the result of the entry is the error of that tier, which names it. All tiers have been tried.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "memory")]
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), cachet::Error> {
    /// use cachet::{Cache, InsertOutcome, Tier};
    ///
    /// let ages = Cache::<str, u32>::builder("ages").tier(Tier::memory(1000)).build();
    /// for outcome in ages.insert_many([("ada", 36), ("bob", 41)]).await {
    ///     assert_eq!(outcome?, InsertOutcome::Accepted);
    /// }
    /// # Ok(()) }
    /// # #[cfg(not(feature = "memory"))]
    /// # fn main() {}
    /// ```
    #[doc(alias = "put_all")]
    #[doc(alias = "mset")]
    pub fn insert_many<Q, E>(
        &self,
        entries: impl IntoIterator<Item = (Q, E)>,
    ) -> impl Future<Output = Vec<Result<InsertOutcome, Error>>> + Send
    where
        Q: IntoKey<K>,
        E: IntoEntry<V>,
    {
        let inner = &*self.0;
        let entries: Vec<_> = entries
            .into_iter()
            .map(|(key, entry)| {
                let mut entry = entry.into_entry();
                inner.fix_deadline(&mut entry);
                (key.into_key(), entry)
            })
            .collect();
        async move {
            let number = entries.len();
            ready_or_await!(inner.write(InsertMany(entries))).unwrap_or_else(|error| vec![Err(error); number])
        }
    }

    /// Removes the entries of several keys from all tiers, with one call of each tier. A missing entry is not an error.
    ///
    /// Returns one result per key, in the same order.
    ///
    /// # Errors
    ///
    /// If a tier failed for a key, the result of the key is the error of that tier, which names it. All tiers have been tried.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "memory")]
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), cachet::Error> {
    /// use cachet::{Cache, Tier};
    ///
    /// let ages = Cache::<str, u32>::builder("ages").tier(Tier::memory(1000)).build();
    /// ages.insert_many([("ada", 36), ("bob", 41)]).await;
    /// for result in ages.invalidate_many(["ada", "bob"]).await {
    ///     result?;
    /// }
    /// assert!(!ages.contains("ada").await?);
    /// # Ok(()) }
    /// # #[cfg(not(feature = "memory"))]
    /// # fn main() {}
    /// ```
    #[doc(alias = "remove_all")]
    pub fn invalidate_many<'k, Q>(
        &self,
        keys: impl IntoIterator<Item = &'k Q>,
    ) -> impl Future<Output = Vec<Result<(), Error>>> + Send
    where
        Q: Borrow<K> + ?Sized + 'k,
        K: 'k,
    {
        let keys: Vec<&K> = keys.into_iter().map(Borrow::borrow).collect();
        async move {
            let number = keys.len();
            ready_or_await!(self.0.write(InvalidateMany(keys))).unwrap_or_else(|error| vec![Err(error); number])
        }
    }
}

impl<K: Key + ?Sized, V: Value> Inner<K, V> {
    fn observe_many(&self, kind: CacheOperation, keys: usize) -> Option<Operation<'_>> {
        let mut operation = self.observe(kind, None)?;
        operation.batch = Some(Batch { keys, hits: None });
        Some(operation)
    }

    fn start_get_many<'a>(&'a self, keys: Vec<&'a K>) -> MaybeReady<'a, Result<Vec<GetResult<V>>, Error>> {
        let mut operation = self.observe_many(CacheOperation::GetMany, keys.len());
        self.run(false, async move {
            let answers = self.limited(async { Ok(self.look_up_many(&keys, operation.as_ref()).await) }).await;
            let answers = answers.unwrap_or_else(|error| keys.iter().map(|_| Err(error.clone())).collect());
            if let Some(operation) = &mut operation {
                complete_reads(operation, &answers);
            }
            Ok(answers.into_iter().map(|answer| answer.map(|found| found.map(|found| found.entry))).collect())
        })
    }

    async fn look_up_many<'f, 'a: 'f>(
        &'a self,
        keys: &'f [&'f K],
        operation: Option<&'f Operation<'a>>,
    ) -> Vec<Answer<'a, V>> {
        let mut answers = Vec::with_capacity(keys.len());
        let found = self.tiers.ask_many(keys, &self.in_flight, operation).await;
        for (key, found) in keys.iter().zip(found) {
            answers.push(match found {
                Ok(found) => {
                    if found.refresh_due {
                        self.refresh(key, found.depth, operation);
                    }
                    Ok(Some(found))
                }
                Err(lookup) => self.not_found(&self.in_flight.lease(key), lookup, operation).await,
            });
        }
        answers
    }
}

/// One completion for all answers: the worst of them.
fn complete_reads<V>(operation: &mut Operation<'_>, answers: &[Answer<'_, V>]) {
    let found = || answers.iter().filter_map(|answer| answer.as_ref().ok()?.as_ref());
    let hits = found().count();
    operation.batch = Some(Batch { keys: answers.len(), hits: Some(hits) });
    if let Some(error) = answers.iter().find_map(|answer| answer.as_ref().err()) {
        return operation.complete(error);
    }
    let outcome = if hits < answers.len() {
        OperationOutcome::Miss
    } else if found().any(Found::is_stale) {
        OperationOutcome::Stale
    } else {
        OperationOutcome::Hit
    };
    // What failed elsewhere belongs to the answer only if all keys have one.
    let error = found().find_map(|found| found.masked_error.as_ref()).filter(|_| outcome == OperationOutcome::Stale);
    operation.complete(Completion { error, ..outcome.into() });
}

struct InsertMany<K: Key + ?Sized, V>(Vec<(K::Owned, CacheEntry<V>)>);

impl<'a, K: Key + ?Sized, V: Value> Write<'a, K, V> for InsertMany<K, V> {
    const KIND: CacheOperation = CacheOperation::InsertMany;
    type Done = Each<InsertOutcome>;

    fn keys(&self) -> Option<usize> {
        Some(self.0.len())
    }

    fn written(&self) -> Written<'_, K> {
        Written::Keys(self.0.iter().map(|(key, _)| key.borrow()).collect())
    }

    async fn run<'f>(
        self,
        tiers: &'a TierStack<K, V>,
        write: Option<&'f InFlightWrite<'f, K, V>>,
        operation: Option<&'f Operation<'a>>,
    ) -> Result<Each<InsertOutcome>, Error>
    where
        'a: 'f,
        Self: 'f,
    {
        Ok(Each(tiers.insert_many(self.0, write, operation).await))
    }
}

struct InvalidateMany<'k, K: ?Sized>(Vec<&'k K>);

impl<'a, K: Key + ?Sized, V: Value> Write<'a, K, V> for InvalidateMany<'a, K> {
    const KIND: CacheOperation = CacheOperation::InvalidateMany;
    type Done = Each<()>;

    fn keys(&self) -> Option<usize> {
        Some(self.0.len())
    }

    fn written(&self) -> Written<'_, K> {
        Written::Keys(self.0.clone())
    }

    async fn run<'f>(
        self,
        tiers: &'a TierStack<K, V>,
        write: Option<&'f InFlightWrite<'f, K, V>>,
        operation: Option<&'f Operation<'a>>,
    ) -> Result<Each<()>, Error>
    where
        'a: 'f,
        Self: 'f,
    {
        Ok(Each(tiers.invalidate_many(&self.0, write, operation).await))
    }
}

/// What became of each key.
struct Each<T>(Vec<Result<T, Error>>);

/// A result for one key that says how the whole operation ended, if no key failed.
trait OneOfMany {
    const ALL: OperationOutcome;

    fn outcome(&self) -> OperationOutcome;
}

impl OneOfMany for InsertOutcome {
    const ALL: OperationOutcome = OperationOutcome::Inserted;

    fn outcome(&self) -> OperationOutcome {
        match self {
            Self::Accepted => OperationOutcome::Inserted,
            Self::Rejected => OperationOutcome::Rejected,
        }
    }
}

impl OneOfMany for () {
    const ALL: OperationOutcome = OperationOutcome::Invalidated;

    fn outcome(&self) -> OperationOutcome {
        Self::ALL
    }
}

impl<'a, T: OneOfMany> Finish<'a> for Each<T> {
    type Output = Vec<Result<T, Error>>;

    /// The worst that happened to a key, but rejected only if all were.
    fn completion(&self) -> Completion<'a, '_> {
        if let Some(error) = self.0.iter().find_map(|result| result.as_ref().err()) {
            return error.into();
        }
        let mut outcomes = self.0.iter().flatten().map(T::outcome);
        let first = outcomes.next().unwrap_or(T::ALL);
        if outcomes.all(|outcome| outcome == first) { first.into() } else { T::ALL.into() }
    }

    fn into_output(self) -> Self::Output {
        self.0
    }
}
