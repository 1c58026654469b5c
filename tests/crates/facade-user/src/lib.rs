//! Knows only the library that re-exports cachet.

#![deny(warnings, missing_docs, clippy::all, clippy::pedantic, clippy::nursery)]
#![forbid(unsafe_code)]

/// Where this crate finds cachet.
pub mod prelude {
    pub use ::cachet_test_facade::cachet;
}

use std::sync::atomic::{AtomicU32, Ordering};

include!("../../shelf.rs");

/// A handler whose macro finds the crate by the path that it has here.
#[derive(CacheEventHandler, Debug, Default)]
#[cache_event(crate = ::cachet_test_facade::cachet)]
pub struct Operations {
    /// All operations.
    #[cache_event(count(operation))]
    pub count: AtomicU64,
}

/// A tier whose macro finds the crate by the path that it has here.
#[derive(Debug, Default)]
pub struct Last(AtomicU32);

#[cache_tier(crate = ::cachet_test_facade::cachet, key = str, value = u32)]
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

/// A tier that a macro of the library has made.
#[derive(Debug)]
pub struct Empty;

cachet_test_facade::empty_tier!(Empty);

#[cfg(test)]
mod empty_tests {
    use cachet_test_facade::cachet::{Cache, Tier};
    use cachet_tests::ready;

    use super::Empty;

    #[test]
    fn tier_made_by_a_macro_of_the_library_works() {
        let cache = Cache::<str, u32>::builder("empty").tier(Tier::new(Empty)).build();
        ready(cache.insert("ada", 36_u32)).unwrap();
        assert!(ready(cache.get("ada")).unwrap().is_none());
        assert_eq!(cache.tier_names().collect::<Vec<_>>(), ["empty"]);
    }
}
