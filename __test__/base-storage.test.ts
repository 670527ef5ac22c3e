import assert from 'node:assert/strict'
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { describe, test } from 'node:test'
import { BaseStorage, ProjectFileStorage, ProjectStorageV2 } from '../index.js'
import {
  caught, fileInput, fileRecord, filesPath, projectInput, projectRecord, projectsPath, readJson, withDirectory,
  withProject, withStorage,
} from './support/index.js'
import { Things, thing, thingSchema } from './support/things.js'
import type { Thing } from './support/things.js'

describe('the classes', () => {
  test('share one base class', withProject(async (storage, project) => {
    assert.ok(storage instanceof BaseStorage)
    const files = storage.getFileStorage(project.id)
    assert.ok(files instanceof ProjectFileStorage)
    assert.ok(files instanceof BaseStorage)
  }))

  test('know where their data is stored', withDirectory(async ({ base }) => {
    class Paths extends ProjectStorageV2 {
      get paths() {
        return [this.basePath, this.dataDir, this.getIndexPath()]
      }
    }
    const storage = new Paths({ basePath: base })
    const [basePath, dataDir, index] = storage.paths
    assert.equal(basePath, base)
    assert.equal(join(basePath!, dataDir!), join(base, 'data', 'project_storage'))
    assert.equal(index, projectsPath(base))
    await storage.close()
  }))

  test('can be extended', withDirectory(async ({ base }) => {
    class Loud extends ProjectStorageV2 {
      override async create(data: { name: string; path: string }) {
        return super.create({ ...data, name: data.name.toUpperCase() })
      }
    }
    const storage = new Loud({ basePath: base })
    const project = await storage.create({ name: 'quiet', path: '/q' })
    assert.equal((await storage.getById(project.id))?.name, 'QUIET')
    await storage.close()
  }))
})

describe('generateId', () => {
  test('gives a thousand different integers in range', withStorage(async (storage) => {
    const ids = Array.from({ length: 1000 }, () => storage.generateId())
    assert.equal(new Set(ids).size, 1000)
    assert.ok(ids.every((id) => Number.isInteger(id) && id >= 0 && id <= 2_524_608_000_000))
  }))

  test('never gives an id that create gave', withStorage(async (storage) => {
    const ids: number[] = []
    for (let n = 0; n < 50; n++) ids.push(storage.generateId(), (await storage.create(projectInput(`p${n}`))).id)
    assert.equal(new Set(ids).size, 100)
  }))

  test('avoids ids that are stored already', withStorage(async (storage) => {
    const next = storage.generateId() + 1
    const taken = Array.from({ length: 200 }, (_, n) => projectRecord(next + n))
    await storage.writeProjects(Object.fromEntries(taken.map((project) => [project.id, project])))
    await Promise.all(Array.from({ length: 50 }, (_, n) => storage.create(projectInput(`p${n}`))))
    assert.equal((await storage.list()).length, 250)
    for (const project of taken) assert.deepEqual(await storage.getById(project.id), project)
  }))
})

