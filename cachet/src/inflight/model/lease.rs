//! Newer beats older (S19, S46).

use super::{BELOW, FIRST, KEY, NEW, OLD, World, explore, explore_within};
use crate::inflight::turns::{TierSet, Written};

/// What is written last.
const NEWER: u32 = 3;
const OTHER: &str = "other";

/// A promotion into a tier that answers at once.
fn promote(world: &World) {
    let lease = world.table.lease(KEY);
    if let Some(value) = world.read(BELOW) {
        lease.commit(false, || world.first.set(Some(value)));
    }
}

/// The same for which no one waits and no one listens.
fn promote_at_a_glance(world: &World) {
    let optimistic = world.table.optimistic(KEY);
    if let Some(value) = world.read(BELOW) {
        optimistic.commit(|| world.first.set(Some(value)));
    }
}

/// A promotion into a tier that has to be waited for: no lock is held while it stores, and no write waits for it.
fn promote_slowly(world: &World) {
    let lease = world.table.lease(KEY);
    if let Some(value) = world.read(BELOW)
        && let Some(_storing) = lease.store(FIRST, false)
    {
        world.first.set(Some(value));
    }
}

/// Loads what is the newest there is, and stores it behind the writes that are running (S48).
fn load_newer(world: &World) {
    let lease = world.table.lease_to_load(KEY);
    if loom::future::block_on(std::future::poll_fn(|cx| lease.poll_turn(FIRST, cx))) {
        lease.commit(true, || world.first.set(Some(NEWER)));
    }
}

// The earlier tier first: the other way round there is less to go wrong, since nothing older can be read any more.
fn insert(world: &World) {
    world.write(&Written::Key(KEY), &[FIRST, BELOW], Some(NEW));
    assert_ne!(world.read(FIRST), Some(OLD));
}

fn insert_below_first(world: &World) {
    world.write(&Written::Key(KEY), &[BELOW, FIRST], Some(NEW));
    assert_ne!(world.read(FIRST), Some(OLD));
}

fn insert_newer(world: &World) {
    world.write(&Written::Key(KEY), &[FIRST, BELOW], Some(NEWER));
    assert_ne!(world.read(FIRST), Some(OLD));
}

fn invalidate(world: &World) {
    world.write(&Written::Key(KEY), &[FIRST, BELOW], None);
    assert_ne!(world.read(FIRST), Some(OLD));
}

fn clear(world: &World) {
    world.write(&Written::All, &[FIRST, BELOW], None);
    assert_ne!(world.read(FIRST), Some(OLD));
}

/// A write of the only tier, which answers at once, of what was changed at the source (`below`) before. It takes no turns, and
/// leaves no trace if no lease is out.
fn change(world: &World, value: Option<u32>) {
    world.below.set(Some(NEW));
    let tracked = world.table.has_leases();
    let write = tracked.then(|| world.table.begin_write(&Written::Key(KEY), TierSet::default()).unwrap());
    world.first.set(value);
    drop(write);
}

fn change_and_insert(world: &World) {
    change(world, Some(NEW));
    assert_eq!(world.first.get(), Some(NEW));
}

fn change_and_invalidate(world: &World) {
    change(world, None);
    assert_ne!(world.first.get(), Some(OLD));
}

/// A load of the source, into the only tier.
fn load(world: &World) {
    let lease = world.table.lease_to_load(KEY);
    let value = world.below.get();
    lease.commit(true, || world.first.set(value));
}

/// A batch writes its keys in any order, here once in each.
fn insert_many(world: &World) {
    world.write(&Written::Keys(vec![KEY, OTHER]), &[FIRST, BELOW], Some(NEW));
}

fn insert_many_backwards(world: &World) {
    world.write(&Written::Keys(vec![OTHER, KEY]), &[BELOW, FIRST], Some(NEWER));
}

fn first_is_new(world: &World) {
    assert_eq!(world.first.get(), Some(NEW));
}

fn first_is_newer(world: &World) {
    assert_eq!(world.first.get(), Some(NEWER));
}

/// What is left there of a store that was overtaken is owed.
fn first_reads_new_or_nothing(world: &World) {
    assert!([None, Some(NEW)].contains(&world.read(FIRST)));
}

fn first_does_not_read_old(world: &World) {
    assert_ne!(world.read(FIRST), Some(OLD));
}

fn first_is_not_old(world: &World) {
    assert_ne!(world.first.get(), Some(OLD));
}

fn first_reads_nothing(world: &World) {
    assert_eq!(world.read(FIRST), None);
}

fn first_is_empty(world: &World) {
    assert_eq!(world.first.get(), None);
}

