//! Spans and events through `tracing`, printed as a tree.
//!
//! The cache needs only `enable_logs`; the rest is an ordinary subscriber. This example prints operations in three ways:
//!
//! 1. as a tree, with a short formatter at the end of this file;
//! 2. one tier only, selected by a filter directive: a tier's target is the module of its `#[cache_tier]` impl;
//! 3. one line per operation, with all fields, by the standard formatter: all completion events share one target.
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

/// A separate module, so that a filter directive can name it.
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
            // An event of the tier itself, inside the span of the call.
            tracing::debug!(%drawer, "pulling a drawer open");
            if drawer == self.stuck {
                // Metrics use the type rather than the text, to limit the number of series.
                return Err(TierError::msg(format!("drawer {drawer} is stuck")).with_type("stuck"));
            }
            Ok(self.all())
        }

        fn all(&self) -> MutexGuard<'_, HashMap<String, CacheEntry<u32>>> {
            self.entries.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }

    // The tier's own fields appear on all of its spans, and are evaluated only if the span is enabled.
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

// Uses a single-threaded runtime, since each part of the example sets another subscriber for the current thread. A program would
// call `init` once and could use any runtime.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    {
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("debug"));
        let _subscriber = tracing::subscriber::set_default(tree(filter));
        let ages = ages();

        println!("1. As a tree\n\nIn a request: a miss in l1, a hit in shelf, and the promotion into l1\n");
        ages.get("ada").instrument(info_span!("request", path = "/ages/ada")).await?;

        println!(
            "\nNo tier has the value: the loader runs, in the span `cache.load`, and every tier stores its value\n"
        );
        ages.get_or_insert("bob", ask_bob).await?;

        println!("\nThe shelf fails. The caller still gets the value, so these are warnings, not errors\n");
        ages.get_or_insert("zoe", || async { 7 }).await?;

        println!("\nThere is no loader: the operation itself returns an error\n");
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

        println!("\n3. One line per operation: the hit and a computed value, with RUST_LOG={directive}\n");
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

/// The standard formatter, without colours and time.
fn lines(filter: EnvFilter) -> impl Subscriber + Send + Sync {
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).without_time().finish()
}

fn tree(filter: EnvFilter) -> impl Subscriber + Send + Sync {
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        // Sends an event for every new span, so that each span has a line.
        .with_span_events(FmtSpan::NEW)
        .fmt_fields(format::debug_fn(write_span_field))
        .event_format(Tree)
        .finish()
}

/// Prints one line per span and event, indented by the number of enclosing spans.
struct Tree;

const INDENT: &str = "    ";

impl<S, N> FormatEvent<S, N> for Tree
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        // The enclosing spans, innermost first.
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

/// Omits fields that only tracing backends use.
fn write_span_field(writer: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    match field.name() {
        "otel.kind" | "sentry.op" => Ok(()),
        name => write!(writer, " {name}={value:?}"),
    }
}

/// The cache's events repeat the fields of their span, so that each is complete without spans.
fn write_event_field(writer: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    match field.name() {
        "message" => write!(writer, " {value:?}"),
        name if name.starts_with("cache.") => Ok(()),
        name => write!(writer, " {name}={value:?}"),
    }
}
