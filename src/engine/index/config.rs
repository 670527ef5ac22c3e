//! What an index is declared to be.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::extract::{MAX_TUPLES, Path, parse_path};
use super::key::IndexKey;
use crate::engine::error::{Error, Issue, Result};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IndexType {
    /// Finds documents by exact key.
    Hash,
    /// Finds documents by exact key and by range, in key order.
    Btree,
    /// Finds documents by the words of their text.
    Inverted,
}

impl IndexType {
    pub(super) fn name(self) -> &'static str {
        match self {
            IndexType::Hash => "hash",
            IndexType::Btree => "btree",
            IndexType::Inverted => "inverted",
        }
    }
}

/// What a caller declares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IndexConfig {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: IndexType,
    /// Paths of the fields, nested with dots: `address.city`. Several fields of a hash or btree index form
    /// one composite key; an inverted index holds the words of all its fields together.
    pub fields: Vec<String>,
    /// No two documents may have the same key. Null, and a composite key with a null in it, never clash.
    #[serde(default)]
    pub unique: bool,
    /// Leave out documents whose fields are all missing or null.
    #[serde(default)]
    pub sparse: bool,
}

impl IndexConfig {
    /// The issue for which a document with incomplete entries is refused.
    pub fn too_many_keys(&self) -> Issue {
        let message =
            format!("the arrays of {} combine to more than {MAX_TUPLES} keys", self.fields.join(" and "));
        Issue { path: Vec::new(), message, code: "too_big" }
    }
}

/// What tells two indexes of the same name apart.
impl fmt::Display for IndexConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unique = if self.unique { "unique " } else { "" };
        let sparse = if self.sparse { "sparse " } else { "" };
        write!(f, "{unique}{sparse}{} of [{}]", self.kind.name(), self.fields.join(", "))
    }
}

impl IndexConfig {
    /// Refuses what no index can be. Does not check whether the name is fit to be a file name.
    pub fn check(&self) -> Result<()> {
        let problem = if self.name.is_empty() {
            "an index needs a name that is not empty".into()
        } else if self.fields.is_empty() {
            format!("index {} needs at least one field", self.name)
        } else if let Some(field) = self.fields.iter().find(|field| field.split('.').any(str::is_empty)) {
            format!("a field of index {} must be a path of names joined with dots, got {field:?}", self.name)
        } else if self.unique && self.kind == IndexType::Inverted {
            format!("index {} cannot be unique: documents share words; use type hash or btree", self.name)
        } else {
            return Ok(());
        };
        Err(Error::InvalidArgument(problem))
    }
}

/// What to ask a computed index for, in order to find every document whose fields equal certain values.
#[derive(Debug, Clone, PartialEq)]
pub enum Keys {
    These(Vec<IndexKey>),
    /// From the first key on, up to but not including the second.
    Between(IndexKey, IndexKey),
}

/// Returns the keys for values of members. The argument returns the value of a member by its name, or `None` if the member
/// need not equal anything. The keys may find more documents than those with the values; the result is `None` if they would
/// miss some.
pub type Lookup = fn(&dyn Fn(&str) -> Option<IndexKey>) -> Option<Keys>;

/// How keys come out of a document.
#[derive(Debug, Clone, Copy)]
pub enum Extractor {
    /// From the declared field paths.
    Fields,
    /// By a rule of the index's owner. It is given the raw JSON values of the document's members `of`, and `None` for those
    /// that are missing. Texts among the keys become words in an inverted index. `version` must be raised with every change
    /// of the rule or of what it is given, so that what the old rule found is not taken for what the new one finds. Queries
    /// are planned over the index if there is a `lookup`.
    Computed {
        of: &'static [&'static str],
        rule: fn(&[Option<&[u8]>]) -> Vec<IndexKey>,
        lookup: Option<Lookup>,
        version: u32,
    },
}

impl Extractor {
    /// The version of the rule, if there is one.
    pub fn version(&self) -> Option<u32> {
        match self {
            Extractor::Fields => None,
            Extractor::Computed { version, .. } => Some(*version),
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct IndexSpec {
    pub config: IndexConfig,
    pub extractor: Extractor,
    /// The paths of the values from which the keys come.
    pub(super) paths: Box<[Path]>,
}

impl IndexSpec {
    pub fn new(config: IndexConfig, extractor: Extractor) -> IndexSpec {
        let paths = match extractor {
            Extractor::Fields => config.fields.iter().map(|field| parse_path(field)).collect(),
            Extractor::Computed { of, .. } => of.iter().map(|&name| Path::from([name.into()])).collect(),
        };
        IndexSpec { config, extractor, paths }
    }
}

impl PartialEq for Extractor {
    fn eq(&self, other: &Extractor) -> bool {
        match (self, other) {
            (Extractor::Fields, Extractor::Fields) => true,
            (
                Extractor::Computed { of, rule, version, .. },
                Extractor::Computed { of: other_of, rule: other_rule, version: other_version, .. },
            ) => (of, version) == (other_of, other_version) && std::ptr::fn_addr_eq(*rule, *other_rule),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_reads_and_writes_its_json_form() {
        let json = r#"{"name":"byCity","type":"btree","fields":["address.city"]}"#;
        let config: IndexConfig = serde_json::from_str(json).unwrap();
        assert_eq!(config.kind, IndexType::Btree);
        assert!(!config.unique && !config.sparse);
        assert_eq!(
            serde_json::to_string(&config).unwrap(),
            r#"{"name":"byCity","type":"btree","fields":["address.city"],"unique":false,"sparse":false}"#
        );
    }

    #[test]
    fn an_impossible_index_config_is_refused() {
        let config = |name: &str, fields: &[&str], kind| IndexConfig {
            name: name.into(),
            kind,
            fields: fields.iter().map(|&field| field.into()).collect(),
            unique: true,
            sparse: false,
        };
        assert!(config("a", &["b"], IndexType::Hash).check().is_ok());
        for wrong in [
            config("", &["b"], IndexType::Hash),
            config("a", &[], IndexType::Hash),
            config("a", &["b"], IndexType::Inverted),
        ] {
            assert_eq!(wrong.check().map_err(|error| error.code()), Err("INVALID_ARGUMENT"), "{wrong:?}");
        }
    }
}
