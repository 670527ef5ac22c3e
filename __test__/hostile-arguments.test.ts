import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { ProjectStorageV2 } from '../index.js'
import { oddValues } from './support/odd-values.js'
import { caught, fileInput, fileRecord, projectInput, projectRecord, withProject, withStorage } from './support/index.js'

type Call = (storage: ProjectStorageV2, id: number, odd: any) => unknown

const calls: Record<string, Call> = {
  'create': (storage, _id, odd) => storage.create(odd),
  'create with a name': (storage, _id, odd) => storage.create({ name: odd, path: '/a' }),
  'getById': (storage, _id, odd) => storage.getById(odd),
  'update': (storage, _id, odd) => storage.update(odd, { name: 'b' }),
  'update with a patch': (storage, id, odd) => storage.update(id, odd),
  'delete': (storage, id, odd) => storage.delete(Number(id) === odd ? -1 : odd),
  'writeAll': (storage, _id, odd) => storage.writeAll(odd),
  'writeProjects of a record': (storage, _id, odd) => storage.writeProjects({ 5: odd }),
  'findByName': (storage, _id, odd) => storage.findByName(odd),
  'findByPath': (storage, _id, odd) => storage.findByPath(odd),
  'listByDateRange': (storage, _id, odd) => storage.listByDateRange(odd, odd),
  'search': (storage, _id, odd) => storage.search(odd),
  'getRecent': (storage, _id, odd) => storage.getRecent(odd),
  'getFileStorage': (storage, _id, odd) => storage.getFileStorage(odd).list(),
  'addFile': (storage, id, odd) => storage.addFile(id, odd),
  'addFile to a project': (storage, _id, odd) => storage.addFile(odd, fileInput('a')),
  'addFile with content': (storage, id, odd) => storage.addFile(id, { ...fileInput('a'), content: odd }),
  'addFile with a time': (storage, id, odd) => storage.addFile(id, { ...fileInput('a'), lastSyncedAt: odd }),
  'getProjectFiles with options': (storage, id, odd) => storage.getProjectFiles(id, odd),
  'searchFiles': (storage, id, odd) => storage.searchFiles(id, odd),
  'readProjectFile': (storage, id, odd) => storage.readProjectFile(id, odd),
  'writeProjectFiles': (storage, id, odd) => storage.writeProjectFiles(id, odd),
  'createFileVersion with content': (storage, id, odd) => storage.createFileVersion(id, 1, odd),
  'createFileVersion with more': (storage, id, odd) => storage.createFileVersion(id, 1, '', odd),
  'getFileVersion': (storage, id, odd) => storage.getFileVersion(id, 1, odd),
  'revertToVersion': (storage, id, odd) => storage.revertToVersion(id, 1, odd),
  'deleteProjectData': (storage, _id, odd) => storage.deleteProjectData(odd),
  'createMany of projects': (storage, _id, odd) => storage.createMany(odd),
  'createMany of one project': (storage, _id, odd) => storage.createMany([odd]),
  'updateMany of projects': (storage, _id, odd) => storage.updateMany([{ id: odd, data: odd }]),
  'deleteMany of projects': (storage, id, odd) => storage.deleteMany([Number(id) === odd ? -1 : odd]),
  'createMany': (storage, id, odd) => storage.getFileStorage(id).createMany(odd),
  'createMany of one': (storage, id, odd) => storage.getFileStorage(id).createMany([odd]),
  'updateMany': (storage, id, odd) => storage.getFileStorage(id).updateMany([{ id: odd, data: odd }]),
  'deleteMany': (storage, id, odd) => storage.getFileStorage(id).deleteMany([odd]),
  'getByExtension': (storage, id, odd) => storage.getFileStorage(id).getByExtension(odd),
}

// 36 calls × 40 values.
describe('an odd argument is accepted or refused, and the storage keeps working', () => {
  for (const [name, call] of Object.entries(calls)) {
    test(name, withStorage(async (storage) => {
      for (const [what, odd] of oddValues) {
        const { id } = await storage.create(projectInput())
        try {
          await call(storage, id, odd)
        } catch (error: any) {
          // Either one of this package's codes, or what the caller's own getter, trap or proxy threw.
          const own = ['VALIDATION_ERROR', 'INVALID_ARGUMENT', 'NOT_FOUND'].includes(error.code)
          const caller = /trap|getter|toString|valueOf|toJSON|proxy/i.test(error.message)
          assert.ok(error instanceof Error && (own || caller), `${what}: ${error.stack}`)
        }
        const probe = await storage.create(projectInput('probe'))
        assert.equal((await storage.getById(probe.id))?.name, 'probe', what)
      }
    }))
  }

  test('methods called without arguments', withProject(async (storage, project) => {
    const files = storage.getFileStorage(project.id)
    for (const target of [storage, files] as any[]) {
      const reading = ['getById', 'update', 'create', 'getByPath', 'search', 'writeAll', 'delete']
      for (const method of reading) {
        await assert.rejects(async () => target[method](), (error: any) => ['VALIDATION_ERROR', 'INVALID_ARGUMENT'].includes(error.code), method)
      }
    }
    assert.deepEqual(await storage.list(), [project])
  }))

  test('list called on a receiver that is not a storage', async () => {
    const { ProjectStorageV2 } = await import('../index.js')
    for (const receiver of [undefined, null, {}, 5]) {
      await assert.rejects(async () => ProjectStorageV2.prototype.list.call(receiver as any), Error)
    }
  })
})

