// Long lists arrive in pieces, and so do the answers of bulk writes.
import assert from 'node:assert/strict'
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import type { ProjectFileStorage } from '../index.js'
import { fileInput, filesPath, until, withProject } from './support/index.js'
import { turnsOfPieces } from './support/turns.js'

const inputs = (count: number, content = 'text') => Array.from({ length: count }, (_, n) => fileInput(`f${n}`, `${content} ${n}`))

const cold = (open: any, project: { id: number }): ProjectFileStorage => open({ cacheEnabled: false }).getFileStorage(project.id)

test('a bulk create returns the files in the given order, and lists keep it', withProject(async (storage, project, { open }) => {
  const given = inputs(3000)
  const created = await storage.getFileStorage(project.id).createMany(given)
  assert.deepEqual(created.map(({ path, content }) => [path, content]), given.map(({ path, content }) => [path, content]))
  const files = cold(open, project)
  assert.deepEqual(await files.list(), created)
  const heads = created.map(({ content: _, ...head }) => head)
  assert.deepEqual(await files.list({ includeContent: false }), heads)
}))

test('an empty project lists no files, and creating none returns none', withProject(async (storage, project, { open }) => {
  const files = cold(open, project)
  assert.deepEqual(await files.list(), [])
  assert.deepEqual(await files.list({ includeContent: false }), [])
  assert.deepEqual(await storage.getFileStorage(project.id).createMany([]), [])
}))

test('a failed bulk create stores nothing', withProject(async (storage, project) => {
  const files = storage.getFileStorage(project.id)
  const given = [...inputs(2000), { ...fileInput('bad'), path: '' }]
  await assert.rejects(files.createMany(given), { code: 'VALIDATION_ERROR' })
  assert.deepEqual(await files.list(), [])
}))

test('a cached list stays ordered by id after files change', withProject(async (storage, project) => {
  const files = storage.getFileStorage(project.id)
  const ids = (await files.createMany(inputs(10))).map(({ id }) => id)
  for (const changed of [[3], [7, 2], [0, 9, 5]]) {
    for (let read = 0; read < 3; read += 1) await files.list()
    for (const at of changed) {
      await files.update(ids[at]!, { summary: 'changed' })
      // The changed file is now in memory, from where it gets its place in the list.
      await files.getById(ids[at]!)
    }
    assert.deepEqual((await files.list()).map(({ id }) => id), ids)
  }
}))

test('a cached list shows a manual edit once it is older than cacheTTL', withProject(async (storage, project, { base, open }) => {
  const { id } = await storage.addFile(project.id, fileInput('a'))
  await storage.close()
  const files = open({ cacheTTL: 20 }).getFileStorage(project.id)
  for (let read = 0; read < 3; read += 1) await files.list()
  const path = filesPath(base, project.id)
  const edited = JSON.parse(readFileSync(path, 'utf8'))
  edited[id].summary = 'edited'
  writeFileSync(path, JSON.stringify(edited))
  await until('the edit', async () => (await files.list())[0]!.summary === 'edited')
}))

test('a list in progress when the cache is cleared is not cached', withProject(async (storage, project, { open }) => {
  await storage.getFileStorage(project.id).createMany(inputs(10))
  await storage.close()
  const calls = ['clearCache', 'invalidateCache'].flatMap((forget) => [true, false].map((opened) => ({ forget, opened })))
  for (const { forget, opened } of calls) {
    const again = open()
    const files = again.getFileStorage(project.id)
    // Opens the database.
    if (opened) await again.list()
    const list = files.list()
    ;(files as any)[forget](forget === 'clearCache' ? undefined : 1)
    await list
    const { misses } = files.getCacheStats()
    await files.list()
    assert.equal(files.getCacheStats().misses, misses + 1, `${forget}, ${opened}`)
    await again.close()
  }
}))

test('a list aborted at any time is whole or rejects with ABORTED, and the next list is whole', withProject(async (storage, project, { open }) => {
  const created = await storage.getFileStorage(project.id).createMany(inputs(3000, 'x'.repeat(2000)))
  const files = cold(open, project)
  await files.getById(created[0]!.id)
  for (const turns of [0, 1, 2, 3]) {
    const control = new AbortController()
    const list = files.list({ signal: control.signal })
    for (let turn = 0; turn < turns; turn++) await new Promise(setImmediate)
    control.abort()
    await list.then((whole) => assert.equal(whole.length, 3000), (error) => assert.equal(error.code, 'ABORTED'))
  }
  assert.deepEqual(await files.list(), created)
}))

test('the event loop turns between the pieces of a list', withProject(async (storage, project, { open }) => {
  const created = await storage.getFileStorage(project.id).createMany(inputs(3000, 'x'.repeat(2000)))
  const files = cold(open, project)
  await files.getById(created[0]!.id)
  const turns = await turnsOfPieces(async () => assert.equal((await files.list()).length, 3000))
  // The last piece arrives with the answer.
  assert.ok(turns.length >= 3000 / 256, turns.join())
  assert.equal(new Set(turns.slice(0, -1)).size, turns.length - 1, turns.join())
}))

test('a list can be aborted after some of its pieces have arrived', withProject(async (storage, project, { open }) => {
  const created = await storage.getFileStorage(project.id).createMany(inputs(3000, 'x'.repeat(2000)))
  const files = cold(open, project)
  await files.getById(created[0]!.id)
  const control = new AbortController()
  const run = () => assert.rejects(files.list({ signal: control.signal }), { code: 'ABORTED' })
  await turnsOfPieces(run, () => control.abort())
  assert.deepEqual(await files.list(), created)
}))

test('concurrent lists do not mix their pieces', withProject(async (storage, project, { open }) => {
  const created = await storage.getFileStorage(project.id).createMany(inputs(2000))
  const files = cold(open, project)
  const heads = created.map(({ content: _, ...head }) => head)
  const lists = await Promise.all([files.list(), files.list({ includeContent: false }), files.list(), files.list({ includeContent: false })])
  assert.deepEqual(lists, [created, heads, created, heads])
}))

test('a list shows either all or none of a concurrent edit of the file', withProject(async (storage, project, { base, open }) => {
  await storage.getFileStorage(project.id).createMany(inputs(3000, 'round 0 of'))
  await storage.close()
  const path = filesPath(base, project.id)
  const text = readFileSync(path, 'utf8')
  const other = open({ cacheEnabled: false })
  const files = other.getFileStorage(project.id)
  for (let round = 1; round <= 10; round++) {
    const list = files.list()
    writeFileSync(`${path}.new`, text.replaceAll('round 0 of', `round ${round} of`))
    renameSync(`${path}.new`, path)
    const rounds = new Set((await list).map(({ content }) => content.split(' ')[1]))
    assert.equal(rounds.size, 1, [...rounds].join())
  }
}))
