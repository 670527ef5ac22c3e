import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { IndexManager, type IndexKey, type IndexType } from '../index.js'
import { caught, withDirectory } from './support/index.js'
import { addAll, withIndex } from './support/indexes.js'

const both = ['hash', 'btree'] as const

/** Runs a test for both types of index that have keys. */
const forBoth = (name: string, fields: string | string[], work: (indexes: IndexManager) => Promise<void>, options = {}) => {
  for (const type of both) test(`${name} (${type})`, withIndex(type, fields, work, options))
}

describe('keys keep their type', () => {
  const values: IndexKey[] = [42, '42', true, 'true', 1, '1', 0, '0', false, 'false', '', 'null', '__null__', '__proto__', 'constructor', 'NaN', 'Infinity', -1.5, 1e300, 5e-324, 2 ** 53, 'ä', 'a\0b', '\ud800', '\udc00\ud800', '😀', '[1]', '"']
  forBoth('each value finds only its own entity', 'a', async (indexes) => {
    await addAll(indexes, values.map((a) => ({ a })))
    for (const [at, value] of values.entries()) assert.deepEqual(await indexes.query('test', value), [at + 1], String(value))
    assert.equal((await indexes.getIndexStats('test'))?.stats.uniqueKeys, values.length)
  })

  forBoth('a Date is indexed as its milliseconds', 'a', async (indexes) => {
    const time = new Date('2024-02-29T12:00:00.123Z')
    await addAll(indexes, [{ a: time }, { a: time.getTime() }, { a: time.toISOString() }])
    assert.deepEqual(await indexes.query('test', time), [1, 2])
    assert.deepEqual(await indexes.query('test', time.getTime()), [1, 2])
    assert.deepEqual(await indexes.query('test', time.toISOString()), [3])
  })

  forBoth('-0 and 0 are the same key', 'a', async (indexes) => {
    await addAll(indexes, [{ a: -0 }, { a: 0 }])
    assert.deepEqual(await indexes.query('test', -0), [1, 2])
  })

  forBoth('a query for Infinity finds nothing', 'a', async (indexes) => {
    await addAll(indexes, [{ a: Number.MAX_VALUE }])
    assert.deepEqual(await indexes.query('test', Infinity), [])
  })
})

describe('fields', () => {
  forBoth('may be nested', 'address.city', async (indexes) => {
    await addAll(indexes, [{ address: { city: 'Graz', zip: 8010 } }, { address: { city: 'Wien' } }, { 'address.city': 'Graz' }])
    assert.deepEqual(await indexes.query('test', 'Graz'), [1])
    assert.deepEqual(await indexes.query('test', null), [3])
  })

  forBoth('that hold an array are indexed by each element', 'tags', async (indexes) => {
    await addAll(indexes, [{ tags: ['a', 'b', 'a'] }, { tags: 'b' }, { tags: [] }, { tags: [['x', 1]] }])
    assert.deepEqual(await indexes.query('test', 'a'), [1])
    assert.deepEqual(await indexes.query('test', 'b'), [1, 2])
    assert.deepEqual(await indexes.query('test', null), [])
    assert.deepEqual(await indexes.query('test', ['x', 1]), [4])
  })

  forBoth('may lead through arrays', 'parts.name', async (indexes) => {
    await addAll(indexes, [{ parts: [{ name: 'a' }, { name: ['b', 'c'] }, 'x'] }])
    for (const key of ['a', 'b', 'c', null]) assert.deepEqual(await indexes.query('test', key), [1], String(key))
  })

  forBoth('that hold an object have no key', 'a', async (indexes) => {
    await addAll(indexes, [{ a: { b: 1 } }, { a: new Map([[1, 2]]) }])
    assert.equal((await indexes.getIndexStats('test'))?.stats.totalEntries, 0)
  })

  forBoth('may have any name', ['__proto__', 'constructor'], async (indexes) => {
    await addAll(indexes, [JSON.parse('{"__proto__": "a", "constructor": "b"}'), {}])
    assert.deepEqual(await indexes.query('test', ['a', 'b']), [1])
    assert.deepEqual(await indexes.query('test', null), [2])
  })

  forBoth('may include id, which is a field like any other', 'id', async (indexes) => {
    await indexes.addToIndex('test', 1, { id: 7 })
    await indexes.addToIndex('test', 7, {})
    assert.deepEqual(await indexes.query('test', 7), [1])
    assert.deepEqual(await indexes.query('test', null), [7])
  })
})

