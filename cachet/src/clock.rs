//! The injected clock: the system clock, the time stamp counter, and a manual clock for tests.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A point in monotonic time, in nanoseconds since the origin of the clock.
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

/// A point in wall-clock time, in nanoseconds since the Unix epoch; also valid in other processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Wall(pub(crate) u64);

impl Wall {
    /// The time since `earlier`, or `None` if `earlier` is in the future.
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

/// A duration in nanoseconds, saturating at 584 years.
pub(crate) fn nanos(duration: Duration) -> u64 {
    // In 64 bits, since it runs at every clock reading.
    duration.as_secs().saturating_mul(1_000_000_000).saturating_add(u64::from(duration.subsec_nanos()))
}

/// The time source of a cache.
///
/// Expiry, ages and durations in telemetry all use this clock. With a [`ManualClock`], a test advances the time instead of
/// waiting.
///
/// Entries in tiers of this process expire by monotonic time: a step of the wall clock neither expires nor revives them. Entries
/// from storages outside of the process expire by the wall clock.
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
    /// Returns the clock of the operating system, the default.
    pub const fn system() -> Self {
        Self(Source::System)
    }

    /// Returns a clock that reads the processor's time stamp counter, which takes about a third of the time of a system clock
    /// reading. Use it where handlers record durations or tiers have a time to live, and nanoseconds matter.
    ///
    /// It uses [`quanta`](https://docs.rs/quanta), which falls back to the system clock if the counter does not run at a constant,
    /// synchronized rate. The first call in a process calibrates the counter, which takes up to 200 ms; durations are as precise as
    /// this calibration. Wall-clock time still comes from the system.
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
        // Calibrates now rather than in the first operation.
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

/// A clock for tests that moves only when [`advance`](Self::advance) is called.
///
/// Clones share the same time. The wall clock starts at 2024-01-01T00:00:00Z. [`set_wall`](Self::set_wall) sets it, as an operator
/// or NTP may do with a real clock.
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

/// A task that waits for the clock to reach a time.
struct Sleeper {
    id: u64,
    until: u64,
    waker: Waker,
}

impl ManualClock {
    /// Creates a stopped clock.
    pub fn new() -> Self {
        const START: u64 = 1_704_067_200_000_000_000;
        Self(Arc::new(Manual { elapsed: AtomicU64::new(0), wall: AtomicU64::new(START), sleepers: Mutex::default() }))
    }

    /// Advances the monotonic time and the wall clock, and wakes the [sleeping](Self::sleep) tasks that are due.
    pub fn advance(&self, by: Duration) {
        let by = nanos(by);
        let later = |time: u64| Some(time.saturating_add(by));
        let before = self.0.elapsed.fetch_update(Ordering::AcqRel, Ordering::Acquire, later);
        let now = before.unwrap_or_else(|time| time).saturating_add(by);
        let _ = self.0.wall.fetch_update(Ordering::AcqRel, Ordering::Acquire, later);
        let due = self.sleepers().extract_if(.., |sleeper| sleeper.until <= now).collect::<Vec<_>>();
        for sleeper in due {
            sleeper.waker.wake();
        }
    }

    /// Waits until the clock has been advanced by `duration`. The timeouts of a cache with this clock use it.
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

    /// Sets the wall clock, forward or backward; the monotonic time does not change.
    pub fn set_wall(&self, time: SystemTime) {
        self.0.wall.store(Wall::from(time).0, Ordering::Release);
    }

    /// Returns the wall-clock time.
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
