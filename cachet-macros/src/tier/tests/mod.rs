mod inherent;

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};
use quote::quote;

use super::{companion_impl, expand};
use crate::fuzz::{Fuzz, rounds};
use crate::syntax::diag::Diagnostics;

fn tokens(text: &str) -> TokenStream {
    text.parse().expect("the test's own tokens")
}

fn messages(args: &str, item: &str) -> Vec<String> {
    let mut diagnostics = Diagnostics::default();
    companion_impl(tokens(args), tokens(item), &mut diagnostics);
    diagnostics.messages()
}

fn message(args: &str, item: &str) -> String {
    let all = messages(args, item);
    assert_eq!(all.len(), 1, "{all:#?}");
    all.into_iter().next().expect("one message")
}

/// What the macro has added to the item, as text.
fn added(args: &str, item: &str) -> String {
    let item = tokens(item);
    let kept = item.clone().into_iter().count();
    let output = expand(tokens(args), item.clone());
    let added = output.clone().into_iter().skip(kept).collect::<TokenStream>().to_string();
    assert!(starts_with(&output, &item), "the item is not kept");
    added
}

fn starts_with(output: &TokenStream, item: &TokenStream) -> bool {
    let mut output = output.clone().into_iter();
    item.clone().into_iter().all(|token| output.next().is_some_and(|kept| kept.to_string() == token.to_string()))
}

fn count(tokens: TokenStream) -> usize {
    let one = |token| match token {
        TokenTree::Group(group) => 2 + count(group.stream()),
        _ => 1,
    };
    tokens.into_iter().map(one).sum()
}

const DISK: &str = "impl CacheTier<str, Bytes> for DiskTier { async fn get(&self, key: &str) {} }";

#[test]
fn minimal_tier_gets_one_small_companion() {
    let expected = quote! {
        #[automatically_derived]
        #[doc(hidden)]
        impl ::cachet::__private::InstrumentedTier<str, Bytes> for DiskTier {
            fn descriptor() -> &'static ::cachet::__private::TierDescriptor {
                ::cachet::__private::tier_descriptor! {
                    name = "disk_tier",
                    target = ::core::module_path!(),
                    level = DEBUG,
                    system = ::core::option::Option::None,
                    fields = [],
                }
            }
        }
    };
    let added = added("", DISK);
    assert_eq!(added, expected.to_string());
    assert!(count(tokens(&added)) <= 104, "{}", count(tokens(&added)));
}

#[test]
fn all_arguments_arrive() {
    let args = r#"name = "disk", level = "trace", target = "app::disk", remote(system = "redis", address = self.addr()),
        fields(shard = self.shard(), a.b = %f::<A, B>(|x, y| x), "c d" = ?self.d), immediate, crate = crate::rt,"#;
    let expected = quote! {
        #[automatically_derived]
        #[doc(hidden)]
        impl crate::rt::__private::InstrumentedTier<str, Bytes> for DiskTier {
            const IMMEDIATE: ::core::primitive::bool = true;
            fn descriptor() -> &'static crate::rt::__private::TierDescriptor {
                crate::rt::__private::tier_descriptor! {
                    name = "disk",
                    target = "app::disk",
                    level = TRACE,
                    system = ::core::option::Option::Some("redis"),
                    fields = ["shard", "a.b", "c d"],
                }
            }
            fn record_fields(&self, cachet_recorder: &mut crate::rt::__private::FieldRecorder<'_>) {
                crate::rt::__private::AddressField::record(&(self.addr()), cachet_recorder);
                crate::rt::__private::FieldValue::record(&(self.shard()), "shard", cachet_recorder);
                crate::rt::__private::DisplayField::record(&(f::<A, B>(|x, y| x)), "a.b", cachet_recorder);
                crate::rt::__private::DebugField::record(&(self.d), "c d", cachet_recorder);
            }
        }
    };
    assert_eq!(added(args, DISK).replace(' ', ""), expected.to_string().replace(' ', ""));
}

