// Steps of transactions that write, or count, many entities.
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { z } from 'zod'
import { NotFoundError } from '../index.js'
import { batchesOf, caught, fileInput, projectInput, withDirectory, withProject, withStorage } from './support/index.js'
import { COUNT } from './support/many-records.js'
import { Things, thing, thingSchema, withThings } from './support/things.js'
import type { Thing, ThingOptions } from './support/things.js'

const withUnsyncedThings: typeof withThings = (work, options) => withThings(work, { durability: 'os', ...options })

const names = (list: readonly { name: string }[]) => list.map(({ name }) => name)
const named = (...names: string[]) => names.map((name) => ({ name }))

/** For things whose ids are strings. */
const withOwnIds = z.looseObject({ id: z.string(), name: z.string().min(1) })
const byName = { indexes: [{ name: 'by_name', type: 'hash', fields: ['name'], unique: true }] } as const

describe('steps that write many entities', () => {
  test('are seen by the transaction at once and by others once it has committed, as one batch', withUnsyncedThings(async (things) => {
    const [old] = await things.createMany(named('old', 'older'))
    const created: Thing[] = []
    const batches = await batchesOf(things, () => things.transaction(async (tx) => {
      const made = await tx.createMany(Array.from({ length: COUNT }, (_, n) => ({ name: ` new ${n} ` })))
      const changed = await tx.updateMany(made.slice(0, 2).map(({ id }, n) => ({ id, data: { size: n + 7 } })))
      assert.deepEqual(changed.map(({ name, size }) => [name, size]), [['new 0', 7], ['new 1', 8]])
      assert.equal(await tx.deleteMany([old!.id, made[2]!.id, made[2]!.id, 5]), 2)
      assert.deepEqual(names(await tx.query({ where: { size: { $gt: 1 } } })), ['new 0', 'new 1'])
      assert.deepEqual(names(await things.list()), ['old', 'older'])
      created.push(...changed, ...made.slice(3))
    }))
    assert.deepEqual([batches, created.length], [1, COUNT - 1])
    assert.deepEqual((await things.list()).filter(({ name }) => name !== 'older'), created)
  }))

  test('leave nothing behind if the callback throws', withUnsyncedThings(async (things) => {
    const { id } = await things.create({ name: 'a' })
    await caught(things.transaction(async (tx) => {
      await tx.createMany(named('b', 'c'))
      await tx.updateMany([{ id, data: { name: 'd' } }])
      await tx.deleteMany([id])
      throw new Error('mine')
    }))
    assert.deepEqual(names(await things.list()), ['a'])
  }))

  test('take their arguments as they are at the moment of the call', withUnsyncedThings(async (things) => {
    const { id } = await things.create({ name: 'a' })
    await things.transaction(async (tx) => {
      const given = named('b', 'c')
      const changes = [{ id, data: { name: 'd' } }]
      const ids = [id]
      const steps = [tx.createMany(given), tx.updateMany(changes), tx.deleteMany(ids)]
      given[0]!.name = changes[0]!.data.name = 'other'
      changes.pop()
      ids.pop()
      assert.deepEqual((await Promise.all(steps)).map((answer) => (Array.isArray(answer) ? names(answer) : answer)), [['b', 'c'], ['d'], 1])
    })
    assert.deepEqual(names(await things.list()), ['b', 'c'])
  }))

  for (const [what, refused, options] of [
    ['what the schema rejects', (tx) => tx.createMany(named('b', '')), {}],
    ['a unique key that is taken', (tx) => tx.createMany(named('b', 'a')), byName],
    ['a unique key twice', (tx) => tx.createMany(named('b', 'b')), byName],
    ['a patch that the schema rejects', (tx, id) => tx.updateMany([{ id, data: { size: 5 } }, { id, data: { name: '' } }]), {}],
    ['an entity that does not exist', (tx, id) => tx.updateMany([{ id, data: { size: 5 } }, { id: 5, data: {} }]), {}],
  ] satisfies [string, (tx: Parameters<Parameters<Things['transaction']>[0]>[0], id: number) => Promise<unknown>, Partial<ThingOptions>][]) {
    test(`that are refused for ${what} leave no trace in a transaction that goes on`, withUnsyncedThings(async (things) => {
      const a = await things.create({ name: 'a' })
      const error = await things.transaction(async (tx) => {
        await tx.createMany(named('before'))
        const error = await caught(refused(tx, a.id))
        await tx.createMany(named('after'))
        return error
      })
      const isKnown = error instanceof z.ZodError || error instanceof NotFoundError || error.code === 'UNIQUE_VIOLATION'
      assert.ok(isKnown, String(error))
      assert.deepEqual((await things.list()).map(({ name, size }) => [name, size]), [['a', 1], ['before', 1], ['after', 1]])
    }, options))
  }

  test('say which of the data the schema rejects', withUnsyncedThings(async (things) => {
    const { id } = await things.create({ name: 'a' })
    const issues = await things.transaction(async (tx) => [
      (await caught(tx.createMany(named('b', '')))).issues[0].path,
      (await caught(tx.updateMany([{ id, data: { size: 1 } }, { id, data: { size: 'x' as never } }]))).issues[0].path,
    ])
    assert.deepEqual(issues, [[1, 'name'], [1, 'data', 'size']])
  }))

  test('merge several patches of one entity in their order', withUnsyncedThings(async (things) => {
    const { id } = await things.create({ name: 'a' })
    const answers = await things.transaction((tx) => tx.updateMany([{ id, data: { name: 'b' } }, { id, data: { size: 2 } }]))
    assert.deepEqual(answers.map(({ name, size }) => [name, size]), [['b', 1], ['b', 2]])
    assert.deepEqual(await things.list(), [answers[1]])
  }))

  test('let entities exchange unique keys', withUnsyncedThings(async (things) => {
    const [a, b] = await things.createMany(named('a', 'b'))
    await things.transaction((tx) => tx.updateMany([{ id: a!.id, data: { name: 'b' } }, { id: b!.id, data: { name: 'a' } }]))
    assert.deepEqual(names(await things.list()), ['b', 'a'])
    assert.equal((await things.findBy('by_name', 'a'))[0]?.id, b!.id)
  }, byName))

  test('run again with their transaction if others change what they read', withUnsyncedThings(async (things) => {
    const [a, b] = await things.createMany(named('a', 'b'))
    let runs = 0
    await things.transaction(async (tx) => {
      runs += 1
      await tx.updateMany([{ id: a!.id, data: { size: 5 } }, { id: b!.id, data: { size: 6 } }])
      if (runs === 1) await things.update(b!.id, { name: 'c' })
    })
    assert.equal(runs, 2)
    assert.deepEqual((await things.list()).map(({ name, size }) => [name, size]), [['a', 5], ['c', 6]])
  }))

  test('replace generated ids that others have taken', withDirectory(async ({ base }) => {
    const first = new Things({ basePath: base })
    const next = first.generateId() + 1
    // Every other id of the next minute.
    const taken = Array.from({ length: 30_000 }, (_, n) => thing(next + 2 * n))
    await first.writeAll(Object.fromEntries(taken.map((entity) => [entity.id, entity])))
    // Its database is not open when the first ids are generated.
    const things = new Things({ basePath: base })
    const created = await things.transaction((tx) => tx.createMany(Array.from({ length: 100 }, (_, n) => ({ name: `new ${n}` }))))
    assert.deepEqual(names(created), Array.from({ length: 100 }, (_, n) => `new ${n}`))
    assert.deepEqual(await things.list(), [...taken, ...created].sort((a, b) => a.id - b.id))
    await Promise.all([first.close(), things.close()])
  }))

  test('refuse an id that exists, or twice the same', withUnsyncedThings(async (things) => {
    const ids = (...ids: string[]) => ids.map((id) => ({ id, name: id })) as never
    await things.transaction(async (tx) => {
      await tx.createMany(ids('a'))
      for (const taken of [ids('b', 'a'), ids('b', 'c', 'b')]) assert.equal((await caught(tx.createMany(taken))).code, 'ALREADY_EXISTS')
    })
    assert.deepEqual(names(await things.list()), ['a'])
  }, { schema: withOwnIds }))

  test('remove what belongs to their entities once the transaction commits', withUnsyncedThings(async (things, base) => {
    const folder = (name: string) => join(base, 'data', 'folders', name)
    await things.createMany(['a', 'b', 'c'].map((id) => ({ id, name: id })) as never)
    for (const name of ['a', 'b', 'c']) await mkdir(folder(name), { recursive: true })
    await things.transaction(async (tx) => {
      assert.equal(await tx.deleteMany(['a', 'b', 'x'] as never), 2)
      assert.ok(existsSync(folder('a')))
    })
    assert.deepEqual(['a', 'b', 'c'].map((name) => existsSync(folder(name))), [false, false, true])
  }, { schema: withOwnIds, entityPath: (id) => `folders/${id}` }))

  test('keep the path of an earlier entity with the same id', withUnsyncedThings(async (things, base) => {
    const folder = join(base, 'data', 'folders', 'a')
    const a = [{ id: 'a', name: 'a' }] as never
    await things.createMany(a)
    await mkdir(folder, { recursive: true })
    await things.delete('a' as never)
    await things.transaction((tx) => tx.createMany(a))
    await mkdir(folder, { recursive: true })
    await writeFile(join(folder, 'text'), 'kept')
    // A checkpoint removes once more what the batches since the last one removed.
    await things.close()
    assert.ok(existsSync(join(folder, 'text')))
  }, { schema: withOwnIds, entityPath: (id) => `folders/${id}` }))

  test('end with their transaction when it is aborted while a schema answers', withDirectory(async ({ base }) => {
    const abort = new AbortController()
    const schema = { '~standard': { version: 1, vendor: 'test', validate: async (value: unknown) => {
      abort.abort('enough')
      return await thingSchema['~standard'].validate(value)
    } } }
    const things = new Things({ basePath: base, schema })
    const error = await caught(things.transaction((tx) => tx.createMany(named('a', 'b')), { signal: abort.signal }))
    assert.deepEqual([error.code, error.reason], ['ABORTED', 'enough'])
    assert.deepEqual(await things.list(), [])
    await things.close()
  }))

  test('refuse other arguments than arrays of what they take', withUnsyncedThings(async (things) => {
    const codes = await things.transaction(async (tx) => {
      const calls = [undefined, {}, [1n]].flatMap((given) => [tx.createMany(given as never), tx.updateMany(given as never), tx.deleteMany(given as never)])
      return (await Promise.all(calls.map((call) => caught(call)))).map(({ code }) => code)
    })
    assert.deepEqual(codes, Array(9).fill('INVALID_ARGUMENT'))
  }))

  test('are refused once the transaction has ended', withUnsyncedThings(async (things) => {
    const tx = await things.transaction((tx) => tx)
    for (const step of [tx.createMany([]), tx.updateMany([]), tx.deleteMany([]), tx.count()]) assert.equal((await caught(step)).code, 'CLOSED')
  }))
})

