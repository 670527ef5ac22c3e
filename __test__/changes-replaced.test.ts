// Feeds and listeners whose data is replaced under them: they get one reset, and then the later changes.
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Change, Changes, ProjectStorageV2 } from '../index.js'
import { caught, dataPath, projectInput, until, withStorage } from './support/index.js'
import { holder, noting, withManagers } from './support/migrations.js'

/** Listening does not keep a process alive, so something else must while a test waits for changes. */
const alive = async <T>(work: () => Promise<T>) => {
  const timer = setInterval(() => {}, 1000)
  return work().finally(() => clearInterval(timer))
}

/** Opens an iterator and a listener on one storage. */
function listenTo(storage: ProjectStorageV2) {
  const changes = storage.changes()
  const heard: Change<number>[] = []
  storage.on('change', (change) => void heard.push(change))
  return { changes, heard }
}

const next = async (changes: Changes<number>): Promise<Change<number>> => (await changes.next()).value!

/** Checks that both get one reset, and then the later changes. */
async function goesOn({ changes, heard }: ReturnType<typeof listenTo>, storage: ProjectStorageV2, before: number) {
  const reset = await next(changes)
  await until('the reset', () => heard.length > 0)
  const { id } = await storage.create(projectInput('afterwards'))
  const change = await next(changes)
  await until('the change', () => heard.length > 1)
  for (const told of [[reset, change], heard]) {
    assert.deepEqual(told.map(({ kind }) => kind), ['reset', 'change'], JSON.stringify(told))
    assert.deepEqual(told[1]!.kind === 'change' && told[1]!.created, [id])
    assert.ok(before < told[0]!.sequence && told[0]!.sequence < told[1]!.sequence, 'sequence numbers go up')
  }
  assert.equal(change.sequence, await storage.sequence())
}

/** Leaves a file behind that a repair removes. */
const leaveOver = (base: string) => writeFile(join(dataPath(base), '.storage', 'new-7-1'), 'half')

test('a repair that changes something sends one reset, and later changes follow', withStorage((storage, { base }) => alive(async () => {
  await storage.create(projectInput('before'))
  const listening = listenTo(storage)
  const before = await storage.sequence()
  await leaveOver(base)
  assert.equal((await storage.repair()).changed, true)
  await goesOn(listening, storage, before)
  // So does a feed that starts later from an earlier sequence number.
  assert.equal((await next(storage.changes({ from: before }))).kind, 'reset')
})))

test('a repair sends a reset to a feed that waits for its next change', withStorage((storage, { base }) => alive(async () => {
  const changes = storage.changes()
  await storage.sequence()
  await leaveOver(base)
  const waiting = next(changes)
  assert.equal((await storage.repair()).ok, true)
  assert.equal((await waiting).kind, 'reset')
})))

test('a repair that finds nothing loses no change and repeats none', withStorage((storage) => alive(async () => {
  const changes = storage.changes()
  const first = await storage.create(projectInput('first'))
  const second = await storage.create(projectInput('second'))
  const change = await next(changes)
  assert.deepEqual(change.kind === 'change' && change.created, [first.id])
  assert.equal((await storage.repair()).changed, false)
  const third = await storage.create(projectInput('third'))
  for (const { id } of [second, third]) {
    const change = await next(changes)
    assert.deepEqual(change.kind === 'change' && change.created, [id])
  }
})))

test('a restore sends one reset, and later changes follow', withManagers(({ open, manage }) => alive(async () => {
  const storage = open()
  await storage.create(projectInput('before'))
  const backup = await manage().backup()
  const listening = listenTo(storage)
  const before = await storage.sequence()
  await manage().restore(backup)
  await goesOn(listening, storage, before)
})))

test('a failed migration sends one reset, and later changes follow', withManagers(({ open, manage }) => alive(async () => {
  const storage = open()
  await storage.create(projectInput('before'))
  const listening = listenTo(storage)
  await storage.sequence()
  const manager = manage()
  manager.register(noting([], '1.0.0', {
    async up() {
      await storage.create(projectInput('undone'))
      throw new Error('no')
    },
  }))
  await caught(manager.migrate())
  const { id } = await storage.create(projectInput('afterwards'))
  const told: Change<number>[] = []
  do told.push(await next(listening.changes))
  while (!told.some((change) => change.kind === 'change' && change.created.includes(id)))
  // Changes that were undone may have been reported, but not after the reset.
  const reset = told.findIndex(({ kind }) => kind === 'reset')
  assert.deepEqual(told.slice(reset).map(({ kind }) => kind), ['reset', 'change'])
  await until('the listener', () => listening.heard.at(-1)?.sequence === told.at(-1)!.sequence)
})))

test('a failed migration of another process sends a reset even if no call is made', withManagers(({ base, open }) => alive(async () => {
  const storage = open()
  await storage.create(projectInput('before'))
  const changes = storage.changes()
  await storage.sequence()
  const other = await holder(base, 'fail')
  const undone = await next(changes)
  assert.equal(undone.kind === 'change' && undone.created.length, 1)
  await other.goOn()
  // Without any call, the reset comes by itself.
  assert.equal((await next(changes)).kind, 'reset')
  const { id } = await storage.create(projectInput('afterwards'))
  const change = await next(changes)
  assert.deepEqual(change.kind === 'change' && change.created, [id])
  assert.deepEqual((await storage.list()).map(({ name }) => name), ['before', 'afterwards'])
})))

test('closing one instance loses no change for the feed of another one', withStorage((storage, { open }) => alive(async () => {
  const other = open()
  const changes = other.changes()
  await other.sequence()
  await storage.create(projectInput('first'))
  await storage.close()
  const third = open()
  const { id } = await third.create(projectInput('second'))
  assert.equal((await next(changes)).kind, 'change')
  const change = await next(changes)
  assert.deepEqual(change.kind === 'change' && change.created, [id])
})))
