//! Files that may be read at any time from now on. There may be any number of them, and the system lets a process open so many only.

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::path::Path;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::{File, Fs, MemoryFile, OpenMode};

/// Which files stay open while nobody reads them: those that were opened last, up to `most`.
pub struct OpenFiles {
    most: usize,
    kept: Mutex<VecDeque<Weak<FileHandle>>>,
}

impl OpenFiles {
    pub const fn new(most: usize) -> OpenFiles {
        OpenFiles { most, kept: Mutex::new(VecDeque::new()) }
    }

    fn keep(&self, handle: &Arc<FileHandle>) {
        let surplus: Vec<Weak<FileHandle>> = {
            let mut kept = self.kept.lock();
            kept.push_back(Arc::downgrade(handle));
            let surplus = kept.len().saturating_sub(self.most);
            kept.drain(..surplus).collect()
        };
        // Not under the lock, which a handle takes that goes.
        surplus.iter().filter_map(Weak::upgrade).for_each(|handle| handle.close());
    }

    fn forget_dropped(&self) {
        self.kept.lock().retain(|handle| handle.strong_count() > 0);
    }
}

/// A file that is opened when it is read, and closed when others are that are in use.
///
/// What lies at the path by then may be another file, or nothing, which reads as if it ended too early: whoever reads a text
/// compares its hash, and looks it up again where it is not the one that was written.
pub struct FileHandle {
    fs: Arc<dyn Fs>,
    path: Arc<Path>,
    open: Mutex<Open>,
}

enum Open {
    Kept(Arc<dyn File>),
    /// Somebody may hold the file all the same: then there is no other one to be opened.
    Closed(Weak<dyn File>),
}

impl FileHandle {
    /// `file` is the one that lies at `path`, or will before anybody reads it.
    pub fn new(fs: &Arc<dyn Fs>, path: impl Into<Arc<Path>>, file: Arc<dyn File>) -> Arc<FileHandle> {
        let open = Mutex::new(Open::Kept(file));
        let handle = Arc::new(FileHandle { fs: Arc::clone(fs), path: path.into(), open });
        fs.open_files().keep(&handle);
        handle
    }

    /// The file at `path`, which is not opened yet.
    pub fn closed(fs: &Arc<dyn Fs>, path: impl Into<Arc<Path>>) -> Arc<FileHandle> {
        let nothing: Weak<dyn File> = Weak::<MemoryFile>::new();
        Arc::new(FileHandle {
            fs: Arc::clone(fs),
            path: path.into(),
            open: Mutex::new(Open::Closed(nothing)),
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file, open for as long as the caller holds it.
    pub fn file(self: &Arc<Self>) -> io::Result<Arc<dyn File>> {
        if let Some(file) = self.if_open() {
            return Ok(file);
        }
        let file = self.fs.open(&self.path, OpenMode::Read).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => io::ErrorKind::UnexpectedEof.into(),
            _ => error,
        })?;
        *self.open.lock() = Open::Kept(Arc::clone(&file));
        self.fs.open_files().keep(self);
        Ok(file)
    }

    /// The file, if it need not be opened for that.
    pub fn if_open(&self) -> Option<Arc<dyn File>> {
        match &*self.open.lock() {
            Open::Kept(file) => Some(Arc::clone(file)),
            Open::Closed(file) => file.upgrade(),
        }
    }

    fn close(&self) {
        let mut open = self.open.lock();
        if let Open::Kept(file) = &*open {
            let closed = Open::Closed(Arc::downgrade(file));
            let kept = mem::replace(&mut *open, closed);
            drop(open);
            drop(kept);
        }
    }
}

impl Drop for FileHandle {
    fn drop(&mut self) {
        if matches!(self.open.get_mut(), Open::Kept(_)) {
            self.fs.open_files().forget_dropped();
        }
    }
}
