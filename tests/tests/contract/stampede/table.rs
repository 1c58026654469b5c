//! S29: what is left of a flight when it is over.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use cachet::{Cache, InsertPolicy, Tier};
use cachet_tests::task::pend;
use cachet_tests::{ManualTask, ready};

use super::{after, ask, never, pend_all, protected};
use crate::Ages;

/// A key and a value that can be counted.
#[derive(Clone)]
struct Counted(u32, #[expect(dead_code, reason = "counted by its clones")] Arc<()>);

impl PartialEq for Counted {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Counted {}

impl Hash for Counted {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

// S29
#[test]
fn no_key_and_no_value_is_kept_when_nobody_waits() {
    let keep_nothing = Tier::memory(10).insert_policy(InsertPolicy::never());
    let cache = Cache::<Counted, Counted>::builder("counted").tier(keep_nothing).stampede_protection().build();
    let (keys, values) = (Arc::new(()), Arc::new(()));
    let key = Counted(1, Arc::clone(&keys));
    for dropped in 0..16_u32 {
        let ask = || {
            Some(ManualTask::new(cache.get_or_insert(&key, || async {
                let value = Counted(1, Arc::clone(&values));
                pend(1).await;
                value
            })))
        };
        // Any of them may be given up, in the order in which they came or in the other.
        for backwards in [true, false] {
            let mut asking: Vec<_> = std::iter::repeat_with(ask).take(4).collect();
            pend_all(asking.iter_mut().flatten());
            assert_eq!(Arc::strong_count(&keys), 3, "the table has one key");
            assert_eq!(Arc::strong_count(&values), 2, "and one closure is running");
            let mut order: Vec<_> = (0..4).collect();
            if backwards {
                order.reverse();
            }
            for index in &order {
                if dropped & (1 << index) != 0 {
                    asking[*index] = None;
                }
            }
            // The closures of those who are left: each is pending once.
            for _ in 0..3 {
                for asking in &mut asking {
                    *asking = asking.take().and_then(|mut asking| asking.poll().is_pending().then_some(asking));
                }
            }
            assert!(asking.iter().all(Option::is_none));
            assert_eq!((Arc::strong_count(&keys), Arc::strong_count(&values)), (2, 1), "{dropped:b}");
        }
    }
}

// S29: also of those who gave up while the flight goes on.
#[test]
fn those_who_gave_up_leave_nothing_behind_in_a_long_flight() {
    let cache = Ages::builder("ages").tier(Tier::memory(10)).stampede_protection().build();
    let mut leader = ask(&cache, "ada", after(u32::MAX, 1));
    leader.pend(1);
    let give_up = |times| {
        for _ in 0..times {
            ask(&cache, "ada", never()).pend(1);
        }
    };
    give_up(100);
    let left = allocation_counter::measure(|| give_up(1000)).bytes_current;
    assert_eq!(left, 0, "bytes for a thousand that gave up");
}

// S29: a flight that has landed is over.
#[test]
fn later_calls_compute_afresh() {
    let two = protected();
    for round in 0..5 {
        let mut leader = ask(&two.cache, "ada", after(1, round));
        let mut follower = ask(&two.cache, "ada", never());
        leader.pend(1);
        follower.pend(1);
        assert_eq!(leader.ready().unwrap(), Some(round));
        assert_eq!(follower.ready().unwrap(), Some(round));
        ready(two.cache.invalidate("ada")).unwrap();
    }
}

// S29, S25: an operation that comes back late from a flight does not disturb the next one.
#[test]
fn a_follower_may_come_back_during_the_next_flight() {
    let two = protected();
    let mut first = ask(&two.cache, "ada", after(1, 1));
    let mut late = ask(&two.cache, "ada", never());
    let mut lost = ask(&two.cache, "ada", never());
    for asking in [&mut first, &mut late, &mut lost] {
        asking.pend(1);
    }
    first.ready().unwrap();
    ready(two.cache.invalidate("ada")).unwrap();
    let mut second = ask(&two.cache, "ada", after(1, 2));
    let mut follower = ask(&two.cache, "ada", never());
    second.pend(1);
    follower.pend(1);
    drop(lost);
    assert_eq!(late.ready().unwrap(), Some(1));
    follower.pend(1);
    assert_eq!(second.ready().unwrap(), Some(2));
    assert_eq!(follower.ready().unwrap(), Some(2));
}
