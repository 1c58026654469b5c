//! The command line of the benchmark.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::machine::{Machine, locked_version};
use crate::peer::Library;
use crate::peers::BUILT_IN;
use crate::report::Report;
use crate::report::svg::Svg;
use crate::report::table::Table;
use crate::run::{Effort, Measured, measure};
use crate::scenarios;

const USAGE: &str = "\
usage: side_by_side [WORD…] [--quick] [--list] [--from FILE] [--json FILE] [--svg FILE] [--overview FILE]

  WORD             measure only scenarios whose names contain all words (and what they are compared with)
  --quick          measure less: shows that everything runs
  --list           print the names of the scenarios
  --from FILE      read the figures of an earlier run (`--json`) instead of measuring
  --json FILE      write the figures as JSON
  --svg FILE       draw them
  --overview FILE  draw the eight most important scenarios
";

#[derive(Debug, Default)]
struct Arguments {
    words: Vec<String>,
    is_quick: bool,
    is_list: bool,
    from: Option<PathBuf>,
    json: Option<PathBuf>,
    svg: Option<PathBuf>,
    overview: Option<PathBuf>,
}

impl Arguments {
    /// Returns `None` if an argument is unknown.
    fn parse(arguments: impl IntoIterator<Item = String>) -> Option<Self> {
        let mut this = Self::default();
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                // Cargo's own.
                "--bench" => {}
                "--quick" => this.is_quick = true,
                "--list" => this.is_list = true,
                "--from" => this.from = Some(arguments.next()?.into()),
                "--json" => this.json = Some(arguments.next()?.into()),
                "--svg" => this.svg = Some(arguments.next()?.into()),
                "--overview" => this.overview = Some(arguments.next()?.into()),
                _ if argument.starts_with("--") => return None,
                _ => this.words.push(argument),
            }
        }
        Some(this)
    }
}

/// Runs the benchmark with the arguments of this process, for cachet, its engine, and other libraries. Their versions are those
/// of a lock file.
pub fn run(others: &[Library], lock: &str) -> ExitCode {
    let Some(arguments) = Arguments::parse(std::env::args().skip(1)) else {
        eprint!("{USAGE}");
        return ExitCode::FAILURE;
    };
    match execute(&arguments, others, lock) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn execute(arguments: &Arguments, others: &[Library], lock: &str) -> io::Result<()> {
    let selected = scenarios::select(scenarios::all(others), &arguments.words);
    if arguments.is_list {
        for scenario in selected {
            println!("{}", scenario.id);
        }
        return Ok(());
    }
    let report = if let Some(path) = &arguments.from {
        Report::from_json(&fs::read_to_string(path)?)?
    } else {
        let effort = if arguments.is_quick { Effort::QUICK } else { Effort::FULL };
        let Measured { rows, noise } = measure(selected, effort);
        Report { machine: Machine::this(), versions: versions(others, lock), rounds: effort.rounds, noise, rows }
    };
    println!("{}", Table(&report));
    if let Some(path) = &arguments.json {
        write(path, &report.to_json()?)?;
    }
    if let Some(path) = &arguments.svg {
        write(path, &Svg(&report).to_string())?;
    }
    if let Some(path) = &arguments.overview {
        write(path, &Svg(&report.overview()).to_string())?;
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)?;
    fs::write(path, text)
}

fn versions(others: &[Library], lock: &str) -> Vec<(String, String)> {
    let version = |library: &Library| match library.package {
        Some(package) => locked_version(lock, package).unwrap_or("?").to_owned(),
        None => env!("CARGO_PKG_VERSION").to_owned(),
    };
    BUILT_IN.iter().chain(others).map(|library| (library.name.to_owned(), version(library))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Option<Arguments> {
        Arguments::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn words_and_options_come_in_any_order() {
        let arguments = parse("--bench hit --json a.json --quick u64").expect("known arguments");
        assert_eq!(arguments.words, ["hit", "u64"]);
        assert!(arguments.is_quick);
        assert_eq!(arguments.json, Some(PathBuf::from("a.json")));
    }

    #[test]
    fn unknown_arguments_are_refused() {
        assert!(parse("--fast").is_none());
        assert!(parse("--json").is_none());
    }
}
