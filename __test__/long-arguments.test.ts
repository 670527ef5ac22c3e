// Many records are passed a slice at a time, and the event loop turns between the slices. What is stored is what the records
// were at the time of the call.
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { IndexManager } from '../index.js'
import type { Project, ProjectFile } from '../index.js'
import { fileInput, withDirectory, withProject } from './support/index.js'
import { COUNT, entities, inputs, mapOf, projects, records, things } from './support/many-records.js'
import { Things, type Thing } from './support/things.js'
import { turnsOf } from './support/turns.js'

const { NativeRecords } = require('../binding.js')

/** The most records in a slice. */
const SLICE = 256

/** Returns the turns in which slices are passed while something runs. */
const turnsOfSlices = (run: () => Promise<unknown>) =>
  turnsOf(async (note) => {
    const { append } = NativeRecords.prototype
    NativeRecords.prototype.append = function (...slice: unknown[]) {
      note()
      return append.apply(this, slice)
    }
    try {
      await run()
    } finally {
      NativeRecords.prototype.append = append
    }
  })

/** Returns the turns in which the entities of a call become JSON, by those that have tags. */
const turnsOfTexts = (run: () => Promise<unknown>) =>
  turnsOf(async (note) => {
    const { stringify } = JSON
    JSON.stringify = (value: any, ...rest: any[]) => {
      if (value?.tags !== undefined) note()
      return (stringify as any)(value, ...rest)
    }
    try {
      await run()
    } finally {
      JSON.stringify = stringify
    }
  })

/** Runs a call and checks that each slice of its argument is passed in a turn of its own. */
async function inSlices(run: () => Promise<unknown>) {
  const turns = await turnsOfSlices(run)
  assert.ok(turns.length >= COUNT / SLICE, turns.join())
  assert.equal(new Set(turns).size, turns.length, turns.join())
}

describe('the event loop turns while a call hands over', () => {
  test('many files', withProject(async (storage, project) => {
    await inSlices(() => storage.getFileStorage(project.id).createMany(inputs()))
  }))

  test('a few large files', withProject(async (storage, project) => {
    const large = Array.from({ length: 6 }, (_, n) => fileInput(`f${n}.ts`, 'x'.repeat(700_000)))
    const turns = await turnsOfSlices(() => storage.getFileStorage(project.id).createMany(large))
    assert.deepEqual([turns.length, new Set(turns).size], [3, 3])
  }))

  test('many patches', withProject(async (storage, project) => {
    const files = storage.getFileStorage(project.id)
    const created = await files.createMany(inputs())
    await inSlices(() => files.updateMany(created.map(({ id }) => ({ id, data: { content: `of ${id}` } }))))
  }))

  test('a map of files', withProject(async (storage, project) => {
    await inSlices(() => storage.getFileStorage(project.id).writeAll(records(project.id)))
  }))

  test('a map of projects', withDirectory(async ({ open }) => {
    await inSlices(() => open().writeAll(projects()))
  }))

  test("a map of a caller's entities", withDirectory(async ({ base }) => {
    const storage = new Things({ basePath: base })
    await inSlices(() => storage.writeAll(things()))
    await storage.close()
  }))

  test("a caller's new entities, and patches of them", withDirectory(async ({ base }) => {
    const storage = new Things({ basePath: base })
    let created: Thing[] = []
    await inSlices(async () => (created = await storage.createMany(Object.values(things()).map(({ name }) => ({ name })))))
    await inSlices(() => storage.updateMany(created.map(({ id }) => ({ id, data: { size: id } }))))
    await storage.close()
  }))

  test('new projects, and patches of them', withDirectory(async ({ open }) => {
    const storage = open()
    let created: Project[] = []
    await inSlices(async () => (created = await storage.createMany(Object.values(projects()).map(({ name, path }) => ({ name, path })))))
    await inSlices(() => storage.updateMany(created.map(({ id }) => ({ id, data: { name: `of ${id}` } }))))
  }))

  test('the entities of an index', withDirectory(async ({ base }) => {
    const indexes = new IndexManager(base, 'data')
    await indexes.createIndex({ name: 'a', type: 'hash', fields: ['tags'] })
    await inSlices(() => indexes.rebuildIndex('a', entities({ tags: ['a'] })))
    assert.equal((await indexes.query('a', 'a')).length, COUNT)
    await indexes.close()
  }))
})

