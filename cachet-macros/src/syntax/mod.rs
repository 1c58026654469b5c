//! Reading tokens and reporting faults; knows neither macro.

pub(crate) mod args;
pub(crate) mod attributes;
pub(crate) mod derive_input;
pub(crate) mod diag;
pub(crate) mod expression;
pub(crate) mod krate;
pub(crate) mod tokens;
mod types;
