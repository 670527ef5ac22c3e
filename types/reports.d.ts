/** How much a problem matters: a `note` is worth knowing, a `warning` needs a look, an `error` is damage. */
export type ProblemSeverity = 'error' | 'warning' | 'note'

/** The stable code of a problem. */
export type ProblemCode =
  /** A line or the header of a journal is not what was written: batches are lost. */
  | 'JOURNAL_DAMAGED'
  /** A journal is gone, and the JSON files lack what it held. */
  | 'JOURNAL_MISSING'
  /** The shared page that says how far the journal is acknowledged cannot be read. */
  | 'TIP_DAMAGED'
  /** A sync failed: nothing is written until all have closed the database and it is opened again. */
  | 'POISONED'
  /** Bytes that were never acknowledged, which the next opening cuts. */
  | 'TORN_TAIL'
  /** A later version of this package wrote it. */
  | 'UNSUPPORTED_FORMAT'
  /** A collection's file is missing. */
  | 'SNAPSHOT_MISSING'
  /** A collection's file is empty. */
  | 'SNAPSHOT_EMPTY'
  /** A collection's file is another map than the one that was written: an edit by hand, or damage. */
  | 'SNAPSHOT_CHANGED'
  /** A collection's file is no JSON map. */
  | 'SNAPSHOT_DAMAGED'
  /** A document cannot be read. */
  | 'DOCUMENT_DAMAGED'
  /** A document lies under a key that is not its own id. */
  | 'ID_MISMATCH'
  /** Memory has another number of documents than the files. */
  | 'COUNT_MISMATCH'
  /** An index is not what the documents give. */
  | 'INDEX_MISMATCH'
  /** Two entities share a key of a unique index. */
  | 'UNIQUE_VIOLATION'
  /** `data/.databases.json` is damaged. */
  | 'RECORD_DAMAGED'
  /** A JSON file that no storage used yet. */
  | 'NOT_ADOPTED'
  /** A copy of something that was not taken over in full, or that a repair changed. */
  | 'SET_ASIDE'
  /** Bytes that were cut from a journal. */
  | 'CUT_BYTES'
  /** A file that something cut short left behind. */
  | 'LEFTOVER'
  /** A file in the reserved folder that is none of this package's. */
  | 'UNKNOWN_FILE'

/** One thing that verifying found. */
export interface VerifyProblem {
  severity: ProblemSeverity
  code: ProblemCode
  /** The file, relative to the database's directory with `/` between names. */
  path: string
  /** The byte at which the problem begins, where that is known. */
  offset?: number
  /** The entity's id, where the problem is about one. */
  id?: string
  /** What is wrong and what to do. */
  message: string
}

/** What `verify()` found. `String(report)` is a text for people. */
export interface VerifyReport {
  /** Whether nothing was found but notes. */
  ok: boolean
  /** The database's directory. */
  directory: string
  /** Entities in all collections. */
  documents: number
  /** Ordered by path; `bytes` is the size of the JSON file. */
  collections: { path: string; documents: number; bytes: number }[]
  /** The worst first. */
  problems: VerifyProblem[]
  toString(): string
}

/** One thing that a repair did, or could not save. */
export interface RepairAction {
  code: 'JOURNALS_REPLACED' | 'SNAPSHOT_WRITTEN' | 'REMOVED' | 'BATCHES_LOST' | 'DOCUMENTS_LOST'
  /** The file, relative to the database's directory. */
  path: string
  message: string
}

/** What `repair()` did. `String(report)` is a text for people. */
export interface RepairReport {
  /** Whether the database is sound now. */
  ok: boolean
  /** Whether anything had to be changed. */
  changed: boolean
  /** The folder with the originals of all that was changed. */
  copies: string | null
  actions: RepairAction[]
  before: VerifyReport
  after: VerifyReport
  toString(): string
}
