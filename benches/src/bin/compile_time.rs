//! What `#[cache_tier]` costs at compile time: 200 tiers with the attribute against the same 200 without it.
//!
//! Two packages are generated in a temporary directory and checked in turn. What is compared are the medians: once with
//! incremental compilation, after the file was touched, and once without.
//!
//! ```text
//! cargo run --release -p cachet-benches --bin compile_time
//! ```

use std::env::{self, temp_dir};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio, id};
use std::time::{Duration, Instant};
use std::{fs, io};

const TIERS: usize = 200;
const ROUNDS: usize = 9;
/// The most that the attribute may cost.
const BUDGET: f64 = 1.3;

const HEADER: &str = "\
#![allow(dead_code)]
use std::collections::HashMap;
use std::sync::Mutex;
use cachet::{CacheEntry, CacheTier, Error, InsertOutcome};
";

/// One tier, with an attribute above its impl or with none.
fn tier(source: &mut String, number: usize, attribute: &str) -> std::fmt::Result {
    write!(
        source,
        "
#[derive(Default)]
struct Tier{number} {{
    entries: Mutex<HashMap<String, CacheEntry<u32>>>,
    shard: u64,
}}

{attribute}impl CacheTier<str, u32> for Tier{number} {{
    async fn get(&self, key: &str) -> Result<Option<CacheEntry<u32>>, Error> {{
        let entries = self.entries.lock().map_err(|_| Error::msg(\"poisoned\"))?;
        Ok(entries.get(key).cloned())
    }}

    async fn insert(&self, key: String, entry: CacheEntry<u32>) -> Result<InsertOutcome, Error> {{
        let mut entries = self.entries.lock().map_err(|_| Error::msg(\"poisoned\"))?;
        if entries.len() >= {number} {{
            return Ok(InsertOutcome::Rejected);
        }}
        entries.insert(key, entry);
        Ok(InsertOutcome::Accepted)
    }}

    async fn invalidate(&self, key: &str) -> Result<(), Error> {{
        let mut entries = self.entries.lock().map_err(|_| Error::msg(\"poisoned\"))?;
        entries.remove(key);
        Ok(())
    }}

    async fn clear(&self) -> Result<(), Error> {{
        self.entries.lock().map_err(|_| Error::msg(\"poisoned\"))?.clear();
        Ok(())
    }}
}}
"
    )
}

/// A generated package.
struct Package {
    root: PathBuf,
    source: String,
}

impl Package {
    fn generate(parent: &Path, name: &str, attribute: impl Fn(usize) -> String) -> io::Result<Self> {
        let root = parent.join(name);
        fs::create_dir_all(root.join("src"))?;
        let cachet = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cachet").canonicalize()?;
        let manifest = format!(
            "[package]\nname = \"{name}\"\nedition = \"2024\"\n\n[dependencies]\ncachet = {{ path = '{}' }}\n\n[workspace]\n",
            cachet.display()
        );
        fs::write(root.join("Cargo.toml"), manifest)?;
        let mut source = HEADER.to_owned();
        for number in 1..=TIERS {
            tier(&mut source, number, &attribute(number)).map_err(io::Error::other)?;
        }
        Ok(Self { root, source })
    }

    /// Checks the package after its source was written anew, as it was.
    fn check(&self, target: &Path, incremental: bool) -> io::Result<Duration> {
        fs::write(self.root.join("src/lib.rs"), &self.source)?;
        let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.args(["check", "--quiet", "--offline"]).current_dir(&self.root);
        command.env("CARGO_TARGET_DIR", target.join(if incremental { "incremental" } else { "whole" }));
        command.env("CARGO_INCREMENTAL", if incremental { "1" } else { "0" });
        command.stdout(Stdio::null());
        let start = Instant::now();
        let status = command.status()?;
        let elapsed = start.elapsed();
        if status.success() { Ok(elapsed) } else { Err(io::Error::other("a generated package does not compile")) }
    }
}

fn median(mut samples: Vec<Duration>) -> Duration {
    samples.sort_unstable();
    samples.get(samples.len() / 2).copied().unwrap_or_default()
}

/// How much longer the annotated package takes.
fn compare(plain: &Package, annotated: &Package, target: &Path, incremental: bool) -> io::Result<f64> {
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let samples = (plain.check(target, incremental)?, annotated.check(target, incremental)?);
        // The first round builds what they depend on.
        if round > 0 {
            without.push(samples.0);
            with.push(samples.1);
        }
    }
    let (without, with) = (median(without), median(with));
    let ratio = with.as_secs_f64() / without.as_secs_f64();
    let kind = if incremental { "incremental" } else { "whole" };
    println!("{kind:<12} {without:>10.1?} without, {with:>10.1?} with: {ratio:.3}×");
    Ok(ratio)
}

fn run(directory: &Path) -> io::Result<bool> {
    let plain = Package::generate(directory, "plain", |_| String::new())?;
    let annotated = Package::generate(directory, "annotated", |number| {
        // Every fourth tier uses what there is.
        if number.is_multiple_of(4) {
            format!("#[cachet::cache_tier(name = \"t{number}\", level = \"trace\", fields(shard = self.shard))]\n")
        } else {
            "#[cachet::cache_tier]\n".to_owned()
        }
    })?;
    println!("cargo check of {TIERS} tiers, medians of {ROUNDS} rounds");
    let target = directory.join("target");
    let mut is_good = true;
    for incremental in [true, false] {
        is_good &= compare(&plain, &annotated, &target, incremental)? <= BUDGET;
    }
    println!("{} (budget {BUDGET}×)", if is_good { "within the budget" } else { "over the budget" });
    Ok(is_good)
}

fn main() -> ExitCode {
    let directory = temp_dir().join(format!("cachet-compile-time-{}", id()));
    let result = fs::create_dir_all(&directory).and_then(|()| run(&directory));
    let removed = fs::remove_dir_all(&directory);
    match result.and_then(|is_good| removed.map(|()| is_good)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
