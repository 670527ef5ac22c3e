// What counts as a map, and what as an entity or a patch: nothing that hides its members, because that looks like an object
// without any.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { runInNewContext } from 'node:vm'
import { IndexManager, ProjectFilesStorageSchema, ProjectsStorageSchema, ValidationError } from '../index.js'
import { caught, fileInput, fileRecord, projectRecord, withDirectory, withProject } from './support/index.js'
import { Things, thing } from './support/things.js'

class Hidden {
  #fields = { 1: thing(1) }
  get fields() {
    return this.#fields
  }
}

const anySchema = { '~standard': { version: 1, vendor: 'test', validate: (value: unknown) => ({ value }) } }

/** Objects without visible members, by the name that an error gives them. */
const withoutMembers: Record<string, () => any> = {
  'a Promise': () => Promise.resolve({}),
  'an object': () => ({ __proto__: { then() {} } }),
  'a Map': () => new Map(),
  'a Set': () => new Set(),
  'a WeakMap': () => new WeakMap(),
  'a Date': () => new Date(),
  'an invalid Date': () => new Date(NaN),
  'a RegExp': () => /x/,
  'an array': () => [],
  'a Uint8Array': () => new Uint8Array(1),
  'an Error': () => new Error('x'),
  'a Hidden': () => new Hidden(),
}
const noObjects: Record<string, () => any> = {
  null: () => null, undefined: () => undefined, 'a number': () => 7, NaN: () => NaN, 'a string': () => 'x', 'a boolean': () => true,
  'a bigint': () => 10n, 'a symbol': () => Symbol('s'), 'a function': () => () => ({}),
}
const noMaps = { ...withoutMembers, ...noObjects }

describe('a whole map of entities', () => {
  for (const [name, make] of Object.entries(noMaps)) {
    test(`cannot be ${name}`, withProject(async (storage, { id }) => {
      const files = storage.getFileStorage(id)
      await files.create(fileInput('a.ts'))
      const before = [await storage.readProjects(), await storage.readProjectFiles(id)]
      const writes: ((map: any) => Promise<unknown>)[] = [
        (map) => storage.writeProjects(map),
        (map) => storage.writeAll(map),
        (map) => storage.writeProjectFiles(id, map),
        (map) => files.writeAll(map),
      ]
      for (const write of writes) {
        const error = await caught(write(make()))
        assert.ok(error instanceof ValidationError, `${write}: ${error}`)
        assert.deepEqual(error.issues.map(({ path }) => path), [[]])
        assert.match(error.message, /^expected a map of entities by id, which is a plain object, got /)
        if (name in withoutMembers) assert.ok(error.message.endsWith(name), error.message)
      }
      for (const schema of [ProjectsStorageSchema, ProjectFilesStorageSchema]) {
        const { success, error } = schema.safeParse(make())
        assert.ok(!success && error instanceof ValidationError)
        assert.throws(() => schema.parse(make()), ValidationError)
      }
      assert.deepEqual([await storage.readProjects(), await storage.readProjectFiles(id)], before)
    }))

    test(`cannot be ${name} in a BaseStorage subclass, whatever its schema accepts`, withDirectory(async ({ base }) => {
      const storage = new Things({ basePath: base })
      await storage.create({ name: 'a' })
      const error = await caught(storage.writeAll(make()))
      assert.ok(error instanceof ValidationError, String(error))
      assert.equal((await storage.list()).length, 1)
      await storage.close()
    }))
  }

  test('cannot be the promise of a map, as when an await is missing', withProject(async (storage, { id }) => {
    await storage.addFile(id, fileInput('a.ts'))
    await assert.rejects(storage.writeProjectFiles(id, storage.readProjectFiles(id) as any), ValidationError)
    await assert.rejects(storage.writeProjects(storage.readProjects() as any), ValidationError)
    assert.equal((await storage.getProjectFiles(id)).length, 1)
  }))

  test('may be an object without a prototype or from another realm', withProject(async (storage, { id }) => {
    const record = fileRecord(5, id)
    for (const map of [Object.assign(Object.create(null), { 5: record }), runInNewContext('({ 5: record })', { record })]) {
      assert.deepEqual(await storage.writeProjectFiles(id, map), { 5: record })
      assert.equal(ProjectFilesStorageSchema.safeParse(map).success, true)
    }
  }))

  for (const [name, make] of Object.entries(noMaps)) {
    test(`cannot have ${name} as a record`, withProject(async (storage, { id }) => {
      const files = caught(storage.writeProjectFiles(id, { 5: make() }))
      const projects = caught(storage.writeProjects({ 5: make() }))
      for (const error of await Promise.all([files, projects])) {
        assert.ok(error instanceof ValidationError, String(error))
        assert.ok(error.message.includes(`expected an object, got ${name}`), error.message)
      }
      assert.equal((await storage.list()).length, 1)
    }))
  }

  test('fail with what a toJSON in a record throws, or with INVALID_ARGUMENT for a bigint', withProject(async (storage, project) => {
    const thrown = [new Error('mine'), new TypeError('mine too'), 'a text']
    for (const error of thrown) {
      const more = { toJSON() { throw error } }
      assert.equal(await caught(storage.writeAll({ [project.id]: { ...project, more } as never })), error)
    }
    const { code, message } = await caught(storage.writeAll({ [project.id]: { ...project, more: [7n] } as never }))
    assert.equal(code, 'INVALID_ARGUMENT')
    assert.match(message, /BigInt/)
    assert.deepEqual(await storage.getById(project.id), project)
  }))

  test('may have class instances as records', withProject(async (storage) => {
    class Row {
      constructor(fields: object) {
        Object.assign(this, fields)
      }
    }
    assert.deepEqual(await storage.writeProjects({ 5: new Row(projectRecord(5)) as any }), { 5: projectRecord(5) })
  }))
})

