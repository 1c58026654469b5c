//! Three tiers that fail and hang at random, entries that are refreshed, or served expired when all else fails, and
//! callers who give up.

mod expected;

use std::task::Poll;
use std::time::Duration;

use cachet::telemetry::TierOperation::{self, Clear, Contains, Get, Insert, Invalidate};
use cachet::testing::Behavior::{Fail, Hang, Work};
use cachet::typestate::HasTier;
use cachet::{CacheBuilder, CacheEntry, InsertPolicy, Tier};
use cachet_tests::{ManualRuntime, ManualTask};
use fastrand::Rng;

use self::expected::Model;
use super::{KEYS, Listening, unwanted};
use crate::{Ages, Mock, NANO, secs};

const NAMES: [&str; 3] = ["l1", "l2", "l3"];
const TTL: [Duration; 3] = [secs(10), secs(30), secs(100)];
const REFRESH_AFTER: [Option<Duration>; 3] = [Some(secs(4)), Some(secs(12)), None];
const COOL_DOWN: [Duration; 2] = [secs(3), secs(5)];
const MAX_AGE: Duration = secs(40);
const MAX_REFRESHES: usize = 2;
/// What the tiers can fail at, and hang in.
const CALLS: [TierOperation; 5] = [Get, Contains, Insert, Invalidate, Clear];

/// What a closure does.
#[derive(Clone, Copy)]
enum Closure {
    Gives(u32, Option<Duration>),
    Fails,
    HasNothing,
    Hangs,
}

/// What a caller gets: a value, if that is what was asked for.
type Answer = Result<Option<u32>, ()>;

/// Polls once. What is not done by then is given up.
fn attempt<T>(future: impl Future<Output = T>) -> Option<T> {
    match ManualTask::new(future).poll() {
        Poll::Ready(answer) => Some(answer),
        Poll::Pending => None,
    }
}

fn found(entry: Result<Option<CacheEntry<u32>>, cachet::Error>) -> Answer {
    entry.map(|entry| entry.map(CacheEntry::into_value)).map_err(drop)
}

async fn run(closure: Closure) -> Result<Option<CacheEntry<u32>>, &'static str> {
    match closure {
        Closure::Gives(value, ttl) => Ok(Some(CacheEntry::new(value).with_ttl(ttl))),
        Closure::Fails => Err("no"),
        Closure::HasNothing => Ok(None),
        Closure::Hangs => std::future::pending().await,
    }
}

/// A memory tier, which turns some values away, over two scripted ones.
fn stack(mocks: &[Mock; 2], tasks: &ManualRuntime) -> CacheBuilder<str, u32, HasTier> {
    let policy = InsertPolicy::when(|_: &str, entry: &CacheEntry<u32>| !unwanted(**entry));
    let mut tiers =
        [Tier::memory(1000).insert_policy(policy), Tier::new(mocks[0].clone()), Tier::new(mocks[1].clone())]
            .into_iter()
            .enumerate()
            .map(|(number, tier)| {
                let tier = tier.name(NAMES[number]).ttl(TTL[number]);
                match REFRESH_AFTER[number] {
                    Some(after) => tier.refresh_after(after).refresh_cool_down(COOL_DOWN[number]),
                    None => tier,
                }
            });
    let mut next = || tiers.next().unwrap();
    let builder = Ages::builder("ages").tier(next()).tier(next()).tier(next());
    builder.serve_stale_on_error(MAX_AGE).max_concurrent_refreshes(MAX_REFRESHES).runtime(tasks.clone())
}

/// What goes wrong in the next step.
fn misbehave(random: &mut Rng, mocks: &[Mock; 2], model: &mut Model) {
    model.failing.clear();
    model.hanging = (random.u8(..5) == 0).then(|| (random.usize(1..3), CALLS[random.usize(..CALLS.len())]));
    for (number, mock) in mocks.iter().enumerate() {
        for call in CALLS {
            let at = (number + 1, call);
            let (hangs, fails) = (model.hanging == Some(at), random.u8(..6) == 0);
            mock.always(
                call,
                if hangs {
                    Hang
                } else if fails {
                    Fail("at random")
                } else {
                    Work
                },
            );
            if fails && !hangs {
                model.failing.push(at);
            }
        }
    }
}

