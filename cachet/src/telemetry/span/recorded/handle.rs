//! Handles of optional spans, and the future inside a span.

use std::future::Future;
use std::marker::PhantomData;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tracing::{Dispatch, Event, Metadata};

use super::{MAX_TIER_FIELDS, Value, Values};
use crate::error::Error;
use crate::telemetry::{OperationOutcome, callback};

pin_project! {
    /// `tracing::instrument::Instrumented`, with a borrowed span: a clone would cost two calls of the subscriber.
    pub(crate) struct Attached<'s, F> {
        #[pin]
        future: Option<F>,
        span: &'s Span,
    }

    impl<F> PinnedDrop for Attached<'_, F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            let _entered = Entered::new(this.span);
            this.future.set(None);
        }
    }
}

impl<F: Future> Future for Attached<'_, F> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let _entered = Entered::new(this.span);
        match this.future.as_pin_mut() {
            Some(future) => future.poll(cx),
            // Only `drop` removes the future.
            None => Poll::Pending,
        }
    }
}

/// A borrowed span, entered until this is dropped.
pub(crate) struct Entered<'s> {
    span: &'s Span,
    not_send: PhantomData<*const ()>,
}

impl<'s> Entered<'s> {
    #[inline]
    fn new(span: &'s Span) -> Self {
        span.with(Dispatch::enter);
        Self { span, not_send: PhantomData }
    }
}

impl Drop for Entered<'_> {
    #[inline]
    fn drop(&mut self) {
        self.span.with(Dispatch::exit);
    }
}

/// The id of a span to follow from. It does not keep the span open, so the span may be closed when it is used.
#[derive(Clone, Debug)]
pub(crate) struct SpanLink(Option<tracing::Id>);

/// An entered span, which is the current one until it is dropped or [exited](Self::exit).
///
/// Entered by hand: `tracing`'s own guard would exit again, and abort, if a subscriber panicked when it was exited.
#[derive(Debug)]
pub(crate) struct EnteredSpan {
    span: Span,
    /// A span is the current one of its thread.
    not_send: PhantomData<*const ()>,
}

impl EnteredSpan {
    pub(crate) fn exit(mut self) -> Span {
        let span = mem::replace(&mut self.span, Span::none());
        span.with(Dispatch::exit);
        span
    }
}

impl Drop for EnteredSpan {
    fn drop(&mut self) {
        self.span.with(Dispatch::exit);
    }
}

/// A span, or none.
#[derive(Debug)]
pub(crate) struct Span(pub(super) tracing::Span);

impl Span {
    pub(crate) const fn none() -> Self {
        Self(tracing::Span::none())
    }

    pub(crate) fn is_none(&self) -> bool {
        self.0.is_disabled()
    }

    /// Returns this span, or the other one if this is none.
    pub(crate) fn or<'s>(&'s self, other: &'s Self) -> &'s Self {
        if self.is_none() { other } else { self }
    }

    /// Opens a span.
    pub(super) fn open(open: impl FnOnce() -> tracing::Span) -> Self {
        Self(callback::subscriber(tracing::Span::none(), open))
    }

    /// Returns another handle of the same span.
    pub(crate) fn same(&self) -> Self {
        Self::open(|| self.0.clone())
    }

    /// Enters the span.
    pub(crate) fn enter(self) -> EnteredSpan {
        self.with(Dispatch::enter);
        EnteredSpan { span: self, not_send: PhantomData }
    }

    fn with(&self, call: impl FnOnce(&Dispatch, &tracing::Id)) {
        if !self.is_none() {
            callback::subscriber((), || {
                self.0.with_subscriber(|(id, dispatch)| call(dispatch, id));
            });
        }
    }

    /// Enters the span until the guard is dropped.
    pub(crate) fn entered(&self) -> Entered<'_> {
        Entered::new(self)
    }

    /// Enters the span on every poll of the future, and while it is dropped.
    pub(crate) fn attach<F: Future>(&self, future: F) -> Attached<'_, F> {
        Attached { future: Some(future), span: self }
    }

    /// Opens a child of this span, or of the caller's current span if this is none.
    pub(super) fn child(&self, metadata: &'static Metadata<'static>, values: &Values<'_>) -> Self {
        let values = metadata.fields().value_set_all(values);
        Self::open(|| match self.0.id() {
            Some(parent) => tracing::Span::child_of(parent, metadata, &values),
            None => tracing::Span::new(metadata, &values),
        })
    }

    /// Sends an event inside this span, or inside the caller's current span if this is none.
    pub(super) fn event(&self, metadata: &'static Metadata<'static>, values: &Values<'_>) {
        let values = metadata.fields().value_set_all(values);
        callback::subscriber((), || match self.0.id() {
            Some(parent) => Event::child_of(parent, metadata, &values),
            None => Event::dispatch(metadata, &values),
        });
    }

    /// Records the fields that are known only at the end, from position `fixed` on.
    pub(super) fn ended(&self, fixed: usize, last: &Values<'_>) {
        let Some(metadata) = self.0.metadata().filter(|_| !self.0.is_disabled()) else { return };
        let mut values: [Option<&dyn Value>; MAX_TIER_FIELDS] = [None; MAX_TIER_FIELDS];
        let length = metadata.fields().len().min(MAX_TIER_FIELDS);
        for (slot, value) in values[..length].iter_mut().skip(fixed).zip(last) {
            *slot = *value;
        }
        let values = metadata.fields().value_set_all(&values[..length]);
        callback::subscriber((), || {
            self.0.record_all(&values);
        });
    }

    /// Returns the link for a span that follows from this one.
    pub(crate) fn link(&self) -> SpanLink {
        SpanLink(self.0.id())
    }

    pub(crate) fn follows_from(&self, link: &SpanLink) {
        callback::subscriber((), || {
            self.0.follows_from(link.0.clone());
        });
    }

    pub(crate) fn load_ended(&self, outcome: OperationOutcome, error: Option<&Error>) {
        let error_type =
            error.map(Error::error_type).or_else(|| (outcome == OperationOutcome::Panicked).then_some("panic"));
        self.ended(4, &[Some(&outcome.as_str()), Some(&error_type)]);
    }
}

/// Closes the span, unless there is another handle.
impl Drop for Span {
    #[inline]
    fn drop(&mut self) {
        if !self.0.is_disabled() {
            let span = mem::replace(&mut self.0, tracing::Span::none());
            callback::subscriber((), || drop(span));
        }
    }
}
