//! The counters and histograms of derived handlers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::histogram::Histogram;

/// A counter of events: the type of a field with `#[cache_event(count(…))]`.
///
/// Implemented for [`AtomicU64`]. For the counter of a metrics library, write:
///
/// ```
/// use cachet::telemetry::EventCounter;
/// # mod metrics { #[derive(Default)] pub struct Counter(pub std::sync::atomic::AtomicU64);
/// #   impl Counter { pub fn inc(&self) { self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed); } } }
///
/// struct Metered(metrics::Counter);
///
/// impl EventCounter for Metered {
///     fn increment(&self) {
///         self.0.inc();
///     }
/// }
/// # Metered(metrics::Counter::default()).increment();
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot count cache events",
    label = "not an `EventCounter`",
    note = "use `std::sync::atomic::AtomicU64`, or implement `cachet::telemetry::EventCounter` for `{Self}`"
)]
pub trait EventCounter: Send + Sync {
    /// Adds one to the counter.
    fn increment(&self);
}

impl EventCounter for AtomicU64 {
    #[inline]
    fn increment(&self) {
        self.fetch_add(1, Ordering::Relaxed);
    }
}

impl<C: EventCounter + ?Sized> EventCounter for Arc<C> {
    #[inline]
    fn increment(&self) {
        (**self).increment();
    }
}

/// A histogram of durations: the type of a field with `#[cache_event(record(…))]`.
///
/// Implemented for [`Histogram`]. For the histogram of a metrics library, which usually expects seconds, write:
///
/// ```
/// use cachet::telemetry::EventHistogram;
/// use std::time::Duration;
/// # mod metrics { #[derive(Default)] pub struct Histogram; impl Histogram { pub fn observe(&self, _seconds: f64) {} } }
///
/// struct Metered(metrics::Histogram);
///
/// impl EventHistogram for Metered {
///     fn record(&self, duration: Duration) {
///         self.0.observe(duration.as_secs_f64());
///     }
/// }
/// # Metered(metrics::Histogram).record(Duration::ZERO);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot record durations of cache events",
    label = "not an `EventHistogram`",
    note = "use `cachet::telemetry::Histogram`, or implement `cachet::telemetry::EventHistogram` for `{Self}`"
)]
pub trait EventHistogram: Send + Sync {
    /// Records one duration.
    fn record(&self, duration: Duration);
}

impl EventHistogram for Histogram {
    #[inline]
    fn record(&self, duration: Duration) {
        Self::record(self, duration);
    }
}

impl<H: EventHistogram + ?Sized> EventHistogram for Arc<H> {
    #[inline]
    fn record(&self, duration: Duration) {
        (**self).record(duration);
    }
}
