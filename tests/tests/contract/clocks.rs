//! S11, S12, S53: several processes use one storage, and their clocks differ.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, SystemTime};

use cachet::{CacheEntry, CacheTier, InsertOutcome, ManualClock, Tier, TierContext, TierError, cache_tier};
use cachet_tests::ready;

use crate::{Ages, NANO, millis, mins, secs, value};

/// What is stored of an entry: its value, its time to live, and its time of insertion.
type Row = (u32, Option<Duration>, SystemTime);

/// A storage that outlives the process, or is used by several. Counts the removals.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<(HashMap<String, Row>, usize)>>);

impl Shared {
    fn row(&self, key: &str) -> Option<Row> {
        self.0.lock().unwrap().0.get(key).copied()
    }

    fn removals(&self) -> usize {
        self.0.lock().unwrap().1
    }
}

#[cache_tier(name = "shared")]
impl CacheTier<str, u32> for Shared {
    async fn get(&self, key: &str) -> Result<Option<CacheEntry<u32>>, TierError> {
        Ok(self.row(key).map(|(value, ttl, inserted_at)| CacheEntry::restore(value, ttl, inserted_at)))
    }

    async fn insert(&self, key: String, entry: CacheEntry<u32>) -> Result<InsertOutcome, TierError> {
        let inserted_at = entry.inserted_at().ok_or("an entry without its time")?;
        self.0.lock().unwrap().0.insert(key, (*entry, entry.ttl(), inserted_at));
        Ok(InsertOutcome::Accepted)
    }

    async fn invalidate(&self, key: &str) -> Result<(), TierError> {
        let mut shared = self.0.lock().unwrap();
        shared.1 += usize::from(shared.0.remove(key).is_some());
        Ok(())
    }

    async fn clear(&self) -> Result<(), TierError> {
        self.0.lock().unwrap().0.clear();
        Ok(())
    }
}

/// A process whose clock is ahead by so much, with a time to live of a minute in the storage.
fn process(shared: &Shared, ahead: Duration) -> (Ages, ManualClock) {
    let clock = ManualClock::new();
    clock.set_wall(SystemTime::UNIX_EPOCH + mins(1_000_000) + ahead);
    let tier = Tier::new(shared.clone()).ttl(mins(1));
    (Ages::builder("ages").tier(tier).clock(clock.clone()).build(), clock)
}

// S12
#[test]
fn what_is_expired_by_a_clock_that_is_ahead_is_not_removed_for_the_others() {
    let shared = Shared::default();
    let (first, first_clock) = process(&shared, secs(0));
    let (second, second_clock) = process(&shared, millis(50));
    ready(first.insert("ada", 1)).unwrap();
    for clock in [&first_clock, &second_clock] {
        clock.advance(mins(1));
    }
    assert_eq!(value(&second, "ada"), None, "expired by 50 ms");
    assert_eq!(ready(second.get_many(["ada"])).remove(0).unwrap().map(|entry| *entry), None);
    assert_eq!(value(&first, "ada"), Some(1), "fresh to the end");

    // Removed once it is expired by any clock that is not off by more than the tolerance.
    second_clock.advance(millis(299_950));
    assert_eq!((value(&second, "ada"), shared.removals()), (None, 0));
    second_clock.advance(NANO);
    assert_eq!((value(&second, "ada"), shared.removals()), (None, 1));
}

// S12: what is found expired is removed only if it is still the same entry.
#[test]
fn what_another_process_has_stored_since_is_not_removed() {
    #[derive(Clone)]
    struct Overtaken(Shared);

    #[cache_tier(name = "shared")]
    impl CacheTier<str, u32> for Overtaken {
        async fn get(&self, key: &str) -> Result<Option<CacheEntry<u32>>, TierError> {
            self.0.get(key).await
        }

        async fn insert(&self, key: String, entry: CacheEntry<u32>) -> Result<InsertOutcome, TierError> {
            self.0.insert(key, entry).await
        }

        async fn invalidate(&self, key: &str) -> Result<(), TierError> {
            self.0.invalidate(key).await
        }

        async fn clear(&self) -> Result<(), TierError> {
            self.0.clear().await
        }

        async fn metadata(&self, key: &str) -> Result<Option<CacheEntry<()>>, TierError> {
            // Another process is quicker.
            let now = SystemTime::UNIX_EPOCH + mins(1_000_010);
            self.0.insert(key.to_owned(), CacheEntry::restore(2, None, now)).await?;
            self.0.metadata(key).await
        }
    }

    let shared = Shared::default();
    let (first, _) = process(&shared, secs(0));
    ready(first.insert("ada", 1)).unwrap();
    let clock = ManualClock::new();
    clock.set_wall(SystemTime::UNIX_EPOCH + mins(1_000_010));
    let second = Ages::builder("ages").tier(Tier::new(Overtaken(shared.clone())).ttl(mins(1))).clock(clock).build();
    assert_eq!(value(&second, "ada"), None);
    assert_eq!((shared.row("ada").map(|row| row.0), shared.removals()), (Some(2), 0));
}

