// What must compile: the public types as callers use them. Checked by `tsc`, never run.
import { channel } from 'node:diagnostics_channel'
import path, { join } from 'node:path'
import { BaseStorage, IndexManager, NotFoundError, ProjectStorageV2, StorageError, ValidationError } from '@octoprompt/storage'
import { MigrationManager, addIndexesMigration } from '@octoprompt/storage'
import type {
  BackupInfo,
  BackupReport,
  MigrationConfig,
  MigrationContext,
  MigrationLogger,
  MigrationOptions,
  MigrationResult,
  MigrationState,
  MigrationStatus,
} from '@octoprompt/storage'
import { ProjectFilesStorageSchema, ProjectsStorageSchema, projectStorage } from '@octoprompt/storage'
import type {
  BaseEntity,
  BaseStorageOptions,
  CacheStats,
  CreateData,
  CreateProject,
  CreateProjectFile,
  EntityId,
  EntityOf,
  IndexConfig,
  IndexKey,
  IndexStats,
  IndexType,
  InputOf,
  Project,
  ProjectFile,
  ProjectFilesStorage,
  ProjectFileStorage,
  ProjectsStorage,
  StandardSchemaV1,
  StorageEvents,
  StorageOptions,
  StorageStats,
  UpdateData,
  UpdateProject,
} from '@octoprompt/storage'
import { z } from 'zod'
import { z as z3 } from 'zod3'

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
declare function assertType<_T extends true>(): void

const options: StorageOptions = {
  basePath: '/tmp',
  cacheEnabled: true,
  cacheTTL: 1000,
  maxCacheSize: 10,
  lockTimeout: 500,
  durability: 'os',
}

// A caller's own storage with zod 4: the class of the README.
const userSchema = z.object({
  id: z.number(),
  name: z.string(),
  address: z.object({ city: z.string() }).optional(),
  tags: z.array(z.string()).default([]),
  created: z.number(),
  updated: z.number(),
})
const usersSchema = z.record(z.string(), userSchema)
type User = z.infer<typeof userSchema>

assertType<Equal<EntityOf<typeof userSchema>, User>>()

class Users extends BaseStorage<User, Record<string, User>, z.input<typeof userSchema>> {
  constructor(options?: StorageOptions) {
    super(usersSchema, userSchema, 'users', options)
  }
  protected getIndexPath() {
    return join(this.basePath, this.dataDir, 'index.json')
  }
  protected getEntityPath(id: number): string | null {
    return join(this.basePath, this.dataDir, String(id))
  }
  override async create(data: CreateData<User, z.input<typeof userSchema>>) {
    return await super.create({ ...data, name: data.name.trim() })
  }
}

export async function ownStorage(users: Users) {
  const user = await users.create({ name: 'Ada' })
  assertType<Equal<typeof user, User>>()
  const found = await users.getById(user.id)
  assertType<Equal<typeof found, User | null>>()
  const patched = await users.update(user.id, { address: { city: 'Graz' } })
  assertType<Equal<typeof patched, User | null>>()
  const many = await users.createMany([{ name: 'Ada' }, { name: 'Grace' }])
  assertType<Equal<typeof many, User[]>>()
  const moved: User[] = await users.updateMany(many.map(({ id }) => ({ id, data: { address: { city: 'Graz' } } })))
  const left: number = await users.deleteMany(moved.map(({ id }) => id))
  assertType<Equal<typeof left, number>>()
  const all: User[] = await users.list()
  const map: Record<string, User> = await users.writeAll(await users.readAll())
  const stats: CacheStats = users.getCacheStats()
  const { writes, checkpoints }: StorageStats = await users.stats()
  const amplification: number | null = writes.amplification
  const failed: number = checkpoints.failed
  channel('octoprompt-storage:write').subscribe((message) => {
    const { operation, duration, sequence } = message as StorageEvents['octoprompt-storage:write']
    const known: [string, number, number | undefined] = [operation, duration, sequence]
    void known
  })
  void [amplification, failed]
  const next: number = users.generateId()
  const deleted: boolean = await users.delete(next)
  await users.deleteAll()
  await users.rebuildIndexes()
  users.clearCache()
  await users.close()
  return { all, map, stats, deleted }
}

