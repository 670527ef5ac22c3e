// Storages that callers write themselves: a subclass, its schema and its file.
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { type } from 'arktype'
import * as v from 'valibot'
import { z as zod4 } from 'zod'
import * as mini from 'zod/mini'
import { z as zod3 } from 'zod3'
import { BaseStorage, ValidationError } from '../index.js'
import { caught, readJson, withDirectory } from './support/index.js'

interface Note {
  id: number
  title: string
  tags: string[]
  created: number
  updated: number
}

const fields = (z: any) =>
  z.object({
    id: z.number(),
    title: z.string().min(1),
    tags: z.array(z.string()).default([]),
    created: z.number(),
    updated: z.number(),
  }).passthrough()

/** The same rules as a plain Standard Schema that answers asynchronously. */
const plain = {
  '~standard': {
    version: 1 as const,
    vendor: 'test',
    async validate(value: any) {
      await null
      if (typeof value.title !== 'string' || value.title === '') {
        return { issues: [{ message: 'a title is needed', path: [{ key: 'title' }] }] }
      }
      return { value: { tags: [], ...value } }
    },
  },
}

function notes(base: string, entity: any, map: any = zod4.record(zod4.string(), zod4.any())) {
  class Notes extends BaseStorage<Note> {
    folder = 'notes'
    constructor() {
      super(map, entity, 'data', { basePath: base })
    }
    protected getIndexPath() {
      return join(this.basePath, this.dataDir, this.folder, 'index.json')
    }
    protected getEntityPath(id: number) {
      return join(this.basePath, this.dataDir, this.folder, String(id))
    }
  }
  return new Notes()
}

const file = (base: string) => join(base, 'data', 'notes', 'index.json')

const valibot = v.looseObject({
  id: v.number(),
  title: v.pipe(v.string(), v.minLength(1)),
  tags: v.optional(v.array(v.string()), []),
  created: v.number(),
  updated: v.number(),
})

const arktype = type({
  id: 'number',
  title: 'string > 0',
  tags: type('string[]').default(() => []),
  created: 'number',
  updated: 'number',
})

/** Older releases of zod 3 do not implement Standard Schema. */
const old = { parseAsync: (value: unknown) => fields(zod3).parseAsync(value) }

/** A zod 4 schema with a rule that takes time, and a transform. */
const slow = fields(zod4).refine(async () => true)

const schemas = { 'zod 3': fields(zod3), 'an older zod 3': old, 'zod 4': fields(zod4), 'asynchronous zod 4': slow, valibot, arktype, 'a Standard Schema': plain }

for (const [name, schema] of Object.entries(schemas)) {
  describe(`a storage with ${name}`, () => {
    test('assigns id and times, and stores what the schema returns', withDirectory(async ({ base }) => {
      const storage = notes(base, schema)
      const note = await storage.create({ title: 'one' } as Note)
      assert.deepEqual(note, { id: note.id, title: 'one', tags: [], created: note.created, updated: note.created })
      assert.deepEqual(await storage.getById(note.id), note)
      await storage.close()
      assert.deepEqual(await readJson(file(base)), { [note.id]: note })
    }))

    test('writes nothing that the schema rejects', withDirectory(async ({ base }) => {
      const storage = notes(base, schema)
      const { id } = await storage.create({ title: 'one' } as Note)
      await assert.rejects(storage.create({ title: '' } as Note))
      await assert.rejects(storage.update(id, { title: '' }))
      assert.deepEqual((await storage.list()).map(({ title }) => title), ['one'])
      await storage.close()
    }))

    test('keeps every one of 100 concurrent patches', withDirectory(async ({ base }) => {
      const [one, other] = [notes(base, schema), notes(base, schema)]
      const { id } = await one.create({ title: 'x' } as Note)
      const patch = (n: number) => ({ [`field${n}`]: n }) as Partial<Note>
      await Promise.all(Array.from({ length: 100 }, (_, n) => (n % 2 ? one : other).update(id, patch(n))))
      const note = await one.getById(id)
      for (let n = 0; n < 100; n++) assert.deepEqual({ ...note, ...patch(n) }, note)
      await Promise.all([one.close(), other.close()])
    }))
  })
}

