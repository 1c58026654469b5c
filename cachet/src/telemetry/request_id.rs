//! The id of one cache operation, and its propagation across threads.

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
/// Every event and span of the operation carries it. Inside the operation, that is in a tier and in a loader,
/// [`RequestId::current`] returns it, on any thread that polls the operation.
///
/// ```
/// use cachet::telemetry::RequestIdExt;
/// use cachet::RequestId;
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

/// The number of ids that a thread takes from the shared counter at a time, to reduce contention.
const BLOCK: u64 = 1024;

thread_local! {
    static CURRENT: Cell<Option<RequestId>> = const { Cell::new(None) };
    /// The next id of this thread's block; the block is used up at a multiple of `BLOCK`.
    static NEXT: Cell<u64> = const { Cell::new(0) };
}

impl RequestId {
    /// Returns a new id, unique in this process.
    #[inline]
    pub fn next() -> Self {
        NEXT.with(|next| {
            let mut id = next.get();
            if id % BLOCK == 0 {
                id = Self::take_block();
            }
            next.set(id + 1);
            // Never zero, since the first block starts at one.
            Self(NonZeroU64::new(id).unwrap_or(NonZeroU64::MIN))
        })
    }

    #[cold]
    fn take_block() -> u64 {
        static BLOCKS: AtomicU64 = AtomicU64::new(0);
        BLOCKS.fetch_add(1, Ordering::Relaxed) * BLOCK + 1
    }

    /// Returns the id of the observed operation that the current thread is polling.
    #[inline]
    pub fn current() -> Option<Self> {
        CURRENT.get()
    }

    /// Returns the id as a number.
    pub const fn get(self) -> u64 {
        self.0.get()
    }

    /// Creates an id from an external number, for [`with_request_id`](RequestIdExt::with_request_id); `None` for zero. The caller is
    /// responsible for its uniqueness.
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
    /// A future with a current [`RequestId`]; created by [`with_request_id`](RequestIdExt::with_request_id).
    ///
    /// The id is set during every poll and while the inner future is dropped. The previous id is restored afterwards, also if the
    /// inner future panics. The id is never set between polls, so the future may move between threads.
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
            // Only `drop` removes the future.
            None => Poll::Pending,
        }
    }
}

/// Adds [`with_request_id`](Self::with_request_id) to every future.
pub trait RequestIdExt: Future + Sized {
    /// Sets the current [`RequestId`] inside this future.
    ///
    /// Cache operations inside the future report this id as their parent. Use it to correlate cache operations with the request id
    /// of a service, or to pass the id of an operation to a spawned task:
    ///
    /// ```
    /// use cachet::telemetry::RequestIdExt;
    /// use cachet::RequestId;
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
