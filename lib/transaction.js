'use strict'

// Interactive transactions: the callback runs against what its steps have read and written. If what it read is no longer
// current at the commit, it runs again.

const { NativeTransaction } = require('./native.js')
const { aborted, pause, signalOption, throwIfAborted, whenAborted } = require('./abort.js')
const { valueOf } = require('./answers.js')
const { describe } = require('./arguments.js')
const { channels, publish, published } = require('./diagnostics.js')
const { invalid, refusal, retraced } = require('./errors.js')
const { Nesting } = require('./nesting.js')
const { countOf, queryOf } = require('./query.js')
const { clearTimeout, LONGEST, now, setTimeout } = require('./timers.js')
const { Turns } = require('./turns.js')

/** How often a callback runs before its transaction fails with `CONFLICT`. */
const MAX_ATTEMPTS = 16
/** The longest pause before another attempt, in milliseconds. */
const MAX_PAUSE = 50

/** The databases of the transactions that the running code is part of and for which others of the same database wait. */
const waitedFor = new Nesting()

/** The turns of transactions that have lost, by database. */
const turns = new Turns()

/**
 * The steps of a storage within a transaction. `steps` holds what differs between storages: each of its functions takes the
 * arguments of a step and returns the async function `(call, native, signal)` that runs the step.
 */
class Scope {
  #run
  #storage
  #steps

  constructor(run, storage, steps) {
    this.#run = run
    this.#storage = storage
    this.#steps = steps
  }

  async getById(id) {
    return await this.#run.step(this.#storage, this.#steps.get(id))
  }

  async create(data) {
    return await this.#run.step(this.#storage, this.#steps.create(data))
  }

  async update(id, patch) {
    return await this.#run.step(this.#storage, this.#steps.update(id, patch))
  }

  async delete(id) {
    return await this.#run.step(this.#storage, this.#steps.delete(id))
  }

  async createMany(data) {
    return await this.#run.step(this.#storage, this.#steps.createMany(data))
  }

  async updateMany(changes) {
    return await this.#run.step(this.#storage, this.#steps.updateMany(changes))
  }

  async deleteMany(ids) {
    return await this.#run.step(this.#storage, this.#steps.deleteMany(ids))
  }

  async list() {
    return await this.query()
  }

  async query(query) {
    const { text, signal } = queryOf(query)
    const documents = this.#steps.documents()
    return await this.#run.step(this.#storage, async (call, native) => {
      return valueOf(await call((ticket) => native.query(ticket, documents, text), signal))
    })
  }

  async count(query) {
    const { text = '{}', signal } = countOf(query)
    const documents = this.#steps.documents()
    return await this.#run.step(this.#storage, async (call, native) => {
      return JSON.parse(await call((ticket) => native.count(ticket, documents, text), signal))
    })
  }

  async createVersion(fileId, content, extra) {
    if (this.#steps.createVersion === undefined) throw invalid('only files have versions')
    return await this.#run.step(this.#storage, this.#steps.createVersion(fileId, content, extra))
  }
}

/** One attempt at a transaction. Its steps run one after another, in the order of their calls. */
class Run {
  native = new NativeTransaction()
  /** The storages that it uses. Any of its calls may find that the file of one of them must be adopted first. */
  storages
  #committed = false
  #last = Promise.resolve()
  #over = false
  #hooks
  #signal

  constructor(storage, hooks, signal) {
    this.storages = new Set([storage])
    this.#hooks = hooks
    this.#signal = signal
  }

