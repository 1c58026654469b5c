//! A disk tier for production use: a directory with one file per entry.
//!
//! A crash cannot corrupt it, and several processes may share the directory. To store other values, replace [`Summary`] and its two
//! conversions.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use cachet::{CacheEntry, CacheTier, InsertOutcome, TierError, cache_tier};

use crate::files::Summary;

pub(crate) struct Disk {
    directory: PathBuf,
}

impl Disk {
    /// Does not access the disk: the first insert creates the directory.
    pub(crate) fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into() }
    }

    /// A key may contain any characters and have any length, a file name may not, so the name is a hash of the key.
    fn file_of(&self, key: &str) -> PathBuf {
        self.directory.join(format!("{:016x}.{ENTRY}", fnv1a(key.as_bytes())))
    }
}

#[cache_tier(name = "disk")]
impl CacheTier<str, Summary> for Disk {
    async fn get(&self, key: &str) -> Result<Option<CacheEntry<Summary>>, TierError> {
        let file = self.file_of(key);
        let found = blocking(move || read(&file)).await?;
        // Two keys with the same hash share a file, so the stored key may be another one.
        Ok(found.filter(|stored| stored.key == key).map(|stored| stored.entry))
    }

    async fn insert(&self, key: String, entry: CacheEntry<Summary>) -> Result<InsertOutcome, TierError> {
        let file = self.file_of(&key);
        let contents = encode(&key, &entry);
        blocking(move || write(&file, &contents).map_err(|error| failed(&file, &error))).await?;
        Ok(InsertOutcome::Accepted)
    }

    async fn invalidate(&self, key: &str) -> Result<(), TierError> {
        // This also removes the entry of another key with the same hash, which will be computed again.
        let file = self.file_of(key);
        blocking(move || remove(&file)).await
    }

    async fn clear(&self) -> Result<(), TierError> {
        let directory = self.directory.clone();
        blocking(move || remove_all(&directory)).await
    }
}

/// Runs file operations on threads that may block, not on the threads of the async runtime.
///
/// The work runs to its end even if the caller is cancelled, so a cancelled insert leaves a whole entry.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, TierError> + Send + 'static,
) -> Result<T, TierError> {
    tokio::task::spawn_blocking(work).await.map_err(TierError::from)?
}

const ENTRY: &str = "entry";
const TEMPORARY: &str = "tmp";

fn read(file: &Path) -> Result<Option<Stored>, TierError> {
    let contents = match fs::read(file) {
        Ok(contents) => contents,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(file, &error)),
    };
    // A damaged file is an error rather than a miss, so that it is reported. The value is then computed, and the insert replaces
    // the damaged file.
    decode(&contents).map(Some).map_err(|problem| damaged(file, problem))
}

/// Writes a file atomically: renaming replaces it in one step, so readers see either the old or the new contents.
///
/// After a power failure the contents may be incomplete, since a sync for each insert would be too slow for a cache. The checksum
/// detects this.
fn write(file: &Path, contents: &[u8]) -> io::Result<()> {
    static WRITES: AtomicU64 = AtomicU64::new(0);
    let directory = file.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(directory)?;
    // A unique name in the same directory: renaming works only within one file system.
    let number = WRITES.fetch_add(1, Ordering::Relaxed);
    let temporary = directory.join(format!("{}-{number}.{TEMPORARY}", std::process::id()));
    let written = fs::write(&temporary, contents).and_then(|()| fs::rename(&temporary, file));
    if written.is_err() {
        // Removes a partial file, for example on a full disk.
        let _ = fs::remove_file(&temporary);
    }
    written
}

fn remove(file: &Path) -> Result<(), TierError> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(failed(file, &error)),
        _ => Ok(()),
    }
}

/// Removes the files of this tier and keeps other files in the directory.
fn remove_all(directory: &Path) -> Result<(), TierError> {
    let files = match fs::read_dir(directory) {
        Ok(files) => files,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(directory, &error)),
    };
    for file in files {
        let file = file.map_err(|error| failed(directory, &error))?.path();
        if file.extension().is_some_and(|extension| extension == ENTRY || extension == TEMPORARY) {
            remove(&file)?;
        }
    }
    Ok(())
}

/// Adds the path, which the system's errors do not contain.
fn failed(file: &Path, error: &io::Error) -> TierError {
    TierError::from(io::Error::new(error.kind(), format!("{}: {error}", file.display()))).with_type("io")
}

fn damaged(file: &Path, problem: &str) -> TierError {
    let text = format!("{}: the entry is damaged, {problem}", file.display());
    TierError::from(io::Error::new(ErrorKind::InvalidData, text)).with_type("damaged")
}

/// The contents of a file.
struct Stored {
    key: String,
    entry: CacheEntry<Summary>,
}

/// The format and its version. A change of the format needs a new value, so that old files are not read.
const MAGIC: &[u8; 8] = b"summary1";

/// Represents an absent time.
const NONE: u64 = u64::MAX;

/// `MAGIC`, the checksum of all that follows, time of insertion, time to live, length of the key, key, value.
fn encode(key: &str, entry: &CacheEntry<Summary>) -> Vec<u8> {
    let nanos = |time: Option<Duration>| time.map_or(NONE, |time| u64::try_from(time.as_nanos()).unwrap_or(NONE));
    // The cache has stamped the entry, and computes its age from the stamp.
    let inserted_at = entry.inserted_at().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let mut body = Vec::new();
    body.extend(nanos(inserted_at).to_le_bytes());
    body.extend(nanos(entry.ttl()).to_le_bytes());
    body.extend((key.len() as u64).to_le_bytes());
    body.extend(key.as_bytes());
    body.extend(entry.value().to_bytes());
    [MAGIC.as_slice(), &fnv1a(&body).to_le_bytes(), &body].concat()
}

fn decode(contents: &[u8]) -> Result<Stored, &'static str> {
    let rest = contents.strip_prefix(MAGIC).ok_or("it has a wrong header")?;
    let (checksum, body) = take_u64(rest).ok_or("it ends too early")?;
    if checksum != fnv1a(body) {
        return Err("its checksum does not match");
    }
    parse(body).ok_or("its contents are invalid")
}

fn parse(body: &[u8]) -> Option<Stored> {
    let (inserted_at, rest) = take_u64(body)?;
    let (ttl, rest) = take_u64(rest)?;
    let (key_length, rest) = take_u64(rest)?;
    let (key, value) = rest.split_at_checked(usize::try_from(key_length).ok()?)?;
    let key = str::from_utf8(key).ok()?.to_owned();
    let ttl = (ttl != NONE).then(|| Duration::from_nanos(ttl));
    let inserted_at = UNIX_EPOCH + Duration::from_nanos(inserted_at);
    let entry = CacheEntry::restore(Summary::from_bytes(value)?, ttl, inserted_at);
    Some(Stored { key, entry })
}

fn take_u64(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u64::from_le_bytes(*number), rest))
}

/// FNV-1a: a short hash that is the same in every process and release, unlike the standard library's. It detects accidental
/// damage, not manipulation.
pub(crate) fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}
