//! Newer beats older: a value that was on its way when a newer write of the same key happened is not stored.
//!
//! A promotion, a refresh or a computed insert is *late*: what it stores was true when it began. It takes a [`Lease`]
//! before it reads or computes anything, and stores only while the lease is current. Every insert, invalidate and clear
//! makes the leases of its key void, from its beginning to its end, and comes after what is being stored at that moment:
//! under a lock where the tier answers at once, by waiting for it where the tier has to be waited for.
//!
//! Keys are told apart by their hash: two keys that collide make each other's leases void, which costs a store that
//! could have been, and nothing else.

use std::future::poll_fn;
use std::hash::Hash;
use std::mem;
use std::task::{Context, Poll, Waker};

use smallvec::SmallVec;

use super::{InFlight, KeyState, ShardState};
use crate::bounds::Key;
use crate::sync::{Ordering, lock};

impl<K: Key + ?Sized, V> InFlight<K, V> {
    /// Begins something that may store an older value: from here on, newer writes are noticed.
    pub(crate) fn lease(&self, key: &K) -> Lease<'_, K, V> {
        let hash = self.hash(key);
        self.leases.fetch_add(1, Ordering::SeqCst);
        self.lease_for(self.lock_shard(hash).key_state(hash), hash)
    }

    /// Under the shard's lock; the lease has been counted.
    pub(super) fn lease_for(&self, state: &mut KeyState<K::Owned, V>, hash: u64) -> Lease<'_, K, V> {
        let clears = self.clears.load(Ordering::SeqCst);
        let clearing = self.clearing.load(Ordering::SeqCst) > 0;
        state.leases += 1;
        // What a write that is under way has not reached yet may be read; so it must not be stored.
        let version = (state.writers == 0 && !clearing).then_some(state.version);
        Lease { in_flight: self, hash, version, clears, leads: false, into_output: false }
    }

    /// Like [`lease`](Self::lease), for something that does not wait and is soon over. It leaves no trace, and is made void
    /// by a write of any key of its shard.
    pub(crate) fn optimistic(&self, key: &K) -> OptimisticLease<'_, K, V> {
        let hash = self.hash(key);
        let shard = self.shard(hash);
        let clears = self.clears.load(Ordering::SeqCst);
        let ended = shard.ended.load(Ordering::SeqCst);
        let is_quiet = shard.begun.load(Ordering::SeqCst) == ended && self.clearing.load(Ordering::SeqCst) == 0;
        OptimisticLease { in_flight: self, hash, clears, writes: is_quiet.then_some(ended) }
    }

    /// Whether any lease is out, and so may be made void.
    #[inline]
    pub(crate) fn has_leases(&self) -> bool {
        self.leases.load(Ordering::SeqCst) != 0
    }

    /// Begins a write, which comes last: waits until no older value is being stored.
    ///
    /// `atomic` says that the write is a single synchronous step: while no lease is out, it then cannot be told from one that
    /// happened before any lease is taken, and leaves no trace.
    pub(crate) async fn write(&self, written: Written<'_, K>, atomic: bool) -> WriteGuards<'_, K, V> {
        let keys: SmallVec<[WriteGuard<'_, K, V>; 1]> = match written {
            Written::All => {
                let clear = self.begin_clear();
                clear.stores_done().await;
                return WriteGuards { _clear: Some(clear), _keys: SmallVec::new() };
            }
            _ if atomic && !self.has_leases() => SmallVec::new(),
            Written::Key(key) => SmallVec::from_iter([self.begin_write(key)]),
            // All begin before any is waited for: so two of these never wait for each other.
            Written::Keys(keys) => keys.into_iter().map(|key| self.begin_write(key)).collect(),
        };
        for guard in &keys {
            guard.stores_done().await;
        }
        WriteGuards { _clear: None, _keys: keys }
    }

    fn begin_write<Q: Hash + ?Sized>(&self, key: &Q) -> WriteGuard<'_, K, V> {
        let hash = self.hash(key);
        let mut shard = self.lock_shard(hash);
        self.shard(hash).begun.fetch_add(1, Ordering::SeqCst);
        let state = shard.key_state(hash);
        state.writers += 1;
        state.version += 1;
        WriteGuard { in_flight: self, hash }
    }

    fn begin_clear(&self) -> ClearGuard<'_, K, V> {
        self.clearing.fetch_add(1, Ordering::SeqCst);
        self.clears.fetch_add(1, Ordering::SeqCst);
        ClearGuard(self)
    }
}

