// Writing many entities as one batch: createMany, updateMany and deleteMany of every storage.
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { z } from 'zod'
import { NotFoundError } from '../index.js'
import type { BaseEntity } from '../index.js'
import { batchesOf, caught, fileInput, filesPath, projectInput, withDirectory, withStorage } from './support/index.js'
import { Things, thing, thingSchema, withThings } from './support/things.js'

const withUnsyncedThings: typeof withThings = (work, options) => withThings(work, { durability: 'os', ...options })

const names = (list: readonly { name: string }[]) => list.map(({ name }) => name)
const idsOf = <T extends BaseEntity>(list: readonly T[]): T['id'][] => list.map(({ id }) => id)

/** For things whose ids are strings. */
const named = z.looseObject({ id: z.string(), name: z.string().min(1) })
const byName = { indexes: [{ name: 'by_name', type: 'hash', fields: ['name'], unique: true }] } as const

/** The schema of things, before which `first` runs. */
const after = (first: (value: any) => unknown) => ({
  '~standard': {
    version: 1,
    vendor: 'test',
    async validate(value: unknown) {
      await first(value)
      return thingSchema['~standard'].validate(value)
    },
  },
})

describe('createMany', () => {
  test('stores all in order, completed as create does, as one batch', withUnsyncedThings(async (things) => {
    const given = Array.from({ length: 700 }, (_, n) => ({ name: ` thing ${n} ` }))
    let created: any[] = []
    assert.equal(await batchesOf(things, async () => (created = await things.createMany(given))), 1)
    assert.deepEqual(names(created), given.map(({ name }) => name.trim()))
    assert.ok(created.every(({ id, size, created, updated }) => Number.isInteger(id) && size === 1 && created > 0 && created === updated))
    assert.deepEqual(await things.list(), created)
  }))

  test('of what the schema rejects stores none, and says which is the first', withUnsyncedThings(async (things) => {
    const error = await caught(things.createMany([{ name: 'a' }, { name: ' ' }, { name: 'b' }, { name: '' }]))
    assert.ok(error instanceof z.ZodError)
    assert.deepEqual(error.issues.map(({ path }) => path), [[1, 'name']])
    assert.deepEqual(await things.list(), [])
  }))

  test('of what JSON cannot hold stores none, and says where that is', withUnsyncedThings(async (things) => {
    const error = await caught(things.createMany([{ name: 'a' }, { name: 'b', more: { big: 1n } }] as never))
    assert.deepEqual([error.code, error.issues[0].path], ['VALIDATION_ERROR', [1, 'more', 'big']])
    assert.deepEqual(await things.list(), [])
  }))

  test('says which entities lack an id that their schema demands', withUnsyncedThings(async (things) => {
    const error = await caught(things.createMany([{ id: 'a', name: 'a' }, { name: 'b' }] as never))
    assert.deepEqual(error.issues.map(({ path }: { path: unknown }) => path), [[1, 'id'], [1, 'id']])
    assert.match(error.message, /pass one, or give the class of the storage a static newId\(\)/)
  }, { schema: named }))

  test('says which entity its schema leaves without an id', withUnsyncedThings(async (things) => {
    const error = await caught(things.createMany([{ name: 'a' }, { name: 'b', more: 'no id' }] as never))
    assert.deepEqual([error.code, error.issues[0].path], ['VALIDATION_ERROR', [1, 'id']])
    assert.deepEqual(await things.list(), [])
  }, { schema: { '~standard': { version: 1, vendor: 'test', validate: ({ id, ...rest }: any) => ({ value: rest.more ? rest : { id, ...rest } }) } } }))

  test('with an id that exists, or twice the same, stores none', withUnsyncedThings(async (things) => {
    await things.create({ id: 'a', name: 'a' } as never)
    for (const ids of [['b', 'a'], ['b', 'c', 'b']]) {
      const taken = ids.at(-1)!
      const error = await caught(things.createMany(ids.map((id) => ({ id, name: id })) as never))
      assert.deepEqual([error.code, error.message.includes(taken)], ['ALREADY_EXISTS', true])
    }
    assert.deepEqual(names(await things.list()), ['a'])
  }, { schema: named }))

  test('replaces generated ids that are taken, and keeps those that are free', withDirectory(async ({ base }) => {
    const first = new Things({ basePath: base })
    const next = first.generateId() + 1
    // Every other id of the next minute.
    const taken = Array.from({ length: 30_000 }, (_, n) => thing(next + 2 * n))
    await first.writeAll(Object.fromEntries(taken.map((entity) => [entity.id, entity])))
    let calls = 0
    // Its database is not open when the first ids are generated.
    const things = new Things({ basePath: base, schema: after(() => (calls += 1)) })
    const created = await things.createMany(Array.from({ length: 100 }, (_, n) => ({ name: `new ${n}` })))
    assert.equal(new Set([...idsOf(taken), ...idsOf(created)]).size, 30_100)
    assert.deepEqual(names(created), Array.from({ length: 100 }, (_, n) => `new ${n}`))
    assert.deepEqual(await things.list(), [...taken, ...created].sort((a, b) => a.id - b.id))
    // 100, then about 50, 25, …
    assert.ok(calls > 120 && calls < 280, String(calls))
    await Promise.all([first.close(), things.close()])
  }))

  test('that violates a unique index stores none', withUnsyncedThings(async (things) => {
    await things.create({ name: 'a' })
    for (const pair of [['b', 'a'], ['b', 'b']]) {
      assert.equal((await caught(things.createMany(pair.map((name) => ({ name }))))).code, 'UNIQUE_VIOLATION')
    }
    assert.deepEqual(names(await things.list()), ['a'])
  }, byName))

  test('of an empty list returns an empty list', withUnsyncedThings(async (things) => {
    assert.equal(await batchesOf(things, async () => assert.deepEqual(await things.createMany([]), [])), 0)
  }))

  test('stores what was given at the time of the call', withUnsyncedThings(async (things) => {
    const given = Array.from({ length: 300 }, (_, n) => ({ name: `thing ${n}`, more: { at: new Date(n) } }))
    const before = structuredClone(given)
    const creating = things.createMany(given)
    for (const entity of given) {
      entity.name = 'changed'
      entity.more.at.setTime(0)
    }
    given.length = 1
    const stored = (await creating) as unknown as typeof given
    assert.deepEqual(stored.map(({ name, more }) => [name, more]), JSON.parse(JSON.stringify(before.map(({ name, more }) => [name, more]))))
  }))

  test('refuses what is no array of entities', withUnsyncedThings(async (things) => {
    for (const odd of [undefined, null, {}, 'ab', [5], [null], [,], [[]], [new Map()]]) {
      assert.equal((await caught(things.createMany(odd as never))).code, 'INVALID_ARGUMENT')
    }
    assert.deepEqual(await things.list(), [])
  }))

  test('keeps a path that belonged to an earlier entity with the same id', withUnsyncedThings(async (things, base) => {
    await things.create({ id: 'a', name: 'a' } as never)
    await mkdir(join(base, 'own', 'a'), { recursive: true })
    const [, [created]] = await Promise.all([things.delete('a' as never), things.createMany([{ id: 'a', name: 'b' }] as never)])
    await writeFile(join(base, 'own', 'a'), 'of the new one')
    await things.close()
    assert.deepEqual([created!.name, existsSync(join(base, 'own', 'a'))], ['b', true])
  }, { schema: named, entityPath: (id) => `../own/${id}` }))
})

