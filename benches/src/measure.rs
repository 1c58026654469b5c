//! The loop that is measured, and the rounds in which loops take turns.
//!
//! Machines are noisy, and drift: a ratio of two medians that were taken minutes apart says little. So all loops run in one
//! process, their rounds interleaved (A B C A B C …), and ratios are taken round by round: rounds that lie next to each
//! other see the same machine.

use std::fmt;
use std::hint::black_box;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tokio::runtime::{Builder, Runtime};

use crate::keys::ENTRIES;
use crate::report::{Figures, Row, Spread};
use crate::scenarios::{Id, Scenario};

/// Counts what is allocated; to be installed with `#[global_allocator]`.
pub type CountingAllocator = StatsAlloc<std::alloc::System>;

/// The allocator to install.
pub const ALLOCATOR: &CountingAllocator = &INSTRUMENTED_SYSTEM;

/// What came of running a loop.
#[derive(Clone, Copy, Debug)]
pub struct Pass {
    /// How long it took, preparations apart.
    pub elapsed: Duration,
    /// How many operations ended as the scenario says they do: a lookup that is called a hit has hit.
    pub as_meant: u64,
}

/// An operation in a loop, with the cache it works on.
pub struct Loop {
    run: Box<dyn FnMut(u64) -> Pass>,
    touches: u64,
    at_least: u64,
    future: Option<usize>,
    loads: Option<Arc<AtomicU64>>,
}

impl Loop {
    /// A loop that runs its operation a given number of times, and times itself; see [`timed`], [`called!`](crate::called)
    /// and [`awaited!`](crate::awaited).
    pub fn new(run: impl FnMut(u64) -> Pass + 'static) -> Self {
        Self { run: Box::new(run), touches: 1, at_least: 1, future: None, loads: None }
    }

    /// How many keys one operation touches, if it is not one.
    #[must_use]
    pub fn touching(self, touches: u64) -> Self {
        Self { touches, ..self }
    }

    /// How many operations a round has at least, however long it takes to get ready for them.
    #[must_use]
    pub fn at_least(self, operations: u64) -> Self {
        Self { at_least: operations, ..self }
    }

    /// The size of the operation's future, before it is polled.
    #[must_use]
    pub fn with_future(self, size: usize) -> Self {
        Self { future: Some(size), ..self }
    }

    /// Where the loop counts how often a missing value was computed.
    #[must_use]
    pub fn with_loads(self, loads: Arc<AtomicU64>) -> Self {
        Self { loads: Some(loads), ..self }
    }

    /// The same loop, run by another one, for example under a subscriber.
    #[must_use]
    pub fn within(self, mut around: impl FnMut(&mut dyn FnMut(u64) -> Pass, u64) -> Pass + 'static) -> Self {
        let mut run = self.run;
        Self { run: Box::new(move |operations| around(&mut run, operations)), ..self }
    }

    /// Runs the operation so often.
    pub fn run(&mut self, operations: u64) -> Pass {
        (self.run)(operations)
    }

    fn load_count(&self) -> u64 {
        self.loads.as_ref().map_or(0, |loads| loads.load(Ordering::Relaxed))
    }
}

impl fmt::Debug for Loop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loop").field("touches", &self.touches).field("future", &self.future).finish_non_exhaustive()
    }
}

/// Times a loop that returns how many of its operations ended as meant.
pub fn timed(run: impl FnOnce() -> u64) -> Pass {
    let start = Instant::now();
    let as_meant = run();
    Pass { elapsed: start.elapsed(), as_meant }
}

/// Polls a future that is ready at once, as a hit is; `None` if it is not.
pub fn ready<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

/// What runs a future to its end.
pub trait Executor {
    /// Runs a future.
    fn block_on<F: Future>(&self, future: F) -> F::Output;
}

/// The executor of what never has to wait. It panics if something has to.
#[derive(Clone, Copy, Debug)]
pub struct Inline;

impl Executor for Inline {
    #[allow(clippy::expect_used, reason = "a measurement that does not measure what it says must not go on")]
    fn block_on<F: Future>(&self, future: F) -> F::Output {
        ready(future).expect("an operation that is said not to wait had to wait")
    }
}

