'use strict'

// Schemas of callers: zod 3, zod 4 and every validator that speaks Standard Schema.

const { StorageError, ValidationError } = require('./errors.js')

/**
 * The output of a schema. What it rejects is thrown as its own error where it has one (a `ZodError` stays a
 * `ZodError`), else as a `ValidationError` with its issues.
 */
async function validated(schema, value) {
  if (typeof schema?.parseAsync === 'function') return schema.parseAsync(value)
  const validate = schema?.['~standard']?.validate
  if (typeof validate !== 'function') {
    throw new StorageError('the schema is neither a zod schema nor a Standard Schema', 'INVALID_ARGUMENT')
  }
  const result = await validate(value)
  if (!result.issues) return result.value
  const issues = result.issues.map(({ message, path = [] }) => ({
    path: path.map((part) => (part !== null && typeof part === 'object' ? part.key : part)).map(segment),
    message,
    code: 'custom',
  }))
  throw new ValidationError(`invalid data: ${issues.map(({ message }) => message).join('; ')}`, issues)
}

const segment = (part) => (typeof part === 'number' ? part : String(part))

/** The value as JSON text, if JSON can hold all of it. */
function exactText(value) {
  const issues = []
  collect(value, [], issues, new Set())
  if (issues.length > 0) {
    const [{ path, message }] = issues
    throw new ValidationError(`JSON cannot hold ${path.join('.') || 'the value'}: ${message}`, issues)
  }
  return JSON.stringify(value)
}

function collect(value, path, issues, above) {
  const refuse = (message) => issues.push({ path, message, code: 'custom' })
  switch (typeof value) {
    case 'number':
      if (!Number.isFinite(value)) refuse(`${value} is not a number in JSON`)
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
  if (value === null || typeof value.toJSON === 'function') return
  if (above.has(value)) {
    refuse('it contains itself')
    return
  }
  const type = Object.getPrototypeOf(value)
  if (type !== null && !Array.isArray(value) && Object.getPrototypeOf(type) !== null) {
    refuse(`an object of class ${type.constructor?.name ?? 'unknown'} has no form in JSON`)
    return
  }
  above.add(value)
  for (const key of Object.keys(value)) {
    collect(value[key], [...path, Array.isArray(value) ? Number(key) : key], issues, above)
  }
  above.delete(value)
}

module.exports = { validated, exactText }