/// What is written.
pub(crate) enum Written<'k, K: ?Sized> {
    Key(&'k K),
    Keys(Vec<&'k K>),
    All,
}

/// A write is in flight until this is dropped.
pub(crate) struct WriteGuards<'u, K: Key + ?Sized, V> {
    _clear: Option<ClearGuard<'u, K, V>>,
    _keys: SmallVec<[WriteGuard<'u, K, V>; 1]>,
}

/// The right to store a value that was read or computed after the lease was taken; and, for whoever computes a value that
/// others wait for, the duty to bring it (see `flight`).
pub(crate) struct Lease<'u, K: Key + ?Sized, V> {
    pub(super) in_flight: &'u InFlight<K, V>,
    pub(super) hash: u64,
    version: Option<u64>,
    clears: u64,
    pub(super) leads: bool,
    pub(super) into_output: bool,
}

impl<K: Key + ?Sized, V> Lease<'_, K, V> {
    /// Runs `store`, which must not wait, unless a newer write has begun; no newer write begins meanwhile.
    pub(crate) fn commit<T>(&self, store: impl FnOnce() -> T) -> Option<T> {
        let shard = self.in_flight.lock_shard(self.hash);
        let stored = self.is_valid_in(&shard).then(store);
        drop(shard);
        stored
    }

    /// Which writes of the key had begun when the lease was taken; `None` if one was under way.
    pub(super) fn stamp(&self) -> Option<(u64, u64)> {
        self.version.map(|version| (version, self.clears))
    }

    pub(crate) fn is_valid(&self) -> bool {
        self.is_valid_in(&self.in_flight.lock_shard(self.hash))
    }

    /// Begins to store, unless a newer write has begun; those that begin now wait until the returned guard is dropped.
    pub(crate) fn store(&self) -> Option<StoreGuard<'_, K, V>> {
        let mut shard = self.in_flight.lock_shard(self.hash);
        let current = self.is_valid_in(&shard);
        let state = shard.keys.get_mut(&self.hash).filter(|_| current)?;
        state.storing += 1;
        Some(StoreGuard(self))
    }

    fn is_valid_in(&self, shard: &ShardState<K::Owned, V>) -> bool {
        shard.keys.get(&self.hash).is_some_and(|state| self.is_valid_for(state))
    }

    pub(super) fn is_valid_for(&self, state: &KeyState<K::Owned, V>) -> bool {
        self.version == Some(state.version) && self.in_flight.clears.load(Ordering::SeqCst) == self.clears
    }
}

impl<K: Key + ?Sized, V> Drop for Lease<'_, K, V> {
    fn drop(&mut self) {
        self.give_back();
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
        let shard = self.in_flight.shard(self.hash);
        let _shard = lock(&shard.state);
        let writes = shard.begun.load(Ordering::SeqCst);
        if self.writes == Some(writes) && self.in_flight.clears.load(Ordering::SeqCst) == self.clears {
            store();
        }
    }
}

/// An older value is being stored, in a tier that has to be waited for. While the lease is out, its state is there for those
/// who wait for the end of this.
pub(crate) struct StoreGuard<'t, K: Key + ?Sized, V>(&'t Lease<'t, K, V>);

impl<K: Key + ?Sized, V> Drop for StoreGuard<'_, K, V> {
    fn drop(&mut self) {
        let Lease { in_flight, hash, .. } = self.0;
        let mut shard = in_flight.lock_shard(*hash);
        let Some(state) = shard.keys.get_mut(hash) else { return };
        state.storing -= 1;
        let woken = if state.storing == 0 { mem::take(&mut state.waiting) } else { Vec::new() };
        drop(shard);
        woken.into_iter().for_each(Waker::wake);
    }
}

/// A write of one key is under way.
struct WriteGuard<'u, K: Key + ?Sized, V> {
    in_flight: &'u InFlight<K, V>,
    hash: u64,
}

impl<K: Key + ?Sized, V> WriteGuard<'_, K, V> {
    /// Waits until no older value is being stored.
    async fn stores_done(&self) {
        poll_fn(|cx| {
            let mut shard = self.in_flight.lock_shard(self.hash);
            shard.keys.get_mut(&self.hash).map_or(Poll::Ready(()), |state| state.poll_stores_done(cx))
        })
        .await;
    }
}

impl<Q, V> KeyState<Q, V> {
    fn poll_stores_done(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.storing == 0 {
            return Poll::Ready(());
        }
        if !self.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            self.waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }
}

