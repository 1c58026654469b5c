//! Turns: the writes of one key are ordered by when they began, in each tier by itself (S43).
//!
//! A write enters the queues of all its keys in one step, so that two of them never wait crosswise. In a tier it runs once
//! every earlier write of its keys is done there, and in all tiers that answer at once: so a write that is dropped before its
//! turn has come in those has changed nothing anywhere. A tier that hangs holds up nothing but its own queue. A clear waits for
//! no write (`clears`). Nothing that reads or loads is waited for: a store that is running when a write begins is overtaken, and
//! leaves a debt.

use std::borrow::Borrow;
use std::mem;
use std::task::{Context, Poll, Waker};

use smallvec::SmallVec;

use super::clears::Waiter;
use super::debts::Debts;
use super::reentrance::{InProgress, is_inside};
use super::{InFlight, KeyState, ShardState};
use crate::bounds::Key;
use crate::error::Error;
use crate::sync::{AtomicBool, MutexGuard, Ordering, lock};

/// A set of tiers, by their numbers. Tiers beyond the 32nd share a place, and so wait a little more than they have to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TierSet(u32);

impl TierSet {
    /// The tiers of which this is true.
    pub(crate) fn of(facts: &[bool]) -> Self {
        let (mut of, mut others) = (Self::default(), Self::default());
        for (tier, fact) in facts.iter().enumerate() {
            if *fact { &mut of } else { &mut others }.add(tier);
        }
        of.without(others)
    }

    /// The first so many.
    pub(crate) fn first(tiers: usize) -> Self {
        Self(if tiers >= 32 { u32::MAX } else { (1 << tiers) - 1 })
    }

    pub(crate) fn only(tier: usize) -> Self {
        Self(1 << tier.min(31))
    }

    pub(super) fn contains(self, tier: usize) -> bool {
        self.0 & Self::only(tier).0 != 0
    }

    pub(super) fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    fn with(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    fn and(self, others: Self) -> Self {
        Self(self.0 & others.0)
    }

    fn is_empty(self) -> bool {
        self.0 == 0
    }

    fn iter(self) -> impl Iterator<Item = usize> {
        (0..32).filter(move |tier| self.contains(*tier))
    }

    fn add(&mut self, tier: usize) {
        self.0 |= Self::only(tier).0;
    }

    pub(super) fn remove(&mut self, tier: usize) {
        self.0 &= !Self::only(tier).0;
    }
}

/// A write of a key, until it ends.
pub(super) struct QueuedWrite {
    id: u64,
    /// It only removes what is expired: leases stay valid.
    is_removal: bool,
    /// The tiers in which it is not done.
    pending: TierSet,
    /// The tiers in which its turn has come.
    started: TierSet,
    /// Tiers in which a clear began before its turn had come: there it is void.
    void: TierSet,
    /// Tiers in which a clear began after that, and that have to be waited for: there its keys are owed.
    overtaken: TierSet,
    /// Who waits for a turn, by tier.
    waiting: Vec<(usize, Waker)>,
}

type Locked<'u, Q, V> = MutexGuard<'u, ShardState<Q, V>>;

/// What is written.
pub(crate) enum Written<'k, K: ?Sized> {
    Key(&'k K),
    Keys(Vec<&'k K>),
    All,
}

/// What a turn came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    Granted,
    /// A clear that began later has made the write void in this tier.
    Void,
}

impl<K: Key + ?Sized, V> InFlight<K, V> {
    /// Begins a write of keys, which voids the leases of these keys. It takes turns in the tiers of this set.
    ///
    /// # Errors
    ///
    /// If this thread is inside a store under a lock of the table: the write would wait for itself.
    pub(crate) fn begin_write(&self, written: &Written<'_, K>, tiers: TierSet) -> Result<Write<'_, K, V>, Error> {
        if is_inside(InProgress::Locked(self.place())) {
            return Err(Error::reentrant());
        }
        let mut hashes: SmallVec<[u64; 1]> = match written {
            Written::Key(key) => SmallVec::from_iter([self.hash(*key)]),
            Written::Keys(keys) => keys.iter().map(|key| self.hash(*key)).collect(),
            Written::All => return Ok(self.begin_clear(tiers)),
        };
        // In the order of the shards, so that two batches never lock them crosswise; and each key once.
        hashes.sort_unstable_by_key(|hash| (Self::shard_number(*hash), *hash));
        hashes.dedup();
        let mut shards = self.lock_shards(&hashes);
        let mut write = Write::new(self, tiers);
        let mut is_queued = self.clears.is_running() && !tiers.is_empty();
        for (shard, hash) in Self::with_shards(&hashes) {
            let state = shards[shard].keys.get(hash);
            is_queued |= state.is_some_and(|state| state.writes.iter().any(|earlier| !earlier.pending.is_empty()));
        }
        write.contended = is_queued;
        // It takes its turn at once, before anything can come in between.
        let is_one_step = !is_queued && tiers.without(self.immediate).is_empty();
        let started = if is_one_step { tiers } else { TierSet::default() };
        for (shard, hash) in Self::with_shards(&hashes) {
            self.shard(*hash).begun.fetch_add(1, Ordering::SeqCst);
            let state = shards[shard].key_state(*hash);
            state.begun += 1;
            // Before the locks are released: a read that begins now has to find the debts.
            state.overtake_stores(*hash, None, &self.debts);
            state.writes.push(QueuedWrite { started, ..QueuedWrite::new(write.id, tiers) });
        }
        drop(shards);
        write.hashes = hashes;
        Ok(write)
    }

    /// Queues the removal of an expired entry from a tier, whose turn has come.
    pub(super) fn begin_removal(&self, state: &mut KeyState<K::Owned, V>, hash: u64, tier: usize) -> Write<'_, K, V> {
        self.queue_in(state, hash, tier, TierSet::only(tier))
    }

