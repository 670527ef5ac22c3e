import assert from 'node:assert/strict'
import { mkdir, readFile, rm, writeFile, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { runInThisContext } from 'node:vm'
import { transform } from 'esbuild'
import { z } from 'zod'
import { IndexManager, NotFoundError, ProjectStorageV2, StorageError, ValidationError } from '../index.js'
import { caught, dataPath, fileInput, projectInput, withDirectory, withProject, withStorage } from './support/index.js'
import { watchedSignal } from './support/signals.js'
import { Things } from './support/things.js'

const { NativeCollection, Port } = require('../binding.js')

describe('the error classes', () => {
  test('extend Error and have their own names and codes', () => {
    const validation = new ValidationError('bad', [{ path: ['a', 0], message: 'wrong', code: 'invalid_type' }])
    const missing = new NotFoundError('gone')
    const other = new StorageError('closed', 'CLOSED')
    for (const error of [validation, missing, other]) {
      assert.ok(error instanceof StorageError && error instanceof Error)
      assert.ok(error.stack?.includes(error.message))
    }
    assert.deepEqual([validation.name, missing.name, other.name], ['ValidationError', 'NotFoundError', 'StorageError'])
    assert.deepEqual([validation.code, missing.code, other.code], ['VALIDATION_ERROR', 'NOT_FOUND', 'CLOSED'])
    assert.deepEqual(validation.issues, [{ path: ['a', 0], message: 'wrong', code: 'invalid_type' }])
  })

  test('keep their names when a bundler renames them', async () => {
    const source = await readFile(join(__dirname, '..', 'lib', 'errors.js'), 'utf8')
    const { code } = await transform(`(module) => {${source}}`, { minifyIdentifiers: true })
    const found: any = {}
    runInThisContext(code)(found)
    for (const name of ['StorageError', 'ValidationError', 'NotFoundError']) {
      assert.deepEqual([found.exports[name].name, new found.exports[name]('gone').name], [name, name])
    }
  })

  test('keep a cause', () => {
    const cause = new Error('below')
    assert.equal(new StorageError('above', 'IO_ERROR', { cause }).cause, cause)
  })

  test('have no cause if there is none, which would be printed', withStorage(async (storage) => {
    assert.ok(!('cause' in await caught(storage.getById({} as never))))
  }))
})

/** Returns how many holds on the process something leaves behind. */
async function heldAfter(work: () => Promise<unknown>) {
  const { hold, release } = Port.prototype
  let held = 0
  Port.prototype.hold = function () {
    held += 1
    hold.call(this)
  }
  Port.prototype.release = function (...args: unknown[]) {
    held -= 1
    release.apply(this, args)
  }
  try {
    await work()
    return held
  } finally {
    Object.assign(Port.prototype, { hold, release })
  }
}

describe('a call that fails before native code is called', () => {
  const failing = (base: string) => new Things({ basePath: base, file: join('..', 'elsewhere.json') })

  test('does not keep the process alive', withDirectory(async ({ base }) => {
    const held = await heldAfter(async () => assert.equal((await caught(failing(base).stats())).code, 'INVALID_ARGUMENT'))
    assert.equal(held, 0)
  }))

  test('leaves no listener on its signal', withDirectory(async ({ base }) => {
    const { signal, heard } = watchedSignal()
    assert.equal((await caught(failing(base).rebuildIndexes({ signal }))).code, 'INVALID_ARGUMENT')
    assert.deepEqual(heard, ['on', 'off'])
  }))
})

describe('calls whose answers cannot be received', () => {
  test('fail without keeping the process alive, and later calls get theirs', withProject(async (storage, project) => {
    const { take } = Port.prototype
    Port.prototype.take = function () {
      Port.prototype.take = take
      take.call(this)
      throw new Error('no room')
    }
    const held = await heldAfter(async () => {
      const errors = await Promise.all([storage.query(), storage.explain()].map(caught))
      assert.deepEqual(errors.map(({ message }) => message), ['no room', 'no room'])
    })
    assert.equal(held, 0)
    assert.deepEqual(await storage.query(), [project])
  }))

  test('leave no message behind for which nothing would wake the thread up', withProject(async (storage, project, { base }) => {
    const files = storage.getFileStorage(project.id)
    await files.createMany(Array.from({ length: 8 }, (_, at) => fileInput(`${at}`, 'a'.repeat(2 ** 20))))
    storage.clearCache()
    const { take } = Port.prototype
    const [BEGUN, NOBODY] = [6, 2 ** 32 - 1]
    Port.prototype.take = function () {
      // A closed collection answers at once, behind what waits already.
      const options = { cacheEnabled: false, cacheTtl: 0, maxCacheSize: 0, lockTimeout: 0, fullDurability: false }
      const closed = new NativeCollection(this, base, join(base, 'closed'), 'a.json', '[]', options)
      closed.close(NOBODY)
      closed.get(NOBODY, '1')
      const messages = take.call(this)
      if (messages.at(-3) !== BEGUN) return messages
      Port.prototype.take = take
      throw new Error('no room')
    }
    assert.equal((await caught(files.list())).message, 'no room')
    assert.deepEqual(await storage.query(), [project])
  }))
})

describe('a ValidationError', () => {
  test('comes from invalid data, with issues and a message that names the field', withStorage(async (storage) => {
    const error = await caught(storage.create({ name: 5, path: '/a' } as any))
    assert.ok(error instanceof ValidationError)
    assert.equal(error.issues.length, 1)
    assert.deepEqual(error.issues[0]!.path, ['name'])
    assert.ok(error.message.includes('name'))
    assert.equal(error.outcome, 'none')
  }))

  test('reports a schema that drops the id', withDirectory(async ({ base }) => {
    const things = new Things({ basePath: base, schema: z.object({ name: z.string() }) })
    assert.match((await caught(things.create({ name: 'a' }))).message, /got one without an id/)
    await things.close()
  }))

  test('gives the index of the invalid element of a bulk call', withProject(async (storage, project) => {
    const files = storage.getFileStorage(project.id)
    const error = await caught(files.createMany([fileInput('a'), { ...fileInput('b'), content: 5 as any }]))
    assert.deepEqual(error.issues.map(({ path }: any) => path), [[1, 'content']])
  }))
})

describe('a NotFoundError', () => {
  test('names the id', withProject(async (storage, project) => {
    for (const call of [
      () => storage.addFile(4711, fileInput('a')),
      () => storage.updateProjectFile(project.id, 4711, {}),
      () => storage.createFileVersion(project.id, 4711, ''),
      () => storage.revertToVersion(project.id, 4711, 1),
    ]) {
      const error = await caught(call())
      assert.ok(error instanceof NotFoundError)
      assert.equal(error.code, 'NOT_FOUND')
      assert.match(error.message, /4711/)
      assert.equal(error.outcome, 'none')
    }
  }))
})

describe('CLOSED', () => {
  test('is a StorageError', withStorage(async (storage) => {
    await storage.close()
    const error = await caught(storage.list())
    assert.ok(error instanceof StorageError)
    assert.equal(error.code, 'CLOSED')
  }))

  test('is a rejection, not an exception', withStorage(async (storage) => {
    await storage.close()
    const promise = storage.create(projectInput())
    assert.ok(promise instanceof Promise)
    await assert.rejects(promise, { code: 'CLOSED' })
  }))
})

describe('every refused write reports that nothing changed', () => {
  const writes = (storage: any, files: any, things: any, indexes: any) => [
    () => storage.create(projectInput()),
    () => storage.update(-1, {}),
    () => storage.delete(-1),
    () => storage.deleteAll({ signal: 5 }),
    () => storage.writeProjects(null),
    () => storage.writeProjectFiles(-1, {}),
    () => storage.addFile(-1, fileInput('a')),
    () => storage.updateProjectFile('x', 1, {}),
    () => storage.deleteProjectData(-1),
    () => storage.revertToVersion(1, 1, '1'),
    () => storage.rebuildIndexes(5),
    () => storage.repair(5),
    () => storage.transaction(5),
    () => files.create(fileInput('a'), 5),
    () => files.createMany('x'),
    () => files.updateMany([null]),
    () => files.deleteMany([null]),
    () => files.delete(NaN),
    () => files.createVersion(-1, 'x'),
    () => files.revertToVersion(1, '1'),
    () => files.createFromStream({ name: 'a', path: 'a' }, 5),
    () => files.writeAll(new Map()),
    () => things.create(null),
    () => things.update({}, {}),
    () => things.update(1, null),
    () => things.delete(null),
    () => things.writeAll(5),
    () => things.protectedCalls().writeValidatedJson('', {}, { parseAsync: () => ({}) }),
    () => things.protectedCalls().ensureDirExists('\0'),
    () => things.protectedCalls().withLock(5, () => {}),
    () => indexes.createIndex({}),
    () => indexes.dropIndex(5),
    () => indexes.addToIndex('a', NaN, {}),
    () => indexes.addToIndex('a', 1, null),
    () => indexes.removeFromIndex('a', {}),
    () => indexes.rebuildIndex('a', 5),
    () => indexes.repair(5),
  ]
  const openAll = (base: string, storage: ProjectStorageV2) => {
    const [files, things, indexes] = [storage.getFileStorage(7), new Things({ basePath: base }), new IndexManager(base, 'data')]
    return { calls: writes(storage, files, things, indexes), closeAll: () => Promise.all([files, storage, things, indexes].map((one) => one.close())) }
  }

  test('when an argument is invalid', withStorage(async (storage, { base }) => {
    const { calls, closeAll } = openAll(base, storage)
    for (const call of calls.slice(1)) {
      const error = await caught(call())
      assert.ok(error instanceof StorageError, `${call}: ${error}`)
      assert.equal(error.outcome, 'none', `${call}: ${error}`)
    }
    await closeAll()
  }))

  test('when the storage is closed', withStorage(async (storage, { base }) => {
    const { calls, closeAll } = openAll(base, storage)
    await closeAll()
    for (const call of calls) {
      const error = await caught(call())
      assert.deepEqual([error.code, error.outcome], ['CLOSED', 'none'], `${call}: ${error}`)
    }
  }))
})

describe('IO_ERROR', () => {
  test('gives the errno, the path and the operation that failed', withDirectory(async ({ base, open }) => {
    await mkdir(join(base, 'data'))
    await writeFile(dataPath(base), 'a file where the directory should be')
    const error = await caught(open().create(projectInput()))
    assert.ok(error instanceof StorageError)
    assert.equal(error.code, 'IO_ERROR')
    if (process.platform !== 'win32') assert.equal(error.errno, 'ENOTDIR')
    assert.ok(error.path!.startsWith(base), error.path)
    assert.ok(error.operation!.length > 0)
    assert.equal(error.outcome, 'none')
    assert.ok(error.message.includes(error.path!))
  }))

  test('gives the errno of a less common system error', withDirectory(async ({ base, open }) => {
    if (process.platform === 'win32') return
    await symlink('data', join(base, 'data'))
    assert.equal((await caught(open().create(projectInput()))).errno, 'ELOOP')
  }))

  test('lets the next call succeed once the cause is gone', withDirectory(async ({ base, open }) => {
    await mkdir(join(base, 'data'))
    await writeFile(dataPath(base), 'in the way')
    const storage = open()
    assert.equal((await caught(storage.create(projectInput()))).code, 'IO_ERROR')
    await rm(dataPath(base))
    const project = await storage.create(projectInput())
    assert.deepEqual(await storage.getById(project.id), project)
  }))
})

test('a base path with a NUL character is refused', withDirectory(async ({ base }) => {
  const use = async () => {
    const storage = new ProjectStorageV2({ basePath: `${base}\0x` })
    try {
      await storage.create(projectInput())
    } finally {
      await storage.close()
    }
  }
  await assert.rejects(use(), (error: any) => error instanceof RangeError || error.code === 'INVALID_ARGUMENT')
}))
