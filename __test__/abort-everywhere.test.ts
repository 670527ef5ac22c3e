// Aborting calls: before they start, while they wait for a lock or for other calls, and in the middle.
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { IndexManager, ProjectStorageV2 } from '../index.js'
import type { CallOptions, StandardSchemaV1 } from '../index.js'
import { caught, fileInput, fileRecord, projectInput, projectRecord, until, withDirectory, withProject } from './support/index.js'
import { dataOf, holder, noting, withManagers } from './support/migrations.js'
import { Things, thing, thingSchema, withThings } from './support/things.js'

const reason = new Error('enough')

const isAborted = (name: string, error: { code: string; cause: unknown; reason: unknown; outcome: unknown }) => {
  assert.deepEqual([error.code, error.cause, error.reason, error.outcome], ['ABORTED', reason, reason, 'none'], `${name}: ${error}`)
}

type Calls = Record<string, (options: CallOptions) => Promise<unknown>>

/** The writes of a caller's own storage; `id` is the id of an entity. */
const writesOfThings = (things: Things, id: number): Calls => ({
  create: (options) => things.create({ name: 'new' }, options),
  update: (options) => things.update(id, { name: 'changed' }, options),
  delete: (options) => things.delete(id, options),
  createMany: (options) => things.createMany([{ name: 'new' }], options),
  updateMany: (options) => things.updateMany([{ id, data: { name: 'changed' } }], options),
  deleteMany: (options) => things.deleteMany([id], options),
  deleteAll: (options) => things.deleteAll(options),
  writeAll: (options) => things.writeAll({ 7: thing(7) }, options),
  transaction: (options) => things.transaction((tx) => tx.create({ name: 'new' }), options),
})

const writesOfProjects = (storage: ProjectStorageV2, id: number, fileId: number): Calls => {
  const files = storage.getFileStorage(id)
  return {
    create: (options) => storage.create(projectInput('new'), options),
    update: (options) => storage.update(id, { name: 'changed' }, options),
    delete: (options) => storage.delete(id, options),
    createMany: (options) => storage.createMany([projectInput('new')], options),
    updateMany: (options) => storage.updateMany([{ id, data: { name: 'changed' } }], options),
    deleteMany: (options) => storage.deleteMany([id], options),
    deleteAll: (options) => storage.deleteAll(options),
    writeAll: (options) => storage.writeAll({ 7: projectRecord(7) }, options),
    writeProjects: (options) => storage.writeProjects({ 7: projectRecord(7) }, options),
    addFile: (options) => storage.addFile(id, fileInput('new'), options),
    writeProjectFiles: (options) => storage.writeProjectFiles(id, { 7: fileRecord(7, id) }, options),
    updateProjectFile: (options) => storage.updateProjectFile(id, fileId, { summary: 'changed' }, options),
    createFileVersion: (options) => storage.createFileVersion(id, fileId, 'new', undefined, options),
    revertToVersion: (options) => storage.revertToVersion(id, fileId, 1, options),
    deleteProjectData: (options) => storage.deleteProjectData(id, options),
    transaction: (options) => storage.transaction((tx) => tx.update(id, { name: 'changed' }), options),
    'files.create': (options) => files.create(fileInput('new'), options),
    'files.createMany': (options) => files.createMany([fileInput('new')], options),
    'files.update': (options) => files.update(fileId, { summary: 'changed' }, options),
    'files.updateMany': (options) => files.updateMany([{ id: fileId, data: { summary: 'changed' } }], options),
    'files.delete': (options) => files.delete(fileId, options),
    'files.deleteMany': (options) => files.deleteMany([fileId], options),
    'files.deleteAll': (options) => files.deleteAll(options),
    'files.writeAll': (options) => files.writeAll({ 7: fileRecord(7, id) }, options),
    'files.createVersion': (options) => files.createVersion(fileId, 'new', undefined, options),
    'files.revertToVersion': (options) => files.revertToVersion(fileId, 1, options),
    'files.createFromStream': (options) => files.createFromStream({ name: 'new', path: 'new' }, ['x'], options),
  }
}

async function allAborted(calls: Calls, signal: AbortSignal) {
  for (const [name, call] of Object.entries(calls)) isAborted(name, await caught(call({ signal })))
}

