// A caller's storage in several processes and instances at once.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { caught, readJson, runChild, withDirectory } from './support/index.js'
import { Things, thing } from './support/things.js'

const file = (base: string) => join(base, 'data', 'things.json')

describe('several processes', () => {
  test('patch different fields of one entity without losing a patch', withDirectory(async ({ base }) => {
    const storage = new Things({ basePath: base })
    await storage.writeAll({ 1: thing(1) })
    const tags = ['a', 'b', 'c', 'd']
    const results = await Promise.all(tags.map((tag) => runChild('things.mjs', [base, 'patch', '1', tag, '25'])))
    for (const { code, stderr } of results) assert.equal(code, 0, stderr)
    const patched = (await storage.getById(1)) as unknown as Record<string, unknown>
    for (const tag of tags) for (let n = 0; n < 25; n++) assert.equal(patched[`${tag}${n}`], n)
    await storage.close()
  }))

  test('create entities whose ids never collide', withDirectory(async ({ base }) => {
    const results = await Promise.all([1, 2, 3, 4].map(() => runChild('things.mjs', [base, 'create', '100'])))
    const ids = results.flatMap(({ lines, stderr }) => JSON.parse(lines[0] ?? assert.fail(stderr)) as number[])
    assert.equal(new Set(ids).size, 400)
    const storage = new Things({ basePath: base })
    assert.equal((await storage.list()).length, 400)
    await storage.close()
  }))

  test('never generate an id that another process has generated, used or not', withDirectory(async ({ base }) => {
    const storage = new Things({ basePath: base })
    await storage.create({ name: 'opens the database' })
    // Generate so many that the last one is ahead of every clock.
    let last = 0
    for (let n = 0; n < 200_000; n++) last = storage.generateId()
    assert.ok(last > Date.now() + 60_000)
    const { lines, stderr } = await runChild('things.mjs', [base, 'create', '1'])
    const [theirs] = JSON.parse(lines[0] ?? assert.fail(stderr))
    assert.ok(theirs > last)
    assert.ok(storage.generateId() > theirs)
    await storage.close()
  }))

  test('find the JSON file up to date when one of them closes', withDirectory(async ({ base }) => {
    const storage = new Things({ basePath: base })
    const mine = await storage.create({ name: 'mine' })
    const { lines } = await runChild('things.mjs', [base, 'create', '1'])
    const [theirs] = JSON.parse(lines[0]!)
    assert.deepEqual(Object.keys(await readJson(file(base))).map(Number).sort(), [mine.id, theirs].sort())
    await storage.close()
  }))

  test('lose no acknowledged write when an instance is dropped without a close', withDirectory(async ({ base }) => {
    const { lines, stderr } = await runChild('things.mjs', [base, 'drop', '20'])
    const ids = JSON.parse(lines[0] ?? assert.fail(stderr)) as number[]
    assert.equal(ids.length, 20)
    const storage = new Things({ basePath: base })
    assert.deepEqual((await storage.list()).map(({ id }) => id), ids)
    await storage.close()
  }))
})

describe('several instances', () => {
  test('patch different fields of one entity without losing a patch', withDirectory(async ({ base }) => {
    const storages = [1, 2, 3].map(() => new Things({ basePath: base }))
    await storages[0]!.writeAll({ 1: thing(1) })
    await Promise.all(Array.from({ length: 100 }, (_, n) => storages[n % 3]!.update(1, { [`field${n}`]: n } as never)))
    const patched = (await storages[0]!.getById(1)) as unknown as Record<string, unknown>
    for (let n = 0; n < 100; n++) assert.equal(patched[`field${n}`], n)
    await Promise.all(storages.map((storage) => storage.close()))
  }))

  test('share a cache with the largest limits that any of them asks for', withDirectory(async ({ base }) => {
    const small = new Things({ basePath: base, maxCacheSize: 2, cacheTTL: 1000 })
    await small.list()
    const large = new Things({ basePath: base, maxCacheSize: 7, cacheTTL: 500 })
    await large.list()
    for (const storage of [small, large]) {
      const { maxSize, ttl } = storage.getCacheStats()
      assert.deepEqual({ maxSize, ttl }, { maxSize: 7, ttl: 1000 })
    }
    await Promise.all([small.close(), large.close()])
  }))

  test('disable the cache only for themselves', withDirectory(async ({ base }) => {
    const [off, on] = [new Things({ basePath: base, cacheEnabled: false }), new Things({ basePath: base })]
    const { id } = await on.create({ name: 'a' })
    await Promise.all([off.list(), on.getById(id)])
    const hits = async (storage: Things) => {
      const before = storage.getCacheStats().hits
      await storage.getById(id)
      return storage.getCacheStats().hits - before
    }
    assert.deepEqual([await hits(on), await hits(off), await hits(on)], [1, 0, 1])
    assert.deepEqual([off, on].map((storage) => storage.getCacheStats().enabled), [false, true])
    await Promise.all([off.close(), on.close()])
  }))

  test('wait for a lock no longer than their own lockTimeout', withDirectory(async ({ base }) => {
    const [patient, hasty] = [new Things({ basePath: base }), new Things({ basePath: base, lockTimeout: 5 })]
    let free = () => {}
    const gate = new Promise<void>((resolve) => (free = resolve))
    const holding = patient.protectedCalls().withLock('key', () => gate)
    assert.equal((await caught(hasty.protectedCalls().withLock('key', () => {}))).code, 'LOCK_TIMEOUT')
    free()
    await holding
    await Promise.all([patient.close(), hasty.close()])
  }))
})

