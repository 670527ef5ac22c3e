import type { ValidationError } from './errors.js'
import type { StandardSchemaV1 } from './schema.js'

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
  /** Default: the last part of the path. */
  name?: string
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

/**
 * A change of `content` recomputes `size` and `checksum`, a change of `path` the `name` and `extension` that came from it, unless
 * the patch gives them.
 */
export type UpdateProjectFile = Partial<CreateProjectFile>

/** What a new version may change besides its content. */
export type FileVersionExtra = Omit<UpdateProjectFile, 'content'>

export interface ListFilesOptions {
  /** Default: `true`. With `false` the content is not read from disk and the results lack it. */
  includeContent?: boolean | undefined
  /** Default: `true`. With `false` only the latest version of each file is listed. */
  includeAllVersions?: boolean | undefined
  signal?: AbortSignal | undefined
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
