//! What a library under test implements.

use std::fmt;
use std::sync::Arc;

use crate::bench::{Bench, runtime};
use crate::contention;
use crate::keys::{CAPACITY, ENTRIES, KeyForm, Keys};
use crate::operation::Operation;

/// The reason why a library does not have an operation, for a footnote.
pub type Unsupported = &'static str;

/// A library under test.
///
/// [`prepare`](Self::prepare) writes out the operations that are timed one by one, so that each is called in the way that its
/// user would. Loads of many operations go through [`get`](Self::get) and [`insert`](Self::insert).
pub trait Peer: 'static {
    /// The name in tables.
    const NAME: &'static str;

    /// The package that it is published in; `None` for a package of this workspace.
    const PACKAGE: Option<&'static str>;

    /// Its cache for keys of one form.
    type Cache<K: KeyForm + ?Sized>: Send + Sync + 'static;

    /// Creates a cache for the given number of entries.
    ///
    /// # Errors
    ///
    /// Fails if the library has no cache for such keys.
    fn cache<K: KeyForm + ?Sized>(capacity: usize) -> Result<Self::Cache<K>, Unsupported>;

    /// Looks a key up, and returns whether it has an entry.
    fn get<K: KeyForm + ?Sized>(cache: &Self::Cache<K>, key: &K) -> impl Future<Output = bool>;

    /// Stores an entry, and returns whether the cache took it.
    fn insert<K: KeyForm + ?Sized>(cache: &Self::Cache<K>, key: K::Owned, value: u64) -> impl Future<Output = bool>;

    /// Completes what the library defers after a series of inserts.
    fn settle<K: KeyForm + ?Sized>(_cache: &Self::Cache<K>) -> impl Future<Output = ()> {
        async {}
    }

    /// Prepares an operation on a cache of its own that holds [`ENTRIES`] entries.
    ///
    /// # Errors
    ///
    /// Fails if the library does not have the operation.
    fn prepare<K: KeyForm + ?Sized>(operation: Operation, keys: Keys) -> Result<Bench, Unsupported>;

    /// Fills a cache with the resident entries.
    fn fill<K: KeyForm + ?Sized>(cache: Self::Cache<K>, keys: Keys) -> Self::Cache<K> {
        runtime().block_on(async {
            for number in 0..ENTRIES {
                assert!(Self::insert::<K>(&cache, K::owned(keys, number), number).await, "the cache does not fill");
            }
            Self::settle::<K>(&cache).await;
        });
        cache
    }

    /// Creates a cache that holds the resident entries.
    ///
    /// # Errors
    ///
    /// Fails if the library has no cache for such keys.
    fn filled<K: KeyForm + ?Sized>(keys: Keys) -> Result<Self::Cache<K>, Unsupported> {
        Ok(Self::fill::<K>(Self::cache::<K>(CAPACITY)?, keys))
    }

    /// Prepares reads and writes by the given number of threads over keys of skewed popularity.
    ///
    /// # Errors
    ///
    /// Fails if the library has no cache for such keys.
    fn mixed<K: KeyForm + ?Sized>(keys: Keys, threads: usize) -> Result<Bench, Unsupported> {
        let reader = Arc::new(Self::filled::<K>(keys)?);
        let writer = Arc::clone(&reader);
        Ok(contention::mixed::<K>(
            keys,
            threads,
            async move |key: &K| Self::get::<K>(&reader, key).await,
            async move |key: K::Owned, value| Self::insert::<K>(&writer, key, value).await,
        ))
    }

    /// Prepares the replay of a trace through a cache of the given capacity.
    ///
    /// # Errors
    ///
    /// Fails if the library has no cache for numbers.
    fn replay(capacity: usize) -> Result<Replay, Unsupported> {
        Self::cache::<u64>(capacity).map(Replay::of::<Self>)
    }
}

/// A cache that a trace is run through.
pub struct Replay(Box<Run>);

type Run = dyn FnMut(&[u64]) -> u64;

impl Replay {
    /// Replays through the given cache.
    pub fn of<P: Peer + ?Sized>(cache: P::Cache<u64>) -> Self {
        Self(Box::new(move |pages| {
            runtime().block_on(async {
                let mut hits = 0;
                for page in pages {
                    if P::get::<u64>(&cache, page).await {
                        hits += 1;
                    } else {
                        P::insert::<u64>(&cache, *page, *page).await;
                    }
                }
                hits
            })
        }))
    }

    /// Looks every page up, inserts those that are missing, and returns the number of hits.
    pub fn run(&mut self, pages: &[u64]) -> u64 {
        (self.0)(pages)
    }
}

impl fmt::Debug for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replay").finish_non_exhaustive()
    }
}

/// A [`Peer`] as a value, an element of a list.
#[derive(Clone, Copy, Debug)]
pub struct Library {
    /// The name in tables.
    pub name: &'static str,
    /// The package that it is published in; `None` for a package of this workspace.
    pub package: Option<&'static str>,
    pub(crate) numbers: fn(Operation, Keys) -> Result<Bench, Unsupported>,
    pub(crate) texts: fn(Operation, Keys) -> Result<Bench, Unsupported>,
    pub(crate) replay: fn(usize) -> Result<Replay, Unsupported>,
}

impl Library {
    /// The library of the given type.
    pub const fn of<P: Peer>() -> Self {
        Self {
            name: P::NAME,
            package: P::PACKAGE,
            numbers: P::prepare::<u64>,
            texts: P::prepare::<str>,
            replay: P::replay,
        }
    }
}
