import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { describe, test } from 'node:test'
import type { IndexManager, IndexType } from '../index.js'
import { caught, readJson, runChild, warningOf } from './support/index.js'
import { definitionsFile, indexFile, withIndex } from './support/indexes.js'
import type { IndexContext } from './support/indexes.js'

interface Acknowledged {
  id?: string
  key?: string
  n?: number
  removed?: string
  round?: number
}

/** Lets a child work until it has acknowledged `count` calls, kills it there, and returns what it acknowledged. */
async function killAfter(base: string, kind: string, tag: string, count: number): Promise<Acknowledged[]> {
  let seen = 0
  const { lines, signal, stderr } = await runChild('indexer.mjs', [base, kind, tag, '0'], {
    onLine: (_line, kill) => {
      if (++seen === count) kill()
    },
  })
  assert.equal(signal, 'SIGKILL', stderr)
  return lines.map((line) => JSON.parse(line))
}

/** Checks that everything acknowledged is there, and nothing is half done. */
async function assertKept(indexes: IndexManager, tag: string, acknowledged: Acknowledged[]) {
  for (const { id, key, removed } of acknowledged) {
    if (key) assert.deepEqual(await indexes.query('test', key), [id])
    if (removed) assert.deepEqual(await indexes.query('test', removed), [])
  }
  const last = acknowledged.at(-1)!
  if (last.n) {
    // The entity has the keys of one call: the last acknowledged one, or one that was in progress.
    const found = []
    for (const n of [last.n, last.n + 1]) found.push([await indexes.query('test', `${tag} ${n}`), await indexes.query('test', `again ${tag} ${n}`)])
    assert.deepEqual(found.map(([first]) => first!.length), found.map(([, second]) => second!.length))
    assert.equal(found.filter(([first]) => first!.length === 1).length, 1)
  }
}

/** Checks for twenty entities of one round: that of the last acknowledged rebuild, or of the one in progress. */
async function assertOneRound(indexes: IndexManager, round: number) {
  const rounds = await Promise.all([round, round + 1].map((n) => indexes.query('test', `round ${n}`)))
  assert.deepEqual(rounds.map(({ length }) => length).sort(), [0, 20])
  assert.equal((await indexes.getIndexStats('test'))?.stats.totalEntries, 40)
}

// 5 kinds × 6 kills: 30 in all.
describe('a process killed while it changes an index loses no acknowledged change', () => {
  for (const kind of ['add', 'replace', 'remove', 'concurrent', 'rebuild']) {
    test(`${kind}, six times on one directory`, withIndex('hash', 'key', async (indexes, { base, open }) => {
      await indexes.close()
      const all: [string, Acknowledged[]][] = []
      for (const [at, count] of [1, 2, 5, 13, 34, 55].entries()) {
        const tag = `r${at}`
        all.push([tag, await killAfter(base, kind, tag, count)])
        const manager = open()
        if (kind === 'rebuild') await assertOneRound(manager, all.at(-1)![1].at(-1)!.round!)
        else for (const [tag, acknowledged] of all) await assertKept(manager, tag, acknowledged)
        // The recovered index can be changed.
        await manager.addToIndex('test', 'probe', { key: 'probe' })
        assert.deepEqual(await manager.query('test', 'probe'), ['probe'])
        await manager.removeFromIndex('test', 'probe')
        await manager.close()
      }
    }))
  }
})

describe('reopening', () => {
  for (const type of ['hash', 'btree', 'inverted'] as IndexType[]) {
    test(`finds a ${type} index as it was`, withIndex(type, 'text', async (indexes, { open }) => {
      await indexes.rebuildIndex('test', Array.from({ length: 500 }, (_, id) => ({ id, text: [`word${id % 7} shared`, `own${id}`] })))
      const key = type === 'inverted' ? 'word3' : 'word3 shared'
      const before = [await indexes.query('test', key), await indexes.query('test', 'own77'), await indexes.getIndexStats('test'), await indexes.listIndexes()]
      assert.deepEqual(before[1], [77])
      await indexes.close()
      for (let n = 0; n < 3; n++) {
        const again = open()
        assert.deepEqual([await again.query('test', key), await again.query('test', 'own77'), await again.getIndexStats('test'), await again.listIndexes()], before)
        await again.close()
      }
    }))
  }

  test('without a close finds every acknowledged entry', withIndex('hash', 'a', async (indexes, { base }) => {
    await indexes.addToIndex('test', 1, { a: 1 })
    const { code, stderr, lines } = await runChild('asker.mjs', [base, '1'])
    assert.equal(code, 0, stderr)
    assert.deepEqual(lines, ['[1]'])
  }))
})

describe('a dropped index', () => {
  test('does not return after a kill', withIndex('hash', 'key', async (indexes, { base, open }) => {
    await indexes.addToIndex('test', 'old', { key: 'old' })
    await indexes.close()
    const dropping = open()
    await dropping.dropIndex('test')
    await dropping.createIndex({ name: 'test', type: 'hash', fields: ['key'] })
    await killAfter(base, 'add', 'a', 3)
    await dropping.close()
    assert.deepEqual(await open().query('test', 'old'), [])
  }))
})

