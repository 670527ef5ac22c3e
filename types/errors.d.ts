/** The stable code of an error. Compare codes; messages may change. */
export type StorageErrorCode =
  | 'VALIDATION_ERROR'
  | 'NOT_FOUND'
  | 'ALREADY_EXISTS'
  | 'UNIQUE_VIOLATION'
  | 'INDEX_TYPE'
  | 'LOCK_TIMEOUT'
  | 'CORRUPT_DATA'
  | 'IO_ERROR'
  | 'CLOSED'
  | 'INVALID_ARGUMENT'
  | 'MIGRATION_FAILED'
  | 'CONFLICT'
  | 'ABORTED'
  | 'TOO_LARGE'
  | 'UNSUPPORTED_FORMAT'
  | 'UNSUPPORTED_FILESYSTEM'
  | 'ADDON_NOT_LOADED'

/**
 * Every error of this package, except errors of your own schemas, which reach you as they are, and what constructors refuse: a
 * `TypeError` or `RangeError` with the code `INVALID_ARGUMENT`.
 */
export class StorageError extends Error {
  constructor(message: string, code: StorageErrorCode, options?: ErrorOptions)
  readonly code: StorageErrorCode
  /** Of an `ABORTED` call: the reason of its signal, which is its `cause` too. */
  readonly reason?: unknown
  /** Of an `IO_ERROR`: the name the operating system gives it, e.g. `'ENOSPC'`. */
  readonly errno?: string
  /** Of an `IO_ERROR`, a `CORRUPT_DATA` or a `LOCK_TIMEOUT`: the file or directory. */
  readonly path?: string
  /** Of an `IO_ERROR`: what was tried, e.g. `'open'`. */
  readonly operation?: string
  /** Of an `ADDON_NOT_LOADED`: the machine, e.g. `'linux-x64-musl'`. */
  readonly platform?: string
  /** Of a `LOCK_TIMEOUT`: the process that has the lock, if that is known. */
  readonly holder?: number
  /** Of a `LOCK_TIMEOUT` of a restore: the other processes that have the data open, as far as the system tells. */
  readonly holders?: number[]
  /**
   * Of a write that failed: `'none'` when nothing changed and the call may be repeated, `'unknown'` when a sync failed
   * and only reopening tells whether the write is there, or when putting data back failed, which reopening does.
   */
  readonly outcome?: 'none' | 'unknown'
}

/** One field that broke a rule. */
export interface ValidationIssue {
  /** Keys and positions that lead to the field, outermost first. */
  path: (string | number)[]
  message: string
  /** A stable word for the kind of issue, e.g. `'invalid_type'`. */
  code: string
}

/** Data that a rule refuses. Nothing was written. */
export class ValidationError extends StorageError {
  constructor(message: string, issues: ValidationIssue[])
  readonly code: 'VALIDATION_ERROR'
  /** One for each bad field. */
  readonly issues: ValidationIssue[]
}

/** A project, file, version or index that does not exist; the message names its id. */
export class NotFoundError extends StorageError {
  constructor(message: string)
  readonly code: 'NOT_FOUND'
}
