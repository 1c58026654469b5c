//! A handler that keeps what it receives.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::telemetry::{CacheEventHandler, CacheOperationEvent, CacheTierEvent};

/// An event that a [`RecordingHandler`] has seen.
#[derive(Clone, Debug)]
pub enum Recorded {
    /// From a tier.
    Tier(CacheTierEvent<'static>),
    /// The end of an operation.
    Operation(CacheOperationEvent<'static>),
}

/// `l1 get: miss`, `disk get: hit (fallback)`, or `get: hit`: what to compare whole sequences with.
impl fmt::Display for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tier(event) => {
                write!(f, "{} {}: {}", event.tier(), event.operation(), event.outcome())?;
                f.write_str(if event.fallback() { " (fallback)" } else { "" })
            }
            Self::Operation(event) => write!(f, "{}: {}", event.operation(), event.outcome()),
        }
    }
}

/// A handler that keeps every event; clones share what they have seen.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), cachet::Error> {
/// use cachet::testing::{MockTier, RecordingHandler};
/// use cachet::{Cache, Tier};
///
/// let seen = RecordingHandler::new();
/// let cache = Cache::<str, u32>::builder("ages")
///     .tier(Tier::new(MockTier::new()).name("l1"))
///     .event_handler(seen.clone())
///     .build();
/// cache.get("ada").await?;
/// assert_eq!(seen.take_lines(), ["l1 get: miss", "get: miss"]);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Default)]
pub struct RecordingHandler(Arc<Mutex<Vec<Recorded>>>);

impl RecordingHandler {
    /// Has seen nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    fn push(&self, event: Recorded) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(event);
    }

    /// Takes what has been seen so far.
    pub fn take(&self) -> Vec<Recorded> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes what has been seen so far, one line per event.
    pub fn take_lines(&self) -> Vec<String> {
        self.take().iter().map(ToString::to_string).collect()
    }
}

impl CacheEventHandler for RecordingHandler {
    fn on_tier_event(&self, event: &CacheTierEvent<'_>) {
        self.push(Recorded::Tier(event.clone().into_owned()));
    }

    fn on_operation_event(&self, event: &CacheOperationEvent<'_>) {
        self.push(Recorded::Operation(event.clone().into_owned()));
    }
}
