//! Power losses all over the record of the writers, and another one while the database is checked after each of them.

use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::Path;
use std::process;

use crate::check::{Demand, are_allowed, check, is_led_to};
use crate::device::{DEVICE, Device};
use crate::guest::{MOUNTED, Settings, busybox, flush_early};
use crate::log::Entry;
use crate::marks::SECTOR;
use crate::model::{Documents, Life};
use crate::states::{Disk, Lost};
use crate::writer::Outcome;

/// How often power is lost again in the check of each state.
const AGAIN: u64 = 2;
/// After so many failures, no more states are looked at.
const HOPELESS: u64 = 10;
const IMAGE: &str = "/tmp/disk";
const LOG: &str = "/tmp/log";
/// In the place of the system's boot id: each check finds another one, as after a real power loss.
const BOOT: &str = "/tmp/boot";

/// Counts of what was checked.
#[derive(Default)]
struct Counts {
    states: u64,
    again: u64,
    interrupted: u64,
    torn: u64,
    unmountable: u64,
    failed: u64,
}

struct Examination<'a> {
    settings: &'a Settings,
    counts: Counts,
}

/// Checks the states of the disk after power losses.
pub fn check_states(settings: &Settings) -> Outcome<()> {
    // What nobody syncs reaches the disk early here too.
    flush_early()?;
    File::create(BOOT)?;
    busybox(&["mount", "-o", "bind", BOOT, "/proc/sys/kernel/random/boot_id"])?;
    let lives: Vec<Life> = (0..settings.writers).map(|writer| settings.life(writer)).collect();
    let mut examination = Examination { settings, counts: Counts::default() };
    let disk = Disk::read(&File::open(&settings.image)?, settings.size, settings.writers)?;
    let requests = each_state(&settings.disk, disk, settings.states, settings.seed << 32, |lost| {
        examination.examine(&lives, lost)?;
        Ok(examination.counts.failed < HOPELESS)
    })?;
    let Counts { states, again, interrupted, torn, unmountable, failed } = examination.counts;
    println!(
        "#checked {states} states after {requests} requests and {again} after another power loss, {interrupted} \
         in migrations and restores, {torn} with torn blocks, {unmountable} of these refused by the file system; {failed} failed"
    );
    Ok(())
}

/// Loses power at `count` places all over a record, and shows each state of the disk to `look` until that returns false.
/// Returns the number of requests in the record.
fn each_state(
    log: &str,
    mut disk: Disk,
    count: u64,
    seed: u64,
    mut look: impl FnMut(&Lost) -> Outcome<bool>,
) -> Outcome<usize> {
    let weights = weights(log, disk.size)?;
    let total: u64 = weights.iter().sum();
    let mut log = BufReader::with_capacity(1 << 20, File::open(log)?);
    let mut passed = 0;
    for weight in &weights {
        let Some(entry) = Entry::read(&mut log)? else { break };
        disk.run(entry);
        let due = |passed: u64| count * passed / total;
        for number in due(passed)..due(passed + weight) {
            let Some(lost) = disk.lose_power(seed + number) else { continue };
            if !look(&lost)? {
                return Ok(weights.len());
            }
        }
        passed += weight;
    }
    Ok(weights.len())
}

/// Returns how often the power is to be lost after each request, relatively: more often where the cache holds more, and until
/// the first mark, which says that the database is open.
fn weights(log: &str, size: u64) -> Outcome<Vec<u64>> {
    let mut log = BufReader::new(File::open(log)?);
    let (mut weights, mut cached, mut marked) = (Vec::new(), 0, false);
    while let Some(entry) = Entry::read(&mut log)? {
        match entry {
            Entry::Flush => cached = 0,
            Entry::Write { offset, .. } if offset >= size => marked = true,
            Entry::Write { durable, .. } => cached += u64::from(!durable),
        }
        weights.push((1 + cached.min(7)) * if marked { 1 } else { 3 });
    }
    Ok(weights)
}

