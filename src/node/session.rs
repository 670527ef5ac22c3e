//! One instance of a storage: its options, its engine once that is open, and the calls in progress.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::life::{Engine, Job, Later, Life, Next, Opened, Repair};
use super::pieces::Pieces;
use super::port::{Answer, Mailbox};
use super::report::{repair_report, verify_report};
use super::statistics::statistics_text;
use crate::engine::cancel;
use crate::engine::fs::OsFs;
use crate::engine::{
    self, BasePath, CacheLimits, CollectionSpec, Database, DatabaseOptions, Durability, Error, Holder,
    IoContext, ReadOptions, Request, Result, Transaction, Wait, WriteOptions, check_directory,
    check_entity_path, check_removals, open_under, own_collection,
};
use crate::pool::run_blocking;
use crate::project::owners;

/// The options of an instance, checked by JavaScript.
#[derive(Debug, Clone, Copy)]
pub struct SessionOptions {
    pub cached: bool,
    pub cache: CacheLimits,
    pub lock_timeout: Duration,
    pub durability: Durability,
}

type ReadWork = Box<dyn FnOnce(&Database, ReadOptions) -> Result<Answer> + Send>;
type WriteWork = Box<dyn FnOnce(&mut Transaction<'_>) -> Result<Answer> + Send>;

/// How often a waiting repair checks whether it was aborted.
const PAUSE: Duration = Duration::from_millis(20);

/// The number of the next session of this process. Sessions are numbered in the order of their creation.
static SESSIONS: AtomicU64 = AtomicU64::new(0);

/// An instance. The first call opens the engine, because constructors must not touch the disk.
pub struct Session {
    number: u64,
    base: BasePath,
    directory: PathBuf,
    /// The collection that the instance serves, which must belong to its database.
    collection: Option<Arc<CollectionSpec>>,
    options: SessionOptions,
    mailbox: Mailbox,
    life: Mutex<Life>,
    /// The last batch of the database when this instance opened it, before any of its own.
    opened_at: AtomicU64,
    /// Signalled when a call ends. Repairs wait for this, each session's on a thread of its own: no thread of the pool waits
    /// for other calls, since these may need that thread.
    idle: Condvar,
}

impl Session {
    /// Returns the number of the session. Of two sessions of this process, the later one has the higher number.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// `directory` is the database's, and is below `base`. Both are absolute. Touches no file. With a collection, opening
    /// fails if its file belongs to another database, or if another instance declares its indexes differently.
    pub fn new(
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
        })
    }

    /// Checks that a path may be removed together with an entity.
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

    /// Returns how long a call that begins now may wait for locks.
    fn wait(&self) -> Wait {
        Wait::at_most(self.options.lock_timeout)
    }

    /// The last batch of the database when this instance opened it, before any of its own.
    pub fn opened_at(&self) -> u64 {
        self.opened_at.load(Ordering::Relaxed)
    }

    /// Returns the engine, if it is open and this instance is not closed.
    pub fn engine(&self) -> Option<Arc<Database>> {
        let life = self.life.lock();
        match &life.engine {
            Engine::Open(opened) if !life.closing => Some(Arc::clone(&opened.database)),
            _ => None,
        }
    }

    /// Returns the engine, opening it if necessary. Blocks.
    fn open(&self, wait: Wait) -> Result<Opened> {
        if let Engine::Open(opened) = &self.life.lock().engine {
            return Ok(opened.clone());
        }
        let options = DatabaseOptions {
            cache: self.options.cache,
            lock_timeout: self.options.lock_timeout,
            owners: Some(owners),
            ..DatabaseOptions::default()
        };
        let database = open_under(&self.base, &self.directory, options, wait)?;
        let declaration = match &self.collection {
            Some(collection) => {
                own_collection(&self.base, &database, &self.directory, &collection.path, wait)?;
                Some(database.attach(collection)?)
            }
            None => None,
        };
        Ok(Opened { database, _declaration: declaration })
    }

    pub fn mailbox(&self) -> &Mailbox {
        &self.mailbox
    }

    /// Runs a call on the pool, where it may block. `job` answers the call through [`Session::end`].
    fn begin(&self, ticket: u32, job: Job) {
        {
            let mut life = self.life.lock();
            if life.closing {
                return self.mailbox.answer(ticket, Err(Error::Closed));
            }
            if !life.repairs.is_empty() {
                return life.later.jobs.push(job);
            }
            life.pending += 1;
        }
        run_blocking(job);
    }

    fn end(self: &Arc<Self>, ticket: u32, result: Result<Answer>) {
        if let Engine::Open(Opened { database, .. }) = &self.life.lock().engine {
            self.mailbox.warn(database.take_warnings());
        }
        self.mailbox.answer(ticket, result);
        self.end_pending();
    }

    fn end_pending(self: &Arc<Self>) {
        let next = {
            let mut life = self.life.lock();
            life.pending -= 1;
            life.end_if_idle()
        };
        self.idle.notify_all();
        self.go_on(next);
    }

    fn go_on(self: &Arc<Self>, next: Next) {
        match next {
            Next::Nothing => {}
            Next::Open => {
                let (this, wait) = (Arc::clone(self), self.wait());
                run_blocking(move || this.open_for_writes(wait));
            }
            Next::Drain(database) => run_blocking(move || database.drain_and_linger()),
            Next::Finish(tickets) => {
                let this = Arc::clone(self);
                run_blocking(move || {
                    let result = guarded(|| this.finish());
                    for ticket in tickets {
                        this.mailbox.answer(ticket, result.clone().map(|()| Answer::Nothing));
                    }
                });
            }
        }
    }

    /// Runs a read on the pool, where it may block.
    pub fn read(
        self: &Arc<Self>,
        ticket: u32,
        work: impl FnOnce(&Database, ReadOptions) -> Result<Answer> + Send + 'static,
    ) {
        self.start_read(ticket, Box::new(work));
    }

    /// Runs a read on the pool, where it may block, and answers it with the documents that `work` returns.
    pub fn read_documents(
        self: &Arc<Self>,
        ticket: u32,
        field: Option<&'static str>,
        work: impl FnOnce(&Database, ReadOptions) -> Result<Vec<Arc<[u8]>>> + Send + 'static,
    ) {
        let pieces = self.pieces(ticket);
        self.read(ticket, move |database, options| pieces.documents(&work(database, options)?, field));
    }

    /// Returns the pieces through which a call is answered with a list.
    pub fn pieces(&self, ticket: u32) -> Pieces {
        Pieces::new(self.mailbox.clone(), ticket)
    }

    /// Compiled once for all kinds of work, of which there are many.
    fn start_read(self: &Arc<Self>, ticket: u32, work: ReadWork) {
        let (this, cancel) = (Arc::clone(self), self.mailbox.cancel_of(ticket));
        // The time in which the call waits for a thread counts too.
        let wait = self.wait();
        let job = move || {
            let result = guarded(|| {
                cancel.scope(|| {
                    cancel::check()?;
                    let opened = this.open(wait)?;
                    this.opened(this.life.lock(), &opened);
                    work(&opened.database, this.read_options())
                })
            });
            this.end(ticket, result);
        };
        self.begin(ticket, Box::new(job));
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
        let this = Arc::clone(self);
        let options = WriteOptions { durability: self.options.durability, wait: self.wait() };
        let cancel = self.mailbox.cancel_of(ticket);
        let session = Arc::clone(self);
        let work = move |transaction: &mut Transaction<'_>| {
            session.mailbox.check_caller()?;
            let answer = work(transaction)?.fitting()?;
            check_removals(&session.base, &session.directory, transaction.removed_paths())?;
            Ok(answer)
        };
        let request = Request::new(options, work, move |result| this.end(ticket, result)).unless(cancel);
        let next = {
            let mut life = self.life.lock();
            if life.closing {
                return self.mailbox.answer(ticket, Err(Error::Closed));
            }
            if !life.repairs.is_empty() {
                return life.later.writes.push(request);
            }
            life.pending += 1;
            life.queue(request)
        };
        self.go_on(next);
    }

    /// Opens the engine for the writes that wait for it. The instance does not end before this has: an engine that was opened
    /// later would leave files behind.
    fn open_for_writes(self: &Arc<Self>, wait: Wait) {
        self.submit_to(guarded(|| self.open(wait)));
        self.end_pending();
    }

    fn submit_to(self: &Arc<Self>, opened: Result<Opened>) {
        let mut life = self.life.lock();
        // A read may have been quicker. It has then submitted the writes.
        if !matches!(life.engine, Engine::Opening(_)) {
            return;
        }
        match opened {
            Ok(opened) => self.opened(life, &opened),
            Err(error) => {
                let Engine::Opening(waiting) = std::mem::take(&mut life.engine) else { return };
                drop(life);
                for request in waiting {
                    request.fail(error.clone());
                }
            }
        }
    }

    /// Records that the engine is open, and hands it the writes that waited for it.
    fn opened(self: &Arc<Self>, mut life: MutexGuard<'_, Life>, opened: &Opened) {
        if matches!(life.engine, Engine::Open(_)) {
            return;
        }
        let database = &opened.database;
        self.opened_at.store(database.acknowledged_sequence(), Ordering::Relaxed);
        database.observe(self.mailbox.observer());
        let before = std::mem::replace(&mut life.engine, Engine::Open(opened.clone()));
        let Engine::Opening(waiting) = before else { return };
        let mut drain = false;
        for request in waiting {
            drain |= database.submit(request);
        }
        drop(life);
        if drain {
            self.go_on(Next::Drain(Arc::clone(database)));
        }
    }

    /// Answers with the statistics of the database.
    pub fn statistics(self: &Arc<Self>, ticket: u32) {
        self.read(ticket, |database, _| Ok(Answer::text(statistics_text(&database.statistics()?))));
    }

    /// Verifies the database, whether it is open or not, and even if it cannot be opened.
    pub fn verify(self: &Arc<Self>, ticket: u32) {
        let (this, cancel) = (Arc::clone(self), self.mailbox.cancel_of(ticket));
        let job = move || {
            let report = guarded(|| {
                cancel.scope(|| {
                    let wait = this.wait();
                    let mut report = match this.engine() {
                        Some(database) => database.verify(wait)?,
                        None => engine::verify_shared(&this.base.file_system(), &this.directory, wait)?,
                    };
                    report.problems.extend(engine::verify_records(&this.base)?);
                    Ok(Answer::json(verify_report(&report)))
                })
            });
            this.end(ticket, report);
        };
        self.begin(ticket, Box::new(job));
    }

    /// Repairs the database. Waits for this instance's earlier calls, no longer than for a lock, and holds back later ones.
    /// All other instances, in this process and in others, must have closed the database.
    pub fn repair(self: &Arc<Self>, ticket: u32) {
        {
            let mut life = self.life.lock();
            if life.closing {
                return self.mailbox.answer(ticket, Err(Error::Closed));
            }
            life.repairs.push_back(Repair { ticket, cancel: self.mailbox.cancel_of(ticket) });
            if life.repairs.len() > 1 {
                return;
            }
        }
        let this = Arc::clone(self);
        let started =
            thread::Builder::new().name("storage-repair".into()).spawn(move || this.repair_in_turn());
        if let Err(error) = started.at("start a thread for the repair of", &self.directory) {
            self.end_repair(Err(error));
        }
    }

    /// Runs repairs until none are left.
    fn repair_in_turn(self: &Arc<Self>) {
        loop {
            let cancel = self.life.lock().repairs.front().map(|repair| repair.cancel.clone());
            let Some(cancel) = cancel else { return };
            let report = guarded(|| cancel.scope(|| self.repair_alone()));
            if !self.end_repair(report) {
                return;
            }
        }
    }

    /// Ends the first repair and, if it was the last, starts the calls that waited. Returns whether there is another repair.
    fn end_repair(self: &Arc<Self>, report: Result<Answer>) -> bool {
        let ticket = self.life.lock().repairs.front().map(|repair| repair.ticket);
        if let Some(ticket) = ticket {
            self.mailbox.answer(ticket, report);
        }
        let (jobs, next) = {
            let mut life = self.life.lock();
            life.repairs.pop_front();
            if !life.repairs.is_empty() {
                return true;
            }
            let Later { jobs, writes } = std::mem::take(&mut life.later);
            life.pending += jobs.len() + writes.len();
            let mut next: Vec<Next> = writes.into_iter().map(|request| life.queue(request)).collect();
            next.push(life.end_if_idle());
            (jobs, next)
        };
        next.into_iter().for_each(|next| self.go_on(next));
        jobs.into_iter().for_each(run_blocking);
        false
    }

    fn repair_alone(&self) -> Result<Answer> {
        let wait = self.wait();
        let engine = {
            let mut life = self.life.lock();
            while life.pending > 0 {
                cancel::check()?;
                if Instant::now() >= wait.deadline {
                    return Err(Error::LockTimeout {
                        path: self.directory.clone(),
                        waited_ms: wait.timeout_ms(),
                        holder: Some(Holder::this_process()),
                    });
                }
                self.idle.wait_for(&mut life, PAUSE);
            }
            std::mem::take(&mut life.engine)
        };
        drop(engine);
        check_directory(&self.base, &self.directory)?;
        let report = engine::repair_under(&self.base, &self.directory, wait)?;
        self.base.repair_record(&self.directory, wait)?;
        Ok(Answer::json(repair_report(&report)))
    }

    /// Ends the instance: refuses further calls, waits for those in progress and brings the JSON files up to date. Closing
    /// twice is harmless.
    pub fn close(self: &Arc<Self>, ticket: u32) {
        let next = {
            let mut life = self.life.lock();
            life.closing = true;
            life.closers.push(ticket);
            life.end_if_idle()
        };
        self.go_on(next);
    }

    fn finish(&self) -> Result<()> {
        let engine = std::mem::take(&mut self.life.lock().engine);
        let Engine::Open(Opened { database, .. }) = &engine else {
            // The instance was never used: there is nothing to bring up to date.
            return Ok(());
        };
        let result = database.checkpoint(self.wait());
        self.mailbox.warn(database.take_warnings());
        result
    }
}

/// Turns a panic into an error, since no panic may cross into JavaScript.
pub fn guarded<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or_else(|_| {
        Err(Error::InvalidArgument("the call panicked; this is a bug of the package".into()))
    })
}
