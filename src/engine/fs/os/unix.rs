//! What Linux and macOS each do in their own way.

#[path = "unix/network.rs"]
mod network;

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

#[cfg(target_os = "linux")]
use self::network::is_on_disk;
pub use self::network::{host, network_file_system};
use crate::engine::fs::{Identity, Metadata};

pub fn read_at(file: &fs::File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    file.read_at(buffer, offset)
}

#[cfg(target_os = "linux")]
pub fn write_slices_at(file: &fs::File, slices: &[io::IoSlice<'_>], offset: u64) -> io::Result<usize> {
    Ok(rustix::io::pwritev(file, slices, offset)?)
}

#[cfg(not(target_os = "linux"))]
pub fn write_slices_at(file: &fs::File, slices: &[io::IoSlice<'_>], offset: u64) -> io::Result<usize> {
    file.write_at(&super::gathered(slices), offset)
}

/// How many files this process may have open.
pub fn most_files() -> u64 {
    use rustix::process::{Resource, getrlimit};
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Opens without waiting, whatever is at the path: a pipe may never get a writer. Files are read and written as usual.
pub fn open(options: &mut fs::OpenOptions, path: &Path) -> io::Result<fs::File> {
    open_with(options, path, OFlags::NONBLOCK)
}

/// As [`open`], but fails if a symlink is at the path.
pub fn open_unfollowed(options: &mut fs::OpenOptions, path: &Path) -> io::Result<fs::File> {
    open_with(options, path, OFlags::NONBLOCK | OFlags::NOFOLLOW)
}

/// A file server may have a lease on the file for one of its clients. The first attempt makes the system ask for it back;
/// until it is given back, the file cannot be opened without waiting.
fn open_with(options: &mut fs::OpenOptions, path: &Path, flags: OFlags) -> io::Result<fs::File> {
    use std::os::unix::fs::OpenOptionsExt;
    options.custom_flags(flags.bits() as i32);
    super::patiently(|error| error.kind() == ErrorKind::WouldBlock, || options.open(path))
}

/// Makes the disk begin with what was just written, without waiting for it, so that the sync that follows finds most of it
/// done. This is only a hint, and nothing depends on its result.
#[cfg(target_os = "linux")]
pub fn begin_writeback(file: &fs::File, offset: u64, len: usize) {
    use std::os::fd::AsRawFd;
    let (Ok(offset), Ok(len)) = (offset.try_into(), len.try_into()) else { return };
    // SAFETY: the call takes three numbers and an open descriptor, and touches none of our memory.
    unsafe { libc::sync_file_range(file.as_raw_fd(), offset, len, libc::SYNC_FILE_RANGE_WRITE) };
}

#[cfg(not(target_os = "linux"))]
pub fn begin_writeback(_: &fs::File, _: u64, _: usize) {}

/// Makes room for a long write as a whole instead of page by page. This is only a hint: if there is no room, the write says
/// so.
#[cfg(target_os = "linux")]
pub fn prepare_write(file: &fs::File, offset: u64, len: usize) {
    use rustix::fs::{FallocateFlags, fallocate};
    // Neither what is read meanwhile nor the length that a crash leaves changes by this.
    let _ = fallocate(file, FallocateFlags::KEEP_SIZE, offset, len as u64);
}

#[cfg(not(target_os = "linux"))]
pub fn prepare_write(_: &fs::File, _: u64, _: usize) {}

/// Linux answers from the page cache or says that it would have to wait (`RWF_NOWAIT`).
#[cfg(target_os = "linux")]
pub fn read_at_cached(file: &fs::File, buffer: &mut [u8], offset: u64) -> io::Result<bool> {
    use rustix::io::{Errno, ReadWriteFlags, preadv2};
    let wanted = buffer.len();
    match preadv2(file, &mut [io::IoSliceMut::new(buffer)], offset, ReadWriteFlags::NOWAIT) {
        Ok(read) if read == wanted => Ok(true),
        // A short read may be the end of the file or the end of what is cached.
        Ok(_) | Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS | Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(target_os = "linux"))]
pub fn read_at_cached(_: &fs::File, _: &mut [u8], _: u64) -> io::Result<bool> {
    Ok(false)
}

/// Allocates the first `len` bytes of a file on disk, holes included, without changing any byte. Returns false if the file
/// system cannot do that.
#[cfg(target_os = "linux")]
pub fn allocate(file: &fs::File, len: u64) -> io::Result<bool> {
    use rustix::fs::{FallocateFlags, fallocate};
    use rustix::io::Errno;
    loop {
        match fallocate(file, FallocateFlags::empty(), 0, len) {
            Ok(()) => return Ok(true),
            Err(Errno::INTR) => {}
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(not(target_os = "linux"))]
pub fn allocate(_: &fs::File, _: u64) -> io::Result<bool> {
    Ok(false)
}

/// Whether the file system never moves what is allocated. Those that copy on write do, and so do those that share blocks
/// between files; an unknown file system counts as one of them.
#[cfg(target_os = "linux")]
pub fn writes_in_place(file: &fs::File) -> io::Result<bool> {
    const EXT4: u32 = 0xef53;
    const TMPFS: u32 = 0x0102_1994;
    Ok(match rustix::fs::fstatfs(file)?.f_type as u32 {
        TMPFS => true,
        // 9p reports what it serves.
        EXT4 => is_on_disk(file.metadata()?.dev()),
        _ => false,
    })
}

/// True, because other systems have no way to ask for room.
#[cfg(not(target_os = "linux"))]
pub fn writes_in_place(_: &fs::File) -> io::Result<bool> {
    Ok(true)
}

/// Makes the pages of a mapping writable as a store would, but in a call that can fail.
#[cfg(target_os = "linux")]
pub fn make_writable(map: &memmap2::MmapRaw) -> io::Result<()> {
    use rustix::io::Errno;
    loop {
        match map.advise(memmap2::Advice::PopulateWrite) {
            Ok(()) => return Ok(()),
            Err(error) => match Errno::from_io_error(&error) {
                Some(Errno::INTR | Errno::AGAIN) => {}
                // A store would raise a signal here.
                Some(Errno::FAULT) => return Err(Errno::NOSPC.into()),
                // Linux before 5.14.
                Some(Errno::INVAL | Errno::NOSYS) => return Ok(()),
                _ => return Err(error),
            },
        }
    }
}

#[cfg(not(target_os = "linux"))]
pub fn make_writable(_: &memmap2::MmapRaw) -> io::Result<()> {
    Ok(())
}

/// Says what to do where a file cannot be shared memory: 9p without a cache answers EINVAL, FUSE without one ENODEV.
pub fn unmapped(error: io::Error) -> io::Error {
    use rustix::io::Errno;
    let reason = "this file system cannot share memory between processes (mmap); mount it with a cache (9p: cache=mmap, FUSE: without direct_io), or use a local disk";
    match Errno::from_io_error(&error) {
        Some(Errno::INVAL | Errno::NODEV) => io::Error::new(ErrorKind::Unsupported, reason),
        _ => error,
    }
}

/// Makes the system not drop the pages of a mapping, so that it never has to read them again from a disk that may have failed
/// meanwhile. It may refuse, since a user may keep only so much memory (`ulimit -l`).
pub fn keep_in_memory(map: &memmap2::MmapRaw) {
    let _ = map.lock();
}

/// What is at a path; if `follow` is set, what a symlink there leads to.
pub fn look_up(path: &Path, follow: bool) -> io::Result<Metadata> {
    let found = if follow { fs::metadata(path)? } else { fs::symlink_metadata(path)? };
    Ok(super::convert(&found, identity(&found)))
}

pub fn look_at(file: &fs::File) -> io::Result<Metadata> {
    let found = file.metadata()?;
    Ok(super::convert(&found, identity(&found)))
}

fn identity(metadata: &fs::Metadata) -> Identity {
    (metadata.dev(), metadata.ino().into())
}

pub fn canonical(path: &Path) -> io::Result<PathBuf> {
    fs::canonicalize(path)
}

/// A file system without a limit of its own, such as ramfs, gives its size as zero.
pub fn free_space(path: &Path) -> io::Result<u64> {
    let found = fs2::statvfs(path)?;
    Ok(if found.total_space() == 0 { u64::MAX } else { found.available_space() })
}

pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)
}

pub fn remove_file(path: &Path) -> io::Result<()> {
    fs::remove_file(path)
}

pub fn remove_dir(path: &Path) -> io::Result<()> {
    fs::remove_dir(path)
}

/// Some file systems cannot sync a directory (EINVAL). Those that only lead to others, such as autofs above home
/// directories, and those that nobody can write have nothing to sync. Elsewhere, as in a folder that a virtual machine shares
/// with its host, the older generation that is kept makes up for it.
pub fn sync_dir(path: &Path) -> io::Result<()> {
    match sync_open_dir(&fs::File::open(path)?) {
        Err(error) if error.kind() == ErrorKind::InvalidInput => Ok(()),
        other => other,
    }
}

#[cfg(not(target_vendor = "apple"))]
fn sync_open_dir(directory: &fs::File) -> io::Result<()> {
    directory.sync_all()
}

#[cfg(target_vendor = "apple")]
fn sync_open_dir(directory: &fs::File) -> io::Result<()> {
    sync_data(directory)
}

#[cfg(not(target_vendor = "apple"))]
pub fn sync_data(file: &fs::File) -> io::Result<()> {
    file.sync_data()
}

/// Uses `F_FULLFSYNC` or, where a file system does not support it, an ordinary sync, which does not flush the disk's own
/// cache.
#[cfg(target_vendor = "apple")]
pub fn sync_data(file: &fs::File) -> io::Result<()> {
    use rustix::io::Errno;
    let unsupported = [Errno::NOTSUP, Errno::OPNOTSUPP, Errno::NOTTY, Errno::INVAL];
    match file.sync_data() {
        Err(error) if unsupported.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error())) => {
            Ok(rustix::fs::fsync(file)?)
        }
        other => other,
    }
}

/// Only a hint to the system, which keeps pages that are still to be written or are in use elsewhere.
#[cfg(target_os = "linux")]
pub fn forget_cached(file: &fs::File) {
    let _ = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed);
}

