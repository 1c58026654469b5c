//! `CacheEntry`: a value with what a cache knows about its age.

use std::fmt;
use std::ops::Deref;
use std::time::{Duration, SystemTime};

use crate::clock::{Clock, Tick, Wall, nanos};

/// A value in a cache, with its own time to live, if it has one, and the time of its insertion.
///
/// Dereferences to the value. `From<V>` makes an entry without a time to live, so wherever an entry is wanted
/// (`insert`, the closures of the compute methods) a plain value will do.
///
/// ```
/// use cachet::CacheEntry;
/// use std::time::Duration;
///
/// let plain = CacheEntry::new("page");
/// assert_eq!(plain.len(), 4);
/// assert_eq!((plain.ttl(), plain.inserted_at()), (None, None));
///
/// let short = CacheEntry::expires_after("page", Duration::from_secs(5));
/// let upper = short.map(str::to_uppercase);
/// assert_eq!(upper.ttl(), Some(Duration::from_secs(5)));
/// assert_eq!(upper.into_value(), "PAGE");
/// ```
///
/// # In a tier of your own
///
/// Keep the whole entry, not only its value: the cache stamps an entry when it is inserted into a tier, and judges
/// its age by that stamp when it comes back. A tier that writes to disk or over the network stores
/// [`ttl`](Self::ttl) and [`inserted_at`](Self::inserted_at) beside the value, and returns
/// [`CacheEntry::restore`].
#[derive(Clone)]
pub struct CacheEntry<V> {
    pub(crate) value: V,
    pub(crate) ttl: OptionalNanos,
    /// When it was inserted into the tier it is in: monotonic, meaningful within this process only.
    pub(crate) tick: OptionalNanos,
    /// The same by the wall clock, for tiers that outlive the process.
    pub(crate) wall: OptionalNanos,
}

/// `Option<u64>` in eight bytes: entries are what a memory tier is full of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct OptionalNanos(u64);

impl OptionalNanos {
    pub(crate) const NONE: Self = Self(u64::MAX);

    /// The largest value stands for none, so that value itself becomes one nanosecond less.
    const fn some(nanos: u64) -> Self {
        Self(if nanos == u64::MAX { u64::MAX - 1 } else { nanos })
    }

    fn from_ttl(ttl: Option<Duration>) -> Self {
        ttl.map_or(Self::NONE, |ttl| Self::some(nanos(ttl)))
    }

    #[inline]
    const fn get(self) -> Option<u64> {
        if self.0 == u64::MAX { None } else { Some(self.0) }
    }
}

impl<V> CacheEntry<V> {
    /// An entry without a time to live of its own: the tiers' rules apply.
    pub const fn new(value: V) -> Self {
        Self { value, ttl: OptionalNanos::NONE, tick: OptionalNanos::NONE, wall: OptionalNanos::NONE }
    }

    /// An entry with a time to live of its own, which beats that of every tier in both directions.
    ///
    /// The deadline is fixed when the entry is inserted into a cache, and travels with it from tier to tier. An
    /// entry is fresh at the very age of its time to live, and expired after it; a `ttl` of zero therefore means
    /// "expired as soon as the clock has moved".
    pub fn expires_after(value: V, ttl: Duration) -> Self {
        Self { ttl: OptionalNanos::from_ttl(Some(ttl)), ..Self::new(value) }
    }

    /// An entry as a tier stored it: for tiers that write to disk or over the network, and keep
    /// [`ttl`](Self::ttl) and [`inserted_at`](Self::inserted_at) beside the value.
    ///
    /// Its age follows the wall clock.
    ///
    /// ```
    /// use cachet::CacheEntry;
    /// use std::time::{Duration, SystemTime};
    ///
    /// let stored_at = SystemTime::now() - Duration::from_secs(2);
    /// let entry = CacheEntry::restore("page", Some(Duration::from_secs(5)), stored_at);
    /// assert_eq!(entry.expires_at(), Some(stored_at + Duration::from_secs(5)));
    /// ```
    pub fn restore(value: V, ttl: Option<Duration>, inserted_at: SystemTime) -> Self {
        let wall = OptionalNanos::some(Wall::from(inserted_at).0);
        Self { value, ttl: OptionalNanos::from_ttl(ttl), tick: OptionalNanos::NONE, wall }
    }

    /// The same value with another time to live, or none, which counts from the next insert.
    #[must_use]
    pub fn with_ttl(self, ttl: Option<Duration>) -> Self {
        Self { ttl: OptionalNanos::from_ttl(ttl), ..Self::new(self.value) }
    }

    /// The value.
    pub const fn value(&self) -> &V {
        &self.value
    }

    /// The value, owned.
    pub fn into_value(self) -> V {
        self.value
    }

    /// Turns the value into another one and keeps everything else.
    pub fn map<U>(self, f: impl FnOnce(V) -> U) -> CacheEntry<U> {
        CacheEntry { value: f(self.value), ttl: self.ttl, tick: self.tick, wall: self.wall }
    }