describe('missing and null values', () => {
  const entities = [{}, { a: null }, { a: undefined }, { a: () => 1 }, { a: Symbol('s') }, { a: [null] }, { a: 'null' }, { a: '__null__' }]
  forBoth('are found by null', 'a', async (indexes) => {
    await addAll(indexes, entities)
    assert.deepEqual(await indexes.query('test', null), [1, 2, 3, 4, 5, 6])
    assert.deepEqual(await indexes.query('test', 'null'), [7])
    assert.deepEqual(await indexes.query('test', '__null__'), [8])
  })

  forBoth('are left out of a sparse index', 'a', async (indexes) => {
    await addAll(indexes, entities)
    assert.deepEqual(await indexes.query('test', null), [])
    assert.equal((await indexes.getIndexStats('test'))?.stats.totalEntries, 2)
  }, { sparse: true })
})

describe('composite keys', () => {
  const entities = [
    { category: 'electronics', status: 'active' },
    { category: 'electronics', status: 'inactive' },
    { category: 'books', status: 'active' },
    { category: 'electronics' },
    { category: ['electronics', 'toys'], status: ['active', 'new'] },
  ]
  forBoth('are found by their parts', ['category', 'status'], async (indexes) => {
    await addAll(indexes, entities)
    assert.deepEqual(await indexes.query('test', ['electronics', 'active']), [1, 5])
    assert.deepEqual(await indexes.query('test', ['toys', 'new']), [5])
    assert.deepEqual(await indexes.query('test', ['electronics', null]), [4])
    assert.deepEqual(await indexes.query('test', ['electronics']), [])
    assert.deepEqual(await indexes.query('test', 'electronics'), [])
  })

  forBoth('are found by their joined form', ['category', 'status'], async (indexes) => {
    await addAll(indexes, entities)
    assert.deepEqual(await indexes.query('test', 'electronics:active'), [1, 5])
    assert.deepEqual(await indexes.query('test', 'electronics:'), [4])
  })

  forBoth('with the same joined form are all found by it', ['a', 'b'], async (indexes) => {
    await addAll(indexes, [{ a: 'x:y', b: 'z' }, { a: 'x', b: 'y:z' }, { a: 42, b: 'x' }, { a: '42', b: 'x' }])
    assert.deepEqual(await indexes.query('test', 'x:y:z'), [1, 2])
    assert.deepEqual(await indexes.query('test', ['x', 'y:z']), [2])
    assert.deepEqual(await indexes.query('test', '42:x'), [3, 4])
    assert.deepEqual(await indexes.query('test', [42, 'x']), [3])
  })

  forBoth('are kept in a sparse index if only some of their parts are null', ['a', 'b'], async (indexes) => {
    await addAll(indexes, [{ a: 1 }, {}])
    assert.deepEqual(await indexes.query('test', [1, null]), [1])
    assert.equal((await indexes.getIndexStats('test'))?.stats.totalEntries, 1)
  }, { sparse: true })

  forBoth('are refused if one entity has too many of them', ['a', 'b'], async (indexes) => {
    const many = Array.from({ length: 101 }, (_, n) => n)
    const error = await caught(indexes.addToIndex('test', 1, { a: many, b: many }))
    assert.equal(error.code, 'VALIDATION_ERROR')
    assert.match(error.message, /a and b/)
    assert.equal((await indexes.getIndexStats('test'))?.stats.totalEntries, 0)
  })
})

