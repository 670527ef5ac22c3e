// What `migrate` prints, where, and what happens when nobody reads it.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import type { StdioOptions } from 'node:child_process'
import { existsSync, openSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { bin, cli, environment, withApp } from './support/cli.js'
import { until } from './support/index.js'

const FILE = ['migrate', '--file', 'migrations.mjs']

/** A module with one migration, whose `up` has this body. */
const moduleOf = (up: string) => ({
  'migrations.mjs': `
    import { existsSync, writeFileSync } from 'node:fs'
    import { setTimeout as pause } from 'node:timers/promises'
    export default [{ version: '1.0.0', description: 'One', async up({ logger }) { ${up} } }]
  `,
})

/** Waits until the test lets it go on. */
const WAIT = `writeFileSync('begun', ''); while (!existsSync('go')) await pause(5)`

describe('the status of migrations', () => {
  test('is one JSON document, and nothing is written to standard error', withApp(async ({ run, write }) => {
    await write(moduleOf(''))
    const { code, stdout, stderr } = await run(...FILE, '--status', '--json')
    assert.deepEqual([code, JSON.parse(stdout).pending, stderr], [0, 1, ''])
  }))

  test('is a table, which has colours in a pipe if --color asks for them', withApp(async ({ text, write }) => {
    await write(moduleOf(''))
    assert.match(await text(...FILE, '--status'), /^Version 0\.0\.0, 1 migration pending\n\n {2}VERSION /)
    assert.ok((await text(...FILE, '--status', '--color', 'always')).includes('\x1b[33mpending\x1b[0m'))
  }))
})

test('a module in TypeScript runs, or the error says what runs it', withApp(async ({ run, write }) => {
  await write({ 'migrations.ts': `const description: string = 'One'\nexport default [{ version: '1.0.0', description, up() {} }]` })
  const { code, stderr } = await run('migrate', '--file', 'migrations.ts')
  if (code !== 0) assert.match(stderr, /use Node 22\.18 or newer, or `bunx --bun octoprompt-storage` \(INVALID_ARGUMENT\)/)
}))

describe('a failed migration', () => {
  test('says where in the module it failed', withApp(async ({ run, write }) => {
    await write(moduleOf('\nnull.missing'))
    const failed = await run(...FILE, '--color', 'always')
    assert.equal(failed.code, 1)
    assert.match(failed.stderr, /^\x1b\[31merror:\x1b\[0m .* \(MIGRATION_FAILED\)\n {4}at .*migrations\.mjs:5:\d+\)?\n$/m)
    const { stack } = JSON.parse((await run(...FILE, '--json')).stderr.trim().split('\n').at(-1)!).error
    assert.equal(stack.length, 1)
    assert.match(stack[0], /^at .*migrations\.mjs:5:\d+/)
  }))

  test('says where what it threw came from, even if its data could not be put back', withApp(async ({ run, write }) => {
    await write({ 'data/notes.txt': 'before', ...moduleOf(`
      const { rmSync } = await import('node:fs')
      writeFileSync('data/notes.txt', 'after')
      rmSync('data/.migration/before', { recursive: true })
      null.missing
    `) })
    const { code, stderr } = await run(...FILE)
    assert.equal(code, 1)
    assert.match(stderr, /^error: .*putting the data back failed too.* \(MIGRATION_FAILED\)\n {4}at .*migrations\.mjs:8:\d+\)?\n/m)
  }))

  test('says what it threw if that is no error', withApp(async ({ run, write }) => {
    for (const [thrown, said] of [['"a text"', 'a text'], ['null', 'null was thrown']] as const) {
      await write(moduleOf(`throw ${thrown}`))
      const { code, stderr } = await run(...FILE)
      assert.equal(code, 1)
      assert.ok(stderr.endsWith(`error: ${said} (MIGRATION_FAILED)\n`), stderr)
    }
  }))

  test('says where to look for a syntax error', withApp(async ({ error, write }) => {
    await write({ 'migrations.mjs': 'export default [\n  }\n]\n' })
    assert.match((await error(2, ...FILE)).message, /`node --check .*migrations\.mjs` shows where$|migrations\.mjs:2:\d+\)/)
  }))
})

