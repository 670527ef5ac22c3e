import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { BaseStorage, type IndexManager } from '../index.js'
import { runChild } from './support/index.js'
import { DATA_DIR, withIndex, withIndexes } from './support/indexes.js'
import { z } from 'zod'

describe('two managers', () => {
  test('on one directory see each other\'s changes at once', withIndex('btree', 'a', async (one, { open }) => {
    const other = open()
    assert.deepEqual(await other.query('test', 1), [])
    await one.addToIndex('test', 1, { a: 1 })
    assert.deepEqual(await other.query('test', 1), [1])
    await other.addToIndex('test', 1, { a: 2 })
    assert.deepEqual(await one.queryRange('test', 0, 5), [1])
    await other.dropIndex('test')
    assert.deepEqual(await one.query('test', 2), [])
    await one.createIndex({ name: 'test', type: 'inverted', fields: ['b'] })
    await one.addToIndex('test', 1, { a: 2, b: 'word' })
    assert.deepEqual(await other.query('test', 2), [])
    assert.deepEqual(await other.searchText('test', 'word'), [1])
  }))

  test('on one directory keep working when the other is closed', withIndex('hash', 'a', async (one, { open }) => {
    const other = open()
    await other.addToIndex('test', 1, { a: 1 })
    await one.close()
    await other.addToIndex('test', 2, { a: 1 })
    assert.deepEqual(await other.query('test', 1), [1, 2])
  }))

  test('on two directories are independent', withIndex('hash', 'a', async (one, { open }) => {
    const other = open({}, 'data/others')
    await one.addToIndex('test', 1, { a: 1 })
    assert.deepEqual(await other.listIndexes(), [])
    assert.deepEqual(await other.query('test', 1), [])
  }))

  for (const [what, write] of [
    ['add', (one: IndexManager) => one.addToIndex('test', 1, { a: 1, b: 1 })],
    ['rebuild with', (one: IndexManager) => one.rebuildIndex('test', [{ id: 1, a: 1, b: 1 }])],
  ] as const) test(`${what} no part of an entity in an index that the other is recreating`, withIndex('hash', 'a', async (one, { open }) => {
    const other = open()
    for (const field of ['b', 'a', 'b', 'a', 'b', 'a', 'b', 'a']) {
      await one.query('test', 1)
      const recreating = [other.dropIndex('test'), other.createIndex({ name: 'test', type: 'hash', fields: [field] })]
      await write(one).catch(({ code }) => assert.ok(['CONFLICT', 'NOT_FOUND'].includes(code), code))
      await Promise.all(recreating)
      const { totalEntries } = (await one.getIndexStats('test'))!.stats
      assert.equal((await one.query('test', 1)).length, totalEntries)
    }
  }))

  test('see each other\'s changes even if one does not wait for the disk', withIndex('hash', 'a', async (one, { open }) => {
    await open({ durability: 'os' }).addToIndex('test', 1, { a: 1 })
    assert.deepEqual(await one.query('test', 1), [1])
  }))
})

describe('a manager beside a BaseStorage subclass', () => {
  const item = z.object({ id: z.number(), name: z.string(), created: z.number(), updated: z.number() })
  class Items extends BaseStorage<z.infer<typeof item>> {
    constructor(basePath: string) {
      super(z.record(z.string(), item), item, DATA_DIR, { basePath })
    }
    protected getIndexPath() { return 'items.json' }
    protected getEntityPath() { return null }
  }

  test('indexes the entities of that storage', withIndex('hash', 'name', async (indexes, { base }) => {
    await using items = new Items(base)
    const created = await Promise.all(['a', 'b', 'a'].map((name) => items.create({ name })))
    await Promise.all(created.map((entity) => indexes.addToIndex('test', entity.id, entity)))
    const found = await indexes.query('test', 'a')
    assert.deepEqual(await Promise.all(found.map((id) => items.getById(Number(id)))), [created[0], created[2]].sort((a, b) => a!.id - b!.id))
    await indexes.rebuildIndex('test', await items.list())
    assert.deepEqual(await indexes.query('test', 'b'), [created[1]!.id])
    await indexes.rebuildIndex('test', await items.readAll())
    assert.deepEqual(await indexes.query('test', 'b'), [created[1]!.id])
  }))
})

