// The examples of the README do what they say.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { withDirectory } from './support/index.js'

const root = join(__dirname, '..')
const readme = readFileSync(join(root, 'README.md'), 'utf8')
const run = promisify(execFile)

test('the storage of your own prints what its comments say', withDirectory(async ({ base }) => {
  const section = readme.slice(readme.indexOf('## A storage of your own'))
  const example = section.slice(section.indexOf('```js\n') + 6, section.indexOf('\n```\n'))
  const code = example.replace('/tmp/try-notes', () => JSON.stringify(base).slice(1, -1))
  assert.notEqual(code, example)
  const expected = [...example.matchAll(/^console\.log.* \/\/ (.*)$/gm)].map(([, printed]) => printed)
  assert.ok(expected.length > 0)
  const args = 'Bun' in globalThis ? ['-e', code] : ['--input-type=module', '-e', code]
  const { stdout } = await run(process.execPath, args, { cwd: root, env: { ...process.env, NO_COLOR: '1' } })
  // Runtimes print quotes each in their own way.
  const plain = (line: string) => line.replaceAll('"', "'")
  assert.deepEqual(stdout.trimEnd().split('\n').map(plain), expected)
}))
