//! The cache of recently read texts: documents and whole lists.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use moka::policy::EvictionPolicy;
use parking_lot::RwLock;

use super::document::DocumentId;
use super::document_map::Stamp;
use super::options::CacheLimits;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum CacheKey {
    Document(Arc<str>, DocumentId),
    /// A whole list, with content or without.
    List(Arc<str>, &'static str),
}

/// A cached text and what it was read as: the stamp of the document, or the version of the collection. An entry
/// whose stamp is not the current one is as good as absent, so nothing needs to be invalidated in time.
#[derive(Clone)]
struct Cached {
    stamp: Stamp,
    text: Arc<[u8]>,
    read: Instant,
}

/// An LRU cache with expiry, shared by all instances on one database.
pub struct Cache {
    store: RwLock<Store>,
    hits: AtomicU64,
    misses: AtomicU64,
}

struct Store {
    limits: CacheLimits,
    entries: moka::sync::Cache<CacheKey, Cached>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CacheStats {
    pub size: u64,
    pub limits: CacheLimits,
    pub hits: u64,
    pub misses: u64,
}

/// Longer lives are refused by the cache library.
const MAX_TTL: Duration = Duration::from_secs(86_400 * 365 * 100);

impl Store {
    fn new(limits: CacheLimits) -> Store {
        let entries = moka::sync::Cache::builder()
            .max_capacity(limits.entries)
            .eviction_policy(EvictionPolicy::lru())
            .time_to_live(limits.ttl.min(MAX_TTL))
            .build();
        Store { limits, entries }
    }
}

impl Cache {
    pub fn new(limits: CacheLimits) -> Cache {
        Cache { store: RwLock::new(Store::new(limits)), hits: AtomicU64::new(0), misses: AtomicU64::new(0) }
    }

    /// Raises the limits to what another instance asks for. What is cached moves over.
    pub fn raise(&self, limits: CacheLimits) {
        let mut store = self.store.write();
        let wanted = store.limits.max(limits);
        if wanted != store.limits {
            let raised = Store::new(wanted);
            for (key, cached) in &store.entries {
                raised.entries.insert((*key).clone(), cached);
            }
            *store = raised;
        }
    }

    pub fn ttl(&self) -> Duration {
        self.store.read().limits.ttl
    }

    /// The text under `key` if it still has this stamp. Counts nothing: see [`Cache::count`].
    pub fn get(&self, key: &CacheKey, stamp: Stamp) -> Option<Arc<[u8]>> {
        self.get_fresh(key, stamp).map(|(text, _)| text)
    }

    /// As [`Cache::get`], and how long the entry has until it expires.
    pub fn get_fresh(&self, key: &CacheKey, stamp: Stamp) -> Option<(Arc<[u8]>, Duration)> {
        let store = self.store.read();
        let cached = store.entries.get(key)?;
        let left = store.limits.ttl.saturating_sub(cached.read.elapsed());
        (cached.stamp == stamp).then_some((cached.text, left))
    }

    pub fn insert(&self, key: CacheKey, stamp: Stamp, text: Arc<[u8]>) {
        self.store.read().entries.insert(key, Cached { stamp, text, read: Instant::now() });
    }

    pub fn remove(&self, key: &CacheKey) {
        self.store.read().entries.invalidate(key);
    }

    pub fn clear(&self) {
        self.store.read().entries.invalidate_all();
    }

    /// One logical read is one hit or one miss, however many look-ups it took.
    pub fn count(&self, hit: bool) {
        if hit { &self.hits } else { &self.misses }.fetch_add(1, Ordering::Relaxed);
    }

    pub fn count_hits(&self, hits: u64) {
        self.hits.fetch_add(hits, Ordering::Relaxed);
    }

    pub fn stats(&self) -> CacheStats {
        let store = self.store.read();
        store.entries.run_pending_tasks();
        CacheStats {
            size: store.entries.entry_count().min(store.limits.entries),
            limits: store.limits,
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::document_map::Revision;

    fn key(id: u64) -> CacheKey {
        CacheKey::Document("a.json".into(), id.into())
    }

    fn stamp(of: u64) -> Stamp {
        (of, Revision::UNKNOWN)
    }

    fn limits(entries: u64) -> CacheLimits {
        CacheLimits { entries, ttl: Duration::from_secs(60) }
    }

    #[test]
    fn an_entry_with_another_stamp_is_absent() {
        let cache = Cache::new(limits(10));
        cache.insert(key(1), stamp(5), b"x"[..].into());
        assert_eq!(cache.get(&key(1), stamp(5)).as_deref(), Some(&b"x"[..]));
        assert_eq!(cache.get(&key(1), stamp(6)), None);
    }

    #[test]
    fn never_holds_more_than_it_may() {
        let cache = Cache::new(limits(3));
        for id in 0..50 {
            cache.insert(key(id), stamp(0), b"x"[..].into());
            assert!(cache.stats().size <= 3);
        }
        assert_eq!(cache.stats().size, 3);
    }

    #[test]
    fn raising_the_limits_keeps_what_is_cached() {
        let cache = Cache::new(limits(2));
        cache.insert(key(1), stamp(0), b"x"[..].into());
        cache.raise(limits(10));
        cache.raise(limits(1));
        assert_eq!(cache.stats().limits.entries, 10);
        assert!(cache.get(&key(1), stamp(0)).is_some());
    }

    #[test]
    fn entries_expire() {
        let cache = Cache::new(CacheLimits { entries: 10, ttl: Duration::ZERO });
        cache.insert(key(1), stamp(0), b"x"[..].into());
        assert_eq!(cache.get(&key(1), stamp(0)), None);
    }
}
