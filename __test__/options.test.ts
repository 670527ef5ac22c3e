import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { describe, test } from 'node:test'
import { BaseStorage, IndexManager, MigrationManager, ProjectFileStorage, ProjectStorageV2 } from '../index.js'
import { caught, fileInput, projectInput, until, warningOf, withDirectory, withProject } from './support/index.js'
import { Things } from './support/things.js'

const refused: [option: string, value: unknown][] = [
  ...[5, true, {}, [], null, () => '/tmp'].map((value): [string, unknown] => ['basePath', value]),
  ...[1, 'true', null, {}].map((value): [string, unknown] => ['cacheEnabled', value]),
  ...['cacheTTL', 'maxCacheSize', 'lockTimeout'].flatMap((option) =>
    ['100', -1, NaN, Infinity, -Infinity, null, {}, [], true, 10n, Symbol('n')].map((value): [string, unknown] => [option, value])),
  ...['none', 'FULL', '', 1, true, null, {}].map((value): [string, unknown] => ['durability', value]),
]

/** The names in all warnings of misspelt options, whichever test led to them. */
const warned: string[] = []
process.on('warning', ({ code, message }: Error & { code?: string }) => {
  if (code === 'UNKNOWN_OPTION') warned.push(message.split(/[ ,]/)[4]!)
})

describe('a bad option is refused at construction, by name', () => {
  for (const [option, value] of refused) {
    test(`${option}: ${typeof value} ${typeof value === 'object' ? JSON.stringify(value) : String(value)}`, () => {
      assert.throws(() => new ProjectStorageV2({ [option]: value } as any), (error: any) => {
        assert.ok(error instanceof TypeError || error instanceof RangeError, String(error))
        assert.ok(error.message.includes(option), error.message)
        return true
      })
    })
  }

  test('a wrong type throws a TypeError, a wrong value a RangeError', () => {
    assert.throws(() => new ProjectStorageV2({ cacheTTL: '1' as any }), TypeError)
    assert.throws(() => new ProjectStorageV2({ cacheTTL: -1 }), RangeError)
    assert.throws(() => new ProjectStorageV2({ durability: 'none' as any }), RangeError)
  })

  for (const options of ['/tmp', 5, null, true, []]) {
    test(`options that are ${JSON.stringify(options)}`, () => {
      assert.throws(() => new ProjectStorageV2(options as any), TypeError)
    })
  }

  const wrong: [what: string, construct: (Class: any) => unknown, Class: unknown][] = [
    ['the type of an option', (Class) => new Class({ cacheTTL: '1' }), ProjectStorageV2],
    ['the value of an option', (Class) => new Class({ durability: 'none' }), ProjectStorageV2],
    ['options', (Class) => new Class(null), ProjectStorageV2],
    ['a data directory', (Class) => new Class('/tmp', 5), IndexManager],
    ['the path of a data directory', (Class) => new Class('/tmp', ''), IndexManager],
    ['no base path of indexes', (Class) => new Class(undefined, 'data'), IndexManager],
    ['options of indexes', (Class) => new Class('/tmp', 'data', null), IndexManager],
    ['a base path', (Class) => new Class(5), MigrationManager],
    ['options of a manager', (Class) => new Class('/tmp', null), MigrationManager],
    ['a list as the options of a manager', (Class) => new Class('/tmp', []), MigrationManager],
    ['paths to include', (Class) => new Class('/tmp', { include: 'a' }), MigrationManager],
    ['a logger', (Class) => new Class('/tmp', { logger: 5 }), MigrationManager],
    ['a number of backups', (Class) => new Class('/tmp', { keep: 0 }), MigrationManager],
    ['an abstract class', (Class) => new Class(), BaseStorage],
    ['the data directory of a storage', (Class) => new (class extends (Class as any) {} as any)({}, {}, 5), BaseStorage],
    ['an empty data directory', (Class) => new (class extends (Class as any) {} as any)({}, {}, ''), BaseStorage],
    ['a data directory that is not a path', (Class) => new (class extends (Class as any) {} as any)({}, {}, 'a\0b'), BaseStorage],
    ['a class that only a storage may instantiate', (Class) => new Class(), ProjectFileStorage],
    ['a list as the options of indexes', (Class) => new Class('/tmp', 'x', []), IndexManager],
  ]
  for (const [what, construct, Class] of wrong) {
    test(`the error has the code INVALID_ARGUMENT: ${what}`, () => {
      assert.throws(() => construct(Class), { code: 'INVALID_ARGUMENT' })
    })
  }

  test('an error that a getter throws is passed on unchanged', () => {
    const options = { get cacheTTL(): number { throw new Error('from the getter') } }
    assert.throws(() => new ProjectStorageV2(options), /from the getter/)
  })

  test('each option is read once', () => {
    const reads: string[] = []
    const given = { basePath: '/tmp', cacheEnabled: undefined, cacheTTL: 1, maxCacheSize: undefined, lockTimeout: 1, durability: undefined }
    const noting = new Proxy(given, { get: (target, name) => (reads.push(String(name)), Reflect.get(target, name)) })
    new ProjectStorageV2(noting)
    assert.deepEqual(reads.filter((name) => name in given).sort(), Object.keys(given).sort())
  })
})

describe('defaults', () => {
  test('are the documented ones', withDirectory(async ({ open }) => {
    const { maxSize, ttl, enabled } = open().getCacheStats()
    assert.deepEqual({ maxSize, ttl, enabled }, { maxSize: 100, ttl: 300_000, enabled: true })
  }))

  test('apply to an option that is undefined', withDirectory(async ({ open }) => {
    const none = { cacheEnabled: undefined, cacheTTL: undefined, maxCacheSize: undefined, durability: undefined } as any
    const { maxSize, ttl, enabled } = open(none).getCacheStats()
    assert.deepEqual({ maxSize, ttl, enabled }, { maxSize: 100, ttl: 300_000, enabled: true })
  }))

  test('construction touches no file', withDirectory(async ({ base, open }) => {
    open()
    assert.deepEqual(await readdir(base), [])
  }))
})