/// One run: a cache and its model do the same, and have to tell the same, and to hold the same.
fn agree(seed: u64, listening: Listening) {
    let mut random = Rng::with_seed(seed);
    let (mocks, tasks) = ([Mock::new(), Mock::new()], ManualRuntime::new());
    let (cache, clock, lines) = listening.build(stack(&mocks, &tasks));
    let mut model = Model::default();
    for step in 0..random.u32(1..60) {
        let context = format!("seed {seed}, step {step}, listening {listening:?}");
        misbehave(&mut random, &mocks, &mut model);
        let (key, value) = (KEYS[random.usize(..KEYS.len())], random.u32(..1000));
        let ttl = (random.u8(..3) == 0).then(|| secs(random.u64(..50)));
        let gives = if random.u8(..8) == 0 { Closure::Hangs } else { Closure::Gives(value, ttl) };
        let (name, expected, answer) = match random.u8(..20) {
            0..5 => ("get", model.get(key), attempt(cache.get(key)).map(found)),
            5 => {
                let expected = model.contains(key).map(|answer| answer.map(|found| found.map(|_| 0)));
                let answer = attempt(cache.contains(key));
                ("contains", expected, answer.map(|found| found.map(|found| found.then_some(0)).map_err(drop)))
            }
            6..9 => {
                let expected = model.insert(key, value, ttl);
                let answer = attempt(cache.insert(key, CacheEntry::new(value).with_ttl(ttl)));
                ("insert", expected, answer.map(|answer| answer.map(|_| None).map_err(drop)))
            }
            9..11 => {
                let expected = model.compute("get_or_insert", key, gives);
                let answer = attempt(cache.get_or_insert(key, || async { run(gives).await.unwrap().unwrap() }));
                ("get_or_insert", expected, answer.map(|entry| found(entry.map(Some))))
            }
            11..13 => {
                let closure = if random.bool() { Closure::Fails } else { gives };
                let expected = model.compute("try_get_or_insert", key, closure);
                let compute = || async { run(closure).await.map(Option::unwrap) };
                let answer = attempt(cache.try_get_or_insert(key, compute));
                ("try_get_or_insert", expected, answer.map(|entry| found(entry.map(Some))))
            }
            13 => {
                let closure = if random.bool() { Closure::HasNothing } else { gives };
                let expected = model.compute("optionally_get_or_insert", key, closure);
                let compute = || async { run(closure).await.unwrap() };
                let answer = attempt(cache.optionally_get_or_insert(key, compute));
                ("optionally_get_or_insert", expected, answer.map(found))
            }
            14 => {
                let answer = attempt(cache.invalidate(key));
                ("invalidate", model.invalidate(key), answer.map(|answer| answer.map(|()| None).map_err(drop)))
            }
            15 if value < 300 => {
                ("clear", model.clear(), attempt(cache.clear()).map(|answer| answer.map(|()| None).map_err(drop)))
            }
            15 => {
                tasks.drop_tasks();
                model.drop_tasks();
                ("", Ok(Ok(None)), Some(Ok(None)))
            }
            16 | 17 => {
                if let Some((tier, call)) = model.hanging.take() {
                    mocks[tier - 1].always(call, Work);
                }
                tasks.run();
                model.run_tasks();
                ("", Ok(Ok(None)), Some(Ok(None)))
            }
            _ => {
                // Deadlines are met exactly, missed by a little, and missed by far.
                let by = [secs(random.u64(..20)), secs(4), secs(10), NANO][random.usize(..4)];
                clock.advance(by);
                model.now += by;
                ("", Ok(Ok(None)), Some(Ok(None)))
            }
        };
        if expected.is_err() {
            model.end(name, "cancelled");
        }
        assert_eq!(answer, expected.ok(), "{name}, {context}");
        let mut expected = std::mem::take(&mut model.lines);
        listening.hears(&mut expected);
        assert_eq!(lines(), expected, "{name}, {context}");
        for (mock, tier) in mocks.iter().zip(&model.tiers[1..]) {
            let held = KEYS.map(|key| mock.stored(key).map(CacheEntry::into_value));
            assert_eq!(held, KEYS.map(|key| tier.get(key).map(|stored| stored.value)), "{name}, {context}");
        }
        let cooling = model.cooling.values().filter(|(until, _)| *until > model.now).count();
        let status = cache.refreshes();
        assert_eq!((status.running, status.cooling_down), (model.tasks.len(), cooling), "{name}, {context}");
    }
}

// S2–S22, S31–S34, S38
#[test]
fn a_cache_of_three_tiers_does_what_its_model_does() {
    for seed in 0..2000 {
        agree(seed, Listening::ToEverything);
    }
}

// S36
#[test]
fn who_listens_makes_no_difference() {
    for seed in 0..500 {
        agree(seed, Listening::NoOne);
        agree(seed, Listening::OnlyToOperations);
    }
}
