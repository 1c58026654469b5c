//! S37: operations at the same time, on one thread and on several.

use std::sync::{Arc, Mutex};

use cachet::telemetry::TierOperation::{Get, Insert};
use cachet::telemetry::{CacheOperationEvent, RecordKeys, RequestIdExt};
use cachet::testing::Behavior::Pend;
use cachet::testing::RecordingHandler;
use cachet::{CacheEntry, CacheEventHandler, CacheTier, InsertOutcome, RequestId, Tier, TierError, cache_tier};
use cachet_tests::task::pend;
use cachet_tests::{ManualTask, block_on, events, invariants, ready};

use crate::{Ages, Mock, TestCache, TwoTiers};

// S37, law 2
#[test]
fn operations_that_take_turns_never_mix() {
    let two = TwoTiers::new();
    two.l2.put("ada", 1);
    for _ in 0..3 {
        two.l1.next(Get, Pend(1));
        two.l2.next(Get, Pend(1));
    }
    two.l1.next(Insert, Pend(1));
    let mut ada = ManualTask::new(two.cache.get("ada"));
    let mut bob = ManualTask::new(two.cache.get("bob"));
    let mut eve = ManualTask::new(two.cache.try_get_or_insert("eve", || async {
        let id = RequestId::current();
        pend(1).await;
        assert_eq!(RequestId::current(), id);
        std::io::Result::Ok(3)
    }));
    ada.pend(1);
    bob.pend(1);
    eve.pend(1);
    ada.pend(1);
    eve.pend(1);
    bob.pend(1);
    ada.pend(1);
    assert!(bob.ready().unwrap().is_none());
    eve.pend(1);
    assert!(ada.ready().unwrap().is_some());
    assert_eq!(*eve.ready().unwrap(), 3);

    let recorded = two.events();
    assert_eq!(
        events::by_operation(&recorded),
        [
            &["l1 get: miss", "l2 get: miss (fallback)", "get: miss"][..],
            &["l1 get: miss", "l2 get: hit (fallback)", "l1 insert: inserted", "get: hit"],
            &[
                "l1 get: miss",
                "l2 get: miss (fallback)",
                "l1 insert: inserted",
                "l2 insert: inserted",
                "try_get_or_insert: computed"
            ],
        ]
    );
    assert!(events::completions(&recorded).iter().all(|end| end.parent_request_id().is_none()));
}

/// Notes the current request id at every poll.
#[derive(Clone, Default)]
struct Witness(Arc<Mutex<Vec<RequestId>>>);

impl Witness {
    async fn note(&self) {
        for polls in [1, 1, 0] {
            self.0.lock().unwrap().push(RequestId::current().unwrap());
            pend(polls).await;
        }
    }
}

#[cache_tier(name = "witness")]
impl CacheTier<str, u32> for Witness {
    async fn get(&self, _: &str) -> Result<Option<CacheEntry<u32>>, TierError> {
        self.note().await;
        Ok(None)
    }

    async fn insert(&self, _: String, _: CacheEntry<u32>) -> Result<InsertOutcome, TierError> {
        self.note().await;
        Ok(InsertOutcome::Accepted)
    }

    async fn invalidate(&self, _: &str) -> Result<(), TierError> {
        self.note().await;
        Ok(())
    }

    async fn clear(&self) -> Result<(), TierError> {
        self.note().await;
        Ok(())
    }
}

// S37
#[test]
fn an_id_survives_the_migration_of_its_task_from_thread_to_thread() {
    let witness = Witness::default();
    let test = TestCache::new(Ages::builder("ages").tier(Tier::new(witness.clone())));
    let cache = &test.cache;
    let inside = Mutex::new(Vec::new());
    let mut compute = ManualTask::new(cache.get_or_insert("ada", || async {
        for _ in 0..2 {
            inside.lock().unwrap().push(RequestId::current().unwrap());
            pend(1).await;
        }
        1
    }));
    let mut polls = 0;
    loop {
        // Every poll on a thread of its own.
        let polled = std::thread::scope(|scope| scope.spawn(|| compute.poll()).join().unwrap());
        polls += 1;
        assert_eq!(RequestId::current(), None);
        if let std::task::Poll::Ready(entry) = polled {
            assert_eq!(*entry.unwrap(), 1);
            break;
        }
    }
    drop(compute);
    assert_eq!(polls, 7);
    let recorded = test.events();
    let id = events::completion(&recorded).request_id();
    assert_eq!(*witness.0.lock().unwrap(), [id; 6]);
    assert_eq!(*inside.lock().unwrap(), [id; 2]);
    assert_eq!(events::lines(&recorded), ["witness get: miss", "witness insert: inserted", "get_or_insert: computed"]);
}

