use proc_macro2::TokenStream;
use quote::quote;

use super::{expand, parse, validate};
use crate::fuzz::{Fuzz, rounds};
use crate::syntax::derive_input::DeriveInput;
use crate::syntax::diag::Diagnostics;

fn tokens(text: &str) -> TokenStream {
    text.parse().expect("the test's own tokens")
}

fn messages(item: &str) -> Vec<String> {
    let mut diagnostics = Diagnostics::default();
    let input = DeriveInput::read(tokens(item)).expect("the test's own item");
    let parsed = parse::read(input, &mut diagnostics);
    validate::validate(parsed, &mut diagnostics);
    diagnostics.messages()
}

/// The one message about a field with this attribute.
fn message(attribute: &str) -> String {
    let all = messages(&format!("struct Stats {{ #[cache_event({attribute})] field: AtomicU64 }}"));
    assert_eq!(all.len(), 1, "{attribute}: {all:#?}");
    all.into_iter().next().expect("one message")
}

fn assert_expands(item: &str, expected: &TokenStream) {
    let squeeze = |tokens: &TokenStream| tokens.to_string().replace(' ', "");
    assert_eq!(squeeze(&expand(tokens(item))), squeeze(expected));
}

#[test]
fn struct_counts_records_and_forwards() {
    let item = r#"
        #[cache_event(on_operation = log)]
        struct Stats<H> {
            #[cache_event(count(tier, outcome = any("hit", "expired"), operation = "get", tier = "l1", fallback = false))]
            hits: AtomicU64,
            #[cache_event(record(operation, cache = any("a", "b"), coalesced = true))]
            latency: Histogram,
            #[cache_event(forward)]
            inner: H,
            label: String,
        }"#;
    let expected = quote! {
        #[automatically_derived]
        impl<H> ::cachet::__private::CacheEventHandler for Stats<H>
        where
            H: ::cachet::__private::CacheEventHandler,
            Self: ::core::marker::Send + ::core::marker::Sync + 'static
        {
            fn interest(&self) -> ::cachet::__private::EventMask {
                ::cachet::__private::EventMask::OPERATIONS
                    .union(::cachet::__private::EventMask::TIERS)
                    .union(::cachet::__private::EventMask::TIMING)
                    .union(::cachet::__private::EventMask::TRAIL)
                    .union(<H as ::cachet::__private::CacheEventHandler>::interest(&self.inner))
            }
            fn on_tier_event(&self, cachet_event: &::cachet::__private::CacheTierEvent<'_>) {
                if ::core::matches!(cachet_event.operation(), ::cachet::__private::TierOperation::Get)
                    && ::core::matches!(
                        cachet_event.outcome(),
                        ::cachet::__private::TierOutcome::Hit | ::cachet::__private::TierOutcome::Expired
                    )
                    && ::core::matches!(cachet_event.tier(), "l1")
                    && !cachet_event.fallback()
                {
                    <AtomicU64 as ::cachet::__private::EventCounter>::increment(&self.hits);
                }
                <H as ::cachet::__private::CacheEventHandler>::on_tier_event(&self.inner, cachet_event);
            }
            fn on_operation_event(&self, cachet_event: &::cachet::__private::CacheOperationEvent<'_>) {
                if ::core::matches!(cachet_event.cache(), "a" | "b") && cachet_event.coalesced() {
                    if let ::core::option::Option::Some(cachet_duration) = cachet_event.duration() {
                        <Histogram as ::cachet::__private::EventHistogram>::record(&self.latency, cachet_duration);
                    }
                }
                <H as ::cachet::__private::CacheEventHandler>::on_operation_event(&self.inner, cachet_event);
                let cachet_function: fn(&Self, &::cachet::__private::CacheOperationEvent<'_>) = Self::log;
                cachet_function(self, cachet_event);
            }
        }
    };
    assert_expands(item, &expected);
}

#[test]
fn enum_forwards_to_its_active_variant() {
    let item = "#[cache_event(crate = crate::rt)] enum Sink {
            Off, One(u8, #[cache_event(forward)] Log), Two { #[cache_event(count(operation))] n: AtomicU64 } }";
    let expected = quote! {
        #[automatically_derived]
        impl crate::rt::__private::CacheEventHandler for Sink {
            fn interest(&self) -> crate::rt::__private::EventMask {
                match self {
                    Self::Off { .. } => { crate::rt::__private::EventMask::OPERATIONS }
                    Self::One { 1: cachet_field0, .. } => {
                        crate::rt::__private::EventMask::OPERATIONS
                            .union(<Log as crate::rt::__private::CacheEventHandler>::interest(cachet_field0))
                    }
                    Self::Two { .. } => { crate::rt::__private::EventMask::OPERATIONS }
                }
            }
            fn on_tier_event(&self, cachet_event: &crate::rt::__private::CacheTierEvent<'_>) {
                match self {
                    Self::Off { .. } => {}
                    Self::One { 1: cachet_field0, .. } => {
                        <Log as crate::rt::__private::CacheEventHandler>::on_tier_event(cachet_field0, cachet_event);
                    }
                    Self::Two { .. } => {}
                }
            }
            fn on_operation_event(&self, cachet_event: &crate::rt::__private::CacheOperationEvent<'_>) {
                match self {
                    Self::Off { .. } => {}
                    Self::One { 1: cachet_field0, .. } => {
                        <Log as crate::rt::__private::CacheEventHandler>::on_operation_event(cachet_field0, cachet_event);
                    }
                    Self::Two { n: cachet_field0, .. } => {
                        <AtomicU64 as crate::rt::__private::EventCounter>::increment(cachet_field0);
                    }
                }
            }
        }
    };
    assert_expands(item, &expected);
}

#[test]
fn counters_of_operations_ask_for_nothing_else() {
    let item = "struct S(#[cache_event(count(operation))] AtomicU64);";
    let expected = quote! {
        #[automatically_derived]
        impl ::cachet::__private::CacheEventHandler for S {
            fn interest(&self) -> ::cachet::__private::EventMask {
                ::cachet::__private::EventMask::OPERATIONS
            }
            fn on_operation_event(&self, cachet_event: &::cachet::__private::CacheOperationEvent<'_>) {
                <AtomicU64 as ::cachet::__private::EventCounter>::increment(&self.0);
            }
        }
    };
    assert_expands(item, &expected);
}

#[test]
fn only_types_that_mention_a_parameter_are_bounded() {
    let item = "struct S<'a, T, const N: usize> {
        #[cache_event(forward)] a: Option<Box<T>>,
        #[cache_event(forward)] b: Option<Box<S<'a, T, N>>>,
        #[cache_event(count(tier))] c: Counter<N>,
        #[cache_event(count(tier))] d: AtomicU64,
        e: &'a str,
    }";
    let text = expand(tokens(item)).to_string().replace(' ', "");
    let clause = text.split("where").nth(1).and_then(|rest| rest.split('{').next()).expect("a where clause");
    assert_eq!(
        clause,
        "Option<Box<T>>:::cachet::__private::CacheEventHandler,Counter<N>:::cachet::__private::EventCounter,\
         Self:::core::marker::Send+::core::marker::Sync+'static"
    );
}

#[test]
fn faulty_fields_are_refused() {
    const TIER: &str = "\"hit\", \"miss\", \"expired\", \"skipped\", \"error\", \"panicked\", \"cancelled\", \"inserted\", \"rejected\", \
        \"superseded\", \"invalidated\", \"cleared\", \"counted\", \"evicted\", \"opened\" or \"closed\"";
    for (attribute, text) in [
        ("", "`#[cache_event(…)]` is empty; it takes for example `forward`, `count(tier, outcome = \"hit\")` or `record(operation, operation = \"get\")`".into()),
        ("forwrad", "unknown argument `forwrad`; did you mean `forward`? (accepted: `forward`, `count`, `record`)".into()),
        ("skip", "unknown argument `skip`: a field without a role is left alone; remove the attribute".into()),
        ("on_tier = x", "unknown argument `on_tier`: it goes into a `#[cache_event(…)]` on the type, not on a field".into()),
        ("forward, count(tier)", "two roles on one field; give each role a field of its own".into()),
        ("count(tier), count(operation)", "two roles on one field; give each role a field of its own".into()),
        ("forward()", "`forward` stands alone; remove its value".into()),
        ("count", "`count` takes a list in parentheses, for example `count(tier, outcome = \"hit\")`".into()),
        ("count()", "`count` needs to know of what: write `count(tier, …)` for the calls of tiers or `count(operation, …)` for the operations of the cache".into()),
        ("record(outcome = \"hit\")", "`record` needs to know of what: write `record(tier, …)` for the calls of tiers or `record(operation, …)` for the operations of the cache".into()),
        ("count(tiers)", "`count` starts with `tier` or `operation`, not with `tiers`; did you mean `tier`?".into()),
        ("count(\"tier\")", "`count` starts with `tier` or `operation`, without quotes".into()),
        ("count(tier outcome = \"hit\")", "expected `,` in front of `outcome`".into()),
        ("count(Scope::Tier)", "`count` starts with `tier` or `operation`, not with `Scope`".into()),
        ("count(tier, outcome = \"hitt\")", format!("unknown outcome \"hitt\"; did you mean \"hit\"? (accepted: {TIER})")),
        ("count(tier, outcome = \"stale\")", format!("\"stale\" is an outcome of `operation` events; those of `tier` events are {TIER}")),
        ("count(tier, operation = \"refresh\")", "\"refresh\" is an operation of `operation` events; those of `tier` events are \"get\", \"contains\", \"insert\", \"invalidate\", \"clear\", \"len\", \"get_many\", \"insert_many\", \"invalidate_many\", \"evict\" or \"breaker\"".into()),
        ("count(tier, operation = \"insert\", outcome = \"hit\")", "`insert` never reports \"hit\"; it reports \"inserted\", \"rejected\", \"superseded\", \"skipped\", \"error\", \"panicked\" or \"cancelled\"".into()),
        ("count(tier, operation = \"evict\", outcome = \"error\")", "`evict` never reports \"error\"; it reports \"evicted\" or \"expired\"".into()),
        ("count(operation, operation = any(\"get\", \"insert\"), outcome = any(\"none\", \"hit\"))", "none of these operations reports \"none\"; it is reported by `optionally_get_or_insert`".into()),
        ("count(operation, operation = any(\"get\", \"len\"), outcome = \"hit\")", "`len` reports none of these outcomes; it reports \"counted\", \"error\", \"panicked\" or \"cancelled\"".into()),
        ("count(operation, tier = \"l1\")", "an operation has no `tier`; write `count(tier, tier = …)` to look at the calls of one tier".into()),
        ("count(tier, coalesced = true)", "a tier call is never `coalesced`, only operations are; write `count(operation, coalesced = …)`".into()),
        ("count(tier, fallback = \"yes\")", "`fallback` takes `true` or `false`, for example `fallback = true`".into()),
        ("count(tier, cache = pages)", "`cache` takes a string literal or a list of them, for example `cache = \"…\"` or `cache = any(\"…\", \"…\")`".into()),
        ("count(tier, cache = any(pages))", "`any(…)` takes string literals, not `pages`".into()),
        ("count(tier, cache = any(\"a\", \"a\"))", "\"a\" is given twice; keep one".into()),
        ("count(tier, cache = \"\")", "`cache` must not be empty".into()),
        ("count(tier, outcome = \"hit\", outcome = \"miss\")", "`outcome` is given twice; keep one".into()),
        ("count(outcome = \"hit\", tier)", "`count` needs to know of what: write `count(tier, …)` for the calls of tiers or `count(operation, …)` for the operations of the cache".into()),
        ("count(cache = \"a\", operation)", "`count` needs to know of what: write `count(tier, …)` for the calls of tiers or `count(operation, …)` for the operations of the cache".into()),
        ("count(tier, outcome != \"hit\")", "`outcome` takes a value, for example `outcome = \"hit\"`".into()),
        ("count(tier, outcome == \"hit\")", "`outcome` takes a value, for example `outcome = \"hit\"`".into()),
        ("count[tier]", "`count` takes a list in parentheses, for example `count(tier, outcome = \"hit\")`".into()),
        ("= \"x\"", "expected an argument, for example `forward` (accepted: `forward`, `count`, `record`)".into()),
        ("count(tier, hit)", "unknown argument `hit`: outcomes are chosen with `outcome = \"…\"`".into()),
    ] {
        assert_eq!(message(attribute), text, "{attribute}");
    }
}

#[test]
fn faulty_types_are_refused() {
    let silent = |name: &str| {
        format!(
            "no field of `{name}` has a role, so it would see no event; put `#[cache_event(forward)]`, \
             `#[cache_event(count(…))]` or `#[cache_event(record(…))]` on a field, or \
             `#[cache_event(on_operation = …)]` on the type"
        )
    };
    for (item, text) in [
        ("struct S { n: AtomicU64 }", silent("S")),
        ("#[cache_event(crate = ::rt)] struct S;", silent("S")),
        ("enum E {}", silent("E")),
        ("union U { n: u8 }", "`CacheEventHandler` cannot be derived for a union: which of its fields is alive is not known; use an enum".into()),
        ("enum E { #[cache_event(forward)] A(H) }", "`#[cache_event]` goes on a field or on the type, not on a variant".into()),
        ("struct S<#[cache_event(forward)] T>(T);", "`#[cache_event]` goes on a field or on the type, not on a generic parameter".into()),
        ("#[cache_event(forward)] struct S;", "unknown argument `forward`: it is a role of a field: put `#[cache_event(…)]` on the field".into()),
        ("#[cache_event] struct S;", "`#[cache_event(…)]` is empty; it takes for example `on_tier = Self::log_tier`, `on_operation = Self::log_operation` or `crate = ::cachet`".into()),
        ("#[cache_event = \"count\"] struct S;", "`#[cache_event]` takes a list in parentheses, for example `#[cache_event(on_tier = Self::log_tier)]`".into()),
        ("#[cache_event(on_tier = \"log\")] struct S;", "`on_tier` takes the path of a function, for example `on_tier = Self::log` for `fn log(&self, event: …)`".into()),
        ("#[cache_event(on_tier = log, crate = rt)] struct S;", "`crate` takes a path that starts with `::`, `crate` or `$crate`, for example `crate = ::rt`".into()),
        ("struct S(#[cache_event(count(tier))] u64);", "`u64` cannot count events: handlers run through `&self`; use `AtomicU64`".into()),
    ] {
        assert_eq!(messages(item), [text], "{item}");
        assert!(expand(tokens(item)).to_string().contains("CacheEventHandler for"), "{item}");
    }
}

#[test]
fn random_tokens_never_panic() {
    let mut fuzz = Fuzz::new(11);
    let item = tokens(
        "#[cache_event(on_tier = log, crate = ::cachet)] pub struct Stats<'a, T: Send, const N: usize> where T: Sync {
            #[cache_event(count(tier, outcome = any(\"hit\", \"miss\"), operation = \"get\", fallback = true))] a: AtomicU64,
            #[cache_event(record(operation))] b: Histogram<N>,
            #[cache_event(forward)] c: Option<&'a T>,
        }",
    );
    for round in 0..rounds() {
        let item = if round % 8 == 0 { fuzz.stream(4) } else { fuzz.mutate(item.clone()) };
        expand(item);
    }
}

