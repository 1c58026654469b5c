//! The compute methods: one engine, three ways to put its result.

use std::future::Future;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::FutureExt;
use futures_util::future::{Either, select};
use pin_project_lite::pin_project;

use super::frame::{Frame, Method, Next, Rest};
use super::{Cache, Finish, Inner, finish};
use crate::bounds::{IntoEntry, Key, Value};
use crate::entry::CacheEntry;
use crate::error::{Error, TierError};
use crate::inflight::{FlightResult, Follow, Joined, Lease, Scope};
use crate::stack::{Found, Lookup, TierStack};
use crate::telemetry::{CacheOperation, Completion, Operation, OperationOutcome, defer_evictions};
use crate::tier::erased::{EntryResult, GetResult, OnMiss, Origin};

impl<K: Key + ?Sized, V: Value> Cache<K, V> {
    /// Looks up an entry; on a miss, runs the closure (the loader) and stores its value.
    ///
    /// The loader runs at most once; the closure and its future must be `Send`. It returns a value, or a
    /// [`CacheEntry`] with its own time to live. The value is also returned if it cannot be stored.
    ///
    /// # Errors
    ///
    /// A failing tier is reported and the loader runs. If the cache [fails closed](crate::CacheBuilder::fail_closed), the error of
    /// the tier is returned instead. With [stampede protection](crate::CacheBuilder::stampede_protection), a follower returns the
    /// error of its leader.
    ///
    /// # Panics
    ///
    /// A panic of the loader unwinds to the caller. With [stampede protection](crate::CacheBuilder::stampede_protection) it becomes
    /// an error instead.
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
    /// // With its own time to live:
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
    pub fn get_or_insert<'a, F, Fut, E>(
        &'a self,
        key: &'a K,
        compute: F,
    ) -> impl Future<Output = Result<CacheEntry<V>, Error>> + Send
    where
        F: FnOnce() -> Fut + Send + 'a,
        Fut: Future<Output = E> + Send + 'a,
        E: IntoEntry<V>,
    {
        let load = || async { Ok(Some(compute().await.into_entry())) };
        Compute::<_, _, _, _, EntryResult<V>>::new(&self.0, CacheOperation::GetOrInsert, key, load)
    }

    /// Looks up an entry; on a miss, runs a loader that can fail and stores its value. An error is not stored: the next call runs
    /// its loader again. See also [`get_or_insert`](Self::get_or_insert).
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`get_or_insert`](Self::get_or_insert). If the loader fails, returns an error for which
    /// [`is_load`](Error::is_load) is true; its [`source_as`](Error::source_as) returns the loader's error with its type.
    ///
    /// # Panics
    ///
    /// A panic of the loader unwinds to the caller. With [stampede protection](crate::CacheBuilder::stampede_protection) it becomes
    /// an error instead.
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
    ///
    /// // A loader that uses `?` has to name its error type.
    /// # async fn render() -> io::Result<String> { Ok("<html>".to_owned()) }
    /// let page = pages.try_get_or_insert("index", || async { Ok::<_, io::Error>(render().await? + "</html>") }).await;
    /// assert_eq!(*page.unwrap(), "<html></html>");
    /// # }
    /// # #[cfg(not(feature = "memory"))]
    /// # fn main() {}
    /// ```
    #[doc(alias = "try_get_with")]
    pub fn try_get_or_insert<'a, F, Fut, E, X>(
        &'a self,
        key: &'a K,
        compute: F,
    ) -> impl Future<Output = Result<CacheEntry<V>, Error>> + Send
    where
        F: FnOnce() -> Fut + Send + 'a,
        Fut: Future<Output = Result<E, X>> + Send + 'a,
        E: IntoEntry<V>,
        X: Into<TierError>,
    {
        let load = || async {
            match compute().await {
                Ok(entry) => Ok(Some(entry.into_entry())),
                Err(error) => Err(Error::load(error)),
            }
        };
        Compute::<_, _, _, _, EntryResult<V>>::new(&self.0, CacheOperation::TryGetOrInsert, key, load)
    }

    /// Looks up an entry; on a miss, runs a loader that returns an `Option` and stores its value. `None` is not stored: the next call
    /// runs its loader again. See also [`get_or_insert`](Self::get_or_insert).
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`get_or_insert`](Self::get_or_insert).
    ///
    /// # Panics
    ///
    /// A panic of the loader unwinds to the caller. With [stampede protection](crate::CacheBuilder::stampede_protection) it becomes
    /// an error instead.
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
    /// let unknown = users.optionally_get_or_insert(&7, || async { None::<String> }).await?;
    /// assert!(unknown.is_none());
    /// # Ok(()) }
    /// # #[cfg(not(feature = "memory"))]
    /// # fn main() {}
    /// ```
    ///
    /// # Negative caching
    ///
    /// To cache the absence of a value, use `Option` as the value type and give `None` its own time to live. If the loader can also
    /// fail, do the same with [`try_get_or_insert`](Self::try_get_or_insert).
    ///
    /// ```
    /// # #[cfg(feature = "memory")]
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), cachet::Error> {
    /// use cachet::{Cache, CacheEntry, Tier};
    /// use std::time::Duration;
    ///
    /// # async fn look_up(_id: u64) -> Result<Option<String>, std::io::Error> { Ok(None) }
    /// let users = Cache::<u64, Option<String>>::builder("users").tier(Tier::memory(1000)).build();
    /// let user = users
    ///     .optionally_get_or_insert(&7, || async {
    ///         match look_up(7).await {
    ///             Ok(Some(name)) => Some(CacheEntry::new(Some(name))),
    ///             Ok(None) => Some(CacheEntry::expires_after(None, Duration::from_secs(30))),
    ///             // A failure is not cached.
    ///             Err(_) => None,
    ///         }
    ///     })
    ///     .await?;
    /// assert_eq!(user.map(CacheEntry::into_value), Some(None));
    /// # Ok(()) }
    /// # #[cfg(not(feature = "memory"))]
    /// # fn main() {}
    /// ```
    pub fn optionally_get_or_insert<'a, F, Fut, E>(
        &'a self,
        key: &'a K,
        compute: F,
    ) -> impl Future<Output = Result<Option<CacheEntry<V>>, Error>> + Send
    where
        F: FnOnce() -> Fut + Send + 'a,
        Fut: Future<Output = Option<E>> + Send + 'a,
        E: IntoEntry<V>,
    {
        let load = || async { Ok(compute().await.map(IntoEntry::into_entry)) };
        Compute::<_, _, _, _, GetResult<V>>::new(&self.0, CacheOperation::OptionallyGetOrInsert, key, load)
    }
}