#[cfg(not(target_os = "linux"))]
pub fn forget_cached(_: &fs::File) {}

pub fn is_writable(directory: &Path) -> io::Result<bool> {
    use rustix::fs::{Access, AtFlags, CWD, access, accessat};
    use rustix::io::Errno;
    let wanted = Access::WRITE_OK | Access::EXEC_OK;
    // A container whose runtime is older than `faccessat2` answers EPERM to that call, whatever it is asked.
    let asked = match accessat(CWD, directory, wanted, AtFlags::EACCESS) {
        Err(Errno::PERM) => access(directory, wanted),
        answer => answer,
    };
    match asked {
        Ok(()) => Ok(true),
        Err(Errno::ACCESS | Errno::PERM | Errno::ROFS) => Ok(false),
        // What cannot be told beforehand shows when it is tried.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// Copies the mode, and the owner and the group as far as this process may give files away.
pub fn copy_permissions(like: &Path, path: &Path) -> io::Result<()> {
    use std::os::unix::fs::chown;
    let metadata = fs::metadata(like)?;
    let own = fs::metadata(path)?;
    if (own.uid(), own.gid()) != (metadata.uid(), metadata.gid()) {
        let given = chown(path, Some(metadata.uid()), Some(metadata.gid()))
            // Whoever may not give a file away may still give it to a group that they belong to.
            .or_else(|_| chown(path, None, Some(metadata.gid())));
        match given {
            // A container may not know the owner: EINVAL.
            Err(error) if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::InvalidInput) => {}
            other => other?,
        }
    }
    // A file system without modes of its own may refuse every change of them.
    match fs::metadata(path)?.mode() == metadata.mode() {
        true => Ok(()),
        false => fs::set_permissions(path, metadata.permissions()),
    }
}

/// Lets those who share a directory open what was just created in it. What the superuser creates in somebody else's directory
/// is given to the owner of that directory. What is created in a directory that hands on its group, and that this group may
/// write, can be written by the group, whatever the umask of this process. If that fails, it stays as it is, as in a
/// container that does not know the owner.
pub fn share(created: &fs::File, path: &Path) {
    let Some(Ok(directory)) = path.parent().map(fs::metadata) else { return };
    let Ok(own) = created.metadata() else { return };
    if own.uid() == 0 && directory.uid() != 0 {
        let _ = std::os::unix::fs::fchown(created, Some(directory.uid()), Some(directory.gid()));
    }
    const HANDED_ON: u32 = 0o2020;
    let wanted = own.mode() | if own.is_dir() { 0o070 } else { 0o060 };
    if directory.mode() & HANDED_ON == HANDED_ON && own.gid() == directory.gid() && own.mode() != wanted {
        let _ = created.set_permissions(fs::Permissions::from_mode(wanted));
    }
}

/// As [`share`], for a directory.
pub fn share_directory(path: &Path) {
    use rustix::fs::Mode;
    // Its name may lead elsewhere by now, so only the directory itself is shared.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    if let Ok(directory) = rustix::fs::open(path, flags, Mode::empty()) {
        share(&directory.into(), path);
    }
}

