//! Tiers made of inherent impls: `#[cache_tier(key = …, value = …)] impl Disk { … }`.

use std::borrow::Cow;
use std::collections::HashMap;
use std::error::Error as StdError;
use std::fmt;
use std::future::{Future, ready as ready_future};
use std::io;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use cachet::testing::RecordingHandler;
use cachet::typestate::{HasTier, NoTier};
use cachet::{
    Cache, CacheBuilder, CacheEntry, CacheTier, Error, InsertOutcome, Key, ManualClock, Tier, TierError, Value,
    cache_tier,
};
use cachet_tests::trace::Recorder;
use cachet_tests::{invariants, ready};

/// The store behind the tiers of this file; it can be made to fail.
struct Shelf<K, V> {
    entries: Mutex<HashMap<K, V>>,
    broken: Mutex<bool>,
}

impl<K, V> Default for Shelf<K, V> {
    fn default() -> Self {
        Self { entries: Mutex::default(), broken: Mutex::new(false) }
    }
}

impl<K, V> Shelf<K, V> {
    fn entries(&self) -> MutexGuard<'_, HashMap<K, V>> {
        self.entries.lock().unwrap()
    }

    fn check(&self) -> Result<(), Broken> {
        if *self.broken.lock().unwrap() { Err(Broken) } else { Ok(()) }
    }
}

#[derive(Debug)]
struct Broken;

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("broken")
    }
}

impl StdError for Broken {}

/// Lets the methods that are async wait for something.
async fn pause() {
    ready_future(()).await;
}

/// Async, with `io::Error` and plain values: the smallest there is.
#[derive(Default)]
struct Disk(Shelf<String, Vec<u8>>);

#[cache_tier(key = str, value = Vec<u8>)]
impl Disk {
    async fn get(&self, key: &str) -> io::Result<Option<Vec<u8>>> {
        pause().await;
        self.0.check().map_err(io::Error::other)?;
        Ok(self.0.entries().get(key).cloned())
    }

    async fn insert(&self, key: &str, value: Vec<u8>) -> io::Result<()> {
        pause().await;
        self.0.entries().insert(key.to_owned(), value);
        Ok(())
    }

    async fn invalidate(&self, key: &str) -> io::Result<()> {
        pause().await;
        self.0.entries().remove(key);
        Ok(())
    }
}

/// Sync and infallible where it can be, with entries, and everything else that may be given.
#[derive(Default)]
struct Ages(Shelf<String, CacheEntry<u32>>);

#[cache_tier(key = str, value = u32, name = "ages", level = "trace", fields(most = self.most()), immediate)]
impl Ages {
    fn most(&self) -> u64 {
        self.0.entries().len() as u64
    }

    fn get(&self, key: &str) -> Option<CacheEntry<u32>> {
        self.0.entries().get(key).cloned()
    }

    fn insert(&self, key: String, entry: CacheEntry<u32>) -> InsertOutcome {
        if *entry > 150 {
            return InsertOutcome::Rejected;
        }
        self.0.entries().insert(key, entry);
        InsertOutcome::Accepted
    }

    fn invalidate(&self, key: &str) {
        self.0.entries().remove(key);
    }

    fn clear(&self) {
        self.0.entries().clear();
    }

    fn len(&self) -> usize {
        self.0.entries().len()
    }
}

/// Generic over everything, with a different error in each method.
struct Wide<'s, K: Key + ?Sized, V, const SHARDS: usize> {
    label: &'s str,
    shelf: Shelf<K::Owned, CacheEntry<V>>,
}

