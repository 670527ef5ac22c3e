'use strict'

// Schemas that callers pass: zod 3, zod 4 and every validator that implements Standard Schema.

const { isDate } = require('node:util/types')
const { describe } = require('./arguments.js')
const { invalid, ValidationError } = require('./errors.js')
const { jsonText } = require('./json-text.js')
const { isPlain } = require('./shapes.js')

/** Values that are nested deeper are refused. */
const MAX_DEPTH = 100

/**
 * Returns the output of a schema. A rejection is thrown as the schema's own error if it has one (a `ZodError` stays a
 * `ZodError`), otherwise as a `ValidationError` with the issues.
 */
async function validated(schema, value) {
  checkSchema(schema)
  if (typeof schema.parseAsync === 'function') return schema.parseAsync(value)
  const result = await schema['~standard'].validate(value)
  if (result === null || typeof result !== 'object') {
    throw invalid(`a Standard Schema answers { value } or { issues }, got ${describe(result)}`)
  }
  if (!result.issues) return result.value
  const issues = result.issues.map(({ message, path = [] }) => ({
    // Some validators return arrays of a class of their own.
    path: Array.from(path, (part) => segment(part !== null && typeof part === 'object' ? part.key : part)),
    message,
    code: 'custom',
  }))
  const said = issues.map(({ message }) => message).join('; ')
  throw new ValidationError(`invalid data: ${said || 'the schema does not say what is wrong'}`, issues)
}

/** Throws if a value is not a schema. */
function checkSchema(schema) {
  if (typeof schema?.parseAsync === 'function' || typeof schema?.['~standard']?.validate === 'function') return
  throw invalid(`the schema is neither a zod schema nor a Standard Schema, got ${describe(schema)}`)
}

/** Returns the error of a schema with one more issue, if it is an error that takes issues. */
function withIssue(error, issue) {
  if (error instanceof ValidationError) return new ValidationError(`${error.message}; ${issue.message}`, [...error.issues, issue])
  error.addIssue?.(issue)
  return error
}

/**
 * Returns the error of a schema for a value inside the caller's argument: the paths of its issues, if it has any, begin with
 * `at`, the path of that value.
 */
function below(error, at) {
  if (at.length === 0 || !Array.isArray(error?.issues) || Object.isFrozen(error.issues)) return error
  const placed = (issue) => ({ ...issue, path: [...at, ...(issue?.path ?? [])] })
  if (error instanceof ValidationError) return new ValidationError(error.message, error.issues.map(placed))
  error.issues.forEach((issue, nth, issues) => (issues[nth] = placed(issue)))
  // The message of a `ZodError` repeats its issues as they were when it was last told of some.
  error.addIssues?.([])
  return error
}

const segment = (part) => (typeof part === 'number' ? part : String(part))

/** Returns the value as JSON text; throws if JSON cannot hold all of it. `at` is its path in the caller's argument. */
function exactText(value, at = []) {
  const issues = []
  collect(value, '', [...at], issues, new Set())
  if (issues.length > 0) throw unheld(issues)
  const text = jsonText(value)
  if (text === undefined) throw unheld([{ path: at, message: 'undefined has no form in JSON', code: 'custom' }])
  return text
}

function unheld(issues) {
  const [{ path, message }] = issues
  return new ValidationError(`JSON cannot hold ${path.join('.') || 'the value'}: ${message}`, issues)
}

/** Returns what JSON writes in place of a value: the result of its own `toJSON`, which is not called on that again. */
const formOf = (value, key) => (typeof value?.toJSON === 'function' ? value.toJSON(String(key)) : value)

/** Collects what JSON cannot hold of a value. In an array, `key` is a number. */
function collect(given, key, path, issues, above) {
  const refuse = (message) => issues.push({ path: [...path], message, code: 'custom' })
  const isObject = typeof given === 'object'
  if (isObject && isDate(given) && Number.isNaN(given.getTime())) {
    refuse('an invalid date has no form in JSON')
    return
  }
  const value = isObject ? formOf(given, key) : given
  switch (typeof value) {
    case 'number':
      if (!Number.isFinite(value)) refuse(`${value} is not a number in JSON`)
      return
    case 'undefined':
      if (typeof key === 'number') refuse('undefined has no form in an array')
      return
    case 'bigint':
    case 'function':
    case 'symbol':
      refuse(`a ${typeof value} has no form in JSON`)
      return
    case 'object':
      break
    default:
      return
  }
  if (value === null) return
  if (above.has(value)) {
    refuse('it contains itself')
    return
  }
  if (above.size === MAX_DEPTH) {
    refuse(`it is nested deeper than ${MAX_DEPTH} levels`)
    return
  }
  if (!Array.isArray(value) && !isPlain(value)) {
    refuse(`${describe(value)} has no form in JSON`)
    return
  }
  above.add(value)
  if (Array.isArray(value)) for (let at = 0; at < value.length; at++) collectAt(value[at], at, path, issues, above)
  else for (const name of Object.keys(value)) collectAt(value[name], name, path, issues, above)
  above.delete(value)
}

/** Like `collect`, for the value under a key of an object or array. */
function collectAt(value, key, path, issues, above) {
  path.push(key)
  collect(value, key, path, issues, above)
  path.pop()
}

module.exports = { below, validated, withIssue, checkSchema, exactText, formOf }
