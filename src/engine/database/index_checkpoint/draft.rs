//! What an index checkpoint will hold, gathered while the documents of a snapshot pass by.

use std::sync::Arc;

use super::format::{Header, StoredIndex, encode, push_document};
use crate::engine::checksum::{DatabaseId, FileHash};
use crate::engine::database::CollectionSpec;
use crate::engine::database::load::document_location;
use crate::engine::database::state::IndexTimes;
use crate::engine::document::{DocumentId, close_head};
use crate::engine::document_map::{FileId, Location, Revision};
use crate::engine::index::{Gathered, rules};
use crate::engine::journal::Checksum;
use crate::engine::text_measure::Measured;

pub struct Draft {
    spec: Arc<CollectionSpec>,
    gathered: Vec<Gathered>,
    count: u32,
    documents: Vec<u8>,
}

impl Draft {
    /// Returns an empty draft; `None` for a collection without indexes, which needs no index checkpoint.
    pub fn of(spec: &Arc<CollectionSpec>) -> Option<Draft> {
        let indexes = &spec.indexes;
        (!indexes.is_empty()).then(|| Draft {
            spec: Arc::clone(spec),
            gathered: indexes.iter().map(|index| Gathered::new(index.config.kind)).collect(),
            count: 0,
            documents: Vec::new(),
        })
    }

    pub fn spec(&self) -> &Arc<CollectionSpec> {
        &self.spec
    }

    /// Adds the next document of the snapshot, in ascending order of ids. `offset` is that of its text in the snapshot.
    pub fn push(&mut self, id: &DocumentId, offset: u64, text: &[u8]) {
        let location = document_location(&self.spec, FileId(0), offset, text);
        self.push_located(id, &location, &text[..location.head as usize]);
    }

    /// Like [`Draft::push`], for a text that was measured in pieces.
    pub fn push_measured(&mut self, id: &DocumentId, offset: u64, measured: Measured) {
        let Measured { head, len, hash } = measured;
        let (len, head_len, revision) = (len as u32, head.len() as u32, Revision::UNKNOWN);
        let location = Location { offset, hash, file: FileId(0), len, head: head_len, revision };
        self.push_located(id, &location, &head);
    }

    fn push_located(&mut self, id: &DocumentId, location: &Location, head: &[u8]) {
        push_document(&mut self.documents, id, location);
        let entries = self.spec.entries(&close_head(head));
        for (gathered, entries) in self.gathered.iter_mut().zip(entries) {
            gathered.add(self.count, entries);
        }
        self.count += 1;
    }

    /// Returns the bytes of the file, for the snapshot with this hash and size. `times` has one element for each index.
    pub fn encode(
        self,
        database: DatabaseId,
        snapshot: (FileHash, u64),
        written: u64,
        times: &[IndexTimes],
    ) -> Vec<u8> {
        let mut body = self.documents;
        let documents_size = body.len() as u64;
        let mut indexes = Vec::with_capacity(self.gathered.len());
        for ((gathered, spec), times) in self.gathered.into_iter().zip(&self.spec.indexes).zip(times) {
            let before = body.len();
            let counts = gathered.store(&mut body);
            indexes.push(StoredIndex {
                config: spec.config.clone(),
                rule: spec.extractor.version(),
                first_built: times.first_built,
                last_changed: times.last_changed,
                unique_keys: counts.unique_keys,
                total_entries: counts.total_entries,
                size: (body.len() - before) as u64,
            });
        }
        let header = Header {
            rules: rules(),
            database,
            collection: self.spec.path.to_string(),
            snapshot: snapshot.0,
            snapshot_size: snapshot.1,
            large_field: self.spec.large_field.map(str::to_owned),
            written,
            documents: self.count.into(),
            documents_size,
            indexes,
            body: Checksum(0),
        };
        encode(header, &body)
    }
}
