//! S8a, S52, S55: what a tier and an entry get without asking for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cachet::telemetry::TierOperation::{Insert, Invalidate};
use cachet::testing::Behavior::Pend;
use cachet::{Cache, CacheEntry, CacheTier, InsertOutcome, Tier, TierError, cache_tier};
use cachet_tests::task::pend;
use cachet_tests::{ManualTask, ready};

use crate::{Ages, Mock, NANO, TestCache, secs, stored, value};

/// Implements no method for several keys. Even keys are there.
#[derive(Clone, Default)]
struct Plain {
    running: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

impl Plain {
    async fn call(&self) {
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(running, Ordering::SeqCst);
        pend(1).await;
        self.running.fetch_sub(1, Ordering::SeqCst);
    }

    fn most(&self) -> usize {
        self.most.swap(0, Ordering::SeqCst)
    }
}

fn fail_on_sevens(key: u64) -> Result<(), TierError> {
    if key.is_multiple_of(7) { Err(format!("{key} is bad").into()) } else { Ok(()) }
}

#[cache_tier(name = "plain")]
impl CacheTier<u64, u64> for Plain {
    async fn get(&self, key: &u64) -> Result<Option<CacheEntry<u64>>, TierError> {
        self.call().await;
        fail_on_sevens(*key)?;
        Ok(key.is_multiple_of(2).then(|| CacheEntry::new(*key)))
    }

    async fn insert(&self, key: u64, _entry: CacheEntry<u64>) -> Result<InsertOutcome, TierError> {
        self.call().await;
        fail_on_sevens(key)?;
        Ok(if key.is_multiple_of(2) { InsertOutcome::Accepted } else { InsertOutcome::Rejected })
    }

    async fn invalidate(&self, key: &u64) -> Result<(), TierError> {
        self.call().await;
        fail_on_sevens(*key)
    }

    async fn clear(&self) -> Result<(), TierError> {
        Ok(())
    }
}

// S55: one bad key fails alone, the results are in the order of the keys, and not all keys are sent at once.
#[test]
fn by_default_ten_thousand_keys_get_what_a_single_call_gives_a_few_at_a_time() {
    let plain = Plain::default();
    let cache = Cache::<u64, u64>::builder("numbers").tier(Tier::new(plain.clone())).build();
    let keys: Vec<u64> = (0..10_000).collect();

    let found = ManualTask::new(cache.get_many(&keys)).finish();
    assert_eq!((found.len(), plain.most()), (10_000, 16));
    for (key, found) in keys.iter().zip(found) {
        match found {
            Ok(found) => assert_eq!(found.map(CacheEntry::into_value), key.is_multiple_of(2).then_some(*key)),
            Err(error) => assert_eq!(format!("{error:#}"), format!("cache tier `plain` failed: {key} is bad")),
        }
    }

    let removed = ManualTask::new(cache.invalidate_many(&keys)).finish();
    assert!(keys.iter().zip(&removed).all(|(key, removed)| removed.is_err() == key.is_multiple_of(7)));
    assert_eq!((removed.len(), plain.most()), (10_000, 16));

    let inserted = ManualTask::new(cache.insert_many((0..1000).map(|key| (key, key)))).finish();
    for (key, inserted) in (0_u64..).zip(&inserted) {
        let expected = if key.is_multiple_of(2) { InsertOutcome::Accepted } else { InsertOutcome::Rejected };
        assert_eq!(inserted.as_ref().ok(), (!key.is_multiple_of(7)).then_some(&expected), "{key}");
    }
    // One after the other, since a key may occur twice; what was not stored is then removed, a few at a time.
    assert_eq!((inserted.len(), plain.most()), (1000, 16));
}

// S52
#[test]
fn a_new_time_to_live_on_an_entry_in_hand_counts_from_the_insert_that_follows() {
    let test = TestCache::new(Ages::builder("ages").tier(Tier::memory(10).name("l1")));
    ready(test.cache.insert("ada", CacheEntry::expires_after(1, secs(60)))).unwrap();
    test.clock.advance(secs(50));
    let entry = ready(test.cache.get("ada")).unwrap().unwrap().with_ttl(Some(secs(60)));
    test.clock.advance(secs(100));
    ready(test.cache.insert("ada", entry)).unwrap();
    test.clock.advance(secs(60));
    assert_eq!(value(&test.cache, "ada"), Some(1));
    test.clock.advance(NANO);
    assert_eq!(value(&test.cache, "ada"), None);

    // The same, without one: it lives on.
    ready(test.cache.insert("bob", CacheEntry::expires_after(1, secs(60)))).unwrap();
    let entry = ready(test.cache.get("bob")).unwrap().unwrap().with_ttl(None);
    ready(test.cache.insert("bob", entry)).unwrap();
    test.clock.advance(secs(1000));
    assert_eq!(value(&test.cache, "bob"), Some(1));
}

// S8a: the tiers of the library.
#[test]
fn a_write_that_was_dropped_takes_no_effect_after_a_later_call() {
    for polls in 0..4 {
        let mock = Mock::new();
        mock.next(Insert, Pend(3));
        let mut inserting = ManualTask::new(CacheTier::insert(&mock, "ada".to_owned(), CacheEntry::new(1)));
        inserting.pend(polls.min(3));
        drop(inserting);
        ManualTask::new(CacheTier::invalidate(&mock, "ada")).finish().unwrap();
        assert_eq!(stored(&mock, "ada"), None);

        mock.put("bob", 1);
        mock.next(Invalidate, Pend(3));
        let mut removing = ManualTask::new(CacheTier::invalidate(&mock, "bob"));
        removing.pend(polls.min(3));
        drop(removing);
        ManualTask::new(CacheTier::insert(&mock, "bob".to_owned(), CacheEntry::new(2))).finish().unwrap();
        assert_eq!(stored(&mock, "bob"), Some(2));
    }
    // The memory tier answers at its first poll, or has done nothing.
    let cache = Ages::builder("ages").tier(Tier::memory(10)).build();
    drop(cache.insert("ada", 1));
    ready(cache.insert("ada", 2)).unwrap();
    assert_eq!(value(&cache, "ada"), Some(2));
}
