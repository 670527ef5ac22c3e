/** What one batch did to one collection. */
export interface ChangeEvent<Id = number | string> {
  kind: 'change'
  /** The number of the batch: one more with each batch of the database. */
  sequence: number
  /** The JSON file of the collection, relative to the database. */
  collection: string
  /** Everything that was there before is gone. */
  emptied: boolean
  created: Id[]
  updated: Id[]
  deleted: Id[]
}

/**
 * What changed cannot be told in ids: changes were lost (`collection` is `null`) because the consumer was too slow, or
 * because the journals do not reach back that far; or a file was edited by hand and taken over. Read again.
 */
export interface ResetEvent {
  kind: 'reset'
  sequence: number
  collection: string | null
}

export type Change<Id = number | string> = ChangeEvent<Id> | ResetEvent

export interface ChangesOptions {
  /** Begins after the batch with this number, as far back as the journals are kept; otherwise with a reset. Default: now. */
  from?: number | undefined
  /** The changes of this storage's collection (the default), or of all of its database. */
  scope?: 'collection' | 'database' | undefined
  signal?: AbortSignal | undefined
}

/** The changes from the moment they are asked for, each once, in commit order. Ends with its storage, or by `return()`. */
export interface Changes<Id = number | string> extends AsyncIterableIterator<Change<Id>> {
  next(): Promise<IteratorResult<Change<Id>, undefined>>
  return(): Promise<IteratorResult<Change<Id>, undefined>>
  [Symbol.asyncIterator](): Changes<Id>
  [Symbol.asyncDispose](): Promise<void>
}
