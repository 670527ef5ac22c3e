/// <reference lib="es2022" />
/// <reference lib="esnext.disposable" />

export {}

/**
 * A validator that follows the Standard Schema specification (https://standardschema.dev): zod 3.24 and later, zod 4,
 * valibot, arktype and others. Validation may be synchronous or asynchronous.
 */
export interface StandardSchemaV1<Input = unknown, Output = Input> {
  readonly '~standard': {
    readonly version: 1
    readonly vendor: string
    readonly validate: (value: unknown) => StandardSchemaResult<Output> | Promise<StandardSchemaResult<Output>>
    readonly types?: { readonly input: Input; readonly output: Output } | undefined
  }
}

type StandardSchemaResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly StandardSchemaIssue[] }

interface StandardSchemaIssue {
  readonly message: string
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined
}

/** The entity that a schema describes: `type User = EntityOf<typeof userSchema>`. */
export type EntityOf<Schema extends StandardSchemaV1> = NonNullable<Schema['~standard']['types']>['output']

/** How a storage is opened. A wrong type or value is a `TypeError` or `RangeError` that names the option. */
export interface StorageOptions {
  /** The directory under which `dataDir` lies. Default: `process.cwd()`. */
  basePath?: string
  /** Whether this instance keeps what it read. Default: `true`. */
  cacheEnabled?: boolean
  /** Milliseconds after which a cached entry expires, counted from when it was read. Default: 300 000. */
  cacheTTL?: number
  /** The most entries the cache holds; an entry is one document or one whole list. Default: 100. */
  maxCacheSize?: number
  /** Milliseconds that a write waits for its lock before it fails with `LOCK_TIMEOUT`. Default: 30 000. */
  lockTimeout?: number
  /** What a resolved write survives. `'full'` (the default): power loss. `'os'`: a killed process only. */
  durability?: 'full' | 'os'
}

/** What {@link BaseStorage.getCacheStats} returns. */
export interface CacheStats {
  /** Entries held now; never more than `maxSize`. */
  size: number
  maxSize: number
  /** Milliseconds. */
  ttl: number
  enabled: boolean
  /** Reads that the cache answered. */
  hits: number
  /** Reads that it did not. */
  misses: number
  /** `hits / (hits + misses)`, from 0 to 1; 0 before the first read. */
  hitRate: number
}

/** The stable code of an error. Compare codes; messages may change. */
export type StorageErrorCode =
  | 'VALIDATION_ERROR'
  | 'NOT_FOUND'
  | 'ALREADY_EXISTS'
  | 'UNIQUE_VIOLATION'
  | 'INDEX_TYPE'
  | 'LOCK_TIMEOUT'
  | 'CORRUPT_DATA'
  | 'IO_ERROR'
  | 'CLOSED'
  | 'INVALID_ARGUMENT'
  | 'MIGRATION_FAILED'
  | 'CONFLICT'
  | 'ABORTED'
  | 'UNSUPPORTED_FORMAT'
  | 'UNSUPPORTED_FILESYSTEM'

/** Every error of this package, except errors of your own schemas, which reach you as they are. */
export class StorageError extends Error {
  constructor(message: string, code: StorageErrorCode, options?: ErrorOptions)
  readonly code: StorageErrorCode
  /** Of an `IO_ERROR`: the name the operating system gives it, e.g. `'ENOSPC'`. */
  readonly errno?: string
  /** Of an `IO_ERROR`: the file or directory. */
  readonly path?: string
  /** Of an `IO_ERROR`: what was tried, e.g. `'open'`. */
  readonly operation?: string
  /**
   * Of a write that failed: `'none'` when nothing changed and the call may be repeated, `'unknown'` when a sync failed
   * and only reopening tells whether the write is there.
   */
  readonly outcome?: 'none' | 'unknown'
}

/** One field that broke a rule. */
export interface ValidationIssue {
  /** Keys and positions that lead to the field, outermost first. */
  path: (string | number)[]
  message: string
  /** A stable word for the kind of issue, e.g. `'invalid_type'`. */
  code: string
}

