//! The libraries that are always measured: cachet, and the engine of its memory tier.
//!
//! Those that a user might choose instead are in the package `benches/peers`, so that neither this workspace's lock file nor its
//! `--all-features` includes them.

use crate::peer::Library;

pub(crate) mod cachet;
pub(crate) mod quick_cache;

/// The libraries of this package.
pub const BUILT_IN: [Library; 2] = [Library::of::<quick_cache::QuickCache>(), Library::of::<cachet::Cachet>()];
