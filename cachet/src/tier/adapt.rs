//! Adapts the methods of an inherent impl to [`CacheTier`]: `#[cache_tier(key = …, value = …)]`.
//!
//! Only the expansion of the attribute calls these traits, at the types that the user wrote. They are traits for the sake
//! of their messages, which rustc shows for a method whose type a tier cannot use.

#![allow(clippy::missing_errors_doc, reason = "the errors are those of the user's methods")]

pub use std::borrow::{Borrow, ToOwned};
pub use std::convert::identity;

pub use crate::{CacheEntry, CacheTier, InsertOutcome, TierError};

/// What the methods of [`CacheTier`] return.
pub type TierResult<T> = Result<T, TierError>;

/// A key that a method takes by reference.
#[diagnostic::on_unimplemented(
    message = "the keys of this tier are `{K}`, not `{Self}`",
    label = "expected `&{K}`",
    note = "the keys are those of `key = …` in `#[cache_tier(…)]`"
)]
pub trait BorrowedKey<K: ?Sized> {
    /// The key as the method takes it.
    fn of(key: &K) -> &Self;
}

#[diagnostic::do_not_recommend]
impl<K: ?Sized> BorrowedKey<K> for K {
    #[inline]
    fn of(key: &K) -> &Self {
        key
    }
}

/// A key that `insert` takes by value.
#[diagnostic::on_unimplemented(
    message = "`insert` gets the key as `{K}`, not as `{Self}`",
    label = "expected `{K}`",
    note = "`insert` may also take the key by reference, as `get` does"
)]
pub trait OwnedKey<K> {
    /// The key as `insert` takes it.
    fn of(key: K) -> Self;
}

#[diagnostic::do_not_recommend]
impl<K> OwnedKey<K> for K {
    #[inline]
    fn of(key: K) -> Self {
        key
    }
}

/// What `insert` takes and `get` returns: an entry or a value.
#[diagnostic::on_unimplemented(
    message = "the values of this tier are `{V}`, not `{Self}`",
    label = "expected `{V}` or `CacheEntry<{V}>`",
    note = "the values are those of `value = …` in `#[cache_tier(…)]`"
)]
pub trait Stored<V>: Sized {
    /// The entry as `insert` takes it. `None` if the entry has a time to live and is taken as a value: the value
    /// would lose it and never expire.
    fn of(entry: CacheEntry<V>) -> Option<Self>;

    /// Returns the entry of what `get` returned.
    fn into_entry(self) -> CacheEntry<V>;
}

#[diagnostic::do_not_recommend]
impl<V> Stored<V> for CacheEntry<V> {
    #[inline]
    fn of(entry: Self) -> Option<Self> {
        Some(entry)
    }

    #[inline]
    fn into_entry(self) -> Self {
        self
    }
}

#[diagnostic::do_not_recommend]
impl<V> Stored<V> for V {
    #[inline]
    fn of(entry: CacheEntry<V>) -> Option<V> {
        (!entry.has_ttl()).then(|| entry.into_value())
    }

    #[inline]
    fn into_entry(self) -> CacheEntry<V> {
        CacheEntry::new(self)
    }
}

/// What `get` returns.
#[diagnostic::on_unimplemented(
    message = "`get` returns `{Self}`, which cannot report a miss",
    label = "expected `Result<Option<…>, E>`",
    note = "`get` returns `Result<Option<V>, E>`, or `Option<V>` if it cannot fail, with the value or a `CacheEntry` of it",
    note = "a method that has to wait is an `async fn`, or returns `impl Future`"
)]
pub trait Lookup {
    /// The value or the entry.
    type Found;
    /// What it fails with.
    type Error;

    /// Returns the hit, the miss or the error.
    fn into_result(self) -> Result<Option<Self::Found>, Self::Error>;
}

#[diagnostic::do_not_recommend]
impl<T, E> Lookup for Result<Option<T>, E> {
    type Found = T;
    type Error = E;

    #[inline]
    fn into_result(self) -> Self {
        self
    }
}

#[diagnostic::do_not_recommend]
impl<T> Lookup for Option<T> {
    type Found = T;
    type Error = TierError;

    #[inline]
    fn into_result(self) -> Result<Self, TierError> {
        Ok(self)
    }
}

/// What `insert` returns.
#[diagnostic::on_unimplemented(
    message = "`insert` returns `{Self}`, which does not say whether the entry was stored",
    label = "expected `Result<(), E>`",
    note = "`insert` returns `Result<(), E>`, or nothing if it cannot fail, with an `InsertOutcome` for the `()` if it can turn entries away",
    note = "a method that has to wait is an `async fn`, or returns `impl Future`"
)]
pub trait Insertion {
    /// What it fails with.
    type Error;

