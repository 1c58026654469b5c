//! Libraries that a user might choose instead of cachet, each behind a feature, each as a
//! [`Peer`](cachet_benches::peer::Peer) with the operations that it has and the reasons why it lacks others.
//!
//! All are configured as their documentation suggests for a memory cache of the given capacity, and used through their public
//! interface.

use cachet_benches::peer::Library;

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
/// A static, not a constant: their code is generated once, here, and not in every program that mentions them.
pub static LIBRARIES: &[Library] = &[
    #[cfg(feature = "moka")]
    Library::of::<moka::Future>(),
    #[cfg(feature = "moka")]
    Library::of::<moka::Sync>(),
    #[cfg(feature = "foyer")]
    Library::of::<foyer::Memory>(),
    #[cfg(feature = "cached")]
    Library::of::<cached::ShardedLru>(),
    #[cfg(feature = "ms-cachet")]
    Library::of::<ms_cachet::MsCachet>(),
    #[cfg(feature = "amalgam")]
    Library::of::<amalgam::Amalgam>(),
];

#[cfg(test)]
mod tests {
    use cachet_benches::scenarios;

    #[test]
    fn operations_have_the_expected_results() {
        let all = scenarios::all(super::LIBRARIES).into_iter();
        let is_peer = |name: &str| super::LIBRARIES.iter().any(|library| library.name == name);
        scenarios::smoke_test(all.filter(|scenario| is_peer(scenario.id.library)).collect());
    }
}
