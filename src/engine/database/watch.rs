//! Noticing what other processes commit while nobody calls: one thread for all databases of the process, alive only while
//! somebody listens to one of them.
//!
//! Every [`INTERVAL`] it compares two numbers in memory for each database: the tip, which every process maps, with what is
//! known. That takes well under a microsecond; only a difference costs more.

use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;

use super::Database;

/// How long a commit of another process may stay unnoticed.
const INTERVAL: Duration = Duration::from_millis(20);

#[derive(Default)]
struct Watched {
    databases: Vec<Weak<Database>>,
    running: bool,
}

static WATCHED: Mutex<Watched> = Mutex::new(Watched { databases: Vec::new(), running: false });

impl Database {
    /// Lets the thread look after this database.
    pub(super) fn watch(&self) {
        if self.is_read_only() {
            // Nothing is followed in a read-only directory.
            return;
        }
        let mut watched = WATCHED.lock();
        if !watched.databases.iter().any(|known| Weak::ptr_eq(known, &self.this)) {
            watched.databases.push(self.this.clone());
        }
        if !watched.running {
            // If no thread can be started, the next call notices what others commit, and the next listener tries again.
            watched.running = thread::Builder::new().name("storage-watch".into()).spawn(run).is_ok();
        }
    }

    fn look(&self) {
        let behind = |tip: &super::Tip| tip.seq() > self.state.read().position.seq;
        if !self.tip.as_ref().is_some_and(behind) {
            return;
        }
        // Whoever has the mutex catches up itself; otherwise this is tried again at the next look.
        let Some(mut writer) = self.writer.try_lock() else { return };
        self.feed.follow(self.catch_up(&mut writer), self.options.lock_timeout);
    }
}

fn run() {
    loop {
        thread::sleep(INTERVAL);
        let databases: Vec<Arc<Database>> = {
            let mut watched = WATCHED.lock();
            let listened =
                |database: &Weak<Database>| database.upgrade().filter(|database| !database.feed.is_unheard());
            let databases: Vec<_> = watched.databases.iter().filter_map(listened).collect();
            watched.databases = databases.iter().map(Arc::downgrade).collect();
            if databases.is_empty() {
                watched.running = false;
                return;
            }
            databases
        };
        databases.iter().for_each(|database| database.look());
    }
}
