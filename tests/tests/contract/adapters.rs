//! S39: handlers around handlers, and handlers that are busy.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use cachet::telemetry::{Buffered, Filtered, OperationOutcome, Sampled, TierOperation, TierOutcome};
use cachet::telemetry::{CacheTierEvent, EventMask};
use cachet::testing::RecordingHandler;
use cachet::{CacheEventHandler, Tier};
use cachet_tests::{events, invariants, ready};

use crate::{Ages, Mock, value};

fn ages(handler: impl CacheEventHandler) -> Ages {
    Ages::builder("ages")
        .tier(Tier::memory(10).name("l1"))
        .tier(Tier::new(Mock::new()).name("l2"))
        .event_handler(handler)
        .build()
}

// S39
#[test]
fn a_full_buffer_drops_events_and_counts_them() {
    let seen = RecordingHandler::new();
    let (buffered, events) = Buffered::new(4, seen.interest());
    let cache = ages(buffered.clone());
    value(&cache, "ada");
    assert_eq!(buffered.dropped(), 0);
    value(&cache, "bob");
    assert_eq!(buffered.dropped(), 2);
    assert_eq!(seen.take_lines(), [""; 0]);

    assert!(events.deliver_queued_to(&seen));
    assert_eq!(seen.take_lines(), ["l1 get: miss", "l2 get: miss (fallback)", "get: miss", "l1 get: miss"]);
    ready(cache.insert("ada", 1)).unwrap();
    drop((cache, buffered));
    assert!(!events.deliver_queued_to(&seen));
    assert_eq!(seen.take_lines(), ["l1 insert: inserted", "l2 insert: inserted", "insert: inserted"]);
}

// S39
#[test]
fn a_buffer_without_another_end_drops_everything() {
    let (buffered, events) = Buffered::new(0, EventMask::OPERATIONS);
    drop(events);
    let cache = ages(buffered.clone());
    value(&cache, "ada");
    assert_eq!(buffered.dropped(), 1);
}

// S39
#[test]
fn buffered_events_arrive_on_another_thread_as_they_were_sent() {
    let (seen, direct) = (RecordingHandler::new(), RecordingHandler::new());
    let (buffered, events) = Buffered::new(1000, seen.interest());
    let deliver = std::thread::spawn({
        let seen = seen.clone();
        move || events.deliver_to(&seen)
    });
    let cache = Ages::builder("ages")
        .tier(Tier::new(Mock::new()).name("l1"))
        .event_handler(buffered)
        .event_handler(direct.clone())
        .build();
    for key in ["ada", "bob", "eve"] {
        value(&cache, key);
    }
    drop(cache);
    deliver.join().unwrap();
    let seen = seen.take();
    invariants::check(&seen);
    let debug = |event| format!("{event:?}");
    assert_eq!(
        seen.into_iter().map(debug).collect::<Vec<_>>(),
        direct.take().into_iter().map(debug).collect::<Vec<_>>()
    );
}

// S36
#[test]
fn a_filter_hands_on_what_it_accepts() {
    let seen = RecordingHandler::new();
    let cache = ages(
        Filtered::new(seen.clone())
            .tiers(|event| event.outcome() == TierOutcome::Inserted)
            .operations(|event| event.outcome() == OperationOutcome::Miss),
    );
    value(&cache, "ada");
    ready(cache.insert("ada", 1)).unwrap();
    value(&cache, "ada");
    assert_eq!(seen.take_lines(), ["get: miss", "l1 insert: inserted", "l2 insert: inserted"]);
}

// S36: one in so many, whatever the number, and each as a whole.
#[test]
fn a_sample_is_of_about_the_size_asked_for_and_of_whole_operations() {
    for one_in in [0, 1, 2, 3, 10, 64, 100, 1000, 1024, 4096] {
        let seen = RecordingHandler::new();
        let cache = ages(Sampled::one_in(one_in, seen.clone()));
        let operations = 40_000;
        for _ in 0..operations {
            value(&cache, "ada");
        }
        let recorded = seen.take();
        invariants::check(&recorded);
        let sampled = events::completions(&recorded).len();
        let expected = operations / one_in.max(1) as usize;
        assert!(
            (expected / 2..=expected * 2).contains(&sampled),
            "one in {one_in}: {sampled} of {operations}, expected about {expected}"
        );
    }
}

/// Uses the cache that it listens to, whenever it is called.
struct Busybody(Arc<OnceLock<Ages>>, AtomicBool);

impl CacheEventHandler for Busybody {
    fn on_tier_event(&self, event: &CacheTierEvent<'_>) {
        let Some(cache) = self.0.get() else { return };
        let stored = matches!(event.operation(), TierOperation::Evict | TierOperation::Insert);
        // Not about what it causes itself.
        if stored && !self.1.swap(true, Ordering::SeqCst) {
            ready(cache.get("ada")).unwrap();
            ready(cache.insert("dan", 7)).unwrap();
            ready(cache.invalidate("ada")).unwrap();
            ready(cache.get_or_insert("eve", || async { 1 })).unwrap();
            ready(cache.clear()).unwrap();
            self.1.store(false, Ordering::SeqCst);
        }
    }
}

// S39: a handler is called at no place where the cache could not be used.
#[test]
fn a_handler_may_use_the_cache_it_listens_to() {
    let (done, waiting) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let (slot, below) = (Arc::new(OnceLock::new()), Mock::new());
        let cache = Ages::builder("ages")
            .tier(Tier::memory(1).name("l1"))
            .tier(Tier::new(below.clone()).name("l2"))
            .event_handler(Busybody(Arc::clone(&slot), AtomicBool::new(false)))
            .build();
        for round in 0..10 {
            // The promotion evicts, and so reports from within the tier's own insert.
            below.put("ada", round);
            value(&cache, "ada");
            ready(cache.insert("bob", round)).unwrap();
            ready(cache.get_or_insert("cay", || async { round })).unwrap();
            if round == 0 {
                assert!(slot.set(cache.clone()).is_ok());
            }
        }
        done.send(()).unwrap();
    });
    // Waits only for what has hung.
    assert_eq!(
        waiting.recv_timeout(std::time::Duration::from_secs(10)),
        Ok(()),
        "the handler and the cache wait for each other"
    );
}
