//! Ids for new documents: no two processes are given the same one, even if the document that had it is gone.

use std::sync::Arc;

use super::{CollectionSpec, Database, Transaction};
use crate::engine::error::Result;
use crate::engine::id::{generate_id, stay_above};

impl Database {
    /// Returns an id that was never handed out to any process that uses the database: milliseconds since 1970, or just
    /// above the last one. A document that a person or the old package wrote may have it.
    pub fn new_id(&self) -> u64 {
        let id = generate_id();
        // In a read-only directory, nobody can put a document under it.
        let Some(tip) = &self.tip else { return id };
        let id = tip.claim_id(id);
        stay_above(id);
        id
    }
}

impl Transaction<'_> {
    /// Whether no process was given this id, which this process made without the database. From now on it counts as
    /// handed out.
    pub fn claim_id(&self, id: u64) -> bool {
        let Some(tip) = &self.database.tip else { return true };
        let claimed = tip.claim_id(id);
        stay_above(claimed);
        claimed == id
    }

    /// Like [`Database::new_id`], but returns an id that no document of the collection has.
    pub fn fresh_id(&mut self, spec: &Arc<CollectionSpec>) -> Result<u64> {
        let spec = &self.prepare(spec)?;
        self.next_free_id(spec)
    }

    /// Like [`Transaction::fresh_id`], but returns `count` ids, ascending.
    pub fn fresh_ids(&mut self, spec: &Arc<CollectionSpec>, count: usize) -> Result<Vec<u64>> {
        let spec = &self.prepare(spec)?;
        (0..count).map(|_| self.next_free_id(spec)).collect()
    }

    fn next_free_id(&mut self, spec: &Arc<CollectionSpec>) -> Result<u64> {
        loop {
            let id = self.database.new_id();
            if self.hash_of(spec, &id.into())?.is_none() {
                return Ok(id);
            }
        }
    }
}
