// The objects that a thread keeps: all instances on a database share them, and they are read without a call into native code.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { z } from 'zod'
import { BaseStorage } from '../index.js'
import { fileInput, projectInput, warm, withDirectory, withProject } from './support/index.js'

const { NativeCollection, NativeFiles, NativeWatch } = require('../binding.js')

/** Returns the calls into native code that look for a document or for what has changed. */
async function callsDuring(work: () => Promise<unknown>): Promise<string[]> {
  const calls: string[] = []
  const counted = [[NativeCollection.prototype, 'peek'], [NativeFiles.prototype, 'peekByPath'], [NativeWatch.prototype, 'changesSince']]
  const methods = counted.map(([type, name]) => type[name])
  for (const [type, name] of counted) {
    const method = type[name]
    type[name] = function (...args: unknown[]) {
      calls.push(name)
      return method.apply(this, args)
    }
  }
  try {
    await work()
  } finally {
    counted.forEach(([type, name], at) => (type[name] = methods[at]))
  }
  return calls
}

class Notes extends BaseStorage<any> {
  constructor(basePath: string) { super(z.any(), z.any(), 'notes', { basePath }) }
  protected getIndexPath() { return join(this.basePath, this.dataDir, 'index.json') }
  protected getEntityPath() { return null }
}

describe('a cached document', () => {
  test('is read without a call into native code, even through a new file storage', withProject(async (storage, project) => {
    const { id } = await storage.addFile(project.id, fileInput('a'))
    await warm(() => storage.getFileStorage(project.id).getById(id))
    const calls = await callsDuring(async () => {
      for (let n = 0; n < 3; n++) assert.equal((await storage.getFileStorage(project.id).getById(id))?.id, id)
    })
    assert.deepEqual(calls, [])
  }))

  test('is read and counted like that after a repair, too, whichever storage of the database repairs it', withProject(async (storage, project) => {
    for (const repairing of [storage, storage.getFileStorage(project.id)]) {
      await warm(() => storage.getById(project.id))
      await repairing.repair()
      await warm(() => storage.getById(project.id))
      const { hits } = storage.getCacheStats()
      const calls = await callsDuring(async () => {
        for (let n = 0; n < 3; n++) await storage.getById(project.id)
      })
      assert.deepEqual([calls, storage.getCacheStats().hits - hits], [[], 3])
    }
  }))

  test('is current however many other collections are read', withProject(async (storage, project, { open }) => {
    const files = storage.getFileStorage(project.id)
    const { id } = await files.create(fileInput('a', 'old'))
    const others = Array.from({ length: 200 }, (_, n) => storage.getFileStorage(n + 1))
    await warm(() => files.getById(id))
    for (const other of others) assert.equal(await other.getById(1), null)
    await open({ cacheEnabled: false }).updateProjectFile(project.id, id, { content: 'new' })
    assert.equal((await files.getById(id))?.content, 'new')
  }))

  test('is dropped from the caches of all instances by clearCache, but not from another database', withDirectory(async ({ base, open }) => {
    const [one, two, apart, closed] = [open(), open(), open({ basePath: join(base, 'apart') }), open({ basePath: join(base, 'closed') })]
    const { id } = await one.create(projectInput())
    const other = await apart.create(projectInput())
    for (const [storage, read] of [[one, id], [two, id], [apart, other.id]] as const) await warm(() => storage.getById(read))
    await closed.list()
    await closed.close()
    const [before, beside] = [one.getCacheStats().misses, apart.getCacheStats().misses]
    two.clearCache()
    await one.getById(id)
    await apart.getById(other.id)
    assert.deepEqual([one.getCacheStats().misses, apart.getCacheStats().misses], [before + 1, beside])
  }))

  test('is not confused with others whose ids look like its own', withDirectory(async ({ base }) => {
    const notes = new Notes(base)
    const ids = ['a', 'b', '5', '05', ' 5', '5.0', 'NaN', 'Infinity', '0x5']
    for (const id of ids) await notes.create({ id, text: `note ${id}` })
    for (let n = 0; n < 3; n++) for (const id of ids) assert.equal((await notes.getById(id)).text, `note ${id}`)
    await notes.close()
  }))

  test('is read again after invalidateCache', withProject(async (storage, project) => {
    const files = storage.getFileStorage(project.id)
    const { id } = await files.create(fileInput('a'))
    const reads = [() => files.getById(id), () => files.list({ includeContent: false })]
    for (const read of reads) await warm(read)
    for (const read of reads) {
      Reflect.get(files, 'invalidateCache').call(files, id)
      const { misses } = storage.getCacheStats()
      await read()
      assert.equal(storage.getCacheStats().misses, misses + 1)
    }
  }))

  test('stays while it is read, however many others come and are read no more', withDirectory(async ({ open }) => {
    const storage = open({ maxCacheSize: 3 })
    const { id } = await storage.create(projectInput())
    const others = await Promise.all(Array.from({ length: 12 }, (_, n) => storage.create(projectInput(`n${n}`))))
    await warm(() => storage.getById(id))
    for (const other of others) {
      // The second read keeps the object, which is not read any more then.
      for (let n = 0; n < 2; n++) await storage.getById(other.id)
      assert.deepEqual(await callsDuring(() => storage.getById(id)), [])
    }
  }))
})

