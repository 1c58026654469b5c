//! What cachet costs, measured side by side with others: all in one process, their rounds interleaved, ratios taken round by
//! round, allocations and future sizes beside.
//!
//! | file | what is in it |
//! |---|---|
//! | [`measure`] | the loop that is measured, and the rounds |
//! | [`scenarios`] | every scenario by its name |
//! | [`peers`] | what every library is asked for, and how cachet and `quick_cache` answer |
//! | [`keys`] | keys, and a skewed workload |
//! | [`handlers`], [`subscribers`] | who listens |
//! | [`contention`], [`stampede`] | threads and tasks at the same time |
//! | [`report`], [`machine`] | table, JSON, picture; where it ran |
//! | [`command`], [`replay`] | the programs |
//! | [`generated`] | packages with many tiers, for what they cost the compiler |
//!
//! Other libraries have a package of their own, `benches/peers`, outside the workspace. As optional dependencies of this one
//! they would all be switched on by the `--all-features` of every test run and lint, and stand in the lock file of everyone
//! who works on cachet. Over there each is behind a feature, and runs through the same code in the same process.

#![allow(clippy::missing_panics_doc, reason = "a measurement that is not what it says must not go on")]

pub mod command;
pub mod contention;
pub mod generated;
pub mod handlers;
pub mod keys;
pub mod machine;
pub mod measure;
pub mod peers;
pub mod replay;
pub mod report;
pub mod scenarios;
pub mod stampede;
pub mod subscribers;

pub use self::measure::{ALLOCATOR, CountingAllocator};
