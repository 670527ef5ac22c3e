//! Calls that need no storage: for ids, and for the schemas of whole maps.

use napi_derive::napi;

use super::error::describe;
use crate::engine::{Error, generate_id, json};
use crate::project::{MapKind, parse_map};

/// Returns an id that was never returned before in this process: milliseconds since 1970, or just above the last id.
#[napi(catch_unwind)]
pub fn new_id() -> f64 {
    generate_id() as f64
}

/// The result of checking a map.
#[napi(object)]
pub struct Checked {
    /// The map in canonical form, as JSON.
    pub map: Option<String>,
    /// The error as JSON, if the map was refused.
    pub error: Option<String>,
}

/// Checks a map of projects, or of files, given as JSON.
#[napi(catch_unwind)]
pub fn check_map(files: bool, text: String) -> Checked {
    let kind = if files { MapKind::Files } else { MapKind::Projects };
    match parse_map(kind, text.as_bytes()) {
        Ok(records) => {
            let mut map = vec![b'{'];
            for (id, record) in &records {
                if map.len() > 1 {
                    map.push(b',');
                }
                map.extend_from_slice(json::quote(&id.to_string()).as_bytes());
                map.push(b':');
                map.extend_from_slice(record);
            }
            map.push(b'}');
            Checked { map: Some(String::from_utf8_lossy(&map).into_owned()), error: None }
        }
        Err(issues) => {
            let what = if files { "file map" } else { "project map" };
            Checked { map: None, error: Some(describe(&Error::Validation { what: what.into(), issues })) }
        }
    }
}
