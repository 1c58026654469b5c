//! Flights on several threads.

use std::future::poll_fn;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::task::Poll;
use std::time::Duration;

use cachet::telemetry::OperationOutcome::{Cancelled, Computed, Hit};
use cachet::telemetry::TierOperation::{Get, Insert};
use cachet::telemetry::{CacheOperation, Stats};
use cachet::testing::Behavior::Pend;
use cachet::testing::RecordingHandler;
use cachet::{CacheEntry, Tier};
use cachet_tests::{events, invariants};
use fastrand::Rng;

use crate::{Ages, Mock};

const TASKS: u64 = 64;
const CALLS: u32 = 50;
const TOO_LONG: Duration = Duration::from_secs(50);
const KEYS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

#[derive(Default)]
struct Counts {
    /// Closures that are running, by key.
    running: [AtomicU32; KEYS.len()],
    calls: AtomicU32,
    /// Calls that returned with a value of their own closure, or of another call's, and calls that were given up.
    own: AtomicU32,
    others: AtomicU32,
    given_up: AtomicU32,
}

fn add(number: &AtomicU32) {
    number.fetch_add(1, Ordering::SeqCst);
}

/// Polls no more than so often, if there is a number, and without waiting to be woken.
async fn give_up_after<T>(polls: Option<u32>, future: impl Future<Output = T>) -> Option<T> {
    let mut future = Box::pin(future);
    let mut left = polls;
    poll_fn(|cx| {
        if left == Some(0) {
            return Poll::Ready(None);
        }
        if let Some(left) = &mut left {
            *left -= 1;
            cx.waker().wake_by_ref();
        }
        future.as_mut().poll(cx).map(Some)
    })
    .await
}

async fn compute(cache: &Ages, counts: &Counts, random: &mut Rng) {
    /// Leaves when it is dropped, too.
    struct Running<'c>(&'c AtomicU32);

    impl Drop for Running<'_> {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }

    add(&counts.calls);
    let chosen = random.usize(..KEYS.len());
    let yields = random.u32(..4);
    let own = AtomicU32::new(0);
    let call = cache.get_or_insert(KEYS[chosen], || async {
        add(&own);
        assert_eq!(counts.running[chosen].fetch_add(1, Ordering::SeqCst), 0, "two closures of one key");
        let _running = Running(&counts.running[chosen]);
        for _ in 0..yields {
            tokio::task::yield_now().await;
        }
        u32::try_from(chosen).unwrap()
    });
    let polls = (random.u8(..5) == 0).then(|| random.u32(1..6));
    match give_up_after(polls, call).await {
        Some(entry) => {
            assert_eq!(entry.map(CacheEntry::into_value).unwrap(), u32::try_from(chosen).unwrap());
            add(if own.into_inner() > 0 { &counts.own } else { &counts.others });
        }
        None => add(&counts.given_up),
    }
}

async fn task(cache: Ages, counts: Arc<Counts>, seed: u64) {
    let mut random = Rng::with_seed(seed);
    for _ in 0..CALLS {
        match random.u8(..8) {
            0..2 => cache.invalidate(KEYS[random.usize(..KEYS.len())]).await.unwrap(),
            2 => tokio::task::yield_now().await,
            _ => compute(&cache, &counts, &mut random).await,
        }
    }
}

/// Runs 64 tasks on two workers, and gives up on them after a while.
fn run(cache: &Ages, counts: &Arc<Counts>, seed: u64) {
    let (cache, counts) = (cache.clone(), Arc::clone(counts));
    let (done, wait) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
        let tasks: Vec<_> = (0..TASKS)
            .map(|task_seed| runtime.spawn(task(cache.clone(), Arc::clone(&counts), seed * TASKS + task_seed)))
            .collect();
        for task in tasks {
            runtime.block_on(task).unwrap();
        }
        done.send(()).unwrap();
    });
    match wait.recv_timeout(TOO_LONG) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("seed {seed}: some task is never woken"),
        Ok(()) | Err(mpsc::RecvTimeoutError::Disconnected) => thread.join().unwrap(),
    }
}

// S24–S29, S37: a caller with a value has computed it, found it, or waited for it; no call is lost or counted twice.
#[test]
fn on_several_threads_closures_hits_and_followers_add_up() {
    for memory_first in [true, false] {
        let (seen, stats, counts) = (RecordingHandler::new(), Stats::new(), Arc::<Counts>::default());
        let tiers = [Mock::new(), Mock::new()];
        for tier in &tiers {
            tier.always(Get, Pend(1));
            tier.always(Insert, Pend(1));
        }
        let [l1, l2] = tiers;
        let cache = Ages::builder("ages")
            .tier(if memory_first { Tier::memory(100) } else { Tier::new(l1) }.name("l1"))
            .tier(Tier::new(l2).name("l2"))
            .event_handler(seen.clone())
            .event_handler(stats.clone())
            .stampede_protection()
            .build();
        for seed in 0..4 {
            run(&cache, &counts, seed);
        }
        let recorded = seen.take();
        let count = |number: &AtomicU32| number.load(Ordering::SeqCst) as usize;
        assert!(counts.running.iter().all(|running| count(running) == 0));
        let ends: Vec<_> = events::completions(&recorded)
            .into_iter()
            .filter(|end| end.operation() == CacheOperation::GetOrInsert)
            .map(|end| (end.outcome(), end.coalesced()))
            .collect();
        let ended = |outcome, coalesced| ends.iter().filter(|end| **end == (outcome, coalesced)).count();
        assert_eq!(ends.len(), count(&counts.calls));
        assert_eq!(ended(Computed, false), count(&counts.own));
        let coalesced = ended(Computed, true) + ended(Hit, true);
        assert_eq!(ended(Hit, false) + coalesced, count(&counts.others));
        let given_up = ended(Cancelled, false) + ended(Cancelled, true);
        assert_eq!(given_up, count(&counts.given_up));
        assert_eq!(ends.len(), ended(Computed, false) + ended(Hit, false) + coalesced + given_up);
        assert_eq!(stats.coalesced(), (coalesced + ended(Cancelled, true)) as u64);
        assert!(coalesced > 100 && given_up > 100, "{coalesced}, {given_up}");
        invariants::check(&recorded);
    }
}

// S25, S36: no listener, and no call is given up.
#[test]
fn on_several_threads_everybody_is_answered_when_nobody_listens() {
    let counts = Arc::<Counts>::default();
    let cache = Ages::builder("ages").tier(Tier::memory(100)).stampede_protection().build();
    for seed in 10..20 {
        run(&cache, &counts, seed);
    }
    let count = |number: &AtomicU32| number.load(Ordering::SeqCst);
    assert_eq!(count(&counts.own) + count(&counts.others) + count(&counts.given_up), count(&counts.calls));
}
