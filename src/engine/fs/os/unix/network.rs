//! Recognising file systems that other machines may use too.

use std::io;
use std::path::Path;
#[cfg(target_os = "linux")]
use std::{fs, os::unix::fs::MetadataExt};

/// Whether the file system has a block device; others have numbers that the system makes up.
#[cfg(target_os = "linux")]
pub fn is_on_disk(device: u64) -> bool {
    rustix::fs::major(device) != 0
}

/// Whether this device is a 9p mount, according to `/proc/self/mountinfo`. Its lines have the device as third word, and the
/// type after a dash: `36 35 0:41 / /mnt rw,relatime shared:1 - 9p share rw`.
#[cfg(target_os = "linux")]
fn is_9p(mounts: &str, device: u64) -> bool {
    let device = format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device));
    mounts.lines().any(|line| {
        let mut words = line.split(' ');
        words.nth(2) == Some(&device) && words.skip_while(|word| *word != "-").nth(1) == Some("9p")
    })
}

/// The name of the file system, by its `statfs` number, if its locks or mappings do not hold between machines.
#[cfg(target_os = "linux")]
pub fn network_file_system(path: &Path) -> io::Result<Option<&'static str>> {
    let found = rustix::fs::statfs(path)?;
    // The width of the type differs between platforms; the numbers have 32 bits.
    if let Some(name) = name_of(found.f_type as u32) {
        return Ok(Some(name));
    }
    // 9p may report the number of the file system that it serves.
    let device = fs::metadata(path)?.dev();
    let mounts = || fs::read("/proc/self/mountinfo").unwrap_or_default();
    let is_9p = !is_on_disk(device) && is_9p(&String::from_utf8_lossy(&mounts()), device);
    Ok(is_9p.then_some("9p"))
}

#[cfg(target_os = "linux")]
fn name_of(number: u32) -> Option<&'static str> {
    Some(match number {
        0x6969 => "NFS",
        0x0102_1997 => "9p",
        0x517b | 0xff53_4d42 | 0xfe53_4d42 => "SMB",
        0x6573_5546 => "FUSE",
        0x00c3_6400 => "Ceph",
        // OpenAFS, and the one that is part of Linux.
        0x5346_414f | 0x6b41_4653 => "AFS",
        0x0bd0_0bd0 => "Lustre",
        0x0116_1970 => "GFS2",
        0x7461_636f => "OCFS2",
        0x4750_4653 => "GPFS",
        0x1983_0326 => "BeeGFS",
        // Folders that VirtualBox shares between a virtual machine and its host.
        0x786f_4256 => "vboxsf",
        _ => return None,
    })
}

/// On other systems, every file system counts as local.
#[cfg(not(target_os = "linux"))]
pub fn network_file_system(_: &Path) -> io::Result<Option<&'static str>> {
    Ok(None)
}

pub fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_9p_mount_is_recognised_by_its_device() {
        let mounts = "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
            36 22 0:41 / /mnt/a\\040- rw,relatime shared:1 master:2 - 9p share rw,mmap\n\
            37 22 0:42 / /mnt/9p rw - tmpfs 9p rw\n";
        let found = |minor| is_9p(mounts, rustix::fs::makedev(0, minor));
        assert_eq!([41, 42, 4, 1].map(found), [true, false, false, false]);
    }

    #[test]
    fn both_kinds_of_afs_are_network_file_systems() {
        assert_eq!([0x5346_414f, 0x6b41_4653, 0xef53].map(name_of), [Some("AFS"), Some("AFS"), None]);
    }
}
