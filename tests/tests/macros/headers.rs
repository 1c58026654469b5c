//! The header of the impl: generics, lifetimes, bounds, paths.

use std::borrow::Borrow;
use std::fmt::Debug;
use std::marker::PhantomData;
use std::path::Path;
use std::sync::Arc;

use cachet::{CacheEntry, CacheTier, InsertOutcome, Key, Tier, TierError, Value, cache_tier};
use cachet_tests::ready;

use crate::support::{Shelf, used, used_for};

struct Bounded<T>(Shelf, PhantomData<T>);

#[cache_tier]
impl<T> CacheTier<str, u32> for Bounded<T>
where
    T: Debug + Send + Sync,
    for<'a> &'a T: Debug,
{
    methods!(0: str => u32);
}

#[test]
fn where_clause() {
    assert_eq!(used(Tier::new(Bounded(Shelf::default(), PhantomData::<u8>))), "bounded");
}

struct Inline<T: Debug = u8>(Shelf, PhantomData<T>);

#[cache_tier]
impl<T: Debug + Send + Sync + 'static> CacheTier<str, u32> for Inline<T> {
    methods!(0: str => u32);
}

#[test]
fn bounds_in_line() {
    assert_eq!(used(Tier::new(Inline::<u8>(Shelf::default(), PhantomData))), "inline");
}

struct Sharded<const N: usize, const STRICT: bool = { 1 < 2 }>([Shelf; N]);

#[cache_tier]
impl<const N: usize, const STRICT: bool> CacheTier<str, u32> for Sharded<N, STRICT> {
    async fn get(&self, key: &str) -> Result<Option<CacheEntry<u32>>, TierError> {
        self.0[key.len() % N].get(key)
    }

    async fn insert(&self, key: String, entry: CacheEntry<u32>) -> Result<InsertOutcome, TierError> {
        self.0[key.len() % N].insert(key, entry)
    }

    async fn invalidate(&self, key: &str) -> Result<(), TierError> {
        self.0[key.len() % N].invalidate(key)
    }

    async fn clear(&self) -> Result<(), TierError> {
        self.0.iter().try_for_each(Shelf::clear)
    }
}

#[test]
fn const_generics() {
    assert_eq!(used(Tier::new(Sharded::<3>(Default::default()))), "sharded");
}

struct Fixed<const N: usize>(Shelf);

#[cache_tier]
impl CacheTier<str, u32> for Fixed<{ 1 + 2 }> {
    methods!(0: str => u32);
}

#[test]
fn const_expression_in_the_type() {
    assert_eq!(used(Tier::new(Fixed::<3>(Shelf::default()))), "fixed");
}

struct Borrowing<'a>(Shelf, &'a str);

#[cache_tier]
impl<'a> CacheTier<str, u32> for Borrowing<'a>
where
    'a: 'a,
{
    methods!(0: str => u32);
}

#[test]
fn lifetime_of_the_type() {
    let borrowing = Borrowing(Shelf::default(), "a");
    assert_eq!(borrowing.1, "a");
    assert_eq!(used(Tier::new(borrowing)), "borrowing");
}

struct Elided<'a>(Shelf, &'a str);

#[cache_tier]
impl CacheTier<str, u32> for Elided<'_> {
    methods!(0: str => u32);
}

#[test]
fn elided_lifetime_of_the_type() {
    let elided = Elided(Shelf::default(), "a");
    assert_eq!(elided.1, "a");
    assert_eq!(used(Tier::new(elided)), "elided");
}

