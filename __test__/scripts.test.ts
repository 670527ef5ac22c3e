// What the scripts do with arguments for which there is nothing to do.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { withDirectory } from './support/index.js'

const script = (name: string) => join(__dirname, '../scripts', name)

test('npm test refuses a word that names neither a step nor a suite, instead of running everything', () => {
  for (const args of [['clipy'], ['node', 'versons']]) {
    const { status, stdout, stderr } = spawnSync(process.execPath, [script('test.mjs'), ...args], { encoding: 'utf8' })
    assert.equal(status, 1)
    assert.match(stderr, new RegExp(`No step and no suite has the name ${args.at(-1)}\\.`))
    assert.doesNotMatch(stdout, /✓/)
  }
})

test('the demo says so if a directory has no text file', withDirectory(async ({ base }) => {
  const { demonstrate } = await import(pathToFileURL(script('demo/story.mjs')).href)
  await assert.rejects(demonstrate({ directory: base, limit: 10, keep: false }), { message: `There is no text file in ${base}.` })
}))
