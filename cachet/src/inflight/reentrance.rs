//! Which loads and writes are being polled on this thread: one that would have to wait for itself gets an error instead.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::sync::thread_local;

/// Something that others wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InProgress {
    /// The loader of a key: the table, and the key's hash in it.
    Load(usize, u64),
    /// The lookup of a key, likewise.
    Lookup(usize, u64),
    /// A write: the table, and the write's number in it.
    Write(usize, u64),
    /// A store under a lock of this table.
    Locked(usize),
}

thread_local! {
    /// Outermost first.
    static IN_PROGRESS: RefCell<Vec<InProgress>> = const { RefCell::new(Vec::new()) };
}

/// Whether this thread is inside of it. A thread that is ending has no more thread-locals, and is inside of nothing.
pub(crate) fn is_inside(what: InProgress) -> bool {
    IN_PROGRESS.try_with(|stack| stack.borrow().contains(&what)).unwrap_or(false)
}

/// This thread is inside of something until this is dropped.
pub(crate) struct Scope(bool);

impl Scope {
    pub(crate) fn enter(what: InProgress) -> Self {
        Self(IN_PROGRESS.try_with(|stack| stack.borrow_mut().push(what)).is_ok())
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        if self.0 {
            let _ = IN_PROGRESS.try_with(|stack| stack.borrow_mut().pop());
        }
    }
}

pin_project! {
    /// A future that is inside of something whenever it is polled.
    pub(crate) struct Inside<F> {
        #[pin]
        future: F,
        what: InProgress,
    }
}

impl<F> Inside<F> {
    pub(crate) fn new(what: InProgress, future: F) -> Self {
        Self { future, what }
    }
}

impl<F: Future> Future for Inside<F> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let _scope = Scope::enter(*this.what);
        this.future.poll(cx)
    }
}
