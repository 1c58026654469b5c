//! What the macros refuse, and what rustc says about their users' code: every text a newcomer may get to read.
//!
//! The files under `tests/ui` have one fault each, except for the two `several_faults`. To accept new texts, run this
//! test with `TRYBUILD=overwrite` and read what has changed.

use std::fs;
use std::path::{Path, PathBuf};

/// One batch: a `pass` case among them would turn one build into hundreds.
#[test]
fn faults_are_reported_as_they_should_be() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("ui/*/*.rs");
}

/// Every case with the text that is expected of it.
fn cases() -> Vec<(PathBuf, String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("ui");
    let folders = ["cache_tier", "handler", "rustc"].map(|folder| root.join(folder));
    let mut cases = Vec::new();
    for folder in folders {
        for file in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "rs") {
                let source = fs::read_to_string(&path).unwrap();
                let expected = path.with_extension("stderr");
                let text = fs::read_to_string(&expected)
                    .unwrap_or_else(|error| panic!("{} is missing: {error}", expected.display()));
                cases.push((path, source, text));
            }
        }
    }
    cases
}

/// How many errors a case has: one, or as many as its `// errors: N` says.
fn errors_declared(source: &str) -> usize {
    let declared = source.lines().find_map(|line| line.strip_prefix("// errors: "));
    declared.map_or(1, |number| number.parse().expect("`// errors: N`"))
}

fn errors_reported(text: &str) -> usize {
    text.lines().filter(|line| line.starts_with("error:") || line.starts_with("error[")).count()
}

#[test]
fn every_fault_is_reported_exactly_once() {
    let cases = cases();
    assert!(cases.len() >= 80, "{} cases", cases.len());
    for (path, source, text) in cases {
        assert_eq!(errors_reported(&text), errors_declared(&source), "{}:\n{text}", path.display());
    }
}

/// Whether the case allows the word, with a `// says: word`, for a reason that it gives.
fn is_allowed(source: &str, word: &str) -> bool {
    source.lines().filter_map(|line| line.strip_prefix("// says: ")).any(|allowed| allowed == word)
}

#[test]
fn no_text_speaks_of_expansions_or_hidden_items() {
    for (path, source, text) in cases() {
        for word in ["originates in", "__private", "in this macro invocation", "in this procedural macro expansion"] {
            let said = text.contains(word);
            assert_eq!(said, is_allowed(&source, word), "{}: {word:?}:\n{text}", path.display());
        }
    }
}

#[test]
fn no_text_warns() {
    for (path, source, text) in cases() {
        let warns = text.lines().any(|line| line.starts_with("warning"));
        assert_eq!(warns, is_allowed(&source, "warning"), "{}:\n{text}", path.display());
    }
}

/// The macros' own texts: no capital at the start, no full stop at the end.
#[test]
fn own_texts_are_written_like_those_of_rustc() {
    for (path, _, text) in cases() {
        if path.parent().is_some_and(|folder| folder.ends_with("rustc")) {
            continue;
        }
        for message in text.lines().filter_map(|line| line.strip_prefix("error: ")) {
            assert!(!message.starts_with(char::is_uppercase), "{}: {message}", path.display());
            assert!(!message.ends_with('.'), "{}: {message}", path.display());
        }
    }
}

#[test]
fn no_expected_text_is_without_its_case() {
    for (path, ..) in cases() {
        let folder = path.parent().unwrap();
        for file in fs::read_dir(folder).unwrap() {
            let file = file.unwrap().path();
            assert!(file.with_extension("rs").exists(), "{} has no case", file.display());
        }
    }
}
