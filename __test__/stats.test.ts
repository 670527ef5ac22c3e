// What `stats()` says of a database, for monitoring.
import assert from 'node:assert/strict'
import { stat } from 'node:fs/promises'
import { describe, test } from 'node:test'
import { IndexManager, projectStorage, type StorageStats } from '../index.js'
import { caught, dataPath, fileInput, filesPath, projectInput, projectsPath, withDirectory, withProject, withStorage } from './support/index.js'
import { Things } from './support/things.js'

const collection = (stats: StorageStats, path: string) => stats.collections.find((found) => found.path === path)

describe('stats()', () => {
  test('reports the files and documents of each collection', withDirectory(async ({ base, open }) => {
    const first = open()
    const project = await first.create(projectInput())
    await first.addFile(project.id, fileInput('a.ts'))
    await first.close()
    const storage = open()
    await storage.list()
    const stats = await storage.stats()
    assert.equal(stats.directory, dataPath(base))
    const { size } = await stat(projectsPath(base))
    assert.deepEqual(collection(stats, 'projects.json'), {
      path: 'projects.json', documents: 1, bytes: size, changedDocuments: 0, changedBytes: 0,
    })
    const files = collection(stats, `project_data/${project.id}/files.json`)
    assert.deepEqual([files?.documents, files?.bytes], [null, (await stat(filesPath(base, project.id))).size])
  }))

  test('counts the batches, documents, bytes and syncs of a write', withProject(async (storage, project) => {
    const before = await storage.stats()
    const files = storage.getFileStorage(project.id)
    const content = 'x'.repeat(10_000)
    await files.createMany([1, 2, 3].map((n) => fileInput(`${n}.ts`, content)))
    const after = await storage.stats()
    assert.equal(after.writes.batches - before.writes.batches, 1)
    assert.equal(after.writes.documents - before.writes.documents, 3)
    assert.ok(after.writes.documentBytes - before.writes.documentBytes > 30_000)
    assert.ok(after.writes.amplification! > 1 && after.writes.amplification! < 3)
    // A checkpoint in the background takes sequence numbers of its own.
    assert.ok(after.sequence.last > before.sequence.last)
    assert.equal(after.sequence.durable, after.sequence.last)
    assert.ok(after.syncs.count > before.syncs.count && after.syncs.longest > 0)
  }))

  test('reports when the last checkpoint was', withDirectory(async ({ open }) => {
    const [storage, other] = [open(), open()]
    await storage.list()
    const begun = Date.now()
    await other.create(projectInput())
    await other.close()
    const { checkpoints, sequence, journal } = await storage.stats()
    assert.equal(checkpoints.failed, 0)
    assert.ok(checkpoints.count >= 1)
    assert.ok(checkpoints.last!.at >= begun && checkpoints.last!.age >= 0 && checkpoints.last!.duration > 0)
    assert.equal(sequence.covered, sequence.last)
    assert.equal(journal.pendingBytes, 0)
  }))

  test('reports the same cache figures as getCacheStats()', withProject(async (storage, project) => {
    for (let n = 0; n < 10; n++) await storage.getById(project.id)
    const { cache } = await storage.stats()
    assert.deepEqual(cache, storage.getCacheStats())
    assert.ok(cache.hits >= 9 && cache.hitRate > 0.5)
  }))

  test('counts an update that lost to another as a conflict', withDirectory(async ({ base }) => {
    const storages = [1, 2, 3, 4].map(() => new Things({ basePath: base }))
    const { id } = await storages[0]!.create({ name: 'a' })
    await Promise.all(storages.map((storage) => storage.getById(id)))
    await Promise.all(storages.map((storage, size) => storage.update(id, { size })))
    assert.ok((await storages[0]!.stats()).writes.conflicts > 0)
    await Promise.all(storages.map((storage) => storage.close()))
  }))

  test('is the same through a file storage and an index manager', withProject(async (storage, project, { base }) => {
    const indexes = new IndexManager(base, 'data/project_storage')
    const all = await Promise.all([storage, storage.getFileStorage(project.id), indexes].map((one) => one.stats()))
    const [own, files, byHand] = all.map(({ directory, opened, writes, sequence }) => ({ directory, opened, writes, last: sequence.last }))
    assert.deepEqual(files, own)
    assert.deepEqual(byHand, own)
    assert.deepEqual(all.map(({ cache }) => cache.enabled), [true, true, false])
    await indexes.close()
  }))

  test('writes nothing', withStorage(async (storage) => {
    await storage.stats()
    const after = await storage.stats()
    assert.deepEqual(after.writes, {
      groups: 0, batches: 0, documents: 0, documentBytes: 0, journalBytes: 0, snapshotBytes: 0, indexBytes: 0,
      amplification: null, conflicts: 0,
    })
    assert.equal(after.sequence.last, 0)
  }))

  test('fails with CLOSED after close()', withStorage(async (storage, { base }) => {
    await storage.close()
    assert.equal((await caught(storage.stats())).code, 'CLOSED')
    const indexes = new IndexManager(base, 'data/project_storage')
    await indexes.close()
    assert.equal((await caught(indexes.stats())).code, 'CLOSED')
  }))

  test('is a method of the ready-made storage', () => {
    assert.equal(typeof projectStorage.stats, 'function')
  })
})
