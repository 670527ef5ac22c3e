import type { Change, Changes, ChangesOptions } from './changes.js'
import type { NotFoundError, ValidationError } from './errors.js'
import type { IndexConfig, IndexKey } from './indexes.js'
import type { CacheStats, CallOptions, ResolvedStorageOptions, StorageOptions } from './options.js'
import type { CountQuery, Explanation, FieldPath, IterateOptions, Query, SelectQuery, Selected } from './query.js'
import type { RepairReport, VerifyReport } from './reports.js'
import type { StandardSchemaV1 } from './schema.js'
import type { StorageStats } from './stats.js'
import type { Transaction, TransactionOptions } from './transaction.js'

/** The fields that every stored entity has. Times are integer milliseconds since 1970. */
export interface BaseEntity {
  id: number | string
  created: number
  updated: number
}

export type Assigned = 'id' | 'created' | 'updated'

/** What `create` takes. Numeric ids are assigned; a string id comes with the data or from `static newId()`. */
export type CreateData<TEntity extends BaseEntity, TInput extends object> = Unassigned<TInput> &
  (TEntity['id'] extends string ? { id?: TEntity['id'] | undefined } : unknown)

/** What `update` takes; `undefined` removes a field. For a union type: some of the fields of one of its members. */
export type UpdateData<TInput extends object> = Patch<Unassigned<TInput>>

/** Some of the fields of `T`. */
export type Patch<T> = { [K in keyof T]?: T[K] | undefined }

/** The fields of an entity that a caller supplies. Of a union, `Omit` alone would keep only what all members share. */
export type Unassigned<TInput extends object> = TInput extends unknown ? Omit<TInput, Assigned> : never

/** The options of a storage class that you define. */
export interface BaseStorageOptions extends StorageOptions {
  /** Indexes of the entities. They replace those of the static property `indexes`. */
  indexes?: readonly IndexConfig[] | undefined
}

/**
 * The base class of every storage. It keeps entities in one JSON file, `{ "<id>": entity, … }`.
 *
 * ```ts
 * class Users extends BaseStorage<User, Record<string, User>> {
 *   constructor(options?: StorageOptions) { super(usersSchema, userSchema, 'users', options) }
 *   protected getIndexPath() { return join(this.basePath, this.dataDir, 'index.json') }
 *   protected getEntityPath() { return null }
 * }
 * ```
 *
 * A subclass may override any method and call `super`. No method calls another one through the instance, except
 * `getIndexPath` and `getEntityPath`; `await using` calls `close`.
 *
 * Every method that returns a promise rejects with `CLOSED` after {@link close}. A read returns a copy that is yours:
 * changing it does not change what is stored. When the promise of a write resolves, the write is as durable as
 * `durability` says; when it rejects, nothing was changed, unless the error says `outcome: 'unknown'`.
 *
 * The storage keeps, and returns, the JSON form of the schema's output: a `Date` becomes its ISO text. {@link update} passes
 * the stored entity, with the patch merged in, through the schema, so the schema must accept its own output: use
 * `z.coerce.date()`, not `z.date()`.
 *
 * @typeParam TEntity The entity as its schema outputs it.
 * @typeParam TStorage The map of all entities by id.
 * @typeParam TInput The input type of the schema, if defaults or transforms make it differ from `TEntity`.
 */
export abstract class BaseStorage<
  TEntity extends BaseEntity,
  TStorage extends Record<string | number, TEntity> = Record<string, TEntity>,
  TInput extends object = TEntity,
