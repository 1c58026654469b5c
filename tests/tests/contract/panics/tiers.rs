//! S35: panics of a tier outside its futures: in a declared field, and before a future exists.

use std::panic::{AssertUnwindSafe, catch_unwind};

use cachet::telemetry::RecordKeys;
use cachet::testing::RecordingHandler;
use cachet::{CacheEntry, CacheTier, InsertOutcome, Tier, TierError, cache_tier};
use cachet_tests::ready;
use cachet_tests::tiers::Immediate;
use cachet_tests::trace::Recorder;

use crate::{Ages, Mock};

// S35
#[test]
fn a_panic_of_a_declared_field_ends_the_operation_once() {
    let reported = |record_keys| {
        let seen = RecordingHandler::new();
        Recorder::listen(|| {
            let broken = Immediate { shard: || panic!("the shard is unknown"), ..Immediate::new(Mock::new()) };
            let cache = Ages::builder("ages")
                .tier(Tier::new(broken))
                .enable_logs()
                .event_handler(seen.clone())
                .record_keys(record_keys)
                .build();
            assert!(catch_unwind(AssertUnwindSafe(|| ready(cache.get("a")))).is_err());
        });
        seen.take_lines()
    };
    for record_keys in [RecordKeys::with(|_: &str| String::new()), RecordKeys::omitted()] {
        assert_eq!(reported(record_keys), ["immediate get: panicked", "get: panicked"]);
    }
}

struct Eager;

#[cache_tier(name = "eager", immediate)]
impl CacheTier<str, u32> for Eager {
    fn get(&self, _: &str) -> impl Future<Output = Result<Option<CacheEntry<u32>>, TierError>> + Send {
        assert!(std::hint::black_box(false), "boom");
        std::future::ready(Ok(None))
    }
    fn insert(&self, _: String, _: CacheEntry<u32>) -> impl Future<Output = Result<InsertOutcome, TierError>> + Send {
        assert!(std::hint::black_box(false), "boom");
        std::future::ready(Ok(InsertOutcome::Accepted))
    }
    async fn invalidate(&self, _: &str) -> Result<(), TierError> {
        Ok(())
    }
    async fn clear(&self) -> Result<(), TierError> {
        Ok(())
    }
}

// S35
#[test]
fn a_panic_before_the_first_await_of_a_method_is_the_tiers() {
    let seen = RecordingHandler::new();
    let cache = Ages::builder("ages")
        .tier(Tier::new(Eager))
        .event_handler(seen.clone())
        .record_keys(RecordKeys::full())
        .build();
    assert!(catch_unwind(AssertUnwindSafe(|| ready(cache.get("a")))).is_err());
    let get = seen.take_lines();
    assert!(catch_unwind(AssertUnwindSafe(|| ready(cache.insert("a", 1)))).is_err());
    let insert = seen.take_lines();
    assert_eq!(get, ["eager get: panicked", "get: panicked"]);
    assert_eq!(insert, ["eager insert: panicked", "insert: panicked"]);
}