#[test]
fn types_may_hold_any_expression() {
    for ty in [
        "[u8; if X { 1 } else { 2 }]",
        "[u8; [1, 2].len()]",
        "[u8; const { 3 }]",
        "[u8; { |a, b| a }]",
        "[u8; match X { A => 1, B => 2 }]",
        "A<{ 1 < 2 }, -1>",
        "Map<A, Vec<B>>",
        "fn(A, B) -> Map<A, B>",
        "Box<dyn for<'a> Fn(&'a A) -> Map<A, B> + Send>",
        "<A as B<C, D>>::E",
        "&'static [A]",
        "(A, B)",
        "m!(A, B)",
        "impl Fn() -> A",
    ] {
        for item in [
            format!("struct S {{ a: {ty}, pub(crate) b: {ty}, #[cache_event(count(tier))] c: Last }}"),
            format!("struct S(pub {ty}, {ty}, #[cache_event(count(tier))] Last);"),
            format!(
                "enum S {{ A({ty}) = 1 << f::<A, B>(|a, b| a), B {{ b: {ty} }}, C(#[cache_event(count(tier))] Last) }}"
            ),
            format!(
                "struct S<T: A<B, C> = {ty}, const N: usize = {{ 1 }}>(#[cache_event(count(tier))] Last) where A: B<C, D>;"
            ),
        ] {
            assert_eq!(messages(&item), [""; 0], "{item}");
            let output = expand(tokens(&item)).to_string();
            assert!(output.contains("EventCounter > :: increment"), "{item}: {output}");
        }
        let output = expand(tokens(&format!("struct S(#[cache_event(count(tier))] {ty});"))).to_string();
        let kept = tokens(ty).to_string().replace(' ', "");
        assert!(output.replace(' ', "").contains(&kept), "{ty}: {output}");
    }
}

#[test]
fn misspelt_helpers_and_syntax_errors_are_left_to_rustc() {
    for item in [
        "struct S { #[cache_events(forward)] a: H }",
        "struct S { #[cachet::cache_event(forward)] a: H }",
        "#[cache_evnt(on_tier = log)] struct S;",
        "struct S { a: }",
        "struct S { a }",
        "struct S { a: u8, : H }",
    ] {
        assert_eq!(messages(item), [""; 0], "{item}");
    }
}
