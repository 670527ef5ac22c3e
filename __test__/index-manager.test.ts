import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { IndexManager, NotFoundError } from '../index.js'
import type { IndexConfig, IndexType } from '../index.js'
import { caught, readJson, withDirectory } from './support/index.js'
import { DATA_DIR, addAll, definitionsFile, indexFile, withIndex, withIndexes } from './support/indexes.js'

const config = (name: string, type: IndexType = 'hash', fields = ['a']): IndexConfig => ({ name, type, fields })

describe('creating and dropping', () => {
  test('created indexes are listed by name, with their defaults', withIndexes(async (indexes) => {
    assert.deepEqual(await indexes.listIndexes(), [])
    await indexes.createIndex({ name: 'b', type: 'btree', fields: ['x.y', 'z'], unique: true, sparse: true })
    await indexes.createIndex(config('a', 'inverted'))
    assert.deepEqual(await indexes.listIndexes(), [
      { name: 'a', type: 'inverted', fields: ['a'], unique: false, sparse: false },
      { name: 'b', type: 'btree', fields: ['x.y', 'z'], unique: true, sparse: true },
    ])
  }))

  test('an existing index is not created again', withIndexes(async (indexes) => {
    await indexes.createIndex(config('a'))
    await indexes.addToIndex('a', 1, { a: 1 })
    const error = await caught(indexes.createIndex(config('a', 'btree')))
    assert.equal(error.code, 'ALREADY_EXISTS')
    assert.match(error.message, /index a already exists/)
    assert.deepEqual(await indexes.query('a', 1), [1])
    assert.equal((await indexes.listIndexes())[0]?.type, 'hash')
  }))

  test('one of several concurrent calls creates an index', withIndexes(async (indexes, { open }) => {
    const other = open()
    const results = await Promise.allSettled(Array.from({ length: 10 }, (_, n) => [indexes, other][n % 2]!.createIndex(config('a'))))
    assert.equal(results.filter(({ status }) => status === 'fulfilled').length, 1)
  }))

  test('a dropped index is removed together with its file', withIndexes(async (indexes, { base }) => {
    await indexes.createIndex(config('a'))
    await indexes.addToIndex('a', 1, { a: 1 })
    await indexes.close()
    assert.ok(existsSync(indexFile(base, 'a')))
    const again = new IndexManager(base, DATA_DIR)
    await again.dropIndex('a')
    assert.deepEqual(await again.listIndexes(), [])
    assert.deepEqual(await again.query('a', 1), [])
    assert.equal(await again.getIndexStats('a'), null)
    await again.close()
    assert.equal(existsSync(indexFile(base, 'a')), false)
    assert.deepEqual(await readJson(definitionsFile(base)), {})
  }))

  test('an index created under the name of a dropped one is empty, whatever its type', withIndexes(async (indexes) => {
    await indexes.createIndex(config('a'))
    await indexes.addToIndex('a', 1, { a: 1, b: 5 })
    for (const [type, fields] of [['hash', ['a']], ['btree', ['b']], ['inverted', ['a', 'b']], ['btree', ['a', 'b']]] as [IndexType, string[]][]) {
      await indexes.dropIndex('a')
      await indexes.createIndex(config('a', type, fields))
      assert.deepEqual(await indexes.query('a', 1), [])
      assert.equal((await indexes.getIndexStats('a'))?.stats.totalEntries, 0)
      await indexes.addToIndex('a', 2, { a: 'x', b: 'y' })
      assert.deepEqual(await indexes.query('a', fields.length === 2 && type !== 'inverted' ? ['x', 'y'] : fields[0] === 'b' ? 'y' : 'x'), [2])
    }
  }))

  test('calls that are not awaited take effect in their order', withIndexes(async (indexes) => {
    await Promise.all([
      indexes.createIndex(config('a')),
      indexes.addToIndex('a', 1, { a: 1 }),
      indexes.addToIndex('a', 2, { a: 1 }),
      indexes.removeFromIndex('a', 1),
      indexes.addToIndex('a', 2, { a: 2 }),
    ])
    assert.deepEqual(await indexes.query('a', 1), [])
    assert.deepEqual(await indexes.query('a', 2), [2])
  }))

  const wrong: [string, any, RegExp][] = [
    ['undefined', undefined, /object/],
    ['a string', 'a', /object/],
    ['a missing name', { type: 'hash', fields: ['a'] }, /name/],
    ['an empty name', config(''), /empty/],
    ['a numeric name', { ...config('a'), name: 5 }, /name.*string/],
    ['an unknown type', { ...config('a'), type: 'tree' }, /'hash', 'btree' or 'inverted'/],
    ['missing fields', { name: 'a', type: 'hash' }, /fields.*array/],
    ['an empty list of fields', { ...config('a'), fields: [] }, /at least one field/],
    ['an empty field', { ...config('a'), fields: [''] }, /field/],
    ['a path with an empty part', { ...config('a'), fields: ['a..b'] }, /field/],
    ['a field that is not a string', { ...config('a'), fields: [1] }, /field.*string/],
    ['a `unique` that is not a boolean', { ...config('a'), unique: 'yes' }, /unique/],
    ['a `sparse` that is not a boolean', { ...config('a'), sparse: 1 }, /sparse/],
    ['a unique inverted index', { ...config('a', 'inverted'), unique: true }, /unique/],
  ]
  for (const [what, given, message] of wrong) {
    test(`createIndex refuses ${what}`, withIndexes(async (indexes) => {
      const error = await caught(indexes.createIndex(given))
      assert.equal(error.code, 'INVALID_ARGUMENT')
      assert.match(error.message, message)
      assert.deepEqual(await indexes.listIndexes(), [])
    }))
  }
})

