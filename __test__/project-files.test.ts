import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { caught, fileInput, fileRecord, projectInput, sha256, withProject, withStorage } from './support/index.js'

const paths = (found: { path: string }[]) => found.map(({ path }) => path)

describe('a new file', () => {
  test('gets its defaults', withProject(async (storage, project) => {
    const file = await storage.addFile(project.id, { name: 'a.ts', path: 'src/a.ts', content: 'text' })
    const { id, checksum, meta, created, updated, ...rest } = file
    assert.ok(Number.isInteger(id))
    assert.equal(typeof meta, 'string')
    assert.ok(checksum === null || checksum === sha256('text'))
    assert.ok(Number.isInteger(created) && updated === created)
    assert.deepEqual(rest, {
      projectId: project.id,
      name: 'a.ts',
      path: 'src/a.ts',
      extension: '.ts',
      size: 4,
      content: 'text',
      summary: null,
      summaryLastUpdated: null,
      version: 1,
      prevId: null,
      nextId: null,
      isLatest: true,
      originalFileId: null,
      lastSyncedAt: null,
      syncVersion: 0,
    })
    const files = storage.getFileStorage(String(project.id))
    assert.deepEqual(await files.getById(id), file)
    assert.equal(files.projectId, project.id)
  }))

  test('has the last part of its path as its name, unless one is given', withProject(async (storage, project) => {
    assert.equal((await storage.addFile(project.id, { path: 'src/a.ts', content: '' })).name, 'a.ts')
    assert.equal((await storage.addFile(project.id, { name: 'own', path: 'src/a.ts', content: '' })).name, 'own')
  }))

  test('has the size of its content in UTF-8', withProject(async (storage, project) => {
    assert.equal((await storage.addFile(project.id, fileInput('a', 'ü日🦀'))).size, 9)
  }))

  test('keeps a given size, extension and checksum', withProject(async (storage, project) => {
    const given = { size: 7, extension: '.x', checksum: 'abc' }
    const { size, extension, checksum } = await storage.addFile(project.id, { ...fileInput('a.ts'), ...given })
    assert.deepEqual({ size, extension, checksum }, given)
  }))

  for (const [path, extension] of [['a/b.test.ts', '.ts'], ['a.b/Makefile', ''], ['docs/READ ME.md', '.md']] as const) {
    test(`at ${path} has the extension '${extension}'`, withProject(async (storage, project) => {
      assert.equal((await storage.addFile(project.id, fileInput(path))).extension, extension)
    }))
  }

  test('takes times as number, numeric string, Date and ISO string', withProject(async (storage, project) => {
    const inputs = [1_700_000_000_000, '1700000000000', new Date(1_700_000_000_000), '2023-11-14T22:13:20.000Z']
    for (const lastSyncedAt of inputs) {
      const file = await storage.addFile(project.id, { ...fileInput('a'), lastSyncedAt })
      assert.equal(file.lastSyncedAt, 1_700_000_000_000)
    }
  }))

  test('does not scale a stored time that comes back in a patch', withProject(async (storage, project) => {
    const file = await storage.addFile(project.id, { ...fileInput('a.ts'), lastSyncedAt: new Date(5000) as any })
    assert.equal(file.lastSyncedAt, 5000)
    const updated = await storage.updateProjectFile(project.id, file.id, { ...file, content: 'changed' })
    assert.equal(updated.lastSyncedAt, 5000)
    const version = await storage.createFileVersion(project.id, file.id, 'again', { lastSyncedAt: 5000 })
    assert.equal(version.lastSyncedAt, 5000)
  }))

  test('takes a time below 1e10 as seconds', withProject(async (storage, project) => {
    const file = await storage.addFile(project.id, { ...fileInput('a'), summaryLastUpdated: 1_700_000_000 })
    assert.equal(file.summaryLastUpdated, 1_700_000_000_000)
  }))

  for (const time of ['soon', -1, 2_524_608_000_001, NaN, Infinity, new Date(NaN), {}, true]) {
    test(`refuses the time ${String(time)}`, withProject(async (storage, project) => {
      const file = { ...fileInput('a'), lastSyncedAt: time as any }
      await assert.rejects(storage.addFile(project.id, file), (error: any) => {
        assert.equal(error.code, 'VALIDATION_ERROR')
        assert.deepEqual(error.issues.map((issue: any) => issue.path), [['lastSyncedAt']])
        return true
      })
      assert.deepEqual(await storage.getProjectFiles(project.id), [])
    }))
  }

  test('for a missing project is refused with an error that names the project', withStorage(async (storage) => {
    const missing = { code: 'NOT_FOUND', message: /12345/ }
    await assert.rejects(storage.addFile(12345, fileInput('a')), missing)
    await assert.rejects(storage.getFileStorage(12345).create(fileInput('a')), missing)
    assert.deepEqual(await storage.readProjectFiles(12345), {})
  }))

  test('may share its path with another file', withProject(async (storage, project) => {
    await storage.addFile(project.id, fileInput('a'))
    await storage.addFile(project.id, fileInput('a'))
    assert.equal((await storage.getProjectFiles(project.id)).length, 2)
  }))
})

