//! Writing lines of a journal.

use std::borrow::Cow;
use std::io;
use std::mem;
use std::sync::Arc;

use super::entry::{Header, LargeDocument, PREFIX, SnapshotRecord, line_prefix};
use crate::engine::checksum::Salt;
use crate::engine::document::DocumentId;
use crate::engine::json;

/// Texts shorter than this are copied into the buffer; longer ones are shared.
const SHARED: usize = 1024;

/// Lines that are about to be appended.
///
/// Long texts stay where they are: copying a batch of many megabytes into freshly allocated memory takes longer than writing
/// it.
#[derive(Default)]
pub struct LineBuffer {
    bytes: Vec<u8>,
    /// The texts that are not in `bytes`, each with the number of bytes that precede it.
    texts: Vec<(usize, Arc<[u8]>)>,
    /// The total length of `texts`.
    shared: usize,
}

/// A position in a buffer.
#[derive(Clone, Copy)]
struct Mark {
    bytes: usize,
    texts: usize,
}

impl LineBuffer {
    /// Creates a buffer with room for this many bytes, not counting long texts.
    pub fn with_capacity(bytes: usize) -> LineBuffer {
        LineBuffer { bytes: Vec::with_capacity(bytes), ..LineBuffer::default() }
    }

    pub fn len(&self) -> usize {
        self.bytes.len() + self.shared
    }

    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Appends the text of a document.
    pub fn push_text(&mut self, text: &Arc<[u8]>) {
        if text.len() < SHARED {
            return self.push(text);
        }
        self.texts.push((self.bytes.len(), Arc::clone(text)));
        self.shared += text.len();
    }

    /// The lines as consecutive pieces.
    pub fn parts(&self) -> Vec<&[u8]> {
        self.parts_from(Mark { bytes: 0, texts: 0 })
    }

    /// The lines in one piece.
    pub fn whole(&self) -> Cow<'_, [u8]> {
        if self.texts.is_empty() { Cow::Borrowed(&self.bytes) } else { Cow::Owned(self.parts().concat()) }
    }

    fn mark(&self) -> Mark {
        Mark { bytes: self.bytes.len(), texts: self.texts.len() }
    }

    fn parts_from(&self, mark: Mark) -> Vec<&[u8]> {
        let texts = &self.texts[mark.texts..];
        let mut parts = Vec::with_capacity(2 * texts.len() + 1);
        let mut at = mark.bytes;
        for (before, text) in texts {
            parts.extend([&self.bytes[at..*before], text]);
            at = *before;
        }
        parts.push(&self.bytes[at..]);
        parts
    }
}

/// Wraps a body into a line and returns its checksum.
pub fn encode_line(out: &mut Vec<u8>, salt: Salt, body: &[u8]) -> u64 {
    let checksum = salt.checksum(body);
    out.extend_from_slice(line_prefix(checksum).as_bytes());
    out.extend_from_slice(body);
    out.extend_from_slice(b"]\n");
    checksum
}

/// Encodes a journal of two lines that says that the snapshots hold every batch up to and including the second line. That
/// line is needed because a generation with nothing but its header counts as never used.
pub fn encode_covered_journal(header: &Header) -> io::Result<Vec<u8>> {
    let salt = Salt::new(header.database, header.generation);
    let (mut lines, mut covered) = (Vec::new(), LineBuffer::default());
    let checksum = encode_line(&mut lines, salt, &serde_json::to_vec(header)?);
    let seq = header.seq + 1;
    encode_batch(&mut covered, salt, seq, checksum, header.seq, |out| {
        out.push(format!("{{\"covered\":{seq}}}").as_bytes())
    });
    lines.extend_from_slice(&covered.whole());
    Ok(lines)
}

/// Writes a batch line and returns its checksum. `ops` appends the comma-separated operations to the buffer it is given.
pub fn encode_batch(
    out: &mut LineBuffer,
    salt: Salt,
    seq: u64,
    prev: u64,
    durable: u64,
    ops: impl FnOnce(&mut LineBuffer),
) -> u64 {
    let start = out.mark();
    out.push(&[b' '; PREFIX]);
    out.push(format!("{{\"seq\":{seq},\"prev\":\"{prev:016x}\",\"durable\":{durable},\"ops\":[").as_bytes());
    ops(out);
    out.push(b"]}");
    let body = Mark { bytes: start.bytes + PREFIX, ..start };
    let checksum = salt.checksum_of_parts(&out.parts_from(body));
    out.bytes[start.bytes..body.bytes].copy_from_slice(line_prefix(checksum).as_bytes());
    out.push(b"]\n");
    checksum
}