/** Data that a rule refuses. Nothing was written. */
export class ValidationError extends StorageError {
  constructor(message: string, issues: ValidationIssue[])
  readonly code: 'VALIDATION_ERROR'
  /** One for each bad field. */
  readonly issues: ValidationIssue[]
}

/** A project, file or version that does not exist; the message names its id. */
export class NotFoundError extends StorageError {
  constructor(message: string)
  readonly code: 'NOT_FOUND'
}

/** What every stored entity has. Times are integer milliseconds since 1970. */
export interface BaseEntity {
  id: number | string
  created: number
  updated: number
}

type Assigned = 'id' | 'created' | 'updated'

/** What `create` takes: numbers as ids are assigned; string ids come with the data or from `static newId()`. */
type CreateData<TEntity extends BaseEntity, TInput extends object> = Omit<TInput, Assigned> &
  (TEntity['id'] extends string ? { id?: TEntity['id'] } : unknown)

type UpdateData<TInput extends object> = Partial<Omit<TInput, Assigned>>

/**
 * The abstraction that every storage shares: entities in one JSON file, `{ "<id>": entity, … }`.
 *
 * ```ts
 * class Users extends BaseStorage<User, Record<string, User>> {
 *   constructor(options?: StorageOptions) { super(usersSchema, userSchema, 'users', options) }
 *   protected getIndexPath() { return join(this.basePath, this.dataDir, 'index.json') }
 *   protected getEntityPath() { return null }
 * }
 * ```
 *
 * Every method that returns a promise rejects with `CLOSED` after {@link close}. What a read returns is yours: changing
 * it changes nothing that is stored. A write whose promise resolved is durable as `durability` says; one that
 * rejected changed nothing, unless its error says `outcome: 'unknown'`.
 *
 * @typeParam TEntity The entity, as its schema puts it out.
 * @typeParam TStorage The map of all entities by id.
 * @typeParam TInput The entity as its schema takes it in, where defaults or transforms make that differ from `TEntity`.
 */
export abstract class BaseStorage<
  TEntity extends BaseEntity,
  TStorage extends Record<string | number, TEntity> = Record<string, TEntity>,
  TInput extends object = TEntity,
