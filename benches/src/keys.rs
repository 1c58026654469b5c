//! Keys: numbers and 16-byte texts over the same range.

use std::borrow::Borrow;
use std::fmt;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};

use cachet::Key;

/// The number of resident entries.
pub const ENTRIES: u64 = 10_000;

/// The capacity of caches: more than is resident, so that nothing is evicted.
pub const CAPACITY: usize = 20_000;

/// The value that loaders compute. No entry that a cache is filled with has it.
pub const COMPUTED: u64 = u64::MAX;

/// The texts of all keys that a scenario prepares, made once: a program that looks something up usually has the key.
#[derive(Clone, Copy, Debug)]
pub struct Keys {
    texts: &'static [String],
}

impl Keys {
    /// Makes the texts. They live as long as the process, as the measured caches do.
    pub fn new() -> Self {
        let texts: Vec<String> = (0..2 * ENTRIES).map(|number| format!("{number:016x}")).collect();
        Self { texts: texts.leak() }
    }
}

impl Default for Keys {
    fn default() -> Self {
        Self::new()
    }
}

/// A form of keys: `u64`, or `str` of 16 bytes.
pub trait KeyForm: Key + ToOwned<Owned: fmt::Debug + Hash + Eq + 'static> + 'static {
    /// The name in tables.
    const NAME: &'static str;

    /// The form of a prepared key.
    type Prepared: Borrow<Self> + Copy + Send;

    /// The form of a key that has just been made.
    type Fresh: Borrow<Self> + Send;

    /// The key as a text, for libraries without other keys.
    fn as_text(&self) -> Option<&str>;

    /// A prepared key, by its number.
    fn prepared(keys: Keys, number: u64) -> Self::Prepared;

    /// A key that is made on the spot; every number has one.
    fn fresh(number: u64) -> Self::Fresh;

    /// A key that has an entry.
    fn resident(keys: Keys, number: u64) -> Self::Prepared {
        Self::prepared(keys, number % ENTRIES)
    }

    /// A key that has none.
    fn absent(keys: Keys, number: u64) -> Self::Prepared {
        Self::prepared(keys, ENTRIES + number % ENTRIES)
    }

    /// A hundred keys that have entries.
    fn hundred(held: &[Self::Prepared], number: u64) -> impl ExactSizeIterator<Item = &Self> {
        let first = usize::try_from(number % (ENTRIES / 100)).unwrap_or(0) * 100;
        held[first..first + 100].iter().map(Borrow::borrow)
    }

    /// All keys that have entries.
    fn all(keys: Keys) -> Vec<Self::Prepared> {
        (0..ENTRIES).map(|number| Self::prepared(keys, number)).collect()
    }

    /// The owned form of a key that has an entry.
    fn owned(keys: Keys, number: u64) -> Self::Owned {
        Self::resident(keys, number).borrow().to_owned()
    }
}

/// Keys that a cache has not seen yet.
#[derive(Debug)]
pub struct FreshKeys(AtomicU64);

impl FreshKeys {
    /// The keys from the given number on.
    pub fn starting_at(number: u64) -> Self {
        Self(AtomicU64::new(number))
    }

    /// Makes the next key.
    pub fn next<K: KeyForm + ?Sized>(&self) -> K::Fresh {
        K::fresh(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

impl KeyForm for u64 {
    const NAME: &'static str = "u64";

    type Prepared = u64;
    type Fresh = u64;

    fn as_text(&self) -> Option<&str> {
        None
    }

    fn prepared(_keys: Keys, number: u64) -> u64 {
        number
    }

    fn fresh(number: u64) -> u64 {
        number
    }
}

impl KeyForm for str {
    const NAME: &'static str = "str";

    type Prepared = &'static str;
    type Fresh = Text;

    fn as_text(&self) -> Option<&str> {
        Some(self)
    }

    fn prepared(keys: Keys, number: u64) -> &'static str {
        usize::try_from(number).ok().and_then(|number| keys.texts.get(number)).map_or("", String::as_str)
    }

    fn fresh(number: u64) -> Text {
        Text::of(number)
    }
}

/// A number as a text of 16 bytes that needs no allocation.
#[derive(Clone, Copy, Debug)]
pub struct Text([u8; 16]);

impl Text {
    fn of(number: u64) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 16];
        for (pair, byte) in text.chunks_exact_mut(2).zip(number.to_be_bytes()) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        Self(text)
    }
}

impl Borrow<str> for Text {
    fn borrow(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_fresh_and_prepared_keys_agree() {
        let keys = Keys::new();
        let text = Text::of(0x0123_4567_89ab_cdef);
        assert_eq!(Borrow::<str>::borrow(&text), "0123456789abcdef");
        assert_eq!(str::prepared(keys, 17), Borrow::<str>::borrow(&str::fresh(17)));
        assert_eq!(str::absent(keys, 1), str::prepared(keys, ENTRIES + 1));
        assert_eq!(u64::absent(keys, 1), ENTRIES + 1);
    }
}
