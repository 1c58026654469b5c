//! A memory tier above a disk tier, in front of a computation on real files.
//!
//! For every file of a directory it requests the number of lines, words and distinct words several times, and shows the source of
//! each answer: memory, disk or the loader. The second run finds the results of the first on disk; `--fresh` starts over.
//!
//! ```text
//! cargo run --release -p cachet-examples --example quickstart [-- [--fresh] [DIRECTORY]]
//! ```
//!
//! | file | what it shows |
//! |---|---|
//! | `quickstart.rs` | building and using a cache |
//! | `quickstart/disk.rs` | a tier for production use |
//! | `quickstart/narrator.rs` | an event handler |
//! | `quickstart/files.rs` | the computation, without caching |

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cachet::telemetry::{CacheOperation, Histogram, Stats, TierOperation};
use cachet::telemetry::{OperationOutcome, RecordKeys, TierOutcome};
use cachet::{Cache, Tier};

use self::disk::Disk;
use self::files::{SourceFile, Summary};
use self::narrator::Narrator;

#[path = "quickstart/disk.rs"]
mod disk;
#[path = "quickstart/files.rs"]
mod files;
#[path = "quickstart/narrator.rs"]
mod narrator;

const DAY: Duration = Duration::from_hours(24);

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let options = match Options::parse(std::env::args_os().skip(1)) {
        Ok(options) => options,
        Err(problem) => {
            eprintln!("quickstart: {problem}\nusage: quickstart [--fresh] [DIRECTORY]");
            return ExitCode::from(2);
        }
    };
    run(&options).await;
    ExitCode::SUCCESS
}

async fn run(options: &Options) {
    let (mut files, notes) = files::find(&options.directory);
    println!("{} files in {}", files.len(), options.directory.display());
    for note in notes {
        println!("left out: {note}");
    }
    if files.is_empty() {
        println!("There are no files to summarize in this directory.");
        return;
    }

    // The results of earlier runs are stored here.
    let disk = std::env::temp_dir().join("cachet-quickstart");
    println!("disk tier in {}", disk.display());

    // Memory holds a quarter of the results: enough for the frequently requested ones.
    let capacity = (files.len() / 4).max(1);
    println!("memory tier `l1` for {capacity} entries");

    let narrator = Arc::new(Narrator::default());
    let stats = Stats::new();
    let root = options.directory.clone();
    let summaries = Cache::<str, Summary>::builder("summaries")
        .tier(Tier::memory(capacity).name("l1"))
        .tier(Tier::new(Disk::new(disk)).ttl(30 * DAY))
        // By default telemetry does not contain keys. Here, the paths make the lines readable.
        .record_keys(RecordKeys::with(move |key: &str| {
            let path = Path::new(files::path_of(key));
            path.strip_prefix(&root).unwrap_or(path).display().to_string()
        }))
        .event_handler(Arc::clone(&narrator))
        .event_handler(stats.clone())
        .build();

    if options.fresh {
        match summaries.clear().await {
            Ok(()) => println!("both tiers emptied"),
            // Not fatal: without the disk, every result can be computed.
            Err(error) => println!("the disk tier could not be emptied: {error:#}"),
        }
    }
    // Discards the lines of the setup.
    narrator.take();

    println!("\n1. Every file once");
    let unreadable = ask(&summaries, &files, &narrator).await;
    // These would fail again.
    files.retain(|file| !unreadable.contains(&file.path));

    println!("\n2. The same again: l1 has some of them, the disk has the others");
    ask(&summaries, &files, &narrator).await;

    println!("\n3. A few favourites nine times out of ten, the others in turn: l1 keeps the favourites");
    // The last files, which l1 has not kept so far.
    let favourites = &files[files.len() - files.len().div_ceil(10)..];
    let skewed = (0..4 * files.len()).map(|step| match step % 10 {
        9 => &files[step % files.len()],
        _ => &favourites[step % favourites.len()],
    });
    ask(&summaries, skewed, &narrator).await;

    println!("\n4. The favourites only: l1 has them all");
    ask(&summaries, favourites, &narrator).await;

    println!("\nStatistics by tier:\n\n{stats}");
    closing(&stats);
}

