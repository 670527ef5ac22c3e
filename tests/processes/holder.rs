//! A process that holds the write lock and is paused, then dies.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use octoprompt_storage::engine::fs::OsFs;
use octoprompt_storage::engine::{Database, DatabaseOptions, Durability, Error};

use crate::pause::pause;
use crate::support::spec;
use crate::worker::open;

const DIRECTORY: &str = "HOLDER_DIRECTORY";

#[test]
fn holds_the_write_lock_when_started_as_a_child() {
    let Ok(directory) = std::env::var(DIRECTORY) else { return };
    let work = |_: &mut octoprompt_storage::engine::Transaction<'_>| -> Result<(), Error> {
        let _ = std::io::stdout().lock().write_all(b"#holding\n");
        loop {
            std::thread::park();
        }
    };
    open(directory.as_ref()).write(Durability::Full, work).expect("never answered");
}

#[test]
fn a_paused_lock_holder_is_named_and_a_dead_one_releases_the_lock() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let options = DatabaseOptions { lock_timeout: Duration::from_millis(200), ..DatabaseOptions::default() };
    let database = Database::open(Arc::new(OsFs), directory.path(), options).expect("the database opens");
    let mut child = Command::new(std::env::current_exe().expect("a program"))
        .args(["--exact", "holder::holds_the_write_lock_when_started_as_a_child", "--nocapture"])
        .env(DIRECTORY, directory.path())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a process");
    let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    assert!(lines.map_while(Result::ok).any(|line| line.contains("#holding")), "it never held the lock");
    pause(&child);
    let put = || {
        let spec = spec("items.json");
        database.write(Durability::Full, move |t| t.put(&spec, 1.into(), b"{\"id\":1}".to_vec()))
    };
    match put() {
        Err(error @ Error::LockTimeout { holder: Some(holder), .. }) => {
            assert_eq!((holder.pid, holder.stopped), (child.id(), cfg!(target_os = "linux")));
            assert_eq!(error.to_string().contains("which is stopped"), holder.stopped, "{error}");
        }
        other => panic!("{other:?}"),
    }
    child.kill().expect("killed");
    child.wait().expect("gone");
    put().expect("the lock went with its holder");
}
