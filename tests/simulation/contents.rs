use octoprompt_storage::engine::fs::{Extreme, Fs, OpenMode, SimFs, read_all};

use crate::{always, create, machine, open, outcomes, path};

const SECTOR: usize = 512;

/// A durable file of two sectors of `a`.
fn two_sectors() -> SimFs {
    let fs = machine();
    fs.write_file("/d/f", &[b'a'; 2 * SECTOR]);
    fs
}

#[test]
fn written_bytes_are_readable_at_once() {
    let fs = machine();
    let file = create(&fs, "/d/f");
    file.write_at(b"world", 6).unwrap();
    file.write_at(b"hello", 0).unwrap();
    assert_eq!(*read_all(&*open(&fs, "/d/f")).unwrap(), *b"hello\0world");
    let mut buffer = [0; 8];
    assert_eq!(file.read_at(&mut buffer, 8).unwrap(), 3);
    assert_eq!(&buffer[..3], b"rld");
    assert!(file.read_at_cached(&mut buffer[..2], 0).unwrap());
    assert!(!file.read_at_cached(&mut buffer, 8).unwrap());
    fs.set_cached(false);
    assert!(!file.read_at_cached(&mut buffer[..2], 0).unwrap());
}

#[test]
fn writes_across_pages_and_truncations_read_back_correctly() {
    let fs = machine();
    let file = create(&fs, "/d/f");
    let mut model = Vec::new();
    for (offset, len) in [(0, 5000), (4090, 12), (9000, 10_000), (100, 9000), (20_000, 1)] {
        let bytes: Vec<u8> = (0..len).map(|at| (at * 7 + offset) as u8).collect();
        if model.len() < offset + len {
            model.resize(offset + len, 0);
        }
        model[offset..offset + len].copy_from_slice(&bytes);
        file.write_at(&bytes, offset as u64).unwrap();
    }
    for len in [20_000, 8192, 4097, 30_000, 12_288, 0, 10] {
        model.resize(len, 0);
        file.set_len(len as u64).unwrap();
        assert_eq!(fs.read_file("/d/f").unwrap(), model);
    }
}

#[test]
fn a_read_only_handle_refuses_writes() {
    let fs = two_sectors();
    let file = fs.open(path("/d/f"), OpenMode::Read).unwrap();
    assert!(file.write_at(b"x", 0).is_err());
    assert!(file.set_len(0).is_err());
}

#[test]
fn synced_data_survives_every_power_loss() {
    let fs = two_sectors();
    let file = open(&fs, "/d/f");
    file.write_at(b"new", 510).unwrap();
    file.sync_data().unwrap();
    assert_eq!(outcomes(&fs, "/d/f"), always(&fs.read_file("/d/f").unwrap()));
}

#[test]
fn sectors_survive_independently() {
    let fs = two_sectors();
    open(&fs, "/d/f").write_at(&[b'b'; 2 * SECTOR], 0).unwrap();
    let found = outcomes(&fs, "/d/f");
    for first in [b'a', b'b'] {
        for second in [b'a', b'b'] {
            let content = [[first; SECTOR], [second; SECTOR]].concat();
            assert!(found.contains(&Some(content)));
        }
    }
}

#[test]
fn a_sector_may_be_torn() {
    let fs = two_sectors();
    open(&fs, "/d/f").write_at(&[b'b'; SECTOR], 0).unwrap();
    let torn = |content: &Vec<u8>| content[0] == b'b' && content[SECTOR - 1] == b'a';
    assert!(outcomes(&fs, "/d/f").iter().flatten().any(torn));
}

#[test]
fn a_torn_write_leaves_the_bytes_around_it_intact() {
    let fs = machine();
    fs.write_file("/d/f", b"keep");
    open(&fs, "/d/f").write_at(b"xyz", 4).unwrap();
    let found = outcomes(&fs, "/d/f");
    assert!(found.contains(&Some(b"keepx\0\0".to_vec())));
    assert!(found.contains(&Some(b"keepxy\0".to_vec())));
    assert!(found.iter().flatten().all(|content| content.starts_with(b"keep")));
}