/// What needs tasks or timers runs in Tokio.
impl Executor for &'static Runtime {
    fn block_on<F: Future>(&self, future: F) -> F::Output {
        Runtime::block_on(self, future)
    }
}

/// A runtime with two threads that work, the same one for all.
pub fn runtime() -> &'static Runtime {
    #[allow(clippy::expect_used, reason = "without threads there is nothing to measure")]
    static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
        Builder::new_multi_thread().worker_threads(2).enable_time().build().expect("threads can be started")
    });
    &RUNTIME
}

/// A [`Loop`] of calls: `called!(|number| call => pattern that the result matches)`.
#[macro_export]
macro_rules! called {
    (|$number:ident| $operation:expr => $meant:pat $(if $guard:expr)?) => {
        $crate::measure::Loop::new(move |operations: u64| {
            $crate::measure::timed(|| {
                let mut as_meant = 0;
                for number in 0..operations {
                    let $number = ::std::hint::black_box(number);
                    // By reference: a large result is looked at where it is, as its user would.
                    #[allow(clippy::redundant_pattern_matching, reason = "the pattern is the caller's")]
                    let is_meant = matches!(::std::hint::black_box(&$operation), $meant $(if $guard)?);
                    as_meant += u64::from(is_meant);
                }
                as_meant
            })
        })
    };
}

/// A [`Loop`] that awaits an operation right where it is, as its user would: a closure around it would be one more future,
/// and one more copy of the result.
///
/// `awaited!(|number| future => pattern that the result matches)`, for operations that never wait, or
/// `awaited!(in executor, |number| …)` with an [`Executor`](crate::measure::Executor).
#[macro_export]
macro_rules! awaited {
    (|$number:ident| $operation:expr => $meant:pat $(if $guard:expr)?) => {
        $crate::awaited!(in $crate::measure::Inline, |$number| $operation => $meant $(if $guard)?)
    };
    (in $executor:expr, |$number:ident| $operation:expr => $meant:pat $(if $guard:expr)?) => {{
        let executor = $executor;
        // Some futures can be made only where their executor is.
        let size = $crate::measure::Executor::block_on(&executor, async {
            let $number = 0_u64;
            ::std::mem::size_of_val(&$operation)
        });
        $crate::measure::Loop::new(move |operations: u64| {
            $crate::measure::timed(|| {
                $crate::measure::Executor::block_on(&executor, async {
                    let mut as_meant = 0;
                    for number in 0..operations {
                        let $number = ::std::hint::black_box(number);
                        #[allow(clippy::redundant_pattern_matching, reason = "the pattern is the caller's")]
                        let is_meant = matches!(::std::hint::black_box(&$operation.await), $meant $(if $guard)?);
                        as_meant += u64::from(is_meant);
                    }
                    as_meant
                })
            })
        })
        .with_future(size)
    }};
}

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Rounds of every loop.
    pub rounds: usize,
    /// How long a round should take; slow operations take a few times longer, so that many keys get their turn.
    pub round: Duration,
}

impl Effort {
    /// What figures are taken with.
    pub const FULL: Self = Self { rounds: 101, round: Duration::from_millis(3) };
    /// What shows that everything runs.
    pub const QUICK: Self = Self { rounds: 5, round: Duration::from_micros(300) };
}

/// What was measured.
#[derive(Debug)]
pub struct Measured {
    /// A row for every scenario, in their order.
    pub rows: Vec<Row>,
    /// How long a loop of fixed work took in the same rounds, in nanoseconds: what the machine adds to every figure.
    pub noise: Spread,
}

/// A scenario on its way.
struct Runner {
    id: Id,
    reference: Option<Id>,
    body: Loop,
    /// As many operations as touch every key once, or as there is time for.
    sweep: u64,
    operations: u64,
    allocations: f64,
    nanos: Vec<f64>,
    total: u64,
}

