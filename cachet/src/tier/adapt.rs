//! What stands between the methods of an inherent impl and [`CacheTier`]: `#[cache_tier(key = …, value = …)]`.
//!
//! The traits have one caller, the expansion of the attribute, and are there for their messages: they are what a user
//! reads whose method has a type that a tier cannot work with.

#![allow(missing_docs)]

use std::error::Error as StdError;

pub use crate::{CacheEntry, CacheTier, Error, InsertOutcome};

/// The key as a method takes it by reference.
#[diagnostic::on_unimplemented(
    message = "the keys of this tier are `{K}`, not `{Self}`",
    label = "expected `&{K}`",
    note = "`key = …` in `#[cache_tier(…)]` says what the keys are"
)]
pub trait BorrowedKey<K: ?Sized> {
    fn of(key: &K) -> &Self;
}

#[diagnostic::do_not_recommend]
impl<K: ?Sized> BorrowedKey<K> for K {
    #[inline]
    fn of(key: &K) -> &Self {
        key
    }
}

/// The key as `insert` takes it when not by reference.
#[diagnostic::on_unimplemented(
    message = "the keys of this tier are stored as `{O}`, not as `{Self}`",
    label = "expected `{O}`",
    note = "`insert` takes the key as `{O}` or by reference"
)]
pub trait OwnedKey<O> {
    fn of(key: O) -> Self;
}

#[diagnostic::do_not_recommend]
impl<O> OwnedKey<O> for O {
    #[inline]
    fn of(key: O) -> Self {
        key
    }
}

/// What `insert` takes: the entry, or its value.
#[diagnostic::on_unimplemented(
    message = "the values of this tier are `{V}`, not `{Self}`",
    label = "expected `{V}` or `CacheEntry<{V}>`",
    note = "`value = …` in `#[cache_tier(…)]` says what the values are"
)]
pub trait Stored<V>: Sized {
    /// `None` where the entry would lose the time to live that it came with, and be kept for ever.
    fn of(entry: CacheEntry<V>) -> Option<Self>;
}

#[diagnostic::do_not_recommend]
impl<V> Stored<V> for CacheEntry<V> {
    #[inline]
    fn of(entry: Self) -> Option<Self> {
        Some(entry)
    }
}

#[diagnostic::do_not_recommend]
impl<V> Stored<V> for V {
    #[inline]
    fn of(entry: CacheEntry<V>) -> Option<Self> {
        (!entry.has_ttl()).then(|| entry.into_value())
    }
}

/// What `get` returns.
#[diagnostic::on_unimplemented(
    message = "`get` returns `{Self}`, which is no lookup of `{V}`",
    label = "expected `Result<Option<{V}>, E>`",
    note = "`get` returns `Result<Option<{V}>, E>`, or `Option<{V}>` if it cannot fail; a `CacheEntry<{V}>` may stand for the value"
)]
pub trait Found<V> {
    type Error;

    #[allow(clippy::missing_errors_doc)]
    fn found(self) -> Result<Option<CacheEntry<V>>, Self::Error>;
}

#[diagnostic::do_not_recommend]
impl<V, T: Into<CacheEntry<V>>, E> Found<V> for Result<Option<T>, E> {
    type Error = E;

    #[inline]
    fn found(self) -> Result<Option<CacheEntry<V>>, E> {
        Ok(self?.map(Into::into))
    }
}

#[diagnostic::do_not_recommend]
impl<V, T: Into<CacheEntry<V>>> Found<V> for Option<T> {
    type Error = Error;

    #[inline]
    fn found(self) -> Result<Option<CacheEntry<V>>, Error> {
        Ok(self.map(Into::into))
    }
}

/// What a method fails with.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the error of a tier",
    label = "not an error",
    note = "implement `std::error::Error` for `{Self}`, which also has to be `Send + Sync + 'static`"
)]
pub trait Failure {
    fn failure(self) -> Error;
}

#[diagnostic::do_not_recommend]
impl<E: Into<Box<dyn StdError + Send + Sync>>> Failure for E {
    #[inline]
    fn failure(self) -> Error {
        Error::new(self)
    }
}

pub use std::borrow::{Borrow, ToOwned};

/// What the methods of [`CacheTier`] return.
pub type Answer<T> = Result<T, Error>;