    /// Returns the outcome or the error.
    fn into_result(self) -> Result<InsertOutcome, Self::Error>;
}

#[diagnostic::do_not_recommend]
impl<E> Insertion for Result<(), E> {
    type Error = E;

    #[inline]
    fn into_result(self) -> Result<InsertOutcome, E> {
        self.map(|()| InsertOutcome::Accepted)
    }
}

#[diagnostic::do_not_recommend]
impl<E> Insertion for Result<InsertOutcome, E> {
    type Error = E;

    #[inline]
    fn into_result(self) -> Self {
        self
    }
}

#[diagnostic::do_not_recommend]
impl Insertion for () {
    type Error = TierError;

    #[inline]
    fn into_result(self) -> Result<InsertOutcome, TierError> {
        Ok(InsertOutcome::Accepted)
    }
}

#[diagnostic::do_not_recommend]
impl Insertion for InsertOutcome {
    type Error = TierError;

    #[inline]
    fn into_result(self) -> Result<Self, TierError> {
        Ok(self)
    }
}

/// What `invalidate` and `clear` return.
#[diagnostic::on_unimplemented(
    message = "`invalidate` and `clear` do not return `{Self}`",
    label = "expected `Result<(), E>`",
    note = "they return `Result<(), E>`, or nothing if they cannot fail",
    note = "a method that has to wait is an `async fn`, or returns `impl Future`"
)]
pub trait Removal {
    /// What they fail with.
    type Error;

    /// Returns the outcome or the error.
    fn into_result(self) -> Result<(), Self::Error>;
}

#[diagnostic::do_not_recommend]
impl<E> Removal for Result<(), E> {
    type Error = E;

    #[inline]
    fn into_result(self) -> Self {
        self
    }
}

#[diagnostic::do_not_recommend]
impl Removal for () {
    type Error = TierError;

    #[inline]
    fn into_result(self) -> Result<(), TierError> {
        Ok(())
    }
}

/// What `len` returns.
#[diagnostic::on_unimplemented(
    message = "`len` returns `{Self}`, which is no number of entries",
    label = "expected `Result<u64, E>`",
    note = "`len` returns `Result<u64, E>`, or `u64` if it cannot fail; `usize` or an `Option` will do as well",
    note = "a method that has to wait is an `async fn`, or returns `impl Future`"
)]
pub trait EntryCount {
    /// What it fails with.
    type Error;

    /// Returns the number or the error.
    fn into_result(self) -> Result<Option<u64>, Self::Error>;
}

macro_rules! counted {
    ($($count:ty: |$given:ident| $entries:expr;)*) => {$(
        #[diagnostic::do_not_recommend]
        impl EntryCount for $count {
            type Error = TierError;

            fn into_result(self) -> Result<Option<u64>, TierError> {
                let $given = self;
                Ok($entries)
            }
        }

        #[diagnostic::do_not_recommend]
        impl<E> EntryCount for Result<$count, E> {
            type Error = E;

            fn into_result(self) -> Result<Option<u64>, E> {
                self.map(|$given| $entries)
            }
        }
    )*};
}

counted! {
    u64: |entries| Some(entries);
    Option<u64>: |entries| entries;
    usize: |entries| u64::try_from(entries).ok();
    Option<usize>: |entries| entries.and_then(|entries| u64::try_from(entries).ok());
}

/// The error of a method.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the error of a tier",
    label = "this error has to be `Into<Box<dyn Error + Send + Sync>>`",
    note = "every `std::error::Error` is, if it is also `Send + Sync + 'static`; so are `String` and `Box<dyn Error + Send + Sync>`"
)]
pub trait Failure {
    /// Converts to the error of a tier.
    fn into_error(self) -> TierError;
}

#[diagnostic::do_not_recommend]
impl<E: Into<TierError>> Failure for E {
    #[cold]
    fn into_error(self) -> TierError {
        self.into()
    }
}

/// Returned in place of calling an `insert` that takes values, for an entry that would lose its time to live.
pub const REJECTED_TTL: TierResult<InsertOutcome> = Ok(InsertOutcome::Rejected);

/// Returned by `clear` of a tier without such a method.
pub fn no_clear() -> TierResult<()> {
    Err(TierError::msg("its type has no method `clear`").with_type("unsupported"))
}