describe('steps that write many projects and files', () => {
  test('commit together, with their contents', withStorage(async (storage) => {
    const texts = Array.from({ length: COUNT }, (_, n) => (n === 7 ? 'half \ud800 of a pair' : `text ${n}`))
    const made = await storage.transaction(async (tx) => {
      const [first] = await tx.createMany([projectInput('a'), projectInput('b'), projectInput('c')])
      const files = tx.in(storage.getFileStorage(first!.id))
      const created = await files.createMany(texts.map((text, n) => fileInput(`f${n}.ts`, text)))
      const updated = await files.updateMany([
        { id: created[0]!.id, data: { content: 'changed' } },
        { id: created[1]!.id, data: { summary: 'short' } },
      ])
      assert.deepEqual(updated.map(({ content, summary }) => [content, summary]), [['changed', null], ['text 1', 'short']])
      assert.equal(await files.deleteMany([created[2]!.id, String(created[3]!.id), 5]), 2)
      return { first: first!, created, updated }
    })
    const stored = await storage.getProjectFiles(made.first.id)
    assert.deepEqual(stored, [...made.updated, ...made.created.slice(4)])
    assert.deepEqual(stored.slice(2).map(({ content }) => content), texts.slice(4))
  }))

  test('change and delete projects with all that belongs to them', withProject(async (storage, project) => {
    await storage.getFileStorage(project.id).createMany([fileInput('a.ts'), fileInput('b.ts')])
    const other = await storage.create(projectInput('other'))
    await storage.transaction(async (tx) => {
      const [changed] = await tx.updateMany([{ id: other.id, data: { description: 'changed' } }])
      assert.equal(changed!.description, 'changed')
      assert.equal(await tx.deleteMany([project.id, 5]), 1)
      assert.deepEqual(await tx.list(), [changed])
    })
    assert.deepEqual((await storage.list()).map(({ id, description }) => [id, description]), [[other.id, 'changed']])
    assert.deepEqual(await storage.getProjectFiles(project.id), [])
  }))

  test('that are refused leave no trace, and say which are invalid', withProject(async (storage, project) => {
    const files = storage.getFileStorage(project.id)
    const { id } = await files.create(fileInput('a.ts'))
    await storage.transaction(async (tx) => {
      const invalid = [tx.createMany([projectInput('b'), { name: '' } as never]), tx.in(files).createMany([fileInput('b.ts'), { path: 5 } as never])]
      for (const error of await Promise.all(invalid.map((step) => caught(step)))) {
        assert.deepEqual([error.code, error.issues[0].path[0]], ['VALIDATION_ERROR', 1])
      }
      const missing = [tx.updateMany([{ id: project.id, data: { name: 'c' } }, { id: 5, data: {} }]), tx.in(files).updateMany([{ id, data: { name: 'c' } }, { id: 5, data: {} }])]
      for (const error of await Promise.all(missing.map((step) => caught(step)))) assert.equal(error.code, 'NOT_FOUND')
    })
    assert.deepEqual(names(await storage.list()), [project.name])
    assert.deepEqual((await files.list()).map(({ path }) => path), ['a.ts'])
  }))
})

