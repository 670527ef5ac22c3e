//! Version chains: the fields that link the versions of a file.

use crate::engine::json;

use super::files::{self, FILE};
use super::record::Record;

/// The place of one version in its chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chain {
    /// 1 for the file as it was created, then ascending.
    pub version: u64,
    pub prev: Option<u64>,
    pub next: Option<u64>,
    pub is_latest: bool,
    /// The id of the root; `None` in the root itself.
    pub original: Option<u64>,
}

impl Chain {
    /// The chain of a file that has no other version.
    pub const ROOT: Chain = Chain { version: 1, prev: None, next: None, is_latest: true, original: None };
}

/// Reads the chain's fields from a canonical file or from its head. The content is not read. Missing fields have the values
/// of [`Chain::ROOT`].
pub fn chain_of(head: &[u8]) -> Chain {
    let mut chain = Chain::ROOT;
    let number = |raw: &[u8]| std::str::from_utf8(raw).ok().and_then(|text| text.parse().ok());
    for member in json::members(head).map_while(Result::ok) {
        match FILE.find(member.key) {
            Some(files::VERSION) => chain.version = number(member.value).unwrap_or(1),
            Some(files::PREV_ID) => chain.prev = number(member.value),
            Some(files::NEXT_ID) => chain.next = number(member.value),
            Some(files::IS_LATEST) => chain.is_latest = member.value != b"false",
            // This is the last of the five in stored order, so nothing after it is read.
            Some(files::ORIGINAL_FILE_ID) => {
                chain.original = number(member.value);
                break;
            }
            _ => {}
        }
    }
    chain
}

/// Returns the same canonical file at another place in its chain, with everything else unchanged. With `now` (in
/// milliseconds) the file counts as updated at that time, unless it was updated later.
pub fn with_chain(current: &[u8], chain: &Chain, now: Option<u64>) -> Vec<u8> {
    let mut record = Record::canonical(&FILE, current);
    set_chain(&mut record, chain);
    if let Some(now) = now {
        record.touch(files::UPDATED, now);
    }
    record.write()
}

pub fn set_chain(record: &mut Record<'_>, chain: &Chain) {
    record.set_integer(files::VERSION, chain.version);
    record.set_nullable(files::PREV_ID, chain.prev);
    record.set_nullable(files::NEXT_ID, chain.next);
    record.set(files::IS_LATEST, if chain.is_latest { &b"true"[..] } else { b"false" });
    record.set_nullable(files::ORIGINAL_FILE_ID, chain.original);
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAIN: Chain =
        Chain { version: 2, prev: Some(7), next: Some(9), is_latest: false, original: Some(7) };

    #[test]
    fn the_chain_can_be_read_from_the_head_alone() {
        let head =
            b"{\"id\":8,\"version\":2,\"prevId\":7,\"nextId\":9,\"isLatest\":false,\"originalFileId\":7";
        assert_eq!(chain_of(head), CHAIN);
        assert_eq!(chain_of(b"{\"id\":8"), Chain::ROOT);
        assert_eq!(chain_of(b"rubbish"), Chain::ROOT);
    }

    #[test]
    fn linking_changes_only_the_chain() {
        let file = files::create_file(b"{\"path\":\"a.ts\",\"content\":\"\\ud83d x\"}", 1, 8, 50).unwrap();
        let linked = with_chain(&file, &CHAIN, None);
        assert_eq!(chain_of(&linked), CHAIN);
        assert_eq!(with_chain(&linked, &Chain::ROOT, None), file);
    }

    #[test]
    fn linking_may_count_as_an_update_but_never_sets_the_clock_back() {
        let file = files::create_file(b"{\"path\":\"a.ts\",\"content\":\"\"}", 1, 8, 50).unwrap();
        let updated = |now| json::get(&with_chain(&file, &CHAIN, Some(now)), "updated").map(<[u8]>::to_vec);
        assert_eq!(updated(60).unwrap(), b"60");
        assert_eq!(updated(40).unwrap(), b"50");
    }
}