test("a caller's nested entities are serialised a slice at a time", withDirectory(async ({ base }) => {
  const storage = new Things({ basePath: base })
  const turns = await turnsOfTexts(() => storage.writeAll(mapOf(Object.values(things()).map((thing) => ({ ...thing, tags: ['a'], at: new Date(1) })))))
  assert.equal(turns.length, COUNT)
  assert.ok(new Set(turns).size >= COUNT / SLICE, String(new Set(turns).size))
  await storage.close()
}))

test('the event loop turns while a schema judges many entities and patches', withDirectory(async ({ base }) => {
  const turns = await turnsOf(async (note) => {
    const validate = (value: unknown) => {
      note()
      return { value }
    }
    const storage = new Things({ basePath: base, schema: { '~standard': { version: 1, vendor: 'test', validate } } })
    const created = await storage.createMany(Object.values(things()))
    await storage.updateMany(created.map(({ id }) => ({ id, data: { size: 2 } })))
    await storage.close()
  })
  assert.equal(turns.length, 2 * COUNT)
  assert.ok(new Set(turns).size >= (2 * COUNT) / SLICE, String(new Set(turns).size))
}))

test('the event loop turns while the paths of many entities are asked for', withDirectory(async ({ base }) => {
  const turns = await turnsOf(async (note) => {
    const entityPath = () => {
      note()
      return null
    }
    const storage = new Things({ basePath: base, entityPath })
    await storage.writeAll(things())
    await storage.deleteAll()
    await storage.deleteMany(Object.keys(things()).map(Number))
    await storage.close()
  })
  assert.equal(turns.length, 3 * COUNT)
  assert.ok(new Set(turns).size >= (3 * COUNT) / SLICE, String(new Set(turns).size))
}))

test('a few records are handed over in the turn of the call', withProject(async (storage, project) => {
  const files = storage.getFileStorage(project.id)
  assert.deepEqual(await turnsOfSlices(() => files.createMany(inputs().slice(0, 100))), [1])
}))

test('the event loop turns while the records of a file by another program are validated', withDirectory(async ({ base }) => {
  await new Things({ basePath: base }).close()
  const first = new Things({ basePath: base })
  await first.writeAll({})
  await first.close()
  await writeFile(join(base, 'data', 'things.json'), JSON.stringify(things()))
  const turns = await turnsOf(async (note) => {
    const validate = (value: unknown) => {
      note()
      return { value }
    }
    const storage = new Things({ basePath: base, schema: { '~standard': { version: 1, vendor: 'test', validate } } })
    assert.deepEqual(await storage.readAll(), things())
    await storage.close()
  })
  assert.equal(turns.length, COUNT)
  assert.ok(new Set(turns).size >= COUNT / SLICE, String(new Set(turns).size))
}))

