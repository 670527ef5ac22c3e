//! A disk that is a server for network block devices, and records every write and flush.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::FileExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use crate::log::{Entry, read_array};

const OPTION_MAGIC: u64 = 0x4948_4156_454f_5054;
const OPTION_REPLY: u64 = 0x0003_e889_0455_65a9;
const REQUEST: u32 = 0x2560_9513;
const REPLY: u32 = 0x6744_6698;
/// Options may follow each other, and no padding is wanted.
const HANDSHAKE: u16 = 1 | 2;
/// The disk has a cache that can be flushed, and can pass it by.
pub const ABILITIES: u16 = 1 | 4 | 8;
const EXPORT_NAME: u32 = 1;
const GO: u32 = 7;
const ACKNOWLEDGED: u32 = 1;
const INFORMATION: u32 = 3;
const UNSUPPORTED: u32 = 0x8000_0001;
const BY_THE_CACHE: u16 = 1;
const EINVAL: u32 = 22;

struct Request {
    kind: u16,
    flags: u16,
    handle: u64,
    offset: u64,
    len: u32,
    bytes: Vec<u8>,
}

impl Request {
    const READ: u16 = 0;
    const WRITE: u16 = 1;
    const DISCONNECT: u16 = 2;
    const FLUSH: u16 = 3;
}

/// Serves `image` to one client, until it leaves, and records what it does in `log`.
pub fn serve(image: &Path, log: &Path, socket: &Path) -> io::Result<()> {
    let (client, _) = UnixListener::bind(socket)?.accept()?;
    answer_all(image, log, client, true)
}

/// Serves one client, after a handshake if it expects one.
pub fn answer_all(image: &Path, log: &Path, client: UnixStream, handshake: bool) -> io::Result<()> {
    let image = File::options().read(true).write(true).open(image)?;
    let mut log = BufWriter::new(File::create(log)?);
    let mut reader = BufReader::with_capacity(1 << 20, client.try_clone()?);
    let mut client = BufWriter::new(client);
    if handshake {
        shake_hands(&mut reader, &mut client, image.metadata()?.len())?;
    }
    // A client that dies ends the recording like one that leaves.
    'serving: while let Ok(first) = read_request(&mut reader) {
        let mut requests = vec![first];
        while !reader.buffer().is_empty() {
            requests.push(read_request(&mut reader)?);
        }
        // Requests that wait at the same time may be done in any order. A flush covers least if it comes first.
        requests.sort_by_key(|request| request.kind != Request::FLUSH);
        for request in requests {
            if request.kind == Request::DISCONNECT {
                break 'serving;
            }
            answer(&image, &mut log, &mut client, request)?;
        }
        client.flush()?;
    }
    log.write_all(&[Entry::END])?;
    log.flush()
}

fn shake_hands(reader: &mut impl Read, client: &mut BufWriter<UnixStream>, size: u64) -> io::Result<()> {
    client.write_all(b"NBDMAGICIHAVEOPT")?;
    client.write_all(&HANDSHAKE.to_be_bytes())?;
    client.flush()?;
    let _: [u8; 4] = read_array(reader)?;
    loop {
        let magic = u64::from_be_bytes(read_array(reader)?);
        if magic != OPTION_MAGIC {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let option = u32::from_be_bytes(read_array(reader)?);
        let mut data = vec![0; u32::from_be_bytes(read_array(reader)?) as usize];
        reader.read_exact(&mut data)?;
        let export = [&size.to_be_bytes()[..], &ABILITIES.to_be_bytes()].concat();
        let mut reply = |kind: u32, data: &[u8]| -> io::Result<()> {
            client.write_all(&OPTION_REPLY.to_be_bytes())?;
            [option, kind, data.len() as u32]
                .iter()
                .try_for_each(|word| client.write_all(&word.to_be_bytes()))?;
            client.write_all(data)
        };
        match option {
            EXPORT_NAME => client.write_all(&export)?,
            GO => {
                reply(INFORMATION, &[&[0, 0], &export[..]].concat())?;
                reply(ACKNOWLEDGED, &[])?;
            }
            _ => reply(UNSUPPORTED, &[])?,
        }
        client.flush()?;
        if matches!(option, EXPORT_NAME | GO) {
            return Ok(());
        }
    }
}

fn read_request(reader: &mut impl Read) -> io::Result<Request> {
    if u32::from_be_bytes(read_array(reader)?) != REQUEST {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut request = Request {
        flags: u16::from_be_bytes(read_array(reader)?),
        kind: u16::from_be_bytes(read_array(reader)?),
        handle: u64::from_be_bytes(read_array(reader)?),
        offset: u64::from_be_bytes(read_array(reader)?),
        len: u32::from_be_bytes(read_array(reader)?),
        bytes: Vec::new(),
    };
    if request.kind == Request::WRITE {
        request.bytes.resize(request.len as usize, 0);
        reader.read_exact(&mut request.bytes)?;
    }
    Ok(request)
}

fn answer(image: &File, log: &mut impl Write, client: &mut impl Write, request: Request) -> io::Result<()> {
    let Request { kind, flags, handle, offset, len, bytes } = request;
    let (mut found, mut error) = (Vec::new(), 0);
    match kind {
        Request::READ => {
            found.resize(len as usize, 0);
            image.read_exact_at(&mut found, offset)?;
        }
        Request::WRITE => {
            image.write_all_at(&bytes, offset)?;
            Entry::Write { offset, bytes, durable: flags & BY_THE_CACHE != 0 }.write(log)?;
        }
        Request::FLUSH => Entry::Flush.write(log)?,
        _ => error = EINVAL,
    }
    client.write_all(&REPLY.to_be_bytes())?;
    client.write_all(&error.to_be_bytes())?;
    client.write_all(&handle.to_be_bytes())?;
    client.write_all(&found)
}
