//! What cachet costs, side by side with other libraries: in one process, in interleaved rounds, with ratios computed round by
//! round, and with allocations and future sizes.
//!
//! Each file uses only files above it in this table, or before it in the same row:
//!
//! | file | what is in it |
//! |---|---|
//! | [`bench`](mod@bench), [`keys`], [`operation`], [`figure`], [`machine`] | the measured loop; keys; what every library is asked for; names and figures; the machine |
//! | [`workload`], `handlers`, `tiers`, [`subscribers`] | what scenarios are made of |
//! | [`contention`], [`stampede`] | threads and tasks at the same time |
//! | [`peer`], [`peers`] | what a library under test implements; cachet, its engine, and the list of both |
//! | [`scenarios`] | every scenario by its name |
//! | [`run`], [`report`] | the rounds; table, JSON, picture |
//! | [`command`], [`replay`] | the programs |
//! | [`generated`] | packages with many tiers, to measure their compilation |
//!
//! Other libraries have a package of their own, `benches/peers`, outside of the workspace. As optional dependencies of this one,
//! the `--all-features` of every test run and lint would include all of them, and so would the lock file of everyone who works on
//! cachet. There, each is behind a feature, and runs through the same code in the same process.

#![allow(clippy::missing_panics_doc, reason = "a measurement of something else must not go on")]

pub mod bench;
pub mod command;
pub mod contention;
pub mod figure;
pub mod generated;
mod handlers;
pub mod keys;
pub mod machine;
pub mod operation;
pub mod peer;
pub mod peers;
pub mod replay;
pub mod report;
pub mod run;
pub mod scenarios;
pub mod stampede;
pub mod subscribers;
mod tiers;
pub mod workload;
