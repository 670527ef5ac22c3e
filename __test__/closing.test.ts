import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { mkdir, readdir, rename, rm } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { Worker } from 'node:worker_threads'
import { IndexManager, MigrationManager } from '../index.js'
import { caught, fileInput, filesPath, until, withDirectory, withProject } from './support/index.js'
import { Things, thing, thingSchema } from './support/things.js'
import type { ThingOptions } from './support/things.js'

const slow = {
  '~standard': {
    version: 1,
    vendor: 'test',
    validate: async (value: unknown) => {
      for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve))
      return thingSchema['~standard'].validate(value)
    },
  },
}

/** Starts a call and closes the storage at once; another instance then checks what is there. */
const closingAfter = (start: (things: Things, id: number) => Promise<unknown>, check: (things: Things, id: number) => Promise<void>, options: Partial<ThingOptions> = {}) =>
  withDirectory(async ({ base }) => {
    const things = new Things({ basePath: base, ...options })
    const { id } = await things.create({ name: 'first' })
    const call = start(things, id)
    await things.close()
    await call
    const again = new Things({ basePath: base })
    await check(again, id).finally(() => again.close())
  })

const count = (expected: number) => async (things: Things) => assert.equal((await things.list()).length, expected)

describe('close waits for the calls made before it:', () => {
  test('writeAll', closingAfter((things) => things.writeAll({ 1: thing(1) }), count(1)))
  test('deleteAll', closingAfter((things) => things.deleteAll(), count(0)))
  test('a transaction', closingAfter((things, id) => things.transaction(async (tx) => {
    await tx.create({ name: 'second' })
    await tx.update(id, { size: 9 })
  }), count(2)))
  test('a create with a slow schema', closingAfter((things) => things.create({ name: 'second' }), count(2), { schema: slow }))
  test('concurrent updates of one entity', closingAfter(
    (things, id) => Promise.all(Array.from({ length: 10 }, (_, size) => things.update(id, { size }))),
    async (things, id) => assert.equal((await things.getById(id))?.size, 9),
  ))
  test('a withLock callback and the calls in it', closingAfter(
    (things, id) => things.protectedCalls().withLock('key', async () => {
      await new Promise((resolve) => setImmediate(resolve))
      const found = await things.getById(id)
      await things.update(id, { size: found!.size + 4 })
    }),
    async (things, id) => assert.equal((await things.getById(id))?.size, 5),
  ))

  test('a write that a withLock callback leaves behind', closingAfter(async (things) => {
    let left: Promise<unknown> | undefined
    await things.protectedCalls().withLock('key', async () => {
      await new Promise((resolve) => setImmediate(resolve))
      left = things.create({ name: 'second' })
    })
    await left
  }, count(2), { schema: slow }))
  test('a create beside one that fails', closingAfter(
    (things) => Promise.all([caught(things.create({ name: '' })), things.create({ name: 'second' })]),
    count(2),
    { schema: slow },
  ))

  test('writeValidatedJson with a slow schema', withDirectory(async ({ base }) => {
    const things = new Things({ basePath: base, schema: slow })
    const file = join(base, 'data', 'extra.json')
    const written = things.protectedCalls().writeValidatedJson(file, thing(1), slow as never)
    await things.close()
    assert.ok(existsSync(file))
    await written
  }))

  test('createFromStream', withDirectory(async ({ open }) => {
    const storage = open()
    const project = await storage.create({ name: 'a', path: '/a' })
    const files = storage.getFileStorage(project.id)
    const created = files.createFromStream({ name: 'b', path: 'b' }, (async function* () {
      for (let piece = 0; piece < 5; piece += 1) {
        await new Promise((resolve) => setImmediate(resolve))
        yield 'x'.repeat(100_000)
      }
    })())
    await storage.close()
    const { id } = await created
    assert.equal((await open().getFileStorage(project.id).getById(id))?.content.length, 500_000)
  }))
})

