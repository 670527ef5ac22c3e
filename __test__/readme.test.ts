// The examples of the README do what they say.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { transformSync } from 'esbuild'
import { withDirectory } from './support/index.js'

const root = join(__dirname, '..')
const readme = readFileSync(join(root, 'README.md'), 'utf8')
const run = promisify(execFile)

const section = readme.slice(readme.indexOf('## A storage of your own'))
const example = section.slice(section.indexOf('```ts\n') + 6, section.indexOf('\n```\n') + 1)

test('the storage of your own is the one whose types are checked', () => {
  assert.equal(readFileSync(join(__dirname, 'types', 'readme.mts'), 'utf8'), example)
})

test('the storage of your own prints what its comments say', withDirectory(async ({ base }) => {
  const code = transformSync(example.replace('/tmp/try-notes', () => JSON.stringify(base).slice(1, -1)), { loader: 'ts' }).code
  assert.ok(code.includes(JSON.stringify(base)))
  const expected = [...example.matchAll(/^console\.log.* \/\/ (.*)$/gm)].map(([, printed]) => printed)
  assert.ok(expected.length > 0)
  const args = 'Bun' in globalThis ? ['-e', code] : ['--input-type=module', '-e', code]
  const { stdout } = await run(process.execPath, args, { cwd: root, env: { ...process.env, NO_COLOR: '1' } })
  // Runtimes print quotes each in their own way.
  const plain = (line: string) => line.replaceAll('"', "'")
  assert.deepEqual(stdout.trimEnd().split('\n').map(plain), expected)
}))
