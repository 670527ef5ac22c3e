'use strict'

// Incoming records of files: the content is passed as a separate string where possible.

const { fieldsOf } = require('./arguments.js')
const { jsonText } = require('./json-text.js')

/** Whether a content can be passed as it is. One with lone surrogates goes as JSON, and so does one that is not a string. */
const isPlain = (content) => typeof content === 'string' && content.isWellFormed()

/**
 * Takes the content out of what `fieldsOf` returned, if it can be passed as it is: returns `[fields, plain]`. Otherwise
 * returns only the fields. They keep their shape, since removing the content would take longer than clearing it.
 */
function apart(fields) {
  if (fields === null || typeof fields !== 'object' || !isPlain(fields.content)) return [fields]
  const plain = fields.content
  fields.content = undefined
  return [fields, plain]
}

/** Reads a record or a patch once and returns it as JSON, with its content apart in `plain` if it can be passed as it is. */
function recordParts(given) {
  const record = fieldsOf(given, true)
  const content = record?.content
  const [head, plain] = apart(record)
  return { input: jsonText(head), content, plain }
}

/** Adds the content, which native code need not return: it stores the given string, or what JSON makes of the given object. */
function withContent(file, content) {
  file.content = typeof content === 'string' ? content : JSON.parse(JSON.stringify(content))
  return file
}

module.exports = { apart, isPlain, recordParts, withContent }
