// Objects that storages hand out (scopes of transactions, feeds, iterations, streams), called with odd arguments, called out
// of order, and cut off in the middle.
import assert from 'node:assert/strict'
import { AsyncLocalStorage } from 'node:async_hooks'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { Worker } from 'node:worker_threads'
import type { ProjectStorageV2 } from '../index.js'
import { isFair, oddValues } from './support/odd-values.js'
import { caught, fileInput, projectInput, runChild, until, withDirectory, withProject, withStorage } from './support/index.js'

/** Returns the names of all functions of an object, its own and inherited ones. */
function methodsOf(subject: object): string[] {
  const names = new Set<string>()
  for (let at = subject; at !== Object.prototype; at = Object.getPrototypeOf(at)) {
    for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(at))) {
      if (name !== 'constructor' && typeof value === 'function') names.add(name)
    }
  }
  return [...names].sort()
}

/** Calls every method with every odd value. Returns the number of calls. */
async function annoy(make: () => any): Promise<number> {
  let calls = 0
  for (const method of methodsOf(make())) {
    for (const [what, odd] of oddValues) {
      for (const args of [[odd], [1, odd], [odd, odd]]) {
        calls++
        const subject = make()
        try {
          const answer = await subject[method](...args)
          await answer?.return?.()
        } catch (error: any) {
          assert.ok(isFair(error), `${method}(${what}): ${error?.stack ?? error}`)
        }
      }
    }
  }
  return calls
}

describe('scopes of a transaction', () => {
  test('accept or refuse odd arguments, and the transaction still commits', withProject(async (storage, project) => {
    const files = storage.getFileStorage(project.id)
    const calls = await storage.transaction(async (tx: any) => {
      const calls = (await annoy(() => tx)) + (await annoy(() => tx.in(files)))
      await tx.create(projectInput('at last'))
      return calls
    })
    assert.ok(calls > 1000, `${calls} calls`)
    assert.equal((await storage.findByName('at last')).length, 1)
    assert.equal((await storage.verify()).ok, true)
  }))

  test('refuse every step once their transaction has ended', withProject(async (storage, project) => {
    let kept: any
    const files = storage.getFileStorage(project.id)
    await storage.transaction(async (tx) => void (kept = [tx, tx.in(files)]))
    for (const [scope, input] of [[kept[0], projectInput()], [kept[1], fileInput('a')]] as const) {
      const late = [
        scope.getById(1),
        scope.create(input),
        scope.update(1, { name: 'late' }),
        scope.delete(1),
        scope.list(),
        scope.query({ where: { name: 'late' } }),
      ]
      for (const step of late) assert.equal((await caught(step)).code, 'CLOSED')
    }
    assert.equal((await caught(kept[1].createVersion(1, 'late'))).code, 'CLOSED')
    assert.equal((await storage.list()).length, 1)
  }))

  test('refuse calls on receivers of another kind', withStorage(async (storage) => {
    await storage.transaction(async (tx: any) => {
      for (const method of methodsOf(tx)) {
        if (method === 'in') continue
        for (const receiver of [undefined, null, {}]) await assert.rejects(async () => tx[method].call(receiver, 1, {}), Error, method)
      }
    })
  }))

  test('commit as well if the callback also writes to the storage outside of them', withStorage(async (storage) => {
    await storage.transaction(async (tx) => {
      await tx.create(projectInput('inside'))
      await storage.transaction(async (other) => void (await other.create(projectInput('another'))))
      await storage.create(projectInput('outside'))
    })
    assert.deepEqual((await storage.list()).map(({ name }) => name).sort(), ['another', 'inside', 'outside'])
  }))

  test('commit or fail with CLOSED if the storage is closed meanwhile', withDirectory(async ({ open }) => {
    const storage = open()
    await storage.create(projectInput('before'))
    let closing: Promise<void> | undefined
    const outcome = await storage
      .transaction(async (tx) => {
        await tx.create(projectInput('inside'))
        closing = storage.close()
      })
      .then(() => 'committed', (error: any) => error.code)
    await closing
    const names = (await open().list()).map(({ name }) => name)
    assert.equal(names.includes('inside'), outcome === 'committed', `${outcome}: ${names}`)
    assert.ok(['committed', 'CLOSED'].includes(outcome), outcome)
  }))

  test('roll back if a getter aborts the transaction', withStorage(async (storage) => {
    const controller = new AbortController()
    const input = {
      path: '/a',
      get name() {
        controller.abort()
        return 'aborted'
      },
    }
    const error = await caught(storage.transaction((tx) => tx.create(input), { signal: controller.signal }))
    assert.equal(error.code, 'ABORTED')
    assert.deepEqual(await storage.list(), [])
  }))
})