describe('updateMany', () => {
  test('changes all, and returns them in the order of the changes, as one batch', withUnsyncedThings(async (things) => {
    const created = await things.createMany(Array.from({ length: 700 }, (_, n) => ({ name: `thing ${n}`, size: n })))
    const changes = created.map(({ id, size }) => ({ id, data: { size: size + 1 } })).reverse()
    let updated: any[] = []
    assert.equal(await batchesOf(things, async () => (updated = await things.updateMany(changes))), 1)
    assert.deepEqual(updated.map(({ id, size, name }) => [id, size, name]), created.map(({ id, size, name }) => [id, size + 1, name]).reverse())
    assert.deepEqual(await things.list(), updated.reverse())
    assert.ok(updated.every((entity) => entity.updated >= entity.created))
  }))

  test('merges several patches of one entity in their order', withUnsyncedThings(async (things) => {
    const [a, b] = await things.createMany([{ name: 'a' }, { name: 'b' }])
    const updated = await things.updateMany([
      { id: a!.id, data: { name: 'A' } }, { id: b!.id, data: { size: 5 } }, { id: a!.id, data: { size: 7 } }, { id: a!.id, data: { name: 'AA' } },
    ])
    assert.deepEqual(updated.map(({ name, size }) => [name, size]), [['A', 1], ['b', 5], ['A', 7], ['AA', 7]])
    assert.deepEqual((await things.list()).map(({ name, size }) => [name, size]), [['AA', 7], ['b', 5]])
  }))

  test('with an entity that does not exist changes none, and names it', withUnsyncedThings(async (things) => {
    const { id } = await things.create({ name: 'a' })
    const error = await caught(things.updateMany([{ id, data: { size: 2 } }, { id: 4711, data: { size: 2 } }]))
    assert.ok(error instanceof NotFoundError)
    assert.match(error.message, /4711/)
    assert.equal((await things.getById(id))?.size, 1)
  }))

  test('with a patch that the schema rejects changes none, and says which it is', withUnsyncedThings(async (things) => {
    const created = await things.createMany([{ name: 'a' }, { name: 'b' }])
    const error = await caught(things.updateMany([{ id: created[0]!.id, data: { size: 2 } }, { id: created[1]!.id, data: { name: '' } }]))
    assert.deepEqual(error.issues.map(({ path }: { path: unknown }) => path), [[1, 'data', 'name']])
    assert.deepEqual(await things.list(), created)
  }))

  test('keeps what others change meanwhile, and validates only that again', withDirectory(async ({ base }) => {
    const other = new Things({ basePath: base })
    const created = await other.createMany(['a', 'b', 'c'].map((name) => ({ name })))
    const seen: string[] = []
    const schema = after(async ({ name }) => {
      seen.push(name)
      if (seen.length === 1) await other.update(created[1]!.id, { size: 7 })
    })
    const things = new Things({ basePath: base, schema })
    const updated = await things.updateMany(created.map(({ id, name }) => ({ id, data: { name: name.toUpperCase() } })))
    assert.deepEqual(updated.map(({ name, size }) => [name, size]), [['A', 1], ['B', 7], ['C', 1]])
    assert.deepEqual(await other.list(), updated)
    assert.deepEqual(seen.sort(), ['A', 'B', 'B', 'C'])
    await Promise.all([things.close(), other.close()])
  }))

  test('of an entity that others delete meanwhile changes none', withDirectory(async ({ base }) => {
    const other = new Things({ basePath: base })
    const created = await other.createMany([{ name: 'a' }, { name: 'b' }])
    const things = new Things({ basePath: base, schema: after(() => other.delete(created[1]!.id)) })
    const error = await caught(things.updateMany(created.map(({ id }) => ({ id, data: { size: 2 } }))))
    assert.equal(error.code, 'NOT_FOUND')
    assert.deepEqual(await other.list(), [created[0]])
    await Promise.all([things.close(), other.close()])
  }))

  test('is given up when others keep changing its entities, and changes none', withDirectory(async ({ base }) => {
    const other = new Things({ basePath: base })
    const created = await other.createMany([{ name: 'a' }, { name: 'b' }])
    let size = 1
    const things = new Things({ basePath: base, lockTimeout: 100, schema: after(() => other.update(created[0]!.id, { size: (size += 1) })) })
    const error = await caught(things.updateMany(created.map(({ id }) => ({ id, data: { name: 'changed' } }))))
    assert.equal(error.code, 'CONFLICT')
    assert.match(error.message, /within 100 ms/)
    assert.deepEqual(names(await other.list()), ['a', 'b'])
    await Promise.all([things.close(), other.close()])
  }))

  test('lets entities exchange unique keys, and changes none if two get the same', withUnsyncedThings(async (things) => {
    const created = await things.createMany([{ name: 'a' }, { name: 'b' }, { name: 'c' }])
    const rename = (...to: string[]) => things.updateMany(to.map((name, at) => ({ id: created[at]!.id, data: { name } })))
    assert.deepEqual(names(await rename('b', 'a')), ['b', 'a'])
    for (const to of [['x', 'c'], ['x', 'x']]) assert.equal((await caught(rename(...to))).code, 'UNIQUE_VIOLATION')
    assert.deepEqual(names(await things.list()), ['b', 'a', 'c'])
    assert.deepEqual(names(await things.findBy('by_name', 'a')), ['a'])
  }, byName))

  test('refuses what is no array of changes', withUnsyncedThings(async (things) => {
    const { id } = await things.create({ name: 'a' })
    for (const odd of [undefined, {}, [5], [null], [{ id }], [{ id, data: 5 }], [{ id, data: [] }], [{ data: {} }], [{ id: NaN, data: {} }]]) {
      assert.equal((await caught(things.updateMany(odd as never))).code, 'INVALID_ARGUMENT')
    }
    assert.deepEqual(await things.updateMany([]), [])
    assert.equal((await things.getById(id))?.updated, (await things.getById(id))?.created)
  }))
})

