import type { StorageError, ValidationError } from './errors.js'
import type { IndexConfig, IndexKey } from './indexes.js'
import type { CallOptions, StorageOptions } from './options.js'
import type { RepairReport, VerifyReport } from './reports.js'
import type { StorageStats } from './stats.js'

/** What {@link IndexManager.getIndexStats} returns. */
export interface IndexStats {
  config: IndexConfig
  stats: {
    /** Distinct keys, or words. */
    uniqueKeys: number
    /** Pairs of key (or word) and entity. */
    totalEntries: number
    /** `totalEntries / uniqueKeys`; 0 for an empty index. */
    avgEntriesPerKey: number
    /** When the index was created. Of one that a storage keeps: when it was built first. */
    created: Date
    /** When something in it changed last. */
    updated: Date
  }
}

/** The id of an entity; it comes back with its type. */
export type EntityId = number | string

/**
 * Indexes by hand: a caller says which entities are in them. They lie in the database `<basePath>/<dataDir>`, beside
 * the data of a storage if there is one, and are as durable: what `addToIndex` resolved for is there after a crash.
 *
 * Other instances and processes on the directory see a change as soon as it is acknowledged. The indexes that storages
 * keep in the same database are listed, explained and asked like all others; they follow their entities by
 * themselves, so calls that would change them are refused with `INVALID_ARGUMENT`. On the directory of a
 * `ProjectStorageV2` these are the indexes of projects (`projects_by_name`, …) and of each project's files
 * (`files_by_path@<projectId>`, …). The indexes that a `BaseStorage` declares have their names; where another index of the
 * database has that name too, `name@<JSON file>`. Of a storage that this process did not open, they are those that its
 * last writer kept; a file of it that another program wrote since cannot be asked (`INVALID_ARGUMENT`) before that storage
 * has read it.
 *
 * Every method rejects with `CLOSED` after {@link close}, with `INVALID_ARGUMENT` for arguments of a wrong kind and
 * names that no index can have, and with `CORRUPT_DATA` where a file of the index is not what was written:
 * {@link rebuildIndex} and {@link dropIndex} mend that, {@link repair} where it is the file of the definitions.
 */
export class IndexManager {
  /**
   * Touches no file.
   * @param basePath The directory under which `dataDir` lies.
   * @param dataDir The database's directory, relative to `basePath` and below it.
   * @throws TypeError, RangeError when an argument or option has a wrong type or value.
   */
  constructor(basePath: string, dataDir: string, options?: Pick<StorageOptions, 'lockTimeout' | 'durability'>)

  /**
   * Creates an empty index. Its name is any text up to 1024 bytes that is no path: without `/`, `\` and control
   * characters, not empty, neither `.` nor `..`.
   * @throws {@link StorageError} `ALREADY_EXISTS`
   */
  createIndex(config: IndexConfig, options?: CallOptions): Promise<void>
  /** Drops an index with all that is in it, even one that is damaged. Does nothing when there is none. */
  dropIndex(name: string, options?: CallOptions): Promise<void>
  /** All indexes by name, after those that storages keep, which are in the order of their files. */
  listIndexes(options?: CallOptions): Promise<IndexConfig[]>

  /**
   * Puts an entity into an index, in place of what the index had of it. What the index looks at is copied at the moment of
   * the call; nothing else is stored. `undefined`, functions and symbols count as missing, a `Date` as its
   * milliseconds, an object with `toJSON` as what that gives. One journal append; concurrent calls share its sync. The
   * size of the index does not matter (a btree or inverted one: its logarithm).
   * @throws {@link StorageError} `NOT_FOUND`; `UNIQUE_VIOLATION`: the key belongs to another entity; `CONFLICT`: somebody
   * else created the index anew on other fields during the call, which may be repeated. Nothing changed.
   * @throws {@link ValidationError} for NaN, an infinite number, a bigint, an invalid `Date` or an object within itself
   * where the index looks
   */
  addToIndex(name: string, entityId: EntityId, entity: object, options?: CallOptions): Promise<void>
  /** Takes an entity out of an index. Does nothing when there is no such index or entity. Costs what adding costs. */
  removeFromIndex(name: string, entityId: EntityId, options?: CallOptions): Promise<void>
  /**
   * Puts these entities in place of all that is in the index, as one batch: all of them or, on an error, nothing
   * changed. Mends an index that is damaged. Of two entities with one id the later counts. O(n).
   * @param entities Entities with their `id`, or a map of id to entity. Keys of a plain object are the ids where entities
   * have none.
   * @throws As {@link addToIndex}.
   */
  rebuildIndex<TEntity extends { id: EntityId }>(
    name: string,
    entities: readonly TEntity[] | ReadonlyMap<EntityId, object> | Readonly<Record<string, object>>,
    options?: CallOptions,
  ): Promise<void>

  /**
   * The entities with a key, ids ascending: numbers first. `[]` when there is no such index.
   *
   * Composite keys are arrays; the joined form of the old package, `'electronics:active'`, is accepted too and finds all
   * keys that it may stand for. `null` finds entities without a value. An inverted index takes a text, as
   * {@link searchText} does. Hash: O(1) and what is found; btree: O(log n) and what is found.
   */
  query(name: string, key: IndexKey, options?: CallOptions): Promise<EntityId[]>
  /**
   * The entities with a key between two, in key order, each once. `[]` when there is no such index.
   *
   * Keys order by type: null, booleans, numbers, strings by code point, arrays. `-Infinity` and `Infinity` lie around all
   * numbers, `[]` behind all strings. The ends of a range over composite keys may be arrays of the first fields only, or
   * the first field's value: all keys that begin so then lie at that end. O(log n) and what is found.
   * @param inclusive Whether keys at the two ends belong to the range.
   * @throws {@link StorageError} `INDEX_TYPE` when the index is not of type `'btree'`
   */
  queryRange(name: string, start: IndexKey, end: IndexKey, inclusive?: boolean, options?: CallOptions): Promise<EntityId[]>
  /**
   * The entities that have every word of a query, as a word or as the beginning of one; the best match first, equal ones
   * by id. `[]` when there is no such index, or no word in the query.
   *
   * Words are those of Unicode, in any case of letters. Chinese, Japanese and other text without spaces is found by any
   * part of it. A whole word counts more than beginnings, more occurrences more than fewer. Costs what the frequent
   * words of the query have entries, at most.
   * @throws {@link StorageError} `INDEX_TYPE` when the index is not of type `'inverted'`
   */
  searchText(name: string, query: string, options?: CallOptions): Promise<EntityId[]>
  /** What is in an index; `null` when there is none. O(1) once the index is in memory. */
  getIndexStats(name: string, options?: CallOptions): Promise<IndexStats | null>
  /** Sizes, counts and times of the database that the indexes lie in, as storages give them. */
  stats(): Promise<StorageStats>

  /** As {@link BaseStorage.verify}, of the database in which the indexes lie. */
  verify(options?: CallOptions): Promise<VerifyReport>
  /**
   * As {@link BaseStorage.repair}, of the database in which the indexes lie. Definitions of indexes that were edited or damaged
   * are taken over as far as they can be read; {@link createIndex} makes a lost one anew. What is in an index that was edited
   * or damaged is not believed after it either: {@link rebuildIndex} or {@link dropIndex} follows.
   */
  repair(options?: CallOptions): Promise<RepairReport>

  /**
   * Waits for the calls under way, brings the JSON files up to date and ends the instance. Closing twice is fine.
   */
  close(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}
