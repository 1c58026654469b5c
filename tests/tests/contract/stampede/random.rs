//! Random interleavings against a simple model.

use std::cell::RefCell;
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use cachet::telemetry::TierOperation;
use cachet::telemetry::{CacheOperationEvent, EventMask};
use cachet::testing::{Behavior, RecordingHandler};
use cachet::{CacheEntry, CacheEventHandler, Tier};
use cachet_tests::task::pend;
use cachet_tests::{ManualTask, events, invariants};
use fastrand::Rng;

use crate::{Ages, Mock};

const KEYS: [&str; 2] = ["ada", "bob"];

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

#[derive(Clone, Copy, Debug, PartialEq)]
enum Listening {
    NoOne,
    OnlyToOperations,
    ToEverything,
}

/// What is true of the values of a key. Everything that happens takes a number from one clock, and what a closure or
/// an insert makes of a key is that number.
#[derive(Default)]
struct Truth {
    now: u32,
    /// The beginnings of the last writes that are over.
    written: HashMap<&'static str, u32>,
    /// The keys whose closures are running.
    running: Vec<&'static str>,
    /// For each value of a closure, when the call it belongs to was over.
    over: HashMap<u32, u32>,
    closures: u32,
}

/// One closure at a time, and it knows when it is over.
struct Running<'t>(&'t Mutex<Truth>, &'static str);

impl<'t> Running<'t> {
    fn start(truth: &'t Mutex<Truth>, key: &'static str) -> (Self, u32) {
        let mut now = truth.lock().unwrap();
        assert!(!now.running.contains(&key), "two closures of one key");
        now.running.push(key);
        now.now += 1;
        now.closures += 1;
        (Self(truth, key), now.now)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.lock().unwrap().running.retain(|key| *key != self.1);
    }
}

/// What may be returned: values that were current, or also such as were overtaken while they were being computed.
#[derive(Clone, Copy, PartialEq)]
enum Fresh {
    Current,
    OrUnderWay,
}

type Task<'c> = ManualTask<Pin<Box<dyn Future<Output = ()> + 'c>>>;

struct Run {
    results: Vec<(u32, u32)>,
    closures: u32,
    coalesced: usize,
}

fn run(seed: u64, listening: Listening, fresh: Fresh) -> Run {
    let mut random = Rng::with_seed(seed);
    let tiers = [Mock::new(), Mock::new()];
    let memory_first = seed.is_multiple_of(2);
    let first = if memory_first { Tier::memory(10) } else { Tier::new(tiers[0].clone()) };
    let seen = RecordingHandler::new();
    let builder = Ages::builder("ages").tier(first.name("l1")).tier(Tier::new(tiers[1].clone()).name("l2"));
    let builder = match listening {
        Listening::NoOne => builder,
        Listening::OnlyToOperations => builder.event_handler(Operations(seen.clone())),
        Listening::ToEverything => builder.event_handler(seen.clone()),
    };
    let cache = builder.stampede_protection().build();
    let truth = Mutex::new(Truth::default());
    let tick = || {
        let mut truth = truth.lock().unwrap();
        truth.now += 1;
        truth.now
    };
    let results = RefCell::new(Vec::new());
    let (mut computes, mut write): (Vec<Task<'_>>, Option<Task<'_>>) = (Vec::new(), None);
    let (cache, truth, results) = (&cache, &truth, &results);
    let mut calls = 0;
    for _ in 0..50 {
        tiers[random.usize(..2)].next(TierOperation::ALL[random.usize(..4)], Behavior::Pend(random.u32(..3)));
        let key = KEYS[random.usize(..KEYS.len())];
        match random.u8(..12) {
            0..3 if computes.len() < 4 => {
                let (polls, call) = (random.u32(..4), calls);
                calls += 1;
                computes.push(ManualTask::new(Box::pin(async move {
                    let own = AtomicBool::new(false);
                    let (began, floor) = {
                        let mut truth = truth.lock().unwrap();
                        truth.now += 1;
                        (truth.now, truth.written.get(key).copied().unwrap_or(0))
                    };
                    let compute = cache.get_or_insert(key, || async {
                        own.store(true, Ordering::Relaxed);
                        let (_running, value) = Running::start(truth, key);
                        pend(polls).await;
                        value
                    });
                    let value = compute.await.map(CacheEntry::into_value).unwrap();
                    let mut truth = truth.lock().unwrap();
                    truth.now += 1;
                    if own.into_inner() {
                        let now = truth.now;
                        truth.over.insert(value, now);
                    }
                    let under_way = fresh == Fresh::OrUnderWay && truth.over.get(&value) >= Some(&began);
                    assert!(
                        value >= floor || under_way,
                        "seed {seed}: call {call} of `{key}` got {value}, overtaken at {floor}, before it began at {began}"
                    );
                    results.borrow_mut().push((call, value));
                })));
            }
            3..5 if write.is_none() => {
                let began = tick();
                let kind = random.u8(..4);
                write = Some(ManualTask::new(Box::pin(async move {
                    match kind {
                        0 => cache.clear().await.unwrap(),
                        1 => cache.invalidate(key).await.unwrap(),
                        _ => drop(cache.insert(key, began).await.unwrap()),
                    }
                    let mut truth = truth.lock().unwrap();
                    for written in KEYS.into_iter().filter(|it| kind == 0 || *it == key) {
                        truth.written.insert(written, began);
                    }
                })));
            }
            // Now and then an operation is given up.
            5 if computes.len() > 1 => drop(computes.swap_remove(random.usize(..computes.len()))),
            6 if random.u8(..3) == 0 => write = None,
            6..8 => write = write.and_then(go_on),
            _ if !computes.is_empty() => {
                let chosen = random.usize(..computes.len());
                if computes[chosen].poll().is_ready() {
                    drop(computes.swap_remove(chosen));
                }
            }
            _ => {}
        }
    }
    finish(seed, write.into_iter().chain(computes).collect());
    assert!(truth.lock().unwrap().running.is_empty());
    let recorded = seen.take();
    if listening == Listening::ToEverything {
        invariants::check(&recorded);
    }
    let coalesced = events::completions(&recorded).iter().filter(|end| end.coalesced()).count();
    let closures = truth.lock().unwrap().closures;
    Run { results: results.take(), closures, coalesced }
}

