//! Adopting a file whose rule cannot run inside the engine: whoever has the rule asks for the records, judges them
//! without any lock, and hands the verdicts in. They count only if the file is still the one that was judged.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::adopt::{Rule, foreign_records};
use super::put::check_document;
use super::writer::Writer;
use super::{CollectionSpec, Database, ReadOptions, SizeLimits};
use crate::engine::checksum::FileHash;
use crate::engine::document::DocumentId;
use crate::engine::error::{Error, Result};
use crate::engine::json;
use crate::engine::lock::Wait;

/// A foreign file that waits to be judged.
pub struct ForeignRecords {
    /// The hash of the file as it was read.
    pub hash: FileHash,
    /// Each record as it stands in the file: JSON text, usually an object.
    pub records: Vec<(DocumentId, Vec<u8>)>,
}

/// The stored form of each record, or a sentence that says why there is none.
pub type Verdicts = BTreeMap<DocumentId, Result<Vec<u8>, String>>;

impl Database {
    /// Returns the records to be judged if the file of the collection is a foreign one. O(bytes of the file).
    ///
    /// # Errors
    /// `CORRUPT_DATA` if a file is missing, `IO_ERROR`.
    pub fn foreign_records(&self, spec: &Arc<CollectionSpec>) -> Result<Option<ForeignRecords>> {
        let snapshot = {
            let mut writer = self.writer.lock();
            self.catch_up(&mut writer)?;
            self.notice_edit(spec)?;
            if self.try_load(&mut writer, spec)? {
                return Ok(None);
            }
            self.read_snapshot(spec)?
        };
        let Some(snapshot) = snapshot else { return Ok(None) };
        let (found, _) = foreign_records(&snapshot.bytes);
        let records = found.into_iter().map(|(id, raw)| (id, raw.to_vec())).collect();
        Ok(Some(ForeignRecords { hash: snapshot.hash, records }))
    }

    /// Adopts a foreign file as it was judged. Returns false if it is another file by now, whose records must be judged
    /// anew; true also if somebody else has adopted it meanwhile.
    ///
    /// # Errors
    /// `LOCK_TIMEOUT`, `IO_ERROR`.
    pub fn adopt_judged(
        &self,
        spec: &Arc<CollectionSpec>,
        judged: FileHash,
        verdicts: &Verdicts,
        wait: Wait,
    ) -> Result<bool> {
        let rule = |id: &DocumentId, _: &[u8]| stored_form(spec, verdicts, id, self.options.sizes);
        if self.is_read_only() {
            return self.load_judged(&mut self.writer.lock(), spec, judged, &rule);
        }
        let mut held = self.acquire(wait)?;
        self.notice_edit(spec)?;
        self.load_judged(&mut held, spec, judged, &rule)
    }

    fn load_judged(
        &self,
        writer: &mut Writer,
        spec: &Arc<CollectionSpec>,
        judged: FileHash,
        rule: &Rule<'_>,
    ) -> Result<bool> {
        let spec = &self.declare(writer, spec);
        if self.try_load(writer, spec)? {
            return Ok(true);
        }
        match self.read_snapshot(spec)? {
            Some(snapshot) if snapshot.hash == judged => {
                self.adopt(writer, spec, snapshot, rule).map(|()| true)
            }
            _ => Ok(false),
        }
    }

    /// Checks now whether somebody has edited the file, and adopts the edit. A file that is gone is left to the next
    /// checkpoint, which writes it again.
    ///
    /// # Errors
    /// `Unadopted` if it waits to be judged.
    pub fn look_at_file(&self, spec: &Arc<CollectionSpec>, options: ReadOptions) -> Result<()> {
        {
            let mut writer = self.writer.lock();
            self.catch_up(&mut writer)?;
            if self.removed_file(spec)?.is_some() {
                return Ok(());
            }
            self.notice_edit(spec)?;
        }
        self.query(spec, options, |_| ())
    }

    /// Whether documents of the collection are in journals only, so that a checkpoint has something to write.
    pub fn has_changes(&self, spec: &CollectionSpec) -> bool {
        self.state.read().has_changes(&spec.path)
    }
}

fn stored_form(
    spec: &CollectionSpec,
    verdicts: &Verdicts,
    id: &DocumentId,
    sizes: SizeLimits,
) -> Result<Vec<u8>> {
    match verdicts.get(id) {
        Some(Ok(text)) => {
            sizes.check_in_line(spec, text)?;
            check_document(text)?;
            Ok(json::compact(text).into_owned())
        }
        Some(Err(why)) => Err(Error::InvalidArgument(why.clone())),
        None => Err(Error::InvalidArgument("it was not judged".into())),
    }
}
