//! The replay of a trace: which share of its requests a cache answers, how fast, and which tier does.
//!
//! A trace is a text with a line `first_page count 0 request_number` per request, for `count` pages from `first_page` on. This
//! is the format of the traces of N. Megiddo and D. S. Modha, "ARC: A Self-Tuning, Low Overhead Replacement Cache", USENIX
//! FAST 03, pp. 115-130; with their trace OLTP, the ratios of that paper are printed beside. Every page is looked up, and
//! inserted if it is not there.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::process::ExitCode;
use std::time::Instant;

use cachet::telemetry::Stats;
use cachet::{Cache, Tier};

use crate::keys::{Random, Zipf};
use crate::peers::cachet::replayed;
use crate::peers::{Entrant, RESIDENTS};

const USAGE: &str = "\
usage: replay [FILE] [--capacity N]…

  FILE          lines `first_page count 0 request_number`; `-` reads them from standard input; without a file, a
                trace is made up
  --capacity N  how many pages a cache holds; may be given several times
";

/// Replays of each library, of which the one in the middle counts.
const ROUNDS: usize = 5;

/// How many times the first tier the second one holds.
const SECOND: usize = 4;

/// By capacity: the hit ratios in percent of LRU and of ARC with the trace OLTP, from the paper.
const OLTP: [(usize, f64, f64); 5] = [
    (1_000, 32.83, 38.93),
    (2_000, 42.47, 46.08),
    (5_000, 53.65, 55.25),
    (10_000, 60.70, 61.87),
    (15_000, 64.63, 65.40),
];

/// How many requests the trace OLTP has.
const OLTP_REQUESTS: usize = 914_145;

/// A cache that a trace is run through.
pub struct Replay(Box<Run>);

type Run = dyn FnMut(&[u64]) -> u64;

impl Replay {
    /// A cache that looks pages up, stores those that are missing, and returns how many were there.
    pub fn new(run: impl FnMut(&[u64]) -> u64 + 'static) -> Self {
        Self(Box::new(run))
    }

    /// The same, page by page: whether it was there.
    pub fn by_page(mut access: impl FnMut(u64) -> bool + 'static) -> Self {
        Self::new(move |pages| pages.iter().map(|page| u64::from(access(*page))).sum())
    }

    /// Runs pages through the cache; how many were there.
    pub fn run(&mut self, pages: &[u64]) -> u64 {
        (self.0)(pages)
    }
}

impl std::fmt::Debug for Replay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replay").finish_non_exhaustive()
    }
}

/// Runs the program with the arguments of this process.
pub fn run(others: &[Entrant]) -> ExitCode {
    let Some((file, capacities)) = parse(std::env::args().skip(1)) else {
        eprint!("{USAGE}");
        return ExitCode::FAILURE;
    };
    let trace = match file.as_deref() {
        None => Ok(made_up()),
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
    println!("{}: {} requests", file.as_deref().unwrap_or("a made-up trace"), pages.len());
    for capacity in capacities {
        compare(&pages, capacity, others);
    }
    ExitCode::SUCCESS
}

/// The file and the capacities; `None` if there is something that is not understood.
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

/// Pages of skewed popularity, and now and then a scan of pages that are asked for once.
fn made_up() -> Vec<u64> {
    const PAGES: u64 = 100_000;
    let (mut random, popular) = (Random::seeded(3), Zipf::over(PAGES));
    let mut pages = Vec::new();
    for scan in 0..10 {
        pages.extend((0..50_000).map(|_| popular.draw(&mut random)));
        pages.extend((0..5_000).map(|page| PAGES + scan * 5_000 + page));
    }
    pages
}

fn compare(pages: &[u64], capacity: usize, others: &[Entrant]) {
    println!("\n{capacity} pages\n  {:<16} {:>9} {:>14}", "library", "hits", "requests/µs");
    let entrants = || RESIDENTS.iter().chain(others);
    let mut results: Vec<Vec<(u64, f64)>> = entrants().map(|_| Vec::new()).collect();
    for _ in 0..ROUNDS {
        for (entrant, results) in entrants().zip(&mut results) {
            if let Ok(mut replay) = (entrant.replay)(capacity) {
                let start = Instant::now();
                let hits = replay.run(pages);
                results.push((hits, start.elapsed().as_secs_f64()));
            }
        }
    }
    for (entrant, mut results) in entrants().zip(results) {
        results.sort_by(|a, b| a.1.total_cmp(&b.1));
        match (results.get(results.len() / 2), (entrant.replay)(capacity)) {
            (Some((hits, seconds)), _) => {
                let throughput = share(pages.len() as u64, 1_000_000) / seconds;
                println!(
                    "  {:<16} {:>7.2} % {throughput:>14.2}",
                    entrant.name,
                    100.0 * share(*hits, pages.len() as u64)
                );
            }
            (None, reason) => println!("  {:<16} – {}", entrant.name, reason.err().unwrap_or_default()),
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
    let hits = replayed(tiers.build()).run(pages);
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
    fn a_request_is_for_so_many_pages_from_the_first_on() {
        let pages = read("7 2 0 0\n\n100 1 0 1\n".as_bytes()).expect("a trace");
        assert_eq!(pages, [7, 8, 100]);
    }

    #[test]
    fn a_line_that_is_no_request_is_named() {
        let error = read("7 2 0 0\nseven\n".as_bytes()).expect_err("no trace");
        assert_eq!(error.to_string(), "line 2: not `first_page count 0 request_number`: \"seven\"");
    }

    #[test]
    fn a_replay_counts_what_was_there() {
        for entrant in RESIDENTS {
            let mut replay = (entrant.replay)(100).expect("every resident has one");
            assert_eq!(replay.run(&[1, 2, 1, 1, 3]), 2, "{}", entrant.name);
        }
    }
}
