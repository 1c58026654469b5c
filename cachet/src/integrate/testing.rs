//! For tests: a tier that does what it is told, and a handler that remembers. Feature `test-util`.
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
pub enum Behaviour {
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

/// A tier in memory that can be told to fail, to wait, to panic, and that remembers its calls.
///
/// Clones share everything, so one is stacked and another one kept.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use cachet::telemetry::TierOperation;
/// use cachet::testing::{Behaviour, MockTier};
/// use cachet::{Cache, Tier};
///
/// let mock = MockTier::<str, u32>::new();
/// let cache = Cache::<str, u32>::builder("ages").tier(Tier::new(mock.clone())).build();
///
/// mock.next(TierOperation::Get, Behaviour::Fail("disk on fire"));
/// let error = cache.get("ada").await.unwrap_err();
/// assert_eq!(format!("{error:#}"), "cache tier `mock` failed: disk on fire");
/// assert!(cache.get("ada").await.unwrap().is_none());
/// assert_eq!(mock.calls(), [TierOperation::Get, TierOperation::Get]);
/// # }
/// ```
pub struct MockTier<K: Key + ?Sized, V>(Arc<Mutex<State<K::Owned, V>>>);

struct State<Q, V> {
    entries: HashMap<Q, CacheEntry<V>>,
    next: HashMap<TierOperation, VecDeque<Behaviour>>,
    always: HashMap<TierOperation, Behaviour>,
    calls: Vec<TierOperation>,
}

impl<K: Key + ?Sized, V: Value> MockTier<K, V> {
    /// Empty, and well-behaved.
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            entries: HashMap::new(),
            next: HashMap::new(),
            always: HashMap::new(),
            calls: Vec::new(),
        })))
    }

    fn state(&self) -> MutexGuard<'_, State<K::Owned, V>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What to do on the next call of this kind that nothing has been said about yet.
    pub fn next(&self, operation: TierOperation, behaviour: Behaviour) {
        self.state().next.entry(operation).or_default().push_back(behaviour);
    }

    /// What to do on every call of this kind, after those that [`next`](Self::next) has spoken of.
    pub fn always(&self, operation: TierOperation, behaviour: Behaviour) {
        self.state().always.insert(operation, behaviour);
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
        let behaviour = {
            let mut state = self.state();
            state.calls.push(operation);
            let next = state.next.get_mut(&operation).and_then(VecDeque::pop_front);
            next.or_else(|| state.always.get(&operation).cloned()).unwrap_or(Behaviour::Work)
        };
        match behaviour {
            Behaviour::Work => {}
            Behaviour::Pend(mut polls) => {
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
            Behaviour::Hang => std::future::pending().await,
            Behaviour::Fail(message) => return Err(message),
            Behaviour::Panic(message) => panic!("{message}"),
            Behaviour::Reject => return Ok(Answer::Reject),
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
        Ok(self.stored(key))
    }

    async fn insert(&self, key: K::Owned, entry: CacheEntry<V>) -> Result<InsertOutcome, TierError> {
        if let Answer::Reject = self.act(TierOperation::Insert).await? {
            return Ok(InsertOutcome::Rejected);
        }
        self.state().entries.insert(key, entry);
        Ok(InsertOutcome::Accepted)
    }

    async fn invalidate(&self, key: &K) -> Result<(), TierError> {
        self.act(TierOperation::Invalidate).await?;
        self.state().entries.remove(key);
        Ok(())
    }

    async fn clear(&self) -> Result<(), TierError> {
        self.act(TierOperation::Clear).await?;
        self.state().entries.clear();
        Ok(())
    }

    async fn get_many(&self, keys: &[&K]) -> Vec<Result<Option<CacheEntry<V>>, TierError>> {
        match self.act(TierOperation::GetMany).await {
            Ok(_) => keys.iter().map(|key| Ok(self.stored(key))).collect(),
            Err(message) => keys.iter().map(|_| Err(message.into())).collect(),
        }
    }

    async fn insert_many(&self, entries: Vec<(K::Owned, CacheEntry<V>)>) -> Vec<Result<InsertOutcome, TierError>> {
        let number = entries.len();
        match self.act(TierOperation::InsertMany).await {
            Ok(Answer::Reject) => (0..number).map(|_| Ok(InsertOutcome::Rejected)).collect(),
            Ok(Answer::Work) => {
                self.state().entries.extend(entries);
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
                keys.iter().map(|_| Ok(())).collect()
            }
            Err(message) => keys.iter().map(|_| Err(message.into())).collect(),
        }
    }

    async fn metadata(&self, key: &K) -> Result<Option<CacheEntry<()>>, TierError> {
        self.act(TierOperation::Contains).await?;
        Ok(self.stored(key).map(|entry| entry.metadata()))
    }

    async fn len(&self) -> Result<Option<u64>, TierError> {
        self.act(TierOperation::Len).await?;
        Ok(Some(self.state().entries.len() as u64))
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
