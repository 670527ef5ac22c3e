// Files that another program wrote: the old package, or a person's editor.
import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, test } from 'node:test'
import { z as zod3 } from 'zod3'
import { caught, readJson, runChild, setAside, until, warningOf, withDirectory } from './support/index.js'
import { Things, thing, thingSchema } from './support/things.js'

const { NativeCollection } = require('../binding.js')

const file = (base: string) => join(base, 'data', 'things.json')

function put(base: string, content: unknown) {
  mkdirSync(dirname(file(base)), { recursive: true })
  writeFileSync(file(base), typeof content === 'string' ? content : JSON.stringify(content, null, 2))
}

/** A schema that counts how often it is called, and may take its time. */
function counting(validate: (value: any) => unknown = (value) => ({ value })) {
  const schema = { asked: 0, '~standard': { version: 1 as const, vendor: 'test', validate(value: any) { schema.asked++; return validate(value) } } }
  return schema
}

describe('a file that the engine did not write', () => {
  test('is served as the schema outputs it: trimmed and with defaults', withDirectory(async ({ base }) => {
    put(base, { 1: { id: 1, name: '  one ' }, 2: { id: 2, name: 'two', size: 7, extra: true } })
    const storage = new Things({ basePath: base })
    const stamps = { created: 0, updated: 0 }
    assert.deepEqual(await storage.list(), [
      { id: 1, name: 'one', size: 1, ...stamps },
      { id: 2, name: 'two', size: 7, extra: true, ...stamps },
    ])
    await storage.close()
    assert.deepEqual(await readJson(file(base)), { 1: { id: 1, name: 'one', size: 1, ...stamps }, 2: { id: 2, name: 'two', size: 7, extra: true, ...stamps } })
  }))

  for (const [call, first] of Object.entries<(storage: Things) => Promise<unknown>>({
    getById: (storage) => storage.getById(1),
    list: (storage) => storage.list(),
    readAll: (storage) => storage.readAll(),
    create: (storage) => storage.create({ name: 'new' }),
    update: (storage) => storage.update(1, { name: 'changed' }),
    delete: (storage) => storage.delete(2),
    writeAll: (storage) => storage.writeAll({ 1: thing(1) }),
    deleteAll: (storage) => storage.deleteAll(),
    rebuildIndexes: (storage) => storage.rebuildIndexes(),
    findBy: (storage) => storage.findBy('by_size', 1),
    idExists: (storage) => storage.protectedCalls().idExists(1),
  })) {
    test(`is validated once, even when ${call} is the first call`, withDirectory(async ({ base }) => {
      put(base, { 1: { ...thing(1), name: ' one ' }, 2: thing(2) })
      const schema = counting((value) => (thingSchema as any)['~standard'].validate(value))
      const indexes = [{ name: 'by_size', type: 'hash', fields: ['size'] }] as const
      const storage = new Things({ basePath: base, schema, indexes })
      await first(storage)
      const asked = schema.asked
      const kept = (await storage.list()).find(({ id }) => id === 1)
      if (kept) assert.ok(['one', 'changed', 'thing 1'].includes(kept.name))
      await storage.close()
      await new Things({ basePath: base, schema }).list()
      assert.equal(schema.asked, asked)
      assert.ok(asked >= 2)
    }))
  }

  test('is set aside in full, with a warning, if a record is rejected; the rest is served', withDirectory(async ({ base }) => {
    const content = { 1: thing(1), 2: { id: 2, name: '' }, 3: { id: 4, name: 'another id' } }
    put(base, content)
    const original = readFileSync(file(base), 'utf8')
    const storage = new Things({ basePath: base })
    const warning = await warningOf('RECORD_SET_ASIDE', async () => {
      assert.deepEqual(await storage.list(), [thing(1)])
    })
    assert.match(warning.message, /document 2 of .*things\.json was set aside: name: Too small/)
    assert.equal(await storage.getById(2), null)
    assert.equal(await storage.getById(3), null)
    assert.deepEqual(await setAside(file(base), 'corrupt'), [original])
    await storage.close()
    assert.deepEqual(await readJson(file(base)), { 1: thing(1) })
  }))

  test('is set aside in full if it is broken; its whole records are recovered and validated', withDirectory(async ({ base }) => {
    const broken = `{\n"1": {"id":1,"name":" one "},\n"2": {"id":2,"name":\n}`
    put(base, broken)
    const storage = new Things({ basePath: base })
    await warningOf('RECORD_SET_ASIDE', async () => {
      assert.deepEqual((await storage.list()).map(({ id, name, size }) => ({ id, name, size })), [{ id: 1, name: 'one', size: 1 }])
    })
    assert.deepEqual(await setAside(file(base), 'corrupt'), [broken])
    await storage.close()
  }))

  test('is merged with newer writes if it appears while the database is open', withDirectory(async ({ base }) => {
    const storage = new Things({ basePath: base })
    const created = await storage.create({ name: 'mine' })
    put(base, { 1: { id: 1, name: ' theirs ' } })
    await storage.close()
    const map = await readJson(file(base))
    assert.deepEqual(Object.keys(map), ['1', String(created.id)])
    assert.equal(map[1]!.name, 'theirs')
    assert.deepEqual(map[created.id], created)
  }))

  test('is noticed and validated if it replaces a file in use', withDirectory(async ({ base }) => {
    const storage = new Things({ basePath: base, cacheTTL: 1 })
    const { id } = await storage.create({ name: 'one' })
    const other = new Things({ basePath: base })
    await other.list()
    await other.close()
    const warned = warningOf('SNAPSHOT_CHANGED', async () => {
      put(base, { [id]: { id, name: ' edited ' } })
      await until('the edit', async () => (await storage.getById(id))?.name === 'edited')
    })
    await warned
    assert.equal((await storage.getById(id))?.size, 1)
    await storage.close()
  }))

  test('is noticed by the first read after clearCache, even if no stored record changed', withDirectory(async ({ base }) => {
    const storage = new Things({ basePath: base })
    await storage.delete((await storage.create({ name: 'one' })).id)
    const other = new Things({ basePath: base })
    await other.list()
    await other.close()
    assert.deepEqual(await storage.list(), [])
    put(base, { 2: thing(2) })
    storage.clearCache()
    assert.deepEqual(Object.keys(await storage.readAll()), ['2'])
    await storage.close()
  }))

  test('is adopted each time it is written', withDirectory(async ({ base }) => {
    const storage = new Things({ basePath: base, cacheTTL: 1 })
    for (const name of ['first', 'second', 'third']) {
      put(base, { 1: { id: 1, name: ` ${name} ` } })
      await until('the edit', async () => (await storage.getById(1))?.name === name)
    }
    await storage.close()
  }))
})

