//! Every scenario by its name: what all libraries are asked for, and what only cachet has.
//!
//! A scenario is prepared only when it is run, so that one of them can be picked, for example to count its instructions:
//!
//! ```
//! let mut hit = cachet_benches::scenarios::find("hit / u64 / cachet").unwrap().prepare().unwrap();
//! assert_eq!(hit.run(100).as_meant, 100);
//! ```

use std::fmt;
use std::future::poll_fn;
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use cachet::telemetry::Stats;
use cachet::telemetry::{RequestIdExt, SpanPolicy};
use cachet::typestate::HasTier;
use cachet::{CacheBuilder, Clock, RequestId};

use crate::handlers::{Counting, Derived, Everything, Timing};
use crate::keys::{KeyForm, Keys};
use crate::measure::{Loop, timed};
use crate::peers::cachet::{filled, hits, one_tier, stampede_of, with_ttl};
use crate::peers::{Cachet, Entrant, Offer, Operation, Peer, RESIDENTS};
use crate::subscribers::{Received, Subscribed, under};
use crate::{awaited, contention};

/// What a scenario is called: what is done, with which keys, by whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Id {
    /// What is done.
    pub what: &'static str,
    /// The form of the keys; `-` if there are none.
    pub keys: &'static str,
    /// The library.
    pub library: &'static str,
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} / {} / {}", self.what, self.keys, self.library)
    }
}

/// Something to measure.
pub struct Scenario {
    /// Its name.
    pub id: Id,
    /// What it is compared with.
    pub reference: Option<Id>,
    /// Prepares it.
    pub(crate) make: Box<dyn FnOnce() -> Offer<Loop>>,
}

impl Scenario {
    fn new(id: Id, reference: Option<Id>, make: impl FnOnce() -> Offer<Loop> + 'static) -> Self {
        Self { id, reference, make: Box::new(make) }
    }

    /// Builds and fills the cache.
    ///
    /// # Errors
    ///
    /// Why the library has nothing of the kind.
    pub fn prepare(self) -> Offer<Loop> {
        (self.make)()
    }
}

impl fmt::Debug for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scenario({})", self.id)
    }
}

/// All scenarios, of cachet, of the engine below it, and of others.
pub fn all(others: &[Entrant]) -> Vec<Scenario> {
    let keys = Keys::new();
    let entrants: Vec<Entrant> = RESIDENTS.iter().chain(others).copied().collect();
    let mut scenarios = Vec::new();
    for operation in Operation::ALL {
        for (form, offer) in [(u64::NAME, true), (str::NAME, false)] {
            for entrant in &entrants {
                let id = |(operation, library): (Operation, _)| Id { what: operation.name(), keys: form, library };
                let offer = if offer { entrant.numbers } else { entrant.texts };
                scenarios.push(Scenario::new(
                    id((operation, entrant.name)),
                    operation.reference(entrant.name).map(id),
                    move || offer(operation, keys),
                ));
            }
        }
    }
    let of = |what, keys| Id { what, keys, library: Cachet::NAME };
    for (numbers, texts) in variants::<u64>().into_iter().zip(variants::<str>()) {
        let Variant { what, against, make } = numbers;
        scenarios.push(Scenario::new(of(what, u64::NAME), Some(of(against, u64::NAME)), move || Ok(make(keys))));
        scenarios
            .push(Scenario::new(of(what, str::NAME), Some(of(against, str::NAME)), move || Ok((texts.make)(keys))));
    }
    for (what, against, make) in request_ids() {
        scenarios.push(Scenario::new(of(what, "-"), against.map(|against| of(against, "-")), move || Ok(make())));
    }
    scenarios
}

/// The scenario of cachet or the engine that has exactly this name.
pub fn find(name: &str) -> Option<Scenario> {
    all(&[]).into_iter().find(|scenario| scenario.id.to_string() == name)
}

/// Those whose names contain all of the words, and what they are compared with.
pub fn select(scenarios: Vec<Scenario>, words: &[String]) -> Vec<Scenario> {
    let is_wanted = |id: &Id| words.iter().all(|word| id.to_string().contains(word));
    let wanted: Vec<Id> = scenarios
        .iter()
        .filter(|scenario| is_wanted(&scenario.id))
        .flat_map(|scenario| [Some(scenario.id), scenario.reference])
        .flatten()
        .collect();
    scenarios.into_iter().filter(|scenario| wanted.contains(&scenario.id)).collect()
}

/// A variant of an operation that only cachet has.
struct Variant {
    what: &'static str,
    against: &'static str,
    make: Box<dyn Fn(Keys) -> Loop>,
}

