//! The record of what a disk was asked to do, in the order in which it did it.

use std::io::{self, Read, Write};

const WRITE: u8 = 1;
const DURABLE_WRITE: u8 = 2;
const FLUSH: u8 = 3;

pub enum Entry {
    /// `durable` if it was asked to be on the medium when it was answered (FUA).
    Write { offset: u64, bytes: Vec<u8>, durable: bool },
    /// Everything that was answered before is on the medium.
    Flush,
}

impl Entry {
    /// Ends a log.
    pub const END: u8 = 0;

    pub fn write(&self, log: &mut impl Write) -> io::Result<()> {
        match self {
            Entry::Flush => log.write_all(&[FLUSH]),
            Entry::Write { offset, bytes, durable } => {
                log.write_all(&[if *durable { DURABLE_WRITE } else { WRITE }])?;
                log.write_all(&offset.to_le_bytes())?;
                log.write_all(&(bytes.len() as u32).to_le_bytes())?;
                log.write_all(bytes)
            }
        }
    }

    /// Returns `None` at the end of the log.
    pub fn read(log: &mut impl Read) -> io::Result<Option<Entry>> {
        let [kind] = read_array(log)?;
        match kind {
            FLUSH => Ok(Some(Entry::Flush)),
            WRITE | DURABLE_WRITE => {
                let offset = u64::from_le_bytes(read_array(log)?);
                let mut bytes = vec![0; u32::from_le_bytes(read_array(log)?) as usize];
                log.read_exact(&mut bytes)?;
                Ok(Some(Entry::Write { offset, bytes, durable: kind == DURABLE_WRITE }))
            }
            _ => Ok(None),
        }
    }
}

pub fn read_array<const N: usize>(from: &mut impl Read) -> io::Result<[u8; N]> {
    let mut array = [0; N];
    from.read_exact(&mut array)?;
    Ok(array)
}
