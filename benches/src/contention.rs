//! Threads that work at the same time.

use std::borrow::Borrow;
use std::hint::{black_box, spin_loop};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use crate::keys::{Access, KeyForm, Keys, Zipf};
use crate::measure::{Executor, Loop, Pass};

/// How long a workload is before it repeats.
const LENGTH: usize = 1 << 16;

/// What a round has at least: threads do not begin to run at the same instant, and that must not count.
const FEWEST: u64 = 20_000;

/// A [`Loop`] of reads and writes over keys of skewed popularity, shared out among threads: nanoseconds are per access of all
/// threads together. `read` and `write` say whether the access ended as meant; they may have to wait for another thread.
pub fn mixed<K: KeyForm + ?Sized>(
    keys: Keys,
    threads: usize,
    executor: impl Executor + Sync + 'static,
    read: impl AsyncFn(&K) -> bool + Sync + 'static,
    write: impl AsyncFn(K::Owned, u64) -> bool + Sync + 'static,
) -> Loop {
    let workloads: Vec<Vec<Access>> = (1..).take(threads).map(|seed| Zipf::accesses(seed, LENGTH)).collect();
    let threads = threads as u64;
    Loop::new(move |operations| {
        together(&workloads, |thread, workload| {
            // The first thread takes what cannot be shared out.
            let share = operations / threads + if thread == 0 { operations % threads } else { 0 };
            let share = usize::try_from(share).unwrap_or(usize::MAX);
            executor.block_on(async {
                let mut as_meant = 0;
                for access in workload.iter().cycle().take(share) {
                    let number = black_box(access.number);
                    let is_met = if access.is_write {
                        write(K::owned(keys, number), number).await
                    } else {
                        read(K::resident(keys, number).borrow()).await
                    };
                    as_meant += u64::from(is_met);
                }
                as_meant
            })
        })
    })
    .at_least(FEWEST)
}

/// A [`Loop`] that every thread runs in full, at the same time; nanoseconds are what each of them sees.
pub fn contended(threads: usize, work: impl Fn(u64) -> u64 + Send + Sync + 'static) -> Loop {
    let threads: Vec<()> = vec![(); threads];
    Loop::new(move |operations| {
        let pass = together(&threads, |_, ()| work(operations));
        Pass { as_meant: pass.as_meant / threads.len() as u64, ..pass }
    })
    .at_least(10 * FEWEST)
}

/// Lets a thread do something with each of the parts. All begin at the same moment, from which on time is taken.
fn together<T: Sync>(parts: &[T], work: impl Fn(usize, &T) -> u64 + Sync) -> Pass {
    let arrived = Arc::new(AtomicUsize::new(0));
    let begun_and_ended: Vec<(Instant, Instant, u64)> = thread::scope(|scope| {
        let threads: Vec<_> = parts
            .iter()
            .enumerate()
            .map(|(number, part)| {
                let (arrived, work) = (Arc::clone(&arrived), &work);
                scope.spawn(move || {
                    arrived.fetch_add(1, Ordering::AcqRel);
                    // Waking a sleeper takes longer than some rounds do.
                    while arrived.load(Ordering::Acquire) < parts.len() {
                        spin_loop();
                    }
                    let begin = Instant::now();
                    let as_meant = work(number, part);
                    (begin, Instant::now(), as_meant)
                })
            })
            .collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
    });
    let begin = begun_and_ended.iter().map(|it| it.0).min();
    let end = begun_and_ended.iter().map(|it| it.1).max();
    let elapsed = begin.zip(end).map_or_else(Default::default, |(begin, end)| end - begin);
    Pass { elapsed, as_meant: begun_and_ended.iter().map(|it| it.2).sum() }
}
