// Keys and ends of ranges mean the same for the indexes of a storage and for indexes that are filled by hand.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { IndexManager, type IndexKey, type IndexType } from '../index.js'
import { caught, withDirectory } from './support/index.js'
import { Things, thing } from './support/things.js'

interface Asked {
  find(key: IndexKey): Promise<unknown[]>
  range(start: IndexKey, end: IndexKey, inclusive?: boolean): Promise<unknown[]>
}

/** Runs a test on an index of a storage and on one that is filled by hand, with entities that have the ids 1, 2, 3 … */
function forEach(name: string, type: IndexType, fields: string[], entities: object[], work: (asked: Asked) => Promise<void>) {
  const index = { name: 'test', type, fields }
  test(`${name} (storage)`, withDirectory(async ({ base }) => {
    await using storage = new Things({ basePath: base, indexes: [index] })
    await storage.writeAll(Object.fromEntries(entities.map((entity, at) => [at + 1, { ...thing(at + 1), ...entity }])))
    const ids = async (things: Promise<{ id: number }[]>) => (await things).map(({ id }) => id)
    await work({
      find: (key) => ids(storage.findBy('test', key)),
      range: (start, end, inclusive) => ids(storage.findRange('test', start, end, inclusive)),
    })
  }))
  test(`${name} (by hand)`, withDirectory(async ({ base }) => {
    await using indexes = new IndexManager(base, 'data')
    await indexes.createIndex(index)
    await indexes.rebuildIndex('test', new Map(entities.map((entity, at) => [at + 1, entity])))
    await work({
      find: (key) => indexes.query('test', key),
      range: (start, end, inclusive) => indexes.queryRange('test', start, end, inclusive),
    })
  }))
}

describe('ranges over composite keys', () => {
  const entities = [
    { category: 'b', price: 5 },
    { category: 'a', price: 10 },
    { category: 'a', price: 9 },
    { category: 'a' },
    { category: 'a', price: 'x' },
    { category: 'c', price: 1 },
    { category: 'a', price: [[1, [2, ['deep']]]] },
  ]
  const both = (name: string, work: (asked: Asked) => Promise<void>) =>
    forEach(name, 'btree', ['category', 'price'], entities, work)

  both('take whole keys as their ends', async ({ range }) => {
    assert.deepEqual(await range(['a', 9], ['b', 5]), [3, 2, 5, 7, 1])
    assert.deepEqual(await range(['a', 9], ['b', 5], false), [2, 5, 7])
  })

  both('treat the first parts of a key as standing for all keys that begin with them', async ({ range }) => {
    assert.deepEqual(await range(['a'], ['a']), [4, 3, 2, 5, 7])
    assert.deepEqual(await range(['a', 10], ['b']), [2, 5, 7, 1])
    assert.deepEqual(await range(['a'], ['c'], false), [1])
    assert.deepEqual(await range([], []), [4, 3, 2, 5, 7, 1, 6])
  })

  both('accept the bare value of the first field', async ({ range }) => {
    assert.deepEqual(await range('a', 'a'), [4, 3, 2, 5, 7])
    assert.deepEqual(await range('b', ['c']), [1, 6])
    assert.deepEqual(await range('a', 'c', false), [1])
  })

  both('accept infinities as bounds around all numbers of a part', async ({ range }) => {
    assert.deepEqual(await range(['a', -Infinity], ['a', Infinity]), [3, 2])
  })
})

describe('ranges over one field', () => {
  const entities = [{ a: 'x' }, { a: 5 }, { a: true }, { a: null }, {}, { a: [[1]] }, { a: [[1, 2]] }]
  forEach('order values of several types by type', 'btree', ['a'], entities, async ({ range }) => {
    assert.deepEqual(await range(null, [9]), [4, 5, 3, 2, 1, 6, 7])
    assert.deepEqual(await range(false, Infinity), [3, 2])
    assert.deepEqual(await range([1], [1]), [6])
    assert.deepEqual(await range([1], [1, 3], false), [7])
  })
})

for (const type of ['hash', 'btree'] as const) {
  const entities = [{ a: 1 }, { a: [['x', [1]]] }, { a: null }, {}, { a: '1' }]
  forEach(`keys of a ${type} index keep their type, including nested arrays and null`, type, ['a'], entities, async ({ find }) => {
    assert.deepEqual(await find(1), [1])
    assert.deepEqual(await find('1'), [5])
    assert.deepEqual(await find(['x', [1]]), [2])
    assert.deepEqual(await find(null), [3, 4])
    assert.deepEqual(await find(Infinity), [])
  })
}

describe('invalid arguments of index queries', () => {
  const within: unknown[] = []
  within.push(within)
  const wrong: [string, any][] = [
    ['undefined', undefined], ['NaN', NaN], ['an object', {}], ['a Map', new Map()], ['a symbol', Symbol('s')],
    ['a function', () => 1], ['a bigint', 1n], ['an invalid Date', new Date(NaN)], ['an array with undefined', [undefined]],
    ['a sparse array', Array(2)], ['an array with an object', ['a', {}]], ['an object deep within', [[{}]]], ['an array in itself', within],
  ]
  forEach('a value that cannot be a key is rejected', 'btree', ['a'], [], async ({ find, range }) => {
    for (const [what, key] of wrong) {
      for (const [place, asked] of [['the key', () => find(key)], ['the start', () => range(key, 1)], ['the end', () => range(1, key)]] as const) {
        const error = await caught(asked())
        assert.equal(error.code, 'INVALID_ARGUMENT', what)
        assert.ok(error.message.startsWith(place), error.message)
      }
    }
  })

  forEach('an inclusive flag that is not a boolean is rejected', 'btree', ['a'], [], async ({ range }) => {
    for (const inclusive of ['yes', null, 1] as any[]) assert.equal((await caught(range(1, 2, inclusive))).code, 'INVALID_ARGUMENT')
  })
})
