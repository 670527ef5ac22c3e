// Answers of many documents arrive in pieces, whichever call they answer, and the event loop turns between the pieces.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { ProjectFile, ProjectFileStorage, ProjectStorageV2 } from '../index.js'
import { fileInput, projectRecord, withDirectory, withProject } from './support/index.js'
import { Things, type Thing, withThings } from './support/things.js'
import { turnsOfPieces } from './support/turns.js'

const COUNT = 1500
/** The most documents in a piece. */
const PIECE = 256

const inputs = (text: string, count = COUNT) => Array.from({ length: count }, (_, n) => fileInput(`f${n}.ts`, `${text} ${n}`))

/** Runs a call and checks that its answer came in pieces, each but the last in a turn of its own. */
async function inPieces<T>(run: () => Promise<T>, count = COUNT): Promise<T> {
  let answer: T
  const turns = await turnsOfPieces(async () => (answer = await run()))
  assert.ok(turns.length >= Math.floor(count / PIECE), turns.join())
  assert.equal(new Set(turns.slice(0, -1)).size, turns.length - 1, turns.join())
  return answer!
}

const READS: Record<string, (files: ProjectFileStorage) => Promise<ProjectFile[]>> = {
  'a query': (files) => files.query(),
  'the latest versions': (files) => files.list({ includeAllVersions: false }),
  'the files with an extension': async (files) => (await files.getByExtension('ts')).sort((a, b) => a.id - b.id),
  'a search': (files) => files.search('text'),
  'a list within a transaction': (files) => files.transaction((tx) => tx.list()),
}

describe('long answers about files arrive in pieces', () => {
  for (const [what, read] of Object.entries(READS)) {
    test(what, withProject(async (storage, project, { open }) => {
      const created = await storage.getFileStorage(project.id).createMany(inputs('text'))
      const files = open({ cacheEnabled: false }).getFileStorage(project.id)
      await files.getById(created[0]!.id)
      assert.deepEqual(await inPieces(() => read(files)), created)
    }))
  }

  test('an iteration with a large batch', withProject(async (storage, project) => {
    const files = storage.getFileStorage(project.id)
    const created = await files.createMany(inputs('text'))
    const found: ProjectFile[] = []
    await inPieces(async () => {
      for await (const file of files.iterate({ batchSize: COUNT })) found.push(file)
    })
    assert.deepEqual(found, created)
  }))

  test('the versions of one file', withProject(async (storage, project) => {
    const files = storage.getFileStorage(project.id)
    const { id } = await files.create(fileInput('a.ts'))
    await Promise.all(Array.from({ length: 600 }, (_, n) => files.createVersion(id, `version ${n}`)))
    const versions = await inPieces(() => files.getVersions(id), 600)
    assert.deepEqual(versions.map(({ version }) => version), Array.from({ length: 601 }, (_, n) => n + 1))
  }))

  test('the answer to a bulk update', withProject(async (storage, project) => {
    const files = storage.getFileStorage(project.id)
    const created = await files.createMany(inputs('text'))
    const summaries = created.map(({ id }) => ({ id, data: { summary: `of ${id}` } }))
    const updated = await inPieces(() => files.updateMany(summaries))
    assert.deepEqual(updated.map(({ summary, content }) => [summary, content]), created.map(({ id, content }) => [`of ${id}`, content]))
  }))

  test('the answer to the write of a map of files', withProject(async (storage, project) => {
    const files = storage.getFileStorage(project.id)
    await files.createMany(inputs('text'))
    const map = await files.readAll()
    for (const file of Object.values(map)) file.content += ', changed'
    const written = await inPieces(() => files.writeAll(map))
    assert.deepEqual(Object.values(written).map(({ content }) => content), Object.values(map).map(({ content }) => content))
    assert.deepEqual(await files.readAll(), written)
  }))
})

const PROJECT_READS: Record<string, (storage: ProjectStorageV2) => Promise<unknown[]>> = {
  'a query': (storage) => storage.query(),
  'a list': (storage) => storage.list(),
  'a range of dates': (storage) => storage.listByDateRange(0, 2_000_000_000_000),
}