    /// Queues an invalidation that pays a debt of a tier.
    pub(crate) fn begin_payment(&self, hash: u64, tier: usize) -> Option<Write<'_, K, V>> {
        if is_inside(InProgress::Locked(self.place())) {
            return None;
        }
        Some(self.queue_in(self.lock_shard(hash).key_state(hash), hash, tier, TierSet::default()))
    }

    /// Queues a removal in one tier, which voids no leases.
    fn queue_in(&self, state: &mut KeyState<K::Owned, V>, hash: u64, tier: usize, started: TierSet) -> Write<'_, K, V> {
        let mut write = Write::new(self, TierSet::only(tier));
        write.hashes.push(hash);
        write.is_removal = true;
        let queued = QueuedWrite::new(write.id, write.tiers);
        state.writes.push(QueuedWrite { is_removal: true, started, ..queued });
        write
    }

    /// Each hash with the place of its shard among those that are [locked](Self::lock_shards) for all of them.
    fn with_shards(hashes: &[u64]) -> impl Iterator<Item = (usize, &u64)> {
        let mut last = None;
        hashes.iter().map(move |hash| {
            let number = Self::shard_number(*hash);
            let place = match last {
                Some((place, of)) if of == number => place,
                Some((place, _)) => place + 1,
                None => 0,
            };
            last = Some((place, number));
            (place, hash)
        })
    }

    fn lock_shards(&self, hashes: &[u64]) -> SmallVec<[Locked<'_, K::Owned, V>; 1]> {
        let mut locked = SmallVec::new();
        let mut last = None;
        for hash in hashes {
            let number = Self::shard_number(*hash);
            if last.replace(number) != Some(number) {
                locked.push(lock(&self.shards[number].state));
            }
        }
        locked
    }
}

impl<Q, V> KeyState<Q, V> {
    /// Whether the key is being written.
    pub(super) fn is_written(&self) -> bool {
        self.writes.iter().any(|write| !write.is_removal)
    }

