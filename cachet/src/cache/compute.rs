//! The compute methods: one engine, three ways to put its result.

use std::error::Error as StdError;
use std::future::Future;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;

use super::read::{Begun, Search};
use super::{Cache, Ending, Inner, conclude};
use crate::coherence::Ticket;
use crate::fallback::Found;
use crate::flight::{Flights, Joined, Landed};
use crate::telemetry::{CacheOperation, Completion, Operation, OperationOutcome};
use crate::tier::erased::{Origin, Step, settle};
use crate::{CacheEntry, Error, IntoEntry, Key, Value};

impl<K: Key + ?Sized, V: Value> Cache<K, V> {
    /// Looks an entry up, and computes and stores it if there is none.
    ///
    /// The closure runs only on a miss, and then once. It returns a value, or a [`CacheEntry`] with a time to live of its own.
    /// When the value cannot be stored, it is returned all the same.
    ///
    /// # Errors
    ///
    /// A failing tier does not keep the value from being computed, unless the cache
    /// [fails closed](crate::CacheBuilder::fail_closed): then its error is returned.
    ///
    /// # Panics
    ///
    /// A panic of the closure unwinds to the caller, unless the cache has
    /// [stampede protection](crate::CacheBuilder::stampede_protection): then it becomes an error.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "memory")]
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), cachet::Error> {
    /// use cachet::{Cache, CacheEntry, Tier};
    /// use std::time::Duration;
    ///
    /// let pages = Cache::<str, String>::builder("pages").tier(Tier::memory(1000)).build();
    /// let page = pages.get_or_insert("index", || async { "<html>".to_owned() }).await?;
    /// assert_eq!(*page, "<html>");
    ///
    /// // With a time to live of its own:
    /// pages
    ///     .get_or_insert("news", || async {
    ///         CacheEntry::expires_after("<html>".to_owned(), Duration::from_secs(10))
    ///     })
    ///     .await?;
    /// # Ok(()) }
    /// # #[cfg(not(feature = "memory"))]
    /// # fn main() {}
    /// ```
    #[doc(alias = "get_with")]
    #[doc(alias = "get_or_set")]
    pub async fn get_or_insert<F, Fut, E>(&self, key: &K, compute: F) -> Result<CacheEntry<V>, Error>
    where
        F: FnOnce() -> Fut + Send,
        Fut: Future<Output = E> + Send,
        E: IntoEntry<V>,
    {
        let load = async move { Ok(Some(compute().await.into_entry())) };
        settle!(self.start_compute(CacheOperation::GetOrInsert, key, load))?.ok_or_else(nothing)
    }

    /// Like [`get_or_insert`](Self::get_or_insert), with a closure that can fail. A failure is not stored: the next call
    /// tries again.
    ///
    /// # Errors
    ///
    /// As [`get_or_insert`](Self::get_or_insert), and what the closure returned, as an error for which
    /// [`is_load`](Error::is_load) is true and whose [`source_as`](Error::source_as) gives it back with its type.
    ///
    /// # Panics
    ///
    /// A panic of the closure unwinds to the caller, unless the cache has
    /// [stampede protection](crate::CacheBuilder::stampede_protection): then it becomes an error.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "memory")]
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use cachet::{Cache, Tier};
    /// use std::io;
    ///
    /// let pages = Cache::<str, String>::builder("pages").tier(Tier::memory(1000)).build();
    /// let error = pages
    ///     .try_get_or_insert("index", || async { Err::<String, _>(io::Error::other("renderer is down")) })
    ///     .await
    ///     .unwrap_err();
    /// assert!(error.is_load());
    /// assert_eq!(error.source_as::<io::Error>().unwrap().to_string(), "renderer is down");
    /// # }
    /// # #[cfg(not(feature = "memory"))]
    /// # fn main() {}
    /// ```
    #[doc(alias = "try_get_with")]
    pub async fn try_get_or_insert<F, Fut, E, X>(&self, key: &K, compute: F) -> Result<CacheEntry<V>, Error>
    where
        F: FnOnce() -> Fut + Send,
        Fut: Future<Output = Result<E, X>> + Send,
        E: IntoEntry<V>,
        X: Into<Box<dyn StdError + Send + Sync>>,
    {
        let load = async move {
            match compute().await {
                Ok(entry) => Ok(Some(entry.into_entry())),
                Err(error) => Err(Error::load(error.into())),
            }
        };
        settle!(self.start_compute(CacheOperation::TryGetOrInsert, key, load))?.ok_or_else(nothing)
    }

    /// Like [`get_or_insert`](Self::get_or_insert), with a closure that may have nothing to give. Nothing is stored then:
    /// the next call asks again.
    ///
    /// # Errors
    ///
    /// As [`get_or_insert`](Self::get_or_insert).
    ///
    /// # Panics
    ///
    /// A panic of the closure unwinds to the caller, unless the cache has
    /// [stampede protection](crate::CacheBuilder::stampede_protection): then it becomes an error.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "memory")]
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), cachet::Error> {
    /// use cachet::{Cache, Tier};
    ///
    /// let users = Cache::<u64, String>::builder("users").tier(Tier::memory(1000)).build();
    /// let nobody = users.optionally_get_or_insert(&7, || async { None::<String> }).await?;
    /// assert!(nobody.is_none());
    /// # Ok(()) }
    /// # #[cfg(not(feature = "memory"))]
    /// # fn main() {}
    /// ```
    pub async fn optionally_get_or_insert<F, Fut, E>(&self, key: &K, compute: F) -> Result<Option<CacheEntry<V>>, Error>
    where
        F: FnOnce() -> Fut + Send,
        Fut: Future<Output = Option<E>> + Send,
        E: IntoEntry<V>,
    {
        let load = async move { Ok(compute().await.map(IntoEntry::into_entry)) };
        settle!(self.start_compute(CacheOperation::OptionallyGetOrInsert, key, load))
    }

    /// The engine. A hit of an immediate first tier is all done here; everything else goes on in one box.
    #[inline]
    fn start_compute<'f>(
        &'f self,
        kind: CacheOperation,
        key: &'f K,
        load: impl Future<Output = Loaded<V>> + Send + 'f,
    ) -> Step<'f, Loaded<V>> {
        let inner = &*self.0;
        // What lands from here on, the lookup below may have missed.
        let landings = inner.flights.as_ref().map_or(0, Flights::landings);
        let search = match inner.begin_get(kind, key) {
            Begun::Hit(entry) => return Step::Ready(Ok(Some(entry))),
            Begun::Open(search) => search,
        };
        let Search { operation, next, failure } = search;
        // Boxed by itself, an operation that nobody listens to takes no room in the future.
        let operation = operation.map(Box::new);
        Step::Wait(Box::pin(inner.finish_compute(kind, key, operation, next, failure, landings, load)))
    }
}