// S37
#[test]
fn a_future_dropped_on_another_thread_is_cancelled_under_its_own_id() {
    /// Notes the current id when it is dropped.
    struct Dropped<'n>(&'n Mutex<Option<RequestId>>);

    impl Drop for Dropped<'_> {
        fn drop(&mut self) {
            *self.0.lock().unwrap() = RequestId::current();
        }
    }

    let two = TwoTiers::new();
    let noted = Mutex::new(None);
    let mut compute = ManualTask::new(two.cache.get_or_insert("ada", || async {
        let _dropped = Dropped(&noted);
        pend(u32::MAX).await;
        1
    }));
    compute.pend(1);
    std::thread::scope(|scope| drop(scope.spawn(move || drop(compute)).join()));
    let recorded = two.events();
    assert_eq!(*noted.lock().unwrap(), Some(events::completion(&recorded).request_id()));
    assert_eq!(recorded.last().unwrap().to_string(), "get_or_insert: cancelled");
}

// S37
#[test]
fn an_id_never_outlives_its_poll() {
    let id = RequestId::next();
    let other = RequestId::next();
    let mut outer = ManualTask::new(
        async {
            assert_eq!(RequestId::current(), Some(id));
            async { assert_eq!(RequestId::current(), Some(other)) }.with_request_id(other).await;
            assert_eq!(RequestId::current(), Some(id));
            pend(1).await;
            assert_eq!(RequestId::current(), Some(id));
        }
        .with_request_id(id),
    );
    outer.pend(1);
    assert_eq!(RequestId::current(), None);
    outer.ready();
    assert_eq!(RequestId::current(), None);
}

// S37
#[test]
fn two_threads_never_mix_their_operations() {
    let seen = RecordingHandler::new();
    let below = Mock::new();
    let cache = Ages::builder("ages")
        .tier(Tier::memory(64).name("l1"))
        .tier(Tier::new(below).name("l2"))
        .event_handler(seen.clone())
        .build();
    std::thread::scope(|scope| {
        for thread in 0..2_u32 {
            let cache = &cache;
            scope.spawn(move || {
                for round in 0..500_u32 {
                    let key = format!("{}", (round * 7 + thread) % 50);
                    drop(block_on(cache.insert(key.as_str(), round)));
                    drop(block_on(cache.get(&key)));
                    drop(block_on(cache.get_or_insert(&key, || async { round })));
                    if round % 3 == 0 {
                        drop(block_on(cache.invalidate(&key)));
                    }
                }
            });
        }
    });
    let recorded = seen.take();
    invariants::check(&recorded);
    assert_eq!(events::completions(&recorded).len(), 2 * (500 * 3 + 167));
}

// S37, law 2
#[test]
fn ids_taken_by_many_threads_are_all_different() {
    let mut ids: Vec<RequestId> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..4).map(|_| scope.spawn(|| (0..3000).map(|_| RequestId::next()).collect::<Vec<_>>())).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 12_000);
}

// S37
#[test]
fn handlers_are_told_outside_of_the_operation() {
    #[derive(Clone, Default)]
    struct Current(Arc<Mutex<Vec<Option<bool>>>>);
    impl CacheEventHandler for Current {
        fn on_operation_event(&self, event: &CacheOperationEvent<'_>) {
            self.0.lock().unwrap().push(RequestId::current().map(|id| id == event.request_id()));
        }
    }
    let reported = |keys| {
        let current = Current::default();
        let cache =
            Ages::builder("ages").tier(Tier::memory(10)).event_handler(current.clone()).record_keys(keys).build();
        ready(cache.insert("a", 1)).unwrap();
        ready(cache.get("a")).unwrap();
        ready(cache.get("b")).unwrap();
        current.0.lock().unwrap().clone()
    };
    assert_eq!(reported(RecordKeys::omitted()), reported(RecordKeys::full()));
}
