//! Leases: newer beats older (S19, S46).
//!
//! A promotion, a refresh or a loaded value is stored *late*: it was true when it was read, or when its loader began. Who
//! reads or loads in order to store takes a [`Lease`] first, and stores only while the lease is valid. The term is that of
//! Nishtala et al., *Scaling Memcache at Facebook* (NSDI 2013).
//!
//! A lease to *read* is void if a write of the key is running or begins; what a running write has not reached yet may be
//! read. A lease to *load* is void only if a write begins after it: what a loader that begins later returns is newer than a
//! write that is still running, so its store takes its turn behind that. A value that was loaded or refreshed voids, when it is
//! stored, the leases taken before its own, and those to read that were taken before it was stored: what they read may be older.

use std::task::{Context, Poll};

use super::clears::Waiter;
use super::reentrance::{InProgress, Scope, is_inside};
use super::turns::Write;
use super::{InFlight, KeyState};
use crate::bounds::Key;
use crate::sync::{Ordering, lock};

/// What is being stored under a lease in a tier that has to be waited for.
pub(super) struct Store {
    pub(super) lease: u64,
    pub(super) tier: usize,
    /// It was loaded or refreshed: what is read in this tier until it has ended may be older.
    newest: bool,
    /// Whether a write has begun since: then the key is owed in this tier until the store has ended, and longer.
    pub(super) overtaken: bool,
}

/// Which writes had begun at some moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    writes: u64,
    clears: u64,
}

impl Stamp {
    /// Whether all writes that had begun by `other` had begun by this one.
    pub(super) fn covers(self, other: Self) -> bool {
        self.writes >= other.writes && self.clears >= other.clears
    }
}

impl<K: Key + ?Sized, V> InFlight<K, V> {
    /// Begins a read whose result may be stored elsewhere.
    pub(crate) fn lease<'u>(&'u self, key: &'u K) -> Lease<'u, K, V> {
        self.lease_of(key, false)
    }

    /// Begins a load.
    pub(crate) fn lease_to_load<'u>(&'u self, key: &'u K) -> Lease<'u, K, V> {
        self.lease_of(key, true)
    }

    fn lease_of<'u>(&'u self, key: &'u K, to_load: bool) -> Lease<'u, K, V> {
        let hash = self.hash(key);
        if is_inside(InProgress::Locked(self.place())) {
            // Nothing can be found out without waiting for this very thread; so nothing is stored either.
            let stamp = Stamp { writes: 0, clears: 0 };
            return Lease { in_flight: self, key, hash, number: 0, stamp, to_load, is_void: true };
        }
        self.leases.fetch_add(1, Ordering::SeqCst);
        self.take_lease(self.lock_shard(hash).key_state(hash), key, hash, to_load)
    }

    /// Which writes of a key have begun by now.
    pub(super) fn stamp(&self, state: &KeyState<K::Owned, V>) -> Stamp {
        Stamp { writes: state.begun, clears: self.clears.begun() }
    }

    /// Under the shard's lock; the lease has been counted.
    pub(super) fn take_lease<'u>(
        &'u self,
        state: &mut KeyState<K::Owned, V>,
        key: &'u K,
        hash: u64,
        to_load: bool,
    ) -> Lease<'u, K, V> {
        let stamp = self.stamp(state);
        state.users += 1;
        let number = state.next_lease;
        state.next_lease += 1;
        let is_stored = || state.stores.iter().any(|store| store.newest);
        let is_void = !to_load && (state.is_written() || self.clears.is_running() || is_stored());
        Lease { in_flight: self, key, hash, number, stamp, to_load, is_void }
    }

    /// Like [`lease`](Self::lease), for a read that does not wait and is soon over: a sequence lock over the shard. It leaves no
    /// trace, and is made void by a write of any key of its shard.
    ///
    /// All loads and stores of the counters are sequentially consistent: a write counts itself before it touches a tier, so a
    /// reader that saw the tier before the write sees the old count, and its commit, under the lock, the new one.
    pub(crate) fn optimistic(&self, key: &K) -> OptimisticLease<'_, K, V> {
        let hash = self.hash(key);
        let shard = self.shard(hash);
        let clears = self.clears.begun();
        let ended = shard.ended.load(Ordering::SeqCst);
        let is_quiet = shard.begun.load(Ordering::SeqCst) == ended && !self.clears.is_running();
        OptimisticLease { in_flight: self, hash, clears, writes: is_quiet.then_some(ended) }
    }

    /// Whether any lease is out, and so may be made void.
    #[inline]
    pub(crate) fn has_leases(&self) -> bool {
        self.leases.load(Ordering::SeqCst) != 0
    }
}

