import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { IndexConfig } from '../index.js'
import { caught, fileInput, withDirectory, withProject } from './support/index.js'
import { Things, withThings } from './support/things.js'

const indexes: IndexConfig[] = [
  { name: 'by_size', type: 'btree', fields: ['size'] },
  { name: 'by_name', type: 'hash', fields: ['name'] },
]
const withIndexedThings: typeof withThings = (work) => withThings(work, { indexes })

const fill = (things: Things, count: number) =>
  Promise.all(Array.from({ length: count }, (_, at) => things.create({ name: `thing ${at}`, size: at })))

test('a query filters, sorts and pages', withIndexedThings(async (things) => {
  await fill(things, 20)
  const found = await things.query({
    where: { size: { $gte: 5, $lt: 15 }, name: { $not: { $regex: /thing 1[0-2]/ } } },
    orderBy: { size: 'desc' },
    offset: 1,
    limit: 3,
  })
  assert.deepEqual(found.map(({ size }) => size), [13, 9, 8])
}))

test('a query sorts by each path in its own direction', withIndexedThings(async (things) => {
  for (const [name, size] of [['b', 1], ['a', 1], ['a', 2]] as const) await things.create({ name, size })
  const sorted = async (orderBy: Record<string, 'asc' | 'desc'>) => (await things.query({ orderBy })).map(({ name, size }) => `${name}${size}`)
  assert.deepEqual(await sorted({ name: 'asc', size: 'desc' }), ['a2', 'a1', 'b1'])
  assert.deepEqual(await sorted({ name: 'desc', size: 'asc' }), ['b1', 'a1', 'a2'])
}))

test('a query without conditions returns everything in ascending order of id', withIndexedThings(async (things) => {
  await fill(things, 5)
  assert.deepEqual(await things.query(), await things.list())
}))

test('a Date in a query compares with stored times', withIndexedThings(async (things) => {
  const before = new Date(Date.now() - 1)
  await fill(things, 2)
  assert.equal((await things.query({ where: { created: { $gt: before } } })).length, 2)
  assert.equal((await things.query({ where: { created: { $lt: before } } })).length, 0)
}))

test('an index on several fields answers a prefix, a range of the next field, and its order', withDirectory(async ({ base }) => {
  const things = new Things({ basePath: base, indexes: [{ name: 'by_name_size', type: 'btree', fields: ['name', 'size'] }] })
  await things.createMany(Array.from({ length: 300 }, (_, at) => ({ name: `thing ${at % 3}`, size: at })))
  const query = { where: { name: 'thing 1', size: { $lt: 100 } }, orderBy: { size: 'desc' }, limit: 3 } as const
  assert.deepEqual((await things.query(query)).map(({ size }) => size), [97, 94, 91])
  const { kind, index, prefix, range, sort, scanned } = await things.explain(query)
  assert.deepEqual({ kind, index, prefix, range, sort }, { kind: 'range', index: 'by_name_size', prefix: ['thing 1'], range: { $lt: 100 }, sort: 'index' })
  assert.ok(scanned <= 16, String(scanned))
  await things.close()
}))

test('a count without a condition is that of all entities, whoever wrote them', withDirectory(async ({ base }) => {
  const [things, other] = [new Things({ basePath: base }), new Things({ basePath: base })]
  assert.equal(await things.count(), 0)
  await fill(other, 5)
  assert.deepEqual([await things.count(), await things.count({}), await things.count({ where: {} })], [5, 5, 5])
  await things.delete((await other.list())[0]!.id)
  assert.deepEqual([await things.count(), await other.count()], [4, 4])
  await Promise.all([things.close(), other.close()])
  assert.equal((await caught(things.count())).code, 'CLOSED')
}))

