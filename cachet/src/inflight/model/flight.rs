//! Single flight (S24–S29).

use loom::future::block_on;

use super::{KEY, NEW, OLD, World, cancel_after_one_poll, explore, explore_within};
use crate::entry::CacheEntry;
use crate::error::Error;
use crate::inflight::{Joined, Lease};
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

/// As `Compute` does it, with a tier that answers at once.
fn get_or_insert(world: &World, closure: fn(&World) -> Loaded) -> Loaded {
    let completions = world.table.completions();
    if let Some(found) = world.first.get() {
        return Ok(Some(CacheEntry::new(found)));
    }
    let (lease, joined) = world.table.join(KEY);
    if let Joined::Lead = joined
        && !lease.may_have_completed_since(completions)
    {
        let loaded = closure(world);
        lease.commit_and_complete(|| store(world, &loaded), &loaded, None);
        return loaded;
    }
    drop((lease, joined));
    join_flight(world, completions, world.table.lease(KEY), closure)
}

/// The same, with a tier that has to be waited for.
fn get_or_insert_slowly(world: &World, closure: fn(&World) -> Loaded) -> Loaded {
    let completions = world.table.completions();
    if let Some(found) = world.first.get() {
        return Ok(Some(CacheEntry::new(found)));
    }
    join_flight(world, completions, world.table.lease(KEY), closure)
}

/// As `Inner::join_flight`.
fn join_flight(
    world: &World,
    completions: u64,
    mut lease: Lease<'_, str, u32>,
    closure: fn(&World) -> Loaded,
) -> Loaded {
    loop {
        match lease.join(KEY, None) {
            Joined::Reentrant => return Err(Error::reentrant()),
            Joined::Lead => {
                if lease.may_have_completed_since(completions)
                    && let Some(found) = world.first.get()
                {
                    let found = Ok(Some(CacheEntry::new(found)));
                    lease.complete(&found, Some(OperationOutcome::Hit));
                    return found;
                }
                let loaded = closure(world);
                if let Some(storing) = lease.store() {
                    store(world, &loaded);
                    drop(storing);
                }
                lease.complete(&loaded, None);
                return loaded;
            }
            Joined::Follow(follow) => {
                let superseded = follow.superseded;
                if let Some(completed) = block_on(follow).filter(|_| !superseded) {
                    world.served.fetch_add(1, Ordering::Relaxed);
                    return completed.result;
                }
            }
        }
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

/// Whoever is overtaken gets either value.
fn compute_whatever(world: &World) {
    assert!(value(get_or_insert(world, load)).is_some());
}

fn compute_whatever_slowly(world: &World) {
    assert!(value(get_or_insert_slowly(world, load)).is_some());
}

/// Is dropped while its closure runs, or while it waits for another's.
fn not_found(world: &World) {
    let mut lease = world.table.lease(KEY);
    if let Joined::Follow(follow) = lease.join(KEY, None) {
        cancel_after_one_poll(follow);
    }
}

/// The same in one step.
fn give_up_early(world: &World) {
    let (lease, joined) = world.table.join(KEY);
    if let Joined::Follow(follow) = joined {
        cancel_after_one_poll(follow);
    }
    drop(lease);
}

/// Changes the source, then sees to it that what was computed before is seen no more.
fn change_and_invalidate(world: &World, atomic: bool) {
    world.below.set(Some(NEW));
    let writing = block_on(world.table.write(Written::Key(KEY), atomic));
    world.first.set(None);
    drop(writing);
}

fn change_and_insert(world: &World) {
    world.below.set(Some(NEW));
    let writing = block_on(world.table.write(Written::Key(KEY), true));
    world.first.set(Some(NEW));
    drop(writing);
    assert_eq!(value(get_or_insert(world, load)), Some(NEW));
}

fn change_and_compute(world: &World) {
    change_and_invalidate(world, true);
    assert_eq!(value(get_or_insert(world, load)), Some(NEW));
}

fn change_and_compute_slowly(world: &World) {
    change_and_invalidate(world, false);
    assert_eq!(value(get_or_insert_slowly(world, load)), Some(NEW));
}

fn clear_and_compute(world: &World) {
    world.below.set(Some(NEW));
    let clearing = block_on(world.table.write(Written::All, false));
    world.first.set(None);
    drop(clearing);
    assert_eq!(value(get_or_insert(world, load)), Some(NEW));
}

/// S24, S25: whoever comes while it goes on follows, and whoever comes later finds what was stored.
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

fn nothing_has_come_of_it(world: &World) {
    assert_eq!((world.first.get(), world.table.completions()), (None, 0));
}

#[test]
fn two_that_miss_a_key_run_one_closure() {
    explore(&[compute, compute], one_closure_has_run);
    explore(&[compute_slowly, compute_slowly], one_closure_has_run);
    explore_within(6, &[compute, compute_slowly], one_closure_has_run);
}

#[test]
fn three_that_miss_a_key_run_one_closure() {
    explore_within(3, &[compute, compute, compute], one_closure_has_run);
    explore_within(3, &[compute_slowly, compute_slowly, compute_slowly], one_closure_has_run);
}

/// S26.
#[test]
fn one_takes_over_when_the_leader_is_dropped_and_nobody_is_stuck() {
    explore(&[not_found, compute], one_closure_has_run);
    explore(&[give_up_early, compute_slowly], one_closure_has_run);
    explore_within(3, &[not_found, compute, compute], one_closure_has_run);
    explore_within(3, &[not_found, compute_slowly, compute_slowly], one_closure_has_run);
}

/// S29.
#[test]
fn nothing_is_left_when_leader_and_followers_are_dropped() {
    explore(&[not_found, not_found], nothing_has_come_of_it);
    explore_within(3, &[not_found, give_up_early, not_found], nothing_has_come_of_it);
}

/// S25.
#[test]
fn an_error_reaches_whoever_waits_and_is_not_stored() {
    explore(&[compute_in_vain, compute_in_vain], each_has_its_error);
    explore(&[compute_in_vain_slowly, compute_in_vain_slowly], each_has_its_error);
}

/// S19.
#[test]
fn what_was_computed_before_an_insert_does_not_hide_it() {
    explore(&[compute_whatever, change_and_insert], first_is_new);
    explore(&[compute_whatever_slowly, change_and_insert], first_is_new);
    explore_within(3, &[compute_whatever, compute_whatever_slowly, change_and_insert], first_is_new);
}

/// S19: what was computed before a write is not stored after it, nor given to whoever came after it.
#[test]
fn whoever_comes_after_a_write_does_not_get_what_was_computed_before() {
    explore(&[compute_whatever, change_and_compute], first_is_not_old);
    explore_within(6, &[compute_whatever_slowly, change_and_compute_slowly], first_is_not_old);
    explore_within(6, &[compute_whatever, clear_and_compute], first_is_not_old);
}

/// The same with somebody who came before it and may lead the next flight.
#[test]
fn whoever_comes_after_a_write_does_not_get_what_a_follower_from_before_finds() {
    explore_within(3, &[compute_whatever, compute_whatever, change_and_compute], first_is_not_old);
    explore_within(3, &[not_found, compute_whatever_slowly, change_and_compute_slowly], first_is_not_old);
}
