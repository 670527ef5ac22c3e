import type { Change, Changes, ChangesOptions } from './changes.js'
import type { ValidationError } from './errors.js'
import type { IndexConfig, IndexKey } from './indexes.js'
import type { CacheStats, CallOptions, ResolvedStorageOptions, StorageOptions } from './options.js'
import type { Explanation, FieldPath, IterateOptions, Query, SelectQuery, Selected } from './query.js'
import type { RepairReport, VerifyReport } from './reports.js'
import type { StandardSchemaV1 } from './schema.js'
import type { StorageStats } from './stats.js'
import type { Transaction, TransactionOptions } from './transaction.js'

/** What every stored entity has. Times are integer milliseconds since 1970. */
export interface BaseEntity {
  id: number | string
  created: number
  updated: number
}

export type Assigned = 'id' | 'created' | 'updated'

/** What `create` takes: numbers as ids are assigned; string ids come with the data or from `static newId()`. */
export type CreateData<TEntity extends BaseEntity, TInput extends object> = Unassigned<TInput> &
  (TEntity['id'] extends string ? { id?: TEntity['id'] } : unknown)

/** What `update` takes: of a union, some fields of one of its members. */
export type UpdateData<TInput extends object> = Partial<Unassigned<TInput>>

/** What a caller gives of an entity. `Omit` alone would leave of a union only what its members share. */
export type Unassigned<TInput extends object> = TInput extends unknown ? Omit<TInput, Assigned> : never

/** How a storage of one's own is opened. */
export interface BaseStorageOptions extends StorageOptions {
  /** Indexes of the entities, instead of those of the static property `indexes`. */
  indexes?: readonly IndexConfig[] | undefined
}

/**
 * The abstraction that every storage shares: entities in one JSON file, `{ "<id>": entity, … }`.
 *
 * ```ts
 * class Users extends BaseStorage<User, Record<string, User>> {
 *   constructor(options?: StorageOptions) { super(usersSchema, userSchema, 'users', options) }
 *   protected getIndexPath() { return join(this.basePath, this.dataDir, 'index.json') }
 *   protected getEntityPath() { return null }
 * }
 * ```
 *
 * A subclass may override every method and call `super`: no method calls another through the instance. Only
 * `getIndexPath` and `getEntityPath` are asked by others.
 *
 * Every method that returns a promise rejects with `CLOSED` after {@link close}. What a read returns is yours: changing
 * it changes nothing that is stored. A write whose promise resolved is durable as `durability` says; one that
 * rejected changed nothing, unless its error says `outcome: 'unknown'`.
 *
 * Stored, and given back, is the JSON of what the schema puts out: a `Date` is its ISO text from then on. {@link update} has the
 * schema validate that together with the patch, so it must take its own output: `z.coerce.date()`, not `z.date()`.
 *
 * @typeParam TEntity The entity, as its schema puts it out.
 * @typeParam TStorage The map of all entities by id.
 * @typeParam TInput The entity as its schema takes it in, where defaults or transforms make that differ from `TEntity`.
 */
export abstract class BaseStorage<
  TEntity extends BaseEntity,
  TStorage extends Record<string | number, TEntity> = Record<string, TEntity>,
  TInput extends object = TEntity,
