// Indexes that subclasses of BaseStorage declare, as IndexManager describes them.
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { IndexManager, type IndexConfig } from '../index.js'
import { caught, withDirectory, withProject } from './support/index.js'
import { Things, anything, thing } from './support/things.js'

const byName: IndexConfig = { name: 'by_name', type: 'hash', fields: ['name'] }
const bySize: IndexConfig = { name: 'by_size', type: 'btree', fields: ['kind', 'size'] }
const byWords: IndexConfig = { name: 'by_words', type: 'inverted', fields: ['name'] }

const listed = (index: IndexConfig, collection = 'things.json', name = index.name) =>
  ({ ...index, name, unique: false, sparse: false, collection })

const things = { 1: thing(1, { name: 'red' }), 2: thing(2, { name: 'red wine' }) }

/** Makes the body of a test with a storage of two things, and a manager of the same database. */
const withBoth = (work: (indexes: IndexManager, storage: Things, base: string) => Promise<void>) =>
  withDirectory(async ({ base }) => {
    await using storage = new Things({ basePath: base, indexes: [byName, bySize, byWords] })
    await storage.writeAll(things)
    await using indexes = new IndexManager(base, 'data')
    await work(indexes, storage, base)
  })

describe('declared indexes', () => {
  test('are listed by collection and name, before those filled by hand', withBoth(async (indexes) => {
    await indexes.createIndex({ name: 'a', type: 'hash', fields: ['a'] })
    const own = { name: 'a', type: 'hash', fields: ['a'], unique: false, sparse: false }
    assert.deepEqual(await indexes.listIndexes(), [listed(byName), listed(bySize), listed(byWords), own])
  }))

  test('answer from the live data', withBoth(async (indexes, storage) => {
    assert.deepEqual(await indexes.query('by_name', 'red'), [1])
    assert.deepEqual(await indexes.queryRange('by_size', null, [null, Infinity]), [1, 2])
    assert.deepEqual(await indexes.searchText('by_words', 'wi red'), [2])
    await storage.update(1, { name: 'blue' })
    assert.deepEqual(await indexes.query('by_name', 'red'), [])
    assert.deepEqual(await indexes.query('by_name', 'blue'), [1])
  }))

  test('report their configuration and statistics', withBoth(async (indexes) => {
    const found = await indexes.getIndexStats('by_words')
    assert.deepEqual(found?.config, listed(byWords))
    assert.equal(found.stats.uniqueKeys, 2)
    assert.equal(found.stats.totalEntries, 3)
  }))

  test('refuse queries that their type cannot answer', withBoth(async (indexes) => {
    for (const _ of [1, 2]) assert.equal((await caught(indexes.queryRange('by_name', 1, 2))).code, 'INDEX_TYPE')
  }))

  test('cannot be changed by hand', withBoth(async (indexes, storage) => {
    for (const call of [
      () => indexes.createIndex({ name: 'by_name', type: 'hash', fields: ['a'] }),
      () => indexes.dropIndex('by_name'),
      () => indexes.addToIndex('by_name', 1, { name: 'x' }),
      () => indexes.removeFromIndex('by_name', 1),
      () => indexes.rebuildIndex('by_name', []),
    ]) {
      const error = await caught(call())
      assert.equal(error.code, 'INVALID_ARGUMENT')
      assert.match(error.message, /index by_name is kept by the storage of things\.json .*rebuildIndexes\(\)/)
    }
    assert.deepEqual((await storage.findBy('by_name', 'red')).map(({ id }) => id), [1])
  }))

  test('carry the file of their collection in their names if they share a name', withBoth(async (indexes, _storage, base) => {
    await using other = new Things({ basePath: base, file: 'data/sub/others.json', indexes: [byName] })
    await other.writeAll({ 7: thing(7, { name: 'red' }) })
    const names = (await indexes.listIndexes()).map(({ name }) => name)
    assert.deepEqual(names, ['by_name@sub/others.json', 'by_name@things.json', 'by_size', 'by_words'])
    assert.deepEqual(await indexes.query('by_name@sub/others.json', 'red'), [7])
    assert.deepEqual(await indexes.query('by_name@things.json', 'red'), [1])
    assert.deepEqual(await indexes.query('by_name', 'red'), [])
    assert.equal(await indexes.getIndexStats('by_name'), null)
    const error = await caught(indexes.dropIndex('by_name@sub/others.json'))
    assert.match(error.message, /kept by the storage of sub\/others\.json/)
    const wrongType = await caught(indexes.searchText('by_name@things.json', 'red'))
    assert.ok(wrongType.message.includes('by_name@things.json is of type hash'), wrongType.message)
  }))

  test('go by the name that callers know in an error, even if their own name is part of the word index', withDirectory(async ({ base }) => {
    const byKind: IndexConfig = { name: 'i', type: 'hash', fields: ['kind'] }
    await using storage = new Things({ basePath: base, indexes: [byKind] })
    await using other = new Things({ basePath: base, file: 'data/others.json', indexes: [byKind] })
    for (const one of [storage, other]) await one.writeAll(things)
    await using indexes = new IndexManager(base, 'data')
    const error = await caught(indexes.searchText('i@things.json', 'red'))
    assert.match(error.message, /^index i@things\.json is of type hash/)
  }))

  test('return ids that are strings, and those that read as numbers as numbers', withDirectory(async ({ base }) => {
    const ids = ['7', 'plain', '"', '"quoted"', '"8"', '-1.5', 'a"b\\']
    await using storage = new Things({ basePath: base, schema: anything, indexes: [byName] })
    await storage.writeAll(Object.fromEntries(ids.map((id) => [id, { ...thing(1, { name: 'red' }), id }])) as any)
    await using indexes = new IndexManager(base, 'data')
    const expected = [7, '"', '"8"', '"quoted"', -1.5, 'a"b\\', 'plain']
    for (const _ of [1, 2]) assert.deepEqual(await indexes.query('by_name', 'red'), expected)
  }))

  test('leave a plain name to an index that was filled by hand before', withDirectory(async ({ base }) => {
    await using indexes = new IndexManager(base, 'data')
    await indexes.createIndex({ name: 'by_name', type: 'hash', fields: ['name'] })
    await using storage = new Things({ basePath: base, indexes: [byName] })
    await storage.writeAll(things)
    await indexes.addToIndex('by_name', 9, { name: 'red' })
    assert.deepEqual(await indexes.query('by_name', 'red'), [9])
    assert.deepEqual(await indexes.query('by_name@things.json', 'red'), [1])
    assert.deepEqual((await indexes.listIndexes()).map(({ name }) => name), ['by_name@things.json', 'by_name'])
  }))

  test('are available, as last stored, while their storage is not open in the process', withDirectory(async ({ base }) => {
    const storage = new Things({ basePath: base, indexes: [byName, bySize] })
    await storage.writeAll(things)
    await storage.close()
    await using indexes = new IndexManager(base, 'data')
    assert.deepEqual(await indexes.listIndexes(), [listed(byName), listed(bySize)])
    assert.equal((await indexes.getIndexStats('by_size'))?.stats.totalEntries, 2)
    assert.deepEqual(await indexes.query('by_name', 'red wine'), [2])
    assert.deepEqual(await indexes.listIndexes(), [listed(byName), listed(bySize)])
    assert.equal((await caught(indexes.dropIndex('by_name'))).code, 'INVALID_ARGUMENT')
    await using again = new Things({ basePath: base, indexes: [byName] })
    await again.update(2, { name: 'white wine' })
    assert.deepEqual(await indexes.query('by_name', 'white wine'), [2])
  }))

  test('may be declared differently after they were read from disk', withDirectory(async ({ base }) => {
    const storage = new Things({ basePath: base, indexes: [byName, bySize] })
    await storage.writeAll(things)
    await storage.close()
    await using indexes = new IndexManager(base, 'data')
    assert.deepEqual(await indexes.query('by_name', 'red'), [1])
    const byNameAndId: IndexConfig = { name: 'by_name', type: 'btree', fields: ['name', 'id'] }
    await using again = new Things({ basePath: base, indexes: [byNameAndId] })
    assert.deepEqual((await again.findBy('by_name', ['red', 1])).map(({ id }) => id), [1])
    assert.deepEqual(await indexes.listIndexes(), [listed(byNameAndId)])
    assert.deepEqual(await indexes.query('by_name', ['red wine', 2]), [2])
  }))

  test('refuse queries on a file of another program until their storage has adopted it', withDirectory(async ({ base }) => {
    const storage = new Things({ basePath: base, indexes: [byName] })
    await storage.writeAll(things)
    await storage.close()
    writeFileSync(join(base, 'data', 'things.json'), JSON.stringify({ 5: { id: 5, name: ' green ' } }))
    await using indexes = new IndexManager(base, 'data')
    const error = await caught(indexes.query('by_name', 'green'))
    assert.equal(error.code, 'INVALID_ARGUMENT')
    assert.match(error.message, /by_name .*things\.json.*its own storage first/)
    await using again = new Things({ basePath: base, indexes: [byName] })
    assert.equal((await again.list()).length, 1)
    assert.deepEqual(await indexes.query('by_name', 'green'), [5])
  }))

  test('are unknown to the manager of another database', withBoth(async (_indexes, _storage, base) => {
    await using other = new IndexManager(base, 'data/other')
    assert.deepEqual(await other.listIndexes(), [])
    assert.deepEqual(await other.query('by_name', 'red'), [])
  }))
})

test('the indexes of projects answer beside a storage that declares others on their file', withProject(async (projects, project, { base }) => {
  await projects.close()
  const file = join('data', 'project_storage', 'projects.json')
  await using storage = new Things({ basePath: base, dataDir: 'data/project_storage', file, indexes: [byName] })
  assert.equal((await storage.findBy('by_name', project.name)).length, 1)
  await using indexes = new IndexManager(base, 'data/project_storage')
  assert.deepEqual(await indexes.query('projects_by_name', project.name), [project.id])
  assert.equal((await storage.findBy('by_name', project.name)).length, 1)
}))
