//! Clears: writes of all keys, which wait for no other write (S43).
//!
//! A write that is queued in a tier when a clear begins is void there. One that is running there leaves a debt, unless the tier
//! answers at once: then the two come one after the other, in either order. A write that begins later waits for the clear.

use std::mem;
use std::task::{Context, Poll, Waker};

use super::InFlight;
use super::reentrance::{InProgress, is_inside};
use super::turns::{TierSet, Write};
use crate::bounds::Key;
use crate::error::Error;
use crate::sync::{AtomicU64, AtomicUsize, Mutex, Ordering, lock};

/// The clears that have not ended.
pub(super) struct Clears {
    /// Counts those that have begun.
    begun: AtomicU64,
    running: AtomicUsize,
    queue: Mutex<Vec<Clear>>,
}

struct Clear {
    id: u64,
    /// The tiers in which it is not done.
    pending: TierSet,
    /// Who waits for it, by tier; who no longer waits is [forgotten](Clears::forget).
    waiting: Vec<(usize, Waiter, Waker)>,
}

/// Who waits for a clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waiter {
    /// A write, by its number.
    Write(u64),
    /// A lease, by the hash of its key and its number.
    Lease(u64, u64),
}

impl Clears {
    pub(super) fn new() -> Self {
        Self { begun: AtomicU64::new(0), running: AtomicUsize::new(0), queue: Mutex::new(Vec::new()) }
    }

    pub(super) fn begun(&self) -> u64 {
        self.begun.load(Ordering::SeqCst)
    }

    pub(super) fn is_running(&self) -> bool {
        self.running.load(Ordering::SeqCst) > 0
    }

    /// It waits for no clear any more.
    pub(super) fn forget(&self, waiter: Waiter) {
        if self.is_running() {
            let mut clears = lock(&self.queue);
            clears.iter_mut().for_each(|clear| clear.waiting.retain(|(_, who, _)| *who != waiter));
        }
    }

    /// A clear is done in a tier. Returns who waits for it.
    pub(super) fn end_in(&self, tier: usize, id: u64) -> Vec<(usize, Waiter, Waker)> {
        let mut clears = lock(&self.queue);
        let Some(clear) = clears.iter_mut().find(|clear| clear.id == id) else { return Vec::new() };
        clear.pending.remove(tier);
        mem::take(&mut clear.waiting)
    }

    /// A clear has ended. Returns who waits for it.
    pub(super) fn end(&self, id: u64) -> Vec<(usize, Waiter, Waker)> {
        let mut clears = lock(&self.queue);
        let ended = clears.iter().position(|clear| clear.id == id).map(|place| clears.swap_remove(place));
        drop(clears);
        self.running.fetch_sub(1, Ordering::SeqCst);
        ended.map_or_else(Vec::new, |clear| clear.waiting)
    }
}

impl<K: Key + ?Sized, V> InFlight<K, V> {
    /// Begins a write of all keys.
    pub(super) fn begin_clear(&self, tiers: TierSet) -> Write<'_, K, V> {
        self.clears.running.fetch_add(1, Ordering::SeqCst);
        self.clears.begun.fetch_add(1, Ordering::SeqCst);
        let clear = {
            let mut queue = lock(&self.clears.queue);
            let clear = Write::clear(self, tiers);
            queue.push(Clear { id: clear.id(), pending: tiers, waiting: Vec::new() });
            clear
        };
        for shard in &self.shards {
            let mut woken = Vec::new();
            let mut shard = lock(&shard.state);
            for (hash, state) in &mut shard.keys {
                state.overtake_stores(*hash, None, &self.debts);
                state.overtake_writes(*hash, &clear);
                state.wake_after(None, &mut woken);
            }
            drop(shard);
            woken.into_iter().for_each(Waker::wake);
        }
        clear
    }

    /// Waits for the clears before a write, or lease, of this number.
    ///
    /// # Errors
    ///
    /// If this thread is inside of such a clear.
    pub(super) fn poll_clears(
        &self,
        before: u64,
        tier: usize,
        waiter: Waiter,
        cx: &mut Context<'_>,
    ) -> Result<Poll<()>, Error> {
        if !self.clears.is_running() {
            return Ok(Poll::Ready(()));
        }
        let mut clears = lock(&self.clears.queue);
        let earlier = clears.iter_mut().find(|clear| clear.id < before && clear.pending.contains(tier));
        let Some(clear) = earlier else { return Ok(Poll::Ready(())) };
        if is_inside(InProgress::Write(self.place(), clear.id)) {
            return Err(Error::reentrant());
        }
        match clear.waiting.iter_mut().find(|(of, who, _)| (*of, *who) == (tier, waiter)) {
            Some((.., waker)) => waker.clone_from(cx.waker()),
            None => clear.waiting.push((tier, waiter, cx.waker().clone())),
        }
        Ok(Poll::Pending)
    }
}
