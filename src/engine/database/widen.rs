//! Giving what a group of writes has changed the indexes that a later request of the group asks for.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::CollectionSpec;
use super::overlay::{Overlay, Pending};
use super::transaction::{Transaction, Undo};
use crate::engine::document::DocumentId;
use crate::engine::error::Result;

impl Transaction<'_> {
    /// Gives the overlay of a collection, and the steps that would undo its changes, the indexes of `spec`. An error
    /// changes nothing.
    pub(super) fn widen(&mut self, spec: &Arc<CollectionSpec>) -> Result<()> {
        let undo = std::mem::take(&mut self.undo);
        let widened = self.widened_undo(spec, &undo);
        self.undo = undo;
        let (overlay, steps) = widened?;
        self.group.collections.insert(Arc::clone(&spec.path), overlay);
        for (at, step) in steps {
            self.undo[at] = step;
        }
        Ok(())
    }

    /// Returns the widened overlay of the collection and the widened steps of `undo` that concern it, with their
    /// positions.
    fn widened_undo(
        &mut self,
        spec: &Arc<CollectionSpec>,
        undo: &[Undo],
    ) -> Result<(Overlay, Vec<(usize, Undo)>)> {
        let Some(overlay) = self.group.collections.get(&spec.path) else {
            return Ok((Overlay::new(spec, false), Vec::new()));
        };
        let mut dropped = overlay.dropped;
        let documents = overlay.documents.clone();
        let overlay = self.widened(spec, dropped, &documents)?;
        let mut steps = Vec::new();
        for (at, step) in undo.iter().enumerate().rev() {
            match step {
                Undo::Document(path, id, Some(pending)) if *path == spec.path => {
                    let pending = self.widened_pending(&overlay, dropped, id, pending)?;
                    steps.push((at, Undo::Document(Arc::clone(path), id.clone(), Some(pending))));
                }
                Undo::Drop(path, before) if *path == spec.path => {
                    dropped = before.dropped;
                    let before = self.widened(spec, dropped, &before.documents)?;
                    steps.push((at, Undo::Drop(Arc::clone(path), before)));
                }
                _ => {}
            }
        }
        Ok((overlay, steps))
    }

    fn widened(
        &mut self,
        spec: &Arc<CollectionSpec>,
        dropped: bool,
        documents: &BTreeMap<DocumentId, Pending>,
    ) -> Result<Overlay> {
        let mut wide = Overlay::new(spec, dropped);
        for (id, pending) in documents {
            let pending = self.widened_pending(&wide, dropped, id, pending)?;
            wide.set(id.clone(), Some(pending));
        }
        Ok(wide)
    }

    fn widened_pending(
        &mut self,
        wide: &Overlay,
        dropped: bool,
        id: &DocumentId,
        pending: &Pending,
    ) -> Result<Pending> {
        let old = self.entries_before(&wide.spec, dropped, id)?;
        let entries = match &pending.new {
            Some(new) => wide.spec.entries(&new.head_object()),
            None => wide.spec.no_entries(),
        };
        Ok(Pending { old, new: pending.new.clone(), entries })
    }
}
