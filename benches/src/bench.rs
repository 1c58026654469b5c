//! The loop that is measured, and what runs its futures.

use std::fmt;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tokio::runtime::{Builder, Runtime};

/// Counts what is allocated; to be installed with `#[global_allocator]`.
pub type CountingAllocator = StatsAlloc<std::alloc::System>;

/// The allocator to install.
pub const ALLOCATOR: &CountingAllocator = &INSTRUMENTED_SYSTEM;

/// One timed run of a [`Bench`].
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// The measured time, without preparations.
    pub elapsed: Duration,
    /// The number of operations with the expected result: a lookup that is called a hit has hit.
    pub expected: u64,
}

/// An operation in a loop, with the cache it works on.
pub struct Bench {
    run: Box<dyn FnMut(u64) -> Sample>,
    elements: u64,
    pub(crate) at_least: u64,
    pub(crate) future: Option<usize>,
    loads: Option<Arc<AtomicU64>>,
}

impl Bench {
    /// Wraps a loop that runs its operation the given number of times and times itself; see [`timed`],
    /// [`called!`](crate::called) and [`awaited!`](crate::awaited).
    pub fn new(run: impl FnMut(u64) -> Sample + 'static) -> Self {
        Self { run: Box::new(run), elements: 1, at_least: 1, future: None, loads: None }
    }

    /// Sets the number of keys per operation; 1 by default.
    #[must_use]
    pub fn with_elements(self, elements: u64) -> Self {
        Self { elements, ..self }
    }

    /// Returns the number of keys per operation.
    pub fn elements(&self) -> u64 {
        self.elements
    }

    /// Sets the number of operations that a round has at least, for benches that take long to start.
    #[must_use]
    pub fn at_least(self, operations: u64) -> Self {
        Self { at_least: operations, ..self }
    }

    /// Sets the size of the operation's future in bytes, before it is polled.
    #[must_use]
    pub fn with_future(self, size: usize) -> Self {
        Self { future: Some(size), ..self }
    }

    /// Sets the counter of the computations of missing values.
    #[must_use]
    pub fn with_loads(self, loads: Arc<AtomicU64>) -> Self {
        Self { loads: Some(loads), ..self }
    }

    /// Runs the loop inside another function, for example under a subscriber.
    #[must_use]
    pub fn wrapped(self, mut wrapper: impl FnMut(&mut dyn FnMut(u64) -> Sample, u64) -> Sample + 'static) -> Self {
        let mut run = self.run;
        Self { run: Box::new(move |operations| wrapper(&mut run, operations)), ..self }
    }

    /// Runs the operation the given number of times.
    pub fn run(&mut self, operations: u64) -> Sample {
        (self.run)(operations)
    }

    /// Returns how often a missing value has been computed, if the bench counts that.
    pub fn loads(&self) -> Option<u64> {
        Some(self.loads.as_ref()?.load(Ordering::Relaxed))
    }
}

impl fmt::Debug for Bench {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bench").field("elements", &self.elements).field("future", &self.future).finish_non_exhaustive()
    }
}

/// Times a loop that returns the number of its operations with the expected result.
pub fn timed(run: impl FnOnce() -> u64) -> Sample {
    let start = Instant::now();
    let expected = run();
    Sample { elapsed: start.elapsed(), expected }
}

/// Polls a future once, and returns its output if it is ready, as a hit is.
pub fn ready<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

/// Runs futures to completion.
pub trait Executor {
    /// Runs a future to completion.
    fn block_on<F: Future>(&self, future: F) -> F::Output;
}

/// An executor for futures that are ready at once. It panics if one is not.
#[derive(Clone, Copy, Debug)]
pub struct Inline;

impl Executor for Inline {
    #[allow(clippy::expect_used, reason = "a measurement of something else must not go on")]
    fn block_on<F: Future>(&self, future: F) -> F::Output {
        ready(future).expect("the operation is ready at once")
    }
}

/// Tokio, for futures that need tasks or timers.
impl Executor for &'static Runtime {
    fn block_on<F: Future>(&self, future: F) -> F::Output {
        Runtime::block_on(self, future)
    }
}

/// Returns the runtime that all benches share; it has two worker threads.
pub fn runtime() -> &'static Runtime {
    #[allow(clippy::expect_used, reason = "without threads there is nothing to measure")]
    static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
        Builder::new_multi_thread().worker_threads(2).enable_time().build().expect("threads can be started")
    });
    &RUNTIME
}

/// A [`Bench`] of calls: `called!(|number| call => pattern of the expected result)`.
#[macro_export]
macro_rules! called {
    (|$number:ident| $operation:expr => $expected:pat $(if $guard:expr)?) => {
        $crate::bench::Bench::new(move |operations: u64| {
            $crate::bench::timed(|| {
                let mut expected = 0;
                for number in 0..operations {
                    let $number = ::std::hint::black_box(number);
                    // By reference: a large result is inspected in place, as its user would.
                    #[allow(clippy::redundant_pattern_matching, reason = "the pattern is the caller's")]
                    let is_expected = matches!(::std::hint::black_box(&$operation), $expected $(if $guard)?);
                    expected += u64::from(is_expected);
                }
                expected
            })
        })
    };
}

/// A [`Bench`] that awaits an operation in the loop itself, as its user would: a closure around it would be one more future,
/// and one more copy of the result.
///
/// `awaited!(|number| future => pattern of the expected result)`, for operations that never wait, or
/// `awaited!(in executor, |number| …)` with an [`Executor`](crate::bench::Executor).
#[macro_export]
macro_rules! awaited {
    (|$number:ident| $operation:expr => $expected:pat $(if $guard:expr)?) => {
        $crate::awaited!(in $crate::bench::Inline, |$number| $operation => $expected $(if $guard)?)
    };
    (in $executor:expr, |$number:ident| $operation:expr => $expected:pat $(if $guard:expr)?) => {{
        let executor = $executor;
        // Some futures can be made only where their executor is.
        let size = $crate::bench::Executor::block_on(&executor, async {
            let $number = 0_u64;
            ::std::mem::size_of_val(&$operation)
        });
        $crate::bench::Bench::new(move |operations: u64| {
            $crate::bench::timed(|| {
                $crate::bench::Executor::block_on(&executor, async {
                    let mut expected = 0;
                    for number in 0..operations {
                        let $number = ::std::hint::black_box(number);
                        #[allow(clippy::redundant_pattern_matching, reason = "the pattern is the caller's")]
                        let is_expected = matches!(::std::hint::black_box(&$operation.await), $expected $(if $guard)?);
                        expected += u64::from(is_expected);
                    }
                    expected
                })
            })
        })
        .with_future(size)
    }};
}
