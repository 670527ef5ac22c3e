'use strict'

// Adoption of files that another program wrote: each record passes the schema of the storage once, before it is served.

const { unlessAborted } = require('./abort.js')
const { valueOf } = require('./answers.js')
const { call } = require('./calls.js')
const { concurrently } = require('./concurrently.js')
const { refusal, retraced } = require('./errors.js')
const { entry } = require('./entries.js')
const { Records } = require('./records.js')
const { checkSchema, validated } = require('./validation.js')
const { clearTimeout, LONGEST, now, setTimeout } = require('./timers.js')

/** The error code of a call that must wait until the file has been adopted. It never reaches callers of the package. */
const UNADOPTED = 'UNADOPTED'

/** One adoption, shared by all calls that wait for it. It is abandoned when the last of them is aborted. */
class Adoption {
  #done
  #callers = 0
  #abandon = new AbortController()
  #onEnd

  /** @param onEnd called when the adoption has ended or was abandoned; a later call starts a new one */
  constructor(documents, schema, timeout, onEnd) {
    this.#onEnd = () => onEnd(this)
    this.#done = adopt(documents, schema, timeout, this.#abandon.signal)
    // A failure is reported to the calls that wait.
    this.#done.catch(() => {}).then(this.#onEnd)
  }

  /** Waits until the adoption ends, unless the caller's signal is aborted first. */
  async wait(signal) {
    this.#callers += 1
    const leave = () => {
      this.#callers -= 1
      if (this.#callers > 0) return
      this.#onEnd()
      this.#abandon.abort()
    }
    try {
      await unlessAborted(signal, this.#done, leave)
    } catch (error) {
      throw retraced(error, this.wait)
    }
  }
}

/**
 * Validates the records of a collection's file with a schema and adopts the file. No lock is held while the schema runs; if
 * the file changes in the meantime, it is validated again. Fails with `LOCK_TIMEOUT` if this takes longer than `timeout`.
 */
async function adopt(documents, schema, timeout, signal) {
  checkSchema(schema)
  const end = now() + timeout
  for (;;) {
    const found = valueOf(await call((ticket) => documents.foreignRecords(ticket), { signal }))
    // Another call or process has adopted it.
    if (found === null) return
    const [hash, ...records] = found
    const judging = concurrently(records, signal, ([key, record]) => judge(schema, key, record))
    const judged = await inTime(judging, timeout, signal)
    const verdicts = new Records(judged, (verdict) => [verdict])
    await verdicts.complete(signal)
    if (JSON.parse(await verdicts.during(call((ticket) => documents.adopt(ticket, hash, verdicts.native), { signal })))) return
    if (now() > end) throw tooLate('its file kept changing', timeout)
  }
}

/** Returns the verdict on a record as native code expects it. Never fails: whatever the schema throws is a rejection. */
async function judge(schema, key, record) {
  try {
    const { text } = entry(await validated(schema, record), key)
    return `[${JSON.stringify(key)},${text},null]`
  } catch (error) {
    return `[${JSON.stringify(key)},null,${JSON.stringify(messageOf(error))}]`
  }
}

/** Returns the message of an error of any kind, as well-formed Unicode. */
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
