//! Searching for the first byte that needs attention, eight bytes at a time: for short texts, where setting up a search must
//! cost nothing.

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = ONES * 0x80;
/// Fills the last word after the end of the text. No search looks for this byte.
const PADDING: u8 = b'a';

/// Marks the bytes of a word that equal `byte`. Bytes above the first one marked may be marked wrongly.
#[inline(always)]
pub fn equal(word: u64, byte: u8) -> u64 {
    below(word ^ (ONES * u64::from(byte)), 1)
}

/// Marks the bytes of a word that are less than `limit`, which is at most 128. Bytes above the first one marked may be
/// marked wrongly.
#[inline(always)]
pub fn below(word: u64, limit: u8) -> u64 {
    word.wrapping_sub(ONES * u64::from(limit)) & !word & HIGHS
}

/// Returns the position of the first byte at or after `from` that `marks` marks.
#[inline(always)]
pub fn find(bytes: &[u8], from: usize, marks: impl Fn(u64) -> u64) -> Option<usize> {
    let rest = bytes.get(from..)?;
    let (words, end) = rest.as_chunks::<8>();
    for (at, word) in words.iter().enumerate() {
        let found = marks(u64::from_le_bytes(*word));
        if found != 0 {
            return Some(from + at * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    let mut word = [PADDING; 8];
    word[..end.len()].copy_from_slice(end);
    let found = marks(u64::from_le_bytes(word));
    (found != 0).then(|| from + words.len() * 8 + found.trailing_zeros() as usize / 8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_first_matching_byte_is_found(
            bytes in proptest::collection::vec(prop_oneof![0u8..=255, Just(b'"'), Just(0x20), Just(0x1f)], 0..40),
            from in 0usize..50,
        ) {
            let expected = (from..bytes.len()).find(|&at| bytes[at] == b'"' || bytes[at] < 0x20);
            prop_assert_eq!(find(&bytes, from, |word| equal(word, b'"') | below(word, 0x20)), expected);
            let expected = (from..bytes.len()).find(|&at| bytes[at] == 0xed);
            prop_assert_eq!(find(&bytes, from, |word| equal(word, 0xed)), expected);
        }
    }
}