#[test]
fn any_version_since_the_sync_may_survive_but_no_mixture() {
    let fs = machine();
    fs.write_file("/d/f", b"0-0");
    let file = open(&fs, "/d/f");
    file.write_at(b"1", 0).unwrap();
    file.write_at(b"2", 2).unwrap();
    let found = outcomes(&fs, "/d/f");
    for content in [b"0-0", b"1-0", b"1-2"] {
        assert!(found.contains(&Some(content.to_vec())));
    }
    assert!(!found.contains(&Some(b"0-2".to_vec())), "a sector reaches the disk as it is in memory");
}

#[test]
fn growth_may_be_lost_or_end_in_zeros() {
    let fs = machine();
    fs.write_file("/d/f", b"old");
    open(&fs, "/d/f").write_at(b"new", 3).unwrap();
    let found = outcomes(&fs, "/d/f");
    for content in [&b"old"[..], b"oldnew", b"old\0\0\0"] {
        assert!(found.contains(&Some(content.to_vec())), "{found:?}");
    }
    assert!(found.iter().flatten().all(|content| content.starts_with(b"old")), "the synced bytes stay");
}

#[test]
fn truncated_bytes_may_return_until_a_sync() {
    let fs = machine();
    fs.write_file("/d/f", b"keep-dead");
    let file = open(&fs, "/d/f");
    file.set_len(5).unwrap();
    assert!(outcomes(&fs, "/d/f").contains(&Some(b"keep-dead".to_vec())));
    file.write_at(b"live", 5).unwrap();
    assert!(outcomes(&fs, "/d/f").contains(&Some(b"keep-dead".to_vec())));
    file.set_len(5).unwrap();
    file.sync_data().unwrap();
    assert_eq!(outcomes(&fs, "/d/f"), always(b"keep-"));
}

#[test]
fn every_change_advances_the_modification_time() {
    let fs = two_sectors();
    let file = open(&fs, "/d/f");
    let mut last = file.metadata().unwrap();
    for change in [&|| file.write_at(b"a", 0) as std::io::Result<()>, &|| file.set_len(3)]
        as [&dyn Fn() -> std::io::Result<()>; 2]
    {
        change().unwrap();
        let now = file.metadata().unwrap();
        assert!(now.modified_ns > last.modified_ns);
        assert_eq!(now.identity, last.identity);
        last = now;
    }
}

#[test]
fn a_shared_page_may_hold_anything_after_a_power_loss() {
    let fs = machine();
    let page = fs.shared_page(path("/d/tip"), 16).unwrap();
    fs.sync_dir(path("/d")).unwrap();
    open(&fs, "/d/tip").sync_data().unwrap();
    for value in 1..4 {
        page.store(0, value);
        page.store(1, value);
    }
    let word = |value: u64| value.to_le_bytes().to_vec();
    let found = outcomes(&fs, "/d/tip");
    for (first, second) in [(0, 0), (1, 0), (1, 1), (2, 1), (3, 3)] {
        assert!(found.contains(&Some([word(first), word(second)].concat())));
    }
    assert!(found.iter().flatten().any(|content| content[7] > 3), "rubbish");
    assert!(found.iter().flatten().all(|content| content.len() == 16));
}

#[test]
fn a_new_shared_page_may_be_shorter_after_a_power_loss() {
    let fs = machine();
    fs.shared_page(path("/d/tip"), 16).unwrap();
    assert!(outcomes(&fs, "/d/tip").contains(&Some(Vec::new())));
}

#[test]
fn a_shared_page_keeps_its_words_after_a_power_loss_that_spares_them() {
    let fs = machine();
    let page = fs.shared_page(path("/d/tip"), 16).unwrap();
    page.store(1, 42);
    let after = fs.power_loss(&mut Extreme::Everything);
    let page = after.shared_page(path("/d/tip"), 16).unwrap();
    assert_eq!((page.load(0), page.load(1)), (0, 42));
}