struct Interned(Shelf<&'static str>);

#[cache_tier]
impl CacheTier<&'static str, u32> for Interned {
    methods!(0: &'static str => u32);
}

#[test]
fn lifetime_in_the_key() {
    assert_eq!(used_for(Tier::new(Interned(Shelf::default())), &"ada"), "interned");
}

struct Texts(Shelf<String, &'static str>);

#[cache_tier]
impl CacheTier<str, &'static str> for Texts {
    methods!(0: str => &'static str);
}

#[test]
fn lifetime_in_the_value() {
    let cache = cachet::Cache::builder("texts").tier(Tier::new(Texts(Shelf::default()))).build();
    ready(cache.insert("ada", "lovelace")).unwrap();
    assert_eq!(ready(cache.get("ada")).unwrap().map(CacheEntry::into_value), Some("lovelace"));
}

struct Generic<K: Key + ?Sized, V>(Shelf<K::Owned, V>);

#[cache_tier]
impl<K, V> CacheTier<K, V> for Generic<K, V>
where
    K: Key + ?Sized,
    K::Owned: Borrow<K>,
    V: Value,
{
    methods!(0: K => V);
}

#[test]
fn generic_key_and_value() {
    assert_eq!(used(Tier::new(Generic::<str, u32>(Shelf::default()))), "generic");
    assert_eq!(used_for(Tier::new(Generic::<[u8], u32>(Shelf::default())), b"ada".as_slice()), "generic");
    assert_eq!(used_for(Tier::new(Generic::<Path, u32>(Shelf::default())), Path::new("ada")), "generic");
    assert_eq!(used_for(Tier::new(Generic::<(u8, char), u32>(Shelf::default())), &(1, 'a')), "generic");
}

struct Null;

#[cache_tier]
impl<K: Key + ?Sized, V: Value> CacheTier<K, V> for Null {
    async fn get(&self, _: &K) -> Result<Option<CacheEntry<V>>, TierError> {
        Ok(None)
    }

    async fn insert(&self, _: K::Owned, _: CacheEntry<V>) -> Result<InsertOutcome, TierError> {
        Ok(InsertOutcome::Rejected)
    }

    async fn invalidate(&self, _: &K) -> Result<(), TierError> {
        Ok(())
    }

    async fn clear(&self) -> Result<(), TierError> {
        Ok(())
    }
}

#[test]
fn key_and_value_only_in_the_arguments_of_the_trait() {
    let cache = cachet::Cache::<u64, Vec<u8>>::builder("null").tier(Tier::new(Null)).build();
    assert_eq!(ready(cache.insert(1_u64, Vec::new())).unwrap(), InsertOutcome::Rejected);
    assert_eq!(cache.tier_names().collect::<Vec<_>>(), ["null"]);
}

trait Schema {
    type Key: Key + Clone;
    type Value: Value;
}

struct Ages;

impl Schema for Ages {
    type Key = u64;
    type Value = u32;
}

struct Table<S: Schema>(Shelf<S::Key, S::Value>);

#[cache_tier(name = "table")]
impl<S> CacheTier<<S as Schema>::Key, S::Value> for Table<S>
where
    S: Schema<Key: Key + Clone + ToOwned<Owned = S::Key>>,
    S::Key: Borrow<S::Key>,
{
    methods!(0: <S as Schema>::Key => S::Value);
}

#[test]
fn associated_types_as_key_and_value() {
    assert_eq!(used_for(Tier::new(Table::<Ages>(Shelf::default())), &7), "table");
}

#[derive(Default)]
struct Both(Shelf, Shelf<u64>);

#[cache_tier(name = "by_name")]
impl CacheTier<str, u32> for Both {
    methods!(0: str => u32);
}

#[cache_tier(name = "by_number")]
impl CacheTier<u64, u32> for Both {
    methods!(1: u64 => u32);
}

#[test]
fn two_impls_on_one_type() {
    assert_eq!(used(Tier::new(Both::default())), "by_name");
    assert_eq!(used_for::<u64>(Tier::new(Both::default()), &7), "by_number");
}

struct Nested<A, B = Vec<Option<A>>>(Shelf<Vec<u8>, u32>, PhantomData<fn(A) -> B>);

#[cache_tier]
impl<A: Fn(u8) -> Vec<u8> + 'static, B: 'static> CacheTier<Vec<u8>, u32> for Nested<A, Result<B, Vec<Vec<B>>>> {
    methods!(0: Vec<u8> => u32);
}

#[test]
fn nested_generics_and_arrows() {
    let tier = Nested::<fn(u8) -> Vec<u8>, Result<u8, Vec<Vec<u8>>>>(Shelf::default(), PhantomData);
    assert_eq!(used_for(Tier::new(tier), &vec![1]), "nested");
}

mod aliased {
    use cachet::CacheTier as Storage;

    use crate::support::Shelf;

    pub(super) struct Aliased(pub(super) Shelf);

    #[cachet::cache_tier]
    impl Storage<str, u32> for Aliased {
        methods!(0: str => u32);
    }
}

#[test]
fn aliased_trait() {
    assert_eq!(used(Tier::new(aliased::Aliased(Shelf::default()))), "aliased");
}

mod qualified {
    use crate::support::Shelf;

    #[derive(Default)]
    pub(super) struct Qualified(Shelf);

    #[::cachet::cache_tier]
    #[allow(unused_qualifications, reason = "that is the case")]
    impl ::cachet::CacheTier<str, u32> for self::Qualified {
        methods!(0: str => u32);
    }

    #[derive(Default)]
    pub(super) struct Turbofish(Shelf);

    #[cachet::cache_tier()]
    #[allow(unused_qualifications, reason = "that is the case")]
    impl cachet::CacheTier<str, u32> for crate::headers::qualified::Turbofish {
        methods!(0: str => u32);
    }
}

#[test]
fn qualified_paths() {
    assert_eq!(used(Tier::new(qualified::Qualified::default())), "qualified");
    assert_eq!(used(Tier::new(qualified::Turbofish::default())), "turbofish");
}

mod private {
    use cachet::{CacheTier, Tier, TierError, cache_tier};

    use crate::support::Shelf;

    /// The type is private, and so is the key.
    #[derive(Default)]
    struct Vault(Shelf<Secret>);

    #[derive(Clone, PartialEq, Eq, Hash)]
    struct Secret(u8);

    #[cache_tier]
    impl CacheTier<Secret, u32> for Vault {
        methods!(0: Secret => u32);
    }

    pub(super) fn used() -> String {
        crate::support::used_for(Tier::new(Vault::default()), &Secret(1))
    }
}

#[test]
fn private_types() {
    assert_eq!(private::used(), "vault");
}

/// A public type, whose documentation says nothing of what the attribute adds.
#[allow(unreachable_pub, reason = "public is the case")]
pub mod public {
    use crate::support::Shelf;

    /// Public.
    #[derive(Default)]
    pub struct Public(pub(super) Shelf);
}

#[cache_tier]
impl CacheTier<str, u32> for public::Public {
    methods!(0: str => u32);
}

#[test]
fn public_type_of_another_module() {
    assert_eq!(used(Tier::new(public::Public::default())), "public");
}

struct Unsized<T: ?Sized>(Shelf, Box<T>);

#[cache_tier]
impl<T: ?Sized + Debug + Send + Sync + 'static> CacheTier<str, u32> for Unsized<T> {
    methods!(0: str => u32);
}

#[test]
fn unsized_parameter() {
    let tier = Unsized::<dyn Debug + Send + Sync>(Shelf::default(), Box::new(1));
    assert_eq!(format!("{:?}", tier.1), "1");
    assert_eq!(used(Tier::new(tier)), "unsized");
}

trait Backend: Send + Sync {}

#[cache_tier(name = "backend")]
impl CacheTier<str, u32> for dyn Backend {
    async fn get(&self, _: &str) -> Result<Option<CacheEntry<u32>>, TierError> {
        Ok(None)
    }

    async fn insert(&self, _: String, _: CacheEntry<u32>) -> Result<InsertOutcome, TierError> {
        Ok(InsertOutcome::Rejected)
    }

    async fn invalidate(&self, _: &str) -> Result<(), TierError> {
        Ok(())
    }

    async fn clear(&self) -> Result<(), TierError> {
        Ok(())
    }
}

struct Shared(Shelf);

#[cache_tier(name = "static")]
impl CacheTier<str, u32> for &'static Shared {
    methods!(0: str => u32);
}