test('a count with a condition is that of the entities that a query finds', withIndexedThings(async (things) => {
  await fill(things, 700)
  for (const where of [{ size: 5 }, { size: { $gte: 600 } }, { name: /7$/ }, { $or: [{ name: 'thing 3' }, { size: { $lt: 3 } }] }, { size: { $lt: 500, $gt: 10 }, name: { $regex: '1' } }, { size: -1 }]) {
    assert.equal(await things.count({ where }), (await things.query({ where })).length, JSON.stringify(where))
  }
  things.clearCache()
  assert.equal(await things.count({ where: { size: { $lte: 9 } } }), 10)
}))

test('a count of files looks at all versions, and at contents if its condition does', withProject(async (storage, project) => {
  const files = storage.getFileStorage(project.id)
  const [a] = await files.createMany([fileInput('a.ts', 'one'), fileInput('b.ts', 'one')])
  await files.createVersion(a!.id, 'two')
  const counts = [await files.count(), await files.count({ where: { isLatest: true } }), await files.count({ where: { content: 'one' } })]
  assert.deepEqual([...counts, await storage.count({ where: { name: project.name } })], [3, 2, 2, 1])
}))

test('a count takes a condition and a signal alone', withIndexedThings(async (things) => {
  for (const [odd, message] of [[{ limit: 1 }, /^limit: a count has only where/], [5, /^a count is \{ where \}, got 5/], [{ where: { size: { $gt: [] } } }, /^where\.size\.\$gt: /]] as const) {
    const error = await caught(things.count(odd as never))
    assert.equal(error.code, 'INVALID_ARGUMENT')
    assert.match(error.message, message)
  }
  for (const query of [{}, { where: { size: 1 } }]) {
    assert.equal((await caught(things.count({ ...query, signal: AbortSignal.abort() }))).code, 'ABORTED')
  }
}))

test('a selection returns the id and the selected fields', withIndexedThings(async (things) => {
  const { id } = await things.create({ name: 'a' })
  const [found] = await things.query({ select: ['name'] })
  assert.deepEqual(found, { id, name: 'a' })
}))

test('explain names the index that a query uses', withIndexedThings(async (things) => {
  await fill(things, 50)
  const ranged = await things.explain({ where: { size: { $gt: 45 } }, orderBy: 'size', limit: 10 })
  assert.deepEqual([ranged.kind, ranged.index, ranged.sort, ranged.scanned, ranged.returned], ['range', 'by_size', 'index', 4, 4])
  const keyed = await things.explain({ where: { name: { $in: ['thing 1', 'thing 2'] } } })
  assert.deepEqual([keyed.kind, keyed.index, keyed.keys], ['keys', 'by_name', ['thing 1', 'thing 2']])
  assert.equal((await things.explain({ where: { created: 1 } })).kind, 'scan')
}))

test('pages from the newest entity on are found without an index, each up to its limit', withIndexedThings(async (things) => {
  await fill(things, 50)
  const newest = (await things.list()).reverse()
  const query = (before?: number) =>
    ({ where: before === undefined ? {} : { id: { $lt: before } }, orderBy: { id: 'desc' }, limit: 4 }) as const
  const first = await things.query(query())
  assert.deepEqual(first, newest.slice(0, 4))
  const second = query(first.at(-1)?.id)
  assert.deepEqual(await things.query(second), newest.slice(4, 8))
  const { kind, index, sort, scanned } = await things.explain(second)
  assert.deepEqual([kind, index, sort, scanned], ['ids', null, 'id', 16])
}))

test('a query for certain ids examines nothing else', withProject(async (storage, project) => {
  const files = storage.getFileStorage(project.id)
  const created = await files.createMany(['a.ts', 'b.ts', 'c.ts'].map((path) => fileInput(path, path)))
  const where = { id: { $in: [created[2]!.id, created[0]!.id, 1] } }
  assert.deepEqual((await files.query({ where })).map(({ path }) => path), ['a.ts', 'c.ts'])
  const { kind, scanned } = await files.explain({ where })
  assert.deepEqual([kind, scanned], ['ids', 2])
}))

