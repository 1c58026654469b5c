//! Models: what the table promises, with loom trying every order in which a few actors can take their steps.
//!
//! An actor does by hand what the cache does for one operation, to two tiers that are a lock around an entry each. `below` is
//! what an older value is read from, `first` is where it must not come too late. No model waits by spinning, so an actor
//! that is never woken is a deadlock, which loom reports.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::AtomicUsize as Count;
use std::task::Poll;

use loom::future::block_on;
use loom::model::Builder;
use loom::thread;

use super::turns::{TierSet, Turn, Written};
use super::{InFlight, Write};
use crate::clock::ManualClock;
use crate::sync::{Arc, Mutex, Ordering, lock};

mod flight;
mod lease;
mod turns;

const KEY: &str = "key";
/// What `below` has in the beginning.
const OLD: u32 = 1;
/// What is written.
const NEW: u32 = 2;

struct World {
    table: InFlight<str, u32>,
    first: Place,
    below: Place,
    /// How many closures have run, and how many calls were served by another's. Not loom's: no order depends on them.
    ran: Count,
    served: Count,
}

struct Place(Mutex<Option<u32>>);

impl Place {
    fn get(&self) -> Option<u32> {
        *lock(&self.0)
    }

    fn set(&self, value: Option<u32>) {
        *lock(&self.0) = value;
    }
}

type Actor = fn(&World);

const FIRST: usize = 0;
const BELOW: usize = 1;

impl World {
    fn tier(&self, tier: usize) -> &Place {
        if tier == FIRST { &self.first } else { &self.below }
    }

    /// A read of one tier, which is skipped if it owes the key.
    fn read(&self, tier: usize) -> Option<u32> {
        if self.table.debts(tier).owes(self.table.hash(KEY)) { None } else { self.tier(tier).get() }
    }

    fn begin(&self, written: &Written<'_, str>) -> Write<'_, str, u32> {
        self.table.begin_write(written, TierSet::first(2)).unwrap()
    }

    /// Writes in these tiers, in this order, each in its turn. Settles what was owed before, as the tiers do.
    fn write(&self, written: &Written<'_, str>, tiers: &[usize], value: Option<u32>) {
        let write = self.begin(written);
        for tier in tiers {
            self.write_in(&write, *tier, value);
        }
    }

    fn write_in(&self, write: &Write<'_, str, u32>, tier: usize, value: Option<u32>) {
        if block_on(poll_fn(|cx| write.poll_turn(tier, cx))).unwrap() == Turn::Void {
            return;
        }
        let debts = self.table.debts(tier);
        let payment = debts.begin_payment(self.table.hash(KEY));
        self.tier(tier).set(value);
        if let Some(payment) = payment.filter(|_| !write.is_overtaken(tier)) {
            debts.settle(payment);
        }
        write.end_turn(tier);
    }
}

/// Lets the actors run at once, in every order, and then checks what is to be true of whatever they do: nothing is left of
/// it in the table (S29).
fn explore(actors: &'static [Actor], afterwards: Actor) {
    explore_with(&Builder::new(), [false; 2], actors, afterwards);
}

/// The same where that would take minutes or hours: in every order in which an actor that could go on is interrupted so many
/// times at most. Turns that come because an actor waits or is done do not count. `LOOM_MAX_PREEMPTIONS` allows for more.
fn explore_within(interruptions: usize, actors: &'static [Actor], afterwards: Actor) {
    explore_tiers([false; 2], interruptions, actors, afterwards);
}

/// The same for tiers of which these answer at once.
fn explore_tiers(immediate: [bool; 2], interruptions: usize, actors: &'static [Actor], afterwards: Actor) {
    let mut builder = Builder::new();
    builder.preemption_bound.get_or_insert(interruptions);
    explore_with(&builder, immediate, actors, afterwards);
}

fn explore_with(builder: &Builder, immediate: [bool; 2], actors: &'static [Actor], afterwards: Actor) {
    builder.check(move || {
        let world = Arc::new(World {
            table: InFlight::new(&immediate, &ManualClock::new().into()),
            first: Place(Mutex::new(None)),
            below: Place(Mutex::new(Some(OLD))),
            ran: Count::new(0),
            served: Count::new(0),
        });
        let Some((last, others)) = actors.split_last() else { return };
        let others: Vec<_> = others
            .iter()
            .map(|actor| {
                let world = Arc::clone(&world);
                thread::spawn(move || actor(&world))
            })
            .collect();
        last(&world);
        for actor in others {
            actor.join().unwrap();
        }
        assert_eq!(world.table.keys(), 0);
        assert_eq!(world.table.leases.load(Ordering::SeqCst), 0);
        afterwards(&world);
    });
}

/// Polls a future once, with a waker that can be woken, and drops it wherever it is.
fn cancel_after_one_poll<F: Future>(future: F) -> Option<F::Output> {
    let mut future = Box::pin(future);
    block_on(poll_fn(|cx| {
        let polled = Pin::as_mut(&mut future).poll(cx);
        Poll::Ready(if let Poll::Ready(output) = polled { Some(output) } else { None })
    }))
}