test('calls made after close are refused while close waits for earlier ones', withDirectory(async ({ base }) => {
  const things = new Things({ basePath: base })
  let end: (() => void) | undefined
  const waitedFor = things.protectedCalls().withLock('key', () => new Promise<void>((resolve) => (end = resolve)))
  await until('the lock', () => end)
  const closing = things.close()
  const protectedCalls = things.protectedCalls()
  for (const call of [
    () => things.create({ name: 'b' }),
    () => things.getById(1),
    () => things.update(1, {}),
    () => things.delete(1),
    () => things.list(),
    () => things.readAll(),
    () => things.writeAll({}),
    () => things.deleteAll(),
    () => things.findBy('a', 1),
    () => things.query(),
    () => things.explain(),
    () => things.transaction(async () => {}),
    () => things.sequence(),
    () => things.stats(),
    () => things.rebuildIndexes(),
    () => things.verify(),
    () => things.repair(),
    () => protectedCalls.idExists(1),
    () => protectedCalls.withLock('other', () => {}),
    () => protectedCalls.ensureDirExists('a'),
    () => protectedCalls.readValidatedJson('a.json', thingSchema, thing(1)),
    () => protectedCalls.writeValidatedJson('a.json', thing(1), thingSchema),
  ]) {
    assert.equal((await caught(call())).code, 'CLOSED', String(call))
  }
  for (const call of [() => things.iterate(), () => things.changes(), () => things.on('change', () => {})]) {
    assert.throws(call, { code: 'CLOSED' }, String(call))
  }
  end!()
  await Promise.all([waitedFor, closing])
  assert.equal(existsSync(join(base, 'data', 'a')), false)
}))

test('a storage that was never used before it was closed is not opened by what was begun earlier', withDirectory(async ({ base }) => {
  const things = new Things({ basePath: base })
  const unused = new Things({ basePath: base, file: 'data/other.json' })
  const iteration = unused.iterate()
  await unused.close()
  assert.equal((await caught(iteration.next())).code, 'CLOSED')
  const writing = things.transaction((tx) => tx.in(unused).create({ name: 'a' }))
  assert.equal((await caught(writing)).code, 'CLOSED')
  await things.close()
}))

test('calls of a MigrationManager after close are refused while close waits for earlier ones', withDirectory(async ({ base }) => {
  const manager = new MigrationManager(base, { logger: null })
  let end: (() => void) | undefined
  manager.register({ version: '1.0.0', description: 'one', up: () => new Promise<void>((resolve) => (end = resolve)) })
  const migrating = manager.migrate()
  await until('the migration', () => end)
  const closing = manager.close()
  for (const call of [
    () => manager.migrate(),
    () => manager.rollback('0.0.0'),
    () => manager.getState(),
    () => manager.status(),
    () => manager.backup(),
    () => manager.restore('a'),
    () => manager.verifyBackup('a'),
    () => manager.listBackups(),
    async () => manager.register({ version: '2.0.0', description: 'two', up() {} }),
  ]) {
    assert.equal((await caught(call())).code, 'CLOSED', String(call))
  }
  end!()
  await Promise.all([migrating, closing])
}))

test('calls of an IndexManager after close are refused while close waits for earlier ones', withDirectory(async ({ base }) => {
  const indexes = new IndexManager(base, 'data')
  const pending = indexes.createIndex({ name: 'a', type: 'hash', fields: ['a'] })
  const closing = indexes.close()
  for (const call of [
    () => indexes.createIndex({ name: 'b', type: 'hash', fields: ['a'] }),
    () => indexes.dropIndex('a'),
    () => indexes.listIndexes(),
    () => indexes.addToIndex('a', 1, { a: 1 }),
    () => indexes.removeFromIndex('a', 1),
    () => indexes.query('a', 1),
    () => indexes.queryRange('a', 1, 2),
    () => indexes.searchText('a', 'b'),
    () => indexes.rebuildIndex('a', []),
    () => indexes.getIndexStats('a'),
    () => indexes.stats(),
    () => indexes.verify(),
    () => indexes.repair(),
  ]) {
    const { code, message } = await caught(call())
    assert.equal(code, 'CLOSED', String(call))
    assert.match(message, /this manager is closed/)
  }
  await Promise.all([pending, closing])
}))

