//! Several threads at the same time.

use std::borrow::Borrow;
use std::hint::{black_box, spin_loop};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use crate::bench::{Bench, Sample, runtime};
use crate::keys::{KeyForm, Keys};
use crate::workload::{Access, Zipf};

/// The length of a workload, which is then repeated.
const LENGTH: usize = 1 << 16;

/// The least operations of a round, so that the time in which only some threads have started does not count.
const FEWEST: u64 = 20_000;

/// A [`Bench`] of reads and writes over keys of skewed popularity, divided among threads: nanoseconds are per access of all
/// threads together. `read` and `write` return whether the access had the expected result.
pub fn mixed<K: KeyForm + ?Sized>(
    keys: Keys,
    threads: usize,
    read: impl AsyncFn(&K) -> bool + Sync + 'static,
    write: impl AsyncFn(K::Owned, u64) -> bool + Sync + 'static,
) -> Bench {
    let workloads: Vec<Vec<Access>> = (1..).take(threads).map(|seed| Zipf::accesses(seed, LENGTH)).collect();
    let threads = threads as u64;
    Bench::new(move |operations| {
        in_parallel(&workloads, |thread, workload| {
            // The first thread takes the remainder.
            let share = operations / threads + if thread == 0 { operations % threads } else { 0 };
            let share = usize::try_from(share).unwrap_or(usize::MAX);
            runtime().block_on(async {
                let mut expected = 0;
                for access in workload.iter().cycle().take(share) {
                    let number = black_box(access.number);
                    let is_expected = if access.is_write {
                        write(K::owned(keys, number), number).await
                    } else {
                        read(K::resident(keys, number).borrow()).await
                    };
                    expected += u64::from(is_expected);
                }
                expected
            })
        })
    })
    .at_least(FEWEST)
}

/// A [`Bench`] that every thread runs in full, at the same time; nanoseconds are per operation of one thread.
pub fn contended(threads: usize, work: impl Fn(u64) -> u64 + Send + Sync + 'static) -> Bench {
    let threads: Vec<()> = vec![(); threads];
    Bench::new(move |operations| {
        let sample = in_parallel(&threads, |_, ()| work(operations));
        Sample { expected: sample.expected / threads.len() as u64, ..sample }
    })
    .at_least(10 * FEWEST)
}

/// Runs a thread for each of the parts. All of them begin to work at the same moment.
fn in_parallel<T: Sync>(parts: &[T], work: impl Fn(usize, &T) -> u64 + Sync) -> Sample {
    let arrived = Arc::new(AtomicUsize::new(0));
    let results: Vec<(Instant, Instant, u64)> = thread::scope(|scope| {
        let threads: Vec<_> = parts
            .iter()
            .enumerate()
            .map(|(number, part)| {
                let (arrived, work) = (Arc::clone(&arrived), &work);
                scope.spawn(move || {
                    arrived.fetch_add(1, Ordering::AcqRel);
                    // Waking a thread takes longer than some rounds do.
                    while arrived.load(Ordering::Acquire) < parts.len() {
                        spin_loop();
                    }
                    let begin = Instant::now();
                    let expected = work(number, part);
                    (begin, Instant::now(), expected)
                })
            })
            .collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
    });
    let begin = results.iter().map(|it| it.0).min();
    let end = results.iter().map(|it| it.1).max();
    let elapsed = begin.zip(end).map_or_else(Default::default, |(begin, end)| end - begin);
    Sample { elapsed, expected: results.iter().map(|it| it.2).sum() }
}
