//! The dependency is renamed, so the macros take `crate = …`.

#![deny(warnings, missing_docs, clippy::all, clippy::pedantic, clippy::nursery)]
#![forbid(unsafe_code)]

/// Where this crate finds cachet.
pub mod prelude {
    pub use ::cachet_lib as cachet;
}

use std::sync::atomic::{AtomicU32, Ordering};

include!("../../shelf.rs");

/// A handler whose macro finds the crate by the path that it has here.
#[derive(CacheEventHandler, Debug, Default)]
#[cache_event(crate = ::cachet_lib)]
pub struct Operations {
    /// All operations.
    #[cache_event(count(operation))]
    pub count: AtomicU64,
}

/// A tier whose macro finds the crate by the path that it has here.
#[derive(Debug, Default)]
pub struct Last(AtomicU32);

#[cache_tier(crate = ::cachet_lib, key = str, value = u32)]
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
