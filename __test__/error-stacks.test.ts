import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { MigrationManager, ProjectStorageV2, StorageError } from '../index.js'
import type { IndexManager, Project } from '../index.js'
import { fileInput, withDirectory, withProject } from './support/index.js'
import { withIndexes } from './support/indexes.js'
import { Things } from './support/things.js'
import type { Thing } from './support/things.js'

/** Makes a call that native code refuses, and looks for the caller in the stack of the error. */
async function showsCaller(call: () => Promise<unknown>) {
  async function inTheirCode() {
    await call()
  }
  try {
    await inTheirCode()
  } catch (error) {
    assert.ok(error instanceof StorageError, String(error))
    assert.ok(error.stack!.startsWith(`${error.name}: ${error.message}`), error.stack)
    assert.match(error.stack!, /inTheirCode/)
    return
  }
  assert.fail('it was not refused')
}

type Calls<T> = Record<string, (stores: T) => Promise<unknown>>

const wrong = { name: 5 } as any

const ofProjects: Calls<{ storage: ProjectStorageV2; project: Project }> = {
  create: ({ storage }) => storage.create(wrong),
  update: ({ storage, project }) => storage.update(project.id, wrong),
  writeProjects: ({ storage }) => storage.writeProjects({ 1: wrong }),
  findBy: ({ storage }) => storage.findBy('nothing', 'a'),
  findRange: ({ storage }) => storage.findRange('nothing', 'a', 'b'),
  searchBy: ({ storage }) => storage.searchBy('nothing', 'a'),
  query: ({ storage }) => storage.query({ orderBy: 'no path at all..' } as any),
  addFile: ({ storage }) => storage.addFile(4711, fileInput('a')),
  updateProjectFile: ({ storage, project }) => storage.updateProjectFile(project.id, 4711, {}),
  writeProjectFiles: ({ storage, project }) => storage.writeProjectFiles(project.id, { 1: wrong }),
  createFileVersion: ({ storage, project }) => storage.createFileVersion(project.id, 4711, ''),
  revertToVersion: ({ storage, project }) => storage.revertToVersion(project.id, 4711, 1),
}

const ofFiles: typeof ofProjects = {
  createMany: ({ storage, project }) => storage.getFileStorage(project.id).createMany([wrong]),
  updateMany: ({ storage, project }) => storage.getFileStorage(project.id).updateMany([{ id: 4711, data: {} }]),
  search: ({ storage, project }) => storage.getFileStorage(project.id).query({ where: { path: { $regex: '(' } } } as any),
  createFromStream: ({ storage, project }) =>
    storage.getFileStorage(project.id).createFromStream({ path: 5 } as any, [new TextEncoder().encode('a')] as any),
}

const ofThings: Calls<{ things: Things; first: Thing; second: Thing }> = {
  create: ({ things }) => things.create({ name: 'first' } as any),
  update: ({ things, second }) => things.update(second.id, { name: 'first' }),
  writeAll: ({ things, first, second }) => things.writeAll({ [first.id]: first, [second.id]: { ...second, name: 'first' } }),
  findBy: ({ things }) => things.findBy('nothing', 'a'),
}

const ofIndexes: Calls<IndexManager> = {
  addToIndex: (indexes) => indexes.addToIndex('nothing', 1, {}),
  rebuildIndex: (indexes) => indexes.rebuildIndex('nothing', []),
  queryRange: (indexes) => indexes.queryRange('words', 'a', 'b'),
  searchText: (indexes) => indexes.searchText('keys', 'a'),
}

describe('the stack of an error shows the caller of', () => {
  for (const [name, call] of Object.entries(ofProjects)) {
    test(name, withProject((storage, project) => showsCaller(() => call({ storage, project }))))
  }

  for (const [name, call] of Object.entries(ofFiles)) {
    test(`${name} of files`, withProject((storage, project) => showsCaller(() => call({ storage, project }))))
  }

  for (const [name, call] of Object.entries(ofThings)) {
    test(`${name} of a BaseStorage subclass`, withDirectory(async ({ base }) => {
      const things = new Things({ basePath: base, indexes: [{ name: 'by_name', type: 'hash', fields: ['name'], unique: true }] })
      const first = await things.create({ name: 'first' } as any)
      const second = await things.create({ name: 'second' } as any)
      await showsCaller(() => call({ things, first, second }))
      await things.close()
    }))
  }

  for (const [name, call] of Object.entries(ofIndexes)) {
    test(`${name} of an IndexManager`, withIndexes(async (indexes) => {
      await indexes.createIndex({ name: 'keys', type: 'hash', fields: ['a'] })
      await indexes.createIndex({ name: 'words', type: 'inverted', fields: ['a'] })
      await showsCaller(() => call(indexes))
    }))
  }

  test('backup, restore, migrate and rollback of a MigrationManager', withDirectory(async ({ base }) => {
    const manager = new MigrationManager(base, { logger: null })
    await manager.backup('one')
    await showsCaller(() => manager.backup('one'))
    await showsCaller(() => manager.restore('nothing'))
    await showsCaller(() => manager.migrate('9.9.9'))
    await showsCaller(() => manager.rollback('9.9.9'))
    await manager.close()
  }))

  test('a call that is aborted while it waits', withProject(async (storage) => {
    const controller = new AbortController()
    await showsCaller(async () => {
      const found = storage.query({ signal: controller.signal })
      controller.abort()
      await found
    })
  }))

  const never = () => new Promise<never>(() => {})

  test('a call that is aborted while it waits for code of the caller', withDirectory(async ({ base }) => {
    const schema = { '~standard': { version: 1, vendor: 'test', validate: never } }
    const things = new Things({ basePath: base, schema })
    const { withLock } = things.protectedCalls()
    const waiting: Calls<AbortSignal> = {
      create: (signal) => things.create({ name: 'a' }, { signal }),
      transaction: (signal) => things.transaction(never, { signal }),
      changes: (signal) => things.changes({ signal }).next(),
      withLock: (signal) => withLock('key', () => withLock('key', never, { signal })),
    }
    for (const call of Object.values(waiting)) {
      const controller = new AbortController()
      // A call that is refused in the same turn has its caller on the stack anyway.
      setTimeout(() => controller.abort(), 20)
      await showsCaller(() => call(controller.signal))
    }
    await things.close()
  }))

  test('a call that waits for too long for code of the caller', withDirectory(async ({ base }) => {
    const things = new Things({ basePath: base, lockTimeout: 20 })
    const { withLock } = things.protectedCalls()
    await showsCaller(() => things.transaction(never))
    await showsCaller(() => withLock('key', () => withLock('key', never)))
    await things.close()
    await writeFile(join(base, 'edited.json'), '{"1":{"id":1}}')
    const schema = { '~standard': { version: 1, vendor: 'test', validate: never } }
    const edited = new Things({ basePath: base, file: 'edited.json', schema, lockTimeout: 20 })
    await showsCaller(() => edited.list())
    await edited.close()
  }))

  test('a step inside a transaction callback', withProject(async (storage) => {
    await showsCaller(() => storage.transaction(async function inTheirCode(tx) {
      await tx.create(wrong)
    }))
  }))
})