describe('a call stores its arguments as they were at the moment of the call', () => {
  /** Changes the arguments at once, and then in each turn until the call has ended. */
  async function changing(change: () => void, call: Promise<unknown>) {
    let over = false
    const changed = () => {
      change()
      if (!over) setImmediate(changed)
    }
    changed()
    try {
      return await call
    } finally {
      over = true
    }
  }

  test('many files', withProject(async (storage, project) => {
    const files = storage.getFileStorage(project.id)
    const given = inputs()
    const change = () => {
      for (const file of given) file.content = file.path = 'changed'
      given.length = 3
    }
    await changing(change, files.createMany(given))
    assert.deepEqual((await files.list()).map(({ path, content }) => ({ path, content })), inputs().map(({ path, content }) => ({ path, content })))
  }))

  test('many patches', withProject(async (storage, project) => {
    const files = storage.getFileStorage(project.id)
    const created = await files.createMany(inputs())
    const patches = created.map(({ id }) => ({ id, data: { content: `of ${id}`, lastSyncedAt: new Date(id) as Date | number } }))
    const change = () => {
      for (const { data } of patches) {
        data.content = 'changed'
        if (data.lastSyncedAt instanceof Date) data.lastSyncedAt.setTime(0)
      }
    }
    await changing(change, files.updateMany(patches))
    const stored = (await files.list()).map(({ content, lastSyncedAt }) => [content, lastSyncedAt])
    assert.deepEqual(stored, created.map(({ id }) => [`of ${id}`, id]))
  }))

  test('a map of files', withProject(async (storage, project) => {
    const files = storage.getFileStorage(project.id)
    const at = 1_700_000_000_000
    const given = records(project.id)
    const times = Object.values(given).map((file) => ((file as any).lastSyncedAt = new Date(at)))
    const change = () => {
      for (const file of Object.values(given)) file.content = file.name = 'changed'
      for (const time of times) time.setTime(0)
      delete given[COUNT]
    }
    await changing(change, files.writeAll(given))
    assert.deepEqual(await files.readAll(), records(project.id, { lastSyncedAt: at }))
  }))

  test('a map of files that are instances of a class', withProject(async (storage, project) => {
    class Entry {
      constructor(record: ProjectFile) {
        Object.assign(this, record)
      }
    }
    const files = storage.getFileStorage(project.id)
    const given = mapOf(Object.values(records(project.id)).map((record) => new Entry(record) as ProjectFile))
    const change = () => Object.values(given).forEach((file) => (file.content = 'changed'))
    const written = await changing(change, files.writeAll(given))
    assert.deepEqual(written, records(project.id))
    assert.deepEqual(await files.readAll(), written)
  }))

  test('a map of projects', withDirectory(async ({ open }) => {
    const given = projects()
    const said = { now: 'as given' }
    given[COUNT - 1]!.description = { toJSON: () => said.now } as never
    const change = () => {
      for (const project of Object.values(given)) project.name = 'changed'
      said.now = 'changed'
      delete given[COUNT]
    }
    const storage = open()
    await changing(change, storage.writeAll(given))
    const expected = projects()
    expected[COUNT - 1]!.description = 'as given'
    assert.deepEqual(await storage.readAll(), expected)
  }))

  test('the entities of an index', withDirectory(async ({ base }) => {
    const indexes = new IndexManager(base, 'data')
    await indexes.createIndex({ name: 'a', type: 'hash', fields: ['name', 'tags'] })
    const given = entities({}).map((entity) => ({ ...entity, name: 'as given', tags: ['a'] }))
    const change = () => {
      for (const entity of given) {
        entity.name = 'changed'
        entity.tags[0] = 'changed'
      }
      given.length = 3
    }
    await changing(change, indexes.rebuildIndex('a', given))
    assert.equal((await indexes.query('a', ['as given', 'a'])).length, COUNT)
    assert.deepEqual((await indexes.getIndexStats('a'))?.stats.totalEntries, COUNT)
    await indexes.close()
  }))

  test('a map of entities that contain objects of every kind', withDirectory(async ({ base }) => {
    class Money {
      constructor(public cents: number) {}
      toJSON() {
        return `${this.cents} ct`
      }
    }
    const storage = new Things({ basePath: base })
    const deep = () => ({ rows: [{ cells: [1, [2]], at: new Date(5) }], none: null, bare: Object.assign(Object.create(null), { a: 1 }) })
    const said = { now: 'as given' }
    const own = { toJSON: () => said.now }
    const sayings = (id: number) => [() => Object.assign(new Date(5), own), () => ({ ...own }), () => [{ ...own }], () => new Money(id)][id % 4]!() as unknown
    const given = mapOf(Object.values(things()).map((thing) => ({ ...thing, deep: deep(), price: sayings(thing.id), ...JSON.parse('{"__proto__":{"own":[1]}}') })))
    given[7]!.price = 7
    const expected = JSON.parse(JSON.stringify(given))
    const change = () => {
      said.now = 'changed'
      for (const thing of Object.values(given) as any[]) {
        const [row] = thing.deep.rows
        row.cells[1].push('changed')
        row.at.setTime(0)
        row.added = thing.deep.bare.b = true
        Object.getOwnPropertyDescriptor(thing, '__proto__')!.value.own.push(2)
        if (thing.price instanceof Money) thing.price.cents = 0
        thing.deep = {}
      }
    }
    const call = storage.writeAll(given)
    // What has a form of its own is taken from the output of the schema, in the turn of the call.
    setImmediate(change)
    await call
    assert.deepEqual(await storage.readAll(), expected)
    await storage.close()
  }))

  for (const [what, made] of [['flat', things], ['nested', () => mapOf(Object.values(things()).map((thing) => ({ ...thing, tags: ['a'] })))]] as const) {
    test(`a map of a caller's ${what} entities`, withDirectory(async ({ base }) => {
      const storage = new Things({ basePath: base })
      const given: Record<string, Thing & { tags?: string[] }> = made()
      const change = () => {
        for (const thing of Object.values(given)) {
          thing.name = 'changed'
          thing.tags?.push('b')
        }
        delete given[COUNT]
      }
      await changing(change, storage.writeAll(given))
      assert.deepEqual(await storage.readAll(), made())
      await storage.close()
    }))
  }
})

