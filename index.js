'use strict'

// No variable here has the name of a class: where this file and the modules become one, those classes would be renamed, and
// their names stand in every stack. Of assignments to `exports`, Node tells `import` the names.
exports.BaseStorage = require('./lib/base-storage.js').BaseStorage
exports.ProjectStorageV2 = require('./lib/project-storage.js').ProjectStorageV2
exports.ProjectFileStorage = require('./lib/file-storage.js').ProjectFileStorage
exports.projectStorage = require('./lib/shared-storage.js').projectStorage
exports.IndexManager = require('./lib/index-manager.js').IndexManager
exports.MigrationManager = require('./lib/migration-manager.js').MigrationManager
exports.addIndexesMigration = require('./lib/add-indexes-migration.js').addIndexesMigration
exports.ProjectsStorageSchema = require('./lib/schemas.js').ProjectsStorageSchema
exports.ProjectFilesStorageSchema = require('./lib/schemas.js').ProjectFilesStorageSchema
exports.StorageError = require('./lib/errors.js').StorageError
exports.ValidationError = require('./lib/errors.js').ValidationError
exports.NotFoundError = require('./lib/errors.js').NotFoundError
