//! `Runtime`: what a cache needs of an async runtime, and Tokio's.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::error::Error;

/// A future that a [`Runtime`] takes or makes.
pub type RuntimeFuture = Pin<Box<dyn Future<Output = ()> + Send + 'static>>;

/// What a cache needs of an async runtime: to start a task, and to wait for a time to pass.
///
/// Only caches that [refresh](crate::Tier::refresh_after) start tasks, and only time limits
/// ([`Tier::timeout`](crate::Tier::timeout), [`CacheBuilder::follower_timeout`](crate::CacheBuilder::follower_timeout)) wait.
/// With the crate's feature `tokio`, which is on by default, the Tokio runtime that an operation runs in serves for both,
/// and nothing has to be said. For any other runtime, implement this trait and give it to
/// [`CacheBuilder::runtime`](crate::CacheBuilder::runtime); the handle of a Tokio runtime implements it. With neither, a refresh,
/// and a call with a time limit that has to be waited for, fail with an error that says so
/// ([`Error::is_no_runtime`](crate::Error::is_no_runtime)); a Tokio runtime without `enable_time` counts as none for time limits, and
/// prints a panic of its own beside.
///
/// A cache with a [`ManualClock`](crate::ManualClock) waits for that clock instead, and needs a runtime only for refreshes. A
/// test that has to wait for a refresh polls it: `while cache.refreshes().running > 0 { tokio::task::yield_now().await }`.
///
/// ```
/// # #[cfg(feature = "memory")]
/// # fn main() {
/// use cachet::{Cache, Runtime, RuntimeFuture, Tier};
/// use std::time::Duration;
///
/// /// A thread for everything: simple, not cheap.
/// struct Threads;
///
/// impl Runtime for Threads {
///     fn spawn(&self, task: RuntimeFuture) {
///         std::thread::spawn(|| futures::executor::block_on(task));
///     }
///
///     fn sleep(&self, duration: Duration) -> RuntimeFuture {
///         let (done, wait) = futures::channel::oneshot::channel();
///         std::thread::spawn(move || {
///             std::thread::sleep(duration);
///             let _ = done.send(());
///         });
///         Box::pin(async {
///             let _ = wait.await;
///         })
///     }
/// }
///
/// let cache = Cache::<str, String>::builder("pages").tier(Tier::memory(100)).runtime(Threads).build();
/// # drop(cache);
/// # }
/// # #[cfg(not(feature = "memory"))]
/// # fn main() {}
/// ```
pub trait Runtime: Send + Sync + 'static {
    /// Runs a future to its end, apart from the one who calls. It may be dropped instead: what it was to do is then not
    /// done, and nothing else is lost.
    fn spawn(&self, task: RuntimeFuture);

    /// Is ready once the time has passed.
    fn sleep(&self, duration: Duration) -> RuntimeFuture;
}

/// Starts tasks in the runtime that the handle belongs to, wherever the cache is used.
#[cfg(feature = "tokio")]
impl Runtime for tokio::runtime::Handle {
    fn spawn(&self, task: RuntimeFuture) {
        // Dropping the handle of a task detaches it.
        drop(tokio::runtime::Handle::spawn(self, task));
    }

    fn sleep(&self, duration: Duration) -> RuntimeFuture {
        let _inside = self.enter();
        Box::pin(tokio::time::sleep(duration))
    }
}

/// The runtime of one cache: the one it was given, or the one that it is used in.
#[derive(Clone)]
pub(crate) struct Spawner {
    given: Option<Arc<dyn Runtime>>,
    clock: Clock,
}

impl Spawner {
    pub(crate) fn new(given: Option<Arc<dyn Runtime>>, clock: Clock) -> Self {
        Self { given, clock }
    }

    /// Whether there is a runtime.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.runtime(|_| ())
    }

    pub(crate) fn spawn(&self, task: RuntimeFuture) -> Result<(), Error> {
        self.runtime(|runtime| runtime.spawn(task))
    }

    /// Follows a manual clock, if the cache has one.
    pub(crate) fn sleep(&self, duration: Duration) -> Result<RuntimeFuture, Error> {
        match self.clock.as_manual() {
            Some(clock) => Ok(Box::pin(clock.sleep(duration))),
            None => self.runtime(|runtime| runtime.sleep(duration)),
        }
    }

    /// A runtime may refuse by a panic, as Tokio's does when its timers are not enabled.
    fn runtime<T>(&self, ask: impl FnOnce(&dyn Runtime) -> T) -> Result<T, Error> {
        let ask = |runtime: &dyn Runtime| {
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| ask(runtime)))
                .map_err(|payload| Error::no_runtime(Some(&*payload)))
        };
        match &self.given {
            Some(runtime) => ask(&**runtime),
            #[cfg(feature = "tokio")]
            None => match tokio::runtime::Handle::try_current() {
                Ok(tokio) => ask(&tokio),
                Err(_) => Err(Error::no_runtime(None)),
            },
            #[cfg(not(feature = "tokio"))]
            None => Err(Error::no_runtime(None)),
        }
    }
}

impl fmt::Debug for Spawner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spawner").field("given", &self.given.is_some()).finish_non_exhaustive()
    }
}
