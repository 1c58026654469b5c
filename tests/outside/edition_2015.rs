// Edition 2015 has no `async fn`, and `async` and `dyn` are names in it.

extern crate cachet;

use cachet::{cache_tier, Cache, CacheEventHandler, Tier};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

#[derive(CacheEventHandler, Default)]
pub struct Words {
    #[cache_event(count(operation))]
    pub async: AtomicU64,
    #[cache_event(count(operation))]
    pub await: AtomicU64,
    #[cache_event(count(operation))]
    pub dyn: AtomicU64,
    #[cache_event(count(operation))]
    pub gen: AtomicU64,
    #[cache_event(count(operation))]
    pub try: AtomicU64,
}

#[cache_tier(key = str, value = u32, fields(a = self.0 || self.0, b = self.1))]
impl Wide {
    fn get(&self, _: &str) -> Option<u32> {
        None
    }
    fn insert(&self, _: &str, _: u32) {}
    fn invalidate(&self, _: &str) {}
}

pub struct Wide(pub bool, pub u8);

#[test]
fn tiers_and_handlers_work() {
    use std::future::Future;
    let words = Arc::new(Words::default());
    let cache = Cache::<str, u32>::builder("outside")
        .tier(Tier::new(Wide(true, 1)))
        .event_handler(Arc::clone(&words))
        .enable_logs()
        .build();
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(Box::pin(cache.get("ada")).as_mut().poll(&mut context).is_ready());
    for count in &[&words.async, &words.await, &words.dyn, &words.gen, &words.try] {
        assert_eq!(count.load(Ordering::Relaxed), 1);
    }
}
