//! Reading a journal line by line, and judging what comes after the last good one.

use super::entry::{Body, parse_batch, verify_line};
use crate::engine::checksum::Salt;

/// One good line: where it ends and what it says.
pub struct Line<'a> {
    /// Offset just past its line feed.
    pub end: usize,
    pub checksum: u64,
    pub body: Body<'a>,
}

/// Iterates over the batches in journal bytes, stopping at the first thing that is not the next line of the
/// chain: a bad checksum, a gap in the sequence, a line that names another predecessor.
pub struct Lines<'a> {
    bytes: &'a [u8],
    salt: Salt,
    /// Where the next line starts.
    pub position: usize,
    /// Sequence number and checksum of the line before.
    pub seq: u64,
    pub checksum: u64,
}

impl<'a> Lines<'a> {
    pub fn new(bytes: &'a [u8], salt: Salt, position: usize, seq: u64, checksum: u64) -> Self {
        Lines { bytes, salt, position, seq, checksum }
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        let rest = self.bytes.get(self.position..)?;
        let length = memchr::memchr(b'\n', rest)?;
        let (body, checksum) = verify_line(&rest[..length], self.salt)?;
        let body = parse_batch(body)?;
        if body.seq != self.seq + 1 || body.prev.0 != self.checksum {
            return None;
        }
        self.position += length + 1;
        self.seq = body.seq;
        self.checksum = checksum;
        Some(Line { end: self.position, checksum, body })
    }
}

/// The byte that fills the room for later lines.
pub const BLANK: u8 = b' ';

/// Returns the bytes of a journal without the room at their end.
pub fn without_room(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|&byte| byte != BLANK).map_or(0, |last| last + 1);
    &bytes[..end]
}

/// Returns where the content after the header begins, judging by its appearance alone, or `None` if nothing follows. A
/// header is durable before anything is written after it, so if something follows, the header was whole once, whatever it
/// looks like now. A header contains `["` only at its beginning, so a line is found even if the line feed before it is
/// damaged.
pub fn behind_first_line(bytes: &[u8]) -> Option<usize> {
    let is_nothing = |byte: u8| byte == 0 || byte == BLANK;
    let feed = memchr::memchr(b'\n', bytes).map(|feed| feed + 1);
    let rest = feed.filter(|&start| !bytes[start..].iter().copied().all(is_nothing));
    let second = memchr::memmem::find(bytes.get(1..).unwrap_or_default(), b"[\"").map(|at| at + 1);
    rest.into_iter().chain(second).min()
}

/// What follows the last good line of a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tail {
    /// Nothing.
    Clean,
    /// Bytes that were never durable: they may be cut.
    Torn,
    /// A later line proves that the bad bytes were durable once: the file is damaged.
    Damaged,
}