describe('an already aborted signal', () => {
  const signal = AbortSignal.abort(reason)

  test('rejects every call of a BaseStorage subclass', withDirectory(async ({ base }) => {
    const things = new Things({ basePath: base, indexes: [{ name: 'size', type: 'btree', fields: ['size'] }, { name: 'words', type: 'inverted', fields: ['name'] }] })
    const { id } = await things.create({ name: 'a' })
    let ran = false
    await allAborted({
      ...writesOfThings(things, id),
      getById: (options) => things.getById(id, options),
      list: (options) => things.list(options),
      readAll: (options) => things.readAll(options),
      findBy: (options) => things.findBy('size', 1, options),
      findRange: (options) => things.findRange('size', 0, 2, true, options),
      searchBy: (options) => things.searchBy('words', 'a', options),
      rebuildIndexes: (options) => things.rebuildIndexes(options),
      verify: (options) => things.verify(options),
      repair: (options) => things.repair(options),
      withLock: (options) => things.protectedCalls().withLock('key', () => void (ran = true), options),
    }, signal)
    assert.equal(ran, false)
    assert.deepEqual((await things.list()).map(({ name }) => name), ['a'])
    await things.close()
  }))

  test('rejects every call on projects and files', withProject(async (storage, { id, name }) => {
    const file = await storage.addFile(id, fileInput('a.ts'))
    const files = storage.getFileStorage(id)
    await allAborted({
      ...writesOfProjects(storage, id, file.id),
      findByName: (options) => storage.findByName('a', options),
      findByPath: (options) => storage.findByPath('a', options),
      getByPath: (options) => storage.getByPath('a', options),
      listByDateRange: (options) => storage.listByDateRange(0, 1, options),
      getRecent: (options) => storage.getRecent(1, options),
      readProjects: (options) => storage.readProjects(options),
      readProjectFiles: (options) => storage.readProjectFiles(id, options),
      readProjectFile: (options) => storage.readProjectFile(id, file.id, options),
      getProjectFileArray: (options) => storage.getProjectFileArray(id, options),
      getFileVersions: (options) => storage.getFileVersions(id, file.id, options),
      getFileVersion: (options) => storage.getFileVersion(id, file.id, 1, options),
      getLatestFileVersion: (options) => storage.getLatestFileVersion(id, file.id, options),
      rebuildIndexes: (options) => storage.rebuildIndexes(options),
      'files.getById': (options) => files.getById(file.id, options),
      'files.list': (options) => files.list(options),
      'files.getByPath': (options) => files.getByPath('a.ts', options),
      'files.getByExtension': (options) => files.getByExtension('ts', options),
    }, signal)
    assert.deepEqual((await storage.list()).map((project) => project.name), [name])
    assert.deepEqual((await files.list()).map(({ path, version }) => [path, version]), [['a.ts', 1]])
  }))

  test('rejects every call of an IndexManager', withDirectory(async ({ base }) => {
    const indexes = new IndexManager(base, 'data')
    await indexes.createIndex({ name: 'by a', type: 'btree', fields: ['a'] })
    await allAborted({
      createIndex: (options) => indexes.createIndex({ name: 'other', type: 'hash', fields: ['a'] }, options),
      dropIndex: (options) => indexes.dropIndex('by a', options),
      listIndexes: (options) => indexes.listIndexes(options),
      addToIndex: (options) => indexes.addToIndex('by a', 1, { a: 1 }, options),
      removeFromIndex: (options) => indexes.removeFromIndex('by a', 1, options),
      query: (options) => indexes.query('by a', 1, options),
      queryRange: (options) => indexes.queryRange('by a', 1, 2, true, options),
      searchText: (options) => indexes.searchText('by a', 'x', options),
      rebuildIndex: (options) => indexes.rebuildIndex('by a', [{ id: 1 }], options),
      getIndexStats: (options) => indexes.getIndexStats('by a', options),
      verify: (options) => indexes.verify(options),
      repair: (options) => indexes.repair(options),
    }, signal)
    assert.deepEqual((await indexes.listIndexes()).map(({ name }) => name), ['by a'])
    await indexes.close()
  }))

  test('rejects migrations and backups', withManagers(async ({ manage }) => {
    const manager = manage()
    const notes: string[] = []
    manager.register(noting(notes, '1.0.0'))
    const backup = await manager.backup('one')
    await allAborted({
      migrate: (options) => manager.migrate(undefined, options),
      rollback: (options) => manager.rollback('0.0.0', options),
      backup: (options) => manager.backup('two', options),
      restore: (options) => manager.restore(backup, options),
      verifyBackup: (options) => manager.verifyBackup(backup, options),
    }, signal)
    assert.deepEqual([notes, (await manager.listBackups()).map(({ name }) => name)], [[], ['one']])
  }))

  test('differs from invalid options, which are refused with INVALID_ARGUMENT', withDirectory(async ({ base }) => {
    const things = new Things({ basePath: base })
    for (const options of [1, [], { signal: 1 }] as never[]) {
      assert.equal((await caught(things.create({ name: 'a' }, options))).code, 'INVALID_ARGUMENT')
    }
    assert.deepEqual(await things.list(), [])
    await things.close()
  }))
})