describe('damage to the file of an index', () => {
  const kinds: [string, (file: string) => Promise<void>][] = [
    ['a changed bit', async (file) => {
      const bytes = await readFile(file)
      bytes[Math.floor(bytes.length / 2)]! ^= 1
      await writeFile(file, bytes)
    }],
    ['a changed key that is valid JSON', async (file) => writeFile(file, (await readFile(file, 'utf8')).replace('value 5', 'value 6'))],
    ['truncation', async (file) => truncate(file, 40)],
    ['an empty file', async (file) => truncate(file, 0)],
    ['a missing file', async (file) => rm(file)],
    ['an additional entity', async (file) => writeFile(file, (await readFile(file, 'utf8')).replace('{', '{"x":{"a":1},'))],
  ]
  const entities = Array.from({ length: 20 }, (_, id) => ({ id, a: `value ${id}` }))

  const damaged = (work: (indexes: IndexManager, damage: () => Promise<void>, context: IndexContext) => Promise<void>) => {
    for (const [what, damage] of kinds) {
      test(what, withIndex('btree', 'a', async (indexes, context) => {
        await indexes.rebuildIndex('test', entities)
        await indexes.createIndex({ name: 'other', type: 'hash', fields: ['a'] })
        await indexes.addToIndex('other', 1, { a: 1 })
        await indexes.close()
        await work(context.open(), () => damage(indexFile(context.base)), context)
      }))
    }
  }

  const assertDamaged = async (indexes: IndexManager) => {
    for (const call of [
      () => indexes.query('test', 'value 5'),
      () => indexes.queryRange('test', 'a', 'z'),
      () => indexes.getIndexStats('test'),
      () => indexes.addToIndex('test', 1, { a: 'x' }),
      () => indexes.removeFromIndex('test', 1),
    ]) {
      const error = await caught(call())
      assert.equal(error.code, 'CORRUPT_DATA', String(call))
      assert.ok(error.path.endsWith('test.json') && /rebuild/.test(error.message), error.message)
    }
    assert.deepEqual(await indexes.query('other', 1), [1])
    assert.equal((await indexes.listIndexes()).length, 2)
  }

  describe('is reported until the index is rebuilt', () => {
    damaged(async (indexes, damage, { base, open }) => {
      await damage()
      await assertDamaged(indexes)
      await indexes.close()
      const again = open()
      await assertDamaged(again)
      await again.rebuildIndex('test', entities)
      assert.deepEqual(await again.query('test', 'value 5'), [5])
      await again.addToIndex('test', 'x', { a: 'x' })
      await again.close()
      assert.equal(Object.keys(await readJson(indexFile(base))).length, 21)
      assert.deepEqual(await open().query('test', 'x'), ['x'])
    })
  })

  describe('does not prevent dropping and recreating the index', () => {
    damaged(async (indexes, damage) => {
      await damage()
      await indexes.dropIndex('test')
      await indexes.createIndex({ name: 'test', type: 'hash', fields: ['a'] })
      assert.deepEqual(await indexes.query('test', 'value 5'), [])
      await indexes.addToIndex('test', 1, { a: 1 })
      assert.deepEqual(await indexes.query('test', 1), [1])
    })
  })

  describe('is noticed while the index is open', () => {
    damaged(async (indexes, damage) => {
      assert.deepEqual(await indexes.query('test', 'value 5'), [5])
      await damage()
      const deadline = Date.now() + 20_000
      for (;;) {
        const found = await indexes.query('test', 'value 5').catch((error) => error.code)
        if (found === 'CORRUPT_DATA') break
        assert.deepEqual(found, [5])
        assert.ok(Date.now() < deadline, 'the damage was not noticed')
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
      await assertDamaged(indexes)
    })
  })
})

describe('damage to the definitions', () => {
  test('is reported by every call until the file is restored or replaced by {}', withIndex('hash', 'a', async (indexes, { base, open }) => {
    await indexes.addToIndex('test', 1, { a: 1 })
    await indexes.close()
    const good = await readFile(definitionsFile(base), 'utf8')
    await writeFile(definitionsFile(base), good.replace('"a"', '"b"'))
    const again = open()
    for (const call of [
      () => again.listIndexes(),
      () => again.query('test', 1),
      () => again.addToIndex('test', 1, { a: 1 }),
      () => again.createIndex({ name: 'new', type: 'hash', fields: ['a'] }),
      () => again.rebuildIndex('test', []),
      () => again.dropIndex('test'),
    ]) {
      const error = await caught(call())
      assert.equal(error.code, 'CORRUPT_DATA', String(call))
      assert.match(error.message, /indexes\.json.*restore it from a backup, or write \{\} into it/)
    }
    await writeFile(definitionsFile(base), good)
    assert.deepEqual(await again.query('test', 1), [1])
    await writeFile(definitionsFile(base), '{}\n')
    const fresh = await warningOf('SNAPSHOT_CHANGED', async () => {
      await again.close()
      assert.deepEqual(await open().listIndexes(), [])
    })
    assert.match(fresh.message, /indexes\.json/)
    const last = open()
    await last.createIndex({ name: 'test', type: 'hash', fields: ['a'] })
    assert.deepEqual(await last.query('test', 1), [])
    assert.ok(existsSync(definitionsFile(base)))
  }))
})
