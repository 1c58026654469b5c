//! What guards a tier that has to be waited for: each layer has a file of its own.
//!
//! A layer is asked when a call of the tier begins, and sees every method that is awaited within that call.

pub(crate) mod breaker;
pub(crate) mod timeout;
