// A migration that fails, or whose process dies, leaves the data byte for byte as it was.
import assert from 'node:assert/strict'
import { chmod, mkdir, readFile, rename, rm, stat, symlink, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { BaseStorage } from '../index.js'
import type { MigrationContext, ProjectStorageV2 } from '../index.js'
import { z } from 'zod'
import { caught, dataPath, filesPath, projectInput, projectsPath, runChild } from './support/index.js'
import { dataOf, lay, noting, statePath, withManagers, write } from './support/migrations.js'
import type { ManagerContext } from './support/migrations.js'

const SAMPLE = 1718000000000
const OTHER = 1718000000001

class Notes extends BaseStorage<{ id: number; text: string; created: number; updated: number }> {
  constructor(basePath: string, dataDir = 'data/notes') {
    const note = z.object({ id: z.number(), text: z.string(), created: z.number(), updated: z.number() })
    super(z.record(z.string(), note), note, dataDir, { basePath })
  }
  protected getIndexPath() {
    return join(this.basePath, this.dataDir, 'notes.json')
  }
  protected getEntityPath() {
    return null
  }
}

/** Opens and closes a storage: after that, the engine has the data and the JSON files are up to date. */
async function adopt(open: () => ProjectStorageV2) {
  const storage = open()
  for (const { id } of await storage.list()) await storage.getProjectFiles(id)
  await storage.create({ name: 'new', path: '/new' })
  await storage.close()
}

const withData = (work: (context: ManagerContext) => Promise<void>) =>
  withManagers(async (context) => {
    await lay(context.base)
    await work(context)
  })

/** What each migration does before it throws. */
const CHANGES: [string, (context: MigrationContext, storage: ProjectStorageV2) => Promise<unknown>][] = [
  ['changes nothing', async () => {}],
  ['creates projects', (_, storage) => Promise.all([1, 2, 3].map((n) => storage.create(projectInput(`n${n}`))))],
  ['updates a project', (_, storage) => storage.update(SAMPLE, { name: 'changed', description: 'x'.repeat(5_000) })],
  ['deletes a project with its files', (_, storage) => storage.delete(SAMPLE)],
  ['deletes everything', (_, storage) => storage.deleteAll()],
  ['rewrites all files', (_, storage) => storage.writeProjectFiles(SAMPLE, {})],
  ['creates versions', (_, storage) => storage.createFileVersion(SAMPLE, 1718000001003, 'fifth')],
  ['writes and checkpoints', async (_, storage) => { await storage.update(SAMPLE, { name: 'changed' }); await storage.close() }],
  ['edits a collection by hand', ({ basePath }) => writeFile(projectsPath(basePath), '{}')],
  ['edits a collection by hand that the engine then adopts', async ({ basePath }, storage) => {
    await storage.update(OTHER, { name: 'changed' })
    await writeFile(projectsPath(basePath), '{}')
    await storage.close()
  }],
  ['removes the file of a collection', ({ basePath }) => unlink(filesPath(basePath, OTHER))],
  ['removes a directory of the database', ({ basePath }) => rm(join(dataPath(basePath), 'project_data'), { recursive: true })],
  ['changes foreign files', async ({ basePath }) => {
    await writeFile(join(basePath, 'data', 'notes.txt'), 'changed')
    await writeFile(join(basePath, 'data', 'tree', 'empty.txt'), 'no longer')
  }],
  ['removes foreign files and directories', async ({ basePath }) => {
    await unlink(join(basePath, 'data', 'remove-me.bin'))
    await rm(join(basePath, 'data', 'tree'), { recursive: true })
    await rm(join(basePath, 'data', 'empty'), { recursive: true })
  }],
  ['adds foreign files and directories', async ({ basePath }) => {
    await write(join(basePath, 'data', 'a', 'b', 'c', 'd.txt'), 'd')
    await mkdir(join(basePath, 'data', 'x', 'y'), { recursive: true })
    await write(join(dataPath(basePath), 'project_data', 'stray.json'), '{}')
  }],
  ['renames a foreign directory', ({ basePath }) => rename(join(basePath, 'data', 'tree'), join(basePath, 'data', 'forest'))],
  ['puts a directory where a file was, and a file where a directory was', async ({ basePath }) => {
    await unlink(join(basePath, 'data', 'notes.txt'))
    await write(join(basePath, 'data', 'notes.txt', 'inside'), 'x')
    await rm(join(basePath, 'data', 'tree'), { recursive: true })
    await writeFile(join(basePath, 'data', 'tree'), 'a file')
  }],
  ['creates a database', async ({ basePath }) => {
    const notes = new Notes(basePath)
    await notes.create({ text: 'a note' })
    await notes.close()
  }],
  ['opens a database outside data/', async ({ basePath }) => {
    const notes = new Notes(basePath, 'elsewhere/notes')
    await notes.create({ text: 'a note' })
    await notes.close()
  }],
  ['overwrites the state with garbage', ({ basePath }) => writeFile(statePath(basePath), 'rubbish')],
]

describe('a migration that fails leaves the data byte for byte as before', () => {
  for (const [what, change] of CHANGES) {
    for (const adopted of [true, false]) {
      test(`when it ${what}, on data that ${adopted ? 'the engine' : 'the old package'} wrote`, withData(async ({ base, manage, open }) => {
        if (adopted) await adopt(open)
        const before = await dataOf(base)
        const error = new Error('it fails')
        const manager = manage()
        manager.register(noting([], '1.0.0', {
          async up(context) {
            const storage = open()
            await change(context, storage)
            throw error
          },
        }))
        assert.equal(await caught(manager.migrate()), error)
        assert.deepEqual(await dataOf(base), before)
        // A new instance shows the same data as before, and can write.
        const storage = open()
        const names = (await storage.list()).map(({ name }) => name)
        assert.equal(names.length, adopted ? 4 : 3)
        assert.equal((await storage.getProjectFiles(SAMPLE)).length, 13)
        assert.ok(await storage.update(SAMPLE, { description: 'afterwards' }))
        assert.deepEqual((await manager.getState()).migrations.map(({ success, error }) => [success, error]), [[false, 'it fails']])
        const notes = new Notes(base)
        assert.deepEqual(await notes.list(), [])
        await notes.close()
      }))
    }
  }

  test('open storages see it as before, with writes that no checkpoint has covered', withData(async ({ manage, open }) => {
    const storage = open()
    const project = await storage.create(projectInput())
    const file = await storage.addFile(project.id, { name: 'a', path: 'a.ts', content: 'first' })
    const before = [await storage.readAll(), await storage.readProjectFiles(project.id), await storage.getProjectFiles(SAMPLE)]
    const manager = manage()
    manager.register(noting([], '1.0.0', {
      async up() {
        await storage.update(project.id, { name: 'changed' })
        await storage.createFileVersion(project.id, file.id, 'second')
        await storage.delete(SAMPLE)
        throw new Error('no')
      },
    }))
    await caught(manager.migrate())
    assert.deepEqual([await storage.readAll(), await storage.readProjectFiles(project.id), await storage.getProjectFiles(SAMPLE)], before)
    assert.deepEqual(await storage.findByName('changed'), [])
    assert.deepEqual((await storage.getFileStorage(project.id).getByPath('a.ts'))?.version, 1)
    assert.equal((await storage.createFileVersion(project.id, file.id, 'third')).version, 2)
    await storage.close()
    assert.deepEqual((await open().getProjectFiles(project.id)).map(({ content }) => content), ['first', 'third'])
  }))

  test('no write that this process made before the migration began is lost', withManagers(async ({ manage, open }) => {
    const storage = open()
    let ended = false
    let written: number[] = []
    const writing = (async () => {
      while (!ended) written.push((await storage.create(projectInput('beside the migrations'))).id)
    })()
    try {
      for (let run = 1; run <= 5; run++) {
        const manager = manage()
        manager.register(noting([], '1.0.0', { up: () => Promise.reject(new Error('stopped')) }))
        const before = [...written]
        assert.equal((await caught(manager.migrate())).message, 'stopped')
        const left = new Set((await storage.list()).map(({ id }) => id))
        assert.deepEqual(before.filter((id) => !left.has(id)), [])
        written = written.filter((id) => left.has(id))
      }
    } finally {
      ended = true
      await writing
    }
    assert.equal((await storage.verify()).ok, true)
  }))

  test('changes by earlier migrations of the same run are kept', withData(async ({ base, manage, open }) => {
    const manager = manage()
    const change = async (text: string) => {
      await writeFile(join(base, 'data', 'notes.txt'), text)
      await open().create(projectInput(text))
    }
    manager.register(noting([], '1.0.0', { up: () => change('first') }))
    manager.register(noting([], '1.1.0', { up: () => change('second').then(() => { throw new Error('no') }) }))
    await caught(manager.migrate())
    assert.equal(await readFile(join(base, 'data', 'notes.txt'), 'utf8'), 'first')
    assert.deepEqual((await open().list()).map(({ name }) => name).slice(3), ['first'])
  }))

  test('a rollback that fails leaves it as before too', withData(async ({ base, manage }) => {
    const manager = manage()
    manager.register(noting([], '1.0.0', {
      up: ({ basePath }) => writeFile(join(basePath, 'data', 'notes.txt'), 'migrated'),
      down: async ({ basePath }) => { await unlink(join(basePath, 'data', 'notes.txt')); throw new Error('no') },
    }))
    await manager.migrate()
    const before = await dataOf(base)
    await caught(manager.rollback('0.0.0'))
    assert.deepEqual(await dataOf(base), before)
    assert.equal((await manager.getState()).currentVersion, '1.0.0')
  }))

  test('file modes and symlinks are as before', withData(async ({ base, manage }) => {
    if (process.platform === 'win32') return
    const notes = join(base, 'data', 'notes.txt')
    await chmod(notes, 0o640)
    await symlink('notes.txt', join(base, 'data', 'link'))
    const manager = manage()
    manager.register(noting([], '1.0.0', { async up() { await unlink(notes); await write(notes, 'new'); throw new Error('no') } }))
    await caught(manager.migrate())
    assert.equal((await stat(notes)).mode & 0o777, 0o640)
    assert.equal(await readFile(join(base, 'data', 'link'), 'utf8'), 'notes of somebody')
  }))

  test('the migration succeeds once it is fixed and tried again', withData(async ({ base, manage, open }) => {
    let broken = true
    const manager = manage()
    manager.register(noting([], '1.0.0', {
      async up() {
        await open().create(projectInput('made by the migration'))
        if (broken) throw new Error('no')
      },
    }))
    for (let n = 0; n < 3; n++) await caught(manager.migrate())
    broken = false
    await manager.migrate()
    const storage = open()
    assert.equal((await storage.findByName('made by the migration')).length, 1)
    assert.ok(await readFile(statePath(base), 'utf8'))
  }))
})

describe('a process killed in the middle of a migration', () => {
  // Each line stands for one more change that was made.
  for (const adopted of [true, false]) {
    const author = adopted ? 'the engine' : 'the old package'
    test(`leaves the data byte for byte as before, on data that ${author} wrote`, withData(async ({ base, open, manage }) => {
      if (adopted) await adopt(open)
      for (const count of [1, 2, 3, 4, 6, 7, 8, 9, 10, 14, 19, 30]) {
        const before = await dataOf(base)
        let seen = 0
        const { signal, stderr, lines } = await runChild('migrator.mjs', [base, 'spoil'], {
          onLine: (_line, kill) => { if (++seen === count) kill() },
        })
        assert.equal(signal, 'SIGKILL', stderr)
        assert.ok(lines.length >= count)
        // The next opening restores the data before anything is served.
        const storage = open()
        const projects = await storage.list()
        assert.equal(projects.length, adopted ? 4 : 3)
        await storage.close()
        const after = await dataOf(base)
        if (adopted) {
          // The first migration of the run succeeded and stays applied.
          assert.deepEqual(after, { ...before, 'first.txt': after['first.txt'] })
          assert.ok(after['first.txt'])
        } else {
          for (const name of Object.keys(before)) if (!name.startsWith('project_storage/')) assert.equal(after[name], before[name], name)
        }
        const { currentVersion, migrations } = await manage().getState()
        assert.deepEqual([currentVersion, migrations.length], ['1.0.0', 1])
      }
    }))
  }

  test('leaves the data as before when it ended itself with process.exit', withData(async ({ base, open, manage }) => {
    await adopt(open)
    const before = await dataOf(base)
    const { code, stderr } = await runChild('migrator.mjs', [base, 'exit'])
    assert.equal(code, 7, stderr)
    // Reading the state is enough.
    assert.equal((await manage().getState()).currentVersion, '0.0.0')
    assert.deepEqual(await dataOf(base), before)
    assert.equal((await open().list()).length, 4)
    assert.deepEqual(await dataOf(base), before)
  }))

  test('lets the next manager restore the data and then migrate', withData(async ({ base, manage, open }) => {
    await adopt(open)
    await runChild('migrator.mjs', [base, 'spoil'], { onLine: (line, kill) => { if (JSON.parse(line).step === 5) kill() } })
    const manager = manage()
    const seen: unknown[] = []
    manager.register(noting([], '1.0.0'))
    manager.register(noting([], '1.1.0', {
      up: async ({ basePath }) => void seen.push(await readFile(join(basePath, 'data', 'notes.txt'), 'utf8'), (await open().list()).length),
    }))
    assert.deepEqual((await manager.migrate()).versions, ['1.1.0'])
    assert.deepEqual(seen, ['notes of somebody', 4])
  }))
})