describe('update', () => {
  test('loses none of 100 concurrent updates of different fields and files', withProject(async (storage, project) => {
    const files = storage.getFileStorage(project.id)
    const fields = ['name', 'path', 'summary', 'meta', 'extension'] as const
    const created = await files.createMany(Array.from({ length: 20 }, (_, n) => fileInput(`f${n}`)))
    await Promise.all(created.flatMap(({ id }) => fields.map((field) => files.update(id, { [field]: `new ${field}` }))))
    for (const file of await files.list()) {
      for (const field of fields) assert.equal(file[field], `new ${field}`)
    }
  }))

  test('does not bring back a document that is deleted meanwhile', withProject(async (storage, { id }) => {
    const [, , deleted] = await Promise.all([storage.update(id, { name: 'a' }), storage.update(id, { name: 'b' }), storage.delete(id)])
    assert.equal(deleted, true)
    assert.equal(await storage.getById(id), null)
  }))

  const withThings = (work: (things: Things) => Promise<void>) => withDirectory(async ({ base }) => {
    const things = new Things({ basePath: base })
    await work(things)
    await things.close()
  })

  test('replaces a nested object as a whole', withThings(async (things) => {
    const { id } = await things.create({ name: 'a', nested: { a: 1, b: 2 } } as never)
    const patched: any = await things.update(id, { nested: { a: 3 } } as never)
    assert.deepEqual(patched.nested, { a: 3 })
  }))

  const updates: [string, (things: Things, id: number, patch: object) => Promise<unknown>][] = [
    ['update', (things, id, patch) => things.update(id, patch)],
    ['updateMany', (things, id, data) => things.updateMany([{ id, data }])],
    ['a transaction', (things, id, patch) => things.transaction((tx) => tx.update(id, patch))],
  ]
  for (const [where, update] of updates) {
    test(`in ${where} removes a field that is undefined, so that it gets its default again`, withThings(async (things) => {
      const { id } = await things.create({ name: 'a', size: 5, note: 'n' } as never)
      await update(things, id, { size: undefined, note: undefined })
      const { created, updated, ...rest } = (await things.getById(id))!
      assert.deepEqual(rest, { id, name: 'a', size: 1 })
    }))
  }

  test('does not bring back an entity that another instance deletes while the schema checks it', withDirectory(async ({ base }) => {
    const { validate, ...about } = thingSchema['~standard']
    let meanwhile: () => Promise<unknown> = async () => {}
    const schema = { '~standard': { ...about, validate: async (value: unknown) => (await meanwhile(), validate(value)) } }
    const [things, other] = [new Things({ basePath: base, schema }), new Things({ basePath: base })]
    const { id } = await things.create({ name: 'a' })
    meanwhile = () => other.delete(id)
    assert.equal(await things.update(id, { name: 'b' }), null)
    assert.deepEqual(await things.list(), [])
    await Promise.all([things.close(), other.close()])
  }))
})

describe('readAll and writeAll', () => {
  test('replace and return the whole map, with ids ascending', withStorage(async (storage) => {
    const map = { 3: projectRecord(3), 1: projectRecord(1), 2: projectRecord(2) }
    assert.deepEqual(await storage.writeAll(map), map)
    assert.deepEqual(Object.keys(await storage.readAll()), ['1', '2', '3'])
    await storage.writeAll({ 2: projectRecord(2, { name: 'b' }) })
    assert.deepEqual(await storage.readAll(), { 2: projectRecord(2, { name: 'b' }) })
  }))

  test('keep the `updated` of entities that did not change', withProject(async (storage, project) => {
    await storage.writeAll(await storage.readAll())
    assert.deepEqual(await storage.getById(project.id), project)
  }))
})

describe('writeAll of a storage of your own', () => {
  test('takes entities that are nested as deep as an entity may be', withDirectory(async ({ base }) => {
    await using storage = new Things({ basePath: base })
    let deep: unknown = 1
    // The entity itself is one more level.
    for (let level = 1; level < 100; level += 1) deep = [deep]
    const stored = await storage.create({ name: 'deep', deep } as any)
    const map = await storage.readAll()
    assert.deepEqual(await storage.writeAll(map), { [stored.id]: stored })
    assert.equal((await caught(storage.writeAll({ 1: thing(1, { deep: [deep] } as any) }))).code, 'VALIDATION_ERROR')
  }))
})

describe('the files on disk', () => {
  test('are current after close: one document a line, ids ascending', withStorage(async (storage, { base }) => {
    const map = { 3: projectRecord(3), 1: projectRecord(1), 2: projectRecord(2) }
    await storage.writeProjects(map)
    await storage.close()
    const text = await readFile(projectsPath(base), 'utf8')
    assert.deepEqual(JSON.parse(text), map)
    const documents = text.split('\n').filter((line) => line.includes('"id"'))
    assert.deepEqual(documents.map((line) => Number(/"id":\s*(\d+)/.exec(line)?.[1])), [1, 2, 3])
  }))

  test('are current after close while another instance is open', withStorage(async (storage, { base, open }) => {
    const other = open()
    const project = await other.create(projectInput())
    await storage.list()
    await storage.close()
    assert.deepEqual(await readJson(projectsPath(base)), { [project.id]: project })
  }))

  test('hold the files of each project in its own folder', withProject(async (storage, project, { base }) => {
    const file = await storage.addFile(project.id, fileInput('a'))
    await storage.close()
    assert.deepEqual(await readJson(filesPath(base, project.id)), { [file.id]: file })
  }))
})

