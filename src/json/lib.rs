//! JSON as text: what an engine that never builds a tree needs to know of a value.
//!
//! Text is UTF-8. A lone surrogate exists only in its escaped form (`\ud83d`), as JavaScript's `JSON.stringify` writes it.
//! Unescaped it becomes WTF-8, whose byte order is code point order.

mod find;
mod pieces;
mod places;
mod scan;
mod string;
mod table;
#[cfg(test)]
mod tests;

pub use pieces::{Compactor, StringCheck};
pub use scan::{
    JsonError, MAX_DEPTH, Member, Members, Scanner, check, compact, compacted, documents, elements, get,
    is_object, is_string, key_is, members, parse_number,
};
pub use string::{from_utf16, push_string, quote, to_utf16, unescape, unescape_lossy, utf8_len};
pub use table::Table;
