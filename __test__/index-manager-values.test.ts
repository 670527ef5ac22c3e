import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { EntityId } from '../index.js'
import { caught, readJson } from './support/index.js'
import { indexFile, withIndex, withIndexes } from './support/indexes.js'

describe('ids', () => {
  const ids: EntityId[] = [
    0, 1, 42, -1, 1.5, -0.25, 1e21, 1e-7, 2 ** 53, 2 ** 60, -(2 ** 53), Number.MAX_VALUE, 5e-324,
    '0', '42', '-1', '1.5', '1e+21', '1e-7', '9007199254740993', 'NaN', 'Infinity', '-Infinity', '042', '1e5', '+1', ' 1', '-0',
    '', 'a', '__proto__', 'constructor', 'null', 'true', '"', '"42"', '""', '{}', '\\', '\n', '\0', 'ä', '😀', '\ud800', '\udc00', '\ufffd',
  ]

  test('keep their type and their exact value', withIndex('hash', 'a', async (indexes, { base, open }) => {
    await Promise.all(ids.map((id, at) => indexes.addToIndex('test', id, { a: ['all', at] })))
    const check = async (manager = indexes) => {
      for (const [at, id] of ids.entries()) assert.deepEqual(await manager.query('test', at), [id], JSON.stringify(id))
      const all = await manager.query('test', 'all')
      assert.equal(all.length, ids.length)
      assert.deepEqual(new Set(all), new Set(ids))
    }
    await check()
    await indexes.close()
    await check(open())
    assert.equal(Object.keys(await readJson(indexFile(base))).length, ids.length)
  }))

  test('of every kind can be rebuilt and removed', withIndex('hash', 'a', async (indexes) => {
    await indexes.rebuildIndex('test', ids.map((id) => ({ id, a: 'all' })))
    assert.deepEqual(new Set(await indexes.query('test', 'all')), new Set(ids))
    await Promise.all(ids.map((id) => indexes.removeFromIndex('test', id)))
    assert.deepEqual(await indexes.query('test', 'all'), [])
  }))

  test('include -0, which is stored as 0', withIndex('hash', 'a', async (indexes) => {
    await indexes.addToIndex('test', -0, { a: 1 })
    assert.ok(Object.is((await indexes.query('test', 1))[0], 0))
  }))

  for (const [what, id] of [['NaN', NaN], ['Infinity', Infinity], ['-Infinity', -Infinity], ['undefined', undefined], ['null', null], ['true', true], ['a bigint', 1n], ['an object', {}], ['an array', [1]], ['a symbol', Symbol('s')], ['a Date', new Date(0)]] as [string, any][]) {
    test(`cannot be ${what}`, withIndex('hash', 'a', async (indexes) => {
      for (const call of [
        () => indexes.addToIndex('test', id, { a: 1 }),
        () => indexes.removeFromIndex('test', id),
        () => indexes.rebuildIndex('test', [{ id, a: 1 }]),
      ]) assert.equal((await caught(call())).code, 'INVALID_ARGUMENT')
      assert.deepEqual(await indexes.query('test', 1), [])
    }))
  }
})

describe('the stored part of an entity', () => {
  test('is what the index uses, and nothing else', withIndex('hash', ['name', 'address.city'], async (indexes, { base }) => {
    await indexes.addToIndex('test', 1, { name: 'Ada', password: 'secret', address: { city: 'Graz', street: 'secret' } })
    await indexes.addToIndex('test', 'b', { name: { secret: 1 }, address: 'secret' })
    await indexes.close()
    assert.deepEqual(await readJson(indexFile(base)), { 1: { name: 'Ada', address: { city: 'Graz' } }, b: { name: {} } })
  }))

  test('is copied at the moment of the call', withIndex('hash', 'tags', async (indexes) => {
    const entity = { tags: ['a'] }
    const adding = indexes.addToIndex('test', 1, entity)
    entity.tags[0] = 'changed'
    await adding
    assert.deepEqual(await indexes.query('test', 'a'), [1])
    const entities = [{ id: 1, tags: ['b'] }]
    const rebuilding = indexes.rebuildIndex('test', entities)
    entities[0]!.tags.push('changed')
    entities.length = 0
    await rebuilding
    assert.deepEqual(await indexes.query('test', 'b'), [1])
    assert.deepEqual(await indexes.query('test', 'changed'), [])
  }))

  test('includes the own properties of a class instance', withIndex('hash', 'a', async (indexes) => {
    class Entity {
      a = 1
      get b() { return 2 }
    }
    await indexes.addToIndex('test', 1, new Entity())
    assert.deepEqual(await indexes.query('test', 1), [1])
  }))

  test('is what toJSON returns', withIndex('hash', ['a', 'b.c'], async (indexes) => {
    await indexes.addToIndex('test', 1, { toJSON: () => ({ a: { toJSON: (key: string) => `of ${key}` }, b: { c: Object('text') } }) })
    assert.deepEqual(await indexes.query('test', ['of a', 'text']), [1])
  }))

  test('has boxed values as JSON has them', withIndex('hash', ['a', 'b', 'c'], async (indexes) => {
    await indexes.addToIndex('test', 1, { a: Object(1), b: Object(false), c: Object('text') })
    assert.deepEqual(await indexes.query('test', [1, false, 'text']), [1])
    assert.equal((await caught(indexes.addToIndex('test', 2, { a: Object(1n) }))).code, 'VALIDATION_ERROR')
  }))

  test('has its own fields if its toJSON returns it', withIndex('hash', ['a', 'b.c'], async (indexes) => {
    const own = (fields: object) => ({ ...fields, toJSON() { return this } })
    await indexes.addToIndex('test', 1, own({ a: 1, b: own({ c: 2 }) }))
    assert.deepEqual(await indexes.query('test', [1, 2]), [1])
  }))

  test('includes nothing from a prototype', withIndex('hash', ['toString', 'a.constructor'], async (indexes) => {
    await indexes.addToIndex('test', 1, { a: {} })
    assert.deepEqual(await indexes.query('test', null), [1])
  }))

  test('keeps strings with lone surrogates as they are', withIndex('hash', 'a\ud7ff', async (indexes, { open }) => {
    await indexes.addToIndex('test', 1, { 'a\ud7ff': 'x\ud800y', '\udc00': 5 })
    await indexes.close()
    assert.deepEqual(await open().query('test', 'x\ud800y'), [1])
  }))
})