describe('feeds', () => {
  const methods = ['next', 'return', Symbol.asyncIterator, Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose')]

  test('accept or refuse odd options', withStorage(async (storage) => {
    for (const [what, odd] of oddValues) {
      for (const options of [odd, { from: odd }, { scope: odd }, { signal: odd }]) {
        try {
          await storage.changes(options).return()
        } catch (error: any) {
          assert.ok(isFair(error), `${what}: ${error?.stack ?? error}`)
        }
      }
    }
    const changes = storage.changes()
    const next = changes.next()
    const { id } = await storage.create(projectInput())
    assert.deepEqual((await next as any).value.created, [id])
    await changes.return()
  }))

  test('ignore the arguments of their methods, in any order and concurrently', withStorage(async (storage) => {
    for (const method of methods) {
      const changes: any = storage.changes()
      const asked = [changes.next(), changes.next()]
      await storage.create(projectInput())
      await storage.create(projectInput())
      for (const [, odd] of oddValues) {
        const answer = changes[method](odd)
        if (method !== 'next') await answer
        else asked.push(answer)
      }
      await changes.return()
      await changes.return()
      await Promise.all(asked)
      assert.equal((await changes.next()).done, true)
    }
  }))

  test('refuse calls on receivers of another kind', withStorage(async (storage) => {
    const changes: any = storage.changes()
    for (const receiver of [undefined, null, {}, storage]) {
      await assert.rejects(async () => changes.next.call(receiver), Error)
      await assert.rejects(async () => changes.return.call(receiver), Error)
    }
    await changes.return()
  }))

  test('reach every listener in the context in which it was added', withStorage(async (storage) => {
    const contexts = new AsyncLocalStorage<string>()
    const heard: unknown[] = []
    const listener = () => void heard.push(contexts.getStore())
    for (const context of ['first', 'second']) contexts.run(context, () => storage.on('change', listener.bind(null)))
    contexts.run('third', () => storage.on('change', listener))
    storage.off('change', listener).on('change', listener)
    contexts.run('fourth', () => storage.on('change', listener))
    await storage.create(projectInput())
    await until('all to be told', () => heard.length === 3)
    assert.deepEqual(heard, ['first', 'second', undefined])
  }))

  test('reach every listener even if one throws, listens again or closes the storage', withDirectory(async ({ open }) => {
    const storage = open()
    const heard: number[] = []
    const warnings: any[] = []
    const onWarning = (warning: any) => warnings.push(warning)
    process.on('warning', onWarning)
    storage.on('change', () => { throw new Error('on purpose') })
    storage.on('change', (change) => {
      heard.push(change.sequence)
      storage.on('change', () => {})
      if (heard.length === 2) void storage.close()
    })
    await storage.create(projectInput('a'))
    await storage.create(projectInput('b'))
    await until('both changes to be heard', () => heard.length === 2)
    await until('the warning', () => warnings.some(({ code }) => code === 'LISTENER_FAILED'))
    process.off('warning', onWarning)
    assert.equal((await open().list()).length, 2)
  }))
})

describe('iterations', () => {
  const fill = async (storage: ProjectStorageV2) => {
    for (let n = 0; n < 5; n++) await storage.create(projectInput(`p${n}`))
  }

  test('accept or refuse odd options', withStorage(async (storage) => {
    await fill(storage)
    for (const [what, odd] of oddValues) {
      for (const options of [odd, { batchSize: odd }, { after: odd }, { where: odd }, { where: { name: odd } }, { signal: odd }]) {
        try {
          for await (const _ of storage.iterate(options)) break
        } catch (error: any) {
          assert.ok(isFair(error), `${what}: ${error?.stack ?? error}`)
        }
      }
    }
  }))

  test('give each entity once if next() is called concurrently', withStorage(async (storage) => {
    await fill(storage)
    const iteration = storage.iterate({ batchSize: 2 })
    const steps = await Promise.all(Array.from({ length: 9 }, () => iteration.next()))
    const names = steps.filter(({ done }) => !done).map(({ value }: any) => value.name)
    assert.deepEqual(names, ['p0', 'p1', 'p2', 'p3', 'p4'])
  }))

  test('end cleanly if their consumer throws, deletes entities or closes the storage', withDirectory(async ({ open }) => {
    const storage = open()
    await fill(storage)
    const thrown = caught((async () => { for await (const _ of storage.iterate({ batchSize: 1 })) throw new RangeError('on purpose') })())
    assert.equal((await thrown).name, 'RangeError')
    for await (const { id } of storage.iterate({ batchSize: 1 })) await storage.delete(id)
    assert.deepEqual(await storage.list(), [])
    await fill(storage)
    let seen = 0
    let closing: Promise<void> | undefined
    const outcome = await (async () => {
      for await (const _ of storage.iterate({ batchSize: 1 })) {
        seen++
        closing ??= storage.close()
      }
    })().then(() => 'all', (error: any) => error.code)
    await closing
    assert.ok(outcome === 'CLOSED' || (outcome === 'all' && seen === 5), `${outcome} after ${seen}`)
  }))
})

describe('streams', () => {
  test('create a file from an odd source, or refuse it and store nothing', withProject(async (storage, { id }) => {
    const files = storage.getFileStorage(id)
    const before = (await files.list()).length
    let made = 0
    for (const [what, odd] of oddValues) {
      const sources: any[] = [odd, [odd], (async function* () { yield 'a'; yield odd })()]
      for (const source of sources) {
        try {
          await files.createFromStream({ name: 'a', path: `${what} ${made}` }, source)
          made++
        } catch (error: any) {
          assert.ok(isFair(error), `${what}: ${error?.stack ?? error}`)
        }
      }
    }
    assert.equal((await files.list()).length, before + made)
    assert.equal((await storage.verify()).ok, true)
  }))

  test('may be read, cancelled or abandoned without blocking a delete or close', withProject(async (storage, { id }) => {
    const files = storage.getFileStorage(id)
    const { id: file } = await files.create(fileInput('big', 'y'.repeat(300_000)))
    for (const [what, odd] of oddValues) {
      try {
        const reader = files.createContentStream(odd).getReader()
        await reader.read()
        await reader.cancel(odd)
      } catch (error: any) {
        assert.ok(isFair(error), `${what}: ${error?.stack ?? error}`)
      }
    }
    const reader = files.createContentStream(file).getReader()
    await reader.read()
    await Promise.all([reader.cancel(), files.delete(file)])
    assert.equal(await files.getById(file), null)
    await storage.close()
  }))

  test('store all or nothing if their source closes the storage', withProject(async (storage, { id }, { open }) => {
    let closing: Promise<void> | undefined
    const source = (async function* () {
      yield 'a'
      closing = storage.close()
      yield 'b'
    })()
    const outcome = await storage.getFileStorage(id).createFromStream({ name: 'a', path: 'a' }, source).then(() => 'stored', (error: any) => error.code)
    await closing
    const contents = (await open().getFileStorage(id).list()).map(({ content }) => content)
    assert.deepEqual(contents, outcome === 'stored' ? ['ab'] : [])
    assert.ok(['stored', 'CLOSED'].includes(outcome), outcome)
  }))
})

describe('concurrent work of every kind that is cut off', () => {
  test('leaves a sound database if worker threads are terminated', withDirectory(async ({ base, open }) => {
    for (let round = 0; round < 3; round++) {
      const worker = new Worker(join(__dirname, 'support', 'busy.mjs'), { workerData: { base } })
      await new Promise<void>((resolve, reject) => {
        worker.once('message', () => resolve())
        worker.once('error', reject)
      })
      await worker.terminate()
    }
    const storage = open()
    const names = (await storage.list()).map(({ name }) => name)
    assert.equal(names.filter((name) => name === 'busy').length, 3)
    assert.ok(!names.includes('in a transaction'))
    const report = await storage.verify()
    assert.ok(report.ok, String(report))
  }))

  for (const how of ['exit', 'throw']) {
    test(`leaves a sound database if a process ends by ${how}`, withDirectory(async ({ base, open }) => {
      const { lines, code, signal, stderr } = await runChild('busy.mjs', [base, how])
      assert.deepEqual([lines, signal], [['busy'], null], stderr)
      assert.equal(code, how === 'exit' ? 7 : 1, stderr)
      const storage = open()
      const names = (await storage.list()).map(({ name }) => name)
      assert.ok(names.includes('busy') && !names.includes('in a transaction'))
      const report = await storage.verify()
      assert.ok(report.ok, String(report))
    }))
  }
})
