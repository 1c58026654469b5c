//! Newer beats older (S19).

use loom::future::block_on;

use super::{KEY, NEW, OLD, World, cancel_after_one_poll, explore, explore_within};

/// What is written last.
const NEWER: u32 = 3;
const OTHER: &str = "other";

/// A promotion into a tier that answers at once.
fn promote(world: &World) {
    let lease = world.table.lease(KEY);
    if let Some(value) = world.below.get() {
        lease.commit(|| world.first.set(Some(value)));
    }
}

/// The same for which nobody waits and nobody listens.
fn promote_at_a_glance(world: &World) {
    let optimistic = world.table.optimistic(KEY);
    if let Some(value) = world.below.get() {
        optimistic.commit(|| world.first.set(Some(value)));
    }
}

/// A promotion into a tier that has to be waited for: the lock is not held while it stores.
fn promote_slowly(world: &World) {
    let lease = world.table.lease(KEY);
    if let Some(value) = world.below.get()
        && let Some(_storing) = lease.store()
    {
        world.first.set(Some(value));
    }
}

fn write(world: &World, value: Option<u32>) {
    let writing = block_on(world.table.write(Written::Key(KEY), false));
    // The earlier tier first: the other way round there is less to go wrong, since nothing older can be read any more.
    world.first.set(value);
    world.below.set(value);
    drop(writing);
}

fn insert(world: &World) {
    write(world, Some(NEW));
    assert_ne!(world.first.get(), Some(OLD));
}

fn insert_below_first(world: &World) {
    let writing = block_on(world.table.write(Written::Key(KEY), false));
    world.below.set(Some(NEW));
    world.first.set(Some(NEW));
    drop(writing);
    assert_ne!(world.first.get(), Some(OLD));
}

fn insert_newer(world: &World) {
    write(world, Some(NEWER));
    assert_ne!(world.first.get(), Some(OLD));
}

fn invalidate(world: &World) {
    write(world, None);
    assert_ne!(world.first.get(), Some(OLD));
}

fn clear(world: &World) {
    let clearing = block_on(world.table.write(Written::All, false));
    world.first.set(None);
    world.below.set(None);
    drop(clearing);
    assert_ne!(world.first.get(), Some(OLD));
}

/// An insert into the only tier, which answers at once, of what was changed at the source (`below`) before.
fn change_and_insert(world: &World) {
    world.below.set(Some(NEW));
    let writing = block_on(world.table.write(Written::Key(KEY), true));
    world.first.set(Some(NEW));
    drop(writing);
    assert_eq!(world.first.get(), Some(NEW));
}

fn change_and_invalidate(world: &World) {
    world.below.set(Some(NEW));
    let writing = block_on(world.table.write(Written::Key(KEY), true));
    world.first.set(None);
    drop(writing);
    assert_ne!(world.first.get(), Some(OLD));
}

/// A batch that gives up when it has to wait.
fn give_up_writing(world: &World) {
    drop(cancel_after_one_poll(world.table.write_many([KEY, OTHER].into_iter(), false)));
}

fn give_up_clearing(world: &World) {
    drop(cancel_after_one_poll(world.table.write(Written::All, false)));
}

/// A batch writes its keys in any order, here once in each.
fn insert_many(world: &World) {
    let writing = block_on(world.table.write_many([KEY, OTHER].into_iter(), false));
    world.first.set(Some(NEW));
    world.below.set(Some(NEW));
    drop(writing);
}

fn insert_many_backwards(world: &World) {
    let writing = block_on(world.table.write_many([OTHER, KEY].into_iter(), false));
    world.below.set(Some(NEWER));
    world.first.set(Some(NEWER));
    drop(writing);
}

fn first_is_new(world: &World) {
    assert_eq!(world.first.get(), Some(NEW));
}

fn first_is_not_old(world: &World) {
    assert_ne!(world.first.get(), Some(OLD));
}

fn first_is_empty(world: &World) {
    assert_eq!(world.first.get(), None);
}

fn nothing_more(_: &World) {}

#[test]
fn a_promotion_does_not_hide_an_insert() {
    explore(&[promote, insert], first_is_new);
    explore(&[promote, insert_below_first], first_is_new);
}

#[test]
fn a_promotion_does_not_revive_what_is_invalidated() {
    explore(&[promote, invalidate], first_is_empty);
}

#[test]
fn a_promotion_does_not_revive_what_is_cleared() {
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

#[test]
fn an_insert_waits_for_an_older_value_that_is_being_stored() {
    explore(&[promote_slowly, insert], first_is_new);
    explore(&[promote_slowly, insert_below_first], first_is_new);
}

#[test]
fn an_invalidate_and_a_clear_wait_for_an_older_value_that_is_being_stored() {
    explore(&[promote_slowly, invalidate], first_is_empty);
    explore(&[promote_slowly, clear], first_is_empty);
}

/// A write that finds no lease out leaves no trace: whoever takes one afterwards finds the source changed.
#[test]
fn an_insert_that_finds_nobody_to_overtake_is_not_hidden() {
    explore(&[promote, change_and_insert], first_is_new);
    explore(&[promote_slowly, change_and_insert], first_is_new);
    explore(&[promote, change_and_invalidate], first_is_not_old);
}

#[test]
fn an_insert_is_not_hidden_by_either_of_two_promotions() {
    explore_within(3, &[promote, promote, insert], first_is_new);
    explore_within(3, &[promote, promote_at_a_glance, insert], first_is_new);
}

#[test]
fn an_insert_waits_for_both_of_two_older_values_that_are_being_stored() {
    explore_within(3, &[promote_slowly, promote_slowly, insert], first_is_new);
}

#[test]
fn a_promotion_hides_neither_of_two_inserts() {
    explore_within(3, &[promote, insert, insert_newer], first_is_not_old);
    explore_within(3, &[promote_at_a_glance, insert, insert_newer], first_is_not_old);
    explore_within(3, &[promote_slowly, insert, insert_newer], first_is_not_old);
}

#[test]
fn a_promotion_does_not_outlive_an_insert_and_a_clear() {
    explore_within(3, &[promote_slowly, insert, clear], first_is_not_old);
    explore_within(3, &[promote_at_a_glance, insert, clear], first_is_not_old);
}

/// Each begins with all of its keys before it waits for any of them, and no write waits for a write.
#[test]
fn batches_that_share_keys_do_not_block_each_other_or_a_promotion() {
    explore_within(3, &[promote_slowly, insert_many, insert_many_backwards], first_is_not_old);
}

/// Of two that wait for the same store, one goes away: the other is woken all the same.
#[test]
fn a_write_that_is_dropped_while_it_waits_leaves_nobody_waiting() {
    explore_within(3, &[promote_slowly, give_up_writing, insert], first_is_new);
    explore_within(3, &[promote_slowly, give_up_clearing, invalidate], first_is_empty);
    explore(&[promote_slowly, give_up_writing], nothing_more);
}
