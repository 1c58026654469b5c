use quote::quote;

use super::{added, message, messages, rounds, starts_with, tokens};
use crate::fuzz::Fuzz;
use crate::tier::expand;

const ARGS: &str = "key = str, value = Bytes";

const DISK: &str = "impl Disk {
    async fn get(&self, key: &str) -> io::Result<Option<Bytes>> { body }
    pub async fn insert(&self, key: &str, value: Bytes) -> io::Result<()> { body }
    fn invalidate(&self, key: &str) { body }
}";

/// A whole impl with one method replaced, or added.
fn with(method: &str) -> String {
    let name = method.split("fn ").nth(1).and_then(|rest| rest.split(['(', '<']).next()).expect("a method");
    let kept = DISK.lines().filter(|line| !line.contains(&format!("fn {name}("))).collect::<Vec<_>>();
    format!("{} {method} }}", kept.join("\n").trim_end_matches('}').trim_end())
}

/// One with two of the methods, and something else.
fn without(name: &str, other: &str) -> String {
    let kept = DISK.lines().filter(|line| !line.contains(&format!("fn {name}("))).collect::<Vec<_>>();
    format!("{} {other} }}", kept.join("\n").trim_end_matches('}'))
}

fn added_to(item: &str) -> String {
    assert_eq!(messages(ARGS, item), Vec::<String>::new(), "{item}");
    added(ARGS, item)
}

#[test]
fn minimal_impl_gets_an_impl_of_the_trait_and_its_companion() {
    let expected = quote! {
        #[automatically_derived]
        impl ::cachet::__private::adapt::CacheTier<str, Bytes> for Disk {
            async fn get(&self, cachet_key: &str)
                -> ::cachet::__private::adapt::TierResult<::core::option::Option<::cachet::__private::adapt::CacheEntry<Bytes>>>
            {
                match ::cachet::__private::adapt::Lookup::into_result(Self::get(
                    self,
                    ::cachet::__private::adapt::BorrowedKey::of(::cachet::__private::adapt::Borrow::<str>::borrow(cachet_key))
                ).await) {
                    ::core::result::Result::Ok(cachet_found) => ::core::result::Result::Ok(match cachet_found {
                        ::core::option::Option::Some(cachet_value) => ::core::option::Option::Some(
                            ::cachet::__private::adapt::Stored::<Bytes>::into_entry(::cachet::__private::adapt::identity(cachet_value))
                        ),
                        ::core::option::Option::None => ::core::option::Option::None,
                    }),
                    ::core::result::Result::Err(cachet_error) => ::core::result::Result::Err(
                        ::cachet::__private::adapt::Failure::into_error(::cachet::__private::adapt::identity(cachet_error))
                    ),
                }
            }
            async fn insert(
                &self,
                cachet_key: <str as ::cachet::__private::adapt::ToOwned>::Owned,
                cachet_entry: ::cachet::__private::adapt::CacheEntry<Bytes>
            ) -> ::cachet::__private::adapt::TierResult<::cachet::__private::adapt::InsertOutcome> {
                match ::cachet::__private::adapt::Stored::of(::cachet::__private::adapt::identity(cachet_entry)) {
                    ::core::option::Option::Some(cachet_stored) => match ::cachet::__private::adapt::Insertion::into_result(Self::insert(
                        self,
                        ::cachet::__private::adapt::BorrowedKey::of(
                            ::cachet::__private::adapt::Borrow::<str>::borrow(&cachet_key)
                        ),
                        cachet_stored
                    ).await) {
                        ::core::result::Result::Ok(cachet_found) => ::core::result::Result::Ok(cachet_found),
                        ::core::result::Result::Err(cachet_error) => ::core::result::Result::Err(
                            ::cachet::__private::adapt::Failure::into_error(::cachet::__private::adapt::identity(cachet_error))
                        ),
                    },
                    ::core::option::Option::None => ::cachet::__private::adapt::REJECTED_TTL,
                }
            }
            async fn invalidate(&self, cachet_key: &str) -> ::cachet::__private::adapt::TierResult<()> {
                match ::cachet::__private::adapt::Removal::into_result(Self::invalidate(
                    self,
                    ::cachet::__private::adapt::BorrowedKey::of(::cachet::__private::adapt::Borrow::<str>::borrow(cachet_key))
                )) {
                    ::core::result::Result::Ok(cachet_found) => ::core::result::Result::Ok(cachet_found),
                    ::core::result::Result::Err(cachet_error) => ::core::result::Result::Err(
                        ::cachet::__private::adapt::Failure::into_error(::cachet::__private::adapt::identity(cachet_error))
                    ),
                }
            }
            fn clear(&self,)
                -> impl ::core::future::Future<Output = ::cachet::__private::adapt::TierResult<()>> + ::core::marker::Send
            {
                ::core::future::ready(::cachet::__private::adapt::no_clear())
            }
        }
    };
    let added = added_to(DISK).replace(' ', "");
    let (tier, companion) = added.split_once("#[automatically_derived]#[doc(hidden)]").expect("a companion");
    assert_eq!(tier, expected.to_string().replace(' ', ""));
    assert!(companion.contains("impl::cachet::__private::InstrumentedTier<str,Bytes>forDisk{"), "{companion}");
}