describe('adding and removing', () => {
  test('adding an entity again replaces its keys', withIndex('hash', 'tags', async (indexes) => {
    await indexes.addToIndex('test', 1, { tags: ['a', 'b'] })
    await indexes.addToIndex('test', 1, { tags: ['b', 'c'] })
    assert.deepEqual(await indexes.query('test', 'a'), [])
    assert.deepEqual(await indexes.query('test', 'b'), [1])
    assert.deepEqual(await indexes.query('test', 'c'), [1])
    assert.equal((await indexes.getIndexStats('test'))?.stats.totalEntries, 2)
  }))

  test('a removed entity is not found', withIndex('btree', 'a', async (indexes) => {
    await addAll(indexes, [{ a: 1 }, { a: 1 }])
    await indexes.removeFromIndex('test', 1)
    assert.deepEqual(await indexes.query('test', 1), [2])
    await indexes.removeFromIndex('test', 1)
    await indexes.removeFromIndex('test', 'absent')
    assert.deepEqual(await indexes.queryRange('test', -Infinity, Infinity), [2])
  }))

  test('rebuilding replaces all entities', withIndex('hash', 'a', async (indexes) => {
    await addAll(indexes, [{ a: 1 }, { a: 2 }])
    await indexes.rebuildIndex('test', [{ id: 2, a: 1 }, { id: 'x', a: 1 }])
    assert.deepEqual(await indexes.query('test', 1), [2, 'x'])
    assert.deepEqual(await indexes.query('test', 2), [])
    await indexes.rebuildIndex('test', [])
    assert.equal((await indexes.getIndexStats('test'))?.stats.totalEntries, 0)
  }))

  test('rebuilding accepts a Map and an object of entities by id', withIndex('hash', 'a', async (indexes) => {
    await indexes.rebuildIndex('test', new Map<number | string, object>([[1, { a: 1 }], ['1', { a: 1 }]]))
    assert.deepEqual(await indexes.query('test', 1), [1, '1'])
    await indexes.rebuildIndex('test', { 5: { id: 5, a: 1 }, k: { a: 1 } })
    assert.deepEqual(await indexes.query('test', 1), [5, 'k'])
  }))

  test('rebuilding keeps the later of two entities with one id', withIndex('hash', 'a', async (indexes) => {
    await indexes.rebuildIndex('test', [{ id: 1, a: 'first' }, { id: 1, a: 'second' }])
    assert.deepEqual(await indexes.query('test', 'first'), [])
    assert.deepEqual(await indexes.query('test', 'second'), [1])
  }))
})

