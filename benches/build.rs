//! Lets the program say which compiler built it.

use std::env;
use std::process::Command;

fn main() {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(rustc).arg("--version").output().ok().and_then(|it| String::from_utf8(it.stdout).ok());
    println!("cargo::rustc-env=RUSTC_VERSION={}", version.as_deref().map_or("unknown rustc", str::trim));
    println!("cargo::rerun-if-changed=build.rs");
}
