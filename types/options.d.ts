/**
 * The options of a storage. A wrong type or value is a `TypeError` or `RangeError` that names the option; its code is
 * `INVALID_ARGUMENT`.
 */
export interface StorageOptions {
  /** The directory that contains `dataDir`. Default: `process.cwd()`. */
  basePath?: string | undefined
  /** Whether this instance caches what it reads. Default: `true`. */
  cacheEnabled?: boolean | undefined
  /** Milliseconds after which a cached entry expires, counted from the read. Default: 300 000. */
  cacheTTL?: number | undefined
  /**
   * The maximum number of cache entries; an entry is one document or one whole list. Default: 100. The texts of all entries
   * together take at most 1 MiB times this number, or 64 MiB if that is more.
   */
  maxCacheSize?: number | undefined
  /** Milliseconds that a write waits for its lock before it fails with `LOCK_TIMEOUT`. Default: 30 000. */
  lockTimeout?: number | undefined
  /** What a resolved write survives. `'full'` (the default): power loss. `'os'`: only the death of the process. */
  durability?: 'full' | 'os' | undefined
}

/** The options in force, with defaults filled in. `basePath` is absolute. */
export type ResolvedStorageOptions = { readonly [K in keyof StorageOptions]-?: Exclude<StorageOptions[K], undefined> }

/**
 * The result of {@link BaseStorage.getCacheStats}. Each read counts as one hit or one miss, however much it returns. Reads
 * that select by an index, a condition or a version run anew, a miss each time, except that of a file by its path.
 * Transactions and `iterate` read a snapshot of their own, bypass the cache and count as neither.
 */
export interface CacheStats {
  /** Entries held now. Never more than `maxSize`. */
  size: number
  maxSize: number
  /** Milliseconds. */
  ttl: number
  enabled: boolean
  /** Reads that the cache answered. */
  hits: number
  /** Reads that the cache did not answer. */
  misses: number
  /** `hits / (hits + misses)`, from 0 to 1; 0 before the first read. */
  hitRate: number
}

/** The last argument of every call that may take long. */
export interface CallOptions {
  /**
   * Aborts the call. The call rejects with `ABORTED` at once, even if the signal was already raised before it, and its work
   * stops soon; `cause` and `reason` of the error are the signal's reason. A write that is aborted while it waits has not
   * happened and never will (`outcome: 'none'`). A write that has begun to write completes, and its promise resolves.
   */
  signal?: AbortSignal | undefined
}