describe('values that JSON cannot hold', () => {
  const looped: any = { name: 'x' }
  looped.self = looped
  const bad: [string, any][] = [['NaN', NaN], ['Infinity', Infinity], ['-Infinity', -Infinity], ['a bigint', 1n], ['an invalid Date', new Date(NaN)], ['an object within itself', looped]]

  for (const [what, value] of bad) {
    const path = what.startsWith('an object') ? 'list.self' : 'list'
    test(`${what} is refused in an indexed field, with its path`, withIndex('hash', ['a.b', path], async (indexes) => {
      const error = await caught(indexes.addToIndex('test', 1, { a: { b: 1 }, list: ['fine', value] }))
      assert.equal(error.code, 'VALIDATION_ERROR')
      assert.deepEqual(error.issues.map((issue: any) => issue.path), [path === 'list' ? ['list', 1] : ['list', 1, 'self']])
      assert.match(error.message, /index test.*list\[1\]/)
      assert.equal((await indexes.getIndexStats('test'))?.stats.totalEntries, 0)
    }))

    test(`${what} is ignored in a field that is not indexed`, withIndex('hash', 'a', async (indexes) => {
      await indexes.addToIndex('test', 1, { a: 1, b: value, c: [value], d: { e: value } })
      assert.deepEqual(await indexes.query('test', 1), [1])
    }))
  }

  test('an object that occurs twice is accepted', withIndex('hash', 'a.b', async (indexes) => {
    const shared = { b: 1 }
    await indexes.addToIndex('test', 1, { a: [shared, shared] })
    assert.deepEqual(await indexes.query('test', 1), [1])
  }))

  test('array elements without a form in JSON do not hide the other elements', withIndex('hash', 'a', async (indexes) => {
    await indexes.addToIndex('test', 1, { a: [undefined, 'x', () => 1, Symbol('s')] })
    assert.deepEqual(await indexes.query('test', 'x'), [1])
  }))

  test('an endless chain of toJSON calls is refused in an indexed field', withIndex('hash', 'a', async (indexes) => {
    const endless = (): object => ({ toJSON: endless })
    assert.equal((await caught(indexes.addToIndex('test', 1, { a: endless() }))).code, 'VALIDATION_ERROR')
  }))

  test('very deep nesting is refused in an indexed field and ignored in others', withIndex('hash', 'a', async (indexes) => {
    let deep: unknown = 'bottom'
    for (let n = 0; n < 10_000; n++) deep = [deep]
    assert.equal((await caught(indexes.addToIndex('test', 1, { a: deep }))).code, 'VALIDATION_ERROR')
    await indexes.addToIndex('test', 1, { a: 1, b: deep })
    assert.deepEqual(await indexes.query('test', 1), [1])
  }))
})