/// What a closure gave, in one form for all three methods.
type Loaded<V> = Result<Option<CacheEntry<V>>, Error>;

/// The form in which one of the three methods returns its result.
trait Outcome<K: Key + ?Sized, V: Value>: Sized {
    fn hit(tiers: &TierStack<K, V>, key: &K, on_miss: OnMiss<'_, Self>) -> Poll<Self>;

    fn of(loaded: Loaded<V>) -> Self;

    fn entry(&self) -> Option<&CacheEntry<V>>;
}

impl<K: Key + ?Sized, V: Value> Outcome<K, V> for GetResult<V> {
    #[inline]
    fn hit(tiers: &TierStack<K, V>, key: &K, on_miss: OnMiss<'_, Self>) -> Poll<Self> {
        tiers.hit(key, on_miss)
    }

    fn of(loaded: Loaded<V>) -> Self {
        loaded
    }

    #[inline]
    fn entry(&self) -> Option<&CacheEntry<V>> {
        self.as_ref().ok()?.as_ref()
    }
}

impl<K: Key + ?Sized, V: Value> Outcome<K, V> for EntryResult<V> {
    #[inline]
    fn hit(tiers: &TierStack<K, V>, key: &K, on_miss: OnMiss<'_, Self>) -> Poll<Self> {
        tiers.hit_entry(key, on_miss)
    }

