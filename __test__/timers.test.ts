// Tests of callers replace the timers by ones that stand still.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { caught, fileInput, withDirectory, withProject } from './support/index.js'
import { Things } from './support/things.js'

const NAMES = ['setTimeout', 'clearTimeout', 'setImmediate', 'clearImmediate', 'setInterval', 'clearInterval'] as const

async function withStandingTimers(work: () => Promise<void>) {
  const real = NAMES.map((name) => globalThis[name])
  const now = performance.now
  const still = now.call(performance)
  for (const name of NAMES) (globalThis as any)[name] = () => ({})
  performance.now = () => still
  try {
    await work()
  } finally {
    NAMES.forEach((name, at) => ((globalThis as any)[name] = real[at]))
    performance.now = now
  }
}

test('answers in pieces arrive while timers stand still', withProject(async (storage, project) => {
  const files = storage.getFileStorage(project.id)
  await withStandingTimers(async () => {
    const created = await files.createMany(Array.from({ length: 1500 }, (_, n) => fileInput(`f${n}`)))
    assert.equal(created.length, 1500)
    assert.equal((await files.list()).length, 1500)
  })
  assert.equal((await storage.list()).length, 1)
}))

test('whoever waits for a lock is told in time while timers stand still', withDirectory(async ({ base }) => {
  const things = new Things({ basePath: base, lockTimeout: 50 })
  await withStandingTimers(async () => {
    const { withLock } = things.protectedCalls()
    let free = () => {}
    const held = withLock('key', () => new Promise<void>((resolve) => (free = resolve)))
    assert.equal((await caught(withLock('key', () => assert.fail('it ran')))).code, 'LOCK_TIMEOUT')
    assert.equal((await caught(things.transaction(() => new Promise(() => {})))).code, 'LOCK_TIMEOUT')
    free()
    await held
  })
  await things.close()
}))
