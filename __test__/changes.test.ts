import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import type { Change, Changes } from '../index.js'
import { collectGarbage } from './support/garbage.js'
import { caught, fileInput, runChild, until, warningOf, withDirectory, withProject } from './support/index.js'
import { Things, thing, withThings } from './support/things.js'

const { NativeChanges } = require('../binding.js')

/** Listening does not keep a process alive, so something else must while a test waits for changes. */
const alive = async (work: () => Promise<void>) => {
  const timer = setInterval(() => {}, 1000)
  await work().finally(() => clearInterval(timer))
}

const withWatchedThings: typeof withThings = (work) =>
  withThings((things, base) => alive(() => work(things, base)))

const mostAreCollected = (references: WeakRef<object>[]) =>
  until('most of them to be gone', () => {
    collectGarbage()
    return references.filter((reference) => reference.deref() !== undefined).length <= 5
  })

const next = async <Id>(changes: Changes<Id>): Promise<Change<Id>> => (await changes.next()).value!

test('each batch is reported once, in order', withWatchedThings(async (things) => {
  const changes = things.changes()
  const { id } = await things.create({ name: 'a' })
  await things.update(id, { name: 'b' })
  await things.delete(id)
  const told = [await next(changes), await next(changes), await next(changes)]
  const rest = { kind: 'change', collection: 'things.json', emptied: false }
  assert.deepEqual(told.map(({ sequence, ...change }) => change), [
    { ...rest, created: [id], updated: [], deleted: [] },
    { ...rest, created: [], updated: [id], deleted: [] },
    { ...rest, created: [], updated: [], deleted: [id] },
  ])
  // The batches of a checkpoint, which may come between these, have numbers too.
  const numbers = told.map(({ sequence }) => sequence)
  assert.deepEqual(numbers, [...new Set(numbers)].sort((a, b) => a - b))
}))

test('a transaction is reported as one batch', withWatchedThings(async (things) => {
  const changes = things.changes()
  const ids = await things.transaction(async (tx) => [(await tx.create({ name: 'a' })).id, (await tx.create({ name: 'b' })).id])
  const change = await next(changes)
  assert.deepEqual(change.kind === 'change' && change.created, ids)
}))

test('an entity that a transaction creates and deletes is in no change', withWatchedThings(async (things) => {
  const changes = things.changes()
  const createAndDelete = async (tx: { create: Things['create'], delete: Things['delete'] }) => tx.delete((await tx.create({ name: 'a' })).id)
  await things.transaction(createAndDelete)
  const id = await things.transaction(async (tx) => {
    await createAndDelete(tx)
    return (await tx.create({ name: 'b' })).id
  })
  assert.deepEqual(await next(changes), { kind: 'change', sequence: 1, collection: 'things.json', emptied: false, created: [id], updated: [], deleted: [] })
}))

test('a feed resumes from a sequence number', withWatchedThings(async (things) => {
  const { id } = await things.create({ name: 'a' })
  const from = await things.sequence()
  await things.update(id, { name: 'b' })
  await things.close()
  const again = new Things({ basePath: things.optionsInForce.basePath })
  const change = await next(again.changes({ from }))
  assert.deepEqual(change.kind === 'change' && [change.sequence, change.updated], [from + 1, [id]])
  await again.close()
}))

test('a sequence number from before the oldest journal gives one reset', withWatchedThings(async (things) => {
  for (let round = 0; round < 4; round++) {
    await things.create({ name: 'a' })
    await new Things({ basePath: things.optionsInForce.basePath }).close()
    const other = new Things({ basePath: things.optionsInForce.basePath })
    await other.list()
    await other.close()
  }
  const changes = things.changes({ from: 0 })
  assert.deepEqual(await next(changes), { kind: 'reset', sequence: await things.sequence(), collection: null })
  const { id } = await things.create({ name: 'late' })
  const change = await next(changes)
  assert.deepEqual(change.kind === 'change' && change.created, [id])
}))

