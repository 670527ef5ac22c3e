/** What every event has that tells how something went. */
interface Ended {
  /** When it began, in milliseconds since 1970. */
  time: number
  /** How many milliseconds it took. */
  duration: number
  /** What the caller got instead of a result; absent when it went well. */
  error?: unknown
}

/** What the events of calls have. */
interface Called extends Ended {
  /** The method: `'create'`, `'query'`, … */
  operation: string
  basePath: string
  /** The database's directory. */
  database: string
  /** The JSON file, relative to the database. */
  collection?: string
  /** Of an `IndexManager`: the name of the index. */
  index?: string
}

/**
 * What the channels of `node:diagnostics_channel` carry:
 *
 * ```ts
 * channel('octoprompt-storage:write').subscribe((message) => {
 *   const { operation, duration } = message as StorageEvents['octoprompt-storage:write']
 * })
 * ```
 */
export interface StorageEvents {
  'octoprompt-storage:write': Called & {
    /** How many entities were given. */
    entities?: number
    /** Bytes of the texts that were handed to the engine: of a map of files that was read before, those that differ. */
    bytes: number
    /** The number of a batch at which the write is visible. */
    sequence?: number
  }
  /** Reads that memory could not answer on the spot. */
  'octoprompt-storage:read': Called
  'octoprompt-storage:transaction': Called & {
    /** How often it ran, if it committed. */
    attempts?: number
  }
  /** An attempt that others came before: it is made again, or fails with `CONFLICT`. */
  'octoprompt-storage:conflict': Omit<Called, keyof Ended> & {
    time: number
    /** Of an update. */
    id?: number | string
    /** Of a transaction. */
    attempt?: number
  }
  'octoprompt-storage:open': Ended & {
    database: string
    /** Whether no other process had the database open, so that this one recovered it. */
    alone: boolean
    readOnly: boolean
    /** Whether bytes that a crash left, and nobody was promised, were cut from the journal. */
    cut: boolean
    sequence: number
    /** Batches that the journal has and the JSON files have not. */
    pendingBatches: number
  }
  /** Checkpoints that wrote something or failed; all but `database` is of those that wrote. */
  'octoprompt-storage:checkpoint': Ended & {
    database: string
    collections?: number
    bytes?: number
    /** Up to here batches are in the JSON files. */
    sequence?: number
  }
  'octoprompt-storage:backup': Ended & {
    operation: 'backup' | 'restore'
    basePath: string
    /** The path of a backup that was made. */
    backup?: string
  }
  'octoprompt-storage:migration': Ended & {
    /** `'up'` and `'down'` are the steps. */
    operation: 'migrate' | 'rollback' | 'up' | 'down'
    basePath: string
    /** Of a step. */
    version?: string
    /** Of the whole: what was applied or rolled back. */
    versions?: string[]
    currentVersion?: string
  }
  'octoprompt-storage:warning': { code: string; message: string; time: number }
}