describe("an entity of a BaseStorage subclass", () => {
  const any = { '~standard': { version: 1, vendor: 'test', validate: (value: unknown) => ({ value }) } }
  const withThings = (work: (things: Things, base: string) => Promise<void>) => withDirectory(async ({ base }) => {
    const entityPath = (id: unknown) => join(base, 'own', String(id))
    const things = new Things({ basePath: base, schema: any, entityPath })
    await work(things, base)
    await things.close()
  })

  test('gets its `created` and `updated` from the storage, whatever is given', withThings(async (things) => {
    const given = { id: 5, created: 1, updated: 1 } as object
    const before = Date.now()
    const created = await things.create({ name: 'a', ...given })
    assert.ok(created.created >= before && created.updated === created.created && created.id !== 5)
    const updated = await things.update(created.id, { name: 'b', ...given })
    assert.deepEqual([updated!.id, updated!.created], [created.id, created.created])
    assert.ok(updated!.updated >= created.updated)
  }))

  test('never gets an earlier `updated`, whatever the clock says', withThings(async (things) => {
    const future = Date.now() + 3_600_000
    await things.writeAll({ 1: { id: 1, name: 'a', size: 1, created: 1, updated: future }, 2: { id: 2, name: 'b', size: 1, created: 1 } as Thing })
    assert.equal((await things.update(1, { size: 2 }))!.updated, future)
    assert.ok((await things.update(2, { size: 2 }))!.updated > 1)
  }))

  test('keeps a string that is given as its id', withThings(async (things) => {
    assert.equal((await things.create({ name: 'a', id: 'mine' } as any)).id, 'mine')
  }))

  for (const where of ['', ' in a transaction']) {
    test(`keeps what lies at its path after it is created again${where}, even after a crash`, withThings(async (things, base) => {
      const entity = { name: 'a', id: 'mine' } as any
      const create = () => (where === '' ? things.create(entity) : things.transaction((tx) => tx.create(entity)))
      const place = join(base, 'own', 'mine')
      await mkdir(dirname(place))
      for (const content of ['old', 'new']) {
        await create()
        await writeFile(place, content)
        if (content === 'old') await things.delete('mine' as any)
      }
      // What a crash would leave at this moment.
      const crashed = join(base, 'crashed')
      for (const name of ['data', 'own']) await cp(join(base, name), join(crashed, name), { recursive: true })
      const again = new Things({ basePath: crashed, schema: any })
      assert.equal((await again.list()).length, 1)
      await again.close()
      assert.equal(await readFile(join(crashed, 'own', 'mine'), 'utf8'), 'new')
    }))
  }
})