#[test]
fn methods_are_called_as_they_are_written() {
    for (method, call) in [
        ("fn get(&self, key: &str) -> Option<u8> {}", "::into_result(Self::get(self,"),
        ("fn get<'a>(&'a self, key: &'a str) -> impl Future<Output = Option<u8>> + 'a {}", ".await)"),
        ("async unsafe_free fn get(&self, _: &str) {}", ".await)"),
        ("fn get(self: &Self, (Wrap::<A, B>(key)): &str) {}", "::into_result(Self::get(self,"),
        (
            "fn insert(&self, key: String, entry: CacheEntry<u8>) {}",
            "OwnedKey::of(::cachet::__private::adapt::identity(cachet_key))",
        ),
        ("fn insert(&self, key: &'static str, entry: V) {}", "Borrow::<str>::borrow(&cachet_key)"),
        ("fn insert(&self, key: HashMap<K, V>, entry: V,) {}", "OwnedKey::of("),
        ("pub(crate) async fn clear(&self) {}", "Removal::into_result(Self::clear(self).await)"),
        ("const fn len(&self) -> u64 where Self: Sized {}", "EntryCount::into_result(Self::len(self))"),
        ("fn len(&self) -> <A as B<{ C }>>::D {}", "EntryCount::into_result(Self::len(self))"),
    ] {
        let added = added_to(&with(method)).replace(' ', "");
        assert!(added.contains(call), "{method}: {added}");
    }
}

#[test]
fn other_items_are_passed_over() {
    let item = with(
        "fn len(&self) -> u64 { fn get() {} } const GET: fn(u8) -> u8 = |get| get; type T = u8; helper!(fn get()); \
         async fn fetch(&self) {} fn new() -> Self {}",
    );
    let added = added_to(&item);
    assert_eq!(added.matches("Self :: get").count(), 1, "{added}");
    assert_eq!(added.matches("Self :: len").count(), 1, "{added}");
}

#[test]
fn conditions_are_shared_by_the_callers() {
    let added = added_to(&with(
        "#[doc = \"d\"] #[cfg(unix)] #[inline] fn len(&self) -> u64 {} #[cfg(not(unix))] async fn len(&self) -> u64 {}",
    ));
    let added = added.replace(' ', "");
    assert!(added.contains("#[cfg(unix)]asyncfnlen"), "{added}");
    assert!(added.contains("#[cfg(not(unix))]asyncfnlen"), "{added}");
    assert!(!added.contains("doc=") && !added.contains("inline"), "{added}");
}

#[test]
fn all_arguments_work_here_too() {
    let args = "name = \"d\", level = \"trace\", value = HashMap<K, Vec<V>>, fields(a = self.a), immediate, key = (A, B), \
                crate = crate::rt";
    let item =
        format!("#[cfg(a)] impl<'a, T: Into<U>, const N: usize> a::Disk<'a, T, {{ N }}> where T: Send, {}", &DISK[9..]);
    assert_eq!(messages(args, &item), Vec::<String>::new());
    let added = added(args, &item).replace(' ', "");
    for part in [
        "#[cfg(a)]#[automatically_derived]impl<'a,T:Into<U>,constN:usize>crate::rt::__private::adapt::CacheTier\
         <(A,B),HashMap<K,Vec<V>>>fora::Disk<'a,T,{N}>whereT:Send,{",
        "InstrumentedTier<(A,B),HashMap<K,Vec<V>>>fora::Disk<'a,T,{N}>whereT:Send,{constIMMEDIATE",
        "name=\"d\"",
        "level=TRACE",
        "record(&(self.a),\"a\"",
    ] {
        assert!(added.contains(part), "{part}: {added}");
    }
    assert!(!added.contains("::cachet::"), "{added}");
}

