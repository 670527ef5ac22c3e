//! The file behind a shared page: every byte of it has its place on the disk before anyone touches the page, and the system
//! keeps it in memory, because on a full or broken disk that touch would kill the process.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use octoprompt_storage::engine::fs::{Fs, OsFs};
use tempfile::TempDir;

const SIZE: usize = 4096;

/// A directory on a file system that reports at once which bytes have a place, if this machine has one.
fn directory() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a temporary directory")
}

fn allocated(path: &Path) -> u64 {
    fs::metadata(path).expect("a file").blocks() * 512
}

#[test]
fn a_new_page_is_fully_allocated_on_disk() {
    let directory = directory();
    let path = directory.path().join("tip");
    let _page = OsFs.shared_page(&path, SIZE).expect("mapped");
    assert_eq!(fs::read(&path).expect("readable"), [0; SIZE]);
    assert!(allocated(&path) >= SIZE as u64, "{}", allocated(&path));
}

#[test]
fn a_short_or_sparse_file_is_fully_allocated_and_keeps_its_bytes() {
    let directory = directory();
    for (name, len) in [("hole", SIZE as u64), ("short", 100), ("empty", 0)] {
        let path = directory.path().join(name);
        File::create(&path).and_then(|file| file.set_len(len)).expect("created");
        let page = OsFs.shared_page(&path, SIZE).expect("mapped");
        assert!(allocated(&path) >= SIZE as u64, "{name}: {}", allocated(&path));
        page.store(3, 7);
        // Another process opens it meanwhile.
        let other = OsFs.shared_page(&path, SIZE).expect("mapped");
        assert_eq!(other.load(3), 7, "{name}");
    }
    let path = directory.path().join("part");
    File::create(&path).and_then(|file| file.write_all_at(&9_u64.to_ne_bytes(), 16)).expect("created");
    assert_eq!(OsFs.shared_page(&path, SIZE).expect("mapped").load(2), 9);
}

/// Whether this process may keep another page of memory from being dropped.
fn may_lock() -> bool {
    let page = memmap2::MmapMut::map_anon(SIZE).expect("memory");
    page.lock().is_ok()
}

#[test]
fn a_page_is_kept_in_memory() {
    let directory = directory();
    let path = directory.path().join("tip");
    let _page = OsFs.shared_page(&path, SIZE).expect("mapped");
    if !may_lock() {
        return;
    }
    let maps = fs::read_to_string("/proc/self/smaps").expect("the mappings of this process");
    let name = path.to_str().expect("a name in Unicode");
    let mapping: Vec<&str> = maps.lines().skip_while(|line| !line.ends_with(name)).collect();
    let locked = mapping.iter().find(|line| line.starts_with("Locked:")).expect("how much of it is locked");
    assert_eq!(locked.split_whitespace().nth(1), Some("4"), "{locked}");
}
