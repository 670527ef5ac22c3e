//! What each process does: it is this same test program, started with other arguments.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use octoprompt_storage::engine::document::DocumentId;
use octoprompt_storage::engine::fs::OsFs;
use octoprompt_storage::engine::{Database, DatabaseOptions, Durability, ReadOptions, Wait, json};

use crate::support::spec;

const DIRECTORY: &str = "PROCESS_DIRECTORY";
const NUMBER: &str = "PROCESS_NUMBER";

/// Documents that all processes read and write.
pub const REGISTERS: u64 = 6;

/// Nanoseconds of a clock that all processes of the machine share.
#[cfg(unix)]
pub fn now() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Correct as long as nobody sets the clock meanwhile.
#[cfg(not(unix))]
pub fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.expect("a clock that is set").as_nanos() as u64
}

/// Starts a process that works on the database until it is killed. Even numbers write, odd numbers read.
pub fn start(directory: &std::path::Path, number: u64) -> Child {
    Command::new(std::env::current_exe().expect("a program"))
        .args(["--exact", "worker::reads_and_writes_when_started_as_a_child", "--nocapture"])
        .env(DIRECTORY, directory)
        .env(NUMBER, number.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a process")
}

/// The text of a register.
pub fn text(register: u64, value: u64) -> Vec<u8> {
    let content = "c".repeat(value as usize % 900);
    format!("{{\"id\":{register},\"name\":\"{value}\",\"content\":\"{content}\"}}").into_bytes()
}

pub fn value_of(text: &[u8]) -> Option<u64> {
    let name = json::unescape_lossy(json::get(text, "name")?).into_owned();
    let (value, register) = (name.parse().ok()?, json::parse_number(json::get(text, "id")?)? as u64);
    (text == self::text(register, value)).then_some(value)
}

pub fn open(directory: &std::path::Path) -> Arc<Database> {
    let database = Database::open(Arc::new(OsFs), directory, DatabaseOptions::default());
    database.expect("the database opens")
}

#[test]
fn reads_and_writes_when_started_as_a_child() {
    let (Ok(directory), Ok(number)) = (std::env::var(DIRECTORY), std::env::var(NUMBER)) else { return };
    let number: u64 = number.parse().expect("a number");
    let database = open(&PathBuf::from(directory));
    let spec = spec("items.json");
    let mut random = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut draw = |below: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random >> 20) % below
    };
    let say = |line: String| {
        // Each line is written whole in one call, because the process may be killed between any two calls.
        let _ = std::io::stdout().lock().write_all(line.as_bytes());
        let _ = std::io::stdout().lock().flush();
    };
    // This ends whatever the test harness has written on the line.
    say("\n".to_owned());
    for count in 1.. {
        let register = 1 + draw(REGISTERS);
        if draw(400) == 0 {
            let _ = database.checkpoint(Wait::at_most(Duration::from_millis(200)));
        }
        if number % 2 == 1 || draw(3) == 0 {
            let options = ReadOptions { cached: draw(2) == 0, lock_timeout: Duration::from_secs(30) };
            let began = now();
            let found = database.get(&spec, &DocumentId::from(register), options).expect("readable");
            let ended = now();
            let value = found.map_or(Some(0), |found| value_of(&found.text)).expect("a whole value");
            say(format!("#read {register} {value} {began} {ended}\n"));
            continue;
        }
        let value = number * 1_000_000 + count;
        let durability = if draw(4) == 0 { Durability::Full } else { Durability::Os };
        let (spec, text) = (Arc::clone(&spec), text(register, value));
        let began = now();
        say(format!("#write {register} {value} {began}\n"));
        database.write(durability, move |t| t.put(&spec, register.into(), text)).expect("writable");
        say(format!("#wrote {register} {value} {}\n", now()));
    }
}