describe('an index that does not exist', () => {
  test('refuses entities with NOT_FOUND', withIndexes(async (indexes) => {
    for (const call of [() => indexes.addToIndex('none', 1, {}), () => indexes.rebuildIndex('none', [])]) {
      const error = await caught(call())
      assert.ok(error instanceof NotFoundError)
      assert.equal(error.code, 'NOT_FOUND')
      assert.match(error.message, /index none not found/)
    }
  }))

  test('answers every query with an empty result', withIndexes(async (indexes) => {
    for (const _ of [1, 2]) {
      assert.deepEqual(await indexes.query('none', 1), [])
      assert.deepEqual(await indexes.queryRange('none', 1, 2), [])
      assert.deepEqual(await indexes.searchText('none', 'a'), [])
      assert.equal(await indexes.getIndexStats('none'), null)
    }
  }))

  test('may be dropped or have entities removed without an error', withIndexes(async (indexes) => {
    await indexes.removeFromIndex('none', 1)
    await indexes.dropIndex('none')
  }))
})

describe('statistics', () => {
  test('count keys and entries', withIndex('hash', 'tags', async (indexes) => {
    const before = Date.now()
    assert.deepEqual((await indexes.getIndexStats('test'))?.stats.avgEntriesPerKey, 0)
    await addAll(indexes, [{ tags: ['a', 'b'] }, { tags: ['a'] }, {}])
    const found = await indexes.getIndexStats('test')
    assert.deepEqual(found?.config, { name: 'test', type: 'hash', fields: ['tags'], unique: false, sparse: false })
    const { created, updated, ...counts } = found.stats
    assert.deepEqual(counts, { uniqueKeys: 3, totalEntries: 4, avgEntriesPerKey: 4 / 3 })
    assert.ok(created instanceof Date && updated instanceof Date)
    assert.ok(before - 1000 <= created.getTime() && created <= updated && updated.getTime() <= Date.now())
  }))

  test('tell when the index was last changed, even after reopening', withIndex('hash', 'a', async (indexes, { open }) => {
    const updated = async (manager = indexes) => (await manager.getIndexStats('test'))!.stats.updated.getTime()
    const later = async () => {
      const now = Date.now()
      while (Date.now() <= now) await new Promise((resolve) => setImmediate(resolve))
    }
    const times = [await updated()]
    for (const change of [
      () => indexes.addToIndex('test', 1, { a: 1 }),
      () => indexes.addToIndex('test', 1, { a: 2 }),
      () => indexes.removeFromIndex('test', 1),
      () => indexes.rebuildIndex('test', []),
    ]) {
      await later()
      await change()
      times.push(await updated())
    }
    assert.deepEqual(times, [...new Set(times)].sort((a, b) => a - b))
    await later()
    await indexes.removeFromIndex('test', 1)
    assert.equal(await updated(), times.at(-1), 'a call that changes nothing')
    await indexes.close()
    const again = open()
    assert.equal(await updated(again), times.at(-1))
    assert.equal((await again.getIndexStats('test'))!.stats.created.getTime(), times[0])
  }))
})

