//! Several operations at once, and what is left when all is quiet.

use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};

use cachet::telemetry::TierOperation;
use cachet::testing::Behavior;
use cachet::{CacheEntry, Tier};
use cachet_tests::task::pend;
use cachet_tests::{ManualRuntime, ManualTask};
use fastrand::Rng;

use crate::{Ages, Mock, TestCache, secs, stored};

type Task<'c> = ManualTask<Pin<Box<dyn Future<Output = ()> + 'c>>>;

/// Polls, and gives back what is still pending.
fn go_on(mut task: Task<'_>) -> Option<Task<'_>> {
    task.poll().is_pending().then_some(task)
}

/// What a cache of such a run is made of.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a choice of its own")]
struct Made {
    memory_first: bool,
    three_tiers: bool,
    refreshed: bool,
    protected: bool,
}

impl Made {
    fn of(seed: u64) -> Self {
        let has = |bit: u32| seed & (1 << bit) != 0;
        Self { memory_first: has(0), three_tiers: has(1), refreshed: has(2), protected: has(3) }
    }

    fn build(self, mocks: &[Mock; 3], tasks: &ManualRuntime) -> TestCache {
        let refreshed = |tier: Tier<str, u32>| {
            // Every hit is due.
            if self.refreshed { tier.refresh_after(secs(0)).refresh_cool_down(secs(0)) } else { tier }
        };
        let first = if self.memory_first { Tier::memory(10) } else { Tier::new(mocks[0].clone()) };
        let mut builder = Ages::builder("ages")
            .tier(refreshed(first.name("l1")))
            .tier(refreshed(Tier::new(mocks[1].clone()).name("l2")))
            .runtime(tasks.clone());
        if self.three_tiers {
            builder = builder.tier(Tier::new(mocks[2].clone()).name("l3"));
        }
        if self.protected {
            builder = builder.stampede_protection();
        }
        TestCache::new(builder)
    }
}

/// One run of several operations at once on one key. Writes wait for each other; reads, computes and refreshes go on
/// beside them, and some are given up. Values count up with time, so what is older is smaller.
fn newer_beats_older(seed: u64) {
    let mut random = Rng::with_seed(seed);
    let (mocks, tasks, made) = ([Mock::new(), Mock::new(), Mock::new()], ManualRuntime::new(), Made::of(seed));
    let context = format!("seed {seed}, {made:?}");
    let test = made.build(&mocks, &tasks);
    let cache = &test.cache;
    let time = AtomicU32::new(0);
    let tick = || time.fetch_add(1, Ordering::Relaxed) + 1;
    let (mut reads, mut write): (Vec<Task<'_>>, Option<Task<'_>>) = (Vec::new(), None);
    let mut newest_write = 0;
    for _ in 0..60 {
        let slow = TierOperation::ALL[random.usize(..TierOperation::ALL.len())];
        mocks[random.usize(..3)].next(slow, Behavior::Pend(random.u32(..3)));
        match random.u8(..11) {
            0 if reads.len() < 4 => reads.push(ManualTask::new(if random.bool() {
                Box::pin(async { drop(cache.get("ada").await) })
            } else {
                Box::pin(async { drop(cache.get_many(["ada", "bob"]).await) })
            })),
            1 if reads.len() < 4 => {
                let polls = random.u32(..4);
                reads.push(ManualTask::new(Box::pin(async move {
                    let compute = || async move {
                        let value = tick();
                        pend(polls).await;
                        value
                    };
                    drop(cache.get_or_insert("ada", compute).await);
                })));
            }
            2 if write.is_none() => {
                newest_write = tick();
                let value = newest_write;
                write = Some(match random.u8(..6) {
                    0 => ManualTask::new(Box::pin(async { drop(cache.invalidate("ada").await) })),
                    1 => ManualTask::new(Box::pin(async { drop(cache.clear().await) })),
                    2 => ManualTask::new(Box::pin(async { drop(cache.invalidate_many(["bob", "ada"]).await) })),
                    3 => ManualTask::new(Box::pin(async move {
                        drop(cache.insert_many([("ada", value), ("bob", value)]).await);
                    })),
                    _ => ManualTask::new(Box::pin(async move { drop(cache.insert("ada", value).await) })),
                });
            }
            // Now and then an operation is given up.
            3 if reads.len() > 2 => drop(reads.swap_remove(random.usize(..reads.len()))),
            4 => write = write.and_then(go_on),
            5 if random.u8(..8) == 0 => tasks.drop_tasks(),
            5 | 6 => {
                tasks.poll();
            }
            _ if !reads.is_empty() => {
                let chosen = random.usize(..reads.len());
                if reads[chosen].poll().is_ready() {
                    drop(reads.swap_remove(chosen));
                }
            }
            _ => {}
        }
    }
    // In turns, since a write may have to wait for a read that is storing what it found.
    let mut pending: Vec<_> = write.into_iter().chain(reads).collect();
    for _ in 0..1000 {
        pending = pending.into_iter().filter_map(go_on).collect();
        tasks.poll();
    }
    assert!(pending.is_empty(), "{context}: {} operations wait for each other", pending.len());
    assert_eq!((tasks.tasks(), cache.refreshes().running), (0, 0), "{context}: refreshes wait for something");
    // An operation that was given up may have left a tier with something older, and the key owed there (S44): the next call of the tier pays.
    ManualTask::new(cache.get("eve")).finish().unwrap();
    let found = ManualTask::new(cache.get("ada")).finish().unwrap().map(CacheEntry::into_value);
    for value in mocks.iter().map(|mock| stored(mock, "ada")).chain([found]).flatten() {
        assert!(value >= newest_write, "{context}: found {value} after the write at {newest_write}");
    }
    // No operation computes the key any more.
    ManualTask::new(cache.invalidate("ada")).finish().unwrap();
    let mut asked = false;
    let computing = cache.get_or_insert("ada", || async {
        asked = true;
        0
    });
    assert_eq!(*ManualTask::new(computing).finish().unwrap(), 0);
    assert!(asked, "{context}: another operation has computed the key");
    tasks.drop_tasks();
}

// S19, S29, S44: whatever the order, nothing older than the last write is left when all is quiet.
#[test]
fn no_late_value_ever_outlives_a_newer_write() {
    for seed in 0..4000 {
        newer_beats_older(seed);
    }
}
