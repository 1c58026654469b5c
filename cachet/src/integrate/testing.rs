//! For tests: a tier that follows a script, and a handler that remembers. Feature `test-util`.
//!
//! Time is stepped with [`ManualClock`](crate::ManualClock), which needs no feature.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use crate::bounds::{Key, Value};
use crate::entry::CacheEntry;
use crate::error::TierError;
use crate::macros::cache_tier;
use crate::telemetry::{CacheEventHandler, CacheOperationEvent, CacheTierEvent, TierOperation};
use crate::tier::{CacheTier, InsertOutcome};

/// What a [`MockTier`] does when it is called.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Behavior {
    /// Does its work.
    Work,
    /// Is pending for a number of polls, each of which wakes the task at once, then does its work.
    Pend(u32),
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

    fn done(&self, operation: TierOperation) {
        let hook = self.state().after.get(&operation).cloned();
        if let Some(hook) = hook {
            hook();
        }
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

    /// Records the call and behaves as scripted; the error is a message.
    async fn act(&self, operation: TierOperation) -> Result<Answer, &'static str> {
        let (hook, behavior) = {
            let mut state = self.state();
            state.calls.push(operation);
            let next = state.next.get_mut(&operation).and_then(VecDeque::pop_front);
            let behavior = next.or_else(|| state.always.get(&operation).cloned()).unwrap_or(Behavior::Work);
            (state.before.get(&operation).cloned(), behavior)
        };
        if let Some(hook) = hook {
            hook();
        }
        match behavior {
            Behavior::Work => {}
            Behavior::Pend(mut polls) => {
                poll_fn(|cx| {
                    if polls == 0 {
                        return Poll::Ready(());
                    }
                    polls -= 1;
                    cx.waker().wake_by_ref();
                    Poll::Pending
                })
                .await;
            }
            Behavior::Hang => std::future::pending().await,
            Behavior::Fail(message) => return Err(message),
            Behavior::Panic(message) => panic!("{message}"),
            Behavior::Reject => return Ok(Answer::Reject),
        }
        Ok(Answer::Work)
    }
}

/// What a call is to do once it has waited.
enum Answer {
    Work,
    Reject,
}

#[cache_tier(name = "mock", target = "cachet::testing", crate = crate)]
impl<K: Key + ?Sized, V: Value> CacheTier<K, V> for MockTier<K, V> {
    async fn get(&self, key: &K) -> Result<Option<CacheEntry<V>>, TierError> {
        self.act(TierOperation::Get).await?;
        let entry = self.stored(key);
        self.done(TierOperation::Get);
        Ok(entry)
    }

    async fn insert(&self, key: K::Owned, entry: CacheEntry<V>) -> Result<InsertOutcome, TierError> {
        if let Answer::Reject = self.act(TierOperation::Insert).await? {
            return Ok(InsertOutcome::Rejected);
        }
        self.state().entries.insert(key, entry);
        self.done(TierOperation::Insert);
        Ok(InsertOutcome::Accepted)
    }

    async fn invalidate(&self, key: &K) -> Result<(), TierError> {
        self.act(TierOperation::Invalidate).await?;
        self.state().entries.remove(key);
        self.done(TierOperation::Invalidate);
        Ok(())
    }

    async fn clear(&self) -> Result<(), TierError> {
        self.act(TierOperation::Clear).await?;
        self.state().entries.clear();
        self.done(TierOperation::Clear);
        Ok(())
    }

    async fn get_many(&self, keys: &[&K]) -> Vec<Result<Option<CacheEntry<V>>, TierError>> {
        match self.act(TierOperation::GetMany).await {
            Ok(_) => {
                let entries = keys.iter().map(|key| Ok(self.stored(key))).collect();
                self.done(TierOperation::GetMany);
                entries
            }
            Err(message) => keys.iter().map(|_| Err(message.into())).collect(),
        }
    }

    async fn insert_many(&self, entries: Vec<(K::Owned, CacheEntry<V>)>) -> Vec<Result<InsertOutcome, TierError>> {
        let number = entries.len();
        match self.act(TierOperation::InsertMany).await {
            Ok(Answer::Reject) => (0..number).map(|_| Ok(InsertOutcome::Rejected)).collect(),
            Ok(Answer::Work) => {
                self.state().entries.extend(entries);
                self.done(TierOperation::InsertMany);
                (0..number).map(|_| Ok(InsertOutcome::Accepted)).collect()
            }
            Err(message) => (0..number).map(|_| Err(message.into())).collect(),
        }
    }

    async fn invalidate_many(&self, keys: &[&K]) -> Vec<Result<(), TierError>> {
        match self.act(TierOperation::InvalidateMany).await {
            Ok(_) => {
                for key in keys {
                    self.state().entries.remove(*key);
                }
                self.done(TierOperation::InvalidateMany);
                keys.iter().map(|_| Ok(())).collect()
            }
            Err(message) => keys.iter().map(|_| Err(message.into())).collect(),
        }
    }

    async fn metadata(&self, key: &K) -> Result<Option<CacheEntry<()>>, TierError> {
        self.act(TierOperation::Contains).await?;
        let entry = self.stored(key).map(|entry| entry.metadata());
        self.done(TierOperation::Contains);
        Ok(entry)
    }

    async fn len(&self) -> Result<Option<u64>, TierError> {
        self.act(TierOperation::Len).await?;
        let len = self.state().entries.len() as u64;
        self.done(TierOperation::Len);
        Ok(Some(len))
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

/// An event that a [`RecordingHandler`] has seen.
#[derive(Clone, Debug)]
pub enum Recorded {
    /// From a tier.
    Tier(CacheTierEvent<'static>),
    /// The end of an operation.
    Operation(CacheOperationEvent<'static>),
}

/// `l1 get: miss`, `disk get: hit (fallback)`, or `get: hit`: what to compare whole sequences with.
impl fmt::Display for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tier(event) => {
                write!(f, "{} {}: {}", event.tier(), event.operation(), event.outcome())?;
                f.write_str(if event.fallback() { " (fallback)" } else { "" })
            }
            Self::Operation(event) => write!(f, "{}: {}", event.operation(), event.outcome()),
        }
    }
}

/// A handler that keeps every event; clones share what they have seen.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), cachet::Error> {
/// use cachet::testing::{MockTier, RecordingHandler};
/// use cachet::{Cache, Tier};
///
/// let seen = RecordingHandler::new();
/// let cache = Cache::<str, u32>::builder("ages")
///     .tier(Tier::new(MockTier::new()).name("l1"))
///     .event_handler(seen.clone())
///     .build();
/// cache.get("ada").await?;
/// assert_eq!(seen.take_lines(), ["l1 get: miss", "get: miss"]);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Default)]
pub struct RecordingHandler(Arc<Mutex<Vec<Recorded>>>);

impl RecordingHandler {
    /// Has seen nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    fn push(&self, event: Recorded) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(event);
    }

    /// Takes what has been seen so far.
    pub fn take(&self) -> Vec<Recorded> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes what has been seen so far, one line per event.
    pub fn take_lines(&self) -> Vec<String> {
        self.take().iter().map(ToString::to_string).collect()
    }
}

impl CacheEventHandler for RecordingHandler {
    fn on_tier_event(&self, event: &CacheTierEvent<'_>) {
        self.push(Recorded::Tier(event.clone().into_owned()));
    }

    fn on_operation_event(&self, event: &CacheOperationEvent<'_>) {
        self.push(Recorded::Operation(event.clone().into_owned()));
    }
}