// Disposed of at the end of the scope.
export async function disposed() {
  await using users = new Users(options)
  return users.list()
}

// The smallest storage, from a schema alone.
class MyStorage extends BaseStorage<EntityOf<typeof userSchema>, Record<string, EntityOf<typeof userSchema>>> {
  constructor(options?: StorageOptions) {
    super(usersSchema, userSchema, 'my_data', options)
  }
  protected getIndexPath() {
    return path.join(this.basePath, this.dataDir, 'index.json')
  }
  protected getEntityPath(id: number): string | null {
    return null
  }
}
assertType<Equal<InputOf<typeof userSchema>, z.input<typeof userSchema>>>()

// Indexes, and the calls that are open to subclasses.
const settingsSchema = z.object({ theme: z.string(), size: z.number().default(12) })
const settingsSchema3 = z3.object({ theme: z3.string(), size: z3.number().default(12) })

export class Members extends MyStorage {
  static override indexes: readonly IndexConfig[] = [
    { name: 'by_name', type: 'hash', fields: ['name'], unique: true },
    { name: 'by_place', type: 'btree', fields: ['address.city', 'created'], sparse: true },
  ]
  async settings() {
    const settings = await this.readValidatedJson('settings.json', settingsSchema, { theme: 'light', size: 10 })
    assertType<Equal<typeof settings, { theme: string; size: number }>>()
    const other = await this.readValidatedJson('settings3.json', settingsSchema3, { theme: 'light', size: 10 })
    assertType<Equal<typeof other, { theme: string; size: number }>>()
    return this.writeValidatedJson('settings.json', { theme: 'dark' }, settingsSchema)
  }
  async rename(id: number, name: string) {
    const durability: 'full' | 'os' = this.options.durability
    await this.ensureDirExists(path.join(this.basePath, 'attachments'))
    this.invalidateCache(id)
    this.invalidateCache()
    return this.withLock(`rename ${id}`, async () => ((await this.idExists(id)) ? this.update(id, { name }) : durability))
  }
}

export async function queries(members: Members) {
  const found: User[] = await members.findBy('by_name', 'Ada')
  const keys: IndexKey[] = ['a', 1, true, null, new Date(), ['Graz', 5]]
  const range: User[] = await members.findRange('by_place', ['Graz', new Date(0)], ['Graz'], false)
  const words: User[] = await members.searchBy('by_words', 'ada lovelace')
  return { found, keys, range, words }
}

export const indexed = (base: StorageOptions) =>
  new (class extends BaseStorage<User> {
    constructor(options: BaseStorageOptions) {
      super(usersSchema, userSchema, 'indexed', options)
    }
    protected getIndexPath() {
      return 'index.json'
    }
    protected getEntityPath() {
      return null
    }
  })({ ...base, indexes: [{ name: 'by_tag', type: 'hash', fields: ['tags'] }] })

// zod 3.
const noteSchema3 = z3.object({ id: z3.number(), text: z3.string(), created: z3.number(), updated: z3.number() })
type Note = z3.infer<typeof noteSchema3>

export class Notes extends BaseStorage<Note, Record<string, Note>> {
  constructor() {
    super(z3.record(noteSchema3), noteSchema3, 'notes')
  }
  protected getIndexPath() {
    return 'notes.json'
  }
  protected getEntityPath() {
    return null
  }
}

// Any Standard Schema, with string ids.
interface Session extends BaseEntity {
  id: string
  log: string[]
}
declare const sessionSchema: StandardSchemaV1<unknown, Session>
declare const sessionsSchema: StandardSchemaV1<unknown, Record<string, Session>>