/// Requests the summaries of some files and prints the steps of the cache. Returns the files that cannot be read.
async fn ask<'a>(
    summaries: &Cache<str, Summary>,
    files: impl IntoIterator<Item = &'a SourceFile>,
    narrator: &Narrator,
) -> Vec<PathBuf> {
    let started = Instant::now();
    let mut unreadable = Vec::new();
    let (mut answers, mut lines, mut words) = (0, 0, 0);
    for file in files {
        // The main call. The result is the same whether it comes from memory, from disk or from the loader.
        match summaries.try_get_or_insert(&file.key, || Summary::of(file.path.clone())).await {
            Ok(summary) => {
                answers += 1;
                lines += summary.lines;
                words += summary.words;
            }
            Err(error) => {
                // A failing tier is skipped, so this is the error of the loader.
                println!("   left out: {}: {error:#}", file.path.display());
                unreadable.push(file.path.clone());
            }
        }
    }
    let took = started.elapsed();
    let story = narrator.take();
    for line in story.lines {
        println!("   {line}");
    }
    println!("   {answers} answers ({lines} lines, {words} words) in {took:.1?}:");
    for (kind, count) in story.kinds {
        println!("   {count:>6} × {kind}");
    }
    unreadable
}

/// Prints a summary of the statistics.
fn closing(stats: &Stats) {
    let median = |name: &str, times: &Histogram| times.quantile(0.5).map(|time| format!("{name} {time:.0?}"));
    let mut answers = Vec::new();
    let (mut evictions, mut failures) = (0, 0);
    for tier in stats.tiers() {
        answers.extend(median(tier.name(), tier.durations(TierOperation::Get)));
        evictions += tier.count(TierOperation::Evict, TierOutcome::Evicted);
        failures += TierOperation::ALL.iter().map(|operation| tier.count(*operation, TierOutcome::Error)).sum::<u64>();
    }
    answers.extend(median("computing", stats.loads()));
    println!("Typical times: {}.", answers.join(", "));
    println!("l1 evicted {evictions} entries.");
    if failures > 0 {
        println!("Tiers failed {failures} times; every answer was still returned.");
    } else if stats.operations(CacheOperation::TryGetOrInsert, OperationOutcome::Computed) > 0 {
        println!("Run it again: the results are on disk now.");
    } else {
        println!("Nothing was computed: the disk has the results of an earlier run. `--fresh` starts over.");
    }
    if cfg!(debug_assertions) {
        println!("This build is not optimised; use `cargo run --release …` for realistic times.");
    }
}

struct Options {
    directory: PathBuf,
    fresh: bool,
}

impl Options {
    fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Self, String> {
        let mut fresh = false;
        let mut directory = None;
        for argument in arguments {
            if argument == "--fresh" {
                fresh = true;
            } else if argument.as_encoded_bytes().starts_with(b"-") {
                return Err(format!("there is no option `{}`", argument.display()));
            } else if directory.replace(PathBuf::from(&argument)).is_some() {
                return Err("one directory at a time".to_owned());
            }
        }
        let directory = match directory {
            Some(directory) => directory,
            // This repository.
            None => Path::new(env!("CARGO_MANIFEST_DIR")).join(".."),
        };
        let unusable = |problem: String| format!("`{}` cannot be searched: {problem}", directory.display());
        // An absolute path, so that the keys on disk do not depend on the working directory.
        let full = directory.canonicalize().map_err(|error| unusable(error.to_string()))?;
        if full.is_dir() {
            Ok(Self { directory: full, fresh })
        } else {
            Err(unusable("it is not a directory".to_owned()))
        }
    }
}
