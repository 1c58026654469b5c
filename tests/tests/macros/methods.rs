//! The methods: every form in which the trait lets them be written.

use std::future::{Future, ready as at_once};
use std::pin::Pin;
use std::sync::Mutex;

use cachet::{CacheEntry, CacheTier, Error, EvictionReporter, InsertOutcome, Tier, TierError, cache_tier};
use cachet_tests::ready;
use cachet_tests::trace::Recorder;

use crate::support::{Shelf, used};

#[derive(Default)]
struct ReturnsImpl(Shelf);

#[cache_tier]
impl CacheTier<str, u32> for ReturnsImpl {
    #[expect(clippy::manual_async_fn, reason = "this is the form in question")]
    fn get(&self, key: &str) -> impl Future<Output = Result<Option<CacheEntry<u32>>, TierError>> + Send {
        async move { self.0.get(key) }
    }

    fn insert(&self, key: String, entry: CacheEntry<u32>) -> impl Future<Output = Result<InsertOutcome, TierError>> + Send {
        at_once(self.0.insert(key, entry))
    }

    fn invalidate(&self, key: &str) -> impl Future<Output = Result<(), TierError>> + Send {
        at_once(self.0.invalidate(key))
    }

    fn clear(&self) -> impl Future<Output = Result<(), TierError>> + Send {
        at_once(self.0.clear())
    }
}

#[test]
fn methods_that_return_impl_future() {
    assert_eq!(used(Tier::new(ReturnsImpl::default())), "returns_impl");
}

type Boxed<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

#[derive(Default)]
struct ReturnsBoxed(Shelf);

#[cache_tier]
#[allow(refining_impl_trait, reason = "this is the form in question")]
impl CacheTier<str, u32> for ReturnsBoxed {
    fn get(&self, key: &str) -> Pin<Box<dyn Future<Output = Result<Option<CacheEntry<u32>>, TierError>> + Send + 'static>> {
        let found = self.0.get(key);
        Box::pin(async move { found })
    }

    fn insert(&self, key: String, entry: CacheEntry<u32>) -> Boxed<'_, InsertOutcome> {
        Box::pin(async move { self.0.insert(key, entry) })
    }

    fn invalidate(&self, key: &str) -> Boxed<'_, ()> {
        let key = key.to_owned();
        Box::pin(async move { self.0.invalidate(key.as_str()) })
    }

    fn clear(&self) -> Boxed<'_, ()> {
        Box::pin(async move { self.0.clear() })
    }
}

#[test]
fn methods_that_return_boxed_futures() {
    assert_eq!(used(Tier::new(ReturnsBoxed::default())), "returns_boxed");
}

#[derive(Default)]
struct Mixed(Shelf);

#[cache_tier]
#[allow(refining_impl_trait, reason = "this is the form in question")]
impl CacheTier<str, u32> for Mixed {
    fn clear(&self) -> Boxed<'_, ()> {
        Box::pin(async move { self.0.clear() })
    }

    fn invalidate(&self, key: &str) -> impl Future<Output = Result<(), TierError>> + Send {
        at_once(self.0.invalidate(key))
    }

    fn get(&self, key: &str) -> std::future::Ready<Result<Option<CacheEntry<u32>>, TierError>> {
        at_once(self.0.get(key))
    }

    async fn insert(&self, key: String, entry: CacheEntry<u32>) -> Result<InsertOutcome, TierError> {
        self.0.insert(key, entry)
    }
}

