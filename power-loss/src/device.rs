//! A block device of the virtual machine itself that is recorded.

use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::disk::ABILITIES;
use crate::marks::SECTOR;

pub const DEVICE: &str = "/dev/nbd0";

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
    device: File,
    /// A process of its own: while a page fault of this one waits for the device, no thread here can map memory.
    server: Child,
    client: JoinHandle<io::Result<()>>,
}

impl Device {
    /// Makes `image` the content of the device, and records in `log` what is done to it.
    pub fn start(image: &str, log: &str) -> io::Result<Device> {
        let device = File::options().read(true).write(true).open(DEVICE)?;
        let size = fs::metadata(image)?.len();
        let (servers, kernels) = UnixStream::pair()?;
        control(&device, SET_BLOCK_SIZE, SECTOR as u64)?;
        control(&device, SET_BLOCKS, size / SECTOR as u64)?;
        control(&device, SET_FLAGS, ABILITIES.into())?;
        control(&device, SET_SOCKET, kernels.as_raw_fd() as u64)?;
        let server = Command::new("/power-loss")
            .args(["serve", image, log])
            .stdin(OwnedFd::from(servers))
            .stdout(Stdio::null())
            .spawn()?;
        let served = device.try_clone()?;
        let client = thread::spawn(move || {
            let _socket = kernels;
            control(&served, SERVE, 0)
        });
        while (&device).seek(SeekFrom::End(0))? < size && !client.is_finished() {
            thread::sleep(Duration::from_millis(1));
        }
        Ok(Device { device, server, client })
    }

    /// Ends the recording. Nothing uses the device any more.
    pub fn stop(mut self) -> io::Result<()> {
        control(&self.device, DISCONNECT, 0)?;
        self.client.join().map_err(|_| io::Error::other("a thread panicked"))??;
        control(&self.device, CLEAR_SOCKET, 0)?;
        match self.server.wait()?.success() {
            true => Ok(()),
            false => Err(io::Error::other("the server of the device failed")),
        }
    }
}

fn control(device: &File, request: i32, argument: u64) -> io::Result<()> {
    // SAFETY: the device is open, and none of these requests refers to memory.
    match unsafe { libc::ioctl(device.as_raw_fd(), request, argument) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
