//! The bytes of a file, cheap to clone: pages are shared until one of the owners writes to them.

use std::sync::{Arc, OnceLock};

const PAGE: usize = 4096;
/// The number of bytes that a disk writes or loses as one.
pub const SECTOR: usize = 512;

pub type Sector = [u8; SECTOR];
type Page = [u8; PAGE];

/// Invariants: there are exactly as many pages as `len` needs, and every byte beyond `len` is zero.
#[derive(Clone, Default)]
pub struct Bytes {
    pages: Arc<Vec<Arc<Page>>>,
    len: u64,
}

/// Holes cost nothing: they all share this page.
fn zero_page() -> Arc<Page> {
    static ZERO: OnceLock<Arc<Page>> = OnceLock::new();
    Arc::clone(ZERO.get_or_init(|| Arc::new([0; PAGE])))
}

/// Splits a range of the file at page boundaries: (page, start in the page, length).
fn pieces(offset: u64, len: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    let (mut at, mut left) = (offset as usize, len);
    std::iter::from_fn(move || {
        let start = at % PAGE;
        let piece = (at / PAGE, start, left.min(PAGE - start));
        at += piece.2;
        left -= piece.2;
        (piece.2 > 0).then_some(piece)
    })
}

impl Bytes {
    pub fn new(bytes: &[u8]) -> Self {
        let mut new = Self::default();
        new.write(0, bytes);
        new
    }

    pub fn len(&self) -> u64 {
        self.len
    }

    /// Copies the existing bytes from `offset` on into `buffer`, and returns how many there were.
    pub fn read(&self, offset: u64, buffer: &mut [u8]) -> usize {
        let len = (buffer.len() as u64).min(self.len.saturating_sub(offset)) as usize;
        let mut done = 0;
        for (page, start, count) in pieces(offset, len) {
            buffer[done..done + count].copy_from_slice(&self.pages[page][start..start + count]);
            done += count;
        }
        len
    }

    /// Writes bytes, growing the file as needed; a gap between the old end and `offset` is filled with zeros.
    pub fn write(&mut self, offset: u64, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let end = offset + bytes.len() as u64;
        if end > self.len {
            self.set_len(end);
        }
        self.overwrite(offset, bytes);
    }

    pub fn set_len(&mut self, len: u64) {
        if len == self.len {
            return;
        }
        let pages = Arc::make_mut(&mut self.pages);
        pages.resize_with((len as usize).div_ceil(PAGE), zero_page);
        let end = len as usize % PAGE;
        if len < self.len && end > 0 {
            let last = pages.last_mut().expect("a length inside a page has that page");
            Arc::make_mut(last)[end..].fill(0);
        }
        self.len = len;
    }

    /// Reads a sector; bytes beyond the end of the file are zero.
    pub fn sector(&self, index: u64) -> Sector {
        let mut sector = [0; SECTOR];
        self.read(index * SECTOR as u64, &mut sector);
        sector
    }

    /// Overwrites a sector; bytes beyond the end of the file are dropped.
    pub fn put_sector(&mut self, index: u64, sector: &Sector) {
        let start = index * SECTOR as u64;
        let len = self.len.saturating_sub(start).min(SECTOR as u64) as usize;
        self.overwrite(start, &sector[..len]);
    }

    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.len as usize];
        self.read(0, &mut bytes);
        bytes
    }

    /// The content page by page, without the zeros beyond the end.
    pub fn chunks(&self) -> impl Iterator<Item = &[u8]> {
        let len = self.len as usize;
        self.pages.iter().enumerate().map(move |(index, page)| &page[..PAGE.min(len - index * PAGE)])
    }

    fn overwrite(&mut self, offset: u64, bytes: &[u8]) {
        let pages = Arc::make_mut(&mut self.pages);
        let mut done = 0;
        for (page, start, count) in pieces(offset, bytes.len()) {
            Arc::make_mut(&mut pages[page])[start..start + count].copy_from_slice(&bytes[done..done + count]);
            done += count;
        }
    }
}
