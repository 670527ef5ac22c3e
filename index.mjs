import storage from './index.js'

export const {
  BaseStorage,
  ProjectStorageV2,
  ProjectFileStorage,
  projectStorage,
  IndexManager,
  MigrationManager,
  addIndexesMigration,
  ProjectsStorageSchema,
  ProjectFilesStorageSchema,
  StorageError,
  ValidationError,
  NotFoundError,
} = storage
