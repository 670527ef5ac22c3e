// Callers' tests replace the timers with ones that stand still.
import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { test } from 'node:test'
import * as own from '../index.js'
import { caught, fileInput, withDirectory, withProject } from './support/index.js'
import { Things } from './support/things.js'

const NAMES = ['setTimeout', 'clearTimeout', 'setImmediate', 'clearImmediate', 'setInterval', 'clearInterval'] as const

async function withStandingTimers(work: () => Promise<void>) {
  const real = NAMES.map((name) => globalThis[name])
  const clock = globalThis.performance
  const still = clock.now()
  for (const name of NAMES) (globalThis as any)[name] = () => ({})
  globalThis.performance = Object.assign(Object.create(clock), { now: () => still })
  try {
    await work()
  } finally {
    NAMES.forEach((name, at) => ((globalThis as any)[name] = real[at]))
    globalThis.performance = clock
  }
}

const root = join(__dirname, '..')

/** Evaluates the package once more. */
function evaluatedAnew(): typeof own {
  const require = createRequire(join(root, 'index.js'))
  const loaded = Object.entries(require.cache).filter(([path]) => path === join(root, 'index.js') || path.startsWith(join(root, 'lib')))
  for (const [path] of loaded) delete require.cache[path]
  try {
    return require('./index.js')
  } finally {
    for (const [path, module] of loaded) require.cache[path] = module
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

test('a wait for a lock times out while timers stand still', withDirectory(async ({ base }) => {
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

/** Opens a storage whose locks are accessible to the test. */
const lockable = ({ ProjectStorageV2 }: typeof own, base: string, lockTimeout = 30_000) =>
  new (class extends ProjectStorageV2 {
    lock = (work: () => void | Promise<void>) => this.withLock('key', work)
  })({ basePath: base, lockTimeout })

test('a wait for a lock file times out if the package was loaded while timers stood still', withDirectory(async ({ base }) => {
  const holding = lockable(own, base)
  let free = () => {}
  let held = Promise.resolve()
  await new Promise<void>((resolve) => (held = holding.lock(() => new Promise<void>((end) => ((free = end), resolve())))))
  // A waiter that does not notice its timeout gets the lock in the end, and does not wait forever.
  const rescue = setTimeout(() => free(), 10_000)
  await withStandingTimers(async () => {
    const waiting = lockable(evaluatedAnew(), base, 50)
    assert.equal((await caught(waiting.lock(() => assert.fail('it ran')))).code, 'LOCK_TIMEOUT')
    await waiting.close()
  })
  clearTimeout(rescue)
  free()
  await held
  await holding.close()
}))
