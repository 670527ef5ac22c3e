// What an IndexManager should answer, computed with plain maps, and random calls on it.
import type { EntityId, IndexConfig } from '../../index.js'
import type { Call, Doc } from './model.js'
import { choicesFrom } from './random-calls.js'

export type IndexCall = Call<'indexes'>
type Key = string | number | boolean | null | Key[]

const config = (name: string, type: IndexConfig['type'], fields: string[], unique = false, sparse = false) => ({ name, type, fields, unique, sparse })

const CONFIGS = [
  config('hash', 'hash', ['a']), config('btree', 'btree', ['a']), config('pair', 'btree', ['a', 'b']),
  config('sparse', 'hash', ['b'], false, true), config('unique', 'hash', ['a'], true), config('unique pair', 'btree', ['b', 'a'], true),
]

const KEYS: Key[] = [1, 2, 'x', true, null]

/** Calls whose answers tell everything that the indexes hold. */
export const LOOKS: IndexCall[] = CONFIGS.flatMap(({ name, fields }) => {
  const keys = fields.length > 1 ? KEYS.flatMap((one) => KEYS.map((other) => [one, other])) : KEYS
  const queries = keys.map((key): IndexCall => ({ target: 'indexes', method: 'query', args: [name, key] }))
  return [...queries, { target: 'indexes', method: 'getIndexStats', args: [name] }]
})

const refused = (code: string) => ({ refused: code })

/** Compares ids: numbers ascending, then texts. */
const byId = (one: EntityId, other: EntityId) =>
  typeof one === typeof other ? (one < other ? -1 : Number(one > other)) : typeof one === 'number' ? -1 : 1

const rank = (key: Key) => (key === null ? 0 : ['boolean', 'number', 'string', 'object'].indexOf(typeof key) + 1)

/** Compares keys. An array agrees with all that begin with it if it is an end of a range. */
function byKey(one: Key, other: Key): number {
  if (Array.isArray(one) && Array.isArray(other)) {
    return other.reduce((found: number, part, at) => found || byKey(one[at]!, part), 0)
  }
  if (rank(one) !== rank(other)) return rank(one) - rank(other)
  return one! < other! ? -1 : Number(one! > other!)
}

/** The keys that an index has for an entity. */
function keysOf({ fields, sparse }: IndexConfig, entity: Doc): Key[] {
  const keys = fields.map((field) => {
    const value = entity[field] ?? null
    return [...new Set(Array.isArray(value) ? value : [value])].filter((key) => key === null || typeof key !== 'object')
  }).reduce<Key[][]>((tuples, parts) => tuples.flatMap((tuple) => parts.map((part) => [...tuple, part])), [[]])
  const kept = keys.filter((tuple) => !sparse || tuple.some((part) => part !== null))
  return fields.length === 1 ? kept.map(([key]) => key!) : kept
}

const hasNull = (key: Key): boolean => key === null || (Array.isArray(key) && key.some(hasNull))

export class IndexModel {
  #indexes = new Map<string, { config: IndexConfig; entities: Map<EntityId, Doc> }>()

