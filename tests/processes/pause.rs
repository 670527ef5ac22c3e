//! Pausing a process: it keeps its locks and does nothing.

use std::process::Child;

#[cfg(unix)]
use rustix::process::{Pid, Signal, kill_process};

#[cfg(unix)]
pub fn pause(child: &Child) {
    send(child, Signal::STOP);
}

#[cfg(unix)]
pub fn resume(child: &Child) {
    send(child, Signal::CONT);
}

#[cfg(unix)]
fn send(child: &Child, signal: Signal) {
    if let Some(pid) = Pid::from_raw(child.id() as i32) {
        let _ = kill_process(pid, signal);
    }
}

/// Other systems have no signal for this, so there the process continues.
#[cfg(not(unix))]
pub fn pause(_: &Child) {}

#[cfg(not(unix))]
pub fn resume(_: &Child) {}
