import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { readFile, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { MigrationManager, ProjectStorageV2 } from '../index.js'
import type { MigrationContext, VerifyReport } from '../index.js'
import { caught, projectInput } from './support/index.js'
import { noting, statePath, withManagers, write } from './support/migrations.js'

const thrown = (work: () => unknown): any => {
  try {
    work()
  } catch (error) {
    return error
  }
  return assert.fail('it should have thrown')
}

describe('register', () => {
  test('touches no file', withManagers(async ({ base, manage }) => {
    manage().register(noting([], '1.0.0'))
    assert.deepEqual(await readdir(base), [])
  }))

  for (const version of [
    '1', '1.0', 'v1.0.0', '', '1.0.0-', '01.0.0', '1.0.0.0', ' 1.0.0', '99999999999999999999.0.0', '1.0.0\ud800',
    `1.0.0-${'a'.repeat(300)}`,
  ]) {
    test(`refuses the version ${JSON.stringify(version).slice(0, 40)}`, withManagers(async ({ manage }) => {
      const error = thrown(() => manage().register(noting([], version)))
      assert.equal(error.code, 'INVALID_ARGUMENT')
      assert.match(error.message, /semantic version/)
    }))
  }

  test('refuses a registered version, even with different build metadata', withManagers(async ({ manage }) => {
    const manager = manage()
    manager.register(noting([], '1.0.0+a'))
    for (const version of ['1.0.0', '1.0.0+a', '1.0.0+b']) {
      const error = thrown(() => manager.register(noting([], version)))
      assert.equal(error.code, 'ALREADY_EXISTS')
      assert.match(error.message, /already registered/)
    }
    manager.register(noting([], '1.0.0-a'))
  }))

  for (const [what, migration] of [
    ['undefined', undefined], ['null', null], ['a string', '1.0.0'], ['no version', { description: '', up() {} }],
    ['a version that is a number', { version: 1, description: '', up() {} }],
    ['no description', { version: '1.0.0', up() {} }],
    ['a description that is a symbol', { version: '1.0.0', description: Symbol('a'), up() {} }],
    ['no up', { version: '1.0.0', description: '' }],
    ['an up that is an object', { version: '1.0.0', description: '', up: {} }],
    ['a down that is a string', { version: '1.0.0', description: '', up() {}, down: 'x' }],
    ['a revoked proxy as up', { version: '1.0.0', description: '', up: revoked() }],
  ] as const) {
    test(`refuses ${what}`, withManagers(async ({ manage }) => {
      assert.equal(thrown(() => manage().register(migration as any)).code, 'INVALID_ARGUMENT')
    }))
  }

  test('rethrows what a getter throws and does not register the migration', withManagers(async ({ manage }) => {
    const manager = manage()
    const error = new Error('mine')
    assert.equal(thrown(() => manager.register({ version: '1.0.0', description: '', get up(): never { throw error } })), error)
    assert.deepEqual((await manager.status()).migrations, [])
  }))

  test('reads each field once, when it is called', withManagers(async ({ manage }) => {
    const manager = manage()
    const notes: string[] = []
    const migration = noting(notes, '1.0.0')
    manager.register(migration)
    Object.assign(migration, { version: '2.0.0', up: () => notes.push('other') })
    await manager.migrate()
    assert.deepEqual(notes, ['up 1.0.0'])
  }))

  test('keeps the object as `this` of its callbacks', withManagers(async ({ manage }) => {
    const manager = manage()
    const seen: unknown[] = []
    const migration = { version: '1.0.0', description: '', up() { seen.push(this) }, down() { seen.push(this) } }
    manager.register(migration)
    await manager.migrate()
    await manager.rollback('0.0.0')
    assert.deepEqual(seen.map((one) => one === migration), [true, true])
  }))
})

function revoked(): object {
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  return proxy
}

describe('migrate', () => {
  test('runs every migration once, in the order of versions, one at a time', withManagers(async ({ manage }) => {
    const manager = manage()
    const notes: string[] = []
    let running = 0
    for (const version of ['1.10.0', '2.0.0', '1.2.0', '2.0.0-rc.1', '2.0.0-beta.11', '2.0.0-beta.2', '1.0.0']) {
      manager.register(noting(notes, version, {
        async up() {
          assert.equal(++running, 1)
          await new Promise((resolve) => setImmediate(resolve))
          notes.push(version)
          running--
        },
      }))
    }
    const order = ['1.0.0', '1.2.0', '1.10.0', '2.0.0-beta.2', '2.0.0-beta.11', '2.0.0-rc.1', '2.0.0']
    assert.deepEqual(await manager.migrate(), { versions: order, currentVersion: '2.0.0' })
    assert.deepEqual(notes, order)
    assert.deepEqual(await manager.migrate(), { versions: [], currentVersion: '2.0.0' })
    assert.deepEqual(notes, order)
  }))

  test('runs three thousand shuffled versions in order', withManagers(async ({ manage }) => {
    const manager = manage()
    const ordered = Array.from({ length: 1_000 }, (_, n) => [`1.${n}.0-alpha`, `1.${n}.0-alpha.${n}`, `1.${n}.0`]).flat()
    const shuffled = ordered.map((version, at) => [(at * 7_919) % ordered.length, version] as const).sort(([a], [b]) => a - b)
    assert.notDeepEqual(shuffled.map(([, version]) => version), ordered)
    for (const [, version] of shuffled) manager.register(noting([], version))
    assert.deepEqual((await manager.status()).migrations.map(({ version }) => version), ordered)
    const { versions } = await manager.migrate('1.9.0')
    assert.deepEqual(versions, ordered.slice(0, 30))
    assert.equal((await manager.status()).pending, 2_970)
  }))

  test('stops at its target', withManagers(async ({ manage }) => {
    const manager = manage()
    const notes: string[] = []
    for (const version of ['1.0.0', '1.1.0', '2.0.0']) manager.register(noting(notes, version))
    await manager.migrate('1.1.0')
    assert.deepEqual(notes, ['up 1.0.0', 'up 1.1.0'])
    await manager.migrate('1.1.0+build')
    assert.equal((await manager.getState()).currentVersion, '1.1.0')
  }))

  test('runs migrations registered later with versions below the current one', withManagers(async ({ manage }) => {
    const [first, second] = [manage(), manage()]
    const notes: string[] = []
    for (const version of ['1.0.0', '3.0.0']) first.register(noting(notes, version))
    await first.migrate()
    for (const version of ['1.0.0', '2.0.0', '3.0.0']) second.register(noting(notes, version))
    assert.deepEqual(await second.migrate(), { versions: ['2.0.0'], currentVersion: '3.0.0' })
    assert.deepEqual(notes, ['up 1.0.0', 'up 3.0.0', 'up 2.0.0'])
  }))

  test('refuses targets that are unknown, lower or not versions, before anything runs', withManagers(async ({ manage }) => {
    const manager = manage()
    const notes: string[] = []
    for (const version of ['1.0.0', '2.0.0', '3.0.0']) manager.register(noting(notes, version))
    await manager.migrate('2.0.0')
    for (const [target, code] of [
      ['4.0.0', 'NOT_FOUND'], ['1.0.0', 'INVALID_ARGUMENT'], ['x', 'INVALID_ARGUMENT'], ['', 'INVALID_ARGUMENT'],
      [3, 'INVALID_ARGUMENT'], [null, 'INVALID_ARGUMENT'], [{}, 'INVALID_ARGUMENT'],
    ]) {
      const error = await caught(manager.migrate(target as any))
      assert.equal(error.code, code)
      if (typeof target === 'string') assert.ok(error.message.includes(target), error.message)
    }
    assert.deepEqual(notes, ['up 1.0.0', 'up 2.0.0'])
  }))

  test('hands a context to the callbacks', withManagers(async ({ base, manage }) => {
    const manager = manage()
    const seen: MigrationContext[] = []
    const see = (context: MigrationContext) => void seen.push(context)
    manager.register({ version: '1.0.0+x', description: '', up: see, down: see })
    const { signal } = new AbortController()
    await manager.migrate(undefined, { signal })
    await manager.rollback('0.0.0')
    assert.deepEqual(seen.map(({ basePath, version, direction }) => [basePath, version, direction]), [
      [base, '1.0.0+x', 'up'], [base, '1.0.0+x', 'down'],
    ])
    assert.deepEqual(seen.map((context) => context.signal === signal), [true, false])
    assert.ok(Object.isFrozen(seen[0]) && Object.isFrozen(seen[0]!.logger))
  }))

  test('logs what the manager does and what callbacks say, each line with its level', withManagers(async ({ manage }) => {
    const lines: string[] = []
    const manager = manage({ logger: (line, level) => lines.push(`${level}: ${line.replace(/\d+ ms|\d+\.\d s/, '# ms')}`) })
    manager.register(noting([], '1.0.0', { up({ logger }) { for (const level of ['info', 'warn', 'error'] as const) logger[level]('said') } }))
    manager.register(noting([], '1.1.0', { up() { throw new Error('no\n') } }))
    const logged = async (call: Promise<unknown>) => {
      await call.catch(() => {})
      return lines.splice(0)
    }
    assert.deepEqual(await logged(manager.migrate('1.0.0')), [
      'info: 1.0.0 about 1.0.0', 'info: said', 'warn: said', 'error: said', 'info: 1.0.0 applied in # ms', 'info: the data has version 1.0.0',
    ])
    assert.deepEqual(await logged(manager.migrate('1.0.0')), ['info: nothing to do: the data has version 1.0.0'])
    assert.deepEqual(await logged(manager.migrate()), [
      'info: 1.1.0 about 1.1.0', 'error: 1.1.0 failed after # ms, the data is as before: no',
    ])
    assert.deepEqual(await logged(manager.rollback('0.0.0')), [
      'info: rolling back 1.0.0 about 1.0.0', 'info: 1.0.0 rolled back in # ms', 'info: the data has version 0.0.0',
    ])
  }))

  test('logs that a rollback failed', withManagers(async ({ manage }) => {
    const errors: string[] = []
    const manager = manage({ logger: (line, level) => { if (level === 'error') errors.push(line) } })
    manager.register(noting([], '1.0.0', { down() { throw new Error('no') } }))
    await manager.migrate()
    await caught(manager.rollback('0.0.0'))
    assert.match(errors.join('\n'), /^1\.0\.0 failed to roll back after .*, the data is as before: no$/)
  }))

  test('awaits any thenable that a callback returns', withManagers(async ({ manage }) => {
    const manager = manage()
    const notes: string[] = []
    const later = { then: (resolve: (value: unknown) => void) => setImmediate(() => (notes.push('then'), resolve(1))) }
    manager.register(noting(notes, '1.0.0', { up: () => later as any }))
    manager.register(noting(notes, '1.1.0'))
    await manager.migrate()
    assert.deepEqual(notes, ['then', 'up 1.1.0'])
  }))

  test('works while a storage of this process is open and keeps writing', withManagers(async ({ manage, open }) => {
    const storage = open()
    const project = await storage.create(projectInput())
    const manager = manage()
    manager.register(noting([], '1.0.0', {
      async up({ basePath }) {
        await storage.update(project.id, { name: 'renamed' })
        const own = new ProjectStorageV2({ basePath })
        await own.create(projectInput('made by a migration'))
        await own.close()
      },
    }))
    await manager.migrate()
    assert.deepEqual((await storage.list()).map(({ name }) => name), ['renamed', 'made by a migration'])
    await storage.update(project.id, { name: 'afterwards' })
  }))

  for (const [kind, used] of [['a used storage', true], ['an unused storage', false]] as const) {
    test(`can verify the data through ${kind}`, withManagers(async ({ manage, open }) => {
      await open().create(projectInput())
      const manager = manage()
      const reports: VerifyReport[] = []
      manager.register(noting([], '1.0.0', {
        async up({ basePath }) {
          const own = new ProjectStorageV2({ basePath, lockTimeout: 2000 })
          if (used) await own.create(projectInput('made by a migration'))
          reports.push(await own.verify())
          await own.close()
        },
      }))
      await manager.migrate()
      assert.deepEqual(reports.map(({ ok, documents }) => [ok, documents]), [[true, used ? 2 : 1]])
    }))
  }
})

describe('rollback', () => {
  test('undoes migrations above its target, highest first, and forgets them', withManagers(async ({ manage }) => {
    const manager = manage()
    const notes: string[] = []
    for (const version of ['1.0.0', '1.1.0', '1.2.0-beta', '1.2.0']) manager.register(noting(notes, version))
    await manager.migrate()
    notes.length = 0
    assert.deepEqual(await manager.rollback('1.0.0'), { versions: ['1.2.0', '1.2.0-beta', '1.1.0'], currentVersion: '1.0.0' })
    assert.deepEqual(notes, ['down 1.2.0', 'down 1.2.0-beta', 'down 1.1.0'])
    assert.deepEqual((await manager.getState()).migrations.map(({ version }) => version), ['1.0.0'])
    assert.deepEqual((await manager.rollback('1.0.0')).versions, [])
    await manager.migrate()
    assert.equal((await manager.getState()).currentVersion, '1.2.0')
  }))

  test('to 0.0.0 undoes everything', withManagers(async ({ manage }) => {
    const manager = manage()
    for (const version of ['0.0.0-beta', '0.0.0', '1.0.0', '1.1.0']) manager.register(noting([], version))
    await manager.migrate('0.0.0-beta')
    assert.deepEqual((await manager.rollback('0.0.0')).versions, ['0.0.0-beta'])
    await manager.migrate()
    assert.equal((await manager.rollback('0.0.0')).currentVersion, '0.0.0')
    assert.deepEqual(await manager.getState(), { currentVersion: '0.0.0', migrations: [] })
  }))

  for (const [what, without] of [['has no down', { down: undefined }], ['is not registered', null]] as const) {
    test(`runs nothing when one of the migrations ${what}`, withManagers(async ({ manage }) => {
      const first = manage()
      const notes: string[] = []
      for (const version of ['1.0.0', '1.1.0', '1.2.0']) first.register(noting(notes, version))
      await first.migrate()
      notes.length = 0
      const second = manage()
      for (const version of ['1.0.0', '1.2.0']) second.register(noting(notes, version))
      if (without) second.register(noting(notes, '1.1.0', without as any))
      const error = await caught(second.rollback('0.0.0'))
      assert.equal(error.code, 'INVALID_ARGUMENT')
      assert.ok(error.message.includes('1.1.0') && error.message.includes(what), error.message)
      assert.deepEqual(notes, [])
      assert.equal((await second.getState()).currentVersion, '1.2.0')
    }))
  }

  test('refuses targets that are unknown, higher or not versions', withManagers(async ({ manage }) => {
    const manager = manage()
    for (const version of ['1.0.0', '2.0.0']) manager.register(noting([], version))
    await manager.migrate('1.0.0')
    for (const [target, code] of [
      ['0.5.0', 'NOT_FOUND'], ['2.0.0', 'INVALID_ARGUMENT'], ['1', 'INVALID_ARGUMENT'], [undefined, 'INVALID_ARGUMENT'],
    ]) assert.equal((await caught(manager.rollback(target as any))).code, code)
    assert.equal((await manager.getState()).currentVersion, '1.0.0')
  }))

  test('that throws leaves the version applied, records the error and can be retried', withManagers(async ({ manage }) => {
    const manager = manage()
    const error = new Error('not yet')
    let broken = true
    manager.register(noting([], '1.0.0', { down() { if (broken) throw error } }))
    await manager.migrate()
    assert.equal(await caught(manager.rollback('0.0.0')), error)
    const { currentVersion, migrations } = await manager.getState()
    assert.equal(currentVersion, '1.0.0')
    assert.deepEqual(migrations.map(({ success, error }) => [success, error]), [[true, 'not yet']])
    assert.equal((await manager.status()).migrations[0]!.state, 'applied')
    broken = false
    assert.deepEqual((await manager.rollback('0.0.0')).versions, ['1.0.0'])
  }))
})

describe('the state', () => {
  test('starts with nothing applied, and reading it writes nothing', withManagers(async ({ base, manage }) => {
    const manager = manage()
    assert.deepEqual(await manager.getState(), { currentVersion: '0.0.0', migrations: [] })
    assert.equal((await manager.status()).currentVersion, '0.0.0')
    assert.deepEqual(await readdir(base), [])
  }))

  test('is a file of exactly the documented shape, saved after each migration', withManagers(async ({ base, manage }) => {
    const manager = manage()
    const seen: unknown[] = []
    const stored = async () => JSON.parse(await readFile(statePath(base), 'utf8'))
    const look = async () => void seen.push(existsSync(statePath(base)) ? (await stored()).currentVersion : null)
    const before = Date.now()
    for (const version of ['1.0.0', '1.1.0', '1.2.0']) manager.register(noting([], version, { up: look }))
    await manager.migrate()
    assert.deepEqual(seen, [null, '1.0.0', '1.1.0'])
    const state = await stored()
    assert.deepEqual(Object.keys(state), ['currentVersion', 'migrations'])
    assert.deepEqual(Object.keys(state.migrations[0]), ['version', 'description', 'appliedAt', 'success'])
    assert.deepEqual(await manager.getState(), state)
    for (const { appliedAt } of state.migrations) assert.ok(appliedAt >= before && appliedAt <= Date.now())
  }))

  test('written by the old package is read, even with several attempts at one version', withManagers(async ({ base, manage }) => {
    const first = { version: '1.0.0', description: 'old', appliedAt: 1_718_000_000_000 }
    const attempt = (success: boolean, fields = {}) => ({ ...first, success, ...fields })
    const old = { currentVersion: '1.0.0', migrations: [attempt(false, { error: 'no' }), attempt(true)] }
    await write(statePath(base), JSON.stringify(old, null, 2))
    const manager = manage()
    assert.deepEqual(await manager.getState(), old)
    manager.register(noting([], '1.0.0'))
    assert.deepEqual((await manager.migrate()).versions, [])
    assert.deepEqual((await manager.status()).migrations.map(({ state, error }) => [state, error]), [['applied', null]])
  }))

  for (const [what, text] of [
    ['empty', ''], ['cut short', '{"currentVersion":"1.0.0","migr'], ['not JSON', '\0\0\0\0'], ['of another shape', '{"version":3}'],
    ['self-contradictory', '{"currentVersion":"1.0.0","migrations":[]}'],
  ] as const) {
    test(`is rejected as damaged by every call and left as it is: ${what}`, withManagers(async ({ base, manage }) => {
      await write(statePath(base), text)
      const manager = manage()
      const notes: string[] = []
      manager.register(noting(notes, '1.0.0'))
      for (const work of [() => manager.migrate(), () => manager.rollback('0.0.0'), () => manager.getState(), () => manager.status()]) {
        const error = await caught(work())
        assert.equal(error.code, 'CORRUPT_DATA')
        assert.ok(error.message.includes(statePath(base)) && error.message.includes('restore'), error.message)
        assert.equal(error.path, statePath(base))
      }
      assert.deepEqual(notes, [])
      assert.equal(await readFile(statePath(base), 'utf8'), text)
    }))
  }
})

describe('status', () => {
  test('returns and prints every migration and its outcome', withManagers(async ({ manage }) => {
    const [first, second] = [manage(), manage()]
    for (const version of ['0.9.0', '1.0.0', '1.1.0']) first.register(noting([], version))
    await first.migrate()
    const lines: string[] = []
    const third = manage({ logger: (line) => lines.push(line) })
    for (const manager of [second, third]) {
      manager.register(noting([], '1.0.0'))
      manager.register(noting([], '1.1.0', { down: undefined as any }))
      manager.register(noting([], '1.2.0', { up() { throw new Error('no') } }))
      manager.register(noting([], '1.3.0'))
    }
    await caught(second.migrate())
    const status = await third.status()
    assert.deepEqual({ ...status, migrations: status.migrations.map(({ appliedAt, ...rest }) => ({ ...rest, at: typeof appliedAt })) }, {
      currentVersion: '1.1.0',
      latestVersion: '1.3.0',
      pending: 2,
      migrations: [
        { version: '0.9.0', description: 'about 0.9.0', state: 'unknown', error: null, hasDown: false, at: 'number' },
        { version: '1.0.0', description: 'about 1.0.0', state: 'applied', error: null, hasDown: true, at: 'number' },
        { version: '1.1.0', description: 'about 1.1.0', state: 'applied', error: null, hasDown: false, at: 'number' },
        { version: '1.2.0', description: 'about 1.2.0', state: 'failed', error: 'no', hasDown: true, at: 'number' },
        { version: '1.3.0', description: 'about 1.3.0', state: 'pending', error: null, hasDown: true, at: 'object' },
      ],
    })
    assert.equal(lines[0], 'Version 1.1.0, 2 migrations pending')
    assert.ok(lines.some((line) => /^✗ 1\.2\.0 +failed +just now +about 1\.2\.0$/.test(line)), lines.join('\n'))
  }))

  test('prints how long ago a migration was applied', withManagers(async ({ base, manage }) => {
    const migrations = [{ version: '1.0.0', description: 'old', appliedAt: 1_000_000_000_000, success: true }]
    await write(statePath(base), JSON.stringify({ currentVersion: '1.0.0', migrations }))
    const lines: string[] = []
    await manage({ logger: (line) => lines.push(line) }).status()
    assert.ok(lines.some((line) => /1\.0\.0 .*\d\d years ago/.test(line)), lines.join('\n'))
  }))

  test('has no latest version when nothing is registered', withManagers(async ({ manage }) => {
    assert.deepEqual(await manage().status(), { currentVersion: '0.0.0', latestVersion: null, pending: 0, migrations: [] })
  }))
})

describe('a manager', () => {
  for (const [what, args, type] of [
    ['a missing base path', [], TypeError], ['a base path that is a number', [1], TypeError], ['an empty base path', [''], RangeError],
    ['NUL in the base path', ['/a\0b'], RangeError], ['options that are a string', ['/tmp', 'x'], TypeError],
    ['options that are null', ['/tmp', null], TypeError],
    ['a lockTimeout that is a string', ['/tmp', { lockTimeout: '1' }], TypeError],
    ['a negative lockTimeout', ['/tmp', { lockTimeout: -1 }], RangeError],
    ['an infinite lockTimeout', ['/tmp', { lockTimeout: Infinity }], RangeError],
    ['a logger that is a string', ['/tmp', { logger: 'x' }], TypeError],
    ['a logger that lacks a level', ['/tmp', { logger: { info() {} } }], TypeError],
    ['an include that is a string', ['/tmp', { include: 'x' }], TypeError],
    ['an include of numbers', ['/tmp', { include: [1] }], TypeError], ['a keep of zero', ['/tmp', { keep: 0 }], RangeError],
    ['a keep that is a string', ['/tmp', { keep: '1' }], TypeError], ['a keep that is a fraction', ['/tmp', { keep: 1.5 }], RangeError],
  ] as const) {
    test(`refuses ${what}`, () => assert.ok(thrown(() => new (MigrationManager as any)(...args)) instanceof type))
  }

  test('has an absolute base path', () => assert.equal(new MigrationManager('.').basePath, process.cwd()))

  test('waits for running calls when it is closed and rejects later ones', withManagers(async ({ manage }) => {
    const manager = manage()
    const notes: string[] = []
    manager.register(noting(notes, '1.0.0', { up: async () => void notes.push(await setTimeout(20, 'slow')) }))
    const running = manager.migrate()
    await manager.close()
    assert.deepEqual(notes, ['slow'])
    assert.deepEqual((await running).versions, ['1.0.0'])
    await manager.close()
    assert.equal(thrown(() => manager.register(noting([], '2.0.0'))).code, 'CLOSED')
    for (const work of [manager.migrate(), manager.rollback('0.0.0'), manager.getState(), manager.status()]) {
      assert.equal((await caught(work)).code, 'CLOSED')
    }
  }))

  test('is closed by `await using`', withManagers(async ({ manage }) => {
    const manager = manage()
    await manager[Symbol.asyncDispose]()
    assert.equal((await caught(manager.getState())).code, 'CLOSED')
  }))

  test('leaves only its state and its folder behind', withManagers(async ({ base, manage }) => {
    const manager = manage()
    manager.register(noting([], '1.0.0'))
    await manager.migrate()
    assert.deepEqual((await readdir(join(base, 'data'))).sort(), ['.migration', '.migration-state.json'])
  }))
})
