/** `'hash'` finds exact keys, `'btree'` finds exact keys and ranges in key order, `'inverted'` finds words. */
export type IndexType = 'hash' | 'btree' | 'inverted'

/** The definition of an index. */
export interface IndexConfig {
  /** Not empty. */
  name: string
  type: IndexType
  /**
   * Paths of fields. Names within nested objects are joined with dots: `'address.city'`. An array on the path stands for its
   * elements. Several fields of a hash or btree index form one composite key; an inverted index holds the words of all its
   * fields together.
   */
  fields: readonly string[]
  /** No two entities may have the same key. Keys that are null or contain null never collide. Default: `false`. */
  unique?: boolean
  /** Leaves out entities in which all these fields are missing or null. Default: `false`. */
  sparse?: boolean
  /** Set by `IndexManager.listIndexes`: the JSON file, relative to `dataDir`, whose entities a storage indexes here. */
  readonly collection?: string
}

/** A value to look for. Types are distinct: `42` and `'42'` differ. A `Date` counts as its milliseconds. */
export type IndexKeyPart = string | number | boolean | null | Date

/** A key, or the parts of a composite key in the order of the fields. An array inside an array is itself one key. */
export type IndexKey = IndexKeyPart | readonly IndexKey[]
