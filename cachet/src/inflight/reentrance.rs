//! Which loads and writes are being polled on this thread: one that would have to wait for itself gets an error instead.

use std::cell::{Cell, RefCell};
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
    /// The innermost. Nearly always there is no other, and then nothing else is touched.
    static INNERMOST: Cell<Option<InProgress>> = const { Cell::new(None) };
    /// All others.
    static OUTER: RefCell<Vec<InProgress>> = const { RefCell::new(Vec::new()) };
}

/// Whether this thread is inside of it. A thread that is ending has no more thread-locals, and is inside of nothing.
#[inline]
pub(crate) fn is_inside(what: InProgress) -> bool {
    match INNERMOST.try_with(Cell::get) {
        Ok(None) | Err(_) => false,
        Ok(Some(innermost)) => {
            innermost == what || OUTER.try_with(|outer| outer.borrow().contains(&what)).unwrap_or(false)
        }
    }
}

/// This thread is inside of something until this is dropped.
pub(crate) struct Scope {
    outer: Option<InProgress>,
}

impl Scope {
    #[inline]
    pub(crate) fn enter(what: InProgress) -> Self {
        let outer = INNERMOST.try_with(|innermost| innermost.replace(Some(what))).unwrap_or(None);
        if let Some(outer) = outer {
            let _ = OUTER.try_with(|stack| stack.borrow_mut().push(outer));
        }
        Self { outer }
    }
}

impl Drop for Scope {
    #[inline]
    fn drop(&mut self) {
        let _ = INNERMOST.try_with(|innermost| innermost.set(self.outer));
        if self.outer.is_some() {
            let _ = OUTER.try_with(|stack| stack.borrow_mut().pop());
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