export class Sessions extends BaseStorage<Session> {
  static override newId() {
    return crypto.randomUUID()
  }
  constructor() {
    super(sessionsSchema, sessionSchema, 'sessions')
  }
  protected getIndexPath() {
    return 'sessions.json'
  }
  protected getEntityPath(id: string) {
    return join(this.basePath, id)
  }
}

export async function stringIds(sessions: Sessions) {
  await sessions.create({ log: [] })
  await sessions.createMany([{ log: [] }, { id: 'sunday', log: [] }])
  const session = await sessions.create({ id: 'monday', log: ['started'] })
  assertType<Equal<typeof session.id, string>>()
  return sessions.getById('monday')
}

// Projects and their files.
export async function projects() {
  const storage = new ProjectStorageV2(options)
  const input: CreateProject = { name: 'Sample', path: '/srv/sample' }
  const project: Project = await storage.create(input)
  const patch: UpdateProject = { description: 'new' }
  const updated: Project | null = await storage.update(String(project.id), patch)
  const both: Project[] = await storage.createMany([input, input])
  const renamed: Project[] = await storage.updateMany([{ id: String(project.id), data: patch }])
  const removed: number = await storage.deleteMany([...both, ...renamed].map(({ id }) => String(id)))
  const recent: Project[] = await storage.getRecent()
  const dated: Project[] = await storage.listByDateRange(new Date(0), Date.now())
  const files: ProjectFileStorage = storage.getFileStorage(project.id)
  const file: CreateProjectFile = { name: 'a.ts', path: 'a.ts', content: '', lastSyncedAt: new Date() }
  const created: ProjectFile = await files.create(file)
  const many: ProjectFile[] = await files.createMany([file, file])
  await files.updateMany([{ id: created.id, data: { summary: null } }])
  const gone: number = await files.deleteMany(many.map(({ id }) => id))
  const light = await files.list({ includeContent: false })
  const full = await files.list({ includeAllVersions: false })
  assertType<Equal<(typeof full)[number]['content'], string>>()
  assertType<Equal<'content' extends keyof (typeof light)[number] ? true : false, false>>()
  const second = await files.createVersion(created.id, 'two', { summary: 'second' })
  const one: ProjectFile | null = await files.getVersion(second.id, 1)
  const owner: number = files.projectId
  const patience: number = storage.options.lockTimeout + files.options.lockTimeout
  return { updated, removed, recent, dated, gone, one, owner, patience }
}

// The calls of the server.
export async function server() {
  const map: ProjectsStorage = await projectStorage.readProjects()
  await projectStorage.writeProjects(ProjectsStorageSchema.parse(map))
  const parsed = ProjectFilesStorageSchema.safeParse(await projectStorage.readProjectFiles(1))
  if (parsed.success) {
    const files: ProjectFilesStorage = parsed.data
    await projectStorage.writeProjectFiles(1, files)
  } else {
    for (const issue of parsed.error.issues) console.error(issue.path.join('.'), issue.message, issue.code)
  }
  const file: ProjectFile | undefined = await projectStorage.readProjectFile('1', '2')
  const changed: ProjectFile = await projectStorage.updateProjectFile(1, 2, { content: 'x' })
  await projectStorage.deleteProjectData(1)
  const id: number = projectStorage.generateId()
  return { file, changed, id }
}