describe('long answers about projects arrive in pieces', () => {
  const all = () => Array.from({ length: COUNT }, (_, n) => projectRecord(n + 1, { description: 'd'.repeat(1000) }))
  const map = () => Object.fromEntries(all().map((project) => [project.id, project]))

  for (const [what, read] of Object.entries(PROJECT_READS)) {
    test(what, withDirectory(async ({ open }) => {
      const storage = open({ cacheEnabled: false })
      await storage.writeAll(map())
      assert.deepEqual(await inPieces(() => read(storage)), all())
    }))
  }

  test('the answer to the write of a map of projects', withDirectory(async ({ open }) => {
    assert.deepEqual(await inPieces(() => open().writeAll(map())), map())
  }))
})

describe("long answers of a caller's storage arrive in pieces", () => {
  const thing = (id: number): Thing => ({ id, name: `thing ${id}`, size: id % 2, created: 1, updated: 1, tags: ['t'.repeat(2000)] }) as Thing
  const all = () => Array.from({ length: COUNT }, (_, n) => thing(n + 1))
  const map = () => Object.fromEntries(all().map((thing) => [thing.id, thing]))

  const withManyThings = (work: (things: Things) => Promise<void>) =>
    withThings(async (things) => {
      await things.writeAll(map())
      await work(things)
    }, { indexes: [{ name: 'size', type: 'hash', fields: ['size'] }] })

  test('a query', withManyThings(async (things) => assert.deepEqual(await inPieces(() => things.query()), all())))

  test('an index lookup', withManyThings(async (things) => {
    assert.deepEqual(await inPieces(() => things.findBy('size', 1), COUNT / 2), all().filter(({ size }) => size === 1))
  }))

  test('a map, however often it was read before', withManyThings(async (things) => {
    for (let round = 0; round < 5; round++) assert.deepEqual(await inPieces(() => things.readAll()), map())
  }))

  test('the answer to the write of a map of entities', withDirectory(async ({ base }) => {
    const things = new Things({ basePath: base })
    assert.deepEqual(await inPieces(() => things.writeAll(map())), map())
    await things.close()
  }))
})

test('a short answer arrives in a single turn of the event loop', withProject(async (storage, project) => {
  const files = storage.getFileStorage(project.id)
  await files.createMany(inputs('text '.repeat(10), 200))
  const turns = await turnsOfPieces(() => files.query())
  assert.equal(turns.length, 1)
}))

test('a query can be aborted after some pieces of its answer have arrived', withProject(async (storage, project) => {
  const files = storage.getFileStorage(project.id)
  const created = await files.createMany(inputs('text'))
  const control = new AbortController()
  await turnsOfPieces(() => assert.rejects(files.query({ signal: control.signal }), { code: 'ABORTED' }), () => control.abort())
  assert.deepEqual(await files.query(), created)
}))

test('a query whose answer is arriving completes although its storage is closed', withProject(async (storage, project) => {
  const files = storage.getFileStorage(project.id)
  const created = await files.createMany(inputs('text'))
  let closed: Promise<void> | undefined
  await turnsOfPieces(async () => assert.deepEqual(await files.query(), created), () => (closed ??= storage.close()))
  await closed
}))

test('a query shows either all or none of a concurrent bulk update', withProject(async (storage, project) => {
  const files = storage.getFileStorage(project.id)
  const created = await files.createMany(inputs('round'))
  for (let round = 0; round < 5; round++) {
    const update = files.updateMany(created.map(({ id }) => ({ id, data: { summary: `round ${round}` } })))
    const answers = await Promise.all([files.query(), files.list({ includeAllVersions: false }), files.search('round')])
    for (const answer of answers) assert.equal(new Set(answer.map(({ summary }) => summary)).size, 1)
    await update
  }
}))

test('concurrent queries and lists do not mix their pieces', withProject(async (storage, project) => {
  const files = storage.getFileStorage(project.id)
  const created = await files.createMany(inputs('text'))
  const reads = Object.values(READS)
  const answers = await Promise.all([...reads, ...reads].map((read) => read(files)))
  for (const answer of answers) assert.deepEqual(answer, created)
}))
