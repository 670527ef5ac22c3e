//! Values on their way through the engine.

use super::{READ, machine, no_wait, open, spec};
use crate::engine::document::{Document, DocumentId, large_value};
use crate::engine::json;
use crate::engine::options::Durability;

/// Uses the bytes as a document that a caller stores. If it is accepted, it reads back as the same value, byte for byte the
/// same each time, from the journal and from the file.
pub fn values(bytes: &[u8]) {
    if json::check(bytes).is_err() || bytes.trim_ascii().first() != Some(&b'{') {
        return;
    }
    let text = json::compact(bytes).into_owned();
    // This parser refuses half of a surrogate pair, and 1e400; it must then refuse both texts.
    let value = |text: &[u8]| serde_json::from_slice::<serde_json::Value>(text).ok();
    assert_eq!(value(bytes), value(&text));
    let document = Document::new(text.as_slice().into(), Some("content"));
    assert!(document.head < text.len());
    let mut whole = document.text[..document.head].to_vec();
    if let Some(content) = large_value(&text, document.head, "content") {
        whole.extend_from_slice(if whole.len() > 1 { b",\"content\":" } else { b"\"content\":" });
        whole.extend_from_slice(content);
        whole.push(b'}');
        assert_eq!(value(&whole), value(&text));
        assert_eq!(json::check(&document.head_object()), Ok(()));
    }
    let fs = machine();
    let database = open(&fs).expect("it opens");
    let stored = text.clone();
    database.write(Durability::Full, move |t| t.put(&spec(), 1.into(), stored)).expect("it is written");
    let read = |database: &crate::engine::Database| {
        database
            .get(&spec(), &DocumentId::from(1), READ)
            .expect("it is readable")
            .map(|found| found.text.to_vec())
    };
    assert_eq!(read(&database).as_ref(), Some(&text));
    let fs = fs.kill();
    drop(database);
    let database = open(&fs).expect("it opens again");
    assert_eq!(read(&database).as_ref(), Some(&text), "from the journal");
    database.checkpoint(no_wait()).expect("it is checkpointed");
    let fs = fs.kill();
    drop(database);
    let database = open(&fs).expect("it opens once more");
    assert_eq!(read(&database).as_ref(), Some(&text), "from the file");
}
