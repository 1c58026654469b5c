//! The arguments, and what they do.

use std::cell::Cell;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use cachet::{CacheTier, Tier, cache_tier};
use tracing::Level;

use crate::support::{Shelf, field, span_of, used};

macro_rules! levels {
    ($($name:ident $text:literal $level:ident),*) => {$(
        mod $name {
            #[derive(Default)]
            pub(super) struct Leveled(super::Shelf);

            #[super::cache_tier(level = $text)]
            impl super::CacheTier<str, u32> for Leveled {
                methods!(0: str => u32);
            }
        }

        #[test]
        fn $name() {
            assert_eq!(span_of(Tier::new($name::Leveled::default())).level, Level::$level);
        }
    )*};
}

levels!(trace "trace" TRACE, debug "debug" DEBUG, info "info" INFO, warn "warn" WARN, error "error" ERROR);

#[derive(Default)]
struct Plain(Shelf);

#[cache_tier]
impl CacheTier<str, u32> for Plain {
    methods!(0: str => u32);
}

#[test]
fn defaults() {
    let span = span_of(Tier::new(Plain::default()));
    assert_eq!((span.level, span.target), (Level::DEBUG, module_path!()));
    assert_eq!(field(&span, "otel.kind").as_deref(), Some("internal"));
    assert_eq!(field(&span, "cache.tier").as_deref(), Some("plain"));
    assert_eq!(field(&span, "db.system.name"), None);
}

#[derive(Default)]
struct Named(Shelf);

#[cache_tier(name = r#"the "best" tier"#, target = "app::disk")]
impl CacheTier<str, u32> for Named {
    methods!(0: str => u32);
}

#[test]
fn name_and_target() {
    assert_eq!(used(Tier::new(Named::default())), "the \"best\" tier");
    assert_eq!(span_of(Tier::new(Named::default())).target, "app::disk");
    assert_eq!(used(Tier::new(Named::default()).name("other")), "other");
}

struct Remote(Shelf, SocketAddr);

#[cache_tier(remote(system = "redis", address = self.1))]
impl CacheTier<str, u32> for Remote {
    methods!(0: str => u32);
}

#[test]
fn remote_with_an_address() {
    let span = span_of(Tier::new(Remote(Shelf::default(), SocketAddr::from(([127, 0, 0, 1], 6379)))));
    assert_eq!(field(&span, "otel.kind").as_deref(), Some("client"));
    assert_eq!(field(&span, "db.system.name").as_deref(), Some("redis"));
    assert_eq!(field(&span, "server.address").as_deref(), Some("127.0.0.1"));
    assert_eq!(field(&span, "server.port").as_deref(), Some("6379"));
}

#[derive(Default)]
struct RemoteText(Shelf, String);

#[cache_tier(remote(address = self.1[..4], system = "valkey",))]
impl CacheTier<str, u32> for RemoteText {
    methods!(0: str => u32);
}

#[test]
fn address_that_has_no_size() {
    let span = span_of(Tier::new(RemoteText(Shelf::default(), "host.example".to_owned())));
    assert_eq!(field(&span, "server.address").as_deref(), Some("host"));
    assert_eq!(field(&span, "server.port"), None);
}

#[derive(Default)]
struct RemoteOnly(Shelf);

#[cache_tier(remote(system = "s3"))]
impl CacheTier<str, u32> for RemoteOnly {
    methods!(0: str => u32);
}

#[test]
fn remote_without_an_address() {
    let span = span_of(Tier::new(RemoteOnly::default()));
    assert_eq!(field(&span, "db.system.name").as_deref(), Some("s3"));
    assert_eq!(field(&span, "server.address"), None);
}

#[derive(Default)]
struct Moved(Shelf, String, PathBuf, Option<u64>);

#[cache_tier(fields(
    owner = self.1,
    path = ?self.2,
    shown = %self.2.display(),
    count = self.3,
    part = self.1[..1],
    text = self.1.as_str(),
    truth = !self.1.is_empty(),
    ratio = 0.5,
))]
impl CacheTier<str, u32> for Moved {
    methods!(0: str => u32);
}

#[test]
fn fields_are_recorded_in_their_forms_and_nothing_is_moved() {
    let tier = Moved(Shelf::default(), "ada".to_owned(), PathBuf::from("/a"), Some(3));
    let span = span_of(Tier::new(tier));
    let values =
        ["owner", "path", "shown", "count", "part", "text", "truth", "ratio"].map(|name| field(&span, name).unwrap());
    assert_eq!(values, ["ada", "\"/a\"", "/a", "3", "a", "ada", "true", "0.5"]);
}

#[derive(Default)]
struct Absent(Shelf);

#[cache_tier(fields(nothing = None::<u64>))]
impl CacheTier<str, u32> for Absent {
    methods!(0: str => u32);
}

#[test]
fn nothing_is_recorded_for_none() {
    assert_eq!(field(&span_of(Tier::new(Absent::default())), "nothing"), None);
}

#[derive(Default)]
struct Named2(Shelf);

#[cache_tier(fields(dotted.name.r#type = 1, "any name: at all" = 2, r#match = 3, self_ = 4))]
impl CacheTier<str, u32> for Named2 {
    methods!(0: str => u32);
}

#[test]
fn names_of_fields() {
    let span = span_of(Tier::new(Named2::default()));
    let values = ["dotted.name.type", "any name: at all", "match", "self_"].map(|name| field(&span, name).unwrap());
    assert_eq!(values, ["1", "2", "3", "4"]);
}

#[derive(Default)]
struct Expressions<T>(Shelf, T);

