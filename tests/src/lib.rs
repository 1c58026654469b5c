//! What the tests of `cachet` share: futures and a runtime that advance only on request, the invariants of telemetry, and
//! a `tracing` layer that records what it sees.

#[cfg(test)]
mod contract;
pub mod events;
pub mod invariants;
pub mod runtime;
pub mod task;
pub mod tiers;
pub mod trace;

pub use self::runtime::ManualRuntime;
pub use self::task::{ManualTask, block_on, finish_both, ready};

/// The results of several keys as one: all, or the first error.
///
/// # Errors
///
/// The first one.
pub fn collected<T, E>(results: Vec<Result<T, E>>) -> Result<Vec<T>, E> {
    results.into_iter().collect()
}
