//! For tests: a tier that follows a script, and a handler that keeps every event. Feature `test-util`.
//!
//! Time is stepped with [`ManualClock`](crate::ManualClock), which needs no feature.

mod mock;
mod recording;

pub use self::mock::{Behavior, MockTier};
pub use self::recording::{Recorded, RecordingHandler};
