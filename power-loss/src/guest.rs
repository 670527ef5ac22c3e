//! What happens inside the virtual machine.

use std::env;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use octoprompt_storage::engine::{Durability, Mutant};

use crate::model::Life;
use crate::random::Random;
use crate::writer::{self, Outcome};

pub const MOUNTED: &str = "/mnt";
const BUSYBOX: &str = "/bin/busybox";

/// What the kernel's command line says, as the environment.
pub struct Settings {
    /// The disk; at checking, the record of it.
    pub disk: String,
    /// What the disk was at first.
    pub image: String,
    /// The disk that is to hold the first state that fails a check.
    pub failed: String,
    /// The bytes of the disk that are the file system's.
    pub size: u64,
    pub file_system: String,
    pub mount_options: String,
    pub seed: u64,
    operations: usize,
    pub writers: usize,
    mutant: String,
    pub states: u64,
}

impl Settings {
    /// The mutant that does not sync what it acknowledges as durable.
    pub const LIES: &str = "AcknowledgeUnsynced";

    pub fn read() -> Outcome<Settings> {
        let text = |name: &str| env::var(format!("POWER_{name}")).unwrap_or_default();
        let number = |name: &str| -> Outcome<u64> {
            text(name).parse().map_err(|_| format!("POWER_{name} is no number").into())
        };
        Ok(Settings {
            disk: text("DISK"),
            image: text("IMAGE"),
            failed: text("FAILED"),
            size: number("SIZE")?,
            file_system: text("FS"),
            mount_options: text("OPTIONS"),
            seed: number("SEED")?,
            operations: number("OPERATIONS")? as usize,
            writers: number("WRITERS")? as usize,
            mutant: text("MUTANT"),
            states: number("STATES")?,
        })
    }

    pub fn life(&self, writer: usize) -> Life {
        Life::new(self.seed, writer, self.operations, self.writers == 1)
    }

    /// Returns how to write what is to be acknowledged as durable, or not.
    pub fn durability(&self, durable: bool) -> Durability {
        if durable && self.mutant != Settings::LIES { Durability::Full } else { Durability::Os }
    }

    pub fn mutant(&self) -> Outcome<Option<Mutant>> {
        writer::mutant(&self.mutant)
    }

    pub fn base(&self) -> String {
        format!("{MOUNTED}/base")
    }
}

pub fn busybox(args: &[&str]) -> Outcome<()> {
    match Command::new(BUSYBOX).args(args).status()?.success() {
        true => Ok(()),
        false => Err(format!("{args:?} failed").into()),
    }
}

/// Lets what nobody syncs reach the disk early, so that some of it is there when the power is lost.
pub fn flush_early() -> Outcome<()> {
    fs::write("/proc/sys/vm/dirty_writeback_centisecs", "5")?;
    Ok(fs::write("/proc/sys/vm/dirty_expire_centisecs", "20")?)
}

/// Runs the writers on the disk, which is recorded meanwhile. The caller then cuts the power: nothing is unmounted.
pub fn record(settings: &Settings) -> Outcome<()> {
    busybox(&["mount", "-t", &settings.file_system, "-o", &settings.mount_options, &settings.disk, MOUNTED])?;
    flush_early()?;
    fs::create_dir(settings.base())?;
    File::open(MOUNTED)?.sync_all()?;
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| disturb(settings.seed, &ended));
        let live =
            |number| scope.spawn(move || live(settings.seed, number).map_err(|error| error.to_string()));
        let lives: Vec<_> = (0..settings.writers).map(live).collect();
        let ends: Vec<_> = lives.into_iter().map(|life| life.join()).collect();
        ended.store(true, Ordering::Relaxed);
        let mut kills = 0;
        for end in ends {
            kills += end.map_err(|_| "a thread panicked")??;
        }
        println!("#recorded {kills} kills");
        Ok(())
    })
}

/// Starts a writer, and starts it again whenever it was killed, until it has done everything. Returns how often it was
/// killed.
fn live(seed: u64, number: usize) -> Outcome<u64> {
    let mut random = Random::new(seed.wrapping_add(1 + number as u64));
    let mut kills = 0;
    loop {
        let mut child = Command::new("/power-loss").args(["write", &number.to_string()]).spawn()?;
        let end = Instant::now() + Duration::from_millis(300 + random.below(2000));
        let ended = loop {
            match child.try_wait()? {
                None if Instant::now() < end => thread::sleep(Duration::from_millis(5)),
                status => break status,
            }
        };
        match ended {
            Some(status) if status.success() => return Ok(kills),
            Some(status) => return Err(format!("a writer ended with {status}").into()),
            None => {
                child.kill()?;
                // It may have ended just before.
                if child.wait()?.success() {
                    return Ok(kills);
                }
                kills += 1;
            }
        }
    }
}

/// Writes and syncs other files of the file system, so that it commits changes of the database that nobody has synced.
fn disturb(seed: u64, ended: &AtomicBool) {
    let mut random = Random::new(seed);
    while !ended.load(Ordering::Relaxed) {
        let path = format!("{MOUNTED}/other-{}", random.below(4));
        if random.percent(20) {
            let _ = fs::remove_file(&path);
        }
        if let Ok(file) = File::options().create(true).write(true).truncate(false).open(&path) {
            let bytes = vec![random.next() as u8; 1 + random.below(20_000) as usize];
            let _ = file.write_all_at(&bytes, random.below(100_000));
            let _ = if random.percent(30) { file.sync_all() } else { Ok(()) };
        }
        thread::sleep(Duration::from_millis(random.below(40)));
    }
}
