//! The work to cache: finding files and summarizing them.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;
use std::{fs, io};

use crate::disk::fnv1a;

/// Larger files are left out: reading them would take most of the time.
const MAX_SIZE: u64 = 4 << 20;
/// Limits the run time to a few seconds in any directory.
const MAX_FILES: usize = 1000;

pub(crate) struct SourceFile {
    pub(crate) path: PathBuf,
    /// Path, modification time and size: a changed file has a new key, and so is summarized again.
    pub(crate) key: String,
}

/// The path in a [`SourceFile::key`].
pub(crate) fn path_of(key: &str) -> &str {
    // From the right, since a path may contain the separator.
    key.rsplitn(3, SEPARATOR).last().unwrap_or(key)
}

const SEPARATOR: char = '|';

/// The files in and below a directory, in a fixed order, and notes on what was left out.
pub(crate) fn find(directory: &Path) -> (Vec<SourceFile>, Vec<String>) {
    let (mut files, mut notes) = (Vec::new(), Vec::new());
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        let mut children = match fs::read_dir(&directory).and_then(Iterator::collect::<io::Result<Vec<_>>>) {
            Ok(children) => children,
            Err(error) => {
                notes.push(format!("{}: {error}", directory.display()));
                continue;
            }
        };
        children.sort_by_key(fs::DirEntry::file_name);
        for child in children {
            let name = child.file_name();
            let skipped = name == "target" || name.as_encoded_bytes().starts_with(b".");
            match child.file_type() {
                Ok(kind) if kind.is_dir() && !skipped => directories.push(child.path()),
                Ok(kind) if kind.is_file() && !skipped => match source_file(&child) {
                    Ok(file) => files.push(file),
                    Err(reason) => notes.push(format!("{}: {reason}", child.path().display())),
                },
                // Also skips links, which may form cycles.
                _ => {}
            }
            if files.len() == MAX_FILES {
                notes.push(format!("everything after the first {MAX_FILES} files"));
                return (files, notes);
            }
        }
    }
    (files, notes)
}

fn source_file(file: &fs::DirEntry) -> Result<SourceFile, String> {
    let metadata = file.metadata().map_err(|error| error.to_string())?;
    let size = metadata.len();
    if size > MAX_SIZE {
        return Err(format!("larger than {} MiB", MAX_SIZE >> 20));
    }
    let changed = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    let path = file.path();
    let text = path.to_str().ok_or("its name is not valid UTF-8")?;
    let key = format!("{text}{SEPARATOR}{}{SEPARATOR}{size}", changed.as_nanos());
    Ok(SourceFile { path, key })
}

/// The result for a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) lines: u64,
    pub(crate) words: u64,
    /// The number of distinct words.
    pub(crate) vocabulary: u64,
    pub(crate) hash: u64,
}

impl Summary {
    /// Reads and summarizes a file.
    pub(crate) async fn of(path: PathBuf) -> io::Result<Self> {
        // Blocking and CPU-bound work must not run on a thread of the async runtime.
        let summary = tokio::task::spawn_blocking(move || fs::read(path).map(|contents| Self::of_bytes(&contents)));
        summary.await.map_err(io::Error::other)?
    }

    fn of_bytes(contents: &[u8]) -> Self {
        let words = || contents.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        Self {
            lines: contents.split_inclusive(|byte| *byte == b'\n').count() as u64,
            words: words().count() as u64,
            vocabulary: words().collect::<HashSet<_>>().len() as u64,
            hash: fnv1a(contents),
        }
    }

    pub(crate) fn to_bytes(self) -> Vec<u8> {
        [self.lines, self.words, self.vocabulary, self.hash].map(u64::to_le_bytes).concat()
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (numbers, rest) = bytes.as_chunks::<8>();
        match (numbers, rest) {
            ([lines, words, vocabulary, hash], []) => Some(Self {
                lines: u64::from_le_bytes(*lines),
                words: u64::from_le_bytes(*words),
                vocabulary: u64::from_le_bytes(*vocabulary),
                hash: u64::from_le_bytes(*hash),
            }),
            _ => None,
        }
    }
}