describe('update', () => {
  test('of the content recomputes size and checksum', withProject(async (storage, project) => {
    const files = storage.getFileStorage(project.id)
    const { id } = await files.create(fileInput('a.ts'))
    const updated = await files.update(id, { content: 'längst' })
    assert.equal(updated?.size, 7)
    assert.equal(updated?.checksum, sha256('längst'))
  }))

  test('of the content keeps size and checksum that the patch gives', withProject(async (storage, project) => {
    const files = storage.getFileStorage(project.id)
    const { id } = await files.create(fileInput('a.ts'))
    const updated = await files.update(id, { content: 'new', size: 99, checksum: 'mine' })
    assert.deepEqual([updated?.size, updated?.checksum], [99, 'mine'])
  }))

  test('of another field leaves size and checksum', withProject(async (storage, project) => {
    const files = storage.getFileStorage(project.id)
    const { id } = await files.create({ ...fileInput('a.ts'), size: 99, checksum: 'mine' })
    const updated = await files.update(id, { summary: 'what it does' })
    assert.deepEqual([updated?.size, updated?.checksum, updated?.summary], [99, 'mine', 'what it does'])
  }))

  test('of the path changes the name and extension that came from it', withProject(async (storage, project) => {
    const files = storage.getFileStorage(project.id)
    const derived = await files.create({ path: 'src/a.ts', content: '' })
    const given = await files.create({ name: 'own', extension: '.own', path: 'src/a.ts', content: '' })
    const [one, other] = await files.updateMany([derived, given].map(({ id }) => ({ id, data: { path: 'lib/b.md' } })))
    assert.deepEqual([one!.name, one!.extension], ['b.md', '.md'])
    assert.deepEqual([other!.name, other!.extension], ['own', '.own'])
  }))

  test('of the content derives of size and checksum what the patch does not give', withProject(async (storage, project) => {
    const files = storage.getFileStorage(project.id)
    const { id } = await files.create(fileInput('a', 'old'))
    const derived = (await files.update(id, { content: 'zwölf' }))!.checksum
    for (const [given, size, checksum] of [[{ checksum: 'mine' }, 6, 'mine'], [{ size: 9 }, 9, derived]] as const) {
      await files.update(id, { content: 'other' })
      const updated = await files.update(id, { content: 'zwölf', ...given })
      assert.deepEqual([updated!.size, updated!.checksum], [size, checksum])
    }
  }))

  test('never sets the time of the last change back, nor does a new version', withProject(async (storage, project) => {
    const files = storage.getFileStorage(project.id)
    const updated = Date.now() + 3_600_000
    await files.writeAll({ 1: fileRecord(1, project.id, { updated }) })
    assert.equal((await files.update(1, { summary: 's' }))?.updated, updated)
    assert.equal((await files.createVersion(1, 'v2')).updated, updated)
  }))

  test('ignores the fields of the chain', withProject(async (storage, project) => {
    const files = storage.getFileStorage(project.id)
    const file = await files.create(fileInput('a.ts'))
    const chain = { version: 9, prevId: 1, nextId: 2, isLatest: false, originalFileId: 3 } as any
    const updated = await files.update(file.id, { ...chain, summary: 's' })
    assert.deepEqual({ ...updated, updated: 0 }, { ...file, summary: 's', updated: 0 })
  }))

  test('returns null for a missing file', withProject(async (storage, project) => {
    assert.equal(await storage.getFileStorage(project.id).update(1, { summary: 's' }), null)
  }))
})

