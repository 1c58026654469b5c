//! The frame of `get` and of the compute methods: a hit of an immediate first tier is written where the caller wants it;
//! everything else goes on behind it, in one box unless no tier has to be waited for.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use super::Inner;
use crate::bounds::{Key, Value};
use crate::entry::CacheEntry;
use crate::stack::Lookup;
use crate::telemetry::{CacheOperation, Operation};
use crate::tier::erased::{BoxFuture, GetResult, NotAHit, OnMiss};

/// What one method adds to the frame.
pub(super) trait Method<'a, K: Key + ?Sized, V: Value>: Sized {
    type Output;

    /// Whether a miss is computed, rather than returned.
    const COMPUTES: bool;

    fn kind(&self) -> CacheOperation;

    /// Notes what has to be known from before the lookup.
    #[inline]
    fn begin(self: Pin<&mut Self>, _cache: &'a Inner<K, V>) {}

    /// Asks the first tier.
    fn ask(cache: &'a Inner<K, V>, key: &K, on_miss: OnMiss<'_, Self::Output>) -> Poll<Self::Output>;

    fn entry(output: &Self::Output) -> Option<&CacheEntry<V>>;

    fn output(looked: GetResult<V>) -> Self::Output;

    /// Asks the tiers below, after an unobserved miss of the first; pending if there is more to it than to ask.
    fn ask_below(_cache: &'a Inner<K, V>, _key: &K) -> Poll<Self::Output> {
        Poll::Pending
    }

    /// Whatever the first tier did not answer.
    fn rest(self: Pin<&mut Self>, rest: Rest<'_, 'a, K, V>) -> Next<'a, V>;

    /// Goes on after [`Next::Here`].
    fn poll_here(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<GetResult<V>> {
        Poll::Pending
    }
}

pub(super) enum Next<'a, V> {
    Ready(GetResult<V>),
    /// In a box.
    Boxed(BoxFuture<'a, GetResult<V>>),
    /// In the method itself.
    Here,
}

/// A lookup after its first tier.
pub(super) struct Rest<'o, 'a, K: Key + ?Sized, V: Value> {
    pub(super) cache: &'a Inner<K, V>,
    pub(super) key: &'a K,
    pub(super) operation: &'o mut Option<Operation<'a>>,
    pub(super) lookup: Lookup<'a, V>,
}

pin_project! {
    /// A read from its first poll to its answer.
    pub(super) struct Frame<'a, K, V, M>
    where
        K: Key,
        K: ?Sized,
        V: Value,
    {
        // Before the state: a closure's future is gone before a follower takes over.
        #[pin]
        method: M,
        state: State<'a, K, V>,
    }
}

enum State<'a, K: Key + ?Sized, V: Value> {
    First(&'a Inner<K, V>, &'a K),
    Here,
    Rest(BoxFuture<'a, GetResult<V>>),
    Done,
}

impl<'a, K: Key + ?Sized, V: Value, M: Method<'a, K, V>> Frame<'a, K, V, M> {
    #[inline]
    pub(super) fn new(cache: &'a Inner<K, V>, key: &'a K, method: M) -> Self {
        Self { method, state: State::First(cache, key) }
    }

    #[inline(never)]
    fn poll_observed(
        mut self: Pin<&mut Self>,
        cache: &'a Inner<K, V>,
        key: &'a K,
        cx: &mut Context<'_>,
    ) -> Poll<M::Output> {
        let kind = self.method.kind();
        if !cache.tiers.first_immediate() {
            let operation = &mut cache.observe(kind, Some(key));
            return self.rest(Rest { cache, key, operation, lookup: Lookup::from_the_first() }, cx);
        }
        let recorded = cache.options.record_keys.text(key);
        let mut probe = cache.probe(kind, recorded.as_ref());
        let answer = M::ask(cache, key, &mut |not_a_hit| {
            let text = || cache.options.record_keys.text(key);
            let operation = &mut probe.grow_into_operation(&not_a_hit.as_answer(), text);
            self.as_mut().rest(Rest { cache, key, operation, lookup: Lookup::after(not_a_hit) }, cx)
        });
        if let Poll::Ready(output) = &answer
            && let Some(entry) = M::entry(output)
        {
            probe.hit(entry);
        }
        answer
    }

    /// The first tier did not answer an unobserved lookup. What it needs is still in the state: the fewer a closure captures,
    /// the cheaper is a hit, which never calls it.
    #[cold]
    #[inline(never)]
    fn missed(self: Pin<&mut Self>, not_a_hit: NotAHit, cx: &mut Context<'_>) -> Poll<M::Output> {
        let State::First(cache, key) = self.state else { return Poll::Pending };
        if let NotAHit::Miss = not_a_hit {
            let below = M::ask_below(cache, key);
            if below.is_ready() {
                return below;
            }
        }
        self.rest(Rest { cache, key, operation: &mut None, lookup: Lookup::after(not_a_hit) }, cx)
    }

    #[cold]
    #[inline(never)]
    fn rest(mut self: Pin<&mut Self>, rest: Rest<'_, 'a, K, V>, cx: &mut Context<'_>) -> Poll<M::Output> {
        let this = self.as_mut().project();
        *this.state = State::Done;
        *this.state = match this.method.rest(rest) {
            Next::Ready(looked) => return Poll::Ready(M::output(looked)),
            Next::Boxed(future) => State::Rest(future),
            Next::Here => State::Here,
        };
        self.poll_rest(cx)
    }

    #[cold]
    #[inline(never)]
    fn poll_rest(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<M::Output> {
        let this = self.project();
        let looked = match this.state {
            State::Rest(future) => ready!(future.as_mut().poll(cx)),
            State::Here => ready!(this.method.poll_here(cx)),
            // Polled again after it was done: there is nothing to wake for.
            State::First(..) | State::Done => return Poll::Pending,
        };
        *this.state = State::Done;
        Poll::Ready(M::output(looked))
    }
}

impl<'a, K: Key + ?Sized, V: Value, M: Method<'a, K, V>> Future for Frame<'a, K, V, M> {
    type Output = M::Output;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<M::Output> {
        let State::First(cache, key) = self.state else { return self.poll_rest(cx) };
        self.as_mut().project().method.begin(cache);
        if cache.observed() {
            return self.poll_observed(cache, key, cx);
        }
        M::ask(cache, key, &mut |not_a_hit| match (not_a_hit, &self.state) {
            (NotAHit::Miss, State::First(cache, _)) if !M::COMPUTES && cache.tiers.is_end(1) => {
                Poll::Ready(M::output(Ok(None)))
            }
            (not_a_hit, _) => self.as_mut().missed(not_a_hit, cx),
        })
    }
}
