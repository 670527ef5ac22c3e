// Indexes that a subclass declares: they follow every write, and are unique where declared so.
import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { ProjectStorageV2, type IndexConfig } from '../index.js'
import { caught, fileInput, projectInput, runChild, withDirectory, withProject } from './support/index.js'
import { Things, thing, withThings } from './support/things.js'

const indexes = [
  { name: 'by_name', type: 'hash', fields: ['name'] },
  { name: 'by_size', type: 'btree', fields: ['size'] },
  { name: 'by_email', type: 'hash', fields: ['email'], unique: true, sparse: true },
  { name: 'by_kind', type: 'btree', fields: ['kind', 'size'] },
  { name: 'by_words', type: 'inverted', fields: ['name'] },
  { name: 'by_city', type: 'hash', fields: ['address.city'] },
  { name: 'by_tag', type: 'hash', fields: ['tags'] },
] as const satisfies readonly IndexConfig[]

const ids = (things: { id: number }[]) => things.map(({ id }) => id)

/** Makes the body of a test that has a storage with these indexes. */
const withIndexedThings: typeof withThings = (work) => withThings(work, { indexes })

const map = (...things: object[]) => Object.fromEntries(things.map((each: any) => [each.id, { ...thing(each.id), ...each }])) as any

describe('findBy', () => {
  test('gives the entities with a key, ids ascending', withIndexedThings(async (storage) => {
    await storage.writeAll(map({ id: 3, name: 'a' }, { id: 1, name: 'a' }, { id: 2, name: 'b' }))
    assert.deepEqual(await storage.findBy('by_name', 'a'), [thing(1, { name: 'a' }), thing(3, { name: 'a' })])
    assert.deepEqual(await storage.findBy('by_name', 'c'), [])
  }))

  test('keeps types apart, looks into objects and arrays, and finds missing values under null', withIndexedThings(async (storage) => {
    await storage.writeAll(map({ id: 1, size: 7, address: { city: 'Graz' }, tags: ['x', 'y'] }, { id: 2, address: null }))
    assert.deepEqual(ids(await storage.findBy('by_size', 7)), [1])
    assert.deepEqual(ids(await storage.findBy('by_size', '7')), [])
    assert.deepEqual(ids(await storage.findBy('by_city', 'Graz')), [1])
    assert.deepEqual(ids(await storage.findBy('by_tag', 'y')), [1])
    assert.deepEqual(ids(await storage.findBy('by_city', null)), [2])
    assert.deepEqual(ids(await storage.findBy('by_email', null)), [])
  }))

  test('finds missing values under null in an inverted index too, also once the storage is reopened', withDirectory(async ({ base }) => {
    const indexes = [
      { name: 'words', type: 'inverted', fields: ['email'] },
      { name: 'sparse', type: 'inverted', fields: ['email'], sparse: true },
    ] as const
    for (const write of [true, false]) {
      const storage = new Things({ basePath: base, indexes })
      if (write) await storage.writeAll(map({ id: 1 }, { id: 2, email: null }, { id: 3, email: 'x@example.com' }, { id: 4, email: '' }))
      assert.deepEqual(ids(await storage.findBy('words', null)), [1, 2])
      assert.deepEqual(ids(await storage.findBy('sparse', null)), [])
      assert.deepEqual(ids(await storage.searchBy('words', '')), [])
      await storage.close()
    }
  }))

  test('takes a composite key as a tuple or joined', withIndexedThings(async (storage) => {
    await storage.writeAll(map({ id: 1, kind: 'k', size: 1 }, { id: 2, kind: 'k', size: 2 }))
    assert.deepEqual(ids(await storage.findBy('by_kind', ['k', 2])), [2])
    assert.deepEqual(ids(await storage.findBy('by_kind', 'k:2')), [2])
  }))

  test('reflects every kind of write at once', withIndexedThings(async (storage) => {
    const { id } = await storage.create({ name: 'a' })
    assert.deepEqual(ids(await storage.findBy('by_name', 'a')), [id])
    await storage.update(id, { name: 'b' })
    assert.deepEqual(ids(await storage.findBy('by_name', 'a')), [])
    assert.deepEqual(ids(await storage.findBy('by_name', 'b')), [id])
    await storage.delete(id)
    assert.deepEqual(ids(await storage.findBy('by_name', 'b')), [])
    await storage.writeAll(map({ id: 5, name: 'c' }))
    assert.deepEqual(ids(await storage.findBy('by_name', 'c')), [5])
    await storage.deleteAll()
    assert.deepEqual(ids(await storage.findBy('by_name', 'c')), [])
  }))

  test('returns copies of the entities', withIndexedThings(async (storage) => {
    await storage.writeAll(map({ id: 1, name: 'a' }))
    ;(await storage.findBy('by_name', 'a'))[0]!.name = 'changed'
    assert.equal((await storage.findBy('by_name', 'a'))[0]!.name, 'a')
  }))
})

