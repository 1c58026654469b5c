//! The disk tier of the example `quickstart`, which readers are invited to copy: what it gives back, and what it does with
//! files that are not as they should be.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cachet::testing::RecordingHandler;
use cachet::{Cache, CacheEntry, Tier};

use self::disk::Disk;
use self::files::Summary;

#[path = "../../examples/quickstart/disk.rs"]
mod disk;
#[expect(dead_code, reason = "the example finds and reads files with it, too")]
#[path = "../../examples/quickstart/files.rs"]
mod files;

/// A directory that is gone when the test is over.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("cachet-disk-{name}-{}", std::process::id())))
    }

    /// The only entry's file.
    fn file(&self) -> PathBuf {
        let mut files = fs::read_dir(&self.0).unwrap().map(|file| file.unwrap().path());
        let file = files.next().unwrap();
        assert!(files.next().is_none(), "one entry, one file, and no other left behind");
        file
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
        let _ = fs::remove_file(&self.0);
    }
}

const ADA: Summary = Summary { lines: 1, words: 2, vocabulary: 3, hash: 4 };

fn cache(directory: &Path, seen: &RecordingHandler) -> Cache<str, Summary> {
    Cache::builder("summaries").tier(Tier::new(Disk::new(directory))).event_handler(seen.clone()).build()
}

#[tokio::test]
async fn an_entry_comes_back_whole_also_in_another_cache() {
    let (directory, seen) = (Directory::new("whole"), RecordingHandler::new());
    let entry = CacheEntry::expires_after(ADA, Duration::from_hours(1));
    cache(&directory.0, &seen).insert("ada", entry).await.unwrap();
    let found = cache(&directory.0, &seen).get("ada").await.unwrap().unwrap();
    assert_eq!(*found, ADA);
    assert_eq!(found.ttl(), Some(Duration::from_hours(1)));
    assert!(found.inserted_at().is_some());
    assert_eq!(seen.take_lines(), ["disk insert: inserted", "insert: inserted", "disk get: hit", "get: hit"]);
}

#[tokio::test]
async fn what_was_invalidated_or_cleared_is_gone() {
    let (directory, seen) = (Directory::new("gone"), RecordingHandler::new());
    let summaries = cache(&directory.0, &seen);
    summaries.clear().await.unwrap();
    summaries.invalidate("ada").await.unwrap();
    summaries.insert("ada", ADA).await.unwrap();
    summaries.insert("bob", ADA).await.unwrap();
    summaries.invalidate("ada").await.unwrap();
    assert!(!summaries.contains("ada").await.unwrap() && summaries.contains("bob").await.unwrap());
    summaries.clear().await.unwrap();
    assert!(!summaries.contains("bob").await.unwrap());
}

// However a file is damaged: an error with a cause, never a panic, and never a wrong value.
#[tokio::test]
async fn a_damaged_file_is_an_error_and_the_next_insert_mends_it() {
    let (directory, seen) = (Directory::new("damaged"), RecordingHandler::new());
    let summaries = cache(&directory.0, &seen);
    summaries.insert("ada", ADA).await.unwrap();
    let file = directory.file();
    let sound = fs::read(&file).unwrap();
    let cut = (0..sound.len()).map(|length| sound[..length].to_vec());
    let flipped = (0..sound.len()).map(|place| {
        let mut broken = sound.clone();
        broken[place] ^= 0x10;
        broken
    });
    for broken in cut.chain(flipped) {
        fs::write(&file, &broken).unwrap();
        let error = summaries.get("ada").await.unwrap_err();
        assert_eq!((error.tier_name(), error.error_type()), (Some("disk"), "damaged"));
    }
    seen.take();
    let computed = summaries.get_or_insert("ada", || async { ADA }).await.unwrap();
    assert_eq!(*computed, ADA);
    assert_eq!(seen.take_lines(), ["disk get: error", "disk insert: inserted", "get_or_insert: computed"]);
    assert_eq!(fs::read(&file).unwrap().len(), sound.len());
    assert!(summaries.contains("ada").await.unwrap());
}

// Two keys whose names have the same hash would share a file: here, one is put in the other's place.
#[tokio::test]
async fn the_entry_of_another_key_is_a_miss() {
    let (directory, seen) = (Directory::new("other"), RecordingHandler::new());
    let summaries = cache(&directory.0, &seen);
    summaries.insert("ada", ADA).await.unwrap();
    let file = directory.file();
    let ada = fs::read(&file).unwrap();
    summaries.invalidate("ada").await.unwrap();
    summaries.insert("bob", ADA).await.unwrap();
    fs::write(directory.file(), ada).unwrap();
    assert!(summaries.get("bob").await.unwrap().is_none());
}

#[tokio::test]
async fn where_nothing_can_be_stored_everything_is_still_computed() {
    let (directory, seen) = (Directory::new("nowhere"), RecordingHandler::new());
    // A file where the directory should be: nothing can be written, by any user.
    fs::write(&directory.0, "in the way").unwrap();
    let summaries = cache(&directory.0, &seen);
    let computed = summaries.get_or_insert("ada", || async { ADA }).await.unwrap();
    assert_eq!(*computed, ADA);
    let error = summaries.insert("ada", ADA).await.unwrap_err();
    assert!(format!("{error:#}").contains(directory.0.to_str().unwrap()), "{error:#}");
    assert_eq!(error.error_type(), "io");
    assert_eq!(fs::read_to_string(&directory.0).unwrap(), "in the way");
}

// A directory in an entry's place cannot be read as one, nor replaced.
#[tokio::test]
async fn an_entry_that_cannot_be_read_is_an_error_that_names_the_file() {
    let (directory, seen) = (Directory::new("unreadable"), RecordingHandler::new());
    let summaries = cache(&directory.0, &seen);
    summaries.insert("ada", ADA).await.unwrap();
    let file = directory.file();
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    let error = summaries.get("ada").await.unwrap_err();
    assert!(format!("{error:#}").contains(file.to_str().unwrap()), "{error:#}");
    assert!(summaries.insert("ada", ADA).await.is_err());
    assert_eq!(directory.file(), file, "no half-written file is left");
}

#[test]
fn keys_never_lead_out_of_the_directory() {
    let directory = Directory::new("inside");
    let outside = std::env::temp_dir().join(format!("cachet-outside-{}", std::process::id()));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let summaries = cache(&directory.0, &RecordingHandler::new());
        for key in [outside.to_str().unwrap(), "../../outside", "a/b", "", "\0", &"x".repeat(10_000)] {
            summaries.insert(key, ADA).await.unwrap();
            assert!(summaries.contains(key).await.unwrap(), "{key:?}");
        }
    });
    assert!(!outside.exists());
    assert_eq!(fs::read_dir(&directory.0).unwrap().count(), 6);
}
