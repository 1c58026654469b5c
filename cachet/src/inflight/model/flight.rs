//! Single flight (S24–S29).

use std::future::poll_fn;

use loom::future::block_on;

use super::{FIRST, KEY, NEW, OLD, World, cancel_after_one_poll, explore, explore_within};
use crate::entry::CacheEntry;
use crate::error::Error;
use crate::inflight::flight::{Joined, Loading, LookingUp, LookupResult};
use crate::inflight::turns::Written;
use crate::sync::Ordering;
use crate::telemetry::OperationOutcome;

type Loaded = Result<Option<CacheEntry<u32>>, Error>;

/// Reads the source, which is what is `below`.
fn load(world: &World) -> Loaded {
    world.ran.fetch_add(1, Ordering::Relaxed);
    let found = world.below.get().ok_or_else(|| Error::msg("the source is empty"))?;
    Ok(Some(CacheEntry::new(found)))
}

fn fail(world: &World) -> Loaded {
    world.ran.fetch_add(1, Ordering::Relaxed);
    Err(Error::msg("the source is down"))
}

fn store(world: &World, loaded: &Loaded) {
    if let Ok(Some(entry)) = loaded {
        world.first.set(Some(**entry));
    }
}

/// As `Compute` does it in place, with a tier that answers at once.
fn get_or_insert(world: &World, closure: fn(&World) -> Loaded) -> Loaded {
    let completions = world.table.completions();
    if let Some(found) = world.first.get() {
        return Ok(Some(CacheEntry::new(found)));
    }
    if let Some((lease, Joined::Lead(lead))) = world.table.join_unobserved(KEY)
        && !lead.may_have_completed_since(completions)
    {
        let loaded = closure(world);
        lead.store_and_complete(lease, || store(world, &loaded), &loaded);
        return loaded;
    }
    load_once(world, completions, closure)
}

/// The same, with a tier that has to be waited for.
fn get_or_insert_slowly(world: &World, closure: fn(&World) -> Loaded) -> Loaded {
    let completions = world.table.completions();
    if let Some(found) = world.first.get() {
        return Ok(Some(CacheEntry::new(found)));
    }
    load_once(world, completions, closure)
}

/// As `Inner::load_once`.
fn load_once(world: &World, completions: u64, closure: fn(&World) -> Loaded) -> Loaded {
    let asked = world.table.lease(KEY);
    let mut joined = world.table.join::<Loading>(&asked, None);
    loop {
        let follow = match joined {
            Joined::Reentrant => return Err(Error::reentrant()),
            Joined::Lead(lead) => {
                if lead.may_have_completed_since(completions)
                    && let Some(found) = world.first.get()
                {
                    let found = Ok(Some(CacheEntry::new(found)));
                    lead.complete_load(&found, Some(OperationOutcome::Hit));
                    return found;
                }
                let lease = world.table.lease_to_load(KEY);
                let loaded = closure(world);
                if block_on(poll_fn(|cx| lease.poll_turn(FIRST, cx)))
                    && let Some(storing) = lease.store(FIRST, true)
                {
                    store(world, &loaded);
                    drop(storing);
                }
                lead.complete_load(&loaded, None);
                return loaded;
            }
            Joined::Follow(follow) => follow,
        };
        let (flight, is_usable) = (follow.flight, follow.is_usable);
        if let Some(load) = block_on(follow).filter(|_| is_usable) {
            world.served.fetch_add(1, Ordering::Relaxed);
            return load.result.clone();
        }
        joined = world.table.replace(&asked, flight, None);
    }
}

fn value(loaded: Loaded) -> Option<u32> {
    loaded.unwrap().map(CacheEntry::into_value)
}

fn compute(world: &World) {
    assert_eq!(value(get_or_insert(world, load)), Some(OLD));
}

fn compute_slowly(world: &World) {
    assert_eq!(value(get_or_insert_slowly(world, load)), Some(OLD));
}

fn compute_in_vain(world: &World) {
    assert!(get_or_insert(world, fail).is_err());
}

