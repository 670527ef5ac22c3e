import assert from 'node:assert/strict'
import { test } from 'node:test'
import { caught, fileInput, withDirectory, withProject } from './support/index.js'
import { Things } from './support/things.js'

const reason = new Error('enough')

const withThings = (work: (things: Things) => Promise<void>) =>
  withDirectory(async ({ base }) => {
    const things = new Things({ basePath: base })
    try {
      await Promise.all(Array.from({ length: 50 }, (_, size) => things.create({ name: `thing ${size}`, size })))
      await work(things)
    } finally {
      await things.close()
    }
  })

async function all<T>(source: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = []
  for await (const value of source) found.push(value)
  return found
}

const isAborted = (error: { code: string; cause: unknown; reason: unknown }) => {
  assert.deepEqual([error.code, error.cause, error.reason], ['ABORTED', reason, reason])
}

test('a signal that was raised before ends every call before it begins', withThings(async (things) => {
  const signal = AbortSignal.abort(reason)
  let ran = false
  for (const call of [
    () => things.query({ signal }),
    () => things.explain({ signal }),
    () => things.list({ signal }),
    () => all(things.iterate({ signal })),
    () => things.transaction(async () => void (ran = true), { signal }),
    async () => all(things.changes({ signal })),
  ]) {
    isAborted(await caught(call()))
  }
  assert.equal(ran, false)
}))

test('files give up too', withProject(async (storage, project) => {
  const files = storage.getFileStorage(project.id)
  const { id } = await files.create(fileInput('a', 'x'.repeat(100_000)))
  const signal = AbortSignal.abort(reason)
  for (const call of [
    () => files.list({ signal }),
    () => files.search('x', { signal }),
    () => storage.search('x', { signal }),
    () => storage.searchFiles(project.id, 'x', { signal }),
    () => files.createFromStream({ name: 'b', path: 'b' }, ['x'], { signal }),
    () => files.createContentStream(id, { signal }).getReader().read(),
  ]) {
    isAborted(await caught(call()))
  }
  assert.equal((await files.list()).length, 1)
}))

test('a signal ends a call that is under way', withThings(async (things) => {
  const controller = new AbortController()
  const query = caught(things.query({ where: { name: /9/ }, signal: controller.signal }))
  controller.abort(reason)
  isAborted(await query)
  // The storage goes on.
  assert.equal((await things.query({ where: { size: 9 } })).length, 1)
}))

test('a signal ends an iteration between two entities', withThings(async (things) => {
  const controller = new AbortController()
  const seen: number[] = []
  const error = await caught((async () => {
    for await (const { size } of things.iterate({ signal: controller.signal })) {
      seen.push(size)
      if (seen.length === 3) controller.abort(reason)
    }
  })())
  isAborted(error)
  assert.equal(seen.length, 3)
}))

test('a signal rolls back a transaction that never ends', withThings(async (things) => {
  const controller = new AbortController()
  let late: Promise<unknown> | undefined
  const error = await caught(things.transaction(async (tx) => {
    await tx.create({ name: 'never' })
    controller.abort(reason)
    late = caught(tx.create({ name: 'late' }))
    await new Promise(() => {})
  }, { signal: controller.signal }))
  isAborted(error)
  assert.equal(((await late) as { code: string }).code, 'CLOSED')
  assert.equal((await things.list()).length, 50)
}))

test('a signal ends a content stream', withProject(async (storage, project) => {
  const files = storage.getFileStorage(project.id)
  const { id } = await files.create(fileInput('a', 'x'.repeat(2_000_000)))
  const controller = new AbortController()
  const reader = files.createContentStream(id, { signal: controller.signal }).getReader()
  assert.equal((await reader.read()).done, false)
  controller.abort(reason)
  isAborted(await caught(reader.read()))
}))

test('a call that is over does not mind the signal any more', withThings(async (things) => {
  const controller = new AbortController()
  const found = await things.query({ signal: controller.signal })
  controller.abort(reason)
  assert.equal(found.length, 50)
}))

test('what is no signal is refused', withThings(async (things) => {
  for (const signal of [null, 1, {}, { aborted: false }]) {
    assert.equal((await caught(things.query({ signal: signal as never }))).code, 'INVALID_ARGUMENT')
    assert.equal((await caught(things.transaction(async () => {}, { signal: signal as never }))).code, 'INVALID_ARGUMENT')
  }
}))
