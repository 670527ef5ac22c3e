import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { ProjectFile, ProjectFileStorage } from '../index.js'
import { caught, fileInput, fileRecord, sha256, withProject, withStorage } from './support/index.js'

const withFiles = (work: (files: ProjectFileStorage) => Promise<void>) =>
  withProject((storage, project) => work(storage.getFileStorage(project.id)))

/** Creates a file with the contents 'v1', 'v2', … as its versions. */
async function chainOf(files: ProjectFileStorage, length: number): Promise<ProjectFile[]> {
  let last = await files.create(fileInput('src/a.ts', 'v1'))
  const first = last
  for (let n = 2; n <= length; n++) last = await files.createVersion(last.id, `v${n}`)
  return files.getVersions(first.id)
}

function assertChain(versions: ProjectFile[], numbers: number[]) {
  assert.deepEqual(versions.map(({ version }) => version), numbers)
  versions.forEach((file, at) => {
    assert.equal(file.prevId, versions[at - 1]?.id ?? null)
    assert.equal(file.nextId, versions[at + 1]?.id ?? null)
    assert.equal(file.isLatest, at === versions.length - 1)
    assert.equal(file.originalFileId, at === 0 ? null : versions[0]!.id)
  })
}

describe('createVersion', () => {
  test('appends to the chain', withFiles(async (files) => {
    assertChain(await chainOf(files, 3), [1, 2, 3])
  }))

  test('returns the new version as it is stored', withFiles(async (files) => {
    const first = await files.create({ ...fileInput('src/a.ts', 'v1'), summary: 'old' })
    const second = await files.createVersion(first.id, 'zwölf')
    assert.deepEqual(await files.getById(second.id), second)
    assert.deepEqual([second.content, second.size, second.checksum], ['zwölf', 6, sha256('zwölf')])
    assert.deepEqual([second.name, second.path, second.extension], [first.name, first.path, first.extension])
  }))

  test('appends after the latest from any version of the chain', withFiles(async (files) => {
    const [first, second] = await chainOf(files, 2)
    await files.createVersion(first!.id, 'v3')
    await files.createVersion(String(second!.id), 'v4')
    const versions = await files.getVersions(first!.id)
    assertChain(versions, [1, 2, 3, 4])
    assert.deepEqual(versions.map(({ content }) => content), ['v1', 'v2', 'v3', 'v4'])
  }))

  test('counts as a change of the version before', withProject(async (storage, { id }) => {
    const files = storage.getFileStorage(id)
    const { updated } = (await files.writeAll({ 1: fileRecord(1, id) }))[1]!
    await files.createVersion(1, 'v2')
    assert.ok((await files.getById(1))!.updated > updated)
  }))

  test('accepts further fields', withFiles(async (files) => {
    const first = await files.create(fileInput('a'))
    const second = await files.createVersion(first.id, 'two', { summary: 'second', meta: '{"a":1}' })
    assert.deepEqual([second.summary, second.meta], ['second', '{"a":1}'])
    assert.equal((await files.getById(first.id))?.summary, null)
  }))

  test('ignores fields of the chain among the further ones', withFiles(async (files) => {
    const first = await files.create(fileInput('a'))
    await files.createVersion(first.id, 'two', { version: 9, prevId: 1, isLatest: false } as any)
    assertChain(await files.getVersions(first.id), [1, 2])
  }))

  test('leaves the content of older versions unchanged', withFiles(async (files) => {
    const versions = await chainOf(files, 3)
    assert.deepEqual(versions.map(({ content }) => content), ['v1', 'v2', 'v3'])
  }))

  test('makes older ones of all versions that a whole map calls the latest', withFiles(async (files) => {
    const [first, second] = await chainOf(files, 2)
    const other = await files.create(fileInput('src/a.ts', 'of another file'))
    const map = await files.readAll()
    await files.writeAll({ ...map, [first!.id]: { ...first!, isLatest: true }, [other.id + 1]: { ...second!, id: other.id + 1, content: 'theirs' } })
    assert.equal((await files.list({ includeAllVersions: false })).length, 4)

    const third = await files.createVersion(first!.id, 'v3')
    const latest = await files.list({ includeAllVersions: false })
    assert.deepEqual(latest.map(({ id }) => id), [other.id, third.id])
    assert.deepEqual((await files.getVersions(first!.id)).map(({ content }) => content), ['v1', 'v2', 'theirs', 'v3'])
  }))

  test('called 50 times at once gives the versions 1 to 51 in one unbroken chain', withFiles(async (files) => {
    const { id } = await files.create(fileInput('a', 'v1'))
    const made = await Promise.all(Array.from({ length: 50 }, (_, n) => files.createVersion(id, `content ${n}`)))
    const versions = await files.getVersions(id)
    assertChain(versions, Array.from({ length: 51 }, (_, n) => n + 1))
    assert.equal(new Set(versions.map(({ content }) => content)).size, 51)
    assert.deepEqual(new Set(made.map(({ version }) => version)), new Set(versions.slice(1).map(({ version }) => version)))
  }))

  test('of a missing file throws an error that names it', withFiles(async (files) => {
    await assert.rejects(files.createVersion(4711, 'x'), { code: 'NOT_FOUND', message: /4711/ })
  }))

  test('with bad data changes nothing', withFiles(async (files) => {
    const { id } = await files.create(fileInput('a'))
    await assert.rejects(files.createVersion(id, 'x', { summary: 5 } as any), { code: 'VALIDATION_ERROR' })
    assertChain(await files.getVersions(id), [1])
  }))
})

