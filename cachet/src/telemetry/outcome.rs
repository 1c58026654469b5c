//! What can be asked of a cache and of a tier, and how it can end: enums with a fixed text each.

use std::fmt;

/// An enum whose variants have a fixed text, written once.
macro_rules! named {
    ($(#[$meta:meta])* pub enum $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$doc])* $variant,)*
        }

        impl $name {
            /// Every variant, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The text under which telemetry reports it.
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
    /// What a tier was asked to do.
    pub enum TierOperation {
        /// Look an entry up.
        Get = "get",
        /// Tell whether there is an entry.
        Contains = "contains",
        /// Store an entry.
        Insert = "insert",
        /// Remove the entry of a key.
        Invalidate = "invalidate",
        /// Remove all entries.
        Clear = "clear",
        /// Count the entries.
        Len = "len",
        /// Look several entries up.
        GetMany = "get_many",
        /// Store several entries.
        InsertMany = "insert_many",
        /// Remove the entries of several keys.
        InvalidateMany = "invalidate_many",
        /// Nothing: the tier dropped an entry of its own accord.
        Evict = "evict",
    }
}

named! {
    /// How a call of a tier ended.
    pub enum TierOutcome {
        /// The tier had a fresh entry; of several keys, for all of them.
        Hit = "hit",
        /// The tier had no entry; of several keys, for at least one of them.
        Miss = "miss",
        /// The tier had an entry past its time to live, which was removed.
        Expired = "expired",
        /// The tier failed, or panicked.
        Error = "error",
        /// The caller went away before the tier had answered.
        Cancelled = "cancelled",
        /// The tier was not called: it may hold an outdated entry of the key.
        Skipped = "skipped",
        /// The entry was stored, or at least one of several.
        Inserted = "inserted",
        /// The tier, or its insert policy, did not take the entry.
        Rejected = "rejected",
        /// The entry lost against a newer write of the same key and was not stored.
        Superseded = "superseded",
        /// The entry of the key, if there was one, is gone.
        Invalidated = "invalidated",
        /// The tier is empty.
        Cleared = "cleared",
        /// The tier told how many entries it has, or that it cannot tell.
        Counted = "counted",
        /// The tier dropped an entry for want of room.
        Evicted = "evicted",
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
    /// Whether the operation looks an entry up, possibly before it computes one.
    pub const fn is_read(self) -> bool {
        matches!(self, Self::Get | Self::Contains | Self::GetMany) || self.is_compute()
    }

    /// Whether the operation computes what it does not find.
    pub const fn is_compute(self) -> bool {
        matches!(self, Self::GetOrInsert | Self::TryGetOrInsert | Self::OptionallyGetOrInsert)
    }
}

named! {
    /// How an operation ended.
    pub enum OperationOutcome {
        /// A tier had a fresh entry; of several keys, for all of them.
        Hit = "hit",
        /// An entry was served that is due for a [refresh](crate::Tier::refresh_after); or an expired one, since all else
        /// [failed](crate::CacheBuilder::serve_stale_on_error): then the event has the error.
        Stale = "stale",
        /// No tier had an entry; of several keys, for at least one of them.
        Miss = "miss",
        /// The entry was stored in at least one tier.
        Inserted = "inserted",
        /// Every tier turned the entry away.
        Rejected = "rejected",
        /// The closure computed the value.
        Computed = "computed",
        /// The closure had no value to give.
        None = "none",
        /// The entry of the key, if there was one, is gone.
        Invalidated = "invalidated",
        /// All tiers are empty.
        Cleared = "cleared",
        /// The entries were counted.
        Counted = "counted",
        /// The operation returned an error; of several lookups, at least one did.
        Error = "error",
        /// A tier, or the closure, panicked.
        Panicked = "panicked",
        /// The operation's future was dropped before it had finished.
        Cancelled = "cancelled",
        /// A refresh stored a new entry.
        Refreshed = "refreshed",
        /// A refresh was not tried, since the last one brought nothing a short while ago; reported once per
        /// [cool-down](crate::Tier::refresh_cool_down).
        Suppressed = "suppressed",
        /// A refresh lost against a newer write.
        Superseded = "superseded",
    }
}
