import type { CallOptions } from './options.js'

/** Takes the lines that a {@link MigrationManager} has to say. What it throws is reported once and stops nothing. */
export interface MigrationLogger {
  info(line: string): void
  warn(line: string): void
  error(line: string): void
}

/**
 * How a {@link MigrationManager} works. A wrong type or value is a `TypeError` or `RangeError` that names the option; its code is
 * `INVALID_ARGUMENT`.
 */
export interface MigrationOptions {
  /** Milliseconds to wait for other operations on the base path, and for other processes. Default: 30 000. */
  lockTimeout?: number | undefined
  /** Where lines go: an object, a function, or `null` for silence. Default: the console. */
  logger?: MigrationLogger | ((line: string, level: 'info' | 'warn' | 'error') => void) | null | undefined
  /** Files and directories that backups take along, relative to the base path. */
  include?: readonly string[] | undefined
  /** How many backups to keep; `backup()` removes the oldest beyond that. Default: all. */
  keep?: number | undefined
}

/** What a migration is told. */
export interface MigrationContext {
  /** Absolute path of the directory that is migrated. */
  readonly basePath: string
  /** The version that is applied or rolled back. */
  readonly version: string
  readonly direction: 'up' | 'down'
  /** The signal of `migrate` or `rollback`, for what the callback calls. */
  readonly signal?: AbortSignal | undefined
  readonly logger: MigrationLogger
  /** Says how far the migration is: a bar on a terminal, a line at every quarter elsewhere. */
  progress(done: number, total: number): void
}

/** One migration. */
export interface MigrationConfig {
  /** A semantic version. Migrations run in their order, pre-releases before their release. */
  version: string
  /** One line for people. */
  description: string
  /**
   * Changes the data. When it throws or rejects, the data is as before, byte for byte. Storages that it opens it should
   * close; they may stay open, and what they write is part of the migration.
   */
  up(context: MigrationContext): void | PromiseLike<unknown>
  /** Undoes `up`. Without it the version cannot be rolled back. */
  down?(context: MigrationContext): void | PromiseLike<unknown>
}

/** What `<basePath>/data/.migration-state.json` holds. */
export interface MigrationState {
  /** The highest version that is applied; `'0.0.0'` when none is. */
  currentVersion: string
  /** In the order in which they were applied or tried. One that was rolled back is no longer among them. */
  migrations: {
    version: string
    description: string
    /** Milliseconds since 1970: when it was applied, or tried last. */
    appliedAt: number
    /** Whether the data has it. */
    success: boolean
    /** What stopped it; of one that is applied, what stopped its rollback. */
    error?: string
  }[]
}

/** What {@link MigrationManager.status} returns. */
export interface MigrationStatus {
  currentVersion: string
  /** The highest registered version; `null` when none is registered. */
  latestVersion: string | null
  /** How many migrations `migrate()` would run. */
  pending: number
  /** By version, ascending. */
  migrations: {
    version: string
    description: string
    /**
     * `'pending'`: registered and not applied, also where higher versions are. `'failed'`: pending, and the last
     * attempt failed. `'unknown'`: recorded, but not registered here.
     */
    state: 'applied' | 'pending' | 'failed' | 'unknown'
    /** Milliseconds since 1970: when it was applied, or tried last. */
    appliedAt: number | null
    error: string | null
    hasDown: boolean
  }[]
}

/** What a run did. */
export interface MigrationResult {
  /** The versions that were applied or rolled back, in this order; empty when there was nothing to do. */
  versions: string[]
  /** The version that the data has now. */
  currentVersion: string
}

/** How {@link MigrationManager.backup} works. */
export interface BackupOptions {
  /** Called with the bytes that are copied and those there are. What it throws stops the backup and is thrown on. */
  onProgress?: ((done: number, total: number) => void) | undefined
  /** Stops the backup: it rejects with `ABORTED`, and nothing of it is left. */
  signal?: AbortSignal | undefined
  /** How many backups to keep, instead of what the manager's options say. */
  keep?: number | undefined
}

/** One directory in `<basePath>/backups`. */
export interface BackupInfo {
  name: string
  /** Absolute path. */
  path: string
  /** Milliseconds since 1970; `null` without a readable manifest. */
  created: number | null
  /** Bytes of its files. */
  size: number
  files: number
  /** Whether it has a manifest, and every file that this names in its size. The checksums are compared by `restore`. */
  complete: boolean
  /** Why it is not complete. */
  problem: string | null
}

/** How {@link MigrationManager.restore} works. */
export interface RestoreOptions {
  /** Called with the bytes that are copied and those there are. What it throws stops the restore and is thrown on. */
  onProgress?: ((done: number, total: number) => void) | undefined
  /** Stops the restore while it prepares: it rejects with `ABORTED`, and nothing has changed. */
  signal?: AbortSignal | undefined
}