describe('reading versions', () => {
  test('accepts any id of the chain', withFiles(async (files) => {
    const versions = await chainOf(files, 3)
    for (const { id } of versions) {
      assert.deepEqual(await files.getVersions(id), versions)
      assert.deepEqual(await files.getVersions(String(id)), versions)
      assert.deepEqual(await files.getVersion(id, 2), versions[1])
      assert.deepEqual(await files.getLatestVersion(id), versions[2])
    }
  }))

  test('of a missing file returns nothing', withFiles(async (files) => {
    assert.deepEqual(await files.getVersions(4711), [])
    assert.equal(await files.getVersion(4711, 1), null)
    assert.equal(await files.getLatestVersion(4711), null)
  }))

  test('accepts the id of a root that a whole map left out, as writing versions does', withFiles(async (files) => {
    const [first] = await chainOf(files, 3)
    const map = await files.readAll()
    delete map[first!.id]
    await files.writeAll(map)
    assert.deepEqual((await files.getVersions(first!.id)).map(({ version }) => version), [2, 3])
    assert.equal((await files.createVersion(first!.id, 'v4')).version, 4)
    assert.equal((await files.revertToVersion(first!.id, 2)).content, 'v2')
    const error = await caught(files.revertToVersion(first!.id, 1))
    assert.match(error.message, /version 1 of file/)
  }))

  test('with a number that the chain lacks returns null', withFiles(async (files) => {
    const [first] = await chainOf(files, 2)
    assert.equal(await files.getVersion(first!.id, 3), null)
    assert.equal(await files.getVersion(first!.id, 0), null)
  }))

  test('with a number that two files of the chain have returns the one with the higher id, as a revert does', withProject(async (storage, { id }) => {
    const files = storage.getFileStorage(id)
    const second = { version: 2, originalFileId: 1, prevId: 1 }
    const map = { 1: fileRecord(1, id, { nextId: 2, isLatest: false }), 2: fileRecord(2, id, { ...second, content: 'a' }), 3: fileRecord(3, id, { ...second, content: 'b' }) }
    await files.writeAll(map)
    assert.equal((await files.getVersion(1, 2))?.id, 3)
    assert.equal((await files.revertToVersion(1, 2)).content, 'b')
  }))

  test('keeps chains at one path apart', withFiles(async (files) => {
    const [a] = await chainOf(files, 2)
    const [b] = await chainOf(files, 3)
    assert.equal((await files.getVersions(a!.id)).length, 2)
    assert.equal((await files.getVersions(b!.id)).length, 3)
  }))
})

