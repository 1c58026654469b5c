//! The libraries under test: what each is asked to do, and how one says what it has.
//!
//! Here are cachet and the engine below it, which are always measured. Libraries that a user might pick instead are in the
//! package `benches/peers`, so that neither this workspace's lock file nor its `--all-features` knows them.

use crate::keys::{KeyForm, Keys};
use crate::measure::Loop;
use crate::replay::Replay;

pub(crate) mod cachet;
mod quick_cache;

pub use self::cachet::Cachet;
pub use self::quick_cache::QuickCache;

/// A library, or nothing of the kind: then why.
pub type Offer<T> = Result<T, &'static str>;

/// A library under test.
pub trait Peer: 'static {
    /// What tables call it.
    const NAME: &'static str;

    /// The package it is published in; `None` for a package of this workspace.
    const PACKAGE: Option<&'static str>;

    /// Prepares an operation on a cache of its own that holds [`ENTRIES`](crate::keys::ENTRIES) entries, or says why
    /// the library does not have it.
    ///
    /// # Errors
    ///
    /// The reason, for a footnote.
    fn offer<K: KeyForm + ?Sized>(operation: Operation, keys: Keys) -> Offer<Loop>;

    /// A cache of that capacity for the replay of a trace, or why there is none.
    ///
    /// # Errors
    ///
    /// The reason, for a footnote.
    fn replay(capacity: usize) -> Offer<Replay>;
}

/// A [`Peer`] as a value, to be put in a list.
#[derive(Clone, Copy, Debug)]
pub struct Entrant {
    /// What tables call it.
    pub name: &'static str,
    /// The package it is published in; `None` for a package of this workspace.
    pub package: Option<&'static str>,
    pub(crate) numbers: fn(Operation, Keys) -> Offer<Loop>,
    pub(crate) texts: fn(Operation, Keys) -> Offer<Loop>,
    pub(crate) replay: fn(usize) -> Offer<Replay>,
}

impl Entrant {
    /// The library of that type.
    pub const fn of<P: Peer>() -> Self {
        Self { name: P::NAME, package: P::PACKAGE, numbers: P::offer::<u64>, texts: P::offer::<str>, replay: P::replay }
    }
}

/// Who is always measured.
pub const RESIDENTS: [Entrant; 2] = [Entrant::of::<QuickCache>(), Entrant::of::<Cachet>()];

/// What every library is asked for. What only cachet has, above all listeners, is in [`scenarios`](crate::scenarios).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A lookup that finds an entry.
    Hit,
    /// A lookup that finds none.
    Miss,
    /// An insert in place of an entry.
    InsertOver,
    /// A hit where entries have a time to live.
    HitTtl,
    /// A hit that a handler counts.
    HitCounted,
    /// A hit with logs on and no subscriber.
    HitLogged,
    /// A hit with logs on and a subscriber that accepts and discards.
    HitAccepted,
    /// A compute method that finds an entry.
    GetOrInsertHit,
    /// The same, where one closure computes a key for all.
    GetOrInsertHitProtected,
    /// A compute method that finds none, with a closure that is ready at once.
    GetOrInsertMiss,
    /// The same, where one closure computes a key for all.
    GetOrInsertMissProtected,
    /// A hit of the first of two tiers.
    FirstTierHit,
    /// A hit of the second of two tiers, which is copied into the first.
    SecondTierHit,
    /// A hundred keys looked up together.
    GetMany,
    /// An insert, and the removal of that entry.
    InsertInvalidate,
    /// Reads and writes, 90 to 10, over keys of skewed popularity.
    Mixed,
    /// The same by two threads at once.
    MixedByTwo,
    /// Many tasks that want the same missing key.
    Stampede,
}

impl Operation {
    /// All, in the order of the table.
    pub const ALL: [Self; 18] = [
        Self::Hit,
        Self::Miss,
        Self::InsertOver,
        Self::HitTtl,
        Self::HitCounted,
        Self::HitLogged,
        Self::HitAccepted,
        Self::GetOrInsertHit,
        Self::GetOrInsertHitProtected,
        Self::GetOrInsertMiss,
        Self::GetOrInsertMissProtected,
        Self::FirstTierHit,
        Self::SecondTierHit,
        Self::GetMany,
        Self::InsertInvalidate,
        Self::Mixed,
        Self::MixedByTwo,
        Self::Stampede,
    ];

    /// What tables call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::InsertOver => "insert over",
            Self::HitTtl => "hit, ttl",
            Self::HitCounted => "hit, counting handler",
            Self::HitLogged => "hit, logs, no subscriber",
            Self::HitAccepted => "hit, logs, accepted and discarded",
            Self::GetOrInsertHit => "get_or_insert hit",
            Self::GetOrInsertHitProtected => "get_or_insert hit, protected",
            Self::GetOrInsertMiss => "get_or_insert miss",
            Self::GetOrInsertMissProtected => "get_or_insert miss, protected",
            Self::FirstTierHit => "two tiers, first-tier hit",
            Self::SecondTierHit => "two tiers, second-tier hit, promoted",
            Self::GetMany => "get_many of 100",
            Self::InsertInvalidate => "insert and invalidate",
            Self::Mixed => "90/10 over Zipf keys, one thread",
            Self::MixedByTwo => "90/10 over Zipf keys, two threads",
            Self::Stampede => "64 tasks, one missing key",
        }
    }

    /// What a library's own figure is compared with, the operation and whose it is; `None` for a figure that stands for
    /// itself.
    ///
    /// cachet is compared with the engine where the engine has the same operation, and with its own plainer operation
    /// otherwise. All others are compared with cachet.
    pub(crate) fn reference(self, library: &str) -> Option<(Self, &'static str)> {
        match (self, library) {
            (Self::MixedByTwo, QuickCache::NAME) => Some((Self::Mixed, QuickCache::NAME)),
            (_, QuickCache::NAME) => None,
            (
                Self::HitTtl
                | Self::HitCounted
                | Self::HitLogged
                | Self::HitAccepted
                | Self::FirstTierHit
                | Self::SecondTierHit
                | Self::GetOrInsertHit,
                Cachet::NAME,
            ) => Some((Self::Hit, Cachet::NAME)),
            (Self::GetOrInsertHitProtected, Cachet::NAME) => Some((Self::GetOrInsertHit, Cachet::NAME)),
            // The engine's own always protects.
            (Self::GetOrInsertMiss, Cachet::NAME) => Some((Self::GetOrInsertMissProtected, QuickCache::NAME)),
            (Self::MixedByTwo, Cachet::NAME) => Some((Self::Mixed, Cachet::NAME)),
            (_, Cachet::NAME) => Some((self, QuickCache::NAME)),
            (_, _) => Some((self, Cachet::NAME)),
        }
    }
}