    fn of(loaded: Loaded<V>) -> Self {
        loaded?.ok_or_else(nothing)
    }

    #[inline]
    fn entry(&self) -> Option<&CacheEntry<V>> {
        self.as_ref().ok()
    }
}

pin_project! {
    /// What the compute methods add to the frame. When an immediate tier is the only one, and nobody listens, a miss is all
    /// done in here.
    struct Compute<'a, K, V, F, L, R>
    where
        K: Key,
        K: ?Sized,
        V: Value,
    {
        kind: CacheOperation,
        // Until it is called.
        closure: Option<F>,
        // Before the lease: a closure's future is gone before somebody else computes.
        #[pin]
        loading: Option<L>,
        here: Option<(&'a Inner<K, V>, &'a K, Lease<'a, K, V>)>,
        returns: PhantomData<fn() -> R>,
    }
}

impl<'a, K: Key + ?Sized, V: Value, F, L, R> Compute<'a, K, V, F, L, R>
where
    F: FnOnce() -> L + Send + 'a,
    L: Future<Output = Loaded<V>> + Send + 'a,
    R: Outcome<K, V>,
{
    fn new(cache: &'a Inner<K, V>, kind: CacheOperation, key: &'a K, closure: F) -> Frame<'a, K, V, Self> {
        let method = Self { kind, closure: Some(closure), loading: None, here: None, returns: PhantomData };
        Frame::new(cache, key, method)
    }
}

impl<'a, K: Key + ?Sized, V: Value, F, L, R> Method<'a, K, V> for Compute<'a, K, V, F, L, R>
where
    F: FnOnce() -> L + Send + 'a,
    L: Future<Output = Loaded<V>> + Send + 'a,
    R: Outcome<K, V>,
{
    type Output = R;
    const COMPUTES: bool = true;

    #[inline]
    fn kind(&self) -> CacheOperation {
        self.kind
    }

    #[inline]
    fn ask(cache: &'a Inner<K, V>, key: &K, on_miss: OnMiss<'_, R>) -> Poll<R> {
        R::hit(&cache.tiers, key, on_miss)
    }

    #[inline]
    fn entry(output: &R) -> Option<&CacheEntry<V>> {
        output.entry()
    }

    #[inline]
    fn output(looked: GetResult<V>) -> R {
        R::of(looked)
    }

    fn rest(self: Pin<&mut Self>, rest: Rest<'_, 'a, K, V>) -> Next<'a, V> {
        let mut this = self.project();
        let Rest { cache, key, operation, lookup, completions } = rest;
        let Some(closure) = this.closure.take() else { return Next::Here };
        if operation.is_none() && lookup.next == 1 && lookup.failure.is_none() && cache.tiers.is_single_sync() {
            let (lease, joined) = if cache.options.stampede_protection {
                cache.in_flight.join(key)
            } else {
                (cache.in_flight.lease(key), Joined::Lead)
            };
            // Whoever has to wait, or to look again, does so in a box, with a lease of its own.
            if let Joined::Lead = joined
                && !lease.may_have_completed_since(completions)
            {
                *this.here = Some((cache, key, lease));
                this.loading.set(Some(closure()));
                return Next::Here;
            }
        }
        // Boxed by itself, an operation that nobody listens to takes no room in the future.
        let operation = operation.take().map(Box::new);
        let load = async move { closure().await };
        Next::Boxed(Box::pin(cache.compute(*this.kind, key, operation, lookup, completions, load)))
    }