describe('close in a callback does not wait for the call that runs the callback:', () => {
  test('withLock', withDirectory(async ({ base }) => {
    const things = new Things({ basePath: base })
    await things.protectedCalls().withLock('key', () => things.close())
    assert.equal((await caught(things.list())).code, 'CLOSED')
  }))

  test('a transaction, which then fails with CLOSED', withDirectory(async ({ base }) => {
    const things = new Things({ basePath: base })
    const error = await caught(things.transaction(async (tx) => {
      await tx.create({ name: 'a' })
      await things.close()
    }))
    assert.equal(error.code, 'CLOSED')
    const again = new Things({ basePath: base })
    assert.deepEqual(await again.list(), [])
    await again.close()
  }))

  test('createFromStream, which then fails with CLOSED', withDirectory(async ({ open }) => {
    const storage = open()
    const project = await storage.create({ name: 'a', path: '/a' })
    const error = await caught(storage.getFileStorage(project.id).createFromStream({ name: 'b', path: 'b' }, (async function* () {
      yield 'x'
      await storage.close()
    })()))
    assert.equal(error.code, 'CLOSED')
  }))

  test('withLock while another close waits for it', withDirectory(async ({ base }) => {
    const things = new Things({ basePath: base })
    let closing: Promise<void> | undefined
    const locked = things.protectedCalls().withLock('key', async () => {
      await new Promise((resolve) => setImmediate(resolve))
      await things.close()
      // The other call of `close` waits for this one.
      await things.create({ name: 'a' })
    })
    closing = things.close()
    await Promise.all([locked, closing])
    const again = new Things({ basePath: base })
    assert.equal((await again.list()).length, 1)
    await again.close()
  }))
})

describe('a file storage', () => {
  test('ends its feeds when its project storage is closed', withDirectory(async ({ open }) => {
    const [storage, other] = [open(), open()]
    const project = await storage.create({ name: 'a', path: '/a' })
    const files = storage.getFileStorage(project.id)
    const heard: unknown[] = []
    const feed = files.changes()
    const next = feed.next()
    files.on('change', (change) => heard.push(change))
    await files.create(fileInput('a'))
    assert.equal((await next).done, false)
    const last = feed.next()
    await storage.close()
    assert.deepEqual(await last, { value: undefined, done: true })
    const before = heard.length
    await other.addFile(project.id, fileInput('b'))
    await other.sequence()
    assert.equal(heard.length, before)
  }))

  test('ends its own feeds, but not those of its project storage, when it is closed', withDirectory(async ({ open }) => {
    const storage = open()
    const project = await storage.create({ name: 'a', path: '/a' })
    const files = storage.getFileStorage(project.id)
    const [own, parents] = [files.changes().next(), storage.changes().next()]
    await files.close()
    assert.equal((await own).done, true)
    await storage.create({ name: 'b', path: '/b' })
    assert.equal((await parents).done, false)
  }))

  test('fails to close if its file cannot be brought up to date, and can be used no longer', withProject(async (storage, project, { base }) => {
    const files = storage.getFileStorage(project.id)
    await files.create(fileInput('a'))
    await rm(filesPath(base, project.id), { force: true })
    await mkdir(join(filesPath(base, project.id), 'in the way'), { recursive: true })
    for (const closing of [files.close(), files.close()]) assert.equal((await caught(closing)).code, 'IO_ERROR')
    assert.equal((await caught(files.list())).code, 'CLOSED')
    await rm(filesPath(base, project.id), { recursive: true })
    const again = storage.getFileStorage(project.id)
    assert.deepEqual((await again.list()).map(({ path }) => path), ['a'])
    await again.close()
  }))

  test('refuses calls that are made after its project storage was closed, while that waits for earlier ones', withProject(async (storage, project) => {
    const files = storage.getFileStorage(project.id)
    const earlier = storage.create({ name: 'b', path: '/b' })
    const closing = storage.close()
    assert.equal((await caught(files.create(fileInput('a')))).code, 'CLOSED')
    await Promise.all([earlier, closing])
  }))

  test('touches no file if nothing was called before it is closed', withDirectory(async ({ base, open }) => {
    await open().getFileStorage(1).close()
    assert.deepEqual(await readdir(base), [])
  }))

  test('may be closed after its project storage', withDirectory(async ({ open }) => {
    const storage = open()
    const files = storage.getFileStorage((await storage.create({ name: 'a', path: '/a' })).id)
    await files.create(fileInput('a'))
    await storage.close()
    await files.close()
    assert.equal((await caught(files.list())).code, 'CLOSED')
  }))

  test('closes without waiting for a callback of its project storage', withDirectory(async ({ open }) => {
    const storage = open()
    const project = await storage.create({ name: 'a', path: '/a' })
    const files = storage.getFileStorage(project.id)
    await storage.transaction(async (tx) => {
      await tx.in(files).create(fileInput('a'))
      await files.close()
    })
    assert.equal((await storage.getProjectFiles(project.id)).length, 1)
  }))
})

