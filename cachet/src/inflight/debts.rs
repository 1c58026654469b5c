//! Debts: the keys of which a tier may hold an outdated entry (S44).
//!
//! A write that failed, or was dropped half-way, and a store that was overtaken by a write while it was running, leave a debt.
//! Until it is paid, reads of the key skip the tier. It is paid by invalidating the key there, or by a later write of the key
//! that succeeds.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use foldhash::fast::RandomState;

use crate::clock::{Clock, Tick};
use crate::sync::{AtomicU64, AtomicUsize, Mutex, Ordering, lock};

/// So many keys are remembered per tier. Beyond that, all that was stored before the latest such write counts as a miss.
const MOST: usize = 1024;
/// No entry is distrusted.
const NEVER: u64 = u64::MAX;

/// The debts of one tier.
pub(crate) struct Debts<Q> {
    clock: Clock,
    /// How many keys are owed: read on the way of every lookup that is not a plain hit.
    count: AtomicUsize,
    owed: Mutex<HashMap<u64, Debt<Q>, RandomState>>,
    /// The number of the next debt.
    next: AtomicU64,
    /// Entries that were inserted up to then count as misses.
    distrusted: AtomicU64,
}

struct Debt<Q> {
    /// Debts are paid in the order in which they were made.
    number: u64,
    /// The key, once it is known: without it, only a write of the key can pay.
    key: Option<Q>,
    /// How many stores that a write has overtaken are still running: until they end, nothing can be paid.
    running: usize,
    /// Counts what was owed for the key: a payment settles only what was owed when it began.
    version: u64,
}

/// What a payment settles if it succeeds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Payment {
    hash: u64,
    version: u64,
}

impl<Q> Debts<Q> {
    pub(crate) fn new(clock: Clock) -> Self {
        Self {
            clock,
            count: AtomicUsize::new(0),
            owed: Mutex::new(HashMap::default()),
            next: AtomicU64::new(1),
            distrusted: AtomicU64::new(NEVER),
        }
    }

    /// Whether any key is owed, or any entry distrusted.
    #[inline]
    pub(crate) fn any(&self) -> bool {
        self.count() > 0 || self.distrusted_until().is_some()
    }

    /// How many keys are owed.
    #[inline]
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    pub(crate) fn owes(&self, hash: u64) -> bool {
        self.count() > 0 && lock(&self.owed).contains_key(&hash)
    }

    /// Entries that were inserted at this time or before count as misses.
    #[inline]
    pub(crate) fn distrusted_until(&self) -> Option<Tick> {
        let until = self.distrusted.load(Ordering::SeqCst);
        (until != NEVER).then_some(Tick(until))
    }

    /// The tier may hold an outdated entry of the key.
    pub(crate) fn owe(&self, hash: u64, key: Q) {
        let mut owed = lock(&self.owed);
        if owed.len() >= MOST && !owed.contains_key(&hash) {
            drop(owed);
            return self.distrust();
        }
        let debt = self.debt(&mut owed, hash);
        debt.version += 1;
        let replaced = debt.key.replace(key);
        drop(owed);
        drop(replaced);
    }

    /// The tier may hold outdated entries of any key.
    pub(crate) fn distrust(&self) {
        let now = self.clock.now();
        let _ = self.distrusted.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |until| {
            Some(if until == NEVER { now.0 } else { until.max(now.0) })
        });
    }

    /// A store of the key that is running has been overtaken by a write.
    pub(super) fn block(&self, hash: u64) {
        let mut owed = lock(&self.owed);
        let debt = self.debt(&mut owed, hash);
        debt.version += 1;
        debt.running += 1;
    }

    /// A store that has been overtaken has ended.
    pub(super) fn unblock(&self, hash: u64, key: Option<Q>) {
        let mut owed = lock(&self.owed);
        let mut replaced = None;
        if let Some(debt) = owed.get_mut(&hash) {
            debt.running -= 1;
            replaced = if key.is_some() { std::mem::replace(&mut debt.key, key) } else { None };
        }
        drop(owed);
        drop(replaced);
    }

    fn debt<'o>(&self, owed: &'o mut HashMap<u64, Debt<Q>, RandomState>, hash: u64) -> &'o mut Debt<Q> {
        match owed.entry(hash) {
            Entry::Occupied(debt) => debt.into_mut(),
            Entry::Vacant(place) => {
                self.count.fetch_add(1, Ordering::SeqCst);
                let number = self.next.fetch_add(1, Ordering::SeqCst);
                place.insert(Debt { number, key: None, running: 0, version: 0 })
            }
        }
    }

    /// Begins to pay what is owed for a key, if anything is and nothing stands against it.
    pub(crate) fn begin_payment(&self, hash: u64) -> Option<Payment> {
        if self.count() == 0 {
            return None;
        }
        let owed = lock(&self.owed);
        let debt = owed.get(&hash).filter(|debt| debt.running == 0)?;
        Some(Payment { hash, version: debt.version })
    }

    /// The key was written or invalidated successfully since the payment began.
    pub(crate) fn settle(&self, payment: Payment) {
        let mut owed = lock(&self.owed);
        let mut settled = None;
        if let Entry::Occupied(debt) = owed.entry(payment.hash)
            && debt.get().version == payment.version
            && debt.get().running == 0
        {
            settled = Some(debt.remove());
            self.count.fetch_sub(1, Ordering::SeqCst);
        }
        drop(owed);
        drop(settled);
    }

    /// The oldest debt that can be paid, of those after this number: its number, and the key and its hash.
    pub(crate) fn payable(&self, after: u64) -> Option<(u64, u64, Q)>
    where
        Q: Clone,
    {
        if self.count() == 0 {
            return None;
        }
        let owed = lock(&self.owed);
        let payable = owed.iter().filter(|(_, debt)| debt.number > after && debt.running == 0);
        let payable = payable.filter_map(|(hash, debt)| Some((debt.number, *hash, debt.key.as_ref()?)));
        payable.min_by_key(|(number, ..)| *number).map(|(number, hash, key)| (number, hash, key.clone()))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    #[test]
    fn a_payment_settles_only_what_was_owed_when_it_began() {
        let debts = Debts::new(Clock::from(ManualClock::new()));
        debts.owe(1, "ada");
        let payment = debts.begin_payment(1).unwrap();
        debts.owe(1, "ada");
        debts.settle(payment);
        assert!(debts.owes(1));
        debts.settle(debts.begin_payment(1).unwrap());
        assert!(!debts.any());
    }

    #[test]
    fn nothing_is_paid_while_a_store_that_was_overtaken_is_running() {
        let debts = Debts::new(Clock::from(ManualClock::new()));
        debts.block(1);
        assert!(debts.owes(1) && debts.begin_payment(1).is_none() && debts.payable(0).is_none());
        debts.unblock(1, Some("ada"));
        assert_eq!((debts.payable(0), debts.payable(1)), (Some((1, 1, "ada")), None));
        debts.settle(debts.begin_payment(1).unwrap());
        assert!(!debts.any());
    }

    #[test]
    fn beyond_a_number_of_keys_all_that_is_older_is_distrusted() {
        let debts = Debts::new(Clock::from(ManualClock::new()));
        for hash in 0..MOST as u64 {
            debts.owe(hash, hash);
        }
        assert_eq!(debts.distrusted_until(), None);
        debts.owe(MOST as u64, MOST as u64);
        assert_eq!((debts.count(), debts.distrusted_until()), (MOST, Some(Tick(0))));
    }
}
