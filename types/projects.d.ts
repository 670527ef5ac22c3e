import type { Patch } from './base-storage.js'
import type { ValidationError } from './errors.js'
import type { StandardSchemaV1 } from './schema.js'

/**
 * A time as input: milliseconds, a numeric string, a `Date` or an ISO string. A number below 1e10 counts as seconds. Valid
 * years are 1970 to 2050.
 */
export type TimestampInput = number | string | Date

/** A numeric id. A string of its decimal digits, as in the keys of the maps, is accepted too. */
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
  description?: string | undefined
}

/** A field that is `undefined` stays as it is. */
export type UpdateProject = Patch<CreateProject>

export interface ProjectFile {
  /** Integer. */
  id: number
  projectId: number
  name: string
  path: string
  /** Includes the dot; `''` for a path without an extension. */
  extension: string
  /** Bytes of `content` as UTF-8. */
  size: number
  /** Any string, lone surrogates included. */
  content: string
  summary: string | null
  /** Milliseconds. */
  summaryLastUpdated: number | null
  meta: string
  /** SHA-256 of the content in hexadecimal digits, if known. */
  checksum: string | null
  /** Milliseconds. */
  created: number
  /** Milliseconds. */
  updated: number
  /** 1 to N within its chain. */
  version: number
  /** The previous version, or `null`. */
  prevId: number | null
  /** The next version, or `null`. */
  nextId: number | null
  /** True for exactly one version of a chain. */
  isLatest: boolean
  /** The first version of the chain; `null` on the first version itself. */
  originalFileId: number | null
  /** Milliseconds. */
  lastSyncedAt: number | null
  syncVersion: number
}

/** A file as it appears in a list without content. */
export type ProjectFileInfo = Omit<ProjectFile, 'content'>

export interface CreateProjectFile {
  /** Default: the last part of the path. */
  name?: string | undefined
  path: string
  content: string
  /** Default: taken from the path. */
  extension?: string | undefined
  /** Default: the bytes of `content` as UTF-8. */
  size?: number | undefined
  summary?: string | null | undefined
  summaryLastUpdated?: TimestampInput | null | undefined
  meta?: string | undefined
  checksum?: string | null | undefined
  lastSyncedAt?: TimestampInput | null | undefined
  syncVersion?: number | undefined
}

/**
 * A new `content` recomputes `size` and `checksum`, and a new `path` recomputes `name` and `extension` if they came from the
 * path, unless the patch gives them. A field that is `undefined` stays as it is.
 */
export type UpdateProjectFile = Patch<CreateProjectFile>

/** What a new version may change besides its content. */
export type FileVersionExtra = Omit<UpdateProjectFile, 'content'>

export interface ListFilesOptions {
  /** Default: `true`. With `false`, the content is not read from disk and is absent from the results. */
  includeContent?: boolean | undefined
  /** Default: `true`. With `false`, only the latest version of each file is listed. */
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

/** A synchronous schema, for use by the server. */
export interface StorageSchema<Output> extends StandardSchemaV1<unknown, Output> {
  /**
   * Checks a value, fills in defaults and drops unknown properties.
   * @throws {@link ValidationError}
   */
  parse(value: unknown): Output
  /** As `parse`, but returns the error instead of throwing it. */
  safeParse(value: unknown): SafeParseResult<Output>
}

export const ProjectsStorageSchema: StorageSchema<ProjectsStorage>
export const ProjectFilesStorageSchema: StorageSchema<ProjectFilesStorage>