describe('an aborted write', () => {
  test('rejects with ABORTED and writes nothing if it was waiting for another process', withManagers(async ({ base, open }) => {
    const storage = open()
    const project = await storage.create(projectInput('before'))
    const file = await storage.addFile(project.id, fileInput('a.ts'))
    const things = new Things({ basePath: base })
    const { id } = await things.create({ name: 'before' })
    const other = await holder(base, 'wait')
    const controller = new AbortController()
    const options = { signal: controller.signal }
    const calls = { ...writesOfProjects(storage, project.id, file.id), ...writesOfThings(things, id) }
    const waiting = Object.entries(calls).map(async ([name, call]) => [name, await caught(call(options))] as const)
    // A later call is not affected.
    const later = things.update(id, { name: 'after' })
    await new Promise(setImmediate)
    controller.abort(reason)
    for (const [name, error] of await Promise.all(waiting)) isAborted(name, error)
    await other.goOn()
    assert.equal((await later)?.name, 'after')
    assert.deepEqual((await things.list()).map(({ name }) => name), ['after'])
    assert.deepEqual((await storage.list()).map(({ name }) => name).sort(), ['before', 'made by the migration'])
    const files = await storage.getProjectFileArray(project.id)
    assert.deepEqual(files.map(({ path, summary, version }) => [path, summary, version]), [['a.ts', null, 1]])
    await things.close()
  }))

  test('leaves the queue at once, so that closing need not wait for it', withManagers(async ({ base }) => {
    const things = new Things({ basePath: base, lockTimeout: 100 })
    await things.create({ name: 'before' })
    const patient = new Things({ basePath: base, lockTimeout: 3_600_000 })
    await patient.list()
    const other = await holder(base, 'wait')
    const controller = new AbortController()
    const write = caught(patient.create({ name: 'new' }, { signal: controller.signal }))
    controller.abort(reason)
    isAborted('create', await write)
    // This write is in the same queue: its turn comes once the aborted one has left.
    assert.equal((await caught(things.create({ name: 'new' }))).code, 'LOCK_TIMEOUT')
    await other.goOn()
    await Promise.all([things.close(), patient.close()])
  }))

  test('is either stored or rejected with ABORTED, never both', withDirectory(async ({ base }) => {
    const things = new Things({ basePath: base })
    await things.list()
    let outcomes = 0
    for (let round = 0; round < 100; round++) {
      const controller = new AbortController()
      const write = things.create({ name: `${round}` }, { signal: controller.signal }).then(() => true, (error) => {
        isAborted('create', error)
        return false
      })
      setTimeout(() => controller.abort(reason), round % 4)
      const written = await write
      assert.equal((await things.query({ where: { name: `${round}` } })).length, written ? 1 : 0)
      outcomes += Number(written)
    }
    assert.equal((await things.list()).length, outcomes)
    await things.close()
  }))
})

