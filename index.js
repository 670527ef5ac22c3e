'use strict'

const { addIndexesMigration } = require('./lib/add-indexes-migration.js')
const { BaseStorage } = require('./lib/base-storage.js')
const { NotFoundError, StorageError, ValidationError } = require('./lib/errors.js')
const { ProjectFileStorage } = require('./lib/file-storage.js')
const { IndexManager } = require('./lib/index-manager.js')
const { MigrationManager } = require('./lib/migration-manager.js')
const { ProjectStorageV2 } = require('./lib/project-storage.js')
const { ProjectFilesStorageSchema, ProjectsStorageSchema } = require('./lib/schemas.js')
const { projectStorage } = require('./lib/shared-storage.js')

module.exports = {
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
}