// Indexes by hand.
export async function indexes(users: User[], byId: Map<number, User>) {
  await using manager = new IndexManager('/tmp', 'users', { lockTimeout: 500, durability: 'os' })
  const type: IndexType = 'btree'
  const config: IndexConfig = { name: 'users_by_city', type, fields: ['address.city', 'name'], unique: true, sparse: true }
  await manager.createIndex(config)
  await manager.addToIndex('users_by_city', 1, { address: { city: 'Graz' }, name: 'Ada' })
  await manager.addToIndex('users_by_city', 'ada', users[0]!)
  await manager.removeFromIndex('users_by_city', 1)
  await manager.rebuildIndex('users_by_city', users)
  await manager.rebuildIndex('users_by_city', byId)
  await manager.rebuildIndex('users_by_city', { 1: { name: 'Ada' } })
  const keys: IndexKey[] = ['a', 1, true, null, new Date(), ['Graz', 'Ada'], ['Graz', null], [1, new Date()]]
  const ids: EntityId[] = await manager.query('users_by_city', keys[0]!)
  assertType<Equal<EntityId, number | string>>()
  const range: EntityId[] = await manager.queryRange('users_by_city', ['Graz'], ['Wien', 'Zoe'], false)
  const numbers = await manager.queryRange('by_age', -Infinity, Infinity)
  const words = await manager.searchText('by_words', 'red apple')
  const listed: IndexConfig[] = await manager.listIndexes()
  const stats: IndexStats | null = await manager.getIndexStats('users_by_city')
  const since: Date | undefined = stats?.stats.updated
  const file: string | undefined = listed[0]?.collection
  await manager.dropIndex('users_by_city')
  await manager.close()
  return { ids, range, numbers, words, since, file }
}

// Errors are narrowed by class and by code.
export function describe(error: unknown): string {
  if (error instanceof ValidationError) return error.issues.map(({ message }) => message).join()
  if (error instanceof NotFoundError) return error.code satisfies 'NOT_FOUND'
  if (!(error instanceof StorageError)) throw error
  switch (error.code) {
    case 'IO_ERROR':
      return `${error.operation} ${error.path}: ${error.errno} (${error.outcome satisfies 'none' | 'unknown' | undefined})`
    case 'LOCK_TIMEOUT':
    case 'CLOSED':
      return error.message
    default:
      return error.code
  }
}

// Migrations.
const migrationLogger: MigrationLogger = { info() {}, warn() {}, error() {} }
const migrationOptions: MigrationOptions = { lockTimeout: 1, logger: migrationLogger, include: ['config'] as const, keep: 3 }
const migration: MigrationConfig = {
  version: '1.1.0',
  description: 'Name every project',
  async up({ basePath, version, direction, logger, progress }: MigrationContext) {
    assertType<Equal<typeof direction, 'up' | 'down'>>()
    await using storage = new ProjectStorageV2({ basePath })
    const projects = await storage.list()
    for (const [at, project] of projects.entries()) {
      await storage.update(project.id, { name: project.name || version })
      progress(at + 1, projects.length)
    }
    logger.info('done')
  },
  down() {},
}

export async function migrations(path: string) {
  await using manager = new MigrationManager(path, migrationOptions)
  new MigrationManager(path, { logger: null })
  new MigrationManager(path, { logger: (line, level) => void `${level} ${line.length}` })
  manager.register(addIndexesMigration)
  manager.register(migration)
  manager.register({ version: '1.2.0', description: 'without down', up() {} })
  const { versions, currentVersion }: MigrationResult = await manager.migrate()
  await manager.migrate('1.1.0')
  await manager.rollback('1.0.0')
  const state: MigrationState = await manager.getState()
  const failed = state.migrations.filter(({ success }) => !success).map(({ error }) => error)
  assertType<Equal<typeof failed, (string | undefined)[]>>()
  const status: MigrationStatus = await manager.status()
  const kinds = status.migrations.map((one) => one.state)
  assertType<Equal<typeof kinds, ('applied' | 'pending' | 'failed' | 'unknown')[]>>()
  const signal = AbortSignal.timeout(1_000)
  const backup: string = await manager.backup('name', { signal, keep: 2, onProgress: (done, total) => void (done / total) })
  await manager.backup()
  const all: BackupInfo[] = await manager.listBackups()
  const report: BackupReport = await manager.verifyBackup(backup, { signal, onProgress: (done, total) => void (done / total) })
  assertType<Equal<(typeof report.problems)[number]['path'], string>>()
  await manager.restore(all[0]?.path ?? backup, { signal })
  return { versions, currentVersion, latest: status.latestVersion satisfies string | null, base: manager.basePath }
}

