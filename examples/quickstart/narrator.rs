//! A handler that tells what the cache does, in one line per operation.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cachet::telemetry::TierOperation;
use cachet::{CacheEventHandler, CacheOperationEvent, EventMask};

/// How many operations of one kind are told in full; of the others, only the number.
const EXAMPLES: u64 = 2;

#[derive(Default)]
pub(crate) struct Narrator {
    story: Mutex<Story>,
}

/// What has happened since the last [`Narrator::take`].
#[derive(Default)]
pub(crate) struct Story {
    pub(crate) lines: Vec<String>,
    /// How many operations went the same way.
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
        // The completion event brings the calls of the tiers with it, so there is no need to hear of them one by one.
        EventMask::OPERATIONS | EventMask::TRAIL | EventMask::TIMING
    }

    // Handlers run inside the operation and must not block it. So this one takes notes, and `main` prints them.
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
        // A value is computed after all tiers were asked, and before any of them is given it.
        let asked = event.tiers().iter().take_while(|call| call.operation() == TierOperation::Get).count();
        let what = if event.error().is_some() { "not computed" } else { "computed" };
        steps.insert(asked, Step { what: what.to_owned(), took: Some(took) });
    }
    steps
}

/// Why tiers failed, in a line each. The operation need not have failed for that.
fn failures(event: &CacheOperationEvent<'_>) -> Vec<String> {
    let mut failures: Vec<_> =
        event.tiers().iter().filter_map(|call| call.error()).map(|error| format!("    {error:#}")).collect();
    // An insert that fails is followed by an attempt to remove what was there before, which often fails alike.
    failures.dedup();
    failures
}

const ARROW: &str = " → ";
const WIDTH: usize = 32;

fn time(duration: Option<Duration>) -> String {
    duration.map(|duration| format!(" {duration:.0?}")).unwrap_or_default()
}

/// The end of a long key tells more than its beginning.
fn shortened(key: &str) -> String {
    // A file name may contain a line break, for one.
    let key = key.escape_debug().to_string();
    let length = key.chars().count();
    if length <= WIDTH {
        return key;
    }
    std::iter::once('…').chain(key.chars().skip(length + 1 - WIDTH)).collect()
}
