//! A block device of the virtual machine itself that is recorded. Another process serves it: while a page fault of this one
//! waits for the device, no thread here can map memory.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::disk::{ABILITIES, answer_all};
use crate::marks::SECTOR;

pub const DEVICE: &str = "/dev/nbd0";
const BLOCKS: &str = "/sys/block/nbd0/size";

// Of linux/nbd.h.
const SET_SOCKET: i32 = 0xab00;
const SET_BLOCK_SIZE: i32 = 0xab01;
const SERVE: i32 = 0xab03;
const CLEAR_SOCKET: i32 = 0xab04;
const SET_BLOCKS: i32 = 0xab07;
const DISCONNECT: i32 = 0xab08;
const SET_FLAGS: i32 = 0xab0a;

/// [`DEVICE`], while it is there.
pub struct Device {
    server: Child,
}

impl Device {
    /// Makes `image` the content of the device, and records in `log` what is done to it.
    pub fn start(image: &str, log: &str) -> io::Result<Device> {
        let mut server =
            Command::new("/power-loss").args(["serve", image, log]).stdout(Stdio::null()).spawn()?;
        while fs::read_to_string(BLOCKS)?.trim() == "0" {
            if server.try_wait()?.is_some() {
                return Err(io::Error::other("the device cannot be served"));
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(Device { server })
    }

    /// Ends the recording. Nothing uses the device any more.
    pub fn stop(mut self) -> io::Result<()> {
        control(&File::open(DEVICE)?, DISCONNECT, 0)?;
        match self.server.wait()?.success() {
            true => Ok(()),
            false => Err(io::Error::other("the device was not served to its end")),
        }
    }
}

/// Serves the device until it is disconnected.
pub fn serve(image: &Path, log: &Path) -> io::Result<()> {
    let device = File::options().read(true).write(true).open(DEVICE)?;
    let (ours, kernels) = UnixStream::pair()?;
    control(&device, SET_BLOCK_SIZE, SECTOR as u64)?;
    control(&device, SET_BLOCKS, fs::metadata(image)?.len() / SECTOR as u64)?;
    control(&device, SET_FLAGS, ABILITIES.into())?;
    control(&device, SET_SOCKET, kernels.as_raw_fd() as u64)?;
    let client = thread::spawn(move || {
        control(&device, SERVE, 0)?;
        drop(kernels);
        control(&device, CLEAR_SOCKET, 0)
    });
    answer_all(image, log, ours, false)?;
    client.join().map_err(|_| io::Error::other("a thread panicked"))?
}

fn control(device: &File, request: i32, argument: u64) -> io::Result<()> {
    // SAFETY: the device is open, and none of these requests refers to memory.
    match unsafe { libc::ioctl(device.as_raw_fd(), request, argument) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
