//! Re-exports cachet, re-exports its macros at another path, and defines a macro that makes a tier.

#![deny(warnings, missing_docs, clippy::all, clippy::pedantic, clippy::nursery)]
#![forbid(unsafe_code)]

pub use cachet;

/// What a user needs most.
pub mod prelude {
    pub use cachet::{CacheEntry, CacheEventHandler, CacheTier, InsertOutcome, cache_tier};
}

/// Makes a tier that stores nothing, of a type that the user names.
#[macro_export]
macro_rules! empty_tier {
    ($type:ty) => {
        #[$crate::cachet::cache_tier(crate = $crate::cachet)]
        impl $crate::cachet::CacheTier<str, u32> for $type {
            async fn get(
                &self,
                _: &str,
            ) -> ::core::result::Result<
                ::core::option::Option<$crate::cachet::CacheEntry<u32>>,
                $crate::cachet::TierError,
            > {
                ::core::result::Result::Ok(::core::option::Option::None)
            }

            async fn insert(
                &self,
                _: ::std::string::String,
                _: $crate::cachet::CacheEntry<u32>,
            ) -> ::core::result::Result<$crate::cachet::InsertOutcome, $crate::cachet::TierError> {
                ::core::result::Result::Ok($crate::cachet::InsertOutcome::Rejected)
            }

            async fn invalidate(&self, _: &str) -> ::core::result::Result<(), $crate::cachet::TierError> {
                ::core::result::Result::Ok(())
            }

            async fn clear(&self) -> ::core::result::Result<(), $crate::cachet::TierError> {
                ::core::result::Result::Ok(())
            }
        }
    };
}
