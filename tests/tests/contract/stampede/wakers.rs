//! S25: wakers that poll at once what they wake.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use cachet::Tier;
use cachet_tests::ManualTask;

use super::after;
use crate::Ages;

/// Fails instead of hanging.
fn within(what: &str, work: impl FnOnce() + Send + 'static) {
    let (done, wait) = mpsc::channel();
    std::thread::spawn(move || {
        work();
        let _ = done.send(());
    });
    wait.recv_timeout(Duration::from_secs(5)).unwrap_or_else(|e| panic!("{what}: {e}"));
}

// S25
#[test]
fn a_waker_may_poll_what_it_wakes() {
    type Task = Pin<Box<dyn Future<Output = ()> + Send>>;
    struct Inline {
        task: Mutex<Option<Task>>,
        polled: AtomicUsize,
    }
    impl Inline {
        fn poll(self: &Arc<Self>) {
            let Some(mut task) = self.task.lock().unwrap().take() else { return };
            self.polled.fetch_add(1, Ordering::SeqCst);
            if task.as_mut().poll(&mut Context::from_waker(&Waker::from(self.clone()))).is_pending() {
                *self.task.lock().unwrap() = Some(task);
            }
        }
    }
    impl Wake for Inline {
        fn wake(self: Arc<Self>) {
            self.poll();
        }
    }
    within("a waker that polls", || {
        let cache = Ages::builder("ages").tier(Tier::memory(10)).stampede_protection().build();
        let mut leader = ManualTask::new(cache.get_or_insert("a", || after(1, 1)));
        leader.pend(1);
        let other = cache.clone();
        let task = Arc::new(Inline {
            task: Mutex::new(Some(Box::pin(async move {
                assert_eq!(**other.get_or_insert("a", || async { 2 }).await.as_ref().unwrap(), 1);
            }))),
            polled: AtomicUsize::new(0),
        });
        task.poll();
        assert_eq!(*leader.ready().unwrap(), 1);
        assert_eq!(task.polled.load(Ordering::SeqCst), 2);
    });
}
