//! Which keys are being refreshed in the background, and which are cooling down after a refresh that brought nothing.
//!
//! The tasks themselves are in `cache/refresh.rs`.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use foldhash::fast::RandomState;
use futures_util::future::AbortHandle;

use crate::clock::Tick;

/// Enough that hits of different keys rarely meet at one lock.
const SHARDS: usize = 16;
/// So many keys are remembered per shard; of any further one it is forgotten that it is cooling down.
const MOST: usize = 1024;
/// How full a shard is before it is first looked through for what is over.
const FEW: usize = 64;

/// The refreshes of a cache that are going on, or have gone wrong.
///
/// ```
/// # #[cfg(feature = "memory")]
/// # fn main() {
/// use cachet::{Cache, Tier};
///
/// let cache = Cache::<str, u32>::builder("ages").tier(Tier::memory(100)).build();
/// assert_eq!((cache.refreshes().running, cache.refreshes().cooling_down), (0, 0));
/// # }
/// # #[cfg(not(feature = "memory"))]
/// # fn main() {}
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RefreshStatus {
    /// Tasks that are under way, one per key.
    pub running: usize,
    /// Keys whose last refresh brought nothing, and which are left alone for a while.
    pub cooling_down: usize,
}

pub(crate) struct RefreshTable {
    hasher: RandomState,
    shards: [Mutex<Shard>; SHARDS],
    running: AtomicUsize,
    limit: usize,
    /// How long a key is left alone, by the number of the tier whose entry is to be refreshed.
    cool_downs: Box<[Option<Duration>]>,
    stopped: AtomicBool,
}

struct Shard {
    keys: HashMap<u64, State, RandomState>,
    sweep_at: usize,
}

enum State {
    Running(AbortHandle),
    CoolingDown { until: Tick, reported: bool },
}

/// Whether a refresh may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Permit {
    Granted,
    /// One is under way, or too many are, or the cache is gone.
    Denied,
    /// The key is cooling down, and this has not been reported yet.
    Suppressed,
}

impl RefreshTable {
    pub(crate) fn new(limit: usize, cool_downs: Box<[Option<Duration>]>) -> Self {
        Self {
            hasher: RandomState::default(),
            shards: std::array::from_fn(|_| Mutex::new(Shard { keys: HashMap::default(), sweep_at: FEW })),
            running: AtomicUsize::new(0),
            limit,
            cool_downs,
            stopped: AtomicBool::new(false),
        }
    }

    pub(crate) fn hasher(&self) -> &RandomState {
        &self.hasher
    }

    fn shard(&self, hash: u64) -> MutexGuard<'_, Shard> {
        #[allow(clippy::cast_possible_truncation, reason = "the remainder is what is wanted")]
        let shard = (hash >> 32) as usize % SHARDS;
        self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks to refresh a key; if granted, [`end`](Self::end) has to be called.
    pub(crate) fn begin(&self, hash: u64, now: Tick, task: &AbortHandle) -> Permit {
        let mut shard = self.shard(hash);
        match shard.keys.get_mut(&hash) {
            Some(State::Running(_)) => return Permit::Denied,
            Some(State::CoolingDown { until, reported }) if *until > now => {
                return if std::mem::replace(reported, true) { Permit::Denied } else { Permit::Suppressed };
            }
            Some(State::CoolingDown { .. }) | None => {}
        }
        // Under the lock, so that what stops the cache finds what begins here.
        let full = self.running.fetch_add(1, Ordering::AcqRel) >= self.limit;
        if full || self.stopped.load(Ordering::Acquire) {
            self.running.fetch_sub(1, Ordering::AcqRel);
            return Permit::Denied;
        }
        shard.keys.insert(hash, State::Running(task.clone()));
        Permit::Granted
    }

    /// Ends a refresh of a tier's entry. After one that brought nothing, the key cools down.
    pub(crate) fn end(&self, hash: u64, tier: usize, found_nothing: bool, now: Tick) {
        let mut shard = self.shard(hash);
        shard.keys.remove(&hash);
        let cool_down = self.cool_downs.get(tier).copied().flatten().filter(|_| found_nothing);
        if let Some(cool_down) = cool_down
            && shard.has_room(now)
        {
            shard.keys.insert(hash, State::CoolingDown { until: now.after(cool_down), reported: false });
        }
        drop(shard);
        self.running.fetch_sub(1, Ordering::AcqRel);
    }