describe('bulk calls', () => {
  test('createMany stores all, in order', withProject(async (storage, project) => {
    const created = await storage.getFileStorage(project.id).createMany(['b', 'a', 'c'].map((path) => fileInput(path)))
    assert.deepEqual(paths(created), ['b', 'a', 'c'])
    assert.equal(new Set(created.map(({ id }) => id)).size, 3)
    assert.deepEqual(await storage.getProjectFiles(project.id), created.sort((a, b) => a.id - b.id))
  }))

  test('createMany with one bad file stores none and says which file is bad', withProject(async (storage, project) => {
    const files = storage.getFileStorage(project.id)
    const error = await caught(files.createMany([fileInput('a'), { ...fileInput('b'), content: 5 } as any]))
    assert.deepEqual([error.code, error.issues.map(({ path }: any) => path)], ['VALIDATION_ERROR', [[1, 'content']]])
    assert.deepEqual(await files.list(), [])
  }))

  test('createMany of an empty list returns an empty list', withProject(async (storage, project) => {
    assert.deepEqual(await storage.getFileStorage(project.id).createMany([]), [])
  }))

  test('updateMany changes all', withProject(async (storage, project) => {
    const files = storage.getFileStorage(project.id)
    const created = await files.createMany([fileInput('a'), fileInput('b')])
    const updated = await files.updateMany(created.map(({ id, path }) => ({ id, data: { summary: `of ${path}` } })))
    assert.deepEqual(updated.map((file) => file?.summary), ['of a', 'of b'])
    assert.deepEqual((await files.list()).map(({ summary }) => summary), ['of a', 'of b'])
  }))

  test('update leaves a field that is undefined as it is', withProject(async (storage, project) => {
    const files = storage.getFileStorage(project.id)
    const file = await files.create({ ...fileInput('a'), summary: 's' })
    const updated = await files.update(file.id, { name: undefined, content: undefined, summary: undefined, checksum: undefined })
    assert.deepEqual({ ...updated, updated: 0 }, { ...file, updated: 0 })
  }))

  test('updateMany with a missing file changes none and names it', withProject(async (storage, project) => {
    const files = storage.getFileStorage(project.id)
    const { id } = await files.create(fileInput('a'))
    const changes = [{ id, data: { summary: 's' } }, { id: 4711, data: { summary: 's' } }]
    await assert.rejects(files.updateMany(changes), { code: 'NOT_FOUND', message: /4711/ })
    assert.equal((await files.getById(id))?.summary, null)
  }))

  test('updateMany refuses what is no change', withProject(async (storage, project) => {
    const files = storage.getFileStorage(project.id)
    for (const change of [null, undefined, 5, 'a']) {
      await assert.rejects(files.updateMany([change] as never), { code: 'INVALID_ARGUMENT', message: /a change is \{ id, data \}/ })
    }
  }))

  test('update of a missing file returns null for any patch that is valid', withProject(async (storage, project) => {
    const files = storage.getFileStorage(project.id)
    for (const patch of [{ summary: 's' }, { content: 'c' }]) assert.equal(await files.update(4711, patch), null)
    assert.equal((await caught(files.update(4711, { path: '' }))).code, 'VALIDATION_ERROR')
  }))

  test('updateMany with bad patches changes none and says where each is', withProject(async (storage, project) => {
    const files = storage.getFileStorage(project.id)
    const created = await files.createMany(['a', 'b', 'c'].map((path) => fileInput(path)))
    const patches: any[] = [{ path: '' }, { summary: 's' }, { name: 5, content: 5 }]
    const error = await caught(files.updateMany(patches.map((data, at) => ({ id: created[at]!.id, data }))))
    const places = [[0, 'data', 'path'], [2, 'data', 'name'], [2, 'data', 'content']]
    assert.deepEqual([error.code, error.issues.map(({ path }: any) => path)], ['VALIDATION_ERROR', places])
    assert.equal((await files.getById(created[1]!.id))?.summary, null)
  }))

  test('deleteMany removes those that exist and counts them', withProject(async (storage, project) => {
    const files = storage.getFileStorage(project.id)
    const [a, b, c] = await files.createMany(['a', 'b', 'c'].map((path) => fileInput(path)))
    assert.equal(await files.deleteMany([a!.id, String(c!.id), 4711]), 2)
    assert.deepEqual(await files.list(), [b])
  }))
})

