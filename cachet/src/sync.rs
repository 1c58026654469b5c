//! Locks and atomics: those of the standard library, or, in a model (`--cfg loom`), loom's, which tries every order.

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
#[cfg(loom)]
pub(crate) use loom::sync::{Arc, Mutex, MutexGuard};
#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
#[cfg(not(loom))]
pub(crate) use std::sync::{Arc, Mutex, MutexGuard};
#[cfg(not(loom))]
pub(crate) use std::thread_local;

/// Loom's takes no `const`.
#[cfg(loom)]
macro_rules! thread_local_const {
    ($($(#[$attribute:meta])* static $name:ident: $of:ty = const $init:block;)+) => {
        loom::thread_local! { $($(#[$attribute])* static $name: $of = $init;)+ }
    };
}
#[cfg(loom)]
pub(crate) use thread_local_const as thread_local;

/// Locks; what a panic left behind is as good as before, since nothing is half-done while the lock is held.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
