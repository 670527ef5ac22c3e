import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { describe, test } from 'node:test'
import { IndexManager } from '../index.js'
import type { Project, ProjectStorageV2 } from '../index.js'
import { caught, fileInput, filesPath, projectInput, withDirectory, withOldData } from './support/index.js'

const STORAGE = 'data/project_storage'

const withBoth = (work: (indexes: IndexManager, storage: ProjectStorageV2, project: Project, base: string) => Promise<void>) =>
  withDirectory(async ({ base, open }) => {
    const storage = open()
    const project = await storage.create(projectInput('Red Apple'))
    await using indexes = new IndexManager(base, STORAGE)
    await work(indexes, storage, project, base)
  })

const ofProjects = ['projects_by_name', 'projects_by_path', 'projects_by_created', 'projects_by_updated', 'projects_by_words']
const ofFiles = ['files_by_path', 'files_by_extension', 'files_by_version']

describe('the built-in indexes of a project storage', () => {
  test('are listed before those filled by hand', withBoth(async (indexes, _storage, { id }) => {
    await indexes.createIndex({ name: 'a', type: 'hash', fields: ['a'] })
    const listed = await indexes.listIndexes()
    assert.deepEqual(listed.map(({ name }) => name), [...ofProjects, ...ofFiles.map((name) => `${name}@${id}`), 'a'])
    assert.deepEqual(listed[0], { name: 'projects_by_name', type: 'hash', fields: ['name'], unique: false, sparse: true, collection: 'projects.json' })
    assert.equal(listed[5]?.collection, `project_data/${id}/files.json`)
    assert.equal(listed[8]?.collection, undefined)
  }))

  test('are listed for an empty storage, but not for another directory', withDirectory(async ({ base }) => {
    await using indexes = new IndexManager(base, STORAGE)
    assert.deepEqual((await indexes.listIndexes()).map(({ name }) => name), ofProjects)
    await using other = new IndexManager(base, 'data/other')
    assert.deepEqual(await other.listIndexes(), [])
    assert.deepEqual(await other.query('projects_by_name', 'a'), [])
  }))

  test('report their configuration and statistics', withBoth(async (indexes, storage, project) => {
    await storage.create(projectInput('Red Apple'))
    await storage.addFile(project.id, fileInput('a.ts'))
    const found = await indexes.getIndexStats('projects_by_name')
    assert.equal(found?.config.name, 'projects_by_name')
    assert.deepEqual({ ...found.stats, created: 0, updated: 0 }, { uniqueKeys: 1, totalEntries: 2, avgEntriesPerKey: 2, created: 0, updated: 0 })
    assert.ok(found.stats.created.getTime() > 0 && found.stats.updated >= found.stats.created)
    assert.equal((await indexes.getIndexStats(`files_by_path@${project.id}`))?.stats.totalEntries, 1)
    assert.equal(await indexes.getIndexStats('files_by_path@99'), null)
    assert.equal(await indexes.getIndexStats('files_by_path'), null)
    assert.equal(await indexes.getIndexStats(`files_by_path@0${project.id}`), null)
  }))

  test('answer from the live data', withBoth(async (indexes, storage, project) => {
    assert.deepEqual(await indexes.query('projects_by_name', 'Red Apple'), [project.id])
    assert.deepEqual(await indexes.searchText('projects_by_words', 'app'), [project.id])
    assert.deepEqual(await indexes.queryRange('projects_by_created', new Date(0), new Date()), [project.id])
    const file = await storage.addFile(project.id, fileInput('src/a.ts', 'one'))
    const second = await storage.createFileVersion(project.id, file.id, 'two')
    for (const [name, key] of [['files_by_path', 'src/a.ts'], ['files_by_extension', '.ts'], ['files_by_extension', 'ts']]) {
      for (const _ of [1, 2]) assert.deepEqual(await indexes.query(`${name}@${project.id}`, key!), [second.id], `${name} ${key}`)
    }
    assert.deepEqual(await indexes.query(`files_by_version@${project.id}`, [file.id, 2]), [second.id])
    assert.deepEqual(await indexes.queryRange(`files_by_version@${project.id}`, [file.id], [file.id]), [file.id, second.id])
    await storage.update(project.id, { name: 'Pear' })
    assert.deepEqual(await indexes.query('projects_by_name', 'Red Apple'), [])
    assert.deepEqual(await indexes.query('projects_by_name', 'Pear'), [project.id])
    await storage.delete(project.id)
    assert.deepEqual(await indexes.query(`files_by_path@${project.id}`, 'src/a.ts'), [])
    assert.equal(await indexes.getIndexStats(`files_by_path@${project.id}`), null)
  }))

  test('refuse queries that their type cannot answer, and name the index', withBoth(async (indexes, _storage, { id }) => {
    const error = await caught(indexes.queryRange(`files_by_path@${id}`, 'a', 'b'))
    assert.equal(error.code, 'INDEX_TYPE')
    assert.ok(error.message.includes(`files_by_path@${id} is of type hash`), error.message)
  }))

  test('cannot be changed by hand', withBoth(async (indexes, storage, project) => {
    for (const name of ['projects_by_name', `files_by_path@${project.id}`, 'files_by_path@99']) {
      for (const call of [
        () => indexes.createIndex({ name, type: 'hash', fields: ['a'] }),
        () => indexes.dropIndex(name),
        () => indexes.addToIndex(name, 1, { name: 'x' }),
        () => indexes.removeFromIndex(name, project.id),
        () => indexes.rebuildIndex(name, []),
      ]) {
        const error = await caught(call())
        assert.equal(error.code, 'INVALID_ARGUMENT')
        assert.match(error.message, /kept by the storage of .*\.json.*rebuildIndexes\(\)/)
      }
    }
    assert.deepEqual(await storage.findByName('Red Apple'), [project])
  }))

  test('are rebuilt by rebuildIndexes', withBoth(async (indexes, storage, project) => {
    const file = await storage.addFile(project.id, fileInput('a.ts'))
    const name = `files_by_path@${project.id}`
    const before = (await indexes.getIndexStats(name))!.stats.updated
    while (Date.now() <= before.getTime()) await new Promise((resolve) => setImmediate(resolve))
    await storage.rebuildIndexes()
    assert.ok((await indexes.getIndexStats(name))!.stats.updated > before)
    assert.ok((await indexes.getIndexStats('projects_by_name'))!.stats.updated > before)
    assert.deepEqual(await indexes.query(name, 'a.ts'), [file.id])
    assert.deepEqual(await storage.findByName('Red Apple'), [project])
  }))

  test('are rebuilt by rebuildIndexes although one file is damaged, which it reports', withDirectory(async ({ base, open }) => {
    const before = open()
    const [damaged, sound] = [await before.create(projectInput('damaged')), await before.create(projectInput('sound'))]
    for (const { id } of [damaged, sound]) await before.addFile(id, fileInput('a.ts'))
    await before.close()
    await writeFile(filesPath(base, damaged.id), '')
    await using indexes = new IndexManager(base, STORAGE)
    const updated = async () => (await indexes.getIndexStats(`files_by_path@${sound.id}`))!.stats.updated.getTime()
    const first = await updated()
    while (Date.now() <= first) await new Promise((resolve) => setImmediate(resolve))
    assert.equal((await caught(open().rebuildIndexes())).code, 'CORRUPT_DATA')
    assert.ok((await updated()) > first)
  }))

  test('cover the data of the old package', withOldData(async ({ base, open }) => {
    await using indexes = new IndexManager(base, STORAGE)
    const projects = await open().list()
    assert.ok(projects.length > 0)
    for (const { id, name } of projects) assert.ok((await indexes.query('projects_by_name', name)).includes(id))
    const files = (await indexes.listIndexes()).filter(({ name }) => name.startsWith('files_by_path@'))
    assert.equal(files.length, projects.length)
  }))
})

describe('an index filled by hand beside a storage', () => {
  test('survives writes to the storage and reopening', withBoth(async (indexes, storage, project, base) => {
    await indexes.createIndex({ name: 'by_owner', type: 'hash', fields: ['owner'] })
    await indexes.addToIndex('by_owner', project.id, { owner: 'ada' })
    await storage.update(project.id, { name: 'other' })
    await indexes.close()
    await storage.close()
    await using again = new IndexManager(base, STORAGE)
    assert.deepEqual(await again.query('by_owner', 'ada'), [project.id])
    assert.deepEqual(await again.query('projects_by_name', 'other'), [project.id])
  }))
})
