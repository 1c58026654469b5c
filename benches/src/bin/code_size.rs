//! What one annotated tier adds to a program: tiers behind a memory tier in a cache, against the same tiers called directly.
//!
//! Programs of different numbers of tiers are built in release mode and stripped. What one tier adds is the difference in the
//! size of the files, by the difference in the number of tiers.
//!
//! ```text
//! cargo run --release -p cachet-benches --bin code_size
//! ```

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::{fs, io};

use cachet_benches::generated::{Package, in_temporary_directory, tiers};

/// Tiers in the smaller program; the larger one has twice as many.
const TIERS: u64 = 20;
/// The most that a tier in a cache may add to its own code, in KiB.
const BUDGET: u64 = 16;

/// What every program does with a tier, directly or through a cache: a lookup, and an insert of what was not there.
const DIRECT: &str = "
    let tier = TierN::default();
    sum += poll(async {
        if let Ok(Some(entry)) = tier.get(&key).await { return *entry; }
        let _ = tier.insert(key.clone(), 1.into()).await;
        0
    });
";
const CACHED: &str = "
    let cache = cachet::Cache::<str, u32>::builder(\"cN\")
        .tier(cachet::Tier::memory(10))
        .tier(cachet::Tier::new(TierN::default()))
        .build();
    sum += poll(async {
        if let Ok(Some(entry)) = cache.get(&key).await { return *entry; }
        let _ = cache.insert(key.clone(), 1).await;
        0
    });
";

fn program(count: u64, attribute: &str, each: &str) -> io::Result<String> {
    let mut source = tiers(usize::try_from(count).map_err(io::Error::other)?, |_| attribute.to_owned())?;
    let mut body = String::new();
    for number in 1..=count {
        body.push_str(&each.replace("TierN", &format!("Tier{number}")).replace("cN", &format!("c{number}")));
    }
    write!(
        source,
        "
fn poll(future: impl std::future::Future<Output = u32>) -> u32 {{
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {{
        std::task::Poll::Ready(value) => value,
        std::task::Poll::Pending => 0,
    }}
}}

fn main() {{
    let key = std::env::args().next().unwrap_or_default();
    let mut sum = 0;
    {body}
    println!(\"{{sum}}\");
}}
"
    )
    .map_err(io::Error::other)?;
    Ok(source)
}

/// By how many bytes the program grows with each tier.
fn bytes_per_tier(directory: &Path, name: &str, attribute: &str, each: &str) -> io::Result<u64> {
    let target = directory.join("target");
    let size = |count: u64| {
        let name = format!("{name}-{count}");
        let package = Package::generate(directory, &name, "main.rs", program(count, attribute, each)?)?;
        package.cargo(&["build", "--release"], &target, false)?;
        Ok::<_, io::Error>(fs::metadata(target.join("release").join(name))?.len())
    };
    Ok((size(2 * TIERS)?.saturating_sub(size(TIERS)?)) / TIERS)
}

fn run(directory: &Path) -> io::Result<bool> {
    let own = bytes_per_tier(directory, "direct", "", DIRECT)?;
    let cached = bytes_per_tier(directory, "cached", "#[cachet::cache_tier]\n", CACHED)?;
    let added = cached.saturating_sub(own);
    println!("a tier called directly: {own} bytes; annotated, in a cache behind a memory tier: {cached} bytes");
    println!("added: {added} bytes; budget: {} bytes", BUDGET * 1024);
    Ok(added <= BUDGET * 1024)
}

fn main() -> ExitCode {
    in_temporary_directory("code-size", run)
}
