//! Built-in handlers, adapters of handlers, and the metrics of derived handlers.

pub(crate) mod buffered;
pub(crate) mod filtered;
pub(crate) mod histogram;
pub(crate) mod metric;
pub(crate) mod sampled;
pub(crate) mod stats;