test('commits of another process are reported', withWatchedThings(async (things, base) => {
  const { id } = await things.create({ name: 'a', size: 0 })
  const changes = things.changes()
  await things.sequence()
  const child = runChild('transactor.mjs', [base, String(id), '3'])
  const told = [await next(changes), await next(changes), await next(changes)]
  assert.deepEqual(told.map((change) => change.kind === 'change' && change.updated), [[id], [id], [id]])
  assert.equal((await child).code, 0)
}))

test('a feed does not report what another process committed before the call', withWatchedThings(async (things, base) => {
  const { id } = await things.create({ name: 'a', size: 0 })
  assert.equal((await runChild('transactor.mjs', [base, String(id), '3'])).code, 0)
  const changes = things.changes()
  const late = await things.create({ name: 'b' })
  const change = await next(changes)
  assert.deepEqual(change.kind === 'change' && change.created, [late.id])
}))

test('a feed reports the collection of its storage, or the whole database', withProject((storage, project) => alive(async () => {
  const own = storage.changes()
  const all = storage.changes({ scope: 'database' })
  const file = await storage.addFile(project.id, fileInput('a'))
  await storage.update(project.id, { description: 'x' })
  const first = await next(all)
  assert.deepEqual([first.collection, first.kind === 'change' && first.created], [`project_data/${project.id}/files.json`, [file.id]])
  assert.equal((await next(all)).collection, 'projects.json')
  assert.equal((await next(own)).collection, 'projects.json')
})))

test('listeners are called until they are removed', withWatchedThings(async (things) => {
  const heard: Change<number>[] = []
  const listener = (change: Change<number>) => void heard.push(change)
  assert.equal(things.on('change', listener), things)
  await things.sequence()
  await things.create({ name: 'a' })
  await until('the change', () => heard.length === 1)
  assert.equal(things.off('change', listener), things)
  const other = things.changes()
  await things.create({ name: 'b' })
  await next(other)
  assert.equal(heard.length, 1)
}))

test('removing a listener that was never added changes nothing', withWatchedThings(async (things) => {
  const heard: Change<number>[] = []
  assert.equal(things.off('change', () => {}), things)
  things.on('change', (change) => void heard.push(change))
  things.off('change', () => {})
  await things.sequence()
  await things.create({ name: 'a' })
  await until('the change', () => heard.length === 1)
}))

test('a feed whose signal takes no listener fails and leaves nothing open', withWatchedThings(async (things) => {
  const { open } = NativeChanges.prototype
  let opened = 0
  NativeChanges.prototype.open = function (...args: unknown[]) {
    opened += 1
    return open.apply(this, args)
  }
  try {
    const error = new Error('no listeners here')
    const signal = { aborted: false, addEventListener() { throw error } } as never
    assert.throws(() => things.changes({ signal }), error)
    await things.sequence()
    assert.equal(opened, 0)
  } finally {
    NativeChanges.prototype.open = open
  }
}))

test('a listener added just after the last one was removed hears each change once', withWatchedThings(async (things) => {
  const heard: [string, Change<number>][] = []
  const listeners = ['first', 'second', 'third'].map((name) => (change: Change<number>) => void heard.push([name, change]))
  const { close } = NativeChanges.prototype
  let closed = 0
  NativeChanges.prototype.close = function () {
    closed += 1
    close.call(this)
  }
  try {
    things.on('change', listeners[0]!)
    await things.sequence()
    things.off('change', listeners[0]!)
    assert.equal(closed, 1)
    things.on('change', listeners[1]!)
    await things.create({ name: 'a' })
    await until('the change', () => heard.length > 0)
    things.on('change', listeners[2]!)
    await things.create({ name: 'b' })
    await until('the next one', () => heard.length > 2)
    for (const listener of listeners) things.off('change', listener)
    assert.deepEqual(heard.map(([name, { sequence }]) => [name, sequence]), [['second', 1], ['second', 2], ['third', 2]])
    assert.equal(closed, 2)
  } finally {
    NativeChanges.prototype.close = close
  }
}))

