// Back and forth: the old package can read what this package leaves, and this package adopts what the old one then writes.
import assert from 'node:assert/strict'
import { readFile, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { z } from 'zod3'
import { MigrationManager, ProjectStorageV2, addIndexesMigration } from '../index.js'
import { dataPath, warningOf, withOldData } from './support/index.js'

// The old package, as far as reading and writing go: whole files, through schemas that know no other fields.
const time = z.number().int().positive()
const projectSchema = z
  .object({ id: time, name: z.string().min(1), description: z.string(), path: z.string().min(1), created: time, updated: time })
  .strict()
const fileSchema = z
  .object({
    id: time,
    projectId: time,
    name: z.string(),
    path: z.string(),
    extension: z.string(),
    size: z.number().int(),
    content: z.string(),
    summary: z.string().nullable(),
    summaryLastUpdated: time.nullable(),
    meta: z.string(),
    checksum: z.string().nullable(),
    created: time,
    updated: time,
    version: z.number().int().default(1),
    prevId: time.nullable().default(null),
    nextId: time.nullable().default(null),
    isLatest: z.boolean().default(true),
    originalFileId: time.nullable().default(null),
    // Added by this package; the old one ignores fields that it does not know.
    lastSyncedAt: time.nullable().optional(),
    syncVersion: z.number().int().optional(),
  })
  .strict()
type OldFile = z.infer<typeof fileSchema>

const readMap = async <T>(path: string, schema: z.ZodType<T, z.ZodTypeDef, unknown>): Promise<Record<string, T>> =>
  z.record(z.string().regex(/^\d+$/), schema).parse(JSON.parse(await readFile(path, 'utf8')))
const writeMap = (path: string, map: object) => writeFile(path, JSON.stringify(map, null, 2))
const projectsFile = (base: string) => join(dataPath(base), 'projects.json')
const filesFile = (base: string, id: number | string) => join(dataPath(base), 'project_data', String(id), 'files.json')

/** Reads everything as the old package sees it. */
async function oldView(base: string) {
  const projects = await readMap(projectsFile(base), projectSchema)
  const files: Record<string, Record<string, OldFile>> = {}
  for (const id of await readdir(join(dataPath(base), 'project_data'))) {
    files[id] = await readMap(filesFile(base, id), fileSchema)
  }
  return { projects, files }
}

const used = async (base: string, work: (storage: ProjectStorageV2) => Promise<unknown>) => {
  const storage = new ProjectStorageV2({ basePath: base })
  try {
    await work(storage)
  } finally {
    await storage.close()
  }
}

/** Returns a project of the old data that has files, and one of its files. */
async function sample(storage: ProjectStorageV2) {
  for (const { id } of await storage.list()) {
    const [file] = await storage.getProjectFiles(id, { includeAllVersions: false })
    if (file) return { projectId: id, file }
  }
  return assert.fail('the old data has no files')
}

describe('the old package after a close()', () => {
  test('sees unchanged data when nothing was written', withOldData(async ({ base }) => {
    const before = await oldView(base)
    await used(base, (storage) => storage.list())
    assert.deepEqual(await oldView(base), before)
  }))

  test('sees unchanged data after addIndexesMigration and after its rollback', withOldData(async ({ base }) => {
    const before = await oldView(base)
    const manager = new MigrationManager(base, { logger: null })
    manager.register(addIndexesMigration)
    await manager.migrate()
    const withoutNew = ({ projects, files }: Awaited<ReturnType<typeof oldView>>) => ({
      projects,
      files: Object.fromEntries(
        Object.entries(files).map(([id, map]) => [id, Object.values(map).map(({ lastSyncedAt, syncVersion, ...file }) => file)]),
      ),
    })
    assert.deepEqual(withoutNew(await oldView(base)), withoutNew(before))
    await manager.rollback('0.0.0')
    await manager.close()
    assert.deepEqual(withoutNew(await oldView(base)), withoutNew(before))
  }))

  test('sees what every kind of call wrote', withOldData(async ({ base }) => {
    let expected
    await used(base, async (storage) => {
      const { projectId, file } = await sample(storage)
      await storage.create({ name: 'New', path: '/new' })
      await storage.addFile(projectId, { name: 'new.ts', path: 'src/new.ts', content: 'export {}\n' })
      await storage.createFileVersion(projectId, file.id, 'changed')
      await storage.revertToVersion(projectId, file.id, 1)
      await storage.updateProjectFile(projectId, file.id, { summary: 'said', summaryLastUpdated: 1_718_000_000_000 })
      const map = await storage.readProjectFiles(projectId)
      await storage.writeProjectFiles(projectId, map)
      const files: Record<string, object> = {}
      for (const { id } of await storage.list()) files[id] = await storage.readProjectFiles(id)
      expected = { projects: await storage.readProjects(), files }
    })
    const { projects, files } = await oldView(base)
    // A project without files may have no file that lists them.
    const present = Object.fromEntries(Object.entries(expected!.files).filter(([, map]) => Object.keys(map as object).length > 0))
    assert.deepEqual({ projects, files }, { projects: expected!.projects, files: { ...files, ...present } })
  }))

  test('does not see what was deleted', withOldData(async ({ base }) => {
    let gone = 0
    await used(base, async (storage) => {
      gone = (await sample(storage)).projectId
      await storage.delete(gone)
    })
    const { projects, files } = await oldView(base)
    assert.deepEqual([String(gone) in projects, String(gone) in files], [false, false])
  }))
})

test('what the old package writes in between is adopted with a warning', withOldData(async ({ base }) => {
  let projectId = 0
  let fileId = 0
  await used(base, async (storage) => {
    const found = await sample(storage)
    projectId = found.projectId
    fileId = found.file.id
    await storage.updateProjectFile(projectId, fileId, { meta: '{"by":"new"}' })
  })

  const path = filesFile(base, projectId)
  const map = await readMap(path, fileSchema)
  map[fileId]!.summary = 'by the old package'
  const added = { ...map[fileId]!, id: fileId + 7, path: 'added.ts', version: 1, prevId: null, nextId: null, originalFileId: null, isLatest: true }
  await writeMap(path, { ...map, [added.id]: added })

  const warning = await warningOf('SNAPSHOT_CHANGED', () =>
    used(base, async (storage) => {
      const { meta, summary } = (await storage.readProjectFile(projectId, fileId))!
      assert.deepEqual({ meta, summary }, { meta: '{"by":"new"}', summary: 'by the old package' })
      assert.equal((await storage.getFileStorage(projectId).getByPath('added.ts'))?.id, added.id)
    }),
  )
  assert.ok(warning.message.includes('files.json'))
  assert.equal((await readMap(path, fileSchema))[fileId]!.summary, 'by the old package')
}))
