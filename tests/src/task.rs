//! Futures that are polled by the test: no runtime, no sleeping, every await point in sight.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use cachet::RequestId;

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A future that advances only when a test polls it. Dropping it cancels the future where it stands.
///
/// Every poll checks that no thread-local request id outlives it.
#[must_use = "a future does nothing unless polled"]
pub struct ManualTask<F> {
    future: Pin<Box<F>>,
    wakes: Arc<Wakes>,
}

impl<F: Future> ManualTask<F> {
    /// Not polled yet.
    pub fn new(future: F) -> Self {
        Self { future: Box::pin(future), wakes: Arc::default() }
    }

    /// Polls once.
    ///
    /// # Panics
    ///
    /// When the poll leaves another current request id behind than it found.
    #[track_caller]
    pub fn poll(&mut self) -> Poll<F::Output> {
        let before = RequestId::current();
        let polled = self.future.as_mut().poll(&mut Context::from_waker(&Waker::from(Arc::clone(&self.wakes))));
        assert_eq!(RequestId::current(), before, "a request id outlived the poll it was set for");
        polled
    }

    /// Polls a number of times, and finds it pending every time.
    ///
    /// # Panics
    ///
    /// When it is ready before.
    #[track_caller]
    pub fn pend(&mut self, polls: usize) {
        for poll in 1..=polls {
            assert!(self.poll().is_pending(), "ready at poll {poll} of {polls}");
        }
    }

    /// Polls once, and finds it ready.
    ///
    /// # Panics
    ///
    /// When it is pending.
    #[track_caller]
    pub fn ready(mut self) -> F::Output {
        match self.poll() {
            Poll::Ready(output) => output,
            Poll::Pending => panic!("pending"),
        }
    }

    /// Polls for as long as every pending poll has woken the task.
    ///
    /// # Panics
    ///
    /// When it is pending and nothing will ever wake it.
    #[track_caller]
    pub fn finish(mut self) -> F::Output {
        loop {
            let wakes = self.wakes();
            if let Poll::Ready(output) = self.poll() {
                return output;
            }
            assert!(self.wakes() > wakes, "pending, and nothing wakes it");
        }
    }

    /// How often the task has been woken.
    pub fn wakes(&self) -> usize {
        self.wakes.0.load(Ordering::SeqCst)
    }
}

impl<F> fmt::Debug for ManualTask<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManualTask").field("wakes", &self.wakes.0).finish_non_exhaustive()
    }
}

/// Polls two futures in turns until both are ready: neither may need more than what the other does to go on.
///
/// # Panics
///
/// When both are pending and nothing will ever wake either.
#[track_caller]
pub fn finish_both<A: Future, B: Future>(mut a: ManualTask<A>, mut b: ManualTask<B>) -> (A::Output, B::Output) {
    let (mut of_a, mut of_b) = (None, None);
    loop {
        let wakes = a.wakes() + b.wakes();
        let mut ended = false;
        if of_a.is_none() {
            of_a = ready_of(a.poll());
            ended |= of_a.is_some();
        }
        if of_b.is_none() {
            of_b = ready_of(b.poll());
            ended |= of_b.is_some();
        }
        match (of_a, of_b) {
            (Some(of_a), Some(of_b)) => return (of_a, of_b),
            pending => (of_a, of_b) = pending,
        }
        assert!(ended || a.wakes() + b.wakes() > wakes, "both are pending, and nothing wakes either");
    }
}

fn ready_of<T>(polled: Poll<T>) -> Option<T> {
    match polled {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// Polls once, and finds it ready: for operations that have nothing to wait for.
///
/// # Panics
///
/// When it is pending.
#[track_caller]
pub fn ready<F: Future>(future: F) -> F::Output {
    ManualTask::new(future).ready()
}

/// Runs a future to its end on this thread, which sleeps while another thread has to act: writes of a key take turns.
pub fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = std::pin::pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        std::thread::park();
    }
}

/// Is pending for a number of polls, each of which wakes the task at once.
pub async fn pend(mut polls: u32) {
    std::future::poll_fn(|cx| {
        if polls == 0 {
            return Poll::Ready(());
        }
        polls -= 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