  copy() {
    const copy = new IndexModel()
    for (const [name, { config, entities }] of this.#indexes) copy.#indexes.set(name, { config, entities: new Map(entities) })
    return copy
  }

  /** Returns what a call should answer, and changes the maps as the call does. */
  answer({ method, args }: IndexCall, answer: any): unknown {
    const [name, second, third, inclusive] = args
    if (method === 'createIndex') {
      if (this.#indexes.has(name.name)) return refused('ALREADY_EXISTS')
      return void this.#indexes.set(name.name, { config: name, entities: new Map() })
    }
    if (method === 'listIndexes') return [...this.#indexes.values()].map(({ config }) => config).sort((one, other) => (one.name < other.name ? -1 : 1))
    const index = this.#indexes.get(name)
    if (index === undefined) return { addToIndex: refused('NOT_FOUND'), rebuildIndex: refused('NOT_FOUND'), query: [], queryRange: [], getIndexStats: null }[method]
    const { config, entities } = index
    switch (method) {
      case 'dropIndex': return void this.#indexes.delete(name)
      case 'addToIndex': return this.#replace(index, new Map(entities).set(second, third))
      case 'removeFromIndex': return void entities.delete(second)
      case 'rebuildIndex': return this.#replace(index, new Map(second.map((entity: Doc) => [entity.id, entity])))
      case 'query': {
        const wanted = second === null && config.fields.length > 1 ? config.fields.map(() => null) : second
        return this.#entries(index).filter(([key]) => JSON.stringify(key) === JSON.stringify(wanted)).map(([, id]) => id)
      }
      case 'queryRange': {
        if (config.type !== 'btree') return refused('INDEX_TYPE')
        const [start, end] = [second, third].map((key) => (config.fields.length > 1 ? [key].flat() : key))
        const least = inclusive ? 0 : 1
        return [...new Set(this.#entries(index).filter(([key]) => byKey(key, start) >= least && byKey(key, end) <= -least).map(([, id]) => id))]
      }
      case 'getIndexStats': {
        const entries = this.#entries(index)
        const uniqueKeys = new Set(entries.map(([key]) => JSON.stringify(key))).size
        const { created, updated } = answer.stats
        return { config, stats: { uniqueKeys, totalEntries: entries.length, avgEntriesPerKey: uniqueKeys === 0 ? 0 : entries.length / uniqueKeys, created, updated } }
      }
      default: throw new Error(`no model of ${method}`)
    }
  }

  /** Every pair of a key and an entity, in the order of the keys and then of the ids. */
  #entries({ config, entities }: { config: IndexConfig; entities: Map<EntityId, Doc> }): [Key, EntityId][] {
    const entries = [...entities].flatMap(([id, entity]) => keysOf(config, entity).map((key): [Key, EntityId] => [key, id]))
    return entries.sort(([one, id], [other, otherId]) => byKey(one, other) || byId(id, otherId))
  }

  #replace(index: { config: IndexConfig; entities: Map<EntityId, Doc> }, entities: Map<EntityId, Doc>) {
    const keys = this.#entries({ ...index, entities }).map(([key]) => key).filter((key) => !hasNull(key)).map((key) => JSON.stringify(key))
    if (index.config.unique && new Set(keys).size < keys.length) return refused('UNIQUE_VIOLATION')
    index.entities = entities
  }
}

/** Returns a generator of calls. The same seed makes the same calls. */
export function indexCallsFor(seed: number) {
  const { below, oneOf } = choicesFrom(seed)
  const value = () => oneOf<unknown>([...KEYS, ...KEYS, undefined, [1, 2], ['x', null, 2], [], { c: 1 }])
  const key = () => oneOf(KEYS)
  const pair = () => [key(), key()]
  const id = () => oneOf<EntityId>([1, 2, 3, 4, 5, 12, 'one', 'two'])
  const entity = () => ({ a: value(), b: value() })
  return (): IndexCall => {
    const { name, fields } = oneOf(CONFIGS)
    const isPair = fields.length > 1
    const [method, args] = oneOf<() => [string, unknown[]]>([
      ...Array(6).fill(() => ['addToIndex', [name, id(), entity()]]),
      ...Array(3).fill(() => ['query', [name, isPair ? oneOf([pair(), null]) : key()]]),
      ...Array(3).fill(() => ['queryRange', [name, oneOf([key(), ...(isPair ? [pair(), [key()]] : [-Infinity])]), oneOf([key(), ...(isPair ? [pair(), [key()]] : [[]])]), below(2) === 0]]),
      ...Array(2).fill(() => ['removeFromIndex', [name, id()]]),
      () => ['createIndex', [oneOf(CONFIGS)]],
      () => (below(3) === 0 ? ['dropIndex', [name]] : ['createIndex', [oneOf(CONFIGS)]]),
      () => ['rebuildIndex', [name, Array.from({ length: below(4) }, () => ({ id: id(), ...entity() }))]],
      () => ['getIndexStats', [name]],
      () => ['listIndexes', []],
    ])()
    return { target: 'indexes', method, args }
  }
}
