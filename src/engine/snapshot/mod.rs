//! Snapshots: the JSON file of a collection, a plain map of id to document.
//!
//! The engine writes one document per line, ids ascending; it reads any layout that is valid JSON, and of
//! broken JSON what can be saved.

mod pieces;
mod salvage;
mod scan;
mod write;

pub use pieces::{Documents, Heads, measure_pieces, scan_pieces};
pub use salvage::salvage;
pub use scan::{Scanned, scan_lines, scan_map};
pub use write::SnapshotWriter;