    /// Like [`map`](Self::map), for a conversion that can fail.
    ///
    /// # Errors
    ///
    /// Whatever `f` returns.
    pub fn try_map<U, E>(self, f: impl FnOnce(V) -> Result<U, E>) -> Result<CacheEntry<U>, E> {
        Ok(CacheEntry { value: f(self.value)?, ttl: self.ttl, tick: self.tick, wall: self.wall })
    }

    /// Everything but the value.
    pub const fn metadata(&self) -> CacheEntry<()> {
        CacheEntry { value: (), ttl: self.ttl, tick: self.tick, wall: self.wall }
    }

    /// The entry's own time to live, counted from [`inserted_at`](Self::inserted_at).
    ///
    /// An entry that was promoted from another tier shows what was left of it at that moment: the deadline is the
    /// same one.
    pub fn ttl(&self) -> Option<Duration> {
        self.ttl.get().map(Duration::from_nanos)
    }

    /// When the entry was inserted into the tier it came from, by the wall clock.
    ///
    /// Always there when the cache hands an entry to the [`insert`](crate::CacheTier::insert) of a tier, unless that tier is
    /// declared `immediate`. `None` on a fresh entry, and on one that comes from the memory tier or from an `immediate`
    /// one: those are judged by monotonic time, which has no date.
    pub fn inserted_at(&self) -> Option<SystemTime> {
        self.wall.get().map(|nanos| Wall(nanos).into())
    }

    /// When the entry expires by its own time to live, if it has one and was stamped with a date.
    pub fn expires_at(&self) -> Option<SystemTime> {
        let deadline = self.wall.get()?.saturating_add(self.ttl.get()?);
        Some(Wall(deadline).into())
    }

    /// The age, and whether the clock can tell it.
    ///
    /// `now` saves a reading of the clock where the caller has just taken one.
    pub(crate) fn age(&self, clock: &Clock, now: Option<Tick>) -> Age {
        match (self.tick.get(), self.wall.get()) {
            (Some(tick), _) => Age::Known(now.unwrap_or_else(|| clock.now()).since(Tick(tick))),
            (None, Some(wall)) => clock.wall().since(Wall(wall)).map_or(Age::Future, Age::Known),
            (None, None) => Age::Unknown,
        }
    }

    /// Whether it may have been inserted by this time.
    pub(crate) fn may_be_from_before(&self, until: Tick, clock: &Clock) -> bool {
        match self.tick.get() {
            Some(tick) => tick <= until.0,
            // By the wall clock, which is not the one that `until` is of: as old as that, or older.
            None => self.age(clock, None).known().is_none_or(|age| age > clock.now().since(until)),
        }
    }

    /// Makes it an entry that was inserted after this time, if it was stamped no later.
    pub(crate) fn stamp_after(&mut self, until: Tick) {
        if self.tick.get().is_some_and(|tick| tick <= until.0) {
            self.tick = OptionalNanos::some(until.0 + 1);
        }
    }

    /// When it was inserted into the tier it is in, by whichever clock knows.
    pub(crate) fn inserted(&self) -> Option<u64> {
        self.tick.get().or(self.wall.get())
    }

    #[inline]
    pub(crate) const fn has_ttl(&self) -> bool {
        self.ttl.get().is_some()
    }

    pub(crate) const fn is_stamped(&self) -> bool {
        self.tick.get().is_some() || self.wall.get().is_some()
    }

    /// Stamps the entry as inserted now. Its own deadline, if it has been stamped before, stays where it was.
    pub(crate) fn stamp(&mut self, clock: &Clock, outlives_process: bool) {
        if let (Some(ttl), true) = (self.ttl.get(), self.is_stamped()) {
            let spent = match self.age(clock, None) {
                Age::Known(age) => nanos(age),
                Age::Future | Age::Unknown => u64::MAX,
            };
            self.ttl = OptionalNanos::some(ttl.saturating_sub(spent));
        }
        self.tick = OptionalNanos::some(clock.now().0);
        self.wall = if outlives_process { OptionalNanos::some(clock.wall().0) } else { OptionalNanos::NONE };
    }
}

/// How old an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Age {
    Known(Duration),
    /// Its time of insertion lies ahead of the wall clock.
    Future,
    /// It carries no time of insertion.
    Unknown,
}

impl Age {
    pub(crate) const fn known(self) -> Option<Duration> {
        match self {
            Self::Known(age) => Some(age),
            Self::Future | Self::Unknown => None,
        }
    }
}

impl<V> From<V> for CacheEntry<V> {
    fn from(value: V) -> Self {
        Self::new(value)
    }
}

impl<V> Deref for CacheEntry<V> {
    type Target = V;

    fn deref(&self) -> &V {
        &self.value
    }
}

impl<V> AsRef<V> for CacheEntry<V> {
    fn as_ref(&self) -> &V {
        &self.value
    }
}

/// Entries are equal when their values and their own times to live are.
impl<V: PartialEq> PartialEq for CacheEntry<V> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value && self.ttl == other.ttl
    }
}

impl<V: Eq> Eq for CacheEntry<V> {}

impl<V: fmt::Debug> fmt::Debug for CacheEntry<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheEntry")
            .field("value", &self.value)
            .field("ttl", &self.ttl())
            .field("inserted_at", &self.inserted_at())
            .finish_non_exhaustive()
    }
}
