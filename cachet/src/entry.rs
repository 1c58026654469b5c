//! `CacheEntry`: a value with its time to live and its time of insertion.

use std::fmt;
use std::ops::Deref;
use std::time::{Duration, SystemTime};

use crate::clock::{Clock, Tick, Wall, nanos};

/// A value in a cache, with its time of insertion and optionally its own time to live.
///
/// Dereferences to the value. `From<V>` creates an entry without a time to live, so `insert` and loaders also accept a plain
/// value.
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
/// # In a custom tier
///
/// Store the whole entry, not only its value: the cache stamps an entry when it inserts it into a tier, and computes its age from
/// that stamp. A tier that writes to disk or to the network stores [`ttl`](Self::ttl) and
/// [`inserted_at`](Self::inserted_at) with the value, and returns [`CacheEntry::restore`].
#[derive(Clone)]
pub struct CacheEntry<V> {
    pub(crate) value: V,
    pub(crate) ttl: OptionalNanos,
    /// The time of insertion into the current tier: monotonic, valid within this process only.
    pub(crate) tick: OptionalNanos,
    /// The same by the wall clock, for storages that outlive the process.
    pub(crate) wall: OptionalNanos,
}

/// `Option<u64>` in eight bytes, to keep entries in the memory tier small.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct OptionalNanos(u64);

impl OptionalNanos {
    pub(crate) const NONE: Self = Self(u64::MAX);

    /// `u64::MAX` represents `None`, so that value itself is reduced by one nanosecond.
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
    /// Creates an entry without its own time to live: the tier's applies.
    pub const fn new(value: V) -> Self {
        Self { value, ttl: OptionalNanos::NONE, tick: OptionalNanos::NONE, wall: OptionalNanos::NONE }
    }

    /// Creates an entry with its own time to live, which overrides that of every tier, whether shorter or longer.
    ///
    /// The deadline is fixed when the entry is inserted into a cache, and stays the same in every tier. The entry is fresh while its
    /// age is at most `ttl`, and expired after that; with a `ttl` of zero it expires at the next tick of the clock.
    pub fn expires_after(value: V, ttl: Duration) -> Self {
        Self { ttl: OptionalNanos::from_ttl(Some(ttl)), ..Self::new(value) }
    }

    /// Restores an entry from a storage on disk or on the network, from its stored [`ttl`](Self::ttl) and
    /// [`inserted_at`](Self::inserted_at).
    ///
    /// The age of the entry is computed by the wall clock.
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

    /// Replaces or removes the time to live. A new one counts from the next insert.
    #[must_use]
    pub fn with_ttl(self, ttl: Option<Duration>) -> Self {
        Self { ttl: OptionalNanos::from_ttl(ttl), ..Self::new(self.value) }
    }

    /// Returns the value.
    pub const fn value(&self) -> &V {
        &self.value
    }

    /// Returns the value, owned.
    pub fn into_value(self) -> V {
        self.value
    }

    /// Converts the value and keeps the metadata.
    pub fn map<U>(self, f: impl FnOnce(V) -> U) -> CacheEntry<U> {
        CacheEntry { value: f(self.value), ttl: self.ttl, tick: self.tick, wall: self.wall }
    }

    /// Converts the value with a function that can fail; see [`map`](Self::map).
    ///
    /// # Errors
    ///
    /// Returns the error of `f`.
    pub fn try_map<U, E>(self, f: impl FnOnce(V) -> Result<U, E>) -> Result<CacheEntry<U>, E> {
        Ok(CacheEntry { value: f(self.value)?, ttl: self.ttl, tick: self.tick, wall: self.wall })
    }

    /// Returns the entry without its value.
    pub const fn metadata(&self) -> CacheEntry<()> {
        CacheEntry { value: (), ttl: self.ttl, tick: self.tick, wall: self.wall }
    }

    /// Returns the entry's own time to live, counted from [`inserted_at`](Self::inserted_at).
    ///
    /// After a promotion this is the remaining time at that moment: the deadline does not change.
    pub fn ttl(&self) -> Option<Duration> {
        self.ttl.get().map(Duration::from_nanos)
    }

    /// Returns the wall-clock time of the insertion into the tier that returned the entry.
    ///
    /// Always `Some` when the cache calls [`insert`](crate::CacheTier::insert) of a tier that is not `immediate`. `None` for a new
    /// entry, and for an entry from the memory tier or another `immediate` tier, which use monotonic time.
    pub fn inserted_at(&self) -> Option<SystemTime> {
        self.wall.get().map(|nanos| Wall(nanos).into())
    }

    /// Returns when the entry expires by its own time to live, if it has one and a wall-clock time of insertion.
    pub fn expires_at(&self) -> Option<SystemTime> {
        let deadline = self.wall.get()?.saturating_add(self.ttl.get()?);
        Some(Wall(deadline).into())
    }

    /// The age of the entry, if it can be computed.
    ///
    /// `now` saves a clock reading if the caller has just taken one.
    pub(crate) fn age(&self, clock: &Clock, now: Option<Tick>) -> Age {
        match (self.tick.get(), self.wall.get()) {
            (Some(tick), _) => Age::Known(now.unwrap_or_else(|| clock.now()).since(Tick(tick))),
            (None, Some(wall)) => match clock.wall().since(Wall(wall)) {
                Some(age) => Age::Known(age),
                None => Age::Future(Wall(wall).since(clock.wall()).unwrap_or_default()),
            },
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

    /// The time of insertion into the current tier, by the clock that stamped it.
    pub(crate) fn inserted(&self) -> Option<u64> {
        self.tick.get().or(self.wall.get())
    }

    /// Whether its age is computed by the wall clock, which another process may have set.
    pub(crate) const fn is_stored(&self) -> bool {
        self.tick.get().is_none() && self.wall.get().is_some()
    }

    /// Returns whether the other entry was inserted at the same time, with the same time to live: then it is most likely the same one.
    ///
    /// For [`CacheTier::invalidate_expired`](crate::CacheTier::invalidate_expired).
    pub fn is_same_insertion<U>(&self, other: &CacheEntry<U>) -> bool {
        (self.ttl, self.tick, self.wall) == (other.ttl, other.tick, other.wall)
    }

    #[inline]
    pub(crate) const fn has_ttl(&self) -> bool {
        self.ttl.get().is_some()
    }

    pub(crate) const fn is_stamped(&self) -> bool {
        self.tick.get().is_some() || self.wall.get().is_some()
    }

    /// Stamps the entry as inserted now. A deadline that is already fixed does not change.
    pub(crate) fn stamp(&mut self, clock: &Clock, outlives_process: bool) {
        if let (Some(ttl), true) = (self.ttl.get(), self.is_stamped()) {
            let spent = match self.age(clock, None) {
                Age::Known(age) => nanos(age),
                // Stored just now, by a clock that is ahead.
                Age::Future(_) => 0,
                Age::Unknown => u64::MAX,
            };
            self.ttl = OptionalNanos::some(ttl.saturating_sub(spent));
        }
        self.tick = OptionalNanos::some(clock.now().0);
        self.wall = if outlives_process { OptionalNanos::some(clock.wall().0) } else { OptionalNanos::NONE };
    }
}

/// The age of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Age {
    Known(Duration),
    /// The time of insertion is after the current wall-clock time, by so much.
    Future(Duration),
    /// The entry has no time of insertion.
    Unknown,
}

impl Age {
    pub(crate) const fn known(self) -> Option<Duration> {
        match self {
            Self::Known(age) => Some(age),
            Self::Future(_) | Self::Unknown => None,
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

/// Entries are equal if their values and their own times to live are equal.
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
