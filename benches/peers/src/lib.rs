//! Libraries that a user might pick instead of cachet, each behind a feature, each as a
//! [`Peer`](cachet_benches::peers::Peer) that says what it has and why it lacks the rest.
//!
//! All are configured as their documentation suggests for a cache in memory of so many entries, and used through their public
//! interface.

use cachet_benches::peers::Entrant;

#[cfg(feature = "amalgam")]
mod amalgam;
#[cfg(feature = "cached")]
mod cached;
#[cfg(feature = "foyer")]
mod foyer;
#[cfg(feature = "moka")]
mod moka;
#[cfg(feature = "ms-cachet")]
mod ms_cachet;

/// The libraries that are built.
///
/// A static, not a constant: so their code is generated once, here, and not in every program that mentions them.
pub static ENTRANTS: &[Entrant] = &[
    #[cfg(feature = "moka")]
    Entrant::of::<moka::Future>(),
    #[cfg(feature = "moka")]
    Entrant::of::<moka::Sync>(),
    #[cfg(feature = "foyer")]
    Entrant::of::<foyer::Memory>(),
    #[cfg(feature = "cached")]
    Entrant::of::<cached::ShardedLru>(),
    #[cfg(feature = "ms-cachet")]
    Entrant::of::<ms_cachet::MsCachet>(),
    #[cfg(feature = "amalgam")]
    Entrant::of::<amalgam::Amalgam>(),
];

#[cfg(test)]
mod tests {
    use cachet_benches::scenarios;

    #[test]
    fn operations_end_as_their_scenarios_say() {
        let all = scenarios::all(super::ENTRANTS).into_iter();
        let is_ours = |library: &str| super::ENTRANTS.iter().any(|entrant| entrant.name == library);
        scenarios::rehearse(all.filter(|scenario| is_ours(scenario.id.library)).collect());
    }
}
