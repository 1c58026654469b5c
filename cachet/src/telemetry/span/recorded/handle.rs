//! Handles of optional spans, and the future inside a span.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tracing::{Event, Metadata};

use super::{MAX_TIER_FIELDS, Value, Values};
use crate::error::Error;
use crate::telemetry::OperationOutcome;

pin_project! {
    /// `tracing::instrument::Instrumented`, with a borrowed span: a clone would cost two calls of the subscriber.
    pub(crate) struct Attached<'s, F> {
        #[pin]
        future: Option<F>,
        span: &'s tracing::Span,
    }

    impl<F> PinnedDrop for Attached<'_, F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            let _entered = this.span.enter();
            this.future.set(None);
        }
    }
}

impl<F: Future> Future for Attached<'_, F> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let _entered = this.span.enter();
        match this.future.as_pin_mut() {
            Some(future) => future.poll(cx),
            // Only `drop` removes the future.
            None => Poll::Pending,
        }
    }
}

/// The id of a span to follow from. It does not keep the span open, so the span may be closed when it is used.
#[derive(Clone, Debug)]
pub(crate) struct SpanLink(Option<tracing::Id>);

/// An entered span, which is the current one until it is dropped or [exited](Self::exit).
#[derive(Debug)]
pub(crate) struct EnteredSpan(tracing::span::EnteredSpan);

impl EnteredSpan {
    pub(crate) fn exit(self) -> Span {
        Span(self.0.exit())
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

    /// Returns another handle of the same span.
    pub(crate) fn same(&self) -> Self {
        Self(self.0.clone())
    }

    /// Enters the span.
    pub(crate) fn enter(self) -> EnteredSpan {
        EnteredSpan(self.0.entered())
    }

    /// Enters the span on every poll of the future, and while it is dropped.
    pub(crate) fn attach<F: Future>(&self, future: F) -> Attached<'_, F> {
        Attached { future: Some(future), span: &self.0 }
    }

    /// Opens a child of this span, or of the caller's current span if this is none.
    pub(super) fn child(&self, metadata: &'static Metadata<'static>, values: &Values<'_>) -> tracing::Span {
        let values = metadata.fields().value_set_all(values);
        match self.0.id() {
            Some(parent) => tracing::Span::child_of(parent, metadata, &values),
            None => tracing::Span::new(metadata, &values),
        }
    }

    /// Sends an event inside this span, or inside the caller's current span if this is none.
    pub(super) fn event(&self, metadata: &'static Metadata<'static>, values: &Values<'_>) {
        let values = metadata.fields().value_set_all(values);
        match self.0.id() {
            Some(parent) => Event::child_of(parent, metadata, &values),
            None => Event::dispatch(metadata, &values),
        }
    }

    /// Records the fields that are known only at the end, from position `fixed` on.
    pub(super) fn ended(&self, fixed: usize, last: &Values<'_>) {
        let Some(metadata) = self.0.metadata().filter(|_| !self.0.is_disabled()) else { return };
        let mut values: [Option<&dyn Value>; MAX_TIER_FIELDS] = [None; MAX_TIER_FIELDS];
        let length = metadata.fields().len().min(MAX_TIER_FIELDS);
        for (slot, value) in values[..length].iter_mut().skip(fixed).zip(last) {
            *slot = *value;
        }
        self.0.record_all(&metadata.fields().value_set_all(&values[..length]));
    }

    /// Returns the link for a span that follows from this one.
    pub(crate) fn link(&self) -> SpanLink {
        SpanLink(self.0.id())
    }

    pub(crate) fn follows_from(&self, link: &SpanLink) {
        self.0.follows_from(link.0.clone());
    }

    pub(crate) fn load_ended(&self, outcome: OperationOutcome, error: Option<&Error>) {
        let error_type =
            error.map(Error::error_type).or_else(|| (outcome == OperationOutcome::Panicked).then_some("panic"));
        self.ended(4, &[Some(&outcome.as_str()), Some(&error_type)]);
    }
}