impl Examination<'_> {
    /// Checks a state, and states after another power loss meanwhile.
    fn examine(&mut self, lives: &[Life], lost: &Lost) -> Outcome<()> {
        self.counts.states += 1;
        let acknowledged = lost.marks[0].saturating_sub(1) as usize;
        let allows = |found: &Documents| are_allowed(found, lives, lost);
        let backup = lives[0].backup(acknowledged).filter(|_| lives.len() == 1);
        let demand = Demand { allows: &allows, backup };
        if !self.look(lost, LOG, &demand)? {
            return Ok(());
        }
        each_state(LOG, Disk::with(lost, self.settings.size), AGAIN, lost.seed << 8, |again| {
            self.counts.again += 1;
            let allows = |found: &Documents| is_led_to(found, &again.marks, &demand);
            self.look(again, "/dev/null", &Demand { allows: &allows, backup })?;
            Ok(true)
        })?;
        Ok(())
    }

    /// Mounts a state and checks the database on it; records in `log` what that does to the disk. Returns whether all is
    /// well with both.
    fn look(&mut self, lost: &Lost, log: &str, demand: &Demand<'_>) -> Outcome<bool> {
        let settings = self.settings;
        self.counts.torn += u64::from(lost.torn);
        store(lost, IMAGE, settings.size)?;
        let device = Device::start(IMAGE, log)?;
        if busybox(&["mount", "-t", &settings.file_system, "-o", &settings.mount_options, DEVICE, MOUNTED])
            .is_err()
        {
            // File systems need not survive a disk that tears their blocks.
            self.counts.unmountable += u64::from(lost.torn);
            if !lost.torn {
                self.fail("cannot be mounted", lost)?;
            }
            device.stop()?;
            return Ok(false);
        }
        let base = settings.base();
        fs::create_dir_all(&base)?;
        let is_there = |name: &str| Path::new(&base).join("data").join(name).join("intent.json").exists();
        self.counts.interrupted += u64::from(is_there(".migration") || is_there(".restore"));
        fs::write(BOOT, format!("{:x}", self.counts.states + self.counts.again))?;
        let checked = in_child(|| check(settings, demand))?;
        busybox(&["umount", MOUNTED])?;
        device.stop()?;
        if let Err(problem) = &checked {
            self.fail(problem, lost)?;
        }
        Ok(checked.is_ok())
    }

    fn fail(&mut self, problem: &str, lost: &Lost) -> Outcome<()> {
        println!("#failed {}; {}", problem.replace('\n', " | "), lost.origin);
        self.counts.failed += 1;
        if self.counts.failed == 1 {
            store(lost, &self.settings.failed, self.settings.size)?;
        }
        Ok(())
    }
}

/// Works in a process of its own, which reads the boot id anew.
fn in_child(work: impl FnOnce() -> Result<(), String>) -> Outcome<Result<(), String>> {
    const PROBLEM: &str = "/tmp/problem";
    fs::write(PROBLEM, "the check died")?;
    // SAFETY: this process has no other thread.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error().into()),
        0 => {
            let problem = work().err();
            let told = problem.as_ref().map(|problem| fs::write(PROBLEM, problem));
            process::exit(i32::from(told.is_some()))
        }
        child => {
            let mut status = 0;
            // SAFETY: the status is a place that may be written to.
            if unsafe { libc::waitpid(child, &raw mut status, 0) } != child {
                return Err(io::Error::last_os_error().into());
            }
            Ok(if status == 0 { Ok(()) } else { Err(fs::read_to_string(PROBLEM)?) })
        }
    }
}

/// Makes a state, and room for marks, the content of a file or a disk.
fn store(lost: &Lost, path: &str, size: u64) -> Outcome<()> {
    let file = File::options().create(true).write(true).truncate(true).open(path)?;
    if file.metadata()?.is_file() {
        file.set_len(size + 2 * SECTOR as u64)?;
    }
    lost.store(&file)?;
    Ok(file.sync_all()?)
}
