//! Newer writes while a flight is under way.

use std::task::Poll;

use cachet::telemetry::TierOperation::Insert;
use cachet::testing::Behavior::Pend;
use cachet_tests::events;
use cachet_tests::ready;

use super::{after, ask, never, protected, protected_memory};
use crate::{Newer, value};

// S19, S25
#[test]
fn what_a_newer_write_overtook_is_returned_to_all_and_stored_nowhere() {
    for newer in Newer::ALL {
        let (two, memory) = (protected(), protected_memory());
        for (cache, seen, tiers) in [(&two.cache, &two.seen, &["l1", "l2"][..]), (&memory.cache, &memory.seen, &["l1"])]
        {
            let mut leader = ask(cache, "ada", after(1, 1));
            let mut follower = ask(cache, "ada", never());
            leader.pend(1);
            follower.pend(1);
            ready(newer.write(cache));
            seen.take();
            assert_eq!(leader.ready().unwrap(), Some(1), "{newer:?}");
            assert_eq!(follower.ready().unwrap(), Some(1), "{newer:?}");
            let mut expected: Vec<_> = tiers.iter().map(|tier| format!("{tier} insert: superseded")).collect();
            expected.extend(["get_or_insert: computed", "get_or_insert: computed (coalesced)"].map(str::to_owned));
            assert_eq!(events::lines(&seen.take()), expected, "{newer:?}");
            assert_eq!(value(cache, "ada"), newer.leaves(), "{newer:?}");
        }
    }
}

// S19: an invalidation says that what was true before is so no more. An operation that begins after it must not get what was computed
// before it, as little from a flight as from a tier.
#[test]
fn whoever_asks_after_a_newer_write_does_not_get_what_was_computed_before_it() {
    for newer in [Newer::Invalidate, Newer::Clear] {
        let test = protected_memory();
        let mut leader = ask(&test.cache, "ada", after(1, 1));
        leader.pend(1);
        ready(newer.write(&test.cache));
        let mut late = ask(&test.cache, "ada", after(0, 2));
        let early = late.poll();
        assert_eq!(leader.finish().unwrap(), Some(1));
        let got = match early {
            Poll::Ready(got) => got,
            Poll::Pending => late.finish(),
        };
        assert_eq!(got.unwrap(), Some(2), "{newer:?}");
    }
}

// S46, S44: a write that comes while the leader stores does not wait for it. What the store leaves is owed, and never read.
#[test]
fn a_write_while_the_leader_stores_does_not_wait_and_what_is_stored_late_is_not_read() {
    for newer in Newer::ALL {
        let two = protected();
        two.l1.next(Insert, Pend(2));
        two.l2.next(Insert, Pend(2));
        let mut leader = ask(&two.cache, "ada", after(0, 1));
        leader.pend(1);
        let mut follower = ask(&two.cache, "ada", never());
        assert_eq!(follower.poll().map(Result::unwrap), Poll::Ready(Some(1)), "{newer:?}: it is computed");
        ready(newer.write(&two.cache));
        let read = value(&two.cache, "ada");
        assert!(read.is_none() || read == newer.leaves(), "{newer:?}: {read:?} during the store");
        assert_eq!(leader.finish().unwrap(), Some(1), "{newer:?}");
        let read = value(&two.cache, "ada");
        assert!(read.is_none() || read == newer.leaves(), "{newer:?}: {read:?}");
        ask(&two.cache, "ada", after(0, 3)).finish().unwrap();
        assert!(value(&two.cache, "ada") > Some(1), "{newer:?}: it is cached again");
    }
}
