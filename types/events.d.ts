/** The fields of every event that reports how an operation ended. */
interface Ended {
  /** When the operation began, in milliseconds since 1970. */
  time: number
  /** How many milliseconds it took. */
  duration: number
  /** What the caller got instead of a result. Absent if the operation succeeded. */
  error?: unknown
}

/** The fields of every event that reports a call. */
interface Called extends Ended {
  /**
   * The method: `'create'`, `'query'`, … Some share a name: `'find'` for finding entities or projects by an index,
   * `'versions'` for reading versions of a file, `'readContent'` and `'appendContent'` for the pieces of a stream.
   */
  operation: string
  basePath: string
  /** The database's directory. */
  database: string
  /** The JSON file, relative to the database. */
  collection?: string
  /** For an `IndexManager`: the name of the index. */
  index?: string
}

/**
 * The messages of the channels of `node:diagnostics_channel`:
 *
 * ```ts
 * channel('octoprompt-storage:write').subscribe((message) => {
 *   const { operation, duration } = message as StorageEvents['octoprompt-storage:write']
 * })
 * ```
 */
export interface StorageEvents {
  'octoprompt-storage:write': Called & {
    /** How many entities the call was given. */
    entities?: number
    /** Bytes of JSON text handed to the engine. For a map of files that was read before, only the differing files count. */
    bytes: number
    /** The number of a batch at which the write is visible. */
    sequence?: number
  }
  /** Reads that could not be answered from memory at once. */
  'octoprompt-storage:read': Called
  'octoprompt-storage:transaction': Called & {
    /** How often the transaction ran, if it committed. */
    attempts?: number
  }
  /** An attempt that lost against another writer. It is made again, or the call fails with `CONFLICT`. */
  'octoprompt-storage:conflict': Omit<Called, keyof Ended> & {
    time: number
    /** For an update. */
    id?: number | string
    /** For a transaction. */
    attempt?: number
  }
  'octoprompt-storage:open': Ended & {
    database: string
    /** Whether no other process had the database open, so that this process recovered it. */
    alone: boolean
    readOnly: boolean
    /** Whether bytes that a crash left behind, and that were never acknowledged, were cut from the journal. */
    cut: boolean
    sequence: number
    /** Batches that are in the journal but not yet in the JSON files. */
    pendingBatches: number
  }
  /** A checkpoint that wrote something or failed. Only one that wrote has the fields after `database`. */
  'octoprompt-storage:checkpoint': Ended & {
    database: string
    collections?: number
    bytes?: number
    /** The JSON files hold every batch up to this number. */
    sequence?: number
  }
  'octoprompt-storage:backup': Ended & {
    operation: 'backup' | 'restore'
    basePath: string
    /** The path of the backup that was made. */
    backup?: string
  }
  'octoprompt-storage:migration': Ended & {
    /** `'up'` and `'down'` are single steps. */
    operation: 'migrate' | 'rollback' | 'up' | 'down'
    basePath: string
    /** For a step. */
    version?: string
    /** For `'migrate'` and `'rollback'`: the versions that were applied or rolled back. */
    versions?: string[]
    currentVersion?: string
  }
  'octoprompt-storage:warning': { code: string; message: string; time: number }
}
