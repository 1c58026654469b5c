//! The macros in a crate outside of the workspace, with cachet as its only dependency: no other crate switches on features
//! of cachet or of what it is built with.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

/// Builds and runs the suite in one edition, with and without `logs`.
fn run(edition: &str, files: &[&str]) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let workspace = root.parent().expect("the tests are in a workspace");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("outside");
    for features in ["\"logs\"", ""] {
        let name = if features.is_empty() { "silent" } else { "logs" };
        let package = target.join(format!("{edition}-{name}"));
        fs::create_dir_all(&package).unwrap();
        let includes =
            files.iter().map(|file| format!("include!(\"{}\");\n", root.join("outside").join(file).display()));
        fs::write(
            package.join("lib.rs"),
            format!("#![deny(warnings)]\n#![allow(dead_code)]\n{}", includes.collect::<String>()),
        )
        .unwrap();
        let manifest = format!(
            "[package]\nname = \"outside-{edition}-{name}\"\nversion = \"0.0.0\"\nedition = \"{edition}\"\n\
             [lib]\npath = \"lib.rs\"\ndoctest = false\n\
             [dependencies]\ncachet = {{ path = \"{}\", default-features = false, features = [{features}] }}\n[workspace]\n",
            workspace.join("cachet").display(),
        );
        fs::write(package.join("Cargo.toml"), manifest).unwrap();
        fs::copy(workspace.join("Cargo.lock"), package.join("Cargo.lock")).unwrap();
        let output = Command::new(env!("CARGO"))
            .args(["test", "--offline", "--quiet", "--manifest-path"])
            .arg(package.join("Cargo.toml"))
            .env("CARGO_TARGET_DIR", target.join("target"))
            .env_remove("RUSTFLAGS")
            .output()
            .unwrap();
        let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "edition {edition}, {name}:\n{stdout}\n{stderr}");
        assert!(stdout.contains("1 passed"), "edition {edition}, {name}:\n{stdout}");
    }
}

#[test]
fn edition_2015() {
    run("2015", &["edition_2015.rs"]);
}

#[test]
fn edition_2018() {
    run("2018", &["suite.rs", "before_2024.rs"]);
}

#[test]
fn edition_2021() {
    run("2021", &["suite.rs", "before_2024.rs"]);
}

#[test]
fn edition_2024() {
    run("2024", &["suite.rs"]);
}
