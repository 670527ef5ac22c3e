//! What happens inside the virtual machine.

use std::env;
use std::fs::{self, File};
use std::io::BufReader;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use octoprompt_storage::engine::Mutant;

use crate::check::check;
use crate::log::Entry;
use crate::model::Life;
use crate::random::Random;
use crate::states::{Disk, Lost};
use crate::writer::{self, Outcome};

const MOUNTED: &str = "/mnt";
/// After so many failures, no more states are looked at.
const HOPELESS: u64 = 10;
const BUSYBOX: &str = "/bin/busybox";

/// What the kernel's command line says, as the environment.
pub struct Settings {
    /// The disk; at checking, the record of it.
    pub disk: String,
    /// What the disk was at first.
    image: String,
    /// The bytes of the disk that are the file system's.
    pub size: u64,
    file_system: String,
    mount_options: String,
    pub seed: u64,
    operations: usize,
    writers: usize,
    mutant: String,
    states: u64,
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

    pub fn lies(&self) -> bool {
        self.mutant == Settings::LIES
    }

    pub fn mutant(&self) -> Outcome<Option<Mutant>> {
        writer::mutant(&self.mutant)
    }

    pub fn base(&self) -> String {
        format!("{MOUNTED}/base")
    }
}

fn busybox(args: &[&str]) -> Outcome<()> {
    match Command::new(BUSYBOX).args(args).status()?.success() {
        true => Ok(()),
        false => Err(format!("{args:?} failed").into()),
    }
}

/// Runs the writers on the disk, which is recorded meanwhile. The caller then cuts the power: nothing is unmounted.
pub fn record(settings: &Settings) -> Outcome<()> {
    busybox(&["mount", "-t", &settings.file_system, "-o", &settings.mount_options, &settings.disk, MOUNTED])?;
    // What nobody syncs reaches the disk early, so that some of it is there when the power is lost.
    fs::write("/proc/sys/vm/dirty_writeback_centisecs", "5")?;
    fs::write("/proc/sys/vm/dirty_expire_centisecs", "20")?;
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
        let end = Instant::now() + Duration::from_millis(200 + random.below(1000));
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

/// Counts of what was checked.
#[derive(Default)]
struct Counts {
    states: u64,
    torn: u64,
    unmountable: u64,
    failed: u64,
}

/// Loses power at places all over the record, and shows each state of the disk to `look` until that returns false. Returns
/// the number of requests in the record.
fn each_state(settings: &Settings, mut look: impl FnMut(&Lost, &Disk) -> Outcome<bool>) -> Outcome<usize> {
    let mut disk = Disk::new(&File::open(&settings.image)?, settings.size, settings.writers)?;
    let weights = weights(&settings.disk, settings.size)?;
    let total: u64 = weights.iter().sum();
    let mut log = BufReader::with_capacity(1 << 20, File::open(&settings.disk)?);
    let mut passed = 0;
    for weight in &weights {
        let Some(entry) = Entry::read(&mut log)? else { break };
        disk.run(entry);
        let due = |passed: u64| settings.states * passed / total;
        for number in due(passed)..due(passed + weight) {
            let Some(lost) = disk.lose_power(settings.seed << 32 | number) else { continue };
            if !look(&lost, &disk)? {
                return Ok(weights.len());
            }
        }
        passed += weight;
    }
    Ok(weights.len())
}

/// Checks the states of the disk after power losses.
pub fn check_states(settings: &Settings) -> Outcome<()> {
    let lives: Vec<Life> = (0..settings.writers).map(|writer| settings.life(writer)).collect();
    let mut counts = Counts::default();
    let requests = each_state(settings, |lost, disk| {
        examine(settings, lost, disk, &lives, &mut counts)?;
        Ok(counts.failed < HOPELESS)
    })?;
    let Counts { states, torn, unmountable, failed } = counts;
    println!(
        "#checked {states} states after {requests} requests, {torn} with torn blocks, {unmountable} of these refused by the file system; {failed} failed"
    );
    Ok(())
}

/// Writes the state that `seed` determines to a file.
pub fn keep(settings: &Settings, seed: u64, file: &str) -> Outcome<()> {
    let mut found = Err(format!("there is no state {seed}").into());
    each_state(settings, |lost, _| {
        if lost.seed == seed {
            found = store(settings, lost, file);
        }
        Ok(lost.seed != seed)
    })?;
    found
}

fn store(settings: &Settings, lost: &Lost, file: &str) -> Outcome<()> {
    let _ = fs::remove_file(file);
    let image = File::create_new(file)?;
    image.set_len(settings.size)?;
    Ok(lost.store(&image)?)
}

/// Returns how often the power is to be lost after each request, relatively: more often where the cache holds more.
fn weights(log: &str, size: u64) -> Outcome<Vec<u64>> {
    let mut log = BufReader::new(File::open(log)?);
    let (mut weights, mut cached) = (Vec::new(), 0);
    while let Some(entry) = Entry::read(&mut log)? {
        match entry {
            Entry::Flush => cached = 0,
            Entry::Write { offset, durable, .. } => cached += u64::from(offset < size && !durable),
        }
        weights.push(1 + cached.min(7));
    }
    Ok(weights)
}

/// Mounts a state of the disk and checks the database on it.
fn examine(
    settings: &Settings,
    lost: &Lost,
    disk: &Disk,
    lives: &[Life],
    counts: &mut Counts,
) -> Outcome<()> {
    const IMAGE: &str = "/tmp/disk";
    store(settings, lost, IMAGE)?;
    counts.states += 1;
    counts.torn += u64::from(lost.torn);
    let options = format!("loop,{}", settings.mount_options);
    if busybox(&["mount", "-t", &settings.file_system, "-o", &options, IMAGE, MOUNTED]).is_err() {
        // File systems need not survive a disk that tears their blocks.
        counts.unmountable += u64::from(lost.torn);
        if !lost.torn {
            counts.failed += 1;
            println!("#failed cannot be mounted; {}", lost.origin);
        }
        return Ok(());
    }
    fs::create_dir_all(settings.base())?;
    if let Err(problem) = check(Path::new(&settings.base()), lives, &disk.marks) {
        counts.failed += 1;
        println!("#failed {}; {}", problem.replace('\n', " | "), lost.origin);
    }
    busybox(&["umount", "-d", MOUNTED])
}
