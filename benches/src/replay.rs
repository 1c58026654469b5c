//! The replay of a trace: hit ratio, throughput, and the hits of each tier.
//!
//! A trace is a text with a line `first_page count 0 request_number` per request, for `count` pages from `first_page` on. This
//! is the format of the traces of N. Megiddo and D. S. Modha, "ARC: A Self-Tuning, Low Overhead Replacement Cache", USENIX
//! FAST 03, pp. 115-130; with their trace OLTP, the ratios of that paper are printed too. Every page is looked up, and
//! inserted if it is missing.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::process::ExitCode;
use std::time::Instant;

use cachet::telemetry::Stats;
use cachet::{Cache, Tier};

use crate::peer::{Library, Replay};
use crate::peers::BUILT_IN;
use crate::peers::cachet::Cachet;
use crate::workload::{Random, Zipf};

const USAGE: &str = "\
usage: replay [FILE] [--capacity N]…

  FILE          lines `first_page count 0 request_number`; `-` reads them from standard input; without a file, a
                synthetic trace is used
  --capacity N  the capacity of a cache in pages; may be given several times
";

/// Replays of each library, of which the median counts.
const ROUNDS: usize = 5;

/// The capacity of the second tier, as a multiple of the first.
const SECOND: usize = 4;

/// By capacity: the hit ratios in percent of LRU and of ARC with the trace OLTP, from the paper.
const OLTP: [(usize, f64, f64); 5] = [
    (1_000, 32.83, 38.93),
    (2_000, 42.47, 46.08),
    (5_000, 53.65, 55.25),
    (10_000, 60.70, 61.87),
    (15_000, 64.63, 65.40),
];

/// The number of requests of the trace OLTP.
const OLTP_REQUESTS: usize = 914_145;

/// Runs the program with the arguments of this process.
pub fn run(others: &[Library]) -> ExitCode {
    let Some((file, capacities)) = parse(std::env::args().skip(1)) else {
        eprint!("{USAGE}");
        return ExitCode::FAILURE;
    };
    let trace = match file.as_deref() {
        None => Ok(synthetic()),
        Some("-") => read(io::stdin().lock()),
        Some(path) => File::open(path).and_then(|file| read(BufReader::new(file))),
    };
    let pages = match trace {
        Ok(pages) => pages,
        Err(error) => {
            eprintln!("{}: {error}", file.as_deref().unwrap_or("trace"));
            return ExitCode::FAILURE;
        }
    };
    println!("{}: {} requests", file.as_deref().unwrap_or("a synthetic trace"), pages.len());
    for capacity in capacities {
        compare(&pages, capacity, others);
    }
    ExitCode::SUCCESS
}

/// Returns the file and the capacities; `None` if an argument is unknown.
fn parse(arguments: impl IntoIterator<Item = String>) -> Option<(Option<String>, Vec<usize>)> {
    let (mut file, mut capacities) = (None, Vec::new());
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        if argument == "--capacity" {
            capacities.push(arguments.next()?.parse().ok()?);
        } else if argument.starts_with("--") || file.is_some() {
            return None;
        } else {
            file = Some(argument);
        }
    }
    if capacities.is_empty() {
        capacities.extend(OLTP.map(|(capacity, ..)| capacity));
    }
    Some((file, capacities))
}

fn read(lines: impl BufRead) -> io::Result<Vec<u64>> {
    let mut pages = Vec::new();
    for (number, line) in lines.lines().enumerate() {
        let line = line?;
        let mut fields = line.split_whitespace().map(str::parse::<u64>);
        match (fields.next(), fields.next()) {
            (None, _) => {}
            (Some(Ok(first)), Some(Ok(count))) => pages.extend(first..first.saturating_add(count)),
            _ => {
                let message = format!("line {}: not `first_page count 0 request_number`: {line:?}", number + 1);
                return Err(io::Error::new(io::ErrorKind::InvalidData, message));
            }
        }
    }
    Ok(pages)
}

/// Pages of skewed popularity, interrupted by scans of pages that are requested once.
fn synthetic() -> Vec<u64> {
    const PAGES: u64 = 100_000;
    let (mut random, popular) = (Random::seeded(3), Zipf::over(PAGES));
    let mut pages = Vec::new();
    for scan in 0..10 {
        pages.extend((0..50_000).map(|_| popular.draw(&mut random)));
        pages.extend((0..5_000).map(|page| PAGES + scan * 5_000 + page));
    }
    pages
}

fn compare(pages: &[u64], capacity: usize, others: &[Library]) {
    println!("\n{capacity} pages\n  {:<16} {:>9} {:>14}", "library", "hits", "requests/µs");
    let libraries = || BUILT_IN.iter().chain(others);
    let mut results: Vec<Vec<(u64, f64)>> = libraries().map(|_| Vec::new()).collect();
    for _ in 0..ROUNDS {
        for (library, results) in libraries().zip(&mut results) {
            if let Ok(mut replay) = (library.replay)(capacity) {
                let start = Instant::now();
                let hits = replay.run(pages);
                results.push((hits, start.elapsed().as_secs_f64()));
            }
        }
    }
    for (library, mut results) in libraries().zip(results) {
        results.sort_by(|a, b| a.1.total_cmp(&b.1));
        match (results.get(results.len() / 2), (library.replay)(capacity)) {
            (Some((hits, seconds)), _) => {
                let throughput = share(pages.len() as u64, 1_000_000) / seconds;
                println!(
                    "  {:<16} {:>7.2} % {throughput:>14.2}",
                    library.name,
                    100.0 * share(*hits, pages.len() as u64)
                );
            }
            (None, reason) => println!("  {:<16} – {}", library.name, reason.err().unwrap_or_default()),
        }
    }
    if let Some((_, lru, arc)) = OLTP.into_iter().find(|known| known.0 == capacity && pages.len() == OLTP_REQUESTS) {
        println!("  in the paper     {lru:>7.2} % LRU, {arc:.2} % ARC (Megiddo and Modha, FAST 03)");
    }
    let stats = Stats::new();
    let tiers = Cache::builder("trace")
        .tier(Tier::memory(capacity).name("first"))
        .tier(Tier::memory(SECOND * capacity).name("second"))
        .event_handler(stats.clone());
    let hits = Replay::of::<Cachet>(tiers.build()).run(pages);
    println!(
        "  cachet, over a second tier of {} pages: {:.2} %",
        SECOND * capacity,
        100.0 * share(hits, pages.len() as u64)
    );
    for line in stats.to_string().lines() {
        println!("    {line}");
    }
}

#[allow(clippy::cast_precision_loss, reason = "far below 2^53")]
fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_for_a_count_of_pages_from_the_first_on() {
        let pages = read("7 2 0 0\n\n100 1 0 1\n".as_bytes()).expect("a trace");
        assert_eq!(pages, [7, 8, 100]);
    }

    #[test]
    fn an_invalid_line_is_named_in_the_error() {
        let error = read("7 2 0 0\nseven\n".as_bytes()).expect_err("no trace");
        assert_eq!(error.to_string(), "line 2: not `first_page count 0 request_number`: \"seven\"");
    }

    #[test]
    fn a_replay_counts_hits() {
        for library in BUILT_IN {
            let mut replay = (library.replay)(100).expect("a cache of numbers");
            assert_eq!(replay.run(&[1, 2, 1, 1, 3]), 2, "{}", library.name);
        }
    }
}
