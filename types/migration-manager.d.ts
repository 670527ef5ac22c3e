import type { CallOptions } from './options.js'

/**
 * Receives the lines that a {@link MigrationManager} logs. If it throws or rejects, that is reported once and stops nothing.
 */
export interface MigrationLogger {
  info(line: string): void
  warn(line: string): void
  error(line: string): void
}

/**
 * The options of a {@link MigrationManager}. A wrong type or value is a `TypeError` or `RangeError` that names the option;
 * its code is `INVALID_ARGUMENT`.
 */
export interface MigrationOptions {
  /** Milliseconds to wait for other operations on the base path and for other processes. Default: 30 000. */
  lockTimeout?: number | undefined
  /** Where lines are logged: an object, a function, or `null` for silence. Default: the console. */
  logger?: MigrationLogger | ((line: string, level: 'info' | 'warn' | 'error') => void) | null | undefined
  /** Files and directories to include in backups, relative to the base path. */
  include?: readonly string[] | undefined
  /** How many backups to keep. `backup()` removes the oldest ones beyond that number. Default: all. */
  keep?: number | undefined
}

/** What the callback of a migration receives. */
export interface MigrationContext {
  /** Absolute path of the directory that is migrated. */
  readonly basePath: string
  /** The version that is being applied or rolled back. */
  readonly version: string
  readonly direction: 'up' | 'down'
  /** The signal of `migrate` or `rollback`. Pass it on to the calls of the callback. */
  readonly signal?: AbortSignal | undefined
  readonly logger: MigrationLogger
  /** Reports progress: as a bar on a terminal, elsewhere as a line at every quarter. */
  progress(done: number, total: number): void
}

/** One migration. */
export interface MigrationConfig {
  /** A semantic version. Migrations run in version order, pre-releases before their release. */
  version: string
  /** One line for people. */
  description: string
  /**
   * Changes the data. If it throws or rejects, the data is restored byte for byte. It should close the storages that it
   * opens. Storages that stay open do no harm: what they write is part of the migration.
   */
  up(context: MigrationContext): void | PromiseLike<unknown>
  /** Undoes `up`. A version without `down` cannot be rolled back. */
  down?(context: MigrationContext): void | PromiseLike<unknown>
}

/** The content of `<basePath>/data/.migration-state.json`. */
export interface MigrationState {
  /** The highest applied version; `'0.0.0'` if there is none. */
  currentVersion: string
  /** In the order in which they were applied or tried. A version that was rolled back is removed. */
  migrations: {
    version: string
    description: string
    /** Milliseconds since 1970: when it was applied or last tried. */
    appliedAt: number
    /** Whether the migration is applied. */
    success: boolean
    /** The error that stopped it; for an applied migration, the error that stopped its rollback. */
    error?: string
  }[]
}

/** The result of {@link MigrationManager.status}. */
export interface MigrationStatus {
  currentVersion: string
  /** The highest registered version; `null` if none is registered. */
  latestVersion: string | null
  /** How many migrations `migrate()` would run. */
  pending: number
  /** By version, ascending. */
  migrations: {
    version: string
    description: string
    /**
     * `'pending'`: registered but not applied, even if higher versions are applied. `'failed'`: pending, and the last
     * attempt failed. `'unknown'`: recorded, but not registered here.
     */
    state: 'applied' | 'pending' | 'failed' | 'unknown'
    /** Milliseconds since 1970: when it was applied or last tried. */
    appliedAt: number | null
    error: string | null
    hasDown: boolean
  }[]
}

/** The result of a run. */
export interface MigrationResult {
  /** The versions that were applied or rolled back, in that order. Empty if there was nothing to do. */
  versions: string[]
  /** The version of the data after the run. */
  currentVersion: string
}

/** The options of {@link MigrationManager.backup}. */
export interface BackupOptions {
  /**
   * Called with the bytes copied so far and the total. An error that it throws or rejects with is rethrown and stops the
   * backup, unless that was made completely by then.
   */
  onProgress?: ((done: number, total: number) => void | Promise<void>) | undefined
  /** Stops the backup: the call rejects with `ABORTED`, and nothing of the backup is left. */
  signal?: AbortSignal | undefined
  /** How many backups to keep; overrides the option of the manager. */
  keep?: number | undefined
}