// Entities that are a union: each member has its own fields.
const stamps = { id: z.number(), created: z.number(), updated: z.number() }
const eventSchema = z.discriminatedUnion('kind', [
  z.object({ ...stamps, kind: z.literal('click'), x: z.number(), note: z.string().optional() }),
  z.object({ ...stamps, kind: z.literal('key'), code: z.string() }),
])
type AnEvent = z.infer<typeof eventSchema>

class Happenings extends BaseStorage<AnEvent, Record<string, AnEvent>> {
  constructor(options?: StorageOptions) {
    super(z.record(z.string(), eventSchema), eventSchema, 'happenings', options)
  }
  protected getIndexPath() {
    return 'happenings.json'
  }
  protected getEntityPath() {
    return null
  }
}

async function unions(happenings: Happenings, given: AnEvent) {
  const created = await happenings.create({ kind: 'click', x: 5 })
  await happenings.create({ kind: 'key', code: 'Enter' })
  await happenings.create(Math.random() > 0.5 ? { kind: 'click', x: 5, note: 'n' } : { kind: 'key', code: 'Tab' })
  await happenings.update(created.id, { x: 6 })
  await happenings.update(created.id, { kind: 'key', code: 'Escape' })
  const { id, created: _, updated: __, ...fields } = given
  await happenings.update(id, fields)
  await happenings.transaction(async (tx) => {
    const made = await tx.create({ kind: 'key', code: 'a' })
    await tx.update(made.id, { code: 'b' })
    await tx.in(happenings).create({ kind: 'click', x: 1 })
  })
  if (created.kind === 'click') assertType<Equal<typeof created.x, number>>()
}
void unions

/** Options that are passed on may be `undefined`, even under `exactOptionalPropertyTypes`. */
export async function passOn(basePath: string | undefined, signal: AbortSignal | undefined, limit: number | undefined, keep: number | undefined) {
  const storage = new ProjectStorageV2({ basePath, cacheTTL: limit, durability: undefined })
  const { id } = (await storage.query({ where: undefined, limit, signal }))[0]!
  await storage.getById(id, { signal })
  await storage.transaction((tx) => tx.getById(id), { signal })
  for await (const project of storage.iterate({ batchSize: limit, signal })) await storage.getFileStorage(project.id).list({ includeContent: undefined, signal })
  await storage.changes({ from: limit, scope: undefined, signal }).return()
  await new MigrationManager('.', { lockTimeout: limit, logger: undefined }).backup('name', { keep, signal, onProgress: undefined })
}

/** What a schema made optional may be passed on as it is, even under `exactOptionalPropertyTypes`. */
export async function passFields(users: Users, sessions: Sessions, storage: ProjectStorageV2, body: unknown) {
  const patch = userSchema.pick({ name: true, address: true }).partial().parse(body)
  await users.update(1, patch)
  await users.updateMany([{ id: 1, data: patch }])
  await users.transaction((tx) => tx.update(1, patch))
  const removal: UpdateData<{ nickname?: string }> = { nickname: undefined }
  const id: string | undefined = z.string().optional().parse(body)
  await sessions.create({ id, log: [] })
  const given = z.object({ name: z.string(), path: z.string(), description: z.string().optional() }).parse(body)
  const project = await storage.create(given)
  await storage.update(project.id, z.object({ name: z.string() }).partial().parse(body))
  const files = storage.getFileStorage(project.id)
  const file = await files.create({ path: 'a', content: '', summary: given.description })
  await files.update(file.id, { name: given.description, content: undefined })
  await files.createVersion(file.id, 'text', { summary: given.description })
  await files.createFromStream({ path: 'b', meta: given.description }, [])
  return removal
}
