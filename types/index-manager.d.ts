import type { StorageError, ValidationError } from './errors.js'
import type { IndexConfig, IndexKey } from './indexes.js'
import type { CallOptions, StorageOptions } from './options.js'
import type { RepairReport, VerifyReport } from './reports.js'
import type { StorageStats } from './stats.js'

/** What {@link IndexManager.getIndexStats} returns. */
export interface IndexStats {
  config: IndexConfig
  stats: {
    /** Distinct keys, or words and the key null. */
    uniqueKeys: number
    /** Pairs of a key or word and an entity. */
    totalEntries: number
    /** `totalEntries / uniqueKeys`; 0 for an empty index. */
    avgEntriesPerKey: number
    /** When the index was created. For an index that a storage keeps: when it was first built. */
    created: Date
    /** When something in the index last changed. */
    updated: Date
  }
}

/** The id of an entity. Its type is preserved. */
export type EntityId = number | string

/**
 * Indexes that callers maintain themselves: a caller says which entities are in them. They are stored in the database
 * `<basePath>/<dataDir>`, beside the data of a storage if there is one, and are just as durable: when the promise of
 * `addToIndex` resolves, the entry survives a crash.
 *
 * Other instances and processes on the directory see a change as soon as it is acknowledged. The indexes that storages keep
 * in the same database can be listed, inspected and queried like all others. Since they follow their entities by themselves,
 * calls that would change them are refused with `INVALID_ARGUMENT`. In the directory of a `ProjectStorageV2` these are the
 * indexes of projects (`projects_by_name`, …) and of each project's files (`files_by_path@<projectId>`, …).
 *
 * An index that a `BaseStorage` declares goes by its own name or, if another index of the database already has that name,
 * by `name@<JSON file>`. An id that is written like a number, such as `'42'`, is returned as a number, even if it is a string
 * in the entity. For a storage that this process has not opened, the indexes are those that its last writer kept. If
 * another program has since written the file of that storage, they cannot be queried (`INVALID_ARGUMENT`) until the storage
 * has read it.
 *
 * Every method rejects with `CLOSED` after {@link close}, with `INVALID_ARGUMENT` for arguments of a wrong kind and for
 * impossible index names, and with `CORRUPT_DATA` if a file of the index is not what was written. {@link rebuildIndex} and
 * {@link dropIndex} repair a damaged index; {@link repair} repairs the file of the definitions.
 */
export class IndexManager {
  /**
   * Accesses no file.
   * @param basePath The directory under which `dataDir` lies.
   * @param dataDir The database's directory, relative to `basePath` and below it.
   * @throws TypeError, RangeError when an argument or option has a wrong type or value.
   */
  constructor(basePath: string, dataDir: string, options?: Pick<StorageOptions, 'lockTimeout' | 'durability'>)

  /**
   * Creates an empty index. Its name is any text of 1 to 1024 bytes that cannot be a path: no `/`, `\` or control
   * characters, and not `.` or `..`.
   * @throws {@link StorageError} `ALREADY_EXISTS`
   */
  createIndex(config: IndexConfig, options?: CallOptions): Promise<void>
  /** Drops an index and its content, even if it is damaged. Does nothing if there is no such index. */
  dropIndex(name: string, options?: CallOptions): Promise<void>
  /** All indexes: first those that storages keep, in the order of their files, then the others by name. */
  listIndexes(options?: CallOptions): Promise<IndexConfig[]>

