import type { BaseStorage } from './base-storage.js'
import type { NotFoundError, ValidationError } from './errors.js'
import type { CallOptions } from './options.js'
import type { ProjectStorageV2 } from './project-storage.js'
import type { FileTransaction, TransactionOptions } from './transaction.js'
import type { CreateProjectFile, FileVersionExtra, IdInput, ListFilesOptions, ProjectFile, ProjectFileInfo, ProjectFilesStorage, UpdateProjectFile } from './projects.js'

/** A source of content. A string is not accepted: it could be mistaken for a path. */
export type ContentSource =
  | ReadableStream<string | Uint8Array>
  | AsyncIterable<string | Uint8Array | ArrayBuffer>
  | (Iterable<string | Uint8Array | ArrayBuffer> & object)

/**
 * The files of one project, from {@link ProjectStorageV2.getFileStorage}. Every version of a file is an entity of its own.
 * The versions of a file form a chain, linked by `prevId`, `nextId` and `originalFileId`; each call changes it atomically.
 *
 * If the project does not exist, reads find nothing, and methods that create files throw {@link NotFoundError}, except
 * {@link writeAll}, which stores the files anyway. Other writes find no file to change: see each method.
 */
export class ProjectFileStorage extends BaseStorage<ProjectFile, ProjectFilesStorage> {
  private constructor()
  /** The project whose files these are. */
  readonly projectId: number
  protected getIndexPath(): string
  protected getEntityPath(id: number): string | null

  /**
   * Stores a new file as version 1 of a new chain.
   * @throws {@link NotFoundError} when the project does not exist; {@link ValidationError}
   */
  create(data: CreateProjectFile, options?: CallOptions): Promise<ProjectFile>
  /** Stores many files as one batch. */
  createMany(files: readonly CreateProjectFile[], options?: CallOptions): Promise<ProjectFile[]>
  /** @throws `TOO_LARGE` for content of more than 512 MiB as JSON: read it with {@link createContentStream}. */
  getById(id: IdInput, options?: CallOptions): Promise<ProjectFile | null>
  /** Changes a file in place, without a new version. Chain fields are ignored. `null` if there is no such file. */
  update(id: IdInput, patch: UpdateProjectFile, options?: CallOptions): Promise<ProjectFile | null>
  /**
   * Changes many files as one batch.
   * @throws {@link NotFoundError} if one of them does not exist; then nothing changes.
   */
  updateMany(changes: readonly { id: IdInput; data: UpdateProjectFile }[], options?: CallOptions): Promise<ProjectFile[]>
  /** Removes one version and links its neighbours, which keep their numbers. `false` if there was no such version. */
  delete(id: IdInput, options?: CallOptions): Promise<boolean>
  /**
   * Removes many versions as one batch. Ids that do not exist are skipped.
   * @returns How many versions were removed.
   */
  deleteMany(ids: readonly IdInput[], options?: CallOptions): Promise<number>

  /** The files, ids ascending; by default every version with its content. */
  list(options?: ListFilesOptions & { includeContent?: true }): Promise<ProjectFile[]>
  list(options: ListFilesOptions & { includeContent: false }): Promise<ProjectFileInfo[]>
  list(options?: ListFilesOptions): Promise<(ProjectFileInfo & { content?: string })[]>
  /** The latest version at exactly this path, or `null`. Indexed. */
  getByPath(path: string, options?: CallOptions): Promise<ProjectFile | null>
  /** The latest versions with this extension, by path. `'ts'` and `'.ts'` mean the same. Indexed. */
  getByExtension(extension: string, options?: CallOptions): Promise<ProjectFile[]>
  /** The latest versions whose path or content contains the text, ignoring case. Reads every content. */
  search(query: string, options?: CallOptions): Promise<ProjectFile[]>

  transaction<T>(
    work: (tx: FileTransaction) => T | Promise<T>,
    options?: TransactionOptions,
  ): Promise<T>

  /**
   * Streams the content of a file as UTF-8 bytes, a chunk at a time, however large it is. The content is that of the moment
   * when the stream is first read. A lone surrogate, which UTF-8 cannot represent, becomes U+FFFD. To get a Node stream, use
   * `Readable.fromWeb(stream)`. The stream fails with {@link NotFoundError} if the file does not exist, and with
   * `CORRUPT_DATA` if it is damaged.
   */
  createContentStream(fileId: IdInput, options?: CallOptions): ReadableStream<Uint8Array>
  /**
   * Stores a new file whose content comes from a stream of strings or of UTF-8 bytes: a Web or Node stream, or an iterable.
   * The content is written to disk piece by piece and becomes a file, as one batch, when it is complete. Memory holds only a
   * few pieces, however large the content is. The limit is 4 GiB as JSON. If the source fails, the call is aborted or the
   * process dies, nothing is stored.
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
  /** All versions in order. Any id of the chain may be given. */
  getVersions(originalFileId: IdInput, options?: CallOptions): Promise<ProjectFile[]>
  /** One version by its number, or `null`. Any id of the chain may be given. */
  getVersion(originalFileId: IdInput, version: number, options?: CallOptions): Promise<ProjectFile | null>
  /** The latest version, or `null`. Any id of the chain may be given. */
  getLatestVersion(originalFileId: IdInput, options?: CallOptions): Promise<ProjectFile | null>
  /**
   * Appends a version with the content of an earlier one.
   * @throws {@link NotFoundError} when the file or the version does not exist.
   */
  revertToVersion(fileId: IdInput, version: number, options?: CallOptions): Promise<ProjectFile>
}