describe('a write of many records', () => {
  test('takes effect before writes called after it', withProject(async (storage, project) => {
    const files = storage.getFileStorage(project.id)
    const calls = [files.createMany(inputs()), files.deleteAll(), files.writeAll(records(project.id)), files.update(1, { content: 'last' })]
    await Promise.all(calls)
    assert.deepEqual(await files.readAll(), { ...records(project.id), 1: await files.getById(1) })
    assert.equal((await files.getById(1))?.content, 'last')
  }))

  test('takes effect before a small write to another collection called after it', withProject(async (storage, project) => {
    const before = await storage.sequence()
    const feed = storage.changes({ from: before, scope: 'database' })
    const many = storage.getFileStorage(project.id).createMany(inputs())
    const few = storage.update(project.id, { name: 'renamed' })
    await Promise.all([many, few])
    const first = (await feed.next()).value as { created?: unknown[] }
    assert.equal(first.created?.length, COUNT)
    await feed.return()
  }))

  test('can be aborted while it is handed over, and the next write proceeds', withProject(async (storage, project) => {
    const files = storage.getFileStorage(project.id)
    const control = new AbortController()
    const many = files.createMany(inputs(), { signal: control.signal })
    const next = files.create(fileInput('next.ts'))
    setImmediate(() => control.abort())
    await assert.rejects(many, { code: 'ABORTED' })
    await next
    assert.deepEqual((await files.list()).map(({ path }) => path), ['next.ts'])
  }))

  test('to an index takes effect before writes called after it', withDirectory(async ({ base }) => {
    const indexes = new IndexManager(base, 'data')
    await indexes.createIndex({ name: 'a', type: 'hash', fields: ['tags'] })
    await Promise.all([
      indexes.rebuildIndex('a', entities({ tags: 'first' })),
      indexes.addToIndex('a', 1, { tags: 'second' }),
      indexes.removeFromIndex('a', 2),
    ])
    assert.deepEqual(await indexes.query('a', 'second'), [1])
    assert.equal((await indexes.query('a', 'first')).length, COUNT - 2)
    await indexes.close()
  }))

  test('to an index completes before its manager is closed', withDirectory(async ({ base }) => {
    const indexes = new IndexManager(base, 'data')
    await indexes.createIndex({ name: 'a', type: 'hash', fields: ['tags'] })
    const many = indexes.rebuildIndex('a', entities({ tags: 'a' }))
    await indexes.close()
    await many
    const again = new IndexManager(base, 'data')
    assert.equal((await again.query('a', 'a')).length, COUNT)
    await again.close()
  }))

  test('completes before the storage is closed', withProject(async (storage, project, { open }) => {
    const many = storage.getFileStorage(project.id).createMany(inputs())
    await storage.close()
    assert.equal((await many).length, COUNT)
    assert.equal((await open().getFileStorage(project.id).list()).length, COUNT)
  }))

  test('takes effect before the next write even with a lockTimeout of 0', withProject(async (_, project, { open }) => {
    const files = open({ lockTimeout: 0 }).getFileStorage(project.id)
    await Promise.all([files.writeAll(records(project.id)), files.deleteAll()])
    assert.deepEqual(await files.list(), [])
  }))

  test('takes effect before the next write even if it had to wait for its turn, with a lockTimeout of 0', withProject(async (_, project, { open }) => {
    const files = open({ lockTimeout: 0 }).getFileStorage(project.id)
    let busy = true
    const slowing = () => {
      // In each turn, timers have time to run out.
      for (const end = Date.now() + 3; Date.now() < end; );
      if (busy) setImmediate(slowing)
    }
    slowing()
    await Promise.all([files.writeAll(records(project.id)), files.writeAll(records(project.id)), files.deleteAll()])
    busy = false
    assert.deepEqual(await files.list(), [])
  }))
})

test('a map is written although another instance changes a record meanwhile', withProject(async (storage, project, { open }) => {
  const files = storage.getFileStorage(project.id)
  await files.writeAll(records(project.id))
  const map = await files.readAll()
  for (const file of Object.values(map)) file.content += ', changed'
  const other = open({ cacheEnabled: false }).getFileStorage(project.id)
  const [written] = await Promise.all([files.writeAll(map), other.update(1, { content: 'of the other' })])
  assert.deepEqual(Object.keys(written), Object.keys(map))
  const stored = await other.readAll()
  for (const id of Object.keys(map)) if (id !== '1') assert.equal(stored[id]!.content, map[id]!.content)
}))
