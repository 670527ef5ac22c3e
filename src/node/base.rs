//! Native calls for the files and locks that subclasses of a storage use beside its entities.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use napi_derive::napi;
use parking_lot::Mutex;

use super::options::NativeOptions;
use super::port::{Answer, Mailbox, Port};
use super::session::{SessionOptions, guarded};
use crate::engine::fs::{OsFs, create_dirs};
use crate::engine::{
    Attempt, BasePath, Error, IoContext, KeyLock, Result, check_directory, check_plain_file, read_file,
    replace_file, try_lock_key,
};
use crate::pool::run_blocking;

#[napi]
pub struct NativeBase {
    shared: Arc<Shared>,
}

struct Shared {
    base: BasePath,
    directory: PathBuf,
    options: SessionOptions,
    mailbox: Mailbox,
    locks: Mutex<Locks>,
}

#[derive(Default)]
struct Locks {
    held: HashMap<u32, KeyLock>,
    last: u32,
}

/// Paths are absolute.
#[napi]
impl NativeBase {
    /// `directory` is that of the storage's database. Touches no file.
    #[napi(constructor, catch_unwind)]
    pub fn new(port: &Port, base: String, directory: String, options: NativeOptions) -> NativeBase {
        let base = BasePath::new(Arc::new(OsFs), Path::new(&base));
        let (directory, options, mailbox) = (directory.into(), options.into(), port.mailbox());
        NativeBase { shared: Arc::new(Shared { base, directory, options, mailbox, locks: Mutex::default() }) }
    }

    /// Answers with the text of a file, or nothing if there is none.
    #[napi(catch_unwind)]
    pub fn read(&self, ticket: u32, path: String) {
        self.run(ticket, move |shared| {
            let path = Path::new(&path);
            check_plain_file(&shared.base, path)?;
            let Some(bytes) = read_file(&*shared.base.file_system(), path)? else {
                return Ok(Answer::Nothing);
            };
            match std::str::from_utf8(&bytes) {
                Ok(text) => Ok(Answer::text(text.as_bytes())),
                Err(error) => Err(Error::corrupt(path, error.valid_up_to() as u64, "it is not UTF-8")),
            }
        });
    }

    /// Replaces a file in one step.
    #[napi(catch_unwind)]
    pub fn write(&self, ticket: u32, path: String, text: String) {
        self.run(ticket, move |shared| {
            let path = Path::new(&path);
            check_plain_file(&shared.base, path)?;
            let fs = shared.base.file_system();
            replace_file(&*fs, path, text.as_bytes(), shared.options.durability).map(|()| Answer::Nothing)
        });
    }

    /// Creates a directory and those of its parents that are missing.
    #[napi(catch_unwind)]
    pub fn ensure_directory(&self, ticket: u32, path: String) {
        self.run(ticket, move |shared| {
            let path = Path::new(&path);
            check_plain_file(&shared.base, path)?;
            create_dirs(&*shared.base.file_system(), path).at("create", path).map(|()| Answer::Nothing)
        });
    }

    /// Tries to take the lock of a key. Answers `{ taken }` with the number by which to release it, or `{ holder, stopped }`
    /// with the process that holds it, if that is known, and whether it is stopped.
    #[napi(catch_unwind)]
    pub fn try_lock(&self, ticket: u32, key: String) {
        self.run(ticket, move |shared| {
            check_directory(&shared.base, &shared.directory)?;
            let answer = match try_lock_key(&shared.base.file_system(), &shared.directory, &key)? {
                Attempt::Taken(lock) => {
                    let mut locks = shared.locks.lock();
                    locks.last = locks.last.wrapping_add(1);
                    let number = locks.last;
                    locks.held.insert(number, lock);
                    serde_json::json!({ "taken": number })
                }
                Attempt::Held(holder) => serde_json::json!({
                    "holder": holder.map(|holder| holder.pid),
                    "stopped": holder.is_some_and(|holder| holder.stopped),
                }),
            };
            Ok(Answer::json(answer))
        });
    }

    #[napi(catch_unwind)]
    pub fn unlock(&self, number: u32) {
        drop(self.shared.locks.lock().held.remove(&number));
    }
}

impl NativeBase {
    fn run(&self, ticket: u32, work: impl FnOnce(&Shared) -> Result<Answer> + Send + 'static) {
        let shared = Arc::clone(&self.shared);
        run_blocking(move || {
            let result = guarded(|| work(&shared));
            shared.mailbox.answer(ticket, result);
        });
    }
}
