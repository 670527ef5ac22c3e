//! Handles for reading the files of documents. There may be any number of those until a checkpoint, and the system lets a process
//! open so many files only.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::engine::fs::{File, Fs, Metadata, OpenMode};

/// So many files of documents a process keeps open. The others it opens for each read, which takes a fraction of the time that
/// reading a document of that size does.
const MOST_OPEN: usize = 256;

static OPEN: AtomicUsize = AtomicUsize::new(0);

/// The file of a document. One that is not kept open and is gone meanwhile reads as if it ended too early, as all that is not
/// there any more: its document lies elsewhere by then.
pub struct DocumentHandle {
    fs: Arc<dyn Fs>,
    path: PathBuf,
    kept: Option<Arc<dyn File>>,
}

impl DocumentHandle {
    /// `file` is the one at `path`, which is written no more.
    pub fn new(fs: &Arc<dyn Fs>, path: &Path, file: Arc<dyn File>) -> DocumentHandle {
        let may_stay = |open: usize| (open < MOST_OPEN).then_some(open + 1);
        let kept = OPEN.try_update(Ordering::Relaxed, Ordering::Relaxed, may_stay).is_ok().then_some(file);
        DocumentHandle { fs: Arc::clone(fs), path: path.to_path_buf(), kept }
    }

    /// The file at `path`. `None` if it is gone.
    pub fn open(fs: &Arc<dyn Fs>, path: &Path) -> io::Result<Option<Arc<dyn File>>> {
        match fs.open(path, OpenMode::Read) {
            Ok(file) => Ok(Some(Arc::new(DocumentHandle::new(fs, path, file)))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn file(&self) -> io::Result<Arc<dyn File>> {
        match &self.kept {
            Some(file) => Ok(Arc::clone(file)),
            None => self.fs.open(&self.path, OpenMode::Read).map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => io::ErrorKind::UnexpectedEof.into(),
                _ => error,
            }),
        }
    }
}

impl Drop for DocumentHandle {
    fn drop(&mut self) {
        if self.kept.is_some() {
            OPEN.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl File for DocumentHandle {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file()?.read_at(buffer, offset)
    }

    fn read_at_cached(&self, buffer: &mut [u8], offset: u64) -> io::Result<Option<usize>> {
        self.kept.as_ref().map_or(Ok(None), |file| file.read_at_cached(buffer, offset))
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file()?.write_at(bytes, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file()?.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file()?.sync_data()
    }

    fn metadata(&self) -> io::Result<Metadata> {
        self.file()?.metadata()
    }
}
