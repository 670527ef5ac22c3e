//! Errors on their way to JavaScript: a JSON text from which `lib/errors.js` builds the error object.

use serde_json::{Map, Value, json};

use crate::engine::{Error, Outcome, PathSegment};

/// Returns the error as JSON: `{ code, message, … }`.
pub fn describe(error: &Error) -> String {
    let mut fields = Map::new();
    fields.insert("code".into(), error.code().into());
    fields.insert("message".into(), error.to_string().into());
    match error {
        Error::Validation { issues, .. } => {
            let issue = |issue: &crate::engine::Issue| {
                let path: Vec<Value> = issue.path.iter().map(segment).collect();
                json!({ "path": path, "message": issue.message, "code": issue.code })
            };
            fields.insert("issues".into(), issues.iter().map(issue).collect());
        }
        Error::Io { operation, path, os_error, kind, .. } => {
            fields.insert("errno".into(), errno_name(*os_error, *kind).into());
            fields.insert("path".into(), path.display().to_string().into());
            fields.insert("operation".into(), (*operation).into());
        }
        Error::Poisoned { path } => {
            fields.insert("errno".into(), "EIO".into());
            fields.insert("path".into(), path.display().to_string().into());
            fields.insert("operation".into(), "write after a failed sync of".into());
        }
        Error::Replaced { path } => {
            fields.insert("errno".into(), "ESTALE".into());
            fields.insert("path".into(), path.display().to_string().into());
            fields.insert("operation".into(), "use".into());
        }
        Error::InUse { path, holders, .. } => {
            fields.insert("path".into(), path.display().to_string().into());
            fields.insert("holders".into(), holders.iter().map(|holder| holder.pid).collect());
        }
        Error::Corrupt { path, .. }
        | Error::PathExists { path, .. }
        | Error::LockTimeout { path, .. }
        | Error::UnsupportedFormat { path, .. }
        | Error::UnsupportedFilesystem { path, .. } => {
            fields.insert("path".into(), path.display().to_string().into());
        }
        _ => {}
    }
    if let Error::LockTimeout { holder: Some(holder), .. } = error {
        fields.insert("holder".into(), holder.pid.into());
    }
    let outcome = match error.outcome() {
        Outcome::None => "none",
        Outcome::Unknown => "unknown",
    };
    fields.insert("outcome".into(), outcome.into());
    Value::Object(fields).to_string()
}

fn segment(segment: &PathSegment) -> Value {
    match segment {
        // Keys of a map are ids, which JavaScript callers compare with strings.
        PathSegment::Key(key) => key.as_str().into(),
        PathSegment::Position(at) => (*at).into(),
    }
}

/// Returns the name by which the operating system knows the error.
fn errno_name(os_error: Option<i32>, kind: std::io::ErrorKind) -> &'static str {
    use std::io::ErrorKind as Kind;
    if let Some(name) = os_error.and_then(system_name) {
        return name;
    }
    match kind {
        Kind::NotFound => "ENOENT",
        Kind::PermissionDenied => "EACCES",
        Kind::AlreadyExists => "EEXIST",
        Kind::NotADirectory => "ENOTDIR",
        Kind::IsADirectory => "EISDIR",
        Kind::DirectoryNotEmpty => "ENOTEMPTY",
        Kind::ReadOnlyFilesystem => "EROFS",
        Kind::StorageFull => "ENOSPC",
        Kind::QuotaExceeded => "EDQUOT",
        Kind::FileTooLarge => "EFBIG",
        Kind::ResourceBusy => "EBUSY",
        Kind::Interrupted => "EINTR",
        Kind::InvalidInput => "EINVAL",
        Kind::OutOfMemory => "ENOMEM",
        Kind::Unsupported => "ENOTSUP",
        Kind::InvalidFilename => "ENAMETOOLONG",
        _ => "EIO",
    }
}

#[cfg(unix)]
fn system_name(code: i32) -> Option<&'static str> {
    use rustix::io::Errno;
    let name = match Errno::from_raw_os_error(code) {
        Errno::MFILE => "EMFILE",
        Errno::NFILE => "ENFILE",
        Errno::LOOP => "ELOOP",
        Errno::PERM => "EPERM",
        Errno::NAMETOOLONG => "ENAMETOOLONG",
        Errno::STALE => "ESTALE",
        Errno::NOLCK => "ENOLCK",
        Errno::XDEV => "EXDEV",
        Errno::TXTBSY => "ETXTBSY",
        Errno::ACCESS => "EACCES",
        _ => return None,
    };
    Some(name)
}

/// Names the errors for too many open files, and for a file that another process has open unshared, has locked or has
/// mapped.
#[cfg(windows)]
fn system_name(code: i32) -> Option<&'static str> {
    match code {
        4 => Some("EMFILE"),
        32 | 33 | 1224 => Some("EBUSY"),
        _ => None,
    }
}
