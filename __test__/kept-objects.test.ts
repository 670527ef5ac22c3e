// Documents that are read repeatedly are kept as objects, which must be as current as what is read from the engine.
import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { z } from 'zod'
import { BaseStorage, type ProjectFile, type ProjectFileStorage, type StorageOptions } from '../index.js'
import { fileInput, fileRecord, filesPath, projectInput, until, warm, withDirectory, withProject } from './support/index.js'
import { Things } from './support/things.js'

describe('a cached document', () => {
  test('is returned as a new object by each read', withProject(async (storage, project) => {
    await warm(() => storage.getById(project.id))
    const first = await storage.getById(project.id)
    first!.name = 'changed'
    assert.deepEqual(await storage.getById(project.id), project)
  }))

  test('shares no nested object between reads, even under the key __proto__', withDirectory(async ({ base }) => {
    const text = '{"list":[{"a":[1]}],"__proto__":{"b":{"c":1}}}'
    const schema = z.any()
    class Nested extends BaseStorage<any> {
      constructor() { super(schema, schema, 'nested', { basePath: base }) }
      protected getIndexPath() { return join(this.basePath, this.dataDir, 'index.json') }
      protected getEntityPath() { return null }
    }
    const storage = new Nested()
    const { id } = await storage.create({ data: JSON.parse(text) })
    await warm(() => storage.getById(id))
    const found = await storage.getById(id)
    found.data.list[0].a.push(2)
    Object.getOwnPropertyDescriptor(found.data, '__proto__')!.value.b.c = 2
    const again = await storage.getById(id)
    assert.equal(JSON.stringify(again.data), text)
    assert.equal(Object.getPrototypeOf(again.data), Object.prototype)
    await storage.close()
  }))

  test('shows a write as soon as the write resolves', withProject(async (storage, project) => {
    for (let n = 0; n < 50; n++) {
      await warm(() => storage.getById(project.id))
      await storage.update(project.id, { name: `name ${n}` })
      assert.equal((await storage.getById(project.id))?.name, `name ${n}`)
    }
  }))

  test('shows a write by another instance', withDirectory(async ({ open }) => {
    const [a, b] = [open(), open({ cacheEnabled: false })]
    const { id } = await a.create(projectInput())
    for (let n = 0; n < 20; n++) {
      await warm(() => a.getById(id))
      await b.update(id, { name: `name ${n}` })
      assert.equal((await a.getById(id))?.name, `name ${n}`)
    }
  }))

  test('is gone as soon as it is deleted', withProject(async (storage, project) => {
    await warm(() => storage.getById(project.id))
    await storage.delete(project.id)
    assert.equal(await storage.getById(project.id), null)
  }))

  test('is gone once the data of its project is deleted', withProject(async (storage, project) => {
    const files = storage.getFileStorage(project.id)
    const file = await files.create(fileInput('a'))
    await warm(() => files.getById(file.id))
    await storage.deleteProjectData(project.id)
    assert.equal(await files.getById(file.id), null)
  }))

  test('shows a change from a batch of more writes than the cache tracks', withProject(async (storage, project) => {
    const files = storage.getFileStorage(project.id)
    const created = await files.createMany(Array.from({ length: 3000 }, (_, n) => fileInput(`f${n}`, 'old')))
    const { id } = created[0]!
    await warm(() => files.getById(id))
    await files.updateMany(created.map((file) => ({ id: file.id, data: { content: 'new' } })))
    assert.equal((await files.getById(id))?.content, 'new')
  }))

  test('is dropped from the cache by clearCache', withProject(async (storage, project) => {
    await warm(() => storage.getById(project.id))
    storage.clearCache()
    const { misses, size } = storage.getCacheStats()
    assert.equal(size, 0)
    await storage.getById(project.id)
    assert.equal(storage.getCacheStats().misses, misses + 1)
  }))

  test('counts one hit per read', withProject(async (storage, project) => {
    await storage.getById(project.id)
    const { hits, misses } = storage.getCacheStats()
    for (let n = 0; n < 10; n++) await storage.getById(project.id)
    const after = storage.getCacheStats()
    assert.deepEqual([after.hits, after.misses], [hits + 10, misses])
  }))

  test('expires cacheTTL after it was read from disk, however often it is read', withDirectory(async ({ open }) => {
    const storage = open({ cacheTTL: 20 })
    const { id } = await storage.create(projectInput())
    await storage.getById(id)
    const { misses } = storage.getCacheStats()
    await until('an expiry', async () => {
      await storage.getById(id)
      return storage.getCacheStats().misses > misses
    })
  }))

  test('is not served stale to a new instance after a manual edit of the file', withDirectory(async ({ base, open }) => {
    const lasting = open()
    const [project, other] = [await lasting.create(projectInput('one')), await lasting.create(projectInput('other'))]
    const files = lasting.getFileStorage(project.id)
    const file = await files.create(fileInput('a', 'old text'))
    await warm(() => files.getById(file.id))
    await warm(() => lasting.getById(other.id))
    const before = open()
    await before.list()
    await before.close()
    const path = filesPath(base, project.id)
    await writeFile(path, (await readFile(path, 'utf8')).replace('old text', 'new text'))
    const storage = open()
    await storage.getById(project.id)
    assert.equal((await storage.readProjectFile(project.id, file.id))?.content, 'new text')
  }))

  test('is evicted so that the cache stays within maxCacheSize', withDirectory(async ({ open }) => {
    const storage = open({ maxCacheSize: 5 })
    const projects = await Promise.all(Array.from({ length: 20 }, (_, n) => storage.create(projectInput(`p${n}`))))
    for (const { id } of projects) {
      await warm(() => storage.getById(id))
      assert.ok(storage.getCacheStats().size <= 5)
    }
    for (const project of projects) assert.deepEqual(await storage.getById(project.id), project)
  }))
})

