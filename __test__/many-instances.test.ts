import assert from 'node:assert/strict'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { Worker } from 'node:worker_threads'
import { IndexManager, ProjectStorageV2 } from '../index.js'
import { openFiles, projectInput, until, withDirectory } from './support/index.js'

/** The most files that a database keeps open: locks, a journal and one snapshot. */
const FILES_OF_A_DATABASE = 8

describe('many at once', () => {
  test('thousands of instances on one directory share one engine', withDirectory(async ({ base }) => {
    const storages = Array.from({ length: 3000 }, () => new ProjectStorageV2({ basePath: base }))
    await Promise.all(storages.slice(0, 300).map((storage, n) => storage.create(projectInput(`p${n}`))))
    const counts = await Promise.all(storages.map(async (storage) => (await storage.list()).length))
    assert.ok(counts.every((count) => count === 300))
    const files = await openFiles(base)
    assert.ok(files === undefined || files.length <= FILES_OF_A_DATABASE, `${files}`)
    await Promise.all(storages.map((storage) => storage.close()))
  }))

  test('hundreds of databases keep a few files open each, and none once closed', withDirectory(async ({ base }) => {
    const places = Array.from({ length: 200 }, (_, n) => join(base, `place ${n}`))
    for (const basePath of places) await mkdir(basePath)
    const storages = places.map((basePath) => new ProjectStorageV2({ basePath, durability: 'os' }))
    await Promise.all(storages.map((storage, n) => storage.create(projectInput(`p${n}`))))
    const files = await openFiles(base)
    assert.ok(files === undefined || files.length <= FILES_OF_A_DATABASE * places.length, `${files}`)
    await Promise.all(storages.map((storage) => storage.close()))
    await until('all files to be closed', async () => !(await openFiles(base))?.length)
    const again = new ProjectStorageV2({ basePath: places[7]! })
    assert.deepEqual((await again.list()).map(({ name }) => name), ['p7'])
    await again.close()
  }))

  test('hundreds of databases used one after another keep the files of only a few open', withDirectory(async ({ base }) => {
    for (let n = 0; n < 200; n++) {
      const storage = new ProjectStorageV2({ basePath: join(base, `place ${n}`), durability: 'os' })
      const { id } = await storage.create(projectInput(`p${n}`))
      await storage.getById(id)
      await storage.close()
    }
    const files = await openFiles(base)
    assert.ok(files === undefined || files.length <= 5 * FILES_OF_A_DATABASE, `${files}`)
  }))

  test('closing during hundreds of writes loses no accepted write', withDirectory(async ({ open }) => {
    const storage = open()
    const writes = Array.from({ length: 300 }, (_, n) => storage.create(projectInput(`p${n}`)))
    const closing = storage.close()
    const late = await storage.create(projectInput('late')).catch((error) => error)
    assert.equal(late.code, 'CLOSED')
    const settled = await Promise.allSettled(writes)
    await closing
    assert.equal((await open().list()).length, settled.filter(({ status }) => status === 'fulfilled').length)
    assert.ok(settled.every(({ status }) => status === 'fulfilled'))
  }))

  test('more instances than threads close at once during their first writes', withDirectory(async ({ base }) => {
    const managers = await Promise.all(Array.from({ length: 80 }, async (_, n) => {
      await mkdir(join(base, `${n}`))
      return new IndexManager(join(base, `${n}`), 'data', { durability: 'os' })
    }))
    const created = managers.map((manager) => manager.createIndex({ name: 'i', type: 'hash', fields: ['a'] }))
    await Promise.all(managers.map((manager) => manager.close()))
    await Promise.all(created)
  }))

  test('more instances than threads close at once after their writes are aborted', withDirectory(async ({ base }) => {
    const closing = await Promise.all(Array.from({ length: 80 }, async (_, n) => {
      await mkdir(join(base, `${n}`))
      const storage = new ProjectStorageV2({ basePath: join(base, `${n}`), durability: 'os' })
      const controller = new AbortController()
      storage.create(projectInput(), { signal: controller.signal }).catch(() => {})
      controller.abort()
      return () => storage.close()
    }))
    await Promise.all(closing.map((close) => close()))
  }))

  test('more repairs than threads complete, and so do the calls behind them', withDirectory(async ({ open }) => {
    const storage = open()
    const first = storage.create(projectInput('a'))
    const repairs = Array.from({ length: 80 }, () => storage.repair())
    const [second, listed] = [storage.create(projectInput('b')), storage.list()]
    await Promise.all([first, second, ...repairs])
    assert.ok((await listed).length >= 1)
    assert.deepEqual((await storage.list()).map(({ name }) => name), ['a', 'b'])
  }))

  test('terminating worker threads during writes loses no acknowledged write', withDirectory(async ({ base, open }) => {
    const storage = open()
    const ids: number[] = []
    for (let round = 0; round < 6; round++) {
      const before = ids.length
      const workerData = { base, tag: `w${round}`, endless: true }
      const workers = [0, 1].map(() => new Worker(join(__dirname, 'support', 'worker.mjs'), { workerData }))
      for (const worker of workers) worker.on('message', (id: number) => ids.push(id))
      await until('writes of the workers', () => ids.length >= before + 5)
      await Promise.all(workers.map((worker) => worker.terminate()))
      await storage.create(projectInput(`after ${round}`))
    }
    const stored = await storage.readProjects()
    for (const id of ids) assert.ok(stored[id], `project ${id}`)
    const report = await storage.verify()
    assert.ok(report.ok, String(report))
  }))
})
