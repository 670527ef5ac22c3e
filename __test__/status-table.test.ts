import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { MigrationManager } from '../index.js'
import type { MigrationStatus } from '../index.js'
import { withDirectory } from './support/index.js'
const { statusTable } = require('../lib/status-table.js') as {
  statusTable(status: MigrationStatus, view: { width?: number; colour?: boolean; now: number }): string[]
}
const { cut, displayWidth, printable } = require('../lib/display-text.js') as {
  cut(text: string, width: number): string
  displayWidth(text: string): number
  printable(text: string): string
}

type Migration = MigrationStatus['migrations'][number]

const NOW = 1_800_000_000_000
const MINUTE = 60_000
const DAY = 86_400_000

const migration = (version: string, fields: Partial<Migration> = {}): Migration => ({
  version,
  description: `about ${version}`,
  state: 'pending',
  appliedAt: null,
  error: null,
  hasDown: false,
  ...fields,
})
const applied = (version: string, before: number, fields: Partial<Migration> = {}) =>
  migration(version, { state: 'applied', appliedAt: NOW - before, ...fields })

const table = (migrations: Migration[], view: { width?: number; colour?: boolean } = {}) =>
  statusTable({
    currentVersion: migrations.findLast(({ state }) => state === 'applied')?.version ?? '0.0.0',
    latestVersion: migrations.at(-1)?.version ?? null,
    pending: migrations.filter(({ state }) => state === 'pending' || state === 'failed').length,
    migrations,
  }, { ...view, now: NOW })