describe('a storage stores and reads with each accepted setting', () => {
  const settings = [
    { durability: 'os' },
    { durability: 'full' },
    { cacheEnabled: false },
    { cacheTTL: 0 },
    { maxCacheSize: 0 },
    { maxCacheSize: 1 },
    { lockTimeout: 0 },
    { lockTimeout: 2 ** 31 },
    { cacheTTL: Number.MAX_SAFE_INTEGER, maxCacheSize: Number.MAX_SAFE_INTEGER },
  ] as const
  for (const options of settings) {
    test(JSON.stringify(options), withDirectory(async ({ open }) => {
      const storage = open(options)
      const project = await storage.create(projectInput())
      assert.deepEqual(await storage.getById(project.id), project)
      assert.deepEqual(await storage.getById(project.id), project)
      await storage.close()
      assert.deepEqual(await open().getById(project.id), project)
    }))
  }
})

describe('the options of a call', () => {
  test('may be null, which counts as none', withProject(async (storage, project, { base }) => {
    const none = null as never
    const files = storage.getFileStorage(project.id)
    const file = await files.create(fileInput('a.ts'), none)
    assert.deepEqual(await storage.getById(project.id, none), project)
    assert.deepEqual(await storage.list(none), [project])
    assert.deepEqual(await files.list(none), [file])
    assert.deepEqual(await storage.getProjectFiles(project.id, none), [file])
    const iterated = []
    for await (const each of storage.iterate(none)) iterated.push(each)
    assert.deepEqual(iterated, [project])
    assert.equal(await storage.transaction((tx) => tx.delete(project.id), none), true)
    await storage.changes(none).return()
    const manager = new MigrationManager(base, { logger: null })
    await manager.restore(await manager.backup('one', none), none)
    await manager.close()
  }))

  test('are refused with advice if they are a position that map() passed', withProject(async (storage, project) => {
    const ids: any[] = [project.id]
    const calls: any[] = [storage.getById, storage.getProjectFiles, storage.delete]
    for (const call of calls) {
      const error = await caught(Promise.all(ids.map(call, storage)))
      assert.equal(error.code, 'INVALID_ARGUMENT')
      assert.match(error.message, /^options must be an object, got 0; in map\(\) .*\(id\) => storage\.getById\(id\)/)
    }
    assert.deepEqual(await storage.list(), [project])
  }))
})

describe('a misspelt option', () => {
  const misspelt: [given: object, meant: string, use: (options: any, base: string) => unknown][] = [
    [{ cacheTtl: 1 }, 'cacheTTL', (options) => new ProjectStorageV2(options)],
    [{ basepath: '/tmp' }, 'basePath', (options) => new Things(options)],
    [{ lockTimeoutMs: 1 }, 'lockTimeout', (options, base) => new IndexManager(base, 'data', options)],
    [{ incldue: [] }, 'include', (options, base) => new MigrationManager(base, options)],
    [{ includeContnet: false }, 'includeContent', (options, base) => new ProjectStorageV2({ basePath: base }).getProjectFiles(1, options)],
    [{ uniqe: true }, 'unique', (index, base) => new Things({ basePath: base, indexes: [{ name: 'a', type: 'hash', fields: ['a'], ...index }] })],
    [{ spares: true }, 'sparse', (index, base) => new IndexManager(base, 'data').createIndex({ name: 'a', type: 'hash', fields: ['a'], ...index })],
    [{ signl: undefined }, 'signal', (options, base) => new ProjectStorageV2({ basePath: base }).getById(1, options)],
  ]
  for (const [given, meant, use] of misspelt) {
    const [name] = Object.keys(given)
    test(`is ignored with a warning that names the one that was meant: ${name}`, withDirectory(async ({ base }) => {
      const warning = await warningOf('UNKNOWN_OPTION', async () => use(given, base))
      assert.equal(warning.message, `there is no option ${name}, so it is ignored: ${meant} was probably meant`)
    }))
  }

  test('is one that differs from an option in one letter of three, and in two at most', async () => {
    const misspelt = ['kep', 'fromm', 'scppe', 'xlockTimeoutx', 'ockTimeou', 'lockTameoud', 'LOCKTIMEOUTMS']
    const unknown = ['form', 'kept', 'xlockTimeouxx', 'ockTameoud', 'lockTimes', 'lckTmeut']
    const names = [...unknown, ...misspelt]
    new ProjectStorageV2(Object.fromEntries(names.map((name) => [name, 1])) as any)
    await until('the last warning', () => warned.includes(misspelt.at(-1)!))
    assert.deepEqual(warned.filter((name) => names.includes(name)), misspelt)
  })

  test('is never one that exists', () => {
    const options = ['basePath', 'cacheEnabled', 'cacheTTL', 'maxCacheSize', 'lockTimeout', 'durability', 'logger', 'signal']
    assert.deepEqual(warned.filter((name) => options.includes(name)), [])
  })

  test('is warned of only once, and properties that resemble no option never are', async () => {
    const names = ['tenant', 'before', 'x', 'durabilty', 'maxCachSize']
    new ProjectStorageV2({ tenant: 'a', before: 1, x: 2, durabilty: 'os' } as any)
    new ProjectStorageV2({ durabilty: 'os', maxCachSize: 7 } as any)
    await until('the last warning', () => warned.includes('maxCachSize'))
    assert.deepEqual(warned.filter((name) => names.includes(name)), ['durabilty', 'maxCachSize'])
  })
})
