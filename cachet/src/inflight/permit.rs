//! What orders an insert or a removal in one tier among all others of the same key.

use std::task::{Context, Poll, ready};

use super::lease::{Lease, StoreGuard};
use super::turns::{Turn, TurnGuard, Write};
use crate::bounds::Key;
use crate::error::Error;

/// How an insert came about.
pub(crate) enum Origin<'f, K: Key + ?Sized, V> {
    /// The user inserted it. There is no write to order it by if it is the only step in the only tier, and overtakes nothing.
    Written(Option<&'f Write<'f, K, V>>),
    /// A loader returned it.
    Loaded(&'f Lease<'f, K, V>),
    /// A later tier had it.
    Promoted(&'f Lease<'f, K, V>),
    /// A later tier had it, newer than what this one has.
    Refreshed(&'f Lease<'f, K, V>),
}

/// The right to change a key in one tier now.
pub(crate) enum Permit<'f, K: Key + ?Sized, V> {
    /// Nothing else is going on.
    Free,
    /// The write's turn has come.
    Turn(TurnGuard<'f, 'f, K, V>),
    /// A store in a tier that has to be waited for.
    Store(#[allow(dead_code, reason = "ends the store when it is dropped")] StoreGuard<'f, K, V>),
    /// A store in a tier that answers at once: to be [committed](Lease::commit) under the lease, which says whether the value
    /// is the newest.
    Lease(&'f Lease<'f, K, V>, bool),
    /// Something newer has been written.
    Void,
}

impl<K: Key + ?Sized, V> Clone for Origin<'_, K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K: Key + ?Sized, V> Copy for Origin<'_, K, V> {}

impl<'f, K: Key + ?Sized, V> Origin<'f, K, V> {
    /// Waits until the key may be changed in a tier.
    ///
    /// # Errors
    ///
    /// If the operation would have to wait for one that it is part of.
    pub(crate) fn poll_permit(
        self,
        tier: usize,
        immediate: bool,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Permit<'f, K, V>, Error>> {
        let (lease, newest) = match self {
            Self::Written(None) => return Poll::Ready(Ok(Permit::Free)),
            Self::Written(Some(write)) => {
                return Poll::Ready(Ok(match ready!(write.poll_turn(tier, cx))? {
                    Turn::Granted => Permit::Turn(TurnGuard::new(write, tier)),
                    Turn::Void => Permit::Void,
                }));
            }
            Self::Loaded(lease) => {
                if !ready!(lease.poll_turn(tier, cx)) {
                    return Poll::Ready(Ok(Permit::Void));
                }
                (lease, true)
            }
            Self::Promoted(lease) => (lease, false),
            Self::Refreshed(lease) => (lease, true),
        };
        Poll::Ready(Ok(if immediate {
            Permit::Lease(lease, newest)
        } else {
            lease.store(tier, newest).map_or(Permit::Void, Permit::Store)
        }))
    }
}

impl<K: Key + ?Sized, V> Origin<'_, K, V> {
    /// The insert does not come to its turn in a tier. A write that has happened in another one may so leave an outdated entry
    /// here.
    pub(crate) fn give_up(self, tier: usize, key: K::Owned) {
        if let Self::Written(Some(write)) = self
            && write.has_started()
        {
            write.owe(tier, key);
        }
    }
}

impl<K: Key + ?Sized, V> Permit<'_, K, V> {
    /// Whether the user wrote it, rather than that it is stored for the sake of later reads.
    pub(crate) fn is_write(&self) -> bool {
        matches!(self, Self::Turn(_))
    }

    /// Whether a clear has begun since a write's turn has come.
    pub(crate) fn is_overtaken(&self) -> bool {
        matches!(self, Self::Turn(turn) if turn.is_overtaken())
    }
}