#[test]
fn header_is_repeated_as_it_was_written() {
    let item = "#[doc = \"d\"] #[cfg(a)] #[expect(deprecated)] #[deprecated] #[cfg_attr(b, allow(c))]
        impl<'a, T: Fn(u8) -> Vec<u8>, const N: usize> path::CacheTier<[T; N], fn(&'a T) -> Foo<{ N }>>
        for crate::Tier<'a, T, { N }> where T: Into<Foo<{ N }>>, { }";
    let header = "#[cfg(a)] #[allow(deprecated)] #[cfg_attr(b, allow(c))] #[automatically_derived] #[doc(hidden)]
        impl<'a, T: Fn(u8) -> Vec<u8>, const N: usize>
        ::cachet::__private::InstrumentedTier<[T; N], fn(&'a T) -> Foo<{ N }>>
        for crate::Tier<'a, T, { N }> where T: Into<Foo<{ N }>>,";
    let added = added("", item);
    assert!(starts_with(&tokens(&added), &tokens(header)), "{added}");
    assert!(added.contains("name = \"tier\""));
}

#[test]
fn default_name_is_the_type_in_snake_case() {
    for (self_type, name) in [
        ("DiskTier", "disk_tier"),
        ("RedisCache<T>", "redis_cache"),
        ("r#type", "type"),
        ("a::b::HTTPCache2<u8, { 1 }>", "http_cache2"),
        ("(S3)", "s3"),
        ("::x::L1Cache", "l1_cache"),
        ("Snake_Case", "snake_case"),
        ("_Private", "private"),
    ] {
        let added = added("", &format!("impl CacheTier<str, u8> for {self_type} {{}}"));
        assert!(added.contains(&format!("name = \"{name}\"")), "{self_type}: {added}");
    }
}

#[test]
fn type_without_a_name_needs_one() {
    for self_type in ["&'static Shards", "[u8; 3]", "(A, B)", "dyn Any", "fn(A)", "Box!()", "_", "<A as B>::C"] {
        let item = format!("impl CacheTier<str, u8> for {self_type} {{}}");
        assert_eq!(
            message("", &item).replace(' ', ""),
            format!("no tier name can be taken from `{self_type}`; add `name = \"…\"`").replace(' ', "")
        );
        assert_eq!(messages("name = \"a\"", &item), Vec::<String>::new());
        assert_eq!(messages("nmae = \"a\"", &item).len(), 1);
    }
}