/// What a closure gave, in one form for all three methods.
type Loaded<V> = Result<Option<CacheEntry<V>>, Error>;

impl<K: Key + ?Sized, V: Value> Inner<K, V> {
    /// Nothing found in the first tier: ask the others, then compute.
    #[allow(clippy::too_many_arguments, reason = "all of it is the state of one operation")]
    async fn finish_compute<'a>(
        &'a self,
        kind: CacheOperation,
        key: &'a K,
        mut operation: Option<Box<Operation<'a>>>,
        next: usize,
        failure: Option<Error>,
        landings: u64,
        load: impl Future<Output = Loaded<V>> + Send,
    ) -> Loaded<V> {
        let ending = {
            let operation = operation.as_deref();
            let ticket = self.tiers.coherence.ticket(key);
            match self.tiers.ask_from(next, failure, operation, |tier, call| tier.get(key, call)).await {
                Ok(Some(found)) => {
                    self.tiers.promote(key, &found, &ticket, operation).await;
                    Ok(Computed::Found(found))
                }
                Err(error) if self.fail_closed => Err(error),
                Ok(None) | Err(_) => match &self.flights {
                    None => self.load(key, &ticket, operation, load).await.map(Computed::Loaded),
                    Some(flights) => self.fly(kind, key, &ticket, operation, flights, landings, load).await,
                },
            }
        };
        conclude(operation.as_deref_mut(), ending)
    }

    /// Runs the closure, and stores what it gives.
    async fn load<'f, 'a: 'f>(
        &'a self,
        key: &'f K,
        ticket: &'f Ticket<'f>,
        operation: Option<&'f Operation<'a>>,
        load: impl Future<Output = Loaded<V>> + Send,
    ) -> Loaded<V> {
        let loaded = match operation {
            Some(operation) => operation.load(load, how_it_went).await,
            None => load.await,
        };
        let Ok(Some(mut entry)) = loaded else { return loaded };
        self.fix_deadline(&mut entry);
        // The caller gets the value whatever becomes of it; failures are reported by the tiers.
        let _ = self.tiers.insert(key.to_owned(), entry.clone(), Origin::Computed(ticket), operation).await;
        Ok(Some(entry))
    }

    /// The same, unless somebody else is computing the key already: then waits for that.
    #[allow(clippy::too_many_arguments, reason = "all of it is the state of one operation")]
    async fn fly<'f, 'a: 'f>(
        &'a self,
        kind: CacheOperation,
        key: &'f K,
        ticket: &'f Ticket<'f>,
        operation: Option<&'f Operation<'a>>,
        flights: &'f Flights<K::Owned, V>,
        landings: u64,
        computation: impl Future<Output = Loaded<V>> + Send,
    ) -> Result<Computed<'a, V>, Error> {
        loop {
            match flights.join(key, ticket, operation.map(Operation::as_leader)) {
                Joined::Reentrant => return Err(Error::reentrant()),
                Joined::Lead(lead) => {
                    // Between the lookup and now, another flight may have landed: the very value may be there.
                    if lead.may_have_landed(landings)
                        && let Some(found) = self.look_again(key, ticket, operation).await
                    {
                        lead.land(&Landed { result: Ok(Some(found.entry.clone())), found: true });
                        return Ok(Computed::Found(found));
                    }
                    let caught = AssertUnwindSafe(lead.compute(computation)).catch_unwind();
                    let caught = caught.map(|result| result.unwrap_or_else(|payload| Err(Error::panic(&*payload))));
                    let landed = Landed { result: self.load(key, ticket, operation, caught).await, found: false };
                    lead.land(&landed);
                    return landed.result.map(Computed::Loaded);
                }
                Joined::Follow(follow) => {
                    let (leader, outdated) = (follow.leader.clone(), follow.outdated);
                    if let (Some(operation), Some(leader)) = (operation, &leader) {
                        operation.follows(leader);
                    }
                    let landed = follow.await;
                    if let Some(operation) = operation {
                        operation.waited();
                    }
                    let landed = landed.filter(|landed| {
                        // The leader's method may do with nothing; this one may not.
                        let enough = kind == CacheOperation::OptionallyGetOrInsert;
                        !outdated && (enough || !matches!(landed.result, Ok(None)))
                    });
                    match landed {
                        Some(Landed { result, found: true }) => return result.map(Computed::Followed),
                        Some(Landed { result, found: false }) => return result.map(Computed::Loaded),
                        // Nothing that could be used: whatever comes now is this operation's own work.
                        None => {
                            if let Some(operation) = operation {
                                operation.follows_no_more();
                            }
                        }
                    }
                }
            }
        }
    }

    /// Asks the tiers once more, for what may have landed since the first lookup.
    async fn look_again<'f, 'a: 'f>(
        &'a self,
        key: &'f K,
        ticket: &'f Ticket<'f>,
        operation: Option<&'f Operation<'a>>,
    ) -> Option<Found<'a, V>> {
        let found = self.tiers.ask_from(0, None, operation, |tier, call| tier.get(key, call)).await.ok().flatten()?;
        self.tiers.promote(key, &found, ticket, operation).await;
        Some(found)
    }
}