describe('aborting ends the wait', () => {
  test('for a key lock that is held in the same thread', withThings(async (things) => {
    const { withLock } = things.protectedCalls()
    const controller = new AbortController()
    let free: (() => void) | undefined
    const held = withLock('key', () => new Promise<void>((resolve) => (free = resolve)))
    await until('the lock', () => free)
    const second = caught(withLock('key', () => assert.fail('it ran'), { signal: controller.signal }))
    const third = withLock('key', () => 'third')
    controller.abort(reason)
    isAborted('withLock', await second)
    free!()
    await held
    assert.equal(await third, 'third')
  }))

  /** Opens a storage on a file that waits for its schema, which answers when it is told to. */
  const withForeignFile = (work: (things: Things, judged: () => number, judge: () => void) => Promise<void>) =>
    withDirectory(async ({ base }) => {
      await new Things({ basePath: base }).list()
      let judged = 0
      let judge = () => {}
      const told = new Promise<void>((resolve) => (judge = resolve))
      const slow: StandardSchemaV1<unknown, unknown> = {
        '~standard': {
          version: 1,
          vendor: 'test',
          async validate(value) {
            judged += 1
            await told
            return thingSchema['~standard'].validate(value)
          },
        },
      }
      await writeFile(join(base, 'data', 'things.json'), JSON.stringify({ 7: thing(7) }))
      const things = new Things({ basePath: base, schema: slow })
      await work(things, () => judged, judge)
      await things.close()
    })

  test('for the validation of a file, which goes on for the other waiting calls', withForeignFile(async (things, judged, judge) => {
    const controller = new AbortController()
    const other = things.getById(7)
    await until('the schema', () => judged() > 0)
    const calls = ['list', 'query', 'iterate', 'readAll', 'deleteAll', 'rebuildIndexes'].map(async (name) => {
      const call = (things as unknown as Calls)[name]!
      const options = { signal: controller.signal }
      if (name !== 'iterate') return [name, await caught(call.call(things, options))] as const
      return [name, await caught(things.iterate(options).next())] as const
    })
    await things.sequence()
    controller.abort(reason)
    for (const [name, error] of await Promise.all(calls)) isAborted(name, error)
    judge()
    assert.equal((await other)?.name, 'thing 7')
    assert.equal(judged(), 1)
  }))

  test('for the validation of a file, which stays unadopted if no other call waits', withForeignFile(async (things, judged, judge) => {
    const controller = new AbortController()
    const list = caught(things.list({ signal: controller.signal }))
    await until('the schema', () => judged() > 0)
    controller.abort(reason)
    isAborted('list', await list)
    judge()
    assert.deepEqual((await things.verify()).problems.map(({ code }) => code), ['NOT_ADOPTED'])
    assert.equal((await things.list()).length, 1)
    assert.equal(judged(), 2)
  }))

  test('for the opening of a feed, as closing does', withForeignFile(async (things, judged, judge) => {
    const controller = new AbortController()
    const feeds = [things.changes({ signal: controller.signal }), things.changes(), things.changes()] as const
    const [aborted, returned, closed] = feeds.map((feed) => feed.next())
    await until('the schema', () => judged() > 0)
    controller.abort(reason)
    isAborted('changes', await caught(aborted!))
    await feeds[1].return()
    assert.equal((await returned!).done, true)
    await things.close()
    assert.equal((await closed!).done, true)
    judge()
  }))

  test('for a schema that never answers, so that later writes and close() go on', withDirectory(async ({ base }) => {
    let answers = true
    const schema = {
      '~standard': {
        version: 1,
        vendor: 'test',
        validate: (value: unknown) => (answers ? thingSchema['~standard'].validate(value) : new Promise(() => {})),
      },
    }
    const things = new Things({ basePath: base, schema, mapSchema: schema })
    const { id } = await things.create({ name: 'before' })
    answers = false
    const controller = new AbortController()
    const { create, update, createMany, updateMany, writeAll } = writesOfThings(things, id)
    const waiting = Object.entries({ create, update, createMany, updateMany, writeAll }).map(async ([name, call]) => {
      return [name, await caught(call!({ signal: controller.signal }))] as const
    })
    await new Promise(setImmediate)
    answers = true
    const later = things.update(id, { size: 9 })
    controller.abort(reason)
    for (const [name, error] of await Promise.all(waiting)) isAborted(name, error)
    await later
    assert.deepEqual((await things.list()).map(({ name, size }) => [name, size]), [['before', 9]])
    await things.close()
  }))

  test('for a transaction to commit after conflicts', withThings(async (things) => {
    const { id } = await things.create({ name: 'a', size: 0 })
    const controller = new AbortController()
    let runs = 0
    const error = await caught(things.transaction(async (tx) => {
      runs += 1
      await tx.getById(id)
      await things.update(id, { size: runs })
      if (runs === 3) controller.abort(reason)
      await tx.update(id, { name: 'never' })
    }, { signal: controller.signal }))
    isAborted('transaction', error)
    assert.deepEqual([runs, (await things.getById(id))!.name], [3, 'a'])
  }))

  test('for another instance to let a repair begin', withThings(async (things, base) => {
    await things.create({ name: 'a' })
    const other = new Things({ basePath: base })
    await other.list()
    const controller = new AbortController()
    const repair = caught(things.repair({ signal: controller.signal }))
    await new Promise((resolve) => setTimeout(resolve, 20))
    controller.abort(reason)
    isAborted('repair', await repair)
    assert.equal((await things.list()).length, 1)
    await other.close()
  }))

  test('for another process to finish its migration', withManagers(async ({ base, manage }) => {
    const other = await holder(base, 'wait')
    const manager = manage()
    const controller = new AbortController()
    const options = { signal: controller.signal }
    const notes: string[] = []
    for (const version of ['1.0.0', '1.1.0']) manager.register(noting(notes, version))
    // The second call waits for the first.
    const calls = [caught(manager.migrate(undefined, options)), caught(manager.backup('one', options))]
    await new Promise((resolve) => setTimeout(resolve, 50))
    controller.abort(reason)
    for (const error of await Promise.all(calls)) isAborted('migrate', error)
    await other.goOn()
    // Of the aborted run, nothing is left in the way.
    assert.deepEqual([(await manager.migrate()).versions, notes], [['1.1.0'], ['up 1.1.0']])
  }))
})