describe('findRange', () => {
  test('gives the entities in key order, both ends included unless told otherwise', withIndexedThings(async (storage) => {
    await storage.writeAll(map({ id: 1, size: 10 }, { id: 2, size: 9 }, { id: 3, size: 2 }, { id: 4, size: 100 }))
    assert.deepEqual(ids(await storage.findRange('by_size', 2, 10)), [3, 2, 1])
    assert.deepEqual(ids(await storage.findRange('by_size', 2, 10, false)), [2])
    assert.deepEqual(ids(await storage.findRange('by_size', -Infinity, Infinity)), [3, 2, 1, 4])
    assert.deepEqual(ids(await storage.findRange('by_size', 10, 2)), [])
    assert.deepEqual(ids(await storage.findRange('by_size', new Date(9), new Date(10))), [2, 1])
  }))

  test('leaves the ends out if told so even as the call that opens the database', withDirectory(async ({ base }) => {
    for (const opens of [false, true]) {
      const storage = new Things({ basePath: base, indexes })
      if (!opens) await storage.writeAll(map({ id: 1, size: 10 }, { id: 2, size: 9 }, { id: 3, size: 2 }))
      assert.deepEqual(ids(await storage.findRange('by_size', 2, 10, false)), [2])
      await storage.close()
    }
  }))

  test('needs a btree index', withIndexedThings(async (storage) => {
    const error = await caught(storage.findRange('by_name', 'a', 'b'))
    assert.equal(error.code, 'INDEX_TYPE')
  }))
})

describe('searchBy', () => {
  test('gives the entities that contain every word, best match first', withIndexedThings(async (storage) => {
    await storage.writeAll(map({ id: 1, name: 'red bicycle' }, { id: 2, name: 'Red red wine' }, { id: 3, name: 'blue' }))
    assert.deepEqual(ids(await storage.searchBy('by_words', 'RED')), [2, 1])
    assert.deepEqual(ids(await storage.searchBy('by_words', 'red bi')), [1])
    assert.deepEqual(ids(await storage.searchBy('by_words', 'nothing')), [])
  }))

  test('needs an inverted index', withIndexedThings(async (storage) => {
    assert.equal((await caught(storage.searchBy('by_name', 'a'))).code, 'INDEX_TYPE')
  }))
})

describe('a unique index', () => {
  const owned = (error: any, email: string) => {
    assert.equal(error.code, 'UNIQUE_VIOLATION')
    assert.equal(error.outcome, 'none')
    assert.ok(error.message.includes(email), error.message)
  }

  test('refuses a second owner of a key and writes nothing', withIndexedThings(async (storage) => {
    const first = await storage.create({ name: 'a', email: 'a@example.org' } as any)
    const second = await storage.create({ name: 'b', email: 'b@example.org' } as any)
    owned(await caught(storage.create({ name: 'c', email: 'a@example.org' } as any)), 'a@example.org')
    owned(await caught(storage.update(second.id, { email: 'a@example.org' } as any)), 'a@example.org')
    assert.deepEqual(await storage.list(), [first, second])
    await storage.update(first.id, { email: 'a@example.org', name: 'still mine' } as any)
  }))

  test('frees a key when its owner is deleted', withIndexedThings(async (storage) => {
    const { id } = await storage.create({ name: 'a', email: 'a@example.org' } as any)
    await storage.delete(id)
    await storage.create({ name: 'b', email: 'a@example.org' } as any)
  }))

  test('is checked against the result of writeAll: keys may be swapped, but not shared', withIndexedThings(async (storage) => {
    const before = await storage.writeAll(map({ id: 1, email: 'a' }, { id: 2, email: 'b' }, { id: 3, email: 'c' }))
    owned(await caught(storage.writeAll(map({ id: 1, email: 'x' }, { id: 2, email: 'x' }))), 'x')
    assert.deepEqual(await storage.readAll(), before)
    await storage.writeAll(map({ id: 1, email: 'b' }, { id: 2, email: 'a' }, { id: 4, email: 'c' }))
    assert.deepEqual(ids(await storage.findBy('by_email', 'c')), [4])
    assert.deepEqual(ids(await storage.findBy('by_email', 'b')), [1])
  }))

  test('lets one of many concurrent creates win', withIndexedThings(async (storage) => {
    const creates = Array.from({ length: 20 }, () => storage.create({ name: 'x', email: 'same' } as any))
    const won = (await Promise.allSettled(creates)).filter(({ status }) => status === 'fulfilled')
    assert.equal(won.length, 1)
  }))

  test('gives each key to one process only', withDirectory(async ({ base }) => {
    const results = await Promise.all([1, 2].map(() => runChild('things.mjs', [base, 'claim', '40'])))
    const taken = results.flatMap(({ lines, stderr }) => JSON.parse(lines[0] ?? assert.fail(stderr)))
    assert.equal(taken.length, 40)
    assert.equal(new Set(taken).size, 40)
  }))

  test('leaves existing documents with a shared key readable, but refuses to update them', withDirectory(async ({ base }) => {
    const plain = new Things({ basePath: base })
    await plain.writeAll(map({ id: 1, email: 'same' }, { id: 2, email: 'same' }, { id: 3, email: 'other' }))
    await plain.close()
    const storage = new Things({ basePath: base, indexes })
    assert.equal((await storage.list()).length, 3)
    assert.deepEqual(ids(await storage.findBy('by_email', 'same')), [1, 2])
    owned(await caught(storage.rebuildIndexes()), 'same')
    owned(await caught(storage.update(1, { size: 9 })), 'same')
    await storage.update(3, { size: 9 })
    await storage.update(2, { email: 'mine' } as any)
    await storage.update(1, { size: 9 })
    await storage.rebuildIndexes()
    await storage.close()
  }))
})