pub fn try_lock(file: &fs::File, exclusive: bool) -> io::Result<bool> {
    use fs2::FileExt;
    match if exclusive { file.try_lock_exclusive() } else { FileExt::try_lock_shared(file) } {
        Ok(()) => Ok(true),
        Err(error) if error.raw_os_error() == fs2::lock_contended_error().raw_os_error() => Ok(false),
        Err(error) => Err(error),
    }
}

pub fn unlock(file: &fs::File) -> io::Result<()> {
    fs2::FileExt::unlock(file)
}

/// Whether there are file systems whose files can share blocks.
pub const CLONES: bool = cfg!(target_os = "linux");

/// Uses `FICLONE`, which btrfs, XFS and others support. Whatever it fails with, an ordinary copy shows whether the disk is
/// at fault.
#[cfg(target_os = "linux")]
pub fn clone_blocks(source: &fs::File, target: &fs::File) -> io::Result<bool> {
    Ok(rustix::fs::ioctl_ficlone(target, source).is_ok())
}

#[cfg(not(target_os = "linux"))]
pub fn clone_blocks(_: &fs::File, _: &fs::File) -> io::Result<bool> {
    Ok(false)
}

/// `/proc/locks` has a line for each lock: `1: FLOCK  ADVISORY  WRITE 4711 08:02:1234 0 EOF`. Processes of other containers
/// appear as 0 there.
#[cfg(target_os = "linux")]
pub fn lock_holders(file: &fs::File) -> Vec<u32> {
    let Ok(metadata) = file.metadata() else { return Vec::new() };
    let device = metadata.dev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let place = format!("{major:02x}:{minor:02x}:{}", metadata.ino());
    let locks = lock_table().unwrap_or_default();
    let mut holders: Vec<u32> = locks
        .lines()
        .map(|line| line.split_ascii_whitespace().collect::<Vec<_>>())
        .filter(|words| words.get(5) == Some(&place.as_str()))
        .filter_map(|words| words.get(4)?.parse().ok().filter(|&pid| pid != 0))
        .collect();
    holders.sort_unstable();
    holders.dedup();
    holders
}

