//! Memory for many bytes.

use std::io;
use std::ops::{Deref, DerefMut};

use memmap2::MmapMut;

/// From this size on, memory is requested from the system. If `malloc` supplied it, glibc would then serve all blocks up to
/// that size from heaps that never shrink, one for each of many threads.
const LONG: usize = 1 << 20;

/// A buffer of fixed length, zero at first. A long one is returned to the system when it is dropped, and is backed by huge
/// pages where the system has them, which halves the cost of touching it for the first time.
pub struct Buffer(Room);

enum Room {
    Heap(Vec<u8>),
    System(MmapMut),
}

impl Buffer {
    pub fn new(len: usize) -> io::Result<Buffer> {
        if len < LONG {
            return Ok(Buffer(Room::Heap(vec![0; len])));
        }
        let room = MmapMut::map_anon(len)?;
        // Without huge pages it is only slower.
        #[cfg(target_os = "linux")]
        let _ = room.advise(memmap2::Advice::HugePage);
        Ok(Buffer(Room::System(room)))
    }
}

impl Default for Buffer {
    fn default() -> Buffer {
        Buffer(Room::Heap(Vec::new()))
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Room::Heap(bytes) => bytes,
            Room::System(bytes) => bytes,
        }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        match &mut self.0 {
            Room::Heap(bytes) => bytes,
            Room::System(bytes) => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_zero_until_they_are_written() {
        for len in [0, 1, LONG - 1, LONG, 5 * LONG + 3] {
            let mut buffer = Buffer::new(len).expect("there is room");
            assert_eq!(buffer.len(), len);
            assert!(buffer.iter().all(|&byte| byte == 0));
            buffer.fill(7);
            assert!(buffer.iter().all(|&byte| byte == 7));
        }
    }
}