    /// Runs the closure here, and stores what it gives.
    fn poll_here(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<GetResult<V>> {
        let mut this = self.project();
        let (Some((cache, _, lease)), Some(loading)) = (&*this.here, this.loading.as_mut().as_pin_mut()) else {
            return Poll::Pending;
        };
        let mut loaded = ready!(if cache.options.stampede_protection {
            let _scope = lease.flight().map(Scope::enter);
            let polled = catch_unwind(AssertUnwindSafe(|| loading.poll(cx)));
            polled.unwrap_or_else(|payload| Poll::Ready(Err(Error::panic(&*payload))))
        } else {
            loading.poll(cx)
        });
        this.loading.set(None);
        let Some((cache, key, lease)) = this.here.take() else { return Poll::Pending };
        // The caller gets the value whatever becomes of it. The tier is an immediate one: there is nothing to wait for.
        let mut entry = None;
        if let Ok(Some(loaded)) = &mut loaded {
            cache.fix_deadline(loaded);
            entry = Some((key.to_owned(), loaded.clone()));
        }
        if cache.tiers.inserts_directly() {
            let store = || {
                if let Some((key, entry)) = entry {
                    let _ = cache.tiers.insert_first(key, entry, Origin::Direct);
                }
            };
            defer_evictions(|| lease.commit_and_complete(store, &loaded, None));
        } else {
            if let Some((key, entry)) = entry {
                let _ = cache.tiers.insert_first(key, entry, Origin::Computed(&lease));
            }
            lease.complete(&loaded, None);
        }
        Poll::Ready(loaded)
    }
}

impl<K: Key + ?Sized, V: Value> Inner<K, V> {
    /// Nothing found in the first tier: ask the others, then compute.
    async fn compute<'a>(
        &'a self,
        kind: CacheOperation,
        key: &'a K,
        mut operation: Option<Box<Operation<'a>>>,
        mut lookup: Lookup<'a, V>,
        completions: u64,
        load: impl Future<Output = Loaded<V>> + Send,
    ) -> Loaded<V> {
        let ending = {
            let operation = operation.as_deref();
            let lease = self.in_flight.lease(key);
            if let Some(found) = self.find(key, &mut lookup, &lease, operation).await {
                Ok(Computed::Found(found))
            } else {
                let has_failed = lookup.failure.is_some();
                let computed = match lookup.failure.take() {
                    Some(error) if self.options.fail_closed => Err(error),
                    _ if self.options.stampede_protection => {
                        let asked = FlightRequest { kind, completions, operation };
                        self.join_flight(key, lease, asked, load).await
                    }
                    _ => self.load(key, &lease, operation, load).await.map(Computed::Loaded),
                };
                match computed {
                    // Not every source has answered: a spare may yet be wanted.
                    Ok(Computed::Loaded(None)) if has_failed => computed,
                    computed => self.or_stale(key, computed, lookup.stale, operation).await,
                }
            }
        };
        finish(operation.as_deref_mut(), ending)
    }

