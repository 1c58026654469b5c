//! A runtime whose tasks advance, and whose time passes, only on request.

use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use cachet::Runtime;
use cachet::future::RuntimeFuture;

use crate::ManualTask;

/// Collects the tasks that are started in it. Clones share them.
#[derive(Clone, Default)]
pub struct ManualRuntime(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    tasks: Vec<ManualTask<RuntimeFuture>>,
    /// Each timer holds one.
    timers: Arc<()>,
    sleepers: Vec<Waker>,
    passed: Duration,
}

impl ManualRuntime {
    /// Has no tasks yet.
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many tasks there are that have not ended.
    pub fn tasks(&self) -> usize {
        self.state().tasks.len()
    }

    /// How many timers are running.
    pub fn timers(&self) -> usize {
        Arc::strong_count(&self.state().timers) - 1
    }

    /// Polls every task once that is there now, in the order in which they were started. Returns whether there is reason
    /// to poll again: some task has ended, or was woken meanwhile.
    ///
    /// # Panics
    ///
    /// As [`ManualTask::poll`].
    #[track_caller]
    pub fn poll(&self) -> bool {
        // Not under the lock: a task may start another one.
        let tasks = std::mem::take(&mut self.state().tasks);
        let (mut pending, mut moves) = (Vec::new(), false);
        for mut task in tasks {
            let wakes = task.wakes();
            if task.poll().is_ready() {
                moves = true;
            } else {
                moves |= task.wakes() > wakes;
                pending.push(task);
            }
        }
        let mut state = self.state();
        pending.append(&mut state.tasks);
        state.tasks = pending;
        moves
    }

    /// Polls the tasks, and those that they start, until all have ended.
    ///
    /// # Panics
    ///
    /// When they are pending and nothing will ever wake them.
    #[track_caller]
    pub fn run(&self) {
        while self.tasks() > 0 {
            assert!(self.poll() || self.tasks() == 0, "{} tasks are pending, and nothing wakes them", self.tasks());
        }
    }

    /// How often each task was woken.
    pub fn wakes(&self) -> Vec<usize> {
        self.state().tasks.iter().map(ManualTask::wakes).collect()
    }

    /// Drops all tasks where they stand, as a runtime does that is shut down.
    pub fn drop_tasks(&self) {
        let tasks = std::mem::take(&mut self.state().tasks);
        drop(tasks);
    }

    /// Lets time pass for those who wait for it.
    pub fn pass(&self, time: Duration) {
        let sleepers = {
            let mut state = self.state();
            state.passed += time;
            std::mem::take(&mut state.sleepers)
        };
        sleepers.into_iter().for_each(Waker::wake);
    }
}

impl Runtime for ManualRuntime {
    fn spawn(&self, task: RuntimeFuture) {
        self.state().tasks.push(ManualTask::new(task));
    }

    fn sleep(&self, duration: Duration) -> RuntimeFuture {
        let runtime = self.clone();
        let (timer, until) = {
            let state = self.state();
            (Arc::clone(&state.timers), state.passed + duration)
        };
        Box::pin(poll_fn(move |cx| {
            let _ = &timer;
            let mut state = runtime.state();
            if state.passed >= until {
                return Poll::Ready(());
            }
            state.sleepers.push(cx.waker().clone());
            Poll::Pending
        }))
    }
}

impl fmt::Debug for ManualRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManualRuntime").field("tasks", &self.tasks()).finish_non_exhaustive()
    }
}