describe('an entity or a patch', () => {
  for (const [name, make] of Object.entries(noMaps)) {
    test(`cannot be ${name}`, withProject(async (storage, project) => {
      const files = storage.getFileStorage(project.id)
      const file = await files.create(fileInput('a.ts'))
      const calls: ((given: any) => Promise<unknown>)[] = [
        (given) => storage.create(given),
        (given) => storage.update(project.id, given),
        (given) => files.create(given),
        (given) => files.createMany([given]),
        (given) => files.update(file.id, given),
        (given) => files.updateMany([{ id: file.id, data: given }]),
        (given) => storage.transaction((tx) => tx.create(given)),
        (given) => storage.transaction((tx) => tx.update(project.id, given)),
      ]
      for (const call of calls) {
        const error = await caught(call(make()))
        assert.ok(error instanceof ValidationError, `${call}: ${error}`)
        assert.ok(error.message.endsWith(`expected an object, got ${name}`), error.message)
      }
      assert.deepEqual([await storage.list(), await files.list()], [[project], [file]])
    }))

    test(`cannot be ${name} in a BaseStorage subclass`, withDirectory(async ({ base }) => {
      const storage = new Things({ basePath: base })
      const created = await storage.create({ name: 'a' })
      const calls: ((given: any) => Promise<unknown>)[] = [
        (given) => storage.create(given),
        (given) => storage.update(created.id, given),
        (given) => storage.transaction((tx) => tx.create(given)),
        (given) => storage.transaction((tx) => tx.update(created.id, given)),
      ]
      for (const call of calls) assert.equal((await caught(call(make()))).code, 'INVALID_ARGUMENT', String(call))
      assert.deepEqual(await storage.list(), [created])
      await storage.close()
    }))
  }

  test('may be an instance of a class that has fields', withProject(async (storage) => {
    class Draft {
      name = 'drafted'
      path = '/srv/drafted'
    }
    const { id } = await storage.create(new Draft())
    assert.equal((await storage.update(id, Object.assign(new Draft(), { name: 'again' })))!.name, 'again')
  }))
})

describe('an index', () => {
  for (const [name, make] of Object.entries(noMaps)) {
    test(`refuses ${name} as an entity in addToIndex and rebuildIndex`, withDirectory(async ({ base }) => {
      const indexes = new IndexManager(base, 'data')
      await indexes.createIndex({ name: 'by_name', type: 'hash', fields: ['name'] })
      await indexes.addToIndex('by_name', 1, { name: 'a' })
      // Once before it is known in memory which members the index looks at, and once after.
      for (let n = 0; n < 2; n++) {
        assert.equal((await caught(indexes.addToIndex('by_name', 2, make()))).code, 'INVALID_ARGUMENT')
        const all = name === 'a Map' ? new Map([[2, make()]]) : name === 'an array' ? [make()] : make()
        assert.equal((await caught(indexes.rebuildIndex('by_name', all))).code, 'INVALID_ARGUMENT')
        assert.deepEqual(await indexes.query('by_name', 'a'), [1])
      }
      assert.deepEqual(await indexes.query('by_name', null), [])
      await indexes.close()
    }))
  }
})

