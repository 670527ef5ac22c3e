// What is kept between calls is bounded, whatever is read.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { fileInput, fileRecord, projectInput, runChild, warm, withDirectory, withProject, withStorage } from './support/index.js'

interface Entry { collection: { drop(entry: Entry): void }; size: number; used: boolean }
interface KeptEntries { size: number; raise(most: number): void; add(entry: Entry): void; remove(entry: Entry): void }
const { isKept, KeptEntries } = require('../lib/kept-entries.js') as {
  isKept(size: number): boolean
  KeptEntries: new () => KeptEntries
}
const { documents } = require('../lib/storage-members.js')
const { objectsOfEngine } = require('../lib/objects.js')

/** Returns the size of the largest object that is kept. */
function largest() {
  let [kept, tooLarge] = [0, 2 ** 40]
  while (tooLarge - kept > 1) {
    const size = Math.floor((kept + tooLarge) / 2)
    if (isKept(size)) kept = size
    else tooLarge = size
  }
  return kept
}

/** Provides the entries of two engines that may keep many each. `entry` makes entries of which two fit, but not three. */
function withEngines(work: (engines: KeptEntries[], entry: (name: string) => Entry, dropped: string[]) => void) {
  return () => {
    const dropped: string[] = []
    const size = largest() * 0.9
    const made: Entry[] = []
    const entry = (name: string) => {
      const one = { collection: { drop: () => void dropped.push(name) }, size, used: false }
      made.push(one)
      return one
    }
    const engines = [new KeptEntries(), new KeptEntries()]
    for (const engine of engines) engine.raise(100)
    work(engines, entry, dropped)
    for (const engine of engines) for (const one of made) engine.remove(one)
  }
}

describe('the cached objects of all databases', () => {
  test('share one budget', withEngines(([one, other], entry, dropped) => {
    one!.add(entry('first'))
    other!.add(entry('second'))
    other!.add(entry('third'))
    other!.add(entry('fourth'))
    assert.deepEqual([dropped, one!.size, other!.size], [['first', 'second'], 0, 2])
  }))

  test('are evicted in the order of their last use, across databases', withEngines(([one, other], entry, dropped) => {
    const first = entry('first')
    one!.add(first)
    other!.add(entry('second'))
    first.used = true
    one!.add(entry('third'))
    other!.add(entry('fourth'))
    assert.deepEqual(dropped, ['second', 'third'])
  }))
})

test('a cached list of which a document changed is counted with its present size', withProject(async (storage, project) => {
  const files = storage.getFileStorage(project.id)
  const { id } = await files.create(fileInput('a', ''))
  await files.create(fileInput('b'))
  const sizes = []
  for (const length of [1, 5000, 70, 200_000]) {
    await files.update(id, { content: 'x'.repeat(length) })
    await warm(() => files.list())
    sizes.push(objectsOfEngine((files as any)[documents].engine()).entries.held - length)
  }
  assert.deepEqual(new Set(sizes).size, 1, sizes.join())
}))

/** Runs the reads of `hoarder.mjs` in a process with a small heap, which only Node can limit. */
const inSmallHeap = (work: string) => withDirectory(async ({ base }) => {
  const { code, signal, stderr } = await runChild('hoarder.mjs', [base, work], { env: { NODE_OPTIONS: '--max-old-space-size=64' } })
  assert.deepEqual([code, signal], [0, null], stderr)
})

describe('a small heap is enough', () => {
  test('for many large documents that are read often', inSmallHeap('documents'))
  test('for many large documents with nested fields that are read often', inSmallHeap('nested'))
  test('for many documents and lists of small numbers that are read often', inSmallHeap('numbers'))
  test('for large lists of many databases that are read often', inSmallHeap('lists'))
})

test('writes leave nothing in the heap', withDirectory(async ({ base }) => {
  const { lines, code, stderr } = await runChild('hoarder.mjs', [base, 'creations'])
  assert.equal(code, 0, stderr)
  assert.ok(Number(lines[0]) < 150, `${lines[0]} bytes each`)
}))

describe('projects that do not exist', () => {
  const strangers = Array.from({ length: 3000 }, (_, n) => n + 1)

  test('are forgotten after many of them are read', withStorage(async (storage) => {
    await storage.create(projectInput())
    for (const id of strangers) assert.deepEqual(await storage.getProjectFiles(id), [])
    assert.ok((await storage.stats()).collections.length <= 1100)
  }))

  test('are forgotten after writes to many of them', withStorage(async (storage) => {
    await storage.create(projectInput())
    for (const id of strangers) await storage.getFileStorage(id).update(1, { summary: 'none' })
    assert.ok((await storage.stats()).collections.length <= 1100)
  }))

  test('leave nothing in the heap', withDirectory(async ({ base }) => {
    const { lines, code, stderr } = await runChild('hoarder.mjs', [base, 'strangers'])
    assert.equal(code, 0, stderr)
    assert.ok(Number(lines[0]) < 250, `${lines[0]} bytes each`)
  }))

  test('show files that are written after the project was forgotten', withStorage(async (storage, { open }) => {
    const held = storage.getFileStorage(1)
    const other = open({ cacheEnabled: false })
    await storage.create(projectInput())
    for (let round = 0; round < 3; round++) {
      for (const id of strangers.slice(0, 1500)) await storage.getProjectFiles(id)
      assert.deepEqual(await held.list(), [])
      await other.writeProjectFiles(1, { 7: fileRecord(7, 1) })
      assert.deepEqual((await held.list()).map(({ id }) => id), [7])
      assert.equal((await held.getById(7))?.id, 7)
      await other.deleteProjectData(1)
      assert.deepEqual(await held.list(), [])
    }
  }))
})

test('deleted projects are forgotten at the next checkpoint', withStorage(async (storage, { open }) => {
  for (let n = 0; n < 50; n++) {
    const { id } = await storage.create(projectInput(`p${n}`))
    await storage.addFile(id, fileInput('a'))
    await storage.delete(id)
  }
  const other = open()
  await other.create(projectInput('of another'))
  await other.close()
  await storage.create(projectInput('last'))
  assert.deepEqual((await storage.stats()).collections.map(({ path }) => path), ['projects.json'])
}))