#[cache_tier(key = K, value = V, name = "wide", fields(label = self.label, shards = SHARDS))]
impl<K, V, const SHARDS: usize> Wide<'_, K, V, SHARDS>
where
    K: Key + ?Sized,
    V: Value,
{
    fn get<'a>(
        &'a self,
        key: &K,
    ) -> impl Future<Output = Result<Option<CacheEntry<V>>, Broken>> + Send + use<'a, K, V, SHARDS> {
        let entries = self.shelf.entries();
        let found = entries.iter().find(|(stored, _)| **stored == key.to_owned()).map(|(_, entry)| entry.clone());
        ready_future(self.shelf.check().map(|()| found))
    }

    async fn insert(&self, key: K::Owned, entry: CacheEntry<V>) -> Result<InsertOutcome, String> {
        pause().await;
        self.shelf.check().map_err(|error| error.to_string())?;
        self.shelf.entries().insert(key, entry);
        Ok(InsertOutcome::Accepted)
    }

    async fn invalidate(&self, key: &K) -> Result<(), Box<dyn StdError + Send + Sync>> {
        pause().await;
        self.shelf.check()?;
        self.shelf.entries().retain(|stored, _| *stored != key.to_owned());
        Ok(())
    }

    async fn clear(&self) -> Result<(), TierError> {
        pause().await;
        self.shelf.check().map_err(|error| TierError::from(error).with_type("jammed"))?;
        self.shelf.entries().clear();
        Ok(())
    }

    fn len(&self) -> Result<Option<u64>, Cow<'static, str>> {
        self.shelf.check().map_err(|_| "cannot count")?;
        Ok(u64::try_from(self.shelf.entries().len()).ok())
    }
}

fn wide<K: Key + ?Sized, V: Value>() -> Wide<'static, K, V, 4> {
    Wide { label: "w", shelf: Shelf::default() }
}

/// Which of the methods there are is a matter of the platform.
#[derive(Default)]
struct Platform(Shelf<String, usize>);

#[cache_tier(key = str, value = usize)]
impl Platform {
    #[cfg(any())]
    fn get(&self, key: &str) -> String {
        key.to_owned()
    }

    #[cfg(not(any()))]
    fn get(&self, key: &str) -> Option<usize> {
        self.0.entries().get(key).copied()
    }

    fn insert(&self, key: String, _: usize) {
        let len = key.len();
        self.0.entries().insert(key, len);
    }

    fn invalidate(&self, key: &str) {
        self.0.entries().remove(key);
    }
}

macro_rules! tier {
    ($name:ident, $key:ty, $value:ty) => {
        #[derive(Default)]
        struct $name(Shelf<<$key as ToOwned>::Owned, $value>);

        #[cache_tier(key = $key, value = $value)]
        impl $name {
            fn get(&self, key: &$key) -> Option<$value> {
                self.0.entries().get(key).cloned()
            }

            fn insert(&self, key: &$key, value: $value) {
                self.0.entries().insert(key.to_owned(), value);
            }

            fn invalidate(&self, key: &$key) {
                self.0.entries().remove(key);
            }
        }
    };
}