/// Classifies the bytes from `position` on, where `seq` is the sequence number of the last good line. A later line proves
/// damage if it is valid in itself and was written when `seq + 1` was already durable.
pub fn classify_tail(bytes: &[u8], salt: Salt, position: usize, seq: u64) -> Tail {
    let rest = bytes.get(position..).unwrap_or_default();
    if rest.is_empty() {
        return Tail::Clean;
    }
    let proves = |line: &[u8]| {
        let body = verify_line(line, salt).and_then(|(body, _)| parse_batch(body));
        body.is_some_and(|body| body.durable > seq)
    };
    if rest.split(|&byte| byte == b'\n').any(proves) { Tail::Damaged } else { Tail::Torn }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::checksum::DatabaseId;
    use crate::engine::journal::{LineBuffer, encode_batch, encode_line};

    const SALT: fn() -> Salt = || Salt::new(DatabaseId(7), 1);

    fn journal(durable: &[u64]) -> (Vec<u8>, Vec<usize>) {
        let (mut lines, mut ends, mut checksum) = (LineBuffer::default(), Vec::new(), 0);
        for (at, &durable) in durable.iter().enumerate() {
            let ops =
                |out: &mut LineBuffer| out.push(br#"{"in":"a.json","put":{"1":{"id":1}},"delete":["2"]}"#);
            checksum = encode_batch(&mut lines, SALT(), at as u64 + 1, checksum, durable, ops);
            ends.push(lines.len());
        }
        (lines.whole().into_owned(), ends)
    }

    #[test]
    fn reads_back_what_was_encoded() {
        let (bytes, _) = journal(&[0, 1]);
        let lines: Vec<_> = Lines::new(&bytes, SALT(), 0, 0, 0).collect();
        assert_eq!(lines.len(), 2);
        let op = &lines[1].body.ops[0];
        assert_eq!(op.collection.as_deref(), Some("a.json"));
        assert_eq!((op.put.0[0].0.as_ref(), op.put.0[0].1.get()), ("1", "{\"id\":1}"));
        assert_eq!(op.delete, ["2"]);
    }

    #[test]
    fn a_line_with_another_number_or_another_predecessor_than_the_next_one_ends_the_chain() {
        for (skipped, flipped, follows) in [(0, 0, true), (1, 0, false), (0, 1, false)] {
            let mut lines = LineBuffer::default();
            let first = encode_batch(&mut lines, SALT(), 1, 0, 0, |_| {});
            encode_batch(&mut lines, SALT(), 2 + skipped, first ^ flipped, 0, |_| {});
            assert_eq!(Lines::new(&lines.whole(), SALT(), 0, 0, 0).count(), 1 + usize::from(follows));
        }
    }

    #[test]
    fn a_line_with_the_highest_sequence_number_is_invalid() {
        let mut line = LineBuffer::default();
        encode_batch(&mut line, SALT(), u64::MAX, 0, 0, |_| {});
        assert_eq!(Lines::new(&line.whole(), SALT(), 0, u64::MAX - 1, 0).count(), 0);
    }

    #[test]
    fn a_line_with_a_path_out_of_the_database_or_a_number_that_is_too_large_is_invalid() {
        let record = |size, covers| {
            let hash = "0".repeat(32);
            let record = format!(r#"{{"hash":"{hash}","size":{size},"covers":{covers},"layout":"map"}}"#);
            format!(r#"{{"snapshot":"a.json","record":{record}}}"#)
        };
        let (most, more) = ((1_u64 << 53) - 1, 1_u64 << 53);
        let mut line = LineBuffer::default();
        encode_batch(&mut line, SALT(), 1, 0, 0, |out| out.push(record(most, most).as_bytes()));
        assert_eq!(Lines::new(&line.whole(), SALT(), 0, 0, 0).count(), 1);
        for op in [
            &record(more, 0),
            &record(0, more),
            &format!(r#"{{"covered":{more}}}"#),
            r#"{"keep":"../.."}"#,
            r#"{"remove":"../.."}"#,
            r#"{"remove":"/etc"}"#,
            r#"{"drop":".storage/tip"}"#,
            r#"{"remove":""}"#,
        ] {
            let mut line = LineBuffer::default();
            encode_batch(&mut line, SALT(), 1, 0, 0, |out| out.push(op.as_bytes()));
            assert_eq!(Lines::new(&line.whole(), SALT(), 0, 0, 0).count(), 0, "{op}");
        }
    }

    #[test]
    fn trailing_blanks_are_not_part_of_a_journal() {
        let (bytes, ends) = journal(&[0, 1]);
        let mut roomy = bytes.clone();
        roomy.extend_from_slice(&[BLANK; 100]);
        assert_eq!(without_room(&roomy), bytes);
        // Room over which part of a line was written is no longer room.
        roomy[ends[1] + 3] = b'[';
        let rest = without_room(&roomy);
        assert_eq!(classify_tail(rest, SALT(), ends[1], 2), Tail::Torn);
    }

    #[test]
    fn the_second_line_is_found_even_if_the_first_line_or_its_end_is_damaged() {
        let mut bytes = Vec::new();
        let body = br#"{"catalog":{"a.json":{"snapshots":[{"hash":"5cfc","size":860}]}}}"#;
        encode_line(&mut bytes, SALT(), body);
        let header = bytes.len();
        bytes.extend_from_slice(&journal(&[0]).0);
        assert_eq!(behind_first_line(&bytes), Some(header));
        let mut joined = bytes.clone();
        joined[header - 1] = b' ';
        assert_eq!(behind_first_line(&joined), Some(header));
        let mut headless = bytes.clone();
        headless[header] = b'x';
        assert_eq!(behind_first_line(&headless), Some(header));
        for end in 0..=header {
            for rest in [0, BLANK] {
                let unfinished = [&bytes[..end], &[rest; 9]].concat();
                assert_eq!(behind_first_line(&unfinished), None, "{end} bytes");
            }
        }
    }

    #[test]
    fn a_line_of_another_generation_is_invalid() {
        let (bytes, _) = journal(&[0]);
        assert_eq!(Lines::new(&bytes, Salt::new(DatabaseId(7), 2), 0, 0, 0).count(), 0);
    }

    #[test]
    fn every_flipped_bit_ends_the_chain() {
        let (bytes, ends) = journal(&[0, 1, 2]);
        for bit in 0..ends[0] * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Lines::new(&damaged, SALT(), 0, 0, 0).count(), 0, "bit {bit}");
        }
    }

    #[test]
    fn a_bad_line_is_damage_if_a_later_line_records_it_as_durable() {
        let (mut bytes, ends) = journal(&[0, 1]);
        bytes[30] ^= 1;
        assert_eq!(classify_tail(&bytes, SALT(), 0, 0), Tail::Damaged);
        assert_eq!(classify_tail(&bytes, SALT(), ends[1], 2), Tail::Clean);
    }

    #[test]
    fn a_bad_line_is_a_torn_tail_if_no_later_line_records_it_as_durable() {
        let (mut bytes, ends) = journal(&[0, 0, 0]);
        bytes[30] ^= 1;
        assert_eq!(classify_tail(&bytes, SALT(), 0, 0), Tail::Torn);
        assert_eq!(classify_tail(&bytes[..ends[2] - 3], SALT(), ends[1], 2), Tail::Torn);
    }
}