fn compute_in_vain_slowly(world: &World) {
    assert!(get_or_insert_slowly(world, fail).is_err());
}

/// Who is overtaken gets either value.
fn compute_whatever(world: &World) {
    assert!(value(get_or_insert(world, load)).is_some());
}

fn compute_whatever_slowly(world: &World) {
    assert!(value(get_or_insert_slowly(world, load)).is_some());
}

/// Is dropped while its closure runs, or while it waits for another's.
fn give_up(world: &World) {
    let lease = world.table.lease(KEY);
    if let Joined::Follow(follow) = world.table.join::<Loading>(&lease, None) {
        cancel_after_one_poll(follow);
    }
}

/// The same in one step.
fn give_up_early(world: &World) {
    if let Some((_, Joined::Follow(follow))) = world.table.join_unobserved(KEY) {
        cancel_after_one_poll(follow);
    }
}

/// Thinks that the other takes too long, and leads in its place.
fn replace(world: &World) {
    let asked = world.table.lease(KEY);
    if let Joined::Follow(follow) = world.table.join::<Loading>(&asked, None)
        && let Joined::Lead(lead) = world.table.replace::<Loading>(&asked, follow.flight, None)
    {
        lead.complete_load(&load(world), None);
    }
}

/// One lookup of what is below for all who miss (S59).
fn look_up(world: &World) {
    let lease = world.table.lease(KEY);
    loop {
        match world.table.join::<LookingUp>(&lease, None) {
            Joined::Lead(lead) => {
                world.ran.fetch_add(1, Ordering::Relaxed);
                assert_eq!(world.below.get(), Some(OLD));
                return lead.complete(|| LookupResult { found: None, failure: None, stale: Vec::new() });
            }
            Joined::Follow(follow) => {
                if block_on(follow).is_some() {
                    world.served.fetch_add(1, Ordering::Relaxed);
                    return;
                }
            }
            Joined::Reentrant => unreachable!(),
        }
    }
}

fn give_up_looking(world: &World) {
    let lease = world.table.lease(KEY);
    if let Joined::Follow(follow) = world.table.join::<LookingUp>(&lease, None) {
        cancel_after_one_poll(follow);
    }
}

/// Changes the source, then sees to it that what was computed before is seen no more.
fn change_and_invalidate(world: &World) {
    world.below.set(Some(NEW));
    world.write(&Written::Key(KEY), &[FIRST], None);
}

fn change_and_insert(world: &World) {
    world.below.set(Some(NEW));
    world.write(&Written::Key(KEY), &[FIRST], Some(NEW));
    assert_eq!(value(get_or_insert(world, load)), Some(NEW));
}

fn change_and_insert_slowly(world: &World) {
    world.below.set(Some(NEW));
    world.write(&Written::Key(KEY), &[FIRST], Some(NEW));
    assert_ne!(world.read(FIRST), Some(OLD));
}

fn change_and_compute(world: &World) {
    change_and_invalidate(world);
    assert_eq!(value(get_or_insert(world, load)), Some(NEW));
}

fn clear_and_compute(world: &World) {
    world.below.set(Some(NEW));
    world.write(&Written::All, &[FIRST], None);
    assert_eq!(value(get_or_insert(world, load)), Some(NEW));
}

/// S24, S25: who comes while it goes on follows, and who comes later finds what was stored.
fn one_closure_has_run(world: &World) {
    assert_eq!(world.ran.load(Ordering::Relaxed), 1);
    assert_eq!(world.first.get(), Some(OLD));
}

/// S25: nothing is stored; each call ran its closure, or got the error of one that did.
fn each_has_its_error(world: &World) {
    let (ran, served) = (world.ran.load(Ordering::Relaxed), world.served.load(Ordering::Relaxed));
    assert!(ran >= 1 && ran + served == 2, "{ran} closures ran, {served} calls were served");
    assert_eq!((world.first.get(), world.table.completions()), (None, 0));
}

fn first_is_new(world: &World) {
    assert_eq!(world.first.get(), Some(NEW));
}

fn first_is_not_old(world: &World) {
    assert_ne!(world.first.get(), Some(OLD));
}

