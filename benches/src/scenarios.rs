//! Every scenario by its name: the operations of all libraries, and those that only cachet has.
//!
//! A scenario is a name, a setup and an operation. It is prepared only when it runs, so that one of them can be picked, for
//! example to count its instructions:
//!
//! ```
//! let mut hit = cachet_benches::scenarios::find("hit / u64 / cachet").unwrap().prepare().unwrap();
//! assert_eq!(hit.run(100).expected, 100);
//! ```

use std::borrow::Borrow;
use std::fmt;
use std::future::poll_fn;
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use cachet::telemetry::{RequestIdExt, SpanPolicy, Stats};
use cachet::{Cache, Clock, RequestId, Tier};

use crate::bench::{Bench, timed};
use crate::figure::Id;
use crate::handlers::{Counting, Derived, Everything, Timing};
use crate::keys::{CAPACITY, KeyForm, Keys};
use crate::operation::Operation;
use crate::peer::{Library, Peer, Unsupported};
use crate::peers::BUILT_IN;
use crate::peers::cachet::{
    Builder, Cachet, filled, hits, inserts, one_tier, second_tier_hits, stampedes, two_tiers, two_tiers_with_ttl,
    with_ttl,
};
use crate::peers::quick_cache::QuickCache;
use crate::subscribers::{Received, Subscriber, with_subscriber};
use crate::tiers::Awaited;
use crate::{awaited, contention};

/// Something to measure.
pub struct Scenario {
    /// Its name.
    pub id: Id,
    /// The scenario that it is compared with.
    pub reference: Option<Id>,
    setup: Box<dyn FnOnce() -> Result<Bench, Unsupported>>,
}

impl Scenario {
    fn new(id: Id, reference: Option<Id>, setup: impl FnOnce() -> Result<Bench, Unsupported> + 'static) -> Self {
        Self { id, reference, setup: Box::new(setup) }
    }

    /// Builds and fills the cache.
    ///
    /// # Errors
    ///
    /// Fails if the library does not have the operation.
    pub fn prepare(self) -> Result<Bench, Unsupported> {
        (self.setup)()
    }
}

impl fmt::Debug for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scenario({})", self.id)
    }
}

/// Returns all scenarios of cachet, its engine, and other libraries.
pub fn all(others: &[Library]) -> Vec<Scenario> {
    let keys = Keys::new();
    let mut scenarios = Vec::new();
    for operation in Operation::ALL {
        for (form, is_number) in [(u64::NAME, true), (str::NAME, false)] {
            for library in BUILT_IN.iter().chain(others) {
                let id = |(operation, library): (Operation, _)| Id { operation: operation.name(), keys: form, library };
                let prepare = if is_number { library.numbers } else { library.texts };
                scenarios.push(Scenario::new(
                    id((*operation, library.name)),
                    reference(*operation, library.name).map(id),
                    move || prepare(*operation, keys),
                ));
            }
        }
    }
    scenarios.extend(variants::<u64>(keys).into_iter().zip(variants::<str>(keys)).flat_map(|(a, b)| [a, b]));
    scenarios.extend(request_ids());
    scenarios
}

/// Returns the scenario that an operation of a library is compared with; `None` for a figure that stands for itself.
///
/// cachet is compared with its engine where the engine has the same operation, and with its own plainer operation otherwise.
/// Others are compared with cachet.
fn reference(operation: Operation, library: &str) -> Option<(Operation, &'static str)> {
    use Operation as Op;
    Some(match (operation, library) {
        (Op::MixedByTwo, QuickCache::NAME) => (Op::Mixed, QuickCache::NAME),
        (_, QuickCache::NAME) => return None,
        (
            Op::HitTtl
            | Op::HitCounted
            | Op::HitLogged
            | Op::HitAccepted
            | Op::FirstTierHit
            | Op::SecondTierHit
            | Op::GetOrInsertHit,
            Cachet::NAME,
        ) => (Op::Hit, Cachet::NAME),
        (Op::GetOrInsertHitProtected, Cachet::NAME) => (Op::GetOrInsertHit, Cachet::NAME),
        // The engine's own always protects.
        (Op::GetOrInsertMiss, Cachet::NAME) => (Op::GetOrInsertMissProtected, QuickCache::NAME),
        (Op::MixedByTwo, Cachet::NAME) => (Op::Mixed, Cachet::NAME),
        (_, Cachet::NAME) => (operation, QuickCache::NAME),
        (_, _) => (operation, Cachet::NAME),
    })
}

