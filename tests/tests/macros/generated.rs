//! Impls that macros make, and impls in unusual places.

use cachet::{CacheTier, Tier, cache_tier};

use crate::support::{Shelf, field, span_of, used};

macro_rules! tier {
    ($type:ident, $name:literal, $value:ty, $field:expr) => {
        #[derive(Default)]
        struct $type(Shelf, u32);

        #[cache_tier(name = $name, fields(x = $field, own = self.1))]
        impl CacheTier<str, $value> for $type {
            methods!(0: str => $value);
        }
    };
}

tier!(FromFragments, "fragments", u32, 1 + 1);

#[test]
fn fragments_of_a_macro() {
    assert_eq!(used(Tier::new(FromFragments::default())), "fragments");
    let span = span_of(Tier::new(FromFragments::default()));
    assert_eq!((field(&span, "x").as_deref(), field(&span, "own").as_deref()), (Some("2"), Some("0")));
}

macro_rules! generic_tier {
    ([$($generics:tt)*] $trait:path, $type:ty, [$($clause:tt)*]) => {
        #[cache_tier(name = "generic")]
        impl<$($generics)*> $trait for $type where $($clause)* {
            methods!(0: str => u32);
        }
    };
}

struct FromTokens<T>(Shelf, T);

generic_tier!([T: Send] CacheTier<str, u32>, FromTokens<T>, [T: Sync]);

#[test]
fn path_type_and_tokens_of_a_macro() {
    let tier = FromTokens(Shelf::default(), ());
    let () = tier.1;
    assert_eq!(used(Tier::new(tier)), "generic");
}

macro_rules! with_attribute {
    ($item:item) => {
        #[cache_tier(name = "whole")]
        $item
    };
}

#[derive(Default)]
struct Whole(Shelf);

with_attribute! {
    impl CacheTier<str, u32> for Whole {
        methods!(0: str => u32);
    }
}

#[test]
fn whole_item_of_a_macro() {
    assert_eq!(used(Tier::new(Whole::default())), "whole");
}

macro_rules! pass_on {
    ($($tokens:tt)*) => {
        $($tokens)*
    };
}

pass_on! {
    #[derive(Default)]
    struct PassedOn(Shelf);

    #[cache_tier(fields(own = self.0.get("a").is_ok()))]
    impl CacheTier<str, u32> for PassedOn {
        methods!(0: str => u32);
    }
}

#[test]
fn tokens_that_a_macro_passes_on() {
    assert_eq!(field(&span_of(Tier::new(PassedOn::default())), "own").as_deref(), Some("true"));
}

#[allow(clippy::single_component_path_imports, reason = "a re-export is the case")]
mod reexport {
    pub(super) use cachet;
}

macro_rules! by_dollar_crate {
    ($type:ident) => {
        #[derive(Default)]
        struct $type(Shelf);

        #[cache_tier(crate = $crate::generated::reexport::cachet)]
        impl CacheTier<str, u32> for $type {
            methods!(0: str => u32);
        }
    };
}

by_dollar_crate!(DollarCrate);

#[test]
fn dollar_crate_as_the_path_of_the_crate() {
    assert_eq!(used(Tier::new(DollarCrate::default())), "dollar_crate");
}

macro_rules! handler {
    ($type:ident { $($field:ident: $ty:ty => $outcome:literal),* }) => {
        #[derive(cachet::CacheEventHandler, Default)]
        #[cache_event(crate = $crate::generated::reexport::cachet)]
        struct $type {
            $(#[cache_event(count(operation, outcome = $outcome))] $field: $ty,)*
        }
    };
}

handler!(Counts { misses: std::sync::atomic::AtomicU64 => "miss", hits: std::sync::atomic::AtomicU64 => "hit" });

#[test]
fn derive_in_a_macro() {
    let counts = std::sync::Arc::new(Counts::default());
    let cache =
        cachet::Cache::<str, u32>::builder("c").tier(Tier::new(Whole::default())).event_handler(counts.clone()).build();
    cachet_tests::ready(cache.get("ada")).unwrap();
    assert_eq!(counts.misses.load(std::sync::atomic::Ordering::Relaxed), 1);
    assert_eq!(counts.hits.load(std::sync::atomic::Ordering::Relaxed), 0);
}

#[test]
fn impl_inside_a_function() {
    #[derive(Default)]
    struct Local(Shelf);

    #[cache_tier(fields(own = self.0.get("a").is_ok()))]
    impl CacheTier<str, u32> for Local {
        methods!(0: str => u32);
    }

    #[derive(cachet::CacheEventHandler)]
    struct Handler(#[cache_event(forward)] cachet::telemetry::Stats);

    assert_eq!(used(Tier::new(Local::default())), "local");
    let stats = cachet::telemetry::Stats::new();
    let cache =
        cachet::Cache::builder("c").tier(Tier::new(Local::default())).event_handler(Handler(stats.clone())).build();
    cachet_tests::ready(cache.insert("ada", 1)).unwrap();
    assert_eq!(stats.operations_of(cachet::telemetry::CacheOperation::Insert), 1);
}

#[derive(Default)]
struct InConst(Shelf);

const _: () = {
    #[cache_tier]
    impl CacheTier<str, u32> for InConst {
        methods!(0: str => u32);
    }
};

#[test]
fn impl_inside_a_constant() {
    assert_eq!(used(Tier::new(InConst::default())), "in_const");
}

#[test]
fn impl_inside_a_closure() {
    let make = || {
        #[derive(Default)]
        struct Inner(Shelf);

        #[cache_tier]
        impl CacheTier<str, u32> for Inner {
            methods!(0: str => u32);
        }

        Tier::new(Inner::default())
    };
    assert_eq!(used(make()), "inner");
}
