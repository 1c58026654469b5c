//! Ready handlers, adapters of handlers, and what a derived handler counts into.

pub(crate) mod buffered;
pub(crate) mod filtered;
pub(crate) mod histogram;
pub(crate) mod metric;
pub(crate) mod sampled;
pub(crate) mod stats;