> {
  /**
   * @param storageSchema Validates the whole map in {@link writeAll}, in place of `entitySchema`: let it be a map of that.
   * @param entitySchema Validates each entity that is written otherwise, and those that another program wrote, once.
   * @param dataDir The database's directory, relative to `basePath` and below it. Storages with one `dataDir` share its
   *   journal. One that is outside, or a folder of this package, is `INVALID_ARGUMENT` at the first call.
   * @throws TypeError, RangeError when an option has a wrong type or value; `INVALID_ARGUMENT` when an index has.
   */
  constructor(
    storageSchema: StandardSchemaV1<unknown, TStorage>,
    entitySchema: StandardSchemaV1<unknown, TEntity>,
    dataDir: string,
    options?: BaseStorageOptions,
  )

  /** Gives the id of an entity that comes without one. Define it in a subclass whose ids are strings. */
  static newId?(): string
  /**
   * Indexes of the entities, changed with every write in the same batch. Those of all storages on one file are kept
   * together; two of one name must not differ. A unique index that documents break already leaves them readable: writes
   * of such a document and {@link rebuildIndexes} are `UNIQUE_VIOLATION`.
   */
  static indexes?: readonly IndexConfig[]

  /** The options in force, defaults filled in. */
  protected readonly options: ResolvedStorageOptions
  /** Absolute path of the directory under which `dataDir` lies. */
  protected basePath: string
  /** The database's directory, relative to `basePath`. */
  protected dataDir: string

  /**
   * The JSON file that holds the entities: absolute, or relative to the database, anywhere under `basePath`. Asked at the
   * first use of the storage. A file that belongs to another database is `INVALID_ARGUMENT`.
   */
  protected abstract getIndexPath(): string
  /**
   * A file or directory that is removed with its entity, or `null`: absolute, or relative to the database, anywhere under
   * `basePath`. One that holds a database or the file of a storage, or lies behind a symlink, is `INVALID_ARGUMENT`; then
   * nothing is written.
   */
  protected abstract getEntityPath(id: TEntity['id']): string | null

  /**
   * Stores a new entity; `id`, `created` and `updated` are assigned. Costs the same however many entities there are.
   * @throws The schema's own error when it rejects the data.
   */
  create(data: CreateData<TEntity, TInput>, options?: CallOptions): Promise<TEntity>
  /** The entity, or `null`. Constant time. */
  getById(id: TEntity['id'], options?: CallOptions): Promise<TEntity | null>
  /**
   * Merges a patch into an entity. `id` and `created` stay, `updated` is set and never goes backwards. Concurrent
   * patches of different fields all survive, those of other processes too.
   * @returns The entity as stored, or `null` when there is none.
   */
  update(id: TEntity['id'], patch: UpdateData<TInput>, options?: CallOptions): Promise<TEntity | null>
  /** Removes an entity and what `getEntityPath` names. `false` when there was none. */
  delete(id: TEntity['id'], options?: CallOptions): Promise<boolean>
  /** All entities, ids ascending. */
  list(options?: CallOptions): Promise<TEntity[]>
  /** Removes all entities as one batch. */
  deleteAll(options?: CallOptions): Promise<void>
  /** All entities by id, ids ascending. */
  readAll(options?: CallOptions): Promise<TStorage>
  /**
   * Replaces all entities as one batch: those that the map lacks are deleted, `updated` is taken as given. Only what
   * differs is written. To change a few entities beside other writers, use {@link update}.
   * @returns What is stored.
   * @throws {@link ValidationError} when the map is no plain object; the schema's own error when it rejects the map; `CONFLICT`
   * when others kept creating or deleting entities for `lockTimeout`.
   */
  writeAll(data: TStorage, options?: CallOptions): Promise<TStorage>
  /**
   * The entities with a key in an index, ids ascending.
   * @throws `INVALID_ARGUMENT` when there is no such index or the key is none.
   */
  findBy(index: string, key: IndexKey, options?: CallOptions): Promise<TEntity[]>
  /**
   * The entities with a key between two, in key order; `inclusive` (the default) is said of both ends. The ends of a
   * composite key may be its first parts, or the first one alone: all keys that begin so then lie at that end.
   * @throws `INDEX_TYPE` when the index is no btree.
   */
  findRange(index: string, start: IndexKey, end: IndexKey, inclusive?: boolean, options?: CallOptions): Promise<TEntity[]>
  /**
   * The entities with every word of a text, as a word or the start of one, best first.
   * @throws `INDEX_TYPE` when the index is not inverted.
   */
  searchBy(index: string, query: string, options?: CallOptions): Promise<TEntity[]>
  /**
   * The entities that meet a condition, in an order. An index on a field of the condition, or of the order, is used where
   * there is one: see {@link explain}.
   * @throws `INVALID_ARGUMENT` that names an operator or operand that is wrong.
   */
  query<const P extends FieldPath<TEntity>>(query: SelectQuery<TEntity, P>): Promise<Selected<TEntity, P | 'id'>[]>
  query(query?: Query<TEntity>): Promise<TEntity[]>
  /** How a query is answered: the index, and how many entities were looked at. Runs it. */
  explain(query?: Query<TEntity> & { select?: readonly FieldPath<TEntity>[] }): Promise<Explanation>
  /**
   * The entities one after another, ids ascending, as they were when the first one was asked for. Holds no more of them
   * in memory than are read at a time.
   */
  iterate(options?: IterateOptions<TEntity, TEntity['id']>): AsyncGenerator<TEntity, void, undefined>
  /**
   * Runs several reads and writes as one batch. `work` sees a state in which nothing changes, and what it changed itself;
   * nobody else sees that before it is committed. If something that it read was changed by others, it runs again, up to 16
   * times, then `CONFLICT`: it must do nothing outside that cannot be done twice. What it throws rolls everything back
   * and is thrown as it is. After `lockTimeout` the transaction is over: `LOCK_TIMEOUT`, and its steps are `CLOSED`.
   * @returns What `work` returns.
   */
  transaction<T>(
    work: (
      tx: Transaction<TEntity, CreateData<TEntity, TInput>, UpdateData<TInput>, TEntity['id']>,
    ) => T | Promise<T>,
    options?: TransactionOptions,
  ): Promise<T>
  /**
   * The changes of the entities by whoever makes them, those of other processes too, usually within 50 ms. Waiting for
   * them does not keep the process alive. A consumer that falls 10,000 changes or 4 MiB of ids behind gets one reset. The
   * listening ends with `return()`, which leaving a loop calls, with the storage, and once the iterator is dropped and collected.
   */
  changes(options?: ChangesOptions): Changes<TEntity['id']>
  /** The number of the database's last batch: where {@link changes} may begin later. */
  sequence(): Promise<number>
  /**
   * Calls `listener` with each change from now on, until {@link off} or {@link close}. Nobody waits for what it returns; what
   * it throws, or rejects with, is a warning `LISTENER_FAILED`.
   */
  on(event: 'change', listener: (change: Change<TEntity['id']>) => void): this
  off(event: 'change', listener: (change: Change<TEntity['id']>) => void): this
  /**
   * An id that was never handed out before: by any process that uses the database, or, as long as this storage has neither
   * read nor written, by this process.
   */
  generateId(): number
  /** Forgets what was read; nothing stored changes. */
  clearCache(): void
  getCacheStats(): CacheStats
  /**
   * Sizes, counts and times of the database, for monitoring. Reads memory, and of the disk only the sizes of the journals.
   * Counts begin when this process opens the database, which this call does if no other did.
   */
  stats(): Promise<StorageStats>
  /**
   * Builds the indexes of this storage anew from its entities.
   * @throws `UNIQUE_VIOLATION` when entities share a key of a unique index.
   */
  rebuildIndexes(options?: CallOptions): Promise<void>

  /**
   * Reads a JSON file of the subclass's own, anywhere under `basePath`; relative paths begin at the database.
   * @returns What the schema makes of it, or `defaultValue` as it is when there is no file.
   * @throws The schema's own error; `CORRUPT_DATA` when the file is not valid JSON.
   */
  protected readValidatedJson<T>(file: string, schema: StandardSchemaV1<unknown, T>, defaultValue: T): Promise<T>
  /**
   * Replaces such a file in one step, indented, with what the schema makes of `data`. It is as durable as a write.
   * @returns What the schema made of it.
   */
  protected writeValidatedJson<T>(file: string, data: unknown, schema: StandardSchemaV1<unknown, T>): Promise<T>
  /**
   * Runs `work` while nobody else has the lock of `key`: no other call, instance, thread or process on this database.
   * `work` may write. It must not await the same key again: that call would wait for itself.
   * @throws `LOCK_TIMEOUT` when the lock was not free within `lockTimeout`; `work` did not run then.
   */
  protected withLock<T>(key: string, work: () => T | Promise<T>, options?: CallOptions): Promise<T>
  /** Creates a directory under `basePath` and those above it, as far as they are missing. */
  protected ensureDirExists(directory: string): Promise<void>
  /** Forgets what was read of one entity, or everything. */
  protected invalidateCache(key?: TEntity['id']): void
  /** Whether an entity is stored under this id. */
  protected idExists(id: TEntity['id']): Promise<boolean>
  /**
   * Looks at everything on disk: checksums and continuity of the journals, every file against what is known of it, every
   * entity, indexes against entities, files that lie about. Writes nothing; others may go on reading and writing. Damage
   * is in the report, also of a database that does not open because of it.
   */
  verify(options?: CallOptions): Promise<VerifyReport>
  /**
   * Mends what {@link verify} finds, as far as that goes without inventing data. The originals of all that is changed
   * are copied into a dated folder first. Waits for the calls of this instance before it, and until no other instance and
   * no other process has the database open, at most `lockTimeout` in all; later calls of this instance wait meanwhile. A
   * transaction that is under way runs again.
   */
  repair(options?: CallOptions): Promise<RepairReport>
  /**
   * Waits for this instance's writes, brings the JSON files up to date and ends the instance. Closing twice is fine. A
   * transaction, a callback that has a lock and a file that comes as a stream are waited for as well, but not from inside:
   * called there, it ends the instance without them.
   */
  close(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}
