//! S28: a closure that asks for the key it computes.

use std::io;
use std::pin::pin;
use std::task::Poll;

use cachet::telemetry::TierOperation::{Get, Insert};
use cachet::testing::Behavior::Pend;
use cachet::{CacheEntry, Error};
use cachet_tests::task::pend;
use cachet_tests::{ManualTask, events, ready};

use super::{COMPUTED, Method, after, ask, never, protected};
use crate::{stored, value};

// S28
#[test]
fn a_closure_that_asks_for_its_own_key_gets_an_error() {
    for method in Method::ALL {
        for polls in [0, 1] {
            let two = protected();
            let (cache, l1) = (&two.cache, &two.l1);
            let outer = ask(cache, "ada", async {
                pend(polls).await;
                l1.next(Get, Pend(polls));
                let error = match method {
                    Method::Plain => cache.get_or_insert("ada", never).await.unwrap_err(),
                    Method::Try => {
                        let inner = cache.try_get_or_insert("ada", || async { io::Result::Ok(never().await) });
                        inner.await.unwrap_err()
                    }
                    Method::Optionally => {
                        let inner = cache.optionally_get_or_insert("ada", || async { Some(never().await) });
                        inner.await.unwrap_err()
                    }
                };
                assert_eq!((error.is_reentrant(), error.is_load(), error.error_type()), (true, false, "reentrant"));
                assert_eq!(cache.get("ada").await.unwrap(), None);
                1
            });
            assert_eq!(outer.finish().unwrap(), Some(1), "{method:?}");
            let nested = format!("{}: error", method.name());
            assert_eq!(
                events::by_operation(&two.events()),
                [
                    &["l1 get: miss", "l2 get: miss (fallback)", &nested][..],
                    &["l1 get: miss", "l2 get: miss (fallback)", "get: miss"],
                    &COMPUTED,
                ]
            );
        }
    }
}

// S28
#[test]
fn an_error_of_reentrance_that_is_passed_on_reaches_the_followers_too() {
    let two = protected();
    let cache = &two.cache;
    let compute = || {
        ManualTask::new(cache.try_get_or_insert("ada", || async {
            pend(1).await;
            cache.get_or_insert("ada", never).await.map(CacheEntry::into_value)
        }))
    };
    let (mut leader, mut follower) = (compute(), compute());
    leader.pend(1);
    follower.pend(1);
    for asking in [leader, follower] {
        let error = asking.ready().unwrap_err();
        assert!(error.is_load());
        assert!(error.source_as::<Error>().unwrap().is_reentrant());
    }
}

// S28
#[test]
fn a_closure_is_recognized_behind_the_closures_of_other_keys() {
    let two = protected();
    let cache = &two.cache;
    for tier in [&two.l1, &two.l2] {
        tier.always(Get, Pend(1));
        tier.always(Insert, Pend(1));
    }
    let error = ManualTask::new(cache.try_get_or_insert("a", || async {
        cache
            .try_get_or_insert("b", || async {
                cache.try_get_or_insert("c", || async { cache.get_or_insert("a", never).await }).await
            })
            .await
    }))
    .finish()
    .unwrap_err();
    let mut cause = &error;
    for _ in 0..3 {
        assert!(cause.is_load());
        cause = std::error::Error::source(cause).unwrap().downcast_ref().unwrap();
    }
    assert!(cause.is_reentrant());
    assert_eq!(two.lines().last().unwrap(), "try_get_or_insert: error");
}

// S28, S23
#[test]
fn a_closure_may_compute_other_keys() {
    let two = protected();
    let cache = &two.cache;
    for tier in [&two.l1, &two.l2] {
        tier.always(Get, Pend(1));
        tier.always(Insert, Pend(1));
    }
    let outer = ask(cache, "a", async {
        let b = cache.get_or_insert("b", || async { *cache.get_or_insert("c", || after(1, 3)).await.unwrap() + 1 });
        // The other key is looked up anew once it is there.
        *b.await.unwrap() + *cache.get_or_insert("c", never).await.unwrap()
    });
    assert_eq!(outer.finish().unwrap(), Some(7));
    assert_eq!(["a", "b", "c"].map(|key| stored(&two.l1, key)), [Some(7), Some(4), Some(3)]);
}

