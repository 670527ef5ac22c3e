//! A block device of the virtual machine itself that is recorded.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::thread::{self, JoinHandle};

use crate::disk::{ABILITIES, answer_all};
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
    server: JoinHandle<io::Result<()>>,
    client: JoinHandle<io::Result<()>>,
}

impl Device {
    /// Makes `image` the content of the device, and records in `log` what is done to it.
    pub fn start(image: &str, log: &str) -> io::Result<Device> {
        let device = File::options().read(true).write(true).open(DEVICE)?;
        let image = File::options().read(true).write(true).open(image)?;
        let mut log = BufWriter::new(File::create(log)?);
        let (ours, kernels) = UnixStream::pair()?;
        let blocks = image.metadata()?.len() / SECTOR as u64;
        control(&device, SET_BLOCK_SIZE, SECTOR as u64)?;
        control(&device, SET_BLOCKS, blocks)?;
        control(&device, SET_FLAGS, ABILITIES.into())?;
        control(&device, SET_SOCKET, kernels.as_raw_fd() as u64)?;
        let server = thread::spawn(move || {
            let reader = BufReader::with_capacity(1 << 20, ours.try_clone()?);
            answer_all(&image, &mut log, reader, BufWriter::new(ours))?;
            // A zero ends a log.
            log.write_all(&[0])?;
            log.flush()
        });
        let served = device.try_clone()?;
        let client = thread::spawn(move || {
            let _socket = kernels;
            control(&served, SERVE, 0)
        });
        Ok(Device { device, server, client })
    }

    /// Ends the recording. Nothing uses the device any more.
    pub fn stop(self) -> io::Result<()> {
        let died = |_| io::Error::other("a thread panicked");
        control(&self.device, DISCONNECT, 0)?;
        self.client.join().map_err(died)??;
        control(&self.device, CLEAR_SOCKET, 0)?;
        self.server.join().map_err(died)?
    }
}

fn control(device: &File, request: i32, argument: u64) -> io::Result<()> {
    // SAFETY: the device is open, and none of these requests refers to memory.
    match unsafe { libc::ioctl(device.as_raw_fd(), request, argument) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