/** One directory in `<basePath>/backups`. */
export interface BackupInfo {
  name: string
  /** Absolute path. */
  path: string
  /** Milliseconds since 1970; `null` if there is no readable manifest. */
  created: number | null
  /** Total bytes of its files. */
  size: number
  files: number
  /** Whether the manifest is there and every file that it lists is there with its size. `verifyBackup` compares the checksums. */
  complete: boolean
  /** Why the backup is not complete. */
  problem: string | null
}

/** The options of {@link MigrationManager.restore}. */
export interface RestoreOptions {
  /**
   * Called with the bytes copied so far and the total. An error that it throws or rejects with is rethrown and stops the
   * restore, unless that was done completely by then.
   */
  onProgress?: ((done: number, total: number) => void | Promise<void>) | undefined
  /** Stops the restore while it prepares: the call rejects with `ABORTED`, and nothing has changed. */
  signal?: AbortSignal | undefined
}

/** The options of {@link MigrationManager.verifyBackup}. */
export interface VerifyBackupOptions {
  /** Called with the bytes read so far and the total. An error that it throws or rejects with is rethrown and stops the call. */
  onProgress?: ((done: number, total: number) => void | Promise<void>) | undefined
  /** Stops the call, which rejects with `ABORTED`. */
  signal?: AbortSignal | undefined
}

/** What {@link MigrationManager.verifyBackup} found. */
export interface BackupReport {
  /** Whether every file is there as it was copied, and this version can restore all of it. */
  ok: boolean
  name: string
  /** Absolute path. */
  path: string
  /** Milliseconds since 1970; `null` if there is no good manifest. */
  created: number | null
  /** Total bytes of the files that it should have. */
  size: number
  files: number
  problems: BackupProblem[]
}

/** Something wrong with one file of a backup. */
export interface BackupProblem {
  /** The file, relative to the directory of the backup. */
  path: string
  message: string
}

/**
 * Migrations of the data under one base path, and its backups.
 *
 * Only one operation runs at a time. Other operations, including those of other managers and processes, wait for it up to
 * `lockTimeout` and then reject with `LOCK_TIMEOUT`. An operation that is called inside a callback of a migration rejects
 * with `INVALID_ARGUMENT` instead, because it would wait for itself.
 *
 * While migrations run, other processes wait to write, and to open the data. Processes that already have it open go on
 * reading, and see what a migration has written so far, even if it is undone later. All writes of this process belong to
 * the migration, whoever makes them, and are undone with it: migrate before you serve requests.
 */
export class MigrationManager {
  /**
   * @param basePath The directory above `data/`. No file is accessed before the first call.
   * @throws TypeError, RangeError when an argument has a wrong type or value.
   */
  constructor(basePath: string, options?: MigrationOptions)

  /** Absolute path. */
  readonly basePath: string

  /**
   * Registers a migration.
   * @throws StorageError `INVALID_ARGUMENT` for a version that is not semantic or a field of a wrong type,
   * `ALREADY_EXISTS` for a version that is already registered, even with different build metadata.
   */
  register(migration: MigrationConfig): void

  /**
   * Applies every pending migration up to `targetVersion`: those that are registered but not applied, including versions
   * below the current one that were registered later. Each migration is applied completely or not at all, whatever happens,
   * and recorded at once. It is fine if none is pending.
   *
   * If a migration throws, it is recorded with its error, its changes are undone and the run stops; earlier migrations stay
   * applied. The next `migrate()` tries it again. If the process dies in the middle of a migration, the data is put back the
   * next time it is opened.
   *
   * If the signal is raised while the call waits for other operations, the call ends at once. If it is raised while a
   * callback runs, the call waits for the callback (which has the signal too), undoes its changes and rejects with
   * `ABORTED`; versions before it stay applied.
   * @throws The error that the callback threw, unchanged.
   * @throws StorageError `NOT_FOUND` for a target that is not registered, `INVALID_ARGUMENT` for one below the
   * current version, `LOCK_TIMEOUT` with the pid of the holder, `CORRUPT_DATA` for a damaged state file,
   * `MIGRATION_FAILED` if a callback threw (its error is the `cause`) and the data could not be put back either.
   */
  migrate(targetVersion?: string, options?: CallOptions): Promise<MigrationResult>

