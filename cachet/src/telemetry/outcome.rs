//! Operations and outcomes of caches and tiers: enums with a fixed text for each variant.

use std::fmt;

/// Declares an enum with a fixed text for each variant.
macro_rules! named {
    ($(#[$meta:meta])* pub enum $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$doc])* $variant,)*
        }

        impl $name {
            /// All variants, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Returns the text of the variant in telemetry.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

named! {
    /// The method of the tier that was called.
    pub enum TierOperation {
        /// Look up an entry.
        Get = "get",
        /// Check whether there is an entry.
        Contains = "contains",
        /// Store an entry.
        Insert = "insert",
        /// Remove the entry of a key.
        Invalidate = "invalidate",
        /// Remove all entries.
        Clear = "clear",
        /// Count the entries.
        Len = "len",
        /// Look up several entries.
        GetMany = "get_many",
        /// Store several entries.
        InsertMany = "insert_many",
        /// Remove the entries of several keys.
        InvalidateMany = "invalidate_many",
        /// Not a call: the tier evicted an entry, or removed an expired one.
        Evict = "evict",
        /// Not a call: the [breaker](crate::Tier::breaker) of the tier opened or closed.
        Breaker = "breaker",
    }
}

named! {
    /// How a call of a tier ended.
    pub enum TierOutcome {
        /// The tier had a fresh entry; in a batch, for all keys.
        Hit = "hit",
        /// The tier had no entry; in a batch, for at least one key.
        Miss = "miss",
        /// The tier had an expired entry.
        Expired = "expired",
        /// The tier failed.
        Error = "error",
        /// The tier panicked.
        Panicked = "panicked",
        /// The call was dropped before the tier had answered.
        Cancelled = "cancelled",
        /// The tier was not called: it may hold an outdated entry of the key, or its [breaker](crate::Tier::breaker) is open; in the
        /// latter case the event has the error.
        Skipped = "skipped",
        /// The entry was stored; in a batch, at least one entry.
        Inserted = "inserted",
        /// The tier or its insert policy did not accept the entry.
        Rejected = "rejected",
        /// The entry was not stored because of a newer write of the same key.
        Superseded = "superseded",
        /// The key has no entry any more.
        Invalidated = "invalidated",
        /// The tier is empty.
        Cleared = "cleared",
        /// The tier returned its number of entries, or that it does not count them.
        Counted = "counted",
        /// The tier evicted an entry to make room.
        Evicted = "evicted",
        /// Too many calls of the tier failed in a row: it is not called for a while.
        Opened = "opened",
        /// The tier works again.
        Closed = "closed",
    }
}

named! {
    /// The method of the cache that was called.
    pub enum CacheOperation {
        /// [`Cache::get`](crate::Cache::get)
        Get = "get",
        /// [`Cache::contains`](crate::Cache::contains)
        Contains = "contains",
        /// [`Cache::insert`](crate::Cache::insert)
        Insert = "insert",
        /// [`Cache::invalidate`](crate::Cache::invalidate)
        Invalidate = "invalidate",
        /// [`Cache::clear`](crate::Cache::clear)
        Clear = "clear",
        /// [`Cache::len`](crate::Cache::len)
        Len = "len",
        /// [`Cache::get_or_insert`](crate::Cache::get_or_insert)
        GetOrInsert = "get_or_insert",
        /// [`Cache::try_get_or_insert`](crate::Cache::try_get_or_insert)
        TryGetOrInsert = "try_get_or_insert",
        /// [`Cache::optionally_get_or_insert`](crate::Cache::optionally_get_or_insert)
        OptionallyGetOrInsert = "optionally_get_or_insert",
        /// [`Cache::get_many`](crate::Cache::get_many)
        GetMany = "get_many",
        /// [`Cache::insert_many`](crate::Cache::insert_many)
        InsertMany = "insert_many",
        /// [`Cache::invalidate_many`](crate::Cache::invalidate_many)
        InvalidateMany = "invalidate_many",
        /// A refresh in the background; see [`Tier::refresh_after`](crate::Tier::refresh_after).
        Refresh = "refresh",
        /// Invalidate a key in a tier that may hold an outdated entry of it.
        Repay = "repay",
    }
}

impl CacheOperation {
    /// Returns whether the operation looks up entries; true also for the compute methods.
    pub const fn is_read(self) -> bool {
        matches!(self, Self::Get | Self::Contains | Self::GetMany) || self.is_compute()
    }

    /// Returns whether the operation is a compute method.
    pub const fn is_compute(self) -> bool {
        matches!(self, Self::GetOrInsert | Self::TryGetOrInsert | Self::OptionallyGetOrInsert)
    }
}

named! {
    /// How an operation ended.
    pub enum OperationOutcome {
        /// A tier had a fresh entry; in a batch, for all keys.
        Hit = "hit",
        /// An entry was served that is due for a [refresh](crate::Tier::refresh_after), or an expired entry because all other sources
        /// [failed](crate::CacheBuilder::serve_stale_on_error); in the latter case the event has the error.
        Stale = "stale",
        /// No tier had an entry; in a batch, for at least one key.
        Miss = "miss",
        /// The entry was stored in at least one tier.
        Inserted = "inserted",
        /// Every tier rejected the entry.
        Rejected = "rejected",
        /// The loader returned a value.
        Computed = "computed",
        /// The loader returned `None`.
        None = "none",
        /// The key has no entry any more.
        Invalidated = "invalidated",
        /// All tiers are empty.
        Cleared = "cleared",
        /// The entries were counted.
        Counted = "counted",
        /// The operation returned an error; in a batch lookup, for at least one key.
        Error = "error",
        /// A tier or the loader panicked.
        Panicked = "panicked",
        /// The operation's future was dropped before its completion.
        Cancelled = "cancelled",
        /// A refresh stored a new entry.
        Refreshed = "refreshed",
        /// A refresh was not started because the key is in its [cool-down](crate::Tier::refresh_cool_down); reported once per
        /// cool-down.
        Suppressed = "suppressed",
        /// A refresh was discarded because of a newer write.
        Superseded = "superseded",
    }
}