#[test]
fn substituted_fragments_are_seen_through() {
    let group = |text: &str| TokenTree::from(Group::new(Delimiter::None, tokens(text)));
    let (path, ty, name, expression) = (group("CacheTier<str, u8>"), group("Disk"), group("\"d\""), group("self.0, 1"));
    let item = quote!(impl #path for #ty {});
    let output = expand(quote!(name = #name, fields(a = #expression)), quote!(#item)).to_string();
    assert!(output.contains("InstrumentedTier < str , u8 > for Disk"), "{output}");
    assert!(output.contains("name = \"d\""), "{output}");
    assert!(!output.contains("compile_error"), "{output}");
    let whole = TokenTree::from(Group::new(Delimiter::None, item));
    assert!(expand(quote!(), quote!(#whole)).to_string().contains("descriptor"));
}

#[test]
fn wrong_items_are_refused_and_kept() {
    const ON: &str = "`#[cache_tier]` goes on `impl CacheTier<K, V> for";
    for (item, text) in [
        ("pub struct DiskTier;", format!("{ON} DiskTier`, not on the type itself")),
        ("enum E {}", format!("{ON} E`, not on the type itself")),
        ("struct Generic<T>(T);", format!("{ON} Generic`, not on the type itself")),
        ("pub(crate) trait T {}", format!("{ON} …`, not on a trait")),
        ("pub async fn f() {}", format!("{ON} …`, not on a function")),
        ("const unsafe extern \"C\" fn f() {}", format!("{ON} …`, not on a function")),
        (
            "async fn f<'a>(&'a mut self) {}",
            format!("{ON} …`, not on a method: it covers all methods of the impl at once"),
        ),
        ("mod m {}", format!("{ON} …`, not on a module")),
        ("const A: u8 = 1;", format!("{ON} …`, not on a constant")),
        ("use a::b;", format!("{ON} …`, not on an import")),
        ("impl Clone for Disk {}", format!("{ON} Disk`; this is an impl of `Clone`")),
        ("impl a::From<u8> for Disk {}", format!("{ON} Disk`; this is an impl of `From`")),
        ("impl A<'a, V> for Disk {}", format!("{ON} Disk`; this is an impl of `A`")),
        ("impl A<K, Item = V> for Disk {}", format!("{ON} Disk`; this is an impl of `A`")),
        ("impl for Disk {}", format!("{ON} Disk`; the trait is missing here")),
        ("unsafe extern \"C\" {}", format!("{ON} …`, not on an `extern` block")),
        ("pub macro m() {}", format!("{ON} …`, not on a macro")),
        ("macro_rules! m { () => {} }", format!("{ON} …`, not on a macro")),
        ("m!();", format!("{ON} …`, not on the call of a macro")),
        (
            "impl !CacheTier<K, V> for Disk {}",
            "a negative impl has no methods that `#[cache_tier]` could observe".into(),
        ),
        ("", format!("{ON} …`; there is no impl here")),
    ] {
        assert_eq!(message("", item), text, "{item}");
        // A companion for the type itself keeps rustc from reporting the impl without an attribute as well.
        let stands_in = ["struct ", "enum "].iter().any(|keyword| item.contains(keyword)) && !item.contains('<');
        assert_eq!(added("", item).contains("InstrumentedTier"), stands_in, "{item}");
    }
}

#[test]
fn aliased_trait_is_accepted() {
    for path in ["Tier<K, V>", "cachet::CacheTier<K, V,>", "::a::Tier::<K, V>", "T<A<B, C>, fn(A) -> B>"] {
        assert_eq!(messages("", &format!("unsafe impl {path} for Disk {{}}")), Vec::<String>::new());
    }
}

#[test]
fn second_attribute_is_refused_and_expands_once() {
    let item = format!("#[cachet::cache_tier(name = \"x\")] {DISK}");
    assert_eq!(message("", &item), "`#[cache_tier]` is given twice; keep one");
    let output = expand(TokenStream::new(), tokens(&item)).to_string();
    assert_eq!(output.matches("InstrumentedTier").count(), 1, "{output}");
    assert!(!output.contains("cachet :: cache_tier"), "{output}");
}

#[test]
fn async_trait_is_refused_on_either_side() {
    let text = "remove `#[async_trait]`: the methods of `CacheTier` are native async methods, and boxing changes their \
                signatures";
    let below = format!("#[async_trait::async_trait(?Send)] {DISK}");
    assert_eq!(message("", &below), text);
    let rewritten = "impl CacheTier<str, u8> for D { fn get<'life0, 'async_trait>() where Self: 'async_trait {} }";
    assert_eq!(message("", rewritten), text);
    // What it has to do with the impl is not kept: rustc would have more to say about it.
    let output = |item: &str| expand(TokenStream::new(), tokens(item)).to_string();
    assert!(!output(&below).contains("async_trait ::"), "{}", output(&below));
    assert!(output(&below).contains("async fn get"));
    assert!(!output(rewritten).contains("life0"), "{}", output(rewritten));
}

#[test]
fn faulty_arguments_are_refused() {
    const ACCEPTED: &str = "(accepted: `name`, `level`, `target`, `remote`, `fields`, `immediate`, `crate`)";
    for (args, text) in [
        ("nmae = \"disk\"", format!("unknown argument `nmae`; did you mean `name`? {ACCEPTED}")),
        ("colour = \"red\"", format!("unknown argument `colour` {ACCEPTED}")),
        ("name = disk", "`name` takes a string literal, for example `name = \"disk\"`".into()),
        ("name = concat!(\"a\", \"b\")", "`name` takes a string literal, for example `name = \"disk\"`".into()),
        ("name", "`name` takes a string literal, for example `name = \"disk\"`".into()),
        ("name =", "`name` takes a string literal, for example `name = \"disk\"`".into()),
        ("name(\"disk\")", "`name` takes a string literal, for example `name = \"disk\"`".into()),
        ("name = 'd'", "`name` takes a string literal, for example `name = \"disk\"`".into()),
        ("name = \"\"", "`name` must not be empty; remove it to get `name = \"disk_tier\"`".into()),
        ("name = \"a\", name = \"b\"", "`name` is given twice; keep one".into()),
        ("name = \"a\" level = \"info\"", "expected `,` in front of `level`".into()),
        ("\"disk\"", format!("expected an argument, for example `name = \"disk\"` {ACCEPTED}")),
        ("?x", format!("expected an argument, for example `name = \"disk\"` {ACCEPTED}")),
        (", name = \"a\"", "an argument is missing in front of this comma".into()),
        ("name = \"a\"s", "`name` takes a string literal, for example `name = \"disk\"`".into()),
        ("name = \"a\\nb\"", "`name` must not contain control characters".into()),
        ("target = \"a\\0\"", "`target` must not contain control characters".into()),
        ("remote(system = \"a\\tb\")", "`system` must not contain control characters".into()),
        ("fields(\"a\\rb\" = 1)", "the name of a field must not contain control characters".into()),
        ("fields(\"a\"u8 = 1)", "expected a field, for example `shard = self.shard()`, found `\"a\"u8`".into()),
        ("target = \"\"", "`target` must not be empty".into()),
        ("level = TRACE", "`level` takes a string literal, for example `level = \"trace\"`".into()),
        ("level = \"Trace\"", "unknown level \"Trace\"; did you mean \"trace\"? (`level` takes \"trace\", \"debug\", \"info\", \"warn\" or \"error\")".into()),
        ("immediate = true", "`immediate` stands alone; remove its value".into()),
        ("remote", "`remote` takes a list in parentheses, for example `remote(system = \"redis\")`".into()),
        ("remote()", "`remote` needs the name of the system, for example `remote(system = \"redis\")`".into()),
        ("remote(address = 1)", "`remote` needs the name of the system, for example `remote(system = \"redis\")`".into()),
        ("remote(system = redis)", "`system` takes a string literal, for example `system = \"redis\"`".into()),
        ("remote(system = \"\")", "`system` must not be empty".into()),
        ("crate = \"cachet\"", "`crate` takes a path that starts with `::`, `crate` or `$crate`, for example `crate = ::cachet`".into()),
        ("crate = rt::x", "`crate` takes a path that starts with `::`, `crate` or `$crate`, for example `crate = ::rt::x`".into()),
        ("crate = super::x", "`crate` takes a path that starts with `::`, `crate` or `$crate`, for example `crate = ::cachet`".into()),
        ("fields", "`fields` takes a list in parentheses, for example `fields(shard = self.shard())`".into()),
        ("fields()", "`fields` is empty; write `fields(name = value)` or remove it".into()),
        ("fields(x)", "the field `x` needs a value: write `x = self.x`".into()),
        ("fields(self.x)", "a field needs a name and a value: write `name = value`".into()),
        ("fields(%self.x)", "a field needs a name in front of its value: write `name = %…`".into()),
        ("fields(x: self.x)", "write `=` instead of `:`, for example `x = self.x`".into()),
        ("name: \"disk\"", "write `=` instead of `:`, for example `name = \"disk\"`".into()),
        ("fields(x =)", "the field `x` needs a value behind this".into()),
        ("fields(x = ?)", "the field `x` needs a value behind this".into()),
        ("fields(x = self.)", "an expression cannot end with `.`".into()),
        ("fields(x = + 1)", "an expression cannot begin with `+`".into()),
        ("fields(x = self.a() y = 1)", "expected `,` or an operator in front of `y`".into()),
        ("remote(system = \"a\", address = self.)", "an expression cannot end with `.`".into()),
        ("fields(x = 1, \"x\" = 2)", "the field `x` is given twice; keep one".into()),
        ("fields(cache.hit = 1)", "the field `cache.hit` is recorded by the library itself; choose another name".into()),
        ("fields(\"message\" = 1)", "the field `message` is recorded by the library itself; choose another name".into()),
        ("fields(db.system.name = 1)", "the field `db.system.name` is recorded by the library itself; it is set with `remote(system = \"…\")`".into()),
        ("fields(\"\" = 1)", "the name of a field must not be empty".into()),
        ("skip_all", "unknown argument `skip_all`: `#[cache_tier]` never records keys or values, so there is nothing to skip".into()),
        ("ttl = 3, name = \"a\"", "unknown argument `ttl`: it is set when the cache is built: `Tier::new(…).ttl(…)`".into()),
    ] {
        assert_eq!(message(args, DISK), text, "{args}");
        assert!(added(args, DISK).contains("InstrumentedTier"), "{args}");
    }
}

#[test]
fn at_most_sixteen_fields() {
    let fields = |count: usize| (0..count).map(|at| format!("f{at} = {at}")).collect::<Vec<_>>().join(", ");
    assert_eq!(messages(&format!("fields({})", fields(16)), DISK), Vec::<String>::new());
    assert_eq!(message(&format!("fields({})", fields(20)), DISK), "a tier has at most 16 fields of its own");
}

#[test]
fn several_faults_are_reported_at_once() {
    let args = "nmae = \"disk\", level = \"loud\", skip_all, fields = 3, ?, crate = x, remote(host = 1)";
    assert_eq!(messages(args, &format!("#[async_trait] {DISK}")).len(), 9);
}

#[test]
fn half_typed_body_is_kept() {
    let item = "impl CacheTier<str, u8> for D { async fn get(&self, { foo.  }";
    let item = item.replace("(&self, {", "(&self, )");
    assert!(added("", &item).contains("InstrumentedTier"));
    assert_eq!(added("", "impl CacheTier<str, u8> for D"), "");
}

#[test]
fn random_tokens_never_panic_and_the_item_is_kept() {
    let mut fuzz = Fuzz::new(7);
    let args = tokens(
        "name = \"disk\", level = \"trace\", remote(system = \"redis\", address = self.addr()), \
         fields(shard = self.shard(), a.b = %f::<A, B>(|x, y| x)), immediate, crate = ::cachet",
    );
    let item = tokens(
        "#[cfg(a)] impl<'a, T: Fn() -> u8, const N: usize> CacheTier<str, Vec<T>> for a::Disk<'a, T, { N }> \
         where T: Send { async fn get(&self, key: &str) {} }",
    );
    for round in 0..rounds() {
        let args = if round % 3 == 0 { fuzz.stream(3) } else { fuzz.mutate(args.clone()) };
        let item = if round % 3 == 1 { fuzz.stream(3) } else { fuzz.mutate(item.clone()) };
        let output = expand(args, item.clone());
        // Comparing texts costs more than expanding.
        if round % 16 == 0 && !["async_trait", "cache_tier"].iter().any(|name| item.to_string().contains(name)) {
            assert!(starts_with(&output, &item), "{item}");
        }
        assert!(output.into_iter().count() >= item.clone().into_iter().count(), "{item}");
    }
}

#[test]
fn expressions_keep_their_commas() {
    for expression in [
        "self.shard::<A, B>()",
        "Vec::<(A, B)>::new().len()",
        "<A as B<C, D>>::E",
        "self.map(|a, b| a)",
        "|a, b| a + b",
        "x as Map<A, B>",
        "a < b",
        "a.0 > b | c",
        "if a { b } else { c }",
        "match self.x { A => 1, B => 2 }",
        "&mut *self.x",
        "vec![1, 2]",
        "..",
        "self.x?",
        "Foo { a: 1, b }.c",
        "unsafe { x }",
        "async move { x }",
        "x as u8 as u16",
        "self.0 || self.1",
        "self.0 && !self.1 || self.2",
        "a || b | c",
        "|| 3",
        "move |a: Map<A, B>, b| -> Map<A, B> { a }",
        "for<'a> |x: &'a u8, y: u8| -> u8 { y }",
        "&raw const self.x",
        "&raw mut *self.x",
        "raw",
        "&raw",
        "size_of::<&'a str>()",
        "size_of::<fn(u8, u8) -> u8>()",
        "f as extern \"C\" fn()",
        "f as unsafe extern \"C\" fn(A, B) -> Map<A, B>",
        "f as for<'a> fn(&'a A, B)",
        "x as *const Map<A, B>",
        "x as &dyn Fn(A) -> Map<A, B>",
        "a as u32 <= b",
        "1 << 2",
        "a >> 2 >= 3",
        "'a: loop { break 'a 3 }",
        "for x in y { }",
        "for (a, b) in y.map::<A, B>() { }",
        "while let Some(x) = y { }",
        "if let 1..=5 = x { 1 } else if y { 2 } else { 3 }",
        "if let A::<B, C>::D | E = x && y { 1 } else { 2 }",
        "loop { }",
        "const { 1 }",
        "1..2",
        "..=3",
        "a..",
        "return",
        "break 'a x",
        "#[allow(b)] { c }",
        "<[A; 3] as B<C, D>>::e::<F, G>(h)",
        "::a::b::<C, D>(e)",
        "a!{b, c}.d",
        "a![b, c]",
        "a.0.1",
        "a.await?.b",
        "a - -b",
        "-a",
        "*a = b",
        "a += b",
        "a % b ^ c",
        "\"a\".len()",
        "b'x'",
        "1.0e3",
        "unsafe { &mut *a }",
        "Self::A { b, c }",
        "r#type",
        "a.r#type::<B, C>()",
    ] {
        let args = format!("fields(a = {expression}, b = 1)");
        assert_eq!(messages(&args, DISK), Vec::<String>::new(), "{expression}");
        assert!(added(&args, DISK).contains("[\"a\" , \"b\"]"), "{expression}");
    }
}