#[test]
fn a_promotion_does_not_hide_an_insert() {
    explore(&[promote, insert], first_is_new);
    explore(&[promote, insert_below_first], first_is_new);
}

#[test]
fn a_promotion_does_not_revive_what_is_invalidated_or_cleared() {
    explore(&[promote, invalidate], first_is_empty);
    explore(&[promote, clear], first_is_empty);
}

#[test]
fn a_promotion_at_a_glance_does_not_hide_an_insert() {
    explore(&[promote_at_a_glance, insert], first_is_new);
    explore(&[promote_at_a_glance, insert_below_first], first_is_new);
}

#[test]
fn a_promotion_at_a_glance_does_not_revive_what_is_invalidated_or_cleared() {
    explore(&[promote_at_a_glance, invalidate], first_is_empty);
    explore(&[promote_at_a_glance, clear], first_is_empty);
}

// S44, S46
#[test]
fn what_a_slow_promotion_leaves_behind_an_insert_is_not_read() {
    explore(&[promote_slowly, insert], first_reads_new_or_nothing);
    explore(&[promote_slowly, insert_below_first], first_reads_new_or_nothing);
}

// S44, S46
#[test]
fn what_a_slow_promotion_leaves_behind_an_invalidate_or_a_clear_is_not_read() {
    explore(&[promote_slowly, invalidate], first_reads_nothing);
    explore(&[promote_slowly, clear], first_reads_nothing);
}

/// A write that finds no lease out leaves no trace: who takes one afterwards finds the source changed.
#[test]
fn an_insert_that_finds_no_lease_is_not_hidden() {
    explore(&[load, change_and_insert], first_is_new);
    explore(&[load, change_and_invalidate], first_is_not_old);
}

// S46, S48
#[test]
fn a_load_stores_behind_the_write_that_was_running_when_it_began() {
    explore(&[load_newer, insert], first_is_new_or_newer);
    explore(&[load_into_both, promote_after_a_miss], first_is_newer);
    explore_within(3, &[load_into_both, promote_after_a_miss, promote_after_a_miss], first_is_newer);
    explore_within(4, &[load_into_both_slowly, promote_slowly_after_a_miss], first_reads_newer_or_nothing);
}

/// Of two tiers, the first answers at once.
fn load_into_both(world: &World) {
    let lease = world.table.lease_to_load(KEY);
    let storing = lease.store(BELOW, true);
    lease.commit(true, || world.first.set(Some(NEWER)));
    world.below.set(Some(NEWER));
    drop(storing);
}

/// The lease is taken when the first tier has been asked.
fn promote_after_a_miss(world: &World) {
    if world.read(FIRST).is_none() {
        promote(world);
    }
}

fn load_into_both_slowly(world: &World) {
    let lease = world.table.lease_to_load(KEY);
    let (first, below) = (lease.store(FIRST, true), lease.store(BELOW, true));
    world.first.set(Some(NEWER));
    drop(first);
    world.below.set(Some(NEWER));
    drop(below);
}

fn promote_slowly_after_a_miss(world: &World) {
    if world.read(FIRST).is_none() {
        promote_slowly(world);
    }
}

fn first_reads_newer_or_nothing(world: &World) {
    assert!([None, Some(NEWER)].contains(&world.read(FIRST)));
}

fn first_is_new_or_newer(world: &World) {
    assert!([Some(NEW), Some(NEWER)].contains(&world.first.get()));
}

#[test]
fn an_insert_is_not_hidden_by_either_of_two_promotions() {
    explore_within(3, &[promote, promote, insert], first_is_new);
    explore_within(3, &[promote, promote_at_a_glance, insert], first_is_new);
    explore_within(2, &[promote_slowly, promote_slowly, insert], first_reads_new_or_nothing);
}

#[test]
fn a_promotion_hides_neither_of_two_inserts() {
    explore_within(2, &[promote, insert, insert_newer], first_is_not_old);
    explore_within(2, &[promote_at_a_glance, insert, insert_newer], first_is_not_old);
    explore_within(2, &[promote_slowly, insert, insert_newer], first_does_not_read_old);
}

#[test]
fn a_promotion_does_not_outlive_an_insert_and_a_clear() {
    explore_within(2, &[promote_slowly, insert, clear], first_does_not_read_old);
    explore_within(2, &[promote_at_a_glance, insert, clear], first_is_not_old);
}

/// Each enters all its queues in one step.
#[test]
fn batches_that_share_keys_do_not_block_each_other_or_a_promotion() {
    explore_within(2, &[promote_slowly, insert_many, insert_many_backwards], first_does_not_read_old);
}
