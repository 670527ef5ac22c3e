'use strict'

const { checkMap } = require('./native.js')
const { mapText } = require('./arguments.js')
const { errorFrom } = require('./errors.js')

/** A schema for a whole map, with the synchronous calls of zod that the server uses. Results are plain copies. */
function mapSchema(files) {
  const safeParse = (value) => {
    const { map, error } = checkMap(files, mapText(value))
    if (error != null) return { success: false, error: errorFrom(JSON.parse(error)) }
    return { success: true, data: JSON.parse(map) }
  }
  return {
    safeParse,
    parse(value) {
      const result = safeParse(value)
      if (result.success) return result.data
      throw result.error
    },
    '~standard': {
      version: 1,
      vendor: 'octoprompt-storage',
      validate(value) {
        const result = safeParse(value)
        return result.success ? { value: result.data } : { issues: result.error.issues }
      },
    },
  }
}

module.exports = { ProjectsStorageSchema: mapSchema(false), ProjectFilesStorageSchema: mapSchema(true) }
