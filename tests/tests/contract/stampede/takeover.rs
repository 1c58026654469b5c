//! S26: leaders and followers that give up.

use std::sync::atomic::{AtomicUsize, Ordering};

use cachet::telemetry::TierOperation::{Get, Insert};
use cachet::testing::Behavior::{Panic, Pend};
use cachet_tests::task::pend;
use cachet_tests::{ManualTask, events, ready};

use super::{COMPUTED, FOLLOWED, after, ask, never, pend_all, protected, protected_memory};
use crate::{TwoTiers, stored, value};

const CANCELLED: [&str; 3] = ["l1 get: miss", "l2 get: miss (fallback)", "get_or_insert: cancelled"];
const FOLLOWER_CANCELLED: [&str; 3] =
    ["l1 get: miss", "l2 get: miss (fallback)", "get_or_insert: cancelled (coalesced)"];

/// Two tiers that are pending once in every lookup and every insert.
fn pending_tiers() -> TwoTiers {
    let two = protected();
    for tier in [&two.l1, &two.l2] {
        tier.always(Get, Pend(1));
        tier.always(Insert, Pend(1));
    }
    two
}

// S26, S38
#[test]
fn wherever_a_leader_is_dropped_its_follower_runs_its_own_closure() {
    let expected: [&[&str]; 4] = [
        &[],
        &["l1 get: cancelled", "get_or_insert: cancelled"],
        &["l1 get: miss", "l2 get: cancelled (fallback)", "get_or_insert: cancelled"],
        &CANCELLED,
    ];
    for (polls, lines) in expected.into_iter().enumerate() {
        let two = pending_tiers();
        let mut leader = ask(&two.cache, "ada", after(1, 1));
        leader.pend(polls);
        // By now it leads, or waits for the leader: for its lookup (S59), or for its closure.
        let mut follower = ask(&two.cache, "ada", after(1, 2));
        follower.pend(3);
        let woken = follower.wakes();
        let waited = polls >= 1;
        drop(leader);
        assert_eq!(follower.wakes(), woken + usize::from(waited), "after {polls} polls");
        assert_eq!(follower.finish().unwrap(), Some(2), "after {polls} polls");
        assert_eq!((stored(&two.l1, "ada"), stored(&two.l2, "ada")), (Some(2), Some(2)));
        let mut reported = events::by_operation(&two.events());
        assert_eq!(reported.pop().unwrap(), COMPUTED, "after {polls} polls");
        assert_eq!(reported.concat(), lines, "after {polls} polls");
    }
}

// S25, S38: the value is published before it is stored, so it is not lost with the leader.
#[test]
fn a_leader_that_is_dropped_while_it_stores_has_served_its_followers() {
    let two = pending_tiers();
    for tier in [&two.l1, &two.l2] {
        tier.always(Insert, Pend(2));
    }
    let mut leader = ask(&two.cache, "ada", after(1, 1));
    leader.pend(3);
    let mut follower = ask(&two.cache, "ada", never());
    follower.pend(3);
    leader.pend(1);
    assert_eq!(follower.wakes(), 3);
    drop(leader);
    assert_eq!(follower.ready().unwrap(), Some(1));
    let expected = [
        &[
            "l1 get: miss",
            "l2 get: miss (fallback)",
            "l1 insert: cancelled",
            "l2 insert: cancelled",
            "get_or_insert: cancelled",
        ][..],
        &FOLLOWED,
    ];
    assert_eq!(events::by_operation(&two.events()), expected);
}

// S26, S38
#[test]
fn wherever_a_follower_is_dropped_nobody_else_notices() {
    for polls in 0..5 {
        let two = pending_tiers();
        let mut leader = ask(&two.cache, "ada", after(1, 1));
        leader.pend(3);
        let mut follower = ask(&two.cache, "ada", never());
        follower.pend(polls);
        let mut other = ask(&two.cache, "ada", never());
        other.pend(3);
        drop(follower);
        assert_eq!(leader.finish().unwrap(), Some(1));
        assert_eq!(other.finish().unwrap(), Some(1));
        let mut expected = match polls {
            0 => vec![],
            1 => vec!["l1 get: cancelled", "get_or_insert: cancelled"],
            2 => vec!["l1 get: miss", "l2 get: cancelled (fallback)", "get_or_insert: cancelled"],
            _ => FOLLOWER_CANCELLED.to_vec(),
        };
        expected.extend(COMPUTED);
        if [1, 2].contains(&polls) {
            // It has followed the lookup of the one that was dropped (S59), and looks for itself after that.
            expected.extend(["l1 get: hit", "get_or_insert: hit"]);
        } else {
            expected.extend(FOLLOWED);
        }
        assert_eq!(events::by_operation(&two.events()).concat(), expected, "after {polls} polls");
    }
}

