'use strict'

// Files that somebody else wrote: each record passes the schema of the storage once, before it is served.

const { throwIfAborted, unlessAborted } = require('./abort.js')
const { valueOf } = require('./answers.js')
const { call } = require('./calls.js')
const { refusal } = require('./errors.js')
const { entry } = require('./entries.js')
const { Records } = require('./records.js')
const { checkSchema, validated } = require('./validation.js')
const { clearTimeout, LONGEST, now, setTimeout, turn } = require('./timers.js')

/** Says that a call has to wait until the file was adopted. It never reaches callers of the package. */
const UNADOPTED = 'UNADOPTED'

/** The judgement of so many records begins in one turn of the event loop. */
const AT_ONCE = 32

/** One adoption, for all calls that wait for it: it is given up when the last of them is. */
class Adoption {
  #done
  #callers = 0
  #abandon = new AbortController()
  #onEnd

  /** @param onEnd is told when the adoption is over, or given up: whoever comes then begins another one */
  constructor(documents, schema, timeout, onEnd) {
    this.#onEnd = () => onEnd(this)
    this.#done = adopt(documents, schema, timeout, this.#abandon.signal)
    // Those that wait hear of a failure.
    this.#done.catch(() => {}).then(this.#onEnd)
  }

  /** Waits for the end, unless the signal of the caller is raised before. */
  async wait(signal) {
    this.#callers += 1
    await unlessAborted(signal, this.#done, () => {
      this.#callers -= 1
      if (this.#callers > 0) return
      this.#onEnd()
      this.#abandon.abort()
    })
  }
}

/**
 * Has the records of a collection's file judged by a schema and adopts it. No lock is held while the schema runs; if the
 * file changes meanwhile, it is judged anew. Fails with `LOCK_TIMEOUT` when that takes longer than `timeout`.
 */
async function adopt(documents, schema, timeout, signal) {
  checkSchema(schema)
  const end = now() + timeout
  for (;;) {
    const found = valueOf(await call((ticket) => documents.foreignRecords(ticket), { signal }))
    // Somebody else adopted it.
    if (found === null) return
    const [hash, ...records] = found
    const judged = await inTime(judgeAll(schema, records, signal), timeout, signal)
    const verdicts = new Records(judged, (verdict) => [verdict])
    await verdicts.complete(signal)
    if (JSON.parse(await verdicts.during(call((ticket) => documents.adopt(ticket, hash, verdicts.native), { signal })))) return
    if (now() > end) throw tooLate('its file kept changing', timeout)
  }
}

/** The verdicts on records. They are judged at the same time, but the event loop turns while they begin to be. */
async function judgeAll(schema, records, signal) {
  const verdicts = []
  for (const [key, record] of records) {
    if (verdicts.length > 0 && verdicts.length % AT_ONCE === 0) await turn()
    throwIfAborted(signal)
    verdicts.push(judge(schema, key, record))
  }
  return Promise.all(verdicts)
}

/** The verdict on a record, as native code takes it: whatever the schema throws is the record's fault. It never fails. */
async function judge(schema, key, record) {
  try {
    const { text } = entry(await validated(schema, record), key)
    return `[${JSON.stringify(key)},${text},null]`
  } catch (error) {
    return `[${JSON.stringify(key)},null,${JSON.stringify(messageOf(error))}]`
  }
}

/** What an error of any kind says, as text that every language can hold. */
function messageOf(error) {
  try {
    if (Array.isArray(error?.issues)) return error.issues.map(issueText).join('; ').toWellFormed()
    const message = error instanceof Error ? error.message : `the schema threw ${String(error)}`
    return String(message).toWellFormed()
  } catch {
    return 'the schema threw something that cannot be shown'
  }
}

const issueText = ({ path = [], message }) => (path.length > 0 ? `${path.map(String).join('.')}: ${message}` : String(message))

function inTime(judged, timeout, signal) {
  let timer
  const answer = new Promise((resolve, reject) => {
    const late = () => reject(tooLate('its schema has not judged the records', timeout))
    timer = setTimeout(late, Math.min(timeout, LONGEST))
    judged.then(resolve, reject).finally(() => clearTimeout(timer))
  })
  return unlessAborted(signal, answer, () => clearTimeout(timer))
}

function tooLate(why, timeout) {
  const message = `a file that another program wrote could not be adopted within ${timeout} ms: ${why}; try again, or raise lockTimeout`
  return refusal('LOCK_TIMEOUT', message)
}

module.exports = { Adoption, UNADOPTED }
