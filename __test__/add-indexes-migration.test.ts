import assert from 'node:assert/strict'
import { mkdir, readFile, readdir, rm, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { ProjectStorageV2, addIndexesMigration } from '../index.js'
import { caught, dataPath, filesPath, openFiles, projectsPath, readJson, setAside, withOldData } from './support/index.js'
import { dataOf, fingerprint, lay, withManagers, write } from './support/migrations.js'

const SAMPLE = 1718000000000
const UMLAUT = 1718000000001
const EMPTY = 1718000000002

/** Reads what a reader finds that knows only the two kinds of JSON files that the old package wrote. */
async function readAsOldPackage(base: string) {
  const projects = await readJson(projectsPath(base))
  const files: Record<string, Record<string, Record<string, unknown>>> = {}
  for (const id of Object.keys(projects)) files[id] = await readJson(filesPath(base, Number(id))).catch(() => ({}))
  return { projects, files }
}

/** Asks every index. */
async function answers(storage: ProjectStorageV2) {
  const files = storage.getFileStorage(SAMPLE)
  const ids = (found: { id: number }[]) => found.map(({ id }) => id)
  return {
    name: ids(await storage.findByName('Sample App')),
    path: ids(await storage.findByPath('C:\\work\\überprojekt')),
    created: ids(await storage.listByDateRange(SAMPLE, 1718086400000)),
    words: ids(await storage.search('日本')),
    recent: ids(await storage.getRecent(2)),
    latest: (await files.getByPath('src/greet.ts'))?.version,
    extension: (await files.getByExtension('md')).map(({ path }) => path),
    versions: (await files.getVersions(1718000001003)).map(({ version }) => version),
  }
}

const EXPECTED = {
  name: [SAMPLE, EMPTY],
  path: [UMLAUT],
  created: [SAMPLE, UMLAUT],
  words: [UMLAUT],
  latest: 4,
  extension: ['README.md', 'docs/guide with spaces.md'],
  versions: [1, 2, 3, 4],
}

const indexFiles = async (base: string) => (await readdir(join(dataPath(base), '.storage'))).filter((name) => name.startsWith('index-'))

async function assertAnswers(base: string) {
  const storage = new ProjectStorageV2({ basePath: base })
  const { recent, ...rest } = await answers(storage)
  assert.deepEqual(rest, EXPECTED)
  assert.equal(recent.length, 2)
  await storage.close()
}

const withOld = (work: Parameters<typeof withManagers>[0]) => withManagers(async (context) => {
  await lay(context.base)
  await work(context)
})

type Manage = Parameters<Parameters<typeof withManagers>[0]>[0]['manage']

/** Migrates, and returns those of the logged lines that the test wants. */
async function migrated(manage: Manage, wanted = (_line: string, _level: string) => true) {
  const lines: string[] = []
  const manager = manage({ logger: (line, level) => { if (wanted(line, level)) lines.push(line) } })
  manager.register(addIndexesMigration)
  await manager.migrate()
  return lines
}

describe('addIndexesMigration', () => {
  test('is version 1.0.0 and cannot be changed', () => {
    assert.equal(addIndexesMigration.version, '1.0.0')
    assert.ok(Object.isFrozen(addIndexesMigration) && addIndexesMigration.description.length > 10)
  })

  test('counts the records of old data and stores the indexes', withOld(async ({ base, manage }) => {
    const lines = await migrated(manage)
    assert.ok(lines.includes('indexed 3 projects and 23 files'), lines.join('\n'))
    assert.ok(lines.includes('1.0.0: 100 %'), lines.join('\n'))
    // Those of the projects, and those of each project's files.
    assert.equal((await indexFiles(base)).length, 4)
    await assertAnswers(base)
  }))

  test('changes nothing when it runs a second time, up or down', withOld(async ({ base }) => {
    const context = { basePath: base, version: '1.0.0', direction: 'up', logger: console, progress() {} } as const
    const silent = { ...context, logger: { info() {}, warn() {}, error() {} } }
    await addIndexesMigration.up(silent)
    const [data, indexes] = [await dataOf(base), await indexFiles(base)]
    await addIndexesMigration.up(silent)
    assert.deepEqual(await dataOf(base), data)
    assert.deepEqual(await indexFiles(base), indexes)
    await addIndexesMigration.down(silent)
    await addIndexesMigration.down(silent)
    assert.deepEqual(await dataOf(base), data)
  }))

  test('keeps the data readable in the old layout, both up and down', withOld(async ({ base, manage }) => {
    const before = await readAsOldPackage(base)
    const added = { lastSyncedAt: null, syncVersion: 0 }
    const expected = {
      projects: before.projects,
      files: Object.fromEntries(Object.entries(before.files).map(([id, files]) =>
        [id, Object.fromEntries(Object.entries(files).map(([id, file]) => [id, { ...file, ...added }]))])),
    }
    const manager = manage()
    manager.register(addIndexesMigration)
    await manager.migrate()
    assert.deepEqual(await readAsOldPackage(base), expected)
    await manager.rollback('0.0.0')
    assert.deepEqual(await readAsOldPackage(base), expected)
    assert.deepEqual(await indexFiles(base), [])
    assert.deepEqual(await manager.getState(), { currentVersion: '0.0.0', migrations: [] })
    await assertAnswers(base)
  }))

  test('changes no data file when it is rolled back', withOld(async ({ base, manage }) => {
    const manager = manage()
    manager.register(addIndexesMigration)
    await manager.migrate()
    const before = await dataOf(base)
    await manager.rollback('0.0.0')
    assert.deepEqual(await dataOf(base), before)
  }))

  test('lets queries give the same answers when the stored indexes are damaged or missing', withOld(async ({ base, manage }) => {
    await migrated(manage)
    const names = await indexFiles(base)
    for (const name of names) await writeFile(join(dataPath(base), '.storage', name), 'rubbish')
    await assertAnswers(base)
    for (const name of await indexFiles(base)) await unlink(join(dataPath(base), '.storage', name))
    await assertAnswers(base)
  }))

  test('sets aside records that break a rule, in full, and logs how many', withOld(async ({ base, manage }) => {
    const map = await readJson(projectsPath(base))
    map[99] = { id: 99, name: 42, marker: 'keep-every-byte-of-me' }
    await writeFile(projectsPath(base), JSON.stringify(map))
    const files = await readJson(filesPath(base, UMLAUT))
    files[98] = { id: 98, marker: 'and-of-me' }
    await writeFile(filesPath(base, UMLAUT), JSON.stringify(files))
    const lines = await migrated(manage, (_, level) => level === 'warn')
    assert.deepEqual(lines, ['set aside 2 records that broke a rule, in full, beside their files: *.corrupt-<time>'])
    assert.ok((await setAside(projectsPath(base), 'corrupt'))[0]!.includes('keep-every-byte-of-me'))
    assert.ok((await setAside(filesPath(base, UMLAUT), 'corrupt'))[0]!.includes('and-of-me'))
    await assertAnswers(base)
  }))

  test('counts and keeps files whose project is gone', withOld(async ({ base, manage }) => {
    const map = await readJson(projectsPath(base))
    delete map[EMPTY]
    delete map[UMLAUT]
    await writeFile(projectsPath(base), JSON.stringify(map))
    const lines = await migrated(manage)
    assert.ok(lines.includes('indexed 1 project and 23 files'), lines.join('\n'))
    assert.ok(await readFile(filesPath(base, UMLAUT)))
  }))

  test('indexes nothing in an empty directory', withManagers(async ({ manage }) => {
    const lines = await migrated(manage)
    assert.ok(lines.includes('indexed 0 projects and 0 files'), lines.join('\n'))
  }))

  test('skips whatever is not the directory of a project', withOld(async ({ base, manage }) => {
    const names = ['.DS_Store', '05', 'drafts']
    for (const name of names) await write(join(dataPath(base), 'project_data', name, 'files.json'), 'no JSON')
    const lines = await migrated(manage)
    assert.ok(lines.includes('indexed 3 projects and 23 files'), lines.join('\n'))
    for (const name of names) assert.deepEqual(await readdir(join(dataPath(base), 'project_data', name)), ['files.json'])
  }))

  test('reports each collection that it has checked, and warns of nothing if all records are sound', withOld(async ({ manage }) => {
    const lines = await migrated(manage, (line, level) => level === 'warn' || line.includes('%'))
    assert.deepEqual(lines, ['1.0.0: 25 %', '1.0.0: 50 %', '1.0.0: 75 %', '1.0.0: 100 %'])
  }))

  for (const direction of ['migrate', 'rollback'] as const) {
    test(`stops at the next collection if ${direction}() is aborted`, withOld(async ({ base, manage }) => {
      const controller = new AbortController()
      const lines: string[] = []
      const log = (line: string) => {
        lines.push(line)
        if (line === '1.0.0: 25 %') controller.abort()
      }
      const manager = manage({ logger: log })
      manager.register(addIndexesMigration)
      if (direction === 'rollback') {
        const other = manage()
        other.register(addIndexesMigration)
        await other.migrate()
      }
      const before = await dataOf(base)
      const error = await caught(manager[direction](direction === 'migrate' ? '1.0.0' : '0.0.0', { signal: controller.signal }))
      assert.deepEqual([error.code, lines.filter((line) => line.includes('%'))], ['ABORTED', ['1.0.0: 25 %']])
      assert.deepEqual(await dataOf(base), before)
    }))
  }

  for (const [what, code, block] of [
    ['the files of a project', 'IO_ERROR', (data: string) => mkdir(join(data, '7', 'files.json'), { recursive: true })],
    ['the directory of all files', 'ENOTDIR', async (data: string) => {
      await rm(data, { recursive: true })
      await writeFile(data, 'a file')
    }],
  ] as const) {
    test(`changes nothing and keeps nothing open if ${what} cannot be read`, withOld(async ({ base, manage }) => {
      await block(join(dataPath(base), 'project_data'))
      const before = await dataOf(base)
      const manager = manage()
      manager.register(addIndexesMigration)
      assert.equal((await caught(manager.migrate())).code, code)
      assert.deepEqual(await dataOf(base), before)
      assert.deepEqual((await openFiles(dataPath(base))) ?? [], [])
    }))
  }

  test('runs while a storage is open, and the storage keeps working', withOld(async ({ base, manage, open }) => {
    const storage = open()
    const project = await storage.create({ name: 'new', path: '/new' })
    const manager = manage()
    manager.register(addIndexesMigration)
    await manager.migrate()
    assert.deepEqual(await storage.findByName('new'), [project])
    await storage.update(project.id, { name: 'renamed' })
    assert.deepEqual(await storage.findByName('new'), [])
    await manager.rollback('0.0.0')
    assert.equal((await storage.findByName('renamed')).length, 1)
    assert.ok(Object.keys(await fingerprint(dataPath(base))).length > 0)
  }))
})

describe('data of the old package', () => {
  test('survives backup, migration, rollback and restore without loss', withOldData(async ({ base }) => {
    const { MigrationManager } = await import('../index.js')
    const manager = new MigrationManager(base, { logger: null })
    manager.register(addIndexesMigration)
    const before = await readAsOldPackage(base)
    await manager.backup('before')
    await manager.migrate()
    await manager.backup('after')
    await manager.rollback('0.0.0')
    await manager.restore('after')
    assert.equal((await manager.getState()).currentVersion, '1.0.0')
    await assertAnswers(base)
    await manager.restore('before')
    assert.deepEqual(await readAsOldPackage(base), before)
    assert.equal((await manager.getState()).currentVersion, '0.0.0')
    await assertAnswers(base)
    await manager.close()
  }))
})
