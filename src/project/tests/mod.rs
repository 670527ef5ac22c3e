//! What the entity rules promise, with `serde_json::Value` as the judge of values.

mod files;
mod fixture;
mod maps;
mod projects;
mod properties;
mod put_at_path;
mod versions;

use serde_json::Value;

use crate::engine::{Error, Issue, PathSegment};

const NOW: u64 = 1_718_000_000_000;
const LATER: u64 = NOW + 1000;

fn value(text: &[u8]) -> Value {
    serde_json::from_slice(text).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(text)))
}

/// The issues as `path code`, the path joined with dots.
fn brief(issues: &[Issue]) -> Vec<String> {
    let segment = |segment: &PathSegment| match segment {
        PathSegment::Key(key) => key.clone(),
        PathSegment::Position(at) => at.to_string(),
    };
    let path = |issue: &Issue| issue.path.iter().map(segment).collect::<Vec<_>>().join(".");
    issues.iter().map(|issue| format!("{} {}", path(issue), issue.code)).collect()
}

/// The issues that a call failed with.
fn issues<T: std::fmt::Debug>(result: Result<T, Error>) -> Vec<String> {
    match result {
        Err(Error::Validation { issues, .. }) => brief(&issues),
        other => panic!("expected issues, got {other:?}"),
    }
}

fn message<T>(result: Result<T, Error>) -> String {
    result.err().map(|error| error.to_string()).unwrap_or_default()
}