/// Returns the built-in scenario that has exactly this name.
pub fn find(name: &str) -> Option<Scenario> {
    all(&[]).into_iter().find(|scenario| scenario.id.to_string() == name)
}

/// Selects the scenarios whose names contain all of the words, and those that they are compared with.
pub fn select(scenarios: Vec<Scenario>, words: &[String]) -> Vec<Scenario> {
    let is_selected = |id: &Id| words.iter().all(|word| id.to_string().contains(word));
    let selected: Vec<Id> = scenarios
        .iter()
        .filter(|scenario| is_selected(&scenario.id))
        .flat_map(|scenario| [Some(scenario.id), scenario.reference])
        .flatten()
        .collect();
    scenarios.into_iter().filter(|scenario| selected.contains(&scenario.id)).collect()
}

/// Variants of operations that only cachet has.
fn variants<K: KeyForm + ?Sized>(keys: Keys) -> Vec<Scenario> {
    let id = |operation| Id { operation, keys: K::NAME, library: Cachet::NAME };
    let variant = |name, reference: Operation, setup: Box<dyn FnOnce() -> Bench>| {
        Scenario::new(id(name), Some(id(reference.name())), move || Ok(setup()))
    };
    let hit = |name, build: fn() -> Builder<K>| variant(name, Operation::Hit, Box::new(move || hits(keys, build())));
    let insert = |name, build: fn() -> Builder<K>| {
        variant(name, Operation::InsertOver, Box::new(move || inserts(keys, build())))
    };
    let second_tier_hit = |name, build: fn() -> Builder<K>| {
        variant(name, Operation::SecondTierHit, Box::new(move || second_tier_hits(keys, build)))
    };
    let logged = |name, policy, subscriber, is_expected: fn(Received, u64) -> bool| {
        let setup = move || {
            let bench = hits(keys, one_tier::<K>().enable_logs().span_policy(policy));
            with_subscriber(subscriber, bench, is_expected)
        };
        variant(name, Operation::Hit, Box::new(setup))
    };
    let nothing: fn(Received, u64) -> bool = |received, _| received.is_empty();
    let events: fn(Received, u64) -> bool = |received, operations| received.spans == 0 && received.events >= operations;
    let spans: fn(Received, u64) -> bool =
        |received, operations| received.spans >= 2 * operations && received.events == 0;
    let (all, slow, off) = (SpanPolicy::All, SpanPolicy::SlowPath, SpanPolicy::Off);
    vec![
        hit("hit, timing handler", || one_tier().event_handler(Timing::default())),
        hit("hit, derived handler", || one_tier().event_handler(Derived::default())),
        hit("hit, Stats", || one_tier().event_handler(Stats::new())),
        hit("hit, handler of everything", || one_tier().event_handler(Everything)),
        hit("hit, ttl, tsc clock", || with_ttl().clock(Clock::tsc())),
        hit("hit, timing handler, tsc clock", || one_tier().clock(Clock::tsc()).event_handler(Timing::default())),
        hit("hit, Stats, tsc clock", || one_tier().clock(Clock::tsc()).event_handler(Stats::new())),
        hit("hit, ttl, counting handler", || with_ttl().event_handler(Counting::default())),
        hit("hit, stampede protection", || one_tier().stampede_protection()),
        hit("hit, awaited tier", || Cache::builder("measured").tier(Tier::new(Awaited::new()))),
        insert("insert over, two tiers", || one_tier().tier(Tier::memory(CAPACITY).name("second"))),
        insert("insert over, three tiers", || {
            one_tier().tier(Tier::memory(CAPACITY).name("second")).tier(Tier::memory(CAPACITY).name("third"))
        }),
        second_tier_hit("two tiers, second-tier hit, ttl", two_tiers_with_ttl),
        second_tier_hit("two tiers, second-tier hit, counting handler", || {
            two_tiers().event_handler(Counting::default())
        }),
        logged("hit, logs, filtered out by level", all, Subscriber::Warnings, nothing),
        logged("hit, logs, filtered out by target", all, Subscriber::OtherTargets, nothing),
        logged("hit, logs, spans accepted", all, Subscriber::Spans, spans),
        logged("hit, logs, fmt to null", all, Subscriber::Fmt, events),
        logged("hit, logs SlowPath, no subscriber", slow, Subscriber::None, nothing),
        logged("hit, logs SlowPath, filtered out by target", slow, Subscriber::OtherTargets, nothing),
        logged("hit, logs SlowPath, spans accepted", slow, Subscriber::Spans, nothing),
        logged("hit, logs SlowPath, accepted", slow, Subscriber::All, events),
        logged("hit, logs SlowPath, fmt to null", slow, Subscriber::Fmt, events),
        logged("hit, logs Off, accepted", off, Subscriber::All, events),
        logged("hit, logs Off, fmt to null", off, Subscriber::Fmt, events),
        variant(
            "contains",
            Operation::Hit,
            Box::new(move || {
                let cache = filled(keys, one_tier::<K>());
                awaited!(|n| cache.contains(K::resident(keys, n).borrow()) => Ok(true))
            }),
        ),
        variant("64 tasks, one missing key, unprotected", Operation::Stampede, Box::new(|| stampedes(one_tier::<K>()))),
    ]
}