fn variants<K: KeyForm + ?Sized>() -> Vec<Variant> {
    type Builder<K> = CacheBuilder<K, u64, HasTier>;
    let hit = Operation::Hit.name();
    let hits_of = |what, build: fn() -> Builder<K>| Variant {
        what,
        against: hit,
        make: Box::new(move |keys| hits(keys, build())),
    };
    let logged = |what, policy, subscribed, is_meant: fn(Received, u64) -> bool| Variant {
        what,
        against: hit,
        make: Box::new(move |keys| {
            let body = hits(keys, one_tier::<K>().enable_logs().span_policy(policy));
            under(subscribed, body, is_meant)
        }),
    };
    let nothing: fn(Received, u64) -> bool = |received, _| received.is_nothing();
    let events: fn(Received, u64) -> bool = |received, operations| received.spans == 0 && received.events >= operations;
    let (all, slow, off) = (SpanPolicy::All, SpanPolicy::SlowPath, SpanPolicy::Off);
    vec![
        hits_of("hit, timing handler", || one_tier().event_handler(Timing::default())),
        hits_of("hit, derived handler", || one_tier().event_handler(Derived::default())),
        hits_of("hit, Stats", || one_tier().event_handler(Stats::new())),
        hits_of("hit, handler that wants all", || one_tier().event_handler(Everything)),
        hits_of("hit, ttl, tsc clock", || with_ttl().clock(Clock::tsc())),
        hits_of("hit, timing handler, tsc clock", || one_tier().clock(Clock::tsc()).event_handler(Timing::default())),
        hits_of("hit, Stats, tsc clock", || one_tier().clock(Clock::tsc()).event_handler(Stats::new())),
        hits_of("hit, ttl, counting handler", || with_ttl().event_handler(Counting::default())),
        hits_of("hit, stampede protection", || one_tier().stampede_protection()),
        logged("hit, logs, filtered out by level", all, Subscribed::Warnings, nothing),
        logged("hit, logs, filtered out by target", all, Subscribed::Elsewhere, nothing),
        logged("hit, logs, spans accepted", all, Subscribed::Spans, |received, operations| {
            received.spans >= 2 * operations && received.events == 0
        }),
        logged("hit, logs, fmt to null", all, Subscribed::Fmt, events),
        logged("hit, logs SlowPath, no subscriber", slow, Subscribed::NoOne, nothing),
        logged("hit, logs SlowPath, filtered out by target", slow, Subscribed::Elsewhere, nothing),
        logged("hit, logs SlowPath, spans accepted", slow, Subscribed::Spans, nothing),
        logged("hit, logs SlowPath, accepted", slow, Subscribed::Accepting, events),
        logged("hit, logs SlowPath, fmt to null", slow, Subscribed::Fmt, events),
        logged("hit, logs Off, accepted", off, Subscribed::Accepting, events),
        logged("hit, logs Off, fmt to null", off, Subscribed::Fmt, events),
        Variant {
            what: "contains",
            against: hit,
            make: Box::new(|keys| {
                let cache = filled(keys, one_tier::<K>());
                awaited!(|n| cache.contains(std::borrow::Borrow::borrow(&K::resident(keys, n))) => Ok(true))
            }),
        },
        Variant {
            what: "64 tasks, one missing key, unprotected",
            against: Operation::Stampede.name(),
            make: Box::new(|_| stampede_of(one_tier::<K>())),
        },
    ]
}

type Made = fn() -> Loop;

/// What keeps operations and their ids together.
fn request_ids() -> [(&'static str, Option<&'static str>, Made); 4] {
    const POLL: &str = "poll of a future";
    const NEXT: &str = "RequestId::next, one thread";
    [
        (POLL, None, || polls(poll_fn(pending))),
        ("poll of a future, WithRequestId", Some(POLL), || polls(poll_fn(pending).with_request_id(RequestId::next()))),
        (NEXT, None, || ids(1)),
        ("RequestId::next, two threads contending", Some(NEXT), || ids(2)),
    ]
}

/// Threads that take ids.
fn ids(threads: usize) -> Loop {
    contention::contended(threads, |operations| {
        for _ in 0..operations {
            black_box(RequestId::next());
        }
        operations
    })
}

/// What the future does that is polled: it asks for the id, or else none would have to be set.
fn pending(_: &mut Context<'_>) -> Poll<()> {
    black_box(RequestId::current());
    Poll::Pending
}

/// Polls one and the same future again and again.
fn polls(future: impl Future<Output = ()> + 'static) -> Loop {
    let mut future = Box::pin(future);
    Loop::new(move |operations| {
        timed(|| {
            let mut future = pin!(&mut future);
            let mut context = Context::from_waker(Waker::noop());
            (0..operations).map(|_| u64::from(black_box(future.as_mut().poll(&mut context)).is_pending())).sum()
        })
    })
}

/// Prepares scenarios one after the other, and runs each a little; for tests.
///
/// # Panics
///
/// Panics when the operations of a scenario do not end as it says they do.
pub fn rehearse(scenarios: Vec<Scenario>) {
    for scenario in scenarios {
        let id = scenario.id;
        if let Ok(mut body) = scenario.prepare() {
            assert_eq!(body.run(3).as_meant, 3, "{id}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_end_as_their_scenarios_say() {
        rehearse(all(&[]));
    }

    #[test]
    fn a_choice_brings_along_what_it_is_compared_with() {
        let names = |words: &[&str]| -> Vec<String> {
            let words: Vec<String> = words.iter().map(ToString::to_string).collect();
            select(all(&[]), &words).iter().map(|scenario| scenario.id.to_string()).collect()
        };
        assert_eq!(names(&["hit, Stats", "u64", "cachet"])[0], "hit / u64 / cachet");
        assert_eq!(names(&["hit, ttl", "tsc", "str"]), ["hit / str / cachet", "hit, ttl, tsc clock / str / cachet"]);
        assert!(names(&["no such thing"]).is_empty());
    }
}
