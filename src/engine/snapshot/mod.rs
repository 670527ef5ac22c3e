//! Snapshots: the JSON file of a collection, a plain map of id to document.
//!
//! The engine writes one document per line, ids ascending. It reads any layout that is valid JSON, and saves what it can of
//! broken JSON.

mod pieces;
mod salvage;
mod scan;
mod write;

pub use pieces::{Documents, Heads, measure_pieces, scan_pieces};
pub use salvage::salvage;
pub use scan::{Scanned, scan_lines, scan_map};
pub use write::SnapshotWriter;