/// Polls only who has been woken, in turns: none may wait for a wake that never comes.
fn finish(seed: u64, mut tasks: Vec<Task<'_>>) {
    let mut heard: Vec<Option<usize>> = vec![None; tasks.len()];
    while !tasks.is_empty() {
        let mut moved = false;
        let mut index = 0;
        while index < tasks.len() {
            let wakes = tasks[index].wakes();
            if heard[index] != Some(wakes) {
                moved = true;
                heard[index] = Some(wakes);
                if tasks[index].poll().is_ready() {
                    drop(tasks.remove(index));
                    heard.remove(index);
                    continue;
                }
            }
            index += 1;
        }
        assert!(moved, "seed {seed}: {} operations wait, and nothing wakes them", tasks.len());
    }
}

fn go_on(mut task: Task<'_>) -> Option<Task<'_>> {
    match task.poll() {
        Poll::Pending => Some(task),
        Poll::Ready(()) => None,
    }
}

// S25, S26, S19, S29
#[test]
fn one_closure_at_a_time_and_everybody_gets_a_value_that_was_current_or_under_way() {
    let (mut coalesced, mut closures, mut results) = (0, 0, 0);
    for seed in 0..4000 {
        let run = run(seed, Listening::ToEverything, Fresh::OrUnderWay);
        coalesced += run.coalesced;
        closures += run.closures;
        results += run.results.len();
    }
    // The runs are about what they are meant to be about.
    assert!(coalesced > 2000 && closures > 8000 && results > 20_000, "{coalesced}, {closures}, {results}");
}

// S19, S25: also of values that are computed while newer ones are written.
#[test]
fn everybody_gets_a_value_that_was_current_at_some_time_during_the_call() {
    for seed in 0..4000 {
        run(seed, Listening::ToEverything, Fresh::Current);
    }
}

// S36
#[test]
fn who_listens_makes_no_difference_to_flights() {
    for seed in 0..1500 {
        let results = |listening| run(seed, listening, Fresh::OrUnderWay).results;
        // Hashes are random, and with them, now and then, the order in which those who wait for a clear go on.
        let possible = || (0..50).map(|_| results(Listening::ToEverything));
        for listening in [Listening::NoOne, Listening::OnlyToOperations] {
            let got = results(listening);
            assert!(possible().any(|expected| got == expected), "seed {seed}, listening {listening:?}: {got:?}");
        }
    }
}
