// The examples of docs/command-line.md print what that page shows.
import assert from 'node:assert/strict'
import { readFileSync, realpathSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { withCli } from './support/cli.js'

const guide = readFileSync(join(__dirname, '../docs/command-line.md'), 'utf8')

/** The examples and the files that they need, in order. */
const parts = [...guide.matchAll(/<!-- file (?<path>\S+)\n(?<content>[^]*?)-->|```console\n(?<console>[^]*?)```/g)]

/** Replaces what differs from run to run. */
const steady = (text: string, base: string) =>
  text
    .replaceAll(JSON.stringify(base).slice(1, -1), '/home/me')
    .replaceAll(base, '/home/me')
    .replaceAll(/\\+/g, '/')
    .replaceAll(/\b\d{13}\b/g, '1795495378037')
    .replaceAll(/\d{4}-\d\d-\d\d \d\d:\d\dZ/g, '2026-11-25 23:38Z')
    .replaceAll(/\d+\.\d KiB/g, '2.1 KiB')
    .replaceAll(/"log":\{.*/g, '')

const words = (line: string) => [...line.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain!)

test('every example of the guide prints what the guide shows', withCli(async ({ base, run, write }) => {
  const home = realpathSync(base)
  let examples = 0
  let exit: number | null = 0
  for (const { groups } of parts) {
    if (groups!.path) {
      await write({ [groups!.path]: groups!.content! })
      continue
    }
    for (const example of groups!.console!.split(/^\$ /m).slice(1)) {
      const end = example.indexOf('\n')
      const [command, ...args] = words(example.slice(0, end).replaceAll('/home/me', home))
      let printed: string = `${exit}\n`
      if (command !== 'echo') {
        const ended = await run(...args)
        const { stdout, stderr, code } = ended
        exit = code
        const logged = stderr.split('\n').filter((line) => !line.startsWith('{"log"')).join('\n')
        printed = stdout + logged
        examples += 1
      }
      assert.equal(steady(printed, home), example.slice(end + 1), example.slice(0, end))
    }
  }
  assert.ok(examples > 20)
}))

test('the guide lists every command and every exit code', () => {
  for (const code of [0, 1, 2, 3, 4, 5, 6]) assert.match(guide, new RegExp(`^\\| ${code} \\|`, 'm'))
  const source = readFileSync(join(__dirname, '../src/cli/arguments.rs'), 'utf8')
  const list = source.slice(source.indexOf('pub enum Command'), source.indexOf('pub struct FilesArguments'))
  const commands = [...list.matchAll(/^ {4}([A-Z][a-z]+)/gm)].map(([, name]) => name!.toLowerCase())
  assert.ok(commands.length >= 16)
  for (const command of commands) assert.match(guide, new RegExp(`^\\| \`${command}[\` ]`, 'm'))
})
