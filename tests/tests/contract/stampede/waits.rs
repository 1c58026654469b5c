//! S30, S47, S48: how long anyone waits, and how much work it makes.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use cachet::telemetry::TierOperation::{Insert, Invalidate};
use cachet::testing::Behavior::{Hang, Pend};
use cachet::{Cache, ManualClock, Tier};
use cachet_tests::{ManualTask, ready};
use fastrand::Rng;

use super::{Asking, after, ask, never, protected, protected_memory};
use crate::{Ages, Mock, must_not_run, secs, stored, value};

/// How long each closure takes, in steps.
const CLOSURE: u32 = 100;

/// Time that passes step by step.
#[derive(Default)]
struct Steps(Arc<AtomicUsize>);

impl Steps {
    fn now(&self) -> u32 {
        u32::try_from(self.0.load(Ordering::SeqCst)).unwrap()
    }

    fn pass(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    /// A closure that takes its time, and is counted.
    fn closure(&self, ran: &Arc<AtomicUsize>) -> impl Future<Output = u32> + Send + use<> {
        let (now, ran) = (Arc::clone(&self.0), Arc::clone(ran));
        async move {
            ran.fetch_add(1, Ordering::SeqCst);
            let end = now.load(Ordering::SeqCst) + CLOSURE as usize;
            poll_fn(|_| if now.load(Ordering::SeqCst) >= end { Poll::Ready(()) } else { Poll::Pending }).await;
            1
        }
    }
}

struct Waiting<'c> {
    since: u32,
    asking: Asking<'c>,
}

/// Polls all once. Returns the longest wait of those who are done.
fn poll_all(waiting: &mut Vec<Waiting<'_>>, now: u32) -> u32 {
    let mut longest = 0;
    waiting.retain_mut(|waiting| match waiting.asking.poll() {
        Poll::Ready(got) => {
            assert_eq!(got.unwrap(), Some(1));
            longest = longest.max(now - waiting.since);
            false
        }
        Poll::Pending => true,
    });
    longest
}

// S47: 50 callers, and an invalidation at the wrong moment.
#[test]
fn fifty_callers_wait_for_two_closures_at_most_though_the_key_is_invalidated_meanwhile() {
    let (two, memory) = (protected(), protected_memory());
    for cache in [&two.cache, &memory.cache] {
        let (steps, ran) = (Steps::default(), Arc::default());
        let ask = || Waiting { since: steps.now(), asking: ask(cache, "ada", steps.closure(&ran)) };
        let mut waiting = Vec::new();
        let mut longest = 0;
        two.l2.always(Invalidate, Pend(20));
        let mut invalidating = None;
        while steps.now() < 50 || !waiting.is_empty() {
            if steps.now() < 50 {
                waiting.push(ask());
            }
            if steps.now() == 25 {
                invalidating = Some(ManualTask::new(cache.invalidate("ada")));
            }
            invalidating = invalidating.and_then(|mut it| it.poll().is_pending().then_some(it));
            longest = longest.max(poll_all(&mut waiting, steps.now()));
            steps.pass();
        }
        assert!(longest <= 2 * CLOSURE, "one has waited for {longest} steps");
        assert_eq!(ran.load(Ordering::SeqCst), 2);
        assert_eq!(super::ask(cache, "ada", never()).ready().unwrap(), Some(1), "and it is stored");
    }
}

// S47: whatever is written meanwhile, and whatever follower gives up waiting.
#[test]
fn in_any_mix_of_writes_and_computes_no_one_waits_longer_than_two_closures() {
    for seed in 0..150 {
        let mut random = Rng::with_seed(seed);
        let (two, memory) = (protected(), protected_memory());
        let cache = if random.bool() { &two.cache } else { &memory.cache };
        let (steps, ran) = (Steps::default(), Arc::default());
        let every = random.u32(2..40);
        let (mut waiting, mut writing) = (Vec::new(), None);
        let mut longest = 0;
        while steps.now() < 400 || !waiting.is_empty() {
            if steps.now() < 400 && random.u32(..5) == 0 {
                waiting.push(Waiting { since: steps.now(), asking: ask(cache, "ada", steps.closure(&ran)) });
            }
            if steps.now() < 400 && random.u32(..every) == 0 && writing.is_none() {
                for operation in [Invalidate, Insert] {
                    two.l2.always(operation, Pend(random.u32(..30)));
                }
                let is_clear = random.u8(..8) == 0;
                writing = Some(ManualTask::new(async move {
                    if is_clear { cache.clear().await } else { cache.invalidate("ada").await }
                }));
            }
            writing = writing.and_then(|mut it| it.poll().is_pending().then_some(it));
            longest = longest.max(poll_all(&mut waiting, steps.now()));
            steps.pass();
        }
        // The leader, which no other call needs, waits for the stores too.
        assert!(longest <= 2 * CLOSURE + 60, "seed {seed}: one has waited for {longest} steps");
        drop(writing);
        two.l2.always(Insert, Pend(0));
        two.l2.always(Invalidate, Pend(0));
        ask(cache, "ada", after(0, 1)).finish().unwrap();
        ask(cache, "ada", never()).ready().unwrap();
    }
}

