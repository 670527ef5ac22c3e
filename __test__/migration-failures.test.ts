// Migrations that throw, depend on one another, or are called where they must not be.
import assert from 'node:assert/strict'
import { channel } from 'node:diagnostics_channel'
import { rm, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { MigrationManager } from '../index.js'
import type { MigrationContext } from '../index.js'
import { caught, until } from './support/index.js'
import { noting, statePath, withManagers, write } from './support/migrations.js'

class OddError extends Error {
  override get message(): string {
    throw new Error('no message for you')
  }
}

const cyclic: Record<string, unknown> = {}
cyclic.self = cyclic
const { proxy: revoked, revoke } = Proxy.revocable({}, {})
revoke()

const ODD: [string, unknown, RegExp][] = [
  ['an Error', new Error('plain'), /^plain$/],
  ['an Error with a cause', new Error('outer', { cause: new Error('inner') }), /^outer$/],
  ['an Error without a message', new TypeError(), /^TypeError without a message$/],
  ['an Error whose message throws', new OddError(), /cannot be described/],
  ['a frozen Error', Object.freeze(new Error('frozen')), /^frozen$/],
  ['an AggregateError', new AggregateError([new Error('a')], 'several'), /^several$/],
  ['a string', 'only a text', /^only a text$/],
  ['an empty string', '', /empty string/],
  ['a lone surrogate', '\ud800', /^\ufffd$/],
  ['a string of a megabyte', 'x'.repeat(1_000_000), /^x{2000}…$/],
  ['undefined', undefined, /^undefined was thrown$/],
  ['null', null, /^null was thrown$/],
  ['NaN', NaN, /^NaN was thrown$/],
  ['a bigint', 7n, /^7 was thrown$/],
  ['a symbol', Symbol('odd'), /^Symbol\(odd\) was thrown$/],
  ['a function', () => {}, /was thrown$/],
  ['an object', { code: 7 }, /^an object was thrown$/],
  ['an object without a prototype', Object.create(null), /^an object was thrown$/],
  ['a frozen object', Object.freeze({}), /^an object was thrown$/],
  ['a cyclic object', cyclic, /^an object was thrown$/],
  ['an array', [1], /^an array was thrown$/],
  ['an object with a `then` that is a number', { then: 1 }, /^an object was thrown$/],
  ['a thenable', { then: () => assert.fail('nobody waits for it') }, /^an object was thrown$/],
  ['a revoked proxy', revoked, /cannot be described/],
  ['an object that looks like a failure of the engine', { code: 'LOCK_TIMEOUT', message: 'fake' }, /^fake$/],
]

describe('what a migration throws', () => {
  for (const how of ['throws', 'rejects with'] as const) {
    for (const [what, thrown, message] of ODD) {
      test(`reaches the caller unchanged and the state as text: ${how} ${what}`, withManagers(async ({ manage }) => {
        const manager = manage()
        const notes: string[] = []
        manager.register(noting(notes, '1.0.0'))
        manager.register(noting(notes, '1.1.0', { up: how === 'throws' ? () => { throw thrown } : () => Promise.reject(thrown) }))
        manager.register(noting(notes, '1.2.0'))
        const error = await manager.migrate().then(() => assert.fail('it should have been rejected'), (error) => ({ error }))
        assert.ok(Object.is((error as any).error, thrown))
        assert.deepEqual(notes, ['up 1.0.0'])
        const { currentVersion, migrations } = await manager.getState()
        assert.deepEqual([currentVersion, migrations.map(({ success }) => success)], ['1.0.0', [true, false]])
        assert.match(migrations[1]!.error!, message)
      }))
    }
  }

  test('includes what the returned thenable throws when awaited', withManagers(async ({ manage }) => {
    const manager = manage()
    const error = new Error('in then')
    manager.register(noting([], '1.0.0', { up: () => ({ get then(): never { throw error } }) as any }))
    assert.equal(await caught(manager.migrate()), error)
  }))

  test('is replaced in the state when the next migrate tries again', withManagers(async ({ manage }) => {
    const manager = manage()
    let attempts = 0
    manager.register(noting([], '1.0.0', { up() { if (++attempts < 3) throw new Error(`attempt ${attempts}`) } }))
    await caught(manager.migrate())
    await caught(manager.migrate())
    assert.deepEqual((await manager.getState()).migrations.map(({ error }) => error), ['attempt 2'])
    assert.deepEqual(await manager.migrate(), { versions: ['1.0.0'], currentVersion: '1.0.0' })
    assert.deepEqual((await manager.getState()).migrations.map(({ success, error }) => [success, error]), [[true, undefined]])
  }))

  test('does not stop the migration if it comes from an asynchronous logger, and is reported once', withManagers(async ({ manage }) => {
    const warnings: string[] = []
    const note = (message: unknown) => void warnings.push((message as { code: string }).code)
    channel('octoprompt-storage:warning').subscribe(note)
    const manager = manage({ logger: async () => { throw new Error('no disk for logs') } })
    manager.register(noting([], '1.0.0', { up: ({ logger }) => logger.info('x') }))
    assert.deepEqual((await manager.migrate()).versions, ['1.0.0'])
    await manager.status()
    channel('octoprompt-storage:warning').unsubscribe(note)
    assert.deepEqual(warnings, ['LOGGER_FAILED'])
  }))

  test('does not stop the migration if it comes from a logger', withManagers(async ({ manage }) => {
    const logger = () => { throw new Error('no disk for logs') }
    const manager = manage({ logger })
    manager.register(noting([], '1.0.0', { up: ({ logger, progress }) => { logger.info('x'); progress(1, 1) } }))
    assert.deepEqual((await manager.migrate()).versions, ['1.0.0'])
    await manager.status()
  }))

  test('is reported once for each manager if it comes from a logger, and never without a logger', withManagers(async ({ manage }) => {
    const warnings: string[] = []
    const note = ({ message }: Error) => void warnings.push(message)
    process.on('warning', note)
    try {
      await manage({ logger: null }).status()
      await manage({ logger() { throw new Error('first') } }).status()
      await manage({ logger() { throw new Error('second') } }).status()
      await until('the warnings', () => warnings.some((message) => message.includes('second')))
    } finally {
      process.off('warning', note)
    }
    assert.deepEqual(warnings, ['a logger threw: first', 'a logger threw: second'])
  }))
})

test('a migration whose data cannot be put back fails with MIGRATION_FAILED and its cause', withManagers(async ({ base, manage }) => {
  const thrown = new Error('mine')
  const manager = manage()
  await write(join(base, 'data', 'notes.txt'), 'before')
  manager.register(noting([], '1.0.0', {
    async up() {
      await write(join(base, 'data', 'notes.txt'), 'after')
      await rm(join(base, 'data', '.migration', 'before'), { recursive: true })
      throw thrown
    },
  }))
  const error = await caught(manager.migrate())
  assert.deepEqual([error.code, error.cause, error.outcome], ['MIGRATION_FAILED', thrown, 'unknown'])
  assert.match(error.message, /1\.0\.0 failed \(mine\), and putting the data back failed too/)
}))

describe('a second run', () => {
  test('by the same manager waits, then has nothing to do', withManagers(async ({ manage }) => {
    const manager = manage()
    const notes: string[] = []
    manager.register(noting(notes, '1.0.0', { up: async () => void notes.push(await setTimeout(10, 'up')) }))
    const results = await Promise.all(Array.from({ length: 60 }, () => manager.migrate()))
    assert.deepEqual(notes, ['up'])
    assert.deepEqual(results.map(({ versions }) => versions.length), [1, ...Array.from({ length: 59 }, () => 0)])
  }))

  test('by another manager waits, then has nothing to do', withManagers(async ({ manage }) => {
    const notes: string[] = []
    const managers = Array.from({ length: 10 }, () => manage())
    for (const manager of managers) {
      for (const version of ['1.0.0', '1.1.0']) manager.register(noting(notes, version, {
        up: async () => void notes.push(await setTimeout(10, version)),
      }))
    }
    const results = await Promise.all(managers.map((manager) => manager.migrate()))
    assert.deepEqual(notes, ['1.0.0', '1.1.0'])
    assert.equal(results.filter(({ versions }) => versions.length === 2).length, 1)
    assert.ok(results.every(({ currentVersion }) => currentVersion === '1.1.0'))
  }))

  test('waits at most lockTimeout', withManagers(async ({ base, manage }) => {
    const [slow, hasty] = [manage(), manage({ lockTimeout: 0 })]
    let end = () => {}
    const begun = new Promise<void>((begin) => {
      slow.register(noting([], '1.0.0', { up: () => new Promise((resolve) => { end = () => resolve(undefined); begin() }) }))
    })
    const running = slow.migrate()
    await begun
    const error = await caught(hasty.migrate())
    assert.equal(error.code, 'LOCK_TIMEOUT')
    assert.deepEqual([error.holder, error.path], [process.pid, base])
    end()
    // The call that gave up left nothing behind for which others would wait.
    assert.deepEqual((await running).versions, ['1.0.0'])
    assert.deepEqual((await hasty.migrate()).versions, [])
  }))

  test('waits for the first even if another one that waited for it was aborted', withManagers(async ({ manage }) => {
    const manager = manage()
    const notes: string[] = []
    let end = () => {}
    const begun = new Promise<void>((begin) => {
      manager.register(noting(notes, '1.0.0', { up: () => new Promise<void>((resolve) => { end = resolve; begin() }) }))
    })
    manager.register(noting(notes, '1.1.0'))
    const first = manager.migrate()
    await begun
    const abort = new AbortController()
    const aborted = caught(manager.migrate(undefined, { signal: abort.signal }))
    abort.abort()
    assert.equal((await aborted).code, 'ABORTED')
    const later = Array.from({ length: 60 }, () => manager.migrate())
    end()
    assert.deepEqual((await first).versions, ['1.0.0', '1.1.0'])
    assert.ok((await Promise.all(later)).every(({ versions }) => versions.length === 0))
  }))

  test('runs after a failed one', withManagers(async ({ manage }) => {
    const [bad, good] = [manage(), manage()]
    bad.register(noting([], '1.0.0', { up: () => Promise.reject(new Error('no')) }))
    good.register(noting([], '1.0.0'))
    const results = await Promise.allSettled([bad.migrate(), good.migrate()])
    assert.deepEqual(results.map(({ status }) => status), ['rejected', 'fulfilled'])
  }))

  test('on another base path does not wait, even inside a migration', withManagers(async ({ base, manage }) => {
    const manager = manage()
    const other = new MigrationManager(`${base}/other`, { logger: null })
    other.register(noting([], '2.0.0'))
    manager.register(noting([], '1.0.0', { up: async () => { await other.migrate() } }))
    await manager.migrate()
    assert.equal((await other.getState()).currentVersion, '2.0.0')
    await other.close()
  }))
})

describe('inside a migration', () => {
  for (const [what, work] of [
    ['migrate', (manager: MigrationManager) => manager.migrate()],
    ['rollback', (manager: MigrationManager) => manager.rollback('0.0.0')],
    ['backup', (manager: MigrationManager) => manager.backup()],
    ['restore', (manager: MigrationManager) => manager.restore('a')],
    ['close', (manager: MigrationManager) => manager.close()],
  ] as const) {
    test(`${what} rejects instead of waiting for itself`, withManagers(async ({ manage }) => {
      const [manager, other] = [manage(), manage()]
      const errors: any[] = []
      manager.register(noting([], '1.0.0', {
        async up() {
          await Promise.resolve()
          errors.push(await caught(work(manager)), await caught(work(other)))
        },
      }))
      assert.deepEqual((await manager.migrate()).versions, ['1.0.0'])
      assert.deepEqual(errors.map(({ code }) => code), ['INVALID_ARGUMENT', 'INVALID_ARGUMENT'])
      assert.ok(errors.every(({ message }) => message.includes(`${what}() was called inside a migration`)), errors[0].message)
    }))
  }

  test('a manager of the same directory under another name is rejected too', withManagers(async ({ base, manage }) => {
    if (process.platform === 'win32') return
    await symlink(base, `${base}/link`)
    const [manager, other] = [manage(), new MigrationManager(`${base}/link`, { logger: null })]
    const errors: any[] = []
    manager.register(noting([], '1.0.0', { up: async () => void errors.push(await caught(other.migrate())) }))
    await manager.migrate()
    assert.equal(errors[0].code, 'INVALID_ARGUMENT')
    await other.close()
  }))

  test('getState and status can be called', withManagers(async ({ manage }) => {
    const manager = manage()
    const seen: unknown[] = []
    manager.register(noting([], '1.0.0'))
    manager.register(noting([], '1.1.0', {
      async up() { seen.push((await manager.getState()).currentVersion, (await manager.status()).pending) },
    }))
    await manager.migrate()
    assert.deepEqual(seen, ['1.0.0', 1])
  }))

  test('a migration can be registered for the next run', withManagers(async ({ manage }) => {
    const manager = manage()
    manager.register(noting([], '1.0.0', { up: () => manager.register(noting([], '2.0.0')) }))
    assert.deepEqual((await manager.migrate()).versions, ['1.0.0'])
    assert.deepEqual((await manager.migrate()).versions, ['2.0.0'])
  }))

  test('a task started there can migrate once the run has ended', withManagers(async ({ manage }) => {
    const manager = manage()
    let later: Promise<unknown> = Promise.resolve()
    let go = () => {}
    manager.register(noting([], '1.0.0', {
      up() { later = new Promise<void>((resolve) => (go = resolve)).then(() => manager.migrate()) },
    }))
    await manager.migrate()
    go()
    assert.deepEqual(await later, { versions: [], currentVersion: '1.0.0' })
  }))
})

describe('progress', () => {
  const lines = async (manage: (options: object) => MigrationManager, up: (context: MigrationContext) => void) => {
    const seen: string[] = []
    const manager = manage({ logger: { info: (line: string) => seen.push(line), warn() {}, error() {} } })
    manager.register({ version: '1.0.0', description: 'about 1.0.0', up })
    await manager.migrate()
    return seen.filter((line) => line.includes('%'))
  }

  test('is logged at every quarter when there is no terminal', withManagers(async ({ manage }) => {
    const all = await lines(manage, ({ progress }) => { for (let n = 0; n <= 1_000; n++) progress(n, 1_000) })
    assert.deepEqual(all, ['1.0.0: 25 %', '1.0.0: 50 %', '1.0.0: 75 %', '1.0.0: 100 %'])
  }))

  test('accepts any numbers and ignores other values', withManagers(async ({ manage }) => {
    const odd: any[] = [NaN, Infinity, -1, 0, 1n, '5', null, undefined, {}, Symbol('a')]
    const all = await lines(manage, ({ progress }) => {
      for (const done of odd) for (const total of odd) progress(done, total)
      progress(5, 2)
      progress(1, 2)
    })
    assert.deepEqual(all, ['1.0.0: 100 %'])
  }))

  test('of nothing to do is complete', withManagers(async ({ manage }) => {
    assert.deepEqual(await lines(manage, ({ progress }) => progress(0, 0)), ['1.0.0: 100 %'])
  }))

  test('is ignored after its migration has ended', withManagers(async ({ manage }) => {
    let late = () => {}
    const seen: string[] = []
    const manager = manage({ logger: (line) => seen.push(line) })
    manager.register(noting([], '1.0.0', { up: ({ progress }) => { late = () => progress(1, 1) } }))
    await manager.migrate()
    late()
    assert.deepEqual(seen.filter((line) => line.includes('%')), [])
  }))
})

describe('a progress bar on a terminal', () => {
  const { progressOf } = require('../lib/progress.js')
  const terminal = () => ({ isTTY: true, columns: 60, text: '', write(text: string) { this.text += text } })
  const shown = (text: string) => text.split('\r\x1b[2K').at(-1)

  test('is one line, redrawn only when it changes and cleared at the end', () => {
    const stream = terminal()
    const bar = progressOf(stream, assert.fail, '1.0.0')
    for (let n = 0; n <= 10_000; n++) bar.update(n, 20_000)
    assert.equal(shown(stream.text), `${'█'.repeat(12)}${'░'.repeat(12)}  50% 1.0.0`)
    // 51 percentages, and 12 more blocks of the bar.
    assert.equal(stream.text.split('\r').length - 1, 63)
    bar.end()
    assert.equal(shown(stream.text), '')
    bar.update(1, 1)
    assert.equal(shown(stream.text), '')
    assert.ok(!stream.text.includes('\n'))
  })

  test('makes way for other lines', () => {
    const stream = terminal()
    const bar = progressOf(stream, assert.fail, '1.0.0')
    bar.update(1, 2)
    bar.around(() => stream.write('a line\n'))
    assert.match(stream.text, /\r\x1b\[2Ka line\n█+░+ +50% 1\.0\.0$/)
    bar.around(() => stream.write('another line\n'))
    assert.match(stream.text, /50% 1\.0\.0\r\x1b\[2Kanother line\n█+░+ +50% 1\.0\.0$/)
    bar.end()
    bar.around(() => stream.write('the last line\n'))
    assert.match(stream.text, /\r\x1b\[2Kthe last line\n$/)
  })

  test('accepts any numbers and ignores other values', () => {
    const stream = terminal()
    const bar = progressOf(stream, assert.fail, '1.0.0')
    for (const odd of [NaN, 1n, '5', null, undefined, {}, Symbol('a')]) bar.update(odd, 1)
    assert.equal(stream.text, '')
    bar.update(-1, 2)
    assert.equal(shown(stream.text), `${'░'.repeat(24)}   0% 1.0.0`)
    bar.update(3, 2)
    assert.equal(shown(stream.text), `${'█'.repeat(24)} 100% 1.0.0`)
  })

  test('is complete at the end only', () => {
    const stream = terminal()
    progressOf(stream, assert.fail, '1.0.0').update(999, 1_000)
    assert.match(shown(stream.text)!, / 99% /)
  })

  test('fits into the terminal', () => {
    const stream = { ...terminal(), columns: 20 }
    progressOf(stream, assert.fail, 'a label that is long').update(1, 1)
    assert.equal(shown(stream.text), `${'█'.repeat(18)}…`)
  })
})

describe('a damaged state', () => {
  test('during a run is replaced by the state that the run saves', withManagers(async ({ base, manage }) => {
    const manager = manage()
    manager.register(noting([], '1.0.0', { up: () => write(statePath(base), 'rubbish') }))
    await manager.migrate()
    assert.equal((await manager.getState()).currentVersion, '1.0.0')
  }))
})