/// What an overtaken store has left is owed.
fn first_does_not_read_old(world: &World) {
    assert_ne!(world.read(FIRST), Some(OLD));
}

fn nothing_has_come_of_it(world: &World) {
    assert_eq!((world.first.get(), world.table.completions()), (None, 0));
}

fn one_closure_at_least(world: &World) {
    assert!(world.ran.load(Ordering::Relaxed) >= 1);
}

fn one_lookup_at_a_time(world: &World) {
    let (ran, served) = (world.ran.load(Ordering::Relaxed), world.served.load(Ordering::Relaxed));
    assert!(ran >= 1 && ran + served == 2, "{ran} lookups, {served} served");
}

fn one_lookup(world: &World) {
    assert_eq!(world.ran.load(Ordering::Relaxed), 1);
}

#[test]
fn two_that_miss_a_key_run_one_closure() {
    explore_within(4, &[compute, compute], one_closure_has_run);
    explore_within(3, &[compute_slowly, compute_slowly], one_closure_has_run);
    explore_within(3, &[compute, compute_slowly], one_closure_has_run);
}

#[test]
fn three_that_miss_a_key_run_one_closure() {
    explore_within(2, &[compute, compute, compute], one_closure_has_run);
    explore_within(2, &[compute_slowly, compute_slowly, compute_slowly], one_closure_has_run);
}

// S26
#[test]
fn one_takes_over_when_the_leader_is_dropped_and_no_follower_is_stuck() {
    explore_within(6, &[give_up, compute], one_closure_has_run);
    explore_within(6, &[give_up_early, compute_slowly], one_closure_has_run);
    explore_within(2, &[give_up, compute, compute], one_closure_has_run);
    explore_within(2, &[give_up, compute_slowly, compute_slowly], one_closure_has_run);
}

// S29
#[test]
fn nothing_is_left_when_leader_and_followers_are_dropped() {
    explore(&[give_up, give_up], nothing_has_come_of_it);
    explore_within(3, &[give_up, give_up_early, give_up], nothing_has_come_of_it);
}

// S30
#[test]
fn a_flight_that_is_replaced_leaves_no_follower_stuck() {
    explore_within(4, &[replace, compute_slowly], one_closure_at_least);
    explore_within(2, &[replace, compute_slowly, compute_slowly], one_closure_at_least);
}

// S59
#[test]
fn those_who_miss_together_share_a_lookup_and_one_takes_over_if_it_is_dropped() {
    explore_within(4, &[look_up, look_up], one_lookup_at_a_time);
    explore_within(3, &[give_up_looking, look_up], one_lookup);
    explore_within(2, &[give_up_looking, look_up, look_up], one_lookup_at_a_time);
}

// S25
#[test]
fn an_error_reaches_all_who_wait_and_is_not_stored() {
    explore_within(6, &[compute_in_vain, compute_in_vain], each_has_its_error);
    explore_within(4, &[compute_in_vain_slowly, compute_in_vain_slowly], each_has_its_error);
}

// S19
#[test]
fn what_was_computed_before_an_insert_does_not_hide_it() {
    explore_within(5, &[compute_whatever, change_and_insert], first_is_new);
    explore_within(4, &[compute_whatever_slowly, change_and_insert_slowly], first_does_not_read_old);
    explore_within(2, &[compute_whatever, compute_whatever, change_and_insert], first_is_new);
}

// S19, S47: what was computed before a write is not stored after it, nor returned to an operation that came after it.
#[test]
fn who_comes_after_a_write_does_not_get_what_was_computed_before() {
    explore_within(5, &[compute_whatever, change_and_compute], first_is_not_old);
    explore_within(4, &[compute_whatever, clear_and_compute], first_is_not_old);
}

/// The same with one that came before it and may lead the next flight.
#[test]
fn who_comes_after_a_write_does_not_get_what_a_follower_from_before_finds() {
    explore_within(2, &[compute_whatever, compute_whatever, change_and_compute], first_is_not_old);
    explore_within(2, &[give_up, compute_whatever, change_and_compute], first_is_not_old);
}
