//! The id of one cache operation, and how it follows that operation from thread to thread.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::num::NonZeroU64;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

/// Identifies one observed cache operation, uniquely within the process.
///
/// Every event and span of the operation carries it. Inside the operation (in the code of a tier, and in the closure
/// of a compute method) [`RequestId::current`] tells it, on whatever thread the operation happens to be polled.
///
/// ```
/// use cachet::{RequestId, RequestIdExt};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let id = RequestId::next();
/// let seen = async { RequestId::current() }.with_request_id(id).await;
/// assert_eq!(seen, Some(id));
/// assert_eq!(RequestId::current(), None);
/// # }
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(NonZeroU64);

/// How many ids a thread takes from the shared counter at a time, so that threads rarely meet there.
const BLOCK: u64 = 1024;

thread_local! {
    static CURRENT: Cell<Option<RequestId>> = const { Cell::new(None) };
    /// The next id of this thread's block; at a multiple of `BLOCK` the block is used up.
    static NEXT: Cell<u64> = const { Cell::new(0) };
}

impl RequestId {
    /// Takes a new id, different from every other one in this process.
    #[inline]
    pub fn next() -> Self {
        NEXT.with(|next| {
            let mut id = next.get();
            if id % BLOCK == 0 {
                id = Self::take_block();
            }
            next.set(id + 1);
            // Never zero: the first block starts at one.
            Self(NonZeroU64::new(id).unwrap_or(NonZeroU64::MIN))
        })
    }

    #[cold]
    fn take_block() -> u64 {
        static BLOCKS: AtomicU64 = AtomicU64::new(0);
        BLOCKS.fetch_add(1, Ordering::Relaxed) * BLOCK + 1
    }

    /// The id of the operation that the current thread is polling at this moment, if it is an observed one.
    #[inline]
    pub fn current() -> Option<Self> {
        CURRENT.get()
    }

    /// The id as a number.
    pub const fn get(self) -> u64 {
        self.0.get()
    }

    /// An id that came from outside, for [`with_request_id`](RequestIdExt::with_request_id). Uniqueness is then the
    /// caller's business.
    ///
    /// ```
    /// assert_eq!(cachet::RequestId::from_u64(7).map(cachet::RequestId::get), Some(7));
    /// assert_eq!(cachet::RequestId::from_u64(0), None);
    /// ```
    pub fn from_u64(id: u64) -> Option<Self> {
        NonZeroU64::new(id).map(Self)
    }

    /// Makes this the current id until the returned scope is dropped.
    #[inline]
    pub(crate) fn enter(self) -> Scope {
        Scope { previous: CURRENT.replace(Some(self)), not_send: PhantomData }
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequestId({})", self.0)
    }
}

/// Restores the previous id when dropped, also while a panic unwinds.
pub(crate) struct Scope {
    previous: Option<RequestId>,
    not_send: PhantomData<*const ()>,
}

impl Drop for Scope {
    #[inline]
    fn drop(&mut self) {
        CURRENT.set(self.previous);
    }
}

pin_project! {
    /// A future inside which a [`RequestId`] is the current one; made by
    /// [`with_request_id`](RequestIdExt::with_request_id).
    ///
    /// The id is set on every poll, and while the inner future is dropped, and restored to what it was afterwards,
    /// also when the inner future panics. It never outlives the poll that it was set for, so the future may move
    /// between threads.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct WithRequestId<F> {
        #[pin]
        future: Option<F>,
        id: RequestId,
    }

    impl<F> PinnedDrop for WithRequestId<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            let _scope = this.id.enter();
            this.future.set(None);
        }
    }
}

impl<F: Future> Future for WithRequestId<F> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let _scope = this.id.enter();
        match this.future.as_pin_mut() {
            Some(future) => future.poll(cx),
            // Only `drop` empties it.
            None => Poll::Pending,
        }
    }
}

/// Adds [`with_request_id`](Self::with_request_id) to every future.
pub trait RequestIdExt: Future + Sized {
    /// Makes `id` the current [`RequestId`] inside this future.
    ///
    /// Cache operations inside it name that id as their parent's. Useful to tie cache operations to an id that a
    /// service has already given to its request, and to carry an operation's id into a task that is spawned inside it:
    ///
    /// ```
    /// use cachet::{RequestId, RequestIdExt};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let id = RequestId::next();
    /// let task = tokio::spawn(async { RequestId::current() }.with_request_id(id));
    /// assert_eq!(task.await.unwrap(), Some(id));
    /// # }
    /// ```
    fn with_request_id(self, id: RequestId) -> WithRequestId<Self> {
        WithRequestId { future: Some(self), id }
    }
}

impl<F: Future> RequestIdExt for F {}
