// Two databases whose JSON files a program carries from one to the other, without `.storage`: git, Syncthing, Dropbox.
import assert from 'node:assert/strict'
import { copyFileSync, cpSync, existsSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { join, relative, sep } from 'node:path'
import { describe, test } from 'node:test'
import type { ProjectStorageV2 } from '../index.js'
import { dataPath, fileInput, filesPath, projectInput, projectsPath, warningOf, withDirectory } from './support/index.js'

const RESERVED = '.storage'

/** Makes the JSON files under `to` those under `from`. Each is renamed into place, as such programs do. */
function carry(from: string, to: string) {
  for (const name of filesIn(to)) if (!existsSync(join(from, name))) rmSync(join(to, name))
  for (const name of filesIn(from)) {
    const arriving = join(to, `${name}.arriving`)
    cpSync(join(from, name), arriving)
    renameSync(arriving, join(to, name))
  }
}

function filesIn(directory: string): string[] {
  if (!existsSync(directory)) return []
  const entries = readdirSync(directory, { recursive: true, withFileTypes: true })
  const names = entries.filter((entry) => entry.isFile()).map(({ parentPath, name }) => relative(directory, join(parentPath, name)))
  return names.filter((name) => name.split(sep)[0] !== RESERVED)
}

interface Side {
  /** The directory of the database. */
  data: string
  base: string
  open(): ProjectStorageV2
}

/** Makes the body of a test that has two sides. */
const withSides = (work: (here: Side, there: Side) => Promise<void>) =>
  withDirectory(async ({ base, open }) => {
    const side = (name: string) => {
      const own = join(base, name)
      return { base: own, data: dataPath(own), open: () => open({ basePath: own }) }
    }
    await work(side('here'), side('there'))
  })

/** Creates projects with one file each, and carries them to the other side, where nothing is open. */
async function shared({ open, data }: Side, there: Side, ...names: string[]): Promise<number[]> {
  const storage = open()
  const ids: number[] = []
  for (const name of names) {
    const { id } = await storage.create(projectInput(name))
    await storage.getFileStorage(id).create(fileInput('shared.ts'))
    ids.push(id)
  }
  await storage.close()
  carry(data, there.data)
  return ids
}

const pathsOf = async (storage: ProjectStorageV2, id: number) => (await storage.getFileStorage(id).list()).map(({ path }) => path).sort()
const namesOf = async (storage: ProjectStorageV2) => (await storage.list()).map(({ name }) => name).sort()

describe('JSON files that come from another database', () => {
  test('bring its changes, and those that they lack are kept', withSides(async (here, there) => {
    const [id] = await shared(here, there, 'one')
    const kept = here.open()
    await kept.getFileStorage(id!).create(fileInput('here.ts'))

    const other = there.open()
    await other.getFileStorage(id!).create(fileInput('there.ts'))
    await other.close()
    carry(there.data, here.data)

    await warningOf('SNAPSHOT_CHANGED', () => kept.close())
    const again = here.open()
    assert.deepEqual(await pathsOf(again, id!), ['here.ts', 'shared.ts', 'there.ts'])
    assert.deepEqual((await again.verify()).problems.filter(({ severity }) => severity !== 'note'), [])
  }))

  test('bring its new projects, with their files', withSides(async (here, there) => {
    await shared(here, there, 'one')
    const other = there.open()
    const { id } = await other.create(projectInput('two'))
    await other.getFileStorage(id).create(fileInput('new.ts'))
    await other.close()
    const storage = here.open()
    assert.deepEqual(await namesOf(storage), ['one'])
    carry(there.data, here.data)

    await storage.clearCache()
    assert.deepEqual(await namesOf(storage), ['one', 'two'])
    assert.deepEqual(await pathsOf(storage, id), ['new.ts'])
  }))

  test('delete what was deleted there, with its files', withSides(async (here, there) => {
    const [one, two] = await shared(here, there, 'one', 'two')
    const other = there.open()
    await other.deleteProjectData(two!)
    await other.delete(two!)
    await other.close()
    const storage = here.open()
    assert.deepEqual(await pathsOf(storage, two!), ['shared.ts'])
    carry(there.data, here.data)

    await storage.clearCache()
    assert.deepEqual(await namesOf(storage), ['one'])
    assert.deepEqual(await pathsOf(storage, two!), [])
    assert.deepEqual(await pathsOf(storage, one!), ['shared.ts'])
    await storage.getFileStorage(one!).create(fileInput('later.ts'))
    await storage.close()
    assert.deepEqual((await here.open().verify()).problems, [])
  }))

  test('are not adopted under the name of a conflict, which verifying names', withSides(async (here, there) => {
    const [id] = await shared(here, there, 'one')
    const beside = (path: string) => path.replace(/\.json$/, ' (conflicted copy).json')
    copyFileSync(filesPath(there.base, id!), beside(filesPath(here.base, id!)))
    copyFileSync(projectsPath(there.base), beside(projectsPath(here.base)))

    const storage = here.open()
    assert.deepEqual(await namesOf(storage), ['one'])
    assert.deepEqual(await pathsOf(storage, id!), ['shared.ts'])
    assert.deepEqual(
      (await storage.verify()).problems.map(({ code, path }) => [code, path]),
      [['NOT_ADOPTED', `project_data/${id}/files (conflicted copy).json`], ['NOT_ADOPTED', 'projects (conflicted copy).json']],
    )
  }))
})
