// Valid Rust of every kind, for a crate that depends on nothing but cachet. Included by a `lib.rs` per edition, see
// `tests/outside.rs`.

use cachet::telemetry::Histogram;
use cachet::telemetry::{CacheOperationEvent, CacheTierEvent};
use cachet::{Cache, CacheEntry, CacheEventHandler, CacheTier, cache_tier};
use cachet::{InsertOutcome, Tier, TierError};
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

fn ready<T>(future: impl Future<Output = T>) -> T {
    match Box::pin(future).as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("nothing here waits"),
    }
}

/// Items with the names that generated code might use for its locals.
mod taken_names {
    #![allow(non_upper_case_globals, dead_code)]
    use super::*;

    const recorder: u8 = 1;
    static event: u8 = 1;
    const key: u8 = 1;
    const entry: u8 = 1;
    const value: u8 = 1;
    const found: u8 = 1;
    const stored: u8 = 1;
    const error: u8 = 1;
    const duration: u8 = 1;
    const function: u8 = 1;
    static field0: u8 = 1;

    #[derive(CacheEventHandler)]
    #[cache_event(on_tier = seen)]
    pub enum Handler {
        Some(#[cache_event(record(operation))] Histogram, #[cache_event(count(tier, tier = "a"))] AtomicU64),
    }

    impl Handler {
        fn seen(&self, _: &CacheTierEvent<'_>) {}
    }

    pub struct Both(pub u8);

    #[cache_tier(key = str, value = u32, fields(a = self.0), remote(system = "x", address = "a:1"))]
    impl Both {
        async fn get(&self, _: &str) -> Result<Option<u32>, TierError> {
            Ok(None)
        }
        async fn insert(&self, _: &str, _: CacheEntry<u32>) {}
        fn invalidate(&self, _: &str) {}
    }
}

/// Constant expressions of all kinds in the types of fields.
mod types {
    #![allow(dead_code, clippy::all)]
    use super::*;

    const YES: bool = true;
    macro_rules! bytes {
        ($($count:tt)*) => { [u8; $($count)*] };
    }

    #[derive(CacheEventHandler)]
    pub struct Named<const N: usize, T: Send + Sync + 'static = ()>
    where
        [u8; N]: Sized,
    {
        #[cache_event(count(tier))]
        pub calls: AtomicU64,
        a: [u8; if YES { 1 } else { 2 }],
        b: [u8; [1, 2].len()],
        c: [u8; const { 3 }],
        d: [u8; {
            let sum = |x: usize, y: usize| -> usize { x + y };
            let _ = sum;
            match YES {
                true => 1,
                false => 2,
            }
        }],
        e: fn(u8, &'static str) -> Vec<(u8, u8)>,
        f: Box<dyn for<'a> Fn(&'a u8) -> &'a u8 + Send + Sync>,
        g: [T; N],
        pub(crate) h: (u8, u16),
        i: <Vec<u8> as IntoIterator>::Item,
        j: bytes!(1 << 2),
        k: [u8; loop { break 1 }],
        l: [u8; { struct Local(u8); 2 }],
        m: Option<unsafe extern "C" fn(*const u8) -> *mut u8>,
        n: Array<{ YES as usize }, -1>,
        o: [u8; u8::MAX as usize >> 3],
    }

    pub struct Array<const N: usize, const I: i8>;

    #[derive(CacheEventHandler)]
    pub struct Unnamed(
        #[cache_event(count(operation))] pub AtomicU64,
        pub (u8, u16),
        pub(in super::types) u8,
        pub(self) [u8; 1 << 2],
        pub(crate) (u8,),
    );

    pub fn unnamed() -> Unnamed {
        Unnamed(AtomicU64::new(0), (1, 2), 3, [4; 4], (5,))
    }

