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
    /// A whole list, with or without content.
    List(Arc<str>, &'static str),
}

/// A cached text and the stamp it was read with: the stamp of the document, or the version of the collection. An entry whose
/// stamp is not the current one counts as absent, so no entry has to be invalidated in time.
#[derive(Clone)]
struct Cached {
    stamp: Stamp,
    text: Arc<[u8]>,
    read: Instant,
}

/// An LRU cache with expiry, shared by all instances on one database. Its texts take at most 1 MiB for each entry that it
/// may hold, or 64 MiB in total if that is more: see [`kib_of_entry`].
pub struct Cache {
    store: RwLock<Store>,
    hits: AtomicU64,
    misses: AtomicU64,
    clears: AtomicU64,
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

/// An upper limit for lifetimes, because the cache library refuses very long ones.
const MAX_TTL: Duration = Duration::from_secs(86_400 * 365 * 100);

/// A text of at least this size evicts other entries as soon as it is inserted. Smaller texts evict in batches.
const LARGE: usize = 64 << 10;

/// Returns the least size that an entry counts as, in KiB. A cache with `entries` times this capacity never has more than
/// `entries` entries, and has room for that many if none of their texts is larger.
fn kib_of_entry(entries: u64) -> u64 {
    const LEAST: u64 = 1 << 10;
    const LEAST_OF_ALL: u64 = 64 << 10;
    LEAST_OF_ALL.div_ceil(entries.max(1)).max(LEAST)
}

impl Store {
    fn new(limits: CacheLimits) -> Store {
        let least = kib_of_entry(limits.entries);
        let entries = moka::sync::Cache::builder()
            .max_capacity(limits.entries.saturating_mul(least))
            .weigher(move |_, cached: &Cached| {
                let kib = cached.text.len().div_ceil(1 << 10) as u64;
                u32::try_from(kib.max(least)).unwrap_or(u32::MAX)
            })
            .eviction_policy(EvictionPolicy::lru())
            .time_to_live(limits.ttl.min(MAX_TTL))
            .build();
        Store { limits, entries }
    }
}

impl Cache {
    pub fn new(limits: CacheLimits) -> Cache {
        let store = RwLock::new(Store::new(limits));
        Cache { store, hits: AtomicU64::new(0), misses: AtomicU64::new(0), clears: AtomicU64::new(0) }
    }

    /// Raises the limits to those that another instance asks for. Cached entries are kept.
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

    /// Returns the text under `key` if it still has this stamp. Counts neither a hit nor a miss: see [`Cache::count`].
    pub fn get(&self, key: &CacheKey, stamp: Stamp) -> Option<Arc<[u8]>> {
        self.get_fresh(key, stamp).map(|(text, _)| text)
    }

    /// Like [`Cache::get`], but also returns the time left until the entry expires.
    pub fn get_fresh(&self, key: &CacheKey, stamp: Stamp) -> Option<(Arc<[u8]>, Duration)> {
        let store = self.store.read();
        let cached = store.entries.get(key)?;
        // A store with higher limits counts the lifetime from when it took the entry over.
        let left = store.limits.ttl.checked_sub(cached.read.elapsed())?;
        (cached.stamp == stamp).then_some((cached.text, left))
    }

    pub fn insert(&self, key: CacheKey, stamp: Stamp, text: Arc<[u8]>) {
        let (store, is_large) = (self.store.read(), text.len() >= LARGE);
        store.entries.insert(key, Cached { stamp, text, read: Instant::now() });
        if is_large {
            store.entries.run_pending_tasks();
        }
    }

    pub fn remove(&self, key: &CacheKey) {
        self.store.read().entries.invalidate(key);
    }

    pub fn clear(&self) {
        self.clears.fetch_add(1, Ordering::Release);
        self.store.read().entries.invalidate_all();
    }

    /// Returns how often it was cleared.
    pub fn clears(&self) -> u64 {
        self.clears.load(Ordering::Acquire)
    }

    /// Counts one logical read as one hit or one miss, however many look-ups it took.
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
    fn never_holds_more_entries_than_its_limit() {
        let cache = Cache::new(limits(3));
        for id in 0..50 {
            cache.insert(key(id), stamp(0), b"x"[..].into());
            assert!(cache.stats().size <= 3);
        }
        assert_eq!(cache.stats().size, 3);
    }

    #[test]
    fn holds_as_many_small_texts_as_its_limit_allows() {
        for entries in [1, 3, 7, 50, 63, 64, 65, 100, 1500] {
            let cache = Cache::new(limits(entries));
            for id in 0..2 * entries {
                cache.insert(key(id), stamp(0), b"x"[..].into());
                cache.stats();
            }
            assert_eq!(cache.stats().size, entries);
        }
    }

    #[test]
    fn holds_at_most_a_mebibyte_per_allowed_entry() {
        let cache = Cache::new(limits(100));
        let text: Arc<[u8]> = vec![b'x'; 8 << 20].into();
        for id in 1..=40 {
            cache.insert(key(id), stamp(0), Arc::clone(&text));
            // An evicted entry may stay in memory until other threads have moved on.
            assert_eq!(cache.store.read().entries.entry_count(), id.min(12));
        }
        assert_eq!(cache.stats().size, 12);
    }

    #[test]
    fn holds_a_large_text_even_with_a_small_entry_limit() {
        let cache = Cache::new(limits(1));
        cache.insert(key(1), stamp(0), vec![b'x'; 40 << 20].into());
        assert!(cache.get(&key(1), stamp(0)).is_some());
        cache.insert(key(2), stamp(0), vec![b'x'; 65 << 20].into());
        assert!(cache.get(&key(2), stamp(0)).is_none());
    }

    #[test]
    fn raising_the_limits_keeps_the_cached_entries() {
        let cache = Cache::new(limits(2));
        cache.insert(key(1), stamp(0), b"x"[..].into());
        cache.raise(limits(10));
        cache.raise(limits(1));
        assert_eq!(cache.stats().limits.entries, 10);
        assert!(cache.get(&key(1), stamp(0)).is_some());
    }

    #[test]
    fn raising_the_limits_does_not_prolong_the_life_of_an_entry() {
        let cache = Cache::new(limits(2));
        let Some(read) = Instant::now().checked_sub(Duration::from_secs(61)) else { return };
        let cached = Cached { stamp: stamp(0), text: b"x"[..].into(), read };
        cache.store.read().entries.insert(key(1), cached);
        cache.raise(limits(10));
        assert_eq!(cache.get(&key(1), stamp(0)), None);
    }

    #[test]
    fn entries_expire() {
        let cache = Cache::new(CacheLimits { entries: 10, ttl: Duration::ZERO });
        cache.insert(key(1), stamp(0), b"x"[..].into());
        assert_eq!(cache.get(&key(1), stamp(0)), None);
    }
}
