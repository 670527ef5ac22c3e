'use strict'

const { NativeBackups, NativeMigrations } = require('./native.js')
const { signalOption } = require('./abort.js')
const { asyncDispose } = require('./async-dispose.js')
const { backupOf, callOptions, nameOf, stoppable } = require('./backup-calls.js')
const { exclusively, refuseInside } = require('./base-path-queue.js')
const { call, port } = require('./calls.js')
const { channels, published } = require('./diagnostics.js')
const { printable } = require('./display-text.js')
const { closed, errorFrom } = require('./errors.js')
const { delayLogger } = require('./logger.js')
const { basePathOf, managerOptions, migrationOf, targetOf } = require('./migration-arguments.js')
const { drive } = require('./migration-run.js')
const { statusTable } = require('./status-table.js')

const MIGRATE = 0
const ROLL_BACK = 1

const migrated = (event, result) => Object.assign(event, result)
const backedUp = (event, backup) => Object.assign(event, { backup })

/** The channel on which an operation is published, and what its result adds to the event. */
const WATCHED = {
  migrate: [channels.migration, migrated],
  rollback: [channels.migration, migrated],
  backup: [channels.backup, backedUp],
  restore: [channels.backup],
}

class MigrationManager {
  #basePath
  #options
  #native
  #backups
  /** The registered migrations, by version. */
  #callbacks = new Map()
  /** The calls that `close()` waits for. */
  #underWay = new Set()
  #closing

  constructor(basePath, options) {
    this.#basePath = basePathOf(basePath)
    this.#options = managerOptions(options)
    this.#native = new NativeMigrations(port(), this.#basePath)
    this.#backups = new NativeBackups(port(), this.#basePath)
  }

  get basePath() {
    return this.#basePath
  }

  register(given) {
    this.#ensureOpen()
    const migration = migrationOf(given)
    const { version, description, down } = migration
    const problem = this.#native.register(version, description, down !== undefined)
    if (problem !== null) throw errorFrom(JSON.parse(problem))
    this.#callbacks.set(version, migration)
  }

  async migrate(targetVersion, options) {
    this.#ensureOpen()
    const target = targetVersion === undefined ? null : targetOf(targetVersion)
    return await this.#run('migrate', MIGRATE, target, options)
  }

  async rollback(targetVersion, options) {
    this.#ensureOpen()
    return await this.#run('rollback', ROLL_BACK, targetOf(targetVersion), options)
  }

  async getState() {
    this.#ensureOpen()
    return await this.#ask((ticket, timeout) => this.#native.state(ticket, timeout))
  }

  async status() {
    this.#ensureOpen()
    const status = await this.#ask((ticket, timeout) => this.#native.status(ticket, timeout))
    const { logger, terminal } = this.#options
    const { width, colour } = terminal(process.stdout)
    for (const line of statusTable(status, { width, colour, now: Date.now() })) logger.info(line)
    return status
  }

  async backup(name, options) {
    this.#ensureOpen()
    const given = name === undefined ? undefined : nameOf(name)
    const { keep = this.#options.keep, ...rest } = callOptions(options)
    const { include, logger } = this.#options
    return await this.#exclusively('backup', async (timeout) => {
      const start = (ticket) => this.#backups.backup(ticket, given, [...include], timeout)
      const made = JSON.parse(await this.#stoppable('the backup', rest, start))
      logger.info(`backed up to ${printable(made)}`)
      if (keep !== undefined) await this.#prune(keep, timeout)
      return made
    }, rest.signal)
  }

  async restore(backup, options) {
    this.#ensureOpen()
    const given = backupOf(backup)
    const rest = callOptions(options)
    return await this.#exclusively('restore', async (timeout) => {
      await this.#stoppable('the restore', rest, (ticket) => this.#backups.restore(ticket, given, timeout))
      this.#options.logger.info(`restored ${printable(given)}`)
    }, rest.signal)
  }

  async verifyBackup(backup, options) {
    this.#ensureOpen()
    const given = backupOf(backup)
    const start = (ticket) => this.#backups.verify(ticket, given)
    return JSON.parse(await this.#track(this.#stoppable('verifying the backup', callOptions(options), start)))
  }

  async listBackups() {
    this.#ensureOpen()
    return await this.#ask((ticket) => this.#backups.list(ticket))
  }

  async close() {
    refuseInside(this.#basePath, 'close()')
    this.#closing ??= (async () => {
      while (this.#underWay.size > 0) await Promise.allSettled(this.#underWay)
    })()
    await this.#closing
  }

  async [asyncDispose]() {
    await this.close()
  }

  #run(operation, kind, target, options) {
    const signal = signalOption(options)
    const { logger, terminal } = this.#options
    const manager = { basePath: this.#basePath, native: this.#native, callbacks: this.#callbacks, logger, terminal }
    const run = (timeout) => drive(manager, (ticket) => this.#native.start(ticket, kind, target, timeout), signal)
    return this.#exclusively(operation, run, signal)
  }

  /** Removes the oldest backups. A failure is only logged, because the new backup has already been made. */
  async #prune(keep, timeout) {
    const { logger } = this.#options
    try {
      const removed = JSON.parse(await call((ticket) => this.#backups.prune(ticket, keep, timeout), { delayed: delayLogger(logger) }))
      for (const name of removed) logger.info(`removed the backup ${printable(name)}`)
    } catch (error) {
      logger.warn(`old backups could not be removed: ${error.message}`)
    }
  }

  #stoppable(label, options, start) {
    return stoppable(this.#options, label, options, start)
  }

  /** Resolves with the answer of a call that may run beside others. */
  async #ask(start) {
    const { lockTimeout, logger } = this.#options
    return JSON.parse(await this.#track(call((ticket) => start(ticket, lockTimeout), { delayed: delayLogger(logger) })))
  }

  #exclusively(operation, work, signal) {
    const start = () => exclusively(this.#basePath, this.#options.lockTimeout, `${operation}()`, work, signal)
    const [channel, finish] = WATCHED[operation]
    if (!channel.hasSubscribers) return this.#track(start())
    return this.#track(published(channel, { operation, basePath: this.#basePath }, start, finish))
  }

  async #track(work) {
    this.#underWay.add(work)
    try {
      return await work
    } finally {
      this.#underWay.delete(work)
    }
  }

  #ensureOpen() {
    if (this.#closing) throw closed('manager')
  }
}

module.exports = { MigrationManager }
