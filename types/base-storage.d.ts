import type { CacheStats, StorageOptions } from './options.js'
import type { RepairReport, VerifyReport } from './reports.js'
import type { StandardSchemaV1 } from './schema.js'

/** What every stored entity has. Times are integer milliseconds since 1970. */
export interface BaseEntity {
  id: number | string
  created: number
  updated: number
}

export type Assigned = 'id' | 'created' | 'updated'

/** What `create` takes: numbers as ids are assigned; string ids come with the data or from `static newId()`. */
export type CreateData<TEntity extends BaseEntity, TInput extends object> = Omit<TInput, Assigned> &
  (TEntity['id'] extends string ? { id?: TEntity['id'] } : unknown)

export type UpdateData<TInput extends object> = Partial<Omit<TInput, Assigned>>

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
 * Every method that returns a promise rejects with `CLOSED` after {@link close}. What a read returns is yours: changing
 * it changes nothing that is stored. A write whose promise resolved is durable as `durability` says; one that
 * rejected changed nothing, unless its error says `outcome: 'unknown'`.
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
   * @param storageSchema Validates the whole map, in {@link writeAll} only.
   * @param entitySchema Validates each entity that is written, and those that another program wrote, once.
   * @param dataDir The database's directory, relative to `basePath`.
   * @throws TypeError, RangeError when an option has a wrong type or value.
   */
  constructor(
    storageSchema: StandardSchemaV1<unknown, TStorage>,
    entitySchema: StandardSchemaV1<unknown, TEntity>,
    dataDir: string,
    options?: StorageOptions,
  )

  /** Gives the id of an entity that comes without one. Define it in a subclass whose ids are strings. */
  static newId?(): string

  /** Absolute path of the directory under which `dataDir` lies. */
  protected basePath: string
  /** The database's directory, relative to `basePath`. */
  protected dataDir: string

  /** The JSON file that holds the entities. Asked once, at the first use of the storage. */
  protected abstract getIndexPath(): string
  /** A file or directory that is removed with its entity, or `null`. */
  protected abstract getEntityPath(id: TEntity['id']): string | null

  /**
   * Stores a new entity; `id`, `created` and `updated` are assigned. Costs the same however many entities there are.
   * @throws The schema's own error when it rejects the data.
   */
  create(data: CreateData<TEntity, TInput>): Promise<TEntity>
  /** The entity, or `null`. Constant time. */
  getById(id: TEntity['id']): Promise<TEntity | null>
  /**
   * Merges a patch into an entity. `id` and `created` stay, `updated` is set and never goes backwards. Concurrent
   * patches of different fields all survive, those of other processes too.
   * @returns The entity as stored, or `null` when there is none.
   */
  update(id: TEntity['id'], patch: UpdateData<TInput>): Promise<TEntity | null>
  /** Removes an entity and what `getEntityPath` names. `false` when there was none. */
  delete(id: TEntity['id']): Promise<boolean>
  /** All entities, ids ascending. */
  list(): Promise<TEntity[]>
  /** Removes all entities as one batch. */
  deleteAll(): Promise<void>
  /** All entities by id, ids ascending. */
  readAll(): Promise<TStorage>
  /**
   * Replaces all entities as one batch: those that the map lacks are deleted, `updated` is taken as given. Only what
   * differs is written. To change a few entities beside other writers, use {@link update}.
   * @returns What is stored.
   */
  writeAll(data: TStorage): Promise<TStorage>
  /** An id that was never handed out before. */
  generateId(): number
  /** Forgets what was read; nothing stored changes. */
  clearCache(): void
  getCacheStats(): CacheStats
  /** Builds the indexes of this storage anew from its entities. */
  rebuildIndexes(): Promise<void>
  /**
   * Looks at everything on disk: checksums and continuity of the journals, every file against what is known of it, every
   * entity, indexes against entities, files that lie about. Writes nothing; others may go on reading and writing. Damage
   * is in the report, also of a database that does not open because of it.
   */
  verify(): Promise<VerifyReport>
  /**
   * Mends what {@link verify} finds, as far as that goes without inventing data. The originals of all that is changed
   * are copied into a dated folder first. Waits until no other instance and no other process has the database open, at
   * most `lockTimeout`; calls of this instance wait meanwhile.
   */
  repair(): Promise<RepairReport>
  /**
   * Waits for this instance's writes, brings the JSON files up to date and ends the instance. Closing twice is fine.
   */
  close(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}
