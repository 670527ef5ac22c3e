/** What lies under arrays: an array stands for its elements. */
type Element<T> = T extends readonly (infer E)[] ? Element<E> : T

type Depth = [never, 0, 1, 2, 3]

/** Paths of the fields of `T`, names within objects joined with dots: `'name'`, `'address.city'`. */
export type FieldPath<T, D extends number = 3> = T extends unknown
  ? { [K in keyof T & string]: K | Below<K, Element<NonNullable<T[K]>>, D> }[keyof T & string]
  : never

type Below<K extends string, V, D extends number> = [D] extends [0]
  ? never
  : V extends Date | ((...args: never) => unknown)
    ? never
    : V extends object
      ? `${K}.${FieldPath<V, Depth[D]>}`
      : never

/** What lies at a path of `T`. */
export type ValueAt<T, P extends string> = P extends keyof T
  ? T[P]
  : P extends `${infer K}.${infer Rest}`
    ? K extends keyof T
      ? ValueAt<Element<NonNullable<T[K]>>, Rest>
      : unknown
    : unknown

/** What a field may be equal to. `null` stands for missing too; a date compares with times in milliseconds. */
type Operand<V> = V | Element<NonNullable<V>> | null | (number extends Element<NonNullable<V>> ? Date : never)

/** What a field may be compared with: a value of its own kind. */
type Comparable<V> = Extract<Element<NonNullable<V>>, number | string | boolean> | (number extends Element<NonNullable<V>> ? Date : never)

/** A regular expression without look-around and back references, so that it runs in linear time. Flags: `i`, `m`, `s`, `u`. */
export type Pattern = RegExp | string | { source: string; flags?: string }

type Matchable<V> = Extract<Element<NonNullable<V>>, string> extends never ? never : Pattern

/** Conditions on one field. All must hold. One on an array holds if it does for the array or for one of its elements. */
export interface Operators<V> {
  $eq?: Operand<V>
  $ne?: Operand<V>
  $gt?: Comparable<V>
  $gte?: Comparable<V>
  $lt?: Comparable<V>
  $lte?: Comparable<V>
  $in?: readonly Operand<V>[]
  $nin?: readonly Operand<V>[]
  /** Whether the field is there, be it null. */
  $exists?: boolean
  $regex?: Matchable<V>
  $not?: Operators<V>
}

/** A value that a field must equal, a `RegExp` that it must match, or operators. */
export type FieldCondition<V> = Operand<V> | (Matchable<V> & RegExp) | Operators<V>

/** Conditions on the fields of an entity, by path. All must hold. */
export type Where<T> = { [P in FieldPath<T>]?: FieldCondition<ValueAt<T, P>> } & {
  $and?: readonly Where<T>[]
  $or?: readonly Where<T>[]
  $not?: Where<T>
}

export type OrderDirection = 'asc' | 'desc'

/** A path, ascending; or paths with their directions, the first one counting most. */
export type OrderBy<T> =
  | FieldPath<T>
  | { [P in FieldPath<T>]?: OrderDirection }
  | readonly (FieldPath<T> | { [P in FieldPath<T>]?: OrderDirection })[]

/** What is asked of a storage. */
export interface Query<T> {
  where?: Where<T> | undefined
  /** Default: ids ascending. Values of different kinds order as null, booleans, numbers, strings; ties by id. */
  orderBy?: OrderBy<T> | undefined
  /** The most entities that are returned. */
  limit?: number | undefined
  /** How many of the first are passed over. */
  offset?: number | undefined
  signal?: AbortSignal | undefined
}

/** A query for some fields only; `id` is always among them. */
export interface SelectQuery<T, P extends FieldPath<T>> extends Query<T> {
  select: readonly P[]
}

type Rest<P extends string, K extends string> = P extends `${K}.${infer R}` ? R : never

/** The fields of `T` at the paths `P`. */
export type Selected<T, P extends string> = T extends readonly (infer E)[]
  ? Selected<E, P>[]
  : T extends object
    ? {
        [K in keyof T as K extends string ? (Extract<P, K | `${K}.${string}`> extends never ? never : K) : never]: K extends P
          ? T[K]
          : K extends string
            ? Selected<NonNullable<T[K]>, Rest<P, K>> | Extract<T[K], null | undefined>
            : never
      }
    : never

/** How a query is answered. */
export interface Explanation {
  /**
   * `'keys'`: exact keys of an index. `'range'`: a range of one. `'union'`, `'intersection'`: of several. `'scan'`: every
   * entity is looked at.
   */
  kind: 'keys' | 'range' | 'union' | 'intersection' | 'scan'
  index: string | null
  keys?: unknown[]
  range?: { $gt?: unknown; $gte?: unknown; $lt?: unknown; $lte?: unknown }
  /** The parts of a union or an intersection. */
  of?: Omit<Explanation, 'sort' | 'residual' | 'estimated' | 'scanned' | 'returned'>[]
  /** Where the order comes from: the index, a sort in memory, or the ids. */
  sort: 'index' | 'memory' | 'id'
  /** Paths whose conditions are checked on each entity that the index gives. */
  residual: string[]
  /** How many entities the index was expected to give. */
  estimated: number
  /** How many were looked at. */
  scanned: number
  returned: number
}

/** How a storage is gone through. */
export interface IterateOptions<T, Id> {
  /** How many entities are read at a time, as far as 4 MiB hold them. Default: 100. */
  batchSize?: number | undefined
  /** Begins after this id. */
  after?: Id | undefined
  where?: Where<T> | undefined
  signal?: AbortSignal | undefined
}
