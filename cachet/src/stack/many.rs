//! Several tiers, asked about several keys: one call of a tier for all keys that are still open.

use super::{Found, Lookup, TierStack};
use crate::bounds::{Key, Value};
use crate::inflight::{InFlight, Lease};
use crate::telemetry::Operation;
use crate::tier::erased::{BatchPermit, Call};

impl<'f, 'a: 'f, K: Key + ?Sized, V: Value> TierStack<K, V> {
    /// Asks the tiers, one after the other, for whatever has not been found yet, and promotes what a later one has. The
    /// result has a place for each key.
    pub(crate) async fn ask_many(
        &'a self,
        keys: &'f [&'f K],
        in_flight: &'f InFlight<K, V>,
        operation: Option<&'f Operation<'a>>,
    ) -> Vec<Result<Found<'a, V>, Lookup<'a, V>>> {
        let mut answers: Vec<_> = keys.iter().map(|_| Err(Lookup::from_the_first())).collect();
        let mut open: Vec<usize> = (0..keys.len()).collect();
        let mut leases: Vec<Option<Lease<'f, K, V>>> = Vec::new();
        for (depth, tier) in self.iter().enumerate() {
            if open.is_empty() {
                break;
            }
            if depth == 1 {
                // What is found from here on is promoted, unless a newer write of its key gets in the way.
                leases.resize_with(keys.len(), || None);
                for place in &open {
                    leases[*place] = Some(in_flight.lease(keys[*place]));
                }
            }
            if let (Some(operation), 1..) = (operation, depth) {
                operation.mark_fallback();
            }
            let asked: Vec<&K> = open.iter().map(|place| keys[*place]).collect();
            let call = Call { operation, fallback: depth > 0, lease: None };
            let reads = tier.get_many(&asked, call).resolve().await;
            let mut found = Vec::new();
            for (place, read) in std::mem::take(&mut open).into_iter().zip(reads) {
                let Err(lookup) = &mut answers[place] else { continue };
                match lookup.absorb(read, &tier.facts().identity.name, depth) {
                    Some(entry) => {
                        answers[place] = Ok(entry);
                        found.push(place);
                    }
                    None => open.push(place),
                }
            }
            if let (Some(operation), 0, false) = (operation, depth, open.is_empty()) {
                operation.open_late_span();
            }
            if depth > 0 && !found.is_empty() {
                self.promote_many(keys, &found, &answers, &leases, operation).await;
            }
        }
        answers
    }

    /// Puts what a later tier had into the earlier ones. Whatever comes of it is reported, and fails no operation.
    async fn promote_many(
        &'a self,
        keys: &'f [&'f K],
        places: &[usize],
        answers: &[Result<Found<'a, V>, Lookup<'a, V>>],
        leases: &[Option<Lease<'f, K, V>>],
        operation: Option<&Operation<'a>>,
    ) {
        let promoted = || {
            places.iter().filter_map(|place| {
                let (found, lease) = (answers[*place].as_ref().ok()?, leases[*place].as_ref()?);
                Some(((keys[*place].to_owned(), found.entry.clone()), (found.depth, lease)))
            })
        };
        let (depths, leases): (Vec<_>, Vec<_>) = promoted().map(|(_, with)| with).unzip();
        let above = self.iter().take(depths.first().copied().unwrap_or(0));
        for tier in above.filter(|tier| !tier.facts().read_only) {
            let entries = promoted().map(|(entry, _)| entry).collect();
            let _ = tier.insert_many(entries, BatchPermit::Promotion(&leases), Call::of(operation)).resolve().await;
        }
    }
}
