//! How many instructions the hottest operations take, against a committed baseline.
//!
//! Instructions are counted by callgrind, so the figures hardly depend on what else the machine does, and a change that
//! makes a hit slower is seen as it comes in. What remains differs with the compiler, and a little with the seeds of hash
//! tables.
//!
//! ```text
//! cargo run --release -p cachet-benches --bin instructions             # compares, and fails when something costs more
//! cargo run --release -p cachet-benches --bin instructions -- --renew  # writes the baseline anew; say why in the commit
//! ```
//!
//! Needs `valgrind`. A figure that is lower than its baseline by more than the tolerance fails too: the baseline then hides
//! what the next change costs.

use std::env;
use std::fmt::Write as _;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{fs, io};

use cachet_benches::measure::Loop;
use cachet_benches::scenarios;

/// What is counted.
const HOTTEST: [&str; 10] = [
    "hit / u64 / cachet",
    "hit / str / cachet",
    "miss / u64 / cachet",
    "insert over / u64 / cachet",
    "hit, counting handler / u64 / cachet",
    "hit, logs, filtered out by level / u64 / cachet",
    "hit, logs, accepted and discarded / u64 / cachet",
    "get_or_insert hit / u64 / cachet",
    "get_or_insert miss, protected / u64 / cachet",
    "two tiers, second-tier hit, promoted / u64 / cachet",
];
const OPERATIONS: u64 = 50_000;
/// How far a figure may be from its baseline.
const TOLERANCE: f64 = 0.03;

/// The function whose instructions are counted, with everything that it calls.
#[inline(never)]
fn counted_from_here(body: &mut Loop, operations: u64) -> u64 {
    black_box(body.run(black_box(operations)).as_meant)
}

/// In the process that is watched: prepares a scenario, and runs it.
fn run(name: &str) -> io::Result<()> {
    let missing = || io::Error::other(format!("there is no scenario `{name}`"));
    let mut body = scenarios::find(name)
        .ok_or_else(missing)?
        .prepare()
        .map_err(|reason| io::Error::other(format!("{reason:?}")))?;
    // Warms up, and lets one-time allocations happen.
    body.run(OPERATIONS / 10);
    let as_meant = counted_from_here(&mut body, OPERATIONS);
    if as_meant == OPERATIONS { Ok(()) } else { Err(io::Error::other(format!("`{name}` did not do what it says"))) }
}

/// Instructions per operation of a scenario, in a process of its own.
fn count(name: &str) -> io::Result<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--collect-atstart=no"])
        .arg("--toggle-collect=*counted_from_here*")
        .arg(env::current_exe()?)
        .args(["--run", name])
        .output()
        .map_err(|error| io::Error::new(error.kind(), format!("valgrind cannot be run: {error}")))?;
    let text = String::from_utf8_lossy(&output.stderr);
    let collected = text.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse::<u64>().ok());
    match collected {
        Some(instructions) if output.status.success() => Ok(instructions / OPERATIONS),
        _ => Err(io::Error::other(format!("`{name}` was not counted:\n{text}"))),
    }
}

fn baseline_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("results/instructions.txt")
}

/// The baseline of a scenario, from a file with a line for each: the number, a space, the name.
fn baseline_of(baseline: &str, name: &str) -> Option<u64> {
    baseline.lines().filter_map(|line| line.split_once(' ')).find(|(_, known)| *known == name)?.0.parse().ok()
}

#[allow(clippy::cast_precision_loss, reason = "far below 2^53")]
fn compare() -> io::Result<bool> {
    let baseline = fs::read_to_string(baseline_file())?;
    let mut is_good = true;
    println!("{:>12} {:>8} {:>7}  instructions per operation", "instructions", "baseline", "ratio");
    for name in HOTTEST {
        let counted = count(name)?;
        let Some(known) = baseline_of(&baseline, name) else {
            is_good = false;
            println!("{counted:>12} {:>8} {:>7}  {name}: not in the baseline", "", "");
            continue;
        };
        let ratio = counted as f64 / known as f64;
        let is_near = (ratio - 1.0).abs() <= TOLERANCE;
        is_good &= is_near;
        println!("{counted:>12} {known:>8} {ratio:>7.3}  {name}{}", if is_near { "" } else { "  <- differs" });
    }
    if !is_good {
        println!(
            "differs by more than {:.0} % from {}; if that is meant, renew it with `--renew`",
            TOLERANCE * 100.0,
            baseline_file().display()
        );
    }
    Ok(is_good)
}

fn renew() -> io::Result<bool> {
    let mut baseline = String::new();
    for name in HOTTEST {
        let counted = count(name)?;
        println!("{counted:>12}  {name}");
        writeln!(baseline, "{counted} {name}").map_err(io::Error::other)?;
    }
    fs::write(baseline_file(), baseline)?;
    Ok(true)
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments[..] {
        [] => compare(),
        ["--renew"] => renew(),
        ["--run", name] => run(name).map(|()| true),
        _ => Err(io::Error::other("usage: instructions [--renew]")),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