describe('deleteMany', () => {
  test('removes those that exist with what belongs to them, as one batch, and counts them', withUnsyncedThings(async (things, base) => {
    const created = await things.createMany(['a', 'b', 'c'].map((name) => ({ name })))
    for (const { id } of created) await mkdir(join(base, 'own', `${id}`), { recursive: true })
    const [a, b, c] = idsOf(created)
    let count = 0
    assert.equal(await batchesOf(things, async () => (count = await things.deleteMany([c!, 4711, a!, c!]))), 1)
    assert.equal(count, 2)
    assert.deepEqual(idsOf(await things.list()), [b])
    assert.deepEqual([a, b, c].map((id) => existsSync(join(base, 'own', `${id}`))), [false, true, false])
  }, { entityPath: (id) => `../own/${id}` }))

  test('refuses what is no array of ids', withUnsyncedThings(async (things) => {
    const { id } = await things.create({ name: 'a' })
    for (const odd of [undefined, id, [id, NaN], [id, null], [id, '\ud800']]) {
      assert.equal((await caught(things.deleteMany(odd as never))).code, 'INVALID_ARGUMENT')
    }
    assert.deepEqual([await things.deleteMany([]), idsOf(await things.list())], [0, [id]])
  }))
})

describe('unawaited batches and single writes', () => {
  test('of the same entities take effect in the order of their calls', withUnsyncedThings(async (things) => {
    const [a, b] = idsOf(await things.createMany([{ name: 'a' }, { name: 'b' }]))
    const sizes = (size: number) => [a!, b!].map((id) => ({ id, data: { size } }))
    await Promise.all([
      things.update(a!, { size: 2 }), things.updateMany(sizes(3)), things.update(b!, { size: 4 }), things.updateMany([{ id: b!, data: { name: 'B' } }]),
      things.deleteMany([a!]), things.createMany([{ name: 'c' }]),
    ])
    assert.deepEqual((await things.list()).map(({ name, size }) => [name, size]), [['B', 4], ['c', 1]])
    await Promise.all([things.updateMany([{ id: b!, data: { size: 9 } }]), things.deleteAll(), things.createMany([{ name: 'd' }])])
    assert.deepEqual(names(await things.list()), ['d'])
  }, { schema: after(() => null) }))

  test('are waited for by close', withDirectory(async ({ base }) => {
    const things = new Things({ basePath: base, schema: after(() => new Promise((resolve) => setImmediate(resolve))) })
    const creating = things.createMany(Array.from({ length: 100 }, (_, n) => ({ name: `${n}` })))
    await things.close()
    assert.equal((await creating).length, 100)
    assert.equal((await caught(things.createMany([{ name: 'late' }]))).code, 'CLOSED')
    const again = new Things({ basePath: base })
    assert.equal((await again.list()).length, 100)
    await again.close()
  }))
})