// S48
#[test]
fn a_value_whose_closure_began_after_a_write_is_stored_though_the_write_still_runs() {
    for protection in [true, false] {
        let (l1, l2) = (Tier::memory(10).name("l1"), Mock::new());
        let builder = Ages::builder("ages").tier(l1).tier(Tier::new(l2.clone()).name("l2"));
        let builder = if protection { builder.stampede_protection() } else { builder };
        let cache = builder.build();
        l2.next(Invalidate, Pend(2));
        let mut write = ManualTask::new(cache.invalidate("ada"));
        write.pend(1);
        let mut computing = ask(&cache, "ada", after(0, 1));
        // It is in memory at once, and in the other tier when its turn has come.
        computing.pend(1);
        assert_eq!(value(&cache, "ada"), Some(1));
        assert_eq!(stored(&l2, "ada"), None);
        write.finish().unwrap();
        assert_eq!(computing.finish().unwrap(), Some(1));
        assert_eq!(stored(&l2, "ada"), Some(1));
    }
}

// S46: a hanging write of one key holds up no other key, and a hanging promotion holds up nothing.
#[test]
fn a_promotion_that_hangs_and_a_clear_do_not_stop_the_caching_of_other_keys() {
    let two = protected();
    two.l2.put("ada", 1);
    two.l1.next(Insert, Hang);
    let mut stuck = ManualTask::new(two.cache.get("ada"));
    stuck.pend(1);
    ready(two.cache.clear()).unwrap();
    assert_eq!(ask(&two.cache, "bob", after(0, 2)).ready().unwrap(), Some(2));
    for _ in 0..100 {
        assert_eq!(ask(&two.cache, "bob", never()).ready().unwrap(), Some(2));
    }
    assert_eq!(value(&two.cache, "ada"), None);
}

/// A value that counts its clones.
struct Counted(Arc<AtomicUsize>);

impl Clone for Counted {
    fn clone(&self) -> Self {
        self.0.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(&self.0))
    }
}

const MANY: usize = 16_000;

// S59
#[test]
fn sixteen_thousand_followers_cost_a_wake_and_a_clone_each() {
    let cache = Cache::<u32, Counted>::builder("counted").tier(Tier::memory(10)).stampede_protection().build();
    let clones = Arc::<AtomicUsize>::default();
    let mut leader = ManualTask::new(cache.get_or_insert(&1, || async {
        cachet_tests::task::pend(1).await;
        Counted(Arc::clone(&clones))
    }));
    leader.pend(1);
    let mut followers: Vec<_> =
        (0..MANY).map(|_| ManualTask::new(cache.get_or_insert(&1, || async { must_not_run::<Counted>() }))).collect();
    for follower in &mut followers {
        follower.pend(1);
    }
    leader.ready().unwrap();
    assert!(clones.load(Ordering::SeqCst) < 5, "the leader clones for itself, the tier, and all the others together");
    for follower in followers {
        assert_eq!(follower.wakes(), 1);
        follower.ready().unwrap();
    }
    assert!(clones.load(Ordering::SeqCst) < MANY + 5);
}

// S30
#[test]
fn of_a_thousand_whose_limit_passes_at_once_one_computes_and_the_others_follow_it() {
    let clock = ManualClock::new();
    let cache = Ages::builder("ages").tier(Tier::memory(10)).follower_timeout(secs(1)).clock(clock.clone()).build();
    let mut leader = ask(&cache, "ada", std::future::pending());
    leader.pend(1);
    let ran = Arc::default();
    let steps = Steps::default();
    let mut followers: Vec<_> = (0..1000).map(|_| ask(&cache, "ada", steps.closure(&ran))).collect();
    for follower in &mut followers {
        follower.pend(1);
    }
    clock.advance(secs(1));
    // Each is polled for every wake.
    for follower in &mut followers {
        follower.pend(2);
    }
    assert_eq!(ran.load(Ordering::SeqCst), 1);
    // The new leader hangs as well: no one waits longer than twice the limit.
    clock.advance(secs(1));
    let mut waiting: usize = 0;
    for follower in &mut followers {
        match follower.poll() {
            Poll::Ready(got) => assert_eq!(got.unwrap_err().error_type(), "timeout"),
            Poll::Pending => waiting += 1,
        }
    }
    assert_eq!((waiting, ran.load(Ordering::SeqCst)), (1, 1), "all but the one that computes");
}
