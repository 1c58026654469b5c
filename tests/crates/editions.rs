//! The same code in every edition.

#![deny(warnings, missing_docs, clippy::all, clippy::pedantic, clippy::nursery)]
#![forbid(unsafe_code)]

mod prelude {
    pub(crate) use ::cachet;
}

include!("shelf.rs");

/// A tier and a handler whose macros find the crate by its own name.
#[derive(CacheEventHandler, Debug, Default)]
pub struct Flag {
    /// All operations.
    #[cache_event(count(operation))]
    pub operations: AtomicU64,
}

#[cache_tier(key = u32, value = u32)]
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