describe('a cached lookup by path', () => {
  type Open = (options?: StorageOptions) => ProjectFileStorage
  const withFile = (run: (files: ProjectFileStorage, file: ProjectFile, open: Open) => Promise<void>) =>
    withProject(async (storage, project, { open }) => {
      const files = storage.getFileStorage(project.id)
      const file = await files.create(fileInput('a', 'one'))
      await warm(() => files.getByPath('a'))
      await run(files, file, (options) => open(options).getFileStorage(project.id))
    })

  test('returns a new object each time', withFile(async (files, file) => {
    const found = await files.getByPath('a')
    found!.content = 'changed'
    assert.deepEqual(await files.getByPath('a'), file)
  }))

  test('counts as one hit per lookup', withProject(async (storage, project) => {
    const files = storage.getFileStorage(project.id)
    await files.create(fileInput('a'))
    await files.getByPath('a')
    const { hits, misses } = storage.getCacheStats()
    for (let n = 0; n < 10; n++) await files.getByPath('a')
    const after = storage.getCacheStats()
    assert.deepEqual([after.hits, after.misses], [hits + 10, misses])
  }))

  test('shows a change at once', withFile(async (files, file) => {
    await files.update(file.id, { content: 'two' })
    assert.equal((await files.getByPath('a'))?.content, 'two')
  }))

  test('finds the new version', withFile(async (files, file) => {
    const { id } = await files.createVersion(file.id, 'two')
    assert.equal((await files.getByPath('a'))?.id, id)
  }))

  test('finds the file created last when two share a path', withFile(async (files) => {
    const { id } = await files.create(fileInput('a', 'other'))
    assert.equal((await files.getByPath('a'))?.id, id)
  }))

  test('finds a moved file at its new path only', withFile(async (files, file) => {
    await files.update(file.id, { path: 'b' })
    assert.equal(await files.getByPath('a'), null)
    assert.equal((await files.getByPath('b'))?.id, file.id)
  }))

  test('finds nothing once the file is deleted', withFile(async (files, file) => {
    await files.delete(file.id)
    assert.equal(await files.getByPath('a'), null)
  }))

  test('finds what another instance stored at the path', withFile(async (files, _file, open) => {
    const other = open()
    for (let n = 0; n < 20; n++) {
      const { id } = await other.create(fileInput('a', `${n}`))
      for (let time = 0; time < 3; time++) assert.equal((await files.getByPath('a'))?.id, id)
    }
  }))

  test('reads the file each time without a cache', withFile(async (files, file, open) => {
    const cold = open({ cacheEnabled: false })
    for (const content of ['one', 'two']) {
      await files.update(file.id, { content })
      await warm(() => cold.getByPath(file.path))
      assert.equal((await cold.getByPath(file.path))?.content, content)
    }
    assert.equal(await cold.getByPath('none'), null)
  }))

  test('keeps the cache within maxCacheSize', withDirectory(async ({ open }) => {
    const storage = open({ maxCacheSize: 2 })
    const files = storage.getFileStorage((await storage.create(projectInput())).id)
    const paths = ['a', 'b', 'c', 'd']
    for (const path of paths) await files.create(fileInput(path))
    for (const path of paths) await warm(() => files.getByPath(path))
    for (const path of paths) assert.equal((await files.getByPath(path))?.path, path)
    assert.ok(files.getCacheStats().size <= 2)
  }))
})

