//! Tiers that come with the crate.

#[cfg(feature = "memory")]
pub(crate) mod memory;