    #[derive(CacheEventHandler)]
    #[repr(u8)]
    pub enum Variants {
        Shift = 1 << 2,
        Branch(#[cache_event(count(operation))] AtomicU64) = if 1 < 2 { 7 } else { 8 },
        Generic { r#type: u8 } = size_of::<(u8, u8)>() as u8 + 9,
        Block = { let block = 40; block },
    }

    const fn size_of<T>() -> usize {
        std::mem::size_of::<T>()
    }

    macro_rules! handler {
        ($(#[$meta:meta])* $vis:vis struct $name:ident { $($field_vis:vis $field:ident: $ty:ty,)* }) => {
            $(#[$meta])* $vis struct $name { $($field_vis $field: $ty,)* #[cache_event(count(tier))] calls: AtomicU64 }
        };
    }
    handler! {
        #[derive(CacheEventHandler)]
        pub struct Substituted { a: Box<dyn Send + Sync>, pub b: [u8; 2 + 2], pub(crate) c: &'static str, }
    }

    #[derive(CacheEventHandler)]
    #[cache_event(on_tier = <Self as Log>::log, on_operation = Log::log_operation)]
    pub struct Methods;

    pub trait Log {
        fn log(&self, event: &CacheTierEvent<'_>);
        fn log_operation(&self, event: &CacheOperationEvent<'_>);
    }

    impl Log for Methods {
        fn log(&self, _: &CacheTierEvent<'_>) {}
        fn log_operation(&self, _: &CacheOperationEvent<'_>) {}
    }
}

/// Expressions of all kinds in `fields`.
mod expressions {
    #![allow(clippy::all)]
    use super::*;

    pub struct Tiers(pub bool, pub bool, pub u8, pub Option<u8>);

    extern "C" fn exported() {}
    unsafe extern "C" fn dangerous(_: u8, _: u8) {}

    #[cache_tier(
        name = "expressions",
        fields(
            either = self.0 || self.1, both = self.0 && !self.1, bits = self.2 | 1 & 2 ^ 3,
            raw = ?&raw const self.2, size = std::mem::size_of::<&'static str>(), cast = ?(exported as extern "C" fn()),
            bare = ?exported as extern "C" fn(), call = (|| 3)(), two = (|a: u8, b: u8| -> u8 { a | b })(1, 2),
            turbofish = Vec::<(u8, u8)>::with_capacity(1).len(),
        ),
        remote(system = "x", address = if self.0 || self.1 { "a:1" } else { "b:2" })
    )]
    impl CacheTier<str, u32> for Tiers {
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

    #[cache_tier(
        key = str,
        value = u32,
        name = "more",
        fields(
            shift = 1 << self.2, less = self.2 < 3, at_most = self.2 as u16 <= 4, range = ?1..2, open = ?self.2..,
            matched = matches!(self.2, 1 | 2), pattern = if let 1..=5 = self.2 { 1 } else { 2 },
            more = if let Option::<u8>::Some(1) | Some(2) = self.3 { 1 } else if self.0 { 2 } else { 3 },
            labelled = 'outer: loop { break 'outer 3 }, dangerous = ?(dangerous as unsafe extern "C" fn(u8, u8)),
            object = ?(&self.2 as &dyn std::fmt::Debug), negative = -1 - -2, constant = const { 1 + 2 },
            qualified = <[u8; 3] as AsRef<[u8]>>::as_ref(&[1, 2, 3]).len(), block = unsafe { *&raw const self.2 },
        )
    )]
    impl More {
        async fn get(&self, _: &str) -> Option<u32> {
            None
        }
        async fn insert(&self, _: &str, _: u32) {}
        fn invalidate(&self, _: &str) {}
    }

    pub struct More(pub bool, pub bool, pub u8, pub Option<u8>);
}

/// What the user's lints say about what the user has written is not said about what is generated.
mod lints {
    #![deny(deprecated, refining_impl_trait)]
    use super::*;

    #[deprecated]
    #[derive(CacheEventHandler)]
    pub struct Old<H> {
        #[cache_event(forward)]
        inner: Option<H>,
        #[deprecated]
        #[cache_event(count(tier, outcome = "hit"))]
        r#async: AtomicU64,
    }

    #[derive(CacheEventHandler)]
    pub enum OldVariant {
        #[deprecated]
        Old(#[cache_event(count(operation))] AtomicU64),
        New,
    }

    pub struct Methods;

    #[cache_tier(key = u64, value = fn(&u8) -> &u8)]
    impl Methods {
        #[deprecated]
        fn get(&self, _: &u64) -> Option<fn(&u8) -> &u8> {
            None
        }
        #[deprecated(note = "old")]
        fn insert(&self, _: u64, _: fn(&u8) -> &u8) {}
        #[allow(unused)]
        fn invalidate(&self, _: &u64) {}
    }

    pub struct Borrowing;

    #[cache_tier(key = str, value = std::sync::Arc<dyn Fn(&u8) -> &u8 + Send + Sync>)]
    impl Borrowing {
        async fn get(&self, _: &str) -> Option<std::sync::Arc<dyn Fn(&u8) -> &u8 + Send + Sync>> {
            None
        }
        fn insert(&self, _: &str, _: std::sync::Arc<dyn Fn(&u8) -> &u8 + Send + Sync>) {}
        fn invalidate(&self, _: &str) {}
    }
}

/// `self` of two macros in one list.
mod two_selves {
    use super::*;

    macro_rules! tier {
        ($name:ident, $value:expr) => {
            pub struct $name(pub u8);

            #[cache_tier(key = str, value = u32, fields(own = self.0, given = $value, both = self.0 + $value))]
            impl $name {
                fn get(&self, _: &str) -> Option<u32> {
                    None
                }
                fn insert(&self, _: &str, _: u32) {}
                fn invalidate(&self, _: &str) {}
            }
        };
    }
    tier!(Given, self.0);
}

#[test]
fn tiers_and_handlers_work() {
    let calls = Arc::new(types::unnamed());
    let cache = Cache::<str, u32>::builder("outside")
        .tier(Tier::new(expressions::Tiers(true, false, 3, None)))
        .tier(Tier::new(expressions::More(true, false, 3, None)))
        .tier(Tier::new(two_selves::Given(1)))
        .tier(Tier::new(taken_names::Both(1)))
        .event_handler(Arc::clone(&calls))
        .event_handler(types::Methods)
        .event_handler(taken_names::Handler::Some(Histogram::new(), AtomicU64::new(0)))
        .event_handler(lints::OldVariant::New)
        .enable_logs()
        .build();
    ready(cache.insert("ada", 36_u32)).unwrap();
    assert!(ready(cache.get("ada")).unwrap().is_none());
    assert_eq!(calls.0.load(Ordering::Relaxed), 2);
    assert_eq!(cache.tier_names().collect::<Vec<_>>(), ["expressions", "more", "given", "both"]);
    let _ = Tier::<u64, fn(&u8) -> &u8>::new(lints::Methods);
    let _ = Tier::<str, std::sync::Arc<dyn Fn(&u8) -> &u8 + Send + Sync>>::new(lints::Borrowing);
}
