import type { BaseStorage } from './base-storage.js'
import type { NotFoundError, ValidationError } from './errors.js'
import type { ProjectFileStorage } from './file-storage.js'
import type { CallOptions, StorageOptions } from './options.js'
import type { Transaction, TransactionOptions } from './transaction.js'
import type { CreateProject, CreateProjectFile, FileVersionExtra, IdInput, ListFilesOptions, Project, ProjectFile, ProjectFileInfo, ProjectFilesStorage, ProjectsStorage, UpdateProject, UpdateProjectFile } from './projects.js'

/** Projects and their files, in `<basePath>/data/project_storage`. */
export class ProjectStorageV2 extends BaseStorage<Project, ProjectsStorage> {
  /** @throws TypeError, RangeError when an option has a wrong type or value. */
  constructor(options?: StorageOptions)
  protected getIndexPath(): string
  protected getEntityPath(id: number): string | null

  /** @throws {@link ValidationError} */
  create(data: CreateProject, options?: CallOptions): Promise<Project>
  getById(id: IdInput, options?: CallOptions): Promise<Project | null>
  update(id: IdInput, patch: UpdateProject, options?: CallOptions): Promise<Project | null>
  /** Removes a project and its files as one batch. Returns `false` if there was no such project. */
  delete(id: IdInput, options?: CallOptions): Promise<boolean>
  /** @throws {@link ValidationError} with the issues of all projects. */
  createMany(data: readonly CreateProject[], options?: CallOptions): Promise<Project[]>
  /** @throws {@link NotFoundError}; {@link ValidationError} with the issues of all patches. */
  updateMany(changes: readonly { id: IdInput; data: UpdateProject }[], options?: CallOptions): Promise<Project[]>
  /** Removes projects and their files as one batch. Ids that do not exist are skipped. */
  deleteMany(ids: readonly IdInput[], options?: CallOptions): Promise<number>

  transaction<T>(
    work: (tx: Transaction<Project, CreateProject, UpdateProject, IdInput>) => T | Promise<T>,
    options?: TransactionOptions,
  ): Promise<T>

  /** Projects with exactly this name. Indexed. */
  findByName(name: string, options?: CallOptions): Promise<Project[]>
  /** Projects with exactly this path. Indexed. */
  findByPath(path: string, options?: CallOptions): Promise<Project[]>
  /** A project with exactly this path, or `null`. Indexed. */
  getByPath(path: string, options?: CallOptions): Promise<Project | null>
  /** Projects created in a period, both ends included, oldest first. Indexed. Numbers are milliseconds. */
  listByDateRange(start: Date | number, end: Date | number, options?: CallOptions): Promise<Project[]>
  /**
   * Projects whose name contains every word of the query, as a whole word or as the beginning of one, ignoring case; the
   * most recently updated first.
   */
  search(query: string, options?: CallOptions): Promise<Project[]>
  /** The most recently updated projects, most recent first. */
  getRecent(limit?: number, options?: CallOptions): Promise<Project[]>

  /** The files of a project. The returned storage closes with this one. */
  getFileStorage(projectId: IdInput): ProjectFileStorage
  /**
   * Stores a new file in a project.
   * @throws {@link NotFoundError} when the project does not exist; {@link ValidationError}
   */
  addFile(projectId: IdInput, file: CreateProjectFile, options?: CallOptions): Promise<ProjectFile>
  /** As {@link ProjectFileStorage.list}. */
  getProjectFiles(projectId: IdInput, options?: ListFilesOptions & { includeContent?: true }): Promise<ProjectFile[]>
  getProjectFiles(projectId: IdInput, options: ListFilesOptions & { includeContent: false }): Promise<ProjectFileInfo[]>
  getProjectFiles(projectId: IdInput, options?: ListFilesOptions): Promise<(ProjectFileInfo & { content?: string })[]>
  /** As {@link ProjectFileStorage.search}. */
  searchFiles(projectId: IdInput, query: string, options?: CallOptions): Promise<ProjectFile[]>

  // What the server calls today.

  /** All projects by id. */
  readProjects(options?: CallOptions): Promise<ProjectsStorage>
  /** Replaces all projects as one batch and returns what is stored. Only differences are written. */
  writeProjects(projects: ProjectsStorage, options?: CallOptions): Promise<ProjectsStorage>
  /** All files of a project by id, every version. An empty map if the project does not exist. */
  readProjectFiles(projectId: IdInput, options?: CallOptions): Promise<ProjectFilesStorage>
  /**
   * Replaces all files of a project as one batch and returns what is stored. Chain fields are taken as given. A field that a
   * record lacks gets its default, `size` and, with new content, `checksum` those of the content. Only differences are
   * written. The project need not exist.
   */
  writeProjectFiles(projectId: IdInput, files: ProjectFilesStorage, options?: CallOptions): Promise<ProjectFilesStorage>
  readProjectFile(projectId: IdInput, fileId: IdInput, options?: CallOptions): Promise<ProjectFile | undefined>
  /** @throws {@link NotFoundError} when the file does not exist. */
  updateProjectFile(projectId: IdInput, fileId: IdInput, patch: UpdateProjectFile, options?: CallOptions): Promise<ProjectFile>
  /** As {@link ProjectFileStorage.createVersion}. */
  createFileVersion(projectId: IdInput, fileId: IdInput, content: string, extra?: FileVersionExtra, options?: CallOptions): Promise<ProjectFile>
  /** As {@link ProjectFileStorage.getVersions}. */
  getFileVersions(projectId: IdInput, originalFileId: IdInput, options?: CallOptions): Promise<ProjectFile[]>
  /** As {@link ProjectFileStorage.getVersion}. */
  getFileVersion(projectId: IdInput, originalFileId: IdInput, version: number, options?: CallOptions): Promise<ProjectFile | null>
  /** As {@link ProjectFileStorage.getLatestVersion}. */
  getLatestFileVersion(projectId: IdInput, originalFileId: IdInput, options?: CallOptions): Promise<ProjectFile | null>
  /** As {@link ProjectFileStorage.revertToVersion}. */
  revertToVersion(projectId: IdInput, fileId: IdInput, version: number, options?: CallOptions): Promise<ProjectFile>
  /** Removes the files of a project. A project that does not exist is not an error. */
  deleteProjectData(projectId: IdInput, options?: CallOptions): Promise<void>
  /** All files of a project, every version with its content, ids ascending. */
  getProjectFileArray(projectId: IdInput, options?: CallOptions): Promise<ProjectFile[]>
}

/**
 * The shared storage that the server imports. Its `basePath` is `process.cwd()` at the first call. After `close()` the next
 * call opens it again, in the same place.
 */
export const projectStorage: ProjectStorageV2
