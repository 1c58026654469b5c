//! Refresh-ahead: an entry that is due is served at once, and replaced from the tiers below in the background.

mod table;
mod task;

pub use self::table::RefreshStatus;
pub(crate) use self::table::RefreshTable;
pub(crate) use self::task::RefreshScheduler;