describe('aborting a migration', () => {
  test('undoes it, keeps the migrations before it and runs none after it', withManagers(async ({ base, open, manage }) => {
    const storage = open()
    await storage.create(projectInput('before'))
    const manager = manage()
    const controller = new AbortController()
    const notes: string[] = []
    let before = {}
    manager.register(noting(notes, '1.0.0'))
    manager.register({
      version: '1.1.0',
      description: 'is given up',
      async up({ signal }) {
        before = await dataOf(base)
        await storage.create(projectInput('never'))
        controller.abort(reason)
        assert.equal(signal, controller.signal)
        await storage.create(projectInput('never'))
      },
    })
    manager.register(noting(notes, '1.2.0'))
    isAborted('migrate', await caught(manager.migrate(undefined, { signal: controller.signal })))
    assert.deepEqual(await dataOf(base), before)
    assert.deepEqual([notes, (await manager.getState()).currentVersion], [['up 1.0.0'], '1.0.0'])
    assert.deepEqual((await storage.list()).map(({ name }) => name), ['before'])
  }))

  test('fails with ABORTED, whatever its callback throws because of the signal', withManagers(async ({ manage }) => {
    const manager = manage()
    const controller = new AbortController()
    manager.register(noting([], '1.0.0', {
      up({ signal }) {
        controller.abort(reason)
        signal!.throwIfAborted()
      },
    }))
    isAborted('migrate', await caught(manager.migrate(undefined, { signal: controller.signal })))
  }))

  test('between two callbacks calls no other one', withManagers(async ({ manage }) => {
    const controller = new AbortController()
    const manager = manage({ logger: (line) => { if (line.includes('applied in')) controller.abort(reason) } })
    const notes: string[] = []
    for (const version of ['1.0.0', '1.1.0']) manager.register(noting(notes, version))
    isAborted('migrate', await caught(manager.migrate(undefined, { signal: controller.signal })))
    assert.deepEqual([notes, (await manager.getState()).currentVersion], [['up 1.0.0'], '1.0.0'])
  }))

  test('during its rollback leaves it applied', withManagers(async ({ manage }) => {
    const manager = manage()
    const controller = new AbortController()
    const notes: string[] = []
    manager.register(noting(notes, '1.0.0', { down: () => controller.abort(reason) }))
    await manager.migrate()
    isAborted('rollback', await caught(manager.rollback('0.0.0', { signal: controller.signal })))
    assert.equal((await manager.getState()).currentVersion, '1.0.0')
  }))
})
