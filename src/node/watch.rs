//! What JavaScript needs to keep documents as objects: reading the tip without a call, and learning which documents have
//! changed.

use std::mem;
use std::sync::{Arc, Weak};

use napi::bindgen_prelude::{ArrayBuffer, Either3, Null};
use napi::{Env, Result};
use napi_derive::napi;
use parking_lot::Mutex;

use crate::engine::fs::PageMemory;
use crate::engine::{ACKNOWLEDGED_AT, ANNOUNCED_AT, Database};

/// A watch on one engine.
#[napi]
pub struct NativeWatch {
    /// Weak, because watching keeps no engine open.
    database: Weak<Database>,
    /// Shared with the page that JavaScript has; `None` once the page was taken back.
    memory: Arc<Mutex<Option<Arc<dyn PageMemory>>>>,
    /// Whether the page was handed out. There is only one, because a second would not be taken back with it.
    is_given: bool,
}

impl NativeWatch {
    /// Returns `None` if the tip is not mapped.
    pub fn of(database: &Arc<Database>) -> Option<NativeWatch> {
        let memory = database.map_tip().ok()??;
        Some(NativeWatch {
            database: Arc::downgrade(database),
            memory: Arc::new(Mutex::new(Some(memory))),
            is_given: false,
        })
    }
}

/// One element of [`NativeWatch::changes_since`].
pub type Change = Either3<f64, String, Null>;

#[napi]
impl NativeWatch {
    /// Returns whether no batch after `seq` that is in memory changed the collection; false if that is no longer known.
    #[napi(catch_unwind)]
    pub fn is_unchanged_since(&self, path: String, seq: f64) -> bool {
        self.database.upgrade().is_some_and(|database| database.is_unchanged_since(&path, seq as u64))
    }

    /// The offset in the page of the number of the last batch that any process may see, a 64-bit float.
    #[napi(getter, catch_unwind)]
    pub fn announced_at(&self) -> u32 {
        ANNOUNCED_AT as u32
    }

    /// The offset in the page of the number of the last batch that any process has acknowledged, a 64-bit float.
    #[napi(getter, catch_unwind)]
    pub fn acknowledged_at(&self) -> u32 {
        ACKNOWLEDGED_AT as u32
    }

    /// Returns the page of memory that all processes share, once. `null` if this runtime only gives copies of such memory.
    #[napi(catch_unwind)]
    pub fn page<'env>(&mut self, env: &'env Env) -> Result<Option<ArrayBuffer<'env>>> {
        if mem::replace(&mut self.is_given, true) {
            return Ok(None);
        }
        let owner = Arc::clone(&self.memory);
        let Some((memory, length)) = owner.lock().as_ref().map(|memory| memory.place()) else {
            return Ok(None);
        };
        // SAFETY: the memory is a mapping of its own, made for this object. It is `length` bytes long and lives until
        // `owner` is dropped by the finalizer, or until JavaScript no longer has the page. Other processes change it at any
        // time, but JavaScript reads only single aligned words of it, for which any value is harmless: a wrong value costs a
        // look-up in the engine.
        let buffer =
            unsafe { ArrayBuffer::from_external(env, memory, length, owner, |_, owner| drop(owner)) }?;
        Ok(std::ptr::eq(buffer.as_ptr(), memory).then_some(buffer))
    }

    /// Returns whether anything has the engine open.
    #[napi(getter, catch_unwind)]
    pub fn is_open(&self) -> bool {
        self.database.strong_count() > 0
    }

    /// Takes the page back. It must not be read from then on.
    #[napi(catch_unwind)]
    pub fn release(&self, page: ArrayBuffer<'_>) -> Result<()> {
        page.detach()?;
        drop(self.memory.lock().take());
        Ok(())
    }

    /// Returns the number of the last batch in memory, and then, for each document that this batch and the others since
    /// `seq` changed, its collection and its key, or `null` for all documents of the collection. If the changes are no
    /// longer known, returns only the number and a `null`.
    #[napi(catch_unwind)]
    pub fn changes_since(&self, seq: f64) -> Vec<Change> {
        let (now, changes) =
            self.database.upgrade().map_or((0, None), |database| database.changes_since(seq as u64));
        let mut flat = vec![Either3::A(now as f64)];
        match changes {
            None => flat.push(Either3::C(Null)),
            Some(changes) => {
                for change in changes {
                    flat.push(Either3::B(change.collection.to_string()));
                    flat.push(change.id.map_or(Either3::C(Null), |id| Either3::B(id.to_string())));
                }
            }
        }
        flat
    }
}
