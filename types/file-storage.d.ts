import type { BaseStorage } from './base-storage.js'
import type { NotFoundError, ValidationError } from './errors.js'
import type { CallOptions } from './options.js'
import type { ProjectStorageV2 } from './project-storage.js'
import type { FileTransaction, TransactionOptions } from './transaction.js'
import type { CreateProjectFile, FileVersionExtra, IdInput, ListFilesOptions, ProjectFile, ProjectFileInfo, ProjectFilesStorage, UpdateProjectFile } from './projects.js'

/** Where a content comes from. A string is none: it could be meant as a path. */
export type ContentSource =
  | ReadableStream<string | Uint8Array>
  | AsyncIterable<string | Uint8Array | ArrayBuffer>
  | (Iterable<string | Uint8Array | ArrayBuffer> & object)

/**
 * The files of one project, from {@link ProjectStorageV2.getFileStorage}. Every version of a file is an entity of its
 * own; a chain of versions is linked by `prevId`, `nextId` and `originalFileId`, and each call changes it atomically.
 *
 * For a project that does not exist, reads give nothing and what creates files throws {@link NotFoundError}, but for
 * {@link writeAll}, which stores them. Other writes meet no file there: see each of them.
 */
export class ProjectFileStorage extends BaseStorage<ProjectFile, ProjectFilesStorage> {
  private constructor()
  protected getIndexPath(): string
  protected getEntityPath(id: number): string | null

  /**
   * Stores a new file as version 1 of a chain of its own.
   * @throws {@link NotFoundError} when the project does not exist; {@link ValidationError}
   */
  create(data: CreateProjectFile, options?: CallOptions): Promise<ProjectFile>
  /** Stores many files as one batch. */
  createMany(files: readonly CreateProjectFile[], options?: CallOptions): Promise<ProjectFile[]>
  /** @throws `TOO_LARGE` for a content of more than 512 MiB as JSON: read it with {@link createContentStream}. */
  getById(id: IdInput, options?: CallOptions): Promise<ProjectFile | null>
  /** Changes a file in place, without a new version. Fields of the chain are ignored. `null` when absent. */
  update(id: IdInput, patch: UpdateProjectFile, options?: CallOptions): Promise<ProjectFile | null>
  /**
   * Changes many files as one batch.
   * @throws {@link NotFoundError} when one does not exist; nothing changes then.
   */
  updateMany(changes: readonly { id: IdInput; data: UpdateProjectFile }[], options?: CallOptions): Promise<ProjectFile[]>
  /** Removes one version and links its neighbours; their numbers stay. `false` when there was none. */
  delete(id: IdInput, options?: CallOptions): Promise<boolean>
  /**
   * Removes many versions as one batch; ids that do not exist are passed over.
   * @returns How many there were.
   */
  deleteMany(ids: readonly IdInput[], options?: CallOptions): Promise<number>

  /** The files, ids ascending; by default every version with its content. */
  list(options?: ListFilesOptions & { includeContent?: true }): Promise<ProjectFile[]>
  list(options: ListFilesOptions & { includeContent: false }): Promise<ProjectFileInfo[]>
  list(options?: ListFilesOptions): Promise<(ProjectFileInfo & { content?: string })[]>
  /** The latest version at exactly this path, or `null`. Indexed. */
  getByPath(path: string, options?: CallOptions): Promise<ProjectFile | null>
  /** Latest versions, by path. `'ts'` and `'.ts'` mean the same. Indexed. */
  getByExtension(extension: string, options?: CallOptions): Promise<ProjectFile[]>
  /** Latest versions whose path or content holds the text, in any case of letters. Reads every content. */
  search(query: string, options?: CallOptions): Promise<ProjectFile[]>

  transaction<T>(
    work: (tx: FileTransaction) => T | Promise<T>,
    options?: TransactionOptions,
  ): Promise<T>

  /**
   * The content of a file as bytes in UTF-8, read a chunk at a time, however large it is; as it was when the stream was first read. Half a
   * surrogate pair, which UTF-8 cannot hold, becomes U+FFFD. `Readable.fromWeb(stream)` makes a stream of Node of it.
   * A file that does not exist errors the stream with {@link NotFoundError}, damage with `CORRUPT_DATA`.
   */
  createContentStream(fileId: IdInput, options?: CallOptions): ReadableStream<Uint8Array>
  /**
   * Stores a new file whose content comes from a stream of strings or of bytes in UTF-8: a Web or Node stream, or an
   * iterable. The content goes to disk piece by piece and becomes a file as one batch when it is complete; memory holds a few
   * pieces, however large it is. It may have up to 4 GiB as JSON. A source that fails, a call that is aborted and a process
   * that dies leave nothing.
   * @returns The file without its content.
   * @throws {@link NotFoundError} when the project does not exist; {@link ValidationError}; what the source throws.
   */
  createFromStream(
    file: Omit<CreateProjectFile, 'content'>,
    source: ContentSource,
    options?: CallOptions,
  ): Promise<ProjectFileInfo>

  /**
   * Appends a version after the latest of the chain that `fileId` belongs to.
   * @throws {@link NotFoundError} when the file does not exist.
   */
  createVersion(fileId: IdInput, content: string, extra?: FileVersionExtra, options?: CallOptions): Promise<ProjectFile>
  /** All versions in order. Any id of the chain will do. */
  getVersions(originalFileId: IdInput, options?: CallOptions): Promise<ProjectFile[]>
  /** One version by its number, or `null`. Any id of the chain will do. */
  getVersion(originalFileId: IdInput, version: number, options?: CallOptions): Promise<ProjectFile | null>
  /** The latest version, or `null`. Any id of the chain will do. */
  getLatestVersion(originalFileId: IdInput, options?: CallOptions): Promise<ProjectFile | null>
  /**
   * Appends a version with the content of an older one.
   * @throws {@link NotFoundError} when the file or the version does not exist.
   */
  revertToVersion(fileId: IdInput, version: number, options?: CallOptions): Promise<ProjectFile>
}
