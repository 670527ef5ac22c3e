import assert from 'node:assert/strict'
import { readFile, readdir, rm, truncate, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { describe, test } from 'node:test'
import { MigrationManager } from '../index.js'
import type { ProjectStorageV2 } from '../index.js'
import {
  dataPath, fileInput, filesPath, projectsPath, readJson, setAside, warningOf, withOldData,
} from './support/index.js'

const SAMPLE = 1718000000000
const UMLAUT = 1718000000001
const EMPTY = 1718000000002
const GREET = 1718000001003

describe('data of the old package', () => {
  test('is read in place, with every project', withOldData(async ({ base, open }) => {
    const old = Object.values(await readJson(projectsPath(base)))
    assert.deepEqual(await open().list(), old)
  }))

  test('keeps every byte of content and every field, with defaults for those it lacks', withOldData(async ({ base, open }) => {
    const storage = open()
    for (const id of [SAMPLE, UMLAUT, EMPTY]) {
      const old = Object.values(await readJson(filesPath(base, id)))
      const expected = old.map((file) => ({ ...file, lastSyncedAt: null, syncVersion: 0 }))
      assert.deepEqual(await storage.getProjectFiles(id), expected.sort((a: any, b: any) => a.id - b.id))
    }
  }))

  test('belongs to the project beside whose files it lies if it does not say so', withOldData(async ({ base, open }) => {
    await edit(filesPath(base, SAMPLE), (map) => void delete map[GREET]!.projectId)
    assert.equal((await open().readProjectFile(SAMPLE, GREET))?.projectId, SAMPLE)
  }))

  test('is found through the indexes', withOldData(async ({ open }) => {
    const storage = open()
    const ids = (found: { id: number }[]) => found.map(({ id }) => id)
    assert.deepEqual(ids(await storage.findByName('Sample App')), [SAMPLE, EMPTY])
    assert.deepEqual(ids(await storage.findByPath('C:\\work\\überprojekt')), [UMLAUT])
    assert.deepEqual(ids(await storage.listByDateRange(SAMPLE, 1718086400000)), [SAMPLE, UMLAUT])
    assert.deepEqual(ids(await storage.search('日本')), [UMLAUT])
    assert.deepEqual(ids(await storage.getRecent(1)), [EMPTY])
    const files = storage.getFileStorage(SAMPLE)
    assert.equal((await files.getByPath('src/greet.ts'))?.version, 4)
    assert.equal((await files.getByPath('docs/guide with spaces.md'))?.size, 6043)
    assert.deepEqual((await files.getByExtension('.md')).map(({ path }) => path), ['README.md', 'docs/guide with spaces.md'])
    assert.deepEqual((await files.search('quotes.JSON')).map(({ path }) => path), ['src/quotes.json'])
  }))

  test('accepts a new version in a version chain', withOldData(async ({ open }) => {
    const files = open().getFileStorage(SAMPLE)
    assert.deepEqual((await files.getVersions(GREET)).map(({ version }) => version), [1, 2, 3, 4])
    const fifth = await files.createVersion(GREET, 'fifth')
    assert.deepEqual([fifth.version, fifth.originalFileId], [5, GREET])
    const versions = await files.getVersions(fifth.id)
    assert.deepEqual(versions.map(({ isLatest }) => isLatest), [false, false, false, false, true])
    assert.deepEqual(versions.map(({ nextId }) => nextId), [...versions.slice(1).map(({ id }) => id), null])
  }))

  test('gains a version chain for a file that had none', withOldData(async ({ open }) => {
    const files = open().getFileStorage(UMLAUT)
    const second = await files.createVersion(1718000001012, 'second')
    assert.deepEqual([second.version, second.prevId, second.originalFileId], [2, 1718000001012, 1718000001012])
  }))
})

describe('after close the old package reads everything again', () => {
  test('from plain maps by id that hold nothing else', withOldData(async ({ base, open }) => {
    const storage = open()
    const before = { projects: await storage.readProjects(), files: await storage.readProjectFiles(SAMPLE) }
    const project = await storage.create({ name: 'new', path: '/new' })
    const file = await storage.addFile(project.id, fileInput('a.ts'))
    const version = await storage.createFileVersion(SAMPLE, GREET, 'fifth')
    const fourth = await storage.readProjectFile(SAMPLE, version.prevId!)
    await storage.close()
    assert.deepEqual(await readJson(projectsPath(base)), { ...before.projects, [project.id]: project })
    assert.deepEqual(await readJson(filesPath(base, project.id)), { [file.id]: file })
    assert.deepEqual(await readJson(filesPath(base, SAMPLE)), {
      ...before.files,
      [fourth!.id]: fourth,
      [version.id]: version,
    })
  }))

  test('the directory holds only JSON and one folder of the engine', withOldData(async ({ base, open }) => {
    const storage = open()
    await storage.create({ name: 'new', path: '/new' })
    await storage.close()
    assert.deepEqual((await readdir(dataPath(base))).sort(), ['.storage', 'project_data', 'projects.json'])
  }))

  test('data that was only read is unchanged', withOldData(async ({ base, open }) => {
    const before = await readJson(filesPath(base, UMLAUT))
    const storage = open()
    await storage.getProjectFiles(UMLAUT)
    await storage.close()
    const after = await readJson(filesPath(base, UMLAUT))
    assert.deepEqual(Object.keys(after), Object.keys(before))
    for (const [id, file] of Object.entries(before)) {
      const { lastSyncedAt = null, syncVersion = 0, ...rest } = after[id]!
      assert.deepEqual({ ...rest, lastSyncedAt, syncVersion }, { ...file, lastSyncedAt: null, syncVersion: 0 })
    }
  }))
})

/** Changes the content of a file on disk before the storage opens. */
const edit = async (path: string, change: (map: Record<string, Record<string, unknown>>) => void) => {
  const map = await readJson(path)
  change(map)
  await writeFile(path, JSON.stringify(map, null, 2))
}

describe('stored values', () => {
  test('are never rescaled, not even small times', withOldData(async ({ base, open }) => {
    await edit(projectsPath(base), (map) => Object.assign(map[SAMPLE]!, { created: 5, updated: 7 }))
    const storage = open()
    const project = await storage.getById(SAMPLE)
    assert.deepEqual([project?.created, project?.updated], [5, 7])
    assert.equal((await storage.update(SAMPLE, { description: 'x' }))?.created, 5)
  }))

  test('stay as they are when written back through writeProjects', withOldData(async ({ base, open }) => {
    await edit(projectsPath(base), (map) => Object.assign(map[SAMPLE]!, { created: 5, updated: 7 }))
    const storage = open()
    await storage.writeProjects(await storage.readProjects())
    const project = await storage.getById(SAMPLE)
    assert.deepEqual([project?.created, project?.updated], [5, 7])
  }))

  test('survive an update, even in unknown fields', withOldData(async ({ base, open }) => {
    await edit(projectsPath(base), (map) => Object.assign(map[SAMPLE]!, { starred: { by: ['me'] } }))
    const storage = open()
    await storage.update(SAMPLE, { description: 'x' })
    await storage.close()
    const project = (await readJson(projectsPath(base)))[SAMPLE]
    assert.deepEqual([project?.starred, project?.description], [{ by: ['me'] }, 'x'])
  }))

  test('survive a whole map, even in unknown fields that the map lacks', withOldData(async ({ base, open }) => {
    await edit(projectsPath(base), (map) => Object.assign(map[SAMPLE]!, { starred: { by: ['me'] } }))
    const storage = open()
    const { starred: _, ...project } = (await storage.readProjects())[SAMPLE] as any
    await storage.writeProjects({ ...await storage.readProjects(), [SAMPLE]: { ...project, description: 'x' } })
    await storage.close()
    const stored = (await readJson(projectsPath(base)))[SAMPLE]
    assert.deepEqual([stored?.starred, stored?.description], [{ by: ['me'] }, 'x'])
  }))

  test('are read from any valid JSON layout', withOldData(async ({ base, open }) => {
    const map = await readJson(projectsPath(base))
    await writeFile(projectsPath(base), `\n\t ${JSON.stringify(map)} \r\n`)
    assert.deepEqual(await open().readProjects(), map)
  }))
})

describe('a bad record', () => {
  const bad = { id: 99, name: 42, marker: 'keep-every-byte-of-me' }

  test('is set aside in full and reported, and the rest is served', withOldData(async ({ base, open }) => {
    await edit(projectsPath(base), (map) => void (map[99] = bad))
    const storage = open()
    const warning = await warningOf('RECORD_SET_ASIDE', () => storage.list())
    assert.ok(warning.message.includes('99'), warning.message)
    assert.deepEqual((await storage.list()).map(({ id }) => id), [SAMPLE, UMLAUT, EMPTY])
    assert.equal(await storage.getById(99), null)
    await storage.close()
    const texts = await setAside(projectsPath(base), 'corrupt')
    assert.equal(texts.length, 1)
    assert.ok(texts[0]!.includes('keep-every-byte-of-me') && texts[0]!.includes('42'))
    assert.equal('99' in (await readJson(projectsPath(base))), false)
  }))

  test('among the files does not affect the others', withOldData(async ({ base, open }) => {
    await edit(filesPath(base, SAMPLE), (map) => void (map[98] = { ...bad, id: 98 }))
    const storage = open()
    await warningOf('RECORD_SET_ASIDE', () => storage.getProjectFiles(SAMPLE))
    assert.equal((await storage.getProjectFiles(SAMPLE)).length, 13)
    await storage.close()
    assert.ok((await setAside(filesPath(base, SAMPLE), 'corrupt')).some((text) => text.includes('keep-every-byte-of-me')))
  }))

  for (const [what, record] of [['null', null], ['a string', 'text'], ['an array', [1]]] as const) {
    test(`that is ${what} is set aside`, withOldData(async ({ base, open }) => {
      await edit(projectsPath(base), (map) => void (map[99] = record as any))
      const storage = open()
      await warningOf('RECORD_SET_ASIDE', () => storage.list())
      assert.equal((await storage.list()).length, 3)
    }))
  }

  test('whose id differs from its key is set aside', withOldData(async ({ base, open }) => {
    await edit(projectsPath(base), (map) => void (map[99] = { ...map[SAMPLE], id: 100 }))
    const storage = open()
    await warningOf('RECORD_SET_ASIDE', () => storage.list())
    assert.equal((await storage.list()).length, 3)
  }))
})

describe('a broken file', () => {
  for (const [what, text] of [
    ['cut short', '{"1718000000000": {"id": 17180000'],
    ['not JSON', 'keep me\0\u0001'],
    ['an array', '["keep me"]'],
  ] as const) {
    test(`is set aside whole while the projects are served: ${what}`, withOldData(async ({ base, open }) => {
      await writeFile(filesPath(base, SAMPLE), text)
      const storage = open()
      await warningOf('RECORD_SET_ASIDE', () => storage.getProjectFiles(SAMPLE))
      assert.equal((await storage.list()).length, 3)
      assert.equal((await storage.getProjectFiles(UMLAUT)).length, 10)
      assert.deepEqual(await setAside(filesPath(base, SAMPLE), 'corrupt'), [text])
      await storage.addFile(SAMPLE, fileInput('new.ts'))
      await storage.close()
      assert.equal(Object.keys(await readJson(filesPath(base, SAMPLE))).length, 1)
    }))
  }

  test('that was cut off keeps the earlier versions and says how many, and a revert makes one the latest', withOldData(async ({ base, open }) => {
    const text = JSON.stringify(await readJson(filesPath(base, SAMPLE)), null, 2)
    const versions = Object.values(await readJson(filesPath(base, SAMPLE))).filter(({ path }) => path === 'src/greet.ts')
    const third = versions.find(({ version }) => version === 3)!
    await writeFile(filesPath(base, SAMPLE), text.slice(0, text.indexOf(`"${third.id}": {`)))
    const files = open().getFileStorage(SAMPLE)
    const { message } = await warningOf('RECORD_SET_ASIDE', () => files.list())
    assert.ok(message.includes(`documents recovered from it: ${(await files.list()).length};`), message)
    assert.deepEqual((await files.getVersions(GREET)).map(({ version }) => version), [1, 2])
    assert.equal(await files.getByPath('src/greet.ts'), null)
    const reverted = await files.revertToVersion(GREET, 2)
    assert.deepEqual(await files.getByPath('src/greet.ts'), reverted)
    const chain = (await files.getVersions(GREET)).map(({ version, nextId, isLatest }) => ({ version, nextId, isLatest }))
    assert.deepEqual(chain.map(({ version, isLatest }) => [version, isLatest]), [[1, false], [2, false], [3, true]])
    assert.deepEqual(chain.slice(1).map(({ nextId }) => nextId), [reverted.id, null])
  }))

  test('becomes a map again at close, even without a write', withOldData(async ({ base, open }) => {
    await writeFile(filesPath(base, SAMPLE), '["keep me"]')
    const storage = open()
    await warningOf('RECORD_SET_ASIDE', () => storage.getProjectFiles(SAMPLE))
    await storage.close()
    assert.deepEqual(await readJson(filesPath(base, SAMPLE)), {})
  }))

  test('of projects does not affect their files', withOldData(async ({ base, open }) => {
    const text = (await readFile(projectsPath(base), 'utf8')).slice(0, -40)
    await writeFile(projectsPath(base), text)
    const storage = open()
    await warningOf('RECORD_SET_ASIDE', () => storage.list())
    assert.deepEqual(await setAside(projectsPath(base), 'corrupt'), [text])
    await storage.close()
    assert.equal(Object.keys(await readJson(filesPath(base, SAMPLE))).length, 13)
  }))
})

describe('a manual edit', () => {
  test('made while closed is adopted and reported', withOldData(async ({ base, open }) => {
    const first = open()
    await first.update(SAMPLE, { description: 'x' })
    await first.close()
    await edit(projectsPath(base), (map) => Object.assign(map[SAMPLE]!, { description: 'by hand' }))
    const second = open()
    await warningOf('SNAPSHOT_CHANGED', () => second.list())
    assert.equal((await second.getById(SAMPLE))?.description, 'by hand')
  }))

  test('made after the data was adopted survives the close', withOldData(async ({ base, open }) => {
    const storage = open()
    await storage.list()
    await edit(projectsPath(base), (map) => {
      Object.assign(map[SAMPLE]!, { name: 'by hand' })
      delete map[UMLAUT]
    })
    await storage.close()
    const names = Object.values(await readJson(projectsPath(base))).map(({ name }) => name)
    assert.deepEqual([names[0], names.length], ['by hand', 2])
    assert.deepEqual(await setAside(projectsPath(base), 'edited'), [])
  }))
})

describe('a project that the old package deleted', () => {
  const deleted = (work: (context: { base: string; open(): ProjectStorageV2 }) => Promise<void>) => withOldData(async (context) => {
    const { base, open } = context
    const first = open()
    await first.getProjectFiles(SAMPLE)
    await first.getProjectFiles(UMLAUT)
    await first.close()
    await edit(projectsPath(base), (map) => delete map[SAMPLE])
    await rm(dirname(filesPath(base, SAMPLE)), { recursive: true })
    await work(context)
  })

  test('is gone with its files', deleted(async ({ open }) => {
    const storage = open()
    assert.deepEqual(await storage.readProjectFiles(SAMPLE), {})
    assert.deepEqual((await storage.list()).map(({ id }) => id), [UMLAUT, EMPTY])
    assert.notDeepEqual(await storage.readProjectFiles(UMLAUT), {})
    assert.equal((await storage.verify()).ok, true)
    await storage.writeProjectFiles(SAMPLE, {})
  }))

  test('does not prevent a migration or a backup', deleted(async ({ base, open }) => {
    const manager = new MigrationManager(base, { logger: null })
    manager.register({ version: '1.0.0', description: 'one', up() {} })
    await manager.migrate()
    await manager.backup('after')
    await manager.close()
    assert.deepEqual((await open().list()).map(({ id }) => id), [UMLAUT, EMPTY])
  }))

  test('is reported as damage if only its files are gone, with advice to repair', withOldData(async ({ base, open }) => {
    const first = open()
    await first.getProjectFiles(SAMPLE)
    await first.close()
    await rm(filesPath(base, SAMPLE))
    await assert.rejects(open().getProjectFiles(SAMPLE), { code: 'CORRUPT_DATA', message: /missing.*repair/ })
  }))

  test('may have kept its entry: deleteProjectData then takes its files for deleted', withOldData(async ({ base, open }) => {
    const first = open()
    await first.getProjectFiles(SAMPLE)
    await first.close()
    await rm(dirname(filesPath(base, SAMPLE)), { recursive: true })
    const storage = open()
    await storage.deleteProjectData(SAMPLE)
    assert.deepEqual(await storage.readProjectFiles(SAMPLE), {})
    const file = await storage.addFile(SAMPLE, fileInput('new.ts'))
    await storage.close()
    assert.deepEqual(await readJson(filesPath(base, SAMPLE)), { [file.id]: file })
  }))
})

describe('a file that was removed before newer writes reached it', () => {
  test('is still served, and close writes it again', withOldData(async ({ base, open }) => {
    const storage = open({ cacheTTL: 1 })
    await storage.list()
    await storage.close()
    const again = open({ cacheTTL: 1 })
    await again.update(SAMPLE, { name: 'newer' })
    await rm(projectsPath(base))
    const names = (await again.list()).map(({ name }) => name)
    assert.deepEqual([names[0], names.length], ['newer', 3])
    await again.close()
    assert.equal(Object.keys(await readJson(projectsPath(base))).length, 3)
  }))
})

describe('close', () => {
  test('rejects if a file cannot be brought up to date, and still closes', withOldData(async ({ base, open }) => {
    const storage = open()
    await storage.list()
    await storage.close()
    const again = open()
    await again.update(SAMPLE, { name: 'newer' })
    await truncate(projectsPath(base))
    await assert.rejects(again.close(), { code: 'CORRUPT_DATA', path: projectsPath(base) })
    await assert.rejects(again.list(), { code: 'CLOSED' })
  }))

  test('rewrites a file that was removed while the storage was open', withOldData(async ({ base, open }) => {
    const storage = open()
    await storage.list()
    await storage.close()
    const again = open()
    await again.update(SAMPLE, { name: 'newer' })
    await rm(projectsPath(base))
    await warningOf('SNAPSHOT_CHANGED', () => again.close())
    const names = Object.values(await readJson(projectsPath(base))).map(({ name }) => name)
    assert.deepEqual([names[0], names.length], ['newer', 3])
  }))
})
