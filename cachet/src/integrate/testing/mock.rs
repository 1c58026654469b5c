//! A tier that follows a script.

mod calls;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::bounds::{Key, Value};
use crate::entry::CacheEntry;
use crate::telemetry::TierOperation;

/// What a [`MockTier`] does when it is called.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Behavior {
    /// Does its work.
    Work,
    /// Is pending for a number of polls, each of which wakes the task at once, then does its work.
    Pend(u32),
    /// Does its work, then is pending for a number of polls, each of which wakes the task at once: by the time its answer is
    /// returned, it may be outdated.
    WorkThenPend(u32),
    /// Never answers.
    Hang,
    /// Fails with this message.
    Fail(&'static str),
    /// Panics with this message.
    Panic(&'static str),
    /// Turns an insert away; other calls do their work.
    Reject,
}

/// A tier in memory that can be made to fail, to wait, to panic, and that remembers its calls.
///
/// Clones share everything, so one is stacked and another one kept.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use cachet::telemetry::TierOperation;
/// use cachet::testing::{Behavior, MockTier};
/// use cachet::{Cache, Tier};
///
/// let mock = MockTier::<str, u32>::new();
/// let cache = Cache::<str, u32>::builder("ages").tier(Tier::new(mock.clone())).build();
///
/// mock.next(TierOperation::Get, Behavior::Fail("disk on fire"));
/// let error = cache.get("ada").await.unwrap_err();
/// assert_eq!(format!("{error:#}"), "cache tier `mock` failed: disk on fire");
/// assert!(cache.get("ada").await.unwrap().is_none());
/// assert_eq!(mock.calls(), [TierOperation::Get, TierOperation::Get]);
/// # }
/// ```
pub struct MockTier<K: Key + ?Sized, V>(Arc<Mutex<State<K::Owned, V>>>);

/// Runs at a call of a tier.
type Hook = Arc<dyn Fn() + Send + Sync>;

struct State<Q, V> {
    entries: HashMap<Q, CacheEntry<V>>,
    next: HashMap<TierOperation, VecDeque<Behavior>>,
    always: HashMap<TierOperation, Behavior>,
    before: HashMap<TierOperation, Hook>,
    after: HashMap<TierOperation, Hook>,
    cancelled: HashMap<TierOperation, Hook>,
    calls: Vec<TierOperation>,
}

impl<K: Key + ?Sized, V: Value> MockTier<K, V> {
    /// Empty, and well-behaved.
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            entries: HashMap::new(),
            next: HashMap::new(),
            always: HashMap::new(),
            before: HashMap::new(),
            after: HashMap::new(),
            cancelled: HashMap::new(),
            calls: Vec::new(),
        })))
    }

    fn state(&self) -> MutexGuard<'_, State<K::Owned, V>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What to do on the next call of this kind that nothing has been said about yet.
    pub fn next(&self, operation: TierOperation, behavior: Behavior) {
        self.state().next.entry(operation).or_default().push_back(behavior);
    }

    /// What to do on every call of this kind, after those that [`next`](Self::next) has spoken of.
    pub fn always(&self, operation: TierOperation, behavior: Behavior) {
        self.state().always.insert(operation, behavior);
    }

    /// Sets what runs at the first poll of every call of this kind, before the call does anything.
    ///
    /// No lock is held, so the hook may use the tier and the cache. A second hook replaces the first.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), cachet::Error> {
    /// use cachet::telemetry::TierOperation;
    /// use cachet::testing::MockTier;
    /// use cachet::{Cache, Tier};
    ///
    /// let mock = MockTier::<str, u32>::new();
    /// let cache = Cache::<str, u32>::builder("ages").tier(Tier::new(mock.clone())).build();
    ///
    /// // Another process stores the entry just before it is looked up.
    /// let other = mock.clone();
    /// mock.before(TierOperation::Get, move || other.put("ada", 36));
    /// assert_eq!(*cache.get("ada").await?.unwrap(), 36);
    /// # Ok(()) }
    /// ```
    ///
    /// # Panics
    ///
    /// A panic of the hook is a panic of the tier.
    pub fn before(&self, operation: TierOperation, hook: impl Fn() + Send + Sync + 'static) {
        self.state().before.insert(operation, Arc::new(hook));
    }

    /// Sets what runs after every call of this kind that did its work, before its answer is returned.
    ///
    /// It does not run after a call that failed, panicked, rejected an insert or was dropped. No lock is held, so the hook may
    /// use the tier and the cache. A second hook replaces the first.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), cachet::Error> {
    /// use cachet::telemetry::TierOperation;
    /// use cachet::testing::MockTier;
    /// use cachet::{Cache, Tier};
    ///
    /// let mock = MockTier::<str, u32>::new();
    /// let cache = Cache::<str, u32>::builder("ages").tier(Tier::new(mock.clone())).build();
    ///
    /// // Another process overwrites what was just stored.
    /// let other = mock.clone();
    /// mock.after(TierOperation::Insert, move || other.put("ada", 37));
    /// cache.insert("ada", 36).await?;
    /// assert_eq!(*cache.get("ada").await?.unwrap(), 37);
    /// # Ok(()) }
    /// ```
    ///
    /// # Panics
    ///
    /// A panic of the hook is a panic of the tier.
    pub fn after(&self, operation: TierOperation, hook: impl Fn() + Send + Sync + 'static) {
        self.state().after.insert(operation, Arc::new(hook));
    }

    /// Sets what runs when a call of this kind is dropped while it is pending.
    ///
    /// No lock is held, so the hook may use the tier and the cache. A second hook replaces the first.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use std::sync::Arc;
    /// use std::sync::atomic::{AtomicU32, Ordering};
    /// use std::time::Duration;
    ///
    /// use cachet::telemetry::TierOperation;
    /// use cachet::testing::{Behavior, MockTier};
    /// use cachet::{Cache, Tier};
    ///
    /// let mock = MockTier::<str, u32>::new();
    /// let tier = Tier::new(mock.clone()).timeout(Duration::from_millis(1));
    /// let cache = Cache::<str, u32>::builder("ages").tier(tier).build();
    ///
    /// let dropped = Arc::new(AtomicU32::new(0));
    /// let counter = Arc::clone(&dropped);
    /// mock.cancelled(TierOperation::Get, move || drop(counter.fetch_add(1, Ordering::Relaxed)));
    /// mock.next(TierOperation::Get, Behavior::Hang);
    /// assert!(cache.get("ada").await.is_err());
    /// assert_eq!(dropped.load(Ordering::Relaxed), 1);
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// A panic of the hook is a panic of the drop.
    pub fn cancelled(&self, operation: TierOperation, hook: impl Fn() + Send + Sync + 'static) {
        self.state().cancelled.insert(operation, Arc::new(hook));
    }

    /// The calls so far, in order.
    pub fn calls(&self) -> Vec<TierOperation> {
        self.state().calls.clone()
    }

    /// The entry of a key, whatever its age, without a call being counted.
    pub fn stored(&self, key: &K) -> Option<CacheEntry<V>> {
        self.state().entries.get(key).cloned()
    }

    /// Puts an entry there, as another process might, without a call being counted. Unless it is a
    /// [restored](CacheEntry::restore) one, its age is unknown.
    pub fn put(&self, key: impl Into<K::Owned>, entry: impl Into<CacheEntry<V>>) {
        self.state().entries.insert(key.into(), entry.into());
    }
}

impl<K: Key + ?Sized, V: Value> Default for MockTier<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Key + ?Sized, V> Clone for MockTier<K, V> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K: Key + ?Sized, V: Value> fmt::Debug for MockTier<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("MockTier")
            .field("len", &state.entries.len())
            .field("calls", &state.calls)
            .finish_non_exhaustive()
    }
}