describe('revertToVersion', () => {
  test('appends a version with the old content', withFiles(async (files) => {
    const [first] = await chainOf(files, 3)
    const reverted = await files.revertToVersion(first!.id, 1)
    assert.deepEqual([reverted.version, reverted.content, reverted.isLatest], [4, 'v1', true])
    assert.equal(reverted.checksum, sha256('v1'))
    assertChain(await files.getVersions(first!.id), [1, 2, 3, 4])
  }))

  test('accepts any id of the chain', withFiles(async (files) => {
    const versions = await chainOf(files, 3)
    assert.equal((await files.revertToVersion(versions[2]!.id, 2)).content, 'v2')
  }))

  test('to a missing version throws and changes nothing', withFiles(async (files) => {
    const [first] = await chainOf(files, 2)
    await assert.rejects(files.revertToVersion(first!.id, 9), { code: 'NOT_FOUND' })
    await assert.rejects(files.revertToVersion(4711, 1), { code: 'NOT_FOUND', message: /4711/ })
    assertChain(await files.getVersions(first!.id), [1, 2])
  }))
})

describe('deleting a version', () => {
  test('links the others in the order of their numbers, whatever their ids', withProject(async (storage, { id }) => {
    const files = storage.getFileStorage(id)
    const chain = [9, 5, 7, 3].map((own, at, ids) => fileRecord(own, id, {
      version: at + 1, prevId: ids[at - 1] ?? null, nextId: ids[at + 1] ?? null, isLatest: at === 3, originalFileId: at === 0 ? null : 9,
    }))
    await files.writeAll(Object.fromEntries(chain.map((file) => [file.id, file])))
    await files.delete(5)
    assertChain(await files.getVersions(9), [1, 3, 4])
  }))

  test('in the middle links its neighbours and keeps their numbers', withFiles(async (files) => {
    const [, second, third] = await chainOf(files, 3)
    await files.delete(second!.id)
    assertChain(await files.getVersions(third!.id), [1, 3])
  }))

  test('at the end makes the one before it the latest', withFiles(async (files) => {
    const [first, , third] = await chainOf(files, 3)
    await files.delete(third!.id)
    assertChain(await files.getVersions(first!.id), [1, 2])
    assert.equal((await files.getByPath('src/a.ts'))?.version, 2)
  }))

  test('at the start makes the next one the root', withFiles(async (files) => {
    const [first, second, third] = await chainOf(files, 3)
    await files.delete(first!.id)
    assertChain(await files.getVersions(third!.id), [2, 3])
    assert.equal((await files.getById(second!.id))?.originalFileId, null)
  }))

  test('by deleteMany links the remaining versions', withFiles(async (files) => {
    const versions = await chainOf(files, 5)
    await files.deleteMany([versions[0]!.id, versions[2]!.id, versions[4]!.id])
    assertChain(await files.getVersions(versions[1]!.id), [2, 4])
  }))

  test('along with all the others leaves nothing', withFiles(async (files) => {
    const versions = await chainOf(files, 3)
    assert.equal(await files.deleteMany(versions.map(({ id }) => id)), 3)
    assert.deepEqual(await files.list(), [])
    assert.equal(await files.getByPath('src/a.ts'), null)
  }))

  test('lets the next version continue after the highest number', withFiles(async (files) => {
    const [first, second] = await chainOf(files, 3)
    await files.delete(second!.id)
    assert.equal((await files.createVersion(first!.id, 'v4')).version, 4)
    assertChain(await files.getVersions(first!.id), [1, 3, 4])
  }))
})

test('a version that is no version number is refused', withFiles(async (files) => {
  const [first] = await chainOf(files, 2)
  for (const version of [-1, 0.5, NaN, Infinity, '1', null, undefined] as never[]) {
    assert.equal((await caught(files.getVersion(first!.id, version))).code, 'INVALID_ARGUMENT', String(version))
    assert.equal((await caught(files.revertToVersion(first!.id, version))).code, 'INVALID_ARGUMENT', String(version))
  }
}))

test('chains survive reopening', withStorage(async (storage, { open }) => {
  const { id } = await storage.create({ name: 'a', path: '/a' })
  const versions = await chainOf(storage.getFileStorage(id), 4)
  await storage.close()
  assert.deepEqual(await open().getFileStorage(id).getVersions(versions[0]!.id), versions)
}))