// S11, S12: whatever the clocks, within the tolerance no process removes what is fresh for another one.
#[test]
fn no_process_removes_what_is_fresh_for_another_one() {
    let mut random = fastrand::Rng::with_seed(11);
    for _ in 0..200 {
        let shared = Shared::default();
        let processes: Vec<_> = (0..3).map(|_| process(&shared, millis(random.u64(0..300_000)))).collect();
        // When it was stored, and by when it expires, by the clock of the one who stored it.
        let mut fresh: HashMap<u64, (usize, SystemTime)> = HashMap::new();
        for step in 0..60 {
            let number = random.usize(0..processes.len());
            let (cache, clock) = &processes[number];
            let key = random.u64(0..3);
            let name = key.to_string();
            match random.u8(0..4) {
                0 => {
                    let entry = CacheEntry::expires_after(step, secs(random.u64(1..120)));
                    let until = clock.wall() + entry.ttl().unwrap();
                    ready(cache.insert(&*name, entry)).unwrap();
                    fresh.insert(key, (number, until));
                }
                1 => {
                    let by = millis(random.u64(0..30_000));
                    for (_, clock) in &processes {
                        clock.advance(by);
                    }
                }
                _ => drop(ready(cache.get(&*name)).unwrap()),
            }
            for (key, (by, until)) in &fresh {
                if processes[*by].1.wall() <= *until {
                    assert!(shared.row(&key.to_string()).is_some(), "{key} was removed for all");
                }
            }
        }
    }
}

/// Remembers for how long each entry is to be kept.
#[derive(Clone, Default)]
struct Keeps {
    context: Arc<OnceLock<TierContext<str>>>,
    kept_for: Arc<Mutex<Vec<Option<Duration>>>>,
}

#[cache_tier(name = "keeps")]
impl CacheTier<str, u32> for Keeps {
    async fn get(&self, _key: &str) -> Result<Option<CacheEntry<u32>>, TierError> {
        Ok(None)
    }

    async fn insert(&self, _key: String, entry: CacheEntry<u32>) -> Result<InsertOutcome, TierError> {
        self.kept_for.lock().unwrap().push(self.context.get().unwrap().keep_for(&entry));
        Ok(InsertOutcome::Accepted)
    }

    async fn invalidate(&self, _key: &str) -> Result<(), TierError> {
        Ok(())
    }

    async fn clear(&self) -> Result<(), TierError> {
        Ok(())
    }

    fn attach(&self, context: TierContext<str>) {
        assert!(self.context.set(context).is_ok());
    }
}

// S53
#[test]
fn a_tier_is_asked_to_keep_an_entry_for_as_long_as_it_can_be_of_use() {
    let cases = [
        (None, None, [None, Some(secs(5)), Some(secs(100))]),
        (Some(secs(60)), None, [Some(secs(60)), Some(secs(5)), Some(secs(100))]),
        (Some(secs(60)), Some(secs(90)), [Some(secs(90)), Some(secs(90)), Some(secs(100))]),
        (None, Some(secs(90)), [None, Some(secs(90)), Some(secs(100))]),
    ];
    for (ttl, stale, kept_for) in cases {
        let keeps = Keeps::default();
        let mut tier = Tier::new(keeps.clone());
        if let Some(ttl) = ttl {
            tier = tier.ttl(ttl).ttl_jitter(secs(10));
        }
        let builder = Ages::builder("ages").tier(tier).clock(ManualClock::new());
        let cache = if let Some(stale) = stale { builder.serve_stale_on_error(stale).build() } else { builder.build() };
        ready(cache.insert("ada", 1)).unwrap();
        ready(cache.insert("bob", CacheEntry::expires_after(1, secs(5)))).unwrap();
        ready(cache.get_or_insert("eve", || async { CacheEntry::expires_after(1, secs(100)) })).unwrap();
        assert_eq!(*keeps.kept_for.lock().unwrap(), kept_for);
    }
}

// S10, S53: promoted, it is wanted for what is left of its own time.
#[test]
fn a_promoted_entry_is_kept_for_what_is_left_of_its_time() {
    let (keeps, below, clock) = (Keeps::default(), Shared::default(), ManualClock::new());
    let cache = Ages::builder("ages")
        .tier(Tier::new(keeps.clone()).ttl(secs(60)))
        .tier(Tier::new(below.clone()))
        .clock(clock.clone())
        .build();
    ready(cache.insert("ada", CacheEntry::expires_after(1, secs(50)))).unwrap();
    clock.advance(secs(20));
    assert_eq!(value(&cache, "ada"), Some(1));
    assert_eq!(*keeps.kept_for.lock().unwrap(), [Some(secs(50)), Some(secs(30))]);
}