// S28: what another task computes is waited for, also inside a closure.
#[test]
fn a_closure_may_follow_the_flight_of_another_key() {
    let two = protected();
    let cache = &two.cache;
    let mut other = ask(cache, "b", after(1, 2));
    other.pend(1);
    let mut outer = ask(cache, "a", async { *cache.get_or_insert("b", never).await.unwrap() + 1 });
    outer.pend(1);
    assert_eq!(other.ready().unwrap(), Some(2));
    assert_eq!(outer.finish().unwrap(), Some(3));
}

// S28: two caches have nothing to do with each other.
#[test]
fn a_closure_may_ask_another_cache_for_the_same_key() {
    let (outer, inner) = (protected(), protected());
    let asking =
        ask(&outer.cache, "ada", async { *inner.cache.get_or_insert("ada", || after(1, 1)).await.unwrap() + 1 });
    assert_eq!(asking.finish().unwrap(), Some(2));
}

// S28, S19
#[test]
fn a_closure_may_write_its_own_key() {
    let two = protected();
    let cache = &two.cache;
    let outer = ask(cache, "ada", async {
        cache.insert("ada", 2).await.unwrap();
        // There is no need to compute what is there.
        assert_eq!(*cache.get_or_insert("ada", never).await.unwrap(), 2);
        1
    });
    assert_eq!(outer.ready().unwrap(), Some(1));
    assert_eq!(value(cache, "ada"), Some(2));
}

/// Polls both until both are ready.
async fn join<A: Future, B: Future>(a: A, b: B) -> (A::Output, B::Output) {
    let (mut a, mut b) = (pin!(a), pin!(b));
    let (mut of_a, mut of_b) = (None, None);
    std::future::poll_fn(move |cx| {
        if of_a.is_none()
            && let Poll::Ready(output) = a.as_mut().poll(cx)
        {
            of_a = Some(output);
        }
        if of_b.is_none()
            && let Poll::Ready(output) = b.as_mut().poll(cx)
        {
            of_b = Some(output);
        }
        match (of_a.take(), of_b.take()) {
            (Some(a), Some(b)) => Poll::Ready((a, b)),
            pending => {
                (of_a, of_b) = pending;
                Poll::Pending
            }
        }
    })
    .await
}

// S25, S28: one task may lead and follow at the same time, since the one does not need the other.
#[test]
fn one_task_may_ask_twice_at_the_same_time() {
    let two = protected();
    let cache = &two.cache;
    let both = || join(cache.get_or_insert("ada", || after(1, 1)), cache.get_or_insert("ada", never));
    let (led, followed) = ManualTask::new(both()).finish();
    assert_eq!((*led.unwrap(), *followed.unwrap()), (1, 1));
    ready(cache.invalidate("ada")).unwrap();
    let outer = ask(cache, "outer", async {
        let (led, followed) = both().await;
        *led.unwrap() + *followed.unwrap()
    });
    assert_eq!(outer.finish().unwrap(), Some(2));
}

// S28: also where two threads poll in turns.
#[test]
fn reentrance_is_noticed_on_whatever_thread() {
    let two = protected();
    let cache = &two.cache;
    let mut outer = Box::pin(cache.try_get_or_insert("ada", || async {
        pend(1).await;
        two.l1.next(Get, Pend(1));
        cache.get_or_insert("ada", never).await
    }));
    let mut result = None;
    for _ in 0..3 {
        std::thread::scope(|scope| {
            let outer = outer.as_mut();
            let poll = scope.spawn(move || ManualTask::new(outer).poll());
            if let Poll::Ready(ended) = poll.join().unwrap() {
                result = Some(ended);
            }
        });
    }
    drop(outer);
    assert!(result.unwrap().unwrap_err().source_as::<Error>().unwrap().is_reentrant());
}
