import assert from 'node:assert/strict'
import { test } from 'node:test'
import { caught, fileInput, openFiles, withProject } from './support/index.js'
import { Things, withThings } from './support/things.js'

const withSomeThings = (count: number, work: (things: Things, base: string) => Promise<void>) =>
  withThings(async (things, base) => {
    await Promise.all(Array.from({ length: count }, (_, size) => things.create({ name: `thing ${size}`, size })))
    await work(things, base)
  })

/** Brings the JSON files of a database up to date, as an instance that used it does when it is closed. */
async function checkpoint(base: string): Promise<void> {
  const things = new Things({ basePath: base })
  await things.list()
  await things.close()
}

async function collected<T>(source: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const value of source) all.push(value)
  return all
}

test('an iteration yields every entity once, in ascending order of id', withSomeThings(25, async (things) => {
  const all = await things.list()
  for (const batchSize of [1, 7, 25, 100]) {
    assert.deepEqual(await collected(things.iterate({ batchSize })), all)
  }
}))

test('an iteration of an empty storage yields nothing', withSomeThings(0, async (things) => {
  assert.deepEqual(await collected(things.iterate()), [])
}))

test('an iteration starts after the given id and skips entities that its condition excludes', withSomeThings(10, async (things) => {
  const all = await things.list()
  const found = await collected(things.iterate({ batchSize: 2, after: all[3]!.id, where: { size: { $ne: 5 } } }))
  assert.deepEqual(found, all.slice(4).filter(({ size }) => size !== 5))
}))

test('an iteration does not see writes made after it began', withSomeThings(10, async (things) => {
  const before = await things.list()
  const seen = []
  for await (const thing of things.iterate({ batchSize: 1 })) {
    seen.push(thing)
    if (seen.length > 1) continue
    await things.deleteAll()
    await things.create({ name: 'late' })
  }
  assert.deepEqual(seen, before)
}))

test('breaking out of an iteration closes the file that only it still needed', withSomeThings(10, async (things, base) => {
  const replaced = async () => (await openFiles(base))?.filter((path) => path.endsWith(' (deleted)'))
  await checkpoint(base)
  const iteration = things.iterate({ batchSize: 1 })
  for await (const thing of iteration) {
    await things.update(thing.id, { name: 'changed' })
    await checkpoint(base)
    assert.equal((await replaced())?.length ?? 1, 1)
    break
  }
  assert.deepEqual((await replaced()) ?? [], [])
  assert.deepEqual(await iteration.next(), { value: undefined, done: true })
}))

test('an iteration keeps its snapshot across checkpoints', withSomeThings(50, async (things, base) => {
  const before = await things.list()
  const seen = []
  for await (const thing of things.iterate({ batchSize: 5 })) {
    seen.push(thing)
    if (seen.length % 10 !== 0) continue
    await things.update(thing.id, { name: 'changed' })
    await checkpoint(base)
  }
  assert.deepEqual(seen, before)
}))

test('an iteration of files yields their contents', withProject(async (storage, project) => {
  const files = storage.getFileStorage(project.id)
  await files.createMany(['a', 'b', 'c'].map((name) => fileInput(name)))
  assert.deepEqual(await collected(files.iterate({ batchSize: 2 })), await files.list())
}))

test('invalid iteration options are rejected', withSomeThings(0, async (things) => {
  for (const options of [1, [], { batchSize: 0 }, { batchSize: 1.5 }, { batchSize: '1' }, { after: {} }, { where: 1 }, { signal: 1 }]) {
    assert.equal((await caught((async () => collected(things.iterate(options as never)))())).code, 'INVALID_ARGUMENT', JSON.stringify(options))
  }
}))
