//! Jitter, from end to end, and how to remember for a while that there is nothing.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use cachet::{Cache, CacheEntry, ManualClock, Tier};
use cachet_tests::ready;

use crate::{NANO, millis, secs};

type Numbers = Cache<u32, u32>;

const TTL: Duration = secs(60);
const JITTER: Duration = secs(20);
/// The shortest time that an entry may live, and one at which about half of them do.
const SHORTEST: Duration = secs(40);
const HALF_WAY: Duration = secs(50);

/// A cache with a hundred entries, and a clock to let them grow old.
fn hundred(configure: impl FnOnce(Tier<u32, u32>) -> Tier<u32, u32>) -> (Numbers, ManualClock) {
    let clock = ManualClock::new();
    let cache = Numbers::builder("numbers").tier(configure(Tier::memory(1000))).clock(clock.clone()).build();
    for key in 0..100 {
        ready(cache.insert(key, key)).unwrap();
    }
    (cache, clock)
}

fn alive(cache: &Numbers) -> Vec<u32> {
    (0..100).filter(|key| ready(cache.contains(key)).unwrap()).collect()
}

#[test]
fn with_jitter_some_entries_expire_before_others_and_none_before_its_time() {
    let (cache, clock) = hundred(|tier| tier.ttl(TTL).ttl_jitter(JITTER).ttl_jitter_seed(7));
    clock.advance(SHORTEST);
    assert_eq!(alive(&cache).len(), 100);
    let mut left = vec![];
    for _ in 0..4 {
        clock.advance(JITTER / 4);
        left.push(alive(&cache).len());
    }
    assert!(left.is_sorted_by(|before, after| before > after), "{left:?}");
    assert!((60..90).contains(&left[0]) && (35..65).contains(&left[1]), "{left:?}");
    clock.advance(NANO);
    assert_eq!(alive(&cache), [0_u32; 0]);
}

// What a lookup says of an entry's age, every lookup says.
#[test]
fn whoever_asks_finds_the_same_entries_alive() {
    let (cache, clock) = hundred(|tier| tier.ttl(TTL).ttl_jitter(JITTER).ttl_jitter_seed(7));
    clock.advance(HALF_WAY);
    let keys: Vec<u32> = (0..100).collect();
    let contained = alive(&cache);
    let got: Vec<u32> = keys.iter().copied().filter(|key| ready(cache.get(key)).unwrap().is_some()).collect();
    let together = ready(cache.get_many(&keys));
    let many: Vec<u32> =
        keys.iter().copied().filter(|key| together[*key as usize].as_ref().unwrap().is_some()).collect();
    assert_eq!((&contained, &contained), (&got, &many));
}

#[test]
fn jitter_is_the_same_in_every_run_with_its_seed_and_another_with_another() {
    let left = |seed| {
        let (cache, clock) = hundred(|tier| tier.ttl_jitter_seed(seed).ttl_jitter(JITTER).ttl(TTL));
        clock.advance(HALF_WAY);
        alive(&cache)
    };
    assert_eq!(left(7), left(7));
    assert_ne!(left(7), left(8));
}

#[test]
fn without_a_seed_every_cache_has_one_of_its_own() {
    let left = || {
        let (cache, clock) = hundred(|tier| tier.ttl(TTL).ttl_jitter(JITTER));
        clock.advance(HALF_WAY);
        alive(&cache)
    };
    assert_ne!(left(), left());
}

// S9
#[test]
fn an_entrys_own_time_to_live_is_not_shortened() {
    let (cache, clock) = hundred(|tier| tier.ttl(secs(1)).ttl_jitter(secs(1)).ttl_jitter_seed(7));
    for key in 0..100 {
        ready(cache.insert(key, CacheEntry::expires_after(key, TTL))).unwrap();
    }
    clock.advance(TTL);
    assert_eq!(alive(&cache).len(), 100);
    clock.advance(NANO);
    assert_eq!(alive(&cache), [0_u32; 0]);
}

#[test]
fn jitter_alone_lets_nothing_expire() {
    let (cache, clock) = hundred(|tier| tier.ttl_jitter(JITTER).ttl_jitter_seed(7));
    clock.advance(TTL * 1000);
    assert_eq!(alive(&cache).len(), 100);
}

// S20, S21: as `optionally_get_or_insert` says.
#[test]
fn that_there_is_nothing_is_forgotten_at_once_or_remembered_as_a_value_for_as_long_as_it_says() {
    let clock = ManualClock::new();
    let users =
        Cache::<u32, Option<&'static str>>::builder("users").tier(Tier::memory(10)).clock(clock.clone()).build();
    let asked = AtomicU32::new(0);
    let look_up = |answer: Result<Option<&'static str>, ()>| {
        ready(users.optionally_get_or_insert(&7, || async {
            asked.fetch_add(1, Ordering::Relaxed);
            match answer {
                Ok(Some(name)) => Some(CacheEntry::new(Some(name))),
                Ok(None) => Some(CacheEntry::expires_after(None, secs(30))),
                Err(()) => None,
            }
        }))
        .unwrap()
        .map(CacheEntry::into_value)
    };
    // Nothing is known, so nothing is remembered.
    assert_eq!((look_up(Err(())), look_up(Err(())), asked.load(Ordering::Relaxed)), (None, None, 2));
    // It is known that there is nothing.
    assert_eq!(
        (look_up(Ok(None)), look_up(Ok(Some("ada"))), asked.load(Ordering::Relaxed)),
        (Some(None), Some(None), 3)
    );
    clock.advance(secs(30));
    assert_eq!((look_up(Ok(Some("ada"))), asked.load(Ordering::Relaxed)), (Some(None), 3));
    // Until it is asked again.
    clock.advance(millis(1));
    assert_eq!((look_up(Ok(Some("ada"))), asked.load(Ordering::Relaxed)), (Some(Some("ada")), 4));
    clock.advance(secs(3600));
    assert_eq!((look_up(Ok(None)), asked.load(Ordering::Relaxed)), (Some(Some("ada")), 4));
}
