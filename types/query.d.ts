/** The type of the elements of (nested) arrays; any other type is its own element type. */
type Element<T> = T extends readonly (infer E)[] ? Element<E> : T

type Depth = [never, 0, 1, 2, 3]

/** Paths of the fields of `T`. Names within nested objects are joined with dots: `'name'`, `'address.city'`. */
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

/** Paths through one position of an array: `'tags.0'`, `'items.0.name'`. */
type PositionPath<T, D extends number = 3> = T extends unknown
  ? { [K in keyof T & string]: PositionBelow<K, NonNullable<T[K]>, D> }[keyof T & string]
  : never

type PositionBelow<K extends string, V, D extends number> = [D] extends [0]
  ? never
  : V extends readonly (infer E)[]
    ? `${K}.${number}` | Below<`${K}.${number}`, NonNullable<E>, D>
    : V extends Date | ((...args: never) => unknown)
      ? never
      : V extends object
        ? `${K}.${PositionPath<V, Depth[D]>}`
        : never

/** The type of the value at a path of `T`. */
export type ValueAt<T, P extends string> = P extends keyof T
  ? T[P]
  : P extends `${infer K}.${infer Rest}`
    ? K extends keyof T
      ? ValueBelow<NonNullable<T[K]>, Rest>
      : unknown
    : unknown

type ValueBelow<V, P extends string> = V extends readonly (infer E)[]
  ? P extends `${number}`
    ? E
    : P extends `${number}.${infer Rest}`
      ? ValueAt<Element<NonNullable<E>>, Rest>
      : ValueAt<Element<E>, P>
  : ValueAt<V, P>

/** A value that a field may equal. `null` also matches a missing field; a `Date` is compared with times in milliseconds. */
type Operand<V> = V | Element<NonNullable<V>> | null | (number extends Element<NonNullable<V>> ? Date : never)

/** A value that a field may be compared with. It has the field's own type. */
type Comparable<V> = Extract<Element<NonNullable<V>>, number | string | boolean> | (number extends Element<NonNullable<V>> ? Date : never)

/** A regular expression without look-around and back-references: it runs in linear time. Flags: `i`, `m`, `s`, `u`. */
export type Pattern = RegExp | string | { source: string; flags?: string }

type Matchable<V> = Extract<Element<NonNullable<V>>, string> extends never ? never : Pattern

/** Conditions on one field; all must hold. A condition holds for an array if it holds for the array or for any element. */
export interface Operators<V> {
  $eq?: Operand<V>
  $ne?: Operand<V>
  $gt?: Comparable<V>
  $gte?: Comparable<V>
  $lt?: Comparable<V>
  $lte?: Comparable<V>
  $in?: readonly Operand<V>[]
  $nin?: readonly Operand<V>[]
  /** Whether the field is present, even if it is null. */
  $exists?: boolean
  $regex?: Matchable<V>
  $not?: Operators<V>
}

/** A value that the field must equal, a `RegExp` that it must match, or operators. */
export type FieldCondition<V> = Operand<V> | (Matchable<V> & RegExp) | Operators<V>

/** Conditions on the fields of an entity, by path; all must hold. A number in a path selects one position of an array. */
export type Where<T> = { [P in FieldPath<T> | PositionPath<T>]?: FieldCondition<ValueAt<T, P>> } & {
  $and?: readonly Where<T>[]
  $or?: readonly Where<T>[]
  $not?: Where<T>
}

export type OrderDirection = 'asc' | 'desc'

/** A path, which orders ascending; or paths with directions, the most significant first. */
export type OrderBy<T> = Ordering<FieldPath<T> | PositionPath<T>>

type Ordering<P extends string> = P | { [Path in P]?: OrderDirection } | readonly (P | { [Path in P]?: OrderDirection })[]

/** A query of a storage. */
export interface Query<T> {
  where?: Where<T> | undefined
  /** Default: ids ascending. Values of different types order as null, booleans, numbers, strings; ties order by id. */
  orderBy?: OrderBy<T> | undefined
  /** The maximum number of entities to return. */
  limit?: number | undefined
  /** How many matching entities to skip first. */
  offset?: number | undefined
  signal?: AbortSignal | undefined
}

/** What is counted: all entities, or those that meet a condition. */
export type CountQuery<T> = Pick<Query<T>, 'where' | 'signal'>

/** A query that returns only some fields; `id` is always among them. */
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

/** How a query was answered. */
export interface Explanation {
  /**
   * `'keys'`: by exact keys of an index. `'range'`: by a range of an index. `'ids'`: by certain ids (`keys`), or a range of
   * them. `'union'`, `'intersection'`: by several of these together. `'scan'`: by examining every entity.
   */
  kind: 'keys' | 'range' | 'ids' | 'union' | 'intersection' | 'scan'
  index: string | null
  keys?: unknown[]
  /** What the first fields of an index on several fields equal. The `range` is that of the next field. */
  prefix?: unknown[]
  range?: { $gt?: unknown; $gte?: unknown; $lt?: unknown; $lte?: unknown }
  /** The parts of a union or an intersection. */
  of?: Omit<Explanation, 'sort' | 'residual' | 'estimated' | 'scanned' | 'returned'>[]
  /** Where the order comes from: the index, a sort in memory, or the ids. */
  sort: 'index' | 'memory' | 'id'
  /** Paths whose conditions are checked on each entity that is found. */
  residual: string[]
  /** How many entities were expected to be found, before any was examined. Those in a large range are not all counted. */
  estimated: number
  /** How many entities were examined. */
  scanned: number
  returned: number
}

/** How to iterate over a storage. */
export interface IterateOptions<T, Id> {
  /** How many entities are read at a time, within 4 MiB. Default: 100. */
  batchSize?: number | undefined
  /** Starts after this id. */
  after?: Id | undefined
  where?: Where<T> | undefined
  signal?: AbortSignal | undefined
}