    /// Everything has been tried: an expired entry may be better than an error.
    async fn or_stale<'f, 'a: 'f>(
        &'a self,
        key: &'f K,
        computed: Result<Computed<'a, V>, Error>,
        stale: Vec<Found<'a, V>>,
        operation: Option<&'f Operation<'a>>,
    ) -> Result<Computed<'a, V>, Error> {
        match computed {
            Err(error) if !error.is_reentrant() => match stale.into_iter().next() {
                Some(stale) => Ok(Computed::Found(stale.masking(error))),
                None => Err(error),
            },
            Ok(Computed::Loaded(None)) => {
                self.tiers.evict_stale(key, &stale, operation).await;
                Ok(Computed::Loaded(None))
            }
            computed => computed,
        }
    }

    /// Runs the closure, and stores what it gives.
    async fn load<'f, 'a: 'f>(
        &'a self,
        key: &'f K,
        lease: &'f Lease<'f, K, V>,
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
        let _ = self.tiers.insert(key.to_owned(), entry.clone(), Origin::Computed(lease), operation).await;
        Ok(Some(entry))
    }

    /// The same, unless somebody else is computing the key already: then waits for that.
    async fn join_flight<'f, 'a: 'f>(
        &'a self,
        key: &'f K,
        mut lease: Lease<'f, K, V>,
        asked: FlightRequest<'f, 'a>,
        load: impl Future<Output = Loaded<V>> + Send,
    ) -> Result<Computed<'a, V>, Error> {
        let FlightRequest { kind, completions, operation } = asked;
        loop {
            match lease.join(key, operation.map(Operation::as_leader)) {
                Joined::Reentrant => return Err(Error::reentrant()),
                Joined::Lead => {
                    // Between the lookup and now, another flight may have completed: the very value may be there.
                    if lease.may_have_completed_since(completions)
                        && let Some(found) = self.find(key, &mut Lookup::from_the_first(), &lease, operation).await
                    {
                        lease.complete(&Ok(Some(found.entry.clone())), Some(found.completion().outcome));
                        return Ok(Computed::Found(found));
                    }
                    let loaded = self.load(key, &lease, operation, caught(lease.compute(load))).await;
                    lease.complete(&loaded, None);
                    return loaded.map(Computed::Loaded);
                }
                Joined::Follow(follow) => {
                    let (leader, superseded) = (follow.leader.clone(), follow.superseded);
                    if let (Some(operation), Some(leader)) = (operation, &leader) {
                        operation.follows(leader);
                    }
                    let mark_waited = self.wait_for(follow).await?;
                    if let Some(operation) = operation {
                        operation.mark_waited();
                    }
                    let completed = mark_waited.as_ref().and_then(Option::as_ref).filter(|completed| {
                        // The leader's method may do with nothing; this one may not.
                        let enough = kind == CacheOperation::OptionallyGetOrInsert;
                        !superseded && (enough || !matches!(completed.result, Ok(None)))
                    });
                    if let Some(FlightResult { result, found }) = completed {
                        return result.clone().map(|entry| match *found {
                            Some(outcome) => Computed::Followed(entry, outcome),
                            None => Computed::Loaded(entry),
                        });
                    }
                    // Nothing that could be used: whatever comes now is this operation's own work.
                    if let Some(operation) = operation {
                        operation.clear_leader();
                    }
                    if mark_waited.is_none() {
                        return self.load(key, &lease, operation, caught(load)).await.map(Computed::Loaded);
                    }
                }
            }
        }
    }

    /// Waits for what a leader brings; `None` if that takes longer than it may.
    async fn wait_for(&self, follow: Follow<V>) -> Result<Option<Option<FlightResult<V>>>, Error> {
        let Some((limit, spawner)) = &self.options.follower_timeout else { return Ok(Some(follow.await)) };
        match select(follow, spawner.sleep(*limit)?).await {
            Either::Left((completed, _)) => Ok(Some(completed)),
            Either::Right(((), _)) => Ok(None),
        }
    }
}

/// Who asks for a flight.
struct FlightRequest<'f, 'a> {
    kind: CacheOperation,
    completions: u64,
    operation: Option<&'f Operation<'a>>,
}

/// With stampede protection a panic of the closure is an error, for everybody.
fn caught<V>(load: impl Future<Output = Loaded<V>> + Send) -> impl Future<Output = Loaded<V>> + Send {
    let caught = AssertUnwindSafe(load).catch_unwind();
    caught.map(|loaded| loaded.unwrap_or_else(|payload| Err(Error::panic(&*payload))))
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
    /// What the leader of the flight had found, and how its lookup ended.
    Followed(Option<CacheEntry<V>>, OperationOutcome),
    Loaded(Option<CacheEntry<V>>),
}

impl<'a, V> Finish<'a> for Computed<'a, V> {
    type Output = Option<CacheEntry<V>>;

    fn completion(&self) -> Completion<'a, '_> {
        match self {
            Self::Found(found) => found.completion(),
            Self::Followed(_, outcome) => (*outcome).into(),
            Self::Loaded(Some(_)) => OperationOutcome::Computed.into(),
            Self::Loaded(None) => OperationOutcome::None.into(),
        }
    }

    fn into_output(self) -> Self::Output {
        match self {
            Self::Found(found) => Some(found.entry),
            Self::Followed(entry, _) | Self::Loaded(entry) => entry,
        }
    }
}

/// Closures of two of the three methods always give something; this says so without a panic.
fn nothing() -> Error {
    Error::msg("the closure of a compute method gave nothing")
}
