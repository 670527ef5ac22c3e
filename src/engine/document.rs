//! Documents: their ids and their text.

use std::fmt;

/// The largest integer that JavaScript's numbers hold exactly.
const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;

/// The key of a document in its collection's map.
///
/// Ids order as JavaScript orders such keys: numbers ascending, then texts by code point.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DocumentId {
    /// A decimal integer in its canonical form (no sign, no leading zero, at most 2^53 - 1).
    Number(u64),
    Text(Box<str>),
}

impl DocumentId {
    /// The id that a map key stands for.
    pub fn from_key(key: &str) -> DocumentId {
        let canonical =
            key == "0" || (!key.starts_with('0') && key.bytes().all(|byte| byte.is_ascii_digit()));
        match key.parse() {
            Ok(number) if canonical && number <= MAX_SAFE_INTEGER => DocumentId::Number(number),
            _ => DocumentId::Text(key.into()),
        }
    }
}

impl fmt::Display for DocumentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DocumentId::Number(number) => number.fmt(f),
            DocumentId::Text(text) => text.fmt(f),
        }
    }
}

impl From<u64> for DocumentId {
    fn from(number: u64) -> Self {
        DocumentId::Number(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_canonical_integers_are_numbers() {
        for key in ["0", "7", "1718000000000", "9007199254740991"] {
            assert!(matches!(DocumentId::from_key(key), DocumentId::Number(_)), "{key}");
        }
        for key in ["", "00", "01", "-1", "+1", "1.0", "1e3", "9007199254740992", "a"] {
            assert!(matches!(DocumentId::from_key(key), DocumentId::Text(_)), "{key}");
        }
    }

    #[test]
    fn numbers_order_before_texts() {
        let mut ids = ["b", "10", "9", "a"].map(DocumentId::from_key);
        ids.sort();
        assert_eq!(ids.map(|id| id.to_string()), ["9", "10", "a", "b"]);
    }
}
