import assert from 'node:assert/strict'
import { mkdtemp, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { ProjectFilesStorageSchema, ProjectsStorageSchema, ValidationError, projectStorage } from '../index.js'
import type { StorageSchema } from '../index.js'
import {
  fileInput, fileRecord, projectRecord, projectsPath, readJson, runChild, withDirectory, withProject, withStorage,
} from './support/index.js'

describe('projects', () => {
  test('an empty storage reads as an empty map', withStorage(async (storage) => {
    assert.deepEqual(await storage.readProjects(), {})
  }))

  test('writeProjects stores the map and gives it back', withStorage(async (storage) => {
    const map = { 1: projectRecord(1), 2: projectRecord(2) }
    assert.deepEqual(await storage.writeProjects(map), map)
    assert.deepEqual(await storage.readProjects(), map)
    assert.deepEqual(await storage.list(), Object.values(map))
  }))

  test('writeProjects deletes what the map lacks', withStorage(async (storage) => {
    await storage.writeProjects({ 1: projectRecord(1), 2: projectRecord(2) })
    await storage.writeProjects({ 2: projectRecord(2) })
    assert.deepEqual(Object.keys(await storage.readProjects()), ['2'])
    assert.equal(await storage.getById(1), null)
  }))

  test('writeProjects stores `updated` as given', withStorage(async (storage) => {
    await storage.writeProjects({ 1: projectRecord(1, { updated: 1_700_000_000_000 }) })
    await storage.writeProjects({ 1: projectRecord(1, { name: 'b', updated: 1_600_000_000_000 }) })
    assert.equal((await storage.getById(1))?.updated, 1_600_000_000_000)
  }))

  test('writeProjects of a map with one bad project changes nothing', withStorage(async (storage) => {
    const map = { 1: projectRecord(1) }
    await storage.writeProjects(map)
    const bad = { 1: projectRecord(1, { name: 'b' }), 2: { ...projectRecord(2), name: 5 } } as any
    await assert.rejects(storage.writeProjects(bad), (error: any) => {
      assert.equal(error.code, 'VALIDATION_ERROR')
      assert.deepEqual(error.issues.map((issue: any) => issue.path.map(String)), [['2', 'name']])
      return true
    })
    assert.deepEqual(await storage.readProjects(), map)
  }))

  test('writeProjects refuses a key that is not the id', withStorage(async (storage) => {
    await assert.rejects(storage.writeProjects({ 1: projectRecord(2) }), { code: 'VALIDATION_ERROR' })
    assert.deepEqual(await storage.readProjects(), {})
  }))

  test('changing a map that was read does not change what is stored', withProject(async (storage, project) => {
    const map = await storage.readProjects()
    delete map[project.id]
    assert.deepEqual(await storage.readProjects(), { [project.id]: project })
  }))
})

describe('files', () => {
  test('readProjectFiles returns an empty map for a missing project', withStorage(async (storage) => {
    assert.deepEqual(await storage.readProjectFiles(5), {})
  }))

  test('writeProjectFiles stores the map with its version chains as given', withProject(async (storage, { id }) => {
    const map = {
      11: fileRecord(11, id, { nextId: 12, isLatest: false }),
      12: fileRecord(12, id, { version: 2, prevId: 11, originalFileId: 11, content: 'next' }),
    }
    assert.deepEqual(await storage.writeProjectFiles(id, map), map)
    assert.deepEqual(await storage.readProjectFiles(id), map)
    assert.deepEqual(await storage.getFileVersions(id, 12), Object.values(map))
  }))

  test('writeProjectFiles needs no project', withStorage(async (storage) => {
    const map = { 11: fileRecord(11, 77) }
    await storage.writeProjectFiles(77, map)
    assert.deepEqual(await storage.readProjectFiles(77), map)
    assert.deepEqual(await storage.getProjectFileArray(77), Object.values(map))
  }))

  test('writeProjectFiles deletes what the map lacks', withProject(async (storage, { id }) => {
    await storage.writeProjectFiles(id, { 11: fileRecord(11, id), 12: fileRecord(12, id) })
    await storage.writeProjectFiles(id, { 12: fileRecord(12, id) })
    assert.deepEqual(Object.keys(await storage.readProjectFiles(id)), ['12'])
  }))

  test('writeProjectFiles of a map with a bad file changes nothing', withProject(async (storage, { id }) => {
    const map = { 11: fileRecord(11, id) }
    await storage.writeProjectFiles(id, map)
    const bad = { 12: fileRecord(12, id), 13: fileRecord(13, id, { content: 5 as any }) }
    await assert.rejects(storage.writeProjectFiles(id, bad), { code: 'VALIDATION_ERROR' })
    assert.deepEqual(await storage.readProjectFiles(id), map)
  }))

  test('a server can read, change and write the map of files, then update one file', withProject(async (storage, project) => {
    await storage.getFileStorage(project.id).createMany(Array.from({ length: 50 }, (_, n) => fileInput(`f${n}.ts`)))
    const map = await storage.readProjectFiles(project.id)
    const [first, second] = Object.values(map)
    first!.content = 'changed'
    delete map[second!.id]
    const added = fileRecord(storage.generateId(), project.id)
    map[added.id] = added
    await storage.writeProjectFiles(project.id, map)
    await storage.updateProjectFile(project.id, added.id, { summary: 'done' })
    const after = await storage.readProjectFiles(project.id)
    assert.equal(Object.keys(after).length, 50)
    assert.equal(after[first!.id]?.content, 'changed')
    assert.equal(after[added.id]?.summary, 'done')
    assert.equal(after[second!.id], undefined)
  }))

  test('readProjectFile gives the file or undefined', withProject(async (storage, project) => {
    const file = await storage.addFile(project.id, fileInput('a'))
    assert.deepEqual(await storage.readProjectFile(project.id, file.id), file)
    assert.deepEqual(await storage.readProjectFile(String(project.id), String(file.id)), file)
    assert.equal(await storage.readProjectFile(project.id, 1), undefined)
    assert.equal(await storage.readProjectFile(1, file.id), undefined)
  }))

  test('updateProjectFile changes a file and returns it', withProject(async (storage, project) => {
    const file = await storage.addFile(project.id, fileInput('a'))
    const updated = await storage.updateProjectFile(project.id, file.id, { content: 'new' })
    assert.deepEqual([updated.content, updated.size], ['new', 3])
    assert.deepEqual(await storage.readProjectFile(project.id, file.id), updated)
  }))

  test('updateProjectFile of a missing file throws an error with its id', withProject(async (storage, project) => {
    const missing = { code: 'NOT_FOUND', message: /4711/ }
    await assert.rejects(storage.updateProjectFile(project.id, 4711, { content: 'x' }), missing)
  }))

  test('getProjectFileArray gives every version with content', withProject(async (storage, project) => {
    const file = await storage.addFile(project.id, fileInput('a', 'one'))
    await storage.createFileVersion(project.id, file.id, 'two')
    const array = await storage.getProjectFileArray(project.id)
    assert.deepEqual(array.map(({ content }) => content), ['one', 'two'])
  }))

  test('deleteProjectData removes the files and leaves the project', withProject(async (storage, project) => {
    await storage.addFile(project.id, fileInput('a'))
    await storage.deleteProjectData(project.id)
    assert.deepEqual(await storage.readProjectFiles(project.id), {})
    assert.deepEqual(await storage.getById(project.id), project)
  }))

  test('deleteProjectData of a missing project is not an error', withStorage(async (storage) => {
    await storage.deleteProjectData(5)
    assert.deepEqual(await storage.readProjects(), {})
  }))
})

test('a project storage can create, revert and read the versions of a file', withProject(async (storage, { id }) => {
  const first = await storage.addFile(id, fileInput('a', 'one'))
  const second = await storage.createFileVersion(id, first.id, 'two', { summary: 's' })
  assert.deepEqual([second.version, second.summary], [2, 's'])
  const third = await storage.revertToVersion(id, first.id, 1)
  assert.deepEqual([third.version, third.content], [3, 'one'])
  assert.deepEqual((await storage.getFileVersions(id, second.id)).map(({ version }) => version), [1, 2, 3])
  assert.deepEqual(await storage.getFileVersion(id, third.id, 3), third)
  assert.deepEqual(await storage.getLatestFileVersion(id, first.id), third)
  assert.equal(await storage.getFileVersion(id, first.id, 4), null)
  assert.equal(await storage.getLatestFileVersion(id, 4711), null)
}))

describe('projectStorage', () => {
  test('stores under the working directory of the first call', withDirectory(async ({ base }) => {
    const { lines, stderr, code } = await runChild('ready-made.mjs', [base])
    assert.equal(code, 0, stderr)
    const { created, reopened, ids, basePath, dataDir, options } = JSON.parse(lines.at(-1)!)
    assert.deepEqual(reopened, { [created.id]: created })
    assert.equal(new Set(ids).size, 1000)
    assert.deepEqual([basePath, dataDir, options.basePath], [base, join('data', 'project_storage'), base])
    assert.deepEqual(await readJson(projectsPath(base)), { [created.id]: created })
  }))

  test('is one storage, opened again after each close: closing it brings its file up to date and ends its changes', withDirectory(async ({ base }) => {
    const { lines, stderr, code } = await runChild('ready-made.mjs', [base])
    assert.equal(code, 0, stderr)
    const { created, stored } = JSON.parse(lines.at(-1)!)
    assert.deepEqual(stored, { [created.id]: created })
  }))

  test('stores there after it is closed too, even if the process changes directory', withDirectory(async ({ base }) => {
    const [first, elsewhere] = await Promise.all(['first', 'elsewhere'].map((name) => mkdtemp(join(base, name))))
    const { lines, stderr, code } = await runChild('ready-made.mjs', [first!, elsewhere!])
    assert.equal(code, 0, stderr)
    const { created, reopened } = JSON.parse(lines.at(-1)!)
    assert.deepEqual(reopened, { [created.id]: created })
    assert.deepEqual(await readdir(elsewhere!), [])
  }))

  test('creates nothing when it is only imported', withDirectory(async ({ base }) => {
    const { code, stderr } = await runChild('import-only.mjs', [], { cwd: base })
    assert.equal(code, 0, stderr)
    assert.deepEqual(await readdir(base), [])
  }))

  test('returns itself where a storage returns itself', () => {
    assert.equal(projectStorage.off('change', () => {}), projectStorage)
  })
})

describe('the schema values', () => {
  const cases: [string, StorageSchema<any>, any][] = [
    ['ProjectsStorageSchema', ProjectsStorageSchema, projectRecord(1)],
    ['ProjectFilesStorageSchema', ProjectFilesStorageSchema, fileRecord(1, 2)],
  ]
  for (const [name, schema, record] of cases) {
    test(`${name}.parse returns valid input unchanged`, () => {
      assert.deepEqual(schema.parse({ 1: record }), { 1: record })
      assert.deepEqual(schema.parse({}), {})
    })

    test(`${name}.parse drops unknown properties`, () => {
      assert.deepEqual(schema.parse({ 1: { ...record, colour: 'red' } }), { 1: record })
    })

    test(`${name} drops unknown properties that JSON cannot hold`, () => {
      const cyclic: any = {}
      cyclic.again = cyclic
      const record1 = { ...record, bigint: 1n, nested: { bigint: 1n }, cyclic, map: new Map(), toJSON: { toJSON: () => 1n } }
      assert.deepEqual(schema.safeParse({ 1: record1 }), { success: true, data: { 1: record } })
    })

    test(`${name}.parse throws a ValidationError with the issues`, () => {
      assert.throws(() => schema.parse({ 1: { ...record, name: 5 } }), (error: any) => {
        assert.ok(error instanceof ValidationError)
        assert.deepEqual(error.issues.map(({ path }) => path.map(String)), [['1', 'name']])
        return true
      })
    })

    test(`${name}.safeParse returns the data of valid input`, () => {
      const result = schema.safeParse({ 1: record })
      assert.equal(result.success, true)
      assert.deepEqual(result.data, { 1: record })
    })

    test(`${name}.safeParse returns the error of invalid input`, () => {
      for (const value of [null, undefined, 5, 'text', [], { 1: null }, { 1: { ...record, path: 5 } }]) {
        const result = schema.safeParse(value)
        assert.equal(result.success, false)
        assert.ok(result.error!.issues.length > 0)
        assert.equal(result.data, undefined)
      }
    })

    test(`${name} is a Standard Schema`, () => {
      const { version, validate } = schema['~standard']
      assert.deepEqual([version, validate({ 1: { ...record, colour: 'red' } })], [1, { value: { 1: record } }])
      const { issues } = validate({ 1: { ...record, name: 5 } }) as any
      assert.deepEqual(issues.map(({ path }: any) => path.map(String)), [['1', 'name']])
    })

    test(`${name} does not change its input`, () => {
      const input = Object.freeze({ 1: Object.freeze({ ...record, colour: 'red' }) })
      const output = schema.parse(input)
      assert.notEqual(output[1], input[1])
      assert.equal(input[1]!.colour, 'red')
    })
  }

  test('fill in the defaults of old records', () => {
    const { lastSyncedAt, syncVersion, version, prevId, nextId, isLatest, originalFileId, ...old } = fileRecord(1, 2)
    assert.deepEqual(ProjectFilesStorageSchema.parse({ 1: old }), { 1: fileRecord(1, 2) })
  })

  test('turn times into integers', () => {
    const parsed = ProjectsStorageSchema.parse({ 1: { ...projectRecord(1), created: '2023-11-14T22:13:20.000Z' } })
    assert.equal(parsed[1]?.created, 1_700_000_000_000)
  })
})