describe('an instance opened by a concurrent read and write', () => {
  /** Opens an instance by a read and a write whose order is left to chance, in several rounds. */
  const rounds = async (base: string, work: (things: Things) => Promise<unknown>) => {
    for (let round = 0; round < 20; round += 1) {
      const things = new Things({ basePath: base, dataDir: `data/${round}` })
      const reading = things.sequence()
      await Promise.all([things.create({ name: 'first' }), reading])
      await work(things)
      await things.close()
    }
  }

  test('releases the database for a repair', withDirectory(({ base }) => rounds(base, (things) => things.repair())))

  test('has released the database once it is closed', withDirectory(({ base }) => rounds(base, async (things) => {
    await things.close()
    const next = new Things({ basePath: base, dataDir: things.given.dataDir! })
    await next.repair()
    await next.close()
  })))
})

/** Whether a file below the directory is mapped into the memory of this process. */
const isMapped = (directory: string) => process.platform === 'linux' && readFileSync('/proc/self/maps', 'utf8').includes(directory)

test('the directory of a closed storage can be removed while its objects are referenced', withDirectory(async ({ base }) => {
  const open = (dataDir: string) => new Things({ basePath: base, dataDir })
  const place = join(base, 'closed')
  const [things, other] = [open('closed'), open('closed')]
  const { id } = await things.create({ name: 'kept' })
  for (const storage of [things, other]) for (let read = 0; read < 3; read += 1) await storage.getById(id)
  if (process.platform === 'linux') assert.ok(isMapped(place))
  await Promise.all([things.close(), other.close()])
  await until('the memory to be let go', async () => {
    if (!isMapped(place)) return true
    // A thread may use the engine a moment longer than its answer takes. The next close checks again.
    const next = open('next')
    await next.list()
    await next.close()
    return false
  })
  await rm(place, { recursive: true })
}))

/** Runs `work` while other threads use all processors, so that threads of this process come late. */
async function withBusyProcessors(work: () => Promise<void>) {
  const stop = new Int32Array(new SharedArrayBuffer(4))
  const source = 'const { parentPort, workerData } = require("node:worker_threads"); parentPort.postMessage(0); while (Atomics.load(workerData, 0) === 0);'
  const workers = Array.from({ length: availableParallelism() }, () => new Worker(source, { eval: true, workerData: stop }))
  await Promise.all(workers.map((worker) => once(worker, 'message')))
  try {
    await work()
  } finally {
    Atomics.store(stop, 0, 1)
    await Promise.all(workers.map((worker) => worker.terminate()))
  }
}

test('a closed instance opens nothing any more, even if it was opened for a feed and for a write at once', withDirectory(({ base }) => withBusyProcessors(async () => {
  for (let round = 0; round < 120; round++) {
    const things = new Things({ basePath: join(base, `${round}`), durability: 'os' })
    const changes = things.changes()
    await things.create({ name: 'a' })
    await things.close()
    await rename(join(base, `${round}`), join(base, `${round} moved`))
    assert.equal((await changes.next()).done, true)
  }
  assert.deepEqual((await readdir(base)).filter((name) => !name.endsWith('moved')), [])
})))
