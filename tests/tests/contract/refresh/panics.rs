//! S33: user code that panics while a refresh is started.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cachet::telemetry::RecordKeys;
use cachet::testing::RecordingHandler;
use cachet::{Cache, ManualClock, Tier};
use cachet_tests::{ManualRuntime, ready};

use crate::{Ages, Mock, secs};

// S33
#[test]
fn a_panic_of_record_keys_leaves_no_refresh_running() {
    let (l1, l2, clock, tasks) = (Mock::new(), Mock::new(), ManualClock::new(), ManualRuntime::new());
    let curse = Arc::new(AtomicBool::new(false));
    let cursed = curse.clone();
    let cache = Ages::builder("ages")
        .tier(Tier::new(l1).name("l1").refresh_after(secs(60)))
        .tier(Tier::new(l2).name("l2"))
        .runtime(tasks.clone())
        .clock(clock.clone())
        .event_handler(RecordingHandler::new())
        .record_keys(RecordKeys::with(move |key: &str| {
            assert!(!cursed.load(Ordering::SeqCst), "boom");
            key.to_owned()
        }))
        .build();
    ready(cache.insert("a", 1)).unwrap();
    clock.advance(secs(60));
    curse.store(true, Ordering::SeqCst);
    let _ = catch_unwind(AssertUnwindSafe(|| ready(cache.get_many(["a"]))));
    curse.store(false, Ordering::SeqCst);
    assert_eq!((cache.refreshes().running, tasks.tasks()), (0, 0));
}

thread_local! { static BURN: Cell<bool> = const { Cell::new(false) }; }

#[derive(PartialEq, Eq, Hash, Debug)]
struct Fragile(u32);

impl Clone for Fragile {
    fn clone(&self) -> Self {
        assert!(!BURN.get(), "burnt");
        Self(self.0)
    }
}

// S33
#[test]
fn a_panic_of_a_keys_clone_leaves_no_refresh_running() {
    let (clock, tasks) = (ManualClock::new(), ManualRuntime::new());
    let cache = Cache::<Fragile, u32>::builder("ages")
        .tier(Tier::memory(10).name("l1").refresh_after(secs(60)))
        .tier(Tier::memory(10).name("l2"))
        .runtime(tasks.clone())
        .clock(clock.clone())
        .max_concurrent_refreshes(1)
        .build();
    ready(cache.insert(Fragile(1), 1)).unwrap();
    ready(cache.insert(Fragile(2), 1)).unwrap();
    clock.advance(secs(60));
    BURN.set(true);
    assert!(catch_unwind(AssertUnwindSafe(|| ready(cache.get(&Fragile(1))))).is_err());
    BURN.set(false);
    assert_eq!((cache.refreshes().running, tasks.tasks()), (0, 0));
}