  /**
   * Puts an entity into an index, replacing what the index held for it. The fields that the index covers are copied at the
   * moment of the call; nothing else is stored. `undefined`, functions and symbols count as missing, a `Date` as its
   * milliseconds, and an object with `toJSON` as what that returns. The cost is one journal append; concurrent calls share
   * its sync. It grows at most with the logarithm of the size of the index.
   * @throws {@link StorageError} `NOT_FOUND`; `UNIQUE_VIOLATION` if the key belongs to another entity; `CONFLICT` if the
   * index was recreated with other fields during the call, which may be repeated. Nothing changed.
   * @throws {@link ValidationError} if a field that the index covers holds NaN, an infinite number, a bigint, an invalid
   * `Date` or an object that contains itself
   */
  addToIndex(name: string, entityId: EntityId, entity: object, options?: CallOptions): Promise<void>
  /** Removes an entity from an index. Does nothing if there is no such index or entity. Costs as much as adding. */
  removeFromIndex(name: string, entityId: EntityId, options?: CallOptions): Promise<void>
  /**
   * Replaces the whole content of the index with these entities, as one batch: on an error nothing has changed. Repairs a
   * damaged index. If two entities have the same id, the later one counts. O(n).
   * @param entities Entities with their `id`, or a map from id to entity. The keys of a plain object serve as ids where the
   * entities have none.
   * @throws As {@link addToIndex}.
   */
  rebuildIndex<TEntity extends { id: EntityId }>(
    name: string,
    entities: readonly TEntity[] | ReadonlyMap<EntityId, object> | Readonly<Record<string, object>>,
    options?: CallOptions,
  ): Promise<void>

  /**
   * Returns the entities that have a key: whole numbers from 0 ascending, then all other ids as texts, by code point. Returns
   * `[]` if there is no such index.
   *
   * A composite key is an array. The joined form of the old package, `'electronics:active'`, is accepted too and finds all
   * keys that it may stand for. `null` finds the entities in which all fields of the index are missing or null. For an
   * inverted index any other key is a text, as for {@link searchText}. Hash: O(1) plus the results; btree: O(log n) plus the
   * results.
   */
  query(name: string, key: IndexKey, options?: CallOptions): Promise<EntityId[]>
  /**
   * Returns the entities whose key lies between two keys, in key order, each once. Returns `[]` if there is no such index.
   *
   * Keys order by type: null, booleans, numbers, strings by code point, arrays. `-Infinity` and `Infinity` lie before and
   * after all numbers, `[]` after all strings. For composite keys, an end may be an array of the first fields only, or the
   * value of the first field: all keys that begin with it then count as equal to that end. O(log n) plus the results.
   * @param inclusive Whether keys equal to either end belong to the range.
   * @throws {@link StorageError} `INDEX_TYPE` when the index is not of type `'btree'`
   */
  queryRange(name: string, start: IndexKey, end: IndexKey, inclusive?: boolean, options?: CallOptions): Promise<EntityId[]>
  /**
   * Returns the entities that contain every word of a query, as a whole word or as the beginning of one. The best match
   * comes first; equal matches are ordered by id. Returns `[]` if there is no such index or no word in the query.
   *
   * Words are found by the rules of Unicode, ignoring case. Text without spaces, such as Chinese or Japanese, is found by
   * any part of it. Whole words rank above beginnings, and more occurrences above fewer. The cost is at most the number of
   * entries of the query's frequent words.
   * @throws {@link StorageError} `INDEX_TYPE` when the index is not of type `'inverted'`
   */
  searchText(name: string, query: string, options?: CallOptions): Promise<EntityId[]>
  /** Describes an index; `null` if there is none. O(1) once the index is in memory. */
  getIndexStats(name: string, options?: CallOptions): Promise<IndexStats | null>
  /** Sizes, counts and times of the database that holds the indexes, as for storages. */
  stats(): Promise<StorageStats>

  /** As {@link BaseStorage.verify}, for the database that holds the indexes. */
  verify(options?: CallOptions): Promise<VerifyReport>
  /**
   * As {@link BaseStorage.repair}, for the database that holds the indexes. Edited or damaged index definitions are kept as
   * far as they can be read; use {@link createIndex} to recreate a lost one. An index whose content was edited or damaged
   * stays unusable after the repair, until {@link rebuildIndex} or {@link dropIndex}.
   */
  repair(options?: CallOptions): Promise<RepairReport>

  /**
   * Waits for calls under way, brings the JSON files up to date and ends the instance. Closing twice is fine.
   */
  close(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}