describe('count in a transaction', () => {
  test('counts what the transaction created, changed and deleted', withUnsyncedThings(async (things) => {
    const [a, b] = await things.createMany([{ name: 'a', size: 5 }, { name: 'b', size: 5 }, { name: 'c', size: 1 }, { name: 'd', size: 5 }])
    await things.transaction(async (tx) => {
      const counts = async () => [await tx.count(), await tx.count({ where: { size: 5 } }), await tx.count({ where: { size: 6 } })]
      assert.deepEqual(await counts(), [4, 3, 0])
      await tx.createMany([{ name: 'e', size: 5 }, { name: 'f', size: 6 }])
      await tx.update(a!.id, { size: 6 })
      await tx.delete(b!.id)
      assert.deepEqual(await counts(), [5, 2, 2])
    })
    assert.equal(await things.count({ where: { size: 6 } }), 2)
  }))

  test('uses an index over many changes', withUnsyncedThings(async (things) => {
    await things.createMany(Array.from({ length: 300 }, (_, n) => ({ name: `old ${n}`, size: n % 3 })))
    await things.transaction(async (tx) => {
      const all = await tx.list()
      await tx.updateMany(all.slice(0, 150).map(({ id }) => ({ id, data: { size: 2 } })))
      assert.deepEqual([await tx.count({ where: { size: 2 } }), await tx.count({ where: { size: 0 } })], [200, 50])
    })
  }, { indexes: [{ name: 'by_size', type: 'btree', fields: ['size'] }] }))

  test('lets the transaction run again if others change the number', withUnsyncedThings(async (things) => {
    let runs = 0
    const count = await things.transaction(async (tx) => {
      runs += 1
      const count = await tx.count()
      if (runs === 1) await things.create({ name: 'b' })
      await tx.create({ name: 'a' })
      return count
    })
    assert.deepEqual([runs, count, await things.count()], [2, 1, 2])
  }))

  test('counts files by what they hold', withProject(async (storage, project) => {
    const files = storage.getFileStorage(project.id)
    await files.createMany([fileInput('a.ts', 'x'), fileInput('b.ts', 'xy'), fileInput('c.md', 'y')])
    const counts = await files.transaction(async (tx) => {
      await tx.create(fileInput('d.ts', 'x'))
      return [await tx.count(), await tx.count({ where: { extension: '.ts' } }), await tx.count({ where: { content: /x/ } })]
    })
    assert.deepEqual(counts, [4, 3, 3])
  }))
})