describe('a cached list', () => {
  test('is read from disk once and is one cache entry', withProject(async (storage, project) => {
    const files = storage.getFileStorage(project.id)
    await files.createMany([fileInput('a'), fileInput('b')])
    storage.clearCache()
    const { hits, misses } = storage.getCacheStats()
    for (let n = 0; n < 3; n++) await files.list()
    const after = storage.getCacheStats()
    assert.deepEqual([after.hits, after.misses, after.size], [hits + 2, misses + 1, 1])
  }))

  test('shares no nested object between reads', withDirectory(async ({ base, open }) => {
    const lasting = open()
    const { id } = await lasting.create(projectInput())
    await lasting.writeProjectFiles(id, { 7: fileRecord(7, id) })
    await lasting.close()
    const path = filesPath(base, id)
    await writeFile(path, (await readFile(path, 'utf8')).replace('"content"', '"odd":{"list":[1]},"content"'))
    const storage = open()
    for (let n = 0; n < 5; n++) {
      const [file] = await storage.getProjectFiles(id) as any[]
      assert.deepEqual(file.odd, { list: [1] })
      file.odd.list.push(2)
    }
  }))

  test('shares no object between reads', withProject(async (storage, project) => {
    await warm(() => storage.list())
    const list = await storage.list()
    list[0]!.name = 'changed'
    list.pop()
    assert.deepEqual(await storage.list(), [project])
  }))

  test('shares no object between reads once its documents are no longer nested', withDirectory(async ({ base }) => {
    class Notes extends BaseStorage<any> {
      constructor() { super(z.any(), z.any(), 'notes', { basePath: base }) }
      protected getIndexPath() { return join(this.basePath, this.dataDir, 'index.json') }
      protected getEntityPath() { return null }
    }
    const notes = new Notes()
    const { id } = await notes.create({ data: { nested: true } })
    await notes.list()
    const flat = await notes.update(id, { data: 'flat' })
    await notes.list()
    for (let n = 0; n < 4; n++) {
      const [found] = await notes.list()
      assert.deepEqual(found, flat)
      found.data = 'changed'
    }
    await notes.close()
  }))

  test('shows every write, with and without contents', withProject(async (storage, project) => {
    const files = storage.getFileStorage(project.id)
    for (let n = 0; n < 20; n++) {
      await warm(() => files.list())
      await warm(() => files.list({ includeContent: false }))
      const file = await files.create(fileInput(`f${n}`))
      const { content: _, ...head } = file
      assert.deepEqual((await files.list()).at(-1), file)
      assert.deepEqual((await files.list({ includeContent: false })).at(-1), head)
    }
  }))

  test('is updated rather than read again after a few changes', withProject(async (storage, project) => {
    const files = storage.getFileStorage(project.id)
    const created = await files.createMany(Array.from({ length: 200 }, (_, n) => fileInput(`f${n}`)))
    await warm(() => files.list())
    await files.update(created[3]!.id, { content: 'changed' })
    await files.delete(created[5]!.id)
    const { hits, misses, size } = storage.getCacheStats()
    const list = await files.list()
    assert.deepEqual([list.length, list[3]!.content, list[5]!.id], [199, 'changed', created[6]!.id])
    const after = storage.getCacheStats()
    assert.deepEqual([after.hits, after.misses, after.size], [hits + 1, misses, size])
  }))

  test('is read again rather than updated after many changes', withProject(async (storage, project) => {
    const files = storage.getFileStorage(project.id)
    const created = await files.createMany(Array.from({ length: 200 }, (_, n) => fileInput(`f${n}`)))
    await warm(() => files.list())
    for (const { id } of created.slice(0, 150)) await files.update(id, { content: 'changed' })
    const { misses } = storage.getCacheStats()
    await files.list()
    assert.equal(storage.getCacheStats().misses, misses + 1)
  }))

  test('evicts nothing else from the cache when a few of its documents change', withProject(async (storage, project) => {
    const files = storage.getFileStorage(project.id)
    const created = await files.createMany(Array.from({ length: 200 }, (_, n) => fileInput(`f${n}`)))
    const hot = created.slice(0, 60)
    await warm(() => files.list())
    for (const { id } of hot) await warm(() => files.getById(id))
    for (const { id } of created.slice(100, 195)) await files.update(id, { content: 'changed' })
    await files.list()
    const { misses } = storage.getCacheStats()
    for (const { id } of hot) await files.getById(id)
    assert.equal(storage.getCacheStats().misses, misses)
  }))

  test('expires cacheTTL after it was read from disk, however often it is updated', withDirectory(async ({ open }) => {
    const storage = open({ cacheTTL: 600_000 })
    const { id } = await storage.create(projectInput())
    await storage.list()
    const now = performance.now
    let passed = 0
    performance.now = () => now.call(performance) + passed
    try {
      const misses = []
      for (const minutes of [0, 6, 11]) {
        passed = minutes * 60_000
        await storage.update(id, { description: `after ${minutes} minutes` })
        const before = storage.getCacheStats().misses
        await storage.list()
        misses.push(storage.getCacheStats().misses - before)
      }
      assert.deepEqual(misses, [0, 0, 1])
    } finally {
      performance.now = now
    }
  }))

  test('is updated rather than read again after changes too large to be read at once', withProject(async (storage, project) => {
    const files = storage.getFileStorage(project.id)
    const created = await files.createMany(Array.from({ length: 4 }, (_, n) => fileInput(`f${n}`, 'x'.repeat(600_000))))
    await warm(() => files.list())
    await files.updateMany(created.slice(1).map(({ id }) => ({ id, data: { summary: 'changed' } })))
    const { hits, misses, size } = storage.getCacheStats()
    const lists = await Promise.all([files.list(), files.list()])
    for (const list of lists) assert.deepEqual(list.map(({ summary }) => summary), [created[0]!.summary, 'changed', 'changed', 'changed'])
    const after = storage.getCacheStats()
    assert.deepEqual([after.hits, after.misses, after.size], [hits + 2, misses, size])
  }))

  test('is still updated after another storage on the same files is closed', withProject(async (storage, project, { open }) => {
    const files = storage.getFileStorage(project.id)
    const [first, second] = await files.createMany(Array.from({ length: 200 }, (_, n) => fileInput(`f${n}`)))
    const other = open()
    await warm(() => files.list())
    await warm(() => other.getFileStorage(project.id).list())
    await other.close()
    const { misses } = storage.getCacheStats()
    await files.updateMany([first!, second!].map(({ id }) => ({ id, data: { content: 'changed' } })))
    const read = storage.getCacheStats().misses - misses
    assert.equal((await files.list())[1]!.content, 'changed')
    assert.equal(storage.getCacheStats().misses, misses + read)
  }))

  test('equals what a storage without a cache reads, whatever changed in between', withProject(async (storage, project, { open }) => {
    const files = storage.getFileStorage(project.id)
    const cold = open({ cacheEnabled: false }).getFileStorage(project.id)
    await files.createMany(Array.from({ length: 30 }, (_, n) => fileInput(`f${n}`)))
    let state = 1
    const random = (below: number) => (state = (state * 48271) % 2147483647) % below
    for (let round = 0; round < 150; round++) {
      for (let change = random(6); change >= 0; change--) {
        const writer = random(3) === 0 ? cold : files
        const list = await cold.list()
        const { id } = list[random(list.length)]!
        const kind = random(12)
        if (kind < 5) await writer.update(id, { content: `${round} ${change}` })
        else if (kind < 7) await writer.create(fileInput(`new ${round} ${change}`))
        else if (kind < 9 && list.length > 10) await writer.delete(id)
        else if (kind < 10) await writer.createVersion(id, `${round} ${change}`)
        else if (kind < 11) await writer.createMany(Array.from({ length: random(120) }, (_, n) => fileInput(`many ${n}`)))
        else if (list.length > 300) await writer.writeAll(Object.fromEntries(list.slice(0, 20).map((file) => [file.id, file])))
      }
      assert.deepEqual(await files.list(), await cold.list())
      assert.deepEqual(await files.list({ includeContent: false }), await cold.list({ includeContent: false }))
    }
  }))

  test('shows a document inserted between others in its place', withProject(async (storage, project, { open }) => {
    await storage.writeProjectFiles(project.id, { 10: fileRecord(10, project.id), 30: fileRecord(30, project.id) })
    const files = storage.getFileStorage(project.id)
    await warm(() => files.list())
    const map = await storage.readProjectFiles(project.id)
    await open({ cacheEnabled: false }).writeProjectFiles(project.id, { ...map, 20: fileRecord(20, project.id), 5: fileRecord(5, project.id) })
    assert.deepEqual((await files.list()).map(({ id }) => id), [5, 10, 20, 30])
  }))

  const kinds = { numbers: [undefined, undefined, undefined], strings: ['b', 'a', 'c'], 'numeric strings': ['3', '20', '100'], 'numbers that are not engine ids': ['-5', '1.5', '-0'] }
  for (const [what, given] of Object.entries(kinds)) {
    test(`is correct when ids are ${what}`, withDirectory(async ({ base }) => {
      class Named extends BaseStorage<any> {
        constructor(options = {}) { super(z.any(), z.any(), 'named', { basePath: base, ...options }) }
        protected getIndexPath() { return join(this.basePath, this.dataDir, 'index.json') }
        protected getEntityPath() { return null }
      }
      const [named, cold] = [new Named(), new Named({ cacheEnabled: false })]
      const ids: any[] = []
      await warm(() => named.list())
      for (const own of given) {
        const { id } = await named.create(own === undefined ? {} : { id: own })
        ids.push(id)
        await warm(() => named.list())
        await named.update(id, { note: 2 })
        assert.deepEqual(await named.list(), await cold.list())
      }
      await named.delete(ids[0])
      assert.deepEqual(await named.list(), await cold.list())
      await named.update(ids[1], { nested: { list: [1] } })
      await warm(() => named.list())
      const found = (await named.list()).find(({ id }) => id === ids[1])
      found.nested.list.push(2)
      assert.deepEqual(await named.list(), await cold.list())
      await Promise.all([named.close(), cold.close()])
    }))
  }

  test('orders numbers that are not engine ids as the engine does', withDirectory(async ({ base }) => {
    const numbers = [3, -5, 1.5, 2 ** 60, 7, -0.5]
    class Numbered extends BaseStorage<any> {
      static newId: any = () => numbers.shift()!
      constructor(options = {}) { super(z.any(), z.any(), 'numbered', { basePath: base, ...options }) }
      protected getIndexPath() { return join(this.basePath, this.dataDir, 'index.json') }
      protected getEntityPath() { return null }
    }
    const [numbered, cold] = [new Numbered(), new Numbered({ cacheEnabled: false })]
    while (numbers.length > 0) {
      await numbered.create({})
      assert.deepEqual(await numbered.list(), await cold.list())
    }
    await Promise.all([numbered.close(), cold.close()])
  }))

  test('is read again after invalidateCache', withDirectory(async ({ base }) => {
    class Lists extends BaseStorage<any> {
      constructor() { super(z.any(), z.any(), 'lists', { basePath: base }) }
      protected getIndexPath() { return join(this.basePath, this.dataDir, 'index.json') }
      protected getEntityPath() { return null }
      invalidate(id: number) { this.invalidateCache(id) }
    }
    const storage = new Lists()
    const { id } = await storage.create({})
    await storage.create({})
    await warm(() => storage.list())
    const { misses } = storage.getCacheStats()
    storage.invalidate(id)
    await storage.list()
    assert.equal(storage.getCacheStats().misses, misses + 1)
    await storage.close()
  }))
})

