//! JSON text that arrives in pieces: checking a long string, and dropping white space.

use super::find::{below, equal, find};

/// Checks the text between the quotes of a string.
#[derive(Debug, Default)]
pub struct StringCheck {
    escape: Escape,
    /// The beginning of a character that the end of the last piece cut.
    cut: Vec<u8>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Escape {
    #[default]
    None,
    Begun,
    /// This many hexadecimal digits are still to come.
    Digits(u8),
}

impl StringCheck {
    /// Checks the next piece. Returns the position of the closing quote, if the piece contains it; no piece may follow then.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn push(&mut self, piece: &[u8]) -> Result<Option<usize>, &'static str> {
        let special = |word| equal(word, b'"') | equal(word, b'\\') | below(word, 0x20);
        let mut at = 0;
        let quote = loop {
            self.escape = match (self.escape, piece.get(at)) {
                (_, None) => break None,
                (Escape::None, Some(_)) => match find(piece, at, special) {
                    None => break None,
                    Some(found) => {
                        at = found;
                        match piece[found] {
                            b'"' => break Some(found),
                            b'\\' => Escape::Begun,
                            _ => return Err("control characters in a string must be escaped"),
                        }
                    }
                },
                (Escape::Begun, Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't')) => Escape::None,
                (Escape::Begun, Some(b'u')) => Escape::Digits(4),
                (Escape::Begun, Some(_)) => return Err("unknown escape in a string"),
                (Escape::Digits(left), Some(digit)) if digit.is_ascii_hexdigit() => {
                    if left > 1 {
                        Escape::Digits(left - 1)
                    } else {
                        Escape::None
                    }
                }
                (Escape::Digits(_), Some(_)) => return Err("\\u needs four hexadecimal digits"),
            };
            at += 1;
        };
        self.check_characters(&piece[..quote.unwrap_or(piece.len())])?;
        if quote.is_some() && !self.cut.is_empty() {
            return Err("not UTF-8");
        }
        Ok(quote)
    }

    /// Returns whether the string may end here.
    pub fn is_complete(&self) -> bool {
        self.escape == Escape::None && self.cut.is_empty()
    }

    fn check_characters(&mut self, mut piece: &[u8]) -> Result<(), &'static str> {
        while !self.cut.is_empty() {
            let Some((&byte, rest)) = piece.split_first() else { return Ok(()) };
            self.cut.push(byte);
            piece = rest;
            match std::str::from_utf8(&self.cut) {
                Ok(_) => self.cut.clear(),
                Err(error) if error.error_len().is_none() => {}
                Err(_) => return Err("not UTF-8"),
            }
        }
        match std::str::from_utf8(piece) {
            Ok(_) => Ok(()),
            Err(error) if error.error_len().is_none() => {
                self.cut.extend_from_slice(&piece[error.valid_up_to()..]);
                Ok(())
            }
            Err(_) => Err("not UTF-8"),
        }
    }
}

/// Drops white space between tokens, as [`compact`](super::compact) does.
#[derive(Debug, Default)]
pub struct Compactor {
    in_string: bool,
    escaped: bool,
}

impl Compactor {
    /// Appends the next piece without that white space.
    pub fn push(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        let special = |word| equal(word, b'"') | equal(word, b'\\');
        let mut at = 0;
        while at < piece.len() {
            if !self.in_string {
                let byte = piece[at];
                self.in_string = byte == b'"';
                if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                    out.push(byte);
                }
                at += 1;
                continue;
            }
            if std::mem::take(&mut self.escaped) {
                out.push(piece[at]);
                at += 1;
                continue;
            }
            let end = find(piece, at, special).map_or(piece.len(), |found| found + 1);
            out.extend_from_slice(&piece[at..end]);
            at = end;
            match piece[end - 1] {
                b'"' => self.in_string = false,
                b'\\' => self.escaped = true,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate as json;
    use proptest::prelude::*;

    /// Returns the position of the quote that ends a string given in pieces.
    fn check_pieces(inner: &[u8], piece: usize) -> Result<Option<usize>, &'static str> {
        let mut check = StringCheck::default();
        for (number, part) in inner.chunks(piece).enumerate() {
            if let Some(at) = check.push(part)? {
                return Ok(Some(number * piece + at));
            }
        }
        if check.is_complete() { Ok(None) } else { Err("it is cut") }
    }

    proptest! {
        #[test]
        fn a_string_in_pieces_is_checked_like_a_whole_one(
            parts in proptest::collection::vec(
                proptest::sample::select(vec![
                    &b"plain"[..], "é€😀".as_bytes(), br"\n", br"\u00e9", br"\ud83d", br"\x", br"\u00", br"\u00e", b"\n",
                    b"\xc3", b"\xed\xa0\x80", br"\\",
                ]),
                0..6,
            ),
            piece in 1usize..9,
        ) {
            let inner = parts.concat();
            let quoted = [b"\"", &inner[..], b"\""].concat();
            let valid = json::check(&quoted).is_ok();
            prop_assert_eq!(check_pieces(&inner, piece) == Ok(None), valid);
            let ended = [&inner[..], b"\""].concat();
            prop_assert_eq!(check_pieces(&ended, piece) == Ok(Some(inner.len())), valid);
        }

        #[test]
        fn compacting_in_pieces_equals_compacting_the_whole(
            text in prop_oneof![
                Just(r#"{ "a" : "b \" c" , "d" : [ 1 , 2 ] }"#),
                Just("{\n  \"a\": \"x\\\\\",\r\n\t\"b\": null\n}"),
                Just(r#"{"a":"  "}"#),
            ],
            piece in 1usize..12,
        ) {
            let mut compactor = Compactor::default();
            let mut out = Vec::new();
            text.as_bytes().chunks(piece).for_each(|piece| compactor.push(piece, &mut out));
            prop_assert_eq!(out, json::compact(text.as_bytes()).into_owned());
        }
    }
}