describe('queries', () => {
  const seeded = (work: Parameters<typeof withProject>[0]) => withProject(async (storage, project, context) => {
    const files = storage.getFileStorage(project.id)
    const [first] = await files.createMany([
      fileInput('src/z.ts', 'const Needle = 1'),
      fileInput('src/a.ts', 'nothing'),
      fileInput('docs/needle.md', 'haystack'),
      fileInput('Makefile', 'all:'),
    ])
    await files.createVersion(first!.id, 'const other = 2')
    await work(storage, project, context)
  })

  test('getByPath gives the latest version or null', seeded(async (storage, project) => {
    const files = storage.getFileStorage(project.id)
    assert.equal((await files.getByPath('src/z.ts'))?.version, 2)
    assert.equal(await files.getByPath('src/Z.ts'), null)
    const again = await files.create(fileInput('src/z.ts', 'created later'))
    assert.deepEqual(await files.getByPath('src/z.ts'), again)
  }))

  test('getByExtension gives latest versions by path, with and without the dot', seeded(async (storage, project) => {
    const files = storage.getFileStorage(project.id)
    // With the quotes that it has in JSON, a path would come after those that it begins.
    await files.createMany(['src/z.ts!.ts', 'src/0.ts'].map((path) => fileInput(path)))
    const found = await files.getByExtension('.ts')
    assert.deepEqual(found.map(({ path, version }) => [path, version]), [['src/0.ts', 1], ['src/a.ts', 1], ['src/z.ts', 2], ['src/z.ts!.ts', 1]])
    assert.deepEqual(await files.getByExtension('ts'), found)
    assert.deepEqual(await files.getByExtension('rs'), [])
  }))

  test('search finds text of content and path in any case, in latest versions', seeded(async (storage, project) => {
    const files = storage.getFileStorage(project.id)
    assert.deepEqual(paths(await files.search('NEEDLE')), ['docs/needle.md'])
    assert.deepEqual(paths(await files.search('ther =')), ['src/z.ts'])
    assert.deepEqual(await files.search('const Needle'), [])
    assert.deepEqual(await storage.searchFiles(project.id, 'hayst'), await files.search('hayst'))
  }))

  test('search finds a word whose last letter has another form at the end of a word', seeded(async (storage, project) => {
    const files = storage.getFileStorage(project.id)
    const { id } = await files.create(fileInput('greek.md', 'ΟΔΟΣΗΜΑ'))
    for (const query of ['ΟΔΟΣ', 'οδος', 'οδοσ']) assert.deepEqual((await files.search(query)).map((file) => file.id), [id], query)
  }))

  test('list returns all versions with content, in ascending order of id', seeded(async (storage, project) => {
    const listed = await storage.getFileStorage(project.id).list()
    assert.equal(listed.length, 5)
    assert.deepEqual(listed.map(({ id }) => id), listed.map(({ id }) => id).sort((a, b) => a - b))
    assert.ok(listed.every(({ content }) => typeof content === 'string'))
    assert.deepEqual(await storage.getProjectFiles(project.id), listed)
  }))

  test('list without content omits only the content', seeded(async (storage, project) => {
    const files = storage.getFileStorage(project.id)
    const light = await files.list({ includeContent: false })
    const expected = (await files.list()).map(({ content, ...rest }) => rest)
    assert.deepEqual(light, expected)
    assert.deepEqual(await storage.getProjectFiles(project.id, { includeContent: false }), expected)
  }))

  test('list rejects options that are not booleans', seeded(async (storage, project) => {
    const files = storage.getFileStorage(project.id)
    for (const options of [{ includeContent: 1 }, { includeContent: null }, { includeAllVersions: 'yes' }, [], 5, { signal: 5 }]) {
      await assert.rejects(files.list(options as never), { code: 'INVALID_ARGUMENT' }, JSON.stringify(options))
    }
  }))

  test('list without all versions returns the latest ones', seeded(async (storage, project) => {
    const files = storage.getFileStorage(project.id)
    const latest = await files.list({ includeAllVersions: false })
    assert.deepEqual(latest, (await files.list()).filter(({ isLatest }) => isLatest))
    assert.equal(latest.length, 4)
    assert.deepEqual(await storage.getProjectFiles(project.id, { includeAllVersions: false }), latest)
  }))

  test('list without all versions and without content omits both', seeded(async (storage, project) => {
    const files = storage.getFileStorage(project.id)
    const expected = (await files.list({ includeAllVersions: false })).map(({ content, ...rest }) => rest)
    assert.deepEqual(await files.list({ includeAllVersions: false, includeContent: false }), expected)
  }))

  test('of a missing project return nothing', withStorage(async (storage) => {
    const files = storage.getFileStorage(99)
    assert.deepEqual(await files.list(), [])
    assert.deepEqual(await files.readAll(), {})
    assert.equal(await files.getById(1), null)
    assert.equal(await files.getByPath('a'), null)
    assert.deepEqual(await files.getByExtension('ts'), [])
    assert.deepEqual(await files.search('a'), [])
    assert.deepEqual(await storage.getProjectFiles(99), [])
    assert.deepEqual(await storage.searchFiles(99, 'a'), [])
  }))

  test('reflect an update of path and extension', withProject(async (storage, project) => {
    const files = storage.getFileStorage(project.id)
    const { id } = await files.create(fileInput('a.ts'))
    await files.update(id, { path: 'b.rs', extension: '.rs' })
    assert.equal(await files.getByPath('a.ts'), null)
    assert.equal((await files.getByPath('b.rs'))?.id, id)
    assert.deepEqual(await files.getByExtension('ts'), [])
    assert.equal((await files.getByExtension('rs')).length, 1)
  }))
})

