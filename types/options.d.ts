/**
 * How a storage is opened. A wrong type or value is a `TypeError` or `RangeError` that names the option; its code is
 * `INVALID_ARGUMENT`.
 */
export interface StorageOptions {
  /** The directory under which `dataDir` lies. Default: `process.cwd()`. */
  basePath?: string | undefined
  /** Whether this instance keeps what it read. Default: `true`. */
  cacheEnabled?: boolean | undefined
  /** Milliseconds after which a cached entry expires, counted from when it was read. Default: 300 000. */
  cacheTTL?: number | undefined
  /**
   * The most entries the cache holds; an entry is one document or one whole list. Default: 100. Their texts have at most 1 MiB for
   * each, or 64 MiB if that is more.
   */
  maxCacheSize?: number | undefined
  /** Milliseconds that a write waits for its lock before it fails with `LOCK_TIMEOUT`. Default: 30 000. */
  lockTimeout?: number | undefined
  /** What a resolved write survives. `'full'` (the default): power loss. `'os'`: a killed process only. */
  durability?: 'full' | 'os' | undefined
}

/** The options in force, defaults filled in; `basePath` is absolute. */
export type ResolvedStorageOptions = { readonly [K in keyof StorageOptions]-?: Exclude<StorageOptions[K], undefined> }

/**
 * What {@link BaseStorage.getCacheStats} returns. A read is one hit or one miss, whatever it takes. What is chosen by an index, a
 * condition or a version is read anew, a miss each time, but for a file by its path. Transactions and `iterate` read a state of
 * their own, beside the cache, and count nothing.
 */
export interface CacheStats {
  /** Entries held now; never more than `maxSize`. */
  size: number
  maxSize: number
  /** Milliseconds. */
  ttl: number
  enabled: boolean
  /** Reads that the cache answered. */
  hits: number
  /** Reads that it did not. */
  misses: number
  /** `hits / (hits + misses)`, from 0 to 1; 0 before the first read. */
  hitRate: number
}

/** The last argument of every call that may take long. */
export interface CallOptions {
  /**
   * Gives the call up. It rejects with `ABORTED` at once, also when the signal was raised before, and the work behind it
   * ends soon; `cause` and `reason` of the error are the signal's reason. A write that is given up while it waits has not
   * happened and never will (`outcome: 'none'`); one that has begun to write completes, and resolves.
   */
  signal?: AbortSignal | undefined
}
