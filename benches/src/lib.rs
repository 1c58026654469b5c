//! A small harness for comparisons: all scenarios in one process, their rounds interleaved (A B C A B C …), ratios taken
//! round by round, allocations counted.
//!
//! Machines are noisy, and drift: a ratio of two medians that were taken minutes apart says little. Rounds that lie
//! next to each other see the same machine.

pub mod generated;

use std::fmt;
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

/// Counts what is allocated; to be installed with `#[global_allocator]`.
pub type CountingAllocator = StatsAlloc<std::alloc::System>;

/// The allocator to install.
pub const ALLOCATOR: &CountingAllocator = &INSTRUMENTED_SYSTEM;

/// One thing to measure: runs its operation as often as it is told.
struct Scenario<'a> {
    name: &'static str,
    reference: Option<&'static str>,
    run: Box<dyn FnMut(u64) + 'a>,
}

/// Everything that is measured together.
#[derive(Default)]
pub struct Suite<'a> {
    scenarios: Vec<Scenario<'a>>,
}

impl fmt::Debug for Suite<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.scenarios.iter().map(|scenario| scenario.name)).finish()
    }
}

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Rounds of every scenario.
    pub rounds: usize,
    /// Operations in a round.
    pub operations: u64,
}

impl<'a> Suite<'a> {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a scenario that others are compared with, or that stands for itself. `operation` is given a number that
    /// changes from call to call.
    pub fn add<T>(&mut self, name: &'static str, operation: impl FnMut(u64) -> T + 'a) {
        self.push(name, None, operation);
    }

    /// Adds a scenario that is compared with another one, round by round.
    pub fn compare<T>(&mut self, name: &'static str, reference: &'static str, operation: impl FnMut(u64) -> T + 'a) {
        self.push(name, Some(reference), operation);
    }

    /// Adds a scenario that brings its own loop, which runs as many rounds as it is told; see [`awaited!`].
    pub fn compare_loop(&mut self, name: &'static str, reference: &'static str, run: impl FnMut(u64) + 'a) {
        self.scenarios.push(Scenario { name, reference: Some(reference), run: Box::new(run) });
    }

    fn push<T>(
        &mut self,
        name: &'static str,
        reference: Option<&'static str>,
        mut operation: impl FnMut(u64) -> T + 'a,
    ) {
        let run = Box::new(move |operations: u64| {
            for number in 0..operations {
                // By reference: a large result is looked at where it is, as its user would.
                black_box(&operation(black_box(number)));
            }
        });
        self.scenarios.push(Scenario { name, reference, run });
    }

    /// Measures everything whose name contains `filter`, and what that is compared with.
    pub fn run(mut self, filter: &str, effort: Effort) -> Vec<Row> {
        let wanted: Vec<_> = self.scenarios.iter().filter(|it| it.name.contains(filter)).collect();
        let names: Vec<_> = wanted.iter().flat_map(|it| [Some(it.name), it.reference]).flatten().collect();
        self.scenarios.retain(|it| names.contains(&it.name));

        let mut allocations = Vec::new();
        for scenario in &mut self.scenarios {
            // Warm up, and let one-time allocations happen.
            (scenario.run)(effort.operations);
            let region = Region::new(ALLOCATOR);
            (scenario.run)(effort.operations);
            let change = region.change();
            allocations.push(per_operation((change.allocations + change.reallocations) as u64, effort.operations));
        }
        let mut rounds = vec![Vec::with_capacity(effort.rounds); self.scenarios.len()];
        for _ in 0..effort.rounds {
            for (scenario, nanos) in self.scenarios.iter_mut().zip(&mut rounds) {
                let start = Instant::now();
                (scenario.run)(effort.operations);
                let elapsed = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
                nanos.push(per_operation(elapsed, effort.operations));
            }
        }
        let of = |name: &str| self.scenarios.iter().position(|it| it.name == name).map(|index| &rounds[index]);
        self.scenarios
            .iter()
            .zip(&rounds)
            .zip(allocations)
            .map(|((scenario, nanos), allocations)| {
                let reference = scenario.reference.and_then(of);
                let pairs = || reference.into_iter().flat_map(|reference| nanos.iter().zip(reference));
                Row {
                    name: scenario.name,
                    reference: scenario.reference,
                    nanos: Spread::of(nanos.clone()),
                    ratio: reference.map(|_| Spread::of(pairs().map(|(a, b)| a / b).collect())),
                    difference: reference.map(|_| Spread::of(pairs().map(|(a, b)| a - b).collect())),
                    allocations,
                }
            })
            .collect()
    }
}

#[allow(clippy::cast_precision_loss, reason = "far below 2^53")]
fn per_operation(total: u64, operations: u64) -> f64 {
    total as f64 / operations as f64
}

/// Median, 10th and 90th percentile.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    /// The value in the middle.
    pub median: f64,
    /// A tenth of all values is below.
    pub p10: f64,
    /// A tenth of all values is above.
    pub p90: f64,
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at =
            |tenths: usize| values.get((values.len().saturating_sub(1)) * tenths / 10).copied().unwrap_or(f64::NAN);
        Self { median: at(5), p10: at(1), p90: at(9) }
    }
}

/// The figures of one scenario.
#[derive(Clone, Debug)]
pub struct Row {
    /// The scenario.
    pub name: &'static str,
    /// What it is compared with.
    pub reference: Option<&'static str>,
    /// Nanoseconds per operation.
    pub nanos: Spread,
    /// Times the reference, round by round.
    pub ratio: Option<Spread>,
    /// Nanoseconds more than the reference, round by round.
    pub difference: Option<Spread>,
    /// Heap allocations per operation.
    pub allocations: f64,
}

/// Prints rows as a table.
#[derive(Debug)]
pub struct Table<'r>(pub &'r [Row]);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<44} {:>8} {:>15} {:>7} {:>9} {:>7}   against",
            "scenario", "ns/op", "p10-p90", "ratio", "more (ns)", "allocs"
        )?;
        for row in self.0 {
            let range = format!("{:.1}-{:.1}", row.nanos.p10, row.nanos.p90);
            write!(f, "{:<44} {:>8.1} {range:>15}", row.name, row.nanos.median)?;
            match (row.ratio, row.difference, row.reference) {
                (Some(ratio), Some(difference), Some(reference)) => writeln!(
                    f,
                    " {:>7.2} {:>+9.1} {:>7.2}   {reference}",
                    ratio.median, difference.median, row.allocations
                )?,
                _ => writeln!(f, " {:>7} {:>9} {:>7.2}", "", "", row.allocations)?,
            }
        }
        Ok(())
    }
}

/// Polls a future that is ready at once, as a hit is; `None` if it is not.
pub fn ready<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

/// A loop for [`Suite::compare_loop`] that awaits an operation right where it is, as its user would: a closure around it
/// would be one more future, and one more copy of the result.
///
/// # Panics
///
/// The loop panics when the operation has to wait.
#[macro_export]
macro_rules! awaited {
    (|$number:ident| $operation:expr) => {
        move |operations: u64| {
            let rounds = async {
                for number in 0..operations {
                    let $number = ::std::hint::black_box(number);
                    ::std::hint::black_box(&$operation.await);
                }
            };
            assert!($crate::ready(rounds).is_some(), "the operation had to wait");
        }
    };
}
