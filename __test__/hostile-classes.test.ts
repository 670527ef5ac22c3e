import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { z } from 'zod'
import * as storages from '../index.js'
import { BaseStorage, IndexManager, MigrationManager, ProjectFileStorage, ProjectStorageV2, type StorageOptions } from '../index.js'
import { isFair, oddValues } from './support/odd-values.js'
import { fileInput, projectInput, withDirectory } from './support/index.js'

const note = z.object({ id: z.number(), created: z.number(), updated: z.number(), text: z.string() })

class Notes extends BaseStorage<z.infer<typeof note>> {
  constructor(options: StorageOptions) {
    super(z.record(z.string(), note), note, 'notes', options)
  }
  getIndexPath() {
    return join(this.basePath, this.dataDir, 'index.json')
  }
  getEntityPath() {
    return null
  }
}

interface Subject {
  /** Makes the object whose methods are called. */
  make(basePath: string): Promise<any>
  /** Does something ordinary, which must still work after any call. */
  use(subject: any): Promise<void>
}

/** Milliseconds. Some calls wait until no other instance is open, which never happens here. */
const lockTimeout = 250

/** The number of indexes made so far, from which each gets its name. */
let made = 0

// One line for each class whose objects callers hold.
const classes: Record<string, Subject> = {
  ProjectStorageV2: { make: async (basePath) => new ProjectStorageV2({ basePath, lockTimeout }), use: (storage) => storage.create(projectInput()) },
  ProjectFileStorage: {
    make: async (basePath) => {
      const projects = new ProjectStorageV2({ basePath, lockTimeout })
      return projects.getFileStorage((await projects.create(projectInput())).id)
    },
    use: (files) => files.create(fileInput('a')),
  },
  IndexManager: {
    make: async (basePath) => new IndexManager(basePath, 'indexes', { lockTimeout }),
    use: async (indexes) => {
      const name = `index ${++made}`
      await indexes.createIndex({ name, type: 'hash', fields: ['a'] })
      await indexes.addToIndex(name, 1, { a: 1 })
      assert.deepEqual(await indexes.query(name, 1), [1])
    },
  },
  MigrationManager: {
    make: async (basePath) => new MigrationManager(basePath, { logger: null, lockTimeout }),
    use: (migrations) => migrations.getState(),
  },
  BaseStorage: { make: async (basePath) => new Notes({ basePath, lockTimeout }), use: (notes) => notes.create({ text: 'a' }) },
}

/** Methods that subclasses implement and the class itself calls. */
const hooks = new Set(['constructor', 'getIndexPath', 'getEntityPath'])

function methodsOf(subject: object): string[] {
  const names = new Set<string>()
  for (let type = Object.getPrototypeOf(subject); type !== Object.prototype; type = Object.getPrototypeOf(type)) {
    for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(type))) {
      if (!hooks.has(name) && typeof value === 'function') names.add(name)
    }
  }
  return [...names].sort()
}

/** Methods that return no promise and need no file. */
const answersAtOnce = new Set(['clearCache', 'generateId', 'getCacheStats', 'invalidateCache', 'off'])

const slow = new Set(['repair', 'verify', 'close'])

for (const [name, { make, use }] of Object.entries(classes)) {
  describe(`every method of ${name}`, () => {
    test('accepts or refuses odd arguments, and the object keeps working', withDirectory(async ({ base }) => {
      let subject = await make(base)
      let calls = 0
      for (const method of methodsOf(subject)) {
        for (const [what, odd] of slow.has(method) ? oddValues.slice(0, 2) : oddValues) {
          for (const args of [[odd], [odd, odd], [1, odd], [1, 1, odd]]) {
            calls++
            try {
              await subject[method](...args)
            } catch (error: any) {
              assert.ok(isFair(error), `${method}(${what}): ${error?.stack ?? error}`)
            }
          }
          if (method === 'close') subject = await make(base)
        }
        await use(subject)
      }
      await subject.close()
      assert.ok(calls > 1000, `${calls} calls`)
    }))

    test('that returns a promise rejects with CLOSED after close(), whatever its arguments', withDirectory(async ({ base }) => {
      const subject = await make(base)
      await subject.close()
      for (const method of methodsOf(subject)) {
        if (method === 'close' || answersAtOnce.has(method)) continue
        for (const args of [[], [Symbol('a'), Symbol('b'), Symbol('c'), 5]]) {
          const call = async () => subject[method](...args)
          await assert.rejects(call, { code: 'CLOSED' }, `${method} with ${args.length} arguments`)
        }
      }
    }))

    test('fails on a receiver of another kind', withDirectory(async ({ base }) => {
      const subject = await make(base)
      for (const method of methodsOf(subject)) {
        for (const receiver of [undefined, null, {}, 5, Object.create(Object.getPrototypeOf(subject))]) {
          if (method === 'generateId') continue
          const call = async () => subject[method].call(receiver, 1, 1)
          await assert.rejects(call, Error, `${method} on ${typeof receiver}`)
        }
      }
      await subject.close()
    }))
  })
}

test('every exported class is tested with odd arguments', () => {
  const errors = (value: any) => value.prototype instanceof Error
  const exported = Object.entries(storages).filter(([, value]) => typeof value === 'function' && !errors(value))
  for (const [name] of exported) assert.ok(name in classes || !/^[A-Z]/.test(name), `${name} is not tried`)
  assert.ok(ProjectFileStorage)
})

describe('inputs with side effects', () => {
  test('a getter may call the storage again', withDirectory(async ({ open }) => {
    const storage = open()
    const inner: Promise<unknown>[] = []
    const input = {
      path: '/a',
      get name() {
        inner.push(storage.create(projectInput('inner')))
        return 'outer'
      },
    }
    await storage.create(input)
    await Promise.all(inner)
    assert.deepEqual(new Set((await storage.list()).map(({ name }) => name)), new Set(['inner', 'outer']))
  }))

  test('a getter may close the storage: the entity is stored or refused with CLOSED', withDirectory(async ({ open }) => {
    const storage = open()
    let closing: Promise<void> | undefined
    const input = {
      path: '/a',
      get name() {
        closing ??= storage.close()
        return 'last'
      },
    }
    const created = await storage.create(input).catch((error) => error)
    await closing
    const stored = await open().list()
    if (created instanceof Error) assert.equal((created as any).code, 'CLOSED')
    assert.equal(stored.length, created instanceof Error ? 0 : 1)
  }))

  test('a proxy that changes its answers is stored as create returns it', withDirectory(async ({ open }) => {
    const storage = open()
    let asked = 0
    const input = new Proxy(projectInput(), { get: (target: any, key) => (key === 'name' ? `name ${++asked}` : target[key]) })
    const { id, name } = await storage.create(input)
    assert.equal((await storage.getById(id))?.name, name)
  }))
})
