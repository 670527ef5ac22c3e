//! Files whose contents arrive in pieces.

use super::file_store::Files;
use super::files::create_file_head;
use super::project_store;
use crate::engine::document::{Document, DocumentId};
use crate::engine::{Database, DocumentFile, Result, Spool, Transaction, now_ms};

/// A content with this many bytes of JSON text or more is not copied into the journal: its file becomes the document's.
const OWN_FILE: u64 = 4 << 20;

/// Room for the fields that are derived: numbers, names, flags.
const ROOM: u64 = 4096;

/// A content that is being received, and the other fields of its file.
pub struct Incoming {
    fields: Vec<u8>,
    spool: Spool,
}

/// A complete content.
pub enum Complete {
    /// It goes into the journal, together with the other fields.
    Text(Vec<u8>),
    File {
        fields: Vec<u8>,
        id: u64,
        size: u64,
        document: DocumentFile,
    },
}

impl Incoming {
    /// Appends a part of the content as it appears in JSON, without quotes, cut between characters.
    ///
    /// # Errors
    /// As [`Spool::append`].
    pub fn append(&mut self, piece: &[u8]) -> Result<()> {
        self.spool.append(piece)
    }
}

impl Files {
    /// Begins to receive the content of a file with these other fields, a JSON object.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` for the fields, `IO_ERROR`.
    pub fn take_in(&self, database: &Database, fields: &[u8]) -> Result<Incoming> {
        create_file_head(fields, self.project_id, 0, 0, 0)?;
        // Besides the fields themselves there are a name and an extension, which are parts of the path.
        let room = 4 * fields.len() as u64 + ROOM;
        let spool = database.spool(self.spec.large_field.unwrap_or_default(), room)?;
        Ok(Incoming { fields: fields.to_vec(), spool })
    }

    /// Completes the content. A large one is durable when this returns, and does not belong to anything yet.
    ///
    /// # Errors
    /// `IO_ERROR`.
    pub fn complete(&self, database: &Database, incoming: Incoming) -> Result<Complete> {
        let Incoming { fields, spool } = incoming;
        if spool.len() < OWN_FILE {
            // There is a member before the content: a path.
            let mut input = fields.strip_suffix(b"}").unwrap_or_default().to_vec();
            input.extend_from_slice(b",\"content\":\"");
            spool.read_into(&mut input)?;
            input.extend_from_slice(b"\"}");
            return Ok(Complete::Text(input));
        }
        let (id, size) = (database.new_id(), spool.utf8_len());
        let head = create_file_head(&fields, self.project_id, id, now_ms(), size)?;
        let document = database.seal(spool, &head)?;
        Ok(Complete::File { fields, id, size, document })
    }

    /// Creates the file. Returns it without its content.
    ///
    /// # Errors
    /// `NOT_FOUND` for a project that does not exist, `IO_ERROR`.
    pub fn create_from(&self, tx: &mut Transaction<'_>, complete: Complete) -> Result<Option<Vec<u8>>> {
        match complete {
            Complete::Text(input) => {
                Ok(self.create(tx, &[input.as_slice().into()], false)?.first().map(Document::head_object))
            }
            Complete::File { fields, mut id, size, mut document } => {
                project_store::require(tx, self.project_id)?;
                while tx.contains(&self.spec, &DocumentId::from(id))? {
                    // A document that was written under an id of the caller's choice has taken this id.
                    id = tx.fresh_id(&self.spec)?;
                    let head = create_file_head(&fields, self.project_id, id, tx.now(), size)?;
                    document = document.with_head(&head)?;
                }
                let head = document.head_object();
                tx.put_file(&self.spec, id.into(), document)?;
                Ok(Some(head))
            }
        }
    }
}