describe('adoption', () => {
  test('awaits an asynchronous schema without holding up other collections', withDirectory(async ({ base }) => {
    put(base, { 1: thing(1) })
    let answer = () => {}
    const waits = new Promise<void>((resolve) => (answer = resolve))
    const slow = new Things({ basePath: base, schema: counting(async (value) => { await waits; return { value } }) })
    const other = new Things({ basePath: base, file: 'data/others.json' })
    const list = slow.list()
    const { id } = await other.create({ name: 'meanwhile' })
    await other.close()
    assert.equal((await readJson(join(base, 'data', 'others.json')))[id]!.name, 'meanwhile')
    answer()
    assert.deepEqual(await list, [thing(1)])
    await slow.close()
  }))

  test('fails with LOCK_TIMEOUT if the schema never answers; other instances can adopt', withDirectory(async ({ base }) => {
    put(base, { 1: thing(1) })
    const stuck = new Things({ basePath: base, lockTimeout: 20, schema: counting(() => new Promise(() => {})) })
    const [one, other] = await Promise.all([caught(stuck.list()), caught(stuck.delete(1))])
    assert.deepEqual([one.code, other.code], ['LOCK_TIMEOUT', 'LOCK_TIMEOUT'])
    const storage = new Things({ basePath: base })
    assert.deepEqual(await storage.list(), [thing(1)])
    assert.deepEqual(await stuck.list(), [thing(1)])
    await Promise.all([stuck.close(), storage.close()])
  }))

  test('is started again by the next call after it failed', withDirectory(async ({ base }) => {
    put(base, { 1: thing(1) })
    const schema = counting((value) => (schema.asked === 1 ? new Promise(() => {}) : { value }))
    const storage = new Things({ basePath: base, lockTimeout: 200, schema })
    assert.equal((await caught(storage.list())).code, 'LOCK_TIMEOUT')
    assert.deepEqual(await storage.list(), [thing(1)])
    await storage.close()
  }))

  test('waits for a slow schema even if lockTimeout is huge', withDirectory(async ({ base }) => {
    put(base, { 1: thing(1) })
    const turn = () => new Promise((resolve) => setTimeout(resolve, 5))
    const schema = counting(async (value) => { for (let n = 0; n < 5; n++) await turn(); return { value } })
    const storage = new Things({ basePath: base, lockTimeout: 2 ** 40, schema })
    assert.deepEqual(await storage.list(), [thing(1)])
    await storage.close()
  }))

  test('fails with LOCK_TIMEOUT if the file keeps changing', withDirectory(async ({ base }) => {
    put(base, { 1: thing(1) })
    const schema = counting((value) => { put(base, { 1: thing(1, { size: 1 + schema.asked }) }); return { value } })
    const storage = new Things({ basePath: base, lockTimeout: 100, schema })
    const error = await caught(storage.list())
    assert.deepEqual([error.code, /kept changing/.test(error.message)], ['LOCK_TIMEOUT', true])
    assert.ok(schema.asked > 1)
    await storage.close().catch(() => {})
  }))

  test('succeeds if another instance has adopted the file first', withDirectory(async ({ base }) => {
    put(base, { 1: thing(1) })
    const [storage, quicker] = [new Things({ basePath: base }), new Things({ basePath: base })]
    const { foreignRecords } = NativeCollection.prototype
    NativeCollection.prototype.foreignRecords = function (ticket: number) {
      NativeCollection.prototype.foreignRecords = foreignRecords
      void quicker.list().then(() => foreignRecords.call(this, ticket))
    }
    assert.deepEqual(await storage.list(), [thing(1)])
    await Promise.all([storage.close(), quicker.close()])
  }))

  test('validates the file again if it changed during validation', withDirectory(async ({ base }) => {
    put(base, { 1: thing(1) })
    let changed = false
    const schema = counting(async (value) => {
      if (!changed) put(base, { 2: thing(2) })
      changed = true
      return { value }
    })
    const storage = new Things({ basePath: base, schema })
    assert.deepEqual(await storage.list(), [thing(2)])
    await storage.close()
  }))

  test('validates each record once for all waiting calls', withDirectory(async ({ base }) => {
    put(base, { 1: thing(1), 2: thing(2) })
    const schema = counting(async (value) => ({ value }))
    const storage = new Things({ basePath: base, schema })
    await Promise.all([storage.list(), storage.getById(1), storage.readAll(), storage.delete(2)])
    assert.equal(schema.asked, 2)
    assert.deepEqual(await storage.list(), [thing(1)])
    await storage.close()
  }))

  test('begins no further validation once all calls that wait for it are aborted', withDirectory(async ({ base }) => {
    put(base, { 1: thing(1), 2: thing(2) })
    const controller = new AbortController()
    const schema = counting((value) => { controller.abort(); return { value } })
    const storage = new Things({ basePath: base, schema })
    assert.equal((await caught(storage.list({ signal: controller.signal }))).code, 'ABORTED')
    assert.equal(schema.asked, 1)
    assert.deepEqual(await storage.list(), [thing(1), thing(2)])
    await storage.close()
  }))

  test('gives concurrent instances the same records', withDirectory(async ({ base }) => {
    put(base, Object.fromEntries(Array.from({ length: 50 }, (_, n) => [n + 1, { id: n + 1, name: ` ${n} ` }])))
    const storages = [1, 2, 3].map(() => new Things({ basePath: base }))
    const lists = await Promise.all(storages.map((storage) => storage.list()))
    assert.equal(lists[0]!.length, 50)
    for (const list of lists) assert.deepEqual(list, lists[0])
    await Promise.all(storages.map((storage) => storage.close()))
    assert.deepEqual(await setAside(file(base), 'edited'), [])
  }))

  test('gives concurrent processes the same records', withDirectory(async ({ base }) => {
    put(base, Object.fromEntries(Array.from({ length: 200 }, (_, n) => [n + 1, { id: n + 1, name: ` ${n} ` }])))
    const results = await Promise.all([1, 2, 3].map(() => runChild('things.mjs', [base, 'list'])))
    for (const { code, lines, stderr } of results) {
      assert.equal(code, 0, stderr)
      assert.equal(lines[0], results[0]!.lines[0])
    }
    assert.equal(JSON.parse(results[0]!.lines[0]!).length, 200)
  }))

  test('uses the schema of the first instance that reads the file', withDirectory(async ({ base }) => {
    put(base, { 1: { id: 1, name: ' one ' } })
    const trimming = new Things({ basePath: base })
    const plain = new Things({ basePath: base, schema: counting() })
    assert.equal((await plain.list())[0]!.name, ' one ')
    assert.equal((await trimming.list())[0]!.name, ' one ')
    await Promise.all([trimming.close(), plain.close()])
  }))

  test('sets a record aside whatever value the schema throws', withDirectory(async ({ base }) => {
    const issues = [{ message: '\ud800' }, { path: ['rows', Symbol('part')], message: 'odd' }]
    const odd = [undefined, null, 'text', Symbol('odd'), { get message() { throw new Error('no') } }, Object.create(null), new Error('\ud800'), { issues }]
    put(base, Object.fromEntries(odd.map((_, n) => [n + 1, thing(n + 1)]).concat([[99, thing(99)]])))
    const schema = counting((value) => {
      if (value.id !== 99) throw odd[value.id - 1]
      return { value }
    })
    const storage = new Things({ basePath: base, schema })
    await warningOf('RECORD_SET_ASIDE', async () => assert.deepEqual(await storage.list(), [thing(99)]))
    assert.equal((await setAside(file(base), 'corrupt')).length, 1)
    await storage.close()
  }))

  test('reports why a record was set aside', withDirectory(async ({ base }) => {
    const reasons = [[new Error('it is odd'), 'it is odd'], ['odd', 'the schema threw odd'], [{ issues: [{ path: ['a', 0], message: 'no' }, { message: 'all' }] }, 'a.0: no; all']] as const
    for (const [reason, said] of reasons) {
      put(base, { 1: thing(1) })
      const storage = new Things({ basePath: base, schema: counting(() => { throw reason }) })
      const { message } = await warningOf('RECORD_SET_ASIDE', () => storage.list())
      assert.ok(message.includes(`set aside: ${said}`), message)
      await storage.close()
    }
  }))

  test('sets aside records whose validated value JSON cannot hold', withDirectory(async ({ base }) => {
    put(base, { 1: thing(1), 2: thing(2), 3: thing(3) })
    const schema = counting((value) => ({ value: value.id === 3 ? value : { ...value, size: value.id === 1 ? 1n : Number.NaN } }))
    const storage = new Things({ basePath: base, schema })
    assert.deepEqual(await storage.list(), [thing(3)])
    await storage.close()
  }))

  test('adopts nothing if the schema is not valid', withDirectory(async ({ base }) => {
    put(base, { 1: thing(1) })
    const storage = new Things({ basePath: base, schema: {} })
    assert.equal((await caught(storage.list())).code, 'INVALID_ARGUMENT')
    assert.deepEqual(await setAside(file(base), 'corrupt'), [])
    await storage.close()
    assert.deepEqual(await readJson(file(base)), { 1: thing(1) })
  }))

  test('accepts records under keys such as __proto__', withDirectory(async ({ base }) => {
    put(base, '{"__proto__":{"id":"__proto__","name":"a"},"constructor":{"id":"constructor","name":"b"}}')
    const storage = new Things({ basePath: base, schema: counting() })
    assert.deepEqual((await storage.list()).map(({ name }) => name), ['a', 'b'])
    assert.deepEqual(Object.keys(await storage.readAll()), ['__proto__', 'constructor'])
    await storage.close()
  }))

  test('throws the error of zod 3 for a write and gives its message for a rejected record', withDirectory(async ({ base }) => {
    put(base, { 1: { id: 1, name: 5 } })
    const schema = zod3.object({ id: zod3.number(), name: zod3.string({ invalid_type_error: 'a name is text' }) }).passthrough()
    const storage = new Things({ basePath: base, schema })
    const warning = await warningOf('RECORD_SET_ASIDE', async () => assert.deepEqual(await storage.list(), []))
    assert.match(warning.message, /a name is text/)
    assert.ok((await caught(storage.create({ name: 5 } as never))) instanceof zod3.ZodError)
    await storage.close()
  }))

  test('gives an empty collection if the file is deleted during validation', withDirectory(async ({ base }) => {
    put(base, { 1: thing(1) })
    const storage = new Things({ basePath: base, schema: counting(async (value) => { rmSync(file(base), { force: true }); return { value } }) })
    assert.deepEqual(await storage.list(), [])
    await storage.close()
  }))
})
