//! One instance of a storage: its options, its engine once that is open, and the calls that are under way.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::port::{Answer, Mailbox};
use super::report::{repair_report, verify_report};
use super::statistics::statistics_text;
use crate::engine::cancel;
use crate::engine::fs::OsFs;
use crate::engine::{
    self, BasePath, CacheLimits, CollectionSpec, Database, DatabaseOptions, Durability, Error, ReadOptions,
    Request, Result, Transaction, Wait, WriteOptions, check_directory, check_entity_path, open_under,
    own_collection,
};
use crate::pool::run_blocking;
use crate::project::owners;

/// What an instance asks for, checked by `index.js`.
#[derive(Debug, Clone, Copy)]
pub struct SessionOptions {
    pub cached: bool,
    pub cache: CacheLimits,
    pub lock_timeout: Duration,
    pub durability: Durability,
}

type ReadWork = Box<dyn FnOnce(&Database, ReadOptions) -> Result<Answer> + Send>;
type WriteWork = Box<dyn FnOnce(&mut Transaction<'_>) -> Result<Answer> + Send>;

/// Waiting calls look whether they were given up this often.
const PAUSE: Duration = Duration::from_millis(20);

/// Numbers the sessions of this process in the order of their making.
static SESSIONS: AtomicU64 = AtomicU64::new(0);

/// An instance. Opening is left to the first call, because constructors must not touch the disk.
pub struct Session {
    number: u64,
    base: BasePath,
    directory: PathBuf,
    /// The collection that the instance is about, which must be its database's own.
    collection: Option<Arc<CollectionSpec>>,
    options: SessionOptions,
    mailbox: Mailbox,
    life: Mutex<Life>,
    /// The last batch of the database when this instance opened it, before any of its own.
    opened_at: AtomicU64,
    /// Signalled when a call ends.
    idle: Condvar,
    /// Held during a repair.
    repairing: Mutex<()>,
}

#[derive(Default)]
struct Life {
    engine: Engine,
    /// Calls that were accepted and are not answered yet.
    pending: usize,
    /// How many of them are repairs.
    repairs: usize,
    /// A repair wants the database for itself: nobody opens it.
    sole: bool,
    closing: bool,
}

#[derive(Default)]
enum Engine {
    #[default]
    Unopened,
    /// Writes that arrived meanwhile keep their order.
    Opening(Vec<Request>),
    Open(Arc<Database>),
}

impl Session {
    /// Of two sessions of this process the later one has the higher number.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// `directory` is the database's; `base` lies above it. Both are absolute. Touches no file.
    pub fn new(base: &str, directory: PathBuf, options: SessionOptions, mailbox: Mailbox) -> Arc<Session> {
        Session::build(base, directory, None, options, mailbox)
    }

    /// A session about one collection: opening fails if its file belongs to another database, or if its indexes are
    /// declared otherwise by somebody else.
    pub fn of_collection(
        base: &str,
        directory: PathBuf,
        collection: Arc<CollectionSpec>,
        options: SessionOptions,
        mailbox: Mailbox,
    ) -> Arc<Session> {
        Session::build(base, directory, Some(collection), options, mailbox)
    }

    fn build(
        base: &str,
        directory: PathBuf,
        collection: Option<Arc<CollectionSpec>>,
        options: SessionOptions,
        mailbox: Mailbox,
    ) -> Arc<Session> {
        let base = BasePath::new(Arc::new(OsFs), Path::new(base));
        Arc::new(Session {
            number: SESSIONS.fetch_add(1, Ordering::Relaxed),
            base,
            directory,
            collection,
            options,
            mailbox,
            life: Mutex::default(),
            opened_at: AtomicU64::default(),
            idle: Condvar::new(),
            repairing: Mutex::default(),
        })
    }

    /// Whether a path may be removed with an entity.
    pub fn check_entity_path(&self, path: &str) -> Result<()> {
        let database = self.engine().ok_or(Error::Closed)?;
        check_entity_path(&self.base, &database, &self.directory, path)
    }

    pub fn options(&self) -> SessionOptions {
        self.options
    }

    pub fn read_options(&self) -> ReadOptions {
        ReadOptions { cached: self.options.cached, lock_timeout: self.options.lock_timeout }
    }

    /// The last batch of the database when this instance opened it, before any of its own.
    pub fn opened_at(&self) -> u64 {
        self.opened_at.load(Ordering::Relaxed)
    }

    /// The engine, if it is open already and this instance is not closed.
    pub fn engine(&self) -> Option<Arc<Database>> {
        let life = self.life.lock();
        match &life.engine {
            Engine::Open(database) if !life.closing => Some(Arc::clone(database)),
            _ => None,
        }
    }

    /// The engine, opened if need be. Blocks.
    fn open(&self) -> Result<Arc<Database>> {
        {
            let mut life = self.life.lock();
            while life.sole {
                self.idle.wait_for(&mut life, PAUSE);
                cancel::check()?;
            }
            if let Engine::Open(database) = &life.engine {
                return Ok(Arc::clone(database));
            }
        }
        let options = DatabaseOptions {
            cache: self.options.cache,
            lock_timeout: self.options.lock_timeout,
            owners: Some(owners),
            ..DatabaseOptions::default()
        };
        let database = open_under(&self.base, &self.directory, options)?;
        if let Some(collection) = &self.collection {
            let wait = Wait::at_most(self.options.lock_timeout);
            own_collection(&self.base, &database, &self.directory, &collection.path, wait)?;
            database.attach(collection)?;
        }
        Ok(database)
    }

    pub fn mailbox(&self) -> &Mailbox {
        &self.mailbox
    }

    fn begin(&self) -> Result<()> {
        let mut life = self.life.lock();
        if life.closing {
            return Err(Error::Closed);
        }
        life.pending += 1;
        Ok(())
    }

    fn end(&self, ticket: u32, result: Result<Answer>) {
        if let Engine::Open(database) = &self.life.lock().engine {
            self.mailbox.warn(database.take_warnings());
        }
        self.mailbox.answer(ticket, result);
        self.life.lock().pending -= 1;
        self.idle.notify_all();
    }

    /// Runs a read where it may block.
    pub fn read(
        self: &Arc<Self>,
        ticket: u32,
        work: impl FnOnce(&Database, ReadOptions) -> Result<Answer> + Send + 'static,
    ) {
        self.start_read(ticket, Box::new(work));
    }

    /// Once for all kinds of work, of which there are many.
    fn start_read(self: &Arc<Self>, ticket: u32, work: ReadWork) {
        if let Err(error) = self.begin() {
            return self.mailbox.answer(ticket, Err(error));
        }
        let (this, cancel) = (Arc::clone(self), self.mailbox.cancel_of(ticket));
        run_blocking(move || {
            let result = guarded(|| {
                cancel.scope(|| {
                    cancel::check()?;
                    let database = this.open()?;
                    this.opened(&database);
                    work(&database, this.read_options())
                })
            });
            this.end(ticket, result);
        });
    }

    /// Queues a write. Writes of one instance are committed in the order of their calls.
    pub fn write(
        self: &Arc<Self>,
        ticket: u32,
        work: impl FnOnce(&mut Transaction<'_>) -> Result<Answer> + Send + 'static,
    ) {
        self.start_write(ticket, Box::new(work));
    }

    fn start_write(self: &Arc<Self>, ticket: u32, work: WriteWork) {
        if let Err(error) = self.begin() {
            return self.mailbox.answer(ticket, Err(error));
        }
        let this = Arc::clone(self);
        let options = WriteOptions {
            durability: self.options.durability,
            wait: Wait::at_most(self.options.lock_timeout),
        };
        let cancel = self.mailbox.cancel_of(ticket);
        let request = Request::new(options, work, move |result| this.end(ticket, result)).unless(cancel);
        let mut life = self.life.lock();
        match &mut life.engine {
            Engine::Open(database) => submit(Arc::clone(database), request),
            Engine::Opening(waiting) => waiting.push(request),
            Engine::Unopened => {
                life.engine = Engine::Opening(vec![request]);
                let this = Arc::clone(self);
                run_blocking(move || this.open_for_writes());
            }
        }
    }

    fn open_for_writes(&self) {
        match guarded(|| self.open()) {
            Ok(database) => self.opened(&database),
            Err(error) => {
                let waiting = match std::mem::take(&mut self.life.lock().engine) {
                    Engine::Opening(waiting) => waiting,
                    Engine::Open(_) | Engine::Unopened => Vec::new(),
                };
                for request in waiting {
                    request.fail(error.clone());
                }
            }
        }
    }

    /// Takes note that the engine is open, and hands it the writes that waited for it.
    fn opened(&self, database: &Arc<Database>) {
        let mut life = self.life.lock();
        if matches!(life.engine, Engine::Open(_)) {
            return;
        }
        self.opened_at.store(database.known_sequence(), Ordering::Relaxed);
        database.observe(self.mailbox.observer());
        let before = std::mem::replace(&mut life.engine, Engine::Open(Arc::clone(database)));
        if let Engine::Opening(waiting) = before {
            waiting.into_iter().for_each(|request| submit(Arc::clone(database), request));
        }
    }

    /// Answers with what the database looks like.
    pub fn statistics(self: &Arc<Self>, ticket: u32) {
        self.read(ticket, |database, _| Ok(Answer::text(statistics_text(&database.statistics()?))));
    }

    /// Verifies the database, open or not; one that does not open is verified all the same.
    pub fn verify(self: &Arc<Self>, ticket: u32) {
        if let Err(error) = self.begin() {
            return self.mailbox.answer(ticket, Err(error));
        }
        let (this, cancel) = (Arc::clone(self), self.mailbox.cancel_of(ticket));
        run_blocking(move || {
            let report = guarded(|| {
                cancel.scope(|| {
                    let wait = Wait::at_most(this.options.lock_timeout);
                    let mut report = match this.engine() {
                        Some(database) => database.verify(wait)?,
                        None => engine::verify(&this.base.file_system(), &this.directory, wait)?,
                    };
                    report.problems.extend(this.base.verify_record()?);
                    Ok(Answer::text(verify_report(&report).to_string().into_bytes()))
                })
            });
            this.end(ticket, report);
        });
    }

    /// Repairs the database. This instance's calls before it are waited for and those after it wait; other instances, here
    /// and in other processes, must have closed it.
    pub fn repair(self: &Arc<Self>, ticket: u32) {
        if let Err(error) = self.begin() {
            return self.mailbox.answer(ticket, Err(error));
        }
        self.life.lock().repairs += 1;
        let (this, cancel) = (Arc::clone(self), self.mailbox.cancel_of(ticket));
        run_blocking(move || {
            let report = guarded(|| cancel.scope(|| this.repair_alone()));
            this.life.lock().repairs -= 1;
            this.end(ticket, report);
        });
    }

    fn repair_alone(self: &Arc<Self>) -> Result<Answer> {
        let _one = self.repairing.lock();
        let engine = {
            let mut life = self.life.lock();
            while life.pending > life.repairs {
                self.idle.wait_for(&mut life, PAUSE);
                cancel::check()?;
            }
            life.sole = true;
            std::mem::replace(&mut life.engine, Engine::Opening(Vec::new()))
        };
        drop(engine);
        let wait = Wait::at_most(self.options.lock_timeout);
        let report = check_directory(&self.base, &self.directory)
            .and_then(|()| engine::repair(&self.base.file_system(), &self.directory, wait))
            .and_then(|report| self.base.repair_record(&self.directory, wait).map(|()| report));
        let mut life = self.life.lock();
        life.sole = false;
        self.idle.notify_all();
        match &life.engine {
            Engine::Opening(waiting) if waiting.is_empty() => life.engine = Engine::Unopened,
            Engine::Opening(_) => {
                let this = Arc::clone(self);
                run_blocking(move || this.open_for_writes());
            }
            Engine::Open(_) | Engine::Unopened => {}
        }
        drop(life);
        Ok(Answer::text(repair_report(&report?).to_string().into_bytes()))
    }

    /// Ends the instance: calls from now on are refused, those under way are waited for, the JSON files are brought up
    /// to date. Closing twice is fine.
    pub fn close(self: &Arc<Self>, ticket: u32) {
        self.life.lock().closing = true;
        let this = Arc::clone(self);
        run_blocking(move || {
            let result = guarded(|| this.finish());
            this.mailbox.answer(ticket, result.map(|()| Answer::Nothing));
        });
    }

    fn finish(&self) -> Result<()> {
        let database = {
            let mut life = self.life.lock();
            while life.pending > 0 {
                self.idle.wait(&mut life);
            }
            match std::mem::take(&mut life.engine) {
                Engine::Open(database) => database,
                // Never used: nothing to bring up to date.
                Engine::Unopened | Engine::Opening(_) => return Ok(()),
            }
        };
        let result = database.checkpoint(Wait::at_most(self.options.lock_timeout));
        self.mailbox.warn(database.take_warnings());
        result
    }
}

fn submit(database: Arc<Database>, request: Request) {
    if database.submit(request) {
        run_blocking(move || database.drain_and_linger());
    }
}

/// Turns a panic into an error: none crosses into JavaScript.
pub fn guarded<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or_else(|_| {
        Err(Error::InvalidArgument("the call panicked; this is a bug of the package".into()))
    })
}