/// The right to store a value that was read or loaded after the lease was taken.
pub(crate) struct Lease<'u, K: Key + ?Sized, V> {
    pub(super) in_flight: &'u InFlight<K, V>,
    pub(crate) key: &'u K,
    pub(crate) hash: u64,
    /// Zero if it was never taken.
    number: u64,
    pub(super) stamp: Stamp,
    to_load: bool,
    /// Void from the beginning.
    is_void: bool,
}

/// What became of a store.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Committed<T> {
    Stored(T),
    /// The lease is void.
    Superseded,
}

impl<K: Key + ?Sized, V> Lease<'_, K, V> {
    pub(crate) fn is_valid(&self) -> bool {
        let shard = self.in_flight.lock_shard(self.hash);
        shard.keys.get(&self.hash).is_some_and(|state| self.is_valid_for(state))
    }

    pub(super) fn is_valid_for(&self, state: &KeyState<K::Owned, V>) -> bool {
        let is_newest = self.number >= state.superseded
            && (self.to_load || self.number == state.superseded || self.number >= state.outdated);
        !self.is_void && is_newest && self.stamp == self.in_flight.stamp(state)
    }

    /// Runs `store`, which must not wait, unless the lease is void; no write begins meanwhile. A value that is `newest` voids
    /// the leases taken before this one.
    pub(crate) fn commit<T>(&self, newest: bool, store: impl FnOnce() -> T) -> Committed<T> {
        if self.number == 0 {
            return Committed::Superseded;
        }
        let mut shard = self.in_flight.lock_shard(self.hash);
        let Some(state) = shard.keys.get_mut(&self.hash).filter(|state| self.is_valid_for(state)) else {
            return Committed::Superseded;
        };
        if newest {
            self.mark(state);
        }
        let _inside = Scope::enter(InProgress::Locked(self.in_flight.place()));
        let stored = store();
        drop(shard);
        Committed::Stored(stored)
    }

    /// Voids the leases taken before this one.
    pub(super) fn mark(&self, state: &mut KeyState<K::Owned, V>) {
        state.superseded = state.superseded.max(self.number);
        state.outdated = state.next_lease;
        // To an optimistic lease it is a write that is over at once.
        let shard = self.in_flight.shard(self.hash);
        shard.begun.fetch_add(1, Ordering::SeqCst);
        shard.ended.fetch_add(1, Ordering::SeqCst);
    }

    /// Gives the lease up to a caller that gives it back; returns how many that are.
    pub(super) fn returned(mut self) -> usize {
        usize::from(std::mem::take(&mut self.number) != 0)
    }

    /// Waits until no write that began before the lease is pending in a tier. Ready with `false` if the lease is void, or if it
    /// would wait for a write that this thread is inside of.
    pub(crate) fn poll_turn(&self, tier: usize, cx: &mut Context<'_>) -> Poll<bool> {
        if self.number == 0 {
            return Poll::Ready(false);
        }
        let mut shard = self.in_flight.lock_shard(self.hash);
        let Some(state) = shard.keys.get_mut(&self.hash) else { return Poll::Ready(false) };
        if !self.is_valid_for(state) {
            return Poll::Ready(false);
        }
        if let Some(write) = state.pending_in(tier) {
            if is_inside(InProgress::Write(self.in_flight.place(), write)) {
                return Poll::Ready(false);
            }
            match state.waiting.iter_mut().find(|(lease, _)| *lease == self.number) {
                Some((_, waker)) => waker.clone_from(cx.waker()),
                None => state.waiting.push((self.number, cx.waker().clone())),
            }
            return Poll::Pending;
        }
        drop(shard);
        // A clear that begins from here on makes the lease void, so any that is running began before.
        match self.in_flight.poll_clears(u64::MAX, tier, self.waiter(), cx) {
            Ok(Poll::Ready(())) => Poll::Ready(true),
            Ok(Poll::Pending) => Poll::Pending,
            Err(_) => Poll::Ready(false),
        }
    }

    /// Begins to store in a tier that has to be waited for, unless the lease is void. No write waits for the end of it: a
    /// write that begins meanwhile leaves the key owed in this tier.
    pub(crate) fn store(&self, tier: usize, newest: bool) -> Option<StoreGuard<'_, K, V>> {
        if self.number == 0 {
            return None;
        }
        let mut shard = self.in_flight.lock_shard(self.hash);
        let state = shard.keys.get_mut(&self.hash).filter(|state| self.is_valid_for(state))?;
        if newest {
            self.mark(state);
            // What is older and still being stored may land after this.
            state.overtake_stores(self.hash, Some(tier), &self.in_flight.debts);
        }
        state.stores.push(Store { lease: self.number, tier, newest, overtaken: false });
        Some(StoreGuard { lease: self, tier })
    }

    /// Begins to remove from a tier what was found expired there, unless the lease is void. Writes that begin meanwhile wait for
    /// the end of it, as they do for each other.
    pub(crate) fn begin_removal(&self, tier: usize) -> Option<Write<'_, K, V>> {
        if self.number == 0 {
            return None;
        }
        let mut shard = self.in_flight.lock_shard(self.hash);
        let state = shard.keys.get_mut(&self.hash)?;
        if !self.is_valid_for(state) || state.pending_in(tier).is_some() {
            return None;
        }
        Some(self.in_flight.begin_removal(state, self.hash, tier))
    }
}

