/**
 * What one batch did to one collection. An id that is written like an integer, such as `'42'`, is reported as a number, even if
 * it is a string in the entity.
 */
export interface ChangeEvent<Id = number | string> {
  kind: 'change'
  /**
   * The number of the batch. Each batch of the database has the next number. In a feed of the whole database, a batch that
   * changed several collections gives one event for each, all with its number.
   */
  sequence: number
  /** The JSON file of the collection, relative to the database. */
  collection: string
  /** Whether everything that the collection held before is gone. */
  emptied: boolean
  created: Id[]
  updated: Id[]
  deleted: Id[]
}

/**
 * Something changed that cannot be described by ids. Either changes were lost (`collection` is `null`), because the consumer
 * was too slow or the journals do not reach back that far, or a file was edited by hand and adopted. Read the data again.
 */
export interface ResetEvent {
  kind: 'reset'
  sequence: number
  collection: string | null
}

export type Change<Id = number | string> = ChangeEvent<Id> | ResetEvent

export interface ChangesOptions {
  /**
   * Starts after the batch with this number; with a reset, if the journals do not reach back that far. Default: now. To go on
   * with a feed of the whole database, give the number before that of the last event.
   */
  from?: number | undefined
  /** Whether to report changes of this storage's collection (the default) or of its whole database. */
  scope?: 'collection' | 'database' | undefined
  signal?: AbortSignal | undefined
}

/**
 * The changes from the moment of the call, each once, in commit order. On a storage that has not read or written anything yet,
 * those of other processes count from the moment its database is open. Ends when its storage closes, or by `return()`.
 */
export interface Changes<Id = number | string> extends AsyncIterableIterator<Change<Id>> {
  next(): Promise<IteratorResult<Change<Id>, undefined>>
  return(): Promise<IteratorResult<Change<Id>, undefined>>
  [Symbol.asyncIterator](): Changes<Id>
  [Symbol.asyncDispose](): Promise<void>
}
