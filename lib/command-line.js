'use strict'

// The command line. Native code does everything except run migrations, which are JavaScript: only they need the addon that
// servers load.

const { pathToFileURL } = require('node:url')
const { describe } = require('./arguments.js')
const { printable } = require('./display-text.js')
const { StorageError, invalid } = require('./errors.js')
const { messageOf } = require('./logger.js')
const { runCommandLine } = require('./native-command-line.js')

/** The exit codes of the errors that have one of their own, as listed in `docs/command-line.md`. */
const EXITS = { INVALID_ARGUMENT: 2, NOT_FOUND: 4, LOCK_TIMEOUT: 5 }

/** Runs a command and sets the exit code of the process. */
async function main(args) {
  const { exit, migrate } = JSON.parse(await runCommandLine(args))
  if (migrate === undefined) {
    process.exitCode = exit
    return
  }
  // Migrations write their output from JavaScript: once nobody reads it any more, the process ends.
  process.stdout.on('error', (error) => process.exit(error.code === 'EPIPE' ? 0 : 1))
  const code = await runMigrations(migrate)
  // Migrations may leave something open that would keep the process alive.
  process.stdout.write('', () => process.exit(code))
}

async function runMigrations({ basePath, file, goal, version, lockTimeout, json, color }) {
  const say = (stream, document) => stream.write(`${JSON.stringify(document)}\n`)
  if (color) delete process.env.NO_COLOR
  else process.env.NO_COLOR = '1'
  const logger = json ? (message, level) => say(process.stderr, { log: { level, message } }) : undefined
  let manager
  try {
    const { MigrationManager } = require('../index.js')
    manager = new MigrationManager(basePath, { lockTimeout, logger })
    await registerFrom(file, manager)
    const result = await reach(manager, goal, version ?? undefined)
    if (json) say(process.stdout, result)
    return 0
  } catch (thrown) {
    const code = thrown instanceof StorageError ? thrown.code : 'MIGRATION_FAILED'
    const message = messageOf(thrown)
    if (json) say(process.stderr, { error: { code, message } })
    else process.stderr.write(`error: ${printable(message)} (${code})\n`)
    return EXITS[code] ?? 1
  } finally {
    await manager?.close()
  }
}

function reach(manager, goal, version) {
  if (goal === 'status') return manager.status()
  return goal === 'rollback' ? manager.rollback(version) : manager.migrate(version)
}

/** Registers the migrations of a module, whose default export is an array of migrations or a function that returns one. */
async function registerFrom(file, manager) {
  let module
  try {
    module = await import(pathToFileURL(file).href)
  } catch (error) {
    throw Object.assign(invalid(`${file} cannot be loaded: ${messageOf(error)}`), { cause: error })
  }
  const given = module.default
  const migrations = typeof given === 'function' ? await given({ basePath: manager.basePath }) : given
  if (!Array.isArray(migrations)) {
    throw invalid(`the default export of ${file} must be an array of migrations, got ${describe(migrations)}`)
  }
  for (const migration of migrations) manager.register(migration)
}

module.exports = { main }
