//! A handler that describes each operation of the cache in one line.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cachet::CacheEventHandler;
use cachet::telemetry::TierOperation;
use cachet::telemetry::{CacheOperationEvent, EventMask};

/// The number of operations of one kind that are described; the others are only counted.
const EXAMPLES: u64 = 2;

#[derive(Default)]
pub(crate) struct Narrator {
    story: Mutex<Story>,
}

/// What has happened since the last [`Narrator::take`].
#[derive(Default)]
pub(crate) struct Story {
    pub(crate) lines: Vec<String>,
    /// The number of operations with the same steps.
    pub(crate) kinds: BTreeMap<String, u64>,
}

impl Narrator {
    pub(crate) fn take(&self) -> Story {
        std::mem::take(&mut self.story())
    }

    fn story(&self) -> MutexGuard<'_, Story> {
        self.story.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CacheEventHandler for Narrator {
    fn interest(&self) -> EventMask {
        // The completion event contains the tier calls, so single tier events are not needed.
        EventMask::OPERATIONS | EventMask::TRAIL | EventMask::TIMING
    }

    // Handlers run inline and must not block, so this one collects lines for `main` to print.
    fn on_operation_event(&self, event: &CacheOperationEvent<'_>) {
        let steps = steps(event);
        let kind: Vec<_> = steps.iter().map(|step| step.what.as_str()).collect();
        let mut story = self.story();
        let seen = story.kinds.entry(kind.join(ARROW)).or_default();
        *seen += 1;
        if *seen <= EXAMPLES {
            let way: Vec<_> = steps.iter().map(|step| format!("{}{}", step.what, time(step.took))).collect();
            let key = shortened(event.key().unwrap_or_default());
            story.lines.push(format!("{key:<WIDTH$}  {}", way.join(ARROW)));
            story.lines.extend(failures(event));
        }
    }
}

/// One step of an operation: `disk hit`, and how long it took.
struct Step {
    what: String,
    took: Option<Duration>,
}

fn steps(event: &CacheOperationEvent<'_>) -> Vec<Step> {
    let mut steps: Vec<_> = event
        .tiers()
        .iter()
        .map(|call| Step { what: format!("{} {}", call.tier(), call.outcome()), took: call.duration() })
        .collect();
    if let Some(took) = event.load_duration() {
        // The loader runs after the lookups and before the inserts.
        let asked = event.tiers().iter().take_while(|call| call.operation() == TierOperation::Get).count();
        let what = if event.error().is_some() { "not computed" } else { "computed" };
        steps.insert(asked, Step { what: what.to_owned(), took: Some(took) });
    }
    steps
}

/// The errors of the tiers, in a line each. The operation itself may have succeeded.
fn failures(event: &CacheOperationEvent<'_>) -> Vec<String> {
    let mut failures: Vec<_> =
        event.tiers().iter().filter_map(|call| call.error()).map(|error| format!("    {error:#}")).collect();
    // A failed insert is followed by an attempt to remove the older entry, which often fails with the same error.
    failures.dedup();
    failures
}

const ARROW: &str = " → ";
const WIDTH: usize = 32;

fn time(duration: Option<Duration>) -> String {
    duration.map(|duration| format!(" {duration:.0?}")).unwrap_or_default()
}

/// Keeps the end of a long key, which is more specific than its beginning.
fn shortened(key: &str) -> String {
    // A file name may contain a line break.
    let key = key.escape_debug().to_string();
    let length = key.chars().count();
    if length <= WIDTH {
        return key;
    }
    std::iter::once('…').chain(key.chars().skip(length + 1 - WIDTH)).collect()
}