describe('names', () => {
  const ordinary = ['users_by_email', 'a', 'with spaces', 'v1.2', '名前', 'ümlaut', '__proto__', 'constructor', '__null__', 'null', '5', 'CON', 'nul', 'a:b', 'x*?', 'trailing.', ' ', '-', '~', '\u00e9', 'e\u0301', 'L'.repeat(500)]
  test('of every kind refer to separate indexes', withIndexes(async (indexes, { base, open }) => {
    for (const [at, name] of ordinary.entries()) {
      await indexes.createIndex(config(name))
      await indexes.addToIndex(name, at, { a: 'x' })
    }
    const check = async (manager: IndexManager) => {
      for (const [at, name] of ordinary.entries()) assert.deepEqual(await manager.query(name, 'x'), [at], name)
      assert.deepEqual(new Set((await manager.listIndexes()).map(({ name }) => name)), new Set(ordinary))
    }
    await check(indexes)
    await indexes.close()
    await check(open())
    const files = await readdir(join(base, DATA_DIR, 'indexes'))
    assert.equal(new Set(files.map((file) => file.toLowerCase())).size, ordinary.length)
    assert.ok(files.includes('users_by_email.json') && files.every((file) => Buffer.byteLength(file) <= 255))
  }))

  test('that differ only in case refer to two indexes', withIndexes(async (indexes) => {
    await indexes.createIndex(config('users'))
    await indexes.createIndex(config('Users'))
    await indexes.addToIndex('users', 1, { a: 1 })
    assert.deepEqual(await indexes.query('Users', 1), [])
  }))

  for (const name of ['', '.', '..', '../x', '/etc/passwd', 'a/b', 'a/../../x', 'C:\\x', '..\\x', 'a\0', '\n', '\ud800', 'x'.repeat(1025)]) {
    test(`cannot be ${JSON.stringify(name.slice(0, 20))}, in any call`, withIndexes(async (indexes, { base }) => {
      for (const call of [
        () => indexes.createIndex(config(name)),
        () => indexes.dropIndex(name),
        () => indexes.addToIndex(name, 1, { a: 1 }),
        () => indexes.removeFromIndex(name, 1),
        () => indexes.query(name, 1),
        () => indexes.queryRange(name, 1, 2),
        () => indexes.searchText(name, 'a'),
        () => indexes.rebuildIndex(name, []),
        () => indexes.getIndexStats(name),
      ]) {
        assert.equal((await caught(call())).code, 'INVALID_ARGUMENT', String(call))
      }
      assert.deepEqual(await readdir(base), existsSync(join(base, 'data')) ? ['data'] : [])
    }))
  }
})

describe('construction', () => {
  const construct = (...args: any[]) => new (IndexManager as any)(...args)

  test('touches no file', withDirectory(async ({ base }) => {
    const indexes = new IndexManager(join(base, 'new'), 'data')
    await indexes.close()
    assert.equal(existsSync(join(base, 'new')), false)
  }))

  test('refuses invalid arguments', () => {
    for (const args of [[], ['/tmp'], [5, 'data'], ['/tmp', null], ['/tmp', 'data', null], ['/tmp', 'data', 'os']]) {
      assert.throws(() => construct(...args), TypeError, JSON.stringify(args))
    }
    for (const args of [['', 'data'], ['/tmp', ''], ['/tmp', 'a\0b'], ['/tmp', 'data', { lockTimeout: -1 }], ['/tmp', 'data', { durability: 'none' }]]) {
      assert.throws(() => construct(...args), RangeError, JSON.stringify(args))
    }
    assert.throws(() => construct('/tmp', 'data', { lockTimeout: '5' }), /lockTimeout/)
  })

  test('accepts a nested directory', withDirectory(async ({ base }) => {
    const indexes = new IndexManager(base, 'a/b/../c')
    await indexes.createIndex(config('x'))
    await indexes.close()
    assert.ok(existsSync(join(base, 'a', 'c', 'indexes.json')))
  }))
})

describe('closing', () => {
  test('waits for running calls and refuses later ones', withIndex('hash', 'a', async (indexes, { base }) => {
    const adding = indexes.addToIndex('test', 1, { a: 1 })
    await indexes.close()
    await adding
    assert.deepEqual(await readJson(indexFile(base)), { 1: { a: 1 } })
    await indexes.close()
    for (const call of [
      () => indexes.createIndex(config('b')),
      () => indexes.listIndexes(),
      () => indexes.addToIndex('test', 1, {}),
      () => indexes.query('test', 1),
      () => indexes.getIndexStats('test'),
    ]) {
      assert.equal((await caught(call())).code, 'CLOSED')
    }
  }))

  test('also happens on asynchronous disposal', withIndex('hash', 'a', async (indexes) => {
    await indexes[Symbol.asyncDispose]()
    assert.equal((await caught(indexes.listIndexes())).code, 'CLOSED')
  }))
})