/// The system does not keep the table still between two reads: if a lock is released meanwhile, the next read passes over
/// another one. So the first read gets as much as the system gives at a time.
#[cfg(target_os = "linux")]
fn lock_table() -> io::Result<String> {
    use std::io::Read;

    let mut table = String::with_capacity(16 << 10);
    fs::File::open("/proc/locks")?.read_to_string(&mut table)?;
    Ok(table)
}

#[cfg(not(target_os = "linux"))]
pub fn lock_holders(_: &fs::File) -> Vec<u32> {
    Vec::new()
}

/// `/proc/<pid>/stat` begins with the id, the name in parentheses, which may itself contain some, and the state.
#[cfg(target_os = "linux")]
pub fn is_stopped(pid: u32) -> bool {
    let stat = fs::read(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.iter().rposition(|&byte| byte == b')').and_then(|end| stat.get(end + 2));
    state == Some(&b'T')
}

#[cfg(not(target_os = "linux"))]
pub fn is_stopped(_: u32) -> bool {
    false
}

#[cfg(target_os = "linux")]
pub fn boot_id() -> u128 {
    static BOOT_ID: std::sync::LazyLock<u128> = std::sync::LazyLock::new(|| {
        let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        u128::from_str_radix(&text.trim().replace('-', ""), 16).unwrap_or_default()
    });
    *BOOT_ID
}

/// Zero, because there is no boot id from the kernel: the shared page is then never believed across openings.
#[cfg(not(target_os = "linux"))]
pub fn boot_id() -> u128 {
    0
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    /// Sets the lease on a file, or asks which one it has or may keep.
    fn lease(leased: &fs::File, command: libc::c_int, lease: libc::c_int) -> libc::c_int {
        use std::os::fd::AsRawFd;
        // SAFETY: the call takes numbers and an open descriptor, and touches none of our memory.
        unsafe { libc::fcntl(leased.as_raw_fd(), command, lease) }
    }

    #[test]
    fn the_group_may_write_what_is_created_in_a_directory_that_it_shares() {
        use crate::engine::fs::{Fs, OpenMode, OsFs};
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mode = |name: &str| fs::metadata(directory.path().join(name)).expect("there").mode() & 0o7777;
        let create = |under: &str| {
            let path = directory.path().join(under);
            OsFs.create_dir(&path).expect("created");
            OsFs.open(&path.join("file"), OpenMode::CreateNew).expect("created");
            OsFs.lock_file(&path.join("lock")).expect("created");
            OsFs.shared_page(&path.join("page"), 4096).expect("created");
            ["", "/file", "/lock", "/page"].map(|name| mode(&format!("{under}{name}")))
        };
        let [own, file, ..] = create("own");
        let set =
            |mode| fs::set_permissions(directory.path(), fs::Permissions::from_mode(mode)).expect("set");
        set(0o0770);
        assert_eq!(create("without the group"), [own, file, file, file]);
        set(0o2770);
        let shared = file | 0o060;
        assert_eq!(create("shared"), [own | 0o2070, shared, shared, shared]);
        assert_eq!(create("shared/below"), [own | 0o2070, shared, shared, shared]);
    }

    #[test]
    fn a_file_with_a_lease_is_opened_when_the_lease_is_given_back() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("file");
        let leased = fs::File::create_new(&path).expect("created");
        // SAFETY: no test awaits this signal, by which the system asks for a lease.
        unsafe { libc::signal(libc::SIGIO, libc::SIG_IGN) };
        assert_eq!(lease(&leased, libc::F_SETLEASE, libc::F_WRLCK), 0, "{}", io::Error::last_os_error());
        std::thread::scope(|scope| {
            let opened = scope.spawn(|| open(fs::OpenOptions::new().read(true), &path));
            // Once somebody wants to read the file, a lease for writing may not be kept.
            while lease(&leased, libc::F_GETLEASE, 0) == libc::F_WRLCK {
                std::thread::yield_now();
            }
            assert_eq!(lease(&leased, libc::F_SETLEASE, libc::F_UNLCK), 0);
            opened.join().expect("no panic").expect("opened");
        });
    }

    #[test]
    fn a_page_without_disk_space_is_an_error_rather_than_a_signal() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let file = fs::File::create_new(directory.path().join("tip")).expect("created");
        file.set_len(4096).expect("room");
        let map = memmap2::MmapOptions::new().len(4096).map_raw(&file).expect("mapped");
        make_writable(&map).expect("there is room");
        // A file that ends before the page has no place for it, just as a full disk has none.
        file.set_len(0).expect("cut");
        let error = make_writable(&map).expect_err("there is none");
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }
}