describe('ranges', () => {
  const range = (name: string, values: IndexKey[], work: (indexes: IndexManager) => Promise<void>) =>
    test(name, withIndex('btree', 'a', async (indexes) => {
      await addAll(indexes, values.map((a) => ({ a })))
      await work(indexes)
    }))

  range('give ids in the order of the keys and compare numbers by value', [10, 9, -1, -10, 0.5, 1e21, 100], async (indexes) => {
    assert.deepEqual(await indexes.queryRange('test', -Infinity, Infinity), [4, 3, 5, 2, 1, 7, 6])
    assert.deepEqual(await indexes.queryRange('test', -1, 10), [3, 5, 2, 1])
    assert.deepEqual(await indexes.queryRange('test', -1, 10, true), [3, 5, 2, 1])
    assert.deepEqual(await indexes.queryRange('test', -1, 10, false), [5, 2])
    assert.deepEqual(await indexes.queryRange('test', 9, 9), [2])
    assert.deepEqual(await indexes.queryRange('test', 9, 9, false), [])
    assert.deepEqual(await indexes.queryRange('test', 10, -1), [])
  })

  test('leave the ends out if told so even as the first call of a manager', withDirectory(async ({ base }) => {
    for (const isFirst of [false, true]) {
      const indexes = new IndexManager(base, 'data')
      if (!isFirst) {
        await indexes.createIndex({ name: 'test', type: 'btree', fields: ['a'] })
        await addAll(indexes, [{ a: 1 }, { a: 2 }, { a: 3 }])
      }
      assert.deepEqual(await indexes.queryRange('test', 1, 3, false), [2])
      await indexes.close()
    }
  }))

  range('order strings by code point', ['\uffff', '😀', 'a', 'B', 'ä', '10', '9', ''], async (indexes) => {
    assert.deepEqual(await indexes.queryRange('test', '', []), [8, 6, 7, 4, 3, 5, 1, 2])
    assert.deepEqual(await indexes.queryRange('test', '9', 'a'), [7, 4, 3])
  })

  range('accept Dates as their ends', [new Date(1000), new Date(2000), new Date(3000)], async (indexes) => {
    assert.deepEqual(await indexes.queryRange('test', new Date(1500), new Date(3000)), [2, 3])
  })

  range('give the ids of one key in ascending order', [1, 1, 1], async (indexes) => {
    await indexes.addToIndex('test', 'a', { a: 1 })
    assert.deepEqual(await indexes.queryRange('test', 0, 2), [1, 2, 3, 'a'])
  })

  test('give an entity with several keys once, at the first of its keys in the range', withIndex('btree', 'a', async (indexes) => {
    await addAll(indexes, [{ a: [1, 9] }, { a: 5 }])
    assert.deepEqual(await indexes.queryRange('test', 0, 10), [1, 2])
    assert.deepEqual(await indexes.queryRange('test', 2, 10), [2, 1])
  }))

  for (const type of ['hash', 'inverted'] as IndexType[]) {
    test(`are refused by a ${type} index`, withIndex(type, 'a', async (indexes) => {
      for (const _ of [1, 2]) {
        const error = await caught(indexes.queryRange('test', 1, 2))
        assert.equal(error.code, 'INDEX_TYPE')
        assert.match(error.message, new RegExp(`test is of type ${type}.*btree`))
      }
    }))
  }
})

describe('a large result', () => {
  test('is returned in full', withIndex('btree', 'a', async (indexes) => {
    const entities = Array.from({ length: 20_000 }, (_, id) => ({ id, a: id % 2 }))
    await indexes.rebuildIndex('test', entities)
    assert.deepEqual(await indexes.query('test', 1), entities.filter(({ a }) => a === 1).map(({ id }) => id))
    assert.equal((await indexes.queryRange('test', 0, 1)).length, 20_000)
  }))
})
