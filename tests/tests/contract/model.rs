//! Random runs against a model that is simple enough to be right.

mod races;
mod three;

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use cachet::telemetry::TierOperation;
use cachet::telemetry::{CacheOperationEvent, EventMask};
use cachet::testing::{Behavior, RecordingHandler};
use cachet::typestate::HasTier;
use cachet::{CacheBuilder, CacheEntry, CacheEventHandler, InsertOutcome, InsertPolicy, ManualClock, Tier};
use cachet_tests::ready;
use fastrand::Rng;

use crate::{Ages, Mock, NANO, TestCache, secs};

const KEYS: [&str; 4] = ["a", "b", "c", "d"];
const TTL: [Duration; 2] = [secs(10), secs(30)];

/// Values that the first tier's policy turns away.
fn unwanted(value: u32) -> bool {
    value.is_multiple_of(5)
}

#[derive(Clone, Copy)]
struct Stored {
    value: u32,
    inserted: Duration,
    deadline: Option<Duration>,
}

/// How an entry comes to be stored.
#[derive(Clone, Copy, PartialEq)]
enum Origin {
    Direct,
    Computed,
    Promoted,
}

/// What a tier owes (S44).
#[derive(Default)]
struct Debts {
    keys: BTreeSet<&'static str>,
    /// What was inserted up to then counts as a miss.
    distrusted: Option<Duration>,
}

impl Debts {
    fn distrusts(&self, stored: &Stored) -> bool {
        self.distrusted.is_some_and(|until| stored.inserted <= until)
    }

    /// What is stored after a write that failed counts as newer than that one, at the same instant too.
    fn stored(&self, stored: Stored) -> Stored {
        let late = self.distrusts(&stored);
        Stored { inserted: if late { self.distrusted.unwrap() + NANO } else { stored.inserted }, ..stored }
    }
}

/// Two tiers as two maps, and what should be reported of them.
#[derive(Default)]
struct Model {
    now: Duration,
    tiers: [HashMap<&'static str, Stored>; 2],
    lines: Vec<String>,
    /// What the second tier owes.
    debts: Debts,
    /// What the second tier fails at in this step.
    failing: Vec<TierOperation>,
}

const NAMES: [&str; 2] = ["l1", "l2"];

impl Model {
    fn fails(&self, tier: usize, operation: TierOperation) -> bool {
        tier == 1 && self.failing.contains(&operation)
    }

    fn tell(&mut self, tier: usize, what: &str) {
        let fallback =
            if tier == 1 && (what.starts_with("get") || what.starts_with("contains")) { " (fallback)" } else { "" };
        self.lines.push(format!("{} {what}{fallback}", NAMES[tier]));
    }

    /// S9, S10, S12, S13, S14
    fn look(&mut self, key: &'static str, operation: TierOperation) -> Result<Option<(usize, Stored)>, ()> {
        let mut failed = false;
        for (tier, ttl) in TTL.into_iter().enumerate() {
            if tier == 1 && self.debts.keys.contains(key) {
                self.tell(tier, &format!("{operation}: skipped"));
                continue;
            }
            if self.fails(tier, operation) {
                self.tell(tier, &format!("{operation}: error"));
                failed = true;
                continue;
            }
            let stored = self.tiers[tier].get(key).copied().filter(|stored| tier == 0 || !self.debts.distrusts(stored));
            let found = stored.filter(|stored| self.now <= stored.deadline.unwrap_or(stored.inserted + ttl));
            let reported = match (stored, found) {
                (None, _) => "miss",
                (_, Some(_)) => "hit",
                (Some(_), None) => "expired",
            };
            self.tell(tier, &format!("{operation}: {reported}"));
            if reported == "expired" && !self.fails(tier, TierOperation::Invalidate) {
                self.tiers[tier].remove(key);
            }
            self.pay(tier);
            if let Some(stored) = found {
                return Ok(Some((tier, stored)));
            }
        }
        if failed { Err(()) } else { Ok(None) }
    }

    /// S15, S16, S17, S18
    fn store(&mut self, tier: usize, key: &'static str, stored: Stored, origin: Origin) -> Result<InsertOutcome, ()> {
        let outcome = if tier == 0 && unwanted(stored.value) {
            self.tell(tier, "insert: rejected");
            Ok(InsertOutcome::Rejected)
        } else if self.fails(tier, TierOperation::Insert) {
            self.tell(tier, "insert: error");
            Err(())
        } else {
            self.tell(tier, "insert: inserted");
            let stored = Stored { inserted: self.now, ..stored };
            self.tiers[tier].insert(key, if tier == 1 { self.debts.stored(stored) } else { stored });
            self.settle(tier, key);
            self.pay(tier);
            return Ok(InsertOutcome::Accepted);
        };
        if origin != Origin::Promoted {
            let removed = self.remove(tier, key);
            self.owe_unless(removed.is_ok(), tier, key, origin == Origin::Direct);
        }
        outcome
    }

