//! What every library is asked for.

macro_rules! operations {
    ($($(#[$doc:meta])+ $operation:ident = $name:literal,)+) => {
        /// An operation that every library is asked for. Those that only cachet has are in [`scenarios`](crate::scenarios).
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Operation {
            $($(#[$doc])+ $operation,)+
        }

        impl Operation {
            /// All operations, in the order of the table.
            pub const ALL: &[Self] = &[$(Self::$operation),+];

            /// Returns the name in tables.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$operation => $name,)+
                }
            }
        }
    };
}

operations! {
    /// A lookup that finds an entry.
    Hit = "hit",
    /// A lookup that finds none.
    Miss = "miss",
    /// An insert that replaces an entry.
    InsertOver = "insert over",
    /// A hit of an entry with a time to live.
    HitTtl = "hit, ttl",
    /// A hit that a handler counts.
    HitCounted = "hit, counting handler",
    /// A hit with logs on and no subscriber.
    HitLogged = "hit, logs, no subscriber",
    /// A hit with logs on and a subscriber that accepts and discards.
    HitAccepted = "hit, logs, accepted and discarded",
    /// A compute method that finds an entry.
    GetOrInsertHit = "get_or_insert hit",
    /// The same, with single flight.
    GetOrInsertHitProtected = "get_or_insert hit, protected",
    /// A compute method that finds none, with a closure that is ready at once.
    GetOrInsertMiss = "get_or_insert miss",
    /// The same, with single flight.
    GetOrInsertMissProtected = "get_or_insert miss, protected",
    /// A hit in the first of two tiers.
    FirstTierHit = "two tiers, first-tier hit",
    /// A hit in the second of two tiers, which is promoted into the first.
    SecondTierHit = "two tiers, second-tier hit, promoted",
    /// A lookup of a hundred keys that have entries.
    GetMany = "get_many of 100",
    /// An insert of a hundred entries that replaces others.
    InsertMany = "insert_many of 100",
    /// An insert, and the removal of that entry.
    InsertInvalidate = "insert and invalidate",
    /// Reads and writes, 90 to 10, over keys of skewed popularity.
    Mixed = "90/10 over Zipf keys, one thread",
    /// The same by two threads at once.
    MixedByTwo = "90/10 over Zipf keys, two threads",
    /// Many tasks that need the same missing key.
    Stampede = "64 tasks, one missing key",
}
