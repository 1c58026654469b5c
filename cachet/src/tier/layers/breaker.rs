//! The circuit breaker of a tier: after so many failures in a row, it is not called for a while; then one call is a probe.
//!
//! The pattern is that of Nygard, *Release It!* (2007).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::{Clock, Tick};
use crate::error::Error;

pub(crate) struct Breaker {
    failures: u32,
    open_for: Duration,
    clock: Clock,
    /// Whether there is anything to look at: no failure since the last success, most of the time.
    has_failed: AtomicBool,
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// So many calls have failed in a row.
    Closed(u32),
    /// A call after this time is a probe.
    Open(Tick),
    /// A probe is running.
    Probing,
}

/// What became of a breaker when a call had ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transition {
    Opened,
    Closed,
}

impl Breaker {
    pub(crate) fn new(failures: u32, open_for: Duration, clock: Clock) -> Self {
        let state = Mutex::new(State::Closed(0));
        Self { failures: failures.max(1), open_for, clock, has_failed: AtomicBool::new(false), state }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the tier is not called, but for a probe.
    pub(crate) fn is_open(&self) -> bool {
        self.has_failed.load(Ordering::Acquire) && !matches!(*self.state(), State::Closed(_))
    }

    /// Whether a call would be refused now.
    pub(crate) fn refuses(&self) -> bool {
        self.has_failed.load(Ordering::Acquire)
            && match *self.state() {
                State::Closed(_) => false,
                State::Open(until) => self.clock.now() < until,
                State::Probing => true,
            }
    }

    /// Asks to call the tier.
    ///
    /// # Errors
    ///
    /// If the breaker is open.
    pub(crate) fn admit(&self) -> Result<Admission<'_>, Error> {
        let mut is_probe = false;
        if self.has_failed.load(Ordering::Acquire) {
            let mut state = self.state();
            is_probe = match *state {
                State::Closed(_) => false,
                State::Open(until) if self.clock.now() >= until => true,
                State::Open(_) | State::Probing => return Err(Error::breaker_open()),
            };
            if is_probe {
                *state = State::Probing;
            }
        }
        Ok(Admission { breaker: self, is_probe, has_ended: false })
    }
}

/// A call that may be made. Dropped before it has ended, it says nothing of the tier.
pub(crate) struct Admission<'b> {
    breaker: &'b Breaker,
    is_probe: bool,
    has_ended: bool,
}

impl Admission<'_> {
    /// A method of the tier has returned. Of several methods of one call, the first counts.
    pub(crate) fn ended(&mut self, is_ok: bool) -> Option<Transition> {
        if std::mem::replace(&mut self.has_ended, true) {
            return None;
        }
        if is_ok { self.succeeded() } else { self.failed() }
    }

    fn succeeded(&self) -> Option<Transition> {
        if !self.breaker.has_failed.load(Ordering::Acquire) {
            return None;
        }
        let mut state = self.breaker.state();
        self.breaker.has_failed.store(false, Ordering::Release);
        let before = std::mem::replace(&mut *state, State::Closed(0));
        (!matches!(before, State::Closed(_))).then_some(Transition::Closed)
    }

    fn failed(&self) -> Option<Transition> {
        let breaker = self.breaker;
        let mut state = breaker.state();
        breaker.has_failed.store(true, Ordering::Release);
        let failures = match *state {
            State::Closed(failures) => failures + 1,
            // One that began before the breaker opened.
            State::Open(_) | State::Probing if !self.is_probe => return None,
            State::Open(_) | State::Probing => breaker.failures,
        };
        if failures < breaker.failures {
            *state = State::Closed(failures);
            return None;
        }
        *state = State::Open(breaker.clock.now().after(breaker.open_for));
        (!self.is_probe).then_some(Transition::Opened)
    }
}

impl Drop for Admission<'_> {
    fn drop(&mut self) {
        if self.has_ended {
            return;
        }
        if std::thread::panicking() {
            self.failed();
        } else if self.is_probe {
            let mut state = self.breaker.state();
            if *state == State::Probing {
                // The next call is the probe.
                *state = State::Open(self.breaker.clock.now());
            }
        }
    }
}