    fn settle(&mut self, tier: usize, key: &'static str) {
        if tier == 1 {
            self.debts.keys.remove(key);
        }
    }

    fn owe_unless(&mut self, is_clean: bool, tier: usize, key: &'static str, settles: bool) {
        if !is_clean && tier == 1 {
            self.debts.keys.insert(key);
        } else if is_clean && settles {
            self.settle(tier, key);
        }
    }

    /// S44
    fn pay(&mut self, tier: usize) {
        while tier == 1
            && let Some(key) = self.debts.keys.first().copied()
        {
            let paid = self.remove(tier, key).is_ok();
            self.lines.push(format!("repay: {}", if paid { "invalidated" } else { "error" }));
            if !paid {
                return;
            }
            self.settle(tier, key);
        }
    }

    fn remove(&mut self, tier: usize, key: &'static str) -> Result<(), ()> {
        if self.fails(tier, TierOperation::Invalidate) {
            self.tell(tier, "invalidate: error");
            return Err(());
        }
        self.tell(tier, "invalidate: invalidated");
        self.tiers[tier].remove(key);
        Ok(())
    }

    fn new_entry(&self, value: u32, ttl: Option<Duration>) -> Stored {
        Stored { value, inserted: self.now, deadline: ttl.map(|ttl| self.now + ttl) }
    }

    fn get(&mut self, key: &'static str) -> Result<Option<u32>, ()> {
        let found = self.look(key, TierOperation::Get);
        if let Ok(Some((1, stored))) = found {
            let _ = self.store(0, key, stored, Origin::Promoted);
        }
        self.lines.push(format!("get: {}", ended(&found, "miss")));
        found.map(|found| found.map(|(_, stored)| stored.value))
    }

    fn contains(&mut self, key: &'static str) -> Result<bool, ()> {
        let found = self.look(key, TierOperation::Contains);
        self.lines.push(format!("contains: {}", ended(&found, "miss")));
        found.map(|found| found.is_some())
    }

    fn get_or_insert(&mut self, key: &'static str, value: u32, ttl: Option<Duration>) -> u32 {
        let found = self.look(key, TierOperation::Get);
        if let Ok(Some((tier, stored))) = found {
            if tier == 1 {
                let _ = self.store(0, key, stored, Origin::Promoted);
            }
            self.lines.push("get_or_insert: hit".to_owned());
            return stored.value;
        }
        let entry = self.new_entry(value, ttl);
        for tier in 0..2 {
            let _ = self.store(tier, key, entry, Origin::Computed);
        }
        self.lines.push("get_or_insert: computed".to_owned());
        value
    }

    fn insert(&mut self, key: &'static str, value: u32, ttl: Option<Duration>) -> Result<InsertOutcome, ()> {
        let entry = self.new_entry(value, ttl);
        let outcomes = [0, 1].map(|tier| self.store(tier, key, entry, Origin::Direct));
        let outcome = match outcomes {
            [Err(()), _] | [_, Err(())] => Err(()),
            [Ok(InsertOutcome::Rejected), Ok(InsertOutcome::Rejected)] => Ok(InsertOutcome::Rejected),
            _ => Ok(InsertOutcome::Accepted),
        };
        self.lines.push(match outcome {
            Ok(InsertOutcome::Accepted) => "insert: inserted".to_owned(),
            Ok(_) => "insert: rejected".to_owned(),
            Err(()) => "insert: error".to_owned(),
        });
        outcome
    }

    fn invalidate(&mut self, key: &'static str) -> Result<(), ()> {
        let [first, second] = [0, 1].map(|tier| {
            let removed = self.remove(tier, key);
            self.owe_unless(removed.is_ok(), tier, key, true);
            if removed.is_ok() {
                self.pay(tier);
            }
            removed
        });
        let result = first.and(second);
        self.lines.push(format!("invalidate: {}", if result.is_ok() { "invalidated" } else { "error" }));
        result
    }

