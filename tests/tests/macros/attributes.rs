//! Attributes beside ours, and the ways to name it.

use cachet::{CacheTier, Tier, cache_tier};

use crate::support::{Shelf, field, span_of, used};

#[derive(Default)]
struct Chosen(Shelf);

#[cfg(test)]
#[cache_tier(name = "above")]
impl CacheTier<str, u32> for Chosen {
    methods!(0: str => u32);
}

#[cfg(not(test))]
#[cache_tier(name = "not there")]
impl CacheTier<str, Nonsense> for Chosen {}

#[test]
fn cfg_above() {
    assert_eq!(used(Tier::new(Chosen::default())), "above");
}

#[derive(Default)]
struct ChosenBelow(Shelf);

#[cache_tier(name = "below")]
#[cfg(test)]
impl CacheTier<str, u32> for ChosenBelow {
    methods!(0: str => u32);
}

#[cache_tier(name = "not there")]
#[cfg(not(test))]
impl CacheTier<str, Nonsense> for ChosenBelow {}

#[test]
fn cfg_below() {
    assert_eq!(used(Tier::new(ChosenBelow::default())), "below");
}

#[derive(Default)]
struct Conditional(Shelf);

#[cfg_attr(test, cache_tier(name = "conditional", level = "info"))]
#[cfg_attr(not(test), cache_tier(name = "not there"))]
impl CacheTier<str, u32> for Conditional {
    methods!(0: str => u32);
}

#[test]
fn cfg_attr_around_the_attribute() {
    assert_eq!(used(Tier::new(Conditional::default())), "conditional");
}

#[derive(Default)]
struct ConditionalBelow(Shelf);

#[cache_tier(name = "conditional_below")]
#[cfg_attr(test, allow(dead_code, reason = "only to be copied"))]
#[cfg_attr(not(test), cfg(not(test)))]
#[cfg_attr(test, cfg(test))]
impl CacheTier<str, u32> for ConditionalBelow {
    methods!(0: str => u32);
}

#[test]
fn cfg_attr_below() {
    assert_eq!(used(Tier::new(ConditionalBelow::default())), "conditional_below");
}

mod old {
    #[deprecated = "to be named again is to be warned of again"]
    #[derive(Default)]
    pub(super) struct Old(pub(super) super::Shelf);

    #[deprecated = "the same"]
    pub(super) type OldKey = str;
}

#[cache_tier(name = "old")]
#[allow(deprecated, reason = "named in the header")]
impl CacheTier<old::OldKey, u32> for old::Old {
    methods!(0: str => u32);
}

#[test]
#[allow(deprecated, reason = "that is the case")]
fn allow_covers_what_the_attribute_adds() {
    assert_eq!(used(Tier::new(old::Old::default())), "old");
}

mod older {
    #[deprecated]
    #[derive(Default)]
    pub(super) struct Older(pub(super) super::Shelf);
}

#[cache_tier]
#[expect(deprecated, reason = "fulfilled by the user's own impl")]
impl CacheTier<str, u32> for older::Older {
    methods!(0: str => u32);
}

#[test]
#[allow(deprecated, reason = "that is the case")]
fn expect_covers_what_the_attribute_adds() {
    assert_eq!(used(Tier::new(older::Older::default())), "older");
}

#[derive(Default)]
struct ExpectAbove(Shelf);

#[expect(clippy::elidable_lifetime_names, reason = "fulfilled by the user's own impl")]
#[cache_tier]
impl<'a> CacheTier<&'static str, u32> for Keyed<'a> {
    methods!(0: &'static str => u32);
}

#[derive(Default)]
struct Keyed<'a>(Shelf<&'static str>, std::marker::PhantomData<&'a ()>);

#[cache_tier]
impl CacheTier<str, u32> for ExpectAbove {
    methods!(0: str => u32);
}

#[test]
fn expect_above() {
    assert_eq!(crate::support::used_for(Tier::new(Keyed::default()), &"ada"), "keyed");
    assert_eq!(used(Tier::new(ExpectAbove::default())), "expect_above");
}

mod renamed {
    use cachet::cache_tier as observed;

    #[derive(Default)]
    pub(super) struct Renamed(super::Shelf);

    #[observed(level = "warn")]
    impl super::CacheTier<str, u32> for Renamed {
        methods!(0: str => u32);
    }
}

#[test]
fn renamed_attribute() {
    let span = span_of(Tier::new(renamed::Renamed::default()));
    assert_eq!((span.level, span.target), (tracing::Level::WARN, concat!(module_path!(), "::renamed")));
    assert_eq!(field(&span, "cache.tier").as_deref(), Some("renamed"));
}

#[derive(Default)]
struct OtherTools(Shelf);

#[rustfmt::skip]
#[cache_tier]
#[clippy::msrv = "1.88"]
#[doc = "Some docs."]
impl CacheTier<str, u32> for OtherTools {
    methods!(0: str => u32);
}

#[test]
fn attributes_of_tools() {
    assert_eq!(used(Tier::new(OtherTools::default())), "other_tools");
}
