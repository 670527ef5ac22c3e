// Migrations while other processes work.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { Worker } from 'node:worker_threads'
import { caught, named, projectInput, projectsPath, runChild, stop, until } from './support/index.js'
import { holder, noting, withManagers, write } from './support/migrations.js'

describe('while another process migrates', () => {
  test('writes fail with a LOCK_TIMEOUT that names it, and reads continue', withManagers(async ({ base, open }) => {
    const storage = open({ lockTimeout: 50 })
    const project = await storage.create(projectInput('before'))
    const other = await holder(base, 'wait')
    const error = await caught(storage.update(project.id, { name: 'changed' }))
    assert.deepEqual([error.code, error.holder, error.outcome], ['LOCK_TIMEOUT', other.pid, 'none'])
    assert.equal((await storage.getById(project.id))?.name, 'before')
    assert.deepEqual((await other.goOn())[0].versions, ['1.0.0'])
    await storage.update(project.id, { name: 'afterwards' })
    // Each process generates its own ids, so either of the two may be lower.
    assert.deepEqual((await storage.list()).map(({ name }) => name).sort(), ['afterwards', 'made by the migration'])
  }))

  test('errors say so if that process is stopped', withManagers(async ({ base, open, manage }) => {
    const storage = open({ lockTimeout: 50 })
    await storage.create(projectInput('before'))
    const other = await holder(base, 'wait')
    const stopped = await stop(other.pid)
    const manager = manage({ lockTimeout: 50 })
    const errors = [await caught(storage.create(projectInput())), await caught(manager.migrate()), await caught(manager.backup())]
    await other.kill()
    for (const { code, holder, message } of errors) {
      assert.equal(code, 'LOCK_TIMEOUT')
      if (stopped) assert.equal(holder, other.pid)
      const advice = new RegExp(`process ${holder}, which is stopped, (holds it|has held it for \\d+ ms); continue it \\(kill -CONT ${holder}\\) or end it$`)
      assert.equal(advice.test(message), stopped, message)
    }
  }))

  test('instances wait for it side by side, each until its own lockTimeout', withManagers(async ({ base, open }) => {
    const other = await holder(base, 'wait')
    // Neither of the two has the database open yet.
    const patient = open().list()
    const hasty = open({ lockTimeout: 50 })
    for (const call of [() => hasty.list(), () => hasty.create(projectInput())]) assert.equal((await caught(call())).code, 'LOCK_TIMEOUT')
    await other.goOn()
    assert.deepEqual((await patient).map(({ name }) => name), ['made by the migration'])
  }))

  test('a write that waits long enough succeeds after the migration', withManagers(async ({ base, open }) => {
    const storage = open()
    const project = await storage.create(projectInput('before'))
    const other = await holder(base, 'wait')
    const written = storage.update(project.id, { name: 'afterwards' })
    await other.goOn()
    assert.equal((await written)?.name, 'afterwards')
  }))

  test('an open storage sees the data as before and can write once the migration has failed', withManagers(async ({ base, open }) => {
    const storage = open()
    const project = await storage.create(projectInput('before'))
    const other = await holder(base, 'fail')
    const written = storage.create(projectInput('meanwhile'))
    assert.deepEqual(await other.goOn(), [{ error: 'it fails' }])
    await written
    assert.deepEqual((await storage.list()).map(({ name }) => name), ['before', 'meanwhile'])
    assert.equal((await storage.update(project.id, { name: 'afterwards' }))?.name, 'afterwards')
  }))

  test('a manager that waits for it logs which process it is', withManagers(async ({ base, manage }) => {
    const other = await holder(base, 'wait')
    let log: (line: string) => void
    const logged = new Promise<string>((resolve) => (log = resolve))
    const manager = manage({ logger: (line) => log(line) })
    manager.register(noting([], '1.0.0'))
    const migrated = manager.migrate()
    const line = await logged
    await other.goOn()
    assert.deepEqual((await migrated).versions, [])
    assert.match(line, new RegExp(`^waiting at most 30 s for ${named(other.pid)} to release .+lock$`))
  }))

  test('a backup that waits for it logs so, and is not made if it is then aborted', withManagers(async ({ base, manage }) => {
    const other = await holder(base, 'wait')
    const lines: string[] = []
    const controller = new AbortController()
    const manager = manage({ logger: (line) => { lines.push(line); controller.abort() } })
    assert.equal((await caught(manager.backup('one', { signal: controller.signal }))).code, 'ABORTED')
    assert.match(lines.join(), new RegExp(`^waiting at most 30 s for ${named(other.pid)} to release .+lock$`))
    await other.goOn()
    assert.deepEqual(await manager.listBackups(), [])
  }))

  test('migrate fails after lockTimeout, naming the process and how long it has held the lock', withManagers(async ({ base, manage }) => {
    const other = await holder(base, 'wait')
    const manager = manage({ lockTimeout: 50 })
    manager.register(noting([], '1.0.0'))
    const error = await caught(manager.migrate())
    assert.deepEqual([error.code, error.holder], ['LOCK_TIMEOUT', other.pid])
    assert.match(error.message, new RegExp(`process ${other.pid} has held it for \\d+ ms`))
    await other.goOn()
    assert.deepEqual((await manager.migrate()).versions, [])
  }))

  test('an open storage refuses writes after the process is killed, until it is reopened', withManagers(async ({ base, open }) => {
    const storage = open({ lockTimeout: 200 })
    const project = await storage.create(projectInput('before'))
    const other = await holder(base, 'wait')
    await other.kill()
    const error = await caught(storage.update(project.id, { name: 'changed' }))
    assert.equal(error.code, 'MIGRATION_FAILED', error.message)
    assert.equal((await storage.getById(project.id))?.name, 'before')
    // Closing reports that the files could not be brought up to date.
    await storage.close().catch(() => {})
    const again = open()
    assert.deepEqual((await again.list()).map(({ name }) => name), ['before'])
    assert.equal((await again.update(project.id, { name: 'afterwards' }))?.name, 'afterwards')
  }))

  test('an edit after the process is killed is not adopted, and is put back with the rest', withManagers(async ({ base, open }) => {
    const storage = open({ lockTimeout: 200 })
    const project = await storage.create(projectInput('before'))
    const other = await holder(base, 'wait')
    await other.kill()
    await write(projectsPath(base), JSON.stringify({ [project.id]: { ...project, name: 'edited' } }))
    storage.clearCache()
    for (const read of [storage.list(), storage.changes({ from: 0 }).next()]) {
      const error = await caught(read)
      assert.equal(error.code, 'MIGRATION_FAILED', error.message)
    }
    await storage.close().catch(() => {})
    assert.deepEqual((await open().list()).map(({ name }) => name), ['before'])
  }))

  test('migrate restores the data after the process is killed, and open storages can write again', withManagers(async ({ base, open, manage }) => {
    const storage = open()
    const project = await storage.create(projectInput('before'))
    const other = await holder(base, 'wait')
    await other.kill()
    const manager = manage()
    const seen: string[] = []
    manager.register(noting([], '1.0.0', { up: async () => void seen.push(...(await storage.list()).map(({ name }) => name)) }))
    assert.deepEqual((await manager.migrate()).versions, ['1.0.0'])
    assert.deepEqual(seen, ['before'])
    assert.equal((await storage.update(project.id, { name: 'afterwards' }))?.name, 'afterwards')
  }))
})

