//! Semantic versions, by which migrations are ordered.

use std::cmp::Ordering;
use std::fmt;

use serde::{Serialize, Serializer};

use crate::engine::error::{Error, Result};

/// Longer versions are refused, because versions are shown in tables and messages.
const MAX_LENGTH: usize = 256;

/// A semantic version. Versions are compared by precedence: a pre-release comes before its release, and build metadata makes
/// no difference. A version is displayed as it was written.
#[derive(Debug, Clone)]
pub struct Version(semver::Version);

impl Version {
    /// The version of a directory on which no migration has ever run.
    pub const NONE: Version = Version(semver::Version::new(0, 0, 0));

    /// # Errors
    /// `INVALID_ARGUMENT` that says what is wrong.
    pub fn parse(text: &str) -> Result<Version> {
        let invalid = |problem: String| {
            let shown: String = text.chars().take(60).collect();
            Error::InvalidArgument(format!(
                "{shown:?} is not a semantic version such as 1.2.0 or 2.0.0-beta.1: {problem}"
            ))
        };
        if text.len() > MAX_LENGTH {
            return Err(invalid(format!("it is longer than {MAX_LENGTH} bytes")));
        }
        semver::Version::parse(text).map(Version).map_err(|error| invalid(error.to_string()))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Version) -> Ordering {
        self.0.cmp_precedence(&other.0)
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Version) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Version) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Version {}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        Version::parse(text).expect("a version")
    }

    #[test]
    fn pre_releases_come_before_their_release_and_order_by_their_parts() {
        let ordered = [
            "0.0.0-0",
            "0.0.0",
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0.0",
            "1.2.0",
            "1.10.0",
            "18446744073709551615.0.0",
        ];
        for pair in ordered.windows(2) {
            assert!(version(pair[0]) < version(pair[1]), "{} < {}", pair[0], pair[1]);
        }
    }

    #[test]
    fn build_metadata_is_ignored_in_comparisons_but_shown() {
        assert_eq!(version("1.0.0+a"), version("1.0.0+b"));
        assert_eq!(version("1.0.0+a").to_string(), "1.0.0+a");
    }

    #[test]
    fn an_invalid_version_is_refused_and_named() {
        for text in ["", "1", "1.0", "v1.0.0", "1.0.0.0", "01.0.0", "1.0.0-", "1.0.0-01", " 1.0.0", "1.0.0\n"]
        {
            let error = Version::parse(text).expect_err(text);
            assert_eq!(error.code(), "INVALID_ARGUMENT");
            assert!(error.to_string().contains(&format!("{text:?}")), "{error}");
        }
        assert!(Version::parse("18446744073709551616.0.0").is_err());
        assert!(Version::parse(&format!("1.0.0-{}", "a".repeat(300))).is_err());
    }
}
