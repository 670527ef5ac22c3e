//! How large documents may be.

use super::CollectionSpec;
use super::texts::{Part, part_len};
use crate::engine::document::DocumentId;
use crate::engine::document_map::Location;
use crate::engine::error::{Error, Result};

/// The longest text that is handed out in one piece: the length of V8's longest string.
pub const LONGEST_TEXT: usize = (1 << 29) - 24;

/// Limits of documents, in bytes of JSON text.
#[derive(Debug, Clone, Copy)]
pub struct SizeLimits {
    /// Limit of what is handed out in one piece.
    pub handed_out: u64,
    /// Limit of what is written into a line.
    pub in_line: u64,
    /// Limit of what comes as a stream: the most that a `Location` can express.
    pub streamed: u32,
}

impl Default for SizeLimits {
    fn default() -> Self {
        SizeLimits { handed_out: LONGEST_TEXT as u64, in_line: 1 << 30, streamed: u32::MAX }
    }
}

impl SizeLimits {
    /// # Errors
    /// `TOO_LARGE` for a part that is too large to be handed out in one piece.
    pub(super) fn check_handed_out(&self, id: &DocumentId, location: &Location, part: Part) -> Result<()> {
        if part_len(location, part) <= self.handed_out {
            return Ok(());
        }
        Err(Error::TooLarge(format!("document {id}")))
    }

    /// # Errors
    /// `INVALID_ARGUMENT` for a document that is too large for a line, or that nobody could read: what has no large field is
    /// only handed out in one piece.
    pub(super) fn check_in_line(&self, spec: &CollectionSpec, text: &[u8]) -> Result<()> {
        let readable = if spec.large_field.is_none() { self.handed_out } else { self.in_line };
        check(text.len() as u64, self.in_line.min(readable))
    }

    /// # Errors
    /// `INVALID_ARGUMENT` for a document that is too large for a file of its own.
    pub(super) fn check_streamed(&self, size: u64) -> Result<()> {
        check(size, self.streamed.into())
    }
}

fn check(size: u64, limit: u64) -> Result<()> {
    if size <= limit {
        return Ok(());
    }
    Err(Error::InvalidArgument(format!(
        "a document may have {limit} bytes of JSON text, and this one has more; divide it"
    )))
}
