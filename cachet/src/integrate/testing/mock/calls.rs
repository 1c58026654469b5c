//! What a call of the tier does.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::Poll;

use super::{Behavior, Hook, MockTier};
use crate::bounds::{Key, Value};
use crate::entry::CacheEntry;
use crate::error::TierError;
use crate::macros::cache_tier;
use crate::telemetry::TierOperation;
use crate::tier::{CacheTier, InsertOutcome};

impl<K: Key + ?Sized, V: Value> MockTier<K, V> {
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
            Behavior::Work => Ok(Answer::Work { late: 0 }),
            Behavior::Pend(polls) => {
                self.pend(operation, Some(polls)).await;
                Ok(Answer::Work { late: 0 })
            }
            Behavior::WorkThenPend(polls) => Ok(Answer::Work { late: polls }),
            Behavior::Hang => {
                self.pend(operation, None).await;
                Ok(Answer::Work { late: 0 })
            }
            Behavior::Fail(message) => Err(message),
            Behavior::Panic(message) => panic!("{message}"),
            Behavior::Reject => Ok(Answer::Reject),
        }
    }

    /// Is pending for a number of polls, or for good.
    async fn pend(&self, operation: TierOperation, polls: Option<u32>) {
        let mut guard = CancelGuard { hook: self.state().cancelled.get(&operation).cloned() };
        let mut left = polls;
        poll_fn(|cx| {
            match &mut left {
                Some(0) => return Poll::Ready(()),
                Some(left) => {
                    *left -= 1;
                    cx.waker().wake_by_ref();
                }
                None => {}
            }
            Poll::Pending
        })
        .await;
        guard.hook = None;
    }

    /// Ends a call that has done its work.
    async fn done(&self, operation: TierOperation, answer: Answer) {
        if let Answer::Work { late: polls @ 1.. } = answer {
            self.pend(operation, Some(polls)).await;
        }
        let hook = self.state().after.get(&operation).cloned();
        if let Some(hook) = hook {
            hook();
        }
    }
}

/// What a call is to do once it has waited.
#[derive(Clone, Copy)]
enum Answer {
    /// Its work, after which it is pending for so many polls.
    Work {
        late: u32,
    },
    Reject,
}

/// Runs the hook when it is dropped with one.
struct CancelGuard {
    hook: Option<Hook>,
}

impl Drop for CancelGuard {
    fn drop(&mut self) {
        if let Some(hook) = self.hook.take() {
            hook();
        }
    }
}

#[cache_tier(name = "mock", target = "cachet::testing", crate = crate)]
impl<K: Key + ?Sized, V: Value> CacheTier<K, V> for MockTier<K, V> {
    async fn get(&self, key: &K) -> Result<Option<CacheEntry<V>>, TierError> {
        let answer = self.act(TierOperation::Get).await?;
        let entry = self.stored(key);
        self.done(TierOperation::Get, answer).await;
        Ok(entry)
    }

    async fn insert(&self, key: K::Owned, entry: CacheEntry<V>) -> Result<InsertOutcome, TierError> {
        let answer = self.act(TierOperation::Insert).await?;
        if let Answer::Reject = answer {
            return Ok(InsertOutcome::Rejected);
        }
        self.state().entries.insert(key, entry);
        self.done(TierOperation::Insert, answer).await;
        Ok(InsertOutcome::Accepted)
    }

    async fn invalidate(&self, key: &K) -> Result<(), TierError> {
        let answer = self.act(TierOperation::Invalidate).await?;
        self.state().entries.remove(key);
        self.done(TierOperation::Invalidate, answer).await;
        Ok(())
    }

    async fn clear(&self) -> Result<(), TierError> {
        let answer = self.act(TierOperation::Clear).await?;
        self.state().entries.clear();
        self.done(TierOperation::Clear, answer).await;
        Ok(())
    }

    async fn get_many(&self, keys: &[&K]) -> Vec<Result<Option<CacheEntry<V>>, TierError>> {
        match self.act(TierOperation::GetMany).await {
            Ok(answer) => {
                let entries = keys.iter().map(|key| Ok(self.stored(key))).collect();
                self.done(TierOperation::GetMany, answer).await;
                entries
            }
            Err(message) => keys.iter().map(|_| Err(message.into())).collect(),
        }
    }

    async fn insert_many(&self, entries: Vec<(K::Owned, CacheEntry<V>)>) -> Vec<Result<InsertOutcome, TierError>> {
        let number = entries.len();
        match self.act(TierOperation::InsertMany).await {
            Ok(Answer::Reject) => (0..number).map(|_| Ok(InsertOutcome::Rejected)).collect(),
            Ok(answer) => {
                self.state().entries.extend(entries);
                self.done(TierOperation::InsertMany, answer).await;
                (0..number).map(|_| Ok(InsertOutcome::Accepted)).collect()
            }
            Err(message) => (0..number).map(|_| Err(message.into())).collect(),
        }
    }

    async fn invalidate_many(&self, keys: &[&K]) -> Vec<Result<(), TierError>> {
        match self.act(TierOperation::InvalidateMany).await {
            Ok(answer) => {
                for key in keys {
                    self.state().entries.remove(*key);
                }
                self.done(TierOperation::InvalidateMany, answer).await;
                keys.iter().map(|_| Ok(())).collect()
            }
            Err(message) => keys.iter().map(|_| Err(message.into())).collect(),
        }
    }

    async fn metadata(&self, key: &K) -> Result<Option<CacheEntry<()>>, TierError> {
        let answer = self.act(TierOperation::Contains).await?;
        let entry = self.stored(key).map(|entry| entry.metadata());
        self.done(TierOperation::Contains, answer).await;
        Ok(entry)
    }

    async fn len(&self) -> Result<Option<u64>, TierError> {
        let answer = self.act(TierOperation::Len).await?;
        let len = self.state().entries.len() as u64;
        self.done(TierOperation::Len, answer).await;
        Ok(Some(len))
    }
}
