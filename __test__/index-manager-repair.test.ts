import assert from 'node:assert/strict'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { IndexManager } from '../index.js'
import { caught, withDirectory } from './support/index.js'

const definitionsPath = (base: string) => join(base, 'users', 'indexes.json')
const entriesPath = (base: string) => join(base, 'users', 'indexes', 'by_name.json')
const open = (base: string) => new IndexManager(base, 'users', { lockTimeout: 2000 })

/** Makes the body of a test with two closed indexes, `by_name` and `by_age`, of one entity. */
const withIndexes = (work: (base: string) => Promise<void>) => withDirectory(async ({ base }) => {
  const indexes = open(base)
  for (const [name, field] of [['by_name', 'name'], ['by_age', 'age']] as const) {
    await indexes.createIndex({ name, type: 'hash', fields: [field] })
    await indexes.addToIndex(name, 7, { name: 'ann', age: 30 })
  }
  await indexes.close()
  await work(base)
})

/** Repairs the indexes and leaves them open. */
async function repaired(base: string): Promise<IndexManager> {
  const indexes = open(base)
  const report = await indexes.repair()
  assert.equal(report.after.ok, true, String(report))
  assert.ok(report.copies, 'the originals are kept')
  return indexes
}

async function edit(path: string, change: (text: string) => string) {
  await writeFile(path, change(await readFile(path, 'utf8')))
}

describe('index definitions that were changed by another program', () => {
  const names = async (indexes: IndexManager) => (await indexes.listIndexes()).map(({ name }) => name).sort()

  test('are refused by calls and reported by verify', withIndexes(async (base) => {
    await edit(definitionsPath(base), (text) => ` ${text}`)
    const indexes = open(base)
    const error = await caught(indexes.listIndexes())
    assert.equal(error.code, 'CORRUPT_DATA')
    assert.match(error.message, /repair/)
    const report = await indexes.verify()
    assert.deepEqual(report.problems.map(({ code, path }) => [code, path]), [['SNAPSHOT_CHANGED', 'indexes.json']])
    assert.match(report.problems[0]!.message, /repair/)
    await indexes.close()
  }))

  test('are adopted by a repair as they were edited', withIndexes(async (base) => {
    await edit(definitionsPath(base), (text) => JSON.stringify({ by_name: JSON.parse(text).by_name }, null, 2))
    const indexes = await repaired(base)
    assert.deepEqual(await names(indexes), ['by_name'])
    assert.deepEqual(await indexes.query('by_name', 'ann'), [7])
    await indexes.addToIndex('by_name', 8, { name: 'bob' })
    await indexes.close()
    assert.deepEqual(await open(base).query('by_name', 'bob'), [8])
  }))

  test('are recovered from the journals by a repair if they are truncated', withIndexes(async (base) => {
    await edit(definitionsPath(base), (text) => text.trimEnd().slice(0, -4))
    const indexes = await repaired(base)
    assert.deepEqual(await names(indexes), ['by_age', 'by_name'])
    assert.deepEqual(await indexes.query('by_name', 'ann'), [7])
    await indexes.close()
  }))

  test('are adopted by a repair if the journals are gone', withIndexes(async (base) => {
    await rm(join(base, 'users', '.storage'), { recursive: true })
    const indexes = open(base)
    assert.equal((await caught(indexes.listIndexes())).code, 'CORRUPT_DATA')
    await indexes.close()
    const again = await repaired(base)
    assert.deepEqual(await names(again), ['by_age', 'by_name'])
    assert.equal((await caught(again.query('by_name', 'ann'))).code, 'CORRUPT_DATA', 'nobody vouches for its entries')
    await again.rebuildIndex('by_name', [{ id: 7, name: 'ann' }])
    assert.deepEqual(await again.query('by_name', 'ann'), [7])
    await again.close()
  }))

  test('are recovered from the journals by a repair if they are invalid', withIndexes(async (base) => {
    await edit(definitionsPath(base), () => JSON.stringify({ by_name: { type: 'hash', fields: ['name'], unique: false, sparse: false, created: 1, updated: 1 }, by_age: 5 }))
    const indexes = await repaired(base)
    assert.deepEqual(await names(indexes), ['by_age', 'by_name'])
    assert.deepEqual(await indexes.query('by_age', 30), [7])
    await indexes.close()
  }))
})

describe('index entries that were changed by another program', () => {
  test('are refused even after a repair, until the index is rebuilt', withIndexes(async (base) => {
    await edit(entriesPath(base), (text) => text.replace('ann', 'eve'))
    const indexes = await repaired(base)
    const error = await caught(indexes.query('by_name', 'eve'))
    assert.equal(error.code, 'CORRUPT_DATA')
    assert.match(error.message, /rebuild/)
    assert.deepEqual(await indexes.query('by_age', 30), [7])
    await indexes.rebuildIndex('by_name', [{ id: 7, name: 'ann' }])
    assert.deepEqual(await indexes.query('by_name', 'ann'), [7])
    assert.equal((await indexes.verify()).ok, true)
    await indexes.close()
  }))
})

test('an index that was just rebuilt passes verify and survives a repair', withIndexes(async (base) => {
  const indexes = open(base)
  await indexes.rebuildIndex('by_name', [{ id: 8, name: 'bob' }])
  const report = await indexes.verify()
  assert.deepEqual([report.problems, report.documents], [[], 4], String(report))
  await edit(definitionsPath(base), (text) => ` ${text}`)
  await indexes.repair()
  assert.deepEqual(await indexes.query('by_name', 'bob'), [8])
  await indexes.close()
}))

test('a repair of indexes follows a long rebuild that was called before it', withIndexes(async (base) => {
  const indexes = open(base)
  const entities = Array.from({ length: 2000 }, (_, id) => ({ id, name: `n${id}` }))
  const [, report] = await Promise.all([indexes.rebuildIndex('by_name', entities), indexes.repair()])
  assert.ok(report.before.documents > entities.length, String(report))
  await indexes.close()
}))
