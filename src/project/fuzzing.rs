//! What the fuzz target of this module does with its bytes. It panics if a promise is broken.

use std::borrow::Cow;

use super::{
    MapKind, content_of, create_file, create_project, parse_map, stored_file, stored_project, update_file,
};
use crate::engine::json;

const NOW: u64 = 1_718_000_000_000;

/// Uses the bytes as a project, a file and a map. Whatever is accepted has one stored form, which is JSON, does not change
/// when it is read again, and has every byte of the content.
pub fn records(bytes: &[u8]) {
    let _ = (parse_map(MapKind::Projects, bytes), parse_map(MapKind::Files, bytes));
    for project in [create_project(bytes, 7, NOW), stored_project("7", bytes).map(Cow::into_owned)] {
        let Ok(project) = project else { continue };
        assert_eq!(json::check(&project), Ok(()), "{}", String::from_utf8_lossy(&project));
        assert!(matches!(stored_project("7", &project), Ok(Cow::Borrowed(_))));
    }
    for file in [create_file(bytes, 3, 7, NOW), stored_file("7", 3, bytes).map(Cow::into_owned)] {
        let Ok(file) = file else { continue };
        assert_eq!(json::check(&file), Ok(()), "{}", String::from_utf8_lossy(&file));
        assert!(matches!(stored_file("7", 3, &file), Ok(Cow::Borrowed(_))));
        let given: Vec<&[u8]> = json::members(bytes)
            .map_while(Result::ok)
            .filter(|member| json::unescape(member.key).as_ref() == b"content")
            .map(|member| member.value)
            .collect();
        if let ([given], Some(kept)) = (&given[..], content_of(&file)) {
            assert_eq!(json::unescape(kept), json::unescape(given));
        }
        if let Ok(updated) = update_file(&file, bytes, NOW) {
            assert!(matches!(stored_file("7", 3, &updated), Ok(Cow::Borrowed(_))));
        }
    }
}