> {
  /**
   * @param storageSchema Validates the whole map in {@link writeAll}, which does not apply `entitySchema`. It should be a
   *   map of `entitySchema`.
   * @param entitySchema Validates each entity in every other write and, once, each entity that another program wrote.
   * @param dataDir The database's directory, relative to `basePath` and below it. Storages with the same `dataDir` share a
   *   journal. If the directory lies outside `basePath` or is a folder of this package, the first call rejects with
   *   `INVALID_ARGUMENT`.
   * @throws TypeError, RangeError for an option of a wrong type or value; `INVALID_ARGUMENT` for a malformed index.
   */
  constructor(
    storageSchema: StandardSchemaV1<unknown, TStorage>,
    entitySchema: StandardSchemaV1<unknown, TEntity>,
    dataDir: string,
    options?: BaseStorageOptions,
  )

  /** Returns an id for an entity that comes without one. Define it in a subclass whose ids are strings. */
  static newId?(): string
  /**
   * Indexes of the entities. Each write updates them in its own batch. All storages on one file share their indexes, so
   * two indexes with the same name must not differ. A unique index binds the processes in which a storage declares it. If
   * existing documents violate a unique index, they stay readable, but a write of such a document and {@link rebuildIndexes}
   * fail with `UNIQUE_VIOLATION`.
   */
  static indexes?: readonly IndexConfig[]

  /** The options in force, with defaults filled in. */
  readonly options: ResolvedStorageOptions
  /** Absolute path of the directory under which `dataDir` lies. */
  protected basePath: string
  /** The database's directory, relative to `basePath`. */
  protected dataDir: string

  /**
   * Returns the path of the JSON file that holds the entities: absolute or relative to the database, anywhere under
   * `basePath`. It is called when the storage is first used. A file that belongs to another database is `INVALID_ARGUMENT`.
   */
  protected abstract getIndexPath(): string
  /**
   * Returns the path of a file or directory that is removed together with the entity, or `null`. The path is absolute or
   * relative to the database, anywhere under `basePath`. A path that holds a database or the file of a storage, or that
   * lies behind a symlink, is `INVALID_ARGUMENT`, and nothing is written.
   */
  protected abstract getEntityPath(id: TEntity['id']): string | null

  /**
   * Stores a new entity and assigns `id`, `created` and `updated`. O(log n) for n entities.
   * @throws The schema's own error when it rejects the data.
   */
  create(data: CreateData<TEntity, TInput>, options?: CallOptions): Promise<TEntity>
  /** The entity, or `null`. O(log n) for n entities. */
  getById(id: TEntity['id'], options?: CallOptions): Promise<TEntity | null>
  /**
   * Merges a patch into an entity. A field of the patch replaces the whole field, nested objects too; `undefined` removes it,
   * so that the schema gives its default again. `id` and `created` stay the same; `updated` is set and never goes backwards.
   * Concurrent patches of different fields all survive, including those of other processes.
   * @returns The entity as stored, or `null` if there is none with this id.
   */
  update(id: TEntity['id'], patch: UpdateData<TInput>, options?: CallOptions): Promise<TEntity | null>
  /** Removes an entity and the path that `getEntityPath` names. Returns `false` if there was no such entity. */
  delete(id: TEntity['id'], options?: CallOptions): Promise<boolean>
  /**
   * Stores many new entities as one batch: all of them or, if one is rejected or already exists, none. Each is completed as
   * in {@link create}. O(k log n) for k of them.
   * @returns The entities, in the order of the data.
   * @throws The schema's own error for the first data that it rejects. The paths of its issues begin with their position.
   */
  createMany(data: readonly CreateData<TEntity, TInput>[], options?: CallOptions): Promise<TEntity[]>
  /**
   * Merges many patches into entities as one batch. Several patches of one entity are merged in their order. Uniqueness is
   * checked against the result, so entities may exchange their keys. As with {@link update}, concurrent patches of different
   * fields all survive.
   * @returns What the entity was after each patch, in the order of the changes.
   * @throws {@link NotFoundError} if one of the entities does not exist; the schema's own error for the first patch that it
   * rejects, the paths of its issues beginning with the position and `'data'`; `CONFLICT` if others kept changing the
   * entities for `lockTimeout`. Then nothing changes.
   */
  updateMany(changes: readonly { id: TEntity['id']; data: UpdateData<TInput> }[], options?: CallOptions): Promise<TEntity[]>
  /**
   * Removes many entities, and the paths that `getEntityPath` names, as one batch. Ids that do not exist are skipped.
   * @returns How many entities were removed.
   */
  deleteMany(ids: readonly TEntity['id'][], options?: CallOptions): Promise<number>
  /** All entities, ids ascending. */
  list(options?: CallOptions): Promise<TEntity[]>
  /** Removes all entities as one batch. */
  deleteAll(options?: CallOptions): Promise<void>
  /** All entities by id, ids ascending. */
  readAll(options?: CallOptions): Promise<TStorage>
  /**
   * Replaces all entities as one batch. Entities that the map lacks are deleted; `updated` is taken from the map. Only
   * differences are written. To change a few entities while others write too, use {@link update}.
   * @returns What is stored.
   * @throws The schema's own error if it rejects the map; {@link ValidationError} if the map is not a plain object and the
   * schema accepts it; `CONFLICT` if others kept creating or deleting entities for `lockTimeout`.
   */
  writeAll(data: TStorage, options?: CallOptions): Promise<TStorage>
  /**
   * Returns the entities that have a key in an index, ids ascending.
   * @throws `INVALID_ARGUMENT` if there is no such index or the key is not a valid one.
   */
  findBy(index: string, key: IndexKey, options?: CallOptions): Promise<TEntity[]>
  /**
   * Returns the entities whose key lies between two keys, in key order. `inclusive` (the default) applies to both ends. For
   * a composite key, an end may be an array of the first parts or the first part alone: all keys that begin with it then
   * count as equal to that end.
   * @throws `INDEX_TYPE` if the index is not a btree.
   */
  findRange(index: string, start: IndexKey, end: IndexKey, inclusive?: boolean, options?: CallOptions): Promise<TEntity[]>
  /**
   * Returns the entities that contain every word of a text, as a whole word or as the beginning of one, best match first.
   * @throws `INDEX_TYPE` if the index is not inverted.
   */
  searchBy(index: string, query: string, options?: CallOptions): Promise<TEntity[]>
  /**
   * Returns the entities that meet a condition, in a given order. An index on a field of the condition or of the order is
   * used if there is one: see {@link explain}.
   * @throws `INVALID_ARGUMENT`; the message names the wrong operator or operand.
   */
  query<const P extends FieldPath<TEntity>>(query: SelectQuery<TEntity, P>): Promise<Selected<TEntity, P | 'id'>[]>
  query(query?: Query<TEntity>): Promise<TEntity[]>
  /**
   * Returns how many entities there are or, with a condition, how many meet it. O(1) without a condition. If one index answers
   * the whole condition, no entity is read. Else as {@link query}, but nothing is returned or kept in memory.
   * @throws `INVALID_ARGUMENT`; the message names the wrong operator or operand.
   */
  count(query?: CountQuery<TEntity>): Promise<number>
  /** Runs a query and tells how it was answered: by which index, and how many entities were examined. */
  explain(query?: Query<TEntity> & { select?: readonly FieldPath<TEntity>[] }): Promise<Explanation>
  /**
   * Yields the entities one after another, ids ascending, as they were when the first one was requested. Memory holds no
   * more of them than are read at a time.
   */
  iterate(options?: IterateOptions<TEntity, TEntity['id']>): AsyncGenerator<TEntity, void, undefined>
  /**
   * Runs several reads and writes as one batch. `work` sees a snapshot that does not change, plus its own changes, which
   * nobody else sees before the commit. If others changed something that `work` read, `work` runs again, 16 times at most;
   * then the call rejects with `CONFLICT`. `work` must therefore have no outside effect that cannot be repeated. An error
   * that `work` throws rolls everything back and is rethrown unchanged. After `lockTimeout` the transaction ends: the call
   * rejects with `LOCK_TIMEOUT`, and further steps of `work` reject with `CLOSED`.
   * @returns What `work` returns.
   */
  transaction<T>(
    work: (
      tx: Transaction<TEntity, CreateData<TEntity, TInput>, UpdateData<TInput>, TEntity['id']>,
    ) => T | Promise<T>,
    options?: TransactionOptions,
  ): Promise<T>
  /**
   * Returns the changes of the entities, whoever makes them. Changes by other processes usually arrive within 50 ms.
   * Waiting for changes does not keep the process alive. A consumer that falls 10,000 changes or 4 MiB of ids behind gets
   * one reset instead. The iterator ends with `return()`, which leaving a loop calls, when the storage closes, and once it
   * is dropped and garbage-collected. The ids in a feed of the whole database are those of any of its collections.
   */
  changes(options?: ChangesOptions & { scope?: 'collection' | undefined }): Changes<TEntity['id']>
  changes(options?: ChangesOptions): Changes
  /** The sequence number of the database's last batch. Pass it to {@link changes} to start from there later. */
  sequence(): Promise<number>
  /**
   * Calls `listener` for each change from now on, until {@link off} or {@link close}, in the context of `AsyncLocalStorage`
   * of this call. Its return value is not awaited; if it throws or rejects, the warning `LISTENER_FAILED` is emitted.
   */
  on(event: 'change', listener: (change: Change<TEntity['id']>) => void): this
  off(event: 'change', listener: (change: Change<TEntity['id']>) => void): this
  /**
   * Returns an id that no process using the database has handed out before. As long as this storage has neither read nor
   * written, the id is only known to be new in this process.
   */
  generateId(): number
  /** Forgets what was read, and has the next read check the file for edits. Nothing that is stored changes. */
  clearCache(): void
  getCacheStats(): CacheStats
  /**
   * Sizes, counts and times of the database, for monitoring. The call reads memory and, from disk, only the sizes of the
   * journals. Counts begin when this process opens the database; this call opens it if no other call has.
   */
  stats(): Promise<StorageStats>
  /**
   * Rebuilds the indexes of this storage from its entities.
   * @throws `UNIQUE_VIOLATION` if entities share a key of a unique index.
   */
  rebuildIndexes(options?: CallOptions): Promise<void>

  /**
   * Reads a JSON file of the subclass's own, anywhere under `basePath`. Relative paths are relative to the database.
   * @returns The schema's output, or `defaultValue` unchanged if there is no file.
   * @throws The schema's own error; `CORRUPT_DATA` if the file is not valid JSON.
   */
  protected readValidatedJson<T>(file: string, schema: StandardSchemaV1<unknown, T>, defaultValue: T): Promise<T>
  /**
   * Replaces such a file atomically with the schema's output for `data`, as indented JSON. It is as durable as a write.
   * @returns The schema's output.
   */
  protected writeValidatedJson<T>(file: string, data: unknown, schema: StandardSchemaV1<unknown, T>): Promise<T>
  /**
   * Runs `work` while it holds the lock of `key`, which no other call, instance, thread or process on this database can
   * hold at the same time. `work` may write. It must not await the same key again: that call would wait for itself.
   * @throws `LOCK_TIMEOUT` if the lock was not free within `lockTimeout`; `work` did not run.
   */
  protected withLock<T>(key: string, work: () => T | Promise<T>, options?: CallOptions): Promise<T>
  /** Creates a directory under `basePath`, and any missing directories above it. */
  protected ensureDirExists(directory: string): Promise<void>
  /** Forgets what was read of one entity or, without a key, of all. */
  protected invalidateCache(key?: TEntity['id']): void
  /** Whether an entity is stored under this id. */
  protected idExists(id: TEntity['id']): Promise<boolean>
  /**
   * Checks everything on disk: checksums and continuity of the journals, each file against its recorded state, every
   * entity, indexes against entities, and stray files. It writes nothing, and others may go on reading and writing. Damage
   * appears in the report, even if it keeps the database from opening.
   */
  verify(options?: CallOptions): Promise<VerifyReport>
  /**
   * Repairs what {@link verify} finds, as far as that is possible without inventing data. The originals of everything that
   * is changed are first copied into a dated folder. The call waits for earlier calls of this instance, and until no other
   * instance or process has the database open, at most `lockTimeout` in all; later calls of this instance wait for it. A
   * transaction under way runs again.
   */
  repair(options?: CallOptions): Promise<RepairReport>
  /**
   * Waits for this instance's writes, brings the JSON files up to date and ends the instance. Closing twice is fine. It
   * also waits for transactions, callbacks that hold a lock and files that arrive as streams, except when it is called
   * from inside one of them: then it ends the instance without waiting for that one.
   */
  close(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}