describe('several processes that migrate at once', () => {
  test('run each migration exactly once', withManagers(async ({ base, open }) => {
    const children = await Promise.all([1, 2, 3, 4].map(() => runChild('migrator.mjs', [base, 'count'])))
    for (const { code, stderr } of children) assert.equal(code, 0, stderr)
    const said = children.map(({ lines }) => lines.map((line) => JSON.parse(line)))
    const ran = said.flat().filter(({ up }) => up).map(({ up }) => up)
    assert.deepEqual(ran.sort(), ['1.0.0', '1.1.0', '1.2.0'])
    assert.ok(said.every((lines) => lines.at(-1).currentVersion === '1.2.0'), JSON.stringify(said))
    assert.deepEqual((await open().list()).map(({ name }) => name).sort(), ['1.0.0', '1.1.0', '1.2.0'])
  }))
})

describe('a worker thread that is terminated in the middle of a migration', () => {
  test('leaves the data as before, and its process can migrate', withManagers(async ({ base, open, manage }) => {
    await write(join(base, 'data', 'notes.txt'), 'notes of somebody')
    const storage = open()
    await storage.create(projectInput('before'))
    const manager = manage()
    for (const round of Array(10).keys()) {
      const worker = new Worker(join(__dirname, 'support', 'migrating-worker.mjs'), { workerData: base })
      await once(worker, 'message')
      assert.ok((await storage.list()).length > 1, `round ${round}`)
      await worker.terminate()
      // The thread releases what it held once it is gone. What it was about to write would be committed before this project.
      await manager.migrate()
      const { id } = await storage.create(projectInput('afterwards'))
      assert.deepEqual((await storage.list()).map(({ name }) => name), ['before', 'afterwards'], `round ${round}`)
      assert.equal(await readFile(join(base, 'data', 'notes.txt'), 'utf8'), 'notes of somebody')
      await storage.delete(id)
    }
    manager.register(noting([], '1.0.0'))
    assert.deepEqual((await manager.migrate()).versions, ['1.0.0'])
  }))
})