test('a validation error names the value or the type that was given', withProject(async (storage, { id }) => {
  const files = storage.getFileStorage(id)
  const { id: fileId } = await files.create(fileInput('a.ts'))
  const odd: [unknown, string][] = [
    [NaN, 'NaN'], [Infinity, 'Infinity'], [-Infinity, '-Infinity'], [10n, 'a bigint'], [new Date(NaN), 'an invalid Date'],
    [Symbol('s'), 'a symbol'], [() => 1, 'a function'], [[1], 'an array'], [{ a: 1 }, 'an object'], [new Map(), 'a Map'],
  ]
  for (const [value, name] of odd) {
    for (const field of ['size', 'name', 'lastSyncedAt', 'syncVersion']) {
      const given = { ...fileInput('b.ts'), [field]: value } as any
      for (const call of [files.create(given), files.update(fileId, given), files.createVersion(fileId, 'x', { [field]: value } as any)]) {
        const error = await caught(call)
        assert.deepEqual([error.code, error.issues[0].path], ['VALIDATION_ERROR', [field]])
        assert.ok(error.message.endsWith(`, got ${name}`), error.message)
      }
    }
    assert.match((await caught(files.createVersion(fileId, value as any))).message, new RegExp(`expected a string, got ${name}$`))
  }
  assert.match((await caught((files as any).createVersion(fileId))).message, /expected a string, got undefined$/)
  assert.match((await caught((storage as any).create())).message, /expected an object, got undefined$/)
  assert.equal((await files.list()).length, 1)
}))

describe('the message of a refused argument names', () => {
  const message = async (call: Promise<unknown>) => (await caught(call)).message

  test('an invalid Date', withProject(async (storage) => {
    assert.match(await message(storage.listByDateRange(new Date(NaN), 5)), /start .*, got an invalid Date$/)
    assert.match(await message(storage.listByDateRange(0, new Date(NaN))), /end .*, got an invalid Date$/)
    assert.match(await message(storage.findRange('x', new Date(NaN), 5)), /the start .*, got an invalid Date$/)
  }))

  test('the invalid fields of an index', withDirectory(async ({ base }) => {
    const indexes = new IndexManager(base, 'data')
    const said = (fields: any) => message(indexes.createIndex({ name: 'a', type: 'btree', fields }))
    assert.match(await said([]), /at least one field, got none$/)
    assert.match(await said(['a', '']), /fields\[1\] must be a string of valid Unicode that is not empty, got ""$/)
    assert.match(await said([5]), /fields\[0\] must be .*, got 5$/)
    assert.match(await said('a'), /fields must be an array of strings, .*, got "a"$/)
    assert.match(await message(indexes.queryRange('a', new Date(NaN), 5)), /the start .*, got an invalid Date$/)
    await indexes.close()
  }))

  test('an array given as options', withProject(async (storage, { id }) => {
    for (const call of [storage.list([] as any), storage.getFileStorage(id).list([] as any), storage.getById(id, [] as any)]) {
      assert.match(await message(call), /options must be an object, got an array$/)
    }
  }))

  test('a string given as a source', withProject(async (storage, { id }) => {
    const files = storage.getFileStorage(id)
    const said = await message(files.createFromStream({ name: 'a', path: 'a' }, 'hello' as any))
    assert.match(said, /got "hello"; give a text to create$/)
    assert.deepEqual(await files.list(), [])
  }))

  test('an empty id as ""', withDirectory(async ({ base }) => {
    class Named extends Things {
      static newId() {
        return ''
      }
    }
    const storage = new Named({ basePath: base, schema: anySchema })
    await storage.create({ name: 'a' })
    const error = await caught(storage.create({ name: 'b' }))
    assert.deepEqual([error.code, error.message], ['ALREADY_EXISTS', 'document "" already exists'])
    await storage.close()
  }))
})

test('file writes for a missing project reject or return what their types declare', withProject(async (storage) => {
  const files = storage.getFileStorage(4711)
  const creating = [
    () => files.create(fileInput('a')), () => files.createMany([fileInput('a')]), () => storage.addFile(4711, fileInput('a')),
    () => files.createFromStream({ name: 'a', path: 'a' }, ['x']),
  ]
  for (const create of creating) assert.equal((await caught(create())).code, 'NOT_FOUND', String(create))
  for (const other of [() => files.createVersion(1, 'x'), () => files.revertToVersion(1, 1), () => files.updateMany([{ id: 1, data: {} }])]) {
    assert.equal((await caught(other())).code, 'NOT_FOUND', String(other))
  }
  assert.deepEqual(
    [await files.update(1, {}), await files.delete(1), await files.deleteMany([1]), await files.updateMany([]), await files.list()],
    [null, false, 0, [], []],
  )
  assert.equal(Object.keys(await files.writeAll({ 5: fileRecord(5, 4711) })).length, 1)
}))
