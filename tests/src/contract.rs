//! `CONTRACT.md` and the places that cite it: every citation exists, and every line that holds is cited by a test.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The lines of a contract: the number, and whether the line, or a part of it, holds today.
fn lines(contract: &str) -> BTreeMap<String, bool> {
    let mut lines = BTreeMap::new();
    for line in contract.lines() {
        let Some((title, _)) = line.strip_prefix("**").and_then(|line| line.split_once(".**")) else { continue };
        let (number, holds) = title.strip_suffix(" (planned)").map_or((title, true), |number| (number, false));
        *lines.entry(number.to_lowercase()).or_default() |= holds;
    }
    lines
}

/// The numbers that the comments and strings of a source file cite: `S19`, a range `S24–S29`, `law 2`, `law 1 and 2`.
fn citations(source: &str) -> BTreeSet<String> {
    let words: Vec<&str> = source
        .split(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '–')))
        .filter(|word| !word.is_empty())
        .collect();
    let mut cited = BTreeSet::new();
    for (at, word) in words.iter().enumerate() {
        if let Some((from, to)) = word.split_once('–').and_then(|(from, to)| Some((number(from)?, number(to)?))) {
            cited.extend((from..=to).map(|number| format!("s{number}")));
        } else if number(word.strip_suffix('a').unwrap_or(word)).is_some() {
            cited.insert(word.to_lowercase());
        } else if matches!(*word, "law" | "laws" | "Law" | "Laws") {
            let following = words[at + 1..].iter().take_while(|word| **word == "and" || word.parse::<u32>().is_ok());
            cited.extend(following.filter(|word| **word != "and").map(|law| format!("law {law}")));
        }
    }
    cited
}

/// The number of a line such as `S19`.
fn number(word: &str) -> Option<u32> {
    word.strip_prefix('S').filter(|digits| digits.chars().all(|c| c.is_ascii_digit()))?.parse().ok()
}

/// The Rust sources below a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

#[test]
fn every_citation_is_a_line_and_every_line_that_holds_is_cited_by_a_test() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let lines = lines(&read(&package.join("CONTRACT.md")));
    let mut uncited: BTreeSet<&String> = lines.iter().filter(|(_, holds)| **holds).map(|(number, _)| number).collect();
    let mut unknown = Vec::new();
    for folder in ["tests", "src", "../cachet/src", "../cachet-macros/src"] {
        for path in sources(&package.join(folder)) {
            // The examples of this file are not citations.
            if path.ends_with("tests/src/contract.rs") {
                continue;
            }
            for cited in citations(&read(&path)) {
                if !lines.contains_key(&cited) {
                    unknown.push(format!("{cited} in {}", path.display()));
                }
                if folder == "tests" {
                    uncited.remove(&cited);
                }
            }
        }
    }
    assert!(unknown.is_empty(), "not in CONTRACT.md: {unknown:#?}");
    assert!(uncited.is_empty(), "cited by no test: {uncited:?}");
}

#[test]
fn the_contract_has_every_line_from_the_first_to_the_last() {
    let lines = lines(&read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("CONTRACT.md")));
    let numbers = (1..=62).map(|number| format!("s{number}")).chain(["s8a".to_owned()]);
    let expected: BTreeSet<String> = numbers.chain((1..=5).map(|law| format!("law {law}"))).collect();
    assert_eq!(lines.into_keys().collect::<BTreeSet<_>>(), expected);
}

#[test]
fn a_line_that_holds_in_part_holds() {
    let contract =
        "**S1.** Holds.\n**S1 (planned).** More.\n**S2 (planned).** Later.\n**Law 1.** Holds.\nS3 is only named.";
    let expected = [("law 1", true), ("s1", true), ("s2", false)];
    assert_eq!(lines(contract), expected.map(|(number, holds)| (number.to_owned(), holds)).into());
}

#[test]
fn citations_are_single_numbers_ranges_and_laws() {
    let source =
        "// S19, S8a: newer beats older.\n//! S24–S26\n\"law 1 and 2: twice\" // Law 5.\nlaw(3); S3Fifo; SS4; S_5";
    let expected = ["law 1", "law 2", "law 3", "law 5", "s19", "s24", "s25", "s26", "s8a"];
    assert_eq!(citations(source), expected.map(str::to_owned).into());
}