/// Request ids, and the future that carries one.
fn request_ids() -> [Scenario; 4] {
    const POLL: &str = "poll of a future";
    const NEXT: &str = "RequestId::next, one thread";
    let id = |operation| Id { operation, keys: "-", library: Cachet::NAME };
    let scenario = |operation, reference: Option<&'static str>, setup: fn() -> Bench| {
        Scenario::new(id(operation), reference.map(id), move || Ok(setup()))
    };
    [
        scenario(POLL, None, || polls(poll_fn(pending))),
        scenario("poll of a future, WithRequestId", Some(POLL), || {
            polls(poll_fn(pending).with_request_id(RequestId::next()))
        }),
        scenario(NEXT, None, || ids(1)),
        scenario("RequestId::next, two threads contending", Some(NEXT), || ids(2)),
    ]
}

/// Threads that take ids.
fn ids(threads: usize) -> Bench {
    contention::contended(threads, |operations| {
        for _ in 0..operations {
            black_box(RequestId::next());
        }
        operations
    })
}

/// The body of the future that is polled. It reads the id, so that the id has to be set.
fn pending(_: &mut Context<'_>) -> Poll<()> {
    black_box(RequestId::current());
    Poll::Pending
}

/// Polls the same future repeatedly.
fn polls(future: impl Future<Output = ()> + 'static) -> Bench {
    let mut future = Box::pin(future);
    Bench::new(move |operations| {
        timed(|| {
            let mut future = pin!(&mut future);
            let mut context = Context::from_waker(Waker::noop());
            (0..operations).map(|_| u64::from(black_box(future.as_mut().poll(&mut context)).is_pending())).sum()
        })
    })
}

/// Prepares scenarios one after the other, and runs a few operations of each; for tests.
///
/// # Panics
///
/// Panics if an operation of a scenario does not have the expected result.
pub fn smoke_test(scenarios: Vec<Scenario>) {
    for scenario in scenarios {
        let id = scenario.id;
        if let Ok(mut bench) = scenario.prepare() {
            assert_eq!(bench.run(3).expected, 3, "{id}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_have_the_expected_results() {
        smoke_test(all(&[]));
    }

    #[test]
    fn a_selection_includes_what_it_is_compared_with() {
        let names = |words: &[&str]| -> Vec<String> {
            let words: Vec<String> = words.iter().map(ToString::to_string).collect();
            select(all(&[]), &words).iter().map(|scenario| scenario.id.to_string()).collect()
        };
        assert_eq!(names(&["hit, Stats", "u64", "cachet"])[0], "hit / u64 / cachet");
        assert_eq!(names(&["hit, ttl", "tsc", "str"]), ["hit / str / cachet", "hit, ttl, tsc clock / str / cachet"]);
        assert!(names(&["no such thing"]).is_empty());
    }
}
