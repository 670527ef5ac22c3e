// The stack of an error leads to the code that made the call, though it is answered in a turn of its own.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { IndexManager, MigrationManager } from '../index.js'
import type { Project, ProjectStorageV2 } from '../index.js'
import { caught, fileInput, withDirectory, withProject } from './support/index.js'
import { Things } from './support/things.js'

/** Calls from a function of this name, some turns later. */
async function fromHere(call: () => Promise<unknown>) {
  await Promise.resolve()
  return await call()
}

async function leadsHere(call: () => Promise<unknown>) {
  const error = await caught(fromHere(call))
  assert.ok(error.stack.startsWith(`${error.name}: ${error.message}`), error.stack)
  assert.match(error.stack, /fromHere/)
}

const ofProjects: Record<string, (storage: ProjectStorageV2, project: Project) => Promise<unknown>> = {
  create: (storage) => storage.create({ name: '', path: '/' }),
  update: (storage, { id }) => storage.update(id, { name: '' }),
  writeProjects: (storage) => storage.writeProjects({ 1: {} as never }),
  query: (storage) => storage.query({ where: { name: { $wrong: 1 } } as never }),
  addFile: (storage) => storage.addFile(4711, fileInput('a')),
  updateProjectFile: (storage, { id }) => storage.updateProjectFile(id, 4711, {}),
  createFileVersion: (storage, { id }) => storage.createFileVersion(id, 4711, ''),
  writeProjectFiles: (storage, { id }) => storage.writeProjectFiles(id, { 1: { id: 2 } as never }),
  createMany: (storage, { id }) => storage.getFileStorage(id).createMany([{} as never]),
  createFromStream: (storage, { id }) => storage.getFileStorage(id).createFromStream({ name: 'a', path: 1 as never }, ['a']),
}

describe('the stack of an error leads to the caller', () => {
  for (const [name, call] of Object.entries(ofProjects)) {
    test(`of ${name}`, withProject((storage, project) => leadsHere(() => call(storage, project))))
  }

  test('of the writes of a storage with a schema', withDirectory(async ({ base }) => {
    const things = new Things({ basePath: base, indexes: [{ name: 'by_name', type: 'hash', fields: ['name'], unique: true }] })
    await things.create({ name: 'taken' })
    const { id } = await things.create({ name: 'other' })
    await leadsHere(() => things.create({ name: 'taken' }))
    await leadsHere(() => things.update(id, { name: 'taken' }))
    await leadsHere(() => things.findBy('no_index', 1))
    await things.close()
  }))

  test('of a step of a transaction', withProject(async (storage) => {
    const call = () => storage.transaction((tx) => leadsHere(() => tx.create({ name: '', path: '/' })))
    await call()
  }))

  test('of an index and of a migration', withDirectory(async ({ base }) => {
    const [indexes, manager] = [new IndexManager(base, 'data/i'), new MigrationManager(base, { logger: null })]
    await leadsHere(() => indexes.addToIndex('no_index', 1, {}))
    await leadsHere(() => manager.migrate('9.9.9'))
    await leadsHere(() => manager.restore('no-backup'))
    await indexes.close()
    await manager.close()
  }))
})
