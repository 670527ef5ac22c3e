import type { ProjectFileStorage } from './file-storage.js'
import type { CreateProjectFile, FileVersionExtra, IdInput, ProjectFile, UpdateProjectFile } from './projects.js'
import type { CountQuery, FieldPath, Query, SelectQuery, Selected } from './query.js'

/** The operations of a storage within a transaction. Nobody else sees their changes before it commits. */
export interface TransactionScope<TEntity, TCreate, TUpdate, TId> {
  getById(id: TId): Promise<TEntity | null>
  create(data: TCreate): Promise<TEntity>
  update(id: TId, patch: TUpdate): Promise<TEntity | null>
  delete(id: TId): Promise<boolean>
  /** As one step: if one entity is refused, none is created, and the transaction can go on. */
  createMany(data: readonly TCreate[]): Promise<TEntity[]>
  /** As one step. Uniqueness is checked against its result. */
  updateMany(changes: readonly { id: TId; data: TUpdate }[]): Promise<TEntity[]>
  deleteMany(ids: readonly TId[]): Promise<number>
  list(): Promise<TEntity[]>
  query<const P extends FieldPath<TEntity>>(query: SelectQuery<TEntity, P>): Promise<Selected<TEntity, P | 'id'>[]>
  query(query?: Query<TEntity>): Promise<TEntity[]>
  count(query?: CountQuery<TEntity>): Promise<number>
}

/** The operations of a file storage within a transaction. */
export interface FileTransactionScope extends TransactionScope<ProjectFile, CreateProjectFile, UpdateProjectFile, IdInput> {
  createVersion(fileId: IdInput, content: string, extra?: FileVersionExtra): Promise<ProjectFile>
}

/** The part of a storage that a transaction needs to know. */
export interface TransactionStorage<TEntity, TCreate, TUpdate, TId> {
  create(data: TCreate): Promise<TEntity>
  update(id: TId, patch: TUpdate): Promise<TEntity | null>
  delete(id: TId): Promise<boolean>
}

/** A transaction: the operations of its own storage, and of other storages of the same database. They run in call order. */
export interface Transaction<TEntity, TCreate, TUpdate, TId> extends TransactionScope<TEntity, TCreate, TUpdate, TId> {
  /** The operations of another storage of the database. */
  in(storage: ProjectFileStorage): FileTransactionScope
  in<E, C, U, I>(storage: TransactionStorage<E, C, U, I>): TransactionScope<E, C, U, I>
}

/** A transaction that was started on the files of a project. */
export type FileTransaction = Transaction<ProjectFile, CreateProjectFile, UpdateProjectFile, IdInput> & FileTransactionScope

export interface TransactionOptions {
  signal?: AbortSignal | undefined
}
