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
 * Every error of this package, with two exceptions: errors of your own schemas, callbacks and streams reach you unchanged, and
 * constructors throw a `TypeError` or `RangeError` with the code `INVALID_ARGUMENT`.
 */
export class StorageError extends Error {
  constructor(message: string, code: StorageErrorCode, options?: ErrorOptions)
  readonly code: StorageErrorCode
  /** For `ABORTED`: the reason of the signal, which is also the `cause`. */
  readonly reason?: unknown
  /** For `IO_ERROR`: the operating system's name for the error, e.g. `'ENOSPC'`. */
  readonly errno?: string
  /**
   * For `IO_ERROR`, `CORRUPT_DATA`, `UNSUPPORTED_FORMAT` and `UNSUPPORTED_FILESYSTEM`, and for `LOCK_TIMEOUT` if there is
   * one: the file or directory.
   */
  readonly path?: string
  /** For `IO_ERROR`: the operation that failed, e.g. `'open'`. */
  readonly operation?: string
  /** For `ADDON_NOT_LOADED`: the platform, e.g. `'linux-x64-musl'`. */
  readonly platform?: string
  /** For `LOCK_TIMEOUT`: the process that holds the lock, if known. */
  readonly holder?: number
  /** For `LOCK_TIMEOUT` of a restore or a repair: the other processes that have the data open, as far as the system tells. */
  readonly holders?: number[]
  /**
   * For a write that failed. `'none'`: nothing changed, and the call may be repeated. `'unknown'`: either a sync failed, and
   * only reopening the database tells whether the write is there; or data could not be put back, and reopening does that.
   */
  readonly outcome?: 'none' | 'unknown'
}

/** One field that broke a rule. */
export interface ValidationIssue {
  /** The keys and positions that lead to the field, outermost first. */
  path: (string | number)[]
  message: string
  /** A stable word for the kind of issue, e.g. `'invalid_type'`. */
  code: string
}

/** Data was rejected by a rule. Nothing was written. */
export class ValidationError extends StorageError {
  constructor(message: string, issues: ValidationIssue[])
  readonly code: 'VALIDATION_ERROR'
  /** One for each bad field. */
  readonly issues: ValidationIssue[]
}

/** A project, file, version or index does not exist. The message names its id. */
export class NotFoundError extends StorageError {
  constructor(message: string)
  readonly code: 'NOT_FOUND'
}