test('a listener that throws is reported, and the other listeners are called', withWatchedThings(async (things) => {
  let heard = 0
  things.on('change', () => {
    throw new Error('mine')
  })
  things.on('change', () => void (heard += 1))
  const warning = await warningOf('LISTENER_FAILED', async () => {
    await things.sequence()
    await things.create({ name: 'a' })
  })
  assert.match(warning.message, /mine/)
  await until('the change', () => heard === 1)
}))

test('a listener that rejects is reported and does not end the process', withWatchedThings(async (things) => {
  const reason = new Error('rejected on purpose')
  const unhandled: unknown[] = []
  const note = (error: unknown) => void unhandled.push(error)
  process.on('unhandledRejection', note)
  let heard = 0
  things.on('change', async () => {
    await null
    throw reason
  })
  things.on('change', () => void heard++)
  const warning = await warningOf('LISTENER_FAILED', () => things.create({ name: 'a' }))
  process.off('unhandledRejection', note)
  assert.match(warning.message, /rejected on purpose/)
  assert.deepEqual([heard, unhandled], [1, []])
}))

test('a listener that throws a value without a string form is reported', withWatchedThings(async (things) => {
  const odd = { toString() { throw new Error('no') } }
  things.on('change', () => { throw odd })
  const warning = await warningOf('LISTENER_FAILED', () => things.create({ name: 'a' }))
  assert.match(warning.message, /something that cannot be shown/)
}))

test('a listener that modifies its event does not affect the other listeners', withWatchedThings(async (things) => {
  const told: Change<number>[] = []
  const spoil = (change: any) => {
    for (const ids of [change.created, change.updated, change.deleted]) ids?.splice(0, ids.length, 'spoilt')
    Object.assign(change, { sequence: -1, collection: 'spoilt' })
  }
  const listeners = [spoil, (change: Change<number>) => void told.push(change), spoil, (change: Change<number>) => void told.push(change), spoil]
  for (const listener of listeners) things.on('change', listener.bind(null))
  const { id } = await things.create({ name: 'a' })
  await until('both to be told', () => told.length === 2)
  const change = { kind: 'change', sequence: 1, collection: 'things.json', emptied: false, created: [id], updated: [], deleted: [] }
  assert.deepEqual(told, [change, change])
}))

test('a listener that could not be added is not told of changes', withDirectory(async ({ base }) => {
  let path: string | undefined
  class Placed extends Things {
    protected override getIndexPath() {
      return path ?? super.getIndexPath()
    }
  }
  const things = new Placed({ basePath: base })
  const heard: string[] = []
  path = '\0'
  assert.throws(() => things.on('change', () => void heard.push('refused')), { code: 'INVALID_ARGUMENT' })
  path = undefined
  things.on('change', () => void heard.push('added'))
  await alive(async () => {
    await things.create({ name: 'a' })
    await until('one to be told', () => heard.length > 0)
  })
  assert.deepEqual(heard, ['added'])
  await things.close()
}))

test('an edit by hand gives a reset of its collection', withWatchedThings(async (things, base) => {
  await things.create({ name: 'a' })
  await new Things({ basePath: base }).close()
  await things.close()
  await writeFile(join(base, 'data', 'things.json'), JSON.stringify({ 7: thing(7) }))
  const again = new Things({ basePath: base })
  await again.list()
  const changes = again.changes({ from: 1 })
  const told = await next(changes)
  assert.deepEqual([told.kind, told.collection], ['reset', 'things.json'])
  await again.close()
}))

test('a feed has what happens from its call on, even if its own opening must adopt an edit first', withWatchedThings(async (things, base) => {
  await things.create({ name: 'a' })
  await things.close()
  await writeFile(join(base, 'data', 'things.json'), JSON.stringify({ 7: thing(7) }))
  await using again = new Things({ basePath: base })
  const changes = again.changes()
  await again.create({ name: 'b' })
  assert.deepEqual([(await next(changes)).kind, (await next(changes)).kind], ['reset', 'change'])
}))

