//! Ids of entities, which are numbers or texts, as keys of a map, which are only texts.
//!
//! The key of a number is the number as it is printed. The key of a text is the text itself, unless it reads as a number,
//! begins with a quote or is not valid Unicode: then it is the JSON form of the text.

use crate::engine::document::DocumentId;
use crate::engine::index::{IndexKey, Number};
use crate::engine::json;

/// Appends the id for which a key stands, as JSON.
pub fn push_id(out: &mut Vec<u8>, key: &DocumentId) {
    match key {
        DocumentId::Number(number) => out.extend_from_slice(number.to_string().as_bytes()),
        DocumentId::Text(text) if text.starts_with('"') || is_number(text) => {
            out.extend_from_slice(text.as_bytes())
        }
        DocumentId::Text(text) => json::push_string(out, text.as_bytes()),
    }
}

/// The key of an entity that is a document of a storage. Whether its id is a number is not known: it counts as one if it
/// reads as one.
pub(super) fn key_of_document(id: DocumentId) -> DocumentId {
    match id {
        DocumentId::Text(text) if text.starts_with('"') => DocumentId::Text(json::quote(&text).into()),
        other => other,
    }
}

/// The ids for which keys stand, as a JSON array.
pub fn id_list(keys: &[DocumentId]) -> Vec<u8> {
    let mut out = Vec::with_capacity(2 + keys.len() * 16);
    out.push(b'[');
    for (at, key) in keys.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        push_id(&mut out, key);
    }
    out.push(b']');
    out
}

/// Whether the text is the printed form of a finite number.
fn is_number(text: &str) -> bool {
    text.starts_with(|first: char| first == '-' || first.is_ascii_digit())
        && text
            .parse()
            .ok()
            .and_then(Number::new)
            .is_some_and(|number| number.get().is_finite() && IndexKey::Number(number).to_string() == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entity_ids_are_read_back_from_their_keys() {
        for (key, id) in [
            ("42", "42"),
            ("-1", "-1"),
            ("0.5", "0.5"),
            ("1e+21", "1e+21"),
            ("9007199254740993", "\"9007199254740993\""),
            ("9007199254740992", "9007199254740992"),
            ("\"42\"", "\"42\""),
            ("\"\\\"\"", "\"\\\"\""),
            ("abc", "\"abc\""),
            ("", "\"\""),
            ("-0", "\"-0\""),
            ("042", "\"042\""),
            ("1e5", "\"1e5\""),
            ("-", "\"-\""),
            ("NaN", "\"NaN\""),
            ("a\"b\\", "\"a\\\"b\\\\\""),
        ] {
            let ids = id_list(&[DocumentId::from_key(key)]);
            assert_eq!(String::from_utf8_lossy(&ids), format!("[{id}]"));
        }
    }
}