describe('the shared methods', () => {
  test('readAll and writeAll read and write the map of a project', withProject(async (storage, project) => {
    const files = storage.getFileStorage(project.id)
    const map = { 5: fileRecord(5, project.id), 6: fileRecord(6, project.id, { content: 'more', size: 4 }) }
    assert.deepEqual(await files.writeAll(map), map)
    assert.deepEqual(await files.readAll(), map)
    assert.deepEqual(await storage.readProjectFiles(project.id), map)
  }))

  test('deleteAll removes the files of this project only', withProject(async (storage, project) => {
    const other = await storage.create(projectInput('other'))
    await storage.addFile(project.id, fileInput('a'))
    await storage.addFile(other.id, fileInput('b'))
    await storage.getFileStorage(project.id).deleteAll()
    assert.deepEqual(await storage.getProjectFiles(project.id), [])
    assert.deepEqual(paths(await storage.getProjectFiles(other.id)), ['b'])
  }))

  test('delete removes one file and returns true only once', withProject(async (storage, project) => {
    const files = storage.getFileStorage(project.id)
    const { id } = await files.create(fileInput('a'))
    assert.equal(await files.delete(String(id)), true)
    assert.equal(await files.delete(id), false)
    assert.equal(await files.getByPath('a'), null)
  }))

  test('results do not alias what is stored', withProject(async (storage, project) => {
    const files = storage.getFileStorage(project.id)
    const file = await files.create(fileInput('a.ts'))
    const reads = [
      () => files.getById(file.id),
      () => files.getByPath('a.ts'),
      async () => (await files.list())[0],
      async () => (await files.getByExtension('ts'))[0],
      async () => (await files.getVersions(file.id))[0],
      () => storage.readProjectFile(project.id, file.id),
      async () => (await storage.readProjectFiles(project.id))[file.id],
    ]
    for (const read of reads) {
      Object.assign((await read())!, { content: 'changed', extra: 1 })
      assert.deepEqual(await read(), file)
    }
  }))

  test('two file storages of one project see the same files', withProject(async (storage, project) => {
    const file = await storage.getFileStorage(project.id).create(fileInput('a'))
    assert.deepEqual(await storage.getFileStorage(String(project.id)).getById(file.id), file)
  }))
})
