// Kept objects are as current as the engine while others write.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { Worker } from 'node:worker_threads'
import type { Project, ProjectFile, ProjectFileStorage } from '../index.js'
import { fileInput, projectInput, runChild, warm, withProject, withStorage } from './support/index.js'

const { NativeCollection } = require('../binding.js')

const numberIn = (file: ProjectFile | null) => Number(file!.content)

test('a kept list is not brought up to date with a batch that comes in the middle of that', withStorage(async (storage, { open }) => {
  const create = (name: string) => storage.create({ ...projectInput(name), description: 'first' })
  const [one, two] = [await create('one'), await create('two')]
  await warm(() => storage.list())
  // Of the kept list, this document alone must be read again. It is in memory.
  await storage.update(one.id, { path: '/srv/moved' })
  await storage.getById(one.id)
  const other = open()
  let write: Promise<unknown> | undefined
  const { peekSome } = NativeCollection.prototype
  NativeCollection.prototype.peekSome = function (...args: unknown[]) {
    const peek = () => JSON.stringify(peekSome.apply(this, args))
    const before = peek()
    write ??= other.writeAll({ [one.id]: { ...one, description: 'second' }, [two.id]: { ...two, description: 'second' } })
    // Not every system and file system can tell what is in memory. Without that, the list is not brought up to date but read.
    while (before !== undefined && [before, undefined].includes(peek()));
    return peekSome.apply(this, args)
  }
  try {
    const [{ description: first }, { description: second }] = await storage.list() as [Project, Project]
    assert.equal(first, second)
  } finally {
    NativeCollection.prototype.peekSome = peekSome
  }
  assert.ok(write)
  await write
}))

describe('cached reads while others write', () => {
  async function counted(base: string, files: ProjectFileStorage, project: number, count: number, length: number) {
    const [one, other] = await files.createMany([fileInput('one', '0'), fileInput('other', '0')])
    const checks: Promise<void>[] = []
    let running = true
    const reading = (async () => {
      let last = 0
      while (running) {
        // The second read must not be older than the first, and no read older than any before it.
        const first = numberIn(await files.getById(one!.id))
        const second = numberIn(await files.getById(other!.id))
        assert.ok(first >= last && second >= first, `${last}, ${first}, ${second}`)
        last = second
        // Both numbers are written in one batch.
        const listing = files.list()
        let isListed = false
        listing.finally(() => (isListed = true)).catch(() => {})
        while (!isListed) await Promise.all([files.getById(one!.id), new Promise(setImmediate)])
        const list = await listing
        const listed = [one!, other!].map(({ id }) => numberIn(list.find((file) => file.id === id)!))
        assert.ok(listed[0]! >= second && listed[0] === listed[1], `${second}, ${listed}`)
        last = listed[0]!
        if (Math.random() < 0.01) await new Promise(setImmediate)
      }
    })()
    const onLine = (line: string) => {
      const read = files.getById(one!.id)
      checks.push(read.then((file) => assert.ok(numberIn(file) >= Number(line), `${file!.content} after ${line}`)))
    }
    const args = [base, String(project), String(one!.id), String(other!.id), String(count), String(length)]
    const { code, stderr } = await runChild('counter.mjs', args, { onLine })
    running = false
    assert.equal(code, 0, stderr)
    await Promise.all([reading, ...checks])
    assert.equal(numberIn(await files.getById(other!.id)), count)
  }

  test('never go back in time and show every acknowledged write', withProject(async (storage, project, { base }) => {
    await counted(base, storage.getFileStorage(project.id), project.id, 300, 1)
  }))

  test('never go back in time when the documents are too large to be read at once', withProject(async (storage, project, { base }) => {
    await counted(base, storage.getFileStorage(project.id), project.id, 150, 600_000)
  }))

  test('never show half of a batch', withProject(async (storage, project) => {
    const files = storage.getFileStorage(project.id)
    const created = await files.createMany(Array.from({ length: 2000 }, (_, n) => fileInput(`f${n}`, '0')))
    const [one, other] = [created[0]!.id, created.at(-1)!.id]
    await warm(() => files.list())
    let running = true
    const writing = (async () => {
      for (let n = 1; n <= 300; n++) {
        // One of them is already out of date when both change.
        await files.update(one, { summary: `${n}` })
        await files.updateMany([one, other].map((id) => ({ id, data: { content: `${n}` } })))
      }
    })().finally(() => (running = false))
    while (running) {
      const list = await files.list()
      assert.equal(list[0]!.content, list.at(-1)!.content)
      await new Promise(setImmediate)
    }
    await writing
  }))

  test('show what a worker thread wrote', withStorage(async (storage, { base }) => {
    await storage.create(projectInput('first'))
    await warm(() => storage.list())
    const worker = new Worker(join(__dirname, 'support/worker.mjs'), { workerData: { base, tag: 'w' } })
    const ids = await new Promise<number[]>((resolve, reject) => worker.on('message', resolve).on('error', reject))
    const listed = new Set((await storage.list()).map(({ id }) => id))
    assert.ok(ids.every((id) => listed.has(id)))
    await worker.terminate()
  }))
})