describe('invalid entities', () => {
  for (const [what, entity] of [['undefined', undefined], ['null', null], ['a number', 5], ['a text', 'text'], ['an array', [{ a: 1 }]], ['a function', () => 1], ['a symbol', Symbol('s')], ['an object whose toJSON returns a string', { toJSON: () => 'text' }]] as [string, any][]) {
    test(`${what} is refused`, withIndex('hash', 'a', async (indexes) => {
      assert.equal((await caught(indexes.addToIndex('test', 1, entity))).code, 'INVALID_ARGUMENT')
      assert.equal((await caught(indexes.rebuildIndex('test', new Map([[1, entity]])))).code, 'INVALID_ARGUMENT')
      assert.equal((await caught(indexes.rebuildIndex('test', { 1: entity }))).code, 'INVALID_ARGUMENT')
      assert.equal((await caught(indexes.rebuildIndex('test', entity === undefined || Array.isArray(entity) ? [entity] as any : entity))).code, 'INVALID_ARGUMENT')
    }))
  }
})

describe('hostile objects', () => {
  const revoked = Proxy.revocable({}, {})
  revoked.revoke()
  const hostile: [string, () => any][] = [
    ['a getter that throws', () => ({ get a() { throw new RangeError('mine') } })],
    ['a toJSON that throws', () => ({ toJSON() { throw new RangeError('mine') } })],
    ['a proxy whose traps throw', () => new Proxy({}, { ownKeys() { throw new RangeError('mine') }, getOwnPropertyDescriptor() { throw new RangeError('mine') } })],
  ]
  for (const [what, make] of hostile) {
    test(`the error of ${what} reaches the caller, and nothing is written`, withIndex('hash', 'a', async (indexes) => {
      for (const call of [() => indexes.addToIndex('test', 1, make()), () => indexes.rebuildIndex('test', new Map([[1, make()]]))]) {
        const error = await caught(call())
        assert.deepEqual([error.name, error.message], ['RangeError', 'mine'])
      }
      assert.equal((await indexes.getIndexStats('test'))?.stats.totalEntries, 0)
    }))
  }

  test('are refused in the place of any argument and do no harm', withIndexes(async (indexes) => {
    await indexes.createIndex({ name: 'test', type: 'btree', fields: ['a'] })
    const values: any[] = [revoked.proxy, Symbol('s'), 1n, () => 1, new Proxy(() => 1, {}), Object.create(null), hostile[2]![1](), { get length() { throw new Error('length') } }]
    const any = indexes as any
    for (const value of values) {
      const calls: (() => Promise<unknown>)[] = [
        () => any.createIndex(value), () => any.createIndex({ name: value, type: 'hash', fields: ['a'] }),
        () => any.createIndex({ name: 'x', type: value, fields: ['a'] }), () => any.createIndex({ name: 'x', type: 'hash', fields: value }),
        () => any.createIndex({ name: 'x', type: 'hash', fields: [value] }), () => any.createIndex({ name: 'x', type: 'hash', fields: ['a'], unique: value }),
        () => any.dropIndex(value), () => any.addToIndex(value, 1, {}), () => any.addToIndex('test', value, {}),
        () => any.removeFromIndex(value, 1), () => any.removeFromIndex('test', value), () => any.query(value, 1), () => any.query('test', value),
        () => any.queryRange(value, 1, 1), () => any.queryRange('test', value, 1), () => any.queryRange('test', 1, value), () => any.queryRange('test', 1, 1, value),
        () => any.searchText(value, 'a'), () => any.searchText('test', value), () => any.rebuildIndex(value, []), () => any.getIndexStats(value),
      ]
      for (const call of calls) assert.ok((await caught(call())) instanceof Error, String(call))
    }
    assert.deepEqual((await indexes.listIndexes()).map(({ name }) => name), ['test'])
    await indexes.addToIndex('test', 1, { a: 1 })
    assert.deepEqual(await indexes.query('test', 1), [1])
  }))

  test('an indexed field is read only once', withIndex('hash', 'a', async (indexes) => {
    let reads = 0
    await indexes.addToIndex('test', 1, { get a() { return ++reads } })
    assert.equal(reads, 1)
  }))
})

describe('members that an index does not use', () => {
  test('are not read once the index is known', withIndex('hash', 'a', async (indexes) => {
    await indexes.query('test', 1)
    const entity = { a: 1, get content(): string { throw new Error('was read') } }
    await indexes.addToIndex('test', 1, entity)
    await indexes.rebuildIndex('test', new Map([[2, entity]]))
    assert.deepEqual(await indexes.query('test', 1), [2])
  }))

  test('count once the index is recreated on them, even if calls overlap', withIndex('hash', 'a', async (indexes) => {
    await indexes.query('test', 1)
    const entity = { a: 1, b: 2 }
    await Promise.all([
      indexes.addToIndex('test', 1, entity),
      indexes.dropIndex('test'),
      indexes.createIndex({ name: 'test', type: 'hash', fields: ['b'] }),
      indexes.addToIndex('test', 2, entity),
      indexes.rebuildIndex('test', new Map([[3, entity]])),
      indexes.addToIndex('test', 4, entity),
    ])
    assert.deepEqual(await indexes.query('test', 2), [3, 4])
  }))
})
