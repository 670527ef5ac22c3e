// Arguments that no caller should pass to their own storage: each is an error with a code, and nothing is written.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { caught, withDirectory } from './support/index.js'
import { Things, withThings } from './support/things.js'

const mine = new Error('mine')
const cyclic: Record<string, unknown> = {}
cyclic.self = cyclic
const throwing = { get name() { throw mine } }
const proxy = new Proxy({}, { ownKeys() { throw mine } })
const revoked = Proxy.revocable({}, {})
revoked.revoke()

/** A schema that accepts everything, so that only the storage itself checks the values. */
const schema = { '~standard': { version: 1 as const, vendor: 'test', validate: (value: any) => ({ value }) } }

const withKeptThing = (work: (storage: Things) => Promise<void>) =>
  withThings(async (storage) => {
    const kept = await storage.create({ name: 'kept' })
    await work(storage)
    assert.deepEqual(await storage.list(), [kept])
  }, { schema })

const odd: [string, any][] = [
  ['undefined', undefined], ['null', null], ['true', true], ['NaN', Number.NaN], ['Infinity', Infinity], ['a bigint', 1n],
  ['a symbol', Symbol('s')], ['a function', () => 1], ['an object', {}], ['an array', [1]], ['a date', new Date(0)],
  ['a lone surrogate', '\ud800'], ['an object without prototype', Object.create(null)], ['a revoked proxy', revoked.proxy],
  ['an object that throws', { toString() { throw mine } }],
]

describe('an id', () => {
  for (const [what, id] of odd) {
    test(`that is ${what} is refused`, withKeptThing(async (storage) => {
      const calls = [
        () => storage.getById(id), () => storage.update(id, {}), () => storage.delete(id), () => storage.protectedCalls().idExists(id),
      ]
      for (const call of calls) assert.equal((await caught(call())).code, 'INVALID_ARGUMENT', String(call))
      if (id !== undefined) assert.throws(() => storage.protectedCalls().invalidateCache(id), { code: 'INVALID_ARGUMENT' })
    }))
  }

  test('that no entity has finds nothing, whatever it looks like', withKeptThing(async (storage) => {
    for (const id of [-1, 0.5, 1e21, -0, '', '__proto__', 'constructor', '\0', 'x'.repeat(100_000), '1'] as number[]) {
      assert.equal(await storage.getById(id), null)
      assert.equal(await storage.update(id, { name: 'x' }), null)
      assert.equal(await storage.delete(id), false)
    }
  }))
})

