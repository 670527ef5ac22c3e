// What subclasses written for the old package call: validated files, locks by key, directories, the cache.
import assert from 'node:assert/strict'
import { AsyncResource } from 'node:async_hooks'
import { existsSync, mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { Worker } from 'node:worker_threads'
import { z } from 'zod'
import { caught, runChild, stop, until, withDirectory } from './support/index.js'
import { Things, thing, type ThingOptions } from './support/things.js'

const settings = z.object({ theme: z.string(), size: z.number().default(3) })

/** Makes the body of a test that has a storage and the calls that are protected in it. */
const withCalls = (work: (calls: ReturnType<Things['protectedCalls']>, storage: Things, base: string) => Promise<void>, options: ThingOptions = {}) =>
  withDirectory(async ({ base }) => {
    const storage = new Things({ basePath: base, ...options })
    await work(storage.protectedCalls(), storage, base)
    await storage.close()
  })

describe('writeValidatedJson and readValidatedJson', () => {
  test('store and return the validated value, as indented JSON', withCalls(async (calls, _, base) => {
    const path = join(base, 'data', 'deep', 'settings.json')
    assert.deepEqual(await calls.writeValidatedJson(path, { theme: 'dark' }, settings), { theme: 'dark', size: 3 })
    assert.equal(readFileSync(path, 'utf8'), '{\n  "theme": "dark",\n  "size": 3\n}\n')
    assert.deepEqual(await calls.readValidatedJson(path, settings, null as never), { theme: 'dark', size: 3 })
    assert.deepEqual(readdirSync(join(base, 'data', 'deep')), ['settings.json'])
  }))

  test('take paths relative to the database', withCalls(async (calls, _, base) => {
    await calls.writeValidatedJson('settings.json', { theme: 'a' }, settings)
    assert.ok(existsSync(join(base, 'data', 'settings.json')))
    assert.equal((await calls.readValidatedJson('settings.json', settings, null as never)).theme, 'a')
  }))

  test('return the default if there is no file', withCalls(async (calls) => {
    const fallback = { theme: 'none', size: 0 }
    assert.equal(await calls.readValidatedJson('nowhere/settings.json', settings, fallback), fallback)
  }))

  test('keep the mode of a file that they replace', withCalls(async (calls, _, base) => {
    const path = join(base, 'settings.json')
    writeFileSync(path, '{}', { mode: 0o600 })
    await calls.writeValidatedJson(path, { theme: 'a' }, settings)
    assert.equal(statSync(path).mode & 0o777, process.platform === 'win32' ? 0o666 : 0o600)
  }))

  test('write nothing that the schema rejects or JSON cannot hold', withCalls(async (calls, _, base) => {
    const path = join(base, 'settings.json')
    assert.ok((await caught(calls.writeValidatedJson(path, { theme: 1 }, settings))) instanceof z.ZodError)
    for (const value of [{ a: 1n }, undefined, { toJSON: () => undefined }]) {
      const error = await caught(calls.writeValidatedJson(path, value, z.any() as never))
      assert.deepEqual([error.code, error.outcome], ['VALIDATION_ERROR', 'none'], String(error))
    }
    assert.equal(existsSync(path), false)
  }))

  test('throw the error of the schema for a file that it rejects, instead of the default', withCalls(async (calls, _, base) => {
    writeFileSync(join(base, 'settings.json'), '{"theme":1}')
    assert.ok((await caught(calls.readValidatedJson(join(base, 'settings.json'), settings, null as never))) instanceof z.ZodError)
  }))

  test('accept a byte order mark, as the files of entities may have', withCalls(async (calls, _, base) => {
    writeFileSync(join(base, 'settings.json'), '\ufeff{"theme":"a"}')
    assert.equal((await calls.readValidatedJson(join(base, 'settings.json'), settings, null as never)).theme, 'a')
  }))

  test('report broken JSON as CORRUPT_DATA and name the file', withCalls(async (calls, _, base) => {
    for (const broken of ['', '{', Buffer.from([0x22, 0xff, 0x22])]) {
      writeFileSync(join(base, 'settings.json'), broken)
      const error = await caught(calls.readValidatedJson(join(base, 'settings.json'), settings, null as never))
      assert.equal(error.code, 'CORRUPT_DATA')
      assert.equal(error.path, join(base, 'settings.json'))
    }
  }))

  test('leave one whole file when many writers run at once', withCalls(async (calls, _, base) => {
    const themes = Array.from({ length: 20 }, (_, n) => 'x'.repeat(n * 100))
    await Promise.all(themes.map((theme) => calls.writeValidatedJson('settings.json', { theme }, settings)))
    assert.ok(themes.includes((await calls.readValidatedJson('settings.json', settings, null as never)).theme))
    assert.deepEqual(readdirSync(join(base, 'data')), ['settings.json'])
  }))

  for (const [what, path] of Object.entries({
    'outside the base path': '../../settings.json',
    'that belongs to the engine': '.storage/settings.json',
    'that holds the entities of the storage': 'things.json',
    'that holds the entities of another storage': '../claimed.json',
    'that records the databases': '.databases.json',
    'in a backup': '../backups/a.json',
    'that says what a migration changes': '.migration/intent.json',
  })) {
    test(`refuse a file ${what}`, withCalls(async (calls, storage, base) => {
      const other = new Things({ basePath: base, dataDir: 'other', file: 'claimed.json' })
      await other.create({ name: 'x' })
      await other.close()
      await storage.create({ name: 'a' })
      assert.equal((await caught(calls.writeValidatedJson(path, { theme: 'a' }, settings))).code, 'INVALID_ARGUMENT')
      assert.equal((await caught(calls.readValidatedJson(path, settings, null as never))).code, 'INVALID_ARGUMENT')
    }))
  }

  test('refuse invalid paths and schemas', withCalls(async (calls) => {
    for (const path of [undefined, null, 7, '', '\0', {}, Symbol('s')] as string[]) {
      assert.equal((await caught(calls.readValidatedJson(path, settings, null as never))).code, 'INVALID_ARGUMENT')
      assert.equal((await caught(calls.writeValidatedJson(path, {}, settings))).code, 'INVALID_ARGUMENT')
      assert.equal((await caught(calls.ensureDirExists(path))).code, 'INVALID_ARGUMENT')
    }
    assert.equal((await caught(calls.writeValidatedJson('a.json', {}, {} as never))).code, 'INVALID_ARGUMENT')
  }))

  test('are awaited by close', withCalls(async (calls, storage, base) => {
    const write = calls.writeValidatedJson('settings.json', { theme: 'a' }, settings)
    await new Promise((resolve) => setImmediate(resolve))
    await storage.close()
    assert.ok(existsSync(join(base, 'data', 'settings.json')))
    await write
  }))
})

describe('ensureDirExists', () => {
  test('creates missing directories and accepts existing ones', withCalls(async (calls, _, base) => {
    await calls.ensureDirExists(join(base, 'a', 'b'))
    await calls.ensureDirExists(join(base, 'a', 'b'))
    await calls.ensureDirExists(base)
    assert.ok(statSync(join(base, 'a', 'b')).isDirectory())
  }))

  test('fails if a file is in the way or the path is outside the base path', withCalls(async (calls, _, base) => {
    writeFileSync(join(base, 'file'), '')
    assert.equal((await caught(calls.ensureDirExists(join(base, 'file')))).code, 'IO_ERROR')
    assert.equal((await caught(calls.ensureDirExists(join(base, '..', 'elsewhere')))).code, 'INVALID_ARGUMENT')
  }))
})

describe('withLock', () => {
  test('runs one holder of a key at a time, in the order of the calls', withCalls(async (calls, _, base) => {
    const other = new Things({ basePath: base })
    let inside = 0
    const order: number[] = []
    await Promise.all(Array.from({ length: 10 }, (_, n) => (n % 2 ? calls : other.protectedCalls()).withLock('key', async () => {
      assert.equal(++inside, 1)
      await new Promise((resolve) => setImmediate(resolve))
      order.push(n)
      inside--
    })))
    assert.deepEqual(order, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    await other.close()
  }))

  test('passes the lock on if the next call in the queue is aborted as it gets the lock', withCalls(async (calls) => {
    // One of these numbers of promise turns falls between the end of one holder and the beginning of the next.
    for (let turns = 0; turns < 16; turns += 1) {
      const [key, controller] = [`key ${turns}`, new AbortController()]
      let free: (() => void) | undefined
      const held = calls.withLock(key, () => new Promise<void>((resolve) => (free = resolve)))
      await until('the lock', () => free)
      const second = calls.withLock(key, () => 'ran', { signal: controller.signal }).catch(({ code }) => code)
      const third = calls.withLock(key, () => 'third')
      free!()
      for (let turn = 0; turn < turns; turn += 1) await null
      controller.abort()
      assert.ok(['ran', 'ABORTED'].includes(await second))
      assert.equal(await third, 'third')
      assert.equal(await calls.withLock(key, () => 'fourth'), 'fourth')
      await held
    }
  }, { lockTimeout: 2000 }))

  test('rejects an aborted call at once, even while another call has the key', withCalls(async (calls) => {
    let free: (() => void) | undefined
    const held = calls.withLock('key', () => new Promise<void>((resolve) => (free = resolve)))
    await until('the lock', () => free)
    const controller = new AbortController()
    const waiting = caught(calls.withLock('key', () => {}, { signal: controller.signal }))
    controller.abort()
    for (const call of [waiting, caught(calls.withLock('key', () => {}, { signal: controller.signal }))]) {
      assert.equal((await call).code, 'ABORTED')
    }
    free!()
    await held
  }, { lockTimeout: 1000 }))

  test('does not run the function of a call that was aborted before', withCalls(async (calls) => {
    for (let round = 0; round < 100; round++) {
      const controller = new AbortController()
      let ranAborted = false
      const call = calls.withLock('key', () => { ranAborted = controller.signal.aborted }, { signal: controller.signal }).catch(({ code }) => code)
      // The lock file is being opened and locked meanwhile.
      for (let turn = 0; turn < round % 10; turn++) await new Promise((resolve) => setImmediate(resolve))
      controller.abort()
      assert.ok([undefined, 'ABORTED'].includes(await call))
      assert.equal(ranAborted, false)
    }
  }))

  test('keeps the turn of a call when the time of an aborted one is up', withCalls(async (calls, _, base) => {
    const other = new Things({ basePath: base, lockTimeout: 20 })
    const hasty = other.protectedCalls()
    let free: (() => void) | undefined
    const held = calls.withLock('key', () => new Promise<void>((resolve) => (free = resolve)))
    await until('the lock', () => free)
    const controller = new AbortController()
    const aborted = caught(hasty.withLock('key', () => {}, { signal: controller.signal }))
    controller.abort()
    assert.equal((await aborted).code, 'ABORTED')
    const patient = calls.withLock('key', () => 'patient')
    // Its time is up after that of the aborted call.
    assert.equal((await caught(hasty.withLock('key', () => {}))).code, 'LOCK_TIMEOUT')
    free!()
    assert.equal(await patient, 'patient')
    await held
    await other.close()
  }, { lockTimeout: 2000 }))

  test('waits for another call of this thread even if lockTimeout is huge', withCalls(async (calls) => {
    const held = calls.withLock('key', () => new Promise((resolve) => setTimeout(resolve, 25)))
    assert.equal(await calls.withLock('key', () => 'taken'), 'taken')
    await held
  }, { lockTimeout: 2 ** 40 }))

  test('returns what the function returns and throws what it throws', withCalls(async (calls) => {
    assert.equal(await calls.withLock('key', () => 5), 5)
    const error = new Error('mine')
    assert.equal(await caught(calls.withLock('key', () => { throw error })), error)
    assert.equal(await calls.withLock('key', async () => 6), 6)
  }))

  test('keeps different keys independent, whatever text they are', withCalls(async (calls, _, base) => {
    const keys = ['', 'a', '../../a', '/', '\0', 'x'.repeat(10_000), '__proto__', 'ä', '\ud800']
    const inside: string[] = []
    let open = () => {}
    const gate = new Promise<void>((resolve) => (open = resolve))
    await Promise.all(keys.map((key) => calls.withLock(key, () => {
      inside.push(key)
      if (inside.length === keys.length) open()
      return gate
    })))
    assert.equal(readdirSync(join(base, 'data', '.storage', 'locks')).length, keys.length)
  }))

  test('lets the lock holder write', withCalls(async (calls, storage) => {
    const { id } = await calls.withLock('key', () => storage.create({ name: 'a' }))
    assert.ok(await storage.getById(id))
  }))

  test('fails a nested call for the same key and says that it waits for itself', withCalls(async (calls, _, base) => {
    const other = new Things({ basePath: base, lockTimeout: 20 })
    for (const again of [calls, other.protectedCalls()]) {
      const error = await calls.withLock('key', () => calls.withLock('between', async () => {
        return caught(again.withLock('key', () => {}))
      }))
      assert.equal(error.code, 'LOCK_TIMEOUT')
      assert.ok(error.message.includes('the one in which this lock was asked for'), error.message)
    }
    await other.close()
  }, { lockTimeout: 20 }))

  test('runs a nested call that is not awaited after the function has ended', withCalls(async (calls) => {
    const order: string[] = []
    let later: Promise<unknown> = Promise.resolve()
    await calls.withLock('key', async () => {
      later = calls.withLock('key', () => order.push('later'))
      await calls.withLock('other', () => {})
      order.push('first')
    })
    await later
    assert.deepEqual(order, ['first', 'later'])
  }))

  test('lets a call from the context of an ended function take the same key', withCalls(async (calls) => {
    let later: () => Promise<number> = async () => 0
    await calls.withLock('key', () => { later = AsyncResource.bind(() => calls.withLock('key', () => 7)) })
    assert.equal(await later(), 7)
  }))

  test('allows nested calls for another key, or for the same key on another database', withCalls(async (calls, _, own) => {
    await withDirectory(async ({ base }) => {
      for (const other of [new Things({ basePath: base }), new Things({ basePath: own, dataDir: 'data/other' })]) {
        const nested = () => calls.withLock('other', () => other.protectedCalls().withLock('key', () => 7))
        assert.equal(await calls.withLock('key', nested), 7)
        await other.close()
      }
    })()
  }))

  test('fails with LOCK_TIMEOUT while another call holds the key, and does not run later', withCalls(async (calls) => {
    let free = () => {}
    let ran = false
    const gate = new Promise<void>((resolve) => (free = resolve))
    const holding = calls.withLock('key', () => gate)
    const error = await caught(calls.withLock('key', () => { ran = true }))
    assert.equal(error.code, 'LOCK_TIMEOUT')
    assert.ok(error.message.includes('"key"'), error.message)
    assert.equal(error.holder, process.pid)
    free()
    await holding
    await calls.withLock('key', () => {})
    assert.equal(ran, false)
  }, { lockTimeout: 20 }))

  test('leaves no timer behind after a call that had to wait', withCalls(async (calls) => {
    // Bun does not count timers.
    const timers = () => process.getActiveResourcesInfo?.().filter((name) => name === 'Timeout').length ?? 0
    const before = timers()
    await Promise.all([1, 2, 3].map(() => calls.withLock('key', () => {})))
    assert.equal(timers(), before)
  }))

  test('excludes calls in other processes', withCalls(async (_, storage, base) => {
    await storage.writeAll({ 1: thing(1, { value: 0 } as never) })
    const results = await Promise.all([1, 2, 3].map(() => runChild('things.mjs', [base, 'count', '1', '30'])))
    for (const { code, stderr } of results) assert.equal(code, 0, stderr)
    assert.equal((await storage.getById(1) as any).value, 90)
  }))

  test('excludes calls in other worker threads', withCalls(async (calls, _, base) => {
    const script = `
      const { workerData, parentPort } = require('node:worker_threads')
      const { BaseStorage } = require(workerData.index)
      class Locks extends BaseStorage {
        constructor() { super(null, null, 'data', { basePath: workerData.base, lockTimeout: 20 }) }
        try() { return this.withLock('key', () => 'taken').catch((error) => error.code) }
      }
      new Locks().try().then((answer) => parentPort.postMessage(answer))`
    const answer = () => new Promise((resolve, reject) => {
      const worker = new Worker(script, { eval: true, workerData: { base, index: join(__dirname, '..', 'index.js') } })
      worker.on('message', resolve).on('error', reject)
    })
    assert.equal(await calls.withLock('key', answer), 'LOCK_TIMEOUT')
    assert.equal(await answer(), 'taken')
  }))

  test('names the process that holds the lock, and takes the lock once it is killed', withDirectory(async ({ base }) => {
    const storage = new Things({ basePath: base, lockTimeout: 20 })
    const { withLock } = storage.protectedCalls()
    let error: any
    let pid = 0
    await new Promise<void>((resolve, reject) => {
      runChild('things.mjs', [base, 'hold', 'key'], {
        onLine(line, kill) {
          pid = Number(line)
          withLock('key', () => {}).catch((caught) => { error = caught }).finally(kill)
        },
      }).then(() => resolve(), reject)
    })
    assert.equal(error.code, 'LOCK_TIMEOUT')
    assert.equal(error.holder, pid)
    assert.equal(await withLock('key', () => 'free'), 'free')
    await storage.close()
  }))

  test('says so if the process that holds the lock is stopped', withDirectory(async ({ base }) => {
    const storage = new Things({ basePath: base, lockTimeout: 20 })
    const { withLock } = storage.protectedCalls()
    let error: any
    let stopped = false
    await new Promise<void>((resolve, reject) => {
      runChild('things.mjs', [base, 'hold', 'key'], {
        onLine(line, kill) {
          const attempt = async () => {
            stopped = await stop(Number(line))
            error = await caught(withLock('key', () => {}))
          }
          attempt().finally(kill)
        },
      }).then(() => resolve(), reject)
    })
    const advice = new RegExp(`process ${error.holder}, which is stopped, has it; continue it \\(kill -CONT ${error.holder}\\) or end it`)
    assert.deepEqual([error.code, advice.test(error.message)], ['LOCK_TIMEOUT', stopped], error.message)
    await storage.close()
  }))

  test('says that another call holds the lock if its process is not known', withDirectory(async ({ base }) => {
    const storage = new Things({ basePath: base, lockTimeout: 20 })
    const { withLock } = storage.protectedCalls()
    const locks = join(base, 'data', '.storage', 'locks')
    let error: any
    await runChild('things.mjs', [base, 'hold', 'key'], {
      async onLine(_, kill) {
        for (const name of await readdir(locks)) await writeFile(join(locks, name), '')
        error = await caught(withLock('key', () => {})).finally(kill)
      },
    })
    assert.deepEqual([error.code, 'holder' in error], ['LOCK_TIMEOUT', false])
    assert.match(error.message, /another call has it/)
    await storage.close()
  }))

  test('refuses invalid keys and callbacks', withCalls(async (calls) => {
    for (const key of [undefined, null, 7, {}, Symbol('s')] as string[]) {
      assert.equal((await caught(calls.withLock(key, () => {}))).code, 'INVALID_ARGUMENT')
    }
    assert.equal((await caught(calls.withLock('key', 7 as never))).code, 'INVALID_ARGUMENT')
  }))
})

describe('other members for subclasses', () => {
  test('idExists tells whether an entity is stored', withCalls(async (calls, storage) => {
    const { id } = await storage.create({ name: 'a' })
    assert.equal(await calls.idExists(id), true)
    await storage.delete(id)
    assert.equal(await calls.idExists(id), false)
    assert.equal((await caught(calls.idExists({} as never))).code, 'INVALID_ARGUMENT')
  }))

  test('invalidateCache drops one entity and all lists, or everything', withCalls(async (calls, storage) => {
    const [one, other] = [await storage.create({ name: 'a' }), await storage.create({ name: 'b' })]
    const missed = async (work: () => Promise<unknown>) => {
      const before = storage.getCacheStats().misses
      await work()
      return storage.getCacheStats().misses - before
    }
    await Promise.all([storage.getById(one.id), storage.getById(other.id), storage.list()])
    calls.invalidateCache(one.id)
    assert.equal(await missed(() => storage.getById(one.id)), 1)
    assert.equal(await missed(() => storage.getById(other.id)), 0)
    assert.equal(await missed(() => storage.list()), 1)
    assert.equal(await missed(() => storage.list()), 0)
    calls.invalidateCache()
    assert.equal(storage.getCacheStats().size, 0)
  }))

  test('options holds the options in force and is read-only', withDirectory(async ({ base }) => {
    const storage = new Things({ basePath: base, lockTimeout: 5 })
    assert.equal(storage.optionsInForce.lockTimeout, 5)
    assert.equal(storage.optionsInForce.durability, 'full')
    assert.throws(() => { (storage.optionsInForce as any).lockTimeout = 7 }, TypeError)
    assert.throws(() => { (storage as any).options = {} }, TypeError)
    await storage.close()
  }))

  test('every call rejects with CLOSED after close', withCalls(async (calls, storage, base) => {
    mkdirSync(join(base, 'data'), { recursive: true })
    await storage.close()
    const all = [
      () => calls.readValidatedJson('a.json', settings, null as never),
      () => calls.writeValidatedJson('a.json', { theme: 'a' }, settings),
      () => calls.withLock('key', () => {}),
      () => calls.ensureDirExists('a'),
      () => calls.idExists(1),
      () => storage.findBy('a', 1),
      () => storage.findRange('a', 1, 2),
      () => storage.searchBy('a', 'b'),
    ]
    for (const call of all) assert.equal((await caught(call())).code, 'CLOSED', String(call))
  }))
})
