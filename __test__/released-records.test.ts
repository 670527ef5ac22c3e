// What a call passes to native code, or has it keep, is released when the call has ended, however it ends.
import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { caught, withDirectory, withProject } from './support/index.js'
import { COUNT, inputs, things } from './support/many-records.js'
import { Things } from './support/things.js'
import type { Thing } from './support/things.js'

const { NativeCollection, NativeReadings, NativeRecords } = require('../binding.js')

describe('no record is kept once a call has ended', () => {
  /** Returns how many calls have passed records, and how many of them keep these, once something has run. */
  async function passedAndKept(run: () => Promise<unknown>) {
    const { append, release } = NativeRecords.prototype
    const [passed, kept] = [new Set(), new Set()]
    NativeRecords.prototype.append = function (...slice: unknown[]) {
      for (const set of [passed, kept]) set.add(this)
      return append.apply(this, slice)
    }
    NativeRecords.prototype.release = function () {
      kept.delete(this)
      release.call(this)
    }
    try {
      await run()
    } finally {
      Object.assign(NativeRecords.prototype, { append, release })
    }
    return [passed.size, kept.size]
  }

  test('that creates files, or fails to', withProject(async (storage, project) => {
    const files = storage.getFileStorage(project.id)
    assert.deepEqual(await passedAndKept(() => files.createMany(inputs())), [1, 0])
    assert.deepEqual(await passedAndKept(() => caught(files.createMany([{} as never]))), [1, 0])
  }))

  test('that is aborted while it hands over, or while it waits for its turn', withProject(async (storage, project) => {
    const files = storage.getFileStorage(project.id)
    const kept = await passedAndKept(async () => {
      const control = new AbortController()
      const calls = [files.createMany(inputs(), control), files.createMany(inputs(), control)].map(caught)
      setImmediate(() => control.abort())
      assert.deepEqual((await Promise.all(calls)).map(({ code }) => code), ['ABORTED', 'ABORTED'])
    })
    assert.deepEqual(kept, [2, 0])
  }))

  test("that creates or changes a caller's entities, or fails to", withDirectory(async ({ base }) => {
    const storage = new Things({ basePath: base, indexes: [{ name: 'by_name', type: 'hash', fields: ['name'], unique: true }] })
    const given = Object.values(things()).map(({ name }) => ({ name }))
    let created: Thing[] = []
    assert.deepEqual(await passedAndKept(async () => (created = await storage.createMany(given))), [1, 0])
    assert.deepEqual(await passedAndKept(() => caught(storage.createMany(given))), [1, 0])
    assert.deepEqual(await passedAndKept(() => storage.updateMany(created.map(({ id }) => ({ id, data: { size: 2 } })))), [1, 0])
    await storage.close()
  }))

  test("that creates a caller's entities and is aborted while it waits for its turn", withDirectory(async ({ base }) => {
    let open = () => {}
    const gate = new Promise<void>((resolve) => (open = resolve))
    const validate = async (value: { name: string }) => {
      if (value.name === 'held') await gate
      return { value }
    }
    const storage = new Things({ basePath: base, schema: { '~standard': { version: 1, vendor: 'test', validate } } })
    const kept = await passedAndKept(async () => {
      const control = new AbortController()
      const held = storage.create({ name: 'held' })
      const { append } = NativeRecords.prototype
      const passed = new Promise<void>((resolve) => {
        let count = 0
        NativeRecords.prototype.append = function (...slice: any[]) {
          count += slice[0].length
          if (count === COUNT) resolve()
          return append.apply(this, slice)
        }
      })
      const many = caught(storage.createMany(Object.values(things()), control))
      await passed
      control.abort()
      assert.equal((await many).code, 'ABORTED')
      open()
      await held
    })
    assert.deepEqual(kept, [1, 0])
    await storage.close()
  }))

  test('that adopts a file or writes a map', withDirectory(async ({ base }) => {
    await mkdir(join(base, 'data'))
    await writeFile(join(base, 'data', 'things.json'), JSON.stringify(things()))
    const storage = new Things({ basePath: base })
    assert.deepEqual(await passedAndKept(() => storage.list()), [1, 0])
    assert.deepEqual(await passedAndKept(() => storage.writeAll(things())), [1, 0])
    await storage.close()
  }))
})

test('an update of many entities keeps nothing of what it read, whether it succeeds or not', withDirectory(async ({ base }) => {
  const storage = new Things({ basePath: base })
  const created = await storage.createMany([{ name: 'a' }, { name: 'b' }])
  const [{ getMany }, { release }] = [NativeCollection.prototype, NativeReadings.prototype]
  const [used, kept] = [new Set(), new Set()]
  NativeCollection.prototype.getMany = function (ticket: number, keys: string[], readings: unknown) {
    for (const set of [used, kept]) set.add(readings)
    return getMany.call(this, ticket, keys, readings)
  }
  NativeReadings.prototype.release = function () {
    kept.delete(this)
    release.call(this)
  }
  try {
    await storage.updateMany(created.map(({ id }) => ({ id, data: { size: 2 } })))
    await caught(storage.updateMany(created.map(({ id }) => ({ id, data: { name: '' } }))))
    await caught(storage.updateMany([{ id: 4711, data: {} }]))
  } finally {
    NativeCollection.prototype.getMany = getMany
    NativeReadings.prototype.release = release
  }
  assert.deepEqual([used.size, kept.size], [3, 0])
  await storage.close()
}))