describe('two processes on one directory', () => {
  test('see what the other added as soon as it was acknowledged', withIndex('hash', 'key', async (indexes, { base }) => {
    await indexes.query('test', 'x')
    const pending: Promise<void>[] = []
    let seen = 0
    const { code, stderr } = await runChild('indexer.mjs', [base, 'add', 'a', '40'], {
      onLine: (line) => {
        const { id, key } = JSON.parse(line)
        pending.push(indexes.query('test', key).then((ids) => {
          assert.deepEqual(ids, [id])
          seen++
        }))
      },
    })
    assert.equal(code, 0, stderr)
    await Promise.all(pending)
    assert.equal(seen, 40)
  }))

  test('lose nothing when they add concurrently', withIndex('btree', 'key', async (indexes, { base }) => {
    const children = ['a', 'b'].map((tag) => runChild('indexer.mjs', [base, 'add', tag, '50']))
    await Promise.all(Array.from({ length: 50 }, (_, n) => indexes.addToIndex('test', n, { key: n % 5 })))
    for (const { code, stderr } of await Promise.all(children)) assert.equal(code, 0, stderr)
    const all = await Promise.all([0, 1, 2, 3, 4].map((key) => indexes.query('test', key)))
    assert.deepEqual(all.map(({ length }) => length), [30, 30, 30, 30, 30])
    assert.equal((await indexes.getIndexStats('test'))?.stats.totalEntries, 250)
  }))

  test('notice an index that the other recreated', withIndex('hash', 'a', async (indexes, { base }) => {
    await indexes.addToIndex('test', 1, { a: 1 })
    const { code, stderr } = await runChild('recreator.mjs', [base])
    assert.equal(code, 0, stderr)
    assert.deepEqual(await indexes.query('test', 1), [])
    assert.deepEqual(await indexes.queryRange('test', 'a', 'z'), ['other'])
    await indexes.addToIndex('test', 2, { a: 1, b: 'm' })
    assert.deepEqual(await indexes.queryRange('test', 'a', 'z'), [2, 'other'])
    assert.deepEqual((await indexes.listIndexes())[0]?.fields, ['b'])
  }))

  test('create, fill, query and drop one index concurrently without disturbing each other', withIndexes(async (indexes, { base }) => {
    const children = ['a', 'b', 'c'].map((tag) => runChild('indexer.mjs', [base, 'churn', tag, '40']))
    let running = true
    const finished = Promise.all(children).finally(() => (running = false))
    while (running) {
      // Whichever of the two configurations is in effect, the keys must be those of its field.
      for (const key of [1, 2]) assert.ok((await indexes.query('churned', key)).every((id) => ['a', 'b', 'c'].includes(String(id))))
      for (const { name, fields } of await indexes.listIndexes()) assert.ok(name === 'churned' && ['a', 'b'].includes(fields[0]!))
      await new Promise((resolve) => setImmediate(resolve))
    }
    for (const { code, stderr } of await finished) assert.equal(code, 0, stderr)
  }))

  test('keep working when the other is killed', withIndex('hash', 'key', async (indexes, { base }) => {
    let count = 0
    const { lines, signal } = await runChild('indexer.mjs', [base, 'add', 'a', '0'], {
      onLine: (_line, kill) => {
        if (++count === 10) kill()
      },
    })
    assert.equal(signal, 'SIGKILL')
    await indexes.addToIndex('test', 'own', { key: 'own' })
    for (const line of lines) {
      const { id, key } = JSON.parse(line)
      assert.deepEqual(await indexes.query('test', key), [id])
    }
  }))
})