test('with --json, what a migration prints goes to standard error, a document on each line', withApp(async ({ run, write }) => {
  await write(moduleOf(`
    console.log('%d files', 2)
    console.warn('two\\nlines')
    console.dir({ directory: 3 })
    console.table([{ column: 4 }])
    console.group('group')
    console.count('count')
    console.trace('here')
    console.assert(false, 'assertion')
    process.emitWarning('careful', { type: 'CustomWarning', code: 'CAREFUL' })
    process.emitWarning('without a code')
  `))
  const { stdout, stderr } = await run(...FILE, '--json')
  assert.deepEqual(JSON.parse(stdout), { versions: ['1.0.0'], currentVersion: '1.0.0' })
  const documents = stderr.trimEnd().split('\n').map((line) => JSON.parse(line))
  const logged = documents.flatMap(({ log }) => (log === undefined ? [] : [`${log.level}: ${log.message}`]))
  for (const line of ['info: 2 files', 'warn: two\nlines', 'info: group', 'info: count: 1', 'warn: Assertion failed: assertion']) {
    assert.ok(logged.includes(line), `${line} in ${stderr}`)
  }
  for (const part of ['directory: 3', 'column']) assert.ok(logged.some((line) => line.includes(part)), `${part} in ${stderr}`)
  const warnings = documents.flatMap(({ warning }) => (warning === undefined ? [] : [warning]))
  assert.deepEqual(warnings, [{ code: 'CAREFUL', message: 'careful' }, { code: 'Warning', message: 'without a code' }])
}))

test('a migration runs to its end even if nobody reads its output any more', withApp(async ({ base, json, write }) => {
  await write(moduleOf(`${WAIT}; for (let n = 0; n < 100; n++) logger.info('line'); console.log('another')`))
  const onOutput = (close: () => void) => {
    close()
    writeFileSync(join(base, 'go'), '')
  }
  const { code, stderr } = await cli(FILE, { cwd: base, onOutput })
  assert.deepEqual({ code, stderr }, { code: 0, stderr: '' })
  assert.equal((await json('status')).migrations.applied, 1)
}))

if (existsSync('/dev/full')) {
  test('results that cannot be written are a failure', withApp(async ({ base, write }) => {
    await write(moduleOf(''))
    const stdio: StdioOptions = ['ignore', openSync('/dev/full', 'w'), 'pipe']
    const { status, stderr } = spawnSync(process.execPath, [bin, ...FILE, '--status'], { cwd: base, env: environment(), stdio, encoding: 'utf8' })
    assert.equal(status, 1)
    assert.match(stderr, /^error: write to the standard output failed: .* \(IO_ERROR\)\n$/)
  }))
}

test('commands that wait for a migration in vain say what they waited for and how long', withApp(async ({ base, error, write }) => {
  await write(moduleOf(WAIT))
  const migration = cli(FILE, { cwd: base })
  try {
    await until('the migration', () => existsSync(join(base, 'begun')))
    const { code, message } = await error(5, 'projects', '--lock-timeout', '0.2')
    assert.equal(code, 'LOCK_TIMEOUT')
    assert.match(message, /write\.lock was not free within 200 ms: .*raise --lock-timeout$/)
    // Only Linux tells who holds a lock.
    if (process.platform === 'linux') assert.match(message, /process \d+ holds it for a migration, a backup or a restore/)
    assert.match((await error(5, ...FILE, '--lock-timeout', '0.2')).message, /migration.lock was not free within \d+ ms: .*raise --lock-timeout$/)
  } finally {
    await write({ go: '' })
  }
  assert.equal((await migration).code, 0)
}))
