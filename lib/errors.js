'use strict'

/** Every error of this package: an `Error` with a stable `code`. */
class StorageError extends Error {
  constructor(message, code, options) {
    super(message, options)
    this.code = code
  }
}

/** Data that breaks a rule; `issues` says which field and why. Nothing was written. */
class ValidationError extends StorageError {
  constructor(message, issues) {
    super(message, 'VALIDATION_ERROR')
    this.issues = issues
    this.outcome = 'none'
  }
}

/** Something that the call needs does not exist; the message names its id. */
class NotFoundError extends StorageError {
  constructor(message) {
    super(message, 'NOT_FOUND')
    this.outcome = 'none'
  }
}

// Spelled out, because bundlers and minifiers rename classes.
for (const [name, type] of Object.entries({ StorageError, ValidationError, NotFoundError })) {
  Object.defineProperty(type, 'name', { value: name, configurable: true })
  Object.defineProperty(type.prototype, 'name', { value: name, configurable: true, writable: true })
}

/** Builds the error that native code described. */
function errorFrom({ code, message, issues, ...details }) {
  if (code === 'VALIDATION_ERROR') return new ValidationError(message, issues)
  if (code === 'NOT_FOUND') return new NotFoundError(message)
  return Object.assign(new StorageError(message, code), details)
}

/** Builds an error that JavaScript finds before anything is written; native code reports the outcome with its own errors. */
function refusal(code, message, { cause, ...details } = {}) {
  const error = new StorageError(message, code, cause === undefined ? undefined : { cause })
  return Object.assign(error, details, { outcome: 'none' })
}

const invalid = (message) => refusal('INVALID_ARGUMENT', message)

/** What a constructor throws: JavaScript's own class for such an error, with a code like every other error. */
const wrongType = (message) => Object.assign(new TypeError(message), { code: 'INVALID_ARGUMENT' })
const wrongValue = (message) => Object.assign(new RangeError(message), { code: 'INVALID_ARGUMENT' })

/**
 * Gives an error of this package that was built elsewhere, as by a timer or an answer of native code, the stack of the code
 * that awaits the async function `above`. That needs every function in between to await it too.
 */
function retraced(error, above) {
  if (error instanceof StorageError) Error.captureStackTrace(error, above)
  return error
}

const closed = (what = 'storage') => refusal('CLOSED', `this ${what} is closed; open a new instance to continue`)

module.exports = { StorageError, ValidationError, NotFoundError, errorFrom, refusal, invalid, retraced, wrongType, wrongValue, closed }