test('a property that other code adds to every object is in no document', withDirectory(async ({ base }) => {
  const things = new Things({ basePath: base })
  const { id } = await things.create({ name: 'a', parts: [{ of: { it: 1 } }] } as never)
  const found: unknown[] = []
  const everywhere = Object.prototype as { added?: object }
  everywhere.added = { to: ['every', 'object'] }
  try {
    for (let read = 0; read < 4; read += 1) found.push(await things.getById(id), ...(await things.list()))
  } finally {
    delete everywhere.added
  }
  const stored = await things.getById(id)
  for (const one of found) assert.deepEqual(one, stored)
  await things.close()
}))

test('changing what a read returned changes no later read, whichever of them keeps the object', withProject(async (storage, project) => {
  const files = storage.getFileStorage(project.id)
  const file = await files.create(fileInput('a.ts'))
  for (const read of [
    () => files.getById(file.id),
    () => files.getByPath('a.ts'),
    async () => (await files.list())[0]!,
    async () => (await files.list({ includeContent: false }))[0]!,
  ]) {
    storage.clearCache()
    for (let round = 0; round < 5; round += 1) {
      const found = (await read())!
      assert.equal(found.name, file.name, `${read}, read ${round}`)
      found.name = 'changed by the caller'
    }
  }
}))