impl<T> Expressions<T> {
    const KIND: u32 = 7;

    fn pair<A, B>(&self, first: A, _second: B) -> A {
        let _ = &self.1;
        first
    }
}

const fn free(number: u64) -> u64 {
    number + 1
}

#[cache_tier(fields(
    turbofish = self.pair::<u32, (u8, u8)>(1, (2, 3)),
    qualified = <Self as AsKind>::kind(self),
    constant = Self::KIND,
    closure = (|a: u32, b: u32| a + b)(1, 2),
    choice = if self.0.get("a").is_ok() { 1 } else { 2 },
    matched = match Self::KIND { 7 => "seven", _ => "other" },
    block = { let (a, b) = (1, 2); a + b },
    cast = 300_u64 as u8,
    compared = 1 < 2 && 3 > 2,
    called = free(1),
    list = ?vec![1, 2],
    spelt = %format_args!("{}-{}", 1, 2),
    range = ?(..3),
    negative = -1,
))]
#[allow(
    clippy::cast_possible_truncation,
    clippy::eq_op,
    clippy::nonminimal_bool,
    clippy::redundant_closure_call,
    reason = "the expressions are what they are"
)]
impl<T: Send + Sync + 'static> CacheTier<str, u32> for Expressions<T> {
    methods!(0: str => u32);
}

trait AsKind {
    fn kind(&self) -> u32;
}

impl<T> AsKind for Expressions<T> {
    fn kind(&self) -> u32 {
        Self::KIND + 1
    }
}

#[test]
fn fields_take_any_expression() {
    let span = span_of(Tier::new(Expressions(Shelf::default(), 0_u8)));
    let names = [
        "turbofish",
        "qualified",
        "constant",
        "closure",
        "choice",
        "matched",
        "block",
        "cast",
        "compared",
        "called",
        "list",
        "spelt",
        "range",
        "negative",
    ];
    assert_eq!(
        names.map(|name| field(&span, name).unwrap()),
        ["1", "8", "7", "3", "1", "seven", "3", "44", "true", "2", "[1, 2]", "1-2", "..3", "-1"]
    );
}

/// Leaks nothing into the users' expressions, and nothing out of them.
#[derive(Default)]
struct Hygienic(Shelf);

const VALUE: u32 = 1;
const RECORDER: u32 = 2;

#[cache_tier(fields(a = { let recorder = VALUE; recorder }, b = { let value = RECORDER; value }, c = VALUE))]
#[allow(clippy::let_and_return, reason = "the expressions are what they are")]
impl CacheTier<str, u32> for Hygienic {
    methods!(0: str => u32);
}

#[test]
fn names_of_the_expansion_do_not_leak() {
    let span = span_of(Tier::new(Hygienic::default()));
    assert_eq!(["a", "b", "c"].map(|name| field(&span, name).unwrap()), ["1", "2", "1"]);
}

thread_local! {
    static EVALUATED: Cell<u32> = const { Cell::new(0) };
}

#[derive(Default)]
struct Lazy(Shelf);

struct Counting;

impl fmt::Display for Counting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        EVALUATED.set(EVALUATED.get() + 1);
        f.write_str("counted")
    }
}

#[cache_tier(fields(counting = %{ EVALUATED.set(EVALUATED.get() + 1); Counting }))]
impl CacheTier<str, u32> for Lazy {
    methods!(0: str => u32);
}

#[test]
fn fields_are_evaluated_only_for_an_enabled_span() {
    used(Tier::new(Lazy::default()));
    assert_eq!(EVALUATED.get(), 0);
    assert_eq!(field(&span_of(Tier::new(Lazy::default())), "counting").as_deref(), Some("counted"));
    assert!(EVALUATED.get() >= 2);
}

#[derive(Default)]
struct Immediate(Shelf);

#[cache_tier(immediate)]
impl CacheTier<str, u32> for Immediate {
    methods!(0: str => u32);
}

#[test]
fn immediate() {
    assert_eq!(used(Tier::new(Immediate::default())), "immediate");
}

#[allow(clippy::single_component_path_imports, reason = "a re-export is the case")]
mod facade {
    pub(super) mod nested {
        pub(in super::super) use cachet;
    }
}

#[derive(Default)]
struct ByPath(Shelf);

#[cache_tier(crate = crate::arguments::facade::nested::cachet, name = "by_path")]
impl CacheTier<str, u32> for ByPath {
    methods!(0: str => u32);
}

#[derive(Default)]
struct ByRoot(Shelf);

#[cache_tier(crate = ::cachet)]
impl CacheTier<str, u32> for ByRoot {
    methods!(0: str => u32);
}

#[test]
fn path_of_the_crate() {
    assert_eq!(used(Tier::new(ByPath::default())), "by_path");
    assert_eq!(used(Tier::new(ByRoot::default())), "by_root");
}

#[derive(Default)]
struct All(Shelf);

#[cache_tier(
    name = "all",
    level = "info",
    target = "app::all",
    remote(system = "redis", address = "localhost:1"),
    fields(one = 1),
    immediate,
    crate = ::cachet,
)]
impl CacheTier<str, u32> for All {
    methods!(0: str => u32);
}

#[test]
fn all_arguments_at_once() {
    assert_eq!(used(Tier::new(All::default())), "all");
    let span = span_of(Tier::new(All::default()));
    assert_eq!((span.level, span.target), (Level::INFO, "app::all"));
    let values = ["db.system.name", "server.address", "server.port", "one"].map(|name| field(&span, name).unwrap());
    assert_eq!(values, ["redis", "localhost", "1", "1"]);
}