impl<K: Key + ?Sized, V> Lease<'_, K, V> {
    fn waiter(&self) -> Waiter {
        Waiter::Lease(self.hash, self.number)
    }
}

impl<K: Key + ?Sized, V> Drop for Lease<'_, K, V> {
    fn drop(&mut self) {
        if self.number != 0 {
            self.in_flight.clears.forget(self.waiter());
            let mut shard = self.in_flight.lock_shard(self.hash);
            let left = shard.leave(self.hash, |state| {
                state.users -= 1;
                let place = state.waiting.iter().position(|(lease, _)| *lease == self.number);
                place.map(|place| state.waiting.swap_remove(place))
            });
            drop(shard);
            drop(left);
            self.in_flight.leases.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// A store in a tier that has to be waited for.
pub(crate) struct StoreGuard<'l, K: Key + ?Sized, V> {
    lease: &'l Lease<'l, K, V>,
    tier: usize,
}

impl<K: Key + ?Sized, V> StoreGuard<'_, K, V> {
    /// Ends the store. Returns whether a write has overtaken it, so that the key is owed in this tier.
    fn end(&self) -> bool {
        let mut shard = self.lease.in_flight.lock_shard(self.lease.hash);
        let Some(state) = shard.keys.get_mut(&self.lease.hash) else { return false };
        let is_this = |store: &Store| store.lease == self.lease.number && store.tier == self.tier;
        let Some(place) = state.stores.iter().position(is_this) else { return false };
        state.stores.swap_remove(place).overtaken
    }
}

impl<K: Key + ?Sized, V> Drop for StoreGuard<'_, K, V> {
    fn drop(&mut self) {
        if self.end() {
            // A key whose clone panics while another panic unwinds would abort; without it only a write of the key can pay.
            let key = (!std::thread::panicking()).then(|| self.lease.key.to_owned());
            self.lease.in_flight.debts[self.tier].unblock(self.lease.hash, key);
        }
    }
}