impl<K: Key + ?Sized, V> Drop for WriteGuard<'_, K, V> {
    fn drop(&mut self) {
        let mut shard = self.in_flight.lock_shard(self.hash);
        self.in_flight.shard(self.hash).ended.fetch_add(1, Ordering::SeqCst);
        shard.leave(self.hash, |state| {
            state.writers -= 1;
            state.version += 1;
        });
    }
}

/// A write of all keys is under way.
struct ClearGuard<'u, K: Key + ?Sized, V>(&'u InFlight<K, V>);

impl<K: Key + ?Sized, V> ClearGuard<'_, K, V> {
    /// Waits until no older value is being stored: in a tier that has to be waited for, or under a shard's lock.
    async fn stores_done(&self) {
        for shard in &self.0.shards {
            poll_fn(|cx| {
                let mut shard = lock(&shard.state);
                let unsettled = shard.keys.values_mut().find(|state| state.storing > 0);
                unsettled.map_or(Poll::Ready(()), |state| state.poll_stores_done(cx))
            })
            .await;
        }
    }
}

impl<K: Key + ?Sized, V> Drop for ClearGuard<'_, K, V> {
    fn drop(&mut self) {
        self.0.clears.fetch_add(1, Ordering::SeqCst);
        self.0.clearing.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::tier::erased::poll_once;

    type Table = InFlight<str, u32>;

    #[test]
    fn a_lease_is_current_until_somebody_writes_its_key() {
        let table = Table::new();
        let (lease, other) = (table.lease("a"), table.lease("b"));
        assert!(lease.is_valid());
        drop(table.begin_write("a"));
        assert_eq!(lease.commit(|| ()), None);
        assert_eq!(other.commit(|| ()), Some(()));
    }

    #[test]
    fn a_lease_taken_while_somebody_writes_is_void_and_stays_so() {
        let table = Table::new();
        let writing = table.begin_write("a");
        let lease = table.lease("a");
        assert!(!lease.is_valid());
        drop(writing);
        assert!(!lease.is_valid());
        assert!(table.lease("a").is_valid());
    }

    #[test]
    fn a_glance_is_void_once_a_write_has_begun_or_while_one_goes_on() {
        let table = Table::new();
        let stored = |optimistic: OptimisticLease<'_, str, u32>| {
            let mut stored = false;
            optimistic.commit(|| stored = true);
            stored
        };
        assert!(stored(table.optimistic("a")));
        let before = table.optimistic("a");
        let writing = table.begin_write("a");
        let during = table.optimistic("a");
        drop(writing);
        assert!(!stored(before) && !stored(during));
        assert!(stored(table.optimistic("a")));
        let before = table.optimistic("a");
        let clearing = table.begin_clear();
        let during = table.optimistic("a");
        drop(clearing);
        assert!(!stored(before) && !stored(during));
        assert_eq!(table.keys(), 0);
    }

    #[test]
    fn a_clear_makes_every_lease_void_from_its_beginning_to_its_end() {
        let table = Table::new();
        let before = table.lease("a");
        let clearing = table.begin_clear();
        let during = table.lease("a");
        drop(clearing);
        assert!(!before.is_valid());
        assert!(!during.is_valid());
        assert!(table.lease("a").is_valid());
    }

    #[test]
    fn an_atomic_write_leaves_no_trace_unless_a_lease_is_out() {
        let table = Table::new();
        assert!(poll_once(table.write(Written::Key("a"), true)).is_some());
        assert_eq!(table.keys(), 0);
        let lease = table.lease("a");
        drop(poll_once(table.write(Written::Key("a"), true)).unwrap());
        assert!(!lease.is_valid());
    }

    #[test]
    fn the_table_is_empty_when_nobody_writes_or_waits() {
        let table = Table::new();
        let lease = table.lease("a");
        let writing = table.begin_write("a");
        assert_eq!(table.keys(), 1);
        drop(lease);
        assert_eq!(table.keys(), 1);
        drop(writing);
        assert_eq!(table.keys(), 0);
        assert_eq!(table.leases.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn a_write_waits_for_an_older_value_that_is_just_being_stored_and_for_no_other() {
        let table = Table::new();
        let lease = table.lease("a");
        let storing = lease.store().unwrap();
        assert!(poll_once(table.write(Written::Key("a"), false)).is_none());
        assert!(poll_once(table.write(Written::All, false)).is_none());
        assert!(poll_once(table.write(Written::Key("b"), false)).is_some());
        drop(storing);
        assert!(poll_once(table.write(Written::Key("a"), false)).is_some());
        assert!(lease.store().is_none());
        assert!(poll_once(table.write(Written::All, false)).is_some());
    }
}
