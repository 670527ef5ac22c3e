'use strict'

const { NativeMigrations } = require('../binding.js')
const { exclusively, refuseInside } = require('./base-path-queue.js')
const { call, port } = require('./calls.js')
const { closed, errorFrom } = require('./errors.js')
const { basePathOf, managerOptions, migrationOf, targetOf } = require('./migration-arguments.js')
const { drive } = require('./migration-run.js')
const { statusTable } = require('./status-table.js')

const MIGRATE = 0
const ROLL_BACK = 1

const asyncDispose = Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose')

class MigrationManager {
  #basePath
  #options
  #native
  /** What was registered, by version. */
  #callbacks = new Map()
  /** What `close()` waits for. */
  #underWay = new Set()
  #closing

  constructor(basePath, options) {
    this.#basePath = basePathOf(basePath)
    this.#options = managerOptions(options)
    this.#native = new NativeMigrations(port(), this.#basePath)
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

  async migrate(targetVersion) {
    const target = targetVersion === undefined ? null : targetOf(targetVersion)
    return this.#exclusively('migrate()', (timeout) => this.#run(MIGRATE, target, timeout))
  }

  async rollback(targetVersion) {
    const target = targetOf(targetVersion)
    return this.#exclusively('rollback()', (timeout) => this.#run(ROLL_BACK, target, timeout))
  }

  async getState() {
    this.#ensureOpen()
    return JSON.parse(await this.#track(call((ticket) => this.#native.state(ticket))))
  }

  async status() {
    this.#ensureOpen()
    const status = JSON.parse(await this.#track(call((ticket) => this.#native.status(ticket))))
    const { logger, terminal } = this.#options
    const { width, colour } = terminal(process.stdout)
    for (const line of statusTable(status, { width, colour, now: Date.now() })) logger.info(line)
    return status
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

  #run(kind, target, timeout) {
    const { logger, terminal } = this.#options
    const manager = { basePath: this.#basePath, native: this.#native, callbacks: this.#callbacks, logger, terminal }
    return drive(manager, (ticket) => this.#native.start(ticket, kind, target, timeout))
  }

  #exclusively(name, work) {
    this.#ensureOpen()
    return this.#track(exclusively(this.#basePath, this.#options.lockTimeout, name, work))
  }

  #track(work) {
    const forget = () => this.#underWay.delete(work)
    this.#underWay.add(work)
    work.then(forget, forget)
    return work
  }

  #ensureOpen() {
    if (this.#closing) throw closed('manager')
  }
}

module.exports = { MigrationManager }