describe('the status table', () => {
  test('shows each migration on a line, its error below, and says what to do', () => {
    const lines = table([
      applied('0.9.0', 400 * DAY, { state: 'unknown' }),
      applied('1.0.0', 3 * DAY),
      migration('1.1.0-beta.1', { state: 'failed', appliedAt: NOW - 2 * MINUTE, error: 'no such file' }),
      migration('2.0.0'),
    ])
    assert.deepEqual(lines, [
      'Version 1.0.0, 2 migrations pending',
      '',
      '  VERSION       STATE    WHEN           DESCRIPTION',
      '? 0.9.0         unknown  1 year ago     about 0.9.0',
      '✓ 1.0.0         applied  3 days ago     about 1.0.0',
      '✗ 1.1.0-beta.1  failed   2 minutes ago  about 1.1.0-beta.1',
      '                                        error: no such file',
      '○ 2.0.0         pending  –              about 2.0.0',
      '',
      '1.1.0-beta.1 failed and changed nothing: mend the cause, then migrate again.',
    ])
  })

  test('says so when no migration is registered', () => {
    assert.deepEqual(table([]), [
      'Version 0.0.0, no migrations pending', '', 'No migration is registered.',
    ])
  })

  for (const [what, migrations, advice] of [
    ['one is pending', [applied('1.0.0', 0), migration('1.1.0')], 'Migrate to apply 1 migration up to 1.1.0.'],
    ['some are pending', [migration('1.0.0'), migration('1.1.0')], 'Migrate to apply 2 migrations up to 1.1.0.'],
    ['all are applied', [applied('1.0.0', 0)], 'Nothing to do: every migration is applied.'],
    ['two failed', [migration('1.0.0', { state: 'failed' }), migration('1.1.0', { state: 'failed' })],
      '2 migrations failed and changed nothing: mend the cause, then migrate again.'],
    ['one is unknown', [applied('1.0.0', 0, { state: 'unknown' })],
      'Nothing to do. Not registered here: 1 migration, for the program that applied them to roll back.'],
  ] as const) {
    test(`ends with what to do when ${what}`, () => assert.equal(table([...migrations]).at(-1), advice))
  }

  for (const [elapsed, text] of [
    [-2 * MINUTE, 'in the future'], [-1_000, 'just now'], [0, 'just now'], [59_999, 'just now'], [MINUTE, '1 minute ago'],
    [59 * MINUTE, '59 minutes ago'], [60 * MINUTE, '1 hour ago'], [DAY, '1 day ago'], [29 * DAY, '29 days ago'],
    [30 * DAY, '1 month ago'], [364 * DAY, '12 months ago'], [365 * DAY, '1 year ago'], [800 * DAY, '2 years ago'],
  ] as const) {
    test(`says "${text}" when ${elapsed} ms have passed`, () => {
      assert.ok(table([applied('1.0.0', elapsed)])[3]!.includes(`applied  ${text}`))
    })
  }

  test('is aligned by the display width of its characters, including wide ones', () => {
    const lines = table([
      applied('1.0.0', 0, { description: '日本語の説明 🎉' }),
      migration('10.0.0', { description: 'é e\u0301 👨‍👩‍👧' }),
    ])
    const start = displayWidth(lines[2]!.slice(0, lines[2]!.indexOf('DESCRIPTION')))
    for (const line of lines.slice(3, 5)) assert.equal(displayWidth(line.slice(0, line.search(/日|é/))), start)
  })

  test('fits the width of the terminal and cuts nothing without one', () => {
    const long = [
      applied('1.0.0', 0, { description: '長い'.repeat(100) }),
      migration('2.0.0', { state: 'failed', error: 'x'.repeat(500) }),
    ]
    for (const width of [60, 80, 121]) {
      for (const line of table(long, { width }).slice(0, -1)) assert.ok(displayWidth(line) <= width, line)
    }
    assert.ok(table(long)[3]!.endsWith('長い'.repeat(100)))
    assert.ok(table(long)[5]!.endsWith('x'.repeat(500)))
  })

  test('stays readable in a terminal of one column, with versions that are very long', () => {
    const lines = table([migration(`1.0.0-${'a'.repeat(200)}`, { description: 'd'.repeat(50) })], { width: 1 })
    assert.ok(lines[3]!.includes(`${'d'.repeat(11)}…`) && displayWidth(lines[3]!) < 80, lines[3])
  })

  test('has colours only on request, and the same text with them', () => {
    const all = [applied('1.0.0', 0), migration('1.1.0', { state: 'failed', error: 'no' }), migration('2.0.0')]
    const [plain, coloured] = [table(all), table(all, { colour: true })]
    assert.ok(!plain.join('').includes('\x1b'))
    assert.match(coloured[4]!, /\x1b\[31m.*failed/)
    const strip = (line: string) => line.replace(/\x1b\[\d+m/g, '').trimEnd()
    assert.deepEqual(coloured.map(strip), plain)
    assert.ok(coloured.every((line) => line.split('\x1b[0m').length * 2 - 1 === line.split('\x1b').length))
  })

  test('neutralises control characters, escape sequences and direction overrides', () => {
    const evil = 'a\x1b[2J\x1b]0;title\x07b\r\nc\td\x7f\x9b31m\u202ee\u2028f\ud800'
    const text = table([migration('1.0.0', { description: evil, state: 'failed', error: evil })]).join('\n')
    assert.ok(text.includes('a␛[2J␛]0;title␇b c d␡\ufffd31m\ufffde f\ufffd'), JSON.stringify(text))
    assert.ok(!/[\0-\x09\x0b-\x1f\x7f-\x9f\u202e\u2028]/.test(text) && !/\p{Surrogate}/u.test(text))
  })

  test('lists three thousand migrations', () => {
    const many = Array.from({ length: 3_000 }, (_, n) => migration(`1.${n}.0`))
    assert.equal(table(many, { width: 80 }).length, 3_005)
  })
})

describe('display text', () => {
  test('is measured as wide as terminals show it', () => {
    for (const [text, width] of [
      ['', 0], ['abc', 3], ['日本', 4], ['한글', 4], ['ｆ', 2], ['é', 1], ['e\u0301', 1], ['\u200b', 0], ['🎉', 2], ['👨‍👩‍👧', 2],
      ['🇦🇹', 2], ['❤️', 2], ['→', 1], ['𠀀', 2], ['Ω', 1],
    ] as const) assert.equal(displayWidth(text), width, text)
  })

  test('is cut between whole characters', () => {
    assert.equal(cut('abcdef', 6), 'abcdef')
    assert.equal(cut('abcdef', 5), 'abcd…')
    assert.equal(cut('日本語', 5), '日本…')
    assert.equal(cut('日本語', 4), '日…')
    assert.equal(cut('👨‍👩‍👧👨‍👩‍👧', 3), '👨‍👩‍👧…')
  })

  test('is unchanged if it is printable', () => {
    for (const text of ['', 'abc', '日本 e\u0301 👨‍👩‍👧 ~', 'a␛b']) assert.equal(printable(text), text)
  })
})

describe('colours and widths', () => {
  const { managerOptions } = require('../lib/migration-arguments.js')
  const view = (stream: object, environment: Record<string, string>, options = {}) => {
    const before = { ...process.env }
    delete process.env.NO_COLOR
    Object.assign(process.env, { TERM: 'xterm' }, environment)
    try {
      const { width, colour } = managerOptions(options).terminal(stream)
      return { width, colour }
    } finally {
      process.env = before
    }
  }

  test('are taken from the terminal', () => {
    assert.deepEqual(view({ isTTY: true, columns: 91 }, {}), { width: 91, colour: true })
    assert.deepEqual(view({ isTTY: true }, {}), { width: 80, colour: true })
  })

  test('are not set without a terminal or with a logger of the caller', () => {
    const none = { width: undefined, colour: undefined }
    assert.deepEqual(view({}, {}), none)
    assert.deepEqual(view({ isTTY: true, columns: 91 }, {}, { logger: () => {} }), none)
    assert.deepEqual(view({ isTTY: true, columns: 91 }, {}, { logger: null }), none)
  })

  test('are those of this process for a manager without a logger, which draws its progress there', withDirectory(async ({ base }) => {
    const streams = (['stdout', 'stderr'] as const).map((name) => [name, Object.getOwnPropertyDescriptor(process, name)!] as const)
    const { env } = process
    const { info } = console
    const lines: string[] = []
    const terminal = { isTTY: true, columns: 60, text: '', write(text: string) { terminal.text += text } }
    for (const [name] of streams) Object.defineProperty(process, name, { value: terminal, configurable: true })
    process.env = { ...env, NO_COLOR: '', TERM: 'xterm' }
    console.info = (line) => void lines.push(line)
    try {
      const manager = new MigrationManager(base)
      manager.register({ version: '1.0.0', description: 'long '.repeat(30), up: ({ progress }) => progress(1, 2) })
      await manager.migrate()
      lines.length = 0
      await manager.status()
      await manager.close()
    } finally {
      console.info = info
      process.env = env
      for (const [name, descriptor] of streams) Object.defineProperty(process, name, descriptor)
    }
    assert.match(terminal.text, /█+░+ +50% 1\.0\.0/)
    const row = lines.find((line) => line.includes('long'))!
    assert.match(row, /^\x1b\[32m✓\x1b\[0m .*…$/)
    assert.equal(displayWidth(row.replace(/\x1b\[\d+m/g, '')), 60)
  }))

  test('obey NO_COLOR and terminals without colours', () => {
    for (const environment of [{ NO_COLOR: '1' }, { TERM: 'dumb' }]) {
      assert.deepEqual(view({ isTTY: true, columns: 91 }, environment), { width: 91, colour: false })
    }
    assert.equal(view({ isTTY: true, columns: 91 }, { NO_COLOR: '' }).colour, true)
  })
})
