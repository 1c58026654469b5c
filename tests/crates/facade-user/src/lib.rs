//! Knows only the library that re-exports cachet.

#![deny(warnings, missing_docs, clippy::all, clippy::pedantic, clippy::nursery)]
#![forbid(unsafe_code)]

mod prelude {
    pub(crate) use ::cachet_test_facade::cachet;
}

include!("../../shelf.rs");

/// A tier and a handler whose macros find the crate by the path that it has here.
#[derive(CacheEventHandler, Debug, Default)]
#[cache_event(crate = ::cachet_test_facade::cachet)]
pub struct Flag {
    /// All operations.
    #[cache_event(count(operation))]
    pub operations: AtomicU64,
}

#[cache_tier(crate = ::cachet_test_facade::cachet, key = u32, value = u32)]
impl Flag {
    const fn get(&self, key: &u32) -> Option<u32> {
        let Self { operations: _ } = self;
        Some(*key)
    }

    const fn insert(&self, _: u32, _: u32) {
        let Self { operations: _ } = self;
    }

    const fn invalidate(&self, _: &u32) {
        let Self { operations: _ } = self;
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
