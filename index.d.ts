/// <reference lib="es2022" />
/// <reference lib="esnext.disposable" />

export type { StandardSchemaV1, EntityOf, InputOf } from './types/schema.js'
export type { CallOptions, StorageOptions, ResolvedStorageOptions, CacheStats } from './types/options.js'
export type { StorageEvents } from './types/events.js'
export type { CollectionStats, StorageStats, Timing, WriteStats } from './types/stats.js'
export { StorageError, ValidationError, NotFoundError } from './types/errors.js'
export type { StorageErrorCode, ValidationIssue } from './types/errors.js'
export { BaseStorage } from './types/base-storage.js'
export type { BaseEntity, BaseStorageOptions, CreateData, UpdateData } from './types/base-storage.js'
export type { IndexType, IndexConfig, IndexKey, IndexKeyPart } from './types/indexes.js'
export type {
  CountQuery,
  Explanation,
  FieldCondition,
  FieldPath,
  IterateOptions,
  Operators,
  OrderBy,
  OrderDirection,
  Pattern,
  Query,
  SelectQuery,
  Selected,
  ValueAt,
  Where,
} from './types/query.js'
export type { Change, ChangeEvent, Changes, ChangesOptions, ResetEvent } from './types/changes.js'
export type { FileTransaction, FileTransactionScope, Transaction, TransactionOptions, TransactionScope } from './types/transaction.js'
export type {
  ProblemCode,
  ProblemSeverity,
  RepairAction,
  RepairReport,
  VerifyProblem,
  VerifyReport,
} from './types/reports.js'
export { ProjectsStorageSchema, ProjectFilesStorageSchema } from './types/projects.js'
export type {
  TimestampInput,
  IdInput,
  Project,
  CreateProject,
  UpdateProject,
  ProjectFile,
  ProjectFileInfo,
  CreateProjectFile,
  UpdateProjectFile,
  FileVersionExtra,
  ListFilesOptions,
  ProjectsStorage,
  ProjectFilesStorage,
  SafeParseResult,
  StorageSchema,
} from './types/projects.js'
export { ProjectFileStorage } from './types/file-storage.js'
export type { ContentSource } from './types/file-storage.js'
export { ProjectStorageV2, projectStorage } from './types/project-storage.js'
export { IndexManager } from './types/index-manager.js'
export type { IndexStats, EntityId } from './types/index-manager.js'
export { MigrationManager, addIndexesMigration } from './types/migration-manager.js'
export type {
  BackupInfo,
  BackupOptions,
  BackupProblem,
  BackupReport,
  MigrationConfig,
  MigrationContext,
  MigrationLogger,
  MigrationOptions,
  MigrationResult,
  MigrationState,
  MigrationStatus,
  RestoreOptions,
  VerifyBackupOptions,
} from './types/migration-manager.js'