describe('declared indexes', () => {
  test('may be declared in the static property', withDirectory(async ({ base }) => {
    class Indexed extends Things {
      static indexes: readonly IndexConfig[] = indexes
    }
    const storage = new Indexed({ basePath: base })
    const { id } = await storage.create({ name: 'a' })
    assert.deepEqual(ids(await storage.findBy('by_name', 'a')), [id])
    await storage.close()
  }))

  test('given as options replace those of the static property', withDirectory(async ({ base }) => {
    class Indexed extends Things {
      static indexes: readonly IndexConfig[] = [indexes[0]]
    }
    const storage = new Indexed({ basePath: base, indexes: [indexes[1]] })
    const { id } = await storage.create({ name: 'a', size: 4 })
    assert.deepEqual(ids(await storage.findBy(indexes[1].name, 4)), [id])
    assert.equal((await caught(storage.findBy('by_name', 'a'))).code, 'INVALID_ARGUMENT')
    await storage.close()
  }))

  test('cover documents stored before their declaration, and files of other programs', withDirectory(async ({ base }) => {
    mkdirSync(join(base, 'data'))
    writeFileSync(join(base, 'data', 'things.json'), JSON.stringify({ 1: { id: 1, name: ' a ' }, 2: { id: 2, name: 'b' } }))
    const plain = new Things({ basePath: base })
    await plain.update(2, { name: 'a' })
    const storage = new Things({ basePath: base, indexes })
    assert.deepEqual(ids(await storage.findBy('by_name', 'a')), [1, 2])
    await plain.update(1, { name: 'c' })
    assert.deepEqual(ids(await storage.findBy('by_name', 'a')), [2])
    await Promise.all([plain.close(), storage.close()])
  }))

  test('are combined across all instances of one file', withDirectory(async ({ base }) => {
    const one = new Things({ basePath: base, indexes: [indexes[0]] })
    const other = new Things({ basePath: base, indexes: [indexes[1], indexes[2]] })
    const { id } = await one.create({ name: 'a', size: 4, email: 'e' } as any)
    assert.deepEqual(ids(await other.findBy('by_size', 4)), [id])
    assert.equal((await caught(one.create({ name: 'b', email: 'e' } as any))).code, 'UNIQUE_VIOLATION')
    assert.deepEqual(ids(await one.findBy('by_name', 'a')), [id])
    await Promise.all([one.close(), other.close()])
  }))

  test('with one name that differ are refused with an error that describes both', withDirectory(async ({ base }) => {
    const one = new Things({ basePath: base, indexes: [indexes[0]] })
    await one.list()
    const other = new Things({ basePath: base, indexes: [{ name: 'by_name', type: 'btree', fields: ['size'], unique: true }] })
    const error = await caught(other.list())
    assert.equal(error.code, 'INVALID_ARGUMENT')
    for (const part of ['by_name', 'hash of [name]', 'unique btree of [size]']) assert.ok(error.message.includes(part), error.message)
    await Promise.all([one.close(), other.close()])
  }))

  test('end with the storage that declared them, whatever else has the database open', withDirectory(async ({ base }) => {
    await using beside = new Things({ basePath: base, file: 'data/others.json' })
    await beside.list()
    const one = new Things({ basePath: base, indexes: [indexes[0], indexes[2]] })
    const { id } = await one.create({ name: 'a', size: 4, email: 'e' } as any)
    await one.close()
    await using other = new Things({ basePath: base, indexes: [{ name: 'by_name', type: 'btree', fields: ['size'] }] })
    assert.deepEqual(ids(await other.findBy('by_name', 4)), [id])
    const twin = await other.create({ name: 'b', size: 4, email: 'e' } as any)
    assert.deepEqual(ids(await other.findBy('by_name', 4)), [id, twin.id])
  }))

  test('survive reopening and rebuilding', withDirectory(async ({ base }) => {
    const storage = new Things({ basePath: base, indexes })
    await storage.writeAll(map({ id: 1, name: 'a' }, { id: 2, name: 'b' }))
    await storage.rebuildIndexes()
    assert.deepEqual(ids(await storage.findBy('by_name', 'b')), [2])
    await storage.close()
    const again = new Things({ basePath: base, indexes })
    assert.deepEqual(ids(await again.findBy('by_name', 'b')), [2])
    await again.close()
  }))

  for (const [what, wrong] of Object.entries<any>({
    'not an array': {},
    'an entry that is not an object': [null],
    'an entry without a name': [{ type: 'hash', fields: ['a'] }],
    'a lone surrogate as a name': [{ name: '\ud800', type: 'hash', fields: ['a'] }],
    'a lone surrogate in a field': [{ name: 'a', type: 'hash', fields: ['\ud800'] }],
    'an empty name': [{ name: '', type: 'hash', fields: ['a'] }],
    'an unknown type': [{ name: 'a', type: 'trie', fields: ['a'] }],
    'an entry without fields': [{ name: 'a', type: 'hash', fields: [] }],
    'a field that is not a string': [{ name: 'a', type: 'hash', fields: [1] }],
    'a flag that is not a boolean': [{ name: 'a', type: 'hash', fields: ['a'], unique: 1 }],
    'one name twice': [indexes[0], indexes[0]],
    'a unique inverted index': [{ name: 'a', type: 'inverted', fields: ['a'], unique: true }],
  })) {
    test(`are refused by the constructor: ${what}`, () => {
      assert.throws(() => new Things({ indexes: wrong }), { code: 'INVALID_ARGUMENT' })
    })
  }

  test('refuse queries with unknown index names or non-string words', withIndexedThings(async (storage) => {
    assert.equal((await caught(storage.findBy('nowhere', 1))).code, 'INVALID_ARGUMENT')
    assert.equal((await caught(storage.findBy(Symbol('s') as any, 1))).code, 'INVALID_ARGUMENT')
    assert.equal((await caught(storage.searchBy('by_words', 1 as any))).code, 'INVALID_ARGUMENT')
    assert.deepEqual(await storage.findBy('by_name', '\ud800'), [])
    assert.deepEqual(await storage.findBy('by_name', '__proto__'), [])
  }))
})

test('a project storage refuses declared indexes', withDirectory(async ({ base }) => {
  class Indexed extends ProjectStorageV2 {
    static override indexes: readonly IndexConfig[] = indexes
  }
  assert.throws(() => new Indexed({ basePath: base }), { code: 'INVALID_ARGUMENT' })
  assert.throws(() => new ProjectStorageV2({ basePath: base, indexes } as never), { code: 'INVALID_ARGUMENT' })
}))

test('findBy, findRange and searchBy answer from the built-in indexes of projects and files', withProject(async (storage, project) => {
  const file = await storage.addFile(project.id, fileInput('src/a.ts'))
  const other = await storage.create(projectInput('Other one'))
  assert.deepEqual(await storage.findBy('projects_by_name', other.name), [other])
  assert.deepEqual(ids(await storage.findRange('projects_by_created', project.created, other.created)), [project.id, other.id])
  assert.deepEqual(await storage.searchBy('projects_by_words', 'one'), [other])
  const files = storage.getFileStorage(project.id)
  assert.deepEqual(await files.findBy('files_by_path', 'src/a.ts'), [file])
}))
