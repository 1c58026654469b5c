//! The command line of the benchmark: what is measured, and what is done with the figures.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::machine::{Machine, locked_version};
use crate::measure::{Effort, Measured, measure};
use crate::peers::{Entrant, RESIDENTS};
use crate::report::Report;
use crate::report::json::Json;
use crate::report::svg::Svg;
use crate::report::table::Table;
use crate::scenarios;

const USAGE: &str = "\
usage: side_by_side [WORD…] [--quick] [--list] [--json FILE] [--svg FILE]

  WORD         measure only scenarios whose names contain all words (and what they are compared with)
  --quick      measure less: shows that everything runs
  --list       print the names of the scenarios
  --json FILE  write the figures as JSON
  --svg FILE   draw them
";

#[derive(Debug, Default)]
struct Arguments {
    words: Vec<String>,
    is_quick: bool,
    is_list: bool,
    json: Option<PathBuf>,
    svg: Option<PathBuf>,
}

impl Arguments {
    /// `None` if there is something that is not understood.
    fn parse(arguments: impl IntoIterator<Item = String>) -> Option<Self> {
        let mut this = Self::default();
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                // Cargo's own.
                "--bench" => {}
                "--quick" => this.is_quick = true,
                "--list" => this.is_list = true,
                "--json" => this.json = Some(arguments.next()?.into()),
                "--svg" => this.svg = Some(arguments.next()?.into()),
                _ if argument.starts_with("--") => return None,
                _ => this.words.push(argument),
            }
        }
        Some(this)
    }
}

/// Runs the benchmark with the arguments of this process: cachet, the engine below it, and other libraries, whose versions
/// are looked up in a lock file.
pub fn run(others: &[Entrant], lock: &str) -> ExitCode {
    let Some(arguments) = Arguments::parse(std::env::args().skip(1)) else {
        eprint!("{USAGE}");
        return ExitCode::FAILURE;
    };
    match measure_and_show(&arguments, others, lock) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn measure_and_show(arguments: &Arguments, others: &[Entrant], lock: &str) -> io::Result<()> {
    let chosen = scenarios::select(scenarios::all(others), &arguments.words);
    if arguments.is_list {
        for scenario in chosen {
            println!("{}", scenario.id);
        }
        return Ok(());
    }
    let effort = if arguments.is_quick { Effort::QUICK } else { Effort::FULL };
    let Measured { rows, noise } = measure(chosen, effort);
    let report =
        Report { machine: Machine::this(), versions: versions(others, lock), rounds: effort.rounds, noise, rows };
    println!("{}", Table(&report));
    if let Some(path) = &arguments.json {
        keep(path, &format!("{}\n", Json(&report)))?;
    }
    if let Some(path) = &arguments.svg {
        keep(path, &Svg(&report).to_string())?;
    }
    Ok(())
}

fn keep(path: &Path, text: &str) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)?;
    fs::write(path, text)
}

fn versions(others: &[Entrant], lock: &str) -> Vec<(&'static str, String)> {
    let version = |entrant: &Entrant| match entrant.package {
        Some(package) => locked_version(lock, package).unwrap_or("?").to_owned(),
        None => env!("CARGO_PKG_VERSION").to_owned(),
    };
    RESIDENTS.iter().chain(others).map(|entrant| (entrant.name, version(entrant))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Option<Arguments> {
        Arguments::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn words_and_options_may_come_in_any_order() {
        let arguments = parse("--bench hit --json a.json --quick u64").expect("understood");
        assert_eq!(arguments.words, ["hit", "u64"]);
        assert!(arguments.is_quick);
        assert_eq!(arguments.json, Some(PathBuf::from("a.json")));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        assert!(parse("--fast").is_none());
        assert!(parse("--json").is_none());
    }
}