// S26
#[test]
fn one_of_several_followers_takes_over_and_the_others_follow_it() {
    for polled_between in [true, false] {
        let two = protected();
        let mut leader = ask(&two.cache, "ada", after(1, 1));
        let mut heir = ask(&two.cache, "ada", after(1, 2));
        let mut others = [ask(&two.cache, "ada", never()), ask(&two.cache, "ada", never())];
        leader.pend(1);
        heir.pend(1);
        pend_all(&mut others);
        drop(leader);
        assert!(heir.wakes() == 1 && others.iter().all(|other| other.wakes() == 1));
        heir.pend(1);
        if polled_between {
            pend_all(&mut others);
        }
        assert_eq!(heir.ready().unwrap(), Some(2));
        for other in others {
            assert_eq!(other.ready().unwrap(), Some(2), "polled between: {polled_between}");
        }
        let recorded = two.events();
        // Those who heard of the heir follow it. Those who did not ask again, and find what it has stored.
        let found = ["l1 get: miss", "l2 get: miss (fallback)", "l1 get: hit", "get_or_insert: hit"];
        let others_end: &[&str] = if polled_between { &FOLLOWED } else { &found };
        assert_eq!(events::by_operation(&recorded), [&CANCELLED[..], &COMPUTED, others_end, others_end]);
        // Whose work it was that they got.
        let [_, heir, others @ ..] = &events::completions(&recorded)[..] else { panic!("four operations") };
        for other in others {
            let leader = polled_between.then_some(heir.request_id());
            assert_eq!(other.leader_request_id(), leader, "polled between: {polled_between}");
        }
    }
}

// S26
#[test]
fn the_lead_is_passed_on_as_often_as_it_is_given_up() {
    let test = protected_memory();
    let mut asking: Vec<_> = (0..6).map(|number| ask(&test.cache, "ada", after(1, number))).collect();
    pend_all(&mut asking);
    while asking.len() > 1 {
        let before: Vec<_> = asking.iter().map(ManualTask::wakes).collect();
        drop(asking.remove(0));
        for (asking, before) in asking.iter().zip(&before[1..]) {
            assert_eq!(asking.wakes(), before + 1, "it has to hear of it");
        }
        pend_all(&mut asking);
    }
    assert_eq!(asking.remove(0).ready().unwrap(), Some(5));
    let reported = events::by_operation(&test.events());
    let mut expected = vec![&["l1 get: miss", "get_or_insert: cancelled"][..]; 5];
    expected.push(&["l1 get: miss", "l1 insert: inserted", "get_or_insert: computed"]);
    assert_eq!(reported, expected);
}

// S26
#[test]
fn a_follower_that_is_dropped_before_it_takes_over_leaves_that_to_the_next() {
    let two = protected();
    let mut leader = ask(&two.cache, "ada", after(1, 1));
    let mut first = ask(&two.cache, "ada", never());
    let mut second = ask(&two.cache, "ada", after(1, 3));
    for asking in [&mut leader, &mut first, &mut second] {
        asking.pend(1);
    }
    drop(leader);
    drop(first);
    assert_eq!(second.wakes(), 1);
    assert_eq!(second.finish().unwrap(), Some(3));
    assert_eq!(events::by_operation(&two.events()), [&CANCELLED[..], &FOLLOWER_CANCELLED, &COMPUTED]);
}

// S26
#[test]
fn an_heir_that_gives_up_in_its_turn_wakes_those_who_had_not_even_noticed() {
    let two = protected();
    let mut leader = ask(&two.cache, "ada", after(1, 1));
    let mut heir = ask(&two.cache, "ada", after(1, 2));
    let mut patient = ask(&two.cache, "ada", after(0, 3));
    for asking in [&mut leader, &mut heir, &mut patient] {
        asking.pend(1);
    }
    drop(leader);
    heir.pend(1);
    patient.pend(1);
    assert_eq!(patient.wakes(), 1);
    drop(heir);
    assert_eq!(patient.wakes(), 2);
    assert_eq!(patient.ready().unwrap(), Some(3));
}

// S26
#[test]
fn a_newcomer_may_take_over_before_those_who_were_woken() {
    let two = protected();
    let mut leader = ask(&two.cache, "ada", after(1, 1));
    let mut follower = ask(&two.cache, "ada", never());
    leader.pend(1);
    follower.pend(1);
    drop(leader);
    let mut newcomer = ask(&two.cache, "ada", after(1, 9));
    newcomer.pend(1);
    follower.pend(1);
    assert_eq!(newcomer.ready().unwrap(), Some(9));
    assert_eq!(follower.ready().unwrap(), Some(9));
    let recorded = two.events();
    assert_eq!(events::by_operation(&recorded), [&CANCELLED[..], &COMPUTED, &FOLLOWED]);
}

// S26, S29
#[test]
fn a_leader_dropped_before_anybody_follows_leaves_nothing() {
    let two = protected();
    for polls in 0..3 {
        let mut leader = ask(&two.cache, "ada", after(5, 1));
        leader.pend(polls);
        drop(leader);
    }
    assert_eq!(ask(&two.cache, "ada", after(0, 2)).ready().unwrap(), Some(2));
    assert_eq!(events::by_operation(&two.events()), [&CANCELLED[..], &CANCELLED, &COMPUTED]);
}