test('a feed begins with an edit that nothing has read yet', withWatchedThings(async (things, base) => {
  await things.create({ name: 'a' })
  await things.close()
  await writeFile(join(base, 'data', 'things.json'), JSON.stringify({ 7: thing(7) }))
  await using again = new Things({ basePath: base })
  assert.equal((await next(again.changes())).kind, 'reset')
}))

test('each listener gets its own event object for a reset', withDirectory(({ base }) => alive(async () => {
  const things = new Things({ basePath: base, cacheTTL: 1 })
  const told: Change<number>[] = []
  const spoil = (change: any) => void (change.kind = 'spoilt')
  for (const listener of [spoil, (change: Change<number>) => void told.push(change), spoil]) things.on('change', listener)
  await things.create({ name: 'a' })
  const other = new Things({ basePath: base })
  await other.list()
  await other.close()
  await writeFile(join(base, 'data', 'things.json'), JSON.stringify({ 7: thing(7) }))
  await until('the edit', async () => (await things.getById(7)) !== null)
  await until('the reset', () => told.length === 2)
  assert.deepEqual(told.map(({ kind }) => kind), ['change', 'reset'])
  await things.close()
})))

describe('a database that cannot be opened', () => {
  const withFileInTheWay = (work: (things: Things) => Promise<void>) =>
    withDirectory(async ({ base }) => {
      await writeFile(join(base, 'data'), 'a file where the directory belongs')
      const things = new Things({ basePath: base })
      await alive(() => work(things))
      await things.close()
    })

  test('fails the iterator once, which then ends', withFileInTheWay(async (things) => {
    const changes = things.changes()
    assert.equal((await caught(changes.next())).code, 'IO_ERROR')
    assert.deepEqual(await changes.next(), { value: undefined, done: true })
  }))

  test('does not fail an iterator that has ended', withFileInTheWay(async (things) => {
    const changes = things.changes()
    await changes.return!()
    assert.deepEqual(await changes.next(), { value: undefined, done: true })
  }))

  test('causes a warning if there are listeners, and the next listener tries again', withFileInTheWay(async (things) => {
    for (let round = 0; round < 2; round += 1) {
      const { message } = await warningOf('IO_ERROR', async () => void things.on('change', () => {}))
      assert.match(message, /no longer told/)
    }
  }))
})

test('the sequence number covers the commits of other processes', withWatchedThings(async (things, base) => {
  const { id } = await things.create({ name: 'a', size: 0 })
  const before = await things.sequence()
  await runChild('transactor.mjs', [base, String(id), '3'])
  assert.ok((await things.sequence()) >= before + 3)
}))

test('closing a storage ends its feeds', withWatchedThings(async (things) => {
  const changes = things.changes()
  const waiting = changes.next()
  await things.close()
  assert.deepEqual(await waiting, { value: undefined, done: true })
}))

test('breaking out of a loop ends its feed, even if changes are waiting', withWatchedThings(async (things) => {
  const changes = things.changes()
  await things.create({ name: 'a' })
  await things.create({ name: 'b' })
  for await (const _ of changes) break
  assert.deepEqual(await changes.next(), { value: undefined, done: true })
}))

