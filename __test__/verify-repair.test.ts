import assert from 'node:assert/strict'
import { mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { IndexManager, MigrationManager } from '../index.js'
import { caught, dataPath, fileInput, projectInput, runChild, withDirectory, withProject, withStorage, type Context } from './support/index.js'

const reserved = (base: string) => join(dataPath(base), '.storage')

/** Changes one byte of the newest journal, at the place of `text`. */
async function damageJournal(base: string, text: string) {
  const names = (await readdir(reserved(base))).filter((name) => name.startsWith('journal-')).sort()
  const path = join(reserved(base), names.at(-1)!)
  const bytes = await readFile(path)
  const at = bytes.lastIndexOf(text)
  assert.ok(at > 0, `no ${text} in ${path}`)
  bytes[at]! ^= 1
  await writeFile(path, bytes)
}

/** Leaves three projects, the last two of which are only in the journal of a process that is gone. */
async function killed({ base }: Context) {
  await runChild('leaver.mjs', [base, 'exit'])
}

describe('verify', () => {
  test('counts every document of a sound storage and finds no problems', withProject(async (storage, { id }) => {
    await storage.addFile(id, fileInput('a.ts'))
    const report = await storage.verify()
    assert.deepEqual({ ok: report.ok, documents: report.documents, problems: report.problems }, { ok: true, documents: 2, problems: [] })
    assert.deepEqual(report.collections.map(({ path, documents }) => [path, documents]), [
      [`project_data/${id}/files.json`, 1],
      ['projects.json', 1],
    ])
  }))

  test('creates nothing for a storage that was never written to', withStorage(async (storage, { base }) => {
    assert.equal((await storage.verify()).ok, true)
    assert.deepEqual(await readdir(base), [])
  }))

  test('returns a report that prints as aligned text', withProject(async (storage) => {
    const lines = String(await storage.verify()).split('\n')
    assert.match(lines[0]!, /: ok$/)
    assert.match(lines[1]!, /^ {2}collection {5}documents {2}bytes$/)
    assert.match(lines[2]!, /^ {2}projects\.json {10}1 {6}0$/)
  }))

  test('finds no problems while others write', withStorage(async (storage) => {
    let writing = true
    const writer = (async () => {
      for (let n = 0; writing; n++) {
        const { id } = await storage.create(projectInput(`p${n}`))
        if (n % 5 === 0) await storage.getFileStorage(id).create(fileInput(`f${n}`))
        if (n % 7 === 0) await storage.delete(id)
      }
    })()
    for (let n = 0; n < 25; n++) {
      const report = await storage.verify()
      assert.deepEqual(report.problems, [], String(report))
    }
    writing = false
    await writer
  }))

  test('finds no problems beside the indexes of an IndexManager and a backup', withProject(async (storage, _project, { base }) => {
    const indexes = new IndexManager(base, join('data', 'project_storage'))
    await indexes.createIndex({ name: 'by a', type: 'btree', fields: ['a'] })
    await indexes.addToIndex('by a', 7, { a: 1 })
    await indexes.addToIndex('by a', 'eight', { a: 1, id: 'another' })
    const migrations = new MigrationManager(base, { logger: null })
    await migrations.backup()
    const report = await storage.verify()
    assert.deepEqual(report.problems, [], String(report))
    await migrations.close()
    await indexes.close()
  }))

  test('reports files that the engine has not adopted', withDirectory(async ({ base, open }) => {
    const first = open()
    const { id } = await first.create(projectInput())
    await first.addFile(id, fileInput('a'))
    await first.close()
    await rm(join(dataPath(base), 'projects.json'))
    await rm(reserved(base), { recursive: true })
    await mkdir(reserved(base))
    const storage = open()
    assert.deepEqual((await storage.verify()).problems.map(({ code }) => code), ['NOT_ADOPTED'])
    assert.deepEqual(await storage.list(), [])
  }))

  test('is rejected after close, as is repair', withStorage(async (storage) => {
    await storage.close()
    assert.equal((await caught(storage.verify())).code, 'CLOSED')
    assert.equal((await caught(storage.repair())).code, 'CLOSED')
  }))
})

describe('damage', () => {
  test('that keeps a storage from opening is found by verify and fixed by repair', withDirectory(async (context) => {
    await killed(context)
    await damageJournal(context.base, '"p3"')
    const storage = context.open()
    assert.equal((await caught(storage.list())).code, 'CORRUPT_DATA')
    const report = await storage.verify()
    assert.equal(report.ok, false)
    assert.deepEqual(report.problems.map(({ severity, code }) => [severity, code]), [['error', 'JOURNAL_DAMAGED']])
    assert.match(String(report), /error {2}JOURNAL_DAMAGED {2}\.storage\/journal-\d+\.jsonl:\d+ {2}batch \d+ is damaged/)
    const repaired = await storage.repair()
    assert.ok(repaired.ok && repaired.changed && !repaired.before.ok && repaired.after.ok, String(repaired))
    // Where the system has no number for each boot, nothing proves that the last one was acknowledged.
    const last = process.platform === 'linux' ? ['p4'] : []
    assert.deepEqual((await storage.list()).map(({ name }) => name), ['p0', 'p1', 'p2', ...last])
    await storage.create(projectInput('after'))
    assert.equal((await storage.verify()).ok, true)
    const copies = await readdir(join(repaired.copies!, 'storage'))
    assert.ok(copies.some((name) => name.startsWith('journal-')))
  }))

  test('in the list of databases is found and fixed too', withProject(async (storage, project, { base }) => {
    await writeFile(join(base, 'data', '.databases.json'), '{')
    assert.deepEqual((await storage.verify()).problems.map(({ code }) => code), ['RECORD_DAMAGED'])
    await storage.repair()
    assert.equal((await storage.verify()).ok, true)
    assert.deepEqual(await storage.list(), [project])
  }))
})

describe('the state of migrations', () => {
  const damages: [string, (path: string) => Promise<unknown>, RegExp][] = [
    ['damaged', (path) => writeFile(path, '{'), /not valid JSON.*restore this file or a backup/],
    ['written by another program', (path) => writeFile(path, '{"version":3}'), /currentVersion is not a string.*restore/],
    ['a directory', (path) => mkdir(path), /it is a directory, not a file; move it elsewhere/],
  ]
  for (const [what, damage, message] of damages) {
    test(`is reported by verify if it is ${what}`, withProject(async (storage, _project, { base }) => {
      await damage(join(base, 'data', '.migration-state.json'))
      const report = await storage.verify()
      assert.deepEqual([report.ok, report.problems.map(({ code, path }) => [code, path])], [false, [['RECORD_DAMAGED', 'data/.migration-state.json']]])
      assert.match(report.problems[0]!.message, message)
    }))
  }
})

describe('repair', () => {
  test('changes nothing in a sound storage and lets its calls continue', withProject(async (storage, project) => {
    const pending = storage.create(projectInput('before'))
    const repairing = Promise.all([storage.repair(), storage.repair()])
    const meanwhile = storage.create(projectInput('meanwhile'))
    for (const report of await repairing) assert.deepEqual([report.ok, report.changed, report.copies], [true, false, null])
    await Promise.all([pending, meanwhile])
    assert.deepEqual((await storage.list()).map(({ name }) => name), [project.name, 'before', 'meanwhile'])
  }))

  test('waits for other instances for at most lockTimeout', withProject(async (storage, _project, { open }) => {
    const other = open({ lockTimeout: 50 })
    await other.list()
    assert.equal((await caught(other.repair())).code, 'LOCK_TIMEOUT')
    assert.equal((await other.list()).length, 1)
    await storage.close()
    assert.equal((await other.repair()).ok, true)
  }))

  test('leaves a manual edit for the next use to adopt', withDirectory(async ({ base, open }) => {
    const first = open()
    const { id } = await first.create(projectInput())
    await first.close()
    const path = join(dataPath(base), 'projects.json')
    await writeFile(path, (await readFile(path, 'utf8')).replace('Sample', 'Edited'))
    const storage = open()
    assert.deepEqual((await storage.verify()).problems.map(({ code }) => code), ['SNAPSHOT_CHANGED'])
    assert.equal((await storage.repair()).ok, true)
    assert.equal((await storage.getById(id))?.name, 'Edited')
  }))
})
