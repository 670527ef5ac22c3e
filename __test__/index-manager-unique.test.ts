import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { IndexManager } from '../index.js'
import { caught, runChild } from './support/index.js'
import { withIndex } from './support/indexes.js'

const unique = { unique: true }

const forBoth = (name: string, fields: string | string[], work: (indexes: IndexManager) => Promise<void>) => {
  for (const type of ['hash', 'btree'] as const) test(`${name} (${type})`, withIndex(type, fields, work, unique))
}

async function assertClash(adding: Promise<unknown>) {
  const error = await caught(adding)
  assert.equal(error.code, 'UNIQUE_VIOLATION')
  assert.equal(error.outcome, 'none')
  assert.match(error.message, /^Unique constraint violation/)
  return error
}

describe('a second owner of a unique key', () => {
  forBoth('is refused and changes nothing', 'email', async (indexes) => {
    await indexes.addToIndex('test', 1, { email: 'a@x' })
    const before = await indexes.getIndexStats('test')
    const error = await assertClash(indexes.addToIndex('test', 2, { email: 'a@x' }))
    assert.match(error.message, /test.*"a@x".*1/)
    assert.deepEqual(await indexes.query('test', 'a@x'), [1])
    assert.deepEqual(await indexes.getIndexStats('test'), before)
  })

  forBoth('is refused without a trace if its key is in the middle of an array', 'tags', async (indexes) => {
    await indexes.addToIndex('test', 1, { tags: ['b'] })
    await indexes.addToIndex('test', 2, { tags: ['x', 'y'] })
    await assertClash(indexes.addToIndex('test', 2, { tags: ['a', 'b', 'c'] }))
    for (const [key, ids] of [['a', []], ['b', [1]], ['c', []], ['x', [2]], ['y', [2]]] as const) assert.deepEqual(await indexes.query('test', key), ids, key)
    assert.equal((await indexes.getIndexStats('test'))?.stats.totalEntries, 3)
  })

  forBoth('of a composite key is an entity with the same value of every part', ['a', 'b'], async (indexes) => {
    await indexes.addToIndex('test', 1, { a: 1, b: 1 })
    await indexes.addToIndex('test', 2, { a: 1, b: 2 })
    await assertClash(indexes.addToIndex('test', 3, { a: 1, b: [3, 2] }))
    assert.deepEqual(await indexes.query('test', [1, 3]), [])
  })

  forBoth('fails a rebuild, which leaves the index as it was', 'a', async (indexes) => {
    await indexes.addToIndex('test', 'old', { a: 'old' })
    const before = await indexes.getIndexStats('test')
    const entities = Array.from({ length: 100 }, (_, id) => ({ id, a: id % 99 }))
    await assertClash(indexes.rebuildIndex('test', entities))
    assert.deepEqual(await indexes.query('test', 'old'), ['old'])
    assert.deepEqual(await indexes.query('test', 5), [])
    assert.deepEqual(await indexes.getIndexStats('test'), before)
    await indexes.rebuildIndex('test', entities.slice(1))
    assert.deepEqual(await indexes.query('test', 0), [99])
  })

  forBoth('is refused in concurrent calls, of which one succeeds', 'a', async (indexes) => {
    const results = await Promise.allSettled(Array.from({ length: 50 }, (_, id) => indexes.addToIndex('test', id, { a: [`own ${id}`, 'shared'] })))
    assert.equal(results.filter(({ status }) => status === 'fulfilled').length, 1)
    const owner = results.findIndex(({ status }) => status === 'fulfilled')
    assert.deepEqual(await indexes.query('test', 'shared'), [owner])
    assert.equal((await indexes.getIndexStats('test'))?.stats.totalEntries, 2)
  })
})

describe('a unique key', () => {
  forBoth('may be added again by its owner', 'a', async (indexes) => {
    await indexes.addToIndex('test', 1, { a: ['x', 'y'] })
    await indexes.addToIndex('test', 1, { a: ['y', 'z', 'z'] })
    assert.deepEqual(await indexes.query('test', 'y'), [1])
  })

  forBoth('is free once its owner has another key or is removed', 'a', async (indexes) => {
    await Promise.all([
      indexes.addToIndex('test', 1, { a: 'x' }),
      indexes.addToIndex('test', 1, { a: 'y' }),
      indexes.addToIndex('test', 2, { a: 'x' }),
      indexes.removeFromIndex('test', 1),
      indexes.addToIndex('test', 3, { a: 'y' }),
    ])
    assert.deepEqual([await indexes.query('test', 'x'), await indexes.query('test', 'y')], [[2], [3]])
  })

  forBoth('may be null for any number of entities', 'a', async (indexes) => {
    for (const id of [1, 2, 3]) await indexes.addToIndex('test', id, id === 1 ? {} : { a: null })
    assert.deepEqual(await indexes.query('test', null), [1, 2, 3])
  })

  forBoth('differs from the same text or value of another type', 'a', async (indexes) => {
    for (const [id, a] of [1, '1', true, 'true'].entries()) await indexes.addToIndex('test', id, { a })
    assert.deepEqual(await indexes.query('test', '1'), [1])
  })

  test('has one owner among several processes', withIndex('hash', 'key', async (indexes, { base, open }) => {
    const children = ['a', 'b', 'c'].map((tag) => runChild('indexer.mjs', [base, 'unique', tag, '60']))
    const results = await Promise.all(children)
    const won = new Map<number, string[]>()
    for (const { lines, code, stderr } of results) {
      assert.equal(code, 0, stderr)
      for (const { key, id } of lines.map((line) => JSON.parse(line))) won.set(key, [...(won.get(key) ?? []), id])
    }
    assert.equal(won.size, 60)
    for (const manager of [indexes, open()]) {
      for (const [key, ids] of won) assert.deepEqual([ids.length, await manager.query('test', key)], [1, ids])
    }
  }, unique))
})
