//! Finding the documents in a snapshot without building a tree.

use std::ops::Range;

use memchr::memchr;

use crate::engine::document::DocumentId;
use crate::engine::json::{self, JsonError, Scanner};

/// A document found in a snapshot: its id and the position of its text in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scanned {
    pub id: DocumentId,
    pub text: Range<usize>,
}

/// The problem that is reported for a line that the engine does not write.
pub const NOT_A_LINE: &str = "not a line of a snapshot";

/// Reads a file that the engine wrote and whose hash has been checked. Documents end where lines end, so their texts need
/// not be parsed. Returns an error for the first line that is not laid out so.
pub fn scan_lines(bytes: &[u8]) -> Result<Vec<Scanned>, JsonError> {
    let fail = |offset| Err(JsonError { offset, problem: NOT_A_LINE });
    let mut found = Vec::new();
    if bytes == b"{}\n" {
        return Ok(found);
    }
    if !bytes.starts_with(b"{\n") {
        return fail(0);
    }
    let mut at = 2;
    loop {
        let Some(length) = memchr(b'\n', &bytes[at..]) else { return fail(at) };
        let line = &bytes[at..at + length];
        if line == b"}" {
            return if at + length + 1 == bytes.len() { Ok(found) } else { fail(at) };
        }
        let Ok(key) = Scanner::new(line).string() else { return fail(at) };
        let text = key.end + 1..line.len() - usize::from(line.ends_with(b","));
        if line.get(key.end) != Some(&b':') || text.is_empty() {
            return fail(at);
        }
        let id = DocumentId::from_key(&json::unescape_lossy(&line[key]));
        found.push(Scanned { id, text: at + text.start..at + text.end });
        at += length + 1;
    }
}

/// Reads any valid JSON map. Of two members with one key, the later one counts, as in `JSON.parse`; callers keep that rule
/// by taking the documents in order.
pub fn scan_map(bytes: &[u8]) -> Result<Vec<Scanned>, JsonError> {
    if let Err(error) = std::str::from_utf8(bytes) {
        return Err(JsonError { offset: error.valid_up_to(), problem: "not UTF-8" });
    }
    // Editors on some systems put a byte order mark before the text.
    let start = if bytes.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    let mut scanner = Scanner::at(bytes, start);
    let mut found = Vec::new();
    scanner.expect(b'{', "expected a map of documents")?;
    if !scanner.accept(b'}') {
        loop {
            scanner.peek();
            let key = scanner.string()?;
            scanner.expect(b':', "expected ':'")?;
            let text = scanner.value()?;
            found.push(Scanned { id: DocumentId::from_key(&json::unescape_lossy(&bytes[key])), text });
            if !scanner.accept(b',') {
                break;
            }
        }
        scanner.expect(b'}', "expected ',' or '}'")?;
    }
    scanner.end()?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(bytes: &[u8], scanned: Vec<Scanned>) -> Vec<(String, String)> {
        let text = |range: Range<usize>| String::from_utf8_lossy(&bytes[range]).into_owned();
        scanned.into_iter().map(|found| (found.id.to_string(), text(found.text))).collect()
    }

    #[test]
    fn scanning_lines_and_scanning_a_map_agree_on_engine_output() {
        for bytes in [&b"{}\n"[..], b"{\n\"1\":{\"a\":[1]}\n}\n", b"{\n\"1\":{\"a\":1},\n\"b\\n\":{}\n}\n"] {
            let lines = scan_lines(bytes).expect("the layout of the engine");
            assert_eq!(texts(bytes, lines), texts(bytes, scan_map(bytes).expect("JSON")));
        }
    }

    #[test]
    fn a_map_may_have_any_layout() {
        let bytes = b"\xef\xbb\xbf { \"2\" : { \"id\" : 2 } ,\n \"1\": [] }";
        let found = texts(bytes, scan_map(bytes).expect("JSON"));
        assert_eq!(found, [("2".into(), "{ \"id\" : 2 }".into()), ("1".into(), "[]".into())]);
    }

    #[test]
    fn a_map_with_something_behind_it_or_that_is_not_utf_8_is_refused() {
        for (bytes, at) in [(&b"{\"1\":{}} x"[..], 9), (b"{}{}", 2), (b"{\"1\":{\"a\":\"\xff\"}}", 11)] {
            assert_eq!(scan_map(bytes).map_err(|error| error.offset), Err(at));
        }
    }

    #[test]
    fn a_file_not_laid_out_in_lines_is_refused() {
        for bytes in [
            &b""[..],
            b"{",
            b"{}",
            b"{\n",
            b"{\n}",
            b"{\n\"1\":\n}\n",
            b"{\n\"1\":{}\n}\nx",
            b"{\n1:{}\n}\n",
            b"{\n\"1\" {}\n}\n",
        ] {
            assert!(scan_lines(bytes).is_err(), "{}", String::from_utf8_lossy(bytes));
        }
    }
}