#[test]
fn types_are_needed_here_and_only_here() {
    const NEEDS: &str = "`#[cache_tier]` on an inherent impl needs";
    const INSTEAD: &str = "or write `impl CacheTier<K, V> for Disk`";
    for (args, text) in [
        (
            "",
            format!("{NEEDS} `key = …` and `value = …`, for example `#[cache_tier(key = str, value = String)]`; {INSTEAD}"),
        ),
        ("key = str", format!("{NEEDS} `value = …` too; {INSTEAD}")),
        ("value = u8, name = \"a\"", format!("{NEEDS} `key = …` too; {INSTEAD}")),
        ("key = \"str\", value = u8", "`key` takes a type, for example `key = str`".into()),
        ("key, value = u8", "`key` takes a type, for example `key = str`".into()),
        ("key(str), value = u8", "`key` takes a type, for example `key = str`".into()),
        ("key = , value = u8", "`key` takes a type, for example `key = str`".into()),
        ("key = 'a, value = u8", "`key` takes a type, for example `key = str`".into()),
        ("key = _, value = u8", "`key` takes a type, for example `key = str`".into()),
        ("key = [_; 2], value = u8", "`key` takes a type, for example `key = str`".into()),
        ("key = impl Clone, value = u8", "`key` takes a type, for example `key = str`".into()),
        ("key = Vec<, value = u8", "`key` takes a type, for example `key = str`".into()),
        ("key = <u8, value = u8", "`key` takes a type, for example `key = str`".into()),
        ("key = str value = u8", "expected `,` in front of `value`".into()),
        ("key = &'static str value = u8", "expected `,` in front of `value`".into()),
        ("key = str; value = u8", "expected `,` in front of `;`".into()),
        ("key: str, value = u8", "write `=` instead of `:`, for example `key = str`".into()),
        ("= str, value = u8", "expected an argument, for example `key = str` (accepted: `key`, `value`, `name`, `level`, `target`, `remote`, `fields`, `immediate`, `crate`)".into()),
        ("key = str, value = u8, crate = ::cachet name = \"x\"", "expected `,` in front of `name`".into()),
        ("key = str, value = u8, fields[a = 1]", "`fields` takes a list in parentheses, for example `fields(shard = self.shard())`".into()),
        ("key = str, value = u8, fields{a = 1}, name = \"x\"", "`fields` takes a list in parentheses, for example `fields(shard = self.shard())`".into()),
        ("key = str, value = u8, name \"x\"", "`name` takes a string literal, for example `name = \"disk\"`".into()),
        ("keys = str, value = u8", "unknown argument `keys`; did you mean `key`? (accepted: `key`, `value`, `name`, `level`, `target`, `remote`, `fields`, `immediate`, `crate`)".into()),
    ] {
        assert_eq!(message(args, DISK), text, "{args}");
        // A stand-in keeps other errors away.
        assert!(added(args, DISK).contains("CacheTier <"), "{args}");
    }
    let on_trait_impl = message("key = str", "impl CacheTier<str, u8> for Disk {}");
    assert_eq!(on_trait_impl, "unknown argument `key`: the key and the value type are those of `impl CacheTier<K, V>`");
}

#[test]
fn missing_methods_are_shown_with_the_types_to_write() {
    for (item, text) in [
        (
            without("get", ""),
            "`impl Disk` has no `get`; write `async fn get(&self, key: &str) -> Result<Option<Bytes>, E>`",
        ),
        (
            without("insert", ""),
            "`impl Disk` has no `insert`; write `async fn insert(&self, key: &str, value: Bytes) -> Result<(), E>`",
        ),
        (
            without("invalidate", "fn new() {}"),
            "`impl Disk` has no `invalidate`; write `async fn invalidate(&self, key: &str) -> Result<(), E>`",
        ),
        (without("get", "fn fetch(&self) {}"), "`impl Disk` has no `get`; did you mean `get` instead of `fetch`?"),
        (without("insert", "fn put(&self) {}"), "`impl Disk` has no `insert`; did you mean `insert` instead of `put`?"),
        (
            without("insert", "fn isnert(&self) {}"),
            "`impl Disk` has no `insert`; did you mean `insert` instead of `isnert`?",
        ),
        (
            without("invalidate", "fn remove(&self) {}"),
            "`impl Disk` has no `invalidate`; did you mean `invalidate` instead of `remove`?",
        ),
        (
            without("get", "fn set(&self) {}"),
            "`impl Disk` has no `get`; write `async fn get(&self, key: &str) -> Result<Option<Bytes>, E>`",
        ),
    ] {
        assert_eq!(message(ARGS, &item), text, "{item}");
        let added = added(ARGS, &item);
        assert!(added.contains("InstrumentedTier") && added.contains("unimplemented"), "{added}");
    }
    assert_eq!(messages(ARGS, "impl Disk {}").len(), 3);
}

