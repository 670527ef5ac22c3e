//! Where the content is in a stored document, found without reading it.
//!
//! These functions take canonical text and rely on it: the content is the last member, so once its key is reached,
//! everything but the closing brace is its value. Other text gives a useless answer but never a panic.

use super::content::Content;
use crate::engine::json;

/// The member that is stored last and read only when it is asked for.
pub const LARGE_FIELD: &str = "content";

const CONTENT_KEY: &[u8] = b",\"content\":";

/// Returns the head, i.e. everything before the content and without a closing brace, and the raw content if the document has
/// one.
pub fn split(document: &[u8]) -> (&[u8], Option<&[u8]>) {
    let mut members = json::members(document);
    while let Some(Ok(_)) = members.next() {
        let at = members.position();
        let Some(value) = document[at..].strip_prefix(CONTENT_KEY) else { continue };
        if let Some(value) = value.strip_suffix(b"}")
            && value.len() >= 2
            && value.starts_with(b"\"")
            && value.ends_with(b"\"")
        {
            return (&document[..at], Some(value));
        }
    }
    (document.strip_suffix(b"}").unwrap_or(document), None)
}

/// Returns everything before the content, without a closing brace: all that [`chain_of`](super::chain_of) needs.
pub fn head_of(file: &[u8]) -> &[u8] {
    split(file).0
}

/// Returns the raw JSON string of the file's content; `None` if the document has none.
pub fn content_of(file: &[u8]) -> Option<&[u8]> {
    split(file).1
}

/// Returns the document without its content.
pub fn without_content(file: &[u8]) -> Vec<u8> {
    let head = head_of(file);
    let mut out = Vec::with_capacity(head.len() + 1);
    out.extend_from_slice(head);
    out.push(b'}');
    out
}

/// Returns how many bytes [`join`] probably appends.
pub fn joined_len(content: Option<Content<'_>>) -> usize {
    content.map_or(1, |content| CONTENT_KEY.len() + content.json_len() + 1)
}

/// Returns whether `document` is `head`, then `content` as the last member, then the closing brace. `content` must be the
/// value of the last member of that name in `document`.
pub fn is_joined(document: &[u8], head: &[u8], content: Option<&[u8]>) -> bool {
    let Some(rest) = document.strip_prefix(head) else { return false };
    match content {
        None => rest == b"}",
        // What follows the key is a value. The last value of this name has this length, and there is room for only one
        // value, so it is this one.
        Some(content) => rest.starts_with(CONTENT_KEY) && rest.len() == CONTENT_KEY.len() + content.len() + 1,
    }
}

/// Appends the content, if any, and the closing brace to a head.
pub fn join(mut head: Vec<u8>, content: Option<Content<'_>>) -> Vec<u8> {
    if let Some(content) = content {
        head.extend_from_slice(CONTENT_KEY);
        content.push_json(&mut head);
    }
    head.push(b'}');
    head
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_head_ends_where_the_content_begins() {
        let file = b"{\"id\":1,\"x\":{\"content\":\"no\"},\"content\":\"a\\\"}\"}";
        assert_eq!(head_of(file), b"{\"id\":1,\"x\":{\"content\":\"no\"}");
        assert_eq!(content_of(file), Some(&b"\"a\\\"}\""[..]));
        assert_eq!(without_content(file), b"{\"id\":1,\"x\":{\"content\":\"no\"}}");
    }

    #[test]
    fn a_document_without_content_is_all_head() {
        assert_eq!(without_content(b"{\"id\":1}"), b"{\"id\":1}");
        assert_eq!(content_of(b"{\"id\":1}"), None);
    }

    #[test]
    fn joining_the_parts_gives_the_document() {
        for file in [&b"{\"id\":1,\"content\":\"\"}"[..], b"{\"id\":1}"] {
            let (head, content) = split(file);
            assert!(is_joined(file, head, content));
            assert_eq!(join(head.to_vec(), content.map(Content::Json)), file);
        }
        assert!(!is_joined(b"{\"id\":1,\"content\":\"\" }", b"{\"id\":1", Some(b"\"\"")));
        assert!(!is_joined(b"{\"id\":1,\"content\":\"\"}", b"{\"id\":1", None));
    }

    proptest! {
        #[test]
        fn rubbish_never_panics(text in "[\\{\\}\":,a1]{0,8}(,\"content\":)?[\\{\\}\"\\\\]{0,4}") {
            let _ = split(text.as_bytes());
            let _ = without_content(text.as_bytes());
        }
    }
}
