//! Files that may be read at any time from now on. There may be any number of them, but a process may open only a few at a
//! time.

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::path::Path;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::{File, Fs, MemoryFile, open_if_there};

/// Which files stay open while nobody reads them: those that were opened last, up to `most`.
pub struct OpenFiles {
    most: usize,
    kept: Mutex<VecDeque<Weak<Mutex<Open>>>>,
}

impl OpenFiles {
    pub fn new(most: usize) -> OpenFiles {
        OpenFiles { most, kept: Mutex::new(VecDeque::new()) }
    }

    fn keep(&self, opened: &Arc<Mutex<Open>>) {
        let surplus: Vec<Weak<Mutex<Open>>> = {
            let mut kept = self.kept.lock();
            kept.push_back(Arc::downgrade(opened));
            let surplus = kept.len().saturating_sub(self.most);
            kept.drain(..surplus).collect()
        };
        close(&surplus);
    }

    /// Closes all files that nobody reads at the moment.
    pub fn close_all(&self) {
        let all: Vec<Weak<Mutex<Open>>> = self.kept.lock().drain(..).collect();
        close(&all);
    }

    fn forget(&self, dropped: &Arc<Mutex<Open>>) {
        self.kept.lock().retain(|kept| kept.as_ptr() != Arc::as_ptr(dropped));
    }
}

/// Closes files unless somebody reads them. This may take a while, so it happens without the lock on those that are kept.
fn close(files: &[Weak<Mutex<Open>>]) {
    for open in files.iter().filter_map(Weak::upgrade) {
        let closed = open.lock().close();
        drop(closed);
    }
}

/// A file that is opened when it is read, and closed again when others that are in use take its place.
///
/// By then, the path may name another file, or none, which reads like a file that ends too early. So whoever reads a text
/// compares its hash, and if it is not the text that was written, looks up again where the text is.
pub struct FileHandle {
    fs: Arc<dyn Fs>,
    path: Arc<Path>,
    open: Arc<Mutex<Open>>,
}

enum Open {
    Kept(Arc<dyn File>),
    /// A reader may still hold the file: then no other one may be opened.
    Closed(Weak<dyn File>),
}

impl Open {
    fn file(&self) -> Option<Arc<dyn File>> {
        match self {
            Open::Kept(file) => Some(Arc::clone(file)),
            Open::Closed(file) => file.upgrade(),
        }
    }

    fn close(&mut self) -> Option<Open> {
        let closed = match self {
            Open::Kept(file) => Open::Closed(Arc::downgrade(file)),
            Open::Closed(_) => return None,
        };
        Some(mem::replace(self, closed))
    }
}

impl FileHandle {
    /// Creates a handle for `file`, which is at `path`, or will be before anybody reads it.
    pub fn new(fs: &Arc<dyn Fs>, path: impl Into<Arc<Path>>, file: Arc<dyn File>) -> Arc<FileHandle> {
        let handle = FileHandle::with(fs, path.into(), Open::Kept(file));
        fs.open_files().keep(&handle.open);
        handle
    }

    /// Creates a handle for the file at `path`, which is not opened yet.
    pub fn closed(fs: &Arc<dyn Fs>, path: impl Into<Arc<Path>>) -> Arc<FileHandle> {
        let nothing: Weak<dyn File> = Weak::<MemoryFile>::new();
        FileHandle::with(fs, path.into(), Open::Closed(nothing))
    }

    fn with(fs: &Arc<dyn Fs>, path: Arc<Path>, open: Open) -> Arc<FileHandle> {
        Arc::new(FileHandle { fs: Arc::clone(fs), path, open: Arc::new(Mutex::new(open)) })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the file, open for as long as the caller holds it.
    pub fn file(&self) -> io::Result<Arc<dyn File>> {
        if let Some(file) = self.if_open() {
            return Ok(file);
        }
        let opened = open_if_there(&*self.fs, &self.path)?
            .ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        {
            let mut open = self.open.lock();
            // Another thread may have opened a file meanwhile, and may hold it: ours may be a different one.
            if let Some(file) = open.file() {
                return Ok(file);
            }
            *open = Open::Kept(Arc::clone(&opened));
        }
        self.fs.open_files().keep(&self.open);
        Ok(opened)
    }

    /// Returns the file if it is open already.
    pub fn if_open(&self) -> Option<Arc<dyn File>> {
        self.open.lock().file()
    }
}

impl Drop for FileHandle {
    fn drop(&mut self) {
        if matches!(*self.open.lock(), Open::Kept(_)) {
            self.fs.open_files().forget(&self.open);
        }
    }
}

#[cfg(all(test, feature = "simulation"))]
mod tests {
    use std::sync::OnceLock;

    use super::*;
    use crate::engine::fs::{Call, SimFs, read_all};

    /// A handle in a process that keeps this many files open, and another process.
    fn handle(most_open: usize) -> (SimFs, Arc<FileHandle>, SimFs) {
        let machine = SimFs::new();
        machine.set_most_open(most_open);
        machine.write_file("/file", b"old");
        let fs = machine.process();
        let handle = FileHandle::closed(&fs.handle(), Path::new("/file"));
        (fs, handle, machine)
    }

    fn replace(fs: &SimFs) {
        fs.write_file("/other", b"new");
        fs.handle().rename(Path::new("/other"), Path::new("/file")).expect("replaced");
    }

    fn read(file: &Arc<dyn File>) -> Vec<u8> {
        read_all(&**file).expect("readable").to_vec()
    }

    #[test]
    fn a_file_is_closed_once_more_recent_ones_reach_the_limit() {
        let (fs, first, other) = handle(2);
        let handles: Vec<_> = (0..3)
            .map(|number| {
                let path = format!("/{number}");
                other.write_file(&path, b"");
                FileHandle::closed(&fs.handle(), Path::new(&path))
            })
            .collect();
        first.file().expect("opened");
        handles[0].file().expect("opened");
        assert!(first.if_open().is_some());
        handles[1].file().expect("opened");
        assert!(first.if_open().is_none());
        drop(handles);
        first.file().expect("opened");
        assert!(first.if_open().is_some());
    }

    #[test]
    fn a_handle_reads_the_file_that_is_still_held_after_a_replacement() {
        let (_fs, handle, other) = handle(0);
        let held = handle.file().expect("opened");
        replace(&other);
        assert_eq!(read(&handle.file().expect("open")), b"old");
        drop(held);
        assert_eq!(read(&handle.file().expect("opened")), b"new");
    }

    #[test]
    fn an_open_overtaken_by_a_replacement_returns_the_file_that_is_held() {
        for most_open in [0, 1] {
            let (fs, handle, other) = handle(most_open);
            let held = Arc::new(OnceLock::new());
            let (holding, holder) = (Arc::clone(&handle), Arc::clone(&held));
            let opens = |call: &Call| matches!(call, Call::Open { .. });
            fs.before(opens, move || {
                assert!(holder.set(holding.file().expect("opened")).is_ok());
                replace(&other);
            });
            assert_eq!(read(&handle.file().expect("opened")), b"old");
            assert_eq!(read(&handle.file().expect("open")), b"old");
        }
    }

    #[test]
    fn opening_a_missing_file_fails_as_an_unexpected_end() {
        let (_fs, handle, other) = handle(0);
        other.remove("/file");
        assert_eq!(handle.file().map(drop).map_err(|error| error.kind()), Err(io::ErrorKind::UnexpectedEof));
    }
}