/// Appends the operation that records a state of a snapshot file.
pub fn push_snapshot_op(out: &mut LineBuffer, collection: &str, record: &SnapshotRecord, adopted: bool) {
    let record = serde_json::to_string(record).unwrap_or_default();
    let adopted = if adopted { ",\"adopted\":true" } else { "" };
    let text = format!("{{\"snapshot\":{},\"record\":{record}{adopted}}}", json::quote(collection));
    out.push(text.as_bytes());
}

/// Appends the operation that puts and deletes documents of one collection. `place` is called for each id in `put`, with the
/// offset of its text in `out` and the length of the text, and for each id in `delete`. `replaced` are the puts that take
/// the place of an existing document.
pub fn push_documents<'a>(
    out: &mut LineBuffer,
    collection: &str,
    put: impl Iterator<Item = (&'a DocumentId, &'a Arc<[u8]>)>,
    large: impl Iterator<Item = (&'a DocumentId, LargeDocument)>,
    delete: impl Iterator<Item = &'a DocumentId>,
    replaced: impl Iterator<Item = &'a DocumentId>,
    mut place: impl FnMut(&DocumentId, Option<(usize, usize)>),
) {
    out.push(format!("{{\"in\":{},\"put\":{{", json::quote(collection)).as_bytes());
    let mut separator = "";
    for (id, text) in put {
        push_key(out, &mut separator, id);
        out.push(b":");
        place(id, Some((out.len(), text.len())));
        out.push_text(text);
    }
    out.push(b"}");
    let mut separator = ",\"large\":{";
    for (id, document) in large {
        push_key(out, &mut separator, id);
        out.push(b":");
        out.push(serde_json::to_string(&document).unwrap_or_default().as_bytes());
    }
    if separator == "," {
        out.push(b"}");
    }
    out.push(b",\"delete\":[");
    let mut separator = "";
    for id in delete {
        push_key(out, &mut separator, id);
        place(id, None);
    }
    out.push(b"]");
    let mut separator = ",\"replaced\":[";
    for id in replaced {
        push_key(out, &mut separator, id);
    }
    out.push(if separator == "," { b"]}" } else { b"}" });
}

/// Appends an id as a key, preceded by the separator, which is a comma from then on.
fn push_key(out: &mut LineBuffer, separator: &mut &str, id: &DocumentId) {
    out.push(mem::replace(separator, ",").as_bytes());
    id.push_key(&mut out.bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::checksum::DatabaseId;
    use crate::engine::journal::Lines;

    #[test]
    fn lines_with_shared_long_texts_equal_lines_encoded_in_one_piece() {
        let salt = Salt::new(DatabaseId(7), 1);
        let text =
            |len: usize| -> Arc<[u8]> { format!("{{\"a\":\"{}\"}}", "x".repeat(len)).into_bytes().into() };
        let texts = [text(3), text(SHARED), text(0), text(3 * SHARED), text(2 * SHARED)];
        let ids: Vec<DocumentId> = (0..5).map(DocumentId::Number).collect();
        let mut lines = LineBuffer::default();
        let mut placed = Vec::new();
        let mut checksum = 0;
        for (seq, range) in [(1, 0..3), (2, 3..5)] {
            checksum = encode_batch(&mut lines, salt, seq, checksum, 0, |out| {
                let put = ids[range.clone()].iter().zip(&texts[range]);
                let none = || std::iter::empty();
                push_documents(out, "a.json", put, std::iter::empty(), none(), none(), |_, place| {
                    placed.extend(place)
                });
            });
        }
        let whole = lines.whole();
        assert_eq!((whole.len(), &*lines.parts().concat()), (lines.len(), &*whole));
        assert_eq!(lines.parts().len(), 7, "three texts are shared");
        let read: Vec<_> = Lines::new(&whole, salt, 0, 0, 0).collect();
        assert_eq!((read.len(), read.last().map(|line| line.checksum)), (2, Some(checksum)));
        let found: Vec<&[u8]> = placed.iter().map(|&(at, len)| &whole[at..at + len]).collect();
        assert_eq!(found, texts.iter().map(|text| &**text).collect::<Vec<_>>());
    }
}
