//! What the macros have to get along with: everything that Rust allows where they stand, under the strictest lints, and
//! without a warning of their own.

#![deny(warnings, missing_docs, clippy::all, clippy::pedantic, clippy::nursery)]
#![forbid(unsafe_code)]

#[macro_use]
#[allow(clippy::redundant_pub_crate, reason = "`unreachable_pub` wants it")]
mod support;

mod arguments;
mod attributes;
mod generated;
mod handlers;
mod headers;
mod methods;
mod names;
mod shadowed;