describe('an entity', () => {
  const wrong: [string, any][] = [
    ...odd.slice(0, 8).map(([what, value]): [string, any] => [`that is ${what}`, value]),
    ['with a bigint', { n: 1n }], ['with a symbol', { s: Symbol('s') }], ['with a function', { f() {} }], ['with NaN', { n: Number.NaN }],
    ['that contains itself', cyclic], ['with a map', { m: new Map() }],
  ]
  for (const [what, data] of wrong) {
    test(`${what} is refused`, withKeptThing(async (storage) => {
      const error = await caught(storage.create(data))
      assert.ok(['INVALID_ARGUMENT', 'VALIDATION_ERROR'].includes(error.code), error)
    }))
  }

  test('whose getter or proxy trap throws is refused with that same error', withKeptThing(async (storage) => {
    const { id } = (await storage.list())[0]!
    for (const data of [throwing, proxy] as any[]) {
      assert.equal(await caught(storage.create(data)), mine)
      assert.equal(await caught(storage.update(id, data)), mine)
    }
    assert.ok((await caught(storage.create(revoked.proxy as any))) instanceof TypeError)
    assert.ok((await caught(storage.update(id, revoked.proxy as any))) instanceof TypeError)
  }))

  test('is copied at the moment of the call', withDirectory(async ({ base }) => {
    const storage = new Things({ basePath: base, schema })
    const data = { name: 'before' }
    const create = storage.create(data)
    data.name = 'after'
    const { id } = await create
    const patch = { name: 'patched' }
    const update = storage.update(id, patch)
    patch.name = 'after'
    await update
    assert.equal((await storage.getById(id))?.name, 'patched')
    await storage.close()
  }))

  test('is copied with all that is nested in it, even if the schema returns what it is given', withDirectory(async ({ base }) => {
    const storage = new Things({ basePath: base, schema })
    const nested = () => ({ name: 'a', at: { city: 'Oslo', tags: [{ of: 'x' }], since: new Date(5) } }) as any
    const expected = { city: 'Oslo', tags: [{ of: 'x' }], since: '1970-01-01T00:00:00.005Z' }
    /** Changes what was passed as soon as the call has returned its promise. */
    const changing = async (given: any, call: Promise<any>) => {
      given.at.city = 'changed'
      given.at.tags[0].of = 'changed'
      given.at.tags.push('changed')
      given.at.since.setTime(0)
      return await call
    }
    const data = nested()
    const created = await changing(data, storage.create(data))
    assert.deepEqual(created.at, expected)
    const patch = nested()
    const { id, at } = await changing(patch, storage.update(created.id, patch))
    assert.deepEqual(at, expected)
    await storage.transaction(async (tx) => {
      const [data, patch] = [nested(), nested()]
      assert.deepEqual((await changing(data, tx.create(data))).at, expected)
      assert.deepEqual((await changing(patch, tx.update(id, patch))).at, expected)
    })
    const map = { 5: { ...nested(), id: 5 } }
    await changing(map[5], storage.writeAll(map))
    assert.deepEqual((await storage.getById(5) as any).at, expected)
    const settings = nested()
    await changing(settings, storage.protectedCalls().writeValidatedJson('settings.json', settings, schema))
    assert.deepEqual((await storage.protectedCalls().readValidatedJson<any>('settings.json', schema, null)).at, expected)
    await storage.close()
  }))

  test('may have any keys and strings, and is read back unchanged', withDirectory(async ({ base }) => {
    const storage = new Things({ basePath: base, schema })
    const data = JSON.parse('{"__proto__":{"x":1},"constructor":1,"toString":2,"":3,"\\ud800":"\\udfff\\u0000","a\\"b":[{}]}')
    const { id } = await storage.create(data)
    const found: any = await storage.getById(id)
    for (const key of Object.keys(data)) assert.deepEqual(found[key], data[key], key)
    assert.deepEqual((await storage.readAll())[id], found)
    assert.equal(Object.getPrototypeOf(found), Object.prototype)
    await storage.close()
  }))
})

describe('writeAll', () => {
  for (const [what, map] of [...odd.slice(0, 8), ['a map of null', { 1: null }], ['a map of strings', { 1: 'x' }],
    ['a map whose key is not the id', { 1: { id: 2 } }], ['a map of cyclic entities', { 1: { id: 1, cyclic } }]] as [string, any][]) {
    test(`refuses ${what}`, withKeptThing(async (storage) => {
      const error = await caught(storage.writeAll(map))
      assert.ok(['INVALID_ARGUMENT', 'VALIDATION_ERROR'].includes(error.code), error)
    }))
  }

  test('accepts the key __proto__', withDirectory(async ({ base }) => {
    const storage = new Things({ basePath: base, schema })
    const map = JSON.parse('{"__proto__":{"id":"__proto__","name":"a"}}')
    await storage.writeAll(map)
    assert.deepEqual(Object.keys(await storage.readAll()), ['__proto__'])
    assert.equal((await storage.getById('__proto__' as never))?.name, 'a')
    await storage.writeAll({})
    assert.deepEqual(await storage.list(), [])
    await storage.close()
  }))
})

describe('getEntityPath', () => {
  for (const [what, path] of odd.filter(([, path]) => path !== null && path !== undefined)) {
    test(`that returns ${what} is refused`, withKeptThing(async (storage) => {
      storage.given.entityPath = () => path
      const { id } = (await storage.list())[0]!
      assert.equal((await caught(storage.delete(id))).code, 'INVALID_ARGUMENT')
      assert.equal((await caught(storage.deleteAll())).code, 'INVALID_ARGUMENT')
    }))
  }
})