    /// The first write that is not done in a tier, by its number.
    pub(super) fn pending_in(&self, tier: usize) -> Option<u64> {
        self.writes.iter().find(|write| write.pending.contains(tier)).map(|write| write.id)
    }

    /// A write begins, in a tier or in all: what is being stored may come too late.
    pub(super) fn overtake_stores(&mut self, hash: u64, tier: Option<usize>, debts: &[Debts<Q>]) {
        for store in self.stores.iter_mut().filter(|store| !store.overtaken) {
            if tier.is_none_or(|tier| tier == store.tier) {
                store.overtaken = true;
                debts[store.tier].block(hash);
            }
        }
    }

    /// A clear begins: the writes before it are void in a tier, or owed there if they have started.
    pub(super) fn overtake_writes(&mut self, hash: u64, clear: &Write<'_, impl Key<Owned = Q> + ?Sized, V>) {
        let InFlight { immediate, debts, .. } = clear.in_flight;
        for write in self.writes.iter_mut().filter(|write| write.id < clear.id && !write.is_removal) {
            let pending = write.pending.and(clear.tiers);
            let void = pending.without(write.started);
            let owed = pending.and(write.started).without(*immediate).without(write.overtaken);
            write.void = write.void.with(void);
            write.pending = write.pending.without(void);
            write.overtaken = write.overtaken.with(owed);
            owed.iter().for_each(|tier| debts[tier].block(hash));
        }
    }

    /// The wakers of what may go on now that a write is done in a tier, or has ended.
    pub(super) fn wake_after(&mut self, tier: Option<usize>, woken: &mut Vec<Waker>) {
        woken.extend(self.waiting.drain(..).map(|(_, waker)| waker));
        for write in &mut self.writes {
            let (now, later) = mem::take(&mut write.waiting)
                .into_iter()
                .partition::<Vec<(usize, Waker)>, _>(|(of, _)| tier.is_none_or(|tier| tier == *of));
            write.waiting = later;
            woken.extend(now.into_iter().map(|(_, waker)| waker));
            // Whatever is queued behind this one in the tier has to wait for it.
            if tier.is_some_and(|tier| write.pending.contains(tier)) {
                break;
            }
        }
    }
}

impl QueuedWrite {
    fn new(id: u64, tiers: TierSet) -> Self {
        let none = TierSet::default();
        Self { id, is_removal: false, pending: tiers, started: none, void: none, overtaken: none, waiting: Vec::new() }
    }

    fn wait(&mut self, tier: usize, waker: &Waker) {
        match self.waiting.iter_mut().find(|(of, _)| *of == tier) {
            Some((_, waiting)) => waiting.clone_from(waker),
            None => self.waiting.push((tier, waker.clone())),
        }
    }
}

/// A write that has begun, until it is dropped.
pub(crate) struct Write<'u, K: Key + ?Sized, V> {
    in_flight: &'u InFlight<K, V>,
    id: u64,
    tiers: TierSet,
    hashes: SmallVec<[u64; 1]>,
    is_clear: bool,
    is_removal: bool,
    /// Whether it may have to wait for an earlier one.
    contended: bool,
    /// Whether its turn has come in some tier: then it has happened, and is owed where it has not.
    started: AtomicBool,
}

impl<'u, K: Key + ?Sized, V> Write<'u, K, V> {
    fn new(in_flight: &'u InFlight<K, V>, tiers: TierSet) -> Self {
        let id = in_flight.writes.fetch_add(1, Ordering::SeqCst);
        let (hashes, started) = (SmallVec::new(), AtomicBool::new(false));
        Self { in_flight, id, tiers, hashes, is_clear: false, is_removal: false, contended: false, started }
    }