tier!(Substituted, [u8], &'static str);

type Bytes = Cache<str, Vec<u8>>;

/// A cache that is watched, in a time that stands still.
fn watched<K: Key + ?Sized + 'static, V: Value + 'static>(
    add_tiers: impl FnOnce(CacheBuilder<K, V, NoTier>) -> CacheBuilder<K, V, HasTier>,
) -> (Cache<K, V>, RecordingHandler, ManualClock) {
    let (seen, clock) = (RecordingHandler::new(), ManualClock::new());
    let cache = add_tiers(Cache::builder("c")).event_handler(seen.clone()).clock(clock.clone()).build();
    (cache, seen, clock)
}

/// The events since the last call, checked against the laws.
fn seen_lines(seen: &RecordingHandler) -> Vec<String> {
    let recorded = seen.take();
    invariants::check(&recorded);
    recorded.iter().map(ToString::to_string).collect()
}

#[test]
fn tier_under_memory_is_asked_and_promoted_from() {
    let disk = Disk::default();
    disk.0.entries().insert("ada".to_owned(), vec![36]);
    let (cache, seen, _) = watched::<str, Vec<u8>>(|cache| cache.tier(Tier::memory(8)).tier(Tier::new(disk)));
    assert_eq!(ready(cache.get("ada")).unwrap().as_deref(), Some(&vec![36]));
    ready(cache.insert("eve", vec![1])).unwrap();
    ready(cache.invalidate("ada")).unwrap();
    assert_eq!(ready(cache.get("ada")).unwrap(), None);
    assert_eq!(
        seen_lines(&seen),
        [
            "memory get: miss",
            "disk get: hit (fallback)",
            "memory insert: inserted",
            "get: hit",
            "memory insert: inserted",
            "disk insert: inserted",
            "insert: inserted",
            "memory invalidate: invalidated",
            "disk invalidate: invalidated",
            "invalidate: invalidated",
            "memory get: miss",
            "disk get: miss (fallback)",
            "get: miss",
        ]
    );
}

#[test]
fn errors_of_every_kind_keep_their_source() {
    let disk = Disk::default();
    *disk.0.broken.lock().unwrap() = true;
    let cache = Bytes::builder("c").tier(Tier::new(disk)).build();
    let error = ready(cache.get("ada")).unwrap_err();
    assert!(error.is_tier());
    assert_eq!(error.tier_name(), Some("disk"));
    assert_eq!(error.source_as::<io::Error>().unwrap().kind(), io::ErrorKind::Other);

    let tier = wide::<str, u32>();
    *tier.shelf.broken.lock().unwrap() = true;
    assert!(ready(CacheTier::get(&tier, "ada")).map_err(Error::from).unwrap_err().source_as::<Broken>().is_some());
    let error = Error::from(ready(CacheTier::insert(&tier, "ada".to_owned(), CacheEntry::new(1))).unwrap_err());
    assert_eq!(format!("{error:#}"), "a cache tier failed: broken");
    assert!(
        ready(CacheTier::invalidate(&tier, "ada")).map_err(Error::from).unwrap_err().source_as::<Broken>().is_some()
    );
    let error = Error::from(ready(CacheTier::clear(&tier)).unwrap_err());
    assert_eq!((error.error_type(), error.source_as::<Broken>().is_some()), ("jammed", true));
    let error = Error::from(ready(CacheTier::len(&tier)).unwrap_err());
    assert_eq!(format!("{error:#}"), "a cache tier failed: cannot count");
}

#[test]
fn entries_keep_their_times_to_live() {
    let (cache, _, clock) = watched(|cache| cache.tier(Tier::new(wide::<str, u32>()).ttl(Duration::from_secs(10))));
    ready(cache.insert("ada", 36)).unwrap();
    ready(cache.insert("eve", CacheEntry::expires_after(40, Duration::from_secs(2)))).unwrap();
    clock.advance(Duration::from_secs(2));
    assert!(ready(cache.get("eve")).unwrap().is_some());
    clock.advance(Duration::from_secs(1));
    assert!(ready(cache.get("eve")).unwrap().is_none());
    assert!(ready(cache.get("ada")).unwrap().is_some());
    clock.advance(Duration::from_secs(8));
    assert!(ready(cache.get("ada")).unwrap().is_none());
}

#[test]
fn plain_values_never_outlive_their_time() {
    let (cache, seen, _) = watched::<str, Vec<u8>>(|cache| cache.tier(Tier::new(Disk::default())));
    // It would be kept for ever: turned away, and nothing older is left.
    ready(cache.insert("ada", vec![1])).unwrap();
    let outcome = ready(cache.insert("ada", CacheEntry::expires_after(vec![2], Duration::from_secs(1)))).unwrap();
    assert_eq!(outcome, InsertOutcome::Rejected);
    assert_eq!(ready(cache.get("ada")).unwrap(), None);
    let expected =
        ["disk insert: rejected", "disk invalidate: invalidated", "insert: rejected", "disk get: miss", "get: miss"];
    assert_eq!(seen_lines(&seen)[2..], expected);

    // A tier that does not know the age of anything finds everything expired.
    let (cache, seen, _) =
        watched::<str, Vec<u8>>(|cache| cache.tier(Tier::new(Disk::default()).ttl(Duration::from_secs(9))));
    ready(cache.insert("ada", vec![1])).unwrap();
    assert_eq!(ready(cache.get("ada")).unwrap(), None);
    let lines = seen_lines(&seen);
    assert!(lines.iter().any(|line| line.starts_with("disk get: expired")), "{lines:#?}");
}

#[test]
fn optional_methods_are_used_where_they_are() {
    let cache = Cache::<str, u32>::builder("c").tier(Tier::new(Ages::default())).build();
    ready(cache.insert("ada", 36)).unwrap();
    assert_eq!(ready(cache.insert("methuselah", 969)).unwrap(), InsertOutcome::Rejected);
    assert_eq!(ready(cache.len()).unwrap(), Some(1));
    ready(cache.clear()).unwrap();
    assert_eq!(ready(cache.len()).unwrap(), Some(0));
    assert!(cache.tier_names().eq(["ages"]));
}

#[test]
fn tier_without_them_says_so() {
    let cache = Bytes::builder("c").tier(Tier::new(Disk::default())).build();
    assert_eq!(ready(cache.len()).unwrap(), None);
    let error = ready(cache.clear()).unwrap_err();
    assert_eq!(error.error_type(), "unsupported");
    assert_eq!(format!("{error:#}"), "cache tier `disk` failed: its type has no method `clear`");
}

#[test]
fn conditions_and_fragments_are_seen_through() {
    let cache = Cache::<str, usize>::builder("c").tier(Tier::new(Platform::default())).build();
    ready(cache.insert("ada", 0)).unwrap();
    assert_eq!(ready(cache.get("ada")).unwrap().as_deref(), Some(&3));
    ready(cache.invalidate("ada")).unwrap();
    assert_eq!(ready(cache.get("ada")).unwrap(), None);

    let cache = Cache::<[u8], &'static str>::builder("c").tier(Tier::new(Substituted::default())).build();
    ready(cache.insert(*b"ada", "36")).unwrap();
    assert_eq!(ready(cache.get(b"ada")).unwrap().as_deref(), Some(&"36"));
    ready(cache.invalidate(b"ada")).unwrap();
    assert_eq!(ready(cache.get(b"ada")).unwrap(), None);
}

#[test]
fn spans_have_the_name_the_level_and_the_fields() {
    let seen = Recorder::listen(|| {
        let cache = Cache::<str, u32>::builder("c").tier(Tier::new(Ages::default())).enable_logs().build();
        ready(cache.insert("ada", 36)).unwrap();
        let cache = Cache::<str, u32>::builder("c").tier(Tier::new(wide::<str, u32>())).enable_logs().build();
        ready(cache.get("ada")).unwrap();
    });
    seen.check();
    let spans = seen.spans_as_lines();
    let has = |parts: &[&str]| {
        let found = spans.iter().any(|span| parts.iter().all(|part| span.contains(part)));
        assert!(found, "{parts:?}: {spans:#?}");
    };
    has(&["TRACE", "inherent", "\"ages\"", "most=", "inserted"]);
    has(&["DEBUG", "inherent", "\"wide\"", "label=\"w\"", "shards=4", "miss"]);
}

#[test]
fn methods_can_still_be_called_by_themselves() {
    let disk = Disk::default();
    ready(disk.insert("ada", vec![1])).unwrap();
    assert_eq!(ready(disk.get("ada")).unwrap(), Some(vec![1]));
}

#[test]
fn futures_are_send() {
    fn is_send(_: impl Send) {}
    let (disk, ages) = (Disk::default(), Ages::default());
    is_send(CacheTier::get(&disk, "ada"));
    is_send(CacheTier::insert(&ages, String::new(), CacheEntry::new(1)));
    is_send(CacheTier::clear(&disk));
}