/**
 * Migrations of the data under one base path, and its backups.
 *
 * One operation at a time: others, those of other managers and processes too, wait for it up to `lockTimeout` and
 * then reject with `LOCK_TIMEOUT`. Called inside a callback of a migration they reject with `INVALID_ARGUMENT`
 * instead of waiting for themselves.
 *
 * While migrations run, writes of other processes wait, and so does one that opens the data. Those that have it open read on, and
 * see what a migration has written so far, also if it is undone later. Writes of this process belong to the migration, whoever
 * made them, and are undone with it: migrate before serving.
 */
export class MigrationManager {
  /**
   * @param basePath The directory above `data/`. Nothing is touched before the first call.
   * @throws TypeError, RangeError when an argument has a wrong type or value.
   */
  constructor(basePath: string, options?: MigrationOptions)

  /** Absolute path. */
  readonly basePath: string

  /**
   * Makes a migration known.
   * @throws StorageError `INVALID_ARGUMENT` for a version that is not semantic or a field of a wrong type,
   * `ALREADY_EXISTS` for a version that is registered; build metadata makes no difference.
   */
  register(migration: MigrationConfig): void

  /**
   * Applies what is pending, up to `targetVersion`: what is registered and was not applied, also versions lower than
   * the current one that were registered later. Each migration is applied wholly or not at all, whatever happens, and
   * recorded at once. Nothing pending is fine.
   *
   * A migration that throws is recorded with its error and stops the run; the data is as before it, those before it
   * stay applied. The next `migrate()` tries it again. A process that dies in the middle of a migration leaves
   * nothing of it: the next opening puts the data back.
   *
   * A signal that is raised while others are waited for ends the call at once. A callback that runs then is waited for (it
   * has the signal too), what it did is undone, and the call rejects with `ABORTED`; versions before it stay applied.
   * @throws What the callback threw, itself.
   * @throws StorageError `NOT_FOUND` for a target that is not registered, `INVALID_ARGUMENT` for one below the
   * current version, `LOCK_TIMEOUT` with the pid of the holder, `CORRUPT_DATA` for a damaged state file,
   * `MIGRATION_FAILED` when a callback threw (its `cause`) and putting the data back failed too.
   */
  migrate(targetVersion?: string, options?: CallOptions): Promise<MigrationResult>

  /**
   * Rolls back every applied version above `targetVersion`, highest first, each wholly or not at all. `'0.0.0'` rolls
   * back all.
   * @throws What the callback threw, itself. The version stays applied and is recorded with the error.
   * @throws StorageError as {@link migrate}; `INVALID_ARGUMENT` for a target above the current version, and when one
   * of the versions has no `down` or is not registered. Nothing was rolled back then.
   */
  rollback(targetVersion: string, options?: CallOptions): Promise<MigrationResult>

  /**
   * What is recorded. Without a state file nothing was ever applied.
   * @throws StorageError `CORRUPT_DATA` for a damaged state file.
   */
  getState(): Promise<MigrationState>

  /**
   * Prints a table of all migrations and returns it as data.
   * @throws StorageError `CORRUPT_DATA` for a damaged state file.
   */
  status(): Promise<MigrationStatus>

  /**
   * Copies `data/`, every other database of the base path and what `include` names to `<basePath>/backups/<name>`.
   * Writers go on; the backup has each database as it was at one moment, the same for all, as JSON files that need no
   * engine to be read. Either all of it is there, with a manifest of checksums, or nothing.
   * @param name Letters, digits, `.`, `_` and `-`, not beginning with a dot. Default: the time, so that names sort by
   * age.
   * @returns The absolute path of the backup.
   * @throws StorageError `INVALID_ARGUMENT` for a name or an included path, `ALREADY_EXISTS`, `IO_ERROR` (`errno` is
   * `'ENOSPC'` where there is no room for it), `LOCK_TIMEOUT`, `ABORTED`.
   */
  backup(name?: string, options?: BackupOptions): Promise<string>

  /**
   * Puts a backup in the place of everything that it covers, as one step: after a crash it has happened or not. The
   * backup is verified first. Databases that it does not have are emptied, other files under `data/` that it does not
   * have are removed, the record of migrations is that of the backup. Storages that are open in this process see the
   * restored data.
   *
   * This must be the only process that has databases of the base path open.
   * @param backup The name of a backup, or the path of its directory, wherever that lies.
   * @throws StorageError and nothing has changed: `NOT_FOUND`, `CORRUPT_DATA` for a damaged or partial backup,
   * `UNSUPPORTED_FORMAT` for one of a newer version, `LOCK_TIMEOUT` that names the other processes, `IO_ERROR`,
   * `ABORTED`.
   */
  restore(backup: string, options?: RestoreOptions): Promise<void>

  /** All directories in `<basePath>/backups`, oldest first; those that cannot be restored say why. */
  listBackups(): Promise<BackupInfo[]>

  /** Waits for what this manager does and ends it. Closing twice is fine. */
  close(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/**
 * Version `1.0.0`: reads every project and file that the old package wrote, sets aside in full what breaks a rule,
 * builds the indexes of the rest and keeps them on disk. It says how far it is and how much it found, and may run
 * twice.
 *
 * `down` removes the indexes from disk; the JSON files stay as they are. Queries answer the same with them and without.
 */
export const addIndexesMigration: Readonly<Required<MigrationConfig>>
