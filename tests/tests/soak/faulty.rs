//! A tier with faults at random.

use std::collections::HashMap;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use cachet::{CacheEntry, CacheTier, InsertOutcome, TierError, cache_tier};
use cachet_tests::task::pend;
use fastrand::Rng;

/// Does its work, now and then late, or not at all. Clones share everything.
#[derive(Clone)]
pub(crate) struct FaultyTier(Arc<State>);

struct State {
    entries: Mutex<HashMap<u64, CacheEntry<u64>>>,
    seed: u64,
    calls: AtomicU64,
    is_faulty: AtomicBool,
}

impl FaultyTier {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Arc::new(State {
            entries: Mutex::default(),
            seed,
            calls: AtomicU64::new(0),
            is_faulty: AtomicBool::new(true),
        }))
    }

    pub(crate) fn set_faulty(&self, is_faulty: bool) {
        self.0.is_faulty.store(is_faulty, Ordering::Relaxed);
    }

    fn with<T>(&self, work: impl FnOnce(&mut HashMap<u64, CacheEntry<u64>>) -> T) -> T {
        work(&mut self.0.entries.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn misbehave(&self) -> Result<(), TierError> {
        if !self.0.is_faulty.load(Ordering::Relaxed) {
            return Ok(());
        }
        let call = self.0.calls.fetch_add(1, Ordering::Relaxed);
        match Rng::with_seed(self.0.seed ^ (call << 8)).u8(..40) {
            0..10 => pend(1).await,
            10..14 => pend(4).await,
            14..18 => return Err(TierError::msg("down")),
            18 => {
                pend(1).await;
                return Err(TierError::msg("gone"));
            }
            // Nothing of it is printed.
            19 => resume_unwind(Box::new("boom")),
            20 => {
                pend(1).await;
                resume_unwind(Box::new("boom"));
            }
            // Until its time is over.
            21 => std::future::pending().await,
            _ => {}
        }
        Ok(())
    }
}

#[cache_tier(name = "faulty")]
impl CacheTier<u64, u64> for FaultyTier {
    async fn get(&self, key: &u64) -> Result<Option<CacheEntry<u64>>, TierError> {
        self.misbehave().await?;
        Ok(self.with(|entries| entries.get(key).cloned()))
    }

    async fn insert(&self, key: u64, entry: CacheEntry<u64>) -> Result<InsertOutcome, TierError> {
        self.misbehave().await?;
        if entry.is_multiple_of(16) {
            return Ok(InsertOutcome::Rejected);
        }
        self.with(|entries| entries.insert(key, entry));
        self.misbehave().await?;
        Ok(InsertOutcome::Accepted)
    }

    async fn invalidate(&self, key: &u64) -> Result<(), TierError> {
        self.misbehave().await?;
        self.with(|entries| entries.remove(key));
        Ok(())
    }

    async fn clear(&self) -> Result<(), TierError> {
        self.misbehave().await?;
        self.with(HashMap::clear);
        Ok(())
    }
}
