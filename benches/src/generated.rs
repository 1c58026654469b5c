//! Generated packages with many tiers, for what the attribute costs at compile time and in the binary.

use std::env;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio, id};
use std::{fs, io};

const HEADER: &str = "\
#![allow(dead_code)]
use std::collections::HashMap;
use std::sync::Mutex;
use cachet::{CacheEntry, CacheTier, InsertOutcome, TierError};
";

/// The source of a number of tiers, each with what `attribute` gives above its impl.
///
/// # Errors
///
/// Never, in practice: it is text that is written to memory.
pub fn tiers(count: usize, attribute: impl Fn(usize) -> String) -> io::Result<String> {
    let mut source = HEADER.to_owned();
    for number in 1..=count {
        tier(&mut source, number, &attribute(number)).map_err(io::Error::other)?;
    }
    Ok(source)
}

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
    async fn get(&self, key: &str) -> Result<Option<CacheEntry<u32>>, TierError> {{
        let entries = self.entries.lock().map_err(|_| TierError::msg(\"poisoned\"))?;
        Ok(entries.get(key).cloned())
    }}

    async fn insert(&self, key: String, entry: CacheEntry<u32>) -> Result<InsertOutcome, TierError> {{
        let mut entries = self.entries.lock().map_err(|_| TierError::msg(\"poisoned\"))?;
        if entries.len() >= {number} {{
            return Ok(InsertOutcome::Rejected);
        }}
        entries.insert(key, entry);
        Ok(InsertOutcome::Accepted)
    }}

    async fn invalidate(&self, key: &str) -> Result<(), TierError> {{
        let mut entries = self.entries.lock().map_err(|_| TierError::msg(\"poisoned\"))?;
        entries.remove(key);
        Ok(())
    }}

    async fn clear(&self) -> Result<(), TierError> {{
        self.entries.lock().map_err(|_| TierError::msg(\"poisoned\"))?.clear();
        Ok(())
    }}
}}
"
    )
}

/// A package of one source file that depends on `cachet`.
#[derive(Debug)]
pub struct Package {
    root: PathBuf,
    source: String,
    file: &'static str,
}

impl Package {
    /// Lays the package out below `parent`; `file` is `lib.rs` or `main.rs`.
    ///
    /// # Errors
    ///
    /// Where files cannot be written.
    pub fn generate(parent: &Path, name: &str, file: &'static str, source: String) -> io::Result<Self> {
        let root = parent.join(name);
        fs::create_dir_all(root.join("src"))?;
        let cachet = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cachet").canonicalize()?;
        let manifest = format!(
            "[package]\nname = \"{name}\"\nedition = \"2024\"\n\n[dependencies]\ncachet = {{ path = '{}' }}\n\n\
             [profile.release]\nstrip = true\n\n[workspace]\n",
            cachet.display()
        );
        fs::write(root.join("Cargo.toml"), manifest)?;
        Ok(Self { root, source, file })
    }

    /// Runs cargo in the package, after its source was written anew, as it was.
    ///
    /// # Errors
    ///
    /// Where the package does not compile.
    pub fn cargo(&self, arguments: &[&str], target: &Path, incremental: bool) -> io::Result<()> {
        fs::write(self.root.join("src").join(self.file), &self.source)?;
        let mut command = Command::new(env::var_os("CARGO").as_deref().unwrap_or(OsStr::new("cargo")));
        command.args(arguments).args(["--quiet", "--offline"]).current_dir(&self.root);
        command.env("CARGO_TARGET_DIR", target);
        command.env("CARGO_INCREMENTAL", if incremental { "1" } else { "0" });
        let status = command.stdout(Stdio::null()).status()?;
        if status.success() { Ok(()) } else { Err(io::Error::other("a generated package does not compile")) }
    }
}

/// Runs something in a temporary directory that is gone afterwards; returns whether its budget was kept.
pub fn in_temporary_directory(name: &str, run: impl FnOnce(&Path) -> io::Result<bool>) -> ExitCode {
    let directory = env::temp_dir().join(format!("cachet-{name}-{}", id()));
    let result = fs::create_dir_all(&directory).and_then(|()| run(&directory));
    let removed = fs::remove_dir_all(&directory);
    match result.and_then(|is_good| removed.map(|()| is_good)) {
        Ok(true) => {
            println!("within the budget");
            ExitCode::SUCCESS
        }
        Ok(false) => {
            println!("over the budget");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
