//! `Runtime`: the interface to an async runtime, and its implementation for Tokio.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::error::Error;

/// A boxed future that a [`Runtime`] spawns or returns.
pub type RuntimeFuture = Pin<Box<dyn Future<Output = ()> + Send + 'static>>;

/// Spawns tasks and timers for a cache.
///
/// A cache spawns tasks only for [refreshes](crate::Tier::refresh_after), and uses timers only for time limits: those of refreshes,
/// [`Tier::timeout`](crate::Tier::timeout) and, of [`CacheBuilder`](crate::CacheBuilder), `time_limit`, `load_timeout` and
/// `follower_timeout`. With the crate's feature `tokio`, which is on by
/// default, it uses the Tokio runtime of the calling task. For another runtime, implement this trait and pass it to
/// [`CacheBuilder::runtime`](crate::CacheBuilder::runtime); a Tokio `Handle` implements it.
///
/// Without a runtime, a refresh or a timeout fails with an error for which
/// [`is_no_runtime`](crate::Error::is_no_runtime) is true; calls that complete at once need no timer. A Tokio runtime without
/// `enable_time` has no timers, and one that has been shut down runs none: a timeout then fails in the same way, and Tokio prints
/// its own panic message.
///
/// With a [`ManualClock`](crate::ManualClock), timers follow that clock, and only refreshes need a runtime. To wait for a refresh
/// in a test: `while cache.refreshes().running > 0 { tokio::task::yield_now().await }`.
///
/// ```
/// # #[cfg(feature = "memory")]
/// # fn main() {
/// use cachet::future::RuntimeFuture;
/// use cachet::{Cache, Runtime, Tier};
/// use std::time::Duration;
///
/// /// Starts a thread for each task and timer: simple, but slow.
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
    /// Runs a future in the background. If the runtime drops the future, that refresh is cancelled; the cache stays usable.
    fn spawn(&self, task: RuntimeFuture);

    /// Returns a future that completes after `duration`.
    fn sleep(&self, duration: Duration) -> RuntimeFuture;
}

/// Spawns tasks on the runtime of the handle, regardless of the calling task.
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

/// The runtime of one cache: the configured one, or the Tokio runtime of the calling task.
#[derive(Clone)]
pub(crate) struct Spawner {
    given: Option<Arc<dyn Runtime>>,
    clock: Clock,
}

impl Spawner {
    pub(crate) fn new(given: Option<Arc<dyn Runtime>>, clock: Clock) -> Self {
        Self { given, clock }
    }

    /// Returns an error if there is no runtime.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.runtime(|_| ())
    }

    pub(crate) fn spawn(&self, task: RuntimeFuture) -> Result<(), Error> {
        self.runtime(|runtime| runtime.spawn(task))
    }

    /// Follows the manual clock if the cache has one.
    pub(crate) fn sleep(&self, duration: Duration) -> Result<RuntimeFuture, Error> {
        match self.clock.as_manual() {
            Some(clock) => Ok(Box::pin(clock.sleep(duration))),
            None => self.runtime(|runtime| runtime.sleep(duration)),
        }
    }

    /// Catches panics: Tokio panics if its timers are not enabled.
    fn runtime<T>(&self, ask: impl FnOnce(&dyn Runtime) -> T) -> Result<T, Error> {
        let ask = |runtime: &dyn Runtime| {
            catch_unwind(AssertUnwindSafe(|| ask(runtime))).map_err(|payload| Error::no_runtime(Some(payload)))
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
