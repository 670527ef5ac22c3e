//! Handles, advisory locks and the death of processes.
//!
//! Locks are those of `flock`: each belongs to a handle, conflicts with every other handle, whichever process has it, and
//! ends with `unlock`, with the last copy of its handle, or with its process.

use std::collections::BTreeSet;
use std::io;

use super::names::Ino;
use super::state::{Handle, Lock, State};

impl State {
    pub fn handle(&mut self, id: u64) -> io::Result<&mut Handle> {
        self.handles.get_mut(&id).ok_or_else(|| io::Error::other("the handle is dead"))
    }

    pub fn opened(&mut self, id: u64, process: usize, ino: Ino) {
        self.handles.insert(id, Handle { ino, process, lock: None, closed: false });
    }

    fn inherited(&self, id: u64) -> bool {
        self.children.values().any(|handles| handles.contains(&id))
    }

    /// Closes a handle. One that a child inherited stays open in the child, and so does its lock.
    pub fn close(&mut self, id: u64) {
        if self.inherited(id) {
            if let Some(handle) = self.handles.get_mut(&id) {
                handle.closed = true;
            }
        } else {
            self.handles.remove(&id);
        }
    }

    pub fn kill(&mut self, process: usize) {
        self.dead.insert(process);
        let of_process = |(id, handle): (&u64, &Handle)| (handle.process == process).then_some(*id);
        let handles: Vec<u64> = self.handles.iter().filter_map(of_process).collect();
        handles.into_iter().for_each(|id| self.close(id));
    }

    pub fn spawn_child(&mut self, id: u64, process: usize) {
        let own = self.handles.iter().filter(|(_, handle)| handle.process == process && !handle.closed);
        let own = own.map(|(id, _)| *id).collect();
        self.children.insert(id, own);
    }

    pub fn end_child(&mut self, id: u64) {
        for handle in self.children.remove(&id).into_iter().flatten() {
            let closed = self.handles.get(&handle).is_some_and(|handle| handle.closed);
            if closed && !self.inherited(handle) {
                self.handles.remove(&handle);
            }
        }
    }

    /// Tries to take a lock. A lock that the handle holds already is given up first, as `flock` does when it converts one:
    /// if the conversion fails, the handle holds nothing.
    pub fn try_lock(&mut self, id: u64, lock: Lock) -> io::Result<bool> {
        let handle = self.handle(id)?;
        handle.lock = None;
        let ino = handle.ino;
        let conflict = self.handles.values().filter(|other| other.ino == ino).any(|other| {
            other.lock == Some(Lock::Exclusive) || (other.lock.is_some() && lock == Lock::Exclusive)
        });
        if !conflict {
            self.handle(id)?.lock = Some(lock);
        }
        Ok(!conflict)
    }

    /// The processes that have a lock on the file of this handle.
    pub fn lock_holders(&self, id: u64) -> Vec<u32> {
        let Some(ino) = self.handles.get(&id).map(|handle| handle.ino) else { return Vec::new() };
        let locked = self.handles.values().filter(|handle| handle.ino == ino && handle.lock.is_some());
        let processes: BTreeSet<u32> = locked.map(|handle| handle.process as u32).collect();
        processes.into_iter().collect()
    }

    pub fn unlock(&mut self, id: u64) -> io::Result<()> {
        self.handle(id)?.lock = None;
        Ok(())
    }
}
