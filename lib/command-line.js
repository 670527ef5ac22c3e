'use strict'

// The command line. Native code does everything except run migrations, which are JavaScript: only they need the addon that
// servers load.

const { Console } = require('node:console')
const { Writable } = require('node:stream')
const { pathToFileURL } = require('node:url')
const { format } = require('node:util')
const { describe } = require('./arguments.js')
const { printable } = require('./display-text.js')
const { StorageError, invalid, refusal } = require('./errors.js')
const { messageOf } = require('./logger.js')
const { runCommandLine } = require('./native-command-line.js')
const { statusTable } = require('./status-table.js')
const { linesOf } = require('./thrown-lines.js')

/** The exit codes of the errors that have one of their own, as listed in `docs/command-line.md`. */
const EXITS = { INVALID_ARGUMENT: 2, NOT_FOUND: 4, LOCK_TIMEOUT: 5 }

/** The functions of `console` that print their arguments, and the levels that a log has for them. */
const LEVELS = { debug: 'info', error: 'error', info: 'info', log: 'info', warn: 'warn' }

/** Runs a command and sets the exit code of the process. */
async function main(args) {
  const { exit, migrate, nowhere } = JSON.parse(await runCommandLine(args))
  if (nowhere !== undefined) throw refusal('IO_ERROR', `the working directory cannot be used: ${nowhere}; run the command in another one`)
  if (migrate === undefined) {
    process.exitCode = exit
    return
  }
  // Migrations write their output from JavaScript. They go on even if it cannot be written, or nobody reads it any more.
  let unwritten
  process.stderr.on('error', () => {})
  process.stdout.on('error', (error) => {
    if (error.code !== 'EPIPE') unwritten = error
  })
  const code = await runMigrations(migrate)
  // Migrations may leave something open that would keep the process alive. An error of the output is reported before the
  // next turn of the event loop.
  process.stdout.write('', () => setImmediate(() => {
    if (code !== 0 || unwritten === undefined) process.exit(code)
    tell(migrate, 'IO_ERROR', `write to the standard output failed: ${unwritten.message}`)
    process.exit(1)
  }))
}

const say = (stream, document) => stream.write(`${JSON.stringify(document)}\n`)

/** Writes an error to standard error, with the lines of the user's modules that it came through. */
function tell({ json, errorsColor }, code, message, lines = []) {
  if (json) {
    say(process.stderr, { error: { code, message, ...(lines.length > 0 && { stack: lines }) } })
    return
  }
  const label = errorsColor ? '\x1b[31merror:\x1b[0m' : 'error:'
  process.stderr.write(`${[`${label} ${printable(message)} (${code})`, ...lines].join('\n    ')}\n`)
}

async function runMigrations(order) {
  const { basePath, file, goal, version, lockTimeout, json, color } = order
  const showStatus = (status) => {
    const width = process.stdout.isTTY ? process.stdout.columns || 80 : undefined
    process.stdout.write(`${statusTable(status, { width, colour: color, now: Date.now() }).join('\n')}\n`)
  }
  if (color) delete process.env.NO_COLOR
  else process.env.NO_COLOR = '1'
  const log = (message, level) => say(process.stderr, { log: { level, message } })
  if (json) {
    redirectConsole(log)
    redirectWarnings()
  }
  // A status is shown below and not logged.
  const logger = goal === 'status' ? null : json ? log : undefined
  let manager
  try {
    const { MigrationManager } = require('../index.js')
    manager = new MigrationManager(basePath, { lockTimeout, logger })
    await registerFrom(file, manager)
    const result = await reach(manager, goal, version ?? undefined)
    if (json) say(process.stdout, result)
    else if (goal === 'status') showStatus(result)
    return 0
  } catch (thrown) {
    const code = thrown instanceof StorageError ? thrown.code : 'MIGRATION_FAILED'
    const message = messageOf(thrown).replace('raise lockTimeout', 'raise --lock-timeout')
    tell(order, code, message, linesOf(thrown))
    return EXITS[code] ?? 1
  } finally {
    await manager?.close()
  }
}

/** Passes everything that `console` prints to `log`. It would otherwise be among the results. */
function redirectConsole(log) {
  const stream = (level) => new Writable({
    decodeStrings: false,
    write(text, _encoding, done) {
      log(text.replace(/\n$/, ''), level)
      done()
    },
  })
  const logging = new Console({ stdout: stream('info'), stderr: stream('error') })
  for (const [name, level] of Object.entries(LEVELS)) logging[name] = (...values) => log(format(...values), level)
  for (const name of Object.keys(console)) {
    if (name !== 'Console' && typeof logging[name] === 'function') console[name] = logging[name].bind(logging)
  }
}

/** Writes warnings as documents, and not as the runtime would for people. */
function redirectWarnings() {
  process.removeAllListeners('warning')
  process.on('warning', ({ name, code = name, message }) => say(process.stderr, { warning: { code, message } }))
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
    throw Object.assign(invalid(`${file} cannot be loaded: ${whyNotLoaded(error, file)}`), { cause: error })
  }
  const given = module.default
  const migrations = typeof given === 'function' ? await given({ basePath: manager.basePath }) : given
  if (!Array.isArray(migrations)) {
    throw invalid(`the default export of ${file} must be an array of migrations, got ${describe(migrations)}`)
  }
  for (const migration of migrations) manager.register(migration)
}

/** Says why a module cannot be loaded, and where it has syntax errors, as far as the runtime tells. */
function whyNotLoaded(error, file) {
  const errors = Array.isArray(error?.errors) ? error.errors : [error]
  const placed = errors.filter((one) => one?.position)
  if (placed.length > 0) {
    const told = ({ message, position: at }) => `${message} (${at.file}:${at.line}:${at.column})`
    return placed.map(told).join('; ')
  }
  if (error?.code === 'ERR_UNKNOWN_FILE_EXTENSION' && /"\.[cm]?ts"/.test(messageOf(error))) {
    return `${messageOf(error)}; this Node runs no TypeScript: use Node 22.18 or newer, or \`bunx --bun octoprompt-storage\``
  }
  const unplaced = error instanceof SyntaxError && linesOf(error).length === 0
  return unplaced ? `${messageOf(error)}; \`node --check ${file}\` shows where` : messageOf(error)
}

module.exports = { main }