test('disposing of a feed ends it', withWatchedThings(async (things) => {
  const changes = things.changes()
  await things.create({ name: 'a' })
  await (changes as any)[Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose')]()
  assert.deepEqual(await changes.next(), { value: undefined, done: true })
}))

test('a feed that is dropped is garbage-collected together with its storage', withWatchedThings(async (things, base) => {
  await things.create({ name: 'a' })
  const dropped = async () => {
    const storage = new Things({ basePath: base })
    const changes = storage.changes({ from: 0 })
    await changes.next()
    return [new WeakRef<object>(storage), new WeakRef<object>(changes)]
  }
  const references = (await Promise.all(Array.from({ length: 20 }, dropped))).flat()
  // Some may seem to be in use because their addresses are still on the stack.
  await until('most of them to be gone', () => {
    collectGarbage()
    return references.filter((reference) => reference.deref() !== undefined).length <= 10
  })
}))

test('a pending next() gets its change even if nothing else refers to the feed', withWatchedThings(async (things) => {
  const answers = Array.from({ length: 20 }, () => things.changes().next())
  await things.list()
  for (let n = 0; n < 20; n++) {
    collectGarbage()
    await new Promise((resolve) => setImmediate(resolve))
  }
  const { id } = await things.create({ name: 'a' })
  for (const { value } of await Promise.all(answers)) assert.deepEqual((value as any).created, [id])
}))

test('overlapping calls of next() get the changes in the order of the calls', withWatchedThings(async (things) => {
  const changes = things.changes()
  const answers = [next(changes), next(changes)]
  const ids = [(await things.create({ name: 'a' })).id, (await things.create({ name: 'b' })).id]
  assert.deepEqual((await Promise.all(answers)).map((change) => change.kind === 'change' && change.created), ids.map((id) => [id]))
}))

test('a feed that has ended is held neither by its storage nor by the parent of that', withProject(async (storage, project) => {
  const files = storage.getFileStorage(project.id)
  const ended = async () => {
    // It is held by whatever holds the feed.
    const { signal } = new AbortController()
    await files.changes({ signal }).return()
    return new WeakRef(signal)
  }
  await mostAreCollected(await Promise.all(Array.from({ length: 20 }, ended)))
}))

test('a feed whose error nobody takes does not hold what aborted it', withWatchedThings(async (things) => {
  class Connection {
    controller = new AbortController()
    changes = things.changes({ signal: this.controller.signal })

    stop() {
      this.controller.abort(new Error('enough'))
    }
  }
  const stopped = () => {
    const connection = new Connection()
    connection.stop()
    return new WeakRef(connection)
  }
  await mostAreCollected(Array.from({ length: 20 }, stopped))
}))

test('listening does not keep the process alive', withDirectory(async ({ base }) => {
  const { code, lines } = await runChild('listener.mjs', [base])
  assert.deepEqual([code, lines], [0, ['listening']])
}))

test('a slow consumer gets one reset instead of a growing buffer', withWatchedThings(async (things) => {
  const changes = things.changes()
  await things.sequence()
  for (let round = 0; round < 11; round++) {
    await Promise.all(Array.from({ length: 1000 }, () => things.create({ name: 'a' })))
  }
  const told = await next(changes)
  assert.deepEqual([told.kind, told.collection], ['reset', null])
  assert.ok(told.sequence > 10_000)
  const rest = await things.sequence()
  if (told.sequence < rest) assert.equal((await next(changes)).kind, 'change')
}))

test('invalid arguments are refused', withWatchedThings(async (things) => {
  for (const options of [1, [], { from: -1 }, { from: 1.5 }, { from: 2 ** 53 }, { from: '1' }, { scope: 'all' }, { signal: {} }]) {
    assert.throws(() => things.changes(options as never), { code: 'INVALID_ARGUMENT' }, JSON.stringify(options))
  }
  assert.throws(() => things.on('changes' as never, () => {}), { code: 'INVALID_ARGUMENT' })
  assert.throws(() => things.on('change', 1 as never), { code: 'INVALID_ARGUMENT' })
}))

test('the journal records which entities a batch replaced', withWatchedThings(async (things, base) => {
  const { id } = await things.create({ name: 'a' })
  await things.update(id, { name: 'b' })
  const journal = await readFile(join(base, 'data', '.storage', 'journal-000000000001.jsonl'), 'utf8')
  const [created, updated] = journal.trim().split('\n').slice(1).map((line) => JSON.parse(line)[1].ops[0])
  assert.equal(created.replaced, undefined)
  assert.deepEqual(updated.replaced, [String(id)])
}))

test('an aborted feed rejects its pending next() with ABORTED and then ends', withWatchedThings(async (things) => {
  const controller = new AbortController()
  const changes = things.changes({ signal: controller.signal })
  const waiting = caught(changes.next())
  controller.abort('enough')
  assert.deepEqual([(await waiting).code, (await waiting).reason], ['ABORTED', 'enough'])
  assert.deepEqual(await changes.next(), { value: undefined, done: true })
}))