> {
  /**
   * @param storageSchema Validates the whole map, in {@link writeAll} only.
   * @param entitySchema Validates each entity that is written, and those that another program wrote, once.
   * @param dataDir The database's directory, relative to `basePath`.
   * @throws TypeError, RangeError when an option has a wrong type or value.
   */
  constructor(
    storageSchema: StandardSchemaV1<unknown, TStorage>,
    entitySchema: StandardSchemaV1<unknown, TEntity>,
    dataDir: string,
    options?: StorageOptions,
  )

  /** Gives the id of an entity that comes without one. Define it in a subclass whose ids are strings. */
  static newId?(): string

  /** Absolute path of the directory under which `dataDir` lies. */
  protected basePath: string
  /** The database's directory, relative to `basePath`. */
  protected dataDir: string

  /** The JSON file that holds the entities. Asked once, at the first use of the storage. */
  protected abstract getIndexPath(): string
  /** A file or directory that is removed with its entity, or `null`. */
  protected abstract getEntityPath(id: TEntity['id']): string | null

  /**
   * Stores a new entity; `id`, `created` and `updated` are assigned. Costs the same however many entities there are.
   * @throws The schema's own error when it rejects the data.
   */
  create(data: CreateData<TEntity, TInput>): Promise<TEntity>
  /** The entity, or `null`. Constant time. */
  getById(id: TEntity['id']): Promise<TEntity | null>
  /**
   * Merges a patch into an entity. `id` and `created` stay, `updated` is set and never goes backwards. Concurrent
   * patches of different fields all survive, those of other processes too.
   * @returns The entity as stored, or `null` when there is none.
   */
  update(id: TEntity['id'], patch: UpdateData<TInput>): Promise<TEntity | null>
  /** Removes an entity and what `getEntityPath` names. `false` when there was none. */
  delete(id: TEntity['id']): Promise<boolean>
  /** All entities, ids ascending. */
  list(): Promise<TEntity[]>
  /** Removes all entities as one batch. */
  deleteAll(): Promise<void>
  /** All entities by id, ids ascending. */
  readAll(): Promise<TStorage>
  /**
   * Replaces all entities as one batch: those that the map lacks are deleted, `updated` is taken as given. Only what
   * differs is written. To change a few entities beside other writers, use {@link update}.
   * @returns What is stored.
   */
  writeAll(data: TStorage): Promise<TStorage>
  /** An id that was never handed out before. */
  generateId(): number
  /** Forgets what was read; nothing stored changes. */
  clearCache(): void
  getCacheStats(): CacheStats
  /** Builds the indexes of this storage anew from its entities. */
  rebuildIndexes(): Promise<void>
  /**
   * Waits for this instance's writes, brings the JSON files up to date and ends the instance. Closing twice is fine.
   */
  close(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/**
 * A time as input: milliseconds, a numeric string, a `Date` or an ISO string. A number below 1e10 is taken as seconds.
 * Years 1970 to 2050.
 */
export type TimestampInput = number | string | Date

/** A numeric id; its decimal digits are accepted too, since they are the keys of the maps. */
export type IdInput = number | string

export interface Project {
  /** Integer. */
  id: number
  /** Not empty. */
  name: string
  description: string
  /** Not empty. */
  path: string
  /** Milliseconds. */
  created: number
  /** Milliseconds. */
  updated: number
}

export interface CreateProject {
  /** Not empty. */
  name: string
  /** Not empty. */
  path: string
  /** Default: `''`. */
  description?: string
}

export type UpdateProject = Partial<CreateProject>

export interface ProjectFile {
  /** Integer. */
  id: number
  projectId: number
  name: string
  path: string
  /** With its dot; `''` for a path without one. */
  extension: string
  /** Bytes of `content` in UTF-8. */
  size: number
  /** Any string, lone surrogates included. */
  content: string
  summary: string | null
  /** Milliseconds. */
  summaryLastUpdated: number | null
  meta: string
  /** SHA-256 of the content in hexadecimal digits, where it is known. */
  checksum: string | null
  /** Milliseconds. */
  created: number
  /** Milliseconds. */
  updated: number
  /** 1 to N in its chain. */
  version: number
  /** The version before, or `null`. */
  prevId: number | null
  /** The version after, or `null`. */
  nextId: number | null
  /** True of exactly one version of a chain. */
  isLatest: boolean
  /** The chain's first version; `null` on that one itself. */
  originalFileId: number | null
  /** Milliseconds. */
  lastSyncedAt: number | null
  syncVersion: number
}

/** A file as a list without content gives it. */
export type ProjectFileInfo = Omit<ProjectFile, 'content'>

export interface CreateProjectFile {
  name: string
  path: string
  content: string
  /** Default: from the path. */
  extension?: string
  /** Default: the bytes of `content` in UTF-8. */
  size?: number
  summary?: string | null
  summaryLastUpdated?: TimestampInput | null
  meta?: string
  checksum?: string | null
  lastSyncedAt?: TimestampInput | null
  syncVersion?: number
}

/** A change of `content` recomputes `size` and `checksum`, unless the patch gives them. */
export type UpdateProjectFile = Partial<CreateProjectFile>

/** What a new version may change besides its content. */
export type FileVersionExtra = Omit<UpdateProjectFile, 'content'>

export interface ListFilesOptions {
  /** Default: `true`. With `false` the content is not read from disk and the results lack it. */
  includeContent?: boolean
  /** Default: `true`. With `false` only the latest version of each file is listed. */
  includeAllVersions?: boolean
}

/** All projects by id. */
export type ProjectsStorage = Record<string, Project>
/** All files of a project, every version, by id. */
export type ProjectFilesStorage = Record<string, ProjectFile>

/** The outcome of `safeParse`. */
export type SafeParseResult<Output> =
  | { success: true; data: Output; error?: undefined }
  | { success: false; data?: undefined; error: ValidationError }

/** A synchronous schema, as the server uses it. */
export interface StorageSchema<Output> extends StandardSchemaV1<unknown, Output> {
  /**
   * Checks a value, fills in defaults, drops unknown properties.
   * @throws {@link ValidationError}
   */
  parse(value: unknown): Output
  /** As `parse`, but returns the error. */
  safeParse(value: unknown): SafeParseResult<Output>
}

export const ProjectsStorageSchema: StorageSchema<ProjectsStorage>
export const ProjectFilesStorageSchema: StorageSchema<ProjectFilesStorage>

/**
 * The files of one project, from {@link ProjectStorageV2.getFileStorage}. Every version of a file is an entity of its
 * own; a chain of versions is linked by `prevId`, `nextId` and `originalFileId`, and each call changes it atomically.
 *
 * For a project that does not exist, reads give nothing and writes throw {@link NotFoundError}.
 */
export class ProjectFileStorage extends BaseStorage<ProjectFile, ProjectFilesStorage> {
  private constructor()
  protected getIndexPath(): string
  protected getEntityPath(id: number): string | null

  /**
   * Stores a new file as version 1 of a chain of its own.
   * @throws {@link NotFoundError} when the project does not exist; {@link ValidationError}
   */
  create(data: CreateProjectFile): Promise<ProjectFile>
  /** Stores many files as one batch. */
  createMany(files: readonly CreateProjectFile[]): Promise<ProjectFile[]>
  getById(id: IdInput): Promise<ProjectFile | null>
  /** Changes a file in place, without a new version. Fields of the chain are ignored. `null` when absent. */
  update(id: IdInput, patch: UpdateProjectFile): Promise<ProjectFile | null>
  /**
   * Changes many files as one batch.
   * @throws {@link NotFoundError} when one does not exist; nothing changes then.
   */
  updateMany(changes: readonly { id: IdInput; data: UpdateProjectFile }[]): Promise<ProjectFile[]>
  /** Removes one version and links its neighbours; their numbers stay. `false` when there was none. */
  delete(id: IdInput): Promise<boolean>
  /**
   * Removes many versions as one batch; ids that do not exist are passed over.
   * @returns How many there were.
   */
  deleteMany(ids: readonly IdInput[]): Promise<number>

  /** The files, ids ascending; by default every version with its content. */
  list(options?: ListFilesOptions & { includeContent?: true }): Promise<ProjectFile[]>
  list(options: ListFilesOptions & { includeContent: false }): Promise<ProjectFileInfo[]>
  list(options?: ListFilesOptions): Promise<(ProjectFileInfo & { content?: string })[]>
  /** The latest version at exactly this path, or `null`. Indexed. */
  getByPath(path: string): Promise<ProjectFile | null>
  /** Latest versions, by path. `'ts'` and `'.ts'` mean the same. Indexed. */
  getByExtension(extension: string): Promise<ProjectFile[]>
  /** Latest versions whose path or content holds the text, in any case of letters. Reads every content. */
  search(query: string): Promise<ProjectFile[]>

  /**
   * Appends a version after the latest of the chain that `fileId` belongs to.
   * @throws {@link NotFoundError} when the file does not exist.
   */
  createVersion(fileId: IdInput, content: string, extra?: FileVersionExtra): Promise<ProjectFile>
  /** All versions in order. Any id of the chain will do. */
  getVersions(originalFileId: IdInput): Promise<ProjectFile[]>
  /** One version by its number, or `null`. Any id of the chain will do. */
  getVersion(originalFileId: IdInput, version: number): Promise<ProjectFile | null>
  /** The latest version, or `null`. Any id of the chain will do. */
  getLatestVersion(originalFileId: IdInput): Promise<ProjectFile | null>
  /**
   * Appends a version with the content of an older one.
   * @throws {@link NotFoundError} when the file or the version does not exist.
   */
  revertToVersion(fileId: IdInput, version: number): Promise<ProjectFile>
}

/** Projects and their files, in `<basePath>/data/project_storage`. */
export class ProjectStorageV2 extends BaseStorage<Project, ProjectsStorage> {
  /** @throws TypeError, RangeError when an option has a wrong type or value. */
  constructor(options?: StorageOptions)
  protected getIndexPath(): string
  protected getEntityPath(id: number): string | null

  /** @throws {@link ValidationError} */
  create(data: CreateProject): Promise<Project>
  getById(id: IdInput): Promise<Project | null>
  update(id: IdInput, patch: UpdateProject): Promise<Project | null>
  /** Removes a project and its files as one batch. `false` when there was none. */
  delete(id: IdInput): Promise<boolean>

  /** Projects with exactly this name. Indexed. */
  findByName(name: string): Promise<Project[]>
  /** Projects with exactly this path. Indexed. */
  findByPath(path: string): Promise<Project[]>
  /** A project with exactly this path, or `null`. Indexed. */
  getByPath(path: string): Promise<Project | null>
  /** Projects created in a span, both ends included, oldest first. Indexed. Numbers are milliseconds. */
  listByDateRange(start: Date | number, end: Date | number): Promise<Project[]>
  /** Projects whose name holds all words of the query, in any case of letters; the most recently updated first. */
  search(query: string): Promise<Project[]>
  /** The most recently updated projects, latest first. */
  getRecent(limit?: number): Promise<Project[]>

  /** The files of a project. They close with this storage. */
  getFileStorage(projectId: IdInput): ProjectFileStorage
  /**
   * Stores a new file in a project.
   * @throws {@link NotFoundError} when the project does not exist; {@link ValidationError}
   */
  addFile(projectId: IdInput, file: CreateProjectFile): Promise<ProjectFile>
  /** As {@link ProjectFileStorage.list}. */
  getProjectFiles(projectId: IdInput, options?: ListFilesOptions & { includeContent?: true }): Promise<ProjectFile[]>
  getProjectFiles(projectId: IdInput, options: ListFilesOptions & { includeContent: false }): Promise<ProjectFileInfo[]>
  getProjectFiles(projectId: IdInput, options?: ListFilesOptions): Promise<(ProjectFileInfo & { content?: string })[]>
  /** As {@link ProjectFileStorage.search}. */
  searchFiles(projectId: IdInput, query: string): Promise<ProjectFile[]>

  // What the server calls today.

  /** All projects by id. */
  readProjects(): Promise<ProjectsStorage>
  /** Replaces all projects as one batch; only what differs is written. Returns what is stored. */
  writeProjects(projects: ProjectsStorage): Promise<ProjectsStorage>
  /** All files of a project, every version, by id; an empty map for a project that does not exist. */
  readProjectFiles(projectId: IdInput): Promise<ProjectFilesStorage>
  /**
   * Replaces all files of a project as one batch, chains as given; only what differs is written. The project need not
   * exist. Returns what is stored.
   */
  writeProjectFiles(projectId: IdInput, files: ProjectFilesStorage): Promise<ProjectFilesStorage>
  readProjectFile(projectId: IdInput, fileId: IdInput): Promise<ProjectFile | undefined>
  /** @throws {@link NotFoundError} when the file does not exist. */
  updateProjectFile(projectId: IdInput, fileId: IdInput, patch: UpdateProjectFile): Promise<ProjectFile>
  /** As {@link ProjectFileStorage.createVersion}. */
  createFileVersion(projectId: IdInput, fileId: IdInput, content: string, extra?: FileVersionExtra): Promise<ProjectFile>
  /** As {@link ProjectFileStorage.getVersions}. */
  getFileVersions(projectId: IdInput, originalFileId: IdInput): Promise<ProjectFile[]>
  /** As {@link ProjectFileStorage.getVersion}. */
  getFileVersion(projectId: IdInput, originalFileId: IdInput, version: number): Promise<ProjectFile | null>
  /** As {@link ProjectFileStorage.getLatestVersion}. */
  getLatestFileVersion(projectId: IdInput, originalFileId: IdInput): Promise<ProjectFile | null>
  /** As {@link ProjectFileStorage.revertToVersion}. */
  revertToVersion(projectId: IdInput, fileId: IdInput, version: number): Promise<ProjectFile>
  /** Removes the files of a project; a project that does not exist is no error. */
  deleteProjectData(projectId: IdInput): Promise<void>
  /** All files of a project, every version with its content, ids ascending. */
  getProjectFileArray(projectId: IdInput): Promise<ProjectFile[]>
}

/**
 * The storage that the server imports, on `process.cwd()` as it is at the first call. After `close()` the next call
 * opens it again.
 */
export const projectStorage: ProjectStorageV2
