//! What the tests of `cachet` share: polling by hand, a runtime driven by hand, the laws of telemetry, and a layer that writes down what it sees.

#[cfg(test)]
mod contract;
pub mod laws;
pub mod runtime;
pub mod step;
pub mod trace;

pub use self::runtime::ByHand;
pub use self::step::{Stepped, finish_both, ready};
