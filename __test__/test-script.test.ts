// What `npm test` does with its arguments.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { test } from 'node:test'

test('npm test refuses a word that names neither a step nor a suite, instead of running everything', () => {
  for (const args of [['clipy'], ['node', 'versons']]) {
    const script = join(__dirname, '../scripts/test.mjs')
    const { status, stdout, stderr } = spawnSync(process.execPath, [script, ...args], { encoding: 'utf8' })
    assert.equal(status, 1)
    assert.match(stderr, new RegExp(`No step and no suite has the name ${args.at(-1)}\\.`))
    assert.doesNotMatch(stdout, /✓/)
  }
})