    fn clear(&mut self) -> Result<(), ()> {
        let mut result = Ok(());
        for tier in 0..2 {
            if self.fails(tier, TierOperation::Clear) {
                self.tell(tier, "clear: error");
                self.debts.distrusted = Some(self.now);
                result = Err(());
            } else {
                self.tell(tier, "clear: cleared");
                self.tiers[tier].clear();
            }
        }
        self.lines.push(format!("clear: {}", if result.is_ok() { "cleared" } else { "error" }));
        result
    }
}

fn ended<T>(found: &Result<Option<T>, ()>, nothing: &'static str) -> &'static str {
    match found {
        Ok(Some(_)) => "hit",
        Ok(None) => nothing,
        Err(()) => "error",
    }
}

/// Who listens, which must make no difference to what callers get.
#[derive(Clone, Copy, Debug)]
enum Listening {
    NoOne,
    OnlyToOperations,
    ToEverything,
}

impl Listening {
    /// A cache that is listened to like this, and how to take what has been reported.
    fn build(self, builder: CacheBuilder<str, u32, HasTier>) -> (Ages, ManualClock, Box<dyn Fn() -> Vec<String>>) {
        /// Passes on the ends of operations.
        struct Operations(RecordingHandler);

        impl CacheEventHandler for Operations {
            fn interest(&self) -> EventMask {
                EventMask::OPERATIONS
            }

            fn on_operation_event(&self, event: &CacheOperationEvent<'_>) {
                self.0.on_operation_event(event);
            }
        }

        let seen = RecordingHandler::new();
        match self {
            Self::ToEverything => {
                let TestCache { cache, seen, clock, invariants } = TestCache::new(builder);
                (
                    cache,
                    clock,
                    Box::new(move || {
                        let _ = &invariants;
                        seen.take_lines()
                    }),
                )
            }
            Self::NoOne | Self::OnlyToOperations => {
                let clock = ManualClock::new();
                let mut builder = builder.clock(clock.clone());
                if matches!(self, Self::OnlyToOperations) {
                    builder = builder.event_handler(Operations(seen.clone()));
                }
                (builder.build(), clock, Box::new(move || seen.take_lines()))
            }
        }
    }

    /// Which of the lines that the model reports are heard.
    fn hears(self, lines: &mut Vec<String>) {
        match self {
            Self::NoOne => lines.clear(),
            Self::OnlyToOperations => {
                lines.retain(|line| !["l1 ", "l2 ", "l3 "].iter().any(|tier| line.starts_with(tier)));
            }
            Self::ToEverything => {}
        }
    }
}

/// One run: a cache and its model do the same, and have to tell the same.
fn agree(seed: u64, listening: Listening) {
    let mut random = Rng::with_seed(seed);
    let below = Mock::new();
    let policy = InsertPolicy::when(|_: &str, entry: &CacheEntry<u32>| !unwanted(**entry));
    let (cache, clock, lines) = listening.build(
        Ages::builder("ages")
            .tier(Tier::memory(1000).name("l1").ttl(TTL[0]).insert_policy(policy))
            .tier(Tier::new(below.clone()).name("l2").ttl(TTL[1])),
    );
    let mut model = Model::default();
    let failures = [
        TierOperation::Get,
        TierOperation::Contains,
        TierOperation::Insert,
        TierOperation::Invalidate,
        TierOperation::Clear,
    ];
    for step in 0..random.u32(1..30) {
        let context = format!("seed {seed}, step {step}, listening {listening:?}");
        model.failing = failures.into_iter().filter(|_| random.u8(..8) == 0).collect();
        for operation in failures {
            let fails = model.failing.contains(&operation);
            below.always(operation, if fails { Behavior::Fail("at random") } else { Behavior::Work });
        }
        let key = KEYS[random.usize(..KEYS.len())];
        let value = random.u32(..1000);
        let ttl = (random.u8(..3) == 0).then(|| secs(random.u64(..50)));
        let entry = || CacheEntry::new(value).with_ttl(ttl);
        match random.u8(..16) {
            0..4 => {
                let found = ready(cache.get(key)).map(|found| found.map(CacheEntry::into_value));
                assert_eq!(found.map_err(drop), model.get(key), "get, {context}");
            }
            4..8 => {
                let written = ready(cache.insert(key, entry()));
                assert_eq!(written.map_err(drop), model.insert(key, value, ttl), "insert, {context}");
            }
            8..10 => {
                let computed = ready(cache.get_or_insert(key, || async { entry() })).map(CacheEntry::into_value);
                assert_eq!(computed.map_err(drop), Ok(model.get_or_insert(key, value, ttl)), "compute, {context}");
            }
            10 => {
                let found = ready(cache.contains(key));
                assert_eq!(found.map_err(drop), model.contains(key), "contains, {context}");
            }
            11 => assert_eq!(ready(cache.invalidate(key)).map_err(drop), model.invalidate(key), "{context}"),
            12 => assert_eq!(ready(cache.clear()).map_err(drop), model.clear(), "{context}"),
            _ => {
                // Deadlines are met exactly, missed by a little, and missed by far.
                let by = [secs(random.u64(..20)), secs(10), Duration::from_nanos(1)][random.usize(..3)];
                clock.advance(by);
                model.now += by;
            }
        }
        let mut expected = std::mem::take(&mut model.lines);
        listening.hears(&mut expected);
        assert_eq!(lines(), expected, "{context}");
    }
}

// S2–S22
#[test]
fn a_cache_of_two_tiers_does_what_its_model_does() {
    for seed in 0..3000 {
        agree(seed, Listening::ToEverything);
    }
}

// S36: with its shortcuts for those who do not listen.
#[test]
fn who_listens_makes_no_difference() {
    for seed in 0..1500 {
        agree(seed, Listening::NoOne);
        agree(seed, Listening::OnlyToOperations);
    }
}
