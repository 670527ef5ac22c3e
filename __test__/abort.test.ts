import assert from 'node:assert/strict'
import { readdirSync, statSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { IndexManager } from '../index.js'
import { caught, dataPath, fileInput, runChild, withDirectory, withProject } from './support/index.js'
import { watchedSignal } from './support/signals.js'
import { Things, withThings } from './support/things.js'

const { Port } = require('../binding.js')

const reason = new Error('enough')

const withFiftyThings = (work: (things: Things) => Promise<void>) =>
  withThings(async (things) => {
    await Promise.all(Array.from({ length: 50 }, (_, size) => things.create({ name: `thing ${size}`, size })))
    await work(things)
  })

async function all<T>(source: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = []
  for await (const value of source) found.push(value)
  return found
}

function gate() {
  let open = () => {}
  const passed = new Promise<void>((resolve) => (open = resolve))
  return { passed, open }
}

const isAborted = (error: { code: string; cause: unknown; reason: unknown }) => {
  assert.deepEqual([error.code, error.cause, error.reason], ['ABORTED', reason, reason])
}

test('an already aborted signal rejects every call before it begins', withFiftyThings(async (things) => {
  const signal = AbortSignal.abort(reason)
  let ran = false
  for (const call of [
    () => things.query({ signal }),
    () => things.explain({ signal }),
    () => things.list({ signal }),
    () => all(things.iterate({ signal })),
    () => things.transaction(async () => void (ran = true), { signal }),
    async () => all(things.changes({ signal })),
  ]) {
    isAborted(await caught(call()))
  }
  assert.equal(ran, false)
}))

test('an already aborted signal rejects calls that could be answered from memory', withProject(async (storage, { id, name, path }, { base }) => {
  const signal = AbortSignal.abort(reason)
  const files = storage.getFileStorage(id)
  const file = await files.create(fileInput('a'))
  const things = new Things({ basePath: base, dataDir: 'things', indexes: [{ name: 'by_size', type: 'btree', fields: ['size'] }] })
  const thing = await things.create({ name: 'a', size: 1 })
  const indexes = new IndexManager(base, 'indexes')
  await indexes.createIndex({ name: 'a', type: 'hash', fields: ['a'] })
  await indexes.addToIndex('a', 1, { a: 1 })
  const calls = [
    (options: object) => storage.getById(id, options),
    (options: object) => storage.list(options),
    (options: object) => storage.findByName(name, options),
    (options: object) => storage.getByPath(path, options),
    (options: object) => files.getById(file.id, options),
    (options: object) => files.getByPath('a', options),
    (options: object) => things.getById(thing.id, options),
    (options: object) => things.findBy('by_size', 1, options),
    (options: object) => things.findRange('by_size', 0, 2, true, options),
    (options: object) => indexes.query('a', 1, options),
  ]
  for (const call of calls) {
    for (let read = 0; read < 3; read += 1) await call({})
    isAborted(await caught(call({ signal })))
  }
  await Promise.all([things.close(), indexes.close()])
}))

test('an already aborted signal rejects calls on files, searches and streams', withProject(async (storage, project) => {
  const files = storage.getFileStorage(project.id)
  const { id } = await files.create(fileInput('a', 'x'.repeat(100_000)))
  const signal = AbortSignal.abort(reason)
  for (const call of [
    () => files.list({ signal }),
    () => files.search('x', { signal }),
    () => storage.search('x', { signal }),
    () => storage.searchFiles(project.id, 'x', { signal }),
    () => files.createFromStream({ name: 'b', path: 'b' }, ['x'], { signal }),
    () => files.createContentStream(id, { signal }).getReader().read(),
  ]) {
    isAborted(await caught(call()))
  }
  assert.equal((await files.list()).length, 1)
}))

test('a signal aborts a call that is under way', withFiftyThings(async (things) => {
  const controller = new AbortController()
  const query = caught(things.query({ where: { name: /9/ }, signal: controller.signal }))
  controller.abort(reason)
  isAborted(await query)
  const another = new AbortController()
  const explanation = caught(things.explain({ where: { name: /9/ }, signal: another.signal }))
  another.abort(reason)
  isAborted(await explanation)
  // The storage still works.
  assert.equal((await things.query({ where: { size: 9 } })).length, 1)
}))

test('a signal aborts an iteration between two entities', withFiftyThings(async (things) => {
  const controller = new AbortController()
  const seen: number[] = []
  const error = await caught((async () => {
    for await (const { size } of things.iterate({ signal: controller.signal })) {
      seen.push(size)
      if (seen.length === 3) controller.abort(reason)
    }
  })())
  isAborted(error)
  assert.equal(seen.length, 3)
}))

test('a signal rolls back a transaction that never ends', withFiftyThings(async (things) => {
  const controller = new AbortController()
  let late: Promise<unknown> | undefined
  const error = await caught(things.transaction(async (tx) => {
    await tx.create({ name: 'never' })
    controller.abort(reason)
    late = caught(tx.create({ name: 'late' }))
    await new Promise(() => {})
  }, { signal: controller.signal }))
  isAborted(error)
  assert.equal(((await late) as { code: string }).code, 'CLOSED')
  assert.equal((await things.list()).length, 50)
}))

test('a signal aborts a content stream', withProject(async (storage, project) => {
  const files = storage.getFileStorage(project.id)
  const { id } = await files.create(fileInput('a', 'x'.repeat(2_000_000)))
  const controller = new AbortController()
  const reader = files.createContentStream(id, { signal: controller.signal }).getReader()
  assert.equal((await reader.read()).done, false)
  controller.abort(reason)
  isAborted(await caught(reader.read()))
}))

test('a write that has begun to change something completes although its signal aborts', withProject(async (storage, project, { base }) => {
  const directory = join(dataPath(base), '.storage')
  const written = () => readdirSync(directory).reduce((sum, name) => sum + statSync(join(directory, name)).size, 0)
  const before = written()
  const controller = new AbortController()
  const update = storage.update(project.id, { description: 'changed' }, { signal: controller.signal })
  // This thread takes no answer meanwhile, so the write is still under way when the signal aborts.
  while (written() === before);
  controller.abort(reason)
  assert.equal((await update)?.description, 'changed')
  assert.equal((await storage.getById(project.id))?.description, 'changed')
}))

test('an aborted call stops keeping the process alive before native code has ended it', withFiftyThings(async (things) => {
  const { release } = Port.prototype
  let released = 0
  Port.prototype.release = function (...args: unknown[]) {
    released += 1
    release.apply(this, args)
  }
  try {
    const controller = new AbortController()
    const query = caught(things.query({ signal: controller.signal }))
    assert.equal(released, 0)
    controller.abort(reason)
    assert.equal(released, 1)
    isAborted(await query)
  } finally {
    Port.prototype.release = release
  }
}))

test('a call that has completed is not affected when its signal aborts', withFiftyThings(async (things) => {
  const controller = new AbortController()
  const found = await things.query({ signal: controller.signal })
  controller.abort(reason)
  assert.equal(found.length, 50)
}))

test('calls with the same signal share one listener, which is removed after the last call', withFiftyThings(async (things) => {
  const { signal, heard } = watchedSignal()
  const changes = things.changes({ signal })
  await Promise.all(Array.from({ length: 30 }, (_, size) => things.create({ name: `more ${size}`, size }, { signal })))
  await Promise.all(Array.from({ length: 30 }, (_, n) => things.query({ where: { size: n }, signal })))
  assert.deepEqual(heard, ['on'])
  await changes.return()
  assert.deepEqual(heard, ['on', 'off'])
  await things.query({ signal })
  assert.deepEqual(heard, ['on', 'off', 'on', 'off'])
}))

test('a callback that outlives its transaction does not detach the listener of later calls', withDirectory(async ({ base }) => {
  const [hasty, patient] = [new Things({ basePath: base, lockTimeout: 20 }), new Things({ basePath: base })]
  const { signal } = new AbortController()
  let added = 0
  const { addEventListener } = signal
  signal.addEventListener = (...args: Parameters<typeof addEventListener>) => {
    added += 1
    addEventListener.apply(signal, args)
  }
  const [over, open] = [gate(), gate()]
  assert.equal((await caught(hasty.transaction(() => over.passed, { signal }))).code, 'LOCK_TIMEOUT')
  const second = patient.transaction(() => open.passed, { signal })
  over.open()
  await patient.create({ name: 'a' }, { signal })
  assert.equal(added, 2)
  open.open()
  await Promise.all([second, hasty.close()])
  await patient.close()
}))

test('a signal aborts every call that it was passed to', withFiftyThings(async (things) => {
  const controller = new AbortController()
  const { signal } = controller
  const ends = [things.transaction(() => new Promise(() => {}), { signal }), things.transaction(() => new Promise(() => {}), { signal })]
  const waiting = things.changes({ signal }).next()
  await things.sequence()
  controller.abort(reason)
  for (const call of [...ends, waiting]) isAborted(await caught(call))
}))

test('a value that is not a signal is refused', withFiftyThings(async (things) => {
  for (const signal of [null, 1, {}, { aborted: false }, { addEventListener() {}, removeEventListener() {} }]) {
    assert.equal((await caught(things.query({ signal: signal as never }))).code, 'INVALID_ARGUMENT')
    assert.equal((await caught(things.transaction(async () => {}, { signal: signal as never }))).code, 'INVALID_ARGUMENT')
  }
}))

/** Fails if a promise is rejected without a handler. */
async function withoutUnhandled(work: () => Promise<void>) {
  const unhandled: unknown[] = []
  const note = (error: unknown) => void unhandled.push(error)
  process.on('unhandledRejection', note)
  try {
    await work()
    for (let turn = 0; turn < 3; turn += 1) await new Promise((resolve) => setImmediate(resolve))
  } finally {
    process.off('unhandledRejection', note)
  }
  assert.deepEqual(unhandled, [])
}

test('a source that fails after its call was aborted causes no unhandled rejection', withProject(async (storage, project) => {
  await withoutUnhandled(async () => {
    const controller = new AbortController()
    const source = (async function* () {
      controller.abort(reason)
      throw new Error('nobody waits for this')
    })()
    const files = storage.getFileStorage(project.id)
    isAborted(await caught(files.createFromStream({ name: 'b', path: 'b' }, source, { signal: controller.signal })))
  })
}))

test('a schema that aborts the call that it validates for causes no unhandled rejection', withDirectory(async ({ base }) => {
  await withoutUnhandled(async () => {
    for (let turns = 0; turns < 12; turns += 1) {
      const file = `foreign ${turns}.json`
      await writeFile(join(base, file), JSON.stringify({ 1: { id: 1, name: 'a' }, 2: { id: 2, name: 'b' } }))
      const controller = new AbortController()
      let judged = 0
      const validate = async (value: unknown) => {
        if ((judged += 1) === 1) {
          for (let turn = 0; turn < turns; turn += 1) await null
          controller.abort(reason)
        }
        return { value }
      }
      const things = new Things({ basePath: base, file, schema: { '~standard': { version: 1, vendor: 'test', validate } } })
      isAborted(await caught(things.list({ signal: controller.signal })))
      assert.equal((await things.list()).length, 2)
      await things.close()
    }
  })
}))

test('a signal whose removeEventListener throws does not fail the call', withDirectory(async ({ base }) => {
  const things = new Things({ basePath: base })
  const signal: any = { aborted: false, addEventListener() {}, removeEventListener() { throw new Error('no leaving') } }
  assert.deepEqual(await things.query({ signal }), [])
  await things.close()
}))

test('a signal whose reason cannot be read ends the call all the same', withDirectory(async ({ base }) => {
  const things = new Things({ basePath: base })
  let abort = () => {}
  const unreadable = new Error('no reason')
  const signal: any = {
    aborted: false,
    get reason() { throw unreadable },
    addEventListener(_: string, listener: () => void) { abort = listener },
    removeEventListener() {},
  }
  const waiting = caught(things.query({ signal }))
  try {
    abort()
  } catch {}
  const error: any = await waiting
  assert.deepEqual([error.code, error.reason], ['ABORTED', unreadable])
  await things.close()
}))

for (const what of ['an aborted call', 'a file that was validated', 'a validation that no call waits for', 'a write that waited for another'] as const) {
  test(`${what} does not keep the process alive`, withDirectory(async ({ base }) => {
    await mkdir(join(base, 'data'))
    await writeFile(join(base, 'data', 'things.json'), JSON.stringify({ 1: { id: 1, name: 'a' } }))
    const { lines, code, stderr } = await runChild('quitter.mjs', [base, what])
    assert.deepEqual([lines, code], [[what.includes('abort') || what.includes('no call') ? 'ABORTED' : 'done'], 0], stderr)
  }))
}

test('a signal whose addEventListener throws fails the call and lets the process exit', withDirectory(async ({ base }) => {
  const { lines, code } = await runChild('odd-signal.mjs', [base])
  assert.deepEqual([lines, code], [['no listeners here'], 0])
}))
