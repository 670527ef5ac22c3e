import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { bin, cli, environment, withApp, withCli } from './support/cli.js'
import { fileInput, projectInput, until, withProject } from './support/index.js'

describe('pipes', () => {
  test('get the whole output, however large it is', withProject(async (storage, project, { base }) => {
    const content = 'line of text\n'.repeat(400_000)
    const { id } = await storage.addFile(project.id, fileInput('large', content))
    await storage.close()
    const { code, stdout } = await cli(['show', String(id), '--content'], { cwd: base })
    assert.equal(code, 0)
    assert.ok(stdout === content)
  }))

  test('may be closed early', withProject(async (storage, project, { base }) => {
    await storage.addFile(project.id, fileInput('large', 'port\n'.repeat(400_000)))
    await storage.close()
    const onOutput = (close: () => void) => close()
    const { code, stderr } = await cli(['search', 'port', '--json'], { cwd: base, onOutput })
    assert.deepEqual({ code, stderr }, { code: 0, stderr: '' })
  }))

  test('that are closed early do not hide that files were left out', withProject(async (storage, project, { base }) => {
    const files = storage.getFileStorage(project.id)
    await files.createMany(Array.from({ length: 3000 }, (_, at) => fileInput(`../${at}/${'long'.repeat(20)}`)))
    await storage.close()
    const onOutput = (close: () => void) => close()
    const { code, stderr } = await cli(['export', String(project.id), 'out'], { cwd: base, onOutput })
    assert.deepEqual({ code, stderr }, { code: 3, stderr: '' })
  }))

  test('get no colours unless --color asks for them', withApp(async ({ text }) => {
    assert.ok(!(await text('history', 'src/main.ts')).includes('\x1b'))
    assert.ok((await text('history', 'src/main.ts', '--color', 'always')).includes('\x1b[32m+export'))
  }))
})

test('stored text cannot send control characters to the terminal', withCli(async ({ open, run, json }) => {
  const storage = open()
  const project = await storage.create({ name: 'evil\x1b[2J\u202e', path: '/srv/\x1b]0;title\x07' })
  const path = 'src/\x1b[31mred\u009b2J'
  const { id } = await storage.addFile(project.id, fileInput(path, 'one\x1b[2J\r\ntwo\u202e'))
  await storage.createFileVersion(project.id, id, 'three\x1b[2J')
  await storage.close()
  const commands = [['projects'], ['files', String(project.id)], ['show', String(id)], ['history', String(id)], ['search', 'three'], ['projects', '--json'], ['files', '\x1b[2J']]
  for (const command of commands) {
    const { stdout, stderr } = await run(...command)
    assert.doesNotMatch(stdout + stderr, /[\0-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]/, command.join(' '))
  }
  assert.equal((await json('projects'))[0].name, 'evil\x1b[2J\u202e')
}))

/** A program that runs another one in a terminal. How it is called differs between systems. */
const script = (() => {
  if (process.platform !== 'linux') return undefined
  try {
    return execFileSync('script', ['--version'], { encoding: 'utf8' }).includes('util-linux') ? 'script' : undefined
  } catch {
    return undefined
  }
})()

if (script) {
  const quote = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`

  /** Runs a command in a terminal that is `columns` wide, and types an answer to its question. */
  async function inTerminal(cwd: string, columns: number, args: string[], env = {}, answer?: string, redirection = '') {
    const command = `stty cols ${columns} rows 24 && exec ${[process.execPath, bin, ...args].map(quote).join(' ')} ${redirection}`
    const options = ['--quiet', '--return', '--echo', 'never', '--command', command, '/dev/null']
    const child = spawn(script!, options, { cwd, env: environment({ TERM: 'xterm', SHELL: '/bin/sh', ...env }) })
    let screen = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => (screen += text))
    const ended = new Promise<number | null>((resolve) => child.on('close', resolve))
    if (answer !== undefined) {
      await until('the question', () => screen.includes('[y/N]'))
      child.stdin.write(answer)
    }
    return { code: await ended, screen: screen.replaceAll('\r\n', '\n') }
  }

  describe('a terminal', () => {
    test('gets tables that fit its width', withApp(async ({ base }) => {
      const { code, screen } = await inTerminal(base, 44, ['files', 'app'], { NO_COLOR: '1' })
      assert.equal(code, 0, screen)
      assert.ok(screen.split('\n').every((line) => line.length <= 44), screen)
      assert.ok(!screen.includes('\x1b['), screen)
    }))

    test('gets colours unless --color never turns them off', withApp(async ({ base }) => {
      assert.ok((await inTerminal(base, 100, ['projects'])).screen.includes('\x1b[2m'))
      assert.ok(!(await inTerminal(base, 100, ['projects', '--color', 'never'])).screen.includes('\x1b['))
    }))

    test('gets colours alone, not the file that an error is written to', withCli(async ({ base }) => {
      const ended = await inTerminal(base, 100, ['nothing'], {}, undefined, '2>errors')
      assert.equal(ended.code, 2)
      const errors = await readFile(join(base, 'errors'), 'utf8')
      assert.ok(errors.startsWith("error: unrecognized subcommand 'nothing'\n"), errors)
      const shown = await inTerminal(base, 100, ['nothing'], {}, undefined, '>output')
      assert.ok(shown.screen.includes('\x1b[31m'), shown.screen)
    }))

    test('gets coloured migrations if --color always overrules NO_COLOR', withApp(async ({ base, write }) => {
      await write({ 'migrations.mjs': "export default [{ version: '1.0.0', description: 'One', up() {} }]" })
      const status = ['migrate', '--file', 'migrations.mjs', '--status']
      assert.ok(!(await inTerminal(base, 100, status, { NO_COLOR: '1' })).screen.includes('\x1b[33m'))
      assert.ok((await inTerminal(base, 100, [...status, '--color', 'always'], { NO_COLOR: '1' })).screen.includes('\x1b[33m'))
    }))

    test('is asked for confirmation before a restore', withApp(async ({ base, text, json }) => {
      await text('backup', 'one')
      await text('import', 'app/src', '--name', 'another')
      const no = await inTerminal(base, 100, ['restore', 'one'], {}, 'n\n')
      assert.equal(no.code, 6, no.screen)
      assert.equal((await json('projects')).length, 2)
      const yes = await inTerminal(base, 100, ['restore', 'one'], {}, 'y\n')
      assert.equal(yes.code, 0, yes.screen)
      assert.equal((await json('projects')).length, 1)
    }))
  })
}

test('the list of files of an empty project says that there are none', withCli(async ({ open, text }) => {
  const storage = open()
  await storage.create(projectInput('empty'))
  await storage.close()
  assert.equal(await text('files', 'empty'), 'no files\n')
}))
