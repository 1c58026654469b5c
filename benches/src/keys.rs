//! Keys: numbers and 16-byte texts over the same range, and the order in which a skewed workload asks for them.

use std::borrow::Borrow;
use std::fmt;
use std::hash::Hash;

use cachet::Key;

/// Resident entries.
pub const ENTRIES: u64 = 10_000;

/// What caches may hold: more than is resident, so that nothing is evicted.
pub const CAPACITY: usize = 20_000;

/// The value that is computed where none is found. No entry that a cache is filled with has it.
pub const COMPUTED: u64 = u64::MAX;

/// The texts of all keys that a scenario prepares, made once: what a program that looks something up has at hand.
#[derive(Clone, Copy, Debug)]
pub struct Keys {
    texts: &'static [String],
}

impl Keys {
    /// Makes the texts. They live as long as the process, as do the caches that are measured.
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
    /// What tables call it.
    const NAME: &'static str;

    /// What a caller holds who looks a prepared key up.
    type Held: Borrow<Self> + Copy + Send;

    /// What a caller holds who has just made a key.
    type Fresh: Borrow<Self> + Send;

    /// The key as a text, for libraries that know nothing else.
    fn as_text(&self) -> Option<&str>;

    /// A prepared key, by its number.
    fn prepared(keys: Keys, number: u64) -> Self::Held;

    /// A key that is made on the spot, of which there are as many as numbers.
    fn fresh(number: u64) -> Self::Fresh;

    /// A key that has an entry.
    fn resident(keys: Keys, number: u64) -> Self::Held {
        Self::prepared(keys, number % ENTRIES)
    }

    /// A key that has none.
    fn absent(keys: Keys, number: u64) -> Self::Held {
        Self::prepared(keys, ENTRIES + number % ENTRIES)
    }

    /// A hundred keys that have entries.
    fn hundred(held: &[Self::Held], number: u64) -> impl ExactSizeIterator<Item = &Self> {
        let first = usize::try_from(number % (ENTRIES / 100)).unwrap_or(0) * 100;
        held[first..first + 100].iter().map(Borrow::borrow)
    }

    /// All keys that have entries.
    fn all(keys: Keys) -> Vec<Self::Held> {
        (0..ENTRIES).map(|number| Self::prepared(keys, number)).collect()
    }

    /// The owned form of a key that has an entry.
    fn owned(keys: Keys, number: u64) -> Self::Owned {
        Self::resident(keys, number).borrow().to_owned()
    }
}

impl KeyForm for u64 {
    const NAME: &'static str = "u64";

    type Held = u64;
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

    type Held = &'static str;
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

/// One access of a skewed workload.
#[derive(Clone, Copy, Debug)]
pub struct Access {
    /// The number of the key.
    pub number: u64,
    /// Whether it is written rather than read.
    pub is_write: bool,
}

/// A little generator: sequences are the same in every run, and nothing has to be depended on.
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// Starts a sequence; different seeds give different ones.
    pub fn seeded(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next number (xorshift64*).
    pub fn next_number(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// The next number in `0.0..1.0`.
    #[allow(clippy::cast_precision_loss, reason = "53 bits are what is wanted")]
    pub fn next_share(&mut self) -> f64 {
        (self.next_number() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Numbers in `0..count`, the rank `r` among them with a probability proportional to `1 / r`.
#[derive(Debug)]
pub struct Zipf {
    /// By rank: the share of all draws that fall on this rank or an earlier one.
    cumulative: Vec<f64>,
}

impl Zipf {
    /// The distribution over so many numbers.
    #[allow(clippy::cast_precision_loss, reason = "ranks are small")]
    pub fn over(count: u64) -> Self {
        let mut cumulative: Vec<f64> = (1..=count)
            .scan(0.0, |sum, rank| {
                *sum += 1.0 / rank as f64;
                Some(*sum)
            })
            .collect();
        let total = cumulative.last().copied().unwrap_or(1.0);
        for share in &mut cumulative {
            *share /= total;
        }
        Self { cumulative }
    }

    /// Draws a number. Popular ones are spread over the whole range.
    pub fn draw(&self, random: &mut Random) -> u64 {
        let share = random.next_share();
        let rank = self.cumulative.partition_point(|cumulative| *cumulative < share);
        let count = self.cumulative.len() as u64;
        (rank as u64).min(count - 1).wrapping_mul(7919) % count
    }

    /// A sequence of accesses to the resident keys, every tenth of them a write on average.
    pub fn accesses(seed: u64, length: usize) -> Vec<Access> {
        let mut random = Random::seeded(seed);
        let zipf = Self::over(ENTRIES);
        (0..length)
            .map(|_| Access { number: zipf.draw(&mut random), is_write: random.next_number().is_multiple_of(10) })
            .collect()
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

    #[test]
    fn a_skewed_workload_prefers_few_keys_and_mostly_reads() {
        let accesses = Zipf::accesses(7, 20_000);
        let favourite = accesses.iter().filter(|access| access.number == 0).count();
        let writes = accesses.iter().filter(|access| access.is_write).count();
        // The first of 10,000 ranks has a share of about a tenth.
        assert!((1_500..2_600).contains(&favourite), "{favourite}");
        assert!((1_700..2_300).contains(&writes), "{writes}");
        assert!(accesses.iter().all(|access| access.number < ENTRIES));
    }
}
