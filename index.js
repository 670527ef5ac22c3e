'use strict'

// Nothing here has the name of a class: where this file and the modules become one, those classes would be renamed, and
// their names stand in every stack.
module.exports = {
  BaseStorage: require('./lib/base-storage.js').BaseStorage,
  ProjectStorageV2: require('./lib/project-storage.js').ProjectStorageV2,
  ProjectFileStorage: require('./lib/file-storage.js').ProjectFileStorage,
  projectStorage: require('./lib/shared-storage.js').projectStorage,
  IndexManager: require('./lib/index-manager.js').IndexManager,
  MigrationManager: require('./lib/migration-manager.js').MigrationManager,
  addIndexesMigration: require('./lib/add-indexes-migration.js').addIndexesMigration,
  ProjectsStorageSchema: require('./lib/schemas.js').ProjectsStorageSchema,
  ProjectFilesStorageSchema: require('./lib/schemas.js').ProjectFilesStorageSchema,
  StorageError: require('./lib/errors.js').StorageError,
  ValidationError: require('./lib/errors.js').ValidationError,
  NotFoundError: require('./lib/errors.js').NotFoundError,
}