/// The right to store a value that was read just now.
pub(crate) struct OptimisticLease<'u, K: Key + ?Sized, V> {
    in_flight: &'u InFlight<K, V>,
    hash: u64,
    clears: u64,
    writes: Option<u64>,
}

impl<K: Key + ?Sized, V> OptimisticLease<'_, K, V> {
    /// Runs `store`, which must not wait, unless a newer write may have begun; no newer write begins meanwhile.
    pub(crate) fn commit(self, store: impl FnOnce()) {
        if is_inside(InProgress::Locked(self.in_flight.place())) {
            return;
        }
        let shard = self.in_flight.shard(self.hash);
        let _state = lock(&shard.state);
        let writes = shard.begun.load(Ordering::SeqCst);
        if self.writes == Some(writes) && self.in_flight.clears.begun() == self.clears {
            let _inside = Scope::enter(InProgress::Locked(self.in_flight.place()));
            store();
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::task::Waker;

    use super::super::turns::{TierSet, Written};
    use super::*;
    use crate::clock::ManualClock;

    type Table = InFlight<str, u32>;

    fn table() -> Table {
        Table::new(&[false; 2], &ManualClock::new().into())
    }

    fn write<'t>(table: &'t Table, written: &Written<'_, str>) -> Write<'t, str, u32> {
        table.begin_write(written, TierSet::first(2)).unwrap()
    }

    fn write_key<'t>(table: &'t Table, key: &str) -> Write<'t, str, u32> {
        write(table, &Written::Key(key))
    }

    fn now<T>(poll: impl FnOnce(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
        poll(&mut Context::from_waker(Waker::noop()))
    }

    fn is_stored(lease: &Lease<'_, str, u32>, newest: bool) -> bool {
        lease.commit(newest, || ()) == Committed::Stored(())
    }

    // S46
    #[test]
    fn a_lease_to_read_is_void_once_its_key_is_written() {
        let table = table();
        let (lease, other) = (table.lease("a"), table.lease("b"));
        assert!(lease.is_valid());
        drop(write_key(&table, "a"));
        assert!(!is_stored(&lease, false) && lease.store(1, false).is_none());
        assert!(is_stored(&other, false));
    }

    // S46
    #[test]
    fn a_lease_to_read_that_is_taken_during_a_write_is_void_for_ever() {
        let table = table();
        let writing = write_key(&table, "a");
        let lease = table.lease("a");
        assert!(!lease.is_valid());
        drop(writing);
        assert!(!lease.is_valid());
        assert!(table.lease("a").is_valid());
    }

    // S46, S48
    #[test]
    fn a_lease_to_load_survives_a_running_write_and_stores_after_it() {
        let table = table();
        let writing = write_key(&table, "a");
        let lease = table.lease_to_load("a");
        assert!(lease.is_valid());
        assert!(now(|cx| lease.poll_turn(0, cx)).is_pending());
        writing.end_turn(0);
        assert_eq!(now(|cx| lease.poll_turn(0, cx)), Poll::Ready(true));
        assert!(now(|cx| lease.poll_turn(1, cx)).is_pending(), "in the other tier the write goes on");
        drop(writing);
        assert_eq!(now(|cx| lease.poll_turn(1, cx)), Poll::Ready(true));
        assert!(is_stored(&lease, true));
    }

    // S46
    #[test]
    fn a_lease_to_load_is_void_once_a_write_begins_after_it() {
        let table = table();
        let writing = write_key(&table, "a");
        let lease = table.lease_to_load("a");
        let later = write_key(&table, "a");
        drop((writing, later));
        assert_eq!(now(|cx| lease.poll_turn(0, cx)), Poll::Ready(false));
        assert!(!is_stored(&lease, true));
    }

    // S46: the load that began last wins, whichever ends first.
    #[test]
    fn a_loaded_value_voids_the_leases_before_its_own_and_what_was_read_before_it_was_stored() {
        let table = table();
        let older = table.lease_to_load("a");
        let lease = table.lease_to_load("a");
        let newer = table.lease_to_load("a");
        let read = table.lease("a");
        assert!(is_stored(&lease, true) && is_stored(&lease, true), "in one tier, then in the next");
        assert!(!is_stored(&older, true) && !is_stored(&read, false));
        assert!(is_stored(&newer, true));
        assert!(!is_stored(&lease, true));
        assert!(is_stored(&table.lease("a"), false));
    }

    // S46
    #[test]
    fn a_promotion_voids_no_lease_and_a_refresh_stores_in_several_tiers() {
        let table = table();
        let (refresh, promotion) = (table.lease("a"), table.lease("a"));
        assert!(is_stored(&promotion, false));
        assert!(is_stored(&refresh, true) && is_stored(&refresh, true));
        assert!(!is_stored(&promotion, false));
    }

    #[test]
    fn an_optimistic_lease_is_void_if_a_write_is_running_or_has_begun_or_a_load_was_stored() {
        let table = table();
        let is_stored = |optimistic: OptimisticLease<'_, str, u32>| {
            let mut stored = false;
            optimistic.commit(|| stored = true);
            stored
        };
        assert!(is_stored(table.optimistic("a")));
        for written in [Written::Key("a"), Written::All] {
            let before = table.optimistic("a");
            let writing = write(&table, &written);
            let during = table.optimistic("a");
            drop(writing);
            assert!(!is_stored(before) && !is_stored(during));
            assert!(is_stored(table.optimistic("a")));
        }
        let before = table.optimistic("a");
        table.lease_to_load("a").commit(true, || ());
        assert!(!is_stored(before));
        assert!(is_stored(table.optimistic("a")));
        assert_eq!(table.keys(), 0);
    }

    #[test]
    fn a_clear_voids_every_lease_to_read_from_its_beginning_to_its_end() {
        let table = table();
        let before = table.lease("a");
        let clearing = write(&table, &Written::All);
        let (during, load) = (table.lease("a"), table.lease_to_load("a"));
        assert!(now(|cx| load.poll_turn(0, cx)).is_pending());
        drop(clearing);
        assert!(!before.is_valid() && !during.is_valid());
        assert_eq!(now(|cx| load.poll_turn(0, cx)), Poll::Ready(true));
        assert!(table.lease("a").is_valid());
    }

    // S44, S46: no writer waits for a reader.
    #[test]
    fn a_store_that_a_write_overtakes_is_owed_until_it_has_ended_and_longer() {
        for written in [Written::Key("a"), Written::All] {
            let table = table();
            let (hash, lease) = (table.hash("a"), table.lease("a"));
            let storing = lease.store(1, false).unwrap();
            assert!(!table.debts(1).any());
            let writing = write(&table, &written);
            assert!(now(|cx| writing.poll_turn(1, cx)).is_ready());
            drop(writing);
            let debts = table.debts(1);
            assert!(debts.owes(hash) && debts.payable(0).is_none(), "it is still running");
            assert!(!table.debts(0).any());
            drop(storing);
            assert_eq!(debts.payable(0), Some((1, hash, "a".to_owned())));
        }
    }

    // S46
    #[test]
    fn a_lease_to_read_that_is_taken_while_a_loaded_value_is_stored_is_void() {
        let table = table();
        let load = table.lease_to_load("a");
        let storing = load.store(1, true);
        let (read, next) = (table.lease("a"), table.lease_to_load("a"));
        drop(storing);
        assert!(!read.is_valid() && next.is_valid() && table.lease("a").is_valid());
    }

    // S46
    #[test]
    fn a_promotion_that_is_running_when_a_loaded_value_is_stored_is_owed() {
        let table = table();
        let (promotion, load) = (table.lease("a"), table.lease_to_load("a"));
        let promoting = promotion.store(1, false);
        let storing = load.store(1, true);
        assert!(table.debts(1).owes(table.hash("a")) && !table.debts(0).any());
        drop(storing);
        assert_eq!(table.debts(1).payable(0), None);
        drop(promoting);
        assert_eq!(table.debts(1).payable(0), Some((1, table.hash("a"), "a".to_owned())));
    }

    #[test]
    fn a_store_that_is_not_overtaken_leaves_no_debt() {
        let table = table();
        let lease = table.lease("a");
        let storing = lease.store(1, false);
        drop(write_key(&table, "b"));
        drop(storing);
        drop(write_key(&table, "a"));
        assert!(!table.debts(1).any());
    }

    // S46: check and removal in one turn.
    #[test]
    fn what_has_expired_is_removed_in_a_turn_of_its_own_unless_it_was_written_since() {
        let table = table();
        let lease = table.lease("a");
        let removal = lease.begin_removal(1).unwrap();
        assert!(lease.is_valid() && table.lease("a").is_valid(), "a removal voids no lease");
        let writing = write_key(&table, "a");
        assert!(now(|cx| writing.poll_turn(1, cx)).is_pending());
        assert!(now(|cx| writing.poll_turn(0, cx)).is_ready());
        drop(removal);
        assert!(now(|cx| writing.poll_turn(1, cx)).is_ready());
        assert!(lease.begin_removal(1).is_none());
    }

    #[test]
    fn a_removal_that_a_clear_overtakes_leaves_nothing_behind() {
        let table = table();
        let lease = table.lease("a");
        let removal = lease.begin_removal(1);
        drop(write(&table, &Written::All));
        drop(removal);
        drop(lease);
        assert!(!table.debts(1).any());
        assert_eq!(table.keys(), 0);
    }

    #[test]
    fn a_store_that_writes_its_own_cache_gets_an_error_and_stores_nothing_else() {
        let table = table();
        let lease = table.lease("a");
        let inside = lease.commit(false, || {
            let write = table.begin_write(&Written::Key("b"), TierSet::first(2));
            assert!(write.err().unwrap().is_reentrant());
            is_stored(&table.lease("b"), false)
        });
        assert_eq!(inside, Committed::Stored(false));
        assert!(table.begin_write(&Written::Key("b"), TierSet::first(2)).is_ok());
    }

    // S29
    #[test]
    fn the_table_is_empty_once_nothing_is_in_flight_and_gives_its_memory_back() {
        let table = table();
        let lease = table.lease("a");
        let writing = write_key(&table, "a");
        assert_eq!(table.keys(), 1);
        drop(lease);
        assert_eq!(table.keys(), 1);
        drop(writing);
        assert_eq!((table.keys(), table.has_leases()), (0, false));
        let keys: Vec<_> = (0..100_000).map(|key| key.to_string()).collect();
        let leases: Vec<_> = keys.iter().map(|key| table.lease(key)).collect();
        assert_eq!(table.keys(), keys.len());
        drop(leases);
        assert_eq!(table.keys(), 0);
        assert!(table.shards.iter().all(|shard| lock(&shard.state).keys.capacity() <= super::super::KEPT_ROOM));
    }

    #[test]
    fn a_load_that_gives_up_waiting_for_a_write_leaves_no_waker() {
        let table = table();
        let key = Written::Key("a");
        for written in [&key, &Written::All] {
            let writing = write(&table, written);
            let waker = Waker::from(std::sync::Arc::new(Task));
            let task = waker.clone();
            let lease = table.lease_to_load("a");
            assert!(lease.poll_turn(1, &mut Context::from_waker(&task)).is_pending());
            drop((lease, task));
            drop(writing);
            drop(waker);
        }
        assert_eq!(table.keys(), 0);
    }

    struct Task;

    impl std::task::Wake for Task {
        fn wake(self: std::sync::Arc<Self>) {
            panic!("it has given up");
        }
    }
}
