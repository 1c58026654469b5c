//! The machine and the toolchain of a run.

use std::fmt;
use std::fs;
use std::thread::available_parallelism;

use serde::{Deserialize, Serialize};

/// A machine and its toolchain.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Machine {
    /// The model of the processor.
    pub cpu: String,
    /// The number of threads that can run at the same time.
    pub cores: usize,
    /// The operating system and its kernel.
    pub system: String,
    /// The compiler that built this program.
    pub rustc: String,
}

impl Machine {
    /// Returns this machine.
    pub fn this() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let cpu = read("/proc/cpuinfo")
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
            .map_or_else(|| "unknown processor".to_owned(), |(_, model)| model.to_owned());
        let kernel = read("/proc/sys/kernel/osrelease");
        Self {
            cpu,
            cores: available_parallelism().map_or(1, usize::from),
            system: format!("{} {} {}", std::env::consts::OS, kernel.trim(), std::env::consts::ARCH),
            rustc: env!("RUSTC_VERSION").to_owned(),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} cores, {}, {}", self.cpu, self.cores, self.system, self.rustc)
    }
}

/// Returns the version of a registry's package in a lock file.
pub fn locked_version<'l>(lock: &'l str, package: &str) -> Option<&'l str> {
    let field = |block: &'l str, name: &str| {
        block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = \"")?.strip_suffix('"'))
    };
    lock.split("[[package]]")
        .filter(|block| field(block, "source").is_some() && field(block, "name") == Some(package))
        .find_map(|block| field(block, "version"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_of_the_workspace_is_not_taken_for_one_from_a_registry() {
        let lock = "\
[[package]]
name = \"cachet\"
version = \"0.1.0\"

[[package]]
name = \"cachet\"
version = \"9.9.9\"
source = \"registry+somewhere\"
";
        assert_eq!(locked_version(lock, "cachet"), Some("9.9.9"));
        assert_eq!(locked_version(lock, "moka"), None);
    }
}