  /**
   * Rolls back every applied version above `targetVersion`, highest first, each completely or not at all. `'0.0.0'` rolls
   * back all.
   * @throws The error that the callback threw, unchanged. The version stays applied and is recorded with the error.
   * @throws StorageError as {@link migrate}; `INVALID_ARGUMENT` for a target above the current version, and if one of the
   * versions has no `down` or is not registered. Then nothing was rolled back.
   */
  rollback(targetVersion: string, options?: CallOptions): Promise<MigrationResult>

  /**
   * Returns what is recorded. Without a state file, nothing was ever applied.
   * @throws StorageError `CORRUPT_DATA` for a damaged state file.
   */
  getState(): Promise<MigrationState>

  /**
   * Prints a table of all migrations and returns it as data.
   * @throws StorageError `CORRUPT_DATA` for a damaged state file.
   */
  status(): Promise<MigrationStatus>

  /**
   * Copies `data/`, every other database of the base path and the files in `include` to `<basePath>/backups/<name>`. Writers
   * are not stopped. The backup holds all databases as of one and the same moment, as JSON files that can be read without
   * the engine. It exists completely, with a manifest of checksums, or not at all.
   * @param name Letters, digits, `.`, `_` and `-`, with no dot at either end. Default: the time, so that names sort by age.
   * @returns The absolute path of the backup.
   * @throws StorageError `INVALID_ARGUMENT` for a name, an included path, or a path that no backup may restore,
   * `ALREADY_EXISTS`, `CORRUPT_DATA` if a database is damaged, `IO_ERROR` (with `errno` `'ENOSPC'` if the disk has no room
   * for it), `LOCK_TIMEOUT`, `ABORTED`.
   */
  backup(name?: string, options?: BackupOptions): Promise<string>

  /**
   * Replaces everything that a backup covers with the backup, atomically: after a crash either all of it is replaced or
   * nothing. The backup is verified first. Databases that are not in the backup are emptied, other files under `data/` that
   * are not in it are removed, and the record of migrations is that of the backup. Storages that are open in this process
   * see the restored data.
   *
   * No other process may have a database of the base path open.
   * @param backup The name of a backup, or the path of its directory anywhere but in `data/`.
   * @throws StorageError, with nothing changed: `NOT_FOUND`, `CORRUPT_DATA` for a damaged or partial backup,
   * `UNSUPPORTED_FORMAT` for one of a newer version, `INVALID_ARGUMENT` that names what is in its way, `LOCK_TIMEOUT` that
   * names the other processes, `IO_ERROR`, `ABORTED`.
   */
  restore(backup: string, options?: RestoreOptions): Promise<void>

  /**
   * Reads all of a backup and compares it with its manifest, as `restore` does before it begins. Changes nothing, and runs
   * beside anything else. O(bytes).
   * @param backup The name of a backup, or the path of its directory.
   * @throws StorageError `NOT_FOUND`, `INVALID_ARGUMENT`, `ABORTED`. What is wrong with the backup is in the report.
   */
  verifyBackup(backup: string, options?: VerifyBackupOptions): Promise<BackupReport>

  /** All directories in `<basePath>/backups`, oldest first. `problem` says why one cannot be restored. */
  listBackups(): Promise<BackupInfo[]>

  /** Waits for the operations of this manager and ends it. Closing twice is fine. */
  close(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/**
 * Version `1.0.0`: reads every project and file that the old package wrote, sets aside, in full, those that break a rule,
 * builds the indexes of the rest and stores them on disk. It reports its progress and what it found, and may run twice.
 *
 * `down` removes the indexes from disk; the JSON files stay as they are. Queries give the same answers with and without
 * these indexes.
 */
export const addIndexesMigration: Readonly<Required<MigrationConfig>>
