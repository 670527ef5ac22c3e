import type { CacheStats } from './options.js'

/** How often something happened and how long it took, including waiting. Times are in milliseconds. */
export interface Timing {
  count: number
  total: number
  longest: number
}

/** A collection: the entities of one JSON file. */
export interface CollectionStats {
  /** The JSON file, relative to the database's directory, with `/` between names. */
  path: string
  /** The number of entities; `null` until someone in this process has requested one of them. */
  documents: number | null
  /** Bytes of the JSON file when it was last written or adopted; 0 before that. */
  bytes: number
  /** Entities that changed since then and are only in the journal. */
  changedDocuments: number
  changedBytes: number
}

/** What was written. Bytes count what reached the file system. */
export interface WriteStats {
  /** How often batches were written. Batches of concurrent calls are written together and share a sync. */
  groups: number
  /** Batches written: one for each write call or transaction that changed something. */
  batches: number
  /** Entities that the batches stored or deleted. */
  documents: number
  /** Bytes of the entities that the batches stored. */
  documentBytes: number
  journalBytes: number
  /** Bytes of the JSON files that checkpoints wrote. */
  snapshotBytes: number
  /** Bytes of the stored indexes. */
  indexBytes: number
  /** Write amplification: all bytes written for each byte of `documentBytes`; `null` before the first write. */
  amplification: number | null
  /** Updates and transactions that lost against another writer and were tried again or failed with `CONFLICT`. */
  conflicts: number
}

/** The result of `stats()`. Counts and times are those of this process since it opened the database. */
export interface StorageStats {
  /** The database's directory. */
  directory: string
  /** When this process opened it, in milliseconds since 1970. */
  opened: number
  /** Whether writes are impossible because the directory is read-only. */
  readOnly: boolean
  /** Batch numbers. They count up for the whole life of the database. */
  sequence: {
    /** The last batch that this process has applied. */
    last: number
    /** The last batch that any process acknowledged. Reads and writes first apply the batches in between. */
    acknowledged: number
    /** Batches up to this one survive power loss. */
    durable: number
    /** Batches up to this one are in the JSON files. */
    covered: number
  }
  journal: {
    /** Number of the current file. */
    generation: number
    files: number
    /** Total size of the files. */
    bytes: number
    /** Bytes that wait for the next checkpoint. */
    pendingBytes: number
  }
  /** All collections of the database, by path. */
  collections: CollectionStats[]
  writes: WriteStats
  /** Syncs of the journal, which durable writes wait for. */
  syncs: Timing
  /** Times when a writer found the write lock held by another process. */
  lockWaits: Timing
  /** Checkpoints by this process that wrote something. */
  checkpoints: Timing & {
    failed: number
    /** The last checkpoint: when it ended in milliseconds since 1970, how many milliseconds ago, and how long it took. */
    last: { at: number; age: number; duration: number } | null
  }
  /** Applying batches of other processes. */
  catchUps: {
    count: number
    batches: number
    /** How often everything was reread from disk, because this process had been idle for several checkpoints. */
    reloads: number
  }
  /** The result of `getCacheStats()`. */
  cache: CacheStats
  /** Journals, JSON files and files of streamed contents that are kept open for reading. */
  openFiles: number
  /** Whether shared memory announces the writes of other processes; `false` if the directory is read-only. */
  tipMapped: boolean
}