describe('a cached lookup by path', () => {
  test('is made without a call into native code until it is evicted', withDirectory(async ({ open }) => {
    const storage = open({ maxCacheSize: 3 })
    const files = storage.getFileStorage((await storage.create(projectInput())).id)
    const paths = ['a', 'b', 'c', 'd', 'e']
    await files.createMany(paths.map((path) => fileInput(path)))
    for (const path of paths) await warm(() => files.getByPath(path))
    assert.deepEqual(await callsDuring(() => files.getByPath('e')), [])
    assert.deepEqual(await callsDuring(() => files.getByPath('a')), ['peekByPath'])
  }))

  test('is one cache entry with the document read by its id', withProject(async (storage, project) => {
    const files = storage.getFileStorage(project.id)
    const { id } = await files.create(fileInput('a'))
    await warm(() => files.getById(id))
    const { size } = storage.getCacheStats()
    for (let n = 0; n < 3; n++) await warm(() => files.getByPath('a'))
    assert.equal(storage.getCacheStats().size, size)
  }))

  test('is made again after clearCache', withProject(async (storage, project) => {
    const files = storage.getFileStorage(project.id)
    await files.create(fileInput('a'))
    await warm(() => files.getByPath('a'))
    storage.clearCache()
    const { misses } = storage.getCacheStats()
    await files.getByPath('a')
    assert.equal(storage.getCacheStats().misses, misses + 1)
  }))
})

describe('a cached list', () => {
  test('shares no nested object between reads after a document that is not nested changed', withDirectory(async ({ base }) => {
    const notes = new Notes(base)
    const { id } = await notes.create({ data: { nested: [1] } })
    const flat = await notes.create({ data: 'flat' })
    await warm(() => notes.list())
    await notes.update(flat.id, { data: 'still flat' })
    for (let n = 0; n < 3; n++) {
      const found = (await notes.list()).find((note) => note.id === id)
      assert.deepEqual(found.data, { nested: [1] })
      found.data.nested.push(2)
    }
    await notes.close()
  }))

  test('is not kept if a write came in between while its pieces arrived', withProject(async (storage, project) => {
    const files = storage.getFileStorage(project.id)
    const created = await files.createMany(Array.from({ length: 24 }, (_, n) => fileInput(`f${n}`, 'x'.repeat(1_000_000))))
    const { id } = created.at(-1)!
    for (let round = 0; round < 8; round++) {
      storage.clearCache()
      let arrived = false
      const list = files.list().then(() => (arrived = true))
      const written = files.update(id, { summary: `round ${round}` })
      while (!arrived) {
        await files.getById(created[0]!.id)
        await new Promise(setImmediate)
      }
      await Promise.all([list, written])
      assert.equal((await files.list()).at(-1)?.summary, `round ${round}`)
    }
  }))

  test('is not kept if a write came in between while its pieces arrived and the database was opened', withProject(async (storage, project, { open }) => {
    const created = await storage.getFileStorage(project.id).createMany(Array.from({ length: 24 }, (_, n) => fileInput(`f${n}`, 'x'.repeat(1_000_000))))
    const { id } = created.at(-1)!
    await storage.close()
    for (let round = 0; round < 8; round++) {
      const own = open()
      const files = own.getFileStorage(project.id)
      await Promise.all([files.list(), files.update(id, { summary: `round ${round}` })])
      assert.equal((await files.list()).at(-1)?.summary, `round ${round}`)
      await own.close()
    }
  }))

  test('loses nothing if a write comes in between while other changes are read', withProject(async (storage, project) => {
    const files = storage.getFileStorage(project.id)
    const created = await files.createMany(Array.from({ length: 8 }, (_, n) => fileInput(`f${n}`, 'x'.repeat(1_000_000))))
    const [first, ...rest] = created.map(({ id }) => id)
    await warm(() => files.list())
    for (let round = 0; round < 20; round++) {
      await files.updateMany(rest.slice(1).map((id) => ({ id, data: { summary: `before ${round}` } })))
      let arrived = false
      const list = files.list().finally(() => (arrived = true))
      const written = files.update(rest[0]!, { summary: `round ${round}` })
      while (!arrived) {
        await files.getById(first!)
        await new Promise(setImmediate)
      }
      await written
      for (const found of [await list, await files.list()]) {
        assert.deepEqual(found.map(({ id }) => id), [first, ...rest])
        assert.ok(found.slice(2).every(({ summary }) => summary === `before ${round}`))
      }
      assert.equal((await files.list())[1]?.summary, `round ${round}`)
    }
  }))
})