#[test]
fn methods_that_cannot_be_called_are_refused() {
    const GET: &str = "write `async fn get(&self, key: &str) -> Result<Option<Bytes>, E>`";
    const INSERT: &str = "write `async fn insert(&self, key: &str, value: Bytes) -> Result<(), E>`";
    for (method, text) in [
        ("fn get(key: &str) {}", format!("`get` has no `&self`; {GET}")),
        ("fn get() {}", format!("`get` has no `&self`; {GET}")),
        (
            "fn get(&mut self, key: &str) {}",
            "`get` cannot take `&mut self`: the cache is shared by many tasks; write `&self`".into(),
        ),
        (
            "fn get(self, key: &str) {}",
            "`get` cannot take `self`: the cache is shared by many tasks; write `&self`".into(),
        ),
        (
            "fn get(mut self, key: &str) {}",
            "`get` cannot take `mut self`: the cache is shared by many tasks; write `&self`".into(),
        ),
        (
            "fn get(self: Arc<Self>, key: &str) {}",
            "`get` cannot take `self:Arc<Self>`: the cache is shared by many tasks; write `&self`".into(),
        ),
        ("fn get(&self) {}", format!("`get` takes `&self` and the key; {GET}")),
        ("fn get(&self, key: &str, ttl: u8) {}", format!("`get` takes `&self` and the key; {GET}")),
        ("fn get(&self, key: String) {}", "`get` takes the key by reference: write `&str`".into()),
        ("fn get(&self, key: &mut str) {}", "`get` takes the key by reference: write `&str`".into()),
        (
            "fn get<Q>(&self, key: &Q) {}",
            "`get` cannot have type parameters: the cache would not know what they are".into(),
        ),
        ("unsafe fn get(&self, key: &str) {}", format!("`get` cannot be `unsafe`: the cache calls it; {GET}")),
        ("fn insert(&self, key: String) {}", format!("`insert` takes `&self`, the key and the value; {INSERT}")),
        ("fn insert(&self, a: A, b: B, c: C) {}", format!("`insert` takes `&self`, the key and the value; {INSERT}")),
        (
            "fn clear(&self, all: bool) {}",
            "`clear` takes nothing but `&self`; write `async fn clear(&self) -> Result<(), E>`".into(),
        ),
        ("fn len() {}", "`len` has no `&self`; write `async fn len(&self) -> Result<u64, E>`".into()),
    ] {
        let item = with(method);
        assert_eq!(message(ARGS, &item), text, "{item}");
        assert!(added(ARGS, &item).contains("unimplemented"), "{item}");
    }
}

#[test]
fn several_faults_are_reported_at_once() {
    let item = "impl Disk { fn fetch(&self) {} fn insert() {} fn clear(self) {} }";
    assert_eq!(messages("nmae = \"a\", key = str, value = u8", item).len(), 5);
}

#[test]
fn random_tokens_never_panic_and_the_item_is_kept() {
    let mut fuzz = Fuzz::new(11);
    let args = tokens("key = str, value = Vec<u8>, name = \"disk\", fields(shard = self.shard()), crate = ::cachet");
    let item = tokens(&format!("#[cfg(a)] impl<'a, T> Disk<'a, T> where T: Send {}", &DISK[9..]));
    for round in 0..rounds() {
        let args = if round % 3 == 0 { fuzz.mutate(args.clone()) } else { args.clone() };
        let item = fuzz.mutate(item.clone());
        let output = expand(args, item.clone());
        if round % 16 == 0 && !["async_trait", "cache_tier"].iter().any(|name| item.to_string().contains(name)) {
            assert!(starts_with(&output, &item), "{item}");
        }
    }
}