    pub(super) fn clear(in_flight: &'u InFlight<K, V>, tiers: TierSet) -> Self {
        let mut clear = Self::new(in_flight, tiers);
        clear.is_clear = true;
        clear
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// Whether it may have to wait for an earlier one.
    pub(crate) fn is_contended(&self) -> bool {
        self.contended
    }

    /// Whether its turn has come in some tier.
    pub(crate) fn has_started(&self) -> bool {
        self.started.load(Ordering::SeqCst)
    }

    /// A tier may hold an outdated entry of a key.
    pub(crate) fn owe(&self, tier: usize, key: K::Owned) {
        self.in_flight.debts[tier].owe(self.in_flight.hash(Borrow::<K>::borrow(&key)), key);
    }

    /// What is marked as being polled on this thread, for [`is_inside`].
    pub(crate) fn in_progress(&self) -> InProgress {
        InProgress::Write(self.in_flight.place(), self.id)
    }

    /// Waits for the turn in a tier.
    ///
    /// # Errors
    ///
    /// If the turn is held by a write that this thread is inside of: it would wait for itself.
    pub(crate) fn poll_turn(&self, tier: usize, cx: &mut Context<'_>) -> Poll<Result<Turn, Error>> {
        if !self.tiers.contains(tier) || self.is_clear {
            self.started.store(true, Ordering::SeqCst);
            return Poll::Ready(Ok(Turn::Granted));
        }
        let before = TierSet::only(tier).with(self.in_flight.immediate);
        for hash in &self.hashes {
            let mut shard = self.in_flight.lock_shard(*hash);
            let Some(state) = shard.keys.get_mut(hash) else { continue };
            let Some(place) = state.writes.iter().position(|write| write.id == self.id) else { continue };
            if state.writes[place].void.contains(tier) {
                drop(shard);
                return self.poll_void(tier, cx);
            }
            let mut earlier = state.writes[..place].iter();
            if let Some(earlier) = earlier.find(|earlier| !earlier.pending.and(before).is_empty()) {
                if is_inside(InProgress::Write(self.in_flight.place(), earlier.id)) {
                    return Poll::Ready(Err(Error::reentrant()));
                }
                state.writes[place].wait(tier, cx.waker());
                return Poll::Pending;
            }
        }
        if self.in_flight.poll_clears(self.id, tier, Waiter::Write(self.id), cx)?.is_pending() {
            return Poll::Pending;
        }
        for hash in &self.hashes {
            let mut shard = self.in_flight.lock_shard(*hash);
            let state = shard.keys.get_mut(hash);
            if let Some(write) = state.and_then(|state| state.writes.iter_mut().find(|write| write.id == self.id)) {
                // A clear may have begun since this was looked at, when some of the keys had started and others had not.
                if write.void.contains(tier) {
                    drop(shard);
                    self.end_turn(tier);
                    return self.poll_void(tier, cx);
                }
                write.started.add(tier);
            }
        }
        self.started.store(true, Ordering::SeqCst);
        Poll::Ready(Ok(Turn::Granted))
    }

    /// Waits until the clear that has made the write void is done in a tier: until then, what is older may be read there, and no
    /// write may have returned before that.
    fn poll_void(&self, tier: usize, cx: &mut Context<'_>) -> Poll<Result<Turn, Error>> {
        match self.in_flight.poll_clears(u64::MAX, tier, Waiter::Write(self.id), cx)? {
            Poll::Ready(()) => Poll::Ready(Ok(Turn::Void)),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Whether a clear has begun since the turn in a tier has come: what was written there since may be outdated.
    pub(crate) fn is_overtaken(&self, tier: usize) -> bool {
        self.hashes.iter().any(|hash| {
            let shard = self.in_flight.lock_shard(*hash);
            let mut writes = shard.keys.get(hash).into_iter().flat_map(|state| &state.writes);
            writes.any(|write| write.id == self.id && write.overtaken.contains(tier))
        })
    }

    /// The write is done in a tier, or will not be done there.
    pub(crate) fn end_turn(&self, tier: usize) {
        if !self.tiers.contains(tier) {
            return;
        }
        let mut woken = Vec::new();
        if self.is_clear {
            woken.extend(self.in_flight.clears.end_in(tier, self.id).into_iter().map(|(.., waker)| waker));
        }
        // Where it is done at once, it may go on everywhere.
        let done = Some(tier).filter(|tier| !self.in_flight.immediate.contains(*tier));
        for hash in &self.hashes {
            let mut shard = self.in_flight.lock_shard(*hash);
            let Some(state) = shard.keys.get_mut(hash) else { continue };
            let mut was_overtaken = false;
            if let Some(write) = state.writes.iter_mut().find(|write| write.id == self.id) {
                write.pending.remove(tier);
                was_overtaken = write.overtaken.contains(tier);
                write.overtaken.remove(tier);
            }
            state.wake_after(done, &mut woken);
            drop(shard);
            if was_overtaken {
                self.in_flight.debts[tier].unblock(*hash, None);
            }
        }
        // Not under a lock: a waker may do anything.
        woken.into_iter().for_each(Waker::wake);
    }
}

impl<K: Key + ?Sized, V> Drop for Write<'_, K, V> {
    fn drop(&mut self) {
        let mut woken = Vec::new();
        if self.is_clear {
            woken.extend(self.in_flight.clears.end(self.id).into_iter().map(|(.., waker)| waker));
        } else {
            self.in_flight.clears.forget(Waiter::Write(self.id));
        }
        for hash in &self.hashes {
            let mut shard = self.in_flight.lock_shard(*hash);
            // Every turn that was granted has ended by then: its guard borrows this.
            if !self.is_removal {
                self.in_flight.shard(*hash).ended.fetch_add(1, Ordering::SeqCst);
            }
            shard.leave(*hash, |state| {
                state.writes.retain(|write| write.id != self.id);
                state.wake_after(None, &mut woken);
            });
        }
        woken.into_iter().for_each(Waker::wake);
    }
}

/// A turn that has come, until it is dropped.
pub(crate) struct TurnGuard<'w, 'u, K: Key + ?Sized, V> {
    write: &'w Write<'u, K, V>,
    tier: usize,
}

impl<'w, 'u, K: Key + ?Sized, V> TurnGuard<'w, 'u, K, V> {
    pub(crate) fn new(write: &'w Write<'u, K, V>, tier: usize) -> Self {
        Self { write, tier }
    }

    /// See [`Write::is_overtaken`].
    pub(crate) fn is_overtaken(&self) -> bool {
        self.write.is_overtaken(self.tier)
    }
}

impl<K: Key + ?Sized, V> Drop for TurnGuard<'_, '_, K, V> {
    fn drop(&mut self) {
        self.write.end_turn(self.tier);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    use super::super::reentrance::Scope;
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

    /// Counts how often it is woken.
    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    impl Wakes {
        fn count(&self) -> usize {
            self.0.load(Ordering::SeqCst)
        }
    }

    fn turn(write: &Write<'_, str, u32>, tier: usize) -> Option<Turn> {
        turn_for(write, tier, &Arc::default())
    }

    /// The turn, if it has come; if not, this task waits for it.
    fn turn_for(write: &Write<'_, str, u32>, tier: usize, task: &Arc<Wakes>) -> Option<Turn> {
        match write.poll_turn(tier, &mut Context::from_waker(&Arc::clone(task).into())) {
            Poll::Ready(turn) => Some(turn.unwrap()),
            Poll::Pending => None,
        }
    }

    const GRANTED: Option<Turn> = Some(Turn::Granted);
    const VOID: Option<Turn> = Some(Turn::Void);

    // S43
    #[test]
    fn writes_of_a_key_run_in_the_order_in_which_they_began_in_each_tier_by_itself() {
        let table = table();
        let (first, second, third) = (write_key(&table, "a"), write_key(&table, "a"), write_key(&table, "a"));
        assert!(!first.is_contended() && second.is_contended());
        let task = Arc::default();
        assert_eq!((turn(&third, 0), turn_for(&second, 0, &task), turn(&first, 0)), (None, None, GRANTED));
        first.end_turn(0);
        assert_eq!((task.count(), turn(&second, 0), turn(&third, 0)), (1, GRANTED, None));
        second.end_turn(0);
        // The other tier hangs in the first write, which holds up nothing here.
        assert_eq!((turn(&first, 1), turn(&second, 1), turn(&third, 0)), (GRANTED, None, GRANTED));
        drop(first);
        assert_eq!((turn(&third, 1), turn(&second, 1)), (None, GRANTED));
    }

    // S43
    #[test]
    fn writes_of_different_keys_do_not_wait_for_each_other() {
        let table = table();
        let (a, b) = (write_key(&table, "a"), write_key(&table, "b"));
        assert!(!b.is_contended());
        assert_eq!((turn(&b, 0), turn(&a, 0)), (GRANTED, GRANTED));
    }

    // S43
    #[test]
    fn batches_that_name_their_keys_crosswise_do_not_block_each_other() {
        let table = table();
        let keys: Vec<String> = (0..50).map(|key| key.to_string()).collect();
        let forwards: Vec<&str> = keys.iter().map(String::as_str).collect();
        let backwards = forwards.iter().rev().copied().chain(["0"]).collect();
        let first = write(&table, &Written::Keys(forwards));
        let second = write(&table, &Written::Keys(backwards));
        let single = write_key(&table, "7");
        let (task, of_single) = (Arc::default(), Arc::default());
        assert_eq!(
            (turn_for(&second, 0, &task), turn_for(&single, 0, &of_single), turn(&first, 0)),
            (None, None, GRANTED)
        );
        first.end_turn(0);
        assert_eq!((task.count(), of_single.count()), (1, 0));
        assert_eq!((turn(&second, 0), turn_for(&single, 0, &of_single)), (GRANTED, None));
        drop(second);
        assert!(of_single.count() > 0);
        assert_eq!(turn(&single, 0), GRANTED);
        drop((first, single));
        assert_eq!(table.keys(), 0);
    }

    // S43
    #[test]
    fn a_write_that_is_dropped_while_it_is_queued_has_never_been_there() {
        let table = table();
        let (first, second, third) = (write_key(&table, "a"), write_key(&table, "a"), write_key(&table, "a"));
        let task = Arc::default();
        assert_eq!((turn(&first, 0), turn(&second, 0), turn_for(&third, 0, &task)), (GRANTED, None, None));
        assert!(!second.has_started());
        drop(second);
        assert_eq!(turn_for(&third, 0, &task), None);
        first.end_turn(0);
        assert!(task.count() > 0);
        assert_eq!(turn(&third, 0), GRANTED);
        assert!(!table.debts(0).any() && !table.debts(1).any());
    }

    // S43
    #[test]
    fn a_clear_waits_for_no_write_and_what_is_running_is_owed_until_it_has_ended() {
        let table = table();
        let (hash, running) = (table.hash("a"), write_key(&table, "a"));
        assert_eq!((turn(&running, 0), turn(&running, 1)), (GRANTED, GRANTED));
        running.end_turn(0);
        let clear = write(&table, &Written::All);
        assert_eq!((turn(&clear, 0), turn(&clear, 1)), (GRANTED, GRANTED));
        assert!(running.is_overtaken(1) && !running.is_overtaken(0));
        drop(clear);
        assert!(table.debts(1).owes(hash) && !table.debts(0).any());
        assert!(table.debts(1).begin_payment(hash).is_none(), "it is still running");
        running.end_turn(1);
        table.debts(1).settle(table.debts(1).begin_payment(hash).unwrap());
        assert!(!table.debts(1).any());
    }

    // S43
    #[test]
    fn a_clear_voids_what_is_queued_and_that_holds_up_nothing_more() {
        let table = table();
        let (running, queued) = (write_key(&table, "a"), write_key(&table, "a"));
        let task = Arc::default();
        assert_eq!((turn(&running, 1), turn_for(&queued, 1, &task)), (GRANTED, None));
        let clear = write(&table, &Written::All);
        assert_eq!((task.count(), turn_for(&queued, 1, &task)), (1, None), "what is older may still be read");
        running.end_turn(1);
        clear.end_turn(1);
        assert_eq!((task.count() > 1, turn(&queued, 1)), (true, VOID));
        drop(clear);
        // Though the write that is void has not ended yet: it may hang in another tier.
        let later = write_key(&table, "a");
        assert_eq!((turn(&later, 1), turn(&queued, 1)), (GRANTED, VOID));
    }

    // S43
    #[test]
    fn a_write_that_begins_during_a_clear_waits_for_it_in_each_tier() {
        let table = table();
        let clear = write(&table, &Written::All);
        let later = write_key(&table, "a");
        assert!(later.is_contended());
        let (first, second) = (Arc::default(), Arc::default());
        assert_eq!((turn_for(&later, 0, &first), turn_for(&later, 1, &second)), (None, None));
        clear.end_turn(0);
        assert_eq!(turn(&later, 0), GRANTED);
        assert!(first.count() > 0 && turn_for(&later, 1, &second).is_none());
        drop(clear);
        assert_eq!((second.count() > 0, turn(&later, 1)), (true, GRANTED));
    }

    #[test]
    fn clears_do_not_wait_for_each_other() {
        let table = table();
        let (one, other) = (write(&table, &Written::All), write(&table, &Written::All));
        assert_eq!((turn(&other, 0), turn(&one, 0)), (GRANTED, GRANTED));
        let later = write_key(&table, "a");
        drop(one);
        assert_eq!(turn(&later, 0), None);
        drop(other);
        assert_eq!(turn(&later, 0), GRANTED);
    }

    // S51
    #[test]
    fn a_write_inside_the_one_that_it_would_wait_for_gets_an_error() {
        let table = table();
        for written in [Written::Key("a"), Written::All] {
            let outer = write(&table, &written);
            assert_eq!(turn(&outer, 0), GRANTED);
            let inner = write_key(&table, "a");
            let _inside = Scope::enter(outer.in_progress());
            let polled = inner.poll_turn(0, &mut Context::from_waker(Waker::noop()));
            assert!(matches!(polled, Poll::Ready(Err(error)) if error.is_reentrant()));
            if !outer.is_clear {
                assert_eq!(turn(&write_key(&table, "b"), 0), GRANTED);
            }
        }
    }

    // S44
    #[test]
    fn a_payment_takes_its_turn_and_voids_no_lease() {
        let table = table();
        let hash = table.hash("a");
        let lease = table.lease("a");
        let payment = table.begin_payment(hash, 1).unwrap();
        assert_eq!(turn(&payment, 1), GRANTED);
        assert!(lease.is_valid());
        let later = write_key(&table, "a");
        assert_eq!((turn(&later, 0), turn(&later, 1)), (GRANTED, None));
        // Nor does a clear that overtakes it leave anything behind.
        drop(write(&table, &Written::All));
        drop(payment);
        assert!(!table.debts(1).any());
    }

    #[test]
    fn a_write_that_gives_up_waiting_leaves_no_waker() {
        let table = table();
        for written in [Written::Key("a"), Written::All] {
            let first = write(&table, &written);
            let task = Arc::default();
            let second = write_key(&table, "a");
            assert_eq!(turn_for(&second, 1, &task), None);
            drop(second);
            assert_eq!(Arc::strong_count(&task), 1);
            drop(first);
            assert_eq!(task.count(), 0);
        }
        assert_eq!(table.keys(), 0);
    }
}