/// What `insert` returns.
#[diagnostic::on_unimplemented(
    message = "`insert` returns `{Self}`",
    label = "expected `Result<(), E>`",
    note = "`insert` returns `Result<(), E>`, or nothing if it cannot fail; an `InsertOutcome` may stand for the `()`"
)]
pub trait Inserted {
    type Error;
    fn inserted(self) -> Result<InsertOutcome, Self::Error>;
}

#[diagnostic::do_not_recommend]
impl<E> Inserted for Result<(), E> {
    type Error = E;
    fn inserted(self) -> Result<InsertOutcome, E> {
        self.map(|()| InsertOutcome::Accepted)
    }
}
#[diagnostic::do_not_recommend]
impl<E> Inserted for Result<InsertOutcome, E> {
    type Error = E;
    fn inserted(self) -> Self {
        self
    }
}
#[diagnostic::do_not_recommend]
impl Inserted for () {
    type Error = Error;
    fn inserted(self) -> Result<InsertOutcome, Error> {
        Ok(InsertOutcome::Accepted)
    }
}
#[diagnostic::do_not_recommend]
impl Inserted for InsertOutcome {
    type Error = Error;
    fn inserted(self) -> Result<Self, Error> {
        Ok(self)
    }
}

/// What `invalidate` returns.
#[diagnostic::on_unimplemented(
    message = "`invalidate` returns `{Self}`",
    label = "expected `Result<(), E>`",
    note = "`invalidate` returns `Result<(), E>`, or nothing if it cannot fail"
)]
pub trait Invalidated {
    type Error;
    fn invalidated(self) -> Result<(), Self::Error>;
}
#[diagnostic::do_not_recommend]
impl<E> Invalidated for Result<(), E> {
    type Error = E;
    fn invalidated(self) -> Self {
        self
    }
}
#[diagnostic::do_not_recommend]
impl Invalidated for () {
    type Error = Error;
    fn invalidated(self) -> Result<(), Error> {
        Ok(())
    }
}

/// What `clear` returns.
#[diagnostic::on_unimplemented(
    message = "`clear` returns `{Self}`",
    label = "expected `Result<(), E>`",
    note = "`clear` returns `Result<(), E>`, or nothing if it cannot fail"
)]
pub trait Cleared {
    type Error;
    fn cleared(self) -> Result<(), Self::Error>;
}
#[diagnostic::do_not_recommend]
impl<E> Cleared for Result<(), E> {
    type Error = E;
    fn cleared(self) -> Self {
        self
    }
}
#[diagnostic::do_not_recommend]
impl Cleared for () {
    type Error = Error;
    fn cleared(self) -> Result<(), Error> {
        Ok(())
    }
}

/// What `len` returns.
#[diagnostic::on_unimplemented(
    message = "`len` returns `{Self}`",
    label = "expected `Result<u64, E>`",
    note = "`len` returns `Result<u64, E>`, or `u64` if it cannot fail; it may also be `usize`, and an `Option` of either"
)]
pub trait Counted {
    type Error;
    fn counted(self) -> Result<Option<u64>, Self::Error>;
}
macro_rules! counted {
    ($($count:ty, $of:expr;)*) => {$(
        #[diagnostic::do_not_recommend]
        impl Counted for $count {
            type Error = Error;
            fn counted(self) -> Result<Option<u64>, Error> {
                let of: fn($count) -> Option<u64> = $of;
                Ok(of(self))
            }
        }
        #[diagnostic::do_not_recommend]
        impl<E> Counted for Result<$count, E> {
            type Error = E;
            fn counted(self) -> Result<Option<u64>, E> {
                let of: fn($count) -> Option<u64> = $of;
                self.map(of)
            }
        }
    )*};
}
counted! {
    u64, Some;
    Option<u64>, |n| n;
    usize, |n| u64::try_from(n).ok();
    Option<usize>, |n| n.and_then(|n| u64::try_from(n).ok());
}

/// A tier without `clear`.
pub fn no_clear() -> Answer<()> {
    Err(Error::msg("it has no `clear` method").with_type("unsupported"))
}

/// An entry with a time to live for an `insert` that takes values.
pub fn cannot_keep() -> Answer<InsertOutcome> {
    Ok(InsertOutcome::Rejected)
}
