import assert from 'node:assert/strict'
import { access, mkdir, readdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { describe, test } from 'node:test'
import { ProjectStorageV2, type ProjectsStorage } from '../index.js'
import { caught, fileInput, filesPath, projectInput, projectRecord, withProject, withStorage } from './support/index.js'
import { Things } from './support/things.js'

const names = (found: { name: string }[]) => found.map(({ name }) => name)
const ids = (found: { id: number }[]) => found.map(({ id }) => id)

describe('create', () => {
  test('assigns an id and both times, in integer milliseconds', withStorage(async (storage) => {
    const before = Date.now()
    const project = await storage.create(projectInput())
    assert.ok(Number.isInteger(project.id) && project.id > 0 && project.id <= 2_524_608_000_000)
    assert.ok(Number.isInteger(project.created) && project.created >= before && project.created <= Date.now())
    assert.equal(project.updated, project.created)
  }))

  test('fills in an empty description', withStorage(async (storage) => {
    const { id, created, updated, ...rest } = await storage.create({ name: 'a', path: '/a' })
    assert.deepEqual(rest, { name: 'a', path: '/a', description: '' })
    assert.deepEqual(await storage.getById(id), { id, name: 'a', description: '', path: '/a', created, updated })
  }))

  test('keeps a description that is given', withStorage(async (storage) => {
    const project = await storage.create({ ...projectInput(), description: 'what it is' })
    assert.equal((await storage.getById(project.id))?.description, 'what it is')
  }))

  test('drops unknown properties', withStorage(async (storage) => {
    const input = { ...projectInput(), colour: 'red' }
    const project = await storage.create(input)
    assert.equal('colour' in project, false)
    assert.equal('colour' in (await storage.getById(project.id))!, false)
  }))

  for (const field of ['name', 'path'] as const) {
    test(`refuses an empty ${field} and writes nothing`, withStorage(async (storage) => {
      await assert.rejects(storage.create({ ...projectInput(), [field]: '' }), (error: any) => {
        assert.equal(error.code, 'VALIDATION_ERROR')
        assert.deepEqual(error.issues.map((issue: any) => issue.path), [[field]])
        return true
      })
      assert.deepEqual(await storage.list(), [])
    }))
  }

  test('reports every bad field at once', withStorage(async (storage) => {
    const bad = { name: 1, path: null, description: [] } as any
    await assert.rejects(storage.create(bad), (error: any) => {
      assert.equal(error.code, 'VALIDATION_ERROR')
      assert.deepEqual(error.issues.map((issue: any) => issue.path.join('.')).sort(), ['description', 'name', 'path'])
      for (const { message, code } of error.issues) assert.ok(message.length > 0 && code.length > 0)
      return true
    })
    assert.deepEqual(await storage.list(), [])
  }))

  test('200 at once give 200 projects with different ids', withStorage(async (storage) => {
    const created = await Promise.all(Array.from({ length: 200 }, (_, n) => storage.create(projectInput(`p${n}`))))
    assert.equal(new Set(ids(created)).size, 200)
    const listed = await storage.list()
    assert.equal(listed.length, 200)
    assert.deepEqual(new Set(names(listed)), new Set(Array.from({ length: 200 }, (_, n) => `p${n}`)))
  }))
})

describe('getById', () => {
  test('takes a numeric string too', withProject(async (storage, project) => {
    assert.deepEqual(await storage.getById(String(project.id)), project)
  }))

  test('returns null for a missing id', withProject(async (storage, project) => {
    assert.equal(await storage.getById(project.id + 1), null)
  }))
})

describe('update', () => {
  test('changes what the patch names and nothing else', withProject(async (storage, project) => {
    const updated = await storage.update(project.id, { description: 'new' })
    assert.deepEqual({ ...updated, updated: 0 }, { ...project, description: 'new', updated: 0 })
    assert.deepEqual(await storage.getById(project.id), updated)
  }))

  test('leaves a field that is undefined as it is', withProject(async (storage, project) => {
    const updated = await storage.update(project.id, { name: undefined, description: undefined })
    assert.deepEqual({ ...updated, updated: 0 }, { ...project, updated: 0 })
  }))

  test('sets updated, never backwards', withStorage(async (storage) => {
    const future = Date.now() + 3_600_000
    await storage.writeProjects({ 7: projectRecord(7, { updated: future }) })
    const updated = await storage.update(7, { name: 'later' })
    assert.ok(updated!.updated >= future)
  }))

  test('takes a numeric string as id', withProject(async (storage, project) => {
    assert.equal((await storage.update(String(project.id), { name: 'b' }))?.name, 'b')
  }))

  test('returns null for a missing id and creates nothing', withStorage(async (storage) => {
    assert.equal(await storage.update(5, { name: 'b' }), null)
    assert.equal((await caught(storage.update(5, { name: '' }))).code, 'VALIDATION_ERROR')
    assert.deepEqual(await storage.list(), [])
  }))

  test('changes neither id nor created', withProject(async (storage, project) => {
    const patch = { id: project.id + 1, created: 5, name: 'b' } as any
    const updated = await storage.update(project.id, patch)
    assert.equal(updated?.id, project.id)
    assert.equal(updated?.created, project.created)
    assert.equal(await storage.getById(project.id + 1), null)
  }))

  test('drops unknown properties of the patch', withProject(async (storage, project) => {
    const patch = { name: 'b', colour: 'red' }
    assert.equal('colour' in (await storage.update(project.id, patch))!, false)
  }))

  test('that is invalid changes nothing', withProject(async (storage, project) => {
    await assert.rejects(storage.update(project.id, { name: 5 } as any), { code: 'VALIDATION_ERROR' })
    assert.deepEqual(await storage.getById(project.id), project)
  }))
})

describe('delete', () => {
  test('removes the project and returns true only once', withProject(async (storage, project) => {
    assert.equal(await storage.delete(project.id), true)
    assert.equal(await storage.getById(project.id), null)
    assert.equal(await storage.delete(project.id), false)
  }))

  test("removes the project's files", withProject(async (storage, project, { base, open }) => {
    await storage.addFile(project.id, fileInput('a.ts'))
    const directory = dirname(filesPath(base, project.id))
    await mkdir(directory, { recursive: true })
    await writeFile(join(directory, 'notes.txt'), 'beside the files')
    await storage.delete(project.id)
    assert.deepEqual(await storage.getProjectFiles(project.id), [])
    await storage.close()
    await assert.rejects(access(directory), { code: 'ENOENT' })
    assert.deepEqual(await open().readProjectFiles(project.id), {})
  }))

  test('leaves the files of other projects alone', withProject(async (storage, project) => {
    const other = await storage.create(projectInput('other'))
    const file = await storage.addFile(other.id, fileInput('a.ts'))
    await storage.delete(project.id)
    assert.deepEqual(await storage.getProjectFiles(other.id), [file])
  }))

  const notesOf = (project: { id: number }, base: string, dataDir: string) => {
    const file = join('data', 'project_storage', 'project_data', String(project.id), 'notes.json')
    return new Things({ basePath: base, dataDir, file })
  }

  for (const within of ['a call', 'a transaction']) {
    test(`in ${within} removes what a storage of the same database keeps in the directory of the project`, withProject(async (storage, project, { base }) => {
      const open = () => notesOf(project, base, 'data/project_storage')
      const notes = open()
      await notes.create({ name: 'in the file' })
      await notes.close()
      if (within === 'a call') await storage.delete(project.id)
      else await storage.transaction((tx) => tx.delete(project.id))
      const again = open()
      assert.deepEqual(await again.list(), [])
      await again.create({ name: 'new' })
      await again.close()
    }))

    test(`in ${within} is refused while another database keeps a file in the directory of the project`, withProject(async (storage, project, { base }) => {
      const notes = notesOf(project, base, 'data')
      await notes.create({ name: 'in another database' })
      await notes.close()
      const deleted = within === 'a call' ? storage.delete(project.id) : storage.transaction((tx) => tx.delete(project.id))
      const refused = await caught(deleted)
      assert.equal(refused.code, 'INVALID_ARGUMENT')
      assert.match(refused.message, /notes\.json/)
      assert.deepEqual(await storage.getById(project.id), project)
      const again = notesOf(project, base, 'data')
      assert.deepEqual((await again.list()).map(({ name }) => name), ['in another database'])
      await again.close()
    }))
  }

  test('deleteAll removes all projects and their files', withProject(async (storage, project) => {
    await storage.create(projectInput('other'))
    await storage.addFile(project.id, fileInput('a.ts'))
    await storage.deleteAll()
    assert.deepEqual(await storage.list(), [])
    assert.deepEqual(await storage.readProjectFiles(project.id), {})
  }))
})

test('subclasses may ask for the directory of the files of a project', withProject(async (storage, project, { base }) => {
  class Paths extends ProjectStorageV2 {
    pathOf(id: number) { return this.getEntityPath(id) }
  }
  const paths = new Paths({ basePath: base })
  await storage.addFile(project.id, fileInput('a'))
  await storage.close()
  assert.deepEqual(await readdir(paths.pathOf(project.id)!), ['files.json'])
  await paths.close()
}))

describe('queries', () => {
  const seed = withStorage
  const three = {
    30: projectRecord(30, { name: 'Alpha Beta', path: '/x', created: 10_000_000_000, updated: 20_000_000_000 }),
    10: projectRecord(10, { name: 'alpha', path: '/y', created: 20_000_000_000, updated: 30_000_000_000 }),
    20: projectRecord(20, { name: 'Gamma', path: '/x', created: 30_000_000_000, updated: 40_000_000_000 }),
  }

  test('list returns all projects in ascending order of id', seed(async (storage) => {
    await storage.writeProjects(three)
    assert.deepEqual(ids(await storage.list()), [10, 20, 30])
  }))

  test('findByName finds exact names only', seed(async (storage) => {
    await storage.writeProjects(three)
    assert.deepEqual(ids(await storage.findByName('alpha')), [10])
    assert.deepEqual(await storage.findByName('Alpha'), [])
  }))

  test('findByPath finds all projects with a path', seed(async (storage) => {
    await storage.writeProjects(three)
    assert.deepEqual(ids(await storage.findByPath('/x')), [20, 30])
    assert.deepEqual(await storage.findByPath('/X'), [])
  }))

  test('getByPath gives one project or null', seed(async (storage) => {
    await storage.writeProjects(three)
    assert.equal((await storage.getByPath('/y'))?.id, 10)
    assert.equal(await storage.getByPath('/none'), null)
  }))

  test('listByDateRange includes both ends and orders by created', seed(async (storage) => {
    await storage.writeProjects({
      1: projectRecord(1, { created: 50_000_000_003 }),
      2: projectRecord(2, { created: 50_000_000_002 }),
      3: projectRecord(3, { created: 50_000_000_001 }),
      4: projectRecord(4, { created: 50_000_000_004 }),
    })
    assert.deepEqual(ids(await storage.listByDateRange(50_000_000_001, 50_000_000_003)), [3, 2, 1])
    const dates = [new Date(50_000_000_002), new Date(50_000_000_004)] as const
    assert.deepEqual(ids(await storage.listByDateRange(...dates)), [2, 1, 4])
    assert.deepEqual(await storage.listByDateRange(50_000_000_005, 60_000_000_000), [])
  }))

  test('search finds words of the name in any case, the most recently updated first', seed(async (storage) => {
    await storage.writeProjects(three)
    assert.deepEqual(ids(await storage.search('ALPHA')), [10, 30])
    assert.deepEqual(ids(await storage.search('beta alpha')), [30])
    assert.deepEqual(await storage.search('delta'), [])
  }))

  test('search finds words that are not ASCII', seed(async (storage) => {
    await storage.create(projectInput('Überprojekt 日本'))
    assert.deepEqual(names(await storage.search('überprojekt')), ['Überprojekt 日本'])
  }))

  test('getRecent gives the most recently updated first, as many as asked for', seed(async (storage) => {
    await storage.writeProjects(three)
    assert.deepEqual(ids(await storage.getRecent()), [20, 10, 30])
    assert.deepEqual(ids(await storage.getRecent(2)), [20, 10])
    await storage.update(30, { description: 'changed last' })
    assert.deepEqual(ids(await storage.getRecent()), [30, 20, 10])
    assert.deepEqual(await storage.getRecent(0), [])
    assert.equal((await caught(storage.getRecent(-1))).code, 'INVALID_ARGUMENT')
  }))

  test('getRecent gives ten by default', seed(async (storage) => {
    for (let n = 0; n < 12; n++) await storage.create(projectInput(`p${n}`))
    assert.equal((await storage.getRecent()).length, 10)
  }))

  test('see an update at once', withProject(async (storage, project) => {
    await storage.update(project.id, { name: 'Renamed', path: '/moved' })
    assert.deepEqual(await storage.findByName('Sample'), [])
    assert.deepEqual(ids(await storage.findByName('Renamed')), [project.id])
    assert.equal(await storage.getByPath(project.path), null)
    assert.equal((await storage.getByPath('/moved'))?.id, project.id)
    assert.deepEqual(ids(await storage.search('renamed')), [project.id])
  }))

  test('do not see what was deleted', withProject(async (storage, project) => {
    await storage.delete(project.id)
    assert.deepEqual(await storage.findByName(project.name), [])
    assert.deepEqual(await storage.findByPath(project.path), [])
    assert.deepEqual(await storage.search('sample'), [])
    assert.deepEqual(await storage.getRecent(), [])
    assert.deepEqual(await storage.listByDateRange(0, Date.now()), [])
  }))

  test('answer the same after reopening', withStorage(async (storage, { open }) => {
    await storage.writeProjects(three)
    await storage.close()
    const again = open()
    assert.deepEqual(ids(await again.findByName('Gamma')), [20])
    assert.deepEqual(ids(await again.findByPath('/x')), [20, 30])
    assert.deepEqual(ids(await again.search('alpha')), [10, 30])
    assert.deepEqual(ids(await again.getRecent(1)), [20])
  }))
})

describe('results', () => {
  test('of reads do not alias what is stored', withProject(async (storage, project) => {
    const reads = [
      () => storage.getById(project.id),
      async () => (await storage.list())[0],
      async () => (await storage.readAll())[project.id],
      async () => (await storage.readProjects())[project.id],
      async () => (await storage.findByName(project.name))[0],
      async () => (await storage.search('sample'))[0],
      async () => (await storage.getRecent())[0],
      () => storage.getByPath(project.path),
    ]
    for (const read of reads) {
      const first = await read()
      assert.deepEqual(first, project)
      Object.assign(first!, { name: 'changed', extra: 1 })
      assert.deepEqual(await read(), project)
    }
  }))

  test('of writes do not alias what is stored', withStorage(async (storage) => {
    const created = await storage.create(projectInput())
    created.name = 'changed'
    assert.equal((await storage.getById(created.id))?.name, 'Sample')
    const updated = await storage.update(created.id, { description: 'd' })
    updated!.description = 'changed'
    assert.equal((await storage.getById(created.id))?.description, 'd')
  }))
})

test('a subclass may override methods that others resemble', withStorage(async (storage, { base }) => {
  class Counting extends ProjectStorageV2 {
    calls: string[] = []
    override readAll() {
      this.calls.push('readAll')
      return super.readProjects()
    }
    override writeAll(data: ProjectsStorage) {
      this.calls.push('writeAll')
      return super.writeProjects(data)
    }
  }
  const counting = new Counting({ basePath: base })
  const { id } = await storage.create(projectInput())
  assert.deepEqual(Object.keys(await counting.readAll()), [String(id)])
  assert.deepEqual(await counting.writeAll({}), {})
  assert.deepEqual(counting.calls, ['readAll', 'writeAll'])
  await counting.close()
}))
