/** The severity of a problem: a `note` is worth knowing, a `warning` needs attention, an `error` is damage. */
export type ProblemSeverity = 'error' | 'warning' | 'note'

/** The stable code of a problem. */
export type ProblemCode =
  /** A line or the header of a journal is damaged: batches are lost. */
  | 'JOURNAL_DAMAGED'
  /** A journal is missing, and the JSON files lack what it held. */
  | 'JOURNAL_MISSING'
  /** The shared page that records how far the journal is acknowledged cannot be read. */
  | 'TIP_DAMAGED'
  /** A sync failed. Writes are refused until every process has closed the database and it is opened again. */
  | 'POISONED'
  /** The journal ends in bytes that were never acknowledged. The next opening cuts them. */
  | 'TORN_TAIL'
  /** The file was written by a later version of this package. */
  | 'UNSUPPORTED_FORMAT'
  /** A collection's file is missing. */
  | 'SNAPSHOT_MISSING'
  /** A collection's file is empty. */
  | 'SNAPSHOT_EMPTY'
  /** A collection's file is a valid map, but not the one that was written: a manual edit, or damage. */
  | 'SNAPSHOT_CHANGED'
  /** A collection's file is not a JSON map, or something that is not a file is in its place. */
  | 'SNAPSHOT_DAMAGED'
  /** A document is not valid JSON, or not what was written. */
  | 'DOCUMENT_DAMAGED'
  /** The system cannot read a collection's file, or a document in a journal. */
  | 'UNREADABLE'
  /** A document is stored under a key that is not its own id. */
  | 'ID_MISMATCH'
  /** The number of documents in memory differs from that in the files. */
  | 'COUNT_MISMATCH'
  /** An index does not match the documents. */
  | 'INDEX_MISMATCH'
  /** Two entities share a key of a unique index. */
  | 'UNIQUE_VIOLATION'
  /** `data/.databases.json` or `data/.migration-state.json` is damaged or cannot be read. */
  | 'RECORD_DAMAGED'
  /** A JSON file that no storage has used yet. */
  | 'NOT_ADOPTED'
  /** A copy of a file that was not adopted in full or that a repair changed. */
  | 'SET_ASIDE'
  /** Bytes that were cut from a journal. */
  | 'CUT_BYTES'
  /** A file left behind by an interrupted operation. */
  | 'LEFTOVER'
  /**
   * A file in the reserved folder that does not belong to this package. With severity `error`: a symlink or directory in
   * place of a file that does.
   */
  | 'UNKNOWN_FILE'

/** One problem that `verify()` found. */
export interface VerifyProblem {
  severity: ProblemSeverity
  code: ProblemCode
  /** The file, relative to the database's directory, with `/` between names. */
  path: string
  /** The byte offset at which the problem begins, if known. */
  offset?: number
  /** The id of the entity, if the problem concerns one. */
  id?: string
  /** What is wrong, and what to do about it. */
  message: string
}

/** The result of `verify()`. `String(report)` is a text for people. */
export interface VerifyReport {
  /** Whether nothing but notes was found. */
  ok: boolean
  /** The database's directory. */
  directory: string
  /** The number of entities in all collections. */
  documents: number
  /** Ordered by path; `bytes` is the size of the JSON file. */
  collections: { path: string; documents: number; bytes: number }[]
  /** Worst first. */
  problems: VerifyProblem[]
  toString(): string
}

/** One thing that a repair did, or data that it could not save. */
export interface RepairAction {
  code: 'JOURNALS_REPLACED' | 'SNAPSHOT_WRITTEN' | 'REMOVED' | 'BATCHES_LOST' | 'DOCUMENTS_LOST'
  /** The file, relative to the database's directory. */
  path: string
  message: string
}

/** The result of `repair()`. `String(report)` is a text for people. */
export interface RepairReport {
  /** Whether the database is sound now. */
  ok: boolean
  /** Whether anything had to be changed. */
  changed: boolean
  /** The folder that holds the originals of everything that was changed. */
  copies: string | null
  actions: RepairAction[]
  before: VerifyReport
  after: VerifyReport
  toString(): string
}
