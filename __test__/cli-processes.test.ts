import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { withApp } from './support/cli.js'
import { runChild, until } from './support/index.js'

describe('commands beside other processes', () => {
  test('every command sees whole batches and breaks nothing while another process writes', withApp(async ({ base, json, jsonLines, error, write, open }) => {
    let acknowledged = 0
    let stop = () => {}
    const writer = runChild('writer.mjs', [base, 'batches', 'writer', '0'], {
      onLine: (line, kill) => {
        stop = kill
        if ('batch' in JSON.parse(line)) acknowledged += 1
      },
    })
    try {
      await until('the first batch', () => acknowledged > 0)
      for (let round = 0; round < 2; round++) {
        const before = acknowledged
        const files = await jsonLines('files', 'project of writer')
        assert.ok(files.length >= before * 5 && files.length % 5 === 0, `${files.length} files, ${before} batches`)
        await write({ 'app/src/main.ts': `export const port = ${round}\n` })
        assert.equal((await json('import', 'app')).changed, 1)
        assert.equal((await json('verify')).ok, true)
        await json('checkpoint')
        await json('backup')
      }
      // These commands need the data to themselves.
      for (const command of [['repair', '--yes'], ['restore', (await json('backups'))[0].name, '--yes']]) {
        assert.equal((await error(5, ...command, '--lock-timeout', '0.2')).code, 'LOCK_TIMEOUT')
      }
    } finally {
      stop()
      await writer
    }
    assert.equal((await json('history', 'src/main.ts')).length, 4)
    const report = await open().verify()
    assert.ok(report.ok, String(report))
  }))

  test('two concurrent imports of one directory store each file once', withApp(async ({ json, jsonLines, write }) => {
    await write(Object.fromEntries(Array.from({ length: 50 }, (_, at) => [`app/src/${at}.ts`, `${at}`])))
    const both = await Promise.all([json('import', 'app'), json('import', 'app')])
    assert.equal(both[0].created + both[1].created, 50)
    assert.equal((await jsonLines('files', 'app', '--all-versions')).length, 53)
  }))
})
