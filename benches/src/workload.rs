//! Accesses to keys of skewed popularity.

use crate::keys::ENTRIES;

/// One access of a skewed workload.
#[derive(Clone, Copy, Debug)]
pub struct Access {
    /// The number of the key.
    pub number: u64,
    /// Whether it is written rather than read.
    pub is_write: bool,
}

/// A small generator of random numbers, the same in every run.
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
    #[allow(clippy::cast_precision_loss, reason = "53 bits are enough")]
    pub fn next_share(&mut self) -> f64 {
        (self.next_number() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Numbers in `0..count`, the rank `r` among them with a probability proportional to `1 / r`.
#[derive(Debug)]
pub struct Zipf {
    /// By rank: the share of all draws that have this rank or an earlier one.
    cumulative: Vec<f64>,
}

impl Zipf {
    /// The distribution over the given count of numbers.
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
    fn a_skewed_workload_prefers_few_keys_and_mostly_reads() {
        let accesses = Zipf::accesses(7, 20_000);
        let favorite = accesses.iter().filter(|access| access.number == 0).count();
        let writes = accesses.iter().filter(|access| access.is_write).count();
        // The first of 10,000 ranks has a share of about a tenth.
        assert!((1_500..2_600).contains(&favorite), "{favorite}");
        assert!((1_700..2_300).contains(&writes), "{writes}");
        assert!(accesses.iter().all(|access| access.number < ENTRIES));
    }
}
