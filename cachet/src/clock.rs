//! Time, injected: the system's clock, and a manual one for tests.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A point in monotonic time, in nanoseconds since an origin that belongs to the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tick(pub(crate) u64);

impl Tick {
    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    pub(crate) fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(nanos(duration)))
    }
}

/// A point in wall-clock time, in nanoseconds since the Unix epoch: what outlives the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Wall(pub(crate) u64);

impl Wall {
    /// The age of something written at `earlier`, or `None` if that lies in the future.
    pub(crate) fn since(self, earlier: Self) -> Option<Duration> {
        self.0.checked_sub(earlier.0).map(Duration::from_nanos)
    }
}

impl From<SystemTime> for Wall {
    fn from(time: SystemTime) -> Self {
        Self(time.duration_since(UNIX_EPOCH).map_or(0, nanos))
    }
}

impl From<Wall> for SystemTime {
    fn from(wall: Wall) -> Self {
        UNIX_EPOCH + Duration::from_nanos(wall.0)
    }
}

/// A duration in nanoseconds; what does not fit (584 years) counts as that long.
pub(crate) fn nanos(duration: Duration) -> u64 {
    // In 64 bits: this is done at every reading of the clock.
    duration.as_secs().saturating_mul(1_000_000_000).saturating_add(u64::from(duration.subsec_nanos()))
}

/// Where a cache gets the time from.
///
/// Everything that a cache does with time follows its clock: expiry, ages, durations in telemetry. With a
/// [`ManualClock`] nothing follows another one, so a test steps time instead of waiting for it.
///
/// Entries of tiers in this process are judged by monotonic time: a step of the wall clock neither expires nor
/// revives them. Only entries that come back from outside the process are judged by the wall clock.
///
/// ```
/// use cachet::{Clock, ManualClock};
/// use std::time::Duration;
///
/// let manual = ManualClock::new();
/// let clock = Clock::from(manual.clone());
/// let before = manual.wall();
/// manual.advance(Duration::from_secs(3));
/// assert_eq!(manual.wall(), before + Duration::from_secs(3));
/// # let _ = clock;
/// ```
#[derive(Clone, Debug, Default)]
pub struct Clock(Source);

#[derive(Clone, Debug, Default)]
enum Source {
    #[default]
    System,
    #[cfg(feature = "tsc")]
    Tsc(quanta::Clock),
    Manual(ManualClock),
}

impl Clock {
    /// The clock of the operating system; the default of every cache.
    pub const fn system() -> Self {
        Self(Source::System)
    }

    /// The processor's time stamp counter, which takes about a third of the time to read. For caches whose handlers want
    /// durations, or whose tiers have a time to live, where every nanosecond counts.
    ///
    /// On [`quanta`](https://docs.rs/quanta), which uses the counter only where the processor says that it runs at a constant
    /// rate, in step on all cores, and the system's clock anywhere else. The first call in a process measures that rate,
    /// which takes up to 200 ms; so durations are as exact as that measurement. Wall time is the system's as ever.
    ///
    /// ```
    /// use cachet::{Cache, Clock, Tier};
    ///
    /// # #[cfg(feature = "memory")]
    /// # fn main() {
    /// let cache = Cache::<str, u32>::builder("ages").tier(Tier::memory(100)).clock(Clock::tsc()).build();
    /// # drop(cache);
    /// # }
    /// # #[cfg(not(feature = "memory"))]
    /// # fn main() {}
    /// ```
    #[cfg(feature = "tsc")]
    pub fn tsc() -> Self {
        let clock = quanta::Clock::new();
        // Beforehand, so that no operation has to.
        clock.now();
        Self(Source::Tsc(clock))
    }

    #[inline]
    pub(crate) fn now(&self) -> Tick {
        match &self.0 {
            Source::System => {
                static ORIGIN: OnceLock<Instant> = OnceLock::new();
                Tick(nanos(Instant::now().saturating_duration_since(*ORIGIN.get_or_init(Instant::now))))
            }
            #[cfg(feature = "tsc")]
            Source::Tsc(clock) => Tick(clock.delta_as_nanos(0, clock.raw())),
            Source::Manual(manual) => Tick(manual.0.elapsed.load(Ordering::Acquire)),
        }
    }

    #[inline]
    pub(crate) fn wall(&self) -> Wall {
        match &self.0 {
            Source::Manual(manual) => Wall(manual.0.wall.load(Ordering::Acquire)),
            #[cfg(feature = "tsc")]
            Source::Tsc(_) => Wall::from(SystemTime::now()),
            Source::System => Wall::from(SystemTime::now()),
        }
    }
}

impl Clock {
    pub(crate) fn as_manual(&self) -> Option<&ManualClock> {
        if let Source::Manual(manual) = &self.0 { Some(manual) } else { None }
    }
}

