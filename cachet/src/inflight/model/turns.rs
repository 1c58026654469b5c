//! Writes in turn (S43) and what they leave owed (S44).

use loom::future::block_on;
use std::future::poll_fn;

use super::{BELOW, FIRST, KEY, NEW, OLD, World, cancel_after_one_poll, explore, explore_tiers, explore_within};
use crate::inflight::turns::{Turn, Written};

const NEWER: u32 = 3;

fn insert(world: &World) {
    world.write(&Written::Key(KEY), &[FIRST, BELOW], Some(NEW));
}

fn insert_newer(world: &World) {
    world.write(&Written::Key(KEY), &[BELOW, FIRST], Some(NEWER));
}

fn clear(world: &World) {
    world.write(&Written::All, &[FIRST, BELOW], None);
}

fn clear_backwards(world: &World) {
    world.write(&Written::All, &[BELOW, FIRST], None);
}

/// Is dropped while it waits, or before it has waited.
fn give_up_writing(world: &World) {
    let write = world.begin(&Written::Key(KEY));
    cancel_after_one_poll(poll_fn(|cx| write.poll_turn(BELOW, cx)));
    drop(write);
}

/// Asks for its turn in the slow tier first, and writes nowhere.
fn give_up_between(world: &World) {
    let write = world.begin(&Written::Key(KEY));
    if let Some(Ok(Turn::Granted)) = cancel_after_one_poll(poll_fn(|cx| write.poll_turn(BELOW, cx))) {
        let first = cancel_after_one_poll(poll_fn(|cx| write.poll_turn(FIRST, cx)));
        assert!(first.is_some(), "or it may have to be dropped when it has happened in one tier only");
    }
}

/// Reaches the first tier only, and leaves a debt in the other.
fn insert_by_half(world: &World) {
    let write = world.begin(&Written::Key(KEY));
    world.write_in(&write, FIRST, Some(NEW));
    write.owe(BELOW, KEY.to_owned());
}

/// A removal of what was found expired, in its turn.
fn remove_expired(world: &World) {
    let lease = world.table.lease(KEY);
    if let Some(removal) = lease.begin_removal(BELOW) {
        if world.below.get() == Some(OLD) {
            world.below.set(None);
        }
        drop(removal);
    }
}

/// Pays what is owed below, if it is its turn.
fn pay(world: &World) {
    let hash = world.table.hash(KEY);
    let Some(write) = world.table.begin_payment(hash, BELOW) else { return };
    let turn = cancel_after_one_poll(poll_fn(|cx| write.poll_turn(BELOW, cx)));
    if let Some(Ok(Turn::Granted)) = turn
        && let Some(payment) = world.table.debts(BELOW).begin_payment(hash)
    {
        world.below.set(None);
        world.table.debts(BELOW).settle(payment);
    }
}

/// A batch is in the queues of all its keys or of none.
fn insert_many(world: &World) {
    world.write(&Written::Keys(vec![KEY, "other"]), &[FIRST, BELOW], Some(NEW));
}

fn insert_many_backwards(world: &World) {
    world.write(&Written::Keys(vec!["other", KEY]), &[BELOW, FIRST], Some(NEWER));
}

fn both_agree(world: &World) {
    assert_eq!(world.first.get(), world.below.get());
    assert!(!world.table.debts(FIRST).any() && !world.table.debts(BELOW).any());
}

/// What a tier gives is what the last write left, which is the same everywhere, or nothing.
fn both_read_the_same_or_nothing(world: &World) {
    let (first, below) = (world.read(FIRST), world.read(BELOW));
    assert!(first == below || first.is_none() || below.is_none(), "{first:?}, {below:?}");
    assert!(first != Some(OLD) && below != Some(OLD));
}

fn both_read_the_same_or_nothing_is_owed(world: &World) {
    both_read_the_same_or_nothing(world);
    assert!(!world.table.debts(FIRST).any() && !world.table.debts(BELOW).any());
}

fn below_is_new_or_unread(world: &World) {
    assert!([None, Some(NEW)].contains(&world.read(BELOW)));
}

// S43
#[test]
fn two_writers_leave_the_same_value_in_both_tiers() {
    explore(&[insert, insert_newer], both_agree);
    explore_within(2, &[insert, insert_newer, insert], both_agree);
}

// S43
#[test]
fn two_batches_that_write_crosswise_leave_the_same_value_in_both_tiers() {
    explore_within(4, &[insert_many, insert_many_backwards], both_agree);
}

// S43
#[test]
fn a_clear_and_an_insert_leave_what_came_last_or_a_debt() {
    explore_within(4, &[insert, clear], both_read_the_same_or_nothing);
    explore_within(4, &[insert_newer, clear_backwards], both_read_the_same_or_nothing);
    explore_within(2, &[insert, insert_newer, clear], both_read_the_same_or_nothing);
}

// S43
#[test]
fn a_write_that_is_dropped_while_it_is_queued_leaves_no_one_waiting() {
    explore(&[give_up_writing, insert], both_agree);
    explore_within(2, &[insert, give_up_writing, insert_newer], both_agree);
}

// S43
#[test]
fn the_turn_in_a_slow_tier_comes_only_once_it_has_come_in_the_immediate_one() {
    explore_tiers([true, false], 4, &[give_up_between, insert], both_agree);
}

// S43
#[test]
fn a_clear_and_an_insert_in_immediate_tiers_come_one_after_the_other_and_leave_no_debt() {
    explore_tiers([true; 2], 3, &[insert, clear], both_read_the_same_or_nothing_is_owed);
    explore_tiers([true; 2], 3, &[insert_newer, clear_backwards], both_read_the_same_or_nothing_is_owed);
}

// S44
#[test]
fn a_debt_is_settled_only_by_what_comes_after_it() {
    explore_within(4, &[insert_by_half, insert], below_is_new_or_unread);
    explore_within(4, &[insert_by_half, pay], below_is_new_or_unread);
    explore_within(2, &[insert_by_half, pay, insert], below_is_new_or_unread);
}

// S46
#[test]
fn a_removal_of_what_is_expired_does_not_remove_what_is_newer() {
    explore(&[remove_expired, insert], both_agree);
}

/// Waiting for the turn behind a clear loses no wake-up.
#[test]
fn a_load_that_waits_for_a_clear_is_woken() {
    explore_within(4, &[load, clear], first_is_not_old);
    explore_within(4, &[load, insert], first_is_not_old);
}

fn load(world: &World) {
    let lease = world.table.lease_to_load(KEY);
    if block_on(poll_fn(|cx| lease.poll_turn(FIRST, cx))) {
        lease.commit(true, || world.first.set(Some(NEWER)));
    }
}

fn first_is_not_old(world: &World) {
    assert_ne!(world.first.get(), Some(OLD));
}