#[test]
fn all_forms_in_one_impl_in_any_order() {
    assert_eq!(used(Tier::new(Mixed::default())), "mixed");
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Point {
    x: i32,
    y: i32,
}

#[derive(Default)]
struct Patterns(Shelf<(i32, i32)>);

#[cache_tier]
impl CacheTier<Point, u32> for Patterns {
    async fn get(&self, &Point { x, y }: &Point) -> Result<Option<CacheEntry<u32>>, Error> {
        self.0.get(&(x, y))
    }

    async fn insert(&self, Point { x, y }: Point, mut entry: CacheEntry<u32>) -> Result<InsertOutcome, Error> {
        entry = entry.map(|value| value);
        self.0.insert((x, y), entry)
    }

    async fn invalidate(&self, Point { x: across, y: down }: &Point) -> Result<(), Error> {
        self.0.invalidate(&(*across, *down))
    }

    async fn clear(&self) -> Result<(), TierError> {
        self.0.clear()
    }

    async fn metadata(&self, Point { x, y }: &Point) -> Result<Option<CacheEntry<()>>, Error> {
        Ok(self.0.get(&(*x, *y))?.map(|entry| entry.metadata()))
    }
}

#[test]
fn patterns_and_mut_as_arguments() {
    assert_eq!(crate::support::used_for(Tier::new(Patterns::default()), &Point { x: 1, y: 2 }), "patterns");
}

struct Unused;

#[cache_tier]
impl CacheTier<str, u32> for Unused {
    async fn get(&self, _: &str) -> Result<Option<CacheEntry<u32>>, TierError> {
        Ok(None)
    }

    async fn insert(&self, _key: String, _entry: CacheEntry<u32>) -> Result<InsertOutcome, TierError> {
        Ok(InsertOutcome::Rejected)
    }

    async fn invalidate(&self, #[allow(unused_variables, reason = "that is the case")] key: &str) -> Result<(), TierError> {
        Ok(())
    }

    #[allow(unused_mut, unused_variables, reason = "that is the case")]
    async fn clear(&self) -> Result<(), TierError> {
        let mut nothing = ();
        Ok(())
    }
}

#[test]
fn unused_arguments() {
    let cache = cachet::Cache::builder("unused").tier(Tier::new(Unused)).build();
    assert_eq!(ready(cache.insert("ada", 36)).unwrap(), InsertOutcome::Rejected);
    ready(cache.invalidate("ada")).unwrap();
    ready(cache.clear()).unwrap();
}

#[derive(Default)]
struct Documented(Shelf);

/// The docs of an impl.
#[cache_tier]
/// They may go on below.
impl CacheTier<str, u32> for Documented {
    /// Looks a key up.
    #[inline]
    async fn get(&self, key: &str) -> Result<Option<CacheEntry<u32>>, TierError> {
        self.0.get(key)
    }

    /** Stores an entry. */
    #[expect(clippy::let_and_return, reason = "lint attributes are left alone")]
    async fn insert(&self, key: String, entry: CacheEntry<u32>) -> Result<InsertOutcome, TierError> {
        let outcome = self.0.insert(key, entry);
        outcome
    }

    #[cold]
    #[doc = "Removes an entry."]
    async fn invalidate(&self, key: &str) -> Result<(), TierError> {
        #![allow(clippy::needless_return, reason = "an inner attribute")]
        return self.0.invalidate(key);
    }

    #[cfg(test)]
    async fn clear(&self) -> Result<(), TierError> {
        self.0.clear()
    }

    #[cfg(not(test))]
    async fn clear(&self) -> Result<(), TierError> {
        compile_error!("this method is not there")
    }
}

#[test]
fn docs_lints_and_cfg_on_methods() {
    assert_eq!(used(Tier::new(Documented::default())), "documented");
}

#[derive(Default)]
struct Instrumented(Shelf);

#[cache_tier(level = "trace")]
impl CacheTier<str, u32> for Instrumented {
    #[tracing::instrument(name = "mine", skip_all, fields(key.len = key.len()))]
    async fn get(&self, key: &str) -> Result<Option<CacheEntry<u32>>, TierError> {
        self.0.get(key)
    }

    #[tracing::instrument(skip(self, entry), err)]
    async fn insert(&self, key: String, entry: CacheEntry<u32>) -> Result<InsertOutcome, TierError> {
        self.0.insert(key, entry)
    }

    #[tracing::instrument(skip_all)]
    fn invalidate(&self, key: &str) -> impl Future<Output = Result<(), TierError>> + Send {
        at_once(self.0.invalidate(key))
    }

    async fn clear(&self) -> Result<(), TierError> {
        self.0.clear()
    }
}

#[test]
fn the_users_own_instrument_opens_a_span_inside_ours() {
    assert_eq!(used(Tier::new(Instrumented::default())), "instrumented");
    let cache = cachet::Cache::builder("cases").tier(Tier::new(Instrumented::default())).enable_logs().build();
    let seen = Recorder::listen(|| drop(ready(cache.get("ada"))));
    let names: Vec<_> = seen.spans.iter().map(|span| span.name).collect();
    assert_eq!(names, ["cache.get", "cache.tier", "mine"]);
    assert_eq!(seen.spans[2].parent, Some(1));
}

#[derive(Default)]
struct Everything(Shelf, Mutex<u32>);

#[cache_tier]
impl CacheTier<str, u32> for Everything {
    methods!(0: str => u32);

    async fn metadata(&self, key: &str) -> Result<Option<CacheEntry<()>>, TierError> {
        *self.1.lock().unwrap() += 1;
        Ok(self.0.get(key)?.map(|entry| entry.metadata()))
    }

    async fn len(&self) -> Result<Option<u64>, TierError> {
        Ok(Some(self.1.lock().map_or(0, |peeks| u64::from(*peeks))))
    }

    async fn invalidate_expired(&self, key: &str, _expired: &CacheEntry<()>) -> Result<(), TierError> {
        self.0.invalidate(key)
    }

    fn drops_rejected(&self) -> bool {
        true
    }

    fn attach(&mut self, reporter: EvictionReporter) {
        *self.1.get_mut().unwrap() = u32::from(!reporter.is_listening());
    }
}

#[test]
fn all_methods_overridden() {
    let cache = cachet::Cache::builder("cases").tier(Tier::new(Everything::default())).build();
    let before = ready(cache.len()).unwrap().unwrap();
    assert!(!ready(cache.contains("ada")).unwrap());
    assert_eq!(ready(cache.len()).unwrap(), Some(before + 1));
}
