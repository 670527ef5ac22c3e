//! Processes that open databases at the same time as others, while data waits to be put back.

use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use octoprompt_storage::engine::fs::Call;

use crate::holding::hold;
use crate::world::{Process, change, code, directory, machine};

#[test]
fn processes_that_waited_for_a_migration_that_died_all_open_the_database() {
    let fs = machine();
    let before = Process::start(&fs).see().expect("readable");
    let waiting = Arc::new(Barrier::new(3));
    let both_open = Arc::new(Barrier::new(2));
    let open = || {
        let mut process = Process::start(&fs);
        process.site.options.lock_timeout = Duration::from_secs(20);
        // It has found no intent, and opens the database after the migration has died.
        let opens = |call: &Call| matches!(call, Call::OpenLock { path } if path.ends_with("one/.storage/write.lock"));
        let waits = Arc::clone(&waiting);
        process.fs.before(opens, move || {
            waits.wait();
            waits.wait();
        });
        let looks =
            |call: &Call| matches!(call, Call::Metadata { path } if path.ends_with(".restore/intent.json"));
        let waits = Arc::clone(&both_open);
        process.fs.before(looks, || {});
        process.fs.before(looks, move || {
            waits.wait();
        });
        thread::spawn(move || code(process.site.open_under(&directory(0))).map(drop))
    };
    let openers = [open(), open()];
    waiting.wait();
    let mut migrating = Process::start(&fs);
    let hold = hold(&migrating).expect("held");
    let _copy = hold.copy(None).expect("copied");
    change(&mut migrating).expect("changed");
    migrating.fs.kill();
    waiting.wait();
    assert_eq!(openers.map(|opener| opener.join().expect("it ends")), [Ok(()), Ok(())]);
    assert_eq!(Process::start(&fs).see().expect("put back"), before);
}
