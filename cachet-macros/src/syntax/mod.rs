//! Reading tokens and reporting faults; knows neither macro.

pub(crate) mod args;
pub(crate) mod diag;
pub(crate) mod expression;
pub(crate) mod krate;
pub(crate) mod tokens;