test('queries of projects use the indexes of projects', withProject(async (storage, project) => {
  assert.deepEqual(await storage.query({ where: { name: project.name } }), [project])
  assert.equal((await storage.explain({ where: { name: project.name } })).index, 'projects_by_name')
  assert.equal((await storage.explain({ orderBy: { updated: 'desc' }, limit: 1 })).index, 'projects_by_updated')
}))

test('queries of files can match their fields and their content', withProject(async (storage, project) => {
  const files = storage.getFileStorage(project.id)
  await files.createMany([fileInput('src/a.ts', 'needle 1'), fileInput('src/b.js', 'needle 2'), fileInput('c.ts', 'hay')])
  const found = await files.query({ where: { extension: '.ts', content: /needle/ }, select: ['path', 'content'] })
  assert.deepEqual(found.map(({ path, content }) => [path, content]), [['src/a.ts', 'needle 1']])
}))

test('a query is copied when it is called', withIndexedThings(async (things) => {
  await fill(things, 3)
  const where = { size: 1 }
  const answer = things.query({ where })
  where.size = 2
  assert.deepEqual((await answer).map(({ size }) => size), [1])
}))

test('an invalid query is rejected with an error that names the invalid part', withIndexedThings(async (things) => {
  const cyclic: Record<string, unknown> = {}
  cyclic['$not'] = cyclic
  const endless: unknown[] = []
  endless.push(endless)
  const throwing = { get size() { throw new Error('mine') } }
  for (const [query, place] of [
    [{ where: { size: { $gr: 1 } } }, 'where.size.$gr:'],
    [{ where: { size: { $gt: undefined } } }, 'where.size.$gt:'],
    [{ where: { size: Number.NaN } }, 'where.size:'],
    [{ where: { size: { $in: [1n] } } }, 'where.size.$in.0:'],
    [{ where: { size: Symbol('a') } }, 'where.size:'],
    [{ where: { size: new Map() } }, 'where.size:'],
    [{ where: { created: new Date(Number.NaN) } }, 'where.created:'],
    [{ where: { name: /(?=a)/ } }, 'where.name.$regex:'],
    [{ where: { name: /a/y } }, 'where.name.$regex:'],
    [{ where: { ['\ud800']: 1 } }, 'where:'],
    [{ where: cyclic }, 'where.$not'],
    [{ where: { size: endless } }, 'where.size.0'],
    [{ where: null }, 'where:'],
    [{ orderBy: { size: 1 } }, 'orderBy.size:'],
    [{ orderBy: 5 }, 'orderBy:'],
    [{ orderBy: null }, 'orderBy:'],
    [{ orderBy: [['size']] }, 'orderBy:'],
    [{ limit: -1 }, 'limit:'],
    [{ limit: Infinity }, 'limit:'],
    [{ select: 'size' }, 'select:'],
    [{ sort: 'size' }, 'sort:'],
    [null, 'a query'],
    [5, 'a query'],
    [[], 'a query'],
    [{ signal: {} }, 'signal'],
  ] as const) {
    const error = await caught(things.query(query as never))
    assert.equal(error.code, 'INVALID_ARGUMENT', String(error))
    assert.ok(error.message.startsWith(place), error.message)
  }
  assert.equal((await caught(things.query({ where: throwing } as never))).message, 'mine')
  assert.equal((await caught(things.query({ where: new Proxy({}, { ownKeys() { throw new Error('mine') } }) } as never))).message, 'mine')
}))

test('a pattern prone to endless backtracking is answered at once', withIndexedThings(async (things) => {
  await things.create({ name: `${'a'.repeat(50_000)}!` })
  assert.deepEqual(await things.query({ where: { name: /^(a+)+$/ } }), [])
}))

test('a query of a closed storage fails with CLOSED', withIndexedThings(async (things) => {
  await things.close()
  assert.equal((await caught(things.query())).code, 'CLOSED')
  assert.throws(() => things.iterate(), { code: 'CLOSED' })
  assert.throws(() => things.changes(), { code: 'CLOSED' })
}))
