//! Searching a long text for the bytes that need attention, sixty-four at a time, and copying the text between them.
//!
//! Source code has such a byte every few words. A search that stops at each of them pays for a mispredicted branch and for
//! setting itself up again, whereas one mask covers all of them in a block.

use wide::u8x16;

const BLOCK: usize = 64;
/// Fills the last block after the end of the text. No search looks for this byte.
const PADDING: u8 = b'a';

/// Marks the bytes that are `byte`.
#[inline(always)]
pub fn equal(bytes: u8x16, byte: u8) -> u8x16 {
    bytes.simd_eq(u8x16::splat(byte))
}

/// Marks the bytes that are at most `most`.
#[inline(always)]
pub fn at_most(bytes: u8x16, most: u8) -> u8x16 {
    bytes.min(u8x16::splat(most)).simd_eq(bytes)
}

/// The positions of all marked bytes, ascending.
pub struct Places<'a, F> {
    text: &'a [u8],
    /// Where the current block begins. `mask` has a bit for each position in it that is still to come.
    block: usize,
    mask: u64,
    marks: F,
}

/// Returns the positions at or after `from` of the bytes that `marks` marks.
#[inline(always)]
pub fn places<F: Fn(u8x16) -> u8x16>(text: &[u8], from: usize, marks: F) -> Places<'_, F> {
    let mask = mask(text, from, &marks);
    Places { text, block: from, mask, marks }
}

impl<F: Fn(u8x16) -> u8x16> Iterator for Places<'_, F> {
    type Item = usize;

    #[inline(always)]
    fn next(&mut self) -> Option<usize> {
        while self.mask == 0 {
            self.block += BLOCK;
            if self.block >= self.text.len() {
                // Every further call ends here, too.
                self.block = self.text.len();
                return None;
            }
            self.mask = mask(self.text, self.block, &self.marks);
        }
        let place = self.block + self.mask.trailing_zeros() as usize;
        self.mask &= self.mask - 1;
        Some(place)
    }
}

/// Returns a mask with a bit for each byte of the block that begins at `at`.
#[inline(always)]
fn mask(text: &[u8], at: usize, marks: impl Fn(u8x16) -> u8x16) -> u64 {
    let rest = text.get(at..).unwrap_or_default();
    if let Some(block) = rest.first_chunk::<BLOCK>() {
        return mask_of(block, marks);
    }
    let mut block = [PADDING; BLOCK];
    block[..rest.len()].copy_from_slice(rest);
    mask_of(&block, marks)
}

#[inline(always)]
fn mask_of(block: &[u8; BLOCK], marks: impl Fn(u8x16) -> u8x16) -> u64 {
    // The vector instructions are explicit, because link-time optimisation finds none by itself.
    let mut mask = 0;
    for (at, bytes) in block.as_chunks::<16>().0.iter().enumerate() {
        mask |= u64::from(marks(u8x16::new(*bytes)).to_bitmask()) << (16 * at);
    }
    mask
}

/// How much longer than the result the buffer must be.
pub const SLACK: usize = BLOCK;

/// Assembles a text in a buffer from pieces of another text and the bytes between them.
pub struct Splicer<'a> {
    text: &'a [u8],
    /// A slice, so that neither its address nor its length is looked up for each piece.
    buffer: &'a mut [u8],
    /// Where the next piece goes. Whatever follows is overwritten later.
    end: usize,
}

impl<'a> Splicer<'a> {
    pub fn new(text: &'a [u8], buffer: &'a mut [u8]) -> Splicer<'a> {
        Splicer { text, buffer, end: 0 }
    }

    /// Returns whether there is room for this many more bytes.
    #[inline(always)]
    pub fn has_room(&self, bytes: usize) -> bool {
        self.end + bytes + SLACK <= self.buffer.len()
    }

    /// Appends a piece of the text, for which there must be room. A short piece is copied as a whole block, whose end is
    /// overwritten later, so that no branch depends on the exact length.
    #[inline(always)]
    pub fn copy(&mut self, from: usize, to: usize) {
        let length = to.saturating_sub(from);
        if length <= BLOCK
            && let Some(block) = self.text.get(from..).and_then(|rest| rest.first_chunk::<BLOCK>())
            && let Some(place) =
                self.buffer.get_mut(self.end..).and_then(|rest| rest.first_chunk_mut::<BLOCK>())
        {
            *place = *block;
        } else if let Some(piece) = self.text.get(from..to) {
            put(self.buffer, self.end, piece);
        }
        self.end += length;
    }

    /// Appends bytes, for which there must be room.
    #[inline(always)]
    pub fn push<const N: usize>(&mut self, bytes: [u8; N]) {
        if let Some(place) = self.buffer.get_mut(self.end..).and_then(|rest| rest.first_chunk_mut::<N>()) {
            *place = bytes;
        }
        self.end += N;
    }

    /// Like `push`, for any number of bytes.
    #[inline(always)]
    pub fn append(&mut self, bytes: &[u8]) {
        put(self.buffer, self.end, bytes);
        self.end += bytes.len();
    }

    /// Returns the length of the assembled text.
    pub fn finish(self) -> usize {
        self.end
    }
}

#[cold]
fn put(buffer: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = buffer.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_matching_byte_is_found(
            bytes in proptest::collection::vec(prop_oneof![0u8..=255, Just(b'"'), Just(0x1f), Just(b'a')], 0..300),
            from in 0usize..310,
        ) {
            let is_marked = |at: &usize| bytes[*at] == b'"' || bytes[*at] < 0x20;
            let expected: Vec<usize> = (from..bytes.len()).filter(is_marked).collect();
            let marks = |bytes| equal(bytes, b'"') | at_most(bytes, 0x1f);
            prop_assert_eq!(places(&bytes, from, marks).collect::<Vec<_>>(), expected);
        }

        #[test]
        fn pieces_are_appended_in_order(
            text in proptest::collection::vec(any::<u8>(), 0..300),
            cuts in proptest::collection::vec((0usize..300, 0usize..300), 0..20),
        ) {
            let mut expected = Vec::new();
            let mut buffer = vec![0; 20 * 302 + SLACK];
            let mut spliced = Splicer::new(&text, &mut buffer);
            for (from, length) in cuts {
                let from = from.min(text.len());
                let to = (from + length).min(text.len());
                prop_assert!(spliced.has_room(to - from + 2));
                spliced.copy(from, to);
                spliced.push(*b"\\n");
                expected.extend_from_slice(&text[from..to]);
                expected.extend_from_slice(b"\\n");
            }
            let length = spliced.finish();
            prop_assert_eq!(&buffer[..length], &expected[..]);
        }
    }

    #[test]
    fn an_exhausted_iterator_stays_exhausted() {
        let mut found = places(b"\"", 0, |bytes| equal(bytes, b'"'));
        assert_eq!([found.next(), found.next(), found.next()], [Some(0), None, None]);
    }
}
