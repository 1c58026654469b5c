//! What the tests of `cachet` share: polling by hand, a runtime driven by hand, the laws of telemetry, and a layer that writes down what it sees.

#[cfg(test)]
mod contract;
pub mod laws;
pub mod runtime;
pub mod step;
pub mod trace;

pub use self::runtime::ByHand;
pub use self::step::{Stepped, block_on, finish_both, ready};

/// The results of several keys as one: all, or the first error.
///
/// # Errors
///
/// The first one.
pub fn collected<T, E>(results: Vec<Result<T, E>>) -> Result<Vec<T>, E> {
    results.into_iter().collect()
}
