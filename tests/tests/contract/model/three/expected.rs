//! What the cache should do, and tell.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use cachet::InsertOutcome;
use cachet::telemetry::TierOperation::{self, Clear, Contains, Get, Insert, Invalidate};

use super::{Answer, COOL_DOWN, Closure, MAX_AGE, MAX_REFRESHES, NAMES, REFRESH_AFTER, TTL};
use crate::model::{Debts, Stored, unwanted};

/// The operation was given up in a call of a tier.
pub(super) struct GivenUp;

/// How an entry comes to be stored.
#[derive(Clone, Copy, PartialEq)]
enum Origin {
    Direct,
    Computed,
    Promoted,
    Refreshed,
}

/// What the tiers have said.
#[derive(Default)]
struct Lookup {
    found: Option<(usize, Stored)>,
    failed: bool,
    spares: Vec<(usize, Stored)>,
}

/// Three tiers as three maps, the refreshes as a queue, and what should be reported of them.
#[derive(Default)]
pub(super) struct Model {
    pub(super) now: Duration,
    pub(super) tiers: [HashMap<&'static str, Stored>; 3],
    pub(super) tasks: VecDeque<(&'static str, usize)>,
    /// Until when, and whether it has been reported.
    pub(super) cooling: HashMap<&'static str, (Duration, bool)>,
    pub(super) lines: Vec<String>,
    /// What each tier owes: the first one, in memory, nothing.
    debts: [Debts; 3],
    pub(super) failing: Vec<(usize, TierOperation)>,
    pub(super) hanging: Option<(usize, TierOperation)>,
}

impl Model {
    fn tell(&mut self, tier: usize, what: TierOperation, end: &str, fallback: bool) {
        let fallback = if fallback { " (fallback)" } else { "" };
        self.lines.push(format!("{} {what}: {end}{fallback}", NAMES[tier]));
    }

    pub(super) fn end(&mut self, operation: &str, outcome: &str) {
        self.lines.push(format!("{operation}: {outcome}"));
    }

    /// S9, S12, S13, S14
    fn look(&mut self, key: &'static str, what: TierOperation, from: usize) -> Result<Lookup, GivenUp> {
        let mut lookup = Lookup::default();
        for (tier, ttl) in TTL.into_iter().enumerate().skip(from) {
            let fallback = tier > from;
            if self.debts[tier].keys.contains(key) {
                self.tell(tier, what, "skipped", fallback);
                continue;
            }
            let stored = self.tiers[tier].get(key).copied().filter(|stored| !self.debts[tier].distrusts(stored));
            let is_fresh = |stored: &Stored| self.now <= stored.deadline.unwrap_or(stored.inserted + ttl);
            let is_spare = |stored: &Stored| self.now <= stored.inserted + MAX_AGE;
            if self.hanging == Some((tier, what)) {
                self.tell(tier, what, "cancelled", fallback);
                return Err(GivenUp);
            }
            if self.failing.contains(&(tier, what)) {
                self.tell(tier, what, "error", fallback);
                lookup.failed = true;
                continue;
            }
            match stored {
                None => self.tell(tier, what, "miss", fallback),
                Some(stored) if is_fresh(&stored) => {
                    self.tell(tier, what, "hit", fallback);
                    lookup.found = Some((tier, stored));
                    self.pay(tier)?;
                    return Ok(lookup);
                }
                Some(stored) if is_spare(&stored) => {
                    self.tell(tier, what, "expired", fallback);
                    lookup.spares.push((tier, stored));
                }
                Some(_) if self.hanging == Some((tier, Invalidate)) => {
                    self.tell(tier, what, "cancelled", fallback);
                    return Err(GivenUp);
                }
                Some(_) => {
                    self.tell(tier, what, "expired", fallback);
                    if !self.failing.contains(&(tier, Invalidate)) {
                        self.tiers[tier].remove(key);
                    }
                }
            }
            self.pay(tier)?;
        }
        Ok(lookup)
    }

    /// One call that either works, or fails, or hangs.
    fn call(&mut self, tier: usize, what: TierOperation, works: &str) -> Result<Result<(), ()>, GivenUp> {
        if self.hanging == Some((tier, what)) {
            self.tell(tier, what, "cancelled", false);
            return Err(GivenUp);
        }
        let fails = self.failing.contains(&(tier, what));
        self.tell(tier, what, if fails { "error" } else { works }, false);
        Ok(if fails { Err(()) } else { Ok(()) })
    }

    /// S15, S16, S17, S18
    fn store(
        &mut self,
        tier: usize,
        key: &'static str,
        stored: Stored,
        origin: Origin,
    ) -> Result<Result<InsertOutcome, ()>, GivenUp> {
        let outcome = if tier == 0 && unwanted(stored.value) {
            self.tell(tier, Insert, "rejected", false);
            Ok(InsertOutcome::Rejected)
        } else if self
            .written(tier, key, origin == Origin::Direct, |model| model.call(tier, Insert, "inserted"))?
            .is_ok()
        {
            let stored = self.debts[tier].stored(Stored { inserted: self.now, ..stored });
            self.tiers[tier].insert(key, stored);
            self.debts[tier].keys.remove(key);
            self.pay(tier)?;
            return Ok(Ok(InsertOutcome::Accepted));
        } else {
            Err(())
        };
        if origin != Origin::Promoted {
            let removed = self.written(tier, key, origin == Origin::Direct, |model| model.remove(tier, key))?;
            self.owe_unless(removed.is_ok(), tier, key, origin == Origin::Direct);
        }
        Ok(outcome)
    }

    /// A write that is given up leaves its key owed.
    fn written<T>(
        &mut self,
        tier: usize,
        key: &'static str,
        owes: bool,
        call: impl FnOnce(&mut Self) -> Result<T, GivenUp>,
    ) -> Result<T, GivenUp> {
        let result = call(self);
        if result.is_err() && owes {
            self.owe_unless(false, tier, key, false);
        }
        result
    }

    fn owe_unless(&mut self, is_clean: bool, tier: usize, key: &'static str, settles: bool) {
        if !is_clean && tier > 0 {
            self.debts[tier].keys.insert(key);
        } else if is_clean && settles {
            self.debts[tier].keys.remove(key);
        }
    }

    /// S44
    fn pay(&mut self, tier: usize) -> Result<(), GivenUp> {
        while let Some(key) = self.debts[tier].keys.first().copied() {
            let Ok(paid) = self.remove(tier, key) else {
                self.end("repay", "cancelled");
                return Err(GivenUp);
            };
            self.end("repay", if paid.is_ok() { "invalidated" } else { "error" });
            if paid.is_err() {
                break;
            }
            self.debts[tier].keys.remove(key);
        }
        Ok(())
    }

    fn remove(&mut self, tier: usize, key: &'static str) -> Result<Result<(), ()>, GivenUp> {
        let removed = self.call(tier, Invalidate, "invalidated")?;
        if removed.is_ok() {
            self.tiers[tier].remove(key);
        }
        Ok(removed)
    }

    /// Does something with all tiers at once. What hangs is reported last, when it is given up.
    fn with_all<T>(&mut self, work: impl Fn(&mut Self, usize) -> Result<T, GivenUp>) -> Result<[T; 3], GivenUp> {
        let mut given_up = Vec::new();
        let results = [0, 1, 2].map(|tier| {
            let begin = self.lines.len();
            let result = work(self, tier).ok();
            if result.is_none() {
                let cancelled = self.lines[begin..].iter().position(|line| line.ends_with("cancelled")).unwrap();
                // An insert that failed, and the removal that follows, are reported together.
                let failed = cancelled > 0 && !self.lines[begin + cancelled - 1].ends_with("inserted");
                given_up.extend(self.lines.drain(begin + cancelled - usize::from(failed)..));
            }
            result
        });
        self.lines.extend(given_up);
        let [Some(first), Some(second), Some(third)] = results else { return Err(GivenUp) };
        Ok([first, second, third])
    }

    fn insert_into_all(
        &mut self,
        key: &'static str,
        entry: Stored,
        origin: Origin,
    ) -> Result<Result<InsertOutcome, ()>, GivenUp> {
        let outcomes = self.with_all(|model, tier| model.store(tier, key, entry, origin))?;
        Ok(together(&outcomes))
    }

    fn new_entry(&self, value: u32, ttl: Option<Duration>) -> Stored {
        Stored { value, inserted: self.now, deadline: ttl.map(|ttl| self.now + ttl) }
    }

    /// S31, S32, S33
    fn refresh(&mut self, key: &'static str, tier: usize) {
        if self.tasks.iter().any(|(running, _)| *running == key) {
            return;
        }
        if let Some((until, reported)) = self.cooling.get_mut(key)
            && *until > self.now
        {
            if !std::mem::replace(reported, true) {
                self.end("refresh", "suppressed");
            }
            return;
        }
        if self.tasks.len() < MAX_REFRESHES {
            self.cooling.remove(key);
            self.tasks.push_back((key, tier));
        }
    }

    fn is_due(&self, (tier, stored): (usize, Stored)) -> bool {
        REFRESH_AFTER[tier].is_some_and(|after| self.now >= stored.inserted + after)
    }

    /// Runs what is queued: nothing hangs meanwhile.
    pub(super) fn run_tasks(&mut self) {
        while let Some(&(key, tier)) = self.tasks.front() {
            let Ok(lookup) = self.look(key, Get, tier + 1) else { unreachable!("nothing hangs") };
            let outcome = if let Some((depth, stored)) = lookup.found {
                let stored: Vec<_> =
                    (0..depth).filter_map(|above| self.store(above, key, stored, Origin::Refreshed).ok()).collect();
                match together(&stored) {
                    Ok(InsertOutcome::Accepted) => "refreshed",
                    Ok(_) => "rejected",
                    Err(()) => "error",
                }
            } else if lookup.failed {
                "error"
            } else {
                for (tier, _) in &lookup.spares {
                    let _ = self.remove(*tier, key);
                }
                "miss"
            };
            self.end("refresh", outcome);
            self.tasks.pop_front();
            if ["miss", "error"].contains(&outcome) {
                self.cooling.insert(key, (self.now + COOL_DOWN[tier], false));
            } else if let Some(found) = lookup.found.filter(|found| self.is_due(*found)) {
                self.refresh(key, found.0);
            }
        }
    }

    pub(super) fn drop_tasks(&mut self) {
        for _ in 0..self.tasks.len() {
            self.end("refresh", "cancelled");
        }
        self.tasks.clear();
    }

    /// A hit, with its promotion, and the refresh that it triggers.
    fn serve(&mut self, name: &str, key: &'static str, found: (usize, Stored)) -> Result<Answer, GivenUp> {
        for tier in 0..found.0 {
            let _ = self.store(tier, key, found.1, Origin::Promoted)?;
        }
        let is_due = self.is_due(found);
        if is_due {
            self.refresh(key, found.0);
        }
        self.end(name, if is_due { "stale" } else { "hit" });
        Ok(Ok(Some(found.1.value)))
    }

    fn remove_spares(&mut self, key: &'static str, spares: &[(usize, Stored)]) -> Result<(), GivenUp> {
        for (tier, _) in spares {
            let _ = self.remove(*tier, key)?;
        }
        Ok(())
    }

    /// Nothing has been found, and perhaps something has failed.
    fn give_up(&mut self, name: &str, key: &'static str, lookup: &Lookup) -> Result<Answer, GivenUp> {
        if !lookup.failed {
            self.remove_spares(key, &lookup.spares)?;
            self.end(name, "miss");
            return Ok(Ok(None));
        }
        Ok(self.fail(name, &lookup.spares))
    }

    /// An expired entry is better than an error.
    fn fail(&mut self, name: &str, spares: &[(usize, Stored)]) -> Answer {
        let spare = spares.first().map(|(_, stored)| stored.value);
        self.end(name, if spare.is_some() { "stale" } else { "error" });
        spare.map(Some).ok_or(())
    }

    pub(super) fn get(&mut self, key: &'static str) -> Result<Answer, GivenUp> {
        let lookup = self.look(key, Get, 0)?;
        match lookup.found {
            Some(found) => self.serve("get", key, found),
            None => self.give_up("get", key, &lookup),
        }
    }

    pub(super) fn contains(&mut self, key: &'static str) -> Result<Answer, GivenUp> {
        let lookup = self.look(key, Contains, 0)?;
        if let Some((_, stored)) = lookup.found {
            self.end("contains", "hit");
            return Ok(Ok(Some(stored.value)));
        }
        self.give_up("contains", key, &lookup)
    }

    /// S20, S21, S22
    pub(super) fn compute(&mut self, name: &str, key: &'static str, closure: Closure) -> Result<Answer, GivenUp> {
        let lookup = self.look(key, Get, 0)?;
        if let Some(found) = lookup.found {
            return self.serve(name, key, found);
        }
        match closure {
            Closure::Hangs => Err(GivenUp),
            Closure::Fails => Ok(self.fail(name, &lookup.spares)),
            Closure::Gives(value, ttl) => {
                let entry = self.new_entry(value, ttl);
                let _ = self.insert_into_all(key, entry, Origin::Computed)?;
                self.end(name, "computed");
                Ok(Ok(Some(value)))
            }
            Closure::HasNothing => {
                if !lookup.failed {
                    self.remove_spares(key, &lookup.spares)?;
                }
                self.end(name, "none");
                Ok(Ok(None))
            }
        }
    }

    fn write<T>(&mut self, name: &str, written: Result<T, ()>, works: &str) -> Result<T, ()> {
        self.end(name, if written.is_ok() { works } else { "error" });
        written
    }

    pub(super) fn insert(&mut self, key: &'static str, value: u32, ttl: Option<Duration>) -> Result<Answer, GivenUp> {
        let written = self.insert_into_all(key, self.new_entry(value, ttl), Origin::Direct)?;
        let rejected = written == Ok(InsertOutcome::Rejected);
        Ok(self.write("insert", written, if rejected { "rejected" } else { "inserted" }).map(|_| None))
    }

    pub(super) fn invalidate(&mut self, key: &'static str) -> Result<Answer, GivenUp> {
        let removed = self.with_all(|model, tier| {
            let removed = model.written(tier, key, true, |model| model.remove(tier, key))?;
            model.owe_unless(removed.is_ok(), tier, key, true);
            if removed.is_ok() {
                model.pay(tier)?;
            }
            Ok(removed)
        })?;
        let removed = removed.into_iter().collect::<Result<(), ()>>();
        Ok(self.write("invalidate", removed, "invalidated").map(|()| None))
    }

    pub(super) fn clear(&mut self) -> Result<Answer, GivenUp> {
        let cleared = self.with_all(|model, tier| {
            let cleared = model.call(tier, Clear, "cleared");
            match cleared {
                Ok(Ok(())) => model.tiers[tier].clear(),
                _ => model.debts[tier].distrusted = Some(model.now),
            }
            cleared
        })?;
        let cleared = cleared.into_iter().collect::<Result<(), ()>>();
        Ok(self.write("clear", cleared, "cleared").map(|()| None))
    }
}

/// S16
fn together(outcomes: &[Result<InsertOutcome, ()>]) -> Result<InsertOutcome, ()> {
    if outcomes.contains(&Err(())) {
        return Err(());
    }
    let accepted = outcomes.contains(&Ok(InsertOutcome::Accepted));
    Ok(if accepted { InsertOutcome::Accepted } else { InsertOutcome::Rejected })
}