  /** @param work receives a function that starts a native call, the native transaction, and the signal of the transaction */
  async step(storage, work) {
    if (this.#over) throw overError()
    this.storages.add(storage)
    const read = this.#hooks.read(this, storage)
    const call = (start, signal = this.#signal) => read(start, signal)
    const before = this.#last
    let ended
    this.#last = new Promise((resolve) => (ended = resolve))
    try {
      await before
      return await work(call, this.native, this.#signal)
    } finally {
      ended()
    }
  }

  /** May be called again after an adoption. The native transaction is over then, and what it read may have changed. */
  commit(ticket, documents) {
    if (this.#committed) throw conflict(1)
    this.#committed = true
    this.native.commit(ticket, documents)
  }

  /** Refuses further steps, and waits for those that were already called. */
  async settle() {
    this.#over = true
    await this.#last
  }

  end() {
    this.#over = true
    this.native.abandon()
  }
}

function overError() {
  return refusal('CLOSED', 'this transaction is over; its steps belong into its callback')
}

/**
 * Runs a transaction on a storage.
 *
 * @param hooks functions of the storages: `scope(run, storage)` returns the steps of a storage, `read(run, storage)` the
 *   function that starts its calls, `commit(run, storage, signal)` commits, `place(storage)` tells databases apart,
 *   `about(storage)` returns the properties of events
 */
async function transaction(storage, work, options, timeout, hooks) {
  let attempts = 1
  const lost = () => {
    publish(channels.conflict, () => ({ ...hooks.about(storage), attempt: attempts }))
    attempts += 1
  }
  const run = () => untilCommitted(storage, work, options, timeout, hooks, lost)
  if (!channels.transaction.hasSubscribers) return await run()
  return await published(channels.transaction, hooks.about(storage), run, (event) => Object.assign(event, { attempts }))
}

async function untilCommitted(storage, work, options, timeout, hooks, lost) {
  if (typeof work !== 'function') throw invalid(`a transaction runs a function, got ${describe(work)}`)
  const signal = signalOption(options)
  throwIfAborted(signal)
  const end = now() + timeout
  const leave = { now: () => {} }
  /** The database at the head of whose queue this transaction is. */
  let place
  try {
    for (let attempt = 1; ; attempt += 1) {
      const run = new Run(storage, hooks, signal)
      const attempted = () => once(run, storage, work, signal, timeout, end, hooks)
      try {
        if (place === undefined) return await attempted()
        return await waitedFor.run(place, attempted)
      } catch (error) {
        const again = error === LOST || run.native.isLost()
        run.end()
        if (!again) throw error
        lost()
      }
      if (attempt === MAX_ATTEMPTS || now() > end) throw conflict(attempt)
      // Transactions that have lost once wait for one another, so that each of them meets only first attempts of others. A
      // transaction inside one that others wait for must not wait for it in turn.
      if (attempt === 1 && ![...waitedFor].includes(hooks.place(storage))) {
        leave.now = await turns.take(hooks.place(storage), end - now(), signal, () => tooLate(timeout))
        place = hooks.place(storage)
      } else {
        await pause(Math.random() * Math.min(2 ** attempt, MAX_PAUSE), signal)
      }
    }
  } finally {
    leave.now()
  }
}

/** Stands for a commit that failed because something that was read has changed. */
const LOST = Symbol('lost')

async function once(run, storage, work, signal, timeout, end, hooks) {
  const own = hooks.scope(run, storage)
  const tx = Object.assign(own, {
    in: (other) => {
      const scope = hooks.scope(run, other)
      if (scope === undefined) throw invalid(`tx.in takes a storage, of the copy of this package that began the transaction, got ${describe(other)}`)
      return scope
    },
  })
  const finished = async () => {
    const value = await work(tx)
    await run.settle()
    return value
  }
  const value = await inTime(finished, run, signal, timeout, end)
  throwIfAborted(signal)
  try {
    await hooks.commit(run, storage, signal)
  } catch (error) {
    throw error.code === 'CONFLICT' ? LOST : error
  }
  return value
}

/** Resolves with what the callback returns once its steps are done, unless the time is up or the signal is aborted first. */
async function inTime(work, run, signal, timeout, end) {
  let ours
  const settled = new Promise((resolve, reject) => {
    // Once it is given up, a callback that never ends keeps neither the timer nor the process alive.
    const settle = () => {
      clearTimeout(timer)
      unheard()
    }
    const giveUp = (error) => {
      settle()
      run.end()
      reject((ours = error))
    }
    const late = () => giveUp(tooLate(timeout))
    const timer = setTimeout(late, Math.min(Math.max(end - now(), 0), LONGEST))
    const unheard = whenAborted(signal, () => giveUp(aborted(signal)))
    work().then(resolve, reject).finally(settle)
  })
  try {
    return await settled
  } catch (error) {
    throw error === ours ? retraced(error, inTime) : error
  }
}

function tooLate(timeout) {
  const message = `a transaction did not end within ${timeout} ms and was rolled back; do less in its callback, or raise lockTimeout`
  return refusal('LOCK_TIMEOUT', message)
}

function conflict(attempts) {
  const why = 'others, or calls in its callback that are not made on tx, keep changing what it reads'
  const message = `a transaction was given up after ${attempts === 1 ? 'one attempt' : `${attempts} attempts`}: ${why}; try again, or use tx for all of it`
  return refusal('CONFLICT', message)
}

module.exports = { Scope, transaction }