/// A clock that moves only when told to.
///
/// Clones share the same time. The wall clock starts at 2024-01-01T00:00:00Z and moves along with
/// [`advance`](Self::advance); [`set_wall`](Self::set_wall) makes it step, as an operator or NTP may do to a real one.
///
/// ```
/// # #[cfg(feature = "memory")]
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), cachet::Error> {
/// use cachet::{Cache, ManualClock, Tier};
/// use std::time::Duration;
///
/// let clock = ManualClock::new();
/// let cache = Cache::<str, u32>::builder("ages")
///     .clock(clock.clone())
///     .tier(Tier::memory(100).ttl(Duration::from_secs(60)))
///     .build();
///
/// cache.insert("ada", 36).await?;
/// clock.advance(Duration::from_secs(60));
/// assert!(cache.get("ada").await?.is_some());
/// clock.advance(Duration::from_nanos(1));
/// assert!(cache.get("ada").await?.is_none());
/// # Ok(()) }
/// # #[cfg(not(feature = "memory"))]
/// # fn main() {}
/// ```
#[derive(Clone)]
pub struct ManualClock(Arc<Manual>);

struct Manual {
    elapsed: AtomicU64,
    wall: AtomicU64,
    sleepers: Mutex<Vec<Sleeper>>,
}

/// Somebody who waits for the clock to get somewhere.
struct Sleeper {
    id: u64,
    until: u64,
    waker: Waker,
}

impl ManualClock {
    /// A clock that stands still.
    pub fn new() -> Self {
        const START: u64 = 1_704_067_200_000_000_000;
        Self(Arc::new(Manual { elapsed: AtomicU64::new(0), wall: AtomicU64::new(START), sleepers: Mutex::default() }))
    }

    /// Moves both the monotonic time and the wall clock forward, and wakes whoever [sleeps](Self::sleep) until then.
    pub fn advance(&self, by: Duration) {
        let by = nanos(by);
        let later = |time: u64| Some(time.saturating_add(by));
        let before = self.0.elapsed.fetch_update(Ordering::AcqRel, Ordering::Acquire, later);
        let now = before.unwrap_or_else(|time| time).saturating_add(by);
        let _ = self.0.wall.fetch_update(Ordering::AcqRel, Ordering::Acquire, later);
        let refresh_due = self.sleepers().extract_if(.., |sleeper| sleeper.until <= now).collect::<Vec<_>>();
        for sleeper in refresh_due {
            sleeper.waker.wake();
        }
    }

    /// Waits until the clock has been advanced this far. The time limits of a cache with this clock wait like this.
    ///
    /// ```
    /// use cachet::ManualClock;
    /// use futures::FutureExt;
    /// use std::time::Duration;
    ///
    /// let clock = ManualClock::new();
    /// let mut nap = Box::pin(clock.sleep(Duration::from_secs(8)));
    /// clock.advance(Duration::from_secs(7));
    /// assert_eq!(nap.as_mut().now_or_never(), None);
    /// clock.advance(Duration::from_secs(1));
    /// assert_eq!(nap.now_or_never(), Some(()));
    /// ```
    pub fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send + use<> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let until = self.0.elapsed.load(Ordering::Acquire).saturating_add(nanos(duration));
        Sleep { clock: self.clone(), id: NEXT.fetch_add(1, Ordering::Relaxed), until }
    }

    fn sleepers(&self) -> MutexGuard<'_, Vec<Sleeper>> {
        self.0.sleepers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the wall clock alone, in either direction; monotonic time does not notice.
    pub fn set_wall(&self, time: SystemTime) {
        self.0.wall.store(Wall::from(time).0, Ordering::Release);
    }

    /// What the wall clock shows.
    pub fn wall(&self) -> SystemTime {
        Wall(self.0.wall.load(Ordering::Acquire)).into()
    }
}

/// The future of [`ManualClock::sleep`].
struct Sleep {
    clock: ManualClock,
    id: u64,
    until: u64,
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut sleepers = self.clock.sleepers();
        // Under the lock, so that the clock cannot be advanced in between.
        if self.clock.0.elapsed.load(Ordering::Acquire) >= self.until {
            return Poll::Ready(());
        }
        match sleepers.iter_mut().find(|sleeper| sleeper.id == self.id) {
            Some(sleeper) => sleeper.waker.clone_from(cx.waker()),
            None => sleepers.push(Sleeper { id: self.id, until: self.until, waker: cx.waker().clone() }),
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.clock.sleepers().retain(|sleeper| sleeper.id != self.id);
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for ManualClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let elapsed = Duration::from_nanos(self.0.elapsed.load(Ordering::Acquire));
        f.debug_struct("ManualClock").field("elapsed", &elapsed).field("wall", &self.wall()).finish()
    }
}

impl From<ManualClock> for Clock {
    fn from(manual: ManualClock) -> Self {
        Self(Source::Manual(manual))
    }
}
