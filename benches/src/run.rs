//! Measures scenarios in interleaved rounds.
//!
//! Machines are noisy, and drift: a ratio of two medians that were taken minutes apart says little. Therefore all benches run in
//! one process, their rounds interleaved (A B C A B C …), and ratios are computed round by round: adjacent rounds see the same
//! state of the machine.

use std::hint::black_box;
use std::time::{Duration, Instant};

use stats_alloc::Region;

use crate::bench::{ALLOCATOR, Bench, timed};
use crate::figure::{Figures, Id, Quantiles, Row};
use crate::keys::ENTRIES;
use crate::peer::Unsupported;
use crate::scenarios::Scenario;

/// How long to measure.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Rounds of every bench.
    pub rounds: usize,
    /// The intended duration of a round; slow operations take a few times longer, so that a round uses many keys.
    pub round: Duration,
}

impl Effort {
    /// For figures to publish.
    pub const FULL: Self = Self { rounds: 101, round: Duration::from_millis(3) };
    /// To see that everything runs.
    pub const QUICK: Self = Self { rounds: 5, round: Duration::from_micros(300) };
}

/// The result of [`measure`].
#[derive(Debug)]
pub struct Measured {
    /// A row for every scenario, in their order.
    pub rows: Vec<Row>,
    /// Nanoseconds that a loop of fixed work took in the same rounds: the noise of the machine.
    pub noise: Quantiles,
}

/// A scenario that is being measured.
struct Runner {
    id: Id,
    reference: Option<Id>,
    bench: Bench,
    /// Enough operations to use every key once, or as many as there is time for.
    sweep: u64,
    operations: u64,
    allocations: f64,
    nanos: Vec<f64>,
    total: u64,
}

impl Runner {
    fn new(id: Id, reference: Option<Id>, bench: Bench, effort: Effort) -> Self {
        let (nanos, elements, at_least) = (Vec::with_capacity(effort.rounds), bench.elements(), bench.at_least);
        let mut this = Self { id, reference, bench, sweep: 0, operations: 0, allocations: 0.0, nanos, total: 0 };
        // The number of operations that fit into a round. Counts the whole time of an operation, of which only a part is
        // measured if tasks have to be started first.
        let mut fit = |operations| {
            let start = Instant::now();
            this.sample(operations);
            let each = start.elapsed().as_secs_f64() / per_operation(operations, 1);
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive number, below 2^53")]
            let fit = (effort.round.as_secs_f64() / each) as u64;
            fit
        };
        let every_key = (ENTRIES / elements).max(1);
        // A few at first, since some take milliseconds; then enough for one-time allocations to happen.
        let sweep = every_key.min(4 * fit((every_key / 100).max(1))).max(1);
        let operations = fit(sweep).clamp(sweep, 1_000_000).max(at_least);
        (this.sweep, this.operations) = (sweep, operations);
        let region = Region::new(ALLOCATOR);
        this.sample(this.operations);
        let change = region.change();
        this.allocations = per_operation((change.allocations + change.reallocations) as u64, this.operations);
        this
    }

    /// Runs the given number of operations, and returns nanoseconds per operation.
    fn sample(&mut self, operations: u64) -> f64 {
        let sample = self.bench.run(operations);
        assert_eq!(sample.expected, operations, "{}: operations with the expected result", self.id);
        self.total += operations;
        per_operation(u64::try_from(sample.elapsed.as_nanos()).unwrap_or(u64::MAX), operations)
    }

    fn round(&mut self) {
        // Untimed: replaces what the previous scenario left in the processor's caches.
        self.sample(self.sweep);
        let nanos = self.sample(self.operations);
        self.nanos.push(nanos);
    }

    fn figures(&self, all: &[Self]) -> Figures {
        let reference = self.reference.and_then(|id| all.iter().find(|it| it.id == id));
        let pairs = |with: fn(f64, f64) -> f64| {
            reference.map(|it| Quantiles::of(self.nanos.iter().zip(&it.nanos).map(|(a, b)| with(*a, *b)).collect()))
        };
        Figures {
            nanos: Quantiles::of(self.nanos.clone()),
            reference: reference.map(|it| it.id),
            ratio: pairs(|a, b| a / b),
            difference: pairs(|a, b| a - b),
            allocations: self.allocations,
            future: self.bench.future,
            loads: self.bench.loads().map(|loads| per_operation(loads, self.total)),
        }
    }
}

/// Measures scenarios side by side.
///
/// # Panics
///
/// Panics if an operation of a scenario does not have the expected result.
pub fn measure(scenarios: Vec<Scenario>, effort: Effort) -> Measured {
    let mut runners = Vec::new();
    let mut prepared: Vec<(Id, Result<usize, Unsupported>)> = Vec::new();
    for scenario in scenarios {
        let (id, reference) = (scenario.id, scenario.reference);
        let place = scenario.prepare().map(|bench| {
            runners.push(Runner::new(id, reference, bench, effort));
            runners.len() - 1
        });
        prepared.push((id, place));
    }
    let mut noise = Vec::with_capacity(effort.rounds);
    for _ in 0..effort.rounds {
        noise.push(spin());
        runners.iter_mut().for_each(Runner::round);
    }
    let figures = |place: usize| runners[place].figures(&runners);
    let rows = prepared
        .into_iter()
        .map(|(id, place)| Row { id, figures: place.map(figures).map_err(str::to_owned) })
        .collect();
    Measured { rows, noise: Quantiles::of(noise) }
}

/// Times a loop of fixed work: only the machine varies.
fn spin() -> f64 {
    let sample = timed(|| (0..500_000_u64).fold(0, |sum, number| black_box(sum ^ number)));
    per_operation(u64::try_from(sample.elapsed.as_nanos()).unwrap_or(u64::MAX), 1)
}

#[allow(clippy::cast_precision_loss, reason = "far below 2^53")]
fn per_operation(total: u64, operations: u64) -> f64 {
    total as f64 / operations as f64
}