describe('the cache', () => {
  test('counts one hit or one miss for each read', withProject(async (storage, project) => {
    storage.clearCache()
    const start = storage.getCacheStats()
    await storage.getById(project.id)
    const missed = storage.getCacheStats()
    await storage.getById(project.id)
    const hit = storage.getCacheStats()
    assert.deepEqual([missed.hits - start.hits, missed.misses - start.misses], [0, 1])
    assert.deepEqual([hit.hits - missed.hits, hit.misses - missed.misses], [1, 0])
    assert.equal(hit.hitRate, hit.hits / (hit.hits + hit.misses))
  }))

  test('counts one for each call that reads, and none for transactions and iterations', withProject(async (storage, { id }) => {
    const files = storage.getFileStorage(id)
    const file = await files.create(fileInput('a.ts'))
    for (let n = 2; n <= 5; n++) await files.createVersion(file.id, `version ${n}`)
    const counted: (() => Promise<unknown>)[] = [
      () => files.getVersions(file.id), () => files.getVersion(file.id, 3), () => files.getVersion(file.id, 99), () => files.getLatestVersion(file.id),
      () => files.getVersions(4711), () => files.getVersion(4711, 1), () => files.getLatestVersion(4711),
      () => storage.getFileVersions(id, file.id), () => storage.getFileVersion(id, file.id, 1), () => storage.getLatestFileVersion(id, file.id),
      () => files.getById(file.id), () => files.getById(4711), () => files.getByPath('a.ts'), () => files.getByPath('none'),
      () => files.getByExtension('ts'), () => files.search('version'), () => files.list(), () => files.list({ includeContent: false }),
      () => files.list({ includeAllVersions: false }), () => files.readAll(), () => files.query({ where: { path: 'a.ts' } }),
      () => storage.findByName('Sample'), () => storage.getByPath('/srv/Sample'), () => storage.getRecent(), () => storage.search('sample'),
    ]
    const uncounted: (() => Promise<unknown>)[] = [
      () => files.transaction((tx) => tx.getById(file.id)), () => files.transaction((tx) => tx.list()),
      async () => { for await (const _ of files.iterate()) void _ },
    ]
    const countOf = async (read: () => Promise<unknown>) => {
      const before = storage.getCacheStats()
      await read()
      const after = storage.getCacheStats()
      return after.hits - before.hits + after.misses - before.misses
    }
    for (let round = 0; round < 3; round++) {
      if (round === 1) storage.clearCache()
      for (const read of counted) assert.equal(await countOf(read), 1, `${read}, round ${round}`)
      for (const read of uncounted) assert.equal(await countOf(read), 0, `${read}, round ${round}`)
    }
  }))

  test('never holds more than maxCacheSize', withDirectory(async ({ open }) => {
    const storage = open({ maxCacheSize: 5 })
    for (let n = 0; n < 20; n++) {
      const { id } = await storage.create(projectInput(`p${n}`))
      await storage.getById(id)
      assert.ok(storage.getCacheStats().size <= 5)
    }
    assert.equal((await storage.list()).length, 20)
    assert.ok(storage.getCacheStats().size <= 5)
    assert.equal(storage.getCacheStats().maxSize, 5)
  }))

  test('is empty after clearCache, and no stored entity changes', withProject(async (storage, project) => {
    await storage.getById(project.id)
    storage.clearCache()
    assert.equal(storage.getCacheStats().size, 0)
    assert.deepEqual(await storage.getById(project.id), project)
  }))

  test('shares no object with the results of any read', withProject(async (storage, { id, path }, { base }) => {
    const files = storage.getFileStorage(id)
    const file = await files.create(fileInput('a.ts'))
    const things = new Things({ basePath: base, dataDir: 'things', indexes: [{ name: 'by_size', type: 'hash', fields: ['size'] }] })
    const nested = await things.create({ name: 'a', size: 1, nested: { list: [{ a: 1 }] } } as any)
    const spoil = (value: any) => {
      for (const key of Object.keys(value)) {
        if (typeof value[key] === 'object' && value[key] !== null) spoil(value[key])
        else value[key] = 'spoilt'
      }
    }
    for (const read of [
      () => storage.getById(id), () => storage.list(), () => storage.readAll(), () => storage.getByPath(path), () => storage.getRecent(),
      () => files.getById(file.id), () => files.getByPath('a.ts'), () => files.list(), () => files.list({ includeContent: false }),
      () => storage.readProjectFiles(id), () => files.getByExtension('ts'), () => files.getVersions(file.id),
      () => things.getById(nested.id), () => things.list(), () => things.readAll(), () => things.findBy('by_size', 1), () => things.query(),
    ] as (() => Promise<any>)[]) {
      const expected = structuredClone(await read())
      for (let n = 0; n < 5; n += 1) {
        const found = await read()
        assert.deepEqual(found, expected, String(read))
        spoil(found)
      }
    }
    await things.close()
  }))

  test('holds nothing when it is disabled', withDirectory(async ({ open }) => {
    const storage = open({ cacheEnabled: false })
    const project = await storage.create(projectInput())
    for (let n = 0; n < 2; n++) assert.deepEqual([await storage.getById(project.id), await storage.list()], [project, [project]])
    const { enabled, size, hits } = storage.getCacheStats()
    assert.deepEqual({ enabled, size, hits }, { enabled: false, size: 0, hits: 0 })
  }))

  test('forgets an entry after cacheTTL', withDirectory(async ({ open }) => {
    const storage = open({ cacheTTL: 1 })
    const { id } = await storage.create(projectInput())
    const { misses } = storage.getCacheStats()
    for (let n = 0; storage.getCacheStats().misses < misses + 2; n++) {
      assert.ok(n < 5000, 'every read was a hit')
      await storage.getById(id)
      await new Promise((resolve) => setTimeout(resolve, 2))
    }
    assert.equal(storage.getCacheStats().ttl, 1)
  }))

  test('has a hit rate of 0 before the first read', withStorage(async (storage) => {
    assert.equal(storage.getCacheStats().hitRate, 0)
  }))
})