#[test]
fn reference_as_the_type() {
    assert_eq!(used(Tier::new(&*Box::leak(Box::new(Shared(Shelf::default()))))), "static");
}

#[rustfmt::skip]
mod parenthesised {
    use super::{CacheTier, Shared, cache_tier};

    pub(super) struct Wrapped(pub(super) Shared);

    #[cache_tier]
    #[allow(unused_parens, reason = "that is the case")]
    impl CacheTier<(str), (u32)> for (Wrapped) {
        async fn get(&self, key: &str) -> Result<Option<cachet::CacheEntry<u32>>, cachet::TierError> { self.0.0.get(key) }
        async fn insert(&self, key: String, entry: cachet::CacheEntry<u32>) -> Result<cachet::InsertOutcome, cachet::TierError> { self.0.0.insert(key, entry) }
        async fn invalidate(&self, key: &str) -> Result<(), cachet::TierError> { self.0.0.invalidate(key) }
        async fn clear(&self) -> Result<(), cachet::TierError> { self.0.0.clear() }
    }
}

#[test]
fn types_in_parentheses() {
    assert_eq!(used(Tier::new(parenthesised::Wrapped(Shared(Shelf::default())))), "wrapped");
}

struct Pointed(Arc<Shelf<[u8; 4]>>);

#[cache_tier]
impl CacheTier<[u8; 4], u32> for Pointed {
    methods!(0: [u8; 4] => u32);
}

#[test]
fn array_as_the_key() {
    assert_eq!(used_for(Tier::new(Pointed(Arc::default())), &[1, 2, 3, 4]), "pointed");
}
