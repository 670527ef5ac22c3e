//! Reproducible chance (SplitMix64).

#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Another sequence, determined by this one's state and `key`; this one does not advance.
    pub fn fork(&self, key: u64) -> Self {
        let mut fork = Self(self.0 ^ key.wrapping_mul(0xd6e8_feb8_6659_fd93));
        Self(fork.next())
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// True `in_256` times out of 256.
    pub fn chance(&mut self, in_256: u64) -> bool {
        self.below(256) < in_256
    }

    /// A likelihood for [`Random::chance`]: the ends are as common as the middle.
    pub fn likelihood(&mut self) -> u64 {
        [0, 16, 64, 96, 128, 160, 192, 240, 256][self.below(9) as usize]
    }
}