// S26, S29
#[test]
fn when_all_followers_are_gone_the_leader_goes_on_or_leaves_nothing() {
    for leader_goes_on in [true, false] {
        let two = protected();
        let mut leader = ask(&two.cache, "ada", after(1, 1));
        leader.pend(1);
        for _ in 0..2 {
            ask(&two.cache, "ada", never()).pend(1);
        }
        let last = if leader_goes_on {
            leader.ready().unwrap()
        } else {
            drop(leader);
            ask(&two.cache, "ada", after(0, 2)).ready().unwrap()
        };
        assert_eq!(last, Some(if leader_goes_on { 1 } else { 2 }));
        assert_eq!(events::by_operation(&two.events()).last().unwrap(), &COMPUTED);
    }
}

// S25, S37: a task that moves is woken where it is.
#[test]
fn the_last_waker_of_a_follower_is_woken() {
    for leader_lands in [true, false] {
        let two = protected();
        let mut leader = ask(&two.cache, "ada", after(1, 1));
        leader.pend(1);
        let mut follower = Box::pin(two.cache.get_or_insert("ada", || after(0, 2)));
        ManualTask::new(follower.as_mut()).pend(1);
        ManualTask::new(follower.as_mut()).pend(1);
        let mut follower = ManualTask::new(follower.as_mut());
        follower.pend(1);
        if leader_lands {
            leader.ready().unwrap();
        } else {
            drop(leader);
        }
        assert_eq!(follower.wakes(), 1);
        assert_eq!(*follower.ready().unwrap(), if leader_lands { 1 } else { 2 });
    }
}

// S38: the result is there, and is not collected.
#[test]
fn a_follower_dropped_after_the_landing_was_cancelled_all_the_same() {
    let two = protected();
    let mut leader = ask(&two.cache, "ada", after(1, 1));
    let mut follower = ask(&two.cache, "ada", never());
    leader.pend(1);
    follower.pend(1);
    leader.ready().unwrap();
    drop(follower);
    assert_eq!(events::by_operation(&two.events()), [&COMPUTED[..], &FOLLOWER_CANCELLED]);
}

// S26: the closure of the one is gone before that of the other begins.
#[test]
fn there_is_one_closure_at_a_time_also_when_the_lead_is_passed_on() {
    struct Inside<'n>(&'n AtomicUsize);

    impl<'n> Inside<'n> {
        fn enter(number: &'n AtomicUsize) -> Self {
            assert_eq!(number.fetch_add(1, Ordering::SeqCst), 0, "two closures of one key");
            Self(number)
        }
    }

    impl Drop for Inside<'_> {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }

    let (two, inside) = (protected(), AtomicUsize::new(0));
    let compute = |value| {
        let inside = &inside;
        ask(&two.cache, "ada", async move {
            let _inside = Inside::enter(inside);
            after(1, value).await
        })
    };
    let (mut leader, mut follower) = (compute(1), compute(2));
    leader.pend(1);
    follower.pend(1);
    drop(leader);
    assert_eq!(inside.load(Ordering::SeqCst), 0);
    assert_eq!(follower.finish().unwrap(), Some(2));
    assert_eq!(inside.load(Ordering::SeqCst), 0);
}

// S26: a tier's panic is not the closure's; it unwinds, and the lead is free.
#[test]
fn a_follower_takes_over_from_a_leader_whose_tier_panicked() {
    let two = protected();
    let mut leader = ask(&two.cache, "ada", after(1, 1));
    let mut follower = ask(&two.cache, "ada", after(0, 2));
    leader.pend(1);
    follower.pend(1);
    two.l1.next(Insert, Panic("boom"));
    let poll = std::panic::AssertUnwindSafe(|| leader.poll());
    assert!(std::panic::catch_unwind(poll).is_err());
    drop(leader);
    assert_eq!(follower.wakes(), 1);
    assert_eq!(follower.ready().unwrap(), Some(2));
    assert_eq!(
        events::by_operation(&two.events()),
        [&["l1 get: miss", "l2 get: miss (fallback)", "l1 insert: panicked", "get_or_insert: panicked"][..], &COMPUTED]
    );
}

// S26, S25: an heir whose closure fails fails for those who follow it.
#[test]
fn followers_get_the_error_of_whoever_took_over() {
    let two = protected();
    let compute = |text: &'static str| {
        ManualTask::new(two.cache.try_get_or_insert("ada", move || async move {
            pend(1).await;
            Err::<u32, _>(text)
        }))
    };
    let (mut leader, mut heir, mut follower) = (compute("first"), compute("second"), compute("third"));
    leader.pend(1);
    heir.pend(1);
    follower.pend(1);
    drop(leader);
    heir.pend(1);
    follower.pend(1);
    for asking in [heir, follower] {
        assert_eq!(format!("{:#}", asking.ready().unwrap_err()), "the loader failed: second");
    }
    ready(two.cache.insert("ada", 1)).unwrap();
    assert_eq!(value(&two.cache, "ada"), Some(1));
}
