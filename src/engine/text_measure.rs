//! Head, length and hash of a document whose text arrives in pieces.

use super::checksum::DocumentHasher;
use super::document::{head_in, head_len};

/// Consumes a text and keeps only its head.
pub struct TextMeasure<'f> {
    field: Option<&'f str>,
    /// The text so far until the end of the head is known; from then on, the head.
    head: Vec<u8>,
    is_known: bool,
    /// The length of text at which the end of the head is next looked for. It doubles, so that all searches together cost
    /// O(text).
    next_look: usize,
    hasher: DocumentHasher,
    len: u64,
}

/// The head, length and hash of a text.
pub struct Measured {
    pub head: Vec<u8>,
    pub len: u64,
    pub hash: u64,
}

impl<'f> TextMeasure<'f> {
    /// Measures a document with this large field, or with none: then all of it except the closing brace is its head.
    pub fn new(field: Option<&'f str>) -> Self {
        TextMeasure {
            field,
            head: Vec::new(),
            is_known: false,
            next_look: 0,
            hasher: DocumentHasher::default(),
            len: 0,
        }
    }

    /// Measures a document of which it is not known whether it has a large field. It counts as one without a head.
    pub fn headless() -> Self {
        TextMeasure { is_known: true, ..TextMeasure::new(None) }
    }

    pub fn update(&mut self, piece: &[u8]) {
        self.len += piece.len() as u64;
        if self.is_known {
            return self.hasher.update_rest(piece);
        }
        self.head.extend_from_slice(piece);
        if let Some(field) = self.field
            && self.head.len() >= self.next_look
        {
            self.next_look = self.head.len() * 2;
            if let Some(end) = head_in(&self.head, field) {
                self.end_head(end);
            }
        }
    }

    fn end_head(&mut self, end: usize) {
        self.hasher.update_head(&self.head[..end]);
        self.hasher.update_rest(&self.head[end..]);
        self.head.truncate(end);
        self.head.shrink_to_fit();
        self.is_known = true;
    }

    pub fn finish(mut self) -> Measured {
        if !self.is_known {
            self.end_head(head_len(&self.head, self.field));
        }
        Measured { head: self.head, len: self.len, hash: self.hasher.finish() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::checksum::document_hash;
    use crate::engine::document::Document;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn measuring_in_pieces_equals_measuring_the_whole(
            text in prop_oneof![
                Just(r#"{"id":1,"content":"some text"}"#),
                Just(r#"{"content":"x"}"#),
                Just(r#"{"id":1,"meta":{"content":2}}"#),
                Just("{}"),
                Just(r#"{"id":1,"#),
            ],
            piece in 1usize..12,
            field in prop_oneof![Just(None), Just(Some("content"))],
        ) {
            let whole = Document::new(text.as_bytes().into(), field);
            let mut measure = TextMeasure::new(field);
            text.as_bytes().chunks(piece).for_each(|piece| measure.update(piece));
            let Measured { head, len, hash } = measure.finish();
            prop_assert_eq!((head.len(), len, hash), (whole.head, text.len() as u64, whole.hash));
            let mut measure = TextMeasure::headless();
            text.as_bytes().chunks(piece).for_each(|piece| measure.update(piece));
            prop_assert_eq!(measure.finish().hash, document_hash(text.as_bytes(), 0));
        }
    }
}
