/** `'hash'` finds exact keys, `'btree'` exact keys and ranges in key order, `'inverted'` words. */
export type IndexType = 'hash' | 'btree' | 'inverted'

/** What an index is. */
export interface IndexConfig {
  /** Not empty. */
  name: string
  type: IndexType
  /**
   * Paths of fields; names within objects are joined with dots: `'address.city'`. An array on the way stands for its
   * elements. Several fields of a hash or btree index form one composite key; an inverted index holds the words of all
   * its fields together.
   */
  fields: readonly string[]
  /** No two entities may have the same key. A key that is null, or has a null in it, never clashes. Default: `false`. */
  unique?: boolean
  /** Leaves out entities whose fields are all missing or null. Default: `false`. */
  sparse?: boolean
  /** In a list of `IndexManager`: the JSON file, relative to `dataDir`, of the entities that a storage indexes here. */
  readonly collection?: string
}

/** A value to look for. Keys keep their type: `42` and `'42'` differ. A `Date` is its milliseconds. */
export type IndexKeyPart = string | number | boolean | null | Date

/** A key, or the parts of a composite key in the order of the fields. An array within an array is a key of its own. */
export type IndexKey = IndexKeyPart | readonly IndexKey[]