describe('one logical read is one hit or one miss', () => {
  const reads: [string, (storage: Things) => Promise<unknown>, repeated: 'hit' | 'miss'][] = [
    ['getById', (storage) => storage.getById(1), 'hit'],
    ['list', (storage) => storage.list(), 'hit'],
    ['readAll', (storage) => storage.readAll(), 'hit'],
    ['idExists', (storage) => storage.protectedCalls().idExists(1), 'hit'],
    ['getById of a missing entity', (storage) => storage.getById(7), 'miss'],
    ['findBy', (storage) => storage.findBy('by_size', 1), 'miss'],
    ['findRange', (storage) => storage.findRange('by_size', 0, 9), 'miss'],
  ]
  for (const [name, read, repeated] of reads) {
    test(name, withDirectory(async ({ base }) => {
      const storage = new Things({ basePath: base, indexes: [{ name: 'by_size', type: 'btree', fields: ['size'] }] })
      await storage.writeAll({ 1: thing(1), 2: thing(2) })
      storage.clearCache()
      const counts = async () => {
        const before = storage.getCacheStats()
        await read(storage)
        const after = storage.getCacheStats()
        return [after.hits - before.hits, after.misses - before.misses]
      }
      assert.deepEqual(await counts(), [0, 1])
      assert.deepEqual(await counts(), repeated === 'hit' ? [1, 0] : [0, 1])
      await storage.close()
    }))
  }
})

describe('a subclass', () => {
  test('may override every method and call super', withDirectory(async ({ base }) => {
    const called: string[] = []
    const names = ['create', 'getById', 'update', 'delete', 'list', 'deleteAll', 'readAll', 'writeAll', 'generateId', 'clearCache',
      'getCacheStats', 'stats', 'rebuildIndexes', 'findBy', 'findRange', 'searchBy', 'idExists', 'withLock', 'readValidatedJson',
      'writeValidatedJson', 'ensureDirExists', 'invalidateCache', 'close'] as const
    class Noisy extends Things {}
    for (const name of names) {
      const original = (Things.prototype as any)[name] as (...args: unknown[]) => unknown
      Object.defineProperty(Noisy.prototype, name, {
        value(...args: unknown[]) {
          called.push(name)
          return original.apply(this, args)
        },
      })
    }
    const storage = new Noisy({ basePath: base, indexes: [
      { name: 'by_size', type: 'btree', fields: ['size'] },
      { name: 'by_words', type: 'inverted', fields: ['name'] },
    ] })
    const expected: string[] = []
    const each = async (name: (typeof names)[number], work: () => unknown) => {
      await work()
      expected.push(name)
      assert.deepEqual(called, expected, `${name} went through an overridden method`)
    }
    const calls = storage.protectedCalls()
    let id = 0
    await each('create', async () => { id = (await storage.create({ name: 'a' })).id })
    await each('getById', () => storage.getById(id))
    await each('update', () => storage.update(id, { name: 'b' }))
    await each('list', () => storage.list())
    await each('readAll', () => storage.readAll())
    await each('findBy', () => storage.findBy('by_size', 1))
    await each('findRange', () => storage.findRange('by_size', 0, 1))
    await each('searchBy', () => storage.searchBy('by_words', 'b'))
    await each('idExists', () => calls.idExists(id))
    await each('invalidateCache', () => calls.invalidateCache())
    await each('delete', () => storage.delete(id))
    await each('writeAll', () => storage.writeAll({ 1: thing(1) }))
    await each('deleteAll', () => storage.deleteAll())
    await each('generateId', () => storage.generateId())
    await each('clearCache', () => storage.clearCache())
    await each('getCacheStats', () => storage.getCacheStats())
    await each('stats', () => storage.stats())
    await each('rebuildIndexes', () => storage.rebuildIndexes())
    await each('withLock', () => calls.withLock('a', () => {}))
    await each('ensureDirExists', () => calls.ensureDirExists('folder'))
    const any = { '~standard': { version: 1 as const, vendor: 'test', validate: (value: unknown) => ({ value }) } }
    await each('writeValidatedJson', () => calls.writeValidatedJson('a.json', {}, any))
    await each('readValidatedJson', () => calls.readValidatedJson('a.json', any, {}))
    await each('close', () => storage.close())
  }))

  test('is closed at the end of an await using', withDirectory(async ({ base }) => {
    let kept: Things
    {
      await using storage = new Things({ basePath: base })
      await storage.create({ name: 'a' })
      kept = storage
    }
    assert.equal((await caught(kept.list())).code, 'CLOSED')
  }))

  test('closes if it was never used, even if its file path is invalid', withDirectory(async ({ base }) => {
    await new Things({ basePath: base, file: '../elsewhere.json' }).close()
  }))
})