describe('the error of a schema', () => {
  test('of zod 3 is a ZodError of zod 3', withDirectory(async ({ base }) => {
    const error = await caught(notes(base, fields(zod3)).create({ title: '' } as Note))
    assert.ok(error instanceof zod3.ZodError)
  }))

  test('of zod 4 is a ZodError of zod 4', withDirectory(async ({ base }) => {
    const error = await caught(notes(base, fields(zod4)).create({ title: '' } as Note))
    assert.ok(error instanceof zod4.ZodError)
  }))

  for (const [name, schema] of Object.entries(schemas)) {
    test(`of ${name} says for which of many entities it is`, withDirectory(async ({ base }) => {
      const storage = notes(base, schema)
      const [one, other] = await storage.createMany([{ title: 'a' }, { title: 'b' }] as Note[])
      const alone = await caught(storage.create({ title: '' } as Note))
      const created = await caught(storage.createMany([{ title: 'c' }, { title: '' }] as Note[]))
      const updated = await caught(storage.updateMany([{ id: one!.id, data: {} }, { id: other!.id, data: { title: '' } }]))
      const paths = (error: any) => error.issues.map(({ path }: { path: unknown }) => path)
      assert.deepEqual([alone, created, updated].map(paths), [[['title']], [[1, 'title']], [[1, 'data', 'title']]])
      for (const error of [created, updated]) {
        assert.equal(error.constructor, alone.constructor)
        // The message of a ZodError shows its issues.
        if (alone.message.includes('"path"')) assert.match(error.message, /"path": \[\s+1,/)
      }
      await storage.close()
    }))
  }

  test('of valibot and arktype is a ValidationError with the path', withDirectory(async ({ base }) => {
    for (const schema of [valibot, arktype]) {
      const storage = notes(base, schema)
      const error = await caught(storage.create({ title: '' } as Note))
      assert.ok(error instanceof ValidationError)
      assert.deepEqual(error.issues.map(({ path }: { path: unknown }) => path), [['title']])
      await storage.close()
    }
  }))

  test('gives array positions as numbers and other path parts as strings', withDirectory(async ({ base }) => {
    const path = ['rows', 2, { key: 3 }, { key: 'cells' }, Symbol('part')]
    const schema = { '~standard': { version: 1, vendor: 'test', validate: () => ({ issues: [{ message: 'wrong', path }, { message: 'all of it' }] }) } }
    const error: any = await caught(notes(base, schema as any).create({ title: '' } as Note))
    assert.deepEqual(error.issues.map(({ path }: any) => path), [['rows', 2, 3, 'cells', 'Symbol(part)'], []])
  }))

  test('without an error class of its own is a ValidationError with the path', withDirectory(async ({ base }) => {
    const error = await caught(notes(base, plain).create({ title: '' } as Note))
    assert.ok(error instanceof ValidationError)
    assert.deepEqual(error.issues, [{ path: ['title'], message: 'a title is needed', code: 'custom' }])
  }))

  test('is a VALIDATION_ERROR even if the schema does not say what is wrong', withDirectory(async ({ base }) => {
    for (const issues of [[], [{ message: '' }]]) {
      const schema = { '~standard': { version: 1, vendor: 'test', validate: () => ({ issues }) } }
      const error = await caught(notes(base, schema).create({ title: 'a', tags: [] }))
      assert.deepEqual([error.code, error.message], ['VALIDATION_ERROR', 'invalid data: the schema does not say what is wrong'])
    }
  }))

  test('names the value that JSON cannot hold', withDirectory(async ({ base }) => {
    const odd = { '~standard': { ...plain['~standard'], validate: (value: any) => ({ value: { ...value, extra: [1n] } }) } }
    const error = await caught(notes(base, odd).create({ title: 'x' } as Note))
    assert.ok(error instanceof ValidationError)
    assert.deepEqual(error.issues, [{ path: ['extra', 0], message: 'a bigint has no form in JSON', code: 'custom' }])
  }))

  test('of Standard Schema says in its message what every issue says', withDirectory(async ({ base }) => {
    const schema = { '~standard': { ...plain['~standard'], validate: () => ({ issues: [{ message: 'too long' }, { message: 'too odd' }] }) } }
    const error = await caught(notes(base, schema).create({ title: 'x' } as Note))
    assert.equal(error.message, 'invalid data: too long; too odd')
  }))
})

describe('the output of a schema', () => {
  const giving = (value: (given: any) => unknown) => ({ '~standard': { ...plain['~standard'], validate: (given: any) => ({ value: value(given) }) } })
  const path = async (base: string, value: (given: any) => unknown) => {
    const storage = notes(base, giving(value))
    const error = await caught(storage.create({ title: 'x' } as Note))
    assert.ok(error instanceof ValidationError, error)
    assert.equal(error.issues.length, 1)
    assert.deepEqual(await storage.list(), [])
    await storage.close()
    return error.issues[0]!.path
  }
  const nested = (depth: number) => Array.from({ length: depth }).reduce((inner) => ({ inner }), {})
  const again = (): any => ({ toJSON: () => ({ inner: again() }), path: Array(99).fill('inner') })
  const cyclic: any = { deep: {} }
  cyclic.deep.again = cyclic

  for (const [what, extra, at] of [
    ['NaN', Number.NaN, []],
    ['an infinite number', [Number.POSITIVE_INFINITY], [0]],
    ['a bigint', { n: 1n }, ['n']],
    ['a function', () => 1, []],
    ['a symbol', Symbol('s'), []],
    ['undefined in an array', [1, undefined], [1]],
    ['a hole in an array', [1, , 2], [1]],
    ['an invalid date', new Date(Number.NaN), []],
    ['a map', new Map([[1, 2]]), []],
    ['an object of a class whose name is a symbol', new (Object.defineProperty(class {}, 'name', { value: Symbol('n') }))(), []],
    ['an object that contains itself', cyclic, ['deep', 'again']],
    ['a bigint that a toJSON returns', { price: { toJSON: () => 1n } }, ['price']],
    ['NaN that a toJSON returns', [{ toJSON: () => Number.NaN }], [0]],
    ['undefined that a toJSON returns in an array', [{ toJSON: () => undefined }], [0]],
    ['a set in what a toJSON returns', { toJSON: () => ({ tags: new Set(['a']) }) }, ['tags']],
    ['a date that a toJSON returns', { toJSON: () => new Date(5) }, []],
    ['an object whose toJSON nests without end', again(), again().path],
  ] as [string, unknown, unknown[]][]) {
    test(`is rejected if it contains ${what}`, withDirectory(async ({ base }) => {
      assert.deepEqual(await path(base, (given) => ({ ...given, extra })), ['extra', ...at])
    }))
  }

  test('is rejected if it is nested deeper than 100 levels and kept otherwise', withDirectory(async ({ base }) => {
    assert.equal((await path(base, (given) => ({ ...given, extra: nested(5000) }))).length, 100)
    const storage = notes(base, giving((given) => ({ ...given, extra: nested(95) })))
    const { id } = await storage.create({ title: 'x' } as Note)
    assert.deepEqual((await storage.getById(id) as any).extra, nested(95))
    await storage.close()
  }))

  test('may contain dates, undefined members, odd keys and odd strings', withDirectory(async ({ base }) => {
    const extra = JSON.parse('{"__proto__":1,"":2,"a.b":3,"\\ud800":"\\udfff"}')
    const storage = notes(base, giving((given) => ({ ...given, at: new Date(5), gone: undefined, extra })))
    const note = await storage.create({ title: 'x' } as Note)
    const expected = { ...note, at: '1970-01-01T00:00:00.005Z', extra }
    delete (expected as any).gone
    assert.deepEqual(await storage.getById(note.id), expected)
    assert.deepEqual(Object.keys((note as any).extra), ['__proto__', '', 'a.b', '\ud800'])
    await storage.close()
  }))

  test('may contain one object several times, and objects without a prototype', withDirectory(async ({ base }) => {
    const shared = Object.assign(Object.create(null), { deep: {} })
    const extra = { one: shared, other: [shared, shared.deep] }
    const storage = notes(base, giving((given) => ({ ...given, extra })))
    const { id } = await storage.create({ title: 'x' } as Note)
    assert.deepEqual((await storage.getById(id) as any).extra, { one: { deep: {} }, other: [{ deep: {} }, {}] })
    await storage.close()
  }))

  test('must be an entity with the id it is stored under', withDirectory(async ({ base }) => {
    assert.deepEqual((await path(base, (given) => ({ ...given, id: 5 }))).at(-1), 'id')
    for (const odd of [null, undefined, 7, 'text', []]) await path(base, () => odd)
    for (const odd of [5, [5], { id: 5 }]) assert.deepEqual((await path(base, (given) => ({ ...given, toJSON: () => odd }))).at(-1), 'id')
    await path(base, ({ id }) => Object.assign([id], { id }))
  }))

  test('is stored as its toJSON returns it', withDirectory(async ({ base }) => {
    class Stored {
      constructor(public fields: Note) {}
      get id() {
        return this.fields.id
      }
      toJSON() {
        return { ...this.fields, at: new Date(5), key: { toJSON: (key: string) => `of ${key}` } }
      }
    }
    const storage = notes(base, giving((given) => new Stored(given)))
    const note = await storage.create({ title: 'x' } as Note)
    assert.deepEqual(await storage.getById(note.id), { ...note, title: 'x', at: '1970-01-01T00:00:00.005Z', key: 'of key' } as any)
    await storage.close()
  }))

  test('with neither a value nor issues is rejected with INVALID_ARGUMENT', withDirectory(async ({ base }) => {
    for (const answer of [null, undefined, 7]) {
      const storage = notes(base, { '~standard': { ...plain['~standard'], validate: () => answer } })
      assert.equal((await caught(storage.create({ title: 'x' } as Note)) as any).code, 'INVALID_ARGUMENT')
    }
  }))

  test('an error that the schema throws reaches the caller unchanged', withDirectory(async ({ base }) => {
    for (const thrown of [new Error('mine'), 'text', null]) {
      const storage = notes(base, giving(() => { throw thrown }))
      assert.equal(await caught(storage.create({ title: 'x' } as Note)), thrown)
    }
  }))
})

test('an error for a whole map names the value that JSON cannot hold by the key of its entity', withDirectory(async ({ base }) => {
  const storage = notes(base, plain)
  const note = (id: number, fields: object) => ({ id, title: 'x', tags: [], created: 1, updated: 1, ...fields })
  const map = { 3: note(3, {}), 4: note(4, { extra: [1n] }), 5: note(5, {}) } as any
  const error = await caught(storage.writeAll(map))
  assert.equal(error.code, 'VALIDATION_ERROR')
  assert.match(error.message, /JSON cannot hold 4\.extra\.0/)
  assert.deepEqual(error.issues[0].path, ['4', 'extra', 0])
  assert.deepEqual(await storage.list(), [])
  await storage.close()
}))

test('the schema of the map runs in writeAll only, and its output is stored', withDirectory(async ({ base }) => {
  let asked = 0
  const map = zod4.record(zod4.string(), zod4.any()).transform((value) => {
    asked++
    return Object.fromEntries(Object.entries(value).filter(([, note]) => note.title !== 'dropped'))
  })
  const storage = notes(base, plain, map)
  const note = await storage.create({ title: 'a' } as Note)
  await storage.update(note.id, { title: 'b' })
  await storage.readAll()
  assert.equal(asked, 0)
  const stored = await storage.writeAll({ [note.id]: note, 7: { ...note, id: 7, title: 'dropped' } })
  assert.equal(asked, 1)
  assert.deepEqual(stored, { [note.id]: note })
  await storage.close()
}))

describe('a storage of a caller', () => {
  test('removes the folder of an entity with the entity', withDirectory(async ({ base }) => {
    const storage = notes(base, plain)
    const [kept, gone] = [await storage.create({ title: 'a' } as Note), await storage.create({ title: 'b' } as Note)]
    for (const { id } of [kept, gone]) {
      mkdirSync(join(base, 'data', 'notes', String(id)), { recursive: true })
      writeFileSync(join(base, 'data', 'notes', String(id), 'attachment'), 'x')
    }
    assert.equal(await storage.delete(gone.id), true)
    assert.equal(await storage.delete(gone.id), false)
    assert.deepEqual([kept, gone].map(({ id }) => existsSync(join(base, 'data', 'notes', String(id)))), [true, false])
    await storage.deleteAll()
    assert.deepEqual(await storage.list(), [])
    assert.equal(existsSync(join(base, 'data', 'notes', String(kept.id))), false)
    await storage.close()
  }))

  test('replaces everything in writeAll', withDirectory(async ({ base }) => {
    const storage = notes(base, plain)
    const [a, b] = [await storage.create({ title: 'a' } as Note), await storage.create({ title: 'b' } as Note)]
    await storage.writeAll({ [b.id]: { ...b, title: 'changed' } })
    assert.deepEqual(await storage.readAll(), { [b.id]: { ...b, title: 'changed' } })
    assert.equal(await storage.getById(a.id), null)
    await storage.close()
  }))

  test('takes string ids from the data or from newId', withDirectory(async ({ base }) => {
    class Sessions extends BaseStorage<{ id: string; created: number; updated: number }> {
      static newId() {
        return 'made-up'
      }
      constructor() {
        super(plain as any, { '~standard': { ...plain['~standard'], validate: (value: any) => ({ value }) } } as any, 'data', { basePath: base })
      }
      protected getIndexPath() {
        return join(this.basePath, this.dataDir, 'sessions.json')
      }
      protected getEntityPath() {
        return null
      }
    }
    const storage = new Sessions()
    assert.equal((await storage.create({ id: 'mine' })).id, 'mine')
    assert.equal((await storage.create({})).id, 'made-up')
    assert.equal((await caught(storage.create({ id: 'mine' })) as any).code, 'ALREADY_EXISTS')
    assert.deepEqual((await storage.list()).map(({ id }) => id), ['made-up', 'mine'])
    await storage.close()
  }))

  const stringIds: Record<string, [schema: unknown, error: (value: unknown) => boolean]> = {
    'zod 4': [zod4.looseObject({ id: zod4.string().min(1), title: zod4.string() }), (error) => error instanceof zod4.ZodError],
    'zod 3': [zod3.object({ id: zod3.string().min(1), title: zod3.string() }).passthrough(), (error) => error instanceof zod3.ZodError],
    valibot: [v.looseObject({ id: v.pipe(v.string(), v.minLength(1)), title: v.string() }), (error) => error instanceof ValidationError],
  }
  for (const [name, [schema, isItsError]] of Object.entries(stringIds)) {
    test(`whose ids are strings says how to provide one when none is given: ${name}`, withDirectory(async ({ base }) => {
      const storage = notes(base, schema)
      const error = await caught(storage.create({ title: 'a' } as Note))
      assert.ok(isItsError(error), String(error))
      assert.match(error.message, /the data has no id that is a string: pass one, or give the class of the storage a static newId\(\)/)
      assert.deepEqual(error.issues.map(({ path }: { path: unknown }) => path), [['id'], ['id']])
      assert.match(error.issues.at(-1).message, /newId/)
      assert.doesNotMatch((await caught(storage.create({ id: 'a', title: 5 } as any))).message, /newId/)
      assert.doesNotMatch((await caught(storage.create({ id: '', title: 'a' } as any))).message, /newId/)
      assert.deepEqual(await storage.list(), [])
      await storage.close()
    }))
  }

  test('whose ids are strings rejects with the error of the schema, even if that takes no advice', withDirectory(async ({ base }) => {
    const storage = notes(base, mini.looseObject({ id: mini.string(), title: mini.string() }))
    const error = await caught(storage.create({ title: 'a' } as Note))
    assert.ok(error instanceof mini.core.$ZodError, String(error))
    await storage.close()
  }))

  test('rejects every write with INVALID_ARGUMENT if its schema is none', withDirectory(async ({ base }) => {
    for (const schema of [undefined, null, {}, () => true, { '~standard': {} }]) {
      const storage = notes(base, schema)
      assert.equal((await caught(storage.create({ title: 'a' } as Note))).code, 'INVALID_ARGUMENT')
      await storage.close()
    }
  }))

  test('is rejected if its file lies outside its directory', withDirectory(async ({ base }) => {
    class Astray extends BaseStorage<Note> {
      constructor() {
        super(plain as any, plain as any, 'data', { basePath: base })
      }
      protected getIndexPath() {
        return join(this.basePath, '..', 'elsewhere.json')
      }
      protected getEntityPath() {
        return null
      }
    }
    assert.equal((await caught(new Astray().list()) as any).code, 'INVALID_ARGUMENT')
  }))

  test('is refused without a subclass', () => {
    assert.throws(() => new (BaseStorage as any)(plain, plain, 'data'), TypeError)
  })

  test('must implement getIndexPath', withDirectory(async ({ base }) => {
    class Nowhere extends (BaseStorage as any) {}
    const error = await caught(new (Nowhere as any)(plain, plain, 'data', { basePath: base }).list())
    assert.ok(error instanceof TypeError)
    assert.match(error.message, /Nowhere must implement getIndexPath/)
  }))
})
