// Values of other realms: those of a `vm` context, and of what runs tests in one (jest, vitest), where the global classes
// are not the package's, or not those of which node:fs makes its values.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { runInNewContext } from 'node:vm'
import { IndexManager } from '../index.js'
import { caught, fileInput, projectInput, withDirectory, withProject, withStorage } from './support/index.js'
import { Things } from './support/things.js'

const other = <T>(code: string): T => runInNewContext(code)
const TIME = 1_700_000_000_000
const date = () => other<Date>(`new Date(${TIME})`)

test('a Date of another realm is accepted as the time of an entity', withProject(async (storage, project) => {
  const file = await storage.addFile(project.id, { ...fileInput('a.ts'), lastSyncedAt: date() })
  assert.equal(file.lastSyncedAt, TIME)
}))

test('Dates of another realm are accepted as the ends of a range', withStorage(async (storage) => {
  await storage.create(projectInput())
  assert.equal((await storage.listByDateRange(date(), other('new Date(8e14)'))).length, 1)
}))

test('what a caller changes after the call is not stored, even in arrays and Dates of another realm', withDirectory(async ({ base }) => {
  const things = new Things({ basePath: base })
  const given = other<any>(`({ name: 'a', list: [{ of: [1] }], time: new Date(${TIME}) })`)
  const created = things.create(given)
  given.list[0].of.push(2)
  given.list.push(3)
  given.time.setTime(0)
  const { list, time } = await created as any
  assert.deepEqual([list, time], [[{ of: [1] }], new Date(TIME).toJSON()])
  await things.close()
}))

test('Dates and patterns of another realm are accepted in a query', withStorage(async (storage) => {
  await storage.create(projectInput('Sample'))
  assert.equal((await storage.query(other<any>(`({ where: { name: /^sam/i, created: { $gt: new Date(${TIME}) } } })`))).length, 1)
}))

test('an invalid Date of another realm is rejected as an invalid Date', withStorage(async (storage) => {
  const error = await caught(storage.query({ where: { created: other<Date>('new Date(NaN)') as any } }))
  assert.equal(error.message, 'where.created: is no valid Date')
}))

test('bytes of another realm are accepted as content', withProject(async (storage, project) => {
  const files = storage.getFileStorage(project.id)
  const source = other<any>('[new Uint8Array([65]), new Uint8Array([66]).buffer, new DataView(new Uint8Array([67]).buffer)]')
  const { id } = await files.createFromStream({ name: 'a', path: 'a' }, source)
  assert.equal((await files.getById(id))?.content, 'ABC')
}))

test('a content stream works when the global object has no TextDecoder', withProject(async (storage, project) => {
  const { TextDecoder } = globalThis
  const files = storage.getFileStorage(project.id)
  Reflect.deleteProperty(globalThis, 'TextDecoder')
  try {
    const { id } = await files.createFromStream({ name: 'a', path: 'a' }, [new Uint8Array([65]), 'B'])
    assert.equal((await files.getById(id))?.content, 'AB')
  } finally {
    globalThis.TextDecoder = TextDecoder
  }
}))

test('Dates, boxed values and Maps of another realm fill an index', withDirectory(async ({ base }) => {
  const indexes = new IndexManager(base, 'data/indexes')
  await indexes.createIndex({ name: 'by_time', type: 'btree', fields: ['time'] })
  await indexes.createIndex({ name: 'by_size', type: 'btree', fields: ['size'] })
  await indexes.addToIndex('by_time', 1, other(`({ time: new Date(${TIME}) })`))
  assert.deepEqual([await indexes.query('by_time', date()), await indexes.query('by_time', TIME)], [[1], [1]])
  await indexes.rebuildIndex('by_size', other<any>('new Map([[2, { size: new Number(7) }]])'))
  assert.deepEqual(await indexes.query('by_size', 7), [2])
  await indexes.close()
}))
