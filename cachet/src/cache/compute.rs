//! The compute methods: one engine, three ways to put its result.

use std::error::Error as StdError;
use std::future::Future;

use super::read::{Begun, Search};
use super::{Cache, Ending, Inner, conclude};
use crate::fallback::Found;
use crate::telemetry::{CacheOperation, Completion, OperationOutcome};
use crate::tier::erased::{Origin, Step, settle};
use crate::{CacheEntry, Error, Key, Value};

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
    /// A panic of the closure unwinds to the caller.
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
    #[must_use = "futures do nothing unless awaited"]
    pub async fn get_or_insert<F, Fut, E>(&self, key: &K, compute: F) -> Result<CacheEntry<V>, Error>
    where
        F: FnOnce() -> Fut + Send,
        Fut: Future<Output = E> + Send,
        E: Into<CacheEntry<V>>,
    {
        let load = async move { Ok(Some(compute().await.into())) };
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
    /// A panic of the closure unwinds to the caller.
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
    #[must_use = "futures do nothing unless awaited"]
    pub async fn try_get_or_insert<F, Fut, E, X>(&self, key: &K, compute: F) -> Result<CacheEntry<V>, Error>
    where
        F: FnOnce() -> Fut + Send,
        Fut: Future<Output = Result<E, X>> + Send,
        E: Into<CacheEntry<V>>,
        X: Into<Box<dyn StdError + Send + Sync>>,
    {
        let load = async move {
            match compute().await {
                Ok(entry) => Ok(Some(entry.into())),
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
    /// A panic of the closure unwinds to the caller.
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
    #[must_use = "futures do nothing unless awaited"]
    pub async fn optionally_get_or_insert<F, Fut, E>(&self, key: &K, compute: F) -> Result<Option<CacheEntry<V>>, Error>
    where
        F: FnOnce() -> Fut + Send,
        Fut: Future<Output = Option<E>> + Send,
        E: Into<CacheEntry<V>>,
    {
        let load = async move { Ok(compute().await.map(Into::into)) };
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
        let search = match inner.begin_read(kind, key, |tier, call| tier.get(key, call)) {
            Begun::Hit(entry) => return Step::Ready(Ok(Some(entry))),
            Begun::Open(search) => search,
        };
        Step::Wait(Box::pin(inner.finish_compute(key, search, load)))
    }
}

/// What a closure gave, in one form for all three methods.
type Loaded<V> = Result<Option<CacheEntry<V>>, Error>;

impl<K: Key + ?Sized, V: Value> Inner<K, V> {
    async fn finish_compute<'a>(
        &'a self,
        key: &'a K,
        search: Search<'a>,
        load: impl Future<Output = Loaded<V>> + Send,
    ) -> Loaded<V> {
        let Search { mut operation, next, failure } = search;
        let ending = {
            let operation = operation.as_ref();
            let ticket = self.tiers.coherence.ticket(key);
            match self.tiers.ask_from(next, failure, operation, |tier, call| tier.get(key, call)).await {
                Ok(Some(found)) => {
                    self.tiers.promote(key, &found, &ticket, operation).await;
                    Ok(Computed::Found(found))
                }
                Err(error) if self.fail_closed => Err(error),
                Ok(None) | Err(_) => {
                    let loaded = match operation {
                        Some(operation) => operation.load(load, |loaded| loaded.as_ref().err()).await,
                        None => load.await,
                    };
                    match loaded {
                        Ok(Some(mut entry)) => {
                            self.fix_deadline(&mut entry);
                            let origin = Origin::Computed(&ticket);
                            // The caller gets the value whatever becomes of it; failures are reported by the tiers.
                            let _ = self.tiers.insert(key.to_owned(), entry.clone(), origin, operation).await;
                            Ok(Computed::Loaded(entry))
                        }
                        Ok(None) => Ok(Computed::Nothing),
                        Err(error) => Err(error),
                    }
                }
            }
        };
        conclude(&mut operation, ending)
    }
}

enum Computed<'a, V> {
    Found(Found<'a, V>),
    Loaded(CacheEntry<V>),
    Nothing,
}

impl<'a, V> Ending<'a> for Computed<'a, V> {
    type Returned = Option<CacheEntry<V>>;

    fn completion(&self) -> Completion<'a, '_> {
        match self {
            Self::Found(found) => found.completion(),
            Self::Loaded(_) => OperationOutcome::Computed.into(),
            Self::Nothing => OperationOutcome::None.into(),
        }
    }

    fn returned(self) -> Self::Returned {
        match self {
            Self::Found(found) => Some(found.entry),
            Self::Loaded(entry) => Some(entry),
            Self::Nothing => None,
        }
    }
}

/// Closures of two of the three methods always give something; this says so without a panic.
fn nothing() -> Error {
    Error::msg("the closure of a compute method gave nothing")
}
