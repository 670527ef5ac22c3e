import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { appendFile, cp, mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { bin, cli, environment, withApp, withCli } from './support/cli.js'
import { filesPath, withOldData } from './support/index.js'
import { Things } from './support/things.js'

const manifest = JSON.parse(readFileSync(join(__dirname, '../package.json'), 'utf8'))

test('the command is the one that the package installs', () => {
  assert.equal(join(__dirname, '..', manifest.bin['octoprompt-storage']), bin)
  assert.ok(manifest.files.includes('bin'))
})

describe('reading commands', () => {
  test('status counts projects, files and versions', withApp(async ({ base, json, text }) => {
    const status = await json('status')
    assert.deepEqual([status.projects, status.files, status.versions], [1, 2, 3])
    assert.deepEqual(status.databases.map(({ path }: { path: string }) => path), ['data/project_storage'])
    assert.equal(status.migrations.currentVersion, '0.0.0')
    assert.match(await text('status'), /^files +2 in 3 versions$/m)
    assert.equal((await readdir(base)).sort().join(), 'app,data')
  }))

  test('status counts a version once, however often the old package tried it', withApp(async ({ json, write }) => {
    const record = (version: string, appliedAt: number, success: boolean) => ({ version, description: '', appliedAt, success })
    const migrations = [record('1.0.0', 1, false), record('1.0.0', 2, true), record('2.0.0', 3, false), record('2.0.0', 4, false)]
    await write({ 'data/.migration-state.json': JSON.stringify({ currentVersion: '1.0.0', migrations }) })
    assert.deepEqual((await json('status')).migrations, { currentVersion: '1.0.0', applied: 1, failed: 1 })
  }))

  test('projects and files read the data of the old package', withOldData(async ({ base }) => {
    const { code, stdout, stderr } = await cli(['projects', '--json'], { cwd: base })
    assert.equal(code, 0, stderr)
    const projects = JSON.parse(stdout)
    assert.deepEqual(projects.map(({ id }: { id: number }) => id), [1718000000000, 1718000000001, 1718000000002])
    assert.equal(projects[1].name, 'Überprojekt 日本')
    const path = await cli(['files', 'C:\\work\\überprojekt', '--json'], { cwd: base })
    assert.equal(path.stdout.trim().split('\n').length, projects[1].files, path.stderr)
    const ambiguous = await cli(['files', 'Sample App'], { cwd: base })
    assert.equal(ambiguous.code, 2)
    assert.match(ambiguous.stderr, /1718000000000 or 1718000000002 \(AMBIGUOUS\)/)
  }))

  test('files lists the files of a project and their versions', withApp(async ({ jsonLines, text }) => {
    const files = await jsonLines('files', 'app')
    assert.deepEqual(files.map(({ path, version }) => [path, version]), [['README.md', 1], ['src/main.ts', 2]])
    assert.ok(!('content' in files[0]))
    assert.equal((await jsonLines('files', 'app', '--all-versions')).length, 3)
    assert.match(await text('files', 'app'), / 2 +25 B +\S+ \S+ +src\/main\.ts\n/)
  }))

  test('show prints a file, one of its versions, or its bare content', withApp(async ({ json, text }) => {
    const file = await json('show', 'src/main.ts')
    assert.equal(file.content, 'export const port = 8080\n')
    assert.equal((await json('show', String(file.id), '--version', '1')).content, 'export const port = 80\n')
    assert.equal(await text('show', 'src/main.ts', '--content'), file.content)
    assert.match(await text('show', String(file.id)), /^file +src\/main\.ts$/m)
    assert.equal((await json('show', 'app')).name, 'app')
  }))

  test('history shows what changed between versions', withApp(async ({ json, text }) => {
    const history = await json('history', 'src/main.ts')
    assert.deepEqual(history.map(({ file }: any) => file.version), [2, 1])
    assert.match(history[0].diff, /^-export const port = 80\n\+export const port = 8080\n/m)
    assert.equal(history[1].diff, null)
    const [only] = await json('history', 'src/main.ts', '--from', '2', '--to', '1')
    assert.match(only.diff, /^-export const port = 8080\n\+export const port = 80\n/m)
    assert.equal((await text('history', 'src/main.ts', '--no-diff')).trim().split('\n').length, 2)
  }))

  test('the differences of history are a patch that git applies', withApp(async ({ base, json, text }) => {
    await text('export', 'app', 'out')
    const [{ diff }] = await json('history', 'src/main.ts', '--from', '2', '--to', '1')
    assert.ok(diff.startsWith('--- a/src/main.ts\tversion 2\n+++ b/src/main.ts\tversion 1\n@@ '), diff)
    const cwd = join(base, 'out')
    execFileSync('git', ['init', '--quiet'], { cwd })
    execFileSync('git', ['apply', '-'], { cwd, input: diff })
    assert.equal(await readFile(join(cwd, 'src/main.ts'), 'utf8'), 'export const port = 80\n')
  }))

  if (process.platform !== 'win32') {
    test('such a patch names the file, whatever its name is', withCli(async ({ base, json, text, write }) => {
      const names = ['tab\tand\nline', 'zero\u200bwidth', 'b\\s"q\x7f', 'end ']
      const change = async (content: string) => {
        await write(Object.fromEntries(names.map((name) => [`app/${name}`, content])))
        await text('import', 'app')
      }
      await change('one\n')
      await change('two\n')
      const cwd = join(base, 'app')
      execFileSync('git', ['init', '--quiet'], { cwd })
      for (const name of names) {
        const [{ diff }] = await json('history', name, '--from', '2', '--to', '1')
        execFileSync('git', ['apply', '-'], { cwd, input: diff })
        assert.equal(await readFile(join(cwd, name), 'utf8'), 'one\n')
      }
    }))
  }

  test('search finds files that contain all words, whatever their case', withApp(async ({ jsonLines, run, text }) => {
    const found = await jsonLines('search', 'PORT', '8080')
    assert.deepEqual(found.map(({ path, matches }) => [path, matches]), [
      ['src/main.ts', [{ line: 1, text: 'export const port = 8080' }]],
    ])
    assert.deepEqual((await jsonLines('search', 'main.ts')).map(({ path }) => path), ['src/main.ts'])
    assert.match(await text('search', 'web server'), /^README\.md {2}app \d+\n {5}1: # Web server\n$/)
    const nothing = await run('search', 'port', 'nowhere')
    assert.deepEqual(nothing, { code: 0, stdout: '', stderr: 'nothing found\n' })
  }))
})

describe('a failing command', () => {
  const cases: [string, number, string, string[]][] = [
    ['a project that is not there', 4, 'NOT_FOUND', ['files', 'nothing']],
    ['a file that is not there', 4, 'NOT_FOUND', ['history', 'nothing']],
    ['a version that is not there', 4, 'NOT_FOUND', ['show', 'src/main.ts', '--version', '7']],
    ['a backup that is not there', 4, 'NOT_FOUND', ['restore', 'nothing', '--yes']],
    ['an unconfirmed restore of a backup that is not there', 4, 'NOT_FOUND', ['restore', 'nothing']],
    ['verifying a backup that is not there', 4, 'NOT_FOUND', ['verify', '--backup', 'nothing']],
    ['an unconfirmed restore of what is no backup', 1, 'CORRUPT_DATA', ['restore', './app']],
    ['a directory that is not there', 1, 'IO_ERROR', ['import', 'nothing']],
    ['an unknown command', 2, 'USAGE', ['nothing']],
    ['an option without its value', 2, 'USAGE', ['status', '--lock-timeout', 'soon']],
    ['an empty word', 2, 'USAGE', ['search', '']],
    ['a restore that nobody confirmed', 6, 'CONFIRMATION_REQUIRED', ['restore', 'kept']],
    ['a repair that nobody confirmed', 6, 'CONFIRMATION_REQUIRED', ['repair']],
    ['a module that is not there', 2, 'INVALID_ARGUMENT', ['migrate', '--file', 'nothing.mjs', '--rollback', '0.0.0']],
    ['a module that cannot be loaded', 2, 'INVALID_ARGUMENT', ['migrate', '--file', 'app/README.md']],
  ]
  test('has an error code and an exit code for each kind of failure', withApp(async ({ error, text }) => {
    await text('backup', 'kept')
    const errors = await Promise.all(cases.map(([, exit, , args]) => error(exit, ...args)))
    assert.deepEqual(errors.map(({ code }) => code), cases.map(([, , code]) => code))
    for (const { message } of errors) assert.ok(message.length > 10 && !message.includes('\n'), message)
  }))

  test('prints one readable line without a stack', withApp(async ({ run }) => {
    const { stdout, stderr } = await run('files', 'nothing')
    assert.equal(stdout, '')
    assert.match(stderr, /^error: [^\n]+ \(NOT_FOUND\)\n$/)
  }))

  test('names the option with a wrong number, and says which numbers are right', withCli(async ({ error }) => {
    const numbers = [
      ['--from', 'two', 'history', 'x'], ['--to', '-1', 'history', 'x'], ['--version', '1e3', 'show', 'x'],
      ['--max-size', '513', 'import', 'x'], ['--keep', '0', 'backup'], ['--lock-timeout', '-1', 'status'],
    ]
    for (const [option, value, ...command] of numbers) {
      const { message } = await error(2, ...command, option!, value!)
      assert.match(message, new RegExp(`^invalid value '${value}' for '${option} <[A-Z]+>': expected a (whole )?number of `))
    }
  }))

  test('reports ADDON_NOT_LOADED if its addon cannot be loaded', withCli(async ({ base }) => {
    for (const part of ['bin', 'lib', 'package.json']) await cp(join(__dirname, '..', part), join(base, part), { recursive: true })
    const alone = join(base, 'bin/octoprompt-storage.js')
    const { code, stderr } = await cli(['status'], { cwd: base, program: alone })
    assert.equal(code, 1)
    assert.match(stderr, /^error: [^\n]+ \(ADDON_NOT_LOADED\)\n$/)
    const asJson = await cli(['status', '--json'], { cwd: base, program: alone })
    assert.equal(JSON.parse(asJson.stderr).error.code, 'ADDON_NOT_LOADED')
  }))

  test('fails without the addon for servers only if it is a migration', withApp(async ({ base, write }) => {
    await write({ 'migrations.mjs': 'export default []' })
    const env = { NAPI_RS_NATIVE_LIBRARY_PATH: join(base, 'nothing.node') }
    assert.equal((await cli(['status'], { cwd: base, env })).code, 0)
    const { code, stderr } = await cli(['migrate', '--file', 'migrations.mjs'], { cwd: base, env })
    assert.equal(code, 1)
    assert.match(stderr, /^error: [^\n]+ \(ADDON_NOT_LOADED\)\n$/)
  }))

  test('shows examples if no command is given', withCli(async ({ run }) => {
    const { code, stderr, stdout } = await run()
    assert.equal(code, 2)
    assert.equal(stdout, '')
    assert.match(stderr, /Examples:\n {2}\$ octoprompt-storage status/)
  }))
})

describe('the base path', () => {
  test('comes from the option, else from the environment variable', withApp(async ({ base }) => {
    const elsewhere = join(base, 'app')
    const option = await cli(['projects', '--base-path', '..', '--json'], { cwd: elsewhere })
    assert.equal(JSON.parse(option.stdout)[0].name, 'app')
    const variable = await cli(['projects', '--json'], { cwd: elsewhere, env: { OCTOPROMPT_STORAGE_PATH: base } })
    assert.equal(variable.stdout, option.stdout)
    const both = await cli(['status'], { cwd: elsewhere, env: { OCTOPROMPT_STORAGE_PATH: base } })
    assert.equal(both.code, 0)
    assert.equal((await cli(['status'], { cwd: elsewhere })).code, 4)
  }))

  test('is not said to lack data if it lacks only projects', withCli(async ({ base, error }) => {
    const things = new Things({ basePath: base, dataDir: 'data/things' })
    await things.create({ name: 'a' })
    await things.close()
    const { code, message } = await error(4, 'projects')
    assert.deepEqual([code, /^there are no projects under /.test(message)], ['NO_DATA', true])
  }))
})

describe('stats', () => {
  test('reports documents, bytes on disk and sequence numbers', withApp(async ({ json, text, write }) => {
    const [before] = (await json('stats')).databases
    const documents = before.collections.map(({ documents }: { documents: number }) => documents)
    assert.deepEqual(documents.toSorted(), [1, 3])
    const { json: files, journals, indexes, other, total } = before.disk
    assert.equal(files + journals + indexes + other, total)
    assert.ok(files > 0 && journals > 0)
    await write({ 'app/more': 'x'.repeat(100_000) })
    await text('import', 'app')
    const [after] = (await json('stats')).databases
    assert.ok(after.disk.json > before.disk.json + 100_000)
    assert.ok(after.sequence.acknowledged > before.sequence.acknowledged)
    assert.match(await text('stats'), /^data\/project_storage\n {2}disk .* times what is stored\n/)
  }))
})

describe('maintenance', () => {
  test('verify finds damage, and repair mends it and keeps the original', withApp(async ({ base, json, jsonLines, run, text }) => {
    assert.equal((await json('verify')).ok, true)
    const [{ projectId }] = await jsonLines('files', 'app')
    await rm(filesPath(base, projectId))
    const verify = await run('verify')
    assert.equal(verify.code, 3)
    assert.match(verify.stdout, /NOT OK.*\n.*\n.*error.*SNAPSHOT_MISSING/)
    const repaired = await run('repair', '--yes', '--json')
    const [report] = JSON.parse(repaired.stdout).databases
    assert.equal(report.changed, true)
    assert.match(report.copies, /before-repair/)
    assert.match(await text('verify'), /: ok/)
  }))

  test('a repair exits with 3 if it lost something, otherwise with 0', withApp(async ({ base, jsonLines, run, text, write }) => {
    await write({ 'data/project_storage/.storage/new-9-9': 'left over' })
    const mended = await run('repair', '--yes')
    assert.equal(mended.code, 0, mended.stdout)
    assert.match(mended.stdout, /repaired; the originals are in/)
    const [{ projectId }] = await jsonLines('files', 'app')
    await rm(filesPath(base, projectId))
    const lossy = await run('repair', '--yes')
    assert.equal(lossy.code, 3)
    assert.match(lossy.stdout, /DOCUMENTS_LOST/)
    assert.match(lossy.stderr, /^something was lost: /m)
    assert.match(await text('repair', '--yes'), /nothing to repair/)
  }))

  test('a repair that cannot go on tells what it has lost so far', withApp(async ({ base, open, run }) => {
    const things = new Things({ basePath: base, dataDir: 'data/a' })
    await things.create({ name: 'lost' })
    await things.close()
    await rm(join(base, 'data/a/things.json'))
    const storage = open()
    await storage.list()
    const { code, stdout, stderr } = await run('repair', '--yes', '--json', '--lock-timeout', '0')
    await storage.close()
    const { ok, databases } = JSON.parse(stdout)
    const lost = databases.map(({ actions }: any) => actions.some((action: any) => action.code === 'DOCUMENTS_LOST'))
    assert.deepEqual([code, ok, lost, JSON.parse(stderr).error.code], [5, false, [true], 'LOCK_TIMEOUT'])
  }))

  test('databases are found without their record, so that it can be repaired', withCli(async ({ base, json, run }) => {
    const things = new Things({ basePath: base, dataDir: 'data/things' })
    await things.create({ name: 'kept' })
    await things.close()
    const record = join(base, 'data/.databases.json')
    await writeFile(record, '{')
    const { code, stdout } = await run('verify', '--json')
    const { databases, problems } = JSON.parse(stdout)
    assert.deepEqual([code, databases.length, problems[0].code], [3, 1, 'RECORD_DAMAGED'])
    assert.equal((await json('repair', '--yes')).ok, true)
    assert.equal((await json('verify')).ok, true)
  }))

  test('verify of an edited file advises to keep or undo the edit instead of a repair', withApp(async ({ base, run, text }) => {
    const projects = join(base, 'data/project_storage/projects.json')
    await writeFile(projects, (await readFile(projects, 'utf8')).replace('"app"', '"edited"'))
    const { code, stderr } = await run('verify')
    assert.equal(code, 3)
    assert.match(stderr, /an edit of yours is adopted when the data is used next/)
    assert.doesNotMatch(stderr, /`repair`/)
    await text('projects')
    assert.match(await text('verify'), /: ok/)
  }))

  test('checkpoint names the databases that it brought up to date', withApp(async ({ json }) => {
    assert.deepEqual(await json('checkpoint'), { databases: ['data/project_storage'] })
  }))

  test('backups are made, listed, pruned to --keep and restored', withApp(async ({ json, run, jsonLines, text }) => {
    const first = await json('backup', 'first')
    assert.deepEqual([first.name, first.complete, first.removed], ['first', true, []])
    assert.deepEqual((await json('backup', 'second', '--keep', '1')).removed, ['first'])
    assert.deepEqual((await json('backups')).map(({ name }: { name: string }) => name), ['second'])
    await text('import', 'app', '--name', 'ignored', '--in-place')
    await text('import', 'app/src', '--name', 'another')
    assert.equal((await json('projects')).length, 2)
    assert.deepEqual(await json('restore', 'second', '--yes'), { restored: 'second' })
    assert.deepEqual((await json('projects')).map(({ name }: { name: string }) => name), ['app'])
    assert.equal((await jsonLines('files', 'app')).length, 2)
    assert.equal((await run('backup', 'second')).code, 1)
  }))

  test('a backup is named by the path of its directory, however that is written', withApp(async ({ base, json, text }) => {
    await text('backup', 'one')
    await cp(join(base, 'backups/one'), join(base, 'copy'), { recursive: true })
    for (const path of ['copy/', './copy', join(base, 'copy'), 'app/../copy/']) {
      assert.equal((await json('restore', path, '--yes')).restored, join(base, 'copy'))
    }
  }))

  test('verify --backup names what is wrong with a backup, with exit code 3', withApp(async ({ base, json, run, text }) => {
    await text('backup', 'one')
    assert.match(await text('verify', '--backup', 'one'), /^one: ok, .* in 2 files\n$/)
    const path = 'data/project_storage/projects.json'
    await appendFile(join(base, 'backups/one', path), ' ')
    for (const backup of ['one', './backups/one']) {
      const { code, stdout, stderr } = await run('verify', '--backup', backup)
      assert.equal(code, 3)
      assert.match(stdout, /NOT OK, .* in 2 files\n.*WHERE.*WHAT\n.*projects\.json +it has \d+ bytes instead of \d+\n$/)
      assert.match(stderr, /use another one/)
    }
    const report = JSON.parse((await run('verify', '--backup', 'one', '--json')).stdout)
    assert.deepEqual([report.ok, report.name, report.problems.map(({ path }: { path: string }) => path)], [false, 'one', [path]])
    assert.equal((await json('verify')).ok, true)
  }))

  test('a backup whose predecessors cannot be removed is kept, with a warning and exit code 3', withApp(async ({ base, run }) => {
    // A manifest that cannot be read.
    await mkdir(join(base, 'backups/broken/manifest.json'), { recursive: true })
    const { code, stdout, stderr } = await run('backup', 'new', '--keep', '1', '--json')
    assert.equal(code, 3)
    const { name, complete, removed } = JSON.parse(stdout)
    assert.deepEqual([name, complete, removed], ['new', true, []])
    assert.match(JSON.parse(stderr).warning.message, /^old backups could not be removed: .*manifest\.json/)
  }))
})

describe('migrate', () => {
  const module = `
    import { ProjectStorageV2 } from ${JSON.stringify(pathToFileURL(join(__dirname, '../index.mjs')).href)}
    export default ({ basePath }) => [
      { version: '1.0.0', description: 'Rename', async up({ logger }) {
        logger.info('renaming')
        const storage = new ProjectStorageV2({ basePath })
        for (const { id } of await storage.list()) await storage.update(id, { name: 'renamed' })
        await storage.close()
      }, down() {} },
      { version: '2.0.0', description: 'Break', up() { throw new Error('on purpose') } },
    ]
    setInterval(() => {}, 1000)
  `
  test('applies the migrations of a module and rolls them back', withApp(async ({ base, error, json, run }) => {
    await writeFile(join(base, 'migrations.mjs'), module)
    const file = ['migrate', '--file', 'migrations.mjs']
    const applied = await run(...file, '--to', '1.0.0', '--json')
    assert.deepEqual(JSON.parse(applied.stdout), { versions: ['1.0.0'], currentVersion: '1.0.0' })
    assert.ok(applied.stderr.split('\n').filter(Boolean).map((line) => JSON.parse(line).log.message).includes('renaming'))
    assert.equal((await json('projects'))[0].name, 'renamed')
    assert.equal((await json(...file, '--status')).pending, 1)
    const failed = await run(...file)
    assert.equal(failed.code, 1)
    assert.match(failed.stderr, /^error: on purpose \(MIGRATION_FAILED\)\n +at .*migrations\.mjs:\d+:\d+\)?\n$/m)
    assert.equal((await json('status')).migrations.failed, 1)
    assert.equal((await error(6, ...file, '--rollback', '0.0.0')).code, 'CONFIRMATION_REQUIRED')
    assert.equal((await json(...file, '--rollback', '0.0.0', '--yes')).currentVersion, '0.0.0')
  }))

  test('prints what happens for people', withCli(async ({ base, text, write }) => {
    await write({ 'migrations.mjs': module })
    const lines = (await text('migrate', '--file', 'migrations.mjs', '--to', '1.0.0')).split('\n')
    assert.ok(lines.includes('1.0.0 Rename') && lines.includes('renaming'), lines.join('\n'))
    assert.equal(lines.at(-2), 'the data has version 1.0.0')
  }))

  test('refuses a module that does not export an array of migrations', withCli(async ({ error, write }) => {
    for (const [exported, found] of [['export default {}', 'an object'], ['export const other = []', 'undefined'], ['export default () => 5', '5']]) {
      await write({ [`${found}.mjs`]: exported! })
      const { code, message } = await error(2, 'migrate', '--file', `${found}.mjs`)
      assert.equal(code, 'INVALID_ARGUMENT')
      assert.match(message, new RegExp(`must be an array of migrations, got ${found}$`))
    }
  }))

  for (const args of [[], ['--json']]) {
    test(`runs to its end although nobody reads its ${args.length === 0 ? 'output' : 'log'} any more`, withCli(async ({ base, json, write }) => {
      await write({ 'migrations.mjs': `export default [{ version: '1.0.0', description: 'Talk', async up({ logger }) {
        for (let line = 0; line < 2000; line++) {
          logger.info('a line that is longer than it would have to be'.repeat(20))
          if (line % 100 === 0) await new Promise(setImmediate)
        }
      } }]` })
      const file = ['migrate', '--file', 'migrations.mjs', ...args]
      assert.equal((await cli(file, { cwd: base, onOutput: (close) => close() })).code, 0)
      assert.equal((await json('migrate', '--file', 'migrations.mjs', '--status')).currentVersion, '1.0.0')
    }))
  }
})

if (process.platform === 'linux') {
  test('a command without a working directory says so', withCli(async ({ base }) => {
    await mkdir(join(base, 'gone'))
    const command = ['-c', 'rmdir ../gone && exec "$0" "$1" status --json', process.execPath, bin]
    const { status, stderr } = spawnSync('sh', command, { cwd: join(base, 'gone'), encoding: 'utf8' })
    assert.deepEqual([status, JSON.parse(stderr).error.code], [1, 'IO_ERROR'])
  }))

  test('a path that is not valid Unicode is never replaced by another one', withApp(async ({ base, write }) => {
    await write({ 'migrations.mjs': 'export default []' })
    const inShell = (script: string, ...args: string[]) => {
      const command = ['-c', `name=$(printf 'not\\377unicode') && mkdir -p "$name" && ${script}`, process.execPath, bin, ...args]
      return spawnSync('sh', command, { cwd: base, encoding: 'utf8', env: environment() })
    }
    const shown = inShell('OCTOPROMPT_STORAGE_PATH=$name exec "$0" "$@"', 'projects', '--json')
    assert.deepEqual([shown.status, JSON.parse(shown.stderr).error.code], [4, 'NO_DATA'])
    const migrated = inShell('cd "$name" && exec "$0" "$@"', 'migrate', '--file', '../migrations.mjs', '--json')
    assert.deepEqual([migrated.status, JSON.parse(migrated.stderr).error.code], [2, 'USAGE'])
    assert.equal((await readdir(base)).length, 4)
  }))
}

describe('help', () => {
  test('of a command is printed by help COMMAND and by COMMAND --help', withCli(async ({ text, run }) => {
    assert.equal(await text('help', 'import'), await text('import', '--help'))
    assert.equal(await text('help'), await text('--help'))
    assert.equal((await run('help', 'nothing')).code, 2)
  }))

  test('explains each command by example', withCli(async ({ text }) => {
    const help = await text('--help')
    const listed = [...help.matchAll(/^ {2}([a-z]+) {2}/gm)].map(([, name]) => name!)
    const commands = listed.filter((name) => name !== 'help')
    assert.ok(commands.length >= 16, help)
    const texts = await Promise.all(commands.map((command) => text(command, '--help')))
    for (const [at, command] of commands.entries()) assert.ok(texts[at]!.includes(`$ octoprompt-storage ${command}`))
    assert.match(help, /Exit codes:/)
    assert.equal(await text('--version'), `octoprompt-storage ${manifest.version}\n`)
  }))

  if (spawnSync('bash', ['--version']).status === 0) {
    test('the completions for bash know the commands and the options of each', withCli(async ({ text }) => {
      const script = await text('completions', 'bash')
      const complete = (...words: string[]) => {
        const ask = `${script}
          COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
          words=$(complete -p octoprompt-storage)
          words=\${words#*-F }
          \${words%% *} octoprompt-storage "\${COMP_WORDS[COMP_CWORD]}" "\${COMP_WORDS[COMP_CWORD - 1]}"
          echo "\${COMPREPLY[@]}"`
        const { stdout, stderr } = spawnSync('bash', ['-c', ask, 'bash', 'octoprompt-storage', ...words], { encoding: 'utf8' })
        assert.equal(stderr, '')
        return stdout.trim()
      }
      assert.equal(complete('imp'), 'import')
      assert.equal(complete('import', 'app', '--pru'), '--prune')
      assert.equal(complete('status', '--color', 'al'), 'always')
      assert.equal(complete('help', 'rest'), 'restore')
    }))
  }

  test('includes completions for bash, zsh and fish', withCli(async ({ text }) => {
    for (const shell of ['bash', 'zsh', 'fish']) assert.match(await text('completions', shell), /octoprompt-storage/)
  }))
})
