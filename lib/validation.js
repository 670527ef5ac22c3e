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
  const value = typeof given === 'object' && !isInvalidDate(given) ? formOf(given, key) : given
  const flaw = flawOf(value, key, above)
  if (flaw !== undefined) {
    issues.push({ path: [...path], message: flaw, code: 'custom' })
    return
  }
  if (typeof value !== 'object' || value === null) return
  above.add(value)
  if (Array.isArray(value)) for (let at = 0; at < value.length; at++) collectAt(value[at], at, path, issues, above)
  else for (const name of Object.keys(value)) collectAt(value[name], name, path, issues, above)
  above.delete(value)
}

/** Returns why JSON cannot hold a value, whatever is in it; undefined if it can. */
function flawOf(value, key, above) {
  switch (typeof value) {
    case 'number':
      return Number.isFinite(value) ? undefined : `${value} is not a number in JSON`
    case 'undefined':
      return typeof key === 'number' ? 'undefined has no form in an array' : undefined
    case 'bigint':
    case 'function':
    case 'symbol':
      return `a ${typeof value} has no form in JSON`
    case 'object':
      if (value === null) return undefined
      if (isInvalidDate(value)) return 'an invalid date has no form in JSON'
      if (above.has(value)) return 'it contains itself'
      if (above.size === MAX_DEPTH) return `it is nested deeper than ${MAX_DEPTH} levels`
      if (!Array.isArray(value) && !isPlain(value)) return `${describe(value)} has no form in JSON`
  }
  return undefined
}

const isInvalidDate = (value) => isDate(value) && Number.isNaN(value.getTime())

/** Like `collect`, for the value under a key of an object or array. */
function collectAt(value, key, path, issues, above) {
  path.push(key)
  collect(value, key, path, issues, above)
  path.pop()
}

module.exports = { below, validated, withIssue, checkSchema, exactText, formOf }