test('rebuildIndexes leaves every answer as it was', withStorage(async (storage) => {
  await storage.writeProjects({ 1: projectRecord(1, { name: 'one' }), 2: projectRecord(2, { name: 'two' }) })
  await storage.writeProjectFiles(1, { 5: fileRecord(5, 1) })
  await storage.rebuildIndexes()
  await storage.getFileStorage(1).rebuildIndexes()
  assert.deepEqual((await storage.findByName('two')).map(({ id }) => id), [2])
  assert.deepEqual((await storage.search('one')).map(({ id }) => id), [1])
  assert.equal((await storage.getFileStorage(1).getByPath('src/5.ts'))?.id, 5)
}))

describe('close', () => {
  test('waits for the writes that have begun', withStorage(async (storage, { open }) => {
    const writes = Array.from({ length: 20 }, (_, n) => storage.create(projectInput(`p${n}`)))
    await storage.close()
    const created = await Promise.all(writes)
    assert.deepEqual(new Set((await open().list()).map(({ id }) => id)), new Set(created.map(({ id }) => id)))
  }))

  test('may be called twice, even concurrently', withStorage(async (storage) => {
    await storage.create(projectInput())
    await Promise.all([storage.close(), storage.close()])
    assert.equal(await storage.close(), undefined)
  }))

  test('succeeds on a storage that was never used', withStorage(async (storage) => {
    assert.equal(await storage.close(), undefined)
    await assert.rejects(storage.list(), { code: 'CLOSED' })
  }))

  test('closes the file storages that were handed out', withProject(async (storage, project) => {
    const files = storage.getFileStorage(project.id)
    await storage.close()
    await assert.rejects(files.list(), { code: 'CLOSED' })
    await assert.rejects(files.create(fileInput('a')), { code: 'CLOSED' })
  }))

  test('of a file storage leaves its parent open', withProject(async (storage, project) => {
    const files = storage.getFileStorage(project.id)
    await files.close()
    await assert.rejects(files.list(), { code: 'CLOSED' })
    assert.deepEqual(await storage.getProjectFiles(project.id), [])
    assert.deepEqual(await storage.getFileStorage(project.id).list(), [])
  }))

  test('happens at the end of an await using', withDirectory(async ({ base }) => {
    let kept: ProjectStorageV2
    {
      await using storage = new ProjectStorageV2({ basePath: base })
      await storage.create(projectInput())
      kept = storage
    }
    await assert.rejects(kept.list(), { code: 'CLOSED' })
  }))

  test('makes every method reject with CLOSED', withProject(async (storage, { id }) => {
    const files = storage.getFileStorage(id)
    await storage.close()
    const calls: (() => Promise<unknown>)[] = [
      () => storage.create(projectInput()),
      () => storage.getById(id),
      () => storage.update(id, {}),
      () => storage.delete(id),
      () => storage.list(),
      () => storage.deleteAll(),
      () => storage.readAll(),
      () => storage.writeAll({}),
      () => storage.rebuildIndexes(),
      () => storage.findByName('a'),
      () => storage.findByPath('a'),
      () => storage.getByPath('a'),
      () => storage.listByDateRange(0, 1),
      () => storage.search('a'),
      () => storage.getRecent(),
      () => storage.addFile(id, fileInput('a')),
      () => storage.getProjectFiles(id),
      () => storage.searchFiles(id, 'a'),
      () => storage.readProjects(),
      () => storage.writeProjects({}),
      () => storage.readProjectFiles(id),
      () => storage.writeProjectFiles(id, {}),
      () => storage.readProjectFile(id, 1),
      () => storage.updateProjectFile(id, 1, {}),
      () => storage.createFileVersion(id, 1, ''),
      () => storage.getFileVersions(id, 1),
      () => storage.getFileVersion(id, 1, 1),
      () => storage.getLatestFileVersion(id, 1),
      () => storage.revertToVersion(id, 1, 1),
      () => storage.deleteProjectData(id),
      () => storage.getProjectFileArray(id),
      () => files.createMany([]),
      () => files.updateMany([]),
      () => files.deleteMany([]),
      () => files.getByExtension('ts'),
      () => files.createVersion(1, ''),
      () => files.getVersions(1),
      () => files.getVersion(1, 1),
      () => files.getLatestVersion(1),
      () => files.revertToVersion(1, 1),
    ]
    for (const call of calls) await assert.rejects(call(), { code: 'CLOSED' }, String(call))
  }))
})
