//! The compute methods: one engine, three ways to return its result.

use std::future::Future;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use super::frame::{Frame, Method, Next, Rest};
use super::load::Loaded;
use super::{Cache, Inner};
use crate::bounds::{IntoEntry, Key, Value};
use crate::entry::CacheEntry;
use crate::error::{Error, TierError};
use crate::inflight::Lease;
use crate::inflight::flight::{Lead, Loading};
use crate::inflight::reentrance::Scope;
use crate::stack::TierStack;
use crate::telemetry::CacheOperation;
use crate::tier::erased::{EntryResult, GetResult, OnMiss};

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

/// The form in which one of the three methods returns its result.
trait ComputeOutput<K: Key + ?Sized, V: Value>: Sized {
    fn hit(tiers: &TierStack<K, V>, key: &K, on_miss: OnMiss<'_, Self>) -> Poll<Self>;

    fn of(loaded: Loaded<V>) -> Self;

    fn entry(&self) -> Option<&CacheEntry<V>>;
}

impl<K: Key + ?Sized, V: Value> ComputeOutput<K, V> for GetResult<V> {
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

impl<K: Key + ?Sized, V: Value> ComputeOutput<K, V> for EntryResult<V> {
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
    /// What the compute methods add to the frame. If an immediate tier is the only one, an unobserved miss is all done in here.
    struct Compute<'a, K, V, F, L, R>
    where
        K: Key,
        K: ?Sized,
        V: Value,
    {
        kind: CacheOperation,
        // How many loads had been completed before the lookup: it may have missed the later ones.
        completions: u64,
        // Until it is called.
        loader: Option<F>,
        // Before the flight: a loader's future is gone before a follower takes over.
        #[pin]
        loading: Option<L>,
        here: Option<Here<'a, K, V>>,
        returns: PhantomData<fn() -> R>,
    }
}

/// A load in place.
struct Here<'a, K: Key + ?Sized, V: Value> {
    cache: &'a Inner<K, V>,
    /// With stampede protection.
    lead: Option<Lead<'a, K, V, Loading>>,
    lease: Lease<'a, K, V>,
}

impl<'a, K: Key + ?Sized, V: Value, F, L, R> Compute<'a, K, V, F, L, R>
where
    F: FnOnce() -> L + Send + 'a,
    L: Future<Output = Loaded<V>> + Send + 'a,
    R: ComputeOutput<K, V>,
{
    fn new(cache: &'a Inner<K, V>, kind: CacheOperation, key: &'a K, loader: F) -> Frame<'a, K, V, Self> {
        let method =
            Self { kind, completions: 0, loader: Some(loader), loading: None, here: None, returns: PhantomData };
        Frame::new(cache, key, method)
    }
}

impl<'a, K: Key + ?Sized, V: Value, F, L, R> Method<'a, K, V> for Compute<'a, K, V, F, L, R>
where
    F: FnOnce() -> L + Send + 'a,
    L: Future<Output = Loaded<V>> + Send + 'a,
    R: ComputeOutput<K, V>,
{
    type Output = R;
    const COMPUTES: bool = true;

    #[inline]
    fn kind(&self) -> CacheOperation {
        self.kind
    }

    #[inline]
    fn begin(self: Pin<&mut Self>, cache: &'a Inner<K, V>) {
        *self.project().completions = cache.in_flight.completions();
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
        let Rest { cache, key, operation, lookup } = rest;
        let completions = *this.completions;
        let Some(loader) = this.loader.take() else { return Next::Here };
        if operation.is_none()
            && lookup.is_plain_miss()
            && cache.tiers.is_single_sync()
            && let Some((lease, lead)) = cache.lead_in_place(key, completions)
        {
            *this.here = Some(Here { cache, lead, lease });
            this.loading.set(Some(loader()));
            return Next::Here;
        }
        // Boxed by itself, an unobserved operation takes no room in the future.
        let operation = operation.take().map(Box::new);
        let load = async move { loader().await };
        Next::Boxed(Box::pin(cache.compute(*this.kind, key, operation, lookup, completions, load)))
    }

    /// Runs the loader here, and stores what it returns.
    fn poll_here(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<GetResult<V>> {
        let mut this = self.project();
        let (Some(here), Some(loading)) = (&*this.here, this.loading.as_mut().as_pin_mut()) else {
            return Poll::Pending;
        };
        let loaded = ready!(if let Some(lead) = &here.lead {
            let _scope = lead.in_progress().map(Scope::enter);
            let polled = catch_unwind(AssertUnwindSafe(|| loading.poll(cx)));
            polled.unwrap_or_else(|payload| Poll::Ready(Err(Error::caught(payload))))
        } else {
            loading.poll(cx)
        });
        this.loading.set(None);
        let Some(Here { cache, lead, lease }) = this.here.take() else { return Poll::Pending };
        Poll::Ready(cache.store_in_place(lease, lead, loaded))
    }
}

/// Loaders of two of the three methods always return something; this says so without a panic.
fn nothing() -> Error {
    Error::msg("the loader of a compute method returned nothing")
}
