//! The same code in every edition.

#![deny(warnings, missing_docs, clippy::all, clippy::pedantic, clippy::nursery)]
#![forbid(unsafe_code)]

/// Where this crate finds cachet.
pub mod prelude {
    pub use ::cachet;
}

use std::sync::atomic::{AtomicU32, Ordering};

include!("shelf.rs");

/// A handler whose macro finds the crate by its own name.
#[derive(CacheEventHandler, Debug, Default)]
pub struct Operations {
    /// All operations.
    #[cache_event(count(operation))]
    pub count: AtomicU64,
}

/// A tier whose macro finds the crate by its own name.
#[derive(Debug, Default)]
pub struct Last(AtomicU32);

#[cache_tier(key = str, value = u32)]
impl Last {
    fn get(&self, key: &str) -> Option<u32> {
        (key == "last").then(|| self.0.load(Ordering::Relaxed))
    }

    fn insert(&self, _: &str, value: u32) {
        self.0.store(value, Ordering::Relaxed);
    }

    fn invalidate(&self, _: &str) {
        self.0.store(0, Ordering::Relaxed);
    }
}