describe('projects', () => {
  test('are created in order as one batch', withStorage(async (storage) => {
    let created: any[] = []
    assert.equal(await batchesOf(storage, async () => (created = await storage.createMany(['b', 'a', 'c'].map(projectInput)))), 1)
    assert.deepEqual(names(created), ['b', 'a', 'c'])
    assert.deepEqual(await storage.list(), created)
  }))

  test('are none if some are invalid, and the error says which', withStorage(async (storage) => {
    const error = await caught(storage.createMany([projectInput('a'), { name: 5, path: '/b' }, { name: 'c' }] as never))
    assert.deepEqual([error.code, error.issues.map(({ path }: { path: unknown }) => path)], ['VALIDATION_ERROR', [[1, 'name'], [2, 'path']]])
    assert.deepEqual(await storage.list(), [])
  }))

  test('are changed together, or none of them', withStorage(async (storage) => {
    const [a, b] = await storage.createMany([projectInput('a'), projectInput('b')])
    let updated: any[] = []
    const change = async () => (updated = await storage.updateMany([{ id: b!.id, data: { name: 'B' } }, { id: String(a!.id), data: { name: 'A' } }]))
    assert.equal(await batchesOf(storage, change), 1)
    assert.deepEqual(names(updated), ['B', 'A'])
    const missing = await caught(storage.updateMany([{ id: a!.id, data: { name: 'x' } }, { id: 4711, data: {} }]))
    assert.deepEqual([missing.code, missing.message.includes('4711')], ['NOT_FOUND', true])
    const invalid = await caught(storage.updateMany([{ id: a!.id, data: { name: 'x' } }, { id: b!.id, data: { name: 5 as never } }]))
    assert.deepEqual(invalid.issues.map(({ path }: { path: unknown }) => path), [[1, 'data', 'name']])
    assert.deepEqual(names(await storage.list()), ['A', 'B'])
  }))

  test('are deleted together with their files', withStorage(async (storage, { base }) => {
    const [a, b] = await storage.createMany([projectInput('a'), projectInput('b')])
    for (const { id } of [a!, b!]) await storage.addFile(id, fileInput('x.ts'))
    assert.equal(await batchesOf(storage, async () => assert.equal(await storage.deleteMany([a!.id, '4711']), 1)), 1)
    await storage.close()
    assert.deepEqual([a, b].map((project) => existsSync(filesPath(base, project!.id))), [false, true])
  }))
})