    /// Stops what is under way, for good.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        for shard in &self.shards {
            let tasks: Vec<_> = {
                let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
                shard.keys.values().filter_map(State::task).cloned().collect()
            };
            // Not under the lock: this wakes them.
            tasks.iter().for_each(AbortHandle::abort);
        }
    }

    pub(crate) fn status(&self, now: Tick) -> RefreshStatus {
        let mut status = RefreshStatus::default();
        for shard in &self.shards {
            for state in shard.lock().unwrap_or_else(PoisonError::into_inner).keys.values() {
                match state {
                    State::Running(_) => status.running += 1,
                    State::CoolingDown { until, .. } => status.cooling_down += usize::from(*until > now),
                }
            }
        }
        status
    }
}

impl State {
    fn task(&self) -> Option<&AbortHandle> {
        match self {
            Self::Running(task) => Some(task),
            Self::CoolingDown { .. } => None,
        }
    }
}

impl Shard {
    /// Forgets what is over, once there is much of it.
    fn has_room(&mut self, now: Tick) -> bool {
        if self.keys.len() >= self.sweep_at {
            self.keys.retain(|_, state| match state {
                State::Running(_) => true,
                State::CoolingDown { until, .. } => *until > now,
            });
            self.sweep_at = (self.keys.len() * 2).clamp(FEW, MOST);
        }
        self.keys.len() < MOST
    }
}

impl fmt::Debug for RefreshTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RefreshTable")
            .field("running", &self.running)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    fn table(limit: usize) -> RefreshTable {
        RefreshTable::new(limit, Box::new([Some(MINUTE)]))
    }

    fn begin(table: &RefreshTable, hash: u64, now: Tick) -> Permit {
        table.begin(hash, now, &AbortHandle::new_pair().0)
    }

    #[test]
    fn one_task_per_key_and_so_many_in_all() {
        let table = table(2);
        assert_eq!(begin(&table, 1, Tick(0)), Permit::Granted);
        assert_eq!(begin(&table, 1, Tick(0)), Permit::Denied);
        assert_eq!(begin(&table, 2, Tick(0)), Permit::Granted);
        assert_eq!(begin(&table, 3, Tick(0)), Permit::Denied);
        table.end(1, 0, false, Tick(0));
        assert_eq!(begin(&table, 3, Tick(0)), Permit::Granted);
    }

    #[test]
    fn a_key_cools_down_for_its_time_and_says_so_once() {
        let table = table(2);
        assert_eq!(begin(&table, 1, Tick(0)), Permit::Granted);
        table.end(1, 0, true, Tick(0));
        let end = Tick(0).after(MINUTE);
        assert_eq!(begin(&table, 1, Tick(0)), Permit::Suppressed);
        assert_eq!(begin(&table, 1, Tick(end.0 - 1)), Permit::Denied);
        assert_eq!(table.status(Tick(0)), RefreshStatus { running: 0, cooling_down: 1 });
        assert_eq!(begin(&table, 1, end), Permit::Granted);
        assert_eq!(table.status(end), RefreshStatus { running: 1, cooling_down: 0 });
    }

    #[test]
    fn keys_that_cool_down_take_a_bounded_room() {
        let table = table(1);
        for key in 0..100_000_u64 {
            let hash = key << 32;
            assert_eq!(begin(&table, hash, Tick(0)), Permit::Granted);
            table.end(hash, 0, true, Tick(0));
        }
        assert_eq!(table.status(Tick(0)).cooling_down, SHARDS * MOST);
        let later = Tick(0).after(MINUTE);
        for key in 0..SHARDS as u64 {
            let hash = (200_000 + key) << 32;
            assert_eq!(begin(&table, hash, later), Permit::Granted);
            table.end(hash, 0, true, later);
        }
        assert_eq!(table.shards.iter().map(|shard| shard.lock().unwrap().keys.len()).sum::<usize>(), SHARDS);
    }

    #[test]
    fn nothing_begins_after_the_end_and_what_was_under_way_is_told_to_stop() {
        let table = table(2);
        let (task, _) = AbortHandle::new_pair();
        assert_eq!(table.begin(1, Tick(0), &task), Permit::Granted);
        table.stop();
        assert!(task.is_aborted());
        assert_eq!(begin(&table, 2, Tick(0)), Permit::Denied);
    }
}
