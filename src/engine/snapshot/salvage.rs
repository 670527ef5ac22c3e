//! Saving documents from a broken snapshot.

use super::scan::Scanned;
use crate::engine::document::DocumentId;
use crate::engine::json::{self, Scanner};

/// The documents of a broken file that are whole: members `"<id>": { … }` where the object is valid JSON and
/// its own `id` agrees with the key, which no object nested in a damaged one is likely to do.
///
/// Members are looked for at the start of every line and after every comma that follows a whole member, which
/// finds them in the layouts that the engine and `JSON.stringify` write. O(n) for files of whole members.
pub fn salvage(bytes: &[u8]) -> Vec<Scanned> {
    let mut found = Vec::new();
    let mut at = match bytes.iter().position(|&byte| byte == b'{') {
        Some(open) => open + 1,
        None => 0,
    };
    while at < bytes.len() {
        if let Some(scanned) = member(bytes, at) {
            at = scanned.text.end;
            let mut scanner = Scanner::at(bytes, at);
            if scanner.accept(b',') {
                at = scanner.position();
            }
            found.push(scanned);
        } else {
            match memchr::memchr(b'\n', &bytes[at..]) {
                Some(length) => at += length + 1,
                None => break,
            }
        }
    }
    found
}

fn member(bytes: &[u8], at: usize) -> Option<Scanned> {
    let mut scanner = Scanner::at(bytes, at);
    let key = scanner.string().ok()?;
    scanner.expect(b':', "").ok()?;
    if scanner.peek() != Some(b'{') {
        return None;
    }
    let text = scanner.value().ok()?;
    let object = &bytes[text.clone()];
    std::str::from_utf8(object).ok()?;
    let key = json::unescape_lossy(&bytes[key]).into_owned();
    let id = json::get(object, "id")?;
    let own = if json::is_string(id) { json::unescape_lossy(id) } else { String::from_utf8_lossy(id) };
    (own == key).then(|| Scanned { id: DocumentId::from_key(&key), text })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(bytes: &[u8]) -> Vec<String> {
        salvage(bytes).into_iter().map(|scanned| scanned.id.to_string()).collect()
    }

    #[test]
    fn whole_documents_around_a_broken_one_are_saved() {
        let bytes = b"{\n\"1\":{\"id\":1},\n\"2\":{\"id\":2,\"a\":},\n\"3\":{\"id\":3}\n}\n";
        assert_eq!(ids(bytes), ["1", "3"]);
    }

    #[test]
    fn a_file_cut_short_keeps_its_first_documents() {
        assert_eq!(ids(b"{\n  \"1\": {\n    \"id\": 1\n  },\n  \"2\": {\n    \"id\": 2,"), ["1"]);
        assert_eq!(ids(b"{\"1\":{\"id\":1},\"2\":{\"id\":\"2\"},\"3\":{"), ["1", "2"]);
    }

    #[test]
    fn an_object_nested_in_a_broken_document_is_no_document() {
        assert!(ids(b"{\n  \"1\": {\n    \"inner\": { \"id\": 7 },\n    \"7\": {}, oops\n  }\n}").is_empty());
    }
}
