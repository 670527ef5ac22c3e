//! Giving the file at a path a content, for callers that copy a directory.

use super::collections::FILES_BY_PATH;
use super::content::Content;
use super::file_store::Files;
use super::files::quoted_sha256;
use super::layout::content_of;
use super::versions;
use crate::engine::document::Given;
use crate::engine::index::IndexKey;
use crate::engine::{Result, Transaction, json};

/// What became of the file at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    Created,
    Changed,
    /// The file already has this content.
    Unchanged,
}

impl Files {
    /// Gives the latest version at a path this content: with a new version or, if `in_place`, by changing the latest one.
    /// Creates a file if there is none. Of several files with the same path, the one created last counts.
    pub fn put_at_path(
        &self,
        tx: &mut Transaction<'_>,
        path: &str,
        content: &str,
        in_place: bool,
    ) -> Result<Put> {
        let there = tx.find(&self.spec, FILES_BY_PATH, &IndexKey::Text(path.as_bytes().into()))?.pop();
        let current = match &there {
            Some(id) => tx.get(&self.spec, id)?.map(|document| (id, document)),
            None => None,
        };
        let Some((id, document)) = current else {
            let checksum = String::from_utf8_lossy(&quoted_sha256(content.as_bytes())).into_owned();
            let path = json::quote(path);
            let fields = format!("{{\"path\":{path},\"checksum\":{checksum}}}");
            self.create(tx, &[Given { text: fields.as_bytes(), large: Some(content) }], false)?;
            return Ok(Put::Created);
        };
        if content_of(&document.text).is_some_and(|raw| Content::Plain(content).is_stored_as(raw)) {
            return Ok(Put::Unchanged);
        }
        let id = id.to_string().parse().unwrap_or_default();
        if in_place {
            self.update(tx, id, Given { text: b"{}", large: Some(content) })?;
        } else {
            versions::append(tx, self, id, Content::Plain(content), None)?;
        }
        Ok(Put::Changed)
    }

    /// Deletes a file with all its versions. Returns how many there were.
    pub fn delete_chain(&self, tx: &mut Transaction<'_>, id: u64) -> Result<usize> {
        let mut deleted = 0;
        for member in versions::ids(tx, self, id)? {
            deleted += usize::from(tx.delete(&self.spec, member)?);
        }
        Ok(deleted)
    }
}
