//! Raw identifiers, and names that snake case has to be found for.

use cachet::{CacheEntry, CacheTier, InsertOutcome, Tier, TierError, cache_tier};

use crate::support::{Shelf, field, span_of, used};

mod r#mod {
    #[allow(non_camel_case_types, reason = "that is the case")]
    #[derive(Default)]
    pub(super) struct r#struct {
        pub(super) r#type: super::Shelf,
    }
}

#[cache_tier(fields(r#type = self.r#type.get("a").is_ok()))]
impl CacheTier<str, u32> for r#mod::r#struct {
    async fn get(&self, r#in: &str) -> Result<Option<CacheEntry<u32>>, TierError> {
        self.r#type.get(r#in)
    }

    async fn insert(&self, r#in: String, r#as: CacheEntry<u32>) -> Result<InsertOutcome, TierError> {
        self.r#type.insert(r#in, r#as)
    }

    async fn invalidate(&self, r#in: &str) -> Result<(), TierError> {
        self.r#type.invalidate(r#in)
    }

    async fn clear(&self) -> Result<(), TierError> {
        self.r#type.clear()
    }
}

#[test]
fn raw_identifiers() {
    assert_eq!(used(Tier::new(r#mod::r#struct::default())), "struct");
    assert_eq!(field(&span_of(Tier::new(r#mod::r#struct::default())), "type").as_deref(), Some("true"));
}

macro_rules! named {
    ($($type:ident $name:literal),*) => {
        $(
            #[derive(Default)]
            struct $type(Shelf);

            #[cache_tier]
            impl CacheTier<str, u32> for $type {
                methods!(0: str => u32);
            }
        )*

        #[test]
        fn snake_case() {
            $(assert_eq!(used(Tier::new($type::default())), $name);)*
        }
    };
}

named!(HTTPCache "http_cache", L1 "l1", DiskL2Cache "disk_l2_cache", Grün "grün", _Hidden "hidden");