/// What the span of a closure says of its end.
fn how_it_went<V>(loaded: &Loaded<V>) -> (OperationOutcome, Option<&Error>) {
    match loaded {
        Ok(Some(_)) => (OperationOutcome::Computed, None),
        Ok(None) => (OperationOutcome::None, None),
        Err(error) if error.is_panic() => (OperationOutcome::Panicked, Some(error)),
        Err(error) => (OperationOutcome::Error, Some(error)),
    }
}

enum Computed<'a, V> {
    Found(Found<'a, V>),
    /// What the leader of the flight had found.
    Followed(Option<CacheEntry<V>>),
    Loaded(Option<CacheEntry<V>>),
}

impl<'a, V> Ending<'a> for Computed<'a, V> {
    type Returned = Option<CacheEntry<V>>;

    fn completion(&self) -> Completion<'a, '_> {
        match self {
            Self::Found(found) => found.completion(),
            Self::Followed(_) => OperationOutcome::Hit.into(),
            Self::Loaded(Some(_)) => OperationOutcome::Computed.into(),
            Self::Loaded(None) => OperationOutcome::None.into(),
        }
    }

    fn returned(self) -> Self::Returned {
        match self {
            Self::Found(found) => Some(found.entry),
            Self::Followed(entry) | Self::Loaded(entry) => entry,
        }
    }
}

/// Closures of two of the three methods always give something; this says so without a panic.
fn nothing() -> Error {
    Error::msg("the closure of a compute method gave nothing")
}
