//! Spans and events through `tracing`, as a tree: what happened inside each operation, and inside what.
//!
//! `enable_logs` is all that a cache needs; the rest is an ordinary subscriber. This example prints operations in three
//! ways:
//!
//! 1. as a tree, with a formatter of a few lines at the end of this file;
//! 2. one tier only, picked out by a filter directive: a tier's target is the module of its `#[cache_tier]` impl;
//! 3. one line per operation, with every field, by the stock formatter: all completion events share one target.
//!
//! ```text
//! cargo run -p cachet-examples --example telemetry_subscriber
//! RUST_LOG=warn cargo run -p cachet-examples --example telemetry_subscriber
//! ```

use std::collections::HashMap;
use std::fmt;

use cachet::{Cache, CacheEntry, Error, Tier};
use tracing::field::Field;
use tracing::{Event, Instrument as _, Subscriber, info_span};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{self, FmtSpan, FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

use self::shelf::Shelf;

/// A module of its own, so that a filter directive can name it.
mod shelf {
    use std::collections::HashMap;
    use std::sync::{Mutex, MutexGuard, PoisonError};

    use cachet::{CacheEntry, CacheTier, InsertOutcome, TierError, cache_tier};

    /// Drawers of entries, one for each first letter. One of them is stuck.
    pub(crate) struct Shelf {
        pub(crate) entries: Mutex<HashMap<String, CacheEntry<u32>>>,
        pub(crate) stuck: char,
    }

    impl Shelf {
        fn open(&self, key: &str) -> Result<MutexGuard<'_, HashMap<String, CacheEntry<u32>>>, TierError> {
            let drawer = key.chars().next().unwrap_or('?');
            // An event of the tier's own. It appears inside the span of the call that it belongs to.
            tracing::debug!(%drawer, "pulling a drawer open");
            if drawer == self.stuck {
                // The type is for statistics, where a text would make every error its own series.
                return Err(TierError::msg(format!("drawer {drawer} is stuck")).with_type("stuck"));
            }
            Ok(self.all())
        }

        fn all(&self) -> MutexGuard<'_, HashMap<String, CacheEntry<u32>>> {
            self.entries.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }

    // Fields of the tier's own appear on all of its spans, and are evaluated only while somebody wants the span.
    #[cache_tier(name = "shelf", fields(entries = self.all().len()))]
    impl CacheTier<str, u32> for Shelf {
        async fn get(&self, key: &str) -> Result<Option<CacheEntry<u32>>, TierError> {
            Ok(self.open(key)?.get(key).cloned())
        }

        async fn insert(&self, key: String, entry: CacheEntry<u32>) -> Result<InsertOutcome, TierError> {
            self.open(&key)?.insert(key, entry);
            Ok(InsertOutcome::Accepted)
        }

        async fn invalidate(&self, key: &str) -> Result<(), TierError> {
            self.open(key)?.remove(key);
            Ok(())
        }

        async fn clear(&self) -> Result<(), TierError> {
            self.all().clear();
            Ok(())
        }
    }
}

// On a runtime of one thread, since each part of the example has a subscriber of its own, which is set for the current
// thread. A program would call `init` once, and could use any runtime.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    {
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("debug"));
        let _subscriber = tracing::subscriber::set_default(tree(filter));
        let ages = ages();

        println!("1. As a tree\n\nIn a request: a miss in l1, a hit in shelf, and the promotion into l1\n");
        ages.get("ada").instrument(info_span!("request", path = "/ages/ada")).await?;

        println!("\nNobody has the value: the closure runs, in `cache.load`, and every tier stores what it gives\n");
        ages.get_or_insert("bob", ask_bob).await?;

        println!("\nThe shelf fails. The caller gets the value all the same, so these are warnings, not errors\n");
        ages.get_or_insert("zoe", || async { 7 }).await?;

        println!("\nNothing is left to help: now the operation itself returns an error\n");
        let refused = ages.get("zack").await;
        assert!(refused.is_err_and(|error| error.is_tier() && error.error_type() == "stuck"));
    }
    {
        let directive = "telemetry_subscriber::shelf=debug";
        let _subscriber = tracing::subscriber::set_default(tree(EnvFilter::new(directive)));

        println!("\n2. One tier: the hit again, with RUST_LOG={directive}\n");
        ages().get("ada").await?;
    }
    {
        let directive = "cachet::event=debug";
        let _subscriber = tracing::subscriber::set_default(lines(EnvFilter::new(directive)));

        println!("\n3. One line per operation: the hit and a value that is computed, with RUST_LOG={directive}\n");
        let ages = ages();
        ages.get("ada").await?;
        ages.get_or_insert("bob", ask_bob).await?;
    }
    Ok(())
}

fn ages() -> Cache<str, u32> {
    let entries = HashMap::from([("ada".to_owned(), CacheEntry::new(36))]);
    let shelf = Shelf { entries: entries.into(), stuck: 'z' };
    Cache::builder("ages").tier(Tier::memory(100).name("l1")).tier(Tier::new(shelf)).enable_logs().build()
}

async fn ask_bob() -> u32 {
    tracing::info!("asking bob");
    41
}

/// The stock formatter, without colours and time.
fn lines(filter: EnvFilter) -> impl Subscriber + Send + Sync {
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).without_time().finish()
}

fn tree(filter: EnvFilter) -> impl Subscriber + Send + Sync {
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        // Announces every new span as an event inside it, so that spans get a line of their own.
        .with_span_events(FmtSpan::NEW)
        .fmt_fields(format::debug_fn(write_span_field))
        .event_format(Tree)
        .finish()
}

/// One line per span and per event, indented by the number of spans around it.
struct Tree;

const INDENT: &str = "    ";

impl<S, N> FormatEvent<S, N> for Tree
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        // The spans around the event, innermost first.
        let scope: Vec<_> = context.event_scope().into_iter().flatten().collect();
        match scope.first() {
            Some(new_span) if event.metadata().is_span() => {
                write!(writer, "{}{}", INDENT.repeat(scope.len() - 1), new_span.name())?;
                if let Some(fields) = new_span.extensions().get::<FormattedFields<N>>() {
                    write!(writer, "{fields}")?;
                }
            }
            _ => {
                write!(writer, "{}{:<5}", INDENT.repeat(scope.len()), event.metadata().level())?;
                format::debug_fn(write_event_field).format_fields(writer.by_ref(), event)?;
            }
        }
        writeln!(writer)
    }
}

/// What is left out is of use only to the backends of traces.
fn write_span_field(writer: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    match field.name() {
        "otel.kind" | "sentry.op" => Ok(()),
        name => write!(writer, " {name}={value:?}"),
    }
}

/// The cache's events repeat the fields of their span, so that each is complete even where spans are off.
fn write_event_field(writer: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    match field.name() {
        "message" => write!(writer, " {value:?}"),
        name if name.starts_with("cache.") => Ok(()),
        name => write!(writer, " {name}={value:?}"),
    }
}
