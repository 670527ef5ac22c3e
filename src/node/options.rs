//! Options and ids on their way in. JavaScript has checked them.

use std::time::Duration;

use napi_derive::napi;

use super::session::SessionOptions;
use crate::engine::{CacheLimits, Durability};

#[napi(object)]
pub struct NativeOptions {
    pub cache_enabled: bool,
    /// Milliseconds.
    pub cache_ttl: f64,
    pub max_cache_size: f64,
    /// Milliseconds.
    pub lock_timeout: f64,
    /// Whether a write, once resolved, survives a power loss.
    pub full_durability: bool,
}

/// Longer than any process lives. Below it, conversions from floating point stay in range.
const LONGEST_MS: f64 = 1e14;

pub fn milliseconds(value: f64) -> Duration {
    Duration::from_millis(value.clamp(0.0, LONGEST_MS) as u64)
}

impl From<NativeOptions> for SessionOptions {
    fn from(options: NativeOptions) -> SessionOptions {
        SessionOptions {
            cached: options.cache_enabled,
            cache: CacheLimits {
                entries: options.max_cache_size as u64,
                ttl: milliseconds(options.cache_ttl),
            },
            lock_timeout: milliseconds(options.lock_timeout),
            durability: if options.full_durability { Durability::Full } else { Durability::Os },
        }
    }
}