impl Runner {
    fn new(id: Id, reference: Option<Id>, body: Loop, effort: Effort) -> Self {
        let (nanos, touches, at_least) = (Vec::with_capacity(effort.rounds), body.touches, body.at_least);
        let mut this = Self { id, reference, body, sweep: 0, operations: 0, allocations: 0.0, nanos, total: 0 };
        // How many operations fit into a round, with all that belongs to them: that is more than what is measured where tasks
        // have to be started first.
        let mut fit = |operations| {
            let start = Instant::now();
            this.pass(operations);
            let each = start.elapsed().as_secs_f64() / per_operation(operations, 1);
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive number, below 2^53")]
            let fit = (effort.round.as_secs_f64() / each) as u64;
            fit
        };
        let every_key = (ENTRIES / touches).max(1);
        // A few at first, for some take milliseconds; then enough to let one-time allocations happen.
        let sweep = every_key.min(4 * fit((every_key / 100).max(1))).max(1);
        let operations = fit(sweep).clamp(sweep, 1_000_000).max(at_least);
        (this.sweep, this.operations) = (sweep, operations);
        let region = Region::new(ALLOCATOR);
        this.pass(this.operations);
        let change = region.change();
        this.allocations = per_operation((change.allocations + change.reallocations) as u64, this.operations);
        this
    }

    /// Runs so many operations; nanoseconds for each.
    fn pass(&mut self, operations: u64) -> f64 {
        let pass = self.body.run(operations);
        assert_eq!(pass.as_meant, operations, "{}: operations that ended as the scenario says", self.id);
        self.total += operations;
        per_operation(u64::try_from(pass.elapsed.as_nanos()).unwrap_or(u64::MAX), operations)
    }

    fn round(&mut self) {
        // Untimed: what is measured is not what the scenario before this one left in the processor's caches.
        self.pass(self.sweep);
        let nanos = self.pass(self.operations);
        self.nanos.push(nanos);
    }

    fn figures(&self, all: &[Self]) -> Figures {
        let reference = self.reference.and_then(|id| all.iter().find(|it| it.id == id));
        let pairs = |with: fn(f64, f64) -> f64| {
            reference.map(|it| Spread::of(self.nanos.iter().zip(&it.nanos).map(|(a, b)| with(*a, *b)).collect()))
        };
        Figures {
            nanos: Spread::of(self.nanos.clone()),
            reference: reference.map(|it| it.id),
            ratio: pairs(|a, b| a / b),
            difference: pairs(|a, b| a - b),
            allocations: self.allocations,
            future: self.body.future,
            loads: self.body.loads.is_some().then(|| per_operation(self.body.load_count(), self.total)),
        }
    }
}

/// Measures scenarios side by side.
///
/// # Panics
///
/// Panics when the operations of a scenario do not end as it says they do.
pub fn measure(scenarios: Vec<Scenario>, effort: Effort) -> Measured {
    let mut runners = Vec::new();
    let mut kept: Vec<(Id, Result<usize, &'static str>)> = Vec::new();
    for scenario in scenarios {
        let Scenario { id, reference, make } = scenario;
        kept.push((
            id,
            make().map(|body| {
                runners.push(Runner::new(id, reference, body, effort));
                runners.len() - 1
            }),
        ));
    }
    let mut noise = Vec::with_capacity(effort.rounds);
    for _ in 0..effort.rounds {
        noise.push(spin());
        runners.iter_mut().for_each(Runner::round);
    }
    let rows = kept
        .into_iter()
        .map(|(id, place)| Row { id, figures: place.map(|place| runners[place].figures(&runners)) })
        .collect();
    Measured { rows, noise: Spread::of(noise) }
}

/// A loop of fixed work: what varies in it is the machine.
fn spin() -> f64 {
    let pass = timed(|| (0..500_000_u64).fold(0, |sum, number| black_box(sum ^ number)));
    per_operation(u64::try_from(pass.elapsed.as_nanos()).unwrap_or(u64::MAX), 1)
}

#[allow(clippy::cast_precision_loss, reason = "far below 2^53")]
fn per_operation(total: u64, operations: u64) -> f64 {
    total as f64 / operations as f64
}