describe('ids', () => {
  test('given as numeric strings find the entities with those numbers', withStorage(async (storage) => {
    await storage.writeProjects({ 5: projectRecord(5) })
    assert.equal((await storage.getById('5'))?.id, 5)
    assert.equal((await storage.update('5', { name: 'b' }))?.name, 'b')
    assert.equal(await storage.delete('5'), true)
  }))

  for (const name of ['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'valueOf']) {
    test(`named ${name} find nothing and store nothing`, withProject(async (storage, project) => {
      for (const read of [() => storage.getById(name), () => storage.readProjectFile(project.id, name)]) {
        const found = await read().catch((error) => {
          assert.equal(error.code, 'INVALID_ARGUMENT')
          return null
        })
        assert.equal(found ?? null, null)
      }
      const map = JSON.parse(`{"${name}": ${JSON.stringify(projectRecord(1))}}`)
      await assert.rejects(storage.writeProjects(map), { code: 'VALIDATION_ERROR' })
      assert.deepEqual(await storage.readProjects(), { [project.id]: project })
      assert.equal(({} as any).name, undefined)
    }))
  }

  test('outside the valid range, or written in another way, are refused', withStorage(async (storage) => {
    await storage.writeProjects({ 1: projectRecord(1) })
    const files = storage.getFileStorage(1)
    for (const id of ['01', '+1', '1.0', ' 1', 2_524_608_000_001, '2524608000001'] as any[]) {
      const errors = await Promise.all([storage.getById(id), files.getById(id), files.getVersions(id)].map(caught))
      assert.deepEqual(errors.map(({ code }) => code), Array(3).fill('INVALID_ARGUMENT'), String(id))
    }
  }))

  test('outside the valid range are refused in a map', withStorage(async (storage) => {
    for (const id of [-1, 1.5, 2_524_608_000_001, 2 ** 53]) {
      await assert.rejects(storage.writeProjects({ [id]: projectRecord(id) }), { code: 'VALIDATION_ERROR' }, String(id))
    }
    assert.deepEqual(await storage.readProjects(), {})
  }))
})

describe('names with a meaning in JavaScript', () => {
  for (const text of ['__proto__', 'constructor', 'null', 'undefined', '[object Object]']) {
    test(`${text} is a name, a path and a word like any other`, withStorage(async (storage) => {
      const project = await storage.create({ name: text, path: text })
      const file = await storage.addFile(project.id, fileInput(text, text))
      assert.deepEqual(await storage.findByName(text), [project])
      assert.deepEqual(await storage.getByPath(text), project)
      assert.deepEqual(await storage.getFileStorage(project.id).getByPath(text), file)
      assert.deepEqual(await storage.searchFiles(project.id, text), [file])
    }))
  }

  test('an own __proto__ property is dropped like any unknown one', withStorage(async (storage) => {
    const input = JSON.parse('{"name": "a", "path": "/a", "__proto__": {"description": "polluted"}}')
    const project = await storage.create(input)
    assert.equal(project.description, '')
    assert.equal(Object.getPrototypeOf(project), Object.prototype)
  }))
})

describe('arguments changed while the call runs', () => {
  test('do not change what create stores', withStorage(async (storage) => {
    const input = projectInput()
    const creating = storage.create(input)
    input.name = 'changed'
    assert.equal((await creating).name, 'Sample')
    assert.equal((await storage.list())[0]?.name, 'Sample')
  }))

  test('do not change what update stores', withProject(async (storage, project) => {
    const patch = { name: 'b' }
    const updating = storage.update(project.id, patch)
    patch.name = 'changed'
    assert.equal((await updating)?.name, 'b')
  }))

  test('do not change what the bulk calls store', withProject(async (storage, project) => {
    const files = storage.getFileStorage(project.id)
    const inputs = [fileInput('a'), fileInput('b')]
    const creating = files.createMany(inputs)
    inputs[0]!.path = 'changed'
    inputs.length = 0
    const ids = (await creating).map(({ id }) => id)
    assert.deepEqual((await files.list()).map(({ path }) => path), ['a', 'b'])
    const deleting = files.deleteMany(ids)
    ids.length = 0
    assert.equal(await deleting, 2)
  }))

  test('do not change what the whole-map calls store', withProject(async (storage, { id }) => {
    const map = { 5: fileRecord(5, id) }
    const writing = storage.writeProjectFiles(id, map)
    map[5].content = 'changed'
    await writing
    assert.equal((await storage.readProjectFile(id, 5))?.content, 'text')
  }))
})

describe('inputs that are not plain objects', () => {
  test('a class instance is stored with its own properties', withStorage(async (storage) => {
    class Input {
      name = 'a'
      path = '/a'
    }
    const { name, path } = await storage.create(new Input())
    assert.deepEqual({ name, path }, { name: 'a', path: '/a' })
  }))

  test('a proxy is read through its traps', withStorage(async (storage) => {
    const project = await storage.create(new Proxy(projectInput(), {}))
    assert.deepEqual(await storage.getById(project.id), project)
  }))

  test('a frozen object is accepted', withStorage(async (storage) => {
    const input = Object.freeze(projectInput())
    await storage.create(input)
    assert.deepEqual(input, projectInput())
  }))

  test('the error of a throwing getter reaches the caller, and nothing is written', withProject(async (storage, project) => {
    const input = { path: '/a', get name(): string { throw new RangeError('from the getter') } }
    await assert.rejects(async () => storage.create(input), { name: 'RangeError', message: 'from the getter' })
    await assert.rejects(async () => storage.update(project.id, input), { name: 'RangeError', message: 'from the getter' })
    assert.deepEqual(await storage.list(), [project])
  }))
})
