import type { CacheStats } from './options.js'

/** How often something was done and how long it took, waiting included. Times are milliseconds. */
export interface Timing {
  count: number
  total: number
  longest: number
}

/** A collection: the entities of one JSON file. */
export interface CollectionStats {
  /** The JSON file, relative to the database's directory with `/` between names. */
  path: string
  /** Entities; `null` as long as nobody in this process has asked for one of them. */
  documents: number | null
  /** Bytes of the JSON file as it was written or taken over last; 0 before the first time. */
  bytes: number
  /** Entities that changed since: they are in the journal only. */
  changedDocuments: number
  changedBytes: number
}

/** What was written. Bytes are those that reached the file system. */
export interface WriteStats {
  /** How often batches were written: those of concurrent calls are written together and share a sync. */
  groups: number
  /** Batches: one for each write call or transaction that changed something. */
  batches: number
  /** Entities that the batches stored or deleted. */
  documents: number
  /** Bytes of those that they stored. */
  documentBytes: number
  journalBytes: number
  /** Bytes of the JSON files that checkpoints wrote. */
  snapshotBytes: number
  /** Bytes of the stored indexes. */
  indexBytes: number
  /** Write amplification: all bytes written for each byte of `documentBytes`; `null` before the first. */
  amplification: number | null
  /** Updates and transactions that others came before, so that they were tried again or failed with `CONFLICT`. */
  conflicts: number
}

/** What `stats()` returns. Counts and times are those of this process since it opened the database. */
export interface StorageStats {
  /** The database's directory. */
  directory: string
  /** When this process opened it, in milliseconds since 1970. */
  opened: number
  /** Whether nothing can be written because the directory is read-only. */
  readOnly: boolean
  /** Numbers of batches, which count for the life of the database. */
  sequence: {
    /** The last batch that this process has taken in. */
    last: number
    /** The last one that any process acknowledged. Reads and writes take in what lies between. */
    acknowledged: number
    /** Up to here batches survive power loss. */
    durable: number
    /** Up to here they are in the JSON files. */
    covered: number
  }
  journal: {
    /** Number of the current file. */
    generation: number
    files: number
    /** Size of all files. */
    bytes: number
    /** Bytes that wait for the next checkpoint. */
    pendingBytes: number
  }
  /** All collections of the database, by path. */
  collections: CollectionStats[]
  writes: WriteStats
  /** Syncs of the journal: what durable writes wait for. */
  syncs: Timing
  /** Times that a writer found the write lock taken by another process. */
  lockWaits: Timing
  /** Checkpoints of this process that wrote something. */
  checkpoints: Timing & {
    failed: number
    /** The last one: when it ended in milliseconds since 1970, how many milliseconds ago, and how long it took. */
    last: { at: number; age: number; duration: number } | null
  }
  /** Batches of other processes that were taken in. */
  catchUps: {
    count: number
    batches: number
    /** Times that everything was read from disk again, because this process had been idle for several checkpoints. */
    reloads: number
  }
  /** As `getCacheStats()` gives it. */
  cache: CacheStats
  /** Journals and JSON files that are held open to read from. */
  openFiles: number
  /** Whether memory shared by all processes tells of their writes; `false` where the directory is read-only. */
  tipMapped: boolean
}
