//! Callbacks: handlers and `tracing` subscribers, which may use any cache (S51).
//!
//! An operation that is started inside a callback is not observed: it would call the callback again, without end.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::discard;

thread_local! {
    /// Whether this thread is inside a callback. It needs no destructor, so it can be used while the thread ends.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is inside a callback.
#[inline]
pub(crate) fn is_inside() -> bool {
    INSIDE.get()
}

static SUBSCRIBER_PANICS: AtomicU64 = AtomicU64::new(0);

/// Returns how often a `tracing` subscriber has panicked when a cache of this process created, entered or recorded a span or sent an
/// event. Such a panic is caught, and what was to be reported is lost.
pub fn subscriber_panics() -> u64 {
    SUBSCRIBER_PANICS.load(Ordering::Relaxed)
}

/// Calls a subscriber. The result is `otherwise` if it panics: what it does is no concern of the operation.
#[cfg_attr(not(feature = "logs"), expect(dead_code, reason = "there are no spans without it"))]
#[inline]
pub(crate) fn subscriber<T>(otherwise: T, callback: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(|| call(callback))).unwrap_or_else(|payload| {
        discard(payload);
        SUBSCRIBER_PANICS.fetch_add(1, Ordering::Relaxed);
        otherwise
    })
}

/// Calls a handler, whose panics the caller catches.
#[inline]
pub(crate) fn call<T>(callback: impl FnOnce() -> T) -> T {
    struct Scope(bool);

    impl Drop for Scope {
        #[inline]
        fn drop(&mut self) {
            INSIDE.set(self.0);
        }
    }

    let _scope = Scope(INSIDE.replace(true));
    callback()
}
