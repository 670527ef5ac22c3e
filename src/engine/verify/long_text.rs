//! Judging a document whose text arrives in pieces.

use super::collections::judge;
use super::report::ProblemCode;
use crate::engine::document::DocumentId;
use crate::engine::json::{Scanner, StringCheck};

/// From this length on, the text is searched for a long string.
const LONG: usize = 1 << 20;

/// Consumes a text. Long strings are not kept: each is checked as it arrives, and an empty string takes its place in the
/// text that is judged at the end.
#[derive(Default)]
pub struct TextJudge {
    text: Vec<u8>,
    /// The check of the long string that is arriving.
    string: Option<StringCheck>,
    problem: Option<&'static str>,
    next_look: usize,
}

impl TextJudge {
    pub fn push(&mut self, piece: &[u8]) {
        let mut rest = piece;
        while !rest.is_empty() && self.problem.is_none() {
            let Some(string) = &mut self.string else { return self.gather(rest) };
            match string.push(rest) {
                Err(problem) => self.problem = Some(problem),
                Ok(None) => return,
                Ok(Some(quote)) => {
                    self.string = None;
                    self.text.push(b'"');
                    rest = &rest[quote + 1..];
                }
            }
        }
    }

    fn gather(&mut self, piece: &[u8]) {
        self.text.extend_from_slice(piece);
        if self.text.len() < self.next_look.max(LONG) {
            return;
        }
        if let Some(start) = open_string(&self.text) {
            let begun = self.text.split_off(start);
            let mut string = StringCheck::default();
            self.problem = string.push(&begun).err();
            self.string = Some(string);
        }
        self.next_look = self.text.len() * 2;
    }

    /// Returns what is wrong with the document, if anything is.
    pub fn finish(self, id: &DocumentId) -> Option<(ProblemCode, String)> {
        let unfinished = self.string.map(|_| "the string has no end");
        match self.problem.or(unfinished) {
            Some(problem) => Some((ProblemCode::DocumentDamaged, format!("no valid JSON: {problem}"))),
            None => judge(id, &self.text),
        }
    }
}

/// Returns where the string that the end of the text cuts off begins, after its quote.
fn open_string(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(quote) = memchr::memchr(b'"', text.get(at..)?) {
        match Scanner::at(text, at + quote).string() {
            Ok(range) => at = range.end,
            Err(_) => return Some(at + quote + 1),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(text: &str, piece: usize) -> Option<String> {
        let mut judge = TextJudge::default();
        text.as_bytes().chunks(piece).for_each(|piece| judge.push(piece));
        judge.finish(&7.into()).map(|(_, problem)| problem)
    }

    #[test]
    fn long_texts_are_judged_like_short_ones() {
        let long = "x\\n\\u00e9é".repeat(LONG / 8);
        let texts = [
            (format!(r#"{{"id":7,"a":"{long}","b":"{long}","c":[1]}}"#), None),
            (format!(r#"{{"id":7,"a":"{long}"}}"#), None),
            (format!(r#"{{"a":"{long}","id":8}}"#), Some("its own id is 8")),
            (format!(r#"{{"id":7,"a":"{long}\x"}}"#), Some("unknown escape")),
            (format!(r#"{{"id":7,"a":"{long}""#), Some("no valid JSON")),
            (format!(r#"{{"id":7,"a":"{long}"#), Some("no end")),
            (format!(r#"{{"id":7,"a":"{long}"}}}}"#), Some("no valid JSON")),
        ];
        for (text, expected) in texts {
            for piece in [1 << 20, 100_003] {
                let found = judged(&text, piece);
                assert_eq!(found.is_some(), expected.is_some(), "{found:?}");
                assert!(found.zip(expected).is_none_or(|(found, expected)| found.contains(expected)));
            }
        }
    }
}
